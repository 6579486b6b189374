//! Layers: drawn over one skeleton of directories so that they collide.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::names::Pool;
use super::profile::Profile;
use crate::acl::{Acl, Role, Tag};
use crate::bytes::Bytes;
use crate::case::{Case, Entry, LAYER_TIME, Layer, MAX_FILESYSTEMS, MAX_LOWERS, Node, NodeKind};
use crate::step::Device;
use crate::trace::{Privilege, Time};

/// Deepest path of a layer, in names.
const DEPTH: usize = 4;

/// Entries of a directory that no buffer of getdents64 holds at once: names of 203 bytes, 32 KiB.
const WIDE: usize = 160;

/// A layer in the making. Whatever is put in keeps it well formed.
type Tree = BTreeMap<Bytes, Node>;

/// The layers and options of a case, without steps.
pub(super) fn draw(profile: &Profile, pool: &Pool, dice: &mut Dice<'_>) -> Case {
    let most = *profile.lowers.end();
    let most = if most > 1 && dice.percent(4) { MAX_LOWERS } else { most };
    let lowers = dice.between(*profile.lowers.start(), most).clamp(1, MAX_LOWERS);
    let skeleton = skeleton(pool, dice);
    let mut trees = vec![Tree::new(); lowers + 1];
    let upper_empty = dice.percent(50);
    let entries = dice.between(*profile.entries.start(), *profile.entries.end());
    // The names are few, so some draws hit what is there already and add nothing.
    for _ in 0..3 * entries {
        if trees.iter().map(Tree::len).sum::<usize>() >= entries {
            break;
        }
        // The upper is the first tree; the lowest layer has the most to hide.
        let at = if !upper_empty && dice.percent(25) { 0 } else { dice.between(1, lowers) };
        let (above, below) = trees.split_at_mut(at + 1);
        let over = if dice.percent(35) { somewhere(below, dice) } else { None };
        match over {
            Some(path) => cover(&mut above[at], path, profile, pool, dice),
            None => put(&mut above[at], profile, pool, &skeleton, dice),
        }
    }
    let options = profile.options.first().filter(|_| dice.percent(50)).or_else(|| dice.any(&profile.options));
    let options = options.cloned().unwrap_or_default();
    let has = |option: &str| options.iter().any(|o| o == option);
    let (hand_made, led) = match has("metacopy=on") {
        _ if options.is_empty() => (2, 20),
        true => (35, 20),
        // Redirects that are refused instead of followed: there is nothing else to these cases.
        false if has("redirect_dir=nofollow") => (10, 50),
        false => (10, 20),
    };
    if profile.privilege == Privilege::Root && profile.options.len() > 1 && dice.percent(led) {
        redirect(&mut trees, upper_empty, dice);
    } else if profile.options.len() > 1 && dice.percent(hand_made) {
        made_by_hand(&mut trees, upper_empty, dice);
    }
    if dice.percent(13) {
        xattr_whiteouts(&mut trees, upper_empty, dice);
    }
    if !has("index=on") && dice.percent(10) {
        foreign_origin(&mut trees, upper_empty, dice);
    }
    if dice.below(1000) < profile.wide {
        let at = dice.between(usize::from(upper_empty), trees.len() - 1);
        wide(&mut trees[at], &skeleton, dice);
    }
    if !upper_empty && dice.percent(6) && profile.protected {
        protect(&mut trees[0], dice);
    }
    for (at, tree) in trees.iter_mut().enumerate() {
        if dice.percent(if at == 0 && upper_empty { 0 } else { 8 }) {
            let mut root = Node::new(NodeKind::Dir);
            root.mode = *dice.one(&[0o755, 0o700, 0o1777, 0o2755]);
            if at == 0 && dice.percent(50) {
                root.xattrs.push((Bytes::from("@impure"), Bytes::from("y")));
            }
            tree.entry(Bytes::default()).or_insert(root);
        }
    }
    let mut layers = trees
        .into_iter()
        .map(|tree| Layer { entries: tree.into_iter().map(|(path, node)| Entry { path, node }).collect(), on: 0 });
    let upper = layers.next().unwrap_or_default();
    let mut case = Case { options, lowers: layers.collect(), upper, ..Case::default() };
    if dice.percent(profile.spread) {
        spread(&mut case, profile, dice);
    }
    case
}

