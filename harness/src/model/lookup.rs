//! Lookup and merge: from a name in a directory to a stack of (layer, inode).

use super::Model;
use super::clause::Clause;
use super::context::View;
use super::disk::{Body, Ino, XattrValue};
use super::overlay::{DentryId, Node, NodeId, Pipe};
use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Kind;

/// Longest name (MNT-48).
pub const NAME_MAX: usize = 255;

/// A lookup under way (`struct ovl_lookup_data`).
#[derive(Default)]
struct Search {
    /// The name to look for: one component, or an absolute path once a redirect gave one.
    name: Vec<u8>,
    /// A directory was found.
    is_dir: bool,
    /// An upper whiteout or an opaque directory was found.
    opaque: bool,
    /// Nothing below counts.
    stop: bool,
    /// The layer is the last one to look at.
    last: bool,
    /// The last file found has attributes and no data.
    metacopy: bool,
    /// What the last redirect made of the name.
    redirect: Option<Vec<u8>>,
    /// Which lower layer is looked at.
    layer: usize,
    /// A directory of a lower layer is marked as having xattr whiteouts.
    marked: bool,
}

/// What a lookup found.
struct Found {
    node: Option<NodeId>,
    /// An upper whiteout is at the name, or the directory is opaque.
    opaque: bool,
    /// The upper has the name.
    alias: bool,
    /// A lower directory is marked as having xattr whiteouts.
    marked: bool,
}

/// What an overlay inode is made of (`struct ovl_inode_params`).
struct Made {
    upper: Option<Ino>,
    lowers: Vec<(usize, Ino)>,
    redirect: Option<Bytes>,
    upper_data: bool,
    index: Option<Ino>,
}

impl Model {
    /// Whether an inode of a layer is a whiteout (WHT-01, WHT-02).
    pub(super) fn is_whiteout(&mut self, ino: Ino) -> bool {
        if self.context.view == View::Plain {
            return false;
        }
        if self.disk[ino].is_char_whiteout() {
            return self.rules.holds(Clause::WhtHides);
        }
        self.is_xattr_whiteout(ino) && self.rules.holds(Clause::WhtXattr)
    }

    /// Whether the kernel takes a file of a layer for a whiteout because of an xattr
    /// (`ovl_path_check_xwhiteout_xattr`).
    pub(super) fn is_xattr_whiteout(&self, ino: Ino) -> bool {
        let inode = &self.disk[ino];
        let empty = matches!(&inode.body, Body::File(data) if data.is_empty());
        empty && self.context.knows_xattr_whiteouts() && inode.xattr("@whiteout").is_some()
    }

    /// Whether what lies at a name of a directory hides it; also where nothing lies there at all.
    pub(super) fn is_gone(&self, id: DentryId, name: &[u8]) -> bool {
        let Some(node) = self.cache.at(id) else { return true };
        let mut dirs = node.upper.into_iter().chain(node.lowers.iter().map(|l| l.1));
        let first = dirs.find_map(|dir| self.disk.child(dir, name));
        first.is_none_or(|ino| self.disk[ino].is_char_whiteout() || self.is_xattr_whiteout(ino))
    }

    /// Whether a file of a layer has its data further down (`ovl_check_metacopy_xattr`).
    fn is_metacopy(&mut self, ino: Ino) -> bool {
        let marked = self.context.view == View::Overlay
            && matches!(self.disk[ino].body, Body::File(_))
            && self.disk[ino].xattr("@metacopy").is_some();
        marked && self.rules.holds(Clause::McpData)
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
        if let Some(id) = self.cache.child(dir, name) {
            return Ok(id);
        }
        let Some(parent) = self.cache.dentry(dir).node else { return Err(Errno::ENOENT) };
        let Found { node, opaque, alias, marked } = self.search(dir, parent, name)?;
        let id = self.cache.add_dentry(dir, Bytes::from(name), node, opaque);
        let dentry = self.cache.dentry_mut(id);
        (dentry.alias, dentry.marked) = (alias, marked);
        Ok(id)
    }

