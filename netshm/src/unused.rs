//! Deleting objects that nobody uses.

use std::os::fd::AsFd;

use crate::error::{Error, Result};
use crate::name::ShmName;
use crate::os::lease;
use crate::os::path::Directory;
use crate::shm::{Shm, is_anothers};
use crate::store::open::Alone;

impl ShmName {
    /// Deletes the name of an object that provably nobody has open: for cleaning up what programs have left behind.
    ///
    /// It is locked meanwhile, so that nobody manages it; and where the kernel reports it (to the owner of the file, through a lease, on
    /// most file systems), nobody may have opened it either, without managing it yet. A process that opens it at that very
    /// moment finds it replaced, and opens the name again. An object that was being created when its creator died, and a
    /// file that is not an object, are left alone.
    ///
    /// ```
    /// use netshm::{Error, HashTable, Locking, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/unused.XXXXXXXX", 0o600)?;
    /// let name = shm.name().clone();
    /// let table: HashTable<u64, u64> = HashTable::manage(shm, Locking::Futex)?;
    /// assert!(matches!(name.unlink_unused(), Err(Error::InUse { .. })));
    /// drop(table);
    /// name.unlink_unused()?;
    /// assert!(Shm::open(&name).is_err());
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// A name returned by [`Shm::name`] is deleted only if it still stands for the file that was opened, as long as this process has
    /// that file open.
    ///
    /// # Errors
    /// [`Error::InUse`] if anybody has it open; [`Error::NotNetshm`] if it is no object; [`Error::UnsupportedVersion`], and
    /// [`Error::Corrupt`] if the header is damaged, since then nothing is known about it; [`Error::Io`].
    #[doc(alias = "garbage")]
    #[doc(alias = "gc")]
    pub fn unlink_unused(&self) -> Result<()> {
        const WANTED: &str = "delete it";
        let failed = |source| Error::Io { object: self.to_string().into(), doing: "deleting the name", source };
        let place = Directory::find(&self.path(), true).map_err(failed)?;
        // Through a descriptor of its own, which is the only one if nobody has the object open.
        let alone = place.open(true).map_err(failed)?;
        if lease::is_open_elsewhere(alone.as_fd()) == Some(true) {
            return Err(Error::InUse { object: self.to_string().into(), wanted: WANTED });
        }
        drop(alone);
        let shm = Shm::open(self)?;
        if self.open_file().is_some_and(|opened| opened != shm.object().identity()) {
            return Err(failed(is_anothers()));
        }
        let alone = Alone::open(&shm, WANTED)?;
        if !place.remove(shm.object().identity()).map_err(failed)? {
            return Err(failed(is_anothers()));
        }
        alone.mark_replaced();
        Ok(())
    }
}
