//! Types that grow wherever they stand, and what programs keep of what they do not know.

use std::collections::BTreeMap;

use netshm::dynamic::{DynArray, DynTable, Value};
use netshm::{Array, Error, HashTable, Locking, Result, ShmData};
use netshm_tests::Scratch;

/// Two versions of types that grow, in all places.
macro_rules! version {
    ($name:ident: { $($field:tt)* } { $($variant:tt)* } { $($outer:tt)* }) => {
        mod $name {
            use std::collections::BTreeMap;

            #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
            #[shm(extensible)]
            pub(super) struct Part {
                pub(super) street: String,
                pub(super) number: u8,
                $($field)*
            }

            #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
            #[shm(extensible)]
            pub(super) enum State {
                Idle,
                Busy { since: u64, at: Part },
                $($variant)*
            }

            #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
            #[shm(extensible)]
            pub(super) struct Tree {
                pub(super) label: u64,
                pub(super) children: Vec<Tree>,
                pub(super) twin: Option<Box<Tree>>,
                $($field)*
            }

            #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
            #[shm(extensible)]
            pub(super) struct Around<T> {
                pub(super) content: T,
                $($field)*
            }

            #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
            pub(super) struct Closed {
                pub(super) before: Part,
                pub(super) after: u64,
            }

            #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
            pub(super) struct Row {
                pub(super) all: Vec<Part>,
                pub(super) one: Option<Part>,
                pub(super) named: BTreeMap<String, Part>,
                pub(super) boxed: Box<Part>,
                pub(super) last: (u8, Part),
                pub(super) both: [Part; 2],
                pub(super) outcome: std::result::Result<Part, Part>,
                pub(super) states: Vec<State>,
                pub(super) tree: Tree,
                pub(super) around: Around<Vec<Part>>,
                pub(super) closed: Vec<Closed>,
                pub(super) owner: u64,
                $($outer)*
            }
        }
    };
}
version!(old: {} {} {});
version!(new: { #[shm(default = 7)] pub(super) zip: u32, #[shm(default)] pub(super) more: Vec<String>, }
    { Failed(String), }
    { #[shm(default)] pub(super) outer: u64, });

fn old_part(number: u8) -> old::Part {
    old::Part { street: "street".repeat(usize::from(number)), number }
}

/// Returns a part, with what the new version knows if `is_new` is true.
fn new_part(number: u8, is_new: bool) -> new::Part {
    let (zip, more) = if is_new { (u32::from(number) * 100, vec!["more".to_owned(); 2]) } else { (7, vec![]) };
    new::Part { street: "street".repeat(usize::from(number)), number, zip, more }
}

macro_rules! row {
    ($version:ident, |$number:ident| $part:expr, { $($more:tt)* } { $($outer:tt)* }) => {{
        use $version::{Around, Closed, Row, State, Tree};
        let part = |$number: u8| $part;
        let leaf = |label| Tree { label, children: vec![], twin: None, $($more)* };
        Row {
            all: (0..3).map(part).collect(),
            one: Some(part(3)),
            named: BTreeMap::from([("a".to_owned(), part(4)), ("b".to_owned(), part(5))]),
            boxed: Box::new(part(6)),
            last: (1, part(7)),
            both: [part(8), part(9)],
            outcome: Err(part(10)),
            states: vec![State::Idle, State::Busy { since: 1, at: part(11) }, State::Idle],
            tree: Tree {
                label: 1,
                children: vec![leaf(2), Tree { label: 3, children: vec![leaf(4)], twin: None, $($more)* }],
                twin: Some(Box::new(leaf(5))),
                $($more)*
            },
            around: Around { content: vec![part(12)], $($more)* },
            closed: vec![Closed { before: part(13), after: 99 }; 2],
            owner: 42,
            $($outer)*
        }
    }};
}

fn old_row() -> old::Row {
    row!(old, |number| old_part(number), {} {})
}

fn new_row(is_new: bool) -> new::Row {
    let (zip, more) = if is_new { (5, vec!["x".to_owned()]) } else { (7, vec![]) };
    row!(new, |number| new_part(number, is_new), { zip, more: more.clone() } { outer: if is_new { 3 } else { 0 } })
}

fn open<V: ShmData>(object: &Scratch) -> HashTable<u64, V> {
    HashTable::manage(object.open(), Locking::Futex).unwrap()
}

#[test]
fn types_grow_wherever_they_stand() {
    let object = Scratch::posix("extensible-all");
    let one = open::<old::Row>(&object);
    one.add(&1, &old_row()).unwrap();
    let two = open::<new::Row>(&object);
    assert_eq!(two.find(&1).unwrap(), Some(new_row(false)));
    two.add(&2, &new_row(true)).unwrap();
    assert_eq!(two.find(&2).unwrap(), Some(new_row(true)));
    // Both ways, whoever opens it when.
    for one in [one, open(&object)] {
        assert_eq!(one.find(&1).unwrap(), Some(old_row()));
        assert_eq!(one.find(&2).unwrap(), Some(old_row()));
        assert_eq!(one.values().collect::<Result<Vec<_>>>().unwrap(), [old_row(), old_row()]);
        assert!(one.check().unwrap().is_clean());
    }
    assert!(two.check().unwrap().is_clean());
    let stored = two.shm().describe().unwrap().schema.to_string();
    assert!(
        stored.contains("Extensible<Part { street: String, number: u8, zip?: u32, more?: Vec<String> }>"),
        "{stored}"
    );
    // A program of either type finds the extended one.
    drop(two);
    assert_eq!(open::<new::Row>(&object).find(&2).unwrap(), Some(new_row(true)));
}

#[test]
fn the_outermost_type_may_be_marked_too() {
    let object = Scratch::posix("extensible-outermost");
    let one = open::<old::Part>(&object);
    one.add(&1, &old_part(1)).unwrap();
    let two = open::<new::Part>(&object);
    two.replace(&1, &new_part(1, true)).unwrap();
    // It is longer, it is shorter, it is large: the rest goes over.
    for number in [0, 2, 1, 200, 3] {
        one.replace(&1, &old_part(number)).unwrap();
        let expected = new::Part { number, street: "street".repeat(number.into()), ..new_part(1, true) };
        assert_eq!(two.find(&1).unwrap(), Some(expected));
        assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
    }
    let one = open::<old::Tree>(&Scratch::posix("extensible-tree"));
    one.add(&1, &old::Tree { label: 1, children: vec![old::Tree::default()], twin: None }).unwrap();
    let two: HashTable<u64, new::Tree> = HashTable::manage(one.shm().clone(), Locking::Futex).unwrap();
    two.update(&1, |tree| tree.map(|tree| new::Tree { zip: 1, ..tree })).unwrap();
    one.update(&1, |tree| tree.map(|tree| old::Tree { label: 2, ..tree })).unwrap();
    let tree = two.find(&1).unwrap().unwrap();
    assert_eq!((tree.label, tree.zip, tree.children[0].zip), (2, 1, 7));
}

#[test]
fn a_type_that_contains_itself_grows_if_it_is_marked() {
    let schema = netshm::data::Schema::of::<old::Tree>().to_string();
    assert_eq!(
        schema,
        "Extensible<Tree { label: u64, children: Vec<Extensible<^Tree>>, twin: Option<Extensible<^Tree>> }>"
    );
}

#[test]
fn elements_of_arrays_grow() {
    let object = Scratch::posix("extensible-array");
    let old_array = || Array::manage(object.open(), old_part(1), Locking::Futex).unwrap();
    let new_array = || Array::manage(object.open(), new_part(1, false), Locking::Futex).unwrap();
    let one = old_array();
    one.resize(10).unwrap();
    one.set(3, &old_part(3)).unwrap();
    let two = new_array();
    let found = two.scan().skip(2).take(3).collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(found, [new_part(1, false), new_part(3, false), new_part(1, false)]);
    two.set(4, &new_part(4, true)).unwrap();
    for (one, two) in [(one, two), (old_array(), new_array())] {
        assert_eq!((0..10).map(|i| one.get(i).unwrap().number).sum::<u8>(), 8 + 3 + 4);
        assert_eq!(two.get(4).unwrap(), new_part(4, true));
        assert_eq!(two.get(0).unwrap(), new_part(1, false));
        one.set(5, &old_part(1)).unwrap();
        assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
    }
    // Another default than that of the object.
    let other = Array::manage(object.open(), new_part(2, true), Locking::Futex);
    assert!(matches!(other, Err(Error::SchemaMismatch { .. })), "{other:?}");
}

/// As `old::Part` and `old::State`, but for what they keep.
mod keeping {
    use netshm::Rest;

    #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
    #[shm(extensible)]
    pub(super) struct Part {
        pub(super) street: String,
        pub(super) number: u8,
        #[shm(rest)]
        pub(super) rest: Rest,
    }

    #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
    #[shm(extensible)]
    pub(super) enum State {
        Idle,
        Busy {
            since: u64,
            at: Part,
        },
        #[shm(other)]
        Other(Rest),
    }
}

#[test]
fn what_a_program_keeps_goes_wherever_it_goes() {
    let object = Scratch::posix("extensible-rest");
    let two: HashTable<u64, (Vec<new::Part>, Vec<new::State>)> = open(&object);
    let failed = || new::State::Failed("tired".to_owned());
    two.add(&1, &(vec![new_part(1, true), new_part(2, false)], vec![failed(), new::State::Idle])).unwrap();
    // Created by the new type.
    let keeping: HashTable<u64, (Vec<keeping::Part>, Vec<keeping::State>)> = open(&object);
    let row = keeping.pop(&1).unwrap().unwrap();
    keeping.add(&2, &row).unwrap();
    assert_eq!(two.find(&2).unwrap().unwrap().0, [new_part(1, true), new_part(2, false)]);
    assert!(keeping.check().unwrap().is_clean() && two.check().unwrap().is_clean());
    object.name().unlink().unwrap();
    // As before, but begun by the old type.
    let keeping: HashTable<u64, (Vec<keeping::Part>, Vec<keeping::State>)> = open(&object);
    keeping.add(&0, &(vec![], vec![])).unwrap();
    let two: HashTable<u64, (Vec<new::Part>, Vec<new::State>)> = open(&object);
    two.add(&1, &(vec![new_part(1, true), new_part(2, false)], vec![failed(), new::State::Idle])).unwrap();
    let (mut parts, mut states) = keeping.pop(&1).unwrap().unwrap();
    assert!(!parts[0].rest.is_empty() && matches!(states[0], keeping::State::Other(_)));
    parts.rotate_left(1);
    states.push(keeping::State::Busy { since: 1, at: parts[1].clone() });
    keeping.add(&2, &(parts, states)).unwrap();
    let (parts, states) = two.find(&2).unwrap().unwrap();
    assert_eq!(parts, [new_part(2, false), new_part(1, true)]);
    assert_eq!(states, [failed(), new::State::Idle, new::State::Busy { since: 1, at: new_part(1, true) }]);
    assert!(keeping.check().unwrap().is_clean() && two.check().unwrap().is_clean());
    // A variant that was read from nowhere is none.
    let nothing = keeping.add(&3, &(vec![], vec![keeping::State::Other(netshm::Rest::default())]));
    assert!(matches!(nothing, Err(Error::Decode { .. })));
}

#[test]
fn the_outermost_type_keeps_its_rest_once() {
    let object = Scratch::posix("extensible-rest-outermost");
    let keeping = open::<keeping::Part>(&object);
    keeping.add(&1, &keeping::Part::default()).unwrap();
    let two = open::<new::Part>(&object);
    two.replace(&1, &new_part(1, true)).unwrap();
    keeping.update(&1, |part| part.map(|part| keeping::Part { number: 9, ..part })).unwrap();
    assert_eq!(two.find(&1).unwrap(), Some(new::Part { number: 9, ..new_part(1, true) }));
}

#[test]
fn objects_are_read_and_written_by_their_schema() {
    let object = Scratch::posix("extensible-dynamic");
    let one = open::<old::Row>(&object);
    one.add(&1, &old_row()).unwrap();
    let dynamic = DynTable::open(object.open()).unwrap();
    let first = dynamic.find(&Value::from(1)).unwrap().unwrap();
    let two = open::<new::Row>(&object);
    two.add(&2, &new_row(true)).unwrap();
    let [third, second] = [1, 2].map(|key| dynamic.find(&Value::from(key)).unwrap().unwrap());
    for (key, value) in [(3, &first), (4, &third), (5, &second)] {
        dynamic.add(&Value::from(key), value).unwrap();
    }
    for (key, is_new) in [(3, false), (4, false), (5, true)] {
        assert_eq!(two.find(&key).unwrap(), Some(new_row(is_new)), "{key}");
    }
    assert!(dynamic.check().unwrap().is_clean());
    let array = Scratch::posix("extensible-dynamic-array");
    let typed = Array::manage(array.open(), new_part(1, true), Locking::Futex).unwrap();
    typed.resize(2).unwrap();
    let dynamic = DynArray::open(array.open()).unwrap();
    dynamic.set(1, &dynamic.get(0).unwrap()).unwrap();
    assert_eq!(typed.get(1).unwrap(), new_part(1, true));
    // As before, but extended while it is open.
    let array = Scratch::posix("extensible-dynamic-array");
    let one = Array::manage(array.open(), old_part(1), Locking::Futex).unwrap();
    one.resize(3).unwrap();
    let dynamic = DynArray::open(array.open()).unwrap();
    let default = dynamic.get(0).unwrap();
    let two = Array::manage(array.open(), new_part(1, false), Locking::Futex).unwrap();
    two.set(1, &new_part(1, true)).unwrap();
    dynamic.set(2, &dynamic.get(1).unwrap()).unwrap();
    dynamic.set(0, &default).unwrap();
    let found = two.scan().collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(found, [new_part(1, false), new_part(1, true), new_part(1, true)]);
    assert!(dynamic.check().unwrap().is_clean());
}

#[test]
fn unknown_variants_are_no_damage_wherever_they_stand() {
    let object = Scratch::posix("extensible-variants");
    let one = Array::manage(object.open(), old::State::Idle, Locking::Futex).unwrap();
    one.resize(3).unwrap();
    let two = Array::manage(object.open(), new::State::Idle, Locking::Futex).unwrap();
    two.set(1, &new::State::Failed("tired".to_owned())).unwrap();
    assert!(matches!(one.get(1), Err(Error::Decode { .. })));
    assert_eq!(one.get(2).unwrap(), old::State::Idle);
    assert!(one.check().unwrap().is_clean() && two.check().unwrap().is_clean());
    let inside = Scratch::posix("extensible-variants-inside");
    let (one, two) = (open::<Vec<old::State>>(&inside), open::<Vec<new::State>>(&inside));
    one.add(&1, &vec![old::State::Idle]).unwrap();
    two.add(&2, &vec![new::State::Failed("tired".to_owned())]).unwrap();
    assert_eq!(one.scan().filter_map(Result::ok).count(), 1);
    assert!(one.check().unwrap().is_clean());
}

#[test]
fn both_programs_may_know_what_the_other_does_not() {
    mod left {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
        #[shm(extensible)]
        pub(super) struct A {
            pub(super) a: u8,
            #[shm(default)]
            pub(super) more: u8,
        }
        #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
        #[shm(extensible)]
        pub(super) struct B {
            pub(super) b: u8,
        }
    }
    mod right {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
        #[shm(extensible)]
        pub(super) struct A {
            pub(super) a: u8,
        }
        #[derive(netshm::ShmData, Debug, PartialEq, Clone, Default)]
        #[shm(extensible)]
        pub(super) struct B {
            pub(super) b: u8,
            #[shm(default)]
            pub(super) more: String,
        }
    }
    let object = Scratch::posix("extensible-both");
    open::<(right::A, left::B)>(&object).add(&0, &Default::default()).unwrap();
    let left = open::<(left::A, left::B)>(&object);
    let right = open::<(right::A, right::B)>(&object);
    left.add(&1, &(left::A { a: 1, more: 2 }, left::B { b: 3 })).unwrap();
    right.add(&2, &(right::A { a: 1 }, right::B { b: 3, more: "x".to_owned() })).unwrap();
    assert_eq!(left.find(&2).unwrap(), Some((left::A { a: 1, more: 0 }, left::B { b: 3 })));
    assert_eq!(right.find(&1).unwrap(), Some((right::A { a: 1 }, right::B { b: 3, more: String::new() })));
    let stored = left.shm().describe().unwrap().schema.to_string();
    assert_eq!(stored, "HashTable<u64, (Extensible<A { a: u8, more?: u8 }>, Extensible<B { b: u8, more?: String }>)>");
    let all = open::<(left::A, right::B)>(&object);
    assert_eq!(all.find(&2).unwrap().unwrap().1.more, "x");
    assert!(left.check().unwrap().is_clean() && right.check().unwrap().is_clean());
}

#[test]
fn keys_and_what_is_not_marked_do_not_grow() {
    mod keys {
        #[derive(netshm::ShmData, netshm::ShmKey, Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
        #[shm(extensible)]
        pub(super) struct Key {
            pub(super) a: u8,
        }
    }
    mod longer {
        #[derive(netshm::ShmData, netshm::ShmKey, Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
        #[shm(extensible)]
        pub(super) struct Key {
            pub(super) a: u8,
            #[shm(default)]
            pub(super) b: u8,
        }
    }
    let object = Scratch::posix("extensible-key");
    let tab: HashTable<keys::Key, BTreeMap<keys::Key, u8>> = HashTable::manage(object.open(), Locking::Futex).unwrap();
    let key = keys::Key { a: 1 };
    tab.add(&key, &BTreeMap::from([(key.clone(), 1)])).unwrap();
    assert_eq!(tab.find(&key).unwrap().unwrap()[&key], 1);
    let longer = HashTable::<longer::Key, BTreeMap<keys::Key, u8>>::manage(object.open(), Locking::Futex);
    assert!(matches!(longer, Err(Error::SchemaMismatch { .. })));
    let longer = HashTable::<keys::Key, BTreeMap<longer::Key, u8>>::manage(object.open(), Locking::Futex);
    assert!(matches!(longer, Err(Error::SchemaMismatch { .. })));
}
