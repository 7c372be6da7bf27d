//! `ArrayVec` and `ArrayString` of the crate arrayvec: as `Vec<T>` and `String`.

use ::arrayvec::{ArrayString, ArrayVec};

use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, ShmKey, Types};

const NO_ROOM: &str = "more elements than it has room for";

#[diagnostic::do_not_recommend]
impl<T: DataManager, const N: usize> DataManager for ArrayVec<T, N> {
    const DIRECT: bool = true;
    const KNOWN: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_slice(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let items = Vec::<T>::decode(input)?;
        if items.len() > N { Err(DataError::new("ArrayVec", NO_ROOM)) } else { Ok(items.into_iter().collect()) }
    }

    fn schema(types: &mut Types) -> Schema {
        Vec::<T>::schema(types)
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey, const N: usize> ShmKey for ArrayVec<T, N> {}

#[diagnostic::do_not_recommend]
impl<const N: usize> DataManager for ArrayString<N> {
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_str(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        ArrayString::from(&String::decode(input)?).map_err(|_| DataError::new("ArrayString", NO_ROOM))
    }

    fn schema(_: &mut Types) -> Schema {
        Schema::Text
    }
}

#[diagnostic::do_not_recommend]
impl<const N: usize> ShmKey for ArrayString<N> {}
