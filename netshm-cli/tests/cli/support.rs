//! Objects to look into, and runs of the command.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use netshm::{Array, HashTable, Locking, ShmData};
use netshm_tests::Scratch;
use serde_json::Value as Json;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(ShmData, Debug, Clone, PartialEq)]
pub(crate) enum State {
    Idle,
    Busy(u32),
    Failed { why: String },
}

#[derive(ShmData, Debug, Clone, PartialEq)]
pub(crate) struct Session {
    pub(crate) user: u64,
    pub(crate) tags: Vec<String>,
    pub(crate) state: State,
    pub(crate) limits: BTreeMap<u16, Option<f64>>,
}

/// Returns a session that depends on its number.
pub(crate) fn session(number: u64) -> Session {
    Session {
        user: number,
        tags: (0..number % 3).map(|tag| format!("tag {tag}")).collect(),
        state: match number % 3 {
            0 => State::Idle,
            1 => State::Busy(number as u32),
            _ => State::Failed { why: "no\tspace".to_owned() },
        },
        limits: (0..number as u16 % 4).map(|key| (key, (key > 0).then_some(f64::from(key) / 3.0))).collect(),
    }
}

/// Returns the command with these arguments.
pub(crate) fn netshm(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("netshm").unwrap();
    command.args(arguments).timeout(LIMIT).env_remove("NO_COLOR");
    command
}

/// Runs the command, which must succeed, and returns what it prints.
#[track_caller]
pub(crate) fn output(arguments: &[&str]) -> String {
    let output = netshm(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{arguments:?}");
    text(&output.stdout)
}

/// Runs the command with `--json` and returns the document that it prints.
#[track_caller]
pub(crate) fn json(arguments: &[&str]) -> Json {
    let text = output(&[&["--json"], arguments].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// Runs the command, which must fail with that status, and returns what it says about it.
#[track_caller]
pub(crate) fn failure(status: i32, arguments: &[&str]) -> String {
    let Output { status: found, stdout, stderr } = netshm(arguments).output().unwrap();
    assert_eq!(found.code(), Some(status), "{arguments:?}: {}{}", text(&stdout), text(&stderr));
    text(&stderr)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An object in shared memory, by the name that the command is given.
pub(crate) struct Named {
    pub(crate) object: Scratch,
    pub(crate) name: String,
}

impl Named {
    pub(crate) fn new(subject: &str) -> Named {
        let object = Scratch::posix(subject);
        Named { name: object.name().to_string(), object }
    }

    pub(crate) fn file(subject: &str) -> Named {
        let object = Scratch::file(subject);
        Named { name: object.name().to_string(), object }
    }
}

/// Creates an object with a table of sessions, one of pairs and an array.
pub(crate) fn several(subject: &str) -> Named {
    let named = Named::new(subject);
    let shm = named.object.open();
    let sessions: HashTable<String, Session> =
        HashTable::options().locking(Locking::Futex).named("sessions").manage(shm.clone()).unwrap();
    let pairs: HashTable<u64, u64> = HashTable::options().named("pairs").manage(shm.clone()).unwrap();
    let hits: Array<u64> = Array::options().named("hits").manage(shm, 7).unwrap();
    for number in 0..20 {
        sessions.add(&format!("user/{number}"), &session(number)).unwrap();
        pairs.add(&number, &(number * number)).unwrap();
    }
    sessions.add("user/3", &session(33)).unwrap();
    hits.resize(100).unwrap();
    hits.set(3, &33).unwrap();
    named
}
