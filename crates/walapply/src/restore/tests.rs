//! Restores of real databases out of stores that were written segment by segment.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use console::ExitCode;
use segment::{DatabaseState, DbId, Millis, ObjectName};
use store::clock::ManualClock;
use store::{Fault, Faulty};

use super::in_use::tests::{Elsewhere, cut_short, files_of};
use super::*;
use crate::image::testing::{BEGAN, PERIOD, Shop, name};
use crate::testing::{Image, integrity, scale};

pub(crate) fn request(shop: &Shop, which: Which) -> Request {
    Request {
        which,
        tiers: Vec::new(),
        point: Point::Newest,
        output: shop.out("restored"),
        dry_run: false,
        force: false,
        if_missing: false,
        if_available: false,
        keep_going: false,
        progress: false,
    }
}

fn one(shop: &Shop, text: &str) -> Request {
    request(shop, Which::Named(vec![name(text)]))
}

pub(crate) fn restore(shop: &Shop, request: &Request) -> Result<Report, ApplyError> {
    let clock = ManualClock::new(Millis::new(BEGAN));
    let stop = AtomicBool::new(false);
    let restorer = Restorer { store: &shop.store, fleet: &shop.fleet, clock: &clock, stop: &stop };
    restorer.restore(request)
}

pub(crate) fn check_file(path: &Path, image: &Image) {
    let found = fs::read(path).unwrap();
    assert_eq!(found.len(), image.pages.len() * image.page_size.bytes(), "{}", path.display());
    for (page, content) in image.numbered() {
        let start = (page.get() as usize - 1) * content.len();
        assert_eq!(&found[start..start + content.len()], content, "page {page}");
    }
    assert_eq!(integrity(path), "ok");
}

/// A fleet of two that changes at random, and every state that was flushed.
pub(crate) fn busy_shop(flushes: u64) -> (Shop, Vec<(Seq, Vec<Image>)>) {
    let mut shop = Shop::open();
    shop.create("orders", "p0", 512);
    shop.create("ledger", "p2", 4096);
    let mut states = Vec::new();
    for round in 0..flushes {
        for tracked in &mut shop.databases {
            (0..1 + round % 3).for_each(|_| tracked.source.mutate());
        }
        let seq = shop.flush();
        let images = shop.databases.iter().map(|each| each.shipped.clone().unwrap()).collect();
        states.push((seq, images));
        match round % 7 {
            3 => drop(shop.rebase((round % 2) as usize)),
            5 => drop(shop.publish_catalogue()),
            _ => {}
        }
    }
    (shop, states)
}

#[test]
fn every_state_of_a_changing_fleet_comes_back_exactly() {
    let (shop, states) = busy_shop(20 * scale());
    for (seq, images) in &states {
        let output = shop.out(&format!("at-{seq}"));
        let wanted = Request {
            point: Point::Seq(*seq),
            output: output.clone(),
            ..request(&shop, Which::All)
        };
        let report = restore(&shop, &wanted).unwrap();
        assert_eq!(report.exit_code(), ExitCode::Fine);
        assert_eq!(report.seq, Some(*seq));
        check_file(&output.join("orders.db"), &images[0]);
        check_file(&output.join("ledger.db"), &images[1]);
    }
}

#[test]
fn an_instant_means_the_newest_state_that_was_sealed_by_then() {
    let (shop, states) = busy_shop(4);
    let stamp = |seq: Seq| BEGAN + seq.get() * PERIOD;
    for (instant, expected) in
        [(stamp(states[1].0), 1), (stamp(states[2].0) - 1, 1), (stamp(states[3].0) + 86_400_000, 3)]
    {
        let output = shop.out(&format!("at-{instant}.db"));
        let point = Point::At(Millis::new(instant));
        let wanted = Request { point, output: output.clone(), ..one(&shop, "orders") };
        restore(&shop, &wanted).unwrap();
        check_file(&output, &states[expected].1[0]);
    }
    let early = Request { point: Point::At(Millis::new(BEGAN - 1)), ..one(&shop, "orders") };
    assert!(matches!(restore(&shop, &early), Err(ApplyError::NoSuchPoint(_))));
    let late = Request { point: Point::Seq(shop.next), ..one(&shop, "orders") };
    assert!(matches!(restore(&shop, &late), Err(ApplyError::NoSuchPoint(_))));
}

