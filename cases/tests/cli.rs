//! What people type, and the exit status and words they get.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use ovlcheck::exec::{TargetSpec, worker_entry};
use ovlcheck::trace::Privilege;
use ovlcheck_cases::need::{Need, trial};
use ovlcheck_cases::program::{Ended, Program, binary};

fn main() {
    worker_entry();
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let kernel = || Need::of(Privilege::Rootless, &TargetSpec::Kernel);
    let worker = || vec![Need::Rootless];
    let root = || Need::of(Privilege::Root, &TargetSpec::Kernel);
    vec![
        trial("help_shows_examples_and_statuses", vec![], help_shows_examples_and_statuses),
        trial("wrong_usage_is_2", vec![], wrong_usage_is_2),
        trial("rules_are_listed", vec![], rules_are_listed),
        trial("a_bad_case_file_is_2_with_its_place", vec![], a_bad_case_file_is_2_with_its_place),
        trial("a_dangerous_device_is_refused_on_reading", vec![], a_dangerous_device_is_refused_on_reading),
        trial("findings_that_cannot_be_written_are_3", vec![], findings_that_cannot_be_written_are_3),
        trial("a_target_that_is_not_there_is_3", worker(), a_target_that_is_not_there_is_3),
        trial("a_target_that_fails_is_1", worker(), a_target_that_fails_is_1),
        trial("a_target_that_never_mounts_is_1", worker(), a_target_that_never_mounts_is_1),
        trial("a_template_without_layers_is_3", worker(), a_template_without_layers_is_3),
        trial("a_disk_in_a_user_namespace_is_3", vec![Need::Rootless], a_disk_in_a_user_namespace_is_3),
        trial("a_campaign_that_holds_is_0", kernel(), a_campaign_that_holds_is_0),
        trial("a_filter_draws_what_it_names_and_nothing_is_3", kernel(), a_filter_draws_what_it_names_and_nothing_is_3),
        trial("a_case_that_holds_is_0_and_a_wrong_one_1", kernel(), a_case_that_holds_is_0_and_a_wrong_one_1),
        trial("a_level_leaves_out_what_it_does_not_demand", kernel(), a_level_leaves_out_what_it_does_not_demand),
        trial("a_fault_that_survives_is_4", kernel(), a_fault_that_survives_is_4),
        trial("an_option_of_ours_in_a_case_is_2", kernel(), an_option_of_ours_in_a_case_is_2),
        trial("layers_are_resolved", vec![], layers_are_resolved),
        trial("a_mount_is_compared_with_its_layers", root(), a_mount_is_compared_with_its_layers),
        trial(
            "expectations_that_are_wrong_are_2_with_their_place",
            vec![],
            expectations_that_are_wrong_are_2_with_their_place,
        ),
        trial("what_is_expected_is_known", kernel(), what_is_expected_is_known),
        trial("what_is_no_longer_so_is_1_with_its_line", kernel(), what_is_no_longer_so_is_1_with_its_line),
        trial("findings_are_kept_and_replayed", worker(), findings_are_kept_and_replayed),
    ]
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
}

/// A case file in a directory of its own.
fn file(text: &str) -> Result<(tempfile::TempDir, String)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("x.case");
    fs::write(&path, text)?;
    let name = path.display().to_string();
    Ok((dir, name))
}

fn help_shows_examples_and_statuses() -> Result<()> {
    for arguments in [
        &["--help"] as &[_],
        &["run", "--help"],
        &["replay", "--help"],
        &["rules", "--help"],
        &["self-test", "--help"],
        &["resolve", "--help"],
        &["enumerate", "--help"],
    ] {
        let ended = ovlcheck(arguments)?;
        let help = &ended.expect(0)?.stdout;
        ensure!(help.contains("Examples:") && help.contains("ovlcheck "), "{arguments:?} shows no example:\n{help}");
        ensure!(help.contains("Usage:"), "{arguments:?}: {help}");
    }
    let top = ovlcheck(&["--help"])?.stdout;
    for status in ["0 all held", "1 a divergence", "2 wrong usage", "130 interrupted"] {
        ensure!(top.contains(status), "no '{status}' in\n{top}");
    }
    Ok(())
}

