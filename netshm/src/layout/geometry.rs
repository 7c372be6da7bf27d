//! The shape of an object: its dimensions, and where its tables lie.

use std::ops::Range;

use super::bucket::Form;
use super::entry::{ENTRY_BYTES, EntryAt, PartAt};
use super::header::{self, HEADER_BYTES};
use super::log::{LOG_BYTES, LogAt};
use super::slot::{SLOT_BYTES, SlotAt};
use super::stripe::{STRIPE_BYTES, StripeAt};
use super::{LINE, Offset, Offset32, PROCESSES, WORD, round_up};

/// Parameters chosen when an object is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dimensions {
    /// Bytes in a page: the unit of the run heap.
    pub(crate) pagesize: u64,
    /// Number of stripes, a power of two: those of the member without a name, 0 if there is none.
    pub(crate) stripes: u32,
    /// Room for stripes, of all members.
    pub(crate) stripe_room: u32,
    /// Room for members with names.
    pub(crate) member_room: u32,
    /// Number of slots.
    pub(crate) slots: u32,
    /// The expected number of keys.
    pub(crate) init: u64,
    /// The size that the object never exceeds, in bytes.
    pub(crate) max_size: u64,
    /// Bytes set apart for the schema text.
    pub(crate) schema_bytes: u64,
    /// Words set apart for the default value of an array.
    pub(crate) default_words: u64,
    /// Form of a table's buckets.
    pub(crate) form: Form,
}

/// The shape of one object, fixed at its creation, as one of its members sees it: its dimensions, and what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    dimensions: Dimensions,
    /// The first stripe of the member.
    first: u32,
    /// Number and mask of the bits, of a hash or of a chunk's number, that choose the stripe.
    stripe_bits: u32,
    stripe_mask: u32,
    /// The variable part of the member, beside its stripes.
    part: PartAt,
    process_table: u64,
    slot_table: u64,
    stripe_table: u64,
    log_table: u64,
    schema: u64,
    default_value: u64,
    data_start: u64,
}

pub(super) const CATALOGUE: u64 = HEADER_BYTES;
/// The number of the meta stripe.
pub(super) const META: u32 = 0;

impl Dimensions {
    /// Works out where everything lies.
    pub(crate) fn geometry(self) -> Geometry {
        let process_table = CATALOGUE + u64::from(self.member_room) * ENTRY_BYTES;
        let slot_table = round_up(process_table + (u64::from(PROCESSES) + 1) * 4, SLOT_BYTES);
        let log_table = slot_table + u64::from(self.slots) * SLOT_BYTES;
        let schema = log_table + (u64::from(self.slots) + 1) * LOG_BYTES;
        let default_value = round_up(schema + self.schema_bytes, WORD);
        let stripe_table = round_up(default_value + self.default_words * WORD, LINE);
        let stripe_end = stripe_table + (u64::from(self.stripe_room) + 1) * STRIPE_BYTES;
        let data_start = round_up(stripe_end, self.pagesize);
        let (first, part) = (META + 1, header::UNNAMED);
        Geometry {
            dimensions: self,
            first,
            stripe_bits: 0,
            stripe_mask: 0,
            part,
            process_table,
            slot_table,
            stripe_table,
            log_table,
            schema,
            default_value,
            data_start,
        }
        .with_stripes(self.stripes)
    }
}

impl std::ops::Deref for Geometry {
    type Target = Dimensions;

    fn deref(&self) -> &Dimensions {
        &self.dimensions
    }
}

impl Geometry {
    /// Returns the shape of the same object as another member sees it.
    pub(crate) fn of_member(mut self, first: u32, stripes: u32, init: u64, form: Form, part: PartAt) -> Geometry {
        (self.first, self.part) = (first, part);
        (self.dimensions.init, self.dimensions.form) = (init, form);
        self.with_stripes(stripes)
    }

