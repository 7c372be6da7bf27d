//! Finding rings of waiters from the words in shared memory.
//!
//! A waiter notes the stripe in its slot before it sleeps. From a stripe, the lock word leads to its owner's slot, whose
//! wait word leads to the next stripe. The words are read one after the other, so what looks like a ring may have been
//! none at any moment; but if a second walk finds the same words, with the epochs that count each wait, the whole ring
//! existed between the two. The member with the largest slot gives way; if it does not, being stopped, the next one does.

use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::time::{Duration, Instant};

use super::{Fate, Owners, owner_of};
use crate::error::{Error, Result};
use crate::os::{clock, steps};
use crate::region::Region;

/// Time that a member of a ring has to give way before the next one does so as well: it may have been stopped.
const GIVE_WAY: Duration = Duration::from_millis(500);
/// Bits of a wait word that hold the awaited stripe, plus one; the rest counts waits.
const STRIPE_BITS: u32 = 17;
const STRIPE_MASK: u32 = (1 << STRIPE_BITS) - 1;

/// When a wait began, as its slot notes it for inspection from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since(pub(crate) u64);

impl Since {
    /// Returns a wait that begins now, for a stripe of this sequence.
    fn now(sequence: u64) -> Since {
        Since(u64::from(clock::tenths()) << 32 | u64::from(sequence as u32))
    }

    /// Returns the tenths of a second that have passed since the wait began, by the time `now`.
    pub(crate) fn tenths(self, now: u32) -> u32 {
        // A damaged object may claim a time in the future.
        Some(now.wrapping_sub((self.0 >> 32) as u32)).filter(|tenths| *tenths <= u32::MAX / 2).unwrap_or(0)
    }

    /// Returns whether the stripe was in the middle of the same change when the wait began. An odd sequence is that of one change.
    pub(crate) fn is_of_change(self, sequence: u64) -> bool {
        sequence & 1 == 1 && self.0 as u32 == sequence as u32
    }
}

/// Runs `wait`, in which `slot` waits for `stripe`, and lets others see that meanwhile. Nobody needs to see waits for the meta
/// stripe: nothing is waited for while it is held, so it is part of no ring. `wait` is told whether rings are to be looked for.
pub(super) fn announced(region: &Region, slot: u32, stripe: u32, wait: impl FnOnce(bool) -> Result<()>) -> Result<()> {
    if stripe == region.geometry().meta() {
        return wait(false);
    }
    announce(region, slot, stripe);
    let outcome = wait(true);
    retract(region, slot);
    outcome
}

/// Notes that `slot` waits for `stripe`.
fn announce(region: &Region, slot: u32, stripe: u32) {
    let geometry = region.geometry();
    let sequence = region.field(geometry.stripe(stripe).sequence()).load(Acquire);
    region.field(geometry.slot(slot).waits_since()).store(Since::now(sequence).0, Relaxed);
    let word = region.field32(region.geometry().slot(slot).wait());
    let epoch = (word.load(SeqCst) >> STRIPE_BITS).wrapping_add(1);
    word.store(epoch << STRIPE_BITS | (stripe + 1), SeqCst);
    steps::step();
}

/// Notes that `slot` waits no longer.
pub(crate) fn retract(region: &Region, slot: u32) {
    let word = region.field32(region.geometry().slot(slot).wait());
    let old = word.load(SeqCst);
    if old & STRIPE_MASK != 0 {
        word.store(old & !STRIPE_MASK, SeqCst);
        steps::step();
    }
}

/// Returns whether a slot waits for one of the stripes that `is_held` tells of.
pub(super) fn is_any_awaited(region: &Region, is_held: impl Fn(u32) -> bool) -> bool {
    let geometry = region.geometry();
    let awaited = |slot| waited_for(region.field32(geometry.slot(slot).wait()).load(SeqCst));
    (0..geometry.slots).filter_map(awaited).any(is_held)
}

/// Returns the stripe that a wait word names.
pub(crate) fn waited_for(word: u32) -> Option<u32> {
    (word & STRIPE_MASK).checked_sub(1)
}

/// Returns how many waits a wait word has counted.
pub(crate) fn waits_of(word: u32) -> u16 {
    (word >> STRIPE_BITS) as u16
}

/// A step of a walk: a stripe, the slot that owns it, and that slot's wait word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    stripe: u32,
    owner: u32,
    wait: u32,
}

/// A ring of waiters.
#[derive(Debug, PartialEq, Eq)]
struct Ring {
    links: Vec<Link>,
}

