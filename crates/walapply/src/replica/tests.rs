//! One replica against real databases that are changed at random.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use super::*;
use crate::sqlite::assert_library;
use crate::testing::{Image, Rng, Source, give, integrity, scale};

fn install(path: &Path, image: &Image) {
    let target = image.target(None, "base");
    let pages = image.changes_since(&Image { page_size: image.page_size, pages: Vec::new() });
    let prepared =
        install::prepare(path, image.page_size, &target, &mut |sink| give(&pages, sink)).unwrap();
    prepared.place().unwrap();
}

fn ready(path: &Path) -> Replica {
    match Replica::open(path).unwrap() {
        Found::Ready(replica) => *replica,
        Found::Broken(error) => panic!("{error}"),
        _ => panic!("nothing there"),
    }
}

fn apply(replica: &mut Replica, former: &Image, image: &Image) -> Result<Applied, ApplyError> {
    let pages = image.changes_since(former);
    replica.apply(&image.target(Some(former.checksum()), "change"), &mut |sink| give(&pages, sink))
}

/// The standby's pages, as another connection sees them, equal the source's.
fn assert_equal(path: &Path, image: &Image) {
    assert_eq!(Image::of(path).hashes(), image.hashes());
}

fn storm(page_size: u32, encoding: &str, changes: u64, seed: u64) {
    println!("storm {page_size} {encoding} seed {seed}");
    let scratch = tempfile::tempdir().unwrap();
    let mut source = Source::create(&scratch.path().join("source.db"), page_size, encoding, seed);
    let standby = scratch.path().join("standby.db");
    let mut image = source.image();
    install(&standby, &image);
    let mut replica = ready(&standby);
    let mut rng = Rng::new(seed + 1);
    for change in 1..=changes {
        for _ in 0..=rng.below(3) {
            source.mutate();
        }
        let next = source.image();
        if let Err(error) = apply(&mut replica, &image, &next) {
            panic!("change {change}: {error}");
        }
        assert_eq!(replica.checksum(), next.checksum());
        image = next;
        if rng.below(20) == 0 {
            Checker::open(&standby).unwrap().checkpoint_passive().unwrap();
            assert_equal(&standby, &image);
        }
        if rng.below(60) == 0 {
            assert_eq!(integrity(&standby), "ok");
        }
    }
    assert_equal(&standby, &image);
    assert_eq!(integrity(&standby), "ok");
}

#[test]
fn the_library_can_apply() {
    assert_library().unwrap();
}

#[test]
fn every_kind_of_change_arrives_in_small_pages() {
    storm(512, "UTF-8", 120 * scale(), 11);
}

#[test]
fn every_kind_of_change_arrives_in_ordinary_pages() {
    storm(4096, "UTF-8", 400 * scale(), 12);
}

#[test]
fn every_kind_of_change_arrives_in_utf16() {
    storm(4096, "UTF-16le", 100 * scale(), 13);
    storm(1024, "UTF-16be", 60 * scale(), 14);
}

#[test]
fn every_kind_of_change_arrives_in_the_largest_pages() {
    storm(65536, "UTF-8", 60 * scale(), 15);
}

#[test]
fn a_hostile_schema_catches_nothing_and_arrives_byte_for_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, standby) = (scratch.path().join("source.db"), scratch.path().join("standby.db"));
    let source = Connection::open(&path).unwrap();
    source.execute_batch("CREATE TABLE a(x); INSERT INTO a VALUES(1)").unwrap();
    let mut image = Image::of(&path);
    install(&standby, &image);
    let mut replica = ready(&standby);
    let steps = [
        "CREATE TABLE pgx(pgno, data, schema); PRAGMA writable_schema=ON; \
         UPDATE sqlite_schema SET name='sqlite_dbpage', tbl_name='sqlite_dbpage', \
         sql='CREATE TABLE sqlite_dbpage(pgno, data, schema)' WHERE name='pgx'; PRAGMA writable_schema=OFF; PRAGMA schema_version=77",
        "INSERT INTO a VALUES(2)",
        "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema VALUES('table','garb','garb',2,'CREATE GARBAGE !!'), \
         ('index','i','a',3,NULL), ('view','v','v',0,'CREATE VIEW v AS SELECT'); PRAGMA schema_version=99",
        "PRAGMA user_version=5",
    ];
    for step in steps {
        source.execute_batch(step).unwrap();
        let next = Image::of(&path);
        apply(&mut replica, &image, &next).unwrap();
        assert_equal(&standby, &next);
        replica = ready(&standby);
        image = next;
    }
}

