//! What the code that the macros generate calls. Not part of the public face: it changes whenever the macros do.
//!
//! A field's type is asked for its trait once, where it is written ([`check`]). The rest of the generated code goes through
//! [`Part`] and its kin, which exist for all types, so that one mistake is one message.

use std::marker::PhantomData;

use crate::data::with::shared::{self, Shares};
use crate::data::{self, DataError, Decoder, Encoder, Schema, ShmData, Types};
use crate::error::Error;

pub mod check;

// For its name in messages.
pub use crate::data::unstorable::Unstorable;

/// Returns the words of parts that follow each other, if each has a fixed length.
pub const fn all_fixed(parts: &[Option<usize>]) -> Option<usize> {
    data::all_fixed(parts)
}

/// Returns the words of one of several variants, if all have the same fixed length.
pub const fn same_fixed(variants: &[Option<usize>]) -> Option<usize> {
    data::same_fixed(variants)
}

/// The manager of a field's type. Its methods are these if there is one, else those of [`NoPart`], which are never called:
/// the program does not compile.
#[derive(Debug)]
pub struct Part<T>(PhantomData<T>);

impl<T: ShmData> Part<T> {
    pub const FIXED: Option<usize> = T::FIXED;
    pub const DIRECT: bool = T::DIRECT;
    pub const KNOWN: bool = T::KNOWN;
    pub const ARRAY: bool = T::ARRAY;
    pub const PACKED: usize = T::PACKED;

    #[inline(always)]
    pub fn encode(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
        value.encode(out)
    }

    #[inline(always)]
    pub fn decode(input: &mut Decoder<'_>) -> Result<T, DataError> {
        input.take()
    }

    pub fn schema(types: &mut Types) -> Schema {
        T::schema(types)
    }

    #[inline]
    pub fn encode_inner<O>(items: &[O], out: &mut Encoder<'_>, inner: impl Fn(&O) -> &T) -> Result<(), DataError> {
        data::encode_inner(items, out, inner)
    }

    #[inline]
    pub fn decode_inner<O>(len: usize, input: &mut Decoder<'_>, outer: impl Fn(T) -> O) -> Result<Vec<O>, DataError> {
        data::decode_inner(len, input, outer)
    }

    #[inline]
    pub fn decode_array<const N: usize>(input: &mut Decoder<'_>) -> Result<[T; N], DataError> {
        T::decode_array(input)
    }
}

/// Fallback for the methods of a [`Part`] without a manager.
pub trait NoPart<T> {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = false;
    const KNOWN: bool = false;
    const ARRAY: bool = false;
    const PACKED: usize = 0;

    fn encode(_: &T, _: &mut Encoder<'_>) -> Result<(), DataError> {
        unreachable!()
    }

    fn decode(_: &mut Decoder<'_>) -> Result<T, DataError> {
        unreachable!()
    }

    fn schema(_: &mut Types) -> Schema {
        unreachable!()
    }

    fn encode_inner<O>(_: &[O], _: &mut Encoder<'_>, _: impl Fn(&O) -> &T) -> Result<(), DataError> {
        unreachable!()
    }

    fn decode_inner<O>(_: usize, _: &mut Decoder<'_>, _: impl Fn(T) -> O) -> Result<Vec<O>, DataError> {
        unreachable!()
    }

    fn decode_array<const N: usize>(_: &mut Decoder<'_>) -> Result<[T; N], DataError> {
        unreachable!()
    }
}

impl<T> NoPart<T> for Part<T> {}

/// A field of type `T`, an `Rc` or `Arc`, that is stored as what it points to.
#[derive(Debug)]
pub struct SharedPart<T>(PhantomData<T>);

impl<T: Shares> SharedPart<T> {
    #[inline(always)]
    pub fn encode(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
        shared::encode(value, out)
    }

    #[inline(always)]
    pub fn decode(input: &mut Decoder<'_>) -> Result<T, DataError> {
        shared::decode(input)
    }

    pub fn schema(types: &mut Types) -> Schema {
        shared::schema::<T>(types)
    }
}

/// Fallback for the methods of a [`SharedPart`] whose contents have no manager.
pub trait NoSharedPart<T> {
    fn encode(_: &T, _: &mut Encoder<'_>) -> Result<(), DataError> {
        unreachable!()
    }

    fn decode(_: &mut Decoder<'_>) -> Result<T, DataError> {
        unreachable!()
    }

    fn schema(_: &mut Types) -> Schema {
        unreachable!()
    }
}

impl<T> NoSharedPart<T> for SharedPart<T> {}

/// A field of type `T` that is stored as an `S`, if that can be done.
#[derive(Debug)]
pub struct Converted<T, S>(PhantomData<(T, S)>);

impl<T: Clone + Into<S> + TryFrom<S>, S: ShmData> Converted<T, S> {
    #[inline(always)]
    pub fn encode(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
        value.clone().into().encode(out)
    }

