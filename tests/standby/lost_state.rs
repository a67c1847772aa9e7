//! Local state that is lost, stale, or swapped: the content of the files says where they stand, and the standby comes
//! back by itself.

use std::fs;
use std::path::Path;

use e2e::objects::copy_folder;
use e2e::{Fleet, Ledger, Rng, Standby, shared};
use serde_json::Value;

/// A fleet that is shipped run by run, and its standby.
struct World {
    fleet: Fleet,
    standby: Standby,
}

impl World {
    fn new(test: &str) -> Self {
        let fleet = Fleet::new(test, &["a", "b"]);
        let standby = Standby::of(&fleet);
        let world = Self { fleet, standby };
        world.ship();
        world.standby.catch_up();
        world
    }

    /// Changes both databases and ships them.
    fn ship(&self) {
        for name in self.fleet.names() {
            Ledger::commit(&self.fleet.db(name), 40);
        }
        assert_eq!(self.fleet.ship_once(), 0);
    }

    /// Follows to the end; then both databases are equal. The follower's report.
    fn catch_up(&self, after: &str) -> Value {
        let output = self.standby.once();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "after {after}: {}\n{text}", output.status);
        self.standby.assert_equal(&self.fleet);
        serde_json::from_slice(&output.stdout).expect("a report")
    }

    /// What a loss does, with and without changes of the primary afterwards.
    fn lose(&self, what: &str, lose: impl Fn(&Self)) {
        for changes in [false, true] {
            lose(self);
            if changes {
                self.ship();
            }
            let report = self.catch_up(what);
            let databases = report["databases"].as_array().expect("databases");
            let heals: Vec<_> = databases.iter().map(|each| each["heals"].clone()).collect();
            println!("{what}, changes {changes}: rebuilt {heals:?}");
        }
    }
}

fn remove(database: &Path, endings: &[&str]) {
    for ending in endings {
        let mut path = database.as_os_str().to_owned();
        path.push(ending);
        let _ = fs::remove_file(path);
    }
}

#[test]
fn whatever_is_lost_the_standby_comes_back() {
    let _turn = shared();
    let world = World::new("lost");
    world.lose("the state folder", |world| {
        fs::remove_dir_all(world.standby.state_dir()).expect("removed");
    });
    world.lose("one database", |world| remove(&world.standby.db("a"), &["", "-wal", "-shm"]));
    world
        .lose("one database without its companions", |world| remove(&world.standby.db("a"), &[""]));
    world.lose("one -wal", |world| remove(&world.standby.db("a"), &["-wal"]));
    world.lose("one -wal and -shm", |world| remove(&world.standby.db("a"), &["-wal", "-shm"]));
    world.lose("all databases", |world| {
        fs::remove_dir_all(world.standby.databases()).expect("removed");
    });
    world.lose("everything", |world| {
        fs::remove_dir_all(world.standby.folder()).expect("removed");
        fs::create_dir(world.standby.folder()).expect("a folder");
    });
    world.lose("all but 100 bytes of one database", |world| {
        remove(&world.standby.db("a"), &["-wal", "-shm"]);
        let file = fs::File::options().write(true).open(world.standby.db("a")).expect("the file");
        file.set_len(100).expect("truncated");
    });
    world.lose("the first page of one database", |world| {
        remove(&world.standby.db("a"), &["-wal", "-shm"]);
        let bytes = fs::read(world.standby.db("a")).expect("the file");
        fs::write(world.standby.db("a"), [vec![0xA5; 4096], bytes[4096..].to_vec()].concat())
            .expect("written");
    });
    world.fleet.assert_verified();
}

/// Every mixture of older and newer copies of databases and state.
#[test]
fn older_copies_of_files_and_state_are_brought_forward() {
    let _turn = shared();
    let mut rng = Rng::seeded("older");
    let world = World::new("older");
    let copies = world.fleet.scratch.file("copies");
    for generation in 0..3 {
        copy_folder(world.standby.folder(), &copies.join(generation.to_string()));
        world.ship();
        world.catch_up("an ordinary run");
    }
    for _ in 0..8 {
        let (of_files, of_state) = (rng.below(3).to_string(), rng.below(3).to_string());
        for name in ["a", "b"] {
            if rng.below(3) > 0 {
                remove(&world.standby.db(name), &["", "-wal", "-shm"]);
                for ending in ["", "-wal"] {
                    let file = format!("{name}.db{ending}");
                    let from = copies.join(&of_files).join("databases").join(&file);
                    let _ = fs::copy(from, world.standby.databases().join(file));
                }
            }
        }
        if rng.below(2) > 0 {
            fs::remove_dir_all(world.standby.state_dir()).expect("removed");
            copy_folder(&copies.join(&of_state).join("state"), &world.standby.state_dir());
        }
        if rng.below(2) > 0 {
            world.ship();
        }
        world.catch_up(&format!("files of {of_files}, state of {of_state}"));
    }
}
