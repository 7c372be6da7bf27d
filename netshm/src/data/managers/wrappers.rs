//! Types around one value, stored as it is; and `Ordering`.

use std::cmp::{Ordering, Reverse};
use std::num::{Saturating, Wrapping};

use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

macro_rules! wrappers {
    ($($type:ident),*) => { $(
        #[diagnostic::do_not_recommend]
        impl<T: DataManager> DataManager for $type<T> {
            const FIXED: Option<usize> = T::FIXED;
            const DIRECT: bool = T::DIRECT;
            const KNOWN: bool = T::KNOWN;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                self.0.encode(out)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                input.take().map($type)
            }

            fn schema(types: &mut Types) -> Schema {
                types.tuple_structure::<Self>(stringify!($type), |fields| fields.item::<T>())
            }
        }

        #[diagnostic::do_not_recommend]
        impl<T: ShmKey> ShmKey for $type<T> {}
    )* };
}

wrappers!(Reverse, Saturating, Wrapping);

/// -1, 0 or 1.
#[diagnostic::do_not_recommend]
impl DataManager for Ordering {
    const FIXED: Option<usize> = Some(1);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        (*self as i8).encode(out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        match i8::decode(input)? {
            -1 => Ok(Ordering::Less),
            0 => Ok(Ordering::Equal),
            1 => Ok(Ordering::Greater),
            _ => Err(DataError::new("Ordering", "neither -1, 0 nor 1")),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("Ordering", |fields| fields.item::<i8>())
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for Ordering {}
