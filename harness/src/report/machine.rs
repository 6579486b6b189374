//! Results for programs: JSON values, one a line, as `docs/json.md` describes them.

use serde_json::{Value, json};

use crate::campaign::{Finding, Stats, Summary, entries};
use crate::check::Place;
use crate::trace::{Environment, Privilege};

/// Version of the lines. It changes when a field is removed or means something else; new fields may come
/// at any time.
pub const JSON_VERSION: u32 = 1;

/// The first line.
pub fn json_begin(command: &str, seed: Option<u64>) -> Value {
    json!({
        "event": "begin",
        "version": JSON_VERSION,
        "program": concat!("ovlcheck ", env!("CARGO_PKG_VERSION")),
        "command": command,
        "seed": seed,
    })
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
pub fn json_summary(summary: &Summary, status: u8) -> Value {
    let stats = &summary.stats;
    let results: Vec<Value> = stats
        .results
        .iter()
        .map(|((op, errno), n)| json!({ "operation": op, "errno": errno.map(|e| e.to_string()), "count": n }))
        .collect();
    let untested: Vec<Value> =
        stats.untested.iter().map(|(reason, n)| json!({ "reason": reason, "count": n })).collect();
    let known: Vec<Value> = summary
        .known
        .iter()
        .map(|k| json!({ "name": k.name, "line": k.line, "cases": k.cases, "gone": k.gone }))
        .collect();
    let mut line = json!({
        "event": "end",
        "status": status,
        "environment": summary.environment.as_ref().map(environment_value),
        "seed": summary.seed,
        "seeds": summary.seeds,
        "seconds": summary.elapsed.as_secs_f64(),
        "interrupted": summary.interrupted,
        "cases": stats.cases,
        "steps": stats.steps,
        "checked": stats.checked,
        "changed": stats.changed,
        "mutating": stats.mutating,
        "diverged": stats.diverged,
        "findings": summary.findings.len(),
        "results": results,
        "never_fired": stats.never_fired().iter().map(|c| c.id()).collect::<Vec<_>>(),
        "untested": untested,
        "known": known,
        "cut": stats.cut,
        "defects": summary.defects,
    });
    if !stats.origins.is_empty() {
        line["coverage"] = coverage_value(stats);
    }
    line
}

/// What `--coverage` adds to the last line.
fn coverage_value(stats: &Stats) -> Value {
    let targets: Vec<Value> = stats
        .origins
        .iter()
        .map(|((op, second, origin), (calls, succeeded))| {
            json!({
                "operation": op,
                "second": second,
                "state": origin.name(),
                "calls": calls,
                "succeeded": succeeded,
            })
        })
        .collect();
    let clauses: Vec<Value> =
        stats.by_firing().iter().map(|(clause, n)| json!({ "id": clause.id(), "fired": n })).collect();
    let mutations: Vec<Value> = stats
        .mutations
        .iter()
        .map(|(op, (calls, ok))| json!({ "operation": op, "calls": calls, "succeeded": ok }))
        .collect();
    json!({ "targets": targets, "clauses": clauses, "mutating": mutations })
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
