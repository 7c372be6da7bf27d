//! New objects under names that nobody uses.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::descriptor::Shm;
use super::options::ShmOptions;
use crate::error::{Error, Result};
use crate::name::{IntoShmName, ShmName};
use crate::os::file;

/// Enough to find the last free name of 36 (a single `X`) all but surely.
const TRIES: usize = 1000;

const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

impl Shm {
    /// Creates an object under a name that is not in use: every `X` in the last part of the pattern is replaced by a
    /// random letter or digit (`A` to `Z`, `0` to `9`). [`name`](Self::name) tells which name it became. The
    /// permission bits are those of [`ShmOptions::mode`].
    ///
    /// ```
    /// use netshm::Shm;
    ///
    /// let shm = Shm::create_unique("posix:/myprogram.XXXXX", 0o600)?;
    /// println!("the object is called {}", shm.name());
    /// # assert_ne!(shm.name().to_string(), "posix:/myprogram.XXXXX");
    /// shm.name().unlink()?;
    /// # Ok::<(), netshm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidName`] if there is no `X`; [`Error::Io`] if no free name was found in many tries; otherwise as
    /// for [`ShmOptions::open`].
    #[doc(alias = "create_unique_shm")]
    pub fn create_unique(pattern: impl IntoShmName, mode: u32) -> Result<Shm> {
        create(&pattern.to_name()?, &Shm::options().create_new(true).mode(mode))
    }
}

/// Opens with `options`, which are to create a new object, under names made from the pattern until one is free.
fn create(pattern: &ShmName, options: &ShmOptions) -> Result<Shm> {
    let failed = |source| Error::Io { object: pattern.to_string().into(), doing: "creating a unique name", source };
    let part = pattern.last_part().as_bytes();
    if !part.contains(&b'X') {
        let reason = "the last part of a pattern for unique names needs an `X` to be replaced";
        return Err(Error::InvalidName { name: pattern.to_string(), reason });
    }
    for _ in 0..TRIES {
        let mut part = part.to_owned();
        for place in part.iter_mut().filter(|byte| **byte == b'X') {
            *place = random_letter().map_err(failed)?;
        }
        match options.open(&pattern.with_last_part(&OsString::from_vec(part))?) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other,
        }
    }
    Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, "all names tried are in use; the pattern needs more `X`")))
}

fn random_letter() -> io::Result<u8> {
    const EVEN: usize = 256 / LETTERS.len() * LETTERS.len();
    loop {
        let mut byte = [0];
        file::random_bytes(&mut byte)?;
        // The highest values would make some letters likelier than others.
        let value = usize::from(byte[0]);
        if value < EVEN {
            return Ok(LETTERS[value % LETTERS.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_letter_comes_up() {
        let seen: BTreeSet<u8> = (0..5000).map(|_| random_letter().unwrap()).collect();
        assert_eq!(seen, LETTERS.iter().copied().collect());
    }
}
