//! A store whose reads are tried again where that may help.
//!
//! Commands that read much (restore, verify, list) must not fail for one lost packet. Only reads are repeated: what a
//! write does after an unknown answer is for the protocol to decide. The waits double, so a store that is really gone is
//! reported within a few seconds. An object that cannot be read while the store answers otherwise is damaged: it lies on a
//! bad sector, and whoever reads on finds what is sound.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use segment::ObjectName;
use store::{ETag, ErrorClass, Listing, Object, Put, Reply, Store, StoreError, Swap};

/// Tries before an error is believed: with the waits below, about 3 s.
const TRIES: u32 = 5;
/// The first wait.
const WAIT: Duration = Duration::from_millis(200);
/// The longest wait that a throttling store may ask for.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// See the module's documentation.
pub(crate) struct Patient(Arc<dyn Store>);

impl Patient {
    /// The same store with patience.
    pub(crate) fn over(store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Self(store))
    }

    fn again<T>(
        &self,
        read: impl Fn(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut wait = WAIT;
        for _ in 1..TRIES {
            match read(&*self.0) {
                Err(error) if error.class() == ErrorClass::Retry => {
                    tracing::warn!(%error, "the store did not answer, trying again");
                    std::thread::sleep(asked_for(&error).unwrap_or(wait));
                    wait *= 2;
                }
                answer => return answer,
            }
        }
        read(&*self.0)
    }

    fn read_object<T>(
        &self,
        name: &ObjectName,
        read: impl Fn(&dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let answer = self.again(&read);
        if !matches!(answer, Err(StoreError::Transient { .. })) || !self.answers_beside(name) {
            return answer;
        }
        // The store may have come back just now.
        match read(&*self.0) {
            Err(StoreError::Transient { what, cause }) => Err(StoreError::Corrupt { what, cause }),
            answer => answer,
        }
    }

    fn answers_beside(&self, name: &ObjectName) -> bool {
        let other = ObjectName::fleet_json();
        *name != other && self.0.get(&other).is_ok()
    }
}

fn asked_for(error: &StoreError) -> Option<Duration> {
    error.retry_after().map(|wait| Duration::from_millis(wait.get()).min(WAIT_MAX))
}

impl Store for Patient {
    fn put_if_absent(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<Put>, StoreError> {
        self.0.put_if_absent(name, body)
    }

    fn put(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<()>, StoreError> {
        self.0.put(name, body)
    }

    fn put_if_match(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Reply<Swap>, StoreError> {
        self.0.put_if_match(name, body, expected)
    }

    fn get(&self, name: &ObjectName) -> Result<Reply<Option<Object>>, StoreError> {
        self.read_object(name, |store| store.get(name))
    }

    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Reply<Option<Bytes>>, StoreError> {
        self.read_object(name, |store| store.get_range(name, range.clone()))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply<Listing>, StoreError> {
        self.again(|store| store.list(prefix, after, limit))
    }

    fn delete(&self, name: &ObjectName) -> Result<Reply<bool>, StoreError> {
        self.0.delete(name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use store::{Fault, Faulty, MemoryStore, Request};

    use super::*;

    /// A store whose first `failures` requests are refused with this error.
    fn failing(failures: u32, error: StoreError) -> (Arc<dyn Store>, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let script = move |_: &Request<'_>| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            if number < failures { Fault::Refuse(error.clone()) } else { Fault::Pass }
        };
        (Patient::over(Arc::new(Faulty::new(MemoryStore::default(), script))), asked)
    }

    #[test]
    fn a_read_is_tried_again_where_that_may_help() {
        let (store, asked) = failing(2, StoreError::transient("x", "a lost packet"));
        assert!(store.get(&ObjectName::fleet_json()).unwrap().value.is_none());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn an_object_that_fails_while_others_are_read_is_damaged() {
        let bad = ObjectName::log(segment::Seq::FIRST);
        let store_where = |is_failing: fn(&str) -> bool| {
            let script = move |request: &Request<'_>| match is_failing(request.name) {
                true => Fault::Refuse(StoreError::transient(request.name, "a bad sector")),
                false => Fault::Pass,
            };
            Patient::over(Arc::new(Faulty::new(MemoryStore::default(), script)))
        };
        let sector = store_where(|name| name.starts_with("log/"));
        let damage = StoreError::Corrupt { what: bad.to_string(), cause: "a bad sector".into() };
        assert_eq!(sector.get(&bad).unwrap_err(), damage);
        assert_eq!(sector.get_range(&bad, 0..1).unwrap_err(), damage);
        let gone = store_where(|_| true);
        assert_eq!(gone.get(&bad).unwrap_err().class(), ErrorClass::Retry);
    }

    #[test]
    fn a_refusal_is_believed_at_once_and_so_is_a_failed_write() {
        let denied = StoreError::Auth { cause: "no".to_owned() };
        let (store, asked) = failing(2, denied.clone());
        assert_eq!(store.get(&ObjectName::fleet_json()).unwrap_err(), denied);
        let (store, writes) = failing(2, StoreError::transient("x", "a lost packet"));
        assert!(store.put_if_absent(&ObjectName::fleet_json(), b"{}").is_err());
        assert_eq!((asked.load(Ordering::SeqCst), writes.load(Ordering::SeqCst)), (1, 1));
    }
}
