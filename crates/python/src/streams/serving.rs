//! How a server's connection is served: by a call, and a task if that gives a coroutine.
//!
//! A connection may be idle for long, so what waits for the task's end is small: one object of four
//! words in the task, which becomes asyncio's own callback when the task is done, or when somebody
//! looks.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::streams::{Serving, StreamReaderProtocol, StreamWriter};
use batonloop_cpython::{call, context};
use pyo3::exceptions::PyException;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyModule, PyModuleMethods, PyType};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use crate::futures::{self, Resident};
use crate::mixins::{set_slot, shown};
use crate::names;
use crate::tasks;

type PyServing<'py> = Bound<'py, Serving>;

/// What differs from one release of asyncio's `connection_made()` to the next, read off its code.
pub(super) struct Release {
    /// Whether the protocol keeps the writer of a server's connection, as `_stream_writer`.
    pub(super) keeps_writer: bool,
    /// Whether what is raised by who is told of a connection is reported.
    catches: bool,
}

impl Release {
    /// That of the running Python. It is first asked for before anybody puts ours in the place of
    /// asyncio's.
    pub(super) fn running(py: Python<'_>) -> PyResult<&'static Self> {
        static RUNNING: PyOnceLock<Release> = PyOnceLock::new();
        RUNNING.get_or_try_init(py, || {
            let class = names::ASYNCIO_STREAM_READER_PROTOCOL.get(py)?;
            let code = class.getattr("connection_made")?.getattr("__code__")?;
            Ok(Self {
                keeps_writer: code.getattr("co_names")?.contains("_stream_writer")?,
                catches: code.getattr("co_exceptiontable")?.is_truthy()?,
            })
        })
    }
}

/// Calls who is told of a server's connection; if that gives a coroutine, it becomes a task.
pub(super) fn serve<'py>(
    this: &Bound<'py, StreamReaderProtocol>,
    transport: &Bound<'py, PyAny>,
    reader: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = this.py();
    let event_loop = shown(&this.fields().event_loop, py);
    let writer = py.get_type::<StreamWriter>().call1((transport, this, reader, &event_loop))?;
    if Release::running(py)?.keeps_writer {
        this.fields().writer.set(writer.clone());
    }
    let served = match callback.call1((reader, writer)) {
        Ok(served) => served,
        Err(error) => return failed(&event_loop, transport, error),
    };
    let is_coroutine =
        tasks::is_plain(&served) || names::IS_COROUTINE.get(py)?.call1((&served,))?.is_truthy()?;
    if !is_coroutine {
        return Ok(());
    }
    let task =
        call::method1(&event_loop, intern!(py, "create_task"), &served).map_err(|error| *error)?;
    set_slot(&this.fields().task, Some(&task))?;
    tell_of(&task, this, transport)
}

/// Lets the protocol hear of the end of a task, which may be done already.
fn tell_of<'py>(
    task: &Bound<'py, PyAny>,
    this: &Bound<'py, StreamReaderProtocol>,
    transport: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let serving = kind::allocate::<Serving>(this.py())?;
    let fields = serving.fields();
    fields.protocol.fill(this.as_any().clone());
    fields.transport.fill(transport.clone());
    fields.context.fill(context::copy_current(this.py())?);
    futures::tell(task, &serving)
}

/// Newer ones of 3.14 report what who is told raises, and close the connection.
fn failed<'py>(
    event_loop: &Bound<'py, PyAny>,
    transport: &Bound<'py, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = transport.py();
    if !Release::running(py)?.catches || !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), UNHANDLED)?;
    context.set_item(intern!(py, "exception"), error.value(py))?;
    context.set_item(intern!(py, "transport"), transport)?;
    event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
    transport.call_method0(intern!(py, "close")).map(drop)
}

const UNHANDLED: &str = "Unhandled exception in client_connected_cb";

impl Resident for Serving {
    const VERB: &'static str = "serving";

    /// asyncio's own callback. Always the same one.
    fn callable<'py>(serving: &PyServing<'py>) -> PyResult<Bound<'py, PyAny>> {
        let py = serving.py();
        let fields = serving.fields();
        let make = || {
            let protocol = fields.protocol.get(py);
            let transport = fields.transport.get(py);
            names::SERVING_CALLBACK.get(py)?.call1((protocol, transport))
        };
        futures::remembered(&fields.callable, make, py)
    }

    fn context<'py>(serving: &PyServing<'py>) -> Option<Bound<'py, PyAny>> {
        serving.fields().context.get(serving.py())
    }

    fn told<'py>(serving: &PyServing<'py>, task: &Bound<'py, PyAny>) -> PyResult<()> {
        Self::callable(serving)?.call1((task,)).map(drop)
    }
}

/// Makes the type.
fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Serving>::new(c"batonloop.streams._Serving", DOC)
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

/// Adds the type to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("_Serving", make_type(module.py())?)
}

const DOC: &CStr = c"What hears of the end of the task that serves a connection.";
