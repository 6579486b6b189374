//! A merged tree as the layer resolver made it, one entry a line.

use std::fmt::Write;

use crate::resolve::{Entry, Found};
use crate::trace::{Content, Kind};

/// The tree, one entry a line: type, mode, owner, size, path, and the layers it comes from.
pub fn resolved(entries: &[Entry<'_>], upper: bool) -> String {
    let mut out = String::new();
    for entry in entries {
        let path = if entry.path.is_empty() { ".".to_owned() } else { entry.path.to_string() };
        let _ = match &entry.found {
            Found::Node { top, layers, data, .. } => {
                let layers: Vec<String> = layers.iter().map(|&l| layer(l, upper)).collect();
                let s = &top.stat;
                let size = if s.kind == Kind::Dir { String::new() } else { s.size.to_string() };
                let owner = format!("{}:{}", s.uid, s.gid);
                let mut target = String::new();
                if let (Kind::Symlink, Some(Content::Bytes(to))) = (s.kind, data) {
                    target = format!(" -> {to}");
                }
                let kind = format!("{:?}", s.kind).to_lowercase();
                let from = layers.join(", ");
                writeln!(out, "{kind:<8} {:04o} {owner:>9} {size:>9}  {path}{target}  [{from}]", s.mode)
            }
            Found::Refused(errno) => writeln!(out, "{:<38}  {path}", errno.to_string()),
            Found::Unknown => writeln!(out, "{:<38}  {path}", "cannot be read"),
            Found::Whiteout => Ok(()),
        };
    }
    out
}

fn layer(index: usize, upper: bool) -> String {
    match (index, upper) {
        (0, true) => "upper".to_owned(),
        (n, true) => format!("lower {n}"),
        (n, false) => format!("lower {}", n + 1),
    }
}
