//! What surrounds the engine: the commands that explain, export and examine.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Trial};
use ovlcheck::campaign::{Settings, run};
use ovlcheck::case::Case;
use ovlcheck::check::{apply_upper, judge};
use ovlcheck::errno::Errno;
use ovlcheck::exec::{
    ExecError, Executor, MountRequest, Mounter, TargetSpec, WorkerConfig, register_target, worker_entry,
};
use ovlcheck::generate::{Profile, draw, seed_for};
use ovlcheck::model::Model;
use ovlcheck::report;
use ovlcheck::story;
use ovlcheck::trace::Privilege;
use ovlcheck_cases::archive::tar_of;
use ovlcheck_cases::corpus::{WHITEOUT, files, run_case};
use ovlcheck_cases::need::{Need, ignorable, own, trial};
use ovlcheck_cases::program::{Ended, Program, binary};
use rustix::mount::{MountFlags, mount};

fn main() {
    // Asked before a worker is root of its own user namespace.
    ROOTLESS.store(own() == Privilege::Rootless, Ordering::Relaxed);
    register_target("mine", || Box::new(Mine { drops: false }));
    register_target("mine-without-bottom", || Box::new(Mine { drops: true }));
    worker_entry();
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let kernel = || Need::of(own(), &TargetSpec::Kernel);
    vec![
        trial("story/model_and_trace_tell_the_same", kernel(), model_and_trace_tell_the_same),
        trial("doctor/finds_a_good_machine_good", kernel(), doctor_finds_a_good_machine_good),
        trial("doctor/says_what_to_do", vec![], doctor_says_what_to_do),
        trial("doctor/leaves_a_directory_as_it_was", kernel(), doctor_leaves_a_directory_as_it_was),
        trial("doctor/a_directory_that_cannot_be_written_is_3", vec![], doctor_needs_a_directory),
        trial("oracle/diff_and_apply_gives_the_merged_view", kernel(), diff_and_apply_gives_the_merged_view),
        trial("library/an_overlay_of_ones_own_is_tested", kernel(), an_overlay_of_ones_own_is_tested),
        trial("library/a_name_that_nobody_registered_is_said", vec![Need::worker(own())], an_unknown_library),
        trial("explain/a_clause_with_a_minimal_case", vec![], explain_a_clause),
        trial("explain/a_case_step_by_step", vec![], explain_a_case),
        trial("explain/what_is_neither_is_2", vec![], explain_what_is_neither),
        trial("docs/commands_do_what_they_say", docs_kernel(), docs_commands_do_what_they_say),
        trial("bad_input/each_has_its_status_and_message", vec![], bad_inputs),
        trial("bad_input/a_missing_mkfs_is_3", vec![Need::Root], a_missing_mkfs_is_3),
        trial("docs/every_command_is_one", vec![], docs_every_command_is_one),
        ignorable("package/has_what_it_needs", vec![], package_has_what_it_needs),
        trial("bad_input/a_command_that_exits_is_1", vec![Need::Rootless], a_command_that_exits_is_1),
        trial("json/a_replay_ends_with_its_status", kernel(), a_replay_ends_with_its_status),
        trial("json/a_campaign_ends_with_its_summary", kernel(), a_campaign_ends_with_its_summary),
        trial("coverage/is_counted_over_seeds", kernel(), coverage_is_counted_over_seeds),
    ]
}

/// Whether this test runs as an ordinary user.
static ROOTLESS: AtomicBool = AtomicBool::new(false);

/// The kernel's overlay once more, as somebody's library; one that `drops` forgets the lowest layer.
struct Mine {
    drops: bool,
}

impl Mounter for Mine {
    fn mount(&mut self, request: &MountRequest) -> Result<(), (Errno, String)> {
        let mut lowers: Vec<String> = request.lowerdirs.iter().map(|dir| dir.display().to_string()).collect();
        if self.drops && lowers.len() > 1 {
            lowers.pop();
        }
        let (upper, work) = (request.upperdir.display(), request.workdir.display());
        let userxattr = if ROOTLESS.load(Ordering::Relaxed) { ",userxattr" } else { "" };
        let options = format!("lowerdir={},upperdir={upper},workdir={work}{userxattr}", lowers.join(":"));
        let options = CString::new(options).map_err(|e| (Errno::EINVAL, e.to_string()))?;
        mount("mine", &request.merged, "overlay", MountFlags::NOATIME, options.as_c_str())
            .map_err(|e| (Errno(e.raw_os_error()), String::new()))
    }
}

