//! `SSLProtocol`: its fields, and what all its parts share.

use std::collections::VecDeque;

use batonloop_core::{AppState, SSLState, WaterMarks};
use batonloop_cpython::cell::{GilCell, GilSlot, LoopCell, TypeCache};
use batonloop_cpython::coroutine;
use batonloop_cpython::kind::{self, Fields, SSLTransport};
use pyo3::exceptions::{PyAttributeError, PyException, PyOSError, PyRuntimeError};
use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyDict};
use pyo3::{Bound, IntoPyObject, Py, PyErr, PyResult, Python, intern, pyclass};

use super::engine::{Engine, get};
use crate::exceptions;
use crate::names::{self, none};

pub(super) type PyProtocol<'py> = Bound<'py, SSLProtocol>;

/// The native half of `batonloop.sslproto.SSLProtocol`, which adds the bases that Python knows.
///
/// Attributes have asyncio's names, without the underscore. Empty places stand for None.
#[pyclass(frozen, subclass, module = "batonloop._batonloop")]
pub(crate) struct SSLProtocol {
    pub(super) event_loop: GilSlot,
    pub(super) app_protocol: GilSlot,
    /// The bound methods of a `BufferedProtocol`; empty for any other protocol.
    pub(super) app_get_buffer: GilSlot,
    pub(super) app_buffer_updated: GilSlot,
    pub(super) app_transport: GilSlot,
    /// The transport below, from `connection_made()` to `connection_lost()`.
    pub(super) transport: GilSlot,
    pub(super) waiter: GilSlot,
    pub(super) sslcontext: GilSlot,
    pub(super) server_side: GilSlot,
    pub(super) server_hostname: GilSlot,
    /// What the transport above answers, a dict.
    pub(super) extra: GilSlot,
    pub(super) handshake_timeout: GilSlot,
    pub(super) shutdown_timeout: GilSlot,
    pub(super) handshake_timeout_handle: GilSlot,
    pub(super) shutdown_timeout_handle: GilSlot,
    /// When the handshake began, in debug mode.
    pub(super) handshake_start_time: GilSlot,
    /// What the transport below reads into, a bytearray and its memoryview; made when it asks.
    pub(super) ssl_buffer: GilSlot,
    pub(super) ssl_buffer_view: GilSlot,
    pub(super) engine: Engine,
    /// What could not be encrypted yet, oldest first.
    pub(super) write_backlog: LoopCell<VecDeque<Py<PyBytes>>>,
    /// How many bytes those are.
    pub(super) write_buffer_size: GilCell<usize>,
    /// Whether OpenSSL is encrypting, and may call back.
    pub(super) is_encrypting: GilCell<bool>,
    pub(super) state: GilCell<SSLState>,
    pub(super) app_state: GilCell<AppState>,
    /// How often something was written after the end; the warning of it comes late.
    pub(super) conn_lost: GilCell<u64>,
    pub(super) incoming_marks: GilCell<WaterMarks>,
    pub(super) outgoing_marks: GilCell<WaterMarks>,
    /// The marks as they were set, a tuple, where they were: any number of Python's will do.
    pub(super) incoming_limits: GilSlot,
    pub(super) outgoing_limits: GilSlot,
    /// Whether somebody may have put a method of his own in the place of one of ours.
    pub(super) is_patched: GilCell<bool>,
    pub(super) app_transport_created: GilCell<bool>,
    /// Whether the protocol above has a buffer of its own.
    pub(super) app_protocol_is_buffer: GilCell<bool>,
    /// Whether the protocol above is one of this very class: TLS in TLS.
    pub(super) app_protocol_is_ssl: GilCell<bool>,
    pub(super) eof_received: GilCell<bool>,
    pub(super) ssl_writing_paused: GilCell<bool>,
    pub(super) ssl_reading_paused: GilCell<bool>,
    pub(super) app_reading_paused: GilCell<bool>,
    pub(super) app_writing_paused: GilCell<bool>,
}

static PROTOCOL_CLASS: TypeCache = TypeCache::new();

