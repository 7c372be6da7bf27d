//! A ring of waiters one of which is dead.

use std::thread::sleep;
use std::time::Duration;

use netshm::{HashTable, Locking, Result, Shm};
use netshm_tests::{Child, Scratch};

type Counts = HashTable<u64, u64>;

fn open(shm: Shm) -> Counts {
    Counts::options().locking(Locking::Futex).stripes(64).slots(16).manage(shm).expect("a table")
}

/// Returns two keys of different stripes.
fn keys(table: &Counts) -> [u64; 2] {
    // A key is alone in its stripe if it can be added while a group of another thread holds the other one.
    for other in 1..100 {
        let apart: Result<bool> = table.group(|| {
            table.replace(&0, &0)?;
            std::thread::scope(|scope| {
                let added = scope.spawn(|| {
                    let impatient = Counts::options().locking(Locking::Futex).lock_timeout(Duration::from_millis(1));
                    impatient.stripes(64).slots(16).manage(Shm::open(table.shm().name())?)?.replace(&other, &0)
                });
                Ok(added.join().expect("no panic").is_ok())
            })
        });
        if apart.expect("a group") {
            return [0, other];
        }
    }
    panic!("all keys are in one stripe");
}

#[test]
fn a_dead_member_of_a_ring_is_no_deadlock() {
    // Which member of a ring gives way depends on chance, so it takes several.
    for _ in 0..8 {
        let object = Scratch::posix("kill-ring");
        let table = open(object.open());
        let [one, other] = keys(&table);
        let outcome: Result<()> = table.group(|| {
            table.replace(&one, &1)?;
            let mut child =
                Child::start("crash_kill::ring", &[&object.name().to_string(), &other.to_string(), &one.to_string()]);
            assert_eq!(child.line().as_deref(), Some("waits"));
            // If it does not wait yet there is no ring, and the test says less.
            sleep(Duration::from_millis(20));
            child.kill();
            table.replace(&other, &1)
        });
        outcome.expect("the only other member of the ring is dead");
        assert_eq!((table.find(&one).unwrap(), table.find(&other).unwrap()), (Some(1), Some(1)));
    }
}

/// Holds the first key and waits for the second one.
pub(crate) fn wait(object: &str, held: &str, awaited: &str) {
    let table = open(Shm::open(object).expect("the object"));
    let outcome: Result<()> = table.group(|| {
        table.replace(&held.parse().expect("a key"), &2)?;
        println!("> waits");
        table.replace(&awaited.parse().expect("a key"), &2)
    });
    panic!("nobody let the key go, but: {outcome:?}");
}
