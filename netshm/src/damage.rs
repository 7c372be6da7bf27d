//! Targeted damage to the bytes of an object, for tests and fuzz targets.
//!
//! Not for users: there is no promise that this stays.

use crate::layout::bucket::Cell;
use crate::layout::entry::{self, ENTRY_WORDS, EntryAt, PartAt};
use crate::layout::header::{self, BOOTS_KEPT, FIELDS};
use crate::layout::record::Head;
use crate::layout::run::{Hole, RunAt, RunHead, Use};
use crate::layout::{CLASSES, CUTS, Geometry, LogAt, Noted, Offset, PROCESSES, SEGMENTS, SlotAt, StripeAt};
use crate::store::open::{Header, SEED, checksum};

/// Counts that have caused harm, or that are at a limit.
const COUNTS: [u64; 12] = [0, 1, 2, 63, 64, 1000, 1 << 20, 1 << 23, 1 << 40, 1 << 62, u64::MAX - 1, u64::MAX];

/// Damages one meaningful part of a sound object: a lock word, an owner, a count, a pointer, a log. `choose` returns a number
/// below its argument, which is not 0; it chooses one of the [`roles`] first. Without a sound header nothing is changed.
pub fn spoil(bytes: &mut [u8], choose: &mut dyn FnMut(u64) -> u64) {
    if let Some(geometry) = geometry(bytes) {
        let mut spoiler = Spoiler { bytes, geometry, choose };
        let (_, spoil) = spoiler.one_of(&ROLES);
        spoil(&mut spoiler);
    }
}

/// Returns the names of the roles that [`spoil`] knows: its first choice is one of them.
pub fn roles() -> impl ExactSizeIterator<Item = &'static str> {
    ROLES.iter().map(|(name, _)| *name)
}

/// Runs `make`; objects that the thread creates meanwhile are the same each time, as far as their hashes go.
pub fn with_seed<R>(seed: u64, make: impl FnOnce() -> R) -> R {
    SEED.set(Some(seed));
    let result = make();
    SEED.set(None);
    result
}

type Role = (&'static str, fn(&mut Spoiler<'_>));

const ROLES: [Role; 16] = [
    ("locks", |it| it.lock()),
    ("owners", |it| it.owner()),
    ("processes", |it| it.process()),
    ("counts", |it| it.counts()),
    ("pointers of stripes", |it| it.pointers()),
    ("runs on their way", |it| it.transit()),
    ("entries of logs", |it| it.entries()),
    ("cuts of logs", |it| it.cuts()),
    ("schemas", |it| it.schema()),
    ("identity", |it| it.identity()),
    ("fixed fields", |it| it.fixed()),
    ("members", |it| it.member()),
    ("watch words", |it| it.watch()),
    ("runs", |it| it.run()),
    ("spare words", |it| it.spare()),
    ("data", |it| it.data()),
];

/// Marks the bytes as those of the file with that inode, so that the object is not taken for a copy, which is checked when
/// it is opened, and refused.
pub fn settle(bytes: &mut [u8], inode: u64) {
    // When the inode was made need not be known.
    for (place, value) in [(header::FILE.bytes(), inode), (header::FILE.bytes() + 16, 0)] {
        if let Some(word) = bytes.get_mut(place as usize..).and_then(<[u8]>::first_chunk_mut) {
            *word = value.to_ne_bytes();
        }
    }
}

