//! Future: a result that somebody will set, and those who are to be told.
//!
//! The states and what may follow what are `batonloop_core::Stage`; here is what Python sees.
//!
//! A task of ours that waits stands in `callback0` itself, with None for a context: waking it needs
//! no callable, no handle and no call. Whoever looks at the callbacks from outside gets a callable
//! in its place ([`present`]). So does what `gather()` gives: see [`residents`].

use batonloop_core::{InvalidState, Stage};
use batonloop_cpython::Outcome;
use batonloop_cpython::cell::GilCell;
use batonloop_cpython::context;
use batonloop_cpython::coroutine;
use batonloop_cpython::kind::{self, Fields, Future, Task};
use batonloop_cpython::layout::FutureFields;
use batonloop_cpython::method::{self, Args, Iteration};
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyDict, PyDictMethods, PyList, PyListMethods, PyTuple, PyTupleMethods,
    PyType, PyTypeMethods,
};
use pyo3::{Bound, IntoPyObject, PyErr, PyResult, Python, intern};

use crate::events::{self, Arguments, Callback};
use crate::exceptions;
use crate::host::{EventLoop, Verb};
use crate::names::{self, boolean, none};

/// How a task of ours that waits for a future is told; `tasks.rs` says so once.
pub(crate) struct Waiter {
    /// Its verb in the queue.
    pub(crate) verb: &'static Verb,
    /// The callable that stands for it where Python looks.
    pub(crate) callable: for<'py> fn(&Bound<'py, Task>) -> PyResult<Bound<'py, PyAny>>,
}

/// See [`Waiter`].
pub(crate) static WAITER: GilCell<Option<&'static Waiter>> = GilCell::new(None);

#[inline(always)]
fn waiter(py: Python<'_>) -> Outcome<&'static Waiter> {
    WAITER.get(py).ok_or_else(not_initialised)
}

#[cold]
fn not_initialised() -> Box<PyErr> {
    PyRuntimeError::new_err("batonloop is not initialised").into()
}

/// A future of ours, a task included.
pub(crate) type PyFuture<'py> = Bound<'py, Future>;

/// The stage of a future's life.
#[inline]
pub(crate) fn stage(fields: &FutureFields) -> Stage {
    match fields.state() {
        0 => Stage::Pending,
        1 => Stage::Cancelled,
        _ => Stage::Finished,
    }
}

#[inline]
fn ensure_initialised(future: &PyFuture<'_>) -> PyResult<()> {
    if future.fields().event_loop.is_empty() {
        return Err(exceptions::uninitialised("Future"));
    }
    Ok(())
}

#[inline(always)]
fn settle(future: &PyFuture<'_>, to: Stage) -> Outcome {
    let fields = future.fields();
    match stage(fields).settle(to) {
        Ok(stage) => {
            fields.set_state(stage.number().into());
            Ok(())
        }
        Err(InvalidState) => Err(exceptions::invalid_state(future.py(), "invalid state").into()),
    }
}

// ---------------------------------------------------------------------------------------------
// Born
// ---------------------------------------------------------------------------------------------

/// Gives a fresh or an old future its loop, and everything else the values of a fresh one.
pub(crate) fn initialise<'py>(
    future: &PyFuture<'py>,
    event_loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = future.py();
    let fields = future.fields();
    refuse_a_second_time(future)?;
    for slot in [
        &fields.event_loop,
        &fields.callback0,
        &fields.context0,
        &fields.callbacks,
        &fields.result,
        &fields.exception,
        &fields.exception_tb,
        &fields.source_traceback,
        &fields.cancel_message,
        &fields.cancelled_exc,
    ] {
        slot.clear(py);
    }
    #[cfg(Py_3_14)]
    {
        fields.awaited_by.clear(py);
        fields.set_awaited_by_is_set(false);
    }
    fields.set_state(0);
    fields.set_log_traceback(false);
    fields.set_blocking(false);
    let event_loop = match event_loop {
        Some(event_loop) if !event_loop.is_none() => event_loop.clone(),
        _ => names::GET_EVENT_LOOP.get(py)?.call0()?,
    };
    let debug = match EventLoop::of(&event_loop) {
        Some(ours) => ours.debug.get(py),
        None => event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()?,
    };
    fields.event_loop.set(event_loop);
    if debug {
        fields.source_traceback.set(names::EXTRACT_STACK.get(py)?.call0()?);
    }
    Ok(())
}

