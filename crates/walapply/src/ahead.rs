//! Doing work ahead on several threads and taking its results in order.
//!
//! Work is started in order and each piece holds its bytes of the budget from before it starts until its result was
//! consumed. So whatever is held is the next thing to be consumed, and several readers of one budget cannot block
//! each other for ever. When the consumer stops, what was fetched ahead is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use parking_lot::Mutex;

use crate::budget::{Budget, Permit};

/// Does the consumer want more?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    /// Yes.
    On,
    /// No; the rest is not needed.
    Stop,
}

/// Pieces of work with their sizes.
pub(crate) struct Work<'a, T> {
    /// Bytes of each piece.
    pub(crate) sizes: &'a [u64],
    /// Threads to use at most.
    pub(crate) threads: usize,
    /// The bound on what is held at once.
    pub(crate) budget: &'a Arc<Budget>,
    /// Carries out the piece of this number.
    pub(crate) run: &'a (dyn Fn(usize) -> T + Sync),
}

impl<T: Send> Work<'_, T> {
    /// Hands the results to `consume`, in order, until it stops or fails.
    pub(crate) fn each<E>(
        &self,
        mut consume: impl FnMut(usize, T) -> Result<Go, E>,
    ) -> Result<(), E> {
        let threads = self.threads.min(self.sizes.len());
        if threads <= 1 {
            return self.one_by_one(consume);
        }
        let (sender, receiver) = mpsc::channel();
        let next = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.work(next, &sender));
            }
            drop(sender);
            in_order(receiver, self.sizes.len(), &mut consume)
        })
    }

    fn one_by_one<E>(&self, mut consume: impl FnMut(usize, T) -> Result<Go, E>) -> Result<(), E> {
        for (number, size) in self.sizes.iter().enumerate() {
            let _permit = self.budget.take(*size);
            if consume(number, (self.run)(number))? == Go::Stop {
                break;
            }
        }
        Ok(())
    }

    /// One thread: takes the next piece and its permit together, so that permits are taken in order.
    fn work(&self, next: &Mutex<usize>, sender: &Sender<(usize, Permit, T)>) {
        loop {
            let mut turn = next.lock();
            let number = *turn;
            let Some(size) = self.sizes.get(number) else { return };
            let permit = self.budget.take(*size);
            *turn += 1;
            drop(turn);
            if sender.send((number, permit, (self.run)(number))).is_err() {
                return;
            }
        }
    }
}

/// Takes results as they come and consumes them in order; dropping the receiver ends the threads.
fn in_order<T, E>(
    receiver: Receiver<(usize, Permit, T)>,
    count: usize,
    consume: &mut impl FnMut(usize, T) -> Result<Go, E>,
) -> Result<(), E> {
    let mut early = BTreeMap::new();
    for number in 0..count {
        while !early.contains_key(&number) {
            let (arrived, permit, result) =
                receiver.recv().expect("BUG: a reading thread ended early");
            early.insert(arrived, (permit, result));
        }
        let (_permit, result) = early.remove(&number).expect("BUG: waited for it");
        if consume(number, result)? == Go::Stop {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    fn unsteady(number: usize) -> usize {
        std::thread::sleep(Duration::from_micros((number as u64 * 7919) % 300));
        number
    }

    #[test]
    fn results_come_in_order_and_within_the_budget() {
        let held = AtomicU64::new(0);
        let sizes: Vec<u64> = (0..200).map(|n| n % 7 * 10).collect();
        let run = |number: usize| {
            held.fetch_add(sizes[number], Ordering::SeqCst);
            unsteady(number)
        };
        let budget = Budget::new(100);
        let mut expected = 0;
        let work = Work { sizes: &sizes, threads: 5, budget: &budget, run: &run };
        work.each(|number, result| {
            assert!(held.fetch_sub(sizes[number], Ordering::SeqCst) <= 100);
            assert_eq!((number, result), (expected, expected));
            expected += 1;
            Ok::<_, Infallible>(Go::On)
        })
        .unwrap();
        assert_eq!(expected, 200);
    }

    #[test]
    fn several_readers_share_one_budget_without_a_deadlock() {
        let budget = Budget::new(100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let sizes = [60; 50];
                    let work = Work { sizes: &sizes, threads: 3, budget: &budget, run: &unsteady };
                    work.each(|_, _| Ok::<_, Infallible>(Go::On)).unwrap();
                });
            }
        });
    }

    #[test]
    fn stopping_and_failing_end_the_threads() {
        let budget = Budget::new(100);
        let sizes = [90; 1000];
        let work = Work { sizes: &sizes, threads: 4, budget: &budget, run: &unsteady };
        work.each(|number, _| Ok::<_, Infallible>(if number == 3 { Go::Stop } else { Go::On }))
            .unwrap();
        assert_eq!(work.each(|_, _| Err("enough")), Err("enough"));
        drop(budget.take(100));
    }

    #[test]
    fn a_piece_larger_than_the_budget_goes_alone() {
        let budget = Budget::new(10);
        let work = Work { sizes: &[5, 1_000_000, 5], threads: 3, budget: &budget, run: &unsteady };
        work.each(|_, _| Ok::<_, Infallible>(Go::On)).unwrap();
    }
}
