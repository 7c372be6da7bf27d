//! Many processes on one object: nothing is lost, deadlocks end, one of many creators wins, and the greatest length does.

use std::path::Path;
use std::time::{Duration, Instant};

use netshm::inspect::Inspector;
use netshm::{Array, Error, HashTable, Locking, Shm, ShmName, ShmSchema, Table, group};
use netshm_tests::{Child, Directory, Random, Scratch};

const SHARING: [Locking; 2] = [Locking::Record, Locking::Futex];

/// Puts a file into a directory whose files are flags that processes show each other.
fn show(flags: &Path, flag: &str) {
    std::fs::write(flags.join(flag), "").unwrap();
}

/// Waits for a flag; false if it is not shown for a long time.
fn see(flags: &Path, flag: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !flags.join(flag).exists() {
        assert!(Instant::now() < end, "{flag} was never shown");
        std::thread::yield_now();
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    let name: ShmName = arguments[0].parse().unwrap();
    match part {
        "append" => append(&name, arguments[1].parse().unwrap(), arguments[2].parse().unwrap()),
        "cross" => cross(&name, Path::new(&arguments[1]), &arguments[2], &arguments[3]),
        "upgrade" => upgrade(&name, Path::new(&arguments[1]), &arguments[2], &arguments[3]),
        "upgrade_all" => upgrade_all(&name, Path::new(&arguments[1]), arguments[2].parse().unwrap()),
        "changes_all" => changes_all(&name),
        "reads_behind" => reads_behind(&name, Path::new(&arguments[1])),
        "create" => create(&name, Path::new(&arguments[1]), arguments[2].parse().unwrap()),
        "grow" => grow(&name, Path::new(&arguments[1]), arguments[2].parse().unwrap()),
        other => panic!("no such part: {other}"),
    }
}

fn append(name: &ShmName, groups: u64, seed: u64) {
    let table = Table::options().manage(Shm::open(name).unwrap()).unwrap();
    let mut random = Random::new(seed);
    for _ in 0..groups {
        let key = random.below(100) as i32;
        group!(retry table => {
            let mut words = table.find(key)?.unwrap_or_default();
            words.push(words.len() as i32);
            table.replace(key, &words)?;
        })
        .unwrap();
    }
}

/// The stress test of the original: each group reads a value and replaces it by one that is a word longer.
#[test]
fn ten_processes_lengthen_the_values_of_a_hundred_keys() {
    let groups: u64 = std::env::var("NETSHM_GROUPS").map_or(10_000, |text| text.parse().unwrap());
    for locking in SHARING {
        let scratch = Scratch::posix("append");
        let table = Table::manage(scratch.open(), locking).unwrap();
        let start = |seed: u64| {
            Child::start(
                "process_stress::append",
                &[&scratch.name().to_string(), &groups.to_string(), &seed.to_string()],
            )
        };
        let children: Vec<_> = (0..10).map(start).collect();
        children.into_iter().for_each(Child::succeed);
        let mut words = 0;
        table
            .for_each(|_, value| {
                assert!(value.iter().copied().eq(0..value.len() as i32));
                words += value.len() as u64;
            })
            .unwrap();
        assert_eq!(words, 10 * groups);
        assert_eq!(table.len().unwrap(), 100);
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

type Counts = HashTable<String, u64>;

/// Stripes enough that two keys share one hardly ever.
fn counts(scratch: &Scratch, locking: Locking) -> Counts {
    let table = Counts::options().locking(locking).stripes(16384).manage(scratch.open()).unwrap();
    table.add("a", &0).unwrap();
    table.add("b", &0).unwrap();
    table
}

/// Takes one key, waits until the other process has taken the other, and takes that as well.
fn cross(name: &ShmName, flags: &Path, first: &str, second: &str) {
    let table = Counts::options().manage(Shm::open(name).unwrap()).unwrap();
    let mut deadlocks = 0;
    loop {
        let outcome = group!(table => {
            table.update(first, |old| old.map(|old| old + 1))?;
            show(flags, first);
            see(flags, second);
            table.update(second, |old| old.map(|old| old + 1))?;
        });
        match outcome {
            Ok(()) => break,
            Err(Error::Deadlock { .. }) => deadlocks += 1,
            Err(other) => panic!("{other}"),
        }
        std::thread::sleep(Duration::from_micros(u64::from(std::process::id() % 97) * 10));
    }
    println!("> {deadlocks}");
}

/// Runs the case of the tutorial: both processes read a key, then both replace it.
fn upgrade(name: &ShmName, flags: &Path, own: &str, other: &str) {
    let table = Counts::options().manage(Shm::open(name).unwrap()).unwrap();
    let shares_reads = table.stats().unwrap().locking == Locking::Record;
    let (mut attempts, mut deadlocks) = (0, 0);
    let outcome = table.group_retry(|| {
        attempts += 1;
        let old = table.find("a")?.unwrap();
        if attempts == 1 && shares_reads {
            show(flags, own);
            see(flags, other);
        }
        table.replace("a", &(old + 1)).inspect_err(|_| deadlocks += 1)
    });
    outcome.unwrap();
    println!("> {deadlocks}");
}

/// Number of processes that all read a key, before any of them replaces it.
const READERS: usize = 16;

fn upgrade_all(name: &ShmName, flags: &Path, me: usize) {
    let table = Counts::options().manage(Shm::open(name).unwrap()).unwrap();
    let mut attempts = 0;
    let outcome = table.group_retry(|| {
        attempts += 1;
        let old = table.find("a")?.unwrap();
        if attempts == 1 {
            show(flags, &me.to_string());
            (0..READERS).for_each(|other| see(flags, &other.to_string()));
        }
        table.replace("a", &(old + 1))
    });
    outcome.unwrap();
    println!("> {attempts}");
}

fn deadlocks_of_two(part: &str, scratch: &Scratch) -> u64 {
    let flags = Directory::new("flags");
    let start = |mine, other| {
        Child::start(&format!("process_stress::{part}"), &[&scratch.name().to_string(), flags.text(), mine, other])
    };
    let children = [start("a", "b"), start("b", "a")];
    children
        .into_iter()
        .map(|child| {
            let deadlocks: u64 = child.line().expect("a number").parse().unwrap();
            child.succeed();
            deadlocks
        })
        .sum()
}

#[test]
fn two_keys_in_opposite_orders() {
    for locking in SHARING {
        let scratch = Scratch::file("cross");
        let table = counts(&scratch, locking);
        assert!(deadlocks_of_two("cross", &scratch) >= 1, "{locking}");
        assert_eq!((table.find("a").unwrap(), table.find("b").unwrap()), (Some(2), Some(2)));
    }
}

#[test]
fn two_readers_that_both_replace() {
    for locking in SHARING {
        let scratch = Scratch::file("upgrade");
        let table = counts(&scratch, locking);
        let deadlocks = deadlocks_of_two("upgrade", &scratch);
        // With futexes a group that reads locks for writing at once.
        assert_eq!(deadlocks >= 1, locking == Locking::Record, "{deadlocks}");
        assert_eq!(table.find("a").unwrap(), Some(2));
    }
}

/// Whoever has to run again locks for writing what it reads, so that it does not wait with the others once more: of many, each would
/// give way again and again.
#[test]
fn readers_that_all_replace_give_way_once_each() {
    let scratch = Scratch::posix("upgrade-all");
    let table = counts(&scratch, Locking::Record);
    let flags = Directory::new("flags");
    let start = |me: usize| {
        Child::start("process_stress::upgrade_all", &[&scratch.name().to_string(), flags.text(), &me.to_string()])
    };
    let children: Vec<_> = (0..READERS).map(start).collect();
    for child in children {
        let attempts: u64 = child.line().expect("a number").parse().unwrap();
        child.succeed();
        assert!(attempts <= 2, "{attempts}");
    }
    assert_eq!(table.find("a").unwrap(), Some(READERS as u64));
}

/// Elements in the first, the second and the last stripe of an array.
const ELEMENTS: [usize; 3] = [0, 300, 1000];

/// Waits until so many wait for stripes.
fn see_waits(name: &ShmName, count: usize) {
    let inspector = Inspector::open(name).unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while inspector.look().unwrap().waits.len() < count {
        assert!(Instant::now() < end, "nobody waits");
        std::thread::yield_now();
    }
}

/// Changes something in the last stripe, and reads in the first one while somebody else has that and waits.
fn reads_behind(name: &ShmName, flags: &Path) {
    let array: Array<i64> = Array::options().manage(Shm::open(name).unwrap(), 0).unwrap();
    let mut attempts = 0;
    let outcome = array.group_retry(|| {
        attempts += 1;
        array.set(ELEMENTS[2], &7)?;
        if attempts == 1 {
            show(flags, "changed");
            see_waits(name, 1);
        }
        array.get(ELEMENTS[0])
    });
    outcome.unwrap();
}

fn changes_all(name: &ShmName) {
    let array: Array<i64> = Array::options().manage(Shm::open(name).unwrap(), 0).unwrap();
    array.resize(1023).unwrap();
}

/// What changes everything has the first stripes before the last ones, and has changed nothing yet. A reader that waits for it in the
/// kernel does not look for rings: the other has to find this one.
#[test]
fn a_reader_behind_a_change_of_everything_is_part_of_a_ring() {
    let scratch = Scratch::posix("behind");
    let flags = Directory::new("flags");
    let array: Array<i64> = Array::options().locking(Locking::Record).stripes(4).manage(scratch.open(), 0).unwrap();
    array.resize(1024).unwrap();
    let name = scratch.name().to_string();
    let children = group!(array => {
        array.set(ELEMENTS[1], &5)?;
        let reader = Child::start("process_stress::reads_behind", &[&name, flags.text()]);
        see(flags.path(), "changed");
        let other = Child::start("process_stress::changes_all", &[&name]);
        see_waits(scratch.name(), 2);
        // It has said that it waits, and does so soon.
        std::thread::sleep(Duration::from_millis(20));
        [reader, other]
    });
    children.unwrap().into_iter().for_each(Child::succeed);
    assert_eq!((array.len().unwrap(), array.get(ELEMENTS[1]).unwrap(), array.get(ELEMENTS[2]).unwrap()), (1023, 5, 7));
}

const CREATORS: u64 = 8;
const ROUNDS: u64 = 25;

fn of_round(name: &ShmName, round: u64) -> ShmName {
    format!("{name}.{round}").parse().unwrap()
}

fn create(name: &ShmName, flags: &Path, me: u64) {
    for round in 0..ROUNDS {
        see(flags, &round.to_string());
        let shm = Shm::options().create(true).open(&of_round(name, round)).unwrap();
        let locking = SHARING[(round % 2) as usize];
        if round % 3 == 0 {
            let array: Array<u64> = Array::manage(shm, 7, locking).unwrap();
            group!(retry array => array.resize(array.len()? + 1)?).unwrap();
        } else {
            let table: HashTable<u64, u64> = HashTable::manage(shm, locking).unwrap();
            table.add(&me, &(me * me)).unwrap();
        }
        println!("> created");
    }
}

#[test]
fn many_creators_end_up_with_one_object() {
    let scratch = Scratch::posix("race");
    let flags = Directory::new("flags");
    let start =
        |me: u64| Child::start("process_stress::create", &[&scratch.name().to_string(), flags.text(), &me.to_string()]);
    let children: Vec<_> = (0..CREATORS).map(start).collect();
    for round in 0..ROUNDS {
        show(flags.path(), &round.to_string());
        for child in &children {
            assert_eq!(child.line().as_deref(), Some("created"), "round {round}");
        }
        let name = of_round(scratch.name(), round);
        let shm = Shm::open(&name).unwrap();
        name.unlink().unwrap();
        if round % 3 == 0 {
            let array: Array<u64> = Array::options().manage(shm, 7).unwrap();
            assert_eq!(array.len().unwrap(), CREATORS as usize);
            assert!(array.check().unwrap().is_clean());
        } else {
            let table: HashTable<u64, u64> = HashTable::options().manage(shm).unwrap();
            let mut found = table.scan().collect::<netshm::Result<Vec<_>>>().unwrap();
            found.sort_unstable();
            assert!(found.into_iter().eq((0..CREATORS).map(|me| (me, me * me))));
            assert!(table.check().unwrap().is_clean());
        }
    }
    children.into_iter().for_each(Child::succeed);
}

/// The same arrays with several lengths, as programs of several versions declare it.
macro_rules! versions {
    ($($version:ident $len:literal)*) => {
        $(#[derive(ShmSchema)]
        #[shm(prefix = "/netshm-test-versions")]
        struct $version {
            #[shm(len = $len, default = 7)]
            totals: Array<u64>,
            #[shm(len = $len, default = 7, locking = Locking::Record)]
            records: Array<u64>,
        })*

        const LENGTHS: &[usize] = &[$($len),*];

        /// Opens the arrays as the version of that length does.
        fn open_with(length: usize, place: &str) -> [Array<u64>; 2] {
            match length {
                $($len => $version::open_in(place).map(|opened| [opened.totals, opened.records]).unwrap(),)*
                other => panic!("no version has {other} elements"),
            }
        }
    };
}

versions! {
    First 40 Second 500 Third 3000 Fourth 20_000 Fifth 21_000 Sixth 100_000
}

fn place_of_round(name: &ShmName, round: u64) -> String {
    format!("{name}.{round}")
}

fn grow(name: &ShmName, flags: &Path, length: usize) {
    for round in 0..ROUNDS {
        see(flags, &round.to_string());
        for array in open_with(length, &place_of_round(name, round)) {
            assert!(array.len().unwrap() >= length);
            // It would be gone if the array became shorter, even for a moment.
            array.set(length - 1, &(length as u64)).unwrap();
        }
        println!("> grown");
    }
}

#[test]
fn of_many_lengths_the_greatest_stays() {
    let scratch = Scratch::posix("grow");
    let flags = Directory::new("flags");
    let start = |length: &usize| {
        Child::start("process_stress::grow", &[&scratch.name().to_string(), flags.text(), &length.to_string()])
    };
    let children: Vec<_> = LENGTHS.iter().map(start).collect();
    for round in 0..ROUNDS {
        show(flags.path(), &round.to_string());
        for child in &children {
            assert_eq!(child.line().as_deref(), Some("grown"), "round {round}");
        }
        let place = place_of_round(scratch.name(), round);
        let arrays = open_with(LENGTHS[0], &place);
        First::at(&*place).unlink().unwrap();
        for array in arrays {
            assert_eq!(array.len().unwrap(), LENGTHS[LENGTHS.len() - 1], "round {round}");
            for &length in LENGTHS {
                assert_eq!(array.get(length - 1).unwrap(), length as u64, "round {round}");
                assert_eq!(array.get(length - 2).unwrap(), 7, "round {round}");
            }
            assert!(array.check().unwrap().is_clean());
        }
    }
    children.into_iter().for_each(Child::succeed);
}
