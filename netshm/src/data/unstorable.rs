//! Tables and arrays of types that cannot be stored, so that a program with one is told once.
//!
//! The operations of a table exist for types that can be stored. For others each use of one would be an error, beside that of
//! `manage`. So a table dereferences to [`Unstorable`], which has operations of the same names, and the compiler takes those where the
//! others do not exist. They do not compile either: a parameter of theirs cannot be inferred. But the compiler reports no ambiguity
//! in a function in which it has already found an error.

use std::fmt;
use std::marker::PhantomData;

/// What stands for the operations of a table or an array of types that cannot be stored. Nothing of it can be called.
pub struct Unstorable<T>(PhantomData<fn() -> T>);

impl<T> Unstorable<T> {
    pub(crate) const THIS: Self = Unstorable(PhantomData);
}

impl<T> fmt::Debug for Unstorable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unstorable")
    }
}

/// What the operations ask of the table. There are two answers for all types, so the compiler refuses them and lists both: their
/// names say what to do, as ambiguities have no message of their own.
pub trait CanOnlyBeUsedWith<Answer> {}

/// An answer.
#[derive(Debug)]
pub enum ValuesThatDeriveShmData {}

/// Another answer.
#[derive(Debug)]
pub enum KeysThatDeriveShmDataAndShmKey {}

impl<T> CanOnlyBeUsedWith<ValuesThatDeriveShmData> for T {}
impl<T> CanOnlyBeUsedWith<KeysThatDeriveShmDataAndShmKey> for T {}

/// The type of any argument. (An `impl` in the signature keeps the compiler from advising to write the parameter.)
pub trait Anything {}

impl<T: ?Sized> Anything for T {}

/// Writes operations that look like those of a table.
macro_rules! unstorable_operations {
    ($table:ty: $($name:ident $(<$($lifetime:lifetime)? $($param:ident),*>)? ($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            #[allow(missing_docs, clippy::missing_errors_doc)]
            pub fn $name<$($($lifetime,)? $($param,)*)? Answer>(&self $(, $argument: $type)*) -> $result
            where
                $table: crate::data::unstorable::CanOnlyBeUsedWith<Answer>,
            {
                $(let _ = $argument;)*
                unreachable!("the parameter cannot be inferred")
            }
        )*
    };
}
pub(crate) use unstorable_operations;
