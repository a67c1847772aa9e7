//! A disk of the standby is full while the primary goes on, then it is not.
//!
//! What must hold meanwhile: readers see whole states as before, and the follower says what it waits for. What must hold
//! afterwards: the same follower goes on by itself, and nothing has to be rebuilt. All of it also when a follower is
//! killed on the full disk and another one starts there.

use std::fs::File;
use std::process::{Command, Stdio};

use e2e::{Fleet, Ledger, Program, Reading, SmallDisk, Standby, shared};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// What the follower says of a database that waits for room.
const WAITS: &[&str] = &["cannot go on yet", "db=a"];

struct World {
    /// Goes before the folder in which it is mounted.
    disk: SmallDisk,
    fleet: Fleet,
    standby: Standby,
    shipper: Program,
    readers: Vec<Ledger>,
}

impl World {
    /// A fleet, its standby, and the follower that has made them equal.
    fn new(disk: SmallDisk, fleet: Fleet, standby: Standby) -> (Self, Program) {
        Ledger::commit(&fleet.db("a"), 5);
        let shipper = fleet.ship();
        fleet.await_shipped("a");
        // It saves where it stands when it ends. One that was killed before its first save would have to compare.
        standby.catch_up();
        let follower = standby.follow();
        standby.await_equal(&fleet);
        let read = |reading| {
            let mut reader = Ledger::read(&standby.db("a"), reading);
            assert!(reader.sees(5));
            reader
        };
        let readers = [Reading::Warm, Reading::Long, Reading::Fresh].map(read).into();
        (Self { disk, fleet, standby, shipper, readers }, follower)
    }

    /// Writes far more than the files have room for by themselves, and returns the count of commits.
    fn write(&self) -> u64 {
        let options = json!({"commits": 60, "bytes": 60_000, "keep": 50, "rate": 200});
        let written = Ledger::write(&self.fleet.db("a"), &options).finish();
        self.fleet.await_shipped("a");
        written["commits"].as_u64().expect("a number")
    }

    /// Full twice, under a follower that lives through it and under one that is killed on the full disk.
    fn full_and_free(mut self, mut follower: Program) {
        for is_killed in [false, true] {
            self.disk.fill();
            let written = self.write();
            println!("{}", follower.await_line(WAITS));
            let status = self.standby.await_state("a", "waiting");
            let detail = status["detail"].as_str().expect("why it waits");
            assert!(detail.contains("space") || detail.contains("full"), "{detail}");
            if is_killed {
                follower.kill();
                follower = self.standby.follow();
                println!("{}", follower.await_line(WAITS));
            }
            self.disk.free();
            for reader in &mut self.readers {
                assert!(reader.sees(written), "a reader: {}", reader.report());
            }
            self.standby.await_equal(&self.fleet);
        }
        self.finish(follower);
    }

    fn finish(self, follower: Program) {
        for reader in self.readers {
            let report = reader.stop();
            println!("{report}");
            assert!(report.get("wrong").is_none(), "a reader saw something wrong: {report}");
        }
        let status = self.standby.await_state("a", "live");
        assert_eq!(status["heals"], 0, "nothing had to be rebuilt: {status}");
        assert_eq!(follower.terminate(), 0);
        self.fleet.finish(self.shipper);
        self.standby.assert_equal(&self.fleet);
    }
}

#[test]
fn a_full_disk_of_the_databases_delays_the_standby_and_tears_nothing() {
    let _turn = shared();
    let fleet = Fleet::new("full-standby", &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    let this = "disk_full::a_full_disk_of_the_databases_delays_the_standby_and_tears_nothing";
    let Some(disk) = SmallDisk::over(&standby.databases(), 32, this) else { return };
    let (world, follower) = World::new(disk, fleet, standby);
    world.full_and_free(follower);
}

#[test]
fn a_full_state_folder_delays_the_standby_and_tears_nothing() {
    let _turn = shared();
    let fleet = Fleet::new("full-state", &["a"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    let this = "disk_full::a_full_state_folder_delays_the_standby_and_tears_nothing";
    let Some(disk) = SmallDisk::over(&standby.state_dir(), 4, this) else { return };
    let (world, follower) = World::new(disk, fleet, standby);
    world.full_and_free(follower);
}

/// Both programs ended with a panic when a log line could not be written: the disk that their lines go to was full.
#[test]
fn programs_whose_log_lines_cannot_be_written_go_on() {
    let _turn = shared();
    let fleet = Fleet::new("full-log", &["a"]);
    let standby = Standby::of(&fleet);
    Ledger::commit(&fleet.db("a"), 5);
    let start = |mut command: Command| {
        let full = File::create("/dev/full").expect("a file that is always full");
        let verbose = command.env("RUST_LOG", "debug").stdin(Stdio::null()).stdout(Stdio::null());
        verbose.stderr(full).spawn().expect("the program starts")
    };
    let programs =
        [start(fleet.replicate(&fleet.config("alpha"))), start(standby.command("follow"))];
    standby.await_equal(&fleet);
    Ledger::commit(&fleet.db("a"), 5);
    standby.await_equal(&fleet);
    for mut program in programs {
        kill_process(Pid::from_child(&program), Signal::TERM).expect("it is there");
        assert_eq!(program.wait().expect("its end").code(), Some(0));
    }
}
