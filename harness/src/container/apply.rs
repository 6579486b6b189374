//! Diff and apply, an oracle: an upper layer told as one of an image and unpacked over what is below must be
//! what the mount shows. The model has no part in this, nor has the kernel: directories, files and `.wh.`
//! names are all there is.

use std::collections::BTreeMap;

use super::archive::read_archive;
use super::export::{ExportError, export_layer};
use super::whiteout::{convert, is_private_of_others};
use crate::bytes::Bytes;
use crate::case::{Entry as LayerEntry, Node, NodeKind};
use crate::resolve::{Difference, Found, LayerTree, Rules, resolve};
use crate::trace::{Content, Kind, NodeSeen, Seen, Time, TreeSeen, content_of};

/// Labels and access lists are the host's business: reading an archive leaves them out. What another overlay keeps for
/// itself is not told either.
fn is_of_the_host(name: &Bytes) -> bool {
    name.as_slice() == b"security.selinux" || name.starts_with(b"system.") || is_private_of_others(name)
}

/// What is at a path of an unpacked image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    kind: Kind,
    mode: u16,
    owner: (u32, u32),
    time: Time,
    rdev: (u32, u32),
    xattrs: Vec<(Bytes, Bytes)>,
    content: Content,
}

type Tree = BTreeMap<Bytes, Place>;

/// Tells the upper layer as one of an image, unpacks it over the lower ones (top-most first), and compares that
/// with the merged view: the first difference. Link counts, change and access times and inode numbers are not
/// compared: unpacking makes new files.
///
/// # Errors
/// When the layers have what an image cannot say.
pub fn diff_and_apply(
    lowers: &[TreeSeen],
    upper: &TreeSeen,
    merged: &TreeSeen,
    rules: Rules,
) -> Result<Option<Difference>, ExportError> {
    if rules.index {
        let why = "hard links of lower files are kept together in the index".to_owned();
        return Err(ExportError { path: Bytes::default(), why });
    }
    let mut tree = below(lowers, rules)?;
    let archive = export_layer(upper, |_, seen| stand_in(&seen.content))?;
    let refused = |e: super::ArchiveError| ExportError { path: Bytes::default(), why: e.to_string() };
    // Read as anybody's layer would be.
    let layer = convert(read_archive(archive.as_slice()).map_err(refused)?).map_err(refused)?;
    unpack(&mut tree, layer.entries);
    Ok(compare(&tree, merged))
}

/// What the lower layers make.
fn below(lowers: &[TreeSeen], rules: Rules) -> Result<Tree, ExportError> {
    let layers: Vec<LayerTree<'_>> = lowers.iter().map(|tree| LayerTree::new(tree)).collect();
    let mut tree = Tree::new();
    for entry in resolve(&layers, rules) {
        match &entry.found {
            Found::Node { top, data, .. } if !entry.shared => {
                let content = data.cloned().unwrap_or_else(|| top.content.clone());
                tree.insert(entry.path.clone(), place(top, content));
            }
            Found::Whiteout if !entry.shared => {}
            _ => {
                let why = "what the lower layers make is nobody's rule".to_owned();
                return Err(ExportError { path: entry.path.clone(), why });
            }
        }
    }
    Ok(tree)
}

fn place(seen: &Seen, content: Content) -> Place {
    // The view hides private xattrs, and shows escaped ones without the escape.
    let shown = |(name, value): &(Bytes, Bytes)| match name.strip_prefix(b"@") {
        _ if is_of_the_host(name) => None,
        Some(private) => private.strip_prefix(b"overlay.").map(|n| (Bytes::from([b"@", n].concat()), value.clone())),
        None => Some((name.clone(), value.clone())),
    };
    Place {
        kind: seen.stat.kind,
        mode: seen.stat.mode,
        owner: (seen.stat.uid, seen.stat.gid),
        time: seen.stat.mtime,
        rdev: seen.stat.rdev,
        xattrs: seen.xattrs.iter().flatten().filter_map(shown).collect(),
        content: if seen.stat.kind == Kind::Dir { Content::None } else { content },
    }
}

/// What stands for the data of a file of which only a digest is known.
fn stand_in(content: &Content) -> Result<Vec<u8>, String> {
    match content {
        Content::Bytes(bytes) => Ok(bytes.as_slice().to_vec()),
        Content::Digest(digest) => Ok(format!("data with digest {digest:016x}").into_bytes()),
        Content::None => Ok(Vec::new()),
        Content::Unreadable(e) => Err(format!("it could not be read: {e}")),
    }
}

