//! Snapshots under `reports/`: what people read, kept as files that a change of it must change too.
//!
//! Update them as root on a kernel in range: run `cargo test -p ovlcheck-cases --test reports`, then `cargo insta
//! review --workspace-root .`; or, without cargo-insta, `INSTA_UPDATE=always cargo test -p ovlcheck-cases --test
//! reports`, and read the difference.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use libtest_mimic::{Arguments, Completion};
use ovlcheck::campaign::{Finding, Settings, Shard, run_cases};
use ovlcheck::case::{Case, text};
use ovlcheck::check::judge;
use ovlcheck::exec::{ExecError, Executor, TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::generate::Profile;
use ovlcheck::report;
use ovlcheck::story;
use ovlcheck::trace::{Environment, Privilege, Side};
use ovlcheck_cases::corpus::{CaseFile, files, run_case};
use ovlcheck_cases::need::{Need, ignorable, trial};
use ovlcheck_cases::program::{Program, binary};

fn main() {
    worker_entry();
    let mut trials = Vec::new();
    match files() {
        Ok(files) => {
            for (area, files) in by_area(files) {
                let needs = Need::of(Privilege::Root, &TargetSpec::Kernel);
                trials.push(ignorable(format!("stories/{area}"), needs, move || stories(&area, &files)));
            }
        }
        Err(e) => trials.push(trial("case_files_are_found", vec![], || Err(e))),
    }
    trials.push(trial(
        "stories_are_the_same_on_every_kernel",
        Need::of(Privilege::Root, &TargetSpec::Kernel),
        same_story,
    ));
    let rootless = || Need::of(Privilege::Rootless, &TargetSpec::Kernel);
    trials.push(ignorable("divergence", rootless(), divergence));
    trials.push(ignorable("walkthrough", rootless(), walkthrough));
    trials.push(ignorable("explain", vec![], explain));
    trials.push(ignorable("help", vec![], help));
    trials.push(ignorable("summary", rootless(), summary));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Where the snapshots lie; `None` when this is a copied test program without its sources.
fn directory() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/snapshots");
    dir.is_dir().then_some(dir)
}

/// Holds a text to its snapshot.
fn hold(name: &str, text: &str) -> Result<Completion> {
    let Some(dir) = directory() else {
        return Ok(Completion::ignored_with("the snapshots are not here"));
    };
    // insta asks cargo where the workspace is, unless it is told.
    let told = std::env::var_os("INSTA_WORKSPACE_ROOT").is_some();
    let cargo = || std::process::Command::new("cargo").arg("--version").output().is_ok_and(|o| o.status.success());
    if !told && !cargo() {
        return Ok(Completion::ignored_with("neither cargo nor INSTA_WORKSPACE_ROOT"));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(dir);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // A snapshot that differs panics, after its difference was printed.
    let held = settings.bind(|| std::panic::catch_unwind(|| insta::assert_snapshot!(name, text)));
    held.map(|()| Completion::Completed)
        .map_err(|_| anyhow!("reports/snapshots/{name}.snap is not what is seen: cargo insta review"))
}

fn by_area(files: Vec<CaseFile>) -> BTreeMap<String, Vec<CaseFile>> {
    let mut areas: BTreeMap<String, Vec<CaseFile>> = BTreeMap::new();
    for file in files {
        // What comes of these is not the same on every kernel.
        if file.area() != "regressions" && !DIFFER.contains(&file.name.as_str()) {
            areas.entry(file.area().to_owned()).or_default().push(file);
        }
    }
    areas
}

/// The stories of an area: layers, steps, and what the mount showed at the end.
fn stories(area: &str, files: &[CaseFile]) -> Result<Completion> {
    let mut executor = Executor::start(WorkerConfig::new(Privilege::Root, TargetSpec::Kernel))?;
    let mut out = String::new();
    for file in files {
        let case = file.read()?;
        let trace = match run_case(&mut executor, &case) {
            Err(ExecError::Unsupported { .. }) => continue,
            other => other?,
        };
        writeln!(out, "{}{}", if out.is_empty() { "" } else { "\n" }, file.name)?;
        out += &story_of(&case, &story::seen(&trace));
    }
    hold(&format!("stories-{area}"), &out)
}

/// Kernels to which the model has been held, and on which snapshots are the same. Before 6.6 there were no uuids, and no
/// `user.*` on tmpfs.
const KERNELS: [&str; 4] = ["6.12.117", "6.18.44", "7.2.13", "7.3.4"];

/// Cases of which these kernels tell different stories.
const DIFFER: [&str; 4] =
    ["copy-up/FIL-11.rename", "mount/MNT-33.metacopy", "redirect/root-only/RDR-05.nofollow", "xattr/XAT-00.range"];

/// By the model, no other story depends on the kernel: else its snapshot would fail on another machine.
fn same_story() -> Result<()> {
    let executor = Executor::start(WorkerConfig::new(Privilege::Root, TargetSpec::Kernel))?;
    let mut differ = Vec::new();
    for file in files()?.into_iter().filter(|file| file.area() != "regressions") {
        let case = file.read()?;
        let told = KERNELS.map(|kernel| {
            let environment = Environment { kernel: kernel.to_owned(), ..executor.environment().clone() };
            story_of(&case, &story::expected(&case, &environment, None))
        });
        if told.iter().any(|story| *story != told[0]) {
            differ.push(file.name);
        }
    }
    ensure!(differ == DIFFER, "{differ:?} are not told the same on every kernel");
    Ok(())
}

fn story_of(case: &Case, told: &story::Story) -> String {
    let mut out = String::new();
    let bare = Case { steps: Vec::new(), expect: Vec::new(), ..case.clone() }.to_string();
    for line in bare.lines().filter(|l| *l != "steps") {
        out += &format!("  {line}\n");
    }
    for (index, step) in case.steps.iter().enumerate() {
        let mut step = step.clone();
        step.expect = None;
        let outcome = told.steps.get(index).map_or("the mount is refused", |c| c.outcome.as_str());
        // What statfs says of its filesystem, and what times say of now, is not for every machine.
        out += &format!("  {}. {step} = {outcome}\n", index + 1);
    }
    let trees: Vec<&story::Line> = told.last.iter().flat_map(|t| &t.lines).filter(|l| l.side != Side::Work).collect();
    for line in trees {
        out += &format!("  {}: {}\n", line.place(), line.text);
    }
    out
}

/// A report about a model that is wrong on purpose.
fn divergence() -> Result<Completion> {
    let case =
        b"lower\n  dir d\n  file d/f 0640 \"data\"\n  file d/g\nsteps\n  chmod d/f 0600\n  unlink d/f\n  list d\n";
    let case = text::parse(case).map_err(|e| anyhow!("{e}"))?;
    let fault = "RMV-02.whiteout".parse().map_err(|e| anyhow!("{e:?}"))?;
    let trace = Executor::start(WorkerConfig::new(Privilege::Rootless, TargetSpec::Kernel))?.run(&case)?;
    let divergence = judge(&case, &trace, Some(fault)).divergence.ok_or_else(|| anyhow!("no divergence"))?;
    let finding = Finding { fault: Some(fault), ..Finding::unshrunk(&case, trace, divergence) };
    // Kernel and module are the machine's.
    let lines = report::finding(&finding);
    let lines = lines.lines().filter(|l| !l.starts_with("on kernel") && !l.starts_with("overlay module"));
    hold("divergence", &lines.map(|l| format!("{l}\n")).collect::<String>())
}

fn program(arguments: &[&str]) -> Result<String> {
    let ended = Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()?;
    ensure!(ended.status.code() == Some(0), "{ended:?}");
    Ok(ended.stdout)
}

fn walkthrough() -> Result<Completion> {
    let text = program(&["walkthrough", "--rootless"])?;
    // Whether a busybox runs or ovlcheck makes the calls itself, the layers are the same.
    let text: String = text.lines().filter(|l| !l.starts_with("(by ")).map(|l| format!("{l}\n")).collect();
    hold("walkthrough", &text)
}

fn explain() -> Result<Completion> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("x.case");
    std::fs::write(
        &file,
        "lower\n  dir d\n  file d/f \"top\"\nlower\n  dir d\n  file d/g \"bottom\"\nsteps\n  open 0 d/g O_WRONLY\n  unlink d/f\n  \
         mkdir d/f 0755\n  rename d d2\n",
    )?;
    hold("explain", &program(&["explain", &file.display().to_string()])?)
}

/// The summary of a campaign with its tables of coverage, of a few case files and one false expectation.
fn summary() -> Result<Completion> {
    let of_area = |name: &str| name.starts_with("whiteout/") || name.starts_with("opaque/");
    let mut cases: Vec<Case> =
        files()?.iter().filter(|f| of_area(&f.name)).map(CaseFile::read).collect::<Result<_>>()?;
    cases.iter_mut().for_each(|case| case.expect.clear());
    let worker = WorkerConfig::new(Privilege::Rootless, TargetSpec::Kernel);
    let settings = Settings {
        seed: 7,
        cases: cases.len() as u64,
        shard: Shard::WHOLE,
        time: None,
        jobs: 1,
        profile: Profile::new(Privilege::Rootless),
        worker,
        mirror: 1,
        shrink_time: Duration::ZERO,
        max_findings: 1,
        expectations: None,
        focus: None,
        coverage: true,
    };
    let source = |index: u64| cases.get(usize::try_from(index).ok()?).cloned();
    let mut found = run_cases(&settings, &source, 0, &AtomicBool::new(false), |_| {})?;
    found.elapsed = Duration::from_secs(2);
    found.start = Default::default();
    if let Some(environment) = &mut found.environment {
        environment.kernel = "6.x".to_owned();
    }
    // Which clauses there are changes with every new one, and where they are told, with the kernel.
    let text = format!("{}{}", report::tables(&found, 1), report::summary(&found, ""));
    let mut out = String::new();
    let mut clauses = false;
    for line in text.lines() {
        clauses = line == "clauses by how often they fired" || clauses && !line.is_empty();
        let (head, _) = line.split_once("; less: ").unwrap_or((line, ""));
        match line {
            _ if clauses => {}
            _ if line.starts_with("never fired:") => {}
            _ if line.starts_with("clauses: ") => out += "clauses: ...\n",
            _ => writeln!(out, "{head}")?,
        }
    }
    hold("summary", &out)
}

/// `--help` of every command; a change of an option is a change of these.
fn help() -> Result<Completion> {
    let top = program(&["--help"])?;
    let commands = top.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| !l.is_empty());
    let names: Vec<&str> = commands
        .filter_map(|l| l.strip_prefix("  ")?.split(' ').next())
        .filter(|n| !n.is_empty() && *n != "help")
        .collect();
    let mut out = top.clone();
    for name in names {
        write!(out, "\n==> ovlcheck {name} --help\n\n{}", program(&[name, "--help"])?)?;
    }
    // The program of the tests has another name.
    hold("help", &out.replace("ovlcheck-suite", "ovlcheck"))
}
