//! Process numbers: which processes write to the object, and which of them still live.
//!
//! A writing process owns one number: a lock (OFD) on the number's byte, which the kernel drops when the process dies.
//! So no process id is ever trusted, neither across containers nor after one has been used again.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use super::{Shared, Store};
use crate::error::{Error, Result};
use crate::layout::PROCESSES;
use crate::locking::{Awaited, Backoff, Deadline, Fate};
use crate::os::lock::{self, Conflict, LockKind, Outcome, bytes};
use crate::os::pause;

/// The pauses between attempts at a number, while somebody opens the object, grow up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Outcome of an attempt to lock the byte of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Byte {
    Locked,
    /// A process has the number, or recovers it.
    Owned,
    /// Nobody has it, but somebody holds a shared lock, for which reading rights suffice.
    Shared {
        /// Its process, where the kernel reports it.
        reader: Option<u32>,
    },
}

/// This process's number in one object, cached; 0 until it writes.
///
/// The number itself belongs to the open file description that its byte is locked through: see [`Claim`](crate::shm::Claim).
#[derive(Default)]
pub(crate) struct ProcessIds {
    mine: AtomicU32,
}

impl ProcessIds {
    /// Returns the number, for the owner of a slot that was taken with it.
    #[inline]
    pub(super) fn at_hand(&self) -> u32 {
        self.mine.load(Acquire)
    }
}

impl Store {
    /// Returns the number of this process, which is taken before its first write.
    #[inline]
    pub(super) fn number(&self, deadline: &Deadline) -> Result<u32> {
        match self.shared.numbers.mine.load(Acquire) {
            0 => self.take_number(deadline),
            number => Ok(number),
        }
    }

    /// Returns the number of this process, if it has one.
    pub(super) fn known_number(&self) -> Option<u32> {
        self.shared.claim.number()
    }

    #[cold]
    fn take_number(&self, deadline: &Deadline) -> Result<u32> {
        if self.region().object().read_only() {
            return Err(Error::ReadOnly { object: self.name(), wanted: "write" });
        }
        let mut wait = None;
        let mut backoff = Backoff::new(Duration::from_millis(1), LONGEST_PAUSE);
        loop {
            let fate = match self.take_number_now()? {
                Ok(number) => return Ok(number),
                Err(fate) => fate,
            };
            let wait = wait.get_or_insert_with(|| deadline.wait(Awaited::Number));
            wait.note(fate);
            wait.check(self, None)?;
            backoff.pause(wait);
        }
    }

    /// Takes a number if one is free; otherwise returns what to wait for.
    pub(super) fn take_number_now(&self) -> Result<Result<u32, Fate>> {
        match self.shared.claim.number_or_else(|| self.try_numbers().map_err(Err)?.map_err(Ok)) {
            Ok(number) => {
                self.shared.numbers.mine.store(number, Release);
                Ok(Ok(number))
            }
            // A process that opens the object may lock all numbers for a moment, to find out whether any other has one.
            Err(Ok(Fate::Alive)) if !self.is_being_opened()? => {
                Err(Error::TooManyWriters { object: self.name(), limit: PROCESSES })
            }
            Err(Ok(fate)) => Ok(Err(fate)),
            Err(Err(error)) => Err(error),
        }
    }

    /// Takes a number if one is free.
    fn try_numbers(&self) -> Result<Result<u32, Fate>> {
        let mut fate = Fate::Alive;
        // ProcessIds that look unused first: each attempt at a byte is a system call.
        for unused in [true, false] {
            for number in 1..=PROCESSES {
                let word = self.field32(self.geometry().process(number));
                if (word.load(Relaxed) == 0) != unused {
                    continue;
                }
                let Some(_turn) = self.shared.recoveries.begin(number) else { continue };
                match self.lock_number(number)? {
                    Byte::Locked => {}
                    Byte::Owned => continue,
                    Byte::Shared { reader } => {
                        fate = Fate::Shielded { reader };
                        continue;
                    }
                }
                if let Err(error) = self.recover_number_held(number) {
                    self.unlock_number(number);
                    return Err(error);
                }
                word.store(std::process::id(), SeqCst);
                return Ok(Ok(number));
            }
        }
        Ok(Err(fate))
    }

    /// Returns whether another process is opening the object for writing.
    fn is_being_opened(&self) -> Result<bool> {
        self.is_owned(bytes::INIT, "look whether it is being opened")
    }

    /// Returns whether another process holds a byte exclusively. A shared lock proves nothing: any process that may read the
    /// file can hold one.
    fn is_owned(&self, byte: u64, doing: &'static str) -> Result<bool> {
        self.region().object().check_descriptors()?;
        lock::ofd_conflict(self.region().object().lock_fd(), LockKind::Shared, byte)
            .map(|conflict| conflict.is_some())
            .map_err(|source| Error::Io { object: self.name(), doing, source })
    }

    /// Tries to lock the bytes of all numbers, so that no process has one or can take one. Returns whether that succeeded.
    pub(super) fn lock_all_numbers(&self) -> Result<bool> {
        self.region().object().check_descriptors()?;
        let (first, count) = (bytes::PROCESS + 1, u64::from(PROCESSES));
        match lock::ofd_try_lock_range(self.region().object().lock_fd(), first, count) {
            Ok(outcome) => Ok(outcome == Outcome::Locked),
            Err(source) => Err(Error::Io { object: self.name(), doing: "lock the process numbers", source }),
        }
    }

