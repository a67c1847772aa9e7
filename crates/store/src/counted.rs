//! A store that counts what the requests through it would cost: object stores bill by class of request.
//!
//! Every attempt counts, also one that failed, conflicted or found nothing, because those are billed too.

use crate::{ETag, Listing, Object, Put, Reply, Store, StoreError, Swap};
use bytes::Bytes;
use segment::ObjectName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Requests so far, by billing class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Puts of every kind.
    pub write: u64,
    /// Pages of listings.
    pub list: u64,
    /// Whole and ranged reads, whether or not they found anything.
    pub read: u64,
    /// Everything else; nothing in this trait falls here yet.
    pub other: u64,
    /// Deletions, which cost nothing.
    pub delete: u64,
}

impl fmt::Display for RequestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { write, list, read, other, delete } = self;
        write!(f, "{write} writes, {list} lists, {read} reads, {other} others, {delete} deletions")
    }
}

/// Passes everything on to another store and counts it.
pub struct Counted<S> {
    inner: S,
    write: AtomicU64,
    list: AtomicU64,
    read: AtomicU64,
    delete: AtomicU64,
}

impl<S: Store> Counted<S> {
    /// Counts from zero.
    pub fn new(inner: S) -> Counted<S> {
        let zero = AtomicU64::default;
        Counted { inner, write: zero(), list: zero(), read: zero(), delete: zero() }
    }

    /// The counts at this moment.
    pub fn counts(&self) -> RequestCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RequestCounts {
            write: read(&self.write),
            list: read(&self.list),
            read: read(&self.read),
            other: 0,
            delete: read(&self.delete),
        }
    }
}

fn count(class: &AtomicU64) {
    class.fetch_add(1, Ordering::Relaxed);
}

impl<S: Store> Store for Counted<S> {
    fn put_if_absent(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<Put>, StoreError> {
        count(&self.write);
        self.inner.put_if_absent(name, body)
    }

    fn put(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<()>, StoreError> {
        count(&self.write);
        self.inner.put(name, body)
    }

    fn put_if_match(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Reply<Swap>, StoreError> {
        count(&self.write);
        self.inner.put_if_match(name, body, expected)
    }

    fn get(&self, name: &ObjectName) -> Result<Reply<Option<Object>>, StoreError> {
        count(&self.read);
        self.inner.get(name)
    }

    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Reply<Option<Bytes>>, StoreError> {
        count(&self.read);
        self.inner.get_range(name, range)
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply<Listing>, StoreError> {
        count(&self.list);
        self.inner.list(prefix, after, limit)
    }

    fn delete(&self, name: &ObjectName) -> Result<Reply<bool>, StoreError> {
        count(&self.delete);
        self.inner.delete(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    #[test]
    fn every_attempt_counts_in_its_class() {
        let store = Counted::new(MemoryStore::default());
        let name = ObjectName::boundary();
        store.put(&name, b"1").unwrap();
        store.put_if_absent(&name, b"2").unwrap();
        store.put_if_match(&name, b"3", None).unwrap();
        store.get(&name).unwrap();
        store.get_range(&ObjectName::fleet_json(), 0..1).unwrap();
        store.list("", None, 10).unwrap();
        store.delete(&name).unwrap();
        store.delete(&name).unwrap();
        let expected = RequestCounts { write: 3, list: 1, read: 2, other: 0, delete: 2 };
        assert_eq!(store.counts(), expected);
    }
}
