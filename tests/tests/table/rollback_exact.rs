//! After a group that failed, everything is as before, down to the figures of a check; only the object's size, free space
//! and logs may have grown.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use netshm::{Array, Error, HashTable, Locking, Report, Result, Shm, ShmName, Table};
use netshm_tests::{Child, Random, Scratch};

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

/// Keys that are there before.
const KEYS: u64 = 200;

/// An object whose groups fail.
trait Subject: Sized + Sync {
    type Content: PartialEq + Debug;

    fn open(shm: Shm, locking: Locking) -> Result<Self>;
    /// Makes one of many changes.
    fn change(&self, random: &mut Random) -> Result<()>;
    /// Returns a change of one key only.
    fn touch(&self, key: u64) -> Result<()>;
    fn content(&self) -> Result<Self::Content>;
    fn group<R>(&self, body: impl FnOnce() -> Result<R>) -> Result<R>;
    fn check(&self) -> Result<Report>;
}

fn bytes(random: &mut Random) -> Vec<u8> {
    let length = [0, 20, 400, 3000, 20_000][random.below(5) as usize];
    vec![random.number() as u8 & 127; random.below(length + 1) as usize]
}

macro_rules! table_subject {
    ($table:ty, $key:ty, $value:ty, $pass:expr, $make_key:expr, $make_value:expr) => {
        impl Subject for $table {
            type Content = Vec<($key, Vec<$value>)>;

            fn open(shm: Shm, locking: Locking) -> Result<Self> {
                Self::options().locking(locking).stripes(8).init(16).pagesize(256).manage(shm)
            }

            fn change(&self, random: &mut Random) -> Result<()> {
                let key: $key = $make_key(random.below(2 * KEYS));
                let key = $pass(&key);
                let value: $value = $make_value(bytes(random));
                match random.below(40) {
                    0 => self.clear(),
                    1..12 => self.add(key, &value),
                    12..20 => self.replace(key, &value),
                    20..24 => self.update(key, |old| old.is_none().then_some(value)).map(drop),
                    24..28 => self.remove_all(key).map(drop),
                    28..32 => self.pop(key).map(drop),
                    _ => self.remove(key).map(drop),
                }
            }

            fn touch(&self, key: u64) -> Result<()> {
                self.replace($pass(&$make_key(key)), &$make_value(vec![1; 700]))
            }

            fn content(&self) -> Result<Self::Content> {
                let mut keys = self.keys().collect::<Result<Vec<_>>>()?;
                keys.sort_unstable();
                keys.into_iter().map(|key| self.find_all($pass(&key)).map(|values| (key, values))).collect()
            }

            fn group<R>(&self, body: impl FnOnce() -> Result<R>) -> Result<R> {
                self.group(body)
            }

            fn check(&self) -> Result<Report> {
                self.check()
            }
        }
    };
}

table_subject!(
    HashTable<String, Vec<u8>>,
    String,
    Vec<u8>,
    std::convert::identity,
    |number: u64| format!("{number}{}", "-".repeat(number as usize * 7 % 300)),
    std::convert::identity::<Vec<u8>>
);

// Pairs lie in the buckets themselves.
table_subject!(HashTable<u64, u64>, u64, u64, std::convert::identity, std::convert::identity::<u64>, |bytes: Vec<u8>| bytes
    .len() as u64);

table_subject!(Table, i32, Vec<i32>, |key: &i32| *key, |number: u64| number as i32 - 100, |bytes: Vec<u8>| bytes
    .into_iter()
    .map(i32::from)
    .collect::<Vec<i32>>());

macro_rules! array_subject {
    ($element:ty, $default:expr, $make:expr) => {
        impl Subject for Array<$element> {
            type Content = Vec<$element>;

            fn open(shm: Shm, locking: Locking) -> Result<Self> {
                let array: Self =
                    Self::options().locking(locking).stripes(8).init(16).pagesize(256).manage(shm, $default)?;
                if array.is_empty()? {
                    array.resize(5000)?;
                }
                Ok(array)
            }

            fn change(&self, random: &mut Random) -> Result<()> {
                let length = self.len()?;
                if length < 2000 || random.once_in(30) {
                    return self.resize(2000 + random.below(10_000) as usize);
                }
                let (one, other) = (random.below(length as u64) as usize, random.below(length as u64) as usize);
                match random.below(4) {
                    0 => self.swap(one, other),
                    1 => self.update(one, |_| $make(random.number(), bytes(random))).map(drop),
                    _ => self.set(one, &$make(random.number(), bytes(random))),
                }
            }

            fn touch(&self, key: u64) -> Result<()> {
                // Each in a chunk, and so a stripe, of its own.
                self.set(key as usize * 140, &$make(key, vec![1; 700]))
            }

            fn content(&self) -> Result<Self::Content> {
                (0..self.len()?).map(|index| self.get(index)).collect()
            }

            fn group<R>(&self, body: impl FnOnce() -> Result<R>) -> Result<R> {
                self.group(body)
            }

            fn check(&self) -> Result<Report> {
                self.check()
            }
        }
    };
}

