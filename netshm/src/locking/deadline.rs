//! Deadlines of operations, and the errors that waits end in.
//!
//! A [`Deadline`] limits all waits of an operation together. A [`Wait`] is one of them. Some waits end after a while even if
//! the operation has no limit: those that may be part of a ring of waiters that nothing can detect (see [`Bound`]).

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Fate, Owners};
use crate::error::{Error, Result};
use crate::events::{self, LONG_WAIT};
use crate::os::file;

/// Waits that may be part of a ring that nothing detects are given up after this time ..
const UNDETECTED: Duration = Duration::from_secs(1);
/// .. and up to this much more, by chance: so that of two that wait for each other one goes on.
const SPREAD: Duration = Duration::from_millis(500);
/// Readers that cannot lock what they wait for give up after this time.
const READ_ONLY: Duration = Duration::from_secs(10);
/// So do waits for somebody else's shared lock.
const SHARED_LOCK: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(10) };

/// The limit of all waits of an operation together. The clock starts with the first wait, so that an operation that waits for
/// nothing never asks for the time.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Cell<Option<Duration>>,
    bounded: Cell<bool>,
    started: Cell<Option<Instant>>,
}

impl Deadline {
    /// Returns a deadline without a limit.
    pub(crate) fn none() -> Self {
        Self::within(None)
    }

    /// Ends the waits as soon as they have taken `limit` together.
    #[cfg(test)]
    pub(crate) fn after(limit: Duration) -> Self {
        Self::within(Some(limit))
    }

    /// Returns [`after`](Self::after) if there is a limit, else [`none`](Self::none).
    #[inline]
    pub(crate) fn within(limit: Option<Duration>) -> Self {
        Deadline { limit: Cell::new(limit), bounded: Cell::new(false), started: Cell::new(None) }
    }

    /// Bounds each wait to little more than a second, for an operation inside a group on another object, for which others may
    /// be waiting.
    pub(crate) fn bounded(self) -> Self {
        self.bounded.set(true);
        self
    }

    /// Starts again with another limit, for the next group.
    #[inline]
    pub(crate) fn renew(&self, limit: Option<Duration>, bounded: bool) {
        self.limit.set(limit);
        self.restart(bounded);
    }

    /// Returns the same for a wait that ends soon; the operation goes on then.
    pub(crate) fn at_most(&self, limit: Duration) -> Self {
        Deadline { limit: Cell::new(Some(limit)), bounded: self.bounded.clone(), started: Cell::new(None) }
    }

    /// Restarts the clock, for the next operation of a group.
    #[inline]
    pub(crate) fn restart(&self, bounded: bool) {
        self.bounded.set(bounded);
        self.started.set(None);
    }

    /// Returns whether the operation is inside a group on another object.
    pub(crate) fn is_bounded(&self) -> bool {
        self.bounded.get()
    }

    /// Returns whether waits have a limit, so that they must not be left to the kernel.
    pub(crate) fn is_limited(&self) -> bool {
        self.bounded.get() || self.limit.get().is_some()
    }

    /// Returns whether the limit of the operation has been reached.
    pub(crate) fn is_over(&self) -> bool {
        let limit = self.limit.get().zip(self.started.get());
        limit.is_some_and(|(limit, started)| started.elapsed() >= limit)
    }

    /// Begins to wait.
    pub(crate) fn wait(&self, awaited: Awaited) -> Wait<'_> {
        let bound = self.bounded.get().then_some(Bound::OtherObjects);
        let now = Instant::now();
        let started = self.started.get().unwrap_or(now);
        self.started.set(Some(started));
        let (spread, reader) = (Duration::ZERO, None);
        Wait { deadline: self, awaited, started, since: now, bound, spread, reader, reported: false }
    }
}

/// Waits for changes in a group on another object, all those of one operation together: they are bounded, since others may wait for
/// that group. Not a [`Wait`], since a task may go on in another thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BoundedWaits {
    started: Instant,
    spread: Duration,
}

