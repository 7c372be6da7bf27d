//! Finding rings of waiters from the words in shared memory.
//!
//! A waiter notes the stripe in its slot before it sleeps. From a stripe, the lock word leads to its owner's slot, whose
//! wait word leads to the next stripe. The words are read one after the other, so what looks like a ring may have been
//! none at any moment; but if a second walk finds the same words, with the epochs that count each wait, the whole ring
//! existed between the two. The member with the largest slot gives way; if it does not, being stopped, the next one does.
//!
//! Under Record the lock word names no reader, and who waits in the kernel looks for nothing. So a waiter also notes what it
//! holds, whether it waits for readers too, and whether it looks for rings ([`Manner`]).

use std::cmp::Reverse;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::time::{Duration, Instant};

use super::{Fate, Mode, Owners, owner_of};
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

/// How a waiter waits, and what it holds meanwhile: a word of its slot, which means something as long as the wait lasts.
///
/// A few stripes are listed; of more there is a set of places, to which stripes are dealt out in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Manner(u64);

impl Manner {
    /// Bit: readers do not keep it waiting.
    const SHARED: u64 = 1 << 63;
    /// Bit: it does not look for rings.
    const BLIND: u64 = 1 << 62;
    /// Bit: what follows is a list of stripes, each plus one.
    const LIST: u64 = 1 << 61;
    const LISTED: usize = 3;
    /// Number of places where there is no list.
    const PLACES: u32 = 61;
    /// The manner of one that waits for all others, and whose stripes all name it in their lock words.
    pub(super) const MARKED: Manner = Manner(Manner::LIST);

    pub(super) fn new(mode: Mode, looks: bool, held: &[u32]) -> Manner {
        let held = match held.len() {
            ..=Self::LISTED => {
                held.iter().fold(0, |list, stripe| list << STRIPE_BITS | u64::from(stripe + 1)) | Self::LIST
            }
            _ => held.iter().fold(0, |set, stripe| set | 1 << (stripe % Self::PLACES)),
        };
        let shared = if mode == Mode::Shared { Self::SHARED } else { 0 };
        Manner(shared | if looks { 0 } else { Self::BLIND } | held)
    }

    fn mode(self) -> Mode {
        if self.0 & Self::SHARED == 0 { Mode::Exclusive } else { Mode::Shared }
    }

    fn is_blind(self) -> bool {
        self.0 & Self::BLIND != 0
    }

    /// Returns whether it certainly holds the stripe, one of so many. Of readers with long lists in objects with many stripes
    /// that is not known.
    fn holds(self, stripe: u32, stripes: u32) -> bool {
        self.may_hold(stripe) && (self.0 & Self::LIST != 0 || stripes <= Self::PLACES)
    }

    /// Returns whether it holds the stripe, or one that has the same place.
    fn may_hold(self, stripe: u32) -> bool {
        if self.0 & Self::LIST != 0 {
            let listed = |place| (self.0 >> (place * STRIPE_BITS)) as u32 & STRIPE_MASK;
            return (0..Self::LISTED as u32).any(|place| listed(place) == stripe + 1);
        }
        self.0 >> (stripe % Self::PLACES) & 1 == 1
    }
}

/// Returns whether waiters tell of all that they hold, so that a walk misses no ring.
pub(super) fn tells_all(region: &Region) -> bool {
    region.stripes_used() <= Manner::PLACES
}

/// Runs `wait`, in which `slot` waits for `stripe`, and lets others see that meanwhile. Nobody needs to see waits for the meta
/// stripe: nothing is waited for while it is held, so it is part of no ring. `wait` is told whether rings are to be looked for.
pub(super) fn announced(
    region: &Region,
    slot: u32,
    stripe: u32,
    manner: Manner,
    wait: impl FnOnce(bool) -> Result<()>,
) -> Result<()> {
    if stripe == region.geometry().meta() {
        return wait(false);
    }
    announce(region, slot, stripe, manner);
    let outcome = wait(true);
    retract(region, slot);
    outcome
}

/// Notes that `slot` waits for `stripe`, and how.
pub(super) fn announce(region: &Region, slot: u32, stripe: u32, manner: Manner) {
    let geometry = region.geometry();
    region.field(geometry.slot(slot).waits_with()).store(manner.0, Relaxed);
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

/// A waiter that looks for rings.
pub(super) struct Seeker<'a> {
    pub(super) slot: u32,
    /// The stripe that it waits for, and the mode in which it wants it.
    pub(super) stripe: u32,
    pub(super) mode: Mode,
    /// Tells of the stripes that it holds, though their lock words may not name it.
    pub(super) holds: &'a dyn Fn(u32) -> bool,
}

