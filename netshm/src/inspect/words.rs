//! The words of an object that describe its writers, read from the file.

use std::sync::Arc;
use std::time::Duration;

use super::{Hold, Process, StripeState, Wait, Writer};
use crate::error::{Error, Result};
use crate::layout::header::ID;
use crate::layout::{Geometry, Offset, Offset32, PROCESSES, WORD};
use crate::locking::word::Snapshot as LockSnapshot;
use crate::locking::{Since, waited_for, waits_of};
use crate::log_word::LogState;
use crate::os::clock;
use crate::os::file;
use crate::os::lock::{self, LockKind, bytes};
use crate::sequence::count_in;
use crate::shm::Object;

/// Stripes that are read at once.
const AT_ONCE: u32 = 256;

/// Returns a word of the object; 0 past its end.
pub(super) fn word(object: &Arc<Object>, place: Offset) -> Result<u64> {
    let mut word = [0; WORD as usize];
    read(object, place.bytes(), &mut word)?;
    Ok(u64::from_ne_bytes(word))
}

/// Returns the number that distinguishes the object from all others.
pub(super) fn id(object: &Arc<Object>) -> Result<u128> {
    let [high, low] = [ID, ID.next()].map(|place| word(object, place));
    Ok(u128::from(high?) << 64 | u128::from(low?))
}

fn read(object: &Arc<Object>, place: u64, bytes: &mut [u8]) -> Result<()> {
    object.check_descriptors()?;
    file::read_at(object.fd(), bytes, place).map(drop).map_err(|source| Error::Io {
        object: object.name().clone(),
        doing: "look at it",
        source,
    })
}

/// Bytes of the object from a place on; zeros past its end.
struct Part {
    start: u64,
    bytes: Vec<u8>,
}

impl Part {
    fn read(object: &Arc<Object>, start: u64, end: u64) -> Result<Part> {
        // Between places that follow from a verified header.
        let mut bytes = vec![0; (end - start) as usize];
        read(object, start, &mut bytes)?;
        Ok(Part { start, bytes })
    }

    fn at<const N: usize>(&self, place: u64) -> [u8; N] {
        let from = (place - self.start) as usize;
        self.bytes.get(from..from + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    fn word(&self, place: Offset) -> u64 {
        u64::from_ne_bytes(self.at(place.bytes()))
    }

    fn half(&self, place: Offset32) -> u32 {
        u32::from_ne_bytes(self.at(place.bytes()))
    }
}

/// Content of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SlotWords {
    /// Process number of the owner.
    pub(super) owner: u32,
    pub(super) wait: u32,
    since: Since,
    log: u32,
    /// True if memory is on its way to or from the slot's stripes.
    in_transit: bool,
}

/// Content of a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StripeWords {
    pub(super) holder: Option<u32>,
    has_sleepers: bool,
    sequence: u64,
    keys: u64,
    hidden: u64,
}

/// The words of slots, stripes and process numbers.
pub(super) struct Words {
    /// Process ids by process numbers.
    pids: Vec<u32>,
    pub(super) slots: Vec<SlotWords>,
    pub(super) stripes: Vec<StripeWords>,
    /// The time, in tenths of a second.
    now: u32,
    /// The stripe that guards the memory of the object, in which members have no keys.
    meta: u32,
}

impl Words {
    pub(super) fn read(object: &Arc<Object>, geometry: &Geometry, stripes_used: u32) -> Result<Words> {
        let tables = Part::read(object, geometry.process(0).bytes(), geometry.slot(geometry.slots).owner().bytes())?;
        let slot = |slot: u32| {
            let at = geometry.slot(slot);
            SlotWords {
                owner: tables.half(at.owner()),
                wait: tables.half(at.wait()),
                since: Since(tables.word(at.waits_since())),
                log: entries(tables.word(at.log_word())),
                in_transit: tables.word(at.transit()) != 0 || tables.word(at.release()) != 0,
            }
        };
        let mut stripes = Vec::new();
        let mut first = 0;
        while first < stripes_used {
            let end = stripes_used.min(first + AT_ONCE);
            let table = Part::read(object, geometry.stripe(first).lock().bytes(), geometry.stripe(end).lock().bytes())?;
            stripes.extend((first..end).map(|stripe| {
                let at = geometry.stripe(stripe);
                let lock = LockSnapshot::of(table.half(at.lock()));
                StripeWords {
                    holder: lock.owner().filter(|slot| *slot < geometry.slots),
                    has_sleepers: lock.has_waiters(),
                    sequence: table.word(at.sequence()),
                    keys: table.word(at.keys()),
                    hidden: table.word(at.hidden()),
                }
            }));
            first = end;
        }
        Ok(Words {
            pids: (0..=PROCESSES).map(|number| tables.half(geometry.process(number))).collect(),
            slots: (0..geometry.slots).map(slot).collect(),
            stripes,
            now: clock::tenths(),
            meta: geometry.meta(),
        })
    }

    /// Returns the processes that have a number.
    pub(super) fn processes(&self, object: &Arc<Object>) -> Result<Vec<Process>> {
        object.check_descriptors()?;
        let mut processes = Vec::new();
        for (number, pid) in (0..).zip(&self.pids).skip(1).filter(|(_, pid)| **pid != 0) {
            let byte = bytes::PROCESS + u64::from(number);
            let conflict = lock::ofd_conflict(object.lock_fd(), LockKind::Shared, byte).map_err(|source| {
                Error::Io { object: object.name().clone(), doing: "look whether its writers live", source }
            })?;
            processes.push(Process { number, pid: *pid, is_alive: conflict.is_some() });
        }
        Ok(processes)
    }

