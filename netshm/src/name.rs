//! Global names of shared objects.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::layout::method::Locking;
use crate::os::file::Identity;

/// The global name of a shared object: any process that knows it, and may, can open the object.
///
/// | text | what it names |
/// |---|---|
/// | `posix:/sample` | a POSIX shared memory object; it lives in memory and is gone after a reboot |
/// | `file:data/sample` | a file that is mapped into memory; a relative path begins in the current directory at the time of opening |
///
/// The text is read by [`str::parse`] and written by [`to_string`](ToString::to_string). Functions that want a name take its text
/// as well ([`IntoShmName`]).
///
/// ```
/// use netshm::ShmName;
///
/// let name: ShmName = "posix:/sample".parse()?;
/// assert_eq!(name, ShmName::posix("/sample")?);
/// assert_eq!(name.to_string(), "posix:/sample");
///
/// let name = ShmName::file("data/sample")?;
/// assert_eq!(name.to_string(), "file:data/sample");
///
/// let error = "posix:/a/b".parse::<ShmName>().unwrap_err();
/// assert!(error.to_string().contains("no slash but the first"));
/// # Ok::<(), netshm::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(try_from = "String"))]
#[doc(alias = "shm_name")]
pub struct ShmName(Kind, Opened);

/// The file that was opened, in the name of an open object. Equal names are equal whatever they stood for.
#[derive(Debug, Clone, Copy, Default)]
struct Opened(Option<Identity>);

impl PartialEq for Opened {
    fn eq(&self, _: &Opened) -> bool {
        true
    }
}

impl Eq for Opened {}

