//! A layer between a type with serde's traits and postcard that bounds what the type leaves open: how deep values are
//! nested, and how many elements there are that no byte stands for.

use std::cell::Cell;

use postcard::{de_flavors, ser_flavors};

use crate::data::{DataError, ZeroSizedLimit};

/// Limit on nested structs, tuples, enums, options, sequences and maps: that of values with 128 boxes or sequences, each in a
/// struct, an enum or an option of its own.
const MOST_LEVELS: u32 = 2 * crate::data::MAX_DEPTH;
const TOO_DEEP: DataError = DataError::new("Serde", "structs, enums, options or sequences nested more than 256 deep");

/// The size that elements without bytes are assumed to have in memory, since a serializer is given references to them.
const SIZE: usize = 64;

/// The resources that a value has taken so far.
pub(super) struct Taken {
    bytes: Cell<usize>,
    /// Bytes of the input.
    all: usize,
    zero_sized: Cell<ZeroSizedLimit>,
    /// Errors of postcard have no room for it.
    error: Cell<Option<DataError>>,
}

impl Taken {
    /// Creates the bounds for an input of `all` bytes.
    pub(super) fn new(all: usize) -> Self {
        Taken { bytes: Cell::new(0), all, zero_sized: Cell::default(), error: Cell::new(None) }
    }

    fn refuse(&self, error: DataError) -> DataError {
        self.error.set(Some(error));
        error
    }

    /// Returns which bound was exceeded, or `other`.
    pub(super) fn error_or(&self, other: DataError) -> DataError {
        self.error.take().unwrap_or(other)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }
}

/// Position in the value.
#[derive(Clone, Copy)]
pub(super) struct Level<'b> {
    taken: &'b Taken,
    depth: u32,
    /// True if this is a sequence or map, whose length says how many elements there are; not a tuple.
    has_length: bool,
}

impl<'b> Level<'b> {
    /// Starts at the outermost level.
    pub(super) fn outermost(taken: &'b Taken) -> Self {
        Level { taken, depth: 0, has_length: false }
    }

    /// Enters a level.
    pub(super) fn inside(self) -> Result<Self, DataError> {
        if self.depth == MOST_LEVELS {
            return Err(self.taken.refuse(TOO_DEEP));
        }
        Ok(Level { depth: self.depth + 1, has_length: false, ..self })
    }

    /// Enters a level that has a length.
    pub(super) fn inside_sequence(self) -> Result<Self, DataError> {
        Ok(Level { has_length: true, ..self.inside()? })
    }

    pub(super) fn bytes(self) -> usize {
        self.taken.bytes.get()
    }

    /// Counts an element that began at that byte.
    pub(super) fn count(self, start: usize) -> Result<(), DataError> {
        if self.has_length && self.bytes() == start {
            let mut zero_sized = self.taken.zero_sized.get();
            zero_sized.count(1, SIZE, start / 8).map_err(|error| self.taken.refuse(error))?;
            self.taken.zero_sized.set(zero_sized);
        }
        Ok(())
    }

    /// Returns the length of a sequence, if each element could have a byte.
    pub(super) fn hint(self, length: Option<usize>) -> Option<usize> {
        length.filter(|length| *length <= self.taken.all - self.bytes())
    }

    pub(super) fn around<T>(self, inner: T) -> Bounded<'b, T> {
        Bounded { inner, level: self }
    }
}

/// Something of serde's, at that level: all traits pass through it.
pub(super) struct Bounded<'b, T> {
    pub(super) inner: T,
    pub(super) level: Level<'b>,
}

/// Source that postcard reads from.
pub(super) struct Input<'de> {
    pub(super) rest: &'de [u8],
    pub(super) taken: &'de Taken,
}

impl<'de> de_flavors::Flavor<'de> for Input<'de> {
    type Remainder = &'de [u8];
    type Source = &'de [u8];

    fn pop(&mut self) -> postcard::Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.rest = rest;
        self.taken.add(1);
        Ok(*first)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }

    fn try_take_n(&mut self, len: usize) -> postcard::Result<&'de [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.rest = rest;
        self.taken.add(len);
        Ok(taken)
    }

    fn finalize(self) -> postcard::Result<&'de [u8]> {
        Ok(self.rest)
    }
}

/// Target that postcard writes to.
pub(super) struct Output<'b> {
    pub(super) bytes: Vec<u8>,
    pub(super) taken: &'b Taken,
}

impl ser_flavors::Flavor for Output<'_> {
    type Output = Vec<u8>;

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.bytes.extend_from_slice(data);
        self.taken.add(data.len());
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.try_extend(&[data])
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}
