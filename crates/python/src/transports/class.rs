//! Transports as Python sees them: methods, attributes, the repr.
//!
//! Every kind of transport takes of these what asyncio's of that kind has. The private ones are
//! here because asyncio's own code, or a well-known library, calls or reads them.

use std::ffi::CStr;

use batonloop_cpython::kind::Fields;
use batonloop_cpython::method::{Args, Method, Property, missing};
use batonloop_cpython::verify;
use pyo3::exceptions::{PyResourceWarning, PyRuntimeError};
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyList};
use pyo3::{Bound, IntoPyObject, PyErr, PyResult, Python, intern};

use super::{
    CLOSING, EOF, LENT, PAUSED, PROTOCOL_PAUSED, READING, Transport, TransportKind, WRITING,
};
use crate::host::EventLoop;
use crate::names::{self, boolean, none};

/// `write(data)`: sent at once as far as the kernel takes it.
fn write<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).write(args.only("write", "data")?)?;
    Ok(none(this.py()))
}

/// `writelines(list_of_data)`: as one vectored write.
fn writelines<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).write_lines(args.only("writelines", "list_of_data")?)?;
    Ok(none(this.py()))
}

/// `write_eof()`: half-closes once everything is written.
fn write_eof<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).write_eof()?;
    Ok(none(this.py()))
}

fn can_write_eof<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), true))
}

/// `close()`: reads no more, writes what waits, then loses the connection.
fn close<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    K::close(Transport::of(this))?;
    Ok(none(this.py()))
}

/// `abort()`: what waits is dropped.
fn abort<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).force_close(None)?;
    Ok(none(this.py()))
}

/// `_force_close(exc)`: `connection_lost(exc)` comes soon.
fn force_close<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let exception = Some(exception.clone()).filter(|exception| !exception.is_none());
    Transport::of(this).force_close(exception)?;
    Ok(none(this.py()))
}

/// `_fatal_error(exc, message)`: asyncio's own code reports through it.
fn fatal_error<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let [exception, message] = args.parse("_fatal_error", ["exc", "message"], 2)?;
    let exception = exception.ok_or_else(|| missing("_fatal_error", "exc", 1))?;
    let message = match message {
        Some(message) => message.to_string(),
        None => "Fatal error on transport".to_owned(),
    };
    Transport::of(this).fatal_error(PyErr::from_value(exception.clone()), &message)?;
    Ok(none(this.py()))
}

/// `is_closing()`: true from `close()`, `abort()` or a fatal error on.
fn is_closing<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), this.fields().has(CLOSING)))
}

/// `is_reading()`: false while paused or closing, though the end may have been read.
fn is_reading<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), !this.fields().has(CLOSING | PAUSED)))
}

/// `pause_reading()`: may be called at any time, twice or after the end too.
fn pause_reading<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let transport = Transport::of(this);
    if !transport.fields.has(CLOSING | PAUSED) {
        transport.fields.add(PAUSED);
        transport.stop_reading();
        transport.log_debug("%r pauses reading")?;
    }
    Ok(none(this.py()))
}

/// `resume_reading()`: what arrives from now on runs in a copy of the context of this call.
fn resume_reading<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let transport = Transport::of(this);
    if !transport.fields.has(CLOSING) && transport.fields.has(PAUSED) {
        transport.fields.remove(PAUSED);
        transport.keep_context(&transport.fields.context)?;
        transport.start_reading()?;
        transport.log_debug("%r resumes reading")?;
    }
    Ok(none(this.py()))
}

/// `get_protocol()`, `_protocol`: None once the connection is lost.
fn read_protocol<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(Transport::of(this).protocol())
}

/// `set_protocol(protocol)`: the next piece goes to it, and the loss.
fn set_protocol<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).set_protocol(args.only("set_protocol", "protocol")?)?;
    Ok(none(this.py()))
}

/// `get_extra_info(name, default=None)`.
fn read_extra_info<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let [name, default] = args.parse("get_extra_info", ["name", "default"], 2)?;
    let name = name.ok_or_else(|| missing("get_extra_info", "name", 1))?;
    let default = default.cloned().unwrap_or_else(|| none(this.py()));
    Transport::of(this).extra_info(name, default)
}

/// `get_write_buffer_size()`: how many bytes the kernel has not taken.
fn write_buffer_size<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().unwritten.get().into_pyobject(this.py())?.into_any())
}

