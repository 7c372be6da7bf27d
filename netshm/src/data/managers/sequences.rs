//! Sequences: the length, then the elements. Arrays: the elements.

use std::collections::{BinaryHeap, LinkedList, VecDeque};

use crate::data::schema::Container;
use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, ShmKey, Types};

/// Bytes reserved before the elements are read, if their number cannot be checked.
const SET_APART: usize = 4096;

/// Returns whether each element takes a word, or its part of one.
const fn is_backed<T: DataManager>() -> bool {
    T::PACKED != 0 || matches!(T::FIXED, Some(1..))
}

/// Encodes the length of a sequence and its elements.
#[inline]
pub(super) fn encode_sequence<T: DataManager>(
    len: usize,
    out: &mut Encoder<'_>,
    encode: impl FnOnce(&mut Encoder<'_>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    if !is_backed::<T>() {
        return out.sequence(len, size_of::<T>(), encode);
    }
    out.put_len(len)?;
    encode(out)
}

/// Decodes the length of a sequence and its elements.
#[inline]
pub(super) fn decode_sequence<T: DataManager, R>(
    input: &mut Decoder<'_>,
    decode: impl FnOnce(usize, &mut Decoder<'_>) -> Result<R, DataError>,
) -> Result<R, DataError> {
    let len = input.take_len()?;
    if is_backed::<T>() { decode(len, input) } else { input.sequence(len, size_of::<T>(), |input| decode(len, input)) }
}

/// Encodes elements one by one.
pub(crate) fn encode_each<'a, T: DataManager + 'a>(
    items: impl IntoIterator<Item = &'a T>,
    out: &mut Encoder<'_>,
) -> Result<(), DataError> {
    out.foreign_unless(T::DIRECT);
    out.nested(|out| items.into_iter().try_for_each(|item| item.encode(out)))
}

/// Decodes elements one by one.
pub(crate) fn decode_each<T: DataManager>(len: usize, input: &mut Decoder<'_>) -> Result<Vec<T>, DataError> {
    let mut items = Vec::with_capacity(capacity::<T>(len, input)?);
    decode_to(len, input, |item| items.push(item))?;
    Ok(items)
}

/// Decodes the elements of an array one by one.
#[inline]
pub(crate) fn decode_array_each<T: DataManager, const N: usize>(input: &mut Decoder<'_>) -> Result<[T; N], DataError> {
    let mut failed = None;
    let items: [Option<T>; N] = input.nested(|input| {
        Ok(std::array::from_fn(|_| match failed {
            None => input.take().map_err(|error| failed = Some(error)).ok(),
            Some(_) => None,
        }))
    })?;
    match failed {
        None => Ok(items.map(|item| item.expect("none has failed"))),
        Some(error) => Err(error),
    }
}

/// Decodes elements one by one and hands them over.
pub(super) fn decode_to<T: DataManager>(
    len: usize,
    input: &mut Decoder<'_>,
    mut take: impl FnMut(T),
) -> Result<(), DataError> {
    input.nested(|input| (0..len).try_for_each(|_| input.take().map(&mut take)))
}

/// Returns the number of elements to reserve memory for before they have been read.
pub(super) fn capacity<T: DataManager>(len: usize, input: &Decoder<'_>) -> Result<usize, DataError> {
    if let Some(words @ 1..) = T::FIXED {
        // The words are there, so the length is as good as they are.
        input.claim(len.saturating_mul(words))?;
        return Ok(len);
    }
    Ok(len.min(input.remaining()).min(SET_APART / size_of::<T>().max(1)))
}

/// Encodes items as their only field. Generated code calls it for transparent types.
#[doc(hidden)]
pub(crate) fn encode_inner<'a, T: 'a, I: DataManager + 'a>(
    items: impl IntoIterator<Item = &'a T>,
    out: &mut Encoder<'_>,
    inner: impl Fn(&'a T) -> &'a I,
) -> Result<(), DataError> {
    let items = items.into_iter().map(inner);
    if I::PACKED == 0 {
        return encode_each(items, out);
    }
    // Packed items do not begin with a word each.
    let joined: Vec<I> = items.map(copied).collect::<Result<_, DataError>>()?;
    I::encode_slice(&joined, out)
}

/// Decodes items as their only field; the reverse of [`encode_inner`].
#[doc(hidden)]
pub(crate) fn decode_inner<T, I: DataManager>(
    len: usize,
    input: &mut Decoder<'_>,
    outer: impl Fn(I) -> T,
) -> Result<Vec<T>, DataError> {
    Ok(I::decode_vec(len, input)?.into_iter().map(outer).collect())
}

impl<T: DataManager> Encode for [T] {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = true;
    const SLICE: bool = true;
    const KNOWN: bool = T::KNOWN;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        encode_sequence::<T>(self.len(), out, |out| T::encode_slice(self, out))
    }
}

