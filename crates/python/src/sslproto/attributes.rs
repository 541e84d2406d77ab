//! The attributes of an SSLProtocol that others set.
//!
//! asyncio's class keeps everything in its dict, where tests and libraries put what they like: an
//! attribute of another value, or a method in the place of one of its own. Here a value goes where
//! ours stands, and a method is kept by the object, which then calls it by its name.

use batonloop_core::{AppState, SSLState, WaterMarks};
use batonloop_cpython::cell::{GilCell, GilSlot};
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, Python, intern};

use super::state::{PyProtocol, SSLProtocol};

/// Puts a value where asyncio keeps an attribute of this name. Whether there is such a place.
///
/// # Errors
///
/// What Python says to a value that cannot stand there.
pub(super) fn put(this: &PyProtocol<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = this.py();
    let protocol = this.get();
    if let Some(place) = place(protocol, name) {
        if value.is_none() {
            place.slot(py).clear(py);
        } else {
            place.slot(py).set(value.clone());
        }
    } else if let Some(flag) = flag(protocol, name) {
        flag.set(py, value.is_truthy()?);
    } else {
        match name {
            "_conn_lost" => protocol.conn_lost.set(py, value.extract()?),
            "_write_buffer_size" => protocol.write_buffer_size.set(py, value.extract()?),
            "_state" => protocol.state.set(py, member(value, &STATES, SSLState::name)?),
            "_app_state" => protocol.app_state.set(py, member(value, &APP_STATES, AppState::name)?),
            _ => return put_mark(protocol, name, value, py),
        }
    }
    Ok(true)
}

const STATES: [SSLState; 5] = [
    SSLState::Unwrapped,
    SSLState::DoHandshake,
    SSLState::Wrapped,
    SSLState::Flushing,
    SSLState::Shutdown,
];
const APP_STATES: [AppState; 4] = [AppState::Init, AppState::Made, AppState::Eof, AppState::Lost];

/// The state that a member of asyncio's enumeration stands for.
fn member<T: Copy>(
    value: &Bound<'_, PyAny>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> PyResult<T> {
    let wanted: String = value.getattr(intern!(value.py(), "name"))?.extract()?;
    let found = all.iter().copied().find(|state| name(*state) == wanted);
    found.ok_or_else(|| PyValueError::new_err(format!("no such state: {wanted}")))
}

/// The state of this name.
///
/// # Errors
///
/// What Python says to what is no state.
pub(super) fn state_of(value: &Bound<'_, PyAny>) -> PyResult<SSLState> {
    member(value, &STATES, SSLState::name)
}

fn place<'a>(protocol: &'a SSLProtocol, name: &str) -> Option<&'a GilSlot> {
    Some(match name {
        "_loop" => &protocol.event_loop,
        "_app_protocol" => &protocol.app_protocol,
        "_app_protocol_get_buffer" => &protocol.app_get_buffer,
        "_app_protocol_buffer_updated" => &protocol.app_buffer_updated,
        "_app_transport" => &protocol.app_transport,
        "_transport" => &protocol.transport,
        "_waiter" => &protocol.waiter,
        "_sslcontext" => &protocol.sslcontext,
        "_server_side" => &protocol.server_side,
        "_server_hostname" => &protocol.server_hostname,
        "_extra" => &protocol.extra,
        "_ssl_handshake_timeout" => &protocol.handshake_timeout,
        "_ssl_shutdown_timeout" => &protocol.shutdown_timeout,
        "_handshake_timeout_handle" => &protocol.handshake_timeout_handle,
        "_shutdown_timeout_handle" => &protocol.shutdown_timeout_handle,
        "_handshake_start_time" => &protocol.handshake_start_time,
        _ => return None,
    })
}

fn flag<'a>(protocol: &'a SSLProtocol, name: &str) -> Option<&'a GilCell<bool>> {
    Some(match name {
        "_app_transport_created" => &protocol.app_transport_created,
        "_app_protocol_is_buffer" => &protocol.app_protocol_is_buffer,
        "_eof_received" => &protocol.eof_received,
        "_ssl_writing_paused" => &protocol.ssl_writing_paused,
        "_ssl_reading_paused" => &protocol.ssl_reading_paused,
        "_app_reading_paused" => &protocol.app_reading_paused,
        "_app_writing_paused" => &protocol.app_writing_paused,
        _ => return None,
    })
}

/// The same for the marks that flow control goes by.
fn put_mark(
    protocol: &SSLProtocol,
    name: &str,
    value: &Bound<'_, PyAny>,
    py: Python<'_>,
) -> PyResult<bool> {
    let (incoming, outgoing) = (protocol.incoming_marks.get(py), protocol.outgoing_marks.get(py));
    match name {
        "_incoming_high_water" => {
            let high = value.extract()?;
            protocol.set_incoming(WaterMarks { high, ..incoming }, None, py);
        }
        "_incoming_low_water" => {
            let low = value.extract()?;
            protocol.set_incoming(WaterMarks { low, ..incoming }, None, py);
        }
        "_outgoing_high_water" => {
            let high = value.extract()?;
            protocol.set_outgoing(WaterMarks { high, ..outgoing }, None, py);
        }
        "_outgoing_low_water" => {
            let low = value.extract()?;
            protocol.set_outgoing(WaterMarks { low, ..outgoing }, None, py);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
