//! `Serde<T>`: any type with `Serialize` and `Deserialize`, as bytes in the format of postcard.

mod bounded;
mod de;
mod ser;
mod trace;

use std::any::type_name;
use std::ops::{Deref, DerefMut};

use ::serde::{Serialize, de::DeserializeOwned};

use self::bounded::{Input, Level, Output, Taken};
use self::trace::trace;
use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

/// Stores any type with serde's `Serialize` and `Deserialize` (feature `serde`).
///
/// The value becomes bytes in the format of [postcard](https://postcard.jamesmunns.com/wire-format), which are stored
/// as `Vec<u8>` is. The schema says `Postcard(Vec<u8>)` and nothing of the type, for serde does not tell: programs must
/// agree on it themselves. Where you can, derive [`ShmData`](crate::ShmData) instead, whose values are described, compared
/// when an object is opened, and cheaper to read. Types for which a value must describe itself do not go through postcard:
/// `serde_json::Value`, and those with serde's `tag`, `untagged`, `flatten`, `skip_serializing_if` or skipped variants. So a
/// value is read back and compared before it is stored, and one that does not come back as it was is refused.
///
/// Values nest 256 levels deep at most, where each struct, tuple, enum, option, sequence and map is one: serde shows no
/// boxes. At most 1024 elements of sequences take no bytes, and one more for each 32 bytes of the value.
///
/// It is no key, since serde knows nothing of equality.
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
    /// Returns the value.
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
            .map_err(|_| taken.error_or(DataError::new(type_name::<T>(), NO_FORM)))?;
        // Every value is counted once before it is written.
        if out.is_counting() {
            self.check_readable(&bytes)?;
        }
        Encode::encode(bytes.as_slice(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        Self::read(&Vec::<u8>::decode(input)?)
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("Postcard", |fields| fields.item::<Vec<u8>>())
    }
}

const NO_FORM: &str = "postcard has no form for this value: each sequence and map must tell its length, which those of \
                       `#[serde(flatten)]` do not";
const NOT_READ_BACK: &str = "serde does not read this value back from postcard, where values do not describe themselves: the \
                             type uses `tag`, `untagged`, `flatten`, `skip_serializing_if`, `skip` on a variant, or something \
                             like `serde_json::Value`";

impl<T: Serialize + DeserializeOwned> Serde<T> {
    /// Makes sure that the bytes are read as this value: nothing in serde's traits says so.
    fn check_readable(&self, bytes: &[u8]) -> Result<(), DataError> {
        let not_read_back = DataError::new(type_name::<T>(), NOT_READ_BACK);
        let read = Self::read(bytes).map_err(|_| not_read_back)?;
        match (trace(&self.0), trace(&read.0)) {
            (Ok(written), Ok(read)) if written == read => Ok(()),
            _ => Err(not_read_back),
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DataError> {
        let taken = Taken::new(bytes.len());
        let mut reader = postcard::Deserializer::from_flavor(Input { rest: bytes, taken: &taken });
        let value = T::deserialize(Level::outermost(&taken).around(&mut reader))
            .map_err(|_| taken.error_or(DataError::new("Serde", "bytes that are no such value in postcard")))?;
        match reader.finalize() {
            Ok([]) => Ok(Serde(value)),
            _ => Err(DataError::new("Serde", "more bytes than the value has in postcard")),
        }
    }
}
