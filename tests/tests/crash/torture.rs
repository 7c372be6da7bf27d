//! Everything at once, and kills at random: six members of one object, groups over all of them, nested ones that fail or panic, bulk
//! operations, iterations, checks and copies beside writers. Workers die at any moment, also while they open the object, one by one and
//! all at once.
//!
//! ```text
//! NETSHM_KILLS=2000 NETSHM_STRIPES=64 NETSHM_SLOTS=8 cargo test --release -p netshm-tests --test crash torture -- --nocapture
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use netshm::{Array, Error, GroupError, HashTable, Locking, ManageOptions, Shm, ShmName, group};
use netshm_tests::{Child, Directory, Random, Scratch};

const METHODS: [Locking; 2] = [Locking::Record, Locking::Futex];
const WORKERS: u64 = 4;
/// Money in each account, and in each cell.
const OPENING: u64 = 1000;
const ACCOUNTS: u64 = 100;
const CELLS: u64 = 300;
const TOTAL: u64 = OPENING * (ACCOUNTS + CELLS);
/// Keys of texts and of rows.
const KEYS: u64 = 60;
/// Kills between two looks at everything.
const PHASE: u64 = 40;
/// Time without a step after which a worker counts as hung.
const HANGS: Duration = Duration::from_secs(40);

/// A text that says which it is: key, version, and what follows from them.
type Text = (u64, u64, String);

/// Why a group ends.
#[derive(Debug)]
enum Ends {
    Store(Error),
    OnPurpose,
}

impl From<Error> for Ends {
    fn from(error: Error) -> Self {
        Ends::Store(error)
    }
}

impl GroupError for Ends {
    fn is_deadlock(&self) -> bool {
        matches!(self, Ends::Store(error) if error.is_deadlock())
    }
}

type Outcome<T = ()> = Result<T, Ends>;

/// The shape of an object.
#[derive(Debug, Clone, Copy)]
struct Form {
    locking: Locking,
    stripes: u32,
    slots: u32,
    /// Milliseconds of `lock_timeout`; none if 0.
    limit: u64,
}

