//! System calls: the only unsafe code of the crate.
//!
//! One rule for everything that a step may do: a function here is exactly one system call with
//! exactly the arguments given. No retry, no fallback, no flag added but `O_CLOEXEC`; the answer is
//! the kernel's own. It knows neither cases nor traces beyond the plain types they are made of.
//!
//! | module | what it is |
//! |---|---|
//! | here | the calls under test, and those of looking at trees |
//! | `loops` | loop devices |
//! | `process` | processes, their ids and signals |
//! | `shared` | the page that worker and parent share |
#![expect(unsafe_code, reason = "the one place that talks to the kernel")]

mod loops;
mod process;
mod shared;

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_uint};

pub use loops::{loop_configure, loop_free};
pub use process::{
    Forked, adopt, become_ids, become_root, block_child_signal, capabilities_in_effect, die_with_parent, drop_ids,
    duplicate_to, exit_now, fork, inherit, kill_all_others, load_module, power_off, raise_file_limit, set_dumpable,
    unshare, wait_child, wait_child_signal,
};
pub use shared::{PAGE_SIZE, Shared};

use crate::errno::Errno;
use crate::trace::{Kind, Stat, StatFs, Time};

/// The current working directory as a place to start from.
pub const CWD: RawFd = libc::AT_FDCWD;

fn checked(ret: c_long) -> Result<u64, Errno> {
    if ret < 0 {
        return Err(Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)));
    }
    Ok(ret as u64)
}

// ---- the worker's surroundings ----------------------------------------------------------------

/// Makes every mount of this namespace read-only: mount_setattr(2) of `/` with all below it (Linux 5.12).
pub fn make_mounts_read_only() -> Result<(), Errno> {
    // SAFETY: all zero is a valid value of this struct of integers.
    let mut attributes: libc::mount_attr = unsafe { std::mem::zeroed() };
    attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
    let (path, size) = (c"/".as_ptr(), size_of::<libc::mount_attr>());
    // SAFETY: path and struct outlive the call, and the size is that of the struct.
    let done =
        unsafe { libc::syscall(libc::SYS_mount_setattr, CWD, path, libc::AT_RECURSIVE, &raw const attributes, size) };
    checked(done).map(drop)
}

// ---- calls under test -------------------------------------------------------------------------

/// openat(2) from the current directory, with `O_CLOEXEC` added.
pub fn open(path: &CStr, flags: c_int, mode: c_uint) -> Result<OwnedFd, Errno> {
    openat(CWD, path, flags, mode)
}

/// openat(2) with `O_CLOEXEC` added.
pub fn openat(dir: RawFd, path: &CStr, flags: c_int, mode: c_uint) -> Result<OwnedFd, Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    let fd = checked(unsafe { libc::syscall(libc::SYS_openat, dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// close(2) of a number that may be nobody's (-1 gives EBADF).
pub fn close(fd: Option<OwnedFd>) -> Result<(), Errno> {
    let raw = fd.map_or(-1, std::os::fd::IntoRawFd::into_raw_fd);
    // SAFETY: ownership was given up above, so the number is ours to close; -1 is nobody's.
    checked(unsafe { libc::syscall(libc::SYS_close, raw) }).map(drop)
}

/// read(2) into the whole buffer.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length are those of a live, writable slice.
    checked(unsafe { libc::syscall(libc::SYS_read, fd, buffer.as_mut_ptr(), buffer.len()) }).map(|n| n as usize)
}

/// write(2).
pub fn write(fd: RawFd, data: &[u8]) -> Result<u64, Errno> {
    // SAFETY: pointer and length are those of a live slice.
    checked(unsafe { libc::syscall(libc::SYS_write, fd, data.as_ptr(), data.len()) })
}

/// truncate(2).
pub fn truncate(path: &CStr, len: i64) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_truncate, path.as_ptr(), len) }).map(drop)
}

/// mkdirat(2) from the current directory.
pub fn mkdir(path: &CStr, mode: c_uint) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_mkdirat, CWD, path.as_ptr(), mode) }).map(drop)
}

/// unlinkat(2) from the current directory; `flags` is 0 or `AT_REMOVEDIR`.
pub fn unlink(path: &CStr, flags: c_int) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_unlinkat, CWD, path.as_ptr(), flags) }).map(drop)
}

