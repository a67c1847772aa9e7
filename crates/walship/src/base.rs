//! Copies the pages of a pinned state into base objects.
//!
//! Order: the pages are copied as they are into a file of the local spool, then the read transaction ends, then they are
//! encoded and uploaded part by part. A blocking checkpoint of the application waits for that transaction, and its writers
//! wait behind the checkpoint, so nothing that takes longer than copying a file may happen before it ends. Told to stop,
//! either step ends soon. A base counts only once a durable log object names it.
//!
//! The file has no name, so a crash leaves nothing in the spool. Objects that no log object names are litter of the store.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::Path;
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
/// Bytes that are written to the spool at a time.
const COPY_BYTES: usize = 1 << 20;

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

/// A state in the local spool, on its way into the store part by part.
#[derive(Debug)]
pub struct Spooled {
    /// All pages but the lock page, in order, read up to the first one that is in no part yet.
    pages: File,
    next: u32,
    /// The part that the store has not taken yet.
    waiting: Option<(ObjectName, Vec<u8>)>,
    subject: Subject,
    author: Author,
    record: BaseRecord,
}

impl Spooled {
    /// Copies a state into the spool.
    ///
    /// # Errors
    /// Read errors of the database, write errors of the spool, told to stop; nothing is left behind then.
    pub fn copy(
        pinned: &Pinned,
        subject: Subject,
        author: &Author,
        spool: &Path,
        stop: &AtomicBool,
    ) -> Result<Self, CaptureError> {
        let image = pinned.image()?;
        let pages = tempfile::tempfile_in(spool).map_err(not_written)?;
        let mut copy = BufWriter::with_capacity(COPY_BYTES, pages);
        image.for_each(|_, page| {
            go_on(stop)?;
            copy.write_all(page).map_err(not_written)
        })?;
        let mut pages = copy.into_inner().map_err(|error| not_written(error.into_error()))?;
        pages.rewind().map_err(not_written)?;
        let record = empty_record(&subject, image.page_size(), image.pages(), pinned.checksum());
        Ok(Self { pages, next: 1, waiting: None, subject, author: author.clone(), record })
    }

    /// Uploads what was spooled. To be called again after an error: it goes on with the part that was not taken. `number`
    /// tells the parts from those of other bases.
    ///
    /// # Errors
    /// The store's; read errors of the spool; told to stop.
    pub fn upload(
        &mut self,
        store: &dyn Store,
        number: impl Fn() -> u64,
        stop: &AtomicBool,
    ) -> Result<BaseRecord, CaptureError> {
        while self.waiting.is_some() || self.left().next().is_some() {
            go_on(stop)?;
            let (name, bytes) = match self.waiting.take() {
                Some(waiting) => waiting,
                None => self.encode_part(number())?,
            };
            // The name holds this writer's random id, so an object that exists is our own from before.
            if let Err(error) = store.put_if_absent(&name, &bytes) {
                self.waiting = Some((name, bytes));
                return Err(error.into());
            }
            let part = Part { name, bytes: bytes.len() as u64, sha256: ContentHash::of(&bytes) };
            self.record.bytes += part.bytes;
            self.record.parts.push(part);
        }
        Ok(self.record.clone())
    }

    /// The pages that are in no part yet.
    fn left(&self) -> impl Iterator<Item = PageNo> + use<> {
        let lock_page = self.record.page_size.lock_page();
        let left = (self.next..=self.record.pages).filter_map(PageNo::new);
        left.filter(move |pgno| *pgno != lock_page)
    }

    /// The part that begins with the next page.
    fn encode_part(&mut self, number: u64) -> Result<(ObjectName, Vec<u8>), CaptureError> {
        let size = self.record.page_size;
        let numbers: Vec<_> = self.left().take(PART_PAGE_BYTES / size.bytes()).collect();
        let mut bytes = vec![0; numbers.len() * size.bytes()];
        self.pages.read_exact(&mut bytes).map_err(|source| CaptureError::Io {
            operation: "read the base from the spool",
            source,
        })?;
        self.next = numbers.last().expect("BUG: nothing is left").get() + 1;
        let pages = numbers.into_iter().zip(bytes.chunks_exact(size.bytes()));
        let body = segment::encode_body(size, pages);
        let section = section(&self.subject, &self.record, body.page_count);
        let part = segment::encode(&Draft {
            header: header(&self.author, SegmentKind::Base),
            records: Vec::new(),
            sections: vec![(section, Some(body))],
        });
        let Author { epoch, writer, .. } = self.author;
        let Subject { name, incarnation, .. } = &self.subject;
        Ok((ObjectName::base(name, *incarnation, epoch, writer, number), part.bytes))
    }
}

fn not_written(source: io::Error) -> CaptureError {
    CaptureError::Io { operation: "write the base to the spool", source }
}

fn go_on(stop: &AtomicBool) -> Result<(), CaptureError> {
    if stop.load(Ordering::Relaxed) { Err(CaptureError::Ending) } else { Ok(()) }
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
