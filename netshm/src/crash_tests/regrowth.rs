//! Groups that shrink a structure and let it grow again: what was in use before must come back when they are undone.

use std::cell::RefCell;
use std::fmt::Debug;

use super::{Case, METHODS, stride_for};
use crate::array::Array;
use crate::check::Report;
use crate::data::ShmData;
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::shm::Shm;
use crate::testing::Scratch;

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
    /// Runs the group: undone by an error, undone inside another group, stopped by a death, and stopped while it is undone.
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

/// Takes buckets back and splits others again, so that the same places are filled again.
#[test]
fn buckets_of_pairs() {
    let prepare = |table: &Pairs| {
        (0..90).try_for_each(|key| table.add(&key, &!key))?;
        (32..90).try_for_each(|key| table.remove(&key).map(drop))
    };
    let act = |table: &Pairs| {
        (0..6).try_for_each(|key| table.remove(&key).map(drop))?;
        (1000..1060).try_for_each(|key| table.add(&key, &key))?;
        (1000..1060).try_for_each(|key| table.remove(&key).map(drop))
    };
    Subject {
        name: "buckets of pairs",
        open: &table(1 << 26),
        prepare: &prepare,
        act: &act,
        group: &|table, body| table.group(body),
        dump: &sorted,
        check: &Pairs::check,
        stride: 7,
    }
    .run();
}

/// The same with records, some of which have runs of their own.
#[test]
fn buckets_of_records() {
    let text = |key: u64| "r".repeat((key * 37 % 60) as usize + if key.is_multiple_of(16) { 10_000 } else { 0 });
    let prepare = |table: &Texts| {
        (0..90).try_for_each(|key| table.add(&key, &text(key)))?;
        (32..90).try_for_each(|key| table.remove(&key).map(drop))
    };
    let act = |table: &Texts| {
        (0..6).try_for_each(|key| table.remove(&key).map(drop))?;
        (1000..1060).try_for_each(|key| table.add(&key, &text(key)))?;
        (1010..1030).try_for_each(|key| table.remove(&key).map(drop))
    };
    Subject {
        name: "buckets of records",
        open: &table(1 << 26),
        prepare: &prepare,
        act: &act,
        group: &|table, body| table.group(body),
        dump: &sorted,
        check: &Texts::check,
        stride: 23,
    }
    .run();
}

/// Whole segments are given back and taken again, and the table is emptied and filled.
#[test]
fn segments() {
    let prepare = |table: &Pairs| (0..130).try_for_each(|key| table.add(&key, &!key));
    let act = |table: &Pairs| {
        (0..110).try_for_each(|key| table.remove(&key).map(drop))?;
        (1000..1100).try_for_each(|key| table.add(&key, &key))?;
        table.clear()?;
        (2000..2090).try_for_each(|key| table.add(&key, &key))?;
        (2000..2080).try_for_each(|key| table.remove(&key).map(drop))?;
        (0..60).try_for_each(|key| table.add(&key, &key))
    };
    Subject {
        name: "segments",
        open: &table(1 << 26),
        prepare: &prepare,
        act: &act,
        group: &|table, body| table.group(body),
        dump: &sorted,
        check: &Pairs::check,
        stride: 101,
    }
    .run();
}

/// Overflow buckets come where the index cannot grow: in an object without room for another segment.
#[test]
fn overflow_buckets() {
    const LARGE: u64 = 1 << 32;
    let fill = |table: &Texts, keys: std::ops::Range<u64>, length: usize| {
        let value = "f".repeat(length);
        for key in keys.clone() {
            match table.add(&key, &value) {
                Err(Error::Full { .. }) => return Ok(()),
                outcome => outcome?,
            }
        }
        panic!("the object is not full");
    };
    let prepare = move |table: &Texts| {
        (0..30).try_for_each(|key| table.add(&key, ""))?;
        fill(table, LARGE..LARGE + 100, 9000)?;
        (LARGE..LARGE + 2).try_for_each(|key| table.remove(&key).map(drop))?;
        fill(table, 30..5000, 0)?;
        (LARGE..LARGE + 100).try_for_each(|key| table.remove(&key).map(drop))
    };
    let act = |table: &Texts| {
        (0..200).step_by(3).try_for_each(|key| table.remove(&key).map(drop))?;
        (5000..5100).try_for_each(|key| table.add(&key, "new"))?;
        (5000..5050).try_for_each(|key| table.remove(&key).map(drop))
    };
    Subject {
        name: "overflow buckets",
        open: &table(1 << 18),
        prepare: &prepare,
        act: &act,
        group: &|table, body| table.group(body),
        dump: &sorted,
        check: &Texts::check,
        stride: 97,
    }
    .run();
}

