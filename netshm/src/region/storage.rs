//! The file behind the mapping: its size, its memory and its storage.
#![deny(unsafe_code)]

use std::sync::Arc;

use super::Region;
use crate::error::{Error, Result};
use crate::events;
use crate::layout::Geometry;
use crate::layout::header::HEADER_BYTES;
use crate::os::file;
use crate::os::map::Mapping;
use crate::shm::Object;

impl Region {
    /// Fails if there is no room to map an object of that shape.
    pub(crate) fn try_map(object: &Object, geometry: &Geometry) -> Result<()> {
        Self::mapping(object, geometry).map(drop)
    }

    /// Maps the object, or says why that is impossible.
    pub(super) fn mapping(object: &Object, geometry: &Geometry) -> Result<Mapping> {
        let io = |source| Error::Io { object: object.name().clone(), doing: "map", source };
        Mapping::new(object.fd(), geometry.max_size, !object.read_only()).map_err(|source| match source.raw_os_error() {
            Some(libc::ENOMEM) => Error::InvalidOption {
                option: "max_size",
                value: geometry.max_size.to_string(),
                reason: format!(
                    "{}: the address space has no room to map it (see RLIMIT_AS, `ulimit -v`); choose a smaller one",
                    object.name()
                ),
            },
            Some(libc::EAGAIN) => {
                let text = "the program locks all its memory (mlockall with MCL_FUTURE), and the limit RLIMIT_MEMLOCK \
                            (`ulimit -l`) is below the object's `max_size`; raise the limit, lock with MCL_ONFAULT, or \
                            choose a smaller `max_size`";
                io(std::io::Error::new(source.kind(), text))
            }
            _ => io(source),
        })
    }

    /// Returns the bytes of the file, as the system says.
    pub(crate) fn file_size(&self) -> Result<u64> {
        self.refresh_end()
    }

    /// Makes sure that the file has bytes up to `end`.
    pub(crate) fn grow(&self, end: u64) -> Result<()> {
        let size = self.refresh_end()?;
        if end > self.geometry.max_size {
            return Err(Error::Full { object: self.name(), limit: self.geometry.max_size, needed: end - size });
        }
        if end > size {
            #[cfg(test)]
            if super::tests::FULL.get() {
                return Err(no_space(&self.name(), end - size, std::io::Error::from_raw_os_error(libc::ENOSPC)));
            }
            file::allocate(self.object.fd(), size, end - size)
                .map_err(|source| no_space(&self.name(), end - size, source))?;
            self.refresh_end()?;
            events::grown(self.object.name(), size, end);
        }
        Ok(())
    }

    /// Returns whether the object lies in a file system that has no storage but memory.
    #[cold]
    pub(crate) fn is_in_memory(&self) -> bool {
        file::is_in_memory(self.object.fd())
    }

    /// Makes sure that a part of a file in memory can be read. The system looks at it, which gives holes memory; otherwise a look at one
    /// raises SIGBUS where there is none.
    #[cold]
    pub(crate) fn back(&self, start: u64, end: u64) -> Result<()> {
        let length = end.min(self.known_end()).saturating_sub(start);
        // An old kernel does not look.
        self.map
            .populate(start as usize, length as usize)
            .map(drop)
            .map_err(|_| no_space(&self.name(), length, std::io::Error::from_raw_os_error(libc::ENOSPC)))
    }

    /// Returns whether the kernel looks.
    #[cfg(test)]
    pub(crate) fn is_looked_at(&self) -> bool {
        matches!(self.map.populate(0, 8), Ok(true))
    }

    /// Returns whether a look at a hole of the file may take memory.
    #[cold]
    pub(crate) fn holes_take_memory(&self) -> bool {
        file::holes_take_memory(self.object.fd())
    }

    /// Makes sure that a part of the file that may be a hole has memory.
    #[cold]
    pub(crate) fn fill(&self, start: u64, end: u64) -> Result<()> {
        self.object.check_descriptors()?;
        let end = end.min(self.known_end());
        let bytes = end.saturating_sub(start);
        #[cfg(test)]
        if super::tests::FULL.get() {
            return Err(no_space(&self.name(), bytes, std::io::Error::from_raw_os_error(libc::ENOSPC)));
        }
        file::allocate(self.object.fd(), start, bytes).map_err(|source| no_space(&self.name(), bytes, source))
    }

    /// Gives the memory of a part of the file back to the system, so that it is a hole; returns the bytes given back. `None` where
    /// the file system cannot.
    #[cold]
    pub(crate) fn punch(&self, start: u64, end: u64) -> Result<Option<u64>> {
        self.object.check_descriptors()?;
        let io = |source| Error::Io { object: self.name(), doing: "give memory back", source };
        let before = file::allocated(self.object.fd()).map_err(io)?;
        if !file::punch(self.object.fd(), start, end.min(self.known_end()).saturating_sub(start)).map_err(io)? {
            return Ok(None);
        }
        Ok(Some(before.saturating_sub(file::allocated(self.object.fd()).map_err(io)?)))
    }

    /// Returns the bytes that the file takes up.
    pub(crate) fn allocated(&self) -> Result<u64> {
        self.object.check_descriptors()?;
        file::allocated(self.object.fd()).map_err(|source| Error::Io {
            object: self.name(),
            doing: "look up its memory",
            source,
        })
    }

    /// Writes what is mapped back to the file's storage.
    pub(crate) fn flush(&self) -> Result<()> {
        self.object.check_descriptors()?;
        self.map
            .flush(0, self.known_end() as usize)
            .and_then(|()| file::sync_data(self.object.fd()))
            .map_err(|source| Error::Io { object: self.name(), doing: "write back", source })
    }

    /// Writes the header back.
    pub(crate) fn flush_header(&self) -> Result<()> {
        self.map.flush(0, HEADER_BYTES as usize).map_err(|source| Error::Io {
            object: self.name(),
            doing: "write back the header",
            source,
        })
    }
}

/// Returns the error for growth that failed: for lack of room, or for another reason.
pub(crate) fn no_space(object: &Arc<str>, needed: u64, source: std::io::Error) -> Error {
    match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EFBIG | libc::EDQUOT | libc::ENOMEM) => {
            Error::NoSpace { object: object.clone(), needed, source }
        }
        _ => Error::Io { object: object.clone(), doing: "grow", source },
    }
}
