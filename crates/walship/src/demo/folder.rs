//! The folder of one demo: where everything lies, the two configuration files, and its removal.
//!
//! ```text
//! walship.toml  walapply.toml   as an operator would write them; every path in them is relative
//! primary/      NAME.db         the live databases
//! store/                        the log
//! standby/      NAME.db         the followed databases
//! restored/     NAME.db         the others, restored at the end
//! walship/ walapply/            state folders
//! logs/ orders/                 what the processes said, what the writers were told
//! ```
//!
//! A temporary folder goes away with the value; one that was named by the user stays, and had to be empty.

use std::path::{Path, PathBuf};

use console::{ExitCode, Failure};
use tempfile::TempDir;

use super::fleet::Database;

/// The folder.
pub struct Folder {
    root: PathBuf,
    temporary: Option<TempDir>,
}

impl Folder {
    /// Makes the folder, or takes the empty one that the user names.
    ///
    /// # Errors
    /// A folder that is not empty, or that cannot be made.
    pub fn open(named: Option<&Path>) -> Result<Self, Failure> {
        let folder = match named {
            Some(root) => Self::take(root)?,
            None => Self::make()?,
        };
        for part in ["primary", "store", "standby", "walship", "walapply", "logs", "orders"] {
            let path = folder.root.join(part);
            std::fs::create_dir(&path).map_err(|error| cannot("make", &path, &error))?;
        }
        Ok(folder)
    }

    fn take(root: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(root).map_err(|error| cannot("make", root, &error))?;
        let mut entries = std::fs::read_dir(root).map_err(|error| cannot("read", root, &error))?;
        if entries.next().is_some() {
            let what = format!("{} is not empty", root.display());
            return Err(Failure::new(ExitCode::Usage, what)
                .hint("the demo fills a folder of its own: name a new one, or leave --dir out"));
        }
        let root = std::fs::canonicalize(root).map_err(|error| cannot("find", root, &error))?;
        Ok(Self { root, temporary: None })
    }

    fn make() -> Result<Self, Failure> {
        let temporary = tempfile::Builder::new().prefix("walship-demo-").tempdir();
        let temporary =
            temporary.map_err(|error| cannot("make a folder in", &std::env::temp_dir(), &error))?;
        Ok(Self { root: temporary.path().to_owned(), temporary: Some(temporary) })
    }

    /// The folder, if it stays.
    #[must_use]
    pub fn kept(&self) -> Option<&Path> {
        self.temporary.is_none().then_some(&*self.root)
    }

    /// A path inside.
    #[must_use]
    pub fn path(&self, part: &str) -> PathBuf {
        self.root.join(part)
    }

    /// The live file of a database.
    #[must_use]
    pub fn primary(&self, database: &Database) -> PathBuf {
        self.path("primary").join(database.file_name())
    }

    /// The other side of a database: the standby's file, or the restored one.
    #[must_use]
    pub fn copy(&self, database: &Database) -> PathBuf {
        let part = if database.is_followed { "standby" } else { "restored" };
        self.path(part).join(database.file_name())
    }

    /// Writes a file in it.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, part: &str, text: impl AsRef<[u8]>) -> Result<PathBuf, Failure> {
        let path = self.path(part);
        std::fs::write(&path, text).map_err(|error| cannot("write", &path, &error))?;
        Ok(path)
    }
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(ExitCode::Failed, format!("cannot {verb} {}: {error}", path.display()))
}

/// What both files begin with. The node is written, since not every machine has an id to derive it from.
fn head(program: &str) -> String {
    format!(
        "fleet = \"demo\"\nnode = \"demo-{program}\"\nstate_dir = \"{program}\"\n\n\
         [store]\nkind = \"local\"\npath = \"store\"\n"
    )
}

/// `walship.toml`. Names and tiers need no quoting: their alphabet has no quotes.
#[must_use]
pub fn walship_toml(fleet: &[Database]) -> String {
    let table = |database: &Database| {
        format!(
            "\n[[databases]]\npath = \"primary/{}\"\ntier = \"{}\"\nsync_interval = \"{}\"\n",
            database.file_name(),
            database.tier,
            database.sync_interval
        )
    };
    head("walship") + &fleet.iter().map(table).collect::<String>()
}

/// `walapply.toml`: the tiers to follow are those that the primary marks.
#[must_use]
pub fn walapply_toml() -> String {
    head("walapply") + "\n[standby]\ndir = \"standby\"\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::config::{WalapplyConfig, WalshipConfig, load};

    #[test]
    fn a_temporary_folder_goes_and_a_named_one_stays() {
        let folder = Folder::open(None).unwrap();
        let root = folder.path("");
        assert!(root.join("primary").is_dir() && folder.kept().is_none());
        drop(folder);
        assert!(!root.exists());
        let parent = tempfile::tempdir().unwrap();
        let named = parent.path().join("demo");
        drop(Folder::open(Some(&named)).unwrap());
        assert!(named.join("store").is_dir());
        let refused = Folder::open(Some(&named)).err().unwrap();
        assert_eq!(refused.exit, ExitCode::Usage);
        assert!(refused.error.contains("is not empty"), "{refused}");
    }

    #[test]
    fn the_configurations_are_read_by_the_programs() {
        let folder = Folder::open(None).unwrap();
        let fleet = super::super::fleet::fleet(69, false).unwrap();
        let walship = folder.write("walship.toml", walship_toml(&fleet)).unwrap();
        let walship: WalshipConfig = load(&walship).unwrap();
        assert_eq!(walship.databases.len(), 69);
        assert_eq!(walship.state_dir, folder.path("walship"));
        let walapply = folder.write("walapply.toml", walapply_toml()).unwrap();
        let walapply: WalapplyConfig = load(&walapply).unwrap();
        assert_eq!(walapply.standby().unwrap().dir, folder.path("standby"));
    }
}
