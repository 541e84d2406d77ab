//! StreamReaderProtocol: what the transport tells goes into the reader, and who drains waits here.
//!
//! A transport of ours, and TLS, hand bytes over by [`feed`], without a call of a method.

use std::ffi::CStr;

use batonloop_core::Stage;
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::deque;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::method::{Method, Property, TypeSlot};
use batonloop_cpython::native::{self, Body};
use batonloop_cpython::slot::Slot;
use batonloop_cpython::streams::{
    ProtocolFields, StreamReader, StreamReaderProtocol, StreamWriter,
};
use pyo3::exceptions::{PyAssertionError, PyConnectionResetError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyBytes, PyDict, PyString, PyTuple, PyType, PyWeakrefMethods,
    PyWeakrefReference,
};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::reader::{self, is_plain};
use super::release::Release;
use super::{flag_property, is_debugged, loop_or_current, no_attribute, serving};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures;
use crate::futures::any::{is_done, set_result};
use crate::mixins::{is_one_of, new_future, owner, set_slot, set_whatever, shown, slot_property};
use crate::names::{self, boolean, none};
use crate::parameters::Parameters;
use crate::transports::{self, Fed};

pub(super) type PyProtocol<'py> = Bound<'py, StreamReaderProtocol>;

// What the flags say.
/// `_paused`: the transport has asked to pause.
const PAUSED: u8 = 1;
/// `_connection_lost`.
const CONNECTION_LOST: u8 = 1 << 1;
/// `_reject_connection`.
const REJECT_CONNECTION: u8 = 1 << 2;
/// `_over_ssl`.
const OVER_SSL: u8 = 1 << 3;
/// Somebody has set a method on the protocol itself.
const PATCHED: u8 = 1 << 4;

const PARAMETERS: Parameters<3> = Parameters {
    class: "StreamReaderProtocol",
    names: ["stream_reader", "client_connected_cb", "loop"],
    required: 1,
};

/// `StreamReaderProtocol(stream_reader, client_connected_cb=None, loop=None)`.
///
/// The reader is held weakly, so that a stream which nobody reads any more dies with its reader; on
/// a server strongly as well until there is a connection, for nobody else has it so long.
fn init(
    this: &PyProtocol<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let py = this.py();
    let fields = this.fields();
    if transports::FED.get(py).class == 0 {
        let class = names::STREAM_READER_PROTOCOL.get(py)?.as_ptr().addr();
        transports::FED.set(py, Fed { class, feed });
    }
    let [reader, client_connected, event_loop] = PARAMETERS.parse(args, kwargs)?;
    fields.event_loop.set(loop_or_current(event_loop, py)?);
    fields.put(PAUSED | CONNECTION_LOST | REJECT_CONNECTION | OVER_SSL, false);
    for slot in [&fields.drain_waiters, &fields.reader, &fields.strong_reader] {
        slot.clear(py);
    }
    let reader = reader.filter(|reader| !reader.is_none());
    if let Some(reader) = &reader {
        fields.reader.set(PyWeakrefReference::new(reader)?.into_any());
        let traceback = match kind::cast_exact::<StreamReader>(reader) {
            Some(reader) => reader.fields().source_traceback.get(py),
            None => Some(reader.getattr(intern!(py, "_source_traceback"))?),
        };
        set_slot(&fields.source_traceback, Some(&traceback.unwrap_or_else(|| none(py))))?;
    }
    match client_connected {
        Some(callback) => {
            set_slot(&fields.strong_reader, Some(&reader.unwrap_or_else(|| none(py))))?;
            fields.client_connected.set(callback);
        }
        None => fields.client_connected.clear(py),
    }
    for slot in [&fields.writer, &fields.task, &fields.transport, &fields.closed] {
        slot.clear(py);
    }
    if Release::running(py)?.makes_writer_none {
        fields.writer.set(none(py));
    }
    Ok(())
}

/// An object as a protocol of exactly our class, of which nothing is anybody else's.
#[inline]
pub(super) fn as_plain<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a PyProtocol<'py>> {
    if !transports::is_fed(object) {
        return None;
    }
    kind::cast::<StreamReaderProtocol>(object).filter(|this| !this.fields().has(PATCHED))
}

/// An object that is known to be a protocol of ours.
pub(super) fn cast<'a, 'py>(object: &'a Bound<'py, PyAny>) -> PyResult<&'a PyProtocol<'py>> {
    kind::cast(object).ok_or_else(|| exceptions::stranger(object))
}

