//! Many bindings, long values, and what they cost. Large objects are files, since some machines have little shared memory.

use netshm::{Error, HashTable, Locking, Shm, Table};
use netshm_tests::Scratch;

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

#[test]
fn a_hundred_thousand_bindings_of_one_key() {
    const BINDINGS: i32 = 100_000;
    for locking in METHODS {
        let scratch = Scratch::file("deep");
        let table = Table::manage(scratch.open(), locking).unwrap();
        table.add(8, &[0]).unwrap();
        (0..BINDINGS).for_each(|number| table.add(7, &[number]).unwrap());
        assert_eq!(table.len().unwrap(), BINDINGS as usize + 1);
        assert_eq!(table.find(7).unwrap(), Some(vec![BINDINGS - 1]));
        let all = table.find_all(7).unwrap();
        assert!(all.into_iter().eq((0..BINDINGS).rev().map(|number| vec![number])));
        let mut keys = Vec::new();
        table.for_each_key(|key| keys.push(key)).unwrap();
        keys.sort_unstable();
        assert_eq!(keys, [7, 8]);
        let visited = table.fold(0_i64, |sum, _, value| sum + i64::from(value[0])).unwrap();
        assert_eq!(visited, (0..i64::from(BINDINGS)).sum::<i64>());
        assert!(table.check().unwrap().is_clean());
        // What is in the middle goes as well as what is on top, and the lock goes with the call.
        let mut shown = 0;
        let remove_every_other = |_: &mut netshm::BlockMut<'_>| {
            shown += 1;
            if shown % 2 == 0 { netshm::Flow::Remove } else { netshm::Flow::Next }
        };
        table.write_blocks(7, remove_every_other).unwrap();
        assert_eq!(table.pop(7).unwrap(), Some(vec![BINDINGS - 1]));
        assert_eq!(table.pop(7).unwrap(), Some(vec![BINDINGS - 3]));
        assert_eq!(table.remove_all(7).unwrap(), BINDINGS as usize / 2 - 2);
        assert_eq!((table.find(7).unwrap(), table.find(8).unwrap()), (None, Some(vec![0])));
        assert!(table.check().unwrap().is_clean());
    }
}

/// Returns the megabytes of a long string: some, or as many as `NETSHM_MEGABYTES` says.
fn megabytes() -> usize {
    std::env::var("NETSHM_MEGABYTES").map_or(48, |text| text.parse().expect("NETSHM_MEGABYTES is a number"))
}

#[test]
fn a_string_of_many_megabytes() {
    let length = megabytes() << 20;
    let scratch = Scratch::file("long-string");
    let table: HashTable<String, String> = HashTable::manage(scratch.open(), Locking::Record).unwrap();
    // Every 64 KiB looks different, so that a piece at the wrong place is noticed.
    let mut long = "0123456789abcdef".repeat(length / 16).into_bytes();
    for (number, part) in long.chunks_mut(1 << 16).enumerate() {
        part[..8].copy_from_slice(format!("{number:08}").as_bytes());
    }
    let long = String::from_utf8(long).unwrap();
    table.add("long", &long).unwrap();
    table.add("short", "s").unwrap();
    assert!(table.find("long").unwrap().as_ref() == Some(&long));
    let size = table.shm().size().unwrap();
    // Replacing needs room for both, and the room is used again.
    for _ in 0..2 {
        table.replace("long", &long[1..]).unwrap();
    }
    assert!(table.find("long").unwrap().as_deref() == Some(&long[1..]));
    assert!(table.shm().size().unwrap() < 2 * size + size / 10);
    assert!(table.check().unwrap().is_clean());
    assert!(table.pop("long").unwrap().as_deref() == Some(&long[1..]));
    assert_eq!(table.find("short").unwrap().as_deref(), Some("s"));
}

