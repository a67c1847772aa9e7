//! Finds the end of the log: a thin driver of [`machine::FindTail`](crate::machine::FindTail), where the rules
//! T1 to T3 are.

use crate::history::{position_of, table};
use crate::io::Io;
use crate::machine::{FindTail, TailEnd};
use crate::reader::corrupt;
use crate::rules::Rules;
use crate::{LogError, Position, boundary};
use segment::{ObjectName, Seq, Table};
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

/// How many of the last digits of a name are left open where a listing is to be short.
const OPEN_DIGITS: usize = 3;
/// How many objects are looked for behind a place at least.
const NEAR: u64 = 100;

/// The first object behind `seq`, of the hundred next to it at least: one short listing, or two. For those who were told
/// that there is no object `seq`, and want to know whether that is the end of the log.
///
/// # Errors
/// The store's.
pub fn first_behind(store: &dyn Store, seq: Seq) -> Result<Option<Seq>, LogError> {
    let start = ObjectName::log(seq);
    let blocks = [Some(seq), Seq::new(seq.get().saturating_add(NEAR))];
    let mut prefixes: Vec<String> = blocks.into_iter().flatten().map(block).collect();
    prefixes.dedup();
    for prefix in prefixes {
        let listing = store.list(&prefix, Some(start.as_str()), 1)?.value;
        let found = listing.entries.iter().find_map(|entry| entry.name.log_seq());
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What the names of an object and its neighbours begin with.
fn block(seq: Seq) -> String {
    let name = ObjectName::log(seq);
    let digits = name.as_str().trim_end_matches(".seg");
    digits[..digits.len() - OPEN_DIGITS].to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use store::MemoryStore;

    fn seq(value: u64) -> Seq {
        Seq::new(value).expect("a number above 0")
    }

    #[test]
    fn what_stands_near_behind_a_place_is_found_and_nothing_else() {
        let near_the_end_of_a_block = seq(1_999_990);
        for from in [seq(1), seq(1_234), near_the_end_of_a_block] {
            for distance in [1, 2, NEAR] {
                let store = MemoryStore::default();
                let behind = seq(from.get() + distance);
                for at in [from, behind] {
                    store.put_if_absent(&ObjectName::log(at), b"x").expect("put");
                }
                assert_eq!(first_behind(&store, from).expect("listed"), Some(behind));
                assert_eq!(first_behind(&store, behind).expect("listed"), None);
            }
        }
    }
}
