//! What stands in a future's callbacks itself, beside tasks: it has no callable, needs no handle.
//!
//! An entry of the queue is two words, the future and a verb, and the verb has to find whom to
//! tell. So who is told stays in the future that is done until the entry's turn comes. By then
//! nobody sees callbacks any more.

use batonloop_cpython::Outcome;
use batonloop_cpython::cell::GilCell;
use batonloop_cpython::kind::waitings::Waiting;
use batonloop_cpython::kind::{self, Fields, Gathering};
use pyo3::types::{PyAny, PyAnyMethods, PyList, PyListMethods};
use pyo3::{Bound, PyResult};

use super::{PyFuture, append_callback, schedule, stage};
use crate::host::{EventLoop, Verb};
use crate::names::none;

/// How anything else that stands in a future's callbacks itself is told; its own file says so once.
pub(crate) struct Resident {
    /// The verb of the future in the queue: it takes out of the future whom to tell.
    pub(crate) verb: &'static Verb,
    /// The callable that stands for it where Python looks.
    pub(crate) callable: for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    /// The context to call that in.
    pub(crate) context: for<'py> fn(&Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>>,
}

/// See [`Resident`]: what `gather()` gives.
pub(crate) static GATHERING: GilCell<Option<&'static Resident>> = GilCell::new(None);

/// See [`Resident`]: what `wait()` keeps.
pub(crate) static WAITING: GilCell<Option<&'static Resident>> = GilCell::new(None);

/// How a callback is told that is neither a callable nor a task.
#[inline(always)]
pub(super) fn resident(
    callback: &Bound<'_, PyAny>,
    context: Option<&Bound<'_, PyAny>>,
) -> Option<&'static Resident> {
    if context.is_some_and(|context| !context.is_none()) {
        return None;
    }
    if kind::is_exact::<Gathering>(callback) {
        return GATHERING.get(callback.py());
    }
    if kind::is_exact::<Waiting>(callback) { WAITING.get(callback.py()) } else { None }
}

/// Queues a future for the one whom its verb will find in it, if that one's place is free.
#[inline]
pub(super) fn schedule_resident<'py>(
    ours: &EventLoop,
    future: &PyFuture<'py>,
    resident: &'static Resident,
    callback: Bound<'py, PyAny>,
) -> Outcome {
    let fields = future.fields();
    if fields.callback0.is_empty() && fields.context0.is_empty() {
        fields.callback0.fill(callback);
        fields.context0.fill(none(future.py()));
        ours.queue(future.as_any().clone(), resident.verb);
        return Ok(());
    }
    let context = (resident.context)(&callback);
    schedule(future, (resident.callable)(&callback)?, context)
}

/// Takes out of a future that is done whom its verb has to tell.
#[inline]
pub(crate) fn take_resident<'py>(future: &PyFuture<'py>) -> Option<Bound<'py, PyAny>> {
    let py = future.py();
    let fields = future.fields();
    if !stage(fields).is_done() {
        return None;
    }
    let resident = fields.callback0.take(py);
    fields.context0.clear(py);
    resident
}

/// Lets what has no callable be told of a pending future.
#[inline]
pub(crate) fn add_resident<'py>(
    future: &PyFuture<'py>,
    resident: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let fields = future.fields();
    if fields.callback0.is_empty() && fields.callbacks.is_empty() {
        fields.callback0.fill(resident.clone());
        fields.context0.set(none(future.py()));
        return Ok(());
    }
    append_callback(future, resident.clone(), none(future.py()))
}

/// Lets what has no callable be told of a future, which may be done already.
pub(crate) fn tell<'py>(future: &PyFuture<'py>, resident: &Bound<'py, PyAny>) -> PyResult<()> {
    if stage(future.fields()).is_done() {
        return schedule(future, resident.clone(), None).map_err(|error| *error);
    }
    add_resident(future, resident)
}

/// Takes what has no callable out of the callbacks of a future that is not done.
pub(crate) fn tell_no_more<'py>(
    future: &PyFuture<'py>,
    resident: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = future.py();
    let fields = future.fields();
    if stage(fields).is_done() {
        return Ok(());
    }
    if fields.callback0.holds(resident) {
        let first = fields.callback0.take(py);
        fields.context0.clear(py);
        drop(first);
    }
    let Some(list) = fields.callbacks.get(py) else {
        return Ok(());
    };
    let list = list.cast::<PyList>()?;
    for index in (0..list.len()).rev() {
        let pair = list.get_item(index)?;
        if pair.get_item(0)?.is(resident) {
            list.del_item(index)?;
        }
    }
    if list.is_empty() {
        fields.callbacks.clear(py);
    }
    Ok(())
}
