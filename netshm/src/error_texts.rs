//! Each error, provoked, and its text as people read it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::time::Duration;

use crate::array::Array;
use crate::data::DataManager;
use crate::error::{Error, Result};
use crate::group;
use crate::hash_table::HashTable;
use crate::layout::PROCESSES;
use crate::layout::method::Locking;
use crate::name::ShmName;
use crate::os::fork::tests::status_of_child;
use crate::os::lock::{self, LockKind, bytes};
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::Scratch;

type Counts = HashTable<String, u64>;

impl Scratch {
    fn counts(&self, locking: Locking) -> Counts {
        Counts::options().locking(locking).stripes(1).slots(8).manage(self.open()).unwrap()
    }

    /// Returns the error's text, with the object's name replaced by a short one.
    #[track_caller]
    fn text<T>(&self, outcome: Result<T>) -> String {
        let Err(error) = outcome else { panic!("no error") };
        error.to_string().replace(&self.name().to_string(), "posix:/x")
    }

    /// Returns the error's text in a forked child.
    fn text_in_child<T>(&self, outcome: impl FnOnce() -> Result<T>) -> String {
        let answer = Scratch::new();
        assert_eq!(
            status_of_child(|| {
                let text = outcome().map_or_else(|error| error.to_string(), |_| "no error".to_owned());
                i32::from(fs::write(&answer.0, text).is_err())
            }),
            0
        );
        fs::read_to_string(&answer.0).unwrap().replace(&self.name().to_string(), "posix:/x")
    }
}

#[test]
fn io() {
    let x = Scratch::new();
    assert_eq!(
        x.text(Shm::open(x.name())),
        "posix:/x: opening it (option `create` is not set): No such file or directory (os error 2)"
    );
}

#[test]
fn invalid_name() {
    let x = Scratch::new();
    let text = x.text("posix:sample".parse::<ShmName>());
    assert_eq!(
        text,
        "\"posix:sample\" is not a name of a shared object: a POSIX name begins with a slash, as in `posix:/sample`"
    );
}

#[test]
fn invalid_option() {
    let x = Scratch::new();
    let text = x.text(Counts::options().pagesize(100).manage(x.open()));
    assert_eq!(text, "option `pagesize` cannot be 100: it must be between 256 and 1048576");
}

#[test]
fn deadlock() {
    let x = Scratch::new();
    // Each element of an array lies in a stripe of its own here.
    let array: Array<u64> = Array::options().locking(Locking::Futex).stripes(2).manage(x.open(), 0).unwrap();
    array.resize(1000).unwrap();
    let barrier = Barrier::new(2);
    let take = |first: usize, second: usize| {
        group!(array => {
            array.set(first, &1)?;
            barrier.wait();
            array.set(second, &1)?;
        })
    };
    let texts: Vec<_> = std::thread::scope(|scope| {
        let threads = [scope.spawn(|| take(0, 256)), scope.spawn(|| take(256, 0))];
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(Result::is_err).map(|e| x.text(e)).collect()
    });
    let [text] = &texts[..] else { panic!("{texts:?}") };
    let pid = std::process::id();
    let victim = |mine, other| {
        format!(
            "posix:/x: deadlock: waits for stripe {other}, held by process {pid}, which waits for stripe {mine}, held \
             by process {pid} itself; the group was rolled back, run it again"
        )
    };
    assert!([victim(1, 2), victim(2, 1)].contains(text), "{text}");
}

#[test]
fn lock_timeout() {
    let x = Scratch::new();
    let options = Counts::options().locking(Locking::Futex).stripes(1).lock_timeout(Duration::from_millis(5));
    let table = options.manage(x.open()).unwrap();
    let text = table
        .group(|| -> Result<_> {
            table.add("k", &1)?;
            Ok(std::thread::scope(|scope| scope.spawn(|| x.text(table.add("k", &2))).join().unwrap()))
        })
        .unwrap();
    let pid = std::process::id();
    assert_eq!(text, format!("posix:/x: no lock within 5ms: waited for stripe 1, held by process {pid}"));
}

