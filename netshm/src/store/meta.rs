//! Meta changes: small changes of their own, under the meta stripe's lock and with its log.
//!
//! They take runs from the run heap and give them back, for slots. The meta lock is a leaf: nothing is waited for
//! while it is held. No word is written by meta changes while the log of a group may name it.

use std::sync::atomic::Ordering::Release;
use std::sync::atomic::fence;

use super::Store;
use super::audit::Audit;
use super::open::Member;
use crate::error::{Error, Result};
use crate::heap::Memory;
use crate::heap::runs::Runs;
use crate::journal::Journal;
use crate::layout::entry::{Entry, REMOVED};
use crate::layout::header::RESERVE;
use crate::layout::run::{Hole, RUN_HEADER, RunAt, Use};
use crate::layout::{LogAt, Offset, RESERVED};
use crate::locking::{Deadline, Mode, Protocol, Request};
use crate::log_word::LogWord;
use crate::os::atomic::{acquire, fence_after_swap};
use crate::os::steps;
use crate::region::Region;

/// A log that is longer than this is cut back to its first segment after use.
pub(super) const KEPT_LOG: u64 = 4096;
/// Log entries that clearing a stripe takes at most, on the way and at the end.
const CLEAR_ENTRIES: u64 = 15;
/// Entries beyond these, for removing several blocks or elements from a full object, if they take less than this part of it.
const REMOVE_ENTRIES: u64 = 512;
const RESERVE_PART: u64 = 64;
/// The least and the greatest size of further log segments, in bytes.
const LEAST_SEGMENT: u64 = 4 << 10;
const MOST_SEGMENT: u64 = 1 << 20;

/// A meta change under way.
pub(super) struct MetaTransaction<'a> {
    store: &'a Store,
    journal: Journal,
    audit: Audit,
}

impl Memory for MetaTransaction<'_> {
    fn region(&self) -> &Region {
        self.store.region()
    }
    fn load(&self, place: Offset) -> Result<u64> {
        Ok(self.region().journalled(place.bytes())?.load(std::sync::atomic::Ordering::Relaxed))
    }
    fn write(&mut self, place: Offset, value: u64) -> Result<()> {
        let old = self.room_for(place)?;
        self.journal.note(self.store.region(), place.bytes(), old, value)?;
        self.init(place, value)
    }
    fn init(&mut self, place: Offset, value: u64) -> Result<()> {
        self.store.note_dirty()?;
        self.audit.store_unlogged(self.store, &self.journal, place.bytes(), 1);
        self.region().journalled(place.bytes())?.store(value, std::sync::atomic::Ordering::Release);
        steps::step();
        Ok(())
    }
    fn log(&mut self, place: Offset) -> Result<()> {
        let old = self.room_for(place)?;
        self.journal.note_untold(self.store.region(), place.bytes(), old)
    }
}

impl MetaTransaction<'_> {
    /// Undoes the change.
    #[cold]
    fn undo(&mut self) -> Result<()> {
        #[cfg(test)]
        super::transaction::fail(self.store)?;
        self.journal.roll_back_to(self.store.region(), 0)
    }

    /// Makes sure that the log has room for an entry, and returns what the word holds.
    fn room_for(&mut self, place: Offset) -> Result<u64> {
        // Not when the change begins, since it may only read.
        self.store.note_dirty()?;
        if !self.journal.has_room() {
            return Err(self.region().corrupt(place.bytes(), "the log of the run heap is full"));
        }
        self.load(place)
    }
}

