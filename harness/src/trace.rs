//! Traces: what was seen, and nothing about what should have been.
//!
//! The trace is the joint between execution and judgement. It is a value in memory between a worker
//! and its campaign, and a JSON document in a file; both are the types below. Private overlay xattrs
//! are named with `@` for the prefix in force: `@origin` is `trusted.overlay.origin`, or
//! `user.overlay.origin` with `userxattr`.

use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;
use crate::errno::Errno;
use crate::level::Level;

/// A point in time as the kernel reports it: seconds and nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time {
    /// Seconds.
    pub sec: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nsec: u32,
}

/// When something happened: CLOCK_REALTIME_COARSE before it and CLOCK_REALTIME after it.
///
/// The coarse clock bounds from below because that is what filesystems stamp with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Not earlier than this.
    pub from: Time,
    /// Not later than this.
    pub to: Time,
}

/// Everything a worker has to say about one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Where it ran.
    pub environment: Environment,
    /// When the layers were made.
    pub setup: Span,
    /// When the first mount was made.
    pub mounted: Span,
    /// The first mount failed with this; then there are no steps.
    pub mount_error: Option<MountError>,
    /// One record per step that ran, in order.
    pub steps: Vec<StepTrace>,
    /// The look at everything after the last step.
    pub last: Option<Observation>,
    /// The lower layers as they lay before the first mount, top-most first; empty for a target
    /// without layers.
    pub lowers: Vec<TreeSeen>,
    /// Digest of all lower layers before the first and after the last step.
    pub lower: LowerDigest,
    /// How it ended.
    pub end: End,
}

impl Trace {
    /// Of a case of which nothing was seen but how it ended.
    pub(crate) fn unseen(environment: Environment, end: End) -> Trace {
        Trace {
            environment,
            setup: Span::default(),
            mounted: Span::default(),
            mount_error: None,
            steps: Vec::new(),
            last: None,
            lowers: Vec::new(),
            lower: LowerDigest::default(),
            end,
        }
    }
}

/// A mount that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountError {
    /// The error.
    pub errno: Errno,
    /// What the kernel said of it, if it did.
    pub message: String,
}

/// Digests of the lower layers as they lie on disk; they must never change under a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LowerDigest {
    /// Before the first mount (after a `rotate`: of the then new stack).
    pub before: u64,
    /// After the last step.
    pub after: u64,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Every step ran.
    Completed,
    /// The worker (or the target) died in this step.
    Died {
        /// Index of the step.
        step: u32,
        /// How: signal or exit status, and what it said on its standard error.
        how: String,
    },
    /// This step missed its deadline.
    Hung {
        /// Index of the step.
        step: u32,
    },
    /// The target could not be mounted again at this step.
    MountFailed {
        /// Index of the step.
        step: u32,
        /// Why.
        error: MountError,
    },
}

/// Facts about where a trace was made; the model's context is computed from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Root, or rootless in a user namespace.
    pub privilege: Privilege,
    /// Name of the target.
    pub target: String,
    /// What the target claims to be, and is judged as.
    #[serde(default)]
    pub level: Level,
    /// `uname -r`.
    pub kernel: String,
    /// Name of the layers' filesystem.
    pub filesystem: String,
    /// The overlay module's parameters as `name=value`, sorted; empty when there is no such module.
    pub module: Vec<(String, String)>,
    /// Kernel settings that change what calls return, as `name=value`, sorted: `fs.protected_symlinks`,
    /// `fs.protected_hardlinks`, `fs.protected_regular`, `fs.protected_fifos`.
    pub sysctl: Vec<(String, String)>,
}

/// A filesystem that layers may lie on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Filesystem {
    /// In memory, without a disk.
    #[default]
    Tmpfs,
    /// ext4 as `mkfs.ext4` makes it.
    Ext4,
    /// XFS as `mkfs.xfs` makes it.
    Xfs,
    /// Btrfs as `mkfs.btrfs` makes it.
    Btrfs,
}

impl Filesystem {
    /// All of them.
    pub const ALL: [Filesystem; 4] = [Filesystem::Tmpfs, Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs];

    /// Its name, as in `/proc/filesystems`.
    pub fn name(self) -> &'static str {
        match self {
            Filesystem::Tmpfs => "tmpfs",
            Filesystem::Ext4 => "ext4",
            Filesystem::Xfs => "xfs",
            Filesystem::Btrfs => "btrfs",
        }
    }

    /// The filesystem of this name.
    pub fn named(name: &str) -> Option<Filesystem> {
        Filesystem::ALL.into_iter().find(|f| f.name() == name)
    }
}

/// With which rights the worker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Privilege {
    /// Root in the initial user namespace; private xattrs are `trusted.overlay.*`.
    Root,
    /// Uid 0 of a user namespace with one uid; `userxattr`, private xattrs are `user.overlay.*`.
    Rootless,
}

/// What one step returned and left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTrace {
    /// When.
    pub span: Span,
    /// What the call returned.
    pub outcome: Outcome,
    /// The two-sided footprint of the step's paths, in [`crate::step::Op::paths`] order: for each
    /// path first the merged side, then the upper side of its parent, then the upper side.
    pub footprint: Vec<Footprint>,
    /// The whole trees, after an `observe`, a `remount` or a `rotate`.
    pub observation: Option<Box<Observation>>,
}

/// Result of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Success, with a value.
    Ok(Value),
    /// An error.
    Err(Errno),
}

