//! Where everything lies in an object: named places and pure arithmetic. No other module knows a number.
//!
//! ```text
//! 0          header: written once at creation, checksummed      (FIXED_BYTES)
//! 1024       header: words that change
//! 4096       catalogue: ENTRY_BYTES for each named member; a hole as long as there is none
//!            process table: one 32-bit word for each process number
//!            slot table: SLOT_BYTES for each running writer
//!            logs: LOG_BYTES for each slot, then one for the meta stripe
//!            schema text, default value of the member without a name
//!            stripe table: STRIPE_BYTES for the meta stripe, then for each stripe; a hole behind those in use
//! data_start runs of pages, up to the end noted in the meta stripe
//! ```
//!
//! Stripes are numbered over the whole object, the meta stripe being 0. Each member has some in a row.

pub(crate) mod bucket;
pub(crate) mod entry;
pub(crate) mod header;
pub(crate) mod method;
pub(crate) mod record;
pub(crate) mod run;

use std::ops::Range;

use bucket::Form;
use entry::{ENTRY_BYTES, EntryAt, PartAt};
use header::HEADER_BYTES;

/// Bytes in a word; every shared 64-bit field is aligned to it.
pub(crate) const WORD: u64 = 8;
/// The largest object: pointers have 41 bits and count words.
pub(crate) const MAX_OBJECT: u64 = 1 << 44;
/// The largest encoded key or value, in bytes, as in the original.
pub(crate) const MAX_VALUE: u64 = (1 << 31) - 1;
/// The owner noted in the run of the reserved log segment: no slot.
pub(crate) const RESERVED: u32 = u32::MAX;
/// Array elements of more words than this are kept in records, even if their size is fixed.
pub(crate) const DENSE: usize = 64;

/// Stripes that an object can have at most, beside the meta stripe.
pub(crate) const MOST_STRIPES: u32 = 1 << 16;

/// Process numbers are 1 ..= PROCESSES.
pub(crate) const PROCESSES: u32 = 1024;

/// A shared 64-bit field, as its offset from the object's start.
///
/// Invariant: in front of the data area it is a multiple of [`WORD`], being computed from constants and checked dimensions.
/// Places computed from pointers that are stored in the object may be anything, and are used only where that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offset(pub(crate) u64);

/// A shared 32-bit field (a lock word or its like), as its offset; never accessed in another width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset32(pub(crate) u64);

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

const CATALOGUE: u64 = HEADER_BYTES;
/// The number of the meta stripe.
const META: u32 = 0;
/// Bytes of a cache line.
pub(crate) const LINE: u64 = 64;
const SLOT_BYTES: u64 = 128;
/// Bytes of a stripe's fields.
pub(crate) const STRIPE_BYTES: u64 = STRIPE_WORDS as u64 * WORD;
const LOG_BYTES: u64 = 1024;

/// Words of a stripe's fields.
pub(crate) const STRIPE_WORDS: usize = 168;
/// Number of size classes of a heap.
pub(crate) const CLASSES: u32 = 64;
/// Number of index segments of a stripe: four for each doubling.
pub(crate) const SEGMENTS: u32 = 80;

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
            part,
            process_table,
            slot_table,
            stripe_table,
            log_table,
            schema,
            default_value,
            data_start,
        }
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
        (self.dimensions.stripes, self.dimensions.init, self.dimensions.form) = (stripes, init, form);
        self
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
    /// Returns the place of the word that tells in which epoch the change began whose log has that word, if it is a slot's.
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

/// The fields of a slot: one for each running writer. What every change touches lies in its first cache line, how its log has
/// been cut in the second; the rest is spare, and 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotAt(u64);

impl SlotAt {
    /// Words from the owner to the last field that tells whether something is left to be done.
    pub(crate) const HEAD_WORDS: usize = 2 + PENDING;

