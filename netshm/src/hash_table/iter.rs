//! Visiting everything in a table: under locks, or stripe by stripe without.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::ControlFlow::{Break, Continue};
use std::vec;

use super::operations::LOOK_EACH;
use super::walker::Walker;
use crate::data::{DataManager, ShmKey};
use crate::error::{Error, Result};
use crate::handle::{Handle, Staged, decode_in_place, decode_optimistic, decode_row, decode_row_optimistic};
use crate::index::record::Record;
use crate::index::ring::Ring;
use crate::index::{self, walk};
use crate::layout::StripeAt;
use crate::layout::bucket::Form;
use crate::region::{Inconclusive, ReadError};
use crate::source::{Source, Stripe};
use crate::store::group::{self, Iteration};
use crate::store::read::{self, View};

/// Signs of damaged pointers.
pub(super) const MORE: &str = "a stripe has more bindings than it counts";
const CIRCLE: &str = "the bindings of a key lead in a circle";

/// The bindings to visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All, the newest of each key first.
    All,
    /// The newest of each key.
    Newest,
}

/// Conversion of each record to an item.
pub(crate) trait Pick {
    /// Type of the items.
    type Item;
    /// The same on its way out of shared memory.
    type Staged;
    /// True if records may be decoded in place.
    const DIRECT: bool;
    /// True if key and value are known to take one word each, so that they lie in their buckets.
    const PAIRS: bool;

    /// Decodes a record in place; fails with `Inconclusive` if a copy would be needed.
    fn decode_optimistic(view: View<'_>, record: &Record<'_>) -> Result<Self::Item, Inconclusive>;
    fn take(view: View<'_>, record: &Record<'_>) -> Result<Self::Staged>;
    fn finish(handle: &Handle, raw: Self::Staged) -> Result<Self::Item>;
}

/// Keys with their values.
pub(crate) struct Both<K, V>(PhantomData<(K, V)>);
/// Keys alone.
pub(crate) struct KeyOnly<K>(PhantomData<K>);
/// Values alone.
pub(crate) struct ValueOnly<V>(PhantomData<V>);

impl<K: DataManager, V: DataManager> Pick for Both<K, V> {
    type Item = (K, V);
    type Staged = (Staged<K>, Staged<V>);
    const DIRECT: bool = K::DIRECT && V::DIRECT;
    const PAIRS: bool = matches!(Form::of(K::FIXED, V::FIXED), Form::Pairs);

    #[inline(always)]
    fn decode_optimistic(view: View<'_>, record: &Record<'_>) -> Result<(K, V), Inconclusive> {
        Ok((decode_optimistic(view, record.key())?, decode_row_optimistic(view, record.value())?))
    }
    #[inline]
    fn take(view: View<'_>, record: &Record<'_>) -> Result<Self::Staged> {
        Ok((decode_in_place(view, record.key())?, decode_row(view, record.value())?))
    }
    fn finish(handle: &Handle, (key, value): Self::Staged) -> Result<(K, V)> {
        Ok((handle.finish(key)?, handle.finish(value)?))
    }
}

impl<K: DataManager> Pick for KeyOnly<K> {
    type Item = K;
    type Staged = Staged<K>;
    const DIRECT: bool = K::DIRECT;
    const PAIRS: bool = false;

    #[inline(always)]
    fn decode_optimistic(view: View<'_>, record: &Record<'_>) -> Result<K, Inconclusive> {
        decode_optimistic(view, record.key())
    }
    #[inline]
    fn take(view: View<'_>, record: &Record<'_>) -> Result<Staged<K>> {
        decode_in_place(view, record.key())
    }
    fn finish(handle: &Handle, raw: Staged<K>) -> Result<K> {
        handle.finish(raw)
    }
}

impl<V: DataManager> Pick for ValueOnly<V> {
    type Item = V;
    type Staged = Staged<V>;
    const DIRECT: bool = V::DIRECT;
    const PAIRS: bool = false;

    #[inline(always)]
    fn decode_optimistic(view: View<'_>, record: &Record<'_>) -> Result<V, Inconclusive> {
        decode_row_optimistic(view, record.value())
    }
    #[inline]
    fn take(view: View<'_>, record: &Record<'_>) -> Result<Staged<V>> {
        decode_row(view, record.value())
    }
    fn finish(handle: &Handle, raw: Staged<V>) -> Result<V> {
        handle.finish(raw)
    }
}

/// A batch of items.
pub(super) enum Batch<P: Pick> {
    Ready(vec::IntoIter<P::Item>),
    Staged(vec::IntoIter<P::Staged>),
}

