//! The transport below: any object, or one whose insides are known.
//!
//! Transports are told apart by their exact type, for whoever derives from one may have given a
//! method another meaning. Known so far is our own transport on top of TLS: that is TLS in TLS. A
//! native transport on a socket gets a line in [`write`]; in the other direction it calls
//! [`incoming::receive`](super::incoming::receive).

use batonloop_cpython::kind::{self, SSLTransport};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, intern};

use super::transport;
use crate::names;

/// Sends encrypted bytes.
#[inline]
pub(super) fn write<'py>(transport: &Bound<'py, PyAny>, data: Bound<'py, PyAny>) -> PyResult<()> {
    let py = transport.py();
    if let Some(above_tls) = kind::cast::<SSLTransport>(transport)
        && transport.get_type().is(names::SSL_TRANSPORT.get(py)?)
    {
        return transport::write_data(above_tls, &data);
    }
    transport.call_method1(intern!(py, "write"), (data,))?;
    Ok(())
}
