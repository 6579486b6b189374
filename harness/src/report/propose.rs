//! A file of expectations from what a campaign found: one entry for each root cause, as far as can be told
//! without reading the target's source.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::campaign::{Finding, Summary};
use crate::trace::Environment;

/// Findings that probably have one cause: the same rule, the same field, and for errors the same ones.
type Cause = (Option<&'static str>, String, Option<(String, String)>);

fn cause(finding: &Finding) -> Cause {
    let d = &finding.divergence;
    let errors = (d.field == "errno").then(|| (d.expected.clone(), d.seen.clone()));
    (d.rule.map(|r| r.id()), d.field.clone(), errors)
}

/// How a file begins, before its entries.
pub fn propose_head(environment: &Environment) -> String {
    format!(
        "# Proposed from a run on Linux {}. Where several entries have one cause, make them one;\n\
         # say why in each, and what it is called where it was reported.\n\
         target = {}\n",
        environment.kernel,
        quoted(&environment.target)
    )
}

/// Entries for what was found, each called as nothing in `names` is; adds their names to these.
pub fn propose(summary: &Summary, names: &mut Vec<String>) -> String {
    let mut causes: BTreeMap<Cause, Vec<&Finding>> = BTreeMap::new();
    for finding in &summary.findings {
        causes.entry(cause(finding)).or_default().push(finding);
    }
    let mut out = String::new();
    for (cause, mut findings) in causes {
        let size = |f: &Finding| (f.nondeterministic.is_some(), f.case.steps.len(), crate::campaign::entries(&f.case));
        findings.sort_by_key(|f| size(f));
        let stem = [cause.0.unwrap_or("no-rule"), &cause.1].join("-").replace([' ', '@', '/', '"'], "-");
        let name =
            (1..).map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") }).find(|n| !names.contains(n));
        let name = name.unwrap_or(stem);
        // Writing to a String cannot fail.
        let _ = write_entry(&mut out, &name, &cause, &findings, summary);
        names.push(name);
    }
    out
}

fn write_entry(
    out: &mut String,
    name: &str,
    (rule, field, errors): &Cause,
    findings: &[&Finding],
    summary: &Summary,
) -> std::fmt::Result {
    let list = |mut words: Vec<&str>| -> String {
        words.sort_unstable();
        words.dedup();
        let words: Vec<String> = words.into_iter().map(quoted).collect();
        if words.len() == 1 { words.concat() } else { format!("[{}]", words.join(", ")) }
    };
    writeln!(out, "\n[[deviation]]\nname = {}", quoted(name))?;
    if let Some(rule) = rule {
        writeln!(out, "rule = {}", quoted(rule))?;
    }
    writeln!(out, "operation = {}", list(findings.iter().map(|f| f.divergence.operation).collect()))?;
    writeln!(out, "field = {}", quoted(field))?;
    if let Some((expected, seen)) = errors {
        writeln!(out, "expected = {}\nseen = {}", quoted(expected), quoted(seen))?;
    }
    let Some(smallest) = findings.first() else { return Ok(()) };
    writeln!(out, "why = {}", quoted(&format!("not known yet: {}", smallest.divergence)))?;
    if let Some(why) = &smallest.nondeterministic {
        let times: u64 = findings.iter().map(|f| f.times).sum();
        // So many that a run of them without it is no accident.
        let within = summary.stats.cases.saturating_mul(20).div_ceil(times.max(1));
        writeln!(out, "# no case: {}", why.replace('\n', " "))?;
        return writeln!(out, "within = {within}");
    }
    let case = smallest.case.to_string();
    let plain = !case.contains("'''") && !case.chars().any(|c| c.is_control() && c != '\n');
    if plain { writeln!(out, "case = '''\n{case}'''") } else { writeln!(out, "case = {}", quoted(&case)) }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\n' => out += "\\n",
            c if c.is_control() => out += &format!("\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}
