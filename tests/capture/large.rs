//! Databases that are large, or cross the page that holds SQLite's lock bytes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use e2e::{App, Fleet, Load, is_long, resident_kib, resident_kib_max, scaled, shared};
use serde_json::json;

const LOCK_BYTE: u64 = 1 << 30;

/// The first base of a database is copied while 500 transactions a second go on.
#[test]
fn a_large_database_gets_its_first_base_under_load() {
    let _turn = shared();
    let fleet = Fleet::new("first-base", &["a"]);
    let rows = scaled(20_000, 300_000);
    App::open(&fleet.db("a")).sql(&format!(
        "PRAGMA journal_mode=WAL; CREATE TABLE big(id INTEGER PRIMARY KEY, v BLOB); \
         WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<{rows}) \
         INSERT INTO big SELECT i, randomblob(3000) FROM s"
    ));
    let load = Load::start(&fleet.db("a"), &json!({"writers": 2, "rate": 250}));
    let mut shipper = fleet.ship();
    shipper.await_line(&["base uploaded"]);
    e2e::until("changes after the base", || {
        (fleet.history().sections("a").count() > 5).then_some(())
    });
    let report = load.stop();
    println!("{report}");
    assert_eq!(report["errors"], json!([]));
    let history = fleet.history();
    assert_eq!((history.lives("a"), history.comparisons("a")), (1, 0));
    fleet.finish(shipper);
}

/// What is captured and not shipped is held in memory: once, not twice, and not for ever.
#[test]
fn a_large_transaction_costs_its_own_size_in_memory_and_only_for_a_while() {
    let _turn = shared();
    let fleet = Fleet::new("large-transaction", &["a"]);
    let mut app = App::open(&fleet.db("a"));
    app.sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v BLOB)");
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let megabytes = scaled(120, 600);
    app.sql(&format!(
        "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<{megabytes}) \
         INSERT INTO t SELECT randomblob(1048576) FROM s"
    ));
    fleet.await_shipped("a");
    let peak = resident_kib_max(shipper.pid()) as u64 / 1024;
    println!("{megabytes} MB in one transaction: {peak} MB at the peak");
    assert!(peak < megabytes * 3 / 2 + 50, "{peak} MB for a transaction of {megabytes} MB");
    e2e::until("memory given back", || (resident_kib(shipper.pid()) / 1024 < 60).then_some(()));
    fleet.finish(shipper);
}

/// A database grows past the lock page, whose bytes no application and no log ever holds.
#[test]
fn growth_across_the_lock_page_is_shipped_without_it() {
    let _turn = shared();
    let all = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
    let sizes = if is_long() { &all[..] } else { &all[6..] };
    for &page_size in sizes {
        cross(page_size);
    }
}

fn cross(page_size: u64) {
    let fleet = Fleet::new(&format!("lock-page-{page_size}"), &["a"]);
    make_almost_too_large(&fleet.db("a"), page_size);
    let mut shipper = fleet.ship();
    shipper.await_line(&["base uploaded"]);
    let mut app = App::open(&fleet.db("a"));
    let before = fleet.history().last();
    app.sql(&format!(
        "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM s WHERE i<12) \
         INSERT INTO t SELECT randomblob({page_size}) FROM s"
    ));
    e2e::until("the growth in the log", || {
        (fleet.history().since(before).pages("a") > 10).then_some(())
    });
    let pages = app.number("PRAGMA page_count");
    assert_eq!(shipper.terminate(), 0);
    app.close("main");
    let lock_page = LOCK_BYTE / page_size + 1;
    assert!(
        pages.unsigned_abs() > lock_page + 3,
        "the lock page was not crossed: {pages} pages of {page_size}"
    );
    let history = fleet.history();
    assert_eq!((history.lives("a"), history.comparisons("a")), (1, 0));
    assert_same_bytes(&fleet.db("a"), &fleet.restore("a"), page_size);
}

/// A database whose size, by its header and by its file, ends three pages before the lock page. The pages
/// between its table and there are never used, which SQLite does not mind, and take no room on disk.
fn make_almost_too_large(path: &Path, page_size: u64) {
    let mut app = App::open(path);
    app.sql(&format!(
        "PRAGMA page_size={page_size}; PRAGMA journal_mode=WAL; CREATE TABLE t(v BLOB)"
    ));
    app.close("main");
    let file = File::options().write(true).open(path).expect("the database");
    let pages = LOCK_BYTE / page_size - 3;
    file.set_len(pages * page_size).expect("a sparse file");
    let count = u32::try_from(pages).expect("a page count").to_be_bytes();
    file.write_all_at(&count, 28).expect("the header");
}

/// Both files are the same but for the lock page and the masked bytes of page 1; the application is closed.
fn assert_same_bytes(source: &Path, copy: &Path, page_size: u64) {
    let open = |path: &Path| File::open(path).expect("a database");
    let (source, copy) = (open(source), open(copy));
    let length = |file: &File| file.metadata().expect("its size").len();
    assert_eq!(length(&source), length(&copy));
    let chunk = 1 << 20;
    let (mut a, mut b) = (vec![0; chunk], vec![0; chunk]);
    for at in (0..length(&source)).step_by(chunk) {
        let bytes = usize::try_from(length(&source) - at).expect("a size").min(chunk);
        for (file, buffer) in [(&source, &mut a), (&copy, &mut b)] {
            file.read_exact_at(&mut buffer[..bytes], at).expect("read");
            let page = usize::try_from(page_size).expect("a size");
            match at {
                0 => [18..20, 24..32, 92..100].into_iter().for_each(|range| buffer[range].fill(0)),
                LOCK_BYTE => buffer[..page].fill(0),
                _ => {}
            }
        }
        assert!(
            a[..bytes] == b[..bytes],
            "they differ between bytes {at} and {}",
            at + bytes as u64
        );
    }
}
