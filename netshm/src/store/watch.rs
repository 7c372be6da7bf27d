//! Watches: waiting for changes, and waking waiters.
//!
//! A thread that waits for a change of one stripe sleeps on the stripe's own word, one that waits for that of a member or of the whole object on
//! a word of the object, to which the words of all its stripes lead. So a writer has one word to look at for each stripe,
//! beside the lock that it has just freed. See [`watch_word`](crate::watch_word).

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{Store, group};
use crate::error::{Error, Result};
use crate::layout::header::{LAST_MEMBER, REPLACED, STATE_AT, WATCH};
use crate::locking::word::Released;
use crate::locking::{BoundedWaits, Fate, Owners, word_of};
use crate::os::futex;
use crate::watch_word::{WatchWord, settle};

/// From one look after dead writers to the next: what one has done that died before it woke anybody is seen by then. A second is
/// promised, which is to include falling asleep, waking up, and undoing.
pub(super) const PROBE_EACH: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 900 });
/// The longest sleep in a group on another object, where waiting is bounded.
const LONGEST_IN_GROUP: Duration = Duration::from_millis(100);
/// Pauses of waiters that may not write to the object, and so cannot announce themselves: the first, and the longest.
const FIRST_POLL: Duration = Duration::from_micros(20);
pub(super) const LONGEST_POLL: Duration = Duration::from_millis(10);
/// Wake-ups for nothing come no more often than this.
pub(super) const USELESS_EACH: Duration = Duration::from_millis(1);
/// All that sleep on a word.
const ALL: u32 = u32::MAX >> 1;

impl Store {
    #[inline(always)]
    pub(super) fn watch_word(&self, stripe: u32) -> WatchWord<'_> {
        WatchWord(self.field32(self.geometry().stripe(stripe).watch()))
    }

    pub(super) fn object_word(&self) -> WatchWord<'_> {
        WatchWord(self.field32(WATCH))
    }

    /// Wakes the waiters of a stripe that has just been freed: one for its lock, and all for its changes. One function for both, so
    /// that while nobody waits, nothing has to be kept in registers for it.
    #[cold]
    #[inline(never)]
    pub(super) fn wake_waiters(&self, stripe: u32, released: Released, has_changed: bool) {
        if released == Released::Sleepers {
            futex::wake(word_of(self.region(), stripe).0, 1);
        }
        if has_changed {
            self.tell_change(stripe);
        }
    }

    /// Tells waiters that a stripe has changed. All locks of the change are free.
    pub(super) fn tell_change(&self, stripe: u32) {
        let word = self.watch_word(stripe);
        if !word.is_watched() {
            return;
        }
        let wake = word.take();
        if wake.sleepers {
            futex::wake(word.0, ALL);
        }
        if wake.leads_on {
            self.tell_object();
        }
    }

    /// Wakes those who wait for a change anywhere in the object.
    pub(super) fn tell_object(&self) {
        let word = self.object_word();
        if word.is_watched() && word.take().sleepers {
            futex::wake(word.0, ALL);
        }
    }

    /// Returns an error if another object has taken the place of this one: nobody will change it.
    pub(super) fn check_is_there(&self) -> Result<()> {
        if self.field(STATE_AT).load(Relaxed) == REPLACED {
            let what = "`repair` has put another file in its place";
            return Err(Error::Replaced { object: self.name(), what });
        }
        self.region().check_id()
    }

    /// Wakes everybody: somebody died, perhaps before it told what it had changed.
    #[cold]
    pub(super) fn tell_all(&self) {
        let stripes = self.all_stripes().map(|stripe| self.watch_word(stripe));
        for word in stripes.chain([self.object_word()]) {
            word.count_up();
            futex::wake(word.0, ALL);
        }
    }
}

/// Subject of a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    Stripe(u32),
    /// The member that the store stands for.
    Member,
    /// The whole object.
    Object,
}

/// A waiter for changes.
pub(crate) struct Watcher {
    store: Arc<Store>,
    watched: Watched,
    /// The sequences of the stripes when they were last read, and the last member. They are rounded down to even ones, but for those
    /// whose owner was found dead, and which cannot be recovered here.
    pub(super) seen: Vec<u64>,
    /// When to look after dead writers again.
    probe_at: Instant,
    /// When it was last woken for nothing.
    useless: Option<Instant>,
}

impl Watcher {
    pub(crate) fn new(store: Arc<Store>, watched: Watched) -> Result<Self> {
        store.check_fork()?;
        let probe_at = Instant::now() + PROBE_EACH;
        let mut watcher = Watcher { store, watched, seen: Vec::new(), probe_at, useless: None };
        watcher.look();
        Ok(watcher)
    }

