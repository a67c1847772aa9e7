//! Where in a configuration file something stands.
//!
//! Values lose their places when they become settings, so a place is looked up again in the text when it is needed: by
//! the way to a value, or by the name of a key.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Place {
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The first of these ways whose end is written; else as far as the first of them leads, such as to the table in
    /// which a key has its default.
    pub(super) fn of_ways(text: &str, ways: &[Way]) -> Self {
        let document = DeTable::parse(text).ok();
        let found = document
            .iter()
            .flat_map(|document| ways.iter().map(|way| follow(document.get_ref(), &way.0)));
        let found: Vec<(usize, bool)> = found.collect();
        let best = found.iter().find(|(_, is_end)| *is_end).or(found.first());
        Self::of(text, best.map_or(0, |(offset, _)| *offset))
    }
}

/// The way to a value: from the top of the document through tables and lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

impl Way {
    pub(super) fn key(key: &str) -> Self {
        Self(Vec::new()).then(key)
    }

    /// The way to a key in the table that this way leads to.
    pub(super) fn then(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// The way to an item, counted from 0, of the list that this way leads to.
    pub(super) fn item(mut self, index: usize) -> Self {
        self.0.push(Step::Item(index));
        self
    }
}

/// Where the way leads, and whether all of it is there.
fn follow(document: &DeTable<'_>, way: &[Step]) -> (usize, bool) {
    let Some((Step::Key(first), rest)) = way.split_first() else { return (0, false) };
    let Some(mut value) = document.get(first.as_str()) else { return (0, false) };
    for step in rest {
        let next = match (step, value.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table.get(key.as_str()),
            (Step::Item(index), DeValue::Array(items)) => items.get(*index),
            _ => None,
        };
        let Some(next) = next else { return (value.span().start, false) };
        value = next;
    }
    (value.span().start, true)
}

/// Where this key (or text value) stands. Serde reads tables with a `kind` ahead of time and then knows only the
/// place of the table's header, so the key is looked up again; of several, the first at or after the header.
pub(super) fn of_word(text: &str, word: &str, span: &Range<usize>) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut found = Vec::new();
    visit(document.get_ref(), &mut |name, value| {
        if name.get_ref() == word {
            found.push(name.span().start);
        }
        if value.get_ref().as_str() == Some(word) {
            found.push(value.span().start);
        }
    });
    found.into_iter().filter(|offset| *offset >= span.start).min()
}

/// The first key, in the order of the text, whose value is an empty text or a list with one, and where that stands.
pub(super) fn of_empty_text(text: &str) -> Option<(String, Place)> {
    let document = DeTable::parse(text).ok()?;
    let mut found = Vec::new();
    visit(document.get_ref(), &mut |name, value| {
        if value.get_ref().as_str().is_some_and(|text| text.trim().is_empty()) {
            found.push((value.span().start, name.get_ref().clone().into_owned()));
        }
    });
    let (offset, key) = found.into_iter().min()?;
    Some((key, Place::of(text, offset)))
}

type Name<'a> = Spanned<std::borrow::Cow<'a, str>>;
type Visit<'v, 'a> = dyn FnMut(&Name<'a>, &Spanned<DeValue<'a>>) + 'v;

/// Shows every value with the key that it belongs to; an item of a list belongs to the list's key.
fn visit<'a>(table: &DeTable<'a>, show: &mut Visit<'_, 'a>) {
    for (name, value) in table {
        visit_value(name, value, show);
    }
}

fn visit_value<'a>(name: &Name<'a>, value: &Spanned<DeValue<'a>>, show: &mut Visit<'_, 'a>) {
    show(name, value);
    match value.get_ref() {
        DeValue::Table(table) => visit(table, show),
        DeValue::Array(items) => items.iter().for_each(|item| visit_value(name, item, show)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n[[b]]\nc = 'x'\n[[b]]\n  c = { d = '' }\nlist = ['y', '']\n";

    #[test]
    fn a_way_leads_to_a_value_or_as_far_as_it_is_written() {
        let place = |ways: &[Way]| Place::of_ways(TEXT, ways).to_string();
        let second = Way::key("b").item(1);
        assert_eq!(place(&[Way::key("a")]), "1:5");
        assert_eq!(place(&[second.clone().then("c").then("d")]), "5:13");
        assert_eq!(place(&[second.clone().then("none")]), "4:1");
        assert_eq!(place(&[second.clone().then("none"), Way::key("b").item(0).then("c")]), "3:5");
        assert_eq!(place(&[Way::key("none").then("c")]), "1:1");
        assert_eq!(place(&[]), "1:1");
    }

    #[test]
    fn words_and_empty_texts_are_found_in_the_order_of_the_text() {
        assert_eq!(of_word(TEXT, "c", &(0..0)), Some(12));
        assert_eq!(of_word(TEXT, "c", &(20..20)), Some(28));
        assert_eq!(of_word(TEXT, "y", &(0..0)), Some(51));
        assert_eq!(of_word(TEXT, "z", &(0..0)), None);
        let (key, place) = of_empty_text(TEXT).unwrap();
        assert_eq!((key.as_str(), place.to_string().as_str()), ("d", "5:13"));
        let (key, place) = of_empty_text("list = ['y', ' ']").unwrap();
        assert_eq!((key.as_str(), place.to_string().as_str()), ("list", "1:14"));
        assert_eq!(of_empty_text("a = 'x'"), None);
    }
}