    pub(super) fn unlock_all_numbers(&self) {
        let (first, count) = (bytes::PROCESS + 1, u64::from(PROCESSES));
        let _ = lock::ofd_unlock_range(self.region().object().lock_fd(), first, count);
    }

    /// Tries to take the byte of a number.
    pub(super) fn lock_number(&self, number: u32) -> Result<Byte> {
        self.region().object().check_descriptors()?;
        let (fd, byte) = (self.region().object().lock_fd(), bytes::PROCESS + u64::from(number));
        let failed = |source| Error::Io { object: self.name(), doing: "lock a process number", source };
        if lock::ofd_lock(fd, LockKind::Exclusive, byte, false).map_err(failed)? == Outcome::Locked {
            return Ok(Byte::Locked);
        }
        match lock::ofd_conflict(fd, LockKind::Exclusive, byte).map_err(failed)? {
            Some(Conflict { kind: LockKind::Shared, pid }) => Ok(Byte::Shared { reader: pid }),
            _ => Ok(Byte::Owned),
        }
    }

    pub(super) fn unlock_number(&self, number: u32) {
        // If unlocking fails, closing the descriptor unlocks; until then the process seems to be alive.
        let _ = lock::ofd_unlock(self.region().object().lock_fd(), bytes::PROCESS + u64::from(number));
    }

    /// Returns whether the process with that number lives. Must not be called for this process's own number.
    pub(super) fn lives(&self, number: u32) -> Result<bool> {
        self.is_owned(bytes::PROCESS + u64::from(number), "probe a process number")
    }
}

impl Drop for Shared {
    /// Gives the number back, unless the next store of this process uses it already. If a slot is still owned (by a thread that
    /// lost it), the number is left to be recovered.
    fn drop(&mut self) {
        pause::at("dropping a store");
        let region = &self.region;
        self.claim.give_up(|number| {
            let geometry = region.geometry();
            let owned = |slot| region.field32(geometry.slot(slot).owner()).load(Relaxed) == number;
            if !(0..geometry.slots).any(owned) {
                region.field32(geometry.process(number)).store(0, SeqCst);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::hash_table::HashTable;
    use crate::shm::Shm;
    use crate::testing::Scratch;

    impl Scratch {
        fn table(&self) -> HashTable<u64, u64> {
            HashTable::options().manage(self.open()).unwrap()
        }

        /// Returns whether anybody holds the byte, asked through a descriptor of its own.
        fn is_held(&self, byte: u64) -> bool {
            let stranger = File::options().read(true).write(true).open(&self.0).unwrap();
            lock::ofd_held_elsewhere(stranger.as_fd(), byte).unwrap()
        }

        fn held_numbers(&self) -> Vec<u64> {
            (1..=8).filter(|number| self.is_held(bytes::PROCESS + number)).collect()
        }
    }

    #[test]
    fn a_handle_dropped_late_takes_nothing_from_the_next() {
        for write_before in [false, true] {
            let scratch = Scratch::new();
            let old = scratch.table();
            old.add(&1, &1).unwrap();
            let kept_open = Shm::open(scratch.name()).unwrap();
            let ((dropping, is_dropping), (go_on, goes_on)) = (channel(), channel());
            let dropper = thread::spawn(move || {
                pause::once_at("dropping a store", move || {
                    dropping.send(()).unwrap();
                    goes_on.recv_timeout(Duration::from_secs(20)).unwrap();
                });
                drop(old);
            });
            is_dropping.recv_timeout(Duration::from_secs(20)).unwrap();
            let new = scratch.table();
            if write_before {
                new.add(&2, &2).unwrap();
            }
            go_on.send(()).unwrap();
            dropper.join().unwrap();

            assert!(scratch.is_held(bytes::USE), "another process may empty the object");
            new.add(&3, &3).unwrap();
            assert_eq!(scratch.held_numbers(), [1], "this process is taken for dead");
            assert!(matches!(Shm::options().truncate(true).open(&scratch.name()), Err(Error::InUse { .. })));
            drop(new);
            assert!(!scratch.is_held(bytes::USE));
            assert!(scratch.held_numbers().is_empty());
            drop(kept_open);
        }
    }

    #[test]
    fn nobody_else_opens_an_object_while_a_thread_has_it_alone() {
        use crate::store::open::Alone;

        let scratch = Scratch::new();
        drop(scratch.table());
        let shm = Shm::open(scratch.name()).unwrap();
        let alone = Alone::open(&shm, "test it").unwrap();
        thread::scope(|scope| {
            let other = scope.spawn(|| scratch.table().find(&1).unwrap());
            // However long the other thread tries, it must not let strangers in.
            thread::sleep(Duration::from_millis(50));
            let stranger = File::options().read(true).write(true).open(&scratch.0).unwrap();
            let outcome = lock::ofd_lock(stranger.as_fd(), LockKind::Shared, bytes::USE, false).unwrap();
            assert_eq!(outcome, Outcome::Busy);
            drop(alone);
            assert_eq!(other.join().unwrap(), None);
        });
    }
}