impl SSLProtocol {
    pub(super) fn empty() -> Self {
        let marks = WaterMarks { high: 0, low: 0 };
        Self {
            event_loop: GilSlot::new(),
            app_protocol: GilSlot::new(),
            app_get_buffer: GilSlot::new(),
            app_buffer_updated: GilSlot::new(),
            app_transport: GilSlot::new(),
            transport: GilSlot::new(),
            waiter: GilSlot::new(),
            sslcontext: GilSlot::new(),
            server_side: GilSlot::new(),
            server_hostname: GilSlot::new(),
            extra: GilSlot::new(),
            handshake_timeout: GilSlot::new(),
            shutdown_timeout: GilSlot::new(),
            handshake_timeout_handle: GilSlot::new(),
            shutdown_timeout_handle: GilSlot::new(),
            handshake_start_time: GilSlot::new(),
            ssl_buffer: GilSlot::new(),
            ssl_buffer_view: GilSlot::new(),
            engine: Engine::new(),
            write_backlog: LoopCell::new(VecDeque::new()),
            write_buffer_size: GilCell::new(0),
            is_encrypting: GilCell::new(false),
            state: GilCell::new(SSLState::Unwrapped),
            app_state: GilCell::new(AppState::Init),
            conn_lost: GilCell::new(0),
            incoming_marks: GilCell::new(marks),
            outgoing_marks: GilCell::new(marks),
            incoming_limits: GilSlot::new(),
            outgoing_limits: GilSlot::new(),
            is_patched: GilCell::new(false),
            app_transport_created: GilCell::new(false),
            app_protocol_is_buffer: GilCell::new(false),
            app_protocol_is_ssl: GilCell::new(false),
            eof_received: GilCell::new(false),
            ssl_writing_paused: GilCell::new(false),
            ssl_reading_paused: GilCell::new(false),
            app_reading_paused: GilCell::new(false),
            app_writing_paused: GilCell::new(false),
        }
    }

    /// Every place of its own, for the collector; the engine has more.
    pub(super) fn places(&self) -> [&GilSlot; 20] {
        // Every field is named, so that none is forgotten: one that is new does not compile.
        #[rustfmt::skip]
        let Self {
            event_loop, app_protocol, app_get_buffer, app_buffer_updated, app_transport, transport,
            waiter, sslcontext, server_side, server_hostname, extra, handshake_timeout,
            shutdown_timeout, handshake_timeout_handle, shutdown_timeout_handle,
            handshake_start_time, ssl_buffer, ssl_buffer_view, incoming_limits, outgoing_limits,
            // No objects, or not in a place; `__traverse__` and `__clear__` see to those.
            engine: _, write_backlog: _, write_buffer_size: _, is_encrypting: _, state: _,
            app_state: _, conn_lost: _, incoming_marks: _, outgoing_marks: _, is_patched: _,
            app_transport_created: _, app_protocol_is_buffer: _, app_protocol_is_ssl: _,
            eof_received: _, ssl_writing_paused: _, ssl_reading_paused: _, app_reading_paused: _,
            app_writing_paused: _,
        } = self;
        #[rustfmt::skip]
        let places = [
            event_loop, app_protocol, app_get_buffer, app_buffer_updated, app_transport, transport,
            waiter, sslcontext, server_side, server_hostname, extra, handshake_timeout,
            shutdown_timeout, handshake_timeout_handle, shutdown_timeout_handle,
            handshake_start_time, ssl_buffer, ssl_buffer_view, incoming_limits, outgoing_limits,
        ];
        places
    }

    /// `object`, if it is a protocol of ours.
    #[inline]
    pub(crate) fn cast<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Self>> {
        PROTOCOL_CLASS.cast::<Self>(object)
    }

    /// The loop, which is there from `__init__` on.
    pub(super) fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.event_loop.slot(py).get(py);
        event_loop.ok_or_else(|| exceptions::uninitialised("SSLProtocol"))
    }

    /// Whether the loop is in debug mode.
    pub(super) fn is_debug(&self, py: Python<'_>) -> PyResult<bool> {
        self.event_loop(py)?.call_method0(intern!(py, "get_debug"))?.is_truthy()
    }

    /// Enters the next state.
    pub(super) fn set_state(&self, next: SSLState, py: Python<'_>) -> PyResult<()> {
        let state = self.state.get(py);
        if !state.may_become(next) {
            return Err(PyRuntimeError::new_err(format!(
                "cannot switch state from SSLProtocolState.{} to SSLProtocolState.{}",
                state.name(),
                next.name()
            )));
        }
        self.state.set(py, next);
        Ok(())
    }

    /// Marks the transport above as closed, so that its end is no surprise.
    pub(super) fn close_app_transport(&self, py: Python<'_>) -> PyResult<()> {
        let Some(transport) = self.app_transport.slot(py).get(py) else {
            return Ok(());
        };
        match kind::cast::<SSLTransport>(&transport) {
            Some(transport) => transport.fields().set_open(false),
            None => transport.setattr(intern!(py, "_closed"), true)?,
        }
        Ok(())
    }

    /// Tells who waits for the handshake: that it is done, or why not.
    pub(super) fn wakeup_waiter(
        &self,
        exception: Option<&Bound<'_, PyAny>>,
        py: Python<'_>,
    ) -> PyResult<()> {
        let Some(waiter) = self.waiter.slot(py).get(py) else {
            return Ok(());
        };
        if !waiter.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
            match exception.filter(|exception| !exception.is_none()) {
                Some(exception) => {
                    waiter.call_method1(intern!(py, "set_exception"), (exception,))?
                }
                None => waiter.call_method1(intern!(py, "set_result"), (none(py),))?,
            };
        }
        self.waiter.slot(py).clear(py);
        Ok(())
    }
}

