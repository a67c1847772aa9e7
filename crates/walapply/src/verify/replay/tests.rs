use super::*;
use segment::{DbId, Millis, PageSize, Txid};

const LIFE: Incarnation = Incarnation::from_bytes([1; 16]);

fn size() -> PageSize {
    PageSize::new(512).unwrap()
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap()
}

fn pages(hashes: &[(u32, u64)]) -> Hashed {
    hashes.iter().map(|&(page, hash)| (PageNo::new(page).unwrap(), hash)).collect()
}

fn checksum(hashes: &[u64]) -> Checksum {
    hashes.iter().fold(Checksum::EMPTY, |sum, hash| sum ^ *hash)
}

fn base(at: Option<Seq>, hashes: &[u64]) -> BaseRecord {
    BaseRecord {
        db: DbId::from_bytes([1; 8]),
        incarnation: LIFE,
        at,
        checksum: checksum(hashes),
        page_size: size(),
        pages: hashes.len() as u32,
        bytes: 0,
        parts: Vec::new(),
    }
}

fn section(previous: Option<Seq>, pages_after: u32, pre: &[u64], post: &[u64]) -> SectionEntry {
    SectionEntry {
        db: DbId::from_bytes([1; 8]),
        incarnation: LIFE,
        class_hours: 24,
        page_size: size(),
        pages_after,
        page_count: 0,
        first_txid: Txid::new(1),
        last_txid: Txid::new(1),
        pre: checksum(pre),
        post: checksum(post),
        oldest_commit: Millis::new(0),
        previous_seq: previous,
        is_diff: false,
        new_incarnation: previous.is_none(),
        body: None,
        side: Vec::new(),
    }
}

/// A database of three pages with the hashes 1, 2 and 4 that stands after seq 5.
fn replay() -> Replay {
    let mut replay = Replay::default();
    replay.base(&base(Some(seq(4)), &[1, 2, 4]), &pages(&[(1, 1), (2, 2), (3, 4)])).unwrap();
    let first = section(None, 3, &[1, 2, 4], &[1, 2, 4]);
    replay.section(seq(5), &first, &[]).unwrap();
    replay
}

fn take(
    replay: &mut Replay,
    at: u64,
    section: SectionEntry,
    hashes: &[(u32, u64)],
) -> Result<(), String> {
    let section = SectionEntry { page_count: hashes.len() as u32, ..section };
    replay.section(seq(at), &counted(replay, section), &pages(hashes))
}

/// With the number of the commit that is next.
fn counted(replay: &Replay, section: SectionEntry) -> SectionEntry {
    let next = replay.txid.map_or(Txid::new(1), |(_, last)| last.next());
    SectionEntry { first_txid: next, last_txid: next, ..section }
}

#[test]
fn a_commit_that_is_left_out_and_a_life_without_its_base_are_seen() {
    let mut replay = replay();
    let next = section(Some(seq(5)), 3, &[1, 2, 4], &[1, 2, 4]);
    let skipping =
        SectionEntry { first_txid: Txid::new(3), last_txid: Txid::new(3), ..next.clone() };
    assert!(replay.section(seq(6), &skipping, &[]).unwrap_err().contains("counts from commit 3"));
    let mut replay = self::replay();
    let born = SectionEntry { new_incarnation: true, ..next };
    let told = take(&mut replay, 6, born, &[]).unwrap_err();
    assert!(told.contains("without a base"), "{told}");
}

#[test]
fn pages_that_change_come_and_go_are_followed() {
    let mut replay = replay();
    let grown = section(Some(seq(5)), 5, &[1, 2, 4], &[1, 7, 4, 8, 9]);
    take(&mut replay, 6, grown, &[(2, 7), (4, 8), (5, 9)]).unwrap();
    let shrunk = section(Some(seq(6)), 2, &[1, 7, 4, 8, 9], &[1, 7]);
    take(&mut replay, 9, shrunk, &[]).unwrap();
    assert_eq!((replay.proven_sections, replay.unproven_sections), (3, 0));
    assert_eq!(replay.pages(), Some(2));
}