    #[inline(always)]
    pub fn decode(input: &mut Decoder<'_>, name: &'static str) -> Result<T, DataError> {
        // The conversion is code that is not known.
        input.need_copy()?;
        T::try_from(input.take::<S>()?).map_err(|_| DataError::new(name, "cannot be made of the stored value"))
    }
}

/// Fallback for the methods of a [`Converted`] that cannot be converted.
pub trait NotConverted<T> {
    fn encode(_: &T, _: &mut Encoder<'_>) -> Result<(), DataError> {
        unreachable!()
    }

    fn decode(_: &mut Decoder<'_>, _: &'static str) -> Result<T, DataError> {
        unreachable!()
    }
}

impl<T, S> NotConverted<T> for Converted<T, S> {}

/// Calls a function that encodes fields. The compiler checks its signature here, for one message.
#[inline(always)]
pub fn encode_with<T>(
    encode: impl Fn(&T, &mut Encoder<'_>) -> Result<(), DataError>,
    value: &T,
    out: &mut Encoder<'_>,
) -> Result<(), DataError> {
    encode(value, out)
}

/// Works like [`encode_with`], for a function that decodes them.
#[inline(always)]
pub fn decode_with<T>(
    decode: impl Fn(&mut Decoder<'_>) -> Result<T, DataError>,
    input: &mut Decoder<'_>,
) -> Result<T, DataError> {
    decode(input)
}

/// Works like [`encode_with`], for a function that describes them.
#[inline(always)]
pub fn describe_with(schema: impl Fn(&mut Types) -> Schema, types: &mut Types) -> Schema {
    schema(types)
}

/// The functions that store fields of type `T`.
pub trait With<T> {
    fn encode(&self, value: &T, out: &mut Encoder<'_>) -> Result<(), DataError>;
    fn decode(&self, input: &mut Decoder<'_>) -> Result<T, DataError>;
    fn schema(&self, types: &mut Types) -> Schema;
}

/// The functions of a module or type.
#[derive(Debug)]
pub struct Functions<E, D, S>(pub E, pub D, pub S);

impl<T, E, D, S> With<T> for Functions<E, D, S>
where
    E: Fn(&T, &mut Encoder<'_>) -> Result<(), DataError>,
    D: Fn(&mut Decoder<'_>) -> Result<T, DataError>,
    S: Fn(&mut Types) -> Schema,
{
    #[inline(always)]
    fn encode(&self, value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
        (self.0)(value, out)
    }

    #[inline(always)]
    fn decode(&self, input: &mut Decoder<'_>) -> Result<T, DataError> {
        (self.1)(input)
    }

    #[inline(always)]
    fn schema(&self, types: &mut Types) -> Schema {
        (self.2)(types)
    }
}

/// The default of a field that an older row lacks, or that is not stored.
#[derive(Debug)]
pub struct Made<T>(PhantomData<T>);

impl<T: Default> Made<T> {
    #[inline(always)]
    pub fn make() -> T {
        T::default()
    }
}

/// Fallback for the default of a type without one.
pub trait NotMade<T> {
    fn make() -> T {
        unreachable!()
    }
}

impl<T> NotMade<T> for Made<T> {}

/// The value of a group's block. For a `Result` there are two answers, so the compiler refuses it and lists both: their names
/// say what to do, as ambiguities have no message of their own.
pub trait AGroupMustNotEndInAResult<Answer> {}

/// The answer for all types.
#[derive(Debug)]
pub enum Fine {}

/// The other answer for results.
#[derive(Debug)]
pub enum EndInTheValueItselfOrInAQuestionMark {}

impl<T> AGroupMustNotEndInAResult<Fine> for T {}
impl<T, E> AGroupMustNotEndInAResult<EndInTheValueItselfOrInAQuestionMark> for Result<T, E> {}

#[inline(always)]
pub fn group_value<T: AGroupMustNotEndInAResult<Answer>, Answer>(value: T) -> T {
    value
}

/// What stands for the error type of a group. Its methods are these if the type is fit, else those of [`NotGroupEnd`], which tell
/// nothing of it.
#[derive(Debug)]
pub struct GroupEnd<E>(PhantomData<fn() -> E>);

/// Asks for a type that can be the error of a group.
#[inline(always)]
pub fn group_end<E: check::GroupFailure>() -> GroupEnd<E> {
    GroupEnd(PhantomData)
}

impl<E: From<Error>> GroupEnd<E> {
    #[inline(always)]
    pub fn with<R>(&self, outcome: Result<R, E>) -> Result<R, E> {
        outcome
    }

    pub fn never<R>(&self) -> Result<R, E> {
        unreachable!("only the type is of interest")
    }
}

/// Fallback for an unfit type.
pub trait NotGroupEnd<E> {
    fn with<R, Other>(&self, _: Result<R, Other>) -> Result<R, E> {
        unreachable!()
    }

    fn never<R, Other>(&self) -> Result<R, Other> {
        unreachable!()
    }
}

impl<E> NotGroupEnd<E> for GroupEnd<E> {}
