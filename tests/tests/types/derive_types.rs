//! Derived types through real tables: structs, enums, generic and recursive types, and every attribute.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use netshm::data::{DataError, DataManager, Decoder, Encoder, Schema, Types};
use netshm::{HashTable, Locking, ShmData, ShmKey};
use netshm_tests::Scratch;

/// Stores values in a table and reads them from another view of it.
#[track_caller]
fn round_trip<T: ShmData + PartialEq + Debug>(values: &[T]) {
    let object = Scratch::posix("derive");
    let tab: HashTable<u64, T> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    for (key, value) in (0..).zip(values) {
        tab.add(&key, value).unwrap();
    }
    for (key, value) in (0..).zip(values) {
        assert_eq!(tab.find(&key).unwrap().as_ref(), Some(value));
    }
    let schema = Schema::of::<T>();
    assert_eq!(schema.to_string().parse::<Schema>().unwrap(), schema);
    if let Some(words) = T::FIXED {
        assert_eq!(schema.fixed_words(), Some(words as u64), "{schema}");
    }
    assert!(tab.check().unwrap().is_clean());
}

#[derive(ShmData, Debug, Clone, PartialEq, Default)]
struct Session {
    user: u64,
    name: String,
    hits: u32,
}

#[derive(ShmData, ShmKey, Debug, Clone, Copy, PartialEq, Eq)]
struct Point(i32, i32);

#[derive(ShmData, ShmKey, Debug, Clone, PartialEq, Eq)]
struct Nothing;

#[derive(ShmData, Debug, PartialEq)]
struct Pair<A, B> {
    first: A,
    second: B,
    marker: PhantomData<fn() -> A>,
}

#[derive(ShmData, Debug, PartialEq)]
struct Tree<T> {
    value: T,
    children: Vec<Tree<T>>,
    left: Option<Box<Tree<T>>>,
}

#[derive(ShmData, ShmKey, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum State {
    Idle,
    Running {
        since: u64,
        by: String,
    },
    #[shm(index = 9)]
    Failed(i32),
    Stopped,
}

#[derive(ShmData, Debug, Clone, Copy, PartialEq)]
enum Switch {
    Off,
    On,
}

#[derive(ShmData, Debug, PartialEq)]
enum Expression {
    Number(f64),
    Sum(Box<Expression>, Box<Expression>),
    Call { name: String, arguments: Vec<Expression> },
}

#[test]
fn structs() {
    round_trip(&[Session::default(), Session { user: u64::MAX, name: "Grüße".to_owned(), hits: 7 }]);
    round_trip(&[Point(-1, 5), Point(i32::MIN, i32::MAX)]);
    round_trip(&[Nothing]);
    assert_eq!(Schema::of::<Session>().to_string(), "Session { user: u64, name: String, hits: u32 }");
    assert_eq!((Point::FIXED, Session::FIXED, Nothing::FIXED), (Some(2), None, Some(0)));
}

#[test]
fn generic_structs() {
    round_trip(&[Pair { first: 1u8, second: vec!["a".to_owned()], marker: PhantomData }]);
    round_trip(&[Pair { first: Point(1, 2), second: Some(1.5f32), marker: PhantomData }]);
    assert_eq!(<Pair<u8, bool>>::FIXED, Some(2));
}

#[test]
fn recursive_types() {
    let leaf = |value| Tree { value, children: Vec::new(), left: None };
    let tree = Tree { value: 1u16, children: vec![leaf(2), leaf(3)], left: Some(Box::new(leaf(4))) };
    round_trip(&[leaf(0), tree]);
    assert_eq!(Schema::of::<Tree<u8>>().to_string(), "Tree { value: u8, children: Vec<^Tree>, left: Option<^Tree> }");
    let sum = Expression::Sum(Box::new(Expression::Number(1.0)), Box::new(Expression::Number(-0.0)));
    round_trip(&[Expression::Call { name: "sin".to_owned(), arguments: vec![sum, Expression::Number(2.5)] }]);
}

#[test]
fn nesting_has_a_limit() {
    let object = Scratch::posix("derive-deep");
    let tab: HashTable<u64, Tree<u8>> = HashTable::manage(object.open(), Locking::None).unwrap();
    let deep = |levels| {
        (0..levels).fold(Tree { value: 0, children: Vec::new(), left: None }, |inner, value| Tree {
            value,
            children: Vec::new(),
            left: Some(Box::new(inner)),
        })
    };
    tab.add(&1, &deep(100)).unwrap();
    assert_eq!(tab.find(&1).unwrap().unwrap(), deep(100));
    let error = tab.add(&2, &deep(200)).unwrap_err();
    assert!(error.to_string().contains("128"), "{error}");
    assert_eq!(tab.len().unwrap(), 1);
}

