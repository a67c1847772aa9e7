//! One test's folder.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A temporary folder that outlives a failed test.
#[derive(Debug)]
pub struct Scratch {
    folder: Option<tempfile::TempDir>,
}

impl Scratch {
    /// A new folder, named after the test.
    #[must_use]
    pub fn new(test: &str) -> Self {
        let made = tempfile::Builder::new().prefix(&format!("walship-{test}-")).tempdir();
        Self { folder: Some(made.expect("a temporary folder")) }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().expect("BUG: taken only when dropped").path()
    }

    /// A path in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// Writes a configuration in one step, and only if it is another one: a program may be reading it.
pub(crate) fn configure(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return;
    }
    let folder = path.parent().expect("BUG: a file stands in a folder");
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("a configuration file");
    file.write_all(text.as_bytes()).expect("written");
    file.persist(path).expect("put in place");
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("left for a look: {}", folder.keep().display());
        }
    }
}
