//! The promises of [`Store`], as checks that every backend's tests run.
//!
//! A check panics with its own name where a promise is broken. Each gets a store of its own, empty at first.
//! What no black-box check can see (that writes survive a power cut) each backend tests by itself.

use crate::{Listing, ObjectName, Put, Store, Swap};
use segment::Seq;
use std::sync::Barrier;

/// Runs every check on stores that `make` makes, each empty.
///
/// # Panics
/// Where a promise is broken.
pub fn run(make: impl Fn() -> Box<dyn Store>) {
    let checks: [fn(&dyn Store); 13] = [
        creates_once,
        keeps_bytes_exactly,
        reads_ranges_and_cuts_them_at_the_end,
        misses_are_answers,
        overwrites_unconditionally,
        overwrites_only_what_was_expected,
        a_tag_follows_the_object,
        deletes_and_says_whether,
        creates_again_after_a_deletion,
        lists_in_order_of_whole_names,
        lists_in_pages,
        one_of_many_creates,
        one_of_many_swaps,
    ];
    for check in checks {
        check(&*make());
    }
}

fn log(seq: u64) -> ObjectName {
    ObjectName::log(Seq::new(seq).expect("the checks count from 1"))
}

fn get(store: &dyn Store, name: &ObjectName) -> Option<Vec<u8>> {
    let reply = store.get(name).expect("a get succeeds");
    reply.value.map(|object| object.body.to_vec())
}

fn create(store: &dyn Store, name: &ObjectName, body: &[u8]) -> Put {
    store.put_if_absent(name, body).expect("a put-if-absent succeeds").value
}

fn list(store: &dyn Store, prefix: &str, after: Option<&str>, limit: usize) -> Listing {
    store.list(prefix, after, limit).expect("a list succeeds").value
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn creates_once(store: &dyn Store) {
    assert_eq!(create(store, &log(1), b"first"), Put::Created);
    assert_eq!(create(store, &log(1), b"second"), Put::Exists);
    assert_eq!(create(store, &log(1), b"first"), Put::Exists, "equal bytes are no exception");
    assert_eq!(get(store, &log(1)).as_deref(), Some(&b"first"[..]));
}

fn keeps_bytes_exactly(store: &dyn Store) {
    let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    for (seq, body) in [(1, &b""[..]), (2, b"\0"), (3, &every_byte)] {
        create(store, &log(seq), body);
        assert_eq!(get(store, &log(seq)).as_deref(), Some(body));
        let listed = list(store, log(seq).as_str(), None, 1);
        assert_eq!(listed.entries[0].bytes, body.len() as u64);
    }
}

fn reads_ranges_and_cuts_them_at_the_end(store: &dyn Store) {
    create(store, &log(1), b"0123456789");
    let range = |range| store.get_range(&log(1), range).expect("a ranged get succeeds").value;
    assert_eq!(range(0..4).as_deref(), Some(&b"0123"[..]));
    assert_eq!(range(7..10).as_deref(), Some(&b"789"[..]));
    assert_eq!(range(8..1_000_000).as_deref(), Some(&b"89"[..]));
    assert_eq!(range(10..20).as_deref(), Some(&b""[..]));
    assert_eq!(range(50..60).as_deref(), Some(&b""[..]));
    assert_eq!(range(3..3).as_deref(), Some(&b""[..]));
}

fn misses_are_answers(store: &dyn Store) {
    assert_eq!(get(store, &log(1)), None);
    assert_eq!(store.get_range(&log(1), 0..10).expect("a miss is no error").value, None);
    assert!(!store.delete(&log(1)).expect("a miss is no error").value);
    assert_eq!(list(store, "log/", None, 10), Listing::default());
}

fn overwrites_unconditionally(store: &dyn Store) {
    let name = ObjectName::boundary();
    for body in [&b"one"[..], b"two"] {
        store.put(&name, body).expect("a put succeeds");
        assert_eq!(get(store, &name).as_deref(), Some(body));
    }
}

fn overwrites_only_what_was_expected(store: &dyn Store) {
    let name = ObjectName::boundary();
    let swap = |body: &[u8], expected| {
        store.put_if_match(&name, body, expected).expect("a conditional put succeeds").value
    };
    let Swap::Written(first) = swap(b"one", None) else { panic!("nothing stood there") };
    assert_eq!(swap(b"two", None), Swap::Conflict, "something stands there");
    let Swap::Written(second) = swap(b"two", Some(&first)) else { panic!("the tag is current") };
    assert_ne!(first, second);
    assert_eq!(swap(b"three", Some(&first)), Swap::Conflict, "the tag is of an older content");
    assert_eq!(get(store, &name).as_deref(), Some(&b"two"[..]));
    assert!(matches!(swap(b"three", Some(&second)), Swap::Written(_)));
    store.delete(&name).expect("a delete succeeds");
    assert_eq!(swap(b"four", Some(&second)), Swap::Conflict, "nothing stands there any more");
    assert_eq!(get(store, &name), None);
}

fn a_tag_follows_the_object(store: &dyn Store) {
    let name = ObjectName::boundary();
    let written =
        store.put_if_match(&name, b"one", None).expect("a conditional put succeeds").value;
    let read = store.get(&name).expect("a get succeeds").value.expect("it was written");
    assert_eq!(written, Swap::Written(read.etag.clone()));
    store.put(&name, b"two").expect("a put succeeds");
    let stale = store.put_if_match(&name, b"three", Some(&read.etag));
    assert_eq!(stale.expect("a conflict is no error").value, Swap::Conflict);
}

fn deletes_and_says_whether(store: &dyn Store) {
    create(store, &log(1), b"x");
    create(store, &log(2), b"y");
    assert!(store.delete(&log(1)).expect("a delete succeeds").value);
    assert!(!store.delete(&log(1)).expect("a second delete is harmless").value);
    assert_eq!(get(store, &log(1)), None);
    assert_eq!(names(&list(store, "log/", None, 10)), [log(2).as_str()]);
}

fn creates_again_after_a_deletion(store: &dyn Store) {
    create(store, &log(1), b"old");
    store.delete(&log(1)).expect("a delete succeeds");
    assert_eq!(create(store, &log(1), b"new"), Put::Created);
    assert_eq!(get(store, &log(1)).as_deref(), Some(&b"new"[..]));
}

/// Names whose order as wholes is not the order of a walk through sorted folders.
fn lists_in_order_of_whole_names(store: &dyn Store) {
    let database = |text: &str| segment::Name::parse(text).expect("a valid name");
    let standby = |text: &str| ObjectName::standby(&database(text));
    let all = [
        standby("a"),
        standby("a-b"),
        standby("a.b"),
        log(1),
        log(10),
        log(2),
        ObjectName::boundary(),
    ];
    let mut sorted: Vec<&str> = all.iter().map(ObjectName::as_str).collect();
    sorted.sort_unstable();
    for name in &all {
        create(store, name, b"x");
    }
    assert_eq!(names(&list(store, "", None, 100)), sorted);
    let logs = [log(1), log(2), log(10)];
    assert_eq!(names(&list(store, "log/", None, 100)), logs.each_ref().map(ObjectName::as_str));
    let tenth = log(10);
    let cut = tenth.as_str().strip_suffix("0.seg").expect("a log object's name ends so");
    assert_eq!(
        names(&list(store, cut, None, 100)),
        [tenth.as_str()],
        "a prefix may end within a name"
    );
    assert!(list(store, "../", None, 100).entries.is_empty());
}

fn lists_in_pages(store: &dyn Store) {
    for seq in 1..=25 {
        create(store, &log(seq), b"x");
    }
    let mut seen = Vec::new();
    let mut pages = 0;
    loop {
        let after = seen.last().map(ObjectName::as_str);
        let page = list(store, "log/", after, 10);
        seen.extend(page.entries.into_iter().map(|entry| entry.name));
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=25).map(log).collect::<Vec<_>>());
    assert_eq!(pages, 3);
    let after_all = list(store, "log/", Some(log(25).as_str()), 10);
    assert_eq!(after_all, Listing::default());
    assert!(!list(store, "log/", None, 25).more, "a page that holds everything is the last");
}

