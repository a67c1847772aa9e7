//! What happens around the machines: the network, crashes, people, and the collector.

use super::{LogModel, World};
use crate::explore::Visit;
use crate::gallop::Gallop;
use crate::objects::{Object, build, describe, node_name, position_after, seq};
use crate::process::{Collector, Process, Role};
use crate::scenario::Budget;
use fleet_log::machine::{Boundary, Intent, Place};
use segment::SegmentHash;

/// A field of the budget.
type Allowance = fn(&mut Budget) -> &mut u8;

impl LogModel {
    pub(super) fn environment_steps(&self, world: &World, visit: &mut Visit<'_, World>) {
        self.late_puts(world, visit);
        deletion(world, visit);
        tampering(world, visit);
        for index in 0..world.processes.len() {
            crash(world, index, visit);
            self.begin(world, index, visit);
            self.restore_reader(world, index, visit);
            self.collect(world, index, visit);
        }
        clone_host(world, visit);
    }

    fn late_puts(&self, world: &World, visit: &mut Visit<'_, World>) {
        for (index, object) in world.late.iter().enumerate() {
            let mut next = world.clone();
            next.late.remove(index);
            self.land(&mut next, object);
            visit(next, &|| format!("the network: late put {} lands", describe(object)));
        }
    }

    /// A host starts its writer, or is promoted.
    fn begin(&self, world: &World, index: usize, visit: &mut Visit<'_, World>) {
        let process = &world.processes[index];
        let host = node_name(process.node);
        if matches!(process.role, Role::Off)
            && let Some(mut next) = spend(world, |budget| &mut budget.starts)
        {
            next.writers += 1;
            let writer = next.writers;
            if self.scenario.around.no_galloping {
                next.processes[index].start(self.scenario.rules, writer, Intent::Start);
            } else {
                next.processes[index].role = Role::Galloping(Gallop::new());
            }
            visit(next, &|| format!("{host}/{index} starts a writer"));
        }
        if let Some(owner) = process.is_resting_reader().and_then(|position| position.owner.clone())
            && owner != host
            && let Some(mut next) = spend(world, |budget| &mut budget.promotions)
        {
            next.writers += 1;
            let (writer, deposed) = (next.writers, owner.clone());
            next.processes[index].start(self.scenario.rules, writer, Intent::Promote { deposed });
            visit(next, &|| format!("{host}/{index} is promoted, deposing {owner}"));
        }
    }

    fn restore_reader(&self, world: &World, index: usize, visit: &mut Visit<'_, World>) {
        if !matches!(world.processes[index].role, Role::Reader(_))
            || world.budget.restored_readers == 0
        {
            return;
        }
        for object in world.history.iter().flatten() {
            let Some(mut next) = spend(world, |budget| &mut budget.restored_readers) else {
                return;
            };
            let (node, position) = (world.processes[index].node, position_after(object));
            next.processes[index] =
                Process::reader(node, position, self.scenario.rules, self.scenario.batch);
            visit(next, &|| {
                format!("{}/{index} is restored after {}", node_name(node), object.seq)
            });
        }
    }

    /// Rules D3 and G1: read the boundary, plan by If-Match, move it by If-Match.
    fn collect(&self, world: &World, index: usize, visit: &mut Visit<'_, World>) {
        let process = &world.processes[index];
        let Role::Writing(position, _) = &process.role else { return };
        let label = |what: &str| format!("{}/{index} collects: {what}", node_name(process.node));
        match process.collector {
            Collector::Idle => {
                let Some(mut next) = spend(world, |budget| &mut budget.collections) else { return };
                let (tag, retired) = (world.boundary_tag, world.retired());
                next.processes[index].collector = Collector::Read { tag, retired };
                visit(next, &|| label(&format!("reads retired {retired}")));
            }
            Collector::Read { tag, retired } => {
                self.delete_too_early(world, index, visit);
                for planned in retired + 1..position.next.get() as u8 {
                    let mut next = world.clone();
                    let wrote = self.write_boundary(&mut next, tag, retired, planned);
                    let tag = next.boundary_tag;
                    next.processes[index].collector =
                        if wrote { Collector::Planned { tag, planned } } else { Collector::Idle };
                    visit(next, &|| label(&format!("plans {planned}: {}", written(wrote))));
                }
            }
            Collector::Planned { tag, planned } => {
                let mut next = world.clone();
                let wrote = self.write_boundary(&mut next, tag, planned, planned);
                next.processes[index].collector = Collector::Idle;
                visit(next, &|| label(&format!("retires below {planned}: {}", written(wrote))));
            }
        }
    }