fn library(name: &str) -> Settings {
    let worker = WorkerConfig::new(own(), TargetSpec::Library(name.to_owned()));
    Settings { cases: 40, shrink_time: std::time::Duration::ZERO, ..Settings::new(worker) }
}

fn an_overlay_of_ones_own_is_tested() -> Result<()> {
    let summary = run(&library("mine"), &AtomicBool::new(false), |_| {})?;
    ensure!(summary.stats.cases == 40 && summary.findings.is_empty(), "{}", report::summary(&summary, ""));
    ensure!(summary.environment.context("no environment")?.target == "mine", "not its name");
    let summary = run(&library("mine-without-bottom"), &AtomicBool::new(false), |_| {})?;
    ensure!(summary.stats.diverged > 5, "{}", report::summary(&summary, ""));
    Ok(())
}

fn an_unknown_library() -> Result<()> {
    match run(&library("nobodys"), &AtomicBool::new(false), |_| {}) {
        Err(e @ ExecError::Unsupported { .. }) if e.to_string().contains("'nobodys'") => Ok(()),
        other => anyhow::bail!("{other:?}"),
    }
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
}

/// The two tellers have no code in common but their words, so this holds both to the truth.
fn model_and_trace_tell_the_same() -> Result<()> {
    let mut executor = Executor::start(WorkerConfig::new(own(), TargetSpec::Kernel))?;
    let (mut told, mut differ) = (0, Vec::new());
    for file in files()? {
        let case = file.read()?;
        let trace = match run_case(&mut executor, &case) {
            Err(ExecError::Unsupported { .. }) => continue,
            other => other?,
        };
        let expected = story::expected(&case, &trace.environment, None);
        let mut seen = story::seen(&trace);
        seen.forgive(&expected);
        told += 1;
        for (index, (a, b)) in expected.steps.iter().zip(&seen.steps).enumerate() {
            if (&a.outcome, &a.looks, &a.trees) != (&b.outcome, &b.looks, &b.trees) {
                differ.push(format!("{}, step {}:\n{a:?}\n{b:?}", file.name, index + 1));
            }
        }
        if (&expected.last, expected.refused) != (&seen.last, seen.refused) {
            differ.push(format!("{}, the end:\n{:?}\n{:?}", file.name, expected.last, seen.last));
        }
    }
    ensure!(told > 0 && differ.is_empty(), "of {told} stories, these differ:\n{}", differ.join("\n"));
    Ok(())
}

/// The case files and drawn cases: what an image can say of their upper layers is what the mount shows.
fn diff_and_apply_gives_the_merged_view() -> Result<()> {
    let mut executor = Executor::start(WorkerConfig::new(own(), TargetSpec::Kernel))?;
    let profile = Profile::new(own()).without_options();
    let mut cases: Vec<Case> = files()?.iter().map(|f| f.read()).collect::<Result<_>>()?;
    cases.extend((0..150).map(|n| draw::<Model>(&profile, &seed_for(11, n))));
    let (mut applied, mut unsaid) = (0, 0);
    for case in &cases {
        let trace = match executor.run(case) {
            Err(ExecError::Unsupported { .. }) => continue,
            other => other?,
        };
        // Where no rule says what is seen, nor does this one.
        if judge(case, &trace, None).checked < trace.steps.len() || trace.last.is_none() {
            continue;
        }
        match apply_upper(case, &trace) {
            Err(_) => unsaid += 1,
            Ok(None) => applied += 1,
            Ok(Some(difference)) => anyhow::bail!("{difference:?}\n{case}"),
        }
        // It does see what is not there.
        let mut spoiled = trace;
        let last = spoiled.last.as_mut().context("a look")?;
        last.merged.push(ovlcheck::trace::NodeSeen { path: "~".into(), ..last.merged[0].clone() });
        ensure!(!matches!(apply_upper(case, &spoiled), Ok(None)), "an entry too many is not seen:\n{case}");
    }
    ensure!(applied > 2 * unsaid, "{applied} were applied, {unsaid} could not be");
    Ok(())
}

fn explain_a_clause() -> Result<()> {
    let ended = ovlcheck(&["explain", "RMV-02.whiteout"])?;
    let out = &ended.expect(0)?.stdout;
    for wanted in
        ["RMV-02.whiteout  Removing a name", "level    contract", "source   ", "drawn and shrunk", ": whiteout 0000"]
    {
        ensure!(out.contains(wanted), "no '{wanted}' in\n{out}");
    }
    Ok(())
}

