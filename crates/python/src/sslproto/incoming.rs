//! What comes in: decrypted as far as it goes, and handed on as one object.

use batonloop_core::{AppState, Flow, SSLState};
use pyo3::types::{PyAny, PyAnyMethods, PyByteArray, PyBytes, PyBytesMethods, PyMemoryView};
use pyo3::{Bound, PyResult, Python, intern};

use super::engine::{Ending, get};
use super::outgoing::{do_write, has_backlog, process_outgoing};
use super::{PyProtocol, SSLProtocol, caught, caught_unless_exit, fatal_error, handshake};
use crate::names;

/// How large the buffer is that transports read into, unless they have their own.
const MAX_SIZE: usize = 256 * 1024;
/// How much may wait to be decrypted before the transport below is asked to pause.
pub(super) const HIGH_WATER: u64 = 256 * 1024;

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
    this.get().engine.feed(this.py(), data)?;
    go_on(this)
}

/// Does what can be done with what has come in.
#[inline]
fn go_on(this: &PyProtocol<'_>) -> PyResult<()> {
    match this.get().state.get(this.py()) {
        SSLState::Wrapped => do_read(this),
        SSLState::DoHandshake => handshake::do_handshake(this),
        SSLState::Flushing => handshake::do_flush(this),
        SSLState::Shutdown => handshake::do_shutdown(this),
        SSLState::Unwrapped => Ok(()),
    }
}

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
        let is_ssl = protocol.app_protocol_is_ssl.get(py) && protocol.engine.is_genuine(py);
        if protocol.app_protocol_is_buffer.get(py) && !is_ssl {
            read_buffered(this)?;
        } else {
            read_copied(this, is_ssl)?;
        }
        if has_backlog(protocol, py) {
            do_write(this)?;
        } else {
            process_outgoing(this)?;
        }
    }
    control_ssl_reading(this)
}

/// For a protocol with `data_received()`, and for TLS in TLS, which needs no buffer either.
fn read_copied(this: &PyProtocol<'_>, is_ssl: bool) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let received = protocol.engine.read(py)?;
    if let Some(data) = received.data {
        let app_protocol = get(&protocol.app_protocol, py);
        match (is_ssl.then(|| SSLProtocol::cast(&app_protocol)).flatten(), data.cast::<PyBytes>()) {
            (Some(above), Ok(data)) => receive(above, data.as_bytes())?,
            _ => {
                app_protocol.call_method1(intern!(py, "data_received"), (data,))?;
            }
        }
    }
    match received.ending {
        Ending::Again => Ok(()),
        Ending::Closed => finish(this),
        Ending::Failed(error) => Err(error),
    }
}

/// For a `BufferedProtocol`.
fn read_buffered(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let hint = read_buffer_size(protocol, py)?;
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
        Ending::Again => Ok(()),
        Ending::Closed => finish(this),
        Ending::Failed(error) => Err(error),
    }
}

/// The other side will send no more.
fn finish(this: &PyProtocol<'_>) -> PyResult<()> {
    call_eof_received(this)?;
    handshake::start_shutdown(this)
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
        Err(error) => {
            fatal_error(this, &caught_unless_exit(error, py)?, "Error calling eof_received()")
        }
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

/// See [`resume_reading`].
pub(super) fn resume(this: &PyProtocol<'_>) -> PyResult<()> {
    match this.get().state.get(this.py()) {
        SSLState::Wrapped => do_read(this),
        SSLState::Flushing => handshake::do_flush(this),
        SSLState::Shutdown => handshake::do_shutdown(this),
        SSLState::Unwrapped | SSLState::DoHandshake => Ok(()),
    }
}

/// How many encrypted bytes wait.
pub(super) fn read_buffer_size(protocol: &SSLProtocol, py: Python<'_>) -> PyResult<usize> {
    protocol.engine.pending_in(py)
}

/// Asks the transport below to pause, or to go on.
#[inline]
pub(super) fn control_ssl_reading(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let size = read_buffer_size(protocol, py)? as u64;
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
