//! Tables and arrays of types that cannot be stored, so that a program with one is told once.
//!
//! The operations of a table exist for types that can be stored. For others each use of one would be an error, beside that of
//! `manage`. So a table dereferences to [`Unstorable`], which has operations of the same names, and the compiler takes those where the
//! others do not exist. They do not compile either: a parameter of theirs cannot be inferred. But of types that it cannot infer the
//! compiler reports the first in a function, and none where it has found another error. It tells the parameter's name, which so has
//! to say what to do. (A bound on the parameter would make each use an error.)

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

/// The type of any argument. (An `impl` in the signature keeps the compiler from advising to write the parameter.)
pub trait Anything {}

impl<T: ?Sized> Anything for T {}

/// Writes operations that look like those of a table: those that are given, and those that tables and arrays
/// share, whose types are as the caller has imported them. The name of the parameter that cannot be inferred is given too.
macro_rules! unstorable_operations {
    (@each $table:ty, $unknown:ident: $($name:ident $(<$($lifetime:lifetime)? $($param:ident),*>)? ($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            #[allow(missing_docs, clippy::missing_errors_doc, clippy::extra_unused_type_parameters)]
            pub fn $name<$($($lifetime,)? $($param,)*)? $unknown>(&self $(, $argument: $type)*) -> $result {
                $(let _ = $argument;)*
                unreachable!("the parameter cannot be inferred")
            }
        )*
    };
    ($table:ty, $unknown:ident: $($own:tt)*) => {
        unstorable_operations! {
            @each $table, $unknown: $($own)*
            len() -> Result<usize>;
            is_empty() -> Result<bool>;
            sync() -> Result<()>;
            check() -> Result<Report>;
            stats() -> Result<Stats>;
            shm() -> &Shm;
            group<R, E>(body: impl FnOnce() -> std::result::Result<R, E>) -> std::result::Result<R, E>;
            group_retry<R, E>(body: impl FnMut() -> std::result::Result<R, E>) -> std::result::Result<R, E>;
            group_retry_at_most<R, E>(retries: u64, body: impl FnMut() -> std::result::Result<R, E>) -> std::result::Result<R, E>;
            group_with<R, E>(body: impl FnOnce(&$table) -> std::result::Result<R, E>) -> std::result::Result<R, E>;
            group_with_retry<R, E>(body: impl FnMut(&$table) -> std::result::Result<R, E>) -> std::result::Result<R, E>;
        }
    };
}
pub(crate) use unstorable_operations;
