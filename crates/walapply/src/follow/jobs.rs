//! Carrying out one [`Job`] for one database, on a worker thread: everything that blocks.
//!
//! A job owns the database's open connections while it runs and hands them back with its [`Report`]; so no lock is held
//! across threads, and two jobs never work on one database.
//!
//! What must happen before what, in an apply: the sidecar's ceiling is raised, then the transaction begins. A crash at any point
//! leaves the file in the state before or after the batch, and the sidecar names both. A file is found to be ours before it
//! is opened (Invariant O1 of `replica::own`).

use std::path::PathBuf;
use std::sync::Arc;

use segment::{Catalogue, Checksum, DbId, Segment, Seq, Txid};
use store::Store;

use super::feed::Batch;
use super::track::{Job, Link, Trouble};
use super::{member, renamed};
use crate::budget::Budget;
use crate::error::{ApplyError, Remedy};
use crate::heal::{self, Manner, Place};
use crate::image;
use crate::replace::RealDisk;
use crate::replica::own::{self, FileId};
use crate::replica::sidecar::{self, Sidecar};
use crate::replica::{Applied, Drift, Found, Replica, Target, evidence, files};

/// Where the pages of a link stand.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    /// The log object.
    pub(crate) segment: Arc<Segment>,
    /// Which of its sections.
    pub(crate) section: usize,
}

/// What the state of the log is as far as one database needs it.
#[derive(Clone)]
pub(crate) struct Cut {
    /// The last object read; `None` for an empty log.
    pub(crate) at: Option<Seq>,
    /// The catalogue of that cut, with this database's entry only.
    pub(crate) catalogue: Catalogue,
}

/// What all workers share.
#[derive(Clone)]
pub(crate) struct Tools {
    /// Where bases and side objects are.
    pub(crate) store: Arc<dyn Store>,
    /// Bounds the memory of all rebuilds together.
    pub(crate) budget: Arc<Budget>,
}

/// One job with everything it needs.
pub(crate) struct Assignment {
    /// The database.
    pub(crate) db: DbId,
    /// Its files.
    pub(crate) place: Place,
    /// Its connections, unless the job opens them.
    pub(crate) replica: Option<Box<Replica>>,
    /// Where the log stands.
    pub(crate) cut: Cut,
    /// The sidecar as it was last written.
    pub(crate) sidecar: Sidecar,
    /// What to do.
    pub(crate) job: Job<Payload>,
}

/// How a job ended.
pub(crate) struct Report {
    /// The database.
    pub(crate) db: DbId,
    /// Its connections.
    pub(crate) replica: Option<Box<Replica>>,
    /// The sidecar as it is now.
    pub(crate) sidecar: Sidecar,
    /// What was done.
    pub(crate) result: Result<Done, Box<Undone>>,
}

/// What was done.
pub(crate) enum Done {
    /// The file was looked at for the first time.
    Opened,
    /// A batch is in the file.
    Applied { seq: Seq, txid: Txid, pages_written: u64, retries: u32 },
    /// The file was rebuilt as of a cut.
    Rebuilt {
        at: Option<Seq>,
        changed: Option<Seq>,
        txid: Txid,
        checksum: Checksum,
        manner: Manner,
        pages_written: u64,
        evidence: Option<PathBuf>,
    },
    /// The database has no content at the cut.
    Emptied,
    /// Nobody changed the file.
    Looked,
}

/// What was not done.
pub(crate) struct Undone {
    /// Why.
    pub(crate) error: ApplyError,
    /// What follows from it.
    pub(crate) trouble: Trouble,
    /// Where changes made by others are kept.
    pub(crate) evidence: Option<PathBuf>,
    /// Links that are not in the file.
    pub(crate) unapplied: Vec<Link<Payload>>,
}