/// mknodat(2); `mode` has the type bits, `device` is major and minor.
pub fn mknodat(dir: RawFd, path: &CStr, mode: c_uint, device: (u32, u32)) -> Result<(), Errno> {
    // The kernel reads the low 32 bits of the number as its own encoding of major and minor.
    let dev = libc::makedev(device.0, device.1) as c_uint;
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_mknodat, dir, path.as_ptr(), mode, dev) }).map(drop)
}

/// symlinkat(2) from the current directory.
pub fn symlink(target: &CStr, path: &CStr) -> Result<(), Errno> {
    // SAFETY: both strings are NUL-terminated and outlive the call.
    checked(unsafe { libc::syscall(libc::SYS_symlinkat, target.as_ptr(), CWD, path.as_ptr()) }).map(drop)
}

/// readlinkat(2) from the current directory.
pub fn readlink(path: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the path is NUL-terminated; pointer and length are those of a live, writable slice.
    checked(unsafe { libc::syscall(libc::SYS_readlinkat, CWD, path.as_ptr(), buffer.as_mut_ptr(), buffer.len()) })
        .map(|n| n as usize)
}

/// linkat(2) to the current directory; `dir` is where `old` starts from.
pub fn linkat(dir: RawFd, old: &CStr, new: &CStr, flags: c_int) -> Result<(), Errno> {
    // SAFETY: both paths are NUL-terminated and outlive the call.
    checked(unsafe { libc::syscall(libc::SYS_linkat, dir, old.as_ptr(), CWD, new.as_ptr(), flags) }).map(drop)
}

/// renameat2(2) from the current directory.
pub fn rename(old: &CStr, new: &CStr, flags: c_uint) -> Result<(), Errno> {
    // SAFETY: both paths are NUL-terminated and outlive the call.
    checked(unsafe { libc::syscall(libc::SYS_renameat2, CWD, old.as_ptr(), CWD, new.as_ptr(), flags) }).map(drop)
}

/// fchmodat(2), the system call without flags, from the current directory.
pub fn chmod(path: &CStr, mode: c_uint) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_fchmodat, CWD, path.as_ptr(), mode) }).map(drop)
}

/// statx(2) with the basic fields and the birth time asked for.
pub fn statx(dir: RawFd, path: &CStr, flags: c_int) -> Result<Stat, Errno> {
    let mut out = MaybeUninit::<libc::statx>::zeroed();
    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
    // SAFETY: the path is NUL-terminated; `out` has room for one struct statx.
    checked(unsafe { libc::syscall(libc::SYS_statx, dir, path.as_ptr(), flags, mask, out.as_mut_ptr()) })?;
    // SAFETY: all zeroes is a valid struct statx, and the kernel has filled in what it knows.
    let s = unsafe { out.assume_init() };
    let time = |t: libc::statx_timestamp| Time { sec: t.tv_sec, nsec: t.tv_nsec };
    Ok(Stat {
        kind: kind_of_mode(u32::from(s.stx_mode)),
        mode: s.stx_mode & 0o7777,
        uid: s.stx_uid,
        gid: s.stx_gid,
        nlink: s.stx_nlink,
        size: s.stx_size,
        blocks: s.stx_blocks,
        rdev: (s.stx_rdev_major, s.stx_rdev_minor),
        ino: s.stx_ino,
        dev: (s.stx_dev_major, s.stx_dev_minor),
        atime: time(s.stx_atime),
        mtime: time(s.stx_mtime),
        ctime: time(s.stx_ctime),
    })
}

fn kind_of_mode(mode: u32) -> Kind {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => Kind::Dir,
        libc::S_IFREG => Kind::File,
        libc::S_IFLNK => Kind::Symlink,
        libc::S_IFIFO => Kind::Fifo,
        libc::S_IFSOCK => Kind::Socket,
        libc::S_IFCHR => Kind::Char,
        libc::S_IFBLK => Kind::Block,
        _ => Kind::Unknown,
    }
}

/// getdents64(2); 0 at the end.
pub fn getdents(fd: RawFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length are those of a live, writable slice.
    checked(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) }).map(|n| n as usize)
}

/// pread64(2).
pub fn pread(fd: RawFd, buffer: &mut [u8], offset: i64) -> Result<usize, Errno> {
    // SAFETY: pointer and length are those of a live, writable slice.
    checked(unsafe { libc::syscall(libc::SYS_pread64, fd, buffer.as_mut_ptr(), buffer.len(), offset) })
        .map(|n| n as usize)
}

/// pwrite64(2).
pub fn pwrite(fd: RawFd, data: &[u8], offset: i64) -> Result<u64, Errno> {
    // SAFETY: pointer and length are those of a live slice.
    checked(unsafe { libc::syscall(libc::SYS_pwrite64, fd, data.as_ptr(), data.len(), offset) })
}

