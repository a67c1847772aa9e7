//! What can be told about a running program that does not answer.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use segment::Millis;
use serde_json::{Value, json};
use store::clock::{Clock as _, SystemClock};

use super::{AskError, Request, ask};
use crate::exit::Failure;
use crate::output::age;
use crate::state_dir;

/// The key of a status document that holds a [`Silence`].
const KEY: &str = "silent";

/// A program that holds its state folder and does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Its number, where its lock tells it.
    pub process: Option<u32>,
    /// The age in seconds of the newest trace that it left in its state folder.
    pub last_sign_seconds: Option<u64>,
}

impl Silence {
    pub(super) fn of(folder: &Path) -> Self {
        let now = SystemClock.now();
        let age = |at: Millis| Duration::from_millis(now.since(at)).as_secs();
        Self {
            process: state_dir::holder(folder).and_then(|text| text.parse().ok()),
            last_sign_seconds: state_dir::last_written(folder).map(age),
        }
    }

    fn document(&self) -> Value {
        json!({
            "process": self.process,
            "last_sign_seconds": self.last_sign_seconds,
            "error": self.to_string(),
            "hint": self.hint(),
        })
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let process = self.process.map_or_else(|| "PID".to_owned(), |process| process.to_string());
        format!(
            "`kill -CONT {process}` if it was stopped; else `kill -9 {process}` and start it again: what was committed is \
             not lost by it"
        )
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the running program")?;
        if let Some(process) = self.process {
            write!(f, " (process {process})")?;
        }
        f.write_str(" does not answer")?;
        match self.last_sign_seconds {
            Some(seconds) => {
                write!(f, "; its last sign of life is {} old", age(Duration::from_secs(seconds)))
            }
            None => Ok(()),
        }
    }
}

/// The running program's own status. Without a program, or where it cannot be talked to, what `of_store` tells; of a
/// program that does not answer the document then says so, and [`told_silence`] shows it.
///
/// # Errors
/// When neither the program nor the store answers.
pub fn status(
    state_dir: &Path,
    timeout: Duration,
    of_store: impl FnOnce() -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let silence = match ask(state_dir, &Request::new("status"), timeout) {
        Ok(answer) => return Ok(answer),
        Err(AskError::NotRunning) => return of_store(),
        Err(AskError::Silent(silence)) => silence,
        Err(error) => {
            tracing::warn!(%error, "the store is read instead");
            return of_store();
        }
    };
    let mut answer = of_store().map_err(|mut failure| {
        failure.error = format!("{silence}; {}", failure.error);
        failure
    })?;
    answer[KEY] = silence.document();
    Ok(answer)
}

/// What [`status`] found about a program that does not answer, in two lines for people.
#[must_use]
pub fn told_silence(status: &Value) -> Option<String> {
    let silent = &status[KEY];
    Some(format!("{}\n hint: {}\n", silent["error"].as_str()?, silent["hint"].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_told_as_is_known() {
        let known = Silence { process: Some(47), last_sign_seconds: Some(185) };
        let told =
            "the running program (process 47) does not answer; its last sign of life is 3m 05s old";
        assert_eq!(known.to_string(), told);
        assert!(known.hint().contains("`kill -CONT 47`"));
        let unknown = Silence { process: None, last_sign_seconds: None };
        assert_eq!(unknown.to_string(), "the running program does not answer");
        assert!(unknown.hint().contains("`kill -CONT PID`"));
        let status = json!({ "running": false, KEY: known.document() });
        assert_eq!(told_silence(&status), Some(format!("{told}\n hint: {}\n", known.hint())));
        assert_eq!(told_silence(&json!({ "running": true })), None);
    }
}
