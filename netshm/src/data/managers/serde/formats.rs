//! Serde types in formats whose values describe themselves, for what postcard cannot read back.

use std::any::type_name;
use std::io;
use std::ops::{Deref, DerefMut};

use ::serde::{Serialize, de::DeserializeOwned};

use super::bounded::{Level, Taken};
use super::trace::trace;
use crate::data::with::AsSerde;
use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

/// Target that a format writes to; levels of a value that take no bytes are noticed by its length.
struct Bytes<'b> {
    bytes: Vec<u8>,
    taken: &'b Taken,
}

impl io::Write for Bytes<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(data);
        self.taken.add(data.len());
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a value. On its first way, when its words are counted, it is read back and compared as well.
fn write<T: Serialize>(
    value: &T,
    is_first: bool,
    format: impl FnOnce(&mut Bytes<'_>, &Taken) -> Result<(), ()>,
    read: impl FnOnce(&[u8]) -> Result<T, DataError>,
) -> Result<Vec<u8>, DataError> {
    let not_read_back = DataError::new(type_name::<T>(), NOT_READ_BACK);
    let taken = Taken::new(usize::MAX);
    let mut out = Bytes { bytes: Vec::new(), taken: &taken };
    format(&mut out, &taken).map_err(|()| taken.error_or(DataError::new(type_name::<T>(), NO_FORM)))?;
    if is_first {
        let read = read(&out.bytes).map_err(|_| not_read_back)?;
        match (trace(value), trace(&read)) {
            (Ok(written), Ok(read)) if written == read => {}
            _ => return Err(not_read_back),
        }
    }
    Ok(out.bytes)
}

const NO_FORM: &str =
    "the format has no form for this value, as JSON has none for maps whose keys are no texts or numbers";
const NOT_READ_BACK: &str = "serde does not read this value back as it was: it is nested too deep, has a float that JSON lacks, or \
                             its type skips what it needs";

macro_rules! wrapper {
    ($(#[$doc:meta])* $name:ident, $module:ident: $encode:ident, $decode:ident, $schema:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name<T>(pub T);

        impl<T> $name<T> {
            /// Returns the value.
            pub fn into_inner(self) -> T {
                self.0
            }
        }

        impl<T> From<T> for $name<T> {
            fn from(value: T) -> Self {
                $name(value)
            }
        }

        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> DerefMut for $name<T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }

        /// Not direct: what `Deserialize` does with torn bytes is not known.
        #[diagnostic::do_not_recommend]
        impl<T: AsSerde> DataManager for $name<T> {
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                $encode(&self.0, out)
            }

            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                $decode(input).map($name)
            }

            fn schema(types: &mut Types) -> Schema {
                $schema(types)
            }
        }
    };
}

#[cfg(feature = "json")]
mod json {
    use super::*;

    wrapper! {
        /// Stores any type with serde's `Serialize` and `Deserialize` as a JSON text (features `serde` and `json`).
        ///
        /// Values describe themselves, so this is for types that [`Serde`](crate::data::Serde) refuses: `serde_json::Value`, and those
        /// with serde's `tag`, `untagged`, `flatten` or `skip_serializing_if`. It takes more room and time. The schema says
        /// `Json(String)`, so programs that do not know the type can read the text. What JSON lacks, such as floats that are not finite, is
        /// refused, as are values nested more than 127 deep. It is no key.
        ///
        /// ```
        /// use netshm::data::{SerdeJson, from_words, to_words};
        ///
        /// let settings = SerdeJson(serde_json::json!({ "theme": "dark", "sizes": [1, 2.5] }));
        /// let again: SerdeJson<serde_json::Value> = from_words(&to_words(&settings)?)?;
        /// assert_eq!(again, settings);
        /// # Ok::<(), netshm::data::DataError>(())
        /// ```
        SerdeJson, json: encode, decode, schema
    }

