//! `String` and what has the same words: the length in bytes, then the bytes, eight to a word.

use std::borrow::Cow;

use super::sequences::encode_each;
use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, ShmKey, Types};

impl Encode for str {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put_len(self.len())?;
        out.put_bytes(self.as_bytes())
    }
}

#[diagnostic::do_not_recommend]
impl DataManager for String {
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_str(), out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        let len = input.take_len()?;
        String::from_utf8(input.bytes(len)?).map_err(|_| DataError::new("String", "no UTF-8"))
    }

    fn schema(_: &mut Types) -> Schema {
        Schema::Text
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for String {}

#[diagnostic::do_not_recommend]
impl DataManager for Box<str> {
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(&**self, out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        String::decode(input).map(String::into_boxed_str)
    }

    fn schema(_: &mut Types) -> Schema {
        Schema::Text
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for Box<str> {}

/// As what is borrowed; comes back as an owned value.
#[diagnostic::do_not_recommend]
impl<B> DataManager for Cow<'_, B>
where
    B: Encode + ToOwned + ?Sized,
    B::Owned: DataManager,
{
    const FIXED: Option<usize> = <B::Owned as DataManager>::FIXED;
    const DIRECT: bool = B::DIRECT && <B::Owned as DataManager>::DIRECT;
    // Its schema is that of the owned type, so it must lie in sequences and arrays as that does.
    const PACKED: usize = <B::Owned as DataManager>::PACKED;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(&**self, out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.take().map(Cow::Owned)
    }

    fn schema(types: &mut Types) -> Schema {
        <B::Owned as DataManager>::schema(types)
    }

    fn encode_slice(items: &[Self], out: &mut Encoder<'_>) -> Result<(), DataError> {
        if Self::PACKED == 0 {
            return encode_each(items, out);
        }
        // `ToOwned` may be anybody's.
        out.foreign_unless(false);
        let owned: Vec<B::Owned> = items.iter().map(|item| (**item).to_owned()).collect();
        B::Owned::encode_slice(&owned, out)
    }

    fn decode_vec(len: usize, input: &mut Decoder<'_>) -> Result<Vec<Self>, DataError> {
        Ok(B::Owned::decode_vec(len, input)?.into_iter().map(Cow::Owned).collect())
    }

    fn decode_array<const N: usize>(input: &mut Decoder<'_>) -> Result<[Self; N], DataError> {
        Ok(B::Owned::decode_array(input)?.map(Cow::Owned))
    }
}

#[diagnostic::do_not_recommend]
impl<B> ShmKey for Cow<'_, B>
where
    B: Encode + ToOwned + Eq + ?Sized,
    B::Owned: ShmKey,
{
}
