//! What the application writes: encrypted at once, and sent as one piece.

use batonloop_core::{Flow, WaterMarks};
use batonloop_cpython::buffer::View;
use batonloop_cpython::bytes::copied;
use batonloop_cpython::coroutine;
use batonloop_cpython::kind::{self, SSLTransport, SocketTransport};
use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyBytesMethods, PyTuple};
use pyo3::{Bound, Py, PyErr, PyResult, Python, intern};

use super::engine::{get, is_again};
use super::state::{
    PyProtocol, SSLProtocol, call, caught, caught_unless_exit, fatal_error_caught, protocol_of,
    report,
};
use crate::names;
use crate::transports::{at_most, socket};

/// How much may wait to be sent before the application is asked to pause.
pub(super) const HIGH_WATER: u64 = 512 * 1024;

/// What asyncio says to errors that leave the protocol.
const FATAL: &str = "Fatal error on SSL protocol";

/// Whether it is too late to write. If so, takes note of it.
fn is_too_late(protocol: &SSLProtocol, py: Python<'_>) -> PyResult<bool> {
    if !protocol.state.get(py).is_over() {
        return Ok(false);
    }
    let often = py
        .import(intern!(py, "asyncio.constants"))?
        .getattr(intern!(py, "LOG_THRESHOLD_FOR_CONNLOST_WRITES"))?
        .extract::<u64>()?;
    if protocol.conn_lost.get(py) >= often {
        let logger = names::LOGGER.get(py)?;
        logger.call_method1(intern!(py, "warning"), ("SSL connection is closed",))?;
    }
    protocol.conn_lost.set(py, protocol.conn_lost.get(py) + 1);
    Ok(true)
}

/// Writes one piece of data.
#[inline]
pub(super) fn write<'py>(this: &PyProtocol<'py>, data: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = this.py();
    if this.get().is_patched.get(py) {
        return this.call_method1("_write_appdata", ([data],)).map(drop);
    }
    if is_too_late(this.get(), py)? {
        return Ok(());
    }
    or_fatal(this, write_now(this, data))
}

/// Writes several pieces of data as one.
pub(super) fn write_lines<'py>(this: &PyProtocol<'py>, list: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = this.py();
    if is_too_late(this.get(), py)? {
        return Ok(());
    }
    let mut pieces = Vec::new();
    for piece in list.try_iter()? {
        let piece = piece?;
        piece.len()?;
        pieces.push(piece);
    }
    if let [piece] = pieces.as_slice() {
        return or_fatal(this, write_now(this, piece));
    }
    let joined = join(&pieces, py).and_then(|joined| write_now(this, joined.as_any()));
    or_fatal(this, joined)
}

fn join<'py>(pieces: &[Bound<'py, PyAny>], py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let mut all = Vec::new();
    for piece in pieces {
        View::read(piece)?.append_to(&mut all);
    }
    copied(py, &all).map_err(|error| *error)
}

fn or_fatal(this: &PyProtocol<'_>, written: PyResult<()>) -> PyResult<()> {
    match written {
        Ok(()) => Ok(()),
        Err(error) => fatal_error_caught(this, &caught(error, this.py())?, FATAL),
    }
}

/// Encrypts the data now if nothing waits before it, and sends what can be sent.
#[inline]
fn write_now<'py>(this: &PyProtocol<'py>, data: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let view = View::read(data)?;
    let is_wrapped = protocol.state.get(py) == batonloop_core::SSLState::Wrapped;
    let waits = protocol.is_encrypting.get(py) || has_backlog(protocol, py);
    if !is_wrapped || waits || protocol.is_patched.get(py) {
        append(protocol, view.copy_from(0)?);
        return if is_wrapped { call(this, "_do_write", do_write) } else { Ok(()) };
    }
    let mut start = 0;
    while start < view.len() {
        let written = encrypt(protocol, data, &view, start);
        if let Ok(Some(count)) = written {
            start += count;
            continue;
        }
        // The application may change its buffer before this can be encrypted.
        prepend(protocol, view.copy_from(start)?);
        written?;
        return call(this, "_process_outgoing", process_outgoing);
    }
    drop(view);
    if has_backlog(protocol, py) {
        call(this, "_do_write", do_write)
    } else {
        call(this, "_process_outgoing", process_outgoing)
    }
}

