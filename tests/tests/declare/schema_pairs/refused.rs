//! Pairs of which no program could read what the other writes.

use netshm::{Error, HashTable, ShmData, ShmKey};
use netshm_tests::Scratch;

macro_rules! pairs {
    ($($name:ident: { $($old:tt)* } $old_key:ty => $old_value:ty, { $($new:tt)* } $new_key:ty => $new_value:ty, $path:literal, $help:literal;)*) => { $(
        #[test]
        #[allow(dead_code, unused_imports)]
        fn $name() {
            mod old {
                use std::collections::{BTreeMap, BTreeSet};
                $($old)*
                pub(super) type K = $old_key;
                pub(super) type V = $old_value;
            }
            mod new {
                use std::collections::{BTreeMap, BTreeSet};
                $($new)*
                pub(super) type K = $new_key;
                pub(super) type V = $new_value;
            }
            refused::<old::K, old::V, new::K, new::V>($path, $help);
        }
    )* };
}

macro_rules! data {
    ($($item:tt)*) => {
        #[derive(netshm::ShmData, netshm::ShmKey, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Clone, Default)]
        pub(super) struct $($item)*
    };
}

macro_rules! marked {
    ($($item:tt)*) => {
        #[derive(netshm::ShmData, netshm::ShmKey, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Clone, Default)]
        #[shm(extensible)]
        pub(super) struct $($item)*
    };
}

macro_rules! choice {
    ($($item:tt)*) => {
        #[derive(netshm::ShmData, Debug, Clone)]
        pub(super) enum $($item)*
    };
}

#[track_caller]
fn refused<OldKey: ShmKey, Old: ShmData, NewKey: ShmKey, New: ShmData>(path: &str, help: &str) {
    for old_is_first in [true, false] {
        let object = Scratch::posix("pairs-refused");
        let open_old = || HashTable::<OldKey, Old>::options().stripes(1).manage(object.open()).map(drop);
        let open_new = || HashTable::<NewKey, New>::options().stripes(1).manage(object.open()).map(drop);
        let outcome =
            if old_is_first { open_old().and_then(|()| open_new()) } else { open_new().and_then(|()| open_old()) };
        let Err(Error::SchemaMismatch { difference, .. }) = outcome else { panic!("{old_is_first}: {outcome:?}") };
        if old_is_first {
            // Of a type as a whole, there is nothing to lead to.
            assert!(
                path.is_empty() || difference.lines().any(|line| line.trim() == format!("at:       {path}")),
                "{difference}"
            );
            assert!(difference.contains(help), "{difference}");
        }
    }
}