    fn search(&mut self, dir: DentryId, parent: NodeId, name: &[u8]) -> Result<Found, Errno> {
        let overlay = self.context.view == View::Overlay;
        let follows = overlay && self.options.follows();
        let roots: Vec<(usize, Ino)> = self.lowers.iter().copied().enumerate().collect();
        let bottom = roots.len().saturating_sub(1);
        let mut pool = self.cache.node(parent).lowers.clone();
        let mut d = Search { name: name.to_vec(), last: !follows && pool.is_empty(), ..Search::default() };
        let mut upper = None;
        let mut upper_opaque = false;
        let mut upper_metacopy = false;
        let mut redirect = None;
        if let Some(base) = self.cache.node(parent).upper {
            upper = self.lookup_layer(base, &mut d, true)?;
            redirect = d.redirect.clone();
            if redirect.as_ref().is_some_and(|r| r.first() == Some(&b'/')) {
                pool.clone_from(&roots);
            }
            upper_opaque = d.opaque;
            upper_metacopy = d.metacopy;
        }
        let mut lowers: Vec<(usize, Ino)> = Vec::new();
        let mut at = 0;
        while let (false, Some(&(layer, base))) = (d.stop, pool.get(at)) {
            at += 1;
            // Since 6.16 it is refused to look further; before, to take what was found there.
            let early = self.context.kernel >= (6, 16);
            if early {
                self.may_follow_redirect(&d, follows)?;
                self.may_follow_metacopy(d.metacopy)?;
            }
            d.last = if follows { layer == bottom } else { at == pool.len() };
            d.layer = layer;
            let Some(ino) = self.lookup_layer(base, &mut d, false)? else { continue };
            if !early {
                self.may_follow_metacopy(upper_metacopy || d.metacopy)?;
            }
            if let (Some(upper), true, true) = (upper, lowers.is_empty(), d.is_dir) {
                self.fix_origin(dir, upper, ino);
            }
            // Of a chain of metacopies the first gives the attributes, and the last has the data.
            if lowers.is_empty() || !d.metacopy {
                lowers.push((layer, ino));
            }
            if !early {
                self.may_follow_redirect(&d, follows)?;
            }
            if d.stop {
                break;
            }
            if d.redirect.as_ref().is_some_and(|r| r.first() == Some(&b'/')) {
                pool.clone_from(&roots);
                at = layer + 1;
            }
        }
        if lowers.len() > 1 && !self.rules.holds(Clause::LkpOrder) {
            lowers.reverse();
        }
        if self.context.kernel >= (6, 16) {
            self.may_follow_metacopy(d.metacopy)?;
        }
        if (d.metacopy || upper_metacopy && lowers.is_empty()) && self.rules.holds(Clause::McpNoData) {
            return Err(Errno::EIO);
        }
        if let (Some(ino), false, true) = (upper, d.is_dir, lowers.is_empty()) {
            lowers = self.decode_origin(ino).into_iter().collect();
        }
        let alias = upper.is_some();
        if upper.is_none() && lowers.is_empty() {
            return Ok(Found { node: None, opaque: upper_opaque, alias, marked: d.marked });
        }
        // A metacopy is found by its path; without an origin it is not looked for in the index.
        let known = upper.is_none_or(|u| !upper_metacopy || self.disk[u].xattr("@origin").is_some());
        let origin = lowers.first().map(|l| l.1).filter(|_| self.options.index && !d.is_dir && known);
        let index = origin.and_then(|origin| self.index_of(origin, upper));
        if let (None, Some(index)) = (upper, index) {
            upper = Some(index);
            upper_metacopy = self.is_metacopy(index);
            redirect = match self.disk[index].xattr("@redirect") {
                Some(XattrValue::Known(to)) => Some(to.0.to_vec()),
                _ => None,
            };
        }
        let made = Made { upper, lowers, redirect: redirect.map(Bytes::from), upper_data: !upper_metacopy, index };
        Ok(Found { node: Some(self.node_for(made)?), opaque: upper_opaque, alias, marked: d.marked })
    }

