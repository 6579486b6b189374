//! Inode numbers and devices: what `st_ino`, `st_dev` and `d_ino` are made of (`ovl_map_dev_ino`, `ovl_get_fsid`).
//!
//! Where all layers lie on one filesystem a number is that of the inode which stands for the object, and everything is
//! on the overlay's own device. Where they lie on several, a mount either marks the numbers of each filesystem in
//! their high bits (xino), or it shows what is no directory on a device of its filesystem, and counts directories.

use super::Model;
use super::clause::{Clause, Rules};
use super::context::{Context, View};
use super::disk::{Disk, Ino};
use super::options::{Options, Xino};
use super::overlay::NodeId;
use crate::case::MAX_FILESYSTEMS;
use crate::trace::Kind;

/// What an inode number that is shown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// That of this inode on its filesystem.
    Of(Ino),
    /// The same, with these bits set, of as many as are kept for that.
    Marked(Ino, u64, u32),
    /// One that the overlay counted up for a directory: of this mount, for this overlay inode.
    Counted(u32, NodeId),
}

/// Which device `st_dev` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The overlay's own.
    Overlay,
    /// The one that stands for a filesystem in this mount.
    Filesystem(u8),
}

/// What a mount makes of the filesystems that its layers lie on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// There are several.
    pub(super) several: bool,
    /// How many high bits are kept for marks (`ovl_xino_bits`); 0 without xino.
    bits: u32,
    /// What each filesystem is marked with (`fsid`).
    ids: [u64; MAX_FILESYSTEMS],
}

impl Layout {
    /// Of a mount with these options, its lower layers on these filesystems, top first (`ovl_get_layers`).
    pub(super) fn of(on: &[u8], options: &Options, context: &Context, disk: &Disk, rules: &mut Rules) -> Layout {
        let mut layout = Layout::default();
        if context.view == View::Plain || on.iter().all(|on| *on == 0) {
            return layout;
        }
        layout.several = true;
        let mut xino = options.xino;
        if xino == Xino::Auto && context.decodes_handles() != rules.holds(Clause::InoAutoHandles) {
            xino = Xino::Off;
        }
        if xino == Xino::Off {
            return layout;
        }
        let mut known: Vec<u8> = Vec::new();
        for &at in on {
            if at != 0 && !known.contains(&at) {
                known.push(at);
            }
        }
        let small = disk.traits.small_numbers && context.decodes_handles();
        // Room for the numbers of the filesystems, and one bit more for directories that are counted.
        let bits = if small { 32 } else { known.len().ilog2() + 2 };
        layout.bits = bits + u32::from(!rules.holds(Clause::InoXinoBits));
        let in_order = known.len() < 2 || rules.holds(Clause::InoXinoOrder);
        for (at, filesystem) in known.iter().enumerate() {
            let id = if in_order { at + 1 } else { known.len() - at };
            layout.ids[usize::from(*filesystem)] = id as u64;
        }
        layout
    }

    /// The number of an inode as this mount shows it, with the mark of a filesystem.
    fn shown(&self, ino: Ino, filesystem: u8) -> Number {
        if self.bits == 0 {
            return Number::Of(ino);
        }
        let shift = 64 - self.bits + 1;
        Number::Marked(ino, self.ids[usize::from(filesystem)] << shift, self.bits)
    }
}

impl Model {
    /// Whether numbers can be compared between layers (`ovl_same_dev`): where listings show what stat shows.
    pub(super) fn has_one_device(&self) -> bool {
        !self.layout.several || self.layout.bits > 0
    }

    /// Whether numbers are marked (`ovl_xino_bits`).
    pub(super) fn marks_numbers(&self) -> bool {
        self.layout.bits > 0
    }

    /// `st_ino` and `st_dev` of an overlay inode (`ovl_map_dev_ino`).
    pub(super) fn identity(&mut self, id: NodeId) -> (Number, Device) {
        if !self.layout.several {
            return (Number::Of(self.number_inode(id)), Device::Overlay);
        }
        let is_dir = self.cache.node(id).kind == Kind::Dir;
        if self.marks_numbers() {
            let ino = self.number_inode(id);
            let on = self.disk[ino].on;
            let number = if self.rules.holds(Clause::InoXino) { self.layout.shown(ino, on) } else { Number::Of(ino) };
            let one = is_dir || self.rules.holds(Clause::InoXinoDevice);
            return (number, if one { Device::Overlay } else { Device::Filesystem(on) });
        }
        if is_dir {
            let number = match self.rules.holds(Clause::InoCounted) {
                true => Number::Counted(self.mounted, id),
                false => Number::Of(self.cache.node(id).real()),
            };
            let own = self.rules.holds(Clause::InoDirDevice);
            let on = self.disk[self.cache.node(id).real()].on;
            return (number, if own { Device::Overlay } else { Device::Filesystem(on) });
        }
        let ino = self.number_inode(id);
        let copied = self.cache.node(id).upper.is_some() && self.disk[ino].on != 0;
        let on = if copied && !self.rules.holds(Clause::InoDeviceKept) { 0 } else { self.disk[ino].on };
        let device = match self.rules.holds(Clause::InoDevice) {
            true => Device::Filesystem(on),
            false => Device::Overlay,
        };
        (Number::Of(ino), device)
    }

    /// `d_ino` of an entry that stands for this inode (`ovl_remap_lower_ino`).
    pub(super) fn listed(&mut self, ino: Ino) -> Number {
        if self.marks_numbers() && self.rules.holds(Clause::DirInoXino) {
            return self.layout.shown(ino, self.disk[ino].on);
        }
        Number::Of(ino)
    }

    /// `d_ino` of `..` in a merged listing, where the parent has no origin: its part that lies in the layer of the
    /// directory's own top-most part, marked as the parent's top-most part is.
    pub(super) fn listed_native(&mut self, parent: NodeId, native: Ino) -> Number {
        if !self.marks_numbers() {
            return Number::Of(native);
        }
        let node = self.cache.node(parent);
        let on = match node.upper {
            Some(_) => 0,
            None => self.disk[node.real()].on,
        };
        let own = self.disk[native].on;
        if on != own && self.rules.holds(Clause::DirInoParent) {
            return self.layout.shown(native, on);
        }
        self.layout.shown(native, own)
    }

    /// The layer that a file handle leads to: the first one on the filesystem of its inode.
    pub(super) fn layer_of_origin(&self, origin: Ino) -> usize {
        let on = self.disk[origin].on;
        self.lowers.iter().position(|lower| self.disk[*lower].on == on).unwrap_or(0)
    }
}
