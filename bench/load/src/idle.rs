//! What a connection that does nothing costs its server in memory.
//!
//! Each connection has exchanged one small message before, as one that waits for its next request
//! has. Sockets are the kernel's memory, which is not the process's: what is seen here is what the
//! loop itself keeps.

use std::io;
use std::net::TcpStream;

use crate::exchange::{compare, connect, message};
use crate::meter::Meter;
use crate::options::Options;

/// So many come before the first look, so that the first table or pool does not count.
const BEFORE: usize = 200;
const MESSAGE_BYTES: usize = 64;

/// Opens `--connections` and says how many bytes each has added to the server.
///
/// # Errors
///
/// The server does not answer, or does not accept all of them.
pub(crate) fn load(options: &Options) -> io::Result<String> {
    let meter = Meter::new(options.server);
    let page = rustix::param::page_size();
    let _first = open(options, BEFORE)?;
    let before = meter.resident_at_rest(page)?;
    let _others = open(options, options.connections)?;
    let after = meter.resident_at_rest(page)?;
    let each = after.saturating_sub(before) as f64 / options.connections as f64;
    Ok(format!(r#"{{"bytes": {each:.1}}}"#))
}

/// Connects, and exchanges a message, so that the server is known to have accepted all of them.
fn open(options: &Options, count: usize) -> io::Result<Vec<TcpStream>> {
    let streams =
        connect(&Options { connections: count, port: options.port, ..Options::default() })?;
    let message = message(MESSAGE_BYTES, 0);
    for stream in &streams {
        compare(stream, &message)?;
    }
    Ok(streams)
}
