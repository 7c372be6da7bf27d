//! Sizes, space and plain reads and writes of an open file; random numbers and the boot id.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, FallocateFlags, IFlags, StatxFlags};
use rustix::io::Errno;

/// The identity of a file, unique as long as the file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// The file system.
    pub(crate) device: u64,
    /// The file in it.
    pub(crate) inode: u64,
}

/// Returns the file that a descriptor is open on; works for `O_PATH` descriptors too.
pub(crate) fn identity(fd: BorrowedFd<'_>) -> io::Result<Identity> {
    let stat = fs::fstat(fd)?;
    Ok(Identity { device: stat.st_dev, inode: stat.st_ino })
}

/// Works like [`identity`], for a number that need not be open.
pub(crate) fn identity_of_number(fd: RawFd) -> io::Result<Identity> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `fstat` writes one `stat` through the pointer, which has room for it, and nothing else. The number need not be open:
    // then the call fails.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `assume_init` requires an initialised value: the call, which has succeeded, has filled it.
    let stat = unsafe { stat.assume_init() };
    Ok(Identity { device: stat.st_dev, inode: stat.st_ino })
}

/// Returns whether the descriptor still stands for that file, and has not been closed, or closed and used again, by the program.
pub(crate) fn is_intact(fd: &impl AsRawFd, file: Identity) -> bool {
    identity_of_number(fd.as_raw_fd()).is_ok_and(|is| is == file)
}

/// Closes a descriptor, unless its number stands for another file by now.
pub(crate) fn close_intact(fd: OwnedFd, file: Identity) {
    if !is_intact(&fd, file) {
        std::mem::forget(fd);
    }
}

/// Returns another descriptor for the same open file description, above those of the standard streams.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, libc::STDERR_FILENO + 1)?)
}

/// Returns the inode, the id of the file system (`f_fsid`), which, unlike the device, is the same after a reboot and in each
/// container, and when the inode was made, since its number may be used again; 0 where the system, or a sandbox, does not say.
pub(crate) fn place(fd: BorrowedFd<'_>) -> io::Result<[u64; 3]> {
    Ok([fs::fstat(fd)?.st_ino, fs::fstatvfs(fd).map_or(0, |system| system.f_fsid), made_at(fd)])
}

/// Returns when the inode was made, in nanoseconds; 0 where the system does not say.
fn made_at(fd: BorrowedFd<'_>) -> u64 {
    match fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BTIME) {
        Ok(status) if status.stx_mask & StatxFlags::BTIME.bits() != 0 => {
            let seconds = status.stx_btime.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000);
            seconds.wrapping_add(status.stx_btime.tv_nsec.into())
        }
        _ => 0,
    }
}

/// Returns whether no directory entry leads to the file any more.
pub(crate) fn has_no_name(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(fs::fstat(fd)?.st_nlink == 0)
}

/// Returns the file's size in bytes.
pub(crate) fn size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(fs::fstat(fd)?.st_size).unwrap_or(0))
}

/// Returns the bytes that the file takes in storage or in memory.
pub(crate) fn allocated(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(fs::fstat(fd)?.st_blocks).unwrap_or(0).saturating_mul(512))
}

/// Shortens the file. (It must not be used to make one longer: that leaves a hole, which is a SIGBUS later.)
pub(crate) fn truncate(fd: BorrowedFd<'_>, len: u64) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| fs::ftruncate(fd, len))?)
}

/// Waits until the file's data, and the metadata needed to find them, are on the disk.
pub(crate) fn sync_data(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::io::retry_on_intr(|| fs::fdatasync(fd))?)
}

/// Pieces that an allocation is cut into when signals keep interrupting it: small enough to be done between two.
const SMALL_PIECE: u64 = 1 << 20;

