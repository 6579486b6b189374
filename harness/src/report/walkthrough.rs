//! A container's layers side by side: lower, upper, merged, as far as they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::bytes::Bytes;
use crate::container::diff_and_apply;
use crate::exec::container::Ran;
use crate::resolve::{Difference, Found, LayerTree, Rules, compare, resolve};
use crate::trace::{Content, Kind, Privilege, Seen, TreeSeen};

/// The widest column, in characters.
const WIDEST: usize = 34;

/// How many entries that a whiteout or an opaque directory hides are shown, of each directory.
const HIDDEN_SHOWN: usize = 5;

/// One column: what is at each path.
type Column = BTreeMap<Bytes, Seen>;

/// The layers of a container after its program, and the layer resolver's verdict; and where the merged view is
/// not what its layers make, if so.
pub fn walkthrough(ran: &Ran, privilege: Privilege) -> (String, Option<Difference>) {
    let rules = Rules {
        follow_redirects: privilege == Privilege::Root,
        refuse_late: false,
        xattr_whiteouts: true,
        metacopy: true,
        index: false,
    };
    let lowers: Vec<LayerTree<'_>> = ran.lowers.iter().map(|tree| LayerTree::new(tree)).collect();
    let lower: Column = resolve(&lowers, rules)
        .into_iter()
        .filter_map(|e| match e.found {
            Found::Node { top, .. } => Some((e.path, top.clone())),
            _ => None,
        })
        .collect();
    let mut stack = vec![LayerTree::new(&ran.upper)];
    stack.extend(ran.lowers.iter().map(|tree| LayerTree::new(tree)));
    let made = resolve(&stack, rules);
    let difference = compare(&made, &ran.merged);
    let mut out = table(&lower, &column(&ran.upper), &column(&ran.merged));
    let _ = match &difference {
        None => writeln!(out, "\nlayer resolver: merged is what these layers make, {} entries", ran.merged.len()),
        Some(d) => writeln!(
            out,
            "\nlayer resolver: merged is NOT what these layers make: {}: {}: the layers make {}, merged shows {}",
            if d.path.is_empty() { "the root".to_owned() } else { d.path.to_string() },
            d.field,
            d.expected,
            d.seen
        ),
    };
    let applied = diff_and_apply(&ran.lowers, &ran.upper, &ran.merged, rules);
    let _ = match &applied {
        Ok(None) => {
            writeln!(out, "diff and apply: the upper layer as one of an OCI image, unpacked over lower, is merged")
        }
        Ok(Some(d)) => writeln!(
            out,
            "diff and apply: the upper layer as one of an OCI image, unpacked over lower, is NOT merged: {}: {}: unpacked {}, merged {}",
            if d.path.is_empty() { "the root".to_owned() } else { d.path.to_string() },
            d.field,
            d.expected,
            d.seen
        ),
        Err(e) => writeln!(out, "diff and apply: no OCI image can say it: {e}"),
    };
    (out, difference.or(applied.ok().flatten()))
}

fn column(tree: &TreeSeen) -> Column {
    tree.iter().filter_map(|n| Some((n.path.clone(), n.seen.clone().ok()?))).collect()
}

/// A row: its place, and the three cells.
type Row = (usize, [String; 3]);

