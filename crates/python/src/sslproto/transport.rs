//! The transport that the application gets: asyncio's `_SSLProtocolTransport`.
//!
//! It holds its protocol and whether it was closed; every question goes to the protocol. A second
//! `close()` lets go of the protocol, as in asyncio, and whoever asks then hears of None.
//!
//! The type is made on `asyncio.transports._FlowControlMixin`, so that it is an `asyncio.Transport`
//! to whoever looks; of the slots of that class only `_loop` is used, as in asyncio. The Python
//! class that derives from it gives it a dict and weak references.

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{Fields, SSLTransport};
use batonloop_cpython::method::{Args, Method, Property, TypeSlot, missing};
use batonloop_cpython::verify;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyImportError, PyNotImplementedError, PyResourceWarning, PyTypeError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyByteArray, PyBytes, PyDict, PyMemoryView, PyTuple, PyType,
};
use pyo3::{Bound, PyErr, PyResult, Python};

use super::engine::get;
use super::state::{PyProtocol, SSLProtocol, call, extra_info, protocol_of, set_app_protocol};
use super::{incoming, outgoing, shutdown};
use crate::names::{self, boolean, none};
use crate::parameters::Parameters;

type PyTransport<'py> = Bound<'py, SSLTransport>;

const PARAMETERS: Parameters<2> =
    Parameters { class: "_SSLProtocolTransport", names: ["loop", "ssl_protocol"], required: 2 };

/// As in asyncio, it may be called again, and then sets everything anew.
fn init(
    this: &PyTransport<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let [Some(event_loop), Some(protocol)] = PARAMETERS.parse(args, kwargs)? else {
        return Ok(());
    };
    if SSLProtocol::cast(&protocol).is_none() {
        return Err(PyTypeError::new_err("ssl_protocol must be an SSLProtocol of batonloop"));
    }
    let fields = this.fields();
    fields.event_loop.set(event_loop);
    fields.ssl_protocol.set(protocol);
    fields.set_open(true);
    Ok(())
}

/// The answer of a private method of the protocol, if that may be somebody else's.
fn ask<'py>(
    protocol: &PyProtocol<'py>,
    method: &str,
    arguments: impl PyCallArgs<'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if !protocol.get().is_patched.get(protocol.py()) {
        return Ok(None);
    }
    protocol.call_method1(method, arguments).map(Some)
}

fn get_extra_info<'py>(
    this: &PyTransport<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let [name, default] = args.parse("get_extra_info", ["name", "default"], 2)?;
    let name = name.ok_or_else(|| missing("get_extra_info", "name", 1))?;
    let protocol = protocol_of(this, "_get_extra_info")?;
    let default = default.cloned().unwrap_or_else(|| none(this.py()));
    match ask(&protocol, "_get_extra_info", (name, &default))? {
        Some(answer) => Ok(answer),
        None => extra_info(&protocol, name, Some(&default)),
    }
}

fn set_protocol<'py>(this: &PyTransport<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let protocol = args.only("set_protocol", "protocol")?;
    let below = protocol_of(this, "_set_app_protocol")?;
    if ask(&below, "_set_app_protocol", (protocol,))?.is_none() {
        set_app_protocol(&below, protocol)?;
    }
    Ok(none(this.py()))
}

/// None once the connection is lost.
fn get_protocol<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(get(&protocol_of(this, "_app_protocol")?.get().app_protocol, this.py()))
}

/// Closed, or about to be. From 3.14 on that includes a transport below that is.
fn is_closing<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    if !this.fields().is_open() {
        return Ok(boolean(py, true));
    }
    if shutdown::asks_below_for_closing(py)?
        && let Some(below) =
            protocol_of(this, "_is_transport_closing")?.get().transport.slot(py).get(py)
    {
        return below.call_method0("is_closing");
    }
    Ok(boolean(py, false))
}

/// The first call begins the shutdown, the second lets go of the protocol.
fn close<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    if fields.is_open() {
        fields.set_open(false);
        call(&protocol_of(this, "_start_shutdown")?, "_start_shutdown", shutdown::start_shutdown)?;
    } else {
        fields.ssl_protocol.clear(py);
    }
    Ok(none(py))
}