    fn process(&self, slot: u32, processes: &[Process]) -> Option<Process> {
        let owner = self.slots.get(slot as usize)?.owner;
        processes.iter().find(|process| process.number == owner).copied()
    }

    /// Returns the stripe that a slot waits for.
    pub(super) fn awaited(&self, slot: u32) -> Option<u32> {
        let words = self.slots.get(slot as usize).filter(|words| words.owner != 0)?;
        waited_for(words.wait).filter(|stripe| (*stripe as usize) < self.stripes.len())
    }

    pub(super) fn wait(&self, slot: u32, stripe: u32, processes: &[Process]) -> Wait {
        Wait {
            stripe,
            slot: Some(slot),
            pid: self.process(slot, processes).map(|process| process.pid),
            waited: Some(self.waited(slot)),
        }
    }

    /// Returns for how long a slot has waited, or had when it last did.
    fn waited(&self, slot: u32) -> Duration {
        let tenths = self.slots.get(slot as usize).map_or(0, |words| words.since.tenths(self.now));
        Duration::from_millis(u64::from(tenths) * 100)
    }

    /// Returns for how long the change under way in a stripe has lasted at least: as long as somebody has waited for its end.
    fn changing_for(&self, stripe: u32, waits: &[Wait]) -> Option<Duration> {
        let sequence = self.stripes.get(stripe as usize)?.sequence;
        let of_change =
            |slot: &u32| self.slots.get(*slot as usize).is_some_and(|words| words.since.is_of_change(sequence));
        let waiters = waits.iter().filter(|wait| wait.stripe == stripe).filter_map(|wait| wait.slot);
        waiters.filter(of_change).map(|slot| self.waited(slot)).max()
    }

    /// Returns whether the owner of a slot lives; one that died in a wait waits for nobody.
    pub(super) fn is_alive(&self, slot: u32, processes: &[Process]) -> bool {
        self.process(slot, processes).is_some_and(|process| process.is_alive)
    }

    pub(super) fn waits(&self, processes: &[Process]) -> Vec<Wait> {
        let alive = (0..self.slots.len() as u32).filter(|slot| self.is_alive(*slot, processes));
        alive.filter_map(|slot| Some(self.wait(slot, self.awaited(slot)?, processes))).collect()
    }

    pub(super) fn wait_counts(&self) -> Vec<u16> {
        self.slots.iter().map(|words| waits_of(words.wait)).collect()
    }

    pub(super) fn holds(&self, processes: &[Process]) -> Vec<Hold> {
        let waits = self.waits(processes);
        let held = (0..).zip(&self.stripes).filter_map(|(stripe, words)| Some((stripe, words.holder?)));
        let hold = |(stripe, slot)| {
            let process = self.process(slot, processes);
            Hold {
                stripe,
                slot: Some(slot),
                pid: process.map(|process| process.pid),
                is_alive: process.is_some_and(|process| process.is_alive),
                is_shared: false,
                held: self.changing_for(stripe, &waits),
            }
        };
        held.map(hold).collect()
    }

    pub(super) fn writers(&self, processes: &[Process]) -> Vec<Writer> {
        let used = (0..).zip(&self.slots).filter(|(_, words)| words.owner != 0);
        let writer = |(slot, words): (u32, &SlotWords)| Writer {
            slot,
            process: self.process(slot, processes),
            log_entries: words.log,
            waits_for: self.awaited(slot),
        };
        used.map(writer).collect()
    }

    pub(super) fn stripes(&self) -> Vec<StripeState> {
        let state = |(number, words): (u32, &StripeWords)| {
            let counts = if number == self.meta { [0; 2] } else { [words.keys, words.hidden] };
            StripeState {
                changes: count_in(words.sequence),
                is_changing: words.sequence & 1 == 1,
                holder: words.holder,
                has_sleepers: words.has_sleepers,
                bindings: counts[0].saturating_add(counts[1]),
                keys: counts[0],
            }
        };
        (0..).zip(&self.stripes).map(state).collect()
    }

    /// Returns whether a dead writer has left something to be undone. What two readings have in common was so when it was asked in
    /// between which processes live.
    pub(super) fn has_remains(&self, again: &Words, processes: &[Process]) -> bool {
        let dead = |slot: u32| {
            let same = self.slots.get(slot as usize).filter(|words| again.slots.get(slot as usize) == Some(words));
            same.is_some() && !self.is_alive(slot, processes)
        };
        let marked = |(one, other): (&StripeWords, &StripeWords)| {
            one.holder == other.holder && one.sequence == other.sequence && one.holder.is_some_and(&dead)
        };
        let left = |slot: u32| {
            let words = &self.slots[slot as usize];
            words.owner != 0 && (words.log != 0 || words.in_transit) && dead(slot)
        };
        self.stripes.iter().zip(&again.stripes).any(marked) || (0..self.slots.len() as u32).any(left)
    }
}

/// Returns the number of entries of a log, by the word that counts them.
fn entries(word: u64) -> u32 {
    LogState(word).entries() as u32
}
