//! Values of the primitive table, block by block where they lie.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::heap::Memory;
use crate::index::record::Record;
use crate::index::ring::Ring;
use crate::index::{self, Key, bindings};
use crate::layout::Offset;
use crate::store::Transaction;
use crate::store::group::{self, Iteration};
use crate::store::read::{self, with_source};

/// Next step of a visit after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// To the next block, of this binding or of the next older one.
    Next,
    /// To the next older binding.
    NextBinding,
    /// Remove this binding, and go on to the next older one.
    Remove,
    /// No further.
    Break,
}

/// A part of a value, in shared memory that is locked as long as this exists.
#[derive(Debug)]
pub struct Block<'a> {
    /// The value's words; each holds two elements.
    words: &'a [AtomicU64],
    start: usize,
    len: usize,
    last: bool,
}

/// Returns one of the two elements in a word.
fn half(word: u64, index: usize) -> i32 {
    let bytes = word.to_ne_bytes();
    let part = if index.is_multiple_of(2) {
        [bytes[0], bytes[1], bytes[2], bytes[3]]
    } else {
        [bytes[4], bytes[5], bytes[6], bytes[7]]
    };
    i32::from_ne_bytes(part)
}

/// Returns the word with another one.
fn with_half(word: u64, index: usize, value: i32) -> u64 {
    let mut bytes = word.to_ne_bytes();
    bytes[index % 2 * 4..][..4].copy_from_slice(&value.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

impl Block<'_> {
    /// Returns the number of elements in the block; 0 for the one block of an empty value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the value is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns an element; `None` beyond the block's end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i32> {
        let at = (index < self.len).then(|| self.start + index)?;
        Some(half(self.words[at / 2].load(Relaxed), at))
    }

    /// Copies the block's elements to the start of `out`, up to its length. Returns the number copied.
    pub fn copy_to(&self, out: &mut [i32]) -> usize {
        let count = self.len.min(out.len());
        for (index, element) in out[..count].iter_mut().enumerate() {
            let at = self.start + index;
            *element = half(self.words[at / 2].load(Relaxed), at);
        }
        count
    }

    /// Returns whether the binding ends with this block.
    #[must_use]
    pub fn ends_binding(&self) -> bool {
        self.last
    }
}

/// A part of a value that can be changed in place.
#[derive(Debug)]
pub struct BlockMut<'a> {
    block: Block<'a>,
    /// New values of elements; stored, through the log, when the caller is done with the block.
    changes: Vec<(usize, i32)>,
}

impl<'a> std::ops::Deref for BlockMut<'a> {
    type Target = Block<'a>;

    fn deref(&self) -> &Block<'a> {
        &self.block
    }
}

impl BlockMut<'_> {
    /// Returns an element, with the changes made so far; `None` beyond the block's end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<i32> {
        match self.changes.iter().rev().find(|(changed, _)| *changed == index) {
            Some((_, value)) => Some(*value),
            None => self.block.get(index),
        }
    }

    /// Copies the block's elements, with the changes made so far, to the start of `out`, up to its length. Returns the number
    /// copied.
    pub fn copy_to(&self, out: &mut [i32]) -> usize {
        let count = self.block.copy_to(out);
        for (index, value) in &self.changes {
            if let Some(element) = out[..count].get_mut(*index) {
                *element = *value;
            }
        }
        count
    }

    /// Changes an element. Returns whether there is one with that index.
    pub fn set(&mut self, index: usize, value: i32) -> bool {
        let inside = index < self.block.len;
        if inside {
            self.changes.push((index, value));
        }
        inside
    }
}

/// Returns the elements of a value: its words, without the length in front.
fn elements<'a>(record: &Record<'a>, region: &crate::region::Region) -> Result<(&'a [AtomicU64], usize)> {
    let damaged = || region.corrupt(record.at, "a value of a primitive table has a wrong length");
    let (length, words) = record.value().split_first().ok_or_else(damaged)?;
    let length = usize::try_from(length.load(Relaxed)).map_err(|_| damaged())?;
    if length.div_ceil(2) == words.len() { Ok((words, length)) } else { Err(damaged()) }
}

/// Returns the blocks of a value; an empty value has one.
fn blocks<'a>(words: &'a [AtomicU64], length: usize, each: usize) -> impl Iterator<Item = Block<'a>> {
    (0..length.max(1)).step_by(each).map(move |start| {
        let len = each.min(length - start.min(length));
        Block { words, start, len, last: start + len == length }
    })
}

fn block_length(handle: &Handle) -> usize {
    (handle.store.geometry().pagesize / 4) as usize
}

pub(super) fn read(handle: &Handle, key: i32, mut visit: impl FnMut(&Block<'_>) -> Flow) -> Result<()> {
    if handle.store.region().object().read_only() {
        return read_copies(handle, key, visit);
    }
    let mut visit_alone = |block: &Block<'_>| {
        let _iteration = Iteration::start(&handle.store);
        visit(block)
    };
    handle.group(|| with_key(handle, key, |key| read_bindings(handle, key, &mut visit_alone)))
}

