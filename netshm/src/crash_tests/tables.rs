//! Operations on tables.

use super::{Case, METHODS};
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::shm::Shm;
use crate::table::{Flow, Table};

type Texts = HashTable<String, String>;
type Content = Vec<(String, String)>;

/// Opens a small table, so that little memory is copied, and pages, segments and logs run out soon.
fn open(locking: Locking, stripes: u32) -> impl Fn(Shm) -> Result<Texts> {
    move |shm| Texts::options().locking(locking).stripes(stripes).slots(2).init(1).max_size(1 << 26).manage(shm)
}

fn dump(table: &Texts) -> Result<Content> {
    // Every way of reading, since each meets the dead writer in its own way.
    let _ = table.find("a")?;
    let mut all = table.scan().collect::<Result<Content>>()?;
    // The order of keys is the table's own; that of the bindings of a key counts.
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(all.len(), table.len()?);
    let mut keys = table.keys().collect::<Result<Vec<_>>>()?;
    keys.sort();
    let mut values = table.values().collect::<Result<Vec<_>>>()?;
    values.sort();
    let mut expected: Vec<_> = all.iter().map(|(_, value)| value.clone()).collect();
    expected.sort();
    assert!(values == expected && table.find_many(&keys)?.iter().all(Option::is_some));
    let stacks = all.chunk_by(|(a, _), (b, _)| a == b);
    for (key, stack) in keys.iter().zip(stacks) {
        assert!(*key == stack[0].0 && table.contains(key)? && table.find(key)?.as_ref() == Some(&stack[0].1));
        assert!(table.find_all(key)?.iter().eq(stack.iter().map(|(_, value)| value)));
    }
    assert!(!table.contains("never")? && table.find_all("never")?.is_empty());
    Ok(all)
}

fn prepare(table: &Texts) -> Result<()> {
    for number in 0..20 {
        table.add(&format!("key {number}"), &"v".repeat(number * 7))?;
    }
    table.add("a", "first")?;
    table.add("a", "second")?;
    table.add("a", "third")?;
    table.add("long", &"x".repeat(5000))
}

fn run(name: &str, prepare: &dyn Fn(&Texts) -> Result<()>, act: &dyn Fn(&Texts) -> Result<()>) {
    for locking in METHODS {
        let name = format!("{name}, {locking}");
        Case { name, open: &open(locking, 2), prepare, act, dump: &dump, check: &Texts::check }.run_under(locking);
    }
}

#[test]
fn add() {
    run("add a binding", &prepare, &|table| table.add("a", "fourth"));
    run("add a key", &prepare, &|table| table.add("a new one", "v"));
    run("add a long value", &prepare, &|table| table.add("b", &"y".repeat(3000)));
    run("add a value with a run of its own", &prepare, &|table| table.add("b", &"z".repeat(20_000)));
    run("add to an empty table", &|_| Ok(()), &|table| table.add("a", "fourth"));
}

#[test]
fn replace() {
    run("replace in place", &prepare, &|table| table.replace("a", "THIRD"));
    run("replace by a longer one", &prepare, &|table| table.replace("a", &"t".repeat(300)));
    run("replace a long one", &prepare, &|table| table.replace("long", &"y".repeat(5000)));
    run("replace a long one by a short one", &prepare, &|table| table.replace("long", ""));
    run("replace what is not there", &prepare, &|table| table.replace("new", "v"));
}

/// A process that has changed something before makes these changes in small transactions.
#[test]
fn small_transactions() {
    let warmed = |table: &Texts| table.remove("nothing").map(drop);
    run("replace in place", &prepare, &|table| {
        warmed(table)?;
        table.replace("a", "THIRD")
    });
    run("replace many words in place", &prepare, &|table| {
        warmed(table)?;
        table.replace("key 12", &"w".repeat(84))
    });
    run("replace by a longer one", &prepare, &|table| {
        warmed(table)?;
        table.replace("a", &"t".repeat(300))
    });
}

#[test]
fn remove() {
    run("remove a binding", &prepare, &|table| table.remove("a").map(drop));
    run("remove a key", &prepare, &|table| table.remove("key 7").map(drop));
    run("remove a long value", &prepare, &|table| table.remove("long").map(drop));
    run("remove all bindings", &prepare, &|table| table.remove_all("a").map(drop));
    run("pop", &prepare, &|table| table.pop("a").map(drop));
}

#[test]
fn clear() {
    run("clear", &prepare, &Texts::clear);
    run("clear and fill", &prepare, &|table| {
        group!(table => {
            table.clear()?;
            table.add("a", "again")?;
        })
    });
}

#[test]
fn update() {
    run("update", &prepare, &|table| table.update("a", |old| old.map(|old| old + "!")).map(drop));
    run("update to nothing", &prepare, &|table| table.update("a", |_| None).map(drop));
    run("add if absent", &prepare, &|table| table.add_if_absent("new", "v").map(drop));
    run("swap", &prepare, &|table| table.swap("a", "other").map(drop));
    run("swap with a longer one", &prepare, &|table| table.swap("a", &"l".repeat(300)).map(drop));
    run("exchange", &prepare, &|table| table.compare_exchange("a", "third", "fourth").map(drop));
}