/// `get_write_buffer_limits()`: low before high, as asyncio has it.
fn write_buffer_limits<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let [low, high] = Transport::of(this).limits()?;
    Ok((low, high).into_pyobject(this.py())?.into_any())
}

/// `set_write_buffer_limits(high, low)`: may ask the protocol to pause at once.
fn set_write_buffer_limits<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let [high, low] = args.parse("set_write_buffer_limits", ["high", "low"], 2)?;
    let transport = Transport::of(this);
    transport.set_limits(high, low)?;
    transport.maybe_pause_protocol()?;
    Ok(none(this.py()))
}

// What asyncio's own code calls.

/// `_read_ready()`: on a loop that sees every hand-off, the callback of the reader.
fn read_ready<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    K::read(Transport::of(this))?;
    Ok(none(this.py()))
}

/// `_write_ready()`: the same for the writer.
fn write_ready<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    K::write(Transport::of(this))?;
    Ok(none(this.py()))
}

/// `_add_reader(fd, callback)`: what asyncio queues behind `connection_made`.
fn add_reader<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    _: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    K::start_reading(Transport::of(this))?;
    Ok(none(this.py()))
}

/// `_connection_made()`: has a name only for the warning about slow callbacks.
fn connection_made<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let transport = Transport::of(this);
    transport.protocol().call_method1(intern!(this.py(), "connection_made"), (this.as_any(),))
}

/// `_call_connection_lost(exc)`.
fn call_connection_lost<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).call_connection_lost(exception)?;
    Ok(none(this.py()))
}

/// `_make_empty_waiter()`: no write is taken until `_reset_empty_waiter()`.
fn make_empty_waiter<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    if !fields.empty_waiter.is_empty() {
        return Err(PyRuntimeError::new_err("Empty waiter is already set"));
    }
    let event_loop = fields.event_loop.get(py).unwrap_or_else(|| none(py));
    let waiter = event_loop.call_method0(intern!(py, "create_future"))?;
    if fields.backlog.is_empty() {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    fields.empty_waiter.set(waiter.clone());
    Ok(waiter)
}

fn reset_empty_waiter<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    this.fields().empty_waiter.clear(this.py());
    Ok(none(this.py()))
}

/// Lets others watch the descriptor while `sendfile()` uses it, or nobody again.
fn set_in_use<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    in_use: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if in_use.is_truthy()? {
        this.fields().remove(LENT);
    } else {
        this.fields().add(LENT);
    }
    Ok(none(this.py()))
}

// Attributes that libraries read.

/// `_sock`: made now, for a connection that a server accepted.
fn read_sock<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    if this.fields().is_open() {
        let socket = Transport::of(this).python_socket()?;
        // It may be lost while that is made.
        if this.fields().is_open() {
            return Ok(socket);
        }
    }
    Ok(none(this.py()))
}

fn read_sock_fd<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().descriptor().into_pyobject(this.py())?.into_any())
}

fn read_loop<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().event_loop.get(this.py()).unwrap_or_else(|| none(this.py())))
}

fn read_extra<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).extra()
}

/// `_server`: None for a connection of a client.
fn read_server<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().server.get(this.py()).unwrap_or_else(|| none(this.py())))
}

/// `_buffer`: a copy in the form of asyncio's; to change it changes nothing.
fn read_buffer<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    let rest = PyList::empty(py);
    if let Some(backlog) = fields.backlog.get(py) {
        let views = py.import("builtins")?.getattr("memoryview")?;
        let mut written = fields.written.get();
        for entry in backlog.try_iter()? {
            let view = views.call1((entry?,))?;
            rest.call_method1("append", (view.get_item(slice_from(py, written)?)?,))?;
            written = 0;
        }
    }
    py.import("collections")?.getattr("deque")?.call1((rest,))
}

fn slice_from(py: Python<'_>, start: usize) -> PyResult<Bound<'_, PyAny>> {
    py.import("builtins")?.getattr("slice")?.call1((start, py.None()))
}

/// `_conn_lost`: zero until the loss is queued, then counts the writes after it too.
fn read_conn_lost<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().conn_lost.get().into_pyobject(this.py())?.into_any())
}

fn read_closing<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    is_closing(this)
}

fn read_eof<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), this.fields().has(EOF)))
}

fn read_paused<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), this.fields().has(PAUSED)))
}

fn read_protocol_paused<'py, K: TransportKind>(
    this: &Bound<'py, K>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), this.fields().has(PROTOCOL_PAUSED)))
}

