use proptest::prelude::*;

use super::*;

fn page_no(number: u32) -> PageNo {
    PageNo::new(number).unwrap()
}

fn size(bytes: u32) -> PageSize {
    PageSize::new(bytes).unwrap()
}

#[test]
fn hashes_are_these_for_ever() {
    let page: Vec<u8> = (0..512_u32).map(|at| (at * 7 % 251) as u8).collect();
    assert_eq!(page_hash(page_no(1), &page), xxh3_64_with_seed(&masked(&page), 1));
    assert_eq!(page_hash(page_no(2), &page), xxh3_64_with_seed(&page, 2));
    assert_eq!(format!("{}", Checksum::new(page_hash(page_no(2), &page))), "c17be303cf24b73b");
    assert_eq!(format!("{}", Checksum::new(page_hash(page_no(1), &page))), "a06d8d7cb18c0ce5");
}

fn masked(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    for range in [18..20, 24..32, 92..100] {
        page[range].fill(0);
    }
    page
}

#[test]
fn masked_bytes_of_page_one_do_not_count_and_all_others_do() {
    let page = vec![9; 1024];
    let whole = page_hash(page_no(1), &page);
    for at in 0..page.len() {
        let mut changed = page.clone();
        changed[at] ^= 1;
        let is_masked = matches!(at, 18..=19 | 24..=31 | 92..=99);
        assert_eq!(page_hash(page_no(1), &changed) == whole, is_masked, "byte {at}");
    }
}

#[test]
fn the_lock_page_counts_nothing_at_every_page_size() {
    for shift in 9..=16 {
        let page_size = size(1 << shift);
        let page = vec![1; page_size.bytes()];
        let lock = page_size.lock_page();
        assert_eq!(page_hash(lock, &page), 0);
        assert_ne!(page_hash(page_no(lock.get() - 1), &page), 0);
        assert_ne!(page_hash(page_no(lock.get() + 1), &page), 0);
    }
}

#[test]
fn pages_that_trade_places_are_seen() {
    let (one, two) = (vec![1; 512], vec![2; 512]);
    let straight = page_hash(page_no(2), &one) ^ page_hash(page_no(3), &two);
    let swapped = page_hash(page_no(2), &two) ^ page_hash(page_no(3), &one);
    assert_ne!(straight, swapped);
}

#[test]
fn a_lock_page_in_the_table_stays_zero() {
    let mut hashes = PageHashes::new(size(65_536));
    let lock = hashes.page_size().lock_page();
    hashes.set(lock, 77);
    assert_eq!((hashes.get(lock), hashes.checksum()), (Some(0), Checksum::EMPTY));
    assert_eq!(hashes.page_count(), lock.get());
    assert_eq!(hashes.get(page_no(lock.get() + 1)), None);
}

proptest! {
    #[test]
    fn the_running_checksum_is_the_xor_of_the_table(steps in prop::collection::vec((0_u32..40, any::<u64>(), any::<bool>()), 0..80)) {
        let mut hashes = PageHashes::new(size(4096));
        for (number, hash, resize) in steps {
            match PageNo::new(number) {
                Some(pgno) if !resize => hashes.set(pgno, hash),
                _ => hashes.resize(number),
            }
            let expected = hashes.iter().fold(Checksum::EMPTY, |sum, (_, hash)| sum ^ hash);
            prop_assert_eq!(hashes.checksum(), expected);
            prop_assert_eq!(hashes.iter().count(), hashes.page_count() as usize);
        }
    }

    #[test]
    fn text_and_back(value: u64) {
        let checksum = Checksum::new(value);
        prop_assert_eq!(checksum.to_string().parse::<Checksum>().unwrap(), checksum);
        prop_assert_eq!(checksum.to_string(), format!("{value:016x}"));
    }
}
