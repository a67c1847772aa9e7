//! Tracks against a model: a file whose content is a number, and a log of changes of that number.

use std::sync::LazyLock;

use super::*;
use crate::testing::{Rng, scale};

fn sum(state: u64) -> Checksum {
    Checksum::new(state.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn link(number: u64) -> Link<u64> {
    Link {
        seq: seq(number),
        pre: sum(number - 1),
        post: sum(number),
        begins_life: false,
        last_txid: Txid::new(number),
        oldest_commit: Millis::new(number * 1_000),
        bytes: 10,
        payload: number,
    }
}

fn expected(state: u64) -> Expected {
    Expected {
        is_live: true,
        is_told: true,
        checksum: sum(state),
        changed: Seq::new(state),
        txid: Txid::new(state),
    }
}

const NOW: Millis = Millis::new(50);

fn start() -> Now {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Now { store: NOW, steady: *START }
}

fn next<P>(track: &mut Track<P>, read: u64) -> Option<Job<P>> {
    track.next_job(Seq::new(read), start().steady)
}

fn following(state: u64) -> Track<u64> {
    let mut track = Track::new(NOW);
    assert_eq!(next(&mut track, state), Some(Job::Open));
    track.opened(Some(sum(state)), None, &expected(state), NOW);
    assert_eq!(track.condition(), Condition::Live);
    track
}

#[test]
fn a_file_is_looked_for_later_unless_the_log_has_news_for_it() {
    let mut track = Track::new(NOW);
    assert!(track.can_wait(start().steady));
    track.arrived(link(4));
    assert!(!track.can_wait(start().steady));
    assert_eq!(next(&mut track, 4), Some(Job::Open));
    track.opened(Some(sum(3)), None, &expected(4), NOW);
    assert!(!track.can_wait(start().steady), "what is known is to be applied");
    let mut track = Track::<u64>::new(NOW);
    assert_eq!(next(&mut track, 3), Some(Job::Open));
    assert!(!track.can_wait(start().steady), "it is under way");
    assert!(!following(3).can_wait(start().steady));
}

#[test]
fn what_piles_up_is_applied_as_one_batch() {
    let mut track = following(3);
    for number in 4..=6 {
        track.arrived(link(number));
    }
    assert_eq!(track.lags_since(), Some(Millis::new(4_000)));
    assert_eq!(track.complete_to(Seq::new(6)), Seq::new(3));
    let Some(Job::Apply(batch)) = next(&mut track, 6) else { panic!("no batch") };
    assert_eq!(batch.iter().map(|link| link.payload).collect::<Vec<_>>(), [4, 5, 6]);
    track.arrived(link(7));
    assert_eq!(next(&mut track, 7), None);
    track.applied(seq(6), Txid::new(6));
    assert_eq!(track.complete_to(Seq::new(7)), Seq::new(6));
    assert!(matches!(next(&mut track, 7), Some(Job::Apply(batch)) if batch.len() == 1));
}

#[test]
fn the_place_of_a_file_is_found_by_its_content() {
    for content in 3..=8 {
        let mut track = Track::new(NOW);
        assert_eq!(next(&mut track, 3), Some(Job::Open));
        // Before the file was looked at, and afterwards.
        (4..=5).for_each(|number| track.arrived(link(number)));
        track.opened(Some(sum(content)), Seq::new(content), &expected(5), NOW);
        (6..=8).for_each(|number| track.arrived(link(number)));
        track.tail_reached(&expected(8), NOW);
        match next(&mut track, 8) {
            Some(Job::Apply(batch)) => assert_eq!(batch[0].payload, content + 1),
            None => assert_eq!((content, track.is_caught_up()), (8, true)),
            other => panic!("{content}: {other:?}"),
        }
    }
}

/// What located it is all that it lacks: the lag went on growing for ever.
#[test]
fn a_file_that_is_located_by_a_later_section_does_not_lag_for_ever() {
    let mut track = Track::new(NOW);
    assert_eq!(next(&mut track, 3), Some(Job::Open));
    track.opened(Some(sum(5)), None, &expected(3), NOW);
    (4..=6).for_each(|number| track.arrived(link(number)));
    assert_eq!(track.lags_since(), Some(Millis::new(6_000)));
    assert!(matches!(next(&mut track, 6), Some(Job::Apply(batch)) if batch.len() == 1));
    track.applied(seq(6), Txid::new(6));
    assert_eq!(track.lags_since(), None);
}

#[test]
fn an_unknown_content_is_rebuilt_once_the_log_was_read_to_its_end() {
    let mut track = Track::new(NOW);
    assert_eq!(next(&mut track, 3), Some(Job::Open));
    track.opened(Some(sum(77)), None, &expected(3), NOW);
    track.arrived(link(4));
    assert_eq!(next(&mut track, 4), None);
    assert_eq!(track.condition(), Condition::Healing);
    track.tail_reached(&expected(4), NOW);
    assert_eq!(next(&mut track, 4), Some(Job::Rebuild { is_unexplained: true }));
    // What arrives while it runs follows it; what it covers is dropped.
    track.arrived(link(5));
    track.rebuilt(Seq::new(4), Seq::new(4), Txid::new(4), sum(4));
    assert!(matches!(next(&mut track, 5), Some(Job::Apply(batch)) if batch[0].payload == 5));
}

#[test]
fn after_a_restart_nothing_is_applied_before_the_ceiling_is_here() {
    // The file is opened when so much has been read: what the log says then, what follows the file's content, nothing that
    // does.
    for (content, read) in [(2, 2), (2, 3), (3, 2)] {
        let mut track = Track::new(NOW);
        assert_eq!(next(&mut track, read), Some(Job::Open));
        (3..=read).for_each(|number| track.arrived(link(number)));
        track.opened(Some(sum(content)), Seq::new(5), &expected(read), NOW);
        assert_eq!(track.is_caught_up(), content == read, "nothing is known to be missing yet");
        for number in read + 1..=4 {
            assert_eq!(next(&mut track, number), None, "{content}, {number}");
            track.arrived(link(number));
        }
        assert_eq!(next(&mut track, 4), None);
        track.arrived(link(5));
        let Some(Job::Apply(batch)) = next(&mut track, 5) else { panic!("no batch") };
        assert_eq!(batch.len() as u64, 5 - content);
    }
}

#[test]
fn a_ceiling_beyond_the_end_of_the_log_does_not_stall() {
    let mut track = Track::new(NOW);
    assert_eq!(next(&mut track, 3), Some(Job::Open));
    track.arrived(link(3));
    track.opened(Some(sum(2)), Seq::new(900), &expected(3), NOW);
    assert_eq!(next(&mut track, 3), None);
    track.tail_reached(&expected(3), NOW);
    assert!(matches!(next(&mut track, 3), Some(Job::Apply(_))));
}

/// It waits for the ceiling, and what it holds must not keep the log from being read up to there.
#[test]
fn what_waits_for_the_ceiling_gives_up_its_memory() {
    let mut track = Track::new(NOW);
    assert_eq!(next(&mut track, 3), Some(Job::Open));
    track.opened(Some(sum(3)), Seq::new(6), &expected(3), NOW);
    track.arrived(Link { bytes: QUEUE_BYTES_MAX + 1, ..link(4) });
    assert_eq!((track.queued_bytes(), next(&mut track, 4)), (0, None));
    track.arrived(link(6));
    assert_eq!(next(&mut track, 6), Some(Job::Rebuild { is_unexplained: false }));
}

#[test]
fn a_new_life_is_a_rebuild_also_while_a_batch_runs() {
    let mut track = following(3);
    track.arrived(link(4));
    assert!(matches!(next(&mut track, 4), Some(Job::Apply(_))));
    track.arrived(Link { begins_life: true, ..link(5) });
    track.arrived(link(6));
    track.applied(seq(4), Txid::new(4));
    assert_eq!(next(&mut track, 6), Some(Job::Rebuild { is_unexplained: false }));
    track.rebuilt(Seq::new(6), Seq::new(6), Txid::new(6), sum(6));
    assert!(track.is_caught_up());
}

#[test]
fn a_failed_batch_waits_and_comes_again_in_order() {
    let mut track = following(3);
    (4..=5).for_each(|number| track.arrived(link(number)));
    let Some(Job::Apply(batch)) = next(&mut track, 5) else { panic!("no batch") };
    track.arrived(link(6));
    track.failed(Trouble::Wait, batch, start());
    assert_eq!(track.condition(), Condition::Waiting);
    assert_eq!(next(&mut track, 6), None);
    assert_eq!(track.lags_since(), Some(Millis::new(4_000)));
    let later = track.pause_until.unwrap();
    let Some(Job::Apply(batch)) = track.next_job(Seq::new(6), later) else { panic!("no batch") };
    assert_eq!(batch.iter().map(|link| link.payload).collect::<Vec<_>>(), [4, 5, 6]);
    track.applied(seq(6), Txid::new(6));
    assert_eq!(track.condition(), Condition::Live);
    assert_eq!(track.pause_until, None);
}

#[test]
fn pauses_grow_but_not_for_ever() {
    let mut track = following(3);
    track.section_damaged(NOW);
    let mut now = start();
    let mut pauses = Vec::new();
    for _ in 0..200 {
        assert!(matches!(track.next_job(Seq::new(3), now.steady), Some(Job::Rebuild { .. })));
        track.failed(Trouble::Distrust, Vec::new(), now);
        assert_eq!(track.condition(), Condition::Corrupt);
        pauses.push(track.pause_until.unwrap() - now.steady);
        now.steady = track.pause_until.unwrap();
    }
    assert_eq!((pauses[0], pauses[199]), (RETRY_PAUSE, RETRY_PAUSE_MAX));
    // A newer base is tried at once.
    assert!(matches!(track.next_job(Seq::new(3), now.steady), Some(Job::Rebuild { .. })));
    track.failed(Trouble::Distrust, Vec::new(), now);
    assert_eq!(track.next_job(Seq::new(3), now.steady), None);
    track.base_named();
    assert!(matches!(track.next_job(Seq::new(3), now.steady), Some(Job::Rebuild { .. })));
}

#[test]
fn memory_is_given_up_for_a_rebuild() {
    let mut track = following(3);
    track.arrived(link(4));
    let Some(Job::Apply(batch)) = next(&mut track, 4) else { panic!("no batch") };
    track.failed(Trouble::Wait, batch, start());
    track.arrived(Link { bytes: QUEUE_BYTES_MAX, ..link(5) });
    assert_eq!(track.queued_bytes(), 0);
    assert_eq!(track.condition(), Condition::Waiting);
    let later = track.pause_until.unwrap();
    assert!(matches!(track.next_job(Seq::new(5), later), Some(Job::Rebuild { .. })));
}

#[test]
fn a_database_without_content_rests_and_wakes() {
    let nothing = Expected { is_live: false, ..expected(1) };
    let mut track: Track<u64> = Track::new(NOW);
    assert_eq!(next(&mut track, 1), Some(Job::Open));
    track.opened(None, None, &nothing, NOW);
    assert_eq!((track.condition(), track.is_caught_up()), (Condition::Empty, true));
    assert_eq!(track.lags_since(), None);
    track.arrived(Link { begins_life: true, ..link(2) });
    assert_eq!(next(&mut track, 2), Some(Job::Rebuild { is_unexplained: false }));
}

/// What was committed before the content went away still comes, also where the follower was down meanwhile; a file that
/// is in no state of the log is kept, since there is nothing to make of it.
#[test]
fn what_a_database_had_before_it_lost_its_content_is_applied_and_kept() {
    let gone = Expected { is_live: false, ..expected(3) };
    let mut behind: Track<u64> = Track::new(NOW);
    assert_eq!(next(&mut behind, 3), Some(Job::Open));
    behind.arrived(link(2));
    behind.arrived(link(3));
    behind.opened(Some(sum(1)), None, &gone, NOW);
    assert!(matches!(next(&mut behind, 3), Some(Job::Apply(links)) if links.len() == 2));
    behind.applied(Seq::new(3).unwrap(), Txid::NONE);
    behind.tail_reached(&gone, NOW);
    assert_eq!((behind.condition(), behind.is_caught_up()), (Condition::Live, true));

    let mut unknown: Track<u64> = Track::new(NOW);
    assert_eq!(next(&mut unknown, 3), Some(Job::Open));
    unknown.opened(Some(sum(77)), None, &gone, NOW);
    unknown.tail_reached(&gone, NOW);
    assert_eq!((unknown.condition(), unknown.is_caught_up()), (Condition::Empty, true));
    assert_eq!(next(&mut unknown, 3), None);
    unknown.tail_reached(&expected(3), NOW);
    assert!(matches!(next(&mut unknown, 3), Some(Job::Rebuild { .. })), "it is back");
}

/// A follower that was away, and begins with a file that is older than what was left out: nobody wrote to it.
#[test]
fn a_jump_explains_a_file_that_is_older() {
    let mut track = Track::<u64>::new(NOW);
    assert_eq!(next(&mut track, 3), Some(Job::Open));
    track.log_jumped(&expected(9), Doubt::of(seq(5), NOW), NOW);
    track.opened(Some(sum(3)), None, &expected(9), NOW);
    track.tail_reached(&expected(9), NOW);
    assert_eq!(next(&mut track, 9), Some(Job::Rebuild { is_unexplained: false }));
}

#[test]
fn after_a_jump_only_databases_that_changed_are_rebuilt() {
    let mut unchanged = following(3);
    unchanged.log_jumped(&expected(3), Doubt::of(seq(4), NOW), NOW);
    assert!(unchanged.is_caught_up());
    let mut changed = following(3);
    changed.log_jumped(&expected(9), Doubt::of(seq(4), NOW), NOW);
    assert_eq!(next(&mut changed, 20), Some(Job::Rebuild { is_unexplained: false }));
}

#[test]
fn behind_a_lost_object_only_a_proof_ends_the_doubt() {
    let lost = Doubt::of(seq(4), Millis::new(4_500));
    let doubtful = || {
        let mut track = following(3);
        track.object_lost(lost);
        track.tail_reached(&expected(3), NOW);
        assert_eq!((track.condition(), track.is_caught_up()), (Condition::Doubtful, true));
        assert_eq!(track.lags_since(), Some(Millis::new(4_500)));
        assert_eq!(track.complete_to(Seq::new(9)), Seq::new(3));
        track
    };
    let mut track = doubtful();
    track.arrived(Link { pre: sum(3), ..link(6) });
    assert_eq!(track.condition(), Condition::Live);
    assert!(matches!(next(&mut track, 6), Some(Job::Apply(_))));
    let mut track = doubtful();
    track.arrived(link(6));
    assert_eq!(next(&mut track, 6), Some(Job::Rebuild { is_unexplained: false }));
    let mut track = doubtful();
    assert!(!track.proven(&expected(3), NOW));
    assert_eq!((track.condition(), track.lags_since()), (Condition::Live, None));
    assert_eq!(track.complete_to(Seq::new(9)), Seq::new(9));
    let mut track = doubtful();
    assert!(track.proven(&expected(4), NOW));
    assert_eq!(next(&mut track, 9), Some(Job::Rebuild { is_unexplained: false }));
    let mut track = doubtful();
    track.log_jumped(&expected(3), lost, NOW);
    assert_eq!(track.condition(), Condition::Live);
}

/// A primary that started behind the lost object knows no more than we, until it begins a new life.
#[test]
fn a_catalogue_that_tells_nothing_of_a_database_ends_no_doubt() {
    let lost = Doubt::of(seq(4), NOW);
    let untold = Expected { is_live: false, is_told: false, ..expected(0) };
    let mut jumped = following(3);
    jumped.log_jumped(&untold, lost, NOW);
    let mut passed = following(3);
    passed.object_lost(lost);
    assert!(!passed.proven(&untold, NOW));
    for mut track in [jumped, passed] {
        track.tail_reached(&untold, NOW);
        assert_eq!((track.condition(), track.is_caught_up()), (Condition::Doubtful, true));
        track.arrived(Link { begins_life: true, ..link(6) });
        assert_eq!(next(&mut track, 6), Some(Job::Rebuild { is_unexplained: false }));
        track.rebuilt(Seq::new(6), Seq::new(6), Txid::new(6), sum(6));
        assert_eq!(track.condition(), Condition::Live);
    }
    let mut sound = following(3);
    assert!(!sound.proven(&untold, NOW));
    assert_eq!(sound.condition(), Condition::Live, "it has everything");
}

#[test]
fn a_rebuild_from_before_a_lost_object_does_not_end_the_doubt() {
    let mut track = following(3);
    track.section_damaged(NOW);
    assert!(matches!(next(&mut track, 3), Some(Job::Rebuild { .. })));
    track.object_lost(Doubt::of(seq(4), NOW));
    track.rebuilt(Seq::new(3), Seq::new(3), Txid::new(3), sum(3));
    assert_eq!(track.condition(), Condition::Doubtful);
    track.arrived(link(5));
    assert!(matches!(next(&mut track, 5), Some(Job::Rebuild { .. })));
    track.rebuilt(Seq::new(5), Seq::new(5), Txid::new(5), sum(5));
    assert!(!track.proven(&expected(5), NOW), "it is what the log says");
    // Proven while it runs: what it makes is not it.
    let mut track = following(3);
    track.section_damaged(NOW);
    assert!(matches!(next(&mut track, 3), Some(Job::Rebuild { .. })));
    track.object_lost(Doubt::of(seq(4), NOW));
    track.proven(&expected(4), NOW);
    track.rebuilt(Seq::new(3), Seq::new(3), Txid::new(3), sum(3));
    assert!(matches!(next(&mut track, 4), Some(Job::Rebuild { .. })));
}

#[test]
fn a_catalogue_that_came_before_the_file_was_located_is_compared_then() {
    let mut track = Track::new(NOW);
    track.arrived(link(4));
    track.object_lost(Doubt::of(seq(5), NOW));
    assert!(!track.proven(&expected(5), NOW), "not known yet");
    assert_eq!(next(&mut track, 6), Some(Job::Open));
    track.opened(Some(sum(3)), None, &expected(5), NOW);
    assert_eq!(next(&mut track, 6), Some(Job::Rebuild { is_unexplained: false }));
}

/// The file has what the lost object held, or it has not: nobody knows yet, and readers do not go back.
#[test]
fn a_file_in_a_state_that_a_lost_object_may_explain_is_left_as_it_is() {
    let mut track: Track<u64> = Track::new(NOW);
    assert_eq!(next(&mut track, 3), Some(Job::Open));
    track.opened(Some(sum(4)), Seq::new(4), &expected(3), NOW);
    track.object_lost(Doubt::of(seq(4), NOW));
    track.tail_reached(&expected(3), NOW);
    assert_eq!(next(&mut track, 4), None);
    assert_eq!((track.condition(), track.is_caught_up()), (Condition::Doubtful, true));
    track.proven(&expected(4), NOW);
    track.tail_reached(&expected(4), NOW);
    assert_eq!((track.condition(), track.is_caught_up()), (Condition::Live, true));
}

fn later(now: Now, ms: u64) -> Now {
    let steady = now.steady + Duration::from_millis(ms);
    Now { store: now.store.offset(ms.cast_signed()), steady }
}

/// A log in which objects get lost, and what is known of it.
#[derive(Default)]
struct Log {
    /// The state of the database.
    state: u64,
    /// As far as the log was read.
    known: u64,
}

impl Log {
    fn expected(&self) -> Expected {
        expected(self.known)
    }

    fn change(&mut self, track: &mut Track<u64>, begins_life: bool) {
        self.state += 1;
        self.known = self.state;
        track.arrived(Link { begins_life, ..link(self.state) });
    }

    /// An object that holds the database's next change, or nothing of it.
    fn lose(&mut self, track: &mut Track<u64>, holds_change: bool, now: Millis) {
        self.state += u64::from(holds_change);
        track.object_lost(Doubt::of(seq(self.state), now));
    }

    fn jump(&mut self, track: &mut Track<u64>, now: Millis) {
        self.state += 5;
        self.known = self.state;
        track.log_jumped(&self.expected(), Doubt::of(seq(self.state), now), now);
    }

    fn publish_catalogue(&mut self, track: &mut Track<u64>, now: Millis) {
        self.known = self.state;
        track.proven(&self.expected(), now);
    }
}

/// A file and a log, everything that can happen to them at random, and at the end a quiet time in which the file must
/// arrive at the log's state (invariant F1). A batch is only ever applied to the state it begins with. What counts as
/// live and caught up is always the log's state, or was changed by others (invariant F3).
fn live(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut log = Log { state: 3, known: 3 };
    let mut file: Option<u64> = Some(rng.below(5)).filter(|state| *state > 0);
    let mut track = Track::new(NOW);
    let mut now = start();
    let mut running: Option<Running> = None;
    for step in 0..400 {
        let is_quiet = step > 300;
        now = later(now, if is_quiet { 40_000 } else { 100 });
        if rng.below(20) == 0 {
            // The time of day jumps: nothing waits by it.
            now.store = Millis::new(rng.below(14_400_000));
        }
        match rng.below(11) {
            0..=3 if !is_quiet => log.change(&mut track, rng.below(30) == 0),
            4 => track.tail_reached(&log.expected(), now.store),
            5 if !is_quiet && running.is_none() && rng.below(20) == 0 => {
                file = Some(1_000_000 + step)
            }
            6 if !is_quiet && rng.below(30) == 0 => log.jump(&mut track, now.store),
            7 if !is_quiet && rng.below(15) == 0 => {
                log.lose(&mut track, rng.below(2) == 0, now.store)
            }
            8 if is_quiet || rng.below(5) == 0 => log.publish_catalogue(&mut track, now.store),
            _ => {}
        }
        track.want_look(false);
        running = match running {
            None => track.next_job(Seq::new(log.state), now.steady).map(|job| Running {
                job,
                at: log.state,
                known: log.known,
            }),
            Some(job) if rng.below(3) > 0 => {
                let fails = !is_quiet && rng.below(5) == 0;
                job.finish(&mut track, &mut file, &log, fails, now);
                None
            }
            running => running,
        };
        let is_tampered = file.is_some_and(|state| state >= 1_000_000);
        let is_well = track.condition() == Condition::Live && track.is_caught_up();
        assert!(
            !is_well || is_tampered || file == Some(log.state),
            "seed {seed}, step {step}: {track:?}"
        );
    }
    if let Some(job) = running {
        job.finish(&mut track, &mut file, &log, false, now);
    }
    for _ in 0..10 {
        now = later(now, 40_000);
        log.publish_catalogue(&mut track, now.store);
        track.tail_reached(&log.expected(), now.store);
        while let Some(job) = track.next_job(Seq::new(log.state), now.steady) {
            let running = Running { job, at: log.state, known: log.known };
            running.finish(&mut track, &mut file, &log, false, now);
        }
    }
    assert!(track.is_caught_up(), "seed {seed}: {track:?}");
    assert_eq!(file, Some(log.state), "seed {seed}");
    assert_eq!(track.condition(), Condition::Live);
    assert_eq!((track.lags_since(), track.queued_bytes()), (None, 0));
}

/// A job, and how far the log was read, and what was known of it, when it began.
struct Running {
    job: Job<u64>,
    at: u64,
    known: u64,
}

impl Running {
    fn finish(
        self,
        track: &mut Track<u64>,
        file: &mut Option<u64>,
        log: &Log,
        fails: bool,
        now: Now,
    ) {
        let Self { job, at, known } = self;
        match job {
            Job::Open if fails => track.failed(Trouble::Wait, Vec::new(), now),
            Job::Open => track.opened(file.map(sum), Seq::new(at), &log.expected(), now.store),
            Job::Apply(batch) if fails => track.failed(Trouble::Wait, batch, now),
            Job::Apply(batch) if file.map(sum) != Some(batch[0].pre) => {
                track.failed(Trouble::Rebuild, batch, now)
            }
            // Between two of them an object was lost: the whole does not add up.
            Job::Apply(batch) if !batch.windows(2).all(|pair| pair[0].post == pair[1].pre) => {
                track.failed(Trouble::Rebuild, batch, now)
            }
            Job::Apply(batch) => {
                let last = batch.last().unwrap();
                *file = Some(last.payload);
                track.applied(last.seq, last.last_txid);
            }
            Job::Rebuild { .. } if fails => track.failed(Trouble::Distrust, Vec::new(), now),
            Job::Rebuild { .. } => {
                *file = Some(known);
                track.rebuilt(Seq::new(at), Seq::new(known), Txid::new(known), sum(known));
            }
            Job::Look { .. } if file.is_some_and(|state| state >= 1_000_000) => {
                track.failed(Trouble::Rebuild, Vec::new(), now)
            }
            Job::Look { .. } => track.looked(),
        }
    }
}

#[test]
fn whatever_happens_the_file_arrives_at_the_end_of_the_log() {
    for seed in 0..300 * scale() {
        live(seed);
    }
}

/// A follower that was killed begins again at an old position. The log that it reads anew holds the beginning of the
/// database's life, and its file is far past that: a rebuild from there showed readers an older state.
#[test]
fn a_file_past_the_beginning_of_its_life_is_not_rebuilt_from_there() {
    for content in [5, 8] {
        let mut track = Track::new(NOW);
        track.arrived(Link { begins_life: true, ..link(4) });
        track.arrived(link(5));
        assert_eq!(next(&mut track, 5), Some(Job::Open));
        track.opened(Some(sum(content)), Seq::new(content), &expected(5), NOW);
        let job = next(&mut track, 5);
        assert!(!matches!(job, Some(Job::Rebuild { .. })), "{job:?}");
        (6..=8).for_each(|number| track.arrived(link(number)));
        track.tail_reached(&expected(8), NOW);
        assert_eq!(track.condition(), Condition::Live);
        let job = next(&mut track, 8);
        assert_eq!(matches!(job, Some(Job::Apply(_))), content < 8, "{job:?}");
    }
}

/// A follower that ended somewhere, and begins again at an older position with a file that may have lost its newest commits
/// to a power cut: whatever is done to the file leads to nothing older than what readers may have seen.
fn restart(seed: u64) {
    let mut rng = Rng::new(seed);
    let newest = 4 + rng.below(12);
    let lives: Vec<u64> = (1..=newest).filter(|_| rng.below(5) == 0).collect();
    let told = |read: u64| Expected {
        is_live: lives.first().is_some_and(|first| *first <= read),
        ..expected(read)
    };
    let mut file = lives.first().map_or(0, |first| first + rng.below(newest - first + 1));
    let saved = rng.below(file + 1);
    let ceiling = file + rng.below(newest - file + 1);
    let mut track = Track::new(NOW);
    let (mut read, mut is_opening) = (saved, false);
    for _ in 0..200 {
        match rng.below(4) {
            0 if read < newest => {
                read += 1;
                track.arrived(Link { begins_life: lives.contains(&read), ..link(read) });
            }
            1 if read == newest => track.tail_reached(&told(read), NOW),
            2 if track.is_held() && rng.below(4) == 0 => track.give_up_queue(),
            _ if is_opening => {
                is_opening = false;
                let actual = (file > 0).then(|| sum(file));
                track.opened(actual, Seq::new(ceiling), &told(read), NOW);
            }
            _ => {}
        }
        let step = match next(&mut track, read) {
            Some(Job::Open) => {
                is_opening = true;
                continue;
            }
            Some(Job::Apply(batch)) => {
                let last = batch.last().unwrap();
                assert_eq!(batch[0].pre, sum(file), "seed {seed}");
                track.applied(last.seq, last.last_txid);
                last.payload
            }
            Some(Job::Rebuild { .. }) if told(read).is_live => {
                track.rebuilt(Seq::new(read), Seq::new(read), Txid::new(read), sum(read));
                read
            }
            Some(Job::Rebuild { .. }) => {
                track.became_empty();
                continue;
            }
            Some(Job::Look { .. }) | None => continue,
        };
        assert!(file == 0 || step >= ceiling, "seed {seed}: {file} to {step}, not {ceiling}");
        file = step;
    }
    track.tail_reached(&told(newest), NOW);
    assert!(lives.is_empty() || file == newest, "seed {seed}: {file} of {newest}, {track:?}");
}

#[test]
fn no_reader_sees_an_older_state_after_a_restart() {
    for seed in 0..2_000 * scale() {
        restart(seed);
    }
}