/// Does it.
pub(crate) fn run(tools: &Tools, assignment: Assignment) -> Report {
    let Assignment { db, place, replica, cut, sidecar, job } = assignment;
    let mut hands = Hands { db, tools, place: &place, replica, cut: &cut, sidecar };
    let result = match job {
        Job::Open => hands.open().map_err(undone),
        Job::Apply(links) => hands.apply(links),
        Job::Rebuild { is_unexplained } => hands.rebuild(is_unexplained).map_err(undone_rebuild),
        Job::Look { is_thorough } => hands.look(is_thorough),
    };
    Report { db, replica: hands.replica, sidecar: hands.sidecar, result }
}

struct Hands<'a> {
    db: DbId,
    tools: &'a Tools,
    place: &'a Place,
    replica: Option<Box<Replica>>,
    cut: &'a Cut,
    sidecar: Sidecar,
}

impl Hands<'_> {
    fn open(&mut self) -> Result<Done, ApplyError> {
        self.replica = None;
        renamed::bring(self.place)?;
        self.sidecar = sidecar::read(&self.sidecar_path());
        let held = own::check(&self.place.path, self.sidecar.file)?;
        match Replica::open(&self.place.path)? {
            Found::Ready(replica) => self.replica = Some(replica),
            Found::Absent if !self.is_live() => files::placeholder(&self.place.path)?,
            Found::Absent | Found::Empty => {}
            Found::Broken(error) => {
                tracing::warn!(db = %self.place.name, %error, "the standby's file is no database")
            }
        }
        if held.has_content {
            self.sidecar.file = FileId::of(&self.place.path)?;
        }
        Ok(Done::Opened)
    }

    fn apply(&mut self, links: Vec<Link<Payload>>) -> Result<Done, Box<Undone>> {
        self.apply_links(&links).map_err(|error| {
            let drift = self.replica.as_mut().and_then(|replica| replica.take_drift());
            let mut undone = undone(error);
            undone.evidence = self.keep(drift);
            undone.unapplied = links;
            undone
        })
    }

    fn apply_links(&mut self, links: &[Link<Payload>]) -> Result<Done, ApplyError> {
        let (Some(first), Some(last)) = (links.first(), links.last()) else {
            return Ok(Done::Looked);
        };
        let target = target(first, last)?;
        self.raise_ceiling(last.seq)?;
        let batch = Batch::new(&*self.tools.store, links);
        let Applied { pages_written, retries } =
            self.open_replica()?.apply(&target, &mut |sink| batch.give(sink))?;
        Ok(Done::Applied { seq: last.seq, txid: last.last_txid, pages_written, retries })
    }

    fn look(&mut self, is_thorough: bool) -> Result<Done, Box<Undone>> {
        let looked = self.open_replica().and_then(|replica| {
            replica.rest();
            replica.look(is_thorough)
        });
        match looked {
            Ok(None) => Ok(Done::Looked),
            Ok(Some(drift)) => {
                let error =
                    ApplyError::Tampered { path: self.place.path.clone(), pages: drift.pages };
                let mut undone = undone(error);
                undone.evidence = self.keep(Some(drift));
                Err(undone)
            }
            Err(error) => Err(undone(error)),
        }
    }

    fn open_replica(&mut self) -> Result<&mut Replica, ApplyError> {
        self.replica.as_deref_mut().ok_or_else(|| ApplyError::Moved(self.place.path.clone()))
    }

    fn rebuild(&mut self, is_unexplained: bool) -> Result<Done, ApplyError> {
        // A rebuild replaces files; none of our own connections may be open then.
        self.replica = None;
        let Some(at) = self.cut.at.filter(|_| self.is_live()) else {
            files::placeholder(&self.place.path)?;
            return Ok(Done::Emptied);
        };
        // Before anything is read from the store: whatever is not ours may stay for long.
        own::check(&self.place.path, self.sidecar.file)?;
        let Tools { store, budget } = self.tools;
        let opened = image::open_all(store, &self.cut.catalogue, &[self.db], at, budget);
        let source = opened.into_iter().next().expect("BUG: one database was asked for").source?;
        let held = own::check(&self.place.path, self.sidecar.file)?;
        self.remember_file(at)?;
        let rebuilt = heal::rebuild(self.place, held, &source, is_unexplained);
        let rebuilt = rebuilt.inspect_err(|error| self.forget_file(error))?;
        self.replica = Some(rebuilt.replica);
        self.remember_file(at)?;
        let facts = source.facts();
        Ok(Done::Rebuilt {
            at: Some(at),
            changed: facts.changed,
            txid: facts.txid,
            checksum: facts.checksum,
            manner: rebuilt.manner,
            pages_written: rebuilt.pages_written,
            evidence: rebuilt.evidence,
        })
    }

    fn is_live(&self) -> bool {
        self.cut.catalogue.databases.get(&self.db).is_some_and(member::is_live)
    }

    fn raise_ceiling(&mut self, seq: Seq) -> Result<(), ApplyError> {
        self.write_sidecar(Sidecar { ceiling: self.sidecar.ceiling.max(Some(seq)), ..self.sidecar })
    }

    /// Raises the ceiling and writes down which file is ours, for as long as the mark may be off it.
    fn remember_file(&mut self, seq: Seq) -> Result<(), ApplyError> {
        self.sidecar.file = FileId::of(&self.place.path)?;
        self.raise_ceiling(seq)?;
        if self.sidecar.file.is_some() { sidecar::sync(&self.sidecar_path()) } else { Ok(()) }
    }

    /// What was remembered is not ours after all: it has come by content between two looks.
    fn forget_file(&mut self, error: &ApplyError) {
        if matches!(error, ApplyError::NotOurs(_)) {
            self.sidecar.file = None;
            if let Err(error) = self.write_sidecar(self.sidecar) {
                tracing::error!(db = %self.place.name, %error, "cannot write the sidecar");
            }
        }
    }

    fn write_sidecar(&mut self, sidecar: Sidecar) -> Result<(), ApplyError> {
        sidecar::write(&RealDisk, &self.sidecar_path(), &sidecar)?;
        self.sidecar = sidecar;
        Ok(())
    }

    fn sidecar_path(&self) -> PathBuf {
        sidecar::path(&self.place.state_dir, &self.place.name)
    }

    /// Failing to keep evidence does not keep the database from being repaired.
    fn keep(&self, drift: Option<Drift>) -> Option<PathBuf> {
        let kept = evidence::keep(
            &self.place.state_dir,
            &self.place.name,
            self.place.clock.now(),
            &drift?,
        );
        kept.inspect_err(
            |error| tracing::error!(db = %self.place.name, %error, "cannot keep evidence"),
        )
        .ok()
    }
}

