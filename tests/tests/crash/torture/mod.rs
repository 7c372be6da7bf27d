//! Everything at once, and kills at random: six members of one object, groups over all of them, nested ones that fail or panic, bulk
//! operations, iterations, checks and copies beside writers. Workers die at any moment, also while they open the object, one by one and
//! all at once.
//!
//! ```text
//! NETSHM_KILLS=2000 NETSHM_STRIPES=64 NETSHM_SLOTS=8 cargo test --release -p netshm-tests --test crash torture -- --nocapture
//! ```

mod worker;
mod world;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use netshm::{Locking, Shm};
use netshm_tests::{Child, Directory, Random, Scratch};

use worker::Worker;
use world::{Form, World};

const METHODS: [Locking; 2] = [Locking::Record, Locking::Futex];
const WORKERS: u64 = 4;
/// Kills between two looks at everything.
const PHASE: u64 = 40;
/// Time without a step after which a worker counts as hung.
const HANGS: Duration = Duration::from_secs(40);

/// What a worker says before anything else when it fails: it may be killed while it says why.
const FAILED: &str = "failed";

/// Says it when it is dropped.
struct TellsFailure;

impl Drop for TellsFailure {
    fn drop(&mut self) {
        println!("> {FAILED}");
    }
}

pub(crate) fn child(_: &str, arguments: &[String]) {
    // A worker ends by a failure alone.
    let _tells = TellsFailure;
    let [name, directory, numbers @ ..] = arguments else { panic!("wrong arguments") };
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    let [method, stripes, slots, limit, number, seed] = numbers[..] else { panic!("wrong arguments") };
    let (stripes, slots) = (stripes as u32, slots as u32);
    let form = Form { locking: METHODS[method as usize], stripes, slots, limit };
    let directory = PathBuf::from(directory);
    let notes = File::options().read(true).write(true).open(directory.join("notes")).unwrap();
    let note = |place: u64, value: u64| notes.write_all_at(&value.to_ne_bytes(), (number * 2 + place) * 8).unwrap();
    let world = World::open(&Shm::open(name.as_str()).unwrap(), form).unwrap();
    let [begun, ended] = noted(&notes, number);
    let counted = world.lanes.get(number as usize).unwrap();
    assert!(counted <= begun, "worker {number} has counted step {counted}, and begun but {begun}");
    assert!(counted >= ended, "step {ended} of worker {number} is lost: it had counted {counted}");
    let mut worker = Worker { world, form, number, directory, step: begun, random: Random::new(seed) };
    loop {
        worker.step += 1;
        note(0, worker.step);
        let start = Instant::now();
        if let Err(error) = worker.act() {
            panic!("{form:?}, worker {number}, after {:?}: {error:?}", start.elapsed());
        }
        let counted = worker.world.lanes.get(number as usize).unwrap();
        if counted == worker.step {
            note(1, counted);
        }
    }
}

/// Returns the last step that a worker has begun, and the last one that it knows to have counted.
fn noted(notes: &File, number: u64) -> [u64; 2] {
    [0, 1].map(|place| {
        let mut bytes = [0; 8];
        notes.read_exact_at(&mut bytes, (number * 2 + place) * 8).unwrap();
        u64::from_ne_bytes(bytes)
    })
}

/// The workers on one object.
struct Run {
    // First, so that they end before what they use.
    workers: Vec<Child>,
    form: Form,
    object: Scratch,
    notes: (Directory, File),
    random: Random,
    kills: u64,
    steps: u64,
    longest: Duration,
}

impl Run {
    fn begin(form: Form, seed: u64) -> Run {
        let object = Scratch::posix("torture");
        World::open(&object.open(), form).unwrap().fill().unwrap();
        let directory = Directory::in_memory("torture");
        let notes =
            File::options().read(true).write(true).create(true).truncate(true).open(directory.join("notes")).unwrap();
        notes.set_len(WORKERS * 16).unwrap();
        Run {
            form,
            object,
            notes: (directory, notes),
            workers: Vec::new(),
            random: Random::new(seed),
            kills: 0,
            steps: 0,
            longest: Duration::ZERO,
        }
    }

