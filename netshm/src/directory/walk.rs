//! The chunks of a stripe that exist.

use std::sync::atomic::Ordering::Relaxed;

use super::{FANOUT, FANOUT_BITS, HIGHEST, child_at};
use crate::error::Result;
use crate::layout::StripeAt;
use crate::source::{Source, Stripe};

/// Returns the numbers of the chunks that exist, within their stripe and in no order. `holds` says whether what has been
/// read still counts; if not, the result is arbitrary.
pub(crate) fn chunks_in<'a>(source: impl Source<'a>, at: StripeAt, holds: impl Fn() -> bool) -> Result<Vec<u64>> {
    let (region, stripe) = (source.region(), source.stripe(at));
    let height = stripe.get(at.buckets());
    if height > HIGHEST {
        return Err(region.corrupt(at.buckets().bytes(), "a directory is higher than it can be"));
    }
    let root = stripe.get(at.segment(0));
    let mut nodes = Vec::new();
    if height > 0 && root != 0 {
        nodes.push((root, height, 0));
    }
    let mut met = 0;
    let mut chunks = Vec::new();
    while let Some((node, level, number)) = nodes.pop() {
        if !holds() {
            break;
        }
        let children = source.words_or(child_at(node, 0), FANOUT)?;
        met += 1;
        // Damage may lead in circles. After the words: what lies in the object is known to be there then.
        if met > region.known_words() / FANOUT {
            return Err(region.corrupt(node, "a directory has more nodes than the object has room for"));
        }
        let children = (0..).zip(children).map(|(i, child)| (number << FANOUT_BITS | i, child.load(Relaxed)));
        for (number, child) in children.filter(|(_, child)| *child != 0) {
            match level {
                1 => chunks.push(number),
                _ => nodes.push((child, level - 1, number)),
            }
        }
    }
    Ok(chunks)
}
