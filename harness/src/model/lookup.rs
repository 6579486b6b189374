//! Lookup and merge: from a name in a directory to a stack of (layer, inode).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::{Ino, XattrValue};
use super::overlay::{DentryId, Node, NodeId, Pipe};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// Longest name (MNT-48).
pub const NAME_MAX: usize = 255;

impl Model {
    /// Whether an inode of a layer is a whiteout (WHT-01, WHT-02).
    pub(super) fn is_whiteout(&mut self, ino: Ino) -> bool {
        if self.context.view == View::Plain {
            return false;
        }
        if self.disk[ino].is_char_whiteout() {
            return self.rules.holds(Clause::WhtHides);
        }
        false
    }

    fn opaque_value(&self, ino: Ino) -> Option<&XattrValue> {
        self.disk[ino].xattr("@opaque")
    }

    /// Whether a directory found in a layer ends the search (LKP-04).
    fn is_opaque(&mut self, ino: Ino) -> bool {
        match self.opaque_value(ino) {
            Some(v) if *v == XattrValue::known("y") => self.rules.holds(Clause::LkpOpaque),
            Some(_) => !self.rules.holds(Clause::LkpOpaqueValue),
            None => false,
        }
    }

    /// The dentry of a name, looked up if it is not cached (`ovl_lookup`).
    pub(super) fn lookup(&mut self, dir: DentryId, name: &[u8]) -> Result<DentryId, Errno> {
        if self.cache.at(dir).is_some_and(|n| n.dead) {
            return Err(self.refuse(Clause::CwdDead, Errno::ENOENT));
        }
        if name.len() > NAME_MAX && self.rules.holds(Clause::VfsNameTooLong) {
            return Err(Errno::ENAMETOOLONG);
        }
        let key = Bytes(name.to_vec());
        if let Some(id) = self.cache.child(dir, &key) {
            return Ok(id);
        }
        let Some(parent) = self.cache.dentry(dir).node else { return Err(Errno::ENOENT) };
        let (node, opaque) = self.search(dir, parent, name);
        Ok(self.cache.add_dentry(dir, key, node, opaque))
    }

    fn search(&mut self, dir: DentryId, parent: NodeId, name: &[u8]) -> (Option<NodeId>, bool) {
        let parent_upper = self.cache.node(parent).upper;
        let parent_lowers = self.cache.node(parent).lowers.clone();
        let follows = self.context.follows_redirects();
        let mut upper = None;
        let mut opaque = false;
        let mut stop = false;
        let mut is_dir = false;
        if let Some(ino) = parent_upper.and_then(|u| self.disk.child(u, name)) {
            if self.is_whiteout(ino) {
                stop = true;
                opaque = self.rules.holds(Clause::LkpUpperWhiteout);
            } else {
                upper = Some(ino);
                is_dir = self.disk[ino].is_dir();
                if !is_dir {
                    stop = self.rules.holds(Clause::LkpNonDirStops);
                    if !stop {
                        upper = None;
                    }
                } else {
                    // The opaque mark is not read where nothing could be below (`d.last`).
                    let last = !follows && parent_lowers.is_empty();
                    if !last && self.is_opaque(ino) {
                        stop = true;
                        opaque = true;
                    }
                }
            }
        }
        let mut lowers: Vec<(usize, Ino)> = Vec::new();
        let bottom = self.lowers.len() - usize::from(!self.lowers.is_empty());
        for (at, &(layer, lower_dir)) in parent_lowers.iter().enumerate() {
            if stop {
                break;
            }
            let Some(ino) = self.disk.child(lower_dir, name) else { continue };
            if self.is_whiteout(ino) {
                if is_dir && !self.rules.holds(Clause::LkpWhiteoutBelow) {
                    continue;
                }
                break;
            }
            if !self.disk[ino].is_dir() {
                if is_dir {
                    if self.rules.holds(Clause::LkpNonDirBelow) {
                        break;
                    }
                    continue;
                }
                if at + 1 < parent_lowers.len() && !self.rules.holds(Clause::LkpNonDirStops) {
                    continue;
                }
                lowers.push((layer, ino));
                break;
            }
            if is_dir && !self.rules.holds(Clause::LkpMerge) {
                break;
            }
            is_dir = true;
            if let Some(upper) = upper {
                if lowers.is_empty() {
                    self.fix_origin(dir, upper, ino);
                }
            }
            lowers.push((layer, ino));
            let last = if follows { layer == bottom } else { at + 1 == parent_lowers.len() };
            if last {
                if follows {
                    break;
                }
            } else if self.is_opaque(ino) {
                break;
            }
        }
        if lowers.len() > 1 && !self.rules.holds(Clause::LkpOrder) {
            lowers.reverse();
        }
        if let Some(ino) = upper {
            if !is_dir {
                lowers = self.decode_origin(ino).into_iter().collect();
            }
        }
        if upper.is_none() && lowers.is_empty() {
            return (None, opaque);
        }
        (Some(self.node_for(upper, lowers)), opaque)
    }

