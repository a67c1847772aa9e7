//! Images of real databases, read whole, in part, and by difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use parking_lot::Mutex;
use segment::{ObjectName, PageHashes, PageNo};
use store::{Fault, Faulty, LocalStore, Operation, Request};

use super::testing::Shop;
use super::*;
use crate::testing::Image;

/// A database with a base of some megabytes and a few changes since it.
fn shop() -> (Shop, Image) {
    let mut shop = Shop::open();
    shop.part_pages = 4_000;
    shop.create("orders", "p0", 4_096);
    for round in 0..40 {
        let sql = format!("INSERT INTO data(v, b) VALUES({round}, randomblob(60000))");
        shop.databases[0].source.connection.execute_batch(&sql).unwrap();
    }
    shop.flush();
    let former = shop.databases[0].shipped.clone().unwrap();
    for id in [3, 17, 30] {
        let sql = format!("UPDATE data SET b = randomblob(60000) WHERE id = {id}");
        shop.databases[0].source.connection.execute_batch(&sql).unwrap();
        shop.flush();
    }
    (shop, former)
}

fn open(shop: &Shop, store: &Arc<dyn Store>) -> PageSource {
    PageSource::open(store, &shop.catalogue, shop.databases[0].id, shop.last()).unwrap()
}

fn pages_of(image: &Image) -> BTreeMap<PageNo, Vec<u8>> {
    image.numbered().map(|(page, content)| (page, content.to_vec())).collect()
}

/// What a reader with these pages gets.
fn differing(
    source: &PageSource,
    known: &PageHashes,
) -> Result<BTreeMap<PageNo, Vec<u8>>, ApplyError> {
    let mut got = BTreeMap::new();
    source.read_differing::<ApplyError>(
        &|page, hash| known.get(page) == Some(hash),
        &mut |page, content| {
            assert!(got.insert(page, content.to_vec()).is_none(), "page {page} twice");
            Ok(())
        },
    )?;
    Ok(got)
}

#[test]
fn a_whole_image_is_every_page_once() {
    let (shop, _) = shop();
    let source = open(&shop, &shop.store);
    let mut got = BTreeMap::new();
    source
        .read::<ApplyError>(&|_| true, &mut |page, content| {
            assert!(got.insert(page, content.to_vec()).is_none(), "page {page} twice");
            Ok(())
        })
        .unwrap();
    assert_eq!(got, pages_of(shop.databases[0].shipped.as_ref().unwrap()));
}

#[test]
fn pages_that_are_not_wanted_are_not_handed_out() {
    let (shop, _) = shop();
    let mut seen = BTreeSet::new();
    let source = open(&shop, &shop.store);
    source
        .read::<ApplyError>(&|page| page.get() % 3 == 0, &mut |page, _| {
            assert!(seen.insert(page));
            Ok(())
        })
        .unwrap();
    assert_eq!(seen.len(), source.facts().pages as usize / 3);
    assert!(seen.iter().all(|page| page.get() % 3 == 0));
}

#[test]
fn only_the_base_and_the_changes_since_are_read() {
    let (mut shop, _) = shop();
    let base = shop.rebase(0);
    shop.databases[0].source.mutate();
    shop.flush();
    let source = open(&shop, &shop.store);
    let seqs: Vec<_> = source.layers().iter().map(|layer| layer.seq).collect();
    assert_eq!(seqs, [Some(base.next()), None]);
}

#[test]
fn a_reader_of_an_older_state_gets_the_pages_that_differ_by_ranges() {
    let (mut shop, former) = shop();
    shop.rebase(0);
    let newest = shop.databases[0].shipped.clone().unwrap();
    let reads = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&reads);
    let inner = LocalStore::open(&shop.store_path(), false).unwrap();
    let faulty = Faulty::new(inner, move |request: &Request<'_>| {
        log.lock().push((request.operation, request.name.to_owned()));
        Fault::Pass
    });
    let store: Arc<dyn Store> = Arc::new(faulty);
    let source = open(&shop, &store);
    reads.lock().clear();
    let got = differing(&source, &former.hashes()).unwrap();
    let expected: BTreeMap<_, _> = newest.changes_since(&former).into_iter().collect();
    assert!(expected.len() > 40 && expected.len() < newest.pages.len() / 4);
    assert_eq!(got, expected);
    let reads = reads.lock();
    assert!(reads.iter().all(|(operation, _)| *operation == Operation::GetRange), "{reads:?}");
    assert!(reads.len() < 12, "{reads:?}");
}

#[test]
fn a_reader_without_anything_gets_everything_and_one_with_everything_nothing() {
    let (shop, _) = shop();
    let newest = shop.databases[0].shipped.clone().unwrap();
    let source = open(&shop, &shop.store);
    let none = PageHashes::new(newest.page_size);
    assert_eq!(differing(&source, &none).unwrap(), pages_of(&newest));
    assert!(differing(&source, &newest.hashes()).unwrap().is_empty());
}

#[test]
fn a_page_that_is_damaged_where_no_sha_covers_it_is_not_handed_out() {
    let (mut shop, former) = shop();
    shop.rebase(0);
    let object =
        shop.catalogue.databases[&shop.databases[0].id].base.clone().unwrap().parts[0].name.clone();
    let path = shop.object_path(&object);
    let mut bytes = fs::read(&path).unwrap();
    let start = bytes.len() / 3;
    bytes[start..].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&path, bytes).unwrap();
    let source = open(&shop, &shop.store);
    let error = differing(&source, &former.hashes()).unwrap_err();
    assert!(
        matches!(&error, ApplyError::Corrupt { what, .. } if what == object.as_str()),
        "{error}"
    );
}

#[test]
fn what_does_not_exist_there_is_no_restore_point() {
    let (shop, _) = shop();
    let store = &shop.store;
    let unknown = DbId::from_bytes([99; 8]);
    let early = Seq::FIRST;
    for (db, at) in [(unknown, shop.last()), (shop.databases[0].id, early)] {
        let opened = PageSource::open(store, &shop.catalogue, db, at);
        assert!(matches!(opened, Err(ApplyError::NoSuchPoint(_))));
    }
    let log = ObjectName::log(shop.last());
    fs::remove_file(shop.object_path(&log)).unwrap();
    let opened = PageSource::open(store, &shop.catalogue, shop.databases[0].id, shop.last());
    assert!(matches!(opened, Err(ApplyError::Missing(object)) if object == log.as_str()));
}
