//! Byte-range locks of `fcntl`, in both kinds that Linux has.
//!
//! - *Record locks* (POSIX) belong to the process. The kernel detects deadlocks among them. Closing any descriptor of
//!   the file drops them all.
//! - *OFD locks* belong to an open file description and die with it. There is no deadlock detection.
//!
//! The two kinds exclude each other like locks of strangers, even within a process; they use disjoint [`bytes`]. Only a process
//! that has nothing but an inherited descriptor takes record locks in place of OFD locks ([`Lockable::of_process`]): its
//! parent has the same open file description.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Places of the lock bytes: far above any data, in ranges that never overlap.
pub(crate) mod bytes {
    const BASE: u64 = 1 << 62;
    /// OFD: shared by all that have the object mapped; exclusive for emptying it.
    pub(crate) const USE: u64 = BASE;
    /// OFD: exclusive while the object is initialised.
    pub(crate) const INIT: u64 = BASE + 1;
    /// OFD: shared by all that have the object open for reading and have found it sound since the system was started.
    pub(crate) const SOUND: u64 = BASE + 2;
    /// OFD: one byte of these is held exclusively by each process that has the object open for writing and has found it sound
    /// since the system was started. A reader cannot hold one.
    pub(crate) const VOUCHERS: u64 = BASE + (1 << 16);
    /// Number of such bytes.
    pub(crate) const MOST_VOUCHERS: u64 = 1 << 31;
    /// OFD: process number `n` is the byte `PROCESS + n`, held by the process that has the number.
    pub(crate) const PROCESS: u64 = BASE + (1 << 32);
    /// Record: stripe `s` is the byte `STRIPE + s`.
    pub(crate) const STRIPE: u64 = BASE + (1 << 40);
    /// OFD: shared by everybody who has a member of the object open as a certain type. Each member has a range large enough
    /// that the hashes of two types choose different bytes.
    pub(crate) const TYPE: u64 = BASE + (1 << 50);
    /// Number of bytes for the types of a member.
    pub(crate) const TYPES: u64 = 1 << 32;
    /// Number of members with bytes of their own, by their ids.
    pub(crate) const MEMBERS: u64 = 1 << 16;
}

/// The kind of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    /// Excludes exclusive locks only. The descriptor must be readable.
    Shared,
    /// Excludes every other lock. The descriptor must be writable.
    Exclusive,
}

impl LockKind {
    fn number(self) -> i32 {
        match self {
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
        }
    }
}

/// A descriptor to lock bytes through, and whom those locks belong to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lockable<'a> {
    fd: BorrowedFd<'a>,
    of_process: bool,
}

impl<'a> From<BorrowedFd<'a>> for Lockable<'a> {
    /// Returns the descriptor for locks that belong to the open file description.
    fn from(fd: BorrowedFd<'a>) -> Self {
        Lockable { fd, of_process: false }
    }
}

impl<'a> Lockable<'a> {
    /// Returns the descriptor for locks that belong to the process: for a descriptor whose open file description is another
    /// process's as well.
    pub(crate) fn of_process(fd: BorrowedFd<'a>) -> Self {
        Lockable { fd, of_process: true }
    }

    /// Returns whether the locks belong to the process. Then the kernel may see a deadlock where there is none.
    pub(crate) fn is_of_process(self) -> bool {
        self.of_process
    }

    fn set(self, range: &mut libc::flock) -> io::Result<()> {
        self.control(libc::F_SETLK, libc::F_OFD_SETLK, range)
    }

    fn set_wait(self, range: &mut libc::flock) -> io::Result<()> {
        self.control(libc::F_SETLKW, libc::F_OFD_SETLKW, range)
    }

    fn get(self, range: &mut libc::flock) -> io::Result<()> {
        self.control(libc::F_GETLK, libc::F_OFD_GETLK, range)
    }

    fn control(self, of_process: i32, of_description: i32, range: &mut libc::flock) -> io::Result<()> {
        if self.of_process {
            return control(self.fd, of_process, range);
        }
        control(self.fd, of_description, range).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS | libc::EPERM) => {
                let text = format!(
                    "the system refuses locks of open file descriptions (F_OFD_SETLK of fcntl: {error}), by which the death \
                     of a process is noticed; netshm needs Linux 3.15 or later, and a sandbox that allows them"
                );
                io::Error::new(io::ErrorKind::Unsupported, text)
            }
            _ => error,
        })
    }
}

#[cfg(test)]
impl AsRawFd for Lockable<'_> {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}

/// Outcome of an attempt to lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// The lock is held.
    Locked,
    /// Somebody else holds it; only without waiting.
    Busy,
    /// The kernel says that waiting would never end; record locks only.
    Deadlock,
}

