//! What is measured: the workloads, the data they work on, and the answers that must come out.
//!
//! A value carries three things: the number of its key (low 32 bits), how often it was incremented (bits 32 to 55) and
//! whether it was ever replaced (bit 56). Each answer is checked by a sum over what was seen, which the drivers in
//! other languages compute in the same way.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Keys that the grouped read-modify-write fights for.
pub(crate) const HOT_KEYS: u64 = 1000;
/// Keys in the mix, at most.
pub(crate) const MIX_KEYS: u64 = 100_000;
/// One in this number of operations is a write in the mix.
pub(crate) const MIX_WRITE_EACH: u64 = 20;
/// Summand of an increment.
pub(crate) const INCREMENT: u64 = 1 << 32;
const REPLACED: u64 = 1 << 56;

/// One kind of keys and values.
pub(crate) trait Data {
    type Key: ?Sized;
    type Value: ?Sized;
    /// Keys in the order in which they will be used, made before the clock starts.
    type Keys: Send + Sync;
    const NAME: &'static str;

    fn keys(numbers: impl Iterator<Item = u64>) -> Self::Keys;
    fn key(keys: &Self::Keys, place: usize) -> &Self::Key;
    /// Calls `body` with the value that belongs to the key.
    fn with_value<R>(key: &Self::Key, replaced: bool, body: impl FnOnce(&Self::Value) -> R) -> R;
    /// Returns whether the value is one of this key.
    fn belongs(key: &Self::Key, value: &Self::Value) -> bool;
    /// Returns what the value adds to a check sum.
    fn fold(value: &Self::Value) -> u64;
}

/// `u64` to `u64`.
#[derive(Debug)]
pub(crate) struct Numbers;

impl Data for Numbers {
    type Key = u64;
    type Value = u64;
    type Keys = Vec<u64>;
    const NAME: &'static str = "numbers";

    fn keys(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
        numbers.collect()
    }

    fn key(keys: &Vec<u64>, place: usize) -> &u64 {
        &keys[place]
    }

    fn with_value<R>(key: &u64, replaced: bool, body: impl FnOnce(&u64) -> R) -> R {
        body(&(key | if replaced { REPLACED } else { 0 }))
    }

    fn belongs(key: &u64, value: &u64) -> bool {
        value & 0xffff_ffff == *key
    }

    fn fold(value: &u64) -> u64 {
        (value & 0xffff_ffff) + (value >> 32)
    }
}

/// 13-byte strings to strings of that many bytes.
#[derive(Debug)]
pub(crate) struct Text<const BYTES: usize>;

pub(crate) type Texts = Text<100>;
/// The rows of YCSB.
pub(crate) type Rows = Text<1000>;

const KEY_BYTES: usize = 13;

impl<const BYTES: usize> Data for Text<BYTES> {
    type Key = str;
    type Value = str;
    type Keys = String;
    const NAME: &'static str = "texts";

    fn keys(numbers: impl Iterator<Item = u64>) -> String {
        use fmt::Write;
        let mut text = String::new();
        for number in numbers {
            write!(text, "key-{number:09}").expect("writing to a string succeeds");
        }
        text
    }

    fn key(keys: &String, place: usize) -> &str {
        &keys[place * KEY_BYTES..(place + 1) * KEY_BYTES]
    }

    /// Returns the key's nine digits (the first one becomes an R when replaced), then `x` up to the last byte: the last digit.
    fn with_value<R>(key: &str, replaced: bool, body: impl FnOnce(&str) -> R) -> R {
        let mut bytes = [b'x'; BYTES];
        bytes[..9].copy_from_slice(&key.as_bytes()[4..]);
        bytes[BYTES - 1] = bytes[8];
        if replaced {
            bytes[0] = b'R';
        }
        body(std::str::from_utf8(&bytes).expect("all bytes are ASCII"))
    }

    fn belongs(key: &str, value: &str) -> bool {
        value.len() == BYTES && value.as_bytes()[1..9] == key.as_bytes()[5..]
    }

    fn fold(value: &str) -> u64 {
        let bytes = value.as_bytes();
        (bytes.len() + usize::from(bytes[0]) + usize::from(bytes[8]) + usize::from(bytes[bytes.len() - 1])) as u64
    }
}

