//! A declaration that cannot be created removes what it has made, and nothing else.

use std::fs;
use std::io::ErrorKind;

use netshm::{Array, Error, HashTable, Locking, Shm, ShmData, ShmName, ShmSchema, Table};
use netshm_tests::Directory;

use super::declare_schema::{AppState, Atlas, Editor, Prefix, exists, is_io};

#[test]
fn create_fails_where_an_object_exists_and_removes_what_it_made() {
    let here = Prefix::<AppState>::new();
    let at = AppState::at(&here.0);
    let last = ShmName::posix(format!("{}.raw", here.0)).unwrap();
    Table::manage(Shm::options().create(true).open(&last).unwrap(), Locking::Record).unwrap().add(1, &[1]).unwrap();

    let error = at.create().unwrap_err();
    assert!(is_io(&error, ErrorKind::AlreadyExists), "{error}");
    assert!(error.to_string().contains(&last.to_string()), "{error}");
    let there: Vec<_> = at.names().unwrap().into_iter().filter(|(_, name)| exists(name)).map(|(f, _)| f).collect();
    assert_eq!(there, ["primitive"]);
    let kept = Table::manage(Shm::open(&last).unwrap(), Locking::Record).unwrap();
    assert_eq!(kept.find(1).unwrap(), Some(vec![1]), "what was there before is untouched");
}

#[test]
fn create_removes_an_object_that_could_not_be_managed() {
    /// The macro knows only what literals mean.
    const NO_POWER_OF_TWO: u64 = 257;

    #[derive(ShmSchema)]
    #[shm(prefix = "/netshm-test-declared")]
    struct Impossible {
        sound: Table,
        #[shm(pagesize = NO_POWER_OF_TWO)]
        odd: Table,
    }
    let here = Prefix::<Impossible>::new();
    let at = Impossible::at(&here.0);
    assert!(matches!(at.create().map(drop), Err(Error::InvalidOption { option: "pagesize", .. })));
    assert!(at.names().unwrap().iter().all(|(_, name)| !exists(name)));
}

#[derive(ShmSchema)]
#[shm(prefix = "/netshm-test-declared")]
struct Three {
    first: HashTable<u64, u64>,
    second: Array<u64>,
    third: HashTable<u64, u64>,
}

/// Opening or creating that fails in the middle leaves what was there before, and nothing else.
#[test]
fn what_was_created_before_a_failure_is_removed() {
    let here = Prefix::<Three>::new();
    let [first, second, third] = Three::at(&here.0).names().unwrap().try_into().unwrap();
    let third = third.1;
    let stranger: HashTable<String, u64> =
        HashTable::options().manage(Shm::options().create(true).open(&third).unwrap()).unwrap();
    let exist = || [&first.1, &second.1].map(exists);
    for _ in 0..2 {
        let error = Three::at(&here.0).open_or_create().map(drop).unwrap_err();
        assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
        assert_eq!(exist(), [false, false]);
    }
    stranger.add("still", &1).unwrap();
    // What others have created stays.
    let others: HashTable<u64, u64> =
        HashTable::options().manage(Shm::options().create(true).open(&first.1).unwrap()).unwrap();
    drop(others);
    assert!(Three::at(&here.0).open_or_create().is_err());
    assert_eq!(exist(), [true, false]);
}

/// What others have begun to use, or have stored something in, is not removed.
#[test]
fn what_others_use_is_not_removed() {
    /// A field between the others that lets a test act.
    static ACT: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>> = std::sync::Mutex::new(None);

    #[derive(ShmData, Debug, Clone, PartialEq)]
    struct Acting(u64);

    impl Default for Acting {
        fn default() -> Self {
            if let Some(act) = ACT.lock().unwrap().take() {
                act();
            }
            Acting(0)
        }
    }

    #[derive(ShmSchema)]
    #[shm(prefix = "/netshm-test-declared")]
    struct Used {
        first: HashTable<u64, u64>,
        #[shm(default = Acting::default())]
        second: Array<Acting>,
        third: HashTable<u64, u64>,
    }

    let here = Prefix::<Used>::new();
    let names = Used::at(&here.0).names().unwrap();
    let third: HashTable<String, u64> =
        HashTable::options().manage(Shm::options().create(true).open(&names[2].1).unwrap()).unwrap();
    for keeps_it_open in [true, false] {
        let first = names[0].1.clone();
        let (give, take) = std::sync::mpsc::channel();
        let act = move || {
            let table: HashTable<u64, u64> = HashTable::options().manage(Shm::open(&first).unwrap()).unwrap();
            if keeps_it_open {
                give.send(table).unwrap();
            } else {
                table.add(&1, &1).unwrap();
            }
        };
        *ACT.lock().unwrap() = Some(Box::new(act));
        assert!(Used::at(&here.0).open_or_create().is_err());
        assert!(ACT.lock().unwrap().is_none(), "nothing happened in between");
        assert!(exists(&names[0].1), "kept open: {keeps_it_open}");
        drop(take.try_recv());
        names[0].1.unlink().unwrap();
    }
    drop(third);
}

#[test]
fn a_failing_create_leaves_a_read_only_object_alone() {
    let here = Directory::new("declare");
    Editor::open_in(here.path()).unwrap();
    fs::write(here.join("visits"), "something else").unwrap();
    assert!(is_io(&Atlas::at(here.path()).create().map(drop).unwrap_err(), ErrorKind::AlreadyExists));
    assert_eq!(here.entries(), ["geo.cities", "visits"]);
}
