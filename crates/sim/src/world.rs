//! The modelled store, the parties on it, and the properties that must hold.
//!
//! Properties, checked in every state:
//! - one history: whatever a reader accepts or a writer acknowledges under one number is the same for all,
//!   follows from what was accepted before it, and is never of an older epoch than what stands below it;
//! - nothing that was filled again after its deletion is accepted or acknowledged;
//! - what was acknowledged stays readable until the boundary has passed it;
//! - nobody calls a sound log corrupt, and nobody takes a slot below the boundary for the tail;
//! - a start never takes the log from another node, a promotion only from the node it deposes;
//! - a writer is never ended by its own object;
//! - and, where that is asked for, every process that is left alone comes to rest: a reader at the true tail,
//!   a writer acknowledged or stopped, and a fresh start of the owner's node owning the log.

use crate::explore::{Model, Visit};
use crate::objects::{Object, build, describe, node_name, position_after, seq, writer_id};
use crate::process::{Process, Role};
use crate::scenario::{Begin, Budget, Scenario};
use fleet_log::machine::{
    Answer, Ask, Boundary, Facts, Follow, FollowEnd, Found, Intent, Machine, Place, Sent, StartEnd,
    Write, WriteEnd,
};
use fleet_log::{End, Position};
use segment::{Epoch, SegmentHash};

mod environment;
mod settle;

/// Names per page of the modelled listing: small, so that a listing of a few objects takes several requests.
const PAGE: u8 = 2;

/// The whole state.
#[derive(Clone, Hash)]
pub struct World {
    /// By number; the first is unused.
    slots: Vec<Slot>,
    boundary: Option<Boundary>,
    boundary_tag: u8,
    /// Puts that may still take effect.
    late: Vec<Object>,
    processes: Vec<Process>,
    /// What was accepted or acknowledged first under each number.
    history: Vec<Option<Object>>,
    writers: u8,
    budget: Budget,
    is_tampered: bool,
    has_clones: bool,
    broken: Option<&'static str>,
}

#[derive(Clone, Hash, Default)]
struct Slot {
    object: Option<Object>,
    was_deleted: bool,
    is_recreated: bool,
}

/// The model of a scenario.
pub struct LogModel {
    scenario: Scenario,
}

impl LogModel {
    /// The model of `scenario`.
    #[must_use]
    pub fn new(scenario: Scenario) -> LogModel {
        LogModel { scenario }
    }

    /// Every outcome of process `index`'s next request.
    fn process_steps(&self, world: &World, index: usize, visit: &mut Visit<'_, World>) {
        let mut begun = world.clone();
        self.begin_write(&mut begun, index);
        self.seal(&mut begun, index);
        let world = &begun;
        let Some(ask) = world.processes[index].ask(self.scenario.slots) else { return };
        let label = || world.processes[index].label(index);
        if let Ask::Put(_) = ask {
            return self.put_steps(world, index, visit);
        }
        let mut next = world.clone();
        let answer = self.carry_out(&mut next, index, ask);
        let told = answer.clone();
        self.tell(&mut next, index, answer);
        visit(next, &|| format!("{}: {ask:?} -> {}", label(), shown(&told)));
    }

    /// A writer with nothing under way begins the next slot, if the log may still grow.
    fn begin_write(&self, world: &mut World, index: usize) {
        let rules = self.scenario.rules;
        let process = &mut world.processes[index];
        if let Role::Writing(position, write @ None) = &mut process.role
            && position.next.get() <= u64::from(self.scenario.slots)
        {
            *write = Some(Write::new(rules, position.clone()));
            process.seals = 0;
        }
    }

    /// Choosing bytes is not a request: nobody can come in between.
    fn seal(&self, world: &mut World, index: usize) {
        let Some(Ask::Seal(place)) = world.processes[index].ask(self.scenario.slots) else {
            return;
        };
        let process = &mut world.processes[index];
        let is_fence = matches!(process.role, Role::Starting(..));
        // A clone has the writer id of its original; what it writes differs all the same.
        let variant = process.seals * 16 + index as u8;
        let object = build(&place, process.node, process.writer, is_fence, variant);
        process.seals += 1;
        process.is_recreated = false;
        let answer = Answer::Sealed(object.hash);
        process.sealed = Some(object);
        self.tell(world, index, answer);
    }

