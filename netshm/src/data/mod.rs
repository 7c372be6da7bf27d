//! Data managers: how values are encoded as 64-bit words and decoded.
//!
//! A [`DataManager`] defines how a type is stored. Managers exist for the usual types of `std`, are derived with
//! `#[derive(ShmData)]` for structs and enums by composing those of their fields, and can be written by hand:
//!
//! ```
//! use netshm::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};
//!
//! /// Red, green and blue in one word.
//! #[derive(Debug, PartialEq)]
//! struct Colour { red: u8, green: u8, blue: u8 }
//!
//! impl DataManager for Colour {
//!     const FIXED: Option<usize> = Some(1);
//!
//!     fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
//!         out.put(u64::from_be_bytes([0, 0, 0, 0, 0, self.red, self.green, self.blue]))
//!     }
//!
//!     fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError> {
//!         match input.get()?.to_be_bytes() {
//!             [0, 0, 0, 0, 0, red, green, blue] => Ok(Colour { red, green, blue }),
//!             _ => Err(DataError::new("Colour", "more than 24 bits")),
//!         }
//!     }
//!
//!     fn schema(types: &mut Types) -> Schema {
//!         types.tuple_structure::<Self>("Colour", |fields| fields.item::<u32>())
//!     }
//! }
//! ```
//!
//! Import what you need by name, as here: `use netshm::data::*` also brings [`Encode`] into scope, which has a method `encode` as well,
//! and the compiler then takes `value.encode(out)` for ambiguous.
//!
//! # The words
//! Numbers, `bool` and `char` take a word each (128-bit numbers two). A sequence is its length and its elements; numbers
//! in a sequence or an array are packed, eight bytes to a word (`Vec<i32>`: two in a word). Structs, tuples and arrays
//! are their fields one after the other, without headers. `Option` and `Result` are a discriminant word and the contents, padded
//! if the contents have a fixed size; an enum is the index of the variant and its fields.
//!
//! The number of elements that take no words, such as `()`, is limited, since a damaged length could claim any number
//! of them: 65,536 in a value (or that number of bytes of them in memory), and 16 more for each of its words.
//!
//! A value is decoded on the stack, as any value that a function returns, and a stack is 2 MiB in most threads. Large arrays
//! belong into boxes: `Box<[T; N]>` and `Box<[T]>` are decoded on the heap. A box around another type, such as a struct with a
//! large array in it, is not: the struct passes over the stack, and where that has less than ten times its size left, reading it
//! is an error. Without a box, the program ends if the stack is too small.
//!
//! # The types
//! Managers exist for all integers and floats, `bool`, `char`, `NonZero`, `Wrapping`, `Saturating`, `Reverse`, `Ordering`,
//! `PhantomData`; `String`, `OsString`, `CString`, `PathBuf` and boxes of what they own; arrays, tuples of up to twelve,
//! `Option`, `Result`, `Box`, `Cow`; `Vec`, `Box<[T]>`, `VecDeque`, `LinkedList`, `BinaryHeap`, maps and sets; ranges and
//! `Bound`; `Duration` and `SystemTime`; and the network's addresses.
//!
//! Features of the crate, none of which is on by default, add those of other crates:
//!
//! | Feature | Types | Stored as | Keys |
//! |---|---|---|---|
//! | `uuid` | `Uuid` | its 16 bytes, in two words | yes |
//! | `arrayvec` | `ArrayVec`, `ArrayString` | `Vec<T>`, `String` | yes |
//! | `bytes` | `Bytes`, `BytesMut` | `Vec<u8>` | yes |
//! | `chrono` | `NaiveDate`, `NaiveTime`, `NaiveDateTime`, `DateTime<Utc>`, `FixedOffset`, `TimeDelta` | one to three words | yes |
//! | `chrono` | `DateTime<FixedOffset>` | UTC and the offset, four words | no: equality ignores the offset |
//! | `time` | `Date`, `Time`, `PrimitiveDateTime`, `UtcDateTime`, `UtcOffset`, `Duration` | one or two words | yes |
//! | `time` | `OffsetDateTime` | date, time and offset, three words | no: equality ignores the offset |
//! | `indexmap` | `IndexMap`, `IndexSet` | `HashMap`, `HashSet`, in their order | no |
//! | `ordered-float` | `OrderedFloat`, `NotNan` of `f32` and `f64` | a word | yes |
//! | `smol_str` | `SmolStr` | `String` | yes |
//! | `serde` | `Serde<T>` for any `T` with `Serialize` and `Deserialize` | `Vec<u8>` in the format of postcard | no |
//! | `serde`, `json` | `SerdeJson<T>`, also for types with `tag`, `untagged`, `flatten` | a JSON text | no |
//! | `cbor` | `SerdeCbor<T>`, likewise | `Vec<u8>` in the format CBOR | no |
//!
//! Of other crates, fields are stored by the ready modules in [`with`], such as `#[shm(with = netshm::with::display)]`, or as another type,
//! such as `#[shm(as = String)]`.

