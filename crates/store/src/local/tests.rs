//! The local store on the host's own file system: its promises, its modes, and what it refuses.

use super::*;
use crate::conformance;
use segment::Seq;
use std::cell::RefCell;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

fn log(seq: u64) -> ObjectName {
    ObjectName::log(Seq::new(seq).unwrap())
}

fn scratch() -> (TempDir, LocalStore) {
    let scratch = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&scratch.path().join("store"), true).unwrap();
    (scratch, store)
}

#[test]
fn keeps_the_promises_of_a_store() {
    let kept = RefCell::new(Vec::new());
    conformance::run(|| {
        let (scratch, store) = scratch();
        kept.borrow_mut().push(scratch);
        Box::new(store)
    });
}

#[test]
fn no_temporary_file_is_left_and_none_is_listed() {
    let (scratch, store) = scratch();
    store.put_if_absent(&log(1), b"one").unwrap();
    store.put_if_absent(&log(1), b"again").unwrap();
    store.put(&ObjectName::boundary(), b"two").unwrap();
    let temporaries = scratch.path().join("store/.walship/tmp");
    assert_eq!(std::fs::read_dir(temporaries).unwrap().count(), 0);
    assert_eq!(store.list("", None, 100).unwrap().value.entries.len(), 2);
}

#[test]
fn litter_of_a_crash_goes_at_the_next_opening_once_it_is_old() {
    let (scratch, store) = scratch();
    let path = scratch.path().join("store");
    let (old, young) = (path.join(".walship/tmp/old"), path.join(".walship/tmp/young"));
    std::fs::write(&young, b"half").unwrap();
    let file = std::fs::File::create(&old).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    drop(store);
    LocalStore::open(&path, true).unwrap();
    assert!(!old.exists());
    assert!(young.exists());
}

#[test]
fn files_are_for_their_owner_only() {
    let (scratch, store) = scratch();
    store.put_if_absent(&log(1), b"one").unwrap();
    store.put(&ObjectName::boundary(), b"two").unwrap();
    let mode = |path: &str| {
        let path = scratch.path().join("store").join(path);
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    for folder in ["", "log", "gc", ".walship", ".walship/tmp"] {
        assert_eq!(mode(folder), 0o700, "{folder}");
    }
    for file in [log(1).as_str(), "gc/boundary", ".walship/lock"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn symbolic_links_are_never_followed() {
    let (scratch, store) = scratch();
    let path = scratch.path().join("store");
    let outside = scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), b"secret").unwrap();
    store.put_if_absent(&log(1), b"one").unwrap();
    symlink(outside.join("secret"), path.join(log(2).as_str())).unwrap();
    symlink(&outside, path.join("gc")).unwrap();
    symlink(outside.join("absent"), path.join(log(3).as_str())).unwrap();

    assert!(matches!(store.get(&log(2)), Err(StoreError::Corrupt { .. })));
    assert_eq!(store.put_if_absent(&log(3), b"three").unwrap().value, Put::Exists);
    assert!(store.put(&ObjectName::boundary(), b"x").is_err());
    assert!(store.get(&ObjectName::boundary()).is_err());
    let listed = store.list("", None, 100).unwrap().value.entries;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
}

#[test]
fn strange_files_are_passed_over_in_listings() {
    let (scratch, store) = scratch();
    store.put_if_absent(&log(1), b"one").unwrap();
    for strange in ["log/notes.txt", "log/.hidden", "readme", "log/7.seg"] {
        std::fs::write(scratch.path().join("store").join(strange), b"x").unwrap();
    }
    let listed = store.list("", None, 100).unwrap().value.entries;
    assert_eq!(listed.iter().map(|entry| &entry.name).collect::<Vec<_>>(), [&log(1)]);
}

#[test]
fn a_missing_folder_is_not_an_empty_store() {
    let (scratch, store) = scratch();
    let path = scratch.path().join("store");
    store.put_if_absent(&log(1), b"one").unwrap();
    std::fs::rename(&path, scratch.path().join("elsewhere")).unwrap();
    let unavailable = |error| matches!(error, StoreError::Unavailable { .. });
    assert!(unavailable(store.get(&log(2)).unwrap_err()));
    assert!(unavailable(store.list("log/", Some(log(1).as_str()), 9).unwrap_err()));
    std::fs::create_dir(&path).unwrap();
    assert!(unavailable(store.get(&log(2)).unwrap_err()));
    std::fs::remove_dir(&path).unwrap();
    assert!(matches!(LocalStore::open(&path, false), Err(StoreError::Unavailable { .. })));
}

#[test]
fn a_file_in_the_place_of_the_folder_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("file");
    std::fs::write(&path, b"x").unwrap();
    assert!(matches!(LocalStore::open(&path, false), Err(StoreError::Config { .. })));
    assert!(matches!(LocalStore::open(&path, true), Err(StoreError::Config { .. })));
}

#[test]
fn a_folder_that_a_deletion_left_empty_goes_and_can_come_back() {
    let (scratch, store) = scratch();
    let writer = segment::WriterId::from_bytes([7; 16]);
    let part = |part| ObjectName::side(segment::Epoch::FIRST, writer, 1, part);
    for _ in 0..2 {
        store.put_if_absent(&part(0), b"zero").unwrap();
        store.put_if_absent(&part(1), b"one").unwrap();
        store.delete(&part(0)).unwrap();
        assert!(store.get(&part(1)).unwrap().value.is_some());
        store.delete(&part(1)).unwrap();
        let side = scratch.path().join("store/side");
        assert_eq!(std::fs::read_dir(side).unwrap().count(), 0);
    }
}

#[test]
fn an_object_too_large_to_be_ours_is_not_read_into_memory() {
    let (scratch, store) = scratch();
    store.put_if_absent(&log(1), b"one").unwrap();
    let path = scratch.path().join("store").join(log(1).as_str());
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(matches!(store.get(&log(1)), Err(StoreError::Corrupt { .. })));
    let head = store.get_range(&log(1), 0..3).unwrap().value;
    assert_eq!(head.as_deref(), Some(&b"one"[..]));
}

/// More strange things than a page has room for, sorting before what is wanted.
#[test]
fn strange_things_do_not_hide_objects_from_small_pages() {
    let (scratch, store) = scratch();
    let path = scratch.path().join("store");
    store.put_if_absent(&log(9), b"nine").unwrap();
    for seq in 1..=5 {
        symlink("/nowhere", path.join(log(seq).as_str())).unwrap();
    }
    let page = store.list("log/", None, 1).unwrap().value;
    assert_eq!(page.entries.iter().map(|entry| &entry.name).collect::<Vec<_>>(), [&log(9)]);
    assert!(!page.more);
}

#[test]
fn a_page_has_the_first_names_of_a_large_folder() {
    let (_scratch, store) = scratch();
    let mut seqs: Vec<u64> = (1..=300).collect();
    seqs.sort_by_key(|seq| seq.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    for seq in seqs {
        store.put_if_absent(&log(seq), b"x").unwrap();
    }
    let page = store.list("", Some(log(100).as_str()), 50).unwrap().value;
    let names: Vec<_> = page.entries.into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, (101..=150).map(log).collect::<Vec<_>>());
    assert!(page.more);
}
