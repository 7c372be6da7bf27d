//! The core workloads A, B, C, D and F of YCSB (Cooper et al., 2010), as they are made there: zipfian keys, scattered over the table,
//! or those inserted last.

use std::time::Instant;

use crate::worker::Table;
use crate::workload::{Data, Random, Request, Result, Rows, Texts, Workload};

/// In the order in which they are run: the only one that inserts comes last.
pub(crate) const MIXES: [Workload; 5] = [Workload::A, Workload::B, Workload::C, Workload::F, Workload::D];

/// Difference between the seeds of consecutive requests; threads of one request count up from its seed.
pub(crate) const SEEDS: u64 = 1_000_003;

/// One operation in this many is an insertion in workload D.
const INSERTS_EACH: u64 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Read,
    Update,
    Insert,
    ReadThenUpdate,
}

/// Ranks of a zipfian distribution (Gray et al., "Quickly generating billion-record synthetic databases", 1994).
#[derive(Debug)]
struct Zipf {
    count: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    const THETA: f64 = 0.99;

    fn below(count: u64) -> Zipf {
        let zeta = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-Self::THETA)).sum::<f64>();
        let (all, two) = (zeta(count), zeta(2));
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - Self::THETA)) / (1.0 - two / all);
        Zipf { count: count as f64, zeta: all, eta }
    }

    fn draw(&self, random: &mut Random) -> u64 {
        let part = random.part();
        let sum = part * self.zeta;
        if sum < 1.0 {
            return 0;
        }
        if sum < 1.0 + 0.5_f64.powf(Self::THETA) {
            return 1;
        }
        let rank = self.count * (self.eta * part - self.eta + 1.0).powf(1.0 / (1.0 - Self::THETA));
        (rank as u64).min(self.count as u64 - 1)
    }
}

/// Returns the action and the key of each operation.
fn steps(request: Request, entries: u64) -> impl Iterator<Item = (Action, u64)> {
    let mut random = Random::new(request.seed);
    let zipf = Zipf::below(entries);
    // Keys that nobody else inserts.
    let number = (request.seed - 1) / SEEDS * 4 + (request.seed - 1) % SEEDS;
    let first = entries + number * (request.operations / INSERTS_EACH + 1);
    let mut inserted = 0;
    (0..request.operations).map(move |place| {
        let percent = random.below(100);
        match request.workload {
            Workload::D if place % INSERTS_EACH == INSERTS_EACH - 1 => {
                inserted += 1;
                return (Action::Insert, first + inserted - 1);
            }
            Workload::D => {
                let age = zipf.draw(&mut random);
                let number = if age < inserted { first + inserted - 1 - age } else { entries - 1 - (age - inserted) };
                return (Action::Read, number);
            }
            _ => {}
        }
        let action = match request.workload {
            Workload::A if percent < 50 => Action::Update,
            Workload::B if percent < 5 => Action::Update,
            Workload::F if percent < 50 => Action::ReadThenUpdate,
            _ => Action::Read,
        };
        // The most popular keys lie anywhere.
        (action, zipf.draw(&mut random).wrapping_mul(0x9e37_79b9_7f4a_7c15) % entries)
    })
}

/// One thread's part of a request, prepared before the clock starts.
pub(crate) struct Part<D: Data> {
    actions: Vec<Action>,
    keys: D::Keys,
}

impl<D: Data> Part<D> {
    pub(crate) fn new(request: Request, entries: u64) -> Part<D> {
        let (actions, numbers): (_, Vec<u64>) = steps(request, entries).unzip();
        Part { actions, keys: D::keys(numbers.into_iter()) }
    }

    /// Returns how many operations came out right, and how long each took.
    pub(crate) fn perform(&self, table: &impl Table<D>) -> Result<(u64, Vec<u64>)> {
        let mut latencies = Vec::with_capacity(self.actions.len());
        let mut done = 0;
        for (place, action) in self.actions.iter().enumerate() {
            let key = D::key(&self.keys, place);
            let clock = Instant::now();
            if matches!(action, Action::Read | Action::ReadThenUpdate) {
                done += table.find(key, |value| u64::from(value.is_some_and(|value| D::belongs(key, value))))?;
            } else {
                done += 1;
            }
            match action {
                Action::Read => {}
                Action::Insert => D::with_value(key, false, |value| table.add(key, value))?,
                Action::Update | Action::ReadThenUpdate => D::with_value(key, true, |value| table.replace(key, value))?,
            }
            latencies.push(clock.elapsed().as_nanos() as u64);
        }
        Ok((done, latencies))
    }
}

/// A table of texts, for rows.
#[derive(Debug)]
pub(crate) struct OfRows<'t, T>(pub(crate) &'t T);

impl<T: Table<Texts>> Table<Rows> for OfRows<'_, T> {
    fn add(&self, key: &str, value: &str) -> Result<()> {
        self.0.add(key, value)
    }

    fn find<R>(&self, key: &str, seen: impl FnOnce(Option<&str>) -> R) -> Result<R> {
        self.0.find(key, seen)
    }

    fn replace(&self, key: &str, value: &str) -> Result<()> {
        self.0.replace(key, value)
    }

    fn sum(&self, part: fn(&str) -> u64) -> Result<u64> {
        self.0.sum(part)
    }
}
