//! The clauses: every statement that the model decides, with its ID, level, wording and source.
//!
//! A clause is a rule of OverlayFS (or of the VFS above it) cut so small that one place in the
//! model decides it. That place asks [`Rules::holds`], which records that the clause fired and
//! answers `false` only while the clause's *fault* is on. A fault breaks that one clause and nothing
//! else, so a faulty model that still agrees with every trace shows a clause that nothing tests.

use std::fmt;
use std::str::FromStr;

pub use crate::level::Level;

macro_rules! clauses {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $level:ident, $text:literal, $source:literal;)*) => {
        /// A clause of the specification.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Clause {
            $(#[doc = $text] $name,)*
        }

        impl Clause {
            /// All of them, in the order of the specification.
            pub const ALL: &[Clause] = &[$(Clause::$name),*];

            const FACTS: &[(&str, Level, &str, &str)] = &[$(($id, Level::$level, $text, $source)),*];
        }
    };
}

clauses! {
    // Path walk: the VFS above the overlay.
    VfsEmptyPath = "VFS-01.empty", Linux, "An empty path is ENOENT.", "fs/namei.c getname_flags";
    VfsPathTooLong = "VFS-02.path", Linux, "A path of 4096 bytes or more is ENAMETOOLONG.", "fs/namei.c getname_flags";
    VfsNameTooLong = "VFS-02.name", Linux, "A component of more than 255 bytes is ENAMETOOLONG when it is looked up.", "fs/overlayfs/namei.c ovl_lookup (MNT-48)";
    VfsMissing = "VFS-03.missing", Contract, "A component that is not there is ENOENT.", "fs/namei.c walk_component";
    VfsNotDir = "VFS-03.notdir", Contract, "A component before the last that is no directory is ENOTDIR.", "fs/namei.c link_path_walk";
    VfsDotDot = "VFS-04.dotdot", Contract, "`..` leads to the parent, and stays at the root of the process.", "fs/namei.c follow_dotdot";
    VfsFollow = "VFS-05.follow", Contract, "A symlink before the last component is followed, relative to its directory or from the root.", "fs/namei.c pick_link";
    VfsFollowLast = "VFS-05.last", Contract, "A symlink as last component is followed unless the call says not to.", "fs/namei.c step_into";
    VfsLoop = "VFS-05.loop", Linux, "More than 40 symlinks in one walk are ELOOP.", "fs/namei.c pick_link, MAXSYMLINKS";
    VfsSlashDir = "VFS-06.dir", Linux, "A trailing slash demands a directory: ENOTDIR otherwise.", "fs/namei.c lookup_last";
    VfsSlashFollow = "VFS-06.follow", Linux, "A trailing slash makes the walk follow a symlink in the last component.", "fs/namei.c lookup_last";
    VfsCreateExists = "VFS-07.exists", Contract, "Creating a name that is visible is EEXIST, before any copy-up (CRE-04).", "fs/namei.c filename_create";
    VfsCreateDots = "VFS-07.dots", Linux, "Creating `.`, `..` or `/` is EEXIST.", "fs/namei.c filename_create";
    VfsCreateSlash = "VFS-07.slash", Linux, "Creating anything but a directory at a missing name with a trailing slash is ENOENT.", "fs/namei.c filename_create";
    VfsUnlinkDir = "VFS-08.isdir", Contract, "unlink of a directory is EISDIR (RMV-11).", "fs/namei.c may_delete";
    VfsUnlinkDots = "VFS-08.dots", Linux, "unlink of `.`, `..` or `/` is EISDIR.", "fs/namei.c do_unlinkat";
    VfsUnlinkSlash = "VFS-08.slash", Linux, "unlink with a trailing slash is ENOTDIR for what is no directory.", "fs/namei.c do_unlinkat";
    VfsRmdirNotDir = "VFS-09.notdir", Contract, "rmdir of what is no directory is ENOTDIR (RMV-11).", "fs/namei.c may_delete";
    VfsRmdirDotDot = "VFS-09.dotdot", Linux, "rmdir of `..` is ENOTEMPTY.", "fs/namei.c do_rmdir";
    VfsRmdirDot = "VFS-09.dot", Linux, "rmdir of `.` is EINVAL.", "fs/namei.c do_rmdir";
    VfsRmdirRoot = "VFS-09.root", Linux, "rmdir of `/` is EBUSY (RMV-11).", "fs/namei.c do_rmdir";
    VfsRenameFlags = "VFS-10.flags", Linux, "RENAME_EXCHANGE with RENAME_NOREPLACE or RENAME_WHITEOUT is EINVAL (REN-01).", "fs/namei.c do_renameat2";
    VfsRenameOldDots = "VFS-10.olddots", Linux, "Renaming `.`, `..` or `/` is EBUSY.", "fs/namei.c do_renameat2";
    VfsRenameNewDots = "VFS-10.newdots", Linux, "Renaming to `.`, `..` or `/` is EBUSY, or EEXIST with RENAME_NOREPLACE.", "fs/namei.c do_renameat2";
    VfsRenameMissing = "VFS-10.missing", Contract, "Renaming a name that is not there is ENOENT.", "fs/namei.c do_renameat2";
    VfsRenameNoReplace = "VFS-10.noreplace", Contract, "RENAME_NOREPLACE onto a visible name is EEXIST (REN-01).", "fs/namei.c do_renameat2";
    VfsRenameExchangeMissing = "VFS-10.exchange", Contract, "RENAME_EXCHANGE with a name that is not there is ENOENT (REN-01).", "fs/namei.c do_renameat2";
    VfsRenameSlash = "VFS-10.slash", Linux, "A trailing slash on either name is ENOTDIR unless what is renamed there is a directory.", "fs/namei.c do_renameat2";
    VfsRenameIntoSelf = "VFS-10.subtree", Contract, "Renaming a directory into its own subtree is EINVAL (REN-13).", "fs/namei.c do_renameat2, lock_rename";
    VfsRenameOntoAncestor = "VFS-10.ancestor", Linux, "Renaming onto an ancestor is ENOTEMPTY (EINVAL with RENAME_EXCHANGE).", "fs/namei.c do_renameat2";
    VfsRenameSame = "VFS-10.same", Contract, "Renaming between two names of one file does nothing and succeeds (REN-13).", "fs/namei.c vfs_rename";
    VfsRenameDirOverFile = "VFS-10.dirfile", Contract, "Renaming a directory over what is none is ENOTDIR (REN-13).", "fs/namei.c may_delete";
    VfsRenameFileOverDir = "VFS-10.filedir", Contract, "Renaming what is no directory over a directory is EISDIR (REN-13).", "fs/namei.c may_delete";
    VfsLinkDir = "VFS-11.dir", Contract, "A hard link to a directory is EPERM (LNK-02).", "fs/namei.c vfs_link";
    VfsOpenCreateDirectory = "VFS-12.creatdir", Linux, "O_CREAT with O_DIRECTORY is EINVAL.", "fs/open.c build_open_flags";
    VfsOpenCreateSlash = "VFS-12.creatslash", Linux, "O_CREAT with a trailing slash is EISDIR.", "fs/namei.c open_last_lookups";
    VfsOpenExclusive = "VFS-12.excl", Contract, "O_CREAT|O_EXCL of a name that is visible is EEXIST; a symlink counts and is not followed.", "fs/namei.c do_open";
    VfsOpenCreateIsDir = "VFS-12.creatisdir", Linux, "O_CREAT of a directory is EISDIR.", "fs/namei.c do_open";
    VfsOpenSticky = "VFS-12.sticky", Linux, "O_CREAT of a special file in a sticky world-writable directory, which belongs neither to the caller nor to the directory's owner, is EACCES; of a file or fifo by fs.protected_regular and fs.protected_fifos.", "fs/namei.c may_create_in_sticky";
    VfsOpenNotDir = "VFS-12.notdir", Contract, "O_DIRECTORY of what is no directory is ENOTDIR.", "fs/namei.c do_open";
    VfsOpenNoFollow = "VFS-12.nofollow", Contract, "O_NOFOLLOW of a symlink is ELOOP.", "fs/namei.c may_open";
    VfsOpenDirWrite = "VFS-12.isdir", Contract, "Opening a directory for writing, or with O_TRUNC, is EISDIR.", "fs/namei.c may_open";
    VfsTmpfileAccess = "VFS-12.tmpfile", Linux, "O_TMPFILE without write access is EINVAL before the path is walked.", "fs/open.c build_open_flags";
    VfsOpenTruncates = "VFS-12.trunc", Contract, "O_TRUNC empties a regular file and dates it now, whatever the access mode.", "fs/namei.c handle_truncate";
    VfsOpenNoDevice = "VFS-13.enxio", Linux, "Opening a socket, or a device that no driver owns, is ENXIO.", "fs/inode.c no_open, fs/char_dev.c chrdev_open";
    VfsFifoNoReader = "VFS-13.fifo", Linux, "Opening a fifo O_WRONLY|O_NONBLOCK while nobody reads from it is ENXIO.", "fs/pipe.c fifo_open";
    VfsFifoRead = "VFS-13.fiforead", Linux, "Reading an empty fifo gives nothing while nobody writes, and EAGAIN while somebody may.", "fs/pipe.c pipe_read";
    VfsFifoWrite = "VFS-13.fifowrite", Linux, "Writing to a fifo that nobody reads is EPIPE; else what is written can be read.", "fs/pipe.c pipe_write";
    VfsBadSlot = "VFS-14.ebadf", Linux, "A closed descriptor is EBADF, as is reading or writing against its access mode.", "fs/read_write.c";
    VfsReadDir = "VFS-14.eisdir", Linux, "read(2) of a directory is EISDIR.", "fs/libfs.c generic_read_dir";
    VfsReadPosition = "VFS-14.pos", Contract, "A descriptor has a position that reads and writes advance; it survives copy-up (FIL-16).", "fs/read_write.c";
    VfsAppend = "VFS-14.append", Contract, "O_APPEND writes at the end, wherever the position is (FIL-16).", "mm/filemap.c generic_write_checks";
    VfsDevice = "VFS-14.device", Linux, "null reads as empty, zero and full as NUL bytes; full refuses writes with ENOSPC (FIL-17).", "drivers/char/mem.c";
    VfsTruncateKind = "VFS-15.kind", Contract, "truncate of a directory is EISDIR, of any other special file EINVAL.", "fs/open.c vfs_truncate";
    VfsTruncateNegative = "VFS-15.negative", Linux, "truncate to a negative length is EINVAL before the path is walked.", "fs/open.c do_sys_truncate";
    VfsTruncateExtends = "VFS-15.extend", Contract, "Truncating to a larger size adds NUL bytes.", "fs/attr.c";
    VfsReadlinkKind = "VFS-16.einval", Contract, "readlink of what is no symlink is EINVAL.", "fs/stat.c do_readlinkat";
    VfsSymlinkLong = "VFS-17.long", Linux, "A symlink target of 4096 bytes or more is ENAMETOOLONG, an empty one ENOENT.", "fs/namei.c do_symlinkat";
    VfsKillSuid = "VFS-18.suid", Contract, "Writing or truncating by a caller without CAP_FSETID clears setuid, and setgid of a group-executable file (ATT-03).", "fs/attr.c setattr_should_drop_suidgid";
    VfsNoSuid = "VFS-18.nosec", Linux, "A write that found neither setuid nor setgid keeps later ones from looking, until a mode with them is set through the same overlay inode.", "fs/inode.c file_remove_privs, inode_has_no_xattr";
    VfsChownSuid = "VFS-18.chown", Linux, "chown of what is no directory clears setuid, and setgid of a group-executable file, whoever asks (ATT-02).", "fs/open.c chown_common";
    VfsKillCapability = "VFS-18.capability", Linux, "Writing, truncating, and chown of what is no directory, take security.capability away, whoever asks.", "security/commoncap.c cap_inode_need_killpriv, cap_inode_killpriv";
    VfsChownUnmapped = "VFS-18.unmapped", Linux, "chown to an id that the user namespace does not map is EINVAL (USR-07).", "fs/open.c chown_common";
    VfsUtimeOmit = "VFS-18.omit", Linux, "Two times UTIME_OMIT change nothing and look at nothing (CUP-02).", "fs/utimes.c utimensat";
    VfsAccessExec = "VFS-18.exec", Linux, "Asking for X_OK of a file without any execute bit is EACCES, even for root.", "fs/namei.c generic_permission";
    VfsOffset = "VFS-14.offset", Linux, "A negative offset for pread or pwrite is EINVAL before the descriptor is looked at.", "fs/read_write.c ksys_pread64";
    VfsPipeSeek = "VFS-14.espipe", Linux, "A fifo has no positions: ESPIPE.", "fs/read_write.c";
    VfsSeekRange = "VFS-14.range", Linux, "Seeking before the start or beyond the largest file is EINVAL.", "fs/read_write.c generic_file_llseek_size";
    VfsFtruncate = "VFS-15.ftruncate", Linux, "ftruncate of what is not a regular file open for writing is EINVAL.", "fs/open.c do_ftruncate";
    VfsSyncKind = "VFS-16.sync", Linux, "fsync of a fifo or device is EINVAL.", "fs/sync.c vfs_fsync_range";
    VfsGetdentsKind = "VFS-16.getdents", Linux, "getdents of what is no directory is ENOTDIR.", "fs/readdir.c iterate_dir";
    DentsRoom = "VFS-16.room", Linux, "getdents64 with a buffer in which the next entry does not fit is EINVAL.", "fs/readdir.c getdents64, filldir64";
    DentsFill = "VFS-16.fill", Linux, "getdents64 gives as many entries as fit in the buffer.", "fs/readdir.c filldir64";
    VfsNoFollow = "VFS-05.nofollow", Contract, "With AT_SYMLINK_NOFOLLOW a call is about the symlink itself.", "fs/namei.c step_into";
    VfsLinkFollow = "VFS-11.follow", Contract, "linkat with AT_SYMLINK_FOLLOW links what a symlink leads to.", "fs/namei.c do_linkat";
    VfsLinkEmpty = "VFS-11.empty", Linux, "linkat of a descriptor (AT_EMPTY_PATH) by somebody without CAP_DAC_READ_SEARCH, and with other credentials than it was opened with, is ENOENT.", "fs/namei.c path_init, LOOKUP_LINKAT_EMPTY";
    VfsLinkGone = "VFS-11.gone", Contract, "linkat of a descriptor whose file has no name left is ENOENT.", "fs/namei.c vfs_link";
    VfsVector = "VFS-14.vector", Contract, "readv and writev take their buffers one after the other as if they were one.", "fs/read_write.c vfs_readv, vfs_writev";
    FilDup = "VFS-14.dup", Contract, "Descriptors made by dup share their position.", "fs/file.c dup";
    VfsSetfl = "VFS-23.flags", Contract, "fcntl with F_SETFL sets and clears O_APPEND of an open file, for all its descriptors.", "fs/fcntl.c setfl";
    VfsSetflNoatime = "VFS-23.noatime", Linux, "F_SETFL with O_NOATIME is for who owns the file: EPERM, unless it is set already.", "fs/fcntl.c setfl, inode_owner_or_capable";
    VfsAtFlags = "VFS-18.flags", Linux, "A flag that the call does not know is EINVAL before the path is walked.", "fs/open.c do_faccessat, fs/namei.c do_linkat";
    VfsAccessEffective = "VFS-18.eaccess", Linux, "access asks for the real user, so that root without capabilities in effect has them; with AT_EACCESS it asks for the caller as it is.", "fs/open.c access_override_creds";
    VfsChmodLink = "VFS-18.chmodlink", Linux, "Changing the mode of a symlink itself is EOPNOTSUPP, without copy-up.", "fs/attr.c notify_change";
    StfType = "MNT-48.type", Linux, "statfs shows the type of overlayfs, whatever the layers lie on.", "super.c ovl_statfs";
    StfNames = "MNT-48.names", Linux, "statfs shows the longest name that the layers' filesystem takes.", "super.c ovl_statfs";
    VfsOpenPath = "VFS-12.path", Linux, "O_PATH opens a place, of whatever type: all flags but O_DIRECTORY and O_NOFOLLOW are ignored, the file itself is not asked for permission, nothing is copied up, and with O_NOFOLLOW it may be a symlink.", "fs/open.c build_open_how, fs/namei.c do_o_path";
    VfsPathOnly = "VFS-14.path", Linux, "A descriptor opened with O_PATH can be asked about, entered, linked, duplicated and closed; for everything else it is EBADF.", "fs/file.c fdget";
    CwdRelative = "VFS-21.relative", Contract, "Paths that do not begin with a slash start from the working directory, wherever it was moved to since.", "fs/namei.c path_init";
    CwdNotDir = "VFS-21.notdir", Contract, "Entering what is no directory is ENOTDIR.", "fs/open.c chdir, fchdir";
    CwdPath = "VFS-21.path", Contract, "getcwd shows the names that the directories have now.", "fs/d_path.c getcwd";
    CwdRemoved = "VFS-21.removed", Linux, "getcwd in a directory that was removed is ENOENT.", "fs/d_path.c getcwd";
    CwdDead = "VFS-21.dead", Linux, "Nothing can be found or made in a directory that was removed: ENOENT.", "fs/namei.c lookup_slow, lookup_open, IS_DEADDIR";
    VfsMknodDevice = "VFS-19.mknod", Linux, "mknod of a device other than 0:0 needs CAP_MKNOD in the initial user namespace: EPERM (CRE-09).", "fs/namei.c vfs_mknod";

    // Permission: the caller's credentials against the overlay inode.
    PrmMode = "PRM-01.mode", Contract, "Mode bits of what the merged view shows decide what a caller without capabilities may do: EACCES.", "inode.c ovl_permission";
    PrmSticky = "PRM-05.sticky", Contract, "In a sticky directory only the owner of the name or of the directory removes or renames it: EPERM.", "fs/namei.c may_delete";
    PrmHardlink = "PRM-05.hardlink", Linux, "With fs.protected_hardlinks, linking what is not one's own and could not be written is EPERM.", "fs/namei.c may_linkat";
    PrmOwner = "ATT-01.chmod", Contract, "chmod is for the owner: EPERM, without copy-up.", "fs/attr.c setattr_prepare";
    PrmChown = "ATT-01.chown", Contract, "Without CAP_CHOWN an owner may only change the group, to one of their own: EPERM, without copy-up.", "fs/attr.c setattr_prepare";
    PrmTimes = "ATT-01.times", Contract, "Setting other times than now is for the owner: EPERM, without copy-up.", "fs/attr.c setattr_prepare";
    PrmSetgidChmod = "ATT-02.setgid", Linux, "chmod by an owner who is not in the group clears setgid.", "fs/attr.c setattr_prepare";
    PrmSetgidFile = "PRM-06.setgid", Linux, "An executable file made setgid in a setgid directory by somebody not in its group loses setgid.", "fs/inode.c mode_strip_sgid";

    // The filesystem under the layers.
    FsDirTime = "FS-01.dirtime", Contract, "Adding or removing a name dates the directory's mtime and ctime.", "mm/shmem.c";
    FsCtime = "FS-01.ctime", Contract, "Changing attributes, links, names or xattrs of a node dates its ctime.", "mm/shmem.c, fs/libfs.c simple_rename_timestamp";
    FsWriteTime = "FS-01.mtime", Contract, "Writing data or changing the size dates mtime and ctime.", "mm/shmem.c, fs/inode.c file_update_time";
    FsTruncateSame = "FS-01.same", Linux, "truncate(2) to the same size dates a file that has storage, and no other, on tmpfs.", "mm/shmem.c shmem_setattr, shmem_truncate_range";
    FsDirLinks = "FS-02.dirlinks", Linux, "A directory has two links and one for each subdirectory.", "mm/shmem.c";
    FsLinks = "FS-02.links", Contract, "A node has as many links as names.", "mm/shmem.c";
    FsSetgid = "FS-03.setgid", Contract, "What is made in a setgid directory takes its group, and a directory also its setgid bit (PRM-06).", "fs/inode.c inode_init_owner";
    FsMkdirMode = "FS-03.mkdir", Linux, "mkdir takes permission and sticky bits from its mode, no setuid or setgid.", "fs/namei.c vfs_mkdir";
    FsNotEmpty = "FS-04.notempty", Contract, "Removing or replacing a directory that holds anything is ENOTEMPTY.", "fs/libfs.c simple_empty";

    // Mounting.
    MntWorkdir = "MNT-35.work", Linux, "Mounting creates an empty directory `work` of mode 0000 in the work directory.", "super.c ovl_workdir_create";
    MntWorkClean = "MNT-35.clean", Linux, "What a former mount left in `work/work` is removed.", "super.c ovl_workdir_create, readdir.c ovl_workdir_cleanup";
    MntUuid = "MNT-46.fresh", Linux, "uuid=auto writes a random uuid on an upper root that has none and is not impure.", "util.c ovl_init_uuid_xattr";
    MntUuidImpure = "MNT-46.impure", Linux, "uuid=auto writes no uuid on an upper root that is impure already.", "util.c ovl_init_uuid_xattr";
    MntUuidKept = "MNT-46.kept", Linux, "An existing uuid is kept over mounts.", "util.c ovl_init_uuid_xattr";
    MntIndexDir = "MNT-37.index", Linux, "With index=on mounting makes a directory `index` of mode 0000 beside `work`, and temporary files are made there.", "super.c ovl_get_indexdir";
    MntIndexClean = "MNT-44.clean", Linux, "Temporary files that a former mount left in the index directory are removed.", "readdir.c ovl_indexdir_cleanup";
    MntIndexOrigin = "MNT-43.origin", Linux, "With index=on the upper root gets the root of the top lower layer as origin, if it has none.", "super.c ovl_get_indexdir";
    MntUuidOn = "MNT-46.on", Linux, "uuid=on writes a uuid on every upper root that has none.", "util.c ovl_init_uuid_xattr";
    MntUuidNull = "MNT-46.null", Linux, "uuid=null and uuid=off write no uuid.", "util.c ovl_init_uuid_xattr";
    MntVolatile = "MNT-45.mark", Linux, "A volatile mount marks its work directory with incompat/volatile/dirty.", "super.c ovl_create_volatile_dirty";
    MntIncompat = "MNT-36.refuse", Linux, "A work directory with anything in incompat cannot be mounted: EINVAL.", "readdir.c ovl_workdir_cleanup_recurse";
    MntMetacopyRedirect = "MNT-27.conflict", Linux, "metacopy=on with a redirect_dir that is not on is EINVAL.", "params.c ovl_fs_params_verify";
    MntMetacopyImplies = "MNT-27.implies", Linux, "metacopy=on alone switches redirect_dir on.", "params.c ovl_fs_params_verify";
    MntExportIndex = "MNT-28.conflict", Linux, "nfs_export=on with index=off is EINVAL.", "params.c ovl_fs_params_verify";
    MntExportMetacopy = "MNT-29.conflict", Linux, "nfs_export=on with metacopy=on is EINVAL.", "params.c ovl_fs_params_verify";
    MntUserxattr = "MNT-30.conflict", Linux, "userxattr with a redirect_dir other than nofollow, or with metacopy=on, is EINVAL.", "params.c ovl_fs_params_verify";
    MntExportLower = "MNT-28.lower", Linux, "Without an upper layer nfs_export=on is dropped unless redirect_dir=nofollow is asked for.", "params.c ovl_fs_params_verify";
    MntExportImplies = "MNT-28.implies", Linux, "nfs_export=on alone switches the index on.", "params.c ovl_fs_params_verify";
    MntDenied = "MNT-32.denied", Linux, "Without CAP_SYS_ADMIN in the initial user namespace and without userxattr, asking for redirects, metacopy or data-only layers is EPERM.", "params.c ovl_fs_params_verify";
    MntDataMetacopy = "MNT-33.metacopy", Linux, "Data-only layers need no metacopy=on since 6.16; before, they are EINVAL without.", "params.c ovl_fs_params_verify";
    MntUnknown = "MNT-01.unknown", Linux, "An option that is not known is EINVAL.", "params.c ovl_parse_param";
    MntValue = "MNT-01.value", Linux, "An option with a value that it does not take, without one that it needs, or with one that it has no use for is EINVAL.", "fs/fs_parser.c __fs_parse";
    MntReplace = "MNT-03.replace", Linux, "lowerdir= replaces all lower layers that were given before.", "params.c ovl_parse_param_lowerdir";
    MntEscape = "MNT-04.escape", Linux, "A backslash makes a colon of lowerdir= part of a name; lowerdir+= and datadir+= know no escapes.", "params.c ovl_mount_dir, ovl_mount_dir_noesc";
    MntColons = "MNT-05.colons", Linux, "In lowerdir= a colon at either end, or three in a row, is EINVAL.", "params.c ovl_parse_param_split_lowerdirs";
    MntBelowData = "MNT-05.data", Linux, "What follows two colons is a data-only layer; any other layer below it is EINVAL.", "params.c ovl_parse_param_lowerdir, ovl_mount_dir_check";
    MntNoLower = "MNT-06.none", Linux, "A mount without lower layers is EINVAL; lowerdir= of nothing takes them away.", "super.c ovl_fill_super";
    MntMixed = "MNT-07.mixed", Linux, "lowerdir+= and datadir+= after lowerdir= are EINVAL.", "params.c ovl_mount_dir_check";
    MntMissing = "MNT-12.missing", Linux, "A layer that does not exist is ENOENT.", "params.c ovl_mount_dir_noesc";
    MntNotDir = "MNT-12.directory", Linux, "A layer that is no directory is EINVAL.", "params.c ovl_mount_dir_check";
    MntNoWork = "MNT-13.work", Linux, "An upper layer without a work directory is EINVAL.", "super.c ovl_fill_super";
    MntWorkApart = "MNT-15.apart", Linux, "Upper layer and work directory of which one is the other or lies in it are EINVAL.", "super.c ovl_workdir_ok";
    MntTwice = "MNT-16.twice", Linux, "A lower layer that is another layer or the work directory is ELOOP.", "super.c ovl_setup_trap";
    MntInside = "MNT-16.inside", Linux, "A lower layer inside another layer or the work directory is ELOOP.", "super.c ovl_check_layer";
    MntTrap = "MNT-17.trap", Linux, "An upper layer or work directory inside a lower layer is listed there, and looking it up is ELOOP.", "namei.c ovl_lookup_single";
    MntOneLower = "MNT-19.one", Linux, "Without an upper layer, one lower layer alone is EINVAL.", "super.c ovl_get_lowerstack";
    MntAllData = "MNT-19.data", Linux, "Lower layers that are all data-only are EINVAL.", "super.c ovl_get_lowerstack";
    MntReadOnly = "MNT-25.readonly", Linux, "A mount without an upper layer is read-only, and cannot be remounted to be written to: EROFS.", "super.c ovl_fill_super, params.c ovl_reconfigure";
    MntRo = "MNT-49.ro", Linux, "A mount that is asked to be read-only prepares its work directory, and can be remounted to be written to.", "params.c ovl_reconfigure";
    MntDataHidden = "MCP-10.hidden", Linux, "The names in a data-only layer are not in the merged root.", "super.c ovl_get_lowerstack";

    // Lookup and merge.
    LkpOrder = "LKP-01.order", Contract, "The upper is searched first, then the parent's lower directories from top to bottom.", "namei.c ovl_lookup";
    LkpNonDirStops = "LKP-02.nondir", Contract, "What is found first and is no directory is the object; nothing below is searched.", "namei.c ovl_lookup_single";
    LkpMerge = "LKP-02.merge", Contract, "Directories of one name merge.", "namei.c ovl_lookup";
    LkpNonDirBelow = "LKP-03.nondir", Contract, "While merging, the first layer where the name is no directory ends the search.", "namei.c ovl_lookup_single";
    LkpWhiteoutBelow = "LKP-03.whiteout", Contract, "While merging, the first layer where the name is a whiteout ends the search.", "namei.c ovl_lookup_single";
    LkpOpaque = "LKP-04.opaque", Contract, "A directory with opaque=y is included and hides what is below it.", "namei.c ovl_lookup_single";
    LkpOpaqueValue = "LKP-04.value", Linux, "An opaque xattr of any value but y hides nothing.", "namei.c ovl_get_opaquedir_val";
    LkpTopAttributes = "LKP-05.top", Contract, "Attributes of a merged directory are those of its top-most component.", "inode.c ovl_getattr";
    LkpUpperWhiteout = "LKP-08.whiteout", Linux, "A negative name remembers whether an upper whiteout made it so.", "namei.c ovl_lookup";
    LkpFixOrigin = "LKP-09.origin", Linux, "Looking up an upper directory over a lower one that has no origin stores one.", "namei.c ovl_fix_origin";
    LkpFixImpure = "LKP-09.impure", Linux, "Storing that origin marks the parent impure.", "namei.c ovl_fix_origin";
    LkpDecodeOrigin = "LKP-10.decode", Linux, "The origin of an upper file is decoded to find its lower inode.", "namei.c ovl_check_origin";
    LkpStale = "LKP-15.stale", Linux, "Where a cached directory has another upper or lower than the one looked up, the lookup is ESTALE.", "inode.c ovl_verify_inode";
    RdrInvalid = "RDR-01.invalid", Linux, "A redirect that is empty, is relative with a slash or has an empty component makes the lookup EINVAL.", "util.c ovl_get_redirect_xattr";
    RdrRelative = "RDR-02.relative", Contract, "A relative redirect: the layers below are searched under that name of the same parent.", "namei.c ovl_check_redirect";
    RdrAbsolute = "RDR-02.absolute", Contract, "An absolute redirect: the layers below are searched from their roots.", "namei.c ovl_check_redirect, ovl_lookup";
    RdrPierces = "RDR-03.pierces", Contract, "An absolute redirect leads out of an opaque directory on its way.", "namei.c ovl_check_redirect";
    RdrNoFollow = "RDR-05.nofollow", Linux, "With redirect_dir=nofollow a name whose redirect would lead further is EPERM; before 6.16 only where something lower was found.", "namei.c ovl_check_follow_redirect, before 6.16 ovl_lookup";
    McpData = "MCP-01.data", Contract, "A regular file with metacopy has its data in the next regular file found below, by its redirect if it has one.", "namei.c ovl_lookup, util.c ovl_check_metacopy_xattr";
    McpNoData = "MCP-02.nodata", Linux, "A metacopy without data below is EIO.", "namei.c ovl_lookup";
    McpKind = "MCP-02.kind", Linux, "What is found below a metacopy and is no regular file ends the search for its data.", "namei.c ovl_lookup_single";
    McpRefused = "MCP-02.refused", Linux, "With metacopy=off a metacopy is EPERM; before 6.16 only where its data are there.", "namei.c ovl_check_follow_redirect";
    WhtHides = "WHT-01.hides", Contract, "A character device 0:0 in any layer hides the name there and below.", "util.c ovl_path_is_whiteout";
    WhtXattr = "WHT-02.xattr", Format, "An empty regular file with the xattr whiteout, of any value, hides the name in its layer and below.", "util.c ovl_path_check_xwhiteout_xattr";
    WhtMarked = "WHT-05.marked", Linux, "An xattr whiteout is left out of a listing where its directory, and one of that layer, is marked opaque=x; not in the upper or the lowest layer.", "readdir.c ovl_dir_read_merged, ovl_cache_update";
    WhtUnmarked = "WHT-05.unmarked", Linux, "An xattr whiteout in a directory without the mark is listed, though it is not found.", "readdir.c ovl_dir_read_merged";
    WhtEmpty = "WHT-10.notempty", Linux, "A directory in which xattr whiteouts lie is not empty: ENOTEMPTY.", "readdir.c ovl_check_empty_dir";
    WhtMknod = "WHT-07.mknod", Linux, "mknod of a character device 0:0 through the overlay is EPERM.", "dir.c ovl_mknod";
    WhtNode = "WHT-06.node", Format, "A whiteout is a character device 0:0 of mode 0000 that belongs to the mounter.", "dir.c ovl_whiteout";
    WhtShared = "WHT-06.shared", Linux, "Whiteouts made by removals are hard links of one inode, whose spare link stays in work.", "dir.c ovl_whiteout";

    // Directory listing.
    DirMerged = "DIR-03.once", Contract, "A merged listing names every visible name once.", "readdir.c ovl_dir_read_merged";
    DirType = "DIR-04.type", Contract, "The type of a listed name is that of its top-most object.", "readdir.c ovl_cache_entry_new";
    DirWhiteout = "DIR-04.whiteout", Contract, "A name whose top-most object is a whiteout is not listed where listings merge.", "readdir.c ovl_check_whiteouts";
    DirRaw = "WHT-04.raw", Linux, "A directory that does not merge is listed as it lies on disk, raw whiteouts included.", "readdir.c ovl_dir_is_real";
    DirImpureGone = "DIR-13.impure", Linux, "The first listing of an impure directory that holds no copied-up child any more removes the mark.", "readdir.c ovl_cache_get_impure";
    DirIno = "INO-08.dino", Linux, "d_ino equals st_ino where all layers are on one filesystem.", "readdir.c ovl_cache_update";

    DirDead = "DIR-11.dead", Linux, "Listing a directory that was removed is ENOENT.", "fs/readdir.c iterate_dir";
    DirMode = "DIR-01.mode", Linux, "A directory that is being read as it lies in one layer goes on so until it is rewound, whatever is copied up meanwhile.", "readdir.c ovl_dir_reset, ovl_iterate";
    DirPosition = "DIR-05.position", Linux, "Positions in a merged listing count its entries.", "readdir.c ovl_iterate";
    DirGaps = "DIR-05.gaps", Linux, "What a merged listing leaves out has a position as well.", "readdir.c ovl_iterate";
    DirSeek = "DIR-06.range", Linux, "Seeking in a merged listing from its end, to data or holes, or before its start is EINVAL.", "readdir.c ovl_dir_llseek";
    DirTell = "DIR-06.tell", Contract, "Seeking to a position that reading gave goes on there.", "readdir.c ovl_dir_llseek, ovl_seek_cursor";
    DirKept = "DIR-08.kept", Linux, "A merged listing that is being read stays as it was begun: what comes is not in it, and what goes is.", "readdir.c ovl_dir_cache";
    DirRewind = "DIR-08.rewind", Contract, "Seeking an open directory to 0 makes it list anew what is there then.", "readdir.c ovl_dir_llseek, ovl_dir_reset";
    DirSwitch = "DIR-15.switch", Contract, "A directory opened before it was copied up lists the merged content from its first read on.", "readdir.c ovl_dir_reset";
    DirFailedLookup = "DIR-12.left", Linux, "An entry of an impure directory whose lookup fails is left out of the listing.", "readdir.c ovl_cache_update";
    DirInoDots = "INO-08.dots", Linux, "d_ino of `.` is the directory's st_ino, and that of `..` its parent's; of a parent without an origin it is the number of the part that lies in the layer of the directory's own top-most part.", "readdir.c ovl_cache_update, ovl_iterate_real";
    DirInoStale = "INO-08.stale", Linux, "A hard link to a copied-up file, made in an impure directory that is listed as it lies on disk, is listed with the number of its upper inode until the listing is cached anew.", "readdir.c ovl_cache_get_impure, dir.c ovl_create_or_link";

    DirInoRaw = "INO-08.raw", Linux, "With layers on several filesystems and without xino, d_ino is the number that the top-most object has in its layer.", "readdir.c ovl_cache_update, ovl_iterate";
    DirInoXino = "INO-08.xino", Linux, "With xino, d_ino is marked as st_ino is.", "readdir.c ovl_remap_lower_ino";
    DirInoParent = "INO-08.parent", Linux, "With xino, `..` of a merged listing whose parent has no origin is marked as the parent's top-most part is, whichever part gives the number.", "readdir.c ovl_cache_update";
    DirApart = "DIR-10.apart", Linux, "With layers on several filesystems and without xino, entries of an impure directory are not looked up: what went meanwhile is listed.", "readdir.c ovl_cache_update";
    DirLookedUp = "DIR-10.xino", Linux, "With xino every entry of a merged listing is looked up when it is given, lower ones too: what went meanwhile is left out.", "readdir.c ovl_calc_d_ino";
    DirImpureApart = "DIR-13.apart", Linux, "With layers on several filesystems and without xino, reading an impure directory that holds no copied-up child leaves the mark.", "readdir.c ovl_iterate";

    // Copy-up.
    CupOpenWrite = "CUP-01.open", Format, "Opening a lower regular file for writing copies it up.", "copy_up.c ovl_maybe_copy_up";
    CupOpenTrunc = "CUP-01.trunc", Format, "Opening a lower regular file with O_TRUNC copies it up, even read-only.", "copy_up.c ovl_open_need_copy_up";
    CupTruncate = "CUP-01.truncate", Format, "truncate copies up, even to the same size.", "inode.c ovl_setattr";
    CupChmod = "CUP-01.chmod", Format, "chmod copies up, even to the same mode.", "inode.c ovl_setattr";
    CupLink = "CUP-01.link", Format, "The source of a hard link is copied up.", "dir.c ovl_link";
    CupRename = "CUP-01.rename", Format, "The source of a rename is copied up.", "dir.c ovl_rename";
    CupRenameExchange = "CUP-01.exchange", Format, "RENAME_EXCHANGE copies up both.", "dir.c ovl_rename";
    CupRead = "CUP-02.read", Format, "Opening for reading copies nothing up.", "copy_up.c ovl_open_need_copy_up";
    CupChown = "CUP-01.chown", Format, "chown copies up, even with -1 and -1.", "inode.c ovl_setattr";
    CupUtimens = "CUP-01.utimens", Format, "Setting time stamps copies up.", "inode.c ovl_setattr";
    CupSetXattr = "CUP-01.setxattr", Format, "setxattr copies up, even if it then fails with EEXIST, ENODATA or EOPNOTSUPP.", "xattrs.c ovl_xattr_set";
    CupRemoveXattr = "CUP-01.removexattr", Format, "removexattr of an existing name copies up.", "xattrs.c ovl_xattr_set";
    CupSpecial = "CUP-03.special", Format, "Opening a fifo, socket or device copies nothing up, even for writing.", "copy_up.c ovl_open_need_copy_up";
    CupParent = "CUP-05.parent", Format, "Creating or removing a name copies its directory up.", "dir.c ovl_create_object, ovl_do_remove";
    CupAncestors = "CUP-09.ancestors", Format, "Missing ancestors are copied up first, from the top.", "copy_up.c ovl_copy_up_flags";
    CupDirAttributes = "CUP-09.attributes", Contract, "A copied-up directory keeps mode, owner, xattrs, atime and mtime; its content is not copied.", "copy_up.c ovl_copy_up_workdir";
    CupImpure = "CUP-10.impure", Linux, "Copying up marks the parent's upper impure.", "copy_up.c ovl_do_copy_up";
    CupParentTimes = "CUP-10.times", Contract, "Copying up keeps the parent's atime and mtime.", "copy_up.c ovl_do_copy_up";
    CupData = "CUP-11.data", Contract, "A copied-up file has the lower file's data.", "copy_up.c ovl_copy_up_file";
    CupFileAttributes = "CUP-11.attributes", Contract, "A copied-up file keeps mode, owner, atime and mtime.", "copy_up.c ovl_set_attr";
    CupXattrs = "CUP-11.xattrs", Contract, "A copied-up node keeps its xattrs.", "copy_up.c ovl_copy_xattr";
    CupPrivate = "XAT-07.private", Format, "Private xattrs of a lower node are not copied up.", "copy_up.c ovl_copy_xattr";
    CupOriginDir = "CUP-14.dir", Linux, "A copied-up directory stores its origin.", "copy_up.c ovl_do_copy_up";
    CupOriginFile = "CUP-14.file", Linux, "A copied-up file, symlink or special file with one lower link stores its origin.", "copy_up.c ovl_do_copy_up";
    CupOriginHardlink = "CUP-14.hardlink", Linux, "A copied-up file with several lower links stores no origin while index is off.", "copy_up.c ovl_do_copy_up";
    CupOriginEmpty = "CUP-14.empty", Linux, "Where handles cannot be decoded the stored origin is empty (MNT-41, USR-03).", "copy_up.c ovl_get_origin_fh";
    CupOriginUser = "USR-05.special", Linux, "With userxattr, symlinks and special files store no origin: user.* xattrs are not for them.", "copy_up.c ovl_set_origin_fh";
    CupDevice = "CUP-18.device", Contract, "A copied-up device keeps its number, a symlink its target.", "copy_up.c ovl_copy_up_workdir";
    McpBlocks = "MCP-04.blocks", Linux, "st_blocks of a metacopy is that of its data.", "inode.c ovl_getattr";
    McpCopyUp = "MCP-06.copyup", Format, "With metacopy=on a change of attributes, a link or a rename copies up a regular file without its data.", "copy_up.c ovl_need_meta_copy_up";
    McpDataUp = "MCP-07.data", Format, "Opening a metacopy for writing, or truncating it, copies its data up and ends it being one.", "copy_up.c ovl_copy_up_meta_inode_data";
    McpDates = "MCP-07.mtime", Linux, "Data that are copied up later date the file.", "copy_up.c ovl_copy_up_meta_inode_data";
    McpRedirect = "MCP-08.redirect", Format, "A metacopy that is renamed or linked gets a redirect to its data.", "dir.c ovl_set_redirect, ovl_set_link_redirect";
    McpRedirectLinks = "MCP-08.links", Format, "The redirect of a metacopy is absolute if its lower file has several links.", "dir.c ovl_need_absolute_redirect";
    IdxCopyUp = "IDX-01.index", Format, "With index=on a lower file with several links is copied up to the index, and linked to its name from there.", "copy_up.c ovl_do_copy_up";
    IdxOrigin = "CUP-14.index", Linux, "A copy in the index stores its origin.", "copy_up.c ovl_do_copy_up";
    IdxLookup = "IDX-01.lookup", Contract, "A name of a lower file that has an index entry shows that entry.", "namei.c ovl_lookup_index";
    IdxImpure = "IDX-01.impure", Linux, "Linking a copy to a name marks its directory impure.", "copy_up.c ovl_link_up";
    IdxStored = "IDX-04.stored", Linux, "The number of names of an indexed file is stored relative to the links of the upper inode, or of the lower one while a name is linked up.", "inode.c ovl_set_nlink_common";
    IdxUnion = "NLK-03.stored", Contract, "The link count of an indexed file is what was stored of it.", "inode.c ovl_get_nlink";
    NlkUnion = "NLK-03.union", Contract, "An indexed file has as many links as the overlay shows names.", "inode.c ovl_getattr";
    IdxNumber = "IDX-02.number", Linux, "All names of an indexed file keep the inode number of the lower file.", "inode.c ovl_getattr";
    IdxVictim = "IDX-05.victim", Format, "Removing or replacing a name of a lower file with several links copies it up first.", "util.c ovl_nlink_start";
    IdxOrphan = "IDX-06.orphan", Format, "With its last name an index entry is removed.", "util.c ovl_cleanup_index";

    // Creation.
    CreOwner = "CRE-01.owner", Contract, "What is created belongs to the caller.", "dir.c ovl_create_or_link";
    CreUmask = "CRE-01.umask", Contract, "The umask applies to what is created, over a whiteout too.", "fs/posix_acl.c posix_acl_create, dir.c ovl_create_over_whiteout";
    CreOverWhiteout = "CRE-02.replace", Contract, "Creating at a whiteouted name replaces the whiteout.", "dir.c ovl_create_over_whiteout";
    CreOpaque = "CRE-02.opaque", Format, "mkdir over an upper whiteout makes the directory opaque (OPQ-01a).", "dir.c ovl_create_over_whiteout";
    CreNoOpaque = "OPQ-01.plain", Linux, "mkdir where no upper whiteout was makes no opaque directory while no feature forbids offline changes (OPQ-01b).", "dir.c ovl_create_upper";
    CreFeatureOpaque = "OPQ-01.feature", Linux, "mkdir in a merged directory makes an opaque one while index, metacopy, redirect_dir or xino is on.", "dir.c ovl_create_upper, super.c ovl_allow_offline_changes";
    CreLowerWhiteout = "CRE-03.lower", Linux, "A whiteout in a lower layer alone does not make mkdir opaque.", "dir.c ovl_dentry_is_whiteout";
    TmpMade = "CRE-08.made", Linux, "open with O_TMPFILE makes a regular file without a name in the upper of a directory, which is copied up for it (CUP-05).", "dir.c ovl_tmpfile";
    TmpUndated = "CRE-08.undated", Linux, "A file made with O_TMPFILE dates nothing of its directory.", "dir.c ovl_create_tmpfile";
    TmpLinked = "CRE-08.linked", Linux, "A file made with O_TMPFILE has no link and can be given its first name by its descriptor, in any directory.", "fs/namei.c vfs_tmpfile, vfs_link, I_LINKABLE";
    TmpExclusive = "CRE-08.excl", Linux, "A file made with O_TMPFILE and O_EXCL can never be linked: ENOENT.", "fs/namei.c vfs_tmpfile";
    TmpOnce = "CRE-08.once", Linux, "A file made with O_TMPFILE that had a name and lost it cannot be linked again: ENOENT.", "fs/namei.c vfs_link";
    LnkShared = "LNK-01.shared", Contract, "A hard link through the overlay shares data and attributes and counts as a link.", "dir.c ovl_link";
    LnkImpure = "LNK-02.impure", Linux, "Linking what has an origin marks the new parent impure.", "dir.c ovl_create_or_link";
    LnkBroken = "LNK-03.broken", Linux, "With index off, copying up one of several lower hard links breaks it off the others.", "copy_up.c ovl_do_copy_up";

    // Removal.
    RmvWhiteout = "RMV-02.whiteout", Contract, "Removing a name that something lower would show through leaves a whiteout.", "dir.c ovl_do_remove";
    RmvPlain = "RMV-02.plain", Format, "Removing a name that nothing lower would show through leaves nothing.", "dir.c ovl_remove_upper";
    RmvShadow = "RMV-01.shadow", Contract, "Whether something lower would show through depends on the parent's stack and the name alone.", "namei.c ovl_lower_positive";
    RmvLowerWhiteout = "RMV-01.lowerwhiteout", Format, "A lower whiteout at the name counts as nothing there.", "namei.c ovl_lower_positive";
    RmvNotEmpty = "RMV-05.notempty", Contract, "rmdir of a directory with a visible name is ENOTEMPTY, before any copy-up.", "readdir.c ovl_check_empty_dir";
    RmvPure = "RMV-05.pure", Linux, "Whether a pure upper directory is empty is for the upper filesystem to say, raw whiteouts included.", "dir.c ovl_pure_upper";
    RmvCleared = "RMV-07.cleared", Contract, "A directory that holds only whiteouts can be removed; they go with it.", "dir.c ovl_clear_empty";

    // Rename.
    RenFlags = "REN-01.flags", Linux, "RENAME_WHITEOUT through the overlay is EINVAL.", "dir.c ovl_rename";
    RenXdev = "REN-02.exdev", Linux, "Renaming a lower or merged directory is EXDEV while redirect_dir is not on.", "dir.c ovl_can_move";
    RenXdevExchange = "REN-02.exchange", Linux, "RENAME_EXCHANGE with a lower or merged directory is EXDEV while redirect_dir is not on.", "dir.c ovl_can_move";
    RenRedirect = "REN-02.redirect", Contract, "With redirect_dir=on a lower or merged directory can be renamed.", "dir.c ovl_can_move";
    RenNotEmpty = "REN-03.notempty", Contract, "Renaming onto a directory that is not pure upper and has a visible name is ENOTEMPTY, before any copy-up.", "dir.c ovl_rename";
    RenParent = "REN-04.parent", Format, "The target's directory is copied up.", "dir.c ovl_rename";
    RenWhiteout = "REN-05.whiteout", Contract, "Where something lower would show through at the old name, rename leaves a whiteout there.", "dir.c ovl_rename";
    RenSwap = "REN-05.swap", Linux, "Renaming onto a whiteout moves that whiteout to the old name if one is needed there.", "dir.c ovl_rename";
    RenClean = "REN-05.clean", Format, "A directory renamed onto a whiteout without need of one at the old name leaves nothing there.", "dir.c ovl_rename";
    RenNothing = "REN-05.nothing", Format, "Where nothing lower would show through at the old name, rename leaves nothing there.", "dir.c ovl_rename";
    RenClear = "REN-07.clear", Contract, "A target directory that holds only whiteouts is cleared and replaced.", "dir.c ovl_rename";
    RenOpaque = "REN-08.opaque", Format, "A pure directory that is not opaque becomes opaque when renamed within or into a merged parent (OPQ-01c).", "dir.c ovl_rename";
    RenOpaqueExchange = "REN-08.exchange", Format, "RENAME_EXCHANGE marks the other directory likewise.", "dir.c ovl_rename";
    RenRedirectRelative = "REN-08.relative", Format, "A merged directory that is renamed within its parent gets its old name as redirect.", "dir.c ovl_set_redirect";
    RenRedirectAbsolute = "REN-08.absolute", Format, "A merged directory that changes its parent gets its old path as redirect.", "dir.c ovl_set_redirect";
    RenRedirectKept = "REN-08.kept", Format, "A redirect is kept by a move within the parent, and an absolute one by any move.", "dir.c ovl_set_redirect";
    RenRedirectOrigin = "REN-09.origin", Format, "Redirects are lower paths: ancestors that were redirected count by where they came from.", "dir.c ovl_get_redirect";
    RenRedirectLong = "REN-10.long", Linux, "An absolute redirect longer than redirect_max (256 bytes) is EXDEV.", "dir.c ovl_get_redirect";
    RenImpure = "REN-12.impure", Linux, "Moving what has an origin into another parent marks that parent impure.", "dir.c ovl_rename";
    RenImpureExchange = "REN-12.exchange", Linux, "RENAME_EXCHANGE marks the old parent impure for what comes back.", "dir.c ovl_rename";
    RenAlias = "REN-14.alias", Linux, "Two names of one upper inode that are distinct overlay inodes cannot be renamed onto each other: ESTALE.", "dir.c ovl_rename";

    // Identity.
    InoReal = "INO-02.real", Linux, "With all layers on one filesystem, st_ino is the number of the inode that stands for the object.", "inode.c ovl_map_dev_ino";
    InoOrigin = "INO-01.origin", Linux, "The inode number of a copied-up object stays that of its origin.", "inode.c ovl_getattr";
    InoBroken = "INO-07.hardlink", Linux, "The inode number of a copied-up file with several lower links is that of the upper inode while index is off.", "inode.c ovl_getattr";
    InoDirDevice = "INO-03.dirdev", Linux, "With layers on several filesystems, a directory is on the overlay's own device.", "inode.c ovl_map_dev_ino";
    InoCounted = "INO-03.counted", Linux, "With layers on several filesystems and without xino, st_ino of a directory is one that the mount counts up.", "inode.c ovl_map_ino, ovl_map_dev_ino";
    InoDevice = "INO-03.device", Linux, "With layers on several filesystems and without xino, what is no directory is on a device that stands for its filesystem, in the upper layer too, and its st_ino is as with one.", "inode.c ovl_map_dev_ino";
    InoDeviceKept = "INO-03.kept", Linux, "The device of a copied-up object stays that of its origin.", "inode.c ovl_getattr";
    InoXino = "INO-04.mark", Linux, "With xino, st_ino is marked with its filesystem in the high bits.", "inode.c ovl_map_dev_ino";
    InoXinoDevice = "INO-04.device", Linux, "With xino, everything is on the overlay's own device.", "inode.c ovl_map_dev_ino";
    InoXinoBits = "INO-04.bits", Linux, "Marks take two bits where there is one filesystem besides that of the upper layer, one more with each doubling, and 32 where all file handles hold numbers of 32 bits; the lowest is no part of the mark.", "super.c ovl_get_layers";
    InoXinoOrder = "INO-04.order", Linux, "Filesystems are counted from the top lower layer down; that of the upper layer is 0.", "super.c ovl_get_fsid";
    InoAutoHandles = "INO-06.handles", Linux, "xino=auto is on where file handles can be decoded, and else off.", "super.c ovl_lower_dir";
    InoDefault = "INO-06.default", Linux, "Without the option, the module's parameter xino_auto decides whether xino is auto or off.", "params.c ovl_xino_def";
    NlkMerged = "NLK-01.merged", Linux, "A merged directory has one link.", "inode.c ovl_getattr";
    NlkReal = "NLK-01.real", Linux, "A directory that does not merge has its own link count.", "inode.c ovl_getattr";

    // Xattrs.
    XatRange = "XAT-00.range", Linux, "An xattr name that is empty or longer than 255 bytes is ERANGE, before a path is walked.", "fs/xattr.c import_xattr_name";
    XatTrusted = "XAT-06.trusted", Linux, "trusted.* needs CAP_SYS_ADMIN in the initial user namespace: EPERM to write, ENODATA to read.", "fs/xattr.c xattr_permission";
    XatUserKind = "XAT-00.kind", Linux, "user.* is for files and directories: EPERM to write, ENODATA to read elsewhere, without copy-up (CUP-04).", "fs/xattr.c xattr_permission";
    XatSecurity = "XAT-06.security", Linux, "Writing security.* needs CAP_SYS_ADMIN: EPERM, without copy-up.", "security/commoncap.c cap_inode_setxattr";
    XatCapability = "XAT-06.capability", Linux, "A value of security.capability that is none is EINVAL, whoever asks.", "security/commoncap.c cap_convert_nscap";
    XatSticky = "XAT-06.sticky", Linux, "user.* of a sticky directory is for its owner to write: EPERM.", "fs/xattr.c xattr_permission";
    XatListTrusted = "XAT-06.list", Linux, "trusted.* is listed only for CAP_SYS_ADMIN.", "xattrs.c ovl_can_list";
    XatUnknown = "XAT-00.unknown", Linux, "A name in no known namespace is EOPNOTSUPP.", "fs/xattr.c xattr_resolve_name";
    XatCreate = "XAT-00.create", Contract, "XATTR_CREATE of an existing name is EEXIST.", "fs/xattr.c simple_xattr_set";
    XatReplace = "XAT-00.replace", Contract, "XATTR_REPLACE of a missing name is ENODATA.", "fs/xattr.c simple_xattr_set";
    XatNoData = "XAT-00.nodata", Contract, "Getting or removing a missing xattr is ENODATA.", "fs/xattr.c";
    XatSmall = "XAT-00.small", Linux, "A buffer too small for a value is ERANGE.", "fs/xattr.c";
    XatEscape = "XAT-01.escape", Linux, "A private name set through the overlay is stored escaped, with another `overlay.` after the prefix, and never touches the real one.", "xattrs.c ovl_xattr_escape_name";
    XatEscapeLong = "XAT-05.long", Linux, "A private name that is too long when escaped is EOPNOTSUPP.", "xattrs.c ovl_xattr_escape_name";
    XatHidden = "XAT-02.hidden", Contract, "Private xattrs are not listed.", "xattrs.c ovl_listxattr";
    XatUnescape = "XAT-02.unescape", Linux, "Escaped names are listed unescaped.", "xattrs.c ovl_listxattr";
    XatSizeQuery = "XAT-02.size", Linux, "The size query counts what is not listed, too.", "xattrs.c ovl_listxattr";
    XatListSmall = "XAT-02.small", Linux, "A buffer too small for all names, hidden ones included, is ERANGE.", "xattrs.c ovl_listxattr";
    XatRefresh = "XAT-08.refresh", Linux, "setxattr and removexattr copy the upper's attributes to the overlay inode even if the upper refuses the call.", "xattrs.c ovl_xattr_set";
    XatRemoveMissing = "XAT-08.missing", Format, "Removing a missing xattr of a lower file copies nothing up.", "xattrs.c ovl_xattr_set";

    // Access control lists.
    AclMode = "ACL-02.mode", Contract, "Setting an access ACL sets the mode's permission bits: those of the owner and of others by their entries, the group's by the mask, or by the group's entry where there is no mask.", "fs/posix_acl.c posix_acl_update_mode";
    AclMinimal = "ACL-02.minimal", Contract, "An access ACL that says no more than a mode does is not kept.", "fs/posix_acl.c posix_acl_update_mode";
    AclChmod = "ACL-03.chmod", Contract, "chmod changes the entries of the owner and of others, and the mask, or the group's entry where there is no mask.", "fs/posix_acl.c posix_acl_chmod";
    AclInherit = "ACL-01.inherit", Contract, "What is made in a directory with a default ACL takes it for access, and of it no more than the mode asked for, also over a whiteout; a symlink takes nothing.", "dir.c ovl_create_over_whiteout, fs/posix_acl.c posix_acl_create";
    AclUmask = "ACL-01.umask", Contract, "Where there is a default ACL, the umask takes nothing away.", "fs/posix_acl.c posix_acl_create";
    AclDefault = "ACL-01.default", Contract, "A directory takes the default ACL of the one it is made in.", "dir.c ovl_create_over_whiteout, fs/posix_acl.c posix_acl_create";
    AclWhiteout = "ACL-01.whiteout", Linux, "A whiteout that a rename leaves in a directory with a default ACL takes that, all masked.", "mm/shmem.c shmem_whiteout, simple_acl_create";
    AclValue = "ACL-02.value", Linux, "A value that is no ACL is EINVAL, one of another version EOPNOTSUPP; entries out of order are EINVAL, after everything else was asked.", "fs/posix_acl.c posix_acl_from_xattr, posix_acl_valid";
    AclEmpty = "ACL-02.empty", Linux, "Setting an ACL without entries removes it.", "fs/posix_acl.c do_set_acl, posix_acl_from_xattr";
    AclFlags = "ACL-02.flags", Linux, "XATTR_CREATE and XATTR_REPLACE mean nothing to an ACL.", "fs/xattr.c do_setxattr";
    AclSymlink = "ACL-02.symlink", Linux, "A symlink has no ACL: EOPNOTSUPP.", "fs/posix_acl.c set_posix_acl, vfs_get_acl";
    AclDirectory = "ACL-02.directory", Linux, "A default ACL is for directories: setting one elsewhere is EACCES, removing one does nothing.", "inode.c ovl_set_acl";
    AclOwner = "ACL-02.owner", Contract, "Setting and removing an ACL is for the owner: EPERM, without copy-up.", "inode.c ovl_set_acl";
    AclSetgid = "ACL-02.setgid", Linux, "Setting or removing an access ACL by an owner who is not in the group clears setgid.", "inode.c ovl_set_acl";
    AclMissing = "ACL-03.missing", Linux, "Removing an ACL that a lower object does not have is ENODATA, without copy-up.", "inode.c ovl_set_or_remove_acl";
    AclGone = "ACL-03.gone", Linux, "Removing an ACL that an upper object does not have succeeds.", "fs/posix_acl.c vfs_remove_acl";
    CupAcl = "CUP-11.acl", Contract, "Copying up keeps ACLs.", "copy_up.c ovl_copy_acl";
    AclAccess = "PRM-01.acl", Contract, "An access ACL decides for everybody but the owner: the user's own entry, else those of groups, both masked, else that of others.", "inode.c ovl_get_inode_acl, fs/posix_acl.c posix_acl_permission";
    AclZero = "PRM-01.zero", Linux, "An ACL is not looked at while the mode grants the group nothing: named users and groups are others then.", "fs/namei.c acl_permission_check";

    // Flags of inodes.
    FatKind = "FAT-01.kind", Linux, "What is neither a regular file nor a directory has no flags: ENOTTY.", "inode.c ovl_special_inode_operations, fs/file_attr.c vfs_fileattr_set";
    FatShown = "FAT-01.shown", Linux, "FS_IOC_GETFLAGS shows what protects the merged inode.", "inode.c ovl_fileattr_get";
    FatOwner = "FAT-02.owner", Linux, "FS_IOC_SETFLAGS is for who owns the file: EPERM, without copy-up.", "fs/file_attr.c vfs_fileattr_set";
    FatCapability = "FAT-02.capability", Linux, "Changing what is immutable or append-only needs CAP_LINUX_IMMUTABLE in the initial user namespace: EPERM, without copy-up.", "fs/file_attr.c fileattr_set_prepare";
    FatCopyUp = "CUP-05.flags", Format, "FS_IOC_SETFLAGS copies up the attributes, and dates them, even if nothing changes.", "inode.c ovl_fileattr_set";
    FatStored = "FAT-02.stored", Format, "Immutable and append-only are stored in the upper as the xattr protattr, of the letters a and i; no flag of the upper inode is set.", "util.c ovl_set_protattr";
    FatCleared = "FAT-02.cleared", Format, "Taking both away removes the xattr.", "util.c ovl_set_protattr";
    FatKept = "FAT-02.kept", Linux, "What has protattr in the upper is protected when it is looked up, in a later mount too.", "util.c ovl_check_protattr";
    FatForm = "FAT-02.form", Linux, "A protattr that is empty or has another letter means nothing.", "util.c ovl_check_protattr";
    FatRoot = "FAT-02.root", Linux, "protattr of the root is not read by a later mount: it protects no more, and stays.", "super.c ovl_get_root";
    FatWrite = "FAT-03.write", Linux, "What is immutable cannot be opened for writing or truncated, and nothing is made in an immutable directory, whoever asks: EPERM.", "fs/namei.c inode_permission";
    FatAppend = "FAT-03.append", Linux, "What is append-only is opened for writing only with O_APPEND and without O_TRUNC: EPERM.", "fs/namei.c may_open";
    FatAttributes = "FAT-03.attributes", Linux, "Mode, owner and times of what is immutable or append-only do not change: EPERM; but times of what is append-only can be set to now.", "fs/attr.c may_setattr";
    FatXattrs = "FAT-03.xattrs", Linux, "Xattrs of what is immutable or append-only do not change: EPERM.", "fs/xattr.c may_write_xattr";
    FatLink = "FAT-03.link", Linux, "What is immutable or append-only gets no other name: EPERM.", "fs/namei.c vfs_link";
    FatRemove = "FAT-03.remove", Linux, "What is immutable or append-only is neither removed nor renamed nor replaced: EPERM (RMV-12).", "fs/namei.c may_delete";
    FatDirectory = "FAT-03.directory", Linux, "No name leaves an append-only directory: EPERM.", "fs/namei.c may_delete";
    FatTruncate = "FAT-03.truncate", Linux, "What is append-only cannot be truncated, through no descriptor either: EPERM.", "fs/open.c vfs_truncate, do_ftruncate";
    FatAllocate = "FAT-03.allocate", Linux, "fallocate of what is immutable is EPERM, and of what is append-only with any mode but KEEP_SIZE.", "fs/open.c vfs_fallocate";
    FatCopy = "FAT-03.copy", Linux, "copy_file_range to what is immutable is EPERM, though write through the same descriptor is not.", "fs/read_write.c generic_copy_file_checks";
    FatSetfl = "FAT-03.setfl", Linux, "F_SETFL neither sets nor clears O_APPEND of what is append-only: EPERM.", "fs/fcntl.c setfl";

    // Open files.
    FilSeekHole = "FIL-10.hole", Linux, "SEEK_DATA and SEEK_HOLE are answered by the real file; beyond its data they are ENXIO.", "file.c ovl_llseek";
    FalRange = "VFS-22.range", Linux, "fallocate from a negative offset, or of no bytes, is EINVAL.", "fs/open.c vfs_fallocate";
    FalMode = "VFS-22.mode", Linux, "Modes of fallocate that exclude each other are EOPNOTSUPP: several operations at once, PUNCH_HOLE without KEEP_SIZE, COLLAPSE_RANGE and INSERT_RANGE with it.", "fs/open.c vfs_fallocate";
    FalKind = "VFS-22.kind", Linux, "fallocate of a fifo is ESPIPE, of a device ENODEV.", "fs/open.c vfs_fallocate";
    FalAllocate = "FIL-10.allocate", Contract, "fallocate without a mode extends the file with NUL bytes, with KEEP_SIZE it does not; what it gives is a hole still, for SEEK_DATA.", "file.c ovl_fallocate, mm/shmem.c shmem_fallocate";
    FalPunch = "FIL-10.punch", Contract, "PUNCH_HOLE makes NUL bytes of a range, and holes of the whole pages in it.", "file.c ovl_fallocate, mm/shmem.c shmem_fallocate";
    FalRefused = "FIL-10.refused", Linux, "fallocate that the upper filesystem does not support has cleared setuid and setgid all the same.", "file.c ovl_fallocate";
    FilAtime = "FIL-04.upper", Linux, "Reading an upper object dates its access, where the mount does so, whatever the upper filesystem's mount does.", "file.c ovl_file_accessed, inode.c ovl_update_time";
    FilAtimeLower = "FIL-04.lower", Contract, "Reading a lower object dates nothing.", "inode.c ovl_update_time";
    CfrCopy = "FIL-09.copy", Contract, "copy_file_range copies data up to the end of the source, from a lower file without copying that up, and clears setuid as a write does.", "file.c ovl_copyfile";
    CfrAcross = "FIL-09.across", Linux, "copy_file_range from a lower file of another filesystem than the upper layer's is EXDEV.", "fs/read_write.c generic_copy_file_checks";
    CfrKind = "FIL-09.kind", Linux, "copy_file_range with a directory is EISDIR, with anything else that is no regular file EINVAL.", "fs/remap_range.c generic_file_rw_checks";
    CfrAccess = "FIL-09.access", Linux, "copy_file_range from what is not open for reading, or to what is not open for writing or is O_APPEND, is EBADF.", "fs/remap_range.c generic_file_rw_checks";
    CfrOffset = "FIL-09.offset", Linux, "A negative offset for copy_file_range is EOVERFLOW if the length reaches zero from there, else EINVAL.", "fs/read_write.c generic_copy_file_checks";
    CfrOverlap = "FIL-09.overlap", Contract, "copy_file_range of a part of a file onto itself is EINVAL.", "fs/read_write.c generic_copy_file_checks";
    SendData = "FIL-10.sendfile", Contract, "sendfile copies data to the position of the target, from a lower file without copying that up.", "file.c ovl_splice_write, backing-file.c";
    SendAppend = "FIL-10.append", Linux, "sendfile to what is open with O_APPEND is EINVAL.", "fs/splice.c do_splice_direct_actor";
    SendSource = "FIL-10.source", Linux, "sendfile from a directory or a fifo is EINVAL.", "fs/splice.c splice_direct_to_actor, do_splice_read";
    SendOffset = "FIL-10.offset", Linux, "A negative offset for sendfile is EINVAL.", "fs/read_write.c rw_verify_area";
    FilReplaced = "FIL-11.replaced", Linux, "Copying up a regular file that was removed while open is EEXIST where a whiteout or another object has its name; since 6.12.117 and 7.3 it is so of anything else as well.", "copy_up.c ovl_copy_up_tmpfile, ovl_copy_up_workdir";
    FilReplacedRename = "FIL-11.rename", Linux, "Before 6.12.117 and 7.3, copying up a removed directory, symlink or special file replaces what has its name, where rename(2) would: a removed fifo comes back in place of its whiteout.", "copy_up.c ovl_copy_up_workdir";
    FilRemovedDir = "FIL-11.dir", Linux, "Copying up into a directory that was removed is ENOENT for a regular file, EIO for anything else.", "copy_up.c ovl_copy_up_tmpfile, ovl_copy_up_workdir";
    FilReroute = "FIL-01.reroute", Contract, "A descriptor opened for reading before copy-up reads the upper data after it.", "file.c ovl_real_fdget";
    FilSetfl = "FIL-16.setfl", Contract, "Writes go by the flags that an open file has now, whatever it was opened with and whether it was copied up since.", "file.c ovl_real_fdget, ovl_change_flags";
    FilOrphan = "FIL-13.orphan", Contract, "A file removed while open stays usable through its descriptor.", "file.c";
}

