//! Replaying one database's page hashes over the log: pure, without pages being kept.
//!
//! Invariant V1: while the state is known, its checksum was computed from pages that were read, never taken from the log.
//! A section that does not fit makes the state unknown; a base that no later section has overtaken makes it known again.

use std::collections::VecDeque;

use segment::{BaseRecord, Checksum, Incarnation, PageHashes, PageNo, SectionEntry, Seq, Txid};

/// How many sections back a base may stand: writers name a base soon after the state that it is of.
const POSTS_KEPT: usize = 4_096;

/// One database.
#[derive(Default)]
pub(super) struct Replay {
    state: Option<State>,
    last: Option<Seq>,
    /// The life of the last base, where no section came after it.
    based: Option<Incarnation>,
    /// After the last section, of this life.
    txid: Option<(Incarnation, Txid)>,
    /// The checksums after the last sections, oldest first.
    posts: VecDeque<(Seq, Incarnation, Checksum)>,
    pub(super) proven_sections: u64,
    pub(super) unproven_sections: u64,
    pub(super) proven_bases: u64,
}

struct State {
    incarnation: Incarnation,
    hashes: PageHashes,
}

/// Pages with their hashes, in order.
pub(super) type Hashed = Vec<(PageNo, u64)>;

/// The hashes of a base, whose pages must all be there. Memory is bounded by the pages that were read.
fn hashes_of(base: &BaseRecord, pages: &[(PageNo, u64)]) -> Result<PageHashes, String> {
    let mut hashes = PageHashes::new(base.page_size);
    let lock = base.page_size.lock_page();
    let due = (1..=base.pages).filter_map(PageNo::new).filter(|page| *page != lock);
    let mut found = pages.iter();
    for page in due {
        match found.next() {
            Some(&(number, hash)) if number == page => hashes.set(page, hash),
            Some((other, _)) => return Err(format!("page {other} where page {page} is due")),
            None => return Err(format!("page {page} and what follows is missing")),
        }
    }
    hashes.resize(base.pages);
    let (found, said) = (hashes.checksum(), base.checksum);
    if found == said {
        Ok(hashes)
    } else {
        Err(format!("the pages of the base have checksum {found}, the log says {said}"))
    }
}

impl Replay {
    /// Takes a base that was read whole; the error says what is wrong with it.
    pub(super) fn base(
        &mut self,
        base: &BaseRecord,
        pages: &[(PageNo, u64)],
    ) -> Result<(), String> {
        self.based = Some(base.incarnation);
        let hashes = hashes_of(base, pages)?;
        self.check_against_log(base)?;
        self.proven_bases += 1;
        let is_newest = self.last <= base.at;
        let is_new_life =
            self.state.as_ref().is_some_and(|state| state.incarnation != base.incarnation);
        if is_newest && (self.state.is_none() || is_new_life) {
            self.state = Some(State { incarnation: base.incarnation, hashes });
        }
        Ok(())
    }

    /// A base of a state that was replayed must have that state's checksum.
    fn check_against_log(&self, base: &BaseRecord) -> Result<(), String> {
        let before = self.posts.iter().rev().find(|(seq, ..)| Some(*seq) <= base.at);
        match before {
            Some((seq, incarnation, post))
                if *incarnation == base.incarnation && *post != base.checksum =>
            {
                Err(format!(
                    "the base has checksum {}, but after log object {seq} the database has {post}",
                    base.checksum
                ))
            }
            _ => Ok(()),
        }
    }

    /// A base that cannot be read, for which other objects are to blame.
    pub(super) fn unread_base(&mut self, base: &BaseRecord) {
        self.based = Some(base.incarnation);
        let is_new_life =
            self.state.as_ref().is_some_and(|state| state.incarnation != base.incarnation);
        if is_new_life {
            self.doubt();
        }
    }

    /// Takes a section with the hashes of its pages; the error says what does not fit.
    pub(super) fn section(
        &mut self,
        seq: Seq,
        section: &SectionEntry,
        pages: &[(PageNo, u64)],
    ) -> Result<(), String> {
        let linked = self.check_link(section).and_then(|()| self.check_count(section));
        self.based = None;
        self.txid = Some((section.incarnation, section.last_txid));
        let replayed = linked.and_then(|()| self.replay(section, pages));
        self.last = Some(seq);
        match replayed {
            Ok(true) => {
                self.proven_sections += 1;
                self.remember(seq, section);
                Ok(())
            }
            Ok(false) => {
                self.unproven_sections += 1;
                Ok(())
            }
            Err(what) => {
                self.unproven_sections += 1;
                self.doubt();
                Err(what)
            }
        }
    }