#[diagnostic::do_not_recommend]
impl<T: DataManager> DataManager for Vec<T> {
    const DIRECT: bool = true;
    const KNOWN: bool = T::KNOWN;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_slice(), out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        decode_sequence::<T, _>(input, T::decode_vec)
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::Vec, vec![types.of::<T>()])
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for Vec<T> {}

#[diagnostic::do_not_recommend]
impl<T: DataManager> DataManager for Box<[T]> {
    const DIRECT: bool = true;
    const KNOWN: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(&**self, out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        Vec::decode(input).map(Vec::into_boxed_slice)
    }

    fn schema(types: &mut Types) -> Schema {
        Vec::<T>::schema(types)
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for Box<[T]> {}

#[diagnostic::do_not_recommend]
impl<T: DataManager> DataManager for VecDeque<T> {
    const DIRECT: bool = true;
    const KNOWN: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        encode_sequence::<T>(self.len(), out, |out| match self.as_slices() {
            (front, []) => T::encode_slice(front, out),
            _ => encode_inner(self, out, |item| item),
        })
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        Vec::decode(input).map(VecDeque::from)
    }

    fn schema(types: &mut Types) -> Schema {
        Vec::<T>::schema(types)
    }
}

/// Copies a number by encoding and decoding it.
fn copied<T: DataManager>(item: &T) -> Result<T, DataError> {
    let mut words = [0; 2];
    let words = &mut words[..T::FIXED.unwrap_or(2).min(2)];
    item.encode(&mut Encoder::private(words))?;
    T::decode(&mut Decoder::from_words(words))
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for VecDeque<T> {}

#[diagnostic::do_not_recommend]
impl<T: DataManager> DataManager for LinkedList<T> {
    const DIRECT: bool = true;
    const KNOWN: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        encode_sequence::<T>(self.len(), out, |out| encode_inner(self, out, |item| item))
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        Vec::decode(input).map(LinkedList::from_iter)
    }

    fn schema(types: &mut Types) -> Schema {
        Vec::<T>::schema(types)
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey> ShmKey for LinkedList<T> {}

/// The elements as they lie in the heap, so that heaps of the same elements can have different words: no key.
#[diagnostic::do_not_recommend]
impl<T: DataManager + Ord> DataManager for BinaryHeap<T> {
    const DIRECT: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_slice(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        Vec::decode(input).map(BinaryHeap::from)
    }

    fn schema(types: &mut Types) -> Schema {
        Vec::<T>::schema(types)
    }
}

#[diagnostic::do_not_recommend]
impl<T: DataManager, const N: usize> DataManager for [T; N] {
    const FIXED: Option<usize> = match (T::PACKED, T::FIXED) {
        (0, Some(words)) => Some(words * N),
        (0, None) => None,
        (bytes, _) => Some((bytes * N).div_ceil(8)),
    };
    const DIRECT: bool = T::DIRECT;
    const KNOWN: bool = T::KNOWN;
    const ARRAY: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        T::encode_slice(self, out)
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        T::decode_array(input)
    }

    fn decode_boxed(input: &mut Decoder<'_>) -> Result<Box<Self>, DataError> {
        let items = T::decode_vec(N, input)?.into_boxed_slice();
        items.try_into().map_err(|_| DataError::new("an array", "another number of elements"))
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Array(Box::new(types.of::<T>()), N as u64)
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey, const N: usize> ShmKey for [T; N] {}