impl<P: Pick> Batch<P> {
    /// Reads items optimistically, or on the slow path if that fails.
    #[inline]
    pub(super) fn picked(
        view: View<'_>,
        optimistic: impl FnOnce(Form) -> Result<Vec<P::Item>, Inconclusive>,
        slow: impl FnOnce(Form) -> Result<Vec<P::Staged>>,
    ) -> Result<Self> {
        let form = view.region().geometry().form;
        // A constant form spares the cases of the other.
        if P::DIRECT
            && (!P::PAIRS || form == Form::Pairs)
            && !view.store.is_pending()
            && let Ok(items) = optimistic(if P::PAIRS { Form::Pairs } else { form })
        {
            return Ok(Batch::Ready(items.into_iter()));
        }
        slow(form).map(|items| Batch::Staged(items.into_iter()))
    }

    fn len(&self) -> usize {
        match self {
            Batch::Ready(items) => items.len(),
            Batch::Staged(items) => items.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands the items out.
    #[inline]
    fn try_for_each<E: From<Error>>(
        self,
        handle: &Handle,
        mut visit: impl FnMut(P::Item) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Batch::Ready(mut items) => items.try_for_each(visit),
            Batch::Staged(mut items) => items.try_for_each(|raw| visit(P::finish(handle, raw)?)),
        }
    }

    #[inline]
    fn next(&mut self, handle: &Handle) -> Option<Result<P::Item>> {
        match self {
            Batch::Ready(items) => items.next().map(Ok),
            Batch::Staged(items) => items.next().map(|raw| P::finish(handle, raw)),
        }
    }
}

/// Visits all records while the whole table is locked against writers.
pub(crate) fn for_each<P: Pick, E: From<Error>>(
    handle: &Handle,
    which: Which,
    mut visit: impl FnMut(P::Item) -> Result<(), E>,
) -> Result<(), E> {
    let (store, limits) = (&handle.store, handle.limits);
    if store.region().object().read_only() {
        return store
            .geometry()
            .own()
            .try_for_each(|stripe| snapshot::<P>(handle, stripe, which, 0)?.try_for_each(handle, &mut visit));
    }
    handle.group(|| {
        group::read_locked(store, limits, |change| change.read_all())?;
        let _iteration = Iteration::start(store);
        let mut walker = Walker::new(which, store.geometry().first());
        loop {
            let batch = group::read_locked(store, limits, |change| walker.batch::<P>(View::locked(change.store())))?;
            if batch.is_empty() {
                return Ok(());
            }
            batch.try_for_each(handle, &mut visit)?;
        }
    })
}

/// Returns everything in one stripe at one moment; `expected` is a guess at the number of items.
fn snapshot<P: Pick>(handle: &Handle, stripe: u32, which: Which, expected: usize) -> Result<Batch<P>> {
    read::read(&handle.store, handle.limits, stripe, |view| {
        if let Some(source) = view.guarded {
            let form = view.region().geometry().form;
            let items = all_in(source, view, form, stripe, which, expected, P::take)?;
            return Ok(Batch::Staged(items.into_iter()));
        }
        Batch::picked(
            view,
            |form| all_in(view.region(), view, form, stripe, which, expected, P::decode_optimistic),
            |form| all_in(view.region(), view, form, stripe, which, expected, P::take),
        )
    })
}

/// Returns everything in a stripe, or a part of it if a writer has spoiled the read.
fn all_in<'a, T, E: ReadError>(
    source: impl Source<'a>,
    view: View<'_>,
    form: Form,
    stripe: u32,
    which: Which,
    expected: usize,
    take: impl Fn(View<'_>, &Record<'_>) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    let region = view.region();
    let at = region.geometry().stripe(stripe);
    let mut items = Vec::with_capacity(expected);
    let mut holds = true;
    let (mut bucket, buckets) = (0, source.stripe(at).get(at.buckets()));
    let more = || E::corrupt(region, at.keys().bytes(), MORE);
    while bucket < buckets && holds {
        if form == Form::Pairs && view.guarded.is_none() {
            let (most, mut look) = (index::most_bindings_in(source, at), items.len() + LOOK_EACH);
            let pairs = take_pairs(view, at, bucket, &mut items, &take, |items| {
                if items.len() >= look {
                    (holds, look) = (view.holds(), items.len() + LOOK_EACH);
                }
                if items.len() as u64 > most { Err(more()) } else { Ok(!holds) }
            })?;
            if pairs > 0 {
                bucket += pairs;
                continue;
            }
        }
        walk::newest_in(source, form, at, bucket, |newest| {
            let mut next = Some(newest);
            let mut ring = Ring::default();
            while let Some(record) = next {
                items.push(take(view, &record)?);
                if items.len() % LOOK_EACH == 0 && !view.holds() {
                    holds = false;
                    return Ok(Break(()));
                }
                if items.len() as u64 > index::most_bindings_in(source, at) {
                    return Err(more());
                }
                next = which.after(source, &record, &mut ring)?;
            }
            Ok(Continue(()))
        })?;
        bucket += 1;
    }
    Ok(items)
}

