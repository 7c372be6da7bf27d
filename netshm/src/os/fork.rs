//! Detects forks: tells a forked child from its parent.
//!
//! A page of our own bears the number of this process's *fork generation*. The kernel hands a forked child that page
//! filled with zeros (`MADV_WIPEONFORK`), so a child is noticed even if it was made without the C library and ran no
//! handler. A handler registered with `pthread_atfork` clears the page too, for kernels that do not know the advice,
//! and closes the inherited lock descriptors at once (see [`lock_fd`]). Others keep forks from coming between (see
//! [`fork_gate`]).
//!
//! | page word | meaning |
//! |---|---|
//! | 0 | wiped by a fork that ran no handlers |
//! | 1 | a thread is about to begin a new generation |
//! | 2.. | the generation |
//! | 2^64 - 1 | no generation yet, and nothing to do before one begins |
#![allow(unsafe_code)]

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::thread;

use memmap2::MmapMut;
use rustix::mm::{Advice, madvise};

use super::{fork_gate, lock_fd};

const WIPED: u64 = 0;
const BEGINNING: u64 = 1;
const READY: u64 = u64::MAX;

/// The word in the wiped page. Set once and never unmapped.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// The last generation number given out. A child inherits it, so it never repeats a number of its ancestors.
static LAST: AtomicU64 = AtomicU64::new(BEGINNING);

/// Returns whether `generation` was begun in this very process: false in every forked child.
#[inline]
pub(crate) fn is_current(generation: u64) -> bool {
    page().is_some_and(|word| word.load(Ordering::Acquire) == generation)
}

/// A generation, with a reference to the word that tells whether it is still current.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Generation {
    word: &'static AtomicU64,
    number: u64,
}

impl Generation {
    /// Returns the generation with that number.
    pub(crate) fn of(number: u64) -> Self {
        Generation { word: prepared_page(), number }
    }

    /// Works like [`is_current`].
    #[inline(always)]
    pub(crate) fn is_current(self) -> bool {
        self.is(self.number)
    }

    /// Returns whether that number is the generation of this process.
    #[inline(always)]
    pub(crate) fn is(self, number: u64) -> bool {
        self.word.load(Ordering::Acquire) == number
    }
}

/// Makes sure that there is a page, which may need memory. Whoever opens an object calls it first.
pub(crate) fn prepare() -> io::Result<()> {
    if page().is_none() {
        create_page()?;
    }
    Ok(())
}

/// Returns the fork generation of this process, never zero; the first call in a process begins one.
pub(crate) fn generation() -> u64 {
    let word = prepared_page();
    loop {
        let seen = word.load(Ordering::Acquire);
        match seen {
            WIPED | READY => {}
            BEGINNING => {
                thread::yield_now();
                continue;
            }
            current => return current,
        }
        if word.compare_exchange(seen, BEGINNING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // Not where the handler has done it: another thread may be forking by now, and needs its gate.
            if seen == WIPED {
                // Only descriptors inherited from the parent can be in the table: own ones come after a generation.
                lock_fd::close_inherited();
                fork_gate::reopen();
            }
            let new = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            word.store(new, Ordering::Release);
            return new;
        }
    }
}

#[inline]
fn page() -> Option<&'static AtomicU64> {
    // SAFETY: `as_ref` requires null or a pointer that is convertible to a reference. `PAGE` is null or the start of a page, so
    // it is aligned; the page stays mapped until the process ends, any bytes are a word, and they change inside the atomic only.
    // (In a forked child the kernel zeroes the page before the child runs.)
    unsafe { PAGE.load(Ordering::Acquire).as_ref() }
}

/// Returns the page. It is there already, except in unit tests.
#[inline]
fn prepared_page() -> &'static AtomicU64 {
    page().unwrap_or_else(|| create_page().expect("tests have memory for a page"))
}

/// Maps the page, unless another thread was faster. Not a `OnceLock`: a fork while another thread initialises one
/// would leave it locked for ever in the child.
#[cold]
fn create_page() -> io::Result<&'static AtomicU64> {
    let mut map = MmapMut::map_anon(size_of::<AtomicU64>())?;
    // Kernels before 4.14 refuse; then the handler alone has to do.
    // SAFETY: `madvise` requires that the range is ours to give advice on: it is a fresh mapping, whose content in a child
    // nothing but this module relies on.
    let _ = unsafe { madvise(map.as_mut_ptr().cast(), map.len(), Advice::LinuxWipeOnFork) };
    let new = map.as_mut_ptr().cast::<AtomicU64>();
    // SAFETY: the start of a page that nobody else knows, and that is mapped as long as `map` is not dropped.
    unsafe { new.as_ref() }.expect("not null").store(BEGINNING, Ordering::Relaxed);
    if PAGE.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire).is_ok() {
        std::mem::forget(map);
        // SAFETY: `pthread_atfork` requires functions that can be called at every later fork: these live as long as the program.
        // POSIX allows the child's only what is async-signal-safe: it stores to atomics, and calls `fstat` and `close`.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        // Only now may others begin a generation. A child that was forked before has a page that is wiped.
        page().expect("just set").store(READY, Ordering::Release);
    }
    Ok(page().expect("just set"))
}

