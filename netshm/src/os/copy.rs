//! Bulk moves between private memory and shared words.
//!
//! Shared words may change at any time, so they are never seen as `&[u64]` or `&[u8]`. A loop of relaxed atomic loads
//! or stores is right but several times slower than `memcpy`, since the compiler may not merge them. Large moves
//! therefore are one `rep movsb` on x86-64: opaque to the compiler, and for the machine a series of plain accesses.
//! What a move catches of a concurrent store is any mixture of old and new bytes; readers validate afterwards.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// From this many bytes on, the string instruction beats a loop of words.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const BULK: usize = 256;
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
const BULK: usize = usize::MAX;

/// Copies the first `bytes.len()` bytes of `words` out.
///
/// # Panics
/// If `words` is too short.
pub(crate) fn load_bytes(words: &[AtomicU64], bytes: &mut [u8]) {
    assert!(bytes.len() <= words.len() * 8);
    if bytes.len() >= BULK {
        // SAFETY: both are valid for that many bytes (just checked), and they are distinct memory, since `bytes` is
        // exclusively borrowed.
        return unsafe { bulk(words.as_ptr().cast(), bytes.as_mut_ptr(), bytes.len()) };
    }
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    for (word, chunk) in words.iter().zip(&mut *whole) {
        *chunk = word.load(Relaxed).to_ne_bytes();
    }
    if !rest.is_empty() {
        rest.copy_from_slice(&words[whole.len()].load(Relaxed).to_ne_bytes()[..rest.len()]);
    }
}

/// Copies `bytes` into the words, filling up the last one with zeros.
///
/// # Panics
/// If `words` is too short.
pub(crate) fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    assert!(bytes.len() <= words.len() * 8);
    let (whole, rest) = bytes.as_chunks::<8>();
    if bytes.len() >= BULK {
        // SAFETY: both are valid for that many bytes (just checked); `words` may be written to, being atomics, and a
        // place that is borrowed as `bytes` is not shared memory.
        unsafe { bulk(bytes.as_ptr(), words.as_ptr().cast::<u8>().cast_mut(), whole.len() * 8) };
    } else {
        for (word, chunk) in words.iter().zip(whole) {
            word.store(u64::from_ne_bytes(*chunk), Relaxed);
        }
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
    if size_of_val(out) >= BULK {
        // SAFETY: both are valid for that many bytes, and they are distinct memory, since `out` is exclusively
        // borrowed.
        return unsafe { bulk(words.as_ptr().cast(), out.as_mut_ptr().cast(), size_of_val(words)) };
    }
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
    if size_of_val(values) >= BULK {
        // SAFETY: both are valid for that many bytes; `words` may be written to, being atomics, and a place that is
        // borrowed as `values` is not shared memory.
        return unsafe { bulk(values.as_ptr().cast(), words.as_ptr().cast::<u8>().cast_mut(), size_of_val(words)) };
    }
    for (word, value) in words.iter().zip(values) {
        word.store(*value, Relaxed);
    }
}

/// Moves `len` bytes, one of the two sides being shared.
///
/// # Safety
/// `from` must be valid for reads and `to` for writes of `len` bytes, and they must not overlap.
#[cfg(all(target_arch = "x86_64", not(miri)))]
unsafe fn bulk(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the instruction reads and writes exactly what the caller vouches for; the direction flag is clear, as
    // everywhere in Rust code.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") from => _,
            inout("rdi") to => _,
            options(nostack, preserves_flags),
        )
    }
}

/// Never called: no length reaches the limit.
///
/// # Safety
/// None needed.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
unsafe fn bulk(_from: *const u8, _to: *mut u8, _len: usize) {
    unreachable!("no move is as long as the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 12] = [0, 1, 7, 8, 9, 63, 255, 256, 257, 264, 1000, 70_001];

    fn shared(bytes: usize) -> Vec<AtomicU64> {
        (0..bytes.div_ceil(8) + 2).map(|_| AtomicU64::new(u64::MAX)).collect()
    }

    #[test]
    fn bytes_come_back_and_nothing_else_changes() {
        for len in LENGTHS {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + 1) as u8).collect();
            let words = shared(len);
            store_bytes(&words[1..], &bytes);
            let mut all = vec![0; words.len() * 8];
            load_bytes(&words, &mut all);
            let end = 8 + len.next_multiple_of(8);
            assert_eq!(&all[..8], [255; 8], "{len}");
            assert_eq!(&all[8..8 + len], bytes, "{len}");
            assert!(all[8 + len..end].iter().all(|&byte| byte == 0), "{len}");
            assert!(all[end..].iter().all(|&byte| byte == 255), "{len}");
            let mut part = vec![0; len + 2];
            load_bytes(&words[1..], &mut part[1..=len]);
            assert_eq!(part[1..=len], bytes, "{len}");
            assert_eq!((part[0], part[len + 1]), (0, 0), "{len}");
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
    #[should_panic(expected = "bytes.len() <= words.len() * 8")]
    fn too_many_bytes_are_refused() {
        load_bytes(&shared(0), &mut [0; 17]);
    }
}
