//! The raw servers: the least that a level-triggered epoll can do for the job.
//!
//! One receive and one send for each event, all through one buffer that stays in the cache, and no
//! `epoll_ctl` but when a connection comes or when the peer does not take what it is sent.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::poll::{Poll, Wish};

/// What asyncio receives at most at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// No connection has this number.
const LISTENER: usize = usize::MAX;

/// A connection, and what its peer has not taken yet.
///
/// Invariant: while `unsent` is not empty, the connection waits for writing too.
struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

/// What becomes of a connection after an event.
#[derive(PartialEq, Eq)]
enum Then {
    Stay,
    Close,
}

/// Sends back whatever comes, until killed.
///
/// # Errors
///
/// What the kernel refuses: there is no peer to blame on the loopback device.
pub(crate) fn echo(say: fn(&str) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    serve(say, |poll, number, connection, readable, writable| {
        if writable && !connection.unsent.is_empty() {
            let sent = answer(send(&connection.stream, &connection.unsent, SendFlags::NOSIGNAL))?;
            connection.unsent.drain(..sent);
            if connection.unsent.is_empty() {
                poll.change(&connection.stream, number, Wish::Read)?;
            }
        }
        // Like a loop's flow control: who does not take what he gets is not heard meanwhile.
        if !readable || !connection.unsent.is_empty() {
            return Ok(Then::Stay);
        }
        let got = match recv(&connection.stream, buffer.as_mut_slice(), RecvFlags::empty()) {
            Ok((0, _)) | Err(Errno::CONNRESET) => return Ok(Then::Close),
            other => answer(other.map(|(got, _)| got))?,
        };
        let sent = answer(send(&connection.stream, &buffer[..got], SendFlags::NOSIGNAL))?;
        if sent < got {
            connection.unsent.extend_from_slice(&buffer[sent..got]);
            poll.change(&connection.stream, number, Wish::ReadAndWrite)?;
        }
        Ok(Then::Stay)
    })
}

/// Sends one byte back and closes, until killed.
///
/// # Errors
///
/// What the kernel refuses.
pub(crate) fn accept(say: fn(&str) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    serve(say, |_, _, connection, _, _| {
        let received = recv(&connection.stream, buffer.as_mut_slice(), RecvFlags::empty());
        if received == Err(Errno::CONNRESET) {
            return Ok(Then::Close);
        }
        let got = answer(received.map(|(got, _)| got))?;
        answer(send(&connection.stream, &buffer[..got], SendFlags::NOSIGNAL))?;
        Ok(Then::Close)
    })
}

/// Accepts, and gives every event of a connection to `handle`.
fn serve(
    say: fn(&str) -> io::Result<()>,
    mut handle: impl FnMut(&Poll, usize, &mut Connection, bool, bool) -> io::Result<Then>,
) -> io::Result<()> {
    raise_limit()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    // The standard library's queue of waiting connections is too short for 500 at a time.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER, Wish::Read)?;
    say(&format!(r#"{{"port": {}}}"#, listener.local_addr()?.port()))?;
    // By descriptor: the kernel gives out the smallest numbers that are free.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    loop {
        for index in 0..poll.wait()? {
            let (number, readable, writable) = poll.event(index);
            if number == LISTENER {
                welcome(&listener, &poll, &mut connections)?;
            } else if let Some(connection) = &mut connections[number]
                && handle(&poll, number, connection, readable, writable)? == Then::Close
            {
                connections[number] = None;
            }
        }
    }
}

/// Accepts everybody who waits, as the loops do.
fn welcome(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        let accepted: OwnedFd = match accept_with(listener.as_fd(), flags) {
            Ok(accepted) => accepted,
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let stream = TcpStream::from(accepted);
        stream.set_nodelay(true)?;
        let number = usize::try_from(stream.as_raw_fd()).map_err(io::Error::other)?;
        poll.add(&stream, number, Wish::Read)?;
        if connections.len() <= number {
            connections.resize_with(number + 1, || None);
        }
        connections[number] = Some(Connection { stream, unsent: Vec::new() });
    }
}

/// How many bytes; none where the kernel says that it would block.
fn answer(result: Result<usize, Errno>) -> io::Result<usize> {
    match result.map_err(io::Error::from) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// Lets this process have as many descriptors as it may.
///
/// # Errors
///
/// The kernel refuses, which it does not below the hard limit.
pub(crate) fn raise_limit() -> io::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
