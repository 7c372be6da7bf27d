//! Iterating over arrays.

use std::fmt;
use std::iter::FusedIterator;
use std::vec;

use super::Array;
use crate::data::DataManager;
use crate::error::{Error, Result};

/// The elements of an array; see [`Array::scan`].
pub struct Elements<'a, T> {
    array: &'a Array<T>,
    /// The element after those that are ready.
    next: u64,
    ready: vec::IntoIter<T>,
    /// Index up to which elements are read one by one, since one of them cannot be decoded.
    single_until: u64,
    has_ended: bool,
}

impl<T: DataManager> Elements<'_, T> {
    /// Returns the next element when none is ready.
    #[inline(never)]
    fn next_of_others(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(element) = self.ready.next() {
                return Some(Ok(element));
            }
            if self.has_ended {
                return None;
            }
            if let Some(error) = self.read_on() {
                return Some(error);
            }
        }
    }

    /// Reads on: `None` if elements are ready now.
    fn read_on(&mut self) -> Option<Result<T>> {
        let read = if self.next < self.single_until {
            self.array.run_at(self.next, Some(self.next + 1))
        } else {
            self.array.run_at(self.next, None)
        };
        match read {
            Ok(run) => {
                self.has_ended = run.is_empty();
                self.next += run.len() as u64;
                self.ready = run.into_iter();
                None
            }
            Err(Error::Decode { .. }) if self.next >= self.single_until => {
                self.single_until = self.array.elements().chunk_end(self.next);
                None
            }
            Err(error @ Error::Decode { .. }) => {
                self.next += 1;
                Some(Err(error))
            }
            // It has become shorter.
            Err(Error::OutOfBounds { .. }) => {
                self.has_ended = true;
                None
            }
            Err(error) => {
                self.has_ended = true;
                Some(Err(error))
            }
        }
    }
}

impl<T: DataManager> Iterator for Elements<'_, T> {
    type Item = Result<T>;

    #[inline]
    fn next(&mut self) -> Option<Result<T>> {
        match self.ready.next() {
            Some(element) => Some(Ok(element)),
            None => self.next_of_others(),
        }
    }

    /// Counts what has been read; the array may end there, or become longer.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let known = self.ready.len();
        (known, self.has_ended.then_some(known))
    }
}

impl<T: DataManager> FusedIterator for Elements<'_, T> {}

impl<T> fmt::Debug for Elements<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elements").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<T: DataManager> Array<T> {
    /// Returns all elements, in the order of their indices, as an iterator that locks nothing: each chunk is consistent in
    /// itself (see [`read_range`](Self::read_range)), but changes may happen while the iterator goes from one to the next. It
    /// ends where the array ends then. Holds one chunk in memory at a time.
    ///
    /// An element that cannot be decoded is an `Err` item, after which the others follow. Any other error is the last item.
    ///
    /// ```
    /// # use netshm::{Array, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/scan.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let bins: Array<u64> = Array::manage(shm, 1, Locking::Futex)?;
    /// bins.resize(1000)?;
    /// bins.fill(..10, &0)?;
    /// let mut sum = 0;
    /// for bin in &bins {
    ///     sum += bin?;
    /// }
    /// assert_eq!(sum, 990);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    #[doc(alias = "iter")]
    pub fn scan(&self) -> Elements<'_, T> {
        let ready = Vec::new().into_iter();
        Elements { array: self, next: 0, ready, single_until: 0, has_ended: false }
    }
}

/// Iterates over all elements; see [`Array::scan`].
impl<'a, T: DataManager> IntoIterator for &'a Array<T> {
    type Item = Result<T>;
    type IntoIter = Elements<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.scan()
    }
}
