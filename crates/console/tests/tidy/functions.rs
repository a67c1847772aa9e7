//! A ratchet on the length of functions: the numbers below may be lowered, never raised.

use crate::assert_none;
use crate::sources::{self, Source};

/// No function is longer than this, in lines from its name to its closing brace.
const LINES_MAX: usize = 60;
/// Nine functions in ten are at most this long.
const NINTH_DECILE_MAX: usize = 35;
/// Half of all functions are at most this long.
const MEDIAN_MAX: usize = 10;

struct Function {
    place: String,
    lines: usize,
}

/// The functions of a source that have a body of more than one line.
fn functions(source: &Source) -> Vec<Function> {
    let lines: Vec<(usize, &str)> = source.product_lines().collect();
    let begins = lines.iter().enumerate().filter(|(_, (_, line))| is_signature(line));
    begins
        .filter_map(|(index, (number, line))| {
            let indentation = &line[..line.len() - line.trim_start().len()];
            let ends = |(_, line): &&(usize, &str)| {
                line.strip_prefix(indentation).is_some_and(|rest| rest == "}")
            };
            let is_one_line = line.ends_with('}') || line.ends_with(';');
            let end = lines[index..].iter().find(ends).filter(|_| !is_one_line)?;
            Some(Function { place: source.told(*number, line.trim()), lines: end.0 - number + 1 })
        })
        .collect()
}

fn is_signature(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let is_modifier = |word: &&str| {
        word.starts_with("pub")
            || matches!(
                *word,
                "const" | "async" | "unsafe" | "extern" | "\"C\"" | "crate)" | "super)"
            )
    };
    words.find(|word| !is_modifier(word)) == Some("fn")
}

#[test]
fn functions_are_short() {
    let mut found: Vec<Function> = sources::all().iter().flat_map(functions).collect();
    found.sort_by_key(|function| function.lines);
    let too_long = found.iter().filter(|function| function.lines > LINES_MAX);
    let too_long = too_long.map(|function| format!("{} lines: {}", function.lines, function.place));
    assert_none(&too_long.collect::<Vec<_>>());
    let at = |share: usize| found[found.len() * share / 100].lines;
    assert!(at(90) <= NINTH_DECILE_MAX, "nine functions in ten have up to {} lines", at(90));
    assert!(at(50) <= MEDIAN_MAX, "half of the functions have up to {} lines", at(50));
}

#[test]
fn lengths_are_counted_right() {
    let text = "impl X {\n    pub(crate) const fn a() -> u8 {\n        1\n    }\n    fn b() {}\n}\n\
                fn c(\n    x: u8,\n) -> u8 {\n    x\n}\ntrait T {\n    fn d();\n}\n\n#[cfg(test)]\nmod tests {\n    fn e() {\n    }\n}\n";
    let lengths: Vec<usize> =
        functions(&Source::new("crates/x/src/x.rs", text)).iter().map(|f| f.lines).collect();
    assert_eq!(lengths, [3, 5]);
}
