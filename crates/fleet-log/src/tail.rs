//! Finds the end of the log: a thin driver of [`machine::FindTail`](crate::machine::FindTail), where the rules
//! T1 to T3 are.

use crate::io::Io;
use crate::machine::{FindTail, TailEnd};
use crate::reader::corrupt;
use crate::rules::Rules;
use crate::{LogError, Position};
use segment::Table;
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

pub(crate) fn bare_boundary() -> LogError {
    let detail = "gc/boundary says that log objects were deleted, but there is no later one: the last one is \
                  never deleted, so somebody else removed objects or wrote the boundary"
        .to_owned();
    LogError::NotALog { detail }
}
