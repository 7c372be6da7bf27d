//! Adding members to an object in use, and removing them.

use super::{Catalogue, Header, Initialising, Member, Spec, lock_init, manage_guard, no_member};
use crate::error::{Error, Result};
use crate::heap::Memory;
use crate::layout::entry::{Entry, LEAVING, REMOVED, USED};
use crate::layout::header::{ENTRIES_USED, LAST_MEMBER, STRIPES_USED};
use crate::locking::Deadline;
use crate::os::{file, pause};
use crate::region::no_space;
use crate::shm::{Shm, TypeClaim};
use crate::store::{Limits, Store, group};

/// Name of the pause at which a member has been removed, and its contents are there still.
const IS_REMOVED: &str = "a member has been removed";
/// Default number of stripes of a further member.
const STRIPES: u32 = 16;
const INIT: u64 = 1000;

impl Store {
    /// Returns the error for a member that is not there.
    pub(super) fn no_member(&self, shm: &Shm, name: Option<&str>) -> Error {
        let object = shm.object();
        match Header::read(object).and_then(|header| Catalogue::read(object, &header)) {
            Ok(catalogue) => no_member(object, &catalogue, name),
            Err(error) => error,
        }
    }

    /// Runs `act` with a slot, while nobody else adds or removes members, or opens the object.
    fn with_catalogue<R>(
        &self,
        shm: &Shm,
        deadline: &Deadline,
        act: impl FnOnce(u32, &Header, &Catalogue) -> Result<R>,
    ) -> Result<R> {
        // The slot comes first: its owner may wait for others to open the object, but opening never waits for a slot.
        group::with_slot(self, deadline, |slot| {
            let object = shm.object();
            let _alone = manage_guard(object, deadline)?;
            lock_init(object, deadline)?;
            let _init = Initialising { object, deadline: Deadline::none() };
            let header = Header::read(object)?;
            act(slot, &header, &Catalogue::read(object, &header)?)
        })
    }

    /// Adds a member, unless somebody else has done so meanwhile.
    pub(super) fn add_member(&self, shm: &Shm, spec: &Spec<'_>, limits: Limits) -> Result<()> {
        let deadline = &group::own_deadline(limits);
        // In a group, what is freed would be a part of it.
        if !group::is_open(self) {
            self.finish_removals(shm, limits, deadline)?;
        }
        self.with_catalogue(shm, deadline, |slot, header, catalogue| {
            if catalogue.find(spec.shape.name.as_deref()).is_some() {
                return Ok(());
            }
            header.check_locking(shm.object(), spec)?;
            let geometry = &header.geometry;
            let (stripes, init) = spec.shape.of_member(STRIPES, INIT)?;
            let no_room = |what: String| Error::NoRoomForMember { object: self.name(), what };
            let index = catalogue.unused;
            if index >= geometry.member_room {
                return Err(no_room(format!("it has {} members, as many as it has room for", geometry.member_room)));
            }
            let first = catalogue.free_stripes(header, stripes);
            let room = u64::from(geometry.stripe_room) + 1;
            if u64::from(first) + u64::from(stripes) > room {
                let what = format!(
                    "of {} stripes that it has room for, no {stripes} in a row are free; ask for fewer",
                    geometry.stripe_room
                );
                return Err(no_room(what));
            }
            let stripes_used = catalogue.stripes_used.max(first + stripes);
            self.make_room(catalogue, stripes_used)?;
            let most = catalogue.members.iter().map(|member| member.geometry.stripes).max().unwrap_or(0);
            if stripes > most {
                self.widen_reserve(slot, stripes, deadline)?;
            }
            let entry = Entry {
                state: USED,
                id: catalogue.next_id(shm.object(), header)?,
                kind: spec.kind,
                form: spec.form,
                element_words: spec.element_words,
                first,
                stripes,
                init,
                default_at: 0,
                default_words: spec.default.len() as u64,
                name: spec.shape.name.clone().unwrap_or_default(),
                schema: [0, spec.schema.len() as u64, spec.schema_hash],
            };
            let counts = [
                (STRIPES_USED, stripes_used.into()),
                (ENTRIES_USED, catalogue.entries_used.max(index + 1).into()),
                (LAST_MEMBER, entry.id),
            ];
            self.write_member(slot, deadline, index, entry, counts, spec.schema.as_bytes(), &spec.default)
        })
    }