/// Before 3.15 an object may be initialised anew.
#[cfg(not(Py_3_15))]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
fn refuse_a_second_time(_: &PyFuture<'_>) -> PyResult<()> {
    Ok(())
}

/// Since 3.15 an object is initialised once.
#[cfg(Py_3_15)]
fn refuse_a_second_time(future: &PyFuture<'_>) -> PyResult<()> {
    if future.fields().event_loop.is_empty() {
        return Ok(());
    }
    // The name as the interpreter has it in the type: with its module for a type made in C.
    let object = future.as_any();
    let own = kind::is_exact::<Future>(object) || kind::is_exact::<Task>(object);
    let module = if own { "batonloop." } else { "" };
    let class = batonloop_cpython::verify::class_name(object);
    Err(PyRuntimeError::new_err(format!("{module}{class} object is already initialized")))
}

/// `Future(*, loop=None)`.
fn init<'py>(
    future: &PyFuture<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    if !args.is_empty() {
        return Err(PyTypeError::new_err("Future() takes no positional arguments"));
    }
    let mut event_loop = None;
    for (name, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
        if name.extract::<&str>()? != "loop" {
            return Err(method::unexpected("Future", &name.to_string()));
        }
        event_loop = Some(value);
    }
    initialise(future, event_loop.as_ref())
}

/// A new future on `event_loop`, which is ours and not in debug mode.
#[inline]
pub(crate) fn new<'py>(event_loop: Bound<'py, PyAny>) -> PyResult<PyFuture<'py>> {
    let future = kind::allocate::<Future>(event_loop.py())?;
    future.fields().event_loop.fill(event_loop);
    Ok(future)
}

// ---------------------------------------------------------------------------------------------
// Settled
// ---------------------------------------------------------------------------------------------

/// `set_result()`, for a task too.
#[inline]
pub(crate) fn finish<'py>(future: &PyFuture<'py>, result: Bound<'py, PyAny>) -> Outcome {
    settle(future, Stage::Finished)?;
    future.fields().result.set(result);
    schedule_callbacks(future)
}

/// `set_result()` of a pending future by a step that runs in the future's own loop.
#[inline(always)]
pub(crate) fn finish_in<'py>(
    ours: &EventLoop,
    future: &PyFuture<'py>,
    result: Bound<'py, PyAny>,
) -> Outcome {
    let py = future.py();
    let fields = future.fields();
    if !fields.callbacks.is_empty() || !ours.is_direct.get(py) {
        return finish(future, result);
    }
    settle(future, Stage::Finished)?;
    fields.result.set(result);
    let Some(first) = fields.callback0.take(py) else {
        return Ok(());
    };
    // Any other waiter is known to `schedule`.
    if kind::is_exact::<Task>(&first) && fields.context0.holds_none(py) {
        fields.context0.clear(py);
        ours.queue(first, waiter(py)?.verb);
        return Ok(());
    }
    let context = fields.context0.take(py);
    if let Some(resident) = resident(&first, context.as_ref()) {
        return schedule_resident(ours, future, resident, first, context);
    }
    schedule(future, first, context)
}

/// Whether a callback is a task of ours that waits.
#[inline]
fn is_waiter(callback: &Bound<'_, PyAny>, context: Option<&Bound<'_, PyAny>>) -> bool {
    context.is_none_or(|context| context.is_none())
        && (kind::is_exact::<Task>(callback) || kind::cast::<Task>(callback).is_some())
}

