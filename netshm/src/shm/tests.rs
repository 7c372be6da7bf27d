//! Tests of what only the layers above see: locks, shared descriptors, forked children.

use std::env;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::registry;
use super::{Object, Shm};
use crate::error::Error;
use crate::hash_table::HashTable;
use crate::inspect::Inspector;
use crate::name::ShmName;
use crate::os::file;
use crate::os::fork::tests::{in_child, refuse_call, status_of_child};
use crate::os::lock::{self, LockKind, Outcome, bytes};
use crate::os::path;
use crate::testing::Directory;

impl Directory {
    fn create(&self, file: &str) -> Shm {
        Shm::options().create_new(true).open(&self.name(file)).unwrap()
    }
}

/// Returns the number of descriptors of this process that are open on the file.
fn descriptors_of(path: &Path) -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter(|entry| std::fs::read_link(entry.as_ref().unwrap().path()).is_ok_and(|target| target == path))
        .count()
}

fn lock_stripe(shm: &Shm) {
    let outcome = lock::record_lock(shm.object().fd(), LockKind::Exclusive, bytes::STRIPE, 1, true).unwrap();
    assert_eq!(outcome, Outcome::Locked);
}

const PROBED: &str = "NETSHM_TEST_PROBED";

/// Returns whether another process finds the stripe locked.
fn stripe_is_locked(path: &Path) -> bool {
    let probe = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "shm::tests::probe", "--nocapture"])
        .env(PROBED, path)
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&probe.stdout).into_owned();
    assert!(probe.status.success(), "{answer}");
    match (answer.contains("stripe: locked"), answer.contains("stripe: free")) {
        (true, false) => true,
        (false, true) => false,
        _ => panic!("{answer}"),
    }
}

#[test]
#[ignore = "the other process of other tests"]
fn probe() {
    let Some(path) = env::var_os(PROBED) else { return };
    let shm = Shm::open(ShmName::file(path).unwrap()).unwrap();
    match lock::record_lock(shm.object().fd(), LockKind::Exclusive, bytes::STRIPE, 1, false).unwrap() {
        Outcome::Locked => println!("stripe: free"),
        _ => println!("stripe: locked"),
    }
}

#[test]
fn handles_of_an_object_share_it() {
    let directory = Directory::new();
    let first = directory.create("a");
    std::fs::hard_link(directory.path("a"), directory.path("b")).unwrap();
    let second = Shm::open(directory.name("b")).unwrap();
    assert!(Arc::ptr_eq(first.object(), second.object()));
    assert_eq!(second.name(), &directory.name("b"));
    let reader = Shm::options().read_only(true).open(&directory.name("a")).unwrap();
    assert!(!Arc::ptr_eq(first.object(), reader.object()));
    assert!(reader.object().read_only() && !first.object().read_only());
    // One lock for managing the inode, whatever the access.
    let guard = reader.object().manage_guard();
    thread::scope(|scope| {
        let other = scope.spawn(|| drop(first.object().manage_guard()));
        drop(guard);
        other.join().unwrap();
    });
    assert_eq!(&**second.object().name(), directory.name("a").to_string());
}

#[test]
fn opening_and_closing_again_keeps_record_locks() {
    let directory = Directory::new();
    let path = directory.path("a");
    let shm = directory.create("a");
    assert!(!stripe_is_locked(&path));
    lock_stripe(&shm);
    assert!(stripe_is_locked(&path));

    Shm::open(directory.name("a")).unwrap().close().unwrap();
    assert!(stripe_is_locked(&path));
    for _ in 0..10 {
        drop(Shm::options().read_only(true).open(&directory.name("a")).unwrap());
        drop(Shm::options().truncate(true).open(&directory.name("a")).unwrap());
    }
    assert!(stripe_is_locked(&path));
    assert!(matches!(Shm::options().create_new(true).open(&directory.name("a")), Err(Error::Io { .. })));
    assert!(stripe_is_locked(&path));

    // The locks go with the last handle, of whatever kind.
    let reader = Shm::options().read_only(true).open(&directory.name("a")).unwrap();
    drop(shm);
    assert!(stripe_is_locked(&path));
    drop(reader);
    assert!(!stripe_is_locked(&path));
    assert_eq!(descriptors_of(&path), 0);
}

