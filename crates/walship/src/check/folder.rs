//! Whether a folder can be used, or made, where it is configured.

use std::path::Path;

use console::StateDir;
use rustix::fs::{Access, access};

use super::{Line, Verdict};

/// The folder itself, or the innermost of those above it that is there.
pub(super) fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/"))
}

/// What keeps this user from making names in a folder, if anything does.
pub(super) fn why_not_writable(folder: &Path) -> Option<String> {
    let name = folder.display();
    if !folder.is_dir() {
        return Some(format!("{name} is not a folder"));
    }
    let error = access(folder, Access::WRITE_OK | Access::EXEC_OK).err()?;
    Some(format!("{name} is not writable: {error}"))
}

pub(super) fn check_state_dir(path: &Path) -> Line {
    if let Some(why) = why_not_writable(nearest(path)) {
        return Line::new("state_dir", Verdict::Fail, why)
            .hint("make it writable for this user, or choose another `state_dir`");
    }
    match StateDir::check(path, "walship") {
        Ok(()) => Line::new("state_dir", Verdict::Ok, path.display().to_string()),
        Err(error) => Line::of_failure("state_dir", error.into()),
    }
}
