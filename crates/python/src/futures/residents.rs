//! What stands in a future's callbacks itself, beside tasks: no callable is made for it until
//! Python looks, and no handle at all.
//!
//! An entry of the queue is two words, the future and a verb, and the verb has to find whom to
//! tell. So who is told stays in the future that is done until the entry's turn comes. By then
//! nobody sees callbacks any more.

use std::ffi::CStr;

use batonloop_cpython::Outcome;
use batonloop_cpython::context;
use batonloop_cpython::kind::shields::Shield;
use batonloop_cpython::kind::waitings::Waiting;
use batonloop_cpython::kind::{self, Fields, Gathering, Kind, Task};
use batonloop_cpython::method::{BoundFunction, Method};
use batonloop_cpython::slot::Slot;
use batonloop_cpython::streams::Serving;
use batonloop_cpython::taskgroups::TaskGroup;
use pyo3::types::{
    PyAny, PyAnyMethods, PyList, PyListMethods, PyWeakrefMethods, PyWeakrefReference,
};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::{PyFuture, append_callback, schedule, stage};
use crate::events::{self, Arguments, Callback};
use crate::exceptions;
use crate::host::{EventLoop, Verb};
use crate::names::{self, none};

/// What stands in a future's callbacks itself, beside tasks; its own file says how it is told.
pub(crate) trait Resident: Kind {
    /// The word for its turn in messages and traces.
    const VERB: &'static str;

    /// The callable that stands for it where Python looks.
    fn callable<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>>;

    /// The context in which it is told, where none stands beside it in the future.
    fn context<'py>(this: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>>;

    /// Deals with a future that is done, if that needs no context; else false.
    #[inline]
    fn told_plainly<'py>(_: &Bound<'py, Self>, _: &PyFuture<'py>) -> PyResult<bool> {
        Ok(false)
    }

    /// Deals with a future of any class that is done, in its context.
    fn told<'py>(this: &Bound<'py, Self>, future: &Bound<'py, PyAny>) -> PyResult<()>;
}

/// A [`Resident`] to those who do not know which.
pub(super) struct Table {
    /// The verb of the future in the queue: it takes out of the future whom to tell.
    verb: Verb,
    /// See [`Resident::callable`].
    pub(super) callable: for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    context: for<'py> fn(&Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>>,
}

impl Table {
    const fn of<K: Resident>() -> &'static Self {
        const {
            &Self {
                verb: Verb {
                    name: K::VERB,
                    run: run::<K>,
                    is_cancelled: |_| false,
                    describe: |object| Ok(object.repr()?.into_any()),
                },
                callable: |object| match kind::cast_exact::<K>(object) {
                    Some(this) => K::callable(this),
                    None => Err(exceptions::stranger(object)),
                },
                context: |object| K::context(kind::cast_exact(object)?),
            }
        }
    }

    /// The context in which `object` is told; `beside` is what stands beside it.
    pub(super) fn context_of<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        beside: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        beside.filter(|context| !context.is_none()).or_else(|| (self.context)(object))
    }
}

/// How a callback is told that is neither a callable nor a task.
///
/// Only a task group has a context beside it.
#[inline(always)]
pub(super) fn resident(
    callback: &Bound<'_, PyAny>,
    context: Option<&Bound<'_, PyAny>>,
) -> Option<&'static Table> {
    if kind::is_exact::<TaskGroup>(callback) {
        return Some(Table::of::<TaskGroup>());
    }
    if context.is_some_and(|context| !context.is_none()) {
        return None;
    }
    if kind::is_exact::<Gathering>(callback) {
        return Some(Table::of::<Gathering>());
    }
    if kind::is_exact::<Waiting>(callback) {
        return Some(Table::of::<Waiting>());
    }
    if kind::is_exact::<Shield>(callback) {
        return Some(Table::of::<Shield>());
    }
    if kind::is_exact::<Serving>(callback) {
        return Some(Table::of::<Serving>());
    }
    None
}

/// Queues a future for the one whom its verb will find in it, if that one's place is free.
#[inline]
pub(super) fn schedule_resident<'py>(
    ours: &EventLoop,
    future: &PyFuture<'py>,
    resident: &'static Table,
    callback: Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> Outcome {
    let fields = future.fields();
    if fields.callback0.is_empty() && fields.context0.is_empty() {
        fields.callback0.fill(callback);
        fields.context0.fill(context.unwrap_or_else(|| none(future.py())));
        ours.queue(future.as_any().clone(), &resident.verb);
        return Ok(());
    }
    let context = resident.context_of(&callback, context);
    schedule(future, (resident.callable)(&callback)?, context)
}

