//! When to hand over from one read transaction to the next, and when to stand without one: a pure decision.
//!
//! Every hand-over lets the application's next checkpoint do real work, so the moment decides what we
//! cost it. The rules, each found by measurement against saturating writers:
//! - the header stood still between two glances: the application pauses, hand over now;
//! - otherwise at most every 50 ms;
//! - when it still stands after a hand-over, step *aside*: keep a place among the readers that has no mark. It forbids
//!   a restart of the log as a read transaction does, but no checkpoint waits for it before it moves frames;
//! - when it moves at two glances after that, hand over to a transaction at once: while the application never pauses, the
//!   mark of one is better, because it keeps a log that is long already from being checkpointed after every commit;
//! - when a checkpoint has moved everything up to our mark, hand over to read lock 0 (*parked*), so that
//!   the next writer or a TRUNCATE can restart the log; and once more 20 ms later, because a checkpointer
//!   may just have held that lock;
//! - our own checkpoint of a short log waits until the application has rested for long, because the commit
//!   after it restarts the log, and for that one SQLite syncs the WAL's header (`sqlite3WalFrames`);
//! - glance quickly only while something is going on.

use std::time::{Duration, Instant};

use crate::sqlite::Peek;
use crate::wal_index::WalIndexHeader;

/// Longest time between two hand-overs of a database that never pauses.
pub const BUSY_INTERVAL: Duration = Duration::from_millis(50);
/// Distance of the two glances that must agree.
pub const SETTLE_INTERVAL: Duration = Duration::from_millis(1);
/// When the parked position is confirmed by a second hand-over.
pub const PARK_CONFIRM: Duration = Duration::from_millis(20);
/// A database is idle when its header has not moved for this long.
pub const IDLE_AFTER: Duration = Duration::from_millis(250);
/// A log is checkpointed by us, however short it is, when its header has not moved for this long. A database
/// that is written more often pays for a restart of its log only when the log has grown.
pub const REST_BEFORE_CHECKPOINT: Duration = Duration::from_secs(60);
/// Distance of glances at an active and at an idle database.
pub const ACTIVE_PEEK: Duration = Duration::from_millis(5);
/// See [`ACTIVE_PEEK`].
pub const IDLE_PEEK: Duration = Duration::from_millis(50);
/// Distance of glances at an active database whose log was moved as a whole less than [`CHECKPOINTS_KNOWN_FOR`] ago: its
/// application runs checkpoints, and a RESTART or TRUNCATE one waits, with the write lock held, until we look.
pub const CHECKPOINTED_PEEK: Duration = Duration::from_millis(2);
/// See [`CHECKPOINTED_PEEK`], which costs a percent of a core.
pub const CHECKPOINTS_KNOWN_FOR: Duration = Duration::from_secs(1);
/// Distance of glances at an idle database whose log we keep from being restarted: a checkpoint may want to do that, and
/// no write to the log tells of it. It lasts until our own checkpoint, [`REST_BEFORE_CHECKPOINT`] later.
pub const ASIDE_PEEK: Duration = Duration::from_millis(15);
/// A database whose header has not moved for this long is glanced at less often still.
pub const RESTING_AFTER: Duration = Duration::from_secs(5);
/// Distance of glances at a resting database. A flush glances at all of them before it decides, so this
/// delays nothing but the hand-over.
pub const RESTING_PEEK: Duration = Duration::from_millis(200);
/// A WAL longer than this is checkpointed by us while the application goes on.
pub const SOFT_WAL_BYTES: u64 = 4 << 20;
/// Distance of our checkpoints while the WAL is longer than [`SOFT_WAL_BYTES`].
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(50);
/// Distance of forced checkpoints, each of which blocks writers for some 100 ms. A writer that never rests fills
/// hundreds of megabytes a second, so a longer one would be the real limit.
pub const FORCE_INTERVAL: Duration = Duration::from_millis(200);