#[test]
fn a_new_life_replaces_the_old_one_and_the_old_one_is_still_there() {
    let mut shop = Shop::open();
    shop.create("orders", "p0", 1024);
    let first = shop.flush();
    let former = shop.databases[0].shipped.clone().unwrap();
    shop.replace(0, 8192);
    shop.flush();
    shop.databases[0].source.mutate();
    shop.flush();
    let newest = shop.databases[0].shipped.clone().unwrap();
    let [old, new] = ["old.db", "new.db"].map(|file| shop.out(file));
    restore(&shop, &Request { output: new.clone(), ..one(&shop, "orders") }).unwrap();
    let before = Request { point: Point::Seq(first), output: old.clone(), ..one(&shop, "orders") };
    restore(&shop, &before).unwrap();
    check_file(&new, &newest);
    check_file(&old, &former);
}

#[test]
fn targets_are_not_overwritten_unless_told_to() {
    let (shop, states) = busy_shop(3);
    let newest = &states.last().unwrap().1[0];
    let wanted = Request { output: shop.out("a.db"), ..one(&shop, "orders") };
    restore(&shop, &wanted).unwrap();
    let exists = restore(&shop, &wanted);
    assert!(matches!(exists, Err(ApplyError::Target(TargetError::Exists(_)))));

    fs::write(&wanted.output, "changed").unwrap();
    let missing = Request { if_missing: true, ..wanted.clone() };
    assert_eq!(restore(&shop, &missing).unwrap().databases[0].outcome, Outcome::Present);
    assert!(nothing_to_do(&missing).unwrap().is_some());
    assert_eq!(fs::read_to_string(&wanted.output).unwrap(), "changed");

    fs::write(shop.out("a.db-wal"), "stale").unwrap();
    let force = Request { force: true, ..wanted.clone() };
    let report = restore(&shop, &force).unwrap();
    assert_eq!(report.databases[0].moved_aside.len(), 2);
    check_file(&wanted.output, newest);

    let fresh = Request { output: shop.out("b.db"), ..one(&shop, "orders") };
    fs::write(shop.out("b.db-journal"), "stale").unwrap();
    let stale = restore(&shop, &fresh);
    assert!(matches!(stale, Err(ApplyError::Target(TargetError::Stale(_)))));
    assert!(!fresh.output.exists());
}

#[test]
fn a_replaced_database_that_somebody_has_open_is_told() {
    let (shop, states) = busy_shop(3);
    let request = Request { output: shop.out("a.db"), force: true, ..one(&shop, "orders") };
    assert!(!restore(&shop, &request).unwrap().databases[0].was_open);
    let mut reader = Elsewhere::open(&request.output);
    reader.run("PRAGMA journal_mode=WAL");
    reader.run("SELECT count(*) FROM data");
    for dry_run in [true, false] {
        let report = restore(&shop, &Request { dry_run, ..request.clone() }).unwrap();
        assert!(report.databases[0].was_open);
        assert!(report.text().contains("OPEN ELSEWHERE"), "{}", report.text());
    }
    check_file(&request.output, &states.last().unwrap().1[0]);
    reader.close();
    assert!(!restore(&shop, &request).unwrap().databases[0].was_open);
}

#[test]
fn a_dry_run_leaves_what_a_crash_left_to_its_owner() {
    let (shop, _) = busy_shop(3);
    let request = Request { output: shop.out("a.db"), force: true, ..one(&shop, "orders") };
    fs::create_dir_all(shop.out("")).unwrap();
    cut_short(&request.output);
    let before = files_of(&shop.out(""));
    let report = restore(&shop, &Request { dry_run: true, ..request.clone() }).unwrap();
    assert_eq!(report.exit_code(), ExitCode::Fine);
    assert!(before == files_of(&shop.out("")), "a dry run changed something");
    // The old database is moved aside with its journal, as it is.
    let report = restore(&shop, &request).unwrap();
    let moved = &report.databases[0].moved_aside;
    assert_eq!(moved.len(), 2);
    for ((_, old), moved) in before.iter().zip(moved) {
        assert!(fs::read(moved).unwrap() == *old, "{}", moved.display());
    }
}

#[test]
fn files_and_folders_are_not_confused() {
    let (shop, _) = busy_shop(2);
    fs::create_dir_all(shop.out("folder")).unwrap();
    let folder = Request { output: shop.out("folder"), ..one(&shop, "orders") };
    assert!(matches!(restore(&shop, &folder), Err(ApplyError::Usage(_))));
    fs::write(shop.out("file"), "").unwrap();
    let file = Request { output: shop.out("file"), ..request(&shop, Which::All) };
    assert!(matches!(restore(&shop, &file), Err(ApplyError::Usage(_))));
}

