//! What an exploration is about: how long the log may grow, who takes part, and how much may go wrong.

use fleet_log::Rules;

/// The bounds of an exploration.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The slots of the log.
    pub slots: u8,
    /// Hosts besides A; they begin as readers.
    pub readers: u8,
    /// How many objects a reader reads for one boundary.
    pub batch: u32,
    /// How the log begins.
    pub begin: Begin,
    /// The rules that the machines keep.
    pub rules: Rules,
    /// The rules that are kept around them.
    pub around: Around,
    /// What may go wrong, and how often.
    pub budget: Budget,
    /// Check of every so many states whether each process, left alone, comes to rest. 0: never.
    pub settle_every: u64,
}

/// How the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A owns it and has written its fence.
    Owned,
    /// Nothing is there and nobody runs.
    Empty,
}

/// The rules whose keepers are modelled: the store, the collector, and a starter that probes.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// D3: the boundary changes only with If-Match.
    pub boundary_if_match: bool,
    /// D4: log objects are created only where none stands.
    pub create_if_absent: bool,
    /// G1: the boundary is moved first, then objects are deleted.
    pub boundary_before_deletion: bool,
    /// T2: the tail is not looked for by probing names.
    pub no_galloping: bool,
}

impl Around {
    /// All of them kept.
    pub const ALL: Around = Around {
        boundary_if_match: true,
        create_if_absent: true,
        boundary_before_deletion: true,
        no_galloping: true,
    };
}

/// How often each thing may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A put takes effect and its answer is lost.
    pub lost_answers: u8,
    /// A put's answer is lost and it takes effect later, or never.
    pub late_puts: u8,
    /// A writer, starter or promoter stops and forgets everything.
    pub crashes: u8,
    /// A host starts its writer.
    pub starts: u8,
    /// A reader is promoted.
    pub promotions: u8,
    /// A reader is replaced by one that stands at any accepted position.
    pub restored_readers: u8,
    /// A writer runs the collector.
    pub collections: u8,
    /// Host A is cloned with all its memory.
    pub clones: u8,
    /// Somebody who keeps no rules puts an object that follows from nothing.
    pub forged_objects: u8,
    /// Somebody who keeps no rules removes every log object.
    pub wipes: u8,
}

impl Scenario {
    /// The log that A owns, followed by `readers`, where nothing goes wrong.
    #[must_use]
    pub fn quiet(slots: u8, readers: u8) -> Scenario {
        Scenario {
            slots,
            readers,
            batch: 1,
            begin: Begin::Owned,
            rules: Rules::ALL,
            around: Around::ALL,
            budget: Budget::default(),
            settle_every: 0,
        }
    }

    /// The same with this much going wrong.
    #[must_use]
    pub fn with(self, budget: Budget) -> Scenario {
        Scenario { budget, ..self }
    }
}
