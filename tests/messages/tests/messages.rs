//! Programs that must not compile, and what the compiler says to them.

use std::process::Command;

/// The compiler whose messages are compared. Others word and indent them differently.
const PINNED: &str = "1.95.0";

#[test]
fn messages() {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().expect("the compiler tells its version").stdout;
    let version = String::from_utf8_lossy(&version);
    if version.split_whitespace().nth(1) != Some(PINNED) {
        eprintln!("skipped: messages are compared with those of rustc {PINNED}, and this is {}", version.trim());
        return;
    }
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}
