//! How many bytes of objects may be in memory at once, shared by everything that reads in parallel.
//!
//! Whoever takes several permits at once must take them in the order in which it can give them back; then somebody
//! can always go on. One piece larger than the whole budget is let through alone.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

/// Bytes of objects in flight, all databases together: four parts of the largest size.
const BYTES_DEFAULT: u64 = 4 * segment::PART_BYTES_MAX;

/// A shared bound on memory.
pub struct Budget {
    total: u64,
    free: Mutex<u64>,
    freed: Condvar,
}

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, free: Mutex::new(total), freed: Condvar::new() })
    }

    /// The budget for one command.
    #[must_use]
    pub fn standard() -> Arc<Self> {
        Self::new(BYTES_DEFAULT)
    }

    /// Waits until `bytes` fit.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Permit {
        let bytes = bytes.min(self.total);
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free < bytes);
        *free -= bytes;
        Permit { budget: Arc::clone(self), bytes }
    }
}

/// Bytes taken from a budget until this is dropped.
pub(crate) struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.budget.free.lock() += self.bytes;
        self.budget.freed.notify_all();
    }
}
