//! An open group: how it begins, ends, and what may end it early.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::found;
use super::threads::{DEADLOCKED, OPEN, set_open, use_upgrade};
use crate::error::{Error, Result};
use crate::events;
use crate::locking::{Deadline, Mode};
use crate::store::tx::TxState;
use crate::store::{Limits, Store, Transaction};

/// No store has this number: that of a group that is closed, ..
pub(super) const CLOSED: u64 = 0;
/// .. or that begins or ends, in which operations have no part.
pub(super) const PASSING: u64 = u64::MAX;

/// Bit of `obstacles`: the group has been undone.
const DOOMED: u32 = 1 << 31;

/// An open group.
pub(super) struct Group {
    /// Number of its store, which outlives it.
    pub(super) store: Cell<u64>,
    /// Deadline of the part that is being run.
    pub(super) deadline: Deadline,
    pub(super) tx: RefCell<TxState>,
    /// Obstacles to operations: the number of iterations under way, and a bit for a group that has been undone.
    pub(super) obstacles: Cell<u32>,
    /// The first stripes of the members that are iterated over.
    pub(super) iterated: RefCell<Vec<u32>>,
    /// Reason why the group has ended early.
    doom: RefCell<Option<Doom>>,
}

/// Why a group is undone as a whole at once.
#[derive(Debug)]
enum Doom {
    /// A deadlock; others go on.
    Deadlock(String),
    /// A part of it could not be rolled back by itself: memory could not be returned in time, ..
    Timeout { waited: Duration, awaited: String, holder: Option<u32> },
    /// .. or the log is damaged.
    Damage { offset: u64, what: &'static str },
}

impl Doom {
    /// Returns the doom of the group after an error: a deadlock, or a part that could not be rolled back.
    fn of(error: &Error) -> Doom {
        match error {
            Error::Deadlock { detail, .. } => Doom::Deadlock(detail.clone()),
            Error::LockTimeout { waited, awaited, holder, .. } => {
                Doom::Timeout { waited: *waited, awaited: awaited.clone(), holder: *holder }
            }
            Error::Corrupt { offset, what, .. } => Doom::Damage { offset: *offset, what },
            _ => Doom::Damage { offset: 0, what: "a part of a group could not be undone" },
        }
    }

    #[cold]
    fn error(&self, store: &Store) -> Error {
        let object = store.name();
        match self {
            Doom::Deadlock(detail) => Error::Deadlock { object, detail: detail.clone() },
            Doom::Timeout { waited, awaited, holder } => Error::LockTimeout {
                object,
                waited: *waited,
                awaited: awaited.clone(),
                holder: *holder,
                reason: Some("the whole group was rolled back"),
                may_be_deadlock: false,
            },
            Doom::Damage { offset, what } => Error::Corrupt { object, offset: *offset, what },
        }
    }
}

impl Group {
    pub(super) fn closed() -> Group {
        Group {
            store: Cell::new(CLOSED),
            deadline: Deadline::within(None),
            tx: RefCell::new(TxState::none()),
            obstacles: Cell::new(0),
            iterated: RefCell::new(Vec::new()),
            doom: RefCell::new(None),
        }
    }

    /// Opens it on the store, with a slot of its own.
    #[inline]
    pub(super) fn open(&self, store: &Store, limits: Limits) -> Result<()> {
        self.store.set(PASSING);
        match self.begin(store, limits) {
            Ok(()) => {
                self.store.set(store.id);
                set_open(OPEN.get() + 1);
                Ok(())
            }
            Err(error) => {
                self.store.set(CLOSED);
                Err(error)
            }
        }
    }

    #[inline]
    fn begin(&self, store: &Store, limits: Limits) -> Result<()> {
        self.deadline.renew(limits.lock_timeout, OPEN.get() > 0);
        let slot = store.take_slot(&self.deadline)?;
        let Ok(mut tx) = self.tx.try_borrow_mut() else { unreachable!("nobody knows it yet") };
        tx.renew(slot, store.geometry());
        use_upgrade(store, &mut tx);
        found::forget();
        if let Err(error) = store.shared.locks.enter_group(store, slot, &self.deadline) {
            Transaction { store, tx: &mut tx, deadline: &self.deadline }.roll_back();
            return Err(error);
        }
        Ok(())
    }

    /// Ends it: all of its changes are made final, or undone.
    #[inline]
    pub(super) fn close(&self, store: &Store, keep: bool) -> Result<()> {
        set_open(OPEN.get() - 1);
        self.store.set(PASSING);
        match self.finish(store, keep) {
            Ok(()) => {
                self.store.set(CLOSED);
                Ok(())
            }
            Err(error) => Err(self.closed_with(error)),
        }
    }

    #[cold]
    fn closed_with(&self, error: Error) -> Error {
        self.obstacles.set(0);
        self.iterated.borrow_mut().clear();
        self.doom.replace(None);
        if let Ok(mut tx) = self.tx.try_borrow_mut() {
            tx.forget();
        }
        self.store.set(CLOSED);
        error
    }

