//! Log lines, always on standard error: standard output belongs to the answer of a command.
//!
//! `RUST_LOG` chooses levels as in every program of this kind (`info` where it is not set); the format is text for
//! people or one JSON object a line for collectors. A line that cannot be written, on a full disk, is lost and nothing else.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging for the whole process; a second call changes nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    let lines = lines(format, filter.from_env_lossy(), stderr().is_terminal(), stderr);
    if dispatcher::set_global_default(lines).is_err() {
        tracing::debug!("logging runs already");
    }
}

fn lines<W>(format: LogFormat, filter: EnvFilter, colours: bool, writer: W) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    // Telling of a line that cannot be written, on standard error too, would be a panic.
    let lines = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(writer);
    match format {
        LogFormat::Text => lines.finish().into(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).finish().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;

    fn logged(format: LogFormat, directives: &str) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let writer = file.try_clone().unwrap();
        dispatcher::with_default(&lines(format, EnvFilter::new(directives), false, writer), || {
            tracing::info!(db = "tasks", seq = 7, "durable");
            tracing::debug!("sealed");
        });
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn text_is_one_line_an_event_without_colours() {
        let text = logged(LogFormat::Text, "info");
        assert!(text.ends_with("durable db=\"tasks\" seq=7\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn json_has_the_fields_at_the_top() {
        let text = logged(LogFormat::Json, "debug");
        let events: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["message"], "durable");
        assert_eq!(events[0]["db"], "tasks");
        assert_eq!(events[0]["seq"], 7);
        assert_eq!(events[0]["level"], "INFO");
    }
}
