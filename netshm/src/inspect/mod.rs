//! Looking into an object from outside: who holds which stripe, who waits for whom, the processes that write to it, and sizes.
//!
//! An [`Inspector`] opens an object read-only, maps nothing, takes no lock and waits for nobody: it reads the words that tell
//! about writers, as they are at that moment. So it works while writers run, after they died, on damaged objects, and for everybody
//! who may read the file. Writers do not notice it.
//!
//! ```
//! use netshm::inspect::{Inspector, State};
//! use netshm::{HashTable, Locking, Shm, group};
//!
//! let shm = Shm::create_unique("posix:/inspected.XXXXXX", 0o600)?;
//! # let name = shm.name().clone();
//! let table: HashTable<String, u64> = HashTable::manage(shm, Locking::Futex)?;
//! let inspector = Inspector::open(table.shm().name())?;
//! group!(table => {
//!     table.add("one", &1)?;
//!     let seen = inspector.look()?;
//!     assert_eq!(seen.state, State::InUse);
//!     assert_eq!(seen.holds.len(), 1);
//!     assert_eq!(seen.holds[0].pid, Some(std::process::id()));
//! })?;
//! let seen = inspector.look()?;
//! assert!(seen.holds.is_empty());
//! assert_eq!(seen.members[0].rows, 1);
//! # name.unlink()?;
//! # Ok::<(), netshm::Error>(())
//! ```

mod record;
mod rings;
mod words;

use std::ops::Range;
use std::time::Duration;

use crate::data::ObjectSchema;
use crate::describe::object_schema;
use crate::dynamic::{Plan, Value};
use crate::error::{Error, Result};
use crate::layout::header::{self as at, ObjectKind};
use crate::layout::method::Locking;
use crate::members::MemberKind;
use crate::name::ShmName;
use crate::os::file;
use crate::os::lock::bytes;
use crate::os::proc_locks::{self, ByFile, KernelLock};
use crate::shm::Shm;
use crate::store::open::{self, Header, Member};
use words::Words;

/// The kernel's list of file locks, of all objects. Whoever looks at many objects reads it once, and uses
/// [`Inspector::look_with`].
///
/// ```
/// use netshm::inspect::{Inspector, KernelLocks};
/// use netshm::{HashTable, Locking, Shm, ShmName};
///
/// let tables: Vec<HashTable<u64, u64>> = (0..3)
///     .map(|_| HashTable::manage(Shm::create_unique("posix:/listed.XXXXXX", 0o600)?, Locking::Futex))
///     .collect::<netshm::Result<_>>()?;
/// let names: Vec<ShmName> = tables.iter().map(|table| table.shm().name().clone()).collect();
///
/// let kernel = KernelLocks::read();
/// for name in &names {
///     let seen = Inspector::open(name)?.look_with(&kernel)?;
///     println!("{}: {} of {} bytes, {:?} users", seen.name, seen.allocated, seen.size, seen.users);
/// #   assert!(seen.users.is_none_or(|users| users == 1));
/// }
/// # names.iter().try_for_each(|name| name.unlink())?;
/// # Ok::<(), netshm::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct KernelLocks(Option<ByFile>);

impl KernelLocks {
    /// Reads the kernel's list. Where the system has none, users are not counted.
    #[must_use]
    pub fn read() -> KernelLocks {
        KernelLocks(proc_locks::read().ok())
    }
}

/// Looks into an object, through a read-only descriptor.
#[derive(Debug, Clone)]
pub struct Inspector {
    shm: Shm,
}

/// Use of an object, and what is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Processes manage it, and nothing has to be recovered.
    InUse,
    /// A file that nobody has managed.
    Idle,
    /// POSIX shared memory that nobody has managed: perhaps nobody needs it any more.
    Orphaned,
    /// A writer died in the middle of a change. The next program that writes to the object, or opens it for writing, undoes it.
    NeedsRecovery,
}