#[test]
fn enums() {
    round_trip(&[State::Idle, State::Running { since: 5, by: "me".to_owned() }, State::Failed(-3), State::Stopped]);
    round_trip(&[Switch::Off, Switch::On]);
    assert_eq!(
        Schema::of::<State>().to_string(),
        "enum State { Idle, Running { since: u64, by: String }, 9: Failed(i32), Stopped }"
    );
    assert_eq!((State::FIXED, Switch::FIXED), (None, Some(1)));
}

#[test]
fn keys() {
    let object = Scratch::posix("derive-keys");
    let tab: HashTable<(State, Point), u32> = HashTable::manage(object.open(), Locking::Record).unwrap();
    tab.add(&(State::Idle, Point(1, 2)), &1).unwrap();
    tab.add(&(State::Failed(1), Point(1, 2)), &2).unwrap();
    assert_eq!(tab.find(&(State::Idle, Point(1, 2))).unwrap(), Some(1));
    assert_eq!(tab.find(&(State::Failed(1), Point(1, 2))).unwrap(), Some(2));
    assert_eq!(tab.find(&(State::Failed(2), Point(1, 2))).unwrap(), None);
}

/// Milliseconds in place of a duration.
mod millis {
    use super::*;

    pub(super) fn encode(value: &Duration, out: &mut Encoder<'_>) -> Result<(), DataError> {
        out.put(value.as_millis() as u64)
    }

    pub(super) fn decode(input: &mut Decoder<'_>) -> Result<Duration, DataError> {
        input.get().map(Duration::from_millis)
    }

