//! The interpreter's functions about the current task, with bodies that know our loops.

use batonloop_cpython::method::{Args, Method};
use batonloop_cpython::patch::{self, Function};
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods};
use pyo3::{Bound, PyResult, Python};

use super::{cannot_enter, cannot_leave};
use crate::host::EventLoop;
use crate::names;
use crate::running;

/// Gives the functions their new bodies; whether that could be done.
pub(super) fn replace_bodies(py: Python<'_>) -> PyResult<bool> {
    let module = py.import("_asyncio")?;
    let methods: [(Function, Method<PyAny>); 5] = [
        (Function::CurrentTask, Method::args(c"current_task", c"", current_task)),
        (Function::EnterTask, Method::args(c"_enter_task", c"", enter_task)),
        (Function::LeaveTask, Method::args(c"_leave_task", c"", leave_task)),
        (Function::SwapCurrentTask, Method::args(c"_swap_current_task", c"", swap_current_task)),
        (Function::SetRunningLoop, Method::one_arg(c"_set_running_loop", c"", set_running_loop)),
    ];
    let mut targets = Vec::new();
    for (function, method) in methods {
        let target = module.getattr(function.name().to_string_lossy().as_ref())?;
        if !patch::is_replaceable(&target, function) {
            return Ok(false);
        }
        targets.push((target, function, method));
    }
    for (target, function, method) in targets {
        patch::replace_body(&target, function, method);
    }
    running::trust(py);
    Ok(true)
}

/// The task of ours that is current in `event_loop`, unless a task of the interpreter runs
/// inside its step.
#[inline]
pub(super) fn current_of_ours<'py>(
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = event_loop.py();
    let Some(ours) = EventLoop::of(event_loop) else {
        return Ok(None);
    };
    let Some(task) = ours.current_task.slot(py).get(py) else {
        return Ok(None);
    };
    if stands_in_books(event_loop)? {
        return Ok(None);
    }
    Ok(Some(task))
}

/// Whether the interpreter's books name a current task of `event_loop`.
pub(super) fn stands_in_books(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    let books = names::CURRENT_TASKS.get(event_loop.py())?.cast::<PyDict>()?;
    Ok(!books.is_empty() && books.contains(event_loop)?)
}

/// `current_task(loop=None)`.
pub(crate) fn current_task<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    let [event_loop] = args.parse("current_task", ["loop"], 1)?;
    let event_loop = match event_loop.filter(|event_loop| !event_loop.is_none()) {
        Some(event_loop) => event_loop.clone(),
        None => running::get(py).map_err(|error| *error)?,
    };
    match current_of_ours(&event_loop)? {
        Some(task) => Ok(task),
        None => patch::call_original(module, Function::CurrentTask, &[&event_loop]),
    }
}

/// `_set_running_loop(loop)`.
fn set_running_loop<'py>(
    module: &Bound<'py, PyAny>,
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    running::forget(module.py());
    patch::call_original(module, Function::SetRunningLoop, &[event_loop])
}

/// The two arguments that the others take.
fn both<'a, 'py>(
    args: &Args<'a, 'py>,
    function: &str,
) -> PyResult<(&'a Bound<'py, PyAny>, &'a Bound<'py, PyAny>)> {
    let [event_loop, task] = args.parse(function, ["loop", "task"], 2)?;
    let missing = |name, position| batonloop_cpython::method::missing(function, name, position);
    Ok((event_loop.ok_or_else(|| missing("loop", 1))?, task.ok_or_else(|| missing("task", 2))?))
}

/// `_enter_task(loop, task)`: refused while a task of ours is current.
fn enter_task<'py>(module: &Bound<'py, PyAny>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let (event_loop, task) = both(&args, "_enter_task")?;
    match current_of_ours(event_loop)? {
        Some(other) => Err(cannot_enter(task, &other)),
        None => patch::call_original(module, Function::EnterTask, &[event_loop, task]),
    }
}

/// `_leave_task(loop, task)`: a task of ours leaves the loop's own word.
fn leave_task<'py>(module: &Bound<'py, PyAny>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    let (event_loop, task) = both(&args, "_leave_task")?;
    match current_of_ours(event_loop)? {
        Some(current) if current.is(task) => {
            if let Some(ours) = EventLoop::of(event_loop) {
                ours.current_task.slot(py).clear(py);
            }
            Ok(py.None().into_bound(py))
        }
        Some(other) => Err(cannot_leave(task, Some(other))),
        None => patch::call_original(module, Function::LeaveTask, &[event_loop, task]),
    }
}

/// What is swapped in stays in the interpreter's books, what was ours goes out of the loop.
fn swap_current_task<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    let (event_loop, task) = both(&args, "_swap_current_task")?;
    let Some(previous) = current_of_ours(event_loop)? else {
        return patch::call_original(module, Function::SwapCurrentTask, &[event_loop, task]);
    };
    if let Some(ours) = EventLoop::of(event_loop) {
        let slot = ours.current_task.slot(py);
        if task.is_none() {
            slot.clear(py);
        } else {
            slot.set(task.clone());
        }
    }
    Ok(previous)
}
