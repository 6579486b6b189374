//! A whole case from its lines: which sections there are and in which order.
//!
//! What a line of a section says is read by the module of its noun.

use super::ParseError;
use super::entry::{Places, check, parse_entry};
use super::expect::{parse_expected, parse_header};
use super::field::{number, word_without_nul};
use super::lex::{Kind, Line, MAX_TOTAL};
use super::op::parse_step;
use crate::case::{Case, Entry, Layer, MAX_FILESYSTEMS, MAX_LOWERS};

/// The words that start a section, in the order in which sections stand.
const SECTIONS: &[&str] = &["case", "option", "lower", "upper", "steps", "expect"];

const CASE: usize = 0;
const OPTION: usize = 1;
const LOWER: usize = 2;
const UPPER: usize = 3;
const STEPS: usize = 4;
const EXPECT: usize = 5;

/// Reads a case from text.
pub(super) fn parse_case(text: &str) -> Result<Case, ParseError> {
    let mut reader = Reader::default();
    let mut budget = MAX_TOTAL;
    for (i, text) in text.lines().enumerate() {
        let mut line = Line::lex(i + 1, text, &mut budget)?;
        if !line.is_at_end() {
            reader.line(&mut line)?;
            reader.end = (i + 1, line.column(line.at()));
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    case: Case,
    /// Index of the section that the last line belongs to.
    section: Option<usize>,
    /// Where each section was first seen.
    headers: [Option<usize>; SECTIONS.len()],
    /// The layer being read, and where its entries stand.
    entries: Vec<Entry>,
    places: Vec<Places>,
    /// Line and column after the last word.
    end: (usize, usize),
}

impl Reader {
    fn line(&mut self, line: &mut Line<'_>) -> Result<(), ParseError> {
        let word = line.peek_bare().unwrap_or_default();
        if let Some(section) = SECTIONS.iter().position(|name| *name == word) {
            return self.header(section, line);
        }
        match self.section {
            Some(LOWER | UPPER) => {
                let (entry, places) = parse_entry(line, &SECTIONS[LOWER..])?;
                self.entries.push(entry);
                self.places.push(places);
            }
            Some(STEPS) => self.case.steps.push(parse_step(line, &SECTIONS[EXPECT..])?),
            Some(_) if !self.case.expect.is_empty() => {
                if let Some(tree) = self.case.expect.last_mut() {
                    tree.entries.push(parse_expected(line, &tree.entries, &SECTIONS[EXPECT..])?);
                }
            }
            _ => {
                let hint = super::hint::did_you_mean(word, SECTIONS.iter().copied());
                let error = line.expected("a section (case, option, lower, upper, steps, expect)");
                return Err(ParseError { message: error.message + &hint, ..error });
            }
        }
        Ok(())
    }

    fn header(&mut self, section: usize, line: &mut Line<'_>) -> Result<(), ParseError> {
        let at = line.at();
        let word = SECTIONS[section];
        if let Some(before) = self.section {
            if section < before {
                return Err(line.error(at, format!("`{word}` stands before `{}`", SECTIONS[before])));
            }
            if let (CASE | UPPER | STEPS, Some(first)) = (section, self.headers[section]) {
                return Err(line.error(at, format!("a second `{word}`, the first is in line {first}")));
            }
        }
        self.close_layer()?;
        if section > LOWER && self.case.lowers.is_empty() {
            return Err(line.error(at, format!("expected a `lower` section before `{word}`")));
        }
        line.skip();
        match section {
            CASE => {
                if !line.is_at_end() {
                    self.case.title = line.text_word("a title")?;
                }
                if !line.is_at_end() && !line.is_joined() {
                    return Err(line.error(line.at(), "a title of several words needs quotes"));
                }
            }
            OPTION => self.case.options.push(parse_option(line)?),
            LOWER => {
                if self.case.lowers.len() == MAX_LOWERS {
                    return Err(line.error(at, format!("more than {MAX_LOWERS} lower layers")));
                }
                let on = parse_filesystem(line)?;
                self.case.lowers.push(Layer { on, ..Layer::default() });
            }
            EXPECT => {
                self.require_steps(line.error(at, String::new()))?;
                self.case.expect.push(parse_header(line)?);
            }
            _ => {}
        }
        line.end()?;
        self.section = Some(section);
        self.headers[section].get_or_insert(line.number());
        Ok(())
    }

    /// Puts the entries read so far into their layer.
    fn close_layer(&mut self) -> Result<(), ParseError> {
        check(&self.entries, &self.places)?;
        self.places.clear();
        let entries = std::mem::take(&mut self.entries);
        match self.section {
            Some(UPPER) => self.case.upper.entries = entries,
            Some(LOWER) => {
                if let Some(layer) = self.case.lowers.last_mut() {
                    layer.entries = entries;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses a case without a `steps` section, at the place of this error. The section may be
    /// empty: a mount that fails is a finding without any step.
    fn require_steps(&self, place: ParseError) -> Result<(), ParseError> {
        match self.headers[STEPS] {
            Some(_) => Ok(()),
            None => Err(ParseError { message: "expected a `steps` section".to_owned(), ..place }),
        }
    }

    fn finish(mut self) -> Result<Case, ParseError> {
        self.close_layer()?;
        let (line, column) = if self.end.0 == 0 { (1, 1) } else { self.end };
        let place = ParseError { line, column, message: String::new() };
        if self.case.lowers.is_empty() {
            return Err(ParseError { message: "expected a `lower` section".to_owned(), ..place });
        }
        self.require_steps(place)?;
        Ok(self.case)
    }
}

/// Reads what may follow the word `lower`: on which filesystem the layer lies, counted from 1.
fn parse_filesystem(line: &mut Line<'_>) -> Result<u8, ParseError> {
    if line.is_at_end() {
        return Ok(0);
    }
    if line.peek_bare() != Some("on") || !line.has_mark_after_next('=') {
        return Err(line.expected("`on=` with the number of a filesystem, or the end of the line"));
    }
    line.skip();
    line.skip();
    let on: u8 = number(line, "the number of a filesystem", 1, MAX_FILESYSTEMS as i128)?;
    Ok(on - 1)
}

/// Reads a mount option: in quotes, or words with `=` and `:` and no blanks.
fn parse_option(line: &mut Line<'_>) -> Result<String, ParseError> {
    let what = "a mount option (`index=on`)";
    let from = line.at();
    let option = match line.peek().map(|token| &token.kind) {
        Some(Kind::Quoted(_)) => {
            let at = line.at();
            let bytes = word_without_nul(line, what)?;
            String::from_utf8(bytes.into_vec()).map_err(|_| line.error(at, "a mount option is UTF-8 text"))?
        }
        _ => {
            let mut to = from;
            while let Some(token) = line.peek() {
                let fits = matches!(token.kind, Kind::Bare(_) | Kind::Mark('=' | ':'));
                if !fits || (to > from && token.at != to) {
                    break;
                }
                to = token.end;
                line.skip();
            }
            line.slice(from, to).to_owned()
        }
    };
    if option.is_empty() {
        return Err(if line.is_at_end() { line.error(from, format!("expected {what}")) } else { line.expected(what) });
    }
    Ok(option)
}