    fn put_steps(&self, world: &World, index: usize, visit: &mut Visit<'_, World>) {
        let process = &world.processes[index];
        let object = process.sealed.clone().expect("BUG: bytes are chosen before they are sent");
        let label = |outcome: &str| {
            format!("{}: put {} {outcome}", process.label(index), describe(&object))
        };

        let mut next = world.clone();
        let sent = self.land(&mut next, &object);
        if sent == Sent::Created {
            next.processes[index].is_recreated = next.slot(&object).is_recreated;
        }
        let mut lost = next.clone();
        self.tell(&mut next, index, Answer::Put(sent));
        visit(next, &|| label(if sent == Sent::Created { "-> created" } else { "-> exists" }));

        if sent == Sent::Created && lost.budget.lost_answers > 0 {
            lost.budget.lost_answers -= 1;
            self.tell(&mut lost, index, Answer::Put(Sent::Unknown));
            visit(lost, &|| label("takes effect, answer lost"));
        }
        if world.budget.late_puts > 0 {
            let mut late = world.clone();
            late.budget.late_puts -= 1;
            late.late.push(object.clone());
            late.late.sort_by_key(|object| (object.seq, object.hash));
            self.tell(&mut late, index, Answer::Put(Sent::Unknown));
            visit(late, &|| label("answer lost, it may land later"));
        }
    }

    /// A put reaches the store: rule D4.
    fn land(&self, world: &mut World, object: &Object) -> Sent {
        let creates_only = self.scenario.around.create_if_absent;
        let slot = &mut world.slots[object.seq.get() as usize];
        if creates_only && slot.object.is_some() {
            return Sent::Exists;
        }
        slot.object = Some(object.clone());
        slot.is_recreated = slot.was_deleted;
        Sent::Created
    }

    fn carry_out(&self, world: &mut World, index: usize, ask: Ask) -> Answer {
        match ask {
            Ask::List { after } => world.list(after.map_or(0, |seq| seq.get() as u8)),
            Ask::Get(seq) => world.get(index, seq.get() as usize),
            Ask::Boundary => Answer::Boundary(world.boundary),
            Ask::Delete(seq) => {
                world.delete(seq.get() as usize);
                Answer::Deleted
            }
            Ask::Put(_) | Ask::Seal(_) => unreachable!("BUG: carried out elsewhere"),
        }
    }

    /// Tells a process the outcome of its request, and judges what it concludes.
    fn tell(&self, world: &mut World, index: usize, answer: Answer) {
        match &mut world.processes[index].role {
            Role::Reader(follow) => {
                if let Some(end) = follow.answer(answer) {
                    let position = follow.position().clone();
                    self.reader_concluded(world, index, end, &position);
                }
            }
            Role::Starting(start, intent) => {
                if let Some(end) = start.answer(answer) {
                    let intent = intent.clone();
                    world.starter_concluded(index, &intent, end);
                }
            }
            Role::Writing(_, Some(write)) => {
                if let Some(end) = write.answer(answer) {
                    world.writer_concluded(index, end);
                }
            }
            Role::Galloping(gallop) => {
                let is_there = matches!(answer, Answer::Got(Found::Object(_)));
                if let Some(last) = gallop.answer(is_there) {
                    world.galloper_concluded(index, last);
                }
            }
            Role::Off | Role::Stopped | Role::Writing(_, None) => {
                unreachable!("BUG: it asked nothing")
            }
        }
        self.seal(world, index);
    }

    fn reader_concluded(
        &self,
        world: &mut World,
        index: usize,
        end: FollowEnd,
        position: &Position,
    ) {
        let read = std::mem::take(&mut world.processes[index].read);
        match end {
            FollowEnd::Accepted { count, end } => {
                for (object, is_recreated) in read.into_iter().take(count as usize) {
                    world.accept(&object, is_recreated);
                }
                if end == End::Tail && world.retired() > position.next.get() as u8 {
                    world.breaks("a reader takes a slot below the boundary for the tail");
                }
            }
            FollowEnd::Behind { retired } => {
                let base = world.history[retired.get() as usize].clone();
                let base = base.expect("BUG: only acknowledged objects become the boundary");
                let follow =
                    Follow::new(self.scenario.rules, position_after(&base), self.scenario.batch);
                world.processes[index].role = Role::Reader(follow);
            }
            FollowEnd::Corrupt { .. } => world.calls_corrupt(index),
        }
    }
}