    pub(super) fn schema(types: &mut Types) -> Schema {
        types.of::<u64>()
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Even(u32);

impl From<Even> for u32 {
    fn from(even: Even) -> u32 {
        even.0
    }
}

impl TryFrom<u32> for Even {
    type Error = ();

    fn try_from(number: u32) -> Result<Even, ()> {
        if number.is_multiple_of(2) { Ok(Even(number)) } else { Err(()) }
    }
}

#[derive(ShmData, Debug, PartialEq)]
#[shm(rename = "Row")]
struct Attributes {
    #[shm(with = millis)]
    timeout: Duration,
    #[shm(with = "millis", rename = "pause-ms")]
    pause: Duration,
    #[shm(as = u32)]
    even: Even,
    #[shm(skip)]
    cache: HashMap<String, std::rc::Rc<u8>>,
    r#type: u8,
}

#[derive(ShmData, ShmKey, Debug, Clone, PartialEq, Eq)]
#[shm(transparent)]
struct Id(u32);

#[test]
fn field_attributes() {
    round_trip(&[Attributes {
        timeout: Duration::from_millis(5),
        pause: Duration::from_secs(1),
        even: Even(4),
        cache: HashMap::new(),
        r#type: 3,
    }]);
    assert_eq!(Schema::of::<Attributes>().to_string(), "Row { timeout: u64, \"pause-ms\": u64, even: u32, type: u8 }");
}

#[derive(ShmData, Debug, PartialEq)]
#[shm(transparent)]
struct Odd {
    #[shm(as = u32)]
    value: Even,
}

#[test]
fn a_conversion_that_fails_is_an_error() {
    let object = Scratch::posix("derive-odd");
    let numbers: HashTable<u64, u32> = HashTable::manage(object.open(), Locking::None).unwrap();
    numbers.add(&1, &7).unwrap();
    let tab: HashTable<u64, Odd> = HashTable::manage(object.open(), Locking::None).unwrap();
    let error = tab.find(&1).unwrap_err();
    assert!(error.to_string().contains("Even") && error.to_string().contains("cannot be made"), "{error}");
}

#[test]
fn transparent_structs_are_stored_as_their_field() {
    round_trip(&[Id(5)]);
    round_trip(&[vec![Id(5), Id(6), Id(7)]]);
    round_trip(&[[Id(1), Id(2), Id(3)]]);
    assert_eq!(Schema::of::<Vec<Id>>().to_string(), "Vec<u32>");
    let object = Scratch::posix("derive-transparent");
    let ids: HashTable<Id, Vec<Id>> = HashTable::manage(object.open(), Locking::None).unwrap();
    ids.add(&Id(1), &vec![Id(2), Id(3), Id(4)]).unwrap();
    drop(ids);
    let plain: HashTable<u32, Vec<u32>> = HashTable::manage(object.open(), Locking::None).unwrap();
    assert_eq!(plain.find(&1).unwrap(), Some(vec![2, 3, 4]));
}

trait Family {
    type Member;
}

#[derive(Debug, PartialEq)]
struct Birds;

impl Family for Birds {
    type Member = String;
}

#[derive(ShmData, Debug, PartialEq)]
struct Flock<F: Family> {
    members: Vec<F::Member>,
    by_name: BTreeMap<String, u8>,
}

#[test]
fn bounds_follow_from_the_fields() {
    let object = Scratch::posix("derive-bounds");
    let tab: HashTable<u64, Flock<Birds>> = HashTable::manage(object.open(), Locking::None).unwrap();
    let flock = Flock { members: vec!["finch".to_owned()], by_name: BTreeMap::from([("a".to_owned(), 1)]) };
    tab.add(&1, &flock).unwrap();
    assert_eq!(tab.find(&1).unwrap().unwrap().members, flock.members);
}

#[test]
fn types_inside_functions_and_macros() {
    macro_rules! define {
        ($name:ident { $($field:ident: $type:ty),* }) => {
            #[derive(ShmData, Debug, PartialEq)]
            struct $name { $($field: $type),* }
        };
    }
    define!(Local { __out: u8, __input: u16, __types: String, r#fn: bool });
    round_trip(&[Local { __out: 1, __input: 2, __types: "x".to_owned(), r#fn: true }]);
}

/// Without the usual names, and with every lint that there is.
mod bare {
    #![no_implicit_prelude]
    #![deny(warnings, clippy::pedantic, clippy::all)]

    #[derive(::netshm::ShmData, ::netshm::ShmKey, ::std::cmp::PartialEq, ::std::cmp::Eq, ::std::fmt::Debug)]
    pub(super) struct Plain<T> {
        pub(super) value: T,
        pub(super) other: ::std::option::Option<u8>,
    }

    #[derive(::netshm::ShmData, ::std::cmp::PartialEq, ::std::fmt::Debug)]
    pub(super) enum Choice {
        None,
        Some(u8),
        Ok { result: ::std::string::String },
    }

    #[derive(::netshm::ShmData, ::std::cmp::PartialEq, ::std::fmt::Debug)]
    #[shm(transparent)]
    pub(super) struct Wrapped(pub(super) u8);
}

#[test]
fn generated_code_needs_no_names() {
    round_trip(&[bare::Plain { value: 5u8, other: Some(6) }]);
    round_trip(&[bare::Choice::None, bare::Choice::Some(3), bare::Choice::Ok { result: "x".to_owned() }]);
    round_trip(&[vec![bare::Wrapped(1), bare::Wrapped(2)]]);
}

mod renamed {
    pub(super) use netshm as other;
}

#[derive(ShmData, ShmKey, Debug, PartialEq, Eq)]
#[shm(crate = renamed::other, bound = "T: renamed::other::ShmKey")]
struct Elsewhere<T> {
    value: T,
}

#[test]
fn the_library_can_have_another_name() {
    round_trip(&[Elsewhere { value: 3u8 }]);
}

/// A key only if what it holds is.
#[derive(ShmData, ShmKey, Debug, Clone, PartialEq, Eq)]
struct Path<T> {
    steps: Vec<T>,
}

#[test]
fn generic_keys() {
    let scratch = Scratch::posix("derive");
    let table: HashTable<Path<u16>, u8> = HashTable::manage(scratch.open(), Locking::Futex).unwrap();
    table.add(&Path { steps: vec![1, 2] }, &7).unwrap();
    assert_eq!(table.find(&Path { steps: vec![1, 2] }).unwrap(), Some(7));
    assert_eq!(table.find(&Path { steps: vec![2, 1] }).unwrap(), None);
}

#[derive(ShmData, Debug, Clone, PartialEq)]
#[shm(transparent)]
struct Nest(Vec<Nest>);

#[derive(ShmData, Debug, Clone, PartialEq)]
#[shm(transparent, crate = netshm)]
struct Ping {
    pongs: Vec<Pong>,
}

#[derive(ShmData, Debug, Clone, PartialEq)]
#[shm(transparent)]
struct Pong(Option<Box<Ping>>);

#[derive(ShmData, Debug, Clone, PartialEq)]
#[shm(transparent)]
struct Link(Option<Box<Node>>);

#[derive(ShmData, Debug, Clone, PartialEq)]
struct Node {
    number: u8,
    next: Link,
}

#[test]
fn transparent_structs_within_themselves_have_a_name() {
    assert_eq!(Schema::of::<Nest>().to_string(), "Nest(Vec<^Nest>)");
    assert_eq!(Schema::of::<(Nest, Nest)>().to_string(), "(Nest(Vec<^Nest>), Nest(Vec<^Nest>))");
    assert_eq!(Schema::of::<Ping>().to_string(), "Ping(Vec<Option<^Ping>>)");
    assert_eq!(Schema::of::<Pong>().to_string(), "Pong(Option<Vec<^Pong>>)");
    // With a struct between there is something to refer to.
    assert_eq!(Schema::of::<Link>().to_string(), "Option<Node { number: u8, next: Option<^Node> }>");
    let nest = Nest(vec![Nest(vec![]), Nest(vec![Nest(vec![])])]);
    round_trip(&[nest.clone(), Nest(vec![])]);
    round_trip(&[Ping { pongs: vec![Pong(None), Pong(Some(Box::new(Ping { pongs: vec![] })))] }]);
    round_trip(&[Link(Some(Box::new(Node { number: 1, next: Link(None) })))]);
    let object = Scratch::posix("derive-nest");
    let typed: HashTable<u64, Nest> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    typed.add(&1, &nest).unwrap();
    let table = netshm::dynamic::DynTable::open(object.open()).unwrap();
    let read = table.find(&1.into()).unwrap().unwrap();
    table.add(&2.into(), &read).unwrap();
    assert_eq!(typed.find(&2).unwrap(), Some(nest));
}

/// Runs `test` on a small stack.
fn with_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(512 << 10).spawn(test).unwrap().join().unwrap();
}

#[test]
fn boxed_arrays_do_not_pass_over_the_stack() {
    #[track_caller]
    fn check<T: ShmData + PartialEq, const N: usize>(make: impl Fn(usize) -> T + Send + 'static) {
        with_small_stack(move || {
            let items: Vec<T> = (0..N).map(make).collect();
            let boxed: Box<[T; N]> = items.into_boxed_slice().try_into().ok().unwrap();
            let object = Scratch::posix("derive-boxed");
            let tab: HashTable<u64, Box<[T; N]>> = HashTable::manage(object.open(), Locking::Futex).unwrap();
            tab.add(&1, &boxed).unwrap();
            assert!(tab.find(&1).unwrap().as_ref() == Some(&boxed));
            assert!(tab.pop(&1).unwrap().as_ref() == Some(&boxed));
        });
    }
    check::<u64, 200_000>(|i| i as u64);
    check::<u8, 2_000_000>(|i| i as u8);
    check::<bool, 2_000_000>(|i| i % 3 == 0);
    check::<Option<u64>, 100_000>(|i| (i % 2 == 0).then_some(i as u64));
    check::<String, 100_000>(|i| "x".repeat(i % 3));
    check::<Point, 200_000>(|i| Point(i as i32, -1));
}

/// A box is decoded on the stack unless it holds an array: what does not fit there is an error.
#[test]
fn a_boxed_struct_that_is_too_large_for_the_stack_is_an_error() {
    #[derive(ShmData, Debug, Clone, PartialEq)]
    struct Large {
        numbers: [u64; 20_000],
        last: u64,
    }

    fn in_thread<R: Send>(stack: usize, body: impl FnOnce() -> R + Send) -> R {
        std::thread::scope(|scope| {
            std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, body).unwrap().join().unwrap()
        })
    }

    let object = Scratch::posix("derive");
    let tab: HashTable<u64, Box<Large>> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    in_thread(32 << 20, || tab.add(&1, &Box::new(Large { numbers: [3; 20_000], last: 4 })).unwrap());
    let error = in_thread(512 << 10, || tab.find(&1).map(drop)).unwrap_err();
    assert!(error.to_string().contains("too large to be decoded on this thread's stack"), "{error}");
    let last = in_thread(2 << 20, || tab.find(&1).unwrap().map(|large| large.last));
    assert_eq!(last, Some(4));
}
