//! Processes in surroundings that are not as they should be: without standard descriptors, at their limits, without `/proc`, in
//! directories that change under them.

mod descriptors;
mod full_disk;
mod limits;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use netshm::{Error, HashTable, Shm, ShmName};
use netshm_tests::{Child, Directory};

type Table = HashTable<u64, Vec<u8>>;

fn file(directory: &str, name: &str) -> ShmName {
    ShmName::file(Path::new(directory).join(name)).unwrap()
}

fn try_table(name: &ShmName) -> Result<Table, Error> {
    Table::options().max_size(1 << 26).manage(Shm::options().create(true).open(name)?)
}

fn table(name: &ShmName) -> Table {
    try_table(name).unwrap()
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    let directory = arguments[0].as_str();
    match part {
        "without standard descriptors" => descriptors::without_standard_descriptors(directory, &arguments[1]),
        "without descriptors" => limits::without_descriptors(directory),
        "without descriptors, any verb" => limits::any_verb_without_descriptors(directory),
        "without address space" => limits::without_address_space(directory),
        "few pages" => limits::few_pages(directory),
        "small files only" => limits::small_files_only(directory),
        "at work" => at_work(directory),
        "repairing" => drop(netshm::repair(file(directory, "a")).unwrap()),
        "copying" => Shm::open(file(directory, "a")).unwrap().copy_to(file(directory, "copy")).unwrap(),
        "elsewhere" => elsewhere(directory),
        "closing everything" => descriptors::closing_everything(directory),
        "closing everything in a group of members" => descriptors::closing_everything_in_a_group(directory),
        "full at each step" => full_disk::full_at_each_step(directory),
        "full disk" => full_disk::full_disk(directory, &arguments[1]),
        "bystander" => descriptors::bystander(directory),
        "reader on an overlay" => reader_on_an_overlay(directory),
        "writer on an overlay" => drop(table(&file(directory, "a")).replace(&1, &vec![2])),
        other => panic!("no such part: {other}"),
    }
}

fn play(part: &str, arguments: &[&str]) {
    let mut child = Child::start(&format!("hostile_surroundings::{part}"), arguments);
    let status = child.wait();
    assert!(status.success(), "{part}: {status}");
}

/// Returns whether a command can be run in a mount namespace of its own, where nothing that is mounted is seen by others.
fn may_mount() -> bool {
    let may = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !may {
        println!("skipped: this needs the rights to mount");
    }
    may
}

/// Plays a part after the commands of `script`, in a mount namespace of its own.
fn play_after(script: &str, part: &str, arguments: &[&str]) {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &format!("{script}; exec \"$@\""), "sh"]).arg(std::env::current_exe().unwrap());
    let mut child = Child::start_under(command, &format!("hostile_surroundings::{part}"), arguments);
    let status = child.wait();
    assert!(status.success(), "{part} after `{script}`: {status}");
}

#[test]
fn neither_proc_nor_the_boot_id_is_needed() {
    if !may_mount() {
        return;
    }
    let directory = Directory::new("proc");
    let id = directory.join("boot");
    fs::write(&id, "11111111-2222-3333-4444-555555555555\n").unwrap();
    let other_boot = format!("mount --bind {} /proc/sys/kernel/random/boot_id", id.display());
    for script in ["mount -t tmpfs none /proc", &other_boot, "mount -t proc -o subset=pid proc /proc", "true"] {
        play_after(script, "at work", &[directory.text()]);
    }
}

/// What is opened for reading before the first writer stands for the file in the lower layer; opened anew, for what is written.
#[test]
fn a_reader_on_an_overlay_that_opens_anew_sees_what_is_written() {
    if !may_mount() {
        return;
    }
    let directory = Directory::new("overlay");
    let path = directory.text();
    for layer in ["lower", "upper", "over"] {
        fs::create_dir(directory.join(layer)).unwrap();
    }
    table(&file(&format!("{path}/lower"), "a")).add(&1, &vec![1]).unwrap();
    let mut command = Command::new("unshare");
    let script = format!(
        "{{ mount -t tmpfs none {path}/upper && mkdir {path}/upper/u {path}/upper/w && mount -t overlay overlay -o \
         lowerdir={path}/lower,upperdir={path}/upper/u,workdir={path}/upper/w {path}/over; }} >&2 || exit 77; exec \"$@\""
    );
    command.args(["-m", "sh", "-c", &script, "sh"]).arg(std::env::current_exe().unwrap());
    let status =
        Child::start_under(command, "hostile_surroundings::reader on an overlay", &[&format!("{path}/over")]).wait();
    if status.code() == Some(77) {
        println!("skipped: no overlay can be mounted here");
        return;
    }
    assert!(status.success(), "{status}");
}