#[test]
fn in_use() {
    let x = Scratch::new();
    let _table = x.counts(Locking::Futex);
    let text = x.text(HashTable::<u8, u8>::options().recreate(true).manage(x.open()));
    assert_eq!(
        text,
        "posix:/x: cannot recreate it with another layout: the object is in use by another process or handle; close it \
         there first"
    );
}

#[test]
fn replaced() {
    let x = Scratch::new();
    let tab = x.counts(Locking::Futex);
    let mut content = fs::read(&x.0).unwrap();
    content[crate::layout::header::ID.bytes() as usize] ^= 1;
    fs::write(&x.0, content).unwrap();
    assert_eq!(x.text(tab.stats()), "posix:/x: replaced: its file has been overwritten; open it again");
    let text = x.text(Counts::options().manage(x.open()));
    assert_eq!(text, "posix:/x: replaced: its file has been overwritten; open it again");
}

#[test]
fn corrupt() {
    let x = Scratch::new();
    drop(x.counts(Locking::Futex));
    let mut content = fs::read(&x.0).unwrap();
    content[64] ^= 1;
    fs::write(&x.0, content).unwrap();
    let text = x.text(Counts::options().manage(x.open()));
    assert_eq!(text, "posix:/x: damaged at byte 64: the header's checksum is wrong");
}

#[test]
fn not_netshm() {
    let x = Scratch::new();
    fs::write(&x.0, "a letter to a friend").unwrap();
    let text = x.text(Counts::options().manage(x.open()));
    assert_eq!(text, "posix:/x: not a netshm object: 20 bytes that begin with \"a letter\"; it was left as it is");
}

#[test]
fn unsupported_version() {
    use crate::layout::header::{FEATURES_TO_READ, FEATURES_TO_WRITE, FORMAT_AT};

    let x = Scratch::new();
    drop(x.counts(Locking::Futex));
    let sound = fs::read(&x.0).unwrap();
    let with = |place: crate::layout::Offset, word: u64| {
        let mut content = sound.clone();
        content[place.bytes() as usize..][..8].copy_from_slice(&word.to_ne_bytes());
        fs::write(&x.0, content).unwrap();
        x.text(Counts::options().manage(x.open()))
    };
    let text = |found, advice| {
        format!(
            "posix:/x: written by another format: found version {found}, this program reads version 4, build \
             0102030400000801; {advice}"
        )
    };
    assert_eq!(with(FORMAT_AT, 77), text("77, build 0102030400000801", "use a newer version of netshm"));
    let old = "no release wrote that format: write the data out with the program that made the object, and add them to \
               a new one";
    assert_eq!(with(FORMAT_AT, 3), text("3, build 0102030400000801", old));
    let feature = "4 with feature 5, which a program must know to read it";
    assert_eq!(with(FEATURES_TO_READ, 1 << 5), text(feature, "use a newer version of netshm"));
    let feature = "4 with feature 63, which a program must know to write to it";
    assert_eq!(with(FEATURES_TO_WRITE, 1 << 63), text(feature, "use a newer version of netshm, or open it read-only"));
    // So it can be.
    let shm = Shm::options().read_only(true).open(&x.name()).unwrap();
    Counts::options().manage(shm).unwrap();
}

#[test]
fn schema_mismatch() {
    let x = Scratch::new();
    drop(x.counts(Locking::Futex));
    let text = x.text(HashTable::<String, (u64, bool)>::options().manage(x.open()));
    assert_eq!(
        text,
        "posix:/x: holds another type\n    stored:   HashTable<String, u64>\n    expected: HashTable<String, (u64, bool)>\n\
         \x20                               ^\n    \
         help:     use it as the stored type, use another object, or rewrite it with `migrate_from`"
    );
}

#[test]
fn locking_mismatch() {
    let x = Scratch::new();
    drop(x.counts(Locking::Futex));
    let text = x.text(Counts::manage(x.open(), Locking::Record));
    assert_eq!(text, "posix:/x: created with Locking::Futex, cannot be managed with Locking::Record");
}