#[test]
fn a_file_opened_by_mistake_keeps_the_locks_of_its_own_object() {
    let directory = Directory::new();
    let (shm, other) = (directory.create("a"), directory.create("b"));
    lock_stripe(&shm);
    let place = path::Directory::find(&directory.path("a"), false).unwrap();
    let wanted = file::identity(other.object().fd()).unwrap();
    let before = descriptors_of(&directory.path("a"));
    assert!(registry::open_by_name(&mut registry::lock(), &place, wanted, true).unwrap().is_none());
    assert_eq!(descriptors_of(&directory.path("a")), before + 1);
    assert!(stripe_is_locked(&directory.path("a")));
    drop(shm);
    assert_eq!(descriptors_of(&directory.path("a")), 0);
}

#[test]
fn idle_descriptors_are_used_again() {
    let directory = Directory::new();
    let path = directory.path("a");
    let reader_options = Shm::options().read_only(true);
    let writer = directory.create("a");
    for _ in 0..50 {
        drop(reader_options.open(&directory.name("a")).unwrap());
    }
    assert_eq!(descriptors_of(&path), 4);
    let reader = reader_options.open(&directory.name("a")).unwrap();
    drop(writer);
    for _ in 0..50 {
        drop(Shm::open(directory.name("a")).unwrap());
    }
    assert_eq!(descriptors_of(&path), 4);
    drop(reader);
    assert_eq!(descriptors_of(&path), 0);
}

#[test]
fn an_idle_descriptor_bears_no_lock() {
    let directory = Directory::new();
    let reader = {
        let writer = directory.create("a");
        let outcome = lock::ofd_lock(writer.object().lock_fd(), LockKind::Exclusive, bytes::PROCESS, false).unwrap();
        assert_eq!(outcome, Outcome::Locked);
        Shm::options().read_only(true).open(&directory.name("a")).unwrap()
    };
    assert!(!lock::ofd_held_elsewhere(reader.object().lock_fd(), bytes::PROCESS).unwrap());
}

#[test]
fn threads_open_and_close_at_once() {
    let directory = Directory::new();
    let path = directory.path("a");
    for round in 0..30 {
        thread::scope(|scope| {
            for id in 0..6 {
                let name = directory.name("a");
                scope.spawn(move || {
                    for step in 0..20 {
                        let shm = if (id + step + round) % 3 == 0 {
                            // The file may not be there yet.
                            let Ok(shm) = Shm::options().read_only(true).open(&name) else { continue };
                            shm
                        } else {
                            Shm::options().create(true).open(&name).unwrap()
                        };
                        let again = Shm::options().read_only(shm.is_read_only()).open(&name).unwrap();
                        assert!(Arc::ptr_eq(shm.object(), again.object()));
                        assert_eq!(again.size().unwrap(), 0);
                    }
                });
            }
        });
        assert_eq!(descriptors_of(&path), 0);
        directory.name("a").unlink().unwrap();
    }
}

#[test]
fn an_object_in_use_is_not_emptied() {
    let directory = Directory::new();
    let name = directory.name("a");
    std::fs::write(directory.path("a"), "content").unwrap();
    let shm = Shm::open(&name).unwrap();
    let shared = |shm: &Shm| {
        let outcome = lock::ofd_lock(shm.object().lock_fd(), LockKind::Shared, bytes::USE, false).unwrap();
        assert_eq!(outcome, Outcome::Locked);
    };
    shared(&shm);
    // The lock is our own, which must not help.
    assert!(matches!(Shm::options().truncate(true).open(&name), Err(Error::InUse { .. })));
    assert_eq!(shm.size().unwrap(), 7);
    let reader = Shm::options().read_only(true).open(&name).unwrap();
    shared(&reader);
    drop(shm);
    assert!(matches!(Shm::options().truncate(true).open(&name), Err(Error::InUse { .. })));
    assert_eq!(reader.size().unwrap(), 7);
    drop(reader);
    assert_eq!(Shm::options().truncate(true).open(&name).unwrap().size().unwrap(), 0);
}