/// Puts lower layers on several filesystems, and often asks for what makes of their numbers.
fn spread(case: &mut Case, profile: &Profile, dice: &mut Dice<'_>) {
    let last = MAX_FILESYSTEMS - 1;
    for layer in &mut case.lowers {
        layer.on = dice.between(0, last) as u8;
    }
    if !case.spans_filesystems() {
        let at = dice.below(case.lowers.len());
        case.lowers[at].on = dice.between(1, last) as u8;
    }
    if dice.percent(40) {
        stack(case, dice);
    }
    let asked = case.options.iter().any(|option| option.starts_with("xino="));
    if !asked && profile.options.len() > 1 && dice.percent(55) {
        case.options.push((*dice.one(&["xino=on", "xino=on", "xino=auto", "xino=auto", "xino=off"])).to_owned());
    }
}

/// Gives a directory of one lower layer to another one that has nothing of its name.
fn stack(case: &mut Case, dice: &mut Dice<'_>) {
    let from = dice.below(case.lowers.len());
    let is_top_dir = |e: &&Entry| e.node.kind == NodeKind::Dir && !e.path.is_empty() && !e.path.contains(&b'/');
    let dirs: Vec<Bytes> = case.lowers[from].entries.iter().filter(is_top_dir).map(|e| e.path.clone()).collect();
    let Some(path) = dice.any(&dirs).cloned() else { return };
    let to = (from + 1) % case.lowers.len();
    let taken = |layer: &Layer| layer.entries.iter().any(|e| e.path == path);
    if to != from && !taken(&case.lowers[to]) {
        case.lowers[to].entries.push(Entry { path, node: Node::new(NodeKind::Dir) });
    }
}

/// Makes something of the upper immutable or append-only, or nearly.
fn protect(upper: &mut Tree, dice: &mut Dice<'_>) {
    let fits = |kind: &NodeKind| matches!(kind, NodeKind::File(_) | NodeKind::Dir);
    let paths: Vec<Bytes> = upper.iter().filter(|(_, node)| fits(&node.kind)).map(|(path, _)| path.clone()).collect();
    let value = Bytes::from(*dice.one(&["i", "a", "ai", "ia", "ix", "ax", ""]));
    if let Some(node) = dice.any(&paths).and_then(|path| upper.get_mut(path)) {
        node.xattrs.push((Bytes::from("@protattr"), value));
    }
}

/// Makes a directory of one layer lead to one of a layer below, as a rename would have left it: with a
/// whiteout where the other one was. Nothing where there are no such two.
fn redirect(trees: &mut [Tree], upper_empty: bool, dice: &mut Dice<'_>) {
    let at = upper_or_any(trees, upper_empty, dice);
    let (above, below) = trees.split_at_mut(at + 1);
    let is_dir = |(path, node): &(&Bytes, &Node)| node.kind == NodeKind::Dir && !path.is_empty();
    let targets: Vec<Bytes> = below.iter().flat_map(|t| t.iter().filter(is_dir).map(|e| e.0.clone())).collect();
    let Some(to) = dice.any(&targets).cloned() else { return };
    let tree = &mut above[at];
    let bare = |(path, node): &(&Bytes, &Node)| {
        is_dir(&(*path, *node)) && node.xattrs.iter().all(|x| x.0.first() != Some(&b'@')) && **path != to
    };
    let froms: Vec<Bytes> = tree.iter().filter(bare).map(|e| e.0.clone()).collect();
    let Some(from) = dice.any(&froms) else { return };
    let (same_dir, to_name) = (from.split_last().0 == to.split_last().0, Bytes::from(to.split_last().1));
    let value = if same_dir && dice.percent(70) { to_name } else { Bytes::from([b"/", to.as_slice()].concat()) };
    // Left uncovered, or led to twice, one directory would be two: whichever is looked up second is ESTALE (LKP-15).
    let bared = dice.percent(15);
    let second = froms.iter().find(|path| *path != from).filter(|_| dice.percent(25));
    if !bared {
        add(tree, to.clone(), Node::new(NodeKind::Char(Device::WHITEOUT)));
    }
    let covered = bared || tree.get(&to).is_some_and(|n| n.kind != NodeKind::Dir) || dice.percent(4);
    let absolute = absolute(&to);
    for (path, value) in [(from, value)].into_iter().chain(second.map(|path| (path, absolute))) {
        if let (true, Some(node)) = (covered, tree.get_mut(path)) {
            node.xattrs.push((Bytes::from("@redirect"), value));
        }
    }
}

