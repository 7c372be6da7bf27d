//! Objects that cannot grow: at their maximum size, at a limit of the process, on a full file system. What fails changes
//! nothing, what was stored is still there, removal makes room, and no signal is raised.

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use netshm::{Array, Error, HashTable, Locking, Report, Result, Shm, ShmName, Table};
use netshm_tests::{Child, Directory, Scratch};

const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

/// An object that is filled; things have a number and a size.
trait Vessel: Sized {
    /// Limit on the number of items of the largest sizes that fill it; more would mean that nothing ever ends.
    const MOST: u64 = 1_000_000;

    fn open(shm: Shm, locking: Locking, max_size: u64) -> Result<Self>;
    fn put(&self, thing: u64, size: usize) -> Result<()>;
    fn size(&self, thing: u64) -> Result<Option<usize>>;
    fn take(&self, thing: u64) -> Result<()>;
    fn empty(&self) -> Result<()>;
    fn group(&self, body: impl FnOnce() -> Result<()>) -> Result<()>;
    fn check(&self) -> Result<Report>;
}

static ASCII: LazyLock<Vec<u8>> = LazyLock::new(|| (0..128).collect());

/// Returns the bytes of a thing.
fn bytes(thing: u64, size: usize) -> Vec<u8> {
    let first = thing as usize * 7 % 128;
    ASCII.repeat(size / 128 + 2)[first..first + size].to_vec()
}

/// Returns the size of a thing, whose bytes must be its own.
#[track_caller]
fn verified(thing: u64, found: Option<Vec<u8>>) -> Option<usize> {
    let found = found?;
    assert!(found == bytes(thing, found.len()), "thing {thing} of {} bytes is damaged", found.len());
    Some(found.len())
}

fn words(bytes: &[u8]) -> Vec<i32> {
    bytes.iter().map(|&byte| i32::from(byte)).collect()
}

macro_rules! vessel {
    ($object:ty, ($($default:expr)?), |$this:ident, $thing:ident, $size:ident| $put:expr, $get:expr, $take:expr, $empty:expr) => {
        impl Vessel for $object {
            fn open(shm: Shm, locking: Locking, max_size: u64) -> Result<Self> {
                Self::options().locking(locking).init(16).stripes(8).pagesize(256).max_size(max_size).manage(shm $(, $default)?)
            }
            fn put(&self, $thing: u64, $size: usize) -> Result<()> {
                let $this = self;
                $put
            }
            fn size(&self, $thing: u64) -> Result<Option<usize>> {
                let $this = self;
                Ok(verified($thing, $get))
            }
            fn take(&self, $thing: u64) -> Result<()> {
                let $this = self;
                $take
            }
            fn empty(&self) -> Result<()> {
                let $this = self;
                $empty
            }
            fn group(&self, body: impl FnOnce() -> Result<()>) -> Result<()> {
                self.group(body)
            }
            fn check(&self) -> Result<Report> {
                self.check()
            }
        }
    };
}

fn text(thing: u64, size: usize) -> String {
    String::from_utf8(bytes(thing, size)).expect("ASCII")
}

/// Keys of one word and of several.
fn key(thing: u64) -> String {
    format!("{thing}{}", "-".repeat(thing as usize * 7 % 50))
}

vessel!(
    HashTable<String, String>, (),
    |tab, thing, size| tab.replace(&key(thing), &text(thing, size)),
    tab.find(&key(thing))?.map(String::into_bytes),
    tab.remove(&key(thing)).map(drop),
    tab.clear()
);
vessel!(
    Table,
    (),
    |tab, thing, size| tab.replace(thing as i32, &words(&bytes(thing, size))),
    tab.find(thing as i32)?.map(|words| words.into_iter().map(|word| word as u8).collect()),
    tab.pop(thing as i32).map(drop),
    tab.clear()
);
vessel!(
    Array<String>,
    (String::new()),
    |array, thing, size| {
        if array.len()? <= thing as usize {
            array.resize(1 << 20)?;
        }
        array.set(thing as usize, &text(thing, size))
    },
    Some(array.get(thing as usize)?.into_bytes()).filter(|bytes| !bytes.is_empty()),
    array.set(thing as usize, ""),
    array.resize(0)
);

