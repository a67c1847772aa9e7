//! Which store to use, as it stands in a configuration file:
//!
//! ```toml
//! [store]
//! kind = "local"
//! path = "/var/lib/walship/store"
//! ```

use crate::{LocalStore, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
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
    fn reading_does_not_make_the_folder() {
        let scratch = tempfile::tempdir().unwrap();
        let settings = StoreSettings::Local { path: scratch.path().join("a/b") };
        assert!(matches!(open(&settings, false), Err(StoreError::Unavailable { .. })));
        open(&settings, true).unwrap();
        open(&settings, false).unwrap();
    }
}
