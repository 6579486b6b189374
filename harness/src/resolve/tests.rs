//! The resolver on its own: it must see through corrupted upper layers, and know no model.

use super::{LayerTree, Rules, compare, differences, resolve};
use crate::bytes::Bytes;
use crate::case::{Case, Layer, NodeKind};
use crate::trace::{Content, Kind, NodeSeen, Seen, Stat, Time, TreeSeen};

const LATE: Rules = Rules { follow_redirects: false, refuse_late: true, ..FOLLOW };
const FOLLOW: Rules =
    Rules { follow_redirects: true, refuse_late: false, xattr_whiteouts: true, metacopy: true, index: false };

/// A layer as a look would see it, with what the text does not say made up.
fn tree(layer: &Layer) -> TreeSeen {
    let nodes = layer.resolved();
    let mut out: TreeSeen = Vec::new();
    for (path, node) in &nodes {
        let node = match &node.kind {
            NodeKind::Link(to) => &nodes.iter().find(|(p, _)| *p == to.as_slice()).expect("resolved").1,
            _ => node,
        };
        let (kind, content) = match &node.kind {
            NodeKind::File(data) => (Kind::File, Content::Bytes(data.clone())),
            NodeKind::Symlink(to) => (Kind::Symlink, Content::Bytes(to.clone())),
            other => (other.kind().expect("no link"), Content::None),
        };
        let rdev = match &node.kind {
            NodeKind::Char(d) | NodeKind::Block(d) => (d.major(), d.minor()),
            _ => (0, 0),
        };
        let size = if let Content::Bytes(data) = &content { data.len() as u64 } else { 0 };
        let stat = Stat {
            kind,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            nlink: if kind == Kind::Dir { 2 } else { 1 },
            size,
            rdev,
            ino: 0,
            dev: (0, 1),
            blocks: 0,
            atime: node.time,
            mtime: node.time,
            ctime: Time::default(),
        };
        let mut xattrs = node.xattrs.clone();
        xattrs.sort();
        let seen = Ok(Seen { stat, xattrs: Some(xattrs), content });
        out.push(NodeSeen { path: Bytes::from(*path), listed: kind, seen, list_error: None });
    }
    out.sort_by(|a, b| a.path.0.split(|&c| c == b'/').cmp(b.path.0.split(|&c| c == b'/')));
    out
}

/// The layers of a text that is written top down; the first section is the upper one if it says so.
fn parse(text: &str) -> Vec<TreeSeen> {
    let (upper, lowers) = match text.find("lower\n") {
        Some(at) if text.starts_with("upper\n") => text.split_at(at),
        _ => ("", text),
    };
    let text = format!("case \"\"\n{lowers}{upper}steps\n");
    let case: Case = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    std::iter::once(&case.upper).chain(&case.lowers).map(tree).collect()
}

fn layers(trees: &[TreeSeen]) -> Vec<LayerTree<'_>> {
    trees.iter().map(|t| LayerTree::new(t)).collect()
}

/// The tree that these layers make, as a look at a sound mount would see it.
fn sound(trees: &[TreeSeen], rules: Rules) -> TreeSeen {
    let stack = layers(trees);
    let mut out = Vec::new();
    for entry in resolve(&stack, rules) {
        let seen = match entry.found {
            super::Found::Node { top, layers, data, .. } => {
                let mut seen = top.clone();
                if layers.len() > 1 && seen.stat.kind == Kind::Dir {
                    seen.stat.nlink = 1;
                }
                seen.content = data.cloned().unwrap_or(Content::None);
                seen.xattrs.iter_mut().for_each(|x| x.retain(|(name, _)| !name.0.starts_with(b"@")));
                Ok(seen)
            }
            super::Found::Refused(e) => Err(e),
            super::Found::Whiteout | super::Found::Unknown => continue,
        };
        let listed = seen.as_ref().map_or(Kind::Dir, |s| s.stat.kind);
        out.push(NodeSeen { path: entry.path, listed, seen, list_error: None });
    }
    out
}

fn paths(trees: &[TreeSeen], rules: Rules) -> Vec<String> {
    sound(trees, rules).iter().filter(|n| !n.path.is_empty()).map(|n| n.path.to_string()).collect()
}

