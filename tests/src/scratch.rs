//! Objects that are removed at the end, whatever the outcome.

use std::sync::atomic::{AtomicUsize, Ordering};

use netshm::{Shm, ShmName};

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The name of an object that nobody else uses; dropping it removes the object.
#[derive(Debug)]
pub struct Scratch(ShmName);

impl Scratch {
    /// Makes a name in POSIX shared memory; `subject` is part of it.
    ///
    /// # Panics
    /// If `subject` may not stand in a name.
    pub fn posix(subject: &str) -> Scratch {
        Scratch(ShmName::posix(format!("/{}", unique(subject))).expect("a subject that may stand in a name"))
    }

    /// Returns a file in the directory for temporary files.
    ///
    /// # Panics
    /// If `subject` may not stand in a name.
    pub fn file(subject: &str) -> Scratch {
        Scratch(ShmName::file(std::env::temp_dir().join(unique(subject))).expect("a subject that may stand in a name"))
    }

    /// Returns the name.
    pub fn name(&self) -> &ShmName {
        &self.0
    }

    /// Opens the object, which is created if there is none.
    ///
    /// # Panics
    /// If that fails.
    #[track_caller]
    pub fn open(&self) -> Shm {
        Shm::options().create(true).open(&self.0).expect("an object of our own can be opened")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.unlink();
    }
}

fn unique(subject: &str) -> String {
    format!("netshm-test-{}-{}-{subject}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