/// Takes a record lock on `len` bytes, or changes the kind of one that this process holds there.
///
/// One system call, unless a signal interrupts it.
pub(crate) fn record_lock(fd: BorrowedFd<'_>, kind: LockKind, start: u64, len: u64, wait: bool) -> io::Result<Outcome> {
    let command = if wait { libc::F_SETLKW } else { libc::F_SETLK };
    outcome(control(fd, command, &mut range(kind.number(), start, len)))
}

/// Gives up this process's record locks on `len` bytes.
pub(crate) fn record_unlock(fd: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<()> {
    control(fd, libc::F_SETLK, &mut range(libc::F_UNLCK, start, len))
}

/// Takes an OFD lock on one byte, or changes the kind of one that this description holds there.
pub(crate) fn ofd_lock<'a>(fd: impl Into<Lockable<'a>>, kind: LockKind, start: u64, wait: bool) -> io::Result<Outcome> {
    let (fd, mut range) = (fd.into(), range(kind.number(), start, 1));
    outcome(if wait { fd.set_wait(&mut range) } else { fd.set(&mut range) })
}

/// Takes an OFD lock on `len` bytes that excludes every other lock, unless somebody else has one on any of them.
pub(crate) fn ofd_try_lock_range<'a>(fd: impl Into<Lockable<'a>>, start: u64, len: u64) -> io::Result<Outcome> {
    outcome(fd.into().set(&mut range(LockKind::Exclusive.number(), start, len)))
}

/// Gives up the OFD locks of this description on `len` bytes.
pub(crate) fn ofd_unlock_range<'a>(fd: impl Into<Lockable<'a>>, start: u64, len: u64) -> io::Result<()> {
    fd.into().set(&mut range(libc::F_UNLCK, start, len))
}

/// Gives up the OFD lock of this description on one byte.
pub(crate) fn ofd_unlock<'a>(fd: impl Into<Lockable<'a>>, start: u64) -> io::Result<()> {
    ofd_unlock_range(fd, start, 1)
}

/// Gives up all OFD locks of this description; where they belong to the process, all but its record locks on stripes.
pub(crate) fn ofd_unlock_all<'a>(fd: impl Into<Lockable<'a>>) -> io::Result<()> {
    let fd = fd.into();
    if fd.of_process {
        ofd_unlock_range(fd, 0, bytes::STRIPE)?;
        return ofd_unlock_range(fd, bytes::TYPE, 0);
    }
    // A length of zero means "to the end, however far".
    ofd_unlock_range(fd, 0, 0)
}

/// A lock that conflicts with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conflict {
    pub(crate) kind: LockKind,
    /// The process that holds it, where the kernel reports it: for record locks only.
    pub(crate) pid: Option<u32>,
}

/// Returns a lock of somebody else, of either kind of lock, that excludes one of kind `kind` on the byte. Any descriptor may ask.
pub(crate) fn ofd_conflict<'a>(
    fd: impl Into<Lockable<'a>>,
    kind: LockKind,
    start: u64,
) -> io::Result<Option<Conflict>> {
    let mut range = range(kind.number(), start, 1);
    fd.into().get(&mut range)?;
    let kind = match i32::from(range.l_type) {
        libc::F_UNLCK => return Ok(None),
        libc::F_RDLCK => LockKind::Shared,
        _ => LockKind::Exclusive,
    };
    let pid = u32::try_from(range.l_pid).ok().filter(|pid| *pid != 0);
    Ok(Some(Conflict { kind, pid }))
}

/// Returns whether anybody but this description holds a lock, of either kind, on the byte. Any descriptor may ask.
pub(crate) fn ofd_held_elsewhere<'a>(fd: impl Into<Lockable<'a>>, start: u64) -> io::Result<bool> {
    ofd_any_held_elsewhere(fd, start, 1)
}

/// Returns whether anybody but this description holds an exclusive lock on any of `len` bytes, for which writing rights are
/// needed. Any descriptor may ask.
pub(crate) fn ofd_any_owned_elsewhere<'a>(fd: impl Into<Lockable<'a>>, start: u64, len: u64) -> io::Result<bool> {
    let mut range = range(libc::F_RDLCK, start, len);
    fd.into().get(&mut range)?;
    Ok(i32::from(range.l_type) != libc::F_UNLCK)
}

/// Works like [`ofd_held_elsewhere`], for any of `len` bytes.
pub(crate) fn ofd_any_held_elsewhere<'a>(fd: impl Into<Lockable<'a>>, start: u64, len: u64) -> io::Result<bool> {
    let mut range = range(libc::F_WRLCK, start, len);
    fd.into().get(&mut range)?;
    Ok(i32::from(range.l_type) != libc::F_UNLCK)
}