#[test]
fn a_dry_run_writes_nothing_and_tells_what_would_be_read() {
    let (shop, states) = busy_shop(5);
    let wanted = Request { dry_run: true, ..request(&shop, Which::All) };
    let report = restore(&shop, &wanted).unwrap();
    assert!(!wanted.output.exists());
    let images = &states.last().unwrap().1;
    let bytes: usize = images.iter().map(|image| image.pages.len() * image.page_size.bytes()).sum();
    assert_eq!(report.write_bytes, bytes as u64);
    assert!(report.objects > 2 && report.read_bytes > 0 && report.expected_seconds > 0.0);
    assert!(report.databases.iter().all(|told| told.outcome == Outcome::Planned));
    assert!(report.text().contains("would write"));
}

/// The object that a torn disk damages first took every earlier state with it.
#[test]
fn what_stands_before_a_damaged_end_of_the_log_is_restored_and_listed() {
    let (shop, states) = busy_shop(3);
    let stamp = |seq: Seq| fleet_log::table(&*shop.store, seq).unwrap().header.stamp;
    let last = shop.last();
    let [before, sound] = [last.get() - 2, last.get() - 1].map(|seq| Seq::new(seq).unwrap());
    let (of_before, of_sound) = (stamp(before), stamp(sound));
    let path = shop.object_path(&ObjectName::log(last));
    let mut newer = fs::read(&path).unwrap();
    newer[8] = 7;
    for bytes in [b"damaged".to_vec(), newer] {
        fs::write(&path, bytes).unwrap();
        check_before(&shop, &states, (before, of_before), (sound, of_sound));
        fs::remove_dir_all(shop.out("")).unwrap();
    }
}

/// The newest object cannot be read; `sound` is the one before it, and `before` the one before that, with their stamps.
fn check_before(
    shop: &Shop,
    states: &[(Seq, Vec<Image>)],
    (before, of_before): (Seq, Millis),
    (sound, of_sound): (Seq, Millis),
) {
    let last = shop.last();
    let at = |point, output: &str| {
        restore(shop, &Request { point, output: shop.out(output), ..request(shop, Which::All) })
    };
    for (point, output) in [(Point::Seq(sound), "seq"), (Point::At(of_sound.offset(-1)), "at")] {
        let report = at(point, output).unwrap();
        assert_eq!(report.exit_code(), ExitCode::Fine);
    }
    let truth = |seq: Seq| &states.iter().find(|(of, _)| *of == seq).unwrap().1[0];
    check_file(&shop.out("seq/orders.db"), truth(sound));
    check_file(&shop.out("at/orders.db"), truth(before));
    assert!(of_before < of_sound);
    for point in [Point::Newest, Point::Seq(last), Point::At(of_sound.offset(1))] {
        let error = at(point, "newest").unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Corrupt);
        let told = error.to_string();
        assert!(told.contains(&format!("--seq {sound} restores")), "{told}");
    }
    let listing = crate::list::list(&*shop.store, &shop.fleet).unwrap();
    assert_eq!(listing.unreadable, [ObjectName::log(last).to_string()]);
    assert_eq!(listing.databases.len(), 2);
}

/// One that is lost itself was named as what can be restored.
#[test]
fn the_state_before_everything_that_is_lost_is_named() {
    let (shop, states) = busy_shop(3);
    let [sound, lost, also_lost] = [0, 1, 2].map(|index| states[index].0);
    let mut shop = shop;
    shop.flush();
    let after = shop.append(Vec::new(), Vec::new());
    for seq in [lost, also_lost] {
        fs::remove_file(shop.object_path(&ObjectName::log(seq))).unwrap();
    }
    let told = restore(&shop, &one(&shop, "orders")).unwrap().text();
    assert!(told.contains(&format!("--seq {sound} restores")), "{after}: {told}");
    let wanted = Request { point: Point::Seq(sound), ..one(&shop, "orders") };
    assert_eq!(restore(&shop, &wanted).unwrap().exit_code(), ExitCode::Fine);
}

/// A script that plans first must not hear that all is fine.
#[test]
fn a_dry_run_ends_as_the_restore_would() {
    let (shop, _) = busy_shop(3);
    let wanted = request(&shop, Which::All);
    restore(&shop, &wanted).unwrap();
    let planned = restore(&shop, &Request { dry_run: true, ..wanted.clone() }).unwrap();
    let refused = restore(&shop, &wanted).unwrap_err();
    assert_eq!(planned.exit_code(), refused.exit_code());
    assert_eq!(planned.failed().count(), planned.databases.len());
    assert!(planned.text().contains("would be refused"), "{}", planned.text());
}

