//! Groups: the transactions of several operations of one thread. Every change goes through here: into this thread's open group on
//! the object, or into a transaction of its own.

mod change;
mod found;
mod state;
mod threads;
mod update;

use crate::error::{Error, Result};
use crate::store::transaction::check_writable;
use crate::store::tx::Position;
use crate::store::{Limits, Store};

pub(crate) use change::{
    bounded_waits, change, change_at_once, optimistic, optimistic_before_change, read_locked, replace_found,
    small_in_group,
};
pub(super) use change::{in_group, own_deadline, read_locked_alone, with_slot};
pub(super) use found::forget;
pub(crate) use found::note as note_found;
use state::{CLOSED, Group};
use threads::{Apart, First, Further, OPEN, current};
pub(in crate::store) use threads::{is_apart, note_upgrade};
pub(crate) use threads::{is_open, open, take_deadlocked};
pub(crate) use update::Update;

/// Errors of operations that are not where they belong.
pub(super) const ENDED: &str = "the argument of `group_with` is used outside its group, or by another thread";
pub(super) const OWN: &str =
    "waits for the group that this thread has open by `group_with`, to which it does not belong";
pub(crate) const OTHER_OBJECT: &str = "it is another object than that of the group";

/// Runs `body` as a group. Its changes, and those of everything that it calls, happen completely or not at all.
#[inline]
pub(crate) fn group<R, E: From<Error>>(
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    store.check_fork()?;
    check_writable(store, "group operations")?;
    if OPEN.get() > 0 {
        return within_others(store, limits, body);
    }
    store.check_alone()?;
    outermost(store, limits, body)
}

/// Runs `body` as a group of a store that is [apart](Store::apart): only operations through that belong to it.
pub(crate) fn group_apart<R, E: From<Error>>(
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    store.check_fork()?;
    check_writable(store, "group operations")?;
    outermost(store, limits, || {
        let _apart = Apart::begin(store);
        body()
    })
}

/// Runs a group while this thread has some open: on the same object, or on others.
#[inline(never)]
fn within_others<R, E: From<Error>>(
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    match current(store) {
        Some(group) => inner(store, &group, body),
        None => {
            store.check_alone()?;
            outermost(store, limits, body)
        }
    }
}

fn inner<R, E: From<Error>>(store: &Store, group: &Group, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    /// Undoes the inner group unless it is told not to.
    struct Undo<'a>(&'a Store, Option<(&'a Group, Position)>);
    impl Undo<'_> {
        fn undo(&mut self) -> Result<()> {
            match self.1.take() {
                Some((group, position)) if !group.is_doomed() && self.0.check_fork().is_ok() => {
                    group.with(self.0, |change| change.roll_back_to(position))
                }
                _ => Ok(()),
            }
        }
    }
    impl Drop for Undo<'_> {
        fn drop(&mut self) {
            // Only a panic comes here. If undoing fails, the whole group has been undone, and the outermost one says so.
            let _ = self.undo();
        }
    }

    let position = group.with(store, |change| Ok(change.begin_savepoint()))?;
    let mut undo = Undo(store, Some((group, position)));
    match body() {
        Ok(result) => {
            undo.1 = None;
            group.check_doomed(store)?;
            Ok(result)
        }
        Err(error) => {
            undo.undo()?;
            Err(error)
        }
    }
}

/// Runs a group that is no part of another one.
#[inline]
fn outermost<R, E: From<Error>>(store: &Store, limits: Limits, body: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    let (group, _further) = match First::on(CLOSED) {
        Some(group) => (group, None),
        None => {
            let further = Further::new();
            (further.0.clone(), Some(further))
        }
    };
    run(&group, store, limits, body)
}

/// Runs `body` in a group that is opened for it.
#[inline(always)]
fn run<R, E: From<Error>>(
    group: &Group,
    store: &Store,
    limits: Limits,
    body: impl FnOnce() -> Result<R, E>,
) -> Result<R, E> {
    /// Undoes the group unless it is committed: only a panic comes here, or a forked child, where nothing is done.
    struct Unwound<'a>(&'a Group, &'a Store);
    impl Drop for Unwound<'_> {
        #[cold]
        fn drop(&mut self) {
            let _ = self.0.close(self.1, false);
        }
    }

    group.open(store, limits)?;
    let unwound = Unwound(group, store);
    let outcome = body();
    std::mem::forget(unwound);
    match outcome {
        Ok(result) => {
            group.close(store, true)?;
            Ok(result)
        }
        Err(error) => {
            // A deadlock noticed before counts more than what the body made of it; the error is the same kind then.
            let _ = group.close(store, false);
            Err(error)
        }
    }
}

/// Forbids changes to a member by this thread's group, for as long as it lives. It is dropped before the group ends.
pub(crate) struct Iteration<'a>(&'a Store);

impl<'a> Iteration<'a> {
    /// Starts an iteration in the open group.
    pub(crate) fn start(store: &'a Store) -> Option<Self> {
        let group = current(store)?;
        group.obstacles.set(group.obstacles.get() + 1);
        group.iterated.borrow_mut().push(store.geometry().first());
        Some(Iteration(store))
    }
}

impl Drop for Iteration<'_> {
    fn drop(&mut self) {
        if let Some(group) = current(self.0) {
            group.obstacles.set(group.obstacles.get() - 1);
            // They end in the reverse order.
            group.iterated.borrow_mut().pop();
        }
    }
}
