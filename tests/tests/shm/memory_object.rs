//! Memory that goes back to the system, and is taken again.

use std::time::Duration;

use netshm::{Array, Error, HashTable, Locking, Shm};
use netshm_tests::{Child, Scratch};

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

type Pairs = HashTable<u64, u64>;
type Texts = HashTable<u64, Vec<u8>>;

pub(crate) fn child(part: &str, arguments: &[String]) {
    let shm = Shm::open(arguments[0].as_str()).unwrap();
    match part {
        "holder" => {
            let _table: Pairs = HashTable::options().named("pairs").manage(shm).unwrap();
            println!("> open");
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        other => panic!("no such part: {other}"),
    }
}

/// Returns how many pairs to add; the bytes that may be left go with them.
fn pairs() -> u64 {
    std::env::var("NETSHM_PAIRS").map_or(200_000, |pairs| pairs.parse().unwrap())
}

#[test]
fn what_was_added_and_removed_takes_no_memory() {
    for (locking, object) in
        METHODS.into_iter().zip([Scratch::posix("trim"), Scratch::posix("trim"), Scratch::file("trim")])
    {
        let table: Pairs = HashTable::options().locking(locking).manage(object.open()).unwrap();
        let empty = table.stats().unwrap().allocated;
        assert!(empty <= 300 << 10, "{empty} bytes for an empty object");
        let count = pairs();
        (0..count).for_each(|i| table.add(&i, &i).unwrap());
        let full = table.stats().unwrap().allocated;
        assert!(full >= count * 32);
        (0..count).for_each(|i| assert!(table.remove(&i).unwrap()));
        let given = table.shm().trim().unwrap();
        let stats = table.stats().unwrap();
        // Less than 4 MB after two million pairs.
        assert!(stats.allocated <= count * 7 / 4 + (512 << 10), "{} bytes are left of {full}", stats.allocated);
        assert!(given >= full - stats.allocated && stats.size >= full, "{given} given back, {stats}");
        assert!(table.check().unwrap().is_clean());
        assert!(stats.to_string().contains("allocated"), "{stats}");
        assert_eq!(table.shm().trim().unwrap(), 0);
        // It is taken again.
        (0..count).for_each(|i| table.add(&i, &(i + 1)).unwrap());
        assert!((0..count).all(|i| table.find(&i).unwrap() == Some(i + 1)));
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn it_is_given_back_when_nobody_uses_the_object() {
    let object = Scratch::posix("trim-close");
    let table: Texts = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let kept = object.open();
    (0..100).for_each(|i| table.add(&i, &vec![1; 100_000]).unwrap());
    table.clear().unwrap();
    let full = table.stats().unwrap().allocated;
    assert!(full > 10_000_000);
    drop(table);
    let allocated = |object: &Scratch| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(format!("/dev/shm{}", object.name().to_string().strip_prefix("posix:").unwrap()))
            .unwrap()
            .blocks()
            * 512
    };
    assert!(allocated(&object) < 1_000_000, "{} bytes are left", allocated(&object));
    let table: Texts = HashTable::manage(kept, Locking::Futex).unwrap();
    assert!(table.stats().unwrap().allocated < 1_000_000, "opening fills the holes");
    table.add(&1, &vec![2; 5_000_000]).unwrap();
    assert!(table.check().unwrap().is_clean());
}

#[test]
fn beside_others_nothing_is_trimmed() {
    let object = Scratch::posix("trim-others");
    let shm = object.open();
    let table: Pairs = HashTable::options().named("pairs").manage(shm.clone()).unwrap();
    let mut child = Child::start("memory_object::holder", &[&object.name().to_string()]);
    assert_eq!(child.line().unwrap(), "open");
    assert!(matches!(shm.trim(), Err(Error::InUse { .. })));
    child.kill();
    shm.trim().unwrap();
    let error = netshm::group!(table => { shm.trim()? }).unwrap_err();
    assert!(matches!(error, Error::InGroup { .. }), "{error}");
    let reader = Shm::options().read_only(true).open(object.name()).unwrap();
    assert!(matches!(reader.trim(), Err(Error::ReadOnly { .. })));
    // Others open the object as if nothing had been.
    let child = Child::start("memory_object::holder", &[&object.name().to_string()]);
    assert_eq!(child.line().unwrap(), "open");
}

#[test]
fn a_trimmed_object_is_copied_with_its_holes() {
    let object = Scratch::posix("trim-copy");
    let shm = object.open();
    let table: Texts = HashTable::options().named("texts").manage(shm.clone()).unwrap();
    let array: Array<u64> = Array::options().named("array").manage(shm.clone(), 0).unwrap();
    array.resize(100_000).unwrap();
    (0..50).for_each(|i| table.add(&i, &vec![1; 100_000]).unwrap());
    array.fill(0..100_000, &7).unwrap();
    (0..50).filter(|i| i % 10 != 0).for_each(|i| assert!(table.remove(&i).unwrap()));
    // As it is, what is free has memory; in the copy it has none.
    for (trim, copy) in [(false, Scratch::posix("trim-copied")), (true, Scratch::file("trim-copied"))] {
        if trim {
            shm.trim().unwrap();
        }
        shm.copy_to(copy.name()).unwrap();
        let copied: Texts = HashTable::options().named("texts").manage(Shm::open(copy.name()).unwrap()).unwrap();
        let stats = copied.stats().unwrap();
        assert!(stats.allocated < 2_000_000 && stats.size > 5_000_000, "{stats}");
        let report = copied.check().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(copied.len().unwrap(), 5);
        (0..50).for_each(|i| copied.replace(&i, &vec![3; 100_000]).unwrap());
        assert!(copied.check().unwrap().is_clean());
    }
}
