//! Objects that are not where they were: copies, files that were emptied or replaced, and openings from other containers.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;

use netshm::{Error, HashTable, Locking, Result, Shm, ShmName};
use netshm_tests::{Child, Directory, Scratch};

type Words = HashTable<String, u64>;

/// Bytes of header, slots, stripes and logs at least, which tell where the rest is.
const FRONT: usize = 64 << 10;

fn manage(shm: Shm) -> Result<Words> {
    HashTable::options().locking(Locking::Futex).stripes(2).slots(4).manage(shm)
}

fn path(object: &Scratch) -> PathBuf {
    object.name().to_string().replace("file:", "").into()
}

fn fill(tab: &Words, from: u64) {
    (from..from + 2000).for_each(|i| tab.add(&format!("key {i}"), &i).unwrap());
}

/// Returns what is wrong with an object that opens.
fn silent_damage(object: &Scratch) -> Option<String> {
    let tab = match manage(object.open()) {
        Err(Error::Corrupt { .. }) => return None,
        other => other.unwrap(),
    };
    let report = tab.check().unwrap();
    (!report.is_clean()).then(|| report.to_string())
}

/// What `cp` makes of an object that is being written to: the front as it was earlier than the rest, or later.
#[test]
fn a_copy_made_under_writers_is_never_silently_damaged() {
    for synced in [false, true] {
        let object = Scratch::file("origin-live");
        let tab = manage(object.open()).unwrap();
        fill(&tab, 0);
        if synced {
            tab.sync().unwrap();
        }
        let earlier = fs::read(path(&object)).unwrap();
        fill(&tab, 10_000);
        (0..1000).for_each(|i| assert!(tab.remove(&format!("key {i}")).unwrap()));
        let later = fs::read(path(&object)).unwrap();
        for torn in [[&earlier[..FRONT], &later[FRONT..]], [&later[..FRONT], &earlier[FRONT..]]] {
            let copy = Scratch::file("origin-torn");
            fs::write(path(&copy), torn.concat()).unwrap();
            assert_eq!(silent_damage(&copy), None, "after a sync: {synced}");
        }
    }
}

/// Overwrites the first of some bytes, so that a check finds damage.
fn damage(object: &Scratch, bytes: &[u8]) {
    let all = fs::read(path(object)).unwrap();
    let at = all.windows(bytes.len()).position(|window| window == bytes).unwrap();
    fs::OpenOptions::new().write(true).open(path(object)).unwrap().write_all_at(&[255; 8], at as u64).unwrap();
}

#[test]
fn a_copy_is_checked_once_and_then_belongs_to_its_file() {
    let object = Scratch::file("origin-original");
    let tab = manage(object.open()).unwrap();
    fill(&tab, 0);
    drop(tab);
    let copy = Scratch::file("origin-copy");
    fs::copy(path(&object), path(&copy)).unwrap();
    // Through a read-only descriptor it is checked as well, but remains a copy.
    for _ in 0..2 {
        let reader = manage(Shm::options().read_only(true).open(copy.name()).unwrap()).unwrap();
        assert_eq!(reader.len().unwrap(), 2000);
    }
    let tab = manage(copy.open()).unwrap();
    assert_eq!(tab.len().unwrap(), 2000);
    drop(tab);
    damage(&copy, b"key 77\0\0");
    manage(copy.open()).unwrap();
    // Another one is checked again.
    let second = Scratch::file("origin-copy");
    fs::copy(path(&copy), path(&second)).unwrap();
    let error = manage(second.open()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }) && error.to_string().contains("copy"), "{error}");
    let reader = manage(Shm::options().read_only(true).open(second.name()).unwrap());
    assert!(matches!(reader, Err(Error::Corrupt { .. })));
    netshm::repair(second.name()).unwrap();
    manage(second.open()).unwrap();
}

