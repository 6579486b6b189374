//! A survey of the world: every visible path and what is open, without any effect of looking.

use super::disk::{Ino, XattrValue};
use super::{Model, View};
use crate::bytes::Bytes;
use crate::step::SLOTS;
use crate::trace::Kind;

impl Model {
    /// Every path of the merged tree with its type, the root excluded, sorted within a directory.
    pub fn survey(&self, out: &mut Vec<(Bytes, Kind)>) {
        let mut stack: Vec<Ino> = vec![self.upper];
        if self.context.view == View::Overlay {
            stack.extend(&self.lowers);
        }
        self.visible_below(&stack, &Bytes::default(), out);
    }

    /// What the open slots hold.
    pub fn open_kinds(&self) -> [Option<Kind>; SLOTS] {
        std::array::from_fn(|slot| self.slots[slot].as_ref().and_then(|f| self.kind_of(f.borrow().dentry)))
    }

    /// Every visible path below a stack of directories, merged from the disk as it lies there.
    fn visible_below(&self, stack: &[Ino], path: &Bytes, out: &mut Vec<(Bytes, Kind)>) {
        let mut seen: std::collections::BTreeMap<&Bytes, (Vec<Ino>, bool)> = Default::default();
        for &dir in stack {
            for (name, &ino) in self.disk[dir].names().into_iter().flatten() {
                let (layers, closed) = seen.entry(name).or_default();
                if *closed {
                    continue;
                }
                let inode = &self.disk[ino];
                let opaque = inode.xattr("@opaque") == Some(&XattrValue::known("y"));
                *closed = !inode.is_dir() || opaque;
                if !inode.is_char_whiteout() && (inode.is_dir() || layers.is_empty()) {
                    layers.push(ino);
                }
            }
        }
        for (name, (layers, _)) in seen {
            let Some(&top) = layers.first() else { continue };
            let path = path.join(name);
            out.push((path.clone(), self.disk[top].body.kind()));
            if self.disk[top].is_dir() {
                self.visible_below(&layers, &path, out);
            }
        }
    }
}