/// lseek(2).
pub fn lseek(fd: RawFd, offset: i64, whence: c_int) -> Result<u64, Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_lseek, fd, offset, whence) })
}

/// ftruncate(2).
pub fn ftruncate(fd: RawFd, len: i64) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_ftruncate, fd, len) }).map(drop)
}

/// fsync(2).
pub fn fsync(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::syscall(libc::SYS_fsync, fd) }).map(drop)
}

/// fcntl(2) with F_SETFL.
pub fn setfl(fd: RawFd, flags: c_int) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFL, flags) }).map(drop)
}

/// ioctl(2) with FS_IOC_GETFLAGS.
pub fn inode_flags(fd: RawFd) -> Result<c_int, Errno> {
    let mut flags: c_int = 0;
    // SAFETY: `flags` is live and writable; whatever its declared size, the kernel writes an int.
    checked(unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::FS_IOC_GETFLAGS, &raw mut flags) })?;
    Ok(flags)
}

/// ioctl(2) with FS_IOC_SETFLAGS.
pub fn set_inode_flags(fd: RawFd, flags: c_int) -> Result<(), Errno> {
    // SAFETY: `flags` is live; whatever its declared size, the kernel reads an int.
    checked(unsafe { libc::syscall(libc::SYS_ioctl, fd, libc::FS_IOC_SETFLAGS, &raw const flags) }).map(drop)
}

/// fdatasync(2).
pub fn fdatasync(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::syscall(libc::SYS_fdatasync, fd) }).map(drop)
}

/// fchmod(2).
pub fn fchmod(fd: RawFd, mode: c_uint) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_fchmod, fd, mode) }).map(drop)
}

/// fchownat(2) from the current directory; `flags` is 0 or `AT_SYMLINK_NOFOLLOW`.
pub fn chown(path: &CStr, uid: u32, gid: u32, flags: c_int) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_fchownat, CWD, path.as_ptr(), uid, gid, flags) }).map(drop)
}

/// fchown(2).
pub fn fchown(fd: RawFd, uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_fchown, fd, uid, gid) }).map(drop)
}

/// utimensat(2) from the current directory, or of a descriptor when there is no path.
pub fn utimens(fd: RawFd, path: Option<&CStr>, times: [(i64, i64); 2], flags: c_int) -> Result<(), Errno> {
    let times = times.map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec });
    let path = path.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: the path is null or NUL-terminated; `times` holds two timespecs; both outlive the call.
    checked(unsafe { libc::syscall(libc::SYS_utimensat, fd, path, times.as_ptr(), flags) }).map(drop)
}

/// faccessat(2) from the current directory, with the caller's real ids.
pub fn access(path: &CStr, mode: c_uint) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_faccessat, CWD, path.as_ptr(), mode) }).map(drop)
}

/// faccessat2(2) from the current directory.
pub fn faccessat(path: &CStr, mode: c_uint, flags: c_int) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_faccessat2, CWD, path.as_ptr(), mode, flags) }).map(drop)
}

/// fchmodat2(2) from the current directory.
pub fn fchmodat(path: &CStr, mode: c_uint, flags: c_int) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_fchmodat2, CWD, path.as_ptr(), mode, flags) }).map(drop)
}

/// readv(2).
pub fn readv(fd: RawFd, buffers: &mut [Vec<u8>]) -> Result<usize, Errno> {
    let io: Vec<libc::iovec> =
        buffers.iter_mut().map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() }).collect();
    // SAFETY: pointers and lengths are those of live, writable buffers that nothing else refers to meanwhile.
    checked(unsafe { libc::syscall(libc::SYS_readv, fd, io.as_ptr(), io.len()) }).map(|n| n as usize)
}

/// writev(2).
pub fn writev(fd: RawFd, buffers: &[&[u8]]) -> Result<u64, Errno> {
    let io: Vec<libc::iovec> =
        buffers.iter().map(|b| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() }).collect();
    // SAFETY: pointers and lengths are those of live buffers, which the kernel only reads.
    checked(unsafe { libc::syscall(libc::SYS_writev, fd, io.as_ptr(), io.len()) })
}

/// dup(2).
pub fn dup(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: takes a number only.
    let fd = checked(unsafe { libc::syscall(libc::SYS_dup, fd) })?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// syncfs(2).
pub fn syncfs(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::syscall(libc::SYS_syncfs, fd) }).map(drop)
}

