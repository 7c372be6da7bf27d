//! Decoding whatever words are there ends in a value or an error, never in a panic, and takes no more memory than the
//! words could hold.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::collections::*;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::marker::PhantomData;
use std::net::*;
use std::num::{NonZero, Saturating, Wrapping};
use std::ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::managers_types as of;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use netshm::ShmData;
use netshm::data::{DataManager, Serde, from_words, to_words};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

/// Memory for a word of input: an element of a vector of vectors takes three words, is moved when the vector grows, and
/// lies in a node of a tree that may be half empty.
const BYTES_A_WORD: u64 = 256;

/// Memory reserved before any element has been seen, in bytes.
const SET_APART: u64 = 16 * 1024;

/// Numbers as lengths, tags and edges have them, and others.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..4u64,
        2 => 0..300u64,
        1 => any::<u32>().prop_map(u64::from),
        1 => any::<u64>(),
        1 => (0..64u32).prop_map(|bit| (1 << bit) - 1),
        1 => (0..64u32).prop_map(|bit| u64::MAX << bit),
    ]
}

/// A change to words that were those of a value.
#[derive(Debug, Clone)]
struct Damage(Vec<(Index, u64)>);

fn damage() -> impl Strategy<Value = Damage> {
    vec((any::<Index>(), word()), 0..3).prop_map(Damage)
}

fn damaged(mut words: Vec<u64>, Damage(changes): &Damage) -> Vec<u64> {
    for (place, word) in changes {
        if !words.is_empty() {
            let place = place.index(words.len());
            words[place] = *word;
        }
    }
    words
}

/// Decodes words; the value, if there is one, can be stored and read again.
#[track_caller]
fn survives<T: DataManager>(words: &[u64]) {
    let mut decoded = None;
    let taken = allocation_counter::measure(|| decoded = from_words::<T>(words).ok());
    let could_hold = SET_APART + BYTES_A_WORD * words.len() as u64;
    assert!(taken.bytes_max <= could_hold, "{} bytes for {} words: {words:x?}", taken.bytes_max, words.len());
    if let Some(value) = decoded {
        let again = to_words(&value).unwrap();
        assert!(from_words::<T>(&again).is_ok(), "{words:x?} became {again:x?}");
    }
}

macro_rules! tests {
    ($($kind:ident $name:ident: $type:ty $(= $strategy:expr)?;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
            $(
                #[test]
                fn $name(value in strategy!($type $(, $strategy)?), damage in damage(), words in vec(word(), 0..40)) {
                    let value: $type = value;
                    survives::<$type>(&words);
                    survives::<$type>(&damaged(to_words(&value).unwrap(), &damage));
                }
            )*
        }
    };
}

each_manager!(tests);

/// Returns `depth` nested boxes around a leaf.
fn nested(depth: usize) -> of::Tree {
    (0..depth).fold(of::Tree::default(), |inner, _| of::Tree { left: Some(Box::new(inner)), ..of::Tree::default() })
}

#[test]
fn values_nest_128_deep_and_no_deeper() {
    // The innermost value has a sequence, of nothing, which counts.
    let words = to_words(&nested(127)).unwrap();
    assert!(from_words::<of::Tree>(&words).is_ok());
    assert!(to_words(&nested(128)).is_err());
}

#[test]
fn words_of_a_million_levels_are_an_error() {
    // Each level: the value, and that there is one on the left.
    let words: Vec<u64> = [0, 1].repeat(1_000_000);
    assert!(from_words::<of::Tree>(&words).is_err());
    // Each level: the value, that there is none on the left, and one child.
    let words: Vec<u64> = [0, 0, 1].repeat(1_000_000);
    assert!(from_words::<of::Tree>(&words).is_err());
}

#[test]
fn a_length_beyond_the_words_takes_no_memory() {
    for len in [5, 1 << 20, 1 << 40, 1 << 61, u64::MAX] {
        let words = [len, 0, 0];
        survives::<String>(&words);
        survives::<Vec<u128>>(&words);
        survives::<Vec<Vec<String>>>(&words);
        survives::<Vec<()>>(&words);
        survives::<HashMap<u64, u64>>(&words);
        survives::<BTreeSet<String>>(&words);
        survives::<Serde<Vec<u64>>>(&words);
        assert!(from_words::<String>(&words).is_err() && from_words::<HashSet<u64>>(&words).is_err());
    }
}