fn table(lower: &Column, upper: &Column, merged: &Column) -> String {
    let mut rows: Vec<Row> = Vec::new();
    rows_of(&Bytes::default(), 0, [lower, upper, merged], &mut rows);
    let cell = |depth: usize, text: &str| {
        let text = if text.is_empty() { String::new() } else { format!("{:1$}{text}", "", 2 * depth) };
        if text.chars().count() <= WIDEST {
            return text;
        }
        text.chars().take(WIDEST - 1).chain(['…']).collect()
    };
    let cells: Vec<[String; 3]> = rows.iter().map(|(depth, row)| [0, 1, 2].map(|n| cell(*depth, &row[n]))).collect();
    let width = |n: usize, title: &str| cells.iter().map(|c| c[n].chars().count()).max().unwrap_or(0).max(title.len());
    let (left, middle) = (width(0, "lower"), width(1, "upper"));
    let mut out = String::new();
    for [l, u, m] in std::iter::once(&["lower", "upper", "merged"].map(str::to_owned)).chain(&cells) {
        let line = format!("{l:<left$}   {u:<middle$}   {m}");
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// The rows below a directory that is in the upper layer.
fn rows_of(dir: &Bytes, depth: usize, columns: [&Column; 3], rows: &mut Vec<Row>) {
    let [lower, upper, merged] = columns;
    let names: BTreeSet<Bytes> = columns.iter().flat_map(|c| children(c, dir)).collect();
    let (mut same, mut hidden) = (0, 0);
    for name in &names {
        let path = dir.join(name);
        let (l, u, m) = (lower.get(&path), upper.get(&path), merged.get(&path));
        let text = |seen: Option<&Seen>| seen.map_or(String::new(), |s| plain(name, s));
        match (l, u, m) {
            (_, Some(up), _) => {
                rows.push((depth, [text(l), marked(name, up, l), text(m)]));
                if up.stat.kind == Kind::Dir {
                    rows_of(&path, depth + 1, columns, rows);
                } else if l.is_some_and(|s| s.stat.kind == Kind::Dir) {
                    hidden_rows(&path, depth + 1, lower, rows);
                }
            }
            (Some(_), None, None) => {
                hidden += 1;
                if hidden <= HIDDEN_SHOWN {
                    rows.push((depth, [text(l), String::new(), String::new()]));
                }
            }
            _ => same += 1,
        }
    }
    if hidden > HIDDEN_SHOWN {
        rows.push((depth, [format!("and {} more", hidden - HIDDEN_SHOWN), String::new(), String::new()]));
    }
    if same > 0 {
        let more = format!("({same} more)");
        rows.push((depth, [more.clone(), String::new(), more]));
    }
}

/// What lies below a lower directory that something in the upper layer stands for.
fn hidden_rows(dir: &Bytes, depth: usize, lower: &Column, rows: &mut Vec<Row>) {
    let names: Vec<Bytes> = children(lower, dir).collect();
    for name in names.iter().take(HIDDEN_SHOWN) {
        if let Some(seen) = lower.get(&dir.join(name)) {
            rows.push((depth, [plain(name, seen), String::new(), String::new()]));
        }
    }
    if names.len() > HIDDEN_SHOWN {
        rows.push((depth, [format!("and {} more", names.len() - HIDDEN_SHOWN), String::new(), String::new()]));
    }
}

/// The names in a directory.
fn children<'a>(column: &'a Column, dir: &'a Bytes) -> impl Iterator<Item = Bytes> + 'a {
    column.keys().filter(move |p| !p.is_empty()).filter_map(move |p| {
        let (parent, name) = p.split_last();
        (parent == dir.as_slice()).then(|| Bytes::from(name))
    })
}

/// A node by its name.
fn plain(name: &Bytes, seen: &Seen) -> String {
    match (seen.stat.kind, &seen.content) {
        (Kind::Dir, _) => format!("{name}/"),
        (Kind::Symlink, Content::Bytes(to)) => format!("{name} -> {to}"),
        (Kind::Char, _) => format!("{name}  c {}, {}", seen.stat.rdev.0, seen.stat.rdev.1),
        (Kind::Block, _) => format!("{name}  b {}, {}", seen.stat.rdev.0, seen.stat.rdev.1),
        _ => name.to_string(),
    }
}

/// A node of the upper layer, with what it is to the lower ones.
fn marked(name: &Bytes, seen: &Seen, lower: Option<&Seen>) -> String {
    let text = plain(name, seen);
    if seen.stat.kind == Kind::Char && seen.stat.rdev == (0, 0) {
        return format!("{text}  whiteout");
    }
    let has =
        |wanted: &str| seen.xattrs.iter().flatten().any(|(n, v)| *n == Bytes::from(wanted) && v.as_slice() == b"y");
    if seen.stat.kind == Kind::Dir && has("@opaque") {
        return format!("{text}  opaque");
    }
    if lower.is_some_and(|l| l.stat.kind == seen.stat.kind) {
        format!("{text}  copied up")
    } else {
        format!("{text}  new")
    }
}
