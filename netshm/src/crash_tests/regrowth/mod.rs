//! Groups that shrink a structure and let it grow again: what was in use before must come back when they are undone.

mod arrays;
mod tables;

use std::cell::RefCell;
use std::fmt::Debug;
use std::fs;
use std::time::Duration;

use super::{Case, METHODS, stride_for};
use crate::check::Report;
use crate::data::ShmData;
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::os::fork::tests::Child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::{Image, Scratch};

type Pairs = HashTable<u64, u64>;
type Texts = HashTable<u64, String>;

/// Returns the error that ends groups to be undone.
fn undo<T>() -> Result<T> {
    Err(Error::Forked { object: "on purpose".into() })
}

/// Runs something as a group.
type Group<'a, T> = &'a dyn Fn(&T, &dyn Fn() -> Result<()>) -> Result<()>;

/// An object and what a group does to it.
struct Subject<'a, T, D> {
    name: &'a str,
    open: &'a dyn Fn(Shm, Locking) -> Result<T>,
    prepare: &'a dyn Fn(&T) -> Result<()>,
    /// Shrinks the object, and lets it grow again.
    act: &'a dyn Fn(&T) -> Result<()>,
    group: Group<'a, T>,
    dump: &'a dyn Fn(&T) -> Result<D>,
    check: &'a dyn Fn(&T) -> Result<Report>,
    /// Distance between the steps after which writers are stopped.
    stride: u64,
}

impl<T, D: PartialEq + Debug> Subject<'_, T, D> {
    /// Runs the group: undone by an error, undone inside another group, undone to end a deadlock, stopped by a death, and stopped
    /// while it is undone.
    fn run(&self) {
        self.undone("by an error", &|object| {
            (self.group)(object, &|| {
                (self.act)(object)?;
                undo()
            })
        });
        self.undone("twice by errors inside", &|object| {
            (self.group)(object, &|| {
                for _ in 0..2 {
                    let inner = (self.group)(object, &|| {
                        (self.act)(object)?;
                        undo()
                    });
                    assert!(matches!(inner, Err(Error::Forked { .. })), "{inner:?}");
                }
                (self.act)(object)?;
                let inner = (self.group)(object, &|| {
                    (self.act)(object)?;
                    undo()
                });
                assert!(matches!(inner, Err(Error::Forked { .. })), "{inner:?}");
                undo()
            })
        });
        self.part_undone();
        [Locking::Record, Locking::Futex].into_iter().for_each(|locking| self.deadlocked(locking));
        for locking in METHODS {
            let open = |shm: Shm| (self.open)(shm, locking);
            let act = |object: &T| (self.group)(object, &|| (self.act)(object));
            let name = format!("{}, {locking}", self.name);
            let case = Case { name, open: &open, prepare: self.prepare, act: &act, dump: self.dump, check: self.check };
            case.run_each(stride_for(locking, self.stride));
        }
        let open = |shm: Shm| (self.open)(shm, Locking::Futex);
        let act = |object: &T| {
            let undone = (self.group)(object, &|| {
                (self.act)(object)?;
                undo()
            });
            assert!(matches!(undone, Err(Error::Forked { .. })), "{undone:?}");
            Ok(())
        };
        let name = format!("{}, undone", self.name);
        let case = Case { name, open: &open, prepare: self.prepare, act: &act, dump: self.dump, check: self.check };
        case.run_each(self.stride * 3);
    }

    fn object(&self, locking: Locking) -> (Scratch, T) {
        let copy = Scratch::new();
        let object = (self.open)(copy.open(), locking).unwrap();
        (self.prepare)(&object).unwrap();
        (copy, object)
    }

    fn content(&self, object: &T) -> D {
        let report = (self.check)(object).unwrap();
        assert!(report.is_clean(), "{}: {report}", self.name);
        (self.dump)(object).unwrap()
    }

    fn undone(&self, how: &str, act: &dyn Fn(&T) -> Result<()>) {
        for locking in METHODS {
            let (_copy, object) = self.object(locking);
            let before = self.content(&object);
            let outcome = act(&object);
            assert!(
                matches!(outcome, Err(Error::Forked { .. })),
                "{}, undone {how}, {locking}: {outcome:?}",
                self.name
            );
            assert!(self.content(&object) == before, "{}, undone {how}, {locking}: the content has changed", self.name);
        }
    }

    /// Undoes a part, but not the group around it.
    fn part_undone(&self) {
        let (_copy, object) = self.object(Locking::Futex);
        let expected = RefCell::new(None);
        (self.group)(&object, &|| {
            (self.act)(&object)?;
            expected.replace(Some((self.dump)(&object)?));
            let inner = (self.group)(&object, &|| {
                (self.act)(&object)?;
                undo()
            });
            assert!(matches!(inner, Err(Error::Forked { .. })), "{inner:?}");
            Ok(())
        })
        .unwrap();
        assert!(Some(self.content(&object)) == expected.take(), "{}: the part undone has left traces", self.name);
    }

    /// Undoes a group that waits for another process's, which waits for it: that one finds what was there before, and goes on with it.
    fn deadlocked(&self, locking: Locking) {
        let name = format!("{}, in a deadlock, {locking}", self.name);
        let copy = Scratch::new();
        let open = || {
            let object = (self.open)(copy.open(), locking).unwrap();
            let options = Pairs::options().locking(locking).named("beside").stripes(1);
            // Under Record, who waits without a limit waits in the kernel, and the other one gives way.
            (object, options.lock_timeout(Duration::from_secs(3600)).manage(copy.open()).unwrap())
        };
        let before = {
            let (object, beside) = open();
            beside.add(&1, &0).unwrap();
            (self.prepare)(&object).unwrap();
            self.content(&object)
        };
        let prepared = fs::read(&copy.0).unwrap();
        let mut other = Child::start(|| {
            let (object, beside) = open();
            beside.handle().store.prefer_slot(0);
            let outcome = (self.group)(&object, &|| {
                beside.replace(&1, &1)?;
                steps::pause_after(0);
                steps::step();
                assert!((self.dump)(&object)? == before, "{name}: the other group finds other content");
                (self.act)(&object)
            });
            outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
            0
        });
        assert_eq!(other.wait(), None, "{name}");
        let (object, beside) = open();
        // Of a ring, the largest slot gives way.
        beside.handle().store.prefer_slot(1);
        let outcome = beside.group(|| {
            (self.act)(&object)?;
            other.go_on();
            beside.replace(&1, &2)
        });
        assert!(matches!(outcome, Err(Error::Deadlock { .. })), "{name}: {outcome:?}");
        assert_eq!(other.wait(), Some(0), "{name}");
        assert_eq!(beside.find(&1).unwrap(), Some(1), "{name}");
        let alone = Scratch::new();
        Image::of(&prepared).write(&alone.0);
        let expected = (self.open)(alone.open(), locking).unwrap();
        (self.act)(&expected).unwrap();
        assert!(self.content(&object) == self.content(&expected), "{name}: the other group has done something else");
    }
}

/// Returns what opens a table of one stripe, which is not larger than `max_size`.
fn table<V: ShmData>(max_size: u64) -> impl Fn(Shm, Locking) -> Result<HashTable<u64, V>> {
    move |shm, locking| HashTable::options().locking(locking).stripes(1).slots(2).init(1).max_size(max_size).manage(shm)
}

fn sorted<V: crate::data::DataManager + Ord>(table: &HashTable<u64, V>) -> Result<Vec<(u64, V)>> {
    let mut all = table.scan().collect::<Result<Vec<_>>>()?;
    all.sort();
    assert_eq!(all.len(), table.len()?);
    Ok(all)
}
