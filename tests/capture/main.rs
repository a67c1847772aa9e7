//! Capture, end to end: what applications may do to their databases, and what must then be in the log.

mod arriving;
mod away;
mod checkpoints;
mod closing;
mod contents;
mod damaged_log;
mod disk_full;
mod foreign_opens;
mod kills;
mod large;
mod limits;
mod modes;
mod names;
mod owners;
mod phantoms;
mod replaced;
mod restarts;
mod rights;
mod shrinking;
mod transactions;
mod untouched;
