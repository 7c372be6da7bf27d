//! `Bytes` and `BytesMut` of the crate bytes: as `Vec<u8>`.

use ::bytes::{Bytes, BytesMut};

use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, ShmKey, Types};

macro_rules! as_vec {
    ($($type:ty),*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for $type {
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                Encode::encode(&**self, out)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                Vec::decode(input).map(|bytes| Bytes::from(bytes).into())
            }

            fn schema(types: &mut Types) -> Schema {
                Vec::<u8>::schema(types)
            }
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for $type {}
    )* };
}

as_vec!(Bytes, BytesMut);