impl Ring {
    /// Returns the first `count` members that have to give way, the largest slot first.
    fn victims(&self, count: usize) -> Vec<u32> {
        let mut slots: Vec<_> = self.links.iter().map(|link| link.owner).collect();
        slots.sort_unstable_by(|a, b| b.cmp(a));
        slots.truncate(count);
        slots
    }

    /// Returns the stripes in the ring and the slots that own them.
    fn members(&self) -> impl Iterator<Item = (u32, u32)> {
        self.links.iter().map(|link| (link.stripe, link.owner))
    }

    /// Returns what a member waits for.
    fn awaited_by(&self, slot: u32) -> Option<u32> {
        let link = self.links.iter().find(|link| link.owner == slot)?;
        (link.wait & STRIPE_MASK).checked_sub(1)
    }

    /// Describes the ring.
    fn describe(&self, pid: impl Fn(u32) -> Option<u32>) -> String {
        let member = |link: &Link| {
            let holder = pid(link.owner).map_or_else(|| "another writer".to_owned(), |pid| format!("process {pid}"));
            format!("stripe {}, held by {holder}", link.stripe)
        };
        let members: Vec<_> = self.links.iter().map(member).collect();
        format!("waits for {} itself", members.join(", which waits for "))
    }
}

/// The rings that a waiter has met.
#[derive(Default)]
pub(super) struct Rings {
    /// The ring that it is in, and since when.
    standing: Option<(Ring, Instant)>,
}

/// What a waiter has found when it looked for a ring.
pub(super) enum Look {
    /// It has nothing to do but to wait.
    Nothing,
    /// A dead member, which has been recovered: its stripes are free.
    Recovered,
    /// The member whose turn it is to give way waits for this stripe.
    Remind(u32),
}

impl Rings {
    /// Looks for the ring that closes when `slot` waits for `stripe`. Fails if it is this slot's turn to give way; that of one member
    /// more whenever the ring has stood for a while, since its victim may be a stopped process.
    pub(super) fn look(&mut self, owners: &impl Owners, slot: u32, stripe: u32) -> Result<Look> {
        let Some(ring) = ring(owners.region(), slot, stripe)? else {
            self.standing = None;
            return Ok(Look::Nothing);
        };
        if recover_dead(owners, slot, &ring)? {
            return Ok(Look::Recovered);
        }
        let since = match self.standing.take() {
            Some((known, since)) if known == ring => since,
            _ => Instant::now(),
        };
        let turn = (since.elapsed().as_millis() / GIVE_WAY.as_millis()) as usize;
        let victims = ring.victims(turn + 1);
        if victims.contains(&slot) {
            let detail = ring.describe(|slot| owners.pid(slot));
            return Err(Error::Deadlock { object: owners.region().name(), detail });
        }
        let other = victims.last().and_then(|&victim| ring.awaited_by(victim));
        self.standing = Some((ring, since));
        Ok(other.map_or(Look::Nothing, Look::Remind))
    }
}

/// Recovers a dead member, which would never give way; if another member did, and tried again, it would find the same ring
/// once more, without ever waiting long enough to notice the dead one.
fn recover_dead(owners: &impl Owners, slot: u32, ring: &Ring) -> Result<bool> {
    for (stripe, owner) in ring.members().filter(|&(_, owner)| owner != slot) {
        if owners.take_over(stripe, owner)? == Fate::Gone {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the ring that closes when `slot` waits for `stripe`, if there is one.
fn ring(region: &Region, slot: u32, stripe: u32) -> Result<Option<Ring>> {
    let Some(first) = walk(region, slot, stripe)? else { return Ok(None) };
    let second = walk(region, slot, stripe)?;
    Ok((second.as_ref() == Some(&first)).then_some(Ring { links: first }))
}

fn walk(region: &Region, slot: u32, stripe: u32) -> Result<Option<Vec<Link>>> {
    let geometry = region.geometry();
    let mut links: Vec<Link> = Vec::new();
    let mut stripe = stripe;
    loop {
        let Some(owner) = owner_of(region, stripe)? else { return Ok(None) };
        if links.iter().any(|link| link.owner == owner) {
            return Ok(None);
        }
        let wait = region.field32(geometry.slot(owner).wait()).load(SeqCst);
        links.push(Link { stripe, owner, wait });
        if owner == slot {
            return Ok(Some(links));
        }
        match (wait & STRIPE_MASK).checked_sub(1) {
            Some(next) if next < region.stripes_used() => stripe = next,
            _ => return Ok(None),
        }
    }
}