/// [`Engine::write`](super::engine::Engine::write). What OpenSSL calls from inside it may write
/// too: that waits, so that it comes behind what is being written.
#[inline]
fn encrypt<'py>(
    protocol: &SSLProtocol,
    data: &Bound<'py, PyAny>,
    view: &View<'py>,
    start: usize,
) -> PyResult<Option<usize>> {
    let py = data.py();
    protocol.is_encrypting.set(py, true);
    let written = protocol.engine.write(data, view, start);
    protocol.is_encrypting.set(py, false);
    written
}

/// Whether something waits to be encrypted.
#[inline]
pub(super) fn has_backlog(protocol: &SSLProtocol, py: Python<'_>) -> bool {
    protocol.write_backlog.with(py, |backlog| !backlog.is_empty())
}

/// Lets data wait until it can be encrypted.
pub(super) fn append(protocol: &SSLProtocol, data: Bound<'_, PyBytes>) {
    let py = data.py();
    let size = data.as_bytes().len();
    let data = data.unbind();
    protocol.write_backlog.with(py, |backlog| backlog.push_back(data));
    protocol.write_buffer_size.set(py, protocol.write_buffer_size.get(py) + size);
}

/// The same, before all that waits: what was written from inside our own write came later.
fn prepend(protocol: &SSLProtocol, data: Bound<'_, PyBytes>) {
    let py = data.py();
    let size = data.as_bytes().len();
    let data = data.unbind();
    protocol.write_backlog.with(py, |backlog| backlog.push_front(data));
    protocol.write_buffer_size.set(py, protocol.write_buffer_size.get(py) + size);
}

/// Encrypts what waits, as far as that goes, and sends it.
pub(super) fn do_write(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if protocol.is_encrypting.get(py) {
        // Whoever is at it goes on with the rest.
        return call(this, "_process_outgoing", process_outgoing);
    }
    while let Some(data) = protocol.write_backlog.with(py, |backlog| backlog.pop_front()) {
        let data = data.into_bound(py);
        let size = data.as_bytes().len();
        let written = if size == 0 {
            Ok(Some(0))
        } else {
            View::read(data.as_any()).and_then(|view| encrypt(protocol, data.as_any(), &view, 0))
        };
        let count = written.as_ref().map_or(0, |count| count.unwrap_or(0)).min(size);
        let left = protocol.write_buffer_size.get(py).saturating_sub(count);
        protocol.write_buffer_size.set(py, left);
        if count < size {
            let rest: Py<PyBytes> = if count == 0 {
                data.unbind()
            } else {
                copied(py, &data.as_bytes()[count..]).map_err(|error| *error)?.unbind()
            };
            protocol.write_backlog.with(py, |backlog| backlog.push_front(rest));
        }
        if written?.is_none() {
            break;
        }
    }
    call(this, "_process_outgoing", process_outgoing)
}

/// Hands what is encrypted to the transport below.
#[inline]
pub(super) fn process_outgoing(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    if !protocol.ssl_writing_paused.get(py)
        && let Some(data) = protocol.engine.drain(py)?
    {
        send(&get(&protocol.transport, py), data)?;
    }
    call(this, "_control_app_writing", control_app_writing)
}

/// Sends encrypted bytes by the transport below. Transports are known by their exact type, for
/// whoever derives from one may have given a method another meaning.
#[inline]
fn send<'py>(transport: &Bound<'py, PyAny>, data: Bound<'py, PyAny>) -> PyResult<()> {
    let py = transport.py();
    if let Some(above_tls) = kind::cast::<SSLTransport>(transport)
        && transport.get_type().is(names::SSL_TRANSPORT.get(py)?)
    {
        // TLS in TLS.
        return write(&protocol_of(above_tls, "_write_appdata")?, &data);
    }
    if let Some(on_socket) = kind::cast_exact::<SocketTransport>(transport) {
        return socket::write(on_socket, &data);
    }
    transport.call_method1(intern!(py, "write"), (data,))?;
    Ok(())
}

