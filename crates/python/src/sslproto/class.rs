//! SSLProtocol as Python sees it: what transports call, and the attributes that libraries read.
//!
//! asyncio's class keeps everything in its dict, and libraries have learnt to look there: some read
//! `_app_transport` or `_extra`, CPython's tests put objects of their own into `_sslobj` and
//! `_outgoing`. All these names are properties here; those that somebody has a reason to set can
//! be set. `_write_backlog` is a copy.

use std::collections::VecDeque;
use std::ffi::CStr;

use batonloop_core::{AppState, SSLState};
use batonloop_cpython::builder::add_method;
use batonloop_cpython::method::Method;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyDict, PyTuple, PyType};
use pyo3::{Bound, Py, PyErr, PyResult, PyTraverseError, PyVisit, Python, intern, pymethods};

use super::engine::get;
use super::state::{
    PyProtocol, SSLProtocol, app_transport, call, extra_info, fatal_error_itself, set_app_protocol,
};
use super::{attributes, below, handshake, incoming, outgoing, shutdown};
use crate::names::{self, none};

/// A timeout as it was given, any number of Python's, or asyncio's default.
fn timeout<'py>(
    given: Option<Bound<'py, PyAny>>,
    name: &str,
    default: &str,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some(timeout) = given else {
        return py.import(intern!(py, "asyncio.constants"))?.getattr(default);
    };
    if timeout.le(0)? {
        let timeout = timeout.str()?;
        let message = format!("{name} should be a positive number, got {timeout}");
        return Err(PyValueError::new_err(message));
    }
    Ok(timeout)
}

