//! The beginning of a connection: the handshake.
//!
//! Each function is one method of asyncio's class, and calls the others where that does: what an
//! application sees from inside a callback, and what it may do there, then is the same. The
//! handshake is always done by the public method of what stands in `_sslobj`.

use batonloop_core::{AppState, SSLState};
use batonloop_cpython::coroutine;
use pyo3::exceptions::PyConnectionAbortedError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::engine::get;
use super::outgoing::{process_outgoing, send_or_tell};
use super::shutdown::do_read;
use super::state::{
    PyProtocol, app_transport, call, cancel, caught, enter, fatal_error, wakeup_waiter,
};
use crate::names;

/// Sets the timer and makes the first step, which on a client's side writes.
pub(super) fn start_handshake(this: &PyProtocol<'_>) -> PyResult<()> {
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
    enter(this, SSLState::DoHandshake)?;
    let check = this.getattr(intern!(py, "_check_handshake_timeout"))?;
    let timeout = get(&protocol.handshake_timeout, py);
    let handle = event_loop.call_method1(intern!(py, "call_later"), (timeout, check))?;
    protocol.handshake_timeout_handle.slot(py).set(handle);
    let speaks_second = get(&protocol.server_side, py).is_truthy()?;
    let is_ours = protocol.engine.is_genuine(py) && !protocol.is_patched.get(py);
    if speaks_second && is_ours && protocol.engine.pending_in(py)? == 0 {
        // OpenSSL would only say, by an exception, that it wants to hear something.
        return call(this, "_process_outgoing", process_outgoing);
    }
    call(this, "_do_handshake", do_handshake)
}

pub(super) fn log_debug<'py>(
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
        Ok(_) => tell_of_handshake(this, None),
        Err(error) => send_or_tell(this, error, tell_of_handshake),
    }
}

/// [`on_handshake_complete`], or what stands in its place.
pub(super) fn tell_of_handshake<'py>(
    this: &PyProtocol<'py>,
    exception: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    if this.get().is_patched.get(this.py()) {
        return this.call_method1("_on_handshake_complete", (exception,)).map(drop);
    }
    on_handshake_complete(this, exception.map_or(Ok(()), |error| Err(PyErr::from_value(error))))
}

/// The handshake has ended. The timer goes first: whatever happens now is no longer its concern.
/// The application hears of the connection before whoever waits for it, and what came in with the
/// end of the handshake is read last.
pub(super) fn on_handshake_complete(this: &PyProtocol<'_>, done: PyResult<()>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    cancel(&protocol.handshake_timeout_handle, py)?;
    let sslobj = get(&protocol.engine.sslobj, py);
    let peercert = done
        .and_then(|()| enter(this, SSLState::Wrapped))
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
        let transport = if protocol.is_patched.get(py) {
            this.call_method0("_get_app_transport")?
        } else {
            app_transport(this)?
        };
        app_protocol.call_method1(intern!(py, "connection_made"), (transport,))?;
    }
    wakeup_waiter(this, None)?;
    call(this, "_do_read", do_read)
}

/// The transport below is told first, so that it is on its way out when the waiter wakes.
#[cold]
fn on_handshake_failed(this: &PyProtocol<'_>, error: PyErr) -> PyResult<()> {
    let py = this.py();
    let exception = caught(error, py)?;
    coroutine::while_handling(&exception, || {
        enter(this, SSLState::Unwrapped)?;
        let message = if exception.is_instance(names::SSL_CERTIFICATE_ERROR.get(py)?)? {
            "SSL handshake failed on verifying the certificate"
        } else {
            "SSL handshake failed"
        };
        fatal_error(this, &exception, message)?;
        wakeup_waiter(this, Some(&exception))
    })
}
