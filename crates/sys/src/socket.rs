//! Sockets that never wait: bytes in and out, connections accepted, names asked for.
//!
//! A socket is named by the number of its descriptor, for whoever holds it may be a Python object
//! whose program closes it at any time; the call then answers `EBADF`. Who owns a descriptor, and
//! that its number is not somebody else's by now, is for the host to know. A connection that is
//! accepted is nobody's yet, and comes as what closes it.
//!
//! Every call is made once: it is for the caller to try again after `EINTR` or `EAGAIN`.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny,
    SocketFlags,
};

/// What a socket is called, at this end or the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// Nobody knows, or it is of a family that is not spelled here.
    #[default]
    Unknown,
    /// A UNIX socket without a name.
    Unnamed,
    /// An address and a port of IPv4.
    V4(SocketAddrV4),
    /// An address, a port, flow information and a scope of IPv6.
    V6(SocketAddrV6),
}

const UNNAMED: u32 = 1;
const V4: u32 = 4;
const V6: u32 = 6;

impl Name {
    /// The name in seven words; all zeros is [`Name::Unknown`].
    #[must_use]
    pub fn pack(self) -> [u32; 7] {
        match self {
            Self::Unknown => [0; 7],
            Self::Unnamed => [UNNAMED, 0, 0, 0, 0, 0, 0],
            Self::V4(name) => {
                [V4 << 16 | u32::from(name.port()), name.ip().to_bits(), 0, 0, 0, 0, 0]
            }
            Self::V6(name) => {
                let bits = name.ip().to_bits();
                // The words of the address, the highest first.
                let word = |place: u32| (bits >> (96 - 32 * place)) as u32;
                let head = V6 << 16 | u32::from(name.port());
                [head, word(0), word(1), word(2), word(3), name.flowinfo(), name.scope_id()]
            }
        }
    }

    /// The name that was [packed](Self::pack).
    #[must_use]
    pub fn unpack(words: [u32; 7]) -> Self {
        let port = (words[0] & 0xFFFF) as u16;
        match words[0] >> 16 {
            V4 => Self::V4(SocketAddrV4::new(words[1].into(), port)),
            V6 => {
                let bits = words[1..5].iter().fold(0, |bits, word| bits << 32 | u128::from(*word));
                Self::V6(SocketAddrV6::new(Ipv6Addr::from_bits(bits), port, words[5], words[6]))
            }
            _ if words[0] == UNNAMED => Self::Unnamed,
            _ => Self::Unknown,
        }
    }

    fn of(address: &SocketAddrAny) -> Self {
        match address.address_family() {
            AddressFamily::INET => {
                SocketAddrV4::try_from(address.clone()).map_or(Self::Unknown, Self::V4)
            }
            AddressFamily::INET6 => {
                SocketAddrV6::try_from(address.clone()).map_or(Self::Unknown, Self::V6)
            }
            AddressFamily::UNIX => net::SocketAddrUnix::try_from(address.clone())
                .ok()
                .filter(|address| {
                    let path = address.path_bytes().unwrap_or_default();
                    path.is_empty() && address.abstract_name().is_none()
                })
                .map_or(Self::Unknown, |_| Self::Unnamed),
            _ => Self::Unknown,
        }
    }
}

/// The numbers of the errors that a host treats otherwise than the rest.
pub const EAGAIN: i32 = Errno::AGAIN.raw_os_error();
/// See [`EAGAIN`].
pub const EINTR: i32 = Errno::INTR.raw_os_error();
/// See [`EAGAIN`].
pub const ECONNABORTED: i32 = Errno::CONNABORTED.raw_os_error();

/// The numbers of the families whose addresses are spelled here.
pub const INET: i32 = AddressFamily::INET.as_raw() as i32;
/// See [`INET`].
pub const INET6: i32 = AddressFamily::INET6.as_raw() as i32;
/// The numbers by which Python is asked for a socket's error.
pub const SOL_SOCKET: i32 = libc::SOL_SOCKET;
/// See [`SOL_SOCKET`].
pub const SO_ERROR: i32 = libc::SO_ERROR;

/// Takes what has arrived, at most as much as `buffer` holds; 0 is the end.
///
/// # Errors
///
/// `EAGAIN` if nothing has arrived; what the connection died of.
#[inline]
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (received, _) = net::recv(borrow(fd)?, buffer, RecvFlags::empty())?;
    Ok(received)
}

