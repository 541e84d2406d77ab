//! What the transport below calls: it is connected, bytes have come in, the end of the file, loss.
//!
//! [`receive`] is the way in for transports of ours, and for TLS in TLS.

use batonloop_core::{AppState, SSLState};
use batonloop_cpython::bytes::copied;
use batonloop_cpython::coroutine;
use pyo3::exceptions::PyConnectionResetError;
use pyo3::types::{PyAny, PyAnyMethods, PyByteArray, PyMemoryView, PySlice};
use pyo3::{Bound, PyErr, PyResult, intern};

use super::engine::get;
use super::handshake::{do_handshake, log_debug, start_handshake, tell_of_handshake};
use super::outgoing::do_write;
use super::shutdown::{do_flush, do_read, do_shutdown};
use super::state::{PyProtocol, call, cancel, caught, enter, forget_app_buffer, wakeup_waiter};
use crate::transports::MAX_SIZE;

/// The transport below is connected: shakes hands.
pub(super) fn connection_made<'py>(
    this: &PyProtocol<'py>,
    transport: &Bound<'py, PyAny>,
) -> PyResult<()> {
    this.get().transport.slot(this.py()).set(transport.clone());
    call(this, "_start_handshake", start_handshake)
}

/// What a transport below reads into. It is the protocol's own: nobody knows for how long the
/// transport keeps it. A smaller one at first would cut data in other places than asyncio does.
pub(super) fn get_buffer<'py>(this: &PyProtocol<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let protocol = this.get();
    if let Some(view) = protocol.ssl_buffer_view.slot(py).get(py) {
        return Ok(view);
    }
    let buffer = py.get_type::<PyByteArray>().call1((MAX_SIZE,))?;
    let view = PyMemoryView::from(&buffer)?.into_any();
    protocol.ssl_buffer.slot(py).set(buffer);
    protocol.ssl_buffer_view.slot(py).set(view.clone());
    Ok(view)
}

/// The transport below has put `count` bytes into the buffer.
pub(super) fn buffer_updated(this: &PyProtocol<'_>, count: isize) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    get_buffer(this)?;
    if let Some(buffer) = protocol.ssl_buffer.slot(py).get(py) {
        // What Python makes of a number in a slice.
        let count = if count < 0 { count + MAX_SIZE.cast_signed() } else { count };
        let size = usize::try_from(count).unwrap_or(0).min(MAX_SIZE);
        protocol.engine.feed_from(buffer.cast::<PyByteArray>()?, size)?;
    }
    go_on(this)
}

/// The transport below has received `data`: the way in for whoever needs no buffer of ours.
///
/// # Errors
///
/// What `buffer_updated()` would raise.
pub(crate) fn receive(this: &PyProtocol<'_>, data: &[u8]) -> PyResult<()> {
    if this.get().is_patched.get(this.py()) {
        return receive_by_methods(this, data);
    }
    this.get().engine.feed(this.py(), data)?;
    go_on(this)
}

/// The same by the methods that Python sees.
#[cold]
fn receive_by_methods(this: &PyProtocol<'_>, mut data: &[u8]) -> PyResult<()> {
    while !data.is_empty() {
        let buffer = this.call_method1("get_buffer", (-1,))?;
        let size = buffer.len()?.min(data.len());
        let piece = copied(this.py(), &data[..size]).map_err(|error| *error)?;
        buffer.set_item(PySlice::new(this.py(), 0, size.cast_signed(), 1), piece)?;
        this.call_method1("buffer_updated", (size,))?;
        data = &data[size..];
    }
    Ok(())
}

/// Does what can be done with what has come in.
#[inline]
fn go_on(this: &PyProtocol<'_>) -> PyResult<()> {
    match this.get().state.get(this.py()) {
        SSLState::Wrapped => call(this, "_do_read", do_read),
        SSLState::DoHandshake => call(this, "_do_handshake", do_handshake),
        SSLState::Flushing => call(this, "_do_flush", do_flush),
        SSLState::Shutdown => call(this, "_do_shutdown", do_shutdown),
        SSLState::Unwrapped => Ok(()),
    }
}

/// The other side of the connection below has closed its half. Whether to keep ours open.
pub(super) fn eof_received(this: &PyProtocol<'_>) -> PyResult<bool> {
    let py = this.py();
    let protocol = this.get();
    protocol.eof_received.set(py, true);
    match on_eof(this) {
        Ok(keep_open) => Ok(keep_open),
        Err(error) => {
            let exception = caught(error, py)?;
            coroutine::while_handling(&exception, || {
                get(&protocol.transport, py).call_method0(intern!(py, "close"))
            })?;
            Err(PyErr::from_value(exception))
        }
    }
}

/// What an end of file means depends on how far the connection is; asyncio takes one without a
/// goodbye for a goodbye.
fn on_eof(this: &PyProtocol<'_>) -> PyResult<bool> {
    let py = this.py();
    let protocol = this.get();
    if protocol.is_debug(py)? {
        log_debug(py, ("%r received EOF", this))?;
    }
    match protocol.state.get(py) {
        SSLState::DoHandshake => {
            tell_of_handshake(this, Some(py.get_type::<PyConnectionResetError>().into_any()))?;
        }
        SSLState::Wrapped => {
            enter(this, SSLState::Flushing)?;
            if protocol.app_reading_paused.get(py) {
                return Ok(true);
            }
            call(this, "_do_flush", do_flush)?;
        }
        SSLState::Flushing => {
            call(this, "_do_write", do_write)?;
            enter(this, SSLState::Shutdown)?;
            call(this, "_do_shutdown", do_shutdown)?;
        }
        SSLState::Shutdown => call(this, "_do_shutdown", do_shutdown)?,
        SSLState::Unwrapped => {}
    }
    Ok(false)
}

/// The connection below is lost. During the handshake only the waiter hears of it: the application
/// does not know of the connection yet. All that could hold the application alive is let go.
pub(super) fn connection_lost<'py>(
    this: &PyProtocol<'py>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    protocol.write_backlog.with(py, std::mem::take);
    protocol.engine.drain(py)?;
    protocol.conn_lost.set(py, protocol.conn_lost.get(py) + 1);
    protocol.close_app_transport(py)?;
    if protocol.state.get(py) != SSLState::DoHandshake && protocol.app_state.get(py).awaits_loss() {
        protocol.app_state.set(py, AppState::Lost);
        let lost = get(&protocol.app_protocol, py).getattr(intern!(py, "connection_lost"))?;
        protocol.event_loop(py)?.call_method1(intern!(py, "call_soon"), (lost, exception))?;
    }
    enter(this, SSLState::Unwrapped)?;
    for place in [
        &protocol.transport,
        &protocol.app_transport,
        &protocol.app_protocol,
        &protocol.ssl_buffer_view,
        &protocol.ssl_buffer,
    ] {
        place.slot(py).clear(py);
    }
    forget_app_buffer(protocol, py);
    wakeup_waiter(this, Some(exception))?;
    cancel(&protocol.shutdown_timeout_handle, py)?;
    cancel(&protocol.handshake_timeout_handle, py)
}
