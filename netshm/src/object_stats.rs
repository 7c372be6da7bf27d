//! Figures about an object as a whole, with a part for each member.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::layout::header::DIRTY;
use crate::layout::method::Locking;
use crate::layout::{PROCESSES, STRIPE_BYTES};
use crate::members::{self, MemberKind};
use crate::shm::Shm;
use crate::store::Store;
use crate::store::open::Member;
use crate::store::runs::Sizes;

/// Figures about an object and its members; [`Shm::stats`] takes them. While others write they need not fit together exactly.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectStats {
    /// The members, in the order in which they lie in the object.
    pub members: Vec<MemberStats>,
    /// Bytes of the object.
    pub size: u64,
    /// Bytes that the object takes up in memory or on the disk: less than its size where it has holes.
    pub allocated: u64,
    /// The size in bytes that it cannot exceed.
    pub max_size: u64,
    /// Bytes that belong to no member, holes included.
    pub free: u64,
    /// Stripes of all members.
    pub stripes: u32,
    /// Stripes that there is room for.
    pub stripe_room: u32,
    /// Slots for running writers.
    pub slots: u32,
    /// Slots in use at the moment.
    pub writers: u32,
    /// Process numbers in use: processes that have written to the object and still have it open, or died.
    pub processes: u32,
    /// The locking method.
    pub locking: Locking,
    /// True if something has been written since the last `sync`.
    pub dirty: bool,
}

/// Figures about a member of an object.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberStats {
    /// Its name; empty for the member that was managed without one.
    pub name: String,
    /// Its kind.
    pub kind: MemberKind,
    /// Bindings, hidden ones included; elements of an array.
    pub rows: u64,
    /// Bytes of its index and its records, with the room that they have left.
    pub bytes: u64,
    /// Bytes that it takes up, with what its stripes need themselves.
    pub allocated: u64,
    /// Its stripes.
    pub stripes: u32,
}

impl Shm {
    /// Returns figures about the object, with a part for each member. It looks at each run of the object: more than
    /// [`HashTable::stats`](crate::HashTable::stats) does.
    ///
    /// ```
    /// use netshm::{Array, HashTable, Shm};
    ///
    /// let shm = Shm::create_unique("posix:/stats.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let users: HashTable<String, u64> = HashTable::options().named("users").manage(shm.clone())?;
    /// let hits: Array<u64> = Array::options().named("hits").manage(shm.clone(), 0)?;
    /// users.add("one", &1)?;
    /// let stats = shm.stats()?;
    /// assert_eq!((stats.members[0].name.as_str(), stats.members[0].rows), ("users", 1));
    /// println!("{stats}");
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`members`](Self::members).
    pub fn stats(&self) -> Result<ObjectStats> {
        let store = self.whole_to_read()?;
        let (region, geometry) = (store.region(), store.geometry());
        let sizes = store.sizes(self.limits())?;
        let members = store.members()?;
        let present = members.iter().filter(|member| !member.is_leaving);
        let members = present.map(|member| self.member_stats(&store, member, &sizes)).collect::<Result<Vec<_>>>()?;
        let taken = |count: u32, owner: &dyn Fn(u32) -> u32| (0..count).filter(|i| owner(*i) != 0).count() as u32;
        Ok(ObjectStats {
            members,
            size: region.file_size()?,
            allocated: region.allocated()?,
            max_size: geometry.max_size,
            free: sizes.free,
            stripes: region.stripes_used() - 1,
            stripe_room: geometry.stripe_room,
            slots: geometry.slots,
            writers: taken(geometry.slots, &|slot| region.field32(geometry.slot(slot).owner()).load(Relaxed)),
            processes: taken(PROCESSES, &|number| region.field32(geometry.process(number + 1)).load(Relaxed)),
            locking: store.method(),
            dirty: region.field(DIRTY).load(Relaxed) != 0,
        })
    }

    fn member_stats(&self, whole: &Store, member: &Member, sizes: &Sizes) -> Result<MemberStats> {
        let store = whole.sibling(member);
        let rows = members::rows(&store, member.kind, self.limits())?;
        let stripes = member.geometry.stripes;
        let bytes = member.geometry.own().map(|stripe| sizes.of(stripe)).sum();
        let allocated = bytes + u64::from(stripes) * STRIPE_BYTES;
        Ok(MemberStats { name: member.name.clone(), kind: member.kind.into(), rows, bytes, allocated, stripes })
    }
}

/// A line for the object and one for each member.
impl fmt::Display for ObjectStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes, {} of them allocated, {} free, at most {}; {} stripes; {} of {} slots in use; Locking::{}",
            self.size, self.allocated, self.free, self.max_size, self.stripes, self.writers, self.slots, self.locking
        )?;
        for member in &self.members {
            let name = if member.name.is_empty() { "without a name" } else { &member.name };
            write!(f, "\n{name}: {} rows, {} bytes, {} stripes", member.rows, member.bytes, member.stripes)?;
        }
        Ok(())
    }
}
