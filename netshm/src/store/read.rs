//! Optimistic reads: copy or decode without a lock, then validate that no writer was at work.
//!
//! They rely on the stripe's [`sequence`](crate::sequence), a seqlock. A reader stores nothing to shared memory and makes no system
//! call, unless a writer is in flight in its stripe and stays there; then it reads [past](super::past) the writer, and looks
//! afterwards whether that lives. Only where change follows upon change it takes the lock, if it can be had soon.

use std::hint::spin_loop;
use std::time::Duration;

use super::careful::Guarded;
use super::past;
use super::{Limits, Store, group};
use crate::error::{Error, Result};
use crate::layout::StripeAt;
use crate::locking::{Awaited, Bound, Deadline, Wait};
use crate::log_word::LogWord;
use crate::region::{Inconclusive, Region, StripeFields};
use crate::sequence::{Sequence, Stamp};
use crate::source::Source;

/// Readings that a writer may spoil before the lock is taken.
const ATTEMPTS: u32 = 64;
/// Looks at an odd sequence before the reader looks past the change.
const SPINS: u32 = 200;
/// Time for which a reader waits for the lock at once.
const TURN: Duration = Duration::from_millis(1);
/// Sleeps of a reader that finds no owner, before it takes the lock.
const NAPS: u32 = 40;
/// Sleeps of a reader that finds no owner, before it concludes that nobody will end the change: a tenth of a second in all. A writer
/// has the lock, and so an owner, before it makes the sequence odd, and until it is even again; so this is no change that is slow, but
/// what damage has left, or a machine that stopped.
const READ_ONLY_NAPS: u32 = 150;

/// One stripe as a reader sees it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) store: &'a Store,
    /// Tells a decoder whether the words it reads can still be trusted; `None` under a lock, or of copies, where they may.
    pub(crate) stamp: Option<Stamp<'a>>,
    /// Source of the words if they are not simply read as they lie: see [`with_source`].
    pub(crate) guarded: Option<&'a Guarded<'a>>,
}

/// Evaluates an expression with the source of a view's words; apart, if that is not the object as it lies.
macro_rules! with_source {
    ($view:expr, $source:ident => $result:expr) => {
        match $view.guarded {
            None => {
                let $source = $view.region();
                $result
            }
            Some($source) => $crate::store::read::out_of_line(|| $result),
        }
    };
}
pub(crate) use with_source;

/// Keeps rare work out of the code of hot paths.
#[cold]
#[inline(never)]
pub(crate) fn out_of_line<R>(work: impl FnOnce() -> R) -> R {
    work()
}

impl<'a> View<'a> {
    /// Returns the view of a reader that has locked the stripe.
    pub(crate) fn locked(store: &'a Store) -> Self {
        View { store, stamp: None, guarded: None }
    }

    pub(crate) fn region(&self) -> &'a Region {
        self.store.region()
    }

    /// Returns the length of an array.
    #[inline]
    pub(crate) fn array_len(&self) -> u64 {
        let place = self.store.geometry().part().array_len();
        with_source!(self, source => Source::field(source, place))
    }

    /// Returns what the stripe that is read can be known by.
    pub(super) fn state(&self, stripe: u32) -> State {
        if let Some(Guarded::Past(reading)) = self.guarded {
            return reading.state();
        }
        let sequence = self.stamp.map_or_else(|| self.store.sequence(stripe).value(), |stamp| stamp.value());
        State { sequence, log: None }
    }

    /// Returns whether it makes sense to go on reading: nothing that counts has changed since the reading began.
    #[inline]
    pub(crate) fn holds(&self) -> bool {
        match self.stamp {
            Some(stamp) => stamp.holds(),
            None => !matches!(self.guarded, Some(Guarded::Past(reading)) if !reading.holds()),
        }
    }
}

/// Identifies the committed state of a stripe.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub(super) sequence: u64,
    /// Slot and log epoch of the change under way, if there is one.
    pub(super) log: Option<(u32, u32)>,
}

impl State {
    /// Returns whether the stripe is in that state.
    pub(super) fn is_that_of(self, store: &Store, stripe: u32) -> bool {
        let log = |slot| LogWord(store.field(store.geometry().slot(slot).log_word()));
        store.sequence(stripe).value() == self.sequence
            && self.log.is_none_or(|(slot, epoch)| log(slot).load().epoch() == epoch)
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
    store.check_alone()?;
    keep_trying(store, &group::own_deadline(limits), stripe, read)
}

/// A read without a lock, possible if there is no group, no writer and no damage. Most reads are that simple, and the fewer
/// instructions they take, the more of them a processor overlaps.
#[derive(Clone, Copy)]
pub(crate) struct OptimisticRead<'a>(&'a Store);

