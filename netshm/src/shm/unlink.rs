//! Deleting names, which may still be those of open objects.

use std::io;

use super::registry::is_open;
use crate::error::{Error, Result};
use crate::name::ShmName;
use crate::os::file::Identity;
use crate::os::path;

impl ShmName {
    /// Deletes the name. Processes that have the object open keep it; it is gone when the last of them closes it.
    ///
    /// A name returned by [`Shm::name`](crate::Shm::name) is deleted only if it still stands for the file that was opened, as
    /// long as this process has that file open.
    ///
    /// ```
    /// use netshm::{Error, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/unlink.XXXXXXXX", 0o600)?;
    /// shm.name().unlink()?;
    /// assert_eq!(shm.size()?, 0); // still there for us
    /// assert!(matches!(Shm::open(shm.name()), Err(Error::Io { .. })));
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`], for instance if there is no such object.
    #[doc(alias = "unlink_shm")]
    #[doc(alias = "shm_unlink")]
    #[doc(alias = "destroy")]
    #[doc(alias = "drop_database")]
    pub fn unlink(&self) -> Result<()> {
        let outcome = match self.open_file() {
            Some(identity) => unlink_same(self, identity),
            None => path::unlink(&self.path()),
        };
        outcome.map_err(|source| Error::Io { object: self.to_string().into(), doing: "deleting the name", source })
    }

    /// Returns the file that was opened by the name, as long as this process has it open.
    pub(crate) fn open_file(&self) -> Option<Identity> {
        self.opened().filter(|identity| is_open(*identity))
    }
}

fn unlink_same(name: &ShmName, identity: Identity) -> io::Result<()> {
    if path::remove(&name.path(), identity)? { Ok(()) } else { Err(is_anothers()) }
}

/// Returns the error for a name that stands for another file than it should.
pub(crate) fn is_anothers() -> io::Error {
    let text = "the name stands for another file now, which was left alone";
    io::Error::new(io::ErrorKind::NotFound, text)
}
