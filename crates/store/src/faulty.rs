//! A store that fails on purpose, for tests.
//!
//! The fault model: a request may be refused before it has any effect; it may take effect while its answer
//! is lost; a write may take effect *later*, after its sender was told nothing and has gone on; an answer may
//! take long. An answer that does arrive is true: a store that lies is not modelled. Which fault meets which
//! request is decided by a script, a function of the request's number, operation and name; so the same script
//! gives the same run. A script may also step other parties forward before a request is carried out, which is
//! how tests drive two blocking writers through a chosen interleaving.

use crate::{ETag, Listing, Object, Put, Reply, Store, StoreError, Swap};
use bytes::Bytes;
use parking_lot::Mutex;
use segment::ObjectName;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Store::put_if_absent`]
    PutIfAbsent,
    /// [`Store::put`]
    Put,
    /// [`Store::put_if_match`]
    PutIfMatch,
    /// [`Store::get`]
    Get,
    /// [`Store::get_range`]
    GetRange,
    /// [`Store::list`]
    List,
    /// [`Store::delete`]
    Delete,
}

impl Operation {
    /// Whether it changes the store.
    #[must_use]
    pub fn is_write(self) -> bool {
        !matches!(self, Operation::Get | Operation::GetRange | Operation::List)
    }
}

/// A request, as a script sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// How many requests came before this one.
    pub number: u64,
    /// What it does.
    pub operation: Operation,
    /// The object's name, or the prefix of a listing.
    pub name: &'a str,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing unusual.
    Pass,
    /// It is answered by this error and has no effect.
    Refuse(StoreError),
    /// It takes effect and the answer is lost. A read is merely lost.
    LoseAnswer,
    /// A write whose answer is lost and which takes effect only at [`Faulty::land_late`]. A read is merely
    /// lost.
    Late,
    /// It is carried out after this time.
    Delay(Duration),
}

type Script = dyn Fn(&Request<'_>) -> Fault + Send + Sync;

/// Passes requests on to another store as the script allows. Clones of one [`std::sync::Arc`] share it.
pub struct Faulty<S> {
    inner: S,
    script: Box<Script>,
    number: AtomicU64,
    late: Mutex<Vec<LateWrite>>,
}

enum LateWrite {
    PutIfAbsent(ObjectName, Vec<u8>),
    Put(ObjectName, Vec<u8>),
    PutIfMatch(ObjectName, Vec<u8>, Option<ETag>),
    Delete(ObjectName),
}

impl<S: Store> Faulty<S> {
    /// A store that follows `script`.
    pub fn new(
        inner: S,
        script: impl Fn(&Request<'_>) -> Fault + Send + Sync + 'static,
    ) -> Faulty<S> {
        let late = Mutex::default();
        Faulty { inner, script: Box::new(script), number: AtomicU64::new(0), late }
    }

    /// The store underneath, without faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// How many requests were made.
    pub fn requests(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }

    /// How many writes are still under way.
    pub fn late_writes(&self) -> usize {
        self.late.lock().len()
    }

    /// Lets every late write take effect, oldest first; nobody learns of the outcome.
    ///
    /// # Errors
    /// The inner store's.
    pub fn land_late(&self) -> Result<(), StoreError> {
        let late = std::mem::take(&mut *self.late.lock());
        late.into_iter().try_for_each(|write| self.land(write))
    }

    fn land(&self, write: LateWrite) -> Result<(), StoreError> {
        match write {
            LateWrite::PutIfAbsent(name, body) => {
                self.inner.put_if_absent(&name, &body).map(|_| ())
            }
            LateWrite::Put(name, body) => self.inner.put(&name, &body).map(|_| ()),
            LateWrite::PutIfMatch(name, body, expected) => {
                self.inner.put_if_match(&name, &body, expected.as_ref()).map(|_| ())
            }
            LateWrite::Delete(name) => self.inner.delete(&name).map(|_| ()),
        }
    }

    fn read<T>(
        &self,
        operation: Operation,
        name: &str,
        carry_out: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.fault(operation, name) {
            Fault::Pass => carry_out(),
            Fault::Refuse(error) => Err(error),
            Fault::LoseAnswer | Fault::Late => {
                Err(StoreError::transient(name, "the answer was lost"))
            }
            Fault::Delay(time) => {
                std::thread::sleep(time);
                carry_out()
            }
        }
    }

    fn write<T>(
        &self,
        operation: Operation,
        name: &ObjectName,
        late: impl FnOnce() -> LateWrite,
        carry_out: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let lost = || StoreError::ambiguous(name, "the answer was lost");
        match self.fault(operation, name.as_str()) {
            Fault::Pass => carry_out(),
            Fault::Refuse(error) => Err(error),
            Fault::LoseAnswer => carry_out().and_then(|_| Err(lost())),
            Fault::Late => {
                self.late.lock().push(late());
                Err(lost())
            }
            Fault::Delay(time) => {
                std::thread::sleep(time);
                carry_out()
            }
        }
    }

    fn fault(&self, operation: Operation, name: &str) -> Fault {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        (self.script)(&Request { number, operation, name })
    }
}

impl<S: Store> Store for Faulty<S> {
    fn put_if_absent(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<Put>, StoreError> {
        let late = || LateWrite::PutIfAbsent(name.clone(), body.to_vec());
        self.write(Operation::PutIfAbsent, name, late, || self.inner.put_if_absent(name, body))
    }

    fn put(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<()>, StoreError> {
        let late = || LateWrite::Put(name.clone(), body.to_vec());
        self.write(Operation::Put, name, late, || self.inner.put(name, body))
    }

    fn put_if_match(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Reply<Swap>, StoreError> {
        let late = || LateWrite::PutIfMatch(name.clone(), body.to_vec(), expected.cloned());
        let carry_out = || self.inner.put_if_match(name, body, expected);
        self.write(Operation::PutIfMatch, name, late, carry_out)
    }

    fn get(&self, name: &ObjectName) -> Result<Reply<Option<Object>>, StoreError> {
        self.read(Operation::Get, name.as_str(), || self.inner.get(name))
    }

    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Reply<Option<Bytes>>, StoreError> {
        self.read(Operation::GetRange, name.as_str(), || self.inner.get_range(name, range))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply<Listing>, StoreError> {
        self.read(Operation::List, prefix, || self.inner.list(prefix, after, limit))
    }

    fn delete(&self, name: &ObjectName) -> Result<Reply<bool>, StoreError> {
        let late = || LateWrite::Delete(name.clone());
        self.write(Operation::Delete, name, late, || self.inner.delete(name))
    }
}

/// How often each fault strikes, per thousand requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`Fault::Refuse`], of the kind that invites another try.
    pub refuse: u32,
    /// [`Fault::LoseAnswer`]
    pub lose_answer: u32,
    /// [`Fault::Late`]
    pub late: u32,
    /// [`Fault::Delay`]
    pub delay: u32,
    /// How long a delay is at most.
    pub delay_max: Duration,
}

/// A script drawn from a seed: the same seed gives the same fault to the same request.
#[derive(Clone, Copy, Debug)]
pub struct Seeded {
    /// The seed.
    pub seed: u64,
    /// How often what happens.
    pub rates: Rates,
}

impl Seeded {
    /// The fault for a request.
    #[must_use]
    pub fn fault(&self, request: &Request<'_>) -> Fault {
        let draw = mix(self.seed ^ mix(request.number));
        let Rates { refuse, lose_answer, late, delay, delay_max } = self.rates;
        let faults = [
            (refuse, Fault::Refuse(StoreError::unavailable(request.name, "a fault was injected"))),
            (lose_answer, Fault::LoseAnswer),
            (late, Fault::Late),
            (
                delay,
                Fault::Delay(delay_max.mul_f64(((draw >> 32) as u32 as f64) / f64::from(u32::MAX))),
            ),
        ];
        let mut left = (draw % 1000) as u32;
        for (rate, fault) in faults {
            if left < rate {
                return fault;
            }
            left -= rate;
        }
        Fault::Pass
    }
}

/// The finishing step of splitmix64 (Steele, Lea, Flood 2014): every bit depends on every bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    fn only(number: u64, fault: Fault) -> Faulty<MemoryStore> {
        let script = move |request: &Request<'_>| {
            if request.number == number { fault.clone() } else { Fault::Pass }
        };
        Faulty::new(MemoryStore::default(), script)
    }

    #[test]
    fn without_faults_it_is_a_store() {
        crate::conformance::run(|| Box::new(Faulty::new(MemoryStore::default(), |_| Fault::Pass)));
    }

    #[test]
    fn a_lost_answer_has_taken_effect() {
        let store = only(0, Fault::LoseAnswer);
        let name = ObjectName::boundary();
        let lost = store.put_if_absent(&name, b"x");
        assert!(matches!(lost, Err(StoreError::Ambiguous { .. })), "{lost:?}");
        assert!(store.get(&name).unwrap().value.is_some());
    }

    #[test]
    fn a_late_write_takes_effect_when_it_lands_and_keeps_its_condition() {
        let store = only(0, Fault::Late);
        let name = ObjectName::boundary();
        assert!(store.put_if_absent(&name, b"late").is_err());
        assert!(store.get(&name).unwrap().value.is_none());
        assert_eq!(store.put_if_absent(&name, b"soon").unwrap().value, Put::Created);
        assert_eq!(store.late_writes(), 1);
        store.land_late().unwrap();
        assert_eq!(&store.get(&name).unwrap().value.unwrap().body[..], b"soon");
        assert_eq!(store.late_writes(), 0);
    }

    #[test]
    fn a_refused_write_has_no_effect() {
        let refusal = StoreError::unavailable("x", "y");
        let store = only(0, Fault::Refuse(refusal.clone()));
        let name = ObjectName::boundary();
        assert_eq!(store.put(&name, b"x"), Err(refusal));
        assert!(store.get(&name).unwrap().value.is_none());
    }

    #[test]
    fn a_seed_gives_the_same_faults_again_and_all_of_them() {
        let rates =
            Rates { refuse: 100, lose_answer: 100, late: 100, delay: 100, ..Rates::default() };
        let faults = |seed| -> Vec<Fault> {
            let script = Seeded { seed, rates };
            let request = |number| Request { number, operation: Operation::Put, name: "x" };
            (0..2000).map(|number| script.fault(&request(number))).collect()
        };
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
        let passed = faults(1).iter().filter(|fault| **fault == Fault::Pass).count();
        assert!((1100..1300).contains(&passed), "{passed}");
        for fault in [Fault::LoseAnswer, Fault::Late] {
            assert!(faults(1).contains(&fault), "{fault:?}");
        }
    }
}