fn wrong_usage_is_2() -> Result<()> {
    let wrong: [&[&str]; 7] = [
        &["frobnicate"],
        &["run", "--cases", "many"],
        &["run", "--steps", "0"],
        &["replay"],
        &["replay", "--fault", "XYZ-99.nothing", "x.case"],
        &["rules", "XYZ"],
        &["run", "--plain", "--target-command", "x"],
    ];
    for arguments in wrong {
        let ended = ovlcheck(arguments)?;
        ended.expect(2)?;
        ensure!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

fn expectations_that_are_wrong_are_2_with_their_place() -> Result<()> {
    let (_dir, path) = file("[[deviation]]\nname = 'x'\nwhy = 'y'\nrule = 'XYZ-01'\n")?;
    for command in [&["run", "--cases", "1"] as &[_], &["replay", "x.case"]] {
        let (_case, case) = file("lower\nsteps\n  mkdir d 0755\n")?;
        let mut arguments: Vec<&str> =
            command.iter().map(|word| if *word == "x.case" { &case } else { *word }).collect();
        arguments.extend(["--expect", &path]);
        let ended = ovlcheck(&arguments)?;
        ended.expect(2)?;
        ensure!(ended.stderr.contains(&format!("{path}:4:8: 'XYZ-01'")), "{}", ended.stderr);
    }
    let (_dir, path) = file("target = 'other'\n")?;
    let ended = ovlcheck(&["run", "--cases", "1", "--expect", &path])?;
    ended.expect(2)?;
    ensure!(ended.stderr.contains("is about other, not kernel"), "{}", ended.stderr);
    Ok(())
}

/// The case asserts what is not so; whether that is news is for the expectations to say.
fn what_is_expected_is_known() -> Result<()> {
    let (_case, case) = file("lower\nsteps\n  mkdir d 0755 = EPERM\n")?;
    for (operation, status, word) in [("mkdir", 0, "known: wrong-mkdir"), ("rmdir", 1, "expected EPERM")] {
        let (_dir, known) = file(&format!(
            "[[deviation]]\nname = 'wrong-mkdir'\nwhy = 'y'\noperation = '{operation}'\nfield = 'result'\n"
        ))?;
        let ended = ovlcheck(&["replay", "--rootless", "--expect", &known, &case])?;
        ended.expect(status)?;
        ensure!(ended.stdout.contains(word), "{}", ended.stdout);
    }
    Ok(())
}

/// With a case, that is asked; without one, a run that is long enough.
fn what_is_no_longer_so_is_1_with_its_line() -> Result<()> {
    let entry = "target = 'kernel'\n[[deviation]]\nwhy = 'y'\nname = 'gone'\nfield = 'nothing'\n";
    let run = ["run", "--rootless", "--seed", "1", "--cases", "3", "--mirror", "0"];
    for (rest, status) in
        [("case = '''\nlower\nsteps\n'''", 1), ("within = 3", 1), ("within = 4", 0), ("kernel = '<2.6'\nwithin = 1", 0)]
    {
        let (_dir, path) = file(&format!("{entry}{rest}\n"))?;
        let ended = ovlcheck(&[&run as &[_], &["--expect", &path]].concat())?;
        ended.expect(status)?;
        let named = ended.stderr.contains(&format!("{path}:4: 'gone' is no longer so: delete this entry"));
        ensure!(named == (status == 1), "{rest}: {}", ended.stderr);
        ensure!(ended.stdout.contains("no divergence that is not known"), "{rest}: {}", ended.stdout);
    }
    Ok(())
}

fn rules_are_listed() -> Result<()> {
    let all = ovlcheck(&["rules"])?;
    let some = ovlcheck(&["rules", "RMV-02"])?;
    all.expect(0)?;
    some.expect(0)?;
    ensure!(some.stdout.contains("RMV-02.whiteout") && !some.stdout.contains("CUP-"), "{}", some.stdout);
    ensure!(all.stdout.contains("CUP-01.open") && all.stdout.len() > some.stdout.len(), "{}", all.stdout);
    Ok(())
}

fn a_bad_case_file_is_2_with_its_place() -> Result<()> {
    let (_dir, path) = file("lower\n  dir d\nsteps\n  frobnicate d\n")?;
    let ended = ovlcheck(&["replay", &path])?;
    ended.expect(2)?;
    ensure!(ended.stderr.contains(&format!("{path}:4:3: ")), "{}", ended.stderr);
    let ended = ovlcheck(&["replay", "/nowhere/x.case"])?;
    ended.expect(2)?;
    ensure!(ended.stderr.contains("/nowhere/x.case"), "{}", ended.stderr);
    Ok(())
}

fn a_dangerous_device_is_refused_on_reading() -> Result<()> {
    for (text, place) in [
        ("lower\n  dir d\n  block disk 8:0\nsteps\n  lstat disk\n", ":3:14: "),
        ("lower\n  char kmsg 1:11\nsteps\n  lstat kmsg\n", ":2:13: "),
        ("lower\nsteps\n  mknod x char 8:0 0644\n", ":3:"),
    ] {
        let (_dir, path) = file(text)?;
        let ended = ovlcheck(&["replay", &path])?;
        ended.expect(2)?;
        ensure!(ended.stderr.contains(&format!("{path}{place}")), "no {place} in {}", ended.stderr);
    }
    Ok(())
}

fn findings_that_cannot_be_written_are_3() -> Result<()> {
    let ended = ovlcheck(&["run", "--cases", "1", "--keep", "/proc/self/findings"])?;
    ended.expect(3)?;
    ensure!(ended.stderr.contains("/proc/self/findings"), "{}", ended.stderr);
    Ok(())
}

/// One case against a target that is a command.
fn run_target(template: &str) -> Result<Ended> {
    ovlcheck(&["run", "--rootless", "--cases", "1", "--jobs", "1", "--seed", "1", "--target-command", template])
}

fn a_target_that_is_not_there_is_3() -> Result<()> {
    let ended = run_target("/nowhere/overlay {lowerdir} {upperdir} {workdir} {merged}")?;
    ended.expect(3)?;
    let said = format!("{}{}", ended.stdout, ended.stderr);
    ensure!(said.contains("/nowhere/overlay"), "{said}");
    Ok(())
}

fn a_target_that_fails_is_1() -> Result<()> {
    let ended = run_target("/bin/false {lowerdir} {upperdir} {workdir} {merged}")?;
    ended.expect(1)?;
    ensure!(ended.stdout.contains("exit status: 1"), "{}", ended.stdout);
    Ok(())
}

fn a_target_that_never_mounts_is_1() -> Result<()> {
    let (_dir, path) = file(WHITEOUT)?;
    let target = "tail -f /dev/null {lowerdir} {upperdir} {workdir} {merged}";
    let ended = ovlcheck(&["replay", "--rootless", "--target-command", target, &path])?;
    ensure!(ended.expect(1)?.stdout.contains("nothing was mounted within"), "{}", ended.stdout);
    Ok(())
}

fn a_template_without_layers_is_3() -> Result<()> {
    let ended = run_target("/bin/true {merged}")?;
    ended.expect(3)?;
    ensure!(ended.stderr.contains("{lowerdir}"), "{}", ended.stderr);
    Ok(())
}

/// A user namespace mounts no disk, and the message says what to do instead.
fn a_disk_in_a_user_namespace_is_3() -> Result<()> {
    for filesystem in ["ext4", "xfs", "btrfs"] {
        let ended = ovlcheck(&["run", "--rootless", "--fs", filesystem, "--cases", "1"])?;
        ended.expect(3)?;
        ensure!(ended.stderr.contains(filesystem) && ended.stderr.contains("--fs tmpfs"), "{}", ended.stderr);
    }
    Ok(())
}

fn a_campaign_that_holds_is_0() -> Result<()> {
    let ended = ovlcheck(&["run", "--rootless", "--cases", "40", "--seed", "1"])?;
    let out = &ended.expect(0)?.stdout;
    ensure!(out.starts_with("seed 1\n") && out.contains("40 cases") && out.contains("clauses:"), "{out}");
    Ok(())
}

const WHITEOUT: &str = "lower\n  file f \"x\"\nsteps\n  unlink f = ok\nexpect upper\n  whiteout f\n";

fn a_filter_draws_what_it_names_and_nothing_is_3() -> Result<()> {
    let drawn = ovlcheck(&["draw", "--rootless", "--seed", "2", "--case", "4", "--filter", "flink"])?;
    ensure!(drawn.expect(0)?.stdout.contains(" flink "), "{drawn:?}");
    let run = ["run", "--rootless", "--jobs", "1", "--seed", "2", "--cases", "2", "--filter"];
    let focused = |what: &'static str| ovlcheck(&[&run[..], &[what]].concat());
    let ended = focused("flink")?;
    ensure!(ended.expect(0)?.stdout.contains("\nflink "), "{ended:?}");
    // Only root's mounts have it.
    let ended = focused("MCP-06.copyup")?;
    ensure!(ended.expect(3)?.stderr.contains("no case drawn was about MCP-06.copyup"), "{ended:?}");
    let ended = focused("whiteouts")?;
    ensure!(ended.expect(2)?.stderr.contains("'whiteouts' is no rule"), "{ended:?}");
    Ok(())
}

fn a_case_that_holds_is_0_and_a_wrong_one_1() -> Result<()> {
    let (_dir, path) = file(WHITEOUT)?;
    let ended = ovlcheck(&["replay", "--rootless", &path])?;
    ensure!(ended.expect(0)?.stdout.contains(": holds"), "{}", ended.stdout);
    let ended = ovlcheck(&["replay", "--rootless", "--fault", "RMV-02.whiteout", &path])?;
    let out = &ended.expect(1)?.stdout;
    ensure!(out.contains("DIVERGENCE") && out.contains("RMV-02.whiteout") && out.contains("unlink f"), "{out}");
    let (_dir, path) = file(&WHITEOUT.replace("= ok", "= ENOENT"))?;
    let ended = ovlcheck(&["replay", "--rootless", &path])?;
    ensure!(ended.expect(1)?.stdout.contains("expected ENOENT, seen success"), "{}", ended.stdout);
    Ok(())
}

fn a_fault_that_survives_is_4() -> Result<()> {
    let ended = ovlcheck(&["self-test", "--rootless", "--cases", "1", "--seed", "1"])?;
    ended.expect(4)?;
    Ok(())
}

/// What a merged directory's link count is, is for Linux to say; where a copy came from, for the format.
fn a_level_leaves_out_what_it_does_not_demand() -> Result<()> {
    let (_dir, path) = file("lower\n  file d/f\nsteps\n  chmod d 0700\n  unlink d/f\n  mkdir d/f 0755\n")?;
    let table = [
        ("NLK-01.merged", [0, 0, 1]),
        ("CUP-14.dir", [0, 0, 1]),
        ("CRE-02.opaque", [0, 1, 1]),
        ("CUP-09.attributes", [1, 1, 1]),
    ];
    for (clause, statuses) in table {
        for (level, status) in ["contract", "format", "linux"].iter().zip(statuses) {
            let arguments = ["replay", "--rootless", "--level", level, "--fault", clause, &path];
            ovlcheck(&arguments)?.expect(status).with_context(|| format!("{clause} at {level}"))?;
        }
    }
    Ok(())
}

fn an_option_of_ours_in_a_case_is_2() -> Result<()> {
    let (_dir, path) = file("option upperdir=/etc\nlower\nsteps\n  mkdir d 0755\n")?;
    let ended = ovlcheck(&["replay", "--rootless", &path])?;
    ensure!(ended.expect(2)?.stderr.contains("upperdir=/etc"), "{}", ended.stderr);
    Ok(())
}

fn findings_are_kept_and_replayed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let keep = dir.path().join("found");
    let path = keep.display().to_string();
    let target = "/bin/false {lowerdir} {upperdir} {workdir} {merged}";
    let arguments = ["run", "--rootless", "--cases", "2", "--seed", "1", "--keep", &path, "--target-command", target];
    ovlcheck(&arguments)?.expect(1)?;
    let kept: Vec<_> = fs::read_dir(&keep)?.collect::<Result<_, _>>()?;
    let case = kept.iter().map(fs::DirEntry::path).find(|p| p.extension() == Some("case".as_ref()));
    let case = case.ok_or_else(|| anyhow::anyhow!("no case among {kept:?}"))?;
    ensure!(kept.len() == 4, "{kept:?}");
    let replay =
        |file: &Path| ovlcheck(&["replay", "--rootless", "--target-command", target, &file.display().to_string()]);
    ensure!(replay(&case)?.expect(1)?.stdout.contains("DIVERGENCE"));
    Ok(())
}

/// Directories of this machine, by an ordinary user too.
fn layers_are_resolved() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name).display().to_string();
    let dated = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let date = |name: &str| fs::File::open(at(name))?.set_times(fs::FileTimes::new().set_modified(dated));
    for name in ["lower", "upper", "view"] {
        fs::create_dir(at(name))?;
    }
    fs::write(at("lower/f"), "lower")?;
    fs::write(at("lower/g"), "lower")?;
    fs::write(at("upper/f"), "the upper one")?;
    let (lower, upper, view) = (at("lower"), at("upper"), at("view"));
    let ended = ovlcheck(&["resolve", "--userxattr", "--lower", &lower, "--upper", &upper])?;
    let out = &ended.expect(0)?.stdout;
    for line in ["13  f  [upper]", "5  g  [lower 1]", ".  [upper, lower 1]"] {
        ensure!(out.contains(line), "no '{line}' in\n{out}");
    }
    // A view of one layer alone looks just like it; hard links have all attributes in common.
    for name in ["f", "g"] {
        fs::hard_link(at(&format!("lower/{name}")), at(&format!("view/{name}")))?;
    }
    date("lower")?;
    date("view")?;
    let compare = ["resolve", "--userxattr", "--lower", &lower, "--merged", &view];
    ensure!(ovlcheck(&compare)?.expect(0)?.stdout.contains("is what its layers make, 3 entries"));
    fs::rename(at("view/g"), at("view/h"))?;
    date("view")?;
    let out = ovlcheck(&compare)?.expect(1)?.stdout.clone();
    ensure!(out.contains("g: presence: the layers make a file, the view shows nothing"), "{out}");
    ensure!(out.contains("h: presence: the layers make nothing, the view shows a file"), "{out}");
    let ended = ovlcheck(&["resolve", "--lower", "/nowhere"])?;
    ensure!(ended.expect(3)?.stderr.contains("reading /nowhere: ENOENT"), "{}", ended.stderr);
    Ok(())
}

/// A mount that somebody else made, in a namespace of its own: with its layers, and with another upper one.
fn a_mount_is_compared_with_its_layers() -> Result<()> {
    const SCRIPT: &str = r#"
set -e
mount -t tmpfs none .
cd "$PWD"
mkdir -p lower/d/e upper work merged empty
echo 1 >lower/d/f; ln -s f lower/d/s; echo 2 >lower/gone; echo 3 >lower/d/e/g
mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged
rm merged/gone; echo more >>merged/d/f; rm -r merged/d/e; mkdir merged/d/e; ln merged/d/f merged/h
"$0" resolve --lower lower --upper upper --merged merged
"$0" resolve --lower lower --upper empty --merged merged
"#;
    let ovlcheck = binary(env!("CARGO_BIN_EXE_ovlcheck-suite")).display().to_string();
    let ended = Program::start(Path::new("unshare"), &["--mount", "sh", "-c", SCRIPT, &ovlcheck])?.end()?;
    let out = &ended.expect(1)?.stdout;
    ensure!(out.contains("merged: is what its layers make"), "{out}");
    ensure!(out.contains("gone: presence: the layers make a file, the view shows nothing"), "{out}");
    Ok(())
}
