//! How a server's connection is served: by a call, and a task if that gives a coroutine.
//!
//! A connection may be idle for long, so what waits for the task's end is small: one object with
//! four references stands among the task's callbacks. Whoever looks there sees asyncio's own
//! callback instead, and that is what is called when the task has failed.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::coroutine::{exception_of, while_handling};
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::streams::{Serving, StreamReaderProtocol};
use batonloop_cpython::{call, context};
use pyo3::exceptions::PyException;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyModule, PyModuleMethods, PyType};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::release::{Release, UNHANDLED};
use crate::futures::{self, PyFuture, Resident};
use crate::mixins::set_slot;
use crate::names;
use crate::tasks;

type PyServing<'py> = Bound<'py, Serving>;

/// Calls who is told of a server's connection; if that gives a coroutine, it becomes a task.
pub(super) fn serve<'py>(
    this: &Bound<'py, StreamReaderProtocol>,
    event_loop: &Bound<'py, PyAny>,
    transport: &Bound<'py, PyAny>,
    served: PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = this.py();
    let served = match served {
        Ok(served) => served,
        Err(error) => return report(event_loop, transport, error),
    };
    let is_coroutine =
        tasks::is_plain(&served) || names::IS_COROUTINE.get(py)?.call1((&served,))?.is_truthy()?;
    if !is_coroutine {
        return Ok(());
    }
    let task =
        call::method1(event_loop, intern!(py, "create_task"), &served).map_err(|error| *error)?;
    set_slot(&this.fields().task, Some(&task))?;
    let serving = kind::allocate::<Serving>(py)?;
    let fields = serving.fields();
    fields.protocol.fill(this.as_any().clone());
    fields.transport.fill(transport.clone());
    fields.context.fill(context::copy_current(py)?);
    futures::tell(&task, &serving)
}

/// Says to the loop what who is told of connections has raised, and closes this one; in releases
/// that do, else raises it.
fn report<'py>(
    event_loop: &Bound<'py, PyAny>,
    transport: &Bound<'py, PyAny>,
    error: PyErr,
) -> PyResult<()> {
    let py = transport.py();
    if !Release::running(py)?.reports_callback || !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    let exception = exception_of(error, py);
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), UNHANDLED)?;
    context.set_item(intern!(py, "exception"), &exception)?;
    context.set_item(intern!(py, "transport"), transport)?;
    while_handling(&exception, || {
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))?;
        transport.call_method0(intern!(py, "close")).map(drop)
    })
}

impl Resident for Serving {
    const VERB: &'static str = "serving";

    /// asyncio's own callback; the same one as long as anybody has it.
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

    /// Of a task that has a result asyncio's callback makes nothing.
    #[inline]
    fn told_plainly<'py>(_: &PyServing<'py>, task: &PyFuture<'py>) -> PyResult<bool> {
        Ok(futures::has_result(task))
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
