//! The header of an object, read and checked before anything of it is mapped.

use std::sync::Arc;

use super::{Agreement, Spec};
use crate::data::Relation;
use crate::layout::bucket::Form;
use crate::layout::header::{self as at, Kind};
use crate::layout::method::Locking;
use crate::layout::{DENSE, Dimensions, Geometry, LogAt, MAX_OBJECT, Place};
use crate::os::file;
use crate::shm::Object;
use crate::{Error, Result};

/// The longest schema text that is read, in bytes.
const MOST_SCHEMA: u64 = 1 << 24;
/// Attempts at reading it while others undo a change to it.
const READINGS: u32 = 100;

/// Advice for objects of formats that are no longer read.
const CARRY_OVER: &str = "no release wrote that format: write the data out with the program that made the object, and add them to a \
                          new one";
const NEWER: &str = "use a newer version of netshm";
const NEWER_TO_WRITE: &str = "use a newer version of netshm, or open it read-only";
const OTHER_MACHINE: &str = "use it on machines of the kind that it was created on";

/// What is fixed for an object's life, verified.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) geometry: Geometry,
    pub(crate) locking: Locking,
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
    /// Words of an array element that lies in its chunk; 0 if elements lie in records, and in tables.
    pub(crate) element_words: u64,
}

/// Returns the checksum of the fixed fields.
pub(super) fn checksum(fields: &[u64]) -> u64 {
    rapidhash::v3::rapidhash_v3(bytemuck::cast_slice(fields))
}

/// Returns the words of the object, in front of the data area.
fn words<const N: usize>(object: &Arc<Object>, place: Place) -> Result<[u64; N]> {
    let mut words = [0; N];
    let read = file::read_at(object.fd(), bytemuck::cast_slice_mut(&mut words), place.0)
        .map_err(|source| Error::Io { object: object.name().clone(), doing: "read the header", source })?;
    if read < N * 8 {
        return Err(corrupt(object, place.0, "the header is cut off"));
    }
    Ok(words)
}