fn explain_a_case() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("x.case").display().to_string();
    fs::write(&file, WHITEOUT)?;
    let ended = ovlcheck(&["explain", &file])?;
    let out = &ended.expect(0)?.stdout;
    for wanted in ["before: f: file, from lower 1", "   + upper f: whiteout", "the upper layer at the end:"] {
        ensure!(out.contains(wanted), "no '{wanted}' in\n{out}");
    }
    Ok(())
}

fn explain_what_is_neither() -> Result<()> {
    let ended = ovlcheck(&["explain", "XYZ-99"])?;
    ended.expect(2)?;
    ensure!(ended.stderr.contains("neither a clause"), "{}", ended.stderr);
    Ok(())
}

/// The guides speak of root; who is not cannot follow them.
fn docs_kernel() -> Vec<Need> {
    Need::of(Privilege::Root, &TargetSpec::Kernel)
}

/// The commands of the guides (lines that begin with `# ovlcheck` in a console block), run one after the other
/// on the guide's own case. A fault must diverge, all else must hold.
fn docs_commands_do_what_they_say() -> Result<()> {
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut ran = 0;
    for name in ["reading-a-report.md", "cases.md", "extending.md"] {
        let text = fs::read_to_string(guides.join(name)).with_context(|| name.to_owned())?;
        let block = |kind: &str| -> Vec<&str> {
            let fence = format!("```{kind}\n");
            text.split(fence.as_str()).skip(1).filter_map(|rest| rest.split("```").next()).collect()
        };
        let dir = tempfile::tempdir()?;
        let case = dir.path().join("x.case").display().to_string();
        fs::write(&case, block("case").first().copied().unwrap_or(WHITEOUT))?;
        let script = dir.path().join("x.sh").display().to_string();
        for line in block("console").iter().flat_map(|b| b.lines()) {
            let command = line.strip_prefix("# ovlcheck ").with_context(|| format!("{name}: {line}"))?;
            let words: Vec<&str> = command
                .split_whitespace()
                .map(|w| match w {
                    "x.case" => case.as_str(),
                    "x.sh" => script.as_str(),
                    w => w,
                })
                .collect();
            let wanted = i32::from(words.contains(&"--fault"));
            ovlcheck(&words)?.expect(wanted).with_context(|| format!("{name}: {line}"))?;
            ran += 1;
        }
    }
    ensure!(ran >= 6, "only {ran} commands were found");
    Ok(())
}

/// Bad inputs: each with its exit status and what the message must name. That nothing is left is checked of
/// every program that a test runs.
fn bad_inputs() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (broken, empty, archive) = (path("broken.case"), path("empty.case"), path("escape.tar"));
    fs::write(&broken, "lower\n  dir d\nsteps\n  frobnicate d\n")?;
    fs::write(&empty, "")?;
    fs::write(&archive, tar_of(b'0', "../escape", ""))?;
    let inputs: [(&[&str], i32, &str); 8] = [
        (&["replay", &broken], 2, "broken.case:4:3"),
        (&["replay", &empty], 2, "empty.case"),
        (&["rules", "XYZ"], 2, "XYZ"),
        (&["replay", "--fault", "XYZ-99.nothing", &broken], 2, "XYZ-99.nothing"),
        (&["run", "--frobnicate"], 2, "--frobnicate"),
        (&["walkthrough", "--lower", &archive], 2, "'..'"),
        (&["run", "--cases", "1", "--keep", "/proc/self/found"], 3, "/proc/self/found"),
        (&["doctor", "--dir", "/proc"], 3, "/proc"),
    ];
    for (arguments, status, named) in inputs {
        let ended = ovlcheck(arguments)?;
        ended.expect(status).with_context(|| format!("{arguments:?}"))?;
        ensure!(ended.stderr.contains(named), "{arguments:?}: no '{named}' in {}", ended.stderr);
    }
    Ok(())
}

