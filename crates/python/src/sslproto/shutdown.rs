//! Reading, and the end of it: the goodbye, the shutdown, the abort.
//!
//! They stand in one file because they call each other, in asyncio too: what is read may be the
//! other side's goodbye, which begins the shutdown, and a shutdown first reads what has come in.
//! The goodbye is always said by the public method of what stands in `_sslobj`.
//!
//! Two things differ between Pythons. Up to 3.12 an abort calls the `abort()` of the transport
//! below, later its `_force_close()`, which can pass on a reason; and from 3.14 on a transport is
//! closing when the one below is. Both came in the middle of a version, so asyncio's own class is
//! asked, not the number of the version.

use batonloop_core::SSLState;
use batonloop_cpython::coroutine;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::engine::{get, is_again};
use super::incoming::{self, call_eof_received, control_ssl_reading};
use super::outgoing::{do_write, has_backlog, process_outgoing};
use super::state::{PyProtocol, SSLProtocol, cancel, caught, fatal_error};
use crate::names;

/// Reads, hands on, and sends what that gave rise to.
pub(super) fn do_read(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    if !this.get().state.get(py).is_readable() {
        return Ok(());
    }
    match read_and_answer(this) {
        Ok(()) => Ok(()),
        Err(error) => fatal_error(this, &caught(error, py)?, "Fatal error on SSL protocol"),
    }
}

fn read_and_answer(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if !protocol.app_reading_paused.get(py) {
        if incoming::read(this)? {
            call_eof_received(this)?;
            start_shutdown(this)?;
        }
        if has_backlog(protocol, py) {
            do_write(this)?;
        } else {
            process_outgoing(this)?;
        }
    }
    control_ssl_reading(this)
}

/// Goes on after `resume_reading()`.
pub(super) fn resume(this: &PyProtocol<'_>) -> PyResult<()> {
    match this.get().state.get(this.py()) {
        SSLState::Wrapped => do_read(this),
        SSLState::Flushing => do_flush(this),
        SSLState::Shutdown => do_shutdown(this),
        SSLState::Unwrapped | SSLState::DoHandshake => Ok(()),
    }
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
