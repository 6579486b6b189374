//! Processes: forks, ids, capabilities, signals, and the descriptors they are started with.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use libc::{c_int, c_long};

use super::checked;
use crate::errno::Errno;

/// Which side of a fork one is on.
#[derive(Debug, Clone, Copy)]
pub enum Forked {
    /// The one that forked; this is its child's process id.
    Parent(i32),
    /// The new process.
    Child,
}

/// fork(2). Only for a process with one thread.
pub fn fork() -> Result<Forked, Errno> {
    // SAFETY: the caller has a single thread, so the child may do anything its parent could.
    match checked(c_long::from(unsafe { libc::fork() }))? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid as i32)),
    }
}

/// unshare(2).
pub fn unshare(flags: c_int) -> Result<(), Errno> {
    // SAFETY: only ever without CLONE_FILES and CLONE_VM, so no descriptor or memory changes hands.
    checked(unsafe { libc::syscall(libc::SYS_unshare, flags) }).map(drop)
}

/// Gives up root for good: no groups, then these ids. Only for a process with one thread.
pub fn drop_ids(uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: an empty list of groups needs no memory.
    checked(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) })?;
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Makes this process's `/proc` files its own again after a change of ids.
pub fn set_dumpable() -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
}

/// Takes on the ids of an actor, for this thread alone; root stays the saved id, to come back.
pub fn become_ids(uid: u32, gid: u32, groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: pointer and length are those of a live slice.
    checked(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, 0) })?;
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, 0) }).map(drop)
}

/// Takes the ids of root back, and with them the capabilities.
pub fn become_root() -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) })?;
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) })?;
    // SAFETY: an empty list of groups needs no memory.
    checked(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) }).map(drop)
}

/// Puts the capabilities of this thread out of effect, or all that it is permitted into effect.
pub fn capabilities_in_effect(on: bool) -> Result<(), Errno> {
    // Version 3: two sets of 32 bits each, as effective, permitted, inheritable.
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut data = [0u32; 6];
    // SAFETY: `header` and `data` have the layout and size of version 3.
    checked(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) })?;
    (data[0], data[3]) = if on { (data[1], data[4]) } else { (0, 0) };
    // SAFETY: as above.
    checked(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

/// Has the kernel kill this process when the *thread* that forked it ends.
pub fn die_with_parent() -> Result<(), Errno> {
    // SAFETY: takes numbers only.
    checked(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) }).map(drop)
}

/// Ends the whole process at once, whatever its other threads are doing.
pub fn exit_now(status: c_int) -> ! {
    // SAFETY: does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// waitpid(2) for any child that has ended (`None`: there are children, but none has) or, with
/// `block`, for the given one. Gives the process id and the raw status.
pub fn wait_child(pid: i32, block: bool) -> Result<Option<(i32, i32)>, Errno> {
    let mut status = 0;
    let flags = if block { 0 } else { libc::WNOHANG };
    // SAFETY: `status` has room for one int.
    let pid = checked(c_long::from(unsafe { libc::waitpid(pid, &raw mut status, flags) }))?;
    Ok((pid != 0).then_some((pid as i32, status)))
}

/// Sends SIGKILL to everything else in this process id namespace. Only for its pid 1.
pub fn kill_all_others() -> Result<(), Errno> {
    if std::process::id() != 1 {
        return Err(Errno::EPERM);
    }
    // SAFETY: takes numbers only; -1 reaches only this namespace, because we are its pid 1.
    checked(c_long::from(unsafe { libc::kill(-1, libc::SIGKILL) })).map(drop)
}

fn child_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `set` has room for one sigset, which sigemptyset initialises.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        set.assume_init()
    }
}

/// Blocks SIGCHLD in this thread and those it will start, for [`wait_child_signal`].
pub fn block_child_signal() -> Result<(), Errno> {
    let set = child_signal();
    // SAFETY: `set` is a live sigset; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

/// Waits until some child ends or stops, or for at most `limit`.
pub fn wait_child_signal(limit: Duration) {
    let set = child_signal();
    let limit =
        libc::timespec { tv_sec: limit.as_secs() as libc::time_t, tv_nsec: libc::c_long::from(limit.subsec_nanos()) };
    // SAFETY: `set` and `limit` are live; no siginfo is asked for. Running out of time is no error.
    unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const limit) };
}

/// Raises the limit of open files as far as it goes: deep trees are walked with one per level.
pub fn raise_file_limit() -> Result<(), Errno> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` has room for one rlimit.
    checked(c_long::from(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }))?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a live rlimit.
    checked(c_long::from(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })).map(drop)
}

/// Takes over a descriptor that the process was started with; marks it `O_CLOEXEC`.
pub fn adopt(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: takes numbers only.
    checked(c_long::from(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }))?;
    // SAFETY: the descriptor exists, and by the worker protocol nothing else in here knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets the program that `command` starts inherit these descriptors, under their numbers. With
/// `bound`, the kernel kills it when the thread that starts it ends.
pub fn inherit(command: &mut Command, fds: Vec<RawFd>, bound: bool) {
    let keep = move || {
        for &fd in &fds {
            // SAFETY: takes numbers only; async-signal-safe.
            checked(c_long::from(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }))
                .map_err(|e| io::Error::from_raw_os_error(e.0))?;
        }
        if bound {
            die_with_parent().map_err(|e| io::Error::from_raw_os_error(e.0))?;
        }
        Ok(())
    };
    // SAFETY: the closure only calls fcntl and prctl and allocates nothing.
    unsafe { command.pre_exec(keep) };
}

/// dup2(2): makes `to` another name of what `from` is.
pub fn duplicate_to(from: BorrowedFd<'_>, to: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers only; called for the standard descriptors, which nobody owns.
    checked(c_long::from(unsafe { libc::dup2(from.as_raw_fd(), to) })).map(drop)
}

/// finit_module(2), without parameters. One that is loaded already is no error.
pub fn load_module(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the parameters are an empty string.
    match checked(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) }) {
        Err(Errno::EEXIST) => Ok(()),
        other => other.map(drop),
    }
}

/// Turns the machine off. Only for pid 1 of a guest: anyone else just exits.
pub fn power_off() -> ! {
    if std::process::id() == 1 {
        // SAFETY: takes numbers only.
        unsafe { libc::reboot(libc::RB_POWER_OFF) };
    }
    exit_now(1)
}
