//! `IndexMap` and `IndexSet` of the crate indexmap: as `HashMap` and `HashSet`, in their order.

use std::hash::{BuildHasher, Hash};

use ::indexmap::{IndexMap, IndexSet};

use super::maps::encode_entries;
use super::sequences::{capacity, decode_sequence, decode_to, encode_each, encode_sequence};
use crate::data::schema::Container;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};

const TWICE: DataError = DataError::new("a map or set", "an entry twice");

/// Not direct: keys are hashed by code of the user.
#[diagnostic::do_not_recommend]
impl<K: DataManager + Eq + Hash, V: DataManager, S: BuildHasher + Default> DataManager for IndexMap<K, V, S> {
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.foreign_unless(false);
        encode_entries(self.iter(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.need_copy()?;
        decode_sequence::<(K, V), _>(input, |len, input| {
            let mut map = IndexMap::with_capacity_and_hasher(capacity::<(K, V)>(len, input)?, S::default());
            decode_to(len, input, |(key, value)| drop(map.insert(key, value)))?;
            if map.len() == len { Ok(map) } else { Err(TWICE) }
        })
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
        decode_sequence::<T, _>(input, |len, input| {
            let mut set = IndexSet::with_capacity_and_hasher(capacity::<T>(len, input)?, S::default());
            decode_to(len, input, |item| {
                set.insert(item);
            })?;
            if set.len() == len { Ok(set) } else { Err(TWICE) }
        })
    }

    fn schema(types: &mut Types) -> Schema {
        Schema::Container(Container::HashSet, vec![types.of::<T>()])
    }
}
