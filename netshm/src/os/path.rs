//! From a path to a descriptor: without following symbolic links where anybody could have put them, and without ever
//! opening a file before it is known which one it is.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, Access, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::file::{self, Identity};

/// A directory entry, whether or not there is a file: the directory, held open, and the name in it.
#[derive(Debug)]
pub(crate) struct Directory {
    directory: Kept,
    /// Descriptors that can do nothing, on those of the numbers 0 to 2 that are not in use: no object gets one of them, where
    /// the program would print into it.
    _standard: Vec<Kept>,
    name: OsString,
    /// True if a symbolic link in this place is followed.
    follow: bool,
}

/// A descriptor that is open as long as a handle: the program may have closed it, and opened another file with its number.
#[derive(Debug)]
struct Kept(Option<(OwnedFd, Identity)>);

impl Kept {
    fn new(fd: OwnedFd) -> io::Result<Kept> {
        let identity = file::identity(fd.as_fd())?;
        Ok(Kept(Some((fd, identity))))
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("present until drop").0.as_fd()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some((fd, identity)) = self.0.take() {
            file::close_intact(fd, identity);
        }
    }
}

/// Status of a file, obtained without opening it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status {
    pub(crate) identity: Identity,
    pub(crate) file_type: FileType,
    /// The permission bits.
    pub(crate) mode: u32,
    /// The owner's user id.
    pub(crate) owner: u32,
    /// The group's id.
    pub(crate) group: u32,
    /// True if the file has more than one name.
    pub(crate) is_linked: bool,
}

