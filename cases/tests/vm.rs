//! Campaigns under another kernel, and what goes wrong with kernels.

use std::fs;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Trial};
use ovlcheck::exec::worker_entry;
use ovlcheck_cases::need::{KERNEL, Need, trial};
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
        trial("a_campaign_in_a_guest_holds", guest(), a_campaign_in_a_guest_holds),
        trial("a_guest_that_panics_at_once_is_3", guest(), a_guest_that_panics_at_once_is_3),
        trial("a_module_that_does_not_load_is_3", guest(), a_module_that_does_not_load_is_3),
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
