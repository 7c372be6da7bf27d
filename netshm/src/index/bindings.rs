//! Changes to the bindings of a key.

use super::buckets::{Chain, OVERFLOW, bucket_of};
use super::{Found, Record};
use crate::heap::Memory;
use crate::layout::record::{BUCKET_WORDS, CELLS, Cell, Lengths};
use crate::layout::{MAX_VALUE, Place, StripeAt};
use crate::os::copy;
use crate::region::Region;
use crate::store::Change;
use crate::{Error, Result};

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Values up to so many words are changed in place, through the log, if their size stays.
const IN_PLACE: usize = 16;

/// A value to be stored.
#[derive(Clone, Copy)]
pub(crate) enum Payload<'a> {
    /// Encoded already.
    Words(&'a [u64]),
    /// To be encoded straight into so many shared words.
    Fill(u64, &'a dyn Fn(&[AtomicU64]) -> Result<()>),
}

impl Payload<'_> {
    fn words(&self) -> u64 {
        match self {
            Payload::Words(words) => words.len() as u64,
            Payload::Fill(words, _) => *words,
        }
    }
}

/// A key with its hash and stripe, for one operation.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) words: &'a [u64],
    pub(crate) hash: u64,
    pub(crate) stripe: u32,
    pub(crate) at: StripeAt,
}

/// Looks a key up, for a change.
fn find<'a>(region: &'a Region, at: StripeAt, hash: u64, key: &[u64]) -> Result<Option<Found<'a>>> {
    super::find(region, at, hash, key)
}

/// Pushes a binding, which hides the older ones.
pub(crate) fn add(change: &mut Change<'_>, key: Key<'_>, value: Payload<'_>) -> Result<()> {
    change.write_stripe(key.stripe)?;
    let found = find(change.target().region(), key.at, key.hash, key.words)?;
    push(change, key, value, found)
}

/// Changes the newest binding, or adds one.
pub(crate) fn replace(change: &mut Change<'_>, key: Key<'_>, value: Payload<'_>) -> Result<()> {
    change.write_stripe(key.stripe)?;
    match find(change.target().region(), key.at, key.hash, key.words)? {
        None => push(change, key, value, None),
        Some(found) => overwrite(change, key, value, &found),
    }
}

/// Adds a binding if the key has none: whether it did.
pub(crate) fn add_if_absent(change: &mut Change<'_>, key: Key<'_>, value: Payload<'_>) -> Result<bool> {
    change.write_stripe(key.stripe)?;
    if find(change.target().region(), key.at, key.hash, key.words)?.is_some() {
        return Ok(false);
    }
    push(change, key, value, None)?;
    Ok(true)
}

/// Pops the newest binding: whether there was one.
pub(crate) fn remove(change: &mut Change<'_>, key: Key<'_>) -> Result<bool> {
    change.write_stripe(key.stripe)?;
    match find(change.target().region(), key.at, key.hash, key.words)? {
        None => Ok(false),
        Some(found) => pop(change, key.stripe, key.at, &found).map(|()| true),
    }
}

/// Removes all bindings of a key: how many there were.
pub(crate) fn remove_all(change: &mut Change<'_>, key: Key<'_>) -> Result<u64> {
    change.write_stripe(key.stripe)?;
    let Some(found) = find(change.target().region(), key.at, key.hash, key.words)? else { return Ok(0) };
    let mut count = 0;
    for record in super::Bindings::from(change.target().region(), key.at, found.record.at) {
        change.free_record(key.stripe, record?.at);
        count += 1;
    }
    let bindings = change.load(key.at.bindings())?;
    change.store(key.at.bindings(), bindings.saturating_sub(count))?;
    drop_key(change, key.stripe, key.at, &found)?;
    Ok(count)
}

/// Removes a binding from anywhere in the stack of a key. `newer` is the binding above it, if the caller has just been
/// there (0 if not); otherwise it is looked for from the top.
pub(crate) fn remove_binding(change: &mut Change<'_>, key: Key<'_>, newer: u64, at: u64) -> Result<bool> {
    change.write_stripe(key.stripe)?;
    let region = change.target().region();
    let Some(found) = find(region, key.at, key.hash, key.words)? else { return Ok(false) };
    if found.record.at == at {
        return pop(change, key.stripe, key.at, &found).map(|()| true);
    }
    let start = if newer == 0 { found.record.at } else { newer };
    for record in super::Bindings::from(region, key.at, start) {
        let record = record?;
        if record.older() == at {
            let removed = Record::at(region, at)?;
            change.store(Place(record.at), record.head.with_pointer(removed.older()).0)?;
            let bindings = change.load(key.at.bindings())?;
            change.store(key.at.bindings(), bindings.saturating_sub(1))?;
            change.free_record(key.stripe, at);
            return Ok(true);
        }
    }
    Ok(false)
}

