//! The atomics that the protocols are built on. The model checks put their own in this place.

use std::sync::atomic::compiler_fence;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Orders a swap that frees a lock before later loads, in one order with all other such fences.
#[inline(always)]
pub(crate) fn fence_after_swap() {
    if cfg!(target_arch = "x86_64") {
        // There the swap is one itself.
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Loads with `Acquire` from what may be read-only memory. There `std` allows relaxed loads only, since on some targets others are
/// made of instructions that store as well, which trap.
#[inline(always)]
pub(crate) fn acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::Acquire);
    value
}

/// Loads as [`acquire`] does, for 32 bits, in one order with all `SeqCst` accesses and fences.
pub(crate) fn in_one_order(word: &AtomicU32) -> u32 {
    fence(Ordering::SeqCst);
    let value = word.load(Ordering::Relaxed);
    fence(Ordering::SeqCst);
    value
}
