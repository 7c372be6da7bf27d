//! Copies of an object in use, made and killed by real processes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use netshm::{Array, Error, HashTable, Locking, Report, Result, Shm, ShmName, group};
use netshm_tests::{Child, Random, Scratch};

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];
const ACCOUNTS: u64 = 200;
const SUM: i64 = 100 * ACCOUNTS as i64;

fn path(object: &Scratch) -> PathBuf {
    PathBuf::from(object.name().to_string().strip_prefix("file:").unwrap())
}

/// Two tables and an array: what is in all accounts stays the same, and so does what the array counts.
struct Bank {
    here: HashTable<String, i64>,
    there: HashTable<u64, i64>,
    counts: Array<u64>,
}

impl Bank {
    fn open(shm: &Shm, locking: Locking) -> Result<Bank> {
        let here = HashTable::options().locking(locking).named("here").manage(shm.clone())?;
        let there = HashTable::options().locking(locking).named("there").manage(shm.clone())?;
        let counts = Array::options().locking(locking).named("counts").manage(shm.clone(), 0)?;
        Ok(Bank { here, there, counts })
    }

    fn fill(&self) -> Result<()> {
        self.counts.resize(2)?;
        (0..ACCOUNTS).try_for_each(|i| self.here.add(&i.to_string(), &100))?;
        (0..ACCOUNTS).try_for_each(|i| self.there.add(&i, &0))
    }

    fn transfer(&self, random: &mut Random) -> Result<()> {
        let (from, to) = (random.below(ACCOUNTS).to_string(), random.below(ACCOUNTS));
        let amount = random.below(9) as i64 - 4;
        group!(retry self.here => {
            self.here.update(&from, |value| Some(value? - amount))?;
            self.there.update(&to, |value| Some(value? + amount))?;
            self.counts.update(0, |n| n + 1)?;
            self.counts.update(1, |n| n + 1)?;
        })
    }

