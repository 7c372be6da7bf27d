//! What unit tests share: files and directories that are removed at the end, and random numbers.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::name::ShmName;
use crate::shm::Shm;

/// Returns a path that no other test uses, in memory if there is such a place: some tests make many files.
fn unique() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let memory = PathBuf::from("/dev/shm");
    let directory = if memory.is_dir() { memory } else { std::env::temp_dir() };
    directory.join(format!("netshm-unit-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed)))
}

/// The path of a file, which is removed at the end if there is one.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        Scratch(unique())
    }

    pub(crate) fn name(&self) -> ShmName {
        ShmName::file(&self.0).unwrap()
    }

    /// Opens the object, which is created if there is none.
    pub(crate) fn open(&self) -> Shm {
        Shm::options().create(true).open(&self.name()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The content of a file whose pages of zeros are holes: objects have large ones, and crash tests write one for each step.
pub(crate) struct Image<'a> {
    len: usize,
    /// The other pages, with their offsets.
    pages: Vec<(u64, &'a [u8])>,
}

impl<'a> Image<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Image<'a> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let pages = bytes.chunks(ZEROS.len()).enumerate().filter(|(_, page)| **page != ZEROS[..page.len()]);
        let pages = pages.map(|(index, page)| ((index * ZEROS.len()) as u64, page)).collect();
        Image { len: bytes.len(), pages }
    }

    pub(crate) fn write(&self, path: &Path) {
        let file = fs::File::create(path).unwrap();
        file.set_len(self.len as u64).unwrap();
        self.pages.iter().for_each(|(offset, page)| file.write_all_at(page, *offset).unwrap());
    }
}

/// A directory that is removed at the end, with its files.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        let path = unique();
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    pub(crate) fn name(&self, file: &str) -> ShmName {
        ShmName::file(self.path(file)).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Random numbers that are the same in every run (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1))
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.number() >> 11) % bound
    }
}