/// With the directories of the administrator's tools covered, in a mount namespace of its own.
fn a_missing_mkfs_is_3() -> Result<()> {
    const SCRIPT: &str = r#"
for dir in /usr/local/sbin /usr/sbin /sbin; do
    if [ -d "$dir" ] && [ ! -L "$dir" ]; then mount -t tmpfs none "$dir" || exit 77; fi
done
PATH=/nowhere exec "$0" run --cases 1 --fs "$1"
"#;
    let ovlcheck = binary(env!("CARGO_BIN_EXE_ovlcheck-suite")).display().to_string();
    for (filesystem, package) in [("ext4", "e2fsprogs"), ("xfs", "xfsprogs"), ("btrfs", "btrfs-progs")] {
        let ended =
            Program::start(Path::new("unshare"), &["--mount", "sh", "-c", SCRIPT, &ovlcheck, filesystem])?.end()?;
        ended.expect(3).with_context(|| filesystem.to_owned())?;
        let missing = format!("mkfs.{filesystem} does not start");
        let tool = ended.stderr.contains(&missing) && ended.stderr.contains(&format!("apt-get install {package}"));
        // Where the kernel has no such filesystem, or no loop devices, the tool is not asked for.
        let kernel = ["the kernel has no", "loop"].iter().any(|why| ended.stderr.contains(why));
        ensure!((tool || kernel) && ended.stdout.lines().count() <= 1, "{ended:?}");
    }
    Ok(())
}

/// The words of a command line in a guide; quotes are single ones.
fn words_of(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in command.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(part.split_whitespace().collect::<Vec<_>>().join(" "));
        } else {
            words.extend(part.split_whitespace().filter(|w| *w != "\\").map(str::to_owned));
        }
    }
    words
}

/// Every command of ovlcheck that README, guides and help name is one that it takes, whatever it would do. (With
/// `--help` last, all words before it are looked at, and nothing runs.)
fn docs_every_command_is_one() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).into_iter().flatten() {
        files.push(entry?.path());
    }
    let mut commands: Vec<String> = Vec::new();
    for file in files {
        // A copied test program has no guides beside it.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let joined = text.replace("\\\n", " ");
        for line in joined.lines() {
            if !line.trim_start().starts_with(['#', '$', '-']) {
                continue;
            }
            let line = line.trim_start_matches(['#', '$', ' ', '-']).trim_start_matches("run: ");
            let line = line.trim_start_matches("sudo ").trim_start_matches("target/release/");
            if let Some(rest) = line.strip_prefix("ovlcheck ") {
                commands.push(rest.to_owned());
            }
        }
        let inline = text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("ovlcheck "));
        commands.extend(inline.map(|code| code.replace('\n', " ")));
    }
    let help = ovlcheck(&["--help"])?.stdout;
    let names: Vec<&str> = help
        .lines()
        .skip_while(|l| !l.starts_with("Commands:"))
        .skip(1)
        .take_while(|l| !l.is_empty())
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    for name in &names {
        let text = ovlcheck(&[name, "--help"])?.stdout.replace("\\\n", " ");
        for line in text.lines().filter_map(|l| l.trim_start().strip_prefix("ovlcheck ")) {
            // What an example is for stands after two blanks or more.
            commands.push(line.split("  ").next().unwrap_or(line).to_owned());
        }
    }
    let mut asked = 0;
    for command in &commands {
        let mut words = words_of(command);
        // Prose, and the notation of what may be left out.
        let known = words.first().is_some_and(|w| names.contains(&w.as_str()) && w != "help");
        if !known || command.contains(['[', '|', '<']) {
            continue;
        }
        // What follows is not for ovlcheck, a comment, or the shell's.
        let theirs = |w: &String| w == "--" || w.starts_with(['#', '>']);
        words.truncate(words.iter().position(theirs).unwrap_or(words.len()));
        words.push("--help".to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ended = ovlcheck(&words)?;
        // Prose may name an option without its value.
        if !ended.stderr.contains("a value is required") {
            ended.expect(0).with_context(|| format!("ovlcheck {command}"))?;
            asked += 1;
        }
    }
    ensure!(asked >= 20, "only {asked} commands were found");
    Ok(())
}

