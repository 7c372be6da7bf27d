//! Visiting everything in a table: under locks, or stripe by stripe without.

use std::fmt;
use std::ops::ControlFlow::{Break, Continue};
use std::vec;

use crate::data::{DataManager, ShmKey};
use crate::handle::{Handle, Raw, take_out};
use crate::index::{Record, walk};
use crate::region::Region;
use crate::store::group::{self, Iteration};
use crate::store::read::{self, View};
use crate::{Error, Result};
use std::sync::atomic::Ordering::Relaxed;

/// Bindings decoded in one go while everything is locked.
const BATCH: usize = 128;
/// Records decoded between two looks at whether a writer has spoiled the reading.
const LOOK_EACH: usize = 64;

/// What a circle looks like.
const MORE: &str = "a stripe has more bindings than it counts";

/// Which bindings are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All, the newest of each key first.
    All,
    /// The newest of each key.
    Newest,
}

/// How an item is made of a record.
type Take<T> = fn(View<'_>, &Record<'_>) -> Result<T>;

/// A key and a value on their way out.
pub(crate) type RawItem<K, V> = (Raw<K>, Raw<V>);

#[inline(always)]
pub(crate) fn take_item<K: DataManager, V: DataManager>(view: View<'_>, record: &Record<'_>) -> Result<RawItem<K, V>> {
    Ok((take_out(view, record.key())?, take_out(view, record.value())?))
}

#[inline]
pub(crate) fn take_key<K: DataManager>(view: View<'_>, record: &Record<'_>) -> Result<Raw<K>> {
    take_out(view, record.key())
}

#[inline]
fn take_value<V: DataManager>(view: View<'_>, record: &Record<'_>) -> Result<Raw<V>> {
    take_out(view, record.value())
}

/// Visits all records while the whole table is locked against writers.
pub(crate) fn for_each<T, E: From<Error>>(
    handle: &Handle,
    which: Which,
    take: impl Fn(View<'_>, &Record<'_>) -> Result<T> + Copy,
    mut visit: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    if handle.store.region().object().read_only() {
        for stripe in 0..handle.store.geometry().stripes {
            for item in snapshot(handle, stripe, which, take)? {
                visit(item)?;
            }
        }
        return Ok(());
    }
    handle.group(|| {
        let (store, limits) = (&handle.store, handle.limits);
        group::read_locked(store, limits, |change| change.read_all())?;
        let _iteration = Iteration::start(store);
        let mut walker = Walker::new(which);
        loop {
            let batch = group::read_locked(store, limits, |change| walker.batch(View::locked(change.target()), take))?;
            if batch.is_empty() {
                return Ok(());
            }
            for item in batch {
                visit(item)?;
            }
        }
    })
}

/// Everything in one stripe at one moment.
fn snapshot<T>(
    handle: &Handle,
    stripe: u32,
    which: Which,
    take: impl Fn(View<'_>, &Record<'_>) -> Result<T> + Copy,
) -> Result<Vec<T>> {
    read::read(&handle.store, handle.limits, stripe, |view| {
        let region = view.region();
        let at = region.geometry().stripe(stripe);
        let mut items = Vec::new();
        let mut holds = true;
        for bucket in 0..region.field(at.buckets()).load(Relaxed) {
            walk::newest_in(region, at, bucket, |newest| {
                let mut next = Some(newest);
                while let Some(record) = next {
                    items.push(take(view, &record)?);
                    if items.len() % LOOK_EACH == 0 && !view.holds() {
                        holds = false;
                        return Ok(Break(()));
                    }
                    if items.len() as u64 > region.field(at.bindings()).load(Relaxed) {
                        return Err(region.corrupt(at.bindings().0, MORE));
                    }
                    next = which.after(region, &record)?;
                }
                Ok(Continue(()))
            })?;
            if !holds {
                break;
            }
        }
        Ok(items)
    })
}

impl Which {
    /// The binding to be visited after another one of the same key.
    #[inline(always)]
    fn after<'a>(self, region: &'a Region, record: &Record<'_>) -> Result<Option<Record<'a>>> {
        match (self, record.older()) {
            (Which::Newest, _) | (Which::All, 0) => Ok(None),
            (Which::All, older) => Record::at(region, older).map(Some),
        }
    }
}

/// A place between two records, while everything is locked.
struct Walker {
    which: Which,
    stripe: u32,
    bucket: u64,
    /// Keys of the bucket that have been visited wholly.
    visited: usize,
    /// The next older binding of the key after them, or 0 for its newest.
    older: u64,
    /// Bindings met in this stripe; more than it has would mean a circle.
    met: u64,
}

