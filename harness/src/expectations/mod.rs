//! What a target is known to do otherwise: one TOML file per target, one entry per deviation.
//!
//! A divergence that an entry foresees is no news. An entry that no longer comes true is news again, so
//! that a file of expectations can only say what is so.

mod matching;
mod read;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use crate::case::Case;
use crate::check::Divergence;
use crate::trace::Environment;

pub use matching::{OneOf, Range, RuleName, Version};
pub use read::Unreadable;

/// How many cases an entry without a case and without `within` has to come true in.
pub const DEFAULT_WITHIN: u64 = 10_000;

/// A deviation that is known.
#[derive(Clone, Debug)]
pub struct KnownDeviation {
    /// What it is called; no two entries of a file are called the same.
    pub name: String,
    /// The line of the file that its name stands on, from 1.
    pub line: usize,
    /// By which rules the divergence is judged: clauses, or rules with all their clauses.
    pub rule: OneOf<RuleName>,
    /// In which operations it shows; `mount` and `end` are the looks outside the steps.
    pub operation: OneOf<String>,
    /// What differs, as a pattern: `mode`, `xattr *`.
    pub field: OneOf<String>,
    /// By which comparison, as reports say it: `outcome`, `footprint, merged side`.
    pub oracle: OneOf<String>,
    /// What must be, as a pattern.
    pub expected: OneOf<String>,
    /// What is seen instead, as a pattern.
    pub seen: OneOf<String>,
    /// Mount options that the case has, all of them.
    pub option: Vec<String>,
    /// On which kernels.
    pub kernel: Option<Range>,
    /// In which versions of the target. A target whose version is not known is taken to be in it.
    pub version: Option<Range>,
    /// Why it is so.
    pub why: String,
    /// Where to read more.
    pub link: Option<String>,
    /// A run of so many cases or more shows it. Unused where there is a case.
    pub within: u64,
    /// A case that shows it every time.
    pub case: Option<Case>,
}

/// The deviations that are known of a target.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// The target that the file is about.
    pub target: Option<String>,
    /// What is known.
    pub deviations: Vec<KnownDeviation>,
}

impl Expectations {
    /// Reads a file, and leaves out what does not apply to this version of the target.
    ///
    /// # Errors
    /// When it cannot be read or holds something wrong; the message begins with file, line and column.
    pub fn load(path: &Path, version: Option<&Version>) -> Result<Arc<Expectations>, Unreadable> {
        let text = std::fs::read_to_string(path).map_err(|e| Unreadable::of_file(path, &e))?;
        let mut expectations = Expectations::parse(&text).map_err(|e| e.in_file(path))?;
        if let Some(version) = version {
            expectations.deviations.retain(|d| d.version.as_ref().is_none_or(|range| range.holds(version)));
        }
        Ok(Arc::new(expectations))
    }

    /// The number of the first deviation that this divergence is, if it is one.
    pub fn foresee(&self, case: &Case, environment: &Environment, divergence: &Divergence) -> Option<usize> {
        self.deviations.iter().position(|d| d.applies(environment) && d.is(case, divergence))
    }
}

impl KnownDeviation {
    /// Whether it is to be seen on this kernel.
    pub fn applies(&self, environment: &Environment) -> bool {
        let Some(range) = &self.kernel else { return true };
        Version::in_text(&environment.kernel).is_none_or(|version| range.holds(&version))
    }

    fn is(&self, case: &Case, d: &Divergence) -> bool {
        self.rule.any(|rule| d.rule.is_some_and(|clause| rule.covers(clause)))
            && self.operation.any(|operation| operation == d.operation)
            && self.field.any(|field| matching::glob(field, &d.field))
            && self.oracle.any(|oracle| *oracle == d.oracle.to_string())
            && self.expected.any(|expected| matching::glob(expected, &d.expected))
            && self.seen.any(|seen| matching::glob(seen, &d.seen))
            && self.option.iter().all(|option| case.options.contains(option))
    }
}
