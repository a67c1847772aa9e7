//! Every object damaged in every way, and objects that were made to do harm.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use console::ExitCode;
use segment::{
    BaseRecord, DbId, Draft, EncodedBody, Header, LOG_PREFIX, PageNo, Record, SectionEntry,
    SegmentHash, encode, table_end,
};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::image::testing::{Shop, encode_pages, name};
use crate::restore::tests::{busy_shop, check_file, request, restore};
use crate::restore::{Outcome, Request, Which};
use crate::testing::Image;

fn verified(shop: &Shop) -> VerifyReport {
    verify(&shop.store, &shop.fleet, false).unwrap()
}

#[test]
fn a_sound_store_is_proven_to_the_last_change() {
    let (shop, states) = busy_shop(16);
    let report = verified(&shop);
    assert_eq!(report.damage, []);
    assert_eq!(report.to_seq, Some(shop.last()));
    assert_eq!(report.unreferenced, Unreferenced { objects: 0, bytes: 0 });
    assert!(report.side_objects > 0 && report.base_objects > 0);
    for (database, image) in report.databases.iter().zip([&states[15].1[1], &states[15].1[0]]) {
        assert_eq!(database.unproven_sections, 0);
        assert!(database.proven_sections > 10 && database.proven_bases > 1, "{database:?}");
        assert_eq!(database.pages, Some(image.pages.len() as u32));
    }
    assert!(report.text().contains("No damage"));
}

#[test]
fn what_nothing_names_is_told_and_harmless() {
    let (shop, _) = busy_shop(2);
    let base = shop.catalogue.databases.values().next().unwrap().base.clone().unwrap();
    let litter =
        ObjectName::side(segment::Epoch::FIRST, segment::WriterId::from_bytes([1; 16]), 900, 0);
    shop.store.put_if_absent(&litter, &[1, 2, 3]).unwrap();
    let report = verified(&shop);
    assert_eq!((report.damage.len(), report.unreferenced.objects), (0, 1), "{base:?}");
}

