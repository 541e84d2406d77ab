//! StreamReader as Python sees it, and how it is fed.
//!
//! What it does for itself it does by its own methods where one of them may be somebody else's: in
//! a subclass, and on a reader that had a method set on it. Whether that is so is known without a
//! look-up: whoever sets an attribute comes by [`look_on`].

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::method::{Method, Property, TypeSlot};
use batonloop_cpython::streams::{ReaderFields, StreamReader};
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError, PyValueError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyBytes, PyBytesMethods, PyDict, PyString, PyTuple, PyType,
};
use pyo3::{Bound, IntoPyObject, PyResult, Python, intern};

use super::{
    DEFAULT_LIMIT, EOF, PATCHED, PAUSED, PyReader, buffer, flag_property, is_debugged, lines,
    loop_or_current, read,
};
use crate::futures;
use crate::futures::any::{is_cancelled, set_result};
use crate::mixins::{is_one_of, set_slot, shown, slot_property};
use crate::names::{self, boolean, none};
use crate::parameters::{Parameters, is_given_as_none};

const PARAMETERS: Parameters<2> =
    Parameters { class: "StreamReader", names: ["limit", "loop"], required: 0 };

fn init(
    this: &PyReader<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let py = this.py();
    let fields = this.fields();
    let [limit, event_loop] = PARAMETERS.parse(args, kwargs)?;
    if limit.is_none() && is_given_as_none(args, kwargs, 0, "limit") {
        none(py).le(0)?;
    }
    if let Some(limit) = &limit
        && limit.le(0)?
    {
        return Err(PyValueError::new_err("Limit cannot be <= 0"));
    }
    set_limit(fields, limit, py)?;
    let event_loop = loop_or_current(event_loop, py)?;
    fields.event_loop.set(event_loop.clone());
    fields.start.set(0);
    for slot in
        [&fields.chunk, &fields.buffer, &fields.waiter, &fields.exception, &fields.transport]
    {
        slot.clear(py);
    }
    fields.put(EOF | PAUSED, false);
    if is_debugged(&event_loop)? {
        fields.source_traceback.set(names::EXTRACT_STACK.get(py)?.call0()?);
    }
    Ok(())
}

/// Takes the limit, and what of it a length is compared with. It may be any number: one with a
/// fraction, or without end, as well.
fn set_limit<'py>(
    fields: &ReaderFields,
    limit: Option<Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<()> {
    let Some(limit) = limit else {
        fields.limits.set([DEFAULT_LIMIT, 2 * DEFAULT_LIMIT]);
        fields.limit.clear(py);
        return Ok(());
    };
    let limits = match limit.extract::<usize>() {
        Ok(number) => [number, number.saturating_mul(2)],
        Err(_) => {
            let number = limit.extract::<f64>()?;
            [number as usize, (2.0 * number) as usize]
        }
    };
    fields.limits.set(limits);
    fields.limit.set(limit);
    Ok(())
}

/// Whether nothing of it is anybody else's.
#[inline]
pub(super) fn is_plain(reader: &PyReader<'_>) -> bool {
    kind::is_exact::<StreamReader>(reader) && !reader.fields().has(PATCHED)
}

// ---------------------------------------------------------------------------------------------
// Fed
// ---------------------------------------------------------------------------------------------

/// `feed_data(data)`.
pub(super) fn feed_data<'py>(reader: &PyReader<'py>, data: &Bound<'py, PyAny>) -> PyResult<()> {
    if let Ok(data) = data.cast_exact::<PyBytes>() {
        return feed(reader, data);
    }
    check_no_eof(reader)?;
    if !data.is_truthy()? {
        return Ok(());
    }
    let array = buffer::shown(reader)?;
    array.call_method1(intern!(reader.py(), "extend"), (data,))?;
    drop(array);
    after_feeding(reader)
}

/// The same for bytes.
#[inline]
pub(super) fn feed<'py>(reader: &PyReader<'py>, data: &Bound<'py, PyBytes>) -> PyResult<()> {
    check_no_eof(reader)?;
    if data.as_bytes().is_empty() {
        return Ok(());
    }
    buffer::append(reader, data)?;
    after_feeding(reader)
}

/// Fails after the end: whoever said it was the end was wrong.
#[inline]
fn check_no_eof(reader: &PyReader<'_>) -> PyResult<()> {
    if reader.fields().has(EOF) {
        return Err(PyAssertionError::new_err("feed_data after feed_eof"));
    }
    Ok(())
}

/// Wakes up who waits, and asks the transport to pause if there is too much.
#[inline]
fn after_feeding(reader: &PyReader<'_>) -> PyResult<()> {
    wake_up(reader)?;
    let fields = reader.fields();
    let [_, most] = fields.limits.get();
    if fields.transport.is_empty() || fields.has(PAUSED) || buffer::len(reader)? <= most {
        return Ok(());
    }
    pause(reader)
}