/// The layer that something is done to by hand: most often the upper one, if it is not to be empty.
fn upper_or_any(trees: &[Tree], upper_empty: bool, dice: &mut Dice<'_>) -> usize {
    let upper = !upper_empty && dice.percent(40);
    if upper { 0 } else { dice.between(usize::from(upper_empty), trees.len() - 1) }
}

/// Marks one entry in a way that no kernel would: a redirect that is malformed or leads to nowhere, or a
/// metacopy of what may or may not be below.
fn made_by_hand(trees: &mut [Tree], upper_empty: bool, dice: &mut Dice<'_>) {
    let at = dice.between(usize::from(upper_empty), trees.len() - 1);
    let (above, below) = trees.split_at_mut(at + 1);
    let tree = &mut above[at];
    let fits = |(path, node): &(&Bytes, &Node)| {
        let plain = matches!(node.kind, NodeKind::Dir | NodeKind::File(_));
        plain && !path.is_empty() && node.xattrs.iter().all(|x| x.0.first() != Some(&b'@'))
    };
    let candidates: Vec<Bytes> = tree.iter().filter(fits).map(|e| e.0.clone()).collect();
    let Some(path) = dice.any(&candidates) else { return };
    let covered = below.iter().find_map(|t| match &t.get(path)?.kind {
        NodeKind::File(data) => Some(data.len()),
        _ => None,
    });
    let path = path.clone();
    let is_file = matches!(tree.get(&path).map(|n| &n.kind), Some(NodeKind::File(_)));
    if is_file && dice.percent(40) {
        return lead_to_data(tree, &path, below, dice);
    }
    // Data must lie in a regular file; what else is there ends the search.
    let odd = is_file && dice.percent(50);
    if let (true, Some(next)) = (odd, below.first_mut()) {
        add(next, path.clone(), Node::new(NodeKind::Symlink(Bytes::from("a"))));
    }
    let Some(node) = tree.get_mut(&path) else { return };
    match &mut node.kind {
        NodeKind::File(data) => {
            // A metacopy has the size of its data.
            *data = Bytes::from(vec![0; covered.unwrap_or(data.len())]);
            node.xattrs.push((Bytes::from("@metacopy"), Bytes::default()));
        }
        _ => {
            let value = *dice.one(&["a/b", "/a//b", "/a/", "", "nowhere", "/nowhere/at/all"]);
            node.xattrs.push((Bytes::from("@redirect"), Bytes::from(value)));
        }
    }
}

/// Makes a file the metacopy of another one below, perhaps with a file in the way in between.
fn lead_to_data(tree: &mut Tree, path: &Bytes, below: &mut [Tree], dice: &mut Dice<'_>) {
    let mut found: Vec<(usize, Bytes, usize)> = Vec::new();
    for (depth, layer) in below.iter().enumerate() {
        for (to, node) in layer.iter() {
            if let (NodeKind::File(data), true) = (&node.kind, to != path) {
                found.push((depth, to.clone(), data.len()));
            }
        }
    }
    // A path of its own, with a file in the way of it.
    if let ([next, deeper, ..], true) = (&mut *below, dice.percent(50)) {
        let to = Bytes::from("way/data");
        add(next, Bytes::from("way"), file(dice));
        add(deeper, to.clone(), Node::new(NodeKind::File(Bytes::from("led to"))));
        found = vec![(0, to, 6)];
    }
    // What lies deeper can have something in its way.
    let deep: Vec<_> = found.iter().filter(|(depth, to, _)| *depth > 0 && to.contains(&b'/')).cloned().collect();
    let Some((depth, to, size)) = dice.any(if deep.is_empty() { &found } else { &deep }).cloned() else { return };
    let parent = Bytes::from(to.split_last().0);
    if depth > 0 && !parent.is_empty() && dice.percent(60) {
        add(&mut below[0], parent, file(dice));
    }
    if dice.percent(85) {
        add(tree, to.clone(), Node::new(NodeKind::Char(Device::WHITEOUT)));
    }
    let beside = path.split_last().0 == to.split_last().0 && dice.percent(70);
    let value = if beside { Bytes::from(to.split_last().1) } else { absolute(&to) };
    if let Some(node) = tree.get_mut(path) {
        node.kind = NodeKind::File(Bytes::from(vec![0; size]));
        node.xattrs.push((Bytes::from("@metacopy"), Bytes::default()));
        node.xattrs.push((Bytes::from("@redirect"), value));
    }
}

