//! Many databases, few descriptors.

use e2e::{App, Fleet, shared};

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

/// An idle database costs one connection.
#[test]
fn idle_databases_cost_few_descriptors_and_no_writes() {
    let _turn = shared();
    let count = 100;
    let fleet = fleet_of("idle", count);
    let shipper = fleet.ship();
    e2e::until("all databases in the log", || {
        let history = fleet.history();
        let shipped = history.catalogue.databases.values().filter(|entry| entry.base.is_some());
        (shipped.count() == count).then_some(())
    });
    e2e::until("idle databases to hold at most 4 descriptors each", || {
        (descriptors(shipper.pid()) <= 4 * count + 30).then_some(())
    });
    println!("{} descriptors for {count} idle databases", descriptors(shipper.pid()));
    let before = fleet.history().last();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(fleet.history().last(), before, "an idle fleet writes nothing");
    assert_eq!(shipper.terminate(), 0);
    fleet.assert_verified();
}

fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
}
