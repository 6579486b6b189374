//! Cases: layers, mount options and steps, as plain data with a text form.
//!
//! A case is self-contained. It is drawn ([`crate::generate`]) or read from a file, and its text
//! form ([`text`]) is what a report prints and `ovlcheck replay` takes.

pub mod text;

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::step::{Device, Step};
use crate::trace::{Kind, Side, Time};

/// How many lower layers a case may have.
pub const MAX_LOWERS: usize = 6;

/// How many filesystems, all of one kind, the layers of a case may lie on.
pub const MAX_FILESYSTEMS: usize = 3;

/// One test case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What it shows, in a few words; may be empty.
    pub title: String,
    /// Overlay mount options beyond the layers, as written: `redirect_dir=off`.
    pub options: Vec<String>,
    /// Lower layers, top-most first; at least one.
    pub lowers: Vec<Layer>,
    /// What the upper layer holds before the first mount.
    pub upper: Layer,
    /// What is done.
    pub steps: Vec<Step>,
    /// Trees that a case file asserts after the last step.
    pub expect: Vec<ExpectedTree>,
}

/// The initial content of one layer.
///
/// Entries are in no particular order and parents need not be listed: a missing parent is a plain
/// directory. [`Layer::resolved`] gives the complete list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The entries. The layer's own root may be listed as the empty path.
    pub entries: Vec<Entry>,
    /// The filesystem that a lower layer lies on, below [`MAX_FILESYSTEMS`]; the upper layer and the work directory lie
    /// on 0.
    #[serde(default)]
    pub on: u8,
}

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where: a clean relative path (no empty component, `.` or `..`); empty for the layer's root.
    pub path: Bytes,
    /// What.
    pub node: Node,
}

/// A node of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its type and what belongs to that.
    pub kind: NodeKind,
    /// Mode bits below 010000. A symlink's is always 0777.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Both atime and mtime; back-dated so that an update shows.
    pub time: Time,
    /// Whether whole pages of zeros in a regular file's data are holes.
    pub sparse: bool,
    /// Extended attributes. A name that starts with `@` is private: `@opaque` stands for
    /// `trusted.overlay.opaque`, or `user.overlay.opaque` with `userxattr`.
    pub xattrs: Vec<(Bytes, Bytes)>,
}

/// The time stamp of layer entries that name no other: 2001-09-09 01:46:40 UTC.
pub const LAYER_TIME: Time = Time { sec: 1_000_000_000, nsec: 0 };

/// The size of a hole, and of what is stored between two: a page of every filesystem that layers are put on.
const SPARSE_PAGE: usize = 4096;

/// The pages of sparse data that have storage: those that hold more than zeros.
pub fn stored_pages(data: &[u8]) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    let pages = data.chunks(SPARSE_PAGE).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    pages.map(|(at, page)| at * SPARSE_PAGE..at * SPARSE_PAGE + page.len())
}

/// Type of a layer's node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A directory.
    Dir,
    /// A regular file with its data.
    File(Bytes),
    /// A symlink with its target.
    Symlink(Bytes),
    /// A fifo.
    Fifo,
    /// A socket nobody listens on.
    Socket,
    /// A character device; 0:0 is a whiteout.
    Char(Device),
    /// A block device.
    Block(Device),
    /// A hard link to the entry at this path of the same layer, which is not a directory and not a
    /// hard link itself. Mode, owner, times and xattrs are that entry's.
    Link(Bytes),
}

impl NodeKind {
    /// The type as traces name it; `None` for a hard link.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            NodeKind::Dir => Kind::Dir,
            NodeKind::File(_) => Kind::File,
            NodeKind::Symlink(_) => Kind::Symlink,
            NodeKind::Fifo => Kind::Fifo,
            NodeKind::Socket => Kind::Socket,
            NodeKind::Char(_) => Kind::Char,
            NodeKind::Block(_) => Kind::Block,
            NodeKind::Link(_) => return None,
        })
    }
}

impl Node {
    /// A node of this kind with default attributes: 0755 for a directory, 0777 for a symlink, 0 for
    /// a whiteout, 0644 for the rest; owned by 0:0; dated [`LAYER_TIME`].
    pub fn new(kind: NodeKind) -> Node {
        let mode = match &kind {
            NodeKind::Dir => 0o755,
            NodeKind::Symlink(_) => 0o777,
            NodeKind::Char(Device::WHITEOUT) => 0,
            _ => 0o644,
        };
        Node { kind, mode, uid: 0, gid: 0, time: LAYER_TIME, sparse: false, xattrs: Vec::new() }
    }

