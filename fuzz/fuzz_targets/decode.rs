//! Decodes arbitrary words as values of all kinds: a value that encodes to the same again, or an error.
//!
//! The first byte of the input chooses the type, the rest are the words.
#![no_main]

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use netshm::ShmData;
use netshm::data::{DataManager, ObjectSchema, from_words, to_words};

#[derive(ShmData)]
struct Plain {
    number: u16,
    real: f32,
    flag: bool,
}

#[derive(ShmData)]
struct Mixed {
    name: String,
    numbers: Vec<i32>,
    inner: Option<Plain>,
    #[shm(default)]
    later: Option<u8>,
}

#[derive(ShmData)]
enum Tree {
    Leaf,
    Value(Mixed),
    #[shm(index = 9)]
    Node { left: Box<Tree>, right: Vec<Tree> },
}

/// Checks that a decoded value encodes to words that decode to a value of the same words.
fn decode<T: DataManager>(words: &[u64]) {
    if let Ok(value) = from_words::<T>(words) {
        let encoded = to_words(&value).expect("what was decoded can be encoded");
        let again = from_words::<T>(&encoded).expect("what was encoded can be decoded");
        assert_eq!(to_words(&again).expect("encoded before"), encoded);
    }
}

/// Works like [`decode`], for collections that list their elements in an order of their own.
fn decode_unordered<T: DataManager>(words: &[u64]) {
    if let Ok(value) = from_words::<T>(words) {
        let encoded = to_words(&value).expect("what was decoded can be encoded");
        from_words::<T>(&encoded).expect("what was encoded can be decoded");
    }
}

const TYPES: [fn(&[u64]); 28] = [
    decode::<Plain>,
    decode::<Mixed>,
    decode::<Tree>,
    decode::<(u8, i16, u32, i64, u128)>,
    decode::<(bool, char, f64)>,
    decode::<String>,
    decode::<Vec<u8>>,
    decode::<Vec<i32>>,
    decode::<Vec<bool>>,
    decode::<Vec<char>>,
    decode::<Vec<String>>,
    decode::<Vec<Vec<Vec<u16>>>>,
    decode::<Vec<()>>,
    decode::<[u8; 13]>,
    decode::<[Option<String>; 3]>,
    decode::<Option<Option<Box<u64>>>>,
    decode::<Result<Vec<u64>, String>>,
    decode::<BTreeMap<String, u32>>,
    decode_unordered::<HashMap<u64, Vec<u8>>>,
    decode::<BTreeSet<(i8, char)>>,
    decode_unordered::<(VecDeque<u32>, BinaryHeap<i64>)>,
    decode::<(Duration, SystemTime)>,
    decode::<(IpAddr, SocketAddr)>,
    decode::<(PathBuf, CString)>,
    decode::<(NonZero<u8>, NonZero<i128>)>,
    decode::<Box<[Box<str>]>>,
    decode::<(usize, isize, f32)>,
    decode::<[[u16; 3]; 5]>,
];

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    if let Some(text) = std::str::from_utf8(rest).ok().filter(|_| *kind == u8::MAX) {
        // The text of a schema comes from an object as well.
        if let Ok(schema) = text.parse::<ObjectSchema>() {
            assert_eq!(schema.to_string().parse::<ObjectSchema>().expect("just printed"), schema);
        }
        return;
    }
    let words: Vec<_> = rest.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    TYPES[usize::from(*kind) % TYPES.len()](&words);
});
