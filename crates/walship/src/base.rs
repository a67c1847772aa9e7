//! Copies the pages of a pinned state into base objects.
//!
//! Order: pages are encoded into files of the local spool first, then the read transaction ends, then the
//! files are uploaded. So the database's log is held up for as long as the local disk needs, whatever the
//! store does. Told to stop, either step ends after the part at hand. A base counts only once a durable log object names it.
//!
//! After a crash the spool holds litter that the next start removes; objects nothing names are litter of
//! the store.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use segment::{
    BaseRecord, Checksum, ContentHash, DbId, Draft, Epoch, Header, Incarnation, Millis, Name,
    ObjectName, PageNo, PageSize, Part, SectionEntry, SegmentHash, SegmentKind, Txid, WriterId,
};
use store::Store;

use crate::error::CaptureError;
use crate::pinned::Pinned;

/// Bytes of pages in one part.
const PART_PAGE_BYTES: usize = 16 << 20;

/// Whose base it is, and who writes it.
#[derive(Debug, Clone)]
pub struct Author {
    /// The fleet, node and writer that the objects carry.
    pub fleet: segment::FleetId,
    /// The host.
    pub node: Name,
    /// The start of the program.
    pub writer: WriterId,
    /// The current epoch.
    pub epoch: Epoch,
}

/// The database a base is of.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its id.
    pub db: DbId,
    /// Its name, for the object names.
    pub name: Name,
    /// The life of its file.
    pub incarnation: Incarnation,
    /// Its retention class.
    pub class_hours: u32,
    /// Commits captured in the state.
    pub txid: Txid,
}

/// A base in the local spool, not uploaded yet.
#[derive(Debug)]
pub struct Spooled {
    files: Vec<(ObjectName, PathBuf)>,
    record: BaseRecord,
}

impl Spooled {
    /// Copies a state into the spool.
    ///
    /// # Errors
    /// Read errors of the database, write errors of the spool, told to stop; nothing is left behind then.
    pub fn copy(
        pinned: &Pinned,
        subject: &Subject,
        author: &Author,
        spool: &Path,
        mut number: impl FnMut() -> u64,
        stop: &AtomicBool,
    ) -> Result<Self, CaptureError> {
        let image = pinned.image()?;
        let mut spooled = Self {
            files: Vec::new(),
            record: empty_record(subject, image.page_size(), image.pages(), pinned.checksum()),
        };
        let mut batch = Batch::new(image.page_size());
        let mut finish = |batch: &mut Batch, spooled: &mut Self| {
            let name = ObjectName::base(
                &subject.name,
                subject.incarnation,
                author.epoch,
                author.writer,
                number(),
            );
            spooled.add(name, batch.encode(subject, author, &spooled.record), spool)
        };
        image.for_each(|pgno, page| {
            batch.push(pgno, page);
            if !batch.is_full() {
                return Ok(());
            }
            go_on(stop)?;
            finish(&mut batch, &mut spooled)
        })?;
        if !batch.is_empty() {
            finish(&mut batch, &mut spooled)?;
        }
        Ok(spooled)
    }

    fn add(&mut self, name: ObjectName, bytes: Vec<u8>, spool: &Path) -> Result<(), CaptureError> {
        let path = spool.join(format!("base-{}-{}.seg", self.record.db, self.files.len()));
        let io = |source: io::Error| CaptureError::Io {
            operation: "write the base to the spool",
            source,
        };
        self.files.push((name.clone(), path.clone()));
        File::create(&path).and_then(|mut file| file.write_all(&bytes)).map_err(io)?;
        let part = Part { name, bytes: bytes.len() as u64, sha256: ContentHash::of(&bytes) };
        self.record.bytes += part.bytes;
        self.record.parts.push(part);
        Ok(())
    }

    /// Uploads what was spooled. May be called again after an error: parts that are there already count.
    ///
    /// # Errors
    /// The store's; told to stop.
    pub fn upload(&self, store: &dyn Store, stop: &AtomicBool) -> Result<BaseRecord, CaptureError> {
        for (name, path) in &self.files {
            go_on(stop)?;
            let bytes = fs::read(path).map_err(|source| CaptureError::Io {
                operation: "read the base from the spool",
                source,
            })?;
            // The name holds this writer's random id, so an object that exists is our own from before.
            store.put_if_absent(name, &bytes)?;
        }
        Ok(self.record.clone())
    }
}

fn go_on(stop: &AtomicBool) -> Result<(), CaptureError> {
    if stop.load(Ordering::Relaxed) { Err(CaptureError::Ending) } else { Ok(()) }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        for (_, path) in &self.files {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "a spool file was not removed");
            }
        }
    }
}

/// Pages waiting to become a part.
struct Batch {
    page_size: PageSize,
    numbers: Vec<PageNo>,
    bytes: Vec<u8>,
}

impl Batch {
    fn new(page_size: PageSize) -> Self {
        Self { page_size, numbers: Vec::new(), bytes: Vec::new() }
    }

    fn push(&mut self, pgno: PageNo, page: &[u8]) {
        self.numbers.push(pgno);
        self.bytes.extend_from_slice(page);
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= PART_PAGE_BYTES
    }

    fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    fn encode(&mut self, subject: &Subject, author: &Author, record: &BaseRecord) -> Vec<u8> {
        let pages =
            self.numbers.iter().copied().zip(self.bytes.chunks_exact(self.page_size.bytes()));
        let body = segment::encode_body(self.page_size, pages);
        let section = section(subject, record, body.page_count);
        self.numbers.clear();
        self.bytes.clear();
        segment::encode(&Draft {
            header: header(author, SegmentKind::Base),
            records: Vec::new(),
            sections: vec![(section, Some(body))],
        })
        .bytes
    }
}

/// The header of an object outside the log.
#[must_use]
pub fn header(author: &Author, kind: SegmentKind) -> Header {
    Header {
        kind,
        fleet: author.fleet,
        node: author.node.clone(),
        writer: author.writer,
        epoch: author.epoch,
        seq: None,
        previous: SegmentHash::ZERO,
        stamp: Millis::new(0),
        store_offset_ms: 0,
        flush_period_ms: 0,
        next_flush_in_ms: 0,
        catalogue: None,
        consistent: false,
        positions_wanted: false,
    }
}

fn empty_record(
    subject: &Subject,
    page_size: PageSize,
    pages: u32,
    checksum: Checksum,
) -> BaseRecord {
    BaseRecord {
        db: subject.db,
        incarnation: subject.incarnation,
        at: None,
        checksum,
        page_size,
        pages,
        bytes: 0,
        parts: Vec::new(),
    }
}

fn section(subject: &Subject, record: &BaseRecord, page_count: u32) -> SectionEntry {
    SectionEntry {
        db: subject.db,
        incarnation: subject.incarnation,
        class_hours: subject.class_hours,
        page_size: record.page_size,
        pages_after: record.pages,
        page_count,
        first_txid: subject.txid,
        last_txid: subject.txid,
        pre: Checksum::EMPTY,
        post: record.checksum,
        oldest_commit: Millis::new(0),
        previous_seq: None,
        is_diff: false,
        new_incarnation: false,
        body: None,
        side: Vec::new(),
    }
}
