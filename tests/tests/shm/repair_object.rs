//! What `repair` saves of damaged objects, and what happens after the system went down.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use netshm::{Array, Error, HashTable, Locking, Result, Shm, ShmName, repair};
use netshm_tests::{Directory, Scratch};

type Words = HashTable<String, u64>;

fn open(object: &Scratch) -> Result<Words> {
    HashTable::options().locking(Locking::Futex).stripes(4).manage(object.open())
}

fn contents(tab: &Words) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    tab.for_each(|key, value| all.entry(key).or_default().push(value)).unwrap();
    all
}

fn fill(tab: &Words) {
    for i in 0..3000u64 {
        tab.add(&format!("key {}", i % 1000), &i).unwrap();
    }
}

/// Returns where the file of an object holds a sequence of bytes, and the file.
fn places(object: &Scratch, bytes: &[u8]) -> (Vec<u64>, fs::File) {
    let path = object.name().to_string().replace("file:", "");
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let all = fs::read(&path).unwrap();
    let found = all.windows(bytes.len()).enumerate().filter(|(_, window)| *window == bytes).map(|(at, _)| at as u64);
    (found.collect(), file)
}

#[test]
fn a_sound_table_stays_as_it_is_and_becomes_small() {
    let object = Scratch::file("repair-sound");
    let tab = open(&object).unwrap();
    fill(&tab);
    for i in 20..1000 {
        tab.remove_all(&format!("key {i}")).unwrap();
    }
    let (before, size) = (contents(&tab), tab.shm().size().unwrap());
    tab.shm().set_mode(0o640).unwrap();
    drop(tab);
    let outcome = repair(object.name()).unwrap();
    assert!(outcome.before.is_clean(), "{outcome}");
    assert_eq!((outcome.saved, outcome.dropped, outcome.found), (60, 0, 0));
    let tab = open(&object).unwrap();
    assert_eq!(contents(&tab), before);
    assert!(tab.check().unwrap().is_clean());
    assert!(tab.shm().size().unwrap() <= size);
    let path = object.name().to_string().replace("file:", "");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o640);
}

/// Returns the files beside an object whose names begin with those of unfinished repairs.
fn leftovers(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let all = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".netshm-repair-")).collect()
}

#[test]
fn a_repair_keeps_owner_mode_and_links_and_leaves_nothing_behind() {
    let directory = Directory::new("repair");
    let (file, link, second) = (directory.join("file"), directory.join("link"), directory.join("second"));
    let name = |path: &std::path::Path| ShmName::file(path).unwrap();
    let open = || Words::options().manage(Shm::options().create(true).open(&name(&file)).unwrap()).unwrap();
    fill(&open());
    std::os::unix::fs::symlink("file", &link).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o2664)).unwrap();
    // Only the superuser may give files away.
    let own = fs::metadata(&file).unwrap();
    let (user, group) = if own.uid() == 0 { (12345, 23456) } else { (own.uid(), own.gid()) };
    std::os::unix::fs::chown(&file, Some(user), Some(group)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o2664)).unwrap();
    fs::hard_link(&file, &second).unwrap();
    let error = repair(name(&file)).unwrap_err();
    assert!(error.to_string().contains("several names (hard links)"), "{error}");
    fs::remove_file(&second).unwrap();
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new());
    let before = fs::metadata(&file).unwrap().ino();
    let outcome = repair(name(&link)).unwrap();
    assert_eq!(outcome.saved, 3000);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let now = fs::metadata(&file).unwrap();
    assert_ne!(now.ino(), before);
    assert_eq!((now.uid(), now.gid(), now.permissions().mode() & 0o7777), (user, group, 0o2664));
    assert_eq!(open().len().unwrap(), 3000);
}

/// A repair that is killed leaves its unfinished object, until the next one.
#[test]
fn what_a_killed_repair_left_is_deleted_by_the_next() {
    let directory = Directory::new("repair-killed");
    let name = directory.name("file");
    let tab = Words::options().manage(Shm::options().create(true).open(&name).unwrap()).unwrap();
    for i in 0..200_000u64 {
        tab.add(&format!("key {i}"), &i).unwrap();
    }
    drop(tab);
    let mut child = netshm_tests::Child::start("repair_object::repairer", &[&name.to_string()]);
    while leftovers(directory.path()).is_empty() {
        std::thread::yield_now();
    }
    child.kill();
    let outcome = repair(&name).unwrap();
    assert_eq!(outcome.saved, 200_000);
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new());
}

pub(crate) fn child(_: &str, arguments: &[String]) {
    repair(&arguments[0]).unwrap();
}

#[test]
fn an_object_that_others_have_open_is_not_repaired() {
    let object = Scratch::file("repair-in-use");
    let tab = open(&object).unwrap();
    assert!(matches!(repair(object.name()), Err(Error::InUse { .. })));
    drop(tab);
    repair(object.name()).unwrap();
}

