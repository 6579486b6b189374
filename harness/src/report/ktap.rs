//! Results in the kernel's test protocol, KTAP version 1 (Documentation/dev-tools/ktap.rst).
//!
//! ```text
//! KTAP version 1
//! 1..1
//!   KTAP version 1
//!   1..2
//!     KTAP version 1
//!     1..1
//!     ok 1 RMV-02.whiteout # fired 12 times
//!   ok 1 RMV
//!   ok 2 cases # SKIP 3 not tested: ...
//! ok 1 kernel on tmpfs, root, Linux 6.12
//! ```

use super::kernels::TriedKernel;
use crate::campaign::{Finding, Summary};
use crate::model::Clause;
use crate::trace::{Environment, Privilege};

/// What came of a test, with what is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Passed(Option<String>),
    Failed,
    Skipped(String),
    /// It failed as is known of the target.
    Expected,
    /// It could not be told.
    Error(String),
}

/// A line of results with what belongs to it.
#[derive(Clone, Debug)]
struct Test {
    name: String,
    verdict: Verdict,
    /// Lines for people.
    diagnostics: Vec<String>,
    subtests: Vec<Test>,
}

impl Test {
    fn new(name: impl Into<String>, verdict: Verdict) -> Test {
        Test { name: name.into(), verdict, diagnostics: Vec::new(), subtests: Vec::new() }
    }

    /// A test that fails if one of its subtests does, and is skipped if all are.
    fn of(name: impl Into<String>, subtests: Vec<Test>) -> Test {
        let failed = |t: &Test| matches!(t.verdict, Verdict::Failed | Verdict::Error(_));
        let verdict = if subtests.iter().any(failed) {
            Verdict::Failed
        } else if subtests.iter().all(|t| matches!(t.verdict, Verdict::Skipped(_))) {
            Verdict::Skipped("nothing of it was reached".to_owned())
        } else {
            Verdict::Passed(None)
        };
        Test { subtests, ..Test::new(name, verdict) }
    }
}

/// Campaigns as tests: each a test with one subtest for each area of the rules, and those with one for each clause.
/// A clause that never fired is skipped.
pub fn ktap(campaigns: &[TriedKernel]) -> String {
    let tests = campaigns.iter().map(|tried| match &tried.result {
        Ok(summary) => campaign(summary),
        Err(status) => Test::new(&tried.name, Verdict::Error(format!("could not be tried (status {status})"))),
    });
    let mut out = String::new();
    write(&mut out, 0, &tests.collect::<Vec<_>>());
    out
}

fn campaign(summary: &Summary) -> Test {
    let mut areas: Vec<(&str, Vec<Test>)> = Vec::new();
    for clause in Clause::ALL {
        let area = clause.id().split_once('-').map_or(clause.id(), |(area, _)| area);
        match areas.iter_mut().find(|(name, _)| *name == area) {
            Some((_, tests)) => tests.push(of_clause(*clause, summary)),
            None => areas.push((area, vec![of_clause(*clause, summary)])),
        }
    }
    let mut tests: Vec<Test> = areas.into_iter().map(|(area, tests)| Test::of(area, tests)).collect();
    let undecided: Vec<&Finding> = summary.findings.iter().filter(|f| f.divergence.rule.is_none()).collect();
    if !undecided.is_empty() {
        let test = Test::new("divergences by no clause", Verdict::Failed);
        tests.push(Test { diagnostics: undecided.into_iter().flat_map(told).collect(), ..test });
    }
    for known in summary.known.iter().filter(|known| known.gone) {
        let test = Test::new(format!("known deviation {}", known.name), Verdict::Failed);
        let told = format!("line {} of the expectations is no longer so: delete this entry", known.line);
        tests.push(Test { diagnostics: vec![told], ..test });
    }
    for (reason, n) in &summary.stats.untested {
        tests.push(Test::new("cases", Verdict::Skipped(format!("{n} not tested: {reason}"))));
    }
    for defect in &summary.defects {
        tests.push(Test::new("ovlcheck", Verdict::Error(defect.clone())));
    }
    if summary.interrupted {
        tests.push(Test::new("campaign", Verdict::Error("interrupted".to_owned())));
    }
    let name = summary.environment.as_ref().map_or("no environment".to_owned(), place);
    let stats = &summary.stats;
    let shard = if summary.shard.is_whole() { String::new() } else { format!(", shard {}", summary.shard) };
    let told = format!("seed {}{shard}: {} cases, {} steps checked", summary.seed, stats.cases, stats.checked);
    Test { diagnostics: vec![told], ..Test::of(name, tests) }
}

fn place(env: &Environment) -> String {
    let privilege = if env.privilege == Privilege::Root { "root" } else { "rootless" };
    format!("{} on {}, {privilege}, Linux {}", env.target, env.filesystem, env.kernel)
}

