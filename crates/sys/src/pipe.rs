//! Pipes, and what may stand for one: bytes in and out of descriptors that are perhaps no sockets.
//!
//! As with [`socket`](crate::socket), a descriptor is named by its number, every call is made once,
//! and it is for the host to know whose the number is.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use rustix::fs::{self, FileType};

use crate::socket::borrow;

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A pipe, with a name or without.
    Fifo,
    /// A socket of any family.
    Socket,
    /// A terminal, `/dev/null`, and so on.
    CharacterDevice,
    /// A file, a directory, or what the kernel has no word for.
    Other,
}

/// Asks what a descriptor refers to.
///
/// # Errors
///
/// `EBADF`.
pub fn kind(fd: RawFd) -> io::Result<FileKind> {
    let mode = fs::fstat(borrow(fd)?)?.st_mode;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        _ => FileKind::Other,
    })
}

/// Lets no call on the descriptor wait from now on, whoever makes it.
///
/// # Errors
///
/// `EBADF`.
pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(borrow(fd)?, true)?)
}

/// Takes what has arrived, at most as much as `buffer` holds; 0 is the end.
///
/// # Errors
///
/// `EAGAIN` if nothing has arrived; `EIO` at the end of a terminal.
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(borrow(fd)?, buffer)?)
}

/// Writes as much as the kernel takes.
///
/// # Errors
///
/// `EAGAIN` if it takes nothing now, `EPIPE` if nobody reads any more.
pub fn write(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(borrow(fd)?, bytes)?)
}

/// Writes pieces in one call, as much of them as the kernel takes; it looks at the first 1,024.
///
/// # Errors
///
/// As for [`write()`].
pub fn write_vectored(fd: RawFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    const MOST: usize = 1024;
    Ok(rustix::io::writev(borrow(fd)?, &pieces[..pieces.len().min(MOST)])?)
}
