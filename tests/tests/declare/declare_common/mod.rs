//! A directory that goes away at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Returns a name that no other test uses.
pub(crate) fn unique(subject: &str) -> String {
    format!("netshm-test-{subject}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A directory that nobody else uses; dropping it removes it and its files.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes a directory for temporary files; `subject` is part of its name.
    ///
    /// # Panics
    /// If it cannot be created.
    pub(crate) fn new(subject: &str) -> Directory {
        let path = std::env::temp_dir().join(unique(subject));
        fs::create_dir(&path).expect("a directory of our own can be created");
        Directory(path)
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the names of its files, in the order of the alphabet.
    ///
    /// # Panics
    /// If it cannot be read.
    pub(crate) fn entries(&self) -> Vec<String> {
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