/// What a registry would get: all that the build includes, licenses and README with it, and nothing of the tests.
fn package_has_what_it_needs() -> Result<Completion> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/Cargo.toml");
    let cargo = Command::new("cargo")
        .args(["package", "--list", "--allow-dirty", "--offline", "--manifest-path"])
        .arg(&manifest)
        .output();
    let output = match cargo {
        Ok(output) if manifest.is_file() => output,
        _ => return Ok(Completion::ignored_with("neither cargo nor the sources are here")),
    };
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let files: BTreeSet<&str> = list.lines().collect();
    for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/container/minirootfs.case", "src/main.rs"] {
        ensure!(files.contains(file), "no {file} in\n{list}");
    }
    ensure!(files.iter().all(|f| !f.starts_with("target") && !f.ends_with(".snap")), "{list}");
    let text = fs::read_to_string(&manifest)?;
    for key in ["description", "license", "documentation", "readme", "keywords", "categories"] {
        ensure!(text.lines().any(|l| l.starts_with(key)), "no {key}");
    }
    Ok(Completion::Completed)
}

fn a_command_that_exits_is_1() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let case = dir.path().join("x.case").display().to_string();
    fs::write(&case, WHITEOUT)?;
    let target = "/bin/false {lowerdir} {upperdir} {workdir} {merged}";
    let ended = ovlcheck(&["replay", "--rootless", "--target-command", target, &case])?;
    ensure!(ended.expect(1)?.stdout.contains("exit status: 1"), "{}", ended.stdout);
    Ok(())
}

/// Every line is a JSON value with an event.
fn json_lines(text: &str) -> Result<Vec<serde_json::Value>> {
    let lines: Vec<serde_json::Value> =
        text.lines().map(|l| serde_json::from_str(l).with_context(|| l.to_owned())).collect::<Result<_>>()?;
    let first = lines.first().context("no line")?;
    ensure!(first["event"] == "begin" && first["version"] == 1, "{first}");
    ensure!(lines.last().context("no line")?["event"] == "end", "{text}");
    Ok(lines)
}

fn a_replay_ends_with_its_status() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (good, bad, none, junit) = (path("good.case"), path("bad.case"), path("none.case"), path("junit.xml"));
    fs::write(&good, WHITEOUT)?;
    fs::write(&bad, WHITEOUT.replace("= ok", "= ENOENT"))?;
    fs::write(&none, format!("lower\n  block b 1:7\n{WHITEOUT}"))?;
    let ended = ovlcheck(&["replay", "--rootless", "--json", "--junit", &junit, &good, &bad, &none])?;
    let lines = json_lines(&ended.expect(1)?.stdout)?;
    let results: Vec<_> = lines.iter().filter_map(|l| l["result"].as_str()).collect();
    ensure!(results == ["holds", "diverges", "not tested"], "{results:?}");
    ensure!(lines[2]["finding"]["expected"] == "ENOENT" && lines[2]["finding"]["step"] == 1, "{}", lines[2]);
    ensure!(lines[3]["reason"].as_str().context("reason")?.contains("block device"), "{}", lines[3]);
    let end = &lines[4];
    ensure!(end["status"] == 1 && end["held"] == 1 && end["diverged"] == 1 && end["untested"] == 1, "{end}");
    let xml = fs::read_to_string(&junit)?;
    ensure!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
    Ok(())
}

fn a_campaign_ends_with_its_summary() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let junit = dir.path().join("junit.xml").display().to_string();
    let ended = ovlcheck(&["run", "--json", "--seed", "1", "--cases", "30", "--junit", &junit])?;
    let lines = json_lines(&ended.expect(0)?.stdout)?;
    let end = &lines[lines.len() - 1];
    ensure!(end["status"] == 0 && end["cases"] == 30 && end["diverged"] == 0 && end["seed"] == 1, "{end}");
    ensure!(end["environment"]["target"] == "kernel", "{end}");
    ensure!(end["results"].as_array().is_some_and(|r| r.len() > 20), "{end}");
    ensure!(fs::read_to_string(&junit)?.contains("30 cases that hold"), "no cases in the JUnit file");
    let target = "/bin/false {lowerdir} {upperdir} {workdir} {merged}";
    let ended = ovlcheck(&["run", "--json", "--seed", "1", "--cases", "2", "--target-command", target])?;
    let lines = json_lines(&ended.expect(1)?.stdout)?;
    let finding = lines.iter().find(|l| l["event"] == "finding").context("no finding")?;
    ensure!(finding["step"] == "mount" && finding["case"].as_str().is_some(), "{finding}");
    Ok(())
}

