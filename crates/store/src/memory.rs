//! A store in memory: the smallest thing that keeps the trait's promises. For tests and simulations; it
//! forgets everything when dropped.

use crate::clock::{Clock, SystemClock};
use crate::{ETag, Listed, Listing, Object, Put, Reply, Store, StoreError, Swap};
use bytes::Bytes;
use parking_lot::Mutex;
use segment::{Millis, ObjectName};
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

/// See the module's documentation.
pub struct MemoryStore {
    objects: Mutex<BTreeMap<ObjectName, Kept>>,
    clock: Arc<dyn Clock>,
}

struct Kept {
    body: Bytes,
    created: Millis,
}

impl Kept {
    fn etag(&self) -> ETag {
        ETag::of_content(&self.body)
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new(Arc::new(SystemClock))
    }
}

impl MemoryStore {
    /// An empty store that lives by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> MemoryStore {
        MemoryStore { objects: Mutex::default(), clock }
    }

    fn reply<T>(&self, value: T) -> Reply<T> {
        Reply { value, server: self.clock.now() }
    }

    fn kept(&self, body: &[u8]) -> Kept {
        Kept { body: Bytes::copy_from_slice(body), created: self.clock.now() }
    }
}

impl Store for MemoryStore {
    fn put_if_absent(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<Put>, StoreError> {
        let mut objects = self.objects.lock();
        if objects.contains_key(name) {
            return Ok(self.reply(Put::Exists));
        }
        objects.insert(name.clone(), self.kept(body));
        Ok(self.reply(Put::Created))
    }

    fn put(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<()>, StoreError> {
        self.objects.lock().insert(name.clone(), self.kept(body));
        Ok(self.reply(()))
    }

    fn put_if_match(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Reply<Swap>, StoreError> {
        let mut objects = self.objects.lock();
        if objects.get(name).map(Kept::etag).as_ref() != expected {
            return Ok(self.reply(Swap::Conflict));
        }
        let kept = self.kept(body);
        let etag = kept.etag();
        objects.insert(name.clone(), kept);
        Ok(self.reply(Swap::Written(etag)))
    }

    fn get(&self, name: &ObjectName) -> Result<Reply<Option<Object>>, StoreError> {
        let objects = self.objects.lock();
        let object = objects.get(name).map(|kept| Object {
            body: kept.body.clone(),
            etag: kept.etag(),
            created: kept.created,
        });
        Ok(self.reply(object))
    }

    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Reply<Option<Bytes>>, StoreError> {
        let objects = self.objects.lock();
        let cut = |kept: &Kept| {
            let length = kept.body.len() as u64;
            let (start, end) = (range.start.min(length), range.end.min(length));
            kept.body.slice(start as usize..(end as usize).max(start as usize))
        };
        Ok(self.reply(objects.get(name).map(cut)))
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply<Listing>, StoreError> {
        let objects = self.objects.lock();
        let mut listing = Listing::default();
        let everything = (Bound::<&ObjectName>::Unbounded, Bound::Unbounded);
        for (name, kept) in objects.range::<ObjectName, _>(everything) {
            let text = name.as_str();
            if !text.starts_with(prefix) || after.is_some_and(|after| text <= after) {
                continue;
            }
            if listing.entries.len() == limit {
                listing.more = true;
                break;
            }
            let bytes = kept.body.len() as u64;
            listing.entries.push(Listed { name: name.clone(), bytes, created: kept.created });
        }
        Ok(self.reply(listing))
    }

    fn delete(&self, name: &ObjectName) -> Result<Reply<bool>, StoreError> {
        let was_there = self.objects.lock().remove(name).is_some();
        Ok(self.reply(was_there))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_promises_of_a_store() {
        crate::conformance::run(|| Box::new(super::MemoryStore::default()));
    }
}