    #[inline]
    fn finish(&self, store: &Store, keep: bool) -> Result<()> {
        store.check_fork()?;
        self.check_doomed(store)?;
        let Ok(mut tx) = self.tx.try_borrow_mut() else { return Ok(()) };
        self.deadline.restart(OPEN.get() > 0);
        let change = Transaction { store, tx: &mut tx, deadline: &self.deadline };
        let slot = change.slot();
        if !store.owns_slot(slot) {
            // It has been undone, and its locks freed.
            store.shared.locks.leave_group(slot);
            return Err(lost(store));
        }
        if !keep {
            change.roll_back();
        } else if let Err(error) = change.commit_at_once() {
            store.shared.locks.leave_group(slot);
            return Err(error);
        }
        store.shared.locks.leave_group(slot);
        Ok(())
    }

    #[inline]
    pub(super) fn is_doomed(&self) -> bool {
        self.obstacles.get() & DOOMED != 0
    }

    #[inline]
    pub(super) fn check_doomed(&self, store: &Store) -> Result<()> {
        if self.is_doomed() { Err(self.doom_error(store)) } else { Ok(()) }
    }

    #[cold]
    fn doom_error(&self, store: &Store) -> Error {
        let doom = self.doom.borrow();
        doom.as_ref().unwrap_or_else(|| unreachable!("there is a reason")).error(store)
    }

    /// Handles the failure of a part. A deadlock, or a part that is half undone, ends it at once: all of it is undone, and what
    /// comes later in it fails.
    #[cold]
    fn failed(&self, change: Transaction<'_>, error: Error) -> Error {
        if !matches!(error, Error::Deadlock { .. }) && !change.is_torn() {
            return error;
        }
        let doom = Doom::of(&error);
        let (store, slot) = (change.store(), change.slot());
        self.obstacles.set(self.obstacles.get() | DOOMED);
        let detail = if let Doom::Deadlock(detail) = &doom { Some(detail.clone()) } else { None };
        self.doom.replace(Some(doom));
        change.roll_back();
        store.shared.locks.leave_group(slot);
        if let Some(detail) = detail {
            DEADLOCKED.set(true);
            events::deadlock(&store.name(), &detail);
        }
        error
    }

    /// Locks a stripe. The error is in a box, since results that hold it would be copied where there is none.
    #[inline(never)]
    pub(super) fn lock_at_once(
        &self,
        store: &Store,
        tx: &mut TxState,
        stripe: u32,
        mode: Mode,
    ) -> Result<(), Box<Error>> {
        self.deadline.restart(OPEN.get() > 1);
        let mut change = Transaction { store, tx, deadline: &self.deadline };
        if !store.owns_slot(change.slot()) {
            return Err(lost(store).into());
        }
        match change.lock(stripe, mode).map(drop) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(change, error).into()),
        }
    }

    /// Locks a stripe for reading.
    #[inline]
    pub(super) fn read_at_once(&self, store: &Store, tx: &mut TxState, stripe: u32) -> Result<(), Box<Error>> {
        let mode = tx.read_mode(store);
        self.lock_at_once(store, tx, stripe, mode)
    }

    /// Runs a part of the group's change. A deadlock ends the whole group at once, so that others can go on.
    #[inline]
    pub(super) fn with<R>(&self, store: &Store, part: impl FnOnce(&mut Transaction<'_>) -> Result<R>) -> Result<R> {
        self.check_doomed(store)?;
        // A hand-written data manager may use the table that it is called by.
        let Ok(mut tx) = self.tx.try_borrow_mut() else { return Err(reentrant(store)) };
        self.deadline.restart(OPEN.get() > 1);
        let mut change = Transaction { store, tx: &mut tx, deadline: &self.deadline };
        // Others may have undone it already; then its log must not grow again, or it would be undone twice.
        if !store.owns_slot(change.slot()) {
            return Err(lost(store));
        }
        let unwound = Torn { group: self, change: &mut change };
        let outcome = unwound.change.with_savepoint(part);
        std::mem::forget(unwound);
        match outcome {
            Ok(result) => Ok(result),
            Err(error) => Err(self.failed(change, error)),
        }
    }
}

/// A part of a group's change that a panic drops: whoever catches that may go on with the group, unless the part could not
/// undo itself.
struct Torn<'g, 'c, 'a> {
    group: &'g Group,
    change: &'c mut Transaction<'a>,
}

impl Drop for Torn<'_, '_, '_> {
    #[cold]
    fn drop(&mut self) {
        let store = self.change.store();
        // A forked child leaves everything as it is.
        if self.change.is_torn() && store.check_fork().is_ok() {
            let what = "a part of a group could not be undone";
            let error = Error::Corrupt { object: store.name(), offset: 0, what };
            self.group.failed(self.change.reborrow(), error);
        }
    }
}

#[cold]
fn reentrant(store: &Store) -> Error {
    Error::Reentrant { object: store.name() }
}

#[cold]
fn lost(store: &Store) -> Error {
    Error::DescriptorLost { object: store.name() }
}

#[cold]
pub(super) fn iterating(store: &Store) -> Error {
    Error::Iterating { object: store.name() }
}
