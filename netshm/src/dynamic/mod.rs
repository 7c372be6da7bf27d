//! Reading and writing objects whose types are known at run time only.

/// Calls a generic function with the type that a [`Scalar`](crate::data::Scalar) stands for.
macro_rules! with_type {
    ($scalar:expr, $function:ident($($argument:expr),*)) => {
        match $scalar {
            Scalar::U8 => $function::<u8>($($argument),*),
            Scalar::U16 => $function::<u16>($($argument),*),
            Scalar::U32 => $function::<u32>($($argument),*),
            Scalar::U64 => $function::<u64>($($argument),*),
            Scalar::U128 => $function::<u128>($($argument),*),
            Scalar::Usize => $function::<usize>($($argument),*),
            Scalar::I8 => $function::<i8>($($argument),*),
            Scalar::I16 => $function::<i16>($($argument),*),
            Scalar::I32 => $function::<i32>($($argument),*),
            Scalar::I64 => $function::<i64>($($argument),*),
            Scalar::I128 => $function::<i128>($($argument),*),
            Scalar::Isize => $function::<isize>($($argument),*),
            Scalar::Bool => $function::<bool>($($argument),*),
            Scalar::Char => $function::<char>($($argument),*),
            Scalar::F32 => $function::<f32>($($argument),*),
            Scalar::F64 => $function::<f64>($($argument),*),
        }
    };
}

mod array;
mod decode;
mod encode;
#[cfg(feature = "json")]
mod json;
mod plan;
mod row;
mod table;
mod unfit;
mod value;

pub use array::DynArray;
pub(crate) use plan::Plan;
pub use table::DynTable;
pub use unfit::Unfit;
pub use value::{Enum, FieldValues, Struct, Value};
