//! The holes that an object's free runs have, read before anything of it is mapped.

use std::sync::Arc;

use super::header::committed;
use crate::error::Result;
use crate::layout::run::{Hole, RunAt, RunHead};
use crate::layout::{CLASSES, Geometry};
use crate::shm::Object;

/// Returns the holes of free runs, in their order. Where the lists do not fit together, which may be because others are changing them,
/// none: then all of the object gets memory.
pub(crate) fn of(object: &Arc<Object>, geometry: &Geometry) -> Result<Vec<Hole>> {
    let mut holes = listed(object, geometry)?.unwrap_or_default();
    holes.sort_unstable_by_key(|hole| hole.start);
    let overlap = holes.windows(2).any(|pair| pair[0].end > pair[1].start);
    Ok(if overlap { Vec::new() } else { holes })
}

fn listed(object: &Arc<Object>, geometry: &Geometry) -> Result<Option<Vec<Hole>>> {
    let meta = geometry.stripe(geometry.meta());
    let end = committed(object, geometry, meta.top(), 1)?[0];
    let bits = committed(object, geometry, meta.classes(), 1)?[0];
    let firsts = committed(object, geometry, meta.class(0), CLASSES as usize)?;
    let mut holes = Vec::new();
    let mut left = end.saturating_sub(geometry.data_start()) / geometry.pagesize;
    for (_, first) in (0..CLASSES).zip(firsts).filter(|(class, _)| bits & 1 << class != 0) {
        let mut at = first;
        while at != 0 {
            let is_run = (geometry.data_start()..end).contains(&at) && at.is_multiple_of(geometry.pagesize);
            if !is_run {
                return Ok(None);
            }
            let run = RunAt(at);
            let words = committed(object, geometry, run.head(), 4)?;
            let head = RunHead(words[0]);
            let behind = head.pages().checked_mul(geometry.pagesize).and_then(|bytes| at.checked_add(bytes));
            let Some(behind) = behind.filter(|behind| head.is_free() && *behind <= end && head.pages() <= left) else {
                return Ok(None);
            };
            left -= head.pages();
            let hole = Hole::from_word(words[3], at, behind);
            if !hole.is_none() {
                holes.push(hole);
            }
            if head.pages() == 0 {
                return Ok(None);
            }
            at = words[1];
        }
    }
    Ok(Some(holes))
}
