//! Objects to files and back.

use netshm::{Array, HashTable, Locking, Shm, Table};

use crate::support::{Named, Session, failure, json, netshm, output, session, several, text};

fn load(arguments: &[&str], input: &str) {
    netshm(arguments).write_stdin(input).assert().success();
}

/// Returns the lines but for the first, in some order.
fn rows(dump: &str) -> Vec<&str> {
    let mut rows: Vec<_> = dump.lines().skip(1).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn dumps_of_all_kinds_come_back() {
    let named = several("cli-dump");
    let dump = output(&["dump", &named.name]);
    let copy = Named::new("cli-load");
    load(&["load", &copy.name], &dump);
    assert_eq!(rows(&output(&["dump", &copy.name])), rows(&dump));
    assert_eq!(json(&["schema", &copy.name])["members"], json(&["schema", &named.name])["members"]);
    let sessions: HashTable<String, Session> =
        HashTable::options().named("sessions").manage(Shm::open(&copy.name).unwrap()).unwrap();
    assert_eq!(sessions.find_all("user/3").unwrap(), [session(33), session(3)]);
    assert_eq!(sessions.find("user/8").unwrap(), Some(session(8)));

    // What is there is not touched without being told.
    let refused = netshm(&["load", &copy.name]).write_stdin(dump.clone()).assert().code(1);
    assert!(text(&refused.get_output().stderr).contains("has 21 rows already"));
    load(&["load", &copy.name, "--replace", "--batch", "7"], &dump);
    assert_eq!(rows(&output(&["dump", &copy.name])), rows(&dump));
    load(&["load", &copy.name, "--append"], &dump);
    assert_eq!(json(&["stat", &copy.name])["members"][0]["rows"], 42);
}

#[test]
fn sparse_arrays_and_primitive_tables_come_back() {
    let named = Named::file("cli-dump");
    let array: Array<Option<String>> = Array::manage(named.object.open(), None, Locking::Record).unwrap();
    array.resize(1 << 50).unwrap();
    for index in [0, 1000, (1 << 50) - 1] {
        array.set(index, &Some(format!("element \"{index}\""))).unwrap();
    }
    let dump = output(&["dump", &named.name]);
    assert_eq!(dump.lines().count(), 4);
    let copy = Named::new("cli-load");
    load(&["load", &copy.name], &dump);
    let loaded: Array<Option<String>> = Array::options().manage(Shm::open(&copy.name).unwrap(), None).unwrap();
    assert_eq!(loaded.len().unwrap(), 1 << 50);
    for index in [0, 1, 1000, (1 << 50) - 1] {
        assert_eq!(loaded.get(index).unwrap(), array.get(index).unwrap());
    }
    assert_eq!(json(&["stat", &copy.name])["locking"], "Record");

    let named = Named::new("cli-dump");
    let table = Table::manage(named.object.open(), Locking::None).unwrap();
    table.add(-3, &[1, -2, i32::MAX]).unwrap();
    table.add(-3, &[]).unwrap();
    let copy = Named::new("cli-load");
    load(&["load", &copy.name], &output(&["dump", &named.name]));
    let loaded = Table::options().manage(Shm::open(&copy.name).unwrap()).unwrap();
    assert_eq!(loaded.find_all(-3).unwrap(), [vec![], vec![1, -2, i32::MAX]]);
}

/// Each type of key and value, with values that JSON or CSV could confuse.
const KINDS: &str = r#"
integers: HashTable<i128, u128>
floats: HashTable<f64, (f32, f64)>
bytes: HashTable<Vec<u8>, [u8; 4]>
options: HashTable<Option<u8>, Option<Option<String>>>
boxes: HashTable<u8, Option<Box<Option<u8>>>>
chars: HashTable<char, bool>
tuples: HashTable<(u8, String), [u16; 3]>
enums: HashTable<u64, enum E { A, B(u32), C { x: f64 } }>
maps: HashTable<u64, BTreeMap<String, Vec<i8>>>
results: HashTable<u64, BTreeMap<(u8, u8), Result<u8, String>>>
sets: HashTable<u64, HashSet<f64>>
units: HashTable<(), Option<()>>
structs: HashTable<P { x: i8, y: Option<Option<i8>> }, Q { a: Vec<R { b: Option<()> }>, c: Option<Option<String>> }>
empty: HashTable<u64, u64>
sparse: Array<Option<f64>> = null, len 1000
texts: Array<String> = "as usual", len 10
"#;

/// Members of these, with rows; of several rows with one key, later ones hide earlier ones.
const ROWS: &[(&str, &str, &str)] = &[
    ("integers", "-170141183460469231731687303715884105728", "340282366920938463463374607431768211455"),
    ("integers", "\"12\"", "5"),
    ("floats", "NaN", "[\"inf\", \"-inf\"]"),
    ("floats", "-0.0", "[-0.0, 5e-324]"),
    ("floats", "-inf", "[0.1, 0.1]"),
    ("bytes", "[]", "[0, 1, 254, 255]"),
    ("bytes", "[0]", "[0, 0, 0, 0]"),
    ("options", "null", "null"),
    ("options", "1", "{\"Some\": null}"),
    ("options", "2", "\"null\""),
    ("options", "3", "\"\""),
    ("options", "3", "\"{\\\"Some\\\":null}\""),
    ("options", "3", "null"),
    ("boxes", "1", "null"),
    ("boxes", "2", "{\"Some\": null}"),
    ("boxes", "3", "7"),
    ("chars", "\"", "true"),
    ("chars", "5", "false"),
    ("chars", "\"\\n\"", "false"),
    ("tuples", "[1, \"a,\\\"b\"]", "[1, 2, 3]"),
    ("enums", "1", "A"),
    ("enums", "2", "{\"B\": 7}"),
    ("enums", "3", "{\"C\": {\"x\": \"NaN\"}}"),
    ("maps", "1", "{\"a\": [1, -1], \"\": []}"),
    ("results", "1", "[[[1, 2], {\"Ok\": 1}], [[1, 3], {\"Err\": \"e\"}]]"),
    ("sets", "1", "[1, \"NaN\"]"),
    ("units", "null", "null"),
    ("units", "null", "{\"Some\": null}"),
    ("structs", "{\"x\": 1, \"y\": null}", "{\"a\": [], \"c\": {\"Some\": null}}"),
    (
        "structs",
        "{\"x\": 2, \"y\": {\"Some\": null}}",
        "{\"a\": [{\"b\": null}, {\"b\": {\"Some\": null}}], \"c\": \"null\"}",
    ),
    ("structs", "{\"x\": 3, \"y\": 3}", "{\"a\": [], \"c\": null}"),
    ("sparse", "5", "NaN"),
    ("sparse", "999", "-0.0"),
    ("texts", "3", "\"3\""),
];

#[test]
fn values_of_every_type_come_back() {
    let named = Named::new("cli-kinds");
    netshm(&["create", &named.name, "--from", "-"]).write_stdin(KINDS).assert().success();
    for (member, key, value) in ROWS {
        let command = if ["sparse", "texts"].contains(member) { "set" } else { "add" };
        output(&[command, &named.name, "-m", member, "--", key, value]);
    }
    let dump = output(&["dump", &named.name]);
    assert_eq!(dump.lines().count(), 1 + ROWS.len());
    let copy = Named::new("cli-kinds");
    load(&["load", &copy.name], &dump);
    let again = output(&["dump", &copy.name]);
    assert_eq!(rows(&again), rows(&dump));
    assert_eq!(json(&["schema", &copy.name])["members"], json(&["schema", &named.name])["members"]);

    let copy = Named::new("cli-kinds");
    netshm(&["create", &copy.name, "--from", "-"]).write_stdin(KINDS).assert().success();
    for member in KINDS.lines().filter_map(|line| Some(line.split_once(':')?.0)) {
        let csv = output(&["export", &named.name, "-m", member]);
        load(&["import", &copy.name, "-m", member], &csv);
        let dumps = [&named.name, &copy.name].map(|name| output(&["dump", name, "-m", member]));
        assert_eq!(rows(&dumps[1]), rows(&dumps[0]), "{csv}");
    }
}

#[test]
fn a_load_is_all_or_nothing() {
    let named = several("cli-load");
    let dump = output(&["dump", &named.name, "-m", "pairs"]);
    let bad = format!("{dump}{{\"member\":\"pairs\",\"key\":1,\"value\":\"x\"}}\n");
    let copy = Named::new("cli-load");
    let refused = netshm(&["load", &copy.name]).write_stdin(bad.clone()).assert().code(1);
    let said = text(&refused.get_output().stderr);
    assert!(said.contains("line 22: the value does not fit"), "{said}");
    assert!(failure(1, &["stat", &copy.name]).contains("No such file"));
    let before = rows(&output(&["dump", &named.name])).join("\n");
    netshm(&["load", &named.name, "--replace"]).write_stdin(bad).assert().code(1);
    assert_eq!(rows(&output(&["dump", &named.name])).join("\n"), before);
    netshm(&["load", &copy.name]).write_stdin("nonsense").assert().code(1);
    // Under another name.
    load(&["load", &copy.name, "-m", "squares"], &dump);
    assert_eq!(output(&["get", &copy.name, "-m", "squares", "9"]), "81\n");
}

#[test]
fn what_cannot_be_loaded_or_created_leaves_an_object_as_it_was() {
    let named = several("cli-load");
    let dump = output(&["dump", &named.name]);
    let bad = format!("{dump}{{\"member\":\"pairs\",\"key\":1,\"value\":\"x\"}}\n");
    let other = Named::new("cli-load");
    output(&["create", &other.name, "-m", "hits", "Array<u64> = 7, len 2"]);
    let before = json(&["members", &other.name]);
    for arguments in [&["load", &other.name, "--append"][..], &["load", &other.name, "--replace"]] {
        netshm(arguments).write_stdin(bad.clone()).assert().code(1);
        // But for the number of its changes.
        let after = json(&["members", &other.name]);
        assert_eq!(after.as_array().unwrap().len(), 1, "{after}");
        assert_eq!((&after[0]["rows"], &after[0]["name"]), (&before[0]["rows"], &before[0]["name"]));
    }
    let members =
        "new: HashTable<u64, u64>\nlong: Array<u64> = 0, len 9\ntoo_long: Array<u64> = 0, len 18446744073709551615";
    assert!(failure(1, &["create", &other.name, members]).contains("too large"));
    failure(1, &["create", &other.name, "-m", "new", "HashTable<u64, u64>", "--locking", "record"]);
    assert_eq!(json(&["members", &other.name]).as_array().unwrap().len(), 1);
    netshm(&["load", &other.name, "--append"]).write_stdin(dump).assert().success();
    assert_eq!(output(&["get", &other.name, "-m", "hits", "3"]), "33\n");
}

#[test]
fn tables_come_back_from_csv() {
    let named = several("cli-csv");
    let csv = output(&["export", &named.name, "-m", "sessions"]);
    assert!(csv.starts_with("key,user,tags,state,limits\n"), "{csv}");
    assert_eq!(csv.lines().count(), 22);
    let copy = several("cli-csv");
    output(&["clear", &copy.name, "-m", "sessions"]);
    load(&["import", &copy.name, "-m", "sessions"], &csv);
    let dumps = [&copy.name, &named.name].map(|name| output(&["dump", name, "-m", "sessions"]));
    assert_eq!(rows(&dumps[0]), rows(&dumps[1]));

    let csv = output(&["export", &named.name, "-m", "hits", "--delimiter", "tab"]);
    assert!(csv.starts_with("index\tvalue\n0\t7\n"), "{csv}");
    output(&["resize", &copy.name, "-m", "hits", "2"]);
    load(&["import", &copy.name, "-m", "hits", "--delimiter", "tab", "--batch", "9"], &csv);
    assert_eq!(output(&["export", &copy.name, "-m", "hits", "--delimiter", "tab"]), csv);

    let refused = |csv: &str| {
        let outcome = netshm(&["import", &copy.name, "-m", "pairs"]).write_stdin(csv).assert().code(1);
        text(&outcome.get_output().stderr)
    };
    assert!(refused("key,worth\n1,2\n").contains("has nothing for the column \"worth\""));
    assert!(refused("key\n1\n").contains("the column \"value\" is missing"));
    let bad = refused("value,key\n5,1000\n6,x\n");
    assert!(bad.contains("line 3: the column \"key\""), "{bad}");
    failure(1, &["get", &copy.name, "-m", "pairs", "1000"]);
    load(&["import", &copy.name, "-m", "pairs", "--replace"], "value,key\n5,1000\n6,3\n");
    assert_eq!(output(&["get", &copy.name, "-m", "pairs", "--all", "3"]), "6\n");
}

#[test]
fn texts_survive_csv_whatever_is_in_them() {
    let named = Named::new("cli-csv");
    let table: HashTable<String, Option<String>> = HashTable::manage(named.object.open(), Locking::Futex).unwrap();
    let texts =
        ["", " ", "a,b", "\"", "\"quoted\"", "line\nbreak\r\n", "null", "12", "tab\t", "ä€𐍈", "{\"x\":1}", "\\"];
    for text in texts {
        table.add(text, &Some(text.to_owned())).unwrap();
    }
    table.add("none", &None).unwrap();
    let copy = Named::new("cli-csv");
    output(&["create", &copy.name, "HashTable<String, Option<String>>"]);
    load(&["import", &copy.name], &output(&["export", &named.name]));
    let loaded: HashTable<String, Option<String>> =
        HashTable::options().manage(Shm::open(&copy.name).unwrap()).unwrap();
    for text in texts {
        assert_eq!(loaded.find(text).unwrap(), Some(Some(text.to_owned())), "{text:?}");
    }
    assert_eq!(loaded.find("none").unwrap(), Some(None));
    assert_eq!(loaded.len().unwrap(), texts.len() + 1);
}