/// Asks the transport to pause.
#[cold]
fn pause(reader: &PyReader<'_>) -> PyResult<()> {
    let py = reader.py();
    let fields = reader.fields();
    let transport = fields.transport.get(py).unwrap_or_else(|| none(py));
    match transport.call_method0(intern!(py, "pause_reading")) {
        Ok(_) => fields.put(PAUSED, true),
        // It cannot pause, and is not asked again: all that comes is kept.
        Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
            fields.transport.clear(py);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// `feed_eof()`.
pub(super) fn feed_eof(reader: &PyReader<'_>) -> PyResult<()> {
    reader.fields().put(EOF, true);
    wake_up(reader)
}

/// [`wake_up_waiter`], or what stands in its place.
#[inline]
fn wake_up(reader: &PyReader<'_>) -> PyResult<()> {
    if is_plain(reader) {
        return wake_up_waiter(reader);
    }
    reader.call_method0(intern!(reader.py(), "_wakeup_waiter")).map(drop)
}

/// `_wakeup_waiter()`: lets go on who waits.
#[inline]
fn wake_up_waiter(reader: &PyReader<'_>) -> PyResult<()> {
    let py = reader.py();
    let Some(waiter) = reader.fields().waiter.take(py) else {
        return Ok(());
    };
    if is_cancelled(&waiter)? { Ok(()) } else { set_result(&waiter, none(py)) }
}

/// `set_exception(exc)`: who waits fails with it, and who reads later.
pub(super) fn set_exception<'py>(
    reader: &PyReader<'py>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = reader.py();
    let fields = reader.fields();
    set_slot(&fields.exception, Some(exception))?;
    if let Some(waiter) = fields.waiter.take(py)
        && !is_cancelled(&waiter)?
    {
        waiter.call_method1(intern!(py, "set_exception"), (exception,))?;
    }
    Ok(())
}

/// `_maybe_resume_transport()`: lets the transport go on, if it paused and there is room again.
pub(super) fn maybe_resume(reader: &PyReader<'_>) -> PyResult<()> {
    let fields = reader.fields();
    let [most, _] = fields.limits.get();
    if fields.has(PAUSED) && buffer::len(reader)? <= most {
        resume(reader)?;
    }
    Ok(())
}

/// Lets the transport go on.
#[cold]
pub(super) fn resume(reader: &PyReader<'_>) -> PyResult<()> {
    let py = reader.py();
    reader.fields().put(PAUSED, false);
    let transport = reader.fields().transport.get(py).unwrap_or_else(|| none(py));
    transport.call_method0(intern!(py, "resume_reading")).map(drop)
}

/// `exception()` of any object that is a reader to somebody.
pub(super) fn exception_of<'py>(reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = reader.py();
    match kind::cast_exact::<StreamReader>(reader).filter(|reader| is_plain(reader)) {
        Some(reader) => Ok(shown(&reader.fields().exception, py)),
        None => reader.call_method0(intern!(py, "exception")),
    }
}

// ---------------------------------------------------------------------------------------------
// As Python sees it
// ---------------------------------------------------------------------------------------------

/// Only who has set a method of its own on the reader is asked for it.
fn look_on<'py>(this: &PyReader<'py>, name: &Bound<'py, PyAny>) {
    if is_one_of(name, &METHODS) {
        this.fields().put(PATCHED, true);
    }
}

/// The methods that the reader, a protocol or a writer of ours goes a short way round.
const METHODS: [&str; 8] = [
    "exception",
    "_wakeup_waiter",
    "_maybe_resume_transport",
    "feed_data",
    "_wait_for_data",
    "readline",
    "readuntil",
    "read",
];

/// The words of asyncio's reader; what is empty, false or usual is left out.
fn repr<'py>(this: &PyReader<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    let mut text = "<StreamReader".to_owned();
    let len = buffer::len(this)?;
    if len > 0 {
        text += &format!(" {len} bytes");
    }
    if fields.has(EOF) {
        text += " eof";
    }
    if let Some(limit) = fields.limit.get(py)
        && limit.ne(DEFAULT_LIMIT)?
    {
        text += &format!(" limit={}", limit.str()?);
    }
    let parts = [
        ("waiter", &fields.waiter),
        ("exception", &fields.exception),
        ("transport", &fields.transport),
    ];
    for (name, slot) in parts {
        if let Some(object) = slot.get(py)
            && object.is_truthy()?
        {
            text += &format!(" {name}={}", object.repr()?);
        }
    }
    if fields.has(PAUSED) {
        text += " paused";
    }
    text.push('>');
    Ok(PyString::new(py, &text).into_any())
}

/// `set_transport(transport)`: once.
fn set_transport<'py>(
    this: &PyReader<'py>,
    transport: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if !this.fields().transport.is_empty() {
        return Err(PyAssertionError::new_err("Transport already set"));
    }
    set_slot(&this.fields().transport, Some(transport))?;
    Ok(none(this.py()))
}

