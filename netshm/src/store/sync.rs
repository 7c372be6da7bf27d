//! The dirty mark of changes that storage may lack, and writing them back.

use std::time::{Duration, Instant};

use super::{Limits, Store, Transaction, group};
use crate::error::{Error, Result};
use crate::layout::header;
use crate::layout::method::Locking;
use crate::locking::{Awaited, Backoff, Deadline, Mode};
use crate::mark::Mark;
use crate::os::pause;

/// The greatest number of rounds of writing back without locks.
const ROUNDS: u32 = 4;

impl Store {
    /// Returns the dirty mark.
    #[inline(always)]
    pub(super) fn mark(&self) -> Mark<'_> {
        Mark(self.region().header(header::DIRTY))
    }

    /// Notes, durably, that the object differs from its last synchronised state. Called before the first store of every change,
    /// under the lock of what changes. Cheap if the mark is set already.
    ///
    /// Words of locks and owners need no mark, since they mean nothing to another boot.
    #[inline]
    pub(super) fn note_dirty(&self) -> Result<()> {
        if self.mark().is_durable() { Ok(()) } else { self.make_dirty() }
    }

    #[cold]
    fn make_dirty(&self) -> Result<()> {
        self.mark().note(|| self.region().flush_header())
    }

    /// Writes everything back to storage, so that it survives a loss of power.
    pub(crate) fn sync(&self, limits: Limits) -> Result<()> {
        self.check_fork()?;
        if self.region().object().read_only() {
            return Err(Error::ReadOnly { object: self.name(), wanted: "write it back" });
        }
        // First without locks, so that writers wait only for what has changed again meanwhile.
        let begin = Instant::now();
        for _ in 0..ROUNDS {
            let round = Instant::now();
            pause::at("writing back without locks");
            self.region().flush()?;
            if round.elapsed() < begin.elapsed() / 10 {
                break;
            }
        }
        group::read_locked(self, limits, |change| {
            change.at_rest(|| {
                self.region().flush()?;
                self.mark().clear();
                Ok(())
            })
        })?;
        // Writers may go on: whichever mark reaches storage, it is true.
        self.region().flush_header()
    }

    /// Returns whether all slots are settled.
    fn are_settled(&self) -> bool {
        (0..self.geometry().slots).all(|slot| self.is_settled(slot))
    }

    /// Settles all slots, or waits until their owners have. All stripes are held.
    fn settle_all(&self, deadline: &Deadline) -> Result<()> {
        for slot in 0..self.geometry().slots {
            let mut wait = None;
            let mut backoff = Backoff::new(Duration::from_micros(20), Duration::from_millis(5));
            while !self.is_settled(slot) {
                let fate = self.recover_slot_owner(slot)?;
                if self.claim_slot(slot, self.number(deadline)?) {
                    self.settle_foreign(slot, deadline)?;
                    self.give_slot_back(slot);
                } else {
                    let wait = wait.get_or_insert_with(|| deadline.wait(Awaited::Slot));
                    wait.note(fate);
                    wait.check(self, Some(slot))?;
                    backoff.pause(wait);
                }
            }
        }
        Ok(())
    }
}

impl Transaction<'_> {
    /// Locks all stripes against changes.
    fn exclude_writers(&mut self) -> Result<()> {
        match self.store.method() {
            // There, writers do not notice a reader.
            Locking::None => self.lock_all(self.store.all_stripes(), Mode::Exclusive),
            Locking::Record | Locking::Futex => self.read_whole(),
        }
    }

    /// Runs `act` while nothing in the object changes but words of locks and owners.
    pub(super) fn at_rest<R>(&mut self, mut act: impl FnMut() -> Result<R>) -> Result<R> {
        let store = self.store;
        loop {
            // A member may be added as long as the run heap is not locked as well.
            let used = store.region().stripes_used();
            self.exclude_writers()?;
            store.settle_all(self.deadline)?;
            let done = self.with_meta(|| {
                let still = store.are_settled() && store.region().stripes_used() == used;
                if still { act().map(Some) } else { Ok(None) }
            })?;
            if let Some(result) = done {
                return Ok(result);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use crate::error::Error;
    use crate::hash_table::HashTable;
    use crate::layout::header::DIRTY;
    use crate::layout::method::Locking;
    use crate::os::map::tests::{FAILING, FLUSHES};
    use crate::os::{file, pause};
    use crate::shm::Shm;

    type Counts = HashTable<u64, u64>;

    fn with_table(locking: Locking, test: impl FnOnce(Counts)) {
        let shm = Shm::create_unique("posix:/netshm-sync.XXXXXXXX", 0o600).unwrap();
        let name = shm.name().clone();
        test(Counts::options().locking(locking).stripes(4).manage(shm).unwrap());
        name.unlink().unwrap();
    }

    fn mark(table: &Counts) -> u64 {
        let mut bytes = [0; 8];
        file::read_at(table.shm().object().fd(), &mut bytes, DIRTY.bytes()).unwrap();
        u64::from_ne_bytes(bytes)
    }

    #[test]
    fn writers_go_on_while_most_is_written_back() {
        for locking in [Locking::None, Locking::Record, Locking::Futex] {
            with_table(locking, |table| {
                table.add(&0, &0).unwrap();
                let writer = table.clone();
                pause::once_at("writing back without locks", move || {
                    let (done, wait) = channel();
                    thread::spawn(move || {
                        (1..100).for_each(|i| writer.add(&i, &i).unwrap());
                        let _ = done.send(());
                    });
                    wait.recv_timeout(Duration::from_secs(60)).expect("writers are not held up");
                });
                table.sync().unwrap();
                assert_eq!((table.len().unwrap(), mark(&table)), (100, 0));
            });
        }
    }

    #[test]
    fn a_writing_back_that_fails_leaves_the_mark() {
        with_table(Locking::Futex, |table| {
            table.add(&1, &1).unwrap();
            // The first one is without locks, a later one under all of them.
            for ok in 0..3 {
                FAILING.set(Some(ok));
                assert!(matches!(table.sync(), Err(Error::Io { .. })), "{ok}");
                assert_eq!(mark(&table), 1, "{ok}");
                table.replace(&1, &ok).unwrap();
            }
            FAILING.set(None);
            table.sync().unwrap();
            assert_eq!(mark(&table), 0);
            // Nor is a change made whose mark is not in storage.
            FAILING.set(Some(0));
            assert!(matches!(table.replace(&1, &7), Err(Error::Io { .. })));
            assert_eq!((table.find(&1).unwrap(), mark(&table)), (Some(2), 2));
            FAILING.set(None);
            let before = FLUSHES.get();
            table.replace(&1, &8).unwrap();
            assert_eq!((FLUSHES.get() - before, mark(&table)), (1, 1));
        });
    }
}
