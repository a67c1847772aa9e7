//! Folders whose files other machines write, move or replace.
//!
//! Nothing of ours works there. `link` and `flock` on a network file system are not the same promise between two hosts,
//! and a client's cache may show a name that the server never kept; SQLite's shared memory is shared with nobody else.
//! A service that synchronises a folder uploads a database and its log at different moments, and puts older ones back.

use std::io;
use std::path::{Component, Path};

use crate::local::platform::file_system;

/// Types of file systems that live on another machine. `fuse` ones are judged by their second name.
const NETWORK_TYPES: [&str; 25] = [
    "9p",
    "acfs",
    "afpfs",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "drvfs",
    "ftp",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "ocfs2",
    "orangefs",
    "prl_fs",
    "pvfs2",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
    "webdav",
];
/// `fuse` file systems that keep their files on a local disk.
const LOCAL_FUSE_TYPES: [&str; 3] = ["fuseblk", "fuse.fuse-overlayfs", "fuse.bindfs"];
/// Folders that services synchronise, by the names that their programs give them: iCloud Drive, then others.
const SYNCED: [&str; 6] =
    ["Mobile Documents", "CloudStorage", "Dropbox", "OneDrive", "Google Drive", "Nextcloud"];
/// What such a service leaves in the root of its folder.
const MARKERS: [&str; 3] = [".dropbox.cache", ".stfolder", ".nextcloudsync.log"];

/// Why a folder is no place for a database, a state or a store; `None` if nothing is known against it.
///
/// # Errors
/// When the folder cannot be looked at.
pub fn shared_folder(folder: &Path) -> io::Result<Option<String>> {
    let folder = folder.canonicalize()?;
    let network = file_system(&folder)?.filter(|name| is_network_type(name));
    let network = network.map(|name| format!("it lies on a network file system ({name})"));
    let synced = || sync_service(&folder);
    Ok(network.or_else(|| {
        synced().map(|name| format!("it lies in a folder that a service synchronises ({name})"))
    }))
}

/// Whether a type, as the system names it, is shared over a network.
fn is_network_type(name: &str) -> bool {
    let is_listed = NETWORK_TYPES.contains(&name) || name.starts_with("nfs");
    let is_foreign_fuse = name.contains("fuse") && !LOCAL_FUSE_TYPES.contains(&name);
    is_listed || is_foreign_fuse
}

fn sync_service(folder: &Path) -> Option<String> {
    let named = folder.components().find_map(|component| match component {
        Component::Normal(name) => SYNCED.iter().find(|synced| name == **synced),
        _ => None,
    });
    let marked = || {
        let marker = |above: &Path| MARKERS.iter().find(|marker| above.join(marker).exists());
        folder.ancestors().find_map(marker)
    };
    named.or_else(marked).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_types_are_known_by_name() {
        for name in [
            "nfs",
            "nfs4",
            "cifs",
            "smbfs",
            "afpfs",
            "webdav",
            "9p",
            "virtiofs",
            "fuse.sshfs",
            "macfuse",
            "osxfuse",
        ] {
            assert!(is_network_type(name), "{name}");
        }
        for name in ["ext4", "xfs", "btrfs", "zfs", "apfs", "hfs", "tmpfs", "overlay", "fuseblk"] {
            assert!(!is_network_type(name), "{name}");
        }
    }

    #[test]
    fn synchronised_folders_are_known_by_name_and_by_marker() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let below = |names: &str| {
            let folder = root.path().join(names);
            std::fs::create_dir_all(&folder).expect("a folder");
            shared_folder(&folder).expect("looked at")
        };
        assert_eq!(below("plain/Dropbox.old/a"), None);
        for names in ["Dropbox/a", "Library/CloudStorage/x", "Library/Mobile Documents/c"] {
            assert!(below(names).is_some_and(|why| why.contains("synchronises")), "{names}");
        }
        std::fs::create_dir_all(root.path().join("plain/.stfolder")).expect("a folder");
        assert!(below("plain/b/c").is_some_and(|why| why.contains(".stfolder")));
    }
}
