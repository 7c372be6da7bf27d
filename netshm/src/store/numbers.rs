//! Process numbers: who writes to the object, and whether it still lives.
//!
//! A writing process owns one number: a lock (OFD) on the number's byte, which the kernel drops when the process dies.
//! So no process id is ever trusted, neither across containers nor after one has been used again.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::{Mutex, PoisonError};

use super::Store;
use crate::layout::PROCESSES;
use crate::os::lock::{self, Kind, Outcome, bytes};
use crate::{Error, Result};

/// This process's number in one object; 0 until it writes.
#[derive(Default)]
pub(crate) struct Numbers {
    mine: AtomicU32,
    taking: Mutex<()>,
}

impl Store {
    /// The number of this process, taken before its first write.
    #[inline]
    pub(super) fn number(&self) -> Result<u32> {
        match self.numbers.mine.load(Acquire) {
            0 => self.take_number(),
            number => Ok(number),
        }
    }

    /// The number of this process, if it has one.
    pub(super) fn known_number(&self) -> Option<u32> {
        Some(self.numbers.mine.load(Acquire)).filter(|number| *number != 0)
    }

    #[cold]
    fn take_number(&self) -> Result<u32> {
        if self.region().object().read_only() {
            return Err(Error::ReadOnly { object: self.name(), wanted: "write" });
        }
        let _taking = self.numbers.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = self.known_number() {
            return Ok(number);
        }
        // Numbers that look unused first: each attempt at a byte is a system call.
        for unused in [true, false] {
            for number in 1..=PROCESSES {
                let word = self.field32(self.geometry().process(number));
                if (word.load(Relaxed) == 0) != unused {
                    continue;
                }
                let Some(_turn) = self.recoveries.begin(number) else { continue };
                if !self.lock_number(number)? {
                    continue;
                }
                if let Err(error) = self.recover_number_held(number) {
                    self.unlock_number(number);
                    return Err(error);
                }
                word.store(std::process::id(), SeqCst);
                self.numbers.mine.store(number, Release);
                return Ok(number);
            }
        }
        Err(Error::TooManyWriters { object: self.name(), limit: PROCESSES })
    }

    /// Tries to take the byte of a number.
    pub(super) fn lock_number(&self, number: u32) -> Result<bool> {
        let fd = self.region().object().lock_fd();
        match lock::ofd_lock(fd, Kind::Exclusive, bytes::PROCESS + u64::from(number), false) {
            Ok(outcome) => Ok(outcome == Outcome::Locked),
            Err(source) => Err(Error::Io { object: self.name(), doing: "lock a process number", source }),
        }
    }

    pub(super) fn unlock_number(&self, number: u32) {
        // If the byte cannot be unlocked, it is when the descriptor is closed; until then the number looks alive.
        let _ = lock::ofd_unlock(self.region().object().lock_fd(), bytes::PROCESS + u64::from(number));
    }

    /// Whether the process with that number lives. Not to be asked about this process's own number.
    pub(super) fn lives(&self, number: u32) -> Result<bool> {
        lock::ofd_held_elsewhere(self.region().object().lock_fd(), bytes::PROCESS + u64::from(number))
            .map_err(|source| Error::Io { object: self.name(), doing: "probe a process number", source })
    }
}

impl Drop for Store {
    /// Gives the number back. A slot still owned, by a thread that lost it, leaves the number to be recovered.
    fn drop(&mut self) {
        if self.check_fork().is_err() {
            return;
        }
        if let Some(number) = self.known_number() {
            let geometry = *self.geometry();
            let owned = |slot| self.field32(geometry.slot(slot).owner()).load(Relaxed) == number;
            if !(0..geometry.slots).any(owned) {
                self.field32(geometry.process(number)).store(0, SeqCst);
            }
            self.unlock_number(number);
        }
        let _ = lock::ofd_unlock(self.region().object().lock_fd(), bytes::USE);
    }
}