/// The turn of a future that is done: whom it finds in itself is told.
///
/// It may be pending, or another may stand in it: then it was begun anew, and the other's turn will
/// come.
fn run<K: Resident>(object: Bound<'_, PyAny>, _: &EventLoop) -> Outcome {
    let py = object.py();
    let Some(future) = kind::cast_exact_future(&object) else {
        return Err(exceptions::stranger(&object).into());
    };
    let fields = future.fields();
    if !stage(fields).is_done() {
        return Ok(());
    }
    let Some(found) = fields.callback0.take(py) else {
        return Ok(());
    };
    let Some(this) = kind::cast_exact::<K>(&found) else {
        fields.callback0.fill(found);
        return Ok(());
    };
    let beside = fields.context0.take(py);
    let context = || Table::of::<K>().context_of(this.as_any(), beside.clone());
    match tell_one(this, future, context) {
        Ok(()) => Ok(()),
        Err(error) => report(this, future, context(), *error),
    }
}

/// Tells one of a future that is done, in its context if need be.
#[inline(always)]
fn tell_one<'py, K: Resident>(
    this: &Bound<'py, K>,
    future: &PyFuture<'py>,
    context: impl FnOnce() -> Option<Bound<'py, PyAny>>,
) -> Outcome {
    if K::told_plainly(this, future)? {
        return Ok(());
    }
    match context() {
        Some(context) => context::enter(&context, |_| Ok(K::told(this, future.as_any())?)),
        // The collector has cleared it: there is nobody to be told any more.
        None => Ok(()),
    }
}

/// One that raised when its turn came, in the words of a callback that raised.
#[cold]
fn report<'py, K: Resident>(
    this: &Bound<'py, K>,
    future: &PyFuture<'py>,
    context: Option<Bound<'py, PyAny>>,
    error: PyErr,
) -> Outcome {
    let Some(event_loop) = future.fields().event_loop.get(future.py()) else {
        return Err(error.into());
    };
    let handle = events::new_handle(Callback {
        callback: K::callable(this)?,
        arguments: Arguments::One(future.as_any().clone()),
        context,
        event_loop,
        source_traceback: None,
    })?;
    events::report(&handle, error)
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

/// Lets one be told of a future of any class, which may be done already.
pub(crate) fn tell<'py, K: Resident>(
    future: &Bound<'py, PyAny>,
    this: &Bound<'py, K>,
) -> PyResult<()> {
    let Some(own) = kind::cast_exact_future(future) else {
        let name = intern!(future.py(), "add_done_callback");
        return future.call_method1(name, (K::callable(this)?,)).map(drop);
    };
    tell_own(own, this.as_any(), None)
}

/// Lets one be told of a future of ours, which may be done already.
#[inline]
pub(crate) fn tell_own<'py>(
    future: &PyFuture<'py>,
    resident: &Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    if stage(future.fields()).is_done() {
        return schedule(future, resident.clone(), context).map_err(|error| *error);
    }
    add_resident(future, resident, context)
}

/// Takes one out of the callbacks of a future of any class, unless that is done.
pub(crate) fn tell_no_more<'py, K: Resident>(
    future: &Bound<'py, PyAny>,
    this: &Bound<'py, K>,
) -> PyResult<()> {
    match kind::cast_exact_future(future) {
        Some(own) => remove_resident(own, this.as_any()),
        None => {
            let name = intern!(future.py(), "remove_done_callback");
            future.call_method1(name, (K::callable(this)?,)).map(drop)
        }
    }
}

/// Takes what has no callable out of the callbacks of a future that is not done.
fn remove_resident<'py>(future: &PyFuture<'py>, resident: &Bound<'py, PyAny>) -> PyResult<()> {
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

/// The function that a [`Resident::callable`] is made of, by its name.
pub(crate) fn telling<K: Resident>(name: &'static CStr) -> BoundFunction<K> {
    BoundFunction::new(Method::one_arg(
        name,
        c"A future is done.",
        |this: &Bound<'_, K>, future: &Bound<'_, PyAny>| {
            K::told(this, future)?;
            Ok(none(this.py()))
        },
    ))
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