/// What keeps the frames after our position where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// A read transaction on read lock 0: the log may be restarted once, and is not moved then.
    Parked,
    /// A read transaction with a mark: nothing past it is moved, and the log is not restarted.
    Marked,
    /// A reader's place without a mark: everything may be moved, and the log is not restarted.
    Aside,
}

/// What the decision is made from.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The captured snapshot; `None` for an empty WAL.
    pub position: Option<WalIndexHeader>,
    /// What we hold. [`Stand::Parked`] is sure only once it is confirmed.
    pub stand: Stand,
    /// When readers were last found to hold all places, so that we could not step aside.
    pub no_place_at: Option<Instant>,
    /// When the parked position is to be confirmed.
    pub confirm_at: Option<Instant>,
    /// When everything in the log was last found to be moved.
    pub parked_at: Option<Instant>,
    /// The last hand-over.
    pub last_handover: Instant,
    /// The last time the header had moved.
    pub last_change: Instant,
    /// The previous glance.
    pub previous: Option<Peek>,
    /// Bytes of the frames up to our position.
    pub wal_bytes: u64,
    /// Set when commits were seen since the last complete checkpoint of ours.
    pub checkpoint_wanted: bool,
    /// Our last checkpoint.
    pub last_checkpoint: Instant,
    /// Our last forced checkpoint.
    pub last_forced: Option<Instant>,
    /// Above this many bytes the last resort is taken; `None` = never.
    pub force_above: Option<u64>,
}

/// What to do now, and when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The act.
    pub action: Action,
    /// When to glance again if nothing else happens.
    pub next_peek: Instant,
}

/// The acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Begin a new read transaction and capture up to it.
    HandOver,
    /// Hold a place without a mark instead of a read transaction.
    StepAside,
    /// Run a PASSIVE checkpoint, then hand over if it moved everything.
    Checkpoint,
    /// Take the write lock for the time of a checkpoint: the last resort.
    Force,
}

/// Decides what to do after a glance.
#[must_use]
pub fn decide(now: Instant, peek: Peek, situation: &Situation) -> Decision {
    let moved = differs(&peek, situation.position.as_ref());
    let (action, wait) =
        if moved { decide_moved(now, peek, situation) } else { decide_still(now, peek, situation) };
    Decision { action, next_peek: now + wait }
}

/// True if the header shows commits, or a restarted log, that our snapshot does not have.
#[must_use]
pub fn differs(peek: &Peek, position: Option<&WalIndexHeader>) -> bool {
    match position {
        Some(position) => peek.header != *position,
        None => peek.header.last_frame() != 0,
    }
}

fn decide_moved(now: Instant, peek: Peek, s: &Situation) -> (Action, Duration) {
    let settled = s.previous.is_some_and(|previous| previous.header == peek.header);
    let moved_before = s.previous.is_some_and(|before| differs(&before, s.position.as_ref()));
    let is_restless = s.stand == Stand::Aside && moved_before;
    if settled || is_restless || now.duration_since(s.last_handover) >= BUSY_INTERVAL {
        (Action::HandOver, SETTLE_INTERVAL)
    } else {
        (Action::Wait, SETTLE_INTERVAL)
    }
}

fn decide_still(now: Instant, peek: Peek, s: &Situation) -> (Action, Duration) {
    let complete = s.position.is_none_or(|position| peek.backfilled == position.last_frame());
    let is_parked = s.stand == Stand::Parked;
    if !is_parked && complete || s.confirm_at.is_some_and(|at| now >= at) {
        return (Action::HandOver, ACTIVE_PEEK);
    }
    let rest = now.duration_since(s.last_change);
    let wait = match s.confirm_at {
        None if is_parked && rest >= RESTING_AFTER => RESTING_PEEK,
        None if !is_parked && (IDLE_AFTER..REST_BEFORE_CHECKPOINT).contains(&rest) => ASIDE_PEEK,
        None if rest >= IDLE_AFTER => IDLE_PEEK,
        _ if s.parked_at.is_some_and(|at| now.duration_since(at) < CHECKPOINTS_KNOWN_FOR) => {
            CHECKPOINTED_PEEK
        }
        _ => ACTIVE_PEEK,
    };
    let is_tried_again = |last| now.duration_since(last) >= rest / 4;
    if s.stand == Stand::Marked && s.no_place_at.is_none_or(is_tried_again) {
        return (Action::StepAside, wait);
    }
    (relief(now, s), wait)
}