/// `_stream_reader`: the reader, if it still lives.
fn reader_of<'py>(this: &PyProtocol<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(reference) = this.fields().reader.get(this.py()) else {
        return Ok(None);
    };
    match reference.cast::<PyWeakrefReference>() {
        Ok(reference) => Ok(reference.upgrade()),
        Err(_) => Ok(Some(reference.call0()?).filter(|reader| !reader.is_none())),
    }
}

/// [`reader_of`], or what a subclass has in its place.
fn reader_by_name<'py>(this: &PyProtocol<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if as_plain(this).is_some() {
        return reader_of(this);
    }
    let reader = this.getattr(intern!(this.py(), "_stream_reader"))?;
    Ok(Some(reader).filter(|reader| !reader.is_none()))
}

// ---------------------------------------------------------------------------------------------
// What the transport tells
// ---------------------------------------------------------------------------------------------

/// `connection_made(transport)`: the reader knows its transport, and on a server it is served.
fn connection_made<'py>(
    this: &PyProtocol<'py>,
    transport: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    if is_rejecting(this)? {
        reject(this, transport)?;
        return Ok(none(py));
    }
    set_slot(&fields.transport, Some(transport))?;
    let reader = reader_by_name(this)?;
    if let Some(reader) = &reader {
        reader.call_method1(intern!(py, "set_transport"), (transport,))?;
    }
    let name = intern!(py, "get_extra_info");
    let context = transport.call_method1(name, (intern!(py, "sslcontext"),))?;
    fields.put(OVER_SSL, !context.is_none());
    if by_name(this, &fields.client_connected, intern!(py, "_client_connected_cb"))?.is_none() {
        return Ok(none(py));
    }
    let reader = reader.unwrap_or_else(|| none(py));
    let event_loop = by_name(this, &fields.event_loop, intern!(py, "_loop"))?;
    let writer = py.get_type::<StreamWriter>().call1((transport, this, &reader, &event_loop))?;
    if Release::running(py)?.keeps_writer {
        fields.writer.set(writer.clone());
    }
    let callback = by_name(this, &fields.client_connected, intern!(py, "_client_connected_cb"))?;
    let served = callback.call1((reader, writer));
    serving::serve(this, &event_loop, transport, served)?;
    fields.strong_reader.clear(py);
    Ok(none(py))
}

/// An attribute that the constructor sets, which a subclass may have as a property. What else its
/// body says of the name is no more than a default, and in asyncio hidden by what was set.
fn by_name<'py>(
    this: &PyProtocol<'py>,
    slot: &Slot,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    if is_property(this, name)? { this.getattr(name) } else { Ok(shown(slot, this.py())) }
}

/// Whether the class of a protocol that is not plain has a descriptor there that takes values.
fn is_property<'py>(this: &PyProtocol<'py>, name: &Bound<'py, PyString>) -> PyResult<bool> {
    if as_plain(this).is_some() {
        return Ok(false);
    }
    this.get_type().getattr(name)?.get_type().hasattr(intern!(this.py(), "__set__"))
}

/// Whether a connection is to be aborted at once, as `_reject_connection` says.
fn is_rejecting(this: &PyProtocol<'_>) -> PyResult<bool> {
    let name = intern!(this.py(), "_reject_connection");
    if is_property(this, name)? {
        return this.getattr(name)?.is_truthy();
    }
    Ok(this.fields().has(REJECT_CONNECTION))
}

/// Aborts a connection whose stream was garbage before it was there.
#[cold]
fn reject<'py>(this: &PyProtocol<'py>, transport: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = this.py();
    let fields = this.fields();
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), REJECTED)?;
    let traceback = by_name(this, &fields.source_traceback, intern!(py, "_source_traceback"))?;
    if traceback.is_truthy()? {
        context.set_item(intern!(py, "source_traceback"), traceback)?;
    }
    let event_loop = by_name(this, &fields.event_loop, intern!(py, "_loop"))?;
    event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
    transport.call_method0(intern!(py, "abort")).map(drop)
}

/// Hands bytes to the protocol, if it is one of ours: nothing if it is not.
#[inline]
pub(super) fn feed<'py>(
    protocol: &Bound<'py, PyAny>,
    data: &Bound<'py, PyBytes>,
) -> Option<PyResult<()>> {
    let this = as_plain(protocol)?;
    Some(match reader_of(this) {
        Ok(Some(reader)) => feed_reader(&reader, data),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    })
}

