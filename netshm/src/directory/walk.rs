//! Which chunks of a stripe are there.

use std::sync::atomic::Ordering::Relaxed;

use super::{FANOUT, FANOUT_BITS, HIGHEST, child_at};
use crate::error::Result;
use crate::region::{Region, StripeFields};

/// Returns the numbers of the chunks that are there, within their stripe and in no order. `holds` tells whether what has been
/// read still counts; where it does not, anything is returned.
pub(crate) fn chunks_in(region: &Region, stripe: StripeFields<'_>, holds: impl Fn() -> bool) -> Result<Vec<u64>> {
    let at = stripe.at();
    let height = stripe.field(at.buckets()).load(Relaxed);
    if height > HIGHEST {
        return Err(region.corrupt(at.buckets().0, "a directory is higher than it can be"));
    }
    let root = stripe.field(at.segment(0)).load(Relaxed);
    let mut nodes = Vec::new();
    if height > 0 && root != 0 {
        nodes.push((root, height, 0));
    }
    // Damage may lead in circles.
    let mut left = region.known_words() / FANOUT;
    let mut chunks = Vec::new();
    while let Some((node, level, number)) = nodes.pop() {
        if left == 0 {
            return Err(region.corrupt(node, "a directory has more nodes than the object has room for"));
        }
        left -= 1;
        if !holds() {
            break;
        }
        let children = region.words(child_at(node, 0), FANOUT)?;
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
