//! Maps and sets: the length, then the entries. Ordered ones write them in their order, so that they can be keys; they read any.
//!
//! Reading one compares or hashes its keys. Where users may have written that code, it runs on a copy of what somebody has
//! written, so such maps and sets are not direct. (This does not depend on itself where the keys contain the map: the user's
//! types are not known, whatever they contain.)

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash, RandomState};

use super::sequences::{capacity, decode_sequence, decode_to, encode_each, encode_sequence};
use crate::data::schema::Container;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

/// Encodes the entries of a map.
pub(super) fn encode_entries<'a, K: DataManager + 'a, V: DataManager + 'a>(
    entries: impl ExactSizeIterator<Item = (&'a K, &'a V)>,
    out: &mut Encoder<'_>,
) -> Result<(), DataError> {
    let mut entries = entries;
    out.foreign_unless(K::DIRECT && V::DIRECT);
    encode_sequence::<(K, V)>(entries.len(), out, |out| {
        out.nested(|out| {
            entries.try_for_each(|(key, value)| {
                key.encode(out)?;
                value.encode(out)
            })
        })
    })
}

/// Returns the entries of a hash map or set sorted by the words of their keys: their order in memory differs between processes.
/// Not done for what is merely stored, since writing would take several times as long.
fn in_order<'a, K: DataManager + 'a, E>(
    entries: impl Iterator<Item = E>,
    key: impl Fn(&E) -> &'a K,
) -> Result<Vec<E>, DataError> {
    let mut count = Encoder::counting();
    let entries = entries.map(|entry| {
        let start = count.written();
        key(&entry).encode(&mut count)?;
        Ok((start..count.written(), entry))
    });
    let mut entries = entries.collect::<Result<Vec<_>, DataError>>()?;
    let mut words = vec![0; count.written()];
    let mut out = Encoder::ordered(&mut words);
    entries.iter().try_for_each(|(_, entry)| key(entry).encode(&mut out))?;
    entries.sort_unstable_by(|(one, _), (other, _)| words[one.clone()].cmp(&words[other.clone()]));
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

/// Requires a private copy for an unknown hasher, which must not see torn keys.
fn need_known_hasher<S>(input: &Decoder<'_>) -> Result<(), DataError> {
    if typeid::of::<S>() == TypeId::of::<RandomState>() { Ok(()) } else { input.need_copy() }
}

/// Decodes a map or set, no entry of which may occur twice. `make` returns an empty one for that number of entries; `insert` returns
/// whether the entry is new.
pub(super) fn decode_distinct<T: DataManager, C>(
    input: &mut Decoder<'_>,
    make: impl FnOnce(usize, &mut Decoder<'_>) -> Result<C, DataError>,
    mut insert: impl FnMut(&mut C, T) -> bool,
) -> Result<C, DataError> {
    decode_sequence::<T, _>(input, |len, input| {
        let mut found = make(len, input)?;
        let mut are_distinct = true;
        decode_to(len, input, |item| are_distinct &= insert(&mut found, item))?;
        if are_distinct { Ok(found) } else { Err(DataError::new("a map or set", "an entry twice")) }
    })
}

#[diagnostic::do_not_recommend]
impl<K: DataManager + Ord, V: DataManager> DataManager for BTreeMap<K, V> {
    const DIRECT: bool = K::KNOWN;
    const KNOWN: bool = K::KNOWN && V::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        encode_entries(self.iter(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        // In any order: a program that does not know `K` cannot know how it compares.
        decode_distinct(input, |_, _| Ok(BTreeMap::new()), |map, (key, value)| map.insert(key, value).is_none())
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::BTreeMap, vec![types.of::<K>(), types.of::<V>()])
    }
}

#[diagnostic::do_not_recommend]
impl<K: ShmKey + Ord, V: ShmKey> ShmKey for BTreeMap<K, V> {}

#[diagnostic::do_not_recommend]
impl<T: DataManager + Ord> DataManager for BTreeSet<T> {
    const DIRECT: bool = T::KNOWN;
    const KNOWN: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        encode_sequence::<T>(self.len(), out, |out| encode_each(self, out))
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        decode_distinct(input, |_, _| Ok(BTreeSet::new()), BTreeSet::insert)
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::BTreeSet, vec![types.of::<T>()])
    }
}

#[diagnostic::do_not_recommend]
impl<T: ShmKey + Ord> ShmKey for BTreeSet<T> {}

#[diagnostic::do_not_recommend]
impl<K: DataManager + Eq + Hash, V: DataManager, S: BuildHasher + Default> DataManager for HashMap<K, V, S> {
    const DIRECT: bool = K::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        if out.is_ordered() {
            return encode_entries(in_order(self.iter(), |(key, _)| *key)?.into_iter(), out);
        }
        encode_entries(self.iter(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        need_known_hasher::<S>(input)?;
        let make = |len, input: &mut Decoder<'_>| {
            Ok(HashMap::with_capacity_and_hasher(capacity::<(K, V)>(len, input)?, S::default()))
        };
        decode_distinct(input, make, |map, (key, value)| map.insert(key, value).is_none())
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::HashMap, vec![types.of::<K>(), types.of::<V>()])
    }
}

#[diagnostic::do_not_recommend]
impl<T: DataManager + Eq + Hash, S: BuildHasher + Default> DataManager for HashSet<T, S> {
    const DIRECT: bool = T::KNOWN;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        encode_sequence::<T>(self.len(), out, |out| {
            if out.is_ordered() {
                return encode_each(in_order(self.iter(), |item| *item)?, out);
            }
            encode_each(self, out)
        })
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        need_known_hasher::<S>(input)?;
        let make = |len, input: &mut Decoder<'_>| {
            Ok(HashSet::with_capacity_and_hasher(capacity::<T>(len, input)?, S::default()))
        };
        decode_distinct(input, make, HashSet::insert)
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::HashSet, vec![types.of::<T>()])
    }
}
