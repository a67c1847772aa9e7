//! What a restore tells: to people as a table, to machines as one JSON document.

use std::path::{Path, PathBuf};

use console::ExitCode;
use console::output::{Align, Table, age, bytes, known};
use segment::{Checksum, DatabaseState, DbId, Name, PageSize, Seq, Txid};
use serde::Serialize;

use super::point::Cut;
use super::select::Chosen;
use crate::ApplyError;
use crate::image::ImageFacts;
use crate::plan::Plan;
use crate::time::rfc3339;

/// What became of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It would be restored.
    Planned,
    /// It is in place.
    Restored,
    /// The target was there and was left alone.
    Present,
    /// The store holds nothing of it at this cut.
    NoBackup,
    /// It could not be restored.
    Failed,
    /// It was fine, but is not in place because another one failed.
    HeldBack,
}

/// One database of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    #[serde(skip)]
    db: Option<DbId>,
    /// Its name at that cut.
    pub name: Name,
    /// Its tier at that cut.
    pub tier: Option<String>,
    /// Was it there on the primary at that cut?
    pub state: Option<DatabaseState>,
    /// What became of it.
    pub outcome: Outcome,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Its page size.
    pub page_size: Option<PageSize>,
    /// Its pages.
    pub pages: u32,
    /// Captured commits in it.
    pub txid: Option<Txid>,
    /// Its database checksum by the log; once restored, proven on the file.
    pub checksum: Option<Checksum>,
    /// The last log object that changed it.
    pub changed: Option<Seq>,
    /// Objects read for it.
    pub objects: usize,
    /// Bytes read for it.
    pub read_bytes: u64,
    /// What stood there before, under its new name.
    pub moved_aside: Vec<PathBuf>,
    /// Did somebody have the file open that it replaces? He keeps the former one.
    pub was_open: bool,
    /// With which log object its content went away on the primary, where that is so at this cut and known.
    pub gone_since: Option<Seq>,
    /// What to know of the result.
    pub warning: Option<String>,
    /// Why it failed, or, in a dry run, would be refused.
    pub error: Option<String>,
    #[serde(skip)]
    exit: Option<ExitCode>,
}

impl Restored {
    /// A database of which only the name is known.
    pub(super) fn named(name: &Name, outcome: Outcome) -> Self {
        Self {
            db: None,
            name: name.clone(),
            tier: None,
            state: None,
            outcome,
            path: None,
            bytes: 0,
            page_size: None,
            pages: 0,
            txid: None,
            checksum: None,
            changed: None,
            objects: 0,
            read_bytes: 0,
            moved_aside: Vec::new(),
            was_open: false,
            gone_since: None,
            warning: None,
            error: None,
            exit: None,
        }
    }

    /// A database of the catalogue.
    pub(super) fn of(chosen: &Chosen, outcome: Outcome) -> Self {
        let (tier, state) = (Some(chosen.tier.clone()), Some(chosen.state));
        Self { db: Some(chosen.db), tier, state, ..Self::named(&chosen.name, outcome) }
    }