impl BoundedWaits {
    pub(crate) fn begin() -> Self {
        BoundedWaits { started: Instant::now(), spread: spread() }
    }

    /// Returns when they end.
    #[cfg(feature = "tokio")]
    pub(crate) fn end(&self) -> Instant {
        self.started + UNDETECTED + self.spread
    }

    /// Returns an error if they have taken so long.
    pub(crate) fn check(&self, owners: &impl Owners) -> Result<()> {
        let deadline = Deadline::none().bounded();
        let wait = deadline.wait(Awaited::Change);
        Wait { started: self.started, since: self.started, spread: self.spread, ..wait }.check(owners, None)
    }
}

/// Returns by how much more than others a wait is bounded.
fn spread() -> Duration {
    let chance = file::random().unwrap_or(u64::from(std::process::id())) % 1024;
    SPREAD.mul_f64((chance + 1) as f64 / 1024.0)
}

/// Event that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    Stripe(u32),
    /// The lock of the run heap.
    Meta,
    /// A slot, while all are in use.
    Slot,
    /// The end of this process's other group, where only one can run.
    Group,
    /// Whoever creates, opens or repairs the object.
    Opening,
    /// A process number, while all are in use.
    Number,
    /// Undoing what a dead process left.
    Recovery,
    /// A change by others.
    Change,
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Awaited::Stripe(stripe) => write!(f, "stripe {stripe}"),
            Awaited::Meta => f.write_str("the object's free memory"),
            Awaited::Slot => f.write_str("one of the object's slots for writers"),
            Awaited::Group => f.write_str("another group of this process"),
            Awaited::Opening => f.write_str("somebody who creates, opens or repairs the object"),
            Awaited::Number => f.write_str("a process number, which a writer needs"),
            Awaited::Change => f.write_str("a change"),
            Awaited::Recovery => f.write_str("the right to undo what a dead writer left"),
        }
    }
}

/// Why a wait ends before its operation's limit, or without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// This thread has a group open on another object.
    OtherObjects,
    /// The holder is a thread of this process that waits itself, for another process.
    OwnThread,
    /// The holders read in groups, and others wait for what the waiter holds.
    Readers,
    /// Nothing but marks keeps writers apart.
    Marks,
    /// The reader cannot lock the stripe. In a group it may be waited for because of that one.
    ReadOnly { in_group: bool },
    /// Somebody holds a shared lock, for which reading rights suffice, where netshm needs one that excludes others.
    SharedLock,
}

impl Bound {
    fn after(self) -> Duration {
        match self {
            Bound::OtherObjects | Bound::OwnThread | Bound::Readers | Bound::Marks => UNDETECTED,
            Bound::ReadOnly { .. } => READ_ONLY,
            Bound::SharedLock => SHARED_LOCK,
        }
    }

    /// Returns whether a deadlock may be the reason.
    fn may_be_deadlock(self) -> bool {
        !matches!(self, Bound::ReadOnly { in_group: false } | Bound::SharedLock)
    }

    fn reason(self) -> &'static str {
        match self {
            Bound::OtherObjects => {
                "given up since a deadlock between groups on several objects is not detected; run the group again, or open \
                 such groups in the same order everywhere"
            }
            Bound::OwnThread => {
                "given up since a deadlock of several threads and processes is not always detected; run it again"
            }
            Bound::Readers => {
                "given up since a deadlock with groups that read many stripes is not detected while this process has a limit for its \
                 waits, or several threads that wait; run it again"
            }
            Bound::Marks => {
                "given up since nothing keeps writers apart here; have one writer, or another locking method"
            }
            Bound::ReadOnly { .. } => {
                "given up since a read-only handle cannot lock what others keep changing; try again, or set `lock_timeout`"
            }
            Bound::SharedLock => {
                "in the way is a shared lock (`fcntl`) on the object's file, which whoever may read it can hold; end the process \
                 that holds it (`lslocks` and `fuser -v` on the file tell which it may be)"
            }
        }
    }
}

