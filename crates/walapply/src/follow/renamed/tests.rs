//! What may stand under a former name, and under the new one.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use segment::Seq;
use tempfile::TempDir;

use super::*;
use crate::image::testing::name;
use crate::replace::RealDisk;
use crate::replica::own::FileId;
use crate::replica::sidecar::Sidecar;
use crate::testing::{Image, Source};

/// A database called `new` that was called `old`.
struct World {
    _folder: TempDir,
    place: Place,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = crate::testing::place(folder.path(), name("new"));
        let place = Place { formers: vec![name("old")], ..place };
        Self { _folder: folder, place }
    }

    fn old(&self) -> PathBuf {
        self.place.path_of(&name("old"))
    }

    fn sidecar(&self, name: &Name) -> PathBuf {
        sidecar::path(&self.place.state_dir, name)
    }

    /// Nothing is left under the former name; what was kept, by its file name.
    fn kept(&self) -> Vec<String> {
        assert!(files::length(&self.old()).unwrap().is_none());
        assert!(!files::companions_present(&self.old()).unwrap());
        let folders = fs::read_dir(self.place.state_dir.join("evidence"));
        let files = folders
            .into_iter()
            .flatten()
            .flat_map(|each| fs::read_dir(each.unwrap().path()).unwrap());
        let mut kept: Vec<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        kept.sort();
        kept
    }

    /// A database of the standby, whose newest commit stands in its `-wal` only.
    fn database(&self, name: &str, seed: u64) -> (Image, Connection) {
        let made = database(&self.place.path_of(&self::name(name)), seed);
        self.remember(name);
        made
    }

    /// What stands under a name is the standby's own.
    fn remember(&self, name: &str) {
        let name = self::name(name);
        let file = FileId::of(&self.place.path_of(&name)).unwrap();
        let sidecar = Sidecar { ceiling: Seq::new(7), file };
        sidecar::write(&RealDisk, &self.sidecar(&name), &sidecar).unwrap();
    }
}

fn database(path: &Path, seed: u64) -> (Image, Connection) {
    let mut source = Source::create(path, 4096, "UTF-8", seed);
    source.connection.execute_batch("PRAGMA journal_mode=WAL").unwrap();
    source.mutate();
    (source.image(), source.connection)
}

#[test]
fn the_file_moves_with_what_stands_in_its_wal_and_what_is_known_of_it() {
    let world = World::new();
    let (image, connection) = world.database("old", 1);
    let known = sidecar::read(&world.sidecar(&name("old")));
    drop(connection);
    for again in [false, true] {
        bring(&world.place).unwrap();
        assert_eq!(Image::of(&world.place.path), image, "{again}");
        assert_eq!(world.kept(), Vec::<String>::new());
        assert_eq!(sidecar::read(&world.sidecar(&world.place.name)), known);
    }
}

#[test]
fn whoever_reads_it_is_waited_for() {
    let world = World::new();
    let (image, reader) = world.database("old", 1);
    let error = bring(&world.place).unwrap_err();
    assert!(matches!(error, ApplyError::Busy { .. }), "{error}");
    assert!(!world.place.path.exists());
    drop(reader);
    bring(&world.place).unwrap();
    assert_eq!(Image::of(&world.place.path), image);
}

#[test]
fn what_cannot_be_the_database_is_kept_as_evidence() {
    let world = World::new();
    drop(world.database("old", 1));
    let (taken, connection) = world.database("new", 2);
    drop(connection);
    bring(&world.place).unwrap();
    assert_eq!(Image::of(&world.place.path), taken, "its content decides");
    assert_eq!(world.kept(), ["old.db"]);

    let world = World::new();
    fs::write(world.old(), [7; 8192]).unwrap();
    world.remember("old");
    bring(&world.place).unwrap();
    assert!(!world.place.path.exists());
    assert_eq!(world.kept(), ["old.db"]);
}

/// What lies under the former name stays there, and what lies under the new one is waited for.
#[test]
fn what_is_not_ours_is_left_alone() {
    let world = World::new();
    let (foreign, connection) = database(&world.old(), 1);
    drop(connection);
    bring(&world.place).unwrap();
    assert_eq!(Image::of(&world.old()), foreign);
    assert!(!world.place.path.exists());

    let world = World::new();
    let (image, connection) = world.database("old", 1);
    drop(connection);
    let (foreign, connection) = database(&world.place.path, 2);
    drop(connection);
    let error = bring(&world.place).unwrap_err();
    assert!(matches!(error, ApplyError::NotOurs(_)), "{error}");
    assert_eq!((Image::of(&world.old()), Image::of(&world.place.path)), (image.clone(), foreign));
    fs::remove_file(&world.place.path).unwrap();
    for ending in files::COMPANIONS {
        files::remove(&files::companion(&world.place.path, ending)).unwrap();
    }
    bring(&world.place).unwrap();
    assert_eq!(Image::of(&world.place.path), image);
}

/// They would be replayed into the file that comes.
#[test]
fn companions_without_a_database_are_not_mixed_in() {
    let world = World::new();
    let (image, connection) = world.database("old", 1);
    drop(connection);
    fs::write(files::companion(&world.place.path, "-wal"), b"stale").unwrap();
    bring(&world.place).unwrap();
    assert_eq!(Image::of(&world.place.path), image);
    assert_eq!(world.kept(), ["new.db-wal"]);
}