/// A value with a part that is not stored, but takes memory.
#[derive(ShmData, Debug, Clone, Copy, Default, PartialEq)]
struct Skipped {
    #[shm(skip)]
    cache: [u64; 32],
}

#[derive(ShmData, Debug, Default, PartialEq)]
#[shm(transparent)]
struct Around {
    inner: (),
    #[shm(skip)]
    cache: [u64; 32],
}

/// Such elements are counted by their bytes in memory: 65,536, and 16 for each word.
const MOST_EMPTY: usize = 65_536 + 16;

/// Checks that a sequence may have `most` elements and not one more, when read and when written.
#[track_caller]
fn at_most<T: DataManager>(most: usize, sequence: impl Fn(usize) -> T) {
    let decode = |len: usize| {
        let mut decoded = None;
        let taken = allocation_counter::measure(|| decoded = Some(from_words::<T>(&[len as u64])));
        assert!(taken.bytes_max <= 4 * MOST_EMPTY as u64, "{} bytes for {len} elements", taken.bytes_max);
        decoded.unwrap()
    };
    assert!(decode(most).is_ok());
    assert_eq!(to_words(&sequence(most)).unwrap(), [most as u64]);
    let [read, written] = [decode(most + 1).err(), to_words(&sequence(most + 1)).err()];
    assert!(read.is_some() && read == written, "{read:?}, {written:?}");
    for len in [usize::MAX / 256, usize::MAX] {
        assert!(decode(len).is_err());
    }
}

#[test]
fn elements_that_take_no_words_are_bounded_by_their_bytes() {
    at_most::<Vec<()>>(MOST_EMPTY, |len| vec![(); len]);
    at_most::<VecDeque<PhantomData<u64>>>(MOST_EMPTY, |len| vec![PhantomData; len].into());
    at_most::<Vec<Box<()>>>(MOST_EMPTY / 8, |len| vec![Box::new(()); len]);
    at_most::<Box<[Skipped]>>(MOST_EMPTY / 256, |len| vec![Skipped::default(); len].into());
    at_most::<LinkedList<Skipped>>(MOST_EMPTY / 256, |len| (0..len).map(|_| Skipped::default()).collect());
    at_most::<Vec<Around>>(MOST_EMPTY / 256, |len| (0..len).map(|_| Around::default()).collect());
    at_most::<Vec<[Skipped; 4]>>(MOST_EMPTY / 1024, |len| vec![[Skipped::default(); 4]; len]);
}

#[test]
fn elements_that_take_no_words_are_bounded_in_the_value_as_a_whole() {
    // Of 100 sequences, each could be stored alone.
    for len in [60_000, 256] {
        let words: Vec<u64> = std::iter::once(100).chain(std::iter::repeat_n(len, 100)).collect();
        let taken = allocation_counter::measure(|| assert!(from_words::<Vec<Vec<Skipped>>>(&words).is_err()));
        assert!(taken.bytes_max <= 1 << 20, "{} bytes", taken.bytes_max);
    }
    assert!(to_words(&vec![vec![(); 60_000]; 2]).is_err());
    assert!(to_words(&(vec![(); 60_000], vec![(); 60_000])).is_err());
    // Where words stand for the rest, that many more is nothing.
    let rows = vec![(7u64, vec![(); 8]); 100_000];
    assert_eq!(from_words::<Vec<(u64, Vec<()>)>>(&to_words(&rows).unwrap()).unwrap(), rows);
    // The length of an array is part of its type.
    assert!(to_words(&[(); 70_000]).unwrap().is_empty() && from_words::<[(); 70_000]>(&[]).is_ok());
    assert!(to_words(&[Skipped::default(); 260]).unwrap().is_empty() && from_words::<[Skipped; 260]>(&[]).is_ok());
}
