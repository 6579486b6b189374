//! Loop devices: a file as a disk.

use std::os::fd::{AsRawFd, BorrowedFd};

use libc::c_long;

use super::checked;
use crate::errno::Errno;

/// `LOOP_CTL_GET_FREE`: the number of a loop device that nobody uses.
pub fn loop_free(control: BorrowedFd<'_>) -> Result<u64, Errno> {
    const LOOP_CTL_GET_FREE: c_long = 0x4c82;
    // SAFETY: this request takes no argument.
    checked(unsafe { libc::syscall(libc::SYS_ioctl, control.as_raw_fd(), LOOP_CTL_GET_FREE, 0) })
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    /// `struct loop_info64` up to `lo_flags`.
    before: [u8; 52],
    flags: u32,
    /// The rest of it: names, key, `lo_init`.
    after: [u8; 176],
    reserved: [u64; 8],
}

/// `LOOP_CONFIGURE` with `LO_FLAGS_AUTOCLEAR`: puts a file behind the device until its last user is gone.
pub fn loop_configure(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<(), Errno> {
    const LOOP_CONFIGURE: c_long = 0x4c0a;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    const { assert!(size_of::<LoopConfig>() == 304 && std::mem::offset_of!(LoopConfig, flags) == 60) };
    let config = LoopConfig {
        fd: file.as_raw_fd() as u32,
        block_size: 0,
        before: [0; 52],
        flags: LO_FLAGS_AUTOCLEAR,
        after: [0; 176],
        reserved: [0; 8],
    };
    // SAFETY: `config` is a live struct loop_config, which the kernel only reads.
    checked(unsafe { libc::syscall(libc::SYS_ioctl, device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) }).map(drop)
}
