//! `ovlcheck resolve`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{DIVERGED, HELD, refuse, say, say_raw};
use crate::exec::{ExecError, read_tree};
use crate::report;
use crate::resolve::{LayerTree, Rules, differences, resolve as resolve_layers};
use crate::trace::{Privilege, TreeSeen};

/// Differences that are printed.
const SHOWN: usize = 20;

pub(super) const EXAMPLES: &str = "\
Examples:
  ovlcheck resolve --lower image/ --upper diff/                   what a mount of them must show
  ovlcheck resolve --lower top/ --lower base/                     of two layers without an upper one
  ovlcheck resolve --lower image/ --upper diff/ --merged merged/  is the mount at merged/ just that?

Nothing is mounted or written. As an ordinary user only user.overlay.* xattrs can be read: --userxattr.";

/// What `ovlcheck resolve` takes.
#[derive(Debug, Clone, Args)]
pub(super) struct ResolveArgs {
    /// A lower layer; given more than once, the top-most first.
    #[arg(long, value_name = "DIR", required = true)]
    lower: Vec<PathBuf>,
    /// The upper layer.
    #[arg(long, value_name = "DIR")]
    upper: Option<PathBuf>,
    /// Compare with this merged view, which somebody else mounted.
    #[arg(long, value_name = "DIR")]
    merged: Option<PathBuf>,
    /// Private xattrs are user.overlay.*, and redirects are not followed, as with the mount option.
    #[arg(long)]
    userxattr: bool,
    /// Do not follow redirects, as with redirect_dir=nofollow.
    #[arg(long)]
    nofollow: bool,
    /// The layers were mounted with index=on, which keeps hard links of lower files together elsewhere.
    #[arg(long)]
    index: bool,
}

pub(super) fn resolve(args: &ResolveArgs) -> u8 {
    match run(args) {
        Ok(status) => status,
        Err(e) => refuse(&e),
    }
}

fn run(args: &ResolveArgs) -> Result<u8, ExecError> {
    let privilege = if args.userxattr { Privilege::Rootless } else { Privilege::Root };
    let read = |dir: &PathBuf| read_tree(dir.as_path(), privilege);
    // The view first: looking there may change marks of the upper layer.
    let merged = args.merged.as_ref().map(read).transpose()?;
    let trees = args.upper.iter().chain(&args.lower).map(read).collect::<Result<Vec<TreeSeen>, _>>()?;
    let layers: Vec<LayerTree<'_>> = trees.iter().map(|tree| LayerTree::new(tree)).collect();
    let follow_redirects = !args.userxattr && !args.nofollow;
    let entries = resolve_layers(
        &layers,
        Rules { follow_redirects, refuse_late: false, xattr_whiteouts: true, metacopy: true, index: args.index },
    );
    let Some(merged) = merged else {
        say_raw!("{}", report::resolved(&entries, args.upper.is_some()));
        return Ok(HELD);
    };
    let found = differences(&entries, &merged);
    let name = args.merged.as_deref().unwrap_or(Path::new("")).display();
    if found.is_empty() {
        say!("{name}: is what its layers make, {} entries", merged.len());
        return Ok(HELD);
    }
    for d in found.iter().take(SHOWN) {
        let path = if d.path.is_empty() { "the root".to_owned() } else { d.path.to_string() };
        say!("{path}: {}: the layers make {}, the view shows {}", d.field, d.expected, d.seen);
    }
    if found.len() > SHOWN {
        say!("and {} more", found.len() - SHOWN);
    }
    Ok(DIVERGED)
}
