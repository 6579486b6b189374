//! The initial layers of the enumeration: one for each way in which layers may meet.

use super::alphabet::PATHS;
use crate::case::Case;

/// Each with what it shows. Names are those of the alphabet, and all data is the same.
const LAYERS: &[(&str, &str)] = &[
    ("all in the lower layer", "lower\n  file a/x \"data\"\n  file b \"data\"\n"),
    ("two directories below", "lower\n  file a/x \"data\"\n  dir b\n"),
    ("a directory within a directory below", "lower\n  dir a/x\n  file b \"data\"\n"),
    (
        "a merged directory, and a file over a file",
        "lower\n  file a/x \"data\"\n  file b \"data\"\nupper\n  file a/y \"data\"\n  file b \"data\"\n",
    ),
    ("whiteouts", "lower\n  file a/x \"data\"\n  file b \"data\"\nupper\n  whiteout a/x\n  whiteout b\n"),
    ("an opaque directory", "lower\n  file a/x \"data\"\nupper\n  dir a opaque\n  file a/y \"data\"\n"),
    ("hard links below", "lower\n  file a/x \"data\"\n  link b -> a/x\n"),
    ("hard links above", "lower\n  dir a\nupper\n  file a/x \"data\"\n  link b -> a/x\n"),
    ("a file over a directory", "lower\n  file a/x \"data\"\nupper\n  file a \"data\"\n"),
    ("a directory over a file", "lower\n  file a \"data\"\nupper\n  file a/x \"data\"\n"),
    ("all in the upper layer, a raw whiteout with it", "lower\nupper\n  whiteout a/x\n  file b \"data\"\n"),
    (
        "a whiteout between two layers",
        "lower\n  whiteout a/x\n  file a/y \"data\"\nlower\n  file a/x \"data\"\n  file b \"data\"\n",
    ),
    (
        "an opaque directory between two layers",
        "lower\n  dir a opaque\n  file a/y \"data\"\nlower\n  file a/x \"data\"\n  file b \"data\"\n",
    ),
    ("a symlink to a directory", "lower\n  file a/x \"data\"\n  symlink b -> a\n"),
];

/// The layers, each as a case without steps whose title says what it is about.
///
/// # Errors
///
/// When the table is wrong: a defect of ovlcheck.
pub fn layers() -> Result<Vec<Case>, String> {
    let parse = |&(title, text): &(&str, &str)| {
        // At first every name is looked up, so that what the kernel remembers differs by the steps alone.
        let looks: String = PATHS.iter().map(|path| format!("  lstat {path}\n")).collect();
        let text = format!("case \"{title}\"\n{text}steps\n{looks}");
        text.parse::<Case>().map_err(|e| format!("{title}: {e}"))
    };
    LAYERS.iter().map(parse).collect()
}