#[test]
fn bindings_that_the_index_has_lost_are_found() {
    let object = Scratch::file("repair-index");
    let tab = open(&object).unwrap();
    fill(&tab);
    let before = contents(&tab);
    drop(tab);
    // A pointer is the address in words, above 23 other bits. The one that is not in another record is the key's cell.
    let (texts, file) = places(&object, b"key 77\0\0");
    let records: Vec<u64> = texts.iter().map(|text| text - 16).collect();
    let all = fs::read(object.name().to_string().replace("file:", "")).unwrap();
    for (word, at) in all.chunks_exact(8).zip((0u64..).step_by(8)) {
        let pointer = u64::from_ne_bytes(word.try_into().unwrap()) >> 23 << 3;
        // The text of a short key can look like a pointer.
        if records.contains(&pointer) && !records.contains(&at) && !word.starts_with(b"key ") {
            file.write_all_at(&[0; 8], at).unwrap();
        }
    }
    let outcome = repair(object.name()).unwrap();
    assert!(!outcome.before.is_clean());
    assert_eq!((outcome.saved, outcome.found), (3000, 3), "{outcome}");
    let tab = open(&object).unwrap();
    let mut saved = contents(&tab);
    let mut expected = before;
    // In which order a key's bindings come that only the records tell of is open.
    for all in [&mut saved, &mut expected] {
        all.get_mut("key 77").unwrap().sort_unstable();
    }
    assert_eq!(saved, expected);
    assert!(tab.check().unwrap().is_clean());
}

/// Makes an object of pairs, damages every word that satisfies `is`, and repairs it. Returns what is found again.
fn repaired_pairs(subject: &str, keys: u64, is: impl Fn(u64) -> bool) -> netshm::Repair {
    let object = Scratch::file(subject);
    let open = || -> HashTable<u64, u64> {
        HashTable::options().locking(Locking::Futex).stripes(2).manage(object.open()).unwrap()
    };
    let tab = open();
    (0..keys).for_each(|key| tab.add(&key, &(key + 1_000_000)).unwrap());
    (0..keys / 2).for_each(|key| assert!(tab.remove(&key).unwrap()));
    tab.add(&(keys - 1), &7).unwrap();
    drop(tab);
    let path = object.name().to_string().replace("file:", "");
    let mut bytes = fs::read(&path).unwrap();
    for word in bytes.chunks_exact_mut(8) {
        if is(u64::from_ne_bytes((&*word).try_into().unwrap())) {
            word.fill(0xee);
        }
    }
    fs::write(&path, bytes).unwrap();
    let outcome = repair(object.name()).unwrap();
    let tab = open();
    assert!(tab.check().unwrap().is_clean());
    for key in (keys / 2..keys - 1).filter(|key| !is(*key) && !is(*key + 1_000_000)) {
        assert_eq!(tab.find_all(&key).unwrap(), [key + 1_000_000], "key {key}");
    }
    assert_eq!(tab.find_all(&(keys - 1)).unwrap(), [7, keys + 999_999]);
    outcome
}

#[test]
fn pairs_are_repaired() {
    let outcome = repaired_pairs("repair-pairs", 3000, |_| false);
    assert_eq!((outcome.saved, outcome.dropped, outcome.found), (1501, 0, 0), "{outcome}");
    // Values may be anything; a key that is damaged is not where it belongs.
    let outcome = repaired_pairs("repair-pair-keys", 3000, |word| word == 2500);
    assert_eq!((outcome.saved, outcome.dropped, outcome.found), (1500, 1, 0), "{outcome}");
}

/// Without the number of buckets nothing leads to any segment of the index.
#[test]
fn pairs_are_found_without_the_index() {
    let object = Scratch::file("repair-buckets");
    let options = || HashTable::<u64, u64>::options().locking(Locking::Futex).stripes(1);
    let tab = options().manage(object.open()).unwrap();
    (0..3000).for_each(|key| tab.add(&key, &!key).unwrap());
    // Two cache lines of cells, and a word of tags.
    let buckets = tab.stats().unwrap().index / 136;
    drop(tab);
    let (found, file) = places(&object, &buckets.to_ne_bytes());
    // The keys follow the buckets in their stripe.
    let mut keys = [0; 8];
    let place = found.into_iter().find(|place| {
        file.read_exact_at(&mut keys, place + 8).unwrap();
        u64::from_ne_bytes(keys) == 3000
    });
    file.write_all_at(&[0xee; 8], place.unwrap()).unwrap();
    let outcome = repair(object.name()).unwrap();
    assert_eq!((outcome.saved, outcome.found), (3000, 3000), "{outcome}");
    let tab = options().manage(object.open()).unwrap();
    assert!((0..3000).all(|key| tab.find_all(&key).unwrap() == [!key]));
    assert!(tab.check().unwrap().is_clean());
}