fn text(key: u64, version: u64) -> Text {
    let mut random = Random::new(key << 32 ^ version);
    let length = match random.below(40) {
        0 => random.below(12_000),
        1..10 => random.below(600),
        _ => random.below(60),
    };
    (key, version, (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect())
}

#[track_caller]
fn assert_text(found: &Text) {
    assert_eq!(*found, text(found.0, found.1), "a text that nobody has stored");
}

fn row(key: u64, version: u64) -> Vec<u64> {
    let mut random = Random::new(key << 32 ^ version ^ 1);
    let length = if random.once_in(30) { random.below(2000) } else { random.below(40) };
    [key, version].into_iter().chain((0..length).map(|_| random.number())).collect()
}

#[track_caller]
fn assert_row(found: &[u64]) {
    assert!(*found == row(found[0], found[1]), "a row that nobody has stored: {} {}", found[0], found[1]);
}

fn row_key(key: u64) -> (u32, String) {
    (key as u32, format!("row {key}"))
}

/// The members. All that is in the first three is money.
struct World {
    accounts: HashTable<u64, u64>,
    cells: Array<u64>,
    stacks: HashTable<u64, u64>,
    texts: HashTable<String, Text>,
    rows: HashTable<(u32, String), Vec<u64>>,
    words: Array<String>,
    /// Bindings of texts, and of rows.
    counts: Array<u64>,
    /// The last step of each worker that was to be counted.
    lanes: Array<u64>,
}

impl World {
    fn open(shm: &Shm, form: Form) -> netshm::Result<World> {
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

    fn fill(&self) -> Outcome {
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
    fn assert_sound(&self) -> Outcome {
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

    fn assert_clean(&self, when: &str) {
        let report = self.texts.check().unwrap_or_else(|error| panic!("{when}: {error}"));
        assert!(report.is_clean(), "{when}: {report}");
    }
}

fn word(number: u64) -> String {
    format!("{number}:{}", "w".repeat((number % 90) as usize))
}

#[track_caller]
fn assert_word(found: &str) {
    let Some((number, _)) = found.split_once(':') else { return assert_eq!(found, "none") };
    assert_eq!(found, word(number.parse().unwrap()));
}

struct Worker {
    world: World,
    form: Form,
    number: u64,
    directory: PathBuf,
    /// The step under way.
    step: u64,
    random: Random,
}

impl Worker {
    fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    /// Does something; if it is a group, it counts the step.
    fn act(&mut self) -> Outcome {
        match self.below(100) {
            0..12 => self.transfer(),
            12..22 => self.moves_to_cell(),
            22..32 => self.stack(),
            32..40 => self.plain_texts(),
            40..50 => self.counted_texts(),
            50..58 => self.counted_rows(),
            58..66 => self.plain_rest(),
            66..76 => self.half_undone(),
            76..79 => self.panics(),
            79..81 => self.clears(),
            81..86 => self.bulk(),
            86..90 => self.looks(),
            90..94 => self.apart(),
            94..97 => self.shuffles_cells(),
            97 => self.resizes(),
            98 => self.keeps(),
            _ => self.many(),
        }
    }

    fn count(&self) -> Outcome {
        Ok(self.world.lanes.set(self.number as usize, &self.step)?)
    }

    fn transfer(&mut self) -> Outcome {
        let (from, to, most) = (self.below(ACCOUNTS), self.below(ACCOUNTS), self.below(50));
        let accounts = &self.world.accounts;
        group!(retry accounts: Ends => {
            let old = accounts.find(&from)?.unwrap_or(0);
            let amount = old.min(most);
            accounts.replace(&from, &(old - amount))?;
            let old = accounts.find(&to)?.unwrap_or(0);
            accounts.replace(&to, &(old + amount))?;
            self.count()?;
        })
    }

    fn moves_to_cell(&mut self) -> Outcome {
        let (from, to, most) = (self.below(ACCOUNTS), self.below(CELLS) as usize, self.below(50));
        let World { accounts, cells, .. } = &self.world;
        let (back, vanishes) = (self.random.once_in(2), self.random.once_in(9));
        group!(retry cells: Ends => {
            let mut moved = 0;
            if back {
                cells.update(to, |old| { moved = old.min(most); old - moved })?;
                if vanishes {
                    // The account goes away, and comes again.
                    let all = accounts.pop(&from)?.unwrap_or(0);
                    accounts.add(&from, &(all + moved))?;
                } else {
                    accounts.update(&from, |old| Some(old.unwrap_or(0) + moved))?;
                }
            } else {
                accounts.update(&from, |old| { moved = old.unwrap_or(0).min(most); old.map(|old| old - moved) })?;
                cells.fetch_add(to, moved)?;
            }
            self.count()?;
        })
    }

    fn stack(&mut self) -> Outcome {
        let (account, key, amount) = (self.below(ACCOUNTS), self.below(20), self.below(30));
        let kind = self.below(8);
        let World { accounts, stacks, .. } = &self.world;
        group!(retry stacks: Ends => {
            match kind {
                0..4 => {
                    let old = accounts.find(&account)?.unwrap_or(0);
                    let amount = amount.min(old);
                    accounts.replace(&account, &(old - amount))?;
                    stacks.add(&key, &amount)?;
                }
                4..7 => {
                    let amount = stacks.pop(&key)?.unwrap_or(0);
                    accounts.update(&account, |old| Some(old.unwrap_or(0) + amount))?;
                }
                _ => {
                    let amount: u64 = stacks.find_all(&key)?.iter().sum();
                    stacks.remove_all(&key)?;
                    accounts.fetch_add(&account, amount)?;
                }
            }
            self.count()?;
        })
    }

    /// Changes to texts that leave their number as it is.
    fn plain_texts(&mut self) -> Outcome {
        let (key, version, kind) = (self.below(KEYS), self.random.number() >> 32, self.below(6));
        let (name, new) = (key.to_string(), text(key, version));
        let texts = &self.world.texts;
        match kind {
            0 => {
                texts.update(&name, |old| {
                    old.map(|old| {
                        assert_text(&old);
                        new
                    })
                })?;
            }
            1 => {
                if let Some(old) = texts.find(&name)? {
                    assert_text(&old);
                    texts
                        .compare_exchange(&name, &old, &new)?
                        .unwrap_or_else(|found| found.iter().for_each(assert_text));
                }
            }
            2 => {
                texts.find(&name)?.iter().for_each(assert_text);
            }
            3 => texts.find_all(&name)?.iter().for_each(assert_text),
            4 => {
                texts.contains(&name)?;
            }
            _ => {
                texts.update(&name, |old| old.is_some().then_some(new))?;
            }
        }
        Ok(())
    }

    fn counted_texts(&mut self) -> Outcome {
        let (key, version, kind) = (self.below(KEYS), self.random.number() >> 32, self.below(5));
        let (name, new) = (key.to_string(), text(key, version));
        let World { texts, counts, .. } = &self.world;
        group!(retry texts: Ends => {
            let (more, less) = match kind {
                0 | 1 => { texts.add(&name, &new)?; (1, 0) }
                2 => (0, u64::from(texts.remove(&name)?)),
                3 => (0, if key % 5 == 0 { texts.remove_all(&name)? as u64 } else { 0 }),
                _ => (u64::from(texts.swap(&name, &new)?.is_none()), 0),
            };
            counts.update(0, |old| old + more - less)?;
            self.count()?;
        })
    }

    fn counted_rows(&mut self) -> Outcome {
        let (key, version, kind) = (self.below(KEYS), self.random.number() >> 32, self.below(4));
        let (name, new) = (row_key(key), row(key, version));
        let World { rows, counts, .. } = &self.world;
        group!(retry counts: Ends => {
            let (more, less) = match kind {
                0 => (u64::from(rows.add_if_absent(&name, &new)?), 0),
                1 => { rows.add(&name, &new)?; (1, 0) }
                2 => (0, u64::from(rows.pop(&name)?.inspect(|old| assert_row(old)).is_some())),
                _ => {
                    let is_there = rows.contains(&name)?;
                    rows.replace(&name, &new)?;
                    (u64::from(!is_there), 0)
                }
            };
            counts.fetch_add(1, more)?;
            counts.fetch_sub(1, less)?;
            self.count()?;
        })
    }

    /// Small changes, outside groups.
    fn plain_rest(&mut self) -> Outcome {
        let (index, number) = (self.below(30) as usize, self.random.number() >> 40);
        let (account, kind) = (self.below(ACCOUNTS), self.below(6));
        let World { accounts, words, cells, rows, .. } = &self.world;
        match kind {
            0 => words.set(index, &word(number))?,
            1 => drop(words.update(index, |old| {
                assert_word(&old);
                word(number)
            })?),
            2 => words.swap(index, 29 - index)?,
            3 => drop(accounts.update(&account, |old| old)?),
            4 => drop(cells.fetch_add(index, 0)?),
            _ => rows.find(&row_key(number % KEYS))?.iter().for_each(|row| assert_row(row)),
        }
        Ok(())
    }

    /// A group, parts of which come to nothing.
    fn half_undone(&mut self) -> Outcome {
        let (account, key, version) = (self.below(ACCOUNTS), self.below(KEYS), self.random.number() >> 32);
        let (kind, by_panic) = (self.below(6), self.random.once_in(4));
        let World { accounts, stacks, texts, rows, cells, words, counts, .. } = &self.world;
        group!(retry accounts: Ends => {
            let before = accounts.find(&account)?.unwrap_or(0);
            let inner = || group!(texts: Ends => {
                match kind {
                    0 => { texts.clear()?; rows.clear()?; }
                    1 => { accounts.clear()?; accounts.add(&account, &1)?; }
                    2 => {
                        for key in 0..40 { texts.remove_all(&key.to_string())?; }
                        texts.add_many((0..9).map(|key| (key.to_string(), text(key, version))))?;
                    }
                    3 => { cells.fill(.., &7)?; words.resize(400)?; words.set(399, "9:wwwwwwwww")?; }
                    4 => { for round in 0..30 { stacks.add(&(key + round % 3), &round)?; } stacks.remove_all(&key)?; }
                    _ => { rows.replace(&row_key(key), &row(key, version))?; counts.set(0, &99_999)?; }
                }
                accounts.replace(&account, &1_000_000)?;
                if by_panic {
                    resume_unwind(Box::new("on purpose"));
                }
                return Err(Ends::OnPurpose);
            });
            match catch_unwind(AssertUnwindSafe(inner)) {
                Ok(Ok(())) => unreachable!("it ends in an error"),
                Ok(Err(Ends::OnPurpose)) => assert!(!by_panic),
                Ok(Err(error)) => return Err(error),
                Err(panic) => {
                    if panic.downcast_ref() != Some(&"on purpose") {
                        resume_unwind(panic);
                    }
                }
            }
            let after = accounts.find(&account)?.unwrap_or(0);
            assert_eq!(before, after, "an inner group is not undone");
            accounts.replace(&account, &before)?;
            self.count()?;
        })
    }

    /// A group that a panic undoes as a whole.
    fn panics(&mut self) -> Outcome {
        let (account, version) = (self.below(ACCOUNTS), self.random.number() >> 32);
        let World { accounts, texts, cells, .. } = &self.world;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            group!(retry accounts: Ends => {
                accounts.fetch_add(&account, 5)?;
                texts.replace("1", &text(1, version))?;
                texts.add("2", &text(2, version))?;
                cells.set(0, &0)?;
                resume_unwind(Box::new("on purpose"));
            })
        }));
        match outcome {
            Err(panic) if panic.downcast_ref() == Some(&"on purpose") => Ok(()),
            Err(panic) => resume_unwind(panic),
            Ok(outcome) => outcome,
        }
    }

    fn clears(&mut self) -> Outcome {
        let which = self.below(3);
        let World { texts, rows, counts, stacks, accounts, .. } = &self.world;
        group!(retry counts: Ends => {
            match which {
                0 => { texts.clear()?; counts.set(0, &0)?; }
                1 => { rows.clear()?; counts.set(1, &0)?; }
                _ => {
                    let all = stacks.fold(0, |sum, _, value| sum + value)?;
                    stacks.clear()?;
                    accounts.fetch_add(&0, all)?;
                }
            }
            self.count()?;
        })
    }

    fn bulk(&mut self) -> Outcome {
        let (first, version, which) = (self.below(KEYS - 10), self.random.number() >> 32, self.below(4));
        let World { texts, rows, counts, words, .. } = &self.world;
        match which {
            0 => group!(retry texts: Ends => {
                texts.add_many((first..first + 10).map(|key| (key.to_string(), text(key, version))))?;
                counts.fetch_add(0, 10)?;
                self.count()?;
            }),
            1 => group!(retry rows: Ends => {
                rows.add_many((first..first + 10).map(|key| (row_key(key), row(key, version))))?;
                counts.fetch_add(1, 10)?;
                self.count()?;
            }),
            2 => Ok(words.fill(10..30, &word(version))?),
            _ => Ok(words.set_range(5..9, &[0, 1, 2, 3].map(|number| word(version + number)))?),
        }
    }

    fn shuffles_cells(&mut self) -> Outcome {
        let (start, length) = (self.below(CELLS - 200) as usize, self.below(200) as usize);
        let cells = &self.world.cells;
        group!(retry cells: Ends => {
            let mut money = vec![0; length];
            cells.read_range(start..start + length, &mut money)?;
            money.reverse();
            cells.set_range(start..start + length, &money)?;
            self.count()?;
        })
    }

    fn resizes(&mut self) -> Outcome {
        let length = 50 + self.below(800) as usize;
        Ok(self.world.words.resize(length)?)
    }

    /// Looks, without changing anything.
    fn looks(&mut self) -> Outcome {
        match self.below(8) {
            0 => self.world.assert_sound()?,
            1 => self.world.texts.for_each(|_, value| assert_text(&value))?,
            2 => self.world.rows.for_each(|_, value| assert_row(&value))?,
            3 => self.world.words.for_each(|_, value| assert_word(&value))?,
            4 => {
                for item in self.world.texts.scan() {
                    assert_text(&item?.1);
                }
            }
            5 => drop((self.world.texts.len()?, self.world.rows.len()?, self.world.accounts.len()?)),
            6 => self.world.texts.find_many(["1", "2", "77"])?.iter().flatten().for_each(assert_text),
            _ => self.world.assert_clean("beside others"),
        }
        Ok(())
    }

    /// A group that only operations through its argument join.
    fn apart(&mut self) -> Outcome {
        let (from, to, amount) = (self.below(ACCOUNTS), self.below(CELLS) as usize, self.below(9));
        let World { accounts, cells, lanes, .. } = &self.world;
        group!(retry only accounts: Ends => {
            let cells = accounts.with(cells)?;
            let lanes = accounts.with(lanes)?;
            let mut moved = 0;
            accounts.update(&from, |old| { moved = old.unwrap_or(0).min(amount); old.map(|old| old - moved) })?;
            cells.update(to, |old| old + moved)?;
            lanes.set(self.number as usize, &self.step)?;
        })
    }

    /// Gives memory back, makes a copy.
    fn keeps(&mut self) -> Outcome {
        if self.random.once_in(2) {
            return match self.world.accounts.shm().trim() {
                Ok(_) | Err(Error::InUse { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        if !self.random.once_in(4) {
            return Ok(());
        }
        // Removed in the end, whoever is killed.
        let copy = ShmName::file(self.directory.join(format!("copy-{}-{}", self.number, self.step)))?;
        self.world.accounts.shm().copy_to(&copy)?;
        let copied = World::open(&Shm::open(&copy)?, self.form)?;
        copied.assert_sound()?;
        copied.assert_clean("a copy");
        copy.unlink()?;
        Ok(())
    }

    /// One long group over everything.
    fn many(&mut self) -> Outcome {
        let version = self.random.number() >> 32;
        let World { accounts, texts, rows, counts, cells, .. } = &self.world;
        group!(retry accounts: Ends => {
            for key in 0..KEYS {
                let is_new = texts.swap(&key.to_string(), &text(key, version))?.is_none();
                counts.fetch_add(0, u64::from(is_new))?;
                let gone = rows.remove_all(&row_key(key))? as u64;
                counts.fetch_sub(1, gone)?;
                let moved = accounts.pop(&key)?;
                cells.fetch_add(key as usize, moved.unwrap_or(0))?;
                accounts.add(&key, &0)?;
            }
            self.count()?;
        })
    }
}

pub(crate) fn child(_: &str, arguments: &[String]) {
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