#[test]
fn read_only() {
    let x = Scratch::new();
    drop(x.counts(Locking::Futex));
    let reader = Shm::options().read_only(true).open(&x.name()).unwrap();
    let table = Counts::manage(reader, Locking::Futex).unwrap();
    assert_eq!(x.text(table.add("k", &1)), "posix:/x: opened read-only, cannot add a binding");
}

#[test]
fn full() {
    let x = Scratch::new();
    let table: HashTable<u8, Vec<u8>> = HashTable::options().max_size(1 << 20).manage(x.open()).unwrap();
    let text = x.text(table.add(&1, &vec![0; 2 << 20]));
    assert!(text.starts_with("posix:/x: full: "), "{text}");
    assert!(
        text.ends_with(" bytes more would exceed its maximum size of 1048576 bytes (option `max_size` at creation)"),
        "{text}"
    );
}

#[test]
fn no_space() {
    let x = Scratch::new();
    let table: HashTable<u8, Vec<u8>> = HashTable::options().manage(x.open()).unwrap();
    let size = table.shm().size().unwrap();
    drop(table);
    let text = x.text_in_child(|| {
        let table: HashTable<u8, Vec<u8>> = HashTable::options().manage(x.open())?;
        let limit = rustix::process::Rlimit { current: Some(size), maximum: None };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
        table.add(&1, &vec![0; 2 << 20])
    });
    assert!(text.starts_with("posix:/x: no space for "), "{text}");
    assert!(text.ends_with(" bytes more: File too large (os error 27)"), "{text}");
}

#[test]
fn too_large() {
    let x = Scratch::new();
    let table: HashTable<u8, Vec<u8>> = HashTable::options().manage(x.open()).unwrap();
    // Memory that nobody touches costs nothing.
    let text = x.text(table.add(&1, &vec![0_u8; 1 << 31]));
    assert_eq!(text, "a key or value of 2147483656 bytes is too large: the limit is 2147483647 bytes");
}

#[test]
fn out_of_bounds() {
    let x = Scratch::new();
    let array: Array<u64> = Array::options().manage(x.open(), 0).unwrap();
    array.resize(10).unwrap();
    assert_eq!(x.text(array.get(10)), "posix:/x: index 10 is out of bounds: the array has 10 elements");
}

/// Numbers that its own decoding refuses.
struct Refused;

impl DataManager for Refused {
    fn encode(&self, out: &mut crate::data::Encoder<'_>) -> Result<(), crate::data::DataError> {
        out.put(7)
    }

    fn decode(_: &mut crate::data::Decoder<'_>) -> Result<Self, crate::data::DataError> {
        Err(crate::data::DataError::new("Refused", "seven is no number for it"))
    }

    fn schema(types: &mut crate::data::Types) -> crate::data::Schema {
        u64::schema(types)
    }
}

#[test]
fn decode() {
    let x = Scratch::new();
    let table: HashTable<u8, Refused> = HashTable::options().manage(x.open()).unwrap();
    table.add(&1, &Refused).unwrap();
    assert_eq!(x.text(table.find(&1)), "posix:/x: Refused: seven is no number for it");
    let error = table.find(&1).err().unwrap();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref(), Some(&crate::data::DataError::new("Refused", "seven is no number for it")));
}

#[test]
fn forked() {
    let x = Scratch::new();
    let table = x.counts(Locking::Futex);
    let text = x.text_in_child(|| table.find("k"));
    assert_eq!(text, "posix:/x: opened before fork() and used in the child; open it again there");
}

#[test]
fn descriptor_lost() {
    let x = Scratch::new();
    let table = x.counts(Locking::Futex);
    let text = x.text_in_child(|| {
        let table = x.counts(Locking::Futex);
        table.add("k", &1)?;
        (3..1024).for_each(crate::os::fork::tests::close_number);
        table.shm().size()
    });
    assert_eq!(
        text,
        "posix:/x: a descriptor of the object has been closed by the program, or stands for another file now; drop all handles of \
         the object and open it again"
    );
    assert_eq!(table.find("k").unwrap(), Some(1));
}