/// Nobody closed it.
fn finalize(this: &PyTransport<'_>) {
    let py = this.py();
    if !this.fields().is_open() {
        return;
    }
    this.fields().set_open(false);
    let category = py.get_type::<PyResourceWarning>();
    let message = c"unclosed transport <asyncio._SSLProtocolTransport object>";
    if let Err(error) = PyErr::warn(py, &category, message, 1) {
        error.write_unraisable(py, Some(this.as_any()));
    }
}

fn is_reading<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let paused = protocol_of(this, "_app_reading_paused")?.get().app_reading_paused.get(py);
    Ok(boolean(py, !paused))
}

fn pause_reading<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    call(&protocol_of(this, "_pause_reading")?, "_pause_reading", |protocol| {
        incoming::pause_reading(protocol.get(), protocol.py());
        Ok(())
    })?;
    Ok(none(this.py()))
}

fn resume_reading<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    call(&protocol_of(this, "_resume_reading")?, "_resume_reading", incoming::resume_reading)?;
    Ok(none(this.py()))
}

/// The two arguments of the methods that set limits; None is as good as nothing.
fn limits<'a, 'py>(
    method: &str,
    args: Args<'a, 'py>,
) -> PyResult<[Option<&'a Bound<'py, PyAny>>; 2]> {
    let given = args.parse(method, ["high", "low"], 2)?;
    Ok(given.map(|limit| limit.filter(|limit| !limit.is_none())))
}

/// The new limits count at once.
fn set_write_buffer_limits<'py>(
    this: &PyTransport<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let [high, low] = limits("set_write_buffer_limits", args)?;
    let protocol = protocol_of(this, "_set_write_buffer_limits")?;
    if ask(&protocol, "_set_write_buffer_limits", (high, low))?.is_none() {
        let (marks, limits) = outgoing::marks(high, low, outgoing::HIGH_WATER, py)?;
        protocol.get().set_outgoing(marks, limits, py);
    }
    call(&protocol, "_control_app_writing", outgoing::control_app_writing)?;
    Ok(none(py))
}

/// The new limits count at once.
fn set_read_buffer_limits<'py>(
    this: &PyTransport<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let [high, low] = limits("set_read_buffer_limits", args)?;
    let protocol = protocol_of(this, "_set_read_buffer_limits")?;
    if ask(&protocol, "_set_read_buffer_limits", (high, low))?.is_none() {
        let (marks, limits) = outgoing::marks(high, low, incoming::HIGH_WATER, py)?;
        protocol.get().set_incoming(marks, limits, py);
    }
    call(&protocol, "_control_ssl_reading", incoming::control_ssl_reading)?;
    Ok(none(py))
}

fn get_write_buffer_limits<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    protocol_of(this, "_outgoing_low_water")?.get().outgoing_limits(this.py())
}

fn get_read_buffer_limits<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    protocol_of(this, "_incoming_low_water")?.get().incoming_limits(this.py())
}

fn get_write_buffer_size<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let protocol = protocol_of(this, "_get_write_buffer_size")?;
    if let Some(answer) = ask(&protocol, "_get_write_buffer_size", ())? {
        return Ok(answer);
    }
    number(py, outgoing::write_buffer_size(protocol.get(), py)?)
}

fn get_read_buffer_size<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let protocol = protocol_of(this, "_get_read_buffer_size")?;
    if let Some(answer) = ask(&protocol, "_get_read_buffer_size", ())? {
        return Ok(answer);
    }
    number(py, incoming::read_buffer_size(protocol.get(), py)?)
}

fn number(py: Python<'_>, value: usize) -> PyResult<Bound<'_, PyAny>> {
    use pyo3::IntoPyObject;

    Ok(value.into_pyobject(py)?.into_any())
}

/// `write()`, by whatever name.
///
/// # Errors
///
/// TypeError for what is not bytes-like.
#[inline]
fn write_data<'py>(this: &PyTransport<'py>, data: &Bound<'py, PyAny>) -> PyResult<()> {
    if !data.is_instance_of::<PyBytes>()
        && !data.is_instance_of::<PyByteArray>()
        && !data.is_instance_of::<PyMemoryView>()
    {
        return Err(not_bytes(data));
    }
    if !data.is_truthy()? {
        return Ok(());
    }
    outgoing::write(&protocol_of(this, "_write_appdata")?, data)
}

