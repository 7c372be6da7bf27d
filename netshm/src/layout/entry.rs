//! The catalogue: an entry for each member that has a name.
//!
//! ```text
//! 0    state                         8  id, never used again
//! 16   kind | form << 8 | words of an array's element << 16
//! 24   first stripe << 32 | stripes  32  expected keys
//! 40   run of the default value      48  words of the default value
//! 64   name, up to 63 bytes, then zeros
//! 128  length of an array   136  address, 144  length, 152  hash of the schema   160  version of the schema
//! 192  a line of its own for what is not logged; nothing yet
//! ```
//!
//! The rest is spare, and 0: a word at 56, three from 168 on, seven from 200 on.

use super::bucket::Form;
use super::header::ObjectKind;
use super::{Offset, WORD};

/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: u64 = 256;
/// Words of an entry.
pub(crate) const ENTRY_WORDS: usize = 32;
/// The longest name, in bytes.
pub(crate) const LONGEST_NAME: usize = 63;
/// Members that a new object has room for (a small one has room for fewer).
pub(crate) const ENTRIES: u32 = 128;
/// Members that an object can have at most.
pub(crate) const MOST_ENTRIES: u32 = 1 << 12;
/// Members of the smallest object.
pub(crate) const FEWEST_ENTRIES: u32 = 16;

const NAME: u64 = 64;
const CHANGING: u64 = 128;
/// Place of the watch word in an entry.
pub(crate) const WATCH: u64 = 192;

/// An entry of the catalogue, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryAt(pub(super) u64);

impl EntryAt {
    /// Returns what changes while there is the member.
    pub(crate) const fn part(self) -> PartAt {
        PartAt(self.0 + CHANGING)
    }
    /// Returns whether a journal may name the word at that number of bytes from the start of an entry.
    pub(crate) const fn is_journalled(offset: u64) -> bool {
        offset < WATCH
    }
}

/// The variable part of a member, beside its stripes: in its entry, or for the one without a name, in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartAt(pub(super) u64);

impl PartAt {
    /// Returns the place of the length of an array, in elements.
    #[inline(always)]
    pub(crate) const fn array_len(self) -> Offset {
        Offset(self.0)
    }
    /// Returns the place of the address of the schema text; then its length in bytes and the hash of its structure follow.
    pub(crate) const fn schema_at(self) -> Offset {
        Offset(self.0 + WORD)
    }
    pub(crate) const fn schema_len(self) -> Offset {
        Offset(self.0 + 2 * WORD)
    }
    pub(crate) const fn schema_hash(self) -> Offset {
        Offset(self.0 + 3 * WORD)
    }
    /// Returns the version of the schema: the number of its extensions.
    pub(crate) const fn schema_version(self) -> Offset {
        Offset(self.0 + 4 * WORD)
    }
}

// What the format says, in numbers. Objects of this format exist, so none of these may change.
const _: () = {
    assert!(ENTRY_WORDS as u64 * WORD == ENTRY_BYTES);
    assert!(NAME as usize + LONGEST_NAME + 1 == CHANGING as usize && WATCH + 64 == ENTRY_BYTES);
    let part = EntryAt(0).part();
    assert!(part.array_len().0 == 128 && part.schema_at().0 == 136);
    assert!(part.schema_len().0 == 144 && part.schema_hash().0 == 152 && part.schema_version().0 == 160);
};

/// The state of an entry whose member is there; it is 0 in one that has never been used.
pub(crate) const USED: u64 = 1;
/// The state of an entry whose member is no more, as are its contents.
pub(crate) const REMOVED: u64 = 2;
/// The state of an entry whose member is no more, though its contents have still to be freed.
pub(crate) const LEAVING: u64 = 3;

/// Content of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) state: u64,
    pub(crate) id: u64,
    pub(crate) kind: ObjectKind,
    pub(crate) form: Form,
    /// Words of an array's element that lies in its chunk, otherwise 0.
    pub(crate) element_words: u64,
    pub(crate) first: u32,
    pub(crate) stripes: u32,
    pub(crate) init: u64,
    /// Address of an array's default value, if it has words.
    pub(crate) default_at: u64,
    pub(crate) default_words: u64,
    pub(crate) name: String,
    /// Address, length and hash of the schema.
    pub(crate) schema: [u64; 3],
}

impl EntryAt {
    /// Returns the place of the state, which says whether there is a member.
    pub(crate) const fn state(self) -> Offset {
        Offset(self.0)
    }

    /// Returns the words of an entry but for its state, each with its place.
    pub(crate) fn words(self, entry: &Entry) -> impl Iterator<Item = (Offset, u64)> {
        let mut words = [0; WORDS_TO_WATCH];
        words[1] = entry.id;
        words[2] = entry.kind.number() | entry.form.number() << 8 | entry.element_words << 16;
        words[3] = u64::from(entry.first) << 32 | u64::from(entry.stripes);
        (words[4], words[5], words[6]) = (entry.init, entry.default_at, entry.default_words);
        let name = (NAME / WORD) as usize;
        for (word, bytes) in words[name..].iter_mut().zip(entry.name.as_bytes().chunks(WORD as usize)) {
            let mut whole = [0; WORD as usize];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(whole);
        }
        let schema = ((CHANGING + WORD) / WORD) as usize;
        words[schema..schema + 3].copy_from_slice(&entry.schema);
        (1..).zip(words.into_iter().skip(1)).map(move |(i, word)| (Offset(self.0 + i * WORD), word))
    }
}

/// Words of an entry before the cache line for waiters.
const WORDS_TO_WATCH: usize = (WATCH / WORD) as usize;

impl Entry {
    /// Reads the words of an entry; `None` if they are not those of a member, as in one that is not used.
    pub(crate) fn from_words(words: &[u64; ENTRY_WORDS]) -> Option<Entry> {
        let name = words[(NAME / WORD) as usize..(CHANGING / WORD) as usize].iter();
        let name: Vec<u8> = name.flat_map(|word| word.to_ne_bytes()).collect();
        let length = name.iter().position(|byte| *byte == 0)?;
        let schema = ((CHANGING + WORD) / WORD) as usize;
        Some(Entry {
            state: words[0],
            id: words[1],
            kind: ObjectKind::from_number(words[2] & 0xFF)?,
            form: Form::from_number(words[2] >> 8 & 0xFF)?,
            element_words: words[2] >> 16,
            first: (words[3] >> 32) as u32,
            stripes: words[3] as u32,
            init: words[4],
            default_at: words[5],
            default_words: words[6],
            name: String::from_utf8(name[..length].to_vec()).ok()?,
            schema: [words[schema], words[schema + 1], words[schema + 2]],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let entry = Entry {
            state: USED,
            id: 7,
            kind: ObjectKind::Array,
            form: Form::Records,
            element_words: 3,
            first: 70_000,
            stripes: 16,
            init: 1000,
            default_at: 1 << 30,
            default_words: 3,
            name: "a name of sixty-three bytes, which is the longest that there is".to_owned(),
            schema: [1 << 31, 20, u64::MAX],
        };
        assert_eq!(entry.name.len(), LONGEST_NAME);
        let mut words = [0; ENTRY_WORDS];
        words[0] = USED;
        EntryAt(0).words(&entry).for_each(|(place, word)| words[(place.0 / WORD) as usize] = word);
        assert_eq!(Entry::from_words(&words), Some(entry));
    }
}
