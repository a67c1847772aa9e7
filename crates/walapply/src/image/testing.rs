//! Test support: stores that hold real databases, written segment by segment without the primary's program.

use std::path::PathBuf;
use std::sync::Arc;

use fleet_log::FleetFile;
use segment::{
    Announcement, BaseRecord, Catalogue, Checksum, DatabaseState, DbId, Draft, EncodedBody, Epoch,
    FenceKind, FleetId, Header, Incarnation, Millis, Name, ObjectName, PageNo, Part, Record,
    SectionEntry, SegmentHash, SegmentKind, Seq, TierRecord, Txid, WriterId, encode, encode_body,
};
use store::{LocalStore, Store};
use tempfile::TempDir;

use crate::testing::{Image, Source};

/// The first stamp, and the distance between flushes.
pub(crate) const BEGAN: u64 = 1_795_599_000_000;
pub(crate) const PERIOD: u64 = 1_000;

/// A store in the making.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fleet: FleetFile,
    pub(crate) databases: Vec<Tracked>,
    /// Changes of more pages go to side objects of so many pages.
    pub(crate) part_pages: usize,
    pub(crate) catalogue: Catalogue,
    catalogue_seq: Option<Seq>,
    pub(crate) next: Seq,
    previous: SegmentHash,
    objects: u64,
}

/// One database of the fleet.
pub(crate) struct Tracked {
    pub(crate) id: DbId,
    pub(crate) name: Name,
    pub(crate) source: Source,
    pub(crate) incarnation: Incarnation,
    /// As it was shipped last.
    pub(crate) shipped: Option<Image>,
    txid: Txid,
    pub(crate) last: Option<Seq>,
}

/// What a flush says about one database.
type Section = (SectionEntry, Option<EncodedBody>);

