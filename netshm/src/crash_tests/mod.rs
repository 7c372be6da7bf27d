//! Every operation, stopped after every single store that it makes to shared memory.
//!
//! For each n a forked child runs the operation on a copy of a prepared object and stops after its n-th step. This process,
//! which has the copy open for writing and for reading, reads at once what is committed. Then the child is killed: the
//! operation must have happened as a whole or not at all, as it was read before, the object must be sound, and it must go on
//! working.

mod arrays;
mod circles;
mod copies;
mod declared;
mod forks;
mod full;
mod half_written;
mod inherited;
mod lines;
mod marks;
mod members;
mod memory;
mod pairs;
mod recovery;
mod regrowth;
mod remains;
mod schema;
mod stopped_readers;
mod tables;
mod threads;
mod twice;
mod whole_objects;
mod words;

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::FileExt;

use crate::check::Report;
use crate::error::Result;
use crate::layout::header::BOOTS;
use crate::layout::method::Locking;
use crate::os::fork::tests::{Child, status_of_child};
use crate::os::steps;
use crate::shm::Shm;
use crate::testing::{Image, Scratch};

/// Exit status of a process that was stopped after a step.
const STOPPED: i32 = 99;
/// After this number of steps only every fifth one is tried, unless [`tries_all`]: an operation of thousands of steps does the same
/// to each of many keys, and takes a minute.
const DENSE_STEPS: u64 = 300;
/// More steps than any operation here takes; reaching them means that something never ends.
const MOST_STEPS: u64 = 200_000;
/// The methods under which somebody may be killed while others go on.
pub(super) const METHODS: [Locking; 3] = [Locking::None, Locking::Record, Locking::Futex];

/// Returns whether no step is to be left out, however long that takes.
pub(super) fn tries_all() -> bool {
    std::env::var_os("NETSHM_EVERY_STEP").is_some()
}

/// Returns whether an operation under that method is stopped after that step. `None` and `Record` make the stores of `Futex`, apart
/// from those to lock words, so each of them is stopped after one step of five, unless [`tries_all`].
fn is_tried(locking: Locking, step: u64) -> bool {
    tries_all()
        || match locking {
            Locking::Futex => step < DENSE_STEPS || step.is_multiple_of(5),
            Locking::None => step.is_multiple_of(5),
            Locking::Record => step % 5 == 2,
        }
}

/// Returns a stride for operations under that method: a longer one for `None` and `Record`; none if [`tries_all`].
pub(super) fn stride_for(locking: Locking, stride: u64) -> u64 {
    match locking {
        _ if tries_all() => 1,
        Locking::Futex => stride,
        _ => stride * 5,
    }
}

/// An operation on an object, and how to inspect the result.
pub(super) struct Case<'a, T, D> {
    pub(super) name: String,
    pub(super) open: &'a dyn Fn(Shm) -> Result<T>,
    pub(super) prepare: &'a dyn Fn(&T) -> Result<()>,
    pub(super) act: &'a dyn Fn(&T) -> Result<()>,
    /// Everything that users can see.
    pub(super) dump: &'a dyn Fn(&T) -> Result<D>,
    pub(super) check: &'a dyn Fn(&T) -> Result<Report>,
}

