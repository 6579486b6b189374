//! A case as a shell script that needs nothing of ovlcheck: it makes the layers with coreutils, mounts
//! with `mount`, makes the calls with a few lines of Python, and compares what it sees with what the
//! model says.
//!
//! The script works on a tmpfs in a mount namespace of its own, and its steps run with the merged tree
//! as root directory, so it is as safe as a worker.

mod calls;
mod layers;
mod quote;

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::case::{Case, Layer};
use crate::check::{Divergence, Oracle};
use crate::exec::TargetSpec;
use crate::model::Clause;
use crate::step::{Actor, Op, Step};
use crate::story::{self, Chapter, Line, Story};
use crate::trace::{Environment, Filesystem, Privilege, Side};
use quote::{py, py_text};

/// The part that makes the calls.
const HELPER: &str = include_str!("helper.py");

/// How long a script may take before the kernel ends it, in seconds.
const ALARM: u32 = 120;

/// What a script cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no script for this case: {0}")]
pub struct Refused(String);

impl Refused {
    fn new(why: impl Into<String>) -> Refused {
        Refused(why.into())
    }
}

/// The script of a case. The model, with `fault` broken in it if one is given, says what is expected in
/// this environment.
///
/// # Errors
/// When a step, an option or the environment is one that scripts do not know.
pub fn export(
    case: &Case,
    environment: &Environment,
    target: &TargetSpec,
    fault: Option<Clause>,
) -> Result<String, Refused> {
    check_options(case)?;
    let story = story::expected(case, environment, fault);
    let rootless = environment.privilege == Privilege::Rootless;
    let filesystem = Filesystem::named(&environment.filesystem)
        .ok_or_else(|| Refused::new(format!("layers on '{}'", environment.filesystem)))?;
    let mut out = String::new();
    head(&mut out, case, environment, fault);
    let mut prelude = PRELUDE
        .replace("@ROOT@", if rootless { "" } else { NEEDS_ROOT })
        .replace("@UNSHARE@", unshare(rootless, target))
        .replace("@LAYERS@", &disks(filesystem, case));
    if matches!(target, TargetSpec::Plain) {
        prelude = prelude.replace(PROBE, "");
    }
    out += &prelude.replace("@USERXATTR@", if rootless { ",userxattr" } else { "" });
    out += "# ---- the layers, top-most lower layer first\n";
    let names: Vec<String> = case.lowers.iter().enumerate().map(|(index, layer)| lower_name(index, layer)).collect();
    for (name, layer) in names.iter().zip(&case.lowers) {
        layers::make(&mut out, name, layer, rootless)?;
    }
    layers::make(&mut out, "upper", &case.upper, rootless)?;
    out += "mkdir -m 0755 work merged\n\n";
    let words = mount_words(target, case, rootless)?;
    let _ = writeln!(out, "# ---- what must be seen\ncat > expected <<'END OF EXPECTED'");
    out += &transcript(case, &story);
    out += "END OF EXPECTED\n\n";
    out += "# ---- the steps: each one system call, made with the merged tree as root directory\n";
    out += "cat > steps.py <<'END OF STEPS'\n";
    out += HELPER;
    let lowers: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let plain = matches!(target, TargetSpec::Plain);
    let _ = writeln!(
        out,
        "\nworld = World({}, [{}], {}, {}, {ALARM})",
        py(layers::prefix(rootless)),
        lowers.join(", "),
        if plain { "None".to_owned() } else { format!("[{}]", words.join(", ")) },
        if matches!(target, TargetSpec::Command(_)) { "True" } else { "False" },
    );
    for (index, (step, chapter)) in case.steps.iter().zip(&story.steps).enumerate() {
        out += &step_line(index, step, chapter)?;
    }
    // The step whose mount must be refused.
    let last = case.steps.get(story.steps.len()).filter(|s| matches!(s.op, Op::Remount | Op::Rotate));
    if let (Some(_), Some(step)) = (story.refused, last) {
        out += &step_line(story.steps.len(), step, &Chapter::default())?;
    }
    let _ = writeln!(out, "world.end({})", if story.last.is_some() { "True" } else { "False" });
    out += "END OF STEPS\n";
    out += VERDICT;
    Ok(out)
}

