//! Processes in surroundings that are not as they should be: without standard descriptors, at their limits, without `/proc`, in
//! directories that change under them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, exit};

use netshm::{Error, HashTable, Shm, ShmName};
use netshm_tests::{Child, Directory};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

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
        "without standard descriptors" => without_standard_descriptors(directory, &arguments[1]),
        "without descriptors" => without_descriptors(directory),
        "without address space" => without_address_space(directory),
        "small files only" => small_files_only(directory),
        "at work" => at_work(directory),
        "elsewhere" => elsewhere(directory),
        "closing everything" => closing_everything(directory),
        "full disk" => full_disk(directory, &arguments[1]),
        "bystander" => bystander(directory),
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
fn without_standard_descriptors(directory: &str, closed: &str) {
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
fn creation_that_finds_no_descriptor_leaves_nothing() {
    let directory = Directory::new("descriptors");
    play("without descriptors", &[directory.text()]);
}

/// Sets the soft limit for as long as `body` runs.
fn limited<R>(resource: Resource, limit: u64, body: impl FnOnce() -> R) -> R {
    let (soft, hard) = getrlimit(resource).unwrap();
    setrlimit(resource, limit, hard).unwrap();
    let result = body();
    setrlimit(resource, soft, hard).unwrap();
    result
}

fn without_descriptors(directory: &str) {
    let lowest_free = File::open("/").unwrap().as_raw_fd() as u64;
    let name = file(directory, "a");
    let mut failures = 0;
    // One more descriptor each time, until they suffice.
    for spare in 0..20 {
        match limited(Resource::RLIMIT_NOFILE, lowest_free + spare, || try_table(&name)) {
            Ok(made) => {
                assert!(failures >= 3, "only {failures} openings were found");
                made.add(&1, &vec![1]).unwrap();
                break;
            }
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.raw_os_error(), Some(nix::libc::EMFILE));
                assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "a file is left behind");
                failures += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    // An object that exists stays as it is.
    for spare in 0..20 {
        let opened = limited(Resource::RLIMIT_NOFILE, lowest_free + spare, || try_table(&name));
        if opened.is_ok() {
            return;
        }
        drop(opened);
        assert_eq!(table(&name).find(&1).unwrap(), Some(vec![1]));
    }
    panic!("it was never opened");
}

#[test]
fn creation_that_finds_no_address_space_leaves_nothing() {
    let directory = Directory::new("space");
    play("without address space", &[directory.text()]);
}

fn without_address_space(directory: &str) {
    let name = file(directory, "a");
    let open = || Shm::options().create(true).open(&name).unwrap();
    let refused = |outcome: Result<Table, Error>| match outcome {
        Err(Error::InvalidOption { option, .. }) => assert_eq!(option, "max_size"),
        other => panic!("{other:?}"),
    };
    limited(Resource::RLIMIT_AS, 2 << 30, || {
        // Others that have opened the file meanwhile do not create an object without a name.
        let waiting = open();
        refused(Table::options().max_size(8 << 30).manage(open()));
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "a file is left behind");
        match Table::options().max_size(1 << 26).manage(waiting) {
            Err(Error::Io { source, .. }) => assert_eq!(source.kind(), io::ErrorKind::NotFound),
            other => panic!("{other:?}"),
        }
        // As the message says.
        let made = Table::options().max_size(1 << 26).manage(open()).unwrap();
        made.add(&1, &vec![1]).unwrap();
        drop(made);
        // What was there is there still.
        refused(Table::options().max_size(8 << 30).recreate(true).manage(open()));
        assert_eq!(table(&name).find(&1).unwrap(), Some(vec![1]));
        // An empty file that was there stays.
        let other = file(directory, "b");
        File::create(Path::new(directory).join("b")).unwrap();
        refused(Table::options().max_size(8 << 30).manage(Shm::open(&other).unwrap()));
        assert_eq!(fs::metadata(Path::new(directory).join("b")).unwrap().len(), 0);
    });
}

#[test]
fn the_limit_on_file_sizes_is_an_error() {
    let directory = Directory::new("sizes");
    play("small files only", &[directory.text()]);
}

