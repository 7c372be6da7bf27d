//! Updates: groups that begin as a small transaction, and end as one if nothing was done in them but the update itself. They become
//! ordinary groups when something else is.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use super::found;
use super::state::CLOSED;
use super::threads::{First, Further, current, set_open};
use crate::error::Result;
use crate::layout::{LogAt, Offset};
use crate::locking::Mode;
use crate::store::small::{self, Find, Held, Taken};
use crate::store::{Limits, Store, tx};

thread_local! {
    /// True if this thread is in an update that has not become an ordinary group. It is counted among the open groups already.
    static IS_SHORT: Cell<bool> = const { Cell::new(false) };
    /// The update that this thread is in.
    static BEGUN: Begun = const { Begun::none() };
}

/// State with which an ordinary group takes over an update. Cells, so that a few stores set it.
struct Begun {
    store: Cell<u64>,
    slot: Cell<u32>,
    stripe: Cell<u32>,
    log_word: Cell<Offset>,
    log: Cell<LogAt>,
    limits: Cell<Limits>,
}

/// Turns an update that this thread has begun into an ordinary group, before anything else is done in it.
#[inline(always)]
pub(super) fn settle() {
    if IS_SHORT.get() {
        BEGUN.with(Begun::open);
    }
}

impl Begun {
    const fn none() -> Begun {
        Begun {
            store: Cell::new(CLOSED),
            slot: Cell::new(0),
            stripe: Cell::new(0),
            log_word: Cell::new(Offset::at(0)),
            log: Cell::new(LogAt(0)),
            limits: Cell::new(Limits { lock_timeout: None }),
        }
    }

    /// Notes an update that begins. One cell after the other: a closure that sets all would be called.
    #[inline(always)]
    fn note(store: &Store, limits: Limits, slot: u32, stripe: u32) {
        let geometry = store.geometry();
        let (log_word, log) = (geometry.slot(slot).log_word(), geometry.log(slot));
        BEGUN.with(|begun| begun.store.set(store.id));
        BEGUN.with(|begun| begun.slot.set(slot));
        BEGUN.with(|begun| begun.stripe.set(stripe));
        BEGUN.with(|begun| begun.log_word.set(log_word));
        BEGUN.with(|begun| begun.log.set(log));
        BEGUN.with(|begun| begun.limits.set(limits));
    }

    #[cold]
    #[inline(never)]
    fn open(&self) {
        IS_SHORT.set(false);
        // A group beside the first is dropped when the update ends.
        let group = First::on(CLOSED).unwrap_or_else(|| {
            let further = Further::new();
            let group = further.0.clone();
            std::mem::forget(further);
            group
        });
        group.deadline.renew(self.limits.get().lock_timeout, false);
        if let Ok(mut tx) = group.tx.try_borrow_mut() {
            found::forget();
            tx.renew_at(self.slot.get(), self.log_word.get(), self.log.get());
            tx.held.add(tx::Held { stripe: self.stripe.get(), mode: Mode::Exclusive, changed: false });
        }
        group.store.set(self.store.get());
    }
}

/// A group that has locked the stripe of a value. What is called meanwhile may use the object, as part of the group. Rolled back when
/// it is dropped.
pub(crate) struct Update<'a> {
    store: &'a Store,
    taken: Taken<'a>,
    place: Offset,
    words: &'a [AtomicU64],
    is_open: bool,
}

impl<'a> Update<'a> {
    /// Begins with the words that `find` finds in a stripe; `None` if it has to be an ordinary group.
    #[inline(always)]
    pub(crate) fn begin(store: &'a Store, limits: Limits, stripe: u32, find: impl Find<'a>) -> Option<Self> {
        let (held, place, words) = small::seek(store, stripe, find)?;
        let taken = held.into_taken();
        Begun::note(store, limits, taken.slot, stripe);
        IS_SHORT.with(|is_short| is_short.set(true));
        set_open(1);
        Some(Update { store, taken, place, words, is_open: true })
    }

    /// Returns the words, which are locked.
    #[inline(always)]
    pub(crate) fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// Stores words in place of those, and ends the group. Returns whether it did; if not, somebody else has to store them.
    #[inline(always)]
    pub(crate) fn store(&mut self, new: &[u64]) -> bool {
        let fits = new.len() == self.words.len() && new.len() <= small::MOST_WORDS;
        // In a forked child, and where others have taken this process for dead, it is not ours any more.
        if !fits || !self.store.is_ready() || !self.taken.is_owned() || !IS_SHORT.get() {
            return false;
        }
        self.is_open = false;
        end_short();
        Held::again(self.taken).store(self.place, self.words, new).is_some()
    }

    /// Ends the group, unless that has been done.
    #[inline(always)]
    pub(crate) fn finish(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_open) { end(self.store, self.taken, true) } else { Ok(()) }
    }
}

/// Ends a short one, of which slot and stripe are left.
#[inline(always)]
fn end_short() {
    IS_SHORT.with(|is_short| is_short.set(false));
    set_open(0);
}

/// Ends the group of an update: its changes are made final, or undone. By value, so that the update need not lie in memory.
#[cold]
#[inline(never)]
fn end(store: &Store, taken: Taken<'_>, keep: bool) -> Result<()> {
    if IS_SHORT.get() {
        end_short();
        // A forked child leaves everything as it is.
        store.check_fork()?;
        if taken.is_owned() {
            drop(Held::again(taken));
        }
        return Ok(());
    }
    let Some(group) = current(store) else { return Ok(()) };
    let _further = First::on(store.id).is_none().then(|| Further(Rc::clone(&group)));
    group.close(store, keep)
}

impl Drop for Update<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_open {
            let _ = end(self.store, self.taken, false);
        }
    }
}