fn push(change: &mut Change<'_>, key: Key<'_>, value: Payload<'_>, found: Option<Found<'_>>) -> Result<()> {
    let older = found.map_or(0, |found| found.record.at);
    let at = write_record(change, key.stripe, key.words, value, older)?;
    let bindings = change.load(key.at.bindings())?;
    change.store(key.at.bindings(), bindings.wrapping_add(1))?;
    let cell = Cell::new(at, key.hash);
    match found {
        Some(found) => change.store(Place(found.cell_at), cell.0),
        None => {
            super::resize::grow(change, key.stripe, key.at)?;
            enter_cell(change, key.stripe, key.at, cell)?;
            let keys = change.load(key.at.keys())?;
            change.store(key.at.keys(), keys.wrapping_add(1))
        }
    }
}

fn overwrite(change: &mut Change<'_>, key: Key<'_>, value: Payload<'_>, found: &Found<'_>) -> Result<()> {
    if let Payload::Words(words) = value
        && words.len() as u64 == found.record.lengths.value
        && words.len() <= IN_PLACE
    {
        let value_at = found.record.value_at();
        return words.iter().enumerate().try_for_each(|(i, word)| change.store(Place(value_at + i as u64 * 8), *word));
    }
    let at = write_record(change, key.stripe, key.words, value, found.record.older())?;
    change.store(Place(found.cell_at), Cell::new(at, key.hash).0)?;
    change.free_record(key.stripe, found.record.at);
    Ok(())
}

/// Writes a record into fresh memory: its address.
pub(crate) fn write_record(
    change: &mut Change<'_>,
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
    let region = change.target().region();
    let words = region.words(at, lengths.words())?;
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

/// Enters a cell for a new key into its bucket's chain.
fn enter_cell(change: &mut Change<'_>, stripe: u32, at: StripeAt, cell: Cell) -> Result<()> {
    let region = change.target().region();
    let buckets = change.load(at.buckets())?;
    let mut chain = Chain::of(region, at, buckets, bucket_of(cell.hash_bits(), buckets))?;
    loop {
        if let Some(free) = chain.bucket()[..CELLS].iter().position(|word| Cell(word.load(Relaxed)).is_empty()) {
            return change.store(Place(chain.at() + free as u64 * 8), cell.0);
        }
        if !chain.advance()? {
            let overflow = overflow_bucket(change, stripe, &[cell])?;
            return change.store(Place(chain.at() + CELLS as u64 * 8), overflow);
        }
    }
}

/// Makes an overflow bucket with these cells: the address of its record.
pub(super) fn overflow_bucket(change: &mut Change<'_>, stripe: u32, cells: &[Cell]) -> Result<u64> {
    let mut words = [0; BUCKET_WORDS];
    for (word, cell) in words.iter_mut().zip(cells) {
        *word = cell.0;
    }
    write_record(change, stripe, &[], Payload::Words(&words), 0)
}

fn pop(change: &mut Change<'_>, stripe: u32, at: StripeAt, found: &Found<'_>) -> Result<()> {
    let older = found.record.older();
    let bindings = change.load(at.bindings())?;
    change.store(at.bindings(), bindings.saturating_sub(1))?;
    change.free_record(stripe, found.record.at);
    if older == 0 {
        return drop_key(change, stripe, at, found);
    }
    let cell = Cell(change.load(Place(found.cell_at))?);
    change.store(Place(found.cell_at), Cell::new(older, cell.hash_bits()).0)
}

/// Empties the cell of a key, and takes an overflow bucket out of its chain when that empties it.
fn drop_key(change: &mut Change<'_>, stripe: u32, at: StripeAt, found: &Found<'_>) -> Result<()> {
    change.store(Place(found.cell_at), Cell::EMPTY.0)?;
    let keys = change.load(at.keys())?;
    change.store(at.keys(), keys.saturating_sub(1))?;
    if let Some(before) = found.before {
        let words = change.target().region().words(found.bucket, BUCKET_WORDS as u64)?;
        if words[..CELLS].iter().all(|word| Cell(word.load(Relaxed)).is_empty()) {
            change.store(Place(before + CELLS as u64 * 8), words[CELLS].load(Relaxed))?;
            change.free_record(stripe, found.bucket - 8);
        }
    }
    super::resize::shrink(change, stripe, at)
}

const _: () = assert!(OVERFLOW.words() == 9);
