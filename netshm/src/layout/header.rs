//! The header: what an object is.

use super::entry::PartAt;
use super::{Offset, Offset32};

/// Bytes of the whole header.
pub(crate) const HEADER_BYTES: u64 = 4096;
/// Bytes of the part that is written once.
pub(crate) const FIXED_BYTES: u64 = 1024;

/// The first word of every object.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"netshm\0\x01");
/// Version of the layout described by this module and its siblings.
pub(crate) const FORMAT: u64 = 4;
/// Fingerprint of a build's assumptions beside the format: byte order, word size, meaning of the lock words.
pub(crate) const FINGERPRINT: u64 = 0x0102_0304_0000_0000 | (size_of::<usize>() as u64) << 8 | 1;
/// The features that this version knows, as bits of [`FEATURES_TO_READ`].
pub(crate) const KNOWN_TO_READ: u64 = 0;
/// The features that this version knows, as bits of [`FEATURES_TO_WRITE`].
pub(crate) const KNOWN_TO_WRITE: u64 = 0;

/// Bytes of a file whose creation failed and whose name was deleted: whoever has it open already must not create an object in it,
/// which nobody would find. A length, since the disk may be full.
pub(crate) const ABANDONED_BYTES: u64 = 1;
/// `state` while an object is being created: the only content that creation may overwrite.
pub(crate) const INITIALISING: u64 = 1;
/// `state` of an object that is complete.
pub(crate) const READY: u64 = 2;
/// `state` of an object in whose place `repair` has put another one.
pub(crate) const REPLACED: u64 = 3;

pub(crate) const MAGIC_AT: Offset = Offset(0);
pub(crate) const STATE_AT: Offset = Offset(8);
/// Format number and build fingerprint.
pub(crate) const FORMAT_AT: Offset = Offset(16);
/// One bit for each feature that a program must know to read the object.
pub(crate) const FEATURES_TO_READ: Offset = Offset(32);
/// One bit for each feature that a program must know to write to the object.
pub(crate) const FEATURES_TO_WRITE: Offset = Offset(40);
/// First word of the fixed fields covered by the checksum, in the order of `Header::fields`.
pub(crate) const FIELDS_AT: Offset = Offset(64);
/// Number of fixed fields; those that mean nothing yet are 0.
pub(crate) const FIELDS: usize = 16;
/// Checksum of the fixed fields.
pub(crate) const CHECKSUM_AT: Offset = Offset(192);
/// A random number of 128 bits that distinguishes the object from all others; kept when its file is moved.
pub(crate) const ID: Offset = Offset(256);
/// The file that the object was made in, or that it was adopted in: inode, file system (`f_fsid`), and when the inode was made, or
/// 0. Changed only by a process that keeps others from opening the object.
pub(crate) const FILE: Offset = Offset(272);

/// The word on which waiters for a change anywhere in a member or in the object sleep: see `watch_word`. In a cache line of its own.
pub(crate) const WATCH: Offset32 = Offset32(320);

/// The variable part of the member without a name, beside its stripes.
pub(crate) const UNNAMED: PartAt = PartAt(FIXED_BYTES);
/// Number of stripes in use, with the meta stripe. What lies after them is a hole, which must not be touched.
pub(crate) const STRIPES_USED: Offset = Offset(FIXED_BYTES + 40);
/// Number of catalogue entries that are or have been used; 0 as long as it is a hole.
pub(crate) const ENTRIES_USED: Offset = Offset(FIXED_BYTES + 48);
/// The id of the member that was added last.
pub(crate) const LAST_MEMBER: Offset = Offset(FIXED_BYTES + 56);
/// Not 0 from the first change after a sync up to the next sync: see `mark`.
pub(crate) const DIRTY: Offset = Offset(FIXED_BYTES + 80);
/// A log segment kept for whoever must change every stripe of a full object, or 0.
pub(crate) const RESERVE: Offset = Offset(FIXED_BYTES + 88);
/// Ids of boots in which the object was opened for writing, [`BOOTS_KEPT`] of them, two words each; zeros for none.
pub(crate) const BOOTS: Offset = Offset(FIXED_BYTES + 128);
/// Number of boots remembered: systems that use an object in turn may each have an id of its own.
pub(crate) const BOOTS_KEPT: u64 = 4;
/// Words of the header that mean nothing yet, and are 0.
pub(crate) const SPARE: Offset = Offset(FIXED_BYTES + 512);
/// Number of them.
pub(crate) const SPARE_WORDS: u64 = 64;

// What the format says, in numbers. Objects of this format exist, so none of these may change.
const _: () = {
    assert!(FORMAT_AT.0 == 16 && FEATURES_TO_READ.0 == 32 && FEATURES_TO_WRITE.0 == 40);
    assert!(FIELDS_AT.0 == 64 && FIELDS_AT.0 + FIELDS as u64 * 8 == CHECKSUM_AT.0);
    assert!(ID.0 == 256 && FILE.0 == ID.0 + 16 && FILE.0 + 24 <= WATCH.0 - 24 && WATCH.0 == 320);
    assert!(UNNAMED.array_len().0 == 1024 && UNNAMED.schema_at().0 == 1032);
    assert!(UNNAMED.schema_len().0 == 1040 && UNNAMED.schema_hash().0 == 1048 && UNNAMED.schema_version().0 == 1056);
    assert!(STRIPES_USED.0 == 1064 && ENTRIES_USED.0 == 1072 && LAST_MEMBER.0 == 1080);
    assert!(DIRTY.0 == 1104 && RESERVE.0 == 1112 && BOOTS.0 == 1152);
    assert!(BOOTS.0 + BOOTS_KEPT * 16 <= SPARE.0 && SPARE.0 == 1536 && SPARE.0 + SPARE_WORDS * 8 <= HEADER_BYTES);
};

/// Kind of the object, as numbered in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    /// The primitive table.
    Table,
    /// A typed hash table.
    HashTable,
    /// An array.
    Array,
}

impl ObjectKind {
    /// Returns the number stored in the header.
    pub(crate) const fn number(self) -> u64 {
        match self {
            ObjectKind::Table => 1,
            ObjectKind::HashTable => 2,
            ObjectKind::Array => 3,
        }
    }
    /// Returns the kind with that number.
    pub(crate) fn from_number(number: u64) -> Option<ObjectKind> {
        [ObjectKind::Table, ObjectKind::HashTable, ObjectKind::Array].into_iter().find(|kind| kind.number() == number)
    }
}
