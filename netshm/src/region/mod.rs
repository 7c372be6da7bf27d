//! The mapped object as bounds-checked atomic words.
//!
//! Every access to shared memory goes through here. What other processes do to the object can make a word hold
//! anything, but never an access fall outside the mapping, and no place is ever accessed in two widths: fields of
//! 32 bits have a type of their own ([`Offset32`]) and lie where [`Region::word`] and [`Region::words`] do not reach.
#![allow(unsafe_code)]

mod extent;
mod fields;
mod storage;

pub(crate) use fields::StripeFields;
pub(crate) use storage::no_space;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use fields::Fields;

use crate::error::{Error, Result};
use crate::layout::header::HEADER_BYTES;
use crate::layout::{Geometry, Offset, Offset32, PENDING, STRIPE_WORDS, SlotAt, StripeAt, WORD};
use crate::os::copy;
use crate::os::map::Mapping;
use crate::shm::Object;

/// Error type of functions that may meet damaged or changing memory.
///
/// # Safety
/// `recheck` must not return `Ok` unless [`Region::is_inside`] holds for the same words.
pub(crate) unsafe trait ReadError: Sized {
    /// True if the caller retries on the slow path, so that rare but valid cases may fail as well.
    const OPTIMISTIC: bool;
    /// Returns the error for damage found at `offset`.
    fn corrupt(region: &Region, offset: u64, what: &'static str) -> Self;
    /// Decides about `count` words at `offset` beyond the known end; may look up the size of the file and check again.
    fn recheck(region: &Region, offset: u64, count: u64) -> Result<(), Self>;
}

/// Says where and what.
// SAFETY: `ReadError` requires `Ok` only where `is_inside` holds: `Region::recheck` returns it only then.
unsafe impl ReadError for Error {
    const OPTIMISTIC: bool = false;
    #[cold]
    fn corrupt(region: &Region, offset: u64, what: &'static str) -> Self {
        region.corrupt(offset, what)
    }
    #[cold]
    fn recheck(region: &Region, offset: u64, count: u64) -> Result<()> {
        region.recheck(offset, count)
    }
}

/// Carries nothing: the optimistic attempt failed, and the slow path must decide why.
#[derive(Debug)]
pub(crate) struct Inconclusive;

// SAFETY: `ReadError` requires `Ok` only where `is_inside` holds: this never returns it.
unsafe impl ReadError for Inconclusive {
    const OPTIMISTIC: bool = true;
    fn corrupt(_: &Region, _: u64, _: &'static str) -> Self {
        Inconclusive
    }
    fn recheck(_: &Region, _: u64, _: u64) -> Result<(), Self> {
        Err(Inconclusive)
    }
}

/// The mapping of one object, with the part of it that is known to be backed by the file.
///
/// Invariants:
/// 1. `map` covers `geometry.max_size` bytes, aligned to a page, for as long as the region lives.
/// 2. `geometry.data_start() + known * WORD <= geometry.max_size`, and the file had at least that many bytes when `known`
///    was set. `known` never sinks.
/// 3. `geometry.data_start() >= HEADER_BYTES`, and it is a multiple of [`WORD`].
/// 4. Nobody accesses the mapping except through this module and `os::copy`: in words, as 64-bit atomics, or at places that
///    the layout declares as 32 bits, as 32-bit atomics. Other processes do the same, as far as this one can be concerned:
///    what they store is no access of this program.
/// 5. Through a read-only mapping nothing is stored.
/// 6. `last_stripe` is where the fields of a stripe begin that end at `geometry.data_start()`, and `array_len` is a multiple of
///    [`WORD`] below that. Neither changes.
pub(crate) struct Region {
    map: Mapping,
    object: Arc<Object>,
    geometry: Geometry,
    /// The last place at which the fields of a stripe, but for its lock word, can begin.
    last_stripe: u64,
    /// The place of the length of an array.
    array_len: u64,
    /// The id in the header when the object was mapped.
    id: [u64; 2],
    /// Words of the data area that are known to be there.
    known: AtomicU64,
    /// The same, as far as any member's view knows; so undoing another member's part of a change needs no descriptor.
    known_to_any: Arc<AtomicU64>,
    /// Number of stripes, from the first one, known to have space in the file.
    backed: AtomicU32,
}

impl Region {
    /// Maps the object for its maximum size; the file must reach up to the data area already.
    pub(crate) fn map(object: Arc<Object>, geometry: Geometry) -> Result<Region> {
        assert!(geometry.data_start() >= HEADER_BYTES && geometry.data_start().is_multiple_of(WORD));
        let map = Self::mapping(&object, &geometry)?;
        let mut region = Region {
            map,
            object,
            last_stripe: Self::last_stripe(&geometry),
            array_len: Self::array_len_at(&geometry),
            geometry,
            id: [0; 2],
            known: AtomicU64::new(0),
            known_to_any: Arc::default(),
            backed: AtomicU32::new(1),
        };
        region.id = region.present_id();
        region.refresh_end()?;
        Ok(region)
    }

