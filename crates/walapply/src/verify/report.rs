//! What a verification found.

use std::time::Duration;

use console::output::{Align, Table, age, bytes};
use segment::{Name, Seq};
use serde::Serialize;

/// What a verification found.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// The fleet.
    pub fleet: Name,
    /// The first log object.
    pub from_seq: Option<Seq>,
    /// The last log object.
    pub to_seq: Option<Seq>,
    /// Log objects read.
    pub log_objects: u64,
    /// Side objects read.
    pub side_objects: u64,
    /// Base parts read.
    pub base_objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Pages decoded and hashed.
    pub pages: u64,
    /// How long it took.
    pub seconds: f64,
    /// Everything that is wrong; empty when all is well.
    pub damage: Vec<Damage>,
    /// Each database.
    pub databases: Vec<Verified>,
    /// Objects that no log object names; they do no harm.
    pub unreferenced: Unreferenced,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The object to blame.
    pub object: String,
    /// What is wrong with it.
    pub detail: String,
    /// The log object, if the object is one.
    #[serde(skip)]
    pub(super) seq: Option<Seq>,
}

/// One database.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// Sections that were replayed, with the right checksum before and after.
    pub proven_sections: u64,
    /// Sections whose state before is in doubt.
    pub unproven_sections: u64,
    /// Bases that were read whole and have the right checksum.
    pub proven_bases: u64,
    /// Pages of the newest state, where it is proven.
    pub pages: Option<u32>,
}

/// Objects that no log object names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Unreferenced {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl VerifyReport {
    pub(super) fn new(fleet: Name) -> Self {
        Self {
            fleet,
            from_seq: None,
            to_seq: None,
            log_objects: 0,
            side_objects: 0,
            base_objects: 0,
            bytes: 0,
            pages: 0,
            seconds: 0.0,
            damage: Vec::new(),
            databases: Vec::new(),
            unreferenced: Unreferenced { objects: 0, bytes: 0 },
        }
    }

    /// The report for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "Fleet {}: {} log objects, {} side objects, {} base parts, {} and {} pages read in {}",
            self.fleet,
            self.log_objects,
            self.side_objects,
            self.base_objects,
            bytes(self.bytes),
            self.pages,
            age(Duration::from_secs_f64(self.seconds.clamp(0.0, 1e9))),
        );
        let sum = |figure: fn(&Verified) -> u64| self.databases.iter().map(figure).sum::<u64>();
        text += &format!(
            "\n{} databases: {} changes and {} bases proven, {} changes in doubt",
            self.databases.len(),
            sum(|each| each.proven_sections),
            sum(|each| each.proven_bases),
            sum(|each| each.unproven_sections),
        );
        if self.unreferenced.objects > 0 {
            let Unreferenced { objects, bytes: size } = self.unreferenced;
            text +=
                &format!("\n{objects} objects ({}) are named by nothing (harmless)", bytes(size));
        }
        if self.damage.is_empty() {
            return text + "\nNo damage";
        }
        let mut table =
            Table::new([("DAMAGED OBJECT", Align::Left), ("WHAT IS WRONG", Align::Left)]);
        for damage in &self.damage {
            table.row([damage.object.clone(), damage.detail.clone()]);
        }
        format!("{text}\n{table}")
    }
}
