//! Crash enumeration: every write path of the local store is stopped at each of its steps, by a kill and by a
//! power cut that keeps any part of what was not synced; then the store is opened again and must keep its
//! promises. The last tests let syncs lie, to show that the checks would notice.

use super::model::{Lies, ModelDisk};
use super::*;
use crate::clock::ManualClock;
use segment::{Epoch, Seq, WriterId};

const OLD: &[u8] = b"old content";
const NEW: &[u8] = b"something new and longer";

fn open(disk: &ModelDisk) -> LocalStore {
    LocalStore::on_disk(Box::new(disk.clone()), Arc::new(ManualClock::default()))
}

fn log(seq: u64) -> ObjectName {
    ObjectName::log(Seq::new(seq).unwrap())
}

fn side() -> ObjectName {
    ObjectName::side(Epoch::FIRST, WriterId::from_bytes([1; 16]), 1, 0)
}

fn content(store: &LocalStore, name: &ObjectName) -> Option<Vec<u8>> {
    store.get(name).unwrap().value.map(|object| object.body.to_vec())
}

/// A write that is stopped, and what it did before that.
struct Stopped {
    disk: ModelDisk,
    is_acknowledged: bool,
    steps: usize,
}

/// Runs `write` on disks prepared by `before`, stopped after 0, 1, 2, ... steps until it runs to its end.
fn stop_at_each_step(
    lies: Lies,
    before: impl Fn(&LocalStore),
    write: impl Fn(&LocalStore) -> Result<bool, StoreError>,
) -> Vec<Stopped> {
    let mut all = Vec::new();
    for steps in 0.. {
        let disk = ModelDisk::lying(lies);
        before(&open(&disk));
        // A power cut long after: what stood before is durable unless syncs lie.
        let store = open(&disk);
        let begun = disk.steps();
        disk.stop_after(steps);
        let outcome = write(&store);
        let is_whole = disk.steps() - begun < steps;
        let is_acknowledged = matches!(outcome, Ok(true));
        all.push(Stopped { disk, is_acknowledged, steps });
        if is_whole {
            return all;
        }
    }
    unreachable!("a write has an end")
}

/// Every disk that is found after the stop.
fn left(stopped: &Stopped) -> Vec<ModelDisk> {
    let mut disks = stopped.disk.after_power_cut();
    disks.push(stopped.disk.after_kill());
    disks
}

/// Invariants L1 and L2 of a create; what is broken, if anything.
fn check_creation(lies: Lies, name: &ObjectName) -> Result<(), String> {
    let creates = |store: &LocalStore| {
        store.put_if_absent(name, NEW).map(|reply| reply.value == Put::Created)
    };
    for stopped in stop_at_each_step(lies, |_| (), creates) {
        for disk in left(&stopped) {
            let store = open(&disk);
            let found = content(&store, name);
            let at = stopped.steps;
            if found.as_deref().is_some_and(|found| found != NEW) {
                return Err(format!("after {at} steps a part of the object is there"));
            }
            if stopped.is_acknowledged && found.is_none() {
                return Err(format!("after {at} steps an acknowledged object is gone"));
            }
            let again = store.put_if_absent(name, NEW).unwrap().value;
            assert_eq!(again == Put::Exists, found.is_some());
            assert_eq!(content(&store, name).as_deref(), Some(NEW));
            assert_eq!(store.list("", None, 10).unwrap().value.entries.len(), 1);
        }
    }
    Ok(())
}

#[test]
fn a_create_is_whole_or_nothing_at_every_step() {
    check_creation(Lies::default(), &log(1)).unwrap();
    check_creation(Lies::default(), &side()).unwrap();
}

/// The same for overwriting `OLD`.
fn check_overwrite(
    lies: Lies,
    write: impl Fn(&LocalStore, &ObjectName) -> Result<bool, StoreError>,
) -> Result<(), String> {
    let name = ObjectName::boundary();
    let before = |store: &LocalStore| {
        store.put(&name, OLD).unwrap();
    };
    for stopped in stop_at_each_step(lies, before, |store| write(store, &name)) {
        for disk in left(&stopped) {
            let found = content(&open(&disk), &name);
            let at = stopped.steps;
            match found.as_deref() {
                Some(NEW) => {}
                Some(OLD) if !stopped.is_acknowledged => {}
                other => return Err(format!("after {at} steps {other:?} is there")),
            }
            open(&disk).put(&name, b"third").unwrap();
            assert_eq!(content(&open(&disk), &name).as_deref(), Some(&b"third"[..]));
        }
    }
    Ok(())
}

