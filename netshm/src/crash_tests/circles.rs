//! Pointers that lead in circles, where the counts of the object say that this may go on for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::words::ends;
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::index::{self, record::Record};
use crate::layout::LogAt;
use crate::layout::method::Locking;
use crate::layout::run::RunAt;
use crate::shm::Shm;
use crate::store::Store;
use crate::table::{Flow, Table};
use crate::testing::Scratch;

type Texts = HashTable<String, String>;

const PLENTY: u64 = 1 << 40;

fn open(shm: Shm) -> Result<Texts> {
    Texts::options().locking(Locking::Futex).stripes(1).slots(1).init(1).max_size(1 << 26).manage(shm)
}

/// Makes the oldest of a key's bindings lead to the newest, and says that there are many.
fn close(store: &Store, newest: u64) {
    let region = store.region();
    let mut last = Record::at(region, newest).unwrap();
    while last.older() != 0 {
        last = Record::at(region, last.older()).unwrap();
    }
    region.word(last.at).unwrap().store(last.head.with_pointer(newest).0, Relaxed);
    region.field(store.geometry().stripe(1).hidden()).store(PLENTY, Relaxed);
}

#[test]
fn bindings_of_a_key() {
    let verbs: [fn(&Texts) -> Result<()>; 6] = [
        |table| table.find_all("k").map(drop),
        |table| table.for_each(|_, _| ()),
        |table| table.scan().try_for_each(|item| item.map(drop)),
        |table| table.values().try_for_each(|item| item.map(drop)),
        |table| table.remove_all("k").map(drop),
        |table| match table.check()?.is_clean() {
            true => Ok(()),
            false => Err(Error::Forked { object: "any error".into() }),
        },
    ];
    for bindings in [1, 2, 300] {
        for verb in verbs {
            let copy = Scratch::new();
            let table = open(copy.open()).unwrap();
            (0..bindings).for_each(|number| table.add("k", &"v".repeat(number)).unwrap());
            let newest = table
                .handle()
                .with_key("k", |key| Ok(index::find(table.handle().store.region(), key)?.unwrap().record.at));
            close(&table.handle().store, newest.unwrap());
            assert!(ends("a circle of bindings", move || verb(&table)).is_err());
        }
    }
}

#[test]
fn blocks_of_a_key() {
    let copy = Scratch::new();
    let table = Table::options().stripes(1).slots(1).manage(copy.open()).unwrap();
    (0..9).for_each(|number| table.add(7, &[number]).unwrap());
    let newest =
        table.handle().with_key(&7i32, |key| Ok(index::find(table.handle().store.region(), key)?.unwrap().record.at));
    close(&table.handle().store, newest.unwrap());
    let table = Arc::new(table);
    let (reader, writer) = (table.clone(), table.clone());
    assert!(ends("a circle of blocks", move || reader.read_blocks(7, |_| Flow::Next)).is_err());
    assert!(ends("a circle of blocks", move || writer.write_blocks(7, |_| Flow::Next)).is_err());
}

#[test]
fn segments_of_a_log() {
    let copy = Scratch::new();
    let table = open(copy.open()).unwrap();
    table.add("k", &"v".repeat(1 << 20)).unwrap();
    let store = &table.handle().store;
    let (region, geometry) = (store.region(), store.geometry());
    // Inside the long value, a segment that leads to itself.
    let newest = table.handle().with_key("k", |key| Ok(index::find(region, key)?.unwrap().record.value_at()));
    let segment = LogAt(newest.unwrap() + 4096);
    let capacity = LogAt::capacity_of(1 << 19);
    region.word(segment.link().bytes()).unwrap().store(segment.0, Relaxed);
    region.word(segment.capacity().bytes()).unwrap().store(capacity, Relaxed);
    for entry in 0..capacity {
        // An entry that harms nothing.
        region.word(segment.entry(entry).bytes()).unwrap().store(segment.0 - 64, Relaxed);
    }
    region.field(geometry.log(0).link()).store(segment.0, Relaxed);
    region.field(geometry.slot(0).log_word()).store(capacity * 60_000, Relaxed);
    drop(table);
    let shm = copy.open();
    assert!(ends("a circle of log segments", move || open(shm).map(drop)).is_err());
}

#[test]
fn free_runs() {
    let copy = Scratch::new();
    let shm = copy.open();
    let table = open(shm.clone()).unwrap();
    table.add("k", &"v".repeat(1 << 20)).unwrap();
    table.remove("k").unwrap();
    let store = &table.handle().store;
    let (region, meta) = (store.region(), store.geometry().stripe(store.geometry().meta()));
    let class = 63 - region.field(meta.classes()).load(Relaxed).leading_zeros();
    let largest = RunAt(region.field(meta.class(class)).load(Relaxed));
    region.word(largest.next().bytes()).unwrap().store(largest.0, Relaxed);
    let outcome = ends("a circle of free runs", move || shm.trim());
    assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
}
