//! The whole, end to end: both programs and applications, killed at random; and what can be made of the store alone.

mod chaos;
mod restores;
mod scripts;
