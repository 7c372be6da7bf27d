//! `Option` and `Result`: a discriminant word, then the contents, padded with zeros to a fixed size.

use crate::data::schema::Container;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

#[diagnostic::do_not_recommend]
impl<T: DataManager> DataManager for Option<T> {
    const FIXED: Option<usize> = match T::FIXED {
        Some(words) => Some(words + 1),
        None => None,
    };
    const DIRECT: bool = T::DIRECT;
    const KNOWN: bool = T::KNOWN;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        match self {
            None => {
                out.put(0)?;
                out.put_zeros(T::FIXED.unwrap_or(0))
            }
            Some(value) => {
                out.put(1)?;
                value.encode(out)
            }
        }
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        match input.get()? {
            0 => {
                input.skip(T::FIXED.unwrap_or(0))?;
                Ok(None)
            }
            1 => input.take().map(Some),
            _ => Err(DataError::new("Option", "neither None nor Some")),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::Option, vec![types.of::<T>()])
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for Option<T> {}

/// Returns the padding of a part up to the longer one of two, if both have a fixed size.
const fn filling(own: Option<usize>, other: Option<usize>) -> usize {
    match (own, other) {
        (Some(own), Some(other)) => other.saturating_sub(own),
        _ => 0,
    }
}

#[diagnostic::do_not_recommend]
impl<T: DataManager, E: DataManager> DataManager for Result<T, E> {
    const FIXED: Option<usize> = match (T::FIXED, E::FIXED) {
        (Some(ok), Some(err)) => Some(1 + if ok > err { ok } else { err }),
        _ => None,
    };
    const DIRECT: bool = T::DIRECT && E::DIRECT;
    const KNOWN: bool = T::KNOWN && E::KNOWN;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        match self {
            Ok(value) => {
                out.put(0)?;
                value.encode(out)?;
                out.put_zeros(filling(T::FIXED, E::FIXED))
            }
            Err(error) => {
                out.put(1)?;
                error.encode(out)?;
                out.put_zeros(filling(E::FIXED, T::FIXED))
            }
        }
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        match input.get()? {
            0 => {
                let value = input.take()?;
                input.skip(filling(T::FIXED, E::FIXED))?;
                Ok(Ok(value))
            }
            1 => {
                let error = input.take()?;
                input.skip(filling(E::FIXED, T::FIXED))?;
                Ok(Err(error))
            }
            _ => Err(DataError::new("Result", "neither Ok nor Err")),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::Result, vec![types.of::<T>(), types.of::<E>()])
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey, E: ShmKey> ShmKey for Result<T, E> {}
