//! One test's folder.

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

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("left for a look: {}", folder.keep().display());
        }
    }
}
