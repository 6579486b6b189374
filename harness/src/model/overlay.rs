//! The overlay's own objects: dentries and inodes, as the kernel caches them.
//!
//! A merged node is a stack of (layer, inode), never "lower or upper". What is cached matters: a
//! name keeps the stack it was looked up with, an open file keeps its dentry after removal, and two
//! names share an overlay inode only if the kernel finds it by the same key.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Weak;

use super::disk::Ino;
use super::number::Number;
use super::stream::Placed;
use crate::bytes::Bytes;
use crate::step::InodeFlags;
use crate::trace::Kind;

/// Index of a dentry.
pub type DentryId = usize;
/// Index of an overlay inode.
pub type NodeId = usize;

/// A name in the merged tree: positive (with a node) or negative.
#[derive(Clone, Debug)]
pub struct Dentry {
    /// The directory it is in; the root is its own.
    pub parent: DentryId,
    /// Its name there; empty for the root, and for what O_TMPFILE made.
    pub name: Bytes,
    /// The overlay inode; `None` for a negative dentry.
    pub node: Option<NodeId>,
    /// `ovl_dentry_is_opaque`: an upper whiteout is at the name (negative), or the directory is
    /// opaque.
    pub opaque: bool,
    /// `OVL_E_UPPER_ALIAS`: the upper has this very name, not the index alone.
    pub alias: bool,
    /// `OVL_E_XWHITEOUTS`: one of its lower directories is marked as having xattr whiteouts.
    pub marked: bool,
    /// Whether a walk still finds it.
    pub hashed: bool,
    /// Looked-up names, if it is a directory.
    pub children: BTreeMap<Bytes, DentryId>,
    /// Open files that hold it.
    pub pins: u32,
}

/// An overlay inode.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its type.
    pub kind: Kind,
    /// `S_IMMUTABLE` and `S_APPEND` of the overlay inode.
    pub flags: InodeFlags,
    /// The upper inode.
    pub upper: Option<Ino>,
    /// The lower inodes, top first, each with the index of its layer (0 is the top lower layer).
    /// For what is no directory: the copy-up origin, and last what holds the data of a metacopy.
    pub lowers: Vec<(usize, Ino)>,
    /// `i_mode`: the real inode's mode when this was last copied. Two overlay inodes of one upper inode
    /// go out of step (REN-14).
    pub mode: u16,
    /// `i_uid` and `i_gid`, copied with the mode.
    pub owner: (u32, u32),
    /// `i_size` of a regular file, copied with the mode.
    pub size: u64,
    /// `OVL_CONST_INO`: known by its lower inode, so its number survives copy-up.
    pub by_lower: bool,
    /// `OVL_WHITEOUTS`: listings must merge because whiteouts may be in it.
    pub whiteouts: bool,
    /// `OVL_IMPURE`: the upper directory may hold copied-up children.
    pub impure: bool,
    /// `OVL_INDEX`: its upper is in the index.
    pub indexed: bool,
    /// `S_NOSEC`: a write found no setuid or setgid on the overlay inode, and none is looked for again until one
    /// is set through it.
    pub no_suid: bool,
    /// `OVL_UPPERDATA`: the upper holds the data too, not the attributes alone (metacopy).
    pub upper_data: bool,
    /// The redirect on its upper, if it was looked up or set (`ovl_dentry_get_redirect`).
    pub redirect: Option<Bytes>,
    /// Counts changes that listings must notice.
    pub version: u64,
    /// The impure cache, if there is one: the `version` it was filled at, and of the names that had an
    /// origin then the inode whose number they are listed with. A hard link made since does not
    /// count as a change, and is listed with its raw number (INO-08.stale).
    pub impure_cache: Option<(u64, BTreeMap<Bytes, Ino>)>,
    /// The merged listing that open directories share, while one holds it (`ovl_dir_cache`).
    pub snapshot: Weak<RefCell<Snapshot>>,
    /// The real inode that the kernel's inode cache knows it by.
    pub key: Option<Ino>,
    /// `S_DEAD`: a directory that was removed.
    pub dead: bool,
    /// `i_nlink`: the real inode's links when this was made, and what the overlay did to them since. What is
    /// no directory cannot be linked when there is none left. It is shown of what is indexed (NLK-03).
    pub nlink: u32,
    /// How many dentries have it.
    pub refs: u32,
    /// Pipe of an open fifo.
    pub pipe: Pipe,
}

