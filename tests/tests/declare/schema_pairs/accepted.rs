//! Pairs of which each program reads what the other writes.

use netshm::Shm;

use super::{Values, start};

macro_rules! pairs {
    ($($name:ident {
        old { $($old:tt)* } $old_type:ty;
        new { $($new:tt)* } $new_type:ty;
        $($field:ident: $value:expr,)*
    })*) => {
        $(
            #[allow(dead_code, unused_imports, clippy::box_collection)]
            mod $name {
                use super::Values;
                mod part {
                    pub(super) use std::collections::{BTreeMap, HashMap, VecDeque};
                }
                use part::*;
                pub(super) mod old {
                    use super::part::*;
                    $($old)*
                    pub(crate) type Value = $old_type;
                }
                pub(super) mod new {
                    use super::part::*;
                    $($new)*
                    pub(crate) type Value = $new_type;
                }
                pub(super) fn values() -> Values<old::Value, new::Value> {
                    Values { $($field: $value,)* }
                }
                #[test]
                fn pair() {
                    values().test(&|object| super::start(stringify!($name), object));
                }
            }
        )*

        pub(super) fn old_program(pair: &str, shm: Shm) {
            match pair {
                $(stringify!($name) => $name::values().old_program(shm),)*
                other => panic!("no pair {other}"),
            }
        }
    };
}

