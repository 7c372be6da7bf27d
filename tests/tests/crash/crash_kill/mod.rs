//! Workers that are killed at random moments, and others that go on at once with everything in place.
//!
//! ```text
//! NETSHM_KILLS=5000 NETSHM_SEED=7 cargo test --release -p netshm-tests --test crash crash_kill -- --nocapture
//! ```

mod lane;
mod remains;
mod ring;
mod subject;
mod worker;

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use lane::{Lane, TOTAL};
use netshm::{Array, HashTable, Locking, Table};
use netshm_tests::{Child, Random, Scratch};
use subject::{Subject, total};
use worker::{Note, stacks, work};

/// The lanes of each worker.
const WORKERS: [&[u32]; 3] = [&[0], &[1], &[2, 3]];

/// All lanes.
const LANES: u32 = 4;

/// Time without a step after which a worker counts as hung. (A dead owner should cost less than a second; how much it was is printed.)
const HANGS: Duration = Duration::from_secs(30);

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number in the variable"))
}

/// The workers, as the process that kills them sees them.
struct Supervisor<'a, S> {
    kind: &'a str,
    locking: Locking,
    seed: u64,
    object: Scratch,
    subject: S,
    notes: File,
    notes_path: String,
    workers: Vec<Child>,
    lanes: Vec<Lane>,
    longest_wait: Duration,
    longest_step: Duration,
    deadlocks: u64,
}

impl<S: Subject> Supervisor<'_, S> {
    fn note(&self, lane: u32) -> Note {
        Note::read(&self.notes, lane)
    }

    fn start(&self, worker: usize) -> Child {
        let lanes = WORKERS[worker].iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let (object, locking) = (self.object.name().to_string(), self.locking.to_string());
        Child::start(
            "crash_kill::work",
            &[self.kind, &object, &locking, &self.notes_path, &self.seed.to_string(), &lanes],
        )
    }

    /// Waits until each of the lanes is past those steps.
    fn progress(&mut self, before: &[(u32, u64)]) {
        let start = Instant::now();
        for &(lane, steps) in before {
            while self.note(lane).steps <= steps {
                let waited = start.elapsed();
                assert!(waited < HANGS, "{} {}: lane {lane} hangs in step {steps}", self.kind, self.locking);
                thread::sleep(Duration::from_micros(200));
            }
        }
        self.longest_wait = self.longest_wait.max(start.elapsed());
    }

    fn steps_of(&self, workers: impl Iterator<Item = usize>) -> Vec<(u32, u64)> {
        workers.flat_map(|worker| WORKERS[worker]).map(|&lane| (lane, self.note(lane).steps)).collect()
    }

    /// Kills workers; the others go on; then what the dead ones did is there; then others take their place.
    fn kill(&mut self, victims: &[usize]) {
        for &victim in victims {
            self.workers[victim].kill();
            let status = self.workers[victim].wait();
            assert_eq!(status.signal(), Some(9), "{} {}: a worker failed: {status}", self.kind, self.locking);
        }
        let survivors = self.steps_of((0..WORKERS.len()).filter(|worker| !victims.contains(worker)));
        self.progress(&survivors);
        for &lane in victims.iter().flat_map(|&victim| WORKERS[victim]) {
            self.compare(lane);
        }
        for &victim in victims {
            self.workers[victim] = self.start(victim);
        }
    }

    /// Checks that the acknowledged steps of a dead lane are there, and the interrupted one completely or not at all.
    fn compare(&mut self, number: u32) {
        let note = self.note(number);
        self.longest_step = self.longest_step.max(note.longest);
        self.deadlocks += note.deadlocks;
        let lane = &mut self.lanes[number as usize];
        while lane.steps < note.steps {
            lane.advance();
        }
        let found = stacks(&self.subject, number).expect("the bindings");
        if found != lane.stacks {
            let (before, step) = (lane.stacks.clone(), lane.plan());
            lane.advance();
            assert_eq!(
                found, lane.stacks,
                "{} {}: lane {number} died in step {}, {step:?}; before it there was {before:?}",
                self.kind, self.locking, note.steps
            );
        } else {
            // It may be there without a visible change; then it is made again, which changes nothing.
            return;
        }
        Note { steps: lane.steps, ..note }.write(&self.notes, number);
    }

    fn check(&self) {
        let start = Instant::now();
        let report = loop {
            match self.subject.check() {
                Err(netshm::Error::Deadlock { .. }) if start.elapsed() < HANGS => (),
                outcome => break outcome.expect("a check"),
            }
        };
        assert!(report.is_clean(), "{} {}: {report}", self.kind, self.locking);
        assert_eq!(total(&self.subject).expect("the accounts"), TOTAL);
    }
}