impl Seeker<'_> {
    /// Returns whether another slot waits for something that it holds.
    pub(super) fn is_awaited(&self, region: &Region) -> bool {
        let geometry = region.geometry();
        let others = (0..geometry.slots).filter(|slot| *slot != self.slot);
        let awaited = |slot| waited_for(region.field32(geometry.slot(slot).wait()).load(SeqCst));
        others.filter_map(awaited).any(|stripe| (self.holds)(stripe))
    }
}

/// Returns the stripe that a wait word names.
pub(crate) fn waited_for(word: u32) -> Option<u32> {
    (word & STRIPE_MASK).checked_sub(1)
}

/// Returns how many waits a wait word has counted.
pub(crate) fn waits_of(word: u32) -> u16 {
    (word >> STRIPE_BITS) as u16
}

/// A step of a walk: a stripe, a slot that holds it, and how that waits itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link {
    stripe: u32,
    owner: u32,
    wait: u32,
    manner: Manner,
    /// True if the lock word does not name the owner.
    is_unmarked: bool,
}

/// A ring of waiters.
#[derive(Debug, PartialEq, Eq)]
struct Ring {
    links: Vec<Link>,
}

impl Ring {
    /// Returns the first `count` members that have to give way: of those that look, the largest slot first.
    fn victims(&self, count: usize) -> Vec<u32> {
        let mut slots: Vec<_> = self.links.iter().map(|link| (link.manner.is_blind(), Reverse(link.owner))).collect();
        slots.sort_unstable();
        slots.truncate(count);
        slots.into_iter().map(|(_, Reverse(slot))| slot).collect()
    }

