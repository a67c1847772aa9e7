//! Damage: what may happen to the objects of a local store.

use std::fs;
use std::path::{Path, PathBuf};

/// The objects of a local store, by name.
#[derive(Debug)]
pub struct Objects {
    store: PathBuf,
}

impl Objects {
    /// Those of this store.
    #[must_use]
    pub fn of(store: &Path) -> Self {
        Self { store: store.to_owned() }
    }

    /// The names that begin so, in their order.
    #[must_use]
    pub fn named(&self, prefix: &str) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.store, &self.store, &mut names);
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("an object")
    }

    /// Other bytes under this name.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        self.delete(name);
        fs::write(self.path(name), bytes).expect("written");
    }

    /// One bit is another one.
    pub fn flip(&self, name: &str, bit: u64) {
        let mut bytes = self.bytes(name);
        let at = usize::try_from(bit / 8).expect("a place") % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        self.replace(name, &bytes);
    }

    /// The last bytes are gone.
    pub fn truncate(&self, name: &str, keep: usize) {
        let bytes = self.bytes(name);
        self.replace(name, &bytes[..keep.min(bytes.len())]);
    }

    /// Two objects have each other's bytes.
    pub fn swap(&self, one: &str, other: &str) {
        let (bytes, others) = (self.bytes(one), self.bytes(other));
        self.replace(one, &others);
        self.replace(other, &bytes);
    }

    /// It is gone.
    pub fn delete(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.store.join(name)
    }
}

fn collect(root: &Path, folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, names);
        } else {
            let name = path.strip_prefix(root).expect("BUG: it was found under the root");
            names.push(name.to_string_lossy().into_owned());
        }
    }
}

/// Whether a message names an object: by its name, or a log object by its number.
#[must_use]
pub fn names(text: &str, object: &str) -> bool {
    let number =
        object.strip_prefix("log/").and_then(|name| name.strip_suffix(".seg")?.parse::<u64>().ok());
    let told = |number| ["log object", "log objects", "seq"].map(|word| format!("{word} {number}"));
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_digit());
    let has = |words: &String| {
        text.match_indices(words.as_str()).any(|(at, _)| ends(&text[at + words.len()..]))
    };
    text.contains(object) || number.is_some_and(|number| told(number).iter().any(has))
}

/// A copy of a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (kind, target) = (entry.file_type().expect("a type"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// What a folder holds: paths, and the bytes of files.
#[must_use]
pub fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut names = Vec::new();
    collect(folder, folder, &mut names);
    names.sort();
    let read = |name: String| {
        let path = folder.join(name);
        let bytes = fs::read(&path).unwrap_or_default();
        (path, bytes)
    };
    names.into_iter().map(read).collect()
}
