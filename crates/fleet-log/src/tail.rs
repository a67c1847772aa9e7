//! Finds the end of the log: a thin driver of [`machine::FindTail`](crate::machine::FindTail), where the rules
//! T1 to T3 are.

use crate::history::{position_of, table};
use crate::io::Io;
use crate::machine::{FindTail, TailEnd};
use crate::reader::corrupt;
use crate::rules::Rules;
use crate::{LogError, Position, boundary};
use segment::{Seq, Table};
use store::{Millis, Store};

/// Where the log ends.
#[derive(Clone, Debug)]
pub enum Tail {
    /// There is no log yet.
    Empty {
        /// The store's clock.
        server: Millis,
    },
    /// The log ends before this position.
    At {
        /// The position after the last object.
        position: Position,
        /// The last object's header and table.
        last: Box<Table>,
        /// The store's clock.
        server: Millis,
    },
}

/// Finds the end of the log in `store`.
///
/// # Errors
/// The store's; an object that does not fit; [`LogError::NotALog`] where there is a boundary and no object.
pub fn find_tail(store: &dyn Store) -> Result<Tail, LogError> {
    let mut io = Io::new(store, None);
    let end = io.run(&mut FindTail::new(Rules::ALL))?;
    let server = io.server;
    match end {
        TailEnd::Empty => Ok(Tail::Empty { server }),
        TailEnd::BoundaryWithoutObjects => Err(bare_boundary()),
        TailEnd::Corrupt { seq, damage } => Err(corrupt(seq, damage)),
        TailEnd::At(position) => {
            let last = io.read.pop().expect("BUG: the tail stands after an object that was read");
            Ok(Tail::At { position, last: Box::new(last.table().clone()), server })
        }
    }
}

/// The end of a log as far as it can be read.
#[derive(Clone, Debug)]
pub struct SoundEnd {
    /// After the newest object that can be read.
    pub tail: Tail,
    /// Why those behind it cannot, newest first; nothing of what they held is known.
    pub lost: Vec<LogError>,
}

/// Finds the newest object that can be read, whatever stands behind it, an object of a newer format included: for those who
/// look at what a damaged store still holds. Nobody may write after it, nor take it for the newest state, where something is
/// lost behind it.
///
/// # Errors
/// As for [`find_tail`]; the damage itself where no object can be read.
pub fn find_sound_end(store: &dyn Store) -> Result<SoundEnd, LogError> {
    let (end, error) = match find_tail(store) {
        Ok(tail) => return Ok(SoundEnd { tail, lost: Vec::new() }),
        Err(error @ (LogError::Corrupt { seq, .. } | LogError::NewerFormat { seq, .. })) => {
            (seq, error)
        }
        Err(error) => return Err(error),
    };
    let boundary = boundary::read(store)?;
    let (server, retired) =
        (boundary.server, boundary.value.map_or(Seq::FIRST, |held| held.retired));
    let mut lost = vec![error.clone()];
    for at in (retired.get()..end.get()).rev().filter_map(Seq::new) {
        match table(store, at) {
            Ok(last) => {
                let position = position_of(at, &last)?;
                return Ok(SoundEnd {
                    tail: Tail::At { position, last: Box::new(last), server },
                    lost,
                });
            }
            Err(
                error @ (LogError::Corrupt { .. }
                | LogError::Missing { .. }
                | LogError::NewerFormat { .. }),
            ) => lost.push(error),
            Err(error) => return Err(error),
        }
    }
    Err(error)
}

pub(crate) fn bare_boundary() -> LogError {
    let detail = "gc/boundary says that log objects were deleted, but there is no later one: the last one is \
                  never deleted, so somebody else removed objects or wrote the boundary"
        .to_owned();
    LogError::NotALog { detail }
}
