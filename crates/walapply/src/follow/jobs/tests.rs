//! What is durable before a database is changed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::image::testing::{Shop, name};
use crate::testing::Image;

/// Takes every byte, and says that it cannot make them durable.
const UNSYNCABLE: &str = "/dev/null";

/// One database of the store, and where it belongs.
struct World {
    _folder: TempDir,
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
        Self { _folder: folder, shop, place }
    }

    fn sidecar(&self) -> PathBuf {
        sidecar::path(&self.place.state_dir, &self.place.name)
    }

    /// Makes the file what the store has.
    fn rebuild(&self) -> Result<Done, Box<Undone>> {
        let tools = Tools { store: Arc::clone(&self.shop.store), budget: Budget::standard() };
        let assignment = Assignment {
            db: self.shop.databases[0].id,
            place: self.place.clone(),
            replica: None,
            cut: Cut { at: Some(self.shop.last()), catalogue: self.shop.catalogue.clone() },
            sidecar: sidecar::read(&self.sidecar()),
            job: Job::Rebuild { is_unexplained: false },
        };
        run(&tools, assignment).result
    }

    fn files(&self) -> Vec<Option<Vec<u8>>> {
        let beside = files::COMPANIONS.map(|ending| files::companion(&self.place.path, ending));
        [self.place.path.clone()]
            .into_iter()
            .chain(beside)
            .map(|path| fs::read(path).ok())
            .collect()
    }
}

/// The mark is off the file for a moment. After a power cut then, only what is remembered tells that the file is ours.
#[test]
fn a_file_is_not_changed_before_it_is_durably_remembered() {
    let synced = fs::File::open(UNSYNCABLE).and_then(|file| file.sync_all());
    assert!(synced.is_err(), "{UNSYNCABLE} can be synced");
    let empty: fn(&World) = |world| fs::write(&world.place.path, b"").unwrap();
    let older: fn(&World) = |world| assert!(world.rebuild().is_ok());
    for before in [empty, older] {
        let mut world = World::new();
        before(&world);
        world.shop.databases[0].source.mutate();
        world.shop.flush();
        let former = world.files();
        // The next sidecar is written through this link, which then takes the place of the former one.
        symlink(Path::new(UNSYNCABLE), world.sidecar().with_extension("json.new")).unwrap();
        let undone = world.rebuild().err().expect("nothing was durable");
        assert!(undone.error.to_string().contains("syncing"), "{}", undone.error);
        assert!(former == world.files(), "the file was changed");

        fs::remove_file(world.sidecar()).unwrap();
        assert!(matches!(world.rebuild(), Ok(Done::Rebuilt { .. })));
        let shipped = world.shop.databases[0].shipped.as_ref().unwrap();
        assert_eq!(Image::of(&world.place.path).checksum(), shipped.checksum());
    }
}