#[test]
fn a_file_that_is_moved_is_no_copy() {
    let object = Scratch::file("origin-moved");
    let tab = manage(object.open()).unwrap();
    fill(&tab, 0);
    drop(tab);
    damage(&object, b"key 77\0\0");
    let moved = Scratch::file("origin-moved");
    fs::rename(path(&object), path(&moved)).unwrap();
    manage(moved.open()).unwrap();
}

/// The copy of an object that has been deleted often gets its inode's number.
#[test]
fn a_copy_in_an_inode_of_the_same_number_is_checked() {
    let directory = Directory::new("origin-again");
    let (path, backup) = (directory.join("object"), directory.join("backup"));
    let name = ShmName::file(&path).unwrap();
    let open = || manage(Shm::options().create(true).open(&name).unwrap());
    fill(&open().unwrap(), 0);
    let mut all = fs::read(&path).unwrap();
    let at = all.windows(8).position(|window| window == b"key 77\0\0").unwrap();
    all[at..at + 8].fill(255);
    fs::write(&backup, all).unwrap();
    let number = fs::metadata(&path).unwrap().ino();
    let is_told = Command::new("stat").args(["-c", "%W"]).arg(&path).output().is_ok_and(|told| told.stdout != b"0\n");
    for _ in 0..20 {
        fs::remove_file(&path).unwrap();
        fs::copy(&backup, &path).unwrap();
        if fs::metadata(&path).unwrap().ino() == number {
            match open() {
                Err(Error::Corrupt { .. }) => {}
                Ok(_) if !is_told => println!("skipped: the file system does not tell when a file was made"),
                other => panic!("{other:?}"),
            }
            return;
        }
    }
    println!("skipped: the file system does not use the numbers of inodes again");
}

/// Sets the boot ids in the header: the newest one, and the one before it.
fn set_boots(object: &Scratch, newest: Option<[u8; 16]>, before: Option<[u8; 16]>) {
    const BOOTS: u64 = 1152;
    let file = fs::OpenOptions::new().read(true).write(true).open(path(object)).unwrap();
    for (at, id) in [(BOOTS, newest), (BOOTS + 16, before)] {
        if let Some(id) = id {
            file.write_all_at(&id, at).unwrap();
        }
    }
}

fn boot_of(object: &Scratch) -> [u8; 16] {
    fs::read(path(object)).unwrap()[1152..1168].try_into().unwrap()
}

/// A reader in a container with another boot id, or none, believes in no reboot as long as a writer is there.
#[test]
fn whoever_uses_an_object_shows_that_there_was_no_reboot() {
    let object = Scratch::file("origin-container");
    let tab = manage(object.open()).unwrap();
    fill(&tab, 0);
    set_boots(&object, Some([7; 16]), None);
    damage(&object, b"key 77\0\0");
    let read_only = || Shm::options().read_only(true).open(object.name()).unwrap();
    let reader = manage(read_only()).unwrap();
    // Nor does the next writer; it notes the boot.
    let mut user = Child::start("shm_origin::holder of a group", &[&object.name().to_string()]);
    assert_eq!(user.line().as_deref(), Some("open"));
    assert_ne!(boot_of(&object), [7; 16]);
    set_boots(&object, Some([7; 16]), Some([8; 16]));
    drop(tab);
    manage(read_only()).unwrap();
    user.kill();
    // Readers believe each other. Writers do not believe them: whoever may read the file can hold their lock.
    manage(read_only()).unwrap();
    let error = manage(object.open()).unwrap_err();
    assert!(error.to_string().contains("went down"), "{error}");
    drop(reader);
    // Nobody is there now, and no boot is known.
    set_boots(&object, Some([7; 16]), Some([8; 16]));
    let error = manage(read_only()).unwrap_err();
    assert!(error.to_string().contains("went down"), "{error}");
}

