//! One database of the fleet through all its states: not there yet, empty, locked, attached, replaced.
//!
//! A `Database` is used by one thread at a time, behind a mutex. Nothing in it waits for another database
//! or for the store, except the rebuilding of page hashes when it is attached for the first time.
//!
//! What was captured is never dropped: when continuity breaks or the file is replaced, the changes
//! captured so far are sealed as they are and shipped before what comes after them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Weak;
use std::time::{Duration, Instant};

use segment::{DbId, Incarnation, Millis, Name, Txid};
use sqlite_wal::Salts;

use crate::attached::{Attached, Counters};
use crate::compare::Known;
use crate::error::CaptureError;
use crate::handover::Action;
use crate::identity::{self, FileId, PathState};

mod condition;
mod next_base;
mod outgoing;

pub use condition::Condition;
pub use outgoing::{Acknowledged, Outgoing, Shipped};

use condition::Complaints;
use next_base::NextBase;

/// How often a path without a usable database is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often a locked database is tried again.
const LOCKED_INTERVAL: Duration = Duration::from_secs(1);
/// How often, and for how long, one is tried again that is perhaps just being closed or recovered.
const BUSY_INTERVAL: Duration = Duration::from_millis(100);
const BUSY_MAX: Duration = Duration::from_secs(2);
/// How often a refused or failing one is tried again.
const REFUSED_INTERVAL: Duration = Duration::from_secs(15);
/// How often it is tried to attach while a base is still being copied from the old files.
const PINNED_INTERVAL: Duration = Duration::from_millis(100);
/// An attached database that could not be read for so long is locked, and not just busy.
const KEPT_OUT_MAX: Duration = Duration::from_secs(5);

/// What the configuration says about a database.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its identity in the log.
    pub id: DbId,
    /// Its name.
    pub name: Name,
    /// Its file.
    pub path: PathBuf,
    /// Its tier.
    pub tier: String,
    /// Its retention class.
    pub class_hours: u32,
    /// How long a change may wait.
    pub sync_interval: Duration,
    /// How long a change may wait before that is worth a warning.
    pub rpo_bound: Duration,
    /// WAL size above which the last resort is taken.
    pub force_above: Option<u64>,
    /// Why there is no room for it; it is not opened then.
    pub no_room: Option<String>,
}

enum State {
    Detached { retry_at: Instant, captured: Option<Known> },
    Attached(Box<Attached>),
}

/// See the module's text.
pub struct Database {
    spec: Spec,
    state: State,
    condition: Condition,
    glanced: Option<Millis>,
    complaints: Complaints,
    kept_out_since: Option<Instant>,
    file: Option<FileId>,
    /// The file that was attached last, and the log that stood beside it.
    left: Option<(FileId, Salts)>,
    shipped: Option<Shipped>,
    sealed: VecDeque<Outgoing>,
    base: NextBase,
    is_base_asked_for: bool,
    pins: Weak<()>,
    new_incarnation: fn() -> Incarnation,
}

/// Time as both clocks show it: the monotonic one decides, the other is written down.
pub type Now = (Instant, Millis);

impl Database {
    /// A database that was not looked at yet. `shipped` is what the log holds of it, `file` the file it
    /// was when the program last ran.
    #[must_use]
    pub fn new(
        spec: Spec,
        shipped: Option<Shipped>,
        file: Option<FileId>,
        new_incarnation: fn() -> Incarnation,
        now: Instant,
    ) -> Self {
        let captured = shipped.as_ref().map(|shipped| shipped.known.clone());
        Self {
            spec,
            state: State::Detached { retry_at: now, captured },
            condition: Condition::Starting,
            glanced: None,
            complaints: Complaints::default(),
            kept_out_since: None,
            file,
            left: None,
            shipped,
            sealed: VecDeque::new(),
            base: NextBase::Idle,
            is_base_asked_for: false,
            pins: Weak::new(),
            new_incarnation,
        }
    }

