//! Free memory: one algorithm for both heaps.
//!
//! Free blocks are kept in lists by size class, four classes for each doubling, with a bit map of the classes that
//! have one; neighbours that become free are joined through size words at both ends (after M. Masmano and others,
//! "TLSF: a new dynamic memory allocator for real-time systems", 2004, and D. E. Knuth's boundary tags). Every step takes
//! a bounded number of word changes, so that a log of fixed size can undo it.
//!
//! [`runs`] applies it to runs of pages in the whole object, [`records`] to records in the chunks of one stripe.

pub(crate) mod records;
pub(crate) mod runs;

use crate::error::Result;
use crate::layout::{CLASSES, Offset, StripeAt};
use crate::region::Region;

/// Shared memory as a change sees it.
pub(crate) trait Memory {
    /// Returns the object.
    fn region(&self) -> &Region;
    /// Reads a word.
    fn load(&self, place: Offset) -> Result<u64>;
    /// Changes a word, so that it can be undone.
    fn write(&mut self, place: Offset, value: u64) -> Result<()>;
    /// Fills a word whose present content means nothing to anybody.
    fn init(&mut self, place: Offset, value: u64) -> Result<()>;
    /// Makes sure that undoing restores the word, whatever is filled in later.
    fn log(&mut self, place: Offset) -> Result<()>;
}

/// A free block's size in units, and whether blocks around it are free.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) units: u64,
    pub(crate) free: bool,
    pub(crate) previous_free: bool,
}

/// Encoding of a heap's blocks in words.
pub(crate) trait BlockFormat: Copy {
    /// Returns where the lists of free blocks start.
    fn lists(self) -> StripeAt;
    /// Returns the number of bytes in a unit.
    fn unit(self) -> u64;
    /// Returns the smallest block, in units.
    fn smallest(self) -> u64;
    /// Decodes the head word of a block; the size is meaningful for free blocks only.
    fn block(self, head: u64) -> Block;
    /// Returns the head word with the flag for a free previous block changed.
    fn with_previous_free(self, head: u64, free: bool) -> u64;
    /// Returns the next free block of the same class.
    fn next(self, memory: &impl Memory, at: u64) -> Result<u64>;
    /// Changes it.
    fn set_next(self, memory: &mut impl Memory, at: u64, next: u64) -> Result<()>;
    /// Makes `at` the head of a free block, after used ones, with this next one of its class.
    fn set_free(self, memory: &mut impl Memory, at: u64, units: u64, next: u64) -> Result<()>;
    /// Returns where the link to the previous free block of the class lies.
    fn previous(self, at: u64) -> Offset;
    /// Returns whether `at` is after the last block, so that no head lies there.
    fn is_end(self, memory: &impl Memory, at: u64) -> Result<bool>;
}

/// Blocks of the wanted block's own class that are looked at, for one that is large enough.
const TRIES: usize = 8;
/// The same for the last class, which has no upper bound.
const LAST_TRIES: usize = 256;

/// Returns the class of blocks of `units` units: exact below 8 units, then four classes for each doubling.
pub(crate) fn class_of(units: u64) -> u32 {
    if units < 4 {
        return units as u32;
    }
    let log = units.ilog2();
    let class = 4 + (log - 2) * 4 + ((units >> (log - 2)) & 3) as u32;
    class.min(CLASSES - 1)
}

/// Takes a block of at least `units` out of the lists, and returns its address and size. The words that linked it are
/// logged, so its content may be filled in afresh.
pub(crate) fn allocate<S: BlockFormat>(memory: &mut impl Memory, shape: S, units: u64) -> Result<Option<(u64, u64)>> {
    let Some((at, found)) = find(memory, shape, units)? else { return Ok(None) };
    unlink(memory, shape, at, found)?;
    let end = at + found * shape.unit();
    for place in [at, at + 8, at + 16, end - 8] {
        memory.log(Offset::at(place))?;
    }
    if found - units >= shape.smallest() {
        insert(memory, shape, at + units * shape.unit(), found - units)?;
        return Ok(Some((at, units)));
    }
    if !shape.is_end(memory, end)? {
        let head = memory.load(Offset::at(end))?;
        memory.write(Offset::at(end), shape.with_previous_free(head, false))?;
    }
    Ok(Some((at, found)))
}

