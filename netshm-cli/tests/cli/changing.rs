//! Commands that change objects, and those that care for them.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use netshm::dynamic::DynTable;
use netshm::{Array, HashTable, Locking, Shm};
use serde_json::json;

use crate::support::{Named, State, failure, json, output, several};

#[test]
fn rows_are_set_added_and_removed() {
    let named = several("cli-change");
    let name = &*named.name;
    let shm = Shm::open(name).unwrap();
    let pairs: HashTable<u64, u64> = HashTable::options().named("pairs").manage(shm.clone()).unwrap();
    output(&["set", name, "-m", "pairs", "7", "700"]);
    assert_eq!(pairs.find_all(&7).unwrap(), [700]);
    output(&["add", name, "-m", "pairs", "7", "701"]);
    assert_eq!(pairs.find_all(&7).unwrap(), [701, 700]);
    assert!(failure(1, &["add", name, "-m", "pairs", "7", "1", "--if-absent"]).contains("has a value for 7 already"));
    output(&["remove", name, "-m", "pairs", "7"]);
    assert_eq!(pairs.find_all(&7).unwrap(), [700]);
    assert!(failure(1, &["remove", name, "-m", "pairs", "7", "900"]).contains("has no key 900"));
    assert_eq!(pairs.find(&7).unwrap(), None);
    output(&["add", name, "-m", "pairs", "8", "1"]);
    assert_eq!(json(&["remove", name, "-m", "pairs", "8", "--all"]), json!({"removed": 2}));
    for bad in ["-1", "x", "[1]"] {
        assert!(failure(1, &["set", name, "-m", "pairs", "1", bad]).contains("type is u64"), "{bad}");
    }
    let new = r#"{"user": 5, "tags": ["a"], "state": {"Failed": {"why": "x"}}, "limits": {"3": 0.5}}"#;
    output(&["set", name, "-m", "sessions", "new one", new]);
    let sessions: HashTable<String, crate::support::Session> =
        HashTable::options().named("sessions").manage(shm.clone()).unwrap();
    let found = sessions.find("new one").unwrap().unwrap();
    assert_eq!(found.state, State::Failed { why: "x".to_owned() });
    assert_eq!(found.limits, BTreeMap::from([(3, Some(0.5))]));
    output(&["clear", name, "-m", "sessions"]);
    assert!(sessions.is_empty().unwrap());

    output(&["set", name, "-m", "hits", "4", "44"]);
    output(&["set", name, "-m", "hits", "10..20", "5"]);
    let hits: Array<u64> = Array::options().named("hits").manage(shm, 7).unwrap();
    assert_eq!([3, 4, 5, 9, 10, 19, 20].map(|index| hits.get(index).unwrap()), [33, 44, 7, 7, 5, 5, 7]);
    output(&["resize", name, "-m", "hits", "12"]);
    assert_eq!(hits.len().unwrap(), 12);
    assert!(failure(1, &["remove", name, "-m", "hits", "1"]).contains("netshm resize"));
}

#[test]
fn numbers_are_increased() {
    let named = several("cli-incr");
    let name = &*named.name;
    assert_eq!(output(&["incr", name, "-m", "pairs", "3"]), "10\n");
    assert_eq!(output(&["incr", name, "-m", "pairs", "3", "-4"]), "6\n");
    assert_eq!(output(&["incr", name, "-m", "pairs", "1000", "5"]), "5\n");
    assert!(failure(1, &["incr", name, "-m", "pairs", "3", "-7"]).contains("out of the range of u64"));
    assert_eq!(output(&["get", name, "-m", "pairs", "3"]), "6\n");
    assert_eq!(output(&["incr", name, "-m", "hits", "3", "2"]), "35\n");
    assert_eq!(output(&["incr", name, "-m", "sessions", "user/4", "10", "--field", "user"]), "14\n");
    assert_eq!(output(&["get", name, "-m", "sessions", "user/4", "--json"]).matches("\"user\":14").count(), 1);
    assert!(failure(1, &["incr", name, "-m", "sessions", "user/4", "-f", "tags"]).contains("only numbers"));
    assert!(failure(1, &["incr", name, "-m", "sessions", "user/4"]).contains("only numbers"));
}

