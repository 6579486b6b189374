//! What surrounds the engine: the commands that explain, export and examine.

use std::collections::BTreeSet;
use std::fs;

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
    let own = if rustix::process::geteuid().is_root() { Privilege::Root } else { Privilege::Rootless };
    let kernel = || Need::of(own, &TargetSpec::Kernel);
    vec![
        trial("doctor/finds_a_good_machine_good", kernel(), doctor_finds_a_good_machine_good),
        trial("doctor/says_what_to_do", vec![], doctor_says_what_to_do),
        trial("doctor/leaves_a_directory_as_it_was", kernel(), doctor_leaves_a_directory_as_it_was),
        trial("doctor/a_directory_that_cannot_be_written_is_3", vec![], doctor_needs_a_directory),
    ]
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
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
