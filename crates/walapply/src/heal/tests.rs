//! What comes to the place of a database while its rebuild is got ready.

use std::fs;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::image::testing::{Shop, name};
use crate::replica::own;
use crate::testing::Image;

/// One database of the store, and where it belongs.
struct World {
    folder: TempDir,
    shop: Shop,
    place: Place,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut shop = Shop::open();
        shop.create("ledger", "p0", 4096);
        shop.flush();
        let place = crate::testing::place(folder.path(), name("ledger"));
        Self { folder, shop, place }
    }

    fn held(&self) -> Held {
        own::check(&self.place.path, None).unwrap()
    }

    fn rebuild(&self, held: Held) -> Result<Manner, ApplyError> {
        let Shop { store, catalogue, databases, .. } = &self.shop;
        let source = PageSource::open(store, catalogue, databases[0].id, self.shop.last())?;
        rebuild(&self.place, held, &source, false).map(|rebuilt| rebuilt.manner)
    }

    /// Somebody else's database takes the place of whatever stands there.
    fn come(&self) {
        let path = self.folder.path().join("foreign.db");
        let sql = "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE alien(x)";
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        fs::rename(&path, &self.place.path).unwrap();
    }
}

#[test]
fn what_came_since_it_was_looked_at_is_left_as_it_is() {
    let nothing: fn(&World) = |_| ();
    let empty: fn(&World) = |world| fs::write(&world.place.path, b"").unwrap();
    let ours: fn(&World) = |world| _ = world.rebuild(world.held()).unwrap();
    for (before, manner) in
        [(nothing, Manner::Installed), (empty, Manner::Filled), (ours, Manner::Repaired)]
    {
        let world = World::new();
        before(&world);
        let held = world.held();
        world.come();
        let foreign = fs::read(&world.place.path).unwrap();
        let error = world.rebuild(held).unwrap_err();
        assert!(
            matches!(&error, ApplyError::NotOurs(path) if *path == world.place.path),
            "{error}"
        );
        assert!(foreign == fs::read(&world.place.path).unwrap(), "{manner:?}");
        assert!(!files::companions_present(&world.place.path).unwrap(), "{manner:?}");

        fs::remove_file(&world.place.path).unwrap();
        before(&world);
        assert_eq!(world.rebuild(world.held()).unwrap(), manner);
        let shipped = world.shop.databases[0].shipped.as_ref().unwrap();
        assert_eq!(Image::of(&world.place.path).checksum(), shipped.checksum());
    }
}
