//! Handle and TimerHandle: callbacks that users see and may cancel.
//!
//! Both are real subclasses of asyncio's Python classes and keep everything in the slots of their
//! bases, so all that is cold (`__repr__`, comparison, `_run`) is inherited.

use batonloop_cpython::Outcome;
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields, Handle, Task, TimerHandle};
use batonloop_cpython::method::{Method, Property, TypeSlot};
use batonloop_cpython::timeouts::Timeout;
use batonloop_cpython::{call, context, coroutine, verify};
use pyo3::basic::CompareOp;
use pyo3::types::{PyAny, PyAnyMethods, PyBool, PyDict, PyFloat, PyTuple, PyType};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use crate::exceptions;
use crate::host::{EventLoop, Verb};
use crate::names::{self, boolean, none};

/// A handle whose turn has come.
pub(crate) static RUN: Verb = Verb {
    name: "run",
    run,
    is_cancelled: |object| as_handle(object).is_some_and(|handle| is_cancelled(handle)),
    describe,
};

/// A guarded handle whose turn has come.
#[cfg(Py_3_14)]
static RUN_GUARDED: Verb = Verb { run: run_guarded, ..RUN };

/// The verb for a handle that somebody queues by hand.
pub(crate) fn verb_of(handle: &Bound<'_, PyAny>) -> PyResult<&'static Verb> {
    #[cfg(Py_3_14)]
    if let Some(class) = guarded_class(handle.py())?
        && handle.is_instance(class)?
    {
        return Ok(&RUN_GUARDED);
    }
    let _ = handle;
    Ok(&RUN)
}

/// The arguments of a callback.
pub(crate) enum Arguments<'py> {
    /// One, which the handle keeps as it is.
    One(Bound<'py, PyAny>),
    /// A tuple of any number.
    Tuple(Bound<'py, PyAny>),
}

impl<'py> Arguments<'py> {
    /// Keeps borrowed arguments.
    #[inline(always)]
    pub(crate) fn keep(py: Python<'py>, arguments: &[Bound<'py, PyAny>]) -> PyResult<Self> {
        Ok(match arguments {
            [] => Self::Tuple(PyTuple::empty(py).into_any()),
            [one] => Self::One(one.clone()),
            more => Self::Tuple(PyTuple::new(py, more)?.into_any()),
        })
    }
}

/// What a new handle is made of.
pub(crate) struct Callback<'py> {
    pub(crate) callback: Bound<'py, PyAny>,
    pub(crate) arguments: Arguments<'py>,
    /// None for a copy of the current one.
    pub(crate) context: Option<Bound<'py, PyAny>>,
    pub(crate) event_loop: Bound<'py, PyAny>,
    /// The stack that makes it, in debug mode.
    pub(crate) source_traceback: Option<Bound<'py, PyAny>>,
}

impl<'py> Callback<'py> {
    /// A plain call: in a copy of the current context, of a loop that is not in debug mode.
    #[inline(always)]
    pub(crate) fn plain(
        event_loop: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        arguments: &[Bound<'py, PyAny>],
    ) -> PyResult<Self> {
        Ok(Self {
            callback: callback.clone(),
            arguments: Arguments::keep(event_loop.py(), arguments)?,
            context: None,
            event_loop: event_loop.clone(),
            source_traceback: None,
        })
    }

    /// Fills a fresh handle.
    #[inline(always)]
    fn fill(self, handle: &Bound<'py, Handle>) -> PyResult<()> {
        let py = handle.py();
        let context = match self.context {
            Some(context) => context,
            None => context::copy_current(py)?,
        };
        let fields = handle.fields();
        fields.callback.fill(self.callback);
        match self.arguments {
            Arguments::One(argument) => fields.arguments.fill(argument),
            Arguments::Tuple(arguments) => {
                fields.arguments.fill(arguments);
                fields.cancelled.fill(boolean(py, false));
            }
        }
        fields.context.fill(context);
        fields.event_loop.fill(self.event_loop);
        if let Some(source_traceback) = self.source_traceback {
            fields.source_traceback.fill(source_traceback);
        }
        Ok(())
    }
}

/// A new handle.
#[inline(always)]
pub(crate) fn new_handle<'py>(callback: Callback<'py>) -> PyResult<Bound<'py, Handle>> {
    let handle = kind::allocate::<Handle>(callback.event_loop.py())?;
    callback.fill(&handle)?;
    Ok(handle)
}

