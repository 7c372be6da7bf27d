//! Groups happen completely or not at all.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use netshm::data::{DataError, Decoder, Encoder, Schema, Types};
use netshm::{Array, DataManager, Error, Flow, GroupError, HashTable, Locking, Result, Shm, Table, group};
use netshm_tests::Scratch;

pub(crate) const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

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

pub(crate) fn any_error() -> Error {
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

/// A value whose encoding fails half-way: after more words than are kept outside of shared memory.
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
        // A type that is inferred is one as well.
        let outcome: Result<usize, Mine> = group!(table: _ => table.len()?);
        assert_eq!(outcome, Ok(0));
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
