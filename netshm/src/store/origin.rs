//! Detects copies and reboots: an object notes the file that it is in, and the boot of the system.
//!
//! While another process uses the object and knows it to be sound, it is not a copy, and there was no reboot, whatever `/proc`
//! shows in this container. So each process that has settled in vouches for the object, and later ones need not check.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Store;
use crate::error::{Error, Result};
use crate::layout::Offset;
use crate::layout::header::{BOOTS, BOOTS_KEPT, DIRTY, FILE};
use crate::os::atomic::{acquire, in_one_order};
use crate::os::file;

const COPIED: &str = "it is a copy of an object that was in use, and a check finds damage (`repair` saves what is sound; to copy an \
                      object in use, call `copy_to`)";
const REBOOTED: &str = "the system went down after changes that no `sync` covered, and a check finds damage (`repair` saves what is \
                        sound)";

const COPIED_MIDWAY: &str = "it was copied in the middle of a change, and not all that undoes the change is in the copy (`repair` saves \
                             what is sound; to copy an object in use, see `Shm::copy_to`)";
const REBOOTED_MIDWAY: &str = "the system went down in the middle of a change, and not all that undoes the change had been written \
                               back (`repair` saves what is sound)";

/// Origin of an object: where it is, compared with what it says itself.
struct Origin {
    /// The file that it lies in.
    place: [u64; 3],
    dirty: bool,
    /// True if it lies in another file than it was in.
    moved: bool,
    /// True if the header does not say yet when the file was made.
    is_ageless: bool,
}

impl Store {
    /// Checks the object if it lies in another file than it was in, or was not synchronised before the system went down; from
    /// then on it belongs to this file and this boot. `damage` returns where a check finds damage.
    ///
    /// The caller keeps others from opening the object meanwhile, so that nobody writes to it unless some process knows it to
    /// be sound; and what dead writers left has been undone as far as possible.
    pub(super) fn settle_in(
        &self,
        known_to_be_sound: bool,
        damage: &dyn Fn(&Store) -> Result<Option<u64>>,
    ) -> Result<()> {
        let object = self.region.object();
        let vouch = || self.shared.claim.vouch().map_err(|source| self.io("vouch for it", source));
        if known_to_be_sound {
            if !object.read_only() {
                self.note_boot();
            }
            return vouch();
        }
        let Origin { place, dirty, moved, is_ageless } = self.origin()?;
        // A copy may have got its header before the first change, and the rest after it. But one that is only ever read, as
        // from a read-only file system, would be checked at each opening.
        let unchecked = moved && !dirty && object.read_only();
        let copied = moved && !unchecked;
        let rebooted = dirty && !self.knows_boot();
        if (copied || rebooted)
            && let Some(offset) = damage(self)?
        {
            if object.read_only() && self.is_unfinished() {
                return Err(Error::NeedsRecovery { object: self.name() });
            }
            return Err(Error::Corrupt { object: self.name(), offset, what: if copied { COPIED } else { REBOOTED } });
        }
        if !object.read_only() {
            if moved || is_ageless {
                self.file_words().iter().zip(place).for_each(|(word, value)| word.store(value, Relaxed));
            }
            self.note_boot();
        }
        if unchecked { Ok(()) } else { vouch() }
    }

    fn origin(&self) -> Result<Origin> {
        let place = file::place(self.region.object().fd()).map_err(|source| self.io("look up its file", source))?;
        let dirty = acquire(self.field(DIRTY)) != 0;
        let [inode, system, made] = self.file_words().map(|word| word.load(Relaxed));
        // What is not known here, or was not there, says nothing.
        let differs = |was: u64, is: u64| was != is && was != 0 && is != 0;
        let moved = inode != place[0] || differs(system, place[1]) || differs(made, place[2]);
        Ok(Origin { place, dirty, moved, is_ageless: made == 0 && place[2] != 0 })
    }

    fn file_words(&self) -> [&AtomicU64; 3] {
        [0, 1, 2].map(|index| self.field(FILE.word(index)))
    }

    /// Checks that what would undo the changes under way is of the same moment as what they have changed, in an object that is
    /// a copy, or was written when the system went down. Called before anything is undone.
    pub(super) fn check_logs(&self, known_to_be_sound: bool) -> Result<()> {
        if known_to_be_sound {
            return Ok(());
        }
        let Origin { dirty, moved, .. } = self.origin()?;
        if (moved || (dirty && !self.knows_boot()))
            && let Some(offset) = self.inconsistent_log()?
        {
            let what = if moved { COPIED_MIDWAY } else { REBOOTED_MIDWAY };
            return Err(Error::Corrupt { object: self.name(), offset, what });
        }
        Ok(())
    }

    fn io(&self, doing: &'static str, source: std::io::Error) -> Error {
        Error::Io { object: self.name(), doing, source }
    }

    /// Returns the sequences of all stripes, unless a writer is at work or has died in the middle of a change.
    pub(crate) fn quiet_sequences(&self) -> Option<Vec<u64>> {
        if self.is_unfinished() {
            return None;
        }
        let geometry = self.geometry();
        Some(self.all_stripes().map(|stripe| acquire(self.field(geometry.stripe(stripe).sequence()))).collect())
    }

    /// Returns whether a writer is at work or has died in the middle of a change.
    fn is_unfinished(&self) -> bool {
        let geometry = self.geometry();
        (0..geometry.slots).any(|slot| in_one_order(self.field32(geometry.slot(slot).owner())) != 0)
            || (0..self.region.stripes_used())
                .any(|stripe| in_one_order(self.field32(geometry.stripe(stripe).lock())) != 0)
    }

    fn pair(&self, place: Offset) -> [&AtomicU64; 2] {
        [place, place.next()].map(|place| self.field(place))
    }

    fn boot(&self, index: u64) -> [&AtomicU64; 2] {
        self.pair(BOOTS.word(2 * index))
    }

    /// Returns whether the object has been open for writing since the system was started. Without a boot id, every boot counts
    /// as known.
    fn knows_boot(&self) -> bool {
        let id = file::boot_id();
        id == [0, 0] || (0..BOOTS_KEPT).any(|index| self.boot(index).map(|word| word.load(Relaxed)) == id)
    }

    /// Records this boot in place of the oldest one.
    fn note_boot(&self) {
        if self.knows_boot() {
            return;
        }
        let store = |index, id: [u64; 2]| {
            self.boot(index).iter().zip(id).for_each(|(word, value)| word.store(value, Relaxed));
        };
        for index in (1..BOOTS_KEPT).rev() {
            store(index, self.boot(index - 1).map(|word| word.load(Relaxed)));
        }
        store(0, file::boot_id());
    }
}
