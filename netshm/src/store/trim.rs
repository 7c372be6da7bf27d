//! Giving the memory of free runs back to the system, so that they are holes of the file.
//!
//! A run leaves the lists first, noted in the slot as one whose memory goes. Only then is the hole made, without a lock. Whoever puts
//! the run back into the lists, be it after a death, notes all of it as a hole; and whoever takes it, gives it memory first.
//! On a tmpfs even reading a hole takes memory, and raises SIGBUS if there is none. So nobody may be reading what the run held: see
//! `Store::trim`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::open::while_nobody_opens;
use super::{Limits, Store, group};
use crate::error::{Error, Result};
use crate::locking::Deadline;
use crate::os::{pause, steps};

/// The least that is given back of one run, in bytes.
const LEAST: u64 = 4 << 10;
/// Least memory, in bytes, that is given back unasked, and the least part of the object.
const MUCH: u64 = 4 << 20;
const MUCH_PART: u64 = 4;
/// Number of runs that are on their way at once.
const AT_ONCE: usize = 64;
/// Seconds for which a run must have been free before its memory is given back beside others.
const LIVE_AFTER: u64 = if cfg!(test) { 0 } else { 10 };
/// Time between two searches for such runs.
const PERIOD: Duration = if cfg!(test) { Duration::from_millis(10) } else { Duration::from_secs(1) };

impl Store {
    /// Gives the memory of free runs back, after `compact` has freed what it can; returns the bytes. Nobody else may use the object.
    pub(crate) fn trim(&self, limits: Limits, compact: impl FnOnce() -> Result<()>) -> Result<u64> {
        self.check_fork()?;
        if group::is_open(self) {
            return Err(Error::InGroup { object: self.name(), wanted: "trim it" });
        }
        let in_use = || Error::InUse { object: self.name(), wanted: "trim it" };
        drop(Alone::of(self)?.ok_or_else(in_use)?);
        compact()?;
        let deadline = group::own_deadline(limits);
        let solid = |slot| {
            self.reclaim(slot, &deadline);
            self.solid_bytes(slot, &deadline, LEAST)
        };
        if group::with_slot(self, &deadline, solid)? == 0 {
            return Ok(0);
        }
        self.ask_for_care(limits)?;
        group::with_slot(self, &deadline, |slot| {
            while_nobody_opens(self.region().object(), &deadline, || {
                let _alone = Alone::of(self)?.ok_or_else(in_use)?;
                self.reclaim(slot, &deadline);
                self.give_memory_back(slot, &deadline, 0)
            })
        })
    }

    /// Gives memory back if much is free. Nobody else uses the object, and nobody can begin to.
    pub(super) fn trim_if_much(&self, deadline: &Deadline) -> Result<()> {
        let Some(slot) = self.try_slot(deadline)? else { return Ok(()) };
        let outcome = self.solid_bytes(slot, deadline, LEAST).and_then(|bytes| {
            let is_much = bytes >= MUCH && bytes >= self.region().file_size()? / MUCH_PART;
            if !is_much {
                return Ok(());
            }
            if self.region().holes_take_memory() {
                self.set_care(true);
            }
            self.give_memory_back(slot, deadline, 0).map(drop)
        });
        self.give_slot_back(slot);
        outcome
    }

    /// Works like [`trim_if_much`](Self::trim_if_much) when the last handle of this process is closed, unless others use the
    /// object.
    pub(super) fn trim_at_close(&self) {
        let is_possible = !self.region().object().read_only()
            && self.check_fork().is_ok()
            && !thread::panicking()
            && !group::is_open(self)
            && self.known_number().is_some();
        if !is_possible {
            return;
        }
        if let Ok(Some(_alone)) = Alone::of(self) {
            // Without waiting: others may be about to open the object.
            let _ = self.trim_if_much(&Deadline::within(Some(Duration::ZERO)));
        }
    }

    /// Starts a thread that gives memory back beside others, unless there is one.
    pub(super) fn give_back_live(&self) -> Result<()> {
        if self.region().object().read_only() || self.shared.gives_back.swap(true, Relaxed) {
            return Ok(());
        }
        let shared = Arc::downgrade(&self.shared);
        let work = move || {
            // When all others were found to read with care for the first time.
            let mut careful_since = None;
            loop {
                thread::sleep(PERIOD);
                // Not kept while it sleeps: the object is closed with its last handle.
                let Some(shared) = shared.upgrade() else { return };
                let store = Store::of(&shared, None);
                drop(shared);
                // Others may be at work, or the object is damaged; then it is tried again.
                let _ = store.trim_carefully(&mut careful_since);
            }
        };
        thread::Builder::new().name("netshm-memory".to_owned()).spawn(work).map(drop).map_err(|source| {
            self.shared.gives_back.store(false, Relaxed);
            Error::Io { object: self.name(), doing: "start a thread that gives memory back", source }
        })
    }

    /// Gives back the memory of runs that have been free for long, once those who began to read without care had as much time to end.
    fn trim_carefully(&self, careful_since: &mut Option<Instant>) -> Result<u64> {
        let limits = Limits { lock_timeout: Some(Duration::from_secs(1)) };
        self.check_fork()?;
        if !self.ask_for_care(limits)? {
            *careful_since = None;
        }
        let since = careful_since.get_or_insert_with(Instant::now);
        if since.elapsed() < Duration::from_secs(LIVE_AFTER) {
            return Ok(0);
        }
        self.trim_beside_others(LIVE_AFTER)
    }

