//! Levels: how much of OverlayFS a target claims to be, and whom a clause binds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of OverlayFS is asked for; each level holds those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Any overlay implementation: what the merged view shows, that calls succeed or fail as they must, and
    /// that lower layers never change.
    Contract,
    /// The on-disk form that lets another implementation mount the layers later.
    Format,
    /// Linux's own implementation: precedence of errors, inode numbers, time stamps of its work.
    #[default]
    Linux,
}

impl Level {
    /// All of them, the least demanding first.
    pub const ALL: [Level; 3] = [Level::Contract, Level::Format, Level::Linux];

    /// Its name, as in `--level`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Contract => "contract",
            Level::Format => "format",
            Level::Linux => "linux",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a level.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no level: contract, format or linux")]
pub struct UnknownLevel(String);

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(s: &str) -> Result<Level, UnknownLevel> {
        Level::ALL.into_iter().find(|level| level.name() == s).ok_or_else(|| UnknownLevel(s.to_owned()))
    }
}
