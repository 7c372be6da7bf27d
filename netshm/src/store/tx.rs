//! The state of one change: what it holds, and what it will free.

use std::ops::Range;

use smallvec::SmallVec;

use super::Store;
use super::audit::Audit;
use crate::journal::Journal;
use crate::layout::run::RunAt;
use crate::layout::{Geometry, LogAt, Offset};
use crate::locking::{Mode, Protocol};

/// A stripe that a change holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) stripe: u32,
    pub(super) mode: Mode,
    /// True if its sequence has been made odd.
    pub(super) changed: bool,
}

/// The stripes that a change holds, sorted. Most changes hold a single one.
#[derive(Default)]
pub(super) struct HeldStripes {
    single: Option<Held>,
    /// All of them, as soon as there is more than one.
    several: Vec<Held>,
}

impl HeldStripes {
    #[inline]
    pub(super) fn as_slice(&self) -> &[Held] {
        if self.several.is_empty() { self.single.as_slice() } else { &self.several }
    }

    /// Returns whether only that stripe is held, in that mode or exclusively.
    #[inline]
    pub(super) fn is_only(&self, stripe: u32, mode: Mode) -> bool {
        self.single.is_some_and(|held| held.stripe == stripe && (held.mode == Mode::Exclusive || held.mode == mode))
    }

    /// Returns the only lock, which is known to be there.
    #[inline(always)]
    pub(super) fn only(&mut self) -> &mut Held {
        self.single.as_mut().unwrap_or_else(|| unreachable!("it has been looked at"))
    }

    /// Returns the stripe that is held, if there is but one.
    #[inline]
    pub(super) fn single(&self) -> Option<Held> {
        // Taken out as soon as there are several.
        self.single
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.single.is_none() && self.several.is_empty()
    }

    /// Returns the mode in which a stripe is held.
    #[inline]
    pub(super) fn mode_of(&self, stripe: u32) -> Option<Mode> {
        self.as_slice().binary_search_by_key(&stripe, |held| held.stripe).ok().map(|index| self.as_slice()[index].mode)
    }

    /// Returns a stripe that is held, and raises its mode if necessary.
    pub(super) fn raise(&mut self, stripe: u32, mode: Mode) -> &mut Held {
        let all = if self.several.is_empty() { self.single.as_mut_slice() } else { &mut self.several };
        let index = all.partition_point(|held| held.stripe < stripe);
        if mode == Mode::Exclusive {
            all[index].mode = mode;
        }
        &mut all[index]
    }

    /// Adds a stripe that has not been held.
    #[inline]
    pub(super) fn add(&mut self, held: Held) -> &mut Held {
        if self.is_empty() { self.single.insert(held) } else { self.add_another(held) }
    }

    #[cold]
    fn add_another(&mut self, held: Held) -> &mut Held {
        self.several.extend(self.single.take());
        let index = self.several.partition_point(|other| other.stripe < held.stripe);
        self.several.insert(index, held);
        &mut self.several[index]
    }

    /// Takes all of them, with that mode, where none has been held.
    pub(super) fn add_all(&mut self, stripes: Range<u32>, mode: Mode) {
        let held = |stripe| Held { stripe, mode, changed: false };
        if stripes.len() == 1 {
            self.single = Some(held(stripes.start));
        } else {
            self.several.extend(stripes.map(held));
        }
    }

    pub(super) fn clear(&mut self) {
        self.single = None;
        self.several.clear();
    }

    /// Forgets the only one.
    #[inline]
    pub(super) fn clear_single(&mut self) {
        self.single = None;
    }
}

/// Memory that becomes free when the change is committed, not before: undoing brings back only words in the log.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deferred {
    /// A record of a stripe.
    Record { stripe: u32, at: u64 },
    /// A run of a stripe.
    Run { stripe: u32, run: RunAt },
    /// Everything that the stripe had, from the first run of its chain.
    All { stripe: u32, first: Option<RunAt> },
}

impl Deferred {
    fn stripe(self) -> u32 {
        match self {
            Deferred::Record { stripe, .. } | Deferred::Run { stripe, .. } | Deferred::All { stripe, .. } => stripe,
        }
    }
}

