//! Errors as the operator of a command sees them: with the object's name, the exit code, and what to run next.

use console::{ExitCode, Failure};
use fleet_log::LogError;
use segment::ObjectName;

use crate::ApplyError;
use crate::restore::TargetError;

/// The log's error; what blames a log object names it as the store does.
pub(crate) fn blame(error: LogError) -> ApplyError {
    match error {
        // A flipped bit in the version looks like a newer format; either way these bytes cannot be used.
        LogError::Corrupt { seq, detail } | LogError::NewerFormat { seq, detail } => {
            ApplyError::Corrupt { what: ObjectName::log(seq).to_string(), detail }
        }
        LogError::Missing { seq } => ApplyError::Missing(ObjectName::log(seq).to_string()),
        LogError::Behind { seq, .. } => ApplyError::Gone(seq),
        other => ApplyError::Log(other),
    }
}

/// What to do about the newest object of the log that cannot be used: later ones lead a follower past it, and nobody else
/// can.
pub(crate) fn tail_hint(error: &LogError) -> Option<&'static str> {
    let is_damage = matches!(error, LogError::Corrupt { .. } | LogError::Missing { .. });
    is_damage.then_some(
        "bring the object back from a copy of the store; without one, a primary that still runs leads past it with what it \
         ships next; for one that was stopped, and whose log no other host took over, move the object, and log.json in the \
         primary's state_dir, aside: walship captures anew what it held. `walapply restore --seq` and `list` need no newer one",
    )
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let failure = Failure::from_error(error.exit_code(), &error);
        match hint(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

fn hint(error: &ApplyError) -> Option<&'static str> {
    match error {
        ApplyError::Target(error) => target_hint(error),
        ApplyError::NoSuchPoint(_) => {
            Some("`walapply list` shows the databases and the range that can be restored")
        }
        ApplyError::Gone(_) => {
            Some("the primary deleted old log objects meanwhile; run the command again")
        }
        ApplyError::Corrupt { .. } | ApplyError::Missing(_) => Some(
            "`walapply verify` lists all damage; an earlier --seq or --at may need other objects",
        ),
        _ if error.exit_code() == ExitCode::StoreUnreachable => Some(
            "check that the store in the configuration's [store] table is there and may be read",
        ),
        _ => None,
    }
}

fn target_hint(error: &TargetError) -> Option<&'static str> {
    match error {
        TargetError::Exists(_) => Some("--force replaces it, --if-missing leaves it alone"),
        TargetError::Stale(_) => {
            Some("stop what uses it; --force moves it aside together with its database")
        }
        TargetError::Full { .. } => Some("free some space, or restore to another disk"),
        _ => None,
    }
}
