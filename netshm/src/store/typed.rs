//! The type that a member is open as, beside the one that is stored, which programs of newer types extend.
//!
//! Stored types only grow: a program of a newer type adds its fields or variants to the stored text before its first change. So
//! programs of both types go on. What the older one has to know is that rows may now have words that it does not know: it
//! reads past them, and carries them over where it replaces a value. It learns that by the version of the stored schema, one
//! word, which it compares under the lock of the stripe that it changes: the process that has extended the schema has locked the stripe later.
//!
//! A program whose type is newer than the stored one reads rows by a type of which nobody knows yet. Another program may
//! extend the stored type in another way meanwhile, so it takes the slow path until the stored type is its own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::open::{Agreement, Spec};
use super::{Limits, Store};
use crate::data::{DataError, Decoder, ObjectSchema, Relation, Schema, difference, has_length, relation, skip_row};
use crate::error::{Error, Result};

/// The version of no schema.
const NEVER: u64 = u64::MAX;
/// The fork generation of no process.
const NOT_READY: u64 = u64::MAX;
/// As well, for a member that is only for the operations of one group.
const APART: u64 = u64::MAX - 1;

/// The type of a member's handle.
pub(super) struct Typed {
    /// `None` if the stored words are not decoded by their type.
    schema: Option<Arc<ObjectSchema>>,
    /// As long as the stored schema has this version, no row has words that the type does not know.
    plain: AtomicU64,
    /// The version of the stored schema that the type was compared with last.
    compared: AtomicU64,
    /// True if values have themselves what the type does not know.
    keeps_rest: bool,
    /// The fork generation in which the member may be read without care: that of the process, unless the stored type is
    /// to be extended.
    ready: AtomicU64,
}

impl Typed {
    /// Returns the state of a member whose words are not decoded by their type.
    pub(super) fn none(generation: u64) -> Typed {
        Typed {
            schema: None,
            plain: AtomicU64::new(NEVER),
            compared: AtomicU64::new(NEVER),
            keeps_rest: false,
            ready: AtomicU64::new(generation),
        }
    }

    /// Returns the same state for another handle of the member; it is never ready if that is only for one group.
    pub(super) fn again(&self, is_apart: bool) -> Typed {
        let copy = |word: &AtomicU64| AtomicU64::new(word.load(Relaxed));
        let ready = match self.ready.load(Relaxed) {
            NOT_READY => NOT_READY,
            _ if is_apart => APART,
            generation => generation,
        };
        Typed {
            schema: self.schema.clone(),
            plain: copy(&self.plain),
            compared: copy(&self.compared),
            keeps_rest: self.keeps_rest,
            ready: AtomicU64::new(ready),
        }
    }
}

impl Store {
    /// Notes the type that it is open as, beside the stored one.
    pub(super) fn with_type(mut self, spec: &Spec<'_>, agreement: Agreement) -> Store {
        self.typed.schema = Some(spec.types.clone());
        self.typed.keeps_rest = spec.keeps_rest;
        self.agree(agreement);
        self
    }

    /// Notes how the stored type relates to its own.
    fn agree(&self, agreement: Agreement) {
        let Agreement { version, is_older, is_newer } = agreement;
        let plain = if is_newer { NEVER } else { version };
        let ready = match (is_older, self.is_apart) {
            (true, _) => NOT_READY,
            (false, true) => APART,
            (false, false) => self.object_generation(),
        };
        self.typed.plain.store(plain, Relaxed);
        self.typed.compared.store(version, Relaxed);
        self.typed.ready.store(ready, Relaxed);
    }

    fn object_generation(&self) -> u64 {
        self.region().object().generation()
    }

    /// Returns whether the stored type is older than its own, which is to be stored before the first change.
    #[inline(always)]
    pub(crate) fn is_pending(&self) -> bool {
        self.typed.ready.load(Relaxed) == NOT_READY
    }

    /// Returns whether this is the process that opened the object, and the stored type is its own or has been extended since.
    #[inline(always)]
    pub(super) fn is_ready(&self) -> bool {
        self.generation.is(self.typed.ready.load(Relaxed))
    }