impl Store {
    /// Runs a meta change on behalf of a slot: committed if it succeeds, undone otherwise.
    pub(super) fn meta<R>(
        &self,
        slot: u32,
        deadline: &Deadline,
        change: impl FnOnce(&mut MetaTransaction<'_>) -> Result<R>,
    ) -> Result<R> {
        let geometry = *self.geometry();
        let stripe = geometry.meta();
        let request = Request { slot, stripe, count: 1, mode: Mode::Exclusive, held: None, deadline };
        self.shared.locks.acquire(self, &request)?;
        let word = geometry.stripe(stripe).top_end();
        let journal = Journal::new(word, geometry.log(geometry.slots));
        let mut meta = MetaTransaction { store: self, journal, audit: Audit::default() };
        meta.audit.begin_runs(self);
        let outcome = self.drop_stray_entries(word).and_then(|()| change(&mut meta));
        let outcome = match outcome {
            Ok(result) => {
                meta.journal.commit(self.region());
                Ok(result)
            }
            Err(error) => match meta.undo() {
                Ok(()) => Err(error),
                Err(error) => {
                    // The lock stays the slot's: whoever needs it next, this thread or another, tries again.
                    self.shared.locks.abandon(self, &request);
                    return Err(error);
                }
            },
        };
        self.shared.locks.release(self, &request);
        outcome
    }

    /// Forgets entries of a log that nobody writes to: damage.
    #[inline]
    fn drop_stray_entries(&self, word: Offset) -> Result<()> {
        let word = LogWord(self.field(word));
        if word.own().entries() != 0 {
            self.note_dirty()?;
            word.clear();
        }
        Ok(())
    }

    /// Runs a meta change that takes a run for `bytes` of content. Memory that dead writers have left is reclaimed before the
    /// object grows.
    fn meta_with_room<R>(
        &self,
        slot: u32,
        deadline: &Deadline,
        bytes: u64,
        mut change: impl FnMut(&mut MetaTransaction<'_>) -> Result<R>,
    ) -> Result<R> {
        let runs = Runs::of(self.geometry());
        let present =
            self.meta(slot, deadline, |meta| if runs.fits(meta, bytes)? { change(meta).map(Some) } else { Ok(None) });
        match present {
            Ok(Some(result)) => return Ok(result),
            // There is none, or no memory for the hole in it; others may have left one with memory.
            Ok(None) | Err(Error::NoSpace { .. }) => {}
            Err(error) => return Err(error),
        }
        self.reclaim(slot, deadline);
        self.meta(slot, deadline, change)
    }

    /// Runs `look` while the run heap is locked.
    pub(super) fn with_meta<R>(&self, slot: u32, deadline: &Deadline, look: impl FnOnce() -> Result<R>) -> Result<R> {
        self.meta(slot, deadline, |_| look())
    }

    /// Takes a run, noted as in transit in the slot.
    pub(super) fn take_run(
        &self,
        slot: u32,
        deadline: &Deadline,
        bytes: u64,
        content: Use,
        owner: u32,
    ) -> Result<RunAt> {
        let transit = self.geometry().slot(slot).transit();
        self.meta_with_room(slot, deadline, bytes, |meta| {
            let run = Runs::of(self.geometry()).take(meta, bytes, content, owner)?;
            let first = meta.load(transit)?;
            meta.init(run.next(), first)?;
            meta.write(transit, run.0)?;
            Ok(run)
        })
    }

    /// Takes a free run with memory that can be given back, noted as in transit in the slot.
    pub(super) fn take_solid(
        &self,
        slot: u32,
        deadline: &Deadline,
        least: u64,
        seconds: u64,
    ) -> Result<Option<(RunAt, Hole)>> {
        let transit = self.geometry().slot(slot).transit();
        self.meta(slot, deadline, |meta| {
            let Some((run, hole)) = Runs::of(self.geometry()).take_solid(meta, least, seconds)? else {
                return Ok(None);
            };
            let first = meta.load(transit)?;
            meta.init(run.next(), first)?;
            meta.write(transit, run.0)?;
            Ok(Some((run, hole)))
        })
    }

    /// Returns how many bytes of free runs have memory, of runs with at least `least` such bytes.
    pub(super) fn solid_bytes(&self, slot: u32, deadline: &Deadline, least: u64) -> Result<u64> {
        self.meta(slot, deadline, |meta| Runs::of(self.geometry()).solid_bytes(meta, least))
    }

    /// Gives back the run that was noted last as in transit.
    pub(super) fn return_run(&self, slot: u32, deadline: &Deadline) -> Result<()> {
        let transit = self.geometry().slot(slot).transit();
        self.meta(slot, deadline, |meta| {
            let run = RunAt(meta.load(transit)?);
            if run.0 == 0 {
                return Ok(());
            }
            let next = meta.load(run.next())?;
            meta.write(transit, next)?;
            Runs::of(self.geometry()).give_back(meta, run)
        })
    }

    /// Gives back the run that was noted last as in transit, whose memory has not gone after all.
    pub(super) fn return_solid(&self, slot: u32, deadline: &Deadline) -> Result<()> {
        let transit = self.geometry().slot(slot).transit();
        self.meta(slot, deadline, |meta| {
            let run = RunAt(meta.load(transit)?);
            meta.write(run.use_word(), Use::Schema.word(0))
        })?;
        self.return_run(slot, deadline)
    }

    /// Gives back the first of the runs to be released; its chain takes its place.
    fn release_run(&self, slot: u32, deadline: &Deadline) -> Result<()> {
        let release = self.geometry().slot(slot).release();
        self.meta(slot, deadline, |meta| {
            let run = RunAt(meta.load(release)?);
            if run.0 == 0 {
                return Ok(());
            }
            let next = meta.load(run.release())?;
            let chained = meta.load(run.chain_next())?;
            if chained == 0 {
                meta.write(release, next)?;
            } else {
                meta.write(RunAt(chained).release(), next)?;
                meta.write(release, chained)?;
            }
            Runs::of(self.geometry()).give_back(meta, run)
        })
    }

    /// Appends a segment to the slot's log, of about the size that the log has.
    pub(super) fn grow_log(&self, slot: u32, deadline: &Deadline, journal: &mut Journal) -> Result<()> {
        if !journal.extend(self.region())? {
            let link = journal.last_link();
            let bytes = (journal.capacity() * 16).clamp(LEAST_SEGMENT, MOST_SEGMENT);
            let outcome = self.meta_with_room(slot, deadline, bytes, |meta| {
                let segment = self.take_segment(meta, bytes, slot)?;
                meta.write(link, segment.0)
            });
            match outcome {
                Err(full @ (Error::Full { .. } | Error::NoSpace { .. })) => self.meta(slot, deadline, |meta| {
                    let segment = meta.load(RESERVE)?;
                    if segment == 0 {
                        return Err(full);
                    }
                    meta.write(RESERVE, 0)?;
                    meta.write(LogAt(segment).link(), 0)?;
                    meta.write(link, segment)
                })?,
                other => other?,
            }
            journal.extend(self.region())?;
        }
        Ok(())
    }

    fn take_segment(&self, meta: &mut MetaTransaction<'_>, bytes: u64, owner: u32) -> Result<LogAt> {
        let runs = Runs::of(self.geometry());
        let run = runs.take(meta, bytes, Use::Log, owner)?;
        let segment = LogAt(run.content());
        let content = runs.content_bytes(meta, run)?;
        meta.init(segment.link(), 0)?;
        meta.init(segment.capacity(), LogAt::capacity_of(content))?;
        Ok(segment)
    }

    /// Stores the text of a schema in place of the present one, on behalf of a slot.
    pub(super) fn write_schema(&self, slot: u32, deadline: &Deadline, schema: &str, hash: u64) -> Result<()> {
        self.meta_announced(slot, deadline, |meta| {
            let runs = Runs::of(self.geometry());
            let run = runs.take(meta, schema.len() as u64, Use::Schema, 0)?;
            let words = self.region().words(run.content(), (schema.len() as u64).div_ceil(8))?;
            meta.audit.store_unlogged(self, &meta.journal, run.content(), words.len() as u64);
            crate::os::copy::store_bytes(words, schema.as_bytes());
            steps::step();
            let part = self.geometry().part();
            let old = meta.load(part.schema_at())?;
            if old >= self.geometry().data_start() {
                runs.give_back(meta, RunAt(old.wrapping_sub(RUN_HEADER)))?;
            }
            meta.write(part.schema_at(), run.content())?;
            meta.write(part.schema_len(), schema.len() as u64)?;
            meta.write(part.schema_hash(), hash)?;
            let version = meta.load(part.schema_version())?;
            meta.write(part.schema_version(), version.wrapping_add(1))
        })
    }

    /// Writes an entry of the catalogue, with the member's schema and default value, and makes it count.
    #[expect(clippy::too_many_arguments, reason = "all of it belongs to one change")]
    pub(super) fn write_member(
        &self,
        slot: u32,
        deadline: &Deadline,
        index: u32,
        mut entry: Entry,
        counts: [(Offset, u64); 3],
        schema: &[u8],
        default: &[u64],
    ) -> Result<()> {
        let transit = self.geometry().slot(slot).transit();
        let before = self.field(transit).load(std::sync::atomic::Ordering::Relaxed);
        let mut taken = 0;
        let mut take = |bytes: &[u8]| {
            let run = self.take_run(slot, deadline, bytes.len() as u64, Use::Schema, 0)?;
            taken += 1;
            // The run is filled only when it is known to be on its way.
            fence(Release);
            let words = self.region().words(run.content(), (bytes.len() as u64).div_ceil(8))?;
            crate::os::copy::store_bytes(words, bytes);
            steps::step();
            Ok(run.content())
        };
        let written = take(schema).and_then(|at| {
            entry.schema[0] = at;
            entry.default_at = if default.is_empty() { 0 } else { take(bytemuck::cast_slice(default))? };
            self.meta_announced(slot, deadline, |meta| {
                let at = self.geometry().entry(index);
                // Nobody looks at it before it counts.
                for (place, word) in at.words(&entry) {
                    meta.init(place, word)?;
                }
                for (place, count) in counts {
                    meta.write(place, count)?;
                }
                self.inherit_care(entry.first..entry.first + entry.stripes);
                meta.write(transit, before)?;
                meta.write(at.state(), entry.state)
            })
        });
        if written.is_err() {
            for _ in 0..taken {
                self.return_run(slot, deadline)?;
            }
        }
        if written.is_ok() {
            fence_after_swap();
            self.tell_object();
        }
        written
    }

    /// Changes the state of a member's entry. One that is removed gives back its schema and its default value.
    pub(super) fn set_member_state(&self, slot: u32, deadline: &Deadline, member: &Member, state: u64) -> Result<()> {
        let Some(index) = member.index else { return Ok(()) };
        self.meta_announced(slot, deadline, |meta| {
            if state == REMOVED {
                let schema = meta.load(member.geometry.part().schema_at())?;
                for content in [Some(schema), member.default_run()].into_iter().flatten() {
                    Runs::of(self.geometry()).give_back(meta, RunAt(content.wrapping_sub(RUN_HEADER)))?;
                }
            }
            meta.write(self.geometry().entry(index).state(), state)
        })
    }

    /// Returns the state and id of an entry of the catalogue that is, or has been, in use.
    pub(super) fn entry_state(&self, index: u32) -> [u64; 2] {
        let state = self.geometry().entry(index).state();
        [state, state.next()].map(|place| acquire(self.field(place)))
    }

    /// Makes a meta change of words that are read without the lock, those of schemas and of the catalogue: the sequence is odd
    /// meanwhile, and other meta changes do not touch them (see `open::header`).
    fn meta_announced(
        &self,
        slot: u32,
        deadline: &Deadline,
        change: impl FnOnce(&mut MetaTransaction<'_>) -> Result<()>,
    ) -> Result<()> {
        let sequence = self.sequence(self.geometry().meta());
        self.meta(slot, deadline, |meta| {
            self.note_dirty()?;
            sequence.begin_change();
            let outcome = change(meta);
            match outcome {
                // Made final here, so that it is before readers may trust it.
                Ok(()) => meta.journal.commit(self.region()),
                Err(_) => meta.undo()?,
            }
            sequence.end_change();
            outcome
        })
    }

    /// Sets a larger log segment apart, for clearing `stripes` stripes.
    pub(super) fn widen_reserve(&self, slot: u32, stripes: u32, deadline: &Deadline) -> Result<()> {
        let entries = self.reserved_entries(stripes);
        self.meta(slot, deadline, |meta| {
            let old = meta.load(RESERVE)?;
            let segment = self.take_segment(meta, LogAt::bytes_for(entries), RESERVED)?;
            meta.write(RESERVE, segment.0)?;
            if old != 0 {
                Runs::of(self.geometry()).give_back(meta, RunAt(old.wrapping_sub(RUN_HEADER)))
            } else {
                Ok(())
            }
        })
    }

    /// Returns the entries of the log segment that is set apart in an object whose members have at most `stripes` stripes.
    fn reserved_entries(&self, stripes: u32) -> u64 {
        let more = REMOVE_ENTRIES.min(self.geometry().max_size / RESERVE_PART / LogAt::ENTRY_BYTES);
        u64::from(stripes) * CLEAR_ENTRIES + more
    }

    /// Sets a log segment apart for removing from a full object: with the first segment of a slot, it holds what clearing
    /// every stripe takes, and some entries more.
    pub(super) fn reserve_log(&self, most_stripes: u32, deadline: &Deadline) -> Result<()> {
        if self.field(RESERVE).load(std::sync::atomic::Ordering::Relaxed) != 0 {
            return Ok(());
        }
        let entries = self.reserved_entries(most_stripes);
        // Opening an object waits for no slot: the groups that have them all may be waiting for it to be open. Its creator
        // has it alone.
        let Some(slot) = self.try_slot(deadline)? else { return Ok(()) };
        let outcome = self.meta(slot, deadline, |meta| {
            let segment = self.take_segment(meta, LogAt::bytes_for(entries), RESERVED)?;
            meta.write(RESERVE, segment.0)
        });
        self.give_slot_back(slot);
        outcome
    }

    /// Cuts a log back to its first segment if it has room for more than `kept` entries, the last segment first; the reserved
    /// one goes back to where it belongs in any case.
    ///
    /// The chain is read again: a former owner of the slot, who died, may have left more segments than this one knows.
    pub(super) fn trim_log(&self, slot: u32, deadline: &Deadline, kept: u64) -> Result<()> {
        let geometry = self.geometry();
        let mut journal = Journal::new(geometry.slot(slot).log_word(), geometry.log(slot));
        while journal.extend(self.region())? {}
        for (before, segment) in journal.further_segments() {
            let run = RunAt(segment.0 - RUN_HEADER);
            let reserved = self.region().word(run.use_word().bytes())?.load(std::sync::atomic::Ordering::Relaxed)
                == Use::Log.word(RESERVED);
            if !reserved && journal.capacity() <= kept {
                return Ok(());
            }
            self.meta(slot, deadline, |meta| {
                meta.write(before.link(), 0)?;
                if reserved && meta.load(RESERVE)? == 0 {
                    return meta.write(RESERVE, segment.0);
                }
                Runs::of(self.geometry()).give_back(meta, run)
            })?;
        }
        Ok(())
    }

    /// Settles the runs that a committed or undone change has left in its slot.
    pub(super) fn settle(&self, slot: u32, deadline: &Deadline) -> Result<()> {
        use std::sync::atomic::Ordering::Relaxed;
        let at = self.geometry().slot(slot);
        if self.field(at.adopted()).load(Relaxed) != 0 {
            // Without a log, whose undoing would bring back the one without the other.
            self.meta(slot, deadline, |meta| {
                meta.init(at.transit(), 0)?;
                meta.init(at.adopted(), 0)
            })?;
        }
        while self.field(at.transit()).load(Relaxed) != 0 {
            self.return_run(slot, deadline)?;
        }
        while self.field(at.release()).load(Relaxed) != 0 {
            self.release_run(slot, deadline)?;
        }
        Ok(())
    }
}
