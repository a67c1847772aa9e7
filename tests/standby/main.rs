//! The standby, end to end: what readers see, what strangers and damage do to it, and how it comes back.

mod asked_bases;
mod damage;
mod ddl;
mod disk_full;
mod gone;
mod hostile;
mod lost_state;
mod new_lives;
mod pauses;
mod power;
mod quiet;
mod readers;
mod renamed;
mod silent;
mod strangers;
mod strays;
mod unread;