    /// Returns the version of the stored schema: the number of its extensions.
    #[inline]
    pub(crate) fn schema_version(&self) -> u64 {
        self.region().field(self.geometry().part().schema_version()).load(Relaxed)
    }

    /// Returns whether rows may have words that its type does not know. To be asked under the lock of a stripe, or in an optimistic
    /// read.
    #[inline]
    pub(crate) fn may_have_tails(&self) -> bool {
        self.schema_version() != self.typed.plain.load(Relaxed) && self.typed.schema.is_some()
    }

    /// Checks that a value has been read to its end, or to the words that its type does not know.
    #[inline(always)]
    pub(crate) fn check_end(&self, decoder: &Decoder<'_>) -> Result<(), DataError> {
        decoder.finish().or_else(|error| self.accept_tail(error))
    }

    #[cold]
    fn accept_tail(&self, error: DataError) -> Result<(), DataError> {
        if self.may_have_tails() { Ok(()) } else { Err(error) }
    }

    /// Makes sure that what is read is not of a type that has been stored in place of its own, as long as that is not stored.
    #[inline]
    pub(crate) fn check_type(&self) -> Result<()> {
        if self.is_pending() && self.schema_version() != self.typed.compared.load(Relaxed) {
            return self.look_again();
        }
        Ok(())
    }

    #[cold]
    fn look_again(&self) -> Result<()> {
        let (stored, version) = self.schema()?;
        match self.relation_to(&stored) {
            Some(relation) => {
                self.agree(Agreement::of(&relation, version));
                Ok(())
            }
            None => Err(self.mismatch(stored)),
        }
    }

    fn relation_to(&self, stored: &str) -> Option<Relation> {
        relation(self.typed.schema.as_deref()?, stored)
    }

    #[cold]
    fn mismatch(&self, stored: String) -> Error {
        let schema = self.typed.schema.as_deref().unwrap_or(&ObjectSchema::Table);
        let difference = difference(&stored, schema);
        Error::SchemaMismatch { object: self.name(), stored, expected: schema.to_string(), difference }
    }

    /// Stores its own type, before it changes anything.
    #[cold]
    pub(crate) fn extend_schema(&self, limits: Limits, wanted: &'static str) -> Result<()> {
        self.check_fork()?;
        if self.region().object().read_only() {
            return Err(Error::ReadOnly { object: self.name(), wanted });
        }
        let agreement = self.replace_schema(limits, |stored| match self.relation_to(&stored) {
            Some(relation) => Ok(relation),
            None => Err(self.mismatch(stored)),
        })?;
        self.agree(agreement);
        Ok(())
    }

    /// Returns the type of the values or elements that are stored, if it may be newer than its own.
    pub(crate) fn newer_type(&self) -> Result<Option<Schema>> {
        if !self.may_have_tails() {
            return Ok(None);
        }
        let stored = self.schema()?.0.parse();
        Ok(match stored {
            Ok(ObjectSchema::HashTable { value, .. }) => Some(value),
            Ok(ObjectSchema::Array { element }) => Some(element),
            _ => None,
        })
    }

    /// Returns what a row or an element has after the words that its type knows, and whether a length before them
    /// counts it. (A damaged row has nothing that could be carried over.)
    pub(crate) fn tail_of<'a>(&self, words: &'a [u64]) -> (&'a [u64], bool) {
        let value = match self.typed.schema.as_deref() {
            Some(ObjectSchema::HashTable { value, .. }) => value,
            Some(ObjectSchema::Array { element }) if has_length(element) => element,
            _ => return (&[], false),
        };
        if self.typed.keeps_rest {
            return (&[], false);
        }
        let tail = skip_row(value, &mut Decoder::from_words(words)).unwrap_or(0);
        (&words[words.len() - tail..], has_length(value))
    }
}

/// Fails unless words are a row of a type.
pub(crate) fn is_row(value: &Schema, words: &[AtomicU64]) -> Result<(), DataError> {
    match skip_row(value, &mut Decoder::new(words, None))? {
        tail if tail == 0 || has_length(value) => Ok(()),
        _ => Err(DataError::new("a value", "more words than it needs")),
    }
}
