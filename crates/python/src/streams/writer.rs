//! StreamWriter: what the application writes goes to the transport.
//!
//! A write to a transport of ours needs no method of it. It takes any transport, any protocol with
//! `_drain_helper()` and `_get_close_waiter()`, and asyncio's reader as well as ours.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::call;
use batonloop_cpython::coroutine::raised;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::method::{Args, Method, Property, TypeSlot, missing};
use batonloop_cpython::native::{self, Body};
use batonloop_cpython::slot::Slot;
use batonloop_cpython::streams::{StreamReader, StreamWriter};
use pyo3::exceptions::{PyAssertionError, PyResourceWarning};
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyString, PyTuple, PyType, PyTypeMethods};
use pyo3::{Bound, PyResult, Python, intern};

use super::no_attribute;
use super::protocol::{self, DRAINING};
use super::reader::exception_of;
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures::any::set_result;
use crate::mixins::{new_future, owner, set_slot, set_whatever, slot_property};
use crate::names::{self, boolean, none};
use crate::parameters::Parameters;
use crate::sleep;
use crate::transports::socket;

type PyWriter<'py> = Bound<'py, StreamWriter>;

const PARAMETERS: Parameters<4> = Parameters {
    class: "StreamWriter",
    names: ["transport", "protocol", "reader", "loop"],
    required: 4,
};

fn init(
    this: &PyWriter<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let py = this.py();
    let fields = this.fields();
    let [Some(transport), Some(protocol), Some(reader), Some(event_loop)] =
        PARAMETERS.parse(args, kwargs)?
    else {
        return Ok(());
    };
    fields.transport.set(transport);
    fields.protocol.set(protocol);
    if !is_reader_or_none(&reader)? {
        return Err(PyAssertionError::new_err(()));
    }
    set_slot(&fields.reader, Some(&reader))?;
    fields.event_loop.set(event_loop);
    fields.complete.clear(py);
    Ok(())
}

/// `drain()` asks it for its exception, so it must be a reader: of ours or of asyncio's.
fn is_reader_or_none(reader: &Bound<'_, PyAny>) -> PyResult<bool> {
    if reader.is_none() || kind::cast::<StreamReader>(reader).is_some() {
        return Ok(true);
    }
    reader.is_instance(names::ASYNCIO_STREAM_READER.get(reader.py())?)
}

fn transport<'py>(this: &PyWriter<'py>) -> PyResult<Bound<'py, PyAny>> {
    given(this, &this.fields().transport, "_transport")
}

fn protocol_of<'py>(this: &PyWriter<'py>) -> PyResult<Bound<'py, PyAny>> {
    given(this, &this.fields().protocol, "_protocol")
}

fn event_loop<'py>(this: &PyWriter<'py>) -> PyResult<Bound<'py, PyAny>> {
    given(this, &this.fields().event_loop, "_loop")
}

/// What a slot holds; AttributeError if `__init__` never ran.
#[inline]
fn given<'py>(this: &PyWriter<'py>, slot: &Slot, name: &str) -> PyResult<Bound<'py, PyAny>> {
    match slot.get(this.py()) {
        Some(object) => Ok(object),
        None => Err(no_attribute(this, name)),
    }
}

// ---------------------------------------------------------------------------------------------
// Writing and closing
// ---------------------------------------------------------------------------------------------

/// `write(data)`.
fn write<'py>(this: &PyWriter<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let transport = transport(this)?;
    match socket::as_plain(&transport) {
        Some(transport) => socket::write(transport, data)?,
        None => {
            drop(call::method1(&transport, intern!(py, "write"), data).map_err(|error| *error)?)
        }
    }
    Ok(none(py))
}

/// Whether the transport is closing, or closed.
#[inline]
fn is_closing(transport: &Bound<'_, PyAny>) -> PyResult<bool> {
    match socket::as_plain(transport) {
        Some(transport) => Ok(socket::is_closing(transport)),
        None => transport.call_method0(intern!(transport.py(), "is_closing"))?.is_truthy(),
    }
}

/// What `wait_closed()` returns: what the protocol gives is waited for.
static WAIT_CLOSED: Body = Body {
    name: "wait_closed",
    qualified_name: "StreamWriter.wait_closed",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| {
            let py = this.py();
            given?;
            if stage != CREATED {
                return Ok(Then::Done(none(py)));
            }
            let owner = owner(this);
            let protocol = protocol_of(writer_of(&owner)?)?;
            let waiter = match protocol::as_plain(&protocol) {
                Some(protocol) => protocol::close_waiter(protocol)?,
                None => protocol.call_method1(intern!(py, "_get_close_waiter"), (&owner,))?,
            };
            Ok(Then::Wait(waiter, DELEGATED))
        })
    },
};