/// A workload; the text form is what goes to the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Workload {
    Fill,
    Hit,
    Miss,
    Replace,
    Iterate,
    /// Reads a hot key and writes it back one higher, as one step.
    Increment,
    /// Number of times that the hot keys were incremented: the check of the former.
    Increments,
    /// 95 % look-ups, 5 % replacements.
    Mix,
    /// The same with a clock around each operation.
    Latency,
    Get,
    Set,
    /// Bytes of memory in use, where files do not show them.
    Bytes,
    /// Rows for the following.
    Load,
    /// The core workloads of YCSB; see `ycsb`.
    A,
    B,
    C,
    D,
    F,
}

const WORKLOADS: [(Workload, &str); 18] = [
    (Workload::Load, "load"),
    (Workload::A, "ycsb-a"),
    (Workload::B, "ycsb-b"),
    (Workload::C, "ycsb-c"),
    (Workload::D, "ycsb-d"),
    (Workload::F, "ycsb-f"),
    (Workload::Fill, "fill"),
    (Workload::Hit, "hit"),
    (Workload::Miss, "miss"),
    (Workload::Replace, "replace"),
    (Workload::Iterate, "iterate"),
    (Workload::Increment, "increment"),
    (Workload::Increments, "increments"),
    (Workload::Mix, "mix"),
    (Workload::Latency, "latency"),
    (Workload::Get, "get"),
    (Workload::Set, "set"),
    (Workload::Bytes, "bytes"),
];

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = WORKLOADS.iter().find(|(workload, _)| workload == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for Workload {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Workload> {
        let found = WORKLOADS.iter().find(|(_, name)| *name == text);
        found.map(|(workload, _)| *workload).ok_or_else(|| format!("no workload is called {text:?}").into())
    }
}

/// Request to a worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) workload: Workload,
    /// True if the keys and values are texts.
    pub(crate) texts: bool,
    pub(crate) operations: u64,
    pub(crate) seed: u64,
    /// More than one only in peers that live within one process.
    pub(crate) threads: u64,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = if self.texts { Texts::NAME } else { Numbers::NAME };
        write!(f, "{} {data} {} {} {}", self.workload, self.operations, self.seed, self.threads)
    }
}

impl FromStr for Request {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Request> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [workload, data, operations, seed, threads] = words[..] else {
            return Err(format!("a request has five words, not {line:?}").into());
        };
        Ok(Request {
            workload: workload.parse()?,
            texts: data == Texts::NAME,
            operations: operations.parse()?,
            seed: seed.parse()?,
            threads: threads.parse()?,
        })
    }
}

/// The random numbers of all workers in all languages (splitmix64).
#[derive(Debug)]
pub(crate) struct Random(netshm_tests::Random);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(netshm_tests::Random::new(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.0.number() >> 33) % bound
    }

    /// Returns a number from 0 up to 1.
    pub(crate) fn part(&mut self) -> f64 {
        (self.0.number() >> 33) as f64 / (1_u64 << 31) as f64
    }
}

/// Returns the numbers of the keys that a request uses, in order, in a store of that number of entries.
pub(crate) fn key_numbers(request: Request, entries: u64) -> impl Iterator<Item = u64> {
    let mut random = Random::new(request.seed);
    (0..request.operations).map(move |place| match request.workload {
        Workload::Fill | Workload::Load => place,
        Workload::Miss => entries + random.below(entries),
        Workload::Increment => random.below(HOT_KEYS.min(entries)),
        Workload::Mix | Workload::Latency => random.below(MIX_KEYS.min(entries)),
        _ => random.below(entries),
    })
}

/// Returns the checksum that a request must yield; `replaced` says which keys have been replaced so far.
pub(crate) fn expected<D: Data>(request: Request, entries: u64, replaced: &[bool]) -> u64 {
    let fold = |number: u64| {
        let keys = D::keys(std::iter::once(number));
        D::with_value(D::key(&keys, 0), replaced[number as usize], D::fold)
    };
    match request.workload {
        Workload::Hit => key_numbers(request, entries).map(fold).sum(),
        Workload::Iterate => (0..entries).map(fold).sum(),
        Workload::Get => key_numbers(request, entries).sum(),
        _ => request.operations,
    }
}
