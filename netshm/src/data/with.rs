//! Ready modules for `#[shm(with = ..)]`: fields of types that have no data manager.
//!
//! | Module | For types with | Stored as |
//! |---|---|---|
//! | [`display`] | `Display` and `FromStr`: `url::Url`, `semver::Version`, `rust_decimal::Decimal`, `half::f16`, .. | `String` |
//! | [`shared`] | `Rc` and `Arc`; written `#[shm(shared)]` | what they point to |
#![cfg_attr(
    feature = "serde",
    doc = "| [`serde`](mod@serde) | `Serialize` and `Deserialize` | as [`Serde`](super::Serde) |"
)]
#![cfg_attr(
    all(feature = "serde", feature = "json"),
    doc = "| [`json`] | the same, also those with `tag`, `untagged` and `flatten` | as [`SerdeJson`](super::SerdeJson) |"
)]
#![cfg_attr(feature = "cbor", doc = "| [`cbor`] | the same | as [`SerdeCbor`](super::SerdeCbor) |")]
//!
//! A field of such a type is read from a copy of its words. It cannot be part of a key; where there are conversions to and from a
//! type that can, use `#[shm(as = Type)]`, as for texts of other crates: `#[shm(as = String)] name: SmolStr`.

/// Types with [`Display`](std::fmt::Display) and [`FromStr`](std::str::FromStr), as the text that one writes and the other reads.
///
/// ```
/// use netshm::data::{from_words, to_words};
///
/// #[derive(netshm::ShmData, Debug, PartialEq)]
/// struct Peer {
///     #[shm(with = netshm::with::display)]
///     address: std::net::SocketAddr,
/// }
///
/// let peer = Peer { address: "[::1]:80".parse().unwrap() };
/// assert_eq!(from_words::<Peer>(&to_words(&peer)?)?, peer);
/// assert_eq!(netshm::data::Schema::of::<Peer>().to_string(), "Peer { address: String }");
/// # Ok::<(), netshm::data::DataError>(())
/// ```
pub mod display {
    use std::fmt::Display;
    use std::str::FromStr;

    use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

    /// Types that are stored as a text: all that have `Display` and `FromStr`.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored by `with::display`",
        label = "needs `Display` and `FromStr` for `{Self}`",
        note = "implement both, so that `FromStr` reads what `Display` writes; or store the field as another type with `#[shm(as = Type)]`, or by functions of your own with `#[shm(with = path)]`"
    )]
    pub trait AsText: Display + FromStr {}

    #[diagnostic::do_not_recommend]
    impl<T: Display + FromStr> AsText for T {}

    /// Writes the text of a value. One that its type does not read is refused: nobody could read it any more.
    ///
    /// # Errors
    /// If the type does not read it.
    pub fn encode<T: AsText>(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
        let text = value.to_string();
        if out.is_counting() && text.parse::<T>().is_err() {
            return Err(DataError::new(std::any::type_name::<T>(), "its own text is not read by the type"));
        }
        Encode::encode(text.as_str(), out)
    }

    /// Reads a value from its text.
    ///
    /// # Errors
    /// If the type does not read it.
    pub fn decode<T: AsText>(input: &mut Decoder<'_>) -> Result<T, DataError> {
        let text = String::decode(input)?;
        text.parse().map_err(|_| DataError::new(std::any::type_name::<T>(), "a text that the type does not read"))
    }

    /// Describes a text.
    pub fn schema(_: &mut Types) -> Schema {
        Schema::Text
    }
}

/// `Rc` and `Arc`, as what they point to: what `#[shm(shared)]` stands for. When values are read, each has one of its own.
///
/// ```
/// use std::sync::Arc;
///
/// use netshm::data::{from_words, to_words};
///
/// #[derive(netshm::ShmData, Debug, PartialEq)]
/// struct Job {
///     #[shm(shared)]
///     owner: Arc<str>,
///     #[shm(shared)]
///     steps: Arc<Vec<u32>>,
/// }
///
/// let job = Job { owner: "ada".into(), steps: Arc::new(vec![1, 2]) };
/// assert_eq!(from_words::<Job>(&to_words(&job)?)?, job);
/// assert_eq!(netshm::data::Schema::of::<Job>().to_string(), "Job { owner: String, steps: Vec<u32> }");
/// # Ok::<(), netshm::data::DataError>(())
/// ```
pub mod shared {
    use std::ops::Deref;

    use crate::data::{DataError, DataManager, Decoder, Encode, Encoder, Schema, Types};