/// How many clauses there are.
pub const CLAUSES: usize = Clause::ALL.len();

impl Clause {
    /// Its ID, as in `CUP-01.chmod`: the rule, a dot, what of it.
    pub fn id(self) -> &'static str {
        Self::FACTS[self as usize].0
    }

    /// Whom it binds.
    pub fn level(self) -> Level {
        Self::FACTS[self as usize].1
    }

    /// What it says.
    pub fn statement(self) -> &'static str {
        Self::FACTS[self as usize].2
    }

    /// Where it comes from: kernel file and function.
    pub fn source(self) -> &'static str {
        Self::FACTS[self as usize].3
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// Not the ID of a clause.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a clause; `ovlcheck rules` lists them")]
pub struct UnknownClause(pub String);

impl FromStr for Clause {
    type Err = UnknownClause;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|c| c.id() == s).ok_or_else(|| UnknownClause(s.to_owned()))
    }
}

/// Which clauses fired, and which one is broken on purpose.
#[derive(Clone, Debug)]
pub struct Rules {
    fault: Option<Clause>,
    fired: Vec<u32>,
    step: Vec<Clause>,
}

impl Rules {
    /// No clause fired yet; `fault` is broken.
    pub fn new(fault: Option<Clause>) -> Rules {
        Rules { fault, fired: vec![0; CLAUSES], step: Vec::with_capacity(16) }
    }

    /// Fires `clause`; `false` only while its fault is on.
    #[inline]
    pub fn holds(&mut self, clause: Clause) -> bool {
        self.fired[clause as usize] += 1;
        self.step.push(clause);
        self.fault != Some(clause)
    }

    /// Forgets which clauses the last step fired.
    pub fn begin_step(&mut self) {
        self.step.clear();
    }

    /// The clauses that fired since [`Rules::begin_step`], in order.
    pub fn in_play(&self) -> &[Clause] {
        &self.step
    }

    /// How often each clause fired, indexed by `Clause as usize`.
    pub fn fired(&self) -> &[u32] {
        &self.fired
    }
}