#[cold]
fn not_bytes(data: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!(
        "data: expecting a bytes-like instance, got {}",
        verify::class_name(data)
    ))
}

fn write<'py>(this: &PyTransport<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let data = args.only("write", "data")?;
    write_data(this, data)?;
    Ok(none(this.py()))
}

fn writelines<'py>(this: &PyTransport<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let list = args.only("writelines", "list_of_data")?;
    let protocol = protocol_of(this, "_write_appdata")?;
    if ask(&protocol, "_write_appdata", (list,))?.is_none() {
        outgoing::write_lines(&protocol, list)?;
    }
    Ok(none(this.py()))
}

/// TLS cannot close one half, says asyncio.
fn write_eof<'py>(_: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    Err(PyNotImplementedError::new_err(()))
}

fn can_write_eof<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), false))
}

fn abort<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    tear_down(this, None)
}

fn tear_down<'py>(
    this: &PyTransport<'py>,
    exception: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    this.fields().set_open(false);
    if let Some(object) = this.fields().ssl_protocol.get(py)
        && let Some(protocol) = SSLProtocol::cast(&object)
    {
        shutdown::abort(protocol, exception)?;
    }
    Ok(none(py))
}

/// Closes at once. Before 3.13 asyncio's own takes no reason and fails.
fn force_close<'py>(this: &PyTransport<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    tear_down(this, Some(args.only("_force_close", "exc")?))
}

/// For CPython's tests, which want to see data wait.
fn append_write_backlog<'py>(
    this: &PyTransport<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let data = args.only("_test__append_write_backlog", "data")?;
    let data = data.cast::<PyBytes>()?.clone();
    outgoing::append(protocol_of(this, "_write_backlog")?.get(), data);
    Ok(none(this.py()))
}

/// `_protocol_paused`, which the fallback of `sendfile()` reads.
fn protocol_paused<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    Ok(boolean(py, protocol_of(this, "_app_writing_paused")?.get().app_writing_paused.get(py)))
}

/// `_ssl_protocol`, which libraries read.
fn ssl_protocol<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    Ok(this.fields().ssl_protocol.get(py).unwrap_or_else(|| none(py)))
}

fn is_closed<'py>(this: &PyTransport<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(this.py(), !this.fields().is_open()))
}

fn set_closed<'py>(this: &PyTransport<'py>, value: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    let closed = value.map_or(Ok(false), |value| value.is_truthy())?;
    this.fields().set_open(!closed);
    Ok(())
}

/// The methods that look, and those that set limits.
fn questions() -> Vec<Method<SSLTransport>> {
    vec![
        Method::args(c"get_extra_info", GET_EXTRA_INFO, get_extra_info),
        Method::no_args(c"get_protocol", c"Return the protocol above.", get_protocol),
        Method::no_args(c"is_closing", c"Return whether it is closed or about to be.", is_closing),
        Method::no_args(c"is_reading", c"Return whether it is not paused.", is_reading),
        Method::args(c"set_write_buffer_limits", SET_WRITE_LIMITS, set_write_buffer_limits),
        Method::args(c"set_read_buffer_limits", SET_READ_LIMITS, set_read_buffer_limits),
        Method::no_args(
            c"get_write_buffer_limits",
            c"Return the limits for writing, a tuple (low, high).",
            get_write_buffer_limits,
        ),
        Method::no_args(
            c"get_read_buffer_limits",
            c"Return the limits for reading, a tuple (low, high).",
            get_read_buffer_limits,
        ),
        Method::no_args(
            c"get_write_buffer_size",
            c"Return how many bytes wait to be sent.",
            get_write_buffer_size,
        ),
        Method::no_args(
            c"get_read_buffer_size",
            c"Return how many encrypted bytes wait to be read.",
            get_read_buffer_size,
        ),
        Method::no_args(c"can_write_eof", c"Return False: TLS has no half-close.", can_write_eof),
    ]
}

