//! Groups whose parts cannot be undone: the whole group is, however the part ended.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::transaction::FAILING;
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::shm::Shm;

/// Runs a group that adds a row, then `part`, whose undoing fails, and goes on; nothing of it may be there afterwards.
#[track_caller]
fn is_undone(part: impl Fn(&HashTable<u64, String>)) {
    for locking in [Locking::None, Locking::Record, Locking::Futex] {
        let shm = Shm::create_unique("posix:/netshm-torn.XXXXXX", 0o600).unwrap();
        let name = shm.name().clone();
        let table: HashTable<u64, String> = HashTable::manage(shm, locking).unwrap();
        name.unlink().unwrap();
        table.add(&0, "before").unwrap();
        let outcome: Result<()> = table.group(|| {
            table.add(&1, "one")?;
            FAILING.set(1);
            part(&table);
            assert_eq!(FAILING.get(), 0, "undoing has been tried");
            assert!(matches!(table.add(&2, "two"), Err(Error::Corrupt { .. })), "the group has ended");
            Ok(())
        });
        assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
        assert_eq!(table.len().unwrap(), 1);
        assert!(table.check().unwrap().is_clean());
        // The next group is one like any other.
        table.group(|| table.add(&3, "three")).unwrap();
    }
}

#[test]
fn a_part_that_panics() {
    is_undone(|table| {
        let part = || table.handle().change("change it", |_| -> Result<()> { panic!("on purpose") });
        catch_unwind(AssertUnwindSafe(part)).unwrap_err();
    });
}

#[test]
fn an_inner_group_that_panics() {
    is_undone(|table| {
        let inner = || {
            table.group(|| -> Result<()> {
                table.add(&4, "four")?;
                panic!("on purpose")
            })
        };
        catch_unwind(AssertUnwindSafe(inner)).unwrap_err();
    });
}

#[test]
fn an_inner_group_that_fails() {
    is_undone(|table| {
        let inner = table.group(|| -> Result<()> {
            table.add(&4, "four")?;
            Err(Error::Iterating { object: table.shm().object().name().clone() })
        });
        assert!(matches!(inner, Err(Error::Corrupt { .. })));
    });
}