    /// Process number of the owner, 0 while free.
    pub(crate) const fn owner(self) -> Offset32 {
        Offset32(self.0)
    }
    /// Returns the place of what the owner waits for: see `locking::wait`.
    pub(crate) const fn wait(self) -> Offset32 {
        Offset32(self.0 + 4)
    }
    /// Returns the place of the word that tells since when the owner waits: see `locking::waits`.
    pub(crate) const fn waits_since(self) -> Offset {
        Offset(self.0 + 8)
    }
    /// Returns the place of the first field that tells whether something is left to be done for the slot. They lie in a row, as
    /// many as [`PENDING`]: from the word of the log to the runs on their way back.
    pub(crate) const fn pending(self) -> Offset {
        self.log_word()
    }
    /// Returns the place of the word that tells which entries of the slot's log count: see `log_word`. When none does any more, the
    /// change is committed.
    pub(crate) const fn log_word(self) -> Offset {
        Offset(self.0 + 16)
    }
    /// Returns the place of the first of the runs on their way from the run heap to a stripe; written by meta changes.
    pub(crate) const fn transit(self) -> Offset {
        Offset(self.0 + 24)
    }
    /// Returns the flag that is 1 as soon as the runs in transit belong to their stripes; written by groups.
    pub(crate) const fn adopted(self) -> Offset {
        Offset(self.0 + 32)
    }
    /// Returns the place of the first of the runs on their way back to the run heap.
    pub(crate) const fn release(self) -> Offset {
        Offset(self.0 + 40)
    }
    /// Returns the place of the first of the words that tell which entries of the log were left when a part of a change was undone:
    /// see `log_word`.
    pub(crate) const fn cuts(self) -> Offset {
        Offset(self.0 + 64)
    }
    /// Returns the place of the word that tells, of a change parts of which have been undone, in which epoch it began: see `Began`.
    pub(crate) const fn began(self) -> Offset {
        Offset(self.0 + 48)
    }
}

/// The number of fields of a slot that tell whether something is left to be done for it.
pub(crate) const PENDING: usize = 4;
/// The number of words that tell which entries of a log were left when a part of a change was undone.
pub(crate) const CUTS: usize = 8;

/// The fields of a stripe. The words behind the last field are spare, and 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StripeAt(u64);

impl StripeAt {
    /// Returns the place of the lock word: see `locking::word`.
    pub(crate) const fn lock(self) -> Offset32 {
        Offset32(self.0)
    }
    /// Returns the place of the word of those who wait for a change: see `watch_word`.
    #[inline(always)]
    pub(crate) const fn watch(self) -> Offset32 {
        Offset32(self.0 + 4)
    }
    /// Returns the place of the sequence: odd while a writer changes the stripe.
    pub(crate) const fn sequence(self) -> Offset {
        Offset(self.0 + 8)
    }
    /// Buckets of the index; the height of an array's directory.
    pub(crate) const fn buckets(self) -> Offset {
        Offset(self.0 + 16)
    }
    /// Returns the place of the number of keys in the stripe (chunks, in an array).
    pub(crate) const fn keys(self) -> Offset {
        Offset(self.0 + 24)
    }
    /// Returns the place of the number of bindings in the stripe that newer ones of their keys hide.
    pub(crate) const fn hidden(self) -> Offset {
        Offset(self.0 + 32)
    }
    /// Returns the place of the start of the untouched rest of the newest chunk. In the meta stripe: end of the managed area.
    pub(crate) const fn top(self) -> Offset {
        Offset(self.0 + 40)
    }
    /// Returns the place of the end of that rest. In the meta stripe: the word of the meta log.
    pub(crate) const fn top_end(self) -> Offset {
        Offset(self.0 + 48)
    }
    /// Returns the place of the set of size classes that have free blocks.
    pub(crate) const fn classes(self) -> Offset {
        Offset(self.0 + 56)
    }
    /// Address of the first bucket of index segment `segment`.
    /// Segment 0 of an array's stripe is the root of its directory.
    pub(crate) const fn segment(self, segment: u32) -> Offset {
        Offset(self.0 + 64 + segment as u64 * WORD)
    }
    /// Returns the place of the first free block of a size class; valid only while its bit in `classes` is set.
    pub(crate) const fn class(self, class: u32) -> Offset {
        Offset(self.0 + 64 + SEGMENTS as u64 * WORD + class as u64 * WORD)
    }
    const fn tail(self) -> u64 {
        self.0 + 64 + (SEGMENTS as u64 + CLASSES as u64) * WORD
    }
    /// Returns the place of the first of the runs that the stripe owns.
    pub(crate) const fn runs(self) -> Offset {
        Offset(self.tail())
    }
    /// Returns the place of the number of bytes in the chunks that the stripe owns.
    pub(crate) const fn capacity(self) -> Offset {
        Offset(self.tail() + 8)
    }
}

/// A log segment: link, capacity, entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogAt(pub(crate) u64);

impl LogAt {
    /// Entries in a segment of the log table.
    pub(crate) const FIRST_CAPACITY: u64 = Self::capacity_of(LOG_BYTES);

    /// Bytes of an entry.
    pub(crate) const ENTRY_BYTES: u64 = 16;

    /// Address of the next segment, or 0.
    pub(crate) const fn link(self) -> Offset {
        Offset(self.0)
    }
    /// Entries that fit into the segment.
    pub(crate) const fn capacity(self) -> Offset {
        Offset(self.0.wrapping_add(8))
    }
    /// Returns the place that an entry names; the old word lies behind it.
    pub(crate) const fn entry(self, index: u64) -> Offset {
        Offset(self.0.wrapping_add(16 + index * Self::ENTRY_BYTES))
    }
    /// Returns the bytes of content for `entries` entries.
    pub(crate) const fn bytes_for(entries: u64) -> u64 {
        16 + entries * Self::ENTRY_BYTES
    }
    /// Returns the number of entries that fit into `bytes` bytes.
    pub(crate) const fn capacity_of(bytes: u64) -> u64 {
        (bytes - 16) / Self::ENTRY_BYTES
    }
}