    fn start(&mut self, worker: u64) -> Child {
        let Form { locking, stripes, slots, limit } = self.form;
        let method = METHODS.iter().position(|method| *method == locking).unwrap() as u64;
        let numbers = [method, stripes.into(), slots.into(), limit, worker, self.random.number()];
        let mut arguments = vec![self.object.name().to_string(), self.notes.0.text().to_owned()];
        arguments.extend(numbers.map(|number| number.to_string()));
        Child::start("torture::worker", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start_all(&mut self) {
        self.workers = (0..WORKERS).map(|worker| self.start(worker)).collect();
    }

    fn kill(&mut self, worker: u64) {
        let child = &mut self.workers[worker as usize];
        child.kill();
        let status = child.wait();
        assert_eq!(status.signal(), Some(9), "{:?}: a worker failed: {status}", self.form);
        let failed = std::iter::from_fn(|| child.line()).any(|line| line == FAILED);
        assert!(!failed, "{:?}: a worker was killed as it failed", self.form);
        self.kills += 1;
    }

    /// Waits until all workers have gone on.
    fn progress(&mut self) {
        let (start, before) = (Instant::now(), self.begun());
        while self.begun().iter().zip(&before).any(|(now, then)| now == then) {
            if start.elapsed() > HANGS {
                panic!("{:?}: a worker hangs; they were at {before:?}, and are at {:?}", self.form, self.begun());
            }
            sleep(Duration::from_micros(300));
        }
        self.longest = self.longest.max(start.elapsed());
    }

    fn begun(&self) -> Vec<u64> {
        (0..WORKERS).map(|worker| noted(&self.notes.1, worker)[0]).collect()
    }

    /// Kills at random, and sometimes all at once; then looks at everything.
    fn phase(&mut self, kills: u64) {
        let until = self.kills + kills;
        let keeps_open = self.random.once_in(2);
        let witness = keeps_open.then(|| World::open(&self.object.open(), self.form).unwrap());
        while self.kills < until {
            let longest = if self.random.once_in(5) { 30_000 } else { 6000 };
            sleep(Duration::from_micros(self.random.below(longest)));
            if self.random.once_in(12) {
                self.progress();
            }
            if self.random.once_in(15) {
                (0..WORKERS).for_each(|worker| self.kill(worker));
                self.start_all();
            } else {
                let worker = self.random.below(WORKERS);
                self.kill(worker);
                self.workers[worker as usize] = self.start(worker);
            }
        }
        self.progress();
        (0..WORKERS).for_each(|worker| self.kill(worker));
        self.steps = self.begun().iter().sum();
        let world = witness.unwrap_or_else(|| World::open(&self.object.open(), self.form).unwrap());
        // Before anything else is done, and after everything has been looked at.
        if self.random.once_in(2) {
            world.assert_clean("after a phase");
        }
        world.assert_sound().unwrap();
        world.assert_clean("after a look at everything");
        if !keeps_open && self.random.once_in(2) {
            world.accounts.shm().trim().unwrap();
            world.assert_clean("after giving memory back");
        }
        drop(world);
    }
}

fn torture(form: Form, kills: u64, seed: u64) {
    let start = Instant::now();
    let mut run = Run::begin(form, seed);
    while run.kills < kills {
        run.start_all();
        run.phase(PHASE.min(kills - run.kills));
    }
    let (Run { kills, steps, longest, .. }, time) = (&run, start.elapsed());
    println!(
        "{form:?}, seed {seed}: {kills} kills, {steps} steps, {time:.1?}, the longest wait for a step {longest:.1?}"
    );
}

#[test]
fn everything_at_once_is_killed() {
    let variable = |name, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (kills, seed) = (variable("NETSHM_KILLS", 8), variable("NETSHM_SEED", 1));
    let (stripes, slots) = (variable("NETSHM_STRIPES", 2) as u32, variable("NETSHM_SLOTS", 3) as u32);
    let methods: &[Locking] = match std::env::var("NETSHM_LOCKING").as_deref() {
        Ok("Record") => &METHODS[..1],
        Ok("Futex") => &METHODS[1..],
        _ => &METHODS,
    };
    for locking in methods {
        torture(Form { locking: *locking, stripes, slots, limit: variable("NETSHM_LIMIT", 0) }, kills, seed);
    }
}