/// Allocates space for `len` bytes from `offset` on and extends the size to match; existing data stay.
///
/// After an error the file may have grown by a part of it. The resource limit on file sizes is an error as well
/// (`EFBIG`), and no signal. On a file system without such a call, zero bytes are written beyond the current end: the
/// caller sees to it that nobody else makes the file grow meanwhile.
pub(crate) fn allocate(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let end = offset.checked_add(len).filter(|&end| i64::try_from(end).is_ok()).ok_or(Errno::FBIG)?;
    if len == 0 {
        return Ok(());
    }
    // To cross the limit raises SIGXFSZ, which ends the process.
    if end > size_limit() && end > size(fd)? {
        return Err(Errno::FBIG.into());
    }
    let (mut at, mut piece) = (offset, len);
    while at < end {
        let now = piece.min(end - at);
        match fs::fallocate(fd, FallocateFlags::empty(), at, now) {
            Ok(()) => at += now,
            // Some file systems undo the whole piece on a signal, so a timer could keep a large one from ever ending.
            Err(Errno::INTR) => piece = (now / 2).max(SMALL_PIECE),
            // The file system does not have the call, or a sandbox forbids it.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => return extend_with_zeros(fd, end),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Returns the resource limit on file sizes; none where a sandbox does not let the process ask.
fn size_limit() -> u64 {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `getrlimit` writes one `rlimit` behind the pointer, which has room for it, and nothing else.
    if unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, limit.as_mut_ptr()) } != 0 {
        return u64::MAX;
    }
    // SAFETY: `assume_init` requires an initialised value: the call, which has succeeded, has filled it. "No limit" is the largest number.
    unsafe { limit.assume_init() }.rlim_cur
}

/// The least that a file system gives a file.
const PAGE: u64 = 4096;

/// Gives the file space of its own wherever the parts of it have none, or share it with another file: a copy may have holes,
/// and the system may have made one that is copied at the first write. Where there is no room for that, writing through a
/// mapping raises SIGBUS. Nothing is done where the file system cannot.
pub(crate) fn own_space(fd: BorrowedFd<'_>, parts: &[Range<u64>]) -> io::Result<()> {
    let stat = fs::fstat(fd)?;
    // A page that two parts share counts twice: at worst, nothing is missing and it is asked for in vain.
    let in_pages = |part: &Range<u64>| (part.end.div_ceil(PAGE) * PAGE).saturating_sub(part.start / PAGE * PAGE);
    let needed = parts.iter().map(in_pages).sum::<u64>();
    let has_holes = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512) < needed;
    for (needed, flags) in [(has_holes, FallocateFlags::empty()), (true, FallocateFlags::UNSHARE_RANGE)] {
        for part in parts.iter().filter(|part| needed && part.start < part.end) {
            match rustix::io::retry_on_intr(|| fs::fallocate(fd, flags, part.start, part.end - part.start)) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Returns whether the file lies in memory, and nowhere else.
pub(crate) fn is_in_memory(fd: BorrowedFd<'_>) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58F6;
    fs::fstatfs(fd).is_ok_and(|status| matches!(status.f_type, TMPFS | RAMFS))
}

/// Returns whether a look at a hole of the file through a mapping may take memory, and raise SIGBUS where there is none: unless the file
/// system is known to show zeros.
pub(crate) fn holes_take_memory(fd: BorrowedFd<'_>) -> bool {
    const EXT: i64 = 0xEF53;
    const XFS: i64 = 0x5846_5342;
    const BTRFS: i64 = 0x9123_683E;
    const F2FS: i64 = 0xF2F5_2010;
    !fs::fstatfs(fd).is_ok_and(|status| matches!(status.f_type, EXT | XFS | BTRFS | F2FS))
}

/// Turns a part of the file into a hole; returns false where the file system cannot.
pub(crate) fn punch(fd: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<bool> {
    if len == 0 {
        return Ok(true);
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::io::retry_on_intr(|| fs::fallocate(fd, flags, offset, len)) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Asks a copy-on-write file system to write to this empty file in place.
pub(crate) fn write_in_place(fd: BorrowedFd<'_>) {
    const BTRFS: i64 = 0x9123_683E;
    if fs::fstatfs(fd).is_ok_and(|status| status.f_type == BTRFS)
        && let Ok(flags) = fs::ioctl_getflags(fd)
    {
        // Otherwise it goes without.
        let _ = fs::ioctl_setflags(fd, flags | IFlags::NOCOW);
    }
}

fn extend_with_zeros(fd: BorrowedFd<'_>, end: u64) -> io::Result<()> {
    let zeros = [0; 64 << 10];
    loop {
        let at = size(fd)?;
        if at >= end {
            return Ok(());
        }
        let piece = (end - at).min(zeros.len() as u64) as usize;
        write_at(fd, &zeros[..piece], at)?;
    }
}

/// Reads from `offset` on until `bytes` is full or the file ends; returns the number of bytes read.
pub(crate) fn read_at(fd: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pread(fd, &mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `offset`.
pub(crate) fn write_at(fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(fd, &bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Fills `bytes` from the kernel's random number generator.
pub(crate) fn random_bytes(bytes: &mut [u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: `getrandom` writes at most `rest.len()` bytes behind the pointer, and nothing else. `rest` is exclusively
        // borrowed and has that length, so the pointer is valid for writing them.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(count) {
            Ok(count) => rest = &mut rest[count..],
            Err(_) => {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    // An old kernel, or a sandbox.
                    Some(libc::ENOSYS | libc::EPERM) => return File::open("/dev/urandom")?.read_exact(rest),
                    _ => return Err(error),
                }
            }
        }
    }
    Ok(())
}

/// Returns a random number.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    random_bytes(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Returns a number that another boot of the machine does not have; zeros if the system does not say.
pub(crate) fn boot_id() -> [u64; 2] {
    static KNOWN: AtomicBool = AtomicBool::new(false);
    static ID: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    // Not a `OnceLock`, for the reason given in `fork`. Two threads store the same value.
    if !KNOWN.load(Ordering::Acquire) {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let id = parse_uuid(&text).unwrap_or_default();
        ID[0].store((id >> 64) as u64, Ordering::Relaxed);
        ID[1].store(id as u64, Ordering::Relaxed);
        KNOWN.store(true, Ordering::Release);
    }
    [ID[0].load(Ordering::Relaxed), ID[1].load(Ordering::Relaxed)]
}

fn parse_uuid(text: &str) -> Option<u128> {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    if digits.len() != 32 {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::{File, OpenOptions};
    use std::os::fd::AsFd;

    use super::*;
    use crate::os::lock_fd::LockFd;
    use crate::testing::Scratch;

    impl Scratch {
        /// Makes an empty file.
        pub(crate) fn empty() -> Scratch {
            let scratch = Scratch::new();
            OpenOptions::new().write(true).create_new(true).open(&scratch.0).unwrap();
            scratch
        }

        pub(crate) fn file(&self) -> File {
            OpenOptions::new().read(true).write(true).open(&self.0).unwrap()
        }

        pub(crate) fn open_for_locks(&self) -> LockFd {
            let identity = identity(self.file().as_fd()).unwrap();
            LockFd::open(identity, || io::Result::Ok(Some(OwnedFd::from(self.file())))).unwrap().unwrap()
        }
    }

    #[test]
    fn space_is_added_and_data_stay() {
        let scratch = Scratch::empty();
        let file = scratch.file();
        write_at(file.as_fd(), b"kept", 0).unwrap();
        allocate(file.as_fd(), 0, 100_000).unwrap();
        assert_eq!(size(file.as_fd()).unwrap(), 100_000);
        allocate(file.as_fd(), 0, 10).unwrap();
        assert_eq!(size(file.as_fd()).unwrap(), 100_000);
        let mut bytes = [1; 6];
        assert_eq!(read_at(file.as_fd(), &mut bytes, 0).unwrap(), 6);
        assert_eq!(&bytes, b"kept\0\0");
        assert_eq!(read_at(file.as_fd(), &mut bytes, 99_998).unwrap(), 2);
        truncate(file.as_fd(), 0).unwrap();
        assert_eq!(size(file.as_fd()).unwrap(), 0);
    }

    #[test]
    fn zeros_are_written_beyond_the_end_only() {
        let scratch = Scratch::empty();
        let file = scratch.file();
        write_at(file.as_fd(), &[7; 10], 0).unwrap();
        extend_with_zeros(file.as_fd(), 200_000).unwrap();
        extend_with_zeros(file.as_fd(), 5).unwrap();
        assert_eq!(size(file.as_fd()).unwrap(), 200_000);
        let mut bytes = vec![1; 200_000];
        assert_eq!(read_at(file.as_fd(), &mut bytes, 0).unwrap(), 200_000);
        assert_eq!(&bytes[..10], [7; 10]);
        assert!(bytes[10..].iter().all(|&byte| byte == 0));
        sync_data(file.as_fd()).unwrap();
    }

    #[test]
    fn impossible_sizes_are_errors() {
        let scratch = Scratch::empty();
        let file = scratch.file();
        for (offset, len) in [(u64::MAX, 1), (1, u64::MAX), (i64::MAX as u64, 1)] {
            let error = allocate(file.as_fd(), offset, len).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EFBIG));
        }
        assert_eq!(size(file.as_fd()).unwrap(), 0);
    }

    #[test]
    fn the_resource_limit_is_an_error_and_no_signal() {
        use crate::os::fork::tests::in_child;
        use rustix::process::{Resource, Rlimit, setrlimit};

        let scratch = Scratch::empty();
        let file = scratch.file();
        allocate(file.as_fd(), 0, 9000).unwrap();
        assert!(in_child(|| {
            let limit = Rlimit { current: Some(8192), maximum: Some(8192) };
            let refused = |offset, len| {
                allocate(file.as_fd(), offset, len).is_err_and(|error| error.raw_os_error() == Some(libc::EFBIG))
            };
            // What has been there before the limit is no growth.
            setrlimit(Resource::Fsize, limit).is_ok() && refused(8192, 4096) && allocate(file.as_fd(), 0, 9000).is_ok()
        }));
        assert_eq!(size(file.as_fd()).unwrap(), 9000);
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
    }

    #[test]
    fn the_boot_id_is_read() {
        assert_eq!(parse_uuid("00000000-0000-0001-0000-000000000002\n"), Some((1 << 64) + 2));
        assert_eq!(parse_uuid("nonsense"), None);
        assert_eq!(boot_id(), boot_id());
        if std::fs::exists("/proc/sys/kernel/random/boot_id").unwrap() {
            assert_ne!(boot_id(), [0, 0]);
        }
    }
}
