//! `SmolStr` of the crate of that name: as `String`.

use ::smol_str::SmolStr;

use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, ShmKey, Types};

#[diagnostic::do_not_recommend]
impl DataManager for SmolStr {
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_str(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        String::decode(input).map(SmolStr::from)
    }

    fn schema(_: &mut Types) -> Schema {
        Schema::Text
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for SmolStr {}