fn outcome(result: io::Result<()>) -> io::Result<Outcome> {
    match result {
        Ok(()) => Ok(Outcome::Locked),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Ok(Outcome::Busy),
            Some(libc::EDEADLK) => Ok(Outcome::Deadlock),
            _ => Err(error),
        },
    }
}

fn range(type_: i32, start: u64, len: u64) -> libc::flock {
    // The lock bytes and their number fit by far; a wrong argument is answered by EINVAL, not by another range.
    libc::flock {
        l_type: type_ as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start.try_into().unwrap_or(-1),
        l_len: len.try_into().unwrap_or(i64::MIN),
        l_pid: 0,
    }
}

fn control(fd: BorrowedFd<'_>, command: i32, range: &mut libc::flock) -> io::Result<()> {
    loop {
        // SAFETY: the lock commands of `fcntl` read and write one `flock` behind the pointer, and nothing else. It is from a
        // `&mut`, so it is valid for both during the call. The descriptor is borrowed, and so open.
        let result = unsafe { libc::fcntl(fd.as_raw_fd(), command, ptr::from_mut(range)) };
        if result != -1 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::Scratch;

    fn two_descriptions() -> (Scratch, File, File) {
        let scratch = Scratch::empty();
        let (a, b) = (scratch.file(), scratch.file());
        (scratch, a, b)
    }

    #[test]
    fn ofd_locks_belong_to_the_description() {
        let (_scratch, a, b) = two_descriptions();
        assert_eq!(ofd_lock(a.as_fd(), LockKind::Exclusive, bytes::INIT, false).unwrap(), Outcome::Locked);
        assert_eq!(ofd_lock(a.as_fd(), LockKind::Exclusive, bytes::INIT, false).unwrap(), Outcome::Locked);
        assert_eq!(ofd_lock(b.as_fd(), LockKind::Shared, bytes::INIT, false).unwrap(), Outcome::Busy);
        assert!(ofd_held_elsewhere(b.as_fd(), bytes::INIT).unwrap());
        assert!(!ofd_held_elsewhere(a.as_fd(), bytes::INIT).unwrap());
        assert_eq!(ofd_lock(b.as_fd(), LockKind::Exclusive, bytes::USE, false).unwrap(), Outcome::Locked);
        ofd_unlock(a.as_fd(), bytes::INIT).unwrap();
        assert_eq!(ofd_lock(b.as_fd(), LockKind::Shared, bytes::INIT, false).unwrap(), Outcome::Locked);
        assert_eq!(ofd_lock(a.as_fd(), LockKind::Shared, bytes::INIT, true).unwrap(), Outcome::Locked);
        ofd_unlock_all(b.as_fd()).unwrap();
        assert!(!ofd_held_elsewhere(a.as_fd(), bytes::USE).unwrap());
        assert_eq!(ofd_lock(a.as_fd(), LockKind::Exclusive, bytes::INIT, false).unwrap(), Outcome::Locked);
        drop(a);
        assert!(!ofd_held_elsewhere(b.as_fd(), bytes::INIT).unwrap());
    }

    #[test]
    fn record_locks_belong_to_the_process_and_die_with_any_descriptor() {
        let (scratch, a, b) = two_descriptions();
        for kind in [LockKind::Exclusive, LockKind::Shared] {
            for fd in [&a, &b] {
                assert_eq!(record_lock(fd.as_fd(), kind, bytes::STRIPE, 64, true).unwrap(), Outcome::Locked);
            }
        }
        // An OFD look sees record locks as those of a stranger.
        assert!(ofd_held_elsewhere(a.as_fd(), bytes::STRIPE + 63).unwrap());
        assert!(!ofd_held_elsewhere(a.as_fd(), bytes::STRIPE + 64).unwrap());
        record_unlock(a.as_fd(), bytes::STRIPE + 1, 1).unwrap();
        assert!(!ofd_held_elsewhere(a.as_fd(), bytes::STRIPE + 1).unwrap());
        drop(scratch.file());
        assert!(!ofd_held_elsewhere(a.as_fd(), bytes::STRIPE).unwrap());
    }

    #[test]
    fn a_range_that_does_not_fit_is_an_error() {
        let (_scratch, a, _b) = two_descriptions();
        assert!(record_lock(a.as_fd(), LockKind::Shared, u64::MAX, 1, false).is_err());
        assert!(record_lock(a.as_fd(), LockKind::Shared, bytes::STRIPE, u64::MAX, false).is_err());
    }
}