#[test]
fn an_overwrite_leaves_the_old_or_the_new_at_every_step() {
    check_overwrite(Lies::default(), |store, name| store.put(name, NEW).map(|_| true)).unwrap();
}

#[test]
fn a_conditional_overwrite_leaves_the_old_or_the_new_at_every_step() {
    let swap = |store: &LocalStore, name: &ObjectName| {
        let expected = ETag::of_content(OLD);
        let swap = store.put_if_match(name, NEW, Some(&expected))?.value;
        Ok(matches!(swap, Swap::Written(_)))
    };
    check_overwrite(Lies::default(), swap).unwrap();
}

/// Invariant L3: whatever another process could read after the writer was stopped is there after a power cut,
/// whether or not the log had objects before.
fn check_reading(lies: Lies, has_first: bool) -> Result<(), String> {
    let name = log(1 + u64::from(has_first));
    let creates = |store: &LocalStore| {
        store.put_if_absent(&name, NEW).map(|reply| reply.value == Put::Created)
    };
    let before = |store: &LocalStore| {
        if has_first {
            store.put_if_absent(&log(1), OLD).unwrap();
        }
    };
    let mut was_read = 0;
    for stopped in stop_at_each_step(lies, before, creates) {
        let reader_disk = stopped.disk.after_kill();
        let reader = open(&reader_disk);
        if has_first {
            content(&reader, &log(1)).expect("it was acknowledged");
        }
        let Some(seen) = content(&reader, &name) else { continue };
        was_read += 1;
        for disk in reader_disk.after_power_cut() {
            if content(&open(&disk), &name) != Some(seen.clone()) {
                let at = stopped.steps;
                return Err(format!("after {at} steps a reader keeps what a power cut removes"));
            }
        }
    }
    assert!(was_read > 1, "the object was read before and after its writer vouched for it");
    Ok(())
}

#[test]
fn what_a_reader_has_seen_survives_at_every_step() {
    check_reading(Lies::default(), true).unwrap();
    check_reading(Lies::default(), false).unwrap();
}

#[test]
fn one_sync_vouches_for_a_run_of_objects_and_for_nothing_after_it() {
    let disk = ModelDisk::default();
    let writer = open(&disk);
    for seq in 1..=5 {
        writer.put_if_absent(&log(seq), NEW).unwrap();
    }
    let reader = open(&disk);
    let read_all = |last| (1..=last).for_each(|seq| assert!(content(&reader, &log(seq)).is_some()));
    let steps_of = |last| {
        let before = disk.steps();
        read_all(last);
        disk.steps() - before
    };
    // Five reads, four successors and one empty name probed, the folder and the one above it synced.
    assert_eq!(steps_of(5), 5 + 5 + 2);
    assert_eq!(steps_of(5), 5, "nothing is synced twice");
    writer.put_if_absent(&log(6), NEW).unwrap();
    assert_eq!(steps_of(6), 6 + 1 + 1, "a new object is synced once");
}

#[test]
fn the_checks_notice_files_that_are_not_synced() {
    let lies = Lies { file_syncs: true, ..Lies::default() };
    assert!(check_creation(lies, &log(1)).is_err());
    assert!(check_overwrite(lies, |store, name| store.put(name, NEW).map(|_| true)).is_err());
}

#[test]
fn the_checks_notice_folders_that_are_not_synced() {
    let lies = Lies { folder_syncs: true, ..Lies::default() };
    assert!(check_creation(lies, &log(1)).is_err());
    assert!(check_creation(lies, &side()).is_err());
    assert!(check_overwrite(lies, |store, name| store.put(name, NEW).map(|_| true)).is_err());
    assert!(check_reading(lies, true).is_err());
    assert!(check_reading(lies, false).is_err());
}
