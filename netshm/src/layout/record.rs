//! Records, and the free blocks between them.
//!
//! ```text
//! head word  pointer 41 | previous block free 1 | free 1 | pad 3 | key words 7 | value words 11      used
//!            pointer 41 | previous block free 1 | free 1 |        words 21                           free
//! ```
//! The pointer of a record leads to the older binding of its key, that of a free block to the next one of its
//! class. Records with longer keys or values have 127 as their number of key words and both lengths in a second
//! word. Pointers count words, so that 41 bits reach 2^44 bytes.

use super::WORD;

pub(super) const LOW_BITS: u32 = 23;
pub(super) const LOW: u64 = (1 << LOW_BITS) - 1;
const PREVIOUS_FREE: u64 = 1 << 22;
const FREE: u64 = 1 << 21;
const PAD_SHIFT: u32 = 18;
const KEY_SHIFT: u32 = 11;
const KEY_LONG: u64 = 127;
const VALUE_MASK: u64 = (1 << 11) - 1;
const SIZE_MASK: u64 = FREE - 1;
/// This padding marks the end of a chunk: real blocks have four words at most, two to reach the smallest block and
/// two that are too few for a free block.
const END_PAD: u64 = 7;

/// The smallest block in words: what a free block needs for head, link and footer.
pub(crate) const MIN_BLOCK: u64 = 3;
/// Records of more words than this have a run of their own.
pub(crate) const LARGE: u64 = 1024;

/// Returns a pointer in the high bits of a word.
pub(super) const fn pack(address: u64) -> u64 {
    (address / WORD) << LOW_BITS
}
pub(super) const fn unpack(word: u64) -> u64 {
    (word >> LOW_BITS) * WORD
}

/// Lengths of a record's parts, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    pub(crate) key: u64,
    pub(crate) value: u64,
}

impl Lengths {
    /// Returns whether a second head word is needed.
    pub(crate) const fn is_long(self) -> bool {
        self.key >= KEY_LONG || self.value > VALUE_MASK
    }
    /// Returns the number of words before the key.
    pub(crate) const fn head_words(self) -> u64 {
        1 + self.is_long() as u64
    }
    /// Returns the number of words of the whole record, without padding.
    pub(crate) const fn words(self) -> u64 {
        self.head_words() + self.key + self.value
    }
    /// Returns whether the record has a run of its own.
    pub(crate) const fn is_large(self) -> bool {
        self.words() > LARGE
    }
    /// Returns the second head word of a long record.
    pub(crate) const fn long_word(self) -> u64 {
        self.key << 32 | self.value
    }
    /// Decodes the second head word.
    pub(crate) const fn from_long_word(word: u64) -> Self {
        Lengths { key: word >> 32, value: word & 0xffff_ffff }
    }
}

/// The head word of a block in a chunk, or of a large record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head(pub(crate) u64);

impl Head {
    /// Returns the head of a record whose older binding lies at `older` (0: none).
    pub(crate) const fn record(lengths: Lengths, pad: u64, older: u64) -> Self {
        let parts = if lengths.is_long() { KEY_LONG << KEY_SHIFT } else { lengths.key << KEY_SHIFT | lengths.value };
        Head(pack(older) | pad << PAD_SHIFT | parts)
    }
    /// Returns the head of a free block.
    pub(crate) const fn free(words: u64, next: u64) -> Self {
        Head(pack(next) | FREE | words)
    }
    /// Returns the word after a chunk's last block; it leads back to the chunk.
    pub(crate) const fn end_of_chunk(chunk: u64) -> Self {
        Head(pack(chunk) | END_PAD << PAD_SHIFT)
    }
    pub(crate) const fn pointer(self) -> u64 {
        unpack(self.0)
    }
    pub(crate) const fn with_pointer(self, address: u64) -> Self {
        Head(pack(address) | self.0 & LOW)
    }
    pub(crate) const fn is_free(self) -> bool {
        self.0 & FREE != 0
    }
    pub(crate) const fn previous_free(self) -> bool {
        self.0 & PREVIOUS_FREE != 0
    }
    pub(crate) const fn with_previous_free(self, free: bool) -> Self {
        Head(self.0 & !PREVIOUS_FREE | (free as u64 * PREVIOUS_FREE))
    }
    /// Returns whether it ends a chunk.
    pub(crate) const fn is_end(self) -> bool {
        !self.is_free() && self.pad() == END_PAD
    }
    pub(crate) const fn is_long(self) -> bool {
        (self.0 >> KEY_SHIFT) & 127 == KEY_LONG
    }
    /// Returns the lengths of a short record.
    pub(crate) const fn lengths(self) -> Lengths {
        Lengths { key: (self.0 >> KEY_SHIFT) & 127, value: self.0 & VALUE_MASK }
    }
    pub(crate) const fn pad(self) -> u64 {
        (self.0 >> PAD_SHIFT) & 7
    }
    /// Returns the number of words of a free block.
    pub(crate) const fn free_words(self) -> u64 {
        self.0 & SIZE_MASK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_keep_their_parts() {
        for key in [0, 1, 126, 127, 5000] {
            for value in [0, 1, 2047, 2048, 1 << 28] {
                let lengths = Lengths { key, value };
                let head = Head::record(lengths, 2, 0x1234_5678).with_previous_free(true);
                assert_eq!(head.is_long(), lengths.is_long());
                if !head.is_long() {
                    assert_eq!(head.lengths(), lengths);
                }
                assert_eq!(Lengths::from_long_word(lengths.long_word()), lengths);
                assert_eq!((head.pointer(), head.pad()), (0x1234_5678, 2));
                assert!(head.previous_free() && !head.is_free() && !head.is_end());
                assert_eq!(head.with_pointer(8).with_pointer(0x1234_5678), head);
            }
        }
        let free = Head::free(8192, 1 << 43);
        assert!(free.is_free() && !free.is_end() && !free.previous_free());
        assert_eq!((free.free_words(), free.pointer()), (8192, 1 << 43));
        assert!(Head::end_of_chunk(640).is_end() && Head::end_of_chunk(640).pointer() == 640);
    }
}