fn small_files_only(directory: &str) {
    let name = file(directory, "a");
    limited(Resource::RLIMIT_FSIZE, 4096, || match try_table(&name) {
        Err(Error::NoSpace { .. }) => assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "a file is left behind"),
        other => panic!("{other:?}"),
    });
    let made = table(&name);
    limited(Resource::RLIMIT_FSIZE, 7 << 20, || {
        let full = (0..).find_map(|key| made.add(&key, &vec![1; 1000]).err());
        assert!(matches!(full, Some(Error::NoSpace { .. })), "{full:?}");
        assert!(made.remove(&1).unwrap());
        made.replace(&0, &vec![2; 1000]).unwrap();
    });
    assert!(made.check().unwrap().is_clean());
    made.add(&1_000_000, &vec![3; 100_000]).unwrap();
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
fn the_directory_of_a_new_object_is_written_back() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace");
        return;
    }
    let directory = Directory::new("synced");
    let trace = directory.join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=fsync", "-o"]).arg(&trace).arg(std::env::current_exe().unwrap());
    let status = Child::start_under(command, "hostile_surroundings::at work", &[directory.text()]).wait();
    if !status.success() && !directory.join("a").exists() {
        println!("skipped: strace may not trace");
        return;
    }
    let synced = format!("<{}>) = 0", directory.path().canonicalize().unwrap().display());
    let calls = fs::read_to_string(&trace).unwrap();
    assert!(calls.lines().any(|call| call.contains(&synced)), "{calls}");
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

fn closing_everything(directory: &str) {
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
    lost(try_table(made.shm().name()).map(drop));
    drop(made);
    for other in &others {
        assert_eq!(other.metadata().unwrap().len(), 8 << 20);
    }
    // An object that is opened again works.
    assert_eq!(table(&file(directory, "a")).find(&1).unwrap(), Some(vec![77]));
}

fn bystander(directory: &str) {
    let made = table(&file(directory, "a"));
    assert_eq!(made.find(&1).unwrap(), Some(vec![1]));
    made.replace(&1, &vec![77]).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_no_signal() {
    if !may_mount() {
        return;
    }
    let directory = Directory::new("full");
    let (disk, image) = (directory.join("disk"), directory.join("image"));
    fs::create_dir(&disk).unwrap();
    let (disk, image) = (disk.to_str().unwrap(), image.to_str().unwrap());
    let on_loop = |make: &str| {
        format!(
            "{{ rm -f {image}; truncate -s 320M {image}; {make} {image} && mount -o loop {image} {disk}; }} >&2 || exit 77"
        )
    };
    for (system, script) in [
        ("tmpfs", format!("mount -t tmpfs -o size=8m none {disk} || exit 77")),
        ("xfs", on_loop("mkfs.xfs -q")),
        ("ext4", on_loop("mkfs.ext4 -q")),
        ("btrfs", on_loop("mkfs.btrfs -q")),
    ] {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &format!("{script}; exec \"$@\""), "sh"]).arg(std::env::current_exe().unwrap());
        let status = Child::start_under(command, "hostile_surroundings::full disk", &[disk, system]).wait();
        if status.code() == Some(77) {
            println!("skipped: no {system} can be made and mounted here");
        } else {
            assert!(status.success(), "{system}: {status}");
        }
    }
}

/// A damaged number of stripes in use leads into a hole, where on a full tmpfs a mere look is a signal.
fn count_too_many_stripes(path: &Path, made: &Table) {
    /// The place of that number.
    const STRIPES_USED: u64 = 1064;
    let disk = File::options().read(true).write(true).open(path).unwrap();
    let mut sound = [0; 8];
    disk.read_exact_at(&mut sound, STRIPES_USED).unwrap();
    let name = ShmName::file(path).unwrap();
    let read_only = || Table::options().manage(Shm::options().read_only(true).open(&name)?);
    let reader = read_only().unwrap();
    for more in [1, 4, 9, 100, 1 << 40] {
        disk.write_all_at(&(u64::from_ne_bytes(sound) + more).to_ne_bytes(), STRIPES_USED).unwrap();
        let _ = made.check();
        let _ = made.sync();
        let _ = made.stats();
        for reader in [Ok(&reader), read_only().as_ref()].into_iter().flatten() {
            let _ = (reader.check(), reader.stats(), reader.shm().stats());
            assert!(reader.find(&1).unwrap().is_some());
        }
        made.replace(&1, &vec![2; 100]).unwrap();
    }
    disk.write_all_at(&sound, STRIPES_USED).unwrap();
    assert!(made.check().unwrap().is_clean());
}