#[test]
fn other_programs_can_read_but_not_write() {
    let scratch = tempfile::tempdir().unwrap();
    let standby = scratch.path().join("standby.db");
    let mut source = Source::create(&scratch.path().join("source.db"), 4096, "UTF-8", 3);
    let image = source.image();
    install(&standby, &image);
    let mut replica = ready(&standby);
    let script = "
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
print(c.execute('select count(*) from data').fetchone()[0])
for sql in ['insert into data(v) values(1)', 'create table z(a)', 'drop table data', 'vacuum', 'pragma user_version=9',
            'pragma journal_mode=delete', 'pragma writable_schema=on', 'begin immediate']:
    try:
        c.execute(sql)
        if sql.startswith('pragma') or sql.startswith('begin'):
            c.execute('update data set v=0' if not sql.startswith('begin') else 'insert into invariant values(1,1,1)')
        print('WROTE', sql)
    except sqlite3.Error as e:
        print('refused')
";
    let refused = |replica: &Replica| {
        let output = Command::new("python3").args(["-c", script]).arg(&standby).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!text.contains("WROTE"), "{text}");
        assert_eq!(text.matches("refused").count(), 8, "{text}");
        assert_eq!(Image::of(&standby).checksum(), replica.checksum());
    };
    refused(&replica);
    source.mutate();
    let next = source.image();
    apply(&mut replica, &image, &next).unwrap();
    refused(&replica);
    assert!(replica.look(false).unwrap().is_none());
}

#[test]
fn a_stray_write_is_noticed_before_the_next_change_and_repaired_by_difference() {
    let scratch = tempfile::tempdir().unwrap();
    let standby = scratch.path().join("standby.db");
    let mut source = Source::create(&scratch.path().join("source.db"), 4096, "UTF-8", 4);
    let image = source.image();
    install(&standby, &image);
    let mut replica = ready(&standby);
    // A vandal who knows how to take the mark off.
    let vandal = Connection::open(&standby).unwrap();
    vandal.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    let mut page_one: Vec<u8> = vandal
        .query_row("SELECT data FROM temp.sqlite_dbpage WHERE pgno=1", [], |row| row.get(0))
        .unwrap();
    page_one[18] = 2;
    vandal.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, true).unwrap();
    vandal.execute("INSERT INTO temp.sqlite_dbpage(pgno, data) VALUES(1, ?1)", [page_one]).unwrap();
    vandal
        .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_RESET_DATABASE, false)
        .unwrap();
    let vandal = Connection::open(&standby).unwrap();
    vandal.execute_batch("INSERT INTO data(v, b, t) VALUES(1, x'00', 'stray')").unwrap();

    source.mutate();
    let next = source.image();
    let error = apply(&mut replica, &image, &next).unwrap_err();
    assert!(matches!(error, ApplyError::Tampered { pages: 1.., .. }), "{error}");
    let drift = replica.take_drift().unwrap();
    assert_eq!(drift.images.len(), drift.pages);
    // The table now tells the file as it is: only what differs needs to be written.
    let differing: Vec<_> = next
        .numbered()
        .filter(|(page, bytes)| replica.hashes.get(*page) != Some(page_hash(*page, bytes)))
        .map(|(page, bytes)| (page, bytes.to_vec()))
        .collect();
    assert!(differing.len() < next.pages.len(), "{} of {}", differing.len(), next.pages.len());
    replica.apply(&next.target(None, "repair"), &mut |sink| give(&differing, sink)).unwrap();
    assert_equal(&standby, &next);
    assert!(Checker::open(&standby).unwrap().outline().unwrap().is_marked());
    assert!(vandal.execute_batch("INSERT INTO data(v) VALUES(2)").is_err());
}

