//! Several kernels side by side.

use std::collections::BTreeMap;

use super::finding::short;
use crate::campaign::Summary;
use crate::check::Signature;

/// What came of a campaign on one kernel.
#[derive(Clone, Debug)]
pub struct TriedKernel {
    /// What the user calls it.
    pub name: String,
    /// The summary, or the exit status that stands for why there is none.
    pub result: Result<Summary, u8>,
}

/// The kernels side by side, and which divergence is seen on which.
pub fn kernels(tried: &[TriedKernel]) -> String {
    let mut out =
        format!("{:>3}  {:<28} {:>8} {:>10} {:>8} {:>9}\n", "", "Linux", "cases", "checked", "steps/s", "diverged");
    let mut seen: BTreeMap<Signature, (String, Vec<bool>)> = BTreeMap::new();
    for (n, kernel) in tried.iter().enumerate() {
        match &kernel.result {
            Ok(summary) => {
                let release = summary.environment.as_ref().map_or("", |e| e.kernel.as_str());
                let stats = &summary.stats;
                let rate = stats.checked as f64 / summary.elapsed.as_secs_f64().max(1e-9);
                out += &format!(
                    "{:>3}  {release:<28} {:>8} {:>10} {rate:>8.0} {:>9}\n",
                    n + 1,
                    stats.cases,
                    stats.checked,
                    stats.diverged
                );
                for finding in &summary.findings {
                    let row = seen
                        .entry(finding.divergence.signature())
                        .or_insert_with(|| (short(finding), vec![false; tried.len()]));
                    row.1[n] = true;
                }
            }
            Err(status) => out += &format!("{:>3}  {} could not be tried (status {status})\n", n + 1, kernel.name),
        }
    }
    if !seen.is_empty() {
        out += "\ndivergences, by kernel:\n";
        for (line, on) in seen.values() {
            let marks: String = on.iter().map(|&yes| if yes { 'x' } else { '.' }).collect();
            out += &format!("  {marks}  {line}\n");
        }
    }
    out
}
