//! Restoring databases: one, several or all, as they stood at a cut, each verified before it is put in place.
//!
//! - Invariant RS1: everything that one restore puts in place belongs to one cut.
//! - Invariant RS2: a file appears under its name only whole, durable, and with the checksum that the log gives it.
//! - Invariant RS3: nothing that was there is overwritten or mixed in without `replace` (see `target`).
//! - Rule R1 of the log: after everything was read, the boundary is read; if log objects that were read have left
//!   the log meanwhile, the restore fails instead of trusting them.
//!
//! Order: choose the cut, choose databases, look at the targets, open the images, write and prove all drafts, read
//! the boundary, put all in place. If one fails, none is put in place, unless `keep_going`.
//! The store alone is enough: its `fleet.json` and its log say what there is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use console::descriptors;
use console::output::known;
use console::progress::Progress;
use fleet_log::FleetFile;
use segment::{CatalogueEntry, DatabaseState, Name, Seq};
use store::Store;
use store::clock::Clock;

use crate::ApplyError;
use crate::failure::blame;
use crate::gone;
use crate::image::{self, Budget, PageSource};
use crate::plan::{Pace, Plan, plan};

mod in_use;
pub mod point;
mod report;
mod run;
mod select;
mod target;
mod write;

use point::{Cut, Point};
pub use report::{Outcome, Report, Restored};
use run::{Drafts, Job};
pub use select::Which;
use select::{Chosen, Content, place};
pub use target::TargetError;
use target::{Replace, Target};

/// Descriptors beside those of the drafts: objects and folders that are read meanwhile.
const DESCRIPTORS_BESIDES: u64 = 64;

/// What to restore, where to, and what may be overwritten.
#[derive(Clone, Debug)]
pub struct Request {
    /// The databases.
    pub which: Which,
    /// Only databases of these tiers; none named: of all.
    pub tiers: Vec<String>,
    /// The state.
    pub point: Point,
    /// A file for one named database, else a folder.
    pub output: PathBuf,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Replace what is at the targets.
    pub force: bool,
    /// Leave targets alone that are there.
    pub if_missing: bool,
    /// Nothing to restore is no error.
    pub if_available: bool,
    /// Put in place what could be restored even if something else could not.
    pub keep_going: bool,
    /// Show a progress bar, where there is a terminal.
    pub progress: bool,
}

/// What a restore works with.
pub struct Restorer<'a> {
    /// Where the log is.
    pub store: &'a Arc<dyn Store>,
    /// Whose store it is.
    pub fleet: &'a FleetFile,
    /// For dated names.
    pub clock: &'a dyn Clock,
    /// Set from outside to end early.
    pub stop: &'a AtomicBool,
}

/// A database with a place to go.
struct Wanted {
    chosen: Chosen,
    target: Target,
}

/// The answer without asking the store, where `if_missing` is set and every named target is there.
///
/// # Errors
/// When a target cannot be looked at.
pub fn nothing_to_do(request: &Request) -> Result<Option<Report>, ApplyError> {
    let Which::Named(names) = &request.which else { return Ok(None) };
    if !request.if_missing {
        return Ok(None);
    }
    let mut report = Report::new(None, request.dry_run);
    for name in names {
        let target = Target::new(place(&request.output, name, request.is_alone()))?;
        if !target.taken()? {
            return Ok(None);
        }
        report.databases.push(Restored::named(name, Outcome::Present).at(target.path()));
    }
    Ok(Some(report))
}

/// The answer where nothing was ever written to the store.
///
/// # Errors
/// Unless `if_available`.
pub fn without_log(request: &Request) -> Result<Report, ApplyError> {
    if request.if_available {
        return Ok(Report::new(None, request.dry_run));
    }
    Err(ApplyError::NoSuchPoint("the store is empty: there is no backup".to_owned()))
}

impl Request {
    /// Is `output` the file itself?
    fn is_alone(&self) -> bool {
        matches!(&self.which, Which::Named(names) if names.iter().all(|name| name.key() == names[0].key()))
    }

    fn replace(&self) -> Replace {
        if self.force { Replace::Yes } else { Replace::No }
    }

    /// Refuses a folder where a file is meant, and the other way round.
    fn check_output(&self) -> Result<(), ApplyError> {
        match (self.is_alone(), self.output.is_dir(), self.output.exists()) {
            (true, true, _) => Err(ApplyError::Usage(format!(
                "{} is a folder; for one database -o is the file to write, such as {}",
                self.output.display(),
                self.output.join("NAME.db").display()
            ))),
            (false, false, true) => Err(ApplyError::Usage(format!(
                "{} is a file; for several databases -o is a folder",
                self.output.display()
            ))),
            _ => Ok(()),
        }
    }
}

