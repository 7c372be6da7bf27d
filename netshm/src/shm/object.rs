//! What all handles of an object in a process share.

use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use super::claims::Claims;
use super::registry::{self, Access};
use super::types::Types;
use crate::error::{Error, Result};
use crate::name::ShmName;
use crate::os::file::{self, Identity};
use crate::os::fork;
use crate::os::lock::{self, Lockable};
use crate::os::lock_fd::LockFd;

/// The open descriptors of one object for one kind of access.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// For everything but OFD locks.
    pub(super) data: OwnedFd,
    /// For OFD locks, which live as long as its open file description. `None` if `data` is inherited, and the file cannot be
    /// opened again: then locks belong to the process.
    pub(super) lock: Option<LockFd>,
    /// True if they may stand for another file than writers change: see [`registry`].
    pub(super) may_be_stale: bool,
}

impl Descriptors {
    /// Returns whether both still stand for the file.
    pub(super) fn are_intact(&self, file: Identity) -> bool {
        file::is_intact(&self.data, file) && self.lock.as_ref().is_none_or(|lock| lock.is_intact(file))
    }

    /// Returns what bytes are locked through.
    fn lockable(&self) -> Lockable<'_> {
        match &self.lock {
            Some(lock) => lock.as_fd().into(),
            None => Lockable::of_process(self.data.as_fd()),
        }
    }

    /// Releases every lock, but keeps the descriptors.
    pub(super) fn unlock_all(&self) {
        // It cannot fail on a descriptor that is open, except for want of kernel memory.
        let _ = lock::ofd_unlock_all(self.lockable());
    }

    /// Closes them, except numbers that stand for other files by now.
    pub(super) fn close_intact(self, file: Identity) {
        file::close_intact(self.data, file);
        if let Some(lock) = self.lock {
            lock.close_intact(file);
        }
    }

    /// Gives the descriptors up without closing them: in a forked child, where the numbers may belong to other files.
    fn leak(self) {
        std::mem::forget(self.data);
        if let Some(lock) = self.lock {
            lock.leak();
        }
    }
}

/// An object as this process has it open; there is one for each (inode, kind of access).
///
/// Its descriptors are not closed before the last one of the same inode is gone: see [`registry`].
#[derive(Debug)]
pub(crate) struct Object {
    /// The name by which it was first opened, for messages.
    name: Arc<str>,
    identity: Identity,
    access: Access,
    generation: u64,
    /// Always there until `drop`.
    descriptors: Option<Descriptors>,
    store_slot: Mutex<Option<Weak<dyn Any + Send + Sync>>>,
    pub(super) claims: Claims,
    pub(super) types: Types,
    manage: Arc<Mutex<()>>,
    /// The name under which it was created, until something has been stored in it.
    created: Mutex<Option<ShmName>>,
}

impl Object {
    pub(super) fn new(
        name: &ShmName,
        identity: Identity,
        access: Access,
        descriptors: Descriptors,
        manage: Arc<Mutex<()>>,
    ) -> Object {
        Object {
            name: name.to_string().into(),
            identity,
            access,
            generation: fork::generation(),
            descriptors: Some(descriptors),
            store_slot: Mutex::new(None),
            claims: Claims::default(),
            types: Types::default(),
            manage,
            created: Mutex::new(None),
        }
    }

    /// Notes that this process has created the file.
    pub(super) fn note_created(&self, name: &ShmName) {
        *self.created.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.clone());
    }

    /// Returns whether this process has created the file, and not yet stored anything in it.
    pub(crate) fn is_created(&self) -> bool {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Takes the name under which this process has created the file; `None` from the second call on.
    pub(crate) fn take_created(&self) -> Option<ShmName> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the text of the name by which the object was first opened; for messages.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    /// Returns whether the descriptors are open for reading only.
    pub(crate) fn read_only(&self) -> bool {
        self.access == Access::ReadOnly
    }

    /// Returns the fork generation of the process that opened it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Checks that this is the process that opened the object.
    ///
    /// # Errors
    /// [`Error::Forked`] in a child that was forked after the object had been opened.
    #[inline]
    pub(crate) fn check_fork(&self) -> Result<()> {
        if fork::is_current(self.generation) { Ok(()) } else { Err(Error::Forked { object: self.name.clone() }) }
    }

    /// Checks that the descriptors still stand for the file.
    ///
    /// # Errors
    /// [`Error::DescriptorLost`] if the program has closed a descriptor of the object. Called before locks are relied upon, and
    /// before the file grows.
    #[cold]
    pub(crate) fn check_descriptors(&self) -> Result<()> {
        if self.descriptors().are_intact(self.identity) {
            Ok(())
        } else {
            Err(Error::DescriptorLost { object: self.name.clone() })
        }
    }

    /// Returns whether the descriptor that forked children inherit still stands for the file.
    pub(super) fn is_data_intact(&self) -> bool {
        file::is_intact(&self.descriptors().data, self.identity)
    }

    /// Returns the descriptor for `fstat`, allocation, mappings and record locks. In a forked child it still stands for the
    /// same file.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.descriptors().data.as_fd()
    }

    /// Returns the descriptor for OFD locks, which is never mapped. Read-only objects can take shared locks. In a forked child
    /// it is closed.
    pub(crate) fn lock_fd(&self) -> Lockable<'_> {
        self.descriptors().lockable()
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    /// Returns the place for what the layer above shares among the handles of this object (type-erased, since `shm` does not
    /// know it).
    pub(crate) fn store_slot(&self) -> &Mutex<Option<Weak<dyn Any + Send + Sync>>> {
        &self.store_slot
    }

    /// Keeps other threads of this process, whatever their kind of access, from managing the same inode meanwhile.
    pub(crate) fn manage_guard(&self) -> MutexGuard<'_, ()> {
        self.manage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the [`manage_guard`](Self::manage_guard) without waiting: `None` if another thread has it.
    pub(crate) fn try_manage_guard(&self) -> Option<MutexGuard<'_, ()>> {
        match self.manage.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn descriptors(&self) -> &Descriptors {
        self.descriptors.as_ref().expect("present until drop")
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let Some(descriptors) = self.descriptors.take() else { return };
        if fork::is_current(self.generation) {
            registry::release(self.identity, self.access, descriptors);
        } else {
            descriptors.leak();
        }
    }
}
