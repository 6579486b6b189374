//! Campaigns under another kernel, and what goes wrong with kernels.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Completion, Trial};
use ovlcheck::exec::worker_entry;
use ovlcheck_cases::need::{KERNEL, Need, ignorable, trial};
use ovlcheck_cases::program::{Ended, Program, binary};

fn main() {
    worker_entry();
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let guest = || vec![Need::Guest];
    vec![
        trial("a_file_that_is_no_kernel_is_3", vec![], a_file_that_is_no_kernel_is_3),
        trial("a_directory_without_a_kernel_is_3", vec![], a_directory_without_a_kernel_is_3),
        trial("a_module_that_is_none_is_3", vec![], a_module_that_is_none_is_3),
        trial("no_emulator_is_3", vec![], no_emulator_is_3),
        trial("bisect_cannot_tell_is_125", vec![], bisect_cannot_tell_is_125),
        trial("compare_takes_two_kernels", vec![], compare_takes_two_kernels),
        trial("a_campaign_in_a_guest_holds", guest(), a_campaign_in_a_guest_holds),
        trial("a_guest_that_panics_at_once_is_3", guest(), a_guest_that_panics_at_once_is_3),
        trial("a_module_that_does_not_load_is_3", guest(), a_module_that_does_not_load_is_3),
        trial("interrupted_while_it_boots_is_130", guest(), || interrupted_is_130(Duration::from_millis(500))),
        trial("interrupted_while_it_runs_is_130", guest(), || interrupted_is_130(Duration::from_secs(15))),
        trial("interrupted_while_it_never_gets_ready_is_130", guest(), interrupted_while_it_never_gets_ready_is_130),
        trial("a_kernel_compared_with_itself_is_the_same", guest(), a_kernel_compared_with_itself_is_the_same),
        trial("packages_are_unpacked_once", guest(), packages_are_unpacked_once),
        trial("a_full_disk_takes_the_cache_alone", guest(), a_full_disk_takes_the_cache_alone),
        trial("results_on_a_full_disk_are_3", guest(), results_on_a_full_disk_are_3),
        ignorable("a_bug_of_the_kernel_is_a_finding", guest(), || crash("crash-bug", "kernel BUG at")),
        ignorable("a_warning_of_the_kernel_is_a_finding", guest(), || crash("crash-warning", "WARNING: ")),
        ignorable("a_panic_of_the_kernel_is_a_finding", guest(), || crash("crash-panic", "overlay: truncated")),
        ignorable("a_step_that_never_ends_is_a_finding", guest(), || crash("crash-hang", "deadline")),
    ]
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
}

/// A file with the mark of a kernel image, and nothing else of one.
fn image() -> Result<(tempfile::TempDir, String)> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("bzImage");
    let mut bytes = vec![0; 4096];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    fs::write(&path, bytes)?;
    let path = path.to_str().context("a path that is no text")?.to_owned();
    Ok((dir, path))
}

fn says(ended: &Ended, status: i32, words: &[&str]) -> Result<()> {
    ended.expect(status)?;
    for word in words {
        ensure!(ended.stderr.contains(word), "no word of '{word}' in: {}", ended.stderr);
    }
    Ok(())
}

fn a_file_that_is_no_kernel_is_3() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("notes.txt");
    fs::write(&path, "no kernel")?;
    let path = path.to_str().context("a path that is no text")?;
    says(&ovlcheck(&["vm", "--kernel", path])?, 3, &["notes.txt", "is no kernel image", "bzImage"])?;
    says(&ovlcheck(&["run", "--kernel", "/nonexistent"])?, 3, &["/nonexistent", "No such file"])
}

fn a_directory_without_a_kernel_is_3() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().context("a path that is no text")?;
    says(&ovlcheck(&["vm", "--kernel", path])?, 3, &["no kernel image in", path])
}

fn a_module_that_is_none_is_3() -> Result<()> {
    let (_dir, image) = image()?;
    says(&ovlcheck(&["vm", "--kernel", &image, "--module", &image])?, 3, &["is no module", ".ko"])
}

