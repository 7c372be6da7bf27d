//! The table of layers in `DESIGN.md` is true: a module names only modules of rows above its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that are no layer: tests, and what is for generated code.
const BESIDE: [&str; 6] = ["lib", "__private", "crash_tests", "damage", "error_texts", "testing"];
/// The directory of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Returns the row of each module in the table.
fn rows() -> BTreeMap<String, usize> {
    let design = fs::read_to_string(format!("{ROOT}/DESIGN.md")).unwrap();
    let layers = design.split("\n## ").find(|section| section.starts_with("Layers")).expect("a section on layers");
    let table = layers.lines().filter(|line| line.starts_with("| ")).skip(1).enumerate();
    let modules =
        |line: &str| line.split('|').nth(2).unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
    table.flat_map(|(row, line)| Vec::into_iter(modules(line)).map(move |module| (module, row))).collect()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_source = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy();
        path.extension().is_some_and(|extension| extension == "rs") && !name.ends_with("tests")
    };
    let below = directories.iter().flat_map(|directory| sources(directory));
    files.into_iter().filter(is_source).chain(below).collect()
}

/// Returns the names that follow a path, `crate::` or some `super::`, in a source, also in braces.
fn named(source: &str, path: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap().lines();
    let code: Vec<_> = code.map(|line| line.split("//").next().unwrap()).collect();
    let code = code.join(" ");
    let name =
        |text: &str| text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
    let mut names = Vec::new();
    for (at, _) in code.match_indices(path) {
        let rest = &code[at + path.len()..];
        if code[..at].ends_with('$') {
            // What a macro names at its users' places is the face of the crate.
        } else if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut pieces = vec![String::new()];
            for c in list.chars() {
                depth += i32::from(c == '{') - i32::from(c == '}');
                match c {
                    _ if depth == 0 => break,
                    ',' if depth == 1 => pieces.push(String::new()),
                    _ => pieces.last_mut().unwrap().push(c),
                }
            }
            names.extend(pieces.iter().map(|piece| name(piece)));
        } else {
            names.push(name(rest));
        }
    }
    names
}

#[test]
fn modules_name_only_modules_of_lower_layers() {
    let rows = rows();
    let root = PathBuf::from(ROOT).join("netshm/src");
    let mut wrong = Vec::new();
    for path in sources(&root) {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        let module = first.as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if BESIDE.contains(&module) || module == "guide" {
            continue;
        }
        let row = rows.get(module).unwrap_or_else(|| panic!("`{module}` is in no layer"));
        let text = fs::read_to_string(&path).unwrap();
        let depth = path.strip_prefix(&root).unwrap().components().count() - usize::from(path.ends_with("mod.rs"));
        let from_root = named(&text, "crate::");
        for name in from_root.iter().filter(|name| name.starts_with(char::is_uppercase)) {
            wrong.push(format!("{} names `{name}` by the face of the crate, not by its module", path.display()));
        }
        // As many `super` as the file is deep lead to the root as well.
        for name in from_root.iter().chain(&named(&text, &"super::".repeat(depth))) {
            if name != module && rows.get(name).is_some_and(|other| other >= row) {
                wrong.push(format!("{} names `{name}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
