//! Many databases, few descriptors.

use e2e::{App, Fleet, resident_kib, scaled, shared, until};

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("db{n:03}")).collect()
}

fn fleet_of(test: &str, count: usize) -> Fleet {
    let names = names(count);
    let fleet = Fleet::new(test, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut app = App::start();
    for name in &names {
        app.connect(name, &fleet.db(name));
        app.sql_on(name, "PRAGMA journal_mode=WAL; CREATE TABLE t(v)");
        app.close(name);
    }
    fleet
}

/// launchd starts programs with 256 descriptors. Where more cannot be had, the number needed is named at once.
#[test]
fn too_few_descriptors_are_refused_with_the_number_needed() {
    let _turn = shared();
    let fleet = fleet_of("descriptors", 69);
    let shipper = fleet.replicate(&fleet.config("alpha"));
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=256:256").arg(shipper.get_program()).args(shipper.get_args());
    let program = fleet.start(command);
    let log = program.log_path();
    assert_eq!(program.exit(), 2, "a matter of configuration");
    let words = std::fs::read_to_string(log).expect("its log");
    assert!(words.contains("open files are needed") && words.contains("256"), "{words}");
    assert!(
        !fleet.store().join("log").exists() || fleet.history().tables.is_empty(),
        "nothing was begun"
    );
}

/// Resident memory that a shipper may have by itself, and for each idle database, in KiB. Seen of a debug build: 26 MB for
/// 100 of them and 93 MB for 1,000, so 75 KiB each.
const RESIDENT_KIB: usize = 40 << 10;
const RESIDENT_KIB_EACH: usize = 96;

/// An idle database costs one connection: few descriptors, little memory, no writes. The short form has 100, the long
/// form 1,000. Processor time is measured by the bench `idle`.
#[test]
fn idle_databases_cost_few_descriptors_little_memory_and_no_writes() {
    let _turn = shared();
    let count = usize::try_from(scaled(100, 1_000)).expect("a count");
    let fleet = fleet_of("idle", count);
    let shipper = fleet.ship();
    until("all databases in the log", || {
        let history = fleet.history();
        let shipped = history.catalogue.databases.values().filter(|entry| entry.base.is_some());
        (shipped.count() == count).then_some(())
    });
    until("idle databases to hold at most 4 descriptors each", || {
        (descriptors(shipper.pid()) <= 4 * count + 30).then_some(())
    });
    let resident_max = RESIDENT_KIB + RESIDENT_KIB_EACH * count;
    let requests = || fleet.status()["requests"].clone();
    let (before, asked) = (fleet.history().last(), requests());
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(fleet.history().last(), before, "an idle fleet writes nothing");
    let asked_since = requests();
    for class in ["write", "list", "delete"] {
        assert_eq!(asked_since[class], asked[class], "requests of an idle fleet: {class}");
    }
    assert!(asked["write"].as_u64() > Some(before.get()), "every object was written: {asked}");
    let resident = resident_kib(shipper.pid());
    println!(
        "{} descriptors and {resident} KiB for {count} idle databases",
        descriptors(shipper.pid())
    );
    assert!(resident <= resident_max, "{resident} KiB for {count} databases");
    assert_eq!(shipper.terminate(), 0);
    fleet.assert_verified();
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
}