    /// Stores a missing origin on an upper directory that merges (`ovl_fix_origin`, LKP-09).
    fn fix_origin(&mut self, dir: DentryId, upper: Ino, lower: Ino) {
        if self.context.view == View::Plain || self.disk[upper].xattr("@origin").is_some() {
            return;
        }
        if self.rules.holds(Clause::LkpFixOrigin) {
            let value = self.origin_value(lower);
            self.disk.set_xattr(&mut self.rules, upper, "@origin", value);
        }
        if self.rules.holds(Clause::LkpFixImpure) {
            self.set_impure(dir);
        }
    }

    /// The origin of an upper file, where handles decode (LKP-10).
    fn decode_origin(&mut self, upper: Ino) -> Option<(usize, Ino)> {
        if !self.context.decodes_handles() {
            return None;
        }
        let Some(XattrValue::Handle(origin)) = self.disk[upper].xattr("@origin") else { return None };
        let origin = *origin;
        let same_kind = self.disk[origin].body.kind() == self.disk[upper].body.kind();
        if !same_kind || self.disk[origin].nlink == 0 || !self.rules.holds(Clause::LkpDecodeOrigin) {
            return None;
        }
        // Which layer it is in does not matter where all are on one filesystem.
        Some((0, origin))
    }

    /// The overlay inode for a stack: the cached one if its key is known (`ovl_get_inode`).
    fn node_for(&mut self, upper: Option<Ino>, lowers: Vec<(usize, Ino)>) -> NodeId {
        let real = upper.unwrap_or_else(|| lowers[0].1);
        let kind = self.disk[real].body.kind();
        let is_dir = kind == Kind::Dir;
        let lower = lowers.first().map(|l| l.1);
        // `ovl_hash_bylower`: not a lower hard link, which copy-up breaks while index is off.
        let by_lower = lower.is_some_and(|l| is_dir || self.disk[l].nlink <= 1);
        let key = if by_lower { lower } else { upper };
        if let Some(found) = key.and_then(|k| self.cache.find(k)) {
            return found;
        }
        let merged = upper.is_some() && lower.is_some() || lowers.len() > 1;
        let whiteouts =
            is_dir && self.context.view == View::Overlay && (merged || self.disk[real].xattr("@origin").is_some());
        let overlay = self.context.view == View::Overlay;
        let impure =
            overlay && upper.is_some_and(|u| is_dir && self.disk[u].xattr("@impure") == Some(&XattrValue::known("y")));
        let mode = self.disk[real].mode;
        // A lower hard link that copy-up will break is an inode by itself.
        let nlink = if upper.is_some() || by_lower { self.disk[real].nlink } else { 1 };
        self.cache.add_node(Node {
            kind,
            mode,
            owner: (self.disk[real].uid, self.disk[real].gid),
            upper,
            lowers,
            by_lower,
            whiteouts,
            impure,
            version: 0,
            impure_cache: None,
            snapshot: Default::default(),
            key,
            dead: false,
            nlink,
            refs: 0,
            pipe: Pipe::default(),
        })
    }

    /// Whether something lower would show through at a positive dentry's name (`ovl_lower_positive`,
    /// RMV-01).
    pub(super) fn lower_positive(&mut self, id: DentryId) -> bool {
        let Some(node) = self.cache.at(id) else { return self.cache.dentry(id).opaque };
        if node.upper.is_none() {
            return true;
        }
        let parent = self.cache.dentry(id).parent;
        let name = self.cache.dentry(id).name.clone();
        let pool = self.cache.at(parent).map(|p| p.lowers.clone()).unwrap_or_default();
        for (_, dir) in pool {
            if let Some(ino) = self.disk.child(dir, name.as_slice()) {
                return if self.is_whiteout(ino) {
                    !self.rules.holds(Clause::RmvLowerWhiteout)
                } else {
                    self.rules.holds(Clause::RmvShadow)
                };
            }
        }
        false
    }
}