fn read_high_water<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).limits().map(|[_, high]| high)
}

fn read_low_water<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Transport::of(this).limits().map(|[low, _]| low)
}

fn read_empty_waiter<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().empty_waiter.get(this.py()).unwrap_or_else(|| none(this.py())))
}

/// The words of asyncio's transport: tests and logs are full of them.
pub(super) fn repr<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let transport = Transport::of(this);
    let fields = transport.fields;
    let mut text = format!("<{}", verify::class_name(this.as_any()));
    if !fields.is_open() {
        text.push_str(" closed");
    } else if fields.has(CLOSING) {
        text.push_str(" closing");
    }
    text.push_str(&format!(" fd={}", fields.descriptor()));
    let is_live = transport
        .event_loop()
        .is_some_and(|it| EventLoop::of(&it).is_some_and(|host| !host.closed.get(py)));
    if is_live {
        let shown = |polls| if polls { "polling" } else { "idle" };
        text.push_str(&format!(
            " read={} write=<{}, bufsize={}>",
            shown(fields.has(READING)),
            shown(fields.has(WRITING)),
            fields.unwritten.get()
        ));
    }
    text.push('>');
    Ok(text.into_pyobject(py)?.into_any())
}

/// `__del__`: a transport that nobody closed says so, and closes its descriptor.
pub(super) fn finalize<K: TransportKind>(this: &Bound<'_, K>) {
    let py = this.py();
    let transport = Transport::of(this);
    if !transport.fields.is_open() {
        return;
    }
    if let Err(error) = warn_unclosed(this) {
        error.write_unraisable(py, Some(this.as_any()));
    }
    transport.stop_reading();
    transport.stop_writing();
    if let Err(error) = transport.let_go() {
        error.write_unraisable(py, Some(this.as_any()));
    }
}

fn warn_unclosed<K: TransportKind>(this: &Bound<'_, K>) -> PyResult<()> {
    let py = this.py();
    let keywords = PyDict::new(py);
    keywords.set_item("source", this.as_any())?;
    let text = format!("unclosed transport {}", this.as_any().repr()?);
    let category = py.get_type::<PyResourceWarning>();
    names::WARN.get(py)?.call((text, category), Some(&keywords)).map(drop)
}

pub(super) fn common_properties<K: TransportKind>() -> [Property<K>; 4] {
    [
        Property::read(c"_loop", c"The loop; None once the connection is lost.", read_loop::<K>),
        Property::read(c"_extra", c"What get_extra_info() knows.", read_extra::<K>),
        Property::read(c"_protocol", c"The protocol.", read_protocol::<K>),
        Property::read(c"_closing", c"Whether it is closing.", read_closing::<K>),
    ]
}

/// What transports on sockets have.
pub(super) fn socket_properties<K: TransportKind>() -> [Property<K>; 4] {
    [
        Property::read(c"_sock", c"The socket; None once the connection is lost.", read_sock::<K>),
        Property::read(c"_sock_fd", c"The number of its descriptor.", read_sock_fd::<K>),
        Property::read(c"_server", c"The server that accepted it, or None.", read_server::<K>),
        paused_property(),
    ]
}

/// What transports have that can be read.
pub(super) fn paused_property<K: TransportKind>() -> Property<K> {
    Property::read(c"_paused", c"Whether reading is paused.", read_paused::<K>)
}

/// What transports have that can be written to.
pub(super) fn limiting_properties<K: TransportKind>() -> [Property<K>; 4] {
    [
        Property::read(c"_conn_lost", c"Whether the loss is certain.", read_conn_lost::<K>),
        Property::read(
            c"_protocol_paused",
            c"Whether the protocol was asked to pause.",
            read_protocol_paused,
        ),
        Property::read(c"_high_water", c"The upper limit of the backlog.", read_high_water::<K>),
        Property::read(c"_low_water", c"The lower limit of the backlog.", read_low_water::<K>),
    ]
}

/// What connections alone have.
pub(super) fn stream_properties<K: TransportKind>() -> [Property<K>; 3] {
    [
        Property::read(c"_buffer", c"What is still to be written.", read_buffer::<K>),
        Property::read(c"_eof", c"Whether write_eof() was called.", read_eof::<K>),
        Property::read(
            c"_empty_waiter",
            c"The future of who waits until nothing waits to be written, or None.",
            read_empty_waiter,
        ),
    ]
}