fn corrupt(object: &Arc<Object>, offset: u64, what: &'static str) -> Error {
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

/// Entries of the log of the run heap: places and old words.
type Undone = Vec<[u64; 2]>;

/// Returns the log of the meta change under way, if there is one: of a process that runs or has died.
fn undone(object: &Arc<Object>, geometry: &Geometry) -> Result<Undone> {
    const FIRST: usize = LogAt::FIRST_CAPACITY as usize;
    let [entries] = words(object, geometry.stripe(geometry.meta()).top_end())?;
    let log: [u64; FIRST * 2] = words(object, geometry.log(geometry.slots).entry(0))?;
    Ok(log.as_chunks().0[..FIRST.min(entries as usize)].to_vec())
}

/// Undoes the change in bytes read from `place`. The oldest entry for a word counts.
fn undo(undone: &Undone, place: u64, bytes: &mut [u8]) {
    for [word, old] in undone.iter().rev() {
        let Some(start) = word.checked_sub(place).filter(|start| *start < bytes.len() as u64) else { continue };
        let tail = &mut bytes[start as usize..];
        let length = tail.len().min(8);
        tail[..length].copy_from_slice(&old.to_ne_bytes()[..length]);
    }
}

/// Returns the text of the schema and its hash, as they were last committed. Nobody but a dead process, or one that recovers
/// it, may be changing them.
pub(super) fn schema(object: &Arc<Object>, geometry: &Geometry) -> Result<(String, u64)> {
    for _ in 0..READINGS {
        let before = undone(object, geometry)?;
        let mut at: [u64; 3] = words(object, at::SCHEMA_AT)?;
        undo(&before, at::SCHEMA_AT.0, bytemuck::cast_slice_mut(&mut at));
        let [place, length, hash] = at;
        let text = schema_text(object, &before, place, length);
        let concerns = |[word, _]: &[u64; 2]| {
            (at::SCHEMA_AT.0..at::SCHEMA_AT.0 + 24).contains(word)
                || word.checked_sub(place).is_some_and(|at| at < length)
        };
        let concerning = |undone: Undone| undone.into_iter().filter(concerns).collect::<Undone>();
        // Others may have undone it meanwhile.
        if concerning(before) == concerning(undone(object, geometry)?) {
            return Ok((text?, hash));
        }
    }
    Err(corrupt(object, at::SCHEMA_AT.0, "the schema keeps changing"))
}

/// Reads the text of a schema.
fn schema_text(object: &Arc<Object>, undone: &Undone, place: u64, length: u64) -> Result<String> {
    if length > MOST_SCHEMA || place.checked_add(length).is_none_or(|end| end > MAX_OBJECT) {
        return Err(corrupt(object, at::SCHEMA_AT.0, "the schema is out of range"));
    }
    let mut text = vec![0; length as usize];
    let read = file::read_at(object.fd(), &mut text, place).map_err(|source| Error::Io {
        object: object.name().clone(),
        doing: "read the schema",
        source,
    })?;
    text.truncate(read);
    undo(undone, place, &mut text);
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
            return Err(corrupt(object, at::STATE_AT.0, "the object's state is unknown"));
        }
        Self::check_version(object)?;
        let fields: [u64; at::FIELDS] = words(object, at::FIELDS_AT)?;
        let [sum] = words(object, at::CHECKSUM_AT)?;
        if sum != checksum(&fields) {
            return Err(corrupt(object, at::FIELDS_AT.0, "the header's checksum is wrong"));
        }
        let header = Self::from_fields(&fields)
            .ok_or_else(|| corrupt(object, at::FIELDS_AT.0, "the header's fields are out of range"))?;
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
            self.kind.number(),
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
            0,
            0,
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
            spare @ ..,
        ] = *fields;
        let dimensions = Dimensions {
            pagesize,
            stripes: u32::try_from(stripes).ok()?,
            slots: u32::try_from(slots).ok()?,
            init,
            max_size,
            schema_bytes,
            default_words,
            form: Form::from_number(form)?,
        };
        let sound = pagesize.is_power_of_two()
            && (256..=1 << 20).contains(&pagesize)
            && dimensions.stripes.is_power_of_two()
            && dimensions.stripes <= 1 << 16
            && (1..=1 << 15).contains(&dimensions.slots)
            && (1..=1 << 40).contains(&init)
            && max_size <= MAX_OBJECT
            && schema_bytes <= MOST_SCHEMA + 64
            && default_words <= crate::layout::MAX_VALUE / 8
            && element_words <= DENSE as u64
            && spare == [0; 4];
        if !sound || dimensions.geometry().data_start() + pagesize > max_size {
            return None;
        }
        let (locking, kind) = (Locking::from_number(locking)?, Kind::from_number(kind)?);
        Some(Header { geometry: dimensions.geometry(), locking, kind, seed, element_words })
    }

    /// Returns whether the object is of the type asked for.
    pub(super) fn check(&self, object: &Arc<Object>, spec: &Spec<'_>) -> Result<Agreement> {
        let requested = spec.shape.locking.unwrap_or(self.locking);
        if requested != self.locking && !object.read_only() {
            return Err(Error::LockingMismatch { object: object.name().clone(), stored: self.locking, requested });
        }
        let (stored, hash) = schema(object, &self.geometry)?;
        let mismatch = |stored: String, expected: String, difference: String| {
            Err(Error::SchemaMismatch { object: object.name().clone(), stored, expected, difference })
        };
        let relation = match hash == spec.schema_hash {
            _ if self.kind != spec.kind => None,
            true => Some(Relation::Same),
            false => (spec.relation)(&stored),
        };
        let agreement = match relation {
            Some(Relation::Same) => Agreement::Same,
            Some(Relation::Older(_)) => Agreement::Older,
            None => {
                let difference = (spec.difference)(&stored);
                return mismatch(stored, spec.schema.clone(), difference);
            }
        };
        if self.element_words != spec.element_words {
            // The types agree, so a hand-written manager has changed.
            let with = |words| format!("{} of {words} words", spec.schema);
            return mismatch(with(self.element_words), with(spec.element_words), String::new());
        }
        let default = self.default_value(object)?;
        if default != spec.default {
            let with = |default: &str| format!("{} with default {default}", spec.schema);
            return mismatch(
                with(&(spec.show_default)(&default)),
                with(&(spec.show_default)(&spec.default)),
                String::new(),
            );
        }
        Ok(agreement)
    }

    /// Returns the text of the stored schema.
    pub(super) fn schema(&self, object: &Arc<Object>) -> Result<String> {
        schema(object, &self.geometry).map(|(text, _)| text)
    }

    /// Returns the words of the stored default value.
    pub(super) fn default_value(&self, object: &Arc<Object>) -> Result<Vec<u64>> {
        let count = self.geometry.default_words;
        let mut default = vec![0; count as usize];
        let place = self.geometry.default_value();
        let read = file::read_at(object.fd(), bytemuck::cast_slice_mut(&mut default), place)
            .map_err(|source| Error::Io { object: object.name().clone(), doing: "read the default value", source })?;
        if read as u64 != count * 8 {
            return Err(corrupt(object, place, "the default value is cut off"));
        }
        Ok(default)
    }

    /// Returns whether recreating the object for `spec` would leave its layout as it is, so that emptying it suffices.
    pub(super) fn is_like(&self, object: &Arc<Object>, spec: &Spec<'_>) -> Result<bool> {
        Ok(spec.shape.agrees_with(&self.geometry)
            && self.check(object, spec).is_ok_and(|agreement| agreement == Agreement::Same))
    }
}