/// `set_exception()`, for a task too.
pub(crate) fn fail<'py>(future: &PyFuture<'py>, exception: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = future.py();
    let pending = || match stage(future.fields()) {
        Stage::Pending => Ok(()),
        _ => Err(exceptions::invalid_state(py, "invalid state")),
    };
    pending()?;
    let exception = if exception.is_instance_of::<PyType>()
        && exception.cast::<PyType>()?.is_subclass_of::<PyBaseException>()?
    {
        let made = exception.call0()?;
        pending()?;
        made
    } else {
        exception.clone()
    };
    if !exception.is_instance_of::<PyBaseException>() {
        return Err(PyTypeError::new_err("invalid exception object"));
    }
    let exception = refuse_stop_iteration(exception)?;
    let traceback = coroutine::traceback_of(&exception);
    let fields = future.fields();
    settle(future, Stage::Finished).map_err(|error| *error)?;
    fields.exception.set(exception);
    if !traceback.is_none() {
        fields.exception_tb.set(traceback);
    }
    schedule_callbacks(future).map_err(|error| *error)?;
    fields.set_log_traceback(true);
    Ok(())
}

const STOP_ITERATION: &str =
    "StopIteration interacts badly with generators and cannot be raised into a Future";

/// A `StopIteration` would end the coroutine that awaits the future instead of failing in it.
#[cfg(not(Py_3_13))]
fn refuse_stop_iteration(exception: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if exception.is_exact_instance_of::<PyStopIteration>() {
        return Err(PyTypeError::new_err(STOP_ITERATION));
    }
    Ok(exception)
}

/// A `StopIteration` would end the coroutine that awaits the future instead of failing in it: so
/// a RuntimeError that it causes is set in its place.
#[cfg(Py_3_13)]
fn refuse_stop_iteration(exception: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if !exception.is_instance_of::<PyStopIteration>() {
        return Ok(exception);
    }
    let py = exception.py();
    let error = py.get_type::<PyRuntimeError>().call1((STOP_ITERATION,))?;
    error.setattr(intern!(py, "__cause__"), &exception)?;
    error.setattr(intern!(py, "__context__"), &exception)?;
    Ok(error)
}

/// `cancel()` of a future, for a task that is really over too.
pub(crate) fn cancel<'py>(
    future: &PyFuture<'py>,
    message: Option<Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let py = future.py();
    let fields = future.fields();
    fields.set_log_traceback(false);
    let Some(stage) = stage(fields).cancel() else {
        return Ok(false);
    };
    fields.set_state(stage.number().into());
    fields.cancel_message.set(message.unwrap_or_else(|| none(py)));
    schedule_callbacks(future).map_err(|error| *error)?;
    Ok(true)
}

/// Queues all callbacks, in the order in which they were added.
#[inline]
fn schedule_callbacks(future: &PyFuture<'_>) -> Outcome {
    let py = future.py();
    let fields = future.fields();
    let more = fields.callbacks.take(py);
    if let Some(first) = fields.callback0.take(py) {
        let context = fields.context0.take(py);
        schedule(future, first, context)?;
    }
    match more {
        Some(more) => schedule_list(future, &more),
        None => Ok(()),
    }
}

#[cold]
fn schedule_list<'py>(future: &PyFuture<'py>, list: &Bound<'py, PyAny>) -> Outcome {
    for (callback, context) in pairs(list)? {
        schedule(future, callback, Some(context))?;
    }
    Ok(())
}

/// The `(callback, context)` of a list of callbacks.
fn pairs<'py>(list: &Bound<'py, PyAny>) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
    let list = list.cast::<PyList>()?;
    let mut pairs = Vec::with_capacity(list.len());
    for pair in list.iter() {
        let pair = pair.cast_into::<PyTuple>()?;
        pairs.push((pair.get_item(0)?, pair.get_item(1)?));
    }
    Ok(pairs)
}

/// Queues one callback: a task of ours that waits, or a callable.
#[inline]
fn schedule<'py>(
    future: &PyFuture<'py>,
    callback: Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> Outcome {
    let py = future.py();
    let event_loop =
        future.fields().event_loop.get(py).ok_or_else(|| exceptions::uninitialised("Future"))?;
    let Some(ours) = EventLoop::direct(&event_loop) else {
        return schedule_politely(future, &event_loop, &callback, context.as_ref());
    };
    if is_waiter(&callback, context.as_ref()) {
        ours.queue(callback, waiter(py)?.verb);
        return Ok(());
    }
    if let Some(resident) = resident(&callback, context.as_ref()) {
        return schedule_resident(ours, future, resident, callback, context);
    }
    let context = context.filter(|context| !context.is_none());
    let arguments = Arguments::One(future.as_any().clone());
    let callback = Callback {
        callback,
        arguments,
        context,
        event_loop: event_loop.clone(),
        source_traceback: None,
    };
    let handle = events::new_handle(callback)?;
    ours.queue(handle.into_any(), &events::RUN);
    Ok(())
}