/// An object as it was at one moment. Words are read one after the other without a lock; so while others write, numbers need not
/// fit together exactly.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name that the object was opened by.
    pub name: ShmName,
    /// The object's id, which no other object has.
    pub id: u128,
    /// Its use.
    pub state: State,
    /// The locking method.
    pub locking: Locking,
    /// Bytes in a page.
    pub pagesize: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes that the file takes in memory or in storage; less than its size if it has holes.
    pub allocated: u64,
    /// The size in bytes that it cannot exceed.
    pub max_size: u64,
    /// Number of times that the object is managed at the moment: once for each process, twice if it also has it read-only. `None` where
    /// the system does not tell.
    pub users: Option<usize>,
    /// True if something has been written since the last `sync`.
    pub dirty: bool,
    /// Slots: the most writers at the same time.
    pub slots: u32,
    /// Room for stripes, of all members.
    pub stripe_room: u32,
    /// Room for members with names.
    pub member_room: u32,
    /// The members, in the order in which they lie there.
    pub members: Vec<MemberState>,
    /// The stripes in use, by their numbers; the first, number 0, guards the memory of the object and belongs to no member.
    pub stripes: Vec<StripeState>,
    /// Processes that have written to the object and still have it open, or have died.
    pub processes: Vec<Process>,
    /// The slots in use: threads inside a change or a group.
    pub writers: Vec<Writer>,
    /// Locks that are held.
    pub holds: Vec<Hold>,
    /// Number of times that each slot's owners have waited for a stripe, modulo 32,768.
    pub wait_counts: Vec<u16>,
    /// Waits for locks, as the waiters have noted them; under [`Locking::Record`] also those that only the kernel knows.
    pub waits: Vec<Wait>,
    /// Deadlocks: rings of waits, none of which will end unless one of them gives up, which the library sees to.
    pub rings: Vec<Ring>,
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MemberState {
    /// Its name; empty for the member that was managed without one.
    pub name: String,
    /// Its kind.
    pub kind: MemberKind,
    /// The types of its contents.
    pub schema: ObjectSchema,
    /// The value that elements of an array have until they are set; `None` for tables, and where it is damaged.
    pub default_value: Option<Value>,
    /// Its stripes.
    pub stripes: Range<u32>,
    /// The number of keys that were expected when it was created.
    pub init: u64,
    /// Bindings of a table, elements of an array.
    pub rows: u64,
    /// Keys of a table; chunks of an array that have been written to.
    pub keys: u64,
    /// Changes since the member was created, counted for each stripe that they changed.
    pub changes: u64,
}

/// A stripe: a part of a member with a lock of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StripeState {
    /// Changes since it was first used.
    pub changes: u64,
    /// True if a writer is changing it, or died while it did.
    pub is_changing: bool,
    /// The slot that its lock word names.
    pub holder: Option<u32>,
    /// True if somebody sleeps until it is released.
    pub has_sleepers: bool,
    /// Bindings; 0 in an array.
    pub bindings: u64,
    /// Keys, or chunks of an array.
    pub keys: u64,
}

/// A process that writes to the object, or did until it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its number in the object.
    pub number: u32,
    /// The process id, as it noted it: in another container, that of another process.
    pub pid: u32,
    /// True if it lives, or another one recovers what it left.
    pub is_alive: bool,
}

/// A thread inside a change or a group, or what is left of one that died there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Writer {
    /// The slot that it has.
    pub slot: u32,
    /// Its process; `None` if the slot names one that has no number.
    pub process: Option<Process>,
    /// Words that it has changed so far, as noted in its log.
    pub log_entries: u32,
    /// The stripe that it waits for, or waited for when it died.
    pub waits_for: Option<u32>,
}

/// A lock that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hold {
    /// The stripe.
    pub stripe: u32,
    /// The slot of the holder; `None` for locks that only the kernel knows.
    pub slot: Option<u32>,
    /// The holder's process id, as it noted it, or as the kernel reports it.
    pub pid: Option<u32>,
    /// True if the holder lives; its death is noticed by whoever wants the lock next.
    pub is_alive: bool,
    /// True if the lock is shared among readers.
    pub is_shared: bool,
    /// Time for which it has been held, at least: as long as somebody has waited for the end of a change that is still under way. `None`
    /// if nobody has. When a lock was taken is not noted, since that would slow every change down; whoever looks again and finds the
    /// same holder, and the same number of changes of the stripe, knows more.
    pub held: Option<Duration>,
}

