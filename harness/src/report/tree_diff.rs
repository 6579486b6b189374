//! What was expected and what was seen, aligned place by place; only what differs is marked.

use std::collections::BTreeMap;
use std::fmt::Write;

use similar::{ChangeTag, TextDiff};

use crate::story::Line;

/// Equal lines shown before and after what differs.
const CONTEXT: usize = 3;

/// One row: equal, or what is expected and what is seen at one place.
enum Row<'a> {
    Same(&'a Line),
    Differs(Option<&'a Line>, Option<&'a Line>),
}

/// Lays two lists of places side by side. Places that are equal stand once; of one that differs the
/// expected line begins with `-`, the seen one with `+`, and a line below marks the words.
pub(super) fn tree_diff(expected: &[Line], seen: &[Line]) -> String {
    let rows = align(expected, seen);
    let width = expected.iter().chain(seen).map(|l| l.place().chars().count()).max().unwrap_or(0);
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        rows[from..rows.len().min(at + CONTEXT + 1)].iter().any(|r| matches!(r, Row::Differs(..)))
    };
    let mut out = String::new();
    let mut left_out = 0;
    for (at, row) in rows.iter().enumerate() {
        if !near(at) {
            left_out += 1;
            continue;
        }
        write_left_out(&mut out, &mut left_out);
        let mut line = |mark: char, l: &Line| {
            let _ = writeln!(out, "{mark} {:<width$}  {}", l.place(), l.text);
        };
        match row {
            Row::Same(l) => line(' ', l),
            Row::Differs(Some(e), Some(s)) => {
                line('-', e);
                line('+', s);
                let _ = writeln!(out, "  {:<width$}  {}", "", carets(&e.text, &s.text));
            }
            Row::Differs(Some(e), None) => line('-', e),
            Row::Differs(None, Some(s)) => line('+', s),
            Row::Differs(None, None) => {}
        }
    }
    write_left_out(&mut out, &mut left_out);
    out
}

fn write_left_out(out: &mut String, left_out: &mut usize) {
    if *left_out > 0 {
        let places = if *left_out == 1 { "place" } else { "places" };
        let _ = writeln!(out, "  ({left_out} {places} as expected)");
        *left_out = 0;
    }
}

/// Lines of the same tree and path stand together. A footprint may name a place twice.
fn align<'a>(expected: &'a [Line], seen: &'a [Line]) -> Vec<Row<'a>> {
    let mut rest: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
    for line in seen.iter().rev() {
        rest.entry(line.place()).or_default().push(line);
    }
    let mut rows: Vec<(&Line, Row<'a>)> = Vec::new();
    for line in expected {
        let row = match rest.get_mut(&line.place()).and_then(Vec::pop) {
            Some(other) if other.text == line.text => Row::Same(line),
            Some(other) => Row::Differs(Some(line), Some(other)),
            None => Row::Differs(Some(line), None),
        };
        rows.push((line, row));
    }
    // What nobody expected goes after the last expected line that sorts before it.
    for line in seen {
        if rest.get_mut(&line.place()).and_then(Vec::pop).is_some() {
            let before = |l: &Line| (l.side, &l.path) <= (line.side, &line.path);
            let at = rows.iter().rposition(|(l, _)| before(l)).map_or(0, |at| at + 1);
            rows.insert(at, (line, Row::Differs(None, Some(line))));
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Marks the words of `seen` that are not in `expected`; where one is missing, the place it would be at.
fn carets(expected: &str, seen: &str) -> String {
    let diff = TextDiff::from_words(expected, seen);
    let mut out = String::new();
    for change in diff.iter_all_changes() {
        let len = change.value().chars().count();
        match change.tag() {
            ChangeTag::Equal => out.extend(std::iter::repeat_n(' ', len)),
            ChangeTag::Insert if change.value().trim().is_empty() => out.extend(std::iter::repeat_n(' ', len)),
            ChangeTag::Insert => out.extend(std::iter::repeat_n('^', len)),
            ChangeTag::Delete => {}
        }
    }
    let out = out.trim_end();
    if out.is_empty() { "^".to_owned() } else { out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Side;

    fn lines(of: &[(&str, &str)]) -> Vec<Line> {
        of.iter().map(|(p, t)| Line { side: Side::Upper, path: (*p).into(), text: (*t).to_owned() }).collect()
    }

    #[test]
    fn only_what_differs_is_marked() {
        let expected = lines(&[("", "dir"), ("d", "dir 0755"), ("gone", "whiteout"), ("z", "file")]);
        let seen = lines(&[("", "dir"), ("d", "dir 0700"), ("new", "file"), ("z", "file")]);
        let shown = "  upper .     dir\n- upper d     dir 0755\n+ upper d     dir 0700\n                  ^^^^\n\
                     - upper gone  whiteout\n+ upper new   file\n  upper z     file\n";
        assert_eq!(tree_diff(&expected, &seen), shown);
    }

    #[test]
    fn what_is_far_away_is_counted() {
        let many: Vec<(String, &str)> = (0..9).map(|n| (n.to_string(), "file")).collect();
        let of = |last: &'static str| {
            let mut all: Vec<(&str, &str)> = many.iter().map(|(p, t)| (p.as_str(), *t)).collect();
            all[8].1 = last;
            lines(&all)
        };
        let shown = tree_diff(&of("file"), &of("dir"));
        assert!(shown.starts_with("  (5 places as expected)\n  upper 5  file\n"), "{shown}");
    }
}