/// The same into memory that was never written, and into more where that does not suffice. What is
/// counted is written, first of the one, then of the other.
///
/// # Errors
///
/// As for [`recv`].
pub fn recv_spilling(
    fd: RawFd,
    memory: &mut [MaybeUninit<u8>],
    more: &mut [u8],
) -> io::Result<usize> {
    let places = [
        libc::iovec { iov_base: memory.as_mut_ptr().cast(), iov_len: memory.len() },
        libc::iovec { iov_base: more.as_mut_ptr().cast(), iov_len: more.len() },
    ];
    // SAFETY: both places are lent to us for writing for the time of the call, and their number is
    // that of the array; the kernel answers `EBADF` for a descriptor that is not open.
    let count = unsafe { libc::readv(fd, places.as_ptr(), 2) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Takes a datagram, or what has arrived, and the name of who sent it.
///
/// # Errors
///
/// As for [`recv`].
pub fn recvfrom(fd: RawFd, buffer: &mut [u8]) -> io::Result<(usize, Name)> {
    let (count, _, address) = net::recvfrom(borrow(fd)?, buffer, RecvFlags::empty())?;
    Ok((count, address.as_ref().map_or(Name::Unknown, Name::of)))
}

/// Sends as much as the kernel takes.
///
/// # Errors
///
/// `EAGAIN` if it takes nothing now, `EPIPE` (without the signal) and what else the connection died
/// of.
#[inline]
pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(net::send(borrow(fd)?, bytes, SendFlags::NOSIGNAL)?)
}

/// Sends pieces in one call, as much of them as the kernel takes; it looks at the first 1,024.
///
/// # Errors
///
/// As for [`send`].
pub fn send_vectored(fd: RawFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    const MOST: usize = 1024;
    let pieces = &pieces[..pieces.len().min(MOST)];
    let mut nothing = SendAncillaryBuffer::default();
    Ok(net::sendmsg(borrow(fd)?, pieces, &mut nothing, SendFlags::NOSIGNAL)?)
}

/// Sends a datagram to an address.
///
/// # Errors
///
/// `EAGAIN` if there is no room for it now, `EMSGSIZE` if it is too large, and what an earlier one
/// met on its way.
pub fn send_to(fd: RawFd, bytes: &[u8], address: SocketAddr) -> io::Result<usize> {
    Ok(net::sendto(borrow(fd)?, bytes, SendFlags::NOSIGNAL, &address)?)
}

/// Says that nothing more will be sent.
///
/// # Errors
///
/// `ENOTCONN` if the other side is gone.
pub fn shutdown_write(fd: RawFd) -> io::Result<()> {
    Ok(net::shutdown(borrow(fd)?, Shutdown::Write)?)
}

/// Takes a connection that waits: its descriptor, which does not block and is not inherited, and
/// who is at the other end.
///
/// # Errors
///
/// `EAGAIN` if none waits, `ECONNABORTED` if it has gone meanwhile, `EMFILE`, `ENFILE`, `ENOBUFS`,
/// `ENOMEM` if there is no room for it.
pub fn accept(fd: RawFd) -> io::Result<(OwnedFd, Name)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (accepted, address) = net::acceptfrom_with(borrow(fd)?, flags)?;
    let name = address.as_ref().map_or(Name::Unknown, Name::of);
    Ok((accepted, name))
}

/// What a socket's last call in the background failed with, once: 0 for nothing.
///
/// # Errors
///
/// `EBADF`, `ENOTSOCK`.
pub fn take_error(fd: RawFd) -> io::Result<i32> {
    let error = net::sockopt::socket_error(borrow(fd)?)?;
    Ok(error.err().map_or(0, Errno::raw_os_error))
}

/// Lets small pieces go out at once, rather than wait for more to go with them.
///
/// # Errors
///
/// `EOPNOTSUPP` for what is no TCP.
pub fn set_nodelay(fd: RawFd) -> io::Result<()> {
    Ok(net::sockopt::set_tcp_nodelay(borrow(fd)?, true)?)
}

/// What this end is called.
///
/// # Errors
///
/// `ENOTSOCK`, `EBADF`.
pub fn local_name(fd: RawFd) -> io::Result<Name> {
    Ok(Name::of(&net::getsockname(borrow(fd)?)?))
}

/// Lends a descriptor to one system call.
#[inline]
pub(crate) fn borrow<'fd>(fd: RawFd) -> io::Result<BorrowedFd<'fd>> {
    if fd < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the number is not -1. It serves for one call, which answers `EBADF` if the descriptor
    // is not open, and the host answers for whose it is.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}
