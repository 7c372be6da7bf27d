//! No locking: only the mark of a writer at work, so that a dead one is noticed.

use super::word::Released;
use super::{Mode, Owners, Protocol, Request, wait_for_mark, word_of};
use crate::error::Result;

/// The protocol of [`Locking::None`](crate::Locking::None).
pub(crate) struct NoLocks;

impl Protocol for NoLocks {
    #[inline]
    fn acquire(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        for stripe in request.stripes() {
            if let Err(error) = take(owners, request, stripe) {
                let taken = Request { count: stripe - request.stripe, ..request.clone() };
                self.release(owners, &taken);
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline]
    fn release(&self, owners: &impl Owners, request: &Request<'_>) {
        if request.mode == Mode::Exclusive {
            for stripe in request.stripes() {
                let (Released::Quiet | Released::Sleepers) = word_of(owners.region(), stripe).release();
            }
        }
    }

    fn read_mode(&self) -> Mode {
        Mode::Shared
    }
}

/// Waits until no writer is marked, and marks the stripe for the requester.
#[inline]
fn take(owners: &impl Owners, request: &Request<'_>, stripe: u32) -> Result<()> {
    let word = word_of(owners.region(), stripe);
    loop {
        let seen = word.load();
        if seen.owner().is_some() {
            wait_for_mark(owners, request, stripe)?;
        } else if request.mode == Mode::Shared {
            return Ok(());
        } else if !seen.is_free() {
            // Nobody sleeps here, so that is damage.
            word.mark(request.slot);
            return Ok(());
        // In one step: whoever writes the object back to storage takes all marks beside the one writer.
        } else if word.try_take(request.slot) {
            return Ok(());
        }
    }
}
