//! The disk of the state folder is full, then it is not.

use e2e::{App, Fleet, Scratch, SmallDisk, shared};

/// While there is no room a new database waits for its base and the others go on; when there is, all is shipped.
#[test]
fn a_full_state_folder_delays_new_databases_only() {
    let _turn = shared();
    let outside = Scratch::new("small-disk");
    let state = outside.file("state");
    let this = "disk_full::a_full_state_folder_delays_new_databases_only";
    let Some(disk) = SmallDisk::over(&state, 2, this) else { return };
    let fleet = Fleet::new("disk-full", &["old", "new"]).state_dir(&state);
    let mut old = App::open(&fleet.db("old"));
    old.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(1)");
    let mut shipper = fleet.ship();
    fleet.await_shipped("old");

    disk.fill();
    let mut new = App::open(&fleet.db("new"));
    new.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(300000))");
    shipper.await_line(&["the base was not copied", "new"]);
    for _ in 0..3 {
        old.sql("INSERT INTO t VALUES('goes on')");
        fleet.await_shipped("old");
    }
    disk.free();
    new.sql("INSERT INTO t VALUES('later')");
    fleet.await_shipped("new");
    fleet.finish(shipper);
}
