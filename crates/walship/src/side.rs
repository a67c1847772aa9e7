//! A change that is too large for the log object, on its way into side objects, part by part.
//!
//! At any moment one part stands encoded in memory, and the pages of the parts before it are gone: the largest change
//! needs its own size and a part more. A part that the store has not taken yet is given out again with the same bytes.

use std::collections::BTreeMap;

use segment::{ContentHash, Draft, ObjectName, PageNo, Part, SectionEntry, SegmentKind};

use crate::base::{Author, header};

/// Bytes of pages in one side object.
const PART_PAGE_BYTES: usize = 16 << 20;

/// A side object that is to be put before the log object.
#[derive(Debug)]
pub struct SideObject {
    /// Its name.
    pub name: ObjectName,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Side {
    section: SectionEntry,
    author: Author,
    number: u64,
    pages: BTreeMap<PageNo, Box<[u8]>>,
    waiting: Option<SideObject>,
    put: Vec<Part>,
}

impl Side {
    /// The pages of the change that `section` describes; `number` tells its objects from those of other changes.
    #[must_use]
    pub fn new(
        section: SectionEntry,
        pages: BTreeMap<PageNo, Box<[u8]>>,
        author: Author,
        number: u64,
    ) -> Self {
        Self { section, author, number, pages, waiting: None, put: Vec::new() }
    }

    /// The next object to put; `None` when the store has all of them.
    pub fn object(&mut self) -> Option<&SideObject> {
        if self.waiting.is_none() && !self.pages.is_empty() {
            let pages = self.take_pages();
            self.waiting = Some(self.encode(&pages));
        }
        self.waiting.as_ref()
    }

    /// The store has the object.
    pub fn is_put(&mut self) {
        if let Some(SideObject { name, bytes }) = self.waiting.take() {
            let sha256 = ContentHash::of(&bytes);
            self.put.push(Part { name, bytes: bytes.len() as u64, sha256 });
        }
    }

    /// The objects that the store has, for the section.
    #[must_use]
    pub fn into_parts(self) -> Vec<Part> {
        self.put
    }

    fn take_pages(&mut self) -> BTreeMap<PageNo, Box<[u8]>> {
        let count = (PART_PAGE_BYTES / self.section.page_size.bytes()).max(1);
        let later = self.pages.keys().nth(count).copied();
        let later = later.map_or_else(BTreeMap::new, |first| self.pages.split_off(&first));
        std::mem::replace(&mut self.pages, later)
    }

    fn encode(&self, pages: &BTreeMap<PageNo, Box<[u8]>>) -> SideObject {
        let pages = pages.iter().map(|(pgno, page)| (*pgno, &**page));
        let body = segment::encode_body(self.section.page_size, pages);
        let section = SectionEntry {
            page_count: body.page_count,
            previous_seq: None,
            ..self.section.clone()
        };
        let bytes = segment::encode(&Draft {
            header: header(&self.author, SegmentKind::Side),
            records: Vec::new(),
            sections: vec![(section, Some(body))],
        })
        .bytes;
        let index = u32::try_from(self.put.len()).expect("BUG: few parts");
        let Author { epoch, writer, .. } = self.author;
        SideObject { name: ObjectName::side(epoch, writer, self.number, index), bytes }
    }
}

#[cfg(test)]
mod tests {
    use segment::{
        Checksum, DbId, Epoch, FleetId, Incarnation, Millis, Name, PageSize, Segment, Txid,
        WriterId,
    };

    use super::*;

    fn side(pages: u32) -> Side {
        let page_size = PageSize::new(65_536).expect("legal");
        let section = SectionEntry {
            db: DbId::from_bytes([1; 8]),
            incarnation: Incarnation::from_bytes([2; 16]),
            class_hours: 72,
            page_size,
            pages_after: pages,
            page_count: pages,
            first_txid: Txid::new(1),
            last_txid: Txid::new(1),
            pre: Checksum::EMPTY,
            post: Checksum::EMPTY,
            oldest_commit: Millis::new(1),
            previous_seq: Some(segment::Seq::FIRST),
            is_diff: false,
            new_incarnation: false,
            body: None,
            side: Vec::new(),
        };
        let author = Author {
            fleet: FleetId::from_bytes([3; 16]),
            node: Name::parse("n").expect("a name"),
            writer: WriterId::from_bytes([4; 16]),
            epoch: Epoch::FIRST,
        };
        let page = |pgno: u32| vec![pgno.to_le_bytes()[0]; page_size.bytes()].into_boxed_slice();
        let pages = (1..=pages).map(|n| (PageNo::new(n).expect("not zero"), page(n))).collect();
        Side::new(section, pages, author, 7)
    }

    #[test]
    fn every_page_leaves_once_and_a_part_stays_the_same_until_it_is_put() {
        let mut side = side(600);
        let (mut seen, mut left) = (Vec::new(), 600);
        while let Some(SideObject { name, bytes }) = side.object() {
            let (name, bytes) = (name.clone(), bytes.clone());
            let again = side.object().expect("it is not put yet");
            assert_eq!((&again.name, &again.bytes), (&name, &bytes));
            assert!(side.pages.len() < left, "its pages are held twice");
            left = side.pages.len();
            side.is_put();
            let segment = Segment::decode(bytes.into()).expect("a side object");
            assert_eq!(segment.table().sections[0].previous_seq, None, "the log object names it");
            let (mut pages, mut buffer) = (segment.pages(0).expect("a body"), Vec::new());
            while let Some((pgno, page)) = pages.next_into(&mut buffer).expect("a page") {
                assert_eq!(page[0], pgno.get().to_le_bytes()[0]);
                seen.push(pgno.get());
            }
        }
        assert_eq!(seen, (1..=600).collect::<Vec<_>>());
        let parts = side.into_parts();
        assert_eq!(parts.len(), 3);
        assert!(parts.windows(2).all(|pair| pair[0].name != pair[1].name));
    }
}
