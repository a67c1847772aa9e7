//! Values of the command line: one fallible constructor each, so that no command checks them again.

use std::str::FromStr as _;

use segment::{Millis, Name, Seq};

/// A database's name.
pub(super) fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

/// A position of the log.
pub(super) fn seq(text: &str) -> Result<Seq, String> {
    let number = text.parse::<u64>().map_err(|error| error.to_string())?;
    Seq::new(number).ok_or_else(|| "the log begins at 1".to_owned())
}

/// An instant, with its offset from UTC.
pub(super) fn instant(text: &str) -> Result<Millis, String> {
    let instant = jiff::Timestamp::from_str(text).map_err(|_| {
        "expected an instant with an offset, such as 2026-11-25T09:30:00Z".to_owned()
    })?;
    let millis = u64::try_from(instant.as_millisecond())
        .map_err(|_| "instants before 1970 hold no backups")?;
    Ok(Millis::new(millis))
}
