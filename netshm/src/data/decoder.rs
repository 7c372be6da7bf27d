//! Where values read their words.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use bytemuck::{AnyBitPattern, Pod};

use super::encoder::{MAX_DEPTH, TOO_DEEP};
use super::{DataError, DataManager, ZeroSizedLimit};
use crate::os::copy;
use crate::sequence::Stamp;

/// More bytes are allocated only if no writer has spoiled what was read so far.
const TRUSTED_BYTES: usize = 4096;

const SHORT: DataError = DataError::new("a value", "fewer words than it needs");
const LONG: DataError = DataError::new("a value", "more words than it needs");
const SPOILED: DataError = DataError::new("a value", "changed while it was read");

#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// Others may change the words at any time.
    Shared(&'a [AtomicU64]),
    Private(&'a [u64]),
}

/// The words around an extensible value, and where it ends.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    words: Source<'a>,
    end: usize,
}

/// Reads the words of a value, one after the other.
///
/// The words may be anything: a damaged object, or a change that another process is in the middle of. (The latter only
/// for managers that declare themselves [`DIRECT`](DataManager::DIRECT); the result is then thrown away.)
#[derive(Debug)]
pub struct Decoder<'a> {
    words: Source<'a>,
    at: usize,
    stamp: Option<Stamp<'a>>,
    depth: u32,
    zero_sized: ZeroSizedLimit,
}

impl<'a> Decoder<'a> {
    /// Reads shared words; `None` for a stamp if the stripe is locked.
    #[inline]
    pub(crate) fn new(words: &'a [AtomicU64], stamp: Option<Stamp<'a>>) -> Self {
        Decoder { words: Source::Shared(words), at: 0, stamp, depth: 0, zero_sized: ZeroSizedLimit::default() }
    }

    /// Reads a copy.
    #[inline]
    pub(crate) fn from_words(words: &'a [u64]) -> Self {
        Decoder { words: Source::Private(words), at: 0, stamp: None, depth: 0, zero_sized: ZeroSizedLimit::default() }
    }

    /// Reads the next word.
    ///
    /// # Errors
    /// At the end of the words.
    #[inline(always)]
    pub fn get(&mut self) -> Result<u64, DataError> {
        let word = match self.words {
            Source::Shared(words) => words.get(self.at).ok_or(SHORT)?.load(Relaxed),
            Source::Private(words) => *words.get(self.at).ok_or(SHORT)?,
        };
        self.at += 1;
        Ok(word)
    }

    /// Reads a length, as one word.
    ///
    /// # Errors
    /// At the end of the words.
    #[inline(always)]
    pub fn take_len(&mut self) -> Result<usize, DataError> {
        self.get().map(|len| len as usize)
    }

    /// Returns the number of words that are left.
    #[inline]
    pub fn remaining(&self) -> usize {
        match self.words {
            Source::Shared(words) => words.len() - self.at,
            Source::Private(words) => words.len() - self.at,
        }
    }

