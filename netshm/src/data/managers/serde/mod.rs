//! `Serde<T>`: any type with `Serialize` and `Deserialize`, as bytes in the format of postcard.

mod bounded;
mod de;
mod ser;

use std::ops::{Deref, DerefMut};

use ::serde::{Serialize, de::DeserializeOwned};

use self::bounded::{Input, Level, Output, Taken};
use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

/// Stores any type with serde's `Serialize` and `Deserialize` (feature `serde`).
///
/// The value becomes bytes in the format of [postcard](https://postcard.jamesmunns.com/wire-format), which are stored
/// as `Vec<u8>` is. The schema says `Postcard(Vec<u8>)` and nothing of the type, for serde does not tell: programs must
/// agree on it themselves. Where you can, derive [`ShmData`](crate::ShmData) instead, whose values are described, compared
/// when an object is opened, and cheaper to read. Formats in which a value describes itself, as `serde_json::Value`
/// expects, do not go through postcard.
///
/// Values nest 256 levels deep at most, where each struct, tuple, enum, option, sequence and map is one: serde shows no
/// boxes. At most 1024 elements of sequences take no bytes, and one more for each 32 bytes of the value.
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
#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> DataManager for Serde<T> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        let taken = Taken::new(usize::MAX);
        let output = Output { bytes: Vec::new(), taken: &taken };
        let bytes = postcard::serialize_with_flavor(&Level::outermost(&taken).around(&self.0), output)
            .map_err(|_| taken.error_or(DataError::new("Serde", "a value that has no form in postcard")))?;
        Encode::encode(bytes.as_slice(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let bytes = Vec::<u8>::decode(input)?;
        let taken = Taken::new(bytes.len());
        let mut reader = postcard::Deserializer::from_flavor(Input { rest: &bytes, taken: &taken });
        let value = T::deserialize(Level::outermost(&taken).around(&mut reader))
            .map_err(|_| taken.error_or(DataError::new("Serde", "bytes that are no such value in postcard")))?;
        match reader.finalize() {
            Ok([]) => Ok(Serde(value)),
            _ => Err(DataError::new("Serde", "more bytes than the value has in postcard")),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("Postcard", |fields| fields.item::<Vec<u8>>())
    }
}