    /// Returns the same region as another member sees it: only the member's part of the geometry differs.
    pub(crate) fn of_member(&self, geometry: Geometry) -> Region {
        assert!(geometry.data_start() == self.geometry.data_start() && geometry.max_size == self.geometry.max_size);
        Region {
            map: self.map.clone(),
            object: self.object.clone(),
            last_stripe: self.last_stripe,
            array_len: Self::array_len_at(&geometry),
            geometry,
            id: self.id,
            known: AtomicU64::new(self.known.load(Ordering::Relaxed)),
            known_to_any: self.known_to_any.clone(),
            backed: AtomicU32::new(self.backed.load(Ordering::Relaxed)),
        }
    }

    /// Returns the last place at which the fields of a stripe can begin. (The header has more words than they.)
    fn last_stripe(geometry: &Geometry) -> u64 {
        const { assert!((STRIPE_WORDS - 1) as u64 * WORD <= HEADER_BYTES) };
        geometry.data_start() - (STRIPE_WORDS - 1) as u64 * WORD
    }

    /// Returns the place of the length of an array, which lies in front of the data area.
    fn array_len_at(geometry: &Geometry) -> u64 {
        let place = aligned(geometry.part().array_len());
        assert!(place < geometry.data_start());
        place
    }

    /// Returns the object's shape.
    #[inline]
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Returns the object that is mapped.
    #[inline]
    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Returns the object's name, for errors.
    pub(crate) fn name(&self) -> Arc<str> {
        self.object.name().clone()
    }

    /// Returns the error for damage found at `offset`.
    #[cold]
    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        Error::Corrupt { object: self.name(), offset, what }
    }

    /// Returns a field at a place that the layout names, before the data area.
    #[inline(always)]
    pub(crate) fn field(&self, place: Offset) -> &AtomicU64 {
        let offset = aligned(place);
        assert!(offset < self.geometry.data_start());
        // SAFETY: `at` requires a multiple of a word, which `aligned` returns, and a word that ends at `known_end` at most:
        // the start of the data area is a multiple of a word, too (invariant 3), so the word ends there at most.
        unsafe { self.at(offset) }
    }

    /// Returns the length of an array, in elements.
    #[inline(always)]
    pub(crate) fn array_len(&self) -> &AtomicU64 {
        // SAFETY: as in `field`, since the place is a multiple of a word below the start of the data area (invariant 6).
        unsafe { self.at(self.array_len) }
    }

    /// Returns a field of the header. For a constant place, nothing is left to be checked when the program runs.
    #[inline(always)]
    pub(crate) fn header(&self, place: Offset) -> &AtomicU64 {
        let offset = aligned(place);
        assert!(offset < HEADER_BYTES);
        // SAFETY: `at` requires a multiple of a word, which `aligned` returns, and a word that ends at `known_end` at most:
        // the header lies before the data area (invariant 3).
        unsafe { self.at(offset) }
    }

