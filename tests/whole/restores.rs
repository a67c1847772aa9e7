//! `walapply restore` as an operator types it: which state lands where, what is refused, and with which exit code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use e2e::objects::snapshot;
use e2e::{Fleet, Ledger, oracle, shared};
use serde_json::Value;

/// A fleet that was shipped three times, with the images that readers saw each time.
struct World {
    fleet: Fleet,
    points: Vec<Point>,
}

struct Point {
    seq: u64,
    images: Vec<(String, PathBuf)>,
}

impl World {
    fn new(test: &str) -> Self {
        let fleet = Fleet::new(test, &["a", "b"]);
        let mut world = Self { fleet, points: Vec::new() };
        (0..3).for_each(|round| world.ship(round));
        world
    }

    fn ship(&mut self, round: usize) {
        let mut images = Vec::new();
        for name in self.fleet.names() {
            Ledger::commit(&self.fleet.db(name), 20);
            let image = self.fleet.scratch.file(&format!("{name}.{round}"));
            let _ = oracle::checksum(&self.fleet.db(name), &image);
            images.push((name.clone(), image));
        }
        assert_eq!(self.fleet.ship_once(), 0);
        self.points.push(Point { seq: self.fleet.history().last().get(), images });
    }

    fn out(&self, name: &str) -> PathBuf {
        self.fleet.scratch.file(name)
    }

    fn restore(&self, arguments: &[&str], target: &Path) -> Output {
        let mut command = Command::new(e2e::walapply());
        command.arg("restore").arg("--store").arg(self.fleet.store()).args(arguments);
        command.arg("-o").arg(target).output().expect("walapply runs")
    }

    fn report(&self, arguments: &[&str], target: &Path) -> Value {
        let output = self.restore(&[arguments, &["--json"]].concat(), target);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        serde_json::from_slice(&output.stdout).expect("a report")
    }

