//! What `check` and `stats` say of sound objects.

use netshm::{Array, Error, HashTable, Locking, Report, Shm, Table};
use netshm_tests::{Random, Scratch};

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

#[track_caller]
fn assert_sound(report: &Report) {
    assert!(report.is_clean(), "{report}");
    let sum = report.used + report.index + report.logs + report.overhead + report.free + report.lost;
    assert_eq!(sum, report.size, "{report}");
}

/// The error that ends a group.
struct Undo;

impl From<Error> for Undo {
    fn from(error: Error) -> Undo {
        panic!("{error}");
    }
}

#[test]
fn tables_stay_sound_through_all_changes() {
    for locking in METHODS {
        for pagesize in [256, 4096] {
            let object = Scratch::posix("check-table");
            let tab: HashTable<u64, Vec<u8>> = HashTable::options()
                .locking(locking)
                .pagesize(pagesize)
                .stripes(4)
                .init(10)
                .manage(object.open())
                .unwrap();
            assert_sound(&tab.check().unwrap());
            let mut numbers = Random::new(pagesize);
            for step in 0..6000 {
                let key = numbers.below(400);
                let value = vec![
                    step as u8;
                    [numbers.below(40), numbers.below(5000), numbers.below(40_000)]
                        [(step % 33 == 0) as usize + (step % 99 == 0) as usize]
                        as usize
                ];
                match numbers.below(8) {
                    0..3 => tab.replace(&key, &value).unwrap(),
                    3..5 => tab.add(&key, &value).unwrap(),
                    5 => drop(tab.remove(&key).unwrap()),
                    6 => drop(tab.remove_all(&key).unwrap()),
                    _ => drop(tab.group(|| -> Result<(), Undo> {
                        tab.add(&key, &value)?;
                        tab.remove_all(&(key + 1))?;
                        Err(Undo)
                    })),
                }
                if step % 500 == 0 {
                    assert_sound(&tab.check().unwrap());
                }
            }
            let report = tab.check().unwrap();
            assert_sound(&report);
            assert_eq!(report.bindings, tab.len().unwrap() as u64);
            let stats = tab.stats().unwrap();
            assert_eq!((stats.keys, stats.bindings, stats.size), (report.keys, report.bindings, report.size));
            for key in 0..401 {
                tab.remove_all(&key).unwrap();
            }
            let empty = tab.check().unwrap();
            assert_sound(&empty);
            assert_eq!(empty.used, 0);
            tab.add(&1, &vec![0; 100]).unwrap();
            tab.clear().unwrap();
            assert_sound(&tab.check().unwrap());
        }
    }
}

#[test]
fn arrays_stay_sound_through_all_changes() {
    for locking in METHODS {
        let objects = [Scratch::posix("check-array"), Scratch::posix("check-array")];
        let numbers_in = Array::<u32>::manage(objects[0].open(), 7, locking).unwrap();
        let texts: Array<String> = Array::manage(objects[1].open(), "-".to_owned(), locking).unwrap();
        let mut numbers = Random::new(1);
        for step in 0..4000 {
            let len = texts.len().unwrap() as u64;
            match numbers.below(20) {
                0 => {
                    let len = [numbers.below(3000), numbers.below(1_000_000)][(step % 5 == 0) as usize] as usize;
                    texts.resize(len).unwrap();
                    numbers_in.resize(len).unwrap();
                }
                _ if len == 0 => {}
                1..3 => {
                    texts.swap(numbers.below(len) as usize, numbers.below(len) as usize).unwrap();
                }
                _ => {
                    let index = numbers.below(len) as usize;
                    texts
                        .set(
                            index,
                            &"x".repeat([numbers.below(30), numbers.below(20_000)][(step % 40 == 0) as usize] as usize),
                        )
                        .unwrap();
                    numbers_in.set(index, &(index as u32)).unwrap();
                }
            }
            if step % 250 == 0 {
                assert_sound(&texts.check().unwrap());
                assert_sound(&numbers_in.check().unwrap());
            }
        }
        assert_sound(&texts.check().unwrap());
        assert_sound(&numbers_in.check().unwrap());
        texts.resize(0).unwrap();
        let empty = texts.check().unwrap();
        assert_sound(&empty);
        assert_eq!((empty.used, empty.keys), (0, 0));
    }
}

#[test]
fn a_check_inside_a_group_is_refused() {
    let object = Scratch::posix("check-group");
    let tab = Table::manage(object.open(), Locking::Futex).unwrap();
    let outcome = tab.group(|| tab.check());
    assert!(matches!(outcome, Err(Error::InGroup { wanted: "check", .. })), "{outcome:?}");
}

#[test]
fn a_read_only_descriptor_checks_too() {
    let object = Scratch::posix("check-read-only");
    let tab: HashTable<String, u64> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    for i in 0..1000 {
        tab.add(&format!("key {i}"), &i).unwrap();
    }
    drop(tab);
    let shm = Shm::options().read_only(true).open(object.name()).unwrap();
    let tab: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex).unwrap();
    let report = tab.check().unwrap();
    assert_sound(&report);
    assert_eq!(report.keys, 1000);
    assert!(report.to_string().contains("1000 bindings of 1000 keys"), "{report}");
}