/// Past `feed_data()` for a reader on which nobody has set another one.
#[inline]
fn feed_reader<'py>(reader: &Bound<'py, PyAny>, data: &Bound<'py, PyBytes>) -> PyResult<()> {
    match kind::cast_exact::<StreamReader>(reader).filter(|reader| is_plain(reader)) {
        Some(reader) => reader::feed(reader, data),
        None => reader.call_method1(intern!(reader.py(), "feed_data"), (data,)).map(drop),
    }
}

/// `data_received(data)`: for who calls it, as TLS of asyncio's does; ours go by [`feed`].
fn data_received<'py>(
    this: &PyProtocol<'py>,
    data: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    if let Some(reader) = reader_by_name(this)? {
        match data.cast_exact::<PyBytes>() {
            Ok(data) => feed_reader(&reader, data)?,
            Err(_) => drop(reader.call_method1(intern!(py, "feed_data"), (data,))?),
        }
    }
    Ok(none(py))
}

/// `eof_received()`: the connection stays open for writing, but for TLS, which cannot.
fn eof_received<'py>(this: &PyProtocol<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    if let Some(reader) = reader_by_name(this)? {
        reader.call_method0(intern!(py, "feed_eof"))?;
    }
    Ok(boolean(py, !this.fields().has(OVER_SSL)))
}

/// `connection_lost(exc)`: the reader hears of the end first, then who waits for it to be closed,
/// then those who drain. The order is asyncio's, and so is that the transport is forgotten last.
fn connection_lost<'py>(
    this: &PyProtocol<'py>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    if let Some(reader) = reader_by_name(this)? {
        if exception.is_none() {
            reader.call_method0(intern!(py, "feed_eof"))?;
        } else {
            reader.call_method1(intern!(py, "set_exception"), (exception,))?;
        }
    }
    tell(&close_waiter(this)?, exception)?;
    fields.put(CONNECTION_LOST, true);
    // Those who drain are woken up.
    if fields.has(PAUSED) {
        for waiter in drain_waiters(fields, py)?.try_iter()? {
            tell(&waiter?, exception)?;
        }
    }
    if Release::running(py)?.forgets_writer {
        fields.writer.set(none(py));
    }
    for slot in [&fields.reader, &fields.task, &fields.transport] {
        slot.clear(py);
    }
    Ok(none(py))
}

/// Settles a future, unless it is done: with an exception, or None.
fn tell<'py>(future: &Bound<'py, PyAny>, exception: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = future.py();
    if is_done(future)? {
        return Ok(());
    }
    if exception.is_none() {
        return set_result(future, none(py));
    }
    future.call_method1(intern!(py, "set_exception"), (exception,)).map(drop)
}

// ---------------------------------------------------------------------------------------------
// Flow control
// ---------------------------------------------------------------------------------------------

/// `pause_writing()`: from now on `drain()` waits. A transport that says it twice is wrong.
fn pause_writing<'py>(this: &PyProtocol<'py>) -> PyResult<Bound<'py, PyAny>> {
    if this.fields().has(PAUSED) {
        return Err(PyAssertionError::new_err(()));
    }
    this.fields().put(PAUSED, true);
    log_debug(this, "%r pauses writing")?;
    Ok(none(this.py()))
}

/// `resume_writing()`: those who drain go on, each in its turn of the loop.
fn resume_writing<'py>(this: &PyProtocol<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    if !fields.has(PAUSED) {
        return Err(PyAssertionError::new_err(()));
    }
    fields.put(PAUSED, false);
    log_debug(this, "%r resumes writing")?;
    for waiter in drain_waiters(fields, py)?.try_iter()? {
        tell(&waiter?, &none(py))?;
    }
    Ok(none(py))
}

/// Logs "%r does something", in debug mode.
fn log_debug(this: &PyProtocol<'_>, text: &str) -> PyResult<()> {
    let py = this.py();
    if let Some(event_loop) = this.fields().event_loop.get(py)
        && is_debugged(&event_loop)?
    {
        names::LOGGER.get(py)?.call_method1(intern!(py, "debug"), (text, this))?;
    }
    Ok(())
}

/// The deque of those who drain, made for the first of them.
fn drain_waiters<'py>(fields: &ProtocolFields, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(waiters) = fields.drain_waiters.get(py) {
        return Ok(waiters);
    }
    let waiters = names::DEQUE.get(py)?.call0()?;
    fields.drain_waiters.set(waiters.clone());
    Ok(waiters)
}