/// What the coroutine's method was called on.
fn writer_of<'a, 'py>(owner: &'a Bound<'py, PyAny>) -> PyResult<&'a PyWriter<'py>> {
    kind::cast::<StreamWriter>(owner).ok_or_else(|| exceptions::stranger(owner))
}

// ---------------------------------------------------------------------------------------------
// drain
// ---------------------------------------------------------------------------------------------

static DRAIN: Body = Body {
    name: "drain",
    qualified_name: "StreamWriter.drain",
    step: |this, thrown| drive(this, thrown, drain),
};

/// It lets the others run once.
const YIELDED: u8 = 2;
/// It waits for what the protocol has given.
const DELEGATED: u8 = 3;

/// A step of `drain()`.
fn drain<'py>(
    this: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let owner = owner(this);
    let writer = writer_of(&owner)?;
    if stage == DRAINING {
        let protocol = this.fields().argument.get(py).unwrap_or_else(|| none(py));
        return protocol::end_drain(this, protocol::cast(&protocol)?, given);
    }
    given?;
    if stage == DELEGATED {
        return Ok(Then::Done(none(py)));
    }
    if stage == CREATED {
        if let Some(reader) = writer.fields().reader.get(py) {
            let exception = exception_of(&reader)?;
            if !exception.is_none() {
                return Err(raised(&exception));
            }
        }
        // So that a loop of write() and drain() hears of the end: connection_lost() gets its turn.
        if is_closing(&transport(writer)?)? {
            return Ok(Then::Wait(sleep::new(py, None)?.into_any(), YIELDED));
        }
    }
    let protocol = protocol_of(writer)?;
    match protocol::as_plain(&protocol) {
        Some(plain) => {
            let then = protocol::begin_to_drain(this, plain)?;
            if matches!(then, Then::Wait(..)) {
                this.fields().argument.set(protocol);
            }
            Ok(then)
        }
        None => {
            let helper = protocol.call_method0(intern!(py, "_drain_helper"))?;
            Ok(Then::Wait(helper, DELEGATED))
        }
    }
}

// ---------------------------------------------------------------------------------------------
// As Python sees it
// ---------------------------------------------------------------------------------------------

/// `get_extra_info(name, default)`.
fn get_extra_info<'py>(this: &PyWriter<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let [name, default] = args.parse("get_extra_info", ["name", "default"], 2)?;
    let name = name.ok_or_else(|| missing("get_extra_info", "name", 1))?;
    let default = default.cloned().unwrap_or_else(|| none(this.py()));
    transport(this)?.call_method1(intern!(this.py(), "get_extra_info"), (name, default))
}

/// The words of asyncio's writer.
fn repr<'py>(this: &PyWriter<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let mut text = format!("<{} transport={}", this.get_type().name()?, transport(this)?.repr()?);
    if let Some(reader) = this.fields().reader.get(py) {
        text += &format!(" reader={}", reader.repr()?);
    }
    text.push('>');
    Ok(PyString::new(py, &text).into_any())
}

/// `_complete_fut`: a future that is done.
fn complete<'py>(this: &PyWriter<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    if let Some(future) = this.fields().complete.get(py) {
        return Ok(future);
    }
    let future = new_future(event_loop(this)?)?;
    set_result(&future, none(py))?;
    this.fields().complete.set(future.clone());
    Ok(future)
}

/// `__del__`: a writer that nobody closed says so, and closes its transport.
fn finalize(this: &PyWriter<'_>) {
    let py = this.py();
    if !this.fields().transport.is_empty()
        && let Err(error) = warn_unclosed(this)
    {
        error.write_unraisable(py, Some(this.as_any()));
    }
}

/// Says that it was not closed, after closing it: so asyncio orders it, and the repr shows it.
fn warn_unclosed(this: &PyWriter<'_>) -> PyResult<()> {
    let py = this.py();
    let category = py.get_type::<PyResourceWarning>();
    if is_closing(&transport(this)?)? {
        return Ok(());
    }
    let text = if event_loop(this)?.call_method0(intern!(py, "is_closed"))?.is_truthy()? {
        PyString::new(py, "loop is closed")
    } else {
        this.call_method0(intern!(py, "close"))?;
        PyString::new(py, &format!("unclosed {}", this.repr()?))
    };
    names::WARN.get(py)?.call1((text, category)).map(drop)
}

