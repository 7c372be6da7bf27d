//! Operations on all bindings of a table.

use crate::error::Result;
use crate::handle::Handle;
use crate::heap::Memory;
use crate::index;
use crate::store::{group, sum};

/// Returns the number of bindings in the table. Outside a group nothing is locked for it; see [`sum`].
pub(super) fn count_bindings(handle: &Handle) -> Result<u64> {
    let store = &handle.store;
    store.check_fork()?;
    if !group::is_open(store) {
        return sum::sum(store, handle.limits, index::bindings_seen);
    }
    group::read_locked(store, handle.limits, |change| {
        change.read_all()?;
        let (region, geometry) = (store.region(), store.geometry());
        let counts = geometry.own().map(|stripe| index::bindings_in(region, geometry.stripe(stripe)));
        Ok(counts.fold(0, u64::wrapping_add))
    })
}

/// Removes all bindings of the table.
pub(super) fn clear(handle: &Handle) -> Result<()> {
    handle.change("clear it", |change| {
        change.write_all()?;
        let geometry = *change.store().geometry();
        for stripe in geometry.own() {
            let at = geometry.stripe(stripe);
            for place in [at.buckets(), at.keys(), at.hidden()] {
                change.write(place, 0)?;
            }
            change.free_all(stripe)?;
        }
        Ok(())
    })
}
