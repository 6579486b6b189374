//! Results for programs: JSON values, one a line, as `docs/json.md` describes them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::finding::line;
use crate::campaign::{Finding, Settings, Shard, Stats, Summary, entries};
use crate::check::Place;
use crate::trace::{Environment, Privilege};

/// Version of the lines. It changes when a field is removed or means something else; new fields may come
/// at any time.
pub const JSON_VERSION: u32 = 1;

/// The first line.
pub fn json_begin(command: &str) -> Value {
    json!({
        "event": "begin",
        "version": JSON_VERSION,
        "program": concat!("ovlcheck ", env!("CARGO_PKG_VERSION")),
        "command": command,
        "seed": null,
    })
}

/// The first line of a campaign, with what makes it the same campaign elsewhere.
pub fn json_begin_campaign(settings: &Settings, seeds: u64) -> Value {
    let mut line = json_begin("run");
    line["seed"] = settings.seed.into();
    line["shard"] = shard_value(settings.shard).into();
    line["campaign"] = json!({
        "seeds": seeds,
        "cases": (settings.cases != u64::MAX).then_some(settings.cases),
        "steps": settings.profile.steps.end(),
        "mirror": settings.mirror,
        "filter": settings.focus.as_ref().map(|focus| focus.to_string()),
        "level": settings.worker.level.name(),
        "coverage": settings.coverage,
    });
    line
}

/// The kernel that the lines up to the next one are about, as the user names it.
pub fn json_kernel(name: &str, number: usize, of: usize) -> Value {
    json!({ "event": "kernel", "name": name, "number": number, "of": of })
}

/// A kernel that could not be tried.
pub fn json_untried(status: u8) -> Value {
    json!({ "event": "untried", "status": status })
}

/// How far a campaign is.
pub fn json_progress(cases: u64, checked: u64, diverged: u64, seconds: f64) -> Value {
    json!({ "event": "progress", "cases": cases, "checked": checked, "diverged": diverged, "seconds": seconds })
}

/// A finding of a campaign.
pub fn json_finding(finding: &Finding) -> Value {
    let mut line = finding_value(finding);
    line["event"] = "finding".into();
    line
}

/// What came of a case file: `holds`, `known` (with the names of the deviations), `diverges` (with the finding) or `not tested` (with the reason).
pub fn json_case(file: &str, result: &str, reason: Option<&str>, finding: Option<&Finding>) -> Value {
    json!({
        "event": "case",
        "file": file,
        "result": result,
        "reason": reason,
        "finding": finding.map(finding_value),
    })
}

/// The last line of a campaign.
pub(crate) fn json_summary(summary: &Summary, status: u8) -> CampaignEnd {
    let stats = &summary.stats;
    let results = stats.results.iter().map(|((op, errno), n)| CountedResult {
        operation: (*op).to_owned(),
        errno: errno.map(|e| e.to_string()),
        count: *n,
    });
    let untested = stats.untested.iter().map(|(reason, n)| Untested { reason: reason.clone(), count: *n });
    let known = summary.known.iter().map(|k| KnownEntry {
        name: k.name.clone(),
        line: k.line,
        cases: k.cases,
        gone: k.gone,
        due: k.due,
    });
    let signatures = summary.findings.iter().map(|f| Met { signature: signature(f), times: f.times });
    CampaignEnd {
        event: "end".to_owned(),
        status,
        environment: summary.environment.as_ref().map(environment_value),
        seed: summary.seed,
        seeds: summary.seeds,
        shard: shard_value(summary.shard),
        seconds: summary.elapsed.as_secs_f64(),
        interrupted: summary.interrupted,
        cases: stats.cases,
        steps: stats.steps,
        checked: stats.checked,
        changed: stats.changed,
        mutating: stats.mutating,
        diverged: stats.diverged,
        findings: summary.findings.len() as u64,
        signatures: signatures.collect(),
        results: results.collect(),
        never_fired: stats.never_fired().iter().map(|c| c.id().to_owned()).collect(),
        untested: untested.collect(),
        known: known.collect(),
        cut: stats.cut,
        defects: summary.defects.clone(),
        coverage: (!stats.origins.is_empty()).then(|| coverage_of(stats)),
    }
}