// Pairs are small, so a thing is its size under one key, and another pair for each further 16 bytes.
vessel!(
    HashTable<u64, u64>, (),
    |tab, thing, size| tab.group(|| {
        let old = tab.find(&(thing << 32))?.map_or(0, |old| 1 + old / 16);
        (0..=size as u64 / 16).try_for_each(|at| tab.replace(&(thing << 32 | at), &(size as u64 + at)))?;
        (1 + size as u64 / 16..old).try_for_each(|at| tab.remove(&(thing << 32 | at)).map(drop))
    }),
    match tab.find(&(thing << 32))? {
        None => None,
        Some(size) => {
            // Some of them, for time.
            for at in (0..=size / 16).step_by(9) {
                assert_eq!(tab.find(&(thing << 32 | at))?, Some(size + at), "thing {thing} is damaged");
            }
            Some(bytes(thing, size as usize))
        }
    },
    tab.group(|| {
        let pairs = tab.find(&(thing << 32))?.map_or(0, |size| 1 + size / 16);
        (0..pairs).try_for_each(|at| tab.remove(&(thing << 32 | at)).map(drop))
    }),
    tab.clear()
);

/// Elements that lie in one piece of memory, and those that a thing has for itself.
const CHUNK: usize = 256;
const OWN: usize = 2048 * CHUNK;

// Numbers take memory chunk by chunk, so a thing is its size in one element, and another one in each further chunk.
vessel!(
    Array<u64>,
    (0),
    |array, thing, size| {
        if array.is_empty()? {
            array.resize(1 << 40)?;
        }
        let start = thing as usize * OWN;
        array.group(|| (0..=size / 8 / CHUNK).try_for_each(|at| array.set(start + at * CHUNK, &((size + at) as u64))))
    },
    {
        let start = thing as usize * OWN;
        let size = if array.is_empty()? { 0 } else { array.get(start)? as usize };
        for at in 0..=size / 8 / CHUNK {
            assert_eq!(array.get(start + at * CHUNK)?, (size + at) as u64, "thing {thing} is damaged");
        }
        Some(bytes(thing, size)).filter(|bytes| !bytes.is_empty())
    },
    array.set(thing as usize * OWN, &0),
    array.resize(0)
);

/// Sizes of things: of several pages, a part of one, and few bytes for the last gaps.
const SIZES: [usize; 3] = [3000, 300, 40];

/// Items that an object took and did not take, with their sizes.
struct Filled {
    stored: Vec<(u64, usize)>,
    refused: Vec<(u64, usize)>,
}

/// Puts things into the object until some of each size were refused, wherever their place would have been.
fn fill<V: Vessel>(vessel: &V, first: u64, full: fn(&Error) -> bool) -> Filled {
    let mut filled = Filled { stored: Vec::new(), refused: Vec::new() };
    let mut thing = first;
    for size in SIZES {
        let enough = filled.refused.len() + 20;
        while filled.refused.len() < enough {
            match vessel.put(thing, size) {
                Ok(()) => filled.stored.push((thing, size)),
                Err(error) => {
                    assert!(full(&error), "{error:?}");
                    filled.refused.push((thing, size));
                }
            }
            thing += 1;
            assert!(thing - first < V::MOST, "the object grows beyond every limit");
        }
    }
    filled
}

#[track_caller]
fn assert_holds(vessel: &impl Vessel, stored: &[(u64, usize)]) -> Report {
    for &(thing, size) in stored {
        assert_eq!(vessel.size(thing).unwrap(), Some(size), "thing {thing}");
    }
    let report = vessel.check().unwrap();
    assert!(report.is_clean(), "{report}");
    report
}

/// Returns what must be the same after a failure, logs and what belongs to them apart.
fn content(report: &Report) -> impl PartialEq + Debug {
    (report.keys, report.bindings, report.used, report.index, report.lost)
}

