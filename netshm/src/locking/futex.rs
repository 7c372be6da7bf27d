//! Locks in shared memory, with waits in the kernel only under contention.
//!
//! The stripe's lock word is the lock (after U. Drepper, "Futexes are tricky", 2011, with the owner in the word). A waiter
//! notes the stripe in its slot, looks for a ring of waiters (see [`waits`](super::waits)), and sleeps until the word changes,
//! or until a time-out makes it look again and probe the owner.

use std::hint::spin_loop;
use std::time::Duration;

use super::waits::{self, Look, Manner, Rings, Seeker};
use super::word::{LockWord, Released};
use super::{Mode, Owners, Protocol, Request, owner_of, word_of};
use crate::error::Result;
use crate::os::futex;
use crate::region::Region;

/// Spins on a lock that is likely to be freed soon.
const SPINS: u32 = 120;
/// The first sleep, and the longest.
const FIRST_SLEEP: Duration = Duration::from_millis(10);
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// The protocol of [`Locking::Futex`](crate::Locking::Futex).
pub(crate) struct FutexLocks;

impl FutexLocks {
    #[cold]
    fn wait(&self, owners: &impl Owners, request: Request<'_>, stripe: u32) -> Result<()> {
        let word = word_of(owners.region(), stripe);
        if spin(word, request.slot) {
            return Ok(());
        }
        waits::announced(owners.region(), request.slot, stripe, Manner::MARKED, |watched| {
            self.sleep(owners, &request, stripe, word, watched)
        })
    }

    fn sleep(
        &self,
        owners: &impl Owners,
        request: &Request<'_>,
        stripe: u32,
        word: LockWord<'_>,
        watched: bool,
    ) -> Result<()> {
        let region = owners.region();
        let mut wait = request.wait_for(owners, stripe);
        let mut nap = FIRST_SLEEP;
        let mut rings = Rings::default();
        let seeker = Seeker { slot: request.slot, stripe, mode: Mode::Exclusive, holds: &|_| false };
        loop {
            let owner = owner_of(region, stripe)?;
            if owner.is_none() && word.try_take_after_sleep(request.slot) {
                return Ok(());
            }
            wait.check(owners, owner).map_err(|error| rings.explain(error))?;
            let Some(owner) = owner else { continue };
            if owner == request.slot {
                owners.free_stale(stripe, owner)?;
                continue;
            }
            owners.check_other_thread(owner)?;
            let seen = word.load();
            if seen.owner() != Some(owner) {
                continue;
            }
            let Some(seen) = word.announce_sleeper(seen) else { continue };
            if watched {
                match rings.look(owners, &seeker)? {
                    Look::Recovered => continue,
                    Look::Remind(other) => futex::wake(word_of(region, other).0, u32::MAX >> 1),
                    Look::Nothing => {}
                }
            }
            match futex::wait(word.0, seen.word(), Some(wait.pause(nap))) {
                futex::Wake::TimedOut => {
                    nap = (nap * 2).min(LONGEST_SLEEP);
                    wait.note(owners.take_over(stripe, owner)?);
                }
                futex::Wake::Woken | futex::Wake::Changed => {}
            }
        }
    }
}

/// Waits for a stripe that is likely to be freed soon. Returns whether it was, and has been taken.
#[cold]
pub(super) fn spin(word: LockWord<'_>, slot: u32) -> bool {
    for _ in 0..SPINS {
        spin_loop();
        if word.load().owner().is_none() && word.try_take(slot) {
            return true;
        }
    }
    false
}

#[inline]
fn release_one(region: &Region, stripe: u32) {
    release_word(word_of(region, stripe));
}

#[inline(always)]
pub(super) fn release_word(word: LockWord<'_>) {
    if word.release() == Released::Sleepers {
        futex::wake(word.0, 1);
    }
}

impl Protocol for FutexLocks {
    #[inline(always)]
    fn acquire(&self, owners: &impl Owners, request: &Request<'_>) -> Result<()> {
        for stripe in request.stripes() {
            if word_of(owners.region(), stripe).try_take(request.slot) {
                continue;
            }
            if let Err(error) = self.wait(owners, request.clone(), stripe) {
                for held in request.stripe..stripe {
                    release_one(owners.region(), held);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn release(&self, owners: &impl Owners, request: &Request<'_>) {
        for stripe in request.stripes() {
            release_one(owners.region(), stripe);
        }
    }

    fn read_mode(&self) -> Mode {
        Mode::Exclusive
    }
}
