//! An explicit-state explorer: breadth first, so that a violation comes with a shortest history.
//!
//! States are remembered by a 64-bit fingerprint. Two states with one fingerprint would hide a part of the
//! graph, never report a false violation; at ten million states the odds of any such pair are one in 370,000.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What is told of each step: the state it leads to, and what happened, in words that are made only on demand.
pub type Visit<'v, S> = dyn FnMut(S, &dyn Fn() -> String) + 'v;

/// Something with states, steps and properties.
pub trait Model {
    /// A whole state.
    type State: Clone + Hash;

    /// Where it begins.
    fn initial(&self) -> Self::State;

    /// Every state that one step leads to, told to `visit` with what happened, always in the same order.
    fn steps(&self, state: &Self::State, visit: &mut Visit<'_, Self::State>);

    /// The property that does not hold, in words.
    fn violation(&self, state: &Self::State) -> Option<String>;
}

/// What an exploration found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Different states that were reached.
    pub states: usize,
    /// The length of the longest shortest history.
    pub depth: usize,
    /// Every state that can be reached was.
    pub is_exhausted: bool,
    /// The first property that was broken.
    pub violation: Option<Violation>,
}

/// A broken property and the history that leads there.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The property.
    pub property: String,
    /// What happened, step by step.
    pub history: Vec<String>,
}

impl Report {
    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        let extent = if self.is_exhausted { "exhausted" } else { "bounded" };
        let found = match &self.violation {
            Some(violation) => format!("VIOLATION: {}", violation.property),
            None => "no violation".to_owned(),
        };
        format!("{found}; {} states, depth {}, {extent}", self.states, self.depth)
    }
}

/// Explores `model` until a property breaks, everything was seen, or `states_max` states were.
pub fn explore<M: Model>(model: &M, states_max: usize) -> Report {
    let mut search = Search { model, seen: HashSet::default(), parents: Vec::new() };
    let mut frontier = vec![search.root()];
    let mut depth = 0;
    let report = |search: &Search<'_, M>, depth, is_exhausted, violation| Report {
        states: search.parents.len(),
        depth,
        is_exhausted,
        violation,
    };
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (index, state) in frontier.drain(..) {
            if let Some(violation) = search.expand(index, &state, &mut next) {
                return report(&search, depth + 1, false, Some(violation));
            }
            if search.parents.len() >= states_max {
                return report(&search, depth, false, None);
            }
        }
        frontier = next;
        depth += 1;
    }
    report(&search, depth, true, None)
}

/// Follows `walks` random histories of at most `steps_max` steps each, drawn from `seed`.
pub fn walk<M: Model>(model: &M, seed: u64, walks: usize, steps_max: usize) -> Report {
    let mut draw = seed | 1;
    let mut states = 0;
    for _ in 0..walks {
        let mut state = model.initial();
        let mut choices = Vec::new();
        for _ in 0..steps_max {
            let mut successors = Vec::new();
            model.steps(&state, &mut |next, _| successors.push(next));
            if successors.is_empty() {
                break;
            }
            draw = xorshift(draw);
            let choice = (draw >> 20) as usize % successors.len();
            state = successors.swap_remove(choice);
            choices.push(choice);
            states += 1;
            if let Some(property) = model.violation(&state) {
                let history = replay(model, &choices);
                let violation = Some(Violation { property, history });
                return Report { states, depth: choices.len(), is_exhausted: false, violation };
            }
        }
    }
    Report { states, depth: steps_max, is_exhausted: false, violation: None }
}

/// Marsaglia 2003.
fn xorshift(mut draw: u64) -> u64 {
    draw ^= draw << 13;
    draw ^= draw >> 7;
    draw ^= draw << 17;
    draw
}

struct Search<'m, M: Model> {
    model: &'m M,
    seen: HashSet<u64, BuildHasherDefault<Identity>>,
    /// Of each state: the state it was reached from, and by which of that one's steps.
    parents: Vec<(u32, u32)>,
}

const ROOT: u32 = u32::MAX;

