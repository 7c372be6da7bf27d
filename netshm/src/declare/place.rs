//! Where the objects of a schema are.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::name::ShmName;

/// Place of a schema's objects: in POSIX shared memory, under a prefix that their names have in common, or as
/// files in a directory.
///
/// Texts are read by these rules, the first that fits:
///
/// | text | what it stands for |
/// |---|---|
/// | `posix:/myapp` | the prefix `/myapp` in POSIX shared memory |
/// | `file:data` | the directory `data` |
/// | `/myapp`: a slash, and no other | the prefix `/myapp` |
/// | anything else, as `data` or `/var/lib/myapp` | a directory |
///
/// A [`Path`] is a directory, whatever it looks like. The directory must exist.
///
/// ```
/// use std::path::Path;
/// use netshm::declare::Place;
///
/// assert_eq!(Place::from("/myapp"), Place::posix("/myapp"));
/// assert_eq!(Place::from("/var/lib/myapp"), Place::directory("/var/lib/myapp"));
/// assert_eq!(Place::from("file:/data"), Place::directory("/data"));
/// assert_eq!(Place::from(Path::new("/data")), Place::directory("/data"));
/// assert_eq!(Place::from("/myapp").to_string(), "posix:/myapp");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// With its slash.
    Posix(String),
    Directory(PathBuf),
}

const POSIX: &str = "posix:";
const FILE: &str = "file:";

impl Place {
    /// Creates a place in POSIX shared memory: with the prefix `/myapp`, the object of the field `rows` is `/myapp.rows`.
    ///
    /// An invalid prefix (it must begin with a slash and have no other) is an error when names are made with it.
    ///
    /// ```
    /// let place = netshm::declare::Place::posix("/myapp");
    /// assert_eq!(place.to_string(), "posix:/myapp");
    /// ```
    #[must_use]
    pub fn posix(prefix: impl Into<String>) -> Place {
        Place(Kind::Posix(prefix.into()))
    }

    /// Creates a place in a directory: the object of the field `rows` is its file `rows`.
    ///
    /// ```
    /// let place = netshm::declare::Place::directory("data");
    /// assert_eq!(place.to_string(), "file:data");
    /// ```
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Place {
        Place(Kind::Directory(path.into()))
    }

    /// Returns the name of the object with that part of the name.
    pub(super) fn name(&self, part: &str) -> Result<ShmName> {
        match &self.0 {
            Kind::Posix(prefix) => ShmName::posix(format!("{prefix}.{part}")),
            Kind::Directory(path) => ShmName::file(path.join(part)),
        }
    }

    /// Returns the name of the object in a file of its own: a relative path begins in the place, if that is a directory.
    pub(super) fn file(&self, path: &str) -> Result<ShmName> {
        match &self.0 {
            Kind::Posix(_) => ShmName::file(path),
            Kind::Directory(directory) => ShmName::file(directory.join(path)),
        }
    }
}

/// Writes what [`From<&str>`](Place#impl-From<%26str>-for-Place) reads.
impl Place {
    /// Returns the name of the one object that the place stands for.
    pub(super) fn whole(&self) -> Result<ShmName> {
        match &self.0 {
            Kind::Posix(name) => ShmName::posix(name),
            Kind::Directory(path) => ShmName::file(path),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Posix(prefix) => write!(f, "{POSIX}{prefix}"),
            Kind::Directory(path) => write!(f, "{FILE}{}", path.display()),
        }
    }
}

impl From<&str> for Place {
    fn from(text: &str) -> Place {
        if let Some(prefix) = text.strip_prefix(POSIX) {
            Place::posix(prefix)
        } else if let Some(path) = text.strip_prefix(FILE) {
            Place::directory(path)
        } else if text.strip_prefix('/').is_some_and(|rest| !rest.is_empty() && !rest.contains('/')) {
            Place::posix(text)
        } else {
            Place::directory(text)
        }
    }
}

impl From<String> for Place {
    fn from(text: String) -> Place {
        Place::from(text.as_str())
    }
}

impl From<&String> for Place {
    fn from(text: &String) -> Place {
        Place::from(text.as_str())
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Place {
        Place::directory(path)
    }
}

impl From<PathBuf> for Place {
    fn from(path: PathBuf) -> Place {
        Place::directory(path)
    }
}

impl From<&PathBuf> for Place {
    fn from(path: &PathBuf) -> Place {
        Place::directory(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_place_and_a_part() {
        let name = |text: &str, part: &str| Place::from(text).name(part).map(|name| name.to_string());
        assert_eq!(name("/app", "rows").unwrap(), "posix:/app.rows");
        assert_eq!(name("data", "rows").unwrap(), "file:data/rows");
        assert_eq!(name("file:/data/", "rows").unwrap(), "file:/data/rows");
        assert!(name("posix:app", "rows").is_err());
        assert!(name("posix:/a/b", "rows").is_err());
        assert!(name("/app", &"r".repeat(251)).is_ok_and(|name| name.len() == "posix:/".len() + 255));
        assert!(name("/app", &"r".repeat(252)).is_err());
    }

    #[test]
    fn a_relative_file_begins_in_the_directory() {
        let file = |text: &str, path| Place::from(text).file(path).unwrap().to_string();
        assert_eq!(file("/app", "geo/cities"), "file:geo/cities");
        assert_eq!(file("data", "geo/cities"), "file:data/geo/cities");
        assert_eq!(file("data", "/geo/cities"), "file:/geo/cities");
    }

    #[test]
    fn an_edge_of_the_rules_is_a_directory() {
        for text in ["", "/", "a", "./a", "//a", "/a/", "/a/b"] {
            assert_eq!(Place::from(text), Place::directory(text), "{text}");
        }
    }
}
