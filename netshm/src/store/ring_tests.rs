//! Operations on several stripes, outside groups, that meet a group which takes the stripes in the other order.

use std::thread;

use crate::array::Array;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::locking::word_of;
use crate::shm::Shm;
use crate::store::wait_tests::{MINUTE, within};
use crate::testing::Scratch;

/// The slots of the group and of the operation: of a ring, the largest gives way.
const GROUP: u32 = 0;
const OPERATION: u32 = 1;

struct Object {
    shm: Shm,
    table: HashTable<u64, u64>,
    array: Array<u64>,
    _scratch: Scratch,
}

impl Object {
    fn new() -> Result<Object> {
        let scratch = Scratch::new();
        let shm = scratch.open();
        let table = HashTable::options().locking(Locking::Futex).named("table").stripes(2).manage(shm.clone())?;
        let array = Array::options().named("array").stripes(4).manage(shm.clone(), 0)?;
        array.resize(1024)?;
        Ok(Object { shm, table, array, _scratch: scratch })
    }

    /// Runs `operation` while a group that has changed something `last` waits for the stripe of `first`, which `operation` has
    /// locked. Returns how often the group ran.
    fn ring(
        &self,
        stripe: u32,
        last: impl Fn() -> Result<()> + Sync,
        first: impl Fn() -> Result<()> + Sync,
        operation: impl Fn() -> Result<()> + Sync,
    ) -> Result<u32> {
        let handle: &Handle = self.table.handle();
        let word = word_of(handle.store.region(), stripe);
        thread::scope(|scope| {
            let (has_begun, begun) = std::sync::mpsc::channel();
            let (last, first) = (&last, &first);
            let group = scope.spawn(move || -> Result<u32> {
                handle.store.prefer_slot(GROUP);
                let mut runs = 0;
                self.table.group_retry(|| {
                    runs += 1;
                    last()?;
                    let _ = has_begun.send(());
                    while runs == 1 && word.load().owner() != Some(OPERATION) {
                        thread::yield_now();
                    }
                    first()
                })?;
                Ok(runs)
            });
            begun.recv().map_err(|_| Error::Reentrant { object: "the group has failed".into() })?;
            handle.store.prefer_slot(OPERATION);
            let outcome = operation();
            let runs = group.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            outcome.map(|()| runs)
        })
    }

    /// Lets an operation on all stripes of the table, or of the object, meet such a group.
    fn whole(&self, operation: impl Fn() -> Result<()> + Sync) -> Result<u32> {
        let store = &self.table.handle().store;
        let [first, last] = store.geometry().own().collect::<Vec<_>>()[..] else { unreachable!("two stripes") };
        let key_in = |stripe| (0..).find(|key: &u64| store.stripe_of(store.hash(&[*key])) == stripe).unwrap();
        let (first_key, last_key) = (key_in(first), key_in(last));
        self.ring(first, || self.table.replace(&last_key, &1), || self.table.replace(&first_key, &1), operation)
    }

    /// Lets an operation on elements 0 to 511 meet a group that changes two of them.
    fn elements(&self, operation: impl Fn() -> Result<()> + Sync) -> Result<u32> {
        let stripe = self.array.handle().store.geometry().first();
        self.ring(stripe, || self.array.set(300, &1), || self.array.set(0, &1), operation)
    }
}

#[test]
fn operations_outside_groups_end_in_no_deadlock() {
    within(MINUTE, || {
        let object = Object::new().unwrap();
        let Object { shm, table, array, .. } = &object;
        let copy = Scratch::new();
        let outcomes = [
            ("clear", object.whole(|| table.clear())),
            ("for_each", object.whole(|| table.for_each(|_, _| ()))),
            ("check", object.whole(|| table.check().map(|report| assert!(report.is_clean())))),
            ("sync", object.whole(|| table.sync())),
            ("copy_to", object.whole(|| shm.copy_to(copy.name()))),
            ("swap", object.elements(|| array.swap(0, 300))),
            ("set_range", object.elements(|| array.set_range(0..512, &[2; 512]))),
            ("fill", object.elements(|| array.fill(0..512, &2))),
            ("resize", object.elements(|| array.resize(900))),
            ("for_each of an array", object.elements(|| array.for_each(|_, _| ()))),
        ];
        for (what, runs) in outcomes {
            // The operation has given way, not the group.
            assert_eq!(runs.map_err(|error| format!("{what}: {error}")), Ok(1), "{what}");
        }
    });
}
