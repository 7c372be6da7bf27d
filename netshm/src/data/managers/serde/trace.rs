//! A digest of what a value passes to serde, to compare a value with what is read back.

use ::serde::de::value::Error;
use ::serde::ser::{self, Serialize, Serializer};

/// Returns the trace of a value. The elements of sequences and the entries of maps count in any order, as hash maps and sets have
/// another one each time.
pub(super) fn trace<T: Serialize + ?Sized>(value: &T) -> Result<u64, Error> {
    value.serialize(Tracer)
}

/// Combines two numbers into one.
fn join(one: u64, other: u64) -> u64 {
    let product = u128::from(one ^ 0x9E37_79B9_7F4A_7C15) * u128::from(other ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64 ^ (product >> 64) as u64).wrapping_add(one.rotate_left(17))
}

fn of_bytes(kind: u64, bytes: &[u8]) -> u64 {
    join(kind, rapidhash::v3::rapidhash_v3(bytes))
}

fn of_text(text: &str) -> u64 {
    of_bytes(1, text.as_bytes())
}

struct Tracer;

/// The parts of a value so far.
struct Parts {
    sum: u64,
    count: u64,
    /// True if they count in any order.
    any_order: bool,
    key: u64,
}

impl Parts {
    fn new(kind: u64, any_order: bool) -> Result<Self, Error> {
        Ok(Parts { sum: kind, count: 0, any_order, key: 0 })
    }

    fn add(&mut self, part: u64) {
        self.count += 1;
        self.sum = if self.any_order { self.sum.wrapping_add(join(part, 2)) } else { join(self.sum, part) };
    }

    fn end(self) -> Result<u64, Error> {
        Ok(join(self.sum, self.count))
    }
}

macro_rules! numbers {
    ($($method:ident($type:ty) $kind:literal)*) => { $(
        fn $method(self, value: $type) -> Result<u64, Error> {
            Ok(of_bytes($kind, &value.to_ne_bytes()))
        }
    )* };
}

impl Serializer for Tracer {
    type Ok = u64;
    type Error = Error;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    numbers! {
        serialize_i8(i8) 3
        serialize_i16(i16) 4
        serialize_i32(i32) 5
        serialize_i64(i64) 6
        serialize_i128(i128) 7
        serialize_u8(u8) 8
        serialize_u16(u16) 9
        serialize_u32(u32) 10
        serialize_u64(u64) 11
        serialize_u128(u128) 12
        serialize_f32(f32) 13
        serialize_f64(f64) 14
    }

    fn serialize_bool(self, value: bool) -> Result<u64, Error> {
        Ok(join(15, value.into()))
    }
    fn serialize_char(self, value: char) -> Result<u64, Error> {
        Ok(join(16, value.into()))
    }
    fn serialize_str(self, value: &str) -> Result<u64, Error> {
        Ok(of_text(value))
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<u64, Error> {
        Ok(of_bytes(17, value))
    }
    fn serialize_none(self) -> Result<u64, Error> {
        Ok(18)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u64, Error> {
        Ok(join(19, trace(value)?))
    }
    fn serialize_unit(self) -> Result<u64, Error> {
        Ok(20)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<u64, Error> {
        Ok(21)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<u64, Error> {
        Ok(join(22, of_text(variant)))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<u64, Error> {
        Ok(join(23, trace(value)?))
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<u64, Error> {
        Ok(join(join(24, of_text(variant)), trace(value)?))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Error> {
        Parts::new(25, true)
    }
    fn serialize_tuple(self, _: usize) -> Result<Parts, Error> {
        Parts::new(26, false)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Error> {
        Parts::new(27, false)
    }
    fn serialize_tuple_variant(self, _: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Parts, Error> {
        Parts::new(join(28, of_text(variant)), false)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Error> {
        Parts::new(29, true)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Error> {
        Parts::new(30, false)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Error> {
        Parts::new(join(31, of_text(variant)), false)
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Parts without names.
macro_rules! unnamed {
    ($($trait:ident $method:ident)*) => { $(
        impl ser::$trait for Parts {
            type Ok = u64;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.add(trace(value)?);
                Ok(())
            }

            fn end(self) -> Result<u64, Error> {
                Parts::end(self)
            }
        }
    )* };
}

unnamed! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

impl ser::SerializeMap for Parts {
    type Ok = u64;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = trace(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add(join(self.key, trace(value)?));
        Ok(())
    }

    fn end(self) -> Result<u64, Error> {
        Parts::end(self)
    }
}

/// Parts with names; those left out count as well.
macro_rules! named {
    ($($trait:ident)*) => { $(
        impl ser::$trait for Parts {
            type Ok = u64;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
                self.add(join(of_text(key), trace(value)?));
                Ok(())
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), Error> {
                self.add(join(of_text(key), 32));
                Ok(())
            }

            fn end(self) -> Result<u64, Error> {
                Parts::end(self)
            }
        }
    )* };
}

named!(SerializeStruct SerializeStructVariant);
