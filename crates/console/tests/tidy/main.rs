//! The repository checks itself: the habits that no compiler enforces.
//!
//! Each check is a pure function over the text of the workspace's sources and returns what is wrong with it; a canary
//! beside it shows that it can see. Sources are formatted by rustfmt, which the checks rely on: a line that closes an
//! item stands at the indentation of the line that opened it.

mod arrows;
mod functions;
mod habits;
mod rules;
mod sources;

use sources::Source;

/// Fails with all that is wrong, one line each.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Runs a check over every source of the workspace.
fn assert_sources(check: impl Fn(&Source) -> Vec<String>) {
    let sources = sources::all();
    assert!(sources.len() > 50, "only {} sources found: looked in the wrong place?", sources.len());
    assert_none(&sources.iter().flat_map(check).collect::<Vec<_>>());
}