/// The methods that act.
fn actions() -> Vec<Method<SSLTransport>> {
    vec![
        Method::args(c"write", WRITE, write),
        Method::args(c"writelines", WRITELINES, writelines),
        Method::args(c"set_protocol", SET_PROTOCOL, set_protocol),
        Method::no_args(c"close", CLOSE, close),
        Method::no_args(c"abort", ABORT, abort),
        Method::no_args(c"pause_reading", PAUSE_READING, pause_reading),
        Method::no_args(c"resume_reading", RESUME_READING, resume_reading),
        Method::no_args(c"write_eof", c"Raise NotImplementedError.", write_eof),
        Method::args(
            c"_force_close",
            c"_force_close(exc)\n\nClose at once, for this reason.",
            force_close,
        ),
        Method::args(
            c"_test__append_write_backlog",
            c"_test__append_write_backlog(data)\n\nFor tests: let data wait to be written.",
            append_write_backlog,
        ),
    ]
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let base = names::FLOW_CONTROL_MIXIN.get(py)?;
    if !verify::tls_transports_are_as_laid_out(base) {
        return Err(PyImportError::new_err(
            "asyncio.transports._FlowControlMixin of this Python has other slots than batonloop \
             knows; please report the Python version",
        ));
    }
    TypeBuilder::<SSLTransport>::new(c"batonloop._batonloop._SSLProtocolTransport", DOC)
        .methods(questions())
        .methods(actions())
        .properties([
            Property::read(
                c"_protocol_paused",
                c"Whether the protocol above was asked to pause.",
                protocol_paused,
            ),
            Property::read(c"_ssl_protocol", c"The SSLProtocol, or None.", ssl_protocol),
            Property::write(c"_closed", c"Whether it is closed.", is_closed, set_closed),
        ])
        .slots([TypeSlot::init(init), TypeSlot::finalize(finalize)])
        .build(&bases(py, &[base])?)
}

const DOC: &std::ffi::CStr = c"\
    The native half of batonloop.sslproto._SSLProtocolTransport: a transport on top of TLS.";
const GET_EXTRA_INFO: &std::ffi::CStr = c"\
    get_extra_info(name, default=None)\n\nReturn what is known of the connection under this \
    name.\n\nBeside what the transport below knows: 'sslcontext', and from the handshake on \
    'ssl_object',\n'peercert', 'cipher' and 'compression'.";
const SET_WRITE_LIMITS: &std::ffi::CStr = c"\
    set_write_buffer_limits(high=None, low=None)\n\nSet how many bytes may wait to be sent \
    before the protocol is asked to pause.\n\nRaises ValueError if not high >= low >= 0.";
const SET_READ_LIMITS: &std::ffi::CStr = c"\
    set_read_buffer_limits(high=None, low=None)\n\nSet how many encrypted bytes may wait \
    before the transport below is asked to pause.\n\nRaises ValueError if not high >= low >= 0.";
const WRITE: &std::ffi::CStr = c"\
    write(data)\n\nEncrypt the data and send it.\n\nRaises TypeError for what is not bytes-like.";
const WRITELINES: &std::ffi::CStr = c"\
    writelines(list_of_data)\n\nEncrypt all pieces of data as one, and send it.";
const SET_PROTOCOL: &std::ffi::CStr = c"\
    set_protocol(protocol)\n\nPut another protocol above.";
const CLOSE: &std::ffi::CStr = c"\
    Send what was written, say goodbye to the other side, and close.\n\nThe protocol's \
    connection_lost() is called in the end.";
const ABORT: &std::ffi::CStr = c"\
    Close at once. What was not sent is lost.";
const PAUSE_READING: &std::ffi::CStr = c"\
    Hand nothing on to the protocol until resume_reading().";
const RESUME_READING: &std::ffi::CStr = c"\
    Hand on again what comes in, beginning in the next turn of the loop.";