unsafe extern "C" fn before_fork() {
    fork_gate::before_fork();
}

unsafe extern "C" fn in_parent() {
    fork_gate::after_fork();
}

/// Runs in the child, inside `fork`, where only async-signal-safe calls are allowed and no other thread exists.
unsafe extern "C" fn in_child() {
    lock_fd::close_inherited();
    fork_gate::reopen();
    if let Some(word) = page() {
        word.store(READY, Ordering::Release);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    /// Returns whether `body` is true in a forked child. The child must not panic, for it has no other threads to hold the
    /// locks that printing takes.
    pub(crate) fn in_child(body: impl FnOnce() -> bool) -> bool {
        status_of_child(|| i32::from(!body())) == 0
    }

    /// Returns what a forked child ends with: the status that `body` returns, or that it ends the process with. A child that
    /// takes longer than 20 seconds ends by a signal, which is -1 here.
    pub(crate) fn status_of_child(body: impl FnOnce() -> i32) -> i32 {
        // SAFETY: after `fork` the child of a process with threads may do only what needs no lock that another thread holds:
        // the C library keeps its allocator usable, and `body` needs no other lock.
        let pid = unsafe { libc::fork() };
        run_child(pid, || {
            // SAFETY: `alarm` accesses no memory.
            unsafe { libc::alarm(20) };
            body()
        })
    }

    /// Forks in the middle of whatever calls this. Returns true in the child, which goes on and has to end by [`end_here`]; false in
    /// the parent, once `ended` has got the child's status.
    pub(crate) fn fork_here(ended: impl FnOnce(i32)) -> bool {
        // SAFETY: after `fork` the child of a process with threads may do only what needs no lock that another thread holds:
        // the C library keeps its allocator usable, and the callers need no other lock.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: `alarm` accesses no memory.
            unsafe { libc::alarm(20) };
            return true;
        }
        ended(run_child(pid, || unreachable!("it is another process")));
        false
    }

    /// Ends a forked child at once.
    pub(crate) fn end_here(status: i32) -> ! {
        // SAFETY: `_exit` ends the process at once, without handlers or destructors.
        unsafe { libc::_exit(status) }
    }

    /// Runs `body` in a child made by a system call that the C library does not notice, hence without handlers. `body` must not
    /// even allocate.
    fn in_unnoticed_child(body: impl FnOnce() -> bool) -> bool {
        // SAFETY: `clone` without flags is a plain fork: no memory is shared, and the stack is copied. `body` does not allocate.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        run_child(pid as libc::pid_t, || i32::from(!body())) == 0
    }

    /// Closes a descriptor number, whatever it stands for, in a child that is about to end.
    pub(crate) fn close_number(fd: i32) {
        // SAFETY: `close` accesses no memory. No owner closes the number again without looking at what it stands for.
        unsafe { libc::close(fd) };
    }

    /// Drops the superuser's rights in a forked child, if it has them.
    pub(crate) fn give_up_root() {
        // SAFETY: `setgid` accesses no memory; it fails without the right to make it.
        unsafe { libc::setgid(65534) };
        // SAFETY: `setuid` accesses no memory; it fails without the right to make it.
        unsafe { libc::setuid(65534) };
    }

    /// Returns this thread, for [`interrupt`].
    pub(crate) fn this_thread() -> libc::pthread_t {
        // SAFETY: `pthread_self` has no preconditions.
        unsafe { libc::pthread_self() }
    }

    /// Sends a running thread of this process a signal, whose handler does nothing.
    pub(crate) fn interrupt(thread: libc::pthread_t) {
        extern "C" fn nothing(_: libc::c_int) {}
        // SAFETY: `zeroed` requires that all zeros are a value: a `sigaction` has integers and an optional function. Without
        // flags, system calls are not restarted.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = nothing as *const () as usize;
        // SAFETY: `sigaction` requires a handler that is async-signal-safe: it does nothing. No other test uses the signal.
        let outcome = unsafe { libc::sigaction(libc::SIGUSR2, &action, std::ptr::null_mut()) };
        assert_eq!(outcome, 0);
        // SAFETY: `pthread_kill` requires a thread that has not ended, for which the caller vouches.
        unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
    }

    /// Lets a system call of this process fail from now on, as a sandbox does: only with that second argument, if one is given.
    /// Returns whether that could be arranged.
    pub(crate) fn refuse_call(number: libc::c_long, second: Option<i32>, errno: i32) -> bool {
        const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let second_offset = 24;
        let mut filter = [
            step(LOAD, 0, 0, 0),
            step(EQUAL, 0, 3, number as u32),
            step(LOAD, 0, 0, second_offset),
            step(EQUAL, 0, 1, second.unwrap_or(0) as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
            step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        if second.is_none() {
            filter[3] = step(EQUAL, 0, 0, 0);
        }
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: this `prctl` takes numbers and accesses no memory.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return false;
        }
        // SAFETY: this `prctl` reads the program and its steps, which live across the call, and copies them.
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0 }
    }

    /// Stops the process until it is told to go on.
    pub(crate) fn stop_here() {
        // SAFETY: `raise` accesses no memory of ours; SIGSTOP runs no handler.
        unsafe { libc::raise(libc::SIGSTOP) };
    }

    fn run_child(pid: libc::pid_t, body: impl FnOnce() -> i32) -> i32 {
        assert!(pid >= 0, "no child");
        if pid == 0 {
            // A panic must not go on in a copy of the test harness.
            let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(101);
            // SAFETY: `_exit` ends the process at once, without handlers or destructors.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `waitpid` writes one integer through the pointer, which is a local variable.
        let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
        assert_eq!(waited, pid);
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
    }

    /// A forked child that can be stopped; it is killed when this is dropped.
    pub(crate) struct Child(libc::pid_t);

    impl Child {
        /// Runs `body` in a child, which ends with the status that `body` gives.
        pub(crate) fn start(body: impl FnOnce() -> i32) -> Child {
            Self::start_for(60, body)
        }

        /// Runs `body` in a child that is killed after that number of seconds.
        pub(crate) fn start_for(seconds: u32, body: impl FnOnce() -> i32) -> Child {
            // SAFETY: after `fork` the child of a process with threads may do only what needs no lock that another thread
            // holds: the C library keeps its allocator usable, and `body` needs no other lock.
            let pid = unsafe { libc::fork() };
            assert!(pid >= 0, "no child");
            if pid == 0 {
                // SAFETY: this `prctl` takes numbers. It asks for a kill when the forking thread ends, which a stopped child
                // would outlive.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                // SAFETY: `alarm` accesses no memory.
                unsafe { libc::alarm(seconds) };
                let code = body();
                // SAFETY: `_exit` ends the process at once, without handlers or destructors.
                unsafe { libc::_exit(code) };
            }
            Child(pid)
        }

        /// Waits until it stops itself (`None`) or ends.
        pub(crate) fn wait(&mut self) -> Option<i32> {
            let mut status = 0;
            // SAFETY: `waitpid` writes one integer through the pointer, which is a local variable.
            let waited = unsafe { libc::waitpid(self.0, &mut status, libc::WUNTRACED) };
            assert_eq!(waited, self.0);
            if libc::WIFSTOPPED(status) {
                return None;
            }
            self.0 = 0;
            Some(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 })
        }

        /// Returns the status that it has ended with, if it has.
        pub(crate) fn poll(&mut self) -> Option<i32> {
            let mut status = 0;
            // SAFETY: `waitpid` writes one integer through the pointer, which is a local variable.
            let waited = unsafe { libc::waitpid(self.0, &mut status, libc::WNOHANG) };
            if waited == 0 {
                return None;
            }
            assert_eq!(waited, self.0);
            self.0 = 0;
            Some(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 })
        }

        pub(crate) fn pid(&self) -> u32 {
            self.0 as u32
        }

        /// Stops it where it is.
        pub(crate) fn stop(&mut self) {
            self.signal(libc::SIGSTOP);
            assert_eq!(self.wait(), None, "it ended before");
        }

        /// Lets it go on.
        pub(crate) fn go_on(&self) {
            self.signal(libc::SIGCONT);
        }

        fn signal(&self, signal: i32) {
            // SAFETY: `kill` accesses no memory. The child has not been waited for, so no other process has the number.
            assert_eq!(unsafe { libc::kill(self.0, signal) }, 0);
        }
    }

    impl Drop for Child {
        fn drop(&mut self) {
            if self.0 != 0 {
                self.signal(libc::SIGKILL);
                while self.wait().is_none() {}
            }
        }
    }

    #[test]
    fn one_generation_for_all_threads() {
        let here = generation();
        assert!(here > BEGINNING);
        assert_eq!(thread::spawn(generation).join().unwrap(), here);
        assert!(is_current(here) && Generation::of(here).is_current());
        assert!(!is_current(here + 1) && !Generation::of(here + 1).is_current());
        assert!(!is_current(WIPED));
    }

    #[test]
    fn a_child_begins_a_new_generation() {
        let here = generation();
        let held = Generation::of(here);
        let body = || {
            let before = is_current(here) || held.is_current();
            let new = generation();
            !before && new != here && is_current(new) && !is_current(here) && !held.is_current() && generation() == new
        };
        assert!(in_child(body));
        assert!(in_unnoticed_child(body));
        assert!(is_current(here));
    }

    #[test]
    fn a_child_does_not_keep_its_parents_locks() {
        use crate::os::lock::{self, LockKind, Outcome, bytes};
        use crate::testing::Scratch;
        use std::os::fd::{AsFd, AsRawFd};

        generation();
        let scratch = Scratch::empty();
        let held = scratch.open_for_locks();
        let outcome = lock::ofd_lock(held.as_fd(), LockKind::Exclusive, bytes::PROCESS, false).unwrap();
        assert_eq!(outcome, Outcome::Locked);
        let number = held.as_fd().as_raw_fd();
        // SAFETY: `F_GETFD` takes no argument and accesses no memory; the number need not be open.
        let is_open = || unsafe { libc::fcntl(number, libc::F_GETFD) } != -1;
        assert!(in_child(|| !is_open()));
        // Without the handler, the next look at the generation does it.
        assert!(in_unnoticed_child(|| {
            let before = is_open();
            generation();
            before && !is_open()
        }));
        let other = scratch.file();
        assert!(lock::ofd_held_elsewhere(other.as_fd(), bytes::PROCESS).unwrap());
        drop(held);
        assert!(!lock::ofd_held_elsewhere(other.as_fd(), bytes::PROCESS).unwrap());
    }

    #[test]
    fn a_fork_waits_for_a_lock_descriptor_to_be_entered() {
        use crate::os::{file, pause};
        use crate::testing::Scratch;
        use std::os::fd::AsFd;
        use std::sync::mpsc::channel;
        use std::time::Duration;

        let scratch = Scratch::empty();
        let wanted = file::identity(scratch.file().as_fd()).unwrap();
        let (forker, forks) = channel();
        pause::once_at("a lock descriptor is open", move || {
            let (forked, has_forked) = channel();
            let thread = thread::spawn(move || {
                let inherits_nothing = in_child(|| {
                    let is_wanted = |fd| file::identity_of_number(fd).is_ok_and(|is| is == wanted);
                    !(3..1024).any(is_wanted)
                });
                let _ = forked.send(());
                inherits_nothing
            });
            // If it does not wait for us, it has forked by then.
            let _ = has_forked.recv_timeout(Duration::from_millis(400));
            forker.send(thread).unwrap();
        });
        let held = scratch.open_for_locks();
        assert!(forks.recv().unwrap().join().unwrap(), "the child keeps its parent's locks");
        drop(held);
    }

    #[test]
    fn a_fork_by_the_thread_that_holds_forks_off_goes_on() {
        let gate = fork_gate::NoFork::begin();
        assert!(in_child(|| {
            drop(fork_gate::NoFork::begin());
            true
        }));
        // Still closed for others.
        let other = thread::spawn(|| drop(fork_gate::NoFork::begin()));
        thread::sleep(std::time::Duration::from_millis(20));
        assert!(!other.is_finished());
        drop(gate);
        other.join().unwrap();
    }

    /// A thread that uses an object for the first time in a forked child, while another one is forking.
    #[test]
    fn a_first_generation_does_not_let_others_into_a_fork() {
        assert!(in_child(|| {
            fork_gate::before_fork();
            let other = thread::spawn(generation).join().is_ok();
            let is_held = fork_gate::is_held();
            fork_gate::after_fork();
            other && is_held && !fork_gate::is_held()
        }));
    }

    #[test]
    fn an_unnoticed_child_leaves_reused_numbers_alone() {
        use crate::testing::Scratch;
        use std::os::fd::{AsFd, AsRawFd};

        generation();
        let (scratch, other) = (Scratch::empty(), Scratch::empty());
        let held = scratch.open_for_locks();
        let (number, other) = (held.as_fd().as_raw_fd(), other.file());
        assert!(in_unnoticed_child(|| {
            // SAFETY: `dup2` accesses no memory. The child puts another file under the number, as one that closes everything and
            // opens files of its own may do; no owner uses the number before it has looked at the file.
            unsafe { libc::dup2(other.as_raw_fd(), number) };
            generation();
            // SAFETY: `F_GETFD` takes no argument and accesses no memory; the number need not be open.
            unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
        }));
    }
}
