//! The one error type of the crate.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::data::DataError;
use crate::data::unfit::Unfit;
use crate::layout::method::Locking;

/// A [`std::result::Result`] whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Returns the two schemas of a mismatch: in full, unless their difference is known.
fn two_schemas(stored: &str, expected: &str, difference: &str) -> String {
    match difference {
        "" => format!("\n    stored:   {stored}\n    expected: {expected}"),
        difference => difference.to_owned(),
    }
}

fn member_name(name: &str) -> String {
    if name.is_empty() { "without a name".to_owned() } else { format!("{name:?}") }
}

fn member_list(members: &[String]) -> String {
    match members {
        [] => "none with a name".to_owned(),
        _ => members.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
    }
}

/// Everything that can go wrong with a shared object.
///
/// Every variant names its fields; match with `Error::X { .. }`, since fields may be added. An operation that returns an error
/// has changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    ///
    /// > posix:/x: opening it (option `create` is not set): No such file or directory (os error 2)
    #[error("{object}: {doing}: {source}")]
    #[non_exhaustive]
    Io {
        /// The object's name.
        object: Arc<str>,
        /// The action that failed.
        doing: &'static str,
        /// The system's own error.
        source: io::Error,
    },
    /// The text is not a name of a shared object.
    ///
    /// > "posix:sample" is not a name of a shared object: a POSIX name begins with a slash, as in
    /// > `posix:/sample`
    #[error("{name:?} is not a name of a shared object: {reason}")]
    #[non_exhaustive]
    InvalidName {
        /// The text given.
        name: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// An option has a value outside its range, or two options contradict each other.
    ///
    /// > option `pagesize` cannot be 100: it must be between 256 and 1048576
    #[error("option `{option}` cannot be {value}: {reason}")]
    #[non_exhaustive]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// The value given.
        value: String,
        /// A possible reason.
        reason: String,
    },
    /// Waiting for this lock would never end, because its holder waits for one that this group
    /// holds. The group has been rolled back; run it again, for instance with `group!(retry ..)`.
    ///
    /// > posix:/x: deadlock: waits for stripe 2, held by process 814, which waits for stripe 1, held by
    /// > process 815 itself; the group was rolled back, run it again
    #[error("{object}: deadlock: {detail}; the group was rolled back, run it again")]
    #[non_exhaustive]
    Deadlock {
        /// The object's name.
        object: Arc<str>,
        /// The stripes and the other party, as far as they are known.
        detail: String,
    },
    /// The operation waited longer than the option `lock_timeout` allows, or gave up for another reason, which `reason` then
    /// reports it.
    ///
    /// > posix:/x: no lock within 5ms: waited for stripe 1, held by process 814
    #[error("{object}: no lock within {waited:?}: waited for {awaited}{}{}",
        holder.map(|p| format!(", held by process {p}")).unwrap_or_default(),
        reason.map(|reason| format!("; {reason}")).unwrap_or_default())]
    #[non_exhaustive]
    LockTimeout {
        /// The object's name.
        object: Arc<str>,
        /// The limit; if there was none, how long the operation waited.
        waited: Duration,
        /// Name of what was waited for.
        awaited: String,
        /// The process id of the holder, if known: as noted by itself or told by the kernel.
        holder: Option<u32>,
        /// Why the wait ended, if not by `lock_timeout`, or what was in the way.
        reason: Option<&'static str>,
        /// True if the wait may have been part of a deadlock of a kind that is not detected: then
        /// [`is_deadlock`](crate::GroupError::is_deadlock) is true, and `group!(retry ..)` runs the group again.
        may_be_deadlock: bool,
    },
    /// The object is open elsewhere, and what was asked for needs it alone.
    ///
    /// > posix:/x: cannot recreate it with another layout: the object is in use by another process or handle;
    /// > close it there first
    #[error("{object}: cannot {wanted}: the object is in use by another process or handle; close it there first")]
    #[non_exhaustive]
    InUse {
        /// The object's name.
        object: Arc<str>,
        /// The refused action.
        wanted: &'static str,
    },
    /// Another file has taken the object's place, so what is written to this one would be lost.
    ///
    /// > posix:/x: replaced: its file has been overwritten; open it again
    #[error("{object}: replaced: {what}; open it again")]
    #[non_exhaustive]
    Replaced {
        /// The object's name.
        object: Arc<str>,
        /// Description of what has happened to it.
        what: &'static str,
    },
    /// The object's content contradicts itself.
    ///
    /// > posix:/x: damaged at byte 64: the header's checksum is wrong
    #[error("{object}: damaged at byte {offset}: {what}")]
    #[non_exhaustive]
    Corrupt {
        /// The object's name.
        object: Arc<str>,
        /// Place of the damage, in bytes from the object's start.
        offset: u64,
        /// Description of the damage.
        what: &'static str,
    },
    /// The file is something else; it has not been touched.
    ///
    /// > posix:/x: not a netshm object: 20 bytes that begin with "a letter"; it was left as it is
    #[error("{object}: not a netshm object: {found}; it was left as it is")]
    #[non_exhaustive]
    NotNetshm {
        /// The object's name.
        object: Arc<str>,
        /// Description of what was found.
        found: String,
    },
    /// The object was written by a build that lays its data out in another way.
    ///
    /// > posix:/x: written by another format: found version 77, build 0102030400000801, this program reads
    /// > version 4, build 0102030400000801; use a newer version of netshm
    #[error("{object}: written by another format: found {found}, this program reads {expected}; {advice}")]
    #[non_exhaustive]
    UnsupportedVersion {
        /// The object's name.
        object: Arc<str>,
        /// The format found.
        found: String,
        /// The format that this build reads and writes.
        expected: String,
        /// Advice.
        advice: &'static str,
    },
    /// The object holds another type (or another structure, or another default value).
    ///
    /// > posix:/x: holds another type
    /// ```text
    ///     stored:   HashTable<String, u64>
    ///     expected: HashTable<String, (u64, bool)>
    ///                                 ^
    /// ```
    ///
    /// Of long types it shows the fields around the difference. The path leads there from the outermost type, as in
    /// `Row.addresses[].zip`; a line more says what would have allowed the difference, if something would.
    #[error("{object}: holds another type{}", two_schemas(stored, expected, difference))]
    #[non_exhaustive]
    SchemaMismatch {
        /// The object's name.
        object: Arc<str>,
        /// The schema in the object.
        stored: String,
        /// The schema of the type asked for.
        expected: String,
        /// The difference as the message shows it: a part of both, the path, and advice. May be empty.
        difference: String,
    },
    /// The object was created for another locking method.
    ///
    /// > posix:/x: created with Locking::Futex, cannot be managed with Locking::Record
    #[error("{object}: created with Locking::{stored}, cannot be managed with Locking::{requested}")]
    #[non_exhaustive]
    LockingMismatch {
        /// The object's name.
        object: Arc<str>,
        /// The object's method.
        stored: Locking,
        /// The method asked for.
        requested: Locking,
    },
    /// The descriptor is open for reading only.
    ///
    /// > posix:/x: opened read-only, cannot add a binding
    #[error("{object}: opened read-only, cannot {wanted}")]
    #[non_exhaustive]
    ReadOnly {
        /// The object's name.
        object: Arc<str>,
        /// The refused action.
        wanted: &'static str,
    },
    /// The object's maximum size is reached. Removing something makes room.
    ///
    /// > posix:/x: full: 2097664 bytes more would exceed its maximum size of 1048576 bytes (option `max_size`
    /// > at creation)
    #[error(
        "{object}: full: {needed} bytes more would exceed its maximum size of {limit} bytes (option `max_size` at creation)"
    )]
    #[non_exhaustive]
    Full {
        /// The object's name.
        object: Arc<str>,
        /// The object's maximum size in bytes.
        limit: u64,
        /// Number of bytes wanted.
        needed: u64,
    },
    /// The file system has no room for the object to grow, or a resource limit forbids it.
    ///
    /// > posix:/x: no space for 2097664 bytes more: No space left on device (os error 28)
    #[error("{object}: no space for {needed} bytes more: {source}")]
    #[non_exhaustive]
    NoSpace {
        /// The object's name.
        object: Arc<str>,
        /// Number of bytes wanted.
        needed: u64,
        /// The system's own error.
        source: io::Error,
    },
    /// A key or value is larger than what can be stored.
    ///
    /// > a key or value of 2147483656 bytes is too large: the limit is 2147483647 bytes
    #[error("{what} of {size} bytes is too large: the limit is {limit} bytes")]
    #[non_exhaustive]
    TooLarge {
        /// Name of the value that is too large.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// The array has no such element.
    ///
    /// > posix:/x: index 10 is out of bounds: the array has 10 elements
    #[error("{object}: index {index} is out of bounds: the array has {len} elements")]
    #[non_exhaustive]
    OutOfBounds {
        /// The object's name.
        object: Arc<str>,
        /// The index given.
        index: usize,
        /// The array's length.
        len: usize,
    },
    /// A value whose type is known only at run time does not fit the object's schema.
    ///
    /// > posix:/x: the value does not fit: .user: u64 expected, found a text
    #[error("{object}: the value does not fit: {unfit}")]
    #[non_exhaustive]
    Unfit {
        /// The object's name.
        object: Arc<str>,
        /// Which part does not fit, and why.
        #[source]
        unfit: Unfit,
    },
    /// A value could not be converted from or to its stored words.
    ///
    /// > posix:/x: Refused: seven is no number for it
    #[error("{object}: {type_name}: {what}")]
    #[non_exhaustive]
    Decode {
        /// The object's name.
        object: Arc<str>,
        /// The type concerned.
        type_name: &'static str,
        /// Description of the fault.
        what: &'static str,
        /// The error of the manager.
        source: DataError,
    },
    /// The handle was opened before a `fork` and is used in the child.
    ///
    /// > posix:/x: opened before fork() and used in the child; open it again there
    #[error("{object}: opened before fork() and used in the child; open it again there")]
    #[non_exhaustive]
    Forked {
        /// The object's name.
        object: Arc<str>,
    },
    /// The program has closed descriptors that it had not opened itself, as some do that become daemons. Locks are lost with
    /// them, so others may have taken this process for dead and undone its open group; changes acknowledged before are safe.
    ///
    /// > posix:/x: a descriptor of the object has been closed by the program, or stands for another file now; drop all handles
    /// > of the object and open it again
    #[error(
        "{object}: a descriptor of the object has been closed by the program, or stands for another file now; drop all handles \
         of the object and open it again"
    )]
    #[non_exhaustive]
    DescriptorLost {
        /// The object's name.
        object: Arc<str>,
    },
    /// A writer died inside an operation, and this descriptor, being read-only, cannot undo it. Most reads succeed all the
    /// same, and see what was committed before; this error is left for what cannot be read that way.
    ///
    /// > posix:/x: a writer died in the middle of an operation; open the object once for writing to recover
    /// > it
    #[error("{object}: a writer died in the middle of an operation; open the object once for writing to recover it")]
    #[non_exhaustive]
    NeedsRecovery {
        /// The object's name.
        object: Arc<str>,
    },
    /// This thread iterates over the table.
    ///
    /// > posix:/x: cannot be changed while this thread iterates over it
    #[error("{object}: cannot be changed while this thread iterates over it")]
    #[non_exhaustive]
    Iterating {
        /// The object's name.
        object: Arc<str>,
    },
    /// The awaited change has not come in time.
    ///
    /// > posix:/x: the awaited change did not come within 5s
    #[error("{object}: the awaited change did not come within {waited:?}")]
    #[non_exhaustive]
    WaitTimeout {
        /// The object's name.
        object: Arc<str>,
        /// Length of the wait.
        waited: Duration,
    },
    /// The operation cannot run in a group, since it needs that no change is under way.
    ///
    /// > posix:/x: cannot sync inside a group, whose changes are not final; call it outside
    #[error("{object}: cannot {wanted} inside a group, whose changes are not final; call it outside")]
    #[non_exhaustive]
    InGroup {
        /// The object's name.
        object: Arc<str>,
        /// The refused action.
        wanted: &'static str,
    },
    /// The operation does not belong to the group that this thread has open on the object, and would wait for it for ever; or it
    /// belongs to one that it is not in. See [`HashTable::group_with`](crate::HashTable::group_with).
    ///
    /// > posix:/x: the argument of `group_with` is used outside its group, or by another thread
    #[error("{object}: {what}")]
    #[non_exhaustive]
    OutsideGroup {
        /// The object's name.
        object: Arc<str>,
        /// Description of the mistake.
        what: &'static str,
    },
    /// The object was used by code that runs inside one of its own operations, such as a data manager.
    ///
    /// > posix:/x: used from inside one of its own operations, which a data manager must not do
    #[error("{object}: used from inside one of its own operations, which a data manager must not do")]
    #[non_exhaustive]
    Reentrant {
        /// The object's name.
        object: Arc<str>,
    },
    /// The object has no such member.
    ///
    /// > posix:/x: has no member without a name; it has: "hits", "users"
    #[error("{object}: has no member {}; it has: {}", member_name(name), member_list(members))]
    #[non_exhaustive]
    NoMember {
        /// The object's name.
        object: Arc<str>,
        /// The name asked for; empty for the member without a name.
        name: String,
        /// The names of the members that there are, sorted.
        members: Vec<String>,
    },
    /// The object has no room for another member.
    ///
    /// > posix:/x: no room for another member: it has 128 members, the most it can have
    #[error("{object}: no room for another member: {what}")]
    #[non_exhaustive]
    NoRoomForMember {
        /// The object's name.
        object: Arc<str>,
        /// What does not fit, with advice.
        what: String,
    },
    /// All process numbers of the object are taken.
    ///
    /// > posix:/x: 1024 processes write to the object already
    #[error("{object}: {limit} processes write to the object already")]
    #[non_exhaustive]
    TooManyWriters {
        /// The object's name.
        object: Arc<str>,
        /// Number of processes that can write at once.
        limit: u32,
    },
}

impl Error {
    /// Returns the error of a manager, with the object's name.
    #[cold]
    pub(crate) fn decode(object: Arc<str>, source: DataError) -> Error {
        Error::Decode { object, type_name: source.type_name, what: source.what, source }
    }
}
