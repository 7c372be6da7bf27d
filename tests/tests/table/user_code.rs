//! Code of the user that fails, panics or uses the table, wherever the library calls it: managers, conversions, comparisons,
//! closures, destructors at the end of a thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use netshm::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};
use netshm::dynamic::{DynTable, Value};
use netshm::{Array, Error, HashTable, Locking, Shm, ShmData, ShmKey, group};
use netshm_tests::{Child, Scratch};

type Hook = Box<dyn Fn()>;

thread_local! {
    /// Behaviour of the user's code of this thread.
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Runs the hook, which does not call itself.
fn called() {
    CALLS.set(CALLS.get() + 1);
    if let Some(hook) = HOOK.take() {
        hook();
        HOOK.set(Some(hook));
    }
}

/// Runs `body` while the user's code does what `hook` does: how often that was called.
fn hooked<R>(hook: impl Fn() + 'static, body: impl FnOnce() -> R) -> (R, u32) {
    CALLS.set(0);
    HOOK.set(Some(Box::new(hook)));
    let result = body();
    HOOK.set(None);
    (result, CALLS.get())
}

/// Runs a test that waits for itself if it fails.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(test));
        let _ = done.send(());
        outcome
    });
    wait.recv_timeout(Duration::from_secs(60)).expect("it does not wait for itself");
    if let Err(panic) = thread.join().unwrap() {
        std::panic::resume_unwind(panic);
    }
}

/// A manager written by hand. 13 cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ByHand(u64);

impl DataManager for ByHand {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        called();
        out.put(self.0)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        called();
        match input.get()? {
            13 => Err(DataError::new("ByHand", "thirteen")),
            number => Ok(ByHand(number)),
        }
    }
    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

/// Converted, compared and dropped by the user's code.
#[derive(ShmData, Debug, Clone, PartialEq, Eq)]
struct Busy {
    #[shm(as = u64)]
    number: Even,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Even(u64);

impl From<Even> for u64 {
    fn from(even: Even) -> u64 {
        called();
        even.0
    }
}

impl TryFrom<u64> for Even {
    type Error = ();
    fn try_from(number: u64) -> Result<Even, ()> {
        called();
        if number == 13 { Err(()) } else { Ok(Even(number)) }
    }
}

impl PartialOrd for Busy {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Busy {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        called();
        self.number.0.cmp(&other.number.0)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        called();
    }
}

fn busy(number: u64) -> Busy {
    Busy { number: Even(number) }
}

fn open<K: ShmKey, V: ShmData>(object: &Scratch, locking: Locking) -> HashTable<K, V> {
    HashTable::manage(object.open(), locking).unwrap()
}

#[test]
fn a_value_that_cannot_be_read_is_not_popped() {
    fn check<V: ShmData + std::fmt::Debug>(make: impl Fn(u64) -> V) {
        for locking in [Locking::Futex, Locking::Record] {
            let object = Scratch::posix("user-pop");
            let table: HashTable<u64, V> = open(&object, locking);
            table.add(&1, &make(2)).unwrap();
            table.add(&1, &make(13)).unwrap();
            assert!(matches!(table.pop(&1), Err(Error::Decode { .. })));
            let in_group: Result<(), Error> = group!(table => {
                assert!(matches!(table.pop(&1), Err(Error::Decode { .. })));
            });
            in_group.unwrap();
            assert_eq!(table.len().unwrap(), 2);
            assert!(table.remove(&1).unwrap());
            assert!(table.pop(&1).unwrap().is_some());
            assert!(table.pop(&1).unwrap().is_none());
            assert!(table.check().unwrap().is_clean());
        }
    }
    check(ByHand);
    check(|number| vec![ByHand(1), ByHand(number)]);
    check(|number| (String::new(), Some(Box::new(ByHand(number)))));
    check(busy);
    check(|number| vec![busy(number); 40]);
}

#[test]
fn a_row_that_does_not_fit_its_schema_is_not_popped() {
    let object = Scratch::posix("user-pop-dynamic");
    let table: HashTable<u64, Sloppy> = open(&object, Locking::Futex);
    table.add(&1, &Sloppy).unwrap();
    let rows = DynTable::open(object.open()).unwrap();
    assert!(matches!(rows.pop(&Value::from(1u64)), Err(Error::Decode { .. })));
    assert_eq!(table.len().unwrap(), 1);
}

/// Writes words that are not a value of the type that it claims.
struct Sloppy;

impl DataManager for Sloppy {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(2)
    }
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.get().map(|_| Sloppy)
    }
    fn schema(types: &mut Types) -> Schema {
        Option::<String>::schema(types)
    }
}