const LOWER: &str = "lower\n  dir d 0755\n  file d/gone \"1\"\n  file d/kept \"kept\"\n  dir d/sub\n  file d/sub/deep \"2\"\n  \
    dir old\n  file old/hidden \"3\"\n  file plain \"lower\"\n  symlink s -> plain\n  file was \"4\"\n";

const UPPER: &str = "upper\n  dir d 0700\n  whiteout d/gone\n  dir old opaque\n  file old/new \"5\"\n  \
    file plain \"upper\"\n  symlink s -> d\n  whiteout was\n  file fresh 0600 \"6\" user.a=b\n";

/// Changes of the upper layer behind everybody's back, and where the resolver must notice.
type Corruption = (&'static str, fn(&mut TreeSeen), &'static str, &'static str);

fn at<'t>(tree: &'t mut TreeSeen, path: &str) -> &'t mut Seen {
    let node = tree.iter_mut().find(|n| n.path.as_slice() == path.as_bytes()).expect("is in the table's layers");
    node.seen.as_mut().expect("was seen")
}

fn drop_at(tree: &mut TreeSeen, path: &str) {
    let below = format!("{path}/");
    tree.retain(|n| n.path.as_slice() != path.as_bytes() && !n.path.0.starts_with(below.as_bytes()));
}

/// Puts what another layer has somewhere.
fn put(tree: &mut TreeSeen, layer: &str) {
    let [mut upper, ..] = <[TreeSeen; 2]>::try_from(parse(layer)).expect("upper and lower");
    upper.retain(|n| !tree.iter().any(|t| t.path == n.path));
    tree.extend(upper);
    tree.sort_by(|a, b| a.path.0.split(|&c| c == b'/').cmp(b.path.0.split(|&c| c == b'/')));
}

fn mark(tree: &mut TreeSeen, path: &str, name: &str, value: &str) {
    let xattrs = at(tree, path).xattrs.as_mut().expect("were read");
    xattrs.retain(|(n, _)| n.as_slice() != name.as_bytes());
    xattrs.push((Bytes::from(name), Bytes::from(value)));
    xattrs.sort();
}

const CORRUPTIONS: &[Corruption] = &[
    ("a whiteout is missing", |t| drop_at(t, "was"), "was", "presence"),
    ("a whiteout is missing in a merged directory", |t| drop_at(t, "d/gone"), "d/gone", "presence"),
    ("a whiteout too many", |t| put(t, "upper\n  whiteout d/kept\nlower\n"), "d/kept", "presence"),
    ("a whiteout over a directory", |t| put(t, "upper\n  whiteout d/sub\nlower\n"), "d/sub", "presence"),
    ("a whiteout is another device", |t| at(t, "was").stat.rdev = (0, 1), "was", "presence"),
    ("a whiteout is a block device", |t| at(t, "was").stat.kind = Kind::Block, "was", "presence"),
    ("an xattr whiteout", |t| put(t, "upper\n  file d/kept \"\" @whiteout=y\nlower\n"), "d/kept", "presence"),
    ("a needless opaque mark", |t| mark(t, "d", "@opaque", "y"), "d", "nlink"),
    ("the opaque mark is missing", |t| at(t, "old").xattrs = Some(vec![]), "old", "nlink"),
    ("the opaque mark has another value", |t| mark(t, "old", "@opaque", "n"), "old", "nlink"),
    ("the opaque mark is longer", |t| mark(t, "old", "@opaque", "yy"), "old", "nlink"),
    ("a copied-up file is missing", |t| drop_at(t, "plain"), "plain", "content"),
    ("a new file is missing", |t| drop_at(t, "fresh"), "fresh", "presence"),
    ("a stale child", |t| put(t, "upper\n  file old/stale \"7\"\nlower\n"), "old/stale", "presence"),
    ("a temporary left behind", |t| put(t, "upper\n  file \"#12\" \"8\"\nlower\n"), "#12", "presence"),
    ("a directory is missing", |t| drop_at(t, "old"), "old/hidden", "presence"),
    ("a file where a directory is merged", |t| at(t, "d").stat.kind = Kind::File, "d", "d_type"),
    ("a directory where a file is", |t| at(t, "fresh").stat.kind = Kind::Dir, "fresh", "d_type"),
    ("a wrong mode", |t| at(t, "d").stat.mode = 0o755, "d", "mode"),
    ("a wrong owner", |t| at(t, "fresh").stat.uid = 7, "fresh", "owner"),
    ("a lost group", |t| at(t, "fresh").stat.gid = 7, "fresh", "owner"),
    ("data cut short", |t| at(t, "plain").stat.size = 2, "plain", "size"),
    ("other data", |t| at(t, "plain").content = Content::Bytes(Bytes::from("UPPER")), "plain", "content"),
    ("another target", |t| at(t, "s").content = Content::Bytes(Bytes::from("x")), "s", "content"),
    ("a lost xattr", |t| at(t, "fresh").xattrs = Some(vec![]), "fresh", "xattr user.a"),
    ("a changed xattr", |t| mark(t, "fresh", "user.a", "c"), "fresh", "xattr user.a"),
    ("an xattr too many", |t| mark(t, "plain", "user.b", "c"), "plain", "xattr user.b"),
    ("a wrong date", |t| at(t, "plain").stat.mtime.sec += 1, "plain", "mtime"),
    ("a link too many", |t| at(t, "plain").stat.nlink = 2, "plain", "nlink"),
    ("a redirect to nowhere", |t| mark(t, "d", "@redirect", "/nowhere"), "d", "nlink"),
    ("a redirect to another directory", |t| mark(t, "d", "@redirect", "old"), "d/gone", "none"),
];