fn geometry(bytes: &[u8]) -> Option<Geometry> {
    let mut fields = [0; FIELDS];
    for (i, field) in fields.iter_mut().enumerate() {
        *field = load(bytes, header::FIELDS_AT.bytes() + i as u64 * 8)?;
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
        if let Some(word) = self.bytes.get_mut(place.bytes() as usize..).and_then(<[u8]>::first_chunk_mut) {
            *word = value.to_ne_bytes();
        }
    }

    fn set32(&mut self, place: u64, value: u32) {
        if let Some(word) = self.bytes.get_mut(place as usize..).and_then(<[u8]>::first_chunk_mut) {
            *word = value.to_ne_bytes();
        }
    }

    fn get(&self, place: Offset) -> u64 {
        load(self.bytes, place.bytes()).unwrap_or(0)
    }

    /// Returns any word of the data area.
    fn anywhere(&mut self) -> Offset {
        let (start, end) = (self.geometry.data_start(), self.bytes.len() as u64);
        Offset::at(start + self.below((end - start) / 8) * 8)
    }

    fn stripe(&mut self) -> StripeAt {
        let stripe = self.number(self.geometry.stripe_room + 1);
        let used = (load(self.bytes, header::STRIPES_USED.bytes()).unwrap_or(0) as u32).max(1);
        self.geometry.stripe(stripe % used.min(self.geometry.stripe_room + 1))
    }

    fn slot(&mut self) -> SlotAt {
        let slot = self.number(self.geometry.slots);
        self.geometry.slot(slot)
    }

    fn entry(&mut self) -> EntryAt {
        // Those that are used come first.
        let index = self.below(5) as u32 % self.geometry.member_room.max(1);
        self.geometry.entry(index)
    }

    /// Returns what changes of a member: most often of the one without a name.
    fn part(&mut self) -> PartAt {
        if self.below(3) == 0 { self.entry().part() } else { self.geometry.part() }
    }

    fn lock(&mut self) {
        let at = self.stripe();
        let owner = self.number(self.geometry.slots + 1) + 1;
        let word = self.one_of(&[0, 1 << 31, owner, owner | 1 << 31, u32::MAX]);
        self.set32(at.lock().bytes(), word);
        let old = self.get(at.sequence());
        let sequence = self.one_of(&[old, old | 1, old.wrapping_add(old & 1), u64::MAX, u64::MAX - 1, 1, 0]);
        self.set(at.sequence(), sequence);
    }

    fn owner(&mut self) {
        let (at, slot) = (self.stripe(), self.number(self.geometry.slots));
        let owner = self.one_of(&[0, 1, 2, 7, PROCESSES, PROCESSES + 1, u32::MAX]);
        self.set32(self.geometry.slot(slot).owner().bytes(), owner);
        if self.below(2) == 0 {
            self.set32(at.lock().bytes(), slot + 1);
        }
    }

    fn process(&mut self) {
        let number = self.number(PROCESSES + 1);
        let word = self.one_of(&[0, 1, std::process::id(), u32::MAX]);
        self.set32(self.geometry.process(number).bytes(), word);
        let slot = self.slot();
        let (wait, epoch) = (self.number(self.geometry.stripes + 3), self.number(3) << 17);
        self.set32(slot.wait().bytes(), wait | epoch);
        self.count(slot.waits_since());
    }

    fn counts(&mut self) {
        let (at, part) = (self.stripe(), self.part());
        let place = self.one_of(&[at.buckets(), at.keys(), at.hidden(), at.capacity(), part.array_len()]);
        self.count(place);
    }

    fn pointers(&mut self) {
        let (at, segment, class) = (self.stripe(), self.number(SEGMENTS), self.number(CLASSES));
        let places = [at.segment(segment), at.class(class), at.segment(0), at.runs(), at.top(), at.top_end()];
        let place = self.one_of(&places);
        if place == at.class(class) {
            let bits = self.get(at.classes()) | 1 << class;
            self.set(at.classes(), bits);
        }
        self.pointer(place);
    }

    fn transit(&mut self) {
        let (slot, log) = (self.slot(), self.log());
        let place = self.one_of(&[slot.transit(), slot.release(), log.link(), log.capacity(), header::RESERVE]);
        if place == log.capacity() {
            self.count(place)
        } else {
            self.pointer(place)
        }
        let flag = self.one_of(&[0, 1, 1, 2]);
        self.set(slot.adopted(), flag);
    }

    fn log(&mut self) -> LogAt {
        let slot = self.number(self.geometry.slots + 1);
        self.geometry.log(slot)
    }

    /// Entries that name what must not be restored, of a log that counts them.
    fn entries(&mut self) {
        let (at, slot, part, log) = (self.stripe(), self.slot(), self.part(), self.log());
        let meta = self.geometry.stripe(self.geometry.meta()).top_end();
        let word = self.one_of(&[slot.log_word(), slot.log_word(), meta]);
        let entries = self.below(4);
        for entry in 0..entries {
            let place = log.entry(entry);
            let named =
                [at.keys(), at.sequence(), part.schema_at(), part.schema_len(), slot.transit(), slot.log_word()];
            let named = if self.below(2) == 0 { self.one_of(&named) } else { self.anywhere() };
            let noted = match self.below(3) {
                0 => Noted::untold(named.bytes()),
                1 => Noted::new(named.bytes(), self.get(word) & !0xFFFF_FFFF | entry, self.get(named)),
                _ => Noted(named.bytes()),
            };
            self.set(place, noted.0);
            let old = self.get(named);
            self.set(place.next(), old);
            self.count(place.next());
        }
        if self.below(3) == 0 {
            self.count(word);
        } else {
            let epoch = self.get(word) & !0xFFFF_FFFF;
            self.set(word, epoch | entries);
        }
    }

    /// Changes how a log has been cut, or in which epoch a change began.
    fn cuts(&mut self) {
        let slot = self.slot();
        let cut = self.below(CUTS as u64);
        let place = self.one_of(&[slot.cuts().word(cut), slot.began(), slot.log_word()]);
        let log = self.get(slot.log_word());
        let (epoch, entries) = (log >> 32, log & 0xFFFF_FFFF);
        match self.below(4) {
            0 => self.set(place, log),
            1 => self.set(place, epoch.wrapping_sub(1) << 32 | (entries + 1)),
            2 => self.set(place, epoch.wrapping_add(1) << 32 | entries),
            _ => self.count(place),
        }
    }

    fn schema(&mut self) {
        let part = self.part();
        let place = self.one_of(&[part.schema_at(), part.schema_len(), part.schema_hash(), part.schema_version()]);
        if self.below(2) == 0 { self.count(place) } else { self.pointer(place) }
    }

    /// Changes the object's id, its file, boots or marks.
    fn identity(&mut self) {
        let (id, boot) = (self.below(4), self.below(BOOTS_KEPT * 2));
        let places = [header::ID.word(id), header::BOOTS.word(boot), header::DIRTY, header::STATE_AT];
        let place = self.one_of(&places);
        self.count(place);
    }

    /// Changes fields that are written once, with the checksum that they have then; bits of features that nobody knows.
    fn fixed(&mut self) {
        if self.below(4) == 0 {
            let place = self.one_of(&[header::FEATURES_TO_READ, header::FEATURES_TO_WRITE, header::FORMAT_AT]);
            return self.count(place);
        }
        let field = self.below(FIELDS as u64);
        let place = header::FIELDS_AT.word(field);
        if self.below(2) == 0 {
            let half = self.get(place) / 2;
            let value = self.one_of(&[half, half.wrapping_mul(4)]);
            self.set(place, value);
        } else {
            self.count(place);
        }
        let mut fields = [0; FIELDS];
        for (i, field) in (0..).zip(&mut fields) {
            *field = self.get(header::FIELDS_AT.word(i));
        }
        self.set(header::CHECKSUM_AT, checksum(&fields));
    }

    fn member(&mut self) {
        let entry = self.entry();
        let word = self.below(ENTRY_WORDS as u64);
        let counts = [header::STRIPES_USED, header::ENTRIES_USED, header::LAST_MEMBER];
        match self.below(5) {
            0 => {
                let place = self.one_of(&counts);
                self.count(place);
            }
            1 => {
                let state = self.one_of(&[0, entry::USED, entry::REMOVED, entry::LEAVING, 4]);
                self.set(entry.state(), state);
            }
            // Its kind, form, stripes, and its name, may be those of another member.
            2 => {
                let other = self.entry().state().word(word);
                let value = self.get(other);
                self.set(entry.state().word(word), value);
            }
            3 => self.pointer(entry.state().word(word)),
            _ => self.count(entry.state().word(word)),
        }
    }

    fn watch(&mut self) {
        let at = self.stripe();
        let place = self.one_of(&[at.watch().bytes(), header::WATCH.bytes()]);
        let word = self.one_of(&[0, 1, 2, 3, 4, 1 << 31, u32::MAX, u32::MAX - 1]);
        self.set32(place, word);
    }

    /// Changes a head of a run: its size, its uses, its links, or what of it is a hole.
    fn run(&mut self) {
        let (start, pagesize) = (self.geometry.data_start(), self.geometry.pagesize);
        let pages = (self.bytes.len() as u64 - start) / pagesize;
        let mut at = RunAt(start);
        // From run to run, so that it is one.
        for _ in 0..self.below(12) {
            let next = at.0.saturating_add(RunHead(self.get(at.head())).pages().saturating_mul(pagesize));
            if next <= at.0 || next >= start + pages * pagesize {
                break;
            }
            at = RunAt(next);
        }
        let head = RunHead(self.get(at.head()));
        match self.below(6) {
            0 => {
                let size = self.one_of(&[0, 1, head.pages() + 1, head.pages().wrapping_sub(1), pages, 1 << 61]);
                let free = self.below(4);
                self.set(at.head(), size << 2 | free);
            }
            1 => {
                let end = at.0.saturating_add(head.pages().saturating_mul(pagesize));
                let hole = Hole { is_mixed: self.below(2) == 0, ..Hole::inside(at.0, end) };
                let far = Hole { start: start / 2, end: self.bytes.len() as u64 * 2, is_mixed: false };
                let word = self.one_of(&[hole.word(), far.word(), u64::MAX, 1, 1 << 32]);
                self.set(at.hole(), word);
            }
            2 => {
                let holder = self.number(self.geometry.stripes + 2);
                let uses = [Use::Chunk, Use::Segment, Use::Large, Use::Log, Use::Schema, Use::Hollow];
                let word = self.one_of(&uses).word(holder);
                self.set(at.use_word(), word);
            }
            3 => {
                let place = self.one_of(&[at.since(), at.buckets()]);
                self.count(place);
            }
            _ => {
                let place = self.one_of(&[at.next(), at.previous(), at.chain_next(), at.chain_previous()]);
                self.pointer(place);
            }
        }
    }

    /// Changes words that mean nothing yet.
    fn spare(&mut self) {
        let (at, slot, word) = (self.stripe(), self.slot(), self.below(header::SPARE_WORDS));
        let places = [header::SPARE.word(word), at.capacity().next(), slot.began().next()];
        let place = self.one_of(&places);
        self.count(place);
    }

    /// Changes a word of the data: a head of a record, a cell, a node, or what is stored.
    fn data(&mut self) {
        let place = self.anywhere();
        match self.below(6) {
            0 => self.count(place),
            // Lengths, and whether the block is free.
            1 | 2 => {
                let bits = self.below(1 << 23);
                let word = self.get(place) & !((1 << 23) - 1) | bits;
                self.set(place, word);
            }
            _ => self.pointer(place),
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
            0 => elsewhere.bytes(),
            1 => self.geometry.data_start(),
            2 => self.bytes.len() as u64 - 8,
            // From a run to its content and back.
            3 => (place.bytes() & !(self.geometry.pagesize - 1)) + 64,
            _ => place.bytes(),
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
