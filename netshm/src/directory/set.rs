//! Stores elements, and adds the chunks that they need.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::{Elements, FANOUT, FANOUT_BITS, Spot, child_at, element_in, find, find_chunk, reaches};
use crate::error::{Error, Result};
use crate::heap::Memory;
use crate::index::record::{IN_PLACE, Payload, Record, write_record};
use crate::layout::Offset;
use crate::os::copy;
use crate::region::Region;
use crate::store::Transaction;

/// Most words of a chunk that are logged one by one when all of it is set; if more differ, a new chunk takes its place.
const LOGGED_MOST: usize = 32;

/// Stores an element. `default` is what other elements of a fresh chunk are filled with.
pub(crate) fn set(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    value: Payload<'_>,
) -> Result<()> {
    change.write_stripe(spot.stripe)?;
    match (elements.dense, value) {
        (Some(_), Payload::Words(words)) => set_words(change, elements, spot, default, words),
        _ => set_record(change, elements, spot, default, value),
    }
}

/// Stores an element that lies in its chunk. The stripe is locked already.
#[inline(always)]
pub(crate) fn set_words(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    words: &[u64],
) -> Result<()> {
    let chunk = chunk_of(change, elements, spot, default)?;
    store_words(change, spot.place(chunk), words)
}

/// Stores elements in a row that lie in one chunk. The stripe is locked already.
pub(crate) fn set_run(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    words: &[u64],
) -> Result<()> {
    let region = change.store().region();
    let chunk = match find_chunk::<_, Error>(region, region.stripe(spot.at), spot.chunk)? {
        Some(chunk) => chunk,
        // It shows them without being there.
        None if words.chunks_exact(spot.words_each()).all(|element| element == default) => return Ok(()),
        None if words.len() as u64 == elements.chunk_words() => {
            return add_chunk(change, spot.stripe, spot.chunk, elements.chunk_words(), words).map(drop);
        }
        None => add_chunk(change, spot.stripe, spot.chunk, elements.chunk_words(), default)?,
    };
    let place = spot.place(chunk);
    let stored = region.words(place, words.len() as u64)?;
    if words.len() as u64 == elements.chunk_words() {
        let differing = stored.iter().zip(words).filter(|(word, new)| word.load(Relaxed) != **new);
        if differing.take(LOGGED_MOST).count() == LOGGED_MOST {
            return exchange_chunk(change, spot, chunk, words);
        }
    }
    for (i, (word, new)) in stored.iter().zip(words).enumerate() {
        if word.load(Relaxed) != *new {
            change.write(Offset::at(place + i as u64 * 8), *new)?;
        }
    }
    Ok(())
}

/// Replaces a chunk with a new one: faster than logging every word, and it takes less memory meanwhile.
fn exchange_chunk(change: &mut Transaction<'_>, spot: Spot, old: u64, words: &[u64]) -> Result<()> {
    let height = change.load(spot.at.buckets())?;
    let mut link = spot.at.segment(0);
    for level in (0..height as u32).rev() {
        link = Offset::at(child_at(change.load(link)?, spot.chunk >> (level * FANOUT_BITS)));
    }
    if change.load(link)? != old {
        return Err(change.store().region().corrupt(link.bytes(), "a directory has changed under its lock"));
    }
    let new = write_record(change, spot.stripe, &[], Payload::Words(words), 0)?;
    change.write(link, new)?;
    change.free_record(spot.stripe, old);
    Ok(())
}

/// Stores an element that has a record of its own. The stripe is locked already.
pub(crate) fn set_record(
    change: &mut Transaction<'_>,
    elements: Elements,
    spot: Spot,
    default: &[u64],
    value: Payload<'_>,
) -> Result<()> {
    let chunk = chunk_of(change, elements, spot, default)?;
    store_known(change, spot, chunk, default, value)
}

/// Stores an element that has a record of its own, in a chunk that is there. What the type of the program does not know of the old
/// one stays.
fn store_known(
    change: &mut Transaction<'_>,
    spot: Spot,
    chunk: u64,
    default: &[u64],
    value: Payload<'_>,
) -> Result<()> {
    if !change.store().may_have_tails() {
        return store_record(change, spot, chunk, value);
    }
    let (region, store) = (change.store().region(), change.store());
    let old = match region.word(spot.place(chunk))?.load(Relaxed) {
        0 => default.to_vec(),
        record => load(Record::at(region, record)?.value()),
    };
    let (tail, is_counted) = store.tail_of(&old);
    value.with_tail(tail, is_counted, |value| store_record(change, spot, chunk, value))
}

/// Stores a record in a chunk that is there.
fn store_record(change: &mut Transaction<'_>, spot: Spot, chunk: u64, value: Payload<'_>) -> Result<()> {
    let place = spot.place(chunk);
    let (region, stripe) = (change.store().region(), spot.stripe);
    let old = region.word(place)?.load(Relaxed);
    if old != 0
        && let Payload::Words(words) = value
    {
        let record = Record::at(region, old)?;
        if record.lengths.value == words.len() as u64 && words.len() <= IN_PLACE {
            return store_words(change, record.value_at(), words);
        }
    }
    let record = write_record(change, stripe, &[], value, 0)?;
    change.write(Offset::at(place), record)?;
    if old != 0 {
        change.free_record(stripe, old);
    }
    Ok(())
}

/// Place at which an element was found, for a later part of the same change.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    chunk: Option<u64>,
    /// Number of entries that the change had logged by then.
    entries: u64,
}

