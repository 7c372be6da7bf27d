//! The sequence protocol, the hand-over of locks and the mark of changes under all schedules that loom finds, at small bounds.
//!
//! The protocols are those of the library, word for word: its source files are compiled here with loom's atomics. An owner
//! dies after each of its steps in turn; what the kernel does at its death (the lock on its process number goes away) and
//! what its undo log restores are modelled.
//!
//! loom notices that a store depends on the last load only, so a thread that loads before it stores must run first to meet
//! the others at every point: here that is the one that may die, in the main thread.
#![allow(dead_code, unreachable_pub)]

use loom::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use death::{die_in_turn, live};
use mark::Mark;
use sequence::Sequence;
use word::{LockWord, Released};

#[path = "common/death.rs"]
mod death;
#[path = "../../netshm/src/mark.rs"]
mod mark;
#[path = "common/os.rs"]
mod os;
#[path = "../../netshm/src/sequence.rs"]
mod sequence;
#[path = "../../netshm/src/locking/word.rs"]
mod word;

/// Two words that belong together, with all that guards them.
struct Stripe {
    lock: AtomicU32,
    sequence: AtomicU64,
    words: [AtomicU64; 2],
    /// The undo log: old words, and how many count.
    log: [AtomicU64; 2],
    logged: AtomicU64,
    /// The kernel's lock on the process number of the owner that may die: gone when it has.
    dead: AtomicBool,
    /// Held by whoever recovers: one at a time.
    recovering: Mutex<()>,
}

/// The slots: of the owner that may die, of the one that comes after it.
const MORTAL: u32 = 3;
const OTHER: u32 = 8;

impl Stripe {
    fn new() -> Arc<Stripe> {
        Arc::new(Stripe {
            lock: AtomicU32::new(0),
            sequence: AtomicU64::new(4),
            words: [AtomicU64::new(1), AtomicU64::new(1)],
            log: [AtomicU64::new(0), AtomicU64::new(0)],
            logged: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            recovering: Mutex::new(()),
        })
    }

    fn word(&self) -> LockWord<'_> {
        LockWord(&self.lock)
    }

    /// Changes both words as the store does.
    fn change(&self, new: u64) {
        Sequence(&self.sequence).begin_change();
        for (at, word) in self.words.iter().enumerate() {
            self.log[at].store(word.load(Relaxed), Relaxed);
            die_in_turn();
            self.logged.store(at as u64 + 1, Release);
            die_in_turn();
            word.store(new, Release);
            die_in_turn();
        }
        // The commit.
        self.logged.store(0, Release);
        die_in_turn();
        Sequence(&self.sequence).end_change();
    }

    fn release(&self) {
        let (Released::Quiet | Released::Sleepers) = self.word().release();
    }

    /// Does what a process that finds a dead owner's mark does.
    fn recover(&self) {
        let _turn = self.recovering.lock().unwrap();
        if self.word().load().owner() != Some(MORTAL) {
            return;
        }
        for at in (0..self.logged.load(Relaxed) as usize).rev() {
            self.words[at].store(self.log[at].load(Relaxed), Release);
        }
        self.logged.store(0, Release);
        Sequence(&self.sequence).end_change();
        self.release();
    }

    fn read(&self) -> Option<[u64; 2]> {
        let stamp = Sequence(&self.sequence).begin_reading()?;
        let words = [self.words[0].load(Relaxed), self.words[1].load(Relaxed)];
        stamp.holds().then_some(words)
    }
}

/// More steps than a whole life has.
const LIFE: u32 = 12;

#[test]
fn a_reader_never_sees_half_a_change() {
    for steps in 0..LIFE {
        loom::model(move || {
            let stripe = Stripe::new();
            let reader = {
                let stripe = stripe.clone();
                thread::spawn(move || {
                    if let Some(words) = stripe.read() {
                        assert!(words == [1, 1] || words == [2, 2], "{words:?}");
                    }
                })
            };
            live(steps, || {
                assert!(stripe.word().try_take(MORTAL));
                stripe.change(2);
                stripe.release();
            });
            reader.join().unwrap();
        });
    }
}

#[test]
fn a_reader_never_sees_half_a_recovery() {
    for steps in 0..LIFE {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let stripe = Stripe::new();
            let reader = {
                let stripe = stripe.clone();
                thread::spawn(move || [stripe.read(), stripe.read()])
            };
            let lived = live(steps, || {
                assert!(stripe.word().try_take(MORTAL));
                stripe.change(2);
                stripe.release();
            });
            if !lived {
                // Another process finds it dead.
                stripe.recover();
            }
            let seen = reader.join().unwrap();
            for words in seen.into_iter().flatten() {
                assert!(words == [1, 1] || words == [2, 2], "{words:?}");
            }
            let left = stripe.read().expect("nobody is at work any more");
            assert!(left == [1, 1] || left == [2, 2], "{left:?}");
            assert!(seen[1] != Some([2, 2]) || left == [2, 2], "what was seen has been undone");
        });
    }
}

