//! The functions of the module: what asyncio offers beside its classes.

use std::cmp::Ordering;

use batonloop_cpython::method::{self, Args};
use pyo3::types::{PyAny, PyAnyMethods, PyFloat, PyFloatMethods, PyInt, PyModule, PyModuleMethods};
use pyo3::{Bound, PyResult, Python, intern};

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

/// `sleep(delay, result=None)`, of a plain number; asyncio says what it makes of anything else, and
/// of what is not a number.
fn sleep<'py>(py: Python<'py>, args: Args<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let ([delay, rest @ ..], false) = (args.positional(), args.has_keywords())
        && rest.len() <= 1
        && let Some(sign) = sign(delay)
    {
        return match sign {
            Ordering::Greater => sleep::new_delayed(delay, rest.first()).map(Some),
            _ => sleep::new(py, rest.first()).map(|made| Some(made.into_any())),
        };
    }
    Ok(None)
}

/// `wait_for(fut, timeout)`, of None or a plain number above zero; before 3.12 it is asyncio's own.
#[cfg(Py_3_12)]
fn wait_for<'py>(_: Python<'py>, args: Args<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (awaitable, timeout) = match (args.positional(), args.has_keywords()) {
        ([awaitable, timeout], false) => (Some(awaitable), Some(timeout)),
        // What is wrong with them asyncio says.
        _ => match args.parse("wait_for", ["fut", "timeout"], 2) {
            Ok([awaitable, timeout]) => (awaitable, timeout),
            Err(_) => (None, None),
        },
    };
    if let (Some(awaitable), Some(timeout)) = (awaitable, timeout)
        && (timeout.is_none() || sign(timeout) == Some(Ordering::Greater))
    {
        return crate::wait_for::new(awaitable, timeout).map(Some);
    }
    Ok(None)
}

/// How an int or float, and nothing that derives from them, compares with zero; nothing for what is
/// not a number, and for an int of more than 64 bits.
#[inline]
fn sign(number: &Bound<'_, PyAny>) -> Option<Ordering> {
    if number.is_exact_instance_of::<PyInt>() {
        return number.extract::<i64>().ok().map(|whole| whole.cmp(&0));
    }
    number.cast_exact::<PyFloat>().ok()?.value().partial_cmp(&0.0)
}

/// Adds the functions to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    // asyncio's own, before anybody puts ours in their place.
    let asyncio = py.import("asyncio.tasks")?;
    names::ASYNCIO_CREATE_TASK.get(py)?;
    let name = "batonloop";
    module.add(
        "create_task",
        method::function(module, name, c"create_task", CREATE_TASK, create_task)?,
    )?;
    let original = asyncio.getattr(intern!(py, "sleep"))?;
    module.add("sleep", method::answered(&original, &asyncio.dict(), name, SLEEP, sleep)?)?;
    names::CURRENT_TASK.get(py)?;
    #[cfg(Py_3_12)]
    {
        let original = asyncio.getattr(intern!(py, "wait_for"))?;
        let made = method::answered(&original, &asyncio.dict(), name, WAIT_FOR, wait_for)?;
        module.add("wait_for", made)?;
    }
    module.add("all_tasks", asyncio.getattr(intern!(py, "all_tasks"))?)?;
    module.add("current_task", asyncio.getattr(intern!(py, "current_task"))?)?;
    Ok(())
}

const CREATE_TASK: &std::ffi::CStr = c"\
    create_task(coro, *, name=None, context=None, **kwargs)\n\nSchedule a coroutine on the running \
    loop and return its Task.\n\nRaises RuntimeError if no loop runs in this thread, \
    TypeError for what is no coroutine.";
const SLEEP: &str = "\
    Suspend for delay seconds and return result; zero or less lets the others run once.";
#[cfg(Py_3_12)]
const WAIT_FOR: &str = "\
    Wait for fut, and return its result; after timeout seconds cancel it and raise TimeoutError.\n\
    \nNone waits for ever. A coroutine is awaited in the task that waits; a task or future is \
    cancelled\nwhen the wait is, unless it is wrapped in shield().";