impl Seen {
    /// Locks the stripe of an element, for a change that may come, and looks for the element.
    #[inline]
    pub(crate) fn look(change: &mut Transaction<'_>, spot: Spot) -> Result<Self> {
        change.lock_stripe(spot.stripe)?;
        let region = change.store().region();
        Ok(Seen { chunk: find_chunk(region, region.stripe(spot.at), spot.chunk)?, entries: change.entries() })
    }

    /// Returns the stored words of the element; `None` if it has never been written.
    #[inline]
    pub(crate) fn words(self, region: &Region, elements: Elements, spot: Spot) -> Result<Option<&[AtomicU64]>> {
        self.chunk.map_or(Ok(None), |chunk| element_in(region, elements, spot, chunk))
    }

    /// Works like [`set`], where it was found, unless the change has gone on since.
    #[inline]
    pub(crate) fn set(
        self,
        change: &mut Transaction<'_>,
        elements: Elements,
        spot: Spot,
        default: &[u64],
        value: Payload<'_>,
    ) -> Result<()> {
        change.write_stripe(spot.stripe)?;
        match self.chunk {
            Some(chunk) if change.entries() == self.entries => match (elements.dense, value) {
                (Some(_), Payload::Words(words)) => store_words(change, spot.place(chunk), words),
                _ => store_known(change, spot, chunk, default, value),
            },
            _ => set(change, elements, spot, default, value),
        }
    }
}

/// Exchanges two elements, with all that they have. Their stripes are locked already.
pub(crate) fn swap(change: &mut Transaction<'_>, elements: Elements, a: Spot, b: Spot, default: &[u64]) -> Result<()> {
    if elements.dense.is_none() {
        return swap_records(change, elements, a, b, default);
    }
    let a = a.place(chunk_of(change, elements, a, default)?);
    let b = b.place(chunk_of(change, elements, b, default)?);
    for offset in (0..elements.words_each()).map(|word| word * 8) {
        let places = [a, b].map(|at| Offset::at(at.wrapping_add(offset)));
        let [one, other] = [change.load(places[0])?, change.load(places[1])?];
        if one != other {
            change.write(places[0], other)?;
            change.write(places[1], one)?;
        }
    }
    Ok(())
}

fn load(words: &[AtomicU64]) -> Vec<u64> {
    copy::load_vec(words, words.len())
}

/// Exchanges two elements that have records of their own: each stripe has its own memory, so both are written again.
fn swap_records(change: &mut Transaction<'_>, elements: Elements, a: Spot, b: Spot, default: &[u64]) -> Result<()> {
    let region = change.store().region();
    let words = |spot| Ok(find(region, elements, spot)?.map(load));
    let (one, other) = (words(a)?, words(b)?);
    if one == other {
        return Ok(());
    }
    for (spot, words) in [(a, other), (b, one)] {
        let chunk = chunk_of(change, elements, spot, default)?;
        store_record(change, spot, chunk, Payload::Words(words.as_deref().unwrap_or(default)))?;
    }
    Ok(())
}

/// Returns the address of the record that holds the chunk of an element, which is added if it is not there.
#[inline(always)]
fn chunk_of(change: &mut Transaction<'_>, elements: Elements, spot: Spot, default: &[u64]) -> Result<u64> {
    let region = change.store().region();
    match find_chunk::<_, Error>(region, region.stripe(spot.at), spot.chunk)? {
        Some(chunk) => Ok(chunk),
        None => {
            let pattern = if elements.dense.is_some() { default } else { &[0] };
            add_chunk(&mut change.reborrow(), spot.stripe, spot.chunk, elements.chunk_words(), pattern)
        }
    }
}

#[inline]
pub(super) fn store_words(change: &mut Transaction<'_>, place: u64, words: &[u64]) -> Result<()> {
    words.iter().enumerate().try_for_each(|(i, word)| change.write(Offset::at(place + i as u64 * 8), *word))
}

/// Adds a chunk of `words` words, filled with a pattern, and the nodes on the way to it. Returns the address of its record.
#[cold]
fn add_chunk(change: &mut Transaction<'_>, stripe: u32, chunk: u64, words: u64, pattern: &[u64]) -> Result<u64> {
    let region = change.store().region();
    let at = region.geometry().stripe(stripe);
    let mut height = change.load(at.buckets())?;
    while !reaches::<Error>(region, at, height, chunk)? {
        let root = change.load(at.segment(0))?;
        let mut root_words = [0; FANOUT as usize];
        root_words[0] = root;
        // An empty tree grows at once: there is nothing to keep at the old height.
        if height == 0 || root != 0 {
            let node = if height == 0 { 0 } else { write_record(change, stripe, &[], Payload::Words(&root_words), 0)? };
            change.write(at.segment(0), node)?;
        }
        height += 1;
        change.write(at.buckets(), height)?;
    }
    let mut link = at.segment(0);
    for level in (0..height as u32).rev() {
        let mut node = change.load(link)?;
        if node == 0 {
            node = write_record(change, stripe, &[], Payload::Words(&[0; FANOUT as usize]), 0)?;
            change.write(link, node)?;
        }
        link = Offset::at(child_at(node, chunk >> (level * FANOUT_BITS)));
    }
    let fill = |words: &[AtomicU64]| {
        for (word, value) in words.iter().zip(pattern.iter().cycle()) {
            word.store(*value, Relaxed);
        }
        Ok(())
    };
    let added = write_record(change, stripe, &[], Payload::Fill(words, &fill), 0)?;
    change.write(link, added)?;
    let chunks = change.load(at.keys())?;
    change.write(at.keys(), chunks.wrapping_add(1))?;
    Ok(added)
}
