//! What comes in: decrypted as far as it goes, and handed on as one object.

use batonloop_core::{AppState, Flow};
use pyo3::types::{PyAnyMethods, PyBytes, PyBytesMethods};
use pyo3::{PyResult, Python, intern};

use super::engine::{Ending, get};
use super::state::{PyProtocol, SSLProtocol, caught_unless_exit, fatal_error_caught};
use crate::names;
use crate::transports::{ABOVE, feed};

/// How much may wait to be decrypted before the transport below is asked to pause.
pub(super) const HIGH_WATER: u64 = 256 * 1024;

/// Whether the protocol above is TLS as well, to which bytes are handed as they are.
pub(super) fn is_below_tls(protocol: &SSLProtocol, py: Python<'_>) -> bool {
    protocol.app_protocol_is_ssl.get(py) && protocol.engine.is_genuine(py)
}

/// Decrypts what has come in and hands it on, to a protocol with `data_received()`, and to TLS in
/// TLS, which needs no buffer either. Whether that was all: the other side has said so.
pub(super) fn read_copied(this: &PyProtocol<'_>) -> PyResult<bool> {
    let py = this.py();
    let protocol = this.get();
    let is_ssl = is_below_tls(protocol, py);
    let received = protocol.engine.read(py)?;
    if let Some(data) = received.data {
        let app_protocol = get(&protocol.app_protocol, py);
        match (is_ssl.then(|| ABOVE.get(py)).flatten(), data.cast::<PyBytes>()) {
            (Some(above), Ok(data)) => (above.receive)(&app_protocol, data.as_bytes())?,
            (None, Ok(data)) => feed(&app_protocol, data).map_err(|error| *error)?,
            _ => {
                app_protocol.call_method1(intern!(py, "data_received"), (data,))?;
            }
        }
    }
    match received.ending {
        Ending::Again => Ok(false),
        Ending::Closed => Ok(true),
        Ending::Failed(error) => Err(error),
    }
}

/// The same for a `BufferedProtocol`.
pub(super) fn read_buffered(this: &PyProtocol<'_>) -> PyResult<bool> {
    let py = this.py();
    let protocol = this.get();
    let hint = asked_size(this)?;
    let buffer = get(&protocol.app_get_buffer, py).call1((hint,))?;
    let wanted = buffer.len()?;
    let view = protocol.engine.view(&buffer);
    let mut filled = 0;
    let mut ending = Ending::Again;
    loop {
        match protocol.engine.read_into(&buffer, view.as_ref(), filled, wanted) {
            Ok(None) => break,
            Ok(Some(0)) => {
                ending = Ending::Closed;
                break;
            }
            Ok(Some(count)) => filled += count,
            Err(error) => {
                ending = Ending::Failed(error);
                break;
            }
        }
        if filled >= wanted {
            // There may be more than the buffer holds.
            let again = this.getattr(intern!(py, "_do_read"))?;
            protocol.event_loop(py)?.call_method1(intern!(py, "call_soon"), (again,))?;
            break;
        }
    }
    drop(view);
    if filled > 0 {
        get(&protocol.app_buffer_updated, py).call1((filled,))?;
    }
    match ending {
        Ending::Again => Ok(false),
        Ending::Closed => Ok(true),
        Ending::Failed(error) => Err(error),
    }
}

/// Tells the application, once, that no more will come.
pub(super) fn call_eof_received(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if protocol.app_state.get(py) != AppState::Made {
        return Ok(());
    }
    protocol.app_state.set(py, AppState::Eof);
    let told = get(&protocol.app_protocol, py)
        .call_method0(intern!(py, "eof_received"))
        .and_then(|keep_open| keep_open.is_truthy())
        .and_then(|keep_open| if keep_open { warn_of_keep_open(py) } else { Ok(()) });
    match told {
        Ok(()) => Ok(()),
        Err(error) => fatal_error_caught(
            this,
            &caught_unless_exit(error, py)?,
            "Error calling eof_received()",
        ),
    }
}

fn warn_of_keep_open(py: Python<'_>) -> PyResult<()> {
    let text = "returning true from eof_received() has no effect when using ssl";
    names::LOGGER.get(py)?.call_method1(intern!(py, "warning"), (text,))?;
    Ok(())
}

/// The application wants no more for now.
pub(super) fn pause_reading(protocol: &SSLProtocol, py: Python<'_>) {
    protocol.app_reading_paused.set(py, true);
}

/// The application wants more: what has come in meanwhile is read in the next turn.
pub(super) fn resume_reading(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if protocol.app_reading_paused.get(py) {
        protocol.app_reading_paused.set(py, false);
        let resume = this.getattr(intern!(py, "_resume"))?;
        protocol.event_loop(py)?.call_method1(intern!(py, "call_soon"), (resume,))?;
    }
    Ok(())
}

/// How many encrypted bytes wait.
pub(super) fn read_buffer_size(protocol: &SSLProtocol, py: Python<'_>) -> PyResult<usize> {
    protocol.engine.pending_in(py)
}

/// [`read_buffer_size`], or what stands in its place.
#[inline]
fn asked_size(this: &PyProtocol<'_>) -> PyResult<usize> {
    if this.get().is_patched.get(this.py()) {
        return this.call_method0("_get_read_buffer_size")?.extract();
    }
    read_buffer_size(this.get(), this.py())
}

/// Asks the transport below to pause, or to go on.
#[inline]
pub(super) fn control_ssl_reading(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let size = asked_size(this)? as u64;
    let paused = protocol.ssl_reading_paused.get(py);
    let (pause, method) = match protocol.incoming_marks.get(py).judge(size, paused) {
        Flow::Keep => return Ok(()),
        Flow::Pause => (true, intern!(py, "pause_reading")),
        Flow::Resume => (false, intern!(py, "resume_reading")),
    };
    protocol.ssl_reading_paused.set(py, pause);
    get(&protocol.transport, py).call_method0(method)?;
    Ok(())
}
