//! Which store to use, as it stands in a configuration file:
//!
//! ```toml
//! [store]
//! kind = "local"
//! path = "/var/lib/walship/store"
//! ```

use crate::{LocalStore, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The `[store]` table. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum StoreSettings {
    /// A folder of this host.
    Local {
        /// The folder; not on a network file system.
        path: PathBuf,
    },
}

impl StoreSettings {
    /// The store's folder, if `path` lies in it, whatever names and symbolic links lead there: what stands in that folder
    /// belongs to the log, and nothing else does.
    #[must_use]
    pub fn folder_around(&self, path: &Path) -> Option<&Path> {
        let Self::Local { path: folder } = self;
        real(path).starts_with(real(folder)).then_some(folder)
    }
}

/// Where a path leads: by the links that exist, and by its words from there on.
fn real(path: &Path) -> PathBuf {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = path.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    let rest = existing.and_then(|(part, real)| Some(real.join(path.strip_prefix(part).ok()?)));
    let mut real = PathBuf::new();
    for part in rest.as_deref().unwrap_or(path).components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
    }
    real
}

/// Opens the store. With `create`, what a writer needs is made where it is missing; without, nothing is
/// written, so that read-only access is enough.
///
/// # Errors
/// Settings that cannot work, or a store that is not there.
pub fn open(settings: &StoreSettings, create: bool) -> Result<Arc<dyn Store>, StoreError> {
    match settings {
        StoreSettings::Local { path } => Ok(Arc::new(LocalStore::open(path, create)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_and_unknown_keys_are_refused() {
        let read = |text| serde_json::from_str::<StoreSettings>(text);
        let local = read(r#"{"kind": "local", "path": "/srv/store"}"#).unwrap();
        assert_eq!(local, StoreSettings::Local { path: "/srv/store".into() });
        for refused in [
            r#"{"kind": "local", "path": "/srv/store", "colour": "red"}"#,
            r#"{"kind": "tape", "path": "/srv/store"}"#,
            r#"{"kind": "local"}"#,
        ] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_path_into_the_folder_is_known_by_where_it_leads() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        let settings = StoreSettings::Local { path: at("store") };
        std::fs::create_dir_all(at("store/log")).unwrap();
        std::os::unix::fs::symlink(at("store/log"), at("link")).unwrap();
        for inside in
            ["store", "store/new/one", "link", "link/new", "store/log/../x", "missing/../store/x"]
        {
            assert_eq!(settings.folder_around(&at(inside)), Some(&*at("store")), "{inside}");
        }
        for outside in ["", "other", "store2", "store/../other"] {
            assert_eq!(settings.folder_around(&at(outside)), None, "{outside}");
        }
        let here = StoreSettings::Local { path: ".".into() };
        assert!(here.folder_around(Path::new("x.db")).is_some());
        assert!(here.folder_around(Path::new("../x.db")).is_none());
        let missing = StoreSettings::Local { path: at("missing") };
        assert!(missing.folder_around(&at("missing/state")).is_some());
    }

    #[test]
    fn reading_does_not_make_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let settings = StoreSettings::Local { path: scratch.path().join("a/b") };
        assert!(matches!(open(&settings, false), Err(StoreError::Unavailable { .. })));
        open(&settings, true).unwrap();
        open(&settings, false).unwrap();
    }
}
