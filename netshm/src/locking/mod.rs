//! How writers keep out of each other's way: one protocol for each method, behind one trait.

mod deadline;
mod futex;
mod local;
mod none;
mod record;
mod waits;
pub(crate) mod word;

use std::time::Duration;

pub(crate) use deadline::{Awaited, Bound, Deadline, Wait};
pub(crate) use waits::retract;
use word::LockWord;

use crate::Result;
use crate::layout::method::Locking;
use crate::region::Region;

/// How a stripe is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Against writers.
    Shared,
    /// Against all others.
    Exclusive,
}

/// What became of the owner of a lock word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It lives, and is to be waited for.
    Alive,
    /// It has let go, or it is dead and has been recovered: try again.
    Gone,
    /// It is dead, but somebody's shared lock on its byte keeps it from being recovered.
    Shielded {
        /// The process that holds the lock, where the kernel tells.
        reader: Option<u32>,
    },
}

/// What a protocol needs to know about other writers.
pub(crate) trait Owners {
    /// The object.
    fn region(&self) -> &Region;
    /// Looks whether the slot that owns the stripe has a dead owner, and recovers it then.
    fn take_over(&self, stripe: u32, slot: u32) -> Result<Fate>;
    /// Frees a stripe whose lock word names the caller's slot, though the caller does not hold it: damage, or what a
    /// machine that stopped has left of a former owner of the slot.
    fn free_stale(&self, stripe: u32, slot: u32) -> Result<()>;
    /// The process id that the owner of the slot noted down.
    fn pid(&self, slot: u32) -> Option<u32>;
}

/// A wish for some stripes.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// The slot of who wishes.
    pub(crate) slot: u32,
    /// The first stripe.
    pub(crate) stripe: u32,
    /// How many stripes.
    pub(crate) count: u32,
    pub(crate) mode: Mode,
    /// How it is held already.
    pub(crate) held: Option<Mode>,
    /// How long to wait at most.
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
    /// Lets the stripes go.
    fn release(&self, owners: &impl Owners, request: &Request<'_>);
    /// How a stripe is to be locked for reading in a group.
    fn read_mode(&self) -> Mode;
}

/// The protocol of an object.
pub(crate) enum Locks {
    None(none::NoLocks),
    Record(record::RecordLocks),
    Futex(futex::FutexLocks),
}

impl Locks {
    pub(crate) fn new(method: Locking, stripes: u32) -> Self {
        match method {
            Locking::None => Locks::None(none::NoLocks),
            Locking::Record => Locks::Record(record::RecordLocks::new(stripes)),
            Locking::Futex => Locks::Futex(futex::FutexLocks),
        }
    }

    /// Waits until this thread may start a group, where only one at a time can run in a process.
    pub(crate) fn enter_group(&self, owners: &impl Owners, slot: u32, deadline: &Deadline) -> Result<()> {
        match self {
            Locks::Record(locks) => locks.enter_group(owners, slot, deadline),
            Locks::None(_) | Locks::Futex(_) => Ok(()),
        }
    }

    /// Ends what `enter_group` began.
    pub(crate) fn leave_group(&self, slot: u32) {
        if let Locks::Record(locks) = self {
            locks.leave_group(slot);
        }
    }
}

impl Protocol for Locks {
    // The copies are for calls that are not inlined: the request itself then needs no memory, and costs nothing.
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
    fn read_mode(&self) -> Mode {
        match self {
            Locks::None(locks) => locks.read_mode(),
            Locks::Record(locks) => locks.read_mode(),
            Locks::Futex(locks) => locks.read_mode(),
        }
    }
}

/// The lock word of a stripe.
#[inline]
pub(crate) fn word_of(region: &Region, stripe: u32) -> LockWord<'_> {
    LockWord(region.field32(region.geometry().stripe(stripe).lock()))
}

/// The owner that a lock word names, checked.
fn owner_of(region: &Region, stripe: u32) -> Result<Option<u32>> {
    let place = region.geometry().stripe(stripe).lock();
    match word_of(region, stripe).load().owner() {
        Some(slot) if slot >= region.geometry().slots => {
            Err(region.corrupt(place.0, "a lock word names an owner that cannot exist"))
        }
        owner => Ok(owner),
    }
}

/// Waits until nobody but the requester is marked as a writer of the stripe: a mark in the way of who has the kernel's lock is
/// that of a dead writer, or of one who is about to clear it.
fn wait_for_mark(owners: &impl Owners, request: &Request<'_>, stripe: u32) -> Result<()> {
    let mut wait = request.wait_for(owners, stripe).bounded(Bound::Marks);
    let mut pause = Duration::ZERO;
    loop {
        match owner_of(owners.region(), stripe)? {
            None => return Ok(()),
            Some(owner) if owner == request.slot => owners.free_stale(stripe, owner)?,
            // That it is gone may be said again and again of words that do not fit together.
            Some(owner) => {
                let fate = owners.take_over(stripe, owner)?;
                wait.note(fate);
                wait.check(owners, Some(owner))?;
                if fate != Fate::Gone || !pause.is_zero() {
                    std::thread::sleep(wait.pause(pause));
                }
                pause = (pause * 2).clamp(Duration::from_micros(20), Duration::from_millis(5));
            }
        }
    }
}
