//! The functions of the module: what asyncio offers beside its classes.

use batonloop_cpython::method::{self, Args};
use pyo3::types::{PyAny, PyAnyMethods, PyFloat, PyInt, PyModule, PyModuleMethods};
use pyo3::{Bound, PyResult, intern};

use crate::base_events;
use crate::host::EventLoop;
use crate::names;
use crate::running;
use crate::sleep;

/// `create_task(coro, *, name=None, context=None)`.
fn create_task<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    let event_loop = running::get(py).map_err(|error| *error)?;
    if let Some(ours) = EventLoop::cast(&event_loop)
        && ours.get().has_own_create_task.get(py)
    {
        #[cfg(not(Py_3_13))]
        note_late_name(ours, args)?;
        return base_events::create_task(ours, args);
    }
    args.pass_on(names::ASYNCIO_CREATE_TASK.get(py)?)
}

/// Before 3.13 `asyncio.create_task()` makes the task without its name and names it afterwards, so
/// that the number of its own first name is gone.
#[cfg(not(Py_3_13))]
#[inline]
fn note_late_name(event_loop: &Bound<'_, EventLoop>, args: Args<'_, '_>) -> PyResult<()> {
    let py = event_loop.py();
    if !args.has_keywords() || !event_loop.get().task_factory.slot(py).is_empty() {
        return Ok(());
    }
    for (name, value) in args.keywords() {
        if name.eq(intern!(py, "name"))? && !value.is_none() {
            crate::tasks::skip_name_id(py);
        }
    }
    Ok(())
}

/// `sleep(delay, result=None)`.
fn sleep<'py>(module: &Bound<'py, PyAny>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    if let ([delay, rest @ ..], false) = (args.positional(), args.has_keywords())
        && rest.len() <= 1
        && let Some(seconds) = plain_number(delay)
    {
        // Not a number is neither: asyncio says what it makes of that.
        if seconds <= 0.0 {
            return Ok(sleep::new(py, rest.first())?.into_any());
        }
        if seconds > 0.0 {
            return sleep::new_delayed(delay, rest.first());
        }
    }
    args.pass_on(names::ASYNCIO_SLEEP.get(py)?)
}

/// `wait_for(fut, timeout)`; before 3.12 it is asyncio's own.
#[cfg(Py_3_12)]
fn wait_for<'py>(module: &Bound<'py, PyAny>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    let (awaitable, timeout) = match (args.positional(), args.has_keywords()) {
        ([awaitable, timeout], false) => (Some(awaitable), Some(timeout)),
        _ => {
            let [awaitable, timeout] = args.parse("wait_for", ["fut", "timeout"], 2)?;
            (awaitable, timeout)
        }
    };
    if let (Some(awaitable), Some(timeout)) = (awaitable, timeout)
        && (timeout.is_none() || plain_number(timeout).is_some_and(|seconds| seconds > 0.0))
    {
        return crate::wait_for::new(awaitable, timeout);
    }
    args.pass_on(names::ASYNCIO_WAIT_FOR.get(py)?)
}

/// The value of an int or float, and of nothing that derives from them.
#[inline]
fn plain_number(delay: &Bound<'_, PyAny>) -> Option<f64> {
    let is_plain = delay.is_exact_instance_of::<PyInt>() || delay.is_exact_instance_of::<PyFloat>();
    if is_plain { delay.extract().ok() } else { None }
}

/// Adds the functions to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // asyncio's own, before anybody puts ours in their place.
    names::ASYNCIO_SLEEP.get(py)?;
    names::ASYNCIO_CREATE_TASK.get(py)?;
    let name = "batonloop";
    module.add(
        "create_task",
        method::function(module, name, c"create_task", CREATE_TASK, create_task)?,
    )?;
    module.add("sleep", method::function(module, name, c"sleep", SLEEP, sleep)?)?;
    names::CURRENT_TASK.get(py)?;
    #[cfg(Py_3_12)]
    {
        names::ASYNCIO_WAIT_FOR.get(py)?;
        let function = method::function(module, name, c"wait_for", WAIT_FOR, wait_for)?;
        module.add("wait_for", function)?;
    }
    module.add("all_tasks", py.import("asyncio.tasks")?.getattr(intern!(py, "all_tasks"))?)?;
    module
        .add("current_task", py.import("asyncio.tasks")?.getattr(intern!(py, "current_task"))?)?;
    Ok(())
}

const CREATE_TASK: &std::ffi::CStr = c"\
    create_task(coro, *, name=None, context=None, **kwargs)\n\nSchedule a coroutine on the running \
    loop and return its Task.\n\nRaises RuntimeError if no loop runs in this thread, \
    TypeError for what is no coroutine.";
const SLEEP: &std::ffi::CStr = c"\
    sleep(delay, result=None)\n\nSuspend for delay seconds and return result; zero or less \
    lets the others run once.";
#[cfg(Py_3_12)]
const WAIT_FOR: &std::ffi::CStr = c"\
    wait_for(fut, timeout)\n\nWait for fut, and return its result; after timeout seconds cancel \
    it and raise TimeoutError.\n\nNone waits for ever. A coroutine is awaited in the task that \
    waits; a task or future is cancelled\nwhen the wait is, unless it is wrapped in shield().";
