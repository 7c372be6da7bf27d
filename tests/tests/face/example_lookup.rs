//! `examples/lookup` as its users run it.

use std::path::Path;
use std::process::{Command, Output};

use netshm::{Error, HashTable, Locking, Shm, ShmName};
use netshm_tests::Scratch;

fn lookup(arguments: &[&str]) -> Output {
    Command::new(crate::example_common::program("lookup")).args(arguments).output().unwrap()
}

/// Returns what the example printed, if it succeeded.
#[track_caller]
fn succeed(arguments: &[&str]) -> String {
    let output = lookup(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the path of a file that goes away with the scratch.
fn path(scratch: &Scratch) -> String {
    scratch.name().to_string().strip_prefix("file:").unwrap().to_owned()
}

/// Returns a CSV file and the name of a table.
fn files(rows: &str) -> (Scratch, Scratch, String, String) {
    let (csv, table) = (Scratch::file("places.csv"), Scratch::file("places"));
    let (csv_path, table_path) = (path(&csv), path(&table));
    std::fs::write(&csv_path, rows).unwrap();
    (csv, table, csv_path, table_path)
}

const PLACES: &str = "code,name,note\nA,Aachen,\"baths, and a cathedral\"\nB,Bern,bears\nB,Bern,\"no, roses\"\n";

#[test]
fn rows_made_up_are_found_by_all_processes() {
    let text = succeed(&["--workers", "3", "--lookups", "2000"]);
    assert!(text.contains("built 100,000 rows in "), "{text}");
    assert!(text.contains("3 processes read it: 6,000 lookups in "), "{text}");
    assert!(text.contains("checked: all answers are those of the CSV file"), "{text}");
}

#[test]
fn a_table_is_kept_and_answers_later() {
    let (_csv, _table, csv, table) = files(PLACES);
    let text = succeed(&["--csv", &csv, "--table", &table, "--workers", "2", "--lookups", "100"]);
    assert!(text.contains("built 2 rows in "), "{text}");
    assert!(!Path::new(&format!("{table}.unfinished")).exists());

    let text = succeed(&["--table", &table, "A", "B"]);
    assert_eq!(text, "A: Aachen, baths, and a cathedral\nB: Bern, no, roses\n");
    let output = lookup(&["--table", &table, "C"]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("there is no row \"C\""));
}

#[test]
fn other_programs_read_the_table_but_cannot_change_it() {
    let (_csv, scratch, csv, table) = files(PLACES);
    succeed(&["--csv", &csv, "--table", &table, "--workers", "1", "--lookups", "10"]);
    let shm = Shm::options().read_only(true).open(scratch.name()).unwrap();
    let rows: HashTable<String, Vec<String>> = HashTable::manage(shm, Locking::None).unwrap();
    assert_eq!(rows.find("B").unwrap().unwrap(), ["Bern", "no, roses"]);
    assert!(matches!(rows.remove("B"), Err(Error::ReadOnly { .. })));
}

#[test]
fn a_newer_table_takes_the_place_of_one_that_is_being_read() {
    let (_csv, scratch, csv, table) = files(PLACES);
    let build = || succeed(&["--csv", &csv, "--table", &table, "--workers", "1", "--lookups", "10"]);
    let open = |name: &ShmName| {
        let shm = Shm::options().read_only(true).open(name).unwrap();
        HashTable::<String, Vec<String>>::manage(shm, Locking::None).unwrap()
    };
    build();
    let old = open(scratch.name());
    std::fs::write(&csv, "code,name\nA,Amsterdam\n").unwrap();
    build();
    assert_eq!(old.find("A").unwrap().unwrap(), ["Aachen", "baths, and a cathedral"]);
    assert_eq!(open(scratch.name()).find("A").unwrap().unwrap(), ["Amsterdam"]);
}

#[test]
fn a_csv_file_that_cannot_be_read_leaves_the_older_table_alone() {
    let (_csv, _table, csv, table) = files(PLACES);
    succeed(&["--csv", &csv, "--table", &table, "--workers", "1", "--lookups", "10"]);
    let _unfinished = Unfinished(format!("{table}.unfinished"));
    std::fs::write(&csv, "code,name\nA,Amsterdam\nB,too,many,columns\n").unwrap();
    let output = lookup(&["--csv", &csv, "--table", &table]);
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(succeed(&["--table", &table, "A"]), "A: Aachen, baths, and a cathedral\n");
}

/// The file that a failed build leaves, and that the next one overwrites.
struct Unfinished(String);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