    fn is_sound(&self) -> Result<Report> {
        // All at one moment: writers may be at work.
        let (sum, counts) = group!(retry self.here => {
            let here = self.here.fold(0, |sum, _, value| sum + value)?;
            let there = self.there.fold(0, |sum, _, value| sum + value)?;
            (here + there, [self.counts.get(0)?, self.counts.get(1)?])
        })?;
        assert_eq!((sum, counts[0]), (SUM, counts[1]));
        self.here.check()
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    let name: ShmName = arguments[0].parse().unwrap();
    match part {
        "writer" => {
            let bank = Bank::open(&Shm::open(&name).unwrap(), METHODS[arguments[1].parse::<usize>().unwrap()]).unwrap();
            let mut random = Random::new(std::process::id().into());
            println!("> ready");
            loop {
                bank.transfer(&mut random).unwrap();
            }
        }
        "copier" => {
            let shm = Shm::open(&name).unwrap();
            println!("> ready");
            for i in 0.. {
                let to = format!("{}-{i}", arguments[1]);
                shm.copy_to(&to).unwrap();
                println!("> {i}");
            }
        }
        other => panic!("no such part: {other}"),
    }
}

#[test]
fn copies_made_beside_writers_are_consistent() {
    for (number, locking) in METHODS.into_iter().enumerate() {
        let object = Scratch::posix("copy-writers");
        let bank = Bank::open(&object.open(), locking).unwrap();
        bank.fill().unwrap();
        let name = object.name().to_string();
        let writers = [(); 2].map(|()| Child::start("copy_object::writer", &[&name, &number.to_string()]));
        writers.iter().for_each(|writer| assert_eq!(writer.line().unwrap(), "ready"));
        for copy in [Scratch::posix("copy-of"), Scratch::file("copy-of"), Scratch::posix("copy-of")] {
            bank.here.shm().copy_to(copy.name()).unwrap();
            let copied = Bank::open(&Shm::open(copy.name()).unwrap(), locking).unwrap();
            let report = copied.is_sound().unwrap();
            assert!(report.is_clean(), "{report}");
            assert!(!copied.here.stats().unwrap().dirty);
            // It goes its own way.
            copied.transfer(&mut Random::new(1)).unwrap();
            copied.is_sound().unwrap();
        }
        drop(writers);
        let report = bank.is_sound().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn a_copier_that_is_killed_leaves_a_complete_copy_or_none() {
    let object = Scratch::posix("copy-killed");
    let bank = Bank::open(&object.open(), Locking::Futex).unwrap();
    bank.fill().unwrap();
    let name = object.name().to_string();
    let _writer = Child::start("copy_object::writer", &[&name, "2"]);
    let directory = std::env::temp_dir().join(format!("netshm-copy-killed-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let kills: u64 = std::env::var("NETSHM_KILLS").map_or(30, |kills| kills.parse().unwrap());
    let mut random = Random::new(7);
    let mut copies = 0;
    for _ in 0..kills {
        let mut copier = Child::start("copy_object::copier", &[&name, &format!("file:{}/copy", directory.display())]);
        assert_eq!(copier.line().unwrap(), "ready");
        if random.below(2) == 0 {
            copier.line().unwrap();
        }
        sleep(Duration::from_micros(random.below(20_000)));
        copier.kill();
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            assert!(!path.file_name().unwrap().to_string_lossy().starts_with('.'), "{path:?} is left");
            let copy = Bank::open(&Shm::open(ShmName::file(&path).unwrap()).unwrap(), Locking::Futex).unwrap();
            let report = copy.is_sound().unwrap();
            assert!(report.is_clean(), "{report}");
            fs::remove_file(path).unwrap();
            copies += 1;
        }
    }
    fs::remove_dir_all(&directory).unwrap();
    assert!(copies > 0);
    // The killed ones hold nobody up.
    bank.transfer(&mut random).unwrap();
    assert!(bank.is_sound().unwrap().is_clean());
}

#[test]
fn what_cannot_be_copied() {
    let object = Scratch::posix("copy-not");
    let copy = Scratch::posix("copy-not-of");
    let shm = object.open();
    assert!(matches!(shm.copy_to(copy.name()), Err(Error::NotNetshm { .. })));
    let table: HashTable<u64, u64> = HashTable::manage(shm.clone(), Locking::Futex).unwrap();
    table.add(&1, &1).unwrap();
    let reader = Shm::options().read_only(true).open(object.name()).unwrap();
    assert!(matches!(reader.copy_to(copy.name()), Err(Error::ReadOnly { .. })));
    let error = group!(table => { shm.copy_to(copy.name())? }).unwrap_err();
    assert!(matches!(error, Error::InGroup { .. }), "{error}");
    let error = shm.copy_to(object.name()).unwrap_err();
    assert!(error.to_string().contains("create a copy"), "{error}");
    let missing = ShmName::file("/nowhere/at/all").unwrap();
    assert!(matches!(shm.copy_to(&missing), Err(Error::Io { .. })));
    assert!(Shm::open(copy.name()).is_err());
    assert_eq!(table.find(&1).unwrap(), Some(1));
    shm.copy_to(copy.name()).unwrap();
    // Once is enough.
    let Err(Error::Io { source, .. }) = shm.copy_to(copy.name()) else { panic!("copied over a copy") };
    assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn a_copy_keeps_mode_and_holes() {
    let object = Scratch::file("copy-mode");
    let shm = Shm::options().create(true).mode(0o640).open(object.name()).unwrap();
    shm.set_mode(0o640).unwrap();
    let table: HashTable<u64, Vec<u8>> = HashTable::options().named("a").manage(shm.clone()).unwrap();
    (0..100).for_each(|i| table.add(&i, &vec![7; 1000]).unwrap());
    let copy = Scratch::file("copy-mode-of");
    shm.copy_to(copy.name()).unwrap();
    let [from, to] = [&object, &copy].map(|object| fs::metadata(path(object)).unwrap());
    assert_eq!(to.permissions().mode() & 0o777, 0o640);
    assert!(to.blocks() <= from.blocks() + 16, "{} blocks, {} in the copy", from.blocks(), to.blocks());
    assert!(to.len() > to.blocks() * 512, "the room for stripes is a hole");
    // While the copy is opened, it stays so.
    let copied: HashTable<u64, Vec<u8>> =
        HashTable::options().named("a").manage(Shm::open(copy.name()).unwrap()).unwrap();
    assert_eq!(copied.len().unwrap(), 100);
    assert!(fs::metadata(path(&copy)).unwrap().blocks() <= to.blocks());
}

/// What a copy of the file itself is: another member than the one that is opened is not judged by its type.
#[test]
fn adding_a_member_to_a_copy_of_the_file() {
    let object = Scratch::file("copy-cp");
    let table: HashTable<u64, u64> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    table.add(&1, &1).unwrap();
    drop(table);
    for named in [true, false] {
        let copy = Scratch::file("copy-cp-of");
        fs::copy(path(&object), path(&copy)).unwrap();
        let shm = Shm::open(copy.name()).unwrap();
        if named {
            let texts: HashTable<String, String> = HashTable::options().named("b").manage(shm.clone()).unwrap();
            texts.add("a", "b").unwrap();
        }
        let table: HashTable<u64, u64> = HashTable::manage(shm, Locking::Futex).unwrap();
        assert_eq!(table.find(&1).unwrap(), Some(1));
    }
}