pairs! {
    a_field_without_default: { data!(Row { a: u8 }); } u64 => Row, { data!(Row { a: u8, b: u8 }); } u64 => Row,
        "Row.b", "`#[shm(default)]` on `b`";
    a_removed_field: { data!(Row { a: u8, b: u8 }); } u64 => Row, { data!(Row { a: u8 }); } u64 => Row,
        "Row.b", "every program needs it";
    a_removed_field_in_front: { data!(Row { a: u8, b: u16 }); } u64 => Row, { data!(Row { b: u16 }); } u64 => Row,
        "Row.a", "cannot be removed";
    reordered_fields: { data!(Row { a: u8, b: u16 }); } u64 => Row, { data!(Row { b: u16, a: u8 }); } u64 => Row,
        "Row.b", "keep their order";
    a_field_in_the_middle: { data!(Row { a: u8, b: u16 }); } u64 => Row,
        { data!(Row { a: u8, #[shm(default)] x: u8, #[shm(default)] b: u16 }); } u64 => Row, "Row.x", "come at the end";
    another_type: { data!(Row { a: u8, b: u32 }); } u64 => Row, { data!(Row { a: u8, b: u64 }); } u64 => Row, "Row.b",
        "migrate_from";
    another_type_deep_inside:
        { data!(Part { a: Vec<(u8, Option<u32>)> }); data!(Row { a: BTreeMap<u8, [Part; 2]> }); } u64 => Row,
        { data!(Part { a: Vec<(u8, Option<i32>)> }); data!(Row { a: BTreeMap<u8, [Part; 2]> }); } u64 => Row,
        "Row.a[][].a[].1?", "^";
    a_field_of_a_plain_struct_in_a_vector:
        { data!(Part { a: u8 }); data!(Row { parts: Vec<Part> }); } u64 => Row,
        { data!(Part { a: u8, #[shm(default)] b: u8 }); data!(Row { parts: Vec<Part> }); } u64 => Row,
        "Row.parts[].b", "#[shm(extensible)]";
    a_field_of_a_plain_struct_in_an_option: { data!(Part { a: u8 }); } u64 => Option<Part>,
        { data!(Part { a: u8, #[shm(default)] b: u8 }); } u64 => Option<Part>, "(value)?.b", "#[shm(extensible)]";
    a_field_of_a_plain_struct_in_the_last_field:
        { data!(Part { a: u8 }); data!(Row { part: Part }); } u64 => Row,
        { data!(Part { a: u8, #[shm(default)] b: u8 }); data!(Row { part: Part }); } u64 => Row,
        "Row.part.b", "#[shm(extensible)]";
    a_field_of_a_key: { data!(Key { a: u8 }); } Key => u8, { data!(Key { a: u8, #[shm(default)] b: u8 }); } Key => u8,
        "Key.b", "keys never grow";
    a_field_of_an_extensible_key: { marked!(Key { a: u8 }); } Key => u8,
        { marked!(Key { a: u8, #[shm(default)] b: u8 }); } Key => u8, "Key.b", "keys never grow";
    a_field_of_a_key_inside:
        { marked!(Key { a: u8 }); data!(Row { all: BTreeMap<Key, u8> }); } u64 => Row,
        { marked!(Key { a: u8, #[shm(default)] b: u8 }); data!(Row { all: BTreeMap<Key, u8> }); } u64 => Row,
        "Row.all[key].b", "keys never grow";
    a_field_of_an_element_of_a_set:
        { marked!(Key { a: u8 }); } u64 => BTreeSet<Key>,
        { marked!(Key { a: u8, #[shm(default)] b: u8 }); } u64 => BTreeSet<Key>,
        "(value)[].b", "keys never grow";
    a_struct_in_itself:
        { data!(Row { up: Option<Box<Row>>, a: u64 }); } u64 => Row,
        { data!(Row { up: Option<Box<Row>>, a: u64, #[shm(default)] b: u64 }); } u64 => Row,
        "Row.b", "stands inside itself";
    another_name: { data!(Row { a: u8 }); } u64 => Row, { data!(Line { a: u8 }); } u64 => Line, "Line", "rename = \"Row\"";
    another_name_of_a_field: { data!(Row { a: u8 }); } u64 => Row, { data!(Row { b: u8 }); } u64 => Row,
        "Row.b", "rename = \"a\"";
    another_name_of_a_variant: { choice!(Row { A, B(u8) }); } u64 => Row, { choice!(Row { A, C(u8) }); } u64 => Row,
        "Row::C", "rename = \"B\"";
    reordered_variants: { choice!(Row { A, B(u8) }); } u64 => Row, { choice!(Row { B(u8), A }); } u64 => Row,
        "Row::B", "keep their order";
    a_variant_in_front: { choice!(Row { A }); } u64 => Row, { choice!(Row { B(u8), A }); } u64 => Row,
        "Row::B", "come at the end";
    a_field_of_a_variant: { choice!(Row { A { a: u8 } }); } u64 => Row,
        { choice!(Row { A { a: u8, b: u8 } }); } u64 => Row, "Row::A.b", "add a variant";
    fields_of_a_unit_variant: { choice!(Row { A, B }); } u64 => Row, { choice!(Row { A, B(u8) }); } u64 => Row,
        "Row::B", "^";
    another_type_in_a_variant: { choice!(Row { A, B(u8) }); } u64 => Row, { choice!(Row { A, B(u16) }); } u64 => Row,
        "Row::B.0", "^";
    a_variant_of_a_plain_enum_in_a_vector:
        { choice!(State { A }); } u64 => Vec<State>, { choice!(State { A, B }); } u64 => Vec<State>,
        "(value)[]::B", "#[shm(extensible)]";
    a_variant_of_a_plain_enum_in_a_field:
        { choice!(State { A }); } u64 => (State, u8), { choice!(State { A, B }); } u64 => (State, u8),
        "(value).0::B", "#[shm(extensible)]";
    a_longer_tuple_struct: { data!(Row(u8);); } u64 => Row, { data!(Row(u8, u8);); } u64 => Row,
        "Row", "structs with named fields";
    a_longer_tuple: { } u64 => (u8, u8), { } u64 => (u8, u8, u8), "", "^";
    a_longer_array: { data!(Row { a: [u8; 4] }); } u64 => Row, { data!(Row { a: [u8; 8] }); } u64 => Row, "Row.a", "^";
    an_option_around: { data!(Row { a: String }); } u64 => Row, { data!(Row { a: Option<String> }); } u64 => Row,
        "Row.a", "^";
    marked_later:
        { data!(Part { a: u8 }); data!(Row { a: Vec<Part> }); } u64 => Row,
        { marked!(Part { a: u8 }); data!(Row { a: Vec<Part> }); } u64 => Row,
        "Row.a[]", "from the start";
    marked_later_and_grown:
        { data!(Part { a: u8 }); data!(Row { a: Vec<Part> }); } u64 => Row,
        { marked!(Part { a: u8, #[shm(default)] b: u8 }); data!(Row { a: Vec<Part> }); } u64 => Row,
        "Row.a[]", "from the start";
    no_longer_marked:
        { marked!(Row { a: u8 }); } u64 => Row, { data!(Row { a: u8 }); } u64 => Row,
        "Row", "mark this one as well";
    no_longer_marked_and_grown:
        { marked!(Row { a: u8 }); } u64 => Row,
        { data!(Row { a: u8, #[shm(default)] b: u8 }); } u64 => Row,
        "Row", "mark this one as well";
    another_container: { } u64 => Vec<u8>, { } u64 => BTreeSet<u8>, "", "^";
    a_struct_that_is_an_enum: { data!(Row { a: u8 }); } u64 => Row, { choice!(Row { A(u8) }); } u64 => Row, "Row", "^";
    a_box_around_what_has_a_fixed_length:
        { data!(Row { a: Option<u64> }); } u64 => Row, { data!(Row { a: Option<Box<u64>> }); } u64 => Row, "Row.a?", "";
    another_key: { } u64 => u8, { } u32 => u8, "", "migrate_from";
}

#[test]
fn a_default_that_is_gone() {
    mod first {
        data!(Row { a: u8 });
    }
    mod second {
        data!(Row {
            a: u8,
            #[shm(default)]
            b: u8
        });
    }
    mod third {
        data!(Row { a: u8, b: u8 });
    }
    let object = Scratch::posix("pairs-default");
    HashTable::<u64, first::Row>::options().manage(object.open()).unwrap().add(&1, &first::Row::default()).unwrap();
    HashTable::<u64, second::Row>::options().manage(object.open()).unwrap().add(&2, &second::Row::default()).unwrap();
    let outcome = HashTable::<u64, third::Row>::options().manage(object.open());
    let Err(Error::SchemaMismatch { difference, .. }) = outcome else { panic!() };
    assert!(difference.contains("at:       Row.b\n") && difference.contains("in every version"), "{difference}");
}
