//! What stands in a future's callbacks itself, beside tasks: it has no callable, needs no handle.
//!
//! An entry of the queue is two words, the future and a verb, and the verb has to find whom to
//! tell. So who is told stays in the future that is done until the entry's turn comes. By then
//! nobody sees callbacks any more.

use batonloop_cpython::Outcome;
use batonloop_cpython::cell::GilCell;
#[cfg(not(Py_3_14))]
use batonloop_cpython::kind::shields::Shield;
use batonloop_cpython::kind::waitings::Waiting;
use batonloop_cpython::kind::{self, Fields, Gathering, Kind, Task};
use batonloop_cpython::slot::Slot;
use batonloop_cpython::taskgroups::TaskGroup;
use pyo3::types::{
    PyAny, PyAnyMethods, PyList, PyListMethods, PyWeakrefMethods, PyWeakrefReference,
};
use pyo3::{Bound, PyErr, PyResult, Python};

use super::{PyFuture, append_callback, schedule, stage};
use crate::events::{self, Arguments, Callback};
use crate::host::{EventLoop, Verb};
use crate::names::{self, none};

/// How anything else that stands in a future's callbacks itself is told; its own file says so once.
pub(crate) struct Resident {
    /// The verb of the future in the queue: it takes out of the future whom to tell.
    pub(crate) verb: &'static Verb,
    /// The callable that stands for it where Python looks.
    pub(crate) callable: for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    /// The context to call that in, where none stands beside it.
    pub(crate) context: for<'py> fn(&Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>>,
}

impl Resident {
    /// The context to call the callable in; `beside` is what stands beside it.
    pub(super) fn context_of<'py>(
        &self,
        callback: &Bound<'py, PyAny>,
        beside: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        beside.filter(|context| !context.is_none()).or_else(|| (self.context)(callback))
    }
}

/// See [`Resident`]: what `gather()` gives.
pub(crate) static GATHERING: GilCell<Option<&'static Resident>> = GilCell::new(None);
/// See [`Resident`]: a task group, with a context beside it.
pub(crate) static TASK_GROUP: GilCell<Option<&'static Resident>> = GilCell::new(None);

/// See [`Resident`]: what `wait()` keeps.
pub(crate) static WAITING: GilCell<Option<&'static Resident>> = GilCell::new(None);

/// See [`Resident`]: what `shield()` puts into its futures.
#[cfg(not(Py_3_14))]
pub(crate) static SHIELD: GilCell<Option<&'static Resident>> = GilCell::new(None);

/// How a callback is told that is neither a callable nor a task.
#[inline(always)]
pub(super) fn resident(
    callback: &Bound<'_, PyAny>,
    context: Option<&Bound<'_, PyAny>>,
) -> Option<&'static Resident> {
    if kind::is_exact::<TaskGroup>(callback) {
        return TASK_GROUP.get(callback.py());
    }
    if context.is_some_and(|context| !context.is_none()) {
        return None;
    }
    if kind::is_exact::<Gathering>(callback) {
        return GATHERING.get(callback.py());
    }
    if kind::is_exact::<Waiting>(callback) {
        return WAITING.get(callback.py());
    }
    #[cfg(not(Py_3_14))]
    if kind::is_exact::<Shield>(callback) {
        return SHIELD.get(callback.py());
    }
    None
}

/// Queues a future for the one whom its verb will find in it, if that one's place is free.
#[inline]
pub(super) fn schedule_resident<'py>(
    ours: &EventLoop,
    future: &PyFuture<'py>,
    resident: &'static Resident,
    callback: Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> Outcome {
    let fields = future.fields();
    if fields.callback0.is_empty() && fields.context0.is_empty() {
        fields.callback0.fill(callback);
        fields.context0.fill(context.unwrap_or_else(|| none(future.py())));
        ours.queue(future.as_any().clone(), resident.verb);
        return Ok(());
    }
    let context = resident.context_of(&callback, context);
    schedule(future, (resident.callable)(&callback)?, context)
}

/// Takes out of a future that is done whom its verb has to tell, which is of this kind, and what
/// stands beside it. Where another stands, the future was begun anew, and the other's turn will
/// come.
#[inline]
pub(crate) fn take_resident<'py, K: Kind>(
    future: &PyFuture<'py>,
) -> Option<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    let py = future.py();
    let fields = future.fields();
    if !stage(fields).is_done() {
        return None;
    }
    let resident = fields.callback0.take(py)?;
    if !kind::is_exact::<K>(&resident) {
        fields.callback0.fill(resident);
        return None;
    }
    Some((resident, fields.context0.take(py)))
}

/// What a program may have for a callback that is none: an object that would be taken for one of
/// those who stand in a future themselves. It is called, in a context, and says that it cannot be.
#[inline]
pub(super) fn from_outside<'py>(
    callback: &Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    if kind::is_exact::<TaskGroup>(callback) {
        return Ok((names::CALLING.get(callback.py())?.call1((callback,))?, context));
    }
    let context = context.filter(|given| {
        let stands_itself = kind::cast::<Task>(callback).is_some();
        !given.is_none() || !(stands_itself || resident(callback, None).is_some())
    });
    Ok((callback.clone(), context))
}

/// Lets what has no callable be told of a pending future.
#[inline]
pub(crate) fn add_resident<'py>(
    future: &PyFuture<'py>,
    resident: &Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let context = context.unwrap_or_else(|| none(future.py()));
    let fields = future.fields();
    if fields.callback0.is_empty() && fields.callbacks.is_empty() {
        fields.callback0.fill(resident.clone());
        fields.context0.set(context);
        return Ok(());
    }
    append_callback(future, resident.clone(), context)
}

/// Lets what has no callable be told of a future, which may be done already.
pub(crate) fn tell<'py>(future: &PyFuture<'py>, resident: &Bound<'py, PyAny>) -> PyResult<()> {
    if stage(future.fields()).is_done() {
        return schedule(future, resident.clone(), None).map_err(|error| *error);
    }
    add_resident(future, resident, None)
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

/// One that raised when its turn came, in the words of a callback that raised.
#[cold]
pub(crate) fn report<'py>(
    resident: &Resident,
    object: &Bound<'py, PyAny>,
    future: &PyFuture<'py>,
    error: PyErr,
) -> Outcome {
    let Some(event_loop) = future.fields().event_loop.get(future.py()) else {
        return Err(error.into());
    };
    let handle = events::new_handle(Callback {
        callback: (resident.callable)(object)?,
        arguments: Arguments::One(future.as_any().clone()),
        context: (resident.context)(object),
        event_loop,
        source_traceback: None,
    })?;
    events::report(&handle, error)
}

/// The callable that a slot remembers, as long as anybody has it: else a new one.
///
/// It is remembered by a weak reference, for it keeps alive what it stands for, and nothing shall
/// live until the next collection because somebody looked.
pub(crate) fn remembered<'py>(
    slot: &Slot,
    make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    py: Python<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    if let Some(reference) = slot.get(py)
        && let Some(callable) = reference.cast::<PyWeakrefReference>()?.upgrade()
    {
        return Ok(callable);
    }
    let callable = make()?;
    slot.set(PyWeakrefReference::new(&callable)?.into_any());
    Ok(callable)
}
