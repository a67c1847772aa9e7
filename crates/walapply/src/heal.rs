//! Rebuilding one standby database from the store: its base and the sections after it.
//!
//! For a new database, a new life of an old one, a file that was tampered with or is no database any more, a standby that is
//! too far behind for the log, and after damage in the log. Whatever the reason, the result is the state after one log
//! object, proven by its checksum before readers can see it.
//!
//! Where the file is a readable database with the same page size, only pages that differ are fetched and written, in one transaction under the
//! eyes of its readers. Else a whole new image is put in place; see `replica::install` for what that waits for.
//!
//! A crash leaves the old state or the new one, and at most a hidden temporary file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use segment::{Millis, Name, PageNo};
use store::clock::Clock;

use crate::error::ApplyError;
use crate::image::PageSource;
use crate::replica::own::Held;
use crate::replica::{Applied, Feed, Found, Replica, Sink, Target, evidence, files, install};

/// Where a standby database and what belongs to it lie.
#[derive(Clone)]
pub(crate) struct Place {
    /// The name of the database.
    pub(crate) name: Name,
    /// Its file.
    pub(crate) path: PathBuf,
    /// Names that it had, under which its file may still stand.
    pub(crate) formers: Vec<Name>,
    /// Evidence and sidecars.
    pub(crate) state_dir: PathBuf,
    /// For the names of evidence folders.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Place {
    /// Where the file of a database with this name lies.
    pub(crate) fn path_of(&self, name: &Name) -> PathBuf {
        files::database(self.path.parent().unwrap_or(Path::new(".")), name)
    }
}

/// How a database was rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A file was put where none was.
    Installed,
    /// An empty file was filled in place.
    Filled,
    /// Pages that differed were written.
    Repaired,
    /// A file with another page size, or no database, was replaced.
    Replaced,
}

/// What a rebuild did.
pub(crate) struct Rebuilt {
    /// The database, open and in the wanted state.
    pub(crate) replica: Box<Replica>,
    /// How.
    pub(crate) manner: Manner,
    /// Pages written.
    pub(crate) pages_written: u64,
    /// Where what was found before is kept, if that was worth keeping.
    pub(crate) evidence: Option<PathBuf>,
}

/// Makes the file what `source` says. No connection of ours to it may be open, and it must have been found to be ours.
///
/// With `is_unexplained`, images that are overwritten are kept as evidence.
pub(crate) fn rebuild(
    place: &Place,
    held: Held,
    source: &PageSource,
    is_unexplained: bool,
) -> Result<Rebuilt, ApplyError> {
    held.check_unchanged(&place.path)?;
    let facts = source.facts();
    let target = Target {
        before: None,
        after: facts.checksum,
        pages: facts.pages,
        label: facts.changed.map_or_else(|| "its base".to_owned(), |seq| format!("seq {seq}")),
        keeps_overwritten: is_unexplained,
    };
    let work = Work { place, held, source, target };
    match Replica::open(&place.path)? {
        Found::Ready(replica) if replica.page_size() == facts.page_size => {
            work.repair(replica, Manner::Repaired)
        }
        Found::Ready(replica) => {
            drop(replica);
            work.replace()
        }
        Found::Empty => work.fill(),
        Found::Absent => work.install(),
        Found::Broken(error) => work.replace_broken(&error),
    }
}

struct Work<'a> {
    place: &'a Place,
    held: Held,
    source: &'a PageSource,
    target: Target,
}

impl Work<'_> {
    fn feed(&self) -> impl FnMut(&mut Sink<'_>) -> Result<(), ApplyError> {
        |sink| self.source.read(&|_| true, sink)
    }

    fn repair(&self, mut replica: Box<Replica>, manner: Manner) -> Result<Rebuilt, ApplyError> {
        // Should anybody change the file before the transaction begins, it is refused as tampered with, so what is known
        // here is what the file holds then. The hash of page 1 does not cover all of it.
        let known = replica.hashes().clone();
        let is_known =
            |page: PageNo, hash: u64| known.get(page) == Some(hash) && page != PageNo::FIRST;
        let mut feed = |sink: &mut Sink<'_>| self.source.read_differing(&is_known, sink);
        let Applied { pages_written, .. } = replica.apply(&self.target, &mut feed)?;
        let evidence = match replica.take_drift() {
            Some(drift) => {
                Some(evidence::keep(&self.place.state_dir, &self.place.name, self.now(), &drift)?)
            }
            None => None,
        };
        Ok(Rebuilt { replica, manner, pages_written, evidence })
    }

    fn fill(&self) -> Result<Rebuilt, ApplyError> {
        install::initialise_empty(&self.place.path, self.source.facts().page_size)?;
        let mut filling = Self { target: self.target.clone(), ..*self };
        filling.target.keeps_overwritten = false;
        filling.repair(self.reopen()?, Manner::Filled)
    }

    fn install(&self) -> Result<Rebuilt, ApplyError> {
        let prepared = self.prepare(&mut self.feed())?;
        // Companions without their database would be taken for the new one's.
        let stray = files::companions_present(&self.place.path)?;
        let evidence = if stray { Some(self.move_aside(files::COMPANIONS)?) } else { None };
        let pages_written = prepared.pages_written;
        prepared.place()?;
        Ok(Rebuilt { replica: self.reopen()?, manner: Manner::Installed, pages_written, evidence })
    }

    fn replace(&self) -> Result<Rebuilt, ApplyError> {
        // Whether somebody reads is asked before the work of preparing, and again when it counts.
        install::ensure_unread(&self.place.path)?;
        let prepared = self.prepare(&mut self.feed())?;
        let pages_written = prepared.pages_written;
        prepared.exchange()?;
        // Writes nothing but page 1, and proves the rest.
        let rebuilt = self.repair(self.reopen()?, Manner::Replaced)?;
        Ok(Rebuilt { pages_written, ..rebuilt })
    }

    fn replace_broken(&self, error: &ApplyError) -> Result<Rebuilt, ApplyError> {
        tracing::warn!(db = %self.place.name, %error, "the standby's file is no database: it is replaced");
        let prepared = self.prepare(&mut self.feed())?;
        // The database first: companions without their database are harmless, a database without its -wal may not be.
        let evidence = self.move_aside([""].into_iter().chain(files::COMPANIONS))?;
        let pages_written = prepared.pages_written;
        prepared.place()?;
        let evidence = Some(evidence);
        Ok(Rebuilt { replica: self.reopen()?, manner: Manner::Replaced, pages_written, evidence })
    }

    /// Takes as long as writing all pages: what lies at the place may be another file afterwards.
    fn prepare(&self, feed: &mut Feed<'_>) -> Result<install::Prepared, ApplyError> {
        let (path, page_size) = (&self.place.path, self.source.facts().page_size);
        let prepared = install::prepare(path, page_size, &self.target, feed)?;
        self.held.check_unchanged(path)?;
        Ok(prepared)
    }

    fn move_aside(
        &self,
        endings: impl IntoIterator<Item = &'static str>,
    ) -> Result<PathBuf, ApplyError> {
        let Place { name, path, state_dir, .. } = self.place;
        evidence::move_aside(state_dir, name, self.now(), path, endings)
    }

    fn reopen(&self) -> Result<Box<Replica>, ApplyError> {
        match Replica::open(&self.place.path)? {
            Found::Ready(replica) => Ok(replica),
            Found::Broken(error) => Err(error),
            Found::Absent | Found::Empty => Err(ApplyError::Moved(self.place.path.clone())),
        }
    }

    fn now(&self) -> Millis {
        self.place.clock.now()
    }
}

#[cfg(test)]
mod tests;
