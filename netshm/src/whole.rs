//! Operations on whole objects, of whatever kind.

use std::cell::Cell;

use crate::group::{GroupError, retry};
use crate::handle::Handle;
use crate::heap::Memory;
use crate::index;
use crate::store::{group, sum};
use crate::{Error, Result};

/// Runs a group until it does not end in a deadlock; once only where one is open around it. If that is a group on another
/// object, then only a ring on this object is worth another attempt: else that other group may keep what somebody waits for,
/// and has to be run again as well.
pub(crate) fn group_retry<R, E: GroupError>(handle: &Handle, body: impl FnMut() -> Result<R, E>) -> Result<R, E> {
    group_retry_at_most(handle, u64::MAX, body)
}

/// As [`group_retry`], but not more than that number of times after the first.
pub(crate) fn group_retry_at_most<R, E: GroupError>(
    handle: &Handle,
    retries: u64,
    mut body: impl FnMut() -> Result<R, E>,
) -> Result<R, E> {
    if group::is_open(&handle.store) {
        return handle.group(body);
    }
    let is_outermost = group::open() == 0;
    group::take_deadlocked();
    let left = Cell::new(retries);
    let worth = |error: &E| {
        let may_help = error.is_deadlock() && (group::take_deadlocked() || is_outermost);
        may_help && left.replace(left.get().saturating_sub(1)) > 0
    };
    retry(|| handle.group(&mut body), worth)
}

/// Runs an operation that locks several stripes; outside a group it runs again after a deadlock.
pub(crate) fn retry_alone<R>(handle: &Handle, mut operation: impl FnMut() -> Result<R>) -> Result<R> {
    if group::is_open(&handle.store) {
        return operation();
    }
    let is_outermost = group::open() == 0;
    retry(operation, |error| matches!(error, Error::Deadlock { .. }) || (error.is_deadlock() && is_outermost))
}

/// Bindings in the whole table. Outside a group nothing is locked for it; see [`sum`].
pub(crate) fn count_bindings(handle: &Handle) -> Result<u64> {
    let store = &handle.store;
    store.check_fork()?;
    if !group::is_open(store) {
        return sum::sum(store, handle.limits, index::bindings_in);
    }
    group::read_locked(store, handle.limits, |change| {
        change.read_all()?;
        let (region, geometry) = (store.region(), store.geometry());
        let counts = (0..geometry.stripes).map(|stripe| index::bindings_in(region, geometry.stripe(stripe)));
        Ok(counts.fold(0, u64::wrapping_add))
    })
}

/// Removes all bindings of a table.
pub(crate) fn clear(handle: &Handle) -> Result<()> {
    handle.change("clear it", |change| {
        change.write_all()?;
        let geometry = *change.target().geometry();
        for stripe in 0..geometry.stripes {
            let at = geometry.stripe(stripe);
            for place in [at.buckets(), at.keys(), at.hidden()] {
                change.store(place, 0)?;
            }
            change.free_all(stripe)?;
        }
        Ok(())
    })
}

/// Writes the object back to its storage while no change is under way.
pub(crate) fn sync(handle: &Handle) -> Result<()> {
    if group::is_open(&handle.store) {
        return Err(Error::InGroup { object: handle.store.name(), wanted: "sync" });
    }
    handle.store.sync(handle.limits)
}
