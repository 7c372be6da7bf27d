//! The store: the one place where shared memory is changed.
//!
//! A [`Store`] is one member of an object as this process sees it. A change to it is a [`Transaction`]: a slot, locked stripes, the undo
//! log and the heaps. Reads outside groups go through [`read`], which takes no lock.

#[cfg(feature = "tokio")]
pub(crate) mod async_watch;
mod audit;
pub(crate) mod careful;
#[cfg(test)]
mod careful_tests;
mod copy;
pub(crate) mod group;
mod logged;
mod meta;
pub(crate) mod open;
mod origin;
pub(crate) mod past;
#[cfg(test)]
mod past_tests;
mod processes;
pub(crate) mod read;
#[cfg(test)]
mod reader_tests;
mod reclaim;
mod recovery;
mod reset;
#[cfg(test)]
mod ring_tests;
pub(crate) mod runs;
mod slots;
pub(crate) mod small;
#[cfg(test)]
mod stopped_group_tests;
pub(crate) mod sum;
mod sync;
#[cfg(test)]
mod torn_tests;
mod transaction;
mod trim;
mod tx;
pub(crate) mod typed;
#[cfg(test)]
mod wait_tests;
#[cfg(test)]
mod waking_tests;
pub(crate) mod watch;
#[cfg(test)]
mod watch_tests;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::Duration;

use open::{Header, Member};
use processes::ProcessIds;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};
use recovery::Recoveries;
pub(crate) use transaction::Transaction;
use typed::Typed;

use crate::error::{Error, Result};
use crate::layout::header::ObjectKind;
use crate::layout::method::Locking;
use crate::layout::{Geometry, Offset, Offset32};
use crate::locking::{Deadline, Locks, Mode, Protocol};
use crate::os::atomic::acquire;
use crate::os::fork::Generation;
use crate::region::Region;
use crate::sequence::Sequence;
use crate::shm::Claim;

/// State that the members of an object share in one process.
pub(crate) struct Shared {
    /// As the member without a name sees it.
    region: Region,
    locks: Locks,
    numbers: ProcessIds,
    claim: Claim,
    recoveries: Recoveries,
    header: Header,
    /// True if a thread of this process gives memory back beside others.
    gives_back: AtomicBool,
    /// The tasks that wait for changes.
    #[cfg(feature = "tokio")]
    tasks: async_watch::Tasks,
    /// Tells objects apart in caches of threads; never used twice in a process.
    id: u64,
}

/// One member of an object in one process: the object, with the stripes and the layout of the member.
pub(crate) struct Store {
    region: Region,
    shared: Arc<Shared>,
    kind: ObjectKind,
    method: Locking,
    secrets: RapidSecrets,
    /// The fork generation that the object was opened in.
    generation: Generation,
    /// Number of the object's store in this process.
    id: u64,
    /// True if it is for the operations of one group, which those through other stores of the object do not join.
    is_apart: bool,
    typed: Typed,
}

