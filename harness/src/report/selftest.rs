//! The table of the self-test.

use std::fmt::Write;

use crate::campaign::SelfTest;

/// Every fault with the cases it took to kill it.
pub fn self_test(result: &SelfTest) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{:<22} {:>8} {:>9}  killed by", "fault", "fired", "cases");
    for fault in &result.faults {
        let cases = fault.cases_to_kill.map_or("ALIVE".to_owned(), |n| n.to_string());
        let by = fault.divergence.as_ref().zip(fault.privilege);
        let by = by.map_or(String::new(), |(d, p)| format!("{} ({p:?}): {}, {}", d.operation, d.oracle, d.field));
        let _ = writeln!(out, "{:<22} {:>8} {cases:>9}  {by}", fault.clause.id(), fault.fired);
    }
    let alive = result.survivors().count();
    let killed = result.faults.len() - alive;
    let most = result.faults.iter().filter_map(|f| f.cases_to_kill).max().unwrap_or(0);
    let _ = writeln!(out, "\n{killed} of {} faults killed within {most} cases, {alive} alive", result.faults.len());
    if let Some((index, divergence)) = &result.false_alarm {
        let _ = writeln!(out, "FALSE ALARM without any fault, case {index}: {divergence}");
    }
    out
}
