//! An object that no other process uses, for repairs.

use std::sync::MutexGuard;

use super::catalogue::{Catalogue, Member};
use super::header::Header;
use super::initialising::Initialising;
use super::{CALLING, attached, manage_guard};
use crate::error::{Error, Result};
use crate::layout::header as at;
use crate::os::file;
use crate::region::Region;
use crate::shm::{Object, Shm};
use crate::store::{Limits, Store, group};

/// An object opened exclusively by this process, damaged or not.
pub(crate) struct Alone<'a> {
    pub(crate) store: Store,
    pub(crate) header: Header,
    lock: Initialising<'a>,
    /// Keeps other threads of this process away: the kernel takes the process for one owner of its locks.
    _guard: MutexGuard<'a, ()>,
}

/// Fails in code of the user that runs while this thread has the object alone, which would wait for itself.
pub(super) fn check_reentrant(object: &Object) -> Result<()> {
    let is_calling = CALLING.with_borrow(|calling| calling.contains(&object.identity()));
    if is_calling { Err(Error::Reentrant { object: object.name().clone() }) } else { Ok(()) }
}

impl<'a> Alone<'a> {
    /// Runs code of the user, which may use other objects.
    pub(crate) fn calling<R>(&self, code: impl FnOnce() -> R) -> R {
        struct Calling;
        impl Drop for Calling {
            fn drop(&mut self) {
                CALLING.with_borrow_mut(|calling| {
                    calling.pop();
                    if calling.is_empty() {
                        **calling = Vec::new();
                    }
                });
            }
        }
        CALLING.with_borrow_mut(|calling| calling.push(self.lock.object.identity()));
        let _calling = Calling;
        code()
    }

    /// Opens the object if nobody else has it open. What dead writers left is undone as far as their logs are sound.
    pub(crate) fn open(shm: &'a Shm, wanted: &'static str) -> Result<Self> {
        let object = shm.object();
        object.check_fork()?;
        check_reentrant(object)?;
        let deadline = group::own_deadline(Limits::default());
        let guard = manage_guard(object, &deadline)?;
        if attached(object).is_some() {
            return Err(Error::InUse { object: object.name().clone(), wanted });
        }
        let lock = Initialising::lock(shm, deadline)?;
        let claim = lock.use_alone(wanted)?;
        let header = Header::read(object)?;
        let region = Region::map(object.clone(), header.geometry)?;
        let store = Store::new(region, claim, &header);
        // What cannot be undone rightly is left as it is.
        match store.check_logs(false).and_then(|()| store.recover_or_reset(&lock.deadline)) {
            Ok(()) | Err(Error::Corrupt { .. }) => Ok(Alone { store, header, lock, _guard: guard }),
            Err(error) => Err(error),
        }
    }

    /// Notes that another object has taken the place of this one. Whoever waits to open it looks at its name as well, so
    /// nothing depends on whether this can be written.
    pub(crate) fn mark_replaced(&self) {
        let _ = file::write_at(self.lock.object.fd(), &at::REPLACED.to_ne_bytes(), at::STATE_AT.bytes());
    }

    /// Returns the members that have not been removed.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        let catalogue = Catalogue::read(self.lock.object, &self.header)?;
        Ok(catalogue.members.into_iter().filter(|member| !member.is_leaving).collect())
    }
}