#[test]
fn corrupted_uppers_are_noticed() {
    let trees = parse(&format!("{UPPER}{LOWER}"));
    let view = sound(&trees, FOLLOW);
    assert_eq!(compare(&resolve(&layers(&trees), FOLLOW), &view), None);
    for (what, corrupt, path, field) in CORRUPTIONS {
        let mut trees = trees.clone();
        corrupt(&mut trees[0]);
        let found = differences(&resolve(&layers(&trees), FOLLOW), &view);
        let place = found.iter().find(|d| d.path.as_slice() == path.as_bytes());
        match *field {
            // The place itself is sound, others are not.
            "none" => assert!(place.is_none() && !found.is_empty(), "{what}: {found:?}"),
            _ => assert_eq!(place.map(|d| d.field.as_str()), Some(*field), "{what}: {found:?}"),
        }
    }
    assert!(CORRUPTIONS.len() >= 15);
}

#[test]
fn marks_decide_what_merges() {
    let table: &[(&str, Rules, &[&str])] = &[
        ("upper\n  dir d opaque\nlower\n  file d/f \"\"\n", FOLLOW, &["d"]),
        ("upper\n  dir d @opaque=x\nlower\n  file d/f \"\"\n", FOLLOW, &["d", "d/f"]),
        ("upper\n  file d/f \"\" @whiteout=\"\"\nlower\n  file d/f \"1\"\n", FOLLOW, &["d"]),
        // With data it is a file like any other.
        ("upper\n  file d/f \"1\" @whiteout=\"\"\nlower\n  file d/f \"2\"\n", FOLLOW, &["d", "d/f"]),
        // A whiteout, a file and an opaque directory end the search in the layers below.
        ("lower\n  dir d\nlower\n  whiteout d\nlower\n  file d/f \"\"\n", FOLLOW, &["d"]),
        ("lower\n  dir d\nlower\n  file d \"\"\nlower\n  file d/f \"\"\n", FOLLOW, &["d"]),
        ("lower\n  dir d\nlower\n  dir d opaque\nlower\n  file d/f \"\"\n", FOLLOW, &["d"]),
        // Redirects: another name, a path, through several layers, past an opaque parent, to a whiteout.
        ("upper\n  dir e @redirect=d\nlower\n  file d/f \"\"\n", FOLLOW, &["d", "d/f", "e", "e/f"]),
        ("upper\n  dir e @redirect=/a/b\nlower\n  file a/b/f \"\"\n", FOLLOW, &["a", "a/b", "a/b/f", "e", "e/f"]),
        (
            "upper\n  dir e @redirect=/m\nlower\n  dir m @redirect=/d\nlower\n  file d/f \"\"\n",
            FOLLOW,
            &["d", "d/f", "e", "e/f", "m", "m/f"],
        ),
        ("upper\n  whiteout d\n  dir e @redirect=/d\nlower\n  file d/f \"\"\n", FOLLOW, &["e", "e/f"]),
        ("upper\n  dir e @redirect=/d\nlower\n  whiteout d\nlower\n  file d/f \"\"\n", FOLLOW, &["e"]),
        ("upper\n  dir e @redirect=/d\nlower\n  file d \"\"\n", FOLLOW, &["d", "e"]),
        // Not followed: the directory is listed and refused.
        (
            "upper\n  dir e @redirect=d\nlower\n  file d/f \"\"\n  dir e\n",
            Rules { follow_redirects: false, ..FOLLOW },
            &["d", "d/f", "e"],
        ),
        // An older kernel refuses only what leads somewhere.
        ("upper\n  file e/g \"\"\n  dir e @redirect=d\nlower\n  dir d\n", LATE, &["d", "e"]),
        ("upper\n  file e/g \"\"\n  dir e @redirect=x\nlower\n  dir e\n", LATE, &["e", "e/g"]),
        ("upper\nlower\n  file e/g \"\"\n  dir e @redirect=x\nlower\n  dir e\n", LATE, &["e"]),
        // And does not know whiteouts by xattr.
        ("upper\n  file f \"\" @whiteout=\"\"\nlower\n  file f \"x\"\n", FOLLOW, &[]),
        (
            "upper\n  file f \"\" @whiteout=\"\"\nlower\n  file f \"x\"\n",
            Rules { xattr_whiteouts: false, ..FOLLOW },
            &["f"],
        ),
    ];
    for (text, rules, expected) in table {
        assert_eq!(paths(&parse(text), *rules), *expected, "{text}");
    }
}

