//! Every verb that calls the user's code, and everything that this code may do: panic, use the object, its other members or
//! another object, open groups that fail, take long, end the process, run at the end of a thread. Afterwards the object is as it was
//! before, or as it is after the verb; it is sound, nothing is locked, and other processes can change it.

mod code;
mod ends;
mod opening;
mod verbs;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use netshm::dynamic::{DynArray, DynTable};
use netshm::inspect::{Inspector, State};
use netshm::{Array, HashTable, Locking, Result, Shm, group};
use netshm_tests::{Child, Scratch};

use code::{Hand, row, with_hook};
use verbs::{ARRAYS, Members, TABLES, VERBS, Verb, any_error};

const METHODS: [Locking; 3] = [Locking::Futex, Locking::Record, Locking::None];

/// What the user's code does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Panics,
    UsesObject,
    UsesOtherObject,
    Groups,
    TakesLong,
}
use Behaviour::{Groups, Panics, TakesLong, UsesObject, UsesOtherObject};

/// Where the verb is called.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Alone,
    /// In a group, which is committed after a panic as well.
    InGroup,
    /// In a group that only operations through its argument join.
    InOwnGroup,
    InGroupOnOther,
}

const BEHAVIOURS: [Behaviour; 5] = [Panics, UsesObject, UsesOtherObject, Groups, TakesLong];
const PLACES: [Place; 4] = [Place::Alone, Place::InGroup, Place::InOwnGroup, Place::InGroupOnOther];

/// Makes changes that leave no trace, and reads. All of it works or is an error.
fn use_object(members: &Members) {
    let Members { table, array, counts, numbers, texts, bins, words, rows, elements } = members;
    if numbers.add(&900, &1).is_ok() {
        let _ = numbers.update(&900, |old| old.map(|old| old + 1));
        numbers.remove(&900).unwrap();
    }
    if table.add(&Hand(900), &row(1)).is_ok() {
        let _ = table.update(&Hand(900), |_| Some(row(2)));
        table.remove_all(&Hand(900)).unwrap();
    }
    let _ = group!(numbers => {
        words.add(900, &[1])?;
        counts.fetch_add(&Hand(900), 1)?;
        counts.remove(&Hand(900))?;
        words.remove(900)?;
    });
    let _ = (table.len(), table.find(&Hand(1)), texts.find(&1), bins.get(1), array.get(1), array.len());
    let _ = (rows.for_each(|_, _| ()), elements.len(), table.scan().count(), bins.for_each(|_, _| ()));
    let _ = (numbers.sync(), numbers.shm().trim(), numbers.check().is_ok());
}

fn use_groups(members: &Members) {
    for outer in [&members.numbers, &members.numbers.clone()] {
        let undone: Result<()> = outer.group(|| {
            members.words.clear()?;
            members.table.clear()?;
            members.bins.resize(0)?;
            Err(any_error())
        });
        undone.unwrap_err();
        let undone = catch_unwind(AssertUnwindSafe(|| {
            members.texts.group_with(|texts| {
                texts.clear()?;
                texts.with(&members.bins)?.resize(3)?;
                panic()
            })
        }));
        assert!(!matches!(undone, Ok(Ok(()))));
    }
}

/// Panics without a message.
fn panic() -> Result<()> {
    resume_unwind(Box::new("as the test wants it"))
}

/// Another process, which reads and changes the object when it is asked to.
struct Other {
    orders: Array<u64>,
    last: std::cell::Cell<u64>,
    _child: Child,
}

impl Other {
    fn start(object: &Scratch, orders: &Scratch, locking: Locking) -> Other {
        let array: Array<u64> = Array::manage(orders.open(), 0, Locking::Futex).unwrap();
        array.resize(2).unwrap();
        let arguments = [object.name().to_string(), orders.name().to_string(), format!("{locking:?}")];
        let child = Child::start("user_matrix::other", &arguments.each_ref().map(String::as_str));
        assert_eq!(child.line().as_deref(), Some("ready"));
        Other { orders: array, last: std::cell::Cell::new(0), _child: child }
    }

    /// Has it read the object, and change it if that is wanted.
    fn work(&self, changes: bool) {
        let order = (self.last.get() / 2 + 1) * 2 + u64::from(changes);
        self.last.set(order);
        self.orders.set(0, &order).unwrap();
        self.orders.wait_until(1, Some(Duration::from_secs(20)), |done| *done == order).unwrap();
    }
}

