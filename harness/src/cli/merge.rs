//! `ovlcheck merge`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::campaign::status_of;
use super::{CANNOT, USAGE, say, say_raw};
use crate::campaign::Shard;
use crate::errno::Errno;
use crate::model::{Clause, Origin};
use crate::report::{
    self, CampaignEnd, CountedCalls, CountedResult, CountedTarget, Coverage, Fired, JSON_VERSION, Met, Untested,
};

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck run --seed 7 --shard 1/2 --json > 1.json     on one machine
  ovlcheck run --seed 7 --shard 2/2 --json > 2.json     on another
  ovlcheck merge 1.json 2.json                          what the whole campaign came to

The exit status is that of the whole campaign; 2 where the files are not all the shards of one campaign.";

/// What `ovlcheck merge` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct MergeArgs {
    /// What `ovlcheck run --shard K/N --json` printed, one file for each shard.
    #[arg(value_name = "SUMMARY.json", required = true)]
    files: Vec<PathBuf>,
    /// Print JSON as the whole campaign would have.
    #[arg(long)]
    json: bool,
    /// Write the case of every finding to this directory.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(super) fn merge(args: &MergeArgs) -> u8 {
    let runs: Result<Vec<Run>, String> = args.files.iter().map(|file| Run::read(file)).collect();
    let merged = match runs.and_then(|runs| unite(&runs)) {
        Ok(merged) => merged,
        Err(why) => {
            eprintln!("ovlcheck: {why}");
            return USAGE;
        }
    };
    if let Some(dir) = &args.keep {
        if let Err(e) = keep(dir, &merged.findings) {
            eprintln!("ovlcheck: cannot write to {}: {e}", dir.display());
            return CANNOT;
        }
    }
    if args.json {
        say!("{}", merged.begin);
        merged.findings.iter().for_each(|finding| say!("{finding}"));
        say!("{}", merged.end);
    } else {
        say_raw!("{}", report::merged(&merged.end, &merged.findings, args.files.len()));
    }
    merged.end.status
}

fn keep(dir: &Path, findings: &[Value]) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (n, finding) in findings.iter().enumerate() {
        let word = |key: &str| finding[key].as_str().unwrap_or("none");
        let name = format!("{:02}-{}-{}.case", n + 1, word("rule"), word("operation"));
        std::fs::write(dir.join(name), word("case"))?;
    }
    Ok(())
}

/// What one campaign, or a shard of one, printed.
#[derive(Debug)]
struct Run {
    file: String,
    begin: Value,
    shard: Shard,
    findings: Vec<Value>,
    end: CampaignEnd,
}

/// All shards as one.
#[derive(Debug)]
struct Merged {
    begin: Value,
    findings: Vec<Value>,
    end: CampaignEnd,
}

impl Run {
    fn read(file: &Path) -> Result<Run, String> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|e| format!("{name}: {e}"))?;
        Run::parse(&name, &text).map_err(|why| format!("{name}: {why}"))
    }

    fn parse(file: &str, text: &str) -> Result<Run, String> {
        let mut lines = Vec::new();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            lines.push(serde_json::from_str::<Value>(line).map_err(|e| format!("line {}: no JSON: {e}", n + 1))?);
        }
        let [begin, .., end] = lines.as_slice() else {
            return Err("not what `ovlcheck run --json` prints".to_owned());
        };
        if begin["event"] != "begin" || begin["command"] != "run" {
            return Err("does not begin as what `ovlcheck run --json` prints".to_owned());
        }
        if begin["version"] != JSON_VERSION {
            return Err(format!("version {} of the format; this program knows {JSON_VERSION}", begin["version"]));
        }
        let own = report::json_begin("run");
        if begin["program"] != own["program"] {
            return Err(format!("written by {}, not {}", begin["program"], own["program"]));
        }
        if end["event"] != "end" {
            return Err("the last line is no summary: the run did not end".to_owned());
        }
        let end: CampaignEnd = serde_json::from_value(end.clone()).map_err(|e| format!("its summary: {e}"))?;
        let shard = match &end.shard {
            None => Shard::WHOLE,
            Some(shard) => shard.parse().map_err(|e: crate::campaign::NoShard| e.to_string())?,
        };
        let findings = lines.iter().filter(|line| line["event"] == "finding").cloned().collect();
        Ok(Run { file: file.to_owned(), begin: begin.clone(), shard, findings, end })
    }
}