/// Takes the pairs of a bucket and of those behind it, where nothing but pairs lies in a row, until `is_enough`, which is asked after
/// each bucket. Returns the number of buckets.
#[inline(always)]
pub(super) fn take_pairs<T, E: ReadError>(
    view: View<'_>,
    at: StripeAt,
    bucket: u64,
    items: &mut Vec<T>,
    take: impl Fn(View<'_>, &Record<'_>) -> Result<T, E>,
    mut is_enough: impl FnMut(&[T]) -> Result<bool, E>,
) -> Result<u64, E> {
    let mut buckets = 0;
    for pairs in walk::pairs_from(view.region(), at, bucket) {
        for pair in pairs {
            items.push(take(view, &pair)?);
        }
        buckets += 1;
        if is_enough(items)? {
            break;
        }
    }
    Ok(buckets)
}

impl Which {
    /// Returns the binding to be visited after another one of the same key.
    #[inline(always)]
    pub(super) fn after<'a, E: ReadError>(
        self,
        source: impl Source<'a>,
        record: &Record<'_>,
        ring: &mut Ring,
    ) -> Result<Option<Record<'a>>, E> {
        match (self, record.older()) {
            (Which::Newest, _) | (Which::All, 0) => Ok(None),
            (Which::All, older) if ring.closes(older) => Err(E::corrupt(source.region(), older, CIRCLE)),
            (Which::All, older) => Record::at_or(source, older).map(Some),
        }
    }
}

/// Items of a table, one stripe in memory at a time.
struct Scan<'a, P: Pick> {
    handle: &'a Handle,
    which: Which,
    stripe: u32,
    items: Batch<P>,
    /// Number of items in the stripe before: others have about as many.
    last: usize,
}

impl<'a, P: Pick> Scan<'a, P> {
    fn new(handle: &'a Handle, which: Which) -> Self {
        let (stripe, items) = (handle.store.geometry().first(), Batch::Ready(Vec::new().into_iter()));
        Scan { handle, which, stripe, items, last: 0 }
    }

    /// Returns the first item of the next stripe that has any.
    #[inline(never)]
    fn next_of_others(&mut self) -> Option<Result<P::Item>> {
        while self.stripe < self.handle.store.geometry().own().end {
            let stripe = self.stripe;
            self.stripe += 1;
            match snapshot(self.handle, stripe, self.which, self.last + self.last / 8) {
                Ok(items) => (self.last, self.items) = (items.len(), items),
                Err(error) => return Some(Err(error)),
            }
            if let Some(item) = self.items.next(self.handle) {
                return Some(item);
            }
        }
        None
    }
}

impl<P: Pick> Iterator for Scan<'_, P> {
    type Item = Result<P::Item>;

    #[inline]
    fn next(&mut self) -> Option<Result<P::Item>> {
        match self.items.next(self.handle) {
            Some(item) => Some(item),
            None => self.next_of_others(),
        }
    }

    /// Counts what is in memory; each stripe that follows may be empty, or have any number of items.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let known = self.items.len();
        (known, (self.stripe >= self.handle.store.geometry().own().end).then_some(known))
    }
}

macro_rules! iterator {
    ($(#[$doc:meta])* $name:ident<$($param:ident: $bound:ident),+>, $pick:ty => $item:ty, $which:expr) => {
        $(#[$doc])*
        pub struct $name<'a, $($param: $bound),+>(Scan<'a, $pick>);

        impl<'a, $($param: $bound),+> $name<'a, $($param),+> {
            pub(crate) fn new(handle: &'a Handle) -> Self {
                $name(Scan::new(handle, $which))
            }
        }

        impl<$($param: $bound),+> Iterator for $name<'_, $($param),+> {
            type Item = Result<$item>;

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                self.0.next()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<$($param: $bound),+> FusedIterator for $name<'_, $($param),+> {}

        impl<$($param: $bound),+> fmt::Debug for $name<'_, $($param),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("stripe", &self.0.stripe).finish_non_exhaustive()
            }
        }
    };
}

iterator! {
    /// The bindings of a table; see [`HashTable::scan`](crate::HashTable::scan).
    Items<K: ShmKey, V: DataManager>, Both<K, V> => (K, V), Which::All
}
iterator! {
    /// The keys of a table; see [`HashTable::keys`](crate::HashTable::keys).
    Keys<K: ShmKey>, KeyOnly<K> => K, Which::Newest
}
iterator! {
    /// The values of a table; see [`HashTable::values`](crate::HashTable::values).
    Values<V: DataManager>, ValueOnly<V> => V, Which::All
}
