//! Numbers, `bool`, `char`: a word each.

use std::marker::PhantomData;
use std::num::NonZero;

use crate::data::schema::Scalar;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

/// Elements that lie in sequences as in private memory.
macro_rules! packed {
    (|$items:ident| $bytes:expr) => {
        #[inline]
        fn encode_slice($items: &[Self], out: &mut Encoder<'_>) -> Result<(), DataError> {
            out.put_bytes($bytes)
        }

        #[inline]
        fn decode_vec(len: usize, input: &mut Decoder<'_>) -> Result<Vec<Self>, DataError> {
            input.packed(len)
        }

        #[inline]
        fn decode_into(into: &mut [Self], input: &mut Decoder<'_>) -> Result<(), DataError> {
            input.packed_into(into)
        }

        #[inline]
        fn decode_array<const N: usize>(input: &mut Decoder<'_>) -> Result<[Self; N], DataError> {
            input.packed_array()
        }
    };
}

/// Numbers of up to 64 bits; the word is the number's value, negative ones in two's complement.
macro_rules! integers {
    ($($type:ty = $scalar:ident),* $(,)?) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for $type {
            const FIXED: Option<usize> = Some(1);
            const DIRECT: bool = true;
            const KNOWN: bool = true;
            const PACKED: usize = size_of::<$type>();

            #[inline(always)]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                out.put(*self as u64)
            }

            #[inline(always)]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                let word = input.get()?;
                let value = word as $type;
                if value as u64 == word { Ok(value) } else { Err(out_of_range(stringify!($type))) }
            }

            fn schema(_: &mut Types) -> Schema {
                Schema::Scalar(Scalar::$scalar)
            }

            packed!(|items| bytemuck::cast_slice(items));
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for $type {}
    )* };
}

integers! {
    u8 = U8, u16 = U16, u32 = U32, u64 = U64, usize = Usize,
    i8 = I8, i16 = I16, i32 = I32, i64 = I64, isize = Isize,
}

#[cold]
fn out_of_range(type_name: &'static str) -> DataError {
    DataError::new(type_name, "a number out of the type's range")
}

/// 128 bits: the low word first.
macro_rules! wide_integers {
    ($($type:ty = $scalar:ident),*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for $type {
            const FIXED: Option<usize> = Some(2);
            const DIRECT: bool = true;
            const KNOWN: bool = true;
            const PACKED: usize = 16;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                out.put(*self as u64)?;
                out.put((*self >> 64) as u64)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                let low = input.get()?;
                Ok(low as $type | (input.get()? as $type) << 64)
            }

            fn schema(_: &mut Types) -> Schema {
                Schema::Scalar(Scalar::$scalar)
            }

            packed!(|items| bytemuck::cast_slice(items));
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for $type {}
    )* };
}

wide_integers!(u128 = U128, i128 = I128);

/// The bits as they are, so that every value comes back as it was.
macro_rules! floats {
    ($($type:ty as $bits:ty = $scalar:ident),*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for $type {
            const FIXED: Option<usize> = Some(1);
            const DIRECT: bool = true;
            const KNOWN: bool = true;
            const PACKED: usize = size_of::<$type>();

            #[inline(always)]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                out.put(u64::from(self.to_bits()))
            }

            #[inline(always)]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                match <$bits>::try_from(input.get()?) {
                    Ok(bits) => Ok(<$type>::from_bits(bits)),
                    Err(_) => Err(out_of_range(stringify!($type))),
                }
            }

            fn schema(_: &mut Types) -> Schema {
                Schema::Scalar(Scalar::$scalar)
            }

            packed!(|items| bytemuck::cast_slice(items));
        }
    )* };
}

floats!(f32 as u32 = F32, f64 as u64 = F64);

#[diagnostic::do_not_recommend]
impl DataManager for bool {
    const FIXED: Option<usize> = Some(1);
    const DIRECT: bool = true;
    const KNOWN: bool = true;
    const PACKED: usize = 1;

    #[inline(always)]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(u64::from(*self))
    }

    #[inline(always)]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        match input.get()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(NO_BOOL),
        }
    }

    fn schema(_: &mut Types) -> Schema {
        Schema::Scalar(Scalar::Bool)
    }

    fn encode_slice(items: &[Self], out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put_bytes(bytemuck::cast_slice(items))
    }

    fn decode_vec(len: usize, input: &mut Decoder<'_>) -> Result<Vec<Self>, DataError> {
        let bytes: Vec<u8> = input.packed(len)?;
        bytes.into_iter().map(|byte| if byte <= 1 { Ok(byte == 1) } else { Err(NO_BOOL) }).collect()
    }

    fn decode_array<const N: usize>(input: &mut Decoder<'_>) -> Result<[Self; N], DataError> {
        let bytes: [u8; N] = input.packed_array()?;
        if bytes.iter().all(|byte| *byte <= 1) { Ok(bytes.map(|byte| byte == 1)) } else { Err(NO_BOOL) }
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for bool {}

const NO_BOOL: DataError = DataError::new("bool", "neither 0 nor 1");

#[diagnostic::do_not_recommend]
impl DataManager for char {
    const FIXED: Option<usize> = Some(1);
    const DIRECT: bool = true;
    const KNOWN: bool = true;
    const PACKED: usize = 4;

    #[inline(always)]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(u64::from(*self))
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        u32::try_from(input.get()?).ok().and_then(char::from_u32).ok_or(NO_CHAR)
    }

    fn schema(_: &mut Types) -> Schema {
        Schema::Scalar(Scalar::Char)
    }

    fn encode_slice(items: &[Self], out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put_bytes(bytemuck::cast_slice(items))
    }

    fn decode_vec(len: usize, input: &mut Decoder<'_>) -> Result<Vec<Self>, DataError> {
        let codes: Vec<u32> = input.packed(len)?;
        codes.into_iter().map(|code| char::from_u32(code).ok_or(NO_CHAR)).collect()
    }

    fn decode_array<const N: usize>(input: &mut Decoder<'_>) -> Result<[Self; N], DataError> {
        let chars = input.packed_array::<u32, N>()?.map(char::from_u32);
        if chars.iter().all(Option::is_some) { Ok(chars.map(Option::unwrap_or_default)) } else { Err(NO_CHAR) }
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for char {}

const NO_CHAR: DataError = DataError::new("char", "no Unicode scalar value");

/// As the number; 0 is no value.
macro_rules! non_zero {
    ($($type:ty),*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for NonZero<$type> {
            const FIXED: Option<usize> = <$type>::FIXED;
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            #[inline]
            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                self.get().encode(out)
            }

            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                NonZero::new(<$type>::decode(input)?).ok_or(DataError::new("NonZero", "zero"))
            }

            fn schema(types: &mut Types) -> Schema {
                types.tuple_structure::<Self>("NonZero", |fields| fields.item::<$type>())
            }
        }

        #[diagnostic::do_not_recommend]
        impl ShmKey for NonZero<$type> {}
    )* };
}

non_zero!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

/// Nothing is stored.
#[diagnostic::do_not_recommend]
impl<T: ?Sized> DataManager for PhantomData<T> {
    const FIXED: Option<usize> = Some(0);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, _: &mut Encoder<'_>) -> Result<(), DataError> {
        Ok(())
    }

    #[inline]
    fn decode(_: &mut Decoder<'_>) -> Result<Self, DataError> {
        Ok(PhantomData)
    }

    fn schema(_: &mut Types) -> Schema {
        Schema::Tuple(Vec::new())
    }
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized> ShmKey for PhantomData<T> {}