impl<T, D: PartialEq + Debug> Case<'_, T, D> {
    /// Returns the bytes of an object that is ready for the operation.
    fn prepared(&self) -> Vec<u8> {
        let copy = Scratch::new();
        let object = (self.open)(copy.open()).unwrap();
        (self.prepare)(&object).unwrap();
        drop(object);
        fs::read(&copy.0).unwrap()
    }

    /// Writes the prepared object to a fresh file, and stops the operation after `step` steps. Returns whether it got that far.
    fn stopped(&self, prepared: &Image<'_>, copy: &Scratch, step: u64) -> bool {
        prepared.write(&copy.0);
        let status = status_of_child(|| {
            // One process id for all steps: else the n-th step would not be the one after the n-1st.
            steps::pretend_id(0);
            let Ok(object) = (self.open)(copy.open()) else { return 2 };
            steps::stop_after(Some(step));
            let outcome = (self.act)(&object);
            steps::stop_after(None);
            if outcome.is_ok() { 0 } else { 3 }
        });
        assert!(matches!(status, 0 | STOPPED), "{}, step {step}: the writer ended with {status}", self.name);
        status == STOPPED
    }

    /// Works like [`stopped`](Self::stopped), but the operation is stopped and killed later, and others read meanwhile: what
    /// they find, 0 for the content before the operation, 1 for that after it.
    #[track_caller]
    fn watched(&self, prepared: &Image<'_>, copy: &Scratch, both: &[D; 2], step: u64) -> (bool, usize) {
        prepared.write(&copy.0);
        let others = [copy.open(), Shm::options().read_only(true).open(&copy.name()).unwrap()]
            .map(|shm| (self.open)(shm).unwrap());
        let mut child = Child::start(|| {
            steps::pretend_id(0);
            let Ok(object) = (self.open)(copy.open()) else { return 2 };
            steps::pause_after(step);
            let outcome = (self.act)(&object);
            steps::stop_after(None);
            if outcome.is_ok() { 0 } else { 3 }
        });
        let status = child.wait();
        assert!(matches!(status, None | Some(0)), "{}, step {step}: the writer ended with {status:?}", self.name);
        let [writable, read_only] = &others;
        let mut seen = None;
        let mut look = |who: &str, object: &T| {
            let found =
                (self.dump)(object).unwrap_or_else(|error| panic!("{}, step {step}, {who}: {error}", self.name));
            let which = both.iter().position(|content| *content == found);
            let which = which.unwrap_or_else(|| panic!("{}, step {step}, {who}: {found:?}, but {both:?}", self.name));
            assert_eq!(
                *seen.get_or_insert(which),
                which,
                "{}, step {step}: not what others have seen, {who}",
                self.name
            );
        };
        // Each of them after every second step; together they look at every one.
        if step.is_multiple_of(2) {
            look("read-only beside the stopped one", read_only);
            drop(child);
            look("writable after its death", writable);
        } else {
            look("writable beside the stopped one", writable);
            drop(child);
            look("read-only after its death", read_only);
        }
        (status.is_none(), seen.unwrap_or_else(|| unreachable!("somebody has looked")))
    }

    /// Returns the content before and after.
    fn both(&self, prepared: &Image<'_>) -> [D; 2] {
        let copy = Scratch::new();
        prepared.write(&copy.0);
        let object = (self.open)(copy.open()).unwrap();
        let before = (self.dump)(&object).unwrap();
        (self.act)(&object).unwrap();
        [before, (self.dump)(&object).unwrap()]
    }

    /// Returns what is found in an object whose writer died: 0 for the content before the operation, 1 for that after it.
    #[track_caller]
    fn found(&self, copy: &Scratch, both: &[D; 2], step: u64) -> usize {
        if step.is_multiple_of(3) {
            // The system went down in good order afterwards: all pages were written back.
            let file = fs::File::options().read(true).write(true).open(&copy.0).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, BOOTS.bytes()).unwrap();
            file.write_all_at(&[byte[0] ^ 1], BOOTS.bytes()).unwrap();
        }
        let object = (self.open)(copy.open()).unwrap_or_else(|error| panic!("{}, step {step}: {error}", self.name));
        let found = (self.dump)(&object).unwrap();
        let Some(which) = both.iter().position(|content| *content == found) else {
            panic!("{}, step {step}: neither before nor after: {found:?}, but {both:?}", self.name);
        };
        let report = (self.check)(&object).unwrap();
        assert!(report.is_clean(), "{}, step {step}: {report}", self.name);
        (self.act)(&object).unwrap();
        if which == 0 {
            assert!((self.dump)(&object).unwrap() == both[1], "{}, step {step}: the second time", self.name);
        }
        let report = (self.check)(&object).unwrap();
        assert!(report.is_clean(), "{}, step {step}, done anew: {report}", self.name);
        which
    }

    /// Stops the operation, which is one under Futex, after every single step, as far as [`DENSE_STEPS`] says.
    #[track_caller]
    pub(super) fn run(&self) {
        self.run_under(Locking::Futex);
    }

    /// Stops the operation, which is one under that method, after the steps of [`is_tried`].
    #[track_caller]
    pub(super) fn run_under(&self, locking: Locking) {
        self.run_at((0..).filter(|step| is_tried(locking, *step)));
    }

    /// Stops the operation after each `stride`-th step, where every single one would take too long; unless [`tries_all`].
    #[track_caller]
    pub(super) fn run_each(&self, stride: u64) {
        self.run_at((0..).step_by(stride_for(Locking::Futex, stride) as usize));
    }

    #[track_caller]
    fn run_at(&self, steps: impl Iterator<Item = u64>) {
        let prepared = self.prepared();
        let prepared = Image::of(&prepared);
        let both = self.both(&prepared);
        let mut committed = false;
        for step in steps.take_while(|step| *step < MOST_STEPS) {
            let copy = Scratch::new();
            let (stopped, seen) = self.watched(&prepared, &copy, &both, step);
            let which = self.found(&copy, &both, step);
            assert!(which == seen || both[0] == both[1], "{}, step {step}: read {seen}, but found {which}", self.name);
            if !stopped {
                assert!(which == 1 || both[0] == both[1], "{}: done, but not there", self.name);
                assert!(step > 5, "{}: {step} steps are too few to be true", self.name);
                return;
            }
            // What is committed stays so, however soon afterwards the writer dies.
            assert!(which == 1 || !committed || both[0] == both[1], "{}, step {step}: undone after all", self.name);
            committed |= which == 1;
        }
        panic!("{}: takes more than {MOST_STEPS} steps", self.name);
    }
}