    /// Gives back the memory of runs that have been free for `seconds`, while others use the object.
    fn trim_beside_others(&self, seconds: u64) -> Result<u64> {
        self.check_fork()?;
        let deadline = Deadline::within(Some(Duration::from_secs(1)));
        let Some(slot) = self.try_slot(&deadline)? else { return Ok(0) };
        let outcome = self.give_memory_back(slot, &deadline, seconds);
        self.give_slot_back(slot);
        outcome
    }

    /// Gives back the memory of runs that have been free for `seconds`.
    pub(super) fn give_memory_back(&self, slot: u32, deadline: &Deadline, seconds: u64) -> Result<u64> {
        let mut given = 0;
        loop {
            let mut taken = Vec::new();
            while taken.len() < AT_ONCE
                && let Some(found) = self.take_solid(slot, deadline, LEAST, seconds)?
            {
                taken.push(found);
            }
            // Each leaves one run less with memory, so there is an end.
            let is_last = taken.len() < AT_ONCE;
            if !taken.is_empty() && !self.region().is_in_memory() {
                // A hole reaches storage by itself: not before what says that nothing is there.
                self.region().flush()?;
            }
            // The one noted last is the first to be given back.
            while let Some((run, hole)) = taken.pop() {
                debug_assert_eq!(self.field(self.geometry().slot(slot).transit()).load(Relaxed), run.0);
                pause::at("a run is about to become a hole");
                let punched = self.region().punch(hole.start, hole.end);
                steps::step();
                if let Ok(None) = punched {
                    self.return_solid(slot, deadline)?;
                    for _ in taken {
                        self.return_solid(slot, deadline)?;
                    }
                    return Ok(given);
                }
                self.return_run(slot, deadline)?;
                given += punched?.unwrap_or(0);
            }
            if is_last {
                return Ok(given);
            }
        }
    }
}

/// The use of an object by this process alone, until dropped.
struct Alone<'a>(&'a Store);

impl Alone<'_> {
    fn of(store: &Store) -> Result<Option<Alone<'_>>> {
        store.region().object().check_descriptors()?;
        let outcome = store.shared.claim.exclude_others();
        let alone = outcome.map_err(|source| Error::Io { object: store.name(), doing: "look who uses it", source })?;
        Ok(alone.then_some(Alone(store)))
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // If this fails, others wait until the process closes the object.
        let _ = self.0.shared.claim.admit_others();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::hash_table::HashTable;
    use crate::os::clock::tests::pass;
    use crate::os::fork::tests::{Child, stop_here};
    use crate::testing::Scratch;

    type Texts = HashTable<u64, Vec<u8>>;

    impl Scratch {
        fn given_back(&self, live: bool) -> Texts {
            Texts::options().give_back_live(live).manage(self.open()).unwrap()
        }
    }

    fn fill(table: &Texts) {
        (0..100).for_each(|key| table.add(&key, &vec![1; 100_000]).unwrap());
    }

    fn allocated(table: &Texts) -> u64 {
        table.stats().unwrap().allocated
    }

    /// Starts another process that has the object open.
    fn other(scratch: &Scratch) -> Child {
        let mut child = Child::start(|| {
            let _table = scratch.given_back(false);
            stop_here();
            0
        });
        assert_eq!(child.wait(), None);
        child
    }

    #[test]
    fn what_gives_nothing_back_lets_readers_be() {
        let scratch = Scratch::new();
        let table = scratch.given_back(false);
        fill(&table);
        let store = &table.handle().store;
        // First what there is, which a process that has the object alone takes back with its care.
        table.shm().trim().unwrap();
        store.set_care(false);
        assert_eq!(table.shm().trim().unwrap(), 0);
        assert!(!store.is_read_with_care());
        table.clear().unwrap();
        assert!(table.shm().trim().unwrap() > 0);
        assert_eq!(store.is_read_with_care(), store.region().holes_take_memory());
    }

    #[test]
    fn beside_others_memory_goes_back_when_it_has_been_free_for_long() {
        const LONG: u64 = 1_000_000;
        let scratch = Scratch::new();
        let _other = other(&scratch);
        let table = scratch.given_back(false);
        let store = &table.handle().store;
        fill(&table);
        table.clear().unwrap();
        let full = allocated(&table);
        assert_eq!(store.trim_beside_others(LONG).unwrap(), 0);
        assert_eq!(allocated(&table), full);
        pass(LONG);
        assert!(store.trim_beside_others(LONG).unwrap() > full / 2);
        assert!(allocated(&table) < full / 4);
        fill(&table);
        assert!(table.check().unwrap().is_clean());
    }

    #[test]
    fn beside_others_memory_goes_back_unasked_where_the_risk_is_taken() {
        let scratch = Scratch::new();
        let _other = other(&scratch);
        let table = scratch.given_back(true);
        fill(&table);
        let full = allocated(&table);
        table.clear().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while allocated(&table) > full / 4 {
            assert!(Instant::now() < end, "nothing is given back");
            std::thread::sleep(Duration::from_millis(10));
        }
        fill(&table);
        assert!(table.check().unwrap().is_clean());
    }
}