/// Why a script of the case will not show this divergence, if it will not.
pub fn silent_about(divergence: &Divergence) -> Option<&'static str> {
    match divergence.field.as_str() {
        "ino" | "d_ino" | "dev" => Some("scripts do not compare inode and device numbers"),
        "names" if divergence.operation == "getdents64" => {
            Some("scripts compare no entries of getdents64, whose order is the kernel's to choose")
        }
        "atime" | "ctime" => Some("scripts compare no times but mtime"),
        "blocks" => Some("scripts do not compare how many blocks a file takes"),
        "d_off" => Some("scripts do not compare the positions of entries"),
        r#"xattr "@origin""# | r#"xattr "@uuid""# | r#"xattr "@upper""#
            if divergence.expected != "none" && divergence.seen != "none" =>
        {
            Some("scripts do not compare handles and uuids")
        }
        _ => match divergence.oracle {
            Oracle::Layers => Some("scripts do not resolve layers"),
            Oracle::Image => Some("scripts make no images"),
            Oracle::Plain => Some("scripts know the model's expectation, not what a plain filesystem did"),
            Oracle::CaseFile => Some("scripts know the model's expectation, not what a case file asserts"),
            _ => None,
        },
    }
}

/// The options that name layers are the script's own to give.
fn check_options(case: &Case) -> Result<(), Refused> {
    for option in &case.options {
        let key = option.split('=').next().unwrap_or("").trim_end_matches('+');
        let ours = key.ends_with("dir") && key != "redirect_dir" || matches!(key, "source" | "userxattr");
        if ours || option.contains(',') {
            return Err(Refused::new(format!("mount option '{option}'")));
        }
    }
    Ok(())
}

/// Text in a comment of one line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn head(out: &mut String, case: &Case, environment: &Environment, fault: Option<Clause>) {
    let title = if case.title.is_empty() { "a case of ovlcheck".to_owned() } else { comment(&case.title) };
    let _ = writeln!(out, "#!/bin/sh\n# {title}\n#");
    let _ = writeln!(
        out,
        "# Expected by ovlcheck {} for {} on {}, {}, Linux {}.",
        env!("CARGO_PKG_VERSION"),
        comment(&environment.target),
        comment(&environment.filesystem),
        if environment.privilege == Privilege::Root { "as root" } else { "in a user namespace" },
        comment(&environment.kernel),
    );
    if let Some(fault) = fault {
        let _ = writeln!(out, "# The expectation is WRONG ON PURPOSE in clause {fault}.");
    }
    out.push_str(
        "# Exit status: 0 all as expected, 1 it differs, 3 it cannot run here. Works on a tmpfs in a mount\n\
         # namespace of its own; needs unshare and mount (util-linux), coreutils, diff and python3. Inode\n\
         # numbers, atime, ctime, file handles and uuids are not compared.\n#\n\
         # The case:\n",
    );
    for line in case.to_string().lines() {
        let _ = writeln!(out, "#   {}", comment(line));
    }
}

fn unshare(rootless: bool, target: &TargetSpec) -> &'static str {
    // A program that serves the mount must go with the script: it lives in a process id namespace.
    match (rootless, matches!(target, TargetSpec::Command(_))) {
        (false, false) => "unshare -m",
        (false, true) => "unshare -m -p -f --kill-child",
        (true, false) => "unshare -U -r -m",
        (true, true) => "unshare -U -r -m -p -f --kill-child",
    }
}

/// Where a lower layer lies.
fn lower_name(index: usize, layer: &Layer) -> String {
    match layer.filesystem() {
        0 => format!("l{index}"),
        on => format!("on{}/l{index}", on + 1),
    }
}

