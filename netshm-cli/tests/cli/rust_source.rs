//! The Rust source that `netshm schema --rust` writes compiles, and its types are those of the object.

#[rustfmt::skip]
#[allow(dead_code, clippy::all, missing_docs, unreachable_pub, reason = "as it is written")]
#[path = "golden/contents.rs"]
mod contents;

use netshm::data::Schema;
use netshm::{HashTable, Shm};

use crate::support::{Named, output};

/// All that a schema can have.
const SCHEMA: &str = r#"
nodes: HashTable<Place { x: i32, y: i32 }, Node {
    name: String,
    state: enum State { Idle, 5: Busy(u32, Vec<u8>), Failed { why: Option<String>, "since when": SystemTime { nanos: i128 } } },
    parent: Option<^Node>,
    children: Vec<^Node>,
    by_kind: BTreeMap<enum Kind { Leaf, Branch }, Result<(f64, char), ()>>,
    marks: HashSet<Mark(u8)>,
    grid: [[u16; 3]; 2],
    "type": bool,
}>
users: HashTable<u64, User { id: u64, added?: Option<Extra { level: u8 }>, level?: Extra { level: u8 } }>
"two words": HashTable<u64, State(i8)>
hits: Array<(u64, Option<String>)> = [0, null], len 10
"#;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/golden/contents.rs");

fn make() -> Named {
    let named = Named::new("cli-rust");
    crate::support::netshm(&["create", &named.name, "--from", "-"]).write_stdin(SCHEMA).assert().success();
    named
}

#[test]
fn the_source_is_as_it_was_and_of_the_same_types() {
    let named = make();
    let source = output(&["schema", "--rust", &named.name]).replace(&named.name, "posix:/contents");
    let source = source.replace(&named.name.replace("posix:", ""), "/contents");
    if std::env::var_os("NETSHM_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &source).unwrap();
    }
    assert_eq!(source, std::fs::read_to_string(GOLDEN).unwrap(), "NETSHM_GOLDEN=1 writes it anew");

    let shm = || Shm::open(&named.name).unwrap();
    let nodes: HashTable<contents::Place, contents::Node> = HashTable::options().named("nodes").manage(shm()).unwrap();
    assert!(nodes.is_empty().unwrap());
    let users: HashTable<u64, contents::User> = HashTable::options().named("users").manage(shm()).unwrap();
    output(&["set", &named.name, "-m", "users", "7", r#"{"id": 7}"#]);
    assert_eq!(users.find(&7).unwrap().unwrap().level.level, 0);
    let _: HashTable<u64, contents::State2> = HashTable::options().named("two words").manage(shm()).unwrap();
    assert_eq!(Schema::of::<contents::Kind>().to_string(), "enum Kind { Leaf, Branch }");
}