/// Queues one callback through the loop's public method.
#[cold]
fn schedule_politely<'py>(
    future: &PyFuture<'py>,
    event_loop: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    context: Option<&Bound<'py, PyAny>>,
) -> Outcome {
    let py = future.py();
    let call_soon = intern!(py, "call_soon");
    let keywords = PyDict::new(py);
    let task = kind::cast::<Task>(callback).filter(|_| is_waiter(callback, context));
    if let Some(resident) = resident(callback, context) {
        let context = resident.context_of(callback, context.cloned());
        keywords.set_item(intern!(py, "context"), context)?;
        let callable = (resident.callable)(callback)?;
        event_loop.call_method(call_soon, (callable, future), Some(&keywords))?;
        return Ok(());
    }
    let Some(task) = task else {
        keywords.set_item(intern!(py, "context"), context)?;
        event_loop.call_method(call_soon, (callback, future), Some(&keywords))?;
        return Ok(());
    };
    if let Some(context) = task.fields().context.get(py) {
        keywords.set_item(intern!(py, "context"), context)?;
    }
    let callable = (waiter(py)?.callable)(task)?;
    event_loop.call_method(call_soon, (callable, future), Some(&keywords))?;
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// Asked
// ---------------------------------------------------------------------------------------------

/// The `CancelledError` to raise; the one that ended a task comes out once.
pub(crate) fn make_cancelled_error<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    let fields = future.fields();
    match fields.cancelled_exc.take(py) {
        Some(kept) => Ok(kept),
        None => exceptions::new_cancelled(fields.cancel_message.get(py).as_ref(), py),
    }
}

#[cold]
fn cancelled_error(future: &PyFuture<'_>) -> PyErr {
    make_cancelled_error(future)
        .map_or_else(|error| error, |exception| coroutine::raised(&exception))
}

/// `result()`.
pub(crate) fn result<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    let fields = future.fields();
    match stage(fields) {
        Stage::Finished if fields.exception.is_empty() => {
            fields.set_log_traceback(false);
            Ok(fields.result.get(py).unwrap_or_else(|| none(py)))
        }
        Stage::Finished => {
            fields.set_log_traceback(false);
            let exception = fields.exception.get(py).unwrap_or_else(|| none(py));
            let traceback = fields.exception_tb.take(py).unwrap_or_else(|| none(py));
            coroutine::set_traceback(&exception, &traceback);
            Err(coroutine::raised(&exception))
        }
        Stage::Cancelled => Err(cancelled_error(future)),
        Stage::Pending => Err(exceptions::invalid_state(py, "Result is not set.")),
    }
}

fn ask_result<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_asked_in_time(future)?;
    result(future)
}

/// Asking a future that was never initialised is asking too early.
fn ensure_asked_in_time(future: &PyFuture<'_>) -> PyResult<()> {
    if future.fields().event_loop.is_empty() {
        return Err(exceptions::invalid_state(future.py(), "Future object is not initialized."));
    }
    Ok(())
}

fn ask_exception<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_asked_in_time(future)?;
    let py = future.py();
    let fields = future.fields();
    match stage(fields) {
        Stage::Cancelled => Err(cancelled_error(future)),
        Stage::Pending => Err(exceptions::invalid_state(py, "Exception is not set.")),
        Stage::Finished => {
            fields.set_log_traceback(false);
            Ok(fields.exception.get(py).unwrap_or_else(|| none(py)))
        }
    }
}

fn set_result<'py>(
    future: &PyFuture<'py>,
    result: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    finish(future, result.clone()).map_err(|error| *error)?;
    Ok(none(future.py()))
}

