//! What the tests of names and descriptors share.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use netshm::{Error, ShmName};
use netshm_tests::unique;

/// Returns a name in shared memory that nobody else uses; the test deletes it.
pub(crate) fn posix_name(subject: &str) -> ShmName {
    ShmName::posix(format!("/{}", unique(subject))).unwrap()
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
