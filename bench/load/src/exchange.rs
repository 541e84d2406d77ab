//! The load of requests and answers: each connection sends, waits for all of the answer, sends
//! again.
//!
//! Before the first window every connection exchanges one message of its own, byte for byte. In the
//! window bytes are only counted: to compare them would cost the CPU that the server runs on its
//! cache.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::clock::now_ns;
use crate::meter::Meter;
use crate::options::Options;
use crate::poll::{Poll, Wish};
use crate::server::raise_limit;

/// A server that does not answer within this time never will.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// This part of a window comes before it, unmeasured.
const WARM_UP: u64 = 8;
const BUFFER_BYTES: usize = 256 * 1024;
/// What the server is asked for, and must answer in its body.
const HTTP_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n";
const HTTP_BODY: &[u8] = b"Hello, World!";

/// One connection; the numbers are bytes of the exchange that is under way.
struct Connection {
    stream: TcpStream,
    unsent: usize,
    missing: usize,
}

/// All connections, and what is said on each of them.
struct Load {
    poll: Poll,
    connections: Vec<Connection>,
    request: Vec<u8>,
    answer_bytes: usize,
    buffer: Vec<u8>,
}

/// When no further request is sent.
enum Until {
    Time(u64),
    /// So many are left to send.
    Count(u64),
}

