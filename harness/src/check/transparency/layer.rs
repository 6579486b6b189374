//! The merged tree of a case's layers as one layer, by the layer resolver.

use std::collections::HashMap;

use crate::bytes::Bytes;
use crate::case::{Case, Entry, Layer, Node, NodeKind};
use crate::resolve::{Found, LayerTree, Rules, resolve};
use crate::step::Device;
use crate::trace::{Content, Kind, NodeSeen, Seen, Stat, TreeSeen};

/// The merged tree, and whether a lower file has several names. `None` where the resolver has no answer.
///
/// Names of one upper file stay names of one file, and with `index=on` those of a lower one do. Else they
/// become files of their own: copying up would part them (CUP-14.hardlink), and until then nobody can tell.
pub(super) fn merged(case: &Case, rules: Rules) -> Option<(Layer, bool)> {
    let trees: Vec<TreeSeen> = std::iter::once(&case.upper).chain(&case.lowers).map(as_read).collect();
    let layers: Vec<LayerTree<'_>> = trees.iter().map(|t| LayerTree::new(t)).collect();
    let mut first_names: HashMap<(usize, Bytes), Bytes> = HashMap::new();
    let mut named: HashMap<(usize, Bytes), &NodeKind> = HashMap::new();
    for (at, layer) in std::iter::once(&case.upper).chain(&case.lowers).enumerate() {
        named.extend(layer.entries.iter().map(|e| ((at, e.path.clone()), &e.node.kind)));
    }
    let mut entries = Vec::new();
    for entry in resolve(&layers, Rules { index: false, ..rules }) {
        if entry.shared {
            return None;
        }
        let (top, data, layers) = match entry.found {
            Found::Node { top, data, layers, .. } => (top, data, layers),
            Found::Whiteout => continue,
            Found::Refused(_) | Found::Unknown => return None,
        };
        // A metacopy of another size than its data has nothing like it on a plain filesystem.
        if matches!(data, Some(Content::Bytes(data)) if top.stat.kind == Kind::File && data.len() as u64 != top.stat.size)
        {
            return None;
        }
        let mut node = node(top, data)?;
        let layer = *layers.first()?;
        if (layer == 0 || rules.index) && top.stat.nlink > 1 && top.stat.kind != Kind::Dir {
            // By another name than its own in the layer, what its other names are in the view is not looked for.
            let place = trees[layer].iter().find(|n| n.seen.as_ref().is_ok_and(|seen| std::ptr::eq(seen, top)))?;
            if place.path != entry.path {
                return None;
            }
            let key = (layer, entry.path.clone());
            let of = if let NodeKind::Link(to) = named.get(&key)? { (layer, to.clone()) } else { key };
            match first_names.get(&of) {
                Some(first) => node.kind = NodeKind::Link(first.clone()),
                None => drop(first_names.insert(of, entry.path.clone())),
            }
        }
        entries.push(Entry { path: entry.path, node });
    }
    let links = |l: &Layer| l.entries.iter().any(|e| matches!(e.node.kind, NodeKind::Link(_)));
    Some((Layer { entries, on: 0 }, case.lowers.iter().any(links)))
}

/// A layer as a look at it finds it, as far as merging needs it.
fn as_read(layer: &Layer) -> TreeSeen {
    let nodes = layer.resolved();
    let mut names: HashMap<&[u8], u32> = HashMap::new();
    for (path, node) in &nodes {
        *names.entry(if let NodeKind::Link(to) = &node.kind { to.as_slice() } else { path }).or_default() += 1;
    }
    let by_path: HashMap<&[u8], &Node> = nodes.iter().map(|(path, node)| (*path, &**node)).collect();
    let mut tree: TreeSeen = Vec::with_capacity(nodes.len());
    for (path, node) in &nodes {
        let (at, node) = match &node.kind {
            NodeKind::Link(to) => match by_path.get(to.as_slice()) {
                Some(node) => (to.as_slice(), *node),
                None => continue,
            },
            _ => (*path, &**node),
        };
        let (content, rdev) = match &node.kind {
            NodeKind::File(data) | NodeKind::Symlink(data) => (Content::Bytes(data.clone()), (0, 0)),
            NodeKind::Char(d) | NodeKind::Block(d) => (Content::None, (d.major(), d.minor())),
            _ => (Content::None, (0, 0)),
        };
        let kind = node.kind.kind().unwrap_or(Kind::Unknown);
        let size = if let Content::Bytes(data) = &content { data.len() as u64 } else { 0 };
        let nlink = names.get(at).copied().unwrap_or(1);
        let (time, ino, dev) = (node.time, 0, (0, 0));
        let (mode, uid, gid) = (node.mode, node.uid, node.gid);
        let (blocks, atime, mtime, ctime) = (0, time, time, time);
        let stat = Stat { kind, mode, uid, gid, nlink, size, blocks, rdev, ino, dev, atime, mtime, ctime };
        let seen = Ok(Seen { stat, xattrs: Some(node.xattrs.clone()), content });
        tree.push(NodeSeen { path: Bytes::from(*path), listed: kind, seen, list_error: None });
    }
    tree.sort_by(|a, b| a.path.0.split(|&c| c == b'/').cmp(b.path.0.split(|&c| c == b'/')));
    // The root's path is empty, and so is the first part of no other.
    tree
}

/// A node of the merged view; without private xattrs, and escaped ones as the view shows them.
fn node(top: &Seen, data: Option<&Content>) -> Option<Node> {
    let s = &top.stat;
    let bytes = || match data {
        Some(Content::Bytes(bytes)) => Some(bytes.clone()),
        _ => None,
    };
    let device = || Device::new(s.rdev.0, s.rdev.1).ok();
    let kind = match s.kind {
        Kind::Dir => NodeKind::Dir,
        Kind::File => NodeKind::File(bytes()?),
        Kind::Symlink => NodeKind::Symlink(bytes()?),
        Kind::Fifo => NodeKind::Fifo,
        Kind::Socket => NodeKind::Socket,
        Kind::Char => NodeKind::Char(device()?),
        Kind::Block => NodeKind::Block(device()?),
        Kind::Unknown => return None,
    };
    let xattrs = top.xattrs.iter().flatten().filter_map(|(name, value)| {
        let name = match name.as_slice().strip_prefix(b"@") {
            Some(private) => Bytes::from([b"@", private.strip_prefix(b"overlay.")?].concat()),
            None => name.clone(),
        };
        Some((name, value.clone()))
    });
    // Where the holes were, what the layers hold does not tell; nor is it compared (CUP-15).
    let xattrs = xattrs.collect();
    Some(Node { kind, mode: s.mode, uid: s.uid, gid: s.gid, time: s.mtime, sparse: false, xattrs })
}
