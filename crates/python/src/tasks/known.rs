//! Which task has control, and which tasks there are: kept so that asyncio's own functions see
//! tasks of ours and tasks of the interpreter alike, whoever imported them when.
//!
//! | | current task | all tasks |
//! | --- | --- | --- |
//! | 3.11 | the interpreter's dict | our list, shown in asyncio's set |
//! | 3.12, 3.13 | a word of our loop; four C functions have new bodies | the same |
//! | 3.14 and newer | the interpreter's thread state | the interpreter's list |
//!
//! Nothing is changed before the first loop or task of ours is made. In the own flavour the current
//! task stands where the interpreter keeps its own; from 3.14 on all tasks stand in its set of
//! strangers, and the functions that link who awaits whom have new bodies ([`links`]).

use batonloop_cpython::Outcome;
use batonloop_cpython::call;
use batonloop_cpython::cell::GilCell;
use batonloop_cpython::kind::{self, Fields};
#[cfg(not(Py_3_14))]
use batonloop_cpython::slot::Slot;
use pyo3::exceptions::PyRuntimeError;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::PyTask;
use crate::host::EventLoop;
use crate::names;

/// Whether asyncio has been told how to find tasks of ours.
static IS_PREPARED: GilCell<bool> = GilCell::new(false);

/// Whether the current task is a word of our loop.
static KEEPS_CURRENT: GilCell<bool> = GilCell::new(false);

/// Whether the fallbacks were asked for.
static AVOIDS_SHORTCUTS: GilCell<bool> = GilCell::new(false);

/// Keeps to the interpreter's public functions in all that follows.
pub(crate) fn avoid_shortcuts(py: Python<'_>) {
    AVOIDS_SHORTCUTS.set(py, true);
}

/// Tells asyncio, once, how to find tasks of ours.
#[inline]
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    if IS_PREPARED.get(py) {
        return Ok(());
    }
    #[cfg(not(Py_3_14))]
    py.import("batonloop.registry")?.call_method0("show_tasks")?;
    #[cfg(all(Py_3_12, not(Py_3_14)))]
    if !AVOIDS_SHORTCUTS.get(py) {
        KEEPS_CURRENT.set(py, current::replace_bodies(py)?);
    }
    #[cfg(Py_3_14)]
    if AVOIDS_SHORTCUTS.get(py) {
        links::replace_bodies(py)?;
    }
    // Whatever interrupts this, the next call does it again.
    IS_PREPARED.set(py, true);
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// Current
// ---------------------------------------------------------------------------------------------

/// Where a step has entered its task.
pub(crate) enum Entered<'a> {
    /// In a loop of ours that the caller keeps alive.
    Loop(&'a EventLoop),
    /// In a loop of ours that only the task keeps alive.
    Task,
    /// In the interpreter's books.
    Interpreter,
}

/// The current task of a loop, as `asyncio.current_task()` gives it.
#[inline]
pub(crate) fn current_of<'py>(
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    #[cfg(all(Py_3_12, not(Py_3_14)))]
    if let Some(task) = current::current_of_ours(event_loop)? {
        return Ok(Some(task));
    }
    let task = call::call1(names::CURRENT_TASK.get(event_loop.py())?, event_loop)?;
    Ok(Some(task).filter(|task| !task.is_none()))
}

/// The current task of a loop, also if only a function that a program has put in the place of
/// asyncio's knows it: one of a class in Python is none to functions in C, since 3.14.
pub(crate) fn current_to_anybody<'py>(
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match current_of(event_loop)? {
        Some(task) => Ok(Some(task)),
        None => current_by_name(event_loop.py()),
    }
}

#[cold]
fn current_by_name(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let named = names::ASYNCIO_TASKS.get(py)?.getattr(intern!(py, "current_task"))?;
    if named.is(names::CURRENT_TASK.get(py)?) {
        return Ok(None);
    }
    Ok(Some(named.call0()?).filter(|task| !task.is_none()))
}

/// Makes a task the current one of its loop.
#[inline]
pub(crate) fn enter<'a>(task: &PyTask<'_>, ours: Option<&'a EventLoop>) -> Outcome<Entered<'a>> {
    let py = task.py();
    if !KEEPS_CURRENT.get(py) {
        call_with_loop(&names::ENTER_TASK, task)?;
        return Ok(Entered::Interpreter);
    }
    if let Some(ours) = ours {
        enter_loop(task, ours)?;
        return Ok(Entered::Loop(ours));
    }
    if let Some(event_loop) = task.fields().future().event_loop.get(py)
        && let Some(ours) = EventLoop::of(&event_loop)
    {
        enter_loop(task, ours)?;
        return Ok(Entered::Task);
    }
    call_with_loop(&names::ENTER_TASK, task)?;
    Ok(Entered::Interpreter)
}

