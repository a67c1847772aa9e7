//! What the commands of `walship` answer, run as a person runs them.

mod check;
mod host;
mod shown;
mod status;