    /// Whether this is a whiteout (WHT-01).
    pub fn is_whiteout(&self) -> bool {
        self.kind == NodeKind::Char(Device::WHITEOUT)
    }
}

impl Case {
    /// Whether its layers lie on several filesystems.
    pub fn spans_filesystems(&self) -> bool {
        self.lowers.iter().any(|layer| layer.on != 0)
    }
}

impl Layer {
    /// The filesystem that it lies on: what a case says beyond those that there are is the first.
    pub fn filesystem(&self) -> usize {
        Some(usize::from(self.on)).filter(|on| *on < MAX_FILESYSTEMS).unwrap_or(0)
    }

    /// All entries with parents before children and missing parents filled in, sorted by path; the
    /// root is always the first. Hard links come after everything else, in sorted order.
    ///
    /// Of several entries with one path the last counts; an entry below something that is not a
    /// directory, and a hard link to nothing or to a directory, is left out. So any list of entries
    /// means a layer, which shrinking relies on; a case *file* with such an entry is refused.
    pub fn resolved(&self) -> Vec<(&[u8], std::borrow::Cow<'_, Node>)> {
        use std::borrow::Cow;
        use std::collections::BTreeMap;
        let mut map: BTreeMap<&[u8], Cow<'_, Node>> = BTreeMap::new();
        map.insert(b"", Cow::Owned(Node::new(NodeKind::Dir)));
        for e in &self.entries {
            if !e.path.is_empty() || e.node.kind == NodeKind::Dir {
                map.insert(e.path.as_slice(), Cow::Borrowed(&e.node));
            }
        }
        let mut missing: Vec<&[u8]> = Vec::new();
        for path in map.keys() {
            for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
                if !map.contains_key(&path[..at]) {
                    missing.push(&path[..at]);
                }
            }
        }
        for path in missing {
            map.entry(path).or_insert_with(|| Cow::Owned(Node::new(NodeKind::Dir)));
        }
        let dir_at =
            |map: &BTreeMap<&[u8], Cow<'_, Node>>, path: &[u8]| map.get(path).is_some_and(|n| n.kind == NodeKind::Dir);
        let below_dirs =
            |path: &[u8]| path.iter().enumerate().filter(|(_, b)| **b == b'/').all(|(at, _)| dir_at(&map, &path[..at]));
        let mut nodes = Vec::with_capacity(map.len());
        let mut links = Vec::new();
        for (path, node) in &map {
            if !below_dirs(path) {
                continue;
            }
            match &node.kind {
                NodeKind::Link(to) => {
                    let target = map.get(to.as_slice());
                    if target.is_some_and(|t| !matches!(t.kind, NodeKind::Dir | NodeKind::Link(_)))
                        && below_dirs(to.as_slice())
                    {
                        links.push((*path, node.clone()));
                    }
                }
                _ => nodes.push((*path, node.clone())),
            }
        }
        nodes.extend(links);
        nodes
    }
}

/// A tree that a case file asserts after the last step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedTree {
    /// Which tree.
    pub side: Side,
    /// `exact`: the tree holds these entries and no others, and an xattr that an entry does not
    /// mention is not there. Otherwise entries that are not listed are not asserted.
    pub exact: bool,
    /// The entries.
    pub entries: Vec<ExpectedEntry>,
}

/// One asserted place. What is `None` is not asserted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedEntry {
    /// Where.
    pub path: Bytes,
    /// What: `None` asserts that nothing is there (`absent`).
    pub kind: Option<ExpectedKind>,
    /// Mode bits.
    pub mode: Option<u16>,
    /// Owner and group.
    pub owner: Option<(u32, u32)>,
    /// Link count.
    pub nlink: Option<u32>,
    /// Modification time.
    pub mtime: Option<Time>,
    /// Xattrs by name; a value of `None` asserts only presence (a handle, an uuid).
    pub xattrs: Vec<(Bytes, Option<Bytes>)>,
}

/// Asserted type, and content where the file gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExpectedKind {
    /// A directory.
    Dir,
    /// A regular file; its data when given.
    File(Option<Bytes>),
    /// A symlink; its target when given.
    Symlink(Option<Bytes>),
    /// A fifo.
    Fifo,
    /// A socket.
    Socket,
    /// A character device, with its number when given.
    Char(Option<Device>),
    /// A block device, with its number when given.
    Block(Option<Device>),
    /// A whiteout: a character device 0:0.
    Whiteout,
}
