//! The configuration files of both programs: read, checked once, and handed on as values.
//!
//! Whatever is wrong with the content is told with line and column, and an unknown key with the one that was probably
//! meant. Relative paths are taken from the folder of the file. What [`load`] returns needs no further checks: no text is
//! empty, tiers exist, names are unique ignoring case (the standby's file system may ignore it too), patterns are valid,
//! intervals are within their bounds.

mod databases;
mod discover;
mod error;
mod place;
mod table;
mod tiers;
mod units;
mod walapply;
mod walship;

use std::path::{Path, PathBuf};

use segment::Name;
use serde::de::DeserializeOwned;
use store::settings::StoreSettings;

use crate::node::{self, NodeError};
use place::Way;

pub use databases::{DatabaseRule, Source};
pub use discover::{Database, Discovery, Homes, Taken, discover};
pub use error::ConfigError;
pub use place::Place;
pub use tiers::Tiers;
pub use units::{
    ByteSize, Threshold, UnitError, duration, format_duration, optional_duration, parse_duration,
};
pub use walapply::{StandbySettings, WalapplyConfig};
pub use walship::WalshipConfig;

/// A configuration that can be loaded from a file.
pub trait Config: DeserializeOwned {
    /// Takes relative paths from this folder.
    fn rebase(&mut self, folder: &Path);

    /// Checks what one value alone cannot tell.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    fn check(&self) -> Result<(), Complaint>;
}

/// What is wrong with values that are well formed each by itself, and which of them it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    message: String,
    hint: Option<String>,
    ways: Vec<Way>,
}

impl Complaint {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, ways: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the value; after others, one to look at where those have their defaults.
    fn at(mut self, way: Way) -> Self {
        self.ways.push(way);
        self
    }

    fn in_file(self, path: &Path, text: &str) -> ConfigError {
        let place = Place::of_ways(text, &self.ways);
        ConfigError::Invalid { path: path.into(), place, message: self.message, hint: self.hint }
    }
}

/// Reads and checks a configuration file.
///
/// # Errors
/// When the file cannot be read, is not TOML, has unknown or missing keys, or makes no sense.
pub fn load<T: Config>(path: &Path) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.into(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    parse(path, absolute.parent().unwrap_or(Path::new("/")), &text)
}

/// Reads and checks the text of a configuration file that stands in `folder`.
///
/// # Errors
/// As [`load`].
pub fn parse<T: Config>(path: &Path, folder: &Path, text: &str) -> Result<T, ConfigError> {
    let mut config: T =
        toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))?;
    refuse_empty_texts(path, text)?;
    config.rebase(folder);
    config.check().map_err(|complaint| complaint.in_file(path, text))?;
    Ok(config)
}

/// There is no key that an empty text means anything for, and an empty path would mean the folder of the file.
fn refuse_empty_texts(path: &Path, text: &str) -> Result<(), ConfigError> {
    let Some((key, place)) = place::of_empty_text(text) else { return Ok(()) };
    let message = format!("`{key}` is empty");
    let hint = Some("write a value, or leave the key out where it has a default".to_owned());
    Err(ConfigError::Invalid { path: path.into(), place, message, hint })
}

/// The configured node, or the one that the machine's id gives.
fn node_or_default(configured: Option<&Name>) -> Result<Name, NodeError> {
    configured.map_or_else(node::default_node, |name| Ok(name.clone()))
}

fn rebase_path(path: &mut PathBuf, folder: &Path) {
    *path = folder.join(&path);
}

/// Refuses a folder in the store: what lies there belongs to the log, and nothing else does.
fn outside_of(store: &StoreSettings, folder: &Path, what: &str, way: Way) -> Result<(), Complaint> {
    let Some(path) = store.folder_around(folder) else { return Ok(()) };
    Err(Complaint::new(format!("{what} lies in the store, {}", path.display()))
        .hint("it needs a folder of its own")
        .at(way))
}

fn rebase_store(store: &mut StoreSettings, folder: &Path) {
    if let StoreSettings::Local { path } = store {
        rebase_path(path, folder);
    }
}

#[cfg(test)]
mod tests;