#[test]
fn a_child_opens_anew() {
    let directory = Directory::new();
    let name = directory.name("a");
    let mut inherited = Some(directory.create("a"));
    let shm = inherited.as_ref().unwrap();
    let generation = shm.object().generation();
    lock_stripe(shm);
    let lock_number = shm.object().lock_fd().as_raw_fd();
    let is_open = |object: &Object| {
        let same = |fd| file::identity(fd).is_ok_and(|is| is == object.identity());
        same(object.fd()) && file::is_intact(&object.lock_fd(), object.identity())
    };
    assert!(in_child(|| {
        let old = inherited.take().unwrap();
        let says_so = matches!(old.object().check_fork(), Err(Error::Forked { .. }))
            && matches!(old.size(), Err(Error::Forked { .. }))
            && matches!(old.set_mode(0o600), Err(Error::Forked { .. }));
        // The lock descriptor has been closed, so sooner or later another file gets its number.
        let others: Vec<_> = (0..200).map_while(|_| File::open("/").ok()).collect();
        let Ok(new) = Shm::open(&name) else { return false };
        let new_ones = [new.object().fd().as_raw_fd(), new.object().lock_fd().as_raw_fd()];
        let mut numbers = new_ones.into_iter().chain(others.iter().map(AsRawFd::as_raw_fd));
        let Some(reused) = numbers.find(|fd| *fd == lock_number) else { return false };
        let fresh = !Arc::ptr_eq(old.object(), new.object()) && new.object().generation() != generation;
        let closed = matches!(old.close(), Err(Error::Forked { .. }));
        says_so && fresh && closed && is_open(new.object()) && file::identity_of_number(reused).is_ok()
    }));
    // The parent has noticed nothing.
    let shm = inherited.as_ref().unwrap();
    assert!(is_open(shm.object()));
    assert_eq!(shm.size().unwrap(), 0);
    assert!(stripe_is_locked(&directory.path("a")));
    assert!(Arc::ptr_eq(shm.object(), Shm::open(&name).unwrap().object()));
}

#[test]
fn a_child_opens_anew_though_the_registry_was_locked() {
    let directory = Directory::new();
    let shm = directory.create("a");
    let name = directory.name("a");
    let guard = registry::lock();
    assert!(in_child(|| Shm::open(&name).is_ok_and(|new| new.size().is_ok())));
    drop(guard);
    assert!(shm.size().is_ok(), "the child has closed a descriptor of its parent");
}

#[test]
fn there_is_one_store_for_each_access() {
    let directory = Directory::new();
    let writer = directory.create("a");
    let reader = Shm::options().read_only(true).open(&directory.name("a")).unwrap();
    let attached: Arc<dyn std::any::Any + Send + Sync> = Arc::new(7_u32);
    *writer.object().store_slot().lock().unwrap() = Some(Arc::downgrade(&attached));
    let found = Shm::open(directory.name("a")).unwrap();
    let found = found.object().store_slot().lock().unwrap().as_ref().unwrap().upgrade().unwrap();
    assert_eq!(found.downcast_ref(), Some(&7_u32));
    assert!(reader.object().store_slot().lock().unwrap().is_none());
}

