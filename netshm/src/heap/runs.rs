//! The run heap: pages for chunks, index segments, large records and logs.
//!
//! It belongs to the meta stripe: all its changes are meta changes, with a log of their own.

use super::{Block, BlockFormat, Memory, allocate, find, insert, join};
use crate::error::{Error, Result};
use crate::layout::run::{RUN_HEADER, RunAt, RunHead, Use};
use crate::layout::{Geometry, Offset, StripeAt, WORD, round_up};

/// Growth beyond what is needed: a part of the object's size, within these limits in bytes. Writers wait for the system to clear
/// so much memory.
const GROW_PART: u64 = 16;
const GROW_LEAST: u64 = 16 << 10;
const GROW_MOST: u64 = 1 << 20;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    meta: StripeAt,
    pagesize: u64,
}

impl Runs {
    pub(crate) fn of(geometry: &Geometry) -> Self {
        Runs { meta: geometry.stripe(geometry.meta()), pagesize: geometry.pagesize }
    }

    /// Returns where the end of the managed area is noted.
    pub(crate) fn end(self) -> Offset {
        self.meta.top()
    }

    /// Returns whether there is a run for `bytes` of content without growing.
    pub(crate) fn fits(self, memory: &impl Memory, bytes: u64) -> Result<bool> {
        Ok(find(memory, self, self.pages(bytes))?.is_some())
    }

    fn pages(self, bytes: u64) -> u64 {
        bytes.saturating_add(RUN_HEADER).div_ceil(self.pagesize)
    }

    /// Takes a run with room for `bytes` of content: its address. The object grows if it must.
    pub(crate) fn take(self, memory: &mut impl Memory, bytes: u64, content: Use, owner: u32) -> Result<RunAt> {
        let pages = self.pages(bytes);
        let found = match allocate(memory, self, pages)? {
            Some(found) => Some(found),
            None => {
                self.grow(memory, pages)?;
                allocate(memory, self, pages)?
            }
        };
        let Some((at, pages)) = found else {
            return Err(memory.region().corrupt(self.meta.classes().0, "a run just freed is not to be found"));
        };
        let run = RunAt(at);
        memory.init(run.head(), RunHead::new(pages, false, false).0)?;
        memory.init(run.next(), 0)?;
        memory.init(run.release(), 0)?;
        memory.init(run.use_word(), content.word(owner))?;
        memory.init(run.chain_next(), 0)?;
        memory.init(run.chain_previous(), 0)?;
        Ok(run)
    }

    /// Gives a run back.
    pub(crate) fn give_back(self, memory: &mut impl Memory, run: RunAt) -> Result<()> {
        let head = RunHead(memory.load(run.head())?);
        if head.is_free() || head.pages() == 0 {
            return Err(memory.region().corrupt(run.0, "a run to be given back is free already"));
        }
        memory.region().words(run.0, head.pages().saturating_mul(self.pagesize / WORD))?;
        let (at, pages) = join(memory, self, run.0, head.pages())?;
        insert(memory, self, at, pages)
    }

    /// Returns the number of bytes of content in a run.
    pub(crate) fn content_bytes(self, memory: &impl Memory, run: RunAt) -> Result<u64> {
        let pages = RunHead(memory.load(run.head())?).pages();
        memory.region().words(run.0, pages.saturating_mul(self.pagesize / WORD))?;
        Ok((pages * self.pagesize).saturating_sub(RUN_HEADER))
    }

    /// Appends free pages to the managed area: a share of its size, or just what is needed if there is no room for more.
    fn grow(self, memory: &mut impl Memory, pages: u64) -> Result<()> {
        let end = memory.load(self.end())?;
        // Behind the last run lies the head of an empty one, which notes whether that last run is free.
        let limit = (memory.region().geometry().max_size / self.pagesize - 1) * self.pagesize;
        if end > limit || end < memory.region().geometry().data_start() || !end.is_multiple_of(self.pagesize) {
            return Err(memory.region().corrupt(self.end().0, "the end of the managed area is wrong"));
        }
        let needed = pages.saturating_mul(self.pagesize);
        if needed > limit - end {
            let limit = memory.region().geometry().max_size;
            return Err(Error::Full { object: memory.region().name(), limit, needed });
        }
        let spare = ((end - memory.region().geometry().data_start()) / GROW_PART).clamp(GROW_LEAST, GROW_MOST);
        let thrifty = round_up(needed.max(spare), self.pagesize).min(limit - end);
        let grown = match memory.region().grow(end + thrifty + self.pagesize) {
            Err(Error::NoSpace { .. }) if thrifty > needed => {
                memory.region().grow(end + needed + self.pagesize)?;
                needed
            }
            other => other.map(|()| thrifty)?,
        };
        let last = RunHead(memory.load(Offset(end))?);
        memory.init(Offset(end + grown), RunHead::new(0, false, false).0)?;
        memory.write(Offset(end), RunHead::new(grown / self.pagesize, false, last.previous_free()).0)?;
        memory.write(self.end(), end + grown)?;
        self.give_back(memory, RunAt(end))
    }
}

impl BlockFormat for Runs {
    fn lists(self) -> StripeAt {
        self.meta
    }
    fn unit(self) -> u64 {
        self.pagesize
    }
    fn smallest(self) -> u64 {
        1
    }
    fn block(self, head: u64) -> Block {
        let head = RunHead(head);
        Block { units: head.pages(), free: head.is_free(), previous_free: head.previous_free() }
    }
    fn with_previous_free(self, head: u64, free: bool) -> u64 {
        RunHead(head).with_previous_free(free).0
    }
    fn next(self, memory: &impl Memory, at: u64) -> Result<u64> {
        memory.load(RunAt(at).next())
    }
    fn set_next(self, memory: &mut impl Memory, at: u64, next: u64) -> Result<()> {
        memory.write(RunAt(at).next(), next)
    }
    fn set_free(self, memory: &mut impl Memory, at: u64, units: u64, next: u64) -> Result<()> {
        memory.write(Offset(at), RunHead::new(units, true, false).0)?;
        memory.write(RunAt(at).next(), next)
    }
    fn previous(self, at: u64) -> Offset {
        RunAt(at).previous()
    }
    fn is_end(self, _: &impl Memory, _: u64) -> Result<bool> {
        Ok(false)
    }
}
