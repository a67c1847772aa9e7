//! The rules of the log protocol stand where they are enforced.

use crate::sources;

/// Data, reader, tail and writer rules, as the architecture document states them.
const RULES: [&str; 14] =
    ["D1", "D2", "D3", "D4", "R1", "R2", "R3", "T1", "T2", "T3", "W1", "W2", "W3", "W4"];

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word)
}

fn missing<'a>(text: &str, rules: &[&'a str]) -> Vec<&'a str> {
    rules.iter().copied().filter(|rule| !has_word(text, rule)).collect()
}

#[test]
fn every_rule_of_the_log_has_its_label_in_the_code() {
    let code: String = sources::all()
        .iter()
        .filter(|source| source.path.starts_with("crates/fleet-log/src/") && !source.is_test())
        .map(|source| source.text.as_str())
        .collect();
    let missing = missing(&code, &RULES);
    assert!(missing.is_empty(), "no code of the log mentions {missing:?}");
}

#[test]
fn a_label_counts_as_a_whole_word() {
    assert_eq!(missing("// R1: accept. (D3)\nW14", &["R1", "D3", "W1"]), ["W1"]);
}