impl Walker {
    fn new(which: Which) -> Self {
        Walker { which, stripe: 0, bucket: 0, visited: 0, older: 0, met: 0 }
    }

    /// The next items; none at the end.
    fn batch<T>(&mut self, view: View<'_>, take: impl Fn(View<'_>, &Record<'_>) -> Result<T>) -> Result<Vec<T>> {
        let region = view.region();
        let mut items = Vec::with_capacity(BATCH + 16);
        while items.len() < BATCH && self.stripe < region.geometry().stripes {
            let at = region.geometry().stripe(self.stripe);
            let bindings = region.field(at.bindings()).load(Relaxed);
            if self.bucket >= region.field(at.buckets()).load(Relaxed) {
                (self.stripe, self.bucket, self.met) = (self.stripe + 1, 0, 0);
                continue;
            }
            let (mut keys, mut whole) = (0, true);
            walk::newest_in(region, at, self.bucket, |newest| {
                keys += 1;
                if keys <= self.visited {
                    return Ok(Continue(()));
                }
                let mut next = match std::mem::take(&mut self.older) {
                    0 => Some(newest),
                    older => Some(Record::at(region, older)?),
                };
                while let Some(record) = next {
                    items.push(take(view, &record)?);
                    self.met += 1;
                    if self.met > bindings {
                        return Err(region.corrupt(at.bindings().0, MORE));
                    }
                    next = self.which.after(region, &record)?;
                    if items.len() >= BATCH && next.is_some() {
                        (self.visited, self.older, whole) = (keys - 1, record.older(), false);
                        return Ok(Break(()));
                    }
                }
                Ok(Continue(()))
            })?;
            if whole {
                (self.bucket, self.visited) = (self.bucket + 1, 0);
            }
        }
        Ok(items)
    }
}

/// Items of a table, one stripe in memory at a time.
struct Scan<'a, T> {
    handle: &'a Handle,
    which: Which,
    take: Take<T>,
    stripe: u32,
    items: vec::IntoIter<T>,
}

impl<'a, T> Scan<'a, T> {
    fn new(handle: &'a Handle, which: Which, take: Take<T>) -> Self {
        Scan { handle, which, take, stripe: 0, items: Vec::new().into_iter() }
    }
}

impl<T> Iterator for Scan<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(Ok(item));
            }
            if self.stripe >= self.handle.store.geometry().stripes {
                return None;
            }
            let stripe = self.stripe;
            self.stripe += 1;
            match snapshot(self.handle, stripe, self.which, self.take) {
                Ok(items) => self.items = items.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

macro_rules! iterator {
    ($(#[$doc:meta])* $name:ident<$($param:ident: $bound:ident),+>, $raw:ty => $item:ty, $which:expr, $take:expr, $finish:expr) => {
        $(#[$doc])*
        pub struct $name<'a, $($param),+>(Scan<'a, $raw>);

        impl<'a, $($param: $bound),+> $name<'a, $($param),+> {
            pub(crate) fn new(handle: &'a Handle) -> Self {
                $name(Scan::new(handle, $which, $take))
            }
        }

        impl<$($param: $bound),+> Iterator for $name<'_, $($param),+> {
            type Item = Result<$item>;

            fn next(&mut self) -> Option<Self::Item> {
                let handle = self.0.handle;
                self.0.next().map(|raw| raw.and_then(|raw| $finish(handle, raw)))
            }
        }

        impl<$($param),+> fmt::Debug for $name<'_, $($param),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("stripe", &self.0.stripe).finish_non_exhaustive()
            }
        }
    };
}

iterator! {
    /// The bindings of a table; see [`HashTable::scan`](crate::HashTable::scan).
    Items<K: ShmKey, V: DataManager>, RawItem<K, V> => (K, V), Which::All, take_item::<K, V>,
    |handle: &Handle, (key, value)| Ok((handle.finish(key)?, handle.finish(value)?))
}
iterator! {
    /// The keys of a table; see [`HashTable::keys`](crate::HashTable::keys).
    Keys<K: ShmKey>, Raw<K> => K, Which::Newest, take_key::<K>, Handle::finish
}
iterator! {
    /// The values of a table; see [`HashTable::values`](crate::HashTable::values).
    Values<V: DataManager>, Raw<V> => V, Which::All, take_value::<V>, Handle::finish
}
