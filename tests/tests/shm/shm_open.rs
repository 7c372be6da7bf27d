//! Opening and creating.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

use netshm::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};
use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, Error, HashTable, Shm, ShmName};
use netshm_tests::Directory;

use crate::shm_common::{io_error, mode_of, posix_name};

#[test]
fn an_object_must_exist_unless_it_is_created() {
    let directory = Directory::new("open");
    let name = directory.name("a");
    assert_eq!(io_error(Shm::open(&name)).kind(), ErrorKind::NotFound);
    assert_eq!(io_error(Shm::options().truncate(true).open(&name)).kind(), ErrorKind::NotFound);
    assert_eq!(io_error(Shm::options().create(true).open(&directory.name("no/a"))).kind(), ErrorKind::NotFound);
    let created = Shm::options().create_new(true).open(&name).unwrap();
    assert_eq!(created.size().unwrap(), 0);
    assert_eq!(created.name(), &name);
    assert!(!created.is_read_only());
    assert_eq!(io_error(Shm::options().create_new(true).open(&name)).kind(), ErrorKind::AlreadyExists);
    assert_eq!(io_error(Shm::options().create(true).create_new(true).open(&name)).kind(), ErrorKind::AlreadyExists);
    created.close().unwrap();
    Shm::open(&name).unwrap().close().unwrap();
    Shm::options().create(true).open(&name).unwrap();
}

#[test]
fn posix_objects_are_named_deleted_and_outlive_their_names() {
    let name = posix_name("outlive");
    let shm = Shm::options().create_new(true).open(&name).unwrap();
    let other = Shm::open(&name).unwrap();
    name.unlink().unwrap();
    assert_eq!(other.size().unwrap(), 0);
    assert_eq!(io_error(Shm::open(&name)).kind(), ErrorKind::NotFound);
    // The next object of the name is another one.
    let next = Shm::options().create_new(true).mode(0o400).open(&name).unwrap();
    shm.set_mode(0o640).unwrap();
    assert_eq!(mode_of(format!("/dev/shm{}", &name.to_string()[6..])), 0o400);
    next.name().unlink().unwrap();
}

#[test]
fn a_new_object_is_the_owners_alone_unless_told_otherwise() {
    let directory = Directory::new("open");
    Shm::options().create(true).open(&directory.name("default")).unwrap();
    assert_eq!(mode_of(directory.join("default")), 0o600);
    // A usual umask does not take away these.
    for mode in [0o644, 0o400, 0o200, 0o000, 0o700] {
        let name = directory.name(&format!("{mode:o}"));
        let shm = Shm::options().create(true).mode(mode).open(&name).unwrap();
        assert_eq!(mode_of(directory.join(&format!("{mode:o}"))), mode);
        shm.set_mode(0o666).unwrap();
        assert_eq!(mode_of(directory.join(&format!("{mode:o}"))), 0o666);
        // The mode is for new objects only.
        Shm::options().create(true).mode(0o600).open(&name).unwrap();
        assert_eq!(mode_of(directory.join(&format!("{mode:o}"))), 0o666);
    }
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let directory = Directory::new("open");
    let name = directory.name("a");
    let read_only = Shm::options().read_only(true);
    for (result, wanted) in [
        (read_only.clone().create(true).open(&name), "create"),
        (read_only.clone().create_new(true).open(&name), "create_new"),
        (read_only.clone().truncate(true).open(&name), "truncate"),
        (Shm::options().create(true).mode(0o1777).open(&name), "mode"),
        (Shm::options().mode(0o10000).open(&name), "mode"),
        (Shm::options().create(true).require_owner(true).mode(0o620).open(&name), "mode"),
        (Shm::options().create(true).require_owner(true).mode(0o602).open(&name), "mode"),
        (Shm::create_unique(directory.name("X"), 0o4600), "mode"),
    ] {
        match result {
            Err(Error::InvalidOption { option, .. }) => assert_eq!(option, wanted),
            other => panic!("{wanted}: {other:?}"),
        }
    }
    let shm = Shm::create_unique(directory.name("XXXX"), 0o600).unwrap();
    assert!(matches!(shm.set_mode(0o1600), Err(Error::InvalidOption { .. })));
    assert_eq!(fs::read_dir(directory.join("")).unwrap().count(), 1);
}

#[test]
fn truncate_empties_what_nobody_uses() {
    let directory = Directory::new("open");
    let name = directory.name("a");
    fs::write(directory.join("a"), "something else").unwrap();
    let shm = Shm::open(&name).unwrap();
    assert_eq!(shm.size().unwrap(), 14);
    let empty = Shm::options().create(true).truncate(true).open(&name).unwrap();
    assert_eq!((shm.size().unwrap(), empty.size().unwrap()), (0, 0));
}

