//! The beginning and the end: connection, handshake, end of file, shutdown, loss.
//!
//! Each function is one method of asyncio's class, and calls the others where that does: what an
//! application sees from inside a callback, and what it may do there, then is the same. The
//! handshake and the goodbye are always done by the public methods of what stands in `_sslobj`.
//!
//! Two things differ between Pythons. Up to 3.12 an abort calls the `abort()` of the transport
//! below, later its `_force_close()`, which can pass on a reason; and from 3.14 on a transport is
//! closing when the one below is. Both came in the middle of a version, so asyncio's own class is
//! asked, not the number of the version.

use batonloop_core::{AppState, SSLState};
use batonloop_cpython::coroutine;
use pyo3::exceptions::{PyConnectionAbortedError, PyConnectionResetError};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::engine::{get, is_again};
use super::incoming::{call_eof_received, do_read};
use super::outgoing::{do_write, process_outgoing};
use super::{PyProtocol, SSLProtocol, app_transport, caught, fatal_error, forget_app_buffer};
use crate::names;

/// The transport below is connected: shakes hands.
pub(super) fn connection_made<'py>(
    this: &PyProtocol<'py>,
    transport: &Bound<'py, PyAny>,
) -> PyResult<()> {
    this.get().transport.slot(this.py()).set(transport.clone());
    start_handshake(this)
}

/// Sets the timer and makes the first step, which on a client's side writes.
fn start_handshake(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let event_loop = protocol.event_loop(py)?;
    if protocol.is_debug(py)? {
        log_debug(py, ("%r starts SSL handshake", this))?;
        let now = event_loop.call_method0(intern!(py, "time"))?;
        protocol.handshake_start_time.slot(py).set(now);
    } else {
        protocol.handshake_start_time.slot(py).clear(py);
    }
    protocol.set_state(SSLState::DoHandshake, py)?;
    let check = this.getattr(intern!(py, "_check_handshake_timeout"))?;
    let timeout = get(&protocol.handshake_timeout, py);
    let handle = event_loop.call_method1(intern!(py, "call_later"), (timeout, check))?;
    protocol.handshake_timeout_handle.slot(py).set(handle);
    let speaks_second = get(&protocol.server_side, py).is_truthy()?;
    if speaks_second && protocol.engine.is_genuine(py) && protocol.engine.pending_in(py)? == 0 {
        // OpenSSL would only say, by an exception, that it wants to hear something.
        return process_outgoing(this);
    }
    do_handshake(this)
}

fn log_debug<'py>(
    py: Python<'py>,
    arguments: impl pyo3::call::PyCallArgs<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    names::LOGGER.get(py)?.call_method1(intern!(py, "debug"), arguments)
}

/// The time for the handshake is over.
pub(super) fn check_handshake_timeout(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if protocol.state.get(py) != SSLState::DoHandshake {
        return Ok(());
    }
    let error = PyConnectionAbortedError::new_err(format!(
        "SSL handshake is taking longer than {} seconds: aborting the connection",
        get(&protocol.handshake_timeout, py).str()?
    ));
    let error = coroutine::exception_of(error, py);
    fatal_error(this, &error, "Fatal error on transport")
}

/// Goes on with the handshake.
pub(super) fn do_handshake(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    match this.get().engine.call_public(intern!(py, "do_handshake")) {
        Ok(_) => on_handshake_complete(this, Ok(())),
        Err(error) if is_again(&error, py) => process_outgoing(this),
        Err(error) if error.is_instance(py, names::SSL_ERROR.get(py)?) => {
            on_handshake_complete(this, Err(error))
        }
        Err(error) => Err(error),
    }
}

