//! The heap of one stripe: records, carved from chunks.
//!
//! A chunk is a run of pages: blocks without gaps, then an end mark that leads back to the chunk. The untouched rest of
//! the newest chunk, from `top` to `top_end`, is used up from its start; every other free block is in a list.

use super::{Block, BlockFormat, Memory, allocate, insert, join};
use crate::error::{Error, Result};
use crate::layout::record::{Head, LARGE, Lengths, MIN_BLOCK};
use crate::layout::run::{RUN_HEADER, RunAt, Use};
use crate::layout::{Geometry, Offset, StripeAt, WORD, round_up};

/// A chunk is this part of what its stripe has already, within these limits in bytes.
const CHUNK_PART: u64 = 8;
const CHUNK_LEAST: u64 = 1 << 10;
const CHUNK_MOST: u64 = 64 << 10;

/// Services that the heap of a stripe needs from above: runs from the run heap.
pub(crate) trait RunSource: Memory {
    /// Takes a run with room for `bytes` of content, and returns its address. Undoing the change gives it back.
    fn take_run(&mut self, bytes: u64, content: Use, owner: u32) -> Result<RunAt>;
    /// Gives a run back, with all that follow it in its chain, once the change is committed. Part of the change's end.
    fn release_chain(&mut self, first: RunAt) -> Result<()>;
    /// Returns the number of bytes of content in a run.
    fn content_bytes(&self, run: RunAt) -> Result<u64>;
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Records {
    stripe: StripeAt,
    number: u32,
    pagesize: u64,
}

impl Records {
    pub(crate) fn of(geometry: &Geometry, stripe: u32) -> Self {
        Records { stripe: geometry.stripe(stripe), number: stripe, pagesize: geometry.pagesize }
    }

    /// Takes room for a record; returns its address and the head to be stored there. The rest of it may be filled in afresh.
    pub(crate) fn take<M: RunSource>(self, memory: &mut M, lengths: Lengths, older: u64) -> Result<(u64, Head)> {
        let words = lengths.words();
        if lengths.is_large() {
            let run = self.take_run(memory, words * WORD, Use::Large)?;
            return Ok((run.content(), Head::record(lengths, 0, older)));
        }
        let units = words.max(MIN_BLOCK);
        let (at, got) = match allocate(memory, self, units)? {
            Some(found) => found,
            None => self.cut_from_top(memory, units)?,
        };
        Ok((at, Head::record(lengths, got - words, older)))
    }

    /// Returns the lengths of the record at `at`, which lies inside the object.
    pub(crate) fn lengths(memory: &impl Memory, at: u64, head: Head) -> Result<Lengths> {
        let lengths =
            if head.is_long() { Lengths::from_long_word(memory.load(Offset::at(at + WORD))?) } else { head.lengths() };
        memory.region().words(at, lengths.words() + head.pad())?;
        Ok(lengths)
    }

    /// Gives the block of a record back. Only for a change's end: the block is used again at once.
    pub(crate) fn give_back<M: RunSource>(self, memory: &mut M, at: u64) -> Result<()> {
        let head = Head(memory.load(Offset::at(at))?);
        if head.is_free() || head.is_end() {
            return Err(memory.region().corrupt(at, "a record to be given back is free already"));
        }
        let lengths = Self::lengths(memory, at, head)?;
        if lengths.is_large() {
            return self.release_run(memory, RunAt(at - RUN_HEADER));
        }
        let (at, words) = join(memory, self, at, lengths.words() + head.pad())?;
        let end = at + words * WORD;
        if end == memory.load(self.stripe.top())? {
            return memory.write(self.stripe.top(), at);
        }
        let next = Head(memory.load(Offset::at(end))?);
        if next.is_end() && next.pointer() + RUN_HEADER == at {
            let chunk = RunAt(next.pointer());
            let capacity = memory.load(self.stripe.capacity())?;
            memory.write(self.stripe.capacity(), capacity.saturating_sub(memory.content_bytes(chunk)?))?;
            return self.release_run(memory, chunk);
        }
        insert(memory, self, at, words)
    }

    /// Takes a run and enters it into the stripe's chain.
    pub(crate) fn take_run<M: RunSource>(self, memory: &mut M, bytes: u64, content: Use) -> Result<RunAt> {
        let run = memory.take_run(bytes, content, self.number)?;
        let first = memory.load(self.stripe.runs())?;
        memory.init(run.chain_next(), first)?;
        if first != 0 {
            memory.write(RunAt(first).chain_previous(), run.0)?;
        }
        memory.write(self.stripe.runs(), run.0)?;
        Ok(run)
    }