array_subject!(i64, -1, |number, _: Vec<u8>| number as i64);
array_subject!(String, String::new(), |_: u64, bytes| String::from_utf8(bytes).expect("ASCII"));

fn any_error() -> Error {
    "no name".parse::<ShmName>().expect_err("it has no kind")
}

/// Returns what has to be the same. Overhead belongs to free memory, too, in however many pieces.
fn figures(report: &Report) -> [u64; 5] {
    assert!(report.is_clean(), "{report}");
    [report.keys, report.bindings, report.used, report.index, report.lost]
}

/// Lets groups fail in that way; `change` is what they do before.
fn fails<S: Subject>(fail: impl Fn(&S, &mut dyn FnMut() -> Result<()>)) {
    for locking in METHODS {
        let object = Scratch::posix("rollback");
        let subject = S::open(object.open(), locking).unwrap();
        let mut random = Random::new(42);
        for round in 1..8 {
            for _ in 0..100 {
                subject.change(&mut random).unwrap();
            }
            let before = (subject.content().unwrap(), figures(&subject.check().unwrap()));
            // From a few changes to enough for the log to grow several times.
            let times = 1 << round;
            fail(&subject, &mut || (0..times).try_for_each(|_| subject.change(&mut random)));
            let after = (subject.content().unwrap(), figures(&subject.check().unwrap()));
            assert!(before.0 == after.0, "{locking}, round {round}: the content has changed");
            assert_eq!(before.1, after.1, "{locking}, round {round}");
        }
    }
}

fn error<S: Subject>() {
    fails(|subject: &S, change| {
        let outcome = subject.group(|| {
            change()?;
            Err::<(), Error>(any_error())
        });
        assert!(matches!(outcome, Err(Error::InvalidName { .. })), "{outcome:?}");
    });
}

fn panic<S: Subject>() {
    fails(|subject: &S, change| {
        let body = || {
            subject.group(|| {
                change()?;
                // Without the message of the hook.
                std::panic::resume_unwind(Box::new("on purpose"));
                #[allow(unreachable_code)]
                Ok(())
            })
        };
        let message = catch_unwind(AssertUnwindSafe(body)).unwrap_err();
        assert_eq!(message.downcast_ref(), Some(&"on purpose"));
    });
}

fn nested<S: Subject>() {
    // The inner group fails, and the outer one changes nothing else.
    fails(|subject: &S, change| {
        subject
            .group(|| {
                let inner = subject.group(|| {
                    subject.group(&mut *change)?;
                    change()?;
                    Err::<(), Error>(any_error())
                });
                assert!(matches!(inner, Err(Error::InvalidName { .. })), "{inner:?}");
                Ok(())
            })
            .unwrap();
    });
}

/// Threads get in each other's way until some of their groups have ended in deadlocks; the others fail in the end.
fn deadlock<S: Subject>() {
    let object = Scratch::posix("rollback-deadlock");
    // Under Record, groups of one process wait for each other from the start.
    let subject = S::open(object.open(), Locking::Futex).unwrap();
    let mut random = Random::new(42);
    (0..300).try_for_each(|_| subject.change(&mut random)).unwrap();
    let before = (subject.content().unwrap(), figures(&subject.check().unwrap()));
    let deadlocks = AtomicU32::new(0);
    let run = |forward: bool| {
        for round in 0..100_000 {
            let (one, other) = if forward { (round % 7, 10 + round % 5) } else { (10 + round % 5, round % 7) };
            let outcome = subject.group(|| {
                subject.touch(one)?;
                thread::sleep(Duration::from_micros(200));
                subject.touch(other)?;
                Err::<(), Error>(any_error())
            });
            match outcome {
                Err(Error::Deadlock { .. }) => drop(deadlocks.fetch_add(1, Relaxed)),
                other => assert!(matches!(other, Err(Error::InvalidName { .. })), "{other:?}"),
            }
            if deadlocks.load(Relaxed) >= 10 {
                return;
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| run(true));
        scope.spawn(|| run(false));
    });
    assert!(deadlocks.load(Relaxed) >= 10);
    let after = (subject.content().unwrap(), figures(&subject.check().unwrap()));
    assert!(before.0 == after.0, "the content has changed");
    assert_eq!(before.1, after.1);
}