/// Fills an object, which says `full` in the end, and goes on with it.
fn fill_and_empty<V: Vessel>(vessel: &V, full: fn(&Error) -> bool) {
    let Filled { mut stored, mut refused } = fill(vessel, 0, full);
    assert!(stored.len() > 40, "{} things", stored.len());

    // What fails changes nothing: new things, larger ones in the place of others, and whole groups. Some things that were
    // refused may find room at last, where others that came later have made the index grow.
    let before = loop {
        let before = assert_holds(vessel, &stored);
        let outcome = refused.iter().map(|&(thing, size)| match vessel.put(thing, size) {
            Ok(()) => true,
            Err(error) => {
                assert!(full(&error), "{error:?}");
                assert_eq!(vessel.size(thing).unwrap(), None);
                false
            }
        });
        let outcome: Vec<bool> = outcome.collect();
        if !outcome.contains(&true) {
            break before;
        }
        let (late, still): (Vec<_>, Vec<_>) = refused.iter().zip(outcome).partition(|(_, put)| *put);
        stored.extend(late.iter().map(|(thing, _)| **thing));
        refused = still.iter().map(|(thing, _)| **thing).collect();
    };
    let unknown = 1 + stored.iter().chain(&refused).map(|(thing, _)| *thing).max().unwrap_or(0);
    assert!(full(&vessel.put(0, 200_000).unwrap_err()));
    assert_eq!(content(&assert_holds(vessel, &stored)), content(&before));
    let outcome = vessel.group(|| {
        for &(thing, _) in &stored[10..30] {
            vessel.take(thing)?;
        }
        for &(thing, size) in &stored[stored.len() - 10..] {
            vessel.put(thing, size - 1)?;
        }
        (unknown..).try_for_each(|thing| vessel.put(thing, 2000))
    });
    assert!(full(&outcome.unwrap_err()));
    assert_eq!(content(&assert_holds(vessel, &stored)), content(&before));

    // A part of a group that fails leaves the rest of the group as it is.
    vessel
        .group(|| {
            vessel.take(0)?;
            let inner = vessel.group(|| {
                vessel.take(1)?;
                vessel.put(1, 3_000_000)
            });
            assert!(full(&inner.unwrap_err()));
            vessel.take(2)
        })
        .unwrap();
    assert_eq!((vessel.size(0).unwrap(), vessel.size(2).unwrap()), (None, None));
    assert_holds(vessel, &stored[3..]);
    assert_eq!(vessel.size(1).unwrap(), Some(SIZES[0]));
    for &(thing, _) in &stored[3..8] {
        vessel.take(thing).unwrap();
    }
    vessel.put(0, SIZES[0]).unwrap();
    let stored: Vec<_> = stored.iter().copied().filter(|(thing, _)| ![2, 3, 4, 5, 6, 7].contains(thing)).collect();
    assert_holds(vessel, &stored);

    // Removal makes room.
    let (gone, kept): (Vec<_>, Vec<_>) = stored.iter().partition(|(thing, _)| thing % 3 != 0);
    for &(thing, _) in &gone {
        vessel.take(thing).unwrap();
        assert_eq!(vessel.size(thing).unwrap(), None);
    }
    assert_holds(vessel, &kept);
    // Free memory lies in pieces, of which not each thing finds one that is large enough.
    let again = &gone[..gone.len() / 2];
    let put = again.iter().filter(|&&(thing, size)| match vessel.put(thing, size) {
        Ok(()) => true,
        Err(error) => {
            assert!(full(&error), "{error:?}");
            false
        }
    });
    let put = put.count();
    assert!(put > again.len() / 2, "room for {put} of {}", again.len());
    assert_holds(vessel, &kept);

    // Full once more, then emptied as a whole.
    drop(fill(vessel, unknown, full));
    assert_holds(vessel, &kept);
    vessel.empty().unwrap();
    assert!(assert_holds(vessel, &[]).used < before.used / 10);
    let again = fill(vessel, 0, full).stored;
    assert_holds(vessel, &again);
    let size = |things: &[(u64, usize)]| things.iter().map(|(_, size)| size).sum::<usize>();
    assert!(size(&again) > size(&stored) / 2, "{} bytes after {}", size(&again), size(&stored));
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::Full { .. })
}

fn is_no_space(error: &Error) -> bool {
    matches!(error, Error::NoSpace { .. })
}

fn maximum_size<V: Vessel>() {
    for locking in METHODS {
        let object = Scratch::posix("full-maximum");
        let vessel = V::open(object.open(), locking, 3 << 18).unwrap();
        fill_and_empty(&vessel, is_full);
        assert!(object.open().size().unwrap() <= 3 << 18);
    }
}

