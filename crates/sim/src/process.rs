//! The parties of the model: each is a host with a machine of `fleet_log` on it.

use crate::gallop::Gallop;
use crate::objects::{Object, node_name, writer_id};
use fleet_log::machine::{Ask, Follow, Intent, Machine, Start, Write};
use fleet_log::{Position, Rules};

/// One host and what runs on it.
#[derive(Clone, Hash)]
pub(crate) struct Process {
    pub(crate) node: u8,
    /// The number behind its writer id; 0 before its first start.
    pub(crate) writer: u8,
    pub(crate) role: Role,
    /// The bytes it has chosen for its slot.
    pub(crate) sealed: Option<Object>,
    /// How often it chose bytes for the slot.
    pub(crate) seals: u8,
    /// Its object was put into, or read from, a slot whose first object was deleted.
    pub(crate) is_recreated: bool,
    /// What it read since it last came to a conclusion, each with whether it was re-created.
    pub(crate) read: Vec<(Object, bool)>,
    pub(crate) collector: Collector,
}

#[derive(Clone, Hash)]
pub(crate) enum Role {
    /// Nothing runs.
    Off,
    Reader(Follow),
    Starting(Start, Intent),
    /// Looks for the tail in the way rule T2 forbids.
    Galloping(Gallop),
    /// Owns the log as far as it knows.
    Writing(Position, Option<Write>),
    /// Has ended for good.
    Stopped,
}

/// The collector that runs beside a writer.
#[derive(Clone, Copy, Hash, PartialEq, Eq)]
pub(crate) enum Collector {
    Idle,
    /// Has read the boundary with this tag.
    Read {
        tag: u8,
        retired: u8,
    },
    /// Has written its plan, which got this tag.
    Planned {
        tag: u8,
        planned: u8,
    },
}

impl Process {
    pub(crate) fn off(node: u8) -> Process {
        Process {
            node,
            writer: 0,
            role: Role::Off,
            sealed: None,
            seals: 0,
            is_recreated: false,
            read: Vec::new(),
            collector: Collector::Idle,
        }
    }

    pub(crate) fn reader(node: u8, position: Position, rules: Rules, batch: u32) -> Process {
        let role = Role::Reader(Follow::new(rules, position, batch));
        Process { role, ..Process::off(node) }
    }

    pub(crate) fn start(&mut self, rules: Rules, writer: u8, intent: Intent) {
        let start = Start::new(rules, node_name(self.node), writer_id(writer), intent.clone());
        *self = Process { writer, role: Role::Starting(start, intent), ..Process::off(self.node) };
    }

    /// The request that is due; `None` where the process rests or has nothing to do within `slots`.
    pub(crate) fn ask(&self, slots: u8) -> Option<Ask> {
        let ask = match &self.role {
            Role::Off | Role::Stopped | Role::Writing(_, None) => return None,
            Role::Reader(follow) => follow.ask(),
            Role::Starting(start, _) => start.ask(),
            Role::Galloping(gallop) => gallop.ask(),
            Role::Writing(_, Some(write)) => write.ask(),
        };
        let is_within = match ask {
            Ask::Get(seq) | Ask::Put(seq) => seq.get() <= u64::from(slots),
            _ => true,
        };
        is_within.then_some(ask)
    }

    pub(crate) fn is_writer(&self) -> bool {
        matches!(self.role, Role::Starting(..) | Role::Galloping(_) | Role::Writing(..))
    }

    pub(crate) fn is_running(&self) -> bool {
        !matches!(self.role, Role::Off | Role::Stopped)
    }

    /// Between two conclusions: nothing that was read is waiting for its boundary.
    pub(crate) fn is_resting_reader(&self) -> Option<&Position> {
        match &self.role {
            Role::Reader(follow) if self.read.is_empty() && matches!(follow.ask(), Ask::Get(_)) => {
                Some(follow.position())
            }
            _ => None,
        }
    }

    /// A letter for the host and its place among the processes, for histories.
    pub(crate) fn label(&self, index: usize) -> String {
        let what = match self.role {
            Role::Reader(_) => "reads",
            Role::Starting(_, Intent::Start) | Role::Galloping(_) => "starts",
            Role::Starting(..) => "promotes",
            Role::Writing(..) => "writes",
            Role::Off | Role::Stopped => "rests",
        };
        format!("{}/{index} {what}", node_name(self.node))
    }
}
