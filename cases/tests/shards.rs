//! Parts of a campaign: nothing twice, nothing left out, and their results add up to those of the whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, anyhow, ensure};
use libtest_mimic::{Arguments, Trial};
use ovlcheck::campaign::{Settings, Shard, run_cases};
use ovlcheck::exec::{TargetSpec, WorkerConfig, worker_entry};
use ovlcheck::generate::{draw, seed_for};
use ovlcheck::model::Model;
use ovlcheck::trace::Privilege;
use ovlcheck_cases::need::{Need, trial};
use ovlcheck_cases::program::{Ended, Program, binary};
use serde_json::Value;

fn main() {
    worker_entry();
    libtest_mimic::run(&Arguments::from_args(), trials()).exit();
}

fn trials() -> Vec<Trial> {
    let kernel = || Need::of(Privilege::Rootless, &TargetSpec::Kernel);
    vec![
        trial("shards_do_not_overlap_and_leave_nothing_out", vec![Need::Rootless], no_overlap),
        trial("merged_shards_are_the_whole_campaign", kernel(), merged_shards_are_the_whole_campaign),
        trial("findings_of_shards_are_united", vec![Need::Rootless], findings_of_shards_are_united),
        trial("what_is_not_one_campaign_is_2", vec![Need::Rootless], what_is_not_one_campaign_is_2),
        trial("a_shard_that_is_none_is_2", vec![], a_shard_that_is_none_is_2),
        trial("the_environment_names_the_shard", vec![Need::Rootless], the_environment_names_the_shard),
    ]
}

fn ovlcheck(arguments: &[&str]) -> Result<Ended> {
    Program::start(&binary(env!("CARGO_BIN_EXE_ovlcheck-suite")), arguments)?.end()
}

/// The case of every index that each of three shards takes is the one that the whole campaign takes.
fn no_overlap() -> Result<()> {
    let cases = 50;
    let worker = WorkerConfig::new(Privilege::Rootless, TargetSpec::Plain);
    let taken = |shard: Shard| -> Result<Vec<(u64, String)>> {
        let settings = Settings { cases, shard, seed: 5, jobs: 2, ..Settings::new(worker.clone()) };
        let taken = Mutex::new(Vec::new());
        let source = |index| {
            let case = draw::<Model>(&settings.profile, &seed_for(settings.seed, index));
            taken.lock().ok()?.push((index, case.to_string()));
            Some(case)
        };
        let summary = run_cases(&settings, &source, 0, &AtomicBool::new(false), |_| {})?;
        let mut taken = taken.into_inner().map_err(|_| anyhow!("a job panicked"))?;
        ensure!(summary.stats.cases == taken.len() as u64 && summary.stats.cases == shard.share(cases), "{shard}");
        taken.sort();
        Ok(taken)
    };
    let whole: BTreeSet<(u64, String)> = taken(Shard::WHOLE)?.into_iter().collect();
    ensure!(whole.len() == 50);
    let mut united = BTreeSet::new();
    for number in 1..=3 {
        for case in taken(Shard::new(number, 3)?)? {
            ensure!(united.insert(case.clone()), "case {} is in two shards", case.0);
        }
    }
    ensure!(united == whole, "the shards are not the whole campaign");
    Ok(())
}

/// A campaign in three shards and as a whole: the names of the shards' files, and the whole one's.
fn shards(dir: &Path, status: i32, more: &[&str]) -> Result<(Vec<String>, String)> {
    let run = |name: &str, shard: &[&str]| -> Result<String> {
        let usual = ["run", "--rootless", "--seed", "3", "--cases", "80", "--jobs", "1", "--json"];
        let ended = ovlcheck(&[&usual, more, shard].concat())?;
        ended.expect(status)?;
        let path = dir.join(name);
        fs::write(&path, &ended.stdout)?;
        Ok(path.display().to_string())
    };
    let parts = ["1/3", "2/3", "3/3"].iter().map(|k| run(&k.replace('/', "-"), &["--shard", k]));
    Ok((parts.collect::<Result<_>>()?, run("whole", &[])?))
}

/// The lines of a run, without what depends on time.
fn lines(text: &str) -> Result<Vec<Value>> {
    let mut lines: Vec<Value> =
        text.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>().context("no JSON")?;
    lines.retain(|line| line["event"] != "progress");
    for line in &mut lines {
        line.as_object_mut().context("no object")?.remove("seconds");
    }
    Ok(lines)
}

fn merge(files: &[String], more: &[&str]) -> Result<Ended> {
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    ovlcheck(&[&["merge"], more, &files].concat())
}

fn merged_shards_are_the_whole_campaign() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut parts, whole) = shards(dir.path(), 0, &["--coverage"])?;
    // In whatever order they come.
    parts.reverse();
    let merged = merge(&parts, &["--json"])?;
    let (merged, whole) = (lines(&merged.expect(0)?.stdout)?, lines(&fs::read_to_string(whole)?)?);
    for (one, other) in merged.iter().zip(&whole) {
        for (key, value) in one.as_object().context("no object")? {
            ensure!(other.get(key) == Some(value), "{key} is\n{value}, not\n{}", other[key]);
        }
    }
    ensure!(merged == whole, "{merged:?}\nis not\n{whole:?}");
    let text = merge(&parts, &[])?;
    for word in ["seed 3: 80 cases in 3 shards", "no divergence"] {
        ensure!(text.expect(0)?.stdout.contains(word), "no '{word}' in {}", text.stdout);
    }
    Ok(())
}

