//! Bulk moves between private memory and shared words.
//!
//! Shared words may change at any time, so they are never seen as `&[u64]` or `&[u8]`. A loop of relaxed atomic loads
//! or stores is right but two to four times slower than `memcpy`, since the compiler may not merge them. So on x86-64
//! the bulk is moved by a loop of 16-byte moves in assembler: opaque to the compiler, and for the machine a series of
//! plain accesses. It keeps up with `memcpy`. (`rep movsb` does so only most of the time: on some processors it is
//! fifteen times slower when the target lies up to 63 bytes further into its page than the source.)
//!
//! What a move catches of a concurrent store is any mixture of old and new bytes; readers validate afterwards.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytemuck::AnyBitPattern;

/// Granularity of bulk copies, in bytes.
const BLOCK: usize = 64;
const BLOCK_WORDS: usize = BLOCK / 8;

/// Copies the first `len * size_of::<T>()` bytes of `words` out, as `len` values.
///
/// # Panics
/// If `words` is too short.
#[inline]
pub(crate) fn load_vec<T: AnyBitPattern>(words: &[AtomicU64], len: usize) -> Vec<T> {
    assert!(len <= words.len() * 8 / size_of::<T>().max(1));
    let mut values: Vec<T> = Vec::with_capacity(len);
    // SAFETY: `load` requires that many bytes in `words`, as asserted, and behind a pointer that is valid for writing and does
    // not overlap them: the vector has reserved room for `len` values, which nobody else has access to.
    unsafe { load(words, values.as_mut_ptr().cast(), len * size_of::<T>()) };
    // SAFETY: `set_len` requires a length within the capacity, which was reserved, and initialised elements: all bytes of `len`
    // values have been written, and any bytes are a value (`AnyBitPattern`).
    unsafe { values.set_len(len) };
    values
}

/// Fills `out` with the first bytes of `words`.
///
/// # Panics
/// If `words` is too short.
pub(crate) fn load_bytes(words: &[AtomicU64], out: &mut [u8]) {
    assert!(out.len() <= words.len() * 8);
    // SAFETY: `load` requires that many bytes in `words`, as asserted, and behind a pointer that is valid for writing and does
    // not overlap them: `out` is exclusively borrowed, so it is no part of `words`.
    unsafe { load(words, out.as_mut_ptr(), out.len()) };
}

/// Copies the first `len` bytes of `words` out.
///
/// # Safety
/// `words` must have that number of bytes, and `to` must be valid for writing them and not overlap `words`.
#[inline]
unsafe fn load(words: &[AtomicU64], to: *mut u8, len: usize) {
    let bulk = bulk_words(len / 8);
    let (from, words) = words.split_at(bulk);
    // SAFETY: `move_bulk` requires memory that is valid for reading and writing, and does not overlap. `from` is a reference to
    // `bulk` words, which are no more than `len` bytes; for `to` the caller vouches.
    unsafe { move_bulk(from.as_ptr().cast(), to, bulk * 8) };
    let mut done = bulk * 8;
    for word in words {
        let bytes = word.load(Relaxed).to_ne_bytes();
        let count = (len - done).min(8);
        if count == 0 {
            break;
        }
        // SAFETY: `add` requires that the memory up to the result lies in one allocation: `done <= len`, and `to` is valid for
        // writing `len` bytes.
        let place = unsafe { to.add(done) };
        // SAFETY: `copy_from_nonoverlapping` requires a source valid for reading and a target valid for writing `count` bytes:
        // `bytes` has 8, and `done + count <= len`. A local array does not overlap what the caller vouches for.
        unsafe { place.copy_from_nonoverlapping(bytes.as_ptr(), count) };
        done += count;
    }
}

/// Copies `bytes` into the words, filling up the last one with zeros.
///
/// # Panics
/// If `words` is too short.
pub(crate) fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    assert!(bytes.len() <= words.len() * 8);
    let bulk = bulk_words(bytes.len() / 8);
    let (start, bytes) = bytes.split_at(bulk * 8);
    let (to, words) = words.split_at(bulk);
    // SAFETY: `move_bulk` requires memory that is valid for reading and writing, and does not overlap. Both parts have `bulk`
    // words. Atomics may be written through a shared reference, being `UnsafeCell`s; what is borrowed as plain bytes nobody
    // writes meanwhile, so it is no part of `words`.
    unsafe { move_bulk(start.as_ptr(), to.as_ptr().cast::<u8>().cast_mut(), bulk * 8) };
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter().zip(whole) {
        word.store(u64::from_ne_bytes(*chunk), Relaxed);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words[whole.len()].store(u64::from_ne_bytes(last), Relaxed);
    }
}

/// Copies the first `out.len()` words out.
///
/// # Panics
/// If `words` is too short.
pub(crate) fn load_words(words: &[AtomicU64], out: &mut [u64]) {
    let words = &words[..out.len()];
    let bulk = bulk_words(out.len());
    let (from, words) = words.split_at(bulk);
    let (start, out) = out.split_at_mut(bulk);
    // SAFETY: `move_bulk` requires memory that is valid for reading and writing, and does not overlap. Both parts have `bulk`
    // words, and `start` is exclusively borrowed.
    unsafe { move_bulk(from.as_ptr().cast(), start.as_mut_ptr().cast(), bulk * 8) };
    for (word, out) in words.iter().zip(out) {
        *out = word.load(Relaxed);
    }
}