impl<M: Model> Search<'_, M> {
    fn root(&mut self) -> (u32, M::State) {
        let state = self.model.initial();
        self.seen.insert(fingerprint(&state));
        self.parents.push((ROOT, 0));
        (0, state)
    }

    fn expand(
        &mut self,
        index: u32,
        state: &M::State,
        next: &mut Vec<(u32, M::State)>,
    ) -> Option<Violation> {
        let mut step = 0;
        let mut violation = None;
        let model = self.model;
        model.steps(state, &mut |successor, _| {
            step += 1;
            if violation.is_some() || !self.seen.insert(fingerprint(&successor)) {
                return;
            }
            let child = u32::try_from(self.parents.len()).expect("BUG: states_max fits 32 bits");
            self.parents.push((index, step - 1));
            match model.violation(&successor) {
                Some(property) => violation = Some((child, property)),
                None => next.push((child, successor)),
            }
        });
        violation.map(|(child, property)| Violation { property, history: self.history(child) })
    }

    fn history(&self, mut index: u32) -> Vec<String> {
        let mut choices = Vec::new();
        while self.parents[index as usize].0 != ROOT {
            let (parent, step) = self.parents[index as usize];
            choices.push(step as usize);
            index = parent;
        }
        choices.reverse();
        replay(self.model, &choices)
    }
}

/// What happened when these steps were taken from the beginning.
fn replay<M: Model>(model: &M, choices: &[usize]) -> Vec<String> {
    let mut state = model.initial();
    let mut history = Vec::new();
    for choice in choices {
        let mut step = 0;
        let mut taken = None;
        model.steps(&state, &mut |successor, what| {
            if step == *choice {
                taken = Some((successor, what()));
            }
            step += 1;
        });
        let (successor, what) = taken.expect("BUG: steps come in the same order every time");
        history.push(what);
        state = successor;
    }
    history
}

/// Multiplies and folds word by word (wyhash's mixing step); good enough to tell states apart.
#[derive(Default)]
struct Fingerprint(u64);

impl Fingerprint {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0xA076_1D64_78BD_642F)
            * u128::from(word.rotate_left(32) ^ self.0.wrapping_add(0xE703_7ED1_A0B4_28DB));
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ self.0.rotate_left(23);
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        let mut last = Fingerprint(self.0);
        last.mix(0x8EBC_6AF0_9C88_C6E3);
        last.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value) | 1 << 32);
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64 ^ 1 << 40);
    }
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Fingerprint(0x243F_6A88_85A3_08D3);
    state.hash(&mut hasher);
    hasher.finish()
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("BUG: only fingerprints are kept");
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two hands of a clock with `hours` hours; bad when both show the last.
    struct Clock {
        hours: u8,
        bad: bool,
    }

    impl Model for Clock {
        type State = (u8, u8);

        fn initial(&self) -> (u8, u8) {
            (0, 0)
        }

        fn steps(&self, state: &(u8, u8), visit: &mut Visit<'_, (u8, u8)>) {
            let turn = |hand| (hand + 1) % self.hours;
            visit((turn(state.0), state.1), &|| "first".to_owned());
            visit((state.0, turn(state.1)), &|| "second".to_owned());
        }

        fn violation(&self, state: &(u8, u8)) -> Option<String> {
            let last = self.hours - 1;
            (self.bad && *state == (last, last)).then(|| "both at the end".to_owned())
        }
    }

    #[test]
    fn everything_is_seen_once() {
        let report = explore(&Clock { hours: 7, bad: false }, 1000);
        assert_eq!((report.states, report.is_exhausted), (49, true));
        let bounded = explore(&Clock { hours: 7, bad: false }, 20);
        assert!(!bounded.is_exhausted && bounded.states >= 20, "{}", bounded.summary());
    }

    #[test]
    fn a_violation_comes_with_a_shortest_history() {
        let report = explore(&Clock { hours: 4, bad: true }, 1000);
        let violation = report.violation.unwrap();
        assert_eq!(violation.history.len(), 6);
        assert_eq!(violation.history.iter().filter(|step| *step == "first").count(), 3);
    }

    #[test]
    fn random_walks_find_it_too() {
        let report = walk(&Clock { hours: 4, bad: true }, 5, 100, 100);
        assert!(report.violation.is_some());
    }
}
