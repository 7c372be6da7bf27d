//! Compares what types cost to compile: 50 types with `#[derive(ShmData)]` and with serde's derives, and 50 tables of 50 types, each
//! opened, added to and looked up in.
//!
//! `cargo run --release -p netshm-benches --bin compile_cost` writes a package into the directory for temporary files, builds it, and
//! prints processor time, and bytes of a stripped program.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const TYPES: usize = 50;
/// Types of fields, and values of them.
const FIELDS: [(&str, &str); 10] = [
    ("u64", "7"),
    ("String", "String::new()"),
    ("Option<u32>", "Some(1)"),
    ("Vec<u16>", "vec![1]"),
    ("bool", "true"),
    ("f64", "1.0"),
    ("i32", "-1"),
    ("(u8, String)", "(1, String::new())"),
    ("Vec<String>", "vec![]"),
    ("[u32; 4]", "[1; 4]"),
];

/// Returns the types and values of the fields of a type: five to eight.
fn fields(number: usize) -> impl Iterator<Item = (usize, (&'static str, &'static str))> {
    (0..5 + number % 4).map(move |field| (field, FIELDS[(number * 3 + field * (1 + number % 3)) % FIELDS.len()]))
}

fn types(count: usize, derives: &str) -> String {
    let mut source = String::from("#![allow(dead_code)]\n");
    for number in 0..count {
        let fields: String = fields(number).map(|(field, (ty, _))| format!("f{field}: {ty}, ")).collect();
        let _ = writeln!(source, "#[derive({derives})] pub struct T{number} {{ {fields}}}");
    }
    source
}

fn tables(count: usize) -> String {
    let mut source = types(count, "netshm::ShmData");
    source.push_str("use netshm::{HashTable, Locking, Result, Shm};\n");
    let mut calls = String::new();
    for number in 0..count {
        let fields: String = fields(number).map(|(field, (_, value))| format!("f{field}: {value}, ")).collect();
        let _ = writeln!(
            source,
            "#[inline(never)] fn use{number}(shm: Shm) -> Result<bool> {{\n\
             let table: HashTable<String, T{number}> = HashTable::manage(shm, Locking::Futex)?;\n\
             table.add(\"key\", &T{number} {{ {fields} }})?;\n\
             Ok(table.find(\"key\")?.is_some())\n}}"
        );
        let _ = writeln!(calls, "use{number}(Shm::open(\"posix:/none\")?)?;");
    }
    let _ = writeln!(source, "fn main() -> Result<()> {{ {calls} Ok(()) }}");
    source
}

fn write_package(place: &Path) -> Outcome<()> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../netshm");
    let manifest = format!(
        "[package]\nname = \"compile-cost\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         netshm = {{ path = {library:?} }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
         [profile.release]\nstrip = true\n"
    );
    fs::create_dir_all(place.join("src/bin"))?;
    fs::write(place.join("Cargo.toml"), manifest)?;
    let main = "fn main() {}\n";
    let programs = [
        ("empty", main.to_owned()),
        ("derived", types(TYPES, "netshm::ShmData") + main),
        ("serde", types(TYPES, "serde::Serialize, serde::Deserialize") + main),
        ("table", tables(1)),
        ("tables", tables(TYPES)),
    ];
    for (name, source) in programs {
        fs::write(place.join(format!("src/bin/{name}.rs")), source)?;
    }
    Ok(())
}

/// Returns the processor time of all children that have ended, in hundredths of a second, the unit of `/proc`.
fn time_of_children() -> Outcome<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, behind) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let times = behind.split_whitespace().skip(13).take(2).map(str::parse::<u64>);
    Ok(times.sum::<Result<u64, _>>()?)
}

/// Builds a program. Returns the seconds of processor time.
fn build(place: &Path, name: &str, profile: &str) -> Outcome<f64> {
    let before = time_of_children()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--profile", profile, "--bin", name])
        .env("CARGO_TARGET_DIR", place.join("target"))
        .env("CARGO_INCREMENTAL", "0")
        .current_dir(place)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{name} does not compile").into());
    }
    Ok((time_of_children()? - before) as f64 / 100.0)
}

fn main() -> Outcome<()> {
    let place = env::temp_dir().join("netshm-compile-cost");
    let _ = fs::remove_dir_all(&place);
    write_package(&place)?;
    println!("| program | debug build, s | release build, s |");
    println!("|---|---:|---:|");
    for profile in ["dev", "release"] {
        build(&place, "empty", profile)?;
    }
    for (name, what) in [
        ("derived", "50 types, `ShmData`"),
        ("serde", "50 types, `Serialize` and `Deserialize`"),
        ("table", "one table"),
        ("tables", "50 tables of 50 types"),
    ] {
        println!("| {what} | {:.1} | {:.1} |", build(&place, name, "dev")?, build(&place, name, "release")?);
    }
    let size = |name: &str| fs::metadata(place.join("target/release").join(name)).map(|file| file.len());
    println!("\nbytes of code for a further table: {}", (size("tables")? - size("table")?) / (TYPES as u64 - 1));
    fs::remove_dir_all(&place)?;
    Ok(())
}
