//! Commands that only look.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use netshm::{HashTable, Locking, Shm, ShmName};
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

/// Makes an object of numbers, and returns its name.
fn numbers_of(named: &Named) -> String {
    drop(numbers(named));
    named.name.clone()
}

fn path_of(named: &Named) -> PathBuf {
    PathBuf::from(named.name.replace("posix:", "/dev/shm").replace("file:", ""))
}

/// A name that goes away.
struct Unlinked(ShmName);

impl Drop for Unlinked {
    fn drop(&mut self) {
        let _ = self.0.unlink();
    }
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

#[test]
fn a_watch_ends_when_nobody_reads_it() {
    let named = several("cli-pipe");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("netshm"))
        .args(["watch", &named.name, "-m", "pairs", "--initial"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "set\t0\t0\n");
    // Nothing changes any more.
    let end = Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            panic!("it goes on");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn what_is_no_object_is_named_as_what_it_is() {
    let directory = Directory::new("cli-hostile");
    let path = |name: &str| format!("{}/{name}", directory.text());
    symlink(path("loop"), path("loop")).unwrap();
    symlink(path("nothing"), path("dangling")).unwrap();
    symlink("/dev/zero", path("device")).unwrap();
    nix::unistd::mkfifo(path("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::create_dir(path("directory")).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("foreign"), "text").unwrap();
    std::fs::File::create(path("huge")).unwrap().set_len(1 << 40).unwrap();
    let found = [
        ("loop", "Too many levels of symbolic links"),
        ("dangling", "No such file"),
        ("device", "a character device"),
        ("fifo", "a named pipe"),
        ("directory", "a directory"),
        ("empty", "an empty object"),
        ("foreign", "4 bytes"),
        ("huge", "1099511627776 bytes"),
    ];
    for (name, what) in found {
        // In short, relative to the current directory.
        for arguments in [&["stat", name][..], &["get", name, "1"], &["check", name], &["dump", name], &["locks", name]]
        {
            let output = netshm(arguments).current_dir(directory.text()).output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.contains(&format!("file:{}", path(name))) && said.contains(what), "{arguments:?}: {said}");
            assert_eq!(text(&output.stdout), "", "{arguments:?}");
        }
    }
    // In a directory, they are not objects; an object is shown by its full name.
    let object = Scratch::file("cli-hostile");
    drop(HashTable::<u64, u64>::manage(object.open(), Locking::Futex).unwrap());
    std::fs::copy(object.name().to_string().replace("file:", ""), path("object")).unwrap();
    std::fs::write(path("damaged"), &std::fs::read(path("object")).unwrap()[..100]).unwrap();
    let listed = netshm(&["--json", "ls", "."]).current_dir(directory.text()).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|found| found["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["damaged", "object"].map(|name| format!("file:{}", path(name))));
}

/// Returns the lines without sizes, ages and blanks, in no order: the rows of a table have none.
fn comparable(text: &str) -> Vec<String> {
    let is_size = |word: &str| ["B", "KiB", "MiB", "KiB,", "MiB,", "s"].contains(&word);
    let mut lines: Vec<_> = text
        .lines()
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let is_kept = |at: usize| !is_size(words[at]) && !words.get(at + 1).is_some_and(|next| is_size(next));
            (0..words.len()).filter(|at| is_kept(*at)).map(|at| words[at]).collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_tour_of_the_readme_prints_what_it_says() {
    let readme = include_str!("../../../README.md");
    let tour = readme.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let name = format!("shop-{}", std::process::id());
    let _removed =
        [name.clone(), format!("{name}.copy")].map(|name| Unlinked(format!("posix:/{name}").parse().unwrap()));
    let program = assert_cmd::cargo::cargo_bin("netshm");
    let has_jq = Command::new("jq").arg("--version").output().is_ok();
    for step in tour.split("$ ").skip(1) {
        let (command, expected) = step.split_once('\n').unwrap();
        if command.contains("jq") && !has_jq {
            continue;
        }
        let output = Command::new("sh")
            .args(["-c", &command.replace("shop", &name).replace("netshm ", &format!("\"{}\" ", program.display()))])
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        let printed = text(&output.stdout).replace(&name, "shop");
        assert_eq!(comparable(&printed), comparable(expected), "{command}: {printed}");
    }
}

/// Collects the names of all fields in a document; keys and values of objects, and types, have fields of their own.
fn fields(json: &serde_json::Value, found: &mut BTreeSet<String>) {
    match json {
        serde_json::Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        serde_json::Value::Object(map) => map.iter().for_each(|(name, value)| {
            found.insert(name.clone());
            fields(value, found);
        }),
        _ => {}
    }
}

#[test]
fn the_forms_of_json_are_documented() {
    let named = several("cli-forms");
    let copy = Named::new("cli-forms-copy");
    let loaded = Named::new("cli-forms-loaded");
    let file = Named::file("cli-forms-idle");
    let name = &*named.name;
    let holder = Child::start("looking::holder", &[&numbers_of(&file)]);
    assert_eq!(holder.line().as_deref(), Some("holds"));
    let damaged = Scratch::file("cli-forms-damaged");
    let damaged_path = damaged.name().to_string().replace("file:", "");
    std::fs::write(&damaged_path, &std::fs::read(path_of(&file)).unwrap()[..100]).unwrap();
    let dump = output(&["dump", name]);
    let documents = [
        ("ls", output(&["--json", "ls", name, &damaged_path])),
        ("stat", output(&["--json", "stat", &file.name, "--stripes"])),
        ("members", output(&["--json", "members", name])),
        ("schema", output(&["--json", "schema", name])),
        ("watch", output(&["--json", "watch", name, "-m", "hits", "3", "--initial", "-n", "1"])),
        ("scan", output(&["--json", "scan", name, "-m", "pairs"])),
        ("scan", output(&["--json", "scan", name, "-m", "hits"])),
        ("dump", output(&["dump", name, "-m", "pairs"])),
        ("dump", output(&["dump", name, "-m", "hits"])),
        ("load", text(&netshm(&["--json", "load", &loaded.name]).write_stdin(dump).output().unwrap().stdout)),
        (
            "import",
            text(
                &netshm(&["--json", "import", name, "-m", "pairs"]).write_stdin("key,value\n").output().unwrap().stdout,
            ),
        ),
        ("remove", output(&["--json", "remove", name, "-m", "pairs", "1"])),
        ("check", output(&["--json", "check", name])),
        ("check", text(&netshm(&["--json", "check", name, &damaged_path]).output().unwrap().stdout)),
        ("copy", output(&["--json", "copy", name, &copy.name])),
        ("compact", output(&["--json", "compact", &copy.name])),
        ("repair", output(&["--json", "repair", &copy.name])),
        ("locks", output(&["--json", "locks", &file.name])),
        ("top", output(&["--json", "top", &file.name, "--once", "-i", "0.05"])),
        ("gc", output(&["--json", "gc", "cli-forms-no-such"])),
        ("bench", output(&["--json", "bench", "-n", "100", "--seconds", "0.001"])),
    ];
    let readme = include_str!("../../README.md");
    for (command, text) in documents {
        let is_of =
            |line: &&str| line.starts_with('|') && line.split('|').nth(1).unwrap().contains(&format!("`{command}`"));
        let row = readme.lines().skip_while(|line| *line != "## JSON").find(is_of);
        let row = row.unwrap_or_else(|| panic!("{command} is missing"));
        let words: BTreeSet<_> = row.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let mut found = BTreeSet::new();
        for document in serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>() {
            fields(&document.unwrap(), &mut found);
        }
        assert!(!found.is_empty(), "{command}: {text}");
        for field in found {
            assert!(words.contains(&*field), "{command}: the field {field} is not documented: {row}");
        }
    }
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
