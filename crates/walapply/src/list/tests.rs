use std::fs;

use segment::{DatabaseState, ObjectName};

use super::*;
use crate::image::testing::Shop;
use crate::restore::tests::busy_shop;

fn listed(shop: &Shop) -> Listing {
    list(&*shop.store, &shop.fleet).unwrap()
}

#[test]
fn everything_that_the_log_speaks_of_is_listed_with_its_range() {
    let (mut shop, states) = busy_shop(6);
    shop.announce(DbId::from_bytes([50; 8]), "absent", "p0", DatabaseState::Missing);
    let listing = listed(&shop);
    let names: Vec<_> = listing.databases.iter().map(|each| each.name.as_str()).collect();
    assert_eq!(names, ["absent", "ledger", "orders"]);
    assert_eq!(listing.databases[0].restorable, None);
    let orders = &listing.databases[2];
    let range = orders.restorable.clone().unwrap();
    assert_eq!((range.from_seq, range.to_seq), (states[0].0, shop.last()));
    let image = &states[5].1[0];
    assert_eq!(orders.bytes, (image.pages.len() * image.page_size.bytes()) as u64);
    assert_eq!((orders.incarnations.len(), orders.incarnations[0].changes), (1, 6));
    assert_eq!(listing.owner.as_ref().unwrap().as_str(), "anvil-host");
    let text = listing.text();
    assert!(text.contains("orders") && text.contains("missing"), "{text}");
}

#[test]
fn each_life_is_told() {
    let (mut shop, _) = busy_shop(2);
    shop.replace(0, 4096);
    let begun = shop.flush();
    let orders = &listed(&shop).databases[1];
    assert_eq!(orders.incarnations.len(), 2);
    assert_eq!(orders.incarnations[1].from_seq, begun);
    assert!(orders.restorable.as_ref().unwrap().from_seq < begun);
}

#[test]
fn a_damaged_object_does_not_hide_the_rest() {
    let (mut shop, _) = busy_shop(3);
    shop.publish_catalogue();
    let object = ObjectName::log(Seq::new(4).unwrap());
    fs::write(shop.object_path(&object), "damaged").unwrap();
    let listing = listed(&shop);
    assert_eq!(listing.unreadable, [object.to_string()]);
    assert_eq!(listing.databases.len(), 2);
    assert!(listing.text().contains("UNREADABLE"));
}

#[test]
fn an_empty_log_is_listed_as_such() {
    let shop = Shop::open();
    fs::remove_file(shop.object_path(&ObjectName::log(Seq::FIRST))).unwrap();
    assert!(listed(&shop).text().contains("empty"));
}
