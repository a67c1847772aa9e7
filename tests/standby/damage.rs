//! Damage in the store, of every kind of object and every kind of harm: never applied, always named, never a silent stall.
//!
//! The cases share one store, which holds log objects with and without catalogues, side objects, and bases of one part
//! and of several; each case damages a copy of it. A second standby that had followed half of the log goes on with the
//! damaged copy; a new one begins with it.

use std::path::{Path, PathBuf};
use std::process::Output;

use e2e::objects::{Objects, copy_folder, names};
use e2e::{Fleet, Ledger, Program, Rng, Standby, oracle, shared};
use serde_json::json;

/// A store with every kind of object, and a standby of its first half.
struct Original {
    fleet: Fleet,
    half: Standby,
}

impl Original {
    fn new() -> Self {
        let fleet = Fleet::new("damage", &["a", "b"]).setting("heartbeat_interval = \"1h\"");
        let half = Standby::named(&fleet, "half");
        Ledger::commit(&fleet.db("a"), 30);
        Ledger::commit(&fleet.db("b"), 30);
        assert_eq!(fleet.ship_once(), 0);
        half.catch_up();
        Ledger::commit(&fleet.db("a"), 5);
        assert_eq!(fleet.ship_once(), 0);
        for _ in 0..2 {
            // More than fits into a log object.
            let large = json!({"commits": 8, "bytes": 1_300_000, "keep": 16});
            Ledger::write(&fleet.db("b"), &large).finish();
            assert_eq!(fleet.ship_once(), 0);
        }
        Ledger::commit(&fleet.db("a"), 5);
        Ledger::commit(&fleet.db("b"), 5);
        assert_eq!(fleet.ship_once(), 0);
        Self { fleet, half }
    }

    /// The case of this name, in a folder of its own.
    fn case(&self, name: &str) -> Case {
        let folder = self.fleet.scratch.file("cases").join(name);
        let store = folder.join("store");
        copy_folder(&self.fleet.store(), &store);
        copy_folder(&self.half.databases(), &folder.join("half/databases"));
        copy_folder(&self.half.state_dir(), &folder.join("half/state"));
        Case { name: name.to_owned(), folder, objects: Objects::of(&store), store }
    }

    /// What `verify` says, and its exit code, where no read of an object succeeds; it names the object.
    fn verify_over_bad_sector(&self, object: &str) -> (Option<i32>, String) {
        let store = self.fleet.store();
        let mut verify = std::process::Command::new("strace");
        verify.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=read,pread64:error=EIO", "-P"]);
        verify.arg(store.join(object)).arg(e2e::walapply()).args(["verify", "--store"]).arg(store);
        let output = verify.output().expect("strace runs walapply");
        let text = said(&output);
        assert!(is_named(&text, &[object]), "verify does not name {object}:\n{text}");
        (output.status.code(), text)
    }
}

/// Whether one of the damaged objects is named: whoever meets one of them need not look for another.
fn is_named(text: &str, damaged: &[&str]) -> bool {
    damaged.iter().any(|object| names(text, object))
}

struct Case {
    name: String,
    folder: PathBuf,
    store: PathBuf,
    objects: Objects,
}

/// What a command said.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

impl Case {
    /// Both standbys meet the damage; whichever needs what is damaged names it, and neither ever holds a wrong state.
    fn meets(&self, original: &Original, damaged: &[&str]) {
        let verified = self.command("verify");
        let text = said(&verified);
        assert_eq!(verified.status.code(), Some(4), "{}: verify:\n{text}", self.name);
        assert!(
            is_named(&text, damaged),
            "{}: verify does not name {damaged:?}:\n{text}",
            self.name
        );
        let mut complaints = 0;
        for name in ["half", "new"] {
            let standby = Standby::over(&self.folder.join(name), &self.store);
            let output = standby.once();
            complaints += usize::from(self.judge(original, &standby, &output, damaged));
        }
        let restored = self.restore();
        complaints += usize::from(self.judge_restore(original, &restored, damaged));
        println!("{}: {complaints} of 3 readers needed {damaged:?}", self.name);
        std::fs::remove_dir_all(&self.folder).expect("removed");
    }

    fn command(&self, command: &str) -> Output {
        let mut walapply = std::process::Command::new(e2e::walapply());
        walapply.arg(command).arg("--store").arg(&self.store).arg("--json");
        walapply.output().expect("walapply runs")
    }

    fn restore(&self) -> Output {
        let mut walapply = std::process::Command::new(e2e::walapply());
        walapply.args(["restore", "--all", "--store"]).arg(&self.store);
        walapply.arg("-o").arg(self.folder.join("restored")).output().expect("walapply runs")
    }

