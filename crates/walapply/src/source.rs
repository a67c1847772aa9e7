//! The store that a command reads, and whose it is.
//!
//! Commands that read a store need nothing else: a configuration, or only the path of a local folder. Nothing is
//! written, so read-only access is enough.

use std::path::Path;
use std::sync::Arc;

use console::{Failure, WalapplyConfig};
use fleet_log::FleetFile;
use segment::{Name, ObjectName};
use store::Store;
use store::settings::StoreSettings;

use crate::ApplyError;
use crate::cli::SourceArgs;
use crate::failure::blame;
use crate::list::BASE_PREFIX;
use crate::patient::Patient;

/// An opened store.
pub struct Source {
    /// The store; its reads are tried again where that may help.
    pub store: Arc<dyn Store>,
    /// Whose it is; `None` while nothing was ever written to it.
    pub fleet: Option<FleetFile>,
    settings: StoreSettings,
}

impl Source {
    /// Opens what the command line names.
    ///
    /// # Errors
    /// A configuration that makes no sense, a store that does not answer, another fleet's store.
    pub fn open(args: &SourceArgs) -> Result<Self, Failure> {
        match (&args.config, &args.store) {
            (_, Some(path)) => Ok(Self::of(&StoreSettings::Local { path: path.clone() }, None)?),
            (Some(path), None) => {
                let config: WalapplyConfig = console::config::load(path)?;
                Ok(Self::of(&config.store, Some(&config.fleet))?)
            }
            (None, None) => {
                Err(ApplyError::Usage("-c FILE or --store DIR is needed".to_owned()).into())
            }
        }
    }

    /// Opens a store; with `expected`, another fleet's is refused.
    ///
    /// # Errors
    /// As for [`Source::open`].
    pub fn of(settings: &StoreSettings, expected: Option<&Name>) -> Result<Self, ApplyError> {
        let store = Patient::over(store::settings::open(settings, false)?);
        let fleet = match expected {
            Some(name) => FleetFile::of_fleet(&*store, name),
            None => FleetFile::read(&*store),
        };
        Ok(Self { fleet: fleet.map_err(blame)?, store, settings: settings.clone() })
    }

    /// Refuses to write into the store.
    ///
    /// # Errors
    /// [`ApplyError::Usage`] where `output` lies in its folder.
    pub fn keep_out(&self, output: &Path) -> Result<(), ApplyError> {
        match self.settings.folder_around(output) {
            Some(folder) => Err(ApplyError::Usage(format!(
                "-o {} lies in the store, {}, where nothing but the log may be",
                output.display(),
                folder.display()
            ))),
            None => Ok(()),
        }
    }

    /// The fleet, for commands that need one.
    ///
    /// # Errors
    /// While the store is empty, and where it has lost its `fleet.json`.
    pub fn fleet(&self) -> Result<&FleetFile, ApplyError> {
        match &self.fleet {
            Some(fleet) => Ok(fleet),
            None => Err(self.without_fleet()?),
        }
    }

    /// A primary writes `fleet.json` first; where a log stands without it, that was told on opening.
    fn without_fleet(&self) -> Result<ApplyError, ApplyError> {
        if !self.store.list(BASE_PREFIX, None, 1)?.value.entries.is_empty() {
            let detail = "it is missing like the log, though there are bases".to_owned();
            return Ok(ApplyError::Corrupt { what: ObjectName::fleet_json().to_string(), detail });
        }
        let detail = "the store is empty: no primary has written to it yet";
        Ok(ApplyError::Unfit(detail.to_owned()))
    }
}
