//! How values become 64-bit words and back. (Interim core.)

use crate::os::copy;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed},
    fence,
};

/// x
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataError {
    pub(crate) type_name: &'static str,
    pub(crate) what: &'static str,
}

pub(crate) struct Stamp<'a> {
    pub(crate) sequence: &'a AtomicU64,
    pub(crate) value: u64,
}
impl Stamp<'_> {
    pub(crate) fn holds(&self) -> bool {
        fence(Acquire);
        self.sequence.load(Relaxed) == self.value
    }
}

enum Sink<'a> {
    Count,
    Private(&'a mut [u64]),
    Shared(&'a [AtomicU64]),
}
/// x
pub struct Encoder<'a> {
    sink: Sink<'a>,
    at: usize,
}
const FULL: DataError = DataError { type_name: "value", what: "wrote more words than it announced" };
impl<'a> Encoder<'a> {
    pub(crate) fn counting() -> Self {
        Encoder { sink: Sink::Count, at: 0 }
    }
    pub(crate) fn private(w: &'a mut [u64]) -> Self {
        Encoder { sink: Sink::Private(w), at: 0 }
    }
    pub(crate) fn shared(w: &'a [AtomicU64]) -> Self {
        Encoder { sink: Sink::Shared(w), at: 0 }
    }
    #[inline]
    /// x
    /// # Errors
    /// x
    pub fn put(&mut self, word: u64) -> Result<(), DataError> {
        match &mut self.sink {
            Sink::Count => {}
            Sink::Private(w) => *w.get_mut(self.at).ok_or(FULL)? = word,
            Sink::Shared(w) => w.get(self.at).ok_or(FULL)?.store(word, Relaxed),
        }
        self.at += 1;
        Ok(())
    }
    #[inline]
    /// x
    /// # Errors
    /// x
    pub fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let n = bytes.len().div_ceil(8);
        match &mut self.sink {
            Sink::Count => {}
            Sink::Private(w) => {
                let w = w.get_mut(self.at..self.at + n).ok_or(FULL)?;
                if let Some(l) = w.last_mut() {
                    *l = 0;
                }
                bytemuck::cast_slice_mut::<u64, u8>(w)[..bytes.len()].copy_from_slice(bytes);
            }
            Sink::Shared(w) => copy::store_bytes(w.get(self.at..self.at + n).ok_or(FULL)?, bytes),
        }
        self.at += n;
        Ok(())
    }
    /// x
    pub fn written(&self) -> usize {
        self.at
    }
}
enum Source<'a> {
    Shared(&'a [AtomicU64]),
    Private(&'a [u64]),
}
/// x
pub struct Decoder<'a> {
    words: Source<'a>,
    at: usize,
    stamp: Option<Stamp<'a>>,
}
const SHORT: DataError = DataError { type_name: "value", what: "too few words" };
impl<'a> Decoder<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], stamp: Option<Stamp<'a>>) -> Self {
        Decoder { words: Source::Shared(words), at: 0, stamp }
    }
    pub(crate) fn from_words(words: &'a [u64]) -> Self {
        Decoder { words: Source::Private(words), at: 0, stamp: None }
    }
    #[inline]
    /// x
    /// # Errors
    /// x
    pub fn get(&mut self) -> Result<u64, DataError> {
        let w = match self.words {
            Source::Shared(w) => w.get(self.at).ok_or(SHORT)?.load(Relaxed),
            Source::Private(w) => *w.get(self.at).ok_or(SHORT)?,
        };
        self.at += 1;
        Ok(w)
    }
    /// x
    pub fn remaining(&self) -> usize {
        match self.words {
            Source::Shared(w) => w.len() - self.at,
            Source::Private(w) => w.len() - self.at,
        }
    }
    /// x
    /// # Errors
    /// x
    pub fn bytes(&mut self, len: usize) -> Result<Vec<u8>, DataError> {
        let n = len.div_ceil(8);
        if n > self.remaining() {
            return Err(SHORT);
        }
        if len > 4096 && self.stamp.as_ref().is_some_and(|s| !s.holds()) {
            return Err(SHORT);
        }
        let mut out = vec![0; len];
        match self.words {
            Source::Shared(w) => copy::load_bytes(&w[self.at..self.at + n], &mut out),
            Source::Private(w) => {
                out.copy_from_slice(&bytemuck::cast_slice::<u64, u8>(&w[self.at..self.at + n])[..len])
            }
        }
        self.at += n;
        Ok(out)
    }
    pub(crate) fn finish(&self) -> Result<(), DataError> {
        if self.remaining() == 0 { Ok(()) } else { Err(DataError { type_name: "value", what: "too many words" }) }
    }
}
/// x
#[derive(Debug, Clone, PartialEq)]
pub struct Schema(String);
impl Schema {
    /// x
    pub fn of<T: DataManager>() -> Self {
        Schema(T::schema(&mut Types))
    }
    pub(crate) fn hash(&self) -> u64 {
        rapidhash::v3::rapidhash_v3(self.0.as_bytes())
    }
}
impl std::fmt::Display for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
/// x
pub struct Types;
/// x
pub trait DataManager: Sized {
    /// x
    const FIXED: Option<usize> = None;
    /// x
    const DIRECT: bool = false;
    /// x
    /// # Errors
    /// x
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError>;
    /// x
    /// # Errors
    /// x
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError>;
    /// x
    fn schema(types: &mut Types) -> String;
}
/// x
pub trait ShmKey: DataManager + Eq {}
/// x
pub trait Encode {
    /// x
    const FIXED: Option<usize>;
    /// x
    const DIRECT: bool;
    /// x
    /// # Errors
    /// x
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError>;
}
impl<T: DataManager> Encode for T {
    const FIXED: Option<usize> = T::FIXED;
    const DIRECT: bool = T::DIRECT;
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        DataManager::encode(self, out)
    }
}
impl Encode for str {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = true;
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(self.len() as u64)?;
        out.put_bytes(self.as_bytes())
    }
}
impl Encode for [i32] {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = true;
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(self.len() as u64)?;
        out.put_bytes(bytemuck::cast_slice(self))
    }
}
macro_rules! ints { ($($t:ty),*) => { $(impl DataManager for $t {
    const FIXED: Option<usize> = Some(1);
    const DIRECT: bool = true;
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> { out.put(*self as u64) }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> { Ok(input.get()? as $t) }
    fn schema(_: &mut Types) -> String { stringify!($t).to_owned() }
} impl ShmKey for $t {})* } }
ints!(u64, i64, i32, u32, usize);
impl DataManager for String {
    const DIRECT: bool = true;
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_str(), out)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let len = input.get()? as usize;
        String::from_utf8(input.bytes(len)?).map_err(|_| DataError { type_name: "String", what: "not UTF-8" })
    }
    fn schema(_: &mut Types) -> String {
        "String".to_owned()
    }
}
impl ShmKey for String {}
impl DataManager for Vec<i32> {
    const DIRECT: bool = true;
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_slice(), out)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let len = input.get()? as usize;
        if len.div_ceil(2) > input.remaining() {
            return Err(SHORT);
        }
        let bytes = input.bytes(len * 4)?;
        Ok(bytes.chunks_exact(4).map(|c| i32::from_ne_bytes([c[0], c[1], c[2], c[3]])).collect())
    }
    fn schema(_: &mut Types) -> String {
        "[i32]".to_owned()
    }
}
impl<A: DataManager, B: DataManager> DataManager for (A, B) {
    const FIXED: Option<usize> = match (A::FIXED, B::FIXED) {
        (Some(a), Some(b)) => Some(a + b),
        _ => None,
    };
    const DIRECT: bool = A::DIRECT && B::DIRECT;
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        DataManager::encode(&self.0, out)?;
        DataManager::encode(&self.1, out)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        Ok((A::decode(input)?, B::decode(input)?))
    }
    fn schema(t: &mut Types) -> String {
        format!("({}, {})", A::schema(t), B::schema(t))
    }
}

pub(crate) fn hash_text(text: &str) -> u64 {
    rapidhash::v3::rapidhash_v3(text.as_bytes())
}
pub(crate) fn first_difference(_a: &str, _b: &str) -> String {
    String::new()
}
