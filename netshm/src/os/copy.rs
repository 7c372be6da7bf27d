//! Bulk moves between private memory and shared words.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Copies the first `bytes.len()` bytes of `words` out.
pub(crate) fn load_bytes(words: &[AtomicU64], bytes: &mut [u8]) {
    assert!(bytes.len() <= words.len() * 8);
    for (word, chunk) in words.iter().zip(bytes.chunks_mut(8)) {
        chunk.copy_from_slice(&word.load(Relaxed).to_ne_bytes()[..chunk.len()]);
    }
}

/// Copies `bytes` into the words, filling up the last one with zeros.
pub(crate) fn store_bytes(words: &[AtomicU64], bytes: &[u8]) {
    assert!(bytes.len() <= words.len() * 8);
    for (word, chunk) in words.iter().zip(bytes.chunks(8)) {
        let mut last = [0; 8];
        last[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_ne_bytes(last), Relaxed);
    }
}
