//! Visiting everything in a table: under locks, or stripe by stripe without.

use std::fmt;
use std::vec;

use crate::data::{DataManager, ShmKey};
use crate::handle::{Handle, Raw, take_out};
use crate::index::{Bindings, Record, walk};
use crate::layout::bucket::CELLS;
use crate::store::group::{self, Iteration};
use crate::store::read::{self, View};
use crate::{Error, Result};
use std::sync::atomic::Ordering::Relaxed;

/// Bindings decoded in one go while everything is locked.
const BATCH: usize = 128;
/// Records decoded between two looks at whether a writer has spoiled the reading.
const LOOK_EACH: usize = 64;

/// Which bindings are visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All, the newest of each key first.
    All,
    /// The newest of each key.
    Newest,
}

/// How an item is made of a record.
pub(crate) type Take<T> = fn(View<'_>, &Record<'_>) -> Result<T>;

/// A key and a value on their way out.
pub(crate) type RawItem<K, V> = (Raw<K>, Raw<V>);

pub(crate) fn take_item<K: DataManager, V: DataManager>(view: View<'_>, record: &Record<'_>) -> Result<RawItem<K, V>> {
    Ok((take_out(view, record.key())?, take_out(view, record.value())?))
}

pub(crate) fn take_key<K: DataManager>(view: View<'_>, record: &Record<'_>) -> Result<Raw<K>> {
    take_out(view, record.key())
}

fn take_value<V: DataManager>(view: View<'_>, record: &Record<'_>) -> Result<Raw<V>> {
    take_out(view, record.value())
}

/// Visits all records while the whole table is locked against writers.
pub(crate) fn for_each<T, E: From<Error>>(
    handle: &Handle,
    which: Which,
    take: Take<T>,
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
fn snapshot<T>(handle: &Handle, stripe: u32, which: Which, take: Take<T>) -> Result<Vec<T>> {
    read::read(&handle.store, handle.limits, stripe, |view| {
        let at = view.region().geometry().stripe(stripe);
        let mut items = Vec::new();
        let mut since_look = 0;
        for bucket in 0..view.region().field(at.buckets()).load(Relaxed) {
            for newest in walk::newest_in(view.region(), at, bucket)? {
                for record in Bindings::from(view.region(), at, newest) {
                    items.push(take(view, &record?)?);
                    since_look += 1;
                    if since_look == LOOK_EACH {
                        if !view.holds() {
                            return Ok(items);
                        }
                        since_look = 0;
                    }
                    if which == Which::Newest {
                        break;
                    }
                }
            }
        }
        Ok(items)
    })
}

/// A place between two records, while everything is locked.
struct Walker {
    which: Which,
    stripe: u32,
    bucket: u64,
    /// Newest bindings of the keys to come in the present bucket.
    newest: smallvec::IntoIter<[u64; CELLS]>,
    /// The next older binding of the present key, or 0.
    older: u64,
    /// Bindings met in this stripe; more than it has would mean a circle.
    met: u64,
}

impl Walker {
    fn new(which: Which) -> Self {
        Walker { which, stripe: 0, bucket: 0, newest: walk::Newest::new().into_iter(), older: 0, met: 0 }
    }

    /// The next items; none at the end.
    fn batch<T>(&mut self, view: View<'_>, take: Take<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while items.len() < BATCH {
            let Some(at) = self.next(view)? else { break };
            let record = Record::binding(view.region(), at)?;
            items.push(take(view, &record)?);
            if self.which == Which::All {
                self.older = record.older();
            }
        }
        Ok(items)
    }

    fn next(&mut self, view: View<'_>) -> Result<Option<u64>> {
        let region = view.region();
        loop {
            if self.stripe >= region.geometry().stripes {
                return Ok(None);
            }
            let at = region.geometry().stripe(self.stripe);
            let next = match std::mem::take(&mut self.older) {
                0 => self.newest.next().unwrap_or(0),
                older => older,
            };
            if next != 0 {
                self.met += 1;
                if self.met > region.field(at.bindings()).load(Relaxed) {
                    return Err(region.corrupt(next, "a stripe has more bindings than it counts"));
                }
                return Ok(Some(next));
            }
            if self.bucket < region.field(at.buckets()).load(Relaxed) {
                self.newest = walk::newest_in(region, at, self.bucket)?.into_iter();
                self.bucket += 1;
            } else {
                (self.stripe, self.bucket, self.met) = (self.stripe + 1, 0, 0);
            }
        }
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
