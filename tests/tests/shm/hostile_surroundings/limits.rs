//! Processes at their resource limits.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use netshm::{Error, Shm, ShmName};
use netshm_tests::Directory;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Table, file, play, table, try_table};

#[test]
fn creation_that_finds_no_descriptor_leaves_nothing() {
    let directory = Directory::new("descriptors");
    play("without descriptors", &[directory.text()]);
}

/// Sets the soft limit for as long as `body` runs.
fn limited<R>(resource: Resource, limit: u64, body: impl FnOnce() -> R) -> R {
    let (soft, hard) = getrlimit(resource).unwrap();
    setrlimit(resource, limit, hard).unwrap();
    let result = body();
    setrlimit(resource, soft, hard).unwrap();
    result
}

pub(super) fn without_descriptors(directory: &str) {
    let lowest_free = File::open("/").unwrap().as_raw_fd() as u64;
    let name = file(directory, "a");
    let mut failures = 0;
    // One more descriptor each time, until they suffice.
    for spare in 0..20 {
        match limited(Resource::RLIMIT_NOFILE, lowest_free + spare, || try_table(&name)) {
            Ok(made) => {
                assert!(failures >= 3, "only {failures} openings were found");
                made.add(&1, &vec![1]).unwrap();
                break;
            }
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(nix::libc::EMFILE));
                assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "a file is left behind");
                failures += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    // An object that exists stays as it is.
    for spare in 0..20 {
        let opened = limited(Resource::RLIMIT_NOFILE, lowest_free + spare, || try_table(&name));
        if opened.is_ok() {
            return;
        }
        drop(opened);
        assert_eq!(table(&name).find(&1).unwrap(), Some(vec![1]));
    }
    panic!("it was never opened");
}

#[test]
fn no_verb_leaves_anything_behind_for_want_of_a_descriptor() {
    let directory = Directory::new("descriptors-of-verbs");
    play("without descriptors, any verb", &[directory.text()]);
}

/// Does things that open files, with one more descriptor each time, until they suffice: whatever fails before changes nothing.
pub(super) fn any_verb_without_descriptors(directory: &str) {
    type Verb<'a> = (&'static str, Box<dyn Fn() -> Result<(), Error> + 'a>);
    let (name, copy) = (&file(directory, "a"), &file(directory, "copy"));
    table(name).add(&1, &vec![1]).unwrap();
    let open = || Shm::open(name);
    let unique = Path::new(directory).join("XXXXXXXX");
    let verbs: [Verb<'_>; 8] = [
        ("reading", Box::new(|| Table::options().manage(Shm::options().read_only(true).open(name)?)?.len().map(drop))),
        (
            "two kinds of access",
            Box::new(|| {
                let reader = Table::options().manage(Shm::options().read_only(true).open(name)?)?;
                let writer = Table::options().manage(open()?)?;
                writer.replace(&1, &vec![1])?;
                reader.find(&1).map(|found| assert_eq!(found, Some(vec![1])))
            }),
        ),
        ("members", Box::new(|| open()?.members().map(drop))),
        (
            "copying",
            Box::new(|| {
                open()?.copy_to(copy)?;
                copy.unlink()
            }),
        ),
        ("repairing", Box::new(|| netshm::repair(name).map(drop))),
        ("a unique object", Box::new(|| Shm::create_unique(ShmName::file(&unique)?, 0o600)?.name().unlink())),
        ("emptying", Box::new(|| Shm::options().truncate(true).open(name).map(drop))),
        ("deleting what is unused", Box::new(|| name.unlink_unused())),
    ];
    let listed = || {
        let mut all: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        all.sort();
        all
    };
    for (what, verb) in verbs {
        if what == "deleting what is unused" {
            table(name).add(&1, &vec![1]).unwrap();
        }
        let (before, descriptors) = (listed(), fs::read_dir("/proc/self/fd").unwrap().count());
        let lowest_free = File::open("/").unwrap().as_raw_fd() as u64;
        let mut failures = 0;
        loop {
            let outcome = limited(Resource::RLIMIT_NOFILE, lowest_free + failures, &verb);
            assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), descriptors, "{what}, {failures} to spare");
            match outcome {
                Ok(()) => break,
                Err(Error::Io { source, .. }) if source.raw_os_error() == Some(nix::libc::EMFILE) => {}
                Err(other) => panic!("{what}, {failures} to spare: {other}"),
            }
            assert_eq!(listed(), before, "{what}, {failures} to spare");
            assert_eq!(table(name).find(&1).unwrap(), Some(vec![1]), "{what}, {failures} to spare");
            failures += 1;
            assert!(failures < 40, "{what} never succeeds");
        }
        assert!(failures > 1, "{what} has opened nothing");
    }
}

