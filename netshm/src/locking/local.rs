//! Locks between the threads of one process, for what the kernel sees as one owner.
//!
//! All that its threads hold and wait for is known here, so a ring of them is found when it closes. One that leads through
//! other processes is not: a thread that holds something waits only for a while for one that waits in the kernel.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Bound, Owners, Wait};
use crate::error::{Error, Result};

/// Longest sleep of a thread between checks of its deadline.
const LOOK: Duration = Duration::from_millis(20);

/// Locks of one process, each held by a slot.
pub(crate) struct LocalLocks {
    state: Mutex<State>,
    released: Condvar,
    /// The locks below this number are those of stripes.
    stripes: u32,
}

struct State {
    holders: Vec<Option<u32>>,
    /// The threads that wait, by their slots, and what for: a lock of these, or in the kernel.
    waiting: Vec<(u32, Awaits)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Lock(u32),
    Kernel,
}

/// The end of the chain of threads that a thread begins to wait for.
enum Chain {
    /// Itself, after these slots and the locks that they hold.
    Ring(Vec<(u32, u32)>),
    /// A thread that waits in the kernel.
    Kernel,
    /// A thread at work.
    Running,
}

impl State {
    fn awaited_by(&self, slot: u32) -> Option<Awaits> {
        self.waiting.iter().find(|(waiter, _)| *waiter == slot).map(|(_, what)| *what)
    }

    fn chain(&self, slot: u32, index: u32) -> Chain {
        let mut links = Vec::new();
        let mut index = index;
        // Each step leads to another thread, or back to this one.
        while links.len() <= self.waiting.len() {
            let Some(holder) = self.holders[index as usize] else { return Chain::Running };
            links.push((index, holder));
            if holder == slot {
                return Chain::Ring(links);
            }
            match self.awaited_by(holder) {
                Some(Awaits::Lock(next)) => index = next,
                Some(Awaits::Kernel) => return Chain::Kernel,
                None => return Chain::Running,
            }
        }
        Chain::Running
    }

    fn holds_a_stripe(&self, slot: u32, stripes: u32) -> bool {
        self.holders[..stripes as usize].contains(&Some(slot))
    }

    fn forget(&mut self, slot: u32) {
        self.waiting.retain(|(waiter, _)| *waiter != slot);
    }
}

/// Records, while it lives, that a thread waits in the kernel.
pub(crate) struct InKernel<'a>(&'a LocalLocks, u32);

impl Drop for InKernel<'_> {
    fn drop(&mut self) {
        self.0.state().forget(self.1);
    }
}

