//! Objects on a full disk.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use netshm::{Error, Shm, ShmName};
use netshm_tests::{Child, Directory};

use super::{Table, file, may_mount, play_after, table, try_table};

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

/// On a disk with room for one more page each time: what fails changes nothing, and is an error.
#[test]
fn a_disk_that_is_full_at_any_step_is_an_error() {
    if !may_mount() {
        return;
    }
    let directory = Directory::new("full-steps");
    let disk = directory.text();
    play_after(&format!("mount -t tmpfs -o size=4m none {disk}"), "full at each step", &[disk]);
}

pub(super) fn full_at_each_step(directory: &str) {
    type Verb<'a> = (&'static str, Box<dyn Fn() -> Result<(), Error> + 'a>);
    let (name, copy, other) = (&file(directory, "a"), &file(directory, "copy"), &file(directory, "other"));
    let manage = |name: &ShmName, create| {
        Table::options().max_size(1 << 26).stripes(2).slots(2).manage(Shm::options().create(create).open(name)?)
    };
    let made = manage(name, true).unwrap();
    (0..50).for_each(|key| made.add(&key, &vec![key as u8; 200]).unwrap());
    let verbs: [Verb<'_>; 7] = [
        ("creating", Box::new(|| manage(other, true).map(drop))),
        (
            "creating a member of a new object",
            Box::new(|| {
                Table::options()
                    .max_size(1 << 26)
                    .slots(2)
                    .named("m")
                    .manage(Shm::options().create(true).open(other)?)?;
                Ok(())
            }),
        ),
        ("a large value", Box::new(|| made.add(&100, &vec![1; 50_000]))),
        (
            "a group with a long log",
            Box::new(|| made.group(|| (0..50).try_for_each(|key| made.add(&(key + 200), &vec![1; 2000])))),
        ),
        (
            "a member",
            Box::new(|| {
                let member = Table::options().stripes(8).named("member").manage(Shm::open(name)?)?;
                (0..100).try_for_each(|key| member.replace(&key, &vec![1; 100]))
            }),
        ),
        ("copying", Box::new(|| made.shm().copy_to(copy))),
        ("opening", Box::new(|| manage(copy, false)?.find(&1).map(drop))),
    ];
    let names = || {
        let mut all: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        all.sort();
        all
    };
    let ballast = Path::new(directory).join("ballast");
    let mut filled = File::create(&ballast).unwrap();
    for (what, verb) in verbs {
        let before = names();
        let mut failures = 0;
        loop {
            while filled.write_all(&[1; 4096]).is_ok() {}
            filled.set_len(filled.metadata().unwrap().len() / 4096 * 4096 - failures * 4096).unwrap();
            let outcome = verb();
            filled.seek(SeekFrom::End(0)).unwrap();
            match outcome {
                Ok(()) => break,
                Err(Error::NoSpace { .. }) => {}
                Err(other) => panic!("{what}, {failures} pages: {other}"),
            }
            assert_eq!(names(), before, "{what}, {failures} pages");
            if failures % 8 == 0 {
                let report = made.check().unwrap();
                assert!(report.is_clean(), "{what}, {failures} pages: {report}");
            }
            failures += 1;
            assert!(failures < 200, "{what} never succeeds");
        }
        println!("{what}: {failures} failures");
        assert!((0..50).all(|key| made.find(&key).unwrap() == Some(vec![key as u8; 200])), "{what}");
        let _ = other.unlink();
    }
    assert_eq!(made.find(&100).unwrap(), Some(vec![1; 50_000]));
    assert!(made.check().unwrap().is_clean());
}

/// Damages the number of stripes in use, so that it leads into a hole, where on a full tmpfs even a read raises a signal.
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

/// Uses an object whose free memory is gone, on a full disk: it is read and checked, and where memory is needed, that is an error.
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

pub(super) fn full_disk(directory: &str, system: &str) {
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
