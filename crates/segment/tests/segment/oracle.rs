//! What must hold for any bytes whatever: shared by the fuzz targets and the tests that replay their corpus.

use bytes::Bytes;
use segment::*;

/// Where the header says how long the table is, and where the table begins.
const TABLE_LENGTH_AT: usize = 12;

/// Nothing panics; what is accepted keeps every rule and survives being written again.
pub(crate) fn segment_decode(bytes: &[u8]) {
    judge(bytes);
    if let Some(sealed) = sealed_again(bytes) {
        judge(&sealed);
    }
}

/// The same bytes with a seal that fits, so that a mutation reaches what lies behind it.
fn sealed_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = bytes.get(TABLE_LENGTH_AT..TABLE_LENGTH_AT + 4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let end = HEADER_BYTES.checked_add(length)?;
    let mut sealed = bytes.to_vec();
    let seal = *ContentHash::of(bytes.get(..end)?).as_bytes();
    sealed.get_mut(end..end + 32)?.copy_from_slice(&seal);
    Some(sealed)
}

fn judge(bytes: &[u8]) {
    let table = decode_table(bytes);
    let segment = Segment::decode(Bytes::copy_from_slice(bytes));
    if let Ok(table) = &table {
        assert_eq!(table_end(bytes), Ok(table.body_offset));
        assert_eq!(decode_table(&bytes[..table.body_offset as usize]).as_ref(), Ok(table));
        let _ = Catalogue::default().absorb(table);
        judge_bodies(table, bytes);
    }
    if let Ok(segment) = segment {
        assert_eq!(Ok(segment.table()), table.as_ref());
        assert_eq!(segment.table().object_bytes(), bytes.len() as u64);
        judge_rewritten(&segment);
    }
}

/// Bodies are looked at whether or not their hash fits.
fn judge_bodies(table: &Table, bytes: &[u8]) {
    for section in &table.sections {
        let range =
            section.body.as_ref().map(|body| body.range.start as usize..body.range.end as usize);
        let Some(body) = range.and_then(|range| bytes.get(range)) else { continue };
        let shape = section.shape();
        let entries = page_table(shape, body.len() as u64, body);
        match decode_body(shape, body) {
            Ok(pages) => {
                judge_entries(body, &entries.unwrap(), pages.clone());
                judge_pages(section, pages);
            }
            Err(error) => assert_eq!(entries, Err(error)),
        }
    }
}

/// Each page read by its entry alone is the page that comes in order.
fn judge_entries(body: &[u8], entries: &[PageEntry], pages: Pages<'_>) {
    for (entry, page) in entries.iter().zip(pages) {
        let stored = &body[entry.range.start as usize..entry.range.end as usize];
        let decoded = entry.decode(stored).map(|page| (entry.pgno, page));
        assert_eq!(decoded, page);
        if let Ok((pgno, page)) = page {
            assert_eq!(page_hash(pgno, &page), entry.hash);
        }
    }
}

fn judge_pages(section: &SectionEntry, mut pages: Pages<'_>) {
    assert_eq!(pages.remaining(), section.page_count as usize);
    let (mut last, mut buffer) = (0, Vec::new());
    let mut owned = pages.clone();
    while let Ok(Some((pgno, page))) = pages.next_into(&mut buffer) {
        assert!(pgno.get() > last && pgno.get() <= section.pages_after);
        assert_ne!(pgno, section.page_size.lock_page());
        assert_eq!(page.len(), section.page_size.bytes());
        let (same_pgno, same_page) = owned.next().unwrap().unwrap();
        assert_eq!((same_pgno, &*same_page), (pgno, page));
        last = pgno.get();
    }
}

/// What was decoded, encoded again, decodes to the same.
fn judge_rewritten(segment: &Segment) {
    let Table { header, records, sections, .. } = segment.table().clone();
    let with_body = |section: SectionEntry| {
        let body = section.body.clone().map(|body| EncodedBody {
            bytes: segment.bytes()[body.range.start as usize..body.range.end as usize].to_vec(),
            sha256: body.sha256,
            page_count: section.page_count,
        });
        (section, body)
    };
    let draft = Draft { header, records, sections: sections.into_iter().map(with_body).collect() };
    // Records may have been spelled in fewer bytes than we write, so the copy can exceed the limits.
    match encode(&draft).check() {
        Ok(copy) => assert_same(&copy, segment.table()),
        Err(error) => assert!(matches!(error, SegmentError::TooLarge { .. }), "{error}"),
    }
}

fn assert_same(copy: &Table, table: &Table) {
    assert_eq!(copy.header, table.header);
    assert_eq!(copy.records, table.records);
    assert_eq!(copy.sections.len(), table.sections.len());
    for (copy, section) in copy.sections.iter().zip(&table.sections) {
        let body = |entry: &SectionEntry| {
            entry.body.as_ref().map(|body| (body.range.end - body.range.start, body.sha256))
        };
        assert_eq!(body(copy), body(section));
        assert_eq!((copy.db, copy.post, &copy.side), (section.db, section.post, &section.side));
    }
}

/// A name that is accepted has one spelling and leads nowhere else.
pub(crate) fn object_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = Name::parse(&text) {
        assert_eq!(name.as_str(), text);
        assert_plain(name.as_str());
        assert_eq!(ObjectName::pin(&name).kind(), ObjectKind::Pin(name));
    }
    if let Ok(name) = ObjectName::parse(&text) {
        assert_eq!(name.as_str(), text);
        assert_eq!(ObjectName::from(name.kind()), name);
        assert!(name.as_str().len() < 400);
        name.as_str().split('/').for_each(assert_plain);
        if let Some(seq) = name.log_seq() {
            assert_eq!(ObjectName::log(seq), name);
        }
    }
}

fn assert_plain(part: &str) {
    assert!(!part.is_empty() && !part.starts_with('.') && !part.contains(".."));
    assert!(part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)));
}