fn no_emulator_is_3() -> Result<()> {
    let (_dir, image) = image()?;
    let arguments = ["vm", "--kernel", image.as_str(), "--accel", "software"];
    let program = binary(env!("CARGO_BIN_EXE_ovlcheck-suite"));
    let ended = Program::start_with(&program, &arguments, &[("PATH", "/nonexistent")])?.end()?;
    says(&ended, 3, &["qemu-system-x86_64 is not installed", "install QEMU"])
}

fn bisect_cannot_tell_is_125() -> Result<()> {
    says(&ovlcheck(&["vm", "--bisect", "--kernel", "/nonexistent"])?, 125, &["No such file"])?;
    let two = ["vm", "--bisect", "--kernel", "/a", "--kernel", "/b"];
    says(&ovlcheck(&two)?, 2, &["--bisect takes one kernel"])
}

fn compare_takes_two_kernels() -> Result<()> {
    says(&ovlcheck(&["vm", "--compare", "--kernel", "/a"])?, 2, &["--compare takes two kernels"])?;
    says(&ovlcheck(&["vm", "--compare", "--kernel", "/nonexistent", "--kernel", "/b"])?, 3, &["No such file"])
}

/// The kernel that the machine offers for guests.
fn kernel() -> Result<String> {
    std::env::var(KERNEL).with_context(|| format!("{KERNEL} is no text"))
}

fn in_a_guest(more: &[&str]) -> Result<Ended> {
    let kernel = kernel()?;
    let usual = ["vm", "--kernel", &kernel, "--accel", "software", "--jobs", "1", "--seed", "1", "--cases", "64"];
    ovlcheck(&[&usual, more].concat())
}

fn a_campaign_in_a_guest_holds() -> Result<()> {
    let ended = in_a_guest(&[])?;
    ended.expect(0)?;
    for word in ["kernel on tmpfs, root, Linux ", "seed 1: 64 cases", "no divergence"] {
        ensure!(ended.stdout.contains(word), "no word of '{word}' in: {}", ended.stdout);
    }
    Ok(())
}

fn a_guest_that_panics_at_once_is_3() -> Result<()> {
    says(&in_a_guest(&["--append", "rdinit=/nonexistent root=/dev/nonexistent"])?, 3, &["Kernel panic"])
}

fn a_module_that_does_not_load_is_3() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("overlay.ko");
    fs::write(&path, "no module")?;
    let path = path.to_str().context("a path that is no text")?;
    says(&in_a_guest(&["--module", path])?, 3, &["the kernel does not load", "overlay"])
}

/// ^C ends the campaign and the guests, wherever they are.
fn interrupted_is_130(after: Duration) -> Result<()> {
    let kernel = kernel()?;
    let arguments = ["vm", "--kernel", &kernel, "--accel", "software", "--jobs", "2", "--seed", "1", "--time", "100"];
    let program = Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), &arguments)?;
    std::thread::sleep(after);
    program.signal(rustix::process::Signal::INT)?;
    program.end()?.expect(130)?;
    Ok(())
}

/// A guest whose kernel waits ten seconds after each line it prints is given up at once, not when it would be late.
fn interrupted_while_it_never_gets_ready_is_130() -> Result<()> {
    let kernel = kernel()?;
    let arguments =
        ["vm", "--kernel", &kernel, "--accel", "software", "--seed", "1", "--append", "boot_delay=10000 lpj=4000000"];
    let program = Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), &arguments)?;
    std::thread::sleep(Duration::from_secs(15));
    program.signal(rustix::process::Signal::INT)?;
    program.within(Duration::from_secs(60)).end()?.expect(130)?;
    Ok(())
}

fn a_kernel_compared_with_itself_is_the_same() -> Result<()> {
    let kernel = kernel()?;
    let two = ["vm", "--compare", "--kernel", &kernel, "--kernel", &kernel];
    let ended = ovlcheck(&[&two[..], &["--accel", "software", "--seed", "1", "--cases", "32"]].concat())?;
    ended.expect(0)?;
    for word in ["32 cases on both", "fails on B and holds on A: nothing", "and is not the same: nothing"] {
        ensure!(ended.stdout.contains(word), "no word of '{word}' in: {}", ended.stdout);
    }
    Ok(())
}