/// Plays the other process.
fn other(object: &str, orders: &str, locking: Locking) {
    let members = Members::open(&object.parse().unwrap(), locking);
    let orders: Array<u64> = Array::manage(Shm::open(orders).unwrap(), 0, Locking::Futex).unwrap();
    println!("> ready");
    let mut last = 0;
    loop {
        last = orders.wait_until(0, None, |order| *order != last).unwrap();
        if last % 2 == 0 {
            // Nothing has been committed yet.
            assert!(members.numbers.contains(&1).unwrap() && members.table.contains(&Hand(1)).unwrap());
        } else {
            let report = members.numbers.check().unwrap();
            assert!(report.is_clean(), "{report}");
            // In all stripes.
            for key in 800..808 {
                members.numbers.add(&key, &1).unwrap();
                members.table.add(&Hand(key), &row(1)).unwrap();
                members.counts.fetch_add(&Hand(key), 1).unwrap();
                members.texts.add(&key, "text").unwrap();
                members.words.add(key as i32, &[1]).unwrap();
            }
            for key in 800..808 {
                assert_eq!(members.numbers.pop(&key).unwrap(), Some(1));
                assert!(members.table.remove(&Hand(key)).unwrap());
                assert_eq!(members.counts.pop(&Hand(key)).unwrap(), Some(1));
                assert!(members.texts.remove(&key).unwrap());
                assert!(members.words.remove(key as i32).unwrap());
            }
            members.array.resize(10).unwrap();
            members.array.resize(9).unwrap();
            members.bins.resize(10).unwrap();
            members.bins.resize(9).unwrap();
        }
        orders.set(1, &last).unwrap();
    }
}

/// Handles that show all that is in an object, without calling the user's code.
struct Content(Vec<(&'static str, DynTable)>, Vec<(&'static str, DynArray)>);

impl Content {
    fn open(object: &Scratch) -> Content {
        let shm = object.open();
        let tables = TABLES.map(|name| (name, DynTable::open_member(shm.clone(), name).unwrap()));
        let arrays = ARRAYS.map(|name| (name, DynArray::open_member(shm.clone(), name).unwrap()));
        Content(tables.into(), arrays.into())
    }

    fn read(&self) -> Vec<String> {
        let mut all = Vec::new();
        for (name, table) in &self.0 {
            let from = all.len();
            table.scan().for_each(|item| all.push(format!("{name}: {:?}", item.unwrap())));
            all[from..].sort();
        }
        for (name, array) in &self.1 {
            all.push(format!("{name}: {:?}", array.scan().map(Result::unwrap).collect::<Vec<_>>()));
        }
        all
    }
}

/// Returns the rows that only one of them has.
fn differences<'a>(one: &'a [String], other: &'a [String]) -> Vec<&'a String> {
    let lack = |rows: &'a [String], others: &'a [String]| rows.iter().filter(|row| !others.contains(row));
    lack(one, other).chain(lack(other, one)).collect()
}

/// An object, and what belongs to its tests.
struct Bench {
    locking: Locking,
    object: Scratch,
    content: Content,
    members: Members,
    _beside: Scratch,
    other_object: HashTable<u64, u64>,
    other: Rc<Other>,
    _orders: Scratch,
    before: Vec<String>,
}

impl Bench {
    fn new(locking: Locking) -> Bench {
        let [object, orders, beside] = ["matrix", "matrix-orders", "matrix-beside"].map(Scratch::posix);
        let members = Members::open(object.name(), locking);
        members.fill();
        let other = Rc::new(Other::start(&object, &orders, locking));
        let other_object = HashTable::options().locking(locking).stripes(1).manage(beside.open()).unwrap();
        let content = Content::open(&object);
        let before = content.read();
        Bench { locking, object, content, members, _beside: beside, other_object, other, _orders: orders, before }
    }

    fn restore(&self) {
        self.members.fill();
    }

    /// Calls the verb. The inner result is `None` after a panic.
    fn call(&self, verb: &Verb, place: Place) -> Option<Result<()>> {
        let caught = |members: &Members| catch_unwind(AssertUnwindSafe(|| (verb.run)(members))).ok();
        let members = &self.members;
        match place {
            Place::Alone => caught(members),
            Place::InGroup => group!(members.numbers => caught(members)).unwrap(),
            Place::InGroupOnOther => {
                let other = &self.other_object;
                group!(other => { other.replace(&1, &1)?; caught(members) }).unwrap()
            }
            Place::InOwnGroup => members
                .numbers
                .group_with(|numbers| {
                    let joined = Members {
                        table: numbers.with(&members.table)?.clone(),
                        array: numbers.with(&members.array)?.clone(),
                        counts: numbers.with(&members.counts)?.clone(),
                        numbers: (**numbers).clone(),
                        texts: numbers.with(&members.texts)?.clone(),
                        bins: numbers.with(&members.bins)?.clone(),
                        words: numbers.with(&members.words)?.clone(),
                        rows: members.rows.clone(),
                        elements: members.elements.clone(),
                    };
                    Ok::<_, netshm::Error>(caught(&joined))
                })
                .unwrap(),
        }
    }