/// statfs(2).
pub fn statfs(path: &CStr) -> Result<StatFs, Errno> {
    let mut out = MaybeUninit::<libc::statfs64>::zeroed();
    // SAFETY: the path is NUL-terminated; `out` has room for one struct statfs.
    checked(unsafe { libc::syscall(libc::SYS_statfs, path.as_ptr(), out.as_mut_ptr()) })?;
    // SAFETY: all zeroes is a valid struct statfs, and the kernel has filled it in.
    Ok(facts_of(&unsafe { out.assume_init() }))
}

/// fstatfs(2).
pub fn fstatfs(fd: RawFd) -> Result<StatFs, Errno> {
    let mut out = MaybeUninit::<libc::statfs64>::zeroed();
    // SAFETY: `out` has room for one struct statfs.
    checked(unsafe { libc::syscall(libc::SYS_fstatfs, fd, out.as_mut_ptr()) })?;
    // SAFETY: all zeroes is a valid struct statfs, and the kernel has filled it in.
    Ok(facts_of(&unsafe { out.assume_init() }))
}

fn facts_of(s: &libc::statfs64) -> StatFs {
    StatFs { magic: s.f_type as u64, name_max: s.f_namelen as u64, read_only: s.f_flags as u64 & libc::ST_RDONLY != 0 }
}

/// copy_file_range(2) without flags; `None` stands for a file's own position.
pub fn copy_file_range(
    from: RawFd,
    mut from_at: Option<i64>,
    to: RawFd,
    mut to_at: Option<i64>,
    len: usize,
) -> Result<u64, Errno> {
    let pointer = |at: &mut Option<i64>| at.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let (from_at, to_at) = (pointer(&mut from_at), pointer(&mut to_at));
    // SAFETY: each offset is null or a live, writable number.
    checked(unsafe { libc::syscall(libc::SYS_copy_file_range, from, from_at, to, to_at, len, 0) })
}

/// sendfile(2); `None` stands for the file's own position.
pub fn sendfile(to: RawFd, from: RawFd, mut from_at: Option<i64>, len: usize) -> Result<u64, Errno> {
    let at = from_at.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut);
    // SAFETY: the offset is null or a live, writable number.
    checked(unsafe { libc::syscall(libc::SYS_sendfile, to, from, at, len) })
}

/// fallocate(2).
pub fn fallocate(fd: RawFd, mode: c_int, offset: i64, len: i64) -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, len) }).map(drop)
}

/// chdir(2).
pub fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: the path is NUL-terminated and outlives the call.
    checked(unsafe { libc::syscall(libc::SYS_chdir, path.as_ptr()) }).map(drop)
}

/// fchdir(2) of a number that may be nobody's.
pub fn enter(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::syscall(libc::SYS_fchdir, fd) }).map(drop)
}

/// getcwd(2), the system call: the length of the path with its NUL.
pub fn getcwd(buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: pointer and length are those of a live, writable slice.
    checked(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) }).map(|n| n as usize)
}

/// umask(2); gives the former mask.
pub fn umask(mode: c_uint) -> u32 {
    // SAFETY: takes a number only, and cannot fail.
    (unsafe { libc::syscall(libc::SYS_umask, mode) }) as u32
}

/// What an xattr call is about.
#[derive(Debug, Clone, Copy)]
pub enum XattrOf<'a> {
    /// A path, symlinks followed.
    Path(&'a CStr),
    /// A path, or the symlink itself.
    Link(&'a CStr),
    /// A descriptor.
    Fd(RawFd),
}

impl XattrOf<'_> {
    /// The one of three system calls, and its first argument.
    fn choose(self, numbers: [c_long; 3]) -> (c_long, c_long) {
        match self {
            XattrOf::Path(path) => (numbers[0], path.as_ptr() as c_long),
            XattrOf::Link(path) => (numbers[1], path.as_ptr() as c_long),
            XattrOf::Fd(fd) => (numbers[2], c_long::from(fd)),
        }
    }
}

/// setxattr(2), lsetxattr(2) or fsetxattr(2).
pub fn set_xattr(of: XattrOf<'_>, name: &CStr, value: &[u8], flags: c_int) -> Result<(), Errno> {
    let (call, of) = of.choose([libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr]);
    // SAFETY: path and name are NUL-terminated; pointer and length are those of a live slice.
    checked(unsafe { libc::syscall(call, of, name.as_ptr(), value.as_ptr(), value.len(), flags) }).map(drop)
}

