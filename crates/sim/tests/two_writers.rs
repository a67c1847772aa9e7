//! Two shippers on one log: exactly one goes on, the other is told who owns it, the store is never damaged.
//!
//! Every interleaving of their requests is tried: before its k-th request the first writer pauses while the
//! second one does its whole work, for every k.

use fleet_log::{LogError, Position};
use sim::kit::{
    append, collect, describe, identity, name, promote, read_from, resend_until_decided, start,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use store::{Fault, Faulty, MemoryStore, Request, Store, StoreError};

type Meanwhile = Box<dyn FnOnce() + Send>;

/// A store of its own for one writer, over a shared one; before request `pause_at`, `meanwhile` happens.
fn pausing(
    shared: &Arc<dyn Store>,
    pause_at: u64,
    meanwhile: Meanwhile,
) -> (Arc<dyn Store>, Arc<AtomicU64>) {
    let meanwhile = Mutex::new(Some(meanwhile));
    let requests = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&requests);
    let script = move |request: &Request<'_>| {
        count.fetch_add(1, Ordering::SeqCst);
        if request.number == pause_at
            && let Some(meanwhile) = meanwhile.lock().unwrap().take()
        {
            meanwhile();
        }
        Fault::Pass
    };
    (Arc::new(Faulty::new(Arc::clone(shared), script)), requests)
}

fn shared() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

/// What a whole working life comes to: the tags that were acknowledged, and how it ended.
fn work(store: &Arc<dyn Store>, node: &str, writer: u8) -> (Vec<String>, Option<LogError>) {
    let identity = identity(node, writer);
    let mut acknowledged = Vec::new();
    let mut owner = match start(store, &identity) {
        Ok(owner) => owner,
        Err(error) => return (acknowledged, Some(error)),
    };
    for count in 0..3 {
        let tag = format!("{node}{writer}-{count}");
        match append(&mut owner, &tag) {
            Ok(_) => acknowledged.push(tag),
            Err(error) => return (acknowledged, Some(error)),
        }
    }
    (acknowledged, None)
}

/// Every acknowledged tag stands in the log, once and in its writer's order.
fn check_all_there(contents: &[String], acknowledged: &[String]) {
    let there: Vec<&String> = contents.iter().filter(|tag| acknowledged.contains(tag)).collect();
    assert_eq!(there, acknowledged.iter().collect::<Vec<_>>(), "in {contents:?}");
}

