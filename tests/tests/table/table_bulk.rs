//! Adding many bindings at once, and looking at values without building them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netshm::dynamic::{DynTable, Value};
use netshm::{Error, HashTable, Locking, Result, Shm, Table, group};
use netshm_tests::{Random, Scratch, Shape};

fn wanted() -> Error {
    "nonsense".parse::<netshm::ShmName>().unwrap_err()
}

#[test]
fn many_bindings_are_those_added_one_by_one() {
    for (number, shape) in Shape::all().into_iter().enumerate() {
        let mut random = Random::new(number as u64);
        let scratch = Scratch::posix("bulk");
        let options = HashTable::<String, String>::options().locking(shape.locking).pagesize(shape.pagesize);
        let table = options.stripes(shape.stripes).init(1).manage(scratch.open()).unwrap();
        let mut model: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for round in 0..4 {
            // Keys come several times, also within one call.
            let bindings: Vec<(String, String)> = (0..random.below(900))
                .map(|at| {
                    (format!("key {}", random.below(500)), format!("{round}-{at}").repeat(random.below(40) as usize))
                })
                .collect();
            let add = || table.add_many(bindings.iter().map(|(key, value)| (key, value)));
            match round {
                1 => {
                    let undone: Result<()> = table.group(|| {
                        add()?;
                        Err(wanted())
                    });
                    assert!(undone.is_err());
                    continue;
                }
                2 => table.group(add).unwrap(),
                _ => add().unwrap(),
            }
            for (key, value) in bindings {
                model.entry(key).or_default().push(value);
            }
        }
        for (key, stack) in &model {
            let found = table.find_all(key).unwrap();
            assert_eq!(found.iter().rev().collect::<Vec<_>>(), stack.iter().collect::<Vec<_>>(), "{key}");
        }
        assert_eq!(table.len().unwrap(), model.values().map(Vec::len).sum::<usize>());
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn many_numbers_fill_a_table_that_grows_and_one_that_need_not() {
    for init in [1, 100_000] {
        let scratch = Scratch::posix("bulk");
        let table: HashTable<u64, u64> = HashTable::options().init(init).manage(scratch.open()).unwrap();
        table.add_many((0..100_000).map(|key| (key, key * 3))).unwrap();
        assert_eq!(table.len().unwrap(), 100_000);
        assert!((0..100_000).all(|key| table.find(&key).unwrap() == Some(key * 3)));
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn an_iterator_may_use_the_table_and_may_panic() {
    let scratch = Scratch::posix("bulk");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    table.add(&0, &7).unwrap();
    table.add_many((1..5000).map(|key| (key, table.find(&0).unwrap().unwrap() + key))).unwrap();
    assert_eq!(table.find(&4999).unwrap(), Some(5006));
    let panics = std::panic::catch_unwind(|| {
        let undone: Result<()> = group!(table => {
            table.add_many((5000..10_000).map(|key| if key == 9000 { panic!("wanted") } else { (key, 0) }))?;
        });
        undone
    });
    assert!(panics.is_err());
    assert_eq!(table.len().unwrap(), 5000);
}

#[test]
fn tables_of_all_kinds_take_many_bindings() {
    let scratch = Scratch::posix("bulk");
    let table = Table::manage(scratch.open(), Locking::Futex).unwrap();
    table.add_many((0..100).map(|key| (key, vec![key; 3]))).unwrap();
    assert_eq!(table.find(99).unwrap(), Some(vec![99; 3]));
    assert_eq!(table.find_with(99, <[i32]>::len).unwrap(), Some(3));
    let mut found = Vec::new();
    assert!(table.find_into(98, &mut found).unwrap() && !table.find_into(100, &mut found).unwrap());
    assert_eq!(found, [98; 3]);
    let dynamic = DynTable::open(Shm::open(scratch.name()).unwrap()).unwrap();
    let value = |number: i32| Value::Seq(vec![Value::from(number)]);
    dynamic.add_many((100..200).map(|key| (Value::from(key), value(key)))).unwrap();
    assert_eq!(table.find(199).unwrap(), Some(vec![199]));
    let error = dynamic.add_many([(Value::from(200), value(1)), (Value::from("text"), value(1))]).unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
}

#[test]
fn views_are_copies() {
    let scratch = Scratch::posix("views");
    let table: HashTable<u64, String> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    let long = "länger ".repeat(20_000);
    table.add_many([(1, "one".to_owned()), (2, String::new()), (3, long.clone())]).unwrap();
    // Inside one look another, and a change of what is looked at.
    let seen = table.find_with(&1, |one| {
        table.replace(&1, "other").unwrap();
        let inner = table.find_with(&3, |three| three == long).unwrap();
        (one.to_owned(), inner)
    });
    assert_eq!(seen.unwrap(), Some(("one".to_owned(), Some(true))));
    assert_eq!(table.find_with(&2, str::is_empty).unwrap(), Some(true));
    assert_eq!(table.find_with(&4, str::is_empty).unwrap(), None);
    // In a group, as it will be.
    group!(table => {
        table.replace(&1, "in a group")?;
        assert_eq!(table.find_with(&1, str::to_owned)?.as_deref(), Some("in a group"));
    })
    .unwrap();
    let mut text = String::with_capacity(200_000);
    let memory = text.as_ptr();
    assert!(table.find_into(&3, &mut text).unwrap());
    assert_eq!((text.as_str(), text.as_ptr()), (long.as_str(), memory));
    assert!(!table.find_into(&4, &mut text).unwrap());
    assert_eq!(text, long);
}

#[test]
fn views_are_of_one_moment() {
    let scratch = Scratch::posix("views");
    let table: HashTable<u64, Vec<u32>> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    let value = |round: u32| vec![round; [3, 200, 9, 3000][round as usize % 4]];
    table.add(&1, &value(0)).unwrap();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..3000).for_each(|round| table.replace(&1, &value(round)).unwrap());
            ends.store(true, Ordering::Relaxed);
        });
        let mut found = Vec::new();
        while !ends.load(Ordering::Relaxed) {
            let is_whole = |words: &[u32]| words == value(words[0]);
            assert_eq!(table.find_with(&1, is_whole).unwrap(), Some(true));
            assert!(table.find_into(&1, &mut found).unwrap() && is_whole(&found));
        }
    });
}
