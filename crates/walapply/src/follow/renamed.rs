//! Bringing the file of a renamed database to where its name says.
//!
//! - No file stays readable under a former name: it is moved to the new one. Where a file stands there already, the
//!   content of that one decides, and the former one is moved to the evidence; so is one that is no database any more.
//! - What is not ours under a former name is left there; what is not ours under the new one is waited for
//!   ([`ApplyError::NotOurs`], Invariant O1 of `replica::own`).
//! - Whoever reads the file is waited for ([`ApplyError::Busy`]).
//!
//! What must happen before what: our own connections are closed, the WAL is emptied into the file, then it is moved, then
//! what is known of it. After a crash in between the next start meets the rename in the log again: the position is not
//! saved before the file was brought.

use std::fs;

use segment::Name;

use crate::error::ApplyError;
use crate::heal::Place;
use crate::replica::{evidence, files, own, sidecar};
use crate::sqlite::Checker;

/// Leaves no file under the former names of a database.
pub(super) fn bring(place: &Place) -> Result<(), ApplyError> {
    // The newest content stands under the newest name that there is a file of.
    for former in place.formers.iter().rev() {
        bring_from(place, former)?;
        sidecar::rename(&place.state_dir, former, &place.name);
    }
    Ok(())
}

fn bring_from(place: &Place, former: &Name) -> Result<(), ApplyError> {
    let from = place.path_of(former);
    let Some(length) = files::length(&from)? else { return Ok(()) };
    if let Err(error) = check(place, former) {
        tracing::warn!(db = %place.name, %error, "not renamed");
        return Ok(());
    }
    check(place, &place.name)?;
    let alone = match length {
        0 => None,
        _ => match Checker::open_alone(&from) {
            Ok(alone) => Some(alone),
            Err(error) if error.is_broken_file() => return move_aside(place, former),
            Err(error) => return Err(error),
        },
    };
    if let Some(alone) = &alone {
        alone.checkpoint_truncate()?;
        files::remove(&files::companion(&from, "-wal"))?;
        files::remove(&files::companion(&from, "-shm"))?;
    }
    let is_taken = files::length(&place.path)?.is_some();
    if is_taken && !files::is_one_file(&from, &place.path)? {
        return move_aside(place, former);
    }
    if !is_taken && files::companions_present(&place.path)? {
        // Without their database; they would be taken for those of the one that comes.
        move_aside(place, &place.name)?;
    }
    fs::rename(&from, &place.path).map_err(ApplyError::file(&from, "renaming"))?;
    files::sync_folder(&place.path)?;
    tracing::info!(db = %place.name, %former, "renamed");
    Ok(())
}

/// Whether what stands under a name is ours.
fn check(place: &Place, name: &Name) -> Result<(), ApplyError> {
    let remembered = sidecar::read(&sidecar::path(&place.state_dir, name)).file;
    own::check(&place.path_of(name), remembered).map(drop)
}

fn move_aside(place: &Place, name: &Name) -> Result<(), ApplyError> {
    let (path, now) = (place.path_of(name), place.clock.now());
    let endings = [""].into_iter().chain(files::COMPANIONS);
    let kept = evidence::move_aside(&place.state_dir, name, now, &path, endings)?;
    let kept = kept.display();
    tracing::warn!(db = %place.name, %name, %kept, "what stood under this name is not the database: moved aside");
    Ok(())
}

#[cfg(test)]
mod tests;
