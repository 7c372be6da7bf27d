//! Locks between writers: one protocol for each method, behind one trait.

mod backoff;
mod deadline;
mod futex;
mod local;
mod none;
mod record;
mod waits;
pub(crate) mod word;

use std::time::Duration;

pub(crate) use backoff::Backoff;
pub(crate) use deadline::{Awaited, Bound, BoundedWaits, Deadline, Wait};
pub(crate) use waits::{Since, retract, waited_for, waits_of};
use word::LockWord;

use crate::error::Result;
use crate::layout::method::Locking;
use crate::region::Region;

/// The mode of a lock on a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Against writers.
    Shared,
    /// Against all others.
    Exclusive,
}

/// The state of the owner of a lock word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It lives; the caller waits for it.
    Alive,
    /// It has released the lock, or it was dead and has been recovered; the caller tries again.
    Gone,
    /// It is dead, but a shared lock on its byte prevents its recovery.
    Shielded {
        /// The process that holds the lock, where the kernel reports it.
        reader: Option<u32>,
    },
}

/// Access of a protocol to other writers.
pub(crate) trait Owners {
    /// Returns the object.
    fn region(&self) -> &Region;
    /// Probes the owner of the slot that owns the stripe, and recovers it if it is dead.
    fn take_over(&self, stripe: u32, slot: u32) -> Result<Fate>;
    /// Frees a stripe whose lock word names the caller's slot, though the caller does not hold it: through damage, or left by a
    /// former owner of the slot when the machine stopped.
    fn free_stale(&self, stripe: u32, slot: u32) -> Result<()>;
    /// Probes the owner of a slot that no lock word may name, and recovers it if it is dead.
    fn probe(&self, slot: u32) -> Result<Fate>;
    /// Fails if the slot is that of a group of this very thread, which cannot go on while the thread waits.
    fn check_other_thread(&self, slot: u32) -> Result<()>;
    /// Returns the process id that the owner of the slot noted down.
    fn pid(&self, slot: u32) -> Option<u32>;
}

/// A request for a range of stripes.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// Slot of the requester.
    pub(crate) slot: u32,
    /// The first stripe.
    pub(crate) stripe: u32,
    /// Number of stripes.
    pub(crate) count: u32,
    pub(crate) mode: Mode,
    /// The mode in which it is held already, if it is.
    pub(crate) held: Option<Mode>,
    /// The deadline of the operation.
    pub(crate) deadline: &'a Deadline,
}

impl Request<'_> {
    /// Begins to wait for one of the stripes.
    fn wait_for(&self, owners: &impl Owners, stripe: u32) -> Wait<'_> {
        let meta = owners.region().geometry().meta();
        self.deadline.wait(if stripe == meta { Awaited::Meta } else { Awaited::Stripe(stripe) })
    }

    fn stripes(&self) -> impl Iterator<Item = u32> {
        (0..self.count).map(|number| self.stripe + number)
    }
}

