//! Consistent copies of an object in use.
//!
//! First the runs that are in use are copied without locks, in rounds: what writers have changed meanwhile once more. Then, under all
//! locks, what has changed since, and the words that tie the object together. A run belongs to a stripe as long as the stripe's
//! sequence stays, and so does what is in it.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::fence;
use std::time::Instant;

use super::{Limits, Store, group};
use crate::error::{Error, Result};
use crate::layout::entry;
use crate::layout::header::{DIRTY, ENTRIES_USED, FILE, ID, WATCH};
use crate::layout::run::{Hole, RUN_HEADER, Use};
use crate::layout::{PROCESSES, WORD};
use crate::locking::Deadline;
use crate::os::{file, pause, steps};
use crate::region::no_space;
use crate::sequence::{at_rest, with_care};

/// The greatest number of rounds of copying without locks.
const ROUNDS: u32 = 4;
/// Bytes copied at once.
const PIECE: usize = 1 << 20;

/// A run in use.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
    /// The stripe that it belongs to; `None` for logs and schemas.
    stripe: Option<u32>,
    is_log: bool,
}

/// Words of the object, and where they lie.
type Words = Vec<(u64, Vec<u64>)>;

/// Words to be written to the copy when the locks are free again.
struct Ties {
    front: Words,
    heads: Words,
    /// Places of logs, which get space.
    logs: Vec<(u64, u64)>,
    end: u64,
}

/// A copy that is being made.
struct Copying<'a> {
    store: &'a Store,
    to: BorrowedFd<'a>,
    to_name: &'a Arc<str>,
    /// The sequences of the stripes when their runs were copied.
    copied: Vec<Option<u64>>,
    buffer: Vec<u8>,
}

impl Store {
    /// Copies the object to an empty file. The copy is one of a moment at which no change was under way; it is an object of its own,
    /// which nobody uses and which its storage holds as soon as the file is written back.
    pub(crate) fn copy_to(&self, to: BorrowedFd<'_>, to_name: &Arc<str>, limits: Limits) -> Result<()> {
        self.check_fork()?;
        if group::is_open(self) {
            return Err(Error::InGroup { object: self.name(), wanted: "copy it" });
        }
        let mut copying = Copying { store: self, to, to_name, copied: Vec::new(), buffer: Vec::new() };
        let begin = Instant::now();
        let deadline = group::own_deadline(limits);
        for _ in 0..ROUNDS {
            let round = Instant::now();
            copying.round(&deadline)?;
            if round.elapsed() < begin.elapsed() / 10 {
                break;
            }
        }
        pause::at("a copy has been made without locks");
        let ties = group::read_locked(self, limits, |change| change.at_rest(|| copying.rest()))?;
        copying.finish(ties)
    }
}

