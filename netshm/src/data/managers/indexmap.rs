//! `IndexMap` and `IndexSet` of the crate indexmap: as `HashMap` and `HashSet`, in their order.

use std::hash::{BuildHasher, Hash};

use ::indexmap::{IndexMap, IndexSet};

use super::maps::{decode_distinct, encode_entries};
use super::sequences::{capacity, encode_each, encode_sequence};
use crate::data::schema::Container;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};

/// Not direct: keys are hashed by code of the user.
#[diagnostic::do_not_recommend]
impl<K: DataManager + Eq + Hash, V: DataManager, S: BuildHasher + Default> DataManager for IndexMap<K, V, S> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.foreign_unless(false);
        encode_entries(self.iter(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.need_copy()?;
        let make = |len, input: &mut Decoder<'_>| {
            Ok(IndexMap::with_capacity_and_hasher(capacity::<(K, V)>(len, input)?, S::default()))
        };
        decode_distinct(input, make, |map, (key, value)| map.insert(key, value).is_none())
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::HashMap, vec![types.of::<K>(), types.of::<V>()])
    }
}

#[diagnostic::do_not_recommend]
impl<T: DataManager + Eq + Hash, S: BuildHasher + Default> DataManager for IndexSet<T, S> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.foreign_unless(false);
        encode_sequence::<T>(self.len(), out, |out| encode_each(self, out))
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.need_copy()?;
        let make = |len, input: &mut Decoder<'_>| {
            Ok(IndexSet::with_capacity_and_hasher(capacity::<T>(len, input)?, S::default()))
        };
        decode_distinct(input, make, IndexSet::insert)
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::HashSet, vec![types.of::<T>()])
    }
}
