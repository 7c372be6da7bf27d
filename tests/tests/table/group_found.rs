//! A group replaces a value where it has found it last, and nowhere else.

use netshm::{Error, HashTable, Locking, Shm, group};
use netshm_tests::Scratch;

type Numbers = HashTable<u64, u64>;

/// Keys that are tried, so that some lie in the same bucket and get the place that another has left.
const KEYS: u64 = 200;
/// A key that is never there: looking for it locks the only stripe.
const ABSENT: u64 = 1 << 40;

/// Why a group is undone.
#[derive(Debug)]
struct Undone;

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        panic!("{error}")
    }
}

/// Returns a member with one stripe.
fn member(shm: &Shm, name: &str) -> Numbers {
    HashTable::options().named(name).stripes(1).locking(Locking::Futex).manage(shm.clone()).unwrap()
}

#[track_caller]
fn assert_holds(table: &Numbers, pairs: &[(u64, u64)]) {
    for (key, value) in pairs {
        assert_eq!(table.find(key).unwrap(), Some(*value), "of {key}");
    }
    assert_eq!(table.len().unwrap(), pairs.len());
    let report = table.check().unwrap();
    assert!(report.is_clean(), "{report}");
    table.clear().unwrap();
}

#[test]
fn a_pair_that_has_been_removed_since_is_added() {
    let scratch = Scratch::posix("found");
    let table = member(&scratch.open(), "numbers");
    for key in 0..KEYS {
        table.add(&key, &1).unwrap();
        group!(table => {
            assert_eq!(table.find(&key)?, Some(1));
            table.remove(&key)?;
            table.replace(&key, &2)?;
        })
        .unwrap();
        assert_holds(&table, &[(key, 2)]);
    }
}

#[test]
fn a_pair_takes_the_place_of_one_that_was_undone() {
    let scratch = Scratch::posix("found");
    let table = member(&scratch.open(), "numbers");
    for key in 0..KEYS {
        let undone = key + 1000;
        group!(table => {
            let inner = table.group(|| {
                table.add(&undone, &1)?;
                assert_eq!(table.find(&undone)?, Some(1));
                Err::<(), _>(Undone)
            });
            assert!(inner.is_err());
            // Logs as much as adding the other did, and may take its cell.
            table.add(&key, &2)?;
            table.replace(&undone, &3)?;
        })
        .unwrap();
        assert_holds(&table, &[(key, 2), (undone, 3)]);
    }
}

#[test]
fn what_an_earlier_group_has_found_does_not_count() {
    let scratch = Scratch::posix("found");
    let table = member(&scratch.open(), "numbers");
    for key in 0..KEYS {
        let other = key + 1000;
        for as_update in [false, true] {
            table.add(&key, &1).unwrap();
            group!(table => assert_eq!(table.find(&key)?, Some(1))).unwrap();
            table.remove(&key).unwrap();
            table.add(&other, &2).unwrap();
            if as_update {
                let change = |old: Option<u64>| {
                    assert_eq!(table.find(&ABSENT).unwrap(), None);
                    table.replace(&key, &3).unwrap();
                    old
                };
                table.update(&other, change).unwrap();
            } else {
                group!(table => {
                    assert_eq!(table.find(&ABSENT)?, None);
                    table.replace(&key, &3)?;
                })
                .unwrap();
            }
            assert_holds(&table, &[(key, 3), (other, 2)]);
        }
    }
}

#[test]
fn a_pair_of_another_member_or_object_is_another() {
    let scratches = [Scratch::posix("found"), Scratch::posix("found")];
    let shms = scratches.each_ref().map(Scratch::open);
    // The last one's stripe has the number that the first one's has.
    let tables = [member(&shms[0], "one"), member(&shms[0], "two"), member(&shms[1], "one")];
    for [one, other] in [[0, 1], [1, 0], [0, 2], [2, 0]].map(|pair| pair.map(|index| &tables[index])) {
        one.add(&7, &1).unwrap();
        other.add(&7, &1).unwrap();
        group!(one => {
            group!(other => {
                assert_eq!(one.find(&7)?, Some(1));
                other.replace(&7, &2)?;
                assert_eq!(other.find(&7)?, Some(2));
                one.replace(&7, &3)?;
            })?;
        })
        .unwrap();
        assert_holds(one, &[(7, 3)]);
        assert_holds(other, &[(7, 2)]);
    }
}

#[test]
fn a_key_lies_elsewhere_in_another_object() {
    let scratches = [Scratch::posix("found"), Scratch::posix("found")];
    // Their stripes have the same number, and each hashes in its own way.
    let [one, other] = scratches.each_ref().map(|scratch| member(&scratch.open(), "one"));
    for key in 0..KEYS {
        one.add(&key, &1).unwrap();
        other.add(&key, &1).unwrap();
        group!(one => {
            assert_eq!(one.find(&key)?, Some(1));
            group!(other => {
                assert_eq!(other.find(&key)?, Some(1));
                one.replace(&key, &2)?;
            })?;
        })
        .unwrap();
        assert_holds(&one, &[(key, 2)]);
        assert_holds(&other, &[(key, 1)]);
    }
}
