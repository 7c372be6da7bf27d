//! Nobody sleeps through a change: the words that waiters sleep on, under all schedules that loom finds, at small bounds.
//!
//! The protocol is that of the library, word for word: its source files are compiled here with loom's atomics. A sleep in the
//! kernel has no time limit here, so that loom finds everybody who is never woken.
#![allow(dead_code, unreachable_pub)]

use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use sequence::Sequence;
use watch_word::{WatchWord, is_watched, settle};

/// Substitutes for `crate::os` in the included files.
mod os {
    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    }

    pub(crate) mod steps {
        pub(crate) fn step() {}
    }
}

#[path = "../../netshm/src/sequence.rs"]
mod sequence;
#[path = "../../netshm/src/watch_word.rs"]
mod watch_word;

/// A word with its sleepers.
struct Futex {
    word: AtomicU32,
    bucket: Mutex<()>,
    sleepers: Condvar,
}

impl Futex {
    fn new(word: u32) -> Futex {
        Futex { word: AtomicU32::new(word), bucket: Mutex::new(()), sleepers: Condvar::new() }
    }

    fn watch(&self) -> WatchWord<'_> {
        WatchWord(&self.word)
    }

    fn sleep(&self, expected: u32) {
        let bucket = self.bucket.lock().unwrap();
        if self.word.load(Relaxed) == expected {
            drop(self.sleepers.wait(bucket).unwrap());
        }
    }

    fn wake(&self) {
        drop(self.bucket.lock().unwrap());
        self.sleepers.notify_all();
    }
}

/// A stripe, as far as it matters here.
struct Stripe {
    lock: AtomicU32,
    sequence: AtomicU64,
    watch: Futex,
}

struct Object {
    stripes: [Stripe; 2],
    watch: Futex,
}

impl Object {
    fn new() -> Arc<Object> {
        let stripe = || Stripe { lock: AtomicU32::new(0), sequence: AtomicU64::new(4), watch: Futex::new(0) };
        Arc::new(Object { stripes: [stripe(), stripe()], watch: Futex::new(0) })
    }

    /// Changes stripes as the store does, which nobody else changes.
    fn change(&self, stripes: &[usize]) {
        for stripe in stripes {
            self.stripes[*stripe].lock.store(1, SeqCst);
            Sequence(&self.stripes[*stripe].sequence).begin_change();
        }
        let mut seen = 0;
        for stripe in stripes {
            Sequence(&self.stripes[*stripe].sequence).end_change();
            self.stripes[*stripe].lock.swap(0, SeqCst);
            fence(SeqCst);
            seen |= self.stripes[*stripe].watch.watch().look();
        }
        for stripe in stripes.iter().filter(|_| is_watched(seen)) {
            let futex = &self.stripes[*stripe].watch;
            if futex.watch().is_watched() {
                let wake = futex.watch().take();
                if wake.sleepers {
                    futex.wake();
                }
                if wake.leads_on && self.watch.watch().is_watched() && self.watch.watch().take().sleepers {
                    self.watch.wake();
                }
            }
        }
    }

    fn has_changed(&self, stripe: usize) -> bool {
        Sequence(&self.stripes[stripe].sequence).value() & !1 != 4
    }

    /// Waits for a change of one stripe.
    fn wait_for(&self, stripe: usize) {
        let futex = &self.stripes[stripe].watch;
        while !self.has_changed(stripe) {
            let expected = futex.watch().announce();
            settle();
            if self.has_changed(stripe) {
                return;
            }
            futex.sleep(expected);
        }
    }

    /// Waits until all these stripes have changed, at the word of the object.
    fn wait_for_all(&self, stripes: &[usize]) {
        let have_changed = || stripes.iter().all(|stripe| self.has_changed(*stripe));
        while !have_changed() {
            let expected = self.watch.watch().announce();
            settle();
            stripes.iter().for_each(|stripe| self.stripes[*stripe].watch.watch().lead_on());
            settle();
            if have_changed() {
                return;
            }
            self.watch.sleep(expected);
        }
    }
}

/// Explores schedules with at most `preemptions` preemptions of a runnable thread.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_waiter_for_a_stripe_is_woken() {
    check(4, || {
        let object = Object::new();
        let waiting = object.clone();
        let waiter = thread::spawn(move || waiting.wait_for(0));
        object.change(&[0]);
        waiter.join().unwrap();
    });
}

#[test]
fn two_waiters_for_a_stripe_are_woken() {
    check(3, || {
        let object = Object::new();
        let waiters = [object.clone(), object.clone()].map(|object| thread::spawn(move || object.wait_for(0)));
        object.change(&[0]);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn a_waiter_for_the_object_is_woken() {
    check(3, || {
        let object = Object::new();
        let waiting = object.clone();
        let waiter = thread::spawn(move || waiting.wait_for_all(&[0, 1]));
        object.change(&[0]);
        object.change(&[1]);
        waiter.join().unwrap();
    });
}

#[test]
fn writers_of_several_stripes_wake_a_waiter_for_the_object() {
    check(3, || {
        let object = Object::new();
        let waiting = object.clone();
        let waiter = thread::spawn(move || waiting.wait_for_all(&[0, 1]));
        let writing = object.clone();
        let writer = thread::spawn(move || writing.change(&[1]));
        object.change(&[0]);
        writer.join().unwrap();
        waiter.join().unwrap();
    });
}

/// One waits at the stripe's word, the other at that of the object, to which it leads.
#[test]
fn both_kinds_are_woken() {
    check(3, || {
        let object = Object::new();
        let [one, other] = [object.clone(), object.clone()];
        let waiters = [thread::spawn(move || one.wait_for(0)), thread::spawn(move || other.wait_for_all(&[0]))];
        object.change(&[0]);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// The bit that leads to the object's word is set already when another one begins to wait.
#[test]
fn a_later_waiter_is_woken_too() {
    check(3, || {
        let object = Object::new();
        let [one, other] = [object.clone(), object.clone()];
        let waiters =
            [thread::spawn(move || one.wait_for_all(&[0, 1])), thread::spawn(move || other.wait_for_all(&[0]))];
        object.change(&[0, 1]);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}
