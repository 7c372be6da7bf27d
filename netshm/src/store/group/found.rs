//! The pair that this thread's group has found last: who reads a value and then replaces it looks for it but once.

use std::cell::Cell;

use crate::layout::Offset;
use crate::store::Store;

/// A pair in the stripe that the group has locked. It stays where it is as long as the log has no further entry. (Cells, so that a
/// few stores set it.)
struct Found {
    /// Numbers of the store and of its first stripe.
    store: Cell<u64>,
    member: Cell<u32>,
    stripe: Cell<u32>,
    /// Number of entries that the group had logged by then.
    entries: Cell<u64>,
    key: Cell<u64>,
    /// Place of its value.
    place: Cell<Offset>,
}

/// No log has as many entries.
const NOTHING: u64 = u64::MAX;

thread_local! {
    /// Never dropped, so that groups work in destructors of other thread-locals and at exit.
    static FOUND: Found = const {
        Found {
            store: Cell::new(0),
            member: Cell::new(0),
            stripe: Cell::new(0),
            entries: Cell::new(NOTHING),
            key: Cell::new(0),
            place: Cell::new(Offset::at(0)),
        }
    };
}

/// Notes where the value of a key lies, in a stripe that the group has locked and when it had logged that many entries.
#[inline(always)]
pub(crate) fn note(store: &Store, stripe: u32, entries: u64, key: u64, place: Offset) {
    FOUND.with(|found| found.store.set(store.id));
    FOUND.with(|found| found.member.set(store.geometry().first()));
    FOUND.with(|found| found.stripe.set(stripe));
    FOUND.with(|found| found.entries.set(entries));
    FOUND.with(|found| found.key.set(key));
    FOUND.with(|found| found.place.set(place));
}

/// Returns the stripe and the place of the value of a key, if the key is what was found last, and the log is still as it was then.
#[inline(always)]
pub(super) fn last(store: &Store, entries: u64, key: u64) -> Option<(u32, Offset)> {
    // One small closure for each field, since a larger one is not always inlined.
    let is_it = FOUND.with(|found| found.key.get()) == key
        && FOUND.with(|found| found.entries.get()) == entries
        && FOUND.with(|found| found.member.get()) == store.geometry().first()
        && FOUND.with(|found| found.store.get()) == store.id;
    is_it.then(|| (FOUND.with(|found| found.stripe.get()), FOUND.with(|found| found.place.get())))
}

/// Forgets it: a group begins, has a further lock, or its log becomes shorter, so that a number of entries may mean others.
#[inline(always)]
pub(in crate::store) fn forget() {
    FOUND.with(|found| found.entries.set(NOTHING));
}