/// Calls a private method that has asyncio's name: ours, or what somebody has put in its place.
#[inline]
pub(super) fn call<'py>(
    this: &PyProtocol<'py>,
    name: &str,
    ours: impl FnOnce(&PyProtocol<'py>) -> PyResult<()>,
) -> PyResult<()> {
    if this.get().is_patched.get(this.py()) {
        return this.call_method0(name).map(drop);
    }
    ours(this)
}

/// Enters the next state, by our `_set_state()` or what stands in its place.
pub(super) fn enter(this: &PyProtocol<'_>, next: SSLState) -> PyResult<()> {
    let py = this.py();
    if this.get().is_patched.get(py) {
        let state = names::SSL_PROTOCOL_STATE.get(py)?.getattr(next.name())?;
        return this.call_method1("_set_state", (state,)).map(drop);
    }
    this.get().set_state(next, py)
}

/// The transport above, made when it is first asked for.
pub(super) fn app_transport<'py>(this: &PyProtocol<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let protocol = this.get();
    if let Some(transport) = protocol.app_transport.slot(py).get(py) {
        return Ok(transport);
    }
    if protocol.app_transport_created.get(py) {
        return Err(PyRuntimeError::new_err("Creating _SSLProtocolTransport twice"));
    }
    let made = names::SSL_TRANSPORT.get(py)?.call1((protocol.event_loop(py)?, this))?;
    protocol.app_transport.slot(py).set(made.clone());
    protocol.app_transport_created.set(py, true);
    Ok(made)
}

/// [`SSLProtocol::wakeup_waiter`], or what stands in its place.
pub(super) fn wakeup_waiter(
    this: &PyProtocol<'_>,
    exception: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    if this.get().is_patched.get(this.py()) {
        return this.call_method1("_wakeup_waiter", (exception,)).map(drop);
    }
    this.get().wakeup_waiter(exception, this.py())
}

/// Puts another protocol above.
pub(super) fn set_app_protocol<'py>(
    this: &PyProtocol<'py>,
    app_protocol: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let is_buffer = app_protocol.hasattr(intern!(py, "get_buffer"))?
        && app_protocol.is_instance(names::BUFFERED_PROTOCOL.get(py)?)?;
    let methods = if is_buffer {
        let get_buffer = app_protocol.getattr(intern!(py, "get_buffer"))?;
        Some((get_buffer, app_protocol.getattr(intern!(py, "buffer_updated"))?))
    } else {
        None
    };
    let is_ssl = app_protocol.get_type().is(names::SSL_PROTOCOL.get(py)?);
    protocol.app_protocol_is_buffer.set(py, is_buffer);
    protocol.app_protocol_is_ssl.set(py, is_ssl);
    protocol.app_protocol.slot(py).set(app_protocol.clone());
    match methods {
        Some((get_buffer, buffer_updated)) => {
            protocol.app_get_buffer.slot(py).set(get_buffer);
            protocol.app_buffer_updated.slot(py).set(buffer_updated);
        }
        None => forget_app_buffer(protocol, py),
    }
    Ok(())
}

pub(super) fn forget_app_buffer(protocol: &SSLProtocol, py: Python<'_>) {
    protocol.app_get_buffer.slot(py).clear(py);
    protocol.app_buffer_updated.slot(py).clear(py);
}

/// The answer of the transport above, or of the one below.
pub(super) fn extra_info<'py>(
    this: &PyProtocol<'py>,
    name: &Bound<'py, PyAny>,
    default: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let protocol = this.get();
    let default = default.cloned().unwrap_or_else(|| none(py));
    if let Some(extra) = protocol.extra.slot(py).get(py)
        && extra.contains(name)?
    {
        return extra.get_item(name);
    }
    match protocol.transport.slot(py).get(py) {
        Some(transport) => transport.call_method1(intern!(py, "get_extra_info"), (name, default)),
        None => Ok(default),
    }
}

/// [`fatal_error`] from inside the `except` block that caught the exception.
#[cold]
pub(super) fn fatal_error_caught(
    this: &PyProtocol<'_>,
    exception: &Bound<'_, PyAny>,
    message: &str,
) -> PyResult<()> {
    coroutine::while_handling(exception, || fatal_error(this, exception, message))
}