    /// Returns another one that has seen the same.
    #[cfg(feature = "tokio")]
    pub(super) fn again(&self) -> Watcher {
        let (store, seen) = (self.store.clone(), self.seen.clone());
        Watcher { store, watched: self.watched, seen, probe_at: self.probe_at, useless: None }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn watched(&self) -> Watched {
        self.watched
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn stripes(&self) -> Range<u32> {
        match self.watched {
            Watched::Stripe(stripe) => stripe..stripe + 1,
            Watched::Member => self.store.geometry().own(),
            Watched::Object => self.store.all_stripes(),
        }
    }

    /// Returns whether a change has ended since this was asked last.
    pub(crate) fn look(&mut self) -> bool {
        let stripes = self.stripes();
        let whole = self.watched == Watched::Object;
        let count = stripes.len() + usize::from(whole);
        let mut changed = self.seen.len() != count;
        self.seen.resize(count, 0);
        for (stripe, seen) in stripes.zip(&mut self.seen) {
            let now = self.store.sequence(stripe).number();
            changed |= now != *seen && mem::replace(seen, now & !1) != now & !1;
        }
        if whole && let Some(seen) = self.seen.last_mut() {
            let now = self.store.field(LAST_MEMBER).load(Relaxed);
            changed |= mem::replace(seen, now) != now;
        }
        changed
    }

    /// Returns the word on which this one sleeps.
    fn word(&self) -> WatchWord<'_> {
        match self.watched {
            Watched::Stripe(stripe) => self.store.watch_word(stripe),
            Watched::Member | Watched::Object => self.store.object_word(),
        }
    }

    /// Announces a sleeper at that word; returns what it then holds.
    fn announce(&self) -> u32 {
        let expected = self.word().announce();
        if !matches!(self.watched, Watched::Stripe(_)) {
            settle();
            self.stripes().for_each(|stripe| self.store.watch_word(stripe).lead_on());
        }
        settle();
        expected
    }

    /// Waits until a change has ended; returns whether one has, since this was asked last. `bounded` is there in a group on another
    /// object.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, bounded: Option<BoundedWaits>) -> Result<bool> {
        self.check()?;
        if self.look() {
            return Ok(true);
        }
        let started = Instant::now();
        let left = || timeout.map_or(Duration::MAX, |timeout| timeout.saturating_sub(started.elapsed()));
        let mut poll = FIRST_POLL;
        while !left().is_zero() {
            if let Some(bounded) = bounded {
                bounded.check(&*self.store)?;
            }
            if self.store.region().object().read_only() {
                std::thread::sleep(poll.min(left()));
                poll = (poll * 2).min(LONGEST_POLL);
            } else {
                let expected = self.announce();
                if self.look() {
                    return Ok(true);
                }
                let longest = if bounded.is_some() { LONGEST_IN_GROUP } else { PROBE_EACH };
                let _ = futex::wait(self.word().0, expected, Some(longest.min(self.until_probe()).min(left())));
            }
            // However often it is woken for nothing: others may go on where a writer has died.
            if self.until_probe().is_zero() {
                self.check()?;
                if self.probe() {
                    return Ok(true);
                }
            }
            if self.look() {
                return Ok(true);
            }
            self.was_useless(left());
        }
        Ok(self.look())
    }

    /// Returns an error where there is nothing to wait for.
    pub(crate) fn check(&self) -> Result<()> {
        let store = &*self.store;
        store.check_fork()?;
        if group::is_open(store) {
            return Err(Error::InGroup { object: store.name(), wanted: "wait for a change" });
        }
        store.check_is_there()
    }

    /// Limits the rate of wake-ups for nothing.
    pub(crate) fn was_useless(&mut self, left: Duration) {
        let now = Instant::now();
        if let Some(rest) = self.useless.and_then(|last| (last + USELESS_EACH).checked_duration_since(now)) {
            std::thread::sleep(rest.min(left));
        }
        self.useless = Some(Instant::now());
    }

    /// Works like [`was_useless`](Self::was_useless), for a task, which may not sleep: it is told of the next change later.
    #[cfg(feature = "tokio")]
    pub(crate) fn rest(&mut self) {
        self.useless = Some(Instant::now());
    }

    /// Returns the time before which a task is not told of changes, if that is to come.
    #[cfg(feature = "tokio")]
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.useless.map(|last| last + USELESS_EACH).filter(|end| *end > Instant::now())
    }

    /// Returns how long it may sleep until it looks after dead writers again.
    pub(super) fn until_probe(&self) -> Duration {
        self.probe_at.saturating_duration_since(Instant::now())
    }

    /// Recovers the owners of stripes under change, if they are dead: then what they did is over. Returns whether one is dead and
    /// cannot be recovered here: what it has done is over, too, and readers see it, but no sequence will tell.
    pub(super) fn probe(&mut self) -> bool {
        self.probe_at = Instant::now() + PROBE_EACH;
        let (stripes, mut has_died) = (self.stripes(), false);
        for (stripe, seen) in stripes.zip(&mut self.seen) {
            let now = self.store.sequence(stripe).number();
            if now & 1 == 1
                && let Some(slot) = word_of(self.store.region(), stripe).load().owner()
                && slot < self.store.geometry().slots
                && !matches!(self.store.take_over(stripe, slot), Ok(Fate::Alive | Fate::Gone))
            {
                has_died |= mem::replace(seen, now) != now;
            }
        }
        has_died
    }
}
