//! Shared mappings.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::{Advice, MmapOptions, MmapRaw};

/// A shared mapping of a file's start. It may be longer than the file: what lies beyond becomes usable when the file
/// grows, and raises SIGBUS before.
///
/// It gives out nothing but a raw pointer. The bytes belong to every process that maps the file.
#[derive(Debug, Clone)]
pub(crate) struct Mapping {
    /// As long as asked for, not shorter; shared by all clones.
    raw: Arc<MmapRaw>,
    /// Start of `raw`.
    start: NonNull<u8>,
}

// SAFETY: `Send` requires that a mapping may be used and dropped by another thread than the one that made it. `raw` is `Send`;
// `start` is only an address in it, which this type never dereferences.
unsafe impl Send for Mapping {}
// SAFETY: `Sync` requires that threads may use a shared mapping at the same time. `raw` is `Sync`; `start` never changes,
// and this type never dereferences it.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes. `ENOMEM` means that the address space has no room, or that the resource limit on it
    /// (`RLIMIT_AS`) forbids it.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: u64, writable: bool) -> io::Result<Mapping> {
        let len = usize::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        if len == 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut options = MmapOptions::new();
        options.len(len);
        let raw = if writable { options.map_raw(&fd)? } else { options.map_raw_read_only(&fd)? };
        // The system maps nothing at address 0 unless told to.
        let start = NonNull::new(raw.as_mut_ptr()).ok_or_else(|| io::Error::from_raw_os_error(libc::EFAULT))?;
        Ok(Mapping { raw: Arc::new(raw), start })
    }

    /// Returns the first byte: one allocation of the length given at the beginning, aligned to a memory page.
    #[inline]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Makes the pages that hold these bytes readable, or fails where reading them would raise SIGBUS. Returns false if the kernel
    /// cannot tell (before 5.14).
    pub(crate) fn populate(&self, offset: usize, len: usize) -> io::Result<bool> {
        match self.raw.advise_range(Advice::PopulateRead, offset, len) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes the pages that hold these bytes to the file and waits for it.
    pub(crate) fn flush(&self, offset: usize, len: usize) -> io::Result<()> {
        #[cfg(test)]
        {
            tests::FLUSHES.set(tests::FLUSHES.get() + 1);
            tests::fail()?;
        }
        self.raw.flush_range(offset, len)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::os::fd::AsFd;

    use super::*;
    use crate::os::file;
    use crate::testing::Scratch;

    thread_local! {
        /// Number of times that this thread has written pages back.
        pub(crate) static FLUSHES: Cell<u64> = const { Cell::new(0) };
        /// Number of times that this thread can still do so before it fails; `None` if it does not fail.
        pub(crate) static FAILING: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub(super) fn fail() -> io::Result<()> {
        match FAILING.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(left) => {
                FAILING.set(Some(left - 1));
                Ok(())
            }
        }
    }

    #[test]
    fn a_mapping_may_be_longer_than_the_file() {
        let scratch = Scratch::empty();
        let file = scratch.file();
        let map = Mapping::new(file.as_fd(), 1 << 30, true).unwrap();
        assert_eq!(map.start().addr().get() % 4096, 0);
        file::allocate(file.as_fd(), 0, 8192).unwrap();
        map.flush(4096, 4096).unwrap();
        assert!(Mapping::new(file.as_fd(), 1 << 30, false).is_ok());
    }

    #[test]
    fn impossible_lengths_are_errors() {
        let scratch = Scratch::empty();
        let file = scratch.file();
        assert_eq!(Mapping::new(file.as_fd(), 0, true).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(Mapping::new(file.as_fd(), 1 << 60, true).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    }
}