    /// True if it complained; then by exit code and name. If it did not, it has everything.
    fn judge(
        &self,
        original: &Original,
        standby: &Standby,
        output: &Output,
        damaged: &[&str],
    ) -> bool {
        let text = said(output);
        if output.status.success() {
            standby.assert_equal(&original.fleet);
            return false;
        }
        assert_eq!(output.status.code(), Some(4), "{}:\n{text}", self.name);
        assert!(is_named(&text, damaged), "{}: {damaged:?} is not named:\n{text}", self.name);
        for name in ["a", "b"] {
            assert_whole(&standby.db(name), &self.name);
        }
        true
    }

    fn judge_restore(&self, original: &Original, output: &Output, damaged: &[&str]) -> bool {
        let text = said(output);
        let target = |name: &str| self.folder.join(format!("restored/{name}.db"));
        if output.status.success() {
            for name in original.fleet.names() {
                oracle::assert_equal(&original.fleet.db(name), &target(name));
            }
            return false;
        }
        assert_eq!(output.status.code(), Some(4), "{}: restore:\n{text}", self.name);
        assert!(
            is_named(&text, damaged),
            "{}: restore does not name {damaged:?}:\n{text}",
            self.name
        );
        assert!(!target("a").exists() && !target("b").exists(), "{}: half a restore", self.name);
        true
    }
}

/// A database that is there keeps its invariants: it is some state that the primary had.
fn assert_whole(database: &Path, case: &str) {
    if std::fs::metadata(database).is_ok_and(|file| file.len() > 0) {
        let mut reader = Ledger::read(database, e2e::Reading::Fresh);
        let sees = reader.sees(1);
        let report = reader.stop();
        assert!(sees, "{case}: {} is not whole: {report}", database.display());
    }
}

/// Harms that leave the bytes under their name wrong.
#[test]
fn flipped_truncated_swapped_and_deleted_objects_are_named_and_never_applied() {
    let _turn = shared();
    let mut rng = Rng::seeded("damage");
    let original = Original::new();
    let objects = Objects::of(&original.fleet.store());
    let [log, side, base] = ["log/", "side/", "snap/"].map(|prefix| objects.named(prefix));
    println!(
        "{} log objects, {} side objects, {} parts of bases",
        log.len(),
        side.len(),
        base.len()
    );
    assert!(log.len() >= 5 && side.len() >= 2 && base.len() >= 2, "not every kind is there");
    // The last object of the log may be missing: then it was never written.
    let lasting = &log[..log.len() - 1];
    for (kind, names) in [("log", lasting), ("side", &side[..]), ("base", &base[..])] {
        let any = |rng: &mut Rng| {
            names[usize::try_from(rng.below(names.len() as u64)).expect("small")].clone()
        };
        for round in 0..2 {
            let damaged = any(&mut rng);
            let case = original.case(&format!("flip-{kind}-{round}"));
            case.objects.flip(&damaged, rng.number());
            case.meets(&original, &[&damaged]);
        }
        let damaged = any(&mut rng);
        let case = original.case(&format!("flip-header-{kind}"));
        case.objects.flip(&damaged, rng.below(288 * 8));
        case.meets(&original, &[&damaged]);

        let damaged = any(&mut rng);
        let case = original.case(&format!("truncate-{kind}"));
        let length = case.objects.bytes(&damaged).len() as u64;
        case.objects.truncate(&damaged, usize::try_from(rng.below(length)).expect("small"));
        case.meets(&original, &[&damaged]);

        let case = original.case(&format!("swap-{kind}"));
        let swapped = &names[names.len() - 2..];
        case.objects.swap(&swapped[0], &swapped[1]);
        case.meets(&original, &[&swapped[0], &swapped[1]]);

        let damaged = any(&mut rng);
        let case = original.case(&format!("delete-{kind}"));
        case.objects.delete(&damaged);
        case.meets(&original, &[&damaged]);

        let (code, text) = original.verify_over_bad_sector(&any(&mut rng));
        assert_eq!(code, Some(4), "{text}");
    }
}