/// A version of a struct or enum.
macro_rules! of {
    ($(#[$meta:meta])* struct $($rest:tt)*) => {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
        $(#[$meta])*
        pub(crate) struct $($rest)*
    };
    ($(#[$meta:meta])* enum $($rest:tt)*) => {
        #[derive(netshm::ShmData, Debug, PartialEq, Clone)]
        $(#[$meta])*
        pub(crate) enum $($rest)*
    };
}

/// Two versions of `Part`, which is extensible.
macro_rules! parts {
    (old) => {
        of! { #[shm(extensible)] struct Part { pub(crate) a: u8 } }
    };
    (new) => {
        of! { #[shm(extensible)] struct Part { pub(crate) a: u8, #[shm(default = "b".to_owned())] pub(crate) b: String } }
    };
}

/// Values of `Part`: of the old version, and of the new version without and with what the old one does not know.
macro_rules! part {
    (old) => {
        old::Part { a: 1 }
    };
    (read) => {
        new::Part { a: 1, b: "b".to_owned() }
    };
    (new) => {
        new::Part { a: 1, b: "new".to_owned() }
    };
}

pairs! {
    a_field {
        old { of! { struct Row { pub(crate) a: u8 } } } Row;
        new { of! { struct Row { pub(crate) a: u8, #[shm(default)] pub(crate) b: u64 } } } Row;
        old: old::Row { a: 1 },
        read: new::Row { a: 1, b: 0 },
        new: new::Row { a: 2, b: 3 },
        seen: Some(old::Row { a: 2 }),
        carried: new::Row { a: 2, b: 3 },
    }
    many_fields {
        old { of! { struct Row { pub(crate) a: String } } } Row;
        new { of! { struct Row {
            pub(crate) a: String,
            #[shm(default = 7)] pub(crate) b: u16,
            #[shm(default)] pub(crate) c: Option<Vec<String>>,
            #[shm(default = vec![(1, 'x')])] pub(crate) d: Vec<(u8, char)>,
            #[shm(default = f64::INFINITY)] pub(crate) e: f64,
        } } } Row;
        old: old::Row { a: "a".to_owned() },
        read: new::Row { a: "a".to_owned(), b: 7, c: None, d: vec![(1, 'x')], e: f64::INFINITY },
        new: new::Row { a: "b".to_owned(), b: 8, c: Some(vec!["c".to_owned()]), d: vec![], e: -0.5 },
        seen: Some(old::Row { a: "b".to_owned() }),
        carried: new::Row { a: "b".to_owned(), b: 8, c: Some(vec!["c".to_owned()]), d: vec![], e: -0.5 },
    }
    all_fields {
        old { of! { struct Row {} } } Row;
        new { of! { struct Row { #[shm(default = 7)] pub(crate) a: u8 } } } Row;
        old: old::Row {},
        read: new::Row { a: 7 },
        new: new::Row { a: 2 },
        seen: Some(old::Row {}),
        carried: new::Row { a: 2 },
    }
    fields_of_a_unit_struct {
        old { of! { struct Row; } } Row;
        new { of! { struct Row { #[shm(default)] pub(crate) a: Vec<u8>, #[shm(default)] pub(crate) b: () } } } Row;
        old: old::Row,
        read: new::Row { a: vec![], b: () },
        new: new::Row { a: vec![2], b: () },
        seen: Some(old::Row),
        carried: new::Row { a: vec![2], b: () },
    }
    a_large_field_of_an_empty_struct {
        old { of! { struct Row {} } } Row;
        new { of! { struct Row { #[shm(default)] pub(crate) a: [u64; 4], #[shm(default)] pub(crate) b: Vec<u64> } } } Row;
        old: old::Row {},
        read: new::Row { a: [0; 4], b: vec![] },
        new: new::Row { a: [2; 4], b: vec![5; 5000] },
        seen: Some(old::Row {}),
        carried: new::Row { a: [2; 4], b: vec![5; 5000] },
    }
    variants {
        old { of! { enum Row { A, B(u8) } } } Row;
        new { of! { enum Row { A, B(u8), C { why: String }, D } } } Row;
        old: old::Row::B(1),
        read: new::Row::B(1),
        new: new::Row::C { why: "c".to_owned() },
        seen: None,
        carried: new::Row::D,
    }
    variants_that_are_known {
        old { of! { enum Row { A, B { b: Vec<u8> } } } } Row;
        new { of! { enum Row { A, B { b: Vec<u8> }, C } } } Row;
        old: old::Row::A,
        read: new::Row::A,
        new: new::Row::B { b: vec![1] },
        seen: Some(old::Row::B { b: vec![1] }),
        carried: new::Row::B { b: vec![1] },
    }
    variants_with_numbers {
        old { of! { enum Row { #[shm(index = 5)] A, B } } } Row;
        new { of! { enum Row { #[shm(index = 5)] A, B, #[shm(index = 1)] C, D } } } Row;
        old: old::Row::B,
        read: new::Row::B,
        new: new::Row::D,
        seen: None,
        carried: new::Row::D,
    }
    variants_that_are_kept {
        old { of! { #[shm(extensible)] enum Row { A, #[shm(other)] Other(netshm::Rest) } } } Row;
        new { of! { #[shm(extensible)] enum Row { A, B(String) } } } Row;
        old: old::Row::A,
        read: new::Row::A,
        new: new::Row::B("b".to_owned()),
        seen: {
            let words = netshm::data::to_words(&new::Row::B("b".to_owned())).unwrap();
            Some(netshm::data::from_words(&words).unwrap())
        },
        carried: new::Row::B("b".to_owned()),
    }
    variants_in_a_vector_that_are_kept {
        old { of! { #[shm(extensible)] enum State { A, #[shm(other)] Other(netshm::Rest) } } } Vec<State>;
        new { of! { #[shm(extensible)] enum State { A, B(String) } } } Vec<State>;
        old: vec![old::State::A; 2],
        read: vec![new::State::A; 2],
        new: vec![new::State::B("b".to_owned()), new::State::A],
        seen: {
            let words = netshm::data::to_words(&vec![new::State::B("b".to_owned()), new::State::A]).unwrap();
            Some(netshm::data::from_words(&words).unwrap())
        },
        carried: vec![new::State::B("b".to_owned()), new::State::A],
    }
    variants_in_a_field {
        old { of! { #[shm(extensible)] enum State { A } } of! { struct Row { pub(crate) a: Option<State>, pub(crate) b: u64 } } } Row;
        new { of! { #[shm(extensible)] enum State { A, B } } of! { struct Row { pub(crate) a: Option<State>, pub(crate) b: u64 } } } Row;
        old: old::Row { a: Some(old::State::A), b: 9 },
        read: new::Row { a: Some(new::State::A), b: 9 },
        new: new::Row { a: Some(new::State::B), b: 9 },
        seen: None,
        carried: new::Row { a: None, b: 0 },
    }
    the_outermost_type_is_marked {
        old { parts!(old); } Part;
        new { parts!(new); } Part;
        old: part!(old),
        read: part!(read),
        new: part!(new),
        seen: Some(part!(old)),
        carried: part!(new),
    }
    in_a_vector {
        old { parts!(old); of! { struct Row { pub(crate) all: Vec<Part>, pub(crate) last: u64 } } } Row;
        new { parts!(new); of! { struct Row { pub(crate) all: Vec<Part>, pub(crate) last: u64 } } } Row;
        old: old::Row { all: vec![part!(old); 3], last: 9 },
        read: new::Row { all: vec![part!(read); 3], last: 9 },
        new: new::Row { all: vec![part!(new); 2], last: 8 },
        seen: Some(old::Row { all: vec![part!(old); 2], last: 8 }),
        carried: new::Row { all: vec![part!(read); 2], last: 8 },
    }
    in_a_struct_without_names {
        old { parts!(old); of! { struct Row(pub(crate) Vec<Part>, pub(crate) u64); } } Row;
        new { parts!(new); of! { struct Row(pub(crate) Vec<Part>, pub(crate) u64); } } Row;
        old: old::Row(vec![part!(old); 3], 9),
        read: new::Row(vec![part!(read); 3], 9),
        new: new::Row(vec![part!(new); 2], 8),
        seen: Some(old::Row(vec![part!(old); 2], 8)),
        carried: new::Row(vec![part!(read); 2], 8),
    }
    in_an_option {
        old { parts!(old); } (Option<Part>, Option<Option<Part>>, u8);
        new { parts!(new); } (Option<Part>, Option<Option<Part>>, u8);
        old: (Some(part!(old)), Some(Some(part!(old))), 1),
        read: (Some(part!(read)), Some(Some(part!(read))), 1),
        new: (Some(part!(new)), Some(None), 2),
        seen: Some((Some(part!(old)), Some(None), 2)),
        carried: (Some(part!(read)), Some(None), 2),
    }
    in_maps {
        old { parts!(old); } (BTreeMap<String, Part>, HashMap<u8, Part>);
        new { parts!(new); } (BTreeMap<String, Part>, HashMap<u8, Part>);
        old: (BTreeMap::from([("k".to_owned(), part!(old))]), HashMap::from([(1, part!(old)), (2, part!(old))])),
        read: (BTreeMap::from([("k".to_owned(), part!(read))]), HashMap::from([(1, part!(read)), (2, part!(read))])),
        new: (BTreeMap::from([("k".to_owned(), part!(new))]), HashMap::from([(1, part!(new))])),
        seen: Some((BTreeMap::from([("k".to_owned(), part!(old))]), HashMap::from([(1, part!(old))]))),
        carried: (BTreeMap::from([("k".to_owned(), part!(read))]), HashMap::from([(1, part!(read))])),
    }
    in_boxes {
        old { parts!(old); of! { struct Row { pub(crate) a: Box<Part>, pub(crate) b: Box<[Part]>, pub(crate) c: u8 } } } Row;
        new { parts!(new); of! { struct Row { pub(crate) a: Box<Part>, pub(crate) b: Box<[Part]>, pub(crate) c: u8 } } } Row;
        old: old::Row { a: Box::new(part!(old)), b: Box::new([part!(old)]), c: 9 },
        read: new::Row { a: Box::new(part!(read)), b: Box::new([part!(read)]), c: 9 },
        new: new::Row { a: Box::new(part!(new)), b: Box::new([part!(new)]), c: 9 },
        seen: Some(old::Row { a: Box::new(part!(old)), b: Box::new([part!(old)]), c: 9 }),
        carried: new::Row { a: Box::new(part!(read)), b: Box::new([part!(read)]), c: 9 },
    }
    at_the_end_of_a_tuple {
        old { parts!(old); of! { struct Row(pub(crate) u8, pub(crate) Part); } } (u64, Row);
        new { parts!(new); of! { struct Row(pub(crate) u8, pub(crate) Part); } } (u64, Row);
        old: (1, old::Row(2, part!(old))),
        read: (1, new::Row(2, part!(read))),
        new: (3, new::Row(4, part!(new))),
        seen: Some((3, old::Row(4, part!(old)))),
        carried: (3, new::Row(4, part!(read))),
    }
    in_arrays {
        old { parts!(old); } ([Part; 2], u8);
        new { parts!(new); } ([Part; 2], u8);
        old: ([part!(old), part!(old)], 1),
        read: ([part!(read), part!(read)], 1),
        new: ([part!(new), part!(read)], 1),
        seen: Some(([part!(old), part!(old)], 1)),
        carried: ([part!(read), part!(read)], 1),
    }
    in_results {
        old { parts!(old); } (Result<Part, Part>, Result<u8, Vec<Part>>);
        new { parts!(new); } (Result<Part, Part>, Result<u8, Vec<Part>>);
        old: (Ok(part!(old)), Ok(7)),
        read: (Ok(part!(read)), Ok(7)),
        new: (Err(part!(new)), Err(vec![part!(new)])),
        seen: Some((Err(part!(old)), Err(vec![part!(old)]))),
        carried: (Err(part!(read)), Err(vec![part!(read)])),
    }
    generic {
        old { of! { #[shm(extensible)] struct Around<T> { pub(crate) a: T } } } Vec<Around<Around<String>>>;
        new { of! { #[shm(extensible)] struct Around<T> { pub(crate) a: T, #[shm(default)] pub(crate) b: u8 } } } Vec<Around<Around<String>>>;
        old: vec![old::Around { a: old::Around { a: "a".to_owned() } }],
        read: vec![new::Around { a: new::Around { a: "a".to_owned(), b: 0 }, b: 0 }],
        new: vec![new::Around { a: new::Around { a: "a".to_owned(), b: 1 }, b: 2 }],
        seen: Some(vec![old::Around { a: old::Around { a: "a".to_owned() } }]),
        carried: vec![new::Around { a: new::Around { a: "a".to_owned(), b: 0 }, b: 0 }],
    }
    recursive {
        old { of! { #[shm(extensible)] struct Tree { pub(crate) a: u8, pub(crate) twin: Option<Box<Tree>>, pub(crate) all: Vec<Tree> } } } Tree;
        new { of! { #[shm(extensible)] struct Tree {
            pub(crate) a: u8, pub(crate) twin: Option<Box<Tree>>, pub(crate) all: Vec<Tree>, #[shm(default)] pub(crate) b: Option<Box<Tree>>,
        } } } Tree;
        old: old::Tree { a: 1, twin: Some(Box::new(old::Tree { a: 2, twin: None, all: vec![] })), all: vec![] },
        read: new::Tree { a: 1, twin: Some(Box::new(new::Tree { a: 2, twin: None, all: vec![], b: None })), all: vec![], b: None },
        new: {
            let leaf = |a| new::Tree { a, twin: None, all: vec![], b: None };
            new::Tree { a: 3, twin: None, all: vec![leaf(4)], b: Some(Box::new(leaf(5))) }
        },
        seen: Some(old::Tree { a: 3, twin: None, all: vec![old::Tree { a: 4, twin: None, all: vec![] }] }),
        carried: {
            let leaf = |a| new::Tree { a, twin: None, all: vec![], b: None };
            new::Tree { a: 3, twin: None, all: vec![leaf(4)], b: Some(Box::new(leaf(5))) }
        },
    }
    around_a_recursive_type {
        old { of! { struct Tree { pub(crate) all: Vec<Tree> } } of! { struct Row { pub(crate) tree: Tree } } } Row;
        new { of! { struct Tree { pub(crate) all: Vec<Tree> } } of! { struct Row { pub(crate) tree: Tree, #[shm(default)] pub(crate) b: Vec<Tree> } } } Row;
        old: old::Row { tree: old::Tree { all: vec![old::Tree { all: vec![] }] } },
        read: new::Row { tree: new::Tree { all: vec![new::Tree { all: vec![] }] }, b: vec![] },
        new: new::Row { tree: new::Tree { all: vec![] }, b: vec![new::Tree { all: vec![] }] },
        seen: Some(old::Row { tree: old::Tree { all: vec![] } }),
        carried: new::Row { tree: new::Tree { all: vec![] }, b: vec![new::Tree { all: vec![] }] },
    }
    inside_and_outside {
        old { parts!(old); of! { struct Row { pub(crate) a: Part } } } Row;
        new { parts!(new); of! { struct Row { pub(crate) a: Part, #[shm(default)] pub(crate) c: u8 } } } Row;
        old: old::Row { a: part!(old) },
        read: new::Row { a: part!(read), c: 0 },
        new: new::Row { a: part!(new), c: 5 },
        seen: Some(old::Row { a: part!(old) }),
        carried: new::Row { a: part!(read), c: 5 },
    }
    kept_in_the_value {
        old { of! { #[shm(extensible)] struct Part { pub(crate) a: u8, #[shm(rest)] pub(crate) rest: netshm::Rest } } } Vec<Part>;
        new { parts!(new); } Vec<Part>;
        old: vec![old::Part { a: 1, rest: netshm::Rest::default() }],
        read: vec![part!(read)],
        new: vec![part!(new), part!(new)],
        seen: {
            let words = netshm::data::to_words(&vec![part!(new), part!(new)]).unwrap();
            Some(netshm::data::from_words(&words).unwrap())
        },
        carried: vec![part!(new), part!(new)],
    }
    kept_in_the_outermost_value {
        old { of! { #[shm(extensible)] struct Part { pub(crate) a: u8, #[shm(rest)] pub(crate) rest: netshm::Rest } } } Part;
        new { parts!(new); } Part;
        old: old::Part { a: 1, rest: netshm::Rest::default() },
        read: part!(read),
        new: part!(new),
        seen: Some(netshm::data::from_words(&netshm::data::to_words(&part!(new)).unwrap()).unwrap()),
        carried: part!(new),
    }
    renamed {
        old { of! { enum State { A(u8) } } of! { struct Row { pub(crate) a: State, pub(crate) b: u8 } } } Row;
        new {
            of! { #[shm(rename = "State")] enum Condition { #[shm(rename = "A")] Fine(u8) } }
            of! { #[shm(rename = "Row")] struct Line { #[shm(rename = "a")] pub(crate) condition: Condition, pub(crate) b: u8 } }
        } Line;
        old: old::Row { a: old::State::A(1), b: 2 },
        read: new::Line { condition: new::Condition::Fine(1), b: 2 },
        new: new::Line { condition: new::Condition::Fine(3), b: 4 },
        seen: Some(old::Row { a: old::State::A(3), b: 4 }),
        carried: new::Line { condition: new::Condition::Fine(3), b: 4 },
    }
    renamed_and_grown {
        old { of! { struct Row { pub(crate) a: u8 } } } Row;
        new { of! { #[shm(rename = "Row")] struct Line { #[shm(rename = "a")] pub(crate) x: u8, #[shm(default)] pub(crate) y: String } } } Line;
        old: old::Row { a: 1 },
        read: new::Line { x: 1, y: String::new() },
        new: new::Line { x: 3, y: "y".to_owned() },
        seen: Some(old::Row { a: 3 }),
        carried: new::Line { x: 3, y: "y".to_owned() },
    }
    other_containers {
        old { of! { struct Row { pub(crate) a: Vec<u8>, pub(crate) b: String, pub(crate) c: Vec<String> } } } Row;
        new { of! { struct Row { pub(crate) a: VecDeque<u8>, pub(crate) b: Box<str>, pub(crate) c: Box<[String]> } } } Row;
        old: old::Row { a: vec![1], b: "b".to_owned(), c: vec!["c".to_owned()] },
        read: new::Row { a: [1].into(), b: "b".into(), c: ["c".to_owned()].into() },
        new: new::Row { a: [2].into(), b: "bb".into(), c: [].into() },
        seen: Some(old::Row { a: vec![2], b: "bb".to_owned(), c: vec![] }),
        carried: new::Row { a: [2].into(), b: "bb".into(), c: [].into() },
    }
    a_box_around_what_has_no_fixed_length {
        old { of! { struct Row { pub(crate) a: String, pub(crate) b: Option<Vec<u8>>, pub(crate) c: Vec<String> } } } Row;
        new { of! { struct Row { pub(crate) a: Box<String>, pub(crate) b: Option<Box<Vec<u8>>>, pub(crate) c: Box<Vec<Box<String>>> } } } Row;
        old: old::Row { a: "a".to_owned(), b: Some(vec![1]), c: vec!["c".to_owned()] },
        read: new::Row { a: Box::new("a".to_owned()), b: Some(Box::new(vec![1])), c: Box::new(vec![Box::new("c".to_owned())]) },
        new: new::Row { a: Box::new("aa".to_owned()), b: None, c: Box::default() },
        seen: Some(old::Row { a: "aa".to_owned(), b: None, c: vec![] }),
        carried: new::Row { a: Box::new("aa".to_owned()), b: None, c: Box::default() },
    }
    transparent {
        old { of! { struct Row { pub(crate) id: u64, pub(crate) names: Vec<String> } } } Row;
        new {
            of! { #[shm(transparent)] struct Id(pub(crate) u64); }
            of! { #[shm(transparent)] struct Names { pub(crate) all: Vec<String> } }
            of! { struct Row { pub(crate) id: Id, pub(crate) names: Names, #[shm(default = Id(7))] pub(crate) more: Id } }
        } Row;
        old: old::Row { id: 1, names: vec!["a".to_owned()] },
        read: new::Row { id: new::Id(1), names: new::Names { all: vec!["a".to_owned()] }, more: new::Id(7) },
        new: new::Row { id: new::Id(2), names: new::Names { all: vec![] }, more: new::Id(3) },
        seen: Some(old::Row { id: 2, names: vec![] }),
        carried: new::Row { id: new::Id(2), names: new::Names { all: vec![] }, more: new::Id(3) },
    }
    transparent_around_what_grows {
        old { parts!(old); of! { #[shm(transparent)] struct Row(pub(crate) Part); } } Row;
        new { parts!(new); of! { #[shm(transparent)] struct Row(pub(crate) Part); } } Row;
        old: old::Row(part!(old)),
        read: new::Row(part!(read)),
        new: new::Row(part!(new)),
        seen: Some(old::Row(part!(old))),
        carried: new::Row(part!(new)),
    }
    with_and_as {
        old { of! { struct Row { pub(crate) address: String, pub(crate) text: String } } } Row;
        new {
            of! { #[shm(transparent)] struct Text(pub(crate) String); }
            impl From<String> for Text { fn from(text: String) -> Self { Text(text) } }
            impl From<Text> for String { fn from(text: Text) -> Self { text.0 } }
            of! { struct Row {
                #[shm(with = netshm::with::display)] pub(crate) address: std::net::SocketAddr,
                #[shm(as = String)] pub(crate) text: Text,
                #[shm(default = [1, 2, 3, 4].into(), with = netshm::with::display)] pub(crate) more: std::net::Ipv4Addr,
                #[shm(default, as = String)] pub(crate) further: String,
            } }
        } Row;
        old: old::Row { address: "127.0.0.1:80".to_owned(), text: "a".to_owned() },
        read: new::Row { address: ([127, 0, 0, 1], 80).into(), text: new::Text("a".to_owned()), more: [1, 2, 3, 4].into(), further: String::new() },
        new: new::Row { address: ([127, 0, 0, 1], 443).into(), text: new::Text("b".to_owned()), more: [1, 1, 1, 1].into(), further: "f".to_owned() },
        seen: Some(old::Row { address: "127.0.0.1:443".to_owned(), text: "b".to_owned() }),
        carried: new::Row { address: ([127, 0, 0, 1], 443).into(), text: new::Text("b".to_owned()), more: [1, 1, 1, 1].into(), further: "f".to_owned() },
    }
    fields_that_are_not_stored {
        old { of! { struct Row { pub(crate) a: u8, #[shm(skip)] pub(crate) cache: u8 } } } Row;
        new { of! { struct Row { #[shm(skip)] pub(crate) first: u8, pub(crate) a: u8, #[shm(default)] pub(crate) b: u8, #[shm(skip)] pub(crate) none: std::marker::PhantomData<u8> } } } Row;
        old: old::Row { a: 1, cache: 0 },
        read: new::Row { first: 0, a: 1, b: 0, none: std::marker::PhantomData },
        new: new::Row { first: 0, a: 2, b: 3, none: std::marker::PhantomData },
        seen: Some(old::Row { a: 2, cache: 0 }),
        carried: new::Row { first: 0, a: 2, b: 3, none: std::marker::PhantomData },
    }
    keys_that_are_extensible_and_stay {
        old {
            #[derive(netshm::ShmData, Debug, PartialEq, Clone, Eq, PartialOrd, Ord, Hash)]
            #[shm(extensible)]
            pub(crate) struct Key { pub(crate) a: u8 }
            parts!(old);
        } BTreeMap<Key, Part>;
        new {
            #[derive(netshm::ShmData, Debug, PartialEq, Clone, Eq, PartialOrd, Ord, Hash)]
            #[shm(extensible)]
            pub(crate) struct Key { pub(crate) a: u8 }
            parts!(new);
        } BTreeMap<Key, Part>;
        old: BTreeMap::from([(old::Key { a: 1 }, part!(old))]),
        read: BTreeMap::from([(new::Key { a: 1 }, part!(read))]),
        new: BTreeMap::from([(new::Key { a: 2 }, part!(new))]),
        seen: Some(BTreeMap::from([(old::Key { a: 2 }, part!(old))])),
        carried: BTreeMap::from([(new::Key { a: 2 }, part!(read))]),
    }
    fields_in_the_variants_of_a_marked_enum {
        old { parts!(old); of! { enum State { A(Part), B { b: Part } } } } Vec<State>;
        new { parts!(new); of! { enum State { A(Part), B { b: Part } } } } Vec<State>;
        old: vec![old::State::A(part!(old)), old::State::B { b: part!(old) }],
        read: vec![new::State::A(part!(read)), new::State::B { b: part!(read) }],
        new: vec![new::State::A(part!(new))],
        seen: Some(vec![old::State::A(part!(old))]),
        carried: vec![new::State::A(part!(read))],
    }
}

/// Scans take the compiler seconds for each of these types, so there are not many.
#[test]
fn old_programs_scan_what_they_can_read() {
    a_field::values().scanned();
    variants::values().scanned();
}

/// Places where all that is marked grows, and nothing else.
#[test]
fn inside_others_and_as_elements() {
    macro_rules! all {
        ($($pair:ident)*) => { $(
            $pair::values().inside();
            $pair::values().as_elements();
        )* };
    }
    all!(a_field variants variants_that_are_kept the_outermost_type_is_marked generic kept_in_the_outermost_value);
}
