//! Programs for libraries of other languages, compiled on the spot where the library is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workload::Result;

/// A program in another language that serves the same requests as a worker of this program.
#[derive(Debug)]
pub(crate) struct Driver {
    file: &'static str,
    source: &'static str,
    /// The compiler and its arguments, apart from the source file and the output.
    compiler: &'static [&'static str],
    libraries: &'static [&'static str],
}

pub(crate) const TDB: Driver = Driver {
    file: "tdb.c",
    source: include_str!("../../drivers/tdb.c"),
    compiler: &["cc", "-O2"],
    libraries: &["-ltdb", "-lm"],
};

pub(crate) const BOOST: Driver = Driver {
    file: "boost.cpp",
    source: include_str!("../../drivers/boost.cpp"),
    compiler: &["c++", "-std=c++17", "-O2"],
    libraries: &["-pthread"],
};

pub(crate) const OCAML: Driver = Driver {
    file: "ocaml_netshm.ml",
    source: include_str!("../../drivers/ocaml_netshm.ml"),
    compiler: &["ocamlfind", "ocamlopt", "-O3", "-package", "netshm,unix", "-linkpkg"],
    libraries: &[],
};

const HEADER: &str = include_str!("../../drivers/driver.h");

impl Driver {
    /// Compiles the driver in the directory, unless that is done already.
    pub(crate) fn compile(&self, directory: &Path) -> Result<PathBuf> {
        let program = directory.join(self.file).with_extension("driver");
        if program.exists() {
            return Ok(program);
        }
        std::fs::write(directory.join("driver.h"), HEADER)?;
        std::fs::write(directory.join(self.file), self.source)?;
        let (compiler, arguments) = self.compiler.split_first().ok_or("no compiler")?;
        let mut command = Command::new(compiler);
        command.args(arguments).arg(self.file).args(self.libraries).arg("-o").arg(&program).current_dir(directory);
        let output = command.output().map_err(|error| format!("{compiler}: {error}"))?;
        if output.status.success() {
            return Ok(program);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let reason = said.lines().find(|line| line.to_lowercase().contains("error") || line.contains("cannot find"));
        Err(reason.or(said.lines().next()).unwrap_or("the compiler says nothing").to_owned().into())
    }
}
