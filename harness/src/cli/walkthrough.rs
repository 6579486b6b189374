//! `ovlcheck walkthrough`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CANNOT, DIVERGED, HELD, USAGE, refuse};
use super::{say, say_raw};
use crate::container::{minirootfs, read_image, static_busybox};
use crate::exec::container::{Container, IMAGE, Program, TOUR, run_containers};
use crate::report;
use crate::trace::Privilege;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck walkthrough                                       the tour of the tutorials
  ovlcheck walkthrough --two                                 two containers, and one on top of the first
  ovlcheck walkthrough -- sh -c 'rm /bin/ls; ls / > /tmp/x'  any program
  ovlcheck walkthrough --lower alpine-minirootfs.tar.gz -- /bin/sh
  ovlcheck walkthrough --lower image/ --export layer.tar     an OCI image layout; the upper layer as one of an image

Everything happens in private namespaces and in memory; nothing is left behind. Programs need a static
busybox (Debian: busybox-static) or --lower; without both ovlcheck makes the calls of the tour itself. It is
no sandbox: what runs as root in a chroot can leave it, so run what you trust.

Exit status: 0 merged is what the layers make, 1 it is not, 2 a hostile or broken archive, 3 not possible here.";

/// What `ovlcheck walkthrough` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct WalkthroughArgs {
    /// What is below: an OCI image layout (a directory, or a tar archive of one), or a root filesystem as a tar
    /// archive; archives and layers may be compressed with gzip, xz or zstd.
    #[arg(long, value_name = "IMAGE")]
    lower: Option<PathBuf>,
    /// Write the upper layer, of several containers that of the last, as a layer of an OCI image.
    #[arg(long, value_name = "LAYER.tar")]
    export: Option<PathBuf>,
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
        None => vec![minirootfs(busybox)],
        Some(path) => match read_image(path) {
            Ok(layers) => layers,
            Err(e) => {
                eprintln!("ovlcheck: {e}");
                return USAGE;
            }
        },
    };
    if privilege == Privilege::Rootless {
        // One uid is mapped, and everything belongs to it; of xattrs it may set its own.
        for entry in image.iter_mut().flat_map(|layer| &mut layer.entries) {
            (entry.node.uid, entry.node.gid) = (0, 0);
            entry.node.xattrs.retain(|(name, _)| name.starts_with(b"user.") || name.starts_with(b"@"));
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
        return CANNOT;
    }
    let export = match args.export.as_ref().map(|path| std::fs::File::create(path).map_err(|e| (path, e))) {
        None => None,
        Some(Ok(file)) => Some(file.into()),
        Some(Err((path, e))) => {
            eprintln!("ovlcheck: cannot write {}: {e}", path.display());
            return CANNOT;
        }
    };
    let all = match run_containers(&image, &containers, privilege, export.as_ref()) {
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
