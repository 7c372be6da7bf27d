//! What the caller expects of an object, and the layout that a new one gets.

use std::cell::Cell;
use std::sync::Arc;

use crate::data::{ObjectSchema, Relation};
use crate::error::{Error, Result};
use crate::layout::bucket::Form;
use crate::layout::entry::{ENTRIES, ENTRY_BYTES, FEWEST_ENTRIES};
use crate::layout::header::ObjectKind;
use crate::layout::method::Locking;
use crate::layout::{Dimensions, Geometry, MAX_OBJECT, MOST_STRIPES, STRIPE_BYTES, round_up};

/// The object that the caller expects.
pub(crate) struct Spec<'a> {
    pub(crate) kind: ObjectKind,
    /// Text of the schema.
    pub(crate) schema: String,
    /// Hash of the schema's structure.
    pub(crate) schema_hash: u64,
    /// Encoded default value of an array.
    pub(crate) default: Vec<u64>,
    /// Words of an array element that lies in its chunk, otherwise 0.
    pub(crate) element_words: u64,
    /// Form of the buckets of a table.
    pub(crate) form: Form,
    /// Receives the stored default value of an array if another version of the type has made it.
    pub(crate) other_default: &'a Cell<Option<Vec<u64>>>,
    /// True if values keep what newer programs have added to them.
    pub(crate) keeps_rest: bool,
    /// Shows a default value to a person.
    pub(crate) show_default: &'a dyn Fn(&[u64]) -> String,
    /// Shows the first difference between a stored schema text and the expected one.
    pub(crate) difference: &'a dyn Fn(&str) -> String,
    /// The types as a tree.
    pub(crate) types: Arc<ObjectSchema>,
    pub(crate) shape: Shape,
}

/// Relation of a stored type to the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// The version of the stored schema.
    pub(in crate::store) version: u64,
    /// True if it lacks something.
    pub(in crate::store) is_older: bool,
    /// True if it has something that the other lacks.
    pub(in crate::store) is_newer: bool,
}

impl Agreement {
    pub(crate) fn of(relation: &Relation, version: u64) -> Agreement {
        let (is_older, is_newer) = match relation {
            Relation::Same => (false, false),
            Relation::Older { is_newer_too, .. } => (true, *is_newer_too),
            Relation::Newer => (false, true),
        };
        Agreement { version, is_older, is_newer }
    }
}

/// The options that matter when an object is created.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub(crate) pagesize: Option<u64>,
    pub(crate) init: Option<u64>,
    pub(crate) stripes: Option<u32>,
    pub(crate) slots: Option<u32>,
    pub(crate) max_size: Option<u64>,
    /// Number of stripes that the object has room for.
    pub(crate) stripe_room: Option<u32>,
    /// True if this process gives memory back beside others.
    pub(crate) give_back_live: bool,
    pub(crate) locking: Option<Locking>,
    pub(crate) recreate: bool,
    /// The name of a member.
    pub(crate) name: Option<String>,
    /// True if a member that is not there is an error, and not added.
    pub(crate) existing: bool,
}

const PAGESIZE: u64 = 256;

const INIT: u64 = 1000;

const STRIPES: u32 = 64;

const SLOTS: u32 = 128;

/// Room for stripes, of all members, and the part of the largest size that it may take.
const STRIPE_ROOM: u32 = 4096;

const ROOM_PART: u64 = 64;

/// The factor between `pagesize * init` and the largest size, as in the original.
const SIZE_FACTOR: u64 = 32768;

/// The smallest maximum size: what an empty object with the default options needs, several times over.
const LEAST_MAX_SIZE: u64 = 1 << 16;