/// Hides some names by an xattr, as those do who may make no devices; most often their directory is marked.
fn xattr_whiteouts(trees: &mut [Tree], upper_empty: bool, dice: &mut Dice<'_>) {
    let at = dice.between(usize::from(upper_empty), trees.len() - 1);
    let (above, below) = trees.split_at_mut(at + 1);
    let tree = &mut above[at];
    // A directory in which there is something to hide.
    let parents = below.iter().flat_map(|tree| tree.keys()).filter(|path| !path.is_empty());
    let parents: Vec<Bytes> = parents.map(|path| Bytes::from(path.split_last().0)).collect();
    let named: Vec<Bytes> = parents.iter().filter(|path| !path.is_empty()).cloned().collect();
    let parent = if dice.percent(85) { dice.any(&named) } else { dice.any(&parents) };
    let Some(dir) = parent.cloned() else { return };
    if !dir.is_empty() {
        add(tree, dir.clone(), Node::new(NodeKind::Dir));
    }
    let inside = |path: &&Bytes| !path.is_empty() && path.split_last().0 == dir.as_slice();
    let hidden: Vec<Bytes> = below.iter().flat_map(|tree| tree.keys().filter(inside).cloned()).collect();
    let all = dice.percent(60);
    for path in hidden {
        if !all && dice.percent(60) {
            continue;
        }
        // One that is not empty is none; cut down in the upper layer it would become one.
        let data = if at > 0 && dice.percent(10) { Bytes::from("not a whiteout") } else { Bytes::default() };
        let mut node = Node::new(NodeKind::File(data));
        node.xattrs.push((Bytes::from("@whiteout"), Bytes::from(*dice.one(&["", "y"]))));
        add(tree, path, node);
    }
    if dir.is_empty() {
        tree.entry(Bytes::default()).or_insert_with(|| Node::new(NodeKind::Dir));
    }
    if let Some(node) = tree.get_mut(&dir).filter(|node| node.kind == NodeKind::Dir && dice.percent(75)) {
        if node.xattrs.iter().all(|x| x.0.as_slice() != b"@opaque") {
            node.xattrs.push((Bytes::from("@opaque"), Bytes::from("x")));
        }
    }
}

/// Gives one entry an origin that leads nowhere: none that is known, or what is no handle. Other programs write
/// such layers, and copies of layers lose what the handles meant. In a directory there may be whiteouts of what was
/// below it then.
fn foreign_origin(trees: &mut [Tree], upper_empty: bool, dice: &mut Dice<'_>) {
    let at = upper_or_any(trees, upper_empty, dice);
    // One of its own, most often with nothing below.
    let left = Bytes::from("left");
    if dice.percent(40) {
        add(&mut trees[at], left.clone(), Node::new(NodeKind::Dir));
    }
    let fits = |(path, node): &(&Bytes, &Node)| {
        let holds = matches!(node.kind, NodeKind::Dir | NodeKind::File(_));
        holds && !path.is_empty() && node.xattrs.iter().all(|x| x.0.as_slice() != b"@origin")
    };
    let candidates: Vec<Bytes> = trees[at].iter().filter(fits).map(|e| e.0.clone()).collect();
    let chosen = if candidates.contains(&left) { Some(&left) } else { dice.any(&candidates) };
    let Some((path, node)) = chosen.and_then(|path| trees[at].get_mut(path).map(|node| (path, node))) else { return };
    let value = *dice.one(&["", "", "no handle", "\0\u{1}"]);
    let is_dir = node.kind == NodeKind::Dir;
    node.xattrs.push((Bytes::from("@origin"), Bytes::from(value)));
    if is_dir && dice.percent(70) {
        add(&mut trees[at], path.join(b"gone"), Node::new(NodeKind::Char(Device::WHITEOUT)));
    }
}