/// A wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// The stripe that is waited for.
    pub stripe: u32,
    /// The slot of the waiter; `None` for waits that only the kernel knows.
    pub slot: Option<u32>,
    /// The waiter's process id.
    pub pid: Option<u32>,
    /// Time for which it has waited, to a tenth of a second, as the waiter noted it. `None` where only the kernel knows of it.
    pub waited: Option<Duration>,
}

/// A ring of waits: each waits for a stripe that the next one holds, and the last for one of the first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ring {
    /// The waits.
    pub waits: Vec<Wait>,
}

/// A member, with what it says of itself.
struct Described {
    member: Member,
    schema: ObjectSchema,
    default: Option<Value>,
}

impl Snapshot {
    /// Returns the member that a stripe belongs to; `None` for stripe 0 and for stripes that no member has.
    ///
    /// ```
    /// use netshm::inspect::Inspector;
    /// use netshm::{HashTable, Shm, group};
    ///
    /// let shm = Shm::create_unique("posix:/held.XXXXXX", 0o600)?;
    /// # let name = shm.name().clone();
    /// let users: HashTable<String, u64> = HashTable::options().named("users").manage(shm)?;
    /// let inspector = Inspector::open(users.shm().name())?;
    /// group!(users => {
    ///     users.add("ada", &1)?;
    ///     let seen = inspector.look()?;
    ///     let held: Vec<_> = seen.holds.iter().filter_map(|hold| seen.member_of(hold.stripe)).collect();
    ///     assert_eq!(held[0].name, "users");
    /// })?;
    /// # name.unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    #[must_use]
    pub fn member_of(&self, stripe: u32) -> Option<&MemberState> {
        self.members.iter().find(|member| member.stripes.contains(&stripe))
    }

    /// Returns the process of a slot in use.
    #[must_use]
    pub fn process_of(&self, slot: u32) -> Option<Process> {
        self.writers.iter().find(|writer| writer.slot == slot)?.process
    }
}

impl Inspector {
    /// Opens an object for looking at it. Nothing of it is mapped, and it does not count as one that uses it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotNetshm`] if it is no object, or empty, [`Error::UnsupportedVersion`], [`Error::Replaced`],
    /// [`Error::Corrupt`] if the header is damaged.
    pub fn open(name: &ShmName) -> Result<Inspector> {
        let shm = Shm::options().read_only(true).open(name)?;
        Header::read(shm.object())?;
        Ok(Inspector { shm })
    }

    /// Returns the descriptor.
    #[must_use]
    pub fn shm(&self) -> &Shm {
        &self.shm
    }

    /// Looks at the object.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the header or the list of members is damaged, [`Error::Replaced`], [`Error::Io`], [`Error::Forked`].
    pub fn look(&self) -> Result<Snapshot> {
        self.look_with(&KernelLocks::read())
    }

    /// Looks at the object, with what the kernel has told about locks a moment ago.
    ///
    /// # Errors
    /// Those of [`look`](Self::look).
    pub fn look_with(&self, kernel: &KernelLocks) -> Result<Snapshot> {
        let object = self.shm.object();
        object.check_fork()?;
        let header = Header::read(object)?;
        let geometry = &header.geometry;
        let (stripes_used, described) = self.described(&header)?;
        let locks = kernel.0.as_ref().map(|files| files.get(&object.identity()).map_or(&[][..], Vec::as_slice));

        // Twice: what both say was so in between.
        let words = Words::read(object, geometry, stripes_used)?;
        let processes = words.processes(object)?;
        let again = Words::read(object, geometry, stripes_used)?;
        let writers = again.writers(&processes);
        let stripes = again.stripes();
        let needs_recovery = words.has_remains(&again, &processes);

        let mut snapshot = Snapshot {
            name: self.shm.name().clone(),
            id: words::id(object)?,
            state: self.state(needs_recovery)?,
            locking: header.locking,
            pagesize: geometry.pagesize,
            size: self.shm.size()?,
            allocated: self.io("look up its size", file::allocated)?,
            max_size: geometry.max_size,
            users: locks.map(users),
            dirty: words::word(object, at::DIRTY)? != 0,
            slots: geometry.slots,
            stripe_room: geometry.stripe_room,
            member_room: geometry.member_room,
            members: described.iter().map(|described| self.member(described, &stripes)).collect::<Result<_>>()?,
            holds: again.holds(&processes),
            wait_counts: again.wait_counts(),
            waits: again.waits(&processes),
            rings: rings::of(&words, &again, &processes),
            stripes,
            processes,
            writers,
        };
        if header.locking == Locking::Record {
            record::add(&mut snapshot, locks.unwrap_or_default());
        }
        Ok(snapshot)
    }

