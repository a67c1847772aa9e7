//! The SQLites with which a standby may be read: Python's own, the shell, and those that `ci/sqlites` has fetched.

use std::fs;

use crate::programs::target;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sqlite(String);

impl Sqlite {
    /// All there are.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let fetched = fs::read_dir(target().join("sqlites")).into_iter().flatten();
        let paths = fetched.map(|entry| entry.expect("a folder's entry").path());
        let packages = paths.filter(|path| path.join("apsw").is_dir());
        let mut words: Vec<_> = packages.map(|path| path.display().to_string()).collect();
        words.sort();
        words.extend(["python3", "shell"].map(str::to_owned));
        words.into_iter().map(Self).collect()
    }

    /// How the readers' scripts name it.
    pub(crate) fn word(&self) -> &str {
        &self.0
    }
}