mod decoder;
mod drop_probe;
mod encoder;
mod error;
mod integer;
mod managers;
mod rest;
pub(crate) mod schema;
pub(crate) mod unfit;
pub(crate) mod unstorable;
#[cfg(test)]
mod user_code;
mod viewed;
pub mod with;
mod words;
mod zero_sized;

pub use decoder::Decoder;
#[doc(hidden)]
pub use drop_probe::{DropProbe, NoDrop};
pub use encoder::Encoder;
pub(crate) use encoder::MAX_DEPTH;
pub use error::DataError;
pub use integer::Integer;
#[cfg(feature = "serde")]
pub use managers::Serde;
#[cfg(feature = "cbor")]
pub use managers::SerdeCbor;
#[cfg(all(feature = "serde", feature = "json"))]
pub use managers::SerdeJson;
pub(crate) use managers::{all_fixed, decode_inner, encode_inner, same_fixed};
pub use rest::Rest;
pub use schema::{
    Container, Field, Fields, Items, Members, ObjectSchema, ParseSchemaError, Scalar, Schema, Types, Variant, Variants,
};
pub(crate) use schema::{Relation, difference, has_length, hash_text, known_words, relation, show, skip_row};
pub use viewed::{Plain, Viewed};
pub(crate) use words::row_of;
pub use words::{from_words, to_words};
pub(crate) use zero_sized::ZeroSizedLimit;

use crate::os::stack;

/// Storage of a type's values. `#[derive(ShmData)]` writes this for structs and enums. An implementation is also called a data
/// manager, and `DataManager` is another name of this trait.
#[doc(alias = "manager")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored in shared memory",
    label = "no data manager for `{Self}`",
    note = "a type of your own is stored with `#[derive(ShmData)]`",
    note = "a field of another crate's type is stored as another type with `#[shm(as = Type)]`, or by functions with `#[shm(with = path)]`",
    note = "references, pointers, functions, locks and `Instant` mean nothing to another process: store the value itself, `T` instead of `Rc<T>`, `Arc<T>`, `&T` or `Mutex<T>`"
)]
pub trait ShmData: Sized {
    /// The number of words, if it is the same for all values. Lookups by such keys allocate nothing, and array
    /// elements lie side by side.
    const FIXED: Option<usize> = None;

    /// True if [`decode`](Self::decode) may run on words that another process is changing (an optimistic read). It must then
    /// return quickly, without a panic or large allocations, whatever the words are; its result is dropped unless
    /// nothing has changed meanwhile. [`encode`](Self::encode) may then be called while locks are
    /// held. This is true of the managers of this library, and of derived ones unless the type implements `Drop` or has a field
    /// with `#[shm(with = ..)]`, `#[shm(as = ..)]`, `#[shm(skip)]`, or of a type that is not direct. All others get a consistent copy.
    const DIRECT: bool = false;

    /// True if `Default`, `Eq`, `Ord` and `Hash` of the type are known code, of a known library. Unknown code never runs on torn
    /// values.
    #[doc(hidden)]
    const KNOWN: bool = false;

    /// True if this is an array, which is stored without its length and so cannot be looked up as a slice.
    #[doc(hidden)]
    const ARRAY: bool = false;

    /// True if values keep what newer programs have added to them.
    #[doc(hidden)]
    const KEEPS_REST: bool = false;

    /// Bytes of an element in a sequence whose elements lie packed; 0 if they do not.
    #[doc(hidden)]
    const PACKED: usize = 0;

    /// Writes the words of a value. Encoding a value again gives the same words.
    ///
    /// # Errors
    /// If the value has no encoding, as with nesting that is too deep.
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError>;

    /// Reads a value. The words may be anything.
    ///
    /// # Errors
    /// If the words are not those of a value.
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DataError>;

    /// Describes the type. The text is stored in the object and compared when somebody opens it.
    fn schema(types: &mut Types) -> Schema;

    /// Writes the elements of a sequence without its length.
    #[doc(hidden)]
    #[inline]
    fn encode_slice(items: &[Self], out: &mut Encoder<'_>) -> Result<(), DataError> {
        managers::sequences::encode_each(items, out)
    }

