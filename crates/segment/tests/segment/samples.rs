//! Segments that tests, fixtures and fuzzing share: one of each kind, with everything that the format can say.

use segment::*;

pub(crate) const PAGE_SIZE: u32 = 512;

fn id<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first.wrapping_add(at as u8))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn seq(number: u64) -> Option<Seq> {
    Seq::new(number)
}

fn page_size() -> PageSize {
    PageSize::new(PAGE_SIZE).unwrap()
}

/// A page that compresses.
pub(crate) fn text_page(text: &str) -> Vec<u8> {
    text.bytes().cycle().take(PAGE_SIZE as usize).collect()
}

/// A page that does not compress.
pub(crate) fn noise_page() -> Vec<u8> {
    let mut state = 1_u64;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((state >> 56) as u8)
    };
    std::iter::from_fn(next).take(PAGE_SIZE as usize).collect()
}

pub(crate) fn body(pages: &[(u32, Vec<u8>)]) -> EncodedBody {
    let pages = pages.iter().map(|(number, page)| (PageNo::new(*number).unwrap(), &page[..]));
    encode_body(page_size(), pages)
}

fn header(kind: SegmentKind, number: u64) -> Header {
    let is_log = kind == SegmentKind::Log;
    Header {
        kind,
        fleet: FleetId::from_bytes(id(0x10)),
        node: name("anvil"),
        writer: WriterId::from_bytes(id(0x20)),
        epoch: Epoch::new(1).unwrap(),
        seq: if is_log { seq(number) } else { None },
        previous: if is_log && number > 1 {
            SegmentHash::from_bytes(id(0x30))
        } else {
            SegmentHash::ZERO
        },
        stamp: Millis::new(1_750_000_000_000),
        store_offset_ms: -25,
        flush_period_ms: 1000,
        next_flush_in_ms: 400,
        catalogue: if is_log && number > 1 { seq(number) } else { None },
        consistent: true,
        positions_wanted: false,
    }
}

fn section(db: u8) -> SectionEntry {
    SectionEntry {
        db: DbId::from_bytes(id(db)),
        incarnation: Incarnation::from_bytes(id(0x50)),
        class_hours: 168,
        page_size: page_size(),
        pages_after: 3,
        page_count: 0,
        first_txid: Txid::new(4),
        last_txid: Txid::new(5),
        pre: Checksum::new(0x0123_4567_89ab_cdef),
        post: Checksum::new(0xfedc_ba98_7654_3210),
        oldest_commit: Millis::new(1_749_999_999_500),
        previous_seq: seq(3),
        is_diff: false,
        new_incarnation: false,
        body: None,
        side: vec![],
    }
}

/// The worked example of FORMAT.md: the second segment of a log.
pub(crate) fn example() -> Draft {
    let mut header = header(SegmentKind::Log, 2);
    header.catalogue = seq(1);
    let mut changed = section(0x40);
    changed.previous_seq = seq(1);
    let pages = body(&[(2, text_page("walship ")), (3, vec![0; PAGE_SIZE as usize])]);
    Draft {
        header,
        records: vec![Record::Renamed { db: changed.db, name: name("mail") }],
        sections: vec![(changed, Some(pages))],
    }
}

fn announce(db: u8, text: &str) -> Record {
    Record::Announce(Announcement {
        id: DbId::from_bytes(id(db)),
        name: name(text),
        tier: "p0-critical".into(),
        class_hours: 168,
        state: DatabaseState::Live,
    })
}

fn part(name: ObjectName, encoded: &Encoded) -> Part {
    Part { name, bytes: encoded.bytes.len() as u64, sha256: encoded.sha256() }
}

fn side_part() -> Part {
    let name = ObjectName::side(Epoch::FIRST, WriterId::from_bytes(id(0x20)), 9, 0);
    part(name, &encode(&side()))
}

