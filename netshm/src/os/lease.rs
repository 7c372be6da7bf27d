//! Leases, which the kernel grants only where nobody else has a file open: so it shows whether somebody has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `F_SETSIG`, which libc lacks: which signal tells that somebody wants to open the file.
const SET_SIGNAL: i32 = 10;
/// The signal for whoever wants to open the file meanwhile: one that is ignored unless the program handles it.
const SIGNAL: i32 = libc::SIGURG;

/// Returns whether anybody, this process through another descriptor included, has the file open or mapped. The descriptor must be open
/// for writing. `None` where the system does not say: to others than the owner of the file, and on some file systems.
pub(crate) fn is_open_elsewhere(fd: BorrowedFd<'_>) -> Option<bool> {
    if set(fd, SET_SIGNAL, SIGNAL).is_err() {
        return None;
    }
    match set(fd, libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(()) => {
            // Whoever tries to open the file at this moment waits until then.
            let _ = set(fd, libc::F_SETLEASE, libc::F_UNLCK);
            Some(false)
        }
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Some(true),
        Err(_) => None,
    }
}

fn set(fd: BorrowedFd<'_>, command: i32, argument: i32) -> io::Result<()> {
    // SAFETY: these commands of `fcntl` take a number, not a pointer, so they access no memory of ours. The descriptor is
    // borrowed, and so open.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn other_descriptors_are_noticed() {
        let scratch = Scratch::empty();
        let one = scratch.file();
        // Some systems do not say.
        assert_ne!(is_open_elsewhere(one.as_fd()), Some(true));
        let tells = is_open_elsewhere(one.as_fd()).is_some();
        let other = scratch.file();
        assert_ne!(is_open_elsewhere(one.as_fd()), Some(false));
        assert_eq!(is_open_elsewhere(one.as_fd()).is_some(), tells);
        drop(other);
        assert_ne!(is_open_elsewhere(one.as_fd()), Some(true));
    }
}
