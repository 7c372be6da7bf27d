//! The part of the object that is known to be there: how far the file reaches, and which stripes have space in it.

use std::sync::atomic::Ordering;

use super::Region;
use crate::error::{Error, Result};
use crate::layout::WORD;
use crate::layout::header::{ID, STRIPES_USED};
use crate::os::atomic::acquire;
use crate::os::file;

impl Region {
    /// Returns how many stripes are used, the meta stripe among them; at least that one, and not more than there is room for.
    pub(crate) fn stripes_used(&self) -> u32 {
        let used = acquire(self.header(STRIPES_USED)).clamp(1, u64::from(self.geometry.stripe_room) + 1) as u32;
        let backed = self.backed.load(Ordering::Relaxed);
        if used <= backed { used } else { self.back_stripes(backed, used) }
    }

    /// Makes sure that the stripes said to be in use have file space, as they do unless the number is damaged. On a full tmpfs, a
    /// mere look at a hole raises SIGBUS, so the system looks. That needs no descriptor: undoing a change comes here too. Returns how
    /// many have space.
    #[cold]
    fn back_stripes(&self, backed: u32, used: u32) -> u32 {
        let [start, end] = [backed, used].map(|stripes| self.geometry.stripes_end(stripes));
        let are_backed = match self.map.populate(start as usize, (end - start) as usize) {
            Ok(true) => true,
            Ok(false) => {
                let may_allocate = !self.object.read_only() && self.object.check_descriptors().is_ok();
                !may_allocate || file::allocate(self.object.fd(), start, end - start).is_ok()
            }
            Err(_) => false,
        };
        if !are_backed {
            return backed;
        }
        self.backed.fetch_max(used, Ordering::Relaxed);
        used
    }

    /// Returns the number of words that the data area is known to have.
    #[inline]
    pub(crate) fn known_words(&self) -> u64 {
        self.known.load(Ordering::Relaxed)
    }

    /// Returns how far the object is known to reach.
    pub(super) fn known_end(&self) -> u64 {
        self.geometry.data_start() + self.known.load(Ordering::Relaxed) * WORD
    }

    /// Looks up the size of the file, which may have grown, if the words can be inside at all; then checks again.
    #[cold]
    pub(super) fn recheck(&self, offset: u64, count: u64) -> Result<()> {
        self.learn();
        if !self.is_inside(offset, count) && count <= self.geometry.max_size / WORD && offset <= self.geometry.max_size
        {
            self.refresh_end()?;
        }
        if self.is_inside(offset, count) {
            Ok(())
        } else {
            Err(self.corrupt(offset, "a pointer or length leads outside the object"))
        }
    }

    /// Takes over what other members' views know.
    fn learn(&self) {
        self.known.fetch_max(self.known_to_any.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(super) fn present_id(&self) -> [u64; 2] {
        [ID, ID.next()].map(|place| self.header(place).load(Ordering::Relaxed))
    }

    /// Returns an error if the file is another object's now.
    pub(crate) fn check_id(&self) -> Result<()> {
        if self.present_id() != self.id {
            return Err(Error::Replaced { object: self.name(), what: "its file has been overwritten" });
        }
        Ok(())
    }

    /// Looks up how far the file reaches. A file that has become shorter is an error.
    pub(super) fn refresh_end(&self) -> Result<u64> {
        self.object.check_descriptors()?;
        let size = file::size(self.object.fd()).map_err(|source| Error::Io {
            object: self.name(),
            doing: "look up the size",
            source,
        })?;
        let end = size.min(self.geometry.max_size) & !(WORD - 1);
        self.learn();
        if end < self.known_end() {
            return Err(self.corrupt(end, "the object has been truncated"));
        }
        self.check_id()?;
        let words = (end - self.geometry.data_start()) / WORD;
        self.known.fetch_max(words, Ordering::Relaxed);
        self.known_to_any.fetch_max(words, Ordering::Relaxed);
        Ok(end)
    }
}
