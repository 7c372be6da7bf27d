//! Names that nobody has used before.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::thread;

use crate::shm_common::{io_error, mode_of};
use netshm::{Error, Shm};
use netshm_tests::Directory;

#[test]
fn every_x_is_replaced_and_nothing_else() {
    let directory = Directory::new("unique");
    let shm = Shm::create_unique(directory.name("aXbxX.XXXXXX"), 0o600).unwrap();
    let name = shm.name().to_string();
    let part = name.rsplit('/').next().unwrap().as_bytes();
    for (at, (&letter, &pattern)) in part.iter().zip(b"aXbxX.XXXXXX").enumerate() {
        match pattern {
            b'X' => assert!(letter.is_ascii_uppercase() || letter.is_ascii_digit(), "{name}: {at}"),
            other => assert_eq!(letter, other, "{name}: {at}"),
        }
    }
    assert_eq!(part.len(), 12);
    assert_eq!(Shm::open(shm.name()).unwrap().size().unwrap(), 0);
    assert_eq!(mode_of(directory.join(&name[name.len() - 12..])), 0o600);
}

#[test]
fn posix_objects_get_unique_names() {
    let pattern = "posix:/netshm-unique.XXXXXXXX";
    let (a, b) = (Shm::create_unique(pattern, 0o600).unwrap(), Shm::create_unique(pattern, 0o600).unwrap());
    assert_ne!(a.name(), b.name());
    assert!(a.name().to_string().starts_with("posix:/netshm-unique."));
    a.name().unlink().unwrap();
    b.name().unlink().unwrap();
}

#[test]
fn directories_are_not_replaced() {
    let directory = Directory::new("unique");
    fs::create_dir(directory.join("XXX")).unwrap();
    Shm::create_unique(directory.name("XXX/XXX"), 0o600).unwrap();
    assert_eq!(fs::read_dir(directory.join("XXX")).unwrap().count(), 1);
    match Shm::create_unique(directory.name("XXX/x"), 0o600) {
        Err(Error::InvalidName { reason, .. }) => assert!(reason.contains("`X`")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_names_are_found_and_then_it_ends() {
    let directory = Directory::new("unique");
    let created: Vec<_> = thread::scope(|scope| {
        let create = || (0..9).map(|_| Shm::create_unique(directory.name("X"), 0o600).unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let names: BTreeSet<_> = created.iter().map(|shm| shm.name().to_string()).collect();
    assert_eq!(names.len(), 36);
    let error = io_error(Shm::create_unique(directory.name("X"), 0o600));
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("needs more `X`"), "{error}");
    // Another error ends it at once.
    assert_eq!(io_error(Shm::create_unique(directory.name("no/X"), 0o600)).kind(), ErrorKind::NotFound);
}
