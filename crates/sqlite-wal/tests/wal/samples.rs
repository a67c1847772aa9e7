//! WAL files that tests and fuzzing share.

use sqlite_wal::{ByteOrder, Salts, WalBuilder};

const SALTS: Salts = Salts(*b"saltSALT");

fn page(byte: u8) -> Vec<u8> {
    (0..512_u32).map(|at| byte.wrapping_add((at / 16) as u8)).collect()
}

fn with_frames(order: ByteOrder, frames: &[(u32, u32)]) -> Vec<u8> {
    let mut wal = WalBuilder::new(512, order, SALTS);
    for (index, (page_no, commit_size)) in frames.iter().enumerate() {
        wal.frame(*page_no, *commit_size, &page(index as u8));
    }
    wal.bytes().to_vec()
}

/// Every sample with its name.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let mut samples = vec![("empty".to_owned(), vec![])];
    for (order, text) in [(ByteOrder::Little, "little"), (ByteOrder::Big, "big")] {
        let committed = with_frames(order, &[(1, 0), (2, 2), (3, 3), (2, 0), (2, 2)]);
        let open = with_frames(order, &[(1, 1), (2, 0), (3, 0)]);
        let mut older = with_frames(order, &[(1, 1), (2, 2)]);
        older[32 + 536 + 8] ^= 1;
        samples.push((format!("{text}-header-only"), with_frames(order, &[])));
        samples.push((format!("{text}-torn"), committed[..committed.len() - 100].to_vec()));
        samples.push((format!("{text}-committed"), committed));
        samples.push((format!("{text}-open"), open));
        samples.push((format!("{text}-older-generation"), older));
    }
    samples
}