impl LocalLocks {
    /// Returns the locks for that number of stripes, and `others`.
    pub(crate) fn new(stripes: u32, others: u32) -> Self {
        let state = State { holders: vec![None; (stripes + others) as usize], waiting: Vec::new() };
        LocalLocks { state: Mutex::new(state), released: Condvar::new(), stripes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lock if it is free. Its holder gets it again.
    pub(crate) fn try_lock(&self, index: u32, slot: u32) -> bool {
        Self::take(&mut self.state(), index, slot)
    }

    /// Waits for a lock. Its holder gets it again. While the wait may be part of a ring that leads through other processes, `look`
    /// looks for that.
    pub(crate) fn lock<'a>(
        &self,
        owners: &impl Owners,
        index: u32,
        slot: u32,
        mut look: impl FnMut() -> Result<()>,
        begin: impl FnOnce() -> Wait<'a>,
    ) -> Result<()> {
        let mut state = self.state();
        if Self::take(&mut state, index, slot) {
            return Ok(());
        }
        let mut wait = begin();
        state.waiting.push((slot, Awaits::Lock(index)));
        let outcome = loop {
            if let Some(holder) = state.holders[index as usize]
                && let Err(error) = owners.check_other_thread(holder)
            {
                break Err(error);
            }
            if let Err(error) = wait.check(owners, state.holders[index as usize]) {
                break Err(error);
            }
            let bound = match state.chain(slot, index) {
                Chain::Ring(links) => break Err(Self::deadlock(owners, &links)),
                // Nobody waits for a slot that holds nothing.
                Chain::Kernel if state.holds_a_stripe(slot, self.stripes) => Some(Bound::OwnThread),
                Chain::Kernel | Chain::Running => None,
            };
            wait.set_bound(bound);
            if bound.is_some() {
                drop(state);
                let outcome = look();
                state = self.state();
                if let Err(error) = outcome {
                    break Err(error);
                }
                if Self::take(&mut state, index, slot) {
                    break Ok(());
                }
            }
            state = self.released.wait_timeout(state, wait.pause(LOOK)).unwrap_or_else(PoisonError::into_inner).0;
            if Self::take(&mut state, index, slot) {
                break Ok(());
            }
        };
        state.forget(slot);
        outcome
    }

    fn take(state: &mut State, index: u32, slot: u32) -> bool {
        let holder = &mut state.holders[index as usize];
        let free = holder.is_none_or(|holder| holder == slot);
        if free {
            *holder = Some(slot);
        }
        free
    }

    fn deadlock(owners: &impl Owners, links: &[(u32, u32)]) -> Error {
        let members: Vec<_> =
            links.iter().map(|(stripe, slot)| format!("stripe {stripe}, held by writer {slot}")).collect();
        let detail = format!("threads of this process wait for {} itself", members.join(", which waits for "));
        Error::Deadlock { object: owners.region().name(), detail }
    }

    /// Notes that the holder of `slot` begins to wait in the kernel.
    pub(crate) fn wait_in_kernel(&self, slot: u32) -> InKernel<'_> {
        self.state().waiting.push((slot, Awaits::Kernel));
        InKernel(self, slot)
    }

    /// Returns whether `slot` holds the lock of a stripe, or waits for it in the kernel.
    pub(crate) fn is_held_by(&self, stripe: u32, slot: u32) -> bool {
        self.state().holders.get(stripe as usize) == Some(&Some(slot))
    }

    /// Returns the locks of stripes that `slot` holds, or waits for in the kernel.
    pub(crate) fn held_by(&self, slot: u32) -> Vec<u32> {
        let state = self.state();
        let stripes = (0..).zip(&state.holders[..self.stripes as usize]);
        stripes.filter(|(_, holder)| **holder == Some(slot)).map(|(stripe, _)| stripe).collect()
    }

    /// Frees a lock held by `slot`.
    pub(crate) fn unlock(&self, index: u32, slot: u32) {
        let mut state = self.state();
        if state.holders[index as usize] == Some(slot) {
            state.holders[index as usize] = None;
            let sleepers = state.waiting.iter().any(|(_, what)| *what == Awaits::Lock(index));
            drop(state);
            if sleepers {
                self.released.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::hash_table::HashTable;
    use crate::locking::{Awaited, Deadline};
    use crate::shm::Shm;

    #[test]
    fn a_ring_of_threads_is_found_when_it_closes() {
        let shm = Shm::create_unique("posix:/netshm-local.XXXXXX", 0o600).unwrap();
        shm.name().unlink().unwrap();
        let table: HashTable<u64, u64> = HashTable::options().manage(shm).unwrap();
        let store = &*table.handle().store;
        let locks = LocalLocks::new(3, 0);
        let barrier = Barrier::new(3);
        let take = |index, slot| {
            let deadline = Deadline::none();
            locks.lock(store, index, slot, || Ok(()), || deadline.wait(Awaited::Stripe(index)))
        };
        // Each has one and wants the next one's.
        let run = &|slot: u32| {
            take(slot, slot).unwrap();
            barrier.wait();
            let next = (slot + 1) % 3;
            let outcome = take(next, slot);
            locks.unlock(slot, slot);
            locks.unlock(next, slot);
            outcome
        };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let threads = [0, 1, 2].map(|slot| scope.spawn(move || run(slot)));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let deadlocks: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(matches!(deadlocks[..], [Error::Deadlock { .. }]), "{outcomes:?}");
    }
}
