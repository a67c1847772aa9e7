//! What the log holds of each database, as page hashes: kept in `state_dir`, proven against the log.
//!
//! The cache may be lost, old or damaged without harm. It is trusted only if the XOR of its entries, after
//! the page hashes of newer segments were brought in, equals the checksum that the log names; otherwise it
//! is rebuilt from the newest base and the segments after it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use segment::{
    CatalogueEntry, ContentHash, DbId, Incarnation, ObjectName, PageHashes, PageNo, PageSize, Part,
    Segment, SegmentError, Seq, page_hash,
};
use store::{Store, StoreError};

use crate::compare::Known;
use crate::database::Shipped;

const MAGIC: &[u8; 8] = b"WSHASH01";
const HEADER_BYTES: usize = 8 + 16 + 8 + 4 + 4;

/// The cache folder.
#[derive(Debug, Clone)]
pub struct HashCache(PathBuf);

/// Why the state of a database could not be told from the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShippedError {
    /// The log or an object it names could not be read.
    #[error(transparent)]
    Log(#[from] fleet_log::LogError),
    /// An object could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object is missing or damaged.
    #[error("object {name}: {detail}")]
    Object {
        /// The object.
        name: ObjectName,
        /// What is wrong with it.
        detail: String,
    },
    /// What was read does not add up to the checksum that the log names.
    #[error("the objects of {db} give another checksum than the log names at seq {seq}")]
    Checksum {
        /// The database.
        db: DbId,
        /// The log object that names it.
        seq: Seq,
    },
}

impl ShippedError {
    /// True if the same call may succeed later without anybody's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Log(error) => error.is_transient(),
            Self::Store(error) => {
                matches!(error.class(), store::ErrorClass::Retry | store::ErrorClass::Unknown)
            }
            Self::Object { .. } | Self::Checksum { .. } => false,
        }
    }
}

impl HashCache {
    /// The cache in this state folder.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("hashes");
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, db: DbId) -> PathBuf {
        self.0.join(format!("{db}.hashes"))
    }

    /// Writes the hashes of one database. Not synced: it is a cache.
    ///
    /// # Errors
    /// Write errors.
    pub fn save(&self, db: DbId, shipped: &Shipped) -> io::Result<()> {
        let hashes = &shipped.known.hashes;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + hashes.page_count() as usize * 8);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(shipped.known.incarnation.as_bytes());
        bytes.extend_from_slice(&shipped.seq.get().to_le_bytes());
        bytes.extend_from_slice(&hashes.page_size().get().to_le_bytes());
        bytes.extend_from_slice(&hashes.page_count().to_le_bytes());
        for (_, hash) in hashes.iter() {
            bytes.extend_from_slice(&hash.to_le_bytes());
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(&bytes)?;
        file.persist(self.path(db)).map(drop).map_err(|error| error.error)
    }

    /// Reads the hashes of one database, and the seq they belong to; `None` if there is nothing of use.
    #[must_use]
    pub fn load(&self, db: DbId) -> Option<(Incarnation, Seq, PageHashes)> {
        parse(&fs::read(self.path(db)).ok()?)
    }
}