/// getxattr(2), lgetxattr(2) or fgetxattr(2); an empty buffer asks for the length.
pub fn get_xattr(of: XattrOf<'_>, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    let (call, of) = of.choose([libc::SYS_getxattr, libc::SYS_lgetxattr, libc::SYS_fgetxattr]);
    // SAFETY: path and name are NUL-terminated; pointer and length are those of a writable slice.
    checked(unsafe { libc::syscall(call, of, name.as_ptr(), buffer.as_mut_ptr(), buffer.len()) }).map(|n| n as usize)
}

/// listxattr(2), llistxattr(2) or flistxattr(2); an empty buffer asks for the length.
pub fn list_xattr(of: XattrOf<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let (call, of) = of.choose([libc::SYS_listxattr, libc::SYS_llistxattr, libc::SYS_flistxattr]);
    // SAFETY: the path is NUL-terminated; pointer and length are those of a writable slice.
    checked(unsafe { libc::syscall(call, of, buffer.as_mut_ptr(), buffer.len()) }).map(|n| n as usize)
}

/// removexattr(2), lremovexattr(2) or fremovexattr(2).
pub fn remove_xattr(of: XattrOf<'_>, name: &CStr) -> Result<(), Errno> {
    let (call, of) = of.choose([libc::SYS_removexattr, libc::SYS_lremovexattr, libc::SYS_fremovexattr]);
    // SAFETY: path and name are NUL-terminated and outlive the call.
    checked(unsafe { libc::syscall(call, of, name.as_ptr()) }).map(drop)
}

// ---- the look at trees ------------------------------------------------------------------------

/// llistxattr(2): names, each ended by NUL.
pub fn llistxattr(path: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the path is NUL-terminated; pointer and length are those of a live, writable slice.
    checked(unsafe { libc::syscall(libc::SYS_llistxattr, path.as_ptr(), buffer.as_mut_ptr(), buffer.len()) })
        .map(|n| n as usize)
}

/// lgetxattr(2).
pub fn lgetxattr(path: &CStr, name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    let len = buffer.len();
    // SAFETY: both strings are NUL-terminated; pointer and length are those of a writable slice.
    checked(unsafe { libc::syscall(libc::SYS_lgetxattr, path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr(), len) })
        .map(|n| n as usize)
}

/// fchdir(2).
pub fn fchdir(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes a number only.
    checked(unsafe { libc::syscall(libc::SYS_fchdir, fd.as_raw_fd()) }).map(drop)
}

/// chroot(2) into the current directory.
pub fn chroot_here() -> Result<(), Errno> {
    // SAFETY: the path is a NUL-terminated constant.
    checked(unsafe { libc::syscall(libc::SYS_chroot, c".".as_ptr()) }).map(drop)
}

/// openat2(2) of a directory as a place (`O_PATH`), beneath `dir` and through no symlink. One at the end is
/// not followed, so `fs.protected_symlinks` has no say in it.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: all zeroes is a valid struct open_how.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    let size = size_of::<libc::open_how>();
    // SAFETY: the path is NUL-terminated, `how` is live and its size is given.
    let fd = unsafe { libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), &raw const how, size) };
    let fd = checked(fd)?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// clock_gettime(2), served by the vDSO.
pub fn clock(id: libc::clockid_t) -> Time {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` has room for one timespec; both clocks in use exist on every Linux.
    unsafe { libc::clock_gettime(id, &raw mut t) };
    Time { sec: t.tv_sec, nsec: t.tv_nsec as u32 }
}

/// name_to_handle_at(2): whether the filesystem gives file handles. The handle is thrown away.
pub fn has_handle(dir: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    /// `struct file_handle` with room for the longest handle.
    #[repr(C)]
    struct Handle {
        bytes: c_uint,
        kind: c_int,
        handle: [u8; libc::MAX_HANDLE_SZ as usize],
    }
    let mut handle =
        Handle { bytes: libc::MAX_HANDLE_SZ as c_uint, kind: 0, handle: [0; libc::MAX_HANDLE_SZ as usize] };
    let mut mount: c_int = 0;
    let (at, mount) = (&raw mut handle, &raw mut mount);
    // SAFETY: the path is NUL-terminated; `handle` says how much room it has; all outlive the call.
    checked(unsafe { libc::syscall(libc::SYS_name_to_handle_at, dir.as_raw_fd(), path.as_ptr(), at, mount, 0) })
        .map(drop)
}