#[test]
fn group() {
    run("move from one key to another", &prepare, &|table| {
        group!(retry table => {
            let moved = table.pop("a")?.unwrap_or_default();
            table.add("key 3", &moved)?;
            table.replace("key 4", &"w".repeat(400))?;
        })
    });
    run("a group that changes its mind", &prepare, &|table| {
        let inner: Result<()> = group!(table => {
            table.add("a", "fourth")?;
            let undone: Result<()> = group!(table => {
                table.clear()?;
                table.add("b", &"y".repeat(3000))?;
                return Err(Error::Forked { object: "any error".into() });
            });
            assert!(undone.is_err());
            table.remove("key 5")?;
        });
        inner
    });
    run("a group that fails", &prepare, &|table| {
        let undone: Result<()> = group!(table => {
            table.add("b", &"y".repeat(3000))?;
            table.remove_all("a")?;
            return Err(Error::Forked { object: "any error".into() });
        });
        assert!(undone.is_err());
        Ok(())
    });
}

/// The short ways of groups on pairs: a value is replaced where it has just been found, after others have been, and after a part of
/// the group is undone.
#[test]
fn pairs_in_a_group() {
    type Pairs = HashTable<u64, u64>;
    for locking in METHODS {
        let open = move |shm| HashTable::options().locking(locking).stripes(1).slots(2).max_size(1 << 26).manage(shm);
        let prepare = |table: &Pairs| (0..20).try_for_each(|key| table.add(&key, &key));
        let increment = |table: &Pairs, key: u64| {
            let value = table.find(&key)?.unwrap_or_default();
            table.replace(&key, &(value + 100))
        };
        let act = |table: &Pairs| {
            group!(table => {
                increment(table, 3)?;
                increment(table, 4)?;
                let undone: Result<()> = group!(table => {
                    increment(table, 5)?;
                    table.remove(&6)?;
                    return Err(Error::Forked { object: "any error".into() });
                });
                assert!(undone.is_err());
                increment(table, 6)?;
                increment(table, 3)?;
            })
        };
        let dump = |table: &Pairs| {
            let mut pairs = table.scan().collect::<Result<Vec<_>>>()?;
            pairs.sort_unstable();
            Ok(pairs)
        };
        let name = format!("pairs in a group, {locking}");
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &Pairs::check }.run_under(locking);
    }
}

#[test]
fn many_in_a_group() {
    let bindings = || (0..12).map(|number| (format!("key {number}"), "m".repeat(number * 9)));
    let locking = Locking::Futex;
    let act = |table: &Texts| table.group(|| table.add_many(bindings()));
    let (open, name) = (open(locking, 2), "many bindings in a group".to_owned());
    Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &Texts::check }.run();
}

/// Enough for the log to need segments beyond its first, the index to split, and the file to grow.
#[test]
fn a_large_group() {
    for locking in METHODS {
        let act = |table: &Texts| {
            table.group_retry(|| -> Result<()> {
                for number in 0..16 {
                    table.replace(&format!("new {number}"), &"n".repeat(number * 30))?;
                }
                Ok(())
            })
        };
        let name = format!("a large group, {locking}");
        Case { name, open: &open(locking, 1), prepare: &prepare, act: &act, dump: &dump, check: &Texts::check }
            .run_under(locking);
    }
}

/// Every single addition while the index grows from nothing, and every removal on the way back.
#[test]
fn growing_and_shrinking() {
    let locking = Locking::Futex;
    for keys in [0, 3, 4, 7, 8, 15, 16, 27, 28, 29, 31] {
        let prepare = |table: &Texts| (0..keys).try_for_each(|number| table.add(&format!("key {number}"), "v"));
        let act = |table: &Texts| table.add("one more", "v");
        let (open, check) = (open(locking, 1), Texts::check);
        let name = format!("add to {keys} keys");
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &check }.run();
        let prepare = |table: &Texts| {
            (0..40).try_for_each(|number| table.add(&format!("key {number}"), "v"))?;
            (keys + 1..40).try_for_each(|number| table.remove(&format!("key {number}")).map(drop))
        };
        let act = |table: &Texts| table.remove("key 0").map(drop);
        let name = format!("remove one of {}", keys + 1);
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &check }.run();
    }
}

#[test]
fn primitive_table() {
    for locking in METHODS {
        let open = move |shm| Table::options().locking(locking).stripes(1).slots(2).max_size(1 << 26).manage(shm);
        let prepare = |table: &Table| {
            table.add(7, &[1; 200])?;
            table.add(7, &[2; 100])?;
            table.add(7, &[3; 3])
        };
        let dump = |table: &Table| table.find_all(7);
        let change_blocks = |table: &Table| {
            let mut bindings = 0;
            table.write_blocks(7, |block| {
                block.set(0, 100);
                if block.ends_binding() {
                    bindings += 1;
                    if bindings == 2 {
                        return Flow::Remove;
                    }
                }
                Flow::Next
            })
        };
        let name = format!("write_blocks, {locking}");
        Case { name, open: &open, prepare: &prepare, act: &change_blocks, dump: &dump, check: &Table::check }
            .run_under(locking);
    }
}