/// Copies `values` into the first words.
///
/// # Panics
/// If `words` is too short.
pub(crate) fn store_words(words: &[AtomicU64], values: &[u64]) {
    let words = &words[..values.len()];
    let bulk = bulk_words(values.len());
    let (to, words) = words.split_at(bulk);
    let (start, values) = values.split_at(bulk);
    // SAFETY: `move_bulk` requires memory that is valid for reading and writing, and does not overlap. Both parts have `bulk`
    // words. Atomics may be written through a shared reference, being `UnsafeCell`s; what is borrowed as plain words nobody
    // writes meanwhile, so it is no part of `words`.
    unsafe { move_bulk(start.as_ptr().cast(), to.as_ptr().cast::<u8>().cast_mut(), bulk * 8) };
    for (word, value) in words.iter().zip(values) {
        word.store(*value, Relaxed);
    }
}

/// Returns how many of `words` words can be moved in bulk.
#[inline]
fn bulk_words(words: usize) -> usize {
    if cfg!(all(target_arch = "x86_64", not(miri))) { words / BLOCK_WORDS * BLOCK_WORDS } else { 0 }
}

/// Moves `len` bytes, a multiple of [`BLOCK`], one of the two sides being shared.
///
/// # Safety
/// `from` must be valid for reads and `to` for writes of `len` bytes, and they must not overlap.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
unsafe fn move_bulk(from: *const u8, to: *mut u8, len: usize) {
    debug_assert_eq!(len % BLOCK, 0);
    if len == 0 {
        return;
    }
    // SAFETY: assembler must keep to its operands and options. It reads and writes exactly the `len` bytes that the caller
    // vouches for: each round moves one block, and the loop ends after the last one, for `len` is a positive multiple of it. It
    // uses no stack, and all registers that it changes are outputs. Every x86-64 has `movups`, which needs no alignment.
    unsafe {
        std::arch::asm!(
            "2:",
            "movups {a}, [{from}]",
            "movups {b}, [{from} + 16]",
            "movups {c}, [{from} + 32]",
            "movups {d}, [{from} + 48]",
            "movups [{to}], {a}",
            "movups [{to} + 16], {b}",
            "movups [{to} + 32], {c}",
            "movups [{to} + 48], {d}",
            "add {from}, {block}",
            "add {to}, {block}",
            "sub {len}, {block}",
            "jnz 2b",
            a = out(xmm_reg) _,
            b = out(xmm_reg) _,
            c = out(xmm_reg) _,
            d = out(xmm_reg) _,
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            block = const BLOCK,
            options(nostack),
        )
    }
}

/// Does nothing, and is never called: [`bulk_words`] returns no bulk here.
///
/// # Safety
/// None needed.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
unsafe fn move_bulk(_from: *const u8, _to: *mut u8, len: usize) {
    debug_assert_eq!(len, 0);
}

/// Asks the processor to fetch the cache line of a word; where there is no such instruction, nothing happens.
#[inline]
pub(crate) fn prefetch(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: `_mm_prefetch` requires SSE, which every x86-64 has. It is a hint, and accesses no memory, whatever the
        // address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(word.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 14] = [0, 1, 7, 8, 9, 63, 64, 65, 72, 127, 128, 135, 1000, 70_001];

    /// Returns the words for that many bytes and one on either side, all bits set.
    fn shared(bytes: usize) -> Vec<AtomicU64> {
        (0..bytes.div_ceil(8) + 2).map(|_| AtomicU64::new(u64::MAX)).collect()
    }

    #[test]
    fn bytes_come_back_and_nothing_else_changes() {
        for len in LENGTHS {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + 1) as u8).collect();
            let words = shared(len);
            store_bytes(&words[1..], &bytes);
            let all: Vec<u8> = load_vec(&words, words.len() * 8);
            let end = 8 + len.next_multiple_of(8);
            assert_eq!(&all[..8], [255; 8], "{len}");
            assert_eq!(&all[8..8 + len], bytes, "{len}");
            assert!(all[8 + len..end].iter().all(|&byte| byte == 0), "{len}");
            assert!(all[end..].iter().all(|&byte| byte == 255), "{len}");
            assert_eq!(load_vec::<u8>(&words[1..], len), bytes, "{len}");
            let mut filled = vec![1; len];
            load_bytes(&words[1..], &mut filled);
            assert_eq!(filled, bytes, "{len}");
            assert_eq!(load_vec::<[u8; 4]>(&words[1..], len / 4), bytes.as_chunks::<4>().0, "{len}");
        }
    }

    #[test]
    fn words_come_back_and_nothing_else_changes() {
        for len in LENGTHS {
            let values: Vec<u64> = (0..len as u64).map(|i| i.wrapping_mul(0x0101_0101_0101_0101)).collect();
            let words = shared(len * 8);
            store_words(&words[1..], &values);
            let mut all = vec![0; words.len()];
            load_words(&words, &mut all);
            assert_eq!(all[0], u64::MAX);
            assert_eq!(&all[1..=len], values);
            assert_eq!(all[len + 1], u64::MAX);
        }
    }

    #[test]
    #[should_panic(expected = "len <= words.len()")]
    fn too_many_bytes_are_refused() {
        load_vec::<u8>(&shared(0), 17);
    }
}
