//! `Box`: as what is inside.

use crate::data::schema::Container;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

/// The length counts as variable, whatever is inside, so that a type can contain a box of itself. For the same reason it is
/// told only when a value is read or written whether what is inside is direct.
#[diagnostic::do_not_recommend]
impl<T: DataManager> DataManager for Box<T> {
    const DIRECT: bool = true;
    const KNOWN: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.foreign_unless(T::DIRECT);
        out.nested(|out| T::encode(self, out))
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.nested(|input| {
            if !T::DIRECT {
                input.need_copy()?;
            }
            T::decode_boxed(input)
        })
    }

    fn schema(types: &mut Types) -> Schema {
        match types.of::<T>() {
            inner if inner.fixed_words().is_some() => Schema::Container(Container::Box, vec![inner]),
            inner => inner,
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for Box<T> {}
