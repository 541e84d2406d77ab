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
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, Python, intern};

use super::engine::get;
use super::incoming::{
    call_eof_received, control_ssl_reading, is_below_tls, read_buffered, read_copied,
};
use super::outgoing::{do_write, has_backlog, process_outgoing, send_or_tell};
use super::state::{PyProtocol, call, cancel, caught, enter, fatal_error, fatal_error_caught};
use crate::names;

/// Reads, hands on, and sends what that gave rise to.
pub(super) fn do_read(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    if !this.get().state.get(py).is_readable() {
        return Ok(());
    }
    match read_and_answer(this) {
        Ok(()) => Ok(()),
        Err(error) => fatal_error_caught(this, &caught(error, py)?, "Fatal error on SSL protocol"),
    }
}

fn read_and_answer(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if !protocol.app_reading_paused.get(py) {
        if protocol.app_protocol_is_buffer.get(py) && !is_below_tls(protocol, py) {
            call(this, "_do_read__buffered", do_read_buffered)?;
        } else {
            call(this, "_do_read__copied", do_read_copied)?;
        }
        if has_backlog(protocol, py) {
            call(this, "_do_write", do_write)?;
        } else {
            call(this, "_process_outgoing", process_outgoing)?;
        }
    }
    call(this, "_control_ssl_reading", control_ssl_reading)
}

/// asyncio's `_do_read__copied()`.
pub(super) fn do_read_copied(this: &PyProtocol<'_>) -> PyResult<()> {
    let is_over = read_copied(this)?;
    end_if(this, is_over)
}

/// asyncio's `_do_read__buffered()`.
pub(super) fn do_read_buffered(this: &PyProtocol<'_>) -> PyResult<()> {
    let is_over = read_buffered(this)?;
    end_if(this, is_over)
}

/// The other side will send no more.
fn end_if(this: &PyProtocol<'_>, is_over: bool) -> PyResult<()> {
    if is_over {
        call(this, "_call_eof_received", call_eof_received)?;
        call(this, "_start_shutdown", start_shutdown)?;
    }
    Ok(())
}

/// Goes on after `resume_reading()`.
pub(super) fn resume(this: &PyProtocol<'_>) -> PyResult<()> {
    match this.get().state.get(this.py()) {
        SSLState::Wrapped => call(this, "_do_read", do_read),
        SSLState::Flushing => call(this, "_do_flush", do_flush),
        SSLState::Shutdown => call(this, "_do_shutdown", do_shutdown),
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
        return abort(this, None);
    }
    enter(this, SSLState::Flushing)?;
    let check = this.getattr(intern!(py, "_check_shutdown_timeout"))?;
    let timeout = get(&protocol.shutdown_timeout, py);
    let handle =
        protocol.event_loop(py)?.call_method1(intern!(py, "call_later"), (timeout, check))?;
    protocol.shutdown_timeout_handle.slot(py).set(handle);
    call(this, "_do_flush", do_flush)
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
    call(this, "_do_read", do_read)?;
    enter(this, SSLState::Shutdown)?;
    call(this, "_do_shutdown", do_shutdown)
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
            call(this, "_process_outgoing", process_outgoing)?;
            call(this, "_call_eof_received", call_eof_received)?;
            tell_of_shutdown(this, None)
        }
        Err(error) => send_or_tell(this, error, tell_of_shutdown),
    }
}

/// [`on_shutdown_complete`], or what stands in its place.
fn tell_of_shutdown<'py>(
    this: &PyProtocol<'py>,
    exception: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    if this.get().is_patched.get(this.py()) {
        return this.call_method1("_on_shutdown_complete", (exception,)).map(drop);
    }
    on_shutdown_complete(this, exception.as_ref())
}

/// Both have said goodbye, or it failed. The transport below is closed in the next turn, after what
/// the application may still do in this one.
pub(super) fn on_shutdown_complete(
    this: &PyProtocol<'_>,
    exception: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    cancel(&protocol.shutdown_timeout_handle, py)?;
    if let Some(exception) = exception {
        return fatal_error(this, exception, "Fatal error on transport");
    }
    let close = get(&protocol.transport, py).getattr(intern!(py, "close"))?;
    protocol.event_loop(py)?.call_method1(intern!(py, "call_soon"), (close,))?;
    Ok(())
}

/// [`abort_itself`], or what stands in its place.
pub(super) fn abort(this: &PyProtocol<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = this.py();
    if !this.get().is_patched.get(py) {
        return abort_itself(this, exception);
    }
    if passes_reasons_of_aborts(py)? {
        this.call_method1("_abort", (exception,)).map(drop)
    } else {
        this.call_method0("_abort").map(drop)
    }
}

/// Tears the connection down at once.
pub(super) fn abort_itself(
    this: &PyProtocol<'_>,
    exception: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = this.py();
    enter(this, SSLState::Unwrapped)?;
    let Some(transport) = this.get().transport.slot(py).get(py) else {
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
