//! A survey of the world: every visible path and what is open, without any effect of looking.

use super::disk::{Ino, PAGE, XattrValue};
use super::overlay::{DentryId, NodeId};
use super::{Model, View};
use crate::acl::Role;
use crate::bytes::Bytes;
use crate::step::{Actor, SLOTS, Slot};
use crate::trace::Kind;

/// What is at a place, for those who judge without the model but must know what they look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its type.
    pub kind: Kind,
    /// The overlay inode.
    pub node: NodeId,
    /// Its inode in the upper layer, if it has one there.
    pub upper: Option<Ino>,
    /// Whether a lower layer has a part in it.
    pub lower: bool,
    /// Whether it is a directory that lists raw whiteouts (WHT-04), or may list xattr whiteouts (WHT-05).
    pub lists_whiteouts: bool,
    /// Whether it is a directory in a layer of which an xattr whiteout lies, uncovered: it cannot be removed (WHT-10).
    pub xattr_whiteouts: bool,
    /// Whether something lower would show through at its name (RMV-01).
    pub covers: bool,
    /// Whether it has private xattrs, which are not shown, or not as they are (XAT-02).
    pub hides_xattrs: bool,
    /// Whether it has `trusted.*` xattrs.
    pub trusted_xattrs: bool,
    /// Whether its data lie below its attributes.
    pub metacopy: bool,
    /// The size of its data.
    pub size: u64,
    /// Whether there are holes in its data.
    pub holes: bool,
    /// Whether it is a file of which the overlay inode has another size: another one of its upper inode changed it.
    pub missized: bool,
    /// Whether the name it was found by was removed; what O_TMPFILE made had none.
    pub removed: bool,
    /// Whether mode, owner or flags were changed by another overlay inode of its upper inode (REN-14).
    pub stale: bool,
}

/// Directories that merge, top first, each with the number of its layer.
type Stack = Vec<(usize, Ino)>;

impl Model {
    /// What a path leads to, for this actor; the walk looks up what the call would look up.
    pub(crate) fn facts(&mut self, actor: Actor, path: &[u8], follow: bool) -> Option<Facts> {
        self.actor = actor;
        let walked = self.walk(path, follow);
        self.actor = Actor::Root;
        self.facts_of(walked.ok()?)
    }

    /// Which layers serve a path, in words; the walk looks up what a call would look up.
    pub(crate) fn served(&mut self, actor: Actor, path: &[u8]) -> String {
        self.actor = actor;
        let walked = self.walk(path, false);
        self.actor = Actor::Root;
        let id = match walked {
            Ok(id) => id,
            Err(errno) => return format!("not found ({errno})"),
        };
        let covered = self.lower_positive(id);
        let Some(node) = self.cache.dentry(id).node else {
            return "nothing".to_owned();
        };
        let node = self.cache.node(node);
        let lowers: Vec<String> = node.lowers.iter().map(|(layer, _)| format!("lower {}", layer + 1)).collect();
        let kind = format!("{:?}", node.kind).to_lowercase();
        match (node.upper.is_some(), lowers.is_empty(), node.kind) {
            (true, false, Kind::Dir) => format!("{kind}, merged from upper and {}", lowers.join(", ")),
            (true, _, _) if covered => format!("{kind}, from upper, over what is lower"),
            (true, _, _) => format!("{kind}, from upper"),
            (false, _, Kind::Dir) if lowers.len() > 1 => format!("{kind}, merged from {}", lowers.join(", ")),
            (false, _, _) => format!("{kind}, from {}", lowers.first().map_or("nowhere", String::as_str)),
        }
    }

    /// What a descriptor refers to.
    pub(crate) fn facts_of_slot(&mut self, slot: Slot) -> Option<Facts> {
        let dentry = self.slots.get(usize::from(slot))?.as_ref()?.borrow().dentry;
        self.facts_of(dentry)
    }

