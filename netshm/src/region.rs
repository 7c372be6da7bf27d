//! The mapped object as bounds-checked atomic words.
//!
//! Every access to shared memory goes through here. What other processes do to the object can make a word hold
//! anything, but never an access fall outside the mapping, and no place is ever accessed in two widths: fields of
//! 32 bits have a type of their own ([`Place32`]) and lie where [`Region::word`] and [`Region::words`] do not reach.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::events;
use crate::layout::header::{HEADER_BYTES, ID};
use crate::layout::{Geometry, Place, Place32, STRIPE_WORDS, StripeAt, WORD};
use crate::os::map::Mapping;
use crate::os::{copy, file};
use crate::shm::Object;
use crate::{Error, Result};

/// What a function gives that meets damage.
pub(crate) trait Fault: Sized {
    /// Whether it is given for what is sound but unusual, too.
    const HASTY: bool;
    /// For damage found at `offset`.
    fn corrupt(region: &Region, offset: u64, what: &'static str) -> Self;
    /// Words have been asked for that are not known to be there: whether they are, or the fault.
    fn look_again(region: &Region, offset: u64, count: u64) -> Result<(), Self>;
}

/// An error that tells where and what.
impl Fault for Error {
    const HASTY: bool = false;
    #[cold]
    fn corrupt(region: &Region, offset: u64, what: &'static str) -> Self {
        region.corrupt(offset, what)
    }
    #[cold]
    fn look_again(region: &Region, offset: u64, count: u64) -> Result<()> {
        region.look_again(offset, count)
    }
}

/// A fault that tells nothing, and costs nothing: for a first glance, after which all is looked at again with care.
#[derive(Debug)]
pub(crate) struct Doubt;

impl Fault for Doubt {
    const HASTY: bool = true;
    fn corrupt(_: &Region, _: u64, _: &'static str) -> Self {
        Doubt
    }
    fn look_again(_: &Region, _: u64, _: u64) -> Result<(), Self> {
        Err(Doubt)
    }
}

/// The mapping of one object, with the part of it that is known to be backed by the file.
///
/// Invariants:
/// 1. `map` covers `geometry.max_size` bytes, aligned to a page, for as long as the region lives.
/// 2. `geometry.data_start() + known * WORD <= geometry.max_size`, and the file had at least so many bytes when `known`
///    was set.
/// 3. `geometry.data_start() >= HEADER_BYTES`.
pub(crate) struct Region {
    map: Mapping,
    object: Arc<Object>,
    geometry: Geometry,
    /// The id in the header when the object was mapped.
    id: [u64; 2],
    /// Words of the data area that are known to be there.
    known: AtomicU64,
}

impl Region {
    /// Maps the object for its maximum size; the file must reach up to the data area already.
    pub(crate) fn map(object: Arc<Object>, geometry: Geometry) -> Result<Region> {
        assert!(geometry.data_start() >= HEADER_BYTES);
        let map = Self::mapping(&object, &geometry)?;
        let mut region = Region { map, object, geometry, id: [0; 2], known: AtomicU64::new(0) };
        region.id = region.present_id();
        region.refresh_end()?;
        Ok(region)
    }

    /// An error if there is no room to map an object of that shape.
    pub(crate) fn try_map(object: &Object, geometry: &Geometry) -> Result<()> {
        Self::mapping(object, geometry).map(drop)
    }

