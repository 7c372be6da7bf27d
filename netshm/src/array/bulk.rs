//! Many elements at once.

use std::borrow::Borrow;
use std::ops::{Bound, RangeBounds};

use smallvec::SmallVec;

use super::Array;
use super::operations::out_of_bounds;
use super::run::CHUNK;
use crate::data::{DataManager, Encode, Encoder};
use crate::directory;
use crate::error::{Error, Result};
use crate::index::record::Payload;
use crate::store::group::{self, Iteration};
use crate::store::{Store, Transaction};

/// Elements prefetched before the first of them is read.
const BATCH: usize = 16;

/// A range of elements as the caller gave it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    start: u64,
    /// `None` for the end of the array.
    end: Option<u64>,
}

impl Span {
    fn of(range: &impl RangeBounds<usize>) -> Result<Span> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start as u64,
            Bound::Excluded(before) => (*before as u64).saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => Some((*last as u64).saturating_add(1)),
            Bound::Excluded(end) => Some(*end as u64),
            Bound::Unbounded => None,
        };
        match end {
            Some(end) if end < start => Err(unfit(start, end, "it ends before it starts".to_owned())),
            _ => Ok(Span { start, end }),
        }
    }

    /// Returns where the range ends in an array of that length.
    fn end_in(self, store: &Store, length: u64) -> Result<u64> {
        let end = self.end.unwrap_or(length.max(self.start));
        if self.start <= length && end <= length {
            return Ok(end);
        }
        Err(out_of_bounds(store, self.start.max(length), length))
    }
}

#[cold]
fn unfit(start: u64, end: u64, reason: String) -> Error {
    Error::InvalidOption { option: "range", value: format!("{start}..{end}"), reason }
}

/// Returns an error unless a slice has as many elements as the range.
fn check_slice(start: u64, end: u64, slice: usize) -> Result<()> {
    if end - start == slice as u64 {
        return Ok(());
    }
    Err(unfit(start, end, format!("the slice has {slice} elements, and the range {}", end - start)))
}

/// Encoded elements in a row.
struct Encoded {
    words: Vec<u64>,
    /// End of each, unless all have the same size.
    ends: Vec<usize>,
}

impl Encoded {
    fn element(&self, number: usize) -> &[u64] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.words[start..self.ends[number]]
    }
}

impl<T: DataManager> Array<T> {
    /// Reads the elements of a range into a slice of the same length: faster than one by one.
    ///
    /// The array is read chunk by chunk, each as it is at one moment: 256 elements that take a word each, which begin at a
    /// multiple of 256; fewer of larger ones (the power of two that fits into 256 words). Between chunks other
    /// processes may change the array. Inside a group the whole range is read as it is at one moment. After an error some
    /// elements of the slice may have been replaced.
    ///
    /// ```
    /// # use netshm::{Array, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/range.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let bins: Array<u64> = Array::manage(shm, 0, Locking::Futex)?;
    /// bins.resize(1000)?;
    /// bins.set_range(500..503, &[1, 2, 3])?;
    /// let mut some = [0; 4];
    /// bins.read_range(500..504, &mut some)?;
    /// assert_eq!(some, [1, 2, 3, 0]);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if the slice has another length than the range; those of [`get`](Self::get).
    #[doc(alias = "copy_to_slice")]
    #[doc(alias = "get_range")]
    pub fn read_range(&self, range: impl RangeBounds<usize>, into: &mut [T]) -> Result<()> {
        let (start, end) = self.resolve(Span::of(&range)?)?;
        check_slice(start, end, into.len())?;
        self.for_each_run(start, end, |first, last| {
            self.read_run(first, &mut into[(first - start) as usize..(last - start) as usize])
        })
    }

    /// Reads the elements of a range, for all public faces of arrays.
    pub(crate) fn read_each(
        &self,
        range: &impl RangeBounds<usize>,
        slice: usize,
        mut visit: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        let (start, end) = self.resolve(Span::of(range)?)?;
        check_slice(start, end, slice)?;
        self.each_run(start, end, |elements| elements.into_iter().try_for_each(&mut visit))
    }