/// A new handle for a callback that comes from any thread, and its verb.
#[cfg(not(Py_3_14))]
#[inline]
pub(crate) fn new_threadsafe_handle<'py>(
    callback: Callback<'py>,
) -> PyResult<(Bound<'py, PyAny>, &'static Verb)> {
    Ok((new_handle(callback)?.into_any(), &RUN))
}

/// A new handle for a callback that comes from any thread, and its verb: a guarded handle, where
/// the running Python has such.
#[cfg(Py_3_14)]
pub(crate) fn new_threadsafe_handle<'py>(
    callback: Callback<'py>,
) -> PyResult<(Bound<'py, PyAny>, &'static Verb)> {
    let py = callback.event_loop.py();
    let Some(class) = guarded_class(py)? else {
        return Ok((new_handle(callback)?.into_any(), &RUN));
    };
    // The class's own constructor would ask the loop for what the callback already holds.
    let object = py.get_type::<PyAny>().call_method1(intern!(py, "__new__"), (class,))?;
    object.setattr(intern!(py, "_lock"), names::RLOCK.get(py)?.call0()?)?;
    callback.fill(object.cast::<Handle>()?)?;
    Ok((object, &RUN_GUARDED))
}

/// `batonloop.events._ThreadSafeHandle`; None where asyncio has no such class.
#[cfg(Py_3_14)]
fn guarded_class(py: Python<'_>) -> PyResult<Option<&Bound<'_, PyAny>>> {
    let class = names::THREAD_SAFE_HANDLE.get(py)?;
    Ok(Some(class).filter(|class| !class.is_none()))
}

/// A new timer; it says that it is scheduled.
#[inline(always)]
pub(crate) fn new_timer<'py>(
    callback: Callback<'py>,
    when: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, TimerHandle>> {
    let py = when.py();
    let timer = kind::allocate::<TimerHandle>(py)?;
    callback.fill(kind::timer_as_handle(&timer))?;
    timer.fields().when.fill(when);
    timer.fields().scheduled.fill(boolean(py, true));
    Ok(timer)
}

/// Handles and timers, of our own types and of subclasses.
#[inline]
fn as_handle<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Handle>> {
    if let Some(handle) = kind::cast_exact::<Handle>(object) {
        return Some(handle);
    }
    if let Some(timer) = kind::cast_exact::<TimerHandle>(object) {
        return Some(kind::timer_as_handle(timer));
    }
    kind::cast::<Handle>(object)
}

#[inline]
pub(crate) fn is_cancelled(handle: &Bound<'_, Handle>) -> bool {
    let py = handle.py();
    handle.fields().cancelled.holds(&*PyBool::new(py, true))
}

/// Gives control to a handle's callback.
#[inline]
fn run(object: Bound<'_, PyAny>, _: &EventLoop) -> Outcome {
    let py = object.py();
    let Some(handle) = as_handle(&object) else {
        return Err(exceptions::stranger(&object).into());
    };
    if is_cancelled(handle) {
        return Ok(());
    }
    let fields = handle.fields();
    let (Some(context), Some(callback), Some(arguments)) =
        (fields.context.get(py), fields.callback.get(py), fields.arguments.get(py))
    else {
        return Ok(());
    };
    let is_bare = fields.cancelled.is_empty();
    let outcome = context::enter(&context, |_| {
        if is_bare {
            call::call1(&callback, &arguments)?;
        } else if call::tuple_len(&arguments) == Some(0) {
            call::call0(&callback)?;
        } else {
            call::call_tuple(&callback, &arguments)?;
        }
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => report(handle, *error),
    }
}

/// The same with the handle's lock held, so that `cancel()` and `cancelled()`, asked in another
/// thread, wait for the callback to return. Between the loop's own look and the lock the handle may
/// have been cancelled: [`run`] looks again.
#[cfg(Py_3_14)]
fn run_guarded(object: Bound<'_, PyAny>, event_loop: &EventLoop) -> Outcome {
    let py = object.py();
    let lock = object.getattr(intern!(py, "_lock"))?;
    lock.call_method0(intern!(py, "acquire"))?;
    let ran = run(object, event_loop);
    let released = lock.call_method0(intern!(py, "release"));
    ran?;
    released?;
    Ok(())
}

/// Tells the loop's exception handler that a callback raised.
#[cold]
pub(crate) fn report(handle: &Bound<'_, Handle>, error: PyErr) -> Outcome {
    let py = handle.py();
    if exceptions::is_exit(&error, py) {
        return Err(error.into());
    }
    let fields = handle.fields();
    let callback = shown_callback(handle)?;
    let arguments = arguments_tuple(handle)?;
    let event_loop = fields.event_loop.get(py).unwrap_or_else(|| none(py));
    let source = format_callback(&event_loop, &callback, &arguments)?;
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), format!("Exception in callback {source}"))?;
    let exception = coroutine::exception_of(error, py);
    context.set_item(intern!(py, "exception"), &exception)?;
    context.set_item(intern!(py, "handle"), handle.as_any())?;
    let traceback = fields.source_traceback.get(py).unwrap_or_else(|| none(py));
    if traceback.is_truthy()? {
        context.set_item(intern!(py, "source_traceback"), traceback)?;
    }
    coroutine::while_handling(&exception, || {
        event_loop.call_method1(intern!(py, "call_exception_handler"), (context,))
    })?;
    Ok(())
}

