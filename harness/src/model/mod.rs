//! The model: OverlayFS as an executable specification.
//!
//! Pure Rust: no I/O, no clock, no randomness. It works on raw layer trees as they lie on disk and
//! predicts what every call returns, what the merged view shows, and the upper layer and work
//! directory exactly. There is one pipeline for every operation, in the kernel's order: walk the
//! path ([`walk`](self)), VFS checks, overlay refusals, copy-up (its effects stay), the real
//! operation on the upper. Each stage names its [`Clause`] and applies its effects at once, so the
//! side effects of failed calls come out right by construction.
//!
//! | module | what it specifies |
//! |---|---|
//! | [`clause`] | the list of clauses; firing and faults |
//! | [`context`], [`options`] | privilege, kernel version; effective mount options |
//! | [`disk`], [`traits`] | the filesystem under the layers; what ext4, XFS and Btrfs do their own way |
//! | [`overlay`] | dentries and overlay inodes: the stack of (layer, inode), what is cached |
//! | `mount` | making layers, work directory, uuid, remount, rotate |
//! | `lookup` | lookup and merge, whiteouts, opaque, origin |
//! | `walk`, `permission`, `protection` | path walk, symlinks, capabilities; what is immutable or append-only |
//! | [`readdir`], [`stream`], [`look`] | listing, also call by call; attributes and identity |
//! | `copy_up`, `index` | copy-up, of attributes alone too; hard links that stay together |
//! | `create`, `remove`, `rename`, `attr`, `xattr`, `acl`, `file`, `io`, `fallocate`, `transfer` | operations by what they do to names, attributes, data |
//! | [`number`] | inode numbers and devices of layers on several filesystems |
//! | [`value`] | what only the kernel knows: times, numbers, handles |

mod acl;
mod attr;
pub mod clause;
pub mod context;
mod copy_up;
mod create;
pub mod disk;
mod fallocate;
mod file;
mod fingerprint;
pub(crate) mod index;
mod io;
pub mod look;
mod lookup;
mod mount;
pub mod number;
pub mod options;
mod origin;
pub mod overlay;
mod permission;
mod protection;
pub mod readdir;
mod remove;
mod rename;
pub mod stream;
mod survey;
#[cfg(test)]
mod tests;
pub mod traits;
mod transfer;
mod trial;
pub mod value;
mod walk;
mod xattr;

pub use clause::{CLAUSES, Clause, Level, Rules};
pub use context::{Context, View};
pub use fingerprint::Renaming;
pub use origin::Origin;
pub use survey::Facts;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::bytes::Bytes;
use crate::case::{Case, Layer};
use crate::errno::Errno;
use crate::step::{Actor, Op, SLOTS, Step};
use disk::{Body, Disk, Ino, Owner};
use file::OpenFile;
use look::Look;
use options::Options;
use overlay::{Cache, DentryId};
use readdir::Listing;
use stream::{Dent, Mark, Shown};
use value::{Spans, Stamp};

use crate::trace::StatFs;

/// What the model says a call returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicted {
    /// Success without a value.
    Unit,
    /// Success with a count.
    Count(u64),
    /// Success with data.
    Bytes(Bytes),
    /// Success with attributes.
    Stat(Look),
    /// Success with directory entries.
    List(Listing),
    /// Success with directory entries in the order in which one call gave them.
    Dents(Vec<Dent>),
    /// Success with names of xattrs.
    Names(Vec<Bytes>),
    /// Success with facts of the filesystem.
    Filesystem(StatFs),
    /// No rule says what.
    Unspecified,
}

/// The executable specification, in the state after some steps.
#[derive(Debug)]
pub struct Model {
    /// What it was told of the world.
    pub context: Context,
    /// The errno that the first mount gives, if its options do not go together.
    pub mounts: Result<(), Errno>,
    /// The effective mount options.
    pub(crate) options: Options,
    /// What the mount makes of the filesystems under it.
    layout: number::Layout,
    /// How many mounts there were.
    mounted: u32,
    /// Clauses that fired; the fault, if one is on.
    pub rules: Rules,
    /// The disk under the layers.
    pub disk: Disk,
    /// Roots of the lower layers, top first.
    pub(crate) lowers: Vec<Ino>,
    /// Root of the upper layer.
    pub(crate) upper: Ino,
    /// The directory given as `workdir`.
    pub(crate) work_base: Ino,
    /// `work` in it.
    work: Ino,
    cache: Cache,
    slots: [Option<Rc<RefCell<OpenFile>>>; SLOTS],
    /// Positions that getdents64 gave through each slot.
    marks: [Vec<Mark>; SLOTS],
    /// What the next step was seen to give.
    shown: Option<Shown>,
    /// An order of entries was made up: nothing had told it.
    pub(crate) guessed: bool,
    uuids: u32,
    umask: u32,
    /// The working directory.
    cwd: DentryId,
    /// After this step nothing is judged any more: the upper was changed behind the overlay's own back (FIL-11.rename), or
    /// what the call found is known to the filesystem's caches alone. ARCHITECTURE.md lists where.
    pub(crate) adrift: bool,
    /// A redirect was followed, so that a lower object may have two names.
    led: bool,
    /// Nor is this step judged: what it gives depends on what neither case nor trace tells, such as the order of names on
    /// disk, or what a walk was interrupted by. ARCHITECTURE.md lists where.
    pub(crate) undecided: bool,
    /// Lower layers in which directories marked for xattr whiteouts were found in this mount.
    marked: BTreeSet<usize>,
    /// Who makes the call.
    actor: Actor,
    /// Most symlinks that a walk of this step followed.
    most_links: u32,
}