impl Drop for Store {
    /// Gives excess memory of the object back, if this is its last handle in the process.
    fn drop(&mut self) {
        if Arc::strong_count(&self.shared) == 1 {
            self.trim_at_close();
        }
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Store {
    /// Returns the whole object, as the member without a name sees it.
    fn new(region: Region, claim: Claim, header: &Header) -> Store {
        let shared = Shared {
            locks: Locks::new(header.locking, region.geometry().stripe_room),
            numbers: ProcessIds::default(),
            claim,
            recoveries: Recoveries::default(),
            header: header.clone(),
            gives_back: AtomicBool::new(false),
            #[cfg(feature = "tokio")]
            tasks: async_watch::Tasks::default(),
            id: NEXT_ID.fetch_add(1, Relaxed),
            region,
        };
        Store::of(&Arc::new(shared), None)
    }

    /// Returns a member, or the object as the member without a name sees it.
    fn of(shared: &Arc<Shared>, member: Option<&Member>) -> Store {
        let header = &shared.header;
        let region = shared.region.of_member(member.map_or(header.geometry, |member| member.geometry));
        Store {
            generation: Generation::of(region.object().generation()),
            typed: Typed::none(region.object().generation()),
            region,
            shared: shared.clone(),
            // Nobody asks for that of an object where there is none.
            kind: member.map(|member| member.kind).or(header.kind).unwrap_or(ObjectKind::Table),
            method: header.locking,
            secrets: RapidSecrets::seed(header.seed),
            id: shared.id,
            is_apart: false,
        }
    }

    /// Returns the same member for the operations of a group of its own, which no others join.
    pub(crate) fn apart(&self) -> Store {
        self.numbered(NEXT_ID.fetch_add(1, Relaxed), true)
    }

    /// Returns the same member for the operations of another one's groups; `None` if that is of another object.
    pub(crate) fn beside(&self, other: &Store) -> Option<Store> {
        Arc::ptr_eq(&self.shared, &other.shared).then(|| self.numbered(other.id, other.is_apart))
    }

    fn numbered(&self, id: u64, is_apart: bool) -> Store {
        Store {
            region: self.region.of_member(*self.region.geometry()),
            shared: self.shared.clone(),
            secrets: self.secrets,
            typed: self.typed.again(is_apart),
            kind: self.kind,
            method: self.method,
            generation: self.generation,
            id,
            is_apart,
        }
    }

    /// Returns an error where an operation is not in a group, if it is only for those of one.
    #[inline(always)]
    fn check_alone(&self) -> Result<()> {
        if self.is_apart { Err(self.outside_group(group::ENDED)) } else { Ok(()) }
    }

    #[cold]
    fn outside_group(&self, what: &'static str) -> Error {
        Error::OutsideGroup { object: self.name(), what }
    }

    /// Returns another member of the same object.
    pub(crate) fn sibling(&self, member: &Member) -> Store {
        Store::of(&self.shared, Some(member))
    }

    /// Returns the members of the object, including those being removed.
    pub(crate) fn members(&self) -> Result<Vec<Member>> {
        Ok(open::Catalogue::read(self.region.object(), &self.shared.header)?.members)
    }

    /// Returns all stripes of the object that are in use, except the meta stripe.
    fn all_stripes(&self) -> Range<u32> {
        self.geometry().meta() + 1..self.region.stripes_used()
    }

    #[inline]
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    #[inline]
    pub(crate) fn geometry(&self) -> &Geometry {
        self.region.geometry()
    }

    pub(crate) fn kind(&self) -> ObjectKind {
        self.kind
    }

    pub(crate) fn method(&self) -> Locking {
        self.method
    }

    pub(crate) fn name(&self) -> Arc<str> {
        self.region.name()
    }

    /// Returns an error in a forked child.
    #[inline]
    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.is_current() { Ok(()) } else { Err(self.forked()) }
    }

    #[cold]
    fn forked(&self) -> Error {
        Error::Forked { object: self.name() }
    }

    /// Returns whether several groups may read a stripe at once. Then a group that is going to change what it reads must lock
    /// the stripe for writing first: two of them, each waiting for the other to stop reading, would be a deadlock.
    #[inline]
    pub(crate) fn shares_reads(&self) -> bool {
        self.shared.locks.read_mode() == Mode::Shared
    }

    /// Returns whether this is the process that opened the object, and no forked child of it.
    #[inline(always)]
    fn is_current(&self) -> bool {
        self.generation.is_current()
    }

    /// Returns the hash of an encoded key: rapidhash V3 with secrets made from the object's random seed.
    #[inline]
    pub(crate) fn hash(&self, key: &[u64]) -> u64 {
        rapidhash_v3_inline::<true, false, false>(bytemuck::cast_slice(key), &self.secrets)
    }

    /// Returns the stripe that a hash belongs to: its top bits.
    #[inline]
    pub(crate) fn stripe_of(&self, hash: u64) -> u32 {
        self.geometry().stripe_of(hash)
    }

    #[inline]
    fn field(&self, place: Offset) -> &AtomicU64 {
        self.region.field(place)
    }

    /// Returns the sequence of a stripe.
    #[inline(always)]
    pub(crate) fn sequence(&self, stripe: u32) -> Sequence<'_> {
        Sequence(self.region.field(self.geometry().stripe(stripe).sequence()))
    }

    #[inline]
    fn field32(&self, place: Offset32) -> &AtomicU32 {
        self.region.field32(place)
    }

    /// Returns the length of an array.
    #[inline]
    pub(crate) fn array_len(&self) -> u64 {
        acquire(self.region.array_len())
    }
}

/// The limits of a handle's operations: how long they wait.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) lock_timeout: Option<Duration>,
}

impl Limits {
    /// Returns the deadline of an operation that begins.
    #[inline]
    pub(crate) fn deadline(self) -> Deadline {
        Deadline::within(self.lock_timeout)
    }
}
