//! Saving what is sound in a damaged object.
//!
//! The object is not mended in place: what is sound is copied to a new object, which then takes over the name in one
//! step. Whatever interrupts a repair, the name stands for the damaged object as it was, or for the repaired one.

mod migrate;
mod migrate_array;
mod rewrite;
mod salvage;
mod trim;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

pub use migrate::{MemberMigration, Migration};
pub use migrate_array::ArrayMigration;
pub(crate) use rewrite::{Rewriting, rewrite};
pub use trim::Trimmed;

use crate::check::{self, Report};
use crate::data::{ObjectSchema, hash_text};
use crate::directory::Elements;
use crate::error::{Error, Result};
use crate::hash_table::form_of;
use crate::layout::header::ObjectKind;
use crate::name::{IntoShmName, ShmName};
use crate::os::file;
use crate::os::path::{self, Directory, Status};
use crate::os::pause;
use crate::shm::Shm;
use crate::store::open::{self, Alone, Member, Shape, Spec};
use crate::store::{Limits, Store};
use rewrite::Replacement;
use salvage::Layout;

/// The outcome of a [`repair`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// The check of the object before the repair.
    pub before: Report,
    /// Bindings saved; elements that differ from the default, in an array.
    pub saved: u64,
    /// Places that should lead to a binding, an element or a part of the index, but lead to nothing sound; what lay
    /// behind each is lost.
    pub dropped: u64,
    /// Bindings among those saved that the index had lost. Each is the oldest binding of its key now.
    pub found: u64,
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repair { before, saved, dropped, found } = self;
        write!(f, "saved {saved} ({found} of them without the index), dropped {dropped}; before: {before}")
    }
}

/// Replaces a damaged object with a new one that has all that is sound in it: index, counts and free lists are rebuilt from
/// the records. Nobody may have the object open.
///
/// The new file has the owner, group and mode of the old one, and lies where symbolic links lead to. A file with several
/// names (hard links) is refused. Programs that wait for the object, or have opened but not yet managed it, get the new one.
///
/// The header must be sound, for nothing can be made of an object whose shape is unknown. A sound object is rebuilt
/// too, which makes it as small as it can be.
///
/// ```
/// # use netshm::{HashTable, Locking, Shm};
/// # let shm = Shm::create_unique("posix:/repair.XXXXXX", 0o600)?;
/// # let name = shm.name().clone();
/// # let tab: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
/// # tab.add("one", &1)?;
/// # drop(tab);
/// let repair = netshm::repair(&name)?;
/// assert_eq!((repair.saved, repair.dropped), (1, 0));
/// # name.unlink()?;
/// # Ok::<(), netshm::Error>(())
/// ```
///
/// # Errors
/// [`Error::InUse`] if somebody has the object open, [`Error::NotNetshm`], [`Error::UnsupportedVersion`],
/// [`Error::Corrupt`] if the header, or the types of a member, are damaged, [`Error::NoMember`] if it has none, so that there is nothing
/// to save, [`Error::NoSpace`] if there is no room for a second object, [`Error::LockTimeout`] if somebody keeps it from being opened,
/// [`Error::Io`], also if you may not give the new file to the owner of the old one.
#[doc(alias = "recover")]
#[doc(alias = "salvage")]
pub fn repair(name: impl IntoShmName) -> Result<Repair> {
    repair_name(&name.to_name()?)
}

fn repair_name(name: &ShmName) -> Result<Repair> {
    let (_, repair) = Shm::open(name)?.current(|damaged| repair_object(name, damaged))?;
    Ok(repair)
}