/// Whether a loop of ours keeps its current task itself.
#[inline]
pub(crate) fn keeps_current(py: Python<'_>) -> bool {
    KEEPS_CURRENT.get(py)
}

/// Makes a task the current one of a loop of ours.
#[inline(always)]
pub(crate) fn enter_loop(task: &PyTask<'_>, ours: &EventLoop) -> Outcome {
    let current = ours.current_task.slot(task.py());
    match current.replace(task.as_any().clone()) {
        None => Ok(()),
        Some(other) => {
            let error = cannot_enter(task.as_any(), &other);
            drop(current.replace(other));
            Err(error.into())
        }
    }
}

#[cold]
fn cannot_enter(task: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyErr {
    PyRuntimeError::new_err(format!(
        "Cannot enter into task {} while another task {} is being executed.",
        shown(task),
        shown(other)
    ))
}

fn shown(object: &Bound<'_, PyAny>) -> String {
    object.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string())
}

/// Ends what `enter` began; the step's own error wins over an error of leaving.
#[inline]
pub(crate) fn leave(task: &PyTask<'_>, entered: Entered<'_>, outcome: Outcome) -> Outcome {
    let py = task.py();
    let left = match entered {
        Entered::Loop(ours) => leave_loop(task, ours),
        Entered::Task => match task.fields().future().event_loop.get(py) {
            Some(event_loop) => {
                EventLoop::of(&event_loop).map_or(Ok(()), |ours| leave_loop(task, ours))
            }
            None => Ok(()),
        },
        Entered::Interpreter => call_with_loop(&names::LEAVE_TASK, task),
    };
    outcome.and(left)
}

/// Ends what [`enter_loop`] began.
#[inline(always)]
pub(crate) fn leave_loop(task: &PyTask<'_>, ours: &EventLoop) -> Outcome {
    match ours.current_task.slot(task.py()).take(task.py()) {
        Some(current) if task.is(&current) => Ok(()),
        // Somebody has left it and entered it again by hand: then it stands in the books.
        None => call_with_loop(&names::LEAVE_TASK, task),
        other => Err(cannot_leave(task.as_any(), other).into()),
    }
}

#[cold]
fn cannot_leave(task: &Bound<'_, PyAny>, current: Option<Bound<'_, PyAny>>) -> PyErr {
    PyRuntimeError::new_err(format!(
        "Leaving task {} does not match the current task {}.",
        shown(task),
        current.map_or_else(|| "None".to_owned(), |current| shown(&current))
    ))
}

fn call_with_loop(function: &'static names::Imported, task: &PyTask<'_>) -> Outcome {
    let py = task.py();
    let event_loop = task.fields().future().event_loop.get(py);
    function.get(py)?.call1((event_loop, task))?;
    Ok(())
}

/// Makes a task current in the place of another; gives that other back.
#[cfg(Py_3_12)]
pub(crate) fn swap<'py>(task: &PyTask<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    #[cfg(Py_3_14)]
    tell_books(&names::REGISTER_EAGER_TASK, task)?;
    #[cfg(not(Py_3_14))]
    kind::known::link(task);
    swap_for(task, Some(task.as_any().clone()))
}

/// Ends what `swap` began.
#[cfg(Py_3_12)]
pub(crate) fn swap_back<'py>(
    task: &PyTask<'py>,
    previous: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    #[cfg(Py_3_14)]
    tell_books(&names::UNREGISTER_EAGER_TASK, task)?;
    swap_for(task, previous)?;
    Ok(())
}

#[cfg(Py_3_12)]
fn swap_for<'py>(
    task: &PyTask<'py>,
    current: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = task.py();
    let event_loop = task.fields().future().event_loop.get(py);
    if let Some(event_loop) = &event_loop
        && let Some(ours) = keeper(event_loop)?
    {
        let slot = ours.current_task.slot(py);
        return Ok(match current {
            Some(current) => slot.replace(current),
            None => slot.take(py),
        });
    }
    let previous = names::SWAP_CURRENT_TASK.get(py)?.call1((event_loop, current))?;
    Ok(Some(previous).filter(|previous| !previous.is_none()))
}

/// The loop of ours that keeps its current task itself, unless a task of the interpreter is
/// current.
#[cfg(all(Py_3_12, not(Py_3_14)))]
fn keeper<'a>(event_loop: &'a Bound<'_, PyAny>) -> PyResult<Option<&'a EventLoop>> {
    if !KEEPS_CURRENT.get(event_loop.py()) || current::stands_in_books(event_loop)? {
        return Ok(None);
    }
    Ok(EventLoop::of(event_loop))
}

/// The interpreter keeps it.
#[cfg(Py_3_14)]
fn keeper<'a>(_: &'a Bound<'_, PyAny>) -> PyResult<Option<&'a EventLoop>> {
    Ok(None)
}