/// This number of groups of two processes end in deadlocks, after several changes.
const DEADLOCKS: u64 = 20;

/// Makes groups of two processes collide; all of them fail.
fn deadlock_of_processes<S: Subject>(kind: &str) {
    for locking in [Locking::Record, Locking::Futex] {
        let [object, counter] = [Scratch::posix("rollback-processes"), Scratch::posix("rollback-counter")];
        let subject = S::open(object.open(), locking).unwrap();
        let deadlocks: Array<u64> = Array::manage(counter.open(), 0, Locking::Futex).unwrap();
        deadlocks.resize(1).unwrap();
        let mut random = Random::new(42);
        for round in 1..3 {
            (0..200).try_for_each(|_| subject.change(&mut random)).unwrap();
            let before = (subject.content().unwrap(), figures(&subject.check().unwrap()));
            deadlocks.set(0, &0).unwrap();
            let names = [object.name().to_string(), counter.name().to_string()];
            let start = |seed| {
                Child::start(&format!("rollback_exact::{kind}"), &[&locking.to_string(), &names[0], &names[1], seed])
            };
            [start("1"), start("2")].into_iter().for_each(Child::succeed);
            assert!(deadlocks.get(0).unwrap() >= DEADLOCKS, "{locking}");
            let after = (subject.content().unwrap(), figures(&subject.check().unwrap()));
            assert!(before.0 == after.0, "{locking}, round {round}: the content has changed");
            assert_eq!(before.1, after.1, "{locking}, round {round}");
        }
    }
}

/// Plays the part of each of the two.
fn collide<S: Subject>(arguments: &[String]) {
    let [locking, object, counter, seed] = arguments else { panic!("four arguments") };
    let locking = METHODS.into_iter().find(|method| method.to_string() == *locking).unwrap();
    let subject = S::open(Shm::open(object).unwrap(), locking).unwrap();
    let deadlocks: Array<u64> = Array::options().manage(Shm::open(counter).unwrap(), 0).unwrap();
    let mut random = Random::new(seed.parse().unwrap());
    while deadlocks.get(0).unwrap() < DEADLOCKS {
        let mut changes = 0;
        let outcome = subject.group(|| {
            // Changes of an array begin with a look at its length, for which groups would wait one after the other.
            let touches = random.below(7);
            // Enough for the log to grow.
            for step in 0..1 << random.below(7) {
                if step < touches {
                    subject.touch(random.below(14))?
                } else {
                    subject.change(&mut random)?
                }
                changes += 1;
                thread::sleep(Duration::from_micros(20));
            }
            Err::<(), Error>(any_error())
        });
        match outcome {
            Err(Error::Deadlock { .. }) => {
                if changes > 2 {
                    deadlocks.update(0, |count| count + 1).unwrap();
                }
            }
            other => assert!(matches!(other, Err(Error::InvalidName { .. })), "{other:?}"),
        }
    }
}

macro_rules! tests {
    ($($name:ident: $subject:ty;)*) => {
        pub(crate) fn child(kind: &str, arguments: &[String]) {
            match kind {
                $(stringify!($name) => collide::<$subject>(arguments),)*
                other => panic!("no such part: {other}"),
            }
        }

        $(mod $name {
            use super::*;

            #[test]
            fn after_an_error() {
                error::<$subject>();
            }

            #[test]
            fn after_a_panic() {
                panic::<$subject>();
            }

            #[test]
            fn after_a_nested_failure() {
                nested::<$subject>();
            }

            #[test]
            fn after_deadlocks() {
                deadlock::<$subject>();
            }

            #[test]
            fn after_deadlocks_of_processes() {
                deadlock_of_processes::<$subject>(stringify!($name));
            }
        })*
    };
}

tests! {
    hash_table: HashTable<String, Vec<u8>>;
    pairs: HashTable<u64, u64>;
    table: Table;
    array_of_numbers: Array<i64>;
    array_of_texts: Array<String>;
}
