//! Groups happen completely or not at all.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use netshm::data::{DataError, Decoder, Encoder, Schema, Types};
use netshm::{Array, DataManager, Error, Flow, GroupError, HashTable, Locking, Result, Shm, Table, group};
use netshm_tests::Scratch;

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

type Counts = HashTable<String, i64>;

/// Error type of a user's program.
#[derive(Debug, PartialEq)]
enum Mine {
    NotEnough(i64),
    Deadlock,
    Store(String),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Deadlock { .. }) { Mine::Deadlock } else { Mine::Store(error.to_string()) }
    }
}

impl GroupError for Mine {
    fn is_deadlock(&self) -> bool {
        *self == Mine::Deadlock
    }
}

/// Returns a table with `a` = 1 and `b` = 2 over 1.
fn start(scratch: &Scratch, locking: Locking) -> Counts {
    let table = Counts::manage(scratch.open(), locking).unwrap();
    table.add("a", &1).unwrap();
    table.add("b", &1).unwrap();
    table.add("b", &2).unwrap();
    table
}

#[track_caller]
fn assert_as_at_start(table: &Counts) {
    assert_eq!(table.find_all("a").unwrap(), [1]);
    assert_eq!(table.find_all("b").unwrap(), [2, 1]);
    assert_eq!(table.len().unwrap(), 3);
    let report = table.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Makes every kind of change, so that there is something to roll back.
fn turn_upside_down(table: &Counts) -> Result<()> {
    table.add("a", &10)?;
    table.remove_all("b")?;
    for number in 0..500 {
        table.add(&format!("new {number}"), &number)?;
    }
    table.update("a", |old| old.map(|old| old + 1))?;
    table.clear()?;
    table.replace("b", &20)?;
    table.pop("b")?;
    table.add("c", &3)
}

fn any_error() -> Error {
    "nonsense".parse::<netshm::ShmName>().unwrap_err()
}

#[test]
fn an_error_rolls_back() {
    for locking in METHODS {
        let scratch = Scratch::posix("error");
        let table = start(&scratch, locking);
        let outcome: Result<()> = group!(table => {
            turn_upside_down(&table)?;
            assert_eq!(table.find("c")?, Some(3));
            assert_eq!(table.len()?, 1);
            return Err(any_error());
        });
        assert!(matches!(outcome, Err(Error::InvalidName { .. })));
        assert_as_at_start(&table);
        // And the locks are gone: another thread can write.
        thread::scope(|scope| scope.spawn(|| table.replace("a", &1).unwrap()).join().unwrap());
        assert_eq!(group!(table => table.find("a")?.unwrap() + 1).unwrap(), 2);
    }
}

#[test]
fn a_panic_rolls_back() {
    for locking in METHODS {
        let scratch = Scratch::posix("panic");
        let table = start(&scratch, locking);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            group!(table => {
                turn_upside_down(&table)?;
                resume_unwind(Box::new("wanted"));
            })
        }));
        assert_eq!(outcome.err().unwrap().downcast_ref::<&str>(), Some(&"wanted"));
        assert_as_at_start(&table);
        thread::scope(|scope| scope.spawn(|| table.replace("a", &1).unwrap()).join().unwrap());
    }
}

#[test]
fn an_inner_group_undoes_its_own_part() {
    for locking in METHODS {
        let scratch = Scratch::posix("nested");
        let table = start(&scratch, locking);
        group!(table => {
            table.add("a", &2)?;
            let inner: Result<()> = group!(table => {
                table.add("a", &3)?;
                let innermost = group!(table => turn_upside_down(&table)?);
                innermost?;
                return Err(any_error());
            });
            assert!(inner.is_err());
            assert_eq!(table.find_all("a")?, [2, 1]);
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                group!(table => {
                    turn_upside_down(&table)?;
                    resume_unwind(Box::new(()));
                })
            }));
            assert!(panicked.is_err());
            assert_eq!(table.find_all("a")?, [2, 1]);
            group!(table => table.add("a", &4)?)?;
            assert_eq!(table.find_all("b")?, [2, 1]);
        })
        .unwrap();
        assert_eq!(table.find_all("a").unwrap(), [4, 2, 1]);
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn a_committed_inner_group_goes_with_the_outer_one() {
    for locking in METHODS {
        let scratch = Scratch::posix("outer");
        let table = start(&scratch, locking);
        let outcome: Result<()> = group!(table => {
            group!(table => turn_upside_down(&table)?)?;
            return Err(any_error());
        });
        assert!(outcome.is_err());
        assert_as_at_start(&table);
    }
}

