//! Deleting names, which may still be those of open objects.

use std::io;

use super::registry::is_open;
use crate::error::{Error, Result};
use crate::name::ShmName;
use crate::os::file::Identity;
use crate::os::path::{self, Directory};

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
    pub fn unlink(&self) -> Result<()> {
        let outcome = match self.opened() {
            Some(identity) if is_open(identity) => unlink_same(self, identity),
            _ => path::unlink(&self.path()),
        };
        outcome.map_err(|source| Error::Io { object: self.to_string().into(), doing: "deleting the name", source })
    }
}

fn unlink_same(name: &ShmName, identity: Identity) -> io::Result<()> {
    if Directory::find(&name.path(), true)?.remove(identity)? {
        return Ok(());
    }
    let text = "the name stands for another file now, which was left alone";
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}
