//! The cut that a restore lands on: the newest one, one by number, or one by time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fleet_log::{LogError, Salvage, SoundEnd, Tail, table};
use segment::{Catalogue, DbId, FleetId, Header, Millis, ObjectName, Seq, Table};
use store::Store;

use crate::ApplyError;
use crate::failure::blame;
use crate::follow::primary;
use crate::time::rfc3339;

/// Which state is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The newest that is durable.
    Newest,
    /// The one after this log object.
    Seq(Seq),
    /// The newest that was sealed at or before this instant of the primary's clock.
    At(Millis),
}

/// A state of the fleet.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The last log object that counts.
    pub seq: Seq,
    /// When it was sealed, by the primary's clock.
    pub stamp: Millis,
    /// Were all databases at these positions at one instant?
    pub consistent: bool,
    /// The fleet after it.
    pub catalogue: Catalogue,
    /// Why log objects before it are lost.
    pub lost: Vec<LogError>,
    /// The databases that one of these may have changed: what they were at this position, nobody can tell.
    pub in_doubt: BTreeSet<DbId>,
}

impl Cut {
    /// Why a database cannot be restored at this position; `None` if nothing that is lost stands in the way.
    #[must_use]
    pub fn doubt(&self, db: DbId) -> Option<ApplyError> {
        if self.in_doubt.contains(&db) {
            self.loss("it may have changed this database")
        } else {
            None
        }
    }

    /// The last object that is lost, and what that means; `None` if nothing is lost.
    #[must_use]
    pub fn loss(&self, meaning: &str) -> Option<ApplyError> {
        let (seq, detail) = match self.lost.first()? {
            LogError::Corrupt { seq, detail } => (*seq, detail.clone()),
            LogError::Missing { seq } => (*seq, "it is missing".to_owned()),
            error => return Some(blame(error.clone())),
        };
        let first = self.lost.iter().filter_map(seq_of).min().unwrap_or(seq);
        let before = first.previous();
        let before = before.map(|seq| format!("; --seq {seq} restores what was before it"));
        let detail = format!("{detail}; {meaning}{}", before.unwrap_or_default());
        Some(ApplyError::Corrupt { what: ObjectName::log(seq).to_string(), detail })
    }
}

/// Finds the cut; `None` if the log has no segment.
///
/// # Errors
/// [`ApplyError::NoSuchPoint`] if the log does not reach so far, forwards or back.
pub fn find(
    store: &Arc<dyn Store>,
    fleet: FleetId,
    point: Point,
) -> Result<Option<Cut>, ApplyError> {
    let SoundEnd { tail, lost: damage } = fleet_log::find_sound_end(&**store).map_err(blame)?;
    let Tail::At { last, server, .. } = tail else { return Ok(None) };
    let Some(end) = last.header.seq else { return Ok(None) };
    check_fleet(fleet, end, &last)?;
    if let Some(first) = damage.last().filter(|_| reaches(point, end, &last)) {
        return Err(beyond(first, end));
    }
    let seq = match point {
        Point::Newest => end,
        Point::At(instant) if instant >= last.header.stamp => end,
        Point::At(instant) => {
            at_time(store, instant, primary::ahead_of(primary::sealed(&last.header), server))?
        }
        Point::Seq(seq) if seq <= end => seq,
        Point::Seq(seq) => {
            let detail = format!("seq {seq} is not written yet: the log ends at {end}");
            return Err(ApplyError::NoSuchPoint(detail));
        }
    };
    let Salvage { catalogue, lost, in_doubt } =
        fleet_log::salvage_at(&**store, seq).map_err(blame)?;
    let header = if seq == end { last.header } else { table(&**store, seq).map_err(blame)?.header };
    let Header { stamp, consistent, .. } = header;
    Ok(Some(Cut { seq, stamp, consistent, catalogue, lost, in_doubt }))
}

fn seq_of(error: &LogError) -> Option<Seq> {
    match error {
        LogError::Corrupt { seq, .. } | LogError::Missing { seq } => Some(*seq),
        _ => None,
    }
}

/// Whether a point may lie behind the last object that can be read.
fn reaches(point: Point, end: Seq, last: &Table) -> bool {
    match point {
        Point::Newest => true,
        Point::Seq(seq) => seq > end,
        // Stamps grow, so at this very one nothing behind it was sealed.
        Point::At(instant) => instant > last.header.stamp,
    }
}

/// Why the newest state is not known, and what is.
fn beyond(damage: &LogError, end: Seq) -> ApplyError {
    match blame(damage.clone()) {
        ApplyError::Corrupt { what, detail } => {
            let detail = format!("{detail}; --seq {end} restores what was before it");
            ApplyError::Corrupt { what, detail }
        }
        error => error,
    }
}

/// `ahead`: how far the newest stamp lies in the future.
fn at_time(
    store: &Arc<dyn Store>,
    instant: Millis,
    ahead: Option<Duration>,
) -> Result<Seq, ApplyError> {
    let found = fleet_log::seq_at_time(&**store, instant).map_err(blame)?;
    found.ok_or_else(|| {
        let why = ahead.map(|ahead| {
            let told = primary::told_ahead(ahead);
            format!("; {told}: take a --seq that `walapply list` shows")
        });
        let instant = rfc3339(instant);
        let why = why.unwrap_or_default();
        ApplyError::NoSuchPoint(format!("the log does not reach back to {instant}{why}"))
    })
}

fn check_fleet(fleet: FleetId, seq: Seq, table: &Table) -> Result<(), ApplyError> {
    if table.header.fleet == fleet {
        return Ok(());
    }
    Err(ApplyError::Corrupt {
        what: ObjectName::log(seq).to_string(),
        detail: format!("it is of fleet {}, the store is of fleet {fleet}", table.header.fleet),
    })
}