#[test]
fn databases_without_content_are_told_apart() {
    let (mut shop, _) = busy_shop(2);
    let id = |byte| DbId::from_bytes([byte; 8]);
    shop.announce(id(50), "empty", "p0", DatabaseState::Empty);
    shop.announce(id(51), "gone", "p0", DatabaseState::Missing);
    let ledger = shop.databases[1].id;
    shop.announce(ledger, "ledger", "p2", DatabaseState::Unread);
    let report = restore(&shop, &one(&shop, "ledger")).unwrap();
    let warning = report.databases[0].warning.as_deref().unwrap();
    assert!(warning.contains("could not read it"), "{warning}");
    fs::remove_file(shop.out("restored")).unwrap();
    shop.announce(ledger, "ledger", "p2", DatabaseState::Missing);
    let report = restore(&shop, &request(&shop, Which::All)).unwrap();
    let outcomes: Vec<_> =
        report.databases.iter().map(|told| (told.name.as_str(), told.outcome)).collect();
    use Outcome::{NoBackup, Restored};
    let mut expected =
        vec![("gone", NoBackup), ("empty", Restored), ("ledger", Restored), ("orders", Restored)];
    let mut outcomes = outcomes;
    outcomes.sort_by_key(|told| told.0);
    expected.sort_by_key(|told| told.0);
    assert_eq!(outcomes, expected);
    assert_eq!(fs::read(shop.out("restored/empty.db")).unwrap(), b"");
    assert!(report.text().contains("was missing on the primary"));

    for text in ["gone", "nowhere"] {
        let asked = Request { output: shop.out("one.db"), ..one(&shop, text) };
        assert!(matches!(restore(&shop, &asked), Err(ApplyError::NoSuchPoint(_))), "{text}");
        let lenient = Request { if_available: true, ..asked };
        let report = restore(&shop, &lenient).unwrap();
        assert_eq!(report.databases[0].outcome, NoBackup);
        assert_eq!(report.exit_code(), ExitCode::Fine);
    }
}

#[test]
fn what_the_primary_lost_is_told_with_the_state_that_still_had_it() {
    use DatabaseState::{Empty, Missing};
    for (state, words) in [(Empty, "a file of 0 bytes"), (Missing, "this is its last content")] {
        let (mut shop, states) = busy_shop(9);
        let orders = shop.databases[0].id;
        shop.announce(orders, "orders", "p0", state);
        let gone = shop.last();
        for _ in 0..3 {
            shop.publish_catalogue();
        }
        let newest = Request { output: shop.out("newest.db"), ..one(&shop, "orders") };
        let report = restore(&shop, &newest).unwrap();
        let (told, before) = (&report.databases[0], gone.previous().unwrap());
        assert_eq!((told.outcome, told.gone_since), (Outcome::Restored, Some(gone)));
        let warning = told.warning.as_deref().unwrap();
        assert!(warning.contains(words), "{warning}");
        assert!(warning.contains(&format!("since log object {gone}")), "{warning}");
        assert!(warning.contains(&format!("--seq {before}")), "{warning}");
        assert!(report.text().contains(&format!("\nWARNING: orders: {warning}")));
        let point = Point::Seq(before);
        let before = Request { point, output: shop.out("before.db"), ..one(&shop, "orders") };
        let report = restore(&shop, &before).unwrap();
        assert_eq!((&report.databases[0].warning, report.databases[0].gone_since), (&None, None));
        check_file(&shop.out("before.db"), &states.last().unwrap().1[0]);
        match state {
            Empty => assert_eq!(fs::read(shop.out("newest.db")).unwrap(), b""),
            _ => check_file(&shop.out("newest.db"), &states.last().unwrap().1[0]),
        }
    }
}

#[test]
fn tiers_narrow_the_choice() {
    let (shop, _) = busy_shop(2);
    let wanted = Request { tiers: vec!["p0".to_owned()], ..request(&shop, Which::All) };
    restore(&shop, &wanted).unwrap();
    assert!(shop.out("restored/orders.db").exists());
    assert!(!shop.out("restored/ledger.db").exists());
}

#[test]
fn if_one_fails_none_is_put_in_place_unless_wanted() {
    let (mut shop, states) = busy_shop(3);
    let images = &states.last().unwrap().1;
    shop.rebase(1);
    let base = shop.catalogue.databases[&shop.databases[1].id].base.clone().unwrap();
    fs::remove_file(shop.object_path(&base.parts[0].name)).unwrap();
    let report = restore(&shop, &request(&shop, Which::All)).unwrap();
    assert_eq!(report.exit_code(), ExitCode::Corrupt);
    assert!(!shop.out("restored/orders.db").exists());
    let failed: Vec<_> = report.failed().collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0].summary().contains(base.parts[0].name.as_str()), "{}", failed[0].summary());
    assert!(report.text().contains("held back"));

    let wanted = Request { keep_going: true, ..request(&shop, Which::All) };
    let report = restore(&shop, &wanted).unwrap();
    assert_eq!(report.exit_code(), ExitCode::Corrupt);
    check_file(&shop.out("restored/orders.db"), &images[0]);
    assert!(!shop.out("restored/ledger.db").exists());
}

