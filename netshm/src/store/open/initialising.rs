//! Checking, creating and recreating an object, while others are kept from doing so.

use std::ops::Range;
use std::sync::Arc;

use super::catalogue::{Catalogue, Member};
use super::header::{self, Header};
use super::spec::Spec;
use super::{Damage, Found, holes, lock_init, poll};
use crate::error::{Error, Result};
use crate::layout::header as at;
use crate::layout::method::Locking;
use crate::layout::{Geometry, Offset};
use crate::locking::Deadline;
use crate::os::lock::{self, bytes};
use crate::os::{file, path};
use crate::region::{Region, no_space};
use crate::shm::{Claim, Object, Shm, TypeClaim};
use crate::store::Store;
use crate::{events, mark};

#[cfg(any(test, feature = "damage"))]
thread_local! {
    /// The seed of the hash in objects that this thread creates, for tests that depend on which keys meet in a bucket.
    pub(crate) static SEED: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// Returns the error for a file that was emptied while in use; no second object is created in it.
pub(super) fn emptied(object: &Object) -> Error {
    Error::InUse { object: object.name().clone(), wanted: "initialise it, whose file has been emptied" }
}

/// The lock for initialising or opening the object, held until dropped.
pub(super) struct Initialising<'a> {
    pub(super) object: &'a Arc<Object>,
    pub(super) deadline: Deadline,
}

impl<'a> Initialising<'a> {
    pub(super) fn lock(shm: &'a Shm, deadline: Deadline) -> Result<Self> {
        let object = shm.object();
        lock_init(object, &deadline)?;
        let lock = Initialising { object, deadline };
        // Whoever replaces the object holds this lock meanwhile.
        shm.check_name()?;
        Ok(lock)
    }

    /// Opens the object, and a member of it if one is asked for and is there.
    pub(super) fn open(self, spec: Option<&Spec<'_>>, damage: Damage<'_>) -> Result<(Store, Option<TypeClaim>)> {
        let object = self.object;
        // Before the content is read: a process that truncates the object has it alone for that moment.
        let claim = self.share_use()?;
        let look = |source| self.io("look who uses it", source);
        let alone = !object.read_only() && claim.exclude_others().map_err(look)?;
        let known_to_be_sound = claim.others_vouch().map_err(look)?;
        let state = Found { alone, known_to_be_sound };
        if let Some(spec) = spec
            && Header::is_unwritten(object)?
        {
            if !alone && !object.read_only() {
                return Err(emptied(object));
            }
            if let (Some(name), true) = (&spec.shape.name, spec.shape.existing) {
                let (object, name) = (object.name().clone(), name.clone());
                return Err(Error::NoMember { object, name, members: Vec::new() });
            }
            let outcome = self.create(spec).and_then(|()| self.open_complete(Some(spec), damage, claim, state));
            return outcome.inspect_err(|_| self.abandon()).inspect(|_| drop(object.take_created()));
        }
        object.take_created();
        if let Some(spec) = spec
            && spec.shape.recreate
        {
            self.recreate(spec, alone)?;
        }
        self.open_complete(spec, damage, claim, state)
    }

    /// Recreates the object, if it has to get another layout, or nobody else has it.
    pub(super) fn recreate(&self, spec: &Spec<'_>, alone: bool) -> Result<()> {
        let object = self.object;
        let wanted = "recreate it with another layout";
        self.check_writable(wanted)?;
        let header = Header::read(object)?;
        let catalogue = Catalogue::read(object, &header)?;
        let names = catalogue.names();
        let member = catalogue.find(spec.shape.name.as_deref());
        if names.is_empty() && spec.shape.name.is_none() && alone {
            self.create(spec)
        } else if member.is_some_and(|member| header.is_like(member, object, spec))
            || (member.is_none() && spec.shape.name.is_some())
        {
            // Whoever shares it sees it emptied by a change like any other.
            Ok(())
        } else if !names.is_empty() {
            let reason = format!("with another layout, all members of the object would be lost: {}", names.join(", "));
            Err(Error::InvalidOption { option: "recreate", value: "true".to_owned(), reason })
        } else {
            Err(Error::InUse { object: object.name().clone(), wanted })
        }
    }

