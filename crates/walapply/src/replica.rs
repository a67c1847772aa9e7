//! One standby database: its file, the hashes of its pages, and one SQLite transaction per change.
//!
//! What always holds:
//! - Invariant A1: a change is one transaction; readers see the state before it or after it.
//! - Invariant A2: before COMMIT the rolling checksum must equal the change's, else the transaction is rolled back
//!   (enforced in `Replica::apply`).
//! - The read-only mark (bytes 18 and 19 of page 1 = 3 and 2) stands in every state that we commit, so that no other SQLite writes
//!   to the file.
//! - The page hashes are those of the file as of our last look; a look is taken whenever somebody else committed
//!   or wrote to the file itself.
//!
//! After a crash at any point the file holds the state before or after the change (SQLite's promise), or, after a power
//! cut, that of an earlier change: commits are not synced one by one. [`Replica::open`] reads all pages, so the checksum
//! tells which.
//!
//! A replica belongs to one thread at a time; only checkpoints run beside it, on a connection of their own.

mod drift;
pub(crate) mod evidence;
pub(crate) mod files;
pub(crate) mod install;
pub(crate) mod own;
pub(crate) mod sidecar;
mod staged;
pub(crate) mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use segment::{Checksum, PageHashes, PageNo, PageSize, page_hash};

use crate::error::ApplyError;
use crate::sqlite::{
    Applier, Checker, Encoding, MARK_WRITE_VERSION, SIZE_AT, WAL_READ_VERSION, WRITE_VERSION_AT,
};
use files::Identity;
use staged::Staged;
use watch::Watch;

pub(crate) use drift::Drift;

/// How long a change waits for a write lock that somebody else holds (a stray writer, a checkpoint that restarts the WAL).
const LOCK_WAIT: Duration = Duration::from_secs(20);
/// Pause between two tries; no busy handler runs for the upgrade to a write transaction.
const LOCK_PAUSE: Duration = Duration::from_millis(3);

/// What lies at the path of a standby database.
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// A file of 0 bytes.
    Empty,
    /// A file that SQLite cannot read as a database.
    Broken(ApplyError),
    /// A database.
    Ready(Box<Replica>),
}

/// A state that a change leads to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The checksum that the file must have now; `None` where it is rebuilt from whatever it holds.
    pub(crate) before: Option<Checksum>,
    /// The checksum that it must have afterwards.
    pub(crate) after: Checksum,
    /// The number of pages afterwards.
    pub(crate) pages: u32,
    /// For messages: which log object the state stands after.
    pub(crate) label: String,
    /// Whether images that are overwritten are kept for [`Replica::take_drift`]: nobody knows how they came about.
    pub(crate) keeps_overwritten: bool,
}

/// Takes pages; whoever gives them stops at the first error.
pub(crate) type Sink<'a> = dyn FnMut(PageNo, &[u8]) -> Result<(), ApplyError> + 'a;

/// Gives the pages of a change, the newest image of a page first; later images of the same page are ignored.
pub(crate) type Feed<'a> = dyn FnMut(&mut Sink<'_>) -> Result<(), ApplyError> + 'a;

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Pages written.
    pub(crate) pages_written: u64,
    /// How often the write lock had to be waited for.
    pub(crate) retries: u32,
}

/// An open standby database.
pub(crate) struct Replica {
    applier: Applier,
    checker: Option<Checker>,
    path: PathBuf,
    encoding: Encoding,
    hashes: PageHashes,
    identity: Identity,
    data_version: i64,
    watch: Arc<Watch>,
    drift: Option<Drift>,
}

impl Replica {
    /// Opens what is at `path` and reads all of it.
    pub(crate) fn open(path: &Path) -> Result<Found, ApplyError> {
        match files::length(path)? {
            None => Ok(Found::Absent),
            Some(0) => Ok(Found::Empty),
            Some(_) => match Self::open_database(path) {
                Ok(replica) => Ok(Found::Ready(Box::new(replica))),
                Err(error) if error.is_broken_file() => Ok(Found::Broken(error)),
                Err(error) => Err(error),
            },
        }
    }

    fn open_database(path: &Path) -> Result<Self, ApplyError> {
        let outline = Checker::open(path)?.outline()?;
        let encoding = Encoding::of_page_one(&outline.header);
        let mut applier = Applier::open(path, encoding)?;
        let watch = Arc::new(Watch::new(path));
        let read = read_all(&mut applier, outline.page_size);
        applier.rollback();
        let (hashes, data_version) = read?;
        let identity = Identity::of(path)?;
        Ok(Self {
            applier,
            checker: None,
            path: path.to_owned(),
            encoding,
            hashes,
            identity,
            data_version,
            watch,
            drift: None,
        })
    }

    /// The checksum of the file as of our last look.
    pub(crate) fn checksum(&self) -> Checksum {
        self.hashes.checksum()
    }

    /// Size of a page.
    pub(crate) fn page_size(&self) -> PageSize {
        self.hashes.page_size()
    }

    /// Pages in the file.
    pub(crate) fn pages(&self) -> u32 {
        self.hashes.page_count()
    }

    /// Hashes of all pages, as of our last look.
    pub(crate) fn hashes(&self) -> &PageHashes {
        &self.hashes
    }

    /// What a checkpoint that runs beside this replica has to tell.
    pub(crate) fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Applies one change as one transaction.
    ///
    /// # Errors
    /// [`ApplyError::Tampered`] when pages were changed by somebody else, [`ApplyError::Moved`] when the file is another,
    /// [`ApplyError::Checksum`] when the file or the change is not what the target says, and whatever `feed` fails with.
    /// The file is unchanged then.
    pub(crate) fn apply(
        &mut self,
        target: &Target,
        feed: &mut Feed<'_>,
    ) -> Result<Applied, ApplyError> {
        let applied = self.apply_or_fail(target, feed);
        if applied.is_err() && self.applier.in_transaction() {
            self.applier.rollback();
        }
        applied
    }