impl PartialOrd for Opened {
    fn partial_cmp(&self, other: &Opened) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Opened {
    fn cmp(&self, _: &Opened) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for Opened {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for ShmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShmName").field(&self.0).finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// With its slash.
    Posix(OsString),
    File(PathBuf),
}

/// Directory of POSIX shared memory on Linux. The C libraries have the place built in as well, so `shm_open` is nothing but
/// `open` of a path below it; we need the path itself, since an object is looked up with `O_PATH` before it is opened.
const POSIX_DIRECTORY: &str = "/dev/shm";

const POSIX_PREFIX: &str = "posix:";
const FILE_PREFIX: &str = "file:";

/// `NAME_MAX`: the longest name of a directory entry.
const LONGEST: usize = 255;

impl ShmName {
    /// Returns the name of a POSIX shared memory object: one slash and then up to 255 bytes, with no other slash, as in
    /// `/sample`.
    ///
    /// # Errors
    /// [`Error::InvalidName`] says which rule is broken.
    #[doc(alias = "POSIX")]
    #[doc(alias = "shm_open")]
    pub fn posix(name: impl AsRef<OsStr>) -> Result<ShmName> {
        let name = name.as_ref();
        match posix_fault(name.as_bytes()) {
            Some(reason) => Err(invalid(POSIX_PREFIX, name, reason)),
            None => Ok(ShmName(Kind::Posix(name.to_owned()), Opened::default())),
        }
    }

    /// Returns the name of an object in a file.
    ///
    /// # Errors
    /// [`Error::InvalidName`] if the path is empty, contains a NUL byte, or does not end in a file name of at most 255
    /// bytes.
    #[doc(alias = "File")]
    pub fn file(path: impl Into<PathBuf>) -> Result<ShmName> {
        let path = path.into();
        match file_fault(path.as_os_str().as_bytes()) {
            Some(reason) => Err(invalid(FILE_PREFIX, path.as_os_str(), reason)),
            None => Ok(ShmName(Kind::File(path), Opened::default())),
        }
    }

    /// Returns the name with an absolute path, independent of the current directory.
    pub(crate) fn absolute(&self) -> ShmName {
        match &self.0 {
            Kind::File(path) if path.is_relative() => match std::env::current_dir() {
                Ok(directory) => ShmName(Kind::File(directory.join(path)), self.1),
                // It has been deleted, or cannot be read.
                Err(_) => self.clone(),
            },
            _ => self.clone(),
        }
    }

    /// Returns the name as that of an open object in that file.
    pub(crate) fn of_open(self, identity: Identity) -> ShmName {
        ShmName(self.0, Opened(Some(identity)))
    }

    /// Returns the file that was opened, if this is the name of an open object.
    pub(crate) fn opened(&self) -> Option<Identity> {
        self.1.0
    }

    /// Returns whether the object is in a file, not in shared memory.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.0, Kind::File(_))
    }

    /// Returns the path of the object's file, which for a POSIX name lies in `/dev/shm`. Unlike the text of a name, it is exact where
    /// the name is not UTF-8.
    ///
    /// ```
    /// # use netshm::ShmName;
    /// let name = ShmName::posix("/sample")?;
    /// assert_eq!(name.path(), std::path::Path::new("/dev/shm/sample"));
    /// # Ok::<(), netshm::Error>(())
    /// ```
    pub fn path(&self) -> PathBuf {
        match &self.0 {
            Kind::Posix(name) => {
                let mut path = OsString::from(POSIX_DIRECTORY);
                path.push(name);
                path.into()
            }
            Kind::File(path) => path.clone(),
        }
    }

    /// Returns the last part of the path, which is what the directory entry is called.
    pub(crate) fn last_part(&self) -> &OsStr {
        let whole = match &self.0 {
            Kind::Posix(name) => name,
            Kind::File(path) => path.as_os_str(),
        };
        OsStr::from_bytes(last_part(whole.as_bytes()))
    }

    /// Returns the name with another last part.
    pub(crate) fn with_last_part(&self, part: &OsStr) -> Result<ShmName> {
        match &self.0 {
            Kind::Posix(_) => {
                let mut name = OsString::from("/");
                name.push(part);
                ShmName::posix(name)
            }
            Kind::File(path) => ShmName::file(path.with_file_name(part)),
        }
    }
}

impl Locking {
    /// Returns the best method of this platform for an object of that kind of name.
    ///
    /// ```
    /// # use netshm::{Locking, ShmName};
    /// let name: ShmName = "posix:/sample".parse()?;
    /// assert_eq!(Locking::best(&name), Locking::Futex);
    /// # Ok::<(), netshm::Error>(())
    /// ```
    #[doc(alias = "best_locking_method")]
    pub fn best(_name: &ShmName) -> Locking {
        Locking::Futex
    }
}

fn last_part(whole: &[u8]) -> &[u8] {
    whole.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

fn posix_fault(name: &[u8]) -> Option<&'static str> {
    let Some((b'/', rest)) = name.split_first() else {
        return Some("a POSIX name begins with a slash, as in `posix:/sample`");
    };
    match rest {
        [] => Some("there is nothing after the slash"),
        [b'/', ..] => Some("a POSIX name begins with one slash only"),
        _ if rest.contains(&b'/') => Some("a POSIX name has no slash but the first"),
        _ => part_fault(rest),
    }
}

fn file_fault(path: &[u8]) -> Option<&'static str> {
    match path {
        [] => Some("the path is empty"),
        _ if path.contains(&0) => Some("it contains a NUL byte"),
        [.., b'/'] => Some("a path that ends in a slash names a directory"),
        _ => part_fault(last_part(path)),
    }
}

fn part_fault(part: &[u8]) -> Option<&'static str> {
    match part {
        b"." | b".." => Some("`.` and `..` name directories"),
        _ if part.contains(&0) => Some("it contains a NUL byte"),
        _ if part.len() > LONGEST => Some("it is longer than 255 bytes"),
        _ => None,
    }
}

fn invalid(prefix: &str, name: &OsStr, reason: &'static str) -> Error {
    Error::InvalidName { name: format!("{prefix}{}", Path::new(name).display()), reason }
}

impl FromStr for ShmName {
    type Err = Error;

    /// Reads `posix:/name` or `file:path`.
    fn from_str(text: &str) -> Result<ShmName> {
        if let Some(name) = text.strip_prefix(POSIX_PREFIX) {
            ShmName::posix(name)
        } else if let Some(path) = text.strip_prefix(FILE_PREFIX) {
            ShmName::file(path)
        } else {
            Err(invalid("", OsStr::new(text), "it begins with neither `posix:` (shared memory) nor `file:` (a path)"))
        }
    }
}