/// The second writer works while the first pauses before its k-th request, for every k.
fn interleave(
    second: (&'static str, u8),
    check: impl Fn(&[String], Option<LogError>, &[String], Option<LogError>),
) {
    for pause_at in 0.. {
        let shared = shared();
        let outcome = Arc::new(Mutex::new(None));
        let meanwhile: Meanwhile = {
            let (shared, outcome) = (Arc::clone(&shared), Arc::clone(&outcome));
            Box::new(move || *outcome.lock().unwrap() = Some(work(&shared, second.0, second.1)))
        };
        let (paused, requests) = pausing(&shared, pause_at, meanwhile);
        let (first_tags, first_end) = work(&paused, "anvil", 1);
        let Some((second_tags, second_end)) = outcome.lock().unwrap().take() else {
            assert!(requests.load(Ordering::SeqCst) <= pause_at);
            return;
        };
        let contents = read_from(&shared, Position::START).unwrap();
        check_all_there(&contents, &first_tags);
        check_all_there(&contents, &second_tags);
        check(&first_tags, first_end, &second_tags, second_end);
    }
}

#[test]
fn of_two_nodes_only_one_ever_owns_the_log() {
    interleave(("forge", 2), |first, first_end, second, second_end| {
        let fenced_by = |end: Option<LogError>| match end {
            Some(error @ LogError::Fenced { .. }) => {
                assert_eq!(error.exit_code(), 3);
                let LogError::Fenced { owner, .. } = error else { unreachable!() };
                Some(owner)
            }
            Some(other) => panic!("{other}"),
            None => None,
        };
        let (first_fence, second_fence) = (fenced_by(first_end), fenced_by(second_end));
        match (first_fence, second_fence) {
            (None, Some(owner)) => {
                assert_eq!((owner, first.len(), second.len()), (name("anvil"), 3, 0));
            }
            (Some(owner), None) => {
                assert_eq!((owner, first.len(), second.len()), (name("forge"), 0, 3));
            }
            other => panic!("exactly one goes on: {other:?}"),
        }
    });
}

/// A cloned host, or a second shipper with the same `node`: the later fence wins, the other is told so.
#[test]
fn of_two_starts_on_one_node_the_later_goes_on() {
    interleave(("anvil", 2), |first, first_end, second, second_end| {
        let is_fenced = |end: &Option<LogError>| matches!(end, Some(LogError::Fenced { .. }));
        match (first_end, second_end) {
            // It paused before its fence: the fence came after everything of the other.
            (None, None) => assert_eq!((first.len(), second.len()), (3, 3)),
            (Some(end), None) => {
                assert!(is_fenced(&Some(end)));
                assert_eq!(second.len(), 3);
            }
            other => panic!("the one that was not interrupted goes on: {other:?}"),
        }
    });
}

#[test]
fn a_restarted_owner_continues() {
    let store = shared();
    let mut first = start(&store, &identity("anvil", 1)).unwrap();
    append(&mut first, "one").unwrap();
    drop(first);
    let mut second = start(&store, &identity("anvil", 2)).unwrap();
    assert_eq!(
        second.before_fence().unwrap().header.seq,
        second.position().next.previous().unwrap().previous()
    );
    append(&mut second, "two").unwrap();
    let contents = read_from(&store, Position::START).unwrap();
    assert_eq!(contents, ["fence e1 anvil", "one", "fence e2 anvil", "two"]);
}

#[test]
fn a_writer_that_was_fenced_stays_so() {
    let store = shared();
    let mut first = start(&store, &identity("anvil", 1)).unwrap();
    let mut second = start(&store, &identity("anvil", 2)).unwrap();
    for _ in 0..2 {
        let error = append(&mut first, "lost").unwrap_err();
        assert!(matches!(error, LogError::Fenced { .. }), "{error}");
        assert!(first.check_still_owner().is_err());
    }
    append(&mut second, "kept").unwrap();
    let contents = read_from(&store, Position::START).unwrap();
    assert_eq!(contents, ["fence e1 anvil", "fence e2 anvil", "kept"]);
}

#[test]
fn an_idle_writer_learns_that_it_was_fenced() {
    let store = shared();
    let mut first = start(&store, &identity("anvil", 1)).unwrap();
    first.check_still_owner().unwrap();
    let mut second = promote(&store, &identity("forge", 2), "anvil").unwrap();
    let error = first.check_still_owner().unwrap_err();
    assert!(matches!(&error, LogError::Fenced { owner, .. } if *owner == name("forge")), "{error}");
    append(&mut second, "on").unwrap();
}

/// Its slot was filled, retired and deleted meanwhile: empty again, as if nothing had happened.
#[test]
fn an_idle_writer_learns_it_even_after_a_collection() {
    let store = shared();
    let mut first = start(&store, &identity("anvil", 1)).unwrap();
    let mut second = promote(&store, &identity("forge", 2), "anvil").unwrap();
    append(&mut second, "three").unwrap();
    append(&mut second, "four").unwrap();
    collect(&*store, 4);
    let error = first.check_still_owner().unwrap_err();
    assert!(matches!(&error, LogError::Fenced { owner, .. } if *owner == name("forge")), "{error}");
}

/// The put of the deposed owner is under way while the promotion happens; it lands before, between or never.
#[test]
fn a_put_under_way_during_a_promotion_is_history_or_is_not_acknowledged() {
    for lands_first in [true, false] {
        let memory: Arc<dyn Store> = shared();
        let script = |request: &Request<'_>| match (request.operation, request.name) {
            (store::Operation::PutIfAbsent, path) if path.ends_with("2.seg") => Fault::Late,
            // The writer that waits for the answer does not get to ask either.
            (store::Operation::Get, path) if path.ends_with("2.seg") => {
                Fault::Refuse(StoreError::unavailable(path, "the network is gone"))
            }
            _ => Fault::Pass,
        };
        let faulty = Arc::new(Faulty::new(Arc::clone(&memory), script));
        let through: Arc<dyn Store> = faulty.clone();
        let mut deposed = start(&through, &identity("anvil", 1)).unwrap();
        assert!(append(&mut deposed, "under-way").unwrap_err().is_transient());
        if lands_first {
            faulty.land_late().unwrap();
        }
        let mut promoted = promote(&memory, &identity("forge", 2), "anvil").unwrap();
        append(&mut promoted, "after").unwrap();
        faulty.land_late().unwrap();
        let contents = read_from(&memory, Position::START).unwrap();
        let expected: &[&str] = if lands_first {
            &["fence e1 anvil", "under-way", "fence e2 forge", "after"]
        } else {
            &["fence e1 anvil", "fence e2 forge", "after"]
        };
        assert_eq!(contents, expected);
    }
}