pub(super) fn common_methods<K: TransportKind>() -> [Method<K>; 10] {
    [
        Method::no_args(c"close", c"Write what waits, then lose the connection.", close::<K>),
        Method::no_args(c"is_closing", c"Return whether it is closing or closed.", is_closing::<K>),
        Method::no_args(c"get_protocol", c"Return the protocol.", read_protocol::<K>),
        Method::args(c"set_protocol", PROTOCOL_DOC, set_protocol::<K>),
        Method::args(c"get_extra_info", EXTRA_DOC, read_extra_info::<K>),
        Method::no_args(c"_connection_made", c"Tell the protocol.", connection_made::<K>),
        Method::no_args(c"_read_ready", c"Read once.", read_ready::<K>),
        Method::args(c"_add_reader", c"Begin to read, unless closing or paused.", add_reader::<K>),
        Method::one_arg(
            c"_call_connection_lost",
            c"Tell the protocol and let everything go.",
            call_connection_lost,
        ),
        Method::args(
            c"_fatal_error",
            c"Report an error and lose the connection.",
            fatal_error::<K>,
        ),
    ]
}

/// What transports have that can be read.
pub(super) fn reading_methods<K: TransportKind>() -> [Method<K>; 3] {
    [
        Method::no_args(c"is_reading", c"Return whether it reads.", is_reading::<K>),
        Method::no_args(
            c"pause_reading",
            c"Read nothing until resume_reading().",
            pause_reading::<K>,
        ),
        Method::no_args(c"resume_reading", c"Read again.", resume_reading::<K>),
    ]
}

/// What transports have that can be written to.
pub(super) fn limiting_methods<K: TransportKind>() -> [Method<K>; 4] {
    [
        Method::no_args(c"abort", c"Lose the connection and what waits.", abort::<K>),
        Method::no_args(
            c"get_write_buffer_size",
            c"Return how many bytes wait to be written.",
            write_buffer_size,
        ),
        Method::no_args(
            c"get_write_buffer_limits",
            c"Return the limits (low, high) in bytes.",
            write_buffer_limits,
        ),
        Method::args(c"set_write_buffer_limits", LIMITS_DOC, set_write_buffer_limits::<K>),
    ]
}

/// What transports on sockets and pipes alike lose the connection with.
pub(super) fn force_close_method<K: TransportKind>(name: &'static CStr) -> Method<K> {
    Method::one_arg(name, c"Lose the connection because of an exception, or None.", force_close)
}

/// What connections alone have.
pub(super) fn stream_methods<K: TransportKind>() -> [Method<K>; 9] {
    [
        Method::args(c"write", WRITE_DOC, write::<K>),
        Method::args(c"writelines", WRITELINES_DOC, writelines::<K>),
        Method::no_args(c"write_eof", c"Say that nothing more will be written.", write_eof::<K>),
        Method::no_args(c"can_write_eof", c"Return True: write_eof() works.", can_write_eof::<K>),
        force_close_method(c"_force_close"),
        Method::no_args(c"_write_ready", c"Write what waits, once.", write_ready::<K>),
        Method::no_args(
            c"_make_empty_waiter",
            c"Return a future for the moment when nothing waits to be written.",
            make_empty_waiter,
        ),
        Method::no_args(
            c"_reset_empty_waiter",
            c"Let write() work again.",
            reset_empty_waiter::<K>,
        ),
        Method::one_arg(
            c"_set_in_use",
            c"Say whether only the transport may watch its descriptor.",
            set_in_use,
        ),
    ]
}

const PROTOCOL_DOC: &CStr = c"set_protocol(protocol)\n\nSet another protocol.";
const WRITELINES_DOC: &CStr = c"\
    writelines(list_of_data)\n\nWrite pieces, in one call to the kernel.";
const WRITE_DOC: &CStr = c"\
    write(data)\n\nWrite bytes, a bytearray or a memoryview.\n\nWhat the kernel does not take at \
    once is kept, and copied if it can change.";
const EXTRA_DOC: &CStr = c"\
    get_extra_info(name, default=None)\n\nReturn what is known under a name: 'socket', \
    'sockname', 'peername'.";
const LIMITS_DOC: &CStr = c"\
    set_write_buffer_limits(high=None, low=None)\n\nSet the limits, in bytes, at which the \
    protocol is asked to pause and to go on.\n\nRaises ValueError unless high >= low >= 0.";