#[test]
fn objects_are_created_by_schemas() {
    let named = Named::new("cli-create");
    let name = &*named.name;
    output(&[
        "create",
        name,
        "HashTable<String, User { id: u64, name: String }>",
        "--locking",
        "record",
        "--init",
        "50",
    ]);
    output(&["set", name, "ada", r#"{"id": 7, "name": "Ada"}"#]);
    assert!(failure(1, &["create", name, "HashTable<u64, u64>"]).contains("is there already"));
    output(&["create", name, "--member", "hits", "Array<f64> = 1.5, len 3"]);
    output(&["create", name, "-m", "flags", "Array<Option<bool>>", "--len", "2", "--stripes", "1"]);
    assert_eq!(output(&["scan", name, "-m", "hits"]), "0\t1.5\n1\t1.5\n2\t1.5\n");
    assert_eq!(output(&["scan", name, "-m", "flags"]), "0\tnull\n1\tnull\n");
    let stat = json(&["stat", name]);
    assert_eq!((&stat["locking"], &stat["members"][0]["init"]), (&json!("Record"), &json!(50)));

    // From the text and from the JSON that describe the object.
    for format in [&["schema", name][..], &["--json", "schema", name]] {
        let other = Named::new("cli-create");
        crate::support::netshm(&["create", &other.name, "--from", "-"]).write_stdin(output(format)).assert().success();
        assert_eq!(json(&["schema", &other.name])["members"], json(&["schema", name])["members"]);
        assert_eq!(output(&["get", &other.name, "-m", "hits", "2"]), "1.5\n");
    }
    let bad = Named::new("cli-create");
    assert!(failure(1, &["create", &bad.name, "HashTable<u64"]).contains("a bracket is not closed"));
    assert!(failure(1, &["create", &bad.name, "Array<enum E { A, B }>"]).contains("needs a default value"));
    assert!(failure(1, &["stat", &bad.name]).contains("No such file"));
    assert!(failure(2, &["create", &bad.name]).contains("SCHEMA"));
}

#[test]
fn what_is_damaged_is_found_and_repaired() {
    let named = Named::file("cli-check");
    let name = &*named.name;
    let table: HashTable<u64, String> = HashTable::manage(named.object.open(), Locking::Futex).unwrap();
    (0..1000).for_each(|key| table.add(&key, &format!("value {key}")).unwrap());
    assert!(output(&["check", name]).ends_with("nothing is wrong\n"));
    assert_eq!(json(&["check", name, "--lock"])[0]["clean"], true);
    output(&["sync", name]);
    let copy = Named::new("cli-copy");
    output(&["copy", name, &copy.name]);
    assert!(failure(1, &["copy", name, &copy.name]).contains("exists"));
    drop(table);

    let path = name.replace("file:", "");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|window| window == b"value 50").unwrap() & !7;
    bytes[at - 16..at].fill(0xFF);
    file.write_all_at(&bytes[at - 16..at], at as u64 - 16).unwrap();
    assert!(!crate::support::netshm(&["check", name]).output().unwrap().status.success());
    let document = crate::support::netshm(&["--json", "check", name, &copy.name]).output().unwrap();
    assert_eq!(document.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!((&document[0]["clean"], &document[1]["clean"]), (&json!(false), &json!(true)));
    assert!(failure(1, &["compact", name]).contains("left as it is"));
    let repaired = json(&["repair", name]);
    assert!(repaired["saved"].as_u64().unwrap() >= 900, "{repaired}");
    output(&["check", name]);
    let held = DynTable::open(Shm::open(&copy.name).unwrap()).unwrap();
    assert!(failure(1, &["repair", &copy.name]).contains("in use"));
    held.clear().unwrap();
    drop(held);
    let compacted = json(&["compact", &copy.name]);
    assert!(compacted["size"].as_u64() < compacted["size_before"].as_u64(), "{compacted}");
}

#[test]
fn one_object_that_is_not_there_keeps_no_other_from_being_cared_for() {
    let [first, last, empty] = [Named::file("cli-care"), Named::file("cli-care"), Named::file("cli-care")];
    let missing = format!("{}.missing", first.name);
    for named in [&first, &last] {
        let table: HashTable<u64, u64> = HashTable::manage(named.object.open(), Locking::Futex).unwrap();
        table.add(&1, &1).unwrap();
    }
    output(&["create", &empty.name, "-m", "only", "Table"]);
    output(&["members", &empty.name, "--remove", "only"]);
    assert!(json(&["stat", &last.name])["dirty"].as_bool().unwrap());
    let said = failure(1, &["sync", &first.name, &missing, &missing, &last.name]);
    assert_eq!(said.matches("error:").count(), 2, "{said}");
    assert!(!json(&["stat", &last.name])["dirty"].as_bool().unwrap());
    let checks = crate::support::netshm(&["check", &missing, &empty.name, &last.name]).output().unwrap();
    assert_eq!(checks.status.code(), Some(1));
    assert!(crate::support::text(&checks.stdout).contains("nothing is wrong"), "{checks:?}");
}

#[test]
fn members_are_removed() {
    let named = several("cli-members");
    output(&["members", &named.name, "--remove", "pairs"]);
    assert_eq!(json(&["members", &named.name]).as_array().unwrap().len(), 2);
    assert!(failure(1, &["members", &named.name, "--remove", "pairs"]).contains("has no member"));
}
