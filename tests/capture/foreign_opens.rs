//! The open() guard: closing a second descriptor of a database or its wal-index would drop SQLite's locks.

use std::process::Command;

use e2e::{App, Fleet, Load, shared};
use serde_json::json;

/// SQLite opens with `O_NOFOLLOW`, for reading and writing; no other code in a process does.
fn is_foreign(line: &str) -> bool {
    let is_ours = line.contains(".db\"") || line.contains(".db-shm\"");
    is_ours && !(line.contains("O_RDWR") && line.contains("O_NOFOLLOW"))
}

#[test]
fn only_sqlite_opens_databases_in_the_shipper() {
    let _turn = shared();
    let fleet = Fleet::new("opens", &["a", "journal", "later"]);
    Load::start(&fleet.db("a"), &json!({"rows": 300, "rate": 20, "seconds": 1})).finish();
    App::open(&fleet.db("journal"))
        .sql("CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(9000))");
    let shipper = fleet.replicate(&fleet.config("alpha"));
    let trace = fleet.scratch.file("trace");
    let mut strace = Command::new("strace");
    strace.arg("-f").arg("-o").arg(&trace).args(["-e", "trace=openat,open,openat2,creat"]);
    strace
        .arg(shipper.get_program())
        .args(shipper.get_args())
        .env("RUST_LOG", "walship=debug,info");
    let mut shipper = fleet.start(strace);
    shipper.await_line(&["owns the log"]);

    let load = Load::start(
        &fleet.db("a"),
        &json!({"writers": 2, "rate": 100, "checkpoint_ms": 100, "seconds": 2}),
    );
    App::open(&fleet.db("journal")).sql("DELETE FROM t; INSERT INTO t VALUES(1)");
    App::open(&fleet.db("later")).sql("PRAGMA journal_mode=WAL; CREATE TABLE t(v)");
    load.finish();
    std::fs::remove_file(fleet.db("a").with_extension("db-shm")).expect("removed");
    App::open(&fleet.db("a")).sql("DELETE FROM load WHERE id % 2 = 0");
    fleet.names().iter().for_each(|name| fleet.await_shipped(name));
    let child = fleet.pid_of_running_shipper();
    Command::new("kill").args(["-TERM", &child.to_string()]).status().expect("kill runs");
    assert_eq!(shipper.exit(), 0);

    let trace = std::fs::read_to_string(&trace).expect("the trace");
    let opens = trace.lines().filter(|line| line.contains(".db\"")).count();
    assert!(opens >= 3, "the trace shows no database being opened");
    let foreign: Vec<_> = trace.lines().filter(|line| is_foreign(line)).collect();
    assert!(foreign.is_empty(), "opened by other code than SQLite:\n{}", foreign.join("\n"));
    fleet.assert_all_equal();
}

/// The guard sees what it is for.
#[test]
fn a_foreign_open_is_seen() {
    assert!(is_foreign(r#"7 openat(AT_FDCWD, "/x/a.db", O_RDONLY|O_CLOEXEC) = 9"#));
    assert!(is_foreign(r#"7 openat(AT_FDCWD, "/x/a.db-shm", O_RDWR|O_CLOEXEC) = 9"#));
    assert!(!is_foreign(r#"7 openat(AT_FDCWD, "/x/a.db", O_RDWR|O_NOFOLLOW|O_CLOEXEC) = 9"#));
    assert!(!is_foreign(r#"7 openat(AT_FDCWD, "/x/a.db-wal", O_RDONLY|O_CLOEXEC) = 9"#));
}
