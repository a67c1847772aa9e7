//! Lost answers of conditional puts, and every other fault of a request, against the real drivers.
//!
//! First each single fault at each single request of a working life, then seeded storms of them. In each run
//! whatever was acknowledged stands in the log once and in order, the writer is never told by its own object
//! that it was fenced, and the log reads from beginning to end.

use fleet_log::{LogError, Position, Writer};
use sim::kit::{append, identity, read_from, resend_until_decided, start};
use std::sync::Arc;
use store::{Counted, Fault, Faulty, MemoryStore, Rates, Request, Seeded, Store, StoreError};

const APPENDS: usize = 4;

/// The seed of the storms' first run; the others count on from it.
const SEED: u64 = 0xC0FF_EE00;

#[allow(clippy::disallowed_methods, reason = "the one parameter of the long form")]
fn scale() -> u64 {
    std::env::var("WALSHIP_TEST_SCALE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Starts again after every transient error, as a program does, with the writer id of its start.
fn start_at_last(store: &Arc<dyn Store>, writer: u8) -> Writer {
    for _ in 0..10_000 {
        match start(store, &identity("anvil", writer)) {
            Err(error) if error.is_transient() => {}
            decided => return decided.expect("nobody else writes"),
        }
    }
    panic!("no start succeeds");
}

/// Starts, appends, restarts, appends; all that was acknowledged. `meanwhile` happens after each append.
fn live(store: &Arc<dyn Store>, meanwhile: &dyn Fn(usize)) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for writer in [1, 2] {
        let mut owner = start_at_last(store, writer);
        for count in 0..APPENDS {
            let tag = format!("w{writer}-{count}");
            match append(&mut owner, &tag) {
                Err(error) if error.is_transient() => resend_until_decided(&mut owner),
                decided => decided,
            }
            .expect("nobody else writes");
            acknowledged.push(tag);
            meanwhile(acknowledged.len());
        }
    }
    acknowledged
}

/// The log without its fences, which may be more than the starts that succeeded.
fn data(contents: Vec<String>) -> Vec<String> {
    contents.into_iter().filter(|what| !what.starts_with("fence")).collect()
}

fn check(script: impl Fn(&Request<'_>) -> Fault + Send + Sync + 'static, what: &str) {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let faulty = Arc::new(Faulty::new(Arc::clone(&memory), script));
    let through: Arc<dyn Store> = faulty.clone();
    // Late writes land after every third append, and at the end.
    let meanwhile = |appends: usize| {
        if appends.is_multiple_of(3) {
            faulty.land_late().unwrap();
        }
    };
    let acknowledged = live(&through, &meanwhile);
    for when in ["before", "after"] {
        let contents = read_from(&memory, Position::START);
        let contents = contents.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(data(contents), acknowledged, "{what}, {when} the late writes landed");
        faulty.land_late().unwrap();
    }
}

fn requests_of_a_life() -> u64 {
    let faulty = Arc::new(Faulty::new(MemoryStore::default(), |_: &Request<'_>| Fault::Pass));
    let through: Arc<dyn Store> = faulty.clone();
    live(&through, &|_| ());
    faulty.requests()
}

#[test]
fn each_fault_at_each_request_is_survived() {
    let requests = requests_of_a_life();
    assert!(requests > 20, "{requests}");
    let refused = Fault::Refuse(StoreError::unavailable("x", "refused"));
    let throttled =
        Fault::Refuse(StoreError::Throttled { what: "x".to_owned(), retry_after: None });
    for fault in [Fault::LoseAnswer, Fault::Late, refused, throttled] {
        for at in 0..requests {
            let this = fault.clone();
            let script = move |request: &Request<'_>| {
                if request.number == at { this.clone() } else { Fault::Pass }
            };
            check(script, &format!("{fault:?} at request {at}"));
        }
    }
}

#[test]
fn two_faults_in_a_row_are_survived() {
    let requests = requests_of_a_life();
    for faults in [
        [Fault::LoseAnswer, Fault::LoseAnswer],
        [Fault::Late, Fault::LoseAnswer],
        [Fault::LoseAnswer, Fault::Late],
        [Fault::Late, Fault::Late],
    ] {
        for at in 0..requests {
            let pair = faults.clone();
            let script = move |request: &Request<'_>| match request.number.checked_sub(at) {
                Some(index @ 0..=1) => pair[index as usize].clone(),
                _ => Fault::Pass,
            };
            check(script, &format!("{faults:?} from request {at}"));
        }
    }
}

#[test]
fn storms_of_faults_are_survived() {
    let rates = Rates { refuse: 100, lose_answer: 150, late: 100, ..Rates::default() };
    for seed in SEED..SEED + 200 * scale() {
        let storm = Seeded { seed, rates };
        check(move |request| storm.fault(request), &format!("the storm of seed {seed:#x}"));
    }
}

/// W4 is what makes lost answers harmless: one more request, not a second copy.
#[test]
fn a_lost_answer_costs_one_read() {
    let life = |script: fn(&Request<'_>) -> Fault| {
        let counted = Arc::new(Counted::new(MemoryStore::default()));
        let inner: Arc<dyn Store> = counted.clone();
        let store: Arc<dyn Store> = Arc::new(Faulty::new(inner, script));
        let mut owner = start(&store, &identity("anvil", 1)).unwrap();
        append(&mut owner, "one").unwrap();
        counted.counts()
    };
    let plain = life(|_| Fault::Pass);
    let lossy = life(|request| match request.operation {
        store::Operation::PutIfAbsent => Fault::LoseAnswer,
        _ => Fault::Pass,
    });
    assert_eq!(plain.write, 2);
    assert_eq!(lossy.write, plain.write);
    assert_eq!(lossy.read, plain.read + 2);
}

#[test]
fn while_the_answer_is_unknown_nothing_else_is_appended() {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let script = |request: &Request<'_>| match request.operation {
        store::Operation::Get if request.name.ends_with("2.seg") => {
            Fault::Refuse(StoreError::unavailable(request.name, "gone"))
        }
        store::Operation::PutIfAbsent if request.name.ends_with("2.seg") => Fault::LoseAnswer,
        _ => Fault::Pass,
    };
    let through: Arc<dyn Store> = Arc::new(Faulty::new(Arc::clone(&memory), script));
    let mut owner = start(&through, &identity("anvil", 1)).unwrap();
    assert!(append(&mut owner, "one").unwrap_err().is_transient());
    assert!(owner.has_pending());
    assert!(matches!(owner.resend(), Err(LogError::Store(_))));
    assert_eq!(owner.position().next.get(), 2, "not acknowledged");
    assert_eq!(read_from(&memory, Position::START).unwrap(), ["fence e1 anvil", "one"]);
}
