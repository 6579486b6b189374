//! Traits of the layers' filesystem: where ext4, XFS and Btrfs differ from tmpfs in what a caller can
//! see. Each is a fact of the filesystem's own code, named with its source; nothing here loosens a rule.

use crate::errno::Errno;
use crate::trace::Filesystem;

/// When `truncate(2)` to the size that a file has dates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSize {
    /// If the file has storage that could be cut.
    Stored,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which operations of fallocate a filesystem has besides giving storage and punching holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallocate {
    /// ZERO_RANGE.
    pub zeroes: bool,
    /// COLLAPSE_RANGE and INSERT_RANGE.
    pub shifts: bool,
}

/// What a filesystem does its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// `f_type` of statfs(2) (`linux/magic.h`).
    pub magic: u64,
    /// A directory has two links and one for each subdirectory; else it has one
    /// (`btrfs_create_new_inode`, `btrfs_add_link`).
    pub counts_subdirectories: bool,
    /// When `truncate(2)` to the same size dates (`shmem_setattr`; `ext4_setattr` calls `ext4_truncate`,
    /// which dates at its end; `xfs_setattr_size` and `btrfs_setsize` date a new size only).
    pub same_size: SameSize,
    /// `truncate(2)` of an empty file does nothing at all, so setuid and setgid stay
    /// (`xfs_setattr_size`, "short circuit the truncate case for zero length files").
    pub ignores_empty_truncate: bool,
    /// The number of an inode that is gone may be that of a new one (`find_inode_bit` of ext4,
    /// `xfs_dialloc`; tmpfs and Btrfs count on: `get_next_ino`, `btrfs_get_free_objectid`).
    pub reuses_numbers: bool,
    /// Setting an xattr to the value that it has dates the node (`ext4_xattr_set_handle` bails out).
    pub dates_same_xattr: bool,
    /// Setting an access control list to what it is dates the node (`simple_set_acl`, `xfs_attr_change`).
    pub dates_same_acl: bool,
    /// Removing one that is not there dates the node (`simple_set_acl`, `btrfs_setxattr_trans`).
    pub dates_missing_acl: bool,
    /// A truncation that clears setuid or setgid sets the access control list again (`posix_acl_chmod`; XFS does so
    /// only where the size stays).
    pub truncating_sets_acl: bool,
    /// An access control list is an xattr of the filesystem's own as well, and listed under both names
    /// (`__xfs_xattr_put_listent`).
    pub lists_acls_twice: bool,
    /// RENAME_EXCHANGE dates the ctime of what is exchanged. Else it dates only what changes its parent
    /// together with a directory: both ctimes, and the mtime of each such directory
    /// (`xfs_dir_exchange_children`).
    pub exchange_dates: bool,
    /// What renaming onto a directory that is not empty gives (`xfs_dir_rename_children`: EEXIST).
    pub rename_not_empty: Errno,
    /// O_TMPFILE in a directory that was removed is EPERM (`__ext4_new_inode`).
    pub refuses_in_removed: bool,
    /// RENAME_WHITEOUT onto a directory that is not empty dates the directory that the name would have
    /// left: the old entry is written back (`ext4_rename`, `ext4_resetent`).
    pub failed_whiteout_dates: bool,
    /// The whiteout that RENAME_WHITEOUT leaves is made as if in the directory that the name moves to, so
    /// its group comes from there (`xfs_rename_alloc_whiteout`).
    pub whiteout_by_target: bool,
    /// The shortest symlink target that is too long (`XFS_SYMLINK_MAXLEN`; else `PATH_MAX`).
    pub symlink_limit: usize,
    /// Copy-up clones the data, so that holes stay where they are (`vfs_clone_file_range`).
    pub clones: bool,
    /// A clone of storage that was never written is such storage too (`btrfs_clone`), not a hole
    /// (`xfs_reflink_remap_extent`).
    pub clones_reserved: bool,
    /// Writing a block of a clone, or cloning a file that ends inside one, reserves storage around it, which counts as
    /// data once something has been read there (`xfs_seek_iomap_begin`: the COW fork).
    pub reserves_for_clones: bool,
    /// Extending a file that ends inside a block gives that block storage (`btrfs_cont_expand`,
    /// `btrfs_truncate_block`; a write does so when it begins in a later block: `btrfs_write_check`).
    pub fills_last_block: bool,
    /// What fallocate does (`shmem_fallocate`, `ext4_fallocate`, `xfs_file_fallocate`, `btrfs_fallocate`).
    pub fallocate: Fallocate,
    /// PUNCH_HOLE dates a file that has no storage there (`btrfs_punch_hole`: `find_first_non_hole`).
    pub punching_dates_holes: bool,
    /// PUNCH_HOLE that reaches beyond the end takes the whole last block (`ext4_punch_hole`).
    pub punches_last_block: bool,
    /// Storage that was never written counts as data once something has been read there: what SEEK_DATA and SEEK_HOLE
    /// find depends on what is cached (`iomap_seek_data`, `find_desired_extent`).
    pub seeks_by_cache: bool,
    /// What the kernel reads for itself (copying up, sendfile, copy_file_range) gives holes storage in the file that is
    /// read (`shmem_file_read_iter` with `SGP_CACHE`; tmpfs before 5.18).
    pub reading_fills_holes: bool,
    /// Giving storage dates the data, and takes setuid away; else it dates the ctime alone (`shmem_fallocate` calls
    /// `file_modified` since 5.19).
    pub allocating_modifies: bool,
    /// SEEK_DATA and SEEK_HOLE from a negative offset are ENXIO; else they start at 0
    /// (`find_desired_extent` of Btrfs).
    pub refuses_negative_seek: bool,
    /// A directory that is listed to its end is left at the largest position there is, where reading
    /// even one byte is EINVAL (`ext4_get_htree_eof`, `btrfs_real_readdir`; `rw_verify_area`).
    pub ends_far: bool,
    /// A directory lists `.` and `..` before its names, so that a first call of getdents64 always has something
    /// (ext4 lists all by hash: `call_filldir`).
    pub lists_dots_first: bool,
    /// An open directory lists no name that came after it was opened or positioned
    /// (`btrfs_opendir`, `btrfs_dir_llseek`).
    pub lists_as_opened: bool,
    /// An open directory keeps which entry comes next, and what it gives is anybody's guess once that is gone (tmpfs:
    /// `offset_dir_lookup`; ext4 gives it all the same, or not: `call_filldir`).
    pub keeps_the_next: bool,
    /// A read that is refused at the start leaves it (`xfs_dir2_sf_getdents`, `call_filldir`).
    pub moves_when_refused: bool,
    /// An open directory has a cursor among its entries, and what a later call gives depends on where it was left:
    /// nothing says so here, and those calls are not judged (`dcache_readdir`; tmpfs before 6.6).
    pub reads_by_cursor: bool,
    /// `st_blocks` is exact at all times (elsewhere blocks are found when data are written back).
    pub counts_blocks: bool,
    /// A change of xattrs dates (`shmem_xattr_handler_set`; on tmpfs since 6.0).
    pub xattr_dates: bool,
    /// Inodes have flags (`shmem_fileattr_set`; on tmpfs since 6.0).
    pub inode_flags: bool,
    /// A protected inode is so by what the VFS asks alone (on tmpfs; `ext4_setattr` and others ask again).
    pub protects_by_vfs: bool,
    /// It takes user.* xattrs (on tmpfs since 6.6).
    pub user_xattrs: bool,
    /// Its file handles hold numbers of 32 bits (`generic_encode_ino32_fh`).
    pub small_numbers: bool,
    /// Names of trusted.* are listed for the administrator alone (`btrfs_listxattr` asks nobody).
    pub hides_trusted: bool,
}