/// Lets children fill an object of that kind, one by each method.
fn in_children(kind: &str, place: &str, limited: impl Fn() -> Command) {
    for locking in METHODS {
        let mut command = limited();
        command.arg(std::env::current_exe().unwrap());
        let child = Child::start_under(command, &format!("full_object::{kind}"), &[&locking.to_string(), place]);
        assert_eq!(child.line().as_deref(), Some("done"), "{kind} {locking}");
        child.succeed();
    }
}

fn limit_of_the_process(kind: &str) {
    // In units of 512 bytes. Crossing it would raise SIGXFSZ.
    in_children(kind, "limit", || {
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -f 14000; exec "$@""#, "sh"]);
        command
    });
}

fn full_file_system(kind: &str) {
    let directory = Directory::new(&format!("full-{kind}"));
    // Mounted where only the child sees it, so it goes with the child.
    let mounted = |size: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
        command.arg(format!(r#"mount -t tmpfs -o size={size} netshm "$0" && exec "$@""#)).arg(directory.path());
        command
    };
    let possible = mounted("1m").arg("true").output().is_ok_and(|output| output.status.success());
    if !possible {
        println!("skipped: no file system can be mounted here, not even in a namespace of one's own");
        return;
    }
    in_children(kind, directory.text(), || mounted("16m"));
}

fn fill_place<V: Vessel>(locking: Locking, place: &str) {
    if place == "limit" {
        let object = Scratch::posix("full-limit");
        fill_and_empty(&V::open(object.open(), locking, 1 << 30).unwrap(), is_no_space);
        return;
    }
    let place = Path::new(place);
    let name = ShmName::file(place.join("object")).unwrap();
    let open = || V::open(Shm::options().create(true).open(&name)?, locking, 1 << 30);
    // Not even the empty object has room; when there is, it is created all the same.
    let other = place.join("other");
    let room = |bytes: usize| {
        fs::remove_file(&other).unwrap();
        fs::write(&other, vec![1; bytes]).unwrap();
    };
    fs::write(&other, "").unwrap();
    room((16 << 20) - 8192);
    let Err(error) = open() else { panic!("there is no room") };
    assert!(is_no_space(&error), "{error:?}");
    room(15 << 20);
    let vessel = open().unwrap();
    let Filled { stored, refused } = fill(&vessel, 0, is_no_space);
    assert_holds(&vessel, &stored);
    // Nor has a copy room, and nothing is left of it; elsewhere it has.
    let shm = Shm::open(&name).unwrap();
    let error = shm.copy_to(ShmName::file(place.join("copy")).unwrap()).unwrap_err();
    assert!(is_no_space(&error), "{error:?}");
    assert_eq!(fs::read_dir(place).unwrap().count(), 2);
    let copy = Scratch::posix("full-copy");
    shm.copy_to(copy.name()).unwrap();
    assert_holds(&V::open(copy.open(), locking, 1 << 30).unwrap(), &stored);
    // Somebody else makes room: enough for a new segment of the index in each stripe.
    let (thing, size) = refused[0];
    assert!(is_no_space(&vessel.put(thing, size).unwrap_err()));
    room((15 << 20) - (1 << 19));
    vessel.put(thing, size).unwrap();
    // So it has room for everything that comes now.
    vessel.empty().unwrap();
    fill_and_empty(&vessel, is_no_space);
}

macro_rules! tests {
    ($($kind:ident: $vessel:ty;)*) => {
        pub(crate) fn child(kind: &str, arguments: &[String]) {
            let [locking, place] = arguments else { panic!("two arguments") };
            let locking = METHODS.into_iter().find(|method| method.to_string() == *locking).unwrap();
            match kind {
                $(stringify!($kind) => fill_place::<$vessel>(locking, place),)*
                other => panic!("no such kind: {other}"),
            }
            println!("> done");
        }

        $(mod $kind {
            use super::*;

            #[test]
            fn at_its_maximum_size() {
                maximum_size::<$vessel>();
            }

            #[test]
            fn at_a_limit_of_the_process() {
                limit_of_the_process(stringify!($kind));
            }

            #[test]
            fn on_a_full_file_system() {
                full_file_system(stringify!($kind));
            }
        })*
    };
}

tests! {
    hash_table: HashTable<String, String>;
    pairs: HashTable<u64, u64>;
    table: Table;
    array_of_numbers: Array<u64>;
    array_of_texts: Array<String>;
}
