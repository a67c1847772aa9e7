//! Headers, tests that run, and words that must not stand in the product.

use crate::assert_sources;
use crate::sources::Source;

/// A file with more lines has more than one concept in it.
const FILE_LINES_MAX: usize = 700;

/// Every module says what it is for. Test modules inside a crate are explained by what they test.
fn missing_header(source: &Source) -> Vec<String> {
    let path = &source.path;
    let exempt = path.contains("/src/") && (path.ends_with("tests.rs") || path.contains("/tests/"));
    let has_header = source
        .text
        .lines()
        .find(|line| !line.starts_with("#!["))
        .is_some_and(|line| line.starts_with("//! "));
    if exempt || has_header { vec![] } else { vec![source.told(1, "no //! header")] }
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.lines().count();
    if lines > FILE_LINES_MAX {
        vec![source.told(lines, "a file of one concept is shorter")]
    } else {
        vec![]
    }
}

/// A test that does not run tests nothing.
fn ignored_tests(source: &Source) -> Vec<String> {
    let mark = concat!("#[", "ignore");
    let ignored = source.lines().filter(|(_, line)| line.trim_start().starts_with(mark));
    ignored.map(|(number, _)| source.told(number, "an ignored test")).collect()
}

/// Panics that no fact backs, and what is silenced or unfinished.
fn forbidden_words(source: &Source) -> Vec<String> {
    let everywhere =
        [concat!("allow(", "dead_code"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let product = [concat!(".unwrap", "()"), concat!("panic", "!(\"")];
    let own_mistake = concat!("panic", "!(\"BUG: ");
    let is_code = |line: &str| !line.trim_start().starts_with("//") && !line.contains(own_mistake);
    let find = |words: &[&str], (number, line): (usize, &str)| {
        let word = words.iter().find(|word| is_code(line) && line.contains(**word))?;
        Some(source.told(number, &format!("`{word}`")))
    };
    let found = source.lines().filter_map(|line| find(&everywhere, line));
    found.chain(source.product_lines().filter_map(|line| find(&product, line))).collect()
}

#[test]
fn every_module_has_a_header() {
    assert_sources(missing_header);
}

#[test]
fn files_hold_one_concept() {
    assert_sources(too_long);
}

#[test]
fn every_test_runs() {
    assert_sources(ignored_tests);
}

#[test]
fn nothing_is_silenced_or_unfinished() {
    assert_sources(forbidden_words);
}

#[test]
fn each_habit_is_seen_when_it_is_broken() {
    let source = |text: &str| Source::new("crates/x/src/x.rs", text);
    assert_eq!(missing_header(&source("use std::fs;\n")).len(), 1);
    assert_eq!(missing_header(&source("#![allow(x)]\n//! What.\n")).len(), 0);
    assert_eq!(missing_header(&Source::new("crates/x/src/x/tests.rs", "use super::*;\n")).len(), 0);
    assert_eq!(too_long(&source(&"\n".repeat(701))).len(), 1);
    assert_eq!(ignored_tests(&source(concat!("    #[", "ignore = \"slow\"]\n"))).len(), 1);
    let unwrap = concat!("x.unwrap", "();\n");
    assert_eq!(forbidden_words(&source(unwrap)), [concat!("crates/x/src/x.rs:1: `.unwrap", "()`")]);
    assert_eq!(forbidden_words(&source(&format!("// {unwrap}"))).len(), 0);
    assert_eq!(
        forbidden_words(&source(&format!("\n#[cfg(test)]\nmod tests {{\n{unwrap}}}"))).len(),
        0
    );
    assert_eq!(forbidden_words(&source(concat!("#[cfg(test)]\nmod t {\ntodo", "!()\n}"))).len(), 1);
}