/// Stacks of bindings become single pairs and stacks again.
#[test]
fn stacks() {
    let prepare = |table: &Pairs| (0..24).try_for_each(|i| table.add(&(i % 8), &i));
    let act = |table: &Pairs| {
        for key in 0..4 {
            table.remove(&key)?;
            table.remove(&key)?;
            (100..103).try_for_each(|value| table.add(&key, &value))?;
            table.remove_all(&key)?;
            (200..202).try_for_each(|value| table.add(&key, &value))?;
        }
        Ok(())
    };
    Subject {
        name: "stacks",
        open: &table(1 << 26),
        prepare: &prepare,
        act: &act,
        group: &|table, body| table.group(body),
        dump: &|table| (0..8).map(|key| table.find_all(&key)).collect::<Result<Vec<_>>>(),
        check: &Pairs::check,
        stride: 5,
    }
    .run();
}

/// Chunks and nodes of an array's directory, and its height.
#[test]
fn directories() {
    const SPOTS: [usize; 6] = [0, 300, 900, 40_000, 3_000_000, 200_000_000];
    let spots = |array: &Array<u64>| -> Result<Vec<u64>> {
        let length = array.len()?;
        SPOTS.iter().filter(|spot| **spot < length).map(|spot| array.get(*spot)).collect()
    };
    let prepare = |array: &Array<u64>| {
        array.resize(1_000_000_000)?;
        SPOTS[..5].iter().try_for_each(|spot| array.set(*spot, &1))
    };
    let act = |array: &Array<u64>| {
        array.resize(500)?;
        array.resize(1_000_000_000)?;
        SPOTS.iter().try_for_each(|spot| array.set(*spot, &2))?;
        array.resize(0)?;
        array.resize(4_000_000)?;
        SPOTS[..5].iter().try_for_each(|spot| array.set(*spot, &3))?;
        array.resize(50_000)
    };
    Subject {
        name: "directories",
        open: &|shm, locking| {
            Array::<u64>::options().locking(locking).stripes(2).slots(2).max_size(1 << 26).manage(shm, 5)
        },
        prepare: &prepare,
        act: &act,
        group: &|array, body| array.group(body),
        dump: &|array| Ok((array.len()?, spots(array)?)),
        check: &Array::<u64>::check,
        stride: 11,
    }
    .run();
}

/// Elements in records of their own.
#[test]
fn arrays_of_texts() {
    let prepare = |array: &Array<String>| {
        array.resize(600)?;
        (0..600).step_by(30).try_for_each(|index| array.set(index, &"t".repeat(index)))
    };
    let act = |array: &Array<String>| {
        array.resize(100)?;
        array.resize(2000)?;
        (0..2000).step_by(190).try_for_each(|index| array.set(index, &"u".repeat(index * 5)))?;
        array.resize(31)?;
        array.resize(700)?;
        (0..700).step_by(60).try_for_each(|index| array.set(index, &"w".repeat(index)))
    };
    Subject {
        name: "arrays of texts",
        open: &|shm, locking| {
            Array::<String>::options()
                .locking(locking)
                .stripes(2)
                .slots(2)
                .max_size(1 << 26)
                .manage(shm, "-".to_owned())
        },
        prepare: &prepare,
        act: &act,
        group: &|array, body| array.group(body),
        dump: &|array| array.scan().collect::<Result<Vec<_>>>(),
        check: &Array::<String>::check,
        stride: 11,
    }
    .run();
}

/// A group that leaves one row of twenty, adds the same number of others, and fails: of realistic size.
#[test]
fn a_large_table() {
    const ROWS: u64 = 20_000;
    for stripes in [1, 4, 64] {
        let copy = Scratch::new();
        let options = Pairs::options().stripes(stripes).slots(2).init(1).max_size(1 << 28);
        let table = options.manage(copy.open()).unwrap();
        group!(table => (0..ROWS).try_for_each(|key| table.add(&key, &!key))?).unwrap();
        let outcome: Result<()> = group!(table => {
            for key in (0..ROWS).filter(|key| key % 20 != 0) {
                table.remove(&key)?;
            }
            (ROWS..2 * ROWS).try_for_each(|key| table.add(&key, &key))?;
            return undo();
        });
        assert!(matches!(outcome, Err(Error::Forked { .. })), "{outcome:?}");
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{stripes} stripes: {report}");
        let all = sorted(&table).unwrap();
        assert!(all == (0..ROWS).map(|key| (key, !key)).collect::<Vec<_>>(), "{stripes} stripes: {} rows", all.len());
    }
}