    fn hook(&self, behaviour: Behaviour) -> Box<dyn Fn()> {
        let members = self.members.clone();
        match behaviour {
            Panics => Box::new(|| drop(panic())),
            UsesObject => Box::new(move || use_object(&members)),
            UsesOtherObject => {
                let other = self.other_object.clone();
                Box::new(move || {
                    other.add(&2, &2).unwrap();
                    assert_eq!(other.update(&2, |old| old).unwrap(), Some(2));
                    group!(other => other.remove(&2)?).unwrap();
                })
            }
            Groups => Box::new(move || use_groups(&members)),
            TakesLong => {
                let other = self.other.clone();
                Box::new(move || other.work(false))
            }
        }
    }

    /// Calls a verb, the n-th call of the user's code by which does something. Returns the number of calls.
    fn case(&self, verb: &Verb, behaviour: Behaviour, place: Place, call: u32) -> u32 {
        let what = Case { verb: verb.name, behaviour, place, call, locking: self.locking };
        // What it does if the user's code does nothing.
        let (plain, calls) = with_hook(0, Box::new(|| ()), || self.call(verb, place));
        let plain = plain.unwrap_or_else(|| panic!("{what}: a panic"));
        assert!(plain.is_ok() || place != Place::Alone, "{what}: {plain:?}");
        let after = self.content.read();
        if after != self.before {
            self.restore();
        }
        let (outcome, _) = with_hook(call, self.hook(behaviour), || self.call(verb, place));
        let found = self.content.read();
        match &outcome {
            Some(Ok(())) => {
                assert!(plain.is_ok(), "{what}: Ok instead of {plain:?}");
                assert_eq!(differences(&after, &found), [""; 0], "{what}");
            }
            Some(Err(error)) => {
                assert!(plain.is_err(), "{what}: {error:?}");
                assert_eq!(differences(&self.before, &found), [""; 0], "{what}");
            }
            None => {
                assert_eq!(behaviour, Panics, "{what}: a panic");
                assert!(verb.in_parts || found == self.before, "{what}: {:#?}", differences(&self.before, &found));
            }
        }
        self.check(&what);
        if found != self.before {
            self.restore();
        }
        calls
    }

    /// Checks that nothing is left of what was done.
    fn check(&self, what: &dyn fmt::Display) {
        let seen = Inspector::open(self.object.name()).unwrap().look().unwrap();
        assert!(seen.holds.is_empty() && seen.state == State::InUse, "{what}: {seen:#?}");
        assert_eq!(self.other_object.len().unwrap(), usize::from(self.other_object.contains(&1).unwrap()), "{what}");
        self.other.work(true);
    }
}

struct Case {
    verb: &'static str,
    behaviour: Behaviour,
    place: Place,
    call: u32,
    locking: Locking,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { verb, behaviour, place, call, locking } = self;
        write!(f, "{verb} ({place:?}, {locking:?}): call {call} {behaviour:?}")
    }
}

/// Returns whether every call is to be tried, everywhere.
fn is_long() -> bool {
    std::env::var_os("NETSHM_EVERY_CALL").is_some()
}

#[test]
fn whatever_the_code_does() {
    for (number, locking) in METHODS.into_iter().enumerate() {
        let bench = Bench::new(locking);
        for (turn, verb) in VERBS.iter().enumerate() {
            if is_long() {
                for (place, behaviour) in PLACES.into_iter().flat_map(|place| BEHAVIOURS.map(|each| (place, each))) {
                    let calls = bench.case(verb, behaviour, place, 1);
                    (2..=calls).for_each(|call| {
                        bench.case(verb, behaviour, place, call);
                    });
                }
            } else if turn % METHODS.len() == number {
                // Once or twice, at one of the calls.
                let calls = bench.case(verb, Panics, PLACES[turn % 4], 1 + turn as u32 % 3);
                bench.case(verb, BEHAVIOURS[1 + turn / 4 % 4], PLACES[turn / 16 % 4], 1 + turn as u32 % calls.max(1));
            }
        }
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    match part {
        "other" => other(&arguments[0], &arguments[1], method(&arguments[2])),
        _ => ends::child(part, arguments),
    }
}

/// Returns the method of that name.
fn method(name: &str) -> Locking {
    *METHODS.iter().find(|method| format!("{method:?}") == name).unwrap()
}
