//! Taking in what the reading thread found: what the log says of each database, and what is wrong with the log.
//!
//! What must happen before what: a segment's table enters the catalogue before its sections reach the databases, so a
//! database that has to be rebuilt is rebuilt as of a cut that has them. What a catalogue says is compared with the
//! databases when the sections of its segment have reached them.

use std::sync::Arc;
use std::time::Duration;

use console::ExitCode;
use fleet_log::{LogError, Position};
use segment::{BaseRecord, Catalogue, Millis, Record, Segment, SegmentError, Seq, Table};

use super::Fleet;
use crate::failure::tail_hint;
use crate::follow::jobs::Payload;
use crate::follow::member::{expected, is_live};
use crate::follow::primary;
use crate::follow::reading::Event;
use crate::follow::state::StoreHealth;
use crate::follow::track::{Doubt, Link};
use crate::gone::{self, Gone};

/// What keeps the log from being read on is told again after so long.
const TROUBLE_TOLD_EVERY: Duration = Duration::from_secs(3_600);

impl Fleet {
    /// Takes what the reading thread found. An error ends the follower.
    pub(in crate::follow) fn read(&mut self, event: Event) -> Result<(), LogError> {
        self.rounds.news();
        match event {
            Event::Began { fleet, catalogue, position, sealed, gone, heard, server } => {
                self.id = Some(fleet);
                server.into_iter().for_each(|server| self.answered(server));
                heard.into_iter().for_each(|at| self.heard(at));
                tracing::info!(
                    seq = position.last().map(Seq::get),
                    databases = catalogue.databases.len(),
                    "following"
                );
                (self.catalogue, self.position) = (catalogue, position);
                (self.sealed, self.gone) = (sealed, gone);
                self.enlist();
                // Whatever ends this run before the next save: the next one finds by the log what this one did.
                self.save_position();
            }
            Event::Segments { segments, position, server } => {
                self.answered(server);
                self.at_tail = false;
                segments.iter().for_each(|segment| self.segment(segment));
                self.position = position;
            }
            Event::Tail { server } => self.tail(server),
            Event::Damaged { seq, table, position, detail } => {
                self.damaged(seq, &table, position, &detail)
            }
            Event::Jumped { catalogue, position, heard, reason } => {
                heard.into_iter().for_each(|at| self.heard(at));
                self.jumped(catalogue, position, reason)
            }
            Event::Skipped { lost, position, detail } => {
                self.position = position;
                self.skipped(lost, &detail);
            }
            Event::Trouble(error) => self.trouble(&error),
            Event::Ended(error) => return Err(error),
        }
        Ok(())
    }

    /// An object was sealed then, but not later than now: the primary's clock may have been ahead.
    fn heard(&mut self, sealed: Millis) {
        self.primary.heard(sealed.min(self.now().store));
    }

    fn answered(&mut self, server: Millis) {
        let now = self.settings.clocks.wall.now();
        self.offset_ms =
            i64::try_from(i128::from(server.get()) - i128::from(now.get())).unwrap_or(0);
        if self.store.reachable == Some(false) {
            tracing::info!("the store answers again");
        }
        self.store = StoreHealth { reachable: Some(true), last_ok: Some(server), error: None };
        (self.trouble, self.halted_since) = (None, None);
    }

    fn segment(&mut self, segment: &Arc<Segment>) {
        let table = segment.table();
        self.absorb(table);
        let Some(seq) = table.header.seq else { return };
        for (section, entry) in table.sections.iter().enumerate() {
            let Some(member) = self.members.get_mut(&entry.db) else { continue };
            let inline = entry.body.as_ref().map_or(0, |body| body.range.end - body.range.start);
            member.track.arrived(Link {
                seq,
                pre: entry.pre,
                post: entry.post,
                begins_life: entry.new_incarnation,
                last_txid: entry.last_txid,
                oldest_commit: entry.oldest_commit.offset(table.header.store_offset_ms),
                bytes: inline,
                payload: Payload { segment: Arc::clone(segment), section },
            });
        }
        self.compare(table);
    }

    /// What a catalogue says ends every doubt: what is not as it says was changed by what could not be read.
    fn compare(&mut self, table: &Table) {
        if !table.has_catalogue() {
            return;
        }
        let now = self.now().store;
        for (db, member) in &mut self.members {
            member.proven(&expected(self.catalogue.databases.get(db)), now);
        }
    }

    fn absorb(&mut self, table: &Table) {
        self.heard(primary::sealed(&table.header));
        self.sealed.read(table, self.now().store);
        if table.has_catalogue() {
            (self.damage, self.lost) = (None, None);
        }
        let were_live = gone::live_before(&self.catalogue, table);
        if let Err(error) = self.catalogue.absorb(table) {
            self.left_out(table, &error);
        }
        self.gone.read(table, &were_live, &self.catalogue);
        if table.records.iter().any(changes_members) {
            self.enlist();
        }
        for record in &table.records {
            if let Record::Base(base) = record {
                self.base_named(base);
            }
        }
    }