fn reader_on_an_overlay(directory: &str) {
    let name = file(directory, "a");
    let open = || Table::options().manage(Shm::options().read_only(true).open(&name).unwrap()).unwrap();
    let before = open();
    assert_eq!(before.find(&1).unwrap(), Some(vec![1]));
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (first, once) = (descriptors(), open());
    drop(once);
    assert_eq!(descriptors(), first, "what cannot be used again is closed");
    play("writer on an overlay", &[directory]);
    // While the old handle lives, and after it has been dropped while the object is open for writing.
    assert_eq!(open().find(&1).unwrap(), Some(vec![2]));
    let writer = table(&name);
    drop(before);
    let reader = open();
    assert_eq!(reader.find(&1).unwrap(), Some(vec![2]));
    writer.replace(&1, &vec![3]).unwrap();
    assert_eq!(reader.find(&1).unwrap(), Some(vec![3]));
    // Now readers share their descriptors again.
    let (first, again) = (descriptors(), open());
    assert!(descriptors() - first <= 1, "only the directory is opened for each handle");
    assert_eq!(again.find(&1).unwrap(), Some(vec![3]));
}

/// Does ordinary work on the object that an earlier process may have left.
fn at_work(directory: &str) {
    let made = table(&file(directory, "a"));
    made.clear().unwrap();
    for key in 0..1000 {
        made.add(&key, &vec![1; 100]).unwrap();
    }
    let reader = Shm::options().read_only(true).open(made.shm().name()).unwrap();
    let reader = Table::options().manage(reader).unwrap();
    assert_eq!(reader.len().unwrap(), 1000);
    assert_eq!(reader.find(&999).unwrap(), Some(vec![1; 100]));
    assert!(made.check().unwrap().is_clean());
}

#[test]
fn the_directory_is_written_back_whenever_a_file_gets_its_name() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let directory = Directory::new("synced");
    let trace = directory.join("trace");
    // A repair creates a file, and then renames it.
    for (part, least) in [("at work", 1), ("repairing", 2), ("copying", 1)] {
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-e", "trace=fsync", "-o"]).arg(&trace).arg(std::env::current_exe().unwrap());
        let status = Child::start_under(command, &format!("hostile_surroundings::{part}"), &[directory.text()]).wait();
        if !status.success() && !directory.join("a").exists() {
            println!("skipped: strace may not trace");
            return;
        }
        let synced = format!("<{}>) = 0", directory.path().canonicalize().unwrap().display());
        let calls = fs::read_to_string(&trace).unwrap();
        assert!(calls.lines().filter(|call| call.contains(&synced)).count() >= least, "{part}: {calls}");
    }
}

#[test]
fn names_mean_what_was_opened() {
    let directory = Directory::new("names");
    play("elsewhere", &[directory.text()]);
}

fn elsewhere(directory: &str) {
    let inside = |name: &str| Path::new(directory).join(name);
    for name in ["a", "b"] {
        fs::create_dir(inside(name)).unwrap();
    }
    std::env::set_current_dir(inside("a")).unwrap();
    let made = table(&ShmName::file("state").unwrap());
    assert_eq!(made.shm().name(), &ShmName::file(inside("a/state")).unwrap());
    made.add(&1, &vec![1]).unwrap();
    fs::write(inside("b/state"), "somebody else's").unwrap();
    std::env::set_current_dir(inside("b")).unwrap();
    let again = Shm::open(made.shm().name()).unwrap();
    assert_eq!(Table::options().manage(again).unwrap().find(&1).unwrap(), Some(vec![1]));

    // Renamed, and another file in its place.
    fs::rename(inside("a/state"), inside("a/moved")).unwrap();
    fs::write(inside("a/state"), "another").unwrap();
    made.add(&2, &vec![2]).unwrap();
    match made.shm().name().unlink() {
        Err(Error::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
    assert!(inside("a/state").exists() && inside("a/moved").exists() && inside("b/state").exists());
    fs::rename(inside("a/moved"), inside("a/state")).unwrap();
    let name = made.shm().name().clone();
    name.unlink().unwrap();
    assert!(!inside("a/state").exists() && inside("b/state").exists());
    made.add(&3, &vec![3]).unwrap();
    drop(made);
    // Nothing is open any more, so it is a name like any other.
    fs::write(inside("a/state"), "another").unwrap();
    name.unlink().unwrap();
    assert!(!inside("a/state").exists());
}
