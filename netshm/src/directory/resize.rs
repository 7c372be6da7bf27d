//! Changing an array's length.

use std::sync::atomic::Ordering::Relaxed;

use super::set::store_words;
use super::{Elements, FANOUT, FANOUT_BITS, HIGHEST, child_at, find_chunk};
use crate::error::Result;
use crate::heap::Memory;
use crate::layout::{Offset, StripeAt};
use crate::store::Transaction;

/// Sets the length. Elements beyond it are dropped, so that growing again shows the default.
pub(crate) fn resize(change: &mut Transaction<'_>, elements: Elements, default: &[u64], length: u64) -> Result<()> {
    change.write_all()?;
    let len = change.store().geometry().part().array_len();
    let old = change.load(len)?;
    change.write(len, length)?;
    if length >= old {
        return Ok(());
    }
    let geometry = *change.store().geometry();
    // The first chunk to be dropped, counted over all stripes.
    let chunks = length.div_ceil(1 << elements.bits);
    for (number, stripe) in (0..).zip(geometry.own()) {
        let at = geometry.stripe(stripe);
        let keep = chunks.saturating_sub(number).div_ceil(u64::from(geometry.stripes));
        if keep == 0 {
            for place in [at.buckets(), at.segment(0), at.keys()] {
                change.write(place, 0)?;
            }
            change.free_all(stripe)?;
        } else {
            prune(change, elements, stripe, at, keep)?;
        }
    }
    reset_tail(change, elements, default, length)
}

/// Drops the chunks of a stripe from number `keep` on.
fn prune(change: &mut Transaction<'_>, elements: Elements, stripe: u32, at: StripeAt, keep: u64) -> Result<()> {
    let height = change.load(at.buckets())?;
    if height > HIGHEST {
        return Err(change.region().corrupt(at.buckets().bytes(), "a directory is higher than it can be"));
    }
    let chunks = change.load(at.keys())?;
    // What was scribbled on may go in circles. The number of chunks limits nothing: nodes stay when they lose the last of theirs.
    let nodes = change.store().region().file_size()? / (8 * elements.chunk_words().min(FANOUT));
    let mut pruning = Pruning { elements, stripe, keep, dropped: 0, nodes };
    pruning.prune(change, at.segment(0), height as u32, 0)?;
    change.write(at.keys(), chunks.saturating_sub(pruning.dropped))
}

struct Pruning {
    elements: Elements,
    stripe: u32,
    keep: u64,
    dropped: u64,
    /// The number of nodes and chunks that may still be dropped.
    nodes: u64,
}

impl Pruning {
    /// Prunes the subtree at `link`, of that height, whose first chunk is `first`.
    fn prune(&mut self, change: &mut Transaction<'_>, link: Offset, height: u32, first: u64) -> Result<()> {
        let node = change.load(link)?;
        if node == 0 {
            return Ok(());
        }
        if first >= self.keep {
            change.write(link, 0)?;
            return self.drop_subtree(change, node, height);
        }
        let Some(level) = height.checked_sub(1) else { return Ok(()) };
        let step = 1u64.checked_shl(level * FANOUT_BITS).unwrap_or(0);
        for child in 0..FANOUT {
            let Some(start) = child.checked_mul(step).and_then(|offset| offset.checked_add(first)) else { break };
            // Subtrees that are kept whole need no look.
            if step == 0 || start.checked_add(step).is_none_or(|end| end > self.keep) {
                self.prune(change, Offset::at(child_at(node, child)), level, start)?;
            }
        }
        Ok(())
    }

    fn drop_subtree(&mut self, change: &mut Transaction<'_>, node: u64, height: u32) -> Result<()> {
        let region = change.store().region();
        let Some(nodes) = self.nodes.checked_sub(1) else {
            return Err(region.corrupt(node, "a directory has more nodes than the object has room for"));
        };
        self.nodes = nodes;
        if height == 0 {
            self.dropped += 1;
            if self.elements.dense.is_none() {
                for word in region.words(node.wrapping_add(8), self.elements.chunk_words())? {
                    let record = word.load(Relaxed);
                    if record != 0 {
                        change.free_record(self.stripe, record);
                    }
                }
            }
        } else {
            for word in region.words(node.wrapping_add(8), FANOUT)? {
                let child = word.load(Relaxed);
                if child != 0 {
                    self.drop_subtree(change, child, height - 1)?;
                }
            }
        }
        change.free_record(self.stripe, node);
        Ok(())
    }
}

/// Resets the elements past the new end, in its chunk, to the default.
fn reset_tail(change: &mut Transaction<'_>, elements: Elements, default: &[u64], length: u64) -> Result<()> {
    let region = change.store().region();
    let mut index = length;
    while index & ((1 << elements.bits) - 1) != 0 {
        let spot = elements.spot(region.geometry(), index);
        let at = region.geometry().stripe(spot.stripe);
        let Some(chunk) = find_chunk(region, region.stripe(at), spot.chunk)? else { return Ok(()) };
        let place = spot.place(chunk);
        if elements.dense.is_some() {
            store_words(change, place, default)?;
        } else {
            let record = change.load(Offset::at(place))?;
            if record != 0 {
                change.write(Offset::at(place), 0)?;
                change.free_record(spot.stripe, record);
            }
        }
        index += 1;
    }
    Ok(())
}