    /// Returns `N` consecutive fields, with one check for all of them.
    #[inline(always)]
    pub(crate) fn fields<const N: usize>(&self, first: Offset) -> Fields<'_, N> {
        let first = Offset::at(aligned(first));
        assert!(self.are_fields::<N>(first));
        // SAFETY: `array` requires a multiple of a word, which `aligned` returns, and words that end at `known_end` at most:
        // they end at the start of the data area at most, as asserted.
        Fields { first, words: unsafe { self.array(first.bytes()) } }
    }

    /// Returns all fields of a stripe but its lock word.
    #[inline(always)]
    pub(crate) fn stripe(&self, stripe: StripeAt) -> StripeFields<'_> {
        let first = stripe.sequence();
        assert!(first.bytes() <= self.last_stripe);
        // SAFETY: as in `fields`, by what `last_stripe` is (invariant 6); a `StripeAt` is a multiple of a word, since only the
        // layout makes them.
        StripeFields { at: stripe, fields: Fields { first, words: unsafe { self.array(first.bytes()) } } }
    }

    /// Returns whether `N` words from a place on lie before the data area.
    #[inline(always)]
    pub(crate) fn are_fields<const N: usize>(&self, first: Offset) -> bool {
        const { assert!(N as u64 * WORD <= HEADER_BYTES) };
        // So the difference is not less than 0 (invariant 3).
        first.bytes() <= self.geometry.data_start() - N as u64 * WORD
    }

    /// Returns a 32-bit field.
    #[inline]
    pub(crate) fn field32(&self, place: Offset32) -> &AtomicU32 {
        debug_assert!(place.bytes().is_multiple_of(4));
        let offset = place.bytes() & !3;
        assert!(offset < self.geometry.data_start());
        // SAFETY: `add` requires that the memory up to the result lies in one allocation, which the mapping is: it reaches to the
        // end of the data area at least (invariants 1 to 3).
        let pointer = unsafe { self.map.start().add(offset as usize) };
        // SAFETY: as in `at`, for 4 bytes at a multiple of 4, which end at the start of the data area at most.
        unsafe { pointer.cast::<AtomicU32>().as_ref() }
    }

    /// Returns the two words of 32 bits that a stripe begins with, and its sequence after them, with one check for all.
    #[inline(always)]
    pub(crate) fn stripe_head(&self, stripe: StripeAt) -> (&[AtomicU32; 2], &AtomicU64) {
        let first = stripe.lock().bytes();
        assert!(self.are_fields::<2>(Offset::at(first)));
        // SAFETY: as in `field32`.
        let pointer = unsafe { self.map.start().add(first as usize) };
        // SAFETY: as in `field32`, for both; a `StripeAt` is a multiple of a word, since only the layout makes them, and an array
        // has the alignment and layout of its elements in a row.
        let pair = unsafe { pointer.cast::<[AtomicU32; 2]>().as_ref() };
        // SAFETY: `at` requires a multiple of a word, as that word further is, and a word that ends at `known_end` at most:
        // it ends at the start of the data area at most, as asserted.
        (pair, unsafe { self.at(first + WORD) })
    }

    /// Returns the owner of a slot, and the fields that say whether something is left to be done for it, with one check for all.
    #[inline(always)]
    pub(crate) fn slot_head(&self, slot: SlotAt) -> (&AtomicU32, &[AtomicU64; PENDING]) {
        let first = slot.owner().bytes();
        assert!(self.are_fields::<{ SlotAt::HEAD_WORDS }>(Offset::at(first)));
        // SAFETY: as in `field32`.
        let pointer = unsafe { self.map.start().add(first as usize) };
        // SAFETY: as in `field32`; a `SlotAt` is a multiple of a word, since only the layout makes them.
        let owner = unsafe { pointer.cast::<AtomicU32>().as_ref() };
        // SAFETY: `array` requires a multiple of a word, as a slot and its fields of 64 bits are, and words that end at
        // `known_end` at most: they end where the head does, at the start of the data area at most, as asserted.
        (owner, unsafe { self.array(slot.pending().bytes()) })
    }

    /// Returns a word of the data area.
    #[inline(always)]
    pub(crate) fn word(&self, offset: u64) -> Result<&AtomicU64> {
        self.word_or(offset)
    }

    /// Works like [`word`](Self::word), with any error type.
    #[inline(always)]
    pub(crate) fn word_or<E: ReadError>(&self, offset: u64) -> Result<&AtomicU64, E> {
        if self.index_of(offset) >= self.known.load(Ordering::Relaxed) {
            E::recheck(self, offset, 1)?;
        }
        // SAFETY: `at` requires a multiple of a word that ends at `known_end` at most: the word's index is below `known`,
        // which says both (see `index_of`), or `is_inside` has held for it; `known` never sinks (invariant 2).
        Ok(unsafe { self.at(offset) })
    }

    /// Returns consecutive words of the data area.
    #[inline(always)]
    pub(crate) fn words(&self, offset: u64, count: u64) -> Result<&[AtomicU64]> {
        self.words_or(offset, count)
    }

    /// Works like [`words`](Self::words), with any error type.
    #[inline(always)]
    pub(crate) fn words_or<E: ReadError>(&self, offset: u64, count: u64) -> Result<&[AtomicU64], E> {
        if !self.is_inside(offset, count) {
            E::recheck(self, offset, count)?;
        }
        // SAFETY: `slice` requires what `is_inside` says, which has held for the words; `known` never sinks (invariant 2).
        Ok(unsafe { self.slice(offset, count) })
    }

    /// Returns `N` consecutive words of the data area.
    #[inline(always)]
    pub(crate) fn array_or<const N: usize, E: ReadError>(&self, offset: u64) -> Result<&[AtomicU64; N], E> {
        if !self.is_inside(offset, N as u64) {
            E::recheck(self, offset, N as u64)?;
        }
        // SAFETY: `array` requires what `is_inside` says, which has held for the words; `known` never sinks (invariant 2).
        Ok(unsafe { self.array(offset) })
    }

    /// Returns the word at an offset, and all from it on in the part of the object that is known to be there.
    #[inline(always)]
    pub(crate) fn words_from<E: ReadError>(&self, offset: u64) -> Result<(&AtomicU64, &[AtomicU64]), E> {
        let first = self.word_or(offset)?;
        let following = self.known.load(Ordering::Relaxed) - self.index_of(offset);
        // SAFETY: `slice` requires a multiple of a word, as `word_or` has found, and words that end at `known_end` at most:
        // that is how many `following` are.
        Ok((first, unsafe { self.slice(offset, following) }))
    }

    /// Prefetches a word of the data area; does nothing for an offset outside.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64) {
        if self.is_inside(offset, 1) {
            // SAFETY: `at` requires what `is_inside` says, which holds for the word.
            copy::prefetch(unsafe { self.at(offset) });
        }
    }

    /// Returns any word that a journal may name.
    #[inline]
    pub(crate) fn journalled(&self, offset: u64) -> Result<&AtomicU64> {
        if offset >= self.geometry.data_start() {
            return self.word(offset);
        }
        if !self.geometry.is_journalled(offset) {
            return Err(self.corrupt(offset, "a log names a place that is not subject to logging"));
        }
        // SAFETY: `at` requires a multiple of a word, as `is_journalled` has found, and a word that ends at `known_end` at
        // most: the offset lies before the data area, which begins at a multiple of a word, too (invariant 3).
        Ok(unsafe { self.at(offset) })
    }

    /// Returns a word that a log names, which may be damaged.
    pub(crate) fn logged(&self, offset: u64) -> Result<&AtomicU64> {
        let stripes_end = self.geometry.stripes_end(self.stripes_used());
        if (stripes_end..self.geometry.data_start()).contains(&offset) {
            return Err(self.corrupt(offset, "a log names a stripe that is not used"));
        }
        self.journalled(offset)
    }

    /// Returns the word at an offset.
    ///
    /// # Safety
    /// `offset` is a multiple of [`WORD`], and the word ends at [`known_end`](Self::known_end) at most.
    #[inline(always)]
    unsafe fn at(&self, offset: u64) -> &AtomicU64 {
        // SAFETY: `add` requires that the memory up to the result lies in one allocation, and that its size does not overflow an
        // `isize`: the mapping is one, reaches to `known_end` at least (invariants 1 and 2), and has at most 2^44 bytes.
        let pointer = unsafe { self.map.start().add(offset as usize) };
        // SAFETY: `as_ref` requires a pointer that is convertible to a reference: aligned, as a page plus a multiple of 8 is;
        // dereferenceable as long as the reference lives, which borrows `self` and so the mapping; pointing to a valid value, as
        // any bytes are; and to memory that changes inside an `UnsafeCell` only, as the atomic is one (invariant 4). It is
        // accessed atomically and in this width only (invariant 4). Read-only memory is only loaded from (invariant 5), relaxed
        // and in 8 bytes, which the documentation of `std::sync::atomic` allows.
        unsafe { pointer.cast::<AtomicU64>().as_ref() }
    }

    /// Returns words in a row.
    ///
    /// # Safety
    /// `offset` is a multiple of [`WORD`], and the words end at [`known_end`](Self::known_end) at most.
    #[inline(always)]
    unsafe fn slice(&self, offset: u64, count: u64) -> &[AtomicU64] {
        // SAFETY: as in `at`.
        let pointer = unsafe { self.map.start().add(offset as usize) };
        // SAFETY: `from_raw_parts` requires a pointer that is not null, aligned, and valid for reading all the words, in one
        // allocation of at most `isize::MAX` bytes, as long as the reference lives; initialised values, as any bytes are;
        // and memory that changes inside an `UnsafeCell` only. All of that holds as in `at`.
        unsafe { std::slice::from_raw_parts(pointer.as_ptr().cast::<AtomicU64>(), count as usize) }
    }

    /// Returns `N` words in a row.
    ///
    /// # Safety
    /// `offset` is a multiple of [`WORD`], and the words end at [`known_end`](Self::known_end) at most.
    #[inline(always)]
    unsafe fn array<const N: usize>(&self, offset: u64) -> &[AtomicU64; N] {
        // SAFETY: as in `at`.
        let pointer = unsafe { self.map.start().add(offset as usize) };
        // SAFETY: as in `at`, for all the words; an array has the alignment and layout of its elements in a row.
        unsafe { pointer.cast::<[AtomicU64; N]>().as_ref() }
    }

    /// Returns the number of a word in the data area; too large for an offset in front of it or between two words.
    #[inline(always)]
    fn index_of(&self, offset: u64) -> u64 {
        // The data area begins with a page, so bits that are no multiple of a word come to the top.
        offset.wrapping_sub(self.geometry.data_start()).rotate_right(WORD.trailing_zeros())
    }

    /// Returns whether `offset` is a multiple of [`WORD`], and `count` words from it on lie in the data area, as far as that is
    /// known to reach.
    #[inline(always)]
    fn is_inside(&self, offset: u64, count: u64) -> bool {
        self.known.load(Ordering::Relaxed).checked_sub(self.index_of(offset)).is_some_and(|rest| count <= rest)
    }
}

/// Returns the offset of a field before the data area as a multiple of a word, which it is by the invariant of [`Offset`]:
/// nothing is left of this where the compiler knows the place.
#[inline(always)]
fn aligned(place: Offset) -> u64 {
    debug_assert!(place.bytes().is_multiple_of(WORD));
    place.bytes() & !(WORD - 1)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// True if there is no memory left for this thread.
        pub(crate) static FULL: Cell<bool> = const { Cell::new(false) };
    }
}