#[test]
fn creation_that_finds_no_address_space_leaves_nothing() {
    let directory = Directory::new("space");
    play("without address space", &[directory.text()]);
}

pub(super) fn without_address_space(directory: &str) {
    let name = file(directory, "a");
    let open = || Shm::options().create(true).open(&name).unwrap();
    let refused = |outcome: Result<Table, Error>| match outcome {
        Err(Error::InvalidOption { option, .. }) => assert_eq!(option, "max_size"),
        other => panic!("{other:?}"),
    };
    limited(Resource::RLIMIT_AS, 2 << 30, || {
        // Others that have opened the file meanwhile do not create an object without a name.
        let waiting = open();
        refused(Table::options().max_size(8 << 30).manage(open()));
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "a file is left behind");
        match Table::options().max_size(1 << 26).manage(waiting) {
            Err(Error::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::NotFound),
            other => panic!("{other:?}"),
        }
        // As the message says.
        let made = Table::options().max_size(1 << 26).manage(open()).unwrap();
        made.add(&1, &vec![1]).unwrap();
        drop(made);
        // What was there is there still.
        refused(Table::options().max_size(8 << 30).recreate(true).manage(open()));
        assert_eq!(table(&name).find(&1).unwrap(), Some(vec![1]));
        // An empty file that was there stays.
        let other = file(directory, "b");
        File::create(Path::new(directory).join("b")).unwrap();
        refused(Table::options().max_size(8 << 30).manage(Shm::open(&other).unwrap()));
        assert_eq!(fs::metadata(Path::new(directory).join("b")).unwrap().len(), 0);
    });
}

#[test]
fn not_a_page_of_address_space_is_an_error() {
    let directory = Directory::new("pages");
    play("few pages", &[directory.text()]);
}

pub(super) fn few_pages(directory: &str) {
    let name = file(directory, "a");
    // Room for the texts of errors.
    drop(vec![1_u8; 100_000]);
    let refused = limited(Resource::RLIMIT_AS, 1, || Shm::options().create(true).open(&name).map(drop));
    match refused {
        Err(Error::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::OutOfMemory),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "a file is left behind");
    table(&name).add(&1, &vec![1]).unwrap();
    // Nor does an object that is there already.
    let refused = limited(Resource::RLIMIT_AS, 1, || try_table(&name).map(drop));
    assert!(matches!(refused, Err(Error::Io { .. } | Error::InvalidOption { .. })), "{refused:?}");
    assert_eq!(table(&name).find(&1).unwrap(), Some(vec![1]));
}

#[test]
fn the_limit_on_file_sizes_is_an_error() {
    let directory = Directory::new("sizes");
    play("small files only", &[directory.text()]);
}

pub(super) fn small_files_only(directory: &str) {
    let name = file(directory, "a");
    limited(Resource::RLIMIT_FSIZE, 4096, || match try_table(&name) {
        Err(Error::NoSpace { .. }) => assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "a file is left behind"),
        other => panic!("{other:?}"),
    });
    let made = table(&name);
    limited(Resource::RLIMIT_FSIZE, 7 << 20, || {
        let full = (0..).find_map(|key| made.add(&key, &vec![1; 1000]).err());
        assert!(matches!(full, Some(Error::NoSpace { .. })), "{full:?}");
        assert!(made.remove(&1).unwrap());
        made.replace(&0, &vec![2; 1000]).unwrap();
    });
    assert!(made.check().unwrap().is_clean());
    made.add(&1_000_000, &vec![3; 100_000]).unwrap();
}