    /// Returns the same, as a member sees it, in an object with that many stripes. Who waits for what a reader holds finds it only if
    /// the reader tells of it; if not, no other member sees the ring, and nobody else would give way.
    fn victims_as_seen_by(&self, slot: u32, count: usize, stripes: u32) -> Vec<u32> {
        let mut links = self.links.iter().filter(|link| link.owner == slot);
        let is_seen_by_it_alone = links.any(|link| link.is_unmarked && !link.manner.holds(link.stripe, stripes));
        if is_seen_by_it_alone { vec![slot] } else { self.victims(count) }
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
    pub(super) fn look(&mut self, owners: &impl Owners, seeker: &Seeker<'_>) -> Result<Look> {
        let slot = seeker.slot;
        let Some(ring) = ring(owners.region(), seeker)? else {
            self.standing = None;
            return Ok(Look::Nothing);
        };
        if recover_dead(owners, slot, &ring)? {
            self.standing = None;
            return Ok(Look::Recovered);
        }
        let since = match self.standing.take() {
            Some((known, since)) if known == ring => since,
            _ => Instant::now(),
        };
        let turn = (since.elapsed().as_millis() / GIVE_WAY.as_millis()) as usize;
        let victims = ring.victims_as_seen_by(slot, turn + 1, owners.region().stripes_used());
        if victims.contains(&slot) {
            let detail = ring.describe(|slot| owners.pid(slot));
            return Err(Error::Deadlock { object: owners.region().name(), detail });
        }
        let other = victims.last().and_then(|&victim| ring.awaited_by(victim));
        self.standing = Some((ring, since));
        Ok(other.map_or(Look::Nothing, Look::Remind))
    }

    /// Adds to the error of a wait that has reached its limit that it was in a ring, if it was.
    #[cold]
    pub(super) fn explain(&self, error: Error) -> Error {
        match error {
            Error::LockTimeout { object, waited, awaited, holder, .. } if self.standing.is_some() => {
                let reason = Some("given up in a deadlock whose other members have not given way so far; run it again");
                Error::LockTimeout { object, waited, awaited, holder, reason, may_be_deadlock: true }
            }
            error => error,
        }
    }
}

/// Recovers a dead member, which would never give way; if another member did, and tried again, it would find the same ring
/// once more, without ever waiting long enough to notice the dead one.
fn recover_dead(owners: &impl Owners, slot: u32, ring: &Ring) -> Result<bool> {
    for link in ring.links.iter().filter(|link| link.owner != slot) {
        let fate =
            if link.is_unmarked { owners.probe(link.owner)? } else { owners.take_over(link.stripe, link.owner)? };
        if fate == Fate::Gone {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the ring that the seeker is in, if there is one.
fn ring(region: &Region, seeker: &Seeker<'_>) -> Result<Option<Ring>> {
    let Some(first) = walk(region, seeker)? else { return Ok(None) };
    let second = walk(region, seeker)?;
    Ok((second.as_ref() == Some(&first)).then_some(Ring { links: first }))
}

fn walk(region: &Region, seeker: &Seeker<'_>) -> Result<Option<Vec<Link>>> {
    let mut walk = Walk { region, seeker, links: Vec::new(), seen: Vec::new() };
    Ok(walk.closes(seeker.stripe, seeker.mode)?.then_some(walk.links))
}

/// A walk from holder to holder, as far as it has come.
struct Walk<'a> {
    region: &'a Region,
    seeker: &'a Seeker<'a>,
    links: Vec<Link>,
    /// The slots that it has come by.
    seen: Vec<u32>,
}

impl Walk<'_> {
    /// Returns whether a holder of the stripe, which somebody waits for in that mode, leads back to the seeker.
    fn closes(&mut self, stripe: u32, mode: Mode) -> Result<bool> {
        // The mark of a dead writer stays until somebody has all that it wants, so others may hold the stripe by now.
        if let Some(owner) = owner_of(self.region, stripe)?
            && self.leads_back(stripe, owner, false)?
        {
            return Ok(true);
        }
        if mode == Mode::Shared {
            return Ok(false);
        }
        // What the seeker holds is what others wait for, not it.
        if !self.links.is_empty() && (self.seeker.holds)(stripe) {
            return self.leads_back(stripe, self.seeker.slot, true);
        }
        for slot in 0..self.region.geometry().slots {
            let (wait, manner) = self.wait_of(slot);
            let holds = manner.holds(stripe, self.region.stripes_used());
            if slot != self.seeker.slot && waited_for(wait).is_some() && holds && self.leads_back(stripe, slot, true)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn leads_back(&mut self, stripe: u32, owner: u32, is_unmarked: bool) -> Result<bool> {
        let (wait, manner) = self.wait_of(owner);
        if owner == self.seeker.slot {
            // A word that names the seeker before it has the lock is stale.
            if self.links.is_empty() {
                return Ok(false);
            }
            self.links.push(Link { stripe, owner, wait, manner, is_unmarked });
            return Ok(true);
        }
        if self.seen.contains(&owner) {
            return Ok(false);
        }
        self.seen.push(owner);
        self.links.push(Link { stripe, owner, wait, manner, is_unmarked });
        let next = waited_for(wait).filter(|next| *next < self.region.stripes_used());
        if let Some(next) = next
            && self.closes(next, manner.mode())?
        {
            return Ok(true);
        }
        self.links.pop();
        Ok(false)
    }

    fn wait_of(&self, slot: u32) -> (u32, Manner) {
        let at = self.region.geometry().slot(slot);
        let wait = self.region.field32(at.wait()).load(SeqCst);
        (wait, Manner(self.region.field(at.waits_with()).load(Acquire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash_table::HashTable;
    use crate::locking::word::Released;
    use crate::locking::word_of;
    use crate::testing::Scratch;

    #[test]
    fn a_waiter_tells_exactly_what_it_holds_or_nothing() {
        let told = |held: &[u32], stripes: u32| {
            let manner = Manner::new(Mode::Shared, true, held);
            assert!(manner.mode() == Mode::Shared && !manner.is_blind());
            (0..stripes).filter(|stripe| manner.holds(*stripe, stripes)).collect::<Vec<_>>()
        };
        for held in [&[][..], &[0], &[1, 5], &[7, 60, 61], &[65_535, 300, 2]] {
            let mut all = held.to_vec();
            all.sort_unstable();
            assert_eq!(told(held, 1 << 16), all);
        }
        assert_eq!(told(&[1, 2, 3, 60], 61), [1, 2, 3, 60]);
        assert!(told(&[1, 2, 3, 60], 62).is_empty());
        let may_hold = |stripe| Manner::new(Mode::Shared, true, &[1, 2, 3, 60]).may_hold(stripe);
        assert!(may_hold(60) && may_hold(62) && !may_hold(4));
        assert!(Manner::new(Mode::Exclusive, false, &[1]).is_blind());
    }

    #[test]
    fn who_does_not_look_is_the_last_to_give_way() {
        let link = |owner, looks| {
            let manner = Manner::new(Mode::Exclusive, looks, &[]);
            Link { stripe: owner, owner, wait: 1, manner, is_unmarked: false }
        };
        let ring = Ring { links: vec![link(1, true), link(3, false), link(2, true)] };
        assert_eq!(ring.victims(3), [2, 1, 3]);
        assert_eq!(ring.victims(1), [2]);
    }

    /// A writer has died that had one of the stripes, which others have locked for reading without having come to look at its mark.
    #[test]
    fn a_dead_writer_hides_no_ring() {
        let scratch = Scratch::new();
        let table = HashTable::<u64, u64>::options().stripes(2).slots(3).manage(scratch.open()).unwrap();
        let store = &table.handle().store;
        let region = store.region();
        let read = store.geometry().first();
        let written = read + 1;
        word_of(region, read).mark(2);
        word_of(region, written).mark(1);
        announce(region, 0, written, Manner::new(Mode::Shared, true, &[read]));
        announce(region, 1, read, Manner::new(Mode::Exclusive, true, &[written]));
        let seekers = [(0, written, Mode::Shared, read), (1, read, Mode::Exclusive, written)];
        for (slot, stripe, mode, held) in seekers {
            let seeker = Seeker { slot, stripe, mode, holds: &|stripe| stripe == held };
            assert_eq!(ring(region, &seeker).unwrap().map(|ring| ring.victims(2)), Some(vec![1, 0]), "{slot}");
        }
        for stripe in [read, written] {
            let (Released::Quiet | Released::Sleepers) = word_of(region, stripe).release();
        }
        (0..2).for_each(|slot| retract(region, slot));
    }

    /// A reader of many stripes cannot tell of them all, so the others of its ring see none, and never give way.
    #[test]
    fn who_alone_sees_a_ring_gives_way_at_once() {
        let scratch = Scratch::new();
        let table = HashTable::<u64, u64>::options().stripes(64).slots(3).manage(scratch.open()).unwrap();
        let store = &table.handle().store;
        let region = store.region();
        let read: Vec<u32> = (0..9).map(|number| store.geometry().first() + number).collect();
        let written = store.geometry().first() + 20;
        word_of(region, written).mark(1);
        announce(region, 0, written, Manner::new(Mode::Shared, true, &read));
        announce(region, 1, read[4], Manner::new(Mode::Exclusive, true, &[written]));
        let victims = |slot, stripe, mode, held: &[u32]| {
            let holds = |stripe| held.contains(&stripe);
            let ring = ring(region, &Seeker { slot, stripe, mode, holds: &holds }).unwrap();
            ring.map(|ring| ring.victims_as_seen_by(slot, 1, region.stripes_used()))
        };
        assert_eq!(victims(0, written, Mode::Shared, &read), Some(vec![0]));
        assert_eq!(victims(1, read[4], Mode::Exclusive, &[written]), None);
        // If it tells, it is the largest slot's turn.
        announce(region, 0, written, Manner::new(Mode::Shared, true, &read[4..6]));
        assert_eq!(victims(0, written, Mode::Shared, &read[4..6]), Some(vec![1]));
        assert_eq!(victims(1, read[4], Mode::Exclusive, &[written]), Some(vec![1]));
        let (Released::Quiet | Released::Sleepers) = word_of(region, written).release();
        (0..2).for_each(|slot| retract(region, slot));
    }

    /// An object has one that waits in slot 0, and perhaps another in slot 1.
    #[test]
    fn who_waits_for_what_it_holds_itself_keeps_nobody_waiting() {
        let scratch = Scratch::new();
        let table = HashTable::<u64, u64>::options().stripes(2).slots(2).manage(scratch.open()).unwrap();
        let store = &table.handle().store;
        let region = store.region();
        let stripe = store.geometry().first();
        let seeker = Seeker { slot: 0, stripe, mode: Mode::Exclusive, holds: &|held| held == stripe };
        announce(region, 0, stripe, Manner::new(Mode::Exclusive, true, &[stripe]));
        assert!(!seeker.is_awaited(region) && ring(region, &seeker).unwrap().is_none());
        // A second reader that does the same closes a ring; one that waits for writers only does not.
        announce(region, 1, stripe, Manner::new(Mode::Shared, true, &[stripe]));
        assert!(seeker.is_awaited(region) && ring(region, &seeker).unwrap().is_none());
        announce(region, 1, stripe, Manner::new(Mode::Exclusive, true, &[stripe]));
        assert_eq!(ring(region, &seeker).unwrap().unwrap().victims(2), [1, 0]);
        retract(region, 1);
        assert!(ring(region, &seeker).unwrap().is_none());
        retract(region, 0);
    }
}
