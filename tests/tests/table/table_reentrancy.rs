//! Closures that use the objects whose verbs call them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use netshm::{Array, DataManager, Error, Flow, HashTable, Locking, Result, Table, group};
use netshm_tests::Scratch;

use super::group_rollback::{METHODS, any_error};

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
