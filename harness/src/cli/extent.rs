//! How much of which campaign is run: `--seed`, `--cases`, `--time`, `--jobs`, `--shard`.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use crate::campaign::Shard;

/// Cases of a campaign on this machine's kernel.
const CASES: u64 = 12_000;
/// Cases of a campaign in guests, which are slower in software.
const CASES_IN_GUESTS: u64 = 2000;

/// Which cases are run, and by how many workers.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ExtentArgs {
    /// Draw every case from this seed; without it, from the time of day (it is printed).
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Run this many cases [default: 12000, in guests 2000; no limit with --time].
    #[arg(long, value_name = "N")]
    cases: Option<u64>,
    /// Stop after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Run this many workers [default: one per processor].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Run the K-th of N equal parts of the campaign (2/5), or the part that a CI system gives this job (auto).
    /// `ovlcheck merge` makes one of their results.
    #[arg(long, value_name = "K/N", requires = "seed")]
    shard: Option<ShardArg>,
}

/// Which part is asked for.
#[derive(Debug, Clone, Copy)]
enum ShardArg {
    Given(Shard),
    /// The one that the environment names.
    Auto,
}

impl FromStr for ShardArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(ShardArg::Auto),
            text => text.parse().map(ShardArg::Given).map_err(|e: crate::campaign::NoShard| format!("{e}, or auto")),
        }
    }
}

impl ExtentArgs {
    /// The seed, from the time of day if none is given.
    pub(super) fn seed(&self) -> u64 {
        seed_or_time(self.seed)
    }

    /// The same with a seed, from the time of day if none is given: for several campaigns.
    pub(super) fn seeded(&self) -> ExtentArgs {
        ExtentArgs { seed: Some(self.seed()), ..self.clone() }
    }

    /// How many cases the whole campaign has; `u64::MAX` where time alone ends it.
    pub(super) fn cases(&self, in_guests: bool) -> u64 {
        let usual = if in_guests { CASES_IN_GUESTS } else { CASES };
        self.cases.unwrap_or(if self.time.is_some() { u64::MAX } else { usual })
    }

    /// How many cases; `usual` where nothing is said.
    pub(super) fn cases_or(&self, usual: u64) -> u64 {
        self.cases.unwrap_or(if self.time.is_some() { u64::MAX } else { usual })
    }

    /// How long at most.
    pub(super) fn time(&self) -> Option<Duration> {
        self.time.map(Duration::from_secs)
    }

    /// How many workers.
    pub(super) fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Which part of the campaign.
    ///
    /// # Errors
    /// When it is left to the environment, which does not say: why, in words.
    pub(super) fn shard(&self) -> Result<Shard, String> {
        match self.shard {
            None => Ok(Shard::WHOLE),
            Some(ShardArg::Given(shard)) => Ok(shard),
            Some(ShardArg::Auto) => shard_from(&|name| std::env::var(name).ok()),
        }
    }
}

/// A seed for those who gave none.
pub(super) fn seed_or_time(seed: Option<u64>) -> u64 {
    seed.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        now.as_secs() % 1_000_000
    })
}

/// The part that a CI system gives this job. GitLab counts from 1, Kubernetes from 0 and does not say how many.
fn shard_from(variable: &dyn Fn(&str) -> Option<String>) -> Result<Shard, String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let number = |name: &str| match set(name) {
        None => Err(format!("--shard auto: {name} is not set")),
        Some(value) => value.parse::<u64>().map_err(|_| format!("--shard auto: {name} is no number: {value}")),
    };
    let (place, count) = match (set("CI_NODE_INDEX").is_some(), set("JOB_COMPLETION_INDEX").is_some()) {
        (true, true) => {
            return Err("--shard auto: CI_NODE_INDEX and JOB_COMPLETION_INDEX are both set; give K/N".into());
        }
        (true, false) => (number("CI_NODE_INDEX")?, number("CI_NODE_TOTAL")?),
        (false, true) => (number("JOB_COMPLETION_INDEX")?.saturating_add(1), number("JOB_COMPLETIONS")?),
        (false, false) => {
            return Err("--shard auto: neither CI_NODE_INDEX and CI_NODE_TOTAL (GitLab, parallel) nor \
                        JOB_COMPLETION_INDEX and JOB_COMPLETIONS (Kubernetes, Indexed Job) are set; give K/N"
                .into());
        }
    };
    Shard::new(place, count).map_err(|e| format!("--shard auto: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<String, String> {
        let of = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        shard_from(&of).map(|shard| shard.to_string())
    }

    #[test]
    fn ci_systems_name_the_part() {
        assert_eq!(with(&[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "3")]), Ok("1/3".into()));
        assert_eq!(with(&[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "5")]), Ok("1/5".into()));
        assert_eq!(with(&[("JOB_COMPLETION_INDEX", "4"), ("JOB_COMPLETIONS", "5")]), Ok("5/5".into()));
    }

    #[test]
    fn an_environment_that_does_not_say_is_refused() {
        for (variables, word) in [
            (&[] as &[(&str, &str)], "neither"),
            (&[("JOB_COMPLETION_INDEX", "0")], "JOB_COMPLETIONS is not set"),
            (&[("JOB_COMPLETION_INDEX", "5"), ("JOB_COMPLETIONS", "5")], "'6/5' is no shard"),
            (&[("CI_NODE_INDEX", "x"), ("CI_NODE_TOTAL", "3")], "is no number: x"),
            (&[("CI_NODE_INDEX", "1"), ("JOB_COMPLETION_INDEX", "1")], "both set"),
        ] {
            let said = with(variables).unwrap_err();
            assert!(said.contains(word), "no '{word}' in {said}");
        }
    }
}
