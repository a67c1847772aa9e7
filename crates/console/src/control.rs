//! The control socket: how commands ask a running program.
//!
//! A Unix socket `control.sock` (mode 0600) in the state folder; one JSON line each way, then the connection ends. Only
//! the process that holds the folder's lock serves, so a socket file found at start is a leftover and is replaced.
//! Requests and answers are bounded, and a client that says nothing is dropped after some seconds.

mod client;
mod path;
mod server;
mod silence;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use client::{AskError, ask};
pub use server::Server;
pub use silence::{Silence, status, told_silence};

const SOCKET_FILE: &str = "control.sock";
/// A request is a command and a few arguments.
const REQUEST_BYTES_MAX: u64 = 64 << 10;
/// The status of ten thousand databases takes about 3 MB.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// What a client asks, like `{"command": "status"}`; further keys are the command's arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The command's name.
    pub command: String,
    /// Its arguments.
    #[serde(flatten)]
    pub arguments: Map<String, Value>,
}

impl Request {
    /// A command without arguments.
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), arguments: Map::new() }
    }

    /// The same request with one more argument.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.arguments.insert(key.to_owned(), value.into());
        self
    }
}

/// The answer that says no; the client turns it into [`AskError::Refused`].
#[must_use]
pub fn refusal(why: &str) -> Value {
    json!({ "error": why })
}

fn refused(answer: &Value) -> Option<&str> {
    let object = answer.as_object().filter(|object| object.len() == 1)?;
    object.get("error")?.as_str()
}

#[cfg(test)]
mod tests;
