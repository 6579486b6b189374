//! Steps: what a case does, as plain data.
//!
//! Two kinds. A *call* is exactly one system call with exactly the arguments written (`list` is a
//! named composite: open, getdents to the end, close). An *environment* step is one of ours. Steps
//! are total: any sequence is legal in any order, so deleting one never makes an invalid case.

mod arguments;
mod device;
mod flags;
pub mod ground;
mod words;

use serde::{Deserialize, Serialize};

pub use device::{Device, ForbiddenDevice, Special};
pub use flags::{AtFlags, FallocateMode, InodeFlags, OpenFlags, RenameFlags, StatusFlags, Whence, XattrFlags};

use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::trace::Time;

/// A place for an open file, named by the case (`0` to `9`), independent of descriptor numbers.
pub type Slot = u8;

/// How many slots a case may use.
pub const SLOTS: usize = 10;

/// Who makes the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Actor {
    /// Uid 0 of the worker's user namespace, with all its capabilities there.
    #[default]
    Root,
    /// Uid 0 without any capability in effect.
    Bare,
    /// Uid 1000, gid 1000, group 1; no capabilities.
    User,
    /// Uid 3000, gid 3000, no groups, no capabilities: nothing in the layers is its own.
    Other,
}

impl Actor {
    /// Every actor with its word.
    pub const NAMES: &[(Actor, &str)] =
        &[(Actor::Root, "root"), (Actor::Bare, "bare"), (Actor::User, "user"), (Actor::Other, "other")];

    /// Its user id.
    pub fn uid(self) -> u32 {
        match self {
            Actor::Root | Actor::Bare => 0,
            Actor::User => 1000,
            Actor::Other => 3000,
        }
    }

    /// Its group id.
    pub fn gid(self) -> u32 {
        self.uid()
    }

    /// Its supplementary groups.
    pub fn groups(self) -> &'static [u32] {
        if self == Actor::User { &[1] } else { &[] }
    }

    /// Whether a group is its own, or one of its supplementary groups.
    pub fn is_in(self, gid: u32) -> bool {
        self.gid() == gid || self.groups().contains(&gid)
    }

    /// Whether it has its capabilities.
    pub fn is_capable(self) -> bool {
        self == Actor::Root
    }
}

/// One step of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who makes the call (`as=`).
    pub actor: Actor,
    /// Which thread makes the call (`thread=`); 0 is the only one so far.
    pub thread: u8,
    /// What is done.
    pub op: Op,
    /// The result that the case file asserts (`= result`), if it does.
    pub expect: Option<Expected>,
}

impl From<Op> for Step {
    fn from(op: Op) -> Self {
        Step { actor: Actor::Root, thread: 0, op, expect: None }
    }
}

/// A result that a case file asserts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// `= ok`: success, whatever the value.
    Ok,
    /// `= 5`: success with this count.
    Count(u64),
    /// `= "data"`: success with these bytes (read, readlink).
    Bytes(Bytes),
    /// `= [a b]`: success with exactly these names (list), in any order.
    Names(Vec<Bytes>),
    /// `= ENOENT`: this error.
    Errno(Errno),
}

/// What an attribute or xattr call is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum On {
    /// The file at a path, symlinks followed.
    Path(Bytes),
    /// The file at a path, or the symlink itself.
    Link(Bytes),
    /// The file in a slot.
    Slot(Slot),
}

impl On {
    fn path(&self) -> Option<&Bytes> {
        match self {
            On::Path(path) | On::Link(path) => Some(path),
            On::Slot(_) => None,
        }
    }

    fn path_mut(&mut self) -> Option<&mut Bytes> {
        match self {
            On::Path(path) | On::Link(path) => Some(path),
            On::Slot(_) => None,
        }
    }