#[test]
fn a_panic_that_is_caught_in_a_group_leaves_no_half_of_an_operation() {
    fn check<V: ShmData>(make: impl Fn(u64) -> V) {
        let object = Scratch::posix("user-panic");
        let table: HashTable<u64, V> = open(&object, Locking::Futex);
        table.add(&1, &make(2)).unwrap();
        // At each of the calls in turn.
        for call in 1.. {
            let panics = move || assert!(CALLS.get() != call, "as the test wants it");
            let (caught, calls) = hooked(panics, || {
                let mut caught = 0;
                table
                    .group(|| {
                        caught += u32::from(catch_unwind(AssertUnwindSafe(|| table.add(&2, &make(4)))).is_err());
                        caught += u32::from(catch_unwind(AssertUnwindSafe(|| table.replace(&1, &make(6)))).is_err());
                        caught += u32::from(catch_unwind(AssertUnwindSafe(|| table.pop(&2))).is_err());
                        Ok::<(), Error>(())
                    })
                    .unwrap();
                caught
            });
            let report = table.check().unwrap();
            assert!(report.is_clean(), "call {call}: {report}");
            assert!(table.find(&1).unwrap().is_some());
            table.remove_all(&2).unwrap();
            if caught == 0 && calls < call {
                break;
            }
        }
    }
    check(ByHand);
    check(|number| vec![ByHand(number); 100]);
    check(|number| Some(Box::new(vec![vec![ByHand(number); 100]])));
}

#[test]
fn code_that_uses_the_table_that_calls_it_does_not_wait_for_itself() {
    fn check<V: ShmData + 'static>(make: fn(u64) -> V) {
        for locking in [Locking::Futex, Locking::Record] {
            let object = Scratch::posix("user-callback");
            let table: HashTable<u64, V> = open(&object, locking);
            let same: HashTable<u64, u64> = HashTable::options().locking(locking).manage(other(&object)).unwrap();
            let again: HashTable<u64, V> = open(&object, locking);
            let value = make(2);
            let hook = move || {
                // All of them work or give an error.
                let _ = again.len();
                let _ = again.remove(&99);
                let _ = again.contains(&1);
                let _ = group!(again => again.remove(&98)?);
                let _ = again.sync();
                let _ = same.add(&1, &1);
            };
            let ((), calls) = hooked(hook, || {
                table.add(&1, &value).unwrap();
                table.replace(&1, &value).unwrap();
                table.add_if_absent(&2, &value).unwrap();
                assert!(table.find(&1).unwrap().is_some());
                assert_eq!(table.find_many([&1, &2]).unwrap().len(), 2);
                assert_eq!(table.find_all(&1).unwrap().len(), 1);
                assert!(table.update(&1, |old| old).unwrap().is_some());
                table.get_or_insert_with(&3, || make(4)).unwrap();
                let mut count = 0;
                table.for_each(|_, _| count += 1).unwrap();
                assert_eq!(count, 3);
                assert_eq!(table.scan().filter(Result::is_ok).count(), 3);
                group!(table => {
                    table.add(&4, &value)?;
                    assert!(table.find(&4)?.is_some());
                    assert!(table.pop(&4)?.is_some());
                })
                .unwrap();
                assert!(table.pop(&1).unwrap().is_some());
                assert!(table.check().unwrap().is_clean());
            });
            assert!(calls > 10, "{calls}");
        }
    }
    in_time(|| {
        check(ByHand);
        check(|number| vec![ByHand(number); 100]);
        check(|number| vec![busy(number); 100]);
        check(|number| BTreeSet::from([busy(number), busy(number + 2)]));
        check(|number| (vec![Some(Box::new(busy(number)))], [ByHand(1), ByHand(2)]));
    });
}

/// Opens another object, beside that of the test.
fn other(object: &Scratch) -> Shm {
    let name: netshm::ShmName = format!("{}-other", object.name()).parse().unwrap();
    let shm = Shm::options().create(true).open(&name).unwrap();
    name.unlink().unwrap();
    shm
}

