//! Small campaigns with fixed seeds: no divergence, faults that are noticed, findings that shrink.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::Arguments;
use ovlcheck::campaign::{Event, Judging, Settings, Shard, examine, find_again, investigate, run, self_test};
use ovlcheck::case::Case;
use ovlcheck::check::{Divergence, Oracle, Place, judge, judge_foreseen};
use ovlcheck::exec::{Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::generate::{Profile, draw, seed_for};
use ovlcheck::model::{Clause, Model};
use ovlcheck::report;
use ovlcheck::trace::{Filesystem, Privilege, Side, Stat, Trace};
use ovlcheck_cases::need::{DISKS, Need, PRIVILEGES, trial};

fn main() {
    worker_entry();
    let mut trials = Vec::new();
    for (privilege, rights) in PRIVILEGES {
        for target in [TargetSpec::Kernel, TargetSpec::Plain] {
            let name = format!("{rights}::{}::every_step_agrees", target.name());
            let config = WorkerConfig::new(privilege, target.clone());
            trials.push(trial(name, Need::of(privilege, &target), move || every_step_agrees(config)));
        }
        let needs = || Need::of(privilege, &TargetSpec::Kernel);
        let config = || WorkerConfig::new(privilege, TargetSpec::Kernel);
        let of = config();
        trials.push(trial(format!("{rights}::faults_are_noticed"), needs(), move || faults_are_noticed(of)));
        for id in ["RMV-02.whiteout", "CUP-11.data", "VFS-09.notdir"] {
            let of = config();
            let name = format!("{rights}::a_finding_shrinks_and_replays::{id}");
            trials.push(trial(name, needs(), move || a_finding_shrinks_and_replays(of, clause(id)?)));
        }
    }
    let needs = Need::of(Privilege::Rootless, &TargetSpec::Kernel);
    trials.push(trial("what_is_foreseen_hides_nothing_else", needs, what_is_foreseen_hides_nothing_else));
    trials.push(trial(
        "root::another_plain_filesystem_is_noticed",
        [Need::of(Privilege::Root, &TargetSpec::Kernel), vec![Need::Rootless]].concat(),
        another_plain_filesystem_is_noticed,
    ));
    for filesystem in DISKS {
        for target in [TargetSpec::Kernel, TargetSpec::Plain] {
            let name = format!("{}::{}::every_step_agrees", filesystem.name(), target.name());
            let config = WorkerConfig { filesystem, ..WorkerConfig::new(Privilege::Root, target) };
            trials.push(trial(name, Need::layers(filesystem), move || every_step_agrees(config)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// A wrong count of links is passed over wherever it is met, and what comes after it is judged; a wrong mode
/// ends it, for the target's tree is another than the model's from there on.
fn what_is_foreseen_hides_nothing_else() -> Result<()> {
    let case: Case = "lower\n  file f\nsteps\n  chmod f 0600\n  chmod f 0640\n  chmod f 0644\n".parse()?;
    let good = Executor::start(WorkerConfig::new(Privilege::Rootless, TargetSpec::Kernel))?.run(&case)?;
    let spoil = |steps: std::ops::Range<usize>, how: &dyn Fn(&mut Stat)| {
        let mut trace = good.clone();
        for step in &mut trace.steps[steps] {
            let merged = step.footprint.iter_mut().filter(|f| f.side == Side::Merged);
            merged.filter_map(|f| f.seen.as_mut().ok()).for_each(|seen| how(&mut seen.stat));
        }
        trace
    };
    let foresee = |field: &'static str| move |d: &Divergence| (d.field == field).then_some(7);
    // All of the links, and nothing else.
    let links = spoil(0..3, &|stat| stat.nlink += 1);
    let sound = judge(&case, &good, None);
    let judged = judge_foreseen(&case, &links, None, &foresee("nlink"));
    ensure!(sound.divergence.is_none() && judge(&case, &links, None).divergence.is_some(), "no news without foresight");
    ensure!(judged.divergence.is_none() && judged.known == [7] && !judged.cut, "{judged:?}");
    ensure!(judged.checked == sound.checked, "{judged:?}");
    // The links, and later a mode that nobody foresaw.
    let both = spoil(2..3, &|stat| stat.mode = 0);
    let mut both = Trace { steps: [&links.steps[..2], &both.steps[2..]].concat(), ..both };
    let judged = judge_foreseen(&case, &both, None, &foresee("nlink"));
    ensure!(judged.known == [7] && judged.divergence.is_some_and(|d| d.field == "mode" && d.place == Place::Step(2)));
    // A mode that is foreseen: what comes after it is not asked.
    both.steps[0] = spoil(0..1, &|stat| stat.mode = 0).steps[0].clone();
    let judged = judge_foreseen(&case, &both, None, &foresee("mode"));
    ensure!(judged.cut && judged.checked == 0 && judged.divergence.is_none(), "{judged:?}");
    // What is foreseen of one thing says nothing of another before it.
    let judged = judge_foreseen(&case, &links, None, &foresee("mode"));
    ensure!(judged.known.is_empty() && judged.divergence.is_some_and(|d| d.field == "nlink"));
    Ok(())
}

fn clause(id: &str) -> Result<Clause> {
    Ok(id.parse()?)
}

fn settings(worker: WorkerConfig, seed: u64, cases: u64) -> Settings {
    Settings {
        seed,
        cases,
        shard: Shard::WHOLE,
        time: None,
        jobs: 1,
        profile: Profile::new(worker.privilege),
        worker,
        mirror: 4,
        shrink_time: Duration::from_secs(5),
        max_findings: 5,
        expectations: None,
        focus: None,
        coverage: false,
    }
}

/// A campaign in which the model is right about everything.
fn every_step_agrees(worker: WorkerConfig) -> Result<()> {
    let cases = 300;
    let overlay = worker.target != TargetSpec::Plain;
    let mirrored = overlay && worker.filesystem == Filesystem::Tmpfs;
    let mut found = Vec::new();
    let summary = run(&settings(worker, 1, cases), &AtomicBool::new(false), |event| {
        if let Event::Found(finding) = event {
            found.push(report::finding(finding));
        }
    })?;
    ensure!(found.is_empty() && summary.stats.diverged == 0, "{}", found.join("\n"));
    ensure!(summary.defects.is_empty(), "{:?}", summary.defects);
    ensure!(summary.stats.untested.is_empty(), "{:?}", summary.stats.untested);
    ensure!(summary.stats.cases == cases, "{} cases", summary.stats.cases);
    if mirrored {
        let (steps, compared) = summary.stats.mirrored_steps;
        ensure!(steps > 0 && compared >= steps * 4 / 5, "{compared} of {steps} steps compared with a plain filesystem");
    }
    if overlay {
        ensure!(summary.stats.resolved >= cases, "{} trees resolved", summary.stats.resolved);
    }
    // Ten steps at least in each case, and a case in which nothing happens shows nothing.
    ensure!(summary.stats.checked >= 10 * cases, "only {} steps checked", summary.stats.checked);
    ensure!(
        summary.stats.changed >= summary.stats.checked / 10,
        "only {} steps changed anything",
        summary.stats.changed
    );
    Ok(())
}

/// The plain counterparts run with other rights than the cases: that must show, shrink, and show again.
fn another_plain_filesystem_is_noticed() -> Result<()> {
    let mut executor = Executor::start(WorkerConfig::new(Privilege::Root, TargetSpec::Kernel))?;
    let mut plain = Executor::start(WorkerConfig::new(Privilege::Rootless, TargetSpec::Plain))?;
    let profile = Profile { entries: 3..=8, ..Profile::new(Privilege::Rootless) };
    for index in 0..200 {
        let case = draw::<Model>(&profile, &seed_for(4, index));
        let (trace, judgement) = examine(&mut executor, Some(&mut plain), &case, Judging::default())?;
        let Some(divergence) = judgement.divergence else { continue };
        ensure!(divergence.oracle == Oracle::Plain, "{divergence}");
        let signature = divergence.signature();
        let limit = Duration::from_secs(10);
        let finding =
            investigate(&mut executor, Some(&mut plain), &case, trace, divergence, Judging::default(), limit)?;
        ensure!(finding.nondeterministic.is_none(), "{:?}", finding.nondeterministic);
        let text = finding.case.to_string();
        ensure!(finding.case.steps.len() <= 3, "not small:\n{text}");
        let again = examine(&mut executor, Some(&mut plain), &text.parse()?, Judging::default())?.1.divergence;
        ensure!(again.map(|d| d.signature()) == Some(signature), "it is not the same again:\n{text}");
        return Ok(());
    }
    Err(anyhow!("no case of 200 tells root from a user namespace"))
}

/// Clauses of all parts of the specification whose faults a short campaign must notice.
const NOTICED: [&str; 12] = [
    "VFS-03.missing",
    "VFS-07.exists",
    "LKP-01.order",
    "LKP-02.merge",
    "LKP-04.opaque",
    "WHT-01.hides",
    "DIR-03.once",
    "CUP-01.open",
    "CUP-11.data",
    "CRE-02.replace",
    "RMV-02.whiteout",
    "REN-05.whiteout",
];

fn faults_are_noticed(worker: WorkerConfig) -> Result<()> {
    let result = self_test(&[settings(worker, 2, 120)], false, &AtomicBool::new(false), |_, _| {})?;
    ensure!(result.false_alarm.is_none(), "without any fault: {:?}", result.false_alarm);
    let wanted = NOTICED.iter().map(|id| clause(id)).collect::<Result<Vec<_>>>()?;
    let alive: Vec<&str> =
        result.survivors().map(|s| s.clause).filter(|c| wanted.contains(c)).map(Clause::id).collect();
    ensure!(alive.is_empty(), "not noticed in {} cases: {}", result.cases, alive.join(", "));
    Ok(())
}

/// A divergence, here of a wrong model, shrinks to a few steps, and its text is the whole finding.
fn a_finding_shrinks_and_replays(worker: WorkerConfig, fault: Clause) -> Result<()> {
    let mut executor = Executor::start(worker.clone())?;
    let (case, trace, divergence) = first_divergence(&mut executor, worker.privilege, fault)?;
    let finding =
        investigate(&mut executor, None, &case, trace, divergence, Some(fault).into(), Duration::from_secs(10))?;
    ensure!(finding.nondeterministic.is_none(), "{:?}", finding.nondeterministic);
    let text = finding.case.to_string();
    ensure!(finding.case.steps.len() <= 4, "not small:\n{text}");
    let again: Case = text.parse().with_context(|| format!("reading\n{text}"))?;
    let signature = finding.divergence.signature();
    for _ in 0..10 {
        let seen = find_again(&mut executor, &again, Some(fault))?.map(|(_, d)| d.signature());
        ensure!(seen.as_ref() == Some(&signature), "{seen:?} instead of {signature:?}\n{text}");
    }
    ensure!(find_again(&mut executor, &again, None)?.is_none(), "it diverges without the fault\n{text}");
    Ok(())
}

fn first_divergence(
    executor: &mut Executor,
    privilege: Privilege,
    fault: Clause,
) -> Result<(Case, ovlcheck::trace::Trace, ovlcheck::check::Divergence)> {
    let profile = Profile::new(privilege);
    for index in 0..500 {
        let case = draw::<Model>(&profile, &seed_for(3, index));
        if let Some((trace, divergence)) = find_again(executor, &case, Some(fault))? {
            return Ok((case, trace, divergence));
        }
    }
    Err(anyhow!("no case of 500 notices the fault of {fault}"))
}
