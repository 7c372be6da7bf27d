//! Targeted damage to the bytes of an object, for tests and fuzz targets.
//!
//! Not for users: there is no promise that this stays.

use crate::layout::bucket::Cell;
use crate::layout::header::{self, FIELDS};
use crate::layout::record::Head;
use crate::layout::{CLASSES, Geometry, LogAt, Offset, PROCESSES, SEGMENTS};
use crate::store::open::Header;

/// Counts that have caused harm, or that are at a limit.
const COUNTS: [u64; 12] = [0, 1, 2, 63, 64, 1000, 1 << 20, 1 << 23, 1 << 40, 1 << 62, u64::MAX - 1, u64::MAX];

/// Damages one meaningful part of a sound object: a lock word, an owner, a count, a pointer, a log. `choose` returns a number
/// below its argument, which is not 0. Without a sound header nothing is changed.
pub fn spoil(bytes: &mut [u8], choose: &mut dyn FnMut(u64) -> u64) {
    if let Some(geometry) = geometry(bytes) {
        Spoiler { bytes, geometry, choose }.spoil();
    }
}

/// Marks the bytes as those of the file with that inode, so that the object is not taken for a copy, which is checked when
/// it is opened, and refused.
pub fn settle(bytes: &mut [u8], inode: u64) {
    // When the inode was made need not be known.
    for (place, value) in [(header::FILE.0, inode), (header::FILE.0 + 16, 0)] {
        if let Some(word) = bytes.get_mut(place as usize..).and_then(<[u8]>::first_chunk_mut) {
            *word = value.to_ne_bytes();
        }
    }
}

fn geometry(bytes: &[u8]) -> Option<Geometry> {
    let mut fields = [0; FIELDS];
    for (i, field) in fields.iter_mut().enumerate() {
        *field = load(bytes, header::FIELDS_AT.0 + i as u64 * 8)?;
    }
    let geometry = Header::from_fields(&fields)?.geometry;
    (geometry.data_start() + geometry.pagesize <= bytes.len() as u64).then_some(geometry)
}

fn load(bytes: &[u8], at: u64) -> Option<u64> {
    bytes.get(usize::try_from(at).ok()?..)?.first_chunk().map(|word| u64::from_ne_bytes(*word))
}

struct Spoiler<'a> {
    bytes: &'a mut [u8],
    geometry: Geometry,
    choose: &'a mut dyn FnMut(u64) -> u64,
}

