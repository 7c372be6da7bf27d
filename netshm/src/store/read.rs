//! Optimistic reads: copy or decode without a lock, then validate that no writer was at work.
//!
//! They rely on the stripe's [`sequence`](crate::sequence), a seqlock. It stores nothing to shared memory and makes no system
//! call, unless a writer is in flight in its stripe and stays there; then it waits for the writer, recovers it if it is dead,
//! and at last takes the lock.

use std::hint::spin_loop;
use std::time::Duration;

use super::group;
use super::{Limits, Store};
use crate::error::{Error, Result};
use crate::layout::StripeAt;
use crate::locking::{Awaited, Bound, Deadline, Fate, Owners, Wait, word_of};
use crate::region::{Inconclusive, Region, StripeFields};
use crate::sequence::{Sequence, Stamp};

/// Readings that a writer may spoil before the lock is taken.
const ATTEMPTS: u32 = 64;
/// Looks at an odd sequence before the reader sleeps.
const SPINS: u32 = 200;
/// Sleeps before the lock is taken.
const NAPS: u32 = 40;
/// Sleeps of a reader that finds no owner, before it concludes that nobody will end the change.
const READ_ONLY_NAPS: u32 = 2000;

/// One stripe as a reader sees it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) store: &'a Store,
    /// What tells a decoder whether the words it reads may still be trusted; `None` under a lock, where they may.
    pub(crate) stamp: Option<Stamp<'a>>,
}

impl<'a> View<'a> {
    /// Under a lock.
    pub(crate) fn locked(store: &'a Store) -> Self {
        View { store, stamp: None }
    }

    pub(crate) fn region(&self) -> &'a Region {
        self.store.region()
    }

    /// Returns whether nothing has changed since the reading began.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        self.stamp.is_none_or(Stamp::holds)
    }
}

/// Reads a stripe: outside a group without a lock, inside one under the group's locks.
#[inline]
pub(crate) fn read<R>(
    store: &Store,
    limits: Limits,
    stripe: u32,
    read: impl Fn(View<'_>) -> Result<R> + Copy,
) -> Result<R> {
    store.check_fork()?;
    if group::open() > 0 {
        let in_group = group::in_group(store, |change| {
            change.read_stripe(stripe)?;
            read(View::locked(change.store()))
        });
        if let Some(outcome) = in_group {
            return outcome;
        }
    }
    keep_trying(store, &group::own_deadline(limits), stripe, read)
}

/// A reading without a lock, if nothing stands against it: no group, no writer, no damage. Most readings are that simple,
/// and the shorter their way, the more of them the processor has under way at once.
#[derive(Clone, Copy)]
pub(crate) struct OptimisticRead<'a>(&'a Store);

impl<'a> OptimisticRead<'a> {
    /// No group may be open, this must be the process that opened the object, and the stored type must be known.
    #[inline(always)]
    pub(crate) fn at(store: &'a Store) -> Option<Self> {
        (group::open() == 0 && store.is_ready()).then_some(OptimisticRead(store))
    }

    /// Returns what `look` finds in a stripe.
    #[inline(always)]
    pub(crate) fn read<R>(
        self,
        stripe: StripeAt,
        look: impl FnOnce(View<'a>, StripeFields<'a>) -> Result<R, Inconclusive>,
    ) -> Option<R> {
        let store = self.0;
        let fields = store.region().stripe(stripe);
        let stamp = Sequence(fields.field(fields.at().sequence())).begin_reading()?;
        let result = look(View { store, stamp: Some(stamp) }, fields).ok()?;
        stamp.holds().then_some(result)
    }
}

enum Attempt<R> {
    Done(Result<R>),
    /// A writer came in between.
    Spoiled,
    /// A writer is there.
    Busy,
}

fn attempt<R>(store: &Store, stripe: u32, read: impl Fn(View<'_>) -> Result<R>) -> Attempt<R> {
    let Some(stamp) = store.sequence(stripe).begin_reading() else { return Attempt::Busy };
    let result = read(View { store, stamp: Some(stamp) });
    if stamp.holds() { Attempt::Done(result) } else { Attempt::Spoiled }
}

/// Reads a stripe again until no writer has spoiled it.
pub(super) fn keep_trying<R>(
    store: &Store,
    deadline: &Deadline,
    stripe: u32,
    read: impl Fn(View<'_>) -> Result<R> + Copy,
) -> Result<R> {
    let writable = !store.region().object().read_only();
    let mut wait = None;
    let (mut spins, mut naps, mut attempts) = (0, 0, 0);
    loop {
        match attempt(store, stripe, read) {
            Attempt::Done(result) => return result,
            Attempt::Spoiled => {
                attempts += 1;
                if attempts > ATTEMPTS {
                    if writable {
                        return read_locked(store, deadline, stripe, read);
                    }
                    wait.get_or_insert_with(|| begin_waiting(store, deadline, stripe)).check(store, None)?;
                }
            }
            Attempt::Busy if spins < SPINS => {
                spins += 1;
                spin_loop();
            }
            Attempt::Busy => {
                if writable && naps > NAPS {
                    return read_locked(store, deadline, stripe, read);
                }
                naps += 1;
                let wait = wait.get_or_insert_with(|| begin_waiting(store, deadline, stripe));
                wait_for_writer(store, stripe, naps, wait)?;
            }
        }
    }
}

/// Through a read-only descriptor the stripe cannot be locked, so that waiting might never end.
#[cold]
fn begin_waiting<'a>(store: &Store, deadline: &'a Deadline, stripe: u32) -> Wait<'a> {
    let wait = deadline.wait(Awaited::Stripe(stripe));
    let bound = Bound::ReadOnly { in_group: group::open() > 0 };
    if store.region().object().read_only() { wait.bounded(bound) } else { wait }
}

fn wait_for_writer(store: &Store, stripe: u32, naps: u32, wait: &mut Wait<'_>) -> Result<()> {
    let owner = word_of(store.region(), stripe).load().owner();
    if let Some(slot) = owner {
        if slot >= store.geometry().slots {
            let place = store.geometry().stripe(stripe).lock().0;
            return Err(store.region().corrupt(place, "a lock word names an owner that cannot exist"));
        }
        if group::is_own_slot(store, slot) {
            wait.set_bound(Some(Bound::OwnGroup));
        }
        wait.check(store, owner)?;
        let fate = store.take_over(stripe, slot)?;
        if fate == Fate::Gone {
            return Ok(());
        }
        wait.note(fate);
    } else if naps > READ_ONLY_NAPS {
        return Err(Error::NeedsRecovery { object: store.name() });
    } else {
        wait.check(store, None)?;
    }
    std::thread::sleep(wait.pause(Duration::from_micros(u64::from(naps) * 10).min(Duration::from_millis(1))));
    Ok(())
}

#[cold]
fn read_locked<R>(
    store: &Store,
    deadline: &Deadline,
    stripe: u32,
    read: impl Fn(View<'_>) -> Result<R> + Copy,
) -> Result<R> {
    group::read_locked_alone(store, deadline, |change| {
        change.read_stripe(stripe)?;
        if store.sequence(stripe).begin_reading().is_none() {
            // Nobody changes the stripe, so damage left that, or a machine that stopped. A change ends it for all readers.
            change.write_stripe(stripe)?;
        }
        read(View::locked(change.store()))
    })
}