fn set_exception<'py>(
    future: &PyFuture<'py>,
    exception: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    fail(future, exception)?;
    Ok(none(future.py()))
}

fn cancel_method<'py>(future: &PyFuture<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let [message] = args.parse("cancel", ["msg"], 1)?;
    ensure_initialised(future)?;
    let cancelled = cancel(future, message.cloned())?;
    Ok(boolean(future.py(), cancelled))
}

/// `add_done_callback()`: without a context in a copy of the current one, with None in a copy of
/// the one that is current when the future is settled.
pub(crate) fn add_callback<'py>(
    future: &PyFuture<'py>,
    callback: Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = future.py();
    let context = match context {
        Some(context) => context,
        None => context::copy_current(py)?,
    };
    let fields = future.fields();
    if stage(fields).is_done() {
        return schedule(future, callback, Some(context)).map_err(|error| *error);
    }
    if fields.callback0.is_empty() && fields.callbacks.is_empty() {
        fields.callback0.set(callback);
        fields.context0.set(context);
        return Ok(());
    }
    append_callback(future, callback, context)
}

#[cold]
fn append_callback<'py>(
    future: &PyFuture<'py>,
    callback: Bound<'py, PyAny>,
    context: Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = future.py();
    let fields = future.fields();
    let pair = PyTuple::new(py, [callback, context])?;
    match fields.callbacks.get(py) {
        Some(list) => list.cast::<PyList>()?.append(pair),
        None => {
            fields.callbacks.set(PyList::new(py, [pair])?.into_any());
            Ok(())
        }
    }
}

/// Whether a task of ours may stand in the callbacks itself: the future is pending, and its loop
/// wakes tasks without a call.
#[inline]
pub(crate) fn may_wait_directly(future: &PyFuture<'_>) -> bool {
    let fields = future.fields();
    !stage(fields).is_done()
        && fields
            .event_loop
            .get(future.py())
            .is_some_and(|event_loop| EventLoop::direct(&event_loop).is_some())
}

/// Whether it has a result.
#[inline]
pub(crate) fn has_result(future: &PyFuture<'_>) -> bool {
    let fields = future.fields();
    stage(fields) == Stage::Finished && fields.exception.is_empty()
}

/// Lets a task of ours wait for a pending future.
#[inline(always)]
pub(crate) fn add_waiter<'py>(future: &PyFuture<'py>, task: &Bound<'py, Task>) -> Outcome {
    let fields = future.fields();
    if fields.callback0.is_empty() && fields.callbacks.is_empty() {
        fields.callback0.fill(task.as_any().clone());
        fields.context0.set(none(future.py()));
        return Ok(());
    }
    Ok(append_callback(future, task.as_any().clone(), none(future.py()))?)
}

fn add_done_callback<'py>(
    future: &PyFuture<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    let (callback, context) = match args.positional() {
        [callback] if !args.has_keywords() => (callback, None),
        _ => {
            let [callback, context] = args.parse("add_done_callback", ["fn", "context"], 1)?;
            let callback = callback.ok_or_else(|| method::missing("add_done_callback", "fn", 1))?;
            (callback, context.cloned())
        }
    };
    if future.fields().event_loop.is_empty() {
        return Err(PyRuntimeError::new_err("uninitialized Future object"));
    }
    let (callback, context) = from_outside(callback, context)?;
    add_callback(future, callback, context)?;
    Ok(none(py))
}

/// The context that Python sees beside a callback.
fn present_context<'py>(
    callback: &Bound<'py, PyAny>,
    context: Option<Bound<'py, PyAny>>,
) -> Option<Bound<'py, PyAny>> {
    if let Some(resident) = resident(callback, context.as_ref()) {
        return resident.context_of(callback, context);
    }
    context.filter(|context| !context.is_none()).or_else(|| {
        kind::cast::<Task>(callback).and_then(|task| task.fields().context.get(callback.py()))
    })
}

