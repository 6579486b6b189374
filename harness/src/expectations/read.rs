//! Reading a file of expectations, with line and column for whatever is wrong in it.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::matching::{OneOf, Range, RuleName};
use super::{DEFAULT_WITHIN, Expectations, KnownDeviation};
use crate::case::{Case, text};
use crate::check::Oracle;
use crate::model::options::Options;
use crate::step::Op;
use crate::trace::Side;

/// A file of expectations that cannot be used: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Unreadable {
    pub(super) fn of_file(path: &Path, e: &std::io::Error) -> Unreadable {
        Unreadable(format!("{}: {e}", path.display()))
    }

    pub(super) fn in_file(self, path: &Path) -> Unreadable {
        Unreadable(format!("{}:{}", path.display(), self.0))
    }

    fn at(text: &str, offset: usize, what: impl Display) -> Unreadable {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
        Unreadable(format!("{line}:{column}: {what}"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    target: Option<String>,
    #[serde(default)]
    deviation: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Spanned<String>,
    #[serde(default)]
    rule: OneOf<Parsed<RuleName>>,
    #[serde(default)]
    operation: OneOf<Parsed<Operation>>,
    #[serde(default)]
    field: OneOf<String>,
    #[serde(default)]
    oracle: OneOf<Parsed<OracleName>>,
    #[serde(default)]
    expected: OneOf<String>,
    #[serde(default)]
    seen: OneOf<String>,
    #[serde(default)]
    option: OneOf<Parsed<MountOption>>,
    kernel: Option<Parsed<Range>>,
    version: Option<Parsed<Range>>,
    why: String,
    link: Option<String>,
    within: Option<u64>,
    case: Option<Parsed<CaseText>>,
}

/// A string that means something.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Parsed).map_err(de::Error::custom)
    }
}

struct Operation(String);

impl FromStr for Operation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if Op::ALL.contains(&text) || ["mount", "end"].contains(&text) {
            return Ok(Operation(text.to_owned()));
        }
        Err(format!("'{text}' is no operation of a case, nor mount or end"))
    }
}

struct OracleName(String);

impl FromStr for OracleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use Oracle::{CaseFile, Ending, Footprint, Image, Layers, Lower, Outcome, Plain, Tree};
        const ALL: [Oracle; 12] = [
            Outcome,
            Footprint(Side::Merged),
            Footprint(Side::Upper),
            Tree(Side::Merged),
            Tree(Side::Upper),
            Tree(Side::Work),
            Layers,
            Image,
            Plain,
            Lower,
            CaseFile,
            Ending,
        ];
        let names = ALL.map(|oracle| oracle.to_string());
        if names.iter().any(|name| name == text) {
            return Ok(OracleName(text.to_owned()));
        }
        Err(format!("'{text}' is no comparison; they are '{}'", names.join("', '")))
    }
}

struct MountOption(String);

impl FromStr for MountOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Options::unknown(&[text.to_owned()]) {
            Some(_) => Err(format!("'{text}' is no mount option that cases have")),
            None => Ok(MountOption(text.to_owned())),
        }
    }
}

struct CaseText(Case);

impl FromStr for CaseText {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        text::parse(written.as_bytes()).map(CaseText).map_err(|e| format!("in the case, line {e}"))
    }
}

impl Expectations {
    /// Reads expectations from text.
    ///
    /// # Errors
    /// When it is no TOML, or holds something unknown or twice; the message begins with line and column.
    pub fn parse(text: &str) -> Result<Expectations, Unreadable> {
        let file: File = toml::from_str(text).map_err(|e| {
            Unreadable::at(text, e.span().map_or(0, |span| span.start), e.message().replace('\n', "; "))
        })?;
        let mut deviations: Vec<KnownDeviation> = Vec::new();
        for entry in file.deviation {
            let (at, wrong) = (entry.name.span().start, |what: &str| {
                Err(Unreadable::at(text, entry.name.span().start, format!("'{}' {what}", entry.name.as_ref())))
            });
            if deviations.iter().any(|d| d.name == *entry.name.as_ref()) {
                return wrong("stands here twice");
            }
            let anything = entry.rule.0.is_empty() && entry.operation.0.is_empty() && entry.field.0.is_empty();
            if anything && entry.seen.0.is_empty() {
                return wrong("would hide everything: give it a rule, an operation, a field or what is seen");
            }
            if entry.case.is_some() && entry.within.is_some() {
                return wrong("has a case, so 'within' means nothing");
            }
            let line = 1 + text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count();
            deviations.push(KnownDeviation {
                line,
                rule: OneOf(entry.rule.0.into_iter().map(|r| r.0).collect()),
                operation: OneOf(entry.operation.0.into_iter().map(|o| o.0.0).collect()),
                field: entry.field,
                oracle: OneOf(entry.oracle.0.into_iter().map(|o| o.0.0).collect()),
                expected: entry.expected,
                seen: entry.seen,
                option: entry.option.0.into_iter().map(|o| o.0.0).collect(),
                kernel: entry.kernel.map(|r| r.0),
                version: entry.version.map(|r| r.0),
                why: entry.why,
                link: entry.link,
                within: entry.within.unwrap_or(DEFAULT_WITHIN),
                case: entry.case.map(|c| c.0.0),
                name: entry.name.into_inner(),
            });
        }
        Ok(Expectations { target: file.target, deviations })
    }
}
