//! What a case file asserts itself: results after steps, trees after the last one.
//!
//! These assertions need no model; they are what its author wrote down.

use std::collections::BTreeMap;

use super::compare::IGNORED_XATTRS;
use super::divergence::{Divergence, Oracle, Place};
use crate::acl::ValueText;
use crate::bytes::Bytes;
use crate::case::{Case, ExpectedEntry, ExpectedKind, ExpectedTree};
use crate::step::{Device, Expected};
use crate::trace::{Content, DirEntry, Kind, Outcome, Seen, Side, Trace, TreeSeen, Value};

/// The first assertion of the case file that the trace breaks, or that it ended before.
pub fn check_expectations(case: &Case, trace: &Trace) -> Option<Divergence> {
    for (index, (step, record)) in case.steps.iter().zip(&trace.steps).enumerate() {
        if let Some(expected) = &step.expect {
            if !agrees(expected, &record.outcome) {
                return Some(Divergence {
                    operation: step.op.name(),
                    ..broken(Place::Step(index), "result", show(expected), show_outcome(&record.outcome))
                });
            }
        }
    }
    // What never ran has not been seen to hold.
    let unmet = |place, what: &str| broken(place, "result", what.to_owned(), "an end before it".to_owned());
    for (index, step) in case.steps.iter().enumerate().skip(trace.steps.len()) {
        if let Some(expected) = &step.expect {
            return Some(Divergence { operation: step.op.name(), ..unmet(Place::Step(index), &show(expected)) });
        }
    }
    let Some(last) = &trace.last else {
        return (!case.expect.is_empty()).then(|| unmet(Place::End, "a look at the trees"));
    };
    for tree in &case.expect {
        let seen = match tree.side {
            Side::Merged => &last.merged,
            Side::Upper => &last.upper,
            Side::Work => &last.work,
        };
        if let Some((path, field, expected, found)) = check_tree(tree, seen) {
            return Some(Divergence { path, ..broken(Place::End, &field, expected, found) });
        }
    }
    None
}

fn broken(place: Place, field: &str, expected: String, seen: String) -> Divergence {
    Divergence {
        place,
        oracle: Oracle::CaseFile,
        operation: "end",
        rule: None,
        in_play: Vec::new(),
        path: Bytes::default(),
        field: field.to_owned(),
        expected,
        seen,
    }
}

fn agrees(expected: &Expected, outcome: &Outcome) -> bool {
    match (expected, outcome) {
        (Expected::Ok, Outcome::Ok(_)) => true,
        (Expected::Count(n), Outcome::Ok(Value::Count(seen))) => n == seen,
        (Expected::Count(n), Outcome::Ok(Value::Bytes(seen))) => *n == seen.len() as u64,
        (Expected::Bytes(b), Outcome::Ok(Value::Bytes(seen))) => b == seen,
        (Expected::Names(names), Outcome::Ok(Value::List(seen))) => {
            let mut names: Vec<&Bytes> = names.iter().collect();
            names.sort();
            names.into_iter().eq(seen.iter().map(|e| &e.name))
        }
        (Expected::Names(names), Outcome::Ok(Value::Dents(seen))) => {
            let mut names: Vec<&Bytes> = names.iter().collect();
            names.sort();
            names.into_iter().eq(in_any_order(seen))
        }
        (Expected::Names(names), Outcome::Ok(Value::Names(seen))) => {
            let mut names: Vec<&Bytes> = names.iter().collect();
            names.sort();
            names.into_iter().eq(seen)
        }
        (Expected::Errno(e), Outcome::Err(seen)) => e == seen,
        _ => false,
    }
}

/// The names of entries but `.` and `..`, sorted.
fn in_any_order(entries: &[(DirEntry, i64)]) -> Vec<&Bytes> {
    let names = entries.iter().map(|(entry, _)| &entry.name);
    let mut names: Vec<&Bytes> = names.filter(|name| !matches!(name.as_slice(), b"." | b"..")).collect();
    names.sort();
    names
}

fn show(expected: &Expected) -> String {
    match expected {
        Expected::Ok => "success".to_owned(),
        Expected::Count(n) => n.to_string(),
        Expected::Bytes(b) => b.quoted().to_string(),
        Expected::Names(names) => show_names(names.iter()),
        Expected::Errno(e) => e.to_string(),
    }
}

fn show_names<'a>(names: impl Iterator<Item = &'a Bytes>) -> String {
    format!("[{}]", names.map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

fn show_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Err(e) => e.to_string(),
        Outcome::Ok(Value::Unit) => "success".to_owned(),
        Outcome::Ok(Value::Count(n)) => n.to_string(),
        Outcome::Ok(Value::Bytes(b)) => b.quoted().to_string(),
        Outcome::Ok(Value::Stat(s)) => format!("{:?} {:04o}", s.kind, s.mode),
        Outcome::Ok(Value::Filesystem(s)) => format!("a filesystem of type {:#x}", s.magic),
        Outcome::Ok(Value::Names(names)) => show_names(names.iter()),
        Outcome::Ok(Value::Dents(entries)) => show_names(in_any_order(entries).into_iter()),
        Outcome::Ok(Value::List(entries)) => show_names(entries.iter().map(|e| &e.name)),
    }
}

