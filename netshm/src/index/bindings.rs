//! Changes to the bindings of a key.

use std::sync::atomic::Ordering::Relaxed;

use super::buckets::{Chain, Content, bucket_of, clear_cells, set_link};
use super::image::{Image, overflow_bucket};
use super::record::{IN_PLACE, Payload, Record, write_record};
use super::{Found, Key, Sought, find, optimistic_pair, seek};
use crate::data::DataError;
use crate::error::{Error, Result};
use crate::heap::Memory;
use crate::layout::bucket::{BucketAt, Cell, Cells, Form, Tag, Tags};
use crate::layout::{Offset, StripeAt};
use crate::os::copy;
use crate::region::Region;
use crate::store::Transaction;

/// Pushes a binding, which hides the older ones.
pub(crate) fn add(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>) -> Result<()> {
    change.write_stripe(key.stripe)?;
    match seek(change.store().region(), key)? {
        Sought::Missing(bucket) => add_key(change, key, value, bucket),
        Sought::Found(found) => cover(change, key, value, &found),
    }
}

/// Changes the newest binding, or adds one.
pub(crate) fn replace(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>) -> Result<()> {
    change.write_stripe(key.stripe)?;
    let store = change.store();
    if store.geometry().form == Form::Pairs
        && let ([key_word], Payload::Words([word])) = (key.words, value)
        && let Some(place) = optimistic_pair(store.region(), key, *key_word).map(|(place, _)| place)
    {
        return change.write(place, *word);
    }
    replace_slow(change, key, value)
}

#[inline(never)]
fn replace_slow(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>) -> Result<()> {
    match seek(change.store().region(), key)? {
        Sought::Missing(bucket) => add_key(change, key, value, bucket),
        Sought::Found(found) => overwrite(change, key, value, &found),
    }
}

/// Adds a binding if the key has none. Returns whether it did.
pub(crate) fn add_if_absent(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>) -> Result<bool> {
    change.lock_stripe(key.stripe)?;
    match seek(change.store().region(), key)? {
        Sought::Missing(bucket) => {
            change.write_stripe(key.stripe)?;
            add_key(change, key, value, bucket).map(|()| true)
        }
        Sought::Found(_) => Ok(false),
    }
}

/// Pops the newest binding. Returns whether there was one.
pub(crate) fn remove(change: &mut Transaction<'_>, key: Key<'_>) -> Result<bool> {
    change.write_stripe(key.stripe)?;
    match find(change.store().region(), key)? {
        None => Ok(false),
        Some(found) => pop(change, key, &found).map(|()| true),
    }
}

/// A key as it was found, for a later part of the same change, with the number of entries logged by then.
#[derive(Clone, Copy)]
pub(crate) enum Seen<'a> {
    /// A pair, with the place of its value.
    Pair(Offset, u64),
    Other(Sought<'a>, u64),
}

impl<'a> Seen<'a> {
    /// Locks the stripe of a key, for a change that may come, and looks the key up. The region is that of the change.
    pub(crate) fn look(change: &mut Transaction<'_>, region: &'a Region, key: Key<'_>) -> Result<Self> {
        change.lock_stripe(key.stripe)?;
        Ok(Seen::Other(seek(region, key)?, change.entries()))
    }

    /// Returns the newest binding; of a pair, only the value has been read.
    #[inline]
    pub(crate) fn newest(&self) -> Option<&Record<'a>> {
        match self {
            Seen::Other(Sought::Found(found), _) => Some(&found.record),
            Seen::Other(Sought::Missing(_), _) | Seen::Pair(..) => None,
        }
    }

    /// Works like [`replace`].
    #[inline]
    pub(crate) fn replace(&self, change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>) -> Result<()> {
        change.write_stripe(key.stripe)?;
        if let (Seen::Pair(place, entries), Payload::Words([word])) = (*self, value)
            && change.entries() == entries
        {
            return change.write(place, *word);
        }
        self.replace_slow(change, key, value)
    }

    #[inline(never)]
    fn replace_slow(&self, change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>) -> Result<()> {
        match *self {
            Seen::Other(Sought::Missing(bucket), entries) if change.entries() == entries => {
                add_key(change, key, value, bucket)
            }
            Seen::Other(Sought::Found(found), entries) if change.entries() == entries => {
                overwrite(change, key, value, &found)
            }
            _ => replace(change, key, value),
        }
    }

    /// Works like [`remove`].
    pub(crate) fn remove(&self, change: &mut Transaction<'_>, key: Key<'_>) -> Result<bool> {
        change.write_stripe(key.stripe)?;
        match *self {
            Seen::Other(Sought::Missing(_), entries) if change.entries() == entries => Ok(false),
            Seen::Other(Sought::Found(found), entries) if change.entries() == entries => {
                pop(change, key, &found).map(|()| true)
            }
            _ => remove(change, key),
        }
    }
}

