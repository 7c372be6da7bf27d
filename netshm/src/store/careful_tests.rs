//! Readers that follow words after these have become others, which lead into holes: at each step of each kind of reading.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::open::holes;
use crate::array::Array;
use crate::dynamic::{DynTable, Value};
use crate::error::{Error, Result};
use crate::hash_table::HashTable;
use crate::layout::method::Locking;
use crate::os::file;
use crate::shm::Shm;
use crate::source::tests::{lead, lead_rightly};
use crate::testing::Scratch;

type Texts = HashTable<u64, Vec<u8>>;
type Pairs = HashTable<u64, u64>;

/// Index of an element that a directory of one level does not reach.
const FAR: usize = 100_000;
/// Enough for overflow buckets, and for a second segment of the log.
const KEYS: u64 = 24;
const WAIT: Duration = Duration::from_secs(60);

/// Tables and arrays of all forms in one object.
#[derive(Clone)]
struct Members {
    texts: Texts,
    pairs: Pairs,
    numbers: Array<u64>,
    names: Array<String>,
}

/// A reading and its name; it returns what it has read.
type Named = (&'static str, Box<dyn Fn() -> String>);

impl Members {
    fn open(shm: &Shm) -> Members {
        let texts = Texts::options().named("texts").locking(Locking::Futex).stripes(1).init(1);
        let pairs = Pairs::options().named("pairs").stripes(1).init(1);
        let numbers = Array::options().named("numbers").stripes(1);
        let names = Array::options().named("names").stripes(1);
        Members {
            texts: texts.manage(shm.clone()).unwrap(),
            pairs: pairs.manage(shm.clone()).unwrap(),
            numbers: numbers.manage(shm.clone(), 0).unwrap(),
            names: names.manage(shm.clone(), String::new()).unwrap(),
        }
    }

    /// Fills them, and leaves holes.
    fn filled(scratch: &Scratch) -> Members {
        let shm = Shm::options().create(true).open(&scratch.name()).unwrap();
        let members = Members::open(&shm);
        let Members { texts, pairs, numbers, names } = &members;
        numbers.resize(2 * FAR).unwrap();
        names.resize(1000).unwrap();
        for key in 0..KEYS {
            texts.add(&key, &vec![1; 50]).unwrap();
            pairs.add(&key, &key).unwrap();
        }
        for value in [7, 8] {
            texts.add(&1, &vec![value; 60]).unwrap();
            pairs.add(&1, &value.into()).unwrap();
        }
        for index in [0, 5, FAR] {
            numbers.set(index, &3).unwrap();
        }
        (0..KEYS as usize).for_each(|index| names.set(index, "a name").unwrap());
        texts.add(&1000, &vec![1; 1_000_000]).unwrap();
        assert!(texts.remove(&1000).unwrap());
        assert!(shm.trim().unwrap() > 900_000);
        // Makes room in what the following changes need.
        members.change();
        members
    }

    /// Changes all of them, in place.
    fn change(&self) {
        self.texts.replace(&0, &vec![1; 50]).unwrap();
        self.pairs.replace(&0, &0).unwrap();
        self.numbers.set(5, &3).unwrap();
        self.names.set(0, "a name").unwrap();
    }

    /// Begins a group in another thread, which changes much, until it is told to end, and then undoes it.
    fn begin_group(&self) -> Group {
        let members = self.clone();
        let (end, told) = sync_channel::<()>(1);
        let (tell, begun) = sync_channel(1);
        let thread = thread::spawn(move || {
            let Members { texts, pairs, numbers, names } = &members;
            let undone: Result<()> = texts.group(|| {
                for key in 0..KEYS {
                    texts.replace(&key, &vec![2; 50])?;
                    pairs.replace(&key, &99)?;
                    names.set(key as usize, "another")?;
                }
                numbers.set_range(0..200, &[4; 200])?;
                numbers.set(FAR, &4)?;
                tell.send(()).unwrap();
                told.recv_timeout(WAIT).unwrap();
                Err(Error::Forked { object: "any error".into() })
            });
            assert!(matches!(undone, Err(Error::Forked { .. })), "{undone:?}");
        });
        Group { end, begun, thread }
    }

    /// Reads in all ways, each shown as a text.
    fn readings(&self) -> Vec<Named> {
        macro_rules! readings {
            ($($name:literal: |$members:ident| $reading:expr),+ $(,)?) => {
                vec![$({
                    let $members = self.clone();
                    ($name, Box::new(move || format!("{:?}", $reading)) as Box<dyn Fn() -> String>)
                }),+]
            };
        }
        readings! {
            "find a text": |m| m.texts.find(&0).unwrap(),
            "a text that is missing": |m| m.texts.find(&999).unwrap(),
            "all texts of a key": |m| m.texts.find_all(&1).unwrap(),
            "many texts": |m| m.texts.find_many(&[0, 1, 2, 999]).unwrap(),
            "view a text": |m| m.texts.find_with(&1, |text| text.len()).unwrap(),
            "contains": |m| m.texts.contains(&3).unwrap(),
            "scan texts": |m| m.texts.scan().map(Result::unwrap).count(),
            "keys": |m| m.texts.keys().map(Result::unwrap).sum::<u64>(),
            "length": |m| m.texts.len().unwrap(),
            "find a pair": |m| m.pairs.find(&2).unwrap(),
            "a stack": |m| m.pairs.find(&1).unwrap(),
            "all of a stack": |m| m.pairs.find_all(&1).unwrap(),
            "many pairs": |m| m.pairs.find_many(&[0, 1, 2, 999]).unwrap(),
            "scan pairs": |m| m.pairs.scan().map(|pair| pair.unwrap().1).sum::<u64>(),
            "an element": |m| m.numbers.get(5).unwrap(),
            "a far one": |m| m.numbers.get(FAR).unwrap(),
            "many elements": |m| m.numbers.get_many([0, 5, FAR, FAR + 1000]).unwrap(),
            "a range": |m| {
                let mut range = [0; 10];
                m.numbers.read_range(0..10, &mut range).unwrap();
                range
            },
            "what is written": |m| m.numbers.written().unwrap(),
            "a name": |m| m.names.get(3).unwrap(),
            "all names": |m| m.names.scan().map(|name| name.unwrap().len()).sum::<usize>(),
            "without types": |m| {
                let table = DynTable::open_member(m.texts.shm().clone(), "texts").unwrap();
                (table.find(&Value::UInt(1)).unwrap().is_some(), table.scan().map(Result::unwrap).count())
            },
        }
    }
}

struct Group {
    end: SyncSender<()>,
    begun: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Group {
    fn wait(self) -> Group {
        self.begun.recv_timeout(WAIT).unwrap();
        self
    }

    fn end(self) {
        self.end.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn allocated(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().blocks()
}

/// Reads in each way, and lets each step in turn lead into a hole, just after `begin` has given something and that has been dealt with
/// by `end`.
fn each_step_leads_into_a_hole<B: 'static>(read_only: bool, begin: fn(&Members) -> B, end: fn(&Members, B)) {
    let scratch = Scratch::new();
    let writer = Members::filled(&scratch);
    let store = &writer.texts.handle().store;
    if !file::holes_take_memory(store.region().object().fd()) {
        println!("skipped: the object is not in memory");
        return;
    }
    let hole = holes::of(store.region().object(), store.geometry()).unwrap()[0];
    let within = hole.start + (hole.end - hole.start) / 2;
    let reader = match read_only {
        true => Members::open(&Shm::options().read_only(true).open(&scratch.name()).unwrap()),
        false => writer.clone(),
    };
    for (name, reading) in reader.readings() {
        let expected = reading();
        for step in (0_u32..).filter(|step| *step < 8 || step.is_multiple_of(7)) {
            let begun = Cell::new(Some(begin(&writer)));
            let (left, is_over) = (Cell::new(step), Rc::new(Cell::new(false)));
            let (members, has_led) = (writer.clone(), is_over.clone());
            let before = allocated(&scratch.0);
            let begun = Rc::new(begun);
            let at_hand = begun.clone();
            lead(move |offset| {
                if has_led.get() || left.replace(left.get().saturating_sub(1)) > 0 {
                    return offset;
                }
                has_led.set(true);
                if let Some(begun) = at_hand.take() {
                    end(&members, begun);
                }
                within
            });
            let found = reading();
            lead_rightly();
            assert_eq!(found, expected, "{name}, step {step}");
            assert_eq!(allocated(&scratch.0), before, "{name}, step {step}: a hole has been read");
            if let Some(begun) = begun.take() {
                end(&writer, begun);
            }
            if !is_over.get() {
                assert!(step > 0 || name == "length", "{name} follows no word");
                break;
            }
        }
    }
    assert!(writer.texts.check().unwrap().is_clean());
}

/// A copy has holes where the object has free runs, and may be opened by readers first.
#[test]
fn readers_of_a_copy_are_careful_from_the_beginning() {
    let scratch = Scratch::new();
    let shm = Shm::options().create(true).open(&scratch.name()).unwrap();
    let texts = Members::open(&shm).texts;
    texts.add(&1, &vec![1; 1_000_000]).unwrap();
    texts.add(&2, &vec![1; 50]).unwrap();
    assert!(texts.remove(&1).unwrap());
    let is_careful = |shm: &Shm| Members::open(shm).texts.handle().store.is_read_with_care();
    assert!(!is_careful(&shm));
    let copy = Scratch::empty();
    std::fs::remove_file(&copy.0).unwrap();
    shm.copy_to(copy.name()).unwrap();
    let reader = Shm::options().read_only(true).open(&copy.name()).unwrap();
    let may_harm = file::holes_take_memory(Members::open(&reader).texts.handle().store.region().object().fd());
    assert_eq!(is_careful(&reader), may_harm);
    drop(reader);
    // Who has it alone finds the holes.
    let writer = Shm::open(copy.name()).unwrap();
    assert_eq!(is_careful(&writer), may_harm);
}

/// A copy by other means is as sparse as the object was on a disk, where nobody has asked readers for care. One that is being read already
/// when it is first opened for writing gets its memory then.
#[test]
fn readers_of_a_sparse_copy_meet_no_holes_beside_writers() {
    let scratch = Scratch::new();
    let original = Members::filled(&scratch);
    original.texts.handle().store.set_care(false);
    let copy = sparse_copy(&scratch);
    original.texts.handle().store.set_care(true);
    let reader = Members::open(&Shm::options().read_only(true).open(&copy.name()).unwrap());
    let object = reader.texts.handle().store.region().object();
    if !file::holes_take_memory(object.fd()) {
        println!("skipped: the object is not in memory");
        return;
    }
    let holes = holes::of(object, reader.texts.handle().store.geometry()).unwrap();
    let hollow = holes.iter().map(|hole| hole.end - hole.start).sum::<u64>();
    assert!(hollow > 900_000);
    let before = allocated(&copy.0);
    let writer = Members::open(&Shm::open(copy.name()).unwrap());
    assert!(allocated(&copy.0) >= before + hollow / 512);
    writer.change();
    assert!(writer.texts.check().unwrap().is_clean());
}

/// Copies an object page by page, but for zeros.
fn sparse_copy(from: &Scratch) -> Scratch {
    let copy = Scratch::empty();
    let (bytes, file) = (std::fs::read(&from.0).unwrap(), copy.file());
    for (place, page) in
        (0..).step_by(4096).zip(bytes.chunks(4096)).filter(|(_, page)| page.iter().any(|byte| *byte != 0))
    {
        file::write_at(file.as_fd(), page, place).unwrap();
    }
    file.set_len(bytes.len() as u64).unwrap();
    copy
}

/// Where there is no memory for them, holes raise SIGBUS when they are read.
#[test]
fn a_sparse_copy_has_its_memory_when_it_is_read() {
    let scratch = Scratch::new();
    let shm = Shm::options().create(true).open(&scratch.name()).unwrap();
    let zeros: Texts = Texts::options().stripes(1).manage(shm).unwrap();
    zeros.add(&1, &vec![0; 1_000_000]).unwrap();
    // Otherwise the copy is checked at opening, which reads all of it.
    zeros.sync().unwrap();
    drop(zeros);
    let copy = sparse_copy(&scratch);
    let was = allocated(&copy.0);
    let reader = Shm::options().read_only(true).open(&copy.name()).unwrap();
    let reader: Texts = Texts::options().manage(reader).unwrap();
    let region = reader.handle().store.region();
    if !region.is_in_memory() || !region.is_looked_at() {
        println!("skipped: the object is not in memory, or the kernel is old");
        return;
    }
    let before = allocated(&copy.0);
    assert!(before >= was + 1000, "{was} {before}");
    assert_eq!(reader.find(&1).unwrap(), Some(vec![0; 1_000_000]));
    assert_eq!(allocated(&copy.0), before);
}

#[test]
fn a_word_that_has_changed_leads_into_a_hole() {
    let change = |members: &Members, ()| {
        let members = members.clone();
        thread::spawn(move || members.change()).join().unwrap();
    };
    each_step_leads_into_a_hole(false, |_| (), change);
    each_step_leads_into_a_hole(true, |_| (), change);
}

#[test]
fn a_word_read_past_a_change_that_has_ended_leads_into_a_hole() {
    for read_only in [false, true] {
        each_step_leads_into_a_hole(read_only, |members| members.begin_group().wait(), |_, group| group.end());
    }
}
