//! Readers that are stopped in the middle of a reading, while what they read is removed and its file system becomes full. In memory, reading
//! a hole would end them by SIGBUS then.

use std::env;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::index::record::IS_FOUND;
use crate::layout::method::Locking;
use crate::name::ShmName;
use crate::os::fork::tests::{Child, stop_here};
use crate::os::pause;
use crate::shm::Shm;
use crate::source::tests::lead;
use crate::store::open::holes;
use crate::store::past::LOG_HAS_BEEN_READ;
use crate::testing::Directory;

type Texts = HashTable<u64, Vec<u8>>;

/// Tells the test that it runs where a small file system has been mounted.
const MOUNTED: &str = "NETSHM_TEST_MOUNTED";

fn open(name: &ShmName, read_only: bool) -> Result<Texts> {
    let shm = Shm::options().create(!read_only).read_only(read_only).open(name)?;
    Texts::options().locking(Locking::Futex).stripes(2).slots(3).manage(shm)
}

/// A way to read the keys 0, 2, 4 ..; returns how many it found.
type Reading = fn(&Texts) -> Result<usize>;

const READINGS: [Reading; 4] = [
    |table| Ok(table.find(&0)?.map_or(0, |_| 1)),
    |table| Ok(table.find_all(&2)?.len()),
    |table| table.find_many(&[0, 2, 4, 6]).map(|found| found.iter().flatten().count()),
    |table| table.values().try_fold(0, |count, value| value.map(|_| count + 1)),
];

/// Takes all memory that is left.
fn fill(place: &Path) -> File {
    let mut file = File::create(place.join("other")).unwrap();
    for size in [1 << 16, 1 << 12] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    file
}

fn stop_readers(place: &Path) {
    let name = ShmName::file(place.join("object")).unwrap();
    let allocated = || std::fs::metadata(place.join("object")).unwrap().blocks() * 512;
    for (number, reading) in READINGS.iter().enumerate() {
        // Runs of their own, chunks, and the log of a group as well.
        for (count, size, stop_at) in [(12, 100_000, IS_FOUND), (300, 900, IS_FOUND), (300, 900, LOG_HAS_BEEN_READ)] {
            for read_only in [false, true] {
                let case = format!("reading {number}, {count} values, {stop_at}, read-only: {read_only}");
                let table = open(&name, false).unwrap();
                (0..count).for_each(|i| table.add(&i, &vec![1; size]).unwrap());
                (1..count).step_by(2).for_each(|i| assert!(table.remove(&i).unwrap()));
                assert!(table.shm().trim().unwrap() > 0 || size < 1000, "{case}");
                let start = || {
                    let mut reader = Child::start(|| {
                        let Ok(table) = open(&name, read_only) else { return 100 };
                        pause::once_at(stop_at, stop_here);
                        reading(&table).map_or(101, |found| found.min(99) as i32)
                    });
                    assert_eq!(reader.wait(), None, "{case}");
                    reader
                };
                let mut reader = if stop_at == LOG_HAS_BEEN_READ {
                    // Which is stopped when it has read what the group changes.
                    let started: Result<Child> = group!(table => {
                        (0..count).step_by(2).try_for_each(|i| table.replace(&i, &vec![2; size]).map(drop))?;
                        start()
                    });
                    started.unwrap()
                } else {
                    start()
                };
                table.clear().unwrap();
                assert!(matches!(table.shm().trim(), Err(Error::InUse { .. })), "{case}");
                let before = allocated();
                drop(table);
                assert_eq!(allocated(), before, "{case}: given back at closing");
                let others = fill(place);
                reader.go_on();
                assert_eq!(reader.wait(), Some(0), "{case}");
                // Nor does a check of the whole object.
                let table = open(&name, false).unwrap();
                let report = table.check().unwrap();
                assert!(report.is_clean() && table.is_empty().unwrap(), "{case}: {report}");
                drop(table);
                others.set_len(0).unwrap();
            }
        }
    }
}

/// What a reader has loaded becomes a pointer into a hole while it is stopped, at each of its first steps.
fn stop_readers_with_torn_words(place: &Path) {
    let name = ShmName::file(place.join("object")).unwrap();
    let table = open(&name, false).unwrap();
    (0..12).for_each(|i| table.add(&i, &vec![1; 100_000]).unwrap());
    (1..12).step_by(2).for_each(|i| assert!(table.remove(&i).unwrap()));
    // Enough for both stripes, and short enough to be changed in place, which fills no hole.
    let change = || (100..110).for_each(|i| table.replace(&i, &vec![1]).unwrap());
    change();
    assert!(table.shm().trim().unwrap() > 0);
    let store = &table.handle().store;
    let hole = holes::of(store.region().object(), store.geometry()).unwrap()[0];
    let within = hole.start + (hole.end - hole.start) / 2;
    for (number, (reading, expected)) in READINGS.iter().zip([1, 1, 4, 16]).enumerate() {
        for (read_only, step) in (0..8).map(|step| (step % 2 == 0, step / 2)) {
            let case = format!("reading {number}, step {step}, read-only: {read_only}");
            let mut reader = Child::start(|| {
                let Ok(table) = open(&name, read_only) else { return 100 };
                let mut left = step;
                lead(move |offset| {
                    left -= 1;
                    if left != -1 {
                        return offset;
                    }
                    stop_here();
                    within
                });
                reading(&table).map_or(101, |found| found.min(99) as i32)
            });
            let stopped = reader.wait();
            if stopped.is_none() {
                change();
                let others = fill(place);
                reader.go_on();
                assert_eq!(reader.wait(), Some(expected), "{case}");
                others.set_len(0).unwrap();
            } else {
                assert_eq!(stopped, Some(expected), "{case}");
            }
        }
    }
    assert!(table.check().unwrap().is_clean());
}

#[test]
fn a_full_file_system_in_memory() {
    if let Some(place) = env::var_os(MOUNTED) {
        stop_readers(Path::new(&place));
        return stop_readers_with_torn_words(Path::new(&place));
    }
    let directory = Directory::new();
    let place = directory.path("");
    // Mounted where only the child sees it, so it goes with the child.
    let mounted = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        command.arg(r#"mount -t tmpfs -o size=12m netshm "$0" && exec "$@""#).arg(&place);
        command
    };
    if !mounted().arg("true").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system can be mounted here, not even in a namespace of one's own");
        return;
    }
    let test = "crash_tests::stopped_readers::a_full_file_system_in_memory";
    let mut again = mounted();
    again.arg(env::current_exe().unwrap()).args([test, "--exact", "--nocapture"]).env(MOUNTED, &place);
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