/// `_replace_transport(transport)`: after `start_tls()`; asyncio has it since 3.14.
fn replace_transport<'py>(
    this: &PyReader<'py>,
    transport: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if this.fields().transport.is_empty() {
        return Err(PyAssertionError::new_err("Transport not set"));
    }
    set_slot(&this.fields().transport, Some(transport))?;
    Ok(none(this.py()))
}

fn properties() -> [Property<StreamReader>; 9] {
    [
        Property::write(
            c"_buffer",
            c"What has come in and is not read: a bytearray.",
            buffer::shown,
            buffer::put,
        ),
        Property::write(
            c"_limit",
            c"How long a line may be, and half of what may wait.",
            |this: &PyReader<'_>| match this.fields().limit.get(this.py()) {
                Some(limit) => Ok(limit),
                None => Ok(DEFAULT_LIMIT.into_pyobject(this.py())?.into_any()),
            },
            |this: &PyReader<'_>, value| {
                let value = value.ok_or_else(futures::cannot_delete)?.clone();
                set_limit(this.fields(), Some(value), this.py())
            },
        ),
        flag_property!(StreamReader, c"_eof", c"Whether nothing more will come.", EOF),
        flag_property!(
            StreamReader,
            c"_paused",
            c"Whether the transport was asked to pause.",
            PAUSED
        ),
        slot_property!(StreamReader, c"_loop", c"The loop.", event_loop),
        slot_property!(
            StreamReader,
            c"_waiter",
            c"The future of who waits for more, or None.",
            waiter
        ),
        slot_property!(
            StreamReader,
            c"_exception",
            c"Why nothing can be read, or None.",
            exception
        ),
        slot_property!(
            StreamReader,
            c"_transport",
            c"The transport that is asked to pause, or None.",
            transport
        ),
        slot_property!(
            StreamReader,
            c"_source_traceback",
            c"Where it was made, in debug mode; else None.",
            source_traceback
        ),
    ]
}

fn methods() -> Vec<Method<StreamReader>> {
    vec![
        Method::no_args(c"exception", c"Return the exception that was set, or None.", |this| {
            Ok(shown(&PyReader::fields(this).exception, this.py()))
        }),
        Method::args(
            c"set_exception",
            c"set_exception(exc)\n\nLet all reading fail.",
            |this, args| {
                set_exception(this, args.only("set_exception", "exc")?)?;
                Ok(none(PyReader::py(this)))
            },
        ),
        Method::no_args(c"_wakeup_waiter", c"Let go on who waits.", |this| {
            wake_up_waiter(this)?;
            Ok(none(PyReader::py(this)))
        }),
        Method::args(
            c"set_transport",
            c"set_transport(transport)\n\nSet it, once.",
            |this, args| set_transport(this, args.only("set_transport", "transport")?),
        ),
        Method::args(
            c"_replace_transport",
            c"_replace_transport(transport)\n\nSet another.",
            |this, args| replace_transport(this, args.only("_replace_transport", "transport")?),
        ),
        Method::no_args(
            c"_maybe_resume_transport",
            c"Let the transport go on, if it paused and there is room again.",
            |this| {
                maybe_resume(this)?;
                Ok(none(PyReader::py(this)))
            },
        ),
        Method::no_args(c"feed_eof", c"Say that nothing more will come.", |this| {
            feed_eof(this)?;
            Ok(none(PyReader::py(this)))
        }),
        Method::no_args(
            c"at_eof",
            c"Return True if the buffer is empty and feed_eof() was called.",
            |this| {
                let at_eof = PyReader::fields(this).has(EOF) && buffer::is_empty(this)?;
                Ok(boolean(this.py(), at_eof))
            },
        ),
        Method::args(
            c"feed_data",
            c"feed_data(data)\n\nPut bytes behind the others.",
            |this, args| {
                feed_data(this, args.only("feed_data", "data")?)?;
                Ok(none(PyReader::py(this)))
            },
        ),
    ]
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<StreamReader>::new(c"batonloop.streams.StreamReader", DOC)
        .methods(methods())
        .methods(read::methods())
        .methods(lines::methods())
        .properties(properties())
        .slots([
            TypeSlot::init(init),
            TypeSlot::repr(repr),
            TypeSlot::aiter(|this: &PyReader<'_>| Ok(this.as_any().clone())),
            TypeSlot::anext(|this: &PyReader<'_>| read::make_coroutine(&lines::NEXT, this, None)),
            TypeSlot::set_attribute(look_on),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

const DOC: &CStr = c"\
    StreamReader(limit=65536, loop=None)\n--\n\nBytes that come in, to be read by one task at a \
    time; an async iterator of lines.\n\nlimit is how long a line may be; with more than twice as \
    much unread the transport is asked to pause.";