    /// Pointers that are stored as what they point to.
    #[diagnostic::on_unimplemented(
        message = "what `{Self}` points to cannot be stored in shared memory",
        label = "`shared` stores the value behind the pointer, which cannot be stored",
        note = "a type of your own is stored with `#[derive(ShmData)]`; of locks, cells and atomics store the value itself, `Arc<T>` instead of `Arc<Mutex<T>>`"
    )]
    pub trait Shares: Deref<Target: Encode> + From<Box<Self::Target>> {
        #[doc(hidden)]
        fn read(input: &mut Decoder<'_>) -> Result<Self, DataError>;
        #[doc(hidden)]
        fn describe(types: &mut Types) -> Schema;
    }

    #[diagnostic::do_not_recommend]
    impl<P: Deref<Target: Encode> + From<Box<P::Target>>> Shares for P
    where
        Box<P::Target>: DataManager,
    {
        fn read(input: &mut Decoder<'_>) -> Result<P, DataError> {
            input.take::<Box<P::Target>>().map(P::from)
        }

        fn describe(types: &mut Types) -> Schema {
            types.of::<Box<P::Target>>()
        }
    }

    /// Writes what the pointer points to.
    ///
    /// # Errors
    /// Those of its own manager.
    pub fn encode<P: Shares>(value: &P, out: &mut Encoder<'_>) -> Result<(), DataError> {
        Encode::encode(&**value, out)
    }

    /// Reads a value, for a pointer of its own.
    ///
    /// # Errors
    /// Those of its own manager.
    pub fn decode<P: Shares>(input: &mut Decoder<'_>) -> Result<P, DataError> {
        P::read(input)
    }

    /// Describes what the pointer points to.
    pub fn schema<P: Shares>(types: &mut Types) -> Schema {
        P::describe(types)
    }
}

/// Types that are stored by serde: all with its two traits.
#[cfg(feature = "serde")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored by serde",
    label = "needs `serde::Serialize` and `serde::Deserialize` for `{Self}`",
    note = "derive both, `#[derive(serde::Serialize, serde::Deserialize)]`; a type of another crate may have them behind a feature called `serde`"
)]
pub trait AsSerde: ::serde::Serialize + ::serde::de::DeserializeOwned {}

#[cfg(feature = "serde")]
#[diagnostic::do_not_recommend]
impl<T: ::serde::Serialize + ::serde::de::DeserializeOwned> AsSerde for T {}

macro_rules! of_serde {
    ($(#[$attr:meta])* $name:ident, $format:literal: $encode:path, $decode:path, $schema:path) => {
        $(#[$attr])*
        pub mod $name {
            use super::AsSerde;
            use crate::data::{DataError, Decoder, Encoder, Schema, Types};

            #[doc = concat!("Writes a value as ", $format, ".")]
            ///
            /// # Errors
            /// If it would not be read back.
            pub fn encode<T: AsSerde>(value: &T, out: &mut Encoder<'_>) -> Result<(), DataError> {
                $encode(value, out)
            }

            #[doc = concat!("Reads a value from ", $format, ".")]
            ///
            /// # Errors
            /// If the words are not such a value.
            pub fn decode<T: AsSerde>(input: &mut Decoder<'_>) -> Result<T, DataError> {
                $decode(input)
            }

            #[doc = concat!("Describes ", $format, ".")]
            pub fn schema(types: &mut Types) -> Schema {
                $schema(types)
            }
        }
    };
}

of_serde! {
    /// Types with serde's traits, in the format of postcard: as [`Serde`](crate::data::Serde).
    ///
    /// ```
    /// use netshm::data::{from_words, to_words};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    /// enum Unit { Metre, Foot }
    ///
    /// #[derive(netshm::ShmData, Debug, PartialEq)]
    /// struct Length {
    ///     number: f64,
    ///     #[shm(with = netshm::with::serde)]
    ///     unit: Unit,
    /// }
    ///
    /// let length = Length { number: 2.5, unit: Unit::Foot };
    /// assert_eq!(from_words::<Length>(&to_words(&length)?)?, length);
    /// # Ok::<(), netshm::data::DataError>(())
    /// ```
    #[cfg(feature = "serde")]
    serde, "postcard": crate::data::managers::serde::encode, crate::data::managers::serde::decode,
    crate::data::managers::serde::schema
}

of_serde! {
    /// Types with serde's traits, as a JSON text: as [`SerdeJson`](crate::data::SerdeJson).
    ///
    /// ```
    /// use netshm::data::{from_words, to_words};
    ///
    /// #[derive(netshm::ShmData, Debug, PartialEq)]
    /// struct Job {
    ///     #[shm(with = netshm::with::json)]
    ///     options: serde_json::Value,
    /// }
    ///
    /// let job = Job { options: serde_json::json!({ "retries": 3, "tags": ["a", null] }) };
    /// assert_eq!(from_words::<Job>(&to_words(&job)?)?, job);
    /// # Ok::<(), netshm::data::DataError>(())
    /// ```
    #[cfg(all(feature = "serde", feature = "json"))]
    json, "a JSON text": crate::data::managers::serde::formats::encode_json,
    crate::data::managers::serde::formats::decode_json, crate::data::managers::serde::formats::json_schema
}

of_serde! {
    /// Types with serde's traits, in the format CBOR: as [`SerdeCbor`](crate::data::SerdeCbor).
    #[cfg(feature = "cbor")]
    cbor, "CBOR": crate::data::managers::serde::formats::encode_cbor,
    crate::data::managers::serde::formats::decode_cbor, crate::data::managers::serde::formats::cbor_schema
}
