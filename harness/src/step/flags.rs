//! Flags and other words of calls, with their names.

use serde::{Deserialize, Serialize};

/// Flags of `open`, by their Linux bits (`libc::O_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OpenFlags(pub i32);

impl OpenFlags {
    /// Every flag the case language knows, with its name. The access mode comes first.
    pub const NAMES: &[(i32, &str)] = &[
        (libc::O_CREAT, "O_CREAT"),
        // Its bits hold those of O_DIRECTORY.
        (libc::O_TMPFILE, "O_TMPFILE"),
        (libc::O_EXCL, "O_EXCL"),
        (libc::O_TRUNC, "O_TRUNC"),
        (libc::O_APPEND, "O_APPEND"),
        (libc::O_DIRECTORY, "O_DIRECTORY"),
        (libc::O_NOFOLLOW, "O_NOFOLLOW"),
        (libc::O_NONBLOCK, "O_NONBLOCK"),
        (libc::O_PATH, "O_PATH"),
    ];

    /// Whether all bits of `bit` are set.
    pub fn has(self, bit: i32) -> bool {
        self.0 & bit == bit
    }

    /// Whether the call may make a file, so that its mode counts.
    pub fn creates(self) -> bool {
        self.has(libc::O_CREAT) || self.has(libc::O_TMPFILE)
    }

    /// Whether the descriptor may be read from.
    pub fn reads(self) -> bool {
        !self.has(libc::O_PATH) && matches!(self.0 & libc::O_ACCMODE, libc::O_RDONLY | libc::O_RDWR)
    }

    /// Whether the descriptor may be written to.
    pub fn writes(self) -> bool {
        !self.has(libc::O_PATH) && matches!(self.0 & libc::O_ACCMODE, libc::O_WRONLY | libc::O_RDWR)
    }
}

/// Flags of `renameat2`, by their Linux bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RenameFlags(pub u32);

impl RenameFlags {
    /// Every flag with its name.
    pub const NAMES: &[(u32, &str)] = &[
        (libc::RENAME_NOREPLACE, "RENAME_NOREPLACE"),
        (libc::RENAME_EXCHANGE, "RENAME_EXCHANGE"),
        (libc::RENAME_WHITEOUT, "RENAME_WHITEOUT"),
    ];

    /// Whether `bit` is set.
    pub fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

/// Where `lseek` counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Whence {
    /// `SEEK_SET`
    Set,
    /// `SEEK_CUR`
    Cur,
    /// `SEEK_END`
    End,
    /// `SEEK_DATA`
    Data,
    /// `SEEK_HOLE`
    Hole,
}

impl Whence {
    /// Every one with its name and number.
    pub const NAMES: &[(Whence, &str, i32)] = &[
        (Whence::Set, "SEEK_SET", libc::SEEK_SET),
        (Whence::Cur, "SEEK_CUR", libc::SEEK_CUR),
        (Whence::End, "SEEK_END", libc::SEEK_END),
        (Whence::Data, "SEEK_DATA", libc::SEEK_DATA),
        (Whence::Hole, "SEEK_HOLE", libc::SEEK_HOLE),
    ];

    /// Its number.
    pub fn number(self) -> i32 {
        Whence::NAMES.iter().find(|(w, _, _)| *w == self).map_or(libc::SEEK_SET, |(_, _, n)| *n)
    }
}

/// Flags of `setxattr`, by their Linux bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct XattrFlags(pub i32);

impl XattrFlags {
    /// Every flag with its name.
    pub const NAMES: &[(i32, &str)] = &[(libc::XATTR_CREATE, "XATTR_CREATE"), (libc::XATTR_REPLACE, "XATTR_REPLACE")];
}

/// Mode of `fallocate`, by its Linux bits (`libc::FALLOC_FL_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FallocateMode(pub i32);

impl FallocateMode {
    /// Every flag with its name; none of them means to give storage.
    pub const NAMES: &[(i32, &str)] = &[
        (libc::FALLOC_FL_KEEP_SIZE, "FALLOC_FL_KEEP_SIZE"),
        (libc::FALLOC_FL_PUNCH_HOLE, "FALLOC_FL_PUNCH_HOLE"),
        (libc::FALLOC_FL_COLLAPSE_RANGE, "FALLOC_FL_COLLAPSE_RANGE"),
        (libc::FALLOC_FL_ZERO_RANGE, "FALLOC_FL_ZERO_RANGE"),
        (libc::FALLOC_FL_INSERT_RANGE, "FALLOC_FL_INSERT_RANGE"),
    ];

    /// Whether the size stays what it is.
    pub fn keeps_size(self) -> bool {
        self.0 & libc::FALLOC_FL_KEEP_SIZE != 0
    }

    /// What is done, without [`FallocateMode::keeps_size`].
    pub fn operation(self) -> i32 {
        self.0 & !libc::FALLOC_FL_KEEP_SIZE
    }
}

/// What `setfl` sets of the flags of an open file, by their Linux bits (`libc::O_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatusFlags(pub i32);

impl StatusFlags {
    /// Every flag with its name. Those that are left out are cleared.
    pub const NAMES: &[(i32, &str)] =
        &[(libc::O_APPEND, "O_APPEND"), (libc::O_NONBLOCK, "O_NONBLOCK"), (libc::O_NOATIME, "O_NOATIME")];

    /// All of them.
    pub const ALL: i32 = libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOATIME;

    /// Whether `bit` is set.
    pub fn has(self, bit: i32) -> bool {
        self.0 & bit != 0
    }
}

/// Flags of an inode that protect it, by their Linux bits (`FS_IMMUTABLE_FL`, `FS_APPEND_FL`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InodeFlags(pub i32);

impl InodeFlags {
    /// `FS_IMMUTABLE_FL`
    pub const IMMUTABLE: i32 = 0x10;
    /// `FS_APPEND_FL`
    pub const APPEND: i32 = 0x20;
    /// Every flag with its name. Those that are left out are cleared.
    pub const NAMES: &[(i32, &str)] =
        &[(InodeFlags::IMMUTABLE, "FS_IMMUTABLE_FL"), (InodeFlags::APPEND, "FS_APPEND_FL")];
    /// All of them.
    pub const ALL: i32 = InodeFlags::IMMUTABLE | InodeFlags::APPEND;

    /// The letters that lsattr(1) shows.
    pub fn letters(self) -> &'static str {
        match self.0 & InodeFlags::ALL {
            0 => "",
            InodeFlags::IMMUTABLE => "i",
            InodeFlags::APPEND => "a",
            _ => "ia",
        }
    }

    /// Whether `bit` is set.
    pub fn has(self, bit: i32) -> bool {
        self.0 & bit != 0
    }
}

/// Flags of the calls that take a path, by their Linux bits (`libc::AT_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AtFlags(pub i32);

impl AtFlags {
    /// Every flag with its name. A call refuses those that are not its own.
    pub const NAMES: &[(i32, &str)] = &[
        (libc::AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"),
        (libc::AT_EACCESS, "AT_EACCESS"),
        (libc::AT_SYMLINK_FOLLOW, "AT_SYMLINK_FOLLOW"),
    ];

    /// Whether `bit` is set.
    pub fn has(self, bit: i32) -> bool {
        self.0 & bit != 0
    }
}
