//! What was found out about the machine.

use std::fmt::Write;

use crate::exec::examine::{Answer, Examination};

/// Every answer, and what to do about each no.
pub fn doctor(found: &Examination) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "Linux {} on {}", found.kernel, found.machine);
    for section in &found.sections {
        let _ = writeln!(out, "\n{}", section.title);
        let width = section.answers.iter().map(|a| a.question.chars().count()).max().unwrap_or(0);
        for answer in &section.answers {
            let _ = write_answer(&mut out, answer, width);
        }
    }
    let verdict = if found.can_run {
        "`ovlcheck run` works here."
    } else {
        "`ovlcheck run` does not work here: see the first answers above."
    };
    let _ = writeln!(out, "\n{verdict}");
    out
}

fn write_answer(out: &mut String, answer: &Answer, width: usize) -> std::fmt::Result {
    let word = match answer.yes {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    writeln!(out, "{}", format!("  {word:<4} {:<width$}  {}", answer.question, answer.detail).trim_end())?;
    if !answer.remedy.is_empty() {
        writeln!(out, "       {:<width$}  -> {}", "", answer.remedy)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::examine::{EXAMINATION_VERSION, Section};

    #[test]
    fn a_no_shows_what_to_do() {
        let answer = |yes, detail: &str, remedy: &str| Answer {
            id: "x".into(),
            question: "loop devices".into(),
            yes,
            detail: detail.into(),
            remedy: remedy.into(),
        };
        let answers = vec![answer(Some(false), "none", "modprobe loop"), answer(None, "", "")];
        let found = Examination {
            version: EXAMINATION_VERSION,
            kernel: "6.1".into(),
            machine: "x86_64".into(),
            can_run: false,
            sections: vec![Section { title: "disks".into(), answers }],
        };
        let expected = "Linux 6.1 on x86_64\n\ndisks\n  no   loop devices  none\n                     -> modprobe loop\n       \
                        loop devices\n\n`ovlcheck run` does not work here: see the first answers above.\n";
        assert_eq!(doctor(&found), expected);
    }
}