#[test]
fn data_of_a_metacopy_lies_below() {
    let text = "upper\n  file f 0600 \"\" @metacopy=\"\"\n  file g 0600 \"\" @metacopy=\"\" @redirect=/f\n\
                lower\n  file f \"data\"\n";
    let view = sound(&parse(text), FOLLOW);
    let content: Vec<_> = view.iter().skip(1).map(|n| &n.seen.as_ref().expect("seen").content).collect();
    assert_eq!(content, [&Content::Bytes(Bytes::from("data")); 2]);
}

#[test]
fn a_file_that_a_metacopy_leads_to_is_one_with_it() {
    let shared = |text: &str| {
        let trees = parse(text);
        let stack = layers(&trees);
        let entries = resolve(&stack, FOLLOW);
        entries.iter().filter(|e| e.shared).map(|e| e.path.to_string()).collect::<Vec<_>>()
    };
    let upper = "upper\n  file m \"\" @metacopy=\"\" @redirect=/f\n";
    let lower = "lower\n  file f \"data\"\n  file g \"other\"\n";
    assert_eq!(shared(&format!("{upper}{lower}")), ["f", "m"]);
    assert!(shared(&format!("{upper}  whiteout f\n{lower}")).is_empty());
}

#[test]
fn a_name_that_nobody_finds_is_no_difference() {
    let trees = parse("upper\n  dir d\n  whiteout d/w\nlower\n");
    let mut view = sound(&trees, FOLLOW);
    let seen = Err(crate::errno::Errno::ENOENT);
    view.push(NodeSeen { path: Bytes::from("d/w"), listed: Kind::Char, seen, list_error: None });
    assert_eq!(compare(&resolve(&layers(&trees), FOLLOW), &view), None);
    view[2].path = Bytes::from("d/x");
    assert!(compare(&resolve(&layers(&trees), FOLLOW), &view).is_some());
}

/// The resolver would be no second opinion if it asked the first.
#[test]
fn it_knows_no_model() {
    let sources =
        [include_str!("mod.rs"), include_str!("layer.rs"), include_str!("merge.rs"), include_str!("compare.rs")];
    for line in sources.iter().flat_map(|s| s.lines()) {
        let imports = line.trim_start().strip_prefix("use ").unwrap_or("");
        let allowed =
            ["crate::bytes", "crate::errno", "crate::trace", "super::layer", "super::merge", "std::", "compare"];
        let own = line.starts_with("pub use ");
        assert!(imports.is_empty() || own || allowed.iter().any(|a| imports.starts_with(a)), "{line}");
        assert!(!line.contains("crate::model") && !line.contains("crate::check"), "{line}");
    }
}
