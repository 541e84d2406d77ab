//! The load of short connections: connect, one byte there and back, until the server closes.
//!
//! `--connections` are opened one after the other, then each is read to its end. On the loopback
//! device `connect()` returns as soon as the kernel has queued the connection, so the server finds
//! a whole group waiting.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::clock::now_ns;
use crate::exchange::connect;
use crate::meter::Meter;
use crate::options::Options;

/// A window for whole groups: the last one is finished.
///
/// # Errors
///
/// A server that answers something else, or does not close.
pub(crate) fn load(options: &Options) -> io::Result<String> {
    for stream in group(options)? {
        finish(stream)?;
    }
    let meter = Meter::new(options.server);
    let start = meter.start()?;
    let end_ns = now_ns() + options.milliseconds * 1_000_000;
    let mut requests = 0;
    while if options.count == 0 { now_ns() < end_ns } else { requests < options.count } {
        for stream in group(options)? {
            finish(stream)?;
            requests += 1;
        }
    }
    meter.stop(&start, requests)
}

fn group(options: &Options) -> io::Result<Vec<TcpStream>> {
    let streams = connect(options)?;
    for mut stream in &streams {
        stream.write_all(b"1")?;
    }
    Ok(streams)
}

/// Reads the byte and the end.
fn finish(mut stream: TcpStream) -> io::Result<()> {
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    if back != b"1" {
        return Err(io::Error::other(format!("the server answered {back:?} and closed")));
    }
    // Both sides have closed by then. A reset keeps the kernel from remembering the connection for
    // a minute, of which there would be ten thousands.
    Ok(set_socket_linger(&stream, Some(Duration::ZERO))?)
}
