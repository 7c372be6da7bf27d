//! `#[derive(ShmSchema)]` where generated code easily breaks: without a prelude, under strict lints, with a renamed crate, in
//! functions and macros, with names like keywords, and with generic types.

use netshm_tests::Directory;

pub mod without_prelude {
    #![no_implicit_prelude]
    #![deny(warnings, clippy::pedantic, missing_docs, unused_qualifications)]
    //! Only what is named is in scope.

    /// A schema.
    #[derive(::netshm::ShmSchema)]
    #[shm(dir = "unused", locking = ::netshm::Locking::Futex, mode = 0o600)]
    pub struct State {
        /// A table.
        pub table: ::netshm::HashTable<::std::string::String, u64>,
        /// Named like a keyword.
        #[shm(len = 3, default = 1)]
        pub r#type: ::netshm::Array<u64>,
        /// An array with the default of its type.
        #[shm(default)]
        pub plain: ::netshm::Array<::std::string::String>,
    }

    // Private, and some of its methods are never called.
    #[derive(::netshm::ShmSchema)]
    #[shm(prefix = "/unused")]
    struct Private {
        primitive: ::netshm::Table,
    }

    pub(super) fn private(place: &::std::path::Path) -> ::netshm::Result<usize> {
        Private::open_in(place)?.primitive.len()
    }
}

#[test]
fn it_needs_no_prelude_and_passes_strict_lints() {
    let here = Directory::new("hygiene");
    let state = without_prelude::State::open_in(here.path()).unwrap();
    assert_eq!(without_prelude::State::names()[1].0, "type");
    assert_eq!(state.r#type.get(2).unwrap(), 1);
    assert_eq!(state.plain.default_value(), "");
    assert_eq!(without_prelude::private(here.path()).unwrap(), 0);
    assert_eq!(here.entries(), ["plain", "primitive", "table", "type"]);
}

mod renamed {
    pub(crate) use netshm as shared;
}

#[test]
fn the_crate_can_have_another_name() {
    #[derive(netshm::ShmSchema)]
    #[shm(dir = "unused", crate = renamed::shared)]
    struct State {
        table: renamed::shared::HashTable<u8, u8>,
    }
    let here = Directory::new("renamed");
    State::open_in(here.path()).unwrap().table.add(&1, &2).unwrap();
}

macro_rules! schema {
    ($name:ident { $($field:ident: $type:ty = $default:expr),* }) => {
        #[derive(netshm::ShmSchema)]
        #[shm(prefix = "/unused")]
        struct $name {
            $(#[shm(len = 2, default = $default)] $field: $type),*
        }
    };
}

#[test]
fn a_macro_can_declare_it() {
    const ELEVEN: u32 = 11;
    schema!(State { eleven: netshm::Array<u32> = ELEVEN, text: netshm::Array<String> = "none".to_owned() });
    let here = Directory::new("macro");
    let state = State::open_in(here.path()).unwrap();
    assert_eq!(state.eleven.get(1).unwrap(), 11);
    assert_eq!(state.text.get(1).unwrap(), "none");
    assert!(State::describe().contains("default      ELEVEN\n"), "{}", State::describe());
}

#[test]
fn it_can_be_generic() {
    use netshm::{Array, HashTable, ShmData, ShmKey, ShmSchema};

    #[derive(ShmSchema)]
    #[shm(prefix = "/unused")]
    struct State<K: ShmKey, V>
    where
        V: ShmData + Default,
    {
        table: HashTable<K, Vec<V>>,
        array: Array<V>,
        #[shm(default = V::default())]
        other: Array<V>,
    }

    /// Needs the trait, not the methods of a struct.
    fn fields<S: ShmSchema>(place: &std::path::Path) -> Vec<&'static str> {
        S::open_in(place).unwrap().objects().into_iter().map(|(field, _)| field).collect()
    }

    let here = Directory::new("generic");
    let state = State::<String, i8>::open_in(here.path()).unwrap();
    state.table.add("k", &vec![1, 2]).unwrap();
    assert_eq!(state.array.default_value(), state.other.default_value());
    assert_eq!(fields::<State<String, i8>>(here.path()), ["table", "array", "other"]);
    assert!(State::<u8, char>::open_in(here.path()).is_err());
}

#[test]
fn an_alias_is_as_good_as_the_type() {
    type Hits = netshm::HashTable<String, u64>;
    type Totals = netshm::Array<i64>;

    #[derive(netshm::ShmSchema)]
    #[shm(prefix = "/unused")]
    struct State {
        hits: Hits,
        #[shm(default = -1, len = 1)]
        totals: Totals,
    }
    let here = Directory::new("alias");
    let state = State::open_in(here.path()).unwrap();
    assert_eq!((state.hits.len().unwrap(), state.totals.get(0).unwrap()), (0, -1));
}