fn torture<S: Subject>(kind: &str, locking: Locking) {
    let (kills, seed) = (variable("NETSHM_KILLS", 20), variable("NETSHM_SEED", 1));
    let object = Scratch::posix(&format!("kill-{kind}"));
    let notes = Scratch::file(&format!("kill-{kind}"));
    let notes_path = notes.name().to_string().replace("file:", "");
    let file = File::options().create_new(true).read(true).write(true).open(&notes_path).expect("a file for the notes");
    (0..LANES).for_each(|lane| Note::default().write(&file, lane));
    let subject = S::open(object.open(), locking).expect("a new object");
    subject.fill_accounts().expect("the accounts");
    let lanes = (0..LANES).map(|lane| Lane::new(lane, seed, S::DEEP)).collect();
    let mut all = Supervisor {
        kind,
        locking,
        seed,
        object,
        subject,
        notes: file,
        notes_path,
        workers: Vec::new(),
        lanes,
        longest_wait: Duration::ZERO,
        longest_step: Duration::ZERO,
        deadlocks: 0,
    };
    let start = all.steps_of(0..WORKERS.len());
    all.workers = (0..WORKERS.len()).map(|worker| all.start(worker)).collect();
    all.progress(&start);
    let mut random = Random::new(seed);
    let mut killed = 0;
    let mut size = 0;
    while killed < kills {
        let mut victims = vec![random.below(3) as usize];
        if random.once_in(8) {
            // Two at once, or all three.
            victims = (0..3).filter(|&worker| worker != victims[0] || random.once_in(4)).collect();
        }
        all.kill(&victims);
        killed += victims.len() as u64;
        // Now and then a new worker dies while it opens the object.
        if !random.once_in(10) {
            let start = all.steps_of(victims.into_iter());
            all.progress(&start);
        }
        thread::sleep(Duration::from_micros(random.below(20_000)));
        if random.once_in(10) || killed >= kills {
            all.check();
        }
        size = size.max(all.subject.shm().size().expect("its size"));
    }
    let steps: u64 = (0..LANES).map(|lane| all.note(lane).steps).sum();
    let Supervisor { longest_wait, longest_step, deadlocks, .. } = all;
    println!(
        "{kind} {locking}: {killed} killed in {steps} steps; no step of a survivor for {longest_wait:?} at most, longest \
         step {longest_step:?}, {deadlocks} verbs repeated, {size} bytes"
    );
}

#[test]
fn hash_table_record() {
    torture::<HashTable<String, Vec<u8>>>("hash", Locking::Record);
}

#[test]
fn hash_table_futex() {
    torture::<HashTable<String, Vec<u8>>>("hash", Locking::Futex);
}

#[test]
fn pairs_record() {
    torture::<HashTable<u64, u64>>("pairs", Locking::Record);
}

#[test]
fn pairs_futex() {
    torture::<HashTable<u64, u64>>("pairs", Locking::Futex);
}

#[test]
fn table_record() {
    torture::<Table>("table", Locking::Record);
}

#[test]
fn table_futex() {
    torture::<Table>("table", Locking::Futex);
}

#[test]
fn array_of_texts_record() {
    torture::<Array<String>>("texts", Locking::Record);
}

#[test]
fn array_of_texts_futex() {
    torture::<Array<String>>("texts", Locking::Futex);
}

#[test]
fn array_of_numbers_record() {
    torture::<Array<i64>>("numbers", Locking::Record);
}

#[test]
fn array_of_numbers_futex() {
    torture::<Array<i64>>("numbers", Locking::Futex);
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    match part {
        "ring" => return ring::wait(&arguments[0], &arguments[1], &arguments[2]),
        "take" => return remains::take(&arguments[0]),
        _ => (),
    }
    let [kind, object, locking, notes, seed, lanes] = arguments else { panic!("six arguments") };
    // A thread that fails ends its process, so that nobody waits for it.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        hook(info);
        std::process::abort();
    }));
    let locking = if *locking == Locking::Record.to_string() { Locking::Record } else { Locking::Futex };
    let work = match kind.as_str() {
        "hash" => work::<HashTable<String, Vec<u8>>>,
        "pairs" => work::<HashTable<u64, u64>>,
        "table" => work::<Table>,
        "texts" => work::<Array<String>>,
        _ => work::<Array<i64>>,
    };
    let notes = File::options().read(true).write(true).open(notes).expect("the notes");
    let lanes: Vec<u32> = lanes.split(',').map(|lane| lane.parse().expect("a lane")).collect();
    work(&object.parse().expect("a name"), locking, &notes, seed.parse().expect("a seed"), &lanes);
}
