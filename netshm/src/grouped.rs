//! Groups to which only operations through their argument belong.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Result;
use crate::store::Store;

/// The group that an operation belongs to.
pub struct Membership(pub(crate) Arc<Store>);

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").finish_non_exhaustive()
    }
}

/// Tables and arrays, which can join a group: [`HashTable`](crate::HashTable), [`Array`](crate::Array) and
/// [`Table`](crate::Table).
pub trait Joins: Sized {
    /// Returns a handle whose operations belong to the group.
    #[doc(hidden)]
    fn join(&self, group: &Membership) -> Result<Self>;
}

/// A table or an array in a group to which only operations through this belong; see
/// [`HashTable::group_with`](crate::HashTable::group_with).
///
/// It stays on its thread and in its group: a copy that is used elsewhere gives
/// [`Error::OutsideGroup`](crate::Error::OutsideGroup).
pub struct Grouped<'g, T> {
    table: T,
    group: &'g Membership,
    /// Groups belong to threads.
    on_this_thread: PhantomData<*const ()>,
}

impl<'g, T: Joins> Grouped<'g, T> {
    pub(crate) fn of(table: &T, group: &'g Membership) -> Result<Self> {
        Ok(Grouped { table: table.join(group)?, group, on_this_thread: PhantomData })
    }

    /// Returns another member of the object, whose operations belong to the group as well.
    ///
    /// ```
    /// use netshm::{Array, HashTable, Locking, Shm, group};
    ///
    /// let name = Shm::create_unique("posix:/members.XXXXXX", 0o600)?.name().clone();
    /// let users: HashTable<String, u64> = HashTable::options().named("users").manage(Shm::open(&name)?)?;
    /// let counts: Array<u64> = Array::options().named("counts").manage(Shm::open(&name)?, 0)?;
    /// counts.resize(1)?;
    /// group!(only users => {
    ///     let counts = users.with(&counts)?;
    ///     users.add("alice", &1)?;
    ///     counts.set(0, &1)?;
    /// })?;
    /// assert_eq!((users.len()?, counts.get(0)?), (1, 1));
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutsideGroup`](crate::Error::OutsideGroup) if it is in another object.
    pub fn with<U: Joins>(&self, member: &U) -> Result<Grouped<'g, U>> {
        Grouped::of(member, self.group)
    }
}

impl<T> Deref for Grouped<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.table
    }
}

impl<T: fmt::Debug> fmt::Debug for Grouped<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grouped").field(&self.table).finish()
    }
}