    /// Takes a run out of the stripe's chain, to be given back at the change's end.
    pub(crate) fn release_run<M: RunSource>(self, memory: &mut M, run: RunAt) -> Result<()> {
        let next = memory.load(run.chain_next())?;
        let previous = memory.load(run.chain_previous())?;
        let link = if previous == 0 { self.stripe.runs() } else { RunAt(previous).chain_next() };
        if memory.load(link)? != run.0 {
            return Err(memory.region().corrupt(run.0, "the chain of a stripe's runs is broken"));
        }
        memory.write(link, next)?;
        if next != 0 {
            memory.write(RunAt(next).chain_previous(), previous)?;
        }
        memory.write(run.chain_next(), 0)?;
        memory.release_chain(run)
    }

    /// Cuts a block from the untouched rest of the newest chunk, or from a new chunk.
    fn cut_from_top<M: RunSource>(self, memory: &mut M, units: u64) -> Result<(u64, u64)> {
        let (mut top, mut end) = (memory.load(self.stripe.top())?, memory.load(self.stripe.top_end())?);
        if top > end {
            return Err(memory
                .region()
                .corrupt(self.stripe.top().bytes(), "a stripe's free rest ends before its start"));
        }
        if (end - top) / WORD < units {
            self.retire_top(memory, top, end)?;
            (top, end) = self.new_chunk(memory, units)?;
        }
        let rest = (end - top) / WORD - units;
        // A rest too small for a free block goes with the record.
        let got = if rest < MIN_BLOCK { units + rest } else { units };
        memory.write(self.stripe.top(), top + got * WORD)?;
        Ok((top, got))
    }

    fn retire_top<M: RunSource>(self, memory: &mut M, top: u64, end: u64) -> Result<()> {
        if top == end {
            return Ok(());
        }
        memory.write(self.stripe.top(), end)?;
        let mark = Head(memory.load(Offset::at(end))?);
        memory.write(Offset::at(end), mark.with_previous_free(true).0)?;
        insert(memory, self, top, (end - top) / WORD)
    }

    fn new_chunk<M: RunSource>(self, memory: &mut M, units: u64) -> Result<(u64, u64)> {
        let capacity = memory.load(self.stripe.capacity())?;
        let least = round_up(CHUNK_LEAST, self.pagesize) - RUN_HEADER;
        let bytes = (capacity / CHUNK_PART).clamp(least, CHUNK_MOST - RUN_HEADER).max((units + 1) * WORD);
        let chunk = match self.take_run(memory, bytes, Use::Chunk) {
            Err(Error::Full { .. } | Error::NoSpace { .. }) => self.take_run(memory, (units + 1) * WORD, Use::Chunk)?,
            other => other?,
        };
        let content = memory.content_bytes(chunk)?;
        let (top, end) = (chunk.content(), chunk.content() + content - WORD);
        memory.init(Offset::at(end), Head::end_of_chunk(chunk.0).0)?;
        memory.write(self.stripe.capacity(), capacity.wrapping_add(content))?;
        memory.write(self.stripe.top_end(), end)?;
        Ok((top, end))
    }

    /// Forgets everything, and returns the first of the stripe's runs, all of which are to be released.
    pub(crate) fn clear<M: RunSource>(self, memory: &mut M) -> Result<Option<RunAt>> {
        let first = memory.load(self.stripe.runs())?;
        let at = self.stripe;
        for place in [at.runs(), at.capacity(), at.classes(), at.top(), at.top_end()] {
            memory.write(place, 0)?;
        }
        Ok((first != 0).then_some(RunAt(first)))
    }
}

impl BlockFormat for Records {
    fn lists(self) -> StripeAt {
        self.stripe
    }
    fn unit(self) -> u64 {
        WORD
    }
    fn smallest(self) -> u64 {
        MIN_BLOCK
    }
    fn block(self, head: u64) -> Block {
        let head = Head(head);
        Block { units: head.free_words(), free: head.is_free(), previous_free: head.previous_free() }
    }
    fn with_previous_free(self, head: u64, free: bool) -> u64 {
        Head(head).with_previous_free(free).0
    }
    fn next(self, memory: &impl Memory, at: u64) -> Result<u64> {
        Ok(Head(memory.load(Offset::at(at))?).pointer())
    }
    fn set_next(self, memory: &mut impl Memory, at: u64, next: u64) -> Result<()> {
        let head = Head(memory.load(Offset::at(at))?);
        memory.write(Offset::at(at), head.with_pointer(next).0)
    }
    fn set_free(self, memory: &mut impl Memory, at: u64, units: u64, next: u64) -> Result<()> {
        memory.write(Offset::at(at), Head::free(units, next).0)
    }
    fn previous(self, at: u64) -> Offset {
        Offset::at(at.wrapping_add(WORD))
    }
    fn is_end(self, memory: &impl Memory, at: u64) -> Result<bool> {
        Ok(at == memory.load(self.stripe.top())?)
    }
}

const _: () = assert!((LARGE + 3) * WORD < CHUNK_MOST);
