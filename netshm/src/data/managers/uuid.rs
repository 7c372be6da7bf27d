//! `Uuid` of the crate uuid: its sixteen bytes in two words.

use ::uuid::Uuid;

use crate::data::{DataError, DataManager, Decoder, Encoder, Schema, ShmKey, Types};

#[diagnostic::do_not_recommend]
impl DataManager for Uuid {
    const FIXED: Option<usize> = Some(2);
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put_bytes(self.as_bytes())
    }

    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        // Not `Decoder::bytes`, which allocates.
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&input.get()?.to_ne_bytes());
        bytes[8..].copy_from_slice(&input.get()?.to_ne_bytes());
        Ok(Uuid::from_bytes(bytes))
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("Uuid", |fields| fields.item::<[u8; 16]>())
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for Uuid {}
