//! The members of an object, as users see them.

use crate::describe::Description;
use crate::error::Result;
use crate::index;
use crate::layout::header::ObjectKind;
use crate::os::pause;
use crate::shm::Shm;
use crate::store::{Limits, Store, open, read, sum};

/// Limit on counting the members again because others have been added meanwhile.
const LOOKS: u32 = 100;

/// Kind of a member of an object.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberKind {
    /// A [`HashTable`](crate::HashTable).
    HashTable,
    /// An [`Array`](crate::Array).
    Array,
    /// A [`Table`](crate::Table).
    Table,
}

impl From<ObjectKind> for MemberKind {
    fn from(kind: ObjectKind) -> MemberKind {
        match kind {
            ObjectKind::Array => MemberKind::Array,
            ObjectKind::HashTable => MemberKind::HashTable,
            ObjectKind::Table => MemberKind::Table,
        }
    }
}

/// A member of an object: a table or an array in it. [`Shm::members`] gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    name: String,
    kind: MemberKind,
    description: Description,
    len: u64,
}

impl Member {
    /// Returns its name; empty for the member that was managed without one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what it is.
    #[must_use]
    pub fn kind(&self) -> MemberKind {
        self.kind
    }

    /// Returns the types of its contents, and how it was made.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the number of bindings, or elements, that it had when [`Shm::members`] was called.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it is a number that the object told")]
    pub fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }
}

/// Returns the number of bindings, or of elements.
pub(crate) fn rows(store: &Store, kind: ObjectKind, limits: Limits) -> Result<u64> {
    match kind {
        ObjectKind::Array => read::read(store, limits, store.geometry().first(), |view| Ok(view.array_len())),
        ObjectKind::HashTable | ObjectKind::Table => sum::sum(store, limits, index::bindings_seen),
    }
}

impl Shm {
    /// Returns the tables and arrays in the object, in the order in which they lie there. Waits while somebody creates the object.
    ///
    /// ```
    /// use netshm::{Array, HashTable, MemberKind, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/members.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let users: HashTable<String, u64> = HashTable::options().named("users").manage(shm.clone())?;
    /// let hits: Array<u64> = Array::options().named("hits").manage(shm.clone(), 0)?;
    /// users.add("one", &1)?;
    /// let members = shm.members()?;
    /// assert_eq!((members[0].name(), members[0].kind(), members[0].len()), ("users", MemberKind::HashTable, 1));
    /// drop(hits);
    /// shm.remove_member("hits")?;
    /// assert_eq!(shm.members()?.len(), 1);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotNetshm`](crate::Error::NotNetshm) if it is no object, or empty;
    /// [`Error::UnsupportedVersion`](crate::Error::UnsupportedVersion), [`Error::Corrupt`](crate::Error::Corrupt),
    /// [`Error::Forked`](crate::Error::Forked), [`Error::LockTimeout`](crate::Error::LockTimeout) after
    /// [`ShmOptions::lock_timeout`](crate::ShmOptions::lock_timeout), [`Error::Io`](crate::Error::Io).
    pub fn members(&self) -> Result<Vec<Member>> {
        let mut stored = open::stored_members(self)?;
        let (whole, limits) = (self.whole_to_read()?, self.limits());
        for _ in 0..LOOKS {
            pause::at("members have been listed");
            let members = self.with_lengths(&whole, limits, &stored);
            // What has taken the place of a member that was removed meanwhile is not that member.
            let present = open::stored_members(self)?;
            if ids(&present).eq(ids(&stored)) {
                return members;
            }
            stored = present;
        }
        self.with_lengths(&whole, limits, &stored)
    }

    /// Returns members as users see them.
    fn with_lengths(&self, whole: &Store, limits: Limits, stored: &[open::Stored]) -> Result<Vec<Member>> {
        let member = |stored: &open::Stored| {
            let store = whole.sibling(&stored.member);
            let kind = stored.member.kind;
            let len = rows(&store, kind, limits)?;
            Ok(Member {
                name: stored.member.name.clone(),
                kind: kind.into(),
                description: Description::of(self, stored)?,
                len,
            })
        };
        stored.iter().map(member).collect()
    }

    /// Removes a member, with all that is in it. It is gone at once, or not at all; its memory is used again. The member that was
    /// managed without a name cannot be removed.
    ///
    /// # Errors
    /// [`Error::InUse`](crate::Error::InUse) if anybody has the member managed,
    /// [`Error::NoMember`](crate::Error::NoMember) if there is none of that name, [`Error::ReadOnly`](crate::Error::ReadOnly),
    /// [`Error::InGroup`](crate::Error::InGroup) in a group on the object, and those of [`members`](Self::members).
    pub fn remove_member(&self, name: &str) -> Result<()> {
        self.whole("remove a member")?.remove_member(self, name, self.limits())
    }
}

/// Returns the member's id, which no other member of the object has.
fn ids(stored: &[open::Stored]) -> impl Iterator<Item = u64> {
    stored.iter().map(|stored| stored.member.id)
}