/// Merges a block that becomes free with its free neighbours, which leave their lists, and returns where the whole lies.
pub(crate) fn join<S: BlockFormat>(memory: &mut impl Memory, shape: S, at: u64, units: u64) -> Result<(u64, u64)> {
    let (mut at, mut units) = (at, units);
    let previous_free = shape.block(memory.load(Offset::at(at))?).previous_free;
    let next = at + units * shape.unit();
    if !shape.is_end(memory, next)? {
        let head = memory.load(Offset::at(next))?;
        let block = shape.block(head);
        if block.free {
            let behind = checked_units(memory, shape, next)?;
            unlink(memory, shape, next, behind)?;
            units += behind;
        } else {
            memory.write(Offset::at(next), shape.with_previous_free(head, true))?;
        }
    }
    if previous_free {
        let before = memory.load(Offset::at(at - 8))?;
        let start = before.checked_mul(shape.unit()).and_then(|bytes| at.checked_sub(bytes)).unwrap_or(0);
        let block = shape.block(memory.load(Offset::at(start))?);
        if !block.free || block.units != before {
            return Err(memory.region().corrupt(at - 8, "the size at the end of a free block is wrong"));
        }
        unlink(memory, shape, start, before)?;
        at = start;
        units += before;
    }
    Ok((at, units))
}

/// Puts a free block into its list. Its neighbours must not be free, and the next one must know.
pub(crate) fn insert<S: BlockFormat>(memory: &mut impl Memory, shape: S, at: u64, units: u64) -> Result<()> {
    let lists = shape.lists();
    let class = class_of(units);
    let bits = memory.load(lists.classes())?;
    let first = if bits & 1 << class == 0 { 0 } else { memory.load(lists.class(class))? };
    shape.set_free(memory, at, units, first)?;
    memory.write(shape.previous(at), 0)?;
    memory.write(Offset::at(at + units * shape.unit() - 8), units)?;
    if first == 0 {
        memory.write(lists.classes(), bits | 1 << class)?;
    } else {
        memory.write(shape.previous(first), at)?;
    }
    memory.write(lists.class(class), at)
}

fn find<S: BlockFormat>(memory: &impl Memory, shape: S, units: u64) -> Result<Option<(u64, u64)>> {
    let lists = shape.lists();
    let bits = memory.load(lists.classes())?;
    let own = class_of(units);
    if bits & 1 << own != 0 {
        let mut at = memory.load(lists.class(own))?;
        for _ in 0..if own == CLASSES - 1 { LAST_TRIES } else { TRIES } {
            let found = checked_units(memory, shape, at)?;
            if found >= units {
                return Ok(Some((at, found)));
            }
            at = shape.next(memory, at)?;
            if at == 0 {
                break;
            }
        }
    }
    let larger = bits & !(u64::MAX >> (63 - own));
    if larger == 0 {
        return Ok(None);
    }
    let at = memory.load(lists.class(larger.trailing_zeros()))?;
    let found = checked_units(memory, shape, at)?;
    if found < units {
        return Err(memory.region().corrupt(at, "a free block is in the list of another size"));
    }
    Ok(Some((at, found)))
}

/// Returns the size of a block that a list claims to be free.
fn checked_units<S: BlockFormat>(memory: &impl Memory, shape: S, at: u64) -> Result<u64> {
    let block = shape.block(memory.load(Offset::at(at))?);
    if !block.free || block.units < shape.smallest() {
        return Err(memory.region().corrupt(at, "a block in a list of free blocks is in use, or too small"));
    }
    memory.region().words(at, block.units.saturating_mul(shape.unit() / 8))?;
    Ok(block.units)
}

fn unlink<S: BlockFormat>(memory: &mut impl Memory, shape: S, at: u64, units: u64) -> Result<()> {
    let lists = shape.lists();
    let class = class_of(units);
    let next = shape.next(memory, at)?;
    let previous = memory.load(shape.previous(at))?;
    if next != 0 {
        memory.write(shape.previous(next), previous)?;
    }
    if previous != 0 {
        shape.set_next(memory, previous, next)
    } else if next != 0 {
        memory.write(lists.class(class), next)
    } else {
        let bits = memory.load(lists.classes())?;
        memory.write(lists.classes(), bits & !(1 << class))
    }
}

#[cfg(test)]
mod tests {
    use super::class_of;

    #[test]
    fn classes_grow_with_size() {
        assert_eq!((1..8).map(class_of).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
        let mut last = 0;
        for units in 1..1 << 20 {
            let class = class_of(units);
            assert!(class == last || class == last + 1, "class {class} of {units} after {last}");
            last = class;
        }
        assert_eq!(last, 63);
    }
}