fn parse(bytes: &[u8]) -> Option<(Incarnation, Seq, PageHashes)> {
    let (header, entries) = bytes.split_at_checked(HEADER_BYTES)?;
    let word =
        |at: usize| header.get(at..at + 4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
    let incarnation = Incarnation::from_bytes(header[8..24].try_into().ok()?);
    let seq = Seq::new(u64::from_le_bytes(header[24..32].try_into().ok()?))?;
    let page_size = PageSize::new(word(32)?)?;
    let count = word(36)?;
    if &header[..8] != MAGIC || entries.len() as u64 != u64::from(count) * 8 {
        return None;
    }
    let mut hashes = PageHashes::new(page_size);
    hashes.resize(count);
    for (index, entry) in entries.chunks_exact(8).enumerate() {
        let pgno = PageNo::new(u32::try_from(index).ok()? + 1)?;
        hashes.set(pgno, u64::from_le_bytes(entry.try_into().ok()?));
    }
    Some((incarnation, seq, hashes))
}

/// Finds out what the log holds of a database.
///
/// # Errors
/// When the log cannot be read, or does not add up: then a new base is needed.
pub fn load(
    store: &Arc<dyn Store>,
    cache: &HashCache,
    entry: &CatalogueEntry,
) -> Result<Option<Shipped>, ShippedError> {
    let (Some(incarnation), Some(page_size), Some(seq)) =
        (entry.incarnation, entry.page_size, entry.changed)
    else {
        return Ok(None);
    };
    let cached = cache
        .load(entry.id)
        .filter(|(life, _, hashes)| *life == incarnation && hashes.page_size() == page_size);
    let from_cache = cached
        .map(|(_, at, hashes)| bring_forward(store, entry, hashes, Some(at)))
        .transpose()
        .unwrap_or(None);
    let hashes = match from_cache.filter(|hashes| hashes.checksum() == entry.checksum) {
        Some(hashes) => hashes,
        None => rebuild(store, entry, page_size)?,
    };
    if hashes.checksum() != entry.checksum {
        return Err(ShippedError::Checksum { db: entry.id, seq });
    }
    let known = Known { incarnation, txid: entry.txid, hashes };
    Ok(Some(Shipped {
        known,
        seq,
        bytes_since_base: entry.bytes_since_base,
        objects_since_base: entry.objects_since_base,
    }))
}

fn rebuild(
    store: &Arc<dyn Store>,
    entry: &CatalogueEntry,
    page_size: PageSize,
) -> Result<PageHashes, ShippedError> {
    let mut hashes = PageHashes::new(page_size);
    let Some(base) = &entry.base else { return Ok(hashes) };
    tracing::info!(db = %entry.name, "rebuilding page hashes from the store");
    hashes.resize(base.pages);
    for part in &base.parts {
        take_hashes(&part.name, &part_of(&**store, part)?, 0, &mut hashes)?;
    }
    bring_forward(store, entry, hashes, base.at)
}

/// Applies the page hashes of the sections after `from`, oldest first.
fn bring_forward(
    store: &Arc<dyn Store>,
    entry: &CatalogueEntry,
    mut hashes: PageHashes,
    from: Option<Seq>,
) -> Result<PageHashes, ShippedError> {
    for (seq, index) in sections_after(store, entry, from)?.into_iter().rev() {
        let segment = object(&**store, &ObjectName::log(seq), None)?;
        let Some(section) = segment.table().sections.get(index).cloned() else { continue };
        hashes.resize(section.pages_after);
        // The section that names a new database's base has no pages unless they changed meanwhile.
        if section.body.is_some() {
            take_hashes(&ObjectName::log(seq), &segment, index, &mut hashes)?;
        }
        for part in &section.side {
            take_hashes(&part.name, &part_of(&**store, part)?, 0, &mut hashes)?;
        }
    }
    Ok(hashes)
}

/// The log objects after `from` that touched the database, and which section of each: newest first.
/// Only tables are read; each names the one before.
fn sections_after(
    store: &Arc<dyn Store>,
    entry: &CatalogueEntry,
    from: Option<Seq>,
) -> Result<Vec<(Seq, usize)>, ShippedError> {
    let mut found = Vec::new();
    let mut next = entry.changed;
    while let Some(seq) = next.filter(|seq| from.is_none_or(|from| *seq > from)) {
        let table = fleet_log::table(&**store, seq)?;
        let Some(index) = table.sections.iter().position(|section| section.db == entry.id) else {
            break;
        };
        found.push((seq, index));
        let section = &table.sections[index];
        next = section.previous_seq.filter(|before| *before < seq && !section.new_incarnation);
    }
    Ok(found)
}

fn part_of(store: &dyn Store, part: &Part) -> Result<Segment, ShippedError> {
    object(store, &part.name, Some(part.sha256))
}

/// Reads one object whole. Log objects are proven by the checksum that all of this leads to.
fn object(
    store: &dyn Store,
    name: &ObjectName,
    sha256: Option<ContentHash>,
) -> Result<Segment, ShippedError> {
    let wrong = |detail: String| ShippedError::Object { name: name.clone(), detail };
    let object = match store.get(name) {
        Ok(reply) => reply.value.ok_or_else(|| wrong("missing".into()))?,
        Err(StoreError::Corrupt { cause, .. }) => return Err(wrong(cause)),
        Err(error) => return Err(error.into()),
    };
    if sha256.is_some_and(|expected| ContentHash::of(&object.body) != expected) {
        return Err(wrong("its SHA-256 is not the one the log names".into()));
    }
    Segment::decode(object.body).map_err(|error| wrong(error.to_string()))
}

fn take_hashes(
    name: &ObjectName,
    segment: &Segment,
    section: usize,
    hashes: &mut PageHashes,
) -> Result<(), ShippedError> {
    let wrong = |error: SegmentError| ShippedError::Object {
        name: name.clone(),
        detail: error.to_string(),
    };
    let mut buffer = Vec::new();
    let mut pages = segment.pages(section).map_err(wrong)?;
    while let Some((pgno, page)) = pages.next_into(&mut buffer).map_err(wrong)? {
        if pgno.get() <= hashes.page_count() {
            hashes.set(pgno, page_hash(pgno, page));
        }
    }
    Ok(())
}
