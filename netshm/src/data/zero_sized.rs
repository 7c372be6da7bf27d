//! Limits the number of zero-sized elements, which the word count of a value cannot bound.

use super::DataError;

/// Elements without a word of their own that any value may have, ...
const MOST: usize = 1 << 16;
/// ... and more of them for each word. Elements that take memory may take as many bytes instead.
const EACH: usize = 16;

const TOO_MANY: DataError =
    DataError::new("a sequence", "elements that take no words, more than 65,536 of them or of their bytes in memory");

/// The number so far, in the value as a whole: it may contain many sequences.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ZeroSizedLimit(usize);

impl ZeroSizedLimit {
    /// Counts elements of `size` bytes; `words` is the length of the value up to their end.
    pub(crate) fn count(&mut self, elements: usize, size: usize, words: usize) -> Result<(), DataError> {
        self.0 = self.0.saturating_add(elements.saturating_mul(size.max(1)));
        if self.0 <= MOST.saturating_add(words.saturating_mul(EACH)) { Ok(()) } else { Err(TOO_MANY) }
    }
}
