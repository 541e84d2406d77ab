//! `create_task()` and `create_future()`, and what a task factory is passed.
//!
//! Versions of Python differ in that last point: up to 3.13.2 a factory gets a context only, and
//! the task is named afterwards; since then it gets all that `create_task()` was given.

use std::ffi::CStr;

use batonloop_cpython::kind::{self, Future, Task};
use batonloop_cpython::method::{Args, Method};
use pyo3::exceptions::PyTypeError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods};
use pyo3::{Bound, PyResult, Python, intern};

use super::PyLoop;
use crate::futures;
use crate::host::EventLoop;
use crate::names;
use crate::tasks::{self, Options};

/// `create_future()`.
#[inline(always)]
fn create_future<'py>(this: &PyLoop<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let host = this.get();
    if host.is_direct.get(py) && host.thread.get(py) != 0 {
        return Ok(futures::new(this.as_any().clone())?.into_any());
    }
    create_future_slowly(this)
}

/// In debug mode by the constructor, which keeps the stack of its caller; of the class that a
/// program has put in the place of asyncio's, if it has; and between runs.
#[cold]
fn create_future_slowly<'py>(this: &PyLoop<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let host = this.get();
    look_between_runs(host, py)?;
    if host.is_direct.get(py) {
        return Ok(futures::new(this.as_any().clone())?.into_any());
    }
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "loop"), this)?;
    if let Some(class) = stranger_for_future(py)? {
        return class.call((), Some(&keywords));
    }
    kind::type_object::<Future>(py)?.call((), Some(&keywords))
}

/// `loop.create_task()`, and `asyncio.create_task()` on a loop that does not override it.
#[inline(always)]
pub(crate) fn create_task<'py>(
    this: &PyLoop<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let host = this.get();
    if let ([coroutine], false) = (args.positional(), args.has_keywords())
        && host.is_direct.get(py)
        && host.thread.get(py) != 0
        && host.task_factory.slot(py).is_empty()
        && tasks::is_plain(coroutine)
    {
        return Ok(tasks::new(this.as_any(), host, coroutine)?.into_any());
    }
    create_task_otherwise(this, args)
}

/// With a task factory, which may be ours, or with anything else that is not plain.
#[inline(never)]
fn create_task_otherwise<'py>(
    this: &PyLoop<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    if let ([coroutine], false) = (args.positional(), args.has_keywords())
        && this.get().makes_eager_tasks(this.py())
        && tasks::is_plain(coroutine)
    {
        return Ok(tasks::new_eager(this.as_any(), coroutine)?.into_any());
    }
    create_task_slowly(this, args)
}

/// With a name, a context, a task factory, in debug mode, with what is no coroutine, of the class
/// that a program has put in the place of asyncio's, and between runs.
#[cold]
fn create_task_slowly<'py>(this: &PyLoop<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let host = this.get();
    let keywords = PyDict::new(py);
    let mut coroutine = args.positional().first().cloned();
    if args.positional().len() > 1 {
        return Err(PyTypeError::new_err(format!(
            "EventLoop.create_task() takes 2 positional arguments but {} were given",
            args.positional().len() + 1
        )));
    }
    for (name, value) in args.keywords() {
        if name.eq("coro")? && coroutine.is_none() {
            coroutine = Some(value.clone());
        } else {
            keywords.set_item(name, value)?;
        }
    }
    let Some(coroutine) = coroutine else {
        return Err(PyTypeError::new_err(
            "EventLoop.create_task() missing 1 required positional argument: 'coro'",
        ));
    };
    host.check_closed(py)?;
    if let Some(factory) = host.task_factory.slot(py).get(py) {
        return call_factory(&factory, this, &coroutine, &keywords);
    }
    look_between_runs(host, py)?;
    let passes_all = names::passes_keywords_to_factories(py)?;
    let mut options = Options { accepts_eager_start: passes_all, ..Options::default() };
    if !host.has_known_classes.get(py)
        && let Some(class) = stranger_for_task(py)?
    {
        if !passes_all {
            for (name, value) in keywords.iter() {
                options.accept("EventLoop.create_task", &name, &value)?;
            }
            for name in ["name", "context"] {
                if !keywords.contains(name)? {
                    keywords.set_item(name, py.None())?;
                }
            }
        }
        keywords.set_item(intern!(py, "loop"), this)?;
        return class.call((coroutine,), Some(&keywords));
    }
    for (name, value) in keywords.iter() {
        options.accept("EventLoop.create_task", &name, &value)?;
    }
    options.event_loop = Some(this.as_any().clone());
    Ok(tasks::new_with(&coroutine, options)?.into_any())
}