    /// Writes a value as a JSON text.
    pub(crate) fn encode<T: Serialize + DeserializeOwned>(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
        let format = |out: &mut Bytes<'_>, taken: &Taken| {
            serde_json::to_writer(out, &Level::outermost(taken).around(value)).map_err(drop)
        };
        let bytes = write(value, out.is_counting(), format, |bytes| read(bytes))?;
        let text = str::from_utf8(&bytes).map_err(|_| DataError::new("SerdeJson", "no UTF-8"))?;
        Encode::encode(text, out)
    }

    /// Reads a value from a JSON text.
    pub(crate) fn decode<T: DeserializeOwned>(input: &mut Decoder<'_>) -> Result<T, DataError> {
        read(String::decode(input)?.as_bytes())
    }

    fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DataError> {
        serde_json::from_slice(bytes).map_err(|_| DataError::new("SerdeJson", "a text that is no such value in JSON"))
    }

    /// Describes a JSON text.
    pub(crate) fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<SerdeJson<()>>("Json", |fields| fields.item::<String>())
    }
}

#[cfg(feature = "cbor")]
mod cbor {
    use super::*;

    wrapper! {
        /// Stores any type with serde's `Serialize` and `Deserialize` as bytes in the format CBOR, RFC 8949 (feature `cbor`).
        ///
        /// Values describe themselves, as in JSON, for which see `SerdeJson`; but all numbers are there, floats that are not finite
        /// too, bytes are bytes, and any type can be the key of a map. The schema says `Cbor(Vec<u8>)`. Values nested too deep are refused.
        /// It is no key.
        ///
        /// ```
        /// use std::collections::BTreeMap;
        ///
        /// use netshm::data::{SerdeCbor, from_words, to_words};
        ///
        /// #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
        /// #[serde(tag = "kind")]
        /// enum Shape { Circle { radius: f64 }, Empty }
        ///
        /// let shapes = SerdeCbor(BTreeMap::from([((1, 2), Shape::Circle { radius: f64::INFINITY }), ((3, 4), Shape::Empty)]));
        /// let again: SerdeCbor<BTreeMap<(i32, i32), Shape>> = from_words(&to_words(&shapes)?)?;
        /// assert_eq!(again, shapes);
        /// # Ok::<(), netshm::data::DataError>(())
        /// ```
        SerdeCbor, cbor: encode, decode, schema
    }

    /// Writes a value as CBOR.
    pub(crate) fn encode<T: Serialize + DeserializeOwned>(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
        let format = |out: &mut Bytes<'_>, taken: &Taken| {
            ciborium::into_writer(&Level::outermost(taken).around(value), out).map_err(drop)
        };
        let bytes = write(value, out.is_counting(), format, |bytes| read(bytes))?;
        Encode::encode(bytes.as_slice(), out)
    }

    /// Reads a value from CBOR.
    pub(crate) fn decode<T: DeserializeOwned>(input: &mut Decoder<'_>) -> Result<T, DataError> {
        read(&Vec::<u8>::decode(input)?)
    }

    fn read<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, DataError> {
        let no_value = DataError::new("SerdeCbor", "bytes that are no such value in CBOR");
        let value = ciborium::from_reader(&mut bytes).map_err(|_| no_value)?;
        if bytes.is_empty() { Ok(value) } else { Err(DataError::new("SerdeCbor", "more bytes than the value has")) }
    }

    /// Describes CBOR.
    pub(crate) fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<SerdeCbor<()>>("Cbor", |fields| fields.item::<Vec<u8>>())
    }
}

#[cfg(feature = "cbor")]
pub use cbor::SerdeCbor;
#[cfg(feature = "cbor")]
pub(crate) use cbor::{decode as decode_cbor, encode as encode_cbor, schema as cbor_schema};
#[cfg(feature = "json")]
pub use json::SerdeJson;
#[cfg(feature = "json")]
pub(crate) use json::{decode as decode_json, encode as encode_json, schema as json_schema};
