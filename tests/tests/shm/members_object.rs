//! Several tables and arrays in one object.

use std::sync::Barrier;
use std::thread;

use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, Error, HashTable, Locking, MemberKind, Result, Shm, Table, group, repair};
use netshm_tests::{Child, Scratch};

pub(crate) const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

pub(crate) type Accounts = HashTable<String, i64>;

fn accounts(shm: &Shm, name: &str) -> Result<Accounts> {
    HashTable::options().named(name).manage(shm.clone())
}

#[test]
fn members_are_apart() {
    for locking in METHODS {
        let object = Scratch::posix("members-apart");
        let shm = object.open();
        let users: HashTable<String, u64> =
            HashTable::options().locking(locking).named("users").manage(shm.clone()).unwrap();
        let pairs: HashTable<u64, u64> = HashTable::options().named("pairs").stripes(4).manage(shm.clone()).unwrap();
        let hits: Array<u64> = Array::options().named("hits").manage(shm.clone(), 7).unwrap();
        let names: Array<String> = Array::options().named("names").manage(shm.clone(), "nobody".to_owned()).unwrap();
        let raw = Table::options().named("raw").manage(shm.clone()).unwrap();
        hits.resize(1000).unwrap();
        names.resize(5).unwrap();
        for i in 0..500 {
            users.add(&i.to_string(), &i).unwrap();
            pairs.add(&i, &(i * i)).unwrap();
            hits.set(i as usize, &i).unwrap();
            raw.add(i as i32, &[i as i32; 3]).unwrap();
        }
        names.set(3, "somebody").unwrap();
        pairs.clear().unwrap();
        pairs.add(&5, &25).unwrap();
        let members = shm.members().unwrap();
        let seen: Vec<_> = members.iter().map(|member| (member.name(), member.kind(), member.len())).collect();
        let expected = [
            ("users", MemberKind::HashTable, 500),
            ("pairs", MemberKind::HashTable, 1),
            ("hits", MemberKind::Array, 1000),
            ("names", MemberKind::Array, 5),
            ("raw", MemberKind::Table, 500),
        ];
        assert_eq!(seen, expected);
        assert_eq!(members[1].description().stripes, 4);
        let mut sum = 0;
        users.for_each(|_, value| sum += value).unwrap();
        assert_eq!((sum, users.len().unwrap(), pairs.len().unwrap()), (499 * 500 / 2, 500, 1));
        assert_eq!(
            (hits.get(499).unwrap(), hits.get(500).unwrap(), names.get(3).unwrap()),
            (499, 7, "somebody".into())
        );
        for report in [users.check(), pairs.check(), hits.check(), names.check(), raw.check()] {
            let report = report.unwrap();
            assert!(report.is_clean(), "{report}");
        }
        let reader = Shm::options().read_only(true).open(object.name()).unwrap();
        let read: HashTable<u64, u64> = HashTable::options().named("pairs").manage(reader.clone()).unwrap();
        assert_eq!(read.find(&5).unwrap(), Some(25));
        assert_eq!(reader.members().unwrap(), shm.members().unwrap());
        drop((users, pairs, hits, names, raw, read));
        // From the file alone.
        let hits: Array<u64> = Array::options().named("hits").manage(object.open(), 7).unwrap();
        assert_eq!((hits.len().unwrap(), hits.get(42).unwrap()), (1000, 42));
    }
}

#[test]
fn a_member_without_a_name_beside_others() {
    let object = Scratch::posix("members-mixed");
    let plain: HashTable<u64, u64> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    plain.add(&1, &2).unwrap();
    let named = accounts(plain.shm(), "named").unwrap();
    named.add("a", &-1).unwrap();
    assert_eq!(plain.shm().members().unwrap().iter().map(|m| m.name().to_owned()).collect::<Vec<_>>(), ["", "named"]);
    assert_eq!((plain.find(&1).unwrap(), named.find("a").unwrap()), (Some(2), Some(-1)));
    let dynamic = DynTable::open_member(object.open(), "named").unwrap();
    assert_eq!(dynamic.find(&Value::from("a")).unwrap(), Some(Value::from(-1)));
    assert!(DynArray::open_member(object.open(), "named").is_err());
}