    fn newest(&self, name: &str) -> &Path {
        let images = &self.points.last().expect("a point").images;
        &images.iter().find(|(each, _)| each == name).expect("a database").1
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

/// By number and by the instant at which it was sealed; one database, several, or all on one cut.
#[test]
fn every_point_can_be_restored_by_number_and_by_time() {
    let _turn = shared();
    let world = World::new("restore-points");
    for point in &world.points {
        let seq = point.seq.to_string();
        let all = world.out(&format!("all-{seq}"));
        let report = world.report(&["--all", "--seq", &seq], &all);
        assert_eq!(report["seq"], point.seq);
        let by_time = world.out(&format!("time-{seq}"));
        let time = report["time"].as_str().expect("a time").to_owned();
        let at = world.report(&["a", "b", "--at", &time], &by_time);
        assert_eq!(at["seq"], point.seq, "the object sealed at {time}");
        for (name, image) in &point.images {
            let file = format!("{name}.db");
            let alone = world.out(&format!("{name}-{seq}.db"));
            world.report(&[name, "--seq", &seq], &alone);
            for restored in [all.join(&file), by_time.join(&file), alone] {
                oracle::assert_equal(image, &restored);
            }
        }
    }
    let newest = world.out("newest");
    assert_eq!(world.report(&["--all"], &newest)["seq"], world.points[2].seq);
    oracle::assert_equal(world.newest("b"), &newest.join("b.db"));
}

#[test]
fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let _turn = shared();
    let world = World::new("restore-dry");
    let before = snapshot(world.fleet.scratch.path());
    let report = world.report(&["--all", "--dry-run"], &world.out("dry"));
    assert_eq!(report["dry_run"], true);
    for figure in ["objects", "read_bytes", "write_bytes"] {
        assert!(report[figure].as_u64() > Some(0), "{figure}: {report}");
    }
    assert!(report["expected_seconds"].is_number(), "{report}");
    let text = said(&world.restore(&["a", "--dry-run"], &world.out("dry.db")));
    assert!(text.contains("dry run") && text.contains("would write"), "{text}");
    assert!(!world.out("dry").exists() && !world.out("dry.db").exists());
    assert!(before == snapshot(world.fleet.scratch.path()), "a dry run changed files");
}

#[test]
fn nothing_is_overwritten_without_force_and_no_stale_wal_is_mixed_in() {
    let _turn = shared();
    let world = World::new("restore-force");
    let target = world.out("target.db");
    fs::write(&target, b"precious").expect("written");
    assert_code(&world.restore(&["a"], &target), 1);
    assert_eq!(fs::read(&target).expect("the file"), b"precious");
    assert_code(&world.restore(&["a", "--if-missing"], &target), 0);
    assert_eq!(fs::read(&target).expect("the file"), b"precious");
    assert_code(&world.restore(&["a", "--force"], &target), 0);
    oracle::assert_equal(world.newest("a"), &target);

    for ending in ["-wal", "-shm", "-journal"] {
        let target = world.out(&format!("stale{ending}.db"));
        let stale = PathBuf::from(format!("{}{ending}", target.display()));
        fs::write(&stale, b"of another life").expect("written");
        let refused = world.restore(&["a"], &target);
        assert_code(&refused, 1);
        assert!(said(&refused).contains(&stale.display().to_string()), "{}", said(&refused));
        assert!(!target.exists() && stale.exists(), "something was moved without --force");

        let report = world.report(&["a", "--force"], &target);
        let moved = report["databases"][0]["moved_aside"][0].as_str().expect("a name").to_owned();
        assert_eq!(fs::read(moved).expect("what was moved aside"), b"of another life");
        assert!(!stale.exists(), "a stale companion stayed beside the restored file");
        oracle::assert_equal(world.newest("a"), &target);
    }
}

/// A failure of one database puts none in place, unless what can be had is wanted.
#[test]
fn all_or_nothing_unless_it_is_to_keep_going() {
    let _turn = shared();
    let world = World::new("restore-all");
    let target = world.out("folder");
    fs::create_dir(&target).expect("a folder");
    fs::write(target.join("b.db"), b"precious").expect("written");
    assert_code(&world.restore(&["--all"], &target), 1);
    assert!(!target.join("a.db").exists(), "half a restore");
    assert_eq!(fs::read(target.join("b.db")).expect("the file"), b"precious");
    assert_code(&world.restore(&["--all", "--if-missing"], &target), 0);
    oracle::assert_equal(world.newest("a"), &target.join("a.db"));
    assert_eq!(fs::read(target.join("b.db")).expect("the file"), b"precious");
}

#[test]
fn exit_codes_tell_what_is_wrong() {
    let _turn = shared();
    let world = World::new("restore-codes");
    let target = world.out("x.db");
    let past_the_end = (world.points[2].seq + 1).to_string();
    for (code, arguments) in [
        (1, &["nobody"][..]),
        (0, &["nobody", "--if-available"]),
        (1, &["a", "--seq", &past_the_end]),
        (1, &["a", "--at", "1999-01-01T00:00:00Z"]),
        (2, &["a", "--at", "yesterday"]),
        (2, &["a", "--seq", "0"]),
        (2, &["../a"]),
        (2, &["--all", "a"]),
        (2, &["a", "--tiers", "no-such-tier"]),
        (2, &[]),
    ] {
        let output = world.restore(arguments, &target);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(!target.exists(), "{arguments:?} wrote something");
    }
    assert_code(&world.restore(&["a"], world.fleet.scratch.path()), 2);
    let elsewhere = |store: &Path, arguments: &[&str]| {
        let mut command = Command::new(e2e::walapply());
        command.args(["restore", "a", "--store"]).arg(store).arg("-o").arg(&target).args(arguments);
        command.output().expect("walapply runs")
    };
    assert_code(&elsewhere(Path::new("/nonexistent/store"), &[]), 5);
    let empty = world.out("empty");
    fs::create_dir(&empty).expect("a folder");
    assert_code(&elsewhere(&empty, &[]), 1);
    assert_code(&elsewhere(&empty, &["--if-available"]), 0);
    assert!(!target.exists());
}

/// `list` and `status` tell from the store alone what can be restored.
#[test]
fn the_store_alone_tells_what_is_in_it() {
    let _turn = shared();
    let world = World::new("restore-list");
    let mut command = Command::new(e2e::walapply());
    let output = command.arg("list").arg("--json").arg("--store").arg(world.fleet.store()).output();
    let output = output.expect("walapply runs");
    assert_code(&output, 0);
    let list: Value = serde_json::from_slice(&output.stdout).expect("a list");
    let databases = list["databases"].as_array().expect("databases");
    let names: Vec<_> =
        databases.iter().map(|each| each["name"].as_str().expect("a name")).collect();
    assert_eq!((list["fleet"].as_str(), names), (Some("e2e"), vec!["a", "b"]));
    for database in databases {
        assert_eq!(database["restorable"]["to_seq"], world.points[2].seq, "{database}");
        assert_eq!(database["incarnations"].as_array().map(Vec::len), Some(1), "{database}");
        assert!(database["bytes"].as_u64() > Some(0), "{database}");
    }
}
