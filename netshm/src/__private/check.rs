//! What generated code asks of the types that it finds: a trait for each question, which holds the message.

use std::marker::PhantomData;

use crate::data::with::shared::Shares;
use crate::data::{ShmData, ShmKey};
use crate::error::Error;

/// A trait of all types that implement `$known`, with a message for the others.
macro_rules! question {
    ($(#[$message:meta])* $name:ident: $known:path) => {
        $(#[$message])*
        pub trait $name {
            const ASKED: () = ();
        }

        #[diagnostic::do_not_recommend]
        impl<T: $known> $name for T {}
    };
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "it counts the references of this process only",
        note = "store the value itself: `T` or `Box<T>` instead of `Rc<T>` or `Arc<T>`; or write `#[shm(shared)]` before the field, which stores what it points to"
    )]
    SharedOwner: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "locks and cells of this process mean nothing to another one",
        note = "store the value itself: `T` instead of `Mutex<T>`, `RwLock<T>`, `Cell<T>` or `RefCell<T>`, `u64` instead of `AtomicU64`",
        note = "the table has locks of its own: `update` and `group!` change a value as one step"
    )]
    SharedCell: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "a reference points into the memory of this process",
        note = "store the value itself: `String` instead of `&str`, `Vec<T>` instead of `&[T]`, `T` or `Box<T>` instead of `&T`"
    )]
    SharedReference: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "an address means nothing to another process",
        note = "store the value itself, or what finds it: a key or an index"
    )]
    SharedPointer: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "code of this process means nothing to another one",
        note = "store what tells the function apart, as an enum with `#[derive(ShmData)]`, and call the function that belongs to it"
    )]
    SharedFunction: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "an `Instant` means nothing to another process",
        note = "store a point in time as `SystemTime`, and the time between two as `Duration`"
    )]
    SharedInstant: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "what `{Self}` points to cannot be stored in shared memory",
        label = "`shared` stores the value behind the pointer, and that has no data manager",
        note = "a type of your own is stored with `#[derive(ShmData)]`",
        note = "of locks, cells and atomics store the value itself: `Arc<T>` instead of `Arc<Mutex<T>>`"
    )]
    SharedContents: Shares
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not stored by itself",
        label = "keeps what newer programs have added to the values of a type",
        note = "mark the last field of a struct with `#[shm(rest)]`, or a variant with `#[shm(other)]`; the type needs `#[shm(extensible)]`"
    )]
    SharedRest: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "what is inside needs `serde::Serialize` and `serde::Deserialize`",
        note = "derive both for it: `#[derive(serde::Serialize, serde::Deserialize)]`; a type of your own needs no serde, but `#[derive(ShmData)]`"
    )]
    SharedSerde: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "nothing tells another process which type is behind a `dyn`",
        note = "store an enum of the types that there are, with `#[derive(ShmData)]`"
    )]
    SharedObject: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "its keys, or elements, need `Eq` and `Hash`",
        note = "derive both for their type: `#[derive(PartialEq, Eq, Hash)]`; floats have neither: store `to_bits()` of them"
    )]
    HashedContainer: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be stored in shared memory",
        label = "its keys, or elements, need `Ord`",
        note = "derive it for their type: `#[derive(PartialEq, Eq, PartialOrd, Ord)]`; floats have no order of all values: store `to_bits()` of them"
    )]
    OrderedContainer: ShmData
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be a key",
        label = "floats are no keys: `-0.0 == 0.0`, and `NAN != NAN`",
        note = "store `to_bits()` of it as `u64` or `u32`, or a whole number of a smaller unit"
    )]
    FloatKey: ShmKey
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be a key",
        label = "equal hash maps and sets list their entries in different order",
        note = "use `BTreeMap` instead of `HashMap`, `BTreeSet` instead of `HashSet`"
    )]
    HashedKey: ShmKey
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` has no default",
        label = "this needs a default of `{Self}`",
        note = "write one, `#[shm(default = expression)]`, or implement `Default` for `{Self}`"
    )]
    FieldDefault: Default
}