    /// Returns the members with their schemas, and how many stripes are used.
    fn described(&self, header: &Header) -> Result<(u32, Vec<Described>)> {
        let undisturbed = open::undisturbed(self.shm.object(), |header| self.read_catalogue(header))?;
        undisturbed.unwrap_or_else(|| self.read_catalogue(header))
    }

    fn read_catalogue(&self, header: &Header) -> Result<(u32, Vec<Described>)> {
        let object = self.shm.object();
        let catalogue = open::Catalogue::read(object, header)?;
        let with_schema = |member: Member| {
            let stored = open::stored_member(&self.shm, header, &member)?;
            let schema = object_schema(&self.shm, &stored)?;
            let default = match &schema {
                ObjectSchema::Array { element } => {
                    Plan::new(element).ok().and_then(|plan| plan.decode(&stored.default).ok())
                }
                _ => None,
            };
            Ok(Described { member, schema, default })
        };
        let present = catalogue.members.into_iter().filter(|member| !member.is_leaving);
        Ok((catalogue.stripes_used, present.map(with_schema).collect::<Result<_>>()?))
    }

    fn member(&self, described: &Described, stripes: &[StripeState]) -> Result<MemberState> {
        let Described { member, schema, default } = described;
        let own = member.geometry.own();
        let mut state = MemberState {
            name: member.name.clone(),
            kind: match member.kind {
                ObjectKind::Array => MemberKind::Array,
                ObjectKind::HashTable => MemberKind::HashTable,
                ObjectKind::Table => MemberKind::Table,
            },
            schema: schema.clone(),
            init: member.geometry.init,
            rows: 0,
            keys: 0,
            changes: 0,
            default_value: default.clone(),
            stripes: own.clone(),
        };
        for stripe in stripes.get(own.start as usize..own.end as usize).unwrap_or_default() {
            state.rows = state.rows.saturating_add(stripe.bindings);
            state.keys = state.keys.saturating_add(stripe.keys);
            state.changes = state.changes.saturating_add(stripe.changes);
        }
        if member.kind == ObjectKind::Array {
            state.rows = words::word(self.shm.object(), member.geometry.part().array_len())?;
        }
        Ok(state)
    }

    fn state(&self, needs_recovery: bool) -> Result<State> {
        let used = self
            .io("look who uses it", |_| crate::os::lock::ofd_held_elsewhere(self.shm.object().lock_fd(), bytes::USE))?;
        Ok(match (needs_recovery, used, self.shm.name().is_file()) {
            (true, ..) => State::NeedsRecovery,
            (_, true, _) => State::InUse,
            (_, _, true) => State::Idle,
            (_, _, false) => State::Orphaned,
        })
    }

    fn io<T>(
        &self,
        doing: &'static str,
        ask: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> std::io::Result<T>,
    ) -> Result<T> {
        let object = self.shm.object();
        object.check_descriptors()?;
        ask(object.fd()).map_err(|source| Error::Io { object: object.name().clone(), doing, source })
    }
}

/// Counts the locks of those who use the object.
fn users(locks: &[KernelLock]) -> usize {
    locks.iter().filter(|lock| !lock.waits && lock.bytes.contains(&bytes::USE)).count()
}
