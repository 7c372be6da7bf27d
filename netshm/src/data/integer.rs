//! Whole numbers, for arithmetic where they are stored.

use std::ops::{BitAnd, BitOr};

use super::DataManager;

/// The integers, from `u8` to `i128`: what `fetch_add` and its like calculate with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an integer",
    label = "`fetch_add` and its like change integers only",
    note = "values of other types are changed by `update`"
)]
pub trait Integer:
    DataManager + Copy + Ord + Default + BitAnd<Output = Self> + BitOr<Output = Self> + sealed::Sealed
{
    /// Returns the sum, which wraps around at the bounds of the type.
    #[doc(hidden)]
    fn plus(self, by: Self) -> Self;

    /// Returns the difference, which wraps around at the bounds of the type.
    #[doc(hidden)]
    fn minus(self, by: Self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl sealed::Sealed for $type {}

        #[diagnostic::do_not_recommend]
        impl Integer for $type {
            #[inline(always)]
            fn plus(self, by: Self) -> Self {
                self.wrapping_add(by)
            }

            #[inline(always)]
            fn minus(self, by: Self) -> Self {
                self.wrapping_sub(by)
            }
        }
    )* };
}

integers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);
