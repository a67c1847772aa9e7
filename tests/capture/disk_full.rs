//! The disk of the state folder is full, then it is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{App, Fleet, Scratch, shared};

/// A file system of its own, unmounted at the end.
struct Small(PathBuf);

impl Small {
    /// `None` where mounting is not allowed.
    fn mount(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).expect("a mount point");
        let arguments = ["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"];
        let status = Command::new("mount").args(arguments).arg(path).status().ok()?;
        status.success().then(|| Self(path.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

/// While there is no room a new database waits for its base and the others go on; when there is, all is shipped.
#[test]
fn a_full_state_folder_delays_new_databases_only() {
    let _turn = shared();
    let outside = Scratch::new("small-disk");
    let Some(small) = Small::mount(&outside.file("state")) else {
        println!("not run: mounting a file system is not allowed here");
        return;
    };
    let fleet = Fleet::new("disk-full", &["old", "new"]).state_dir(&small.0);
    let mut old = App::open(&fleet.db("old"));
    old.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    let mut shipper = fleet.ship();
    fleet.await_shipped("old");

    let filler = small.0.join("filler");
    let _ = fs::write(&filler, vec![1; 4 << 20]);
    let mut new = App::open(&fleet.db("new"));
    new.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(300000))");
    shipper.await_line(&["the base was not copied", "new"]);
    for _ in 0..3 {
        old.sql("INSERT INTO t VALUES('goes on')");
        fleet.await_shipped("old");
    }
    fs::remove_file(&filler).expect("removed");
    new.sql("INSERT INTO t VALUES('later')");
    fleet.await_shipped("new");
    fleet.finish(shipper);
}