    fn mapping(object: &Object, geometry: &Geometry) -> Result<Mapping> {
        let io = |source| Error::Io { object: object.name().clone(), doing: "map", source };
        Mapping::new(object.fd(), geometry.max_size, !object.read_only()).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOMEM) => Error::InvalidOption {
                option: "max_size",
                value: geometry.max_size.to_string(),
                reason: format!(
                    "{}: the address space has no room to map it (see RLIMIT_AS, `ulimit -v`); choose a smaller one",
                    object.name()
                ),
            },
            Some(libc::EAGAIN) => {
                let text = "the program locks all its memory (mlockall with MCL_FUTURE), and the limit RLIMIT_MEMLOCK \
                            (`ulimit -l`) is below the object's `max_size`; raise the limit, lock with MCL_ONFAULT, or \
                            choose a smaller `max_size`";
                io(std::io::Error::new(source.kind(), text))
            }
            _ => io(source),
        })
    }

    /// The object's shape.
    #[inline]
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The object that is mapped.
    #[inline]
    pub(crate) fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// The object's name, for errors.
    pub(crate) fn name(&self) -> Arc<str> {
        self.object.name().clone()
    }

    /// The error for damage found at `offset`.
    #[cold]
    pub(crate) fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        Error::Corrupt { object: self.name(), offset, what }
    }

    /// A field at a place that the layout names, in front of the data area.
    #[inline(always)]
    pub(crate) fn field(&self, place: Place) -> &AtomicU64 {
        // The layout gives aligned places only.
        debug_assert!(place.0.is_multiple_of(WORD));
        assert!(place.0 < self.geometry.data_start());
        self.at(place.0)
    }

    /// A field of the header. For a constant place, nothing is left to be checked when the program runs.
    #[inline(always)]
    pub(crate) fn header(&self, place: Place) -> &AtomicU64 {
        debug_assert!(place.0.is_multiple_of(WORD));
        // So it lies in front of the data area as well (invariant 3).
        assert!(place.0 < HEADER_BYTES);
        self.at(place.0)
    }

    /// Fields in a row, with one check for all of them.
    #[inline(always)]
    pub(crate) fn fields<const N: usize>(&self, first: Place) -> Fields<'_, N> {
        debug_assert!(first.0.is_multiple_of(WORD));
        assert!(self.are_fields::<N>(first));
        // SAFETY: so the words lie inside the mapping.
        let pointer = unsafe { self.start().add(first.0 as usize) };
        // SAFETY: the words are mapped, aligned, live as long as `self`, and are accessed as 64-bit atomics only.
        Fields { first, words: unsafe { &*pointer.cast() } }
    }

    /// All fields of a stripe but its lock word.
    #[inline(always)]
    pub(crate) fn stripe(&self, stripe: StripeAt) -> StripeFields<'_> {
        StripeFields { at: stripe, fields: self.fields(stripe.sequence()) }
    }

    /// Whether so many words from a place on lie in front of the data area.
    #[inline(always)]
    pub(crate) fn are_fields<const N: usize>(&self, first: Place) -> bool {
        const { assert!(N as u64 * WORD <= HEADER_BYTES) };
        // So the difference is not less than 0 (invariant 3).
        first.0 <= self.geometry.data_start() - N as u64 * WORD
    }

    /// A 32-bit field.
    #[inline]
    pub(crate) fn field32(&self, place: Place32) -> &AtomicU32 {
        debug_assert!(place.0.is_multiple_of(4));
        assert!(place.0 < self.geometry.data_start());
        // SAFETY: the assertion puts the offset inside the mapping (invariants 1 and 2).
        let pointer = unsafe { self.start().add(place.0 as usize) };
        // SAFETY: the place is mapped, aligned, lives as long as `self`, and is accessed as 32-bit atomic only.
        unsafe { AtomicU32::from_ptr(pointer.cast()) }
    }

    /// A word of the data area.
    #[inline(always)]
    pub(crate) fn word(&self, offset: u64) -> Result<&AtomicU64> {
        self.word_or(offset)
    }

    /// A word of the data area.
    #[inline(always)]
    pub(crate) fn word_or<E: Fault>(&self, offset: u64) -> Result<&AtomicU64, E> {
        if self.index_of(offset) >= self.known.load(Ordering::Relaxed) {
            E::look_again(self, offset, 1)?;
        }
        Ok(self.at(offset))
    }

    /// Words of the data area in a row.
    #[inline(always)]
    pub(crate) fn words(&self, offset: u64, count: u64) -> Result<&[AtomicU64]> {
        self.words_or(offset, count)
    }

    /// Words of the data area in a row.
    #[inline(always)]
    pub(crate) fn words_or<E: Fault>(&self, offset: u64, count: u64) -> Result<&[AtomicU64], E> {
        if !self.is_inside(offset, count) {
            E::look_again(self, offset, count)?;
        }
        Ok(self.slice(offset, count))
    }

    /// So many words of the data area in a row.
    #[inline(always)]
    pub(crate) fn array_or<const N: usize, E: Fault>(&self, offset: u64) -> Result<&[AtomicU64; N], E> {
        if !self.is_inside(offset, N as u64) {
            E::look_again(self, offset, N as u64)?;
        }
        // SAFETY: the words have been checked to lie inside the mapping.
        let pointer = unsafe { self.start().add(offset as usize) };
        // SAFETY: the words are mapped, aligned, live as long as `self`, and are accessed as 64-bit atomics only.
        Ok(unsafe { &*pointer.cast() })
    }

    /// The word at an offset, and all that follow it in the part of the object that is known to be there.
    #[inline(always)]
    pub(crate) fn words_from<E: Fault>(&self, offset: u64) -> Result<(&AtomicU64, &[AtomicU64]), E> {
        let first = self.word_or(offset)?;
        let following = self.known.load(Ordering::Relaxed) - self.index_of(offset);
        Ok((first, self.slice(offset, following)))
    }

    /// Asks for the memory around a word of the data area, which is going to be read; an offset outside is nothing.
    #[inline]
    pub(crate) fn prefetch(&self, offset: u64) {
        if self.is_inside(offset, 1) {
            copy::prefetch(self.at(offset));
        }
    }

    /// Any word that a journal may name.
    #[inline]
    pub(crate) fn journalled(&self, offset: u64) -> Result<&AtomicU64> {
        if offset >= self.geometry.data_start() {
            return self.word(offset);
        }
        if !self.geometry.is_journalled(offset) {
            return Err(self.corrupt(offset, "a log names a place that is not subject to logging"));
        }
        Ok(self.at(offset))
    }

    /// Where the mapping starts.
    #[inline(always)]
    fn start(&self) -> *mut u8 {
        let start = self.map.as_ptr();
        // SAFETY: nothing is mapped at address 0; told to the compiler, lest it look for that in each reference.
        unsafe { std::hint::assert_unchecked(!start.is_null()) };
        start
    }

    /// An offset that has been checked.
    #[inline(always)]
    fn at(&self, offset: u64) -> &AtomicU64 {
        // SAFETY: all callers have checked that the word lies inside the mapping.
        let pointer = unsafe { self.start().add(offset as usize) };
        // SAFETY: the word is mapped, aligned, lives as long as `self`, and is accessed as 64-bit atomic only.
        unsafe { AtomicU64::from_ptr(pointer.cast()) }
    }

    /// Words that have been checked.
    #[inline(always)]
    fn slice(&self, offset: u64, count: u64) -> &[AtomicU64] {
        // SAFETY: all callers have checked that the words lie inside the mapping.
        let pointer = unsafe { self.start().add(offset as usize) };
        // SAFETY: the words are mapped, aligned, live as long as `self`, and are accessed as 64-bit atomics only.
        unsafe { std::slice::from_raw_parts(pointer.cast::<AtomicU64>(), count as usize) }
    }

    /// The number of a word in the data area; too large for an offset that is in front of it or between two words.
    #[inline(always)]
    fn index_of(&self, offset: u64) -> u64 {
        // The data area begins with a page, so bits that are no multiple of a word come to the top.
        offset.wrapping_sub(self.geometry.data_start()).rotate_right(WORD.trailing_zeros())
    }

    /// Whether so many words from `offset` on lie in the data area, as far as it is known to reach.
    #[inline(always)]
    fn is_inside(&self, offset: u64, count: u64) -> bool {
        self.known.load(Ordering::Relaxed).checked_sub(self.index_of(offset)).is_some_and(|rest| count <= rest)
    }

    /// Words that the data area is known to have.
    #[inline]
    pub(crate) fn known_words(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    /// How far the object is known to reach.
    fn known_end(&self) -> u64 {
        self.geometry.data_start() + self.known.load(Ordering::Relaxed) * WORD
    }

    /// The object may have grown since the end was looked up.
    #[cold]
    fn look_again(&self, offset: u64, count: u64) -> Result<()> {
        if count <= self.geometry.max_size / WORD && offset <= self.geometry.max_size {
            self.refresh_end()?;
        }
        if self.is_inside(offset, count) {
            Ok(())
        } else {
            Err(self.corrupt(offset, "a pointer or length leads outside the object"))
        }
    }

    fn present_id(&self) -> [u64; 2] {
        [ID, Place(ID.0 + WORD)].map(|place| self.header(place).load(Ordering::Relaxed))
    }

    /// Looks up how far the file reaches. A file that has become shorter is reported, not believed.
    fn refresh_end(&self) -> Result<u64> {
        self.object.check_descriptors()?;
        let size = file::size(self.object.fd()).map_err(|source| Error::Io {
            object: self.name(),
            doing: "look up the size",
            source,
        })?;
        let end = size.min(self.geometry.max_size) & !(WORD - 1);
        if end < self.known_end() {
            return Err(self.corrupt(end, "the object has been truncated"));
        }
        if self.present_id() != self.id {
            return Err(Error::Replaced { object: self.name(), what: "its file has been overwritten" });
        }
        self.known.fetch_max((end - self.geometry.data_start()) / WORD, Ordering::Relaxed);
        Ok(end)
    }

    /// Bytes of the file, as the system says.
    pub(crate) fn file_size(&self) -> Result<u64> {
        self.refresh_end()
    }

    /// Makes sure that the file has bytes up to `end`.
    pub(crate) fn grow(&self, end: u64) -> Result<()> {
        let size = self.refresh_end()?;
        if end > self.geometry.max_size {
            return Err(Error::Full { object: self.name(), limit: self.geometry.max_size, needed: end - size });
        }
        if end > size {
            file::allocate(self.object.fd(), size, end - size)
                .map_err(|source| no_space(&self.name(), end - size, source))?;
            self.refresh_end()?;
            events::grown(self.object.name(), size, end);
        }
        Ok(())
    }

    /// Writes what is mapped back to the file's storage.
    pub(crate) fn flush(&self) -> Result<()> {
        self.map
            .flush(0, self.known_end() as usize)
            .and_then(|()| file::sync_data(self.object.fd()))
            .map_err(|source| Error::Io { object: self.name(), doing: "write back", source })
    }

    /// Writes the header back.
    pub(crate) fn flush_header(&self) -> Result<()> {
        self.map.flush(0, HEADER_BYTES as usize).map_err(|source| Error::Io {
            object: self.name(),
            doing: "write back the header",
            source,
        })
    }
}

