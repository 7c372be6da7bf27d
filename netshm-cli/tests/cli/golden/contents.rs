// The types of posix:/contents, as it describes itself; written by `netshm schema --rust`.

use netshm::{Array, HashTable, Locking, ShmData, ShmKey, ShmSchema};

#[derive(ShmData, ShmKey, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub x: i32,
    pub y: i32,
}

#[derive(ShmData, Debug, Clone, PartialEq)]
pub struct Node {
    pub name: String,
    pub state: State,
    pub parent: Option<Box<Node>>,
    pub children: Vec<Node>,
    pub by_kind: std::collections::BTreeMap<Kind, Result<(f64, char), ()>>,
    pub marks: std::collections::HashSet<Mark>,
    pub grid: [[u16; 3]; 2],
    pub r#type: bool,
}

#[derive(ShmData, Debug, Clone, PartialEq)]
pub enum State {
    Idle,
    #[shm(index = 5)]
    Busy(u32, Vec<u8>),
    Failed {
        why: Option<String>,
        #[shm(rename = "since when")]
        since_when: std::time::SystemTime,
    },
}

#[derive(ShmData, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Leaf,
    Branch,
}

#[derive(ShmData, Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u8);

#[derive(ShmData, Debug, Clone, PartialEq)]
pub struct User {
    pub id: u64,
    #[shm(default)]
    pub added: Option<Extra>,
    #[shm(default)]
    pub level: Extra,
}

#[derive(ShmData, Debug, Clone, PartialEq, Default)]
pub struct Extra {
    pub level: u8,
}

#[derive(ShmData, Debug, Clone, PartialEq)]
#[shm(rename = "State")]
pub struct State2(pub i8);

/// What is in `posix:/contents`.
#[derive(ShmSchema)]
#[shm(object = "/contents", locking = Locking::Futex)]
pub struct Contents {
    pub nodes: HashTable<Place, Node>,
    pub users: HashTable<u64, User>,
    #[shm(name = "two words")]
    pub two_words: HashTable<u64, State2>,
    #[shm(len = 10, default = (0, None))]
    pub hits: Array<(u64, Option<String>)>,
}