    /// A base that stands behind everything that could not be read, with no section since, is the state of its database.
    fn base_named(&mut self, base: &BaseRecord) {
        let now = self.now().store;
        let Some(member) = self.members.get_mut(&base.db) else { return };
        member.track.base_named();
        let Some(entry) = self.catalogue.databases.get_mut(&base.db) else { return };
        let is_behind = |doubt: Doubt| base.at >= Some(doubt.last) && base.at >= entry.changed;
        if is_live(entry) && member.track.doubt().is_some_and(is_behind) {
            (entry.incarnation, entry.page_size) = (Some(base.incarnation), Some(base.page_size));
            (entry.pages, entry.checksum) = (base.pages, base.checksum);
            member.proven(&expected(Some(entry)), now);
        }
    }

    /// The table speaks of a database that nothing has announced; what it says of the others was absorbed.
    ///
    /// Damage until the next catalogue, which has all databases: what announced it may have stood in an unreadable object.
    fn left_out(&mut self, table: &Table, error: &SegmentError) {
        if self.damage.is_some() {
            return;
        }
        let at = table.header.seq.map_or_else(|| "?".to_owned(), |seq| seq.to_string());
        let damage = format!(
            "log object {at} changes a database that was never announced ({error}): left out until the next catalogue"
        );
        tracing::error!("{damage}");
        self.damage = Some(damage);
    }

    fn tail(&mut self, server: Millis) {
        self.answered(server);
        self.at_tail = true;
        let now = self.now().store;
        for (db, member) in &mut self.members {
            member.track.tail_reached(&expected(self.catalogue.databases.get(db)), now);
        }
        self.tell_left_behind();
    }

    fn damaged(&mut self, seq: Seq, table: &Table, position: Position, detail: &str) {
        self.notice(format!("log object {seq} is damaged ({detail}): databases in it are rebuilt"));
        self.absorb(table);
        self.position = position;
        let now = self.now().store;
        for section in &table.sections {
            if let Some(member) = self.members.get_mut(&section.db) {
                member.track.section_damaged(now);
            }
        }
        self.compare(table);
    }

    /// Reading goes on behind an object of which nothing is known: it may have changed, announced, renamed anything.
    fn skipped(&mut self, lost: Doubt, detail: &str) {
        let what = match (lost.first, lost.last) {
            (first, last) if first == last => {
                format!("log object {first} cannot be read ({detail})")
            }
            (first, last) => format!("log objects {first} to {last} cannot be read ({detail})"),
        };
        self.notice(format!("{what}: the log goes on behind"));
        self.damage.get_or_insert_with(|| {
            format!(
                "{what}: what it held is in doubt until the primary's next catalogue, which it writes when it starts, in \
                 its heartbeats and with `walship snapshot`"
            )
        });
        self.lost = Some(lost.joined(self.lost));
        self.members.values_mut().for_each(|member| member.track.object_lost(lost));
    }

    fn jumped(&mut self, catalogue: Catalogue, position: Position, reason: String) {
        self.notice(format!(
            "{reason}: going on at seq {}, databases that changed are rebuilt",
            position.next
        ));
        let now = self.now().store;
        let left_out = Doubt::of(self.position.next, now);
        (self.catalogue, self.position) = (catalogue, position);
        self.gone = Gone::default();
        (self.damage, self.lost) = (None, None);
        self.enlist();
        for (db, member) in &mut self.members {
            member.track.log_jumped(&expected(self.catalogue.databases.get(db)), left_out, now);
        }
    }

    fn notice(&mut self, text: String) {
        tracing::error!("{text}");
        self.notice = Some(text);
    }

    fn trouble(&mut self, error: &LogError) {
        let hint = tail_hint(error).map(|hint| format!("; {hint}")).unwrap_or_default();
        let text = format!("{error}{hint}");
        let now = self.now().steady;
        let is_told = self.store.error.as_ref() == Some(&text);
        if !is_told || self.told_of_trouble.is_none_or(|at| now - at >= TROUBLE_TOLD_EVERY) {
            tracing::warn!("the log cannot be read on: {text}");
            self.told_of_trouble = Some(now);
        }
        let answers = !matches!(error, LogError::Store(_));
        let last_ok = if answers { Some(self.now().store) } else { self.store.last_ok };
        self.store = StoreHealth { reachable: Some(answers), last_ok, error: Some(text) };
        if ExitCode::from_number(error.exit_code()) == ExitCode::Corrupt {
            self.halted_since = self.halted_since.or(Some(self.now().store));
        }
        self.trouble = Some(error.clone());
    }
}

fn changes_members(record: &Record) -> bool {
    matches!(
        record,
        Record::Announce(_)
            | Record::Retired { .. }
            | Record::Renamed { .. }
            | Record::Catalogue(_)
    )
}
