//! `ovlcheck walkthrough`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{DIVERGED, HELD, USAGE, refuse};
use super::{say, say_raw};
use crate::container::{minirootfs, read_archive_file, static_busybox};
use crate::exec::container::{Container, IMAGE, Program, TOUR, run_containers};
use crate::report;
use crate::trace::Privilege;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck walkthrough                                       the tour of the tutorials
  ovlcheck walkthrough --two                                 two containers, and one on top of the first
  ovlcheck walkthrough -- sh -c 'rm /bin/ls; ls / > /tmp/x'  any program
  ovlcheck walkthrough --lower alpine-minirootfs.tar.gz -- /bin/sh

Everything happens in private namespaces and in memory; nothing is left behind. Programs need a static
busybox (Debian: busybox-static) or --lower; without both ovlcheck makes the calls of the tour itself. It is
no sandbox: what runs as root in a chroot can leave it, so run what you trust.

Exit status: 0 merged is what the layers make, 1 it is not, 2 a hostile or broken archive, 3 not possible here.";

/// What `ovlcheck walkthrough` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct WalkthroughArgs {
    /// The lower layer: a root filesystem as FILE.tar, also compressed with gzip, xz or zstd.
    #[arg(long, value_name = "ROOTFS.tar")]
    lower: Option<PathBuf>,
    /// Run in a user namespace with `userxattr` although this is root.
    #[arg(long)]
    rootless: bool,
    /// Run two containers on the one lower layer, then commit the first and run a third on top of it.
    #[arg(long, conflicts_with = "command")]
    two: bool,
    /// Run this in the container instead of the tour.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) fn walkthrough(args: &WalkthroughArgs) -> u8 {
    let root = rustix::process::geteuid().is_root();
    let privilege = if root && !args.rootless { Privilege::Root } else { Privilege::Rootless };
    let busybox = if args.lower.is_none() { static_busybox() } else { None };
    let runs_programs = busybox.is_some() || args.lower.is_some();
    let mut image = match &args.lower {
        None => minirootfs(busybox),
        Some(path) => match read_archive_file(path) {
            Ok(layer) => layer,
            Err(e) => {
                eprintln!("ovlcheck: {e}");
                return USAGE;
            }
        },
    };
    if privilege == Privilege::Rootless {
        // One uid is mapped, and everything belongs to it.
        for entry in &mut image.entries {
            (entry.node.uid, entry.node.gid) = (0, 0);
        }
    }
    let shell = |text: &str| {
        if runs_programs {
            Program::Command(["/bin/sh", "-c", text].map(str::to_owned).to_vec())
        } else {
            Program::Tour
        }
    };
    let on = |name: &str, on: &[&str], program| Container {
        name: name.to_owned(),
        on: on.iter().map(|n| (*n).to_owned()).collect(),
        program,
    };
    let mut titles = Vec::new();
    let containers = if args.two {
        titles = ["first: on the image", "second: on the same image", "third: on the first, committed"].to_vec();
        vec![
            on("first", &[IMAGE], shell(TOUR)),
            on("second", &[IMAGE], shell("echo second > /home/hello.txt; rm -r /home; echo 2 >> /etc/motd")),
            on(
                "third",
                &["first", IMAGE],
                shell("cat /home/hello.txt >> /etc/motd; rm /home/hello.txt; touch /etc/apk/arch"),
            ),
        ]
    } else if args.command.is_empty() {
        vec![on("upper", &[IMAGE], shell(TOUR))]
    } else {
        vec![on("upper", &[IMAGE], Program::Command(args.command.clone()))]
    };
    if args.two && !runs_programs {
        eprintln!("ovlcheck: --two needs a static busybox; apt-get install busybox-static, or give --lower");
        return super::CANNOT;
    }
    let all = match run_containers(&image, &containers, privilege) {
        Ok(all) => all,
        Err(e) => return refuse(&e),
    };
    // What the program printed comes first.
    let _ = std::io::stdout().flush();
    let mut status = HELD;
    for (n, (container, ran)) in containers.iter().zip(&all).enumerate() {
        if let Some(title) = titles.get(n) {
            say!("{}==> {title}", if n == 0 { "" } else { "\n" });
        }
        match &container.program {
            Program::Command(words) if args.command.is_empty() => say!("# {}", words.last().map_or("", |w| w)),
            Program::Command(words) => say!("# {}", words.join(" ")),
            Program::Tour => say!("# {TOUR}\n(by ovlcheck itself: no static busybox here)"),
        }
        if ran.status != 0 {
            say!("(the program ended with status {})", ran.status);
        }
        let (text, difference) = report::walkthrough(ran, privilege);
        say_raw!("\n{text}");
        if difference.is_some() {
            status = DIVERGED;
        }
    }
    status
}