    /// What the configuration says.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What is the matter.
    #[must_use]
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// True if there was no database at the last look.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.condition.is_absence()
    }

    /// The state that the log holds.
    #[must_use]
    pub fn shipped(&self) -> Option<&Shipped> {
        self.shipped.as_ref()
    }

    /// The file that is, or was last, attached.
    #[must_use]
    pub fn file(&self) -> Option<FileId> {
        self.file
    }

    /// Counters of the attached database.
    #[must_use]
    pub fn counters(&self) -> Option<Counters> {
        self.attached().map(Attached::counters)
    }

    /// When the newest commit since attaching was noticed.
    #[must_use]
    pub fn last_commit(&self) -> Option<Millis> {
        self.attached().and_then(Attached::last_commit)
    }

    /// Pages and WAL bytes, when attached.
    #[must_use]
    pub fn size(&self) -> Option<(u32, u64, u64)> {
        self.attached().map(|a| {
            (
                a.hashes().page_count(),
                u64::from(a.hashes().page_count()) * u64::from(a.hashes().page_size().get()),
                a.wal_bytes(),
            )
        })
    }

    /// The last captured commit; `None` while nothing is attached.
    #[must_use]
    pub fn captured(&self) -> Option<Txid> {
        self.attached().map(Attached::txid)
    }

    fn attached(&self) -> Option<&Attached> {
        match &self.state {
            State::Attached(attached) => Some(attached),
            State::Detached { .. } => None,
        }
    }

    /// A glance that costs no system call while nothing happens: what there is to [`Self::work`] on, and
    /// when to glance again.
    ///
    /// A commit that it finds counts as made when the glance before was, so that what is promised of the
    /// age of commits holds however seldom it is looked.
    pub fn glance(&mut self, now: Now) -> (Option<Action>, Instant) {
        let before = self.glanced.replace(now.1).unwrap_or(now.1);
        match &mut self.state {
            State::Attached(attached) => {
                let decision = attached.glance((now.0, before.min(now.1)));
                let is_due = decision.action != Action::Wait;
                (is_due.then_some(decision.action), decision.next_peek)
            }
            State::Detached { retry_at, .. } if self.condition.is_absence() => (None, *retry_at),
            State::Detached { retry_at, .. } => {
                ((now.0 >= *retry_at).then_some(Action::Wait), *retry_at)
            }
        }
    }

    /// True if a look at the file is due that takes a few system calls: [`Self::work`] without an action.
    #[must_use]
    pub fn is_routine_due(&self, now: Instant) -> bool {
        match &self.state {
            State::Attached(attached) => attached.is_check_due(now),
            // These looks are made together and at a distance: one that comes early is better than a late one.
            State::Detached { retry_at, .. } => {
                self.condition.is_absence() && now + LOOK_INTERVAL / 2 >= *retry_at
            }
        }
    }

    /// True if nothing is committed that is not captured, as far as a glance can tell.
    #[must_use]
    pub fn is_still(&self) -> bool {
        self.attached().is_none_or(Attached::is_still)
    }

    /// Does what a glance found due: attaches, captures, checkpoints. Errors end up in the condition.
    pub fn work(&mut self, action: Action, clock: &dyn Fn() -> Now) {
        let result = match &mut self.state {
            State::Detached { .. } => self.look(clock()),
            State::Attached(attached) => act(attached, action, clock, &self.spec),
        };
        match result {
            Ok(()) if self.is_still() => self.got_in(),
            Ok(()) => {}
            Err(error) => self.fail(error, clock()),
        }
    }

    /// Captures everything committed up to now. False if an attached database was not to be read.
    pub fn capture(&mut self, clock: &dyn Fn() -> Now) -> bool {
        let State::Attached(attached) = &mut self.state else { return true };
        let captured = if attached.is_still() { Ok(()) } else { attached.hand_over(clock()) };
        match captured {
            Ok(()) => self.got_in(),
            Err(error) => {
                self.fail(error, clock());
                return false;
            }
        }
        true
    }

    /// Everything that is committed is captured: nobody keeps us out.
    fn got_in(&mut self) {
        self.kept_out_since = None;
        if self.attached().is_some() {
            self.condition = Condition::Live;
        }
    }

    fn look(&mut self, now: Now) -> Result<(), CaptureError> {
        if let Some(why) = &self.spec.no_room {
            return Err(CaptureError::Refused(why.clone()));
        }
        let found = identity::look(&self.spec.path)
            .map_err(|source| CaptureError::Io { operation: "look at the file", source })?;
        match found {
            PathState::Missing => self.wait(Condition::Missing, LOOK_INTERVAL, now.0),
            PathState::Empty => self.wait(Condition::Empty, LOOK_INTERVAL, now.0),
            PathState::Refused(why) => return Err(CaptureError::Refused(why.into())),
            // A connection still open on the old files would lend its shared memory to the new one.
            PathState::File(_) if self.pins.strong_count() > 0 => {
                self.wait(Condition::Starting, PINNED_INTERVAL, now.0);
            }
            PathState::File(file) => self.attach(file, now)?,
        }
        Ok(())
    }

    fn attach(&mut self, file: FileId, now: Now) -> Result<(), CaptureError> {
        let State::Detached { captured, .. } = &self.state else { return Ok(()) };
        if self.left.is_some_and(|(left, salts)| {
            left != file && identity::log_salts(&self.spec.path) == Some(salts)
        }) {
            return Err(CaptureError::StaleLog);
        }
        if let Some(why) = identity::unfit_folder(&self.spec.path) {
            return Err(CaptureError::Refused(why));
        }
        let is_same_file = self.file.is_none_or(|before| before == file);
        let known = captured.clone().filter(|_| is_same_file);
        let attached = Attached::open(
            &self.spec.path,
            known,
            (self.new_incarnation)(),
            self.spec.force_above,
            now,
        )?;
        tracing::info!(db = %self.spec.name, new = attached.needs_first_base(), pages = attached.hashes().page_count(), "attached");
        self.file = Some(file);
        self.base = NextBase::Idle;
        self.state = State::Attached(Box::new(attached));
        self.glanced = Some(now.1);
        self.kept_out_since = None;
        self.condition = Condition::Live;
        Ok(())
    }

    fn wait(&mut self, condition: Condition, interval: Duration, now: Instant) {
        self.complaints.tell(&self.spec, &condition, now);
        if condition.is_absence() {
            self.kept_out_since = None;
        }
        self.condition = condition;
        if let State::Detached { retry_at, .. } = &mut self.state {
            *retry_at = now + interval;
        }
    }

    /// Leaves the attached state in the way the error asks for.
    fn fail(&mut self, error: CaptureError, now: Now) {
        if let (CaptureError::Locked(_), State::Attached(_)) = (&error, &self.state) {
            // What keeps the log is still held: the next glance tries again.
            tracing::debug!(db = %self.spec.name, %error, "not handed over this time");
            self.kept_out(now.0);
            return;
        }
        self.detach(now.0);
        let (condition, interval) = match &error {
            CaptureError::Locked(_) if self.is_perhaps_busy(now.0) => {
                (Condition::Starting, BUSY_INTERVAL)
            }
            CaptureError::Locked(_) => (Condition::Locked, LOCKED_INTERVAL),
            CaptureError::StaleLog => (Condition::Refused(error.to_string()), LOCKED_INTERVAL),
            CaptureError::Refused(why) => (Condition::Refused(why.clone()), REFUSED_INTERVAL),
            CaptureError::Continuity { .. } | CaptureError::Replaced { .. } => {
                tracing::warn!(db = %self.spec.name, %error, "attaching anew and comparing all pages");
                (Condition::Starting, Duration::ZERO)
            }
            error => (Condition::Failing(error.to_string()), LOCKED_INTERVAL),
        };
        self.wait(condition, interval, now.0);
    }

    /// A database that could not be attached may be held for a moment only.
    fn is_perhaps_busy(&mut self, now: Instant) -> bool {
        let since = *self.kept_out_since.get_or_insert(now);
        now.duration_since(since) < BUSY_MAX
    }

    /// An attached database was not to be read: for a moment that is nothing.
    fn kept_out(&mut self, now: Instant) {
        let since = *self.kept_out_since.get_or_insert(now);
        if now.duration_since(since) >= KEPT_OUT_MAX {
            self.condition = Condition::Locked;
            self.complaints.tell(&self.spec, &self.condition, now);
        }
    }

    /// Closes the connections; what was captured is kept.
    fn detach(&mut self, now: Instant) {
        let State::Attached(attached) = &mut self.state else { return };
        let is_shippable = !attached.needs_first_base();
        let captured = is_shippable.then(|| Known {
            incarnation: attached.incarnation(),
            txid: attached.txid(),
            hashes: attached.hashes().clone(),
        });
        if is_shippable && let Some(change) = attached.seal(Millis::new(0)) {
            self.sealed.push_back(Outgoing { change, base: None });
        }
        self.left = self.file.zip(attached.log_salts());
        self.base = NextBase::Idle;
        self.kept_out_since = None;
        self.state = State::Detached { retry_at: now, captured };
    }
}