#[test]
fn what_is_not_there_is_an_error_that_lists_what_is() {
    let object = Scratch::posix("members-missing");
    let shm = object.open();
    let tables = [accounts(&shm, "users").unwrap(), accounts(&shm, "hits").unwrap()];
    let text = HashTable::<u64, u64>::manage(shm.clone(), Locking::Futex).unwrap_err().to_string();
    assert!(text.ends_with(r#"has no member without a name; it has: "hits", "users""#), "{text}");
    let reader = Shm::options().read_only(true).open(object.name()).unwrap();
    assert!(matches!(accounts(&reader, "x"), Err(Error::NoMember { name, .. }) if name == "x"));
    assert!(matches!(shm.remove_member("x"), Err(Error::NoMember { .. })));
    assert!(matches!(shm.describe(), Err(Error::NoMember { .. })));
    for name in ["", "a/b", "a\nb", &"x".repeat(64)] {
        assert!(matches!(accounts(&shm, name), Err(Error::InvalidOption { option: "named", .. })), "{name:?}");
    }
    accounts(&shm, &"ä".repeat(31)).unwrap();
    let mismatch = HashTable::<u64, u64>::options().named("users").manage(shm.clone());
    assert!(matches!(mismatch, Err(Error::SchemaMismatch { .. })));
    drop(tables);
}

#[test]
fn members_are_removed_when_nobody_has_them() {
    let object = Scratch::posix("members-remove");
    let shm = object.open();
    let keep = accounts(&shm, "keep").unwrap();
    keep.add("a", &1).unwrap();
    let old = accounts(&shm, "old").unwrap();
    let again = old.clone();
    for i in 0..5000 {
        old.add(&i.to_string(), &i).unwrap();
    }
    assert!(matches!(shm.remove_member("old"), Err(Error::InUse { .. })));
    drop(old);
    assert!(matches!(shm.remove_member("old"), Err(Error::InUse { .. })));
    drop(again);
    let child = Child::start("members_object::holder", &[&object.name().to_string()]);
    assert_eq!(child.line().as_deref(), Some("open"));
    assert!(matches!(shm.remove_member("old"), Err(Error::InUse { .. })));
    let mut child = child;
    child.kill();
    child.wait();
    shm.remove_member("old").unwrap();
    assert_eq!(shm.members().unwrap().len(), 1);
    let report = keep.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let size = shm.size().unwrap();
    // Its stripes and its memory are used again, by another kind.
    for round in 0..20 {
        let array: Array<u64> = Array::options().named("old").manage(shm.clone(), round).unwrap();
        array.resize(1000).unwrap();
        assert_eq!(array.get(999).unwrap(), round);
        drop(array);
        shm.remove_member("old").unwrap();
        let table: HashTable<u64, u64> = HashTable::options().named("old").manage(shm.clone()).unwrap();
        assert_eq!(table.len().unwrap(), 0);
        (0..100).for_each(|i| table.add(&i, &i).unwrap());
        drop(table);
        shm.remove_member("old").unwrap();
    }
    assert!(shm.size().unwrap() <= size);
    assert!(keep.check().unwrap().is_clean());
    assert_eq!(keep.find("a").unwrap(), Some(1));
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    if part == "adder" {
        return add_members(&arguments[0], &arguments[1]);
    }
    let table = accounts(&Shm::open(&arguments[0]).unwrap(), "old").unwrap();
    println!("> open");
    thread::sleep(std::time::Duration::from_secs(60));
    drop(table);
}

#[test]
fn more_members_than_there_is_room_for() {
    let object = Scratch::posix("members-many");
    let shm = object.open();
    let add = |i: usize| HashTable::<u64, u64>::options().named(&format!("m{i}")).stripes(1).manage(shm.clone());
    let tables: Vec<_> = (0..128).map(|i| add(i).unwrap()).collect();
    assert!(matches!(add(128), Err(Error::NoRoomForMember { .. })));
    for (table, key) in tables.iter().zip(0..) {
        table.add(&key, &key).unwrap();
    }
    assert!(shm.members().unwrap().iter().all(|member| member.len() == 1));
    let report = tables[0].check().unwrap();
    assert!(report.is_clean(), "{report}");
    let large = HashTable::<u64, u64>::options().named("m0").stripes(8192);
    drop(tables);
    shm.remove_member("m0").unwrap();
    assert!(matches!(large.manage(shm.clone()), Err(Error::NoRoomForMember { .. })));
    add(128).unwrap();
}

#[test]
fn a_group_on_a_member_is_one_on_the_object() {
    for locking in METHODS {
        let object = Scratch::posix("members-group");
        let shm = object.open();
        let from: Accounts = HashTable::options().locking(locking).named("from").manage(shm.clone()).unwrap();
        let (to, log) = (accounts(&shm, "to").unwrap(), Array::<u64>::options().named("log").manage(shm, 0).unwrap());
        from.add("a", &10).unwrap();
        log.resize(1).unwrap();
        let transfer = |fail: bool| {
            group!(retry to => {
                let money = from.pop("a")?.unwrap_or_default();
                to.replace("a", &money)?;
                log.update(0, |n| n + 1)?;
                if fail {
                    return Err(log.get(77).unwrap_err());
                }
            })
        };
        assert!(transfer(true).is_err());
        assert_eq!((from.find("a").unwrap(), to.find("a").unwrap(), log.get(0).unwrap()), (Some(10), None, 0));
        transfer(false).unwrap();
        assert_eq!((from.find("a").unwrap(), to.find("a").unwrap(), log.get(0).unwrap()), (None, Some(10), 1));
        // An iteration forbids changes to its own member only.
        to.try_for_each(|key, money| {
            assert!(matches!(to.add(&key, &money), Err(Error::Iterating { .. })));
            from.add(&key, &money)?;
            Ok::<(), Error>(())
        })
        .unwrap();
        assert_eq!(from.find("a").unwrap(), Some(10));
        assert!(matches!(group!(from => { from.shm().remove_member("x")? }), Err(Error::InGroup { .. })));
        assert!(from.check().unwrap().is_clean());
    }
}

#[test]
fn many_add_the_same_members_at_once() {
    let object = Scratch::posix("members-race");
    let shm = object.open();
    let barrier = Barrier::new(8);
    thread::scope(|scope| {
        for i in 0..8u64 {
            let (shm, barrier) = (&shm, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for j in 0..20u64 {
                    let table: HashTable<u64, u64> =
                        HashTable::options().named(&format!("m{j}")).manage(shm.clone()).unwrap();
                    table.add(&i, &j).unwrap();
                }
            });
        }
    });
    let members = shm.members().unwrap();
    assert_eq!(members.len(), 20);
    assert!(members.iter().all(|member| member.len() == 8));
}

#[test]
fn repairing_keeps_all_members() {
    let object = Scratch::posix("members-repair");
    let shm = object.open();
    let users = accounts(&shm, "users").unwrap();
    let hits: Array<u64> = Array::options().named("hits").manage(shm, 1).unwrap();
    users.add("a", &1).unwrap();
    hits.resize(3).unwrap();
    hits.set(1, &5).unwrap();
    drop((users, hits));
    let repair = repair(object.name()).unwrap();
    assert_eq!((repair.saved, repair.dropped), (2, 0), "{repair}");
    let shm = object.open();
    let users = accounts(&shm, "users").unwrap();
    let hits: Array<u64> = Array::options().named("hits").manage(shm, 1).unwrap();
    assert_eq!((users.find("a").unwrap(), hits.get(1).unwrap(), hits.len().unwrap()), (Some(1), 5, 3));
}

#[test]
fn an_empty_object_takes_little_memory() {
    let object = Scratch::posix("members-memory");
    let _table: HashTable<u64, u64> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let path = object.name().to_string().replace("posix:", "/dev/shm");
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
    assert!(blocks * 512 <= 300 << 10, "{} bytes", blocks * 512);
}

#[test]
fn figures_have_a_part_for_each_member() {
    let object = Scratch::posix("members-stats");
    let shm = object.open();
    let users = accounts(&shm, "users").unwrap();
    let hits: Array<u64> = Array::options().named("hits").stripes(2).manage(shm.clone(), 0).unwrap();
    (0..1000).for_each(|i| users.add(&i.to_string(), &i).unwrap());
    hits.resize(100_000).unwrap();
    hits.fill(0..100_000, &1).unwrap();
    let reader = Shm::options().read_only(true).open(object.name()).unwrap();
    for shm in [&shm, &reader] {
        let stats = shm.stats().unwrap();
        let [users, hits] = &stats.members[..] else { panic!("{stats}") };
        assert_eq!((&*users.name, users.kind, users.rows, users.stripes), ("users", MemberKind::HashTable, 1000, 16));
        assert_eq!((&*hits.name, hits.kind, hits.rows, hits.stripes), ("hits", MemberKind::Array, 100_000, 2));
        assert!(users.bytes > 20_000 && hits.bytes >= 800_000 && hits.bytes < 1_600_000, "{stats}");
        assert_eq!((hits.allocated - hits.bytes, stats.stripes, stats.stripe_room), (2 * 1344, 18, 4096));
        let sum = users.allocated + hits.allocated;
        assert!(sum < stats.allocated && stats.allocated <= stats.size && stats.free < stats.size, "{stats}");
        assert!(stats.to_string().contains("hits: 100000 rows"), "{stats}");
    }
}

/// What fails leaves an empty file empty.
#[test]
fn a_member_that_cannot_be_made_leaves_no_object() {
    let object = Scratch::file("members-none");
    let path = object.name().to_string().replace("file:", "");
    for is_there in [true, false] {
        if is_there {
            std::fs::write(&path, "").unwrap();
        }
        let too_many = HashTable::<u64, u64>::options().named("a").stripe_room(64).stripes(128).manage(object.open());
        assert!(matches!(too_many, Err(Error::NoRoomForMember { .. } | Error::InvalidOption { .. })), "{too_many:?}");
        assert_eq!(std::fs::metadata(&path).map(|file| file.len()).ok(), is_there.then_some(0));
        let missing = DynTable::open_member(object.open(), "a");
        assert!(missing.is_err());
        if is_there {
            assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
            std::fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_member_that_cannot_be_managed_is_not_added() {
    let object = Scratch::posix("members-locking");
    let shm = object.open();
    let _first: HashTable<u64, u64> = HashTable::options().named("first").manage(shm.clone()).unwrap();
    let another = HashTable::<u64, u64>::options().named("second").locking(Locking::Record).manage(shm.clone());
    assert!(matches!(another, Err(Error::LockingMismatch { .. })), "{another:?}");
    assert_eq!(shm.members().unwrap().len(), 1);
}

/// Two processes add members while a third works with one.
#[test]
fn processes_add_members_while_others_work() {
    let object = Scratch::posix("members-processes");
    let shm = object.open();
    let work: HashTable<u64, u64> = HashTable::options().named("work").manage(shm.clone()).unwrap();
    let name = object.name().to_string();
    let children = ["0", "1"].map(|number| Child::start("members_object::adder", &[&name, number]));
    children.iter().for_each(|child| assert_eq!(child.line().as_deref(), Some("adding")));
    let mut count = 0u64;
    while shm.members().unwrap().len() < 41 {
        work.add(&count, &count).unwrap();
        assert_eq!(work.find(&count).unwrap(), Some(count));
        count += 1;
    }
    children.into_iter().for_each(Child::succeed);
    let members = shm.members().unwrap();
    // Those that both have added are there once.
    assert_eq!((members.len(), members[0].len() as u64), (41, count));
    assert!(members[1..].iter().all(|member| member.len() == if member.name().starts_with("both") { 2 } else { 1 }));
    let report = work.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

fn add_members(name: &str, number: &str) {
    let shm = Shm::open(name).unwrap();
    println!("> adding");
    for i in 0..20 {
        for name in [format!("both {i}"), format!("own {number} {}", i / 2)] {
            if name.starts_with("own") && i % 2 == 1 {
                continue;
            }
            let table: HashTable<String, String> =
                HashTable::options().named(&name).stripes(2).manage(shm.clone()).unwrap();
            table.add(number, &name).unwrap();
        }
    }
}
