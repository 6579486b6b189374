//! The table of the self-test.

use std::fmt::Write;

use crate::campaign::{REPLAYS, SelfTest, entries};

/// Every fault with the cases it took to kill it.
pub fn self_test(result: &SelfTest) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{:<22} {:>8} {:>9}  killed by", "fault", "fired", "cases");
    for fault in &result.faults {
        let cases = fault.cases_to_kill.map_or("ALIVE".to_owned(), |n| n.to_string());
        let by = fault.divergence.as_ref().zip(fault.privilege);
        let by = by.map_or(String::new(), |(d, p)| format!("{} ({p:?}): {}, {}", d.operation, d.oracle, d.field));
        let size = fault.shrunk.as_ref().map_or(String::new(), |s| {
            let size = (s.case.steps.len(), entries(&s.case));
            let took = s.took.as_millis();
            format!(
                " — {} steps, {} entries, {} runs, {took} ms, {} of {REPLAYS} replays",
                size.0, size.1, s.runs, s.replays
            )
        });
        let _ = writeln!(out, "{:<22} {:>8} {cases:>9}  {by}{size}", fault.clause.id(), fault.fired);
    }
    let alive = result.survivors().count();
    let killed = result.faults.len() - alive;
    let most = result.faults.iter().filter_map(|f| f.cases_to_kill).max().unwrap_or(0);
    let _ = writeln!(out, "\n{killed} of {} faults killed within {most} cases, {alive} alive", result.faults.len());
    let shrunk: Vec<_> = result.faults.iter().filter_map(|f| f.shrunk.as_ref()).collect();
    if !shrunk.is_empty() {
        let mut steps: Vec<usize> = shrunk.iter().map(|s| s.case.steps.len()).collect();
        let mut entry: Vec<usize> = shrunk.iter().map(|s| entries(&s.case)).collect();
        steps.sort_unstable();
        entry.sort_unstable();
        let at = |v: &[usize], percent: usize| v[(v.len() - 1) * percent / 100];
        let most = shrunk.iter().map(|s| s.took.as_millis()).max().unwrap_or(0);
        let sure = shrunk.iter().filter(|s| s.replays == REPLAYS).count();
        let _ = writeln!(
            out,
            "shrunk: median {} steps and {} entries, 90th percentile {} steps and {} entries, longest {most} ms; {sure} of {} replay {REPLAYS} of {REPLAYS} times",
            at(&steps, 50),
            at(&entry, 50),
            at(&steps, 90),
            at(&entry, 90),
            shrunk.len()
        );
    }
    if let Some((index, divergence)) = &result.false_alarm {
        let _ = writeln!(out, "FALSE ALARM without any fault, case {index}: {divergence}");
    }
    out
}