/// Removes all bindings of a key. Returns their number.
pub(crate) fn remove_all(change: &mut Transaction<'_>, key: Key<'_>) -> Result<u64> {
    change.write_stripe(key.stripe)?;
    let Some(found) = find(change.store().region(), key)? else { return Ok(0) };
    let mut count = 0;
    for record in super::Bindings::from(change.store().region(), key.at, found.record.at) {
        free(change, key.stripe, &record?);
        count += 1;
    }
    uncover(change, key.at, count - 1)?;
    drop_key(change, key.stripe, key.at, &found)?;
    Ok(count)
}

/// Removes a binding from anywhere in the stack of a key. `newer` is the binding above it, if the caller has just been
/// there (0 if not); otherwise it is looked for from the top.
pub(crate) fn remove_binding(change: &mut Transaction<'_>, key: Key<'_>, newer: u64, at: u64) -> Result<bool> {
    change.write_stripe(key.stripe)?;
    let region = change.store().region();
    let Some(found) = find(region, key)? else { return Ok(false) };
    if found.record.at == at {
        return pop(change, key, &found).map(|()| true);
    }
    let start = if newer == 0 { found.record.at } else { newer };
    for record in super::Bindings::from(region, key.at, start) {
        let record = record?;
        if record.older() == at {
            let removed = Record::at(region, at)?;
            change.write(Offset::at(record.at), record.head.with_pointer(removed.older()).0)?;
            uncover(change, key.at, 1)?;
            change.free_record(key.stripe, at);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Pushes a binding over those that the key has.
fn cover(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>, found: &Found<'_>) -> Result<()> {
    let older = match found.record.value() {
        [word] if found.record.is_pair() => {
            write_record(change, key.stripe, key.words, Payload::Words(&[word.load(Relaxed)]), 0)?
        }
        _ => found.record.at,
    };
    let at = write_record(change, key.stripe, key.words, value, older)?;
    lead_to(change, found, key.hash, at)?;
    let hidden = change.field(key.at.hidden());
    change.set_field(key.at.hidden(), hidden.wrapping_add(1))
}

/// Adds a key that is not there, to that bucket if it has room.
fn add_key(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>, bucket: Option<BucketAt>) -> Result<()> {
    let content = content(change, key, value)?;
    if change.field(key.at.buckets()) == 0 {
        super::resize::start(change, key.stripe, key.at)?;
    }
    let buckets = change.field(key.at.buckets());
    match bucket.map(|bucket| Ok((bucket, content.room(change.store().region(), bucket)?))).transpose()? {
        Some((bucket, Some(cell))) => content.store(change, bucket, cell)?,
        _ => enter(change, key, content, buckets)?,
    }
    let keys = change.field(key.at.keys()).wrapping_add(1);
    change.set_field(key.at.keys(), keys)?;
    super::resize::grow(change, key.stripe, key.at, buckets, keys)
}

/// Returns the content of the cell of a new key, writing a record if it needs one.
fn content(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>) -> Result<Content> {
    match (change.store().geometry().form, key.words, value) {
        (Form::Pairs, [key_word], Payload::Words([word])) => {
            Ok(Content::Pair { tag: Tag::new(key.hash, false), key: *key_word, value: *word })
        }
        (Form::Pairs, [key_word], value) => {
            let at = write_record(change, key.stripe, key.words, value, 0)?;
            Ok(Content::Pair { tag: Tag::new(key.hash, true), key: *key_word, value: at })
        }
        (Form::Records, ..) => {
            let at = write_record(change, key.stripe, key.words, value, 0)?;
            Ok(Content::Record(Cell::new(at, key.hash)))
        }
        // The schema says one word.
        (Form::Pairs, ..) => {
            let error =
                DataError::new("a data manager", "the encoding of a key has another length than its schema says");
            Err(Error::decode(change.store().name(), error))
        }
    }
}

/// Makes the cell of a key lead to a record.
fn lead_to(change: &mut Transaction<'_>, found: &Found<'_>, hash: u64, record: u64) -> Result<()> {
    match change.store().geometry().form {
        Form::Records => change.write(found.bucket.cell(found.cell), Cell::new(record, hash).0),
        Form::Pairs => set_pair(change, found, Tag::new(hash, true), record),
    }
}

/// Changes the tag and the value word of a cell.
fn set_pair(change: &mut Transaction<'_>, found: &Found<'_>, tag: Tag, value: u64) -> Result<()> {
    let tags = Tags(change.load(Offset::at(found.bucket.tags))?);
    if tags.tag(found.cell) != tag {
        change.write(Offset::at(found.bucket.tags), tags.with(found.cell, tag).0)?;
    }
    change.write(found.bucket.value(found.cell), value)
}

/// Frees a binding's record, if it is one.
fn free(change: &mut Transaction<'_>, stripe: u32, binding: &Record<'_>) {
    if !binding.is_pair() {
        change.free_record(stripe, binding.at);
    }
}

fn overwrite(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>, found: &Found<'_>) -> Result<()> {
    if change.store().may_have_tails() {
        return overwrite_known(change, key, value, found);
    }
    overwrite_all(change, key, value, found)
}

/// Overwrites the part of a binding that the program's type knows, and carries over the rest.
#[cold]
fn overwrite_known(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>, found: &Found<'_>) -> Result<()> {
    let stored = found.record.value();
    let stored = copy::load_vec(stored, stored.len());
    let (tail, is_counted) = change.store().tail_of(&stored);
    value.with_tail(tail, is_counted, |value| overwrite_all(change, key, value, found))
}

fn overwrite_all(change: &mut Transaction<'_>, key: Key<'_>, value: Payload<'_>, found: &Found<'_>) -> Result<()> {
    if let Payload::Words(words) = value
        && words.len() as u64 == found.record.lengths.value
        && words.len() <= IN_PLACE
    {
        let value_at = found.record.value_at();
        return words
            .iter()
            .enumerate()
            .try_for_each(|(i, word)| change.write(Offset::at(value_at + i as u64 * 8), *word));
    }
    let at = write_record(change, key.stripe, key.words, value, found.record.older())?;
    lead_to(change, found, key.hash, at)?;
    free(change, key.stripe, &found.record);
    Ok(())
}

/// Enters a new key into its bucket's chain.
#[inline(never)]
fn enter(change: &mut Transaction<'_>, key: Key<'_>, content: Content, buckets: u64) -> Result<()> {
    let region = change.store().region();
    let mut chain = Chain::of(region, key.at, buckets, bucket_of(key.hash, buckets))?;
    loop {
        if let Some(cell) = content.room(region, chain.at())? {
            return content.store(change, chain.at(), cell);
        }
        if !chain.advance()? {
            return enter_overflow(change, key.stripe, content, &chain);
        }
    }
}

/// Enters a new key into a new overflow bucket of one that is full.
#[inline(never)]
fn enter_overflow(change: &mut Transaction<'_>, stripe: u32, content: Content, full: &Chain<'_>) -> Result<()> {
    let mut image = Image::empty(full.form());
    image.put(content);
    if full.form() == Form::Pairs {
        // The last cell has to make room for the link.
        image.put(full.image()?.content(full.form().cells() - 1));
    }
    let overflow = overflow_bucket(change, stripe, &image)?;
    set_link(change, full.at(), overflow)
}

fn pop(change: &mut Transaction<'_>, key: Key<'_>, found: &Found<'_>) -> Result<()> {
    let older = found.record.older();
    free(change, key.stripe, &found.record);
    if older == 0 {
        return drop_key(change, key.stripe, key.at, found);
    }
    uncover(change, key.at, 1)?;
    if change.store().geometry().form == Form::Pairs {
        let last = Record::at(change.store().region(), older)?;
        if let ([word], 0) = (last.value(), last.older()) {
            // A single binding lies in the bucket again.
            change.free_record(key.stripe, older);
            return set_pair(change, found, Tag::new(key.hash, false), word.load(Relaxed));
        }
    }
    lead_to(change, found, key.hash, older)
}

/// Subtracts bindings that are no longer hidden from the count.
fn uncover(change: &mut Transaction<'_>, at: StripeAt, count: u64) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let hidden = change.field(at.hidden());
    change.set_field(at.hidden(), hidden.saturating_sub(count))
}

/// Empties the cell of a key, and takes an overflow bucket out of its chain when that empties it.
fn drop_key(change: &mut Transaction<'_>, stripe: u32, at: StripeAt, found: &Found<'_>) -> Result<()> {
    clear_cells(change, found.bucket, Cells::NONE.with(found.cell))?;
    if change.store().geometry().form == Form::Pairs {
        // The tags lie in another page. If the next pair's tag reaches storage and the pair does not, then this must not be
        // a pair which may have that tag.
        change.modify(found.bucket.pair(found.cell), |key| !key)?;
    }
    let keys = change.field(at.keys());
    change.set_field(at.keys(), keys.saturating_sub(1))?;
    if let Some(before) = found.before
        && let emptied = Image::of(change.store().region(), found.bucket)?
        && emptied.is_empty()
    {
        set_link(change, before, emptied.link())?;
        change.free_record(stripe, found.bucket.record(emptied.form()));
    }
    if keys <= 1 && change.field(at.buckets()) > super::resize::FEW {
        return super::resize::empty(change, stripe, at);
    }
    super::resize::shrink(change, stripe, at)
}
