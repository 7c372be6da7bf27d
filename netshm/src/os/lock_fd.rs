//! Descriptors that carry OFD locks, and the table of them for forked children.
//!
//! An OFD (open file description) lock lives as long as any descriptor or mapping of that description. A forked child
//! inherits the descriptor and would keep the locks of a parent that has died, so the child closes it: in the handler
//! of [`fork`](super::fork), or when it next asks for its generation. The table is read in a freshly forked child,
//! where another thread of the parent may have been in the middle of a change: it is made of atomics, grows only, and
//! is never locked.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

use super::file::Identity;
use super::fork_gate::NoFork;
use super::{file, lock, pause};

/// A descriptor for OFD locks only, with an open file description of its own, and never mapped: a mapping inherited
/// by a forked child would keep the locks alive.
#[derive(Debug)]
pub(crate) struct LockFd {
    /// Always there until `drop` or `leak`.
    fd: Option<OwnedFd>,
    entry: &'static Entry,
}

impl LockFd {
    /// Takes over the descriptor of that file which `open` opens, if it does. No fork comes between the opening and the entry in
    /// the table.
    pub(crate) fn open<E>(
        file: Identity,
        open: impl FnOnce() -> Result<Option<OwnedFd>, E>,
    ) -> Result<Option<LockFd>, E> {
        let _gate = NoFork::begin();
        let Some(fd) = open()? else { return Ok(None) };
        pause::at("a lock descriptor is open");
        let entry = enter(fd.as_raw_fd(), file);
        Ok(Some(LockFd { fd: Some(fd), entry }))
    }

    /// Releases every lock, but keeps the descriptor.
    pub(crate) fn unlock_all(&self) {
        // The call cannot fail on a descriptor that is open, except for want of kernel memory; and then closing frees
        // the locks anyway, unless a child has just inherited them.
        let _ = lock::ofd_unlock_all(self.as_fd());
    }

    /// Returns whether the descriptor still stands for the file.
    pub(crate) fn is_intact(&self, file: Identity) -> bool {
        self.fd.as_ref().is_some_and(|fd| file::is_intact(fd, file))
    }

    /// Closes the descriptor, unless its number stands for another file by now.
    pub(crate) fn close_intact(self, file: Identity) {
        if !self.is_intact(file) {
            self.entry.fd.store(FREE, Ordering::Release);
            self.leak();
        }
    }

    /// Gives the descriptor up without closing it: in a forked child, where the number may long belong to another file.
    pub(crate) fn leak(mut self) {
        if let Some(fd) = self.fd.take() {
            let _ = fd.into_raw_fd();
        }
    }
}

impl AsFd for LockFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("present until drop").as_fd()
    }
}

impl Drop for LockFd {
    fn drop(&mut self) {
        if self.fd.is_some() {
            // A fork between the next two steps leaves the child with a descriptor that it does not close: it must
            // not bear a lock any more.
            self.unlock_all();
            self.entry.fd.store(FREE, Ordering::Release);
        }
    }
}

const FREE: RawFd = -1;
/// The entry is being filled in.
const CLAIMED: RawFd = -2;

#[derive(Debug)]
struct Entry {
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

struct Chunk {
    entries: [Entry; 64],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Chunk {
        Chunk {
            entries: [const { Entry { fd: AtomicI32::new(FREE), device: AtomicU64::new(0), inode: AtomicU64::new(0) } };
                64],
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn next(&self) -> Option<&'static Chunk> {
        // SAFETY: `as_ref` requires null or a pointer that is convertible to a reference. It is null or from `Box::into_raw`, and
        // the chunk is never freed, and changes inside its atomics only.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

static TABLE: Chunk = Chunk::new();

fn chunks() -> impl Iterator<Item = &'static Chunk> {
    std::iter::successors(Some(&TABLE), |chunk| chunk.next())
}

fn enter(fd: RawFd, id: Identity) -> &'static Entry {
    let mut chunk = &TABLE;
    loop {
        for entry in &chunk.entries {
            if entry.fd.compare_exchange(FREE, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                entry.device.store(id.device, Ordering::Relaxed);
                entry.inode.store(id.inode, Ordering::Relaxed);
                entry.fd.store(fd, Ordering::Release);
                return entry;
            }
        }
        chunk = chunk.next().unwrap_or_else(|| extend(chunk));
    }
}

fn extend(last: &'static Chunk) -> &'static Chunk {
    let new = Box::into_raw(Box::new(Chunk::new()));
    if last.next.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_err() {
        // SAFETY: `Box::from_raw` requires a pointer from `Box::into_raw` that becomes a box once only. It is the one above,
        // which nobody else has seen, since it was not published.
        drop(unsafe { Box::from_raw(new) });
    }
    last.next().expect("just set")
}

/// Closes every lock descriptor in a forked child, which may have closed and opened files since: what is not the file it was is left
/// alone. Allowed in the handler that runs inside `fork`.
pub(super) fn close_inherited() {
    for entry in chunks().flat_map(|chunk| &chunk.entries) {
        let fd = entry.fd.swap(FREE, Ordering::AcqRel);
        let was = Identity { device: entry.device.load(Ordering::Relaxed), inode: entry.inode.load(Ordering::Relaxed) };
        if fd >= 0 && file::identity_of_number(fd).is_ok_and(|is| is == was) {
            close(fd);
        }
    }
}

fn close(fd: RawFd) {
    // SAFETY: `close` accesses no memory. What it closes must not be used by an owner any more (I/O safety): the child's copy
    // of the handle that owned this number does not, because it sees that its generation has ended.
    unsafe { libc::close(fd) };
}
