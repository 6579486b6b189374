//! The story of a case: what each step returned and what was there after it, as lines of text.
//!
//! There are two tellers with one language, so that their stories can be laid side by side:
//! [`expected`] asks the model, [`seen`] reads a trace. Values that only the kernel knows are told by
//! what can be said of them: a time of the run is `now`, a file handle or uuid is `*`, inode numbers
//! are left out. So two runs of a case tell the same story, on every machine.

mod expected;
mod explained;
mod seen;
mod words;

use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::model::Clause;
use crate::step::Op;
use crate::trace::Side;

pub use expected::expected;
pub use explained::{Explained, explained};
pub use seen::seen;

/// The story of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// One chapter per step that can be told; a model that has lost its way tells no more.
    pub steps: Vec<Chapter>,
    /// All trees after the last step.
    pub last: Option<Trees>,
    /// The story ends because the next mount, or the first, is refused with this.
    pub refused: Option<Errno>,
}

/// The story of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chapter {
    /// What the call returned; [`ANYTHING`] where nobody can say.
    pub outcome: String,
    /// What its paths hold afterwards.
    pub looks: Vec<Line>,
    /// All trees, after an `observe`, `remount` or `rotate`.
    pub trees: Option<Trees>,
    /// The clauses that fired in the model, each once, in order; a trace has none.
    pub fired: Vec<Clause>,
}

/// Whole trees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trees {
    /// Merged first, then upper, then work, each in walking order.
    pub lines: Vec<Line>,
}

/// What is at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which tree.
    pub side: Side,
    /// Where in it; empty for the root.
    pub path: Bytes,
    /// What: `file 0644 0:0 links 1 size 2 "x\n"`.
    pub text: String,
}

/// The outcome that nobody can foretell.
pub const ANYTHING: &str = "anything";

impl Line {
    /// Tree and place: `upper d/f`, with `.` for the root.
    pub fn place(&self) -> String {
        let path = if self.path.is_empty() { ".".to_owned() } else { self.path.to_string() };
        format!("{} {path}", side_name(self.side))
    }
}

/// The word for a tree.
pub fn side_name(side: Side) -> &'static str {
    match side {
        Side::Merged => "merged",
        Side::Upper => "upper",
        Side::Work => "work",
    }
}

/// Whether all trees are looked at after this step.
pub(crate) fn looks_at_all(op: &Op) -> bool {
    matches!(op, Op::Remount | Op::Rotate | Op::Observe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::text;
    use crate::level::Level;
    use crate::trace::{Environment, Privilege};

    fn environment() -> Environment {
        Environment {
            privilege: Privilege::Root,
            target: "kernel".into(),
            level: Level::Linux,
            kernel: "6.12.0".into(),
            filesystem: "tmpfs".into(),
            module: Vec::new(),
            sysctl: Vec::new(),
        }
    }

    fn told(case: &str, fault: Option<Clause>) -> Vec<String> {
        let case = text::parse(case.as_bytes()).expect("a case");
        let story = expected(&case, &environment(), fault);
        let mut out = Vec::new();
        let lines = |lines: &[Line]| lines.iter().map(|l| format!("{}: {}", l.place(), l.text)).collect::<Vec<_>>();
        for chapter in &story.steps {
            out.push(format!("= {}", chapter.outcome));
            out.extend(lines(&chapter.looks));
        }
        out.extend(story.last.iter().flat_map(|t| lines(&t.lines)));
        out
    }

    #[test]
    fn a_removal_is_told() {
        let case = "lower\n  file f \"x\"\nsteps\n  unlink f\n  list .\n";
        let expected = [
            "= ok",
            "merged f: ENOENT",
            "upper .: dir 0755 0:0 links 2 now @uuid=*",
            "upper f: whiteout 0000 0:0 links 2 now",
            "= []",
            "merged .: dir 0755 0:0 links 1 now",
            "upper .: dir 0755 0:0 links 2 now @uuid=*",
        ];
        let told = told(case, None);
        for (told, expected) in told.iter().zip(expected) {
            // How many names share the whiteout depends on the version; all else is fixed.
            assert_eq!(told.replace("links 1", "links 2"), expected.replace("links 1", "links 2"), "{told:?}");
        }
    }

    #[test]
    fn a_fault_changes_the_story() {
        let case = "lower\n  file f \"x\"\nsteps\n  unlink f\n";
        let fault = "RMV-02.whiteout".parse().expect("a clause");
        let broken = told(case, Some(fault));
        assert_ne!(told(case, None), broken);
        assert!(broken.iter().any(|l| l.starts_with("merged f: file")), "{broken:?}");
    }

    #[test]
    fn a_handle_has_no_value() {
        let case = "lower\n  file f \"x\"\nsteps\n  chmod f 0600\n";
        let told = told(case, None);
        let upper = told.iter().find(|l| l.starts_with("upper f:")).expect("a line");
        assert_eq!(upper, "upper f: file 0600 0:0 links 1 size 1 @origin=*");
    }
}