/// The callback in asyncio's words; newer versions hide the arguments unless in debug mode.
fn format_callback<'py>(
    event_loop: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = callback.py();
    let format = names::FORMAT_CALLBACK_SOURCE.get(py)?;
    let defaults = format.getattr("__kwdefaults__")?;
    if defaults.is_none() || !defaults.contains("debug")? {
        return format.call1((callback, arguments));
    }
    let keywords = PyDict::new(py);
    keywords.set_item("debug", event_loop.call_method0("get_debug")?)?;
    format.call((callback, arguments), Some(&keywords))
}

/// What asyncio's debug mode calls a handle: the task, if it is a task's step, else the handle.
fn describe<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    if let Some(handle) = as_handle(object)
        && let Ok(callback) = shown_callback(handle)
        && let Ok(owner) = callback.getattr(intern!(py, "__self__"))
        && (kind::cast::<Task>(&owner).is_some()
            || owner.is_instance(names::ASYNCIO_TASK.get(py)?)?)
    {
        return Ok(owner.repr()?.into_any());
    }
    Ok(object.str()?.into_any())
}

/// `Handle.cancel()`.
fn cancel<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>> {
    let py = handle.py();
    if is_cancelled(handle) {
        return Ok(none(py));
    }
    let fields = handle.fields();
    let event_loop = fields.event_loop.get(py);
    if event_loop.as_ref().and_then(EventLoop::direct).is_none() {
        keep_looks(handle, event_loop.as_ref())?;
    }
    fields.cancelled.set(boolean(py, true));
    fields.callback.set(none(py));
    fields.arguments.set(none(py));
    Ok(none(py))
}

/// `cancel()` of whatever a scheduling method of a loop returned.
#[inline]
pub(crate) fn cancel_any(handle: &Bound<'_, PyAny>) -> PyResult<()> {
    if let Some(timer) = kind::cast_exact::<TimerHandle>(handle) {
        return cancel_timer(timer).map(drop);
    }
    handle.call_method0(intern!(handle.py(), "cancel")).map(drop)
}

/// In debug mode a cancelled handle remembers what it looked like.
#[cold]
fn keep_looks<'py>(
    handle: &Bound<'py, Handle>,
    event_loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = handle.py();
    let fields = handle.fields();
    arguments_tuple(handle)?;
    fields.cancelled.set(boolean(py, true));
    if let Some(event_loop) = event_loop
        && event_loop.call_method0(intern!(py, "get_debug"))?.is_truthy()?
    {
        fields.repr.set(handle.as_any().repr()?.into_any());
    }
    Ok(())
}

