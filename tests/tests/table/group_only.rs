//! Groups to which only operations through their argument belong.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use netshm::{Array, Error, HashTable, Locking, Result, Shm, Table, group};
use netshm_tests::Scratch;

type Numbers = HashTable<u64, u64>;

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

fn any_error() -> Error {
    "no name".parse::<netshm::ShmName>().unwrap_err()
}

fn is_outside<T>(outcome: Result<T>) -> bool {
    matches!(outcome, Err(Error::OutsideGroup { .. }))
}

/// Returns the table, and keys of two of its stripes: a group that changes the first does not lock the second.
fn table(scratch: &Scratch, locking: Locking) -> (Numbers, u64, u64) {
    let table = Numbers::options().locking(locking).stripes(2).manage(scratch.open()).unwrap();
    table.add(&0, &1).unwrap();
    let own = Numbers::options().lock_timeout(Duration::from_millis(1)).manage(scratch.open()).unwrap();
    // Another thread finds the stripe of 0 locked, and others free.
    let other = table
        .group(|| {
            table.replace(&0, &1)?;
            let is_free = |key: &u64| own.add(key, &1).and_then(|()| own.remove(key)).is_ok();
            let find = || (1..).find(is_free).unwrap();
            Ok::<_, Error>(thread::scope(|scope| scope.spawn(find).join().unwrap()))
        })
        .unwrap();
    (table, 0, other)
}

/// What a pool runs on the thread of a group while its body waits is no part of the group.
#[test]
fn foreign_operations_of_the_thread_are_not_undone_with_the_group() {
    for locking in METHODS {
        let scratch = Scratch::posix("only");
        let (table, mine, other) = table(&scratch, locking);
        let foreign = || {
            table.add(&other, &2)?;
            table.replace(&other, &3)?;
            assert_eq!(table.find(&other)?, Some(3));
            // Under Record, one group at a time runs in a process, and an update is one.
            let updated = table.update(&other, |old| old);
            assert!(if locking == Locking::Record { is_outside(updated) } else { updated.is_ok() });
            // What the group has changed is seen as it was before.
            assert_eq!((table.find(&mine)?, table.len()?), (Some(1), 2));
            Ok::<_, Error>(())
        };
        let failed: Result<()> = group!(only table => {
            table.replace(&mine, &5)?;
            foreign()?;
            assert_eq!(table.find(&mine)?, Some(5));
            return Err(any_error());
        });
        assert!(matches!(failed, Err(Error::InvalidName { .. })), "{failed:?}");
        assert_eq!((table.find(&mine).unwrap(), table.find(&other).unwrap()), (Some(1), Some(3)));
        let kept = group!(retry only table => {
            table.replace(&mine, &6)?;
            table.update(&mine, |old| old.map(|old| old + 1))?;
            table.group(|| {
                table.add(&mine, &9)?;
                Err::<(), _>(any_error())
            })
            .unwrap_err();
            table.find(&mine)?
        });
        assert_eq!(kept.unwrap(), Some(7));
        assert_eq!(table.find_all(&mine).unwrap(), [7]);
        assert!(table.check().unwrap().is_clean());
    }
}

/// A foreign operation that waits for the group would wait for ever: only its own thread can end that.
#[test]
fn a_foreign_operation_that_needs_the_lock_of_the_group_is_an_error() {
    for locking in METHODS {
        let scratch = Scratch::posix("only-lock");
        let (table, mine, _) = table(&scratch, locking);
        let tab = &table;
        group!(only table => {
            table.replace(&mine, &5)?;
            assert!(is_outside(tab.replace(&mine, &6)), "{locking}");
            assert!(is_outside(tab.update(&mine, |old| old)), "{locking}");
            assert!(is_outside(tab.add_many([(mine, 1)])), "{locking}");
            assert!(is_outside(tab.clear()) && is_outside(tab.sync()), "{locking}");
            assert!(is_outside(tab.for_each(|_, _| ())), "{locking}");
            assert!(is_outside(tab.check()), "{locking}");
            // Not worth a retry.
            assert!(is_outside(group!(retry tab => tab.replace(&mine, &6)?)), "{locking}");
        })
        .unwrap();
        assert_eq!((table.find_all(&mine).unwrap(), table.len().unwrap()), (vec![5], 1));
        table.replace(&mine, &7).unwrap();
        assert!(table.check().unwrap().is_clean());
    }
}

