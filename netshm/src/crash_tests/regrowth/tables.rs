//! Buckets, segments, overflow buckets, records and runs of tables.

use std::fmt::Debug;
use std::ops::Range;

use super::{Pairs, Subject, Texts, sorted, table, undo};
use crate::data::ShmData;
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::shm::Shm;
use crate::testing::Scratch;

/// Runs the group on a table of at most that size, whose writers are stopped at each such step.
fn run<V: ShmData + Ord + Debug>(
    name: &str,
    max_size: u64,
    stride: u64,
    prepare: &dyn Fn(&HashTable<u64, V>) -> Result<()>,
    act: &dyn Fn(&HashTable<u64, V>) -> Result<()>,
) {
    let open = table(max_size);
    let group = |table: &HashTable<u64, V>, body: &dyn Fn() -> Result<()>| table.group(body);
    Subject { name, open: &open, prepare, act, group: &group, dump: &sorted, check: &HashTable::check, stride }.run();
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
    run("buckets of pairs", 1 << 26, 7, &prepare, &act);
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
    run("buckets of records", 1 << 26, 23, &prepare, &act);
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
    run("segments", 1 << 26, 101, &prepare, &act);
}

/// Adds values of that length, which the object has no room for in the end.
fn fill(table: &Texts, keys: Range<u64>, length: usize) -> Result<()> {
    let value = "f".repeat(length);
    is_full(keys.into_iter().try_for_each(|key| table.add(&key, &value)))
}

fn is_full(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(Error::Full { .. }) => Ok(()),
        outcome => outcome.map(|()| panic!("the object is not full")),
    }
}

/// Overflow buckets come where the index cannot grow: in an object without room for another segment.
#[test]
fn overflow_buckets() {
    const LARGE: u64 = 1 << 32;
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
    run("overflow buckets", 1 << 18, 97, &prepare, &act);
}

/// The same with pairs, beside texts that keep the index from growing; the chains are split when these have gone.
#[test]
fn overflow_buckets_of_pairs() {
    struct Both {
        pairs: Pairs,
        texts: Texts,
    }
    let open = |shm: Shm, locking| {
        let options = Texts::options().named("texts").locking(locking).stripes(1).slots(2).init(1).max_size(1 << 18);
        let texts = options.manage(shm.clone())?;
        Ok(Both { pairs: Pairs::options().named("pairs").stripes(1).init(1).manage(shm)?, texts })
    };
    let prepare = |Both { pairs, texts }: &Both| {
        (0..30).try_for_each(|key| pairs.add(&key, &!key))?;
        fill(texts, 0..100, 9000)?;
        (0..2).try_for_each(|key| texts.remove(&key).map(drop))?;
        is_full((30..5000).try_for_each(|key| pairs.add(&key, &!key)))?;
        // Single pairs have no records, so chunks are there for overflow buckets only.
        assert!(pairs.stats()?.chunks > 1000);
        texts.clear()
    };
    let act = |Both { pairs, .. }: &Both| {
        (0..200).step_by(3).try_for_each(|key| pairs.remove(&key).map(drop))?;
        (5000..5100).try_for_each(|key| pairs.add(&key, &key))?;
        (5000..5050).try_for_each(|key| pairs.remove(&key).map(drop))
    };
    let scratch = Scratch::new();
    let both = open(scratch.open(), Locking::Futex).unwrap();
    prepare(&both).unwrap();
    let index = both.pairs.stats().unwrap().index;
    act(&both).unwrap();
    assert!(both.pairs.stats().unwrap().index > index, "no chain is split");
    Subject {
        name: "overflow buckets of pairs",
        open: &open,
        prepare: &prepare,
        act: &act,
        group: &|both, body| both.pairs.group(body),
        dump: &|both| sorted(&both.pairs),
        check: &|both| both.pairs.check(),
        stride: 797,
    }
    .run();
}

/// Records that have runs of their own, of other lengths each time; the object grows meanwhile.
#[test]
fn runs() {
    let text = |key: u64, turn: u64| "r".repeat((9000 + (key * 7919 + turn * 4441) % 30_000) as usize);
    let prepare = |table: &Texts| (0..12).try_for_each(|key| table.add(&key, &text(key, 0)));
    let act = |table: &Texts| {
        (0..10).try_for_each(|key| table.remove(&key).map(drop))?;
        (100..115).try_for_each(|key| table.add(&key, &text(key, 1)))?;
        table.clear()?;
        (0..9).try_for_each(|key| table.add(&key, &text(key, 2)))?;
        (2..6).try_for_each(|key| table.replace(&key, &text(key, 3)))
    };
    run("runs", 1 << 26, 797, &prepare, &act);
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