/// It waits until the transport lets it write again.
pub(super) const DRAINING: u8 = 1;

static DRAIN_HELPER: Body = Body {
    name: "_drain_helper",
    qualified_name: "FlowControlMixin._drain_helper",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| {
            let owner = owner(this);
            let protocol = cast(&owner)?;
            if stage == CREATED {
                given?;
                begin_to_drain(this, protocol)
            } else {
                end_drain(this, protocol, given)
            }
        })
    },
};

/// `_drain_helper()`: waits if the transport has asked to pause.
#[inline]
pub(super) fn begin_to_drain<'py>(
    coroutine: &PyCoroutine<'py>,
    this: &PyProtocol<'py>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let fields = this.fields();
    if fields.has(CONNECTION_LOST) {
        return Err(connection_is_lost());
    }
    if !fields.has(PAUSED) {
        return Ok(Then::Done(none(py)));
    }
    let waiter = new_future(fields.event_loop.get(py).unwrap_or_else(|| none(py)))?;
    deque::append(&drain_waiters(fields, py)?, &waiter)?;
    coroutine.fields().kept.set(waiter.clone());
    Ok(Then::Wait(waiter, DRAINING))
}

/// The end of that wait, however it ended.
pub(super) fn end_drain<'py>(
    coroutine: &PyCoroutine<'py>,
    this: &PyProtocol<'py>,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let waiter = coroutine.fields().kept.get(py).unwrap_or_else(|| none(py));
    deque::remove(&drain_waiters(this.fields(), py)?, &waiter)?;
    given?;
    Ok(Then::Done(none(py)))
}

#[cold]
fn connection_is_lost() -> PyErr {
    PyConnectionResetError::new_err("Connection lost")
}

/// `_closed`: the future of the end. It is made when somebody looks at it, or at the end.
pub(super) fn close_waiter<'py>(this: &PyProtocol<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let fields = this.fields();
    if let Some(closed) = fields.closed.get(py) {
        return Ok(closed);
    }
    let closed = new_future(fields.event_loop.get(py).unwrap_or_else(|| none(py)))?;
    fields.closed.set(closed.clone());
    Ok(closed)
}

/// `__del__`: nobody is told that an exception of the connection was not looked at.
fn finalize(this: &PyProtocol<'_>) {
    let py = this.py();
    let Some(closed) = this.fields().closed.get(py) else {
        return;
    };
    if let Err(error) = look_at(&closed) {
        error.write_unraisable(py, Some(this.as_any()));
    }
}

