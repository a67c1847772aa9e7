//! What the program remembers between starts besides page hashes: which file each name was.
//!
//! A hint only. Without it a replaced file is compared page by page with what the log holds, which is
//! right but ships a replacement as a change instead of as a new life.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use console::config::Homes;
use segment::Name;
use serde::{Deserialize, Serialize};

use crate::identity::FileId;

/// Its file in the state folder.
pub const FILE: &str = "files.json";

/// One remembered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Where it was.
    pub path: PathBuf,
    /// Which file it was; `None` if there was none.
    pub file: Option<FileId>,
}

/// All remembered files, by the name of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory(pub BTreeMap<Name, Remembered>);

impl Memory {
    /// Reads what was remembered; nothing if it cannot be read.
    #[must_use]
    pub fn load(path: &Path) -> Self {
        let Ok(text) = fs::read(path) else { return Self::default() };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "what was remembered of the files is not readable");
            Self::default()
        })
    }

    /// Where each database was, by the key of its name.
    #[must_use]
    pub fn homes(&self) -> Homes {
        self.0.iter().map(|(name, remembered)| (name.key(), remembered.path.clone())).collect()
    }

    /// Writes it beside the old one, then in its place.
    ///
    /// # Errors
    /// Write errors.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_remembered_and_garbage_is_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("files.json");
        assert_eq!(Memory::load(&path), Memory::default());
        let mut memory = Memory::default();
        let file = FileId::at(folder.path());
        memory.0.insert(
            Name::parse("a").expect("a name"),
            Remembered { path: "/srv/a.db".into(), file },
        );
        memory.save(&path).expect("saved");
        assert_eq!(Memory::load(&path), memory);
        fs::write(&path, b"{").expect("written");
        assert_eq!(Memory::load(&path), Memory::default());
    }
}