/// An object whose free memory is gone, on a full disk: it is read and checked, and where memory is needed, that is an error.
fn full_of_holes(name: &ShmName) {
    let made = table(name);
    assert_eq!(made.find(&0).unwrap(), Some(vec![1; 100_000]));
    assert!(made.check().unwrap().is_clean());
    let refused = (1..).find_map(|key| made.add(&key, &vec![2; 50_000]).err());
    assert!(matches!(refused, Some(Error::NoSpace { .. })), "{refused:?}");
    made.shm().trim().unwrap();
    let small = (1_000..).find_map(|key| made.add(&key, &vec![3; 100]).err());
    assert!(matches!(small, Some(Error::NoSpace { .. })), "{small:?}");
    assert!(made.remove(&0).unwrap());
    // That memory is there.
    made.add(&0, &vec![4; 50_000]).unwrap();
    assert_eq!(made.find(&0).unwrap(), Some(vec![4; 50_000]));
    assert!(made.check().unwrap().is_clean());
}

fn full_disk(directory: &str, system: &str) {
    let in_disk = |name: &str| Path::new(directory).join(name);
    let original = file(directory, "a");
    let made = table(&original);
    for key in 0..2000 {
        made.add(&key, &vec![1; 100]).unwrap();
    }
    drop(made);
    let copy = |how: &str, to: &str| {
        let copied = Command::new("cp").arg(how).arg(in_disk("a")).arg(in_disk(to)).status().unwrap();
        assert!(copied.success());
    };
    copy("--sparse=always", "sparse");
    if system == "xfs" {
        // The original shares its space with it from now on.
        copy("--reflink=always", "clone");
        fs::remove_file(in_disk("sparse")).unwrap();
    }
    // Most of this one is holes, which must not be touched when the disk is full.
    let hollow = file(directory, "hollow");
    if system == "tmpfs" {
        let made = table(&hollow);
        (0..30).for_each(|key| made.add(&key, &vec![1; 100_000]).unwrap());
        (1..30).for_each(|key| assert!(made.remove(&key).unwrap()));
        assert!(made.shm().trim().unwrap() > 2_000_000);
    }
    // Fills the disk, in ever smaller pieces.
    let mut filled = File::create(in_disk("fill")).unwrap();
    let mut noise = vec![0; 1 << 20];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    for piece in [1 << 20, 4096, 512] {
        while filled.write_all(&noise[..piece]).is_ok() {}
        let _ = filled.sync_all();
    }
    // On a full btrfs, each first store to a page waits for space, and so does each attempt to get more.
    let is_slow = system == "btrfs";
    let last = if is_slow { 3 } else { 2000 };
    let outcome = try_table(&original).map(|made| {
        for key in 0..last {
            // The value may need room that there is not.
            if let Err(error) = made.replace(&key, &vec![2; 100]) {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
            }
        }
        if !is_slow {
            let full = (10_000..).find_map(|key| made.add(&key, &vec![3; 1000]).err());
            assert!(matches!(full, Some(Error::NoSpace { .. })), "{full:?}");
        }
        assert!(made.remove(&7).unwrap());
        if system == "tmpfs" {
            count_too_many_stripes(&in_disk("a"), &made);
            full_of_holes(&hollow);
        }
    });
    match outcome {
        Ok(()) => {}
        Err(Error::NoSpace { .. }) if matches!(system, "xfs" | "btrfs") => {}
        Err(other) => panic!("{system}: {other}"),
    }
    if system == "tmpfs" {
        match try_table(&file(directory, "sparse")) {
            Err(Error::NoSpace { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(filled);
    fs::remove_file(in_disk("fill")).unwrap();
    // XFS gives the room back in the background.
    let _ = Command::new("sync").arg("--file-system").arg(in_disk("a")).status();
    // With room again, all is there and can be written to.
    let made = table(&original);
    assert!(made.check().unwrap().is_clean());
    made.replace(&1, &vec![4; 100]).unwrap();
    if system == "tmpfs" {
        table(&file(directory, "sparse")).replace(&1, &vec![4; 100]).unwrap();
    }
}