/// Fills a directory with so many long names that listing it takes several calls.
fn wide(tree: &mut Tree, skeleton: &[Bytes], dice: &mut Dice<'_>) {
    let dir = dice.one(skeleton).clone();
    for n in 0..WIDE {
        let node = if n % 16 == 0 { Node::new(NodeKind::Char(Device::WHITEOUT)) } else { file(dice) };
        add(tree, dir.join(format!("{n:03}{}", "w".repeat(200)).as_bytes()), node);
    }
}

/// The directories that the layers of a case share, parents first.
fn skeleton(pool: &Pool, dice: &mut Dice<'_>) -> Vec<Bytes> {
    let mut dirs = vec![Bytes::default()];
    for _ in 0..dice.between(2, 6) {
        let parent = dice.one(&dirs).clone();
        if depth(&parent) + 1 < DEPTH {
            let dir = parent.join(pool.name(dice).as_slice());
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
    }
    dirs
}

fn depth(path: &Bytes) -> usize {
    if path.is_empty() { 0 } else { 1 + path.as_slice().iter().filter(|&&b| b == b'/').count() }
}

/// The path of an entry of one of the layers below.
fn somewhere(below: &[Tree], dice: &mut Dice<'_>) -> Option<Bytes> {
    let tree = dice.any(below)?;
    let at = dice.below(tree.len());
    tree.keys().nth(at).cloned()
}

/// Hides or covers what a layer below has at this path.
fn cover(tree: &mut Tree, path: Bytes, profile: &Profile, pool: &Pool, dice: &mut Dice<'_>) {
    let node = match dice.below(10) {
        0..=3 => Node::new(NodeKind::Char(Device::WHITEOUT)),
        4 | 5 => dir(profile, dice),
        _ => leaf(tree, &path, profile, pool, dice),
    };
    add(tree, path, node);
}

/// Adds one entry to a layer, or nothing where it would not fit.
fn put(tree: &mut Tree, profile: &Profile, pool: &Pool, skeleton: &[Bytes], dice: &mut Dice<'_>) {
    // A skeleton directory itself, most often as a directory: that is what makes merged ones.
    if dice.percent(35) {
        let path = dice.one(skeleton).clone();
        if path.is_empty() {
            return;
        }
        if dice.percent(80) {
            add(tree, path, dir(profile, dice));
        } else {
            let node = leaf(tree, &path, profile, pool, dice);
            add(tree, path, node);
        }
        return;
    }
    let parent = dice.one(skeleton);
    let path = parent.join(pool.name(dice).as_slice());
    let node = leaf(tree, &path, profile, pool, dice);
    add(tree, path, node);
}

/// Inserts unless the name is taken or lies below something that is no directory.
fn add(tree: &mut Tree, path: Bytes, node: Node) {
    let bytes = path.as_slice();
    let blocked = bytes
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'/')
        .any(|(at, _)| tree.get(&bytes[..at]).is_some_and(|n| n.kind != NodeKind::Dir));
    let mut inside = path.as_slice().to_vec();
    inside.push(b'/');
    let has_children = node.kind != NodeKind::Dir
        && tree.range(Bytes::from(inside.clone())..).next().is_some_and(|(p, _)| p.as_slice().starts_with(&inside));
    if !blocked && !has_children {
        tree.entry(path).or_insert(node);
    }
}

fn dir(profile: &Profile, dice: &mut Dice<'_>) -> Node {
    let mut node = Node::new(NodeKind::Dir);
    if dice.percent(25) {
        node.mode = *dice.one(&[0o700, 0o2755, 0o1777, 0o711, 0]);
    }
    if dice.percent(12) {
        let value = if dice.percent(85) { "y" } else { *dice.one(&["n", "x", "", "yy", "Y"]) };
        node.xattrs.push((Bytes::from("@opaque"), Bytes::from(value)));
    }
    attributes(&mut node, profile, dice);
    node
}

