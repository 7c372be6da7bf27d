//! Sums over all stripes, as they were at one moment, without locks.
//!
//! First each stripe's number is read together with its sequence. If then a pass over all sequences finds none changed, all
//! stripes had these numbers when the pass began. Else what has changed is read anew, and another pass follows; it is
//! short, so that it fits between two changes of most writers.

use super::{Limits, Store, group, read};
use crate::Result;
use crate::layout::StripeAt;
use crate::locking::Deadline;
use crate::region::Region;

/// Passes before the numbers are taken as they are: each that of its stripe at a moment of its own.
const PASSES: u32 = 64;

/// The sum of a number that each stripe has. If writers keep changing the object, so that in no pass all is as it was before,
/// it is the sum of what each stripe had at some moment during the call.
pub(crate) fn sum(store: &Store, limits: Limits, number: fn(&Region, StripeAt) -> u64) -> Result<u64> {
    let deadline = group::own_deadline(limits);
    let stripes = 0..store.geometry().stripes;
    let mut seen = stripes.map(|stripe| settled(store, &deadline, stripe, number)).collect::<Result<Vec<_>>>()?;
    for _ in 0..PASSES {
        let mut same = true;
        for (stripe, seen) in (0..).zip(&mut seen) {
            if store.sequence(stripe).value() != seen.sequence {
                *seen = settled(store, &deadline, stripe, number)?;
                same = false;
            }
        }
        if same {
            break;
        }
    }
    Ok(seen.iter().fold(0, |sum, seen| sum.wrapping_add(seen.number)))
}

/// A stripe's number while nobody changed the stripe, and its sequence then.
struct Settled {
    sequence: u64,
    number: u64,
}

fn settled(store: &Store, deadline: &Deadline, stripe: u32, number: fn(&Region, StripeAt) -> u64) -> Result<Settled> {
    read::keep_trying(store, deadline, stripe, |view| {
        let sequence = view.stamp.map_or_else(|| store.sequence(stripe).value(), |stamp| stamp.value());
        Ok(Settled { sequence, number: number(view.region(), store.geometry().stripe(stripe)) })
    })
}
