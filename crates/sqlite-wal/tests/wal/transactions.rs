//! A WAL is read back as exactly its committed transactions.

use proptest::prelude::*;
use sqlite_wal::*;

use crate::{oracle, samples};

/// A transaction to write: its pages, its size, and whether it commits.
#[derive(Clone, Debug)]
struct Plan {
    pages: Vec<(u32, u8)>,
    pages_after: u32,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (prop::collection::vec((1..=u32::MAX, any::<u8>()), 1..5), 1..=u32::MAX)
        .prop_map(|(pages, pages_after)| Plan { pages, pages_after });
    prop::collection::vec(plan, 0..8)
}

fn orders() -> impl Strategy<Value = ByteOrder> {
    prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)]
}

fn page(page_size: u32, byte: u8) -> Vec<u8> {
    (0..page_size).map(|at| byte.wrapping_mul(31).wrapping_add(at as u8)).collect()
}

fn write(wal: &mut WalBuilder, plan: &Plan, commits: bool) {
    let page_size = wal.header().page_size;
    for (index, (page_no, byte)) in plan.pages.iter().enumerate() {
        let is_last = index + 1 == plan.pages.len();
        let commit_size = if is_last && commits { plan.pages_after } else { 0 };
        wal.frame(*page_no, commit_size, &page(page_size, *byte));
    }
}

/// The pages of a transaction in the order of its frames, and its size.
type Content = (Vec<(u32, Vec<u8>)>, u32);

fn read(bytes: &[u8]) -> Vec<Content> {
    let content = |transaction: Transaction| {
        let pages = transaction
            .pages
            .into_iter()
            .map(|page| (page.page_no, bytes[page.range].to_vec()))
            .collect();
        (pages, transaction.pages_after)
    };
    transactions(bytes).unwrap().into_iter().map(content).collect()
}

fn expected(page_size: u32, plans: &[Plan]) -> Vec<Content> {
    let content = |plan: &Plan| {
        let pages =
            plan.pages.iter().map(|(page_no, byte)| (*page_no, page(page_size, *byte))).collect();
        (pages, plan.pages_after)
    };
    plans.iter().map(content).collect()
}

proptest! {
    #[test]
    fn a_wal_built_frame_by_frame_is_read_as_its_committed_transactions(
        plans in plans(), open in plans(), order in orders(), shift in 9_u32..=12, salts: [u8; 8]
    ) {
        let mut wal = WalBuilder::new(1 << shift, order, Salts(salts));
        plans.iter().for_each(|plan| write(&mut wal, plan, true));
        open.iter().for_each(|plan| write(&mut wal, plan, false));
        prop_assert_eq!(read(wal.bytes()), expected(1 << shift, &plans));
        oracle::wal_read(wal.bytes());
    }

    #[test]
    fn a_torn_tail_loses_only_the_transactions_it_tears(
        plans in plans(), order in orders(), cut in any::<prop::sample::Index>()
    ) {
        let mut wal = WalBuilder::new(512, order, Salts([7; 8]));
        let mut ends = Vec::new();
        for plan in &plans {
            write(&mut wal, plan, true);
            ends.push(wal.bytes().len());
        }
        let cut = 32 + cut.index(wal.bytes().len() - 31);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        prop_assert_eq!(read(&wal.bytes()[..cut]), expected(512, &plans[..whole]));
    }

    #[test]
    fn a_flipped_bit_ends_the_wal_before_its_transaction(
        plans in plans(), order in orders(), at in any::<prop::sample::Index>(), bit in 0_u8..8
    ) {
        let mut wal = WalBuilder::new(512, order, Salts([7; 8]));
        let mut ends = Vec::new();
        for plan in &plans {
            write(&mut wal, plan, true);
            ends.push(wal.bytes().len());
        }
        let mut bytes = wal.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if at < 32 {
            prop_assert!(transactions(&bytes).is_err());
        } else {
            let before = ends.iter().filter(|end| **end <= at).count();
            prop_assert_eq!(read(&bytes), expected(512, &plans[..before]));
        }
    }

    #[test]
    fn frames_left_over_from_an_older_generation_are_not_read(plans in plans(), older in plans(), order in orders()) {
        let mut old = WalBuilder::new(512, order, Salts(*b"older..."));
        older.iter().for_each(|plan| write(&mut old, plan, true));
        let mut wal = WalBuilder::new(512, order, Salts(*b"newer..."));
        plans.iter().for_each(|plan| write(&mut wal, plan, true));
        let mut bytes = wal.bytes().to_vec();
        bytes.extend(old.bytes().get(bytes.len()..).unwrap_or_default());
        prop_assert_eq!(read(&bytes), expected(512, &plans));
    }

    #[test]
    fn a_range_read_in_chunks_of_any_frames_is_the_same(plans in plans(), order in orders(), step in 1_usize..6) {
        prop_assume!(!plans.is_empty());
        let mut wal = WalBuilder::new(1024, order, Salts([1; 8]));
        plans.iter().for_each(|plan| write(&mut wal, plan, true));
        let header = *wal.header();
        let mut range = FrameRange::new(1024, order, header.salts, (0, header.chain)).unwrap();
        let mut pages = Vec::new();
        for chunk in wal.bytes()[32..].chunks(step * header.frame_bytes()) {
            range.feed(chunk, |frame| {
                assert_eq!(frame.page, &chunk[frame.page_offset..][..1024]);
                assert_eq!(frame.frame_no as usize, pages.len() + 1);
                pages.push((frame.page_no, frame.page.to_vec()));
            }).unwrap();
        }
        let expected: Vec<_> = expected(1024, &plans).into_iter().flat_map(|(pages, _)| pages).collect();
        prop_assert_eq!(&pages, &expected);
        let last = plans.last().unwrap().pages_after;
        prop_assert_eq!(range.end().unwrap(), End { frame: pages.len() as u32, chain: wal.chain(), commit_size: last });
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        oracle::wal_read(&bytes);
    }
}

