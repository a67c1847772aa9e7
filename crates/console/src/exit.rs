//! The exit codes of both programs, and the one type in which a command fails.
//!
//! The six numbers are a contract with service managers and scripts: they stand here and nowhere else.
//! A [`Failure`] is what `main` gets: the error's text, the exit code, and what the operator should run next.

use std::fmt;
use std::process::ExitCode as ProcessExit;

use serde_json::{Value, json};
use store::ErrorClass;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Fine = 0,
    /// The command failed; the message says why.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Another host owns the log.
    Fenced = 3,
    /// Stored bytes do not verify, or are of an unknown format.
    Corrupt = 4,
    /// The store did not answer, or did not let us in.
    StoreUnreachable = 5,
}

impl ExitCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Fine,
        Self::Failed,
        Self::Usage,
        Self::Fenced,
        Self::Corrupt,
        Self::StoreUnreachable,
    ];

    /// The number that the process ends with.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code with this number; a number outside the contract counts as [`ExitCode::Failed`].
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|code| code.number() == number).unwrap_or(Self::Failed)
    }
}

impl From<ErrorClass> for ExitCode {
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Retry | ErrorClass::Unknown | ErrorClass::Denied => Self::StoreUnreachable,
            ErrorClass::Corrupt => Self::Corrupt,
            ErrorClass::Invalid => Self::Usage,
        }
    }
}

impl From<ExitCode> for ProcessExit {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// Why a command failed, in the form that is shown to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error and its causes, outermost first, joined by `: `.
    pub error: String,
    /// The code that the process ends with.
    pub exit: ExitCode,
    /// What to run or change next.
    pub hint: Option<String>,
    document: Option<Box<Value>>,
}

impl Failure {
    /// A failure told in words.
    pub fn new(exit: ExitCode, error: impl Into<String>) -> Self {
        Self { error: error.into(), exit, hint: None, document: None }
    }

    /// A failure told by an error and the chain of its sources.
    pub fn from_error(exit: ExitCode, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(exit, chain(error))
    }

    /// The same failure with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with the report that `--json` shows in place of [`Failure::json`]'s own: some commands find out
    /// much before they fail, and a reader expects one document.
    #[must_use]
    pub fn document(mut self, document: Value) -> Self {
        self.document = Some(Box::new(document));
        self
    }

    /// What `--json` shows: the command's report, or `{error, hint, exit}`.
    #[must_use]
    pub fn json(&self) -> Value {
        self.document.as_deref().cloned().unwrap_or_else(
            || json!({ "error": self.error, "hint": self.hint, "exit": self.exit.number() }),
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n hint: {hint}"))
    }
}

impl std::error::Error for Failure {}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        Self::from_error(error.class().into(), &error)
    }
}

/// Joins an error with its causes; a cause that the text before it already tells is not repeated.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_contract() {
        assert_eq!(ExitCode::ALL.map(ExitCode::number), [0, 1, 2, 3, 4, 5]);
        assert_eq!(ExitCode::ALL.map(|code| ExitCode::from_number(code.number())), ExitCode::ALL);
        assert_eq!(ExitCode::from_number(77), ExitCode::Failed);
    }

    #[test]
    fn a_report_takes_the_place_of_the_plain_document() {
        let failure = Failure::new(ExitCode::Corrupt, "2 objects are damaged").hint("restore");
        let plain = json!({ "error": "2 objects are damaged", "hint": "restore", "exit": 4 });
        assert_eq!(failure.json(), plain);
        assert_eq!(failure.document(json!({ "damaged": 2 })).json(), json!({ "damaged": 2 }));
    }

    #[test]
    fn a_failure_shows_causes_once_and_the_hint_last() {
        #[derive(Debug)]
        struct Outer(std::io::Error, &'static str);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.1)
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let silent = Outer(std::io::Error::other("disk gone"), "cannot ship");
        let telling = Outer(std::io::Error::other("disk gone"), "cannot ship: disk gone");
        for outer in [silent, telling] {
            let failure = Failure::from_error(ExitCode::Failed, &outer).hint("check the disk");
            assert_eq!(failure.to_string(), "error: cannot ship: disk gone\n hint: check the disk");
        }
    }
}