#[test]
fn groups_join_across_handles_and_functions() {
    /// Knows nothing of groups, and opens the object itself.
    fn helper(scratch: &Scratch, locking: Locking) -> Result<i64> {
        let table = Counts::manage(Shm::open(scratch.name())?, locking)?;
        // It sees what the group has done so far.
        let sum = table.find("a")?.unwrap_or(0) + table.find("b")?.unwrap_or(0);
        table.replace("sum", &sum)?;
        Ok(sum)
    }
    for locking in METHODS {
        let scratch = Scratch::posix("join");
        let table = start(&scratch, locking);
        let other = Counts::manage(scratch.open(), locking).unwrap();
        let outcome: Result<()> = table.group(|| {
            table.replace("a", &100)?;
            other.replace("b", &200)?;
            assert_eq!(helper(&scratch, locking)?, 300);
            assert_eq!(table.find("sum")?, Some(300));
            Err(any_error())
        });
        assert!(outcome.is_err());
        assert_as_at_start(&other);
        // Outside of a group it works as well.
        assert_eq!(helper(&scratch, locking).unwrap(), 3);
        assert_eq!(other.pop("sum").unwrap(), Some(3));
    }
}

/// A value whose encoding fails half-way: behind more words than are kept outside of shared memory.
#[derive(Debug, Clone, PartialEq, netshm::ShmData)]
struct Row {
    before: Vec<u64>,
    flaw: Flaw,
}

/// Refuses to be written if it is not the first time.
#[derive(Debug, Clone, PartialEq)]
struct Flaw(Cell<u32>);

impl DataManager for Flaw {
    const FIXED: Option<usize> = Some(1);
    // So that it is written straight into shared memory.
    const DIRECT: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        match self.0.get() {
            0 => {}
            1 => return Err(DataError::new("Flaw", "has been seen before")),
            more => self.0.set(more - 1),
        }
        out.put(0)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.get().map(|_| Flaw(Cell::new(0)))
    }

    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

