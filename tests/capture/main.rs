//! Capture, end to end: what applications may do to their databases, and what must then be in the log.

mod checkpoints;
mod kills;
mod phantoms;
mod restarts;
mod shrinking;
