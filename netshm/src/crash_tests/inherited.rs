//! Children that open an object again through what they have inherited.

use std::time::Duration;

use super::METHODS;
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::os::fork::tests::{Child, give_up_root, status_of_child, stop_here};
use crate::os::path;
use crate::shm::Shm;
use crate::testing::Scratch;

type Pairs = HashTable<u64, u64>;

fn open(shm: Shm, locking: Locking) -> Result<Pairs> {
    Pairs::options().stripes(1).slots(2).locking(locking).lock_timeout(Duration::from_millis(100)).manage(shm)
}

/// Takes something from a child.
type Deprive = fn(&Scratch);

/// Rights and names that a child has lost.
const LOSSES: [(&str, Deprive); 3] = [
    ("its name", |copy| std::fs::remove_file(&copy.0).unwrap()),
    ("its name, which another file has", |copy| {
        std::fs::remove_file(&copy.0).unwrap();
        std::fs::write(&copy.0, "something else").unwrap();
    }),
    // As the superuser; for others that changes nothing.
    ("the right to open it", |_| {}),
];

/// Returns whether the child of a process that has the object open can work with it.
fn child_works(inherited: &Pairs, locking: Locking) -> Result<()> {
    assert!(matches!(inherited.find(&1), Err(Error::Forked { .. })));
    let shm = inherited.shm().reopen()?;
    let table = open(shm.reopen()?, locking)?;
    assert_eq!(table.find(&1)?, Some(1));
    table.group(|| (10..2000).try_for_each(|key| table.add(&key, &key)))?;
    assert!(table.check()?.is_clean());
    drop(table);
    let table = open(shm, locking)?;
    table.group(|| {
        table.replace(&1, &100)?;
        stop_here();
        Ok(())
    })
}

#[test]
fn a_child_without_the_name_or_the_right_opens_anew() {
    for locking in METHODS {
        for (loss, deprive) in LOSSES {
            let copy = Scratch::new();
            let table = open(copy.open(), locking).unwrap();
            table.add(&1, &1).unwrap();
            deprive(&copy);
            let mut child = Child::start(|| {
                give_up_root();
                i32::from(child_works(&table, locking).is_err())
            });
            assert_eq!(child.wait(), None, "{locking:?}, without {loss}: the child does not get into its group");
            // It lives, and is in the middle of a change.
            let outcome = table.replace(&1, &2);
            assert!(matches!(outcome, Err(Error::LockTimeout { .. })), "{locking:?}, without {loss}: {outcome:?}");
            drop(child);
            // It is dead, and its change undone.
            assert_eq!(table.find(&1).unwrap(), Some(1), "{locking:?}, without {loss}");
            assert_eq!(table.len().unwrap(), 1991);
            table.replace(&1, &2).unwrap();
            assert!(table.check().unwrap().is_clean());
        }
    }
}

/// The kernel takes a process for one owner of all locks that it has through inherited descriptors.
#[test]
fn rights_given_up_leave_one_kind_of_access() {
    let copy = Scratch::new();
    let table = open(copy.open(), Locking::Futex).unwrap();
    let reader = Shm::options().read_only(true).open(table.shm().name()).unwrap();
    let is_root = path::effective_user() == 0;
    let status = status_of_child(|| {
        give_up_root();
        let Ok(shm) = reader.reopen() else { return 1 };
        let Ok(table_again) = open(shm, Locking::Futex) else { return 2 };
        if !matches!(table_again.add(&1, &1), Err(Error::ReadOnly { .. })) {
            return 3;
        }
        match table.shm().reopen() {
            Err(Error::Io { .. }) if is_root => 0,
            Ok(_) if !is_root => 0,
            _ => 4,
        }
    });
    assert_eq!(status, 0);
    table.add(&1, &1).unwrap();
}
