//! `examples/bank` as its users run it.

use std::process::{Command, Stdio};

fn bank(arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(crate::example_common::program("bank"));
    let child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let name = format!("/dev/shm/bank.{}", child.id());
    let output = child.wait_with_output().unwrap();
    assert!(!std::fs::exists(name).unwrap(), "the ledger is left behind");
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn the_self_test_succeeds() {
    let (success, text) = bank(&["--self-test"]);
    assert!(success && text.contains("not a cent is lost"), "{text}");
}

#[test]
fn clerks_are_counted() {
    let (success, text) = bank(&["--clerks", "0"]);
    assert!(!success && text.contains("--clerks must be between 1 and 64"), "{text}");
    let (success, text) = bank(&["--clerks", "1", "--seconds", "1"]);
    assert!(success && text.contains("1000000.00 in 1000 accounts"), "{text}");
}