/// A merged listing as it was when it was first read (DIR-07).
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The directory's `version` then.
    pub version: u64,
    /// Its names, sorted; `.` and `..` come last.
    pub entries: Vec<SnapshotEntry>,
    /// What is where, as far as it was read call by call.
    pub order: Vec<Placed>,
    /// The last position at which a call ended.
    pub reached: usize,
    /// What came before the first entry that was given is not known.
    pub vague: bool,
    /// What `d_ino` of `..` is, once it was given.
    pub parent: Option<Option<Number>>,
}

/// A name of a merged listing.
#[derive(Clone, Debug)]
pub struct SnapshotEntry {
    /// The name.
    pub name: Bytes,
    /// Its type.
    pub kind: Kind,
    /// The inode whose number it is listed with; `None` until it is looked up for that.
    pub number: Option<Ino>,
    /// The inode that it has on disk.
    pub real: Ino,
    /// A whiteout, or gone when it was looked up.
    pub hidden: bool,
    /// It may have been gone when it was passed over.
    pub optional: bool,
    /// It may be an xattr whiteout, which a lookup tells each time it is emitted.
    pub check: bool,
}

/// State of a fifo while it is open.
#[derive(Clone, Debug, Default)]
pub struct Pipe {
    /// Descriptors that read.
    pub readers: u32,
    /// Descriptors that write.
    pub writers: u32,
    /// What is in it.
    pub data: Vec<u8>,
}

impl Node {
    /// The inode that attributes come from: the upper, else the top-most lower (LKP-05).
    pub fn real(&self) -> Ino {
        match self.upper {
            Some(ino) => ino,
            None => self.lowers[0].1,
        }
    }

    /// The inode that data come from: below a metacopy the one that has them (MCP-01).
    pub fn data(&self) -> Ino {
        match (self.upper, self.lowers.last()) {
            (Some(upper), _) if self.upper_data => upper,
            (_, Some(lower)) => lower.1,
            (Some(upper), None) => upper,
            (None, None) => self.real(),
        }
    }

    /// `OVL_TYPE_MERGE`: a directory of upper and lower or of several lowers; a metacopy.
    pub fn is_merge(&self) -> bool {
        if self.upper.is_some() {
            !self.lowers.is_empty() && (self.kind == Kind::Dir || !self.upper_data)
        } else {
            self.lowers.len() > 1
        }
    }

    /// `ovl_is_metacopy_dentry`: its data lie below its attributes.
    pub fn is_metacopy(&self) -> bool {
        self.kind == Kind::File && self.is_merge()
    }

    /// `OVL_TYPE_ORIGIN`: an upper object whose inode number is that of its origin.
    pub fn has_origin(&self) -> bool {
        self.upper.is_some() && !self.lowers.is_empty() && self.by_lower
    }

    /// `ovl_dir_is_real`: listed as it lies on disk.
    pub fn lists_real(&self) -> bool {
        !self.is_merge() && !self.whiteouts
    }
}

/// All dentries and overlay inodes of a mount.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    dentries: Vec<Dentry>,
    nodes: Vec<Node>,
    by_key: HashMap<Ino, NodeId>,
}

impl Cache {
    /// The root's dentry.
    pub const ROOT: DentryId = 0;

    /// A cache that holds the root alone.
    pub fn new(root: Node) -> Cache {
        let mut cache = Cache::default();
        let node = cache.add_node(root);
        cache.dentries.push(Dentry {
            parent: Cache::ROOT,
            name: Bytes::default(),
            node: Some(node),
            opaque: false,
            alias: true,
            marked: false,
            hashed: true,
            children: BTreeMap::new(),
            pins: 1,
        });
        cache.nodes[node].refs = 1;
        cache
    }