#[test]
fn containers_with_boot_ids_of_their_own_take_turns_without_checks() {
    let object = Scratch::file("origin-turns");
    let tab = manage(object.open()).unwrap();
    fill(&tab, 0);
    drop(tab);
    let own = boot_of(&object);
    damage(&object, b"key 77\0\0");
    for other in 1..=3 {
        set_boots(&object, Some([other; 16]), Some(own));
        manage(object.open()).unwrap();
    }
    set_boots(&object, Some([7; 16]), Some([8; 16]));
    assert!(manage(object.open()).is_err());
}

/// A check without locks that finds something beside a writer, or what a dead one left, says that it proves nothing.
#[test]
fn a_check_beside_a_writer_says_that_it_proves_nothing() {
    let object = Scratch::file("origin-disturbed");
    let tab = manage(object.open()).unwrap();
    fill(&tab, 0);
    tab.add("held", &1).unwrap();
    let reader = manage(Shm::options().read_only(true).open(object.name()).unwrap()).unwrap();
    let mut user = Child::start("shm_origin::holder of a group", &[&object.name().to_string()]);
    assert_eq!(user.line().as_deref(), Some("open"));
    let report = reader.check().unwrap();
    assert!(report.is_clean() && !report.disturbed, "what is sound is sound all the same: {report}");
    damage(&object, b"key 77\0\0");
    for _ in ["alive", "dead"] {
        let report = reader.check().unwrap();
        assert!(!report.is_clean() && report.disturbed, "{report}");
        assert!(report.to_string().contains("they prove nothing"), "{report}");
        user.kill();
    }
    // Whoever writes undoes what it left.
    tab.replace("held", &3).unwrap();
    for table in [&reader, &tab] {
        let report = table.check().unwrap();
        assert!(!report.is_clean() && !report.disturbed, "{report}");
        assert!(!report.to_string().contains("they prove nothing"), "{report}");
    }
}

/// Opens the object in a process that cannot find out which boot it runs under: what it said, if that can be had here.
fn opened_without_boot_id(object: &Scratch) -> Option<String> {
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", "mount -t tmpfs none /proc || exit 77; exec \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap());
    let mut opener = Child::start_under(command, "shm_origin::opener", &[&object.name().to_string()]);
    let line = opener.line();
    if line.is_none() {
        println!("skipped: this needs the rights to mount");
    }
    assert!(line.is_none() || opener.wait().success());
    line
}

/// Without a boot id nothing is said of reboots, and those that are known are not forgotten.
#[test]
fn whoever_knows_no_boot_says_nothing_of_reboots() {
    let made_without = Scratch::file("origin-no-boot");
    let Some(line) = opened_without_boot_id(&made_without) else { return };
    assert_eq!(line, "created");
    assert_eq!(boot_of(&made_without), [0; 16]);
    // It is dirty, and no boot is known to be this one: so it is checked, once.
    damage(&made_without, b"key 77\0\0");
    let error = manage(made_without.open()).unwrap_err();
    assert!(error.to_string().contains("went down"), "{error}");
    assert_eq!(opened_without_boot_id(&made_without).as_deref(), Some("open"));

    let object = Scratch::file("origin-no-boot");
    fill(&manage(object.open()).unwrap(), 0);
    let own = boot_of(&object);
    assert_ne!(own, [0; 16]);
    damage(&object, b"key 77\0\0");
    assert_eq!(opened_without_boot_id(&object).as_deref(), Some("open"));
    assert_eq!(boot_of(&object), own);
    manage(object.open()).unwrap();
    set_boots(&object, Some([7; 16]), Some([8; 16]));
    assert_eq!(opened_without_boot_id(&object).as_deref(), Some("open"));
    assert_eq!(boot_of(&object), [7; 16]);
    assert!(manage(object.open()).is_err(), "the next one that knows its boot checks it");
}

