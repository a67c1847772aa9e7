//! Object stores behind one small trait, so that the log's rules are written once for every backend.
//!
//! What must always hold, whatever the backend (the conformance suite checks each line):
//! - a put-if-absent creates the whole object or nothing, and of several at once exactly one is told `Created`;
//! - an acknowledged write survives a power cut, and so does every log object that a `get` has shown;
//! - a conditional overwrite succeeds only if the content is still the expected one;
//! - a listing is sorted by name and shows every object that stood before it began and was not deleted.
//!
//! "Missing", "exists" and "conflict" are answers, not errors. An error says what to do next through
//! [`StoreError::class`]. Every answer carries the store's own clock, because ages of objects are never
//! judged by the clock of the host that asks.
//!
//! All calls block. Implementations are shared between threads; dropping a store in the middle of a call
//! cannot happen, killing the process can: see each backend for what then remains.

pub mod clock;
pub mod conformance;
mod counted;
mod error;
mod faulty;
mod local;
mod memory;
mod object;
pub mod settings;
mod shared_folder;

pub use counted::{Counted, RequestCounts};
pub use error::{ErrorClass, StoreError};
pub use faulty::{Fault, Faulty, Operation, Rates, Request, Seeded};
pub use local::LocalStore;
pub use memory::MemoryStore;
pub use object::{ETag, Listed, Listing, Object, Put, Reply, Swap};
pub use segment::{Millis, ObjectName};
pub use shared_folder::shared_folder;

use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// What every object store offers. See the crate's documentation for the promises behind each call.
pub trait Store: Send + Sync {
    /// Creates `name` with `body` unless it exists, in one step.
    ///
    /// # Errors
    /// After an error of class [`ErrorClass::Unknown`] the object may exist now or appear later: read it back.
    fn put_if_absent(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<Put>, StoreError>;

    /// Writes `name` whatever stands there. Only for objects where a late old write does no harm: holds and
    /// positions.
    ///
    /// # Errors
    /// As for [`Store::put_if_absent`].
    fn put(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<()>, StoreError>;

    /// Overwrites `name` if its content still has the tag `expected`; `None` expects it to be absent.
    ///
    /// # Errors
    /// As for [`Store::put_if_absent`].
    fn put_if_match(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Reply<Swap>, StoreError>;

    /// The whole object, or `None` where there is none.
    ///
    /// # Errors
    /// Whatever kept the store from answering.
    fn get(&self, name: &ObjectName) -> Result<Reply<Option<Object>>, StoreError>;

    /// The bytes of `range` (offsets from 0). A range that reaches past the end is cut there, so the answer
    /// may be shorter than asked, down to empty.
    ///
    /// # Errors
    /// Whatever kept the store from answering.
    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Reply<Option<Bytes>>, StoreError>;

    /// At most `limit` objects whose names begin with `prefix` and sort after `after`, in the order of names.
    /// A store may give fewer than it could and say that there are more. Things whose names are not names of
    /// ours are passed over with a warning.
    ///
    /// # Errors
    /// Whatever kept the store from answering.
    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply<Listing>, StoreError>;

    /// Removes `name`; says whether it was there.
    ///
    /// # Errors
    /// As for [`Store::put_if_absent`]. Deleting again is always harmless.
    fn delete(&self, name: &ObjectName) -> Result<Reply<bool>, StoreError>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn put_if_absent(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<Put>, StoreError> {
        (**self).put_if_absent(name, body)
    }

    fn put(&self, name: &ObjectName, body: &[u8]) -> Result<Reply<()>, StoreError> {
        (**self).put(name, body)
    }

    fn put_if_match(
        &self,
        name: &ObjectName,
        body: &[u8],
        expected: Option<&ETag>,
    ) -> Result<Reply<Swap>, StoreError> {
        (**self).put_if_match(name, body, expected)
    }

    fn get(&self, name: &ObjectName) -> Result<Reply<Option<Object>>, StoreError> {
        (**self).get(name)
    }

    fn get_range(
        &self,
        name: &ObjectName,
        range: Range<u64>,
    ) -> Result<Reply<Option<Bytes>>, StoreError> {
        (**self).get_range(name, range)
    }

    fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Reply<Listing>, StoreError> {
        (**self).list(prefix, after, limit)
    }

    fn delete(&self, name: &ObjectName) -> Result<Reply<bool>, StoreError> {
        (**self).delete(name)
    }
}