/// Unpacks a layer as an engine does: whiteouts are about what is below, entries replace.
fn unpack(tree: &mut Tree, entries: Vec<LayerEntry>) {
    let remove_below = |tree: &mut Tree, dir: &Bytes| {
        let prefix = if dir.is_empty() { Bytes::default() } else { dir.join(b"") };
        tree.retain(|path, _| path == dir || !path.as_slice().starts_with(prefix.as_slice()));
    };
    for entry in &entries {
        if entry.node.is_whiteout() {
            remove_below(tree, &entry.path);
            tree.remove(&entry.path);
        } else if entry.node.xattrs.contains(&super::whiteout::opaque_mark()) {
            remove_below(tree, &entry.path);
        }
    }
    let nodes: BTreeMap<&Bytes, &Node> = entries.iter().map(|e| (&e.path, &e.node)).collect();
    for (path, node) in &nodes {
        let node = match &node.kind {
            NodeKind::Link(to) => nodes.get(to).copied().unwrap_or(node),
            _ => node,
        };
        let (kind, content, rdev) = match &node.kind {
            _ if node.is_whiteout() => continue,
            NodeKind::Dir => (Kind::Dir, Content::None, (0, 0)),
            NodeKind::File(data) => (Kind::File, content_of(data.as_slice()), (0, 0)),
            NodeKind::Symlink(to) => (Kind::Symlink, Content::Bytes(to.clone()), (0, 0)),
            NodeKind::Char(device) => (Kind::Char, Content::None, (device.major(), device.minor())),
            NodeKind::Block(device) => (Kind::Block, Content::None, (device.major(), device.minor())),
            NodeKind::Fifo => (Kind::Fifo, Content::None, (0, 0)),
            // Reading an archive leaves no link to nothing, and there are no sockets in archives.
            NodeKind::Socket | NodeKind::Link(_) => continue,
        };
        if kind != Kind::Dir {
            remove_below(tree, path);
        }
        let xattrs = node.xattrs.iter().filter(|(name, _)| name.first() != Some(&b'@')).cloned().collect();
        let (mode, owner, time) = (node.mode, (node.uid, node.gid), node.time);
        tree.insert((*path).clone(), Place { kind, mode, owner, time, rdev, xattrs, content });
    }
}

fn compare(tree: &Tree, merged: &[NodeSeen]) -> Option<Difference> {
    let mut seen: BTreeMap<&Bytes, Option<Place>> = BTreeMap::new();
    for node in merged {
        // A name that is listed and not found, as whiteouts may be, is nothing.
        let found = node.seen.as_ref().ok();
        seen.insert(&node.path, found.map(place_shown));
    }
    for (path, expected) in tree {
        let fail = |field: &str, expected: String, seen: String| {
            Some(Difference { path: path.clone(), field: field.to_owned(), expected, seen })
        };
        let Some(Some(seen)) = seen.get(path) else {
            return fail("presence", format!("{:?}", expected.kind), "nothing".to_owned());
        };
        if expected.kind != seen.kind {
            return fail("type", format!("{:?}", expected.kind), format!("{:?}", seen.kind));
        }
        if expected.kind != Kind::Symlink && expected.mode != seen.mode {
            return fail("mode", format!("{:04o}", expected.mode), format!("{:04o}", seen.mode));
        }
        if expected.owner != seen.owner {
            let show = |o: (u32, u32)| format!("{}:{}", o.0, o.1);
            return fail("owner", show(expected.owner), show(seen.owner));
        }
        if matches!(expected.kind, Kind::Char | Kind::Block) && expected.rdev != seen.rdev {
            return fail("device", format!("{:?}", expected.rdev), format!("{:?}", seen.rdev));
        }
        if expected.time != seen.time {
            let show = |t: Time| format!("{}.{:09}", t.sec, t.nsec);
            return fail("mtime", show(expected.time), show(seen.time));
        }
        let told = |c: &Content| matches!(c, Content::Bytes(_) | Content::Digest(_));
        let stood_in = stand_in(&seen.content).is_ok_and(|data| content_of(&data) == expected.content);
        if told(&expected.content) && told(&seen.content) && expected.content != seen.content && !stood_in {
            return fail("content", format!("{:?}", expected.content), format!("{:?}", seen.content));
        }
        let sorted = |list: &[(Bytes, Bytes)]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        if sorted(&expected.xattrs) != sorted(&seen.xattrs) {
            return fail("xattrs", format!("{:?}", expected.xattrs), format!("{:?}", seen.xattrs));
        }
    }
    let extra = seen.into_iter().find_map(|(path, place)| Some((path, place?)).filter(|(p, _)| !tree.contains_key(*p)));
    extra.map(|(path, place)| Difference {
        path: path.clone(),
        field: "presence".to_owned(),
        expected: "nothing".to_owned(),
        seen: format!("{:?}", place.kind),
    })
}

/// What a merged view shows, which has no private xattrs any more.
fn place_shown(seen: &Seen) -> Place {
    let xattrs = seen.xattrs.iter().flatten().filter(|(name, _)| !is_of_the_host(name)).cloned().collect();
    Place { xattrs, ..place(seen, seen.content.clone()) }
}