    fn apply_or_fail(
        &mut self,
        target: &Target,
        feed: &mut Feed<'_>,
    ) -> Result<Applied, ApplyError> {
        let retries = self.begin_write(target.pages)?;
        self.expect(target.before, self.hashes.checksum(), "before", &target.label)?;
        let mut staged = Staged::new(&self.hashes, target.pages);
        let mut encoding = self.encoding;
        let mut overwritten = Drift::default();
        let applier = &mut self.applier;
        feed(&mut |page, image| {
            if !staged.accept(page, image)? {
                return Ok(());
            }
            if target.keeps_overwritten && staged.replaces_content(page) {
                overwritten.add(page, || applier.page(page))?;
            }
            if page != PageNo::FIRST {
                return applier.put(page, image);
            }
            encoding = Encoding::of_page_one(image);
            applier.put(page, &marked(image, target.pages))
        })?;
        self.expect(Some(target.after), staged.checksum(), "after", &target.label)?;
        let pages_written = staged.pages_written();
        let changed = staged.finish();
        self.applier.commit(target.pages)?;
        changed.enter(&mut self.hashes);
        self.drift = (overwritten.pages > 0).then_some(overwritten);
        self.check_outline(target)?;
        self.follow_encoding(encoding)?;
        Ok(Applied { pages_written, retries })
    }

    /// Begins a write transaction on a state that nobody else has changed. (number of tries that found the lock taken)
    fn begin_write(&mut self, pages: u32) -> Result<u32, ApplyError> {
        let deadline = Instant::now() + LOCK_WAIT;
        let mut retries = 0;
        loop {
            self.check_identity()?;
            match self.try_begin_write(pages) {
                Err(ApplyError::Busy { .. }) if Instant::now() < deadline => {
                    self.applier.rollback();
                    retries += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                other => return other.map(|()| retries),
            }
        }
    }

    fn try_begin_write(&mut self, pages: u32) -> Result<(), ApplyError> {
        self.applier.begin()?;
        self.refuse_drift()?;
        let page_one = self.applier.page_one()?;
        self.applier.upgrade(&marked(&page_one, pages))
    }

    /// The mask of the checksum hides the mark, so it is looked at by itself, with the size, as a reader sees both.
    fn check_outline(&mut self, target: &Target) -> Result<(), ApplyError> {
        let checker = match self.checker.take() {
            Some(checker) => checker,
            None => {
                self.check_identity()?;
                Checker::open(&self.path)?
            }
        };
        let outline = self.checker.insert(checker).outline()?;
        if outline.is_marked() && outline.pages == target.pages {
            return Ok(());
        }
        Err(ApplyError::Corrupt {
            what: self.path.display().to_string(),
            detail: format!(
                "{} pages instead of {}, read-only mark {}, after {}",
                outline.pages,
                target.pages,
                if outline.is_marked() { "set" } else { "lost" },
                target.label
            ),
        })
    }

    /// A source that was emptied may come back in another encoding; an attached database must match `:memory:`.
    fn follow_encoding(&mut self, encoding: Encoding) -> Result<(), ApplyError> {
        if encoding == self.encoding {
            return Ok(());
        }
        // A checkpoint that runs meanwhile tells the watch that it knows.
        let watch = Arc::clone(&self.watch);
        *self = Self { watch, ..Self::open_database(&self.path)? };
        Ok(())
    }

    fn check_identity(&mut self) -> Result<(), ApplyError> {
        if self.identity.still_at(&self.path)? {
            Ok(())
        } else {
            Err(ApplyError::Moved(self.path.clone()))
        }
    }

    fn expect(
        &self,
        expected: Option<Checksum>,
        actual: Checksum,
        when: &str,
        label: &str,
    ) -> Result<(), ApplyError> {
        match expected {
            Some(expected) if expected != actual => Err(ApplyError::Checksum {
                path: self.path.clone(),
                when: format!("{when} {label}"),
                expected,
                actual,
            }),
            _ => Ok(()),
        }
    }

    /// Closes what an idle database does not need.
    pub(crate) fn rest(&mut self) {
        self.checker = None;
    }
}

/// Page 1 with the read-only mark, in WAL mode whatever the source's mode is, and with the size that the file will have:
/// SQLite believes that field, and the checksum does not cover it.
pub(crate) fn marked(page_one: &[u8], pages: u32) -> Vec<u8> {
    let mut page = page_one.to_vec();
    if let Some(versions) = page.get_mut(WRITE_VERSION_AT..WRITE_VERSION_AT + 2) {
        versions.copy_from_slice(&[MARK_WRITE_VERSION, WAL_READ_VERSION]);
    }
    if let Some(size) = page.get_mut(SIZE_AT..SIZE_AT + 4) {
        size.copy_from_slice(&pages.to_be_bytes());
    }
    page
}

/// Hashes of all pages and the data version, of one read transaction.
fn read_all(applier: &mut Applier, page_size: PageSize) -> Result<(PageHashes, i64), ApplyError> {
    applier.begin()?;
    let hashes = hash_all(applier, page_size)?;
    Ok((hashes, applier.data_version()?))
}

fn hash_all(applier: &Applier, page_size: PageSize) -> Result<PageHashes, ApplyError> {
    let mut hashes = PageHashes::new(page_size);
    applier.scan(|page, image| hashes.set(page, page_hash(page, image)))?;
    Ok(hashes)
}

#[cfg(test)]
mod tests;