/// What keeps the log short: to be asked when nothing moved, and after each hand-over or step aside.
#[must_use]
pub fn relief(now: Instant, s: &Situation) -> Action {
    let is_long = s.wal_bytes > SOFT_WAL_BYTES;
    let is_rested = now.duration_since(s.last_checkpoint) >= CHECKPOINT_INTERVAL;
    if s.stand == Stand::Parked {
        Action::Wait
    } else if is_force_due(now, s) {
        Action::Force
    } else if is_long && is_rested || s.checkpoint_wanted && is_at_rest(now, s) {
        Action::Checkpoint
    } else {
        Action::Wait
    }
}

fn is_at_rest(now: Instant, s: &Situation) -> bool {
    now.duration_since(s.last_change) >= REST_BEFORE_CHECKPOINT
}

fn is_force_due(now: Instant, s: &Situation) -> bool {
    s.force_above.is_some_and(|limit| s.wal_bytes > limit)
        && s.last_forced.is_none_or(|last| now.duration_since(last) >= FORCE_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(frame: u32) -> WalIndexHeader {
        let mut words = [0; 12];
        words[4] = frame;
        WalIndexHeader(words)
    }

    fn peek(frame: u32, backfilled: u32) -> Peek {
        Peek { header: header(frame), backfilled }
    }

    fn situation(now: Instant) -> Situation {
        Situation {
            position: Some(header(5)),
            stand: Stand::Aside,
            no_place_at: None,
            confirm_at: None,
            parked_at: None,
            last_handover: now,
            last_change: now,
            previous: None,
            wal_bytes: 0,
            checkpoint_wanted: false,
            last_checkpoint: now,
            last_forced: None,
            force_above: None,
        }
    }

    #[test]
    fn a_moving_header_waits_until_it_settles_or_50_ms_have_passed() {
        let now = Instant::now();
        let mut s = Situation { stand: Stand::Marked, ..situation(now) };
        assert_eq!(
            decide(now, peek(6, 0), &s),
            Decision { action: Action::Wait, next_peek: now + SETTLE_INTERVAL }
        );
        s.previous = Some(peek(6, 0));
        assert_eq!(decide(now, peek(6, 0), &s).action, Action::HandOver);
        s.previous = Some(peek(7, 0));
        assert_eq!(decide(now, peek(8, 0), &s).action, Action::Wait);
        assert_eq!(decide(now + BUSY_INTERVAL, peek(8, 0), &s).action, Action::HandOver);
    }

    #[test]
    fn a_fully_moved_log_is_parked_and_confirmed_once() {
        let now = Instant::now();
        let mut s = situation(now);
        assert_eq!(decide(now, peek(5, 4), &s).action, Action::Wait);
        assert_eq!(decide(now, peek(5, 5), &s).action, Action::HandOver);
        s.stand = Stand::Parked;
        s.confirm_at = Some(now + PARK_CONFIRM);
        assert_eq!(decide(now, peek(5, 5), &s).action, Action::Wait);
        assert_eq!(decide(now + PARK_CONFIRM, peek(5, 5), &s).action, Action::HandOver);
    }

    #[test]
    fn an_application_that_runs_checkpoints_is_glanced_at_more_often() {
        let now = Instant::now();
        let mut s = situation(now);
        let next = |s: &Situation| decide(now, peek(5, 0), s).next_peek - now;
        assert_eq!(next(&s), ACTIVE_PEEK);
        s.parked_at = now.checked_sub(CHECKPOINTS_KNOWN_FOR / 2);
        assert_eq!(next(&s), CHECKPOINTED_PEEK);
        s.parked_at = now.checked_sub(CHECKPOINTS_KNOWN_FOR);
        assert_eq!(next(&s), ACTIVE_PEEK);
    }

    #[test]
    fn an_idle_parked_database_is_left_alone() {
        let now = Instant::now();
        let s = Situation {
            stand: Stand::Parked,
            checkpoint_wanted: true,
            wal_bytes: u64::MAX,
            force_above: Some(1),
            ..situation(now)
        };
        let later = now + Duration::from_secs(3600);
        assert_eq!(
            decide(later, peek(5, 5), &s),
            Decision { action: Action::Wait, next_peek: later + RESTING_PEEK }
        );
    }

    #[test]
    fn the_log_is_checkpointed_when_long_or_when_the_application_rests() {
        let now = Instant::now();
        let mut s = situation(now);
        s.checkpoint_wanted = true;
        assert_eq!(decide(now, peek(5, 0), &s).action, Action::Wait);
        let almost = REST_BEFORE_CHECKPOINT - Duration::from_millis(1);
        assert_eq!(decide(now + almost, peek(5, 0), &s).action, Action::Wait);
        assert_eq!(decide(now + REST_BEFORE_CHECKPOINT, peek(5, 0), &s).action, Action::Checkpoint);
        s.checkpoint_wanted = false;
        assert_eq!(decide(now + REST_BEFORE_CHECKPOINT, peek(5, 0), &s).action, Action::Wait);
        s.wal_bytes = SOFT_WAL_BYTES + 1;
        assert_eq!(decide(now + CHECKPOINT_INTERVAL, peek(5, 0), &s).action, Action::Checkpoint);
    }

    #[test]
    fn a_mark_is_given_up_once_the_application_pauses_and_not_before() {
        let now = Instant::now();
        let s = Situation { stand: Stand::Marked, ..situation(now) };
        assert_eq!(decide(now, peek(6, 0), &s).action, Action::Wait);
        assert_eq!(decide(now, peek(5, 0), &s).action, Action::StepAside);
        assert_eq!(decide(now, peek(5, 5), &s).action, Action::HandOver);
        let aside = Situation { stand: Stand::Aside, ..s };
        assert_eq!(decide(now, peek(5, 0), &aside).action, Action::Wait);
    }

    #[test]
    fn where_readers_hold_all_places_it_is_tried_less_and_less_often() {
        let now = Instant::now();
        let mut s = Situation { stand: Stand::Marked, ..situation(now) };
        let (mut tries, mut at) = (Vec::new(), now);
        while at < now + Duration::from_secs(100) {
            let decision = decide(at, peek(5, 0), &s);
            if decision.action == Action::StepAside {
                tries.push(at - now);
                s.no_place_at = Some(at);
            }
            at = decision.next_peek;
        }
        assert!((20..60).contains(&tries.len()), "{tries:?}");
        assert!(tries.windows(2).all(|two| two[1] - two[0] <= two[1] / 3 + IDLE_PEEK), "{tries:?}");
    }

    #[test]
    fn a_mark_is_taken_again_when_the_application_goes_on_without_a_pause() {
        let now = Instant::now();
        let mut s = situation(now);
        s.previous = Some(peek(5, 0));
        assert_eq!(decide(now, peek(6, 0), &s).action, Action::Wait);
        s.previous = Some(peek(6, 0));
        assert_eq!(decide(now, peek(7, 0), &s).action, Action::HandOver);
    }

    #[test]
    fn force_is_the_last_resort_and_paced() {
        let now = Instant::now();
        let mut s = situation(now);
        s.wal_bytes = 1 << 30;
        s.force_above = Some(256 << 20);
        assert_eq!(decide(now, peek(5, 0), &s).action, Action::Force);
        s.last_forced = Some(now);
        assert_ne!(decide(now + FORCE_INTERVAL / 2, peek(5, 0), &s).action, Action::Force);
        s.force_above = None;
        s.last_forced = None;
        assert_ne!(decide(now, peek(5, 0), &s).action, Action::Force);
    }
}