    /// Refuses to look for the data of a metacopy without `metacopy=on`.
    fn may_follow_metacopy(&mut self, metacopy: bool) -> Result<(), Errno> {
        let refused = metacopy && !self.options.metacopy && self.rules.holds(Clause::McpRefused);
        if refused { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Refuses to follow a redirect with `redirect_dir=nofollow`.
    fn may_follow_redirect(&mut self, d: &Search, follows: bool) -> Result<(), Errno> {
        let refused = d.redirect.is_some() && !follows && self.rules.holds(Clause::RdrNoFollow);
        if refused { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// Looks a name up in one layer, or walks an absolute redirect from the layer's root
    /// (`ovl_lookup_layer`).
    fn lookup_layer(&mut self, base: Ino, d: &mut Search, is_upper: bool) -> Result<Option<Ino>, Errno> {
        if d.name.first() != Some(&b'/') {
            let name = d.name.clone();
            return self.lookup_single(base, d, &name, 0, Vec::new(), is_upper);
        }
        let mut rest = d.name.len() - 1;
        let mut at = base;
        loop {
            // Counted from the end, since a redirect on the way changes what is before.
            let start = d.name.len() - rest;
            let len = d.name[start..].iter().position(|&b| b == b'/').unwrap_or(rest);
            let (name, after) = (d.name[start..start + len].to_vec(), d.name[start + len..].to_vec());
            let is_last = after.is_empty();
            match self.lookup_single(at, d, &name, start, after, is_upper)? {
                found if is_last => return Ok(found),
                Some(ino) if self.disk[ino].is_dir() => at = ino,
                _ => return Ok(None),
            }
            rest -= len + 1;
        }
    }

    /// One component in one layer (`ovl_lookup_single`); `before` bytes of the name come before it, and
    /// `after` follows.
    fn lookup_single(
        &mut self,
        base: Ino,
        d: &mut Search,
        name: &[u8],
        before: usize,
        after: Vec<u8>,
        is_upper: bool,
    ) -> Result<Option<Ino>, Errno> {
        let Some(ino) = self.disk.child(base, name) else { return Ok(None) };
        let is_last = after.is_empty();
        if self.is_whiteout(ino) {
            if is_upper {
                d.opaque = self.rules.holds(Clause::LkpUpperWhiteout);
                d.stop = true;
            } else {
                d.stop = !d.is_dir || self.rules.holds(Clause::LkpWhiteoutBelow);
            }
            return Ok(None);
        }
        // Below a metacopy only a regular file can have the data.
        if is_last && d.metacopy && self.disk[ino].body.kind() != Kind::File && self.rules.holds(Clause::McpKind) {
            d.stop = true;
            return Ok(None);
        }
        if !self.disk[ino].is_dir() {
            if d.is_dir || !is_last {
                d.stop = self.rules.holds(Clause::LkpNonDirBelow);
                return Ok(None);
            }
            d.metacopy = self.is_metacopy(ino);
            if d.metacopy {
                if !d.last {
                    self.check_redirect(ino, d, before, &after)?;
                }
                return Ok(Some(ino));
            }
            // Only what could go on below tells whether it does.
            d.stop = d.last || self.rules.holds(Clause::LkpNonDirStops);
            return Ok(d.stop.then_some(ino));
        }
        if is_last {
            if d.is_dir && !self.rules.holds(Clause::LkpMerge) {
                d.stop = true;
                return Ok(None);
            }
            d.is_dir = true;
        }
        if d.last {
            return Ok(Some(ino));
        }
        if self.is_opaque(ino) {
            d.stop = true;
            d.opaque |= is_last;
            return Ok(Some(ino));
        }
        if is_last && !is_upper && self.is_marked(ino) {
            d.marked = true;
            self.marked.insert(d.layer);
        }
        self.check_redirect(ino, d, before, &after)?;
        Ok(Some(ino))
    }

    /// Whether a directory of a layer is marked as having xattr whiteouts (WHT-05).
    pub(super) fn is_marked(&self, ino: Ino) -> bool {
        self.context.knows_xattr_whiteouts() && self.opaque_value(ino) == Some(&XattrValue::known("x"))
    }

    /// Goes on under the name that a redirect gives, if there is one (`ovl_check_redirect`).
    fn check_redirect(&mut self, ino: Ino, d: &mut Search, before: usize, after: &[u8]) -> Result<(), Errno> {
        let Some(XattrValue::Known(to)) = self.disk[ino].xattr("@redirect") else { return Ok(()) };
        let to = to.clone();
        let absolute = to.first() == Some(&b'/');
        let valid = match absolute {
            true => to[1..].split(|&b| b == b'/').all(|component| !component.is_empty()),
            false => !to.is_empty() && !to.contains(&b'/'),
        };
        if !valid && self.rules.holds(Clause::RdrInvalid) {
            return Err(Errno::EINVAL);
        }
        let mut name = Vec::new();
        if absolute {
            if !self.rules.holds(Clause::RdrAbsolute) {
                return Ok(());
            }
            // It leads out of what an opaque directory above it hides.
            d.stop = d.stop && !self.rules.holds(Clause::RdrPierces);
        } else {
            if !self.rules.holds(Clause::RdrRelative) {
                return Ok(());
            }
            name.extend_from_slice(&d.name[..before]);
        }
        name.extend_from_slice(&to);
        name.extend_from_slice(after);
        self.led = true;
        d.redirect = Some(name.clone());
        d.name = name;
        Ok(())
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
        Some((self.layer_of_origin(origin), origin))
    }

    /// The overlay inode for a stack: the cached one if its key is known (`ovl_get_inode`).
    fn node_for(&mut self, made: Made) -> Result<NodeId, Errno> {
        let Made { upper, lowers, redirect, upper_data, index } = made;
        let real = upper.unwrap_or_else(|| lowers[0].1);
        let kind = self.disk[real].body.kind();
        let is_dir = kind == Kind::Dir;
        let lower = lowers.first().map(|l| l.1);
        // `ovl_hash_bylower`: not a lower hard link that copy-up breaks or has broken.
        let breaks = index.is_none() && (upper.is_some() || !self.options.index);
        let by_lower = lower.is_some_and(|l| is_dir || !breaks || self.disk[l].nlink <= 1);
        let key = if by_lower { lower } else { upper };
        if let Some(found) = key.and_then(|k| self.cache.find(k)) {
            self.verify(found, upper, lower)?;
            let flags = self.protection(upper);
            self.cache.node_mut(found).flags.0 |= flags.0;
            return Ok(found);
        }
        let merged = upper.is_some() && lower.is_some() || lowers.len() > 1;
        let whiteouts =
            is_dir && self.context.view == View::Overlay && (merged || self.disk[real].xattr("@origin").is_some());
        let overlay = self.context.view == View::Overlay;
        let impure =
            overlay && upper.is_some_and(|u| is_dir && self.disk[u].xattr("@impure") == Some(&XattrValue::known("y")));
        let mode = self.disk[real].mode;
        // A lower hard link that copy-up will break is an inode by itself.
        let links = if upper.is_some() || by_lower { self.disk[real].nlink } else { 1 };
        let nlink = self.union_nlink(lower.filter(|_| !is_dir), upper, links);
        let flags = self.protection(upper);
        Ok(self.cache.add_node(Node {
            kind,
            flags,
            indexed: index.is_some(),
            no_suid: false,
            upper_data,
            redirect,
            mode,
            owner: (self.disk[real].uid, self.disk[real].gid),
            size: self.disk.size(real),
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
        }))
    }

    /// Whether a cached overlay inode is what was looked up (`ovl_verify_inode`): two directories of the
    /// upper may lead to one lower directory by redirects.
    fn verify(&mut self, found: NodeId, upper: Option<Ino>, lower: Option<Ino>) -> Result<(), Errno> {
        let node = self.cache.node(found);
        let known_lower = node.lowers.first().map(|l| l.1);
        let uncovered = node.kind == Kind::Dir
            && (lower.is_none() && known_lower.is_some() || upper.is_none() && node.upper.is_some());
        let differs = lower.is_some() && known_lower != lower || upper.is_some() && node.upper != upper;
        if uncovered || differs {
            return if self.rules.holds(Clause::LkpStale) { Err(Errno::ESTALE) } else { Ok(()) };
        }
        // One directory by two names, which redirects made by hand can do: the kernel moves it from one to
        // the other as it is looked up (`d_splice_alias`).
        self.undecided |= node.kind == Kind::Dir && self.cache.has_name(found);
        // Nor is there a rule for a file that was copied up by one name and is found below by another.
        let copied = upper.is_none() && node.upper.is_some() && !node.indexed;
        self.undecided |= self.led && node.kind != Kind::Dir && copied;
        Ok(())
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
