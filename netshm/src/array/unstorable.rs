//! Arrays of types that cannot be stored.

use std::iter::Empty;
use std::ops::{Deref, RangeBounds};

use super::Array;
use crate::check::Report;
use crate::data::unstorable::{Anything, Unstorable, unstorable_operations};
use crate::error::Result;
use crate::shm::Shm;
use crate::stats::Stats;

/// Only for the compiler's messages.
#[doc(hidden)]
impl<T> Deref for Array<T> {
    type Target = Unstorable<Self>;

    fn deref(&self) -> &Self::Target {
        &Unstorable::THIS
    }
}

// As for tables.
#[doc(hidden)]
impl<T: Unpin> Unstorable<Array<T>> {
    unstorable_operations! {
        Array<T>, NeedsShmDataOfTheElements:
        get(index: impl Anything) -> Result<T>;
        set(index: usize, value: &(impl Anything + ?Sized)) -> Result<()>;
        update(index: usize, change: impl FnOnce(T) -> T) -> Result<T>;
        compare_exchange(
            index: usize,
            old: &(impl Anything + ?Sized),
            new: &(impl Anything + ?Sized)
        ) -> Result<std::result::Result<(), T>>;
        swap(i: impl Anything, j: impl Anything) -> Result<()>;
        read_range(range: impl RangeBounds<usize>, into: &mut [T]) -> Result<()>;
        set_range(range: impl RangeBounds<usize>, values: &(impl Anything + ?Sized)) -> Result<()>;
        fill(range: impl RangeBounds<usize>, value: &(impl Anything + ?Sized)) -> Result<()>;
        get_many(indices: impl IntoIterator<Item = usize>) -> Result<Vec<T>>;
        for_each(visit: impl FnMut(usize, T)) -> Result<()>;
        try_for_each<E>(visit: impl FnMut(usize, T) -> std::result::Result<(), E>) -> std::result::Result<(), E>;
        scan() -> Empty<Result<T>>;
        default_value() -> &T;
        resize(length: impl Anything) -> Result<()>;
    }
}