question! {
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be the error of a group",
        label = "an error of netshm cannot become `{Self}`",
        note = "implement `From<netshm::Error>` for `{Self}`, as `#[from]` of thiserror does, or require it of a type parameter",
        note = "without an error type, `group!(tab => {{ .. }})`, a group fails with `netshm::Error`"
    )]
    GroupFailure: From<Error>
}

/// Never implemented. A key type with a field that cannot be in a key is implemented under this condition, so that the
/// compiler does not report what else it lacks.
pub trait OnlyKeys<'a>: ShmData + Eq {}

/// All types that can be stored, as a condition under which the compiler does not ask whether a key type can be.
pub trait IfStored<'a>: ShmData {}

#[diagnostic::do_not_recommend]
impl<T: ShmData> IfStored<'_> for T {}

/// The question whether a key type can be stored, which is asked only if it has `Eq`: what lacks both is one error.
#[derive(Debug)]
pub struct Comparable<T>(PhantomData<T>);

impl<T: Eq> Comparable<T> {
    pub fn stored<P: ShmData>() {}
}

/// Fallback where it is not asked.
pub trait NotComparable {
    fn stored<P>() {}
}

impl<T> NotComparable for Comparable<T> {}

/// Types that fields of type `T` can be stored as.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be stored as `{Self}`",
    label = "needs conversions between `{T}` and `{Self}`",
    note = "`as` asks for `#[derive(Clone)]` on `{T}`, for `impl From<{T}> for {Self}` to store it, and for `impl From<{Self}> for {T}` or `TryFrom` to read it"
)]
pub trait StandsFor<T> {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Into<S> + TryFrom<S>, S> StandsFor<T> for S {}

/// Questions about the parts of a container, which are asked only if the whole cannot be stored.
#[derive(Debug)]
pub struct Whole<T>(PhantomData<T>);

// Written out, as the compiler would tell about a macro in each message.
impl<T: ShmData> Whole<T> {
    pub fn data<P: ?Sized>() {}
    pub fn owner<P: ?Sized>() {}
    pub fn cell<P: ?Sized>() {}
    pub fn reference<P: ?Sized>() {}
    pub fn pointer<P: ?Sized>() {}
    pub fn function<P: ?Sized>() {}
    pub fn instant<P: ?Sized>() {}
    pub fn rest<P: ?Sized>() {}
    pub fn object<P: ?Sized>() {}
    pub fn serde<P: ?Sized>() {}
}

/// Fallback that is asked if the whole cannot be stored.
pub trait NotWhole {
    fn data<P: ShmData>() {}
    fn owner<P: SharedOwner>() {}
    fn cell<P: SharedCell>() {}
    fn reference<P: SharedReference>() {}
    fn pointer<P: SharedPointer>() {}
    fn function<P: SharedFunction>() {}
    fn instant<P: SharedInstant>() {}
    fn rest<P: SharedRest>() {}
    fn object<P: SharedObject>() {}
    fn serde<P: SharedSerde>() {}
}

impl<T> NotWhole for Whole<T> {}

/// The question about a container, which is asked only if all of its parts can be stored.
#[derive(Debug)]
pub struct Parts<P>(PhantomData<P>);

impl<P: ShmData> Parts<P> {
    pub fn whole<T: ShmData>() {}
    pub fn hashed<T: HashedContainer>() {}
    pub fn ordered<T: OrderedContainer>() {}
}

/// Fallback where it is not asked.
pub trait NoParts {
    fn whole<T>() {}
    fn hashed<T>() {}
    fn ordered<T>() {}
}

impl<P> NoParts for Parts<P> {}

/// Questions about a key's part, and about a type that stands for another, which are asked only if it can be stored.
#[derive(Debug)]
pub struct Stored<T>(PhantomData<T>);

impl<T: ShmData> Stored<T> {
    pub fn key<P: ShmKey>() {}
    pub fn float<P: FloatKey>() {}
    pub fn hashed<P: HashedKey>() {}
    pub fn stands_for<F, P: StandsFor<F>>() {}
}

/// Fallback where they are not asked.
pub trait NotStored {
    fn key<P>() {}
    fn float<P>() {}
    fn hashed<P>() {}
    fn stands_for<F, P>() {}
}

impl<T> NotStored for Stored<T> {}
