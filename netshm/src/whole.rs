//! Operations on whole objects, of whatever kind.

use crate::group::{GroupError, retry};
use crate::handle::Handle;
use crate::heap::Memory;
use crate::index;
use crate::sequence::Stamp;
use crate::store::group;
use crate::{Error, Result};

/// Attempts at counting without locks.
const ATTEMPTS: usize = 8;

/// Runs a group until it does not end in a deadlock; once only where another group is open around it.
pub(crate) fn group_retry<R, E: GroupError>(handle: &Handle, mut body: impl FnMut() -> Result<R, E>) -> Result<R, E> {
    if group::is_open(&handle.store) {
        return handle.group(body);
    }
    retry(|| handle.group(&mut body))
}

/// Runs an operation that locks several stripes; outside a group it runs again after a deadlock.
pub(crate) fn retry_alone<R>(handle: &Handle, mut operation: impl FnMut() -> Result<R>) -> Result<R> {
    if group::is_open(&handle.store) { operation() } else { retry(operation) }
}

/// Bindings in the whole table at one moment.
pub(crate) fn count_bindings(handle: &Handle) -> Result<u64> {
    let store = &handle.store;
    store.check_fork()?;
    let region = store.region();
    let geometry = region.geometry();
    let sum = || {
        let counts = (0..geometry.stripes).map(|s| index::bindings_in(region, geometry.stripe(s)));
        counts.fold(0, u64::wrapping_add)
    };
    if !group::is_open(store) {
        for _ in 0..ATTEMPTS {
            let stamps: Option<Vec<_>> = (0..geometry.stripes).map(|s| store.sequence(s).begin_reading()).collect();
            let count = sum();
            if stamps.is_some_and(|stamps| stamps.into_iter().all(Stamp::holds)) {
                return Ok(count);
            }
        }
        if region.object().read_only() {
            return Ok(sum());
        }
    }
    group::read_locked(store, handle.limits, |change| {
        change.read_all()?;
        Ok(sum())
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
        return Err(Error::InvalidOption {
            option: "sync",
            value: "called inside a group".to_owned(),
            reason: "the group's changes are not final; call it after the group".to_owned(),
        });
    }
    group::read_locked(&handle.store, handle.limits, |change| {
        change.read_all()?;
        change.target().sync_locked()
    })
}