/// Makes one of all shards of a campaign.
fn unite(runs: &[Run]) -> Result<Merged, String> {
    let Some(first) = runs.first() else { return Err("no summary".to_owned()) };
    are_one_campaign(first, runs)?;
    let mut begin = first.begin.clone();
    begin["shard"] = Value::Null;
    let findings = findings(runs)?;
    let mut end = sums(first, runs)?;
    end.findings = findings.len() as u64;
    end.signatures = findings
        .iter()
        .map(|f| Met {
            signature: f["signature"].as_str().unwrap_or_default().to_owned(),
            times: f["times"].as_u64().unwrap_or(0),
        })
        .collect();
    for (n, known) in end.known.iter_mut().enumerate() {
        let of = |run: &Run| run.end.known.get(n).map_or((0, false), |k| (k.cases, k.gone));
        known.cases = runs.iter().map(|run| of(run).0).sum();
        known.gone = match known.due {
            Some(due) => known.cases == 0 && !end.interrupted && end.cases >= due,
            None => runs.iter().any(|run| of(run).1),
        };
    }
    let news = end.diverged > 0 || !findings.is_empty() || end.known.iter().any(|known| known.gone);
    end.status = status_of(end.interrupted, news, !end.defects.is_empty(), end.cases);
    Ok(Merged { begin, findings, end })
}

/// Refuses what is not every shard of one campaign, each once.
fn are_one_campaign(first: &Run, runs: &[Run]) -> Result<(), String> {
    let mut by_number: BTreeMap<u64, &Run> = BTreeMap::new();
    for run in runs {
        let differ = |what: &str, one: &Value, other: &Value| {
            Err(format!("{} and {} differ in their {what}: {one} and {other}", first.file, run.file))
        };
        if run.begin["seed"] != first.begin["seed"] {
            return differ("seed", &first.begin["seed"], &run.begin["seed"]);
        }
        if run.begin["campaign"] != first.begin["campaign"] {
            return differ("campaign", &first.begin["campaign"], &run.begin["campaign"]);
        }
        // A shard whose worker never came up tells no environment; then it ran nothing either.
        if let (Some(one), Some(other)) = (&first.end.environment, &run.end.environment) {
            if one != other {
                return differ("environment", one, other);
            }
        }
        let known = |run: &Run| run.end.known.iter().map(|k| (k.name.clone(), k.line)).collect::<Vec<_>>();
        if known(run) != known(first) {
            return Err(format!("{} and {} differ in their expectations", first.file, run.file));
        }
        if run.shard.count() != first.shard.count() {
            return Err(format!(
                "{} is shard {}, and {} is shard {}: not of one campaign",
                first.file, first.shard, run.file, run.shard
            ));
        }
        if let Some(other) = by_number.insert(run.shard.number(), run) {
            return Err(format!("{} and {} are both shard {}", other.file, run.file, run.shard));
        }
    }
    let missing: Vec<String> = (1..=first.shard.count())
        .filter(|number| !by_number.contains_key(number))
        .map(|number| format!("{number}/{}", first.shard.count()))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no summary of shard {}", missing.join(", "))) }
}

/// One finding for each signature: the smallest, with the sum of how often it was met.
fn findings(runs: &[Run]) -> Result<Vec<Value>, String> {
    let mut smallest: BTreeMap<&str, &Value> = BTreeMap::new();
    for run in runs {
        for finding in &run.findings {
            let Some(signature) = finding["signature"].as_str() else {
                return Err(format!("{}: a finding without a signature", run.file));
            };
            let known = smallest.entry(signature).or_insert(finding);
            if size(finding) < size(known) {
                *known = finding;
            }
        }
    }
    let met = |signature: &str| -> u64 {
        let all = runs.iter().flat_map(|run| &run.end.signatures);
        all.filter(|met| met.signature == signature).map(|met| met.times).sum()
    };
    let mut all: Vec<Value> = smallest
        .into_iter()
        .map(|(signature, finding)| {
            let mut finding = finding.clone();
            finding["times"] = met(signature).into();
            finding
        })
        .collect();
    all.sort_by_key(|finding| finding["index"].as_u64());
    Ok(all)
}

/// By what findings of one signature are ordered: those that shrank first.
fn size(finding: &Value) -> (bool, u64, u64, u64) {
    let number = |key: &str| finding[key].as_u64().unwrap_or(u64::MAX);
    (!finding["nondeterministic"].is_null(), number("steps"), number("entries"), number("index"))
}

