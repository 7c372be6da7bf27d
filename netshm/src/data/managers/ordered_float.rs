//! `OrderedFloat` and `NotNan` of the crate ordered-float, which are keys: equal ones have equal words.

use ::ordered_float::{NotNan, OrderedFloat};

use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

macro_rules! floats {
    ($($float:ident)*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for OrderedFloat<$float> {
            const FIXED: Option<usize> = Some(1);
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                // All that are not numbers are equal, as are both zeros.
                let canonical = if self.0.is_nan() { $float::NAN } else { self.0 + 0.0 };
                canonical.encode(out)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                $float::decode(input).map(OrderedFloat)
            }

            fn schema(types: &mut Types) -> Schema {
                types.tuple_structure::<Self>("OrderedFloat", |fields| fields.item::<$float>())
            }
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for OrderedFloat<$float> {}

        #[diagnostic::do_not_recommend]
        impl DataManager for NotNan<$float> {
            const FIXED: Option<usize> = Some(1);
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                (self.into_inner() + 0.0).encode(out)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                NotNan::new($float::decode(input)?).map_err(|_| DataError::new("NotNan", "it is not a number"))
            }

            fn schema(types: &mut Types) -> Schema {
                types.tuple_structure::<Self>("NotNan", |fields| fields.item::<$float>())
            }
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for NotNan<$float> {}
    )* };
}

floats!(f32 f64);