impl Restorer<'_> {
    /// Carries a request out. What became of each database is in the report, also of those that failed.
    ///
    /// # Errors
    /// What keeps the restore as a whole from beginning: no such point, unknown names, a store that does not answer.
    pub fn restore(&self, request: &Request) -> Result<Report, ApplyError> {
        let began = Instant::now();
        request.check_output()?;
        let mut report = Report::new(Some(&self.fleet.name), request.dry_run);
        let Some(cut) = point::find(self.store, self.fleet.id, request.point)? else {
            return without_log(request);
        };
        self.restore_cut(request, &cut, &mut report)?;
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }

    fn restore_cut(
        &self,
        request: &Request,
        cut: &Cut,
        report: &mut Report,
    ) -> Result<(), ApplyError> {
        report.set_cut(cut);
        let wanted = self.choose(request, cut, report)?;
        let (jobs, planned) = self.open(wanted, cut, report);
        self.tell_gone(&jobs, cut, report);
        report.set_plan(&planned);
        if request.dry_run {
            return self.only_say(request, &jobs, report);
        }
        // Every draft stays open until all are put in place.
        descriptors::ensure(DESCRIPTORS_BESIDES + jobs.len() as u64)
            .map_err(|error| ApplyError::Unfit(error.to_string()))?;
        let progress = Progress::bytes(planned.write_bytes, "restore", request.progress);
        let oldest = jobs.iter().filter_map(|job| oldest_seq(job.source.as_ref()?)).min();
        let drafts = run::write_drafts(jobs, &progress, self.stop);
        progress.finish();
        self.check_boundary(oldest)?;
        self.put_in_place(request, drafts, report);
        Ok(())
    }

    /// Finds the databases and their places; what there is no work for goes to the report at once.
    fn choose(
        &self,
        request: &Request,
        cut: &Cut,
        report: &mut Report,
    ) -> Result<Vec<Wanted>, ApplyError> {
        let (chosen, unknown) = select::select(&cut.catalogue, &request.which, &request.tiers)?;
        for name in unknown {
            if let Some(loss) = cut.loss("it may have announced the database") {
                return Err(loss);
            }
            self.without_backup(request, Restored::named(&name, Outcome::NoBackup), report)?;
        }
        if request.which == Which::All {
            if let Some(loss) = cut.loss("it may have announced databases that nothing else names")
            {
                report.lost = Some(loss.to_string());
            }
            report.left_out = select::retired(&cut.catalogue, &request.tiers);
            if chosen.is_empty() && !request.if_available && report.lost.is_none() {
                return Err(nothing_selected(&report.left_out));
            }
        }
        let mut wanted = Vec::new();
        for chosen in chosen {
            if chosen.content == Content::Nothing {
                self.without_backup(request, Restored::of(&chosen, Outcome::NoBackup), report)?;
                continue;
            }
            let target = Target::new(place(&request.output, &chosen.name, request.is_alone()))?;
            if request.if_missing && target.taken()? {
                report.databases.push(Restored::of(&chosen, Outcome::Present).at(target.path()));
                continue;
            }
            if !request.dry_run {
                target.check(request.replace())?;
            }
            wanted.push(Wanted { chosen, target });
        }
        Ok(wanted)
    }

    /// A named database without a backup is an error unless `if_available`; among all, it is only told.
    fn without_backup(
        &self,
        request: &Request,
        told: Restored,
        report: &mut Report,
    ) -> Result<(), ApplyError> {
        if matches!(request.which, Which::Named(_)) && !request.if_available {
            return Err(ApplyError::NoSuchPoint(format!(
                "the store holds nothing of a database {}",
                told.name
            )));
        }
        report.databases.push(told);
        Ok(())
    }

    /// Opens the images; a database whose image cannot be found is told and left out.
    fn open(&self, wanted: Vec<Wanted>, cut: &Cut, report: &mut Report) -> (Vec<Job>, Plan) {
        let images: Vec<_> = wanted
            .iter()
            .filter(|each| each.chosen.content == Content::Image)
            .map(|each| each.chosen.db)
            .filter(|db| !cut.in_doubt.contains(db))
            .collect();
        let began = Instant::now();
        let opened =
            image::open_all(self.store, &cut.catalogue, &images, cut.seq, &Budget::standard());
        let took = began.elapsed();
        let mut sources: std::collections::BTreeMap<_, _> =
            opened.into_iter().map(|opened| (opened.db, opened.source)).collect();
        let mut jobs = Vec::new();
        for Wanted { chosen, target } in wanted {
            let mut told = Restored::of(&chosen, Outcome::Planned).at(target.path());
            let source = match cut.doubt(chosen.db) {
                Some(doubt) => Err(doubt),
                None => sources.remove(&chosen.db).transpose(),
            };
            match source {
                Ok(source) => {
                    jobs.push(Job { db: chosen.db, target, source });
                }
                Err(error) => told.fail(&error),
            }
            report.databases.push(told);
        }
        let planned = plan(
            jobs.iter()
                .filter_map(|job| job.source.as_ref())
                .map(|source| (source.facts(), source.layers())),
            pace(took, jobs.iter().filter_map(|job| job.source.as_ref())),
        );
        for source in jobs.iter().filter_map(|job| job.source.as_ref()) {
            report.describe(source.facts());
        }
        (jobs, planned)
    }

    /// What the primary lost before this cut is told, with the state that still had it; and what it could not read.
    fn tell_gone(&self, jobs: &[Job], cut: &Cut, report: &mut Report) {
        let entries = jobs.iter().filter_map(|job| cut.catalogue.databases.get(&job.db));
        let is_unread = |entry: &CatalogueEntry| entry.state == DatabaseState::Unread;
        for entry in entries.filter(|entry| gone::is_gone(entry) || is_unread(entry)) {
            let since = gone::since(&**self.store, entry, cut.seq);
            report.of(entry.id, |told| {
                if is_unread(entry) { told.unread() } else { told.gone(entry.state, since) }
                tracing::warn!(db = %told.name, "{}", known(told.warning.as_deref(), str::to_owned));
            });
        }
    }

    /// A dry run also tells which targets would be refused.
    fn only_say(
        &self,
        request: &Request,
        jobs: &[Job],
        report: &mut Report,
    ) -> Result<(), ApplyError> {
        for job in jobs {
            if request.force {
                report.of(job.db, |told| told.was_open = job.target.is_in_use());
            }
            if let Err(refused) = job.target.check(request.replace()) {
                let refused = ApplyError::from(refused);
                report.of(job.db, |told| told.refuse(&refused));
            }
        }
        Ok(())
    }

    /// Rule R1: what was read counts only if it has not left the log meanwhile.
    fn check_boundary(&self, oldest: Option<Seq>) -> Result<(), ApplyError> {
        let Some(oldest) = oldest else { return Ok(()) };
        match fleet_log::boundary(&**self.store).map_err(blame)? {
            Some(boundary) if boundary.retired > oldest => Err(ApplyError::Gone(oldest)),
            _ => Ok(()),
        }
    }

    /// All or nothing, unless the request wants what there is.
    fn put_in_place(&self, request: &Request, drafts: Drafts, report: &mut Report) {
        let now = self.clock.now();
        let held_back =
            report.has_failures_or(drafts.values().any(Result::is_err)) && !request.keep_going;
        for (db, draft) in drafts {
            let placed = match draft {
                Ok(_) if held_back => None,
                Ok(draft) => {
                    if request.force {
                        report.of(db, |told| told.was_open = warn_if_in_use(draft.target()));
                    }
                    Some(draft.put_in_place(request.replace(), now).map_err(ApplyError::from))
                }
                Err(error) => Some(Err(error)),
            };
            report.of(db, |told| told.placed(placed));
        }
    }
}