#[test]
fn what_does_not_fit_is_said_and_leaves_the_state_in_doubt_until_a_base() {
    let grown = |previous| section(previous, 4, &[1, 2, 4], &[1, 2, 4, 8]);
    let other_life = Incarnation::from_bytes([2; 16]);
    type Wrong<'a> = (&'a str, SectionEntry, &'a [(u32, u64)]);
    let wrong: [Wrong<'_>; 7] = [
        ("before it", grown(Some(seq(3))), &[(4, 8)]),
        ("state before", section(Some(seq(5)), 3, &[1], &[1]), &[]),
        ("state after", grown(Some(seq(5))), &[(4, 9)]),
        ("images of 0", section(Some(seq(5)), 1 << 30, &[1, 2, 4], &[1, 2, 4]), &[]),
        ("after page", grown(Some(seq(5))), &[(4, 8), (4, 8)]),
        (
            "another life",
            SectionEntry { incarnation: other_life, ..grown(Some(seq(5))) },
            &[(4, 8)],
        ),
        ("images of 2", section(Some(seq(5)), 4, &[1, 2, 4], &[1]), &[(4, 1), (5, 2)]),
    ];
    for (what, section, hashes) in wrong {
        let mut replay = replay();
        let error = take(&mut replay, 6, section, hashes).unwrap_err();
        assert!(error.contains(what), "{what}: {error}");
        assert_eq!(replay.pages(), None);
        take(&mut replay, 7, grown(Some(seq(6))), &[(4, 8)]).unwrap();
        assert_eq!(replay.unproven_sections, 2);
        replay.base(&base(Some(seq(7)), &[3]), &pages(&[(1, 3)])).unwrap();
        assert_eq!(replay.pages(), Some(1));
    }
}

#[test]
fn fewer_pages_than_the_entry_says_are_seen() {
    let mut replay = replay();
    let entry = section(Some(seq(5)), 3, &[1, 2, 4], &[1, 2, 4]);
    let entry = SectionEntry { page_count: 2, ..counted(&replay, entry) };
    assert!(replay.section(seq(6), &entry, &pages(&[(1, 1)])).unwrap_err().contains("1 pages"));
}

#[test]
fn a_life_needs_a_base() {
    let mut replay = Replay::default();
    let first = section(None, 3, &[1], &[1]);
    assert!(replay.section(seq(5), &first, &[]).unwrap_err().contains("without a base"));
}

#[test]
fn a_base_must_be_whole_and_of_the_state_it_names() {
    let mut replay = replay();
    let three = base(Some(seq(5)), &[1, 2, 4]);
    for (what, hashes) in [
        ("page 3 where page 2", &[(1, 1), (3, 4)][..]),
        ("page 3 and what follows", &[(1, 1), (2, 2)]),
        ("have checksum", &[(1, 1), (2, 2), (3, 5)]),
    ] {
        let error = replay.base(&three, &pages(hashes)).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let other = base(Some(seq(5)), &[1, 2, 5]);
    let error = replay.base(&other, &pages(&[(1, 1), (2, 2), (3, 5)])).unwrap_err();
    assert!(error.contains("after log object 5"), "{error}");
    replay.base(&three, &pages(&[(1, 1), (2, 2), (3, 4)])).unwrap();
    assert_eq!(replay.proven_bases, 2);
}

#[test]
fn a_base_that_later_changes_have_overtaken_does_not_set_the_state_back() {
    let mut replay = replay();
    let changed = section(Some(seq(5)), 3, &[1, 2, 4], &[1, 2, 6]);
    take(&mut replay, 6, changed, &[(3, 6)]).unwrap();
    let late = base(Some(seq(5)), &[1, 2, 4]);
    replay.base(&late, &pages(&[(1, 1), (2, 2), (3, 4)])).unwrap();
    let next = section(Some(seq(6)), 3, &[1, 2, 6], &[1, 2, 8]);
    take(&mut replay, 7, next, &[(3, 8)]).unwrap();
    assert_eq!(replay.unproven_sections, 0);
}

#[test]
fn the_lock_page_is_in_no_base_and_no_growth() {
    let size = PageSize::new(65_536).unwrap();
    let lock = size.lock_page().get();
    let count = lock + 2;
    let all: Vec<(u32, u64)> =
        (1..=count).filter(|page| *page != lock).map(|page| (page, u64::from(page))).collect();
    let sum = all.iter().fold(Checksum::EMPTY, |sum, (_, hash)| sum ^ *hash);
    let record =
        BaseRecord { page_size: size, pages: count, checksum: sum, ..base(Some(seq(4)), &[]) };
    assert!(hashes_of(&record, &pages(&all)).is_ok());

    let mut hashes = PageHashes::new(size);
    hashes.resize(lock - 1);
    let entry = SectionEntry { page_size: size, ..section(None, lock + 1, &[], &[]) };
    assert!(apply(&mut hashes, &entry, &pages(&[(lock + 1, 5)])).is_ok());
}