    /// What follows cannot be proven until there is a base.
    pub(super) fn doubt(&mut self) {
        self.state = None;
        self.txid = None;
        self.posts.clear();
    }

    /// The size of the newest state, where it is known.
    pub(super) fn pages(&self) -> Option<u32> {
        self.state.as_ref().map(|state| state.hashes.page_count())
    }

    /// A life may begin without knowing of the one before it, where the owner went on over an object that was lost then.
    fn check_link(&self, section: &SectionEntry) -> Result<(), String> {
        match (self.last, section.previous_seq) {
            (_, None) if section.new_incarnation => Ok(()),
            (Some(last), named) if self.state.is_some() && named != Some(last) => Err(format!(
                "names {} as the change before it, that is {last}",
                named.map_or_else(|| "nothing".to_owned(), |seq| seq.to_string())
            )),
            _ => Ok(()),
        }
    }

    /// A life begins with its base, and its commits are counted without a gap.
    fn check_count(&self, section: &SectionEntry) -> Result<(), String> {
        if section.new_incarnation && self.based != Some(section.incarnation) {
            return Err("begins a life without a base".to_owned());
        }
        match self.txid {
            Some((life, last))
                if life == section.incarnation && section.first_txid != last.next() =>
            {
                Err(format!("counts from commit {}, the last one was {last}", section.first_txid))
            }
            _ => Ok(()),
        }
    }

    /// `false` where nothing can be proven because the state before is unknown.
    fn replay(&mut self, section: &SectionEntry, pages: &[(PageNo, u64)]) -> Result<bool, String> {
        let Some(State { incarnation, hashes }) = &mut self.state else {
            return Ok(false);
        };
        if (*incarnation, hashes.page_size()) != (section.incarnation, section.page_size) {
            return Err("is of another life than the base before it".to_owned());
        }
        if hashes.checksum() != section.pre {
            let (found, said) = (hashes.checksum(), section.pre);
            return Err(format!("says that the state before has checksum {said}, it has {found}"));
        }
        check_pages(section, pages)?;
        apply(hashes, section, pages)?;
        if hashes.checksum() != section.post {
            let (found, said) = (hashes.checksum(), section.post);
            return Err(format!("says that the state after has checksum {said}, it has {found}"));
        }
        Ok(true)
    }

    fn remember(&mut self, seq: Seq, section: &SectionEntry) {
        if self.posts.len() == POSTS_KEPT {
            self.posts.pop_front();
        }
        self.posts.push_back((seq, section.incarnation, section.post));
    }
}

/// As many pages as the entry says, in order also where they stand in several objects.
fn check_pages(section: &SectionEntry, pages: &[(PageNo, u64)]) -> Result<(), String> {
    if pages.len() as u64 != u64::from(section.page_count) {
        return Err(format!("has {} pages, its entry says {}", pages.len(), section.page_count));
    }
    match pages.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        Some(pair) => Err(format!("has page {} after page {}", pair[1].0, pair[0].0)),
        None => Ok(()),
    }
}

/// Every page that the database grew by must be there, so that its size is bounded by what was read.
fn apply(
    hashes: &mut PageHashes,
    section: &SectionEntry,
    pages: &[(PageNo, u64)],
) -> Result<(), String> {
    let (before, after) = (hashes.page_count(), section.pages_after);
    let lock = section.page_size.lock_page().get();
    let grown = after.saturating_sub(before) as usize;
    let lock_pages = usize::from(before < lock && lock <= after);
    let new = pages.iter().filter(|(page, _)| page.get() > before).count();
    if new != grown - lock_pages.min(grown) {
        return Err(format!(
            "grows the database from {before} to {after} pages with images of {new} of them"
        ));
    }
    hashes.resize(after);
    pages.iter().for_each(|&(page, hash)| hashes.set(page, hash));
    Ok(())
}

#[cfg(test)]
mod tests;
