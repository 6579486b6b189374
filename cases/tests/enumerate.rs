//! Bounded enumeration: two steps complete, and a longer one that goes on where it was.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use ovlcheck::check::judge;
use ovlcheck::enumerate::{Alphabet, Plan, layers};
use ovlcheck::exec::{Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::model::{Clause, Context as World};
use ovlcheck::trace::Privilege;
use ovlcheck_cases::need::{Need, trial};
use ovlcheck_cases::program::{Ended, Program, binary};

fn main() {
    worker_entry();
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

/// With the rights that the tests have.
fn trials() -> Vec<Trial> {
    let root = rustix::process::geteuid().is_root();
    let (privilege, rights) = if root { (Privilege::Root, "root") } else { (Privilege::Rootless, "rootless") };
    let needs = || Need::of(privilege, &TargetSpec::Kernel);
    vec![
        trial(format!("{rights}::two_steps_are_complete"), needs(), two_steps_are_complete),
        trial(format!("{rights}::it_goes_on_where_it_was"), needs(), it_goes_on_where_it_was),
        trial(format!("{rights}::wrong_models_are_noticed"), needs(), move || wrong_models_are_noticed(privilege)),
    ]
}

fn enumerate(arguments: &[&str]) -> Result<Ended> {
    let arguments = [&["enumerate"], arguments].concat();
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), &arguments)?.end()
}

fn two_steps_are_complete() -> Result<()> {
    let ended = enumerate(&["--steps", "2"])?;
    let out = &ended.expect(0)?.stdout;
    ensure!(out.contains("sequences of 1 to 2 steps") && out.contains("complete, no divergence: all "), "{out}");
    Ok(())
}

fn it_goes_on_where_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("state.json").display().to_string();
    let run = || enumerate(&["--steps", "1", "--state", &path]);
    run()?.expect(0)?;
    // As if it had been interrupted ten cases before the end.
    let read = || -> Result<serde_json::Value> { Ok(serde_json::from_slice(&fs::read(&path)?)?) };
    let mut state = read()?;
    let cases = state["cases"].as_u64().context("no number of cases")?;
    ensure!(state["done"] == cases && cases > 10, "{state}");
    state["done"] = (cases - 10).into();
    fs::write(&path, state.to_string())?;
    let out = run()?.expect(0)?.stdout.clone();
    ensure!(out.contains(&format!("going on after {} of {cases} cases", cases - 10)), "{out}");
    ensure!(out.contains("\n10 cases in ") && out.contains("complete, no divergence"), "{out}");
    ensure!(read()?["done"] == cases, "{}", read()?);
    // What diverged before counts.
    state["diverged"] = 1.into();
    fs::write(&path, state.to_string())?;
    ensure!(run()?.expect(1)?.stdout.contains("1 of"), "an earlier divergence is forgotten");
    // The state of something else, none at all, and a place where there can be none.
    state["plan"] = "0123456789abcdef".into();
    for (text, said) in [(state.to_string(), "another enumeration"), ("{}".into(), "not the state of an enumeration")] {
        fs::write(&path, text)?;
        let ended = run()?;
        ensure!(ended.expect(2)?.stderr.contains(said), "{}", ended.stderr);
    }
    let nowhere = dir.path().join("nowhere/state.json").display().to_string();
    let ended = enumerate(&["--steps", "1", "--state", &nowhere])?;
    ensure!(ended.expect(3)?.stderr.contains("cannot write"), "{}", ended.stderr);
    ensure!(!Path::new(&nowhere).exists());
    Ok(())
}

/// Clauses that one step on the initial layers decides.
const DECIDED: [&str; 10] = [
    "LKP-02.merge",
    "WHT-01.hides",
    "CUP-11.data",
    "CRE-02.opaque",
    "CRE-02.replace",
    "RMV-02.whiteout",
    "REN-02.exdev",
    "REN-05.whiteout",
    "LNK-01.shared",
    "DIR-03.once",
];

fn wrong_models_are_noticed(privilege: Privilege) -> Result<()> {
    let mut executor = Executor::start(WorkerConfig::new(privilege, TargetSpec::Kernel))?;
    let world = World::of(executor.environment());
    let layers = layers().map_err(anyhow::Error::msg)?;
    let plan = Plan::new(Alphabet::default(), layers, &world, 1, |_, _, _| true).context("planning was stopped")?;
    let mut alive = DECIDED.iter().map(|id| id.parse::<Clause>()).collect::<Result<Vec<_>, _>>()?;
    for index in 0..plan.len() {
        let case = plan.case(index).context("a case is missing")?;
        let trace = executor.run(&case)?;
        ensure!(judge(&case, &trace, None).divergence.is_none(), "the model is wrong about\n{case}");
        alive.retain(|&fault| judge(&case, &trace, Some(fault)).divergence.is_none());
    }
    ensure!(alive.is_empty(), "not noticed: {alive:?}");
    Ok(())
}