/// Writes what [`FromStr`] reads. (Bytes that are not UTF-8 are shown as replacement characters.)
impl fmt::Display for ShmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Posix(name) => write!(f, "{POSIX_PREFIX}{}", Path::new(name).display()),
            Kind::File(path) => write!(f, "{FILE_PREFIX}{}", path.display()),
        }
    }
}

/// A name as functions take it: a [`ShmName`] or its text, `posix:/name` or `file:path`, by value, by reference, or in an
/// [`Arc`](std::sync::Arc), `Rc`, or `Box`.
///
/// ```
/// use netshm::{Shm, ShmName};
///
/// let name: ShmName = "posix:/into-shm-name".parse()?;
/// let shm = Shm::options().create(true).open(&name)?;
/// let same = Shm::open("posix:/into-shm-name")?;
/// assert_eq!(shm.name(), same.name());
/// name.unlink()?;
///
/// let error = Shm::open("into-shm-name").unwrap_err();
/// assert!(error.to_string().contains("neither `posix:`"));
/// # Ok::<(), netshm::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the name of an object",
    label = "neither a text nor a `ShmName`",
    note = "write a text, as \"posix:/name\" or \"file:path\"; of a `Path`, make a name with `ShmName::file(path)?`"
)]
pub trait IntoShmName: sealed::Named {}

#[diagnostic::do_not_recommend]
impl<N: sealed::Named> IntoShmName for N {}

pub(crate) mod sealed {
    use super::{Result, ShmName};

    /// The conversion behind [`IntoShmName`](super::IntoShmName); nobody else can implement it.
    pub trait Named {
        #[doc(hidden)]
        fn to_name(&self) -> Result<ShmName>;
    }

    impl Named for ShmName {
        fn to_name(&self) -> Result<ShmName> {
            Ok(self.clone())
        }
    }

    impl Named for str {
        fn to_name(&self) -> Result<ShmName> {
            self.parse()
        }
    }

    impl Named for String {
        fn to_name(&self) -> Result<ShmName> {
            self.parse()
        }
    }

    macro_rules! pointers {
        ($($pointer:ty),*) => { $(
            impl<N: Named + ?Sized> Named for $pointer {
                fn to_name(&self) -> Result<ShmName> {
                    (**self).to_name()
                }
            }
        )* };
    }

    pointers!(&N, &mut N, Box<N>, std::rc::Rc<N>, std::sync::Arc<N>);
}

impl TryFrom<&str> for ShmName {
    type Error = Error;

    /// Reads `posix:/name` or `file:path`, as [`str::parse`] does.
    fn try_from(text: &str) -> Result<ShmName> {
        text.parse()
    }
}

impl TryFrom<String> for ShmName {
    type Error = Error;

    fn try_from(text: String) -> Result<ShmName> {
        text.parse()
    }
}

/// Serializes as its text, `posix:/name` or `file:path`.
#[cfg(feature = "serde")]
impl serde::Serialize for ShmName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.to_string();
        // Bytes that are no UTF-8 would come back as others.
        match text.parse::<ShmName>() {
            Ok(same) if same == *self => serializer.serialize_str(&text),
            _ => Err(serde::ser::Error::custom("a name that is not UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_replaced() {
        for (before, after) in [
            ("posix:/a", "posix:/b.c"),
            ("file:a", "file:b.c"),
            ("file:/x/a", "file:/x/b.c"),
            ("file:../a", "file:../b.c"),
        ] {
            let name: ShmName = before.parse().unwrap();
            assert_eq!(name.last_part(), "a");
            assert_eq!(name.with_last_part(OsStr::new("b.c")).unwrap(), after.parse().unwrap());
        }
    }

    #[test]
    fn posix_names_lie_where_the_system_keeps_them() {
        assert_eq!(ShmName::posix("/a").unwrap().path(), Path::new("/dev/shm/a"));
        assert_eq!(ShmName::file("a/b").unwrap().path(), Path::new("a/b"));
    }
}
