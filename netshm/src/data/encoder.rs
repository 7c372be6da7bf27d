//! Where values write their words.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{DataError, ZeroSizedLimit};
use crate::os::copy;

/// The deepest nesting of boxes and sequences, so that no value exhausts the stack.
pub(crate) const MAX_DEPTH: u32 = 128;

pub(super) const TOO_DEEP: DataError = DataError::new("a value", "boxes or sequences nested more than 128 deep");
const FULL: DataError =
    DataError::new("a value", "encoding it twice gave different lengths, or another than its FIXED");

#[derive(Debug)]
enum Sink<'a> {
    /// Counts words without writing them.
    Count,
    Private(&'a mut [u64]),
    Shared(&'a [AtomicU64]),
}

/// Takes the words of a value, one after the other. A value is encoded once to learn its length (unless that is fixed)
/// and then to write it, straight into shared memory if it is large.
#[derive(Debug)]
pub struct Encoder<'a> {
    sink: Sink<'a>,
    at: usize,
    depth: u32,
    zero_sized: ZeroSizedLimit,
    is_ordered: bool,
    /// True if a part was written by code that is not known.
    has_foreign: bool,
}

impl<'a> Encoder<'a> {
    #[inline]
    fn new(sink: Sink<'a>) -> Self {
        Encoder { sink, at: 0, depth: 0, zero_sized: ZeroSizedLimit::default(), is_ordered: false, has_foreign: false }
    }

    /// Counts only.
    #[inline]
    pub(crate) fn counting() -> Self {
        Self::new(Sink::Count)
    }

    /// Writes to private memory.
    #[inline]
    pub(crate) fn private(words: &'a mut [u64]) -> Self {
        Self::new(Sink::Private(words))
    }

    /// Writes to memory that others may see.
    #[inline]
    pub(crate) fn shared(words: &'a [AtomicU64]) -> Self {
        Self::new(Sink::Shared(words))
    }

    /// Writes to private memory, and the entries of hash maps and sets in an order that depends on nothing but them: for
    /// words that are compared with those of another process.
    #[inline]
    pub(crate) fn ordered(words: &'a mut [u64]) -> Self {
        Encoder { is_ordered: true, ..Self::private(words) }
    }

    /// Returns whether entries of hash maps and sets are sorted.
    #[inline]
    pub(crate) fn is_ordered(&self) -> bool {
        self.is_ordered
    }

    /// Notes that a part is written by code that is not known, unless it is `known`: such values are encoded before anything is
    /// locked.
    #[inline(always)]
    pub(crate) fn foreign_unless(&mut self, known: bool) {
        if !known {
            self.has_foreign = true;
        }
    }

    /// Returns whether a part was written by unknown code.
    #[inline]
    pub(crate) fn has_foreign(&self) -> bool {
        self.has_foreign
    }

    /// Returns whether words are only counted, not written.
    #[inline]
    #[cfg_attr(not(feature = "serde"), allow(dead_code))]
    pub(crate) fn is_counting(&self) -> bool {
        matches!(self.sink, Sink::Count)
    }

    /// Returns the words written so far.
    #[inline]
    pub(crate) fn written(&self) -> usize {
        self.at
    }

    /// Writes one word.
    ///
    /// # Errors
    /// If the value writes more than it announced.
    #[inline(always)]
    pub fn put(&mut self, word: u64) -> Result<(), DataError> {
        match &mut self.sink {
            Sink::Count => {}
            Sink::Private(words) => *words.get_mut(self.at).ok_or(FULL)? = word,
            Sink::Shared(words) => words.get(self.at).ok_or(FULL)?.store(word, Relaxed),
        }
        self.at += 1;
        Ok(())
    }

    /// Writes a length, as one word.
    ///
    /// # Errors
    /// Those of [`put`](Self::put).
    #[inline(always)]
    pub fn put_len(&mut self, len: usize) -> Result<(), DataError> {
        self.put(len as u64)
    }

    /// Writes bytes, eight to a word, the last word filled up with zeros. Their number is not written.
    ///
    /// # Errors
    /// Those of [`put`](Self::put).
    #[inline]
    pub fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let end = self.at + bytes.len().div_ceil(8);
        match &mut self.sink {
            Sink::Count => {}
            Sink::Private(words) => {
                let words = words.get_mut(self.at..end).ok_or(FULL)?;
                if let Some(last) = words.last_mut() {
                    *last = 0;
                    bytemuck::cast_slice_mut::<u64, u8>(words)[..bytes.len()].copy_from_slice(bytes);
                }
            }
            Sink::Shared(words) => copy::store_bytes(words.get(self.at..end).ok_or(FULL)?, bytes),
        }
        self.at = end;
        Ok(())
    }

    /// Pads a value of fixed size with zeros.
    ///
    /// # Errors
    /// Those of [`put`](Self::put).
    #[inline]
    pub fn put_zeros(&mut self, words: usize) -> Result<(), DataError> {
        (0..words).try_for_each(|_| self.put(0))
    }

    /// Writes the length of a sequence and its elements, of `size` bytes in memory; those beyond the number of their words
    /// are counted.
    #[inline]
    pub(crate) fn sequence(
        &mut self,
        len: usize,
        size: usize,
        encode: impl FnOnce(&mut Self) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.put_len(len)?;
        let start = self.at;
        encode(self)?;
        self.zero_sized.count(len.saturating_sub(self.at - start), size, self.at)
    }

    /// Writes the number of the words that `encode` writes, then these: of a type that can gain fields or variants.
    ///
    /// # Errors
    /// Those of `encode`.
    #[inline]
    pub fn extensible(&mut self, encode: impl FnOnce(&mut Self) -> Result<(), DataError>) -> Result<(), DataError> {
        let place = self.at;
        self.put(0)?;
        encode(self)?;
        let end = std::mem::replace(&mut self.at, place);
        self.put_len(end - place - 1)?;
        self.at = end;
        Ok(())
    }

    /// Encodes what is inside a box or a sequence.
    ///
    /// # Errors
    /// Those of `encode`; nesting beyond 128 levels.
    #[inline]
    pub fn nested(&mut self, encode: impl FnOnce(&mut Self) -> Result<(), DataError>) -> Result<(), DataError> {
        if self.depth == MAX_DEPTH {
            return Err(TOO_DEEP);
        }
        self.depth += 1;
        let result = encode(self);
        self.depth -= 1;
        result
    }
}