    pub(super) fn at(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Its content had gone away on the primary.
    pub(super) fn gone(&mut self, state: DatabaseState, since: Option<Seq>) {
        self.gone_since = since;
        let since = since.map(|seq| (seq, seq.previous()));
        let (with, before) = match since {
            Some((seq, Some(before))) => {
                (format!(" since log object {seq}"), format!("--seq {before}"))
            }
            _ => (String::new(), "an earlier --seq or --at".to_owned()),
        };
        self.warning = Some(match state {
            DatabaseState::Missing => {
                format!(
                    "missing on the primary{with}: this is its last content, as {before} gives it"
                )
            }
            _ => format!(
                "empty on the primary{with}: a file of 0 bytes; {before} brings back its last content"
            ),
        });
    }

    /// Commits that nobody captured may have followed.
    pub(super) fn unread(&mut self) {
        self.warning = Some(
            "the primary could not read it: this is what it was before, and may lack later commits"
                .to_owned(),
        );
    }

    pub(super) fn fail(&mut self, error: &ApplyError) {
        self.outcome = Outcome::Failed;
        self.refuse(error);
    }

    /// What a dry run found in the way.
    pub(super) fn refuse(&mut self, error: &ApplyError) {
        self.exit = Some(error.exit_code());
        self.error = Some(console::exit::chain(error));
    }

    /// `None`: held back.
    pub(super) fn placed(&mut self, placed: Option<Result<Vec<PathBuf>, ApplyError>>) {
        match placed {
            None => self.outcome = Outcome::HeldBack,
            Some(Err(error)) => self.fail(&error),
            Some(Ok(moved)) => {
                self.outcome = Outcome::Restored;
                self.moved_aside = moved;
            }
        }
    }
}

/// What a restore did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The fleet; `None` where the store did not have to be asked.
    pub fleet: Option<Name>,
    /// Was nothing written on purpose?
    pub dry_run: bool,
    /// The cut: its last log object.
    pub seq: Option<Seq>,
    /// When the primary sealed it.
    pub time: Option<String>,
    /// Were all databases at these positions at one instant?
    pub consistent: Option<bool>,
    /// Distinct objects read.
    pub objects: usize,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes of the files.
    pub write_bytes: u64,
    /// Retired databases that `--all` leaves out; who names one gets it.
    pub left_out: Vec<Name>,
    /// Why `--all` may not be all: a log object is lost.
    pub lost: Option<String>,
    /// How long it was expected to take.
    pub expected_seconds: f64,
    /// How long it took.
    pub seconds: f64,
    /// Each database.
    pub databases: Vec<Restored>,
}

impl Report {
    pub(super) fn new(fleet: Option<&Name>, dry_run: bool) -> Self {
        Self {
            fleet: fleet.cloned(),
            dry_run,
            seq: None,
            time: None,
            consistent: None,
            objects: 0,
            read_bytes: 0,
            write_bytes: 0,
            left_out: Vec::new(),
            lost: None,
            expected_seconds: 0.0,
            seconds: 0.0,
            databases: Vec::new(),
        }
    }

    pub(super) fn set_cut(&mut self, cut: &Cut) {
        self.seq = Some(cut.seq);
        self.time = Some(rfc3339(cut.stamp));
        self.consistent = Some(cut.consistent);
    }

    pub(super) fn set_plan(&mut self, plan: &Plan) {
        (self.objects, self.read_bytes, self.write_bytes) =
            (plan.objects, plan.read_bytes, plan.write_bytes);
        self.expected_seconds = plan.expected_seconds;
        for each in &plan.databases {
            if let Some(told) = self.databases.iter_mut().find(|told| told.name == each.name) {
                (told.objects, told.read_bytes, told.bytes) =
                    (each.objects, each.read_bytes, each.write_bytes);
            }
        }
    }

    pub(super) fn describe(&mut self, facts: &ImageFacts) {
        self.of(facts.db, |told| {
            told.page_size = Some(facts.page_size);
            told.pages = facts.pages;
            told.txid = Some(facts.txid);
            told.checksum = Some(facts.checksum);
            told.changed = facts.changed;
        });
    }

    /// Changes what is told of one database.
    pub(super) fn of(&mut self, db: DbId, change: impl FnOnce(&mut Restored)) {
        if let Some(told) = self.databases.iter_mut().find(|told| told.db == Some(db)) {
            change(told);
        }
    }

    pub(super) fn has_failures_or(&self, more: bool) -> bool {
        more || self.exit_code() != ExitCode::Fine
    }

