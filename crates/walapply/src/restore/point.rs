//! The cut that a restore lands on: the newest one, one by number, or one by time.

use std::sync::Arc;

use fleet_log::Tail;
use segment::{Catalogue, FleetId, Millis, ObjectName, Seq, Table};
use store::Store;

use crate::ApplyError;
use crate::failure::blame;
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
    let Tail::At { last, .. } = fleet_log::find_tail(&**store).map_err(blame)? else {
        return Ok(None);
    };
    let Some(end) = last.header.seq else { return Ok(None) };
    check_fleet(fleet, end, &last)?;
    let seq = match point {
        Point::Newest => end,
        Point::At(instant) if instant >= last.header.stamp => end,
        Point::At(instant) => at_time(store, instant)?,
        Point::Seq(seq) if seq <= end => seq,
        Point::Seq(seq) => {
            let detail = format!("seq {seq} is not written yet: the log ends at {end}");
            return Err(ApplyError::NoSuchPoint(detail));
        }
    };
    let snapshot = fleet_log::catalogue_at(&**store, seq).map_err(blame)?;
    let header = snapshot.last.unwrap_or(last).header;
    let (stamp, consistent) = (header.stamp, header.consistent);
    Ok(Some(Cut { seq, stamp, consistent, catalogue: snapshot.catalogue }))
}

fn at_time(store: &Arc<dyn Store>, instant: Millis) -> Result<Seq, ApplyError> {
    let found = fleet_log::seq_at_time(&**store, instant).map_err(blame)?;
    found.ok_or_else(|| {
        ApplyError::NoSuchPoint(format!("the log does not reach back to {}", rfc3339(instant)))
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
