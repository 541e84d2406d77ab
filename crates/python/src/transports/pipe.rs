//! What both ends of a pipe have in common.
//!
//! Unlike a socket, the file of a pipe may be of any Python class. asyncio asks it for its number
//! once, and goes on to use that when the file is closed and the number somebody else's; here the
//! file is asked each time, most of them by a look into their struct.

use batonloop_cpython::kind::Fields;
use batonloop_cpython::method::Property;
use batonloop_cpython::verify;
use batonloop_sys::pipe::{self, FileKind};
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyTuple};
use pyo3::{Bound, IntoPyObject, PyResult, intern};

use super::life;
use super::{CLOSING, Transport, TransportKind, check_loop, check_new};
use crate::exceptions;
use crate::host::EventLoop;
use crate::names::none;
use crate::parameters::Parameters;

/// `__init__(loop, pipe, protocol, waiter=None, extra=None)` of a class: takes the pipe in use.
/// `refused` is what is said of a file that is none.
pub(super) fn init<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    class: &'static str,
    refused: &'static str,
    prepare: impl FnOnce(Transport<'_, 'py>, FileKind),
) -> PyResult<()> {
    let names = ["loop", "pipe", "protocol", "waiter", "extra"];
    let [event_loop, file, protocol, waiter, extra] =
        Parameters { class, names, required: 3 }.parse(args, kwargs)?;
    let (Some(event_loop), Some(file), Some(protocol)) = (event_loop, file, protocol) else {
        return Ok(());
    };
    let py = this.py();
    let transport = Transport::of(this);
    let fields = transport.fields;
    check_loop(&event_loop)?;
    check_new(transport)?;
    fields.event_loop.set(event_loop.clone());
    let extra = extra.unwrap_or_else(|| PyDict::new(py).into_any());
    extra.set_item(intern!(py, "pipe"), &file)?;
    fields.extra.set(extra);
    let fd = file.call_method0(intern!(py, "fileno"))?.extract()?;
    fields.open(fd);
    fields.set_file(file);
    transport.set_protocol(&protocol)?;
    transport.set_default_limits();
    let kind = pipe::kind(fd).map_err(|error| exceptions::os_error(&error, py))?;
    if kind == FileKind::Other {
        // It stays its owner's.
        fields.set_closed();
        drop(fields.take_file(py));
        fields.protocol.clear(py);
        return Err(PyValueError::new_err(refused));
    }
    pipe::set_nonblocking(fd).map_err(|error| exceptions::os_error(&error, py))?;
    prepare(transport, kind);
    life::begin(this, &event_loop, waiter)
}

impl Transport<'_, '_> {
    /// What the repr of both ends begins with, and whether the loop still runs it.
    pub(super) fn pipe_repr(self) -> (String, bool) {
        let fields = self.fields;
        let mut text = format!("<{}", verify::class_name(self.object));
        if !fields.is_open() {
            text.push_str(" closed");
        } else if fields.has(CLOSING) {
            text.push_str(" closing");
        }
        text.push_str(&format!(" fd={}", fields.descriptor()));
        let is_live = fields.is_open()
            && self.event_loop().is_some_and(|it| {
                EventLoop::of(&it).is_some_and(|host| !host.closed.get(self.py()))
            });
        if !is_live {
            text.push_str(if fields.is_open() { " open" } else { " closed" });
        }
        (text, is_live)
    }
}

/// `_pipe`: None once the connection is lost.
fn read_pipe<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().file(this.py()).unwrap_or_else(|| none(this.py())))
}

fn read_fileno<'py, K: TransportKind>(this: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
    Ok(this.fields().descriptor().into_pyobject(this.py())?.into_any())
}

pub(super) fn properties<K: TransportKind>() -> [Property<K>; 2] {
    [
        Property::read(c"_pipe", c"The pipe; None once the connection is lost.", read_pipe::<K>),
        Property::read(c"_fileno", c"The number of its descriptor.", read_fileno::<K>),
    ]
}