impl Copying<'_> {
    /// Copies the runs of all stripes that have changed since they were last copied. No slot is kept meanwhile: there may be only one.
    fn round(&mut self, deadline: &Deadline) -> Result<()> {
        let sequences = self.sequences();
        let list = |slot| self.store.with_meta(slot, deadline, || self.runs());
        let (runs, _) = group::with_slot(self.store, deadline, list)?;
        pause::at("runs are about to be copied without locks");
        self.copy_changed(&runs, &sequences)
    }

    /// Copies, under all locks, what has changed since, and gathers what ties the object together.
    fn rest(&mut self) -> Result<Ties> {
        let sequences = self.sequences();
        let (runs, end) = self.runs()?;
        self.copy_changed(&runs, &sequences)?;
        let logs = runs.iter().filter(|run| run.is_log).map(|run| (run.start, run.end)).collect();
        Ok(Ties { front: self.front()?, heads: self.heads(&runs, end)?, logs, end })
    }

    /// Returns the sequences of all stripes; `None` where a change is under way.
    fn sequences(&self) -> Vec<Option<u64>> {
        let stripes = 0..self.store.all_stripes().end;
        let found = stripes.map(|stripe| self.store.sequence(stripe).value());
        let found = found.map(|value| (value & 1 == 0).then_some(value)).collect();
        // Before what is copied.
        fence(SeqCst);
        found
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        self.store.region().corrupt(offset, what)
    }

    /// Returns all runs in use, and the end of the managed area.
    fn runs(&self) -> Result<(Vec<Run>, u64)> {
        let mut runs = Vec::new();
        let end = self.store.walk_runs(|run, head, end| {
            if head.is_free() {
                return Ok(());
            }
            let word = self.store.region().word(run.use_word().bytes())?.load(Relaxed);
            let Some((content, owner)) = Use::from_word(word) else {
                return Err(self.corrupt(run.0, "a run is of an unknown kind"));
            };
            let stripe = match content {
                Use::Chunk | Use::Segment | Use::Large => Some(owner),
                Use::Log | Use::Schema | Use::Hollow => None,
            };
            runs.push(Run { start: run.0, end, stripe, is_log: content == Use::Log });
            Ok(())
        })?;
        Ok((runs, end))
    }

    /// Copies the runs whose stripes had other sequences when they were last copied.
    fn copy_changed(&mut self, runs: &[Run], sequences: &[Option<u64>]) -> Result<()> {
        let of = |sequences: &[Option<u64>], stripe: u32| sequences.get(stripe as usize).copied().flatten();
        let mut next: Option<(u64, u64)> = None;
        for run in runs {
            let is_there = match run.stripe {
                Some(stripe) => of(sequences, stripe).is_some() && of(sequences, stripe) == of(&self.copied, stripe),
                // The content of a log means nothing, but for what ties it to the next one.
                None => run.is_log,
            };
            if is_there {
                continue;
            }
            next = match next {
                Some((start, end)) if end == run.start => Some((start, run.end)),
                _ => {
                    next.map_or(Ok(()), |(start, end)| self.copy(start, end))?;
                    Some((run.start, run.end))
                }
            };
        }
        next.map_or(Ok(()), |(start, end)| self.copy(start, end))?;
        self.copied = sequences.to_vec();
        Ok(())
    }

    /// Copies bytes from file to file.
    fn copy(&mut self, mut start: u64, end: u64) -> Result<()> {
        self.buffer.resize(PIECE, 0);
        while start < end {
            let piece = &mut self.buffer[..PIECE.min((end - start) as usize)];
            let object = self.store.region().object();
            object.check_descriptors()?;
            let read = file::read_at(object.fd(), piece, start).map_err(|source| Error::Io {
                object: object.name().clone(),
                doing: "read it for a copy",
                source,
            })?;
            if read < piece.len() {
                return Err(self.store.region().corrupt(start, "the object has been truncated"));
            }
            file::write_at(self.to, piece, start)
                .map_err(|source| no_space(self.to_name, piece.len() as u64, source))?;
            start += piece.len() as u64;
            steps::step();
        }
        Ok(())
    }

    fn allocate(&self, start: u64, end: u64) -> Result<()> {
        let bytes = end.saturating_sub(start);
        file::allocate(self.to, start, bytes).map_err(|source| no_space(self.to_name, bytes, source))
    }

    fn words(&self, start: u64, end: u64) -> Result<(u64, Vec<u64>)> {
        let mut words = vec![0; (end.saturating_sub(start) / WORD) as usize];
        let object = self.store.region().object();
        object.check_descriptors()?;
        let read = file::read_at(object.fd(), bytemuck::cast_slice_mut(&mut words), start);
        match read {
            Ok(read) if read == words.len() * 8 => Ok((start, words)),
            Ok(_) => Err(self.corrupt(start, "the object has been truncated")),
            Err(source) => Err(Error::Io { object: object.name().clone(), doing: "read it for a copy", source }),
        }
    }

    /// Returns what lies before the data area, without holes.
    fn front(&self) -> Result<Words> {
        let geometry = self.store.geometry();
        let catalogue = geometry.catalogue();
        let has_catalogue = self.store.field(ENTRIES_USED).load(Relaxed) != 0;
        let first = if has_catalogue { catalogue.end } else { catalogue.start };
        let stripes = geometry.stripes_end(self.store.all_stripes().end);
        Ok(vec![self.words(0, first)?, self.words(catalogue.end, stripes)?])
    }

    /// Returns the heads and ends of the runs.
    fn heads(&self, runs: &[Run], end: u64) -> Result<Words> {
        let region = self.store.region();
        let load = |at: u64, count: u64| {
            region.words(at, count).map(|words| words.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>())
        };
        let mut heads = Vec::with_capacity(runs.len());
        self.store.walk_runs(|run, head, end| {
            if head.is_free() {
                // What is in it is not copied, so that it is a hole.
                let mut words = load(run.0, RUN_HEADER / WORD)?;
                words[3] = Hole::inside(run.0, end).word();
                heads.push((run.0, words));
                heads.push((end - WORD, load(end - WORD, 1)?));
            } else {
                heads.push((run.0, load(run.0, RUN_HEADER / WORD)?));
            }
            Ok(())
        })?;
        for run in runs.iter().filter(|run| run.is_log) {
            heads.push((run.start + RUN_HEADER, load(run.start + RUN_HEADER, 2)?));
        }
        heads.push((end, load(end, 1)?));
        Ok(heads)
    }

    /// Writes what ties the copy together, as of an object that nobody uses.
    fn finish(&self, mut ties: Ties) -> Result<()> {
        self.set_at_rest(&mut ties.front)?;
        for (start, words) in &ties.front {
            self.allocate(*start, start + words.len() as u64 * WORD)?;
        }
        ties.logs.push((ties.end, ties.end + self.store.geometry().pagesize));
        for (start, end) in &ties.logs {
            self.allocate(*start, *end)?;
        }
        for (start, words) in ties.front.iter().chain(&ties.heads) {
            file::write_at(self.to, bytemuck::cast_slice(words), *start)
                .map_err(|source| no_space(self.to_name, ties.end, source))?;
        }
        steps::step();
        Ok(())
    }

    /// Resets what belongs to those that use the object, and gives the copy an id and a place of its own.
    fn set_at_rest(&self, front: &mut Words) -> Result<()> {
        let io = |doing| move |source| Error::Io { object: self.to_name.clone(), doing, source };
        let geometry = self.store.geometry();
        let mut modify = |place: u64, new: &dyn Fn(u64) -> u64| {
            for (start, words) in front.iter_mut() {
                let index = place.checked_sub(*start).map(|offset| (offset / WORD) as usize);
                if let Some(word) = index.and_then(|index| words.get_mut(index)) {
                    *word = new(*word);
                }
            }
        };
        for number in 0..=PROCESSES {
            modify(geometry.process(number).bytes() & !(WORD - 1), &|_| 0);
        }
        for slot in 0..geometry.slots {
            // The owner, and what it waits for.
            modify(geometry.slot(slot).owner().bytes(), &|_| 0);
        }
        // Its free runs are holes. Who opens it first may be a reader, who cannot ask for care.
        let of_copy = if file::holes_take_memory(self.to) { |value| with_care(at_rest(value)) } else { at_rest };
        for stripe in 0..self.store.all_stripes().end {
            // The lock, and the word of waiters for a change.
            modify(geometry.stripe(stripe).lock().bytes(), &|_| 0);
            modify(geometry.stripe(stripe).sequence().bytes(), &of_copy);
        }
        for index in 0..geometry.member_room {
            modify(geometry.entry(index).state().bytes() + entry::WATCH, &|_| 0);
        }
        modify(DIRTY.bytes(), &|_| 0);
        modify(WATCH.bytes(), &|_| 0);
        let random = || file::random().map_err(io("draw a random number for the copy"));
        let id = [random()?, random()?];
        let place = file::place(self.to).map_err(io("look up the file of the copy"))?;
        for (at, words) in [(ID, &id[..]), (FILE, &place)] {
            for (number, word) in (0..).zip(words) {
                modify(at.bytes() + number * WORD, &|_| *word);
            }
        }
        Ok(())
    }
}