impl Spoiler<'_> {
    fn below(&mut self, limit: u64) -> u64 {
        (self.choose)(limit) % limit
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }

    fn number(&mut self, limit: u32) -> u32 {
        self.below(limit.into()) as u32
    }

    fn set(&mut self, place: Offset, value: u64) {
        if let Some(word) = self.bytes.get_mut(place.0 as usize..).and_then(<[u8]>::first_chunk_mut) {
            *word = value.to_ne_bytes();
        }
    }

    fn set32(&mut self, place: u64, value: u32) {
        if let Some(word) = self.bytes.get_mut(place as usize..).and_then(<[u8]>::first_chunk_mut) {
            *word = value.to_ne_bytes();
        }
    }

    fn get(&self, place: Offset) -> u64 {
        load(self.bytes, place.0).unwrap_or(0)
    }

    /// Returns any word of the data area.
    fn anywhere(&mut self) -> Offset {
        let (start, end) = (self.geometry.data_start(), self.bytes.len() as u64);
        Offset(start + self.below((end - start) / 8) * 8)
    }

    fn spoil(&mut self) {
        let geometry = self.geometry;
        let part = geometry.part();
        let stripe = self.number(geometry.stripes + 1);
        let slot = self.number(geometry.slots);
        let log = geometry.log(self.number(geometry.slots + 1));
        let (at, slot_at) = (geometry.stripe(stripe), geometry.slot(slot));
        match self.below(9) {
            0 => {
                let owner = self.number(geometry.slots + 1) + 1;
                let word = self.one_of(&[0, 1 << 31, owner, owner | 1 << 31, u32::MAX]);
                self.set32(at.lock().0, word);
                let odd = self.get(at.sequence()) | self.below(2);
                self.set(at.sequence(), odd);
            }
            1 => {
                let owner = self.one_of(&[0, 1, 2, 7, PROCESSES, PROCESSES + 1, u32::MAX]);
                self.set32(slot_at.owner().0, owner);
                if self.below(2) == 0 {
                    self.set32(at.lock().0, slot + 1);
                }
            }
            2 => {
                let number = self.number(PROCESSES + 1);
                let word = self.one_of(&[0, 1, u32::MAX]);
                self.set32(geometry.process(number).0, word);
                let wait = self.number(geometry.stripes + 3);
                self.set32(slot_at.wait().0, wait);
            }
            3 => {
                let place = self.one_of(&[at.buckets(), at.keys(), at.hidden(), at.capacity(), part.array_len()]);
                self.count(place);
            }
            4 => {
                let (segment, class) = (self.number(SEGMENTS), self.number(CLASSES));
                let classes = [at.segment(segment), at.class(class), at.segment(0), at.runs(), at.top(), at.top_end()];
                let place = self.one_of(&classes);
                if place == at.class(class) {
                    let bits = self.get(at.classes()) | 1 << class;
                    self.set(at.classes(), bits);
                }
                self.pointer(place);
            }
            5 => {
                let place = self.one_of(&[slot_at.transit(), slot_at.release(), log.link(), header::RESERVE]);
                self.pointer(place);
                let flag = self.below(2);
                self.set(slot_at.adopted(), flag);
            }
            6 => {
                let meta = geometry.stripe(geometry.meta()).top_end();
                let place = self.one_of(&[slot_at.log_word(), meta]);
                self.count(place);
                for _ in 0..self.below(4) {
                    let entry = log.entry(self.below(LogAt::FIRST_CAPACITY));
                    let named = [at.keys(), at.sequence(), part.schema_at(), part.schema_len(), slot_at.transit()];
                    let named = match self.below(2) {
                        0 => self.one_of(&named),
                        _ => self.anywhere(),
                    };
                    self.set(entry, named.0);
                    self.count(Offset(entry.0 + 8));
                }
            }
            7 => {
                let schema = [part.schema_at(), part.schema_len(), part.schema_hash(), header::DIRTY, header::BOOTS];
                let place = self.one_of(&schema);
                if self.below(2) == 0 { self.count(place) } else { self.pointer(place) }
            }
            _ => {
                let place = self.anywhere();
                if self.below(4) == 0 { self.count(place) } else { self.pointer(place) }
            }
        }
    }

    /// Changes a number.
    fn count(&mut self, place: Offset) {
        let old = self.get(place);
        let new = match self.below(5) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old ^ 1 << self.below(64),
            _ => self.one_of(&COUNTS),
        };
        self.set(place, new);
    }

    /// Stores another pointer, in one of the forms that pointers have: most often to its own place, or one found elsewhere.
    fn pointer(&mut self, place: Offset) {
        let old = self.get(place);
        let elsewhere = self.anywhere();
        let target = match self.below(6) {
            0 => elsewhere.0,
            1 => self.geometry.data_start(),
            2 => self.bytes.len() as u64 - 8,
            // From a run to its content and back.
            3 => (place.0 & !(self.geometry.pagesize - 1)) + 64,
            _ => place.0,
        };
        let new = match self.below(6) {
            0 => target,
            1 => Head(old).with_pointer(target).0,
            2 => Head(old).with_pointer(Head(self.get(elsewhere)).pointer()).0,
            3 => Cell::new(target, old).0,
            4 => self.get(elsewhere),
            _ => 0,
        };
        self.set(place, new);
    }
}
