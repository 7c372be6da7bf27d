//! Updates: groups that begin as a small transaction, and end as one if nothing but the value that they began with has changed.

use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use super::state::{CLOSED, Group, PASSING};
use super::threads::{First, OPEN};
use crate::error::Result;
use crate::layout::Offset;
use crate::locking::Mode;
use crate::region::Region;
use crate::store::small::{self, Held};
use crate::store::{Limits, Store, tx};

/// A group that has locked the stripe of a value. What is called meanwhile may use the object, as part of the group. Rolled back when
/// it is dropped.
pub(crate) struct Update<'a> {
    group: Rc<Group>,
    store: &'a Store,
    slot: u32,
    stripe: u32,
    place: Offset,
    words: &'a [AtomicU64],
    is_open: bool,
}

impl<'a> Update<'a> {
    /// Begins with the words that `find` finds in a stripe; `None` if it has to be an ordinary group.
    #[inline(always)]
    pub(crate) fn begin(
        store: &'a Store,
        limits: Limits,
        stripe: u32,
        find: impl Fn(&'a Region) -> Option<(Offset, &'a [AtomicU64])>,
    ) -> Option<Self> {
        let (held, place, words) = small::seek(store, stripe, find)?;
        let group = First::on(CLOSED)?;
        {
            let mut tx = group.tx.try_borrow_mut().ok()?;
            group.store.set(PASSING);
            group.deadline.renew(limits.lock_timeout, false);
            tx.renew(held.slot(), store.geometry());
            tx.held.add(tx::Held { stripe, mode: Mode::Exclusive, changed: false });
        }
        let slot = held.into_slot();
        group.store.set(store.id);
        OPEN.set(1);
        Some(Update { group, store, slot, stripe, place, words, is_open: true })
    }

    /// Returns the words, which are locked.
    #[inline(always)]
    pub(crate) fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// Stores words in place of those, and ends the group. Returns whether it did; if not, somebody else has to store them.
    #[inline(always)]
    pub(crate) fn store(&mut self, new: &[u64]) -> bool {
        let store = self.store;
        let fits = new.len() == self.words.len() && new.len() <= small::MOST_WORDS;
        if !fits || !store.is_ready() || !self.is_untouched() {
            return false;
        }
        self.is_open = false;
        OPEN.set(OPEN.get() - 1);
        self.group.store.set(CLOSED);
        Held::again(store, self.slot, self.stripe).store(self.place, self.words, new).is_some()
    }

    /// Returns whether nothing has been changed or locked but the value's stripe, and forgets that this is.
    #[inline(always)]
    fn is_untouched(&self) -> bool {
        let Ok(mut tx) = self.group.tx.try_borrow_mut() else { return false };
        let is_untouched = self.group.obstacles.get() == 0
            && tx.held.single().is_some_and(|held| held.stripe == self.stripe && !held.changed)
            && tx.journal.entries() == 0
            && tx.deferred.is_empty()
            && tx.transit == 0
            && self.store.owns_slot(self.slot);
        if is_untouched {
            tx.held.clear_single();
        }
        is_untouched
    }

    /// Ends the group, unless that has been done.
    #[inline(always)]
    pub(crate) fn finish(mut self) -> Result<()> {
        if std::mem::take(&mut self.is_open) { self.group.close(self.store, true) } else { Ok(()) }
    }
}

impl Drop for Update<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_open {
            self.roll_back();
        }
    }
}

impl Update<'_> {
    #[cold]
    #[inline(never)]
    fn roll_back(&self) {
        let _ = self.group.close(self.store, false);
    }
}