/// A locking method at work.
pub(crate) trait Protocol {
    /// Waits for the stripes. On an error none of them is held (or, for an upgrade, the old mode still is).
    fn acquire(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()>;
    /// Releases the stripes.
    fn release(&self, owners: &impl Owners, request: &Request<'_>);
    /// Leaves the stripes to whoever recovers the slot: their words go on naming it, but this process holds nothing else of them.
    fn abandon(&self, _: &impl Owners, _: &Request<'_>) {}
    /// Returns the mode in which a group locks a stripe for reading.
    fn read_mode(&self) -> Mode;
}

/// The protocol of an object.
pub(crate) enum Locks {
    None(none::NoLocks),
    Record(record::RecordLocks),
    Futex(futex::FutexLocks),
}

impl Locks {
    pub(crate) fn new(method: Locking, room: u32) -> Self {
        match method {
            Locking::None => Locks::None(none::NoLocks),
            Locking::Record => Locks::Record(record::RecordLocks::new(room)),
            Locking::Futex => Locks::Futex(futex::FutexLocks),
        }
    }

    /// Waits until this thread may start a group, where only one at a time can run in a process.
    #[inline(always)]
    pub(crate) fn enter_group(&self, owners: &impl Owners, slot: u32, deadline: &Deadline) -> Result<()> {
        match self {
            Locks::Record(locks) => locks.enter_group(owners, slot, deadline),
            Locks::None(_) | Locks::Futex(_) => Ok(()),
        }
    }

    /// Ends what `enter_group` began.
    #[inline(always)]
    pub(crate) fn leave_group(&self, slot: u32) {
        if let Locks::Record(locks) = self {
            locks.leave_group(slot);
        }
    }
}

impl Protocol for Locks {
    // Calls that are not inlined get a copy, so that the request itself can stay in registers.
    #[inline(always)]
    fn acquire(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        match self {
            Locks::Futex(locks) => locks.acquire(owners, request),
            Locks::None(locks) => locks.acquire(owners, &request.clone()),
            Locks::Record(locks) => locks.acquire(owners, &request.clone()),
        }
    }
    #[inline(always)]
    fn release(&self, owners: &impl Owners, request: &Request<'_>) {
        match self {
            Locks::Futex(locks) => locks.release(owners, request),
            Locks::None(locks) => locks.release(owners, &request.clone()),
            Locks::Record(locks) => locks.release(owners, &request.clone()),
        }
    }
    fn abandon(&self, owners: &impl Owners, request: &Request<'_>) {
        match self {
            Locks::None(locks) => locks.abandon(owners, request),
            Locks::Record(locks) => locks.abandon(owners, request),
            Locks::Futex(locks) => locks.abandon(owners, request),
        }
    }
    fn read_mode(&self) -> Mode {
        match self {
            Locks::None(locks) => locks.read_mode(),
            Locks::Record(locks) => locks.read_mode(),
            Locks::Futex(locks) => locks.read_mode(),
        }
    }
}

/// Takes the stripe with that word under [`Locking::Futex`] if it is free, or soon becomes so. Returns whether it did.
#[inline(always)]
pub(crate) fn take(word: LockWord<'_>, slot: u32) -> bool {
    word.try_take(slot) || futex::spin(word, slot)
}

/// Gives back the stripe with that word, which was taken by [`take`].
#[inline(always)]
pub(crate) fn give_back(word: LockWord<'_>) {
    futex::release_word(word);
}

/// Returns the lock word of a stripe.
#[inline]
pub(crate) fn word_of(region: &Region, stripe: u32) -> LockWord<'_> {
    LockWord(region.field32(region.geometry().stripe(stripe).lock()))
}

/// Returns the owner that a lock word names, checked.
fn owner_of(region: &Region, stripe: u32) -> Result<Option<u32>> {
    let place = region.geometry().stripe(stripe).lock();
    match word_of(region, stripe).load().owner() {
        Some(slot) if slot >= region.geometry().slots => {
            Err(region.corrupt(place.bytes(), "a lock word names an owner that cannot exist"))
        }
        owner => Ok(owner),
    }
}

/// Waits until nobody but the requester is marked as a writer of the stripe: where this process has the kernel's lock, a mark
/// is that of a dead writer, or of one that is about to clear it.
fn wait_for_mark(owners: &impl Owners, request: &Request<'_>, stripe: u32) -> Result<()> {
    let mut wait = request.wait_for(owners, stripe).bounded(Bound::Marks);
    let mut backoff = Backoff::new(Duration::from_micros(20), Duration::from_millis(5));
    let mut is_first = true;
    loop {
        match owner_of(owners.region(), stripe)? {
            None => return Ok(()),
            Some(owner) if owner == request.slot => owners.free_stale(stripe, owner)?,
            // Words that contradict each other may be reported as gone again and again.
            Some(owner) => {
                owners.check_other_thread(owner)?;
                let fate = owners.take_over(stripe, owner)?;
                wait.note(fate);
                wait.check(owners, Some(owner))?;
                if fate != Fate::Gone || !is_first {
                    backoff.pause(&wait);
                }
                is_first = false;
            }
        }
    }
}