    /// Leaves nothing behind of an object that could not be created.
    pub(super) fn abandon(&self) {
        let object = self.object;
        if object.read_only() {
            return;
        }
        let Some(name) = object.take_created() else {
            let _ = file::truncate(object.fd(), 0);
            return;
        };
        // Others may have opened the file already, and wait for the right to create the object that would have no name.
        let removed = file::truncate(object.fd(), at::ABANDONED_BYTES)
            .and_then(|()| path::remove(&name.path(), object.identity()));
        if !removed.is_ok_and(|is_ours| is_ours) {
            let _ = file::truncate(object.fd(), 0);
        }
    }

    /// Returns the parts of the file that need space; those that are free runs' holes only if `holes_too`.
    fn parts(&self, geometry: &Geometry, holes_too: bool) -> Result<Vec<Range<u64>>> {
        let object = self.object;
        let size = file::size(object.fd()).map_err(|source| self.io("look up the size", source))?;
        let size = size.min(geometry.max_size);
        let [stripes_used, entries_used, _] = header::counts(object, geometry)?;
        // The holes that an object has itself stay.
        let front = if entries_used == 0 { geometry.catalogue().start } else { geometry.catalogue().end };
        let stripes = geometry.catalogue().end..geometry.stripes_end(stripes_used as u32);
        let mut parts = vec![0..front, stripes];
        let mut start = geometry.data_start();
        if !holes_too {
            for hole in holes::of(object, geometry)? {
                parts.push(start..hole.start);
                start = hole.end;
            }
        }
        parts.push(start..size);
        Ok(parts)
    }

    /// Returns whether the file takes up as much as those parts of it.
    fn has_space(&self, parts: &[Range<u64>]) -> Result<bool> {
        let needed = parts.iter().map(|part| part.end.saturating_sub(part.start)).sum::<u64>();
        let allocated = file::allocated(self.object.fd()).map_err(|source| self.io("look up its memory", source))?;
        Ok(allocated >= needed)
    }

    /// Makes sure that the object can be written to in place, however full the disk is. Returns whether free runs have holes, which
    /// they keep if `keeps_holes`.
    pub(super) fn own_space(&self, header: &Header, keeps_holes: bool) -> Result<bool> {
        let geometry = &header.geometry;
        let all = self.parts(geometry, true)?;
        let was_whole = self.has_space(&all)?;
        let parts = if was_whole || !keeps_holes { all.clone() } else { self.parts(geometry, false)? };
        let size = parts.last().map_or(0, |part| part.end);
        file::own_space(self.object.fd(), &parts).map_err(|source| no_space(self.object.name(), size, source))?;
        Ok(!was_whole && !self.has_space(&all)?)
    }

    /// Makes sure that an object in memory can be read, which may be a copy that is sparse where there are zeros.
    #[cold]
    fn back(&self, geometry: &Geometry, region: &Region) -> Result<()> {
        if !file::is_in_memory(self.object.fd()) || self.has_space(&self.parts(geometry, true)?)? {
            return Ok(());
        }
        let parts = self.parts(geometry, false)?;
        if self.has_space(&parts)? {
            return Ok(());
        }
        parts.iter().try_for_each(|part| region.back(part.start, part.end))
    }

    /// Fills the holes of an object that somebody reads without care. It came with them, by a copy that is as sparse as an object on a
    /// disk; while nobody has written to it, no reader can have been led into one.
    #[cold]
    fn fill_holes(&self, header: &Header, store: &Store) -> Result<()> {
        if !file::holes_take_memory(self.object.fd()) || store.is_read_with_care() {
            return Ok(());
        }
        self.own_space(header, false).map(drop)
    }

    /// Makes readers careful if the object has holes that can harm them, and only then. Nobody else uses it.
    fn adjust_care(&self, store: &Store, has_holes: bool) -> Result<()> {
        let object = self.object;
        if object.read_only() {
            return Ok(());
        }
        let care = file::holes_take_memory(object.fd())
            && (has_holes || store.is_read_with_care() && !holes::of(object, store.geometry())?.is_empty());
        store.set_care(care);
        Ok(())
    }