/// Fields in a row, in front of the data area.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a, const N: usize> {
    first: Place,
    words: &'a [AtomicU64; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    /// One of them.
    #[inline(always)]
    pub(crate) fn at(self, place: Place) -> &'a AtomicU64 {
        &self.words[(place.0.wrapping_sub(self.first.0) / WORD) as usize]
    }

    /// All of them.
    #[inline(always)]
    pub(crate) fn words(self) -> &'a [AtomicU64; N] {
        self.words
    }

    /// Whether all of them are 0.
    #[inline(always)]
    pub(crate) fn are_zero(self) -> bool {
        self.words.iter().fold(0, |bits, word| bits | word.load(Ordering::Relaxed)) == 0
    }
}

/// The fields of a stripe, but for its lock word.
#[derive(Clone, Copy)]
pub(crate) struct StripeFields<'a> {
    at: StripeAt,
    fields: Fields<'a, { STRIPE_WORDS - 1 }>,
}

impl<'a> StripeFields<'a> {
    /// Where the stripe lies.
    #[inline(always)]
    pub(crate) fn at(self) -> StripeAt {
        self.at
    }

    /// One of its fields.
    #[inline(always)]
    pub(crate) fn field(self, place: Place) -> &'a AtomicU64 {
        self.fields.at(place)
    }
}

/// Growth that failed: for lack of room, or for another reason.
pub(crate) fn no_space(object: &Arc<str>, needed: u64, source: std::io::Error) -> Error {
    match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EFBIG | libc::EDQUOT | libc::ENOMEM) => {
            Error::NoSpace { object: object.clone(), needed, source }
        }
        _ => Error::Io { object: object.clone(), doing: "grow", source },
    }
}
