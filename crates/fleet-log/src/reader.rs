//! Follows the log: a thin driver of [`machine::Follow`](crate::machine::Follow), where the rules R1 to R3
//! are.
//!
//! What a reader returns is accepted and in order; it never skips. After an error of the store the position
//! is unchanged and the same call may be made again. Dropping a reader loses nothing: another one at the same
//! position goes on.

use crate::io::Io;
use crate::machine::{Damage, Follow, FollowEnd, Machine};
use crate::rules::Rules;
use crate::{LogError, Position};
use segment::{FleetId, Segment, Seq};
use std::sync::Arc;
use store::{Millis, Store};

/// A reader of the log.
pub struct Reader {
    store: Arc<dyn Store>,
    fleet: Option<FleetId>,
    position: Position,
}

/// What comes after the objects that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Perhaps more.
    More,
    /// Nothing yet.
    Tail,
}

/// What one step of a reader found.
#[derive(Clone, Debug)]
pub enum Step {
    /// The next segment.
    Segment(Box<Segment>),
    /// Nothing yet.
    Tail {
        /// The store's clock.
        server: Millis,
    },
    /// The boundary has passed the position: heal from a base.
    Behind {
        /// Where the log begins now.
        retired: Seq,
    },
}

/// Segments that follow each other, and what comes after them.
#[derive(Clone, Debug)]
pub enum Batch {
    /// These were accepted, perhaps none.
    Accepted {
        /// In order.
        segments: Vec<Segment>,
        /// What comes next.
        end: End,
        /// The store's clock.
        server: Millis,
    },
    /// The boundary has passed the position: heal from a base.
    Behind {
        /// Where the log begins now.
        retired: Seq,
    },
}

impl Reader {
    /// A reader at `position`.
    pub fn new(store: Arc<dyn Store>, position: Position) -> Reader {
        Reader { store, fleet: None, position }
    }

    /// The same, refusing objects of any other fleet.
    #[must_use]
    pub fn of_fleet(mut self, fleet: FleetId) -> Reader {
        self.fleet = Some(fleet);
        self
    }

    /// After the last segment that was returned.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The next segment.
    ///
    /// # Errors
    /// The store's, or an object that is held and does not fit.
    pub fn step(&mut self) -> Result<Step, LogError> {
        match self.batch(1, u64::MAX)? {
            Batch::Behind { retired } => Ok(Step::Behind { retired }),
            Batch::Accepted { segments, server, .. } => match segments.into_iter().next() {
                Some(segment) => Ok(Step::Segment(Box::new(segment))),
                None => Ok(Step::Tail { server }),
            },
        }
    }

    /// At most `objects_max` segments, with one read of the boundary for all of them (rule R1). Stops early
    /// once `bytes_max` are reached.
    ///
    /// # Errors
    /// As for [`Reader::step`].
    pub fn batch(&mut self, objects_max: u32, bytes_max: u64) -> Result<Batch, LogError> {
        let mut io = Io::new(&*self.store, self.fleet);
        io.keeps_all = true;
        let mut follow = Follow::new(Rules::ALL, self.position.clone(), objects_max);
        let end = loop {
            let answer = io.carry_out(follow.ask())?;
            if let Some(end) = follow.answer(answer) {
                break end;
            }
            let bytes: u64 = io.read.iter().map(|segment| segment.bytes().len() as u64).sum();
            if bytes >= bytes_max {
                follow.close_batch();
            }
        };
        let server = io.server;
        let mut segments = io.read;
        match end {
            FollowEnd::Behind { retired } => Ok(Batch::Behind { retired }),
            FollowEnd::Corrupt { seq, damage } => Err(corrupt(seq, damage)),
            FollowEnd::Accepted { count, end } => {
                segments.truncate(count as usize);
                self.position = follow.position().clone();
                Ok(Batch::Accepted { segments, end, server })
            }
        }
    }
}

pub(crate) fn corrupt(seq: Seq, damage: Damage) -> LogError {
    let Damage { detail, is_newer_format } = damage;
    if is_newer_format {
        LogError::NewerFormat { seq, detail }
    } else {
        LogError::Corrupt { seq, detail }
    }
}
