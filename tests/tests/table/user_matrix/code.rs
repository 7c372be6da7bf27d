//! Types whose every call of the user's code runs a hook.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::num::ParseIntError;
use std::str::FromStr;

use netshm::ShmData;
use netshm::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

type Hook = Box<dyn Fn()>;

thread_local! {
    /// Never dropped, so that it is there at the end of a thread.
    static HOOK: RefCell<ManuallyDrop<Option<Hook>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    /// Calls left until the hook runs.
    static LEFT: Cell<u32> = const { Cell::new(0) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Counts a call of the user's code; runs the hook if it is the one.
pub(super) fn called() {
    CALLS.set(CALLS.get() + 1);
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    if left == 1
        && let Some(hook) = HOOK.with_borrow_mut(|hook| hook.take())
    {
        hook();
    }
}

fn set(hook: Option<Hook>) {
    let old = HOOK.with_borrow_mut(|place| std::mem::replace(&mut **place, hook));
    drop(old);
}

/// Runs `body`, whose n-th call of the user's code runs `hook`. Returns the number of calls.
pub(super) fn with_hook<R>(call: u32, hook: Hook, body: impl FnOnce() -> R) -> (R, u32) {
    CALLS.set(0);
    LEFT.set(call);
    set(Some(hook));
    let result = body();
    LEFT.set(0);
    set(None);
    (result, CALLS.get())
}

/// A manager written by hand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Hand(pub(super) u64);

impl DataManager for Hand {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        called();
        out.put(self.0)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        called();
        input.get().map(Hand)
    }
    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

impl ShmKey for Hand {}

/// Converted, compared, hashed, cloned and dropped by the user's code.
#[derive(ShmData, Debug)]
pub(super) struct Busy {
    #[shm(as = u64)]
    number: Converted,
}

#[derive(Debug, Clone)]
struct Converted(u64);

impl From<Converted> for u64 {
    fn from(number: Converted) -> u64 {
        called();
        number.0
    }
}

impl TryFrom<u64> for Converted {
    type Error = ();
    fn try_from(number: u64) -> Result<Converted, ()> {
        called();
        Ok(Converted(number))
    }
}

impl Clone for Busy {
    fn clone(&self) -> Busy {
        called();
        busy(self.number.0)
    }
}

impl PartialEq for Busy {
    fn eq(&self, other: &Self) -> bool {
        called();
        self.number.0 == other.number.0
    }
}

impl Eq for Busy {}

impl PartialOrd for Busy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Busy {
    fn cmp(&self, other: &Self) -> Ordering {
        called();
        self.number.0.cmp(&other.number.0)
    }
}

impl Hash for Busy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        called();
        self.number.0.hash(state);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // A second panic would end the process.
        if !std::thread::panicking() {
            called();
        }
    }
}

fn busy(number: u64) -> Busy {
    Busy { number: Converted(number) }
}

/// A field that is stored by functions.
#[derive(Debug)]
struct Written(u64);

/// These functions.
mod written {
    use netshm::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

    use super::{Written, called};

    pub(super) fn encode(number: &Written, out: &mut Encoder<'_>) -> Result<(), DataError> {
        called();
        Encode::encode(&number.0, out)
    }
    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Written, DataError> {
        called();
        u64::decode(input).map(Written)
    }
    pub(super) fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

/// A field that is not stored.
#[derive(Debug)]
struct Unstored;

impl Default for Unstored {
    fn default() -> Self {
        called();
        Unstored
    }
}

/// Converted to a text and from it.
#[derive(Debug)]
struct Told(u64);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        called();
        self.0.fmt(f)
    }
}

impl FromStr for Told {
    type Err = ParseIntError;
    fn from_str(text: &str) -> Result<Told, ParseIntError> {
        called();
        text.parse().map(Told)
    }
}

/// Returns the default value of a field.
fn by_default() -> u64 {
    called();
    5
}

/// A value of an earlier version.
#[derive(ShmData, Debug)]
pub(super) struct Short {
    pub(super) number: u64,
}

/// What it is now.
#[derive(ShmData, Debug)]
#[shm(rename = "Short")]
pub(super) struct Long {
    pub(super) number: u64,
    #[shm(default = by_default())]
    pub(super) more: u64,
}

/// A value that calls the user's code in all ways.
#[derive(ShmData, Debug)]
pub(super) struct Row {
    #[shm(with = written)]
    written: Written,
    #[shm(with = netshm::with::display)]
    told: Told,
    #[shm(skip)]
    _unstored: Unstored,
    hand: Hand,
    list: Vec<Option<Box<Hand>>>,
    busy: Busy,
    tree: BTreeSet<Busy>,
    hashed: HashSet<Busy>,
}

/// Makes a row, which does not count as calls.
pub(super) fn row(number: u64) -> Row {
    let left = LEFT.replace(0);
    let calls = CALLS.get();
    let row = Row {
        written: Written(number),
        told: Told(number),
        _unstored: Unstored,
        hand: Hand(number),
        list: vec![Some(Box::new(Hand(number))), None, Some(Box::new(Hand(1)))],
        busy: busy(number),
        tree: [busy(number), busy(7)].into_iter().collect(),
        hashed: [busy(number)].into_iter().collect(),
    };
    LEFT.set(left);
    CALLS.set(calls);
    row
}
