//! What came of an exchange between two targets.

use crate::campaign::Exchanged;

use super::finding::short;

/// One line for the pair, and one for each finding.
pub fn exchanged(names: [&str; 2], exchanged: &Exchanged) -> String {
    let [first, second] = names;
    let Exchanged { cases, handovers, images, alone, untested, fleeting, findings, .. } = exchanged;
    let mut out = format!(
        "{first} and {second}: {cases} cases, {handovers} hand-overs as they must be, {images} layers of images, \
         {alone} cases in which one alone does otherwise"
    );
    if *untested > 0 {
        out += &format!(", {untested} that could not be run");
    }
    if *fleeting > 0 {
        out += &format!(", {fleeting} divergences that did not come again");
    }
    for finding in findings {
        out += &format!("\n  {}", short(finding));
    }
    out
}