/// A file that is emptied while somebody has it mapped does not become a second object in the same inode.
#[test]
fn an_emptied_file_is_not_initialised_while_it_is_in_use() {
    let object = Scratch::file("origin-emptied");
    let mut user = Child::start("shm_origin::user", &[&object.name().to_string()]);
    assert_eq!(user.line().as_deref(), Some("open"));
    fs::write(path(&object), "").unwrap();
    let error = manage(object.open()).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }) && error.to_string().contains("emptied"), "{error}");
    assert_eq!(fs::metadata(path(&object)).unwrap().len(), 0);
    user.kill();
    assert!(manage(object.open()).unwrap().is_empty().unwrap());
}

/// Processes that have it mapped learn it from the next operation that looks at the file, as do those that open it again.
#[test]
fn a_file_cut_short_or_overwritten_under_its_users_is_an_error() {
    for is_cut in [true, false] {
        let (object, other) = (Scratch::file("origin-cut"), Scratch::file("origin-cut"));
        let tab = manage(object.open()).unwrap();
        fill(&tab, 0);
        let reader = manage(Shm::options().read_only(true).open(object.name()).unwrap()).unwrap();
        let file = fs::OpenOptions::new().write(true).open(path(&object)).unwrap();
        let size = file.metadata().unwrap().len();
        if is_cut {
            // Only what nothing has been stored in yet: a look at the rest would be a signal.
            file.set_len(size + 8192).unwrap();
            for table in [&tab, &reader] {
                table.stats().unwrap();
            }
            file.set_len(size + 4096).unwrap();
        } else {
            fill(&manage(other.open()).unwrap(), 5000);
            file.write_all_at(&fs::read(path(&other)).unwrap(), 0).unwrap();
        }
        let is_told = |outcome: Result<()>| match outcome {
            Err(Error::Corrupt { what: "the object has been truncated", .. }) => assert!(is_cut),
            Err(Error::Replaced { .. }) => assert!(!is_cut),
            other => panic!("{other:?}"),
        };
        for table in [&tab, &reader] {
            is_told(table.stats().map(drop));
            is_told(table.shm().stats().map(drop));
        }
        is_told(manage(object.open()).map(drop));
    }
}

/// What is written through a handle opened before a repair must not go to the file that the repair has replaced.
#[test]
fn an_object_opened_before_a_repair_is_opened_anew_after_it() {
    let object = Scratch::file("origin-repaired");
    let tab = manage(object.open()).unwrap();
    fill(&tab, 0);
    drop(tab);
    let before = object.open();
    let reader = Shm::options().read_only(true).open(object.name()).unwrap();
    let other = Child::start("shm_origin::waiter", &[&object.name().to_string()]);
    assert_eq!(other.line().as_deref(), Some("open"));
    netshm::repair(object.name()).unwrap();
    other.succeed();
    let tab = manage(before).unwrap();
    tab.add("mine", &1).unwrap();
    let now = manage(object.open()).unwrap();
    assert_eq!((now.find("mine").unwrap(), now.find("other's").unwrap()), (Some(1), Some(2)));
    assert_eq!(manage(reader).unwrap().find("mine").unwrap(), Some(1));
}

#[test]
fn a_name_that_stands_for_another_file_is_noticed() {
    let object = Scratch::file("origin-renamed");
    let other = Scratch::file("origin-renamed");
    let tab = manage(other.open()).unwrap();
    tab.add("other", &1).unwrap();
    drop(tab);
    let before = object.open();
    let created = {
        object.name().unlink().unwrap();
        Shm::options().create_new(true).open(object.name()).unwrap()
    };
    // A name that has been deleted says nothing.
    let unnamed = Scratch::file("origin-unnamed").open();
    manage(unnamed).unwrap().add("kept", &1).unwrap();
    fs::rename(path(&other), path(&object)).unwrap();
    assert_eq!(manage(before).unwrap().find("other").unwrap(), Some(1));
    // The new object has not been created.
    let error = manage(created).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
}

