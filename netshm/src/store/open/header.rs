//! The header of an object, read and checked before anything of it is mapped.

use std::sync::Arc;
use std::time::Instant;

use super::{Agreement, Member, Spec};
use crate::data::{Relation, relation};
use crate::error::{Error, Result};
use crate::layout::bucket::Form;
use crate::layout::entry::{FEWEST_ENTRIES, MOST_ENTRIES};
use crate::layout::header::{self as at, ObjectKind};
use crate::layout::method::Locking;
use crate::layout::{DENSE, Dimensions, Geometry, LogAt, MAX_OBJECT, MOST_STRIPES, Noted, Offset};
use crate::log_word::LogState;
use crate::os::{file, pause};
use crate::shm::Object;

/// The longest schema text that is read, in bytes.
pub(super) const MOST_SCHEMA: u64 = 1 << 24;
/// Number of times it is read while others undo a change to it.
pub(super) const READINGS: u32 = 100;

/// Name of the pause at which tests change the object while words of it are read.
const HAVE_BEEN_READ: &str = "words of announced meta changes have been read";

/// Advice for objects of formats that are no longer read.
const CARRY_OVER: &str = "no release wrote that format: write the data out with the program that made the object, and add them to a \
                          new one";
const NEWER: &str = "use a newer version of netshm";
const NEWER_TO_WRITE: &str = "use a newer version of netshm, or open it read-only";
const OTHER_MACHINE: &str = "use it on machines of the kind that it was created on";

/// The verified header fields, which are fixed for an object's life.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) geometry: Geometry,
    pub(crate) locking: Locking,
    /// Kind of the member without a name, if there is one.
    pub(crate) kind: Option<ObjectKind>,
    pub(crate) seed: u64,
    /// Words of an array element that lies in its chunk; 0 if elements lie in records, and in tables.
    pub(crate) element_words: u64,
}

/// Returns the checksum of the fixed fields.
pub(crate) fn checksum(fields: &[u64]) -> u64 {
    rapidhash::v3::rapidhash_v3(bytemuck::cast_slice(fields))
}

/// Returns the words of the object, before the data area.
fn words<const N: usize>(object: &Arc<Object>, place: Offset) -> Result<[u64; N]> {
    let mut words = [0; N];
    read_words(object, place, &mut words)?;
    Ok(words)
}

fn read_words(object: &Arc<Object>, place: Offset, words: &mut [u64]) -> Result<()> {
    object.check_descriptors()?;
    let read = file::read_at(object.fd(), bytemuck::cast_slice_mut(words), place.bytes())
        .map_err(|source| Error::Io { object: object.name().clone(), doing: "read the header", source })?;
    if read < size_of_val(words) { Err(corrupt(object, place.bytes(), "the header is cut off")) } else { Ok(()) }
}

/// Returns the words before the data area as meta changes have committed them last, whoever is changing them.
pub(super) fn committed(object: &Arc<Object>, geometry: &Geometry, place: Offset, count: usize) -> Result<Vec<u64>> {
    let end = place.bytes() + count as u64 * 8;
    let concerns = |[word, _]: &[u64; 2]| (place.bytes()..end).contains(word);
    let begun = Instant::now();
    for _ in 0..READINGS {
        let before = undone(object, geometry)?;
        let mut found = vec![0; count];
        read_words(object, place, &mut found)?;
        before.undo(place.bytes(), bytemuck::cast_slice_mut(&mut found));
        pause::at(HAVE_BEEN_READ);
        if before.agrees(&undone(object, geometry)?, concerns) {
            return Ok(found);
        }
    }
    Err(busy(object, begun, "the end of changes of the object's members"))
}

/// Returns the error for words that others change whenever they are read.
#[cold]
fn busy(object: &Arc<Object>, begun: Instant, awaited: &str) -> Error {
    let (object, awaited) = (object.name().clone(), awaited.to_owned());
    let (holder, reason, may_be_deadlock) = (None, None, false);
    Error::LockTimeout { object, waited: begun.elapsed(), awaited, holder, reason, may_be_deadlock }
}

pub(super) fn corrupt(object: &Arc<Object>, offset: u64, what: &'static str) -> Error {
    Error::Corrupt { object: object.name().clone(), offset, what }
}

fn size(object: &Arc<Object>) -> Result<u64> {
    object.check_descriptors()?;
    file::size(object.fd()).map_err(|source| Error::Io {
        object: object.name().clone(),
        doing: "look up the size",
        source,
    })
}

/// The log of the run heap as it was read: of a change by a process that runs or has died, if there is one.
struct Undone {
    state: MetaState,
    /// Places and old words, of a change that is announced.
    entries: Vec<[u64; 2]>,
}

