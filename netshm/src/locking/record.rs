//! Record locks of the kernel (`fcntl`): one byte for each stripe, far above any data.
//!
//! The kernel sees a process as one owner, so a lock between its threads comes first. A lock dies with its holder, so
//! the mark in the stripe's lock word shows whether a writer left something to undo.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::local::LocalLocks;
use super::waits::{self, Manner, Rings, Seeker};
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
        self.local.lock(owners, self.group, slot, || Ok(()), || deadline.wait(Awaited::Group))
    }

    pub(crate) fn leave_group(&self, slot: u32) {
        self.local.unlock(self.group, slot);
    }

    fn lock_locally(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        for stripe in request.stripes() {
            if !self.local.try_lock(stripe, request.slot)
                && let Err(error) = self.wait_locally(owners, request, stripe)
            {
                self.unlock_locally(request.stripe..stripe, request.slot);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits for another thread of this process, and looks for rings that lead through other processes.
    #[cold]
    fn wait_locally(&self, owners: &impl Owners, request: &Request<'_>, stripe: u32) -> Result<()> {
        let missing = request.stripe..request.stripe + request.count;
        let manner = self.manner(request, &missing, true);
        waits::announced(owners.region(), request.slot, stripe, manner, |watched| {
            let holds = |stripe| self.holds(stripe, &missing, request.slot);
            let seeker = Seeker { slot: request.slot, stripe, mode: request.mode, holds: &holds };
            let mut rings = Rings::default();
            let look = || if watched { rings.look(owners, &seeker).map(drop) } else { Ok(()) };
            self.local.lock(owners, stripe, request.slot, look, || request.wait_for(owners, stripe))
        })
    }

    /// Returns whether this process holds a stripe for `slot`, and has not only turned up for it.
    fn holds(&self, stripe: u32, missing: &Range<u32>, slot: u32) -> bool {
        !missing.contains(&stripe) && self.local.is_held_by(stripe, slot)
    }

    fn unlock_locally(&self, stripes: impl Iterator<Item = u32>, slot: u32) {
        for stripe in stripes {
            self.local.unlock(stripe, slot);
        }
    }

    /// Takes the kernel's locks, and marks what is going to be changed. Several stripes are taken by one call if they are all free.
    #[inline]
    fn lock_in_kernel(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        match self.try_in_kernel(owners, request, false)? {
            Outcome::Locked => self.mark(owners, request),
            _ => self.lock_one_by_one(owners, request),
        }
    }

    /// Takes the kernel's locks of stripes that are not all free. Waiting in one call would end only when nobody has any of them, perhaps
    /// never; so they are waited for one after the other, and kept meanwhile. They are marked at once: who waits for one of them finds
    /// a ring by its mark.
    #[cold]
    fn lock_one_by_one(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        let _waits = self.local.wait_in_kernel(request.slot);
        for stripe in request.stripes() {
            // The rest has only been turned up for itself so far.
            let missing = if request.held.is_none() { stripe..request.stripe + request.count } else { 0..0 };
            let one = Request { stripe, count: 1, ..request.clone() };
            // What fails here fails again there.
            let is_free = request.count > 1 && matches!(self.try_in_kernel(owners, &one, false), Ok(Outcome::Locked));
            let locked = if is_free { Ok(()) } else { self.wait_in_kernel(owners, &one, missing) };
            if let Err(error) = locked.and_then(|()| self.mark(owners, &one)) {
                if stripe > request.stripe {
                    let taken = Request { count: stripe - request.stripe, ..request.clone() };
                    self.unmark(owners, &taken);
                    self.unlock_in_kernel(owners, &taken);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Marks stripes whose kernel locks are held, if they are going to be changed, when nobody else's mark is left there. If that fails,
    /// the locks are given up, but those that were held before.
    #[inline]
    fn mark(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        for stripe in request.stripes() {
            if word_of(owners.region(), stripe).load().owner().is_some()
                && let Err(error) = wait_for_mark(owners, request, stripe)
            {
                if request.held.is_none() {
                    self.unlock_in_kernel(owners, request);
                }
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

    #[inline]
    fn unmark(&self, owners: &impl Owners, request: &Request<'_>) {
        if request.mode == Mode::Exclusive {
            for stripe in request.stripes() {
                let (Released::Quiet | Released::Sleepers) = word_of(owners.region(), stripe).release();
            }
        }
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

    /// Waits for one stripe, while this process does not have those of `missing` either.
    fn wait_in_kernel(&self, owners: &impl Owners, request: &Request<'_>, missing: Range<u32>) -> Result<()> {
        let turn = self.take_turn(request);
        let manner = self.manner(request, &missing, turn.is_none());
        waits::announced(owners.region(), request.slot, request.stripe, manner, |watched| {
            self.wait_announced(owners, request, &missing, turn, watched)
        })
    }

    /// Returns how a wait is to be noted, in which this process has all that the local locks say but the `missing` stripes.
    fn manner(&self, request: &Request<'_>, missing: &Range<u32>, looks: bool) -> Manner {
        let mut held = self.local.held_by(request.slot);
        held.retain(|stripe| !missing.contains(stripe));
        Manner::new(request.mode, looks, &held)
    }

    /// Takes the turn to wait in the kernel, unless the wait has a limit.
    fn take_turn(&self, request: &Request<'_>) -> Option<MutexGuard<'_, ()>> {
        if request.deadline.is_limited() { None } else { self.turn.try_lock().ok() }
    }

    /// Waits in the kernel, or here if the wait has a limit or another thread of this process waits there. Then the kernel knows
    /// nothing of the wait, and rings are looked for here. So they are after the kernel has seen one: to the kernel a process is one
    /// owner, and what a thread waits for keeps nobody from what another thread of its process holds.
    fn wait_announced<'a>(
        &'a self,
        owners: &impl Owners,
        request: &Request<'_>,
        missing: &Range<u32>,
        mut turn: Option<MutexGuard<'a, ()>>,
        watched: bool,
    ) -> Result<()> {
        let (region, stripe) = (owners.region(), request.stripe);
        let holds = |stripe| self.holds(stripe, missing, request.slot);
        let seeker = Seeker { slot: request.slot, stripe, mode: request.mode, holds: &holds };
        let mut wait = request.wait_for(owners, stripe);
        let mut may_wait_in_kernel = true;
        let mut rings = Rings::default();
        let mut backoff = Backoff::new(Duration::from_micros(10), Duration::from_millis(2));
        loop {
            if turn.is_none() && may_wait_in_kernel {
                turn = self.take_turn(request);
                if watched && turn.is_some() {
                    waits::announce(region, request.slot, stripe, self.manner(request, missing, false));
                }
            }
            let watch = Watch::start();
            let outcome = self.try_in_kernel(owners, request, turn.is_some())?;
            watch.report(region.object().name(), stripe);
            match outcome {
                Outcome::Locked => return Ok(()),
                Outcome::Deadlock => {
                    (turn, may_wait_in_kernel) = (None, false);
                    if watched {
                        waits::announce(region, request.slot, stripe, self.manner(request, missing, true));
                        rings.look(owners, &seeker)?;
                        if !waits::tells_all(region) {
                            let detail = format!("the kernel found a ring of processes around stripe {stripe}");
                            return Err(Error::Deadlock { object: region.name(), detail });
                        }
                    }
                }
                Outcome::Busy if backoff.is_too_early() => {}
                Outcome::Busy => {
                    let holder = word_of(region, stripe).load().owner();
                    let known = holder.filter(|slot| *slot < region.geometry().slots);
                    wait.check(owners, known).map_err(|error| rings.explain(error))?;
                    if watched {
                        rings.look(owners, &seeker)?;
                        // Not all of those who hold it for reading are known.
                        let may_be_ring = holder.is_none() && seeker.is_awaited(region);
                        wait.set_bound(may_be_ring.then_some(Bound::Readers));
                    }
                    backoff.pause(&wait);
                }
            }
        }
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
        let locked = self.lock_in_kernel(owners, request);
        if locked.is_err() && request.held.is_none() {
            self.unlock_locally(request.stripes(), request.slot);
        }
        locked
    }

    fn release(&self, owners: &impl Owners, request: &Request<'_>) {
        self.unmark(owners, request);
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