/// The small objects: whose store it is, and the boundary of deletion.
#[test]
fn damaged_small_objects_stop_every_reader_by_name() {
    let _turn = shared();
    let fleet = Fleet::new("damage-small", &["a"]);
    Ledger::commit(&fleet.db("a"), 5);
    assert_eq!(fleet.ship_once(), 0);
    let objects = Objects::of(&fleet.store());
    let identity = objects.bytes("fleet.json");
    for (harm, bytes) in
        [("cut", &identity[..identity.len() / 2]), ("empty", b""), ("other", b"[7]")]
    {
        objects.replace("fleet.json", bytes);
        let output = Standby::named(&fleet, harm).once();
        assert_eq!(output.status.code(), Some(4), "{harm}: {}", said(&output));
        assert!(said(&output).contains("fleet.json"), "{harm}: {}", said(&output));
    }
    objects.delete("fleet.json");
    let output = Standby::named(&fleet, "deleted").once();
    assert_eq!(output.status.code(), Some(4), "a log of nobody: {}", said(&output));
    objects_with_boundary(&fleet, &identity);
}

fn objects_with_boundary(fleet: &Fleet, identity: &[u8]) {
    std::fs::write(fleet.store().join("fleet.json"), identity).expect("written");
    std::fs::create_dir_all(fleet.store().join("gc")).expect("a folder");
    std::fs::write(fleet.store().join("gc/boundary"), b"{\"retired\":").expect("written");
    let output = Standby::named(fleet, "boundary").once();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("gc/boundary"), "{}", said(&output));
    std::fs::remove_file(fleet.store().join("gc/boundary")).expect("removed");
    let standby = Standby::named(fleet, "sound");
    standby.catch_up();
    standby.assert_equal(fleet);
}

/// The follower says that a database cannot go on, goes on with the others, and heals by the next base.
#[test]
fn a_follower_heals_by_itself_as_soon_as_there_is_a_newer_base() {
    let _turn = shared();
    let fleet = Fleet::new("damage-heal", &["a", "b"]).sync_interval("20ms");
    let standby = Standby::of(&fleet);
    for name in fleet.names() {
        Ledger::commit(&fleet.db(name), 30);
    }
    assert_eq!(fleet.ship_once(), 0);
    standby.catch_up();
    Ledger::commit(&fleet.db("a"), 1);
    let shipper = fleet.ship();
    fleet.await_shipped("a");
    let objects = Objects::of(&fleet.store());
    let history = fleet.history();
    let changed = history.sections("a").count();
    let with_change =
        history.tables.iter().rfind(|table| !table.sections.is_empty()).expect("a change");
    let damaged = format!("log/{:020}.seg", with_change.header.seq.expect("a log object").get());
    assert!(changed >= 2, "the change has a section of its own");
    let length = objects.bytes(&damaged).len() as u64;
    // A shipper that starts reads the log's end; one that runs knows it.
    objects.flip(&damaged, (length - 1) * 8);
    let follower = standby.follow();
    let told = standby.await_state("a", "corrupt");
    assert!(told["detail"].as_str().is_some_and(|detail| names(detail, &damaged)), "{told}");
    let commits = Ledger::commit(&fleet.db("b"), 10);
    let mut reader = Ledger::read(&standby.db("b"), e2e::Reading::Fresh);
    assert!(reader.sees(commits), "b is held up by a");
    println!("{}", reader.stop());
    assert_whole(&standby.db("a"), "heal");

    // Changes of more than the size of the database, and of more than 16 MiB, make a base.
    let bases = fleet.history().bases("a");
    for round in 0.. {
        let much = json!({"commits": 25, "bytes": 400_000, "keep": 20, "seed": round});
        Ledger::write(&fleet.db("a"), &much).finish();
        fleet.await_shipped("a");
        if fleet.history().bases("a") > bases {
            break;
        }
        assert!(round < 30, "no base was made");
    }
    standby.await_state("a", "live");
    standby.await_equal(&fleet);
    assert_eq!(follower.terminate(), 0);
    assert_eq!(shipper.terminate(), 0);
    standby.assert_equal(&fleet);
}

/// An object that changed only `a` is damaged, later ones change only `b`: nothing that follows tells that `a` is not what
/// it was.
struct LostChange {
    fleet: Fleet,
    shipper: Program,
    /// One that had the log before that object, and one that begins with the damage.
    standbys: [Standby; 2],
    followers: [Program; 2],
}

