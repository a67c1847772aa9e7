//! What a store holds, by the tables of its objects: how many pages were uploaded, and as what.

use std::path::Path;

use console::Failure;
use segment::{SegmentKind, Table, decode_table};

use crate::failed;
use crate::files::each_file;

/// Pages in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shipped {
    /// In bases: whole databases.
    pub(crate) base_pages: u64,
    /// In log objects, and in the side objects that they name: changes.
    pub(crate) log_pages: u64,
}

impl Shipped {
    /// All of them.
    pub(crate) fn pages(self) -> u64 {
        self.base_pages + self.log_pages
    }

    /// What came on top.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            base_pages: self.base_pages.saturating_sub(earlier.base_pages),
            log_pages: self.log_pages.saturating_sub(earlier.log_pages),
        }
    }
}

/// Counts the pages in a store's folder.
pub(crate) fn shipped(store: &Path) -> Result<Shipped, Failure> {
    let (mut total, mut wrong) = (Shipped::default(), None);
    each_file(store, &mut |path| {
        if path.extension().is_some_and(|extension| extension == "seg")
            && let Err(failure) = add(&mut total, path)
        {
            wrong = Some(failure);
        }
    });
    wrong.map_or(Ok(total), Err)
}

/// The number of the log object that holds a database's commit `txid`; for stores of one database.
pub(crate) fn holder(store: &Path, txid: u64) -> Result<Option<u64>, Failure> {
    let (mut found, mut wrong) = (None, None);
    each_file(&store.join("log"), &mut |path| match table(path) {
        Ok(table) if table.sections.iter().any(|section| section.last_txid.get() >= txid) => {
            found = found.max(table.header.seq.map(segment::Seq::get));
        }
        Ok(_) => {}
        Err(failure) => wrong = Some(failure),
    });
    wrong.map_or(Ok(found), Err)
}

fn table(path: &Path) -> Result<Table, Failure> {
    let told = |error: &dyn std::fmt::Display| failed(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| told(&error))?;
    decode_table(&bytes).map_err(|error| told(&error))
}

fn add(total: &mut Shipped, path: &Path) -> Result<(), Failure> {
    let table = table(path)?;
    let pages: u64 = table.sections.iter().map(|section| u64::from(section.page_count)).sum();
    match table.header.kind {
        SegmentKind::Base => total.base_pages += pages,
        SegmentKind::Log => total.log_pages += pages,
        // Side objects are named, and counted, by a log object.
        _ => {}
    }
    Ok(())
}
