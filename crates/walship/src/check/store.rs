//! Whether the store is there or can be made, can be written, and holds a log that this host may write.

use std::io::ErrorKind;
use std::path::Path;

use console::config::WalshipConfig;
use console::{ExitCode, Failure};
use store::settings::{self, StoreSettings};
use store::{LocalStore, ObjectName, Put, Store, StoreError};

use super::folder::{nearest, why_not_writable};
use super::{Line, Verdict};
use crate::replicate::failure;
use crate::roster::random;
use crate::seen::Seen;

/// Folders of a store that a writer puts objects into.
const WRITTEN: [&str; 3] = ["log", "side", "snap"];
const RIGHTS: &str = "check `[store]` and the rights of this user";
/// Hidden, so that no listing of the store shows it.
const SCRATCH: &str = ".walship-check-";

pub(super) fn check(config: &WalshipConfig) -> Vec<Line> {
    if let Some(Err(failure)) = Seen::load(&config.state_dir).map(|seen| seen.check(config)) {
        return vec![Line::of_failure("store", failure)];
    }
    if let StoreSettings::Local { path } = &config.store
        && is_missing(path)
    {
        return vec![check_making(path)];
    }
    match settings::open(&config.store, false) {
        Ok(store) => vec![check_log(&*store, config), check_writing(&*store, &config.store)],
        Err(error) => vec![line_of("store reachable", &error)],
    }
}

fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Whether the log can be read, and whether this host may write it.
fn check_log(store: &dyn Store, config: &WalshipConfig) -> Line {
    let held = match fleet_log::FleetFile::of_fleet(store, &config.fleet)
        .and_then(|_| fleet_log::held(store))
    {
        Ok(Some(fleet_log::Held { lost, .. })) if !lost.is_empty() => {
            return Line::of_failure("store readable", failure(&lost[0]));
        }
        Ok(Some(held)) => held,
        Ok(None) => return Line::new("store readable", Verdict::Ok, "no log yet"),
        Err(error) => return Line::of_failure("store readable", failure(&error)),
    };
    let found = format!("log ends before seq {}", held.tail.next);
    match (held.tail.owner, config.node()) {
        (Some(owner), Ok(node)) if owner != node => {
            let found = format!("the log belongs to {owner}, this host is {node}");
            Line::new("owner of the log", Verdict::Fail, found)
                .hint("only its owner ships to it: check `node`, `fleet` and `[store]`")
                .exit(ExitCode::Fenced)
        }
        _ => Line::new("store readable", Verdict::Ok, found),
    }
}

/// A store that is not there is made by the first `replicate`, if it can be.
fn check_making(path: &Path) -> Line {
    match try_out(nearest(path)) {
        Ok(Trial::Kept) => Line::new("store", Verdict::Warn, "not there yet")
            .hint("the first `walship replicate` makes it"),
        Ok(Trial::Broken) => overwrites(),
        Err(failure) => {
            let found = format!("{} cannot be made: {}", path.display(), failure.error);
            Line::new("store", Verdict::Fail, found)
                .hint("make this folder writable for this user, or correct `path` in [store]")
                .exit(ExitCode::Usage)
        }
    }
}

fn check_writing(store: &dyn Store, settings: &StoreSettings) -> Line {
    let tried = match settings {
        StoreSettings::Local { path } => why_shut(path).map_or_else(|| try_out(path), Err),
        _ => promise_of(store).map_err(Failure::from),
    };
    match tried {
        Ok(Trial::Kept) => Line::new("store writable", Verdict::Ok, "create-if-absent holds"),
        Ok(Trial::Broken) => overwrites(),
        Err(failure) => Line::of_failure("store writable", failure.hint(RIGHTS)),
    }
}

/// A folder that another user made, such as by a first run as root.
fn why_shut(store: &Path) -> Option<Failure> {
    let made =
        WRITTEN.map(|folder| store.join(folder)).into_iter().filter(|folder| folder.exists());
    let why = made.into_iter().find_map(|folder| why_not_writable(&folder))?;
    Some(Failure::new(ExitCode::StoreUnreachable, why))
}

/// Whether a store keeps the promise that everything rests on.
enum Trial {
    Kept,
    Broken,
}

/// Makes a store in a scratch folder and tries it out there: it is on the same disk, of the same user, and nothing is
/// left in the real one.
fn try_out(folder: &Path) -> Result<Trial, Failure> {
    let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(folder);
    let scratch = scratch.map_err(|error| {
        Failure::new(ExitCode::StoreUnreachable, format!("{}: {error}", folder.display()))
    })?;
    let tried = LocalStore::open(&scratch.path().join("store"), true)
        .and_then(|store| promise_of(&store))?;
    scratch.close().map_err(|error| Failure::from_error(ExitCode::Failed, &error))?;
    Ok(tried)
}

/// Creates an object under a random name, which nobody waits for, twice, and removes it.
fn promise_of(store: &dyn Store) -> Result<Trial, StoreError> {
    let name = ObjectName::hold(random());
    let first = store.put_if_absent(&name, b"{}")?.value;
    let second = store.put_if_absent(&name, b"{}")?.value;
    store.delete(&name)?;
    let is_kept = (first, second) == (Put::Created, Put::Exists);
    Ok(if is_kept { Trial::Kept } else { Trial::Broken })
}

fn overwrites() -> Line {
    let found = "the store overwrote an object that was to be created only if absent";
    Line::new("store writable", Verdict::Fail, found)
        .hint("this store cannot fence two writers: use another")
}

fn line_of(check: &str, error: &StoreError) -> Line {
    Line::new(check, Verdict::Fail, error.to_string()).hint(RIGHTS).exit(error.class().into())
}