    fn write_boundary(&self, world: &mut World, tag: u8, retired: u8, planned: u8) -> bool {
        if self.scenario.around.boundary_if_match && tag != world.boundary_tag {
            return false;
        }
        world.boundary = Some(Boundary { retired: seq(retired), planned: seq(planned) });
        world.boundary_tag += 1;
        true
    }

    /// What rule G1 forbids.
    fn delete_too_early(&self, world: &World, index: usize, visit: &mut Visit<'_, World>) {
        if self.scenario.around.boundary_before_deletion {
            return;
        }
        let mut next = world.clone();
        next.delete(usize::from(world.retired()));
        next.processes[index].collector = Collector::Idle;
        visit(next, &|| format!("deletes {} before the boundary moves", world.retired()));
    }
}

fn written(wrote: bool) -> &'static str {
    if wrote { "written" } else { "conflict" }
}

/// A copy of the world with one less of something, if there is any left.
fn spend(world: &World, allowance: Allowance) -> Option<World> {
    let mut next = world.clone();
    let left = allowance(&mut next.budget);
    *left = left.checked_sub(1)?;
    Some(next)
}

/// What lies below the boundary may be deleted by anyone at any time.
fn deletion(world: &World, visit: &mut Visit<'_, World>) {
    let oldest = (1..world.retired()).find(|name| world.is_filled(*name));
    if let Some(name) = oldest {
        let mut next = world.clone();
        next.delete(usize::from(name));
        visit(next, &|| format!("somebody deletes {name}"));
    }
}

fn crash(world: &World, index: usize, visit: &mut Visit<'_, World>) {
    let process = &world.processes[index];
    if process.is_writer()
        && let Some(mut next) = spend(world, |budget| &mut budget.crashes)
    {
        next.processes[index] = Process::off(process.node);
        visit(next, &|| format!("{}/{index} crashes", node_name(process.node)));
    }
}

fn clone_host(world: &World, visit: &mut Visit<'_, World>) {
    if world.processes[0].is_running()
        && let Some(mut next) = spend(world, |budget| &mut budget.clones)
    {
        let mut copy = world.processes[0].clone();
        copy.collector = Collector::Idle;
        next.processes.push(copy);
        next.has_clones = true;
        visit(next, &|| "host A is cloned".to_owned());
    }
}

/// Somebody who keeps no rules.
fn tampering(world: &World, visit: &mut Visit<'_, World>) {
    let free = (1..world.slots.len() as u8).find(|name| !world.is_filled(*name));
    if let Some(name) = free
        && let Some(mut next) = spend(world, |budget| &mut budget.forged_objects)
    {
        next.is_tampered = true;
        next.slots[usize::from(name)].object = Some(forged(world, name));
        visit(next, &|| format!("somebody forges object {name}"));
    }
    // While a writer runs nobody could stop it from going on behind what is gone.
    let nobody_writes = !world.processes.iter().any(Process::is_writer);
    if nobody_writes
        && world.boundary.is_some()
        && let Some(mut next) = spend(world, |budget| &mut budget.wipes)
    {
        next.is_tampered = true;
        (1..next.slots.len()).for_each(|name| next.delete(name));
        visit(next, &|| "somebody removes every log object".to_owned());
    }
}

/// Of the right number and epoch, but following from nothing.
fn forged(world: &World, name: u8) -> Object {
    let epoch = world.history.iter().flatten().map(|object| object.epoch).max();
    let epoch = epoch.unwrap_or(segment::Epoch::FIRST);
    let place = Place { seq: seq(name), previous: SegmentHash::from_bytes([0xEE; 32]), epoch };
    build(&place, 25, 250, false, 0)
}