/// Anything; hard links only to what the layer has.
fn leaf(tree: &Tree, path: &Bytes, profile: &Profile, pool: &Pool, dice: &mut Dice<'_>) -> Node {
    #[derive(Clone, Copy)]
    enum What {
        Dir,
        File,
        Symlink,
        Whiteout,
        Fifo,
        Socket,
        Device,
        Link,
    }
    let odd = usize::from(pool.fifos);
    let devices = odd * usize::from(profile.privilege == Privilege::Root);
    let what = dice.weighted(&[
        (14, What::Dir),
        (40, What::File),
        (14, What::Symlink),
        (15, What::Whiteout),
        (3 * odd, What::Fifo),
        (1, What::Socket),
        (3 * devices, What::Device),
        (9, What::Link),
    ]);
    let mut node = match what {
        What::Dir => return dir(profile, dice),
        What::Whiteout => return Node::new(NodeKind::Char(Device::WHITEOUT)),
        What::Link => {
            let targets: Vec<&Bytes> = tree
                .iter()
                .filter(|(p, n)| *p != path && !matches!(n.kind, NodeKind::Dir | NodeKind::Link(_)))
                .filter(|(_, n)| !n.is_whiteout() || dice.percent(10))
                .map(|(p, _)| p)
                .collect();
            match dice.any(&targets) {
                Some(&target) => return Node::new(NodeKind::Link(target.clone())),
                None => file(dice),
            }
        }
        What::File => file(dice),
        What::Symlink => Node::new(NodeKind::Symlink(target(pool, dice))),
        What::Fifo => Node::new(NodeKind::Fifo),
        What::Socket => Node::new(NodeKind::Socket),
        What::Device => device(dice),
    };
    attributes(&mut node, profile, dice);
    node
}

fn file(dice: &mut Dice<'_>) -> Node {
    let data = match dice.below(20) {
        0..=5 => Bytes::default(),
        6 => Bytes::from(vec![b'F'; 5000]),
        n => Bytes::from(["data", "lower", "x", "two\nlines\n"][n % 4]),
    };
    let mut node = if dice.percent(4) { sparse(dice) } else { Node::new(NodeKind::File(data)) };
    if dice.percent(25) {
        node.mode = *dice.one(&[0o600, 0o4755, 0o2755, 0, 0o444, 0o777]);
    }
    node
}

/// A file of up to six pages, some of them holes.
fn sparse(dice: &mut Dice<'_>) -> Node {
    let mut data = Vec::new();
    for _ in 0..dice.between(1, 5) {
        let byte = *dice.one(&[0, 0, b'S']);
        data.resize(data.len() + 4096, byte);
    }
    // The last page is not always whole.
    let end = *dice.one(&[0, 1, 904]);
    data.resize(data.len() + end, *dice.one(&[0, b'E']));
    Node { sparse: true, ..Node::new(NodeKind::File(Bytes::from(data))) }
}

fn device(dice: &mut Dice<'_>) -> Node {
    let (block, major, minor) =
        *dice.one(&[(false, 1, 3), (false, 1, 5), (false, 1, 7), (false, 0, 7), (true, 0, 0), (true, 0, 5)]);
    match Device::new(major, minor) {
        Ok(device) if block => Node::new(NodeKind::Block(device)),
        Ok(device) => Node::new(NodeKind::Char(device)),
        Err(_) => Node::new(NodeKind::Char(Device::NULL)),
    }
}

/// What a symlink says, in a layer or a step.
pub(super) fn target(pool: &Pool, dice: &mut Dice<'_>) -> Bytes {
    let (one, two) = (pool.name(dice).clone(), pool.name(dice).clone());
    match dice.below(16) {
        0..=5 => one,
        6 | 7 => one.join(two.as_slice()),
        8 | 9 => absolute(&one),
        10 => absolute(&one).join(two.as_slice()),
        11 | 12 => Bytes::from("..").join(one.as_slice()),
        13 => Bytes::from("../..").join(one.as_slice()),
        14 => Bytes::from("nowhere"),
        _ => Bytes::from(*dice.one(&[".", "..", "/", "/proc/self/root", "../../../../../..", "nowhere/x"])),
    }
}

