//! Targets with a name, and what is known of them: each case of a finding holds on the kernel and diverges on
//! its target, and the files of expectations are so.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Completion};
use ovlcheck::exec::{TargetSpec, worker_entry};
use ovlcheck::trace::Privilege;
use ovlcheck_cases::need::{Need, ignorable};
use ovlcheck_cases::program::{Ended, Program, binary};

/// The targets whose findings are written up: the name, where, and the program with the version that they are about.
const TARGETS: [(&str, &str, Version); 3] = [
    ("fuse-overlayfs-1", "fuse-overlayfs-1.10", Version("fuse-overlayfs", "1.10")),
    ("fuse-overlayfs-2", "fuse-overlayfs-2.0", Version("fuse-overlayfs", "2.0.0")),
    ("unionfs-fuse", "unionfs-fuse-1.0", Version("unionfs", "1.0")),
];

/// A program and its version.
#[derive(Clone, Copy)]
struct Version(&'static str, &'static str);

fn main() {
    worker_entry();
    let kernel = || Need::of(Privilege::Root, &TargetSpec::Kernel);
    let mut trials = Vec::new();
    for (target, findings, version) in TARGETS {
        let name = format!("{target}::findings_hold_on_the_kernel");
        trials.push(ignorable(name, kernel(), move || findings_hold_on_the_kernel(findings)));
        let fuse = || vec![Need::Root, Need::Fuse(Privilege::Root)];
        let name = format!("{target}::findings_diverge_on_it");
        trials.push(ignorable(name, fuse(), move || findings_diverge_on(target, findings, version)));
        let name = format!("{target}::what_is_known_is_so");
        trials.push(ignorable(name, fuse(), move || what_is_known_is_so(target, version)));
    }
    let fuse = vec![Need::Root, Need::Fuse(Privilege::Root)];
    let name = "exchange::findings_hold_on_the_kernel";
    trials.push(ignorable(name, kernel(), || findings_hold_on_the_kernel("exchange")));
    trials.push(ignorable("what_is_proposed_is_known", fuse, what_is_proposed_is_known));
    let root = || vec![Need::Root, Need::Kernel(Privilege::Root)];
    trials.push(ignorable("layers_are_exchanged_with_a_program", root(), layers_are_exchanged_with_a_program));
    trials.push(ignorable(
        "what_is_exchanged_may_mean_something_else",
        root(),
        what_is_exchanged_may_mean_something_else,
    ));
    trials.push(ignorable("matrix_has_every_clause", kernel(), matrix_has_every_clause));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
}

/// Why this version of a program cannot be tested, if so. What is known of one says nothing of others.
fn missing(Version(program, version): Version) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let told = |dir: PathBuf| {
        let output = Command::new(dir.join(program)).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let is_it =
        |text: String| text.lines().any(|l| l.starts_with(program) && l.split_whitespace().any(|word| word == version));
    let found = std::env::split_paths(&path).filter_map(told).any(is_it);
    (!found).then(|| format!("{program} {version} is not on the path: docs/targets.md"))
}

/// A file or directory of the repository; `None` where the test program was copied without it.
fn here(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    path.exists().then_some(path)
}

fn cases(findings: &str) -> Result<Option<Vec<String>>> {
    let Some(dir) = here(&format!("reports/findings/{findings}")) else { return Ok(None) };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "case") {
            files.push(path.display().to_string());
        }
    }
    ensure!(!files.is_empty(), "no case in {}", dir.display());
    Ok(Some(files))
}

fn findings_hold_on_the_kernel(findings: &str) -> Result<Completion> {
    let Some(files) = cases(findings)? else { return Ok(Completion::ignored_with("the findings are not here")) };
    let mut arguments = vec!["replay"];
    arguments.extend(files.iter().map(String::as_str));
    ovlcheck(&arguments)?.expect(0)?;
    Ok(Completion::Completed)
}

fn findings_diverge_on(target: &str, findings: &str, version: Version) -> Result<Completion> {
    if let Some(reason) = missing(version) {
        return Ok(Completion::ignored_with(reason));
    }
    let Some(files) = cases(findings)? else { return Ok(Completion::ignored_with("the findings are not here")) };
    let mut arguments = vec!["replay", "--json", "--target", target];
    arguments.extend(files.iter().map(String::as_str));
    let ended = ovlcheck(&arguments)?;
    let last = ended.expect(1)?.stdout.lines().last().ok_or_else(|| anyhow!("no last line"))?;
    ensure!(last.contains("\"held\":0") && last.contains("\"untested\":0"), "some of them hold: {}", ended.stdout);
    Ok(Completion::Completed)
}