fn repair_object(name: &ShmName, damaged: &Shm) -> Result<Repair> {
    let alone = Alone::open(damaged, "repair it")?;
    let target = Target::of(name, damaged)?;
    let before = check::inspect(&alone.store, None, None)?;
    let new = Unfinished(Some(target.create()?));
    let Some(fresh) = &new.0 else { unreachable!("taken at the end only") };
    let mut outcome = Repair { before, saved: 0, dropped: 0, found: 0 };
    let mut stores = Vec::new();
    for member in alone.members()? {
        stores.push(save_member(&alone, damaged, &member, fresh, &mut outcome, None)?);
    }
    let Some(store) = stores.first() else {
        return Err(Error::NoMember {
            object: damaged.object().name().clone(),
            name: String::new(),
            members: Vec::new(),
        });
    };
    target.give_rights(fresh)?;
    store.sync(Limits::default())?;
    new.take_over(&target)?;
    alone.mark_replaced();
    Ok(outcome)
}

/// Copies the sound part of a member to the new object, as it is or as another type.
fn save_member(
    alone: &Alone<'_>,
    damaged: &Shm,
    member: &Member,
    fresh: &Shm,
    outcome: &mut Repair,
    replacement: Option<Replacement<'_>>,
) -> Result<Arc<Store>> {
    let from = alone.store.sibling(member);
    let (schema, default) = (member.schema(damaged.object())?, member.default_value(damaged.object())?);
    let parsed = schema.parse::<ObjectSchema>().ok();
    let types = parsed.and_then(|schema| Some((salvage::Types::new(&schema)?, schema)));
    let geometry = member.geometry;
    let Some((types, parsed)) = types else {
        return Err(from.region().corrupt(geometry.part().schema_at().bytes(), "the stored schema is damaged"));
    };
    let (schema, parsed, form, element_words, new_default, convert) = match replacement {
        None => (schema, parsed, geometry.form, member.element_words, default.clone(), None),
        Some(Replacement { schema: new, element_words, default: new_default, convert }) => {
            let new_default = match new_default {
                None if member.kind == ObjectKind::Array => convert(&[], &default)?[1].clone(),
                new_default => new_default.unwrap_or_default(),
            };
            let form = form_of(new);
            (new.to_string(), new.clone(), form, element_words, new_default, Some(convert))
        }
    };
    let spec = Spec {
        kind: member.kind,
        schema_hash: hash_text(&schema),
        schema,
        default: new_default.clone(),
        element_words,
        form,
        keeps_rest: false,
        other_default: &Cell::new(None),
        types: Arc::new(parsed),
        show_default: &|_| String::new(),
        difference: &|_| String::new(),
        shape: shape_of(alone, member),
    };
    let (store, ..) = open::open(fresh, &spec, Limits::default(), &|_, _| Ok(None))?;
    let mut salvage = salvage::Salvage::new(&from, &store, &types, convert);
    match member.kind {
        ObjectKind::Array => {
            let old = Layout { elements: Elements::dense_or_not(member.element_words), default: &default };
            let new = Layout { elements: Elements::dense_or_not(element_words), default: &new_default };
            salvage.array(old, new)?;
        }
        ObjectKind::Table | ObjectKind::HashTable => salvage.table()?,
    }
    outcome.saved += salvage.saved;
    outcome.dropped += salvage.dropped;
    outcome.found += salvage.found;
    Ok(store)
}

/// Returns the shape of a member, for a new one.
fn shape_of(alone: &Alone<'_>, member: &Member) -> Shape {
    let geometry = &member.geometry;
    Shape {
        pagesize: Some(geometry.pagesize),
        init: Some(geometry.init),
        stripes: Some(geometry.stripes),
        slots: Some(geometry.slots),
        max_size: Some(geometry.max_size),
        stripe_room: Some(geometry.stripe_room),
        give_back_live: false,
        locking: Some(alone.header.locking),
        recreate: false,
        name: member.index.is_some().then(|| member.name.clone()),
        existing: false,
    }
}

fn failed(name: &ShmName, doing: &'static str, source: std::io::Error) -> Error {
    Error::Io { object: name.to_string().into(), doing, source }
}

/// The file that is to be replaced, behind all symbolic links.
struct Target {
    name: ShmName,
    status: Status,
}