impl Undone {
    /// Returns whether what was read between these two looks at the log was committed, and is when the words of the entries that
    /// concern it are put back.
    fn agrees(&self, later: &Undone, concerns: impl Fn(&[u64; 2]) -> bool) -> bool {
        let concerning =
            |undone: &Undone| undone.entries.iter().filter(|entry| concerns(entry)).copied().collect::<Vec<_>>();
        self.state == later.state && concerning(self) == concerning(later)
    }

    /// Undoes the change in bytes read from `place`. The oldest entry for a word counts.
    fn undo(&self, place: u64, bytes: &mut [u8]) {
        for [word, old] in self.entries.iter().rev() {
            let Some(start) = word.checked_sub(place).filter(|start| *start < bytes.len() as u64) else { continue };
            let tail = &mut bytes[start as usize..];
            let length = tail.len().min(8);
            tail[..length].copy_from_slice(&old.to_ne_bytes()[..length]);
        }
    }
}

/// Identifies a state of the words that only announced meta changes touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MetaState {
    /// Odd while such a change is under way.
    sequence: u64,
    /// Epoch of the change's log, which shows whether it has been committed or undone; others do not count.
    epoch: Option<u32>,
}

/// Returns the present state: as long as that is the same, nothing is committed that was announced.
pub(super) fn meta_state(object: &Arc<Object>, geometry: &Geometry) -> Result<MetaState> {
    look_at_meta(object, geometry).map(|(state, _)| state)
}

/// Returns the state, and how many entries of the log count.
fn look_at_meta(object: &Arc<Object>, geometry: &Geometry) -> Result<(MetaState, u64)> {
    let meta = geometry.stripe(geometry.meta());
    let [sequence] = words(object, meta.sequence())?;
    let [word] = words(object, meta.top_end())?;
    let log = LogState(word);
    Ok((MetaState { sequence, epoch: (sequence & 1 == 1).then(|| log.epoch()) }, log.entries()))
}

/// Returns the log of the announced meta change under way, if there is one.
fn undone(object: &Arc<Object>, geometry: &Geometry) -> Result<Undone> {
    const FIRST: usize = LogAt::FIRST_CAPACITY as usize;
    let (state, entries) = look_at_meta(object, geometry)?;
    if state.epoch.is_none() {
        return Ok(Undone { state, entries: Vec::new() });
    }
    let log: [u64; FIRST * 2] = words(object, geometry.log(geometry.slots).entry(0))?;
    let entries = &log.as_chunks().0[..FIRST.min(entries as usize)];
    let entries = entries.iter().map(|[noted, old]| [Noted(*noted).place(), *old]).collect();
    Ok(Undone { state, entries })
}

/// Returns the number of stripes and entries of the catalogue that are used, and the id that was given last; checked.
pub(super) fn counts(object: &Arc<Object>, geometry: &Geometry) -> Result<[u64; 3]> {
    let counts = committed(object, geometry, at::STRIPES_USED, 3)?;
    let [stripes_used, entries_used, last_id] = counts[..] else { unreachable!("asked for three") };
    let end = u64::from(geometry.own().end);
    if !(end..=u64::from(geometry.stripe_room) + 1).contains(&stripes_used) {
        return Err(corrupt(object, at::STRIPES_USED.bytes(), "the number of stripes in use is out of range"));
    }
    if entries_used > geometry.member_room.into() {
        return Err(corrupt(object, at::ENTRIES_USED.bytes(), "the number of members is out of range"));
    }
    Ok([stripes_used, entries_used, last_id])
}

/// The stored description of a type.
pub(super) struct StoredSchema {
    pub(super) text: String,
    pub(super) hash: u64,
    /// Number of times that it has been extended.
    pub(super) version: u64,
}

/// Returns what is stored of the schema, as it was last committed, whoever is changing it.
pub(super) fn schema(object: &Arc<Object>, geometry: &Geometry) -> Result<StoredSchema> {
    let fields = geometry.part().schema_at();
    let begun = Instant::now();
    for _ in 0..READINGS {
        let before = undone(object, geometry)?;
        let found: [u64; 4] = words(object, fields)?;
        let mut at = found;
        before.undo(fields.bytes(), bytemuck::cast_slice_mut(&mut at));
        let [place, length, hash, version] = at;
        let text = schema_text(object, &before, fields, place, length);
        let concerns = |[word, _]: &[u64; 2]| {
            (fields.bytes()..fields.bytes() + 32).contains(word)
                || word.checked_sub(place).is_some_and(|at| at < length)
        };
        pause::at(HAVE_BEEN_READ);
        // Without a log, others may have extended the schema meanwhile.
        if before.agrees(&undone(object, geometry)?, concerns) && words(object, fields)? == found {
            return Ok(StoredSchema { text: text?, hash, version });
        }
    }
    Err(busy(object, begun, "the end of changes of the schema"))
}