/// A copy of the argument does not work outside.
#[test]
fn the_argument_stays_in_its_group() {
    for locking in METHODS {
        let scratch = Scratch::posix("only-copy");
        let (table, mine, _) = table(&scratch, locking);
        let copy: Numbers = group!(only table => {
            table.replace(&mine, &5)?;
            let copy = Numbers::clone(table);
            assert_eq!(copy.find(&mine)?, Some(5));
            let there = copy.clone();
            thread::scope(|scope| {
                let outside = move || is_outside(there.find(&mine)) && is_outside(there.replace(&mine, &1));
                assert!(scope.spawn(outside).join().unwrap());
            });
            copy
        })
        .unwrap();
        let uses = |copy: &Numbers| {
            assert!(is_outside(copy.find(&mine)) && is_outside(copy.contains(&mine)) && is_outside(copy.len()));
            assert!(is_outside(copy.replace(&mine, &6)) && is_outside(copy.add(&1, &1)) && is_outside(copy.remove(&1)));
            assert!(is_outside(copy.update(&mine, |_| None)) && is_outside(copy.fetch_add(&mine, 1)));
            assert!(is_outside(copy.group(|| copy.find(&mine))) && is_outside(copy.for_each(|_, _| ())));
            assert!(copy.scan().all(is_outside) && is_outside(copy.clear()) && is_outside(copy.check()));
        };
        uses(&copy);
        group!(table => uses(&copy)).unwrap();
        group!(only table => {
            assert!(is_outside(copy.find(&mine)));
            table.replace(&mine, &8)?;
        })
        .unwrap();
        assert_eq!(table.find(&mine).unwrap(), Some(8));
    }
}

/// Other members of the object join; those of other objects do not.
#[test]
fn members_of_the_object_join() {
    let scratch = Scratch::posix("only-members");
    let tables: Table = Table::options().named("table").manage(scratch.open()).unwrap();
    let array: Array<u64> = Array::options().named("array").manage(scratch.open(), 0).unwrap();
    array.resize(10).unwrap();
    let elsewhere = Scratch::posix("only-elsewhere");
    let foreign = Numbers::manage(elsewhere.open(), Locking::Futex).unwrap();
    let run = |fails: bool| {
        group!(only tables => {
            let array = tables.with(&array)?;
            assert!(tables.with(&foreign).is_err());
            array.set(3, &7)?;
            array.update(4, |old| old + 1)?;
            tables.add(1, &[1, 2])?;
            foreign.add(&1, &1)?;
            assert_eq!((array.get(3)?, array.get(4)?, tables.find(1)?), (7, 1, Some(vec![1, 2])));
            if fails {
                return Err(any_error());
            }
        })
    };
    run(true).unwrap_err();
    assert_eq!((array.get(3).unwrap(), array.get(4).unwrap(), tables.find(1).unwrap()), (0, 0, None));
    run(false).unwrap();
    assert_eq!((array.get(3).unwrap(), array.get(4).unwrap(), tables.find(1).unwrap()), (7, 1, Some(vec![1, 2])));
    assert_eq!(foreign.find_all(&1).unwrap(), [1, 1]);
    // In a group on the object, it is a part of that.
    let undone: Result<()> = group!(array => {
        group!(only tables => tables.add(2, &[])?)?;
        assert!(tables.contains(2)?);
        return Err(any_error());
    });
    assert!(undone.is_err() && !tables.contains(2).unwrap());
}

/// A group of its own takes part in deadlocks like any other.
#[test]
fn deadlocks_are_retried() {
    let scratch = Scratch::posix("only-deadlock");
    let (table, mine, other) = table(&scratch, Locking::Futex);
    table.add(&other, &1).unwrap();
    thread::scope(|scope| {
        let (ready, begin) = channel();
        let table = &table;
        scope.spawn(move || {
            let mut first = true;
            group!(retry only table => {
                table.update(&other, |old| old.map(|old| old + 1))?;
                if std::mem::take(&mut first) {
                    ready.send(()).unwrap();
                    thread::sleep(Duration::from_millis(50));
                }
                table.update(&mine, |old| old.map(|old| old + 1))?;
            })
            .unwrap();
        });
        begin.recv().unwrap();
        group!(retry only table => {
            table.update(&mine, |old| old.map(|old| old + 1))?;
            table.update(&other, |old| old.map(|old| old + 1))?;
        })
        .unwrap();
    });
    assert_eq!((table.find(&mine).unwrap(), table.find(&other).unwrap()), (Some(3), Some(3)));
}

/// A program of a newer type extends the stored one from inside its group.
#[test]
fn the_stored_type_is_extended_inside() {
    mod old {
        #[derive(netshm::ShmData, Debug, PartialEq)]
        pub(super) struct Row {
            pub(super) a: u64,
        }
    }
    mod new {
        #[derive(netshm::ShmData, Debug, PartialEq)]
        pub(super) struct Row {
            pub(super) a: u64,
            #[shm(default)]
            pub(super) b: u64,
        }
    }
    let scratch = Scratch::posix("only-extend");
    let rows: HashTable<u64, old::Row> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    rows.add(&1, &old::Row { a: 1 }).unwrap();
    let newer: HashTable<u64, new::Row> =
        HashTable::manage(Shm::open(scratch.name()).unwrap(), Locking::Futex).unwrap();
    group!(only newer => {
        assert_eq!(newer.find(&1)?, Some(new::Row { a: 1, b: 0 }));
        newer.replace(&2, &new::Row { a: 2, b: 3 })?;
    })
    .unwrap();
    assert_eq!(rows.find(&2).unwrap(), Some(old::Row { a: 2 }));
    assert_eq!(newer.find(&2).unwrap(), Some(new::Row { a: 2, b: 3 }));
}
