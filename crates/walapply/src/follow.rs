//! Placeholder
mod poll;
mod state;
mod track;
