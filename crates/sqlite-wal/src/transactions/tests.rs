use super::*;
use crate::{ByteOrder, Salts, WalBuilder};

#[test]
fn no_file_and_a_new_file_have_no_transactions() {
    assert_eq!(transactions(&[]), Ok(vec![]));
    assert_eq!(
        transactions(WalBuilder::new(512, ByteOrder::Big, Salts([0; 8])).bytes()),
        Ok(vec![])
    );
    assert_eq!(transactions(&[0; 31]), Err(WalError::Truncated { found: 31 }));
    assert_eq!(transactions(&[0; 32]), Err(WalError::Magic { magic: 0 }));
}

#[test]
fn a_page_written_twice_is_listed_twice() {
    let mut wal = WalBuilder::new(512, ByteOrder::Little, Salts([9; 8]));
    wal.frame(2, 0, &[1; 512]).frame(2, 2, &[2; 512]).frame(1, 2, &[3; 512]);
    let found = transactions(wal.bytes()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].first_frame, found[0].last_frame, found[0].pages_after), (1, 2, 2));
    assert_eq!((found[1].first_frame, found[1].last_frame), (3, 3));
    assert_eq!(found[1].chain, wal.chain());
    let pages: Vec<_> = found[0]
        .pages
        .iter()
        .map(|page| (page.page_no, wal.bytes()[page.range.clone()][0]))
        .collect();
    assert_eq!(pages, [(2, 1), (2, 2)]);
}
