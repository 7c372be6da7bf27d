//! Standard descriptors that are closed, and descriptors that the program closes by mistake.

use std::fs::{self, File};
use std::path::Path;
use std::process::exit;

use netshm::inspect::Inspector;
use netshm::{Error, Shm, ShmName};
use netshm_tests::Directory;

use super::{Table, file, play, table, try_table};

#[test]
fn no_object_becomes_a_standard_descriptor() {
    for closed in ["0", "1", "2", "01", "12", "02", "012", "01234"] {
        let directory = Directory::new(&format!("standard-{closed}"));
        play("without standard descriptors", &[directory.text(), closed]);
        let left = table(&file(directory.text(), "a"));
        assert_eq!(left.find(&1).unwrap(), Some(vec![1; 10]));
        assert!(left.check().unwrap().is_clean());
    }
}

/// Ends the process with a status that tells the line, since nobody can print here.
pub(super) fn without_standard_descriptors(directory: &str, closed: &str) {
    let name = file(directory, "a");
    for number in closed.bytes() {
        let _ = nix::unistd::close(i32::from(number - b'0'));
    }
    let made = table(&name);
    if made.add(&1, &vec![1; 10]).is_err() {
        exit(11);
    }
    // Existing objects, other kinds of access, and a second description for emptying one.
    let reader = Shm::options().read_only(true).open(&name);
    let refused = Shm::options().truncate(true).open(&name);
    if reader.is_err() || refused.is_ok() {
        exit(12);
    }
    for number in 0..3 {
        if fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|target| target.starts_with(directory)) {
            exit(13);
        }
    }
    println!("{}", "an ordinary message ".repeat(100));
    eprintln!("{}", "an ordinary complaint ".repeat(100));
    exit(if made.check().is_ok_and(|report| report.is_clean()) { 0 } else { 14 });
}

#[test]
fn closed_descriptors_are_an_error_and_no_other_file_is_touched() {
    let directory = Directory::new("closed");
    play("closing everything", &[directory.text()]);
    let left = table(&file(directory.text(), "a"));
    assert_eq!(left.find(&1).unwrap(), Some(vec![77]));
    assert_eq!(left.find(&2).unwrap(), Some(vec![2]));
    for name in undone() {
        let report = table(&file(directory.text(), &name)).check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
    let report = left.check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Objects in which a change is undone without descriptors: whether it has taken memory by then depends on the hash.
fn undone() -> impl Iterator<Item = String> {
    (0..24).map(|number| format!("undone{number}"))
}

pub(super) fn closing_everything(directory: &str) {
    let made = table(&file(directory, "a"));
    let undone: Vec<_> = undone().map(|name| table(&file(directory, &name))).collect();
    undone.iter().for_each(|table| (0..100).for_each(|key| table.add(&key, &vec![key as u8]).unwrap()));
    for key in 0..100 {
        made.add(&key, &vec![key as u8]).unwrap();
    }
    let lost = |outcome: Result<(), Error>| match outcome {
        Err(Error::DescriptorLost { .. }) => {}
        other => panic!("{other:?}"),
    };
    let mut others = Vec::new();
    let inspector = Inspector::open(&file(directory, "a")).unwrap();
    lost(made.group(|| {
        made.replace(&1, &vec![42])?;
        for number in 3..1024 {
            let _ = nix::unistd::close(number);
        }
        // Other files get the numbers, longer ones than the object, and files that others lock.
        for at in 0..8 {
            let path = Path::new(directory).join(format!("log{at}"));
            fs::write(&path, vec![b'p'; 8 << 20]).unwrap();
            others.push(File::options().read(true).write(true).open(path).unwrap());
        }
        // Another process takes this one for dead, as it must.
        play("bystander", &[directory]);
        made.replace(&2, &vec![43])
    }));
    let full = (1000..).find_map(|key| made.add(&key, &vec![3; 3000]).err()).unwrap();
    lost(Err(full));
    for table in undone {
        lost(Err((1000..).find_map(|key| table.add(&key, &vec![3; 3000]).err()).unwrap()));
    }
    lost(made.shm().size().map(drop));
    // Nor does anything say what is true of another file, or copy it.
    lost(made.sync());
    let copy = file(directory, "copy");
    lost(made.shm().copy_to(&copy));
    assert!(Shm::open(&copy).is_err());
    lost(made.shm().stats().map(drop));
    lost(made.stats().map(drop));
    lost(made.shm().describe().map(drop));
    lost(made.shm().members().map(drop));
    lost(made.shm().trim().map(drop));
    lost(made.check().map(drop));
    lost(inspector.look().map(drop));
    lost(try_table(made.shm().name()).map(drop));
    drop(made);
    for other in &others {
        assert_eq!(other.metadata().unwrap().len(), 8 << 20);
    }
    // An object that is opened again works.
    assert_eq!(table(&file(directory, "a")).find(&1).unwrap(), Some(vec![77]));
}

pub(super) fn bystander(directory: &str) {
    let made = table(&file(directory, "a"));
    assert_eq!(made.find(&1).unwrap(), Some(vec![1]));
    made.replace(&1, &vec![77]).unwrap();
}

/// What a group has changed in several members, one of which has grown, is undone, although the descriptors have gone.
#[test]
fn a_group_of_members_is_undone_without_descriptors() {
    let directory = Directory::new("closed-members");
    play("closing everything in a group of members", &[directory.text()]);
    let [first, second] = members(&file(directory.text(), "a"));
    for member in [first, second] {
        assert_eq!((member.len().unwrap(), member.find(&0).unwrap()), (1, Some(vec![0])));
        let report = member.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

fn members(name: &ShmName) -> [Table; 2] {
    let open = || Shm::options().create(true).open(name).unwrap();
    ["first", "second"].map(|member| Table::options().max_size(1 << 26).named(member).manage(open()).unwrap())
}

pub(super) fn closing_everything_in_a_group(directory: &str) {
    let [first, second] = members(&file(directory, "a"));
    for member in [&first, &second] {
        member.add(&0, &vec![0]).unwrap();
    }
    let outcome: Result<(), Error> = first.group(|| {
        first.replace(&0, &vec![1])?;
        // The first one does not know how far the object reaches by then.
        (1..3000).try_for_each(|key| second.add(&key, &vec![1; 3000]))?;
        for number in 3..1024 {
            let _ = nix::unistd::close(number);
        }
        Err(ShmName::posix("").unwrap_err())
    });
    assert!(!matches!(outcome, Ok(()) | Err(Error::Corrupt { .. })), "{outcome:?}");
}
