//! What of a guest's console tells why it ended.

/// How much of the console may matter.
pub(in crate::exec) const LOOK_BACK: u64 = 64 << 10;
/// How much is told from where the trouble begins, and how much of the end.
const FIRST: usize = 3 << 10;
const LAST: usize = 1 << 10;

/// How the kernel begins to complain.
const COMPLAINTS: [&str; 7] =
    ["kernel BUG at ", "BUG: ", "WARNING: ", "Oops: ", "INFO: task ", "general protection fault", "Kernel panic"];

/// From the first complaint of the kernel on, what lies between its beginning and its end left out if it is long;
/// the end of what was said if there is none.
pub(in crate::exec) fn trouble(said: &str) -> String {
    let line_of = |at: usize| said[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let from = COMPLAINTS.iter().filter_map(|complaint| said.find(complaint)).min().map(line_of);
    let Some(from) = from else { return said[boundary(said, said.len().saturating_sub(FIRST + LAST))..].to_owned() };
    let said = &said[from..];
    if said.len() <= FIRST + LAST {
        return said.to_owned();
    }
    let (first, last) = (&said[..boundary(said, FIRST)], &said[boundary(said, said.len() - LAST)..]);
    let first = first.rsplit_once('\n').map_or(first, |(whole, _)| whole);
    let last = last.split_once('\n').map_or(last, |(_, whole)| whole);
    format!("{first}\n...\n{last}")
}

/// The first place from `at` on where a character begins.
fn boundary(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_told_from_its_first_line() {
        let noise = "[ 1.0] booting\n".repeat(1000);
        let registers = "[ 9.1] RAX: 0000\n".repeat(1000);
        let said = format!(
            "{noise}[ 9.0] ---[ cut here ]---\n[ 9.0] kernel BUG at dir.c:1!\n{registers}[ 9.2] Kernel panic\n"
        );
        let told = trouble(&said);
        assert!(told.starts_with("[ 9.0] kernel BUG at dir.c:1!\n"), "{told}");
        assert!(told.ends_with("[ 9.2] Kernel panic\n") && told.contains("\n...\n"), "{told}");
        assert!(told.len() <= FIRST + LAST + 10, "{}", told.len());
        assert!(told.lines().all(|line| line == "..." || line.starts_with("[ ")), "lines are whole");
    }

    #[test]
    fn without_a_complaint_the_end_is_told() {
        assert_eq!(trouble("short"), "short");
        let long = format!("{}the end", "ä".repeat(10_000));
        assert!(trouble(&long).ends_with("the end") && trouble(&long).len() <= FIRST + LAST);
    }
}