/// A handshake or a goodbye is not done: OpenSSL wants more bytes, and what it has written is sent;
/// or it has failed, and `tell` says so.
pub(super) fn send_or_tell<'py>(
    this: &PyProtocol<'py>,
    error: PyErr,
    tell: impl FnOnce(&PyProtocol<'py>, Option<Bound<'py, PyAny>>) -> PyResult<()>,
) -> PyResult<()> {
    let py = this.py();
    let again = is_again(&error, py);
    if !again && !error.is_instance(py, names::SSL_ERROR.get(py)?) {
        return Err(error);
    }
    let exception = coroutine::exception_of(error, py);
    coroutine::while_handling(&exception, || {
        if again {
            call(this, "_process_outgoing", process_outgoing)
        } else {
            tell(this, Some(exception.clone()))
        }
    })
}

/// How many bytes wait, encrypted or not.
#[inline]
pub(super) fn write_buffer_size(protocol: &SSLProtocol, py: Python<'_>) -> PyResult<usize> {
    Ok(protocol.engine.pending_out(py)? + protocol.write_buffer_size.get(py))
}

/// [`write_buffer_size`], or what stands in its place.
#[inline]
fn asked_size(this: &PyProtocol<'_>) -> PyResult<usize> {
    if this.get().is_patched.get(this.py()) {
        return this.call_method0("_get_write_buffer_size")?.extract();
    }
    write_buffer_size(this.get(), this.py())
}

/// Asks the application to pause, or to go on.
#[inline]
pub(super) fn control_app_writing(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    let size = asked_size(this)? as u64;
    let paused = protocol.app_writing_paused.get(py);
    match protocol.outgoing_marks.get(py).judge(size, paused) {
        Flow::Keep => Ok(()),
        Flow::Pause => tell_app(this, true),
        Flow::Resume => tell_app(this, false),
    }
}

fn tell_app(this: &PyProtocol<'_>, pause: bool) -> PyResult<()> {
    let py = this.py();
    let protocol = this.get();
    protocol.app_writing_paused.set(py, pause);
    let method = if pause { intern!(py, "pause_writing") } else { intern!(py, "resume_writing") };
    let Err(error) = get(&protocol.app_protocol, py).call_method0(method) else {
        return Ok(());
    };
    let exception = caught_unless_exit(error, py)?;
    let message = format!("protocol.{method}() failed");
    coroutine::while_handling(&exception, || {
        report(this, &message, &exception, get(&protocol.app_transport, py))
    })
}

/// The transport below has too much to send.
pub(super) fn pause_writing(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let paused = &this.get().ssl_writing_paused;
    if paused.get(py) {
        return Err(pyo3::exceptions::PyAssertionError::new_err(()));
    }
    paused.set(py, true);
    Ok(())
}

/// The transport below has sent most of it.
pub(super) fn resume_writing(this: &PyProtocol<'_>) -> PyResult<()> {
    let py = this.py();
    let paused = &this.get().ssl_writing_paused;
    if !paused.get(py) {
        return Err(pyo3::exceptions::PyAssertionError::new_err(()));
    }
    paused.set(py, false);
    call(this, "_process_outgoing", process_outgoing)
}

/// The marks for `high` and `low` as an application gives them, and the tuple `(low, high)` to
/// answer with, where it gave any.
pub(super) fn marks<'py>(
    high: Option<&Bound<'py, PyAny>>,
    low: Option<&Bound<'py, PyAny>>,
    default: u64,
    py: Python<'py>,
) -> PyResult<(WaterMarks, Option<Bound<'py, PyAny>>)> {
    if high.is_none() && low.is_none() {
        return Ok((WaterMarks { high: default, low: default / 4 }, None));
    }
    let made = names::FLOW_CONTROL_DEFAULTS.get(py)?.call1((high, low, default / 1024))?;
    let (high, low): (Bound<'py, PyAny>, Bound<'py, PyAny>) = made.extract()?;
    let marks = WaterMarks { high: at_least(&high), low: at_most(&low) as u64 };
    Ok((marks, Some(PyTuple::new(py, [low, high])?.into_any())))
}

/// The least number of bytes that is not below a mark.
fn at_least(mark: &Bound<'_, PyAny>) -> u64 {
    mark.extract::<u64>()
        .or_else(|_| mark.extract::<f64>().map(|mark| mark.ceil() as u64))
        .unwrap_or(u64::MAX)
}