/// The handshake has ended. The timer goes first: whatever happens now is no longer its concern.
/// The application hears of the connection before whoever waits for it, and what came in with the
/// end of the handshake is read last.
fn on_handshake_complete(this: &PyProtocol<'_>, done: PyResult<()>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    cancel(&protocol.handshake_timeout_handle, py)?;
    let sslobj = get(&protocol.engine.sslobj, py);
    let peercert = done
        .and_then(|()| protocol.set_state(SSLState::Wrapped, py))
        .and_then(|()| sslobj.call_method0(intern!(py, "getpeercert")));
    let peercert = match peercert {
        Ok(peercert) => peercert,
        Err(error) => return on_handshake_failed(this, error),
    };
    if protocol.is_debug(py)? {
        let now = protocol.event_loop(py)?.call_method0(intern!(py, "time"))?;
        let took = now.sub(get(&protocol.handshake_start_time, py))?.mul(1e3)?;
        log_debug(py, ("%r: SSL handshake took %.1f ms", this, took))?;
    }
    if let Ok(extra) = get(&protocol.extra, py).cast::<PyDict>() {
        extra.set_item(intern!(py, "peercert"), peercert)?;
        extra.set_item(intern!(py, "cipher"), sslobj.call_method0(intern!(py, "cipher"))?)?;
        let compression = sslobj.call_method0(intern!(py, "compression"))?;
        extra.set_item(intern!(py, "compression"), compression)?;
        extra.set_item(intern!(py, "ssl_object"), &sslobj)?;
    }
    protocol.engine.open_direct(&get(&protocol.sslcontext, py))?;
    if protocol.app_state.get(py) == AppState::Init {
        protocol.app_state.set(py, AppState::Made);
        let app_protocol = get(&protocol.app_protocol, py);
        app_protocol.call_method1(intern!(py, "connection_made"), (app_transport(this)?,))?;
    }
    protocol.wakeup_waiter(None, py)?;
    do_read(this)
}

/// The transport below is told first, so that it is on its way out when the waiter wakes.
#[cold]
fn on_handshake_failed(this: &PyProtocol<'_>, error: PyErr) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let exception = caught(error, py)?;
    protocol.set_state(SSLState::Unwrapped, py)?;
    let message = if exception.is_instance(names::SSL_CERTIFICATE_ERROR.get(py)?)? {
        "SSL handshake failed on verifying the certificate"
    } else {
        "SSL handshake failed"
    };
    fatal_error(this, &exception, message)?;
    protocol.wakeup_waiter(Some(&exception), py)
}

/// Cancels a timer and forgets it.
fn cancel(handle: &batonloop_cpython::cell::GilSlot, py: Python<'_>) -> PyResult<()> {
    if let Some(handle) = handle.slot(py).get(py) {
        handle.call_method0(intern!(py, "cancel"))?;
    }
    handle.slot(py).clear(py);
    Ok(())
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
    protocol.set_state(SSLState::Unwrapped, py)?;
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
    protocol.wakeup_waiter(Some(exception), py)?;
    cancel(&protocol.shutdown_timeout_handle, py)?;
    cancel(&protocol.handshake_timeout_handle, py)
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
            on_handshake_complete(this, Err(PyConnectionResetError::new_err(())))?;
        }
        SSLState::Wrapped => {
            protocol.set_state(SSLState::Flushing, py)?;
            if protocol.app_reading_paused.get(py) {
                return Ok(true);
            }
            do_flush(this)?;
        }
        SSLState::Flushing => {
            do_write(this)?;
            protocol.set_state(SSLState::Shutdown, py)?;
            do_shutdown(this)?;
        }
        SSLState::Shutdown => do_shutdown(this)?,
        SSLState::Unwrapped => {}
    }
    Ok(false)
}

/// Begins to close the connection.
pub(super) fn start_shutdown(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if protocol.state.get(py).is_over() {
        return Ok(());
    }
    protocol.close_app_transport(py)?;
    if protocol.state.get(py) == SSLState::DoHandshake {
        return abort(protocol, None, py);
    }
    protocol.set_state(SSLState::Flushing, py)?;
    let check = this.getattr(intern!(py, "_check_shutdown_timeout"))?;
    let timeout = get(&protocol.shutdown_timeout, py);
    let handle =
        protocol.event_loop(py)?.call_method1(intern!(py, "call_later"), (timeout, check))?;
    protocol.shutdown_timeout_handle.slot(py).set(handle);
    do_flush(this)
}

