//! Commands that only look.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use netshm::{HashTable, Locking, Shm};
use netshm_tests::{Child, Scratch};
use serde_json::json;

use crate::support::{Named, failure, json, netshm, output, several, text};

/// Has an object open, with a change under way.
pub(crate) fn child(_: &str, arguments: &[String]) {
    let table: HashTable<u64, u64> = HashTable::options().manage(Shm::open(&arguments[0]).unwrap()).unwrap();
    table
        .group(|| -> netshm::Result<()> {
            table.replace(&1, &1)?;
            println!("> holds");
            std::thread::sleep(std::time::Duration::from_secs(60));
            Ok(())
        })
        .unwrap();
}

fn numbers(named: &Named) -> HashTable<u64, u64> {
    HashTable::manage(named.object.open(), Locking::Futex).unwrap()
}

fn path_of(named: &Named) -> PathBuf {
    PathBuf::from(named.name.replace("posix:", "/dev/shm").replace("file:", ""))
}

/// A directory that goes away.
struct Directory(PathBuf);

impl Directory {
    fn new(subject: &str) -> Directory {
        let scratch = Scratch::file(subject);
        let path = PathBuf::from(scratch.name().to_string().replace("file:", ""));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn objects_are_listed_with_their_states() {
    let directory = Directory::new("cli-ls");
    let open = |name: &str| {
        let name = netshm::ShmName::file(directory.0.join(name)).unwrap();
        HashTable::<u64, u64>::manage(Shm::options().create(true).open(&name).unwrap(), Locking::Futex).unwrap()
    };
    drop(open("idle"));
    let used = open("used");
    used.add(&1, &1).unwrap();
    drop(open("dead"));
    let dead = format!("file:{}/dead", directory.text());
    let child = Child::start("looking::child", &[&dead]);
    assert_eq!(child.line().as_deref(), Some("holds"));
    drop(child);
    drop(open("damaged"));
    let damaged = std::fs::OpenOptions::new().write(true).open(directory.0.join("damaged")).unwrap();
    damaged.write_all_at(&[0xAA; 16], 72).unwrap();
    drop(open("future"));
    let future = std::fs::OpenOptions::new().write(true).open(directory.0.join("future")).unwrap();
    future.write_all_at(&99u64.to_ne_bytes(), 16).unwrap();
    std::fs::write(directory.0.join("foreign"), "of somebody else").unwrap();
    std::fs::write(directory.0.join("empty"), "").unwrap();
    std::fs::create_dir(directory.0.join("below")).unwrap();
    std::os::unix::fs::symlink("used", directory.0.join("link")).unwrap();

    let listed = json(&["ls", directory.text()]);
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|found| (&found["name"], &found["state"])).collect();
    let name = |name: &str| json!(format!("file:{}/{name}", directory.text()));
    let expected = [
        ("damaged", "damaged"),
        ("dead", "needs recovery"),
        ("future", "other format"),
        ("idle", "idle"),
        ("used", "in use"),
    ]
    .map(|(object, state)| (name(object), json!(state)));
    assert_eq!(states, expected.each_ref().map(|(name, state)| (name, state)));
    assert_eq!(listed[4]["users"], 1);
    assert_eq!(listed[4]["rows"], 1);

    let table = output(&["ls", directory.text(), "--state", "in-use"]);
    assert_eq!(table.lines().count(), 2);
    assert!(table.lines().nth(1).unwrap().ends_with("in use"), "{table}");
    let foreign = format!("{}/foreign", directory.text());
    assert!(failure(1, &["ls", &foreign]).contains("not a netshm object"));
    assert!(failure(1, &["stat", &foreign]).contains("not a netshm object: 16 bytes"));
}

#[test]
fn posix_objects_are_listed_without_being_named() {
    let named = several("cli-ls");
    let listed = json(&["ls"]);
    let found = listed.as_array().unwrap().iter().find(|found| found["name"] == *named.name).unwrap();
    assert_eq!((&found["state"], &found["members"], &found["rows"]), (&json!("orphaned"), &json!(3), &json!(141)));
    // Under each of its names.
    let bare = named.name.replace("posix:/", "");
    for name in [named.name.clone(), bare.clone(), format!("/{bare}"), format!("/dev/shm/{bare}")] {
        assert_eq!(json(&["stat", &name])["name"], *named.name);
    }
}

#[test]
fn an_object_is_shown() {
    let named = several("cli-stat");
    let shown = output(&["stat", &named.name]);
    for part in ["state         orphaned", "locking       Futex", "users         0", "sessions", "HashTable<u64, u64>"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let document = json(&["stat", &named.name, "--stripes"]);
    assert_eq!(document["members"][0]["keys"], 20);
    assert_eq!(document["members"][0]["rows"], 21);
    assert_eq!(document["stripes"].as_array().unwrap().len(), 49);
    assert_eq!(json(&["members", &named.name])[2]["kind"], "Array");
}

#[test]
fn rows_are_read() {
    let named = several("cli-read");
    let name = &*named.name;
    assert_eq!(output(&["get", name, "-m", "pairs", "7"]), "49\n");
    assert_eq!(
        json(&["get", name, "-m", "sessions", "user/1"]),
        json!({
            "user": 1, "tags": ["tag 0"], "state": {"Busy": 1}, "limits": {"0": null}
        })
    );
    assert_eq!(output(&["get", name, "-m", "sessions", "\"user/3\"", "--all"]).lines().count(), 2);
    assert_eq!(output(&["get", name, "--all", "-m", "sessions", "user/3"]).lines().count(), 2);
    assert_eq!(output(&["get", name, "-m", "hits", "2..5"]), "7\n33\n7\n");
    assert_eq!(output(&["get", name, "-m", "hits", "..=0"]), "7\n");
    assert!(failure(1, &["get", name, "-m", "hits", "100"]).contains("out of bounds"));
    assert!(failure(1, &["get", name, "-m", "hits", "x"]).contains("3..10"));
    assert!(failure(1, &["get", name, "-m", "sessions", "nobody"]).contains("has no key nobody"));
    assert!(failure(1, &["get", name, "-m", "pairs", "seven"]).contains("its type is u64"));
    let several = failure(1, &["get", name, "7"]);
    assert!(
        several.contains("has several members: sessions, pairs, hits") && several.contains("--member"),
        "{several}"
    );
    assert!(failure(1, &["get", name, "-m", "none", "7"]).contains("it has: sessions, pairs, hits"));

    let keys = output(&["keys", name, "-m", "sessions", "--prefix", "user/1"]);
    assert_eq!(keys.lines().count(), 11);
    let rows = output(&["scan", name, "-m", "sessions"]);
    assert_eq!(rows.lines().count(), 20);
    assert!(rows.lines().all(|row| row.matches('\t').count() == 1), "{rows}");
    assert_eq!(output(&["scan", name, "-m", "sessions", "--all"]).lines().count(), 21);
    assert_eq!(output(&["scan", name, "-m", "pairs", "--limit", "3"]).lines().count(), 3);
    assert_eq!(output(&["scan", name, "-m", "hits", "--limit", "4"]), "0\t7\n1\t7\n2\t7\n3\t33\n");
    let line = output(&["--json", "scan", name, "-m", "pairs", "-n", "1"]);
    let row: serde_json::Value = serde_json::from_str(&line).unwrap();
    let key = row["key"].as_u64().unwrap();
    assert_eq!(row["value"], key * key);
}

#[test]
fn schemas_are_shown_as_text_and_as_a_tree() {
    let named = several("cli-schema");
    let shown = output(&["schema", &named.name]);
    assert!(shown.starts_with("sessions: HashTable<String, Session {\n"), "{shown}");
    assert!(shown.ends_with("pairs: HashTable<u64, u64>\nhits: Array<u64> = 7, len 100\n"), "{shown}");
    let tree = json(&["schema", &named.name]);
    assert_eq!(tree["members"][0]["key"], json!({"type": "String"}));
    assert_eq!(tree["members"][0]["value"]["fields"][0], json!({"field": "user", "type": "u64", "added": false}));
    assert_eq!(tree["members"][2]["element"], json!({"type": "u64"}));
}

#[test]
fn the_end_of_a_pipe_is_quiet() {
    let named = Named::new("cli-pipe");
    let table = numbers(&named);
    (0..20_000).for_each(|key| table.add(&key, &key).unwrap());
    let program = assert_cmd::cargo::cargo_bin("netshm");
    let mut child = Command::new(program)
        .args(["scan", &named.name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let end = child.wait_with_output().unwrap();
    assert!(end.status.success());
    assert_eq!(text(&end.stderr), "");
}

#[test]
fn colours_are_for_terminals() {
    let named = several("cli-colour");
    assert!(!output(&["stat", &named.name]).contains('\u{1b}'));
    assert!(output(&["--color", "always", "stat", &named.name]).contains('\u{1b}'));
    let output = netshm(&["stat", &named.name]).env("NO_COLOR", "1").output().unwrap();
    assert!(!text(&output.stdout).contains('\u{1b}'));
}

/// Another user, with the right to read only: skipped where the tests do not run as root.
#[test]
fn other_users_read_what_they_may() {
    if !Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n") {
        return;
    }
    let named = several("cli-user");
    let file = std::fs::metadata(path_of(&named)).unwrap();
    let mut permissions = file.permissions();
    let program = Scratch::file("cli-binary");
    let program_path = program.name().to_string().replace("file:", "");
    std::fs::copy(assert_cmd::cargo::cargo_bin("netshm"), &program_path).unwrap();
    std::fs::set_permissions(&program_path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", &program_path]).args(arguments);
        command.output().unwrap()
    };
    permissions.set_mode(0o600);
    std::fs::set_permissions(path_of(&named), permissions.clone()).unwrap();
    let refused = as_nobody(&["stat", &named.name]);
    assert!(text(&refused.stderr).contains("Permission denied"), "{}", text(&refused.stderr));
    permissions.set_mode(0o644);
    std::fs::set_permissions(path_of(&named), permissions).unwrap();
    for arguments in [
        &["stat", &named.name][..],
        &["get", &named.name, "-m", "pairs", "7"],
        &["scan", &named.name, "-m", "sessions"],
        &["schema", &named.name],
        &["ls", &named.name],
    ] {
        let output = as_nobody(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }
}
