use std::path::PathBuf;
use std::thread::JoinHandle;

use super::*;
use crate::follow::clocks::testing::ManualClocks;
use crate::image::testing::{Shop, name};
use segment::ObjectName;
use tempfile::TempDir;

/// The reading thread over a shop's log, with a clock of the test's.
struct Read {
    clocks: ManualClocks,
    queue: Receiver<Event>,
    alive: Sender<()>,
    thread: JoinHandle<()>,
    _folder: TempDir,
}

impl Read {
    fn start(shop: &Shop) -> Self {
        let (folder, clocks) = (tempfile::tempdir().unwrap(), ManualClocks::at(Millis::new(1)));
        let (events, queue) = crossbeam_channel::bounded(1);
        let (alive, stop) = crossbeam_channel::bounded(0);
        let reading = Reading {
            store: Arc::clone(&shop.store),
            clocks: clocks.clocks(),
            fleet: name("anvil"),
            state_dir: folder.path().to_owned(),
            limits: Limits::new(Duration::from_millis(10), Duration::from_millis(10)),
            once: false,
            events,
            stop,
        };
        let thread = std::thread::spawn(|| run(reading));
        Self { clocks, queue, alive, thread, _folder: folder }
    }

    /// The next event that is meant. `never` must not come before.
    fn until(&self, is_it: impl Fn(&Event) -> bool, never: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let event = self.queue.recv_deadline(deadline).expect("an event");
            if is_it(&event) {
                return event;
            }
            assert!(!never(&event), "too early");
        }
    }

    fn stop(self) {
        drop((self.alive, self.queue));
        self.thread.join().unwrap();
    }
}

fn is_tail(event: &Event) -> bool {
    matches!(event, Event::Tail { .. })
}

fn is_skipped(event: &Event) -> bool {
    matches!(event, Event::Skipped { .. })
}

/// Nobody asked: a log that was cut off looked like one without news.
#[test]
fn a_log_that_is_cut_off_while_it_is_read_is_told_and_waited_for() {
    let mut shop = Shop::open();
    shop.create("ledger", "p0", 4096);
    let last = shop.flush();
    let path = path_of(&shop, last);
    let read = Read::start(&shop);
    read.until(is_tail, |_| false);
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    read.clocks.advance(NEAR_INTERVAL);
    let vanished = |event: &Event| matches!(event, Event::Trouble(error) if error.to_string().contains("vanished"));
    read.until(vanished, |_| false);
    std::fs::write(&path, kept).unwrap();
    read.until(is_tail, |_| false);
    read.stop();
}

/// A log whose end was taken away behind its first object.
struct Hole {
    shop: Shop,
    first: Seq,
    last: (PathBuf, Vec<u8>),
}

impl Hole {
    fn of(size: u32) -> Self {
        let mut shop = Shop::open();
        shop.create("ledger", "p0", 4096);
        let first = shop.flush().next();
        let taken = (0..=size).map(|_| {
            shop.databases[0].source.mutate();
            let path = shop.flush();
            let path = path_of(&shop, path);
            let kept = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            (path, kept)
        });
        let last = taken.last().unwrap();
        Self { shop, first, last }
    }

    /// What is lost is a hole now, and no longer the end.
    fn give_back_the_last(&self) {
        let (path, kept) = &self.last;
        std::fs::write(path, kept).unwrap();
    }
}

impl Read {
    /// Waits for a look that is due now, and for the answer after it: what was found counts from then on.
    fn look(&self) -> Option<(Doubt, Position)> {
        (0..3).find_map(|_| {
            match self.until(|event| is_tail(event) || is_skipped(event), |_| false) {
                Event::Skipped { lost, position, .. } => Some((lost, position)),
                _ => None,
            }
        })
    }
}

/// Objects that vanished before they were read looked like the end of the log for an hour, whatever the primary wrote behind
/// them.
#[test]
fn a_hole_at_the_end_of_what_was_read_is_found_soon() {
    // In a long silence a listing is not always paid for.
    let listed_often = LISTINGS_AHEAD + 2;
    for (size, looks_before, looks) in [
        (1, 0, 1),
        (5, 0, 1),
        (99, 0, 1),
        (1, listed_often, 1),
        (5, listed_often, 4),
        (1000, 0, 16),
    ] {
        let hole = Hole::of(size);
        let read = Read::start(&hole.shop);
        read.until(is_tail, is_skipped);
        for _ in 0..looks_before {
            read.clocks.advance(NEAR_INTERVAL);
            assert!(read.look().is_none());
        }
        hole.give_back_the_last();
        read.clocks.advance(NEAR_INTERVAL - Duration::from_secs(1));
        assert!(read.look().is_none(), "a hole of {size} is found without a look");
        let found = (0..looks).find_map(|_| {
            read.clocks.advance(NEAR_INTERVAL);
            read.look()
        });
        let (lost, position) = found.unwrap_or_else(|| panic!("a hole of {size} is not found"));
        assert_eq!((lost.first, position.next), (hole.first, hole.shop.last()));
        read.stop();
    }
}

#[test]
fn a_last_object_that_vanishes_or_changes_is_told() {
    let mut shop = Shop::open();
    shop.create("ledger", "p0", 4096);
    let last = shop.flush();
    let Tail::At { position, .. } = find_tail(&*shop.store).unwrap() else { panic!("no log") };
    assert_eq!(lost(&*shop.store, &position), None);
    let other = Position { previous: segment::SegmentHash::ZERO, ..position.clone() };
    assert!(lost(&*shop.store, &other).unwrap().to_string().contains("not what it was"));
    let path = path_of(&shop, last);
    let kept = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(lost(&*shop.store, &position).unwrap().to_string().contains("vanished"));
    std::fs::write(&path, kept).unwrap();
    shop.flush();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(lost(&*shop.store, &position), None, "the log went on from it");
}

fn path_of(shop: &Shop, seq: Seq) -> PathBuf {
    shop.object_path(&ObjectName::log(seq))
}