/// Two owners, the first of which dies after each of its steps: the second gets the lock, alone, and finds whole words.
#[test]
fn a_lock_goes_on_from_a_dead_owner() {
    for steps in 0..LIFE {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let stripe = Stripe::new();
            let other = {
                let stripe = stripe.clone();
                thread::spawn(move || {
                    for _ in 0..3 {
                        if stripe.word().try_take(OTHER) {
                            let words = [stripe.words[0].load(Relaxed), stripe.words[1].load(Relaxed)];
                            assert!(words == [1, 1] || words == [2, 2], "{words:?}");
                            assert_eq!(stripe.logged.load(Relaxed), 0);
                            stripe.change(words[0] + 10);
                            stripe.release();
                            return;
                        }
                        if stripe.dead.load(SeqCst) {
                            stripe.recover();
                        }
                        thread::yield_now();
                    }
                })
            };
            let lived = live(steps, || {
                if stripe.word().try_take(MORTAL) {
                    stripe.change(2);
                    stripe.release();
                }
            });
            if !lived {
                stripe.dead.store(true, SeqCst);
            }
            other.join().unwrap();
            if stripe.dead.load(SeqCst) {
                stripe.recover();
            }
            let words = stripe.read().expect("nobody is at work any more");
            assert_eq!(words[0], words[1]);
            assert_eq!(stripe.word().load().owner(), None);
        });
    }
}

/// A lock word that names a slot without an owner, over a sequence left odd: whoever claims that slot makes the sequence
/// even, then frees the word. So no change of anybody is under way when the sequence becomes even, and each change has an
/// odd number of its own.
#[test]
fn a_stale_word_is_freed_by_the_owner_of_its_slot() {
    struct Stale {
        lock: AtomicU32,
        sequence: AtomicU64,
        /// Owner of the slot that the word names.
        owner: AtomicU32,
        numbers: Mutex<Vec<u64>>,
    }
    impl Stale {
        fn word(&self) -> LockWord<'_> {
            LockWord(&self.lock)
        }

        /// Does what a process that finds a stale word does.
        fn free(&self, process: u32) {
            if self.owner.compare_exchange(0, process, SeqCst, Relaxed).is_err() {
                return;
            }
            if self.word().load().owner() == Some(MORTAL) {
                Sequence(&self.sequence).end_change();
                let (Released::Quiet | Released::Sleepers) = self.word().release();
            }
            self.owner.store(0, Release);
        }

        fn change(&self) {
            Sequence(&self.sequence).begin_change();
            let number = self.sequence.load(Relaxed);
            assert_eq!(number % 2, 1);
            self.numbers.lock().unwrap().push(number);
            thread::yield_now();
            assert_eq!(self.sequence.load(Relaxed), number, "the sequence has moved under a change");
            Sequence(&self.sequence).end_change();
        }

        fn live(&self, process: u32) {
            for _ in 0..3 {
                if self.word().try_take(OTHER + process) {
                    self.change();
                    let (Released::Quiet | Released::Sleepers) = self.word().release();
                    return;
                }
                if self.word().load().owner() == Some(MORTAL) {
                    self.free(process);
                }
                thread::yield_now();
            }
        }
    }
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let stale = Arc::new(Stale {
            lock: AtomicU32::new(MORTAL + 1),
            sequence: AtomicU64::new(5),
            owner: AtomicU32::new(0),
            numbers: Mutex::new(Vec::new()),
        });
        let other = {
            let stale = stale.clone();
            thread::spawn(move || stale.live(2))
        };
        stale.live(1);
        other.join().unwrap();
        let numbers = stale.numbers.lock().unwrap();
        assert!(numbers.iter().all(|number| *number > 5));
        assert!(numbers.len() < 2 || numbers[0] != numbers[1], "{numbers:?}");
    });
}

/// A change that finds the sequence odd, with nobody there to make it even, takes another number.
#[test]
fn no_odd_number_is_used_twice() {
    loom::model(|| {
        for left in [4, 5, u64::MAX - 1, u64::MAX] {
            let sequence = AtomicU64::new(left);
            Sequence(&sequence).begin_change();
            let number = sequence.load(Relaxed);
            assert!(number % 2 == 1 && number != left, "{left}, {number}");
        }
    });
}

/// The kernel's part of a futex: sleeping if the word is as expected, and waking one sleeper.
struct Kernel {
    /// Number of sleepers, and number of those that may wake up.
    queue: Mutex<(u32, u32)>,
    woken: Condvar,
}