impl World {
    fn breaks(&mut self, property: &'static str) {
        self.broken.get_or_insert(property);
    }

    fn retired(&self) -> u8 {
        self.boundary.map_or(1, |boundary| boundary.retired.get() as u8)
    }

    fn slot(&self, object: &Facts) -> &Slot {
        &self.slots[object.seq.get() as usize]
    }

    fn list(&self, after: u8) -> Answer {
        let mut names = (after + 1..self.slots.len() as u8).filter(|name| self.is_filled(*name));
        let greatest = names.by_ref().take(PAGE as usize).last();
        Answer::Listed { greatest: greatest.map(seq), more: names.next().is_some() }
    }

    fn is_filled(&self, name: u8) -> bool {
        self.slots[name as usize].object.is_some()
    }

    fn get(&mut self, index: usize, name: usize) -> Answer {
        let process = &mut self.processes[index];
        let slot = &self.slots[name];
        let Some(object) = &slot.object else { return Answer::Got(Found::Nothing) };
        if let Role::Reader(_) = process.role {
            process.read.push((object.clone(), slot.is_recreated));
        }
        if process.sealed.as_ref().is_some_and(|sealed| sealed.hash == object.hash) {
            process.is_recreated = slot.is_recreated;
        }
        Answer::Got(Found::Object(Facts::clone(object)))
    }

    fn delete(&mut self, name: usize) {
        let slot = &mut self.slots[name];
        if slot.object.is_some() {
            *slot = Slot { object: None, was_deleted: true, ..Slot::default() };
        }
    }

    fn writer_concluded(&mut self, index: usize, end: WriteEnd) {
        match end {
            WriteEnd::Acknowledged { position, .. } => {
                self.acknowledge(index);
                self.processes[index].role = Role::Writing(position, None);
            }
            WriteEnd::Fenced { .. } => self.fenced(index),
            WriteEnd::Superseded { .. } => self.stop(index),
            WriteEnd::Corrupt(_) => self.calls_corrupt(index),
        }
    }

    /// Ended by another object in its slot, which must then be another's.
    fn fenced(&mut self, index: usize) {
        let process = &self.processes[index];
        let own = writer_id(process.writer);
        let sealed = process.sealed.as_ref().expect("BUG: fenced while it fills a slot");
        let is_own = self.slot(sealed).object.as_ref().is_some_and(|object| object.writer == own);
        if is_own && !self.has_clones {
            self.breaks("a writer is ended by its own object");
        }
        self.stop(index);
    }

    fn starter_concluded(&mut self, index: usize, intent: &Intent, end: StartEnd) {
        match end {
            StartEnd::Started(position) => {
                self.check_deposed(index, intent);
                self.acknowledge(index);
                self.processes[index].role = Role::Writing(position, None);
            }
            StartEnd::Fenced { .. } | StartEnd::Superseded { .. } => self.stop(index),
            StartEnd::BoundaryWithoutObjects | StartEnd::Corrupt { .. } => {
                self.calls_corrupt(index)
            }
        }
    }

    /// Whom the fence takes the log from, judged by the object before it.
    fn check_deposed(&mut self, index: usize, intent: &Intent) {
        let process = &self.processes[index];
        let own = node_name(process.node);
        let fence = process.sealed.clone().expect("BUG: a start ends with its fence");
        let Some(before) = self.predecessor(&fence) else { return };
        match intent {
            Intent::Start if before.node != own => {
                self.breaks("a start takes the log from another node");
            }
            Intent::Promote { deposed } if before.node != *deposed => {
                self.breaks("a promotion supersedes a node that it was not told to depose");
            }
            _ => {}
        }
    }

    fn galloper_concluded(&mut self, index: usize, last: u8) {
        if self.retired() > last + 1 || (last == 0 && self.history[1].is_some()) {
            self.breaks("a starter takes a slot below the boundary for the tail");
        }
        self.stop(index);
    }

    fn calls_corrupt(&mut self, index: usize) {
        if !self.is_tampered {
            self.breaks("somebody calls a sound log corrupt");
        }
        self.stop(index);
    }

    fn stop(&mut self, index: usize) {
        let node = self.processes[index].node;
        self.processes[index] = Process { role: Role::Stopped, ..Process::off(node) };
    }