/// The time for the shutdown is over.
pub(super) fn check_shutdown_timeout(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if matches!(protocol.state.get(py), SSLState::Flushing | SSLState::Shutdown) {
        let error = names::TIMEOUT_ERROR.get(py)?.call1(("SSL shutdown timed out",))?;
        get(&protocol.transport, py).call_method1(intern!(py, "_force_close"), (error,))?;
    }
    Ok(())
}

/// Reads what has come in, then says goodbye.
pub(super) fn do_flush(this: &PyProtocol<'_>) -> PyResult<()> {
    do_read(this)?;
    this.get().set_state(SSLState::Shutdown, this.py())?;
    do_shutdown(this)
}

/// Says goodbye, and waits for the other side's.
pub(super) fn do_shutdown(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let unwrapped = if protocol.eof_received.get(py) {
        Ok(())
    } else {
        protocol.engine.call_public(intern!(py, "unwrap")).map(drop)
    };
    match unwrapped {
        Ok(()) => {
            process_outgoing(this)?;
            call_eof_received(this)?;
            on_shutdown_complete(this, None)
        }
        Err(error) if is_again(&error, py) => process_outgoing(this),
        Err(error) if error.is_instance(py, names::SSL_ERROR.get(py)?) => {
            on_shutdown_complete(this, Some(error))
        }
        Err(error) => Err(error),
    }
}

/// Both have said goodbye, or it failed. The transport below is closed in the next turn, after what
/// the application may still do in this one.
fn on_shutdown_complete(this: &PyProtocol<'_>, error: Option<PyErr>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    cancel(&protocol.shutdown_timeout_handle, py)?;
    if let Some(error) = error {
        let exception = coroutine::exception_of(error, py);
        return fatal_error(this, &exception, "Fatal error on transport");
    }
    let close = get(&protocol.transport, py).getattr(intern!(py, "close"))?;
    protocol.event_loop(py)?.call_method1(intern!(py, "call_soon"), (close,))?;
    Ok(())
}

/// Tears the connection down at once.
pub(super) fn abort(
    protocol: &SSLProtocol,
    exception: Option<&Bound<'_, PyAny>>,
    py: Python<'_>,
) -> PyResult<()> {
    protocol.set_state(SSLState::Unwrapped, py)?;
    let Some(transport) = protocol.transport.slot(py).get(py) else {
        return Ok(());
    };
    let exception = exception.filter(|exception| !exception.is_none());
    if exception.is_none() && !passes_reasons_of_aborts(py)? {
        transport.call_method0(intern!(py, "abort"))?;
    } else {
        transport.call_method1(intern!(py, "_force_close"), (exception,))?;
    }
    Ok(())
}

/// Whether `_abort()` of this Python takes an exception and closes the transport below by force; so
/// since 3.13.
fn passes_reasons_of_aborts(py: Python<'_>) -> PyResult<bool> {
    static ANSWER: PyOnceLock<bool> = PyOnceLock::new();
    ANSWER
        .get_or_try_init(py, || {
            let code =
                names::ASYNCIO_SSL_PROTOCOL.get(py)?.getattr("_abort")?.getattr("__code__")?;
            Ok(code.getattr("co_argcount")?.extract::<u32>()? > 1)
        })
        .copied()
}

/// Whether a transport of this Python says that it is closing when the one below is; so since 3.14.
pub(super) fn asks_below_for_closing(py: Python<'_>) -> PyResult<bool> {
    static ANSWER: PyOnceLock<bool> = PyOnceLock::new();
    ANSWER
        .get_or_try_init(py, || {
            names::ASYNCIO_SSL_PROTOCOL.get(py)?.hasattr("_is_transport_closing")
        })
        .copied()
}