/// Two seeds are as many cases as each alone, and the tables count what the campaign ran.
fn coverage_is_counted_over_seeds() -> Result<()> {
    let run = |more: &[&str]| -> Result<Ended> {
        ovlcheck(&[&["run", "--seed", "1", "--cases", "20", "--mirror", "0"], more].concat())
    };
    let ended = run(&["--coverage", "--seeds", "2", "--json"])?;
    let lines = json_lines(&ended.expect(0)?.stdout)?;
    let end = &lines[lines.len() - 1];
    ensure!(end["cases"] == 40 && end["seed"] == 1 && end["seeds"] == 2, "{end}");
    let all = |what: &str| end["coverage"][what].as_array().cloned().with_context(|| format!("no {what}"));
    let states: BTreeSet<String> =
        all("targets")?.iter().filter_map(|t| t["state"].as_str().map(str::to_owned)).collect();
    for state in ["free", "whiteout", "lower", "merged", "upper", "copied-up", "shadowing", "removed", "closed"] {
        ensure!(states.contains(state), "no target is '{state}' among {states:?}");
    }
    // What both count is the same, but for cases whose end no rule decides.
    let calls = |op: &str| -> Result<u64> {
        let results = end["results"].as_array().context("results")?;
        Ok(results.iter().filter(|r| r["operation"] == op).filter_map(|r| r["count"].as_u64()).sum())
    };
    for op in ["rename", "chmod", "unlink", "write"] {
        let counted: u64 = all("targets")?
            .iter()
            .filter(|t| t["operation"] == op && t["second"] == false)
            .filter_map(|t| t["calls"].as_u64())
            .sum();
        let calls = calls(op)?;
        ensure!(counted <= calls && counted * 2 > calls, "{op}: {counted} of {} calls have a target", calls);
    }
    ensure!(all("clauses")?.len() > 200 && all("mutating")?.len() > 20, "{end}");
    let told = run(&["--coverage", "--wanted", "1"])?;
    let out = &told.expect(0)?.stdout;
    for wanted in
        ["errors by operation", "operations by the state of their target", "each clause fires 1 times; less: "]
    {
        ensure!(out.contains(wanted), "no '{wanted}' in\n{out}");
    }
    ensure!(out.ends_with("no divergence\n"), "{out}");
    run(&["--wanted", "1"])?.expect(2)?;
    Ok(())
}

fn doctor_finds_a_good_machine_good() -> Result<()> {
    let ended = ovlcheck(&["doctor"])?;
    let out = &ended.expect(0)?.stdout;
    for wanted in ["what can be tested", "overlay in the kernel", "O_TMPFILE", "works here"] {
        ensure!(out.contains(wanted), "no '{wanted}' in\n{out}");
    }
    Ok(())
}

/// Whatever the machine is like, a program can read the answers, and each no says what to do.
fn doctor_says_what_to_do() -> Result<()> {
    let ended = ovlcheck(&["doctor", "--json"])?;
    let found: serde_json::Value = serde_json::from_str(&ended.stdout)?;
    ensure!(found["version"] == 1, "{found}");
    let can_run = found["can_run"].as_bool().context("can_run")?;
    ended.expect(if can_run { 0 } else { 3 })?;
    let mut ids = BTreeSet::new();
    for section in found["sections"].as_array().context("sections")? {
        for answer in section["answers"].as_array().context("answers")? {
            let id = answer["id"].as_str().context("id")?;
            ensure!(ids.insert(id.to_owned()), "'{id}' twice");
            let remedy = answer["remedy"].as_str().context("remedy")?;
            ensure!((answer["yes"] == false) != remedy.is_empty(), "{answer}");
        }
    }
    for id in ["run.root", "run.rootless", "userns", "root", "mount.api", "loop", "ext4", "fuse", "kvm", "lsm.xattrs"] {
        ensure!(ids.contains(id), "no '{id}' among {ids:?}");
    }
    Ok(())
}

fn doctor_leaves_a_directory_as_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("mine"), "x")?;
    let ended = ovlcheck(&["doctor", "--dir", &dir.path().display().to_string()])?;
    let out = &ended.expect(0)?.stdout;
    ensure!(out.contains("an overlay with its layers here"), "{out}");
    let left: Vec<_> = fs::read_dir(dir.path())?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    ensure!(left == ["mine"], "{left:?}");
    Ok(())
}

fn doctor_needs_a_directory() -> Result<()> {
    for dir in ["/nowhere/at/all", "/proc"] {
        let ended = ovlcheck(&["doctor", "--dir", dir])?;
        ended.expect(3)?;
        ensure!(ended.stderr.contains(dir) && ended.stderr.contains("may write to"), "{}", ended.stderr);
    }
    Ok(())
}