/// Sandboxes refuse what they do not know, with one error number or another.
#[test]
fn what_a_sandbox_refuses_is_named_or_done_without() {
    let directory = Directory::new();
    let name = directory.name("a");
    drop(Shm::options().create(true).open(&name).unwrap());
    for errno in [libc::EPERM, libc::ENOSYS, libc::EINVAL] {
        let status = status_of_child(|| {
            if errno != libc::EINVAL && (!refuse_call(libc::SYS_faccessat2, None, errno) || Shm::open(&name).is_err()) {
                return 1;
            }
            if !refuse_call(libc::SYS_fcntl, Some(libc::F_OFD_SETLK), errno) {
                return 2;
            }
            let error = Shm::open(&name).and_then(|shm| HashTable::<u64, u64>::options().manage(shm)).unwrap_err();
            let text = error.to_string();
            if text.contains("locks of open file descriptions") { 0 } else { 3 }
        });
        assert_eq!(status, 0, "error number {errno}");
    }
}

/// Whatever a sandbox refuses, operations work, or are errors; none panics, or waits for ever.
#[test]
fn operations_in_sandboxes() {
    // Done without.
    let spared = [
        libc::SYS_fallocate,
        libc::SYS_prlimit64,
        libc::SYS_statx,
        libc::SYS_fstatfs,
        libc::SYS_getrandom,
        libc::SYS_futex,
        libc::SYS_madvise,
        libc::SYS_ioctl,
        libc::SYS_sched_yield,
        libc::SYS_membarrier,
        libc::SYS_memfd_create,
        libc::SYS_openat2,
    ];
    // What needs them fails.
    let needed = [
        libc::SYS_readlink,
        libc::SYS_linkat,
        libc::SYS_fchmod,
        libc::SYS_msync,
        libc::SYS_fdatasync,
        libc::SYS_ftruncate,
        libc::SYS_unlinkat,
    ];
    for call in spared.into_iter().chain(needed) {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let directory = Directory::new();
            let names = ["a", "b"].map(|file| directory.name(file));
            let status = status_of_child(|| {
                if !refuse_call(call, None, errno) {
                    return 0;
                }
                let failed = failures(&names);
                for (step, error) in &failed {
                    eprintln!("without system call {call} (error {errno}), {step}: {error}");
                }
                i32::from(!failed.is_empty() && spared.contains(&call))
            });
            assert_eq!(status, 0, "system call {call}, error number {errno}");
        }
    }
}

/// Uses an object in several ways. Returns those that fail.
fn failures(names: &[ShmName; 2]) -> Vec<(&'static str, Error)> {
    let [name, copy] = names;
    let open = || {
        let options = HashTable::<u64, String>::options().stripes(2).lock_timeout(Duration::from_secs(5));
        options.manage(Shm::open_or_create(name)?)
    };
    let mut failed = Vec::new();
    let table = match open() {
        Ok(table) => table,
        Err(error) => return vec![("create", error)],
    };
    let mut step = |step, outcome: Result<(), Error>| failed.extend(outcome.err().map(|error| (step, error)));
    step("add", (0..300).try_for_each(|key| table.add(&key, &"text".repeat(100))));
    step("group", table.group(|| table.clear().and_then(|()| table.add(&1, "one"))));
    let waited = table.wait_until(&1, Some(Duration::from_millis(5)), |text| text.is_none());
    step("wait", if matches!(waited, Err(Error::WaitTimeout { .. })) { Ok(()) } else { waited.map(drop) });
    step("trim", table.shm().trim().map(drop));
    step("sync", table.sync());
    step("copy", table.shm().copy_to(copy));
    step("check", table.check().map(drop));
    step("mode", table.shm().set_mode(0o600));
    step("reopen", table.shm().reopen().map(drop));
    drop(table);
    step("inspect", Inspector::open(name).and_then(|inspector| inspector.look()).map(drop));
    step("repair", crate::repair(name).map(drop));
    step("open", open().and_then(|table| table.find(&1)).map(drop));
    step("unlink", name.unlink());
    failed
}