    /// The exit code of the whole: the worst of all databases; damage before everything else.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        let lost = self.lost.as_ref().map(|_| ExitCode::Corrupt);
        let exits = || self.databases.iter().filter_map(|told| told.exit).chain(lost);
        [ExitCode::Corrupt, ExitCode::StoreUnreachable]
            .into_iter()
            .find(|worst| exits().any(|exit| exit == *worst))
            .or_else(|| exits().next())
            .unwrap_or(ExitCode::Fine)
    }

    /// The databases that failed, or, in a dry run, would.
    pub fn failed(&self) -> impl Iterator<Item = &Restored> {
        self.databases.iter().filter(|told| told.exit.is_some())
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let Some(seq) = self.seq else { return self.short_text() };
        let mut text = format!(
            "{} of fleet {} after log object {seq}, sealed {}{}\n{}\n",
            if self.dry_run { "Restore (dry run)" } else { "Restore" },
            known(self.fleet.as_ref(), ToString::to_string),
            known(self.time.clone(), |time| time),
            if self.consistent == Some(false) {
                " (databases may be milliseconds apart)"
            } else {
                ""
            },
            self.table(),
        );
        let objects = format!(
            "{} objects, {} to read, {}",
            self.objects,
            bytes(self.read_bytes),
            bytes(self.write_bytes)
        );
        let took = |seconds: f64| age(std::time::Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
        let is_done = self.databases.iter().any(|told| told.outcome == Outcome::Restored);
        text += &if self.dry_run {
            format!("{objects} to write, about {}", took(self.expected_seconds))
        } else if is_done {
            format!("{objects} written and verified in {}", took(self.seconds))
        } else {
            format!("nothing was put in place, after {}", took(self.seconds))
        };
        for open in self.databases.iter().filter(|told| told.was_open) {
            let path = known(open.path.as_deref(), |path| path.display().to_string());
            text +=
                &format!("\nOPEN ELSEWHERE: {path}: who has it open goes on with the former file");
        }
        for told in &self.databases {
            if let Some(warning) = &told.warning {
                text += &format!("\nWARNING: {}: {warning}", told.name);
            }
        }
        for moved in self.databases.iter().flat_map(|told| &told.moved_aside) {
            text += &format!("\nmoved aside: {}", moved.display());
        }
        if !self.left_out.is_empty() {
            let names: Vec<String> = self.left_out.iter().map(ToString::to_string).collect();
            text += &format!(
                "\nleft out, because retired (name them to restore them): {}",
                names.join(", ")
            );
        }
        if let Some(lost) = &self.lost {
            text += &format!("\nNOT ALL: {lost}");
        }
        if self.databases.is_empty() {
            text += "\nno database to restore";
        }
        text
    }

    /// Where the store was not asked, or is empty.
    fn short_text(&self) -> String {
        let present = self.databases.iter().filter_map(|told| told.path.as_deref());
        let lines: Vec<String> =
            present.map(|path| format!("{} is there, nothing to do", path.display())).collect();
        if lines.is_empty() { "The store holds no backup".to_owned() } else { lines.join("\n") }
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            ("DATABASE", Align::Left),
            ("TIER", Align::Left),
            ("BYTES", Align::Right),
            ("OBJECTS", Align::Right),
            ("READ", Align::Right),
            ("OUTCOME", Align::Left),
        ]);
        for told in &self.databases {
            table.row([
                told.name.to_string(),
                known(told.tier.clone(), |tier| tier),
                bytes(told.bytes),
                told.objects.to_string(),
                bytes(told.read_bytes),
                told.outcome_text(),
            ]);
        }
        table
    }
}

impl Restored {
    /// `orders: log/... is not in the store`.
    pub(crate) fn summary(&self) -> String {
        format!("{}: {}", self.name, known(self.error.as_deref(), ToOwned::to_owned))
    }

    fn outcome_text(&self) -> String {
        let path = self.path.as_deref().map(Path::display);
        let path = path.map(|path| format!(" {path}")).unwrap_or_default();
        let error = self.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let missing = match self.state {
            Some(DatabaseState::Missing) => " (was missing on the primary; this is its last state)",
            Some(DatabaseState::Retired) => " (retired)",
            _ => "",
        };
        match self.outcome {
            Outcome::Planned if self.error.is_some() => format!("would be refused{error}"),
            Outcome::Planned => format!("would write{path}{missing}"),
            Outcome::Restored => format!("restored{path}{missing}"),
            Outcome::Present => format!("left alone{path}"),
            Outcome::NoBackup => "no backup at this point".to_owned(),
            Outcome::Failed => format!("FAILED{error}"),
            Outcome::HeldBack => "held back, because something else failed".to_owned(),
        }
    }
}
