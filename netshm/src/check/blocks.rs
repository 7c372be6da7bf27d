//! The chunks of a stripe, walked block by block.

use std::sync::atomic::Ordering::Relaxed;

use super::Report;
use super::runs::RunMap;
use crate::heap::class_of;
use crate::layout::record::{Head, Lengths, MIN_BLOCK};
use crate::layout::run::{RUN_HEADER, RunAt};
use crate::layout::{CLASSES, WORD};
use crate::region::Region;

/// A chunk with a bit for each word, set where a block begins.
struct Chunk {
    start: u64,
    end: u64,
    used: Vec<u64>,
    free: Vec<u64>,
}

impl Chunk {
    fn new(start: u64, end: u64) -> Self {
        let words = ((end - start) / WORD).div_ceil(64) as usize;
        Chunk { start, end, used: vec![0; words], free: vec![0; words] }
    }

    fn bit(&self, at: u64) -> (usize, u64) {
        let word = (at - self.start) / WORD;
        ((word / 64) as usize, 1 << (word % 64))
    }
}

/// Clears a bit. Returns whether it was set.
fn take(bits: &mut [u64], (word, bit): (usize, u64)) -> bool {
    let there = bits[word] & bit != 0;
    bits[word] &= !bit;
    there
}

/// The blocks of a stripe that nothing has referred to yet.
pub(super) struct Blocks<'a> {
    region: &'a Region,
    stripe: u32,
    /// In the order of their addresses.
    chunks: Vec<Chunk>,
}

impl<'a> Blocks<'a> {
    /// Walks the chunks and the lists of free blocks.
    pub(super) fn read(region: &'a Region, stripe: u32, runs: &mut RunMap<'_>, report: &mut Report) -> Self {
        let mut blocks = Blocks { region, stripe, chunks: Vec::new() };
        let at = region.geometry().stripe(stripe);
        let (top, top_end) = (region.field(at.top()).load(Relaxed), region.field(at.top_end()).load(Relaxed));
        let (mut capacity, mut top_found) = (0, top == top_end);
        for (run, bytes) in runs.take_chain(stripe, report) {
            let (start, end) = (run.content(), run.0 + bytes - WORD);
            if end <= start {
                report.finding(run.0, "a chunk is too small");
                continue;
            }
            capacity += bytes - RUN_HEADER;
            report.overhead += RUN_HEADER + WORD;
            let mut rest = None;
            if top_end == end && (start..end).contains(&top) {
                (rest, top_found) = (Some(top), true);
            }
            let chunk = blocks.walk(run, start, end, rest, report);
            blocks.chunks.push(chunk);
        }
        blocks.chunks.sort_unstable_by_key(|chunk| chunk.start);
        if !top_found {
            report.finding(at.top().bytes(), format!("the free rest of stripe {stripe} lies in none of its chunks"));
        }
        let stored = region.field(at.capacity()).load(Relaxed);
        if stored != capacity {
            report.finding(
                at.capacity().bytes(),
                format!("stripe {stripe} counts {stored} bytes of chunks, has {capacity}"),
            );
        }
        blocks.read_lists(report);
        blocks
    }

    /// Walks one chunk up to its end, or to its untouched rest.
    fn walk(&self, run: RunAt, start: u64, end: u64, rest: Option<u64>, report: &mut Report) -> Chunk {
        let mut chunk = Chunk::new(start, end);
        let (mut at, mut previous) = (start, None);
        let load = |at: u64| self.region.word(at).map_or(0, |word| word.load(Relaxed));
        while at < end {
            if rest == Some(at) {
                report.free += end - at;
                if previous.is_some() {
                    report.finding(at, "a free block lies before the untouched rest of a chunk");
                }
                previous = None;
                break;
            }
            let head = Head(load(at));
            if head.previous_free() != previous.is_some() {
                report.finding(at, "a block does not know whether the one before it is free");
            }
            if previous.is_some_and(|words| load(at - WORD) != words) {
                report.finding(at - WORD, "the size at the end of a free block is wrong");
            }
            let words = if head.is_free() { head.free_words() } else { self.block_words(at, head).unwrap_or(0) };
            if head.is_end() || words < MIN_BLOCK || words > (end - at) / WORD {
                report.finding(at, "a block's size is out of range; the rest of its chunk cannot be checked");
                return chunk;
            }
            let (word, bit) = chunk.bit(at);
            if head.is_free() {
                if previous.is_some() {
                    report.finding(at, "two free blocks lie side by side");
                }
                chunk.free[word] |= bit;
                report.free += words * WORD;
            } else {
                chunk.used[word] |= bit;
            }
            previous = head.is_free().then_some(words);
            at += words * WORD;
        }
        let mark = Head(load(end));
        if !mark.is_end() || mark.pointer() != run.0 || mark.previous_free() != previous.is_some() {
            report.finding(end, "the end of a chunk is not marked as it should be");
        }
        chunk
    }