impl Model {
    /// The world of a case after its first mount; `fault` is broken on purpose.
    pub fn new(case: &Case, context: Context, fault: Option<Clause>) -> Model {
        let mut rules = Rules::new(fault);
        let mut disk = Disk::new(context.traits);
        let on = |layer: &Layer| if context.view == View::Plain { 0 } else { layer.filesystem() as u8 };
        let lowers: Vec<Ino> = case.lowers.iter().map(|l| Model::make_layer(&mut disk, &rules, l, on(l))).collect();
        let upper = match context.view {
            View::Overlay => Model::make_layer(&mut disk, &rules, &case.upper, 0),
            View::Plain => lowers.first().copied().unwrap_or_default(),
        };
        let work_base = disk.alloc(&rules, Body::dir(), Owner { uid: 0, gid: 0, mode: 0o755 });
        rules.begin_step();
        disk.now = Stamp::In(Spans::MOUNTED);
        let effective = match context.view {
            View::Overlay => Options::effective(&case.options, &context, &mut rules),
            View::Plain => Ok(Options::default()),
        };
        let mut model = Model {
            context,
            mounts: effective.map(drop),
            options: effective.unwrap_or_default(),
            layout: number::Layout::default(),
            mounted: 0,
            rules,
            disk,
            lowers,
            upper,
            work_base,
            work: work_base,
            cache: Cache::default(),
            slots: Default::default(),
            marks: Default::default(),
            shown: None,
            guessed: false,
            uuids: 0,
            umask: 0,
            cwd: Cache::ROOT,
            adrift: false,
            undecided: false,
            led: false,
            marked: BTreeSet::new(),
            actor: Actor::Root,
            most_links: 0,
        };
        model.mount();
        model
    }

    /// Sets what "now" is, to number `span` of the case's spans.
    pub fn at(&mut self, span: u32) {
        self.disk.now = Stamp::In(span);
    }

    /// Does one step as its actor and says what it returns.
    pub fn act(&mut self, step: &Step) -> Result<Predicted, Errno> {
        self.actor = step.actor;
        self.most_links = 0;
        let returned = self.apply(&step.op);
        self.actor = Actor::Root;
        self.shown = None;
        returned
    }

