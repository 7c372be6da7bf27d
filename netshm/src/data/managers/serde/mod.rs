//! `Serde<T>`: any type with `Serialize` and `Deserialize`, as bytes in the format of postcard.

mod bounded;
mod de;
#[cfg(any(feature = "json", feature = "cbor"))]
pub(crate) mod formats;
mod ser;
mod trace;

use std::any::type_name;
use std::ops::{Deref, DerefMut};

use ::serde::{Serialize, de::DeserializeOwned};

use self::bounded::{Input, Level, Output, Taken};
use self::trace::trace;
use crate::data::with::AsSerde;
use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

/// Stores any type with serde's `Serialize` and `Deserialize` (feature `serde`).
///
/// The value becomes bytes in the format of [postcard](https://postcard.jamesmunns.com/wire-format), which are stored
/// as `Vec<u8>` is. The schema says `Postcard(Vec<u8>)` and nothing of the type, for serde does not tell: programs must
/// agree on it themselves. Where you can, derive [`ShmData`](crate::ShmData) instead, whose values are described, compared
/// when an object is opened, and cheaper to read. Types for which a value must describe itself do not go through postcard:
/// `serde_json::Value`, and those with serde's `tag`, `untagged`, `flatten`, `skip_serializing_if` or skipped variants: store these as
/// `SerdeJson` (features `serde` and `json`) or `SerdeCbor` (feature `cbor`). So a
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
impl<T: AsSerde> DataManager for Serde<T> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        encode(&self.0, out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        decode(input).map(Serde)
    }

    fn schema(types: &mut Types) -> Schema {
        schema(types)
    }
}

/// Writes a value in the format of postcard.
pub(crate) fn encode<T: Serialize + DeserializeOwned>(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
    let taken = Taken::new(usize::MAX);
    let output = Output { bytes: Vec::new(), taken: &taken };
    let bytes = postcard::serialize_with_flavor(&Level::outermost(&taken).around(value), output)
        .map_err(|_| taken.error_or(DataError::new(type_name::<T>(), NO_FORM)))?;
    // Every value is counted once before it is written.
    if out.is_counting() {
        check_readable(value, &bytes)?;
    }
    Encode::encode(bytes.as_slice(), out)
}

/// Reads a value from the format of postcard.
pub(crate) fn decode<T: DeserializeOwned>(input: &mut Decoder<'_>) -> Result<T, DataError> {
    read(&Vec::<u8>::decode(input)?)
}

/// Describes bytes in the format of postcard.
pub(crate) fn schema(types: &mut Types) -> Schema {
    types.tuple_structure::<Serde<()>>("Postcard", |fields| fields.item::<Vec<u8>>())
}

const NO_FORM: &str = "postcard has no form for this value: each sequence and map must tell its length, which those of \
                       `#[serde(flatten)]` do not";
const NOT_READ_BACK: &str = "serde does not read this value back from postcard, where values do not describe themselves: the \
                             type uses `tag`, `untagged`, `flatten`, `skip_serializing_if`, `skip` on a variant, or something \
                             like `serde_json::Value`; store it as `SerdeJson` or `SerdeCbor`";

/// Makes sure that the bytes are read as this value: nothing in serde's traits says so.
fn check_readable<T: Serialize + DeserializeOwned>(value: &T, bytes: &[u8]) -> Result<(), DataError> {
    let not_read_back = DataError::new(type_name::<T>(), NOT_READ_BACK);
    let read: T = read(bytes).map_err(|_| not_read_back)?;
    match (trace(value), trace(&read)) {
        (Ok(written), Ok(read)) if written == read => Ok(()),
        _ => Err(not_read_back),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DataError> {
    let taken = Taken::new(bytes.len());
    let mut reader = postcard::Deserializer::from_flavor(Input { rest: bytes, taken: &taken });
    let value = T::deserialize(Level::outermost(&taken).around(&mut reader))
        .map_err(|_| taken.error_or(DataError::new("Serde", "bytes that are no such value in postcard")))?;
    match reader.finalize() {
        Ok([]) => Ok(value),
        _ => Err(DataError::new("Serde", "more bytes than the value has in postcard")),
    }
}