/// A short campaign; before it begins, every entry's own case is asked.
fn what_is_known_is_so(target: &str, version: Version) -> Result<Completion> {
    if let Some(reason) = missing(version) {
        return Ok(Completion::ignored_with(reason));
    }
    let Some(file) = here(&format!("fixtures/expectations/{target}.toml")) else {
        return Ok(Completion::ignored_with("the file of expectations is not here"));
    };
    let file = file.display().to_string();
    let arguments = ["run", "--seed", "1", "--cases", "5", "--mirror", "0", "--target", target, "--expect", &file];
    let ended = ovlcheck(&arguments)?;
    ended.expect(0)?;
    Ok(Completion::Completed)
}

/// A file that `expect` proposes makes the same campaign one without news.
fn what_is_proposed_is_known() -> Result<Completion> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("known.toml").display().to_string();
    let campaign = ["--target", "fuse-overlayfs", "--seed", "1", "--cases", "12", "--filter", "mkdir", "--jobs", "1"];
    ovlcheck(&[&["expect", "--rounds", "9", "--output", &file], &campaign[..]].concat())?.expect(0)?;
    let text = std::fs::read_to_string(&file)?;
    ensure!(text.starts_with("# Proposed") && text.contains("\n[[deviation]]\nname = "), "{text}");
    let ended = ovlcheck(&[&["run", "--mirror", "0", "--expect", &file], &campaign[..]].concat())?;
    ensure!(ended.stdout.contains("known deviations"), "{}", ended.stdout);
    // What a program under FUSE says of times depends on what was asked a moment before: that alone may be news, or
    // no longer so.
    let of_times = |line: &str| ["atime", "mtime", "ctime"].iter().any(|time| line.contains(time));
    let news = |line: &&str| line.starts_with("DIVERGENCE") || line.ends_with("NO LONGER SO");
    ensure!(ended.stdout.lines().filter(news).all(of_times), "{}", ended.stdout);
    Ok(Completion::Completed)
}

/// The kernel's overlay, and the same once more as a program that mounts: whatever one leaves the other shows.
fn layers_are_exchanged_with_a_program() -> Result<Completion> {
    let program = "mount -t overlay overlay -o lowerdir={lowerdir},upperdir={upperdir},workdir={workdir} {merged}";
    let pair = ["exchange", "--targets", "kernel", "--target-command", program];
    let ended = ovlcheck(&[&pair, &["--seed", "1", "--cases", "25", "--jobs", "1"][..]].concat())?;
    let out = &ended.expect(0)?.stdout;
    for between in ["kernel and mount: 25 cases, ", "mount and kernel: 25 cases, "] {
        let line = out.lines().find(|line| line.starts_with(between));
        let told = line.is_some_and(|line| !line.contains(", 0 hand-overs") && !line.contains(", 0 layers of images"));
        ensure!(told, "{out}");
    }
    ovlcheck(&["exchange", "--targets", "kernel"])?.expect(2)?;
    ovlcheck(&["exchange", "--targets", "kernel,unionfs-fuse"])?.expect(2)?;
    Ok(Completion::Completed)
}

/// A directory that fuse-overlayfs made in the place of another one holds a mark that the kernel takes for a file.
fn what_is_exchanged_may_mean_something_else() -> Result<Completion> {
    if let Some(reason) = missing(Version("fuse-overlayfs", "1.10")) {
        return Ok(Completion::ignored_with(reason));
    }
    let dir = tempfile::tempdir()?;
    let case = dir.path().join("x.case").display().to_string();
    std::fs::write(&case, "lower\n  dir d/a\nupper\n  dir d\n  whiteout d/a\nsteps\n  mkdir d/a 0755\n")?;
    let ended = ovlcheck(&["exchange", "--targets", "kernel,fuse-overlayfs-1", "--jobs", "1", &case])?;
    let out = &ended.expect(1)?.stdout;
    ensure!(out.contains("names: expected [], seen [.wh..wh..opq]"), "{out}");
    ensure!(out.contains("replay: ovlcheck exchange --targets kernel,fuse-overlayfs-1 FILE.case"), "{out}");
    Ok(Completion::Completed)
}

fn matrix_has_every_clause() -> Result<Completion> {
    let dir = tempfile::tempdir()?;
    let [html, markdown] = ["m.html", "m.md"].map(|name| dir.path().join(name).display().to_string());
    let arguments = ["matrix", "--targets", "kernel", "--cases", "10", "--output", &html, "--output", &markdown];
    ovlcheck(&arguments)?.expect(0)?;
    let (html, markdown) = (std::fs::read_to_string(html)?, std::fs::read_to_string(markdown)?);
    for clause in ovlcheck::model::Clause::ALL {
        ensure!(html.contains(&format!("<code>{clause}</code>")), "{clause} is not in the page");
        ensure!(markdown.contains(&format!("| {clause} |")), "{clause} is not in the Markdown");
    }
    ensure!(markdown.contains("\n| fails | 0 |\n"), "{markdown}");
    ovlcheck(&["matrix", "--targets", "none"])?.expect(2)?;
    Ok(Completion::Completed)
}