impl Traits {
    /// The traits of a filesystem in a kernel of this version.
    pub fn of(filesystem: Filesystem, kernel: (u32, u32)) -> Traits {
        let tmpfs = Traits {
            magic: 0x0102_1994,
            counts_subdirectories: true,
            same_size: SameSize::Stored,
            ignores_empty_truncate: false,
            reuses_numbers: false,
            dates_same_xattr: true,
            dates_same_acl: true,
            dates_missing_acl: true,
            truncating_sets_acl: true,
            lists_acls_twice: false,
            exchange_dates: true,
            rename_not_empty: Errno::ENOTEMPTY,
            refuses_in_removed: false,
            failed_whiteout_dates: false,
            whiteout_by_target: false,
            symlink_limit: 4096,
            clones: false,
            clones_reserved: false,
            reserves_for_clones: false,
            fills_last_block: false,
            fallocate: Fallocate { zeroes: false, shifts: false },
            punching_dates_holes: true,
            punches_last_block: false,
            seeks_by_cache: false,
            reading_fills_holes: kernel < (5, 18),
            allocating_modifies: kernel >= (5, 19),
            refuses_negative_seek: true,
            ends_far: false,
            lists_dots_first: true,
            lists_as_opened: false,
            keeps_the_next: kernel >= (6, 6),
            reads_by_cursor: kernel < (6, 6),
            moves_when_refused: false,
            counts_blocks: true,
            xattr_dates: kernel >= (6, 0),
            inode_flags: kernel >= (6, 0),
            protects_by_vfs: true,
            user_xattrs: kernel >= (6, 6),
            small_numbers: false,
            hides_trusted: true,
        };
        match filesystem {
            Filesystem::Tmpfs => tmpfs,
            Filesystem::Ext4 => Traits {
                reading_fills_holes: false,
                allocating_modifies: true,
                keeps_the_next: true,
                reads_by_cursor: false,
                moves_when_refused: true,
                counts_blocks: false,
                xattr_dates: true,
                inode_flags: true,
                protects_by_vfs: false,
                user_xattrs: true,
                small_numbers: true,
                lists_dots_first: false,
                punches_last_block: true,
                fallocate: Fallocate { zeroes: true, shifts: true },
                seeks_by_cache: true,
                magic: 0xef53,
                same_size: SameSize::Always,
                reuses_numbers: true,
                dates_same_xattr: false,
                dates_same_acl: false,
                dates_missing_acl: false,
                truncating_sets_acl: false,
                refuses_in_removed: true,
                failed_whiteout_dates: true,
                ends_far: true,
                ..tmpfs
            },
            Filesystem::Xfs => Traits {
                reading_fills_holes: false,
                allocating_modifies: true,
                keeps_the_next: false,
                reads_by_cursor: false,
                moves_when_refused: true,
                counts_blocks: false,
                xattr_dates: true,
                inode_flags: true,
                protects_by_vfs: false,
                user_xattrs: true,
                fallocate: Fallocate { zeroes: true, shifts: true },
                seeks_by_cache: true,
                magic: 0x5846_5342,
                same_size: SameSize::Never,
                ignores_empty_truncate: true,
                dates_missing_acl: false,
                truncating_sets_acl: false,
                lists_acls_twice: true,
                reuses_numbers: true,
                exchange_dates: false,
                rename_not_empty: Errno::EEXIST,
                whiteout_by_target: true,
                symlink_limit: 1024,
                clones: true,
                reserves_for_clones: true,
                ..tmpfs
            },
            Filesystem::Btrfs => Traits {
                reading_fills_holes: false,
                allocating_modifies: true,
                keeps_the_next: false,
                reads_by_cursor: false,
                counts_blocks: false,
                xattr_dates: true,
                inode_flags: true,
                protects_by_vfs: false,
                user_xattrs: true,
                fallocate: Fallocate { zeroes: true, shifts: false },
                punching_dates_holes: false,
                seeks_by_cache: true,
                magic: 0x9123_683e,
                counts_subdirectories: false,
                same_size: SameSize::Never,
                clones: true,
                clones_reserved: true,
                fills_last_block: true,
                refuses_negative_seek: false,
                ends_far: true,
                // Since 6.6, and in the 6.1 series.
                lists_as_opened: kernel >= (6, 6) || kernel == (6, 1),
                hides_trusted: false,
                ..tmpfs
            },
        }
    }
}

impl Default for Traits {
    fn default() -> Self {
        Traits::of(Filesystem::Tmpfs, (6, 12))
    }
}
