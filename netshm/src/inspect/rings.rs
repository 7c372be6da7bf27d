//! Rings of waits.

use super::words::Words;
use super::{Process, Ring};

/// Returns the rings that two readings have in common: since the words of a wait count it, each such ring existed as a whole in
/// between. A ring with a dead member does not count: whoever waits for that one recovers it.
pub(super) fn of(before: &Words, after: &Words, processes: &[Process]) -> Vec<Ring> {
    // From each slot to the one that it waits for, if both readings say so.
    let next = |slot: u32| {
        let stripe = before.awaited(slot)?;
        let held = |words: &Words| words.stripes.get(stripe as usize).and_then(|words| words.holder);
        let same = before.slots.get(slot as usize)? == after.slots.get(slot as usize)? && held(before) == held(after);
        Some((stripe, held(before).filter(|_| same && before.is_alive(slot, processes))?))
    };
    let slots = before.slots.len();
    // Each slot is visited once, and its walk is noted: a walk that meets itself has found a ring.
    let mut met = vec![0; slots];
    let mut rings = Vec::new();
    for start in 0..slots as u32 {
        let walk = start + 1;
        let mut slot = start;
        while let Some((_, holder)) = next(slot) {
            match met.get(slot as usize) {
                Some(0) => met[slot as usize] = walk,
                Some(number) if *number == walk => {
                    rings.push(around(slot, &next, after, processes));
                    break;
                }
                _ => break,
            }
            slot = holder;
        }
    }
    rings
}

/// Returns the ring that a slot is part of.
fn around(first: u32, next: &impl Fn(u32) -> Option<(u32, u32)>, words: &Words, processes: &[Process]) -> Ring {
    let mut waits = Vec::new();
    let mut slot = first;
    while let Some((stripe, holder)) = next(slot) {
        waits.push(words.wait(slot, stripe, processes));
        slot = holder;
        if slot == first {
            break;
        }
    }
    Ring { waits }
}
