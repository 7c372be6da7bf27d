//! `Serde<T>`: any type with `Serialize` and `Deserialize`, as bytes in the format of postcard.

use std::ops::{Deref, DerefMut};

use ::serde::{Serialize, de::DeserializeOwned};

use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

/// Stores any type with serde's `Serialize` and `Deserialize` (feature `serde`).
///
/// The value becomes bytes in the format of [postcard](https://postcard.jamesmunns.com/wire-format), which are stored
/// as `Vec<u8>` is. The schema says `Postcard(Vec<u8>)` and nothing of the type, for serde does not tell: programs must
/// agree on it themselves. Where you can, derive [`ShmData`](crate::ShmData) instead, whose values are described, compared
/// when an object is opened, and cheaper to read. Formats in which a value describes itself, as `serde_json::Value`
/// expects, do not go through postcard.
///
/// Nesting is not bounded, other than in types that are derived: a recursive type whose bytes somebody has spoiled may
/// exhaust the stack while it is read.
///
/// It is no key, as serde tells nothing of equality.
///
/// ```
/// use netshm::data::{Serde, from_words, to_words};
///
/// #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
/// struct Point { x: i32, y: i32 }
///
/// let words = to_words(&Serde(Point { x: 3, y: -4 }))?;
/// let point: Serde<Point> = from_words(&words)?;
/// assert_eq!(point.into_inner(), Point { x: 3, y: -4 });
/// # Ok::<(), netshm::data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serde<T>(pub T);

impl<T> Serde<T> {
    /// The value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Serde<T> {
    fn from(value: T) -> Self {
        Serde(value)
    }
}

impl<T> Deref for Serde<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Serde<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// Not direct: what `Deserialize` does with torn bytes is not known.
impl<T: Serialize + DeserializeOwned> DataManager for Serde<T> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        let bytes = postcard::to_stdvec(&self.0)
            .map_err(|_| DataError::new("Serde", "a value that has no form in postcard"))?;
        Encode::encode(bytes.as_slice(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        match postcard::take_from_bytes(&Vec::<u8>::decode(input)?) {
            Ok((value, [])) => Ok(Serde(value)),
            Ok(_) => Err(DataError::new("Serde", "more bytes than the value has in postcard")),
            Err(_) => Err(DataError::new("Serde", "bytes that are no such value in postcard")),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("Postcard", |fields| fields.item::<Vec<u8>>())
    }
}