/// One wait.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    deadline: &'a Deadline,
    awaited: Awaited,
    /// When the operation's first wait began, and when this one did.
    started: Instant,
    since: Instant,
    bound: Option<Bound>,
    spread: Duration,
    /// The holder of a shared lock that is in the way (its process, where the kernel reports it), and what bounded the wait before.
    reader: Option<(Option<u32>, Option<Bound>)>,
    /// True if it has been reported that the wait is long.
    reported: bool,
}

impl Wait<'_> {
    /// Bounds the wait, if the operation's limit is later.
    pub(crate) fn bounded(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Changes what bounds the wait.
    pub(crate) fn set_bound(&mut self, bound: Option<Bound>) {
        let bound = bound.or(self.deadline.bounded.get().then_some(Bound::OtherObjects));
        if self.bound != bound {
            (self.bound, self.since) = (bound, Instant::now());
        }
    }

    /// Records the state of the owner that is waited for, which may be dead but shielded by a shared lock.
    pub(crate) fn note(&mut self, fate: Fate) {
        self.note_reader(if let Fate::Shielded { reader } = fate { Some(reader) } else { None });
    }

    /// Records the holder of a shared lock that is in the way, if there is one; it bounds the wait.
    pub(crate) fn note_reader(&mut self, reader: Option<Option<u32>>) {
        match (self.reader, reader) {
            (None, None) => {}
            (None, Some(pid)) => {
                self.reader = Some((pid, self.bound));
                self.set_bound(Some(Bound::SharedLock));
            }
            (Some((_, otherwise)), Some(pid)) => self.reader = Some((pid, otherwise)),
            (Some((_, otherwise)), None) => {
                self.reader = None;
                self.set_bound(otherwise);
            }
        }
    }

    /// Returns the pause, cut to the time that is left.
    pub(crate) fn pause(&self, longest: Duration) -> Duration {
        let left = |limit: Duration| limit.saturating_sub(self.started.elapsed()).max(Duration::from_micros(20));
        self.deadline.limit.get().map_or(longest, |limit| longest.min(left(limit)))
    }

    /// Returns an error as soon as the limit is reached.
    pub(crate) fn check(&mut self, owners: &impl Owners, holder: Option<u32>) -> Result<()> {
        self.check_for(|| owners.region().name(), || holder.and_then(|slot| owners.pid(slot)))
    }

    /// Does what [`check`](Self::check) does, where there is no store yet.
    pub(crate) fn check_for(&mut self, object: impl Fn() -> Arc<str>, holder: impl Fn() -> Option<u32>) -> Result<()> {
        let now = Instant::now();
        let (in_all, here) = (now - self.started, now - self.since);
        if here >= LONG_WAIT && !self.reported {
            self.reported = true;
            let stripe = if let Awaited::Stripe(stripe) = self.awaited { Some(stripe) } else { None };
            events::long_wait(&object(), stripe, here, holder());
        }
        if let Some(limit) = self.deadline.limit.get().filter(|limit| in_all >= *limit) {
            let why = self.reader.map(|_| Bound::SharedLock);
            return Err(self.give_up(object(), holder(), limit, why));
        }
        match self.bound.filter(|bound| here >= bound.after()) {
            Some(bound) if here >= self.end(bound) => Err(self.give_up(object(), holder(), here, Some(bound))),
            _ => Ok(()),
        }
    }

    /// Returns when a bounded wait ends.
    #[cold]
    fn end(&mut self, bound: Bound) -> Duration {
        if bound.may_be_deadlock() && self.spread.is_zero() {
            self.spread = spread();
        }
        bound.after() + self.spread
    }

    #[cold]
    fn give_up(&self, object: Arc<str>, holder: Option<u32>, waited: Duration, bound: Option<Bound>) -> Error {
        Error::LockTimeout {
            object,
            waited,
            awaited: self.awaited.to_string(),
            holder: self.reader.map_or(holder, |(pid, _)| pid),
            reason: bound.map(Bound::reason),
            may_be_deadlock: bound.is_some_and(Bound::may_be_deadlock),
        }
    }
}