fn range_of(wal: &WalBuilder) -> FrameRange {
    let header = wal.header();
    FrameRange::new(header.page_size, header.byte_order, header.salts, (0, header.chain)).unwrap()
}

#[test]
fn a_range_says_what_is_wrong_and_where() {
    let mut wal = WalBuilder::new(512, ByteOrder::Little, Salts([1; 8]));
    wal.frame(1, 0, &page(512, 1)).frame(2, 2, &page(512, 2));
    let good = wal.bytes()[32..].to_vec();
    let refusal = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let mut handed_out = 0;
        let error = range_of(&wal).feed(&bytes, |_| handed_out += 1).unwrap_err();
        (error, handed_out)
    };
    let found = Salts([1, 1, 1, 1, 1, 1, 1, 0]);
    assert_eq!(
        refusal(|bytes| bytes[536 + 15] = 0),
        (WalError::Salts { frame: 2, expected: Salts([1; 8]), found }, 1)
    );
    assert_eq!(refusal(|bytes| bytes[536 + 100] ^= 1), (WalError::Chain { frame: 2 }, 1));
    assert_eq!(refusal(|bytes| bytes[536 + 7] ^= 1), (WalError::Chain { frame: 2 }, 1));
    assert_eq!(refusal(|bytes| bytes[..4].fill(0)), (WalError::PageZero { frame: 1 }, 0));
    assert_eq!(
        refusal(|bytes| bytes.truncate(1000)),
        (WalError::PartialFrame { frame: 0, bytes: 1000 }, 0)
    );
}

#[test]
fn a_range_that_does_not_end_with_a_commit_has_no_end() {
    let mut wal = WalBuilder::new(512, ByteOrder::Big, Salts([1; 8]));
    assert_eq!(range_of(&wal).end(), Err(WalError::NotACommit { frame: 0 }));
    wal.frame(1, 1, &page(512, 1)).frame(2, 0, &page(512, 2));
    let mut range = range_of(&wal);
    range.feed(&wal.bytes()[32..], |_| {}).unwrap();
    assert_eq!(range.end(), Err(WalError::NotACommit { frame: 2 }));
}

#[test]
fn frame_numbers_do_not_wrap() {
    let mut wal = WalBuilder::new(512, ByteOrder::Big, Salts([1; 8]));
    wal.frame(1, 1, &page(512, 1));
    let header = wal.header();
    let mut range =
        FrameRange::new(512, ByteOrder::Big, header.salts, (u32::MAX, header.chain)).unwrap();
    assert_eq!(range.feed(&wal.bytes()[32..], |_| {}), Err(WalError::TooManyFrames));
    assert_eq!(
        FrameRange::new(513, ByteOrder::Big, header.salts, (0, header.chain)).unwrap_err(),
        WalError::PageSize { size: 513 }
    );
}

#[test]
fn samples_pass_the_second_reader() {
    for (_, bytes) in samples::all() {
        oracle::wal_read(&bytes);
    }
}

#[test]
fn a_wal_that_sqlite_wrote_is_read() {
    let bytes = include_bytes!("../../../../fuzz/corpus/wal_read/by-sqlite-3.40");
    let found = transactions(bytes).unwrap();
    let frames: Vec<_> = found.iter().map(|found| (found.last_frame, found.pages_after)).collect();
    assert_eq!(frames, [(2, 2), (3, 2), (4, 2), (5, 2)]);
    let last_row = &bytes[found[3].pages[0].range.clone()];
    assert_eq!(
        (found[3].pages[0].page_no, last_row[0], last_row[4]),
        (2, 13, 3),
        "a leaf with three cells"
    );
}