#[test]
fn beyond_the_longest_length_is_an_error() {
    let scratch = Scratch::posix("longest");
    let table: HashTable<Vec<u8>, Vec<u8>> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    // Memory that nobody touches costs nothing.
    let long = vec![0_u8; 1 << 31];
    let too_large = |outcome: netshm::Result<()>| match outcome {
        Err(Error::TooLarge { size, limit, .. }) => assert!(size > limit && limit <= i32::MAX as u64),
        other => panic!("{other:?}"),
    };
    table.add(&b"k"[..], &b"v"[..]).unwrap();
    too_large(table.add(&b"k"[..], &long));
    too_large(table.add(&long, &b"v"[..]));
    too_large(table.replace(&b"k"[..], &long));
    too_large(table.find(&long).map(drop));
    too_large(table.group(|| table.add_if_absent(&b"new"[..], &long).map(drop)));
    assert_eq!(table.find(&b"k"[..]).unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(table.len().unwrap(), 1);
    assert!(table.check().unwrap().is_clean());
}

#[test]
fn a_value_larger_than_the_object_may_become_is_an_error_that_loses_nothing() {
    for locking in METHODS {
        let scratch = Scratch::posix("full");
        let options = HashTable::<u32, Vec<u64>>::options().locking(locking).max_size(1 << 20);
        let table = options.manage(scratch.open()).unwrap();
        let full = |outcome: netshm::Result<()>| match outcome {
            Err(Error::Full { limit, .. }) => assert_eq!(limit, 1 << 20),
            other => panic!("{other:?}"),
        };
        full(table.add(&1, &vec![7; 1 << 17]));
        let mut added = 0;
        loop {
            match table.add(&added, &vec![u64::from(added); 100]) {
                Ok(()) => added += 1,
                other => break full(other),
            }
        }
        assert!(added > 500, "{added}");
        full(table.replace(&3, &vec![0; 300]));
        for key in 0..added {
            assert_eq!(table.find(&key).unwrap(), Some(vec![u64::from(key); 100]));
        }
        assert!(table.check().unwrap().is_clean());
        for key in 0..added {
            assert!(table.remove(&key).unwrap());
        }
        // The room is used again, but for what the stripes share out among themselves in another way.
        for round in 0..6 {
            if round % 2 == 0 {
                table.clear().unwrap();
            }
            let again = (0..added).take_while(|key| table.add(key, &vec![1; 100]).is_ok()).count();
            assert!(again as u32 > added / 10 * 9, "{again} of {added}");
            (0..again as u32).for_each(|key| assert!(table.remove(&key).unwrap()));
        }
        assert!(table.is_empty().unwrap());
        assert!(table.check().unwrap().is_clean());
    }
}

#[test]
fn a_million_numbers_take_48_bytes_each_at_most() {
    const ENTRIES: u64 = 1_000_000;
    let scratch = Scratch::file("million");
    let table: HashTable<u64, u64> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    (0..ENTRIES).for_each(|key| table.add(&key, &!key).unwrap());
    let size = Shm::open(scratch.name()).unwrap().size().unwrap();
    assert!(size <= 48 * ENTRIES, "{} bytes an entry", size as f64 / ENTRIES as f64);
    assert_eq!(table.len().unwrap(), ENTRIES as usize);
    for key in (0..ENTRIES + 1000).step_by(997) {
        assert_eq!(table.find(&key).unwrap(), (key < ENTRIES).then_some(!key));
    }
    (0..ENTRIES).step_by(10).for_each(|key| table.replace(&key, &key).unwrap());
    assert_eq!(Shm::open(scratch.name()).unwrap().size().unwrap(), size);
    assert!(table.check().unwrap().is_clean());
}

#[test]
fn adding_and_removing_new_keys_does_not_use_up_the_object() {
    for locking in METHODS {
        let scratch = Scratch::posix("churn");
        let table: HashTable<u64, u64> = HashTable::options().locking(locking).manage(scratch.open()).unwrap();
        let churn = |keys: std::ops::Range<u64>| {
            for key in keys {
                table.add(&key, &key).unwrap();
                // A few keys are alive at a time.
                if let Some(old) = key.checked_sub(100) {
                    assert!(table.remove(&old).unwrap(), "{old}");
                }
            }
        };
        churn(0..20_000);
        let size = table.shm().size().unwrap();
        churn(20_000..20_100);
        churn(20_100..120_000);
        // At some time or other a stripe has more keys than any before, and takes another run.
        assert!(table.shm().size().unwrap() <= size + (64 << 10));
        assert!(table.check().unwrap().is_clean());
    }
}
