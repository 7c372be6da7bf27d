//! Operations on tables whose keys and values lie in the buckets of the index.

use super::{Case, METHODS};
use crate::error::Result;
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::shm::Shm;

type Pairs = HashTable<u64, u64>;

fn open(locking: Locking) -> impl Fn(Shm) -> Result<Pairs> {
    move |shm| Pairs::options().locking(locking).stripes(1).slots(2).init(1).max_size(1 << 26).manage(shm)
}

fn dump(table: &Pairs) -> Result<Vec<(u64, u64)>> {
    let _ = table.find(&1)?;
    let mut all = table.scan().collect::<Result<Vec<_>>>()?;
    all.sort_by_key(|(key, _)| *key);
    assert_eq!(all.len(), table.len()?);
    for stack in all.chunk_by(|(a, _), (b, _)| a == b) {
        let (key, newest) = stack[0];
        assert!(table.contains(&key)? && table.find(&key)? == Some(newest));
        assert!(table.find_all(&key)?.iter().eq(stack.iter().map(|(_, value)| value)));
    }
    Ok(all)
}

/// Adds enough for some full buckets and some others; one key has three bindings, one has two.
fn prepare(table: &Pairs) -> Result<()> {
    (0..20).try_for_each(|key| table.add(&key, &(key * 10)))?;
    [(1, 11), (1, 12), (2, 21)].iter().try_for_each(|(key, value)| table.add(key, value))
}

fn run(name: &str, prepare: &dyn Fn(&Pairs) -> Result<()>, act: &dyn Fn(&Pairs) -> Result<()>) {
    for locking in METHODS {
        let name = format!("{name}, {locking}");
        Case { name, open: &open(locking), prepare, act, dump: &dump, check: &Pairs::check }.run_under(locking);
    }
}

#[test]
fn one_binding() {
    run("add a pair", &prepare, &|table| table.add(&100, &1));
    run("add the first pair", &|_| Ok(()), &|table| table.add(&100, &1));
    run("replace a pair", &prepare, &|table| table.replace(&5, &1));
    run("remove a pair", &prepare, &|table| table.remove(&5).map(drop));
}

#[test]
fn stacks() {
    run("from a pair to a stack", &prepare, &|table| table.add(&5, &1));
    run("from a stack to a pair", &prepare, &|table| table.remove(&2).map(drop));
    run("add to a stack", &prepare, &|table| table.add(&1, &1));
    run("replace on a stack", &prepare, &|table| table.replace(&1, &1));
    run("remove from a stack", &prepare, &|table| table.remove(&1).map(drop));
    run("remove a stack", &prepare, &|table| table.remove_all(&1).map(drop));
}

#[test]
fn arithmetic() {
    run("add to a pair", &prepare, &|table| table.fetch_add(&5, 1).map(drop));
    run("add to a pair on a stack", &prepare, &|table| table.fetch_add(&1, 1).map(drop));
    run("add to no pair", &prepare, &|table| table.fetch_add(&100, 1).map(drop));
    run("swap a pair", &prepare, &|table| table.swap(&5, &1).map(drop));
    run("exchange a pair", &prepare, &|table| table.compare_exchange(&5, &50, &51).map(drop));
    run("add to several pairs", &prepare, &|table| {
        group!(retry table => {
            for key in [5, 1, 100, 5] {
                table.fetch_add(&key, 1)?;
            }
        })
    });
}

/// A process that has changed something before makes these changes in small transactions.
#[test]
fn small_transactions() {
    let warmed = |table: &Pairs| table.remove(&999).map(drop);
    run("replace a pair", &prepare, &|table| {
        warmed(table)?;
        table.replace(&5, &1)
    });
    run("replace the first pair", &|_| Ok(()), &|table| {
        warmed(table)?;
        table.replace(&5, &1)
    });
    run("replace on a stack", &prepare, &|table| {
        warmed(table)?;
        table.replace(&1, &1)
    });
    run("add to a pair", &prepare, &|table| {
        warmed(table)?;
        table.fetch_add(&5, 1).map(drop)
    });
    run("a maximum that is there", &prepare, &|table| {
        warmed(table)?;
        table.fetch_max(&5, 50).map(drop)
    });
    run("update a pair", &prepare, &|table| {
        warmed(table)?;
        table.update(&5, |old| old.map(|old| old + 1)).map(drop)
    });
    run("update a pair to nothing", &prepare, &|table| {
        warmed(table)?;
        table.update(&5, |_| None).map(drop)
    });
    // Without savepoints, but inside one.
    run("replace one pair again and again in a group", &prepare, &|table| {
        warmed(table)?;
        group!(retry table => {
            table.find(&5)?;
            table.replace(&5, &1)?;
            let undone: Result<()> = group!(table => {
                table.replace(&5, &2)?;
                table.replace(&5, &3)?;
                return Err(crate::error::Error::Forked { object: "any error".into() });
            });
            assert!(undone.is_err());
            assert_eq!(table.find(&5)?, Some(1));
            table.replace(&5, &4)?;
        })
    });
    run("change others within an update", &prepare, &|table| {
        warmed(table)?;
        let update = table.update(&5, |old| {
            table.replace(&6, &1).unwrap();
            table.remove(&5).unwrap();
            let undone: Result<()> = group!(table => {
                table.add(&7, &1)?;
                return Err(crate::error::Error::Forked { object: "any error".into() });
            });
            assert!(undone.is_err());
            old.map(|old| old + 1)
        });
        update.map(drop)
    });
}

/// A cell that a group has freed is filled by the same group: undoing must bring back what it held.
#[test]
fn groups() {
    run("a cell filled again", &prepare, &|table| {
        group!(retry table => {
            for key in 3..9 {
                table.remove(&key)?;
                table.add(&(key + 50), &1)?;
            }
        })
    });
    run("clear and fill", &prepare, &|table| {
        group!(table => {
            table.clear()?;
            table.add(&5, &1)?;
        })
    });
}

/// Every single addition while the index grows from nothing, and every removal on the way back.
#[test]
fn growing_and_shrinking() {
    let (open, check) = (open(Locking::Futex), Pairs::check);
    for keys in [0, 3, 4, 7, 8, 15, 16, 22, 27, 28, 29, 31, 48] {
        let prepare = |table: &Pairs| (0..keys).try_for_each(|key| table.add(&key, &!key));
        let act = |table: &Pairs| table.add(&1000, &1);
        let name = format!("add to {keys} pairs");
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &check }.run();
        let prepare = |table: &Pairs| {
            (0..90).try_for_each(|key| table.add(&key, &!key))?;
            (keys + 1..90).try_for_each(|key| table.remove(&key).map(drop))
        };
        let act = |table: &Pairs| table.remove(&0).map(drop);
        let name = format!("remove one of {}", keys + 1);
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &check }.run();
    }
}
