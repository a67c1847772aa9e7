//! `fleet.json`: whose store this is. It is put before the first fence.
//!
//! A log without it was not made by us, or was mutilated: refused. Another fleet's name means that the
//! configuration points at the wrong store: refused, before anything is written.

use crate::{LogError, Tail, find_tail};
use segment::{FORMAT_VERSION, FleetId, Millis, Name, ObjectName};
use serde::{Deserialize, Serialize};
use store::{ErrorClass, Put, Store};

/// The content of `fleet.json`. Keys that are not known here are a newer program's and are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetFile {
    /// The fleet's name.
    pub name: Name,
    /// Its random id, which every segment carries.
    pub id: FleetId,
    /// The format version of the store.
    pub format: u16,
    /// When the store was first written.
    pub created: Millis,
}

impl FleetFile {
    /// Reads it; `None` where neither it nor a log is there.
    ///
    /// # Errors
    /// [`LogError::NotALog`] where there is a log without it, or it is damaged.
    pub fn read(store: &dyn Store) -> Result<Option<FleetFile>, LogError> {
        if let Some(found) = stored(store)? {
            return Ok(Some(found));
        }
        match find_tail(store)? {
            Tail::Empty { .. } => Ok(None),
            // A writer that was just beginning may have put both since.
            Tail::At { .. } => stored(store)?.map(Some).ok_or_else(log_without_it),
        }
    }

    /// Reads it and checks that it is the fleet `name`'s.
    ///
    /// # Errors
    /// [`LogError::WrongFleet`], and as for [`FleetFile::read`].
    pub fn of_fleet(store: &dyn Store, name: &Name) -> Result<Option<FleetFile>, LogError> {
        let found = FleetFile::read(store)?;
        found.map(|found| found.check_name(name)).transpose()
    }

    /// Reads it, or puts it where the store is empty: `fresh` then becomes the store's.
    ///
    /// # Errors
    /// As for [`FleetFile::of_fleet`].
    pub fn read_or_create(store: &dyn Store, fresh: FleetFile) -> Result<FleetFile, LogError> {
        if let Some(found) = FleetFile::of_fleet(store, &fresh.name)? {
            return Ok(found);
        }
        let body = serde_json::to_vec_pretty(&fresh).expect("BUG: plain fields always serialize");
        match store.put_if_absent(&ObjectName::fleet_json(), &body) {
            Ok(reply) if reply.value == Put::Created => Ok(fresh),
            Err(error) if error.class() != ErrorClass::Unknown => Err(error.into()),
            // Another writer was first, or the answer was lost: what stands there counts.
            Ok(_) | Err(_) => {
                let found = FleetFile::of_fleet(store, &fresh.name)?;
                found.ok_or_else(|| not_kept().into())
            }
        }
    }

    /// The first one of a new fleet.
    #[must_use]
    pub fn new(name: Name, id: FleetId, created: Millis) -> FleetFile {
        FleetFile { name, id, format: FORMAT_VERSION, created }
    }

    fn check_name(self, name: &Name) -> Result<FleetFile, LogError> {
        if self.name.key() == name.key() {
            return Ok(self);
        }
        Err(LogError::WrongFleet { expected: name.clone(), found: self.name })
    }
}

fn stored(store: &dyn Store) -> Result<Option<FleetFile>, LogError> {
    let Some(object) = store.get(&ObjectName::fleet_json())?.value else { return Ok(None) };
    let file: FleetFile = serde_json::from_slice(&object.body)
        .map_err(|error| LogError::NotALog { detail: format!("fleet.json is damaged: {error}") })?;
    if file.format > FORMAT_VERSION {
        return Err(LogError::NotALog {
            detail: format!(
                "fleet.json has format {}, this program reads up to {FORMAT_VERSION}: upgrade this program",
                file.format
            ),
        });
    }
    Ok(Some(file))
}

fn log_without_it() -> LogError {
    LogError::NotALog {
        detail: "there is a log, but no fleet.json that says whose it is".to_owned(),
    }
}

fn not_kept() -> store::StoreError {
    store::StoreError::ambiguous(
        ObjectName::fleet_json(),
        "the answer was lost and the object is not there",
    )
}