    /// Reads `len` elements of a sequence.
    #[doc(hidden)]
    #[inline]
    fn decode_vec(len: usize, input: &mut Decoder<'_>) -> Result<Vec<Self>, DataError> {
        managers::sequences::decode_each(len, input)
    }

    /// Reads as many elements of a sequence as a slice has.
    #[doc(hidden)]
    #[inline]
    fn decode_into(into: &mut [Self], input: &mut Decoder<'_>) -> Result<(), DataError> {
        let items = Self::decode_vec(into.len(), input)?;
        into.iter_mut().zip(items).for_each(|(place, item)| *place = item);
        Ok(())
    }

    /// Reads the elements of an array; in contrast to a sequence, without allocating.
    #[doc(hidden)]
    #[inline]
    fn decode_array<const N: usize>(input: &mut Decoder<'_>) -> Result<[Self; N], DataError> {
        managers::sequences::decode_array_each(input)
    }

    /// Reads a value into a box. Arrays do so without a copy on the stack, which may be too small for them.
    #[doc(hidden)]
    #[inline]
    fn decode_boxed(input: &mut Decoder<'_>) -> Result<Box<Self>, DataError> {
        if size_of::<Self>() > SMALL && !stack::has_room(size_of::<Self>().saturating_mul(COPIES)) {
            let what = "the value in a box is too large to be decoded on this thread's stack; store it as a box of an array or of \
                        a slice, which is decoded on the heap, or read it in a thread with a larger stack";
            return Err(DataError::new(std::any::type_name::<Self>(), what));
        }
        Self::decode(input).map(Box::new)
    }
}

/// Bytes of a value that fits every stack.
const SMALL: usize = 16 << 10;
/// Copies of a value that may lie on the stack at once while it is decoded, in a debug build at worst.
const COPIES: usize = 10;

/// Types that can be keys: equal values have equal words, and different values have different words.
///
/// `#[derive(ShmKey)]` implements this beside `#[derive(ShmData)]`, for types whose fields are keys. Floats are no keys,
/// for `-0.0 == 0.0` and `NAN != NAN`; hash maps and sets are not keys, since equal ones list their elements in different order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key type",
    note = "a type of your own is a key with `#[derive(ShmData, ShmKey, PartialEq, Eq)]`",
    note = "instead of floats, use `f64::to_bits` or whole numbers of a smaller unit; instead of `HashMap` and `HashSet`, `BTreeMap` and `BTreeSet`; instead of `&str`, `String`"
)]
pub trait ShmKey: ShmData + Eq {}

pub use self::ShmData as DataManager;

/// Types that can be passed as a key or value: the type itself, or a borrowed form with the same words,
/// as `str` for `String` and `[T]` for `Vec<T>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be handed to a table",
    label = "neither a value with a data manager nor a borrowed form of one",
    note = "a type of your own is stored with `#[derive(ShmData)]`"
)]
pub trait Encode {
    /// Same as [`DataManager::FIXED`].
    const FIXED: Option<usize>;

    /// True if the words may be written straight into shared memory: not by hand-written managers, unless parts of the value
    /// tell the encoder.
    const DIRECT: bool;

    /// True if this is a slice, whose words begin with its length.
    #[doc(hidden)]
    const SLICE: bool = false;

    /// True if values are words, in private memory as in shared, which known code writes.
    #[doc(hidden)]
    const IS_WORD: bool = false;

    /// Same as in [`DataManager`].
    #[doc(hidden)]
    const KNOWN: bool = true;

    /// Writes the words, as [`DataManager::encode`] does.
    ///
    /// # Errors
    /// Those of [`DataManager::encode`].
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError>;

    /// Writes the words of many values.
    #[doc(hidden)]
    fn encode_many(items: &[Self], out: &mut Encoder<'_>) -> Result<(), DataError>
    where
        Self: Sized,
    {
        items.iter().try_for_each(|item| item.encode(out))
    }
}

#[diagnostic::do_not_recommend]
impl<T: DataManager> Encode for T {
    const FIXED: Option<usize> = T::FIXED;
    const DIRECT: bool = T::DIRECT;
    const IS_WORD: bool = T::KNOWN && matches!((T::FIXED, T::PACKED), (Some(1), 8));
    const KNOWN: bool = T::KNOWN;

    #[inline(always)]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), DataError> {
        DataManager::encode(self, out)
    }

    #[inline]
    fn encode_many(items: &[Self], out: &mut Encoder<'_>) -> Result<(), DataError> {
        T::encode_slice(items, out)
    }
}
