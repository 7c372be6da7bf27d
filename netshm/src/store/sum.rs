//! Consistent sums over all stripes, without locks.
//!
//! First each stripe's number is read, past a change if there is one, together with its state. If then a pass over all states
//! finds none changed, all stripes had these numbers when the pass began. Otherwise stripes that have
//! changed are read again, and another pass follows; it is short enough to fit between two changes of most writers.

use std::time::{Duration, Instant};

use super::read::{self, State, View};
use super::{Limits, Store, group};
use crate::error::Result;
use crate::layout::StripeAt;
use crate::locking::Deadline;
use crate::os::pause;

/// Passes before the time is looked at.
const PASSES: u32 = 64;
/// Time for passes. After that the numbers are taken as they are, each from a moment of its own.
const PATIENCE: Duration = Duration::from_millis(200);
/// Name of the place at which tests change the table.
pub(super) const LOOKS: &str = "a stripe that has been counted is looked at";

/// Returns the sum of a number that each stripe has. If writers change the object during every pass for [`PATIENCE`], it is the
/// sum of what each stripe had at some moment during the call.
pub(crate) fn sum(store: &Store, limits: Limits, number: fn(View<'_>, StripeAt) -> u64) -> Result<u64> {
    if !group::is_open(store) {
        store.check_alone()?;
    }
    let deadline = group::own_deadline(limits);
    let stripes = store.geometry().own();
    let mut seen = stripes.map(|stripe| settled(store, &deadline, stripe, number)).collect::<Result<Vec<_>>>()?;
    let mut begin = None;
    for pass in 1_u32.. {
        let mut same = true;
        for (stripe, seen) in store.geometry().own().zip(&mut seen) {
            pause::at(LOOKS);
            if !seen.state.is_that_of(store, stripe) {
                *seen = settled(store, &deadline, stripe, number)?;
                same = false;
            }
        }
        if same || pass > PASSES && has_passed(&mut begin, limits) {
            break;
        }
    }
    Ok(seen.iter().fold(0, |sum, seen| sum.wrapping_add(seen.number)))
}

/// Returns whether the time for passes is over. It begins when this is first asked.
#[cold]
fn has_passed(begin: &mut Option<Instant>, limits: Limits) -> bool {
    let patience = limits.lock_timeout.map_or(PATIENCE, |limit| limit.min(PATIENCE));
    begin.get_or_insert_with(Instant::now).elapsed() >= patience
}

/// A stripe's number, and the state in which the stripe has that.
struct Settled {
    state: State,
    number: u64,
}

fn settled(store: &Store, deadline: &Deadline, stripe: u32, number: fn(View<'_>, StripeAt) -> u64) -> Result<Settled> {
    read::keep_trying(store, deadline, stripe, |view| {
        Ok(Settled { state: view.state(stripe), number: number(view, store.geometry().stripe(stripe)) })
    })
}