/// What makes the filesystems that layers lie on, one for each that the case speaks of.
fn disks(filesystem: Filesystem, case: &Case) -> String {
    let mut all = disk(filesystem, "layers", "disk");
    let others: BTreeSet<usize> = case.lowers.iter().map(Layer::filesystem).filter(|on| *on != 0).collect();
    for on in others.into_iter().map(|on| on + 1) {
        let place = format!("layers/on{on}");
        all.push('\n');
        all += &match filesystem {
            Filesystem::Tmpfs => {
                format!("mkdir {place} && mount -t tmpfs -o noatime,mode=0755 tmpfs {place} || exit 3")
            }
            _ => disk(filesystem, &place, &format!("disk{on}")),
        };
    }
    all
}

/// What puts layers on a disk in memory.
fn disk(filesystem: Filesystem, place: &str, disk: &str) -> String {
    let mkfs = match filesystem {
        Filesystem::Tmpfs => return format!("mkdir {place} || exit 3"),
        Filesystem::Ext4 => "mkfs.ext4 -q -F -b 4096 -I 256 -E lazy_itable_init=0,lazy_journal_init=0",
        Filesystem::Xfs => "mkfs.xfs -q -f -K",
        Filesystem::Btrfs => "mkfs.btrfs -q -f -K -m single -d single",
    };
    format!(
        "PATH=$PATH:/usr/sbin:/sbin\nmkdir {place} && truncate -s 512M {disk} && {mkfs} {disk} >&2 &&\n    \
         mount -o loop,noatime {disk} {place} || {{ echo \"cannot make and mount {}\" >&2; exit 3; }}",
        filesystem.name()
    )
}

/// The words of the command that mounts, for Python, with `{lowerdir}`, `{upperdir}`, `{workdir}` and
/// `{merged}` still in them.
fn mount_words(target: &TargetSpec, case: &Case, rootless: bool) -> Result<Vec<String>, Refused> {
    let options: String = case.options.iter().map(|o| format!(",{o}")).collect();
    Ok(match target {
        TargetSpec::Plain => Vec::new(),
        TargetSpec::Library(name) => {
            return Err(Refused::new(format!("the target '{name}', a library that no script can call")));
        }
        TargetSpec::Relay { name, .. } => {
            return Err(Refused::new(format!("the targets {name}, of which a script mounts one alone")));
        }
        TargetSpec::Kernel => {
            let user = if rootless { ",userxattr" } else { "" };
            let quiet = if case.options.iter().any(|o| o == "strictatime") { "" } else { "noatime," };
            let all = format!("{quiet}lowerdir={{lowerdir}},upperdir={{upperdir}},workdir={{workdir}}{options}{user}");
            ["mount", "-t", "overlay", "overlay", "-o", &all, "{merged}"].map(py_text).to_vec()
        }
        TargetSpec::Command(template) => {
            if !options.is_empty() && !template.contains("{options}") {
                return Err(Refused::new("the command of the target has no place for the case's options"));
            }
            template.split_whitespace().map(|w| py_text(&w.replace("{options}", &options))).collect()
        }
    })
}

/// A line of the transcript.
fn look_line(line: &Line) -> String {
    format!("  {}: {}\n", line.place(), line.text)
}

/// What the steps must print.
fn transcript(case: &Case, story: &Story) -> String {
    let mut out = String::new();
    for (index, (step, chapter)) in case.steps.iter().zip(&story.steps).enumerate() {
        let _ = writeln!(out, "{}. {} = {}", index + 1, bare(step), chapter.outcome);
        out.extend(chapter.looks.iter().map(look_line));
        out.extend(chapter.trees.iter().flat_map(|t| &t.lines).map(look_line));
    }
    if let Some(trees) = &story.last {
        out.push_str("at the end\n");
        out.extend(trees.lines.iter().map(look_line));
    }
    out.push_str(if story.refused.is_some() { "the mount is refused\n" } else { "lower layers unchanged\n" });
    out
}

/// The step without what its author asserts.
fn bare(step: &Step) -> Step {
    Step { expect: None, ..step.clone() }
}