    /// Reads `len` bytes, which [`put_bytes`](super::Encoder::put_bytes) wrote. Memory is allocated only if the words are there.
    ///
    /// # Errors
    /// If there are fewer.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<Vec<u8>, DataError> {
        self.packed(len)
    }

    /// Reads `len` elements that were written as bytes.
    #[inline]
    pub(crate) fn packed<T: AnyBitPattern>(&mut self, len: usize) -> Result<Vec<T>, DataError> {
        let words = len.checked_mul(size_of::<T>()).ok_or(SHORT)?.div_ceil(8);
        let end = self.claim(words)?;
        let read = match self.words {
            Source::Shared(shared) => copy::load_vec(&shared[self.at..end], len),
            Source::Private(private) => bytemuck::cast_slice::<u64, u8>(&private[self.at..end])
                .chunks_exact(size_of::<T>())
                .take(len)
                .map(bytemuck::pod_read_unaligned)
                .collect(),
        };
        self.at = end;
        Ok(read)
    }

    /// Reads elements that were written as bytes into a slice.
    #[inline]
    pub(crate) fn packed_into<T: Pod>(&mut self, into: &mut [T]) -> Result<(), DataError> {
        let into = bytemuck::cast_slice_mut::<T, u8>(into);
        let end = self.claim(into.len().div_ceil(8))?;
        match self.words {
            Source::Shared(shared) => copy::load_bytes(&shared[self.at..end], into),
            Source::Private(private) => {
                into.copy_from_slice(&bytemuck::cast_slice::<u64, u8>(&private[self.at..end])[..into.len()]);
            }
        }
        self.at = end;
        Ok(())
    }

    /// Reads the elements of an array that were written as bytes.
    #[inline]
    pub(crate) fn packed_array<T: Pod, const N: usize>(&mut self) -> Result<[T; N], DataError> {
        self.claim((N * size_of::<T>()).div_ceil(8))?;
        let mut array = [T::zeroed(); N];
        for bytes in bytemuck::cast_slice_mut::<T, u8>(&mut array).chunks_mut(8) {
            let word = self.get()?.to_ne_bytes();
            bytes.copy_from_slice(&word[..bytes.len()]);
        }
        Ok(array)
    }

    /// Skips the padding of a value of fixed size.
    ///
    /// # Errors
    /// If there are fewer words.
    #[inline]
    pub fn skip(&mut self, words: usize) -> Result<(), DataError> {
        if words > self.remaining() {
            return Err(SHORT);
        }
        self.at += words;
        Ok(())
    }

    /// Checks that `words` words are there, before memory is allocated for them, and returns where they end.
    #[inline]
    pub(crate) fn claim(&self, words: usize) -> Result<usize, DataError> {
        if words > self.remaining() {
            return Err(SHORT);
        }
        if words > TRUSTED_BYTES / 8 && self.stamp.is_some_and(|stamp| !stamp.holds()) {
            return Err(SPOILED);
        }
        Ok(self.at + words)
    }

    /// Decodes a part of a value. (Generated code reads every field this way.)
    ///
    /// # Errors
    /// Those of `T`.
    #[inline(always)]
    pub fn take<T: DataManager>(&mut self) -> Result<T, DataError> {
        if !T::DIRECT {
            self.need_copy()?;
        }
        T::decode(self)
    }

    /// Requires words that cannot change any more: fails on shared words, and the reader tries again with a copy.
    ///
    /// # Errors
    /// If others may change the words.
    #[inline]
    pub fn need_copy(&self) -> Result<(), DataError> {
        match self.words {
            Source::Shared(_) => Err(DataError::NEEDS_COPY),
            Source::Private(_) => Ok(()),
        }
    }

    /// Reads the elements of a sequence, of `size` bytes in memory; those beyond the number of their words are counted.
    #[inline]
    pub(crate) fn sequence<T>(
        &mut self,
        len: usize,
        size: usize,
        decode: impl FnOnce(&mut Self) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        // A lower bound, checked before memory is allocated.
        let (start, remaining) = (self.at, self.remaining());
        let mut at_least = self.zero_sized;
        at_least.count(len.saturating_sub(remaining), size, start + remaining)?;
        let decoded = decode(self)?;
        self.zero_sized.count(len.saturating_sub(self.at - start), size, self.at)?;
        Ok(decoded)
    }

    /// Reads a value that [`extensible`](super::Encoder::extensible) wrote: `decode` gets its words only, and what it leaves is read past.
    ///
    /// # Errors
    /// Those of `decode`; fewer words than announced.
    #[inline]
    pub fn extensible<T>(&mut self, decode: impl FnOnce(&mut Self) -> Result<T, DataError>) -> Result<T, DataError> {
        let around = self.narrow()?;
        let result = decode(self);
        self.widen(around);
        result
    }

    /// Reads the number of words of an extensible value, and shows no others until [`widen`](Self::widen).
    #[inline]
    pub(crate) fn narrow(&mut self) -> Result<Around<'a>, DataError> {
        let len = self.take_len()?;
        if len > self.remaining() {
            return Err(SHORT);
        }
        let end = self.at + len;
        let around = Around { words: self.words, end };
        self.words = match self.words {
            Source::Shared(words) => Source::Shared(&words[..end]),
            Source::Private(words) => Source::Private(&words[..end]),
        };
        Ok(around)
    }

    /// Goes on after an extensible value.
    #[inline]
    pub(crate) fn widen(&mut self, around: Around<'a>) {
        (self.words, self.at) = (around.words, around.end);
    }

    /// Returns the number of words before the next one, wherever those that are shown end.
    #[inline]
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Decodes what is inside a box or a sequence.
    ///
    /// # Errors
    /// Those of `decode`; nesting beyond 128 levels.
    #[inline]
    pub fn nested<T>(&mut self, decode: impl FnOnce(&mut Self) -> Result<T, DataError>) -> Result<T, DataError> {
        self.enter()?;
        let result = decode(self);
        self.leave();
        result
    }

    /// Enters a box or a sequence.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), DataError> {
        if self.depth == MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        self.depth += 1;
        Ok(())
    }

    /// Leaves it.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Checks that the whole value has been read.
    #[inline]
    pub(crate) fn finish(&self) -> Result<(), DataError> {
        if self.remaining() == 0 { Ok(()) } else { Err(LONG) }
    }
}
