//! Renames that are read at an inconvenient moment.

use segment::{Name, Record};

use super::*;
use crate::replica::sidecar;
use crate::testing::Image;

impl World {
    /// Databases get other names, all in one log object.
    fn ship_renames(&mut self, renames: &[(usize, &str)]) {
        let renamed = |(index, text): &(usize, &str)| {
            let tracked = &mut self.shop.databases[*index];
            tracked.name = name(text);
            Record::Renamed { db: tracked.id, name: name(text) }
        };
        let records = renames.iter().map(renamed).collect();
        self.shop.append(records, Vec::new());
    }

    /// Every database lies under its name, whole, and nothing under any other.
    fn assert_named(&self) {
        let shipped = self.shop.databases.iter();
        let expected: Vec<String> =
            shipped.clone().map(|tracked| format!("{}.db", tracked.name)).collect();
        for tracked in shipped {
            let image = Image::of(&self.path(tracked.name.as_str()));
            let shipped = tracked.shipped.as_ref().unwrap();
            assert_eq!(image.checksum(), shipped.checksum(), "{}", tracked.name);
        }
        let mut found = self.files();
        found.retain(|file| file.ends_with(".db"));
        assert_eq!(sorted(found), sorted(expected));
        let facts = self.fleet.facts().snapshot;
        assert_eq!((facts.read, facts.applied), (Some(self.shop.last()), Some(self.shop.last())));
        let names: Vec<Name> = facts.databases.iter().map(|each| each.name.clone()).collect();
        let shipped = self.shop.databases.iter().map(|tracked| tracked.name.clone());
        assert_eq!(names, sorted(shipped.collect()));
        assert!(facts.databases.iter().all(|each| each.state == Condition::Live), "{facts:#?}");
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.fleet.settings.folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn evidence(&self) -> usize {
        let folder = self.fleet.settings.state_dir.join("evidence");
        std::fs::read_dir(folder).map_or(0, Iterator::count)
    }
}

fn sorted<T: Ord>(mut all: Vec<T>) -> Vec<T> {
    all.sort();
    all
}

/// The job under way knows the former name only. What it reported was taken for news of the file under the new name:
/// that was never made, status called it live, and changes went on into the former file.
#[test]
fn a_rename_that_is_read_while_a_job_runs_is_carried_out() {
    type Begin<'a> = &'a dyn Fn(&mut World);
    let jobs: [(&str, Begin<'_>); 5] = [
        ("open", &World::restart),
        ("apply", &|world| _ = world.change()),
        ("look", &|world| world.clocks.advance(LONG)),
        ("look at a lost file", &|world| {
            std::fs::remove_file(world.path(world.shop.databases[0].name.as_str())).unwrap();
            world.clocks.advance(LONG);
        }),
        ("install", &|world| {
            std::fs::remove_file(world.path(world.shop.databases[0].name.as_str())).unwrap();
            world.restart();
            world.go_round();
            world.take_reports();
        }),
    ];
    let mut world = World::at_rest();
    for (number, (job, begin)) in jobs.into_iter().enumerate() {
        println!("{job}");
        begin(&mut world);
        world.go_round();
        assert!(world.fleet.members.values().any(Member::is_at_work), "{job}");
        world.ship_renames(&[(0, &format!("ledger-{number}"))]);
        world.read_on();
        world.settle();
        world.assert_named();
        world.change();
        world.settle();
        world.assert_named();
    }
    let sidecars = world.fleet.settings.state_dir.join("replicas");
    assert_eq!(std::fs::read_dir(sidecars).unwrap().count(), 1, "a sidecar goes with its file");
    let last = sidecar::read(&sidecar::path(&world.fleet.settings.state_dir, &name("ledger-4")));
    assert_eq!(last.ceiling, Some(world.shop.last()));
}

#[test]
fn a_database_that_goes_back_to_its_name_is_found_there() {
    let mut world = World::at_rest();
    world.restart();
    world.go_round();
    for names in [&["general", "ledger"][..], &["general"], &["other", "ledger", "other", "final"]]
    {
        for text in names {
            world.ship_renames(&[(0, text)]);
        }
        world.read_on();
        world.go_round();
        world.settle();
        world.assert_named();
    }
    assert_eq!(world.evidence(), 0);
}

#[test]
fn names_that_are_exchanged_or_passed_on_lead_to_the_right_files() {
    let mut world = World::at_rest();
    world.shop.create("notes", "p0", 1024);
    world.shop.flush();
    world.read_on();
    world.settle();
    world.assert_named();
    world.ship_renames(&[(0, "notes"), (1, "ledger")]);
    world.read_on();
    world.settle();
    world.assert_named();
    // Passed on, read in one go: the first one leaves a name, the second one gets it.
    world.ship_renames(&[(0, "third")]);
    world.ship_renames(&[(1, "notes")]);
    world.read_on();
    world.settle();
    world.assert_named();
    // Given to a new database, while the one that had it is being opened there.
    world.restart();
    world.go_round();
    world.ship_renames(&[(0, "fourth")]);
    world.shop.create("third", "p0", 4096);
    world.shop.flush();
    world.read_on();
    world.settle();
    world.assert_named();
}

/// A follower that was killed before it saved its position reads a rename again that it has carried out, and the former
/// name is another database's by now.
#[test]
fn a_rename_that_is_read_again_leaves_the_file_of_the_next_one_of_that_name_alone() {
    let mut world = World::at_rest();
    let (catalogue, position) = (world.fleet.catalogue.clone(), world.fleet.position.clone());
    world.ship_renames(&[(0, "general")]);
    world.read_on();
    world.settle();
    world.shop.create("ledger", "p0", 4096);
    world.shop.flush();
    world.read_on();
    world.settle();
    world.assert_named();
    let files = sorted(world.files());
    world.fleet = Fleet::new(settings(&world.folder, &world.clocks));
    world.begin_at(catalogue, position);
    while world.fleet.position.next < world.shop.next {
        world.go_round();
        world.take_reports();
        world.read_objects(1);
    }
    world.fleet.read(Event::Tail { server: START }).unwrap();
    world.settle();
    world.assert_named();
    assert_eq!((sorted(world.files()), world.evidence()), (files, 0));
    let facts = world.fleet.facts().snapshot;
    let general = facts.databases.iter().find(|each| each.name == name("general")).unwrap();
    assert_eq!(general.heals, 0, "it has its file");
}

/// A follower that was killed reads a rename again: it made a whole copy under the former name each time, and then took that
/// for somebody else's.
#[test]
fn no_file_is_made_under_a_name_that_is_about_to_change() {
    let mut world = World::at_rest();
    let saved = world.saved();
    world.ship_renames(&[(0, "sales")]);
    world.read_on();
    world.settle();
    world.assert_named();
    world.fleet = Fleet::new(settings(&world.folder, &world.clocks));
    world.begin_at(saved.catalogue, saved.position);
    for _ in 0..3 {
        world.go_round();
        world.take_reports();
    }
    assert!(!world.path("ledger").exists(), "{:?}", world.files());
    assert_eq!(world.fleet.facts().snapshot.left_behind, []);
    world.read_on();
    world.settle();
    world.assert_named();
    assert_eq!(world.evidence(), 0);
    assert_eq!(world.fleet.facts().snapshot.left_behind, []);
}
