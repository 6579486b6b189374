//! One layer as it was read: an index of its directories, and the marks of the format.

use super::merge::Rules;
use crate::trace::{Kind, NodeSeen, Seen};

/// Index of a node of a layer, in the order in which it was read; 0 is its root.
pub(super) type At = usize;

/// A layer as it was read, in walking order, with an index of its directories.
#[derive(Debug)]
pub struct LayerTree<'a> {
    nodes: &'a [NodeSeen],
    children: Vec<Vec<At>>,
}

impl<'a> LayerTree<'a> {
    /// Indexes a tree in walking order: depth first, the names of a directory sorted.
    pub fn new(nodes: &'a [NodeSeen]) -> LayerTree<'a> {
        let mut children = vec![Vec::new(); nodes.len()];
        // The directories that the walk is in.
        let mut above: Vec<At> = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let (parent, _) = node.path.split_last();
            while above.last().is_some_and(|&dir| nodes[dir].path.as_slice() != parent) {
                above.pop();
            }
            if let (Some(&dir), false) = (above.last(), node.path.is_empty()) {
                children[dir].push(at);
            }
            above.push(at);
        }
        LayerTree { nodes, children }
    }

    /// Whether nothing was read, not even a root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn node(&self, at: At) -> &'a NodeSeen {
        &self.nodes[at]
    }

    /// What is there, if it could be looked at.
    pub(super) fn seen(&self, at: At) -> Option<&'a Seen> {
        self.nodes[at].seen.as_ref().ok()
    }

    pub(super) fn name(&self, at: At) -> &'a [u8] {
        self.nodes[at].path.split_last().1
    }

    /// The entries of a directory, sorted by name.
    pub(super) fn children(&self, dir: At) -> &[At] {
        &self.children[dir]
    }

    /// The entry of this name in a directory.
    pub(super) fn child(&self, dir: At, name: &[u8]) -> Option<At> {
        let entries = &self.children[dir];
        entries.binary_search_by(|&at| self.name(at).cmp(name)).ok().map(|found| entries[found])
    }

    fn xattr(&self, at: At, name: &str) -> Option<&'a [u8]> {
        let xattrs = self.seen(at)?.xattrs.as_ref()?;
        xattrs.iter().find(|(n, _)| n.as_slice() == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    pub(super) fn is_dir(&self, at: At) -> bool {
        self.seen(at).is_some_and(|s| s.stat.kind == Kind::Dir)
    }

    /// Whether the node hides what lies below it and shows nothing itself: a character device 0:0, or an
    /// empty file that an xattr makes one. The mark of directories that hold the latter (`@opaque` with
    /// value `x`) decides only whether they are listed.
    pub(super) fn is_whiteout(&self, at: At, rules: Rules) -> bool {
        let Some(seen) = self.seen(at) else { return false };
        match seen.stat.kind {
            Kind::Char => seen.stat.rdev == (0, 0),
            Kind::File => rules.xattr_whiteouts && seen.stat.size == 0 && self.xattr(at, "@whiteout").is_some(),
            _ => false,
        }
    }

    /// Whether a directory hides all that is below it.
    pub(super) fn is_opaque(&self, at: At) -> bool {
        self.xattr(at, "@opaque") == Some(b"y")
    }

    /// Where the layers below have this directory or file, if elsewhere: a path from the root of the
    /// layer (`/a/b`), or another name in the same directory.
    pub(super) fn redirect(&self, at: At) -> Option<&'a [u8]> {
        self.xattr(at, "@redirect")
    }

    /// Whether a file has no data of its own.
    pub(super) fn is_metacopy(&self, at: At) -> bool {
        self.seen(at).is_some_and(|s| s.stat.kind == Kind::File) && self.xattr(at, "@metacopy").is_some()
    }

    /// Whether the link count stands in an xattr and not in the inode.
    pub(super) fn has_own_link_count(&self, at: At) -> bool {
        self.xattr(at, "@nlink").is_some()
    }
}