/// `/path`.
pub(super) fn absolute(path: &Bytes) -> Bytes {
    let mut out = vec![b'/'];
    out.extend_from_slice(path.as_slice());
    Bytes::from(out)
}

/// What security.capability holds: a set of capabilities as revision 2 writes it, effective.
pub(super) fn capability() -> Bytes {
    let mut value = [0; 20];
    (value[0], value[3], value[5]) = (1, 2, 0x20);
    Bytes::from(&value[..])
}

/// Whose ids an access control list may name: in a user namespace with one id there is no other. Nobody's where there
/// are no lists.
pub(super) fn named(profile: &Profile) -> &'static [u32] {
    match (profile.acls, profile.privilege) {
        (false, _) => &[],
        (true, Privilege::Root) => &[1000, 1000, 3000, 1, 0],
        (true, Privilege::Rootless) => &[0],
    }
}

/// A valid access control list that names some of these ids, or none.
pub(super) fn acl(ids: &[u32], dice: &mut Dice<'_>) -> Acl {
    let bits = |dice: &mut Dice<'_>| *dice.one(&[7, 6, 5, 4, 4, 0, 2]);
    let mut entries = vec![(Tag::Owner, *dice.one(&[7, 6, 7, 4]))];
    let (users, groups) = *dice.one(&[(1, 0), (1, 0), (1, 1), (2, 0), (0, 1), (0, 0)]);
    for _ in 0..users {
        entries.push((Tag::User(*dice.one(ids)), bits(dice)));
    }
    entries.push((Tag::OwningGroup, bits(dice)));
    for _ in 0..groups {
        entries.push((Tag::Group(*dice.one(ids)), bits(dice)));
    }
    if users + groups > 0 || dice.percent(30) {
        entries.push((Tag::Mask, *dice.one(&[7, 7, 5, 6, 4, 0])));
    }
    entries.push((Tag::Other, *dice.one(&[0, 0, 4, 5, 7])));
    Acl(entries)
}

fn attributes(node: &mut Node, profile: &Profile, dice: &mut Dice<'_>) {
    if profile.privilege == Privilege::Root && dice.percent(12) {
        node.uid = *dice.one(&[0, 1, 1000, 1000, 1000]);
        node.gid = *dice.one(&[0, 1, 1000, 1000]);
    }
    if dice.percent(15) {
        let sec = match dice.between(1, 9) as i64 {
            // Before the time that some implementations count from.
            9 if node.uid != 0 => -9,
            n => LAYER_TIME.sec + n,
        };
        node.time = Time { sec, nsec: 123_456_789 };
    }
    if profile.capabilities && matches!(node.kind, NodeKind::File(_)) && dice.percent(4) {
        node.xattrs.push((Bytes::from("security.capability"), capability()));
    }
    let ids = named(profile);
    let is_dir = node.kind == NodeKind::Dir;
    for role in [Role::Access, Role::Default] {
        let fits = if role == Role::Default { is_dir } else { !matches!(node.kind, NodeKind::Symlink(_)) };
        if fits && !ids.is_empty() && dice.percent(2) {
            let acl = acl(ids, dice);
            if role == Role::Access {
                node.mode = node.mode & !0o777 | acl.bits();
            }
            node.xattrs.push((Bytes::from(role.xattr()), acl.encode()));
        }
    }
    let takes_user = matches!(node.kind, NodeKind::Dir | NodeKind::File(_));
    if profile.user_xattrs && takes_user && dice.percent(10) {
        // Several, of different lengths: what held the value of one may be too small for the next.
        for name in &["user.a", "user.b", "user.c"][..*dice.one(&[1, 1, 2, 3])] {
            let value = vec![b'1'; *dice.one(&[1, 1, 0, 80, 1000])];
            node.xattrs.push((Bytes::from(*name), Bytes::from(value)));
        }
    }
}