/// What is written to a file after it was replaced is lost; only who has it open can do something about that.
fn warn_if_in_use(target: &Target) -> bool {
    let is_in_use = target.is_in_use();
    if is_in_use {
        tracing::warn!(
            path = %target.path().display(),
            "another process has this database open: it goes on with the former file, and what it writes is lost; restart it"
        );
    }
    is_in_use
}

/// `--all` that selects nothing is a mistake, unless the request says otherwise.
fn nothing_selected(retired: &[Name]) -> ApplyError {
    let names: Vec<String> = retired.iter().map(ToString::to_string).collect();
    let detail = if names.is_empty() {
        "`--all` selects no database here; `walapply list` shows what there is".to_owned()
    } else {
        format!(
            "`--all` leaves out retired databases, and there are no others; name them: {}",
            names.join(", ")
        )
    };
    ApplyError::NoSuchPoint(format!("{detail} (--if-available: do nothing then)"))
}

/// The oldest log object that an image stands on.
fn oldest_seq(source: &PageSource) -> Option<Seq> {
    source.layers().iter().filter_map(|layer| layer.seq).min()
}

/// How fast this store answers, from what finding the images took.
fn pace<'a>(took: Duration, sources: impl Iterator<Item = &'a PageSource>) -> Pace {
    let reads: usize = sources.map(|source| source.layers().len()).sum();
    let reads = u32::try_from(reads).unwrap_or(u32::MAX).max(1);
    Pace { latency: took / reads, reads_at_once: 4 }
}

#[cfg(test)]
pub(crate) mod tests;