/// Takes note of whether asyncio's names of Task and Future stand for its own classes or for ours.
///
/// That is looked at before each run, and by what is made between runs: who puts a class of its own
/// there does so before.
pub(super) fn note_classes(host: &EventLoop, py: Python<'_>) -> PyResult<()> {
    let known = stranger_for_task(py)?.is_none() && stranger_for_future(py)?.is_none();
    host.has_known_classes.set(py, known);
    host.update_is_direct(py);
    Ok(())
}

fn look_between_runs(host: &EventLoop, py: Python<'_>) -> PyResult<()> {
    if host.thread.get(py) == 0 { note_classes(host, py) } else { Ok(()) }
}

/// The class that a program has put in the place of asyncio's Task.
fn stranger_for_task(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let class = names::ASYNCIO_TASKS.get(py)?.getattr(intern!(py, "Task"))?;
    let known = class.is(names::ASYNCIO_TASK.get(py)?) || class.is(&kind::type_object::<Task>(py)?);
    Ok((!known).then_some(class))
}

/// The class that a program has put in the place of asyncio's Future.
fn stranger_for_future(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let class = names::ASYNCIO_FUTURES.get(py)?.getattr(intern!(py, "Future"))?;
    let known =
        class.is(names::ASYNCIO_FUTURE.get(py)?) || class.is(&kind::type_object::<Future>(py)?);
    Ok((!known).then_some(class))
}

/// Calls a task factory as the running Python does: newer ones pass all keywords on, older ones
/// only a context, and set the name afterwards.
fn call_factory<'py>(
    factory: &Bound<'py, PyAny>,
    this: &PyLoop<'py>,
    coroutine: &Bound<'py, PyAny>,
    keywords: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    if names::passes_keywords_to_factories(py)? {
        return factory.call((this, coroutine), Some(keywords));
    }
    let passed = PyDict::new(py);
    let mut task_name = py.None().into_bound(py);
    for (name, value) in keywords.iter() {
        match name.extract::<&str>()? {
            "context" if value.is_none() => {}
            "context" => passed.set_item(name, value)?,
            "name" => task_name = value,
            other => {
                return Err(PyTypeError::new_err(format!(
                    "EventLoop.create_task() got an unexpected keyword argument '{other}'"
                )));
            }
        }
    }
    let task = factory.call((this, coroutine), Some(&passed))?;
    set_task_name(&task, &task_name)?;
    Ok(task)
}

/// Before 3.13 a task without `set_name` is tolerated, and no name is no name.
#[cfg(not(Py_3_13))]
fn set_task_name(task: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> PyResult<()> {
    if !name.is_none()
        && let Some(set_name) = task.getattr_opt(intern!(task.py(), "set_name"))?
    {
        set_name.call1((name,))?;
    }
    Ok(())
}

/// Since 3.13 every task has a name, and None is turned into one like anything else.
#[cfg(Py_3_13)]
fn set_task_name(task: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> PyResult<()> {
    task.call_method1(intern!(task.py(), "set_name"), (name,))?;
    Ok(())
}

/// The methods.
pub(super) fn methods() -> Vec<Method<EventLoop>> {
    vec![
        Method::no_args(c"create_future", c"Return a new Future of this loop.", create_future),
        Method::args(c"create_task", CREATE_TASK, create_task),
    ]
}

const CREATE_TASK: &CStr = c"\
    create_task(coro, *, name=None, context=None, **kwargs)\n\nSchedule a coroutine and \
    return its Task, or what the task factory returns.\n\nRaises RuntimeError if the loop \
    is closed, TypeError for what is no coroutine.";