/// `TimerHandle.cancel()`.
fn cancel_timer<'py>(timer: &Bound<'py, TimerHandle>) -> PyResult<Bound<'py, PyAny>> {
    let py = timer.py();
    let handle = kind::timer_as_handle(timer);
    if is_cancelled(handle) {
        return Ok(none(py));
    }
    let Some(event_loop) = handle.fields().event_loop.get(py) else {
        return cancel(handle);
    };
    let Some(ours) = EventLoop::of(&event_loop) else {
        event_loop.call_method1(intern!(py, "_timer_handle_cancelled"), (timer,))?;
        return cancel(handle);
    };
    cancel(handle)?;
    if timer.fields().scheduled.holds(&*PyBool::new(py, true)) {
        let freed = ours.agenda.with(py, |agenda| {
            agenda.note_cancelled();
            agenda.take_last_cancelled(py)
        });
        if let Some(freed) = freed {
            unschedule(freed.object.into_bound(py));
        }
    }
    Ok(none(py))
}

/// Takes note that a timer is in the heap no longer.
pub(crate) fn unschedule(object: Bound<'_, PyAny>) {
    if let Some(timer) = kind::cast::<TimerHandle>(&object) {
        timer.fields().scheduled.set(boolean(object.py(), false));
    }
}

/// `Handle.cancelled()`.
fn cancelled<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(handle.py(), is_cancelled(handle)))
}

/// `TimerHandle.when()`.
fn when<'py>(timer: &Bound<'py, TimerHandle>) -> PyResult<Bound<'py, PyAny>> {
    let py = timer.py();
    Ok(timer.fields().when.get(py).unwrap_or_else(|| none(py)))
}

/// Timers compare by their time. The slot must be filled: a C type inherits it from its first
/// base, a handle, not from the class that defines it.
fn compare<'py>(
    timer: &Bound<'py, TimerHandle>,
    other: &Bound<'py, PyAny>,
    op: CompareOp,
) -> PyResult<Bound<'py, PyAny>> {
    let method = match op {
        CompareOp::Lt => "__lt__",
        CompareOp::Le => "__le__",
        CompareOp::Eq => "__eq__",
        CompareOp::Ne => "__ne__",
        CompareOp::Gt => "__gt__",
        CompareOp::Ge => "__ge__",
    };
    names::ASYNCIO_TIMER_HANDLE.get(timer.py())?.getattr(method)?.call1((timer, other))
}

/// See [`compare`].
fn hash(timer: &Bound<'_, TimerHandle>) -> PyResult<isize> {
    let py = timer.py();
    timer.fields().when.get(py).unwrap_or_else(|| none(py)).hash()
}

/// `_callback`. A timeout of ours stands there itself, for the method that its timer calls.
fn shown_callback<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>> {
    let py = handle.py();
    match handle.fields().callback.get(py) {
        Some(timeout) if kind::is_exact::<Timeout>(&timeout) => {
            timeout.getattr(intern!(py, "_on_timeout"))
        }
        Some(callback) => Ok(callback),
        None => Ok(none(py)),
    }
}

/// `_args`: the tuple, made when somebody asks.
fn arguments_tuple<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>> {
    let py = handle.py();
    let fields = handle.fields();
    let Some(arguments) = fields.arguments.get(py) else {
        return Ok(none(py));
    };
    if !fields.cancelled.is_empty() {
        return Ok(arguments);
    }
    let tuple = PyTuple::new(py, [arguments])?.into_any();
    fields.cancelled.set(boolean(py, false));
    fields.arguments.set(tuple.clone());
    Ok(tuple)
}

fn set_args<'py>(handle: &Bound<'py, Handle>, value: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    let py = handle.py();
    let fields = handle.fields();
    if fields.cancelled.is_empty() {
        fields.cancelled.set(boolean(py, false));
    }
    fields.arguments.set(value.cloned().unwrap_or_else(|| none(py)));
    Ok(())
}