    fn with_stripes(mut self, stripes: u32) -> Geometry {
        self.dimensions.stripes = stripes;
        (self.stripe_bits, self.stripe_mask) = (stripes.trailing_zeros() & 31, stripes.wrapping_sub(1));
        self
    }

    /// Returns the stripe that a hash belongs to: its top bits.
    #[inline]
    pub(crate) fn stripe_of(&self, hash: u64) -> u32 {
        self.first + (hash.rotate_left(self.stripe_bits) as u32 & self.stripe_mask)
    }

    /// Returns the stripe that a chunk of an array belongs to, and its number there.
    #[inline]
    pub(crate) fn stripe_of_chunk(&self, chunk: u64) -> (u32, u64) {
        (self.first + (chunk as u32 & self.stripe_mask), chunk >> self.stripe_bits)
    }
    /// Returns the first stripe of the member.
    #[inline(always)]
    pub(crate) const fn first(&self) -> u32 {
        self.first
    }
    /// Returns the stripes of the member.
    #[inline]
    pub(crate) const fn own(&self) -> Range<u32> {
        self.first..self.first + self.dimensions.stripes
    }
    /// Returns what changes of the member, beside its stripes.
    #[inline(always)]
    pub(crate) const fn part(&self) -> PartAt {
        self.part
    }
    /// Returns an entry of the catalogue.
    pub(crate) const fn entry(&self, index: u32) -> EntryAt {
        EntryAt(CATALOGUE + index as u64 * ENTRY_BYTES)
    }
    /// Returns the bytes of the catalogue.
    pub(crate) const fn catalogue(&self) -> Range<u64> {
        CATALOGUE..self.process_table
    }
    /// Returns the end of the table of stripes as far as that many of them are used, the meta stripe among them.
    pub(crate) const fn stripes_end(&self, used: u32) -> u64 {
        self.stripe_table + used as u64 * STRIPE_BYTES
    }
    /// Returns where the schema text lies when the object is created.
    pub(crate) const fn schema(&self) -> u64 {
        self.schema
    }
    /// Returns where the encoded default value of an array lies.
    pub(crate) const fn default_value(&self) -> u64 {
        self.default_value
    }
    /// Returns the first byte managed by the run heap.
    #[inline]
    pub(crate) const fn data_start(&self) -> u64 {
        self.data_start
    }
    /// Returns the place of the word of a process number: 0 while free, otherwise the process id of its owner.
    pub(crate) const fn process(&self, number: u32) -> Offset32 {
        Offset32(self.process_table + number as u64 * 4)
    }
    /// Returns a slot's fields.
    #[inline]
    pub(crate) const fn slot(&self, slot: u32) -> SlotAt {
        SlotAt(self.slot_table + slot as u64 * SLOT_BYTES)
    }
    /// Returns a stripe's fields.
    #[inline]
    pub(crate) const fn stripe(&self, stripe: u32) -> StripeAt {
        StripeAt(self.stripe_table + stripe as u64 * STRIPE_BYTES)
    }
    /// Returns the meta stripe, which guards the run heap.
    #[allow(clippy::unused_self, reason = "which one it is, is a matter of the layout")]
    pub(crate) const fn meta(&self) -> u32 {
        META
    }
    /// Returns the place of the [cuts](SlotAt::cuts) of the log with that word; that of the meta stripe has none.
    pub(crate) fn cuts_of(&self, log_word: Offset) -> Option<Offset> {
        let start = log_word.0.checked_sub(self.slot_table)? / SLOT_BYTES * SLOT_BYTES + self.slot_table;
        (log_word.0 < self.log_table).then_some(SlotAt(start).cuts())
    }
    /// Returns the place of the word that says in which epoch the change of the log with that word began, if it is a slot's.
    pub(crate) const fn began(&self, log_word: Offset) -> Option<Offset> {
        if log_word.0 < self.slot_table || log_word.0 >= self.log_table {
            return None;
        }
        Some(SlotAt(log_word.0 - SlotAt(0).log_word().0).began())
    }
    /// Returns the first log segment of a slot; the index `slots` names the log of the meta stripe.
    #[inline]
    pub(crate) const fn log(&self, slot: u32) -> LogAt {
        LogAt(self.log_table + slot as u64 * LOG_BYTES)
    }
    /// Returns whether `place` is a 64-bit field outside the data area that a journal may name.
    pub(crate) fn is_journalled(&self, place: u64) -> bool {
        if !place.is_multiple_of(WORD) {
            return false;
        }
        if place >= self.stripe_table {
            return place < self.data_start && (place - self.stripe_table) % STRIPE_BYTES >= 8;
        }
        if place >= self.slot_table && place < self.log_table {
            return (place - self.slot_table) % SLOT_BYTES >= 16;
        }
        if place >= self.log_table && place < self.schema {
            // Only the link to the next segment; entries are never journalled.
            return (place - self.log_table).is_multiple_of(LOG_BYTES);
        }
        if self.catalogue().contains(&place) {
            return EntryAt::is_journalled((place - CATALOGUE) % ENTRY_BYTES);
        }
        (header::FIXED_BYTES..HEADER_BYTES).contains(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::PENDING;

    fn geometry() -> Geometry {
        Dimensions {
            pagesize: 256,
            stripes: 4,
            stripe_room: 6,
            member_room: 16,
            slots: 2,
            init: 10,
            max_size: 1 << 30,
            schema_bytes: 20,
            default_words: 0,
            form: Form::Records,
        }
        .geometry()
    }

    #[test]
    fn areas_follow_one_another() {
        let g = geometry();
        assert_eq!(g.entry(g.member_room).0, g.process(0).0);
        assert!(g.process(PROCESSES).0 + 4 <= g.slot(0).owner().0);
        assert_eq!(g.slot(g.slots).0, g.log(0).0);
        assert_eq!(g.log(g.slots + 1).0, g.schema());
        assert!(g.default_value() <= g.stripe(0).0);
        assert_eq!(g.stripe(g.stripe_room + 1).0, g.stripes_end(g.stripe_room + 1));
        assert!(g.stripes_end(g.stripe_room + 1) <= g.data_start());
        assert_eq!(g.stripe(0).lock().0 % 64, 0);
        assert_eq!(g.slot(1).owner().0 % 128, 0);
        assert!(g.data_start().is_multiple_of(g.pagesize) && g.data_start() >= g.schema() + 20);
    }

    /// Objects of this format exist.
    #[test]
    fn areas_lie_where_the_format_says() {
        let g = geometry();
        assert_eq!([g.entry(0).0, g.process(0).0, g.slot(0).0, g.log(0).0], [4096, 8192, 12416, 12672]);
        assert_eq!([g.schema(), g.default_value(), g.stripe(0).0, g.data_start()], [15744, 15768, 15808, 25344]);
    }

    #[test]
    fn what_is_pending_lies_in_a_row() {
        let at = geometry().slot(1);
        let pending = [at.log_word(), at.transit(), at.adopted(), at.release()];
        assert_eq!([0, 1, 2, 3].map(|i| Offset(at.pending().0 + i * WORD)), pending);
        assert_eq!(pending.len(), PENDING);
    }

    #[test]
    fn narrow_fields_are_never_journalled() {
        let g = geometry();
        for slot in 0..g.slots {
            for place in [g.slot(slot).owner(), g.slot(slot).wait()] {
                assert!(!g.is_journalled(place.0 & !7));
            }
            assert!(g.is_journalled(g.slot(slot).transit().0));
        }
        for stripe in 0..=g.stripe_room {
            assert!(!g.is_journalled(g.stripe(stripe).lock().0));
            assert!(g.is_journalled(g.stripe(stripe).sequence().0));
        }
        assert!(!g.is_journalled(g.process(2).0));
        assert!(!g.is_journalled(g.stripe(0).keys().0 + 4));
    }
}