fn step_line(index: usize, step: &Step, chapter: &Chapter) -> Result<String, Refused> {
    if step.thread != 0 {
        return Err(Refused::new(format!("step {} is made by another thread", index + 1)));
    }
    let actor = match step.actor {
        Actor::Root => String::new(),
        Actor::Bare => ", actor=\"bare\"".to_owned(),
        other => format!(", actor=({}, {}, {:?})", other.uid(), other.gid(), other.groups()),
    };
    let anything = if chapter.outcome == story::ANYTHING { ", anything=True" } else { "" };
    let merged = chapter.looks.iter().filter(|l| l.side == Side::Merged);
    let paths: Vec<String> = merged.map(|l| py(l.path.as_slice())).collect();
    let looks = if paths.is_empty() { String::new() } else { format!(", looks=[{}]", paths.join(", ")) };
    let call = calls::call_of(&step.op)?;
    let text = py_text(&format!("{}. {}", index + 1, bare(step)));
    let look = match &step.op {
        Op::Observe => ", trees=\"some\"",
        Op::Remount | Op::Rotate => ", trees=\"all\"",
        _ => "",
    };
    Ok(format!("world.step({text}, {call}{looks}{look}{actor}{anything})\n"))
}

const NEEDS_ROOT: &str = "[ \"$(id -u)\" -eq 0 ] || { echo \"this script needs root\" >&2; exit 3; }\n";

/// A mount that any overlay must manage, so that what fails after it is the case's own.
const PROBE: &str = "mkdir probe probe/l probe/u probe/w probe/m || exit 3
mount -t overlay overlay -o lowerdir=probe/l,upperdir=probe/u,workdir=probe/w@USERXATTR@ probe/m ||
    { echo \"no overlay can be mounted here\" >&2; exit 3; }
umount probe/m && rm -r probe || exit 3
";

const PRELUDE: &str = "
if [ \"$1\" != inside ]; then
    @ROOT@    for tool in unshare mount python3 diff; do
        command -v $tool >/dev/null || { echo \"$tool is not installed\" >&2; exit 3; }
    done
    @UNSHARE@ true || { echo \"no namespaces of its own here\" >&2; exit 3; }
    place=$(mktemp -d) || exit 3
    trap 'rmdir \"$place\"' EXIT
    trap 'exit 130' INT TERM
    @UNSHARE@ /bin/sh \"$0\" inside \"$place\"
    exit $?
fi
export LC_ALL=C
umask 022
mount -t tmpfs -o noatime,mode=0755 tmpfs \"$2\" && cd \"$2\" || exit 3
@LAYERS@
cd layers || exit 3
mkdir probe probe/l probe/u probe/w probe/m || exit 3
mount -t overlay overlay -o lowerdir=probe/l,upperdir=probe/u,workdir=probe/w@USERXATTR@ probe/m ||
    { echo \"no overlay can be mounted here\" >&2; exit 3; }
umount probe/m && rm -r probe || exit 3

# setx PATH NAME VALUE: an xattr; the value as Python writes bytes
setx() {
    python3 -c 'import os, sys
os.setxattr(os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), eval(sys.argv[3]), follow_symlinks=False)' \"$@\"
}
# Whatever fails from here on to the steps is no answer.
set -e
trap 'status=$?; [ $status -eq 0 ] || echo \"the layers cannot be made here\" >&2; [ $status -eq 0 ] || exit 3' EXIT

";

const VERDICT: &str = "
set +e
trap - EXIT
python3 steps.py > seen
status=$?
[ $status -ne 3 ] || exit 3
[ $status -eq 0 ] || echo \"the steps ended early: status $status\" >> seen
if diff -U 1000 expected seen > difference; then
    cat seen
    echo \"all as expected\"
    exit 0
fi
# Expected lines begin with -, seen ones with +.
sed 1,3d difference
echo \"this is not as expected: - is expected, + is seen\"
exit 1
";