#[test]
fn a_change_that_does_not_add_up_leaves_no_trace() {
    let scratch = tempfile::tempdir().unwrap();
    let standby = scratch.path().join("standby.db");
    let mut source = Source::create(&scratch.path().join("source.db"), 4096, "UTF-8", 5);
    let image = source.image();
    install(&standby, &image);
    let mut replica = ready(&standby);
    source.mutate();
    let next = source.image();
    let pages = next.changes_since(&image);
    let mut wrong = next.target(Some(image.checksum()), "change");
    wrong.after ^= 1;
    let error = replica.apply(&wrong, &mut |sink| give(&pages, sink)).unwrap_err();
    assert!(matches!(error, ApplyError::Checksum { .. }), "{error}");
    let mut misplaced = next.target(Some(image.checksum() ^ 1), "change");
    misplaced.after = next.checksum();
    assert!(replica.apply(&misplaced, &mut |sink| give(&pages, sink)).is_err());
    let stopped = |sink: &mut Sink<'_>| {
        give(&pages, sink)?;
        Err(ApplyError::Missing("a part".into()))
    };
    assert!(
        replica.apply(&next.target(Some(image.checksum()), "change"), &mut { stopped }).is_err()
    );
    assert_equal(&standby, &image);
    assert_eq!(replica.checksum(), image.checksum());
    apply(&mut replica, &image, &next).unwrap();
    assert_equal(&standby, &next);
}