/// Value of a successful call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Nothing to tell.
    Unit,
    /// A count of bytes.
    Count(u64),
    /// Data read, or a symlink's target.
    Bytes(Bytes),
    /// Attributes.
    Stat(Box<Stat>),
    /// Directory entries without `.` and `..`, sorted by name.
    List(Vec<DirEntry>),
    /// Directory entries as one call gave them, each with the position after it (`d_off`).
    Dents(Vec<(DirEntry, i64)>),
    /// Names of xattrs, sorted; private ones start with `@`.
    Names(Vec<Bytes>),
    /// Facts of a filesystem.
    Filesystem(StatFs),
}

/// What statfs(2) says that a rule speaks of; free space and identifiers are nobody's rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatFs {
    /// Its type, `f_type`.
    pub magic: u64,
    /// Longest name in bytes, `f_namelen`.
    pub name_max: u64,
    /// `ST_RDONLY`: mounted read-only.
    pub read_only: bool,
}

/// One directory entry as getdents64 gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DirEntry {
    /// Its name.
    pub name: Bytes,
    /// Its `d_type`.
    pub kind: Kind,
    /// Its `d_ino`.
    pub ino: u64,
}

/// Type of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Directory.
    Dir,
    /// Regular file.
    File,
    /// Symbolic link.
    Symlink,
    /// Fifo.
    Fifo,
    /// Socket.
    Socket,
    /// Character device.
    Char,
    /// Block device.
    Block,
    /// `DT_UNKNOWN`, or something else entirely.
    Unknown,
}

/// Attributes of a node, all that statx gives and a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Type.
    pub kind: Kind,
    /// Permission bits, setuid, setgid, sticky.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count.
    pub nlink: u32,
    /// Size in bytes (not compared for directories).
    pub size: u64,
    /// Blocks of 512 bytes that it takes.
    #[serde(default)]
    pub blocks: u64,
    /// Device number of a device node: major and minor.
    pub rdev: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// Device the node is on: major and minor.
    pub dev: (u32, u32),
    /// Last access.
    pub atime: Time,
    /// Last modification.
    pub mtime: Time,
    /// Last change.
    pub ctime: Time,
}

/// What is at one place on one side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    /// Which side.
    pub side: Side,
    /// Where: a clean path relative to that side's root.
    pub path: Bytes,
    /// What is there.
    pub seen: Result<Seen, Errno>,
}

/// Which tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The merged view.
    Merged,
    /// The upper layer on disk.
    Upper,
    /// The work directory on disk.
    Work,
}

/// A node with its xattrs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its attributes.
    pub stat: Stat,
    /// Its xattrs, sorted by name; private ones start with `@`. `None` where they were not looked at:
    /// on the merged side of a footprint or of an `observe`.
    pub xattrs: Option<Vec<(Bytes, Bytes)>>,
    /// Symlink target or file content; only in an [`Observation`], and not on the upper side of an
    /// `observe`.
    pub content: Content,
}

/// Content of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Not looked at, or the node has none.
    None,
    /// All bytes of a file up to [`CONTENT_LIMIT`], or a symlink's target.
    Bytes(Bytes),
    /// FNV-1a of a longer file's bytes.
    Digest(u64),
    /// It could not be read.
    Unreadable(Errno),
}

/// Files up to this many bytes are traced in full, longer ones as a digest.
pub const CONTENT_LIMIT: usize = 2048;

/// The content of a regular file as it stands in a trace.
pub fn content_of(data: &[u8]) -> Content {
    if data.len() <= CONTENT_LIMIT {
        Content::Bytes(Bytes::from(data))
    } else {
        Content::Digest(fnv1a(FNV_START, data))
    }
}

/// Start value for [`fnv1a`].
pub const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, 64 bits: a label for bytes, nothing more.
pub fn fnv1a(start: u64, data: &[u8]) -> u64 {
    data.iter().fold(start, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A look at whole trees, complete after the last step and after a `remount` or `rotate`, without
/// merged xattrs and upper content in an `observe`, in a fixed order: merged first (looking there has effects), then upper,
/// then work. Every tree is walked depth first with the names of a directory sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When.
    pub span: Span,
    /// The merged view. A name that is listed but cannot be looked up stands with its error.
    pub merged: TreeSeen,
    /// The upper layer.
    pub upper: TreeSeen,
    /// The work directory base (`workdir=`).
    pub work: TreeSeen,
    /// After a `rotate`: what was the upper layer and is the top lower one now.
    pub rotated: Option<TreeSeen>,
}

/// One tree: paths relative to its root (the root itself is the empty path), in walking order.
pub type TreeSeen = Vec<NodeSeen>;

/// One place in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSeen {
    /// Where.
    pub path: Bytes,
    /// `d_type` of the entry that led here; `Unknown` for the root.
    pub listed: Kind,
    /// What is there.
    pub seen: Result<Seen, Errno>,
    /// The error of listing it, when it is a directory that could not be listed.
    pub list_error: Option<Errno>,
}

/// Major and minor version in a kernel's release, such as `6.12.117+deb13-amd64`.
pub fn kernel_version(release: &str) -> (u32, u32) {
    let numbers = leading_numbers(release);
    (numbers[0], numbers[1])
}

/// The stable point release in a kernel's release: 117 in `6.12.117+deb13-amd64`. `None` where it says none: most
/// distributions name the series and then count their own builds, as in `6.1.0-56-cloud-amd64`.
pub fn stable_patch(release: &str) -> Option<u32> {
    Some(leading_numbers(release)[2]).filter(|patch| *patch > 0)
}

/// The first three numbers in a kernel's release.
fn leading_numbers(release: &str) -> [u32; 3] {
    // What follows the digits and dots is the builder's own.
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    let mut numbers = release[..end].split('.').map(|n| n.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}
