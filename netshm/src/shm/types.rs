//! The types as which an object is open: one lock byte for each, shared by all processes that have a handle of that type.
//!
//! So a process that is about to remove a member learns whether anybody has it open.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Object;
use crate::os::lock::{self, LockKind, bytes};

/// The handles of one object in this process, counted by the bytes of their types.
#[derive(Debug, Default)]
pub(super) struct Types(Mutex<BTreeMap<u64, usize>>);

impl Types {
    fn counts(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a member open as one type.
#[derive(Debug)]
pub(crate) struct TypeClaim {
    object: Arc<Object>,
    /// The lock byte of the type.
    byte: u64,
}

impl TypeClaim {
    /// Returns the lock bytes of a member, by its id.
    fn bytes_of(member: u64) -> Range<u64> {
        let first = member % bytes::MEMBERS * bytes::TYPES;
        first..first + bytes::TYPES
    }

    fn byte_of(member: u64, hash: u64) -> u64 {
        Self::bytes_of(member).start + hash % bytes::TYPES
    }

    /// Returns whether anybody has the member open, as whatever type. The caller keeps others from opening it meanwhile.
    pub(crate) fn is_open(object: &Object, member: u64) -> io::Result<bool> {
        let bytes = Self::bytes_of(member);
        if object.types.counts().range(bytes.clone()).next().is_some() {
            return Ok(true);
        }
        lock::ofd_any_held_elsewhere(object.lock_fd(), bytes::TYPE + bytes.start, bytes::TYPES)
    }

    /// Counts another handle of a type that this process has the object open as; `None` if it has not.
    pub(crate) fn again(object: &Arc<Object>, member: u64, hash: u64) -> Option<TypeClaim> {
        let byte = Self::byte_of(member, hash);
        *object.types.counts().get_mut(&byte)? += 1;
        Some(TypeClaim { object: object.clone(), byte })
    }

    /// Counts a handle of a type. The caller keeps others from changing the stored type meanwhile.
    pub(crate) fn new(object: &Arc<Object>, member: u64, hash: u64) -> io::Result<TypeClaim> {
        let byte = Self::byte_of(member, hash);
        let mut counts = object.types.counts();
        // Nobody locks it exclusively.
        lock::ofd_lock(object.lock_fd(), LockKind::Shared, bytes::TYPE + byte, false).map(drop)?;
        *counts.entry(byte).or_insert(0) += 1;
        drop(counts);
        Ok(TypeClaim { object: object.clone(), byte })
    }
}

impl Clone for TypeClaim {
    fn clone(&self) -> Self {
        // In a forked child nothing is counted any more, as in `drop`.
        if self.object.check_fork().is_ok() {
            *self.object.types.counts().entry(self.byte).or_insert(0) += 1;
        }
        TypeClaim { object: self.object.clone(), byte: self.byte }
    }
}

impl Drop for TypeClaim {
    fn drop(&mut self) {
        // In a forked child the lock descriptor is closed, and another thread of the parent may have held the mutex.
        if self.object.check_fork().is_err() {
            return;
        }
        let mut counts = self.object.types.counts();
        let Some(count) = counts.get_mut(&self.byte) else { return };
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.byte);
            // If unlocking fails, closing the descriptor unlocks.
            let _ = lock::ofd_unlock(self.object.lock_fd(), bytes::TYPE + self.byte);
        }
    }
}