const THREADS: u8 = 8;

fn one_of_many_creates(store: &dyn Store) {
    for seq in 1..=20 {
        let won = race(|thread| create(store, &log(seq), &[thread; 1000]) == Put::Created);
        assert_eq!(won.len(), 1, "exactly one creates");
        assert_eq!(get(store, &log(seq)), Some(vec![won[0]; 1000]));
    }
}

fn one_of_many_swaps(store: &dyn Store) {
    let name = ObjectName::boundary();
    store.put(&name, b"start").expect("a put succeeds");
    for _ in 0..10 {
        let before = store.get(&name).expect("a get succeeds").value.expect("it stands there");
        let won = race(|thread| {
            let body = [before.body.as_ref(), &[thread]].concat();
            let swap = store.put_if_match(&name, &body, Some(&before.etag));
            matches!(swap.expect("a conflict is no error").value, Swap::Written(_))
        });
        assert_eq!(won.len(), 1, "exactly one swaps");
        let after = get(store, &name).expect("it stands there");
        assert_eq!(after, [before.body.as_ref(), &[won[0]]].concat());
    }
}

/// Runs `attempt` in several threads at once; the threads for which it was true.
fn race(attempt: impl Fn(u8) -> bool + Sync) -> Vec<u8> {
    let start = Barrier::new(usize::from(THREADS));
    std::thread::scope(|scope| {
        let spawn = |thread| {
            let (start, attempt) = (&start, &attempt);
            scope.spawn(move || {
                start.wait();
                attempt(thread).then_some(thread)
            })
        };
        let threads: Vec<_> = (0..THREADS).map(spawn).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no check panics")).collect()
    })
}
