//! Reading the elements of a chunk in one go.

use std::sync::atomic::AtomicU64;

use super::Array;
use super::operations::out_of_bounds;
use crate::data::{DataManager, Decoder};
use crate::directory::{self, Elements, Spot};
use crate::error::Result;
use crate::handle::{Staged, decode_in_place, decode_optimistic};
use crate::region::{Inconclusive, StripeFields};
use crate::source::Source;
use crate::store::group;
use crate::store::read::{self, OptimisticRead, View, with_source};

/// Elements of a word each in a chunk.
pub(super) const CHUNK: usize = Elements::of(Some(1)).in_chunk();
/// Elements decoded between two checks of whether a writer has spoiled the read.
const LOOK_EACH: usize = 64;

impl<T: DataManager> Array<T> {
    /// True if elements lie in their chunks as they lie in a slice in private memory.
    pub(super) const AS_IN_SLICES: bool = matches!((T::FIXED, T::PACKED), (Some(1), 8));

    /// Returns the elements from `index` to `end`, which lie in one chunk, as they are at one moment; without an `end`, all to
    /// the end of the chunk or of the array.
    pub(super) fn run_at(&self, index: u64, end: Option<u64>) -> Result<Vec<T>> {
        let spot = self.spot(index);
        if T::DIRECT {
            let found = self.look_at_once(spot, |view, stripe| {
                let count = self.count_in(view.store.array_len(), index, end).map_err(|_| Inconclusive)?;
                match directory::find_run(view.region(), stripe, self.elements(), spot, count)? {
                    Some(words) if self.elements().dense().is_some() => Self::decode_run(view, spot, words),
                    Some(_) => Err(Inconclusive),
                    None => (0..count).map(|_| self.decode_default().map_err(|_| Inconclusive)).collect(),
                }
            });
            if let Some(elements) = found {
                return Ok(elements);
            }
        }
        self.run_slow(index, end, spot)
    }

    /// Returns what `look` finds in the stripe of a spot, or `None` if the slow path must read it: outside groups without a lock,
    /// inside under the group's.
    fn look_at_once<R>(
        &self,
        spot: Spot,
        look: impl FnOnce(View<'_>, StripeFields<'_>) -> Result<R, Inconclusive>,
    ) -> Option<R> {
        let store = &*self.handle.store;
        if group::open() == 0 {
            return OptimisticRead::at(store)?.read(spot.at, look);
        }
        let (view, _) = group::optimistic(store, spot.stripe)?.ok()?;
        look(view, view.region().stripe(spot.at)).ok()
    }

    /// Reads elements in a row, which lie in one chunk, as they are at one moment; without an intermediate copy, if they lie
    /// there as in slices.
    pub(super) fn read_run(&self, index: u64, into: &mut [T]) -> Result<()> {
        if T::DIRECT && Self::AS_IN_SLICES && self.read_words(index, into) {
            return Ok(());
        }
        let run = self.run_at(index, Some(index + into.len() as u64))?;
        into.iter_mut().zip(run).for_each(|(place, element)| *place = element);
        Ok(())
    }

    /// Reads the words of elements straight into a slice. Returns false if the slow path must read them.
    fn read_words(&self, index: u64, into: &mut [T]) -> bool {
        let (spot, count) = (self.spot(index), into.len() as u64);
        let found = self.look_at_once(spot, |view, stripe| {
            if index + count > view.store.array_len() {
                return Err(Inconclusive);
            }
            let default = [self.default_words.first().copied().unwrap_or(0); CHUNK];
            let mut words = match directory::find_run(view.region(), stripe, self.elements(), spot, count)? {
                Some(words) => Decoder::new(words, view.stamp),
                None => Decoder::from_words(default.get(..into.len()).ok_or(Inconclusive)?),
            };
            T::decode_into(into, &mut words).map_err(|_| Inconclusive)
        });
        found.is_some()
    }

    /// Returns the number of elements from `index` on, or the length of the array if there are fewer than asked for.
    fn count_in(&self, length: u64, index: u64, end: Option<u64>) -> Result<u64, u64> {
        match end {
            Some(end) if end <= length => Ok(end - index),
            Some(_) => Err(length),
            None => Ok(self.elements().chunk_end(index).min(length).saturating_sub(index)),
        }
    }

    /// Decodes elements that lie side by side.
    #[inline]
    fn decode_run(view: View<'_>, spot: Spot, words: &[AtomicU64]) -> Result<Vec<T>, Inconclusive> {
        if Self::AS_IN_SLICES {
            return T::decode_vec(words.len(), &mut Decoder::new(words, view.stamp)).map_err(|_| Inconclusive);
        }
        words.chunks_exact(spot.words_each()).map(|words| decode_optimistic::<T>(view, words)).collect()
    }

    #[inline(never)]
    fn run_slow(&self, index: u64, end: Option<u64>, spot: Spot) -> Result<Vec<T>> {
        let (store, elements) = (&self.handle.store, self.elements());
        let raws = read::read(store, self.handle.limits, spot.stripe, |view| {
            let count = self
                .count_in(view.array_len(), index, end)
                .map_err(|length| out_of_bounds(view.store, index.max(length), length))?;
            with_source!(view, source => {
                let Some(words) = directory::find_run(source, source.stripe(spot.at), elements, spot, count)? else {
                    return Ok((0..count).map(|_| None).collect());
                };
                let mut raws: Vec<Option<Staged<T>>> = Vec::with_capacity(count as usize);
                for words in words.chunks_exact(spot.words_each()) {
                    if raws.len() % LOOK_EACH == LOOK_EACH - 1 && !view.holds() {
                        break;
                    }
                    let stored = directory::stored(source, elements, words)?;
                    raws.push(stored.map(|words| decode_in_place::<T>(view, words)).transpose()?);
                }
                Ok(raws)
            })
        })?;
        let finish = |raw| match raw {
            Some(raw) => self.handle.finish(raw),
            None => self.decode_default(),
        };
        raws.into_iter().map(finish).collect()
    }
}
