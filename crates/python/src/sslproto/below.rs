//! The transport below: any object, or one whose insides are known.
//!
//! Transports are told apart by their exact type, for whoever derives from one may have given a
//! method another meaning. Known are our transport on a socket and our own on top of TLS, which is
//! TLS in TLS. In the other direction they call [`incoming::receive`](super::incoming::receive).

use batonloop_cpython::kind::{self, SSLTransport, SocketTransport};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, intern};

use super::transport;
use crate::names;
use crate::transports::socket;

/// Sends encrypted bytes.
#[inline]
pub(super) fn write<'py>(transport: &Bound<'py, PyAny>, data: Bound<'py, PyAny>) -> PyResult<()> {
    let py = transport.py();
    if let Some(above_tls) = kind::cast::<SSLTransport>(transport)
        && transport.get_type().is(names::SSL_TRANSPORT.get(py)?)
    {
        return transport::write_data(above_tls, &data);
    }
    if let Some(on_socket) = kind::cast_exact::<SocketTransport>(transport) {
        return socket::write(on_socket, &data);
    }
    transport.call_method1(intern!(py, "write"), (data,))?;
    Ok(())
}
