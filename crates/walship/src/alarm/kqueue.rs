//! macOS: one kqueue, and a descriptor of each file that is watched, closed with its first event.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, VnodeEvents, kevent, kqueue};
use segment::DbId;

const EVENTS_AT_ONCE: usize = 64;

pub(super) struct Kernel {
    kqueue: OwnedFd,
    /// Closing a file takes its event out of the queue.
    files: Mutex<BTreeMap<RawFd, (DbId, File)>>,
}

impl Kernel {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { kqueue: kqueue()?, files: Mutex::default() })
    }

    pub(super) fn set(&self, id: DbId, path: &Path) -> io::Result<()> {
        let mut files = self.files.lock();
        // A log that is gone is not kept on the disk by us.
        files.retain(|_, (other, _)| *other != id);
        let file = File::open(path)?;
        let vnode = file.as_raw_fd();
        let filter = EventFilter::Vnode {
            vnode,
            flags: VnodeEvents::WRITE | VnodeEvents::EXTEND | VnodeEvents::DELETE,
        };
        let flags = EventFlags::ADD | EventFlags::ONESHOT;
        let event = Event::new(filter, flags, std::ptr::null_mut());
        let mut none: [Event; 0] = [];
        // SAFETY: the file stays open as long as its event is in the queue.
        unsafe { kevent(&self.kqueue, &[event], &mut none, None)? };
        files.insert(vnode, (id, file));
        Ok(())
    }

    pub(super) fn take(&self) -> io::Result<Vec<DbId>> {
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let mut files = self.files.lock();
        let room = rustix::buffer::spare_capacity(&mut events);
        // SAFETY: as in `set`.
        unsafe { kevent(&self.kqueue, &[], room, Some(Duration::ZERO))? };
        let written = events.iter().filter_map(|event| match event.filter() {
            EventFilter::Vnode { vnode, .. } => files.remove(&vnode),
            _ => None,
        });
        Ok(written.map(|(id, _)| id).collect())
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kqueue.as_fd()
    }
}
