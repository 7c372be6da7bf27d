//! Declared objects, and rows of arrays without their types.

use super::{Case, METHODS, STOPPED};
use crate::array::Array;
use crate::declare::Place;
use crate::dynamic::{DynArray, Value};
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::os::fork::tests::status_of_child;
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::Directory;

#[derive(crate::ShmSchema)]
#[shm(object = "/never-used", slots = 2, crate = crate)]
struct Accounts {
    #[shm(stripes = 2)]
    names: HashTable<String, u64>,
    #[shm(stripes = 2, len = 8)]
    cents: Array<i64>,
}

impl Accounts {
    fn pay(&self, from: usize, to: usize) -> Result<()> {
        self.names.group(|| {
            self.cents.update(from, |cents| cents - 5).map(drop)?;
            self.names.replace("last", &(to as u64))?;
            self.cents.update(to, |cents| cents + 5).map(drop)
        })
    }

    fn state(&self) -> Result<(Option<u64>, Vec<i64>)> {
        Ok((self.names.find("last")?, (0..self.cents.len()?).map(|i| self.cents.get(i)).collect::<Result<_>>()?))
    }
}

/// A program that is killed while it creates its objects can be started again; so can one that was killed in a group over them.
#[test]
fn declared_objects() {
    let mut created = 0;
    for step in (0..).step_by(3) {
        let directory = Directory::new();
        let at = Accounts::at(Place::directory(directory.path("accounts")));
        let status = status_of_child(|| {
            steps::pretend_id(0);
            steps::stop_after(Some(step));
            let outcome = at.open_or_create().and_then(|accounts| accounts.pay(1, 2));
            steps::stop_after(None);
            if outcome.is_ok() { 0 } else { 3 }
        });
        assert!(matches!(status, 0 | STOPPED), "step {step}: {status}");
        let accounts = at.open_or_create().unwrap_or_else(|error| panic!("step {step}: {error}"));
        let (last, cents) = accounts.state().unwrap();
        match last {
            None => assert_eq!(cents, [0; 8], "step {step}"),
            Some(2) => assert_eq!(cents, [0, -5, 5, 0, 0, 0, 0, 0], "step {step}"),
            other => panic!("step {step}: {other:?}"),
        }
        accounts.pay(2, 3).unwrap();
        for (field, report) in accounts.check().unwrap() {
            assert!(report.is_clean(), "step {step}, {field}: {report}");
        }
        created = step;
        if status == 0 {
            break;
        }
    }
    assert!(created > 100, "{created} steps are too few to be true");
}

#[test]
fn arrays_without_their_types() {
    for locking in METHODS {
        let create = |shm: Shm| {
            Array::<String>::options()
                .locking(locking)
                .stripes(2)
                .slots(2)
                .init(1)
                .max_size(1 << 26)
                .manage(shm, "-".to_owned())
        };
        let open = |shm: Shm| {
            let typed = create(shm)?;
            DynArray::open(Shm::open(typed.shm().name())?)
        };
        let text = |text: &str| Value::Text(text.to_owned());
        let prepare = |array: &DynArray| {
            array.resize(20)?;
            (0..12).try_for_each(|i: usize| array.set(i, &text(&"v".repeat(i * 30))))
        };
        let act = |array: &DynArray| {
            array.group(|| {
                array.set(3, &text("w"))?;
                array.set(4, &text(&"w".repeat(3000)))?;
                array.resize(40)?;
                array.set(33, &text("new"))
            })
        };
        let dump = |array: &DynArray| {
            (0..array.len()?).map(|i| Ok(format!("{:?}", array.get(i)?))).collect::<Result<Vec<_>>>()
        };
        let name = format!("an array without its type, {locking}");
        Case { name, open: &open, prepare: &prepare, act: &act, dump: &dump, check: &DynArray::check }.run_each(7);
    }
}
