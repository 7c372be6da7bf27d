//! Groups whose parts cannot be undone: the whole group is, however the part ended; if that fails as well, others undo it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::transaction::FAILING;
use super::{Limits, group};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::heap::Memory;
use crate::layout::header::RESERVE;
use crate::layout::method::Locking;
use crate::shm::Shm;

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

fn table(locking: Locking) -> HashTable<u64, String> {
    let shm = Shm::create_unique("posix:/netshm-torn.XXXXXX", 0o600).unwrap();
    let name = shm.name().clone();
    let table =
        HashTable::options().locking(locking).slots(2).lock_timeout(Duration::from_secs(20)).manage(shm).unwrap();
    name.unlink().unwrap();
    table.add(&0, "before").unwrap();
    table
}

/// Runs a group that adds a row, then `part`, whose undoing fails, and goes on; nothing of it may be there afterwards. At first
/// undoing the part fails, then undoing the whole group as well.
#[track_caller]
fn is_undone(part: impl Fn(&HashTable<u64, String>)) {
    for (locking, failing) in METHODS.into_iter().flat_map(|locking| [(locking, 1), (locking, 2)]) {
        let table = table(locking);
        let outcome: Result<()> = table.group(|| {
            table.add(&1, "one")?;
            FAILING.set(failing);
            part(&table);
            assert_eq!(FAILING.get(), 0, "undoing has been tried");
            assert!(matches!(table.add(&2, "two"), Err(Error::Corrupt { .. })), "the group has ended");
            Ok(())
        });
        assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
        assert_eq!((table.len().unwrap(), table.find(&1).unwrap()), (1, None));
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

/// A group whose body fails ends with that error, although its changes remain to be undone.
#[test]
fn a_group_that_others_undo() {
    for locking in METHODS {
        let table = table(locking);
        let outcome: Result<()> = table.group(|| {
            (1..500).try_for_each(|key| table.add(&key, &"text".repeat(key as usize)))?;
            table.remove(&0)?;
            FAILING.set(1);
            Err(Error::Iterating { object: table.shm().object().name().clone() })
        });
        assert!(matches!(outcome, Err(Error::Iterating { .. })), "{outcome:?}");
        assert_eq!(FAILING.get(), 0, "undoing has been tried");
        // Readers see what was there before, and whoever writes undoes the rest.
        assert_eq!(table.find(&0).unwrap().as_deref(), Some("before"));
        let writer = table.clone();
        std::thread::spawn(move || writer.replace(&0, "after").unwrap()).join().unwrap();
        assert_eq!((table.len().unwrap(), table.find(&0).unwrap().as_deref()), (1, Some("after")));
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

/// A change of the run heap that cannot be undone keeps the lock of the run heap until somebody has undone it.
#[test]
fn a_change_of_the_run_heap() {
    for locking in METHODS {
        let table = table(locking);
        let store = &table.handle().store;
        let reserve = || store.field(RESERVE).load(Relaxed);
        let before = reserve();
        assert_ne!(before, 0);
        let deadline = Limits::default().deadline();
        let outcome = group::with_slot(store, &deadline, |slot| {
            FAILING.set(1);
            store.meta(slot, &deadline, |meta| {
                meta.write(RESERVE, 8)?;
                Err::<(), _>(Error::Iterating { object: store.name() })
            })
        });
        assert!(matches!(outcome, Err(Error::Corrupt { .. })), "{outcome:?}");
        assert_eq!(reserve(), 8);
        table.add(&1, &"long".repeat(10_000)).unwrap();
        assert_eq!(reserve(), before);
        let report = table.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}