    pub(super) fn open_complete(
        &self,
        spec: Option<&Spec<'_>>,
        damage: Damage<'_>,
        claim: Claim,
        state: Found,
    ) -> Result<(Store, Option<TypeClaim>)> {
        let object = self.object;
        let header = Header::read(object)?;
        let has_holes = !object.read_only() && self.own_space(&header, true)?;
        let region = Region::map(object.clone(), header.geometry)?;
        // Whoever has opened it has seen to that.
        if object.read_only() && !state.known_to_be_sound {
            self.back(&header.geometry, &region)?;
        }
        let mut store = Store::new(region, claim, &header);
        events::opened(object.name(), header.locking, object.read_only());
        if has_holes && !state.alone {
            self.fill_holes(&header, &store)?;
        }
        store.check_logs(state.known_to_be_sound)?;
        if !object.read_only() {
            store.recover_or_reset(&self.deadline)?;
        }
        // Only now: what a dead process has left half written is undone. (Through a read-only descriptor, what was
        // committed is looked up.)
        let catalogue = Catalogue::read(object, &header)?;
        let member = spec.and_then(|spec| Some((spec, catalogue.find(spec.shape.name.as_deref())?)));
        let opened = match member {
            Some((spec, member)) => {
                let type_claim = self.claim_type(member, spec)?;
                let agreement = header.check(member, object, spec)?;
                store = Store::of(&store.shared, Some(member)).with_type(spec, agreement);
                Some(type_claim)
            }
            None => None,
        };
        store.settle_in(state.known_to_be_sound, &|store| damage(store, opened.is_some()))?;
        if state.alone {
            self.adjust_care(&store, has_holes)?;
            // What cannot be given back stays; damage is reported elsewhere.
            let _ = store.trim_if_much(&self.deadline);
            store.shared.claim.admit_others().map_err(|source| self.io("share it", source))?;
        }
        if !object.read_only() {
            let most = catalogue.members.iter().map(|member| member.geometry.stripes).max().unwrap_or(1);
            match store.reserve_log(most, &self.deadline) {
                // A full object is used as it is.
                Ok(()) | Err(Error::Full { .. } | Error::NoSpace { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((store, opened))
    }

    pub(super) fn claim_type(&self, member: &Member, spec: &Spec<'_>) -> Result<TypeClaim> {
        TypeClaim::new(self.object, member.id, spec.schema_hash).map_err(|source| self.io("note its type", source))
    }

    /// Makes sure that nobody else has the object mapped.
    pub(super) fn use_alone(&self, wanted: &'static str) -> Result<Claim> {
        self.check_writable(wanted)?;
        match Claim::alone(self.object) {
            Ok(Some(claim)) => Ok(claim),
            Ok(None) => Err(Error::InUse { object: self.object.name().clone(), wanted }),
            Err(source) => Err(self.io("look who uses it", source)),
        }
    }

    pub(super) fn check_writable(&self, wanted: &'static str) -> Result<()> {
        if self.object.read_only() {
            return Err(Error::ReadOnly { object: self.object.name().clone(), wanted });
        }
        Ok(())
    }

    pub(super) fn share_use(&self) -> Result<Claim> {
        poll(self.object, &self.deadline, || Claim::share(self.object).map_err(|source| self.io("share it", source)))
    }

    pub(super) fn io(&self, doing: &'static str, source: std::io::Error) -> Error {
        Error::Io { object: self.object.name().clone(), doing, source }
    }

    /// Writes an empty object. The first words mark it as unfinished until the last one is there.
    pub(super) fn create(&self, spec: &Spec<'_>) -> Result<()> {
        let object = self.object;
        if object.read_only() {
            return Err(Error::ReadOnly { object: object.name().clone(), wanted: "initialise it" });
        }
        let geometry = spec.shape.geometry(spec)?;
        // While nothing has been touched.
        Region::try_map(object, &geometry)?;
        let random = || file::random().map_err(|source| self.io("draw a random number", source));
        let (seed, id) = (random()?, [random()?, random()?]);
        #[cfg(any(test, feature = "damage"))]
        let seed = SEED.get().unwrap_or(seed);
        let file = file::place(object.fd()).map_err(|source| self.io("look up its file", source))?;
        let locking = spec.shape.locking.unwrap_or(Locking::Futex);
        let is_named = spec.shape.name.is_some();
        let header = match is_named {
            // The member itself is added when the object is there.
            true => Header { geometry, locking, kind: None, seed, element_words: 0 },
            false => Header { geometry, locking, kind: Some(spec.kind), seed, element_words: spec.element_words },
        };
        let new = New { header, spec: (!is_named).then_some(spec), id, file };
        self.write_new(&new).inspect_err(|_| {
            // There was nothing before, and there is nothing useful now.
            let _ = file::truncate(object.fd(), 0);
        })?;
        events::created(object.name(), new.size(), locking);
        Ok(())
    }

    fn write_new(&self, new: &New<'_>) -> Result<()> {
        let (object, geometry, size) = (self.object, &new.header.geometry, new.size());
        let full = |source| no_space(object.name(), size, source);
        let write = |words: &[u64], place: Offset| {
            file::write_at(object.fd(), bytemuck::cast_slice(words), place.bytes()).map_err(full)
        };
        let flush = || file::sync_data(object.fd()).map_err(|source| self.io("write it back", source));
        let was_empty = file::size(object.fd()).map_err(|source| self.io("look up the size", source))? == 0;
        write(&[at::MAGIC, at::INITIALISING], at::MAGIC_AT)?;
        if !was_empty {
            // Otherwise storage might hold the old header with nothing after it.
            flush()?;
        }
        file::truncate(object.fd(), 16).map_err(|source| self.io("cut it to its mark", source))?;
        let stripes_used = geometry.own().end;
        // The catalogue, and the table of stripes after those in use, are holes.
        let (front, rest, data) = (geometry.catalogue().start, geometry.catalogue().end, geometry.data_start());
        file::allocate(object.fd(), 0, front).map_err(full)?;
        file::allocate(object.fd(), rest, geometry.stripes_end(stripes_used) - rest).map_err(full)?;
        file::allocate(object.fd(), data, size - data).map_err(full)?;
        write(&[at::FORMAT, at::FINGERPRINT], at::FORMAT_AT)?;
        let fields = new.header.fields();
        write(&fields, at::FIELDS_AT)?;
        write(&[header::checksum(&fields)], at::CHECKSUM_AT)?;
        let (text, hash, default) =
            new.spec.map_or(("", 0, &[][..]), |spec| (&*spec.schema, spec.schema_hash, &spec.default[..]));
        let schema = [geometry.schema(), text.len() as u64, hash];
        write(&schema, geometry.part().schema_at())?;
        write(&[stripes_used.into()], at::STRIPES_USED)?;
        file::write_at(object.fd(), text.as_bytes(), geometry.schema()).map_err(full)?;
        write(default, Offset::at(geometry.default_value()))?;
        write(&new.id, at::ID)?;
        write(&new.file, at::FILE)?;
        write(&file::boot_id(), at::BOOTS)?;
        write(&[mark::DURABLE], at::DIRTY)?;
        write(&[data], geometry.stripe(geometry.meta()).top())?;
        // If storage has the object as complete, it has all of it, and its mark.
        flush()?;
        write(&[at::READY], at::STATE_AT)
    }
}

/// An object before its first word is written.
struct New<'a> {
    header: Header,
    /// Its contents; `None` if it begins without a member.
    spec: Option<&'a Spec<'a>>,
    id: [u64; 2],
    /// Where its file lies, by which a copy of it is told apart (see [`file::place`]).
    file: [u64; 3],
}

impl New<'_> {
    /// Returns the size of its file.
    fn size(&self) -> u64 {
        self.header.geometry.data_start() + self.header.geometry.pagesize
    }
}

impl Drop for Initialising<'_> {
    fn drop(&mut self) {
        // The byte is freed with the descriptor at the latest.
        let _ = lock::ofd_unlock(self.object.lock_fd(), bytes::INIT);
    }
}
