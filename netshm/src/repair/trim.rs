//! Cutting a stored type back to what a program knows of it.

use super::migrate::MemberMigration;
use super::rewrite::rewrite;
use crate::array::Array;
use crate::data::{ShmData, ShmKey};
use crate::error::Result;
use crate::hash_table::HashTable;
use crate::options::ManageOptions;
use crate::shm::Shm;

mod sealed {
    pub trait Sealed {}
}

/// A table or an array, whose stored type can be cut back: [`Shm::trim_schema`].
pub trait Trimmed: sealed::Sealed {
    #[doc(hidden)]
    fn trimming() -> MemberMigration<'static>;
}

impl<K: ShmKey, V: ShmData> sealed::Sealed for HashTable<K, V> {}
impl<T: ShmData> sealed::Sealed for Array<T> {}

impl<K: ShmKey + 'static, V: ShmData + 'static> Trimmed for HashTable<K, V> {
    fn trimming() -> MemberMigration<'static> {
        ManageOptions::<HashTable<K, V>>::default().migrate_from::<K, V>(|row| row).trim(true).into()
    }
}

impl<T: ShmData + 'static> Trimmed for Array<T> {
    fn trimming() -> MemberMigration<'static> {
        ManageOptions::<Array<T>>::default().migrate_from::<T>(|element| element).trim(true).into()
    }
}

impl Shm {
    /// Cuts the stored type of a table or an array back to `T`: what newer programs have added to it, fields and variants, is dropped,
    /// with what the rows have of it. So a program can be undone that has extended the type by mistake, and another one may extend it
    /// otherwise. `member` is the name of the member; `None` stands for the one without a name.
    ///
    /// The object is rewritten in one step, as by [`migrate_from`](ManageOptions::migrate_from), so nobody may have it open. Returns
    /// whether there was anything to drop.
    ///
    /// ```
    /// use netshm::{HashTable, Shm};
    ///
    /// mod newer {
    ///     #[derive(netshm::ShmData)]
    ///     pub struct User { pub name: String, #[shm(default)] pub admin: bool }
    /// }
    /// #[derive(netshm::ShmData)]
    /// struct User { name: String }
    ///
    /// # let name = Shm::create_unique("posix:/trim-schema.XXXXXX", 0o600)?.name().clone();
    /// let users: HashTable<u64, newer::User> = HashTable::options().manage(Shm::open(&name)?)?;
    /// users.add(&1, &newer::User { name: "Ada".to_owned(), admin: true })?;
    /// drop(users);
    /// assert!(Shm::open(&name)?.trim_schema::<HashTable<u64, User>>(None)?);
    /// let users: HashTable<u64, newer::User> = HashTable::options().manage(Shm::open(&name)?)?;
    /// assert!(!users.find(&1)?.unwrap().admin);
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`repair`](crate::repair); [`Error::InUse`](crate::Error::InUse) if somebody has the object open;
    /// [`Error::SchemaMismatch`](crate::Error::SchemaMismatch) if the stored type is not `T` with something added;
    /// [`Error::NoMember`](crate::Error::NoMember), [`Error::Decode`](crate::Error::Decode) if a row is of a variant that `T` lacks;
    /// nothing has changed then.
    pub fn trim_schema<T: Trimmed>(&self, member: Option<&str>) -> Result<bool> {
        let MemberMigration { mut rewriting, mut progress } = T::trimming();
        rewriting.member = member.map(str::to_owned);
        if !rewriting.is_extended(self)? {
            return Ok(false);
        }
        let state = std::cell::RefCell::new((rewriting, progress.as_mut()));
        self.clone().current(|shm| {
            let (rewriting, progress) = &mut *state.borrow_mut();
            rewrite(&mut [(shm, std::slice::from_mut(rewriting))], *progress, &mut |_| Ok(()))
        })?;
        Ok(true)
    }
}
