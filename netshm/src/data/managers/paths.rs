//! Paths, and the strings of the system and of C: their bytes, whether they are UTF-8 or not.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, ShmKey, Types};

impl Encode for OsStr {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_bytes(), out)
    }
}

#[diagnostic::do_not_recommend]
impl DataManager for OsString {
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_os_str(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        Vec::decode(input).map(OsString::from_vec)
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("OsString", |fields| fields.item::<Vec<u8>>())
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for OsString {}

impl Encode for Path {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_os_str(), out)
    }
}

/// No key: paths that are equal as such, as `a/b` and `a//b`, have different bytes.
#[diagnostic::do_not_recommend]
impl DataManager for PathBuf {
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_path(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        OsString::decode(input).map(PathBuf::from)
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("PathBuf", |fields| fields.item::<Vec<u8>>())
    }
}

/// Without the NUL at the end.
impl Encode for CStr {
    const FIXED: Option<usize> = None;
    const DIRECT: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.to_bytes(), out)
    }
}

#[diagnostic::do_not_recommend]
impl DataManager for CString {
    const DIRECT: bool = true;
    const KNOWN: bool = true;

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(self.as_c_str(), out)
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
        CString::new(Vec::decode(input)?).map_err(|_| DataError::new("CString", "a NUL inside"))
    }

    fn schema(types: &mut Types) -> Schema {
        types.tuple_structure::<Self>("CString", |fields| fields.item::<Vec<u8>>())
    }
}

#[diagnostic::do_not_recommend]
impl ShmKey for CString {}

/// Stored like the owning type without the box.
macro_rules! boxed {
    ($($borrowed:ty as $owned:ty),*) => { $(
        #[diagnostic::do_not_recommend]
        impl DataManager for Box<$borrowed> {
            const DIRECT: bool = true;
            const KNOWN: bool = true;

            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
                Encode::encode(&**self, out)
            }

            fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
                <$owned>::decode(input).map(Into::into)
            }

            fn schema(types: &mut Types) -> Schema {
                <$owned>::schema(types)
            }
        }
    )* };
}

boxed!(OsStr as OsString, Path as PathBuf, CStr as CString);

#[diagnostic::do_not_recommend]
impl ShmKey for Box<OsStr> {}
#[diagnostic::do_not_recommend]
impl ShmKey for Box<CStr> {}