impl Shop {
    /// A log with its first fence.
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(LocalStore::open(&folder.path().join("store"), true).unwrap());
        let fresh = FleetFile::new(name("anvil"), FleetId::from_bytes([7; 16]), Millis::new(BEGAN));
        let fleet = FleetFile::read_or_create(&*store, fresh).unwrap();
        let mut shop = Self {
            folder,
            store,
            fleet,
            databases: Vec::new(),
            part_pages: 64,
            catalogue: Catalogue::default(),
            catalogue_seq: None,
            next: Seq::FIRST,
            previous: SegmentHash::ZERO,
            objects: 0,
        };
        shop.fence();
        shop
    }

    fn fence(&mut self) {
        let tier = |sync_interval_ms, standby| TierRecord {
            sync_interval_ms,
            retention_ms: 86_400_000,
            rpo_bound_ms: 45_000,
            standby,
        };
        let mut catalogue = Catalogue::default();
        catalogue.tiers.insert("p0".to_owned(), tier(1_000, true));
        catalogue.tiers.insert("p2".to_owned(), tier(10_000, false));
        let fence = Record::Fence {
            epoch: Epoch::FIRST,
            node: self.node(),
            writer: self.writer(),
            kind: FenceKind::Start,
        };
        self.append(vec![fence, Record::Catalogue(catalogue)], Vec::new());
    }

    fn node(&self) -> Name {
        name("anvil-host")
    }

    fn writer(&self) -> WriterId {
        WriterId::from_bytes([9; 16])
    }

    pub(crate) fn store_path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub(crate) fn last(&self) -> Seq {
        self.next.previous().unwrap()
    }

    /// A path that a test may restore to.
    pub(crate) fn out(&self, file: &str) -> PathBuf {
        self.folder.path().join("out").join(file)
    }

    /// Creates a database and announces it with the next flush.
    pub(crate) fn create(&mut self, text: &str, tier: &str, page_size: u32) -> usize {
        let index = self.databases.len();
        let path = self.folder.path().join(format!("{index}-{text}.sqlite"));
        let id = DbId::from_bytes([index as u8 + 1; 8]);
        self.databases.push(Tracked {
            id,
            name: name(text),
            source: Source::create(&path, page_size, "UTF-8", index as u64 + 11),
            incarnation: Incarnation::from_bytes([index as u8 + 1; 16]),
            shipped: None,
            txid: Txid::NONE,
            last: None,
        });
        self.announce(id, text, tier, DatabaseState::Live);
        index
    }

    /// Says something about a database that may have no file.
    pub(crate) fn announce(&mut self, id: DbId, text: &str, tier: &str, state: DatabaseState) {
        let announcement =
            Announcement { id, name: name(text), tier: tier.to_owned(), class_hours: 24, state };
        self.append(vec![Record::Announce(announcement)], Vec::new());
    }

    /// A new life of a database: another file under its name.
    pub(crate) fn replace(&mut self, index: usize, page_size: u32) {
        let tracked = &mut self.databases[index];
        let path = tracked.source.path.with_extension("second");
        tracked.source = Source::create(&path, page_size, "UTF-8", 77);
        tracked.incarnation = Incarnation::from_bytes([index as u8 + 101; 16]);
        tracked.shipped = None;
    }

    /// Ships what changed in all databases.
    pub(crate) fn flush(&mut self) -> Seq {
        let (mut records, mut sections) = (Vec::new(), Vec::new());
        for index in 0..self.databases.len() {
            let image = self.databases[index].source.image();
            if self.databases[index].shipped.as_ref() == Some(&image) {
                continue;
            }
            if self.databases[index].shipped.is_none() {
                records.push(self.base_record(index, &image, self.next.previous()));
            }
            sections.push(self.section(index, &image));
            self.databases[index].shipped = Some(image);
        }
        self.append(records, sections)
    }

    /// Ships a heartbeat with a new base of a database.
    pub(crate) fn rebase(&mut self, index: usize) -> Seq {
        let image = self.databases[index].shipped.clone().unwrap();
        let record = self.base_record(index, &image, self.next.previous());
        self.append(vec![record], Vec::new())
    }

    /// Ships the catalogue.
    pub(crate) fn publish_catalogue(&mut self) -> Seq {
        self.append(vec![Record::Catalogue(self.catalogue.clone())], Vec::new())
    }

    fn section(&mut self, index: usize, image: &Image) -> Section {
        let tracked = &self.databases[index];
        let changes = match &tracked.shipped {
            Some(former) => image.changes_since(former),
            None => Vec::new(),
        };
        let pre = tracked.shipped.as_ref().map_or_else(|| image.checksum(), Image::checksum);
        let is_new = tracked.shipped.is_none();
        let mut entry = self.entry(index, image, pre, is_new);
        let body = if changes.len() > self.part_pages {
            entry.page_count = changes.len() as u32;
            entry.side = self.side_parts(&entry, &changes);
            None
        } else {
            Some(encode_pages(image, &changes))
        };
        let tracked = &mut self.databases[index];
        (tracked.txid, tracked.last) = (entry.last_txid, Some(self.next));
        (entry, body)
    }

    fn entry(
        &self,
        index: usize,
        image: &Image,
        pre: Checksum,
        new_incarnation: bool,
    ) -> SectionEntry {
        let tracked = &self.databases[index];
        SectionEntry {
            db: tracked.id,
            incarnation: tracked.incarnation,
            class_hours: 24,
            page_size: image.page_size,
            pages_after: image.pages.len() as u32,
            page_count: 0,
            first_txid: tracked.txid.next(),
            last_txid: tracked.txid.next(),
            pre,
            post: image.checksum(),
            oldest_commit: self.stamp(),
            previous_seq: tracked.last,
            is_diff: false,
            new_incarnation,
            body: None,
            side: Vec::new(),
        }
    }

    fn side_parts(&mut self, entry: &SectionEntry, changes: &[(PageNo, Vec<u8>)]) -> Vec<Part> {
        let chunks: Vec<_> = changes.chunks(self.part_pages).map(<[_]>::to_vec).collect();
        self.objects += 1;
        let n = self.objects;
        let put = |(part, pages): (usize, &Vec<(PageNo, Vec<u8>)>)| {
            let object = ObjectName::side(Epoch::FIRST, self.writer(), n, part as u32);
            self.put_part(object, SegmentKind::Side, entry, pages)
        };
        chunks.iter().enumerate().map(put).collect()
    }

    fn base_record(&mut self, index: usize, image: &Image, at: Option<Seq>) -> Record {
        let lock = image.page_size.lock_page();
        let pages: Vec<(PageNo, Vec<u8>)> = image
            .numbered()
            .filter(|(page, _)| *page != lock)
            .map(|(page, content)| (page, content.to_vec()))
            .collect();
        let entry = self.entry(index, image, Checksum::EMPTY, false);
        let mut parts = Vec::new();
        for chunk in pages.chunks(self.part_pages) {
            self.objects += 1;
            let tracked = &self.databases[index];
            let object = ObjectName::base(
                &tracked.name,
                tracked.incarnation,
                Epoch::FIRST,
                self.writer(),
                self.objects,
            );
            parts.push(self.put_part(object, SegmentKind::Base, &entry, chunk));
        }
        Record::Base(BaseRecord {
            db: self.databases[index].id,
            incarnation: self.databases[index].incarnation,
            at,
            checksum: image.checksum(),
            page_size: image.page_size,
            pages: image.pages.len() as u32,
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts,
        })
    }

    fn put_part(
        &self,
        name: ObjectName,
        kind: SegmentKind,
        entry: &SectionEntry,
        pages: &[(PageNo, Vec<u8>)],
    ) -> Part {
        let body =
            encode_body(entry.page_size, pages.iter().map(|(page, content)| (*page, &content[..])));
        let entry =
            SectionEntry { side: Vec::new(), page_count: 0, previous_seq: None, ..entry.clone() };
        let header = Header { kind, seq: None, previous: SegmentHash::ZERO, ..self.header() };
        let draft = Draft { header, records: Vec::new(), sections: vec![(entry, Some(body))] };
        let encoded = encode(&draft);
        encoded.check().unwrap();
        self.store.put_if_absent(&name, &encoded.bytes).unwrap();
        Part { name, bytes: encoded.bytes.len() as u64, sha256: encoded.sha256() }
    }

    fn stamp(&self) -> Millis {
        Millis::new(BEGAN + self.next.get() * PERIOD)
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            kind: SegmentKind::Log,
            fleet: self.fleet.id,
            node: self.node(),
            writer: self.writer(),
            epoch: Epoch::FIRST,
            seq: Some(self.next),
            previous: self.previous,
            stamp: self.stamp(),
            store_offset_ms: 0,
            flush_period_ms: PERIOD as u32,
            next_flush_in_ms: PERIOD as u32,
            catalogue: self.catalogue_seq,
            consistent: true,
            positions_wanted: false,
        }
    }

    /// Appends one log object.
    pub(crate) fn append(&mut self, records: Vec<Record>, sections: Vec<Section>) -> Seq {
        if records.iter().any(|record| matches!(record, Record::Catalogue(_))) {
            self.catalogue_seq = Some(self.next);
        }
        let encoded = encode(&Draft { header: self.header(), records, sections });
        let table = encoded.check().unwrap();
        self.put_log(&encoded.bytes, encoded.hash);
        self.catalogue.absorb(&table).unwrap();
        self.last()
    }

    /// Puts bytes into the next slot, whatever they are.
    pub(crate) fn put_log(&mut self, bytes: &[u8], hash: SegmentHash) {
        self.store.put_if_absent(&ObjectName::log(self.next), bytes).unwrap();
        self.previous = hash;
        self.next = self.next.next();
    }

    /// All objects of the store but `fleet.json`.
    pub(crate) fn objects(&self) -> Vec<ObjectName> {
        let listing = self.store.list("", None, 100_000).unwrap().value;
        let names = listing.entries.into_iter().map(|listed| listed.name);
        names.filter(|name| *name != ObjectName::fleet_json()).collect()
    }

    /// Where an object lies on disk.
    pub(crate) fn object_path(&self, name: &ObjectName) -> PathBuf {
        self.store_path().join(name.as_str())
    }
}

/// A body with these pages.
pub(crate) fn encode_pages(image: &Image, pages: &[(PageNo, Vec<u8>)]) -> EncodedBody {
    encode_body(image.page_size, pages.iter().map(|(page, content)| (*page, &content[..])))
}

/// A validated name.
pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}
