//! The elements of an array that take memory.

use std::ops::Range;

use super::Array;
use crate::data::DataManager;
use crate::directory;
use crate::error::Result;
use crate::store::read::{self, with_source};

impl<T: DataManager> Array<T> {
    /// Returns the ranges of elements that take memory, in their order: all others show the default value, and so may some of these,
    /// since elements get memory in chunks (see [`read_range`](Self::read_range)). So a sparse array can be visited in the time
    /// that its contents take, however long it is.
    ///
    /// Nothing is locked: each stripe is read as it is at one moment, and changes may happen in between.
    ///
    /// ```
    /// # use netshm::{Array, Locking, Shm};
    /// # let shm = Shm::create_unique("posix:/written.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let bins: Array<u64> = Array::manage(shm, 0, Locking::Futex)?;
    /// bins.resize(1 << 40)?;
    /// bins.set(123_456_789_000, &1)?;
    /// let written = bins.written()?;
    /// assert!(written.len() == 1 && written[0].contains(&123_456_789_000));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get) that do not concern a value.
    #[doc(alias = "sparse")]
    pub fn written(&self) -> Result<Vec<Range<usize>>> {
        let (store, elements) = (&self.handle.store, self.elements());
        store.check_fork()?;
        let geometry = *store.geometry();
        let mut chunks = Vec::new();
        for stripe in geometry.own() {
            let at = geometry.stripe(stripe);
            let (found, length) = read::read(store, self.handle.limits, stripe, |view| {
                let found = with_source!(view, source => directory::chunks_in(source, at, || view.holds()))?;
                Ok((found, view.array_len()))
            })?;
            let of_all = |chunk: u64| {
                let chunk = chunk.checked_mul(u64::from(geometry.stripes))?;
                chunk.checked_add(u64::from(stripe - geometry.first()))
            };
            chunks.extend(found.into_iter().filter_map(of_all).map(|chunk| (chunk, length)));
        }
        chunks.sort_unstable();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (chunk, length) in chunks {
            let start = elements.first_of(chunk);
            if start >= length || start >> elements.in_chunk().trailing_zeros() != chunk {
                continue;
            }
            let (start, end) = (start as usize, elements.chunk_end(start).min(length) as usize);
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        Ok(ranges)
    }
}
