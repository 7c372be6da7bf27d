//! Lock words, owners and process numbers that do not fit together, as a machine that stopped or damage leaves them: nobody
//! waits for ever, and a process that has the object alone resets them.

use std::fs;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::METHODS;
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::layout::{Offset32, header};
use crate::locking::word_of;
use crate::os::lock::{self, LockKind, bytes};
use crate::shm::Shm;
use crate::store::Store;
use crate::testing::Scratch;

type Texts = HashTable<String, String>;

/// More than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);
/// A number that another process has.
const LIVING: u32 = 900;

/// Returns the result of `act`, if it ends.
#[track_caller]
pub(super) fn ends<R: Send + 'static>(what: &str, act: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = channel();
    std::thread::spawn(move || drop(sender.send(act())));
    receiver.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{what}: {error}"))
}

fn open(shm: Shm, locking: Locking, limit: Option<Duration>) -> Result<Texts> {
    let mut options = Texts::options().locking(locking).stripes(1).slots(2).init(1).max_size(1 << 26);
    if let Some(limit) = limit {
        options = options.lock_timeout(limit);
    }
    options.manage(shm)
}

fn set(store: &Store, place: Offset32, value: u32) {
    store.region().field32(place).store(value, Relaxed);
}

fn make_odd(store: &Store, stripe: u32) {
    let word = store.region().field(store.geometry().stripe(stripe).sequence());
    word.store(word.load(Relaxed) | 1, Relaxed);
}

/// Makes a slot the owner of a stripe, and a number that of the slot; the number's own word stays as it is.
fn own(store: &Store, stripe: u32, slot: u32, number: u32) {
    let geometry = store.geometry();
    set(store, geometry.stripe(stripe).lock(), slot + 1);
    make_odd(store, stripe);
    set(store, geometry.slot(slot).owner(), number);
}

/// Name of a fault, `true` if it shows as damage while others use the object, and a function that makes it.
type Wrong = (&'static str, bool, fn(&Store));

const WRONG: [Wrong; 12] = [
    ("a slot owned by a number whose word is 0", false, |store| own(store, 1, 1, 7)),
    ("the same for the number that the finder takes", false, |store| own(store, 1, 1, 1)),
    ("the same for the meta stripe", false, |store| own(store, store.geometry().meta(), 1, 7)),
    ("a stripe with the slot that the finder takes", false, |store| own(store, 1, 0, 0)),
    ("a stripe with another free slot", false, |store| own(store, 1, 1, 0)),
    ("the meta stripe with the slot that the finder takes", false, |store| own(store, store.geometry().meta(), 0, 0)),
    ("all slots owned by nobody", false, |store| {
        (0..store.geometry().slots).for_each(|slot| set(store, store.geometry().slot(slot).owner(), 9));
    }),
    ("sleepers without an owner", false, |store| {
        (0..store.region().stripes_used()).for_each(|stripe| word_of(store.region(), stripe).0.store(1 << 31, Relaxed));
    }),
    ("a change that nobody makes", false, |store| make_odd(store, 0)),
    ("slots that wait for something", false, |store| {
        own(store, 1, 1, 7);
        (0..store.geometry().slots).for_each(|slot| set(store, store.geometry().slot(slot).wait(), 0x0002_0001));
    }),
    ("a slot owned by a number that cannot be", true, |store| own(store, 1, 1, u32::MAX)),
    ("a stripe with a slot that is not there", true, |store| set(store, store.geometry().stripe(1).lock(), 77)),
];

fn use_it(table: &Texts) -> Result<()> {
    table.find("a")?;
    table.add("c", &"long".repeat(1000))?;
    table.group(|| table.replace("a", "x"))?;
    assert_eq!(table.len()?, table.scan().collect::<Result<Vec<_>>>()?.len());
    table.remove("c")?;
    let report = table.check()?;
    assert!(report.is_clean(), "{report}");
    table.clear()
}

fn spoil(copy: &Scratch, locking: Locking, wrong: fn(&Store), boot: u64) {
    let table = open(copy.open(), locking, None).unwrap();
    table.add("a", "1").unwrap();
    table.add("b", "2").unwrap();
    let store = &table.handle().store;
    store.region().field(header::BOOTS).fetch_xor(boot, Relaxed);
    wrong(store);
}

#[test]
fn the_only_process_puts_them_in_order() {
    for (locking, boot) in METHODS.into_iter().flat_map(|locking| [(locking, 0), (locking, 1)]) {
        for (what, _, wrong) in WRONG {
            let copy = Scratch::new();
            spoil(&copy, locking, wrong, boot);
            let shm = copy.open();
            ends(what, move || open(shm, locking, None).and_then(|table| use_it(&table))).unwrap();
        }
    }
}

#[test]
fn they_are_put_in_order_beside_others() {
    for locking in METHODS {
        for (what, is_damage, wrong) in WRONG {
            let copy = Scratch::new();
            spoil(&copy, locking, wrong, 0);
            // As another process holds it.
            let other = fs::File::options().read(true).write(true).open(&copy.0).unwrap();
            let number = bytes::PROCESS + u64::from(LIVING);
            assert_eq!(
                lock::ofd_lock(other.as_fd(), LockKind::Exclusive, number, false).unwrap(),
                lock::Outcome::Locked
            );
            let shm = copy.open();
            let outcome = ends(what, move || open(shm, locking, None).and_then(|table| use_it(&table)));
            assert!(outcome.is_ok() || is_damage, "{locking}, {what}: {outcome:?}");
        }
    }
}

#[test]
fn waits_for_them_have_their_limit() {
    for locking in METHODS {
        for (what, _, wrong) in WRONG {
            let copy = Scratch::new();
            let table = Arc::new(open(copy.open(), locking, Some(Duration::from_millis(20))).unwrap());
            table.add("a", "1").unwrap();
            let verbs: [fn(&Texts) -> Result<()>; 5] = [
                |table| table.find("a").map(drop),
                |table| table.add("b", &"long".repeat(1000)),
                |table| table.group(|| table.replace("a", "y")),
                |table| table.check().map(drop),
                Texts::clear,
            ];
            for verb in verbs {
                wrong(&table.handle().store);
                let user = table.clone();
                // Either is right: what looks as if this very process held it cannot be told from that.
                let _ = ends(what, move || verb(&user));
            }
        }
    }
}
