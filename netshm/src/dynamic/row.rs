//! Keys, values and elements as their words: how the engine sees what is typed at run time only.

use std::sync::atomic::AtomicU64;

use super::plan::Plan;
use super::value::Value;
use crate::data::unfit::Unfit;
use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};
use crate::describe::object_schema;
use crate::error::{Error, Result};
use crate::os::copy;
use crate::shm::Shm;
use crate::store::open::{self, Stored};

/// Words that mean nothing to the engine; they end where they end in the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(pub(super) Vec<u64>);

impl DataManager for Row {
    const DIRECT: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put_bytes(bytemuck::cast_slice(&self.0))
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        input.packed(input.remaining()).map(Row)
    }

    /// Says nothing: the objects themselves say what their rows are.
    fn schema(_: &mut Types) -> Schema {
        Schema::Tuple(Vec::new())
    }
}

impl ShmKey for Row {}

/// Describes the object, with its schema as a tree.
pub(super) fn stored(shm: &Shm, name: Option<&str>) -> Result<(Stored, crate::data::ObjectSchema)> {
    let stored = open::stored(shm, name)?;
    let schema = object_schema(shm, &stored)?;
    Ok((stored, schema))
}

/// Returns a compiled schema.
pub(super) fn plan(shm: &Shm, schema: &Schema) -> Result<Plan> {
    Plan::new(schema).map_err(|unfit| unfit_of(shm, unfit.into()))
}

/// Encodes a key.
pub(super) fn encode(shm: &Shm, plan: &Plan, value: &Value) -> Result<Row> {
    plan.encode_key(value).map(Row).map_err(|unfit| unfit_of(shm, unfit))
}

/// Encodes a value.
pub(super) fn encode_row(shm: &Shm, plan: &Plan, value: &Value) -> Result<Row> {
    plan.encode_row(value).map(Row).map_err(|unfit| unfit_of(shm, unfit))
}

pub(super) fn decode(shm: &Shm, plan: &Plan, row: &Row) -> Result<Value> {
    plan.decode(&row.0).map_err(|error| undecodable(shm, error))
}

pub(super) fn decode_row(shm: &Shm, plan: &Plan, row: &Row) -> Result<Value> {
    plan.decode_row(&row.0).map_err(|error| undecodable(shm, error))
}

/// Copies locked words.
pub(super) fn copied(words: &[AtomicU64]) -> Vec<u64> {
    copy::load_vec(words, words.len())
}

/// Returns the error of a verb that was given a value of another type.
#[cold]
fn unfit_of(shm: &Shm, unfit: Unfit) -> Error {
    Error::Unfit { object: shm.object().name().clone(), unfit }
}

#[cold]
fn undecodable(shm: &Shm, error: DataError) -> Error {
    Error::decode(shm.object().name().clone(), error)
}

/// Returns the error for an object of another kind.
pub(super) fn other_kind(shm: &Shm, stored: String, expected: &str) -> Error {
    Error::SchemaMismatch {
        object: shm.object().name().clone(),
        stored,
        expected: expected.to_owned(),
        difference: String::new(),
    }
}
