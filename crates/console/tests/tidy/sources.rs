//! The sources of the workspace.

use std::path::{Path, PathBuf};

/// A source file.
pub(crate) struct Source {
    /// Path from the root of the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Whether it is there for tests alone. `testing.rs` holds their helpers, `conformance.rs` a suite; `sim` and what
    /// stands outside the crates are tests as a whole.
    pub(crate) fn is_test(&self) -> bool {
        const FOLDERS: [&str; 2] = ["/tests/", "/benches/"];
        const FILES: [&str; 3] = ["tests.rs", "/testing.rs", "/conformance.rs"];
        let is_product = self.path.starts_with("crates/") && !self.path.starts_with("crates/sim/");
        !is_product
            || FOLDERS.iter().any(|folder| self.path.contains(folder))
            || FILES.iter().any(|file| self.path.ends_with(file))
    }

    /// Its lines with their numbers, without those of a test module at its end.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test() { Some(0) } else { self.text.find("\n#[cfg(test)]\nmod ") };
        self.text[..end.unwrap_or(self.text.len())]
            .lines()
            .zip(1..)
            .map(|(line, number)| (number, line))
    }

    /// All its lines with their numbers.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().zip(1..).map(|(line, number)| (number, line))
    }

    pub(crate) fn told(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Rust source of the workspace, and of the fuzz targets, which are a workspace of their own.
pub(crate) fn all() -> Vec<Source> {
    let mut found = Vec::new();
    for folder in ["crates", "tests", "benches", "fuzz"].map(|folder| root().join(folder)) {
        if folder.is_dir() {
            collect(&root(), &folder, &mut found);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                collect(root, &path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(Source {
                path: path.strip_prefix(root).unwrap().display().to_string(),
                text,
            });
        }
    }
}
