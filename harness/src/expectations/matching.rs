//! What entries are compared by: lists, patterns, rules, versions.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, Visitor};

use crate::model::Clause;

/// A value or a list of them; without any, everything fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOf<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not an untagged enum: that would forget what is wrong with a value.
        struct Values<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Values<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Vec<T>, E> {
                T::deserialize(value.into_deserializer()).map(|value| vec![value])
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut values: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = values.next_element()? {
                    all.push(value);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Values(PhantomData)).map(OneOf)
    }
}

impl<T> Default for OneOf<T> {
    fn default() -> Self {
        OneOf(Vec::new())
    }
}

impl<T> OneOf<T> {
    /// Whether one of them fits, or none is asked for.
    pub fn any(&self, fits: impl FnMut(&T) -> bool) -> bool {
        self.0.is_empty() || self.0.iter().any(fits)
    }
}

/// A clause, or a rule that stands for all its clauses: `FS-03.setgid`, `FS-03`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName(String);

impl RuleName {
    /// Whether this clause is meant.
    pub fn covers(&self, clause: Clause) -> bool {
        let id = clause.id();
        id.strip_prefix(&self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl FromStr for RuleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = RuleName(text.to_owned());
        if Clause::ALL.iter().any(|clause| name.covers(*clause)) {
            return Ok(name);
        }
        Err(format!("'{text}' is neither a rule nor a clause; `ovlcheck rules` lists them"))
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text fits a pattern, in which `*` stands for anything.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    while let Some((middle, after)) = rest.split_once('*') {
        let Some(at) = text.find(middle) else { return false };
        text = &text[at + middle.len()..];
        rest = after;
    }
    text.ends_with(rest)
}

/// A version: numbers with dots between them. Numbers that are not there count as 0.
#[derive(Clone, Debug)]
pub struct Version(Vec<u64>);

impl Version {
    /// The first version in a text: digits with a dot among them, as in `fuse-overlayfs: version 1.10`, or a
    /// number at the very beginning.
    pub fn in_text(text: &str) -> Option<Version> {
        let numbers = |word: &str| -> Option<Version> {
            let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
            let word = word[..end].trim_end_matches('.');
            word.split('.').map(|n| n.parse().ok()).collect::<Option<Vec<u64>>>().map(Version)
        };
        let words = || text.split_whitespace();
        let with_dot = words().filter_map(|w| numbers(w.trim_start_matches('v'))).find(|v| v.0.len() > 1);
        with_dot.or_else(|| words().next().and_then(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let at = |v: &Version, n: usize| v.0.get(n).copied().unwrap_or(0);
        (0..length).map(|n| at(self, n).cmp(&at(other, n))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Bounds of versions, all of which hold: `>=1.8, <1.11`; a version alone is that one and what lies within
/// it (`1.10` is 1.10, 1.10.1 and so on).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range(Vec<(Bound, Version)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Least,
    Above,
    Most,
    Below,
    Within,
}

impl Range {
    /// Whether a version lies in it.
    pub fn holds(&self, version: &Version) -> bool {
        self.0.iter().all(|(bound, limit)| match bound {
            Bound::Least => version >= limit,
            Bound::Above => version > limit,
            Bound::Most => version <= limit,
            Bound::Below => version < limit,
            Bound::Within => Version(version.0.iter().copied().take(limit.0.len()).collect()) == *limit,
        })
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const BOUNDS: [(&str, Bound); 5] =
            [(">=", Bound::Least), (">", Bound::Above), ("<=", Bound::Most), ("<", Bound::Below), ("", Bound::Within)];
        let bound = |part: &str| -> Option<(Bound, Version)> {
            let (bound, rest) = BOUNDS.iter().find_map(|(sign, b)| Some((*b, part.strip_prefix(sign)?)))?;
            let numbers = rest.trim().split('.').map(|n| n.parse().ok());
            Some((bound, Version(numbers.collect::<Option<Vec<u64>>>()?)))
        };
        let parts: Option<Vec<_>> = text.split(',').map(|part| bound(part.trim())).collect();
        parts
            .map(Range)
            .ok_or_else(|| format!("'{text}' is no range of versions: write it like '>=6.8, <6.16' or '1.10'"))
    }
}
