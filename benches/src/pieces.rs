//! What a protected addition to a bin costs, piece by piece: the accesses to memory that netshm's protocol makes for it, with nothing
//! around them (no checks, nothing looked up, all in private memory).

use std::hint::{black_box, spin_loop};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

/// The pieces, each on top of those before.
pub const PIECES: [&str; 4] = [
    "the stripe's lock and its release",
    "taking and giving back a slot",
    "the sequence, twice",
    "the log, and the commit",
];

/// Bins to a stripe, as in an array of numbers.
const EACH: usize = 256;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    owner: AtomicU32,
    log: AtomicU64,
    pending: [AtomicU64; 3],
    entry: [AtomicU64; 2],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    lock: AtomicU32,
    watch: AtomicU32,
    sequence: AtomicU64,
}

/// Bins, with what protects them.
#[derive(Debug)]
pub struct Bins {
    bins: Vec<AtomicU64>,
    stripes: Vec<Stripe>,
    slot: Slot,
}

impl Bins {
    /// Returns empty bins.
    pub fn new(bins: usize) -> Bins {
        let stripes = (0..bins.div_ceil(EACH)).map(|_| Stripe::default()).collect();
        Bins { bins: (0..bins).map(|_| AtomicU64::new(0)).collect(), stripes, slot: Slot::default() }
    }

    /// Adds to a bin as an atomic word.
    #[inline]
    pub fn add_plainly(&self, bin: usize) {
        self.bins[bin].fetch_add(1, Relaxed);
    }

    /// Adds to a bin with the first of the [`PIECES`].
    #[inline]
    pub fn add<const FIRST: usize>(&self, bin: usize) {
        let (bin, stripe, slot) = (&self.bins[bin], &self.stripes[bin / EACH], &self.slot);
        if FIRST >= 2 {
            while slot.owner.compare_exchange(0, 1, SeqCst, Relaxed).is_err() {
                spin_loop();
            }
            black_box(slot.pending.iter().fold(0, |all, word| all | word.load(Relaxed)));
        }
        while stripe.lock.compare_exchange(0, 1, SeqCst, Relaxed).is_err() {
            spin_loop();
        }
        if FIRST >= 3 {
            stripe.sequence.store(stripe.sequence.load(Relaxed) | 1, Relaxed);
            fence(Release);
        }
        let old = bin.load(Relaxed);
        if FIRST >= 4 {
            slot.entry[0].store(old.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44, Relaxed);
            slot.entry[1].store(old, Relaxed);
            slot.log.store(slot.log.load(Relaxed) + 1, Release);
        }
        bin.store(old + 1, Release);
        if FIRST >= 4 {
            slot.log.store((slot.log.load(Relaxed) >> 32 << 32) + (1 << 32), Release);
        }
        if FIRST >= 3 {
            stripe.sequence.store(stripe.sequence.load(Relaxed) + 3, Release);
        }
        black_box(stripe.lock.swap(0, AcqRel));
        black_box(stripe.watch.load(Acquire));
        if FIRST >= 2 {
            slot.owner.store(0, Release);
        }
    }
}