impl Shape {
    /// Returns the geometry of a fresh object, if all options are within their ranges.
    pub(super) fn geometry(&self, spec: &Spec<'_>) -> Result<Geometry> {
        fn range<T: PartialOrd + ToString + Copy>(
            option: &'static str,
            value: T,
            range: std::ops::RangeInclusive<T>,
        ) -> Result<T> {
            if range.contains(&value) {
                return Ok(value);
            }
            let reason = format!("it must be between {} and {}", range.start().to_string(), range.end().to_string());
            Err(Error::InvalidOption { option, value: value.to_string(), reason })
        }
        fn power_of_two<T: ToString>(option: &'static str, value: T, is: bool) -> Result<T> {
            if is {
                return Ok(value);
            }
            let reason = "it must be a power of two".to_owned();
            Err(Error::InvalidOption { option, value: value.to_string(), reason })
        }
        let pagesize = range("pagesize", self.pagesize.unwrap_or(PAGESIZE), 256..=1 << 20)?;
        let pagesize = power_of_two("pagesize", pagesize, pagesize.is_power_of_two())?;
        let init = range("init", self.init.unwrap_or(INIT), 1..=1 << 40)?;
        let stripes = range("stripes", self.stripes.unwrap_or(STRIPES), 1..=1 << 16)?;
        let stripes = power_of_two("stripes", stripes, stripes.is_power_of_two())?;
        let slots = range("slots", self.slots.unwrap_or(SLOTS), 1..=1 << 15)?;
        let max_size = match self.max_size {
            Some(bytes) => range("max_size", bytes, LEAST_MAX_SIZE..=MAX_OBJECT)?,
            None => pagesize.saturating_mul(init).saturating_mul(SIZE_FACTOR).clamp(1 << 26, MAX_OBJECT),
        };
        // As much of a small object as of a large one at most.
        let most = |bytes: u64| u32::try_from(max_size / ROOM_PART / bytes).unwrap_or(u32::MAX);
        let stripe_room = match self.stripe_room {
            Some(room) => range("stripe_room", room, stripes..=MOST_STRIPES)?,
            None => most(STRIPE_BYTES).clamp(stripes, STRIPE_ROOM.max(stripes)),
        };
        let member_room = (most(ENTRY_BYTES) / FEWEST_ENTRIES * FEWEST_ENTRIES).clamp(FEWEST_ENTRIES, ENTRIES);
        let is_named = self.name.is_some();
        let dimensions = Dimensions {
            pagesize,
            stripes: if is_named { 0 } else { stripes },
            slots,
            init,
            max_size: max_size / pagesize * pagesize,
            schema_bytes: if is_named { 0 } else { round_up(spec.schema.len() as u64, 64) },
            default_words: if is_named { 0 } else { spec.default.len() as u64 },
            form: if is_named { Form::Records } else { spec.form },
            stripe_room,
            member_room,
        };
        let geometry = dimensions.geometry();
        let least = geometry.data_start() + pagesize;
        if geometry.max_size < least {
            let reason =
                format!("with {stripes} stripes and {slots} slots an empty object takes {least} bytes already");
            return Err(Error::InvalidOption { option: "max_size", value: max_size.to_string(), reason });
        }
        Ok(geometry)
    }

    /// Returns the stripes and expected keys of a further member, or their defaults.
    pub(super) fn of_member(&self, stripes: u32, init: u64) -> Result<(u32, u64)> {
        let (stripes, init) = (self.stripes.unwrap_or(stripes), self.init.unwrap_or(init));
        let refuse = |option, value: String, reason: &str| {
            Err(Error::InvalidOption { option, value, reason: reason.to_owned() })
        };
        if !stripes.is_power_of_two() || stripes > MOST_STRIPES {
            return refuse("stripes", stripes.to_string(), "it must be a power of two up to 65536");
        }
        if !(1..=1 << 40).contains(&init) {
            return refuse("init", init.to_string(), "it must be between 1 and 1099511627776");
        }
        Ok((stripes, init))
    }

    /// Returns whether an existing object has the shape that is asked for, where something is asked for.
    pub(super) fn agrees_with(&self, geometry: &Geometry) -> bool {
        self.pagesize.is_none_or(|value| value == geometry.pagesize)
            && self.init.is_none_or(|value| value == geometry.init)
            && self.stripes.is_none_or(|value| value == geometry.stripes)
            && self.slots.is_none_or(|value| value == geometry.slots)
            && self.stripe_room.is_none_or(|value| value == geometry.stripe_room)
            && self.max_size.is_none_or(|value| value / geometry.pagesize * geometry.pagesize == geometry.max_size)
    }
}
