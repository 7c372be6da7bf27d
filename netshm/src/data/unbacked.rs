//! Elements that no words stand for: what bounds them, when the number of words does not.

use super::DataError;

/// The elements of sequences that have no word each may be so many in a value, ...
const MOST: usize = 1 << 16;
/// ... and so many more for each word of it. Those that take memory may take as many bytes instead.
const EACH: usize = 16;

const TOO_MANY: DataError =
    DataError::new("a sequence", "elements that take no words, more than 65,536 of them or of their bytes in memory");

/// How many there are so far, in the value as a whole: a word that is the length of a sequence may stand in it often.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Unbacked(usize);

impl Unbacked {
    /// Counts elements of `size` bytes. The value has so many words up to their end.
    pub(crate) fn count(&mut self, elements: usize, size: usize, words: usize) -> Result<(), DataError> {
        self.0 = self.0.saturating_add(elements.saturating_mul(size.max(1)));
        if self.0 <= MOST.saturating_add(words.saturating_mul(EACH)) { Ok(()) } else { Err(TOO_MANY) }
    }
}