/// Shows the bindings of a key, in the open group.
fn read_bindings(handle: &Handle, key: Key<'_>, visit: &mut impl FnMut(&Block<'_>) -> Flow) -> Result<()> {
    let store = &handle.store;
    let newest = group::read_locked(store, handle.limits, |change| {
        change.read_stripe(key.stripe)?;
        let found = index::find(change.store().region(), key)?;
        Ok(found.map_or(0, |found| found.record.at))
    })?;
    for record in index::Bindings::from(store.region(), key.at, newest) {
        let (words, length) = elements(&record?, store.region())?;
        if show(words, length, block_length(handle), visit) == Flow::Break {
            break;
        }
    }
    Ok(())
}

/// Shows the blocks of a value. Returns how to go on with it.
fn show(words: &[AtomicU64], length: usize, each: usize, visit: &mut impl FnMut(&Block<'_>) -> Flow) -> Flow {
    let mut flows = blocks(words, length, each).map(|block| visit(&block));
    flows.find(|flow| *flow != Flow::Next).unwrap_or(Flow::Next)
}

/// Reads the blocks of consistent copies: through a read-only descriptor nothing can be locked.
fn read_copies(handle: &Handle, key: i32, mut visit: impl FnMut(&Block<'_>) -> Flow) -> Result<()> {
    let copies = with_key(handle, key, |key| {
        read::read(&handle.store, handle.limits, key.stripe, |view| {
            with_source!(view, source => {
                let mut copies = Vec::new();
                let Some(found) = index::find(source, key)? else { return Ok(copies) };
                for record in index::Bindings::from(source, key.at, found.record.at) {
                    let (words, length) = elements(&record?, view.region())?;
                    if !view.holds() {
                        break;
                    }
                    let copy: Vec<AtomicU64> = words.iter().map(|word| AtomicU64::new(word.load(Relaxed))).collect();
                    copies.push((copy, length));
                }
                Ok(copies)
            })
        })
    })?;
    for (words, length) in &copies {
        if show(words, *length, block_length(handle), &mut visit) == Flow::Break {
            break;
        }
    }
    Ok(())
}

pub(super) fn write(handle: &Handle, key: i32, mut visit: impl FnMut(&mut BlockMut<'_>) -> Flow) -> Result<()> {
    handle.group(|| with_key(handle, key, |key| write_bindings(handle, key, &mut visit)))
}

/// Shows the bindings of a key, in the open group.
fn write_bindings(handle: &Handle, key: Key<'_>, visit: &mut impl FnMut(&mut BlockMut<'_>) -> Flow) -> Result<()> {
    let region = handle.store.region();
    let mut next = handle.change("change blocks", |change| {
        change.write_stripe(key.stripe)?;
        let found = index::find(change.store().region(), key)?;
        Ok(found.map_or(0, |found| found.record.at))
    })?;
    // The last binding that was kept.
    let mut newer = 0;
    let mut ring = Ring::default();
    while next != 0 {
        if ring.closes(next) {
            return Err(region.corrupt(next, "the bindings of a key lead in a circle"));
        }
        let record = Record::at(region, next)?;
        next = record.older();
        match write_binding(handle, &record, visit)? {
            Flow::Next | Flow::NextBinding => newer = record.at,
            Flow::Remove => {
                let remove = |change: &mut Transaction<'_>| bindings::remove_binding(change, key, newer, record.at);
                handle.change("remove a binding", remove)?;
            }
            Flow::Break => return Ok(()),
        }
    }
    Ok(())
}

/// Shows the blocks of a binding and stores their changes. Returns how to go on with the binding.
fn write_binding(
    handle: &Handle,
    record: &Record<'_>,
    visit: &mut impl FnMut(&mut BlockMut<'_>) -> Flow,
) -> Result<Flow> {
    let store = &handle.store;
    let (words, length) = elements(record, store.region())?;
    for block in blocks(words, length, block_length(handle)) {
        let mut block = BlockMut { block, changes: Vec::new() };
        let iteration = Iteration::start(store);
        let flow = visit(&mut block);
        drop(iteration);
        apply(handle, record, &block)?;
        if flow != Flow::Next {
            return Ok(flow);
        }
    }
    Ok(Flow::Next)
}

/// Stores the changes of a block, after the length word of its value.
fn apply(handle: &Handle, record: &Record<'_>, block: &BlockMut<'_>) -> Result<()> {
    if block.changes.is_empty() {
        return Ok(());
    }
    handle.change("change a block", |change| {
        block.changes.iter().try_for_each(|(index, value)| {
            let element = block.block.start + index;
            let place = Offset::at(record.value_at() + 8 + (element / 2) as u64 * 8);
            let word = change.load(place)?;
            change.write(place, with_half(word, element, *value))
        })
    })
}

fn with_key<R>(handle: &Handle, key: i32, f: impl FnOnce(Key<'_>) -> Result<R>) -> Result<R, Error> {
    handle.with_key::<i32, R>(&key, f)
}