    fn facts_of(&mut self, id: DentryId) -> Option<Facts> {
        let covers = self.lower_positive(id);
        let dentry = self.cache.dentry(id);
        let node = self.cache.node(dentry.node?);
        let real = &self.disk[node.real()];
        let raw = || real.names().into_iter().flatten().any(|(_, &i)| self.disk[i].is_char_whiteout());
        let dirs = node.upper.into_iter().chain(node.lowers.iter().map(|l| l.1));
        let inside = dirs.flat_map(|dir| self.disk[dir].names().into_iter().flatten());
        // Of what has one name, the top-most counts.
        let mut names = std::collections::BTreeSet::new();
        let mut top = inside.filter(|(name, _)| names.insert(*name));
        let by_xattr = top.any(|(_, &ino)| self.is_xattr_whiteout(ino));
        let size = self.disk.size(node.data());
        Some(Facts {
            kind: node.kind,
            node: dentry.node?,
            upper: node.upper,
            lower: !node.lowers.is_empty(),
            lists_whiteouts: node.kind == Kind::Dir && (node.lists_real() && raw() || by_xattr),
            xattr_whiteouts: by_xattr,
            covers,
            trusted_xattrs: real.xattrs.keys().any(|n| n.0.starts_with(b"trusted.")),
            hides_xattrs: real.xattrs.keys().any(|n| n.0.starts_with(b"@")),
            metacopy: node.is_metacopy(),
            size,
            holes: (size as usize).div_ceil(PAGE)
                > self.disk[node.data()].pages.iter().filter(|stored| **stored).count(),
            missized: node.kind == Kind::File && node.size != size,
            removed: !dentry.hashed && !dentry.name.is_empty(),
            stale: node.kind != Kind::Dir && (node.mode, node.owner) != (real.mode, (real.uid, real.gid))
                || self.context.view == View::Overlay
                    && node.flags != node.upper.map_or_else(Default::default, |upper| self.stored_protection(upper)),
        })
    }

    /// Whether what merges can be moved, by a redirect.
    pub(crate) fn moves_merged(&self) -> bool {
        self.options.redirect == super::options::Redirect::On
    }

    /// Whether the index holds anything: it does not become a lower layer with the upper.
    pub(crate) fn has_indexed(&self) -> bool {
        self.options.index && !self.disk.is_empty_dir(self.work)
    }

    /// Whether a file in the upper layer has several names there.
    pub(crate) fn upper_has_links(&self) -> bool {
        let mut dirs = vec![self.upper];
        while let Some(dir) = dirs.pop() {
            for &ino in self.disk[dir].names().into_iter().flatten().map(|(_, ino)| ino) {
                let inode = &self.disk[ino];
                if inode.is_dir() {
                    dirs.push(ino);
                } else if inode.nlink > 1 && !inode.is_char_whiteout() {
                    return true;
                }
            }
        }
        false
    }

    /// Whether the root of the upper layer is as that of a new one, but for its dates.
    pub(crate) fn upper_root_is_plain(&self) -> bool {
        let root = &self.disk[self.upper];
        let shown = root.xattrs.keys().any(|n| !n.0.starts_with(b"@") || n.0.starts_with(b"@overlay."));
        (root.mode, root.uid, root.gid) == (0o755, 0, 0) && !shown
    }

    /// Every path of the merged tree with its type, the root excluded, sorted within a directory.
    pub fn survey(&self, out: &mut Vec<(Bytes, Kind)>) {
        let stack = self.roots();
        self.visible_below(&stack, &stack, &Bytes::default(), &mut |path, kind, _| out.push((path, kind)));
    }

    /// The xattrs of the merged tree, each with the path it is at, under the names that are shown.
    pub(crate) fn survey_xattrs(&self, out: &mut Vec<(Bytes, Bytes)>) {
        let stack = self.roots();
        self.visible_below(&stack, &stack, &Bytes::default(), &mut |path, _, top| {
            out.extend(self.shown_xattrs(top).into_iter().map(|name| (path.clone(), name)));
        });
    }