/// Verbs of a handle that was opened before another object got its name: none changes the old one, which nobody would find again.
#[test]
fn no_verb_changes_an_object_that_has_been_replaced() {
    let directory = Directory::new("origin-verbs");
    let name = |file: &str| ShmName::file(directory.join(file)).unwrap();
    let members = |name: &ShmName| {
        let open = || Shm::options().create(true).open(name).unwrap();
        ["one", "two"].map(|member| HashTable::<u64, u64>::options().named(member).manage(open()).unwrap())
    };
    type Verb = (&'static str, fn(&Shm, &ShmName) -> Result<()>);
    let verbs: [Verb; 10] = [
        ("members", |shm, _| shm.members().map(drop)),
        ("remove_member", |shm, _| shm.remove_member("two")),
        ("copy_to", |shm, copy| shm.copy_to(copy)),
        ("trim", |shm, _| shm.trim().map(drop)),
        ("stats", |shm, _| shm.stats().map(drop)),
        ("watch", |shm, _| shm.watch().map(drop)),
        ("trim_schema", |shm, _| shm.trim_schema::<HashTable<u64, u64>>(Some("one")).map(drop)),
        ("unlink_unused", |shm, _| shm.name().unlink_unused()),
        ("unlink", |shm, _| shm.name().unlink()),
        ("manage", |shm, _| {
            let table = HashTable::<u64, u64>::options().named("one").manage(shm.clone())?;
            assert_eq!(table.find(&0)?, Some(2), "it is opened anew");
            table.add(&1, &1)
        }),
    ];
    for (what, verb) in verbs {
        for (file, value) in [("old", 1), ("new", 2)] {
            members(&name(file))[0].replace(&0, &value).unwrap();
        }
        let shm = Shm::open(name("old")).unwrap();
        fs::hard_link(directory.join("old"), directory.join("kept")).unwrap();
        fs::rename(directory.join("new"), directory.join("old")).unwrap();
        let before = fs::read(directory.join("kept")).unwrap();
        match verb(&shm, &name("copy")) {
            Err(Error::Replaced { .. }) => {}
            Err(Error::Io { .. }) if what.starts_with("unlink") => {}
            Ok(()) if what == "manage" => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(fs::read(directory.join("kept")).unwrap(), before, "{what} changes what has been replaced");
        let [one, two] = members(&name("old"));
        assert_eq!((one.find(&0).unwrap(), two.len().unwrap()), (Some(2), 0), "{what}");
        assert!(!directory.join("copy").exists(), "{what}");
        drop((shm, one, two));
        for file in ["kept", "old"] {
            fs::remove_file(directory.join(file)).unwrap();
        }
    }
}

pub(crate) fn child(part: &str, arguments: &[String]) {
    match part {
        "user" => {
            let tab = manage(Shm::options().create(true).open(&arguments[0].parse().unwrap()).unwrap()).unwrap();
            fill(&tab, 0);
            println!("> open");
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
        "opener" => {
            let shm = Shm::options().create(true).open(&arguments[0].parse().unwrap()).unwrap();
            let is_new = shm.size().unwrap() == 0;
            match manage(shm) {
                Ok(tab) if is_new => {
                    fill(&tab, 0);
                    println!("> created");
                }
                Ok(tab) => {
                    tab.add("written", &1).unwrap();
                    println!("> open");
                }
                Err(error) => println!("> {error}"),
            }
        }
        "holder of a group" => {
            let tab = manage(Shm::open(&arguments[0]).unwrap()).unwrap();
            tab.group(|| -> Result<()> {
                tab.replace("held", &2)?;
                println!("> open");
                std::thread::sleep(std::time::Duration::from_secs(600));
                Ok(())
            })
            .unwrap();
        }
        "waiter" => {
            let name = &arguments[0];
            let inode = || fs::metadata(arguments[0].replace("file:", "")).unwrap().ino();
            let (shm, before) = (Shm::open(name).unwrap(), inode());
            println!("> open");
            while inode() == before {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            manage(shm).unwrap().add("other's", &2).unwrap();
        }
        other => panic!("no such part: {other}"),
    }
}