/// The first word of a log entry: which word changes, and a part of a hash of what it becomes.
///
/// ```text
/// 44..=63  part of a hash of the new word and the state of the log, which no two entries of a log have in common
/// 0..=43   place of the word
/// 0        1 if it is not known what the word becomes, as its memory is filled without entries; nothing is hashed then
/// ```
/// So whoever finds pages of different moments, after a loss of power, notices that the entry and the word do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted(pub(crate) u64);

impl Noted {
    const HASH: u64 = !(MAX_OBJECT - 1);
    const UNTOLD: u64 = 1;

    /// Returns the entry for a word at `place` that becomes `new`; `state` is the log's before the entry.
    #[inline(always)]
    pub(crate) fn new(place: u64, state: u64, new: u64) -> Self {
        Noted(place | Self::hash(state, new))
    }
    /// Returns the entry for a word at `place` that may become anything.
    pub(crate) fn untold(place: u64) -> Self {
        Noted(place | Self::UNTOLD)
    }
    /// Returns the place of the word.
    #[inline]
    pub(crate) fn place(self) -> u64 {
        self.0 & !Self::HASH & !Self::UNTOLD
    }
    /// Returns whether it is known what the word becomes.
    pub(crate) fn tells(self) -> bool {
        self.0 & Self::UNTOLD == 0
    }
    /// Returns the same entry after it has been undone, so that the word becomes `old`, which it was before.
    pub(crate) fn undone(self, state: u64, old: u64) -> Self {
        if self.tells() { Self::new(self.place(), state, old) } else { self }
    }
    /// Returns whether the word may become `new`, by an entry that was made in that state of the log.
    pub(crate) fn agrees(self, state: u64, new: u64) -> bool {
        self.0 & Self::HASH == Self::hash(state, new)
    }
    /// Hashes a state and a word. An odd multiplier spreads each bit over all that are above it. The state is spread first:
    /// otherwise an entry of another epoch would agree with a word that differs just as the epochs do.
    #[inline(always)]
    fn hash(state: u64, new: u64) -> u64 {
        (new ^ state.wrapping_mul(0xD6E8_FEB8_6659_FD93)).wrapping_mul(0x9E37_79B9_7F4A_7C15) & Self::HASH
    }
}

/// Rounds up to a multiple of `unit`.
pub(crate) const fn round_up(n: u64, unit: u64) -> u64 {
    n.div_ceil(unit) * unit
}

/// Words of a stripe that are spare, at least.
const SPARE_STRIPE_WORDS: u64 = 4;

// What the format says, in numbers. Objects of this format exist, so none of these may change.
const _: () = {
    let (slot, stripe) = (SlotAt(0), StripeAt(0));
    assert!(slot.owner().0 == 0 && slot.wait().0 == 4);
    assert!(slot.waits_since().0 == 8 && slot.log_word().0 == 16);
    assert!(slot.cuts().0.is_multiple_of(LINE) && slot.cuts().0 + CUTS as u64 * WORD <= SLOT_BYTES);
    assert!(slot.transit().0 == 24 && slot.adopted().0 == 32 && slot.release().0 == 40);
    assert!(slot.began().0 == 48);
    assert!(
        stripe.lock().0 == 0
            && stripe.watch().0 == 4
            && stripe.sequence().0 == 8
            && stripe.buckets().0 == 16
            && stripe.keys().0 == 24
    );
    assert!(stripe.hidden().0 == 32 && stripe.top().0 == 40 && stripe.top_end().0 == 48 && stripe.classes().0 == 56);
    assert!(stripe.segment(0).0 == 64 && stripe.class(0).0 == 704);
    assert!(stripe.runs().0 == 1216 && stripe.capacity().0 == 1224);
    assert!(stripe.capacity().0 + WORD + SPARE_STRIPE_WORDS * WORD <= STRIPE_BYTES);
    // No two stripes share a cache line, and a slot has two of its own, which processors fetch together.
    assert!(STRIPE_BYTES == 1344 && STRIPE_BYTES.is_multiple_of(64) && SLOT_BYTES == 128);
    assert!(CATALOGUE == 4096 && ENTRY_BYTES == 256 && META == 0 && LOG_BYTES == 1024 && LogAt::FIRST_CAPACITY == 63);
};

#[cfg(test)]
mod tests {
    use super::*;

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
