//! Values of types with serde's traits are bounded in depth and in elements that no byte stands for, when they are written
//! and when they are read, whatever the bytes are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use netshm::data::{DataError, Serde, from_words, to_words};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Returns the words of a value that has those bytes in postcard.
fn words(bytes: &[u8]) -> Vec<u64> {
    to_words(bytes).unwrap()
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
struct List {
    next: Option<Box<List>>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Newtype(Box<Choice>);

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Choice {
    End,
    Newtype(Newtype),
    Tuple(u8, Box<Choice>),
    Struct { inner: Box<Choice> },
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
struct Branches(Vec<Branches>);

#[derive(Serialize, Deserialize, Debug, PartialEq, Default)]
struct Named {
    by: BTreeMap<u8, Named>,
}

/// Recursive without a struct or enum that serde knows of.
#[derive(Debug, PartialEq)]
struct Bare(Option<Box<Bare>>);

impl Serialize for Bare {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Bare)
    }
}

/// `most` times of `around` are stored and read, one more is neither; nor are the bytes of a million, of which each begins
/// as `level` does.
#[track_caller]
fn nests<T>(most: usize, level: &[u8], leaf: fn() -> T, around: impl Fn(T) -> T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let nested = |depth| Serde((0..depth).fold(leaf(), |inner, _| around(inner)));
    let stored = to_words(&nested(most)).unwrap();
    assert_eq!(from_words::<Serde<T>>(&stored).unwrap(), nested(most));
    let told = |error: Option<DataError>| {
        let told = error.expect("it is too deep").to_string();
        assert_eq!(told, "Serde: structs, enums, options or sequences nested more than 256 deep");
    };
    told(to_words(&nested(most + 1)).err());
    told(from_words::<Serde<T>>(&words(&level.repeat(1_000_000))).err());
}

#[test]
fn nesting_is_bounded() {
    // A struct and an option each, and the innermost ones.
    nests(127, &[1], List::default, |inner| List { next: Some(Box::new(inner)) });
    nests(127, &[1], Branches::default, |inner| Branches(vec![inner]));
    nests(127, &[1, 7], Named::default, |inner| Named { by: BTreeMap::from([(7, inner)]) });
    nests(255, &[1], || Bare(None), |inner| Bare(Some(Box::new(inner))));
    nests(127, &[1], || Choice::End, |inner| Choice::Newtype(Newtype(Box::new(inner))));
    nests(255, &[2, 0], || Choice::End, |inner| Choice::Tuple(0, Box::new(inner)));
    nests(255, &[3], || Choice::End, |inner| Choice::Struct { inner: Box::new(inner) });
}

#[test]
fn what_lies_side_by_side_is_no_nesting() {
    let lists = || (0..1000).map(|_| List { next: Some(Box::default()) }).collect::<Vec<_>>();
    let stored = to_words(&Serde((lists(), lists()))).unwrap();
    assert_eq!(from_words::<Serde<(Vec<List>, Vec<List>)>>(&stored).unwrap().0, (lists(), lists()));
}

#[derive(Serialize, Deserialize, Debug, Clone, Default, PartialEq)]
struct Skipped {
    #[serde(skip)]
    cache: [u64; 32],
}

/// Returns a length, as postcard writes it.
fn length(mut len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while len > 127 {
        bytes.push(len as u8 | 128);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes
}

/// Checks that `most` elements can be stored and read, and no more.
#[track_caller]
fn elements<T: Serialize + DeserializeOwned>(most: usize, sequence: impl Fn(usize) -> T) {
    let read = |len: usize| {
        let mut read = None;
        let taken = allocation_counter::measure(|| read = Some(from_words::<Serde<T>>(&words(&length(len)))));
        assert!(taken.bytes_max < 1 << 20, "{} bytes for {len} elements", taken.bytes_max);
        read.unwrap()
    };
    assert!(read(most).is_ok());
    assert_eq!(to_words(&Serde(sequence(most))).unwrap(), words(&length(most)));
    let refused = [to_words(&Serde(sequence(most + 1))).err(), read(most + 1).err(), read(usize::MAX).err()];
    assert!(refused.iter().all(|error| error.is_some() && *error == refused[0]), "{refused:?}");
    assert!(refused[0].unwrap().to_string().contains("elements that take no words"), "{refused:?}");
}

#[test]
fn elements_without_bytes_are_bounded() {
    elements(1024, |len| vec![(); len]);
    elements(1024, |len| vec![Skipped::default(); len]);
    // Of 100 sequences, each could be stored alone.
    let many: Vec<u8> = std::iter::once(100).chain(length(200).repeat(100)).collect();
    let taken = allocation_counter::measure(|| {
        assert!(from_words::<Serde<Vec<Vec<Skipped>>>>(&words(&many)).is_err());
    });
    assert!(taken.bytes_max < 1 << 20, "{} bytes", taken.bytes_max);
    assert!(to_words(&Serde(vec![vec![Skipped::default(); 200]; 100])).is_err());
    // These end, too.
    assert!(from_words::<Serde<HashSet<()>>>(&words(&length(usize::MAX))).is_err());
    assert!(from_words::<Serde<HashMap<(), u8>>>(&words(&length(usize::MAX))).is_err());
    // What is no sequence, and elements that have a byte, are not counted.
    let rows = vec![(1u8, (), [(); 32]); 5000];
    let stored = to_words(&Serde(rows.clone())).unwrap();
    assert_eq!(from_words::<Serde<Vec<(u8, (), [(); 32])>>>(&stored).unwrap().0, rows);
}