fn of_clause(clause: Clause, summary: &Summary) -> Test {
    let fired = summary.stats.fired.get(clause as usize).copied().unwrap_or(0);
    let (news, known) = summary.stats.broken.get(&clause).copied().unwrap_or_default();
    let found: Vec<&Finding> = summary.findings.iter().filter(|f| f.divergence.rule == Some(clause)).collect();
    let verdict = match () {
        () if news > 0 || !found.is_empty() => Verdict::Failed,
        () if known > 0 => Verdict::Expected,
        () if fired == 0 => Verdict::Skipped("never fired".to_owned()),
        () => Verdict::Passed(Some(format!("fired {fired} times"))),
    };
    Test { diagnostics: found.into_iter().flat_map(told).collect(), ..Test::new(clause.id(), verdict) }
}

/// A finding in lines: what it is, and the case.
fn told(finding: &Finding) -> Vec<String> {
    let case = finding.case.to_string();
    let mut lines = vec![finding.divergence.to_string()];
    lines.extend(case.lines().map(|line| format!("  {line}")));
    lines
}

fn write(out: &mut String, depth: usize, tests: &[Test]) {
    let indent = "  ".repeat(depth);
    *out += &format!("{indent}KTAP version 1\n{indent}1..{}\n", tests.len());
    for (n, test) in tests.iter().enumerate() {
        if !test.subtests.is_empty() {
            write(out, depth + 1, &test.subtests);
        }
        for line in test.diagnostics.iter().flat_map(|text| text.lines()) {
            *out += &format!("{indent}# {}\n", plain(line));
        }
        let (result, more) = match &test.verdict {
            Verdict::Passed(None) => ("ok", String::new()),
            Verdict::Passed(Some(told)) => ("ok", format!(" # {}", plain(told))),
            Verdict::Failed => ("not ok", String::new()),
            Verdict::Skipped(why) => ("ok", format!(" # SKIP {}", plain(why))),
            Verdict::Expected => ("ok", " # XFAIL known of this target".to_owned()),
            Verdict::Error(why) => ("not ok", format!(" # ERROR {}", plain(why))),
        };
        // A description has no '#'.
        *out += &format!("{indent}{result} {} {}{more}\n", n + 1, plain(&test.name).replace('#', "_"));
    }
}

/// One line of text that no terminal or parser minds.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::campaign::{Shard, Stats};
    use crate::model::CLAUSES;

    fn summary() -> Summary {
        let mut stats = Stats { fired: vec![0; CLAUSES], cases: 9, ..Stats::default() };
        stats.fired[Clause::RmvWhiteout as usize] = 5;
        stats.fired[Clause::FsLinks as usize] = 5;
        stats.broken.insert(Clause::FsLinks, (0, 2));
        Summary {
            seed: 1,
            seeds: 1,
            shard: Shard::WHOLE,
            environment: None,
            stats,
            findings: Vec::new(),
            elapsed: Duration::ZERO,
            start: Default::default(),
            interrupted: false,
            known: Vec::new(),
            defects: Vec::new(),
        }
    }

    fn lines(result: Result<Summary, u8>) -> Vec<String> {
        let tried = TriedKernel { name: "a#b".into(), result };
        ktap(&[tried]).lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_fails_fails_all_above_it() {
        let good = lines(Ok(summary()));
        assert_eq!(good[..2], ["KTAP version 1", "1..1"]);
        assert!(good.contains(&"ok 1 no environment".to_owned()), "{good:#?}");
        assert!(good.iter().any(|l| l.starts_with("    ok ") && l.ends_with(" RMV-02.whiteout # fired 5 times")));
        assert!(good.iter().any(|l| l.ends_with(" FS-02.links # XFAIL known of this target")), "{good:#?}");
        assert!(good.iter().any(|l| l.starts_with("  ok ") && l.ends_with(" REN # SKIP nothing of it was reached")));
        let mut broken = summary();
        broken.stats.broken.insert(Clause::RmvWhiteout, (1, 0));
        broken.stats.untested.insert("a #reason".into(), 3);
        let bad = lines(Ok(broken));
        assert!(bad.iter().any(|l| l.starts_with("    not ok ") && l.ends_with(" RMV-02.whiteout")), "{bad:#?}");
        assert!(bad.iter().any(|l| l.starts_with("  not ok ") && l.ends_with(" RMV")), "{bad:#?}");
        assert!(bad.iter().any(|l| l.ends_with("cases # SKIP 3 not tested: a #reason")), "{bad:#?}");
        assert_eq!(bad.last().map(String::as_str), Some("not ok 1 no environment"));
    }

    #[test]
    fn a_kernel_that_does_not_boot_is_an_error() {
        let line = "not ok 1 a_b # ERROR could not be tried (status 3)";
        assert_eq!(lines(Err(3)), ["KTAP version 1", "1..1", line]);
    }
}
