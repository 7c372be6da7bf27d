//! From what people type to names of objects, and to the objects in a directory.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use netshm::ShmName;

/// Directory of POSIX shared memory on Linux.
const POSIX: &str = "/dev/shm";

/// Parses an object's name: see [`object`].
pub(crate) fn parser() -> impl TypedValueParser<Value = ShmName> {
    OsStringValueParser::new().try_map(|text: OsString| object(&text).map_err(|error| error.to_string()))
}

/// Parses the name of an object to be made: without `posix:`, it is a path if it has a slash, and shared memory if not.
pub(crate) fn new_parser() -> impl TypedValueParser<Value = ShmName> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let path = Path::new(&text);
        let is_bare = !text.as_bytes().contains(&b'/') && !text.as_bytes().contains(&b':');
        let name = match in_posix(path) {
            Some(name) => Ok(name),
            None if is_bare => posix(&text),
            None => object(&text),
        };
        name.map_err(|error| error.to_string())
    })
}

/// Reads `posix:/name`, `file:path`, or a plain name or path: that of a file if there is one, otherwise of POSIX shared memory.
pub(crate) fn object(text: &OsStr) -> netshm::Result<ShmName> {
    if let Some(name) = text.as_bytes().strip_prefix(b"posix:") {
        return ShmName::posix(OsStr::from_bytes(name));
    }
    if let Some(path) = text.as_bytes().strip_prefix(b"file:") {
        return file(Path::new(OsStr::from_bytes(path)));
    }
    let path = Path::new(text);
    if let Some(name) = in_posix(path) {
        return Ok(name);
    }
    let slashes = text.as_bytes().iter().filter(|byte| **byte == b'/').count();
    let bare = text.as_bytes().strip_prefix(b"/").unwrap_or(text.as_bytes());
    let in_memory = Path::new(POSIX).join(OsStr::from_bytes(bare));
    match slashes {
        // A link that leads nowhere is there, too: the error says so.
        _ if path.symlink_metadata().is_ok() => file(path),
        0 => posix(OsStr::from_bytes(bare)),
        1 if text.as_bytes().starts_with(b"/") && in_memory.exists() => posix(OsStr::from_bytes(bare)),
        _ => file(path),
    }
}

/// Returns the name of a file, which does not depend on the current directory: it is shown everywhere as it is here.
fn file(path: &Path) -> netshm::Result<ShmName> {
    ShmName::file(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn posix(bare: &OsStr) -> netshm::Result<ShmName> {
    let mut name = OsString::from("/");
    name.push(bare);
    ShmName::posix(name)
}

/// Returns the name of what lies directly in the directory of POSIX shared memory.
fn in_posix(path: &Path) -> Option<ShmName> {
    let name = path.file_name().filter(|_| path.parent() == Some(Path::new(POSIX)))?;
    posix(name).ok()
}

/// A place to look for objects.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// All that is in a directory.
    Directory(PathBuf),
    /// One object, asked for by its name.
    Object(ShmName),
}

impl Place {
    /// Returns the directory of POSIX shared memory.
    pub(crate) fn posix() -> Place {
        Place::Directory(PathBuf::from(POSIX))
    }

    /// Parses a place: a directory, `posix:` for all of POSIX shared memory, or an object.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Place> {
        OsStringValueParser::new().try_map(|text: OsString| match Path::new(&text) {
            _ if text == "posix:" || text == "posix:/" => Ok(Place::posix()),
            path if path.is_dir() => Ok(Place::Directory(path.to_owned())),
            _ => object(&text).map(Place::Object).map_err(|error| error.to_string()),
        })
    }

    /// Returns the files that may be objects, sorted, and whether one was asked for by its name.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub(crate) fn candidates(&self) -> Result<Vec<ShmName>, crate::failure::Failure> {
        let directory = match self {
            Place::Object(name) => return Ok(vec![name.clone()]),
            Place::Directory(directory) => directory,
        };
        let failed = |error: std::io::Error| {
            crate::failure::Failure::message(format!("{}: reading the directory: {error}", directory.display()))
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path();
            names.extend(in_posix(&path).or_else(|| file(&path).ok()));
        }
        names.sort();
        Ok(names)
    }
}