#[test]
fn a_manager_that_uses_the_object_under_a_check_gets_an_error_of_its_own() {
    in_time(|| {
        let object = Scratch::posix("user-check");
        let table: HashTable<u64, ByHand> = open(&object, Locking::Futex);
        table.add(&1, &ByHand(1)).unwrap();
        let again: HashTable<u64, ByHand> = open(&object, Locking::Futex);
        let hook = move || {
            assert!(matches!(again.contains(&1), Err(Error::Reentrant { .. })));
            assert!(matches!(again.remove(&1), Err(Error::Reentrant { .. })));
        };
        let (report, calls) = hooked(hook, || table.check().unwrap());
        assert!(report.is_clean() && calls == 1);
        // A panic of it leaves nothing locked.
        let (outcome, _) =
            hooked(|| panic!("as the test wants it"), || catch_unwind(AssertUnwindSafe(|| table.check())));
        assert!(outcome.is_err());
        table.add(&2, &ByHand(1)).unwrap();
        assert!(table.check().unwrap().is_clean());
    });
}

thread_local! {
    /// Used before anything of the library's, so that it is destroyed after all of that.
    static LAST: Last = const { Last(RefCell::new(None)) };
}

struct Last(RefCell<Option<HashTable<u64, u64>>>);

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(table) = self.0.take() {
            use_all(&table);
        }
    }
}

fn use_all(table: &HashTable<u64, u64>) {
    table.add(&1, &1).unwrap();
    table.update(&1, |old| old.map(|old| old + 1)).unwrap();
    assert_eq!(table.get_or_insert_with(&2, || 5).unwrap(), 5);
    let mut sum = 0;
    table.for_each(|_, value| sum += value).unwrap();
    assert_eq!(sum, 7);
    group!(table => {
        table.add(&3, &3)?;
        group!(table => table.remove(&1)?)?;
    })
    .unwrap();
    assert!(group!(table => { table.clear()?; return Err(any_error()) }).is_err());
    assert!(table.check().unwrap().is_clean());
    table.clear().unwrap();
    println!("> works");
}

/// Returns an error to leave a group with.
fn any_error() -> Error {
    "no name".parse::<netshm::ShmName>().unwrap_err()
}

#[test]
fn groups_work_in_destructors_of_threads_and_at_exit() {
    let object = Scratch::posix("user-exit");
    let table: HashTable<u64, u64> = open(&object, Locking::Futex);
    for way in ["thread", "exit"] {
        let child = Child::start(&format!("user_code::{way}"), &[&object.name().to_string()]);
        assert_eq!(child.line().as_deref(), Some("works"), "{way}");
        drop(child);
        table.clear().unwrap();
    }
}

pub(crate) fn child(way: &str, arguments: &[String]) {
    let shm = Shm::open(&arguments[0]).unwrap();
    let table: HashTable<u64, u64> = HashTable::manage(shm, Locking::Futex).unwrap();
    let exits = way == "exit";
    let thread = std::thread::spawn(move || {
        LAST.with(|last| {
            table.update(&1, |_| None).unwrap();
            *last.0.borrow_mut() = Some(table);
        });
        if exits {
            std::process::exit(0);
        }
    });
    thread.join().unwrap();
}

/// An iterator may say of its length what it likes.
#[test]
fn iterators_that_lie_about_their_lengths() {
    struct Lies<I>(I);

    impl<I: Iterator> Iterator for Lies<I> {
        type Item = I::Item;

        fn next(&mut self) -> Option<I::Item> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (usize::MAX, None)
        }
    }

    let scratch = Scratch::posix("user-lies");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    table.add_many(Lies(0..100).map(|key| (key, key))).unwrap();
    let found = table.find_many(Lies([98, 99, 100, 101].iter())).unwrap();
    assert_eq!(found, [Some(98), Some(99), None, None]);
    let scratch = Scratch::posix("user-lies-array");
    let array: Array<u64> = Array::manage(scratch.open(), 7, Locking::Futex).unwrap();
    array.resize(10).unwrap();
    assert_eq!(array.get_many(Lies(3..5).map(|index| index as usize)).unwrap(), [7, 7]);
}