fn set_cancelled<'py>(
    handle: &Bound<'py, Handle>,
    value: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    arguments_tuple(handle)?;
    let cancelled = value.is_some_and(|value| value.is_truthy().unwrap_or(false));
    handle.fields().cancelled.set(boolean(handle.py(), cancelled));
    Ok(())
}

macro_rules! slot_property {
    ($get:ident, $set:ident, $slot:ident) => {
        fn $get<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>> {
            let py = handle.py();
            Ok(handle.fields().$slot.get(py).unwrap_or_else(|| none(py)))
        }

        fn $set<'py>(
            handle: &Bound<'py, Handle>,
            value: Option<&Bound<'py, PyAny>>,
        ) -> PyResult<()> {
            handle.fields().$slot.set(value.cloned().unwrap_or_else(|| none(handle.py())));
            Ok(())
        }
    };
}

slot_property!(get_repr, set_repr, repr);
slot_property!(get_source_traceback, set_source_traceback, source_traceback);

/// The attributes whose empty slots mean something.
fn properties() -> [Property<Handle>; 5] {
    [
        Property::write(
            c"_callback",
            c"What is called; None once cancelled.",
            shown_callback,
            |handle: &Bound<'_, Handle>, value| {
                let value = value.cloned().unwrap_or_else(|| none(handle.py()));
                handle.fields().callback.set(value);
                Ok(())
            },
        ),
        Property::write(
            c"_args",
            c"The arguments, a tuple; None once cancelled.",
            arguments_tuple,
            set_args,
        ),
        Property::write(c"_cancelled", c"Whether it was cancelled.", cancelled, set_cancelled),
        Property::write(
            c"_repr",
            c"The repr from before it was cancelled, in debug mode.",
            get_repr,
            set_repr,
        ),
        Property::write(
            c"_source_traceback",
            c"The stack that made it, in debug mode; else None.",
            get_source_traceback,
            set_source_traceback,
        ),
    ]
}

/// Makes the types `Handle` and `TimerHandle`.
pub(crate) fn make_types(py: Python<'_>) -> PyResult<[Bound<'_, PyType>; 2]> {
    let base = names::ASYNCIO_HANDLE.get(py)?;
    let timer_base = names::ASYNCIO_TIMER_HANDLE.get(py)?;
    if !verify::handles_are_as_laid_out(base, timer_base) {
        return Err(pyo3::exceptions::PyImportError::new_err(
            "asyncio.Handle of this Python has other slots than batonloop knows; \
             please report the Python version",
        ));
    }
    let handle = TypeBuilder::<Handle>::new(c"batonloop.Handle", HANDLE_DOC)
        .methods([
            Method::no_args(
                c"cancel",
                c"Cancel the callback. Does nothing if it was cancelled or has run.",
                cancel,
            ),
            Method::no_args(c"cancelled", c"Return True if the callback was cancelled.", cancelled),
        ])
        .properties(properties())
        .build(&bases(py, &[base])?)?;
    let timer = TypeBuilder::<TimerHandle>::new(c"batonloop.TimerHandle", TIMER_HANDLE_DOC)
        .methods([
            Method::no_args(
                c"cancel",
                c"Cancel the callback. Does nothing if it was cancelled or has run.",
                cancel_timer,
            ),
            Method::no_args(
                c"when",
                c"Return the scheduled time in seconds on the loop's clock, a float.",
                when,
            ),
        ])
        .slots([TypeSlot::compare(compare), TypeSlot::hash(hash)])
        .build(&bases(py, &[handle.as_any(), timer_base])?)?;
    Ok([handle, timer])
}

const HANDLE_DOC: &std::ffi::CStr = c"\
    A callback that waits for its turn, as call_soon() returns it.\n\nA subclass of \
    asyncio.Handle; nothing differs.";
const TIMER_HANDLE_DOC: &std::ffi::CStr = c"\
    A callback that waits for its time, as call_later() and call_at() return it.\n\nA \
    subclass of asyncio.TimerHandle. Timers of one deadline run first-come first-served.";

/// A float object.
#[inline]
pub(crate) fn float(py: Python<'_>, seconds: f64) -> Bound<'_, PyAny> {
    PyFloat::new(py, seconds).into_any()
}