fn target(first: &Link<Payload>, last: &Link<Payload>) -> Result<Target, ApplyError> {
    let entry = last.payload.segment.table().sections.get(last.payload.section);
    let entry = entry.ok_or_else(|| ApplyError::Corrupt {
        what: format!("log object {}", last.seq),
        detail: "has no such section".into(),
    })?;
    Ok(Target {
        before: Some(first.pre),
        after: last.post,
        pages: entry.pages_after,
        label: format!("seq {}", last.seq),
        keeps_overwritten: false,
    })
}

fn undone(error: ApplyError) -> Box<Undone> {
    let trouble = match error.remedy() {
        Remedy::Wait => Trouble::Wait,
        Remedy::Rebuild => Trouble::Rebuild,
        Remedy::Leave => Trouble::Foreign,
        Remedy::Distrust | Remedy::Stop => Trouble::Distrust,
    };
    Box::new(Undone { error, trouble, evidence: None, unapplied: Vec::new() })
}

/// A rebuild whose result does not add up is the fault of what it was made from.
fn undone_rebuild(error: ApplyError) -> Box<Undone> {
    let blames_store = matches!(error, ApplyError::Checksum { .. });
    let mut undone = undone(error);
    if blames_store {
        undone.trouble = Trouble::Distrust;
    }
    undone
}

#[cfg(test)]
mod tests;
