//! Results as JUnit XML, which CI systems show.

use std::fmt::Write;

use crate::campaign::{Finding, Summary};

/// One test of a JUnit file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JunitTest {
    /// Its name.
    pub name: String,
    /// What came of it.
    pub result: JunitResult,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JunitResult {
    /// It held.
    Passed,
    /// It diverged: one line, and the report.
    Failed {
        /// One line.
        message: String,
        /// The report.
        report: String,
    },
    /// It could not be tested, for this reason.
    Skipped(String),
    /// A defect of ovlcheck.
    Error(String),
}

/// A campaign as tests: each finding one that failed, each reason for which cases were not tested one
/// that was skipped, each defect one in error, and the rest one that passed.
pub fn junit_tests(summary: &Summary) -> Vec<JunitTest> {
    let stats = &summary.stats;
    let mut tests = Vec::new();
    if stats.cases > stats.diverged {
        let name = format!("seed {}: {} cases that hold", summary.seed, stats.cases - stats.diverged);
        tests.push(JunitTest { name, result: JunitResult::Passed });
    }
    tests.extend(summary.findings.iter().map(|finding| {
        let d = &finding.divergence;
        let rule = d.rule.map_or("no rule", |r| r.id());
        JunitTest { name: format!("{rule} {} {}", d.operation, d.field), result: failed(finding) }
    }));
    for known in summary.known.iter().filter(|known| known.gone) {
        let message = format!("line {} of the expectations is no longer so: delete this entry", known.line);
        let result = JunitResult::Failed { report: message.clone(), message };
        tests.push(JunitTest { name: format!("known deviation {}", known.name), result });
    }
    for (reason, n) in &stats.untested {
        let name = format!("{n} cases not tested");
        tests.push(JunitTest { name, result: JunitResult::Skipped(reason.clone()) });
    }
    for defect in &summary.defects {
        tests.push(JunitTest { name: "defect of ovlcheck".into(), result: JunitResult::Error(defect.clone()) });
    }
    tests
}

/// The result of a case that diverged.
pub fn failed(finding: &Finding) -> JunitResult {
    JunitResult::Failed { message: finding.divergence.to_string(), report: super::finding(finding) }
}

/// The file.
pub fn junit(suite: &str, seconds: f64, tests: &[JunitTest]) -> String {
    let count = |wanted: fn(&JunitResult) -> bool| tests.iter().filter(|t| wanted(&t.result)).count();
    let failures = count(|r| matches!(r, JunitResult::Failed { .. }));
    let skipped = count(|r| matches!(r, JunitResult::Skipped(_)));
    let errors = count(|r| matches!(r, JunitResult::Error(_)));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">",
        escape(suite),
        tests.len()
    );
    for test in tests {
        let _ = write!(out, "  <testcase classname=\"ovlcheck\" name=\"{}\"", escape(&test.name));
        let _ = match &test.result {
            JunitResult::Passed => writeln!(out, "/>"),
            JunitResult::Failed { message, report } => {
                let (message, report) = (escape(message), escape(report));
                writeln!(out, ">\n    <failure message=\"{message}\">{report}</failure>\n  </testcase>")
            }
            JunitResult::Skipped(why) => {
                writeln!(out, ">\n    <skipped message=\"{}\"/>\n  </testcase>", escape(why))
            }
            JunitResult::Error(why) => writeln!(out, ">\n    <error message=\"{}\"/>\n  </testcase>", escape(why)),
        };
    }
    out + "</testsuite>\n"
}

/// Text for XML; what XML cannot hold stands as `?`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_and_escaped() {
        let test = |name: &str, result| JunitTest { name: name.to_owned(), result };
        let failed = JunitResult::Failed { message: "a \"b\" <c>".into(), report: "x\u{1}\n& y".into() };
        let tests = [
            test("one", JunitResult::Passed),
            test("two", failed),
            test("three", JunitResult::Skipped("no root".into())),
        ];
        let text = junit("s", 1.5, &tests);
        assert!(text.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\" time=\"1.500\""), "{text}");
        assert!(text.contains("message=\"a &quot;b&quot; &lt;c&gt;\">x?\n&amp; y</failure>"), "{text}");
    }
}
