//! Ranges: their ends.

use std::ops::{Bound, Range, RangeFrom, RangeInclusive, RangeTo, RangeToInclusive};

use super::{all_fixed, same_fixed};
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

/// A struct of ends, which are listed in the order of their words.
macro_rules! ranges {
    ($($type:ident[$ends:literal] { $($end:ident = |$range:ident| $get:expr),* } => $new:expr;)*) => { $(
        #[diagnostic::do_not_recommend]
        impl<T: DataManager> DataManager for $type<T> {
            const FIXED: Option<usize> = all_fixed(&[T::FIXED; $ends]);
            const DIRECT: bool = T::DIRECT;
            const KNOWN: bool = T::KNOWN;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                $({
                    let $range = self;
                    $get.encode(out)?;
                })*
                Ok(())
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                $(let $end: T = input.take()?;)*
                Ok($new)
            }

            fn schema(types: &mut Types) -> Schema {
                types.structure::<Self>(stringify!($type), |fields| {
                    $(fields.field::<T>(stringify!($end));)*
                })
            }
        }
    )* };
}

ranges! {
    Range[2] { start = |range| range.start, end = |range| range.end } => Range { start, end };
    RangeFrom[1] { start = |range| range.start } => RangeFrom { start };
    RangeTo[1] { end = |range| range.end } => RangeTo { end };
    RangeToInclusive[1] { end = |range| range.end } => RangeToInclusive { end };
    RangeInclusive[2] { start = |range| range.start(), end = |range| range.end() } => RangeInclusive::new(start, end);
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for Range<T> {}
#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for RangeFrom<T> {}
#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for RangeTo<T> {}
#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for RangeToInclusive<T> {}
// `RangeInclusive` is no key: one that has been walked through differs from a fresh one, and has the same ends.

const NO_BOUND: DataError = DataError::new("Bound", "neither Included, Excluded nor Unbounded");

/// 0 and the included end, 1 and the excluded one, or 2: as a derived enum.
#[diagnostic::do_not_recommend]
impl<T: DataManager> DataManager for Bound<T> {
    const FIXED: Option<usize> = same_fixed(&[T::FIXED, Some(0)]);
    const DIRECT: bool = T::DIRECT;
    const KNOWN: bool = T::KNOWN;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        match self {
            Bound::Included(end) => {
                out.put(0)?;
                end.encode(out)
            }
            Bound::Excluded(end) => {
                out.put(1)?;
                end.encode(out)
            }
            Bound::Unbounded => out.put(2),
        }
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        match input.get()? {
            0 => input.take().map(Bound::Included),
            1 => input.take().map(Bound::Excluded),
            2 => Ok(Bound::Unbounded),
            _ => Err(NO_BOUND),
        }
    }

    fn schema(types: &mut Types) -> Schema {
        types.enumeration::<Self>("Bound", |variants| {
            variants.tuple(0, "Included", |fields| fields.item::<T>());
            variants.tuple(1, "Excluded", |fields| fields.item::<T>());
            variants.unit(2, "Unbounded");
        })
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for Bound<T> {}