    fn acknowledge(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let object = process.sealed.take().expect("BUG: what is acknowledged was sealed");
        let is_recreated = std::mem::take(&mut process.is_recreated);
        process.seals = 0;
        self.accept_predecessors(&object);
        self.accept(&object, is_recreated);
    }

    /// What stands before an acknowledged object is history with it, whether or not anybody else read it.
    fn accept_predecessors(&mut self, object: &Object) {
        let Some(before) = self.predecessor(object) else { return };
        if self.history[before.seq.get() as usize].is_none() {
            self.accept_predecessors(&before);
            self.accept(&before, false);
        }
    }

    fn predecessor(&self, object: &Facts) -> Option<Object> {
        let name = object.seq.previous()?.get() as usize;
        let candidates = [&self.slots[name].object, &self.history[name]];
        candidates.into_iter().flatten().find(|before| before.hash == object.previous).cloned()
    }

    fn accept(&mut self, object: &Object, is_recreated: bool) {
        let name = object.seq.get() as usize;
        if is_recreated {
            self.breaks("an object that was filled again after its deletion is accepted");
        }
        match &self.history[name] {
            Some(first) if first.hash != object.hash => {
                self.breaks("two histories under one number")
            }
            Some(_) => {}
            None => self.history[name] = Some(object.clone()),
        }
        let before = &self.history[name - 1];
        if before.as_ref().is_some_and(|before| before.hash != object.previous) {
            self.breaks("an accepted object does not follow from the accepted history");
        }
        let is_older = |below: &Object| below.epoch > object.epoch;
        if self.history[..name].iter().flatten().any(is_older) {
            self.breaks("an older epoch is accepted above a newer one");
        }
    }

    fn broken_property(&self) -> Option<&'static str> {
        self.broken.or_else(|| self.check_kept())
    }

    /// What was acknowledged stands until the boundary has passed it.
    fn check_kept(&self) -> Option<&'static str> {
        let held = self.slots.iter().enumerate().skip(usize::from(self.retired()));
        let is_lost = |(name, slot): (usize, &Slot)| {
            let acknowledged = self.history[name].as_ref();
            let stands = slot.object.as_ref();
            acknowledged.is_some()
                && (stands.is_none() || stands.map(|o| o.hash) != acknowledged.map(|o| o.hash))
        };
        (!self.is_tampered && held.into_iter().any(is_lost)).then_some("an accepted object is lost")
    }
}

impl Model for LogModel {
    type State = World;

    fn initial(&self) -> World {
        let Scenario { slots, readers, begin, rules, batch, budget, .. } = self.scenario;
        let mut world = World {
            slots: vec![Slot::default(); usize::from(slots) + 1],
            boundary: None,
            boundary_tag: 0,
            late: Vec::new(),
            processes: Vec::new(),
            history: vec![None; usize::from(slots) + 1],
            writers: 0,
            budget,
            is_tampered: false,
            has_clones: false,
            broken: None,
        };
        let mut position = Position::START;
        let mut first = Process::off(0);
        if begin == Begin::Owned {
            let place = Place { seq: seq(1), previous: SegmentHash::ZERO, epoch: Epoch::FIRST };
            let fence = build(&place, 0, 1, true, 0);
            position = position_after(&fence);
            world.slots[1].object = Some(fence.clone());
            world.history[1] = Some(fence);
            world.writers = 1;
            first = Process { writer: 1, role: Role::Writing(position.clone(), None), ..first };
        }
        world.processes.push(first);
        for node in 1..=readers {
            world.processes.push(Process::reader(node, position.clone(), rules, batch));
        }
        world
    }

    fn steps(&self, world: &World, visit: &mut Visit<'_, World>) {
        for index in 0..world.processes.len() {
            self.process_steps(world, index, visit);
        }
        self.environment_steps(world, visit);
    }

    fn violation(&self, world: &World) -> Option<String> {
        world.broken_property().map(str::to_owned).or_else(|| self.check_settles(world))
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Got(Found::Object(facts)) => describe(facts),
        Answer::Got(Found::Nothing) => "nothing".to_owned(),
        Answer::Boundary(None) => "no boundary".to_owned(),
        Answer::Boundary(Some(boundary)) => format!("retired {}", boundary.retired),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
