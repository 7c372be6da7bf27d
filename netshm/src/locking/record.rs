//! Record locks of the kernel (`fcntl`): one byte for each stripe, far above any data.
//!
//! The kernel sees a process as one owner, so a lock between its threads comes first. A lock dies with its holder, so
//! the mark in the stripe's lock word shows whether a writer left something to undo.

use std::sync::Mutex;
use std::time::Duration;

use super::local::LocalLocks;
use super::waits::{self, Look, Rings};
use super::word::Released;
use super::{Awaited, Backoff, Bound, Deadline, Mode, Owners, Protocol, Request, wait_for_mark, word_of};
use crate::error::{Error, Result};
use crate::events::Watch;
use crate::os::lock::{self, LockKind, Outcome, bytes};

/// The protocol of [`Locking::Record`](crate::Locking::Record).
pub(crate) struct RecordLocks {
    /// One for each stripe, the meta stripe among them, and one for the group of this process.
    local: LocalLocks,
    group: u32,
    /// The turn to wait in the kernel: the kernel's deadlock detection follows only one wait of each process, so a second one
    /// would hide the first.
    turn: Mutex<()>,
}

impl RecordLocks {
    /// Returns the state for an object that has room for `room` stripes beside the meta stripe.
    pub(crate) fn new(room: u32) -> Self {
        RecordLocks { local: LocalLocks::new(room + 1, 1), group: room + 1, turn: Mutex::new(()) }
    }

    pub(crate) fn enter_group(&self, owners: &impl Owners, slot: u32, deadline: &Deadline) -> Result<()> {
        self.local.lock(owners, self.group, slot, || deadline.wait(Awaited::Group))
    }

    pub(crate) fn leave_group(&self, slot: u32) {
        self.local.unlock(self.group, slot);
    }

    fn lock_locally(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        for stripe in request.stripes() {
            let wait = || request.wait_for(owners, stripe);
            if let Err(error) = self.local.lock(owners, stripe, request.slot, wait) {
                self.unlock_locally(request.stripe..stripe, request.slot);
                return Err(error);
            }
        }
        Ok(())
    }

    fn unlock_locally(&self, stripes: impl Iterator<Item = u32>, slot: u32) {
        for stripe in stripes {
            self.local.unlock(stripe, slot);
        }
    }

    /// Takes the kernel's locks. Several stripes are taken by one call if they are all free. Waiting in such a call would end
    /// only when nobody has any of them, perhaps never; so they are waited for one after the other, and kept meanwhile.
    fn lock_in_kernel(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        if self.try_in_kernel(owners, request, false)? == Outcome::Locked {
            return Ok(());
        }
        let _waits = self.local.wait_in_kernel(request.slot);
        for stripe in request.stripes() {
            if let Err(error) = self.wait_in_kernel(owners, &Request { stripe, count: 1, ..request.clone() }) {
                if stripe > request.stripe {
                    self.unlock_in_kernel(owners, &Request { count: stripe - request.stripe, ..request.clone() });
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn try_in_kernel(&self, owners: &impl Owners, request: &Request<'_>, wait: bool) -> Result<Outcome> {
        let region = owners.region();
        let kind = if request.mode == Mode::Shared { LockKind::Shared } else { LockKind::Exclusive };
        let (start, length) = (bytes::STRIPE + u64::from(request.stripe), u64::from(request.count));
        lock::record_lock(region.object().fd(), kind, start, length, wait).map_err(|source| Error::Io {
            object: region.name(),
            doing: "lock",
            source,
        })
    }

    fn wait_in_kernel(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        waits::announced(owners.region(), request.slot, request.stripe, |watched| {
            self.wait_announced(owners, request, watched)
        })
    }

    /// Waits in the kernel, or here if the wait has a limit or another thread of this process waits there. Then the kernel knows
    /// nothing of the wait, and rings are looked for here.
    fn wait_announced(&self, owners: &impl Owners, request: &Request<'_>, watched: bool) -> Result<()> {
        let (region, stripe) = (owners.region(), request.stripe);
        let mut wait = request.wait_for(owners, stripe);
        let mut rings = Rings::default();
        let mut backoff = Backoff::new(Duration::from_micros(10), Duration::from_millis(2));
        loop {
            let turn = if request.deadline.is_limited() { None } else { self.turn.try_lock().ok() };
            let watch = Watch::start();
            let outcome = self.try_in_kernel(owners, request, turn.is_some())?;
            drop(turn);
            watch.report(region.object().name(), stripe);
            match outcome {
                Outcome::Locked => return Ok(()),
                Outcome::Deadlock => {
                    let detail = format!("the kernel found a ring of processes around stripe {stripe}");
                    return Err(Error::Deadlock { object: region.name(), detail });
                }
                Outcome::Busy if backoff.is_too_early() => {}
                Outcome::Busy => {
                    let holder = word_of(region, stripe).load().owner();
                    if watched {
                        if let Look::Recovered = rings.look(owners, request.slot, stripe)? {
                            continue;
                        }
                        // Those who hold it for reading are not known.
                        let may_be_ring = holder.is_none() && self.is_awaited(owners, request);
                        wait.set_bound(may_be_ring.then_some(Bound::Readers));
                    }
                    wait.check(owners, holder.filter(|slot| *slot < region.geometry().slots))?;
                    backoff.pause(&wait);
                }
            }
        }
    }

    /// Returns whether others wait for a stripe that the requester holds: not for one that it has only turned up for itself.
    fn is_awaited(&self, owners: &impl Owners, request: &Request<'_>) -> bool {
        let is_held = |stripe| stripe != request.stripe || request.held.is_some();
        waits::is_any_awaited(owners.region(), |stripe| is_held(stripe) && self.local.is_held_by(stripe, request.slot))
    }

    fn unlock_in_kernel(&self, owners: &impl Owners, request: &Request<'_>) {
        let object = owners.region().object();
        let (start, length) = (bytes::STRIPE + u64::from(request.stripe), u64::from(request.count));
        // Unlocking fails only for want of kernel memory to split a range; the lock then stays until the range's end.
        let _ = lock::record_unlock(object.fd(), start, length);
    }
}

impl Protocol for RecordLocks {
    fn acquire(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        if request.held.is_none() {
            self.lock_locally(owners, request)?;
        }
        let undo = |held: Option<Mode>| {
            if held.is_none() {
                self.unlock_locally(request.stripes(), request.slot);
            }
        };
        if let Err(error) = self.lock_in_kernel(owners, request) {
            undo(request.held);
            return Err(error);
        }
        for stripe in request.stripes() {
            let word = word_of(owners.region(), stripe);
            if word.load().owner().is_some()
                && let Err(error) = wait_for_mark(owners, request, stripe)
            {
                if request.held.is_none() {
                    self.unlock_in_kernel(owners, request);
                }
                undo(request.held);
                return Err(error);
            }
        }
        if request.mode == Mode::Exclusive {
            for stripe in request.stripes() {
                word_of(owners.region(), stripe).mark(request.slot);
            }
        }
        Ok(())
    }

    fn release(&self, owners: &impl Owners, request: &Request<'_>) {
        if request.mode == Mode::Exclusive {
            for stripe in request.stripes() {
                let (Released::Quiet | Released::Sleepers) = word_of(owners.region(), stripe).release();
            }
        }
        self.abandon(owners, request);
    }

    fn abandon(&self, owners: &impl Owners, request: &Request<'_>) {
        self.unlock_in_kernel(owners, request);
        self.unlock_locally(request.stripes(), request.slot);
    }

    fn read_mode(&self) -> Mode {
        Mode::Shared
    }
}