/// Reads the text of a schema.
fn schema_text(object: &Arc<Object>, undone: &Undone, fields: Offset, place: u64, length: u64) -> Result<String> {
    if length > MOST_SCHEMA || place.checked_add(length).is_none_or(|end| end > MAX_OBJECT) {
        return Err(corrupt(object, fields.bytes(), "the schema is out of range"));
    }
    object.check_descriptors()?;
    let mut text = vec![0; length as usize];
    let read = file::read_at(object.fd(), &mut text, place).map_err(|source| Error::Io {
        object: object.name().clone(),
        doing: "read the schema",
        source,
    })?;
    text.truncate(read);
    undone.undo(place, &mut text);
    String::from_utf8(text).map_err(|_| corrupt(object, place, "the schema is not UTF-8"))
}

impl Header {
    /// Returns whether the file is empty or holds an unfinished creation. Anything else is an object, or a foreign file, which
    /// is never overwritten.
    pub(super) fn is_unwritten(object: &Arc<Object>) -> Result<bool> {
        let size = size(object)?;
        if size == 0 {
            return Ok(true);
        }
        let not_netshm = |start: &[u8]| {
            let found = format!("{size} bytes that begin with \"{}\"", start.escape_ascii());
            Error::NotNetshm { object: object.name().clone(), found }
        };
        if size == at::ABANDONED_BYTES && file::has_no_name(object.fd()).unwrap_or(false) {
            let text = "the process that created it could not complete it and has deleted its name; open it again";
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, text);
            return Err(Error::Io { object: object.name().clone(), doing: "read the header", source });
        }
        if size < 16 {
            return Err(not_netshm(b""));
        }
        let [magic, state] = words(object, at::MAGIC_AT)?;
        if magic != at::MAGIC {
            return Err(not_netshm(&magic.to_ne_bytes()));
        }
        Ok(state == at::INITIALISING)
    }

    /// Reads and verifies the header.
    pub(crate) fn read(object: &Arc<Object>) -> Result<Header> {
        if Self::is_unwritten(object)? {
            return Err(Error::NotNetshm { object: object.name().clone(), found: "an empty object".to_owned() });
        }
        let [state] = words(object, at::STATE_AT)?;
        if state == at::REPLACED {
            let what = "`repair` has put another file in its place";
            return Err(Error::Replaced { object: object.name().clone(), what });
        }
        if state != at::READY {
            return Err(corrupt(object, at::STATE_AT.bytes(), "the object's state is unknown"));
        }
        Self::check_version(object)?;
        let fields: [u64; at::FIELDS] = words(object, at::FIELDS_AT)?;
        let [sum] = words(object, at::CHECKSUM_AT)?;
        if sum != checksum(&fields) {
            return Err(corrupt(object, at::FIELDS_AT.bytes(), "the header's checksum is wrong"));
        }
        let header = Self::from_fields(&fields)
            .ok_or_else(|| corrupt(object, at::FIELDS_AT.bytes(), "the header's fields are out of range"))?;
        if size(object)? < header.geometry.data_start() + header.geometry.pagesize {
            return Err(corrupt(object, size(object)?, "the object has been truncated"));
        }
        Ok(header)
    }

    /// Refuses what this version cannot read or, through a writable descriptor, cannot write.
    fn check_version(object: &Arc<Object>) -> Result<()> {
        let [format, fingerprint] = words(object, at::FORMAT_AT)?;
        let text = |format, fingerprint| format!("version {format}, build {fingerprint:016x}");
        let refuse = |found, advice| {
            Err(Error::UnsupportedVersion {
                object: object.name().clone(),
                found,
                expected: text(at::FORMAT, at::FINGERPRINT),
                advice,
            })
        };
        if format < at::FORMAT {
            return refuse(text(format, fingerprint), CARRY_OVER);
        }
        if format > at::FORMAT {
            return refuse(text(format, fingerprint), NEWER);
        }
        if fingerprint != at::FINGERPRINT {
            return refuse(text(format, fingerprint), OTHER_MACHINE);
        }
        let [to_read, to_write] = words(object, at::FEATURES_TO_READ)?;
        let unknown = |bits: u64, purpose| {
            let number = bits.trailing_zeros();
            format!("version {format} with feature {number}, which a program must know to {purpose} it")
        };
        if to_read & !at::KNOWN_TO_READ != 0 {
            return refuse(unknown(to_read & !at::KNOWN_TO_READ, "read"), NEWER);
        }
        if to_write & !at::KNOWN_TO_WRITE != 0 && !object.read_only() {
            return refuse(unknown(to_write & !at::KNOWN_TO_WRITE, "write to"), NEWER_TO_WRITE);
        }
        Ok(())
    }

    /// Returns the fixed fields, in their order.
    pub(super) fn fields(&self) -> [u64; at::FIELDS] {
        let g = &self.geometry;
        [
            self.locking.number(),
            self.kind.map_or(0, ObjectKind::number),
            g.pagesize,
            g.stripes.into(),
            g.slots.into(),
            g.init,
            g.max_size,
            self.seed,
            g.schema_bytes,
            g.default_words,
            self.element_words,
            g.form.number(),
            g.stripe_room.into(),
            g.member_room.into(),
            0,
            0,
        ]
    }

    pub(crate) fn from_fields(fields: &[u64; at::FIELDS]) -> Option<Header> {
        let [
            locking,
            kind,
            pagesize,
            stripes,
            slots,
            init,
            max_size,
            seed,
            schema_bytes,
            default_words,
            element_words,
            form,
            stripe_room,
            member_room,
            spare @ ..,
        ] = *fields;
        let dimensions = Dimensions {
            pagesize,
            stripes: u32::try_from(stripes).ok()?,
            stripe_room: u32::try_from(stripe_room).ok()?,
            member_room: u32::try_from(member_room).ok()?,
            slots: u32::try_from(slots).ok()?,
            init,
            max_size,
            schema_bytes,
            default_words,
            form: Form::from_number(form)?,
        };
        let sound = pagesize.is_power_of_two()
            && (256..=1 << 20).contains(&pagesize)
            && (dimensions.stripes == 0 || dimensions.stripes.is_power_of_two())
            && dimensions.stripes <= dimensions.stripe_room
            && dimensions.stripe_room <= MOST_STRIPES
            && dimensions.member_room.is_multiple_of(FEWEST_ENTRIES)
            && (FEWEST_ENTRIES..=MOST_ENTRIES).contains(&dimensions.member_room)
            && (1..=1 << 15).contains(&dimensions.slots)
            && (1..=1 << 40).contains(&init)
            && max_size <= MAX_OBJECT
            && schema_bytes <= MOST_SCHEMA + 64
            && default_words <= crate::layout::MAX_VALUE / 8
            && element_words <= DENSE as u64
            && spare == [0; 2];
        if !sound || dimensions.geometry().data_start() + pagesize > max_size {
            return None;
        }
        let locking = Locking::from_number(locking)?;
        let kind = if kind == 0 { None } else { Some(ObjectKind::from_number(kind)?) };
        if kind.is_some() != (dimensions.stripes > 0) {
            return None;
        }
        Some(Header { geometry: dimensions.geometry(), locking, kind, seed, element_words })
    }

    /// Returns an error if another locking method is asked for, and would be used.
    pub(super) fn check_locking(&self, object: &Arc<Object>, spec: &Spec<'_>) -> Result<()> {
        let requested = spec.shape.locking.unwrap_or(self.locking);
        if requested != self.locking && !object.read_only() {
            return Err(Error::LockingMismatch { object: object.name().clone(), stored: self.locking, requested });
        }
        Ok(())
    }

    /// Returns whether the object is of the type asked for.
    pub(super) fn check(&self, member: &Member, object: &Arc<Object>, spec: &Spec<'_>) -> Result<Agreement> {
        self.check_locking(object, spec)?;
        let StoredSchema { text: stored, hash, version } = schema(object, &member.geometry)?;
        let mismatch = |stored: String, expected: String, difference: String| {
            Err(Error::SchemaMismatch { object: object.name().clone(), stored, expected, difference })
        };
        let relation = match hash == spec.schema_hash {
            _ if member.kind != spec.kind => None,
            true => Some(Relation::Same),
            false => relation(&spec.types, &stored),
        };
        let Some(relation) = relation else {
            let difference = (spec.difference)(&stored);
            return mismatch(stored, spec.schema.clone(), difference);
        };
        let agreement = Agreement::of(&relation, version);
        if member.element_words != spec.element_words {
            // The types agree, so a hand-written manager has changed.
            let with = |words| format!("{} of {words} words", spec.schema);
            return mismatch(with(member.element_words), with(spec.element_words), String::new());
        }
        let default = member.default_value(object)?;
        if default != spec.default && hash != spec.schema_hash {
            // It stays as it was made; whether it is the same to the program is for its type to say.
            spec.other_default.set(Some(default));
        } else if default != spec.default {
            let with = |default: &str| format!("{} with default {default}", spec.schema);
            return mismatch(
                with(&(spec.show_default)(&default)),
                with(&(spec.show_default)(&spec.default)),
                String::new(),
            );
        }
        Ok(agreement)
    }

    /// Returns whether recreating a member for `spec` would leave its layout as it is, so that emptying it suffices.
    pub(super) fn is_like(&self, member: &Member, object: &Arc<Object>, spec: &Spec<'_>) -> bool {
        spec.shape.agrees_with(&member.geometry)
            && self.check(member, object, spec).is_ok_and(|agreement| !agreement.is_older && !agreement.is_newer)
    }
}
