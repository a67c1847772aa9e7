//! Commits that wait longer than their tier allows: said in the log once a minute, and by `status` at any time.

use std::time::{Duration, Instant};

use console::config::format_duration;

use crate::status::Board;

/// How often it is looked.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is said.
const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// See the module's text.
#[derive(Debug, Default)]
pub struct Overdue {
    looked: Option<Instant>,
    warned: Option<Instant>,
}

impl Overdue {
    /// Warns of late databases, if it is time to look and to say it again.
    pub fn warn_now_and_then(&mut self, board: &Board) {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_INTERVAL) {
            return;
        }
        self.looked = Some(Instant::now());
        let late = board.late();
        let Some((db, waits)) = late.iter().max_by_key(|(_, waits)| *waits) else { return };
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            self.warned = Some(Instant::now());
            let waits = format_duration(Duration::from_secs(waits.as_secs()));
            tracing::warn!(databases = late.len(), latest = %db, %waits, "commits wait longer than rpo_bound allows");
        }
    }
}