fn look_at(closed: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = closed.py();
    if let Some(future) = kind::cast_exact_future(closed) {
        if futures::stage(future.fields()) == Stage::Finished {
            future.fields().set_log_traceback(false);
        }
        return Ok(());
    }
    if closed.call_method0(intern!(py, "done"))?.is_truthy()?
        && !closed.call_method0(intern!(py, "cancelled"))?.is_truthy()?
    {
        closed.call_method0(intern!(py, "exception"))?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// As Python sees it
// ---------------------------------------------------------------------------------------------

/// Only who has set a method of its own on the protocol is asked for it.
fn look_on<'py>(this: &PyProtocol<'py>, name: &Bound<'py, PyAny>) {
    if is_one_of(name, &METHODS) {
        this.fields().put(PATCHED, true);
    }
}

/// The methods that a transport or a writer goes a short way round.
const METHODS: [&str; 3] = ["data_received", "_drain_helper", "_get_close_waiter"];

fn properties() -> Vec<Property<StreamReaderProtocol>> {
    vec![
        slot_property!(StreamReaderProtocol, c"_loop", c"The loop.", event_loop),
        slot_property!(
            StreamReaderProtocol,
            c"_stream_reader_wr",
            c"A weak reference to the reader, or None.",
            reader
        ),
        slot_property!(
            StreamReaderProtocol,
            c"_strong_reader",
            c"The reader, until a server's connection is made.",
            strong_reader
        ),
        slot_property!(StreamReaderProtocol, c"_transport", c"The transport, or None.", transport),
        slot_property!(
            StreamReaderProtocol,
            c"_client_connected_cb",
            c"What a server calls with reader and writer, or None.",
            client_connected
        ),
        slot_property!(
            StreamReaderProtocol,
            c"_task",
            c"The task that serves the connection, or None.",
            task
        ),
        Property::write(
            c"_closed",
            c"The future of the end.",
            close_waiter,
            |this: &PyProtocol<'_>, value| set_slot(&this.fields().closed, value),
        ),
        slot_property!(
            StreamReaderProtocol,
            c"_source_traceback",
            c"Where the reader was made, in debug mode; else None.",
            source_traceback
        ),
        Property::write(
            c"_drain_waiters",
            c"The futures of who drains, a deque.",
            |this: &PyProtocol<'_>| drain_waiters(this.fields(), this.py()),
            |this: &PyProtocol<'_>, value| set_slot(&this.fields().drain_waiters, value),
        ),
        Property::read(
            c"_stream_reader",
            c"The reader, or None if it is gone.",
            |this: &PyProtocol<'_>| Ok(reader_of(this)?.unwrap_or_else(|| none(this.py()))),
        ),
    ]
}

fn flags() -> [Property<StreamReaderProtocol>; 4] {
    [
        flag_property!(
            StreamReaderProtocol,
            c"_paused",
            c"Whether the transport has asked to pause.",
            PAUSED
        ),
        flag_property!(
            StreamReaderProtocol,
            c"_connection_lost",
            c"Whether the connection is lost.",
            CONNECTION_LOST
        ),
        flag_property!(
            StreamReaderProtocol,
            c"_reject_connection",
            c"Whether a connection is to be aborted at once.",
            REJECT_CONNECTION
        ),
        flag_property!(StreamReaderProtocol, c"_over_ssl", c"Whether it is on TLS.", OVER_SSL),
    ]
}

/// `_stream_writer`, in releases that have it.
fn make_writer_property(py: Python<'_>) -> PyResult<Option<Property<StreamReaderProtocol>>> {
    let property = || {
        Property::write(
            c"_stream_writer",
            c"The writer of a server's connection, or None.",
            |this: &PyProtocol<'_>| match this.fields().writer.get(this.py()) {
                Some(writer) => Ok(writer),
                None => Err(no_attribute(this, "_stream_writer")),
            },
            |this: &PyProtocol<'_>, value| set_whatever(&this.fields().writer, value),
        )
    };
    Ok(Release::running(py)?.knows_writer().then(property))
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<StreamReaderProtocol>::new(c"batonloop._batonloop.StreamReaderProtocol", DOC)
        .methods([
            Method::args(
                c"connection_made",
                c"connection_made(transport)\n\nOf a server: call who is told of connections.",
                |this, args| connection_made(this, args.only("connection_made", "transport")?),
            ),
            Method::args(
                c"data_received",
                c"data_received(data)\n\nFeed the reader.",
                |this, args| data_received(this, args.only("data_received", "data")?),
            ),
            Method::no_args(c"eof_received", c"Say to the reader that this was all.", eof_received),
            Method::args(
                c"connection_lost",
                c"connection_lost(exc)\n\nLet all go on who wait for the connection.",
                |this, args| connection_lost(this, args.only("connection_lost", "exc")?),
            ),
            Method::no_args(c"pause_writing", c"Let those wait who drain.", pause_writing),
            Method::no_args(c"resume_writing", c"Let those go on who drain.", resume_writing),
            Method::no_args(
                c"_drain_helper",
                c"Wait until the transport lets it write again.\n\nA coroutine.",
                |this: &PyProtocol<'_>| {
                    Ok(native::new(&DRAIN_HELPER, this.as_any().clone())?.into_any())
                },
            ),
            Method::args(
                c"_get_close_waiter",
                c"_get_close_waiter(stream)\n\nReturn the future of the end.",
                |this, args| {
                    args.only("_get_close_waiter", "stream")?;
                    close_waiter(this)
                },
            ),
        ])
        .properties(properties())
        .properties(flags())
        .properties(make_writer_property(py)?)
        .slots([
            TypeSlot::init(init),
            TypeSlot::finalize(finalize),
            TypeSlot::set_attribute(look_on),
        ])
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

const REJECTED: &str = "An open stream was garbage collected prior to establishing network \
                        connection; call \"stream.close()\" explicitly.";

const DOC: &CStr = c"\
    StreamReaderProtocol(stream_reader, client_connected_cb=None, loop=None)\n--\n\nA protocol \
    that feeds a reader, which it refers to weakly; of a server also what calls who serves it.";