    /// Returns the elements of many indices, in the order of the indices. Each is read by itself, as by [`get`](Self::get);
    /// to see them all at one moment, do it in a group.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[doc(alias = "find_many")]
    pub fn get_many(&self, indices: impl IntoIterator<Item = usize>) -> Result<Vec<T>> {
        self.handle.store.check_fork()?;
        let mut indices = indices.into_iter();
        let mut elements = Vec::with_capacity(indices.size_hint().0.min(1 << 16));
        loop {
            let batch: SmallVec<[usize; BATCH]> = indices.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(elements);
            }
            for index in &batch {
                directory::prefetch(self.handle.store.region(), self.spot(*index as u64));
            }
            for index in batch {
                elements.push(self.get(index)?);
            }
        }
    }

    /// Sets the elements of a range to those of a slice of the same length, as one step: all of them or none, whatever kills
    /// the process. (Readers outside groups see each chunk before or after; see [`read_range`](Self::read_range).)
    ///
    /// Chunks of which more than a few elements change are written to new memory, and the old memory becomes free at the end. Others are
    /// undone with a log, which takes 16 bytes of the object for each word that changes, for as long as the step takes.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if the slice has another length than the range; those of [`set`](Self::set).
    #[doc(alias = "copy_from_slice")]
    #[doc(alias = "write_range")]
    pub fn set_range<W>(&self, range: impl RangeBounds<usize>, values: &[W]) -> Result<()>
    where
        T: Borrow<W>,
        W: Encode,
    {
        const { assert!(!(T::ARRAY && W::SLICE), "an element that is an array is stored as an array, not as a slice") };
        let span = Span::of(&range)?;
        if Self::AS_IN_SLICES && W::IS_WORD {
            return self.set_range_of_words(span, values);
        }
        // Code that is not known does not run under locks, so all is encoded before.
        let encoded = self.encode_all(values)?;
        self.handle.change("set elements", |change| {
            let (start, end) = self.lock_span(change, span)?;
            check_slice(start, end, values.len())?;
            self.for_each_run(start, end, |first, last| {
                let (from, to) = ((first - start) as usize, (last - start) as usize);
                let spot = self.spot(first);
                if let Some(each) = self.elements().dense() {
                    let words = &encoded.words[from * each as usize..to * each as usize];
                    return directory::set_run(change, self.elements(), spot, &self.default_words, words);
                }
                (from..to)
                    .try_for_each(|number| self.set_record(change, start + number as u64, encoded.element(number)))
            })
        })
    }

    /// Works like [`set_range`](Self::set_range), for elements that known code encodes, run by run.
    fn set_range_of_words<W: Encode>(&self, span: Span, values: &[W]) -> Result<()> {
        self.handle.change("set elements", |change| {
            let (start, end) = self.lock_span(change, span)?;
            check_slice(start, end, values.len())?;
            let mut words = [0; CHUNK];
            self.for_each_run(start, end, |first, last| {
                let values = &values[(first - start) as usize..(last - start) as usize];
                let words = &mut words[..values.len()];
                W::encode_many(values, &mut Encoder::private(words)).map_err(|error| self.handle.data_error(error))?;
                directory::set_run(change, self.elements(), self.spot(first), &self.default_words, words)
            })
        })
    }

    /// Sets all elements of a range to a value, as one step, in the manner of [`set_range`](Self::set_range). Where nothing has
    /// been written yet, the default value takes no memory.
    ///
    /// # Errors
    /// Those of [`set`](Self::set).
    pub fn fill<W>(&self, range: impl RangeBounds<usize>, value: &W) -> Result<()>
    where
        T: Borrow<W>,
        W: Encode + ?Sized,
    {
        const { assert!(!(T::ARRAY && W::SLICE), "an element that is an array is stored as an array, not as a slice") };
        let span = Span::of(&range)?;
        self.handle.encoded(value, |words| {
            let elements = self.elements();
            let run = match elements.dense() {
                Some(each) if each == words.len() as u64 => words.repeat(elements.in_chunk()),
                Some(_) => return Err(self.handle.unsteady()),
                None => Vec::new(),
            };
            self.handle.change("fill it", |change| {
                let (start, end) = self.lock_span(change, span)?;
                self.for_each_run(start, end, |first, last| {
                    if elements.dense().is_some() {
                        let run = &run[..(last - first) as usize * words.len()];
                        return directory::set_run(change, elements, self.spot(first), &self.default_words, run);
                    }
                    (first..last).try_for_each(|index| self.set_record(change, index, words))
                })
            })
        })
    }

    /// Calls `visit` with the index and the value of each element, in order. The whole array is locked against writers
    /// meanwhile, and a change by this thread is [`Error::Iterating`]. (Through a read-only descriptor nothing is locked: each
    /// chunk is consistent in itself, as with [`scan`](Self::scan).)
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    #[doc(alias = "iter")]
    pub fn for_each(&self, mut visit: impl FnMut(usize, T)) -> Result<()> {
        self.try_for_each(|index, element| {
            visit(index, element);
            Ok::<(), Error>(())
        })
    }

    /// Works like [`for_each`](Self::for_each), but stops at the first error of `visit` and returns it.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), and those of `visit`.
    pub fn try_for_each<E: From<Error>>(&self, mut visit: impl FnMut(usize, T) -> Result<(), E>) -> Result<(), E> {
        let mut all = || {
            let mut index = 0;
            loop {
                let run = self.run_at(index, None)?;
                if run.is_empty() {
                    return Ok(());
                }
                for element in run {
                    visit(index as usize, element)?;
                    index += 1;
                }
            }
        };
        let (store, limits) = (&self.handle.store, self.handle.limits);
        if store.region().object().read_only() {
            return all();
        }
        self.handle.group(|| {
            group::read_locked(store, limits, |change| change.read_all())?;
            let _iteration = Iteration::start(store);
            all()
        })
    }

    /// Returns the range in the array as it is now.
    fn resolve(&self, span: Span) -> Result<(u64, u64)> {
        let end = span.end_in(&self.handle.store, self.len()? as u64)?;
        Ok((span.start, end))
    }

    /// Calls `visit` with the elements from `start` to `end`, run by run.
    fn each_run(&self, start: u64, end: u64, mut visit: impl FnMut(Vec<T>) -> Result<()>) -> Result<()> {
        self.for_each_run(start, end, |first, last| visit(self.run_at(first, Some(last))?))
    }

    /// Cuts a range at the bounds of chunks.
    fn for_each_run(&self, start: u64, end: u64, mut visit: impl FnMut(u64, u64) -> Result<()>) -> Result<()> {
        let mut first = start;
        while first < end {
            let last = self.elements().chunk_end(first).min(end);
            visit(first, last)?;
            first = last;
        }
        Ok(())
    }

    /// Locks a range for writing, in an order in which no two wait for each other: where it begins and ends.
    fn lock_span(&self, change: &mut Transaction<'_>, span: Span) -> Result<(u64, u64)> {
        let geometry = *change.store().geometry();
        let chunks = span.end.map(|end| self.elements().chunks(span.start, end));
        match chunks {
            Some(chunks) if chunks.end - chunks.start < u64::from(geometry.stripes) => {
                let mut stripes: Vec<u32> = chunks.map(|chunk| geometry.stripe_of_chunk(chunk).0).collect();
                stripes.sort_unstable();
                stripes.into_iter().try_for_each(|stripe| change.write_stripe(stripe))?;
            }
            _ => change.write_all()?,
        }
        let end = span.end_in(change.store(), change.store().array_len())?;
        Ok((span.start, end))
    }

    /// Sets an element that has a record of its own; not to the default if that is what it shows without one.
    fn set_record(&self, change: &mut Transaction<'_>, index: u64, words: &[u64]) -> Result<()> {
        let (elements, spot) = (self.elements(), self.spot(index));
        if words == self.default_words && directory::find(change.store().region(), elements, spot)?.is_none() {
            return Ok(());
        }
        directory::set_record(change, elements, spot, &self.default_words, Payload::Words(words))
    }

    /// Encodes elements.
    fn encode_all<W: Encode>(&self, values: &[W]) -> Result<Encoded> {
        let dense = self.elements().dense();
        let mut encoded = Encoded { words: Vec::with_capacity(values.len()), ends: Vec::new() };
        for value in values {
            self.handle.encoded(value, |words| {
                // Elsewhere it would be written over its neighbour.
                if dense.is_some_and(|each| each != words.len() as u64) {
                    return Err(self.handle.unsteady());
                }
                encoded.words.extend_from_slice(words);
                Ok(())
            })?;
            if dense.is_none() {
                encoded.ends.push(encoded.words.len());
            }
        }
        Ok(encoded)
    }
}