/// An attribute that `__init__` sets to whatever it was given.
macro_rules! given_property {
    ($name:literal, $text:literal, $doc:literal, $slot:ident) => {
        Property::write(
            $name,
            $doc,
            |this: &PyWriter<'_>| given(this, &this.fields().$slot, $text),
            |this: &PyWriter<'_>, value| set_whatever(&this.fields().$slot, value),
        )
    };
}

fn properties() -> [Property<StreamWriter>; 6] {
    [
        Property::read(c"transport", c"The transport.", transport),
        given_property!(c"_transport", "_transport", c"The transport.", transport),
        given_property!(c"_protocol", "_protocol", c"The protocol.", protocol),
        given_property!(c"_loop", "_loop", c"The loop.", event_loop),
        slot_property!(StreamWriter, c"_reader", c"The reader, or None.", reader),
        Property::write(
            c"_complete_fut",
            c"A future that is done.",
            complete,
            |this: &PyWriter<'_>, value| set_slot(&this.fields().complete, value),
        ),
    ]
}

fn methods() -> [Method<StreamWriter>; 9] {
    [
        Method::args(c"write", c"write(data)\n\nWrite bytes.", |this, args| {
            write(this, args.only("write", "data")?)
        }),
        Method::args(c"writelines", c"writelines(data)\n\nWrite pieces.", |this, args| {
            let pieces = args.only("writelines", "data")?;
            transport(this)?.call_method1(intern!(this.py(), "writelines"), (pieces,))?;
            Ok(none(PyWriter::py(this)))
        }),
        Method::no_args(c"write_eof", c"Say that nothing more will be written.", |this| {
            transport(this)?.call_method0(intern!(PyWriter::py(this), "write_eof"))
        }),
        Method::no_args(c"can_write_eof", c"Return whether write_eof() works.", |this| {
            transport(this)?.call_method0(intern!(PyWriter::py(this), "can_write_eof"))
        }),
        Method::no_args(c"close", c"Write what waits, then lose the connection.", |this| {
            transport(this)?.call_method0(intern!(PyWriter::py(this), "close"))
        }),
        Method::no_args(c"is_closing", c"Return whether it is closing or closed.", |this| {
            let transport = transport(this)?;
            match socket::as_plain(&transport) {
                Some(transport) => Ok(boolean(PyWriter::py(this), socket::is_closing(transport))),
                None => transport.call_method0(intern!(this.py(), "is_closing")),
            }
        }),
        Method::no_args(c"wait_closed", CLOSED_DOC, |this: &PyWriter<'_>| {
            Ok(native::new(&WAIT_CLOSED, this.as_any().clone())?.into_any())
        }),
        Method::args(c"get_extra_info", EXTRA_DOC, get_extra_info),
        Method::no_args(c"drain", DRAIN_DOC, |this: &PyWriter<'_>| {
            Ok(native::new(&DRAIN, this.as_any().clone())?.into_any())
        }),
    ]
}

/// Makes the type. `start_tls()` is asyncio's.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    // asyncio's own, before anybody puts ours in their place.
    names::ASYNCIO_STREAM_READER.get(py)?;
    let asyncios = names::ASYNCIO_STREAM_WRITER.get(py)?;
    let made = TypeBuilder::<StreamWriter>::new(c"batonloop.streams.StreamWriter", DOC)
        .methods(methods())
        .properties(properties())
        .slots([TypeSlot::init(init), TypeSlot::repr(repr), TypeSlot::finalize(finalize)])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)?;
    if let Some(start_tls) = asyncios.getattr_opt("start_tls")? {
        made.setattr("start_tls", start_tls)?;
    }
    Ok(made)
}

const DOC: &CStr = c"\
    StreamWriter(transport, protocol, reader, loop)\n--\n\nWrites to a transport; drain() waits \
    while too much is unwritten.";
const CLOSED_DOC: &CStr = c"\
    Wait until the connection is lost.\n\nA coroutine. Raises what the connection was lost by.";
const EXTRA_DOC: &CStr = c"\
    get_extra_info(name, default=None)\n\nReturn what the transport knows under a name.";
const DRAIN_DOC: &CStr = c"\
    Wait until it is good to write more.\n\nA coroutine. Raises what the reader was told, or \
    ConnectionResetError if the connection is lost.";