/// A short campaign with its cache in this directory: what it kept.
fn cached(cache: &Path, more: &[&str]) -> Result<Vec<String>> {
    let kernel = kernel()?;
    let variables = [("XDG_CACHE_HOME", cache.to_str().context("a path that is no text")?)];
    let usual = ["run", "--kernel", &kernel, "--accel", "software", "--jobs", "1", "--seed", "1", "--cases", "1"];
    let program = binary(env!("CARGO_BIN_EXE_ovlcheck-suite"));
    Program::start_with(&program, &[&usual, more].concat(), &variables)?.end()?.expect(0)?;
    let kept = fs::read_dir(cache.join("ovlcheck/kernels")).into_iter().flatten();
    let mut kept: Vec<String> =
        kept.map(|e| Ok(e?.file_name().to_string_lossy().into_owned())).collect::<std::io::Result<_>>()?;
    kept.sort();
    Ok(kept)
}

fn packages_are_unpacked_once() -> Result<()> {
    let kernel = kernel()?;
    let packages = kernel.split(',').filter(|place| place.ends_with(".deb")).count();
    let dir = tempfile::tempdir()?;
    ensure!(cached(dir.path(), &["--no-cache"])?.is_empty(), "kept although told not to");
    let kept = cached(dir.path(), &[])?;
    ensure!(kept.len() == packages && kept.iter().all(|name| name.len() == 64), "{kept:?}");
    // From the cache, and nothing more in it.
    ensure!(cached(dir.path(), &[])? == kept);
    Ok(())
}

/// A run whose directory for temporary files has no room, in a namespace of its own.
fn on_a_full_disk(more: &str) -> Result<Ended> {
    let program = binary(env!("CARGO_BIN_EXE_ovlcheck-suite")).display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs \"$TMPDIR\" || exit 99\n\
         dd if=/dev/zero of=\"$TMPDIR/zeros\" 2>/dev/null\n\
         XDG_CACHE_HOME=$TMPDIR exec '{program}' run --kernel '{}' --accel software --jobs 1 --seed 1 --cases 1 {more}\n",
        kernel()?
    );
    Program::start(Path::new("unshare"), &["-rm", "sh", "-c", &script])?.end()
}

fn a_full_disk_takes_the_cache_alone() -> Result<()> {
    on_a_full_disk("")?.expect(0)?;
    Ok(())
}

fn results_on_a_full_disk_are_3() -> Result<()> {
    let ended = on_a_full_disk("--no-cache --ktap \"$TMPDIR/results\"")?;
    says(&ended, 3, &["cannot write ", "/results", "No space left"])
}

/// The variable that names a directory of modules that crash, as fixtures/broken-overlay/run.sh keeps them.
const BROKEN: &str = "OVLCHECK_BROKEN";

/// What a kernel does that crashes is a finding with its step and the kernel's words, made small; the campaign goes on.
fn crash(name: &str, said: &str) -> Result<Completion> {
    let Some(dir) = std::env::var_os(BROKEN) else {
        return Ok(Completion::ignored_with(format!("{BROKEN} names no directory of broken modules")));
    };
    let module = Path::new(&dir).join(format!("{name}.ko")).display().to_string();
    let kernel = kernel()?;
    let arguments = [
        "run", "--kernel", &kernel, "--module", &module, "--accel", "software", "--jobs", "1", "--seed", "1",
        "--cases", "40",
    ];
    let program = Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), &arguments)?;
    let ended = program.within(Duration::from_secs(600)).end()?;
    let text = &ended.expect(1)?.stdout;
    ensure!(text.contains("DIVERGENCE at step ") && text.contains(", ending, "), "no step in\n{text}");
    ensure!(text.contains(said), "no word of '{said}' in\n{text}");
    let shrunk = text.lines().find(|line| line.starts_with("shrunk from ")).context("not shrunk")?;
    let steps = shrunk.split_once(" to ").and_then(|(_, to)| to.split(' ').next()?.parse::<u32>().ok());
    ensure!(steps.is_some_and(|steps| steps <= 6), "{shrunk}");
    ensure!(text.contains("seed 1: 40 cases"), "the campaign did not go on\n{text}");
    Ok(Completion::Completed)
}