/// A change under way. Without the store, so that a thread can keep it beside others.
pub(crate) struct TxState {
    pub(super) slot: u32,
    pub(super) journal: Journal,
    pub(super) held: HeldStripes,
    pub(super) deferred: SmallVec<[Deferred; 4]>,
    /// Runs taken from the run heap so far.
    pub(super) transit: u32,
    /// True if the change has shortened an area: then memory past its end may have been in use when the change began.
    pub(super) vacated: bool,
    /// True if a part of the change could not be rolled back completely, so that all of it has to be.
    pub(super) torn: bool,
    /// True if what is only read is locked as if it were changed.
    pub(super) reads_to_change: bool,
    pub(super) audit: Audit,
}

/// A point in a change that it can go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(super) entries: u64,
    pub(super) deferred: usize,
    pub(super) transit: u32,
}

impl TxState {
    /// Returns a change that has taken a slot.
    #[inline]
    pub(super) fn new(slot: u32, geometry: &Geometry) -> Self {
        Self::with(slot, Journal::new(geometry.slot(slot).log_word(), geometry.log(slot)))
    }

    /// Returns a change without locks, as memory for later ones.
    pub(super) fn none() -> Self {
        Self::with(0, Journal::new(Offset::at(0), LogAt(0)))
    }

    #[inline(always)]
    fn with(slot: u32, journal: Journal) -> Self {
        TxState {
            slot,
            journal,
            held: HeldStripes::default(),
            deferred: SmallVec::new(),
            transit: 0,
            vacated: false,
            torn: false,
            reads_to_change: false,
            audit: Audit::default(),
        }
    }

    /// Reuses the memory of an ended change for a new one.
    #[inline]
    pub(super) fn renew(&mut self, slot: u32, geometry: &Geometry) {
        self.renew_at(slot, geometry.slot(slot).log_word(), geometry.log(slot));
    }

    /// Works like [`renew`](Self::renew), where the log of the slot lies there.
    #[inline]
    pub(super) fn renew_at(&mut self, slot: u32, log_word: Offset, log: LogAt) {
        debug_assert!(self.held.is_empty() && self.deferred.is_empty());
        self.journal.renew(log_word, log);
        (self.slot, self.transit) = (slot, 0);
        (self.vacated, self.torn, self.reads_to_change) = (false, false, false);
        self.audit.clear();
    }

    /// Tells readers that the only stripe changes, if they have not been told. The mark has been set.
    #[inline(always)]
    pub(super) fn begin_only(&mut self, store: &Store) {
        let held = self.held.only();
        if !held.changed {
            held.changed = true;
            store.sequence(held.stripe).begin_change();
            self.audit.begin_stripe(store, held.stripe);
        }
    }

    /// Returns the mode in which stripes are locked for reading.
    #[inline]
    pub(super) fn read_mode(&self, store: &Store) -> Mode {
        if self.reads_to_change { Mode::Exclusive } else { store.shared.locks.read_mode() }
    }

    /// Forgets a change that others have undone.
    pub(super) fn forget(&mut self) {
        self.held.clear();
        self.deferred.clear();
    }

    #[inline]
    pub(super) fn position(&self) -> Position {
        Position { entries: self.journal.entries(), deferred: self.deferred.len(), transit: self.transit }
    }

    /// Takes the deferred frees, without those of records that a later `clear` of their stripe frees anyway.
    pub(super) fn take_deferred(&mut self) -> SmallVec<[Deferred; 4]> {
        let mut deferred = std::mem::take(&mut self.deferred);
        if deferred.iter().any(|item| matches!(item, Deferred::All { .. })) {
            let mut cleared = std::collections::HashSet::new();
            let mut kept: SmallVec<[Deferred; 4]> = SmallVec::new();
            for item in deferred.iter().rev() {
                let gone = cleared.contains(&item.stripe());
                if matches!(item, Deferred::All { .. }) {
                    cleared.insert(item.stripe());
                    kept.push(*item);
                } else if !gone {
                    kept.push(*item);
                }
            }
            kept.reverse();
            deferred = kept;
        }
        deferred
    }
}