impl LostChange {
    /// Both standbys doubt `a`, over a restart too, and name the object.
    fn new(test: &str) -> Self {
        let fleet = Fleet::new(test, &["a", "b"])
            .sync_interval("20ms")
            .setting("heartbeat_interval = \"1h\"");
        for name in fleet.names() {
            Ledger::commit(&fleet.db(name), 30);
        }
        let shipper = fleet.ship();
        fleet.names().iter().for_each(|name| fleet.await_shipped(name));
        let standbys = ["former", "new"].map(|name| Standby::named(&fleet, name));
        standbys[0].catch_up();
        for name in ["a", "b", "b"] {
            Ledger::commit(&fleet.db(name), 1);
            fleet.await_shipped(name);
        }
        let lost = fleet.history().last_change("a").expect("a change").get();
        let lost = format!("log/{lost:020}.seg");
        Objects::of(&fleet.store()).flip(&lost, 150 * 8);
        for standby in [&standbys[0], &standbys[0], &standbys[1]] {
            let output = standby.once();
            assert_eq!(output.status.code(), Some(4), "{}", said(&output));
            assert!(is_named(&said(&output), &[&lost]), "{lost} is not named: {}", said(&output));
        }
        let mut followers = [standbys[0].follow(), standbys[1].follow()];
        followers.iter_mut().for_each(|follower| drop(follower.await_line(&["following"])));
        let told = standbys[0].await_state("a", "doubtful");
        assert!(told["detail"].as_str().is_some_and(|detail| names(detail, &lost)), "{told}");
        assert!(told["apply_lag_seconds"].as_f64().is_some_and(|lag| lag > 0.0), "{told}");
        standbys.iter().for_each(|standby| drop(standby.await_state("b", "live")));
        assert_whole(&standbys[0].db("a"), test);
        Self { fleet, shipper, standbys, followers }
    }

    fn heals(self) {
        for standby in &self.standbys {
            standby.await_state("a", "live");
            standby.await_equal(&self.fleet);
        }
        for program in self.followers.into_iter().chain([self.shipper]) {
            assert_eq!(program.terminate(), 0);
        }
        for standby in &self.standbys {
            standby.catch_up();
            standby.assert_equal(&self.fleet);
        }
    }
}

#[test]
fn a_database_whose_change_was_lost_is_doubted_until_a_base_is_asked_for() {
    let _turn = shared();
    let lost_change = LostChange::new("doubt-asked");
    let mut snapshot = std::process::Command::new(e2e::walship());
    snapshot.args(["snapshot", "a", "-c"]).arg(lost_change.fleet.config("alpha"));
    let output = snapshot.output().expect("walship runs");
    assert!(output.status.success(), "{}", said(&output));
    lost_change.heals();
}

/// A primary that starts behind the object does not know what it changed either.
#[test]
fn a_database_whose_change_was_lost_is_doubted_until_the_primary_starts_again() {
    let _turn = shared();
    let LostChange { fleet, shipper, standbys, followers } = LostChange::new("doubt-restart");
    assert_eq!(shipper.terminate(), 0);
    let shipper = fleet.ship();
    LostChange { fleet, shipper, standbys, followers }.heals();
}

/// Nothing follows that could lead past it, so both programs stop, and say what a person can do; the second way out is
/// gone. What stands before it can be restored all the while.
#[test]
fn a_damaged_last_object_is_told_with_what_to_do_and_without_it_the_log_goes_on() {
    let _turn = shared();
    let fleet = Fleet::new("damage-last", &["a"]);
    let standby = Standby::of(&fleet);
    Ledger::commit(&fleet.db("a"), 5);
    assert_eq!(fleet.ship_once(), 0);
    standby.catch_up();
    Ledger::commit(&fleet.db("a"), 1);
    assert_eq!(fleet.ship_once(), 0);
    let objects = Objects::of(&fleet.store());
    let last = objects.named("log/").pop().expect("a log");
    objects.truncate(&last, 100);
    let mut ship = fleet.replicate(&fleet.config("alpha"));
    for output in [ship.arg("--once").output().expect("walship runs"), standby.once()] {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(names(&text, &last), "{text}");
        assert!(text.contains("a copy of the store"), "{text}");
        assert!(text.contains("log.json in"), "{text}");
    }
    let restored = fleet.scratch.file("restored.db");
    let before = objects.named("log/").len() - 1;
    let mut restore = standby.command("restore");
    restore.args(["a", "--seq", &before.to_string(), "-o"]).arg(&restored);
    let output = restore.output().expect("walapply runs");
    assert!(output.status.success(), "{}", said(&output));
    standby.assert_mirrors(&restored, "a");
    let seen = fleet.scratch.file("state-alpha").join("log.json");
    for (path, aside) in [(fleet.store().join(&last), "object.aside"), (seen, "log.json.aside")] {
        std::fs::rename(path, fleet.scratch.file(aside)).expect("moved aside");
    }
    assert_eq!(fleet.ship_once(), 0);
    fleet.assert_all_equal();
    standby.catch_up();
    standby.assert_equal(&fleet);
}
