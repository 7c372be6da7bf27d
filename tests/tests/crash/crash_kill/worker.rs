//! The process that is killed: one lane, or two, in a thread each.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use netshm::{Error, Locking, Result, Shm, ShmName};

use super::lane::{KEYS, Lane, Step, TOTAL, Transfer, Verb};
use super::subject::{Subject, base, on_purpose, total};

/// A lane's note of each step, kept outside the object.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Note {
    /// Steps that are acknowledged.
    pub(crate) steps: u64,
    /// The longest step of this process.
    pub(crate) longest: Duration,
    /// Verbs that gave up waiting for a thread of their own process.
    pub(crate) deadlocks: u64,
}

impl Note {
    const BYTES: usize = 24;

    pub(crate) fn write(self, file: &File, lane: u32) {
        let words = [self.steps, self.longest.as_micros() as u64, self.deadlocks];
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
        file.write_all_at(&bytes, u64::from(lane) * 64).expect("the notes can be written");
    }

    pub(crate) fn read(file: &File, lane: u32) -> Note {
        let mut bytes = [0; Note::BYTES];
        file.read_exact_at(&mut bytes, u64::from(lane) * 64).expect("the notes can be read");
        let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().expect("a word"));
        Note { steps: word(0), longest: Duration::from_micros(word(8)), deadlocks: word(16) }
    }
}

/// Does the steps of some lanes until it is killed.
pub(crate) fn work<S: Subject + Sync>(object: &ShmName, locking: Locking, notes: &File, seed: u64, lanes: &[u32]) {
    let subject = S::open(Shm::open(object).expect("the object"), locking).expect("a sound object");
    thread::scope(|scope| {
        for &number in lanes {
            let subject = &subject;
            scope.spawn(move || {
                let mut lane = Lane::new(number, seed, S::DEEP);
                let mut note = Note::read(notes, number);
                (note.longest, note.deadlocks) = (Duration::ZERO, 0);
                // What the former process of the lane did has been compared with the model by now.
                lane.steps = note.steps;
                lane.stacks = stacks(subject, number).expect("the bindings");
                loop {
                    let start = Instant::now();
                    if let Err(error) = step(subject, &lane, &mut note) {
                        eprintln!("lane {number}, step {}, {:?}: {error}", lane.steps, lane.plan());
                        std::process::abort();
                    }
                    lane.advance();
                    note.steps = lane.steps;
                    note.longest = note.longest.max(start.elapsed());
                    note.write(notes, number);
                }
            });
        }
    });
}

/// Returns what is bound to the keys of a lane.
pub(crate) fn stacks(subject: &impl Subject, lane: u32) -> Result<Vec<Vec<u64>>> {
    (0..KEYS).map(|key| subject.stack(base(lane) + key)).collect()
}

fn step<S: Subject>(subject: &S, lane: &Lane, note: &mut Note) -> Result<()> {
    match lane.plan() {
        // A verb outside groups may end in a deadlock with another thread's group in this very process.
        Step::One(verb) => loop {
            match verbs(subject, &mut lane.clone(), &[verb]) {
                Err(Error::Deadlock { .. }) => note.deadlocks += 1,
                outcome => return outcome,
            }
        },
        Step::Group(some, transfer) => subject.group(|| {
            // A part of the group that fails, and whose error is overlooked.
            inner(subject, transfer)?;
            all(subject, lane, &some, transfer)
        }),
        Step::Undone(some, transfer) => {
            let outcome = subject.group(|| {
                all(subject, lane, &some, transfer)?;
                Err::<(), Error>(on_purpose())
            });
            match outcome {
                Err(Error::InvalidName { .. }) => Ok(()),
                other => other,
            }
        }
        Step::Total => {
            assert_eq!(total(subject)?, TOTAL);
            Ok(())
        }
        Step::Whole(random) => subject.whole(random),
    }
}

fn inner(subject: &impl Subject, transfer: Transfer) -> Result<()> {
    let outcome = subject.group(|| {
        subject.set_balance(transfer.from, -1, transfer.padding >> 8)?;
        Err::<(), Error>(on_purpose())
    });
    match outcome {
        Err(Error::InvalidName { .. }) => Ok(()),
        other => other,
    }
}

/// Returns the verbs of a group, with the two halves of the transfer in their midst.
fn all(subject: &impl Subject, lane: &Lane, some: &[Verb], transfer: Transfer) -> Result<()> {
    let Transfer { from, to, amount, padding } = transfer;
    let mut lane = lane.clone();
    let (first, last) = some.split_at(some.len() / 2);
    let balance = subject.balance(from)?;
    subject.set_balance(from, balance - amount, padding)?;
    verbs(subject, &mut lane, first)?;
    let balance = subject.balance(to)?;
    subject.set_balance(to, balance + amount, padding >> 8)?;
    verbs(subject, &mut lane, last)
}

fn verbs(subject: &impl Subject, lane: &mut Lane, some: &[Verb]) -> Result<()> {
    for &verb in some {
        let key = match verb {
            Verb::Add(key, _) | Verb::Replace(key, _) | Verb::AddIfAbsent(key, _) | Verb::Update(key, _) => key,
            Verb::Remove(key) | Verb::Pop(key) | Verb::RemoveAll(key) | Verb::Swap(key, _) => key,
        };
        subject.verb(base(lane.number), verb, &lane.stacks[key as usize])?;
        lane.apply(verb);
    }
    Ok(())
}
