//! What the tests of names and descriptors share.
#![allow(dead_code)]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use netshm::{Error, ShmName};

static NEXT: AtomicUsize = AtomicUsize::new(0);

fn unique() -> String {
    format!("netshm-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new directory, for the owner only, that is removed in the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        let path = std::env::temp_dir().join(unique());
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    pub(crate) fn name(&self, file: &str) -> ShmName {
        ShmName::file(self.path(file)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a name in shared memory that nobody else uses; the test deletes it.
pub(crate) fn posix_name(subject: &str) -> ShmName {
    ShmName::posix(format!("/{}-{subject}", unique())).unwrap()
}

/// Returns the system's error in an [`Error::Io`].
#[track_caller]
pub(crate) fn io_error<T>(result: Result<T, Error>) -> io::Error {
    match result {
        Err(Error::Io { source, .. }) => source,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("no error"),
    }
}

/// Returns the permission bits of a file.
pub(crate) fn mode_of(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