    /// One of three names: for a path, for the link itself, for a slot.
    fn name(&self, names: [&'static str; 3]) -> &'static str {
        match self {
            On::Path(_) => names[0],
            On::Link(_) => names[1],
            On::Slot(_) => names[2],
        }
    }
}

/// A time for `utimens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewTime {
    /// `UTIME_NOW`.
    Now,
    /// `UTIME_OMIT`.
    Omit,
    /// This time.
    At(Time),
}

/// What a step does. Paths are resolved from the working directory of the case, at first the merged root, which is
/// also the root directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `open SLOT PATH FLAGS [MODE]`: openat(2); an open file already in the slot is closed first.
    Open {
        /// Where the descriptor goes.
        slot: Slot,
        /// What is opened.
        path: Bytes,
        /// `O_*`.
        flags: OpenFlags,
        /// Mode for `O_CREAT` and `O_TMPFILE`.
        mode: u32,
    },
    /// `close SLOT`: close(2).
    Close {
        /// The slot.
        slot: Slot,
    },
    /// `read SLOT LEN`: read(2).
    Read {
        /// The slot.
        slot: Slot,
        /// Bytes asked for.
        len: u32,
    },
    /// `write SLOT DATA`: write(2).
    Write {
        /// The slot.
        slot: Slot,
        /// What is written.
        data: Bytes,
    },
    /// `truncate PATH LEN`: truncate(2).
    Truncate {
        /// The file.
        path: Bytes,
        /// The new size.
        len: i64,
    },
    /// `fstat SLOT`: statx(2) of the descriptor.
    Fstat {
        /// The slot.
        slot: Slot,
    },
    /// `mkdir PATH MODE`: mkdirat(2).
    Mkdir {
        /// The new directory.
        path: Bytes,
        /// Its mode.
        mode: u32,
    },
    /// `rmdir PATH`: unlinkat(2) with AT_REMOVEDIR.
    Rmdir {
        /// The directory.
        path: Bytes,
    },
    /// `mknod PATH KIND MODE`: mknodat(2).
    Mknod {
        /// The new node.
        path: Bytes,
        /// Its kind and device.
        node: Special,
        /// Its mode, without the type bits.
        mode: u32,
    },
    /// `symlink TARGET PATH`: symlinkat(2).
    Symlink {
        /// What the link says.
        target: Bytes,
        /// The new link.
        path: Bytes,
    },
    /// `readlink PATH`: readlinkat(2) with a buffer of 4096 bytes.
    Readlink {
        /// The link.
        path: Bytes,
    },
    /// `link OLD NEW`: linkat(2) without flags (a symlink is linked itself).
    Link {
        /// The existing file.
        old: Bytes,
        /// The new name.
        new: Bytes,
    },
    /// `unlink PATH`: unlinkat(2).
    Unlink {
        /// The name.
        path: Bytes,
    },
    /// `rename OLD NEW [FLAGS]`: renameat2(2).
    Rename {
        /// The existing name.
        old: Bytes,
        /// The new name.
        new: Bytes,
        /// `RENAME_*`.
        flags: RenameFlags,
    },
    /// `chmod PATH MODE`: fchmodat(2), follows a symlink.
    Chmod {
        /// The file.
        path: Bytes,
        /// The new mode.
        mode: u32,
    },
    /// `stat PATH`: statx(2), follows a symlink.
    Stat {
        /// The file.
        path: Bytes,
    },
    /// `lstat PATH`: statx(2) with AT_SYMLINK_NOFOLLOW.
    Lstat {
        /// The file.
        path: Bytes,
    },
    /// `list PATH`: open(O_RDONLY|O_DIRECTORY), getdents64 to the end, close.
    List {
        /// The directory.
        path: Bytes,
    },
    /// `pread SLOT LEN OFFSET`: pread64(2).
    Pread {
        /// The slot.
        slot: Slot,
        /// Bytes asked for.
        len: u32,
        /// Where.
        offset: i64,
    },
    /// `pwrite SLOT DATA OFFSET`: pwrite64(2).
    Pwrite {
        /// The slot.
        slot: Slot,
        /// What is written.
        data: Bytes,
        /// Where.
        offset: i64,
    },
    /// `lseek SLOT OFFSET WHENCE`: lseek(2).
    Lseek {
        /// The slot.
        slot: Slot,
        /// How far.
        offset: i64,
        /// From where.
        whence: Whence,
    },
    /// `ftruncate SLOT LEN`: ftruncate(2).
    Ftruncate {
        /// The slot.
        slot: Slot,
        /// The new size.
        len: i64,
    },
    /// `fsync SLOT`: fsync(2).
    Fsync {
        /// The slot.
        slot: Slot,
    },
    /// `fdatasync SLOT`: fdatasync(2).
    Fdatasync {
        /// The slot.
        slot: Slot,
    },
    /// `getdents SLOT SIZE`: getdents64(2) with a buffer of that size until the end or an error.
    Getdents {
        /// The slot.
        slot: Slot,
        /// Size of the buffer; at least 280 bytes, so that every name fits.
        size: u32,
    },
    /// `getdents64 SLOT SIZE`: getdents64(2), once.
    Getdents64 {
        /// The slot.
        slot: Slot,
        /// Size of the buffer.
        size: u32,
    },
    /// `seekdir SLOT ENTRY`: lseek(2) to the position after an entry that getdents64 gave, or to the start if there was
    /// none.
    Seekdir {
        /// The slot.
        slot: Slot,
        /// Which one, counted from 0 over all that `getdents64` steps gave through the slot since something was opened
        /// in it.
        entry: u32,
    },
    /// `fchmod SLOT MODE`: fchmod(2).
    Fchmod {
        /// The slot.
        slot: Slot,
        /// The new mode.
        mode: u32,
    },
    /// `chown`, `lchown`, `fchown ON UID GID`: fchownat(2), fchown(2); -1 leaves one as it is.
    Chown {
        /// The file.
        on: On,
        /// The new owner.
        uid: i64,
        /// The new group.
        gid: i64,
    },
    /// `utimens`, `lutimens`, `futimens ON ATIME MTIME`: utimensat(2).
    Utimens {
        /// The file.
        on: On,
        /// New time of last access.
        atime: NewTime,
        /// New time of last modification.
        mtime: NewTime,
    },
    /// `setxattr`, `lsetxattr`, `fsetxattr ON NAME VALUE [FLAGS]`. A name that starts with `@` is private:
    /// `@x` is `trusted.overlay.x`, or `user.overlay.x` with `userxattr`.
    SetXattr {
        /// The file.
        on: On,
        /// The name.
        name: Bytes,
        /// The value.
        value: Bytes,
        /// `XATTR_*`.
        flags: XattrFlags,
    },
    /// `getxattr`, `lgetxattr`, `fgetxattr ON NAME SIZE`: with size 0 the length of the value.
    GetXattr {
        /// The file.
        on: On,
        /// The name.
        name: Bytes,
        /// Size of the buffer.
        size: u32,
    },
    /// `listxattr`, `llistxattr`, `flistxattr ON SIZE`: with size 0 the length of the list.
    ListXattr {
        /// The file.
        on: On,
        /// Size of the buffer.
        size: u32,
    },
    /// `removexattr`, `lremovexattr`, `fremovexattr ON NAME`.
    RemoveXattr {
        /// The file.
        on: On,
        /// The name.
        name: Bytes,
    },
    /// `access PATH MODE`: faccessat(2) with `R_OK`, `W_OK`, `X_OK` as octal digit.
    Access {
        /// The file.
        path: Bytes,
        /// 0 to 7.
        mode: u32,
    },
    /// `readv SLOT [LEN ...]`: readv(2), a buffer for each length.
    Readv {
        /// The slot.
        slot: Slot,
        /// Sizes of the buffers.
        lens: Vec<u32>,
    },
    /// `writev SLOT [DATA ...]`: writev(2).
    Writev {
        /// The slot.
        slot: Slot,
        /// What is written, one after the other.
        parts: Vec<Bytes>,
    },
    /// `dup SLOT TO`: dup(2); if it succeeds, an open file already in the slot TO is closed.
    Dup {
        /// The slot.
        slot: Slot,
        /// Where the new descriptor goes.
        to: Slot,
    },
    /// `faccessat2 PATH MODE [FLAGS]`: faccessat2(2).
    Faccessat {
        /// The file.
        path: Bytes,
        /// `R_OK`, `W_OK`, `X_OK` as octal digit.
        mode: u32,
        /// `AT_EACCESS`, `AT_SYMLINK_NOFOLLOW`.
        flags: AtFlags,
    },
    /// `fchmodat2 PATH MODE [FLAGS]`: fchmodat2(2).
    Fchmodat {
        /// The file.
        path: Bytes,
        /// The new mode.
        mode: u32,
        /// `AT_SYMLINK_NOFOLLOW`.
        flags: AtFlags,
    },
    /// `linkat OLD NEW [FLAGS]`: linkat(2).
    Linkat {
        /// The existing file.
        old: Bytes,
        /// The new name.
        new: Bytes,
        /// `AT_SYMLINK_FOLLOW`.
        flags: AtFlags,
    },
    /// `flink SLOT NEW`: linkat(2) of the descriptor, with an empty path and AT_EMPTY_PATH.
    Flink {
        /// The slot.
        slot: Slot,
        /// The new name.
        new: Bytes,
    },
    /// `statfs PATH`: statfs(2).
    Statfs {
        /// A file on the filesystem.
        path: Bytes,
    },
    /// `fstatfs SLOT`: fstatfs(2).
    Fstatfs {
        /// The slot.
        slot: Slot,
    },
    /// `syncfs SLOT`: syncfs(2).
    Syncfs {
        /// The slot.
        slot: Slot,
    },
    /// `chdir PATH`: chdir(2); `remount` and `rotate` go back to the root first.
    Chdir {
        /// The directory.
        path: Bytes,
    },
    /// `fchdir SLOT`: fchdir(2).
    Fchdir {
        /// The slot.
        slot: Slot,
    },
    /// `getcwd`: getcwd(2) with a buffer of 4096 bytes.
    Getcwd,
    /// `copy_file_range IN here|OFFSET OUT here|OFFSET LEN`: copy_file_range(2) without flags.
    CopyFileRange {
        /// The slot that is read.
        from: Slot,
        /// Where; `None` at its position, which moves.
        from_at: Option<i64>,
        /// The slot that is written.
        to: Slot,
        /// Where; `None` at its position, which moves.
        to_at: Option<i64>,
        /// How many bytes at most.
        len: u32,
    },
    /// `sendfile OUT IN here|OFFSET LEN`: sendfile(2).
    Sendfile {
        /// The slot that is written, at its position.
        to: Slot,
        /// The slot that is read.
        from: Slot,
        /// Where; `None` at its position, which moves.
        from_at: Option<i64>,
        /// How many bytes at most.
        len: u32,
    },
    /// `fallocate SLOT OFFSET LEN [FLAGS]`: fallocate(2).
    Fallocate {
        /// The slot.
        slot: Slot,
        /// Where.
        offset: i64,
        /// How many bytes; at most 16 MiB, which take storage.
        len: i64,
        /// `FALLOC_FL_*`.
        mode: FallocateMode,
    },
    /// `getflags SLOT`: ioctl(2) with FS_IOC_GETFLAGS; what is protected shows as `i` and `a`.
    Getflags {
        /// The slot.
        slot: Slot,
    },
    /// `setflags SLOT [FLAGS]`: ioctl(2) with FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, as chattr(1) does it.
    Setflags {
        /// The slot.
        slot: Slot,
        /// The flags from now on; others than those that have a name stay.
        flags: InodeFlags,
    },
    /// `setfl SLOT [FLAGS]`: fcntl(2) with F_SETFL.
    Setfl {
        /// The slot.
        slot: Slot,
        /// `O_*`; those that are not named are cleared.
        flags: StatusFlags,
    },
    /// `umask MODE`: umask(2).
    Umask {
        /// The new mask.
        mode: u32,
    },
    /// `remount`: closes every descriptor, unmounts, mounts the same layers again.
    Remount,
    /// `rotate`: as `remount`, but the upper becomes the top lower layer, under a new empty upper.
    Rotate,
    /// `drop-caches`: drops this superblock's unused dentries and inodes.
    DropCaches,
    /// `try-mount [OPTION ...]`: mounts the kernel's overlay with just these options in a directory of its own
    /// ([`ground`]), looks at what came of it, and takes it down again. What the case has mounted stays as it is.
    TryMount {
        /// `name=value` or `name`, in the order in which they are given.
        options: Vec<Bytes>,
    },
    /// `observe`: looks at the whole merged, upper and work trees.
    Observe,
}

