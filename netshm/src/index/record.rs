//! Records: what the bindings of tables, overflow buckets, and the nodes and chunks of arrays are stored as.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use crate::error::{Error, Result};
use crate::layout::bucket::PAIR_WORDS;
use crate::layout::record::{Head, Lengths};
use crate::layout::{MAX_VALUE, Offset};
use crate::os::{copy, pause};
use crate::region::ReadError;
use crate::source::Source;
use crate::store::Transaction;

/// Values of up to this number of words are changed in place, through the log, if their size stays.
pub(crate) const IN_PLACE: usize = 16;

/// A value to be stored.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// Encoded already.
    Words(&'a [u64]),
    /// To be encoded straight into this number of shared words.
    Fill(u64, &'a dyn Fn(&[AtomicU64]) -> Result<()>),
}

impl Payload<'_> {
    /// Stores it with further words after it. Its first word may be the number of the others.
    #[cold]
    pub(crate) fn with_tail<R>(
        self,
        tail: &[u64],
        is_counted: bool,
        store: impl FnOnce(Payload<'_>) -> Result<R>,
    ) -> Result<R> {
        match self {
            value if tail.is_empty() => store(value),
            Payload::Words(words) => {
                let mut words = [words, tail].concat();
                if is_counted {
                    words[0] = words.len() as u64 - 1;
                }
                store(Payload::Words(&words))
            }
            Payload::Fill(words, fill) => {
                let fill_all = |shared: &[AtomicU64]| {
                    let (known, rest) = shared.split_at(words as usize);
                    fill(known)?;
                    copy::store_words(rest, tail);
                    if is_counted {
                        shared[0].store(shared.len() as u64 - 1, Relaxed);
                    }
                    Ok(())
                };
                store(Payload::Fill(words + tail.len() as u64, &fill_all))
            }
        }
    }

    fn words(&self) -> u64 {
        match self {
            Payload::Words(words) => words.len() as u64,
            Payload::Fill(words, _) => *words,
        }
    }
}

/// Where a reader may be stopped.
pub(crate) const IS_FOUND: &str = "a record is about to be read";

/// Bit of an address: the binding is not a record but a pair in its bucket.
pub(super) const PAIR: u64 = 1;

/// A binding as it lies in shared memory: a record, or a pair in its bucket. Arrays use records too.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// Its address; marked if it is a pair.
    pub(crate) at: u64,
    pub(crate) head: Head,
    pub(crate) lengths: Lengths,
    words: &'a [AtomicU64],
    /// Index of the value's first word.
    value: usize,
}

impl<'a> Record<'a> {
    /// Returns the record at an address.
    #[inline(always)]
    pub(crate) fn at(source: impl Source<'a>, at: u64) -> Result<Record<'a>> {
        Self::at_or(source, at)
    }

    #[inline(always)]
    pub(crate) fn at_or<E: ReadError>(source: impl Source<'a>, at: u64) -> Result<Record<'a>, E> {
        let (first, known) = source.words_from(at)?;
        let head = Head(first.load(Relaxed));
        if head.is_free() || head.is_end() {
            return Err(E::corrupt(source.region(), at, "a pointer leads to a block that is no record"));
        }
        let lengths = if head.is_long() { Self::long_lengths(source, at)? } else { head.lengths() };
        let words = match known.get(..lengths.words() as usize) {
            Some(words) => words,
            None => source.words_or(at, lengths.words())?,
        };
        pause::at(IS_FOUND);
        Ok(Record { at, head, lengths, words, value: (lengths.head_words() + lengths.key) as usize })
    }

    #[cold]
    fn long_lengths<E: ReadError>(source: impl Source<'a>, at: u64) -> Result<Lengths, E> {
        let lengths = Lengths::from_long_word(source.word_or(at + 8)?.load(Relaxed));
        // A long head with short lengths would make the parts disagree.
        if lengths.is_long() {
            Ok(lengths)
        } else {
            Err(E::corrupt(source.region(), at, "a record's head and lengths disagree"))
        }
    }

    /// Returns a pair as a binding: its key and its value.
    #[inline(always)]
    pub(super) fn pair(at: u64, words: &'a [AtomicU64; PAIR_WORDS]) -> Record<'a> {
        const LENGTHS: Lengths = Lengths { key: 1, value: 1 };
        Record { at, head: Head::record(LENGTHS, 0, 0), lengths: LENGTHS, words, value: 1 }
    }

    /// Returns the binding at an address, which may be marked as that of a pair.
    #[inline]
    pub(crate) fn binding(source: impl Source<'a>, at: u64) -> Result<Record<'a>> {
        if at & PAIR == 0 { Self::at(source, at) } else { Ok(Self::pair(at, source.array_or(at & !PAIR)?)) }
    }

    /// Returns whether it is a pair in its bucket.
    #[inline]
    pub(crate) fn is_pair(&self) -> bool {
        self.at & PAIR != 0
    }

    /// Returns the words of the key.
    #[inline]
    pub(crate) fn key(&self) -> &'a [AtomicU64] {
        &self.words[self.value - self.lengths.key as usize..self.value]
    }

    /// Returns the words of the value.
    #[inline]
    pub(crate) fn value(&self) -> &'a [AtomicU64] {
        &self.words[self.value..]
    }

    /// Returns the address of the first word of the value.
    #[inline]
    pub(crate) fn value_at(&self) -> u64 {
        (self.at & !PAIR) + self.value as u64 * 8
    }

    /// Returns the address of the next older binding, or 0.
    #[inline]
    pub(crate) fn older(&self) -> u64 {
        self.head.pointer()
    }

    /// Returns whether it is a binding of the key.
    #[inline(always)]
    pub(crate) fn has_key(&self, key: &[u64]) -> bool {
        self.lengths.key == key.len() as u64
            && self.key().iter().zip(key).all(|(stored, word)| stored.load(Relaxed) == *word)
    }

    /// Returns whether these are the words of the value.
    #[inline]
    pub(crate) fn is_value(&self, words: &[u64]) -> bool {
        are_words(self.value(), words)
    }
}

/// Returns whether stored words are these.
#[inline]
pub(crate) fn are_words(stored: &[AtomicU64], words: &[u64]) -> bool {
    stored.len() == words.len() && stored.iter().zip(words).all(|(stored, word)| stored.load(Relaxed) == *word)
}

/// Writes a record into fresh memory and returns its address.
pub(crate) fn write_record(
    change: &mut Transaction<'_>,
    stripe: u32,
    key: &[u64],
    value: Payload<'_>,
    older: u64,
) -> Result<u64> {
    let lengths = Lengths { key: key.len() as u64, value: value.words() };
    for (what, words) in [("a key", lengths.key), ("a value", lengths.value)] {
        if words * 8 > MAX_VALUE {
            return Err(Error::TooLarge { what, size: words * 8, limit: MAX_VALUE });
        }
    }
    let (at, head) = change.records(stripe).take(change, lengths, older)?;
    let region = change.store().region();
    let words = region.words(at, lengths.words())?;
    change.audit_unlogged(Offset::at(at), lengths.words());
    // Nothing is filled before the entries that preserve what tied the block to its list.
    fence(Release);
    words[0].store(head.0, Relaxed);
    if lengths.is_long() {
        words[1].store(lengths.long_word(), Relaxed);
    }
    let (key_words, value_words) = words[lengths.head_words() as usize..].split_at(key.len());
    copy::store_words(key_words, key);
    match value {
        Payload::Words(value) => copy::store_words(value_words, value),
        Payload::Fill(_, fill) => fill(value_words)?,
    }
    crate::os::steps::step();
    Ok(at)
}
