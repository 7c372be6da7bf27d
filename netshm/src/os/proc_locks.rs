//! The kernel's list of file locks, with their holders and waiters as far as the kernel names them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::RangeInclusive;

use rustix::fs::makedev;

use super::file::Identity;

/// Longer lists are not read to the end: what they say is a help, and nothing is decided by it.
const MOST_LINES: usize = 1 << 20;

/// A lock on some bytes of a file, or a wait for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelLock {
    pub(crate) bytes: RangeInclusive<u64>,
    /// The process, for locks of processes; OFD locks belong to nobody in particular.
    pub(crate) pid: Option<u32>,
    pub(crate) is_exclusive: bool,
    /// True if somebody waits for the lock, and does not hold it.
    pub(crate) waits: bool,
}

/// The locks by their files.
pub(crate) type ByFile = HashMap<Identity, Vec<KernelLock>>;

/// Reads the list; every process may.
pub(crate) fn read() -> io::Result<ByFile> {
    Ok(parse(&fs::read_to_string("/proc/locks")?))
}

/// Lines that are not understood say nothing.
fn parse(text: &str) -> ByFile {
    let mut locks = ByFile::new();
    for (file, lock) in text.lines().take(MOST_LINES).filter_map(parse_line) {
        locks.entry(file).or_default().push(lock);
    }
    locks
}

/// Reads a line as `7: -> POSIX  ADVISORY  WRITE 814 00:1b:4711 0 EOF`.
fn parse_line(line: &str) -> Option<(Identity, KernelLock)> {
    let mut words = line.split_ascii_whitespace().skip(1).peekable();
    let waits = words.next_if_eq(&"->").is_some();
    let is_ofd = match words.next()? {
        "POSIX" => false,
        "OFDLCK" => true,
        _ => return None,
    };
    let is_exclusive = match words.nth(1)? {
        "WRITE" => true,
        "READ" => false,
        _ => return None,
    };
    let pid = words.next()?.parse::<i64>().ok()?;
    let pid = if is_ofd { None } else { Some(u32::try_from(pid).ok()?) };
    let mut place = words.next()?.split(':');
    let [major, minor] = [place.next()?, place.next()?].map(|number| u32::from_str_radix(number, 16));
    let file = Identity { device: makedev(major.ok()?, minor.ok()?), inode: place.next()?.parse().ok()? };
    let start = words.next()?.parse().ok()?;
    let end = match words.next()? {
        "EOF" => u64::MAX,
        end => end.parse().ok()?,
    };
    Some((file, KernelLock { bytes: start..=end, pid, is_exclusive, waits }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        let text = "1: OFDLCK ADVISORY  READ -1 00:1b:1621065 4611686018427387904 4611686018427387904\n\
                    2: POSIX  ADVISORY  WRITE 814 08:01:77 128 EOF\n\
                    2: -> POSIX  ADVISORY  READ  815 08:01:77 128 129\n\
                    3: FLOCK  ADVISORY  WRITE 3 08:01:77 0 EOF\n\
                    4: LEASE  ACTIVE    WRITE 3 08:01:77 0 EOF\n\
                    5: POSIX  ADVISORY  WRITE nonsense\n\
                    \n";
        let locks = parse(text);
        let file = |major, minor, inode| Identity { device: makedev(major, minor), inode };
        let used = 1 << 62;
        let ofd = KernelLock { bytes: used..=used, pid: None, is_exclusive: false, waits: false };
        assert_eq!(locks[&file(0, 0x1b, 1_621_065)], [ofd]);
        let held = KernelLock { bytes: 128..=u64::MAX, pid: Some(814), is_exclusive: true, waits: false };
        let waiting = KernelLock { bytes: 128..=129, pid: Some(815), is_exclusive: false, waits: true };
        assert_eq!(locks[&file(8, 1, 77)], [held, waiting]);
        assert_eq!(locks.len(), 2);
    }
}
