//! Kills at random in groups over three members of one object, with an invariant that spans them.
//!
//! ```text
//! NETSHM_KILLS=50000 NETSHM_SEED=7 cargo test --release -p netshm-tests --test crash members_kill -- --nocapture
//! ```

use std::os::unix::process::ExitStatusExt;
use std::thread::sleep;
use std::time::Duration;

use netshm::{Array, Error, HashTable, Locking, Result, Shm, group};
use netshm_tests::{Child, Random, Scratch};

const METHODS: [Locking; 2] = [Locking::Record, Locking::Futex];
const ACCOUNTS: u64 = 60;
const OPENING: i64 = 100;
const WORKERS: u64 = 3;

/// Two tables whose sum stays the same, and the array counts the bindings of the third one by worker.
struct Bank {
    here: HashTable<String, i64>,
    there: HashTable<u64, i64>,
    notes: HashTable<u64, Vec<u8>>,
    counts: Array<u64>,
}

impl Bank {
    fn open(shm: &Shm, locking: Locking) -> Result<Bank> {
        let here = HashTable::options().locking(locking).named("here").stripes(8).slots(8).manage(shm.clone())?;
        let there = HashTable::options().locking(locking).named("there").stripes(4).manage(shm.clone())?;
        let notes = HashTable::options().locking(locking).named("notes").stripes(2).manage(shm.clone())?;
        let counts = Array::options().locking(locking).named("counts").stripes(1).manage(shm.clone(), 0)?;
        Ok(Bank { here, there, notes, counts })
    }

    fn fill(&self) -> Result<()> {
        self.counts.resize(WORKERS as usize)?;
        (0..ACCOUNTS).try_for_each(|i| self.here.add(&i.to_string(), &OPENING))?;
        (0..ACCOUNTS).try_for_each(|i| self.there.add(&i, &OPENING))
    }

    fn step(&self, worker: u64, random: &mut Random) -> Result<()> {
        let (from, to) = (random.below(ACCOUNTS).to_string(), random.below(ACCOUNTS));
        let amount = random.below(9) as i64 - 4;
        let note = vec![worker as u8; random.below(3000) as usize];
        let (clears, fails) = (random.once_in(40), random.once_in(10));
        group!(retry self.here => {
            self.here.update(&from, |value| Some(value? - amount))?;
            self.notes.add(&worker, &note)?;
            self.there.update(&to, |value| Some(value? + amount))?;
            self.counts.update(worker as usize, |count| count + 1)?;
            if fails {
                // A part that comes to nothing.
                let inner: Result<()> = group!(self.notes => {
                    self.notes.remove_all(&worker)?;
                    self.here.remove(&from)?;
                    self.counts.get(1000)?;
                });
                assert!(matches!(inner, Err(Error::OutOfBounds { .. } | Error::Deadlock { .. })), "{inner:?}");
                if matches!(inner, Err(Error::Deadlock { .. })) {
                    inner?;
                }
            }
            if clears {
                let removed = self.notes.remove_all(&worker)? as u64;
                self.counts.update(worker as usize, |count| count - removed)?;
            }
        })
    }

    #[track_caller]
    fn assert_sound(&self) {
        let (sum, notes, counts) = self.look().unwrap();
        assert_eq!(sum, 2 * OPENING * ACCOUNTS as i64);
        assert_eq!(notes, counts);
    }

    /// Looks at all members at one moment.
    fn look(&self) -> Result<(i64, Vec<u64>, Vec<u64>)> {
        group!(retry self.counts => {
            let mut sum = 0;
            self.here.for_each(|_, value| sum += value)?;
            self.there.for_each(|_, value| sum += value)?;
            let mut notes = vec![0; WORKERS as usize];
            self.notes.for_each(|worker, _| notes[worker as usize] += 1)?;
            let counts = (0..WORKERS).map(|worker| self.counts.get(worker as usize)).collect::<Result<Vec<_>>>()?;
            (sum, notes, counts)
        })
    }
}

pub(crate) fn child(_: &str, arguments: &[String]) {
    let [name, locking, worker, seed] = arguments else { panic!("wrong arguments") };
    let bank = Bank::open(&Shm::open(name.as_str()).unwrap(), METHODS[locking.parse::<usize>().unwrap()]).unwrap();
    let mut random = Random::new(seed.parse().unwrap());
    println!("> ready");
    loop {
        bank.step(worker.parse().unwrap(), &mut random).unwrap();
    }
}

#[test]
fn groups_over_members_are_killed() {
    let variable = |name, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (kills, seed): (u64, u64) = (variable("NETSHM_KILLS", 40), variable("NETSHM_SEED", 1));
    for (number, locking) in METHODS.into_iter().enumerate() {
        let object = Scratch::posix("members-kill");
        let bank = Bank::open(&object.open(), locking).unwrap();
        bank.fill().unwrap();
        let mut random = Random::new(seed);
        let start = |worker: u64, seed: u64| {
            let arguments = [object.name().to_string(), number.to_string(), worker.to_string(), seed.to_string()];
            let child = Child::start("members_kill::worker", &arguments.each_ref().map(String::as_str));
            assert_eq!(child.line().as_deref(), Some("ready"));
            child
        };
        let mut workers: Vec<_> = (0..WORKERS).map(|worker| start(worker, random.number())).collect();
        for kill in 0..kills {
            let victim = random.below(WORKERS);
            sleep(Duration::from_micros(random.below(3000)));
            workers[victim as usize].kill();
            let status = workers[victim as usize].wait();
            assert_eq!(status.signal(), Some(9), "{locking}: a worker failed: {status}");
            if kill % 4 == 0 {
                bank.assert_sound();
            }
            if kill % 16 == 0 {
                let copy = Scratch::posix("members-kill-copy");
                bank.here.shm().copy_to(copy.name()).unwrap();
                let copied = Bank::open(&Shm::open(copy.name()).unwrap(), locking).unwrap();
                copied.assert_sound();
                let report = copied.here.check().unwrap();
                assert!(report.is_clean(), "{locking}, kill {kill}, a copy: {report}");
            }
            workers[victim as usize] = start(victim, random.number());
        }
        drop(workers);
        bank.assert_sound();
        let report = bank.notes.check().unwrap();
        assert!(report.is_clean(), "{locking}, seed {seed}: {report}");
        // Nobody is left who has the object open, so its memory goes back.
        bank.notes.clear().unwrap();
        bank.here.shm().trim().unwrap();
        bank.here.for_each(|_, _| {}).unwrap();
        let report = bank.notes.check().unwrap();
        assert!(report.is_clean(), "{locking}, seed {seed}, trimmed: {report}");
    }
}