impl Target {
    fn of(name: &ShmName, damaged: &Shm) -> Result<Target> {
        let failed = |source| failed(name, "look up the file to be repaired", source);
        let status = path::status(damaged.object().fd()).map_err(failed)?;
        if status.is_linked {
            let reason = "the file has several names (hard links), and the repaired one would get only one of them; delete the \
                          others first";
            return Err(failed(io::Error::other(reason)));
        }
        let real = path::real(&name.path()).map_err(failed)?;
        let target = Target { name: ShmName::file(real)?, status };
        target.check_name().map_err(failed)?;
        Ok(target)
    }

    /// Returns an error unless the name stands for the file that is to be repaired.
    fn check_name(&self) -> io::Result<()> {
        let found = Directory::find(&self.name.path(), true).and_then(|place| place.probe())?;
        let same = |fd: OwnedFd| file::identity(fd.as_fd()).is_ok_and(|found| found == self.status.identity);
        if found.is_some_and(same) {
            return Ok(());
        }
        Err(io::Error::other("the name stands for another file meanwhile, which was left alone"))
    }

    /// Returns the prefix of the names of unfinished replacements of this object.
    fn prefix(&self) -> String {
        format!(".netshm-repair-{:016x}-", hash_text(&self.name.last_part().to_string_lossy()))
    }

    /// Creates the new object beside the old one. What repairs that were killed have left is deleted: nobody else repairs
    /// this object now.
    fn create(&self) -> Result<Shm> {
        path::remove_beside(&self.name.path(), &self.prefix());
        Shm::create_unique(&self.name.with_last_part(format!("{}XXXXXXXX", self.prefix()).as_ref())?, 0o600)
    }

    /// Gives the new object the owner, group and mode of the old one.
    fn give_rights(&self, new: &Shm) -> Result<()> {
        let failed = |source| failed(&self.name, "give the repaired object its owner, group and mode", source);
        let now = path::status(new.object().fd()).map_err(failed)?;
        if (now.owner, now.group) != (self.status.owner, self.status.group) {
            new.set_owner(self.status.owner, self.status.group)?;
        }
        path::set_mode(new.object().fd(), self.status.mode).map_err(failed)
    }
}

/// The new object, which goes away again unless it takes over the old one's name.
struct Unfinished(Option<Shm>);

impl Unfinished {
    fn take_over(mut self, target: &Target) -> Result<()> {
        let Some(new) = self.0.take() else { return Ok(()) };
        let path = target.name.path();
        pause::at("a repaired object is about to get its name");
        let renamed = Directory::find(&path, true).and_then(|place| place.entries()).and_then(|entries| {
            // Whoever has put another file there since, as a backup, wants to keep it.
            target.check_name()?;
            path::rename(&new.name().path(), &path)?;
            Ok(entries)
        });
        let entries = renamed.map_err(|source| {
            let _ = new.name().unlink();
            failed(&target.name, "give the repaired object its name", source)
        })?;
        // Until the directory is written back, a loss of power may bring the damaged object back.
        entries.sync().map_err(|source| failed(&target.name, "write back the directory of the repaired object", source))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(new) = &self.0 {
            let _ = new.name().unlink();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::hash_table::HashTable;
    use crate::testing::Directory;

    #[test]
    fn a_name_that_stands_for_something_else_after_a_repair_is_left_alone() {
        let directory = Directory::new();
        let (name, path, backup) = (directory.name("object"), directory.path("object"), directory.path("backup"));
        let open =
            || HashTable::<u64, u64>::options().manage(Shm::options().create(true).open(&name).unwrap()).unwrap();
        open().add(&1, &1).unwrap();
        for is_replaced in [true, false] {
            fs::copy(&path, &backup).unwrap();
            let (from, to) = (backup.clone(), path.clone());
            pause::once_at("a repaired object is about to get its name", move || {
                if is_replaced { fs::rename(from, to) } else { fs::remove_file(to) }.unwrap();
            });
            let error = repair(&name).unwrap_err();
            assert!(error.to_string().contains("another file"), "{error}");
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
            assert_eq!(path.exists(), is_replaced);
        }
    }
}