#[test]
fn a_signal_ends_a_restore_without_a_trace() {
    let (shop, _) = busy_shop(2);
    let clock = ManualClock::new(Millis::new(BEGAN));
    let stop = AtomicBool::new(true);
    let restorer = Restorer { store: &shop.store, fleet: &shop.fleet, clock: &clock, stop: &stop };
    let report = restorer.restore(&one(&shop, "orders")).unwrap();
    assert_eq!(report.exit_code(), ExitCode::Failed);
    assert_eq!(fs::read_dir(shop.out("")).unwrap().count(), 0);
}

/// Whoever removes old log objects raises the boundary first. What was read before it was raised may be anything.
#[test]
fn what_left_the_log_while_it_was_read_is_not_trusted() {
    let (mut shop, states) = busy_shop(3);
    let wanted = Request { output: shop.out("a.db"), ..one(&shop, "orders") };
    let (sound, oldest) = (Arc::clone(&shop.store), states[0].0);
    shop.store = raised_meanwhile(&sound, oldest.next());
    let error = restore(&shop, &wanted).unwrap_err();
    assert!(matches!(error, ApplyError::Gone(seq) if seq == oldest), "{error}");
    assert!(fs::read_dir(shop.out("")).unwrap().next().is_none());

    sound.delete(&ObjectName::boundary()).unwrap();
    shop.store = raised_meanwhile(&sound, oldest);
    restore(&shop, &wanted).unwrap();
    check_file(&wanted.output, &states[2].1[0]);
}

/// The boundary moves to `retired` once a base was read, and not before the boundary is asked for after that.
fn raised_meanwhile(sound: &Arc<dyn Store>, retired: Seq) -> Arc<dyn Store> {
    let text = format!(r#"{{"retired": {retired}, "planned": {retired}}}"#);
    let boundary = ObjectName::boundary();
    let (store, was_read) = (Arc::clone(sound), AtomicBool::new(false));
    let script = move |request: &store::Request<'_>| {
        if request.name.starts_with("snap/") {
            was_read.store(true, Ordering::SeqCst);
        } else if request.name == boundary.as_str() && was_read.load(Ordering::SeqCst) {
            store.put(&boundary, text.as_bytes()).unwrap();
        }
        Fault::Pass
    };
    Arc::new(Faulty::new(Arc::clone(sound), script))
}

#[test]
fn what_left_the_log_before_is_no_restore_point() {
    let (shop, _) = busy_shop(3);
    let boundary = format!(r#"{{"retired": {0}, "planned": {0}}}"#, shop.last());
    shop.store.put(&ObjectName::boundary(), boundary.as_bytes()).unwrap();
    assert!(restore(&shop, &one(&shop, "orders")).is_err());
    assert!(!shop.out("restored").exists());
}

#[test]
fn an_empty_store_is_no_backup() {
    let shop = Shop::open();
    let asked = one(&shop, "orders");
    assert!(matches!(without_log(&asked), Err(ApplyError::NoSuchPoint(_))));
    let lenient = Request { if_available: true, ..asked };
    assert!(without_log(&lenient).unwrap().text().contains("no backup"));
}

#[test]
fn retired_databases_are_left_out_aloud_and_nothing_at_all_is_an_error() {
    let mut shop = Shop::open();
    shop.create("orders", "p0", 512);
    shop.create("ledger", "p2", 4096);
    shop.flush();
    shop.append(vec![segment::Record::Retired { db: shop.databases[1].id }], Vec::new());
    let report = restore(&shop, &request(&shop, Which::All)).unwrap();
    assert_eq!(report.left_out, [name("ledger")]);
    assert!(report.text().contains("name them to restore them): ledger"), "{}", report.text());
    let mut nothing = Request { tiers: vec!["p2".to_owned()], ..request(&shop, Which::All) };
    nothing.output = shop.out("nothing");
    let error = restore(&shop, &nothing).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Failed);
    assert!(error.to_string().contains("ledger"), "{error}");
    nothing.if_available = true;
    let report = restore(&shop, &nothing).unwrap();
    assert!(report.databases.is_empty() && report.text().contains("no database to restore"));
}
