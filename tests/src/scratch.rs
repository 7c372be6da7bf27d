//! Objects and directories that are removed at the end, whatever the outcome.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
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

/// A directory that nobody else uses, for its owner only; dropping it removes it and its files.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Makes a directory for temporary files; `subject` is part of its name.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn new(subject: &str) -> Directory {
        Self::below(&std::env::temp_dir(), subject)
    }

    /// Makes a directory in memory, where there is such a place.
    ///
    /// # Panics
    /// If it cannot be created.
    pub fn in_memory(subject: &str) -> Directory {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self::below(memory, subject) } else { Self::new(subject) }
    }

    fn below(parent: &Path, subject: &str) -> Directory {
        let path = parent.join(unique(subject));
        DirBuilder::new().mode(0o700).create(&path).expect("a directory of our own can be created");
        Directory(path)
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns its path as text.
    ///
    /// # Panics
    /// If the place for temporary files is not named in UTF-8.
    pub fn text(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }

    /// Returns the path of a file in it.
    pub fn join(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// Returns the name of an object in it.
    ///
    /// # Panics
    /// If `file` may not stand in a name.
    pub fn name(&self, file: &str) -> ShmName {
        ShmName::file(self.join(file)).expect("a file name that may stand in a name")
    }

    /// Returns the names of its files, in the order of the alphabet.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn entries(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).expect("a directory of our own can be read");
        let name = |file: std::io::Result<fs::DirEntry>| file.expect("an entry").file_name();
        let mut names: Vec<String> = files.map(|file| name(file).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a name that no other test uses; `subject` is part of it.
pub fn unique(subject: &str) -> String {
    format!("netshm-test-{}-{}-{subject}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