/// The checksum covers neither the mark nor the size that a reader believes. After each commit both are looked at as a
/// reader sees them; here he sees another file.
#[test]
fn a_lost_mark_and_a_wrong_size_are_told_after_the_commit() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let mut source = Source::create(&at("source.db"), 4096, "UTF-8", 24);
    let mut image = source.image();
    install(&at("standby.db"), &image);
    let mut larger = Source::create(&at("larger-source.db"), 4096, "UTF-8", 25);
    larger.grow(500_000);
    install(&at("larger.db"), &larger.image());
    let mut replica = ready(&at("standby.db"));
    for (seen, what) in [("source.db", "mark lost"), ("larger.db", "mark set")] {
        source.insert(1);
        let next = source.image();
        replica.checker = Some(Checker::open(&at(seen)).unwrap());
        let error = apply(&mut replica, &image, &next).unwrap_err();
        assert!(matches!(error, ApplyError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        image = next;
    }
    replica.rest();
    source.insert(1);
    apply(&mut replica, &image, &source.image()).unwrap();
}

#[test]
fn a_file_that_was_replaced_or_lost_its_wal_is_not_written_to() {
    for victim in ["", "-wal", "-shm"] {
        let scratch = tempfile::tempdir().unwrap();
        let standby = scratch.path().join("standby.db");
        let mut source = Source::create(&scratch.path().join("source.db"), 4096, "UTF-8", 6);
        let image = source.image();
        install(&standby, &image);
        let mut replica = ready(&standby);
        source.mutate();
        let next = source.image();
        apply(&mut replica, &image, &next).unwrap();
        std::fs::remove_file(files::companion(&standby, victim)).unwrap();
        source.mutate();
        let error = apply(&mut replica, &next, &source.image()).unwrap_err();
        assert!(matches!(error, ApplyError::Moved(_)), "{victim}: {error}");
    }
}

#[test]
fn an_empty_file_grows_in_place_under_a_reader() {
    for (page_size, encoding) in [(4096, "UTF-8"), (512, "UTF-16le"), (65536, "UTF-8")] {
        let scratch = tempfile::tempdir().unwrap();
        let standby = scratch.path().join("standby.db");
        files::placeholder(&standby).unwrap();
        assert!(matches!(Replica::open(&standby).unwrap(), Found::Empty));
        let reader = Connection::open(&standby).unwrap();
        let tables = |reader: &Connection| -> i64 {
            reader.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(tables(&reader), 0);
        let source = Source::create(&scratch.path().join("source.db"), page_size, encoding, 7);
        let image = source.image();
        install::initialise_empty(&standby, image.page_size).unwrap();
        let mut replica = ready(&standby);
        let pages = image.changes_since(&Image { page_size: image.page_size, pages: Vec::new() });
        replica.apply(&image.target(None, "first base"), &mut |sink| give(&pages, sink)).unwrap();
        assert_equal(&standby, &image);
        if encoding == "UTF-8" {
            assert_eq!(tables(&reader), 4);
        }
        drop(replica);
        let mut replica = ready(&standby);
        assert_eq!(replica.checksum(), image.checksum());
        replica.rest();
    }
}

#[test]
fn a_new_page_size_waits_for_readers() {
    let scratch = tempfile::tempdir().unwrap();
    let standby = scratch.path().join("standby.db");
    let source = Source::create(&scratch.path().join("source.db"), 4096, "UTF-8", 8);
    install(&standby, &source.image());
    let mut replica = ready(&standby);
    let image = source.image();
    let mut source = source;
    source.mutate();
    let former = source.image();
    apply(&mut replica, &image, &former).unwrap();
    drop(replica);
    let wide = Source::create(&scratch.path().join("wide.db"), 8192, "UTF-8", 9).image();
    let pages = wide.changes_since(&former);
    let prepare = || {
        install::prepare(&standby, wide.page_size, &wide.target(None, "new life"), &mut |sink| {
            give(&pages, sink)
        })
        .unwrap()
    };
    let reader = Connection::open(&standby).unwrap();
    let _: i64 = reader.query_row("SELECT count(*) FROM data", [], |row| row.get(0)).unwrap();
    let error = prepare().exchange().unwrap_err();
    assert!(matches!(error, ApplyError::Busy { .. }), "{error}");
    assert_equal(&standby, &former);
    drop(reader);
    prepare().exchange().unwrap();
    assert_equal(&standby, &wide);
    assert!(!files::companions_present(&standby).unwrap());
    assert_eq!(ready(&standby).checksum(), wide.checksum());
    assert_eq!(integrity(&standby), "ok");
}

/// A connection opens the file at once and asks for a lock only when it reads: the exchange cannot wait for it. With the
/// content in another file it read the former one together with the `-wal` of the new one.
#[test]
fn who_opened_the_file_before_a_new_page_size_and_reads_afterwards_sees_the_new_content() {
    for (narrow, wide) in [(512, 65536), (65536, 512), (4096, 8192), (8192, 1024)] {
        let scratch = tempfile::tempdir().unwrap();
        let standby = scratch.path().join("a standby?#%.db");
        let former = Source::create(&scratch.path().join("former.db"), narrow, "UTF-8", 20).image();
        install(&standby, &former);
        let late = Connection::open(&standby).unwrap();
        let mut source = Source::create(&scratch.path().join("source.db"), wide, "UTF-8", 21);
        let mut image = source.image();
        exchange(&standby, &image);
        let mut replica = ready(&standby);
        assert_eq!(replica.checksum(), image.checksum());
        for _ in 0..10 {
            source.mutate();
            let next = source.image();
            apply(&mut replica, &image, &next).unwrap();
            image = next;
            let seen: String =
                late.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(seen, "ok", "{narrow} to {wide}");
            let pages: u32 = late.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            assert_eq!(pages as usize, image.pages.len());
        }
        assert_equal(&standby, &image);
    }
}

/// What a crash in the middle of an exchange leaves: the former content outside WAL mode.
#[test]
fn an_exchange_that_was_cut_short_goes_on_to_any_content() {
    for page_size in [4096, 8192] {
        let scratch = tempfile::tempdir().unwrap();
        let standby = scratch.path().join("standby.db");
        let former = Source::create(&scratch.path().join("former.db"), 4096, "UTF-8", 22).image();
        let mut unmarked = former.pages.clone();
        unmarked[0][WRITE_VERSION_AT..WRITE_VERSION_AT + 2].fill(1);
        std::fs::write(&standby, unmarked.concat()).unwrap();
        let path = scratch.path().join("next.db");
        let next = Source::create(&path, page_size, "UTF-8", 23).image();
        let mut replica = ready(&standby);
        assert_eq!(replica.checksum(), former.checksum());
        if page_size == 4096 {
            let pages = next.changes_since(&former);
            let target = next.target(None, "another life");
            replica.apply(&target, &mut |sink| give(&pages, sink)).unwrap();
            drop(replica);
        } else {
            drop(replica);
            let reader = Connection::open(&standby).unwrap();
            reader.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema").unwrap();
            let error = install::ensure_unread(&standby).unwrap_err();
            assert!(matches!(error, ApplyError::Busy { .. }), "{error}");
            drop(reader);
            exchange(&standby, &next);
        }
        assert_equal(&standby, &next);
        assert!(Checker::open(&standby).unwrap().outline().unwrap().is_marked());
        assert_eq!(integrity(&standby), "ok");
    }
}

fn exchange(standby: &Path, image: &Image) {
    let pages = image.changes_since(&Image { page_size: image.page_size, pages: Vec::new() });
    let target = image.target(None, "new life");
    let prepared =
        install::prepare(standby, image.page_size, &target, &mut |sink| give(&pages, sink));
    prepared.unwrap().exchange().unwrap();
}

#[test]
fn what_is_no_database_is_told_apart() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("x.db");
    assert!(matches!(Replica::open(&path).unwrap(), Found::Absent));
    std::fs::write(&path, vec![7; 8192]).unwrap();
    assert!(matches!(Replica::open(&path).unwrap(), Found::Broken(_)));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(Replica::open(&path), Err(ApplyError::NotAFile(_))));
}

