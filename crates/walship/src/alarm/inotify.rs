//! Linux: one inotify instance, one watch per file, which the kernel takes away with its first event.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use segment::DbId;

pub(super) struct Kernel {
    inotify: OwnedFd,
    watches: Mutex<BTreeMap<i32, DbId>>,
}

impl Kernel {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { inotify, watches: Mutex::default() })
    }

    pub(super) fn set(&self, id: DbId, path: &Path) -> io::Result<()> {
        // Under the lock: whoever takes an event knows whose it is.
        let mut watches = self.watches.lock();
        let flags = WatchFlags::MODIFY | WatchFlags::ONESHOT;
        watches.insert(inotify::add_watch(&self.inotify, path, flags)?, id);
        Ok(())
    }

    pub(super) fn take(&self) -> io::Result<Vec<DbId>> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut written = Vec::new();
        let mut watches = self.watches.lock();
        loop {
            let event = match reader.next() {
                Err(Errno::AGAIN) => return Ok(written),
                event => event?,
            };
            if event.events().contains(ReadFlags::MODIFY) {
                written.extend(watches.get(&event.wd()));
            } else {
                watches.remove(&event.wd());
            }
        }
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