#[test]
fn a_segment_that_tells_a_wrong_size_is_noticed_and_does_no_harm() {
    let object = Scratch::file("repair-segment");
    let options = || HashTable::<u64, u64>::options().locking(Locking::Futex).stripes(1);
    let tab = options().manage(object.open()).unwrap();
    (1000..4000).for_each(|key| tab.add(&key, &!key).unwrap());
    assert!(tab.check().unwrap().is_clean());
    // The largest segments for that number of keys; other words may hold that number too.
    let (found, file) = places(&object, &128u64.to_ne_bytes());
    let noticed = found.into_iter().filter(|place| place % 8 == 0).find(|place| {
        file.write_all_at(&u64::MAX.to_ne_bytes(), *place).unwrap();
        let report = tab.check().map(|report| report.to_string()).unwrap_or_default();
        let noticed = report.contains("a segment of the index has room for another number of buckets");
        if !noticed {
            file.write_all_at(&128u64.to_ne_bytes(), *place).unwrap();
        }
        noticed
    });
    assert!(noticed.is_some());
    drop(tab);
    let outcome = repair(object.name()).unwrap();
    assert_eq!((outcome.saved, outcome.dropped, outcome.found), (3000, 0, 0), "{outcome}");
    let tab = options().manage(object.open()).unwrap();
    assert!((1000..4000).all(|key| tab.find_all(&key).unwrap() == [!key]));
    assert!(tab.check().unwrap().is_clean());
}

#[test]
fn arrays_are_repaired() {
    let object = Scratch::file("repair-array");
    let array: Array<String> = Array::manage(object.open(), "-".to_owned(), Locking::Futex).unwrap();
    array.resize(1_000_000).unwrap();
    for i in 0..500 {
        array.set(i * 1999, &format!("element {i}")).unwrap();
    }
    drop(array);
    // A head whose lengths lead nowhere.
    let (found, file) = places(&object, b"element 250\0");
    file.write_all_at(&[255; 8], found[0] - 16).unwrap();
    let outcome = repair(object.name()).unwrap();
    assert!(!outcome.before.is_clean());
    assert_eq!((outcome.saved, outcome.dropped), (499, 1), "{outcome}");
    let array: Array<String> = Array::manage(object.open(), "-".to_owned(), Locking::Futex).unwrap();
    assert_eq!(array.len().unwrap(), 1_000_000);
    for i in 0..500 {
        let expected = if i == 250 { "-".to_owned() } else { format!("element {i}") };
        assert_eq!(array.get(i * 1999).unwrap(), expected);
    }
    assert!(array.check().unwrap().is_clean());
}

/// Makes an object look as if it had been written by a system that went down: with another boot id.
fn pretend_reboot(object: &Scratch) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let id: u128 = u128::from_str_radix(&boot.trim().replace('-', ""), 16).unwrap();
    let candidates = [id.to_ne_bytes(), id.to_be_bytes(), id.to_le_bytes()];
    let halves = |bytes: [u8; 16]| [&bytes[8..], &bytes[..8]].concat();
    let all: Vec<Vec<u8>> = candidates.iter().flat_map(|bytes| [bytes.to_vec(), halves(*bytes)]).collect();
    let hit = all.iter().map(|bytes| places(object, bytes)).find(|(found, _)| !found.is_empty());
    let (found, file) = hit.expect("the boot id stands in the header");
    file.write_all_at(&[7; 16], found[0]).unwrap();
}

#[test]
fn after_a_reboot_an_object_is_checked() {
    let object = Scratch::file("repair-reboot");
    let tab = open(&object).unwrap();
    fill(&tab);
    drop(tab);
    // Sound: it is used.
    pretend_reboot(&object);
    let tab = open(&object).unwrap();
    assert_eq!(tab.len().unwrap(), 3000);
    drop(tab);
    // Damaged: it is not, but can be repaired.
    pretend_reboot(&object);
    let (found, file) = places(&object, b"key 77\0\0");
    file.write_all_at(&[255; 8], found[0]).unwrap();
    match open(&object) {
        Err(error @ Error::Corrupt { .. }) => assert!(error.to_string().contains("went down"), "{error}"),
        other => panic!("{other:?}"),
    }
    let outcome = repair(object.name()).unwrap();
    assert!(outcome.dropped > 0 && outcome.saved >= 2990, "{outcome}");
    assert!(open(&object).unwrap().check().unwrap().is_clean());
}

#[test]
fn after_a_sync_nothing_needs_to_be_checked() {
    let object = Scratch::file("repair-synced");
    let tab = open(&object).unwrap();
    fill(&tab);
    tab.sync().unwrap();
    assert!(!tab.stats().unwrap().dirty);
    drop(tab);
    pretend_reboot(&object);
    let (found, file) = places(&object, b"key 77\0\0");
    file.write_all_at(b"key 78\0\0", found[0]).unwrap();
    // The damage is not looked for, since a system that goes down does none to a synchronised object.
    open(&object).unwrap();
}

#[test]
fn a_foreign_file_is_not_repaired() {
    let object = Scratch::file("repair-foreign");
    let path = object.name().to_string().replace("file:", "");
    fs::write(&path, "not an object of ours at all").unwrap();
    assert!(matches!(repair(object.name()), Err(Error::NotNetshm { .. })));
    assert_eq!(fs::read_to_string(path).unwrap(), "not an object of ours at all");
    assert!(Shm::open(object.name()).is_ok());
}
