//! The locks that a process holds on an object through one open file description.
//!
//! The kernel sees one owner, however many stores come and go: while the last handle of one is being dropped, another
//! thread may open the next. So the use of the object and the process number belong to the description, are counted here
//! and given up by the last [`Claim`] only, all under one mutex.

use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Object;
use crate::os::file;
use crate::os::lock::{self, LockKind, Lockable, Outcome, bytes};

/// Attempts at a byte that no other process has.
const VOUCHING_TRIES: u32 = 8;

/// The claims of one object.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The process number; 0 if there is none.
    number: AtomicU32,
    /// Number of claims.
    count: Mutex<usize>,
}

impl Claims {
    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the object in use by this process, and its process number taken.
#[derive(Debug)]
pub(crate) struct Claim(Option<Arc<Object>>);

impl Claim {
    /// Shares the use of the object, unless somebody has it alone.
    pub(crate) fn share(object: &Arc<Object>) -> io::Result<Option<Claim>> {
        Self::take(object, LockKind::Shared)
    }

    /// Takes the object alone, if nobody else uses it.
    pub(crate) fn alone(object: &Arc<Object>) -> io::Result<Option<Claim>> {
        Self::take(object, LockKind::Exclusive)
    }

    fn take(object: &Arc<Object>, kind: LockKind) -> io::Result<Option<Claim>> {
        let mut count = object.claims.count();
        let outcome = lock::ofd_lock(object.lock_fd(), kind, bytes::USE, false)?;
        Ok((outcome == Outcome::Locked).then(|| {
            *count += 1;
            Claim(Some(object.clone()))
        }))
    }

    fn object(&self) -> &Arc<Object> {
        self.0.as_ref().unwrap_or_else(|| unreachable!("there until it is dropped"))
    }

    fn lock_fd(&self) -> Lockable<'_> {
        self.object().lock_fd()
    }

    /// Excludes other processes from the object and returns true, unless one uses it.
    pub(crate) fn exclude_others(&self) -> io::Result<bool> {
        let outcome = lock::ofd_lock(self.lock_fd(), LockKind::Exclusive, bytes::USE, false)?;
        Ok(outcome == Outcome::Locked)
    }

    /// Lets others use the object again.
    pub(crate) fn admit_others(&self) -> io::Result<()> {
        lock::ofd_lock(self.lock_fd(), LockKind::Shared, bytes::USE, true).map(drop)
    }

    /// Returns whether another process, or this one through another description, knows the object to be sound. A process
    /// that may only read the file is believed by its like, not by writers: else anybody could make them use a damaged object.
    pub(crate) fn others_vouch(&self) -> io::Result<bool> {
        let fd = self.lock_fd();
        if self.object().read_only() && lock::ofd_held_elsewhere(fd, bytes::SOUND)? {
            return Ok(true);
        }
        lock::ofd_any_owned_elsewhere(fd, bytes::VOUCHERS, bytes::MOST_VOUCHERS)
    }

    /// Tells other processes that the object is sound, as long as this one uses it.
    pub(crate) fn vouch(&self) -> io::Result<()> {
        if self.object().read_only() {
            return lock::ofd_lock(self.lock_fd(), LockKind::Shared, bytes::SOUND, true).map(drop);
        }
        for _ in 0..VOUCHING_TRIES {
            let byte = bytes::VOUCHERS + file::random()? % bytes::MOST_VOUCHERS;
            if lock::ofd_lock(self.lock_fd(), LockKind::Exclusive, byte, false)? == Outcome::Locked {
                break;
            }
        }
        // Otherwise readers hold shared locks on all of them, and others check the object as well.
        Ok(())
    }

    /// Returns the process number, if the process has one.
    pub(crate) fn number(&self) -> Option<u32> {
        Some(self.object().claims.number.load(Acquire)).filter(|number| *number != 0)
    }

    /// Returns the process number; if there is none, takes one by `take`, which no other thread runs meanwhile.
    pub(crate) fn number_or_else<E>(&self, take: impl FnOnce() -> Result<u32, E>) -> Result<u32, E> {
        let claims = &self.object().claims;
        let _count = claims.count();
        if let Some(number) = self.number() {
            return Ok(number);
        }
        let number = take()?;
        claims.number.store(number, Release);
        Ok(number)
    }

    /// Gives the claim up. If it is the last one, `retire` sees the process number before its byte is unlocked.
    pub(crate) fn give_up(&mut self, retire: impl FnOnce(u32)) {
        let Some(object) = self.0.take() else { return };
        // In a forked child the lock descriptor is closed, and another thread of the parent may have held the mutex.
        if object.check_fork().is_err() {
            return;
        }
        let mut count = object.claims.count();
        *count -= 1;
        if *count > 0 {
            return;
        }
        // If unlocking fails, closing the descriptor unlocks; until then the process seems to be alive.
        let number = object.claims.number.load(Acquire);
        if number != 0 {
            retire(number);
            let _ = lock::ofd_unlock(object.lock_fd(), bytes::PROCESS + u64::from(number));
            object.claims.number.store(0, Release);
        }
        let _ = lock::ofd_unlock(object.lock_fd(), bytes::SOUND);
        let _ = lock::ofd_unlock_range(object.lock_fd(), bytes::VOUCHERS, bytes::MOST_VOUCHERS);
        let _ = lock::ofd_unlock(object.lock_fd(), bytes::USE);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.give_up(|_| {});
    }
}