impl Until {
    fn allows_one_more(&mut self) -> bool {
        match self {
            Self::Time(end_ns) => now_ns() < *end_ns,
            Self::Count(0) => false,
            Self::Count(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// Messages of `--size` bytes that come back as they were.
///
/// # Errors
///
/// What comes back is something else, or the connection breaks.
pub(crate) fn echo(options: &Options) -> io::Result<String> {
    let streams = connect(options)?;
    for (number, stream) in streams.iter().enumerate() {
        compare(stream, &message(options.size, number))?;
    }
    Load::new(streams, message(options.size, 0), options.size)?.run(options)
}

/// `GET /` on connections that stay open. All answers must be as long as the first.
///
/// # Errors
///
/// The first answer is not what it should be, or the connection breaks.
pub(crate) fn http(options: &Options) -> io::Result<String> {
    let streams = connect(options)?;
    let mut answer_bytes = 0;
    for mut stream in &streams {
        stream.write_all(HTTP_REQUEST)?;
        answer_bytes = read_http(stream)?;
    }
    Load::new(streams, HTTP_REQUEST.to_vec(), answer_bytes)?.run(options)
}

/// Opens `--connections` connections.
pub(crate) fn connect(options: &Options) -> io::Result<Vec<TcpStream>> {
    raise_limit()?;
    let connect_one = |_| {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, options.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    (0..options.connections).map(connect_one).collect()
}

/// Sends a message and compares what comes back.
///
/// # Errors
///
/// It is something else, or the connection breaks.
pub(crate) fn compare(mut stream: &TcpStream, message: &[u8]) -> io::Result<()> {
    let mut back = vec![0; message.len()];
    // Both at a time: the server need not keep what the kernel has no room for.
    thread::scope(|scope| {
        let sent = scope.spawn(|| (&mut &*stream).write_all(message));
        stream.read_exact(&mut back)?;
        sent.join().unwrap_or_else(|_| Err(io::Error::other("the sending thread panicked")))
    })?;
    if back == message {
        return Ok(());
    }
    let at = back.iter().zip(message).position(|(a, b)| a != b).unwrap_or(0);
    Err(io::Error::other(format!("the echo of {} bytes differs at {at}", message.len())))
}

/// Bytes that repeat late and that no two connections share.
pub(crate) fn message(size: usize, number: usize) -> Vec<u8> {
    let mut state = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..size.max(1)).map(|_| byte()).collect()
}

/// Reads one answer, compares its body; the answer is how long it was, head and all.
fn read_http(stream: &TcpStream) -> io::Result<usize> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let (mut head_bytes, mut body_bytes) = (0, None);
    while line != "\r\n" {
        line.clear();
        let read = reader.read_line(&mut line)?;
        if read == 0 || (head_bytes == 0 && !line.starts_with("HTTP/1.1 200 ")) {
            return Err(io::Error::other(format!("no answer of HTTP: {line:?}")));
        }
        head_bytes += read;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            body_bytes = value.trim().parse::<usize>().ok();
        }
    }
    let mut body = vec![0; body_bytes.ok_or_else(|| io::Error::other("no content-length"))?];
    reader.read_exact(&mut body)?;
    if body != HTTP_BODY || !reader.buffer().is_empty() {
        return Err(io::Error::other("another body than expected"));
    }
    Ok(head_bytes + body.len())
}

impl Load {
    fn new(streams: Vec<TcpStream>, request: Vec<u8>, answer_bytes: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(streams.len());
        for (number, stream) in streams.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            poll.add(&stream, number, Wish::Read)?;
            connections.push(Connection { stream, unsent: 0, missing: 0 });
        }
        Ok(Self { poll, connections, request, answer_bytes, buffer: vec![0; BUFFER_BYTES] })
    }

    /// A window, and what it cost the server.
    fn run(mut self, options: &Options) -> io::Result<String> {
        let window_ns = options.milliseconds * 1_000_000;
        if options.count == 0 {
            self.exchange(Until::Time(now_ns() + window_ns / WARM_UP))?;
        }
        let meter = Meter::new(options.server);
        let start = meter.start()?;
        let requests = self.exchange(match options.count {
            0 => Until::Time(now_ns() + window_ns),
            count => Until::Count(count),
        })?;
        meter.stop(&start, requests)
    }

    /// Keeps every connection busy until the end, then waits for the answers that are under way.
    fn exchange(&mut self, mut until: Until) -> io::Result<u64> {
        let mut under_way = 0;
        for number in 0..self.connections.len() {
            if until.allows_one_more() {
                self.ask(number)?;
                under_way += 1;
            }
        }
        let mut answered = 0;
        while under_way > 0 {
            for index in 0..self.poll.wait()? {
                let (number, readable, writable) = self.poll.event(index);
                if writable {
                    self.send_more(number, true)?;
                }
                if readable && self.receive(number)? {
                    answered += 1;
                    if until.allows_one_more() {
                        self.ask(number)?;
                    } else {
                        under_way -= 1;
                    }
                }
            }
        }
        Ok(answered)
    }

    /// Begins an exchange.
    fn ask(&mut self, number: usize) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.unsent = self.request.len();
        connection.missing = self.answer_bytes;
        self.send_more(number, false)
    }

    /// Sends what the kernel takes; the rest waits for it to be writable.
    fn send_more(&mut self, number: usize, was_waiting: bool) -> io::Result<()> {
        let connection = &mut self.connections[number];
        let rest = &self.request[self.request.len() - connection.unsent..];
        match send(&connection.stream, rest, SendFlags::NOSIGNAL) {
            Ok(sent) => connection.unsent -= sent,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        let waits = connection.unsent > 0;
        if waits != was_waiting {
            let wish = if waits { Wish::ReadAndWrite } else { Wish::Read };
            self.poll.change(&connection.stream, number, wish)?;
        }
        Ok(())
    }

    /// Receives once; whether the answer is complete now.
    fn receive(&mut self, number: usize) -> io::Result<bool> {
        let connection = &mut self.connections[number];
        let got = match recv(&connection.stream, self.buffer.as_mut_slice(), RecvFlags::empty()) {
            Ok((0, _)) => return Err(io::Error::other("the server has closed a connection")),
            Ok((got, _)) => got,
            Err(Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if got > connection.missing {
            return Err(io::Error::other("the server has sent more than it was asked for"));
        }
        connection.missing -= got;
        Ok(connection.missing == 0)
    }
}
