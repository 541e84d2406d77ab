//! The transport of a pipe's reading end: asyncio's `_UnixReadPipeTransport`.
//!
//! It differs from a connection in what ends it. What the protocol raises does not: it is reported,
//! and the pipe goes on. The end always does, whatever `eof_received()` returns, for there is
//! nothing that could still be written.

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::ReadPipeTransport;
use batonloop_cpython::method::TypeSlot;
use batonloop_sys::pipe;
use pyo3::exceptions::PyOSError;
use pyo3::types::{PyAny, PyAnyMethods, PyBytesMethods, PyDict, PyTuple, PyType};
use pyo3::{Bound, IntoPyObject, PyErr, PyResult, Python, intern};

use super::{CLOSING, READING, Transport, TransportKind, class, pipe as pipes, read};
use crate::names;

/// What the kernel says at the end of a terminal.
const EIO: i32 = 5;

impl TransportKind for ReadPipeTransport {
    const COUNTS_LOSS: bool = false;

    fn read(this: Transport<'_, '_>) -> PyResult<()> {
        this.read_pipe()
    }

    /// Nothing is ever written.
    fn write(_: Transport<'_, '_>) -> PyResult<()> {
        Ok(())
    }

    /// The kernel reports the end of a terminal as an error; all others are worth a report.
    fn is_usual(error: &PyErr, py: Python<'_>) -> bool {
        let errno = || error.value(py).getattr(intern!(py, "errno"))?.extract::<i32>();
        error.is_instance_of::<PyOSError>(py) && errno().is_ok_and(|errno| errno == EIO)
    }
}

impl Transport<'_, '_> {
    /// The reader is roused.
    fn read_pipe(self) -> PyResult<()> {
        let data = match self.receive(pipe::read) {
            Ok(Some(data)) => data,
            Ok(None) => return Ok(()),
            Err(error) => return self.fatal_error(error, "Fatal read error on pipe transport"),
        };
        if data.bytes.as_bytes().is_empty() {
            return self.end_pipe();
        }
        self.hand_over(data).map_err(|error| *error)
    }

    /// Nobody writes any more: the protocol hears of the end and then of the loss.
    fn end_pipe(self) -> PyResult<()> {
        let py = self.py();
        self.log_closed_by_peer()?;
        self.fields.add(CLOSING);
        self.stop_reading();
        if let Some(event_loop) = self.event_loop() {
            let received = self.protocol().getattr(intern!(py, "eof_received"))?;
            self.call_soon(&event_loop, (received,))?;
        }
        self.force_close(None)
    }

    /// Logs, in debug mode, that the other end is gone.
    pub(super) fn log_closed_by_peer(self) -> PyResult<()> {
        if self.is_debugged() {
            let info = names::LOGGER.get(self.py())?.getattr(intern!(self.py(), "info"))?;
            info.call1(("%r was closed by peer", self.object))?;
        }
        Ok(())
    }
}

// As Python sees it.

/// `_UnixReadPipeTransport(loop, pipe, protocol, waiter=None, extra=None)`.
fn init<'py>(
    this: &Bound<'py, ReadPipeTransport>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    let refused = "Pipe transport is for pipes/sockets only.";
    pipes::init(this, args, kwargs, "_UnixReadPipeTransport", refused, |_, _| ())
}

fn repr<'py>(this: &Bound<'py, ReadPipeTransport>) -> PyResult<Bound<'py, PyAny>> {
    let transport = Transport::of(this);
    let (mut text, is_live) = transport.pipe_repr();
    if is_live {
        text.push_str(if transport.fields.has(READING) { " polling" } else { " idle" });
    }
    text.push('>');
    Ok(text.into_pyobject(this.py())?.into_any())
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let name = c"batonloop.unix_events._UnixReadPipeTransport";
    let made = TypeBuilder::<ReadPipeTransport>::new(name, DOC)
        .methods(class::common_methods())
        .methods(class::reading_methods())
        .methods([class::force_close_method(c"_close")])
        .properties(class::common_properties())
        .properties(pipes::properties())
        .properties([class::paused_property()])
        .slots([
            TypeSlot::init(init),
            TypeSlot::repr(repr),
            TypeSlot::finalize(class::finalize::<ReadPipeTransport>),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .build(&bases(py, &[names::READ_TRANSPORT.get(py)?])?)?;
    made.setattr("max_size", read::MAX_SIZE)?;
    Ok(made)
}

const DOC: &std::ffi::CStr = c"The transport of a pipe's reading end, or what stands for one.";
