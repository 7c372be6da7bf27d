//! What a program keeps of values without knowing it.

use super::{DataError, Decoder, Encoder};

const NOTHING: DataError = DataError::new("an enum", "an unknown variant that was not read from anywhere");

/// Part of a value that newer programs have stored, kept as it is: the fields after those that this program knows
/// (`#[shm(rest)]`), or a variant that it does not know (`#[shm(other)]`).
///
/// ```
/// use netshm::Rest;
/// use netshm::data::{from_words, to_words};
///
/// mod newer {
///     #[derive(netshm::ShmData)]
///     #[shm(extensible)]
///     pub struct Address { pub street: String, #[shm(default)] pub zip: u32 }
/// }
///
/// #[derive(netshm::ShmData)]
/// #[shm(extensible)]
/// struct Address { street: String, #[shm(rest)] rest: Rest }
///
/// let new = newer::Address { street: "Long Lane".to_owned(), zip: 4711 };
/// let mut old: Address = from_words(&to_words(&new)?)?;
/// old.street = "Short Street".to_owned();
/// let again: newer::Address = from_words(&to_words(&old)?)?;
/// assert_eq!((again.street.as_str(), again.zip), ("Short Street", 4711));
/// # Ok::<(), netshm::data::DataError>(())
/// ```
///
/// The default is to know all: nothing is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rest(Vec<u64>);

impl Rest {
    /// Returns whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Encoder<'_> {
    /// Writes the words that a value has after those of its known fields.
    #[doc(hidden)]
    pub fn put_rest(&mut self, rest: &Rest) -> Result<(), DataError> {
        self.put_bytes(bytemuck::cast_slice(&rest.0))
    }

    /// Writes an unknown variant.
    #[doc(hidden)]
    pub fn put_other(&mut self, other: &Rest) -> Result<(), DataError> {
        if other.is_empty() { Err(NOTHING) } else { self.put_rest(other) }
    }
}

impl Decoder<'_> {
    /// Reads what is left of an extensible value.
    #[doc(hidden)]
    pub fn rest(&mut self) -> Result<Rest, DataError> {
        self.packed(self.remaining()).map(Rest)
    }

    /// Reads an unknown variant, whose index has been read already.
    #[doc(hidden)]
    pub fn other(&mut self, index: u64) -> Result<Rest, DataError> {
        let mut words = vec![index];
        words.extend(self.packed::<u64>(self.remaining())?);
        Ok(Rest(words))
    }
}
