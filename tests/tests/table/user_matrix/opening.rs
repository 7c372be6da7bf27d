//! Verbs that call the user's code while they open or rewrite an object, which is one of their own.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use netshm::dynamic::DynTable;
use netshm::{Array, Error, HashTable, Locking, Result, Shm, ShmSchema};
use netshm_tests::Scratch;

use super::code::{Long, Row, Short, called, row};

/// The schema before and after a migration.
mod before {
    use netshm::{Array, HashTable};

    #[derive(netshm::ShmSchema)]
    #[shm(object = "/matrix-schema")]
    pub(super) struct State {
        #[shm(stripes = 2)]
        pub(super) rows: HashTable<u64, u64>,
        #[shm(len = 4, stripes = 2)]
        pub(super) bins: Array<u32>,
    }
}

#[derive(ShmSchema)]
#[shm(object = "/matrix-schema")]
struct State {
    #[shm(stripes = 2)]
    rows: HashTable<u64, Row>,
    #[shm(len = 4, stripes = 2)]
    bins: Array<u64>,
}

#[derive(ShmSchema)]
#[shm(object = "/matrix-default")]
struct Defaults {
    #[shm(len = 4, stripes = 2, default = { called(); row(5) })]
    elements: Array<Row>,
}

/// Runs `open`; then, also after a panic, `check`.
fn checked<T>(open: impl FnOnce() -> Result<T>, check: impl FnOnce(bool)) -> Result<()> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(outcome) => {
            check(outcome.is_ok());
            outcome.map(drop)
        }
        Err(panic) => {
            check(false);
            resume_unwind(panic)
        }
    }
}

/// Checks that the object is free for others, and is that table as a whole.
fn is_whole(shm: Result<Shm>, member: Option<&str>, of_new_type: bool) {
    let shm = shm.unwrap();
    let table = match member {
        Some(name) => DynTable::open_member(shm, name),
        None => DynTable::open(shm),
    };
    let table = table.unwrap();
    assert_eq!(table.schema().to_string().contains("Row"), of_new_type);
    assert_eq!(table.scan().filter(Result::is_ok).count(), 3);
    assert!(table.check().unwrap().is_clean());
}

pub(super) fn migrate_table() -> Result<()> {
    let object = Scratch::posix("matrix-migrated");
    let old = || HashTable::<u64, u64>::manage(object.open(), Locking::Futex);
    let table = old()?;
    (1..4).try_for_each(|key| table.add(&key, &key))?;
    drop(table);
    let migration = HashTable::<u64, Row>::options().migrate_from::<u64, u64>(|number| {
        assert!(matches!(old(), Err(Error::Reentrant { .. })));
        called();
        row(number)
    });
    let migration = migration.progress(|_, _| called());
    checked(|| migration.manage(object.open()), |of_new_type| is_whole(Shm::open(object.name()), None, of_new_type))
}

pub(super) fn migrate_array() -> Result<()> {
    let object = Scratch::posix("matrix-migrated");
    let old = || Array::<u64>::manage(object.open(), 7, Locking::Futex);
    old()?.resize(3)?;
    let migration = Array::<Row>::options().migrate_from(|number: u64| {
        assert!(matches!(old(), Err(Error::Reentrant { .. })));
        called();
        row(number)
    });
    let check = |of_new_type: bool| match old() {
        Ok(array) => assert!(!of_new_type && array.get(2).unwrap() == 7 && array.check().unwrap().is_clean()),
        Err(error) => assert!(of_new_type && matches!(error, Error::SchemaMismatch { .. }), "{error}"),
    };
    checked(|| migration.progress(|_, _| called()).manage(object.open(), row(7)), check)
}

pub(super) fn migrate_schema() -> Result<()> {
    let object = Scratch::posix("matrix-migrated");
    let place = object.name().to_string();
    let old = || before::State::at(&place).open_or_create();
    let state = old()?;
    (1..4).try_for_each(|key| state.rows.add(&key, &key))?;
    state.bins.set(2, &9)?;
    drop(state);
    let rows = HashTable::<u64, Row>::options().migrate_from::<u64, u64>(|number| {
        assert!(matches!(old().map(drop), Err(Error::Reentrant { .. })));
        called();
        row(number)
    });
    let bins = Array::<u64>::options().migrate_from(|number: u32| {
        called();
        number.into()
    });
    let migration = State::at(&place).migrate().field("rows", rows).field("bins", bins).progress(|_, _| called());
    let check = |of_new_type| {
        is_whole(Shm::open(object.name()), Some("rows"), of_new_type);
        if of_new_type {
            assert_eq!(State::at(&place).open().unwrap().bins.get(2).unwrap(), 9);
        } else {
            assert_eq!(old().unwrap().bins.get(2).unwrap(), 9);
        }
    };
    checked(|| migration.open_or_create(), check)
}

/// What was not there before is not there afterwards if it fails.
pub(super) fn create_schema() -> Result<()> {
    let object = Scratch::posix("matrix-created");
    let place = object.name().to_string();
    checked(|| Defaults::at(&place).create(), |is_there| assert_eq!(Shm::open(object.name()).is_ok(), is_there))
}

/// Opens rows of an earlier version, whose missing field has a default.
pub(super) fn read_short_rows() -> Result<()> {
    let object = Scratch::posix("matrix-short");
    let old: HashTable<u64, Short> = HashTable::manage(object.open(), Locking::Futex)?;
    (1..4).try_for_each(|number| old.add(&number, &Short { number }))?;
    let new: HashTable<u64, Long> = HashTable::manage(object.open(), Locking::Futex)?;
    let check = |_| {
        assert!(old.check().unwrap().is_clean());
        assert_eq!(old.scan().map(|row| row.unwrap().1.number).sum::<u64>(), 6);
    };
    let read = || {
        let row = new.update(&2, |row| row)?;
        assert!(row.is_some_and(|row| (row.number, row.more) == (2, 5)));
        new.for_each(|number, row| assert!((row.number, row.more) == (number, 5)))
    };
    checked(read, check)
}