/// A file that is almost all holes, so that it can be larger than 1 GiB on any machine; SQLite looks at page 1 only.
#[test]
fn the_lock_page_is_neither_written_nor_counted() {
    // Smaller pages make millions of them; the long form has those too.
    let sizes: &[u32] = if scale() > 1 { &[512, 4096, 65536] } else { &[65536] };
    for &page_size in sizes {
        let scratch = tempfile::tempdir().unwrap();
        let standby = scratch.path().join("standby.db");
        let small =
            Source::create(&scratch.path().join("source.db"), page_size, "UTF-8", 16).image();
        let lock = small.page_size.lock_page().get();
        let page = |number| PageNo::new(number).unwrap();
        // As capture ships it: SQLite believes the size in page 1.
        let page_one = |pages: u32| {
            let mut image = small.pages[0].clone();
            image[28..32].copy_from_slice(&pages.to_be_bytes());
            image
        };
        let (zeros, filled) = (vec![0; page_size as usize], vec![7; page_size as usize]);
        let mut hashes = PageHashes::new(small.page_size);
        let numbers = 1..=lock + 3;
        for number in numbers.clone().filter(|number| *number != lock) {
            hashes.set(page(number), page_hash(page(number), &zeros));
        }
        hashes.set(PageNo::FIRST, page_hash(PageNo::FIRST, &small.pages[0]));
        let base = Target {
            before: None,
            after: hashes.checksum(),
            pages: lock + 3,
            label: "base".into(),
            keeps_overwritten: false,
        };
        let prepared = install::prepare(&standby, small.page_size, &base, &mut |sink| {
            sink(PageNo::FIRST, &page_one(lock + 3))?;
            numbers.clone().skip(1).try_for_each(|number| sink(page(number), &zeros))
        });
        prepared.unwrap().place().unwrap();
        let mut replica = ready(&standby);
        assert_eq!((replica.checksum(), replica.pages()), (hashes.checksum(), lock + 3));
        // Pages before and behind it change, the file grows, and it shrinks to just before and onto the lock page.
        for (pages, changed) in [(lock + 5, lock + 5), (lock + 1, lock + 1), (lock - 1, lock - 1)] {
            let before = hashes.checksum();
            hashes.resize(pages);
            let grown = (lock + 4..=pages).filter(|number| *number != changed);
            let images: Vec<_> = grown
                .map(|number| (page(number), zeros.clone()))
                .chain([(page(changed), filled.clone()), (PageNo::FIRST, page_one(pages))])
                .collect();
            images.iter().for_each(|(page, image)| hashes.set(*page, page_hash(*page, image)));
            let target =
                Target { before: Some(before), after: hashes.checksum(), pages, ..base.clone() };
            replica.apply(&target, &mut |sink| give(&images, sink)).unwrap();
        }
        assert!(replica.look(true).unwrap().is_none(), "{page_size}");
    }
}