/// [`fatal_error_itself`], or what stands in its place.
#[cold]
pub(super) fn fatal_error(
    this: &PyProtocol<'_>,
    exception: &Bound<'_, PyAny>,
    message: &str,
) -> PyResult<()> {
    if this.get().is_patched.get(this.py()) {
        return this.call_method1("_fatal_error", (exception, message)).map(drop);
    }
    fatal_error_itself(this, exception, message)
}

/// The connection cannot go on: it is torn down, and told of if it was nobody's fault but ours or
/// the application's.
#[cold]
pub(super) fn fatal_error_itself(
    this: &PyProtocol<'_>,
    exception: &Bound<'_, PyAny>,
    message: &str,
) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let transport = get(&protocol.transport, py);
    if transport.is_truthy()? {
        transport.call_method1(intern!(py, "_force_close"), (exception,))?;
    }
    if exception.is_instance_of::<PyOSError>() {
        if protocol.is_debug(py)? {
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "exc_info"), true)?;
            names::LOGGER.get(py)?.call_method(
                intern!(py, "debug"),
                ("%r: %s", this, message),
                Some(&keywords),
            )?;
        }
        return Ok(());
    }
    if exception.is_instance(names::CANCELLED_ERROR.get(py)?)? {
        return Ok(());
    }
    report(this, message, exception, get(&protocol.transport, py))
}

/// Tells the loop's exception handler.
#[cold]
pub(super) fn report<'py>(
    this: &PyProtocol<'py>,
    message: &str,
    exception: &Bound<'py, PyAny>,
    transport: Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = this.py();
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), message)?;
    context.set_item(intern!(py, "exception"), exception)?;
    context.set_item(intern!(py, "transport"), transport)?;
    context.set_item(intern!(py, "protocol"), this)?;
    this.get().event_loop(py)?.call_method1(intern!(py, "call_exception_handler"), (context,))?;
    Ok(())
}

/// What an `except Exception:` does with `error`: takes it, or lets it pass.
pub(super) fn caught<'py>(error: PyErr, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if error.is_instance_of::<PyException>(py) {
        return Ok(coroutine::exception_of(error, py));
    }
    Err(error)
}

/// What asyncio's code does after `except (KeyboardInterrupt, SystemExit): raise`: takes it.
pub(super) fn caught_unless_exit<'py>(
    error: PyErr,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    if exceptions::is_exit(&error, py) {
        return Err(error);
    }
    Ok(coroutine::exception_of(error, py))
}

/// Cancels a timer and forgets it; in this order, as in asyncio: `cancel()` finds it in its place.
pub(super) fn cancel(handle: &GilSlot, py: Python<'_>) -> PyResult<()> {
    if let Some(handle) = handle.slot(py).get(py) {
        handle.call_method0(intern!(py, "cancel"))?;
    }
    handle.slot(py).clear(py);
    Ok(())
}

/// The protocol of a transport above; without one, what Python says of None, which lacks it.
#[inline]
pub(super) fn protocol_of<'py>(
    this: &Bound<'py, SSLTransport>,
    attribute: &str,
) -> PyResult<PyProtocol<'py>> {
    if let Some(object) = this.fields().ssl_protocol.get(this.py())
        && let Some(protocol) = SSLProtocol::cast(&object)
    {
        return Ok(protocol.clone());
    }
    Err(no_protocol(attribute))
}

#[cold]
fn no_protocol(attribute: &str) -> PyErr {
    PyAttributeError::new_err(format!("'NoneType' object has no attribute '{attribute}'"))
}

impl SSLProtocol {
    pub(super) fn set_outgoing(
        &self,
        marks: WaterMarks,
        limits: Option<Bound<'_, PyAny>>,
        py: Python<'_>,
    ) {
        self.outgoing_marks.set(py, marks);
        self.outgoing_limits.slot(py).set(limits.unwrap_or_else(|| none(py)));
    }

    pub(super) fn set_incoming(
        &self,
        marks: WaterMarks,
        limits: Option<Bound<'_, PyAny>>,
        py: Python<'_>,
    ) {
        self.incoming_marks.set(py, marks);
        self.incoming_limits.slot(py).set(limits.unwrap_or_else(|| none(py)));
    }

    /// `(low, high)` for writing.
    pub(super) fn outgoing_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        limits(get(&self.outgoing_limits, py), self.outgoing_marks.get(py))
    }

    /// `(low, high)` for reading.
    pub(super) fn incoming_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        limits(get(&self.incoming_limits, py), self.incoming_marks.get(py))
    }
}

fn limits<'py>(given: Bound<'py, PyAny>, marks: WaterMarks) -> PyResult<Bound<'py, PyAny>> {
    if given.is_none() {
        return Ok((marks.low, marks.high).into_pyobject(given.py())?.into_any());
    }
    Ok(given)
}
