//! Writing within the bounds of reading, so that what is stored can be read.

use ::serde::ser::{self, Error as _, Serialize, Serializer};

use super::bounded::Bounded;

/// Forwards values without contents.
macro_rules! plain {
    ($($method:ident($($name:ident: $type:ty),*))*) => { $(
        fn $method(self, $($name: $type),*) -> Result<S::Ok, S::Error> {
            self.inner.$method($($name),*)
        }
    )* };
}

/// Forwards values with one content.
macro_rules! around_one {
    ($($method:ident($($name:ident: $type:ty),*))*) => { $(
        fn $method<T: Serialize + ?Sized>(self, $($name: $type,)* value: &T) -> Result<S::Ok, S::Error> {
            let level = self.level.inside().map_err(S::Error::custom)?;
            self.inner.$method($($name,)* &level.around(value))
        }
    )* };
}

/// Forwards values with several contents.
macro_rules! around_several {
    ($($method:ident($($name:ident: $type:ty),*) $inside:ident -> $part:ident)*) => { $(
        fn $method(self, $($name: $type),*) -> Result<Self::$part, S::Error> {
            let level = self.level.$inside().map_err(S::Error::custom)?;
            Ok(level.around(self.inner.$method($($name),*)?))
        }
    )* };
}

impl<'b, S: Serializer> Serializer for Bounded<'b, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Bounded<'b, S::SerializeSeq>;
    type SerializeTuple = Bounded<'b, S::SerializeTuple>;
    type SerializeTupleStruct = Bounded<'b, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Bounded<'b, S::SerializeTupleVariant>;
    type SerializeMap = Bounded<'b, S::SerializeMap>;
    type SerializeStruct = Bounded<'b, S::SerializeStruct>;
    type SerializeStructVariant = Bounded<'b, S::SerializeStructVariant>;

    plain! {
        serialize_bool(value: bool)
        serialize_char(value: char)
        serialize_i8(value: i8)
        serialize_i16(value: i16)
        serialize_i32(value: i32)
        serialize_i64(value: i64)
        serialize_i128(value: i128)
        serialize_u8(value: u8)
        serialize_u16(value: u16)
        serialize_u32(value: u32)
        serialize_u64(value: u64)
        serialize_u128(value: u128)
        serialize_f32(value: f32)
        serialize_f64(value: f64)
        serialize_str(value: &str)
        serialize_bytes(value: &[u8])
        serialize_unit()
    }

    around_one! {
        serialize_some()
        serialize_newtype_struct(name: &'static str)
        serialize_newtype_variant(name: &'static str, index: u32, variant: &'static str)
    }

    around_several! {
        serialize_seq(len: Option<usize>) inside_sequence -> SerializeSeq
        serialize_tuple(len: usize) inside -> SerializeTuple
        serialize_tuple_struct(name: &'static str, len: usize) inside -> SerializeTupleStruct
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize) inside -> SerializeTupleVariant
        serialize_map(len: Option<usize>) inside_sequence -> SerializeMap
        serialize_struct(name: &'static str, len: usize) inside -> SerializeStruct
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize) inside -> SerializeStructVariant
    }

    // On a level of their own, though they contain nothing: it is one when they are read.
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.level.inside().map_err(S::Error::custom)?;
        self.inner.serialize_none()
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.level.inside().map_err(S::Error::custom)?;
        self.inner.serialize_unit_struct(name)
    }

    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.level.inside().map_err(S::Error::custom)?;
        self.inner.serialize_unit_variant(name, index, variant)
    }

    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

impl<T: Serialize + ?Sized> Serialize for Bounded<'_, &T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.inner.serialize(self.level.around(serializer))
    }
}

impl<C: ser::SerializeSeq> ser::SerializeSeq for Bounded<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        let start = self.level.bytes();
        self.inner.serialize_element(&self.level.around(value))?;
        self.level.count(start).map_err(C::Error::custom)
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

impl<C: ser::SerializeMap> ser::SerializeMap for Bounded<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        let start = self.level.bytes();
        self.inner.serialize_key(&self.level.around(key))?;
        self.level.count(start).map_err(C::Error::custom)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&self.level.around(value))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.inner.end()
    }
}

/// Fields, the number of which is known from the type.
macro_rules! fields {
    ($($trait:ident $method:ident($($name:ident: $type:ty)?))*) => { $(
        impl<C: ser::$trait> ser::$trait for Bounded<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: $type,)? value: &T) -> Result<(), C::Error> {
                self.inner.$method($($name,)? &self.level.around(value))
            }

            $(fn skip_field(&mut self, $name: $type) -> Result<(), C::Error> {
                self.inner.skip_field($name)
            })?

            fn end(self) -> Result<C::Ok, C::Error> {
                self.inner.end()
            }
        }
    )* };
}

fields! {
    SerializeTuple serialize_element()
    SerializeTupleStruct serialize_field()
    SerializeTupleVariant serialize_field()
    SerializeStruct serialize_field(key: &'static str)
    SerializeStructVariant serialize_field(key: &'static str)
}
