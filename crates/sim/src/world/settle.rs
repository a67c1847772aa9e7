//! Whether each process, left alone on a quiet network, comes to rest where it should.

use super::{LogModel, World};
use crate::objects::node_name;
use crate::process::{Process, Role};
use fleet_log::machine::{Ask, Intent, Machine};
use std::hash::{DefaultHasher, Hash, Hasher};

/// No process needs more requests than this for the few slots there are.
const REQUESTS_MAX: usize = 200;

impl LogModel {
    pub(super) fn check_settles(&self, world: &World) -> Option<String> {
        let every = self.scenario.settle_every;
        if every == 0 || world.is_tampered || !is_chosen(world, every) {
            return None;
        }
        (0..world.processes.len())
            .find_map(|index| self.settle(world.clone(), index))
            .or_else(|| self.settle_fresh_owner(world))
    }

    /// Runs one process alone, without faults.
    fn settle(&self, mut world: World, index: usize) -> Option<String> {
        world.budget = crate::scenario::Budget::default();
        for _ in 0..REQUESTS_MAX {
            if self.is_at_rest(&world, index) {
                return self.judge_rest(&world, index);
            }
            let mut first = None;
            self.process_steps(&world, index, &mut |next, _| {
                first.get_or_insert(next);
            });
            world = first?;
            if let Some(property) = world.broken_property() {
                return Some(property.to_owned());
            }
        }
        let label = world.processes[index].label(index);
        Some(format!("{label} and never comes to rest, though nothing disturbs it"))
    }

    /// A reader rests before an empty slot that the boundary has not passed, everybody else when done.
    fn is_at_rest(&self, world: &World, index: usize) -> bool {
        let process = &world.processes[index];
        match &process.role {
            Role::Off | Role::Stopped | Role::Writing(_, None) | Role::Galloping(_) => true,
            Role::Starting(..) | Role::Writing(..) => process.ask(self.scenario.slots).is_none(),
            Role::Reader(follow) => match follow.ask() {
                Ask::Get(seq) => {
                    let name = seq.get() as u8;
                    let is_past_end = name > self.scenario.slots;
                    is_past_end
                        || (process.read.is_empty()
                            && !world.is_filled(name)
                            && world.retired() <= name)
                }
                _ => false,
            },
        }
    }

    fn judge_rest(&self, world: &World, index: usize) -> Option<String> {
        let process = &world.processes[index];
        let Role::Reader(follow) = &process.role else { return None };
        let next = follow.position().next.get() as u8;
        let later = (next..=self.scenario.slots).find(|name| world.is_filled(*name))?;
        Some(format!("{} rests before {next}, though object {later} stands", process.label(index)))
    }

    /// A fresh start of the node that owns the log must own it again.
    fn settle_fresh_owner(&self, world: &World) -> Option<String> {
        let last = (1..=self.scenario.slots)
            .rev()
            .find_map(|name| world.slots[usize::from(name)].object.clone());
        let owner = last.as_ref().map_or_else(|| node_name(0), |last| last.node.clone());
        let node = owner.as_str().as_bytes()[0] - b'A';
        let mut world = world.clone();
        let mut process = Process::off(node);
        process.start(self.scenario.rules, 200, Intent::Start);
        world.processes.push(process);
        let index = world.processes.len() - 1;
        world.budget = crate::scenario::Budget::default();
        for _ in 0..REQUESTS_MAX {
            if matches!(world.processes[index].role, Role::Writing(..)) {
                return None;
            }
            if matches!(world.processes[index].role, Role::Stopped) {
                return Some(format!("a fresh start of {owner}, who owns the log, is refused"));
            }
            let mut first = None;
            self.process_steps(&world, index, &mut |next, _| {
                first.get_or_insert(next);
            });
            // The log is full.
            world = first?;
            if let Some(property) = world.broken_property() {
                return Some(property.to_owned());
            }
        }
        Some(format!("a fresh start of {owner} never comes to rest"))
    }
}

/// A sample that is the same in every run.
fn is_chosen(world: &World, every: u64) -> bool {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish().is_multiple_of(every)
}
