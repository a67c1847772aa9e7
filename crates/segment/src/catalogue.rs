//! The catalogue: what the store alone tells about the whole fleet.
//!
//! A catalogue is a fold over the log. One written in segment k describes the fleet after segment k - 1; absorbing the
//! tables of the segments from k on brings it up to any later position (FORMAT.md section 6). Absorbing never looks at
//! pages, so header and table of each object suffice.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::checksum::Checksum;
use crate::codec::Table;
use crate::error::SegmentError;
use crate::ids::{DbId, Incarnation, PageSize, Seq, Txid};
use crate::name::Name;
use crate::records::{Announcement, BaseRecord, Record};
use crate::section::SectionEntry;

/// The state of the fleet at a position of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The tier table, by name.
    pub tiers: BTreeMap<String, TierRecord>,
    /// Every database the log has announced; in JSON a list, since each entry has its id.
    #[serde(serialize_with = "entries", deserialize_with = "by_id")]
    pub databases: BTreeMap<DbId, CatalogueEntry>,
}

/// What a tier promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRecord {
    /// How long a commit waits at most for a flush.
    pub sync_interval_ms: u64,
    /// How far back restore points reach.
    pub retention_ms: u64,
    /// How long a commit may wait when the budget delays flushes.
    pub rpo_bound_ms: u64,
    /// Whether standbys follow it.
    pub standby: bool,
}

/// Whether a database is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseState {
    /// It has pages.
    Live,
    /// Its file has 0 bytes.
    Empty,
    /// Its file does not exist.
    Missing,
    /// It has pages, and the owner of the log cannot read them right now.
    Unread,
    /// It was removed from the configuration.
    Retired,
}

impl DatabaseState {
    /// Whether the database has pages, as far as anybody knows.
    #[must_use]
    pub fn has_content(self) -> bool {
        matches!(self, DatabaseState::Live | DatabaseState::Unread)
    }
}

/// What is known of one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// The database.
    pub id: DbId,
    /// Its name.
    pub name: Name,
    /// Its tier.
    pub tier: String,
    /// Its retention class.
    pub class_hours: u32,
    /// Whether it is there.
    pub state: DatabaseState,
    /// Its life; `None` while nothing was captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// Its page size; `None` while nothing was captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<PageSize>,
    /// Its size in pages.
    pub pages: u32,
    /// The commits captured.
    pub txid: Txid,
    /// Its checksum.
    pub checksum: Checksum,
    /// The last log object with a section of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Seq>,
    /// Its newest base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseRecord>,
    /// Bytes of pages in its sections since the base was named.
    #[serde(default)]
    pub bytes_since_base: u64,
    /// Log objects with a section of it since the base was named.
    #[serde(default)]
    pub objects_since_base: u32,
}

impl Catalogue {
    /// The entry of the database of this name, ignoring case; among several, one that is not retired.
    pub fn find(&self, name: &Name) -> Option<&CatalogueEntry> {
        let key = name.key();
        let named = self.databases.values().filter(|entry| entry.name.key() == key);
        named.min_by_key(|entry| entry.state == DatabaseState::Retired)
    }

    /// Brings the catalogue over one more log segment: its records in order, then its sections.
    ///
    /// # Errors
    /// `UnknownDatabase` if the segment speaks of a database that was never announced (the first one it names). What
    /// it says of the others is taken over.
    pub fn absorb(&mut self, segment: &Table) -> Result<(), SegmentError> {
        let mut absorbed = Ok(());
        for record in &segment.records {
            absorbed = absorbed.and(self.absorb_record(record));
        }
        for section in &segment.sections {
            let entry = self.entry(section.db);
            let told = entry.map(|entry| entry.absorb_section(section, segment.header.seq));
            absorbed = absorbed.and(told);
        }
        absorbed
    }

    fn absorb_record(&mut self, record: &Record) -> Result<(), SegmentError> {
        match record {
            Record::Fence { .. } | Record::Handover {} => {}
            Record::Catalogue(catalogue) => *self = catalogue.clone(),
            Record::Announce(announcement) => self.announce(announcement),
            Record::Base(base) => self.entry(base.db)?.absorb_base(base),
            Record::Retired { db } => self.entry(*db)?.state = DatabaseState::Retired,
            Record::Renamed { db, name } => self.entry(*db)?.name = name.clone(),
        }
        Ok(())
    }

    fn announce(&mut self, announcement: &Announcement) {
        let entry = self
            .databases
            .entry(announcement.id)
            .or_insert_with(|| CatalogueEntry::new(announcement));
        entry.name = announcement.name.clone();
        entry.tier = announcement.tier.clone();
        entry.class_hours = announcement.class_hours;
        entry.state = announcement.state;
    }

    fn entry(&mut self, db: DbId) -> Result<&mut CatalogueEntry, SegmentError> {
        self.databases.get_mut(&db).ok_or(SegmentError::UnknownDatabase { db })
    }
}

impl CatalogueEntry {
    /// The entry of a database of which nothing was captured yet.
    pub fn new(announcement: &Announcement) -> Self {
        CatalogueEntry {
            id: announcement.id,
            name: announcement.name.clone(),
            tier: announcement.tier.clone(),
            class_hours: announcement.class_hours,
            state: announcement.state,
            incarnation: None,
            page_size: None,
            pages: 0,
            txid: Txid::NONE,
            checksum: Checksum::EMPTY,
            changed: None,
            base: None,
            bytes_since_base: 0,
            objects_since_base: 0,
        }
    }

    /// The entry of the same database of which nothing is known to be captured.
    #[must_use]
    pub fn without_content(&self) -> CatalogueEntry {
        CatalogueEntry::new(&Announcement {
            id: self.id,
            name: self.name.clone(),
            tier: self.tier.clone(),
            class_hours: self.class_hours,
            state: self.state,
        })
    }

    fn absorb_base(&mut self, base: &BaseRecord) {
        self.base = Some(base.clone());
        self.bytes_since_base = 0;
        self.objects_since_base = 0;
    }

    fn absorb_section(&mut self, section: &SectionEntry, seq: Option<Seq>) {
        self.state = DatabaseState::Live;
        self.class_hours = section.class_hours;
        self.incarnation = Some(section.incarnation);
        self.page_size = Some(section.page_size);
        self.pages = section.pages_after;
        self.txid = section.last_txid;
        self.checksum = section.post;
        self.changed = seq;
        let bytes = u64::from(section.page_count) * u64::from(section.page_size.get());
        self.bytes_since_base = self.bytes_since_base.saturating_add(bytes);
        self.objects_since_base = self.objects_since_base.saturating_add(1);
        // A base of an earlier life is not what later changes build on.
        self.base.take_if(|base| base.incarnation != section.incarnation);
    }
}

fn entries<S: Serializer>(
    databases: &BTreeMap<DbId, CatalogueEntry>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(databases.values())
}

fn by_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<DbId, CatalogueEntry>, D::Error> {
    let mut databases = BTreeMap::new();
    for entry in Vec::<CatalogueEntry>::deserialize(deserializer)? {
        let id = entry.id;
        if databases.insert(id, entry).is_some() {
            return Err(D::Error::custom(format_args!(
                "database {id} stands twice in a catalogue"
            )));
        }
    }
    Ok(databases)
}

#[cfg(test)]
mod tests;
