//! What differs between macOS and Linux for the local store: how a write is made durable, and how the type of a
//! file system is told. Both variants are here; nothing else in the crate is conditional.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a file's content, or a folder's names, survive a power cut. The standard library uses
/// `F_FULLFSYNC` on macOS, where `fsync` only reaches the drive's cache.
pub(super) fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if full_sync_is_unknown(&error) => Ok(rustix::fs::fsync(file)?),
        other => other,
    }
}

/// Some file systems know no `F_FULLFSYNC`, or not for folders; there `fsync` is all there is.
#[cfg(target_os = "macos")]
fn full_sync_is_unknown(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unknown = [Errno::NOTSUP, Errno::INVAL, Errno::NOTTY].map(|errno| errno.raw_os_error());
    error.raw_os_error().is_some_and(|code| unknown.contains(&code))
}

#[cfg(not(target_os = "macos"))]
fn full_sync_is_unknown(_: &io::Error) -> bool {
    false
}

/// The type of the file system that holds a folder.
#[cfg(target_os = "macos")]
pub(crate) fn file_system(folder: &Path) -> io::Result<Option<String>> {
    let facts = rustix::fs::statfs(folder)?;
    let name: String = facts
        .f_fstypename
        .iter()
        .take_while(|byte| **byte != 0)
        .map(|byte| char::from(byte.to_ne_bytes()[0]))
        .collect();
    Ok(Some(name))
}

/// The type of the file system that holds a folder. Where `/proc` is not mounted nothing can be told.
#[cfg(not(target_os = "macos"))]
pub(crate) fn file_system(folder: &Path) -> io::Result<Option<String>> {
    let path = folder.canonicalize()?;
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else { return Ok(None) };
    Ok(type_of_mount(&mounts, &path).map(str::to_owned))
}

/// The file system's type of the innermost mount that holds `path`, by the text of `proc_pid_mountinfo(5)`.
#[cfg(any(not(target_os = "macos"), test))]
fn type_of_mount<'m>(mounts: &'m str, path: &Path) -> Option<&'m str> {
    let mut innermost: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(name)) = (left.split(' ').nth(4), right.split(' ').next()) else {
            continue;
        };
        let point = unescape(point);
        // Of several mounts at one place the last one is seen.
        let is_inner = innermost.is_none_or(|(length, _)| point.len() >= length);
        if path.starts_with(&point) && is_inner {
            innermost = Some((point.len(), name));
        }
    }
    innermost.map(|(_, name)| name)
}

/// Blanks, tabs, line ends and backslashes stand as octal escapes in `mountinfo`.
#[cfg(any(not(target_os = "macos"), test))]
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:40 / /srv/my\\040share rw - nfs4 server:/export rw
31 27 0:41 / /mnt/cloud rw,nosuid shared:3 - fuse.rclone remote: rw
32 27 0:42 / /mnt/disk rw - ext4 /dev/vdb rw
33 27 0:43 / /mnt/disk rw - cifs //server/disk rw
";

    #[test]
    fn the_innermost_and_latest_mount_names_the_type() {
        let type_of = |path: &str| type_of_mount(MOUNTS, Path::new(path));
        assert_eq!(type_of("/var/lib"), Some("ext4"));
        assert_eq!(type_of("/srv/my share/store"), Some("nfs4"));
        assert_eq!(type_of("/srv/my shares"), Some("ext4"));
        assert_eq!(type_of("/mnt/cloud/a/b"), Some("fuse.rclone"));
        assert_eq!(type_of("/mnt/disk"), Some("cifs"));
    }
}