/// SIGSTOP for an hour, promotion elsewhere, deletion, SIGCONT: its slot is empty again when it wakes.
#[test]
fn a_writer_that_slept_through_a_promotion_and_a_collection_damages_nothing() {
    let memory = shared();
    let is_asleep = Arc::new(AtomicBool::new(false));
    let asleep = Arc::clone(&is_asleep);
    let script = move |request: &Request<'_>| match asleep.load(Ordering::SeqCst) {
        true => Fault::Refuse(StoreError::unavailable(request.name, "asleep")),
        false => Fault::Pass,
    };
    let its_store: Arc<dyn Store> = Arc::new(Faulty::new(Arc::clone(&memory), script));
    let mut sleeper = start(&its_store, &identity("anvil", 1)).unwrap();
    append(&mut sleeper, "two").unwrap();
    is_asleep.store(true, Ordering::SeqCst);
    assert!(append(&mut sleeper, "three").unwrap_err().is_transient());

    let mut promoted = promote(&memory, &identity("forge", 2), "anvil").unwrap();
    for count in 0..4 {
        append(&mut promoted, &format!("forge-{count}")).unwrap();
    }
    collect(&*memory, 6);
    let before = objects(&*memory);
    assert_eq!(before.first().map(String::as_str), Some("gc/boundary"));

    is_asleep.store(false, Ordering::SeqCst);
    let error = resend_until_decided(&mut sleeper).unwrap_err();
    assert!(matches!(&error, LogError::Fenced { owner, .. } if *owner == name("forge")), "{error}");
    assert_eq!(objects(&*memory), before, "its object is gone again");
    append(&mut promoted, "still-fine").unwrap();
}

fn objects(store: &dyn Store) -> Vec<String> {
    let listing = store.list("", None, 100).unwrap().value;
    listing.entries.iter().map(|entry| entry.name.to_string()).collect()
}

/// The whole matter once more over the local store, with writers in threads of their own.
#[test]
fn many_writers_at_once_on_a_local_folder_leave_one_history() {
    let scratch = tempfile::tempdir().unwrap();
    let open =
        || -> Arc<dyn Store> { Arc::new(store::LocalStore::open(scratch.path(), true).unwrap()) };
    let shared = open();
    let acknowledged: Vec<Vec<String>> = std::thread::scope(|scope| {
        let spawn = |writer: u8| {
            let store = open();
            scope.spawn(move || work(&store, "anvil", writer).0)
        };
        let writers: Vec<_> = (1..=4).map(spawn).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let contents = read_from(&shared, Position::START).unwrap();
    for tags in &acknowledged {
        check_all_there(&contents, tags);
    }
    let mut last = start(&shared, &identity("anvil", 9)).unwrap();
    append(&mut last, "end").unwrap();
    let mut reader = fleet_log::Reader::new(shared, Position::START);
    let fleet_log::Step::Segment(first) = reader.step().unwrap() else { panic!("there is a log") };
    assert_eq!(describe(&first), "fence e1 anvil");
}