/// The callable that Python sees in a callback's place.
fn present<'py>(
    callback: &Bound<'py, PyAny>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if is_waiter(callback, context)
        && let Some(task) = kind::cast::<Task>(callback)
    {
        return (waiter(callback.py()).map_err(|error| *error)?.callable)(task);
    }
    if let Some(resident) = resident(callback, context) {
        return (resident.callable)(callback);
    }
    Ok(callback.clone())
}

/// Any `==` may run Python that changes the callbacks; what is compared is a copy.
fn remove_done_callback<'py>(
    future: &PyFuture<'py>,
    callback: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    let py = future.py();
    let fields = future.fields();
    let mut removed = 0_usize;
    if stage(fields).is_done() {
        return Ok(removed.into_pyobject(py)?.into_any());
    }
    if let Some(first) = fields.callback0.get(py) {
        let shown = present(&first, fields.context0.get(py).as_ref())?;
        if shown.eq(callback)? && fields.callback0.holds(&first) {
            let context = fields.context0.take(py);
            fields.callback0.clear(py);
            drop(context);
            removed += 1;
        }
    }
    if let Some(list) = fields.callbacks.get(py) {
        let list = list.cast_into::<PyList>()?;
        let before: Vec<_> = list.iter().collect();
        let mut kept = Vec::with_capacity(before.len());
        for pair in &before {
            let (registered, context) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            if present(&registered, Some(&context))?.eq(callback)? {
                removed += 1;
            } else {
                kept.push(pair.clone());
            }
        }
        if fields.callbacks.holds(&list) {
            let all = before.len().min(list.len());
            if kept.is_empty() && all == list.len() {
                fields.callbacks.clear(py);
            } else if kept.len() != before.len() {
                list.set_slice(0, all, PyList::new(py, kept)?.as_any())?;
            }
        }
    }
    Ok(removed.into_pyobject(py)?.into_any())
}

// ---------------------------------------------------------------------------------------------
// Awaited
// ---------------------------------------------------------------------------------------------

/// One step of an `await`: a pending future yields itself once, a done one returns.
#[inline(always)]
pub(crate) fn iterate<'py>(future: &PyFuture<'py>) -> PyResult<Iteration<'py>> {
    let fields = future.fields();
    if stage(fields).is_done() {
        return ended(future);
    }
    if fields.event_loop.is_empty() || fields.blocking() {
        return Err(refuse_await(future));
    }
    fields.set_blocking(true);
    Ok(Iteration::Yield(future.as_any().clone()))
}

/// The last step: most results are None.
#[inline(always)]
fn ended<'py>(future: &PyFuture<'py>) -> PyResult<Iteration<'py>> {
    let fields = future.fields();
    if has_result(future) && fields.result.holds_none(future.py()) {
        fields.set_log_traceback(false);
        return Ok(Iteration::End);
    }
    ended_with(future)
}

/// The same with a value or an exception.
#[inline(never)]
fn ended_with<'py>(future: &PyFuture<'py>) -> PyResult<Iteration<'py>> {
    Ok(match result(future)? {
        value if value.is_none() => Iteration::End,
        value => Iteration::Return(value),
    })
}

/// Why a pending future cannot be awaited.
#[cold]
fn refuse_await(future: &PyFuture<'_>) -> PyErr {
    let refusal = || PyRuntimeError::new_err("await wasn't used with future");
    ensure_initialised(future).err().unwrap_or_else(refusal)
}

/// What `await` drives: the future itself. A subclass, which may define `__next__`, gets an
/// iterator of its own.
fn awaited<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    let object = future.as_any();
    if kind::is_exact::<Future>(object) || kind::is_exact::<Task>(object) {
        return Ok(object.clone());
    }
    new_iterator(future)
}

fn new_iterator<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    Ok(Bound::new(future.py(), FutureIter::new(future))?.into_any())
}

pub(crate) use iterator::FutureIter;

mod iterator;

pub(crate) use residents::{
    Resident, add_resident, remembered, tell, tell_no_more, tell_own, telling,
};
use residents::{from_outside, resident, schedule_resident};

mod residents;

pub(crate) use class::{
    call_exception_handler, cannot_delete, make_type, report_unretrieved, truth_of,
};

mod class;

pub(crate) mod any;
