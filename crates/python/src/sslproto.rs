//! `SSLProtocol`: TLS between a transport below, of any kind, and a protocol of the application.
//!
//! Below it is a `BufferedProtocol` on a transport; above it gives out a transport of its own
//! ([`transport`]). The states and their order are in `core/src/sslproto.rs`. Names, order and
//! messages are those of asyncio's `sslproto.py`. The parts form a line, in which each knows only
//! those above it:
//!
//! ```text
//! engine      OpenSSL
//! state       the fields, and what all parts share
//! outgoing    what the application writes, encrypted and sent
//! incoming    what has come in, decrypted and handed on
//! shutdown    reading, and the end, which call each other
//! handshake   the beginning
//! below       what the transport below calls
//! attributes  what others set
//! class       what Python sees of the protocol
//! transport   what the application calls
//! ```
//!
//! A transport of ours need not call the methods that Python sees: it knows the protocol by its
//! exact type and hands bytes to [`below::receive`], by the way that [`announce`] shows it. TLS in
//! TLS goes the same way.

use pyo3::Python;
use pyo3::types::PyAnyMethods;

use crate::names;
use crate::transports::{self, Above};

mod engine;
mod state;
mod outgoing;
mod incoming;
mod shutdown;
mod handshake;
mod below;
mod attributes;
mod class;
mod transport;

pub(crate) use class::add_hot_methods;
pub(crate) use engine::{allow_direct, way};
pub(crate) use state::SSLProtocol;
pub(crate) use transport::make_type as make_transport_type;

/// Tells our transports how to hand bytes to a protocol of this class.
pub(crate) fn announce(py: Python<'_>) {
    static ABOVE: Above = Above {
        is: |protocol| {
            let class = names::SSL_PROTOCOL.get(protocol.py())?;
            Ok(protocol.get_type().is(class))
        },
        receive: |protocol, data| match SSLProtocol::cast(protocol) {
            Some(this) => below::receive(this, data),
            None => Ok(()),
        },
    };
    transports::ABOVE.set(py, Some(&ABOVE));
}