    /// A dentry.
    pub fn dentry(&self, id: DentryId) -> &Dentry {
        &self.dentries[id]
    }

    /// A dentry, to change it.
    pub fn dentry_mut(&mut self, id: DentryId) -> &mut Dentry {
        &mut self.dentries[id]
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// A node, to change it.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// The node of a dentry.
    pub fn at(&self, id: DentryId) -> Option<&Node> {
        self.dentries[id].node.map(|n| &self.nodes[n])
    }

    /// Adds a node and makes it known by its key.
    pub fn add_node(&mut self, node: Node) -> NodeId {
        let id = self.nodes.len();
        if let Some(key) = node.key {
            self.by_key.insert(key, id);
        }
        self.nodes.push(node);
        id
    }

    /// The node known by a real inode.
    pub fn find(&self, key: Ino) -> Option<NodeId> {
        self.by_key.get(&key).copied()
    }

    /// Makes a node that had no key known by `key` (`ovl_inode_update`).
    pub fn rekey(&mut self, id: NodeId, key: Ino) {
        if self.nodes[id].key.is_none() {
            self.nodes[id].key = Some(key);
            self.by_key.insert(key, id);
        }
    }

    /// The dentry that a directory has for `name`, if it was looked up.
    pub fn child(&self, dir: DentryId, name: &[u8]) -> Option<DentryId> {
        self.dentries[dir].children.get(name).copied()
    }

    /// The dentry that a directory's node has for `name`, by whatever dentry it is reached.
    pub fn child_of(&self, dir: NodeId, name: &[u8]) -> Option<DentryId> {
        self.dentries.iter().find(|d| d.hashed && d.node == Some(dir)).and_then(|d| d.children.get(name).copied())
    }

    /// Adds a dentry for a name that has none.
    pub fn add_dentry(&mut self, parent: DentryId, name: Bytes, node: Option<NodeId>, opaque: bool) -> DentryId {
        let id = self.dentries.len();
        self.dentries[parent].children.insert(name.clone(), id);
        if let Some(node) = node {
            self.nodes[node].refs += 1;
        }
        let alias = false;
        self.dentries.push(Dentry {
            parent,
            name,
            node,
            opaque,
            alias,
            marked: false,
            hashed: true,
            children: BTreeMap::new(),
            pins: 0,
        });
        id
    }

    /// Adds a dentry that has no name and that no walk finds, for what a descriptor holds (`d_mark_tmpfile`).
    pub fn add_nameless(&mut self, parent: DentryId, node: NodeId) -> DentryId {
        let id = self.dentries.len();
        self.nodes[node].refs += 1;
        self.dentries.push(Dentry {
            parent,
            name: Bytes::default(),
            node: Some(node),
            opaque: false,
            alias: true,
            marked: false,
            hashed: false,
            children: BTreeMap::new(),
            pins: 0,
        });
        id
    }

    /// Gives a negative dentry a node (`d_instantiate`).
    pub fn instantiate(&mut self, id: DentryId, node: NodeId) {
        self.dentries[id].node = Some(node);
        self.dentries[id].alias = true;
        self.nodes[node].refs += 1;
    }

    /// Takes a dentry out of the tree (`d_drop`); it lives on while a descriptor holds it.
    pub fn unhash(&mut self, id: DentryId) {
        if !self.dentries[id].hashed {
            return;
        }
        self.dentries[id].hashed = false;
        let (parent, name) = (self.dentries[id].parent, self.dentries[id].name.clone());
        if self.dentries[parent].children.get(&name) == Some(&id) {
            self.dentries[parent].children.remove(&name);
        }
        self.release_unused(id);
    }

    fn release_unused(&mut self, id: DentryId) {
        // A dentry lives while it is found, held, or above one that is held.
        if self.dentries[id].hashed || self.dentries.iter().any(|d| d.pins > 0 && self.is_above(id, d)) {
            return;
        }
        for child in self.dentries[id].children.values().copied().collect::<Vec<_>>() {
            self.unhash(child);
        }
        if !self.dentries[id].children.is_empty() {
            return;
        }
        if let Some(node) = self.dentries[id].node.take() {
            self.nodes[node].refs -= 1;
            if self.nodes[node].refs == 0 {
                if let Some(key) = self.nodes[node].key {
                    if self.by_key.get(&key) == Some(&node) {
                        self.by_key.remove(&key);
                    }
                }
            }
        }
    }

    /// Whether `id` is this dentry or above it.
    fn is_above(&self, id: DentryId, dentry: &Dentry) -> bool {
        dentry.node == self.dentries[id].node && dentry.name == self.dentries[id].name
            || self.is_ancestor(id, dentry.parent)
    }

    /// Whether a walk finds a node by any name.
    pub fn has_name(&self, node: NodeId) -> bool {
        self.dentries.iter().any(|d| d.hashed && d.node == Some(node))
    }

    /// Whether another name of a node than this one is known.
    pub fn has_name_but(&self, node: NodeId, name: DentryId) -> bool {
        self.dentries.iter().enumerate().any(|(other, d)| other != name && d.hashed && d.node == Some(node))
    }

    /// Holds a dentry for a descriptor.
    pub fn pin(&mut self, id: DentryId) {
        self.dentries[id].pins += 1;
    }

    /// Lets a descriptor's dentry go.
    pub fn unpin(&mut self, id: DentryId) {
        self.dentries[id].pins -= 1;
        let mut at = id;
        loop {
            self.release_unused(at);
            let parent = self.dentries[at].parent;
            if parent == at {
                break;
            }
            at = parent;
        }
    }

    /// Moves a dentry to another name, whose dentry goes (`d_move`).
    pub fn rename(&mut self, old: DentryId, new: DentryId) {
        let (new_parent, new_name) = (self.dentries[new].parent, self.dentries[new].name.clone());
        self.unhash(new);
        let (old_parent, old_name) = (self.dentries[old].parent, self.dentries[old].name.clone());
        self.dentries[old_parent].children.remove(&old_name);
        self.dentries[new_parent].children.insert(new_name.clone(), old);
        (self.dentries[old].parent, self.dentries[old].name) = (new_parent, new_name);
    }

    /// Exchanges two dentries' places (`d_exchange`).
    pub fn exchange(&mut self, a: DentryId, b: DentryId) {
        let (a_parent, a_name) = (self.dentries[a].parent, self.dentries[a].name.clone());
        let (b_parent, b_name) = (self.dentries[b].parent, self.dentries[b].name.clone());
        self.dentries[a_parent].children.insert(a_name.clone(), b);
        self.dentries[b_parent].children.insert(b_name.clone(), a);
        (self.dentries[a].parent, self.dentries[a].name) = (b_parent, b_name);
        (self.dentries[b].parent, self.dentries[b].name) = (a_parent, a_name);
    }

    /// Whether `ancestor` is `id` or above it.
    pub fn is_ancestor(&self, ancestor: DentryId, id: DentryId) -> bool {
        let mut at = id;
        loop {
            if at == ancestor {
                return true;
            }
            let parent = self.dentries[at].parent;
            if parent == at {
                return false;
            }
            at = parent;
        }
    }

    /// Forgets every dentry that no descriptor holds, directly or below it (`shrink_dcache_sb`). A
    /// removed file that is open still holds the directory it was in.
    pub fn shrink(&mut self) {
        let mut held = vec![false; self.dentries.len()];
        for id in 0..self.dentries.len() {
            let mut at = id;
            while self.dentries[id].pins > 0 && !held[at] {
                held[at] = true;
                at = self.dentries[at].parent;
            }
        }
        self.shrink_below(Cache::ROOT, &held);
    }

    fn shrink_below(&mut self, id: DentryId, held: &[bool]) {
        for child in self.dentries[id].children.values().copied().collect::<Vec<_>>() {
            self.shrink_below(child, held);
            if !held[child] {
                self.unhash(child);
            }
        }
    }
}