/// Rows of equal keys added up.
fn rows<K: Ord>(all: impl Iterator<Item = (K, (u64, u64))>) -> BTreeMap<K, (u64, u64)> {
    let mut sums: BTreeMap<K, (u64, u64)> = BTreeMap::new();
    for (key, (a, b)) in all {
        let row = sums.entry(key).or_default();
        *row = (row.0 + a, row.1 + b);
    }
    sums
}

/// Everything that is counted, added up.
fn sums(first: &Run, runs: &[Run]) -> Result<CampaignEnd, String> {
    let ends = || runs.iter().map(|run| &run.end);
    let sum = |of: fn(&CampaignEnd) -> u64| ends().map(of).sum();
    let results = ends().flat_map(|end| &end.results).map(|row| {
        let errno = row.errno.as_deref().map(str::parse::<Errno>).transpose().map_err(|e| e.to_string())?;
        Ok(((row.operation.clone(), errno), (row.count, 0)))
    });
    let results: Vec<_> = results.collect::<Result<_, String>>()?;
    let results = rows(results.into_iter()).into_iter().map(|((operation, errno), (count, _))| CountedResult {
        operation,
        errno: errno.map(|e| e.to_string()),
        count,
    });
    let untested = rows(ends().flat_map(|end| &end.untested).map(|row| (row.reason.clone(), (row.count, 0))));
    let never = |id: &String| ends().all(|end| end.never_fired.contains(id));
    Ok(CampaignEnd {
        environment: ends().find_map(|end| end.environment.clone()),
        shard: None,
        seconds: ends().map(|end| end.seconds).sum(),
        interrupted: ends().any(|end| end.interrupted),
        cases: sum(|end| end.cases),
        steps: sum(|end| end.steps),
        checked: sum(|end| end.checked),
        changed: sum(|end| end.changed),
        mutating: sum(|end| end.mutating),
        diverged: sum(|end| end.diverged),
        results: results.collect(),
        never_fired: first.end.never_fired.iter().filter(|id| never(id)).cloned().collect(),
        untested: untested.into_iter().map(|(reason, (count, _))| Untested { reason, count }).collect(),
        cut: sum(|end| end.cut),
        defects: ends().flat_map(|end| end.defects.clone()).collect(),
        coverage: coverage(runs)?,
        ..first.end.clone()
    })
}

/// What `--coverage` counted, added up.
fn coverage(runs: &[Run]) -> Result<Option<Coverage>, String> {
    let all: Vec<&Coverage> = runs.iter().filter_map(|run| run.end.coverage.as_ref()).collect();
    if all.is_empty() {
        return Ok(None);
    }
    let place = |state: &str| {
        let at = Origin::ALL.iter().position(|origin| origin.name() == state);
        at.ok_or_else(|| format!("'{state}' is no state of a target"))
    };
    let targets: Vec<_> = all
        .iter()
        .flat_map(|coverage| &coverage.targets)
        .map(|row| Ok(((row.operation.clone(), row.second, place(&row.state)?), (row.calls, row.succeeded))))
        .collect::<Result<_, String>>()?;
    let targets = rows(targets.into_iter()).into_iter().map(|((operation, second, at), (calls, succeeded))| {
        let state = Origin::ALL[at].name().to_owned();
        CountedTarget { operation, second, state, calls, succeeded }
    });
    let fired = rows(all.iter().flat_map(|c| &c.clauses).map(|row| (row.id.as_str(), (row.fired, 0))));
    let of = |clause: &Clause| fired.get(clause.id()).map_or(0, |row| row.0);
    let mut clauses: Vec<Fired> =
        Clause::ALL.iter().map(|clause| Fired { id: clause.id().to_owned(), fired: of(clause) }).collect();
    clauses.sort_by_key(|row| row.fired);
    let ids: BTreeSet<&str> = Clause::ALL.iter().map(|clause| clause.id()).collect();
    if let Some(unknown) = fired.keys().find(|id| !ids.contains(*id)) {
        return Err(format!("'{unknown}' is no clause"));
    }
    let mutating =
        rows(all.iter().flat_map(|c| &c.mutating).map(|row| (row.operation.clone(), (row.calls, row.succeeded))));
    let mutating = mutating
        .into_iter()
        .map(|(operation, (calls, succeeded))| CountedCalls { operation, calls, succeeded })
        .collect();
    Ok(Some(Coverage { targets: targets.collect(), clauses, mutating }))
}