/// A target that never mounts shows the same in every case.
const NEVER: [&str; 2] = ["--target-command", "false {lowerdir} {upperdir} {workdir} {merged}"];

fn findings_of_shards_are_united() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (parts, whole) = shards(dir.path(), 1, &NEVER)?;
    let keep = dir.path().join("kept");
    let merged = merge(&parts, &["--json", "--keep", &keep.display().to_string()])?;
    let (merged, whole) = (lines(&merged.expect(1)?.stdout)?, lines(&fs::read_to_string(whole)?)?);
    let found = |lines: &[Value]| -> Vec<Value> {
        lines.iter().filter(|line| line["event"] == "finding").map(|line| line["signature"].clone()).collect()
    };
    ensure!(!found(&whole).is_empty() && found(&merged) == found(&whole), "{:?}, {:?}", found(&merged), found(&whole));
    let (end, of_whole) = (merged.last().context("no line")?, whole.last().context("no line")?);
    for key in ["diverged", "cases", "findings", "signatures", "status"] {
        ensure!(end[key] == of_whole[key], "{key} is {}, not {}", end[key], of_whole[key]);
    }
    ensure!(end["signatures"][0]["times"] == 80, "{end}");
    ensure!(fs::read_dir(&keep)?.count() == found(&merged).len(), "a case for each finding");
    let text = merge(&parts, &[])?;
    for word in ["DIVERGENCE at the mount", "80 of 80 cases diverged", "80 times: at the mount"] {
        ensure!(text.expect(1)?.stdout.contains(word), "no '{word}' in {}", text.stdout);
    }
    Ok(())
}

fn what_is_not_one_campaign_is_2() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (parts, _) = shards(dir.path(), 1, &NEVER)?;
    let refused = |files: &[&str], words: &[&str]| -> Result<()> {
        let ended = ovlcheck(&[&["merge"], files].concat())?;
        ended.expect(2)?;
        for word in words {
            ensure!(ended.stderr.contains(word), "no '{word}' in {}", ended.stderr);
        }
        Ok(())
    };
    let [one, two, three] = [parts[0].as_str(), parts[1].as_str(), parts[2].as_str()];
    let text = fs::read_to_string(three)?;
    let changed = |name: &str, from: &str, to: &str| -> Result<String> {
        ensure!(text.contains(from), "no {from} in {text}");
        let path = dir.path().join(name);
        fs::write(&path, text.replace(from, to))?;
        Ok(path.display().to_string())
    };
    refused(&[one, two], &["no summary of shard 3/3"])?;
    refused(&[two], &["no summary of shard 1/3, 3/3"])?;
    refused(&[one, two, three, two], &["are both shard 2/3", two])?;
    refused(&[one, two, &changed("seed", "\"seed\":3", "\"seed\":4")?], &["differ in their seed: 3 and 4"])?;
    refused(&[one, two, &changed("count", "3/3", "3/4")?], &["is shard 1/3", "is shard 3/4", "not of one campaign"])?;
    refused(&[one, two, &changed("cases", "\"cases\":80", "\"cases\":90")?], &["differ in their campaign"])?;
    refused(&[one, two, &changed("format", "\"version\":1", "\"version\":2")?], &["version 2 of the format"])?;
    refused(&[one, two, &changed("program", "\"ovlcheck ", "\"ovlcheck 9")?], &["written by", "not \"ovlcheck "])?;
    let cut = dir.path().join("cut");
    fs::write(&cut, text.lines().take(1).chain(["{\"event\":\"progress\"}"]).collect::<Vec<_>>().join("\n"))?;
    refused(&[one, two, &cut.display().to_string()], &["the run did not end"])?;
    refused(&["/nonexistent"], &["/nonexistent: No such file"])?;
    fs::write(&cut, "no JSON\n")?;
    refused(&[&cut.display().to_string()], &["line 1: no JSON"])
}

fn a_shard_that_is_none_is_2() -> Result<()> {
    for (arguments, word) in [
        (&["--seed", "1", "--shard", "4/3"] as &[_], "'4/3' is no shard"),
        (&["--seed", "1", "--shard", "0/3"], "'0/3' is no shard"),
        (&["--shard", "1/3"], "--seed"),
        (&["--seed", "1", "--cases", "2", "--shard", "3/3"], "is empty: take fewer shards"),
    ] {
        let ended = ovlcheck(&[&["run"], arguments].concat())?;
        ended.expect(2)?;
        ensure!(ended.stderr.contains(word), "no '{word}' in {}", ended.stderr);
    }
    Ok(())
}

fn the_environment_names_the_shard() -> Result<()> {
    let program = binary(env!("CARGO_BIN_EXE_ovlcheck-suite"));
    let run = |variables: &[(&str, &str)]| {
        let all = ["run", "--plain", "--rootless", "--seed", "1", "--cases", "10", "--shard", "auto"];
        Program::start_with(&program, &all, variables)?.end()
    };
    let kubernetes = run(&[("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "3")])?;
    ensure!(kubernetes.expect(0)?.stdout.contains("seed 1, shard 2/3: 3 cases"), "{}", kubernetes.stdout);
    let gitlab = run(&[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "3")])?;
    ensure!(gitlab.expect(0)?.stdout.contains("seed 1, shard 1/3: 4 cases"), "{}", gitlab.stdout);
    let nothing = run(&[])?;
    ensure!(nothing.expect(2)?.stderr.contains("CI_NODE_INDEX"), "{}", nothing.stderr);
    Ok(())
}
