//! The listing for people.

use console::output::{Align, Table, bytes, known};
use segment::DatabaseState;

use super::{Listed, Listing, Stranded};

impl Listing {
    /// A table, and a line about the log.
    #[must_use]
    pub fn text(&self) -> String {
        let Some(log) = &self.log else {
            return format!("The log of fleet {} is empty", self.fleet) + &self.stranded();
        };
        let mut text = format!(
            "Fleet {}, owner {}, epoch {}: log objects {} to {}, sealed {} to {}\n{}",
            self.fleet,
            known(self.owner.as_ref(), ToString::to_string),
            known(self.epoch, |epoch| epoch.to_string()),
            log.from_seq,
            log.to_seq,
            log.from_time,
            log.to_time,
            self.table(),
        );
        for object in &self.unreadable {
            text += &format!("\nUNREADABLE {object}: run `walapply verify`");
        }
        text
    }

    fn stranded(&self) -> String {
        let line = |base: &Stranded| {
            format!(
                "\nBASES WITHOUT LOG {}: {} objects, {}",
                base.name,
                base.objects,
                bytes(base.bytes)
            )
        };
        self.stranded.iter().map(line).collect()
    }

    fn table(&self) -> Table {
        let mut table = Table::new([
            ("DATABASE", Align::Left),
            ("TIER", Align::Left),
            ("STATE", Align::Left),
            ("BYTES", Align::Right),
            ("LIVES", Align::Right),
            ("CHANGES", Align::Right),
            ("FROM SEQ", Align::Right),
            ("RESTORABLE SINCE", Align::Left),
            ("LAST CHANGE", Align::Left),
        ]);
        for listed in &self.databases {
            table.row(listed.cells());
        }
        table
    }
}

impl Listed {
    fn cells(&self) -> [String; 9] {
        let restorable = self.restorable.as_ref();
        let none = || "-".to_owned();
        [
            self.name.to_string(),
            self.tier.clone(),
            state(self.state).to_owned(),
            bytes(self.bytes),
            self.incarnations.len().to_string(),
            self.incarnations.iter().map(|life| life.changes).sum::<u64>().to_string(),
            restorable.map_or_else(none, |range| range.from_seq.to_string()),
            restorable.map_or_else(none, |range| range.from_time.clone()),
            self.changed_time.clone().unwrap_or_else(none),
        ]
    }
}

pub(crate) fn state(state: DatabaseState) -> &'static str {
    match state {
        DatabaseState::Live => "live",
        DatabaseState::Empty => "empty",
        DatabaseState::Missing => "missing",
        DatabaseState::Unread => "unread",
        DatabaseState::Retired => "retired",
    }
}