    /// The xattrs of what a slot holds, under the names that are shown.
    pub(crate) fn xattrs_of_slot(&self, slot: Slot) -> Vec<Bytes> {
        let file = self.slots.get(usize::from(slot)).and_then(Option::as_ref);
        let node = file.and_then(|file| self.cache.dentry(file.borrow().dentry).node);
        node.map(|node| self.shown_xattrs(self.cache.node(node).real())).unwrap_or_default()
    }

    fn shown_xattrs(&self, ino: Ino) -> Vec<Bytes> {
        let overlay = self.context.view == View::Overlay;
        let shown = |name: &Bytes| match name.strip_prefix(b"@") {
            Some(private) if overlay => {
                private.strip_prefix(b"overlay.").map(|rest| Bytes::from([b"@", rest].concat()))
            }
            _ => Some(name.clone()),
        };
        // What is an access control list besides is not drawn: setting and removing it would be that of the list.
        let besides =
            |name: &&Bytes| [Role::Access, Role::Default].iter().all(|r| r.xfs_xattr().as_bytes() != name.as_slice());
        self.disk[ino].xattrs.keys().filter(besides).filter_map(shown).collect()
    }

    /// The roots of the layers, top first.
    fn roots(&self) -> Stack {
        let mut stack: Stack = vec![(0, self.upper)];
        if self.context.view == View::Overlay {
            stack.extend(self.lowers.iter().enumerate().map(|(at, &ino)| (at + 1, ino)));
        }
        stack
    }

    /// What the open slots hold.
    pub fn open_kinds(&self) -> [Option<Kind>; SLOTS] {
        std::array::from_fn(|slot| self.slots[slot].as_ref().and_then(|f| self.kind_of(f.borrow().dentry)))
    }

    /// Every visible path below a stack of directories with its type and its top inode, merged from the disk
    /// as it lies there.
    fn visible_below(
        &self,
        roots: &[(usize, Ino)],
        stack: &[(usize, Ino)],
        path: &Bytes,
        out: &mut impl FnMut(Bytes, Kind, Ino),
    ) {
        let mut names: Vec<&Bytes> =
            stack.iter().flat_map(|(_, dir)| self.disk[*dir].names().into_iter().flatten().map(|n| n.0)).collect();
        names.sort();
        names.dedup();
        for name in names {
            let found = self.stack_of(roots, stack, name);
            let Some(&(_, top)) = found.first() else { continue };
            let path = path.join(name);
            out(path.clone(), self.disk[top].body.kind(), top);
            // A redirect made by hand may lead into a circle.
            if self.disk[top].is_dir() && path.len() < 1024 {
                self.visible_below(roots, &found, &path, out);
            }
        }
    }

    /// What a name stands for in a stack of directories, redirects followed.
    fn stack_of(&self, roots: &[(usize, Ino)], stack: &[(usize, Ino)], name: &Bytes) -> Stack {
        let mut found = Stack::new();
        let mut pool = stack;
        let mut name = name.clone();
        let mut at = 0;
        while let Some(&(layer, dir)) = pool.get(at) {
            at += 1;
            let mut components = name.split(|&b| b == b'/').filter(|n| !n.is_empty());
            let Some(ino) = components.try_fold(dir, |dir, name| self.disk.child(dir, name)) else { continue };
            let inode = &self.disk[ino];
            let whiteout = inode.is_char_whiteout() || self.is_xattr_whiteout(ino);
            if whiteout || !inode.is_dir() && !found.is_empty() {
                break;
            }
            found.push((layer, ino));
            if !inode.is_dir() || inode.xattr("@opaque") == Some(&XattrValue::known("y")) {
                break;
            }
            if let (Some(XattrValue::Known(to)), true) = (inode.xattr("@redirect"), self.options.follows()) {
                name = to.clone();
                if name.first() == Some(&b'/') {
                    pool = roots;
                    at = pool.iter().position(|(l, _)| *l > layer).unwrap_or(pool.len());
                }
            }
        }
        found
    }
}
