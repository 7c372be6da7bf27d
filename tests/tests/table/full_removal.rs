//! Removing from an object that is full works, however much is removed at once: memory for the log of a large removal is
//! no more to be had than memory for additions.

use netshm::{Array, Error, Flow, HashTable, Locking, Result, Table};
use netshm_tests::Scratch;

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];
const SIZE: u64 = 1 << 19;

/// Adds until the object is full, with large things first and small ones for the last gaps.
fn fill(mut add: impl FnMut(u64, usize) -> Result<()>) -> u64 {
    let mut added = 0;
    for (length, failures) in [(2000, 1), (100, 3), (0, 20)] {
        let mut failed = 0;
        while failed < failures {
            match add(added, length) {
                Ok(()) => {}
                Err(Error::Full { .. }) => failed += 1,
                Err(error) => panic!("{error}"),
            }
            added += 1;
            assert!(added < 1_000_000, "the object grows beyond every limit");
        }
    }
    added
}

fn any_error() -> Error {
    "no name".parse::<netshm::ShmName>().expect_err("it has no kind")
}

#[test]
fn all_bindings_of_a_key() {
    for locking in METHODS {
        let object = Scratch::posix("full-removal");
        let table: HashTable<String, String> =
            HashTable::options().locking(locking).stripes(2).init(16).max_size(SIZE).manage(object.open()).unwrap();
        for i in 0..500 {
            table.add("many", &"m".repeat(i % 60)).unwrap();
        }
        fill(|i, length| table.add(&i.to_string(), &"f".repeat(length)));
        let undone = table.group(|| {
            assert_eq!(table.remove_all("many")?, 500);
            Err::<(), _>(any_error())
        });
        assert!(matches!(undone, Err(Error::InvalidName { .. })), "{undone:?}");
        assert_eq!(table.find_all("many").unwrap().len(), 500);
        assert_eq!(table.remove_all("many").unwrap(), 500);
        assert_eq!(table.find("many").unwrap(), None);
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{locking}: {report}");
        // There is room again.
        (0..100).for_each(|_| table.add("many", "again").unwrap());
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn all_bindings_of_a_pair() {
    for locking in METHODS {
        let object = Scratch::posix("full-removal");
        let table: HashTable<u64, u64> =
            HashTable::options().locking(locking).stripes(1).init(16).max_size(SIZE).manage(object.open()).unwrap();
        (0..700).for_each(|i| table.add(&u64::MAX, &i).unwrap());
        let mut key = 0;
        fill(|_, length| {
            (0..=length as u64 / 16).try_for_each(|_| {
                key += 1;
                table.add(&key, &key)
            })
        });
        assert_eq!(table.remove_all(&u64::MAX).unwrap(), 700);
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{locking}: {report}");
    }
}

#[test]
fn blocks() {
    for locking in METHODS {
        let object = Scratch::posix("full-removal");
        let table = Table::options().locking(locking).stripes(8).init(16).max_size(SIZE).manage(object.open()).unwrap();
        for i in 0..20 {
            table.add(7, &vec![i; 30 * i as usize]).unwrap();
        }
        fill(|i, length| table.add(i as i32 + 100, &vec![1; length / 4]));
        table.write_blocks(7, |_| Flow::Remove).unwrap();
        assert_eq!(table.find(7).unwrap(), None);
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{locking}: {report}");
    }
}

#[test]
fn elements_of_an_array() {
    for locking in METHODS {
        for length in [0, 1, 3000, 20_000] {
            let object = Scratch::posix("full-removal");
            let array: Array<String> = Array::options()
                .locking(locking)
                .stripes(2)
                .init(16)
                .max_size(SIZE)
                .manage(object.open(), String::new())
                .unwrap();
            array.resize(1 << 20).unwrap();
            fill(|i, length| array.set(i as usize * 37 % 100_003, &"f".repeat(length)));
            array.resize(length).unwrap();
            assert_eq!(array.len().unwrap(), length);
            let report = array.check().unwrap();
            assert!(report.is_clean(), "{locking}, {length}: {report}");
            array.resize(1 << 20).unwrap();
            for index in length..200_000 {
                assert_eq!(array.get(index).unwrap(), "");
            }
        }
    }
}

#[test]
fn elements_that_lie_densely() {
    for locking in METHODS {
        for length in [0, 100, 30_001] {
            let object = Scratch::posix("full-removal");
            let array: Array<u64> =
                Array::options().locking(locking).stripes(2).init(16).max_size(SIZE).manage(object.open(), 7).unwrap();
            array.resize(1 << 40).unwrap();
            fill(|i, _| array.set(i as usize * 256 + (i as usize % 5) * 100_000_000, &i));
            array.resize(length).unwrap();
            let report = array.check().unwrap();
            assert!(report.is_clean(), "{locking}, {length}: {report}");
            array.resize(1 << 40).unwrap();
            for index in (length..1_000_000).step_by(64) {
                assert_eq!(array.get(index).unwrap(), 7);
            }
        }
    }
}
