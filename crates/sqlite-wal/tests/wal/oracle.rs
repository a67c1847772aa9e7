//! What must hold for any bytes whatever: shared by the fuzz target and the tests that replay its corpus.

use sqlite_wal::{ByteOrder, FrameRange, Salts, Transaction, WalBuilder, WalHeader, transactions};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Nothing panics, and what is read as committed is what the documentation of the format says.
pub(crate) fn wal_read(bytes: &[u8]) {
    judge(bytes);
    if let Some(chained) = chained_again(bytes) {
        judge(&chained);
    }
}

/// The same frames with checksums that fit, so that a mutation reaches what lies behind them. A frame whose first byte
/// is above 240 stays as it is, and ends the file for every reader.
fn chained_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let header = bytes.get(..HEADER)?;
    let order = if header[3] & 1 == 1 { ByteOrder::Big } else { ByteOrder::Little };
    let page_size = 512_usize << (header[10] % 3);
    let salts = Salts(header[16..24].try_into().ok()?);
    let mut wal = WalBuilder::new(page_size as u32, order, salts);
    for frame in bytes[HEADER..].chunks(FRAME_HEADER + page_size) {
        if frame.len() < FRAME_HEADER + page_size || frame[0] > 240 {
            return Some([wal.bytes(), frame].concat());
        }
        let word = |at: usize| {
            u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        wal.frame(word(0), word(4), &frame[FRAME_HEADER..]);
    }
    Some(wal.bytes().to_vec())
}

fn judge(bytes: &[u8]) {
    let Ok(found) = transactions(bytes) else { return };
    assert_eq!(summary(&found), reference(bytes));
    let Some(header) = bytes.first_chunk().map(|header| WalHeader::parse(header).unwrap()) else {
        return;
    };
    assert_eq!(header.to_bytes(), bytes[..HEADER]);
    let mut start = (0, header.chain);
    for transaction in &found {
        judge_range(bytes, &header, start, transaction);
        start = (transaction.last_frame, transaction.chain);
    }
}

/// The transaction, read as a range of its own, is the same.
fn judge_range(
    bytes: &[u8],
    header: &WalHeader,
    start: (u32, sqlite_wal::Chain),
    transaction: &Transaction,
) {
    let mut range =
        FrameRange::new(header.page_size, header.byte_order, header.salts, start).unwrap();
    let (from, to) =
        (header.frame_offset(start.0 + 1), header.frame_offset(transaction.last_frame + 1));
    let mut pages = Vec::new();
    let chunk = &bytes[from as usize..to as usize];
    let fed =
        range.feed(chunk, |frame| pages.push((frame.page_no, from as usize + frame.page_offset)));
    fed.unwrap();
    let end = range.end().unwrap();
    assert_eq!(
        (end.frame, end.chain, end.commit_size),
        (transaction.last_frame, transaction.chain, transaction.pages_after)
    );
    let expected: Vec<_> =
        transaction.pages.iter().map(|page| (page.page_no, page.range.start)).collect();
    assert_eq!(pages, expected);
}

/// Last frame, size, and (page, offset) of each transaction.
type Summary = Vec<(u32, u32, Vec<(u32, usize)>)>;

fn summary(found: &[Transaction]) -> Summary {
    let pages = |transaction: &Transaction| {
        transaction.pages.iter().map(|page| (page.page_no, page.range.start)).collect()
    };
    found
        .iter()
        .map(|transaction| (transaction.last_frame, transaction.pages_after, pages(transaction)))
        .collect()
}

/// A second reader, as plain as can be: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.
fn reference(bytes: &[u8]) -> Summary {
    let mut found = Vec::new();
    if bytes.is_empty() {
        return found;
    }
    let be = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let big = be(0) & 1 == 1;
    let page_size = be(8) as usize;
    let mut sums = plain_sum(big, &bytes[..24], (0, 0));
    let (mut at, mut frame, mut pages) = (HEADER, 0, Vec::new());
    while at + FRAME_HEADER + page_size <= bytes.len() {
        let page = at + FRAME_HEADER;
        sums = plain_sum(big, &bytes[at..at + 8], sums);
        sums = plain_sum(big, &bytes[page..page + page_size], sums);
        if be(at) == 0
            || bytes[at + 8..at + 16] != bytes[16..24]
            || sums != (be(at + 16), be(at + 20))
        {
            break;
        }
        frame += 1;
        pages.push((be(at), page));
        if be(at + 4) != 0 {
            found.push((frame, be(at + 4), std::mem::take(&mut pages)));
        }
        at = page + page_size;
    }
    found
}

fn plain_sum(big: bool, data: &[u8], (mut s0, mut s1): (u32, u32)) -> (u32, u32) {
    for pair in data.chunks_exact(8) {
        let word = |at: usize| {
            let bytes = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
        };
        s0 = s0.wrapping_add(word(0)).wrapping_add(s1);
        s1 = s1.wrapping_add(word(4)).wrapping_add(s0);
    }
    (s0, s1)
}