#[pymethods]
impl SSLProtocol {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
    }

    #[pyo3(signature = (
        r#loop, app_protocol, sslcontext, waiter, server_side=None, server_hostname=None,
        call_connection_made=true, ssl_handshake_timeout=None, ssl_shutdown_timeout=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn __init__<'py>(
        this: &Bound<'py, Self>,
        r#loop: Bound<'py, PyAny>,
        app_protocol: Bound<'py, PyAny>,
        sslcontext: Bound<'py, PyAny>,
        waiter: Bound<'py, PyAny>,
        server_side: Option<Bound<'py, PyAny>>,
        server_hostname: Option<Bound<'py, PyAny>>,
        call_connection_made: bool,
        ssl_handshake_timeout: Option<Bound<'py, PyAny>>,
        ssl_shutdown_timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = this.py();
        let protocol = this.get();
        if names::SSL_OBJECT.get(py).is_err() {
            return Err(PyRuntimeError::new_err("stdlib ssl module not available"));
        }
        let handshake_timeout =
            timeout(ssl_handshake_timeout, "ssl_handshake_timeout", "SSL_HANDSHAKE_TIMEOUT", py)?;
        let shutdown_timeout =
            timeout(ssl_shutdown_timeout, "ssl_shutdown_timeout", "SSL_SHUTDOWN_TIMEOUT", py)?;
        let server_side = server_side.unwrap_or_else(|| names::boolean(py, false));
        let is_server = server_side.is_truthy()?;
        let hostname = server_hostname.unwrap_or_else(|| none(py));
        let sslcontext = if sslcontext.is_truthy()? {
            sslcontext
        } else {
            names::CREATE_TRANSPORT_CONTEXT.get(py)?.call1((&server_side, &hostname))?
        };
        let hostname = if hostname.is_truthy()? && !is_server { hostname } else { none(py) };
        let extra = PyDict::new(py);
        extra.set_item(intern!(py, "sslcontext"), &sslcontext)?;
        for (place, value) in [
            (&protocol.handshake_timeout, handshake_timeout),
            (&protocol.shutdown_timeout, shutdown_timeout),
            (&protocol.server_side, server_side.clone()),
            (&protocol.server_hostname, hostname.clone()),
            (&protocol.sslcontext, sslcontext.clone()),
            (&protocol.extra, extra.into_any()),
            (&protocol.event_loop, r#loop),
        ] {
            place.slot(py).set(value);
        }
        if waiter.is_none() {
            protocol.waiter.slot(py).clear(py);
        } else {
            protocol.waiter.slot(py).set(waiter);
        }
        // A subclass may have methods of its own, and they are called from here on.
        if this.getattr(intern!(py, "_is_overridden"))?.is_truthy()? {
            protocol.is_patched.set(py, true);
        }
        if protocol.is_patched.get(py) {
            this.call_method1("_set_app_protocol", (app_protocol,))?;
        } else {
            set_app_protocol(this, &app_protocol)?;
        }
        let app_state = if call_connection_made { AppState::Init } else { AppState::Made };
        protocol.app_state.set(py, app_state);
        protocol.state.set(py, SSLState::Unwrapped);
        protocol.engine.wrap(&sslcontext, &server_side, &hostname)?;
        call(this, "_set_read_buffer_limits", |this| {
            this.get()._set_read_buffer_limits(None, None, this.py())
        })?;
        call(this, "_set_write_buffer_limits", |this| {
            this.get()._set_write_buffer_limits(None, None, this.py())
        })?;
        call(this, "_get_app_transport", |this| app_transport(this).map(drop))
    }

    // What the transport below calls; `get_buffer` and `buffer_updated` are put on by hand.

    /// The transport below is connected: start the handshake.
    fn connection_made<'py>(
        this: &Bound<'py, Self>,
        transport: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        below::connection_made(this, transport)
    }

    /// The transport below is lost or closed; exc is an exception or None.
    fn connection_lost<'py>(this: &Bound<'py, Self>, exc: &Bound<'py, PyAny>) -> PyResult<()> {
        below::connection_lost(this, exc)
    }

    /// The other side has closed its half of the connection below.
    ///
    /// Returns True if what has come in is still to be read, else None: the transport below may
    /// then close.
    fn eof_received(this: &Bound<'_, Self>) -> PyResult<Option<bool>> {
        Ok(below::eof_received(this)?.then_some(true))
    }

    /// The transport below has too much to send.
    fn pause_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        outgoing::pause_writing(this)
    }

    /// The transport below has sent most of it.
    fn resume_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        outgoing::resume_writing(this)
    }

    // What asyncio and libraries call by their private names.

    /// Put another protocol above.
    fn _set_app_protocol<'py>(
        this: &Bound<'py, Self>,
        app_protocol: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        set_app_protocol(this, app_protocol)
    }

    /// Return the transport above, made when it is first asked for.
    fn _get_app_transport<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        app_transport(this)
    }

    /// Return what is known of the connection under this name.
    #[pyo3(signature = (name, default=None))]
    fn _get_extra_info<'py>(
        this: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        extra_info(this, name, default)
    }

    /// Begin to close the connection, unless that has begun.
    fn _start_shutdown(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::start_shutdown(this)
    }

    /// Shake hands: set the timer and make the first step.
    fn _start_handshake(this: &Bound<'_, Self>) -> PyResult<()> {
        handshake::start_handshake(this)
    }

    /// Go on with the handshake.
    fn _do_handshake(this: &Bound<'_, Self>) -> PyResult<()> {
        handshake::do_handshake(this)
    }

    /// The handshake is done, or has failed by this exception.
    fn _on_handshake_complete(
        this: &Bound<'_, Self>,
        handshake_exc: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let done = handshake_exc.map_or(Ok(()), |error| Err(PyErr::from_value(error)));
        handshake::on_handshake_complete(this, done)
    }

    /// Tell who waits for the handshake: that it is done, or why not.
    #[pyo3(signature = (exc=None))]
    fn _wakeup_waiter(&self, exc: Option<&Bound<'_, PyAny>>, py: Python<'_>) -> PyResult<()> {
        self.wakeup_waiter(exc, py)
    }

    /// Enter the next state; RuntimeError if it cannot follow.
    fn _set_state(&self, new_state: &Bound<'_, PyAny>, py: Python<'_>) -> PyResult<()> {
        self.set_state(attributes::state_of(new_state)?, py)
    }

    /// Read what has come in, then say goodbye.
    fn _do_flush(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::do_flush(this)
    }

    /// Say goodbye, and wait for the other side's.
    fn _do_shutdown(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::do_shutdown(this)
    }

    /// Both have said goodbye, or it failed by this exception.
    fn _on_shutdown_complete(
        this: &Bound<'_, Self>,
        shutdown_exc: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        shutdown::on_shutdown_complete(this, shutdown_exc)
    }

    /// Tell the application, once, that no more will come.
    fn _call_eof_received(this: &Bound<'_, Self>) -> PyResult<()> {
        incoming::call_eof_received(this)
    }

    /// Encrypt what waits, as far as that goes, and send it.
    fn _do_write(this: &Bound<'_, Self>) -> PyResult<()> {
        outgoing::do_write(this)
    }

    /// Send what is encrypted.
    fn _process_outgoing(this: &Bound<'_, Self>) -> PyResult<()> {
        outgoing::process_outgoing(this)
    }

    /// Ask the application to pause, or to go on.
    fn _control_app_writing(this: &Bound<'_, Self>) -> PyResult<()> {
        outgoing::control_app_writing(this)
    }

    /// Ask the transport below to pause, or to go on.
    fn _control_ssl_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        incoming::control_ssl_reading(this)
    }

    /// Set how many bytes may wait to be sent.
    #[pyo3(signature = (high=None, low=None))]
    fn _set_write_buffer_limits<'py>(
        &self,
        high: Option<&Bound<'py, PyAny>>,
        low: Option<&Bound<'py, PyAny>>,
        py: Python<'py>,
    ) -> PyResult<()> {
        let (marks, limits) = outgoing::marks(high, low, outgoing::HIGH_WATER, py)?;
        self.set_outgoing(marks, limits, py);
        Ok(())
    }

    /// Set how many encrypted bytes may wait.
    #[pyo3(signature = (high=None, low=None))]
    fn _set_read_buffer_limits<'py>(
        &self,
        high: Option<&Bound<'py, PyAny>>,
        low: Option<&Bound<'py, PyAny>>,
        py: Python<'py>,
    ) -> PyResult<()> {
        let (marks, limits) = outgoing::marks(high, low, incoming::HIGH_WATER, py)?;
        self.set_incoming(marks, limits, py);
        Ok(())
    }

    /// Tear the connection down at once, for this reason or none.
    #[pyo3(signature = (exc=None))]
    fn _abort(this: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        shutdown::abort_itself(this, exc)
    }

    /// Tear the connection down, and report it unless it is an OSError.
    #[pyo3(signature = (exc, message="Fatal error on transport"))]
    fn _fatal_error(this: &Bound<'_, Self>, exc: &Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        fatal_error_itself(this, exc, message)
    }

    /// Abort the connection if the handshake is still going on.
    fn _check_handshake_timeout(this: &Bound<'_, Self>) -> PyResult<()> {
        handshake::check_handshake_timeout(this)
    }

    /// Abort the connection if the shutdown is still going on.
    fn _check_shutdown_timeout(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::check_shutdown_timeout(this)
    }

    /// Decrypt what has come in and hand it on.
    fn _do_read(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::do_read(this)
    }

    /// The same for a protocol with data_received(), whatever else the protocol is.
    #[pyo3(name = "_do_read__copied")]
    fn do_read_copied(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::do_read_copied(this)
    }

    /// The same for a BufferedProtocol.
    #[pyo3(name = "_do_read__buffered")]
    fn do_read_buffered(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::do_read_buffered(this)
    }

    /// Go on after resume_reading(), in the next turn.
    fn _resume(this: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::resume(this)
    }

    /// Hand nothing on until _resume_reading().
    fn _pause_reading(&self, py: Python<'_>) {
        incoming::pause_reading(self, py);
    }

    /// Hand on again, from the next turn on.
    fn _resume_reading(this: &Bound<'_, Self>) -> PyResult<()> {
        incoming::resume_reading(this)
    }

    /// Encrypt pieces of data as one, and send it.
    fn _write_appdata<'py>(
        this: &Bound<'py, Self>,
        list_of_data: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        outgoing::write_lines(this, list_of_data)
    }

    /// Return how many bytes wait to be sent.
    fn _get_write_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        outgoing::write_buffer_size(self, py)
    }

    /// Return how many encrypted bytes wait.
    fn _get_read_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        incoming::read_buffer_size(self, py)
    }

    /// Return whether the transport below is closing.
    fn _is_transport_closing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.transport.slot(py).get(py) {
            Some(transport) => transport.call_method0(intern!(py, "is_closing")),
            None => Ok(names::boolean(py, false)),
        }
    }

    // The attributes.

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.event_loop, py)
    }

    #[getter]
    fn _app_protocol<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.app_protocol, py)
    }

    #[getter]
    fn _app_protocol_is_buffer(&self, py: Python<'_>) -> bool {
        self.app_protocol_is_buffer.get(py)
    }

    #[getter]
    fn _app_transport<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.app_transport, py)
    }

    #[getter]
    fn _transport<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.transport, py)
    }

    #[getter]
    fn _waiter<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.waiter, py)
    }

    #[getter]
    fn _sslcontext<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.sslcontext, py)
    }

    #[getter]
    fn _server_side<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.server_side, py)
    }

    #[getter]
    fn _server_hostname<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.server_hostname, py)
    }

    #[getter]
    fn _extra<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.extra, py)
    }

    #[getter]
    fn _ssl_handshake_timeout<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.handshake_timeout, py)
    }

    #[getter]
    fn _ssl_shutdown_timeout<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.shutdown_timeout, py)
    }

    #[getter]
    fn _handshake_timeout_handle<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.handshake_timeout_handle, py)
    }

    #[getter]
    fn _shutdown_timeout_handle<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.shutdown_timeout_handle, py)
    }

    #[getter]
    fn _handshake_start_time<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.handshake_start_time, py)
    }

    #[getter]
    fn _app_protocol_get_buffer<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.app_get_buffer, py)
    }

    #[getter]
    fn _app_protocol_buffer_updated<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.app_buffer_updated, py)
    }

    #[getter]
    fn _app_transport_created(&self, py: Python<'_>) -> bool {
        self.app_transport_created.get(py)
    }

    /// What the transport below reads into, made when it is first asked for.
    #[getter]
    fn _ssl_buffer<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        below::get_buffer(this)?;
        Ok(get(&this.get().ssl_buffer, this.py()))
    }

    #[getter]
    fn _ssl_buffer_view<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        below::get_buffer(this)
    }

    #[getter]
    fn _incoming_low_water<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.incoming_limits(py)?.get_item(0)
    }

    #[getter]
    fn _incoming_high_water<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.incoming_limits(py)?.get_item(1)
    }

    #[getter]
    fn _outgoing_low_water<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.outgoing_limits(py)?.get_item(0)
    }

    #[getter]
    fn _outgoing_high_water<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.outgoing_limits(py)?.get_item(1)
    }

    /// The ssl.SSLObject; another object with its methods may be put here.
    #[getter(_sslobj)]
    fn read_sslobj<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.engine.sslobj, py)
    }

    #[setter(_sslobj)]
    fn set_sslobj(&self, sslobj: Bound<'_, PyAny>) -> PyResult<()> {
        let py = sslobj.py();
        self.engine.sslobj.slot(py).set(sslobj);
        self.engine.adopt(py)
    }

    /// The ssl.MemoryBIO for what comes in; another object with its methods may be put here.
    #[getter(_incoming)]
    fn read_incoming<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.engine.incoming, py)
    }

    #[setter(_incoming)]
    fn set_incoming_bio(&self, incoming: Bound<'_, PyAny>) -> PyResult<()> {
        let py = incoming.py();
        self.engine.incoming.slot(py).set(incoming);
        self.engine.adopt(py)
    }

    /// The ssl.MemoryBIO for what goes out; another object with its methods may be put here.
    #[getter(_outgoing)]
    fn read_outgoing<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        get(&self.engine.outgoing, py)
    }

    #[setter(_outgoing)]
    fn set_outgoing_bio(&self, outgoing: Bound<'_, PyAny>) -> PyResult<()> {
        let py = outgoing.py();
        self.engine.outgoing.slot(py).set(outgoing);
        self.engine.adopt(py)
    }

    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        names::SSL_PROTOCOL_STATE.get(py)?.getattr(self.state.get(py).name())
    }

    #[getter]
    fn _app_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        names::APP_PROTOCOL_STATE.get(py)?.getattr(self.app_state.get(py).name())
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u64 {
        self.conn_lost.get(py)
    }

    #[getter]
    fn _eof_received(&self, py: Python<'_>) -> bool {
        self.eof_received.get(py)
    }

    /// What waits to be encrypted, oldest first: a list, and a copy.
    #[getter]
    fn _write_backlog(&self, py: Python<'_>) -> Vec<Py<PyBytes>> {
        self.write_backlog
            .with(py, |backlog| backlog.iter().map(|data| data.clone_ref(py)).collect())
    }

    #[getter]
    fn _write_buffer_size(&self, py: Python<'_>) -> usize {
        self.write_buffer_size.get(py)
    }

    #[getter]
    fn _ssl_writing_paused(&self, py: Python<'_>) -> bool {
        self.ssl_writing_paused.get(py)
    }

    #[getter]
    fn _ssl_reading_paused(&self, py: Python<'_>) -> bool {
        self.ssl_reading_paused.get(py)
    }

    #[getter]
    fn _app_writing_paused(&self, py: Python<'_>) -> bool {
        self.app_writing_paused.get(py)
    }

    #[getter]
    fn _app_reading_paused(&self, py: Python<'_>) -> bool {
        self.app_reading_paused.get(py)
    }

    /// Put a value where asyncio keeps an attribute of this name; whether there is such a place.
    fn _put<'py>(this: &Bound<'py, Self>, name: &str, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        attributes::put(this, name, value)
    }

    /// Call the private methods by their names from now on, for they may be somebody else's.
    fn _mark_patched(&self, py: Python<'_>) {
        self.is_patched.set(py, true);
    }

    /// Whether records are read and written without Python; see batonloop's DESIGN.
    #[getter]
    fn _is_direct(&self, py: Python<'_>) -> bool {
        self.engine.is_direct(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        for place in self.places() {
            place.visit(|slot| slot.visit(&visit))?;
        }
        self.write_backlog
            .visit(|backlog| backlog.iter().try_for_each(|data| visit.call(data)))
            .unwrap_or(Ok(()))?;
        self.engine.visit(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        let backlog: VecDeque<Py<PyBytes>> = self.write_backlog.with(py, std::mem::take);
        for data in backlog {
            data.drop_ref(py);
        }
        self.engine.clear(py);
        for place in self.places() {
            place.slot(py).clear(py);
        }
    }
}

fn get_buffer<'py>(this: &PyProtocol<'py>, _: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    below::get_buffer(this)
}

fn buffer_updated<'py>(
    this: &PyProtocol<'py>,
    nbytes: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    below::buffer_updated(this, nbytes.extract()?)?;
    Ok(none(this.py()))
}

/// Puts what a transport calls for every record on the class, at the price of C functions.
pub(crate) fn add_hot_methods(class: &Bound<'_, PyType>) -> PyResult<()> {
    add_method(class, Method::<SSLProtocol>::one_arg(c"get_buffer", GET_BUFFER, get_buffer))?;
    let updated = Method::<SSLProtocol>::one_arg(c"buffer_updated", BUFFER_UPDATED, buffer_updated);
    add_method(class, updated)
}

const GET_BUFFER: &CStr = c"\
    get_buffer(sizehint, /)\n\nReturn a memoryview for the transport below to read into.";
const BUFFER_UPDATED: &CStr = c"\
    buffer_updated(nbytes, /)\n\nThe transport below has put this many bytes into the buffer.";
