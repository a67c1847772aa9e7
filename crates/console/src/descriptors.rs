//! Room for the descriptors that a fleet needs, before the first database is opened.
//!
//! launchd starts programs with a soft limit of 256. A fleet that does not fit is refused at start with the number
//! needed: running out in the middle would look like broken databases.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::exit::{ExitCode, Failure};

/// The limit on open descriptors is too low and cannot be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{needed} open files are needed, but the limit is {limit}")]
pub struct TooFewDescriptors {
    /// What the fleet needs.
    pub needed: u64,
    /// What this process may have at most.
    pub limit: u64,
}

impl From<TooFewDescriptors> for Failure {
    fn from(error: TooFewDescriptors) -> Self {
        let needed = error.needed;
        Self::from_error(ExitCode::Usage, &error).hint(format!(
            "raise the hard limit: `ulimit -Hn {needed}`, LimitNOFILE={needed} (systemd), \
             HardResourceLimits NumberOfFiles {needed} (launchd)"
        ))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Enough,
    RaiseTo(u64),
    Refuse { limit: u64 },
}

/// Makes sure that this process may hold `needed` descriptors, raising the soft limit where that is not so.
///
/// # Errors
/// When the hard limit, or the system, does not allow it.
pub fn ensure(needed: u64) -> Result<(), TooFewDescriptors> {
    let limit = getrlimit(Resource::Nofile);
    match plan(&limit, needed) {
        Plan::Enough => Ok(()),
        Plan::RaiseTo(soft) => raise(limit, soft),
        Plan::Refuse { limit } => Err(TooFewDescriptors { needed, limit }),
    }
}

/// macOS refuses more than `kern.maxfilesperproc` even where the hard limit says unlimited.
fn raise(limit: Rlimit, needed: u64) -> Result<(), TooFewDescriptors> {
    let raised = Rlimit { current: Some(needed), ..limit };
    setrlimit(Resource::Nofile, raised)
        .map_err(|_| TooFewDescriptors { needed, limit: limit.current.unwrap_or(u64::MAX) })
        .inspect(|()| tracing::debug!(needed, "raised the limit on open files"))
}

fn plan(limit: &Rlimit, needed: u64) -> Plan {
    let allows = |bound: Option<u64>| bound.is_none_or(|bound| bound >= needed);
    if allows(limit.current) {
        Plan::Enough
    } else if allows(limit.maximum) {
        Plan::RaiseTo(needed)
    } else {
        Plan::Refuse { limit: limit.maximum.unwrap_or(u64::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_only_as_far_as_needed() {
        let limit = |current, maximum| Rlimit { current, maximum };
        assert_eq!(plan(&limit(Some(1_024), Some(4_096)), 256), Plan::Enough);
        assert_eq!(plan(&limit(Some(256), Some(4_096)), 300), Plan::RaiseTo(300));
        assert_eq!(plan(&limit(Some(256), None), 300), Plan::RaiseTo(300));
        assert_eq!(plan(&limit(None, None), u64::MAX), Plan::Enough);
        assert_eq!(plan(&limit(Some(256), Some(256)), 300), Plan::Refuse { limit: 256 });
    }

    /// One test for both, since the limit belongs to the whole process.
    #[test]
    fn the_limit_of_this_process_follows_and_an_impossible_one_changes_nothing() {
        let before = getrlimit(Resource::Nofile);
        let soft = before.current.expect("test machines limit open files");
        assert_eq!(ensure(soft), Ok(()));
        assert_eq!(getrlimit(Resource::Nofile), before);
        if before.maximum.is_none_or(|hard| hard > soft) {
            assert_eq!(ensure(soft + 1), Ok(()));
            assert_eq!(getrlimit(Resource::Nofile).current, Some(soft + 1));
        }
        let before = getrlimit(Resource::Nofile);
        assert_eq!(ensure(u64::MAX - 1).map_err(|error| error.needed), Err(u64::MAX - 1));
        assert_eq!(getrlimit(Resource::Nofile), before);
    }

    #[test]
    fn a_refusal_tells_the_number() {
        let failure = Failure::from(TooFewDescriptors { needed: 340, limit: 256 });
        assert_eq!(failure.exit, ExitCode::Usage);
        assert!(failure.to_string().contains("340 open files are needed"), "{failure}");
        assert!(failure.to_string().contains("ulimit -Hn 340"), "{failure}");
    }
}