/// There is no eager start before 3.12.
#[cfg(not(Py_3_12))]
pub(crate) fn swap<'py>(_: &PyTask<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(None)
}

/// There is no eager start before 3.12.
#[cfg(not(Py_3_12))]
pub(crate) fn swap_back<'py>(_: &PyTask<'py>, _: Option<Bound<'py, PyAny>>) -> PyResult<()> {
    Ok(())
}

#[cfg(all(Py_3_12, not(Py_3_14)))]
pub(crate) mod current;

// ---------------------------------------------------------------------------------------------
// All
// ---------------------------------------------------------------------------------------------

/// Lets `all_tasks()` find a task that begins to live.
#[inline]
pub(crate) fn register(task: &PyTask<'_>) -> PyResult<()> {
    #[cfg(not(Py_3_14))]
    kind::known::link(task);
    #[cfg(Py_3_14)]
    tell_books(&names::REGISTER_TASK, task)?;
    Ok(())
}

/// Tells the interpreter's books of a task.
///
/// In the own flavour those are sets. A task of a class without a hash is left out of them: it
/// lives all the same, and could not stand in the set that `all_tasks()` returns either.
#[cfg(Py_3_14)]
#[inline]
fn tell_books(function: &'static names::Imported, task: &PyTask<'_>) -> PyResult<()> {
    match function.get(task.py())?.call1((task,)) {
        Err(error) if task.as_any().hash().is_ok() => Err(error),
        _ => Ok(()),
    }
}

/// The same, for a task that was just allocated.
#[inline(always)]
pub(crate) fn register_new(task: &PyTask<'_>) -> PyResult<()> {
    #[cfg(not(Py_3_14))]
    kind::known::link_new(task);
    #[cfg(Py_3_14)]
    register(task)?;
    Ok(())
}

/// A task is finished: it need not be found any more.
#[inline]
pub(crate) fn forget(task: &PyTask<'_>) {
    kind::known::forget(task);
}

/// The same, for any object.
#[cfg(not(Py_3_14))]
pub(crate) fn forget_object(object: &Bound<'_, PyAny>) {
    if let Some(task) = kind::cast::<kind::Task>(object) {
        forget(task);
    }
}

/// All tasks of ours that are not finished, of every loop.
#[cfg(not(Py_3_14))]
pub(crate) fn pending_tasks(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    kind::known::all(py)
}

// ---------------------------------------------------------------------------------------------
// Who awaits whom
// ---------------------------------------------------------------------------------------------

/// A task begins to wait for a future.
#[cfg(not(Py_3_14))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
pub(crate) fn awaits(_: &PyTask<'_>, _: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(())
}

/// A task waits for a future no longer.
#[cfg(not(Py_3_14))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
pub(crate) fn awaits_no_more(_: &PyTask<'_>, _: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(())
}

/// A task begins to wait for a future: the call graph gains an edge.
#[cfg(Py_3_14)]
#[inline]
pub(crate) fn awaits<'py>(task: &PyTask<'py>, awaited: &Bound<'py, PyAny>) -> PyResult<()> {
    let Some(future) = kind::cast::<kind::Future>(awaited) else {
        names::ADD_TO_AWAITED_BY.get(task.py())?.call1((awaited, task))?;
        return Ok(());
    };
    links::add(future, task.as_any())
}

/// A task waits for a future no longer: the call graph loses an edge.
#[cfg(Py_3_14)]
#[inline]
pub(crate) fn awaits_no_more<'py>(task: &PyTask<'py>, awaited: &Bound<'py, PyAny>) -> PyResult<()> {
    let Some(future) = kind::cast::<kind::Future>(awaited) else {
        names::DISCARD_FROM_AWAITED_BY.get(task.py())?.call1((awaited, task))?;
        return Ok(());
    };
    links::discard(future, task.as_any())
}

/// Before 3.14 nobody is known to await what `gather()` or `wait()` waits for.
#[cfg(not(Py_3_14))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
pub(crate) fn fill_waiter(_: &Slot, _: &Bound<'_, PyAny>) -> PyResult<()> {
    Ok(())
}

/// Before 3.14 nobody is known to await what `gather()` or `wait()` waits for.
#[cfg(not(Py_3_14))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
pub(crate) fn link(_: &Bound<'_, PyAny>, _: &Slot) -> PyResult<()> {
    Ok(())
}

/// Before 3.14 nobody is known to await what `gather()` or `wait()` waits for.
#[cfg(not(Py_3_14))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
pub(crate) fn unlink(_: &Bound<'_, PyAny>, _: &Slot) -> PyResult<()> {
    Ok(())
}

#[cfg(Py_3_14)]
pub(crate) use links::{fill_waiter, link, unlink, unlink_from};

#[cfg(Py_3_14)]
mod links;
