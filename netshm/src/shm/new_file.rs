//! Files that get their name only when they are complete.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::registry;
use crate::name::ShmName;
use crate::os::path::Directory;
use crate::os::{file, path, pause};

/// A file that is going to have a name. Dropped before that, it is gone.
#[derive(Debug)]
pub(crate) struct NewFile {
    place: Directory,
    fd: Option<OwnedFd>,
    /// Its present name, where the file system has no files without one.
    beside: Option<OsString>,
    /// True if it lies in storage that outlives the system.
    is_file: bool,
}

impl NewFile {
    /// Creates an empty file where the name is to be; an error if there is something of that name.
    pub(crate) fn create(name: &ShmName, follow_symlinks: bool, mode: u32) -> io::Result<NewFile> {
        let place = Directory::find(&name.path(), follow_symlinks)?;
        if place.is_taken() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let nameless = if cfg!(test) && tests::named() { None } else { place.create_nameless(mode)? };
        let (fd, beside) = match nameless {
            Some(fd) => (fd, None),
            None => {
                let beside = OsString::from(format!(".netshm-copy-{:016x}", file::random()?));
                (place.create_beside(&beside, mode)?, Some(beside))
            }
        };
        let new = NewFile { place, fd: Some(fd), beside, is_file: name.is_file() };
        path::check_mappable(new.fd())?;
        file::write_in_place(new.fd());
        Ok(new)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().unwrap_or_else(|| unreachable!("there until it is dropped")).as_fd()
    }

    /// Writes the file to storage, and then gives it its name; an error if there is something of that name by now.
    pub(crate) fn publish(mut self) -> io::Result<()> {
        let entries = self.is_file.then(|| self.place.entries()).transpose()?;
        file::sync_data(self.fd())?;
        pause::at("a copy is about to get its name");
        match &self.beside {
            None => self.place.link(self.fd())?,
            Some(beside) => self.place.rename_beside(beside)?,
        }
        self.beside = None;
        let synced = entries.map_or(Ok(()), |entries| entries.sync());
        if synced.is_err() {
            // What is told to have failed is not there.
            let _ = file::identity(self.fd()).and_then(|identity| self.place.remove(identity));
        }
        synced
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            self.place.remove_beside(beside);
        }
        // Another thread may have opened it already, and its record locks must not go with this descriptor.
        if let Some(fd) = self.fd.take() {
            let _ = registry::discard(fd);
        }
    }
}

#[cfg(not(test))]
mod tests {
    pub(super) fn named() -> bool {
        false
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// True if this thread acts as on a file system that has no files without a name.
        pub(crate) static NAMED: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn named() -> bool {
        NAMED.get()
    }
}