impl Directory {
    /// Walks down `path`. A symbolic link in a directory that everybody can write to is not followed, unless
    /// `follow_everywhere`: anybody could have put it there.
    pub(crate) fn find(path: &Path, follow_everywhere: bool) -> io::Result<Directory> {
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
        let start = if path.is_absolute() { "/" } else { "." };
        let mut directory = fs::openat(CWD, start, DIRECTORY, Mode::empty())?;
        let mut standard = Vec::new();
        while directory.as_raw_fd() <= libc::STDERR_FILENO {
            let next = fs::openat(CWD, start, DIRECTORY, Mode::empty())?;
            standard.push(std::mem::replace(&mut directory, next));
        }
        // Without links to refuse, the kernel does it in one step.
        if follow_everywhere && let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            directory = fs::openat(&directory, parent, DIRECTORY, Mode::empty())?;
        } else {
            for step in path.parent().into_iter().flat_map(Path::components) {
                if let Component::Normal(_) | Component::ParentDir = step {
                    directory = descend(directory.as_fd(), step.as_os_str())?;
                }
            }
        }
        let follow = follow_everywhere || !open_to_everybody(directory.as_fd())?;
        let standard = standard.into_iter().map(Kept::new).collect::<io::Result<_>>()?;
        Ok(Directory { directory: Kept::new(directory)?, _standard: standard, name, follow })
    }

    /// Looks up the file without opening it: returns a descriptor that can only be asked about. `None` if there is no file. A
    /// symbolic link that may not be followed is an error.
    pub(crate) fn probe(&self) -> io::Result<Option<OwnedFd>> {
        match fs::openat(&self.directory, &self.name, OFlags::PATH | OFlags::CLOEXEC | self.nofollow(), Mode::empty()) {
            Ok(fd) if status(fd.as_fd())?.file_type == FileType::Symlink => Err(link_refused()),
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a file, open for reading and writing. `None` if there is something already.
    pub(crate) fn create(&self, mode: u32) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OPENING;
        match fs::openat(&self.directory, &self.name, flags, Mode::from_raw_mode(mode)) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns whether a symbolic link in this place is followed.
    pub(crate) fn follows_links(&self) -> bool {
        self.follow
    }

    /// Creates a file without a name in the directory, open for reading and writing, which [`link`](Self::link) can give its
    /// name. `None` if the file system has no such files, or there is no `/proc` to name one by.
    pub(crate) fn create_nameless(&self, mode: u32) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OPENING;
        match fs::openat(&self.directory, c".", flags, Mode::from_raw_mode(mode)) {
            Ok(fd) if fs::statat(CWD, through_proc(fd.as_fd()), AtFlags::empty()).is_ok() => Ok(Some(fd)),
            // Kernels that do not know the flag take it for an attempt to write to the directory.
            Ok(_) | Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a file without a name this one; an error if there is something of that name.
    pub(crate) fn link(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(fs::linkat(CWD, through_proc(fd), &self.directory, &self.name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Creates a file of another name in the same directory, open for reading and writing.
    pub(crate) fn create_beside(&self, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OPENING;
        Ok(fs::openat(&self.directory, name, flags, Mode::from_raw_mode(mode))?)
    }

    /// Renames a file of that directory to this name; an error if there is something of this name.
    pub(crate) fn rename_beside(&self, from: &OsStr) -> io::Result<()> {
        match fs::renameat_with(&self.directory, from, &self.directory, &self.name, RenameFlags::NOREPLACE) {
            // The file system does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::linkat(&self.directory, from, &self.directory, &self.name, AtFlags::empty())?;
                self.remove_beside(from);
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    /// Deletes a file of that directory, as far as that can be done.
    pub(crate) fn remove_beside(&self, name: &OsStr) {
        let _ = fs::unlinkat(&self.directory, name, AtFlags::empty());
    }

    /// Returns whether there is anything of this name.
    pub(crate) fn is_taken(&self) -> bool {
        fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Opens whatever is in this place now, which may be another file than a moment ago.
    pub(crate) fn open(&self, writable: bool) -> io::Result<OwnedFd> {
        Ok(fs::openat(&self.directory, &self.name, access(writable) | OPENING | self.nofollow(), Mode::empty())?)
    }

    /// Deletes the name, if it stands for that file; says whether it does. A symbolic link stands for what it leads to.
    pub(crate) fn remove(&self, wanted: Identity) -> io::Result<bool> {
        let stat = fs::statat(&self.directory, &self.name, AtFlags::empty())?;
        if (Identity { device: stat.st_dev, inode: stat.st_ino }) != wanted {
            return Ok(false);
        }
        fs::unlinkat(&self.directory, &self.name, AtFlags::empty())?;
        Ok(true)
    }

    /// Opens the directory's entries, to be written back when they have changed: then no descriptor may be missing.
    pub(crate) fn entries(&self) -> io::Result<Entries> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::openat(&self.directory, c".", flags, Mode::empty()) {
            Ok(directory) => Ok(Entries(Some(directory))),
            // It may be written to, but not read.
            Err(Errno::ACCESS | Errno::PERM) => Ok(Entries(None)),
            Err(error) => Err(error.into()),
        }
    }

    fn nofollow(&self) -> OFlags {
        if self.follow { OFlags::empty() } else { OFlags::NOFOLLOW }
    }
}

/// The entries of a directory.
pub(crate) struct Entries(Option<OwnedFd>);

impl Entries {
    /// Waits until they are on the disk, where the file system can do so.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let Some(directory) = &self.0 else { return Ok(()) };
        match rustix::io::retry_on_intr(|| fs::fsync(directory)) {
            Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// `NONBLOCK`, so that a FIFO that took the file's place does not keep us waiting; for regular files it has no effect.
const OPENING: OFlags = OFlags::CLOEXEC.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

fn access(writable: bool) -> OFlags {
    if writable { OFlags::RDWR } else { OFlags::RDONLY }
}

fn descend(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let nofollow = if open_to_everybody(directory)? { OFlags::NOFOLLOW } else { OFlags::empty() };
    fs::openat(directory, name, DIRECTORY | nofollow, Mode::empty()).map_err(|error| {
        let is_link = || {
            let status = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
            status.is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Symlink)
        };
        if !nofollow.is_empty() && is_link() { link_refused() } else { error.into() }
    })
}

fn open_to_everybody(directory: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(status(directory)?.mode & 0o002 != 0)
}

fn link_refused() -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        "a symbolic link in a directory that everybody can write to is not followed (option `follow_symlinks`)",
    )
}

/// Returns what is known about an open file; `O_PATH` descriptors too.
pub(crate) fn status(fd: BorrowedFd<'_>) -> io::Result<Status> {
    let stat = fs::fstat(fd)?;
    Ok(Status {
        identity: Identity { device: stat.st_dev, inode: stat.st_ino },
        file_type: FileType::from_raw_mode(stat.st_mode),
        mode: stat.st_mode & 0o7777,
        owner: stat.st_uid,
        group: stat.st_gid,
        is_linked: stat.st_nlink > 1,
    })
}

/// Opens the very file that a descriptor stands for once more, with an open file description of its own. `None`
/// if the system has no `/proc` to do so.
pub(crate) fn reopen(fd: BorrowedFd<'_>, writable: bool) -> io::Result<Option<OwnedFd>> {
    match fs::openat(CWD, through_proc(fd), access(writable) | OPENING, Mode::empty()) {
        Ok(new) if file::identity(new.as_fd())? == file::identity(fd)? => Ok(Some(new)),
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Returns an error unless the effective user may open the file that the descriptor stands for.
pub(crate) fn check_access(fd: BorrowedFd<'_>, writable: bool) -> io::Result<()> {
    let wanted = if writable { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
    match fs::accessat(CWD, through_proc(fd), wanted, AtFlags::EACCESS) {
        // Without `/proc`, under a kernel that cannot tell, or in a sandbox that does not know the call `faccessat2` and so forbids it,
        // it goes without the check.
        Ok(()) | Err(Errno::NOENT | Errno::NOSYS | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn through_proc(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Returns the kind of the file system; 0 where a sandbox does not let the process ask.
fn file_system(fd: BorrowedFd<'_>) -> io::Result<i64> {
    match fs::fstatfs(fd) {
        Ok(status) => Ok(status.f_type),
        Err(Errno::NOSYS | Errno::PERM) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether the file lies on an overlay file system. There a descriptor that was opened for reading before anybody opened
/// the file for writing goes on standing for the file in the lower layer, under the same device and inode.
pub(crate) fn is_overlaid(fd: BorrowedFd<'_>) -> io::Result<bool> {
    const OVERLAY: i64 = 0x794c_7630;
    Ok(file_system(fd)? == OVERLAY)
}

/// Returns an error for a file system whose files can be mapped, but neither written to nor given space in the ordinary way.
pub(crate) fn check_mappable(fd: BorrowedFd<'_>) -> io::Result<()> {
    const HUGETLBFS: i64 = 0x958458f6;
    if file_system(fd)? == HUGETLBFS {
        let text =
            "a hugetlbfs cannot hold objects: its files cannot be written to; use a tmpfs mounted with `huge=always`";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    Ok(())
}

/// Returns the user whose rights this process has.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Changes the permission bits.
pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Returns the path without symbolic links.
pub(crate) fn real(path: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// The most symbolic links followed one after the other: the kernel's limit.
const MOST_LINKS: u32 = 40;

/// Returns where the symbolic link at an absolute path leads, whether or not there is a file.
pub(crate) fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            // No link, or nothing at all.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::LOOP.into())
}

/// Deletes the files in the directory of `path` whose names begin with `prefix`, as far as that can be done.
pub(crate) fn remove_beside(path: &Path, prefix: &str) {
    let Some(entries) = path.parent().and_then(|directory| std::fs::read_dir(directory).ok()) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().as_bytes().starts_with(prefix.as_bytes())) {
        let _ = fs::unlink(entry.path());
    }
}

/// Renames a file, replacing any file of that name.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    Ok(fs::rename(from, to)?)
}

/// Deletes the name of a file, as [`Directory::remove`] does, without a descriptor.
pub(crate) fn remove(path: &Path, wanted: Identity) -> io::Result<bool> {
    let stat = fs::stat(path)?;
    if (Identity { device: stat.st_dev, inode: stat.st_ino }) != wanted {
        return Ok(false);
    }
    fs::unlink(path)?;
    Ok(true)
}

/// Deletes a directory entry.
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    Ok(fs::unlink(path)?)
}