/// One way to damage the bytes of an object; `None` removes it.
type Harm = (&'static str, fn(&[u8]) -> Option<Vec<u8>>);

const HARMS: [Harm; 9] = [
    ("flip a bit of the version", |bytes| Some(flipped(bytes, 8))),
    ("flip the first bit", |bytes| Some(flipped(bytes, 0))),
    ("flip a bit of the header", |bytes| Some(flipped(bytes, 150.min(bytes.len() - 1)))),
    ("flip a bit in the middle", |bytes| Some(flipped(bytes, bytes.len() / 2))),
    ("flip the last bit", |bytes| Some(flipped(bytes, bytes.len() - 1))),
    ("cut in half", |bytes| Some(bytes[..bytes.len() / 2].to_vec())),
    ("cut the last byte", |bytes| Some(bytes[..bytes.len() - 1].to_vec())),
    ("add a byte", |bytes| Some([bytes, &[0]].concat())),
    ("delete", |_| None),
];

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

/// Whatever stands at the targets must be right; what failed must say why.
fn check_restore(shop: &Shop, truth: &[Image], blamed: &[&str], what: &str) {
    let output = shop.out("damaged");
    let wanted = Request { keep_going: true, output: output.clone(), ..request(shop, Which::All) };
    let mut errors = Vec::new();
    match restore(shop, &wanted) {
        Ok(report) => {
            let exit = report.exit_code();
            assert!([ExitCode::Fine, ExitCode::Corrupt].contains(&exit), "{what}: {exit:?}");
            for told in &report.databases {
                let path = output.join(format!("{}.db", told.name));
                assert_eq!(path.exists(), told.outcome == Outcome::Restored, "{what}");
                errors.extend(told.error.clone());
            }
        }
        Err(error) => {
            assert_eq!(error.exit_code(), ExitCode::Corrupt, "{what}: {error}");
            errors.push(error.to_string());
        }
    }
    for (file, image) in ["orders.db", "ledger.db"].iter().zip(truth) {
        let path = output.join(file);
        if path.exists() {
            check_file(&path, image);
        }
    }
    for error in &errors {
        assert!(blamed.iter().any(|object| error.contains(object)), "{what}: {error}");
    }
    if output.exists() {
        fs::remove_dir_all(output).unwrap();
    }
}

#[test]
fn every_harm_to_every_object_is_seen_and_never_restored() {
    let (shop, states) = busy_shop(4);
    let truth = &states.last().unwrap().1;
    let tail = ObjectName::log(shop.last());
    for object in shop.objects() {
        let path = shop.object_path(&object);
        let sound = fs::read(&path).unwrap();
        for (harm, change) in HARMS {
            let what = format!("{harm}: {object}");
            match change(&sound) {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                // The end of the log is where nothing follows.
                None if object == tail => continue,
                None => fs::remove_file(&path).unwrap(),
            }
            let found = verify(&shop.store, &shop.fleet, false).unwrap();
            let named = found.damage.iter().any(|damage| damage.object == object.as_str());
            assert!(named, "{what}: {:?}", found.damage);
            // What is sound is not called damaged because of it.
            let is_alone = found.damage.iter().all(|damage| damage.object == object.as_str());
            assert!(
                is_alone || object.as_str().starts_with(LOG_PREFIX),
                "{what}: {:?}",
                found.damage
            );
            check_restore(&shop, truth, &[object.as_str()], &what);
            fs::write(&path, &sound).unwrap();
        }
    }
    assert_eq!(verified(&shop).damage, []);
}

#[test]
fn objects_that_trade_places_are_seen_and_never_restored() {
    let (shop, states) = busy_shop(4);
    let truth = &states.last().unwrap().1;
    let objects = shop.objects();
    for pair in objects.windows(2) {
        let [left, right] = [&pair[0], &pair[1]].map(|name| shop.object_path(name));
        let what = format!("{} and {}", pair[0], pair[1]);
        swap(&left, &right);
        let found = verified(&shop).damage;
        let names = [pair[0].as_str(), pair[1].as_str()];
        for name in names {
            assert!(found.iter().any(|damage| damage.object == name), "{what}: {found:?}");
        }
        check_restore(&shop, truth, &names, &what);
        swap(&left, &right);
    }
    assert_eq!(verified(&shop).damage, []);
}

fn swap(left: &Path, right: &Path) {
    let (a, b) = (fs::read(left).unwrap(), fs::read(right).unwrap());
    fs::write(left, b).unwrap();
    fs::write(right, a).unwrap();
}

#[test]
fn damage_does_not_hide_what_comes_after_it() {
    let (shop, _) = busy_shop(10);
    let objects: Vec<ObjectName> =
        [3, 7, 9].map(|seq| ObjectName::log(Seq::new(seq).unwrap())).to_vec();
    for object in &objects {
        fs::write(shop.object_path(object), b"damaged").unwrap();
    }
    let found: Vec<String> =
        verified(&shop).damage.into_iter().map(|damage| damage.object).collect();
    for object in &objects {
        assert!(found.iter().any(|name| name == object.as_str()), "{found:?}");
    }
}

/// Changes the bytes of a sealed table and seals them again, as somebody who can write to the store could.
fn resealed(encoded: &[u8], from: &str, to: &str) -> (Vec<u8>, SegmentHash) {
    assert_eq!(from.len(), to.len());
    let end = table_end(encoded).unwrap() as usize - 32;
    let mut bytes = encoded.to_vec();
    let places: Vec<usize> = (0..end - from.len())
        .filter(|&at| &bytes[at..at + from.len()] == from.as_bytes())
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let hash: [u8; 32] = Sha256::digest(&bytes[..end]).into();
    bytes[end..end + 32].copy_from_slice(&hash);
    (bytes, SegmentHash::from_bytes(hash))
}

#[test]
fn a_name_cannot_lead_out_of_the_folder() {
    for evil in ["../../../x", "/tmp/evil.", "..\\..\\evil", "a/../../../", ".hidden.db"] {
        let (mut shop, _) = busy_shop(1);
        let harmless = "h".repeat(evil.len());
        let announcement = segment::Announcement {
            id: DbId::from_bytes([66; 8]),
            name: name(&harmless),
            tier: "p0".to_owned(),
            class_hours: 24,
            state: segment::DatabaseState::Empty,
        };
        let records = vec![Record::Announce(announcement)];
        let encoded = encode(&Draft { header: shop.header(), records, sections: Vec::new() });
        let json = serde_json::to_string(evil).unwrap();
        let harmless = format!("{:?}", "h".repeat(json.len() - 2));
        if json.len() == harmless.len() && evil.len() + 2 == json.len() {
            let (bytes, hash) = resealed(&encoded.bytes, &harmless, &json);
            shop.put_log(&bytes, hash);
            let object = ObjectName::log(shop.last()).to_string();
            let error = restore(&shop, &request(&shop, Which::All)).unwrap_err().to_string();
            assert!(error.contains(&object), "{error}");
            assert!(!shop.out("restored").exists());
            assert_eq!(verified(&shop).damage[0].object, object);
        }
    }
}

/// A section of the first database that changes nothing, for tests to spoil.
fn harmless_section(shop: &Shop, image: &Image) -> SectionEntry {
    let entry = &shop.catalogue.databases[&shop.databases[0].id];
    SectionEntry {
        db: entry.id,
        incarnation: entry.incarnation.unwrap(),
        class_hours: 24,
        page_size: image.page_size,
        pages_after: entry.pages,
        page_count: 0,
        first_txid: entry.txid.next(),
        last_txid: entry.txid.next(),
        pre: entry.checksum,
        post: entry.checksum,
        oldest_commit: shop.header().stamp,
        previous_seq: entry.changed,
        is_diff: false,
        new_incarnation: false,
        body: None,
        side: Vec::new(),
    }
}

/// What a hostile writer puts, and that neither verify nor restore falls for it.
fn check_hostile(
    what: &str,
    spoil: impl FnOnce(
        &Shop,
        &Image,
        SectionEntry,
    ) -> (Vec<Record>, Vec<(SectionEntry, Option<EncodedBody>)>),
) {
    let (mut shop, states) = busy_shop(3);
    let image = &states.last().unwrap().1[0];
    let section = harmless_section(&shop, image);
    let (records, sections) = spoil(&shop, image, section);
    let header: Header = shop.header();
    let encoded = encode(&Draft { header, records, sections });
    shop.put_log(&encoded.bytes, encoded.hash);
    let object = ObjectName::log(shop.last()).to_string();
    let found = verified(&shop).damage;
    assert!(!found.is_empty(), "{what}: not seen");
    let output = shop.out("hostile.db");
    let which = Which::Named(vec![name("orders")]);
    let wanted = Request { output: output.clone(), ..request(&shop, which) };
    let failed = match restore(&shop, &wanted) {
        Ok(report) => report.failed().count() == 1,
        Err(_) => true,
    };
    assert!(failed, "{what}: restored; {object}");
    assert!(!output.exists(), "{what}");
}

#[test]
fn hostile_segments_are_refused_without_harm() {
    let far = |image: &Image| vec![(PageNo::new(1 << 20).unwrap(), image.pages[0].clone())];
    check_hostile("a page beyond the database", |_, image, section| {
        (vec![], vec![(section, Some(encode_pages(image, &far(image))))])
    });
    check_hostile("a database that grows without pages", |_, _, section| {
        (vec![], vec![(SectionEntry { pages_after: u32::MAX, ..section }, None)])
    });
    check_hostile("a wrong checksum after", |_, _, section| {
        let post = section.post ^ 1;
        (vec![], vec![(SectionEntry { post, ..section }, None)])
    });
    check_hostile("a wrong checksum before", |_, _, section| {
        let pre = section.pre ^ 1;
        (vec![], vec![(SectionEntry { pre, ..section }, None)])
    });
    check_hostile("a database that is cut off", |_, _, section| {
        (vec![], vec![(SectionEntry { pages_after: 1, ..section }, None)])
    });
    check_hostile("a page that is exchanged", |_, image, section| {
        let page = vec![(PageNo::FIRST, vec![0x55; image.page_size.bytes()])];
        (vec![], vec![(section, Some(encode_pages(image, &page)))])
    });
    check_hostile("two sections of one database", |_, _, section| {
        (vec![], vec![(section.clone(), None), (section, None)])
    });
    check_hostile("a change that follows itself", |shop, _, section| {
        (vec![], vec![(SectionEntry { previous_seq: Some(shop.next), ..section }, None)])
    });
    check_hostile("a change that follows nothing", |_, _, section| {
        (vec![], vec![(SectionEntry { previous_seq: None, ..section }, None)])
    });
    check_hostile("a base of 16 TB without parts", |shop, _, _| {
        let entry = &shop.catalogue.databases[&shop.databases[0].id];
        let base = entry.base.clone().unwrap();
        let at = shop.next.previous();
        let huge = BaseRecord { at, pages: u32::MAX, bytes: 0, parts: vec![], ..base };
        (vec![Record::Base(huge)], vec![])
    });
    check_hostile("a base of other pages", |shop, _, _| {
        let other = &shop.catalogue.databases[&shop.databases[1].id];
        let own = &shop.catalogue.databases[&shop.databases[0].id];
        let stolen = other.base.clone().unwrap();
        let base = BaseRecord {
            at: shop.next.previous(),
            parts: stolen.parts,
            bytes: stolen.bytes,
            checksum: own.checksum,
            pages: own.pages,
            ..own.base.clone().unwrap()
        };
        (vec![Record::Base(base)], vec![])
    });
}

/// The owner went on over an object that was lost, and then that was brought back.
#[test]
fn a_store_that_was_mended_after_its_owner_went_on_is_sound() {
    let (mut shop, _) = busy_shop(6);
    let id = shop.databases[0].id;
    let entry = shop.catalogue.databases.get_mut(&id).unwrap();
    *entry = entry.without_content();
    shop.publish_catalogue();
    shop.replace(0, 512);
    shop.databases[0].last = None;
    shop.flush();
    assert_eq!(verified(&shop).damage, []);
}

/// What a follower does not need, but a walk over the whole log can tell.
#[test]
fn headers_and_names_that_do_not_follow_from_the_log_are_seen() {
    let renamed = |shop: &Shop| {
        let [first, second] = [0, 1].map(|index| &shop.databases[index]);
        vec![Record::Renamed { db: first.id, name: name(&second.name.as_str().to_uppercase()) }]
    };
    let early = |header: Header| Header { stamp: segment::Millis::new(5), ..header };
    let forgetful = |header: Header| Header { catalogue: None, ..header };
    let unchanged = |header: Header| header;
    type Change = fn(Header) -> Header;
    for (records, change, part) in [
        (None, early as Change, "its stamp is not after"),
        (None, forgetful as Change, "it names nowhere"),
        (Some(renamed), unchanged as Change, "two databases are named"),
    ] {
        let (mut shop, _) = busy_shop(6);
        let records = records.map_or_else(Vec::new, |records| records(&shop));
        let header = change(shop.header());
        let encoded = encode(&Draft { header, records, sections: Vec::new() });
        shop.put_log(&encoded.bytes, encoded.hash);
        let found = verified(&shop).damage;
        assert!(found.len() == 1 && found[0].detail.contains(part), "{part}: {found:?}");
    }
}

#[test]
fn what_a_side_object_holds_is_compared_with_what_the_log_says() {
    let (mut shop, states) = busy_shop(3);
    let image = &states.last().unwrap().1[0];
    let section = harmless_section(&shop, image);
    let parts: BTreeMap<_, _> = [&shop.databases[0].id, &shop.databases[1].id]
        .map(|id| (*id, shop.catalogue.databases[id].base.clone().unwrap().parts))
        .into();
    let side = parts[&shop.databases[1].id].clone();
    let lying = SectionEntry { side, page_count: 1, ..section };
    shop.append(Vec::new(), vec![(lying, None)]);
    let found = verified(&shop).damage;
    assert!(found.iter().any(|damage| damage.detail.contains("something else")), "{found:?}");
}

#[test]
fn bases_without_a_log_are_damage() {
    let (shop, _) = busy_shop(2);
    for object in shop.objects().iter().filter(|object| object.log_seq().is_some()) {
        std::fs::remove_file(shop.object_path(object)).unwrap();
    }
    let damage = verified(&shop).damage;
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(damage[0].detail.contains("bases exist but the log is empty"), "{damage:?}");
}
