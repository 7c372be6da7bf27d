//! The managers of the standard library's types, and behind features of those of other crates.

#[cfg(feature = "arrayvec")]
mod arrayvec;
mod boxes;
#[cfg(feature = "bytes")]
mod bytes;
#[cfg(feature = "chrono")]
mod chrono;
#[cfg(feature = "indexmap")]
mod indexmap;
mod maps;
mod net;
mod options;
#[cfg(feature = "ordered-float")]
mod ordered_float;
mod paths;
mod ranges;
mod scalars;
pub(super) mod sequences;
#[cfg(feature = "serde")]
pub(crate) mod serde;
#[cfg(feature = "smol_str")]
mod smol_str;
mod text;
mod time;
#[cfg(feature = "time")]
mod time_crate;
mod tuples;
#[cfg(feature = "uuid")]
mod uuid;
mod wrappers;

#[cfg(feature = "serde")]
pub use self::serde::Serde;
#[cfg(feature = "cbor")]
pub use self::serde::formats::SerdeCbor;
#[cfg(all(feature = "serde", feature = "json"))]
pub use self::serde::formats::SerdeJson;
pub(crate) use sequences::{decode_inner, encode_inner};

/// Returns the total number of words of parts that follow each other, if each has a fixed size.
#[doc(hidden)]
pub(crate) const fn all_fixed(parts: &[Option<usize>]) -> Option<usize> {
    let mut sum = 0;
    let mut i = 0;
    while i < parts.len() {
        match parts[i] {
            Some(words) => sum += words,
            None => return None,
        }
        i += 1;
    }
    Some(sum)
}

/// Returns the number of words of an enum, if all variants have the same fixed size: the index comes first.
#[doc(hidden)]
pub(crate) const fn same_fixed(variants: &[Option<usize>]) -> Option<usize> {
    let Some(Some(first)) = variants.first().copied() else { return None };
    let mut i = 1;
    while i < variants.len() {
        match variants[i] {
            Some(words) if words == first => i += 1,
            _ => return None,
        }
    }
    Some(first + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Returns the lines of all source files below a directory.
    fn lines(directory: &Path) -> Vec<(String, Vec<String>)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| match path.is_dir() {
                true => lines(&path),
                false => {
                    let text = fs::read_to_string(&path).unwrap();
                    vec![(path.display().to_string(), text.lines().map(|line| line.trim().to_owned()).collect())]
                }
            })
            .collect()
    }

    /// Compiler errors about a type without a manager do not list all types that have one.
    #[test]
    fn messages_of_the_compiler_do_not_recommend_the_built_in_managers() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/data");
        let traits = ["DataManager", "ShmData", "ShmKey"];
        let is_manager =
            |line: &str| line.starts_with("impl") && traits.iter().any(|of| line.contains(&format!(" {of} for ")));
        let mut managers = 0;
        for (path, lines) in lines(&directory) {
            // Tests have types of their own.
            let end = lines.iter().position(|line| line.starts_with("mod tests")).unwrap_or(lines.len());
            for (i, line) in lines[..end].iter().enumerate().filter(|(_, line)| is_manager(line)) {
                managers += 1;
                let attributes =
                    lines[..i].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
                let mut attributes = attributes.filter(|line| line.contains("do_not_recommend"));
                assert!(attributes.next().is_some() || path.ends_with("user_code.rs"), "{path}:{}: {line}", i + 1);
            }
        }
        assert!(managers > 80, "{managers}");
    }
}
