//! A disk that becomes full: a file system of its own, in memory, that is mounted over a folder.
//!
//! Mounting is root's right. Where a test runs as somebody else, it runs itself once more as the root of a namespace of
//! its own, in which it may mount; where that is not allowed either, it says so and ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system. Dropping it takes it away, with all that is in it.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of so many mebibytes over a folder, which is made if need be. `None` where that is not allowed: then
    /// the test of this name (`module::function`) has run elsewhere, or cannot run here, and is to end.
    #[must_use]
    pub fn over(folder: &Path, mib: u32, test: &str) -> Option<Self> {
        fs::create_dir_all(folder).expect("a mount point");
        let size = format!("size={mib}m,mode=700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(folder.to_owned()));
        }
        run_in_a_namespace(test);
        None
    }

    /// Leaves no room at all.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filler()).expect("a file");
        // In small pieces at last: what is left over would hold a small file.
        for bytes in [1 << 20, 1 << 12, 1] {
            let piece = vec![1; bytes];
            while std::io::Write::write_all(&mut file, &piece).is_ok() {}
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        fs::remove_file(self.filler()).expect("removed");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Root of a namespace that may not mount does not try again: it would try for ever.
fn run_in_a_namespace(test: &str) {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    let mut attempt = unshare();
    let may = attempt.arg("true").stderr(Stdio::null()).status().is_ok_and(|it| it.success());
    if rustix::process::geteuid().is_root() || !may {
        println!("not run: mounting a file system is not allowed here");
        return;
    }
    let itself = std::env::current_exe().expect("the path of the test executable");
    let status = unshare().arg(itself).args(["--exact", test, "--nocapture"]).status();
    assert!(status.expect("unshare runs").success(), "{test} failed in a namespace of its own");
}
