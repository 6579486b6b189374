//! Shared memory: one page of atomics.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::errno::Errno;

/// What worker and parent share: written before each step, readable after any death.
#[derive(Debug)]
#[repr(C)]
pub struct Page {
    /// Number of the case (high half) and what it is doing (low half).
    pub progress: AtomicU64,
    /// Whether `status` holds something.
    pub ended: AtomicU32,
    /// Raw wait status of the worker's inner process, once it has ended.
    pub status: AtomicU32,
}

/// Bytes of the shared page.
pub const PAGE_SIZE: usize = 4096;

/// A [`Page`] mapped from a memfd.
#[derive(Debug)]
pub struct Shared(NonNull<Page>);

// SAFETY: the page holds nothing but atomics.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps the page; the file must have at least [`PAGE_SIZE`] bytes.
    pub fn map(fd: BorrowedFd<'_>) -> Result<Shared, Errno> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choosing.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), PAGE_SIZE, prot, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if at == libc::MAP_FAILED {
            return Err(Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)));
        }
        NonNull::new(at.cast()).map(Shared).ok_or(Errno::EFAULT)
    }
}

impl std::ops::Deref for Shared {
    type Target = Page;

    fn deref(&self) -> &Page {
        // SAFETY: mapped and page-aligned until drop; zeroes are valid atomics.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `map`, and no reference to it can outlive `self`.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PAGE_SIZE) };
    }
}
