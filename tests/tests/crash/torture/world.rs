//! The object that everything happens to, and what must be true of it.

use std::time::Duration;

use netshm::{Array, HashTable, Locking, ManageOptions, Shm, group};
use netshm_tests::{Ends, Outcome, Random};

use super::WORKERS;

/// Money in each account, and in each cell.
const OPENING: u64 = 1000;
pub(super) const ACCOUNTS: u64 = 100;
pub(super) const CELLS: u64 = 300;
const TOTAL: u64 = OPENING * (ACCOUNTS + CELLS);
/// Keys of texts and of rows.
pub(super) const KEYS: u64 = 60;

/// A text that says which it is: key, version, and what follows from them.
pub(super) type Text = (u64, u64, String);

/// The shape of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) locking: Locking,
    pub(super) stripes: u32,
    pub(super) slots: u32,
    /// Milliseconds of `lock_timeout`; none if 0.
    pub(super) limit: u64,
}

pub(super) fn text(key: u64, version: u64) -> Text {
    let mut random = Random::new(key << 32 ^ version);
    let length = match random.below(40) {
        0 => random.below(12_000),
        1..10 => random.below(600),
        _ => random.below(60),
    };
    (key, version, (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect())
}

#[track_caller]
pub(super) fn assert_text(found: &Text) {
    assert_eq!(*found, text(found.0, found.1), "a text that nobody has stored");
}

pub(super) fn row(key: u64, version: u64) -> Vec<u64> {
    let mut random = Random::new(key << 32 ^ version ^ 1);
    let length = if random.once_in(30) { random.below(2000) } else { random.below(40) };
    [key, version].into_iter().chain((0..length).map(|_| random.number())).collect()
}

#[track_caller]
pub(super) fn assert_row(found: &[u64]) {
    assert!(*found == row(found[0], found[1]), "a row that nobody has stored: {} {}", found[0], found[1]);
}

pub(super) fn row_key(key: u64) -> (u32, String) {
    (key as u32, format!("row {key}"))
}

/// The members. All that is in the first three is money.
pub(super) struct World {
    pub(super) accounts: HashTable<u64, u64>,
    pub(super) cells: Array<u64>,
    pub(super) stacks: HashTable<u64, u64>,
    pub(super) texts: HashTable<String, Text>,
    pub(super) rows: HashTable<(u32, String), Vec<u64>>,
    pub(super) words: Array<String>,
    /// Bindings of texts, and of rows.
    pub(super) counts: Array<u64>,
    /// The last step of each worker that was to be counted.
    pub(super) lanes: Array<u64>,
}

impl World {
    pub(super) fn open(shm: &Shm, form: Form) -> netshm::Result<World> {
        fn with<T>(name: &str, form: Form, stripes: u32) -> ManageOptions<T> {
            let options = ManageOptions::default().named(name).locking(form.locking).stripes(stripes);
            let options = options.slots(form.slots).stripe_room(form.stripes * 6 + 32).init(100);
            if form.limit > 0 { options.lock_timeout(Duration::from_millis(form.limit)) } else { options }
        }
        Ok(World {
            accounts: with::<HashTable<_, _>>("accounts", form, form.stripes).manage(shm.clone())?,
            cells: with::<Array<_>>("cells", form, form.stripes).manage(shm.clone(), 0)?,
            stacks: with::<HashTable<_, _>>("stacks", form, form.stripes).manage(shm.clone())?,
            texts: with::<HashTable<_, _>>("texts", form, form.stripes).manage(shm.clone())?,
            rows: with::<HashTable<_, _>>("rows", form, form.stripes).manage(shm.clone())?,
            words: with::<Array<_>>("words", form, form.stripes).manage(shm.clone(), "none".to_owned())?,
            counts: with::<Array<_>>("counts", form, 1).manage(shm.clone(), 0)?,
            lanes: with::<Array<_>>("lanes", form, 2).manage(shm.clone(), 0)?,
        })
    }

    pub(super) fn fill(&self) -> Outcome {
        group!(self.accounts: Ends => {
            self.accounts.add_many((0..ACCOUNTS).map(|key| (key, OPENING)))?;
            self.cells.resize(CELLS as usize)?;
            self.cells.fill(.., &OPENING)?;
            self.words.resize(50)?;
            self.counts.resize(2)?;
            self.lanes.resize(WORKERS as usize)?;
        })
    }

    /// Looks at everything at one moment.
    pub(super) fn assert_sound(&self) -> Outcome {
        group!(retry self.lanes: Ends => {
            let mut money = self.accounts.fold(0, |sum, _, value| sum + value)?;
            self.stacks.for_each(|_, value| money += value)?;
            self.cells.for_each(|_, value| money += value)?;
            assert_eq!(money, TOTAL, "money is lost or made");
            let mut counts = [0, 0];
            self.texts.for_each(|key, value| {
                assert_eq!(key, value.0.to_string());
                assert_text(&value);
                counts[0] += 1;
            })?;
            self.rows.for_each(|key, value| {
                assert_eq!(key, row_key(value[0]));
                assert_row(&value);
                counts[1] += 1;
            })?;
            assert_eq!(counts, [self.counts.get(0)?, self.counts.get(1)?], "counts differ from contents");
            assert_eq!(counts, [self.texts.len()?, self.rows.len()?].map(|length| length as u64));
            self.words.for_each(|_, word| assert_word(&word))?;
        })
    }

    pub(super) fn assert_clean(&self, when: &str) {
        let report = self.texts.check().unwrap_or_else(|error| panic!("{when}: {error}"));
        assert!(report.is_clean(), "{when}: {report}");
    }
}

pub(super) fn word(number: u64) -> String {
    format!("{number}:{}", "w".repeat((number % 90) as usize))
}

#[track_caller]
pub(super) fn assert_word(found: &str) {
    let Some((number, _)) = found.split_once(':') else { return assert_eq!(found, "none") };
    assert_eq!(found, word(number.parse().unwrap()));
}