#[test]
fn needs_recovery() {
    let x = Scratch::new();
    let table = x.counts(Locking::Futex);
    table.add("k", &1).unwrap();
    drop(table);
    let status = status_of_child(|| {
        let table = x.counts(Locking::Futex);
        steps::stop_after(Some(5));
        i32::from(table.replace("k", &2).is_err())
    });
    assert_eq!(status, 99);
    let reader = Shm::options().read_only(true).open(&x.name()).unwrap();
    let table = Counts::manage(reader, Locking::Futex).unwrap();
    assert_eq!(table.find("k").unwrap(), Some(1));
    // Without its name on the stripe, nobody knows what it was about to do.
    let lock = table.handle().store.geometry().stripe(1).lock();
    fs::File::options().write(true).open(&x.0).unwrap().write_all_at(&[0; 4], lock.bytes()).unwrap();
    assert_eq!(
        x.text(table.find("k")),
        "posix:/x: a writer died in the middle of an operation; open the object once for writing to recover it"
    );
    assert_eq!(x.counts(Locking::Futex).find("k").unwrap(), Some(1));
    assert_eq!(table.find("k").unwrap(), Some(1));
}

#[test]
fn iterating() {
    let x = Scratch::new();
    let table = x.counts(Locking::Futex);
    table.add("k", &1).unwrap();
    let mut text = String::new();
    table.for_each(|key, _| text = x.text(table.remove(&key))).unwrap();
    assert_eq!(text, "posix:/x: cannot be changed while this thread iterates over it");
}

#[test]
fn too_many_writers() {
    let x = Scratch::new();
    drop(x.counts(Locking::Futex));
    // As if a thousand processes wrote to it.
    let others = fs::File::options().read(true).write(true).open(&x.0).unwrap();
    for number in 1..=u64::from(PROCESSES) {
        let outcome = lock::ofd_lock(others.as_fd(), LockKind::Exclusive, bytes::PROCESS + number, false).unwrap();
        assert_eq!(outcome, lock::Outcome::Locked);
    }
    let table = x.counts(Locking::Futex);
    assert_eq!(x.text(table.add("k", &1)), "posix:/x: 1024 processes write to the object already");
}

/// No variant is left out: the texts of all are in this file and in the documentation.
#[test]
fn every_error_is_documented_with_its_text() {
    let source = include_str!("error.rs");
    let variants = source.matches("#[non_exhaustive]\n    ").count();
    assert_eq!(source.matches("///\n    /// > ").count(), variants, "an example of the text of each");
    assert!(variants >= 21);
    let _ = |error: Error| error.to_string();
}

#[test]
fn wait_timeout() {
    let x = Scratch::new();
    let table = x.counts(Locking::Futex);
    let Err(Error::WaitTimeout { object, .. }) =
        table.wait_until("k", Some(Duration::from_millis(1)), |found| found.is_some())
    else {
        panic!("it came")
    };
    let error = Error::WaitTimeout { object, waited: Duration::from_secs(5) };
    assert_eq!(x.text::<()>(Err(error)), "posix:/x: the awaited change did not come within 5s");
}

#[test]
fn in_group() {
    let x = Scratch::new();
    let table = x.counts(Locking::Futex);
    let text = table.group(|| Ok::<_, Error>(x.text(table.sync()))).unwrap();
    assert_eq!(text, "posix:/x: cannot sync inside a group, whose changes are not final; call it outside");
    assert!(matches!(table.group(|| table.check()), Err(Error::InGroup { .. })));
}

#[test]
fn outside_group() {
    let x = Scratch::new();
    let table = x.counts(Locking::Futex);
    let (own, copy) = table
        .group_with(|group| {
            group.add("k", &1)?;
            Ok::<_, Error>((x.text(table.add("k", &1)), (**group).clone()))
        })
        .unwrap();
    assert_eq!(
        own,
        "posix:/x: waits for the group that this thread has open by `group_with`, to which it does not belong"
    );
    let text = x.text(copy.find("k"));
    assert_eq!(text, "posix:/x: the argument of `group_with` is used outside its group, or by another thread");
    let y = Scratch::new();
    let other = y.counts(Locking::Futex);
    let text = table.group_with(|group| Ok::<_, Error>(y.text(group.with(&other).map(drop)))).unwrap();
    assert_eq!(text, "posix:/x: it is another object than that of the group");
}