#[test]
fn only_regular_files_are_objects() {
    let directory = Directory::new("open");
    fs::create_dir(directory.join("directory")).unwrap();
    let _socket = UnixListener::bind(directory.join("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(directory.join("fifo")).status().unwrap().success());
    for (name, kind) in [
        (directory.name("directory"), "a directory"),
        (directory.name("socket"), "a socket"),
        // Opening it in the ordinary way would wait for somebody at the other end.
        (directory.name("fifo"), "a named pipe"),
        (ShmName::file("/dev/null").unwrap(), "a character device"),
    ] {
        for create in [false, true] {
            match Shm::options().create(create).open(&name) {
                Err(Error::NotNetshm { found, .. }) => assert_eq!(found, kind),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(matches!(Shm::options().read_only(true).open(&name), Err(Error::NotNetshm { .. })));
    }
}

#[test]
fn the_owner_can_be_changed() {
    let directory = Directory::new("open");
    let shm = Shm::options().create(true).open(&directory.name("a")).unwrap();
    let before = fs::metadata(directory.join("a")).unwrap();
    shm.set_owner(None, None).unwrap();
    shm.set_owner(before.uid(), before.gid()).unwrap();
    shm.set_owner(None, Some(before.gid())).unwrap();
    // Only the superuser may give things away.
    match shm.set_owner(12_345, 54_321) {
        Ok(()) => {
            let after = fs::metadata(directory.join("a")).unwrap();
            assert_eq!((after.uid(), after.gid()), (12_345, 54_321));
        }
        Err(Error::Io { source, .. }) => assert_eq!(source.kind(), ErrorKind::PermissionDenied),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn many_threads_create_one_object() {
    let directory = Directory::new("open");
    for round in 0..50 {
        let name = directory.name(&round.to_string());
        let created: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| usize::from(Shm::options().create_new(true).open(&name).is_ok())))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(created, 1);
    }
}

#[test]
fn a_handle_is_send_and_sync_and_prints() {
    fn check<T: Send + Sync + std::fmt::Debug>(_: &T) {}
    let directory = Directory::new("open");
    let shm = Shm::options().create(true).open(&directory.name("a")).unwrap();
    check(&shm);
    assert!(format!("{shm:?}").starts_with("Shm"));
    fs::set_permissions(directory.join("a"), fs::Permissions::from_mode(0o640)).unwrap();
    Shm::open(directory.name("a")).unwrap();
}

/// Creating fails after the file has been made: then it is not there.
#[test]
fn what_cannot_be_managed_is_not_left_behind() {
    let directory = Directory::new("open");
    let (file, link) = (directory.join("file"), directory.join("link"));
    std::os::unix::fs::symlink("file", &link).unwrap();
    for name in [directory.name("file"), directory.name("link")] {
        let create = || Shm::options().create(true).open(&name).unwrap();
        let outcomes = [
            HashTable::<u64, u64>::options().named("with/slash").manage(create()).map(drop),
            HashTable::<u64, u64>::options().pagesize(3).manage(create()).map(drop),
            HashTable::<u64, u64>::options().named("a").slots(0).manage(create()).map(drop),
            Array::<Unfit>::options().manage(create(), Unfit).map(drop),
            DynTable::options().manage(create(), "Array<u64>".parse().unwrap()).map(drop),
            DynArray::options().manage(create(), "HashTable<u64, u64>".parse().unwrap(), &Value::Unit).map(drop),
            DynArray::options().manage(create(), "Array<u64>".parse().unwrap(), &Value::from("no number")).map(drop),
        ];
        for (number, outcome) in outcomes.into_iter().enumerate() {
            assert!(outcome.is_err(), "{number}");
        }
        assert!(!file.exists() && fs::symlink_metadata(&link).unwrap().is_symlink());
        // What was there before stays.
        fs::write(&file, "").unwrap();
        assert!(HashTable::<u64, u64>::options().named("with/slash").manage(create()).is_err());
        assert!(Array::<Unfit>::options().manage(create(), Unfit).is_err());
        assert!(file.exists());
        fs::remove_file(&file).unwrap();
    }
    // Others have the file open and may store something in it.
    let shm = Shm::options().create(true).open(&directory.name("link")).unwrap();
    let table: HashTable<u64, u64> = HashTable::options().manage(shm.clone()).unwrap();
    table.add(&1, &1).unwrap();
    assert!(HashTable::<u64, u64>::options().named("with/slash").manage(shm).is_err());
    assert_eq!(table.find(&1).unwrap(), Some(1));
    assert!(file.exists());
}

/// A value that cannot be encoded.
struct Unfit;

impl DataManager for Unfit {
    fn encode(&self, _: &mut Encoder<'_>) -> Result<(), DataError> {
        Err(DataError::new("Unfit", "it never fits"))
    }
    fn decode(_: &mut Decoder<'_>) -> Result<Self, DataError> {
        Ok(Unfit)
    }
    fn schema(types: &mut Types) -> Schema {
        u64::schema(types)
    }
}

#[test]
fn objects_are_opened_by_text_and_by_name() {
    let scratch = netshm_tests::Scratch::posix("by-text");
    let (name, text) = (scratch.name(), scratch.name().to_string());
    let options = Shm::options().create(true).mode(0o600);
    // The type of what is parsed is known from the call.
    drop(options.open(&text.parse().unwrap()).unwrap());
    for outcome in [
        Shm::open(name),
        Shm::open(name.clone()),
        Shm::open(name),
        Shm::open(&*text),
        Shm::open(&text),
        Shm::open(text.clone()),
        Shm::open(std::sync::Arc::new(name.clone())),
        Shm::open_or_create(&text),
        Shm::create_unique(format!("{text}.XXXXXX"), 0o600).inspect(|shm| shm.name().unlink().unwrap()),
    ] {
        outcome.unwrap();
    }
    // Options are a value after each call: kept, and changed further.
    let reading = Shm::options().read_only(true);
    assert!(reading.open(name).unwrap().is_read_only());
    assert!(!reading.read_only(false).open(name).unwrap().is_read_only());
    assert!(matches!(Shm::open("no name"), Err(Error::InvalidName { .. })));
    assert!(matches!(netshm::repair("no name"), Err(Error::InvalidName { .. })));
    assert!(matches!(Shm::open(name).unwrap().copy_to(""), Err(Error::InvalidName { .. })));
}