pub(crate) fn base_record() -> BaseRecord {
    let incarnation = Incarnation::from_bytes(id(0x50));
    let object = ObjectName::base(
        &name("mail"),
        incarnation,
        Epoch::FIRST,
        WriterId::from_bytes(id(0x20)),
        2,
    );
    let part = part(object, &encode(&base()));
    BaseRecord {
        db: DbId::from_bytes(id(0x40)),
        incarnation,
        at: seq(6),
        checksum: base_checksum(),
        page_size: page_size(),
        pages: 3,
        bytes: part.bytes,
        parts: vec![part],
    }
}

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let tier = TierRecord {
        sync_interval_ms: 1000,
        retention_ms: 604_800_000,
        rpo_bound_ms: 45_000,
        standby: true,
    };
    catalogue.tiers.insert("p0-critical".into(), tier);
    for (db, text) in [(0x40, "mail"), (0x60, "Notes.v2"), (0x70, "idle"), (0x80, "old")] {
        let Record::Announce(announcement) = announce(db, text) else { unreachable!() };
        catalogue.databases.insert(announcement.id, CatalogueEntry::new(&announcement));
    }
    let mail = catalogue.databases.get_mut(&DbId::from_bytes(id(0x40))).unwrap();
    mail.incarnation = Some(Incarnation::from_bytes(id(0x50)));
    mail.page_size = Some(page_size());
    mail.pages = 3;
    mail.txid = Txid::new(3);
    mail.checksum = Checksum::new(u64::MAX);
    mail.changed = seq(3);
    mail.base = Some(base_record());
    catalogue
}

/// A log object with every record, and sections with inline pages, with side objects, and without pages.
pub(crate) fn log() -> Draft {
    let db = |first| DbId::from_bytes(id(first));
    let mut in_side = section(0x60);
    in_side.page_count = 2;
    in_side.is_diff = true;
    in_side.side = vec![side_part()];
    let mut without_pages = section(0x70);
    without_pages.new_incarnation = true;
    let mut header = header(SegmentKind::Log, 7);
    header.positions_wanted = true;
    header.epoch = Epoch::new(2).unwrap();
    Draft {
        header,
        records: vec![
            Record::Catalogue(catalogue()),
            Record::Fence {
                epoch: Epoch::new(2).unwrap(),
                node: name("anvil"),
                writer: WriterId::from_bytes(id(0x20)),
                kind: FenceKind::Promote,
            },
            announce(0x90, "new_one"),
            Record::Base(base_record()),
            Record::Retired { db: db(0x80) },
            Record::Renamed { db: db(0x70), name: name("sleepy") },
            Record::Handover {},
        ],
        sections: vec![
            (
                section(0x40),
                Some(body(&[(1, noise_page()), (2, text_page("abc")), (3, vec![0; 512])])),
            ),
            (in_side, None),
            (without_pages, None),
            (section(0x90), Some(body(&[(3, text_page("the last one "))]))),
        ],
    }
}

/// A segment without records and sections.
pub(crate) fn heartbeat() -> Draft {
    Draft { header: header(SegmentKind::Log, 8), records: vec![], sections: vec![] }
}

pub(crate) fn side() -> Draft {
    let mut entry = section(0x60);
    entry.previous_seq = None;
    entry.is_diff = true;
    let pages = body(&[(1, text_page("side ")), (3, noise_page())]);
    Draft {
        header: header(SegmentKind::Side, 0),
        records: vec![],
        sections: vec![(entry, Some(pages))],
    }
}

pub(crate) fn base_pages() -> Vec<(u32, Vec<u8>)> {
    vec![(1, noise_page()), (2, text_page("base ")), (3, vec![0; 512])]
}

pub(crate) fn base_checksum() -> Checksum {
    let hash = |(number, page): &(u32, Vec<u8>)| page_hash(PageNo::new(*number).unwrap(), page);
    base_pages().iter().map(hash).fold(Checksum::EMPTY, |sum, hash| sum ^ hash)
}

pub(crate) fn base() -> Draft {
    let mut entry = section(0x40);
    entry.previous_seq = None;
    entry.pre = Checksum::EMPTY;
    entry.post = base_checksum();
    let pages = body(&base_pages());
    Draft {
        header: header(SegmentKind::Base, 0),
        records: vec![],
        sections: vec![(entry, Some(pages))],
    }
}

/// Every sample, by the name of its fixture.
pub(crate) fn all() -> Vec<(&'static str, Draft)> {
    vec![
        ("example", example()),
        ("log", log()),
        ("heartbeat", heartbeat()),
        ("side", side()),
        ("base", base()),
    ]
}