impl Op {
    /// Whether the step is one of ours rather than a system call under test.
    pub fn is_environment(&self) -> bool {
        matches!(self, Op::Remount | Op::Rotate | Op::DropCaches | Op::TryMount { .. } | Op::Observe)
    }

    /// Whether the step is meant to change the tree (its success is what coverage counts).
    pub fn is_mutating(&self) -> bool {
        match self {
            Op::Open { flags, .. } => {
                let changes = flags.creates() || flags.has(libc::O_TRUNC);
                flags.writes() || changes && !flags.has(libc::O_PATH)
            }
            Op::Write { .. }
            | Op::Truncate { .. }
            | Op::Mkdir { .. }
            | Op::Rmdir { .. }
            | Op::Mknod { .. }
            | Op::Symlink { .. }
            | Op::Link { .. }
            | Op::Unlink { .. }
            | Op::Rename { .. }
            | Op::Chmod { .. }
            | Op::Pwrite { .. }
            | Op::Ftruncate { .. }
            | Op::Fchmod { .. }
            | Op::Chown { .. }
            | Op::Utimens { .. }
            | Op::SetXattr { .. }
            | Op::RemoveXattr { .. }
            | Op::Writev { .. }
            | Op::Fchmodat { .. }
            | Op::Linkat { .. }
            | Op::Flink { .. }
            | Op::CopyFileRange { .. }
            | Op::Sendfile { .. }
            | Op::Setflags { .. }
            | Op::Fallocate { .. } => true,
            _ => false,
        }
    }
}

/// The footprint of a path: the lexical path whose two sides are looked at after the step.
///
/// Empty components and `.` are dropped and `..` cuts the component before it, so the result is a
/// clean relative path (empty for the root). Symlinks are not consulted: the footprint says what is
/// at a place, not where a call went.
pub fn footprint_of(path: &[u8]) -> Bytes {
    let mut out: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                out.pop();
            }
            name => out.push(name),
        }
    }
    Bytes::from(out.join(&b'/'))
}