    /// Gives the catalogue and the stripes the file's space.
    fn make_room(&self, catalogue: &Catalogue, stripes_used: u32) -> Result<()> {
        let (object, geometry) = (self.region().object(), self.geometry());
        object.check_descriptors()?;
        let allocate = |start: u64, end: u64| {
            file::allocate(object.fd(), start, end.saturating_sub(start))
                .map_err(|source| no_space(object.name(), end - start, source))
        };
        if catalogue.entries_used == 0 {
            allocate(geometry.catalogue().start, geometry.catalogue().end)?;
        }
        let used = geometry.stripes_end(catalogue.stripes_used);
        if stripes_used > catalogue.stripes_used { allocate(used, geometry.stripes_end(stripes_used)) } else { Ok(()) }
    }

    /// Removes the member of that name; nobody may have it open.
    pub(crate) fn remove_member(&self, shm: &Shm, name: &str, limits: Limits) -> Result<()> {
        let deadline = group::own_deadline(limits);
        if group::is_open(self) {
            return Err(Error::InGroup { object: self.name(), wanted: "remove a member" });
        }
        self.with_catalogue(shm, &deadline, |slot, _, catalogue| {
            let object = shm.object();
            let member = catalogue.find(Some(name)).filter(|member| member.index.is_some());
            let Some(member) = member else { return Err(no_member(object, catalogue, Some(name))) };
            let io = |source| Error::Io { object: self.name(), doing: "look who uses a member", source };
            if TypeClaim::is_open(object, member.id).map_err(io)? {
                return Err(Error::InUse { object: self.name(), wanted: "remove a member" });
            }
            self.set_member_state(slot, &deadline, member, LEAVING)
        })?;
        pause::at(IS_REMOVED);
        // It is gone. What it has left is otherwise freed by the next one who adds a member.
        let _ = self.finish_removals(shm, limits, &deadline);
        Ok(())
    }

    /// Frees what members have left that are no more.
    fn finish_removals(&self, shm: &Shm, limits: Limits, deadline: &Deadline) -> Result<()> {
        let leaving = self.with_catalogue(shm, deadline, |_, _, catalogue| {
            Ok(catalogue.members.iter().filter(|member| member.is_leaving).cloned().collect::<Vec<_>>())
        })?;
        for member in leaving {
            // Not under the lock that keeps others from opening the object: this waits for a slot.
            self.empty_member(&member, limits)?;
            self.with_catalogue(shm, deadline, |slot, _, catalogue| {
                let still = catalogue.members.iter().find(|other| other.id == member.id && other.is_leaving);
                match still {
                    Some(member) => self.set_member_state(slot, deadline, member, REMOVED),
                    None => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Clears the stripes of a member that is no more, so that another can have them.
    fn empty_member(&self, member: &Member, limits: Limits) -> Result<()> {
        let store = Store::of(&self.shared, Some(member));
        group::change(&store, limits, "remove a member", |change| {
            change.write_all()?;
            let Some(index) = member.index else { return Ok(()) };
            // Somebody else may have done so, and the stripes may be those of another member.
            let words = store.entry_state(index);
            if words != [LEAVING, member.id] {
                return Ok(());
            }
            for stripe in store.geometry().own() {
                let at = store.geometry().stripe(stripe);
                for place in [at.buckets(), at.keys(), at.hidden(), at.segment(0)] {
                    change.write(place, 0)?;
                }
                change.free_all(stripe)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;
    use crate::array::Array;
    use crate::hash_table::HashTable;
    use crate::os::lock::{LockKind, bytes, ofd_lock};
    use crate::os::pause;
    use crate::testing::Scratch;

    /// Whoever may read the object can keep others from going on with the removal, but what is gone is no error.
    #[test]
    fn a_member_is_removed_though_its_contents_cannot_be_freed_yet() {
        let scratch = Scratch::new();
        let shm = Shm::options().create(true).lock_timeout(Duration::from_millis(20)).open(&scratch.name()).unwrap();
        let kept: HashTable<u64, u64> = HashTable::options().named("kept").manage(shm.clone()).unwrap();
        let array: Array<u64> = Array::options().named("array").manage(shm.clone(), 0).unwrap();
        array.resize(1000).unwrap();
        array.fill(0..1000, &1).unwrap();
        drop(array);
        let file = scratch.file();
        let in_the_way = file.try_clone().unwrap();
        pause::once_at(IS_REMOVED, move || {
            assert!(ofd_lock(in_the_way.as_fd(), LockKind::Shared, bytes::INIT, false).is_ok());
        });
        shm.remove_member("array").unwrap();
        drop(file);
        assert_eq!(shm.members().unwrap().len(), 1);
        let _next: Array<u64> = Array::options().named("next").manage(shm.clone(), 0).unwrap();
        let report = kept.check().unwrap();
        assert!(report.is_clean() && report.index < 100_000, "{report}");
    }
}
