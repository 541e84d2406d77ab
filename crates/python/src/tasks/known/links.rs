//! Who awaits whom, in the futures themselves, and the interpreter's functions that link any two.
//!
//! A link stands in the future that is awaited, as `future_awaited_by_add()` of CPython's
//! `_asynciomodule.c` keeps it: one waiter bare, several in a set.
//!
//! asyncio's tools (`gather`, `wait`, `shield`, `TaskGroup`) link what their caller waits for with
//! two functions in C, which pass over every future that is not laid out as theirs. In the own
//! flavour they therefore get bodies that take ours too. Two pairs stay unlinked there: a future of
//! the interpreter's kind and a task of ours that awaits it, for that link would stand in a struct
//! which we do not touch; and a future of ours and a task of the interpreter's kind that awaits it,
//! for such a task asks no function that could be given a new body.

use batonloop_cpython::kind::{self, Fields, Future, Task};
use batonloop_cpython::method::{Args, Method};
use batonloop_cpython::patch::{self, Function};
use batonloop_cpython::slot::Slot;
use pyo3::exceptions::PyTypeError;
use pyo3::types::{PyAny, PyAnyMethods, PySet, PySetMethods, PyTypeMethods};
use pyo3::{Bound, PyResult, Python, intern};

use crate::names;

/// Links a future to who awaits it.
#[inline]
pub(super) fn add<'py>(future: &Bound<'py, Future>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = future.py();
    let fields = future.fields();
    let Some(known) = fields.awaited_by.get(py) else {
        fields.awaited_by.set(waiter.clone());
        return Ok(());
    };
    if fields.awaited_by_is_set() {
        return known.cast::<PySet>()?.add(waiter);
    }
    let set = PySet::new(py, [&known, waiter])?;
    fields.awaited_by.set(set.into_any());
    fields.set_awaited_by_is_set(true);
    Ok(())
}

/// Takes such a link away, if it is there.
#[inline]
pub(super) fn discard<'py>(
    future: &Bound<'py, Future>,
    waiter: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = future.py();
    let fields = future.fields();
    if fields.awaited_by.holds(waiter) {
        fields.awaited_by.clear(py);
    } else if fields.awaited_by_is_set()
        && let Some(known) = fields.awaited_by.get(py)
    {
        known.cast::<PySet>()?.discard(waiter)?;
    }
    Ok(())
}

/// `gather()` or `wait()` was called: the current task of the loop, if there is one, waits for all
/// that it will be linked to.
pub(crate) fn fill_waiter<'py>(waiter: &Slot, event_loop: &Bound<'py, PyAny>) -> PyResult<()> {
    if let Some(task) = super::current_to_anybody(event_loop)? {
        waiter.set(task);
    }
    Ok(())
}

/// The task in a slot, if there is one, awaits a future; both may be of any class.
pub(crate) fn link(awaited: &Bound<'_, PyAny>, waiter: &Slot) -> PyResult<()> {
    let Some(waiter) = waiter.get(awaited.py()) else {
        return Ok(());
    };
    if let (Some(future), Some(_)) = (kind::cast::<Future>(awaited), kind::cast::<Task>(&waiter)) {
        return add(future, &waiter);
    }
    let by_name = intern!(awaited.py(), "future_add_to_awaited_by");
    names::ASYNCIO_FUTURES.get(awaited.py())?.call_method1(by_name, (awaited, waiter))?;
    Ok(())
}

/// The task in a slot, if there is one, awaits a future no longer.
pub(crate) fn unlink(awaited: &Bound<'_, PyAny>, waiter: &Slot) -> PyResult<()> {
    match waiter.get(awaited.py()) {
        Some(waiter) => unlink_from(awaited, &waiter),
        None => Ok(()),
    }
}

/// A task of any class awaits a future of any class no longer.
pub(crate) fn unlink_from<'py>(
    awaited: &Bound<'py, PyAny>,
    waiter: &Bound<'py, PyAny>,
) -> PyResult<()> {
    if let (Some(future), Some(_)) = (kind::cast::<Future>(awaited), kind::cast::<Task>(waiter)) {
        return discard(future, waiter);
    }
    let by_name = intern!(awaited.py(), "future_discard_from_awaited_by");
    names::ASYNCIO_FUTURES.get(awaited.py())?.call_method1(by_name, (awaited, waiter))?;
    Ok(())
}

/// Gives the interpreter's functions their new bodies, if they are what we think.
pub(super) fn replace_bodies(py: Python<'_>) -> PyResult<()> {
    for (imported, function, method) in [
        (
            &names::ADD_TO_AWAITED_BY,
            Function::AddToAwaitedBy,
            Method::positional(c"future_add_to_awaited_by", c"", add_to_awaited_by),
        ),
        (
            &names::DISCARD_FROM_AWAITED_BY,
            Function::DiscardFromAwaitedBy,
            Method::positional(c"future_discard_from_awaited_by", c"", discard_from_awaited_by),
        ),
    ] {
        patch::replace_body(imported.get(py)?, function, method);
    }
    Ok(())
}

/// `future_add_to_awaited_by(fut, waiter)`.
fn add_to_awaited_by<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    change(module, args, Function::AddToAwaitedBy, add)
}

/// `future_discard_from_awaited_by(fut, waiter)`.
fn discard_from_awaited_by<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    change(module, args, Function::DiscardFromAwaitedBy, discard)
}

/// Changes a link in a future of ours; one in any other object is the old body's business.
fn change<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
    function: Function,
    ours: fn(&Bound<'py, Future>, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<Bound<'py, PyAny>> {
    let [future, waiter] = args.positional() else {
        return Err(PyTypeError::new_err(format!(
            "{} expected 2 arguments, got {}",
            function.name().to_string_lossy(),
            args.positional().len()
        )));
    };
    match kind::cast::<Future>(future) {
        Some(future) if can_wait(waiter)? => {
            ours(future, waiter)?;
            Ok(module.py().None().into_bound(module.py()))
        }
        _ => patch::call_original(module, function, &[future, waiter]),
    }
}

/// Whether links to it are kept: asyncio leaves out what is neither a future nor a task by type.
fn can_wait(waiter: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(kind::cast::<Future>(waiter).is_some()
        || waiter.get_type().is_subclass(names::ASYNCIO_FUTURE.get(waiter.py())?)?)
}