    /// Does one step as root and says what it returns.
    pub fn apply(&mut self, op: &Op) -> Result<Predicted, Errno> {
        let unit = |r: Result<(), Errno>| r.map(|()| Predicted::Unit);
        match op {
            Op::Open { slot, path, flags, mode } => unit(self.open(*slot, path, *flags, *mode)),
            Op::Close { slot } => unit(self.close(*slot)),
            Op::Read { slot, .. } if self.is_somewhere(*slot) => Ok(Predicted::Unspecified),
            Op::Read { slot, len } => self.read_at(*slot, *len, None).map(|d| Predicted::Bytes(Bytes::from(d))),
            Op::Write { slot, data } => self.write_at(*slot, data, None).map(Predicted::Count),
            Op::Truncate { path, len } => unit(self.truncate(path, *len)),
            Op::Fstat { slot } => {
                let file = self.place(*slot)?;
                self.look(file.dentry).map(Predicted::Stat)
            }
            Op::Mkdir { path, mode } => unit(self.mkdir(path, *mode)),
            Op::Rmdir { path } => unit(self.rmdir(path)),
            Op::Mknod { path, node, mode } => unit(self.mknod(path, *node, *mode)),
            Op::Symlink { target, path } => unit(self.symlink(target, path)),
            Op::Readlink { path } => self.readlink(path).map(Predicted::Bytes),
            Op::Link { old, new } => unit(self.link(old, new)),
            Op::Unlink { path } => unit(self.unlink(path)),
            Op::Rename { old, new, flags } => unit(self.rename(old, new, *flags)),
            Op::Chmod { path, mode } => {
                let id = self.walk(path, true)?;
                unit(self.chmod(id, *mode))
            }
            Op::Pread { slot, len, offset } => {
                self.pread(*slot, *len, *offset).map(|d| Predicted::Bytes(Bytes::from(d)))
            }
            Op::Pwrite { slot, data, offset } => self.pwrite(*slot, data, *offset).map(Predicted::Count),
            Op::Lseek { slot, offset, whence } => Ok(match self.lseek(*slot, *offset, *whence)? {
                Some(at) => Predicted::Count(at),
                None => Predicted::Unspecified,
            }),
            Op::Ftruncate { slot, len } => unit(self.ftruncate(*slot, *len)),
            Op::Fsync { slot } | Op::Fdatasync { slot } => unit(self.sync(*slot)),
            Op::Getdents64 { slot, size } => {
                Ok(self.getdents64(*slot, *size)?.map_or(Predicted::Unspecified, Predicted::Dents))
            }
            Op::Seekdir { slot, entry } => {
                let to = self.seekdir(*slot, *entry)?;
                Ok(to.map_or(Predicted::Unspecified, Predicted::Count))
            }
            Op::Getdents { slot, .. } => Ok(self.getdents(*slot)?.map_or(Predicted::Unspecified, Predicted::List)),
            Op::Fchmod { slot, mode } => {
                let id = self.file(*slot)?.dentry;
                unit(self.chmod(id, *mode))
            }
            Op::Chown { on, uid, gid } => unit(self.chown(on, *uid, *gid)),
            Op::Utimens { on, atime, mtime } => unit(self.utimens(on, *atime, *mtime)),
            Op::SetXattr { on, name, value, flags } => unit(self.set_xattr(on, name, value, *flags)),
            Op::GetXattr { on, name, size } => self.get_xattr(on, name, *size).map(|value| match size {
                0 => Predicted::Count(value.len() as u64),
                _ => Predicted::Bytes(Bytes::from(value)),
            }),
            Op::ListXattr { on, size } => self.list_xattr(on, *size).map(|(names, len)| match size {
                0 => Predicted::Count(len),
                _ => Predicted::Names(names),
            }),
            Op::RemoveXattr { on, name } => unit(self.remove_xattr(on, name)),
            Op::Access { path, mode } => unit(self.access(path, *mode)),
            Op::Readv { slot, .. } if self.is_somewhere(*slot) => Ok(Predicted::Unspecified),
            Op::Readv { slot, lens } => self.readv(*slot, lens).map(|d| Predicted::Bytes(Bytes::from(d))),
            Op::Writev { slot, parts } => self.writev(*slot, parts).map(Predicted::Count),
            Op::Dup { slot, to } => unit(self.dup(*slot, *to)),
            Op::Faccessat { path, mode, flags } => unit(self.faccessat(path, *mode, *flags)),
            Op::Fchmodat { path, mode, flags } => unit(self.fchmodat(path, *mode, *flags)),
            Op::Linkat { old, new, flags } => unit(self.linkat(old, new, *flags)),
            Op::Flink { slot, new } => unit(self.flink(*slot, new)),
            Op::Statfs { path } => {
                self.walk(path, true)?;
                Ok(Predicted::Filesystem(self.statfs()))
            }
            Op::Fstatfs { slot } => {
                self.place(*slot)?;
                Ok(Predicted::Filesystem(self.statfs()))
            }
            Op::Syncfs { slot } => {
                self.file(*slot)?;
                Ok(Predicted::Unit)
            }
            Op::Chdir { path } => {
                let id = self.walk(path, true)?;
                unit(self.chdir(id))
            }
            Op::Fchdir { slot } => {
                let id = self.place(*slot)?.dentry;
                unit(self.chdir(id))
            }
            Op::Getcwd => self.getcwd().map(Predicted::Bytes),
            Op::CopyFileRange { from, from_at, to, to_at, len } => {
                self.copy_file_range((*from, *from_at), (*to, *to_at), *len).map(Predicted::Count)
            }
            Op::Sendfile { to, from, from_at, len } => {
                let sent = self.sendfile(*to, (*from, *from_at), *len)?;
                Ok(sent.map_or(Predicted::Unspecified, Predicted::Count))
            }
            Op::Fallocate { slot, offset, len, mode } => unit(self.fallocate(*slot, *offset, *len, *mode)),
            Op::Getflags { slot } => Ok(self.getflags(*slot)?.map_or(Predicted::Unspecified, Predicted::Bytes)),
            Op::Setflags { slot, flags } => {
                Ok(self.setflags(*slot, *flags)?.map_or(Predicted::Unspecified, |()| Predicted::Unit))
            }
            Op::Setfl { slot, flags } => unit(self.setfl(*slot, *flags)),
            Op::Umask { mode } => {
                let old = std::mem::replace(&mut self.umask, mode & 0o777);
                Ok(Predicted::Count(u64::from(old)))
            }
            Op::Stat { path } => self.stat(path, true).map(Predicted::Stat),
            Op::Lstat { path } => self.stat(path, false).map(Predicted::Stat),
            Op::List { path } => self.list(path).map(Predicted::List),
            Op::Remount => {
                if let Some(errno) = self.refuses_mount() {
                    return Err(errno);
                }
                self.remount();
                Ok(Predicted::Unit)
            }
            Op::Rotate => {
                self.rotate();
                Ok(Predicted::Unit)
            }
            Op::DropCaches => {
                self.cache.shrink();
                Ok(Predicted::Unit)
            }
            Op::TryMount { options } => self.try_mount(options).map(Predicted::Names),
            Op::Observe => Ok(Predicted::Unit),
        }
    }
}
