//! Whole WAL files: built frame by frame and read back, cut, damaged, and as SQLite itself writes them.

mod corpus;
mod oracle;
mod samples;
mod transactions;