type Broken = (Bytes, String, String, String);

fn check_tree(tree: &ExpectedTree, seen: &TreeSeen) -> Option<Broken> {
    let places: BTreeMap<&Bytes, &Result<Seen, _>> = seen.iter().map(|n| (&n.path, &n.seen)).collect();
    for entry in &tree.entries {
        let at = |field: &str, expected: String, found: String| {
            Some((entry.path.clone(), field.to_owned(), expected, found))
        };
        match (&entry.kind, places.get(&entry.path)) {
            (None, None) => {}
            (None, Some(_)) => return at("presence", "nothing".to_owned(), "an entry".to_owned()),
            (Some(_), None) => return at("presence", "an entry".to_owned(), "nothing".to_owned()),
            (Some(_), Some(Err(e))) => return at("errno", "an entry".to_owned(), e.to_string()),
            (Some(kind), Some(Ok(node))) => {
                if let Some((field, expected, found)) = check_entry(entry, kind, node, tree.exact) {
                    return at(&field, expected, found);
                }
            }
        }
    }
    if tree.exact {
        let named = |path: &Bytes| {
            tree.entries.iter().any(|e| e.kind.is_some() && (e.path == *path || is_below(&e.path, path)))
        };
        if let Some((path, _)) = places.iter().find(|(p, _)| !p.is_empty() && !named(p)) {
            return Some(((*path).clone(), "presence".to_owned(), "nothing".to_owned(), "an entry".to_owned()));
        }
    }
    None
}

/// Whether `path` lies below `ancestor`.
fn is_below(path: &Bytes, ancestor: &Bytes) -> bool {
    path.len() > ancestor.len() && path.starts_with(ancestor) && path.as_slice()[ancestor.len()] == b'/'
}

fn check_entry(
    entry: &ExpectedEntry,
    kind: &ExpectedKind,
    node: &Seen,
    exact: bool,
) -> Option<(String, String, String)> {
    let differs = |field: &str, expected: String, found: String| Some((field.to_owned(), expected, found));
    let (wanted, device, content) = match kind {
        ExpectedKind::Dir => (Kind::Dir, None, None),
        ExpectedKind::File(data) => (Kind::File, None, data.as_ref().map(|d| crate::trace::content_of(d))),
        ExpectedKind::Symlink(target) => (Kind::Symlink, None, target.clone().map(Content::Bytes)),
        ExpectedKind::Fifo => (Kind::Fifo, None, None),
        ExpectedKind::Socket => (Kind::Socket, None, None),
        ExpectedKind::Char(d) => (Kind::Char, *d, None),
        ExpectedKind::Block(d) => (Kind::Block, *d, None),
        ExpectedKind::Whiteout => (Kind::Char, Some(Device::WHITEOUT), None),
    };
    let stat = &node.stat;
    if stat.kind != wanted {
        return differs("type", format!("{wanted:?}"), format!("{:?}", stat.kind));
    }
    if let Some(d) = device {
        if stat.rdev != (d.major(), d.minor()) {
            return differs("device", format!("{}:{}", d.major(), d.minor()), format!("{:?}", stat.rdev));
        }
    }
    if let Some(content) = content {
        if content != node.content {
            return differs("content", format!("{content:?}"), format!("{:?}", node.content));
        }
    }
    if entry.mode.is_some_and(|m| m != stat.mode) {
        return differs("mode", format!("{:04o}", entry.mode.unwrap_or_default()), format!("{:04o}", stat.mode));
    }
    if let Some((uid, gid)) = entry.owner {
        if (uid, gid) != (stat.uid, stat.gid) {
            return differs("owner", format!("{uid}:{gid}"), format!("{}:{}", stat.uid, stat.gid));
        }
    }
    if entry.nlink.is_some_and(|n| n != stat.nlink) {
        return differs("nlink", entry.nlink.unwrap_or_default().to_string(), stat.nlink.to_string());
    }
    if let Some(mtime) = entry.mtime {
        if mtime != stat.mtime {
            return differs("mtime", format!("{mtime:?}"), format!("{:?}", stat.mtime));
        }
    }
    for (name, value) in &entry.xattrs {
        let found = node.xattrs.iter().flatten().find(|(n, _)| n == name).map(|(_, v)| v);
        match (value, found) {
            (_, None) => return differs(&format!("xattr {name}"), "an xattr".to_owned(), "none".to_owned()),
            (Some(v), Some(f)) if v != f => {
                return differs(&format!("xattr {name}"), ValueText(v).to_string(), ValueText(f).to_string());
            }
            _ => {}
        }
    }
    if exact {
        let known = |name: &Bytes| {
            entry.xattrs.iter().any(|(n, _)| n == name)
                || IGNORED_XATTRS.iter().any(|i| i.as_bytes() == name.as_slice())
        };
        if let Some((name, value)) = node.xattrs.iter().flatten().find(|(n, _)| !known(n)) {
            return differs(&format!("xattr {name}"), "none".to_owned(), ValueText(value).to_string());
        }
    }
    None
}
