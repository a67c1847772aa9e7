//! Where reading begins: at the saved position, or at the end of the log.
//!
//! A log that ends before what this standby has applied, or ends there with another object, was rolled back; that is never
//! passed over.

use fleet_log::{
    FleetFile, LogError, Position, Snapshot, SoundEnd, Tail, beginning_at, find_sound_end,
};
use segment::{Catalogue, FleetId, Header, Millis, Seq, Table};

use super::Reading;
use crate::follow::saved::{self, Saved};
use crate::follow::sealed::Sealed;
use crate::gone::Gone;

/// Where reading begins.
pub(super) struct Beginning {
    pub(super) fleet: FleetId,
    pub(super) catalogue: Catalogue,
    pub(super) position: Position,
    pub(super) sealed: Sealed,
    pub(super) gone: Gone,
    /// The store's clock.
    pub(super) server: Option<Millis>,
    /// Of the newest object, which announces the next flush.
    pub(super) last: Option<Header>,
    /// The newest object listed.
    pub(super) end: Option<Seq>,
}

impl Beginning {
    fn saved(saved: Saved, last: Option<Header>, server: Option<Millis>) -> Self {
        let Saved { fleet, catalogue, position, sealed, gone } = saved;
        let end = last.as_ref().and_then(|header| header.seq);
        Self { fleet, catalogue, position, sealed, gone, server, last, end }
    }
}

/// What a look for the beginning finds.
pub(super) enum Found {
    Beginning(Box<Beginning>),
    NoLog,
    /// This standby has applied more than there is, or something else: going back is for people to decide.
    RolledBack(LogError),
}

/// Asks the store, and what the last run left.
pub(super) fn find(reading: &Reading) -> Result<Found, LogError> {
    let store = &*reading.store;
    let Some(file) = FleetFile::of_fleet(store, &reading.fleet)? else {
        return Ok(Found::NoLog);
    };
    let saved = Saved::load(&reading.state_dir, file.id);
    let foreign = |table: &Table| LogError::Corrupt {
        seq: table.header.seq.unwrap_or(Seq::FIRST),
        detail: format!("it is of fleet {}, the store is of fleet {}", table.header.fleet, file.id),
    };
    let (tail, saved) = match (find_sound_end(store), saved) {
        (Ok(SoundEnd { tail, lost }), saved) if lost.is_empty() || saved.is_none() => (tail, saved),
        // Reading on from where it stood tells what the damage concerns.
        (Ok(SoundEnd { tail: Tail::At { last, server, .. }, .. }), Some(saved)) => {
            let beginning = Beginning::saved(saved, Some(last.header), Some(server));
            return Ok(Found::Beginning(Box::new(beginning)));
        }
        (Ok(_) | Err(LogError::Corrupt { .. }), Some(saved)) => {
            return Ok(Found::Beginning(Box::new(Beginning::saved(saved, None, None))));
        }
        // Nobody begins with what an older program wrote: the newer objects would stop him at once.
        (Ok(SoundEnd { tail, lost }), None) => match lost.into_iter().find(is_newer) {
            Some(newer) => return Err(newer),
            None => (tail, None),
        },
        (Err(error), _) => return Err(error),
    };
    let (end, last, server) = match (tail, saved) {
        (Tail::At { last, .. }, _) if last.header.fleet != file.id => return Err(foreign(&last)),
        (Tail::At { position, last, server }, saved) => {
            if let Some(saved) = saved {
                if let Some(error) = rolled_back(reading, &saved.position, &position) {
                    return Ok(Found::RolledBack(error));
                }
                let beginning = Beginning::saved(saved, Some(last.header), Some(server));
                return Ok(Found::Beginning(Box::new(beginning)));
            }
            (position, last, server)
        }
        (Tail::Empty { .. }, saved) => {
            let error =
                saved.and_then(|saved| rolled_back(reading, &saved.position, &Position::START));
            return Ok(error.map_or(Found::NoLog, Found::RolledBack));
        }
    };
    let Some(newest) = end.last() else { return Ok(Found::NoLog) };
    let Snapshot { catalogue, position, .. } = beginning_at(store, newest)?;
    let sealed = Sealed::look_up(store, &catalogue, server);
    let (last, server) = (Some(last.header), Some(server));
    let end = Some(newest);
    let gone = Gone::look_up(store, &catalogue, newest);
    let beginning =
        Beginning { fleet: file.id, catalogue, position, sealed, gone, server, last, end };
    Ok(Found::Beginning(Box::new(beginning)))
}

fn is_newer(error: &LogError) -> bool {
    matches!(error, LogError::NewerFormat { .. })
}

/// Whether the log ends before what was applied, or ends there with another object.
fn rolled_back(reading: &Reading, applied: &Position, end: &Position) -> Option<LogError> {
    let is_other = applied.next == end.next && applied.previous != end.previous;
    if applied.next <= end.next && !is_other {
        return None;
    }
    let applied = applied.last()?;
    let end = match end.last() {
        None => "the log is empty".to_owned(),
        Some(last) if is_other => format!("log object {last} is another one now"),
        Some(last) => format!("the log ends at seq {last}"),
    };
    let detail = format!(
        "this standby has applied seq {applied}, but {end}: the store was rolled back or objects were removed. Put the \
         store right; or, to follow it as it is and lose what it lacks, stop and delete {}",
        saved::path(&reading.state_dir).display()
    );
    Some(LogError::NotALog { detail })
}