fn act(
    attached: &mut Attached,
    action: Action,
    clock: &dyn Fn() -> Now,
    spec: &Spec,
) -> Result<(), CaptureError> {
    attached.check_periodically(clock().0)?;
    match action {
        Action::Wait => return Ok(()),
        Action::HandOver => attached.hand_over(clock())?,
        Action::StepAside => attached.step_aside(clock().0)?,
        Action::Checkpoint => return attached.checkpoint(clock()),
        Action::Force => return force(attached, clock, spec),
    }
    match attached.relief(clock().0) {
        Action::Checkpoint => attached.checkpoint(clock()),
        Action::Force => force(attached, clock, spec),
        Action::Wait | Action::HandOver | Action::StepAside => Ok(()),
    }
}

fn force(
    attached: &mut Attached,
    clock: &dyn Fn() -> Now,
    spec: &Spec,
) -> Result<(), CaptureError> {
    let held = attached.force(clock)?;
    let wal_bytes = attached.wal_bytes();
    match held {
        Some(held) => {
            tracing::warn!(db = %spec.name, held_ms = held.as_millis(), wal_bytes, "held the write lock to shorten the log")
        }
        None if attached.is_length_news(clock().0) => {
            tracing::warn!(db = %spec.name, wal_bytes, "the log is long, and a reader, a base that is copied, or writers keep us from shortening it")
        }
        None => {}
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
