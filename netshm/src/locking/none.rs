//! No locking: only the mark of a writer in flight, for who finds it dead.

use super::word::Released;
use super::{Mode, Owners, Protocol, Request, wait_for_mark, word_of};
use crate::Result;

/// The protocol of [`Locking::None`](super::Locking::None).
pub(crate) struct NoLocks;

impl Protocol for NoLocks {
    #[inline]
    fn acquire(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        for stripe in request.stripes() {
            let word = word_of(owners.region(), stripe);
            if word.load().owner().is_some() {
                wait_for_mark(owners, request, stripe)?;
            }
            if request.mode == Mode::Exclusive {
                word.mark(request.slot);
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
