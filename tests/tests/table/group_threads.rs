//! Groups of several threads on one object.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use netshm::{Error, HashTable, Locking, Result, group};
use netshm_tests::Scratch;

type Counts = HashTable<String, i64>;

fn any_error() -> Error {
    "nonsense".parse::<netshm::ShmName>().unwrap_err()
}

/// Threads of one process add to the same keys, in groups and outside of them.
#[test]
fn threads_lose_nothing() {
    const THREADS: i64 = 4;
    const ROUNDS: i64 = 200;
    for locking in [Locking::Record, Locking::Futex] {
        let scratch = Scratch::posix("threads");
        let table = Counts::manage(scratch.open(), locking).unwrap();
        let barrier = Barrier::new(THREADS as usize);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (table, barrier) = (&table, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    for round in 0..ROUNDS {
                        let key = format!("{}", (number + round) % 3);
                        let add = || {
                            let old = table.find(&key)?.unwrap_or(0);
                            table.replace(&key, &(old + 1))?;
                            table.update("all", |old| Some(old.unwrap_or(0) + 1))?;
                            Ok::<_, Error>(())
                        };
                        table.group_retry(add).unwrap();
                        table.update("alone", |old| Some(old.unwrap_or(0) + 1)).unwrap();
                        // One that fails must not take anything of another thread's with it.
                        let failed: Result<()> = table.group_retry(|| {
                            table.update("all", |old| old.map(|old| old + 1000))?;
                            Err(any_error())
                        });
                        assert!(matches!(failed, Err(Error::InvalidName { .. })));
                    }
                });
            }
        });
        let sum: i64 = (0..3).map(|key| table.find(&key.to_string()).unwrap().unwrap()).sum();
        assert_eq!(sum, THREADS * ROUNDS);
        assert_eq!(table.find("all").unwrap(), Some(THREADS * ROUNDS));
        assert_eq!(table.find("alone").unwrap(), Some(THREADS * ROUNDS));
        assert!(table.check().unwrap().is_clean());
    }
}

/// What a group has done is not seen outside of it before its end, by whatever way of reading.
#[test]
fn other_threads_do_not_see_an_open_group() {
    for locking in [Locking::Record, Locking::Futex] {
        let scratch = Scratch::posix("unseen");
        let table = Counts::manage(scratch.open(), locking).unwrap();
        let impatient = Counts::options().lock_timeout(Duration::from_millis(1)).manage(scratch.open()).unwrap();
        table.add("b", &1).unwrap();
        table.add("b", &2).unwrap();
        group!(table => {
            table.add("b", &20)?;
            table.add("c", &3)?;
            thread::scope(|scope| {
                // They see what was there before, without waiting for the end of the group.
                let read = || {
                    assert_eq!(impatient.find_all("b").unwrap(), [2, 1]);
                    assert_eq!((impatient.find("c").unwrap(), impatient.contains("c").unwrap()), (None, false));
                    assert_eq!(impatient.len().unwrap(), 2);
                    assert_eq!(impatient.scan().count(), 2);
                };
                scope.spawn(read).join().unwrap();
            });
            table.replace("b", &30)?;
        })
        .unwrap();
        assert_eq!(impatient.find_all("b").unwrap(), [30, 2, 1]);
        assert_eq!(impatient.find("c").unwrap(), Some(3));
    }
}
