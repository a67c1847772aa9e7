//! Putting a whole database file in place: the first base, a new page size, a file beyond repair.
//!
//! A file is written beside its place, checked, and synced; its first page carries the read-only mark from the beginning.
//! Where nothing stands it is linked into place, which never takes the place of another file; a crash before that leaves
//! `.NAME.db.installing`, which the next installation removes.
//!
//! An existing database keeps its file, and is given the new content while no other connection reads it; see
//! `sqlite::exchange`. Whoever opened it before and reads afterwards sees the new content. Where the page size is the same
//! none of this is needed: then the pages that differ are applied as an ordinary change.
//!
//! A 0-byte file is not replaced at all but grown in place: a reader that has it open finds the content there.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use segment::{PageHashes, PageNo, PageSize, page_hash};

use super::{Feed, Target, files, marked};
use crate::error::ApplyError;
use crate::sqlite::Checker;

/// A complete, verified and synced file that is not yet in its place.
pub(crate) struct Prepared {
    temporary: PathBuf,
    path: PathBuf,
    /// Pages written.
    pub(crate) pages_written: u64,
}

/// Writes all pages of `target` into a file beside `path`.
pub(crate) fn prepare(
    path: &Path,
    page_size: PageSize,
    target: &Target,
    feed: &mut Feed<'_>,
) -> Result<Prepared, ApplyError> {
    let temporary = temporary_beside(path)?;
    files::remove(&temporary)?;
    let failed = |action| ApplyError::file(&temporary, action);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(failed("creating"))?;
    let mut writer = Writer {
        file: &file,
        path: &temporary,
        hashes: PageHashes::new(page_size),
        pages: target.pages,
        written: 0,
    };
    feed(&mut |page, image| writer.write(page, image))?;
    let (hashes, pages_written) = (writer.hashes, writer.written);
    if hashes.checksum() != target.after {
        let when = format!("after {}", target.label);
        return Err(ApplyError::Checksum {
            path: path.to_owned(),
            when,
            expected: target.after,
            actual: hashes.checksum(),
        });
    }
    let bytes = u64::from(target.pages) * u64::from(page_size.get());
    file.set_len(bytes).map_err(failed("setting the length"))?;
    file.sync_all().map_err(failed("syncing"))?;
    Ok(Prepared { temporary, path: path.to_owned(), pages_written })
}

/// Makes an empty file a database of this page size, so that a change can fill it.
pub(crate) fn initialise_empty(path: &Path, page_size: PageSize) -> Result<(), ApplyError> {
    Checker::open(path)?.initialise(page_size)
}

/// [`ApplyError::Busy`] while another connection reads the database.
pub(crate) fn ensure_unread(path: &Path) -> Result<(), ApplyError> {
    Checker::open_alone(path).map(drop)
}

impl Prepared {
    /// Puts the file where there is none; what has come there meanwhile stays.
    pub(crate) fn place(self) -> Result<(), ApplyError> {
        let linked = fs::hard_link(&self.temporary, &self.path);
        files::remove(&self.temporary)?;
        match linked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(ApplyError::NotOurs(self.path))
            }
            Err(error) => Err(ApplyError::file(self.path, "putting in place")(error)),
            Ok(()) => files::sync_folder(&self.path),
        }
    }

    /// Gives a readable database this content, unless somebody reads it ([`ApplyError::Busy`]). Others wait for as
    /// long as writing it takes. A crash leaves the old content or the new one.
    pub(crate) fn exchange(self) -> Result<(), ApplyError> {
        Checker::open_alone(&self.path)?.exchange_content(&self.temporary)?;
        files::remove(&self.temporary)
    }
}

struct Writer<'a> {
    file: &'a File,
    path: &'a Path,
    hashes: PageHashes,
    pages: u32,
    written: u64,
}

impl Writer<'_> {
    fn write(&mut self, page: PageNo, image: &[u8]) -> Result<(), ApplyError> {
        let page_size = self.hashes.page_size();
        if image.len() != page_size.bytes() {
            let detail = format!("{} bytes for a page of {page_size}", image.len());
            return Err(ApplyError::Corrupt { what: "page image".into(), detail });
        }
        let is_known = self.hashes.get(page).is_some_and(|hash| hash != 0);
        if page.get() > self.pages || page == page_size.lock_page() || is_known {
            return Ok(());
        }
        self.hashes.set(page, page_hash(page, image));
        self.written += 1;
        let at = (u64::from(page.get()) - 1) * u64::from(page_size.get());
        let written = match page {
            PageNo::FIRST => self.file.write_all_at(&marked(image, self.pages), at),
            // What is never written in a new file reads as zeros.
            _ if image.iter().all(|byte| *byte == 0) => Ok(()),
            _ => self.file.write_all_at(image, at),
        };
        written.map_err(ApplyError::file(self.path, "writing"))
    }
}

fn temporary_beside(path: &Path) -> Result<PathBuf, ApplyError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| ApplyError::Unfit(format!("{}: not a file name", path.display())))?;
    Ok(path.with_file_name(format!(".{name}.installing")))
}
