//! The atomics that the protocols are built on. The model checks put their own in this place.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Loads with `Acquire` from what may be read-only memory. There `std` allows relaxed loads only, since on some targets others are
/// made of instructions that store as well, which trap.
#[inline(always)]
pub(crate) fn acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}

/// Like [`acquire`], for 32 bits, in one order with all `SeqCst` accesses and fences.
pub(crate) fn in_one_order(word: &AtomicU32) -> u32 {
    fence(Ordering::SeqCst);
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::SeqCst);
    value
}
