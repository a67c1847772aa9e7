//! Pages that somebody changed on the standby, kept as they were found before they are repaired.
//!
//! One folder per find, `evidence/NAME-MILLIS/`, with `page-PGNO.bin` for each page (at most 1,024) and `find.json`. A file that
//! is no database any more is moved there whole. Nothing here is ever read or removed by this program.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use segment::{Millis, Name};
use serde_json::json;

use super::{Drift, files};
use crate::error::ApplyError;

/// Writes down what was found. (the folder)
pub(crate) fn keep(
    state_dir: &Path,
    name: &Name,
    now: Millis,
    drift: &Drift,
) -> Result<PathBuf, ApplyError> {
    let folder = folder(state_dir, name, now)?;
    for (page, image) in &drift.images {
        let path = folder.join(format!("page-{page}.bin"));
        fs::write(&path, image).map_err(ApplyError::file(&path, "writing"))?;
    }
    let find = json!({ "database": name, "found_ms": now, "pages": drift.pages, "images": drift.images.len() });
    let path = folder.join("find.json");
    fs::write(&path, find.to_string()).map_err(ApplyError::file(&path, "writing"))?;
    Ok(folder)
}

/// Moves what lies at a path with one of these endings out of the way. (the folder)
pub(crate) fn move_aside(
    state_dir: &Path,
    name: &Name,
    now: Millis,
    path: &Path,
    endings: impl IntoIterator<Item = &'static str>,
) -> Result<PathBuf, ApplyError> {
    let folder = folder(state_dir, name, now)?;
    for ending in endings {
        let from = files::companion(path, ending);
        let to = folder.join(format!("{}.db{ending}", name.as_str()));
        move_file(&from, &to)?;
    }
    files::sync_folder(path)?;
    Ok(folder)
}

/// A rename; across file systems a copy of the content, then removal.
fn move_file(from: &Path, to: &Path) -> Result<(), ApplyError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            fs::copy(from, to).map_err(ApplyError::file(from, "copying"))?;
            files::remove(from)
        }
        other => other.map_err(ApplyError::file(from, "moving aside")),
    }
}

fn folder(state_dir: &Path, name: &Name, now: Millis) -> Result<PathBuf, ApplyError> {
    let folder = state_dir.join("evidence").join(format!("{}-{now}", name.as_str()));
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(ApplyError::file(&folder, "making the folder"))?;
    Ok(folder)
}