impl Kernel {
    fn wait(&self, word: &AtomicU32, expected: u32) {
        let mut queue = self.queue.lock().unwrap();
        if word.load(SeqCst) != expected {
            return;
        }
        queue.0 += 1;
        while queue.1 == 0 {
            queue = self.woken.wait(queue).unwrap();
        }
        queue.0 -= 1;
        queue.1 -= 1;
    }

    fn wake(&self) {
        let mut queue = self.queue.lock().unwrap();
        if queue.0 > queue.1 {
            queue.1 += 1;
            self.woken.notify_all();
        }
    }
}

/// Nobody sleeps for ever although the lock is free: loom would report a deadlock.
#[test]
fn no_wake_up_is_lost() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let lock = Arc::new(AtomicU32::new(0));
        let kernel = Arc::new(Kernel { queue: Mutex::new((0, 0)), woken: Condvar::new() });
        let inside = Arc::new(AtomicU64::new(0));
        let use_lock = |slot: u32| {
            let (lock, kernel, inside) = (lock.clone(), kernel.clone(), inside.clone());
            move || {
                let word = LockWord(&lock);
                if !word.try_take(slot) {
                    loop {
                        let seen = word.load();
                        if seen.owner().is_none() {
                            if word.try_take_after_sleep(slot) {
                                break;
                            }
                            continue;
                        }
                        let Some(seen) = word.announce_sleeper(seen) else { continue };
                        kernel.wait(&lock, seen.word());
                    }
                }
                // Alone inside, and everything that was done inside before is seen.
                let before = inside.load(Relaxed);
                assert_eq!(before % 2, 0);
                inside.store(before + 1, Relaxed);
                inside.store(before + 2, Relaxed);
                if word.release() == Released::Sleepers {
                    kernel.wake();
                }
            }
        };
        let threads = [thread::spawn(use_lock(1)), thread::spawn(use_lock(2))];
        use_lock(3)();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(inside.load(Acquire), 6);
        assert_eq!(lock.load(SeqCst) & !(1 << 31), 0);
    });
}

/// An object of two stripes with its mark, and what storage has of the mark.
struct Marked {
    mark: AtomicU64,
    stored: AtomicU64,
    /// True if storage lacks a change.
    unsynced: AtomicBool,
    locks: [AtomicU32; 2],
    /// The system writes a page back as it is at one moment, one writing after the other.
    writing_back: Mutex<()>,
}

impl Marked {
    fn word(&self, stripe: usize) -> LockWord<'_> {
        LockWord(&self.locks[stripe])
    }

    fn release(&self, stripe: usize) {
        let (Released::Quiet | Released::Sleepers) = self.word(stripe).release();
    }

    fn flush(&self) -> Result<(), ()> {
        let _turn = self.writing_back.lock().unwrap();
        self.stored.store(self.mark.load(SeqCst), SeqCst);
        Ok(())
    }

    fn change(&self, stripe: usize, slot: u32) {
        if !self.word(stripe).try_take(slot) {
            return;
        }
        let mark = Mark(&self.mark);
        if !mark.is_durable() {
            mark.note(|| self.flush()).unwrap();
        }
        // From now on any page may reach storage.
        self.unsynced.store(true, SeqCst);
        assert_ne!(self.stored.load(SeqCst), 0, "a change under a mark that storage does not have");
        die_in_turn();
        self.release(stripe);
    }

    fn sync(&self, slot: u32) {
        if !self.word(0).try_take(slot) {
            return;
        }
        if self.word(1).try_take(slot) {
            self.unsynced.store(false, SeqCst);
            Mark(&self.mark).clear();
            self.release(1);
        }
        self.release(0);
        self.flush().unwrap();
    }
}

/// Whoever dies, and wherever: storage has the mark before it can have a change that no sync covers.
#[test]
fn the_mark_is_in_storage_before_any_change() {
    for steps in 0..6 {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            let object = Arc::new(Marked {
                mark: AtomicU64::new(0),
                stored: AtomicU64::new(0),
                unsynced: AtomicBool::new(false),
                locks: [AtomicU32::new(0), AtomicU32::new(0)],
                writing_back: Mutex::new(()),
            });
            let [writer, syncer] = [object.clone(), object.clone()];
            let writer = thread::spawn(move || writer.change(1, OTHER));
            let syncer = thread::spawn(move || syncer.sync(1));
            live(steps, || object.change(0, MORTAL));
            if object.word(0).load().owner() == Some(MORTAL) {
                // Found dead.
                object.release(0);
                object.change(1, MORTAL);
            }
            writer.join().unwrap();
            syncer.join().unwrap();
            assert!(!object.unsynced.load(SeqCst) || object.stored.load(SeqCst) != 0);
        });
    }
}
