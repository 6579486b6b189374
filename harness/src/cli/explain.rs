//! `ovlcheck explain`

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::{HELD, USAGE, say_raw};
use crate::case::{Case, text};
use crate::generate::{Profile, draw, seed_for};
use crate::model::{Clause, Level, Model};
use crate::report;
use crate::shrink::{Budget, CaseTree, shrink_from};
use crate::story;
use crate::trace::{Environment, Privilege};

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck explain RMV-02.whiteout          one clause: what it says, whom it binds, a minimal case
  ovlcheck explain REN-05                   all clauses of a rule
  ovlcheck explain x.case                   a case step by step: which layer served it, what was copied up

Nothing is mounted: the model explains.";

/// Where the minimal cases of the repository lie, for who is in it.
const CASES: &str = "cases";

/// How long a minimal case is looked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `ovlcheck explain` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct ExplainArgs {
    /// The ID of a clause or rule, or a case file.
    #[arg(value_name = "RULE|CASE")]
    what: PathBuf,
    /// Explain what happens with `userxattr` in a user namespace.
    #[arg(long)]
    rootless: bool,
}

pub(super) fn explain(args: &ExplainArgs) -> u8 {
    let privilege = if args.rootless { Privilege::Rootless } else { Privilege::Root };
    let environment = environment(privilege);
    let id = args.what.to_string_lossy();
    let clauses: Vec<Clause> = Clause::ALL
        .iter()
        .copied()
        .filter(|c| c.id() == id || c.id().strip_prefix(&*id).is_some_and(|rest| rest.starts_with('.')))
        .collect();
    if clauses.is_empty() {
        return explain_case(&args.what, &environment);
    }
    for (n, &clause) in clauses.iter().enumerate() {
        let found = minimal_case(clause, &environment);
        say_raw!("{}{}", if n == 0 { "" } else { "\n" }, report::clause(clause, meaning(clause.level())));
        match found {
            None => say_raw!("\nno case that shows it was found in {} s\n", PATIENCE.as_secs()),
            Some((case, from)) => {
                let steps = story::explained(&case, &environment);
                say_raw!("\na minimal case ({from}):\n\n{}", report::explained(&case, &steps));
                say_raw!("\n{}", report::upper_after(&story::expected(&case, &environment, None)));
            }
        }
    }
    HELD
}

fn meaning(level: Level) -> &'static str {
    match level {
        Level::Contract => "binds any overlay: it is about what the merged view shows",
        Level::Format => "binds whoever writes layers that others mount: it is about the form on disk",
        Level::Linux => "is Linux's own way: other implementations may differ",
    }
}

fn explain_case(path: &Path, environment: &Environment) -> u8 {
    let read = std::fs::read(path).map_err(|e| {
        let name = path.display();
        format!("{name}: neither a clause (`ovlcheck rules` lists them) nor a case file: {e}")
    });
    let case = read.and_then(|bytes| text::parse(&bytes).map_err(|e| format!("{}:{e}", path.display())));
    match case {
        Ok(case) => {
            say_raw!("{}", report::explained(&case, &story::explained(&case, environment)));
            say_raw!("\n{}", report::upper_after(&story::expected(&case, environment, None)));
            HELD
        }
        Err(e) => {
            eprintln!("ovlcheck: {e}");
            USAGE
        }
    }
}

/// The machine that the model explains for: this kernel, an overlay on tmpfs, default parameters.
fn environment(privilege: Privilege) -> Environment {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let setting = |name: &str| (format!("fs.{name}"), "1".to_owned());
    Environment {
        privilege,
        target: "kernel".into(),
        level: Level::Linux,
        kernel: kernel.trim().to_owned(),
        filesystem: "tmpfs".into(),
        module: Vec::new(),
        sysctl: vec![setting("protected_hardlinks"), setting("protected_symlinks")],
    }
}

/// A case in which the clause decides something: one of the repository's, or one that is drawn and made
/// small. A clause shows where a model that is wrong in it tells another story.
fn minimal_case(clause: Clause, environment: &Environment) -> Option<(Case, String)> {
    let shows =
        |case: &Case| story::expected(case, environment, None) != story::expected(case, environment, Some(clause));
    if let Some((case, path)) = find_file(Path::new(CASES), clause, 3) {
        if shows(&case) {
            return Some((case, path.display().to_string()));
        }
    }
    let begun = Instant::now();
    let profile = Profile::new(environment.privilege);
    let cases = (0..).take_while(|_| begun.elapsed() < PATIENCE).map(|n| draw::<Model>(&profile, &seed_for(1, n)));
    let case = cases.into_iter().find(shows)?;
    let budget = Budget { max_runs: 1000, max_time: Duration::from_secs(5) };
    let shrunk = shrink_from(CaseTree::new(case), budget, shows);
    Some((shrunk.case, "drawn and shrunk".to_owned()))
}

/// The case file of a clause, at most `depth` directories down.
fn find_file(dir: &Path, clause: Clause, depth: u32) -> Option<(Case, PathBuf)> {
    let path = dir.join(format!("{}.case", clause.id()));
    if let Some(case) = std::fs::read(&path).ok().and_then(|bytes| text::parse(&bytes).ok()) {
        return Some((case, path));
    }
    if depth == 0 {
        return None;
    }
    let mut below: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).collect();
    below.sort();
    below.iter().filter(|p| p.is_dir()).find_map(|p| find_file(p, clause, depth - 1))
}
