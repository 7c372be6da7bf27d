//! The state of one change: what it holds, and what it will free.

use smallvec::SmallVec;

use crate::journal::Journal;
use crate::layout::run::RunAt;
use crate::locking::{Mode, Patience};

/// A stripe that a change holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) stripe: u32,
    pub(super) mode: Mode,
    /// Whether its sequence has been made odd.
    pub(super) changed: bool,
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
pub(crate) struct Tx {
    pub(super) slot: u32,
    pub(super) journal: Journal,
    /// Sorted by stripe.
    pub(super) held: SmallVec<[Held; 4]>,
    pub(super) deferred: SmallVec<[Deferred; 4]>,
    /// Runs taken from the run heap so far.
    pub(super) transit: u32,
    pub(super) patience: Patience,
}

/// A point in a change that it can go back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub(super) entries: u64,
    pub(super) deferred: usize,
    pub(super) transit: u32,
}

impl Tx {
    /// A change that has not begun.
    #[inline]
    pub(super) fn new(patience: Patience) -> Self {
        Tx {
            slot: 0,
            journal: Journal::unused(),
            held: SmallVec::new(),
            deferred: SmallVec::new(),
            transit: 0,
            patience,
        }
    }

    /// Makes a change that has ended one that has not begun.
    pub(super) fn renew(&mut self, patience: Patience) {
        self.held.clear();
        self.deferred.clear();
        (self.journal, self.transit, self.patience) = (Journal::unused(), 0, patience);
    }

    pub(super) fn position(&self) -> Position {
        Position { entries: self.journal.entries(), deferred: self.deferred.len(), transit: self.transit }
    }

    /// How a stripe is held, and where it is, or belongs, among the held ones.
    #[inline]
    pub(super) fn find_held(&self, stripe: u32) -> Result<usize, usize> {
        self.held.binary_search_by_key(&stripe, |held| held.stripe)
    }

    /// The frees that still mean something: what a stripe had before it was cleared goes with its chain of runs.
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
