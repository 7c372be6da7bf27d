//! The run heap: pages for chunks, index segments, large records and logs.
//!
//! It belongs to the meta stripe: all its changes are meta changes, with a log of their own.

use super::{Block, BlockFormat, Memory, checked_units, class_of, find, insert, join, unlink};
use crate::error::{Error, Result};
use crate::layout::run::{Hole, RUN_HEADER, RunAt, RunHead, Use};
use crate::layout::{CLASSES, Geometry, Offset, StripeAt, WORD, round_up};
use crate::os::clock;

/// Growth beyond what is needed: a part of the object's size, within these limits in bytes. Writers wait for the system to clear
/// that much memory.
const GROW_PART: u64 = 16;
const GROW_LEAST: u64 = 16 << 10;
const GROW_MOST: u64 = 1 << 20;
/// Bytes of a hole that get memory beyond what is needed.
const FILL_AHEAD: u64 = 256 << 10;
/// Free runs of each size class that are looked at for one that is no hole.
const TRIES: usize = 8;

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

    /// Takes a run with room for `bytes` of content, and returns its address. The object grows if it must.
    pub(crate) fn take(self, memory: &mut impl Memory, bytes: u64, content: Use, owner: u32) -> Result<RunAt> {
        let pages = self.pages(bytes);
        let found = match self.allocate(memory, pages)? {
            Some(found) => Some(found),
            None => {
                self.grow(memory, pages)?;
                self.allocate(memory, pages)?
            }
        };
        let Some((at, pages)) = found else {
            return Err(memory.region().corrupt(self.meta.classes().bytes(), "a run just freed is in no list"));
        };
        let run = RunAt(at);
        self.begin_use(memory, run, pages, content.word(owner))?;
        Ok(run)
    }

    fn begin_use(self, memory: &mut impl Memory, run: RunAt, pages: u64, use_word: u64) -> Result<()> {
        memory.init(run.head(), RunHead::new(pages, false, false).0)?;
        memory.init(run.next(), 0)?;
        memory.init(run.release(), 0)?;
        memory.init(run.use_word(), use_word)?;
        memory.init(run.chain_next(), 0)?;
        memory.init(run.chain_previous(), 0)
    }

    /// Takes a free run of at least that many pages out of the lists, and returns its address and size. What of it is a hole
    /// gets memory first, and so does the head of the rest; where there is none, nothing has changed.
    fn allocate(self, memory: &mut impl Memory, pages: u64) -> Result<Option<(u64, u64)>> {
        let Some((at, found)) = self.choose(memory, pages)? else { return Ok(None) };
        let end = at + found * self.pagesize;
        let rest = at + pages * self.pagesize;
        let (hole, since) = (self.hole(memory, at, found)?, memory.load(RunAt(at).since())?);
        let needed = if found > pages { rest + RUN_HEADER } else { end };
        let mut kept = hole;
        if !hole.up_to(needed).is_none() {
            kept = self.fill(memory, hole, needed)?;
        }
        unlink(memory, self, at, found)?;
        self.preserve(memory, at, end)?;
        if found > pages {
            insert(memory, self, rest, found - pages)?;
            memory.init(RunAt(rest).hole(), kept.word())?;
            memory.init(RunAt(rest).since(), since)?;
            return Ok(Some((at, pages)));
        }
        let head = memory.load(Offset::at(end))?;
        memory.write(Offset::at(end), self.with_previous_free(head, false))?;
        Ok(Some((at, found)))
    }

    /// Logs the words that make a run a free one, which are going to be filled.
    fn preserve(self, memory: &mut impl Memory, at: u64, end: u64) -> Result<()> {
        let run = RunAt(at);
        let places = [run.head(), run.next(), run.previous(), run.hole(), run.since(), Offset::at(end - WORD)];
        places.into_iter().try_for_each(|place| memory.log(place))
    }

    /// Finds a free run of at least that many pages, preferably one that needs no new memory.
    fn choose(self, memory: &impl Memory, pages: u64) -> Result<Option<(u64, u64)>> {
        let Some((at, found)) = find(memory, self, pages)? else { return Ok(None) };
        let needs_memory = |at: u64, found: u64| {
            let needed = at + pages * self.pagesize + if found > pages { RUN_HEADER } else { 0 };
            Ok::<_, Error>(!self.hole(memory, at, found)?.up_to(needed).is_none())
        };
        if !needs_memory(at, found)? {
            return Ok(Some((at, found)));
        }
        let bits = memory.load(self.meta.classes())?;
        for class in (class_of(pages)..CLASSES).filter(|class| bits & 1 << class != 0) {
            let mut other = memory.load(self.meta.class(class))?;
            for _ in 0..TRIES {
                let units = checked_units(memory, self, other)?;
                if units >= pages && !needs_memory(other, units)? {
                    return Ok(Some((other, units)));
                }
                other = memory.load(RunAt(other).next())?;
                if other == 0 {
                    break;
                }
            }
        }
        Ok(Some((at, found)))
    }

    /// Returns which part of a free run is a hole.
    fn hole(self, memory: &impl Memory, at: u64, pages: u64) -> Result<Hole> {
        Ok(Hole::from_word(memory.load(RunAt(at).hole())?, at, at + pages * self.pagesize))
    }

    /// Gives a hole memory up to a place, or somewhat more if there is enough; returns what is left of it.
    fn fill(self, memory: &impl Memory, hole: Hole, needed: u64) -> Result<Hole> {
        let part = hole.up_to(needed);
        let more = hole.up_to(needed.saturating_add(FILL_AHEAD));
        match memory.region().fill(more.start, more.end) {
            Err(Error::NoSpace { .. }) if more != part => memory.region().fill(part.start, part.end)?,
            Ok(()) => return Ok(hole.behind(more.end)),
            other => other?,
        }
        Ok(hole.behind(part.end))
    }

    /// Takes a free run out of the lists. At least `least` bytes of it can be given back to the system, and it has been free for
    /// `seconds`. Whoever puts it back notes all of it as a hole.
    pub(crate) fn take_solid(
        self,
        memory: &mut impl Memory,
        least: u64,
        seconds: u64,
    ) -> Result<Option<(RunAt, Hole)>> {
        let now = clock::seconds();
        let Some((at, pages)) =
            self.find_solid(memory, least, |since| seconds == 0 || now.wrapping_sub(since) >= seconds)?
        else {
            return Ok(None);
        };
        let end = at + pages * self.pagesize;
        unlink(memory, self, at, pages)?;
        self.preserve(memory, at, end)?;
        let head = memory.load(Offset::at(end))?;
        memory.write(Offset::at(end), self.with_previous_free(head, false))?;
        self.begin_use(memory, RunAt(at), pages, Use::Hollow.word(0))?;
        Ok(Some((RunAt(at), Hole::inside(at, end))))
    }

    fn find_solid(self, memory: &impl Memory, least: u64, is_old: impl Fn(u64) -> bool) -> Result<Option<(u64, u64)>> {
        let mut found = None;
        self.each_free(memory, least, |run, pages, hole| {
            let gain = Hole::inside(run.0, run.0 + pages * self.pagesize).bytes() - hole.empty_bytes();
            if found.is_none() && gain >= least && is_old(memory.load(run.since())?) {
                found = Some((run.0, pages));
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Returns the bytes of free runs that have memory.
    pub(crate) fn solid_bytes(self, memory: &impl Memory, least: u64) -> Result<u64> {
        let mut sum = 0;
        self.each_free(memory, least, |run, pages, hole| {
            let gain = Hole::inside(run.0, run.0 + pages * self.pagesize).bytes() - hole.empty_bytes();
            sum += if gain >= least { gain } else { 0 };
            Ok(true)
        })?;
        Ok(sum)
    }

    /// Calls `look` with each free run of at least `least` bytes, the largest first, until `look` says that it is enough.
    fn each_free(
        self,
        memory: &impl Memory,
        least: u64,
        mut look: impl FnMut(RunAt, u64, Hole) -> Result<bool>,
    ) -> Result<()> {
        let bits = memory.load(self.meta.classes())?;
        let mut seen = 0;
        for class in (class_of(least / self.pagesize)..CLASSES).rev().filter(|class| bits & 1 << class != 0) {
            let mut at = memory.load(self.meta.class(class))?;
            while at != 0 {
                let pages = checked_units(memory, self, at)?;
                // Lists of a damaged object may be circles.
                seen += pages * self.pagesize;
                if seen > memory.region().known_words() * WORD {
                    return Err(memory.region().corrupt(at, "free runs lead in a circle, or lie in one another"));
                }
                if !look(RunAt(at), pages, self.hole(memory, at, pages)?)? {
                    return Ok(());
                }
                at = memory.load(RunAt(at).next())?;
            }
        }
        Ok(())
    }

    /// Gives a run back.
    pub(crate) fn give_back(self, memory: &mut impl Memory, run: RunAt) -> Result<()> {
        let end = memory
            .load(run.head())
            .map(|head| run.0.saturating_add(RunHead(head).pages().saturating_mul(self.pagesize)))?;
        let is_hollow = matches!(Use::from_word(memory.load(run.use_word())?), Some((Use::Hollow, _)));
        self.give_back_as(memory, run, if is_hollow { Hole::inside(run.0, end) } else { Hole::NONE })
    }

    /// Gives a run back of which a part is a hole.
    fn give_back_as(self, memory: &mut impl Memory, run: RunAt, hole: Hole) -> Result<()> {
        let head = RunHead(memory.load(run.head())?);
        if head.is_free() || head.pages() == 0 {
            return Err(memory.region().corrupt(run.0, "a run to be given back is free already"));
        }
        memory.region().words(run.0, head.pages().saturating_mul(self.pagesize / WORD))?;
        let hole = self.hull(memory, run, head, hole)?;
        let (at, pages) = join(memory, self, run.0, head.pages())?;
        insert(memory, self, at, pages)?;
        memory.write(RunAt(at).hole(), hole.word())?;
        memory.write(RunAt(at).since(), clock::seconds())
    }

    /// Returns the smallest hole that holds that of a run and those of its free neighbours.
    fn hull(self, memory: &impl Memory, run: RunAt, head: RunHead, hole: Hole) -> Result<Hole> {
        let mut hull = hole;
        let next = run.0 + head.pages() * self.pagesize;
        let behind = RunHead(memory.load(Offset::at(next))?);
        if behind.is_free() {
            hull = hull.hull(self.hole(memory, next, checked_units(memory, self, next)?)?);
        }
        if head.previous_free() {
            let pages = memory.load(Offset::at(run.0 - WORD))?;
            // What is wrong with it, `join` says.
            if let Some(start) = pages.checked_mul(self.pagesize).and_then(|bytes| run.0.checked_sub(bytes))
                && start >= memory.region().geometry().data_start()
            {
                hull = hull.hull(self.hole(memory, start, pages)?);
            }
        }
        Ok(hull)
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
            return Err(memory.region().corrupt(self.end().bytes(), "the end of the managed area is wrong"));
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
        let last = RunHead(memory.load(Offset::at(end))?);
        memory.init(Offset::at(end + grown), RunHead::new(0, false, false).0)?;
        memory.write(Offset::at(end), RunHead::new(grown / self.pagesize, false, last.previous_free()).0)?;
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
        memory.write(Offset::at(at), RunHead::new(units, true, false).0)?;
        memory.write(RunAt(at).next(), next)
    }
    fn previous(self, at: u64) -> Offset {
        RunAt(at).previous()
    }
    fn is_end(self, _: &impl Memory, _: u64) -> Result<bool> {
        Ok(false)
    }
}