#[test]
fn a_verb_that_fails_half_way_leaves_nothing_even_if_its_error_is_ignored() {
    for locking in METHODS {
        let scratch = Scratch::posix("half-way");
        let table: HashTable<u32, Row> = HashTable::manage(scratch.open(), locking).unwrap();
        let row = |flaw| Row { before: vec![7; 1000], flaw: Flaw(Cell::new(flaw)) };
        table.add(&1, &row(0)).unwrap();
        // Counting its words goes well, and writing them does not.
        assert!(matches!(table.add(&1, &row(2)), Err(Error::Decode { type_name: "Flaw", .. })));
        table
            .group(|| {
                table.add(&2, &row(0))?;
                assert!(table.replace(&1, &row(2)).is_err());
                assert!(table.add(&3, &row(2)).is_err());
                assert!(table.update(&2, |_| Some(row(2))).is_err());
                assert!(table.get_or_insert_with(&4, || row(2)).is_err());
                table.add(&5, &row(0))
            })
            .unwrap();
        let mut keys: Vec<_> = table.scan().map(|item| item.unwrap()).collect();
        keys.sort_by_key(|(key, _)| *key);
        assert_eq!(keys, [(1, row(0)), (2, row(0)), (5, row(0))]);
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn a_full_object_in_the_middle_of_a_group() {
    for locking in METHODS {
        let scratch = Scratch::posix("full");
        let options = Table::options().locking(locking).max_size(1 << 20);
        let table = options.manage(scratch.open()).unwrap();
        table.add(1, &[1]).unwrap();
        table
            .group(|| {
                table.add(2, &[2])?;
                assert!(matches!(table.add(3, &vec![3; 1 << 19]), Err(Error::Full { .. })));
                assert!(matches!(table.replace(1, &vec![3; 1 << 19]), Err(Error::Full { .. })));
                table.add(4, &[4])
            })
            .unwrap();
        let mut found = table.scan().collect::<Result<Vec<_>>>().unwrap();
        found.sort();
        assert_eq!(found, [(1, vec![1]), (2, vec![2]), (4, vec![4])]);
        let filled: Result<()> = table.group(|| (0..).try_for_each(|key| table.add(key, &[key; 100])));
        assert!(matches!(filled, Err(Error::Full { .. })));
        assert_eq!(table.len().unwrap(), 3);
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn changes_while_iterating_are_refused() {
    for locking in METHODS {
        let scratch = Scratch::posix("iterating");
        let table = Table::manage(scratch.open(), locking).unwrap();
        let other = Table::manage(scratch.open(), locking).unwrap();
        (0..10).for_each(|key| table.add(key, &[key, key]).unwrap());
        let refused = |outcome: Result<()>| assert!(matches!(outcome, Err(Error::Iterating { .. })), "{outcome:?}");
        let try_all = || {
            refused(table.add(1, &[]));
            refused(other.replace(2, &[]));
            refused(table.remove(3).map(drop));
            refused(table.clear());
            refused(other.update(4, |_| Some(vec![])).map(drop));
            refused(table.write_blocks(1, |_| Flow::Remove));
            // Reading is allowed, iterating within an iteration as well.
            assert_eq!(other.find(5).unwrap(), Some(vec![5, 5]));
            let mut keys = 0;
            table.for_each_key(|_| keys += 1).unwrap();
            assert_eq!(keys, 10);
        };
        table.for_each(|_, _| try_all()).unwrap();
        table.for_each_key(|_| try_all()).unwrap();
        table.fold((), |(), _, _| try_all()).unwrap();
        table
            .read_blocks(1, |_| {
                try_all();
                Flow::Next
            })
            .unwrap();
        table
            .write_blocks(1, |block| {
                try_all();
                block.set(0, 100);
                Flow::Next
            })
            .unwrap();
        // The scan locks nothing, and so forbids nothing.
        for (key, value) in table.scan().map(|item| item.unwrap()) {
            let expected = if key == 1 { vec![100, 1] } else { vec![key, key] };
            assert_eq!(value, expected);
            table.replace(key, &[]).unwrap();
        }
        assert_eq!(table.fold(0, |count, _, value| count + value.len()).unwrap(), 0);
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn a_failed_block_change_changes_nothing() {
    for locking in METHODS {
        let scratch = Scratch::posix("blocks");
        let table = Table::manage(scratch.open(), locking).unwrap();
        (0..5).for_each(|number| table.add(1, &vec![number; 1000]).unwrap());
        let before = table.find_all(1).unwrap();
        let mut shown = 0;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            table.write_blocks(1, |block| {
                shown += 1;
                block.set(0, -1);
                match shown {
                    2 => Flow::Remove,
                    25 => resume_unwind(Box::new(())),
                    _ => Flow::Next,
                }
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(table.find_all(1).unwrap(), before);
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn groups_on_two_objects() {
    for locking in METHODS {
        let (first, second) = (Scratch::posix("first"), Scratch::file("second"));
        let table = start(&first, locking);
        let array: Array<i64> = Array::manage(second.open(), 0, locking).unwrap();
        array.resize(10).unwrap();
        // An error in the inner one that is handled undoes that alone.
        group!(table => {
            table.add("a", &2)?;
            let inner: Result<()> = group!(array => {
                array.set(1, &1)?;
                table.add("a", &3)?;
                return Err(any_error());
            });
            assert!(inner.is_err());
            array.set(2, &2)?;
        })
        .unwrap();
        assert_eq!((array.get(1).unwrap(), array.get(2).unwrap()), (0, 2));
        assert_eq!(table.find_all("a").unwrap(), [3, 2, 1]);
        // Passed on, it undoes both.
        let both: Result<()> = group!(table => {
            table.remove_all("a")?;
            group!(array => {
                array.resize(2)?;
                Err(any_error())?
            })?;
        });
        assert!(both.is_err());
        assert_eq!((array.len().unwrap(), array.get(2).unwrap()), (10, 2));
        assert_eq!(table.find_all("a").unwrap(), [3, 2, 1]);
        assert!(table.check().unwrap().is_clean() && array.check().unwrap().is_clean());
    }
}

#[test]
fn the_forms_of_the_macro() {
    struct Bank {
        accounts: Counts,
    }
    impl Bank {
        fn transfer(&self, amount: i64) -> Result<i64, Mine> {
            group!(retry self.accounts: Mine => {
                let left = self.accounts.find("b")?.unwrap_or(0) - amount;
                self.accounts.replace("b", &left)?;
                self.accounts.update("a", |old| Some(old.unwrap_or(0) + amount))?;
                if left < 0 {
                    return Err(Mine::NotEnough(left));
                }
                left
            })
        }
    }
    for locking in METHODS {
        let scratch = Scratch::posix("forms");
        let bank = Bank { accounts: start(&scratch, locking) };
        assert_eq!(bank.transfer(5), Err(Mine::NotEnough(-3)));
        assert_as_at_start(&bank.accounts);
        assert_eq!(bank.transfer(2), Ok(0));
        let table = &bank.accounts;
        assert_eq!(table.find("a").unwrap(), Some(3));
        let outcome = group!(table: Mine => table.clear()?);
        assert_eq!(outcome, Ok(()));
        let mut attempts = 0;
        let outcome = group!(retry table => {
            attempts += 1;
            table.add("x", &attempts)?;
            attempts
        });
        assert_eq!((outcome.unwrap(), attempts), (1, 1));
        // An error of the store is converted and rolls back like any other.
        let outcome: Result<(), Mine> = group!(bank.accounts: Mine => {
            table.clear()?;
            Err(any_error())?
        });
        assert!(matches!(outcome, Err(Mine::Store(text)) if text.contains("nonsense")));
        assert_eq!(table.len().unwrap(), 1);
        // In an open group there is nothing to be repeated.
        let mut attempts = 0;
        let outcome: Result<(), Mine> = group!(table: Mine => {
            group!(retry table: Mine => {
                attempts += 1;
                table.add("y", &1)?;
                return Err(Mine::Deadlock);
            })?
        });
        assert_eq!((outcome, attempts), (Err(Mine::Deadlock), 1));
        assert_eq!(table.len().unwrap(), 1);
        let mut attempts = 0;
        let outcome = group!(retry table: Mine => {
            attempts += 1;
            table.add("y", &attempts)?;
            if attempts < 4 {
                return Err(Mine::Deadlock);
            }
            table.find_all("y")?
        });
        assert_eq!(outcome, Ok(vec![4]));
    }
}

#[test]
fn a_bound_ends_repetitions_in_the_deadlock() {
    let scratch = Scratch::posix("group-bound");
    let table = start(&scratch, Locking::Futex);
    for retries in [0, 1, 3] {
        let mut runs = 0;
        let outcome: std::result::Result<(), Mine> = group!(retry(retries) table: Mine => {
            runs += 1;
            turn_upside_down(&table)?;
            return Err(Mine::Deadlock);
        });
        assert_eq!((outcome, runs), (Err(Mine::Deadlock), retries + 1));
        assert_as_at_start(&table);
    }
    let mut runs = 0;
    let outcome: std::result::Result<i64, Mine> = group!(retry(9) table: Mine => {
        runs += 1;
        if runs < 3 {
            return Err(Mine::Deadlock);
        }
        table.add("c", &3)?;
        3
    });
    assert_eq!((outcome, runs), (Ok(3), 3));
    assert_eq!(group!(retry(2 * 2) table => table.find("c")?).unwrap(), Some(3));
}

/// What is changed while `update` and its like wait for a closure makes what they have found out of date.
#[test]
fn closures_may_change_what_was_looked_up() {
    fn run<V: DataManager + PartialEq + std::fmt::Debug>(locking: Locking, value: impl Fn(u64) -> V + Copy) {
        let scratch = Scratch::posix("closures");
        let table = HashTable::<u64, V>::manage(scratch.open(), locking).unwrap();
        let is_sound = |bindings: usize| {
            assert_eq!(table.len().unwrap(), bindings);
            let report = table.check().unwrap();
            assert!(report.is_clean(), "{report}");
        };
        table.add(&1, &value(1)).unwrap();
        // Away, and there again somewhere else.
        let moved = table.update(&1, |old| {
            assert_eq!(old, Some(value(1)));
            table.remove(&1).unwrap();
            (100..400).for_each(|key| table.add(&key, &value(key)).unwrap());
            Some(value(2))
        });
        assert_eq!((moved.unwrap(), table.find_all(&1).unwrap()), (Some(value(2)), vec![value(2)]));
        is_sound(301);
        // Another binding comes over it, and goes in its place.
        table
            .update(&1, |_| {
                table.add(&1, &value(3)).unwrap();
                None
            })
            .unwrap();
        assert_eq!(table.find_all(&1).unwrap(), [value(2)]);
        table
            .update(&1, |_| {
                table.add(&1, &value(3)).unwrap();
                Some(value(4))
            })
            .unwrap();
        assert_eq!(table.find_all(&1).unwrap(), [value(4), value(2)]);
        // What has been undone by then has not happened.
        table
            .update(&1, |old| {
                let undone: Result<()> = group!(table => {
                    table.clear()?;
                    (1000..1100).try_for_each(|key| table.add(&key, &value(key)))?;
                    return Err(any_error());
                });
                undone.unwrap_err();
                assert_eq!(old, Some(value(4)));
                Some(value(5))
            })
            .unwrap();
        assert_eq!(table.find_all(&1).unwrap(), [value(5), value(2)]);
        is_sound(302);
        // The closure adds the key itself.
        let made = table.get_or_insert_with(&7, || {
            table.update(&7, |old| Some(old.unwrap_or(value(6)))).unwrap();
            value(7)
        });
        assert_eq!(made.unwrap(), value(7));
        assert_eq!(table.find(&7).unwrap(), Some(value(7)));
        // An outer group is undone with all of it.
        let undone: Result<()> = group!(table => {
            table.update(&7, |_| Some(value(8)))?;
            table.pop(&7)?;
            return Err(any_error());
        });
        undone.unwrap_err();
        assert_eq!(table.find(&7).unwrap(), Some(value(7)));
        is_sound(table.len().unwrap());
        // A panic of the closure leaves nothing behind.
        let panic = catch_unwind(AssertUnwindSafe(|| {
            table.update(&1, |_| {
                table.remove_all(&1).unwrap();
                resume_unwind(Box::new(()))
            })
        }));
        assert!(panic.is_err());
        assert_eq!(table.find_all(&1).unwrap(), [value(5), value(2)]);
        table.replace(&1, &value(9)).unwrap();
    }
    for locking in METHODS {
        run(locking, |number| number);
        run(locking, |number| "x".repeat(number as usize % 50));
    }
}

#[test]
fn closures_may_change_the_array_whose_element_is_updated() {
    for locking in METHODS {
        let scratch = Scratch::posix("closures");
        let array = Array::<u64>::manage(scratch.open(), 0, locking).unwrap();
        array.resize(1000).unwrap();
        let updated = array.update(5, |old| {
            array.set(5, &1).unwrap();
            array.set(6, &(old + 2)).unwrap();
            old + 3
        });
        assert_eq!((updated.unwrap(), array.get(5).unwrap(), array.get(6).unwrap()), (3, 3, 2));
        // The chunk is another one then.
        array
            .update(5, |old| {
                array.resize(0).unwrap();
                array.resize(1000).unwrap();
                old + 1
            })
            .unwrap();
        assert_eq!((array.get(5).unwrap(), array.get(6).unwrap()), (4, 0));
        let outside = array.update(900, |old| {
            array.resize(10).unwrap();
            old
        });
        assert!(matches!(outside, Err(Error::OutOfBounds { .. })));
        assert_eq!((array.len().unwrap(), array.get(5).unwrap()), (1000, 4));
        assert!(array.check().unwrap().is_clean());
    }
}

/// An update is an ordinary group from the first other operation on, whatever object that uses.
#[test]
fn an_update_may_use_other_objects_and_its_own() {
    let scratches = [Scratch::posix("update"), Scratch::posix("update")];
    let [one, two] = scratches
        .each_ref()
        .map(|scratch| -> HashTable<u64, u64> { HashTable::manage(scratch.open(), Locking::Futex).unwrap() });
    for table in [&one, &two] {
        (0..9).for_each(|key| table.add(&key, &key).unwrap());
    }
    let found = |key| (one.find(key).unwrap().unwrap(), two.find(key).unwrap().unwrap());
    assert_eq!(one.update(&1, |old| old.map(|old| old + 10)).unwrap(), Some(11));
    let new = one.update(&1, |old| {
        // The group on the other object is in the thread's first place, if the update has not settled there before.
        group!(two => {
            two.replace(&1, &5)?;
            one.replace(&2, &7)?;
        })
        .unwrap();
        assert_eq!(found(&2), (7, 2));
        old.map(|old| old + 1)
    });
    assert_eq!(new.unwrap(), Some(12));
    assert_eq!((found(&1), found(&2)), ((12, 5), (7, 2)));
    for uses in [false, true] {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            one.update(&1, |_| {
                if uses {
                    one.replace(&3, &99).unwrap();
                }
                panic!("on purpose")
            })
        }));
        assert!(outcome.is_err());
        assert_eq!((found(&1), found(&3)), ((12, 5), (3, 3)), "all of it is undone");
        // Slot and stripe are free again.
        assert_eq!(one.fetch_add(&1, 0).unwrap(), 12);
        assert_eq!(one.update(&1, |old| old).unwrap(), Some(12));
    }
    one.check().unwrap();
}
