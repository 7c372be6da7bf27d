//! The header: what an object is.

use super::Place;

/// Bytes of the whole header.
pub(crate) const HEADER_BYTES: u64 = 4096;
/// Bytes of the part that is written once.
pub(crate) const FIXED_BYTES: u64 = 1024;

/// The first word of every object.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"netshm\0\x01");
/// Version of the layout described by this module and its siblings.
pub(crate) const FORMAT: u64 = 3;
/// What a build assumes beside the format: byte order, word size, meaning of the lock words.
pub(crate) const FINGERPRINT: u64 = 0x0102_0304_0000_0000 | (size_of::<usize>() as u64) << 8 | 1;

/// `state` while an object is being created: the only content that creation may overwrite.
pub(crate) const INITIALISING: u64 = 1;
/// `state` of an object that is complete.
pub(crate) const READY: u64 = 2;

pub(crate) const MAGIC_AT: Place = Place(0);
pub(crate) const STATE_AT: Place = Place(8);
pub(crate) const FORMAT_AT: Place = Place(16);
/// First word of the fixed fields covered by the checksum, in the order of `FixedFields`.
pub(crate) const FIELDS_AT: Place = Place(32);
/// Number of fixed fields.
pub(crate) const FIELDS: usize = 12;
/// Checksum of the fixed fields.
pub(crate) const CHECKSUM_AT: Place = Place(FIELDS_AT.0 + FIELDS as u64 * 8);

/// Length of an array, in elements.
pub(crate) const ARRAY_LEN: Place = Place(FIXED_BYTES);
/// Address of the schema text.
pub(crate) const SCHEMA_AT: Place = Place(FIXED_BYTES + 8);
/// Length of the schema text in bytes.
pub(crate) const SCHEMA_LEN: Place = Place(FIXED_BYTES + 16);
/// Hash of the schema's structure.
pub(crate) const SCHEMA_HASH: Place = Place(FIXED_BYTES + 24);
/// Boot id of the system that wrote last, two words.
pub(crate) const BOOT: Place = Place(FIXED_BYTES + 64);
/// 1 from the first change after a sync up to the next sync.
pub(crate) const DIRTY: Place = Place(FIXED_BYTES + 80);

/// A log segment kept for who must change every stripe of a full object, or 0.
pub(crate) const RESERVE: Place = Place(FIXED_BYTES + 88);

/// What the object is, as numbered in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The primitive table.
    Table,
    /// A typed hash table.
    HashTable,
    /// An array.
    Array,
}

impl Kind {
    /// The number stored in the header.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Kind::Table => 1,
            Kind::HashTable => 2,
            Kind::Array => 3,
        }
    }
    /// The kind with that number.
    pub(crate) fn from_number(number: u64) -> Option<Kind> {
        [Kind::Table, Kind::HashTable, Kind::Array].into_iter().find(|kind| kind.number() == number)
    }
}