impl<'a> OptimisticRead<'a> {
    /// Returns `None` if a group is open, in a forked child, and while the stored type is not known.
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
        let result = look(View { store, stamp: Some(stamp), guarded: None }, fields).ok()?;
        stamp.holds().then_some(result)
    }
}

/// Outcome of an attempt to read.
pub(super) enum Attempt<R> {
    Done(Result<R>),
    /// The stripe was read as it was before a change of the owner of that slot, who is still at it or dead.
    Past(Result<R>, u32),
    /// A writer came in between.
    Spoiled,
    /// A writer is there, but it cannot be known who.
    Busy,
}

fn attempt<R>(store: &Store, stamp: Stamp<'_>, read: impl Fn(View<'_>) -> Result<R>) -> Attempt<R> {
    let careful = Guarded::Careful(store.region(), stamp);
    let result = read(View { store, stamp: Some(stamp), guarded: stamp.needs_care().then_some(&careful) });
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
    let sequence = store.sequence(stripe);
    let mut wait = None;
    let (mut spins, mut naps, mut attempts) = (0, 0, 0);
    loop {
        let attempt = match sequence.begin_any_reading() {
            Some(stamp) => attempt(store, stamp, read),
            None if spins < SPINS && !past::is_known(store, stripe) => {
                spins += 1;
                spin_loop();
                continue;
            }
            None => {
                let attempt = past::attempt(store, stripe, read);
                if let Attempt::Spoiled = attempt {
                    // That may have taken long.
                    wait.get_or_insert_with(|| begin_waiting(store, deadline, stripe)).check(store, None)?;
                }
                attempt
            }
        };
        match attempt {
            Attempt::Done(result) => {
                past::forget_ended(store);
                return result;
            }
            Attempt::Past(result, slot) => {
                if writable {
                    past::probe(store, stripe, slot);
                }
                return result;
            }
            Attempt::Spoiled if attempts < ATTEMPTS => (attempts, naps) = (attempts + 1, 0),
            Attempt::Spoiled => {
                wait.get_or_insert_with(|| begin_waiting(store, deadline, stripe)).check(store, None)?;
                if writable && let Some(outcome) = queue(store, deadline, stripe, read) {
                    return outcome;
                }
            }
            Attempt::Busy if writable && naps > NAPS => {
                wait.get_or_insert_with(|| begin_waiting(store, deadline, stripe)).check(store, None)?;
                if let Some(outcome) = queue(store, deadline, stripe, read) {
                    return outcome;
                }
            }
            Attempt::Busy if naps > READ_ONLY_NAPS => {
                return Err(Error::NeedsRecovery { object: store.name() });
            }
            Attempt::Busy => {
                naps += 1;
                let wait = wait.get_or_insert_with(|| begin_waiting(store, deadline, stripe));
                wait.check(store, None)?;
                std::thread::sleep(
                    wait.pause(Duration::from_micros(u64::from(naps) * 10).min(Duration::from_millis(1))),
                );
            }
        }
    }
}

/// Begins to wait. Through a read-only descriptor the stripe cannot be locked, so the wait is bounded.
#[cold]
fn begin_waiting<'a>(store: &Store, deadline: &'a Deadline, stripe: u32) -> Wait<'a> {
    let wait = deadline.wait(Awaited::Stripe(stripe));
    let bound = Bound::ReadOnly { in_group: group::open() > 0 };
    if store.region().object().read_only() { wait.bounded(bound) } else { wait }
}

/// Waits for the lock for a moment, where changes follow upon each other: `None` if it could not be had.
#[cold]
fn queue<R>(
    store: &Store,
    deadline: &Deadline,
    stripe: u32,
    read: impl Fn(View<'_>) -> Result<R> + Copy,
) -> Option<Result<R>> {
    let before = store.sequence(stripe).value();
    match read_locked(store, &deadline.at_most(TURN), stripe, read) {
        // The operation's own limit is checked before the next turn.
        Err(Error::LockTimeout { .. }) => None,
        // What only writers need is not there, but others change the stripe: a reading without the lock may come through.
        Err(Error::TooManyWriters { .. } | Error::NoSpace { .. }) if store.sequence(stripe).value() != before => None,
        outcome => Some(outcome),
    }
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
        if store.sequence(stripe).begin_any_reading().is_none() {
            // Nobody changes the stripe, so damage left that, or a machine that stopped. A change ends it for all readers.
            change.write_stripe(stripe)?;
        }
        read(View::locked(change.store()))
    })
}
