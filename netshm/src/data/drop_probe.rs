//! Finds out whether a type implements `Drop` itself: generated code must know whether dropping a value runs code of the user.

use std::marker::PhantomData;

/// `DropProbe::<T>::HAS_DROP` is true if `T` implements `Drop`. Where that is so, the constant of the type itself hides that
/// of the trait. Since `Drop` is implemented for all instances of a generic type or for none, this is so for generic ones too.
#[doc(hidden)]
#[derive(Debug)]
pub struct DropProbe<T: ?Sized>(PhantomData<T>);

/// Holds for all other types.
#[doc(hidden)]
pub trait NoDrop {
    /// See [`DropProbe`].
    const HAS_DROP: bool = false;
}

impl<T: ?Sized> NoDrop for DropProbe<T> {}

#[allow(drop_bounds)]
impl<T: Drop + ?Sized> DropProbe<T> {
    /// See [`DropProbe`].
    pub const HAS_DROP: bool = true;
}