    /// Returns the words of a used block.
    fn block_words(&self, at: u64, head: Head) -> Option<u64> {
        let lengths = if head.is_long() {
            Lengths::from_long_word(self.region.word(at + WORD).ok()?.load(Relaxed))
        } else {
            head.lengths()
        };
        Some(lengths.words() + head.pad())
    }

    /// Checks the lists of free blocks.
    fn read_lists(&mut self, report: &mut Report) {
        let at = self.region.geometry().stripe(self.stripe);
        let bits = self.region.field(at.classes()).load(Relaxed);
        for class in (0..CLASSES).filter(|class| bits & 1 << class != 0) {
            let (mut block, mut previous) = (self.region.field(at.class(class)).load(Relaxed), 0);
            while block != 0 {
                let listed = self.chunk(block).is_some_and(|chunk| {
                    let bit = chunk.bit(block);
                    take(&mut chunk.free, bit)
                });
                let Ok(words) = self.region.words(block, 2) else { break };
                let head = Head(words[0].load(Relaxed));
                if !listed || class_of(head.free_words()) != class {
                    report
                        .finding(block, format!("list {class} of free blocks of stripe {} leads astray", self.stripe));
                    break;
                }
                if words[1].load(Relaxed) != previous {
                    report.finding(block, "a free block does not lead back to the one before it in its list");
                }
                (previous, block) = (block, head.pointer());
            }
        }
        for chunk in &self.chunks {
            if chunk.free.iter().any(|bits| *bits != 0) {
                report.finding(chunk.start, "a free block of this chunk is in no list");
            }
        }
    }

    fn chunk(&mut self, at: u64) -> Option<&mut Chunk> {
        let index = self.chunks.partition_point(|chunk| chunk.start <= at).checked_sub(1)?;
        Some(&mut self.chunks[index]).filter(|chunk| at < chunk.end && at.is_multiple_of(WORD))
    }

    /// Notes a reference to a block. Returns its bytes, if it is a used one that nothing referred to before.
    pub(super) fn refer(&mut self, at: u64) -> Option<u64> {
        let chunk = self.chunk(at)?;
        let bit = chunk.bit(at);
        let fresh = take(&mut chunk.used, bit);
        let head = Head(self.region.word(at).ok()?.load(Relaxed));
        let words = self.block_words(at, head)?;
        fresh.then_some(words * WORD)
    }

    /// Returns the used blocks that nothing has referred to.
    pub(super) fn used(&self) -> impl Iterator<Item = u64> {
        self.chunks.iter().flat_map(|chunk| {
            let words = chunk.used.iter().zip((chunk.start..).step_by(64 * WORD as usize));
            words.flat_map(|(bits, start)| (0..64).filter(move |i| bits & 1 << i != 0).map(move |i| start + i * WORD))
        })
    }

    /// Reports these as lost.
    pub(super) fn report_lost(&self, report: &mut Report) {
        for at in self.used() {
            let head = Head(self.region.word(at).map_or(0, |word| word.load(Relaxed)));
            let bytes = self.block_words(at, head).unwrap_or(0) * WORD;
            report.lost += bytes;
            report.finding(at, format!("a record of {bytes} bytes is lost"));
        }
    }
}