/// What the last line of a campaign says, for whoever writes or reads it; docs/json.md describes the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CampaignEnd {
    pub(crate) event: String,
    pub(crate) status: u8,
    pub(crate) environment: Option<Value>,
    pub(crate) seed: u64,
    pub(crate) seeds: u64,
    pub(crate) shard: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) interrupted: bool,
    pub(crate) cases: u64,
    pub(crate) steps: u64,
    pub(crate) checked: u64,
    pub(crate) changed: u64,
    pub(crate) mutating: u64,
    pub(crate) diverged: u64,
    pub(crate) findings: u64,
    pub(crate) signatures: Vec<Met>,
    pub(crate) results: Vec<CountedResult>,
    pub(crate) never_fired: Vec<String>,
    pub(crate) untested: Vec<Untested>,
    pub(crate) known: Vec<KnownEntry>,
    pub(crate) cut: u64,
    pub(crate) defects: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coverage: Option<Coverage>,
}

/// How often a signature was met in all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Met {
    pub(crate) signature: String,
    pub(crate) times: u64,
}

/// How often an operation gave a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CountedResult {
    pub(crate) operation: String,
    pub(crate) errno: Option<String>,
    pub(crate) count: u64,
}

/// How many cases were not tested, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Untested {
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// What became of a known deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct KnownEntry {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) cases: u64,
    pub(crate) gone: bool,
    pub(crate) due: Option<u64>,
}

/// What `--coverage` adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Coverage {
    pub(crate) targets: Vec<CountedTarget>,
    pub(crate) clauses: Vec<Fired>,
    pub(crate) mutating: Vec<CountedCalls>,
}

/// How often operations had a target in some state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CountedTarget {
    pub(crate) operation: String,
    pub(crate) second: bool,
    pub(crate) state: String,
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
}

/// How often a clause fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fired {
    pub(crate) id: String,
    pub(crate) fired: u64,
}

/// Calls of an operation that is meant to change something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CountedCalls {
    pub(crate) operation: String,
    pub(crate) calls: u64,
    pub(crate) succeeded: u64,
}

impl fmt::Display for CampaignEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// `null` for a whole campaign.
fn shard_value(shard: Shard) -> Option<String> {
    (!shard.is_whole()).then(|| shard.to_string())
}

/// A signature as text: the same for the same one, in any run of this version.
fn signature(finding: &Finding) -> String {
    let s = finding.divergence.signature();
    let rule = s.rule.map_or("no rule", |r| r.id());
    format!("{rule}, {}, {}, {}", s.operation, s.oracle, s.field)
}

/// What `--coverage` adds to the last line.
fn coverage_of(stats: &Stats) -> Coverage {
    let targets = stats.origins.iter().map(|((op, second, origin), (calls, succeeded))| CountedTarget {
        operation: (*op).to_owned(),
        second: *second,
        state: origin.name().to_owned(),
        calls: *calls,
        succeeded: *succeeded,
    });
    let clauses = stats.by_firing().into_iter().map(|(clause, n)| Fired { id: clause.id().to_owned(), fired: n });
    let mutating = stats.mutations.iter().map(|(op, (calls, succeeded))| CountedCalls {
        operation: (*op).to_owned(),
        calls: *calls,
        succeeded: *succeeded,
    });
    Coverage { targets: targets.collect(), clauses: clauses.collect(), mutating: mutating.collect() }
}

/// The last line of a replay.
pub fn json_replayed(held: usize, diverged: usize, untested: usize, status: u8) -> Value {
    json!({ "event": "end", "status": status, "held": held, "diverged": diverged, "untested": untested })
}

fn environment_value(env: &Environment) -> Value {
    let pairs = |list: &[(String, String)]| -> Value {
        list.iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    json!({
        "target": env.target,
        "privilege": if env.privilege == Privilege::Root { "root" } else { "rootless" },
        "kernel": env.kernel,
        "filesystem": env.filesystem,
        "module": pairs(&env.module),
        "sysctl": pairs(&env.sysctl),
    })
}

fn finding_value(finding: &Finding) -> Value {
    let d = &finding.divergence;
    let place = match d.place {
        Place::Mount => json!("mount"),
        // As everywhere for people, the first step is 1.
        Place::Step(n) => json!(n + 1),
        Place::End => json!("end"),
    };
    let rules: Vec<Value> = d
        .in_play
        .iter()
        .map(|c| json!({ "id": c.id(), "level": c.level().to_string(), "statement": c.statement() }))
        .collect();
    json!({
        "index": finding.index,
        "signature": signature(finding),
        "message": line(d),
        "times": finding.times,
        "step": place,
        "operation": d.operation,
        "oracle": d.oracle.to_string(),
        "rule": d.rule.map(|r| r.id()),
        "path": d.path,
        "field": d.field,
        "expected": d.expected,
        "seen": d.seen,
        "rules": rules,
        "case": finding.case.to_string(),
        "steps": finding.case.steps.len(),
        "entries": entries(&finding.case),
        "nondeterministic": finding.nondeterministic,
        "environment": environment_value(&finding.trace.environment),
    })
}
