//! The example programs, for tests that run them as users do.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the path of an example program. `cargo test` in the root directory has built it; `cargo test -p netshm-tests`, which
/// builds this package alone, may not have, so it is built here if it is missing.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).expect("tests are in target/PROFILE/deps");
    let program = profile.join("examples").join(name);
    if !program.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "netshm-examples", "--example", name]);
        build.args((profile.file_name() == Some("release".as_ref())).then_some("--release"));
        build.arg("--target-dir").arg(profile.parent().expect("a profile's directory is in the target directory"));
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let status = build.arg("--manifest-path").arg(manifest).status().unwrap();
        assert!(status.success() && program.exists(), "{} could not be built: {status}", program.display());
    }
    program
}
