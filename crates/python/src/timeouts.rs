//! Timeout, and `timeout()` and `timeout_at()`, which make one.
//!
//! ```text
//!           __aenter__              the timer                 __aexit__
//!   created ──────────▶ entered ──────────────────▶ expiring ───────────▶ expired
//!                          │     cancels the task      a CancelledError that nobody
//!                          ▼ __aexit__                 else asked for becomes a
//!                        exited                        TimeoutError
//! ```
//!
//! In a loop of ours the timer is put into the agenda without a call, and the timeout stands in it
//! itself, where others have a bound method. Whatever gives a step another meaning, a loop that
//! overrides `call_at()` or a subclass that overrides `reschedule()`, is called as asyncio calls
//! it.

use std::ffi::CStr;

use batonloop_core::Instant;
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields, TimerHandle};
use batonloop_cpython::method::{self, Args, Method, Property, TypeSlot};
use batonloop_cpython::native::{self, Body};
use batonloop_cpython::timeouts::{Timeout, TimeoutFields};
use batonloop_cpython::{Outcome, context, coroutine};
use batonloop_sys::clock;
use pyo3::exceptions::{
    PyAssertionError, PyAttributeError, PyBaseException, PyRuntimeError, PyTimeoutError,
    PyTypeError,
};
use pyo3::types::{
    PyAny, PyAnyMethods, PyFloat, PyFloatMethods, PyModule, PyModuleMethods, PyString, PyTuple,
    PyType, PyTypeMethods,
};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use crate::coroutines::{Then, drive};
use crate::events::{self, Arguments, Callback};
use crate::exceptions;
use crate::futures;
use crate::host::{EventLoop, Verb};
use crate::mixins::{owner, set_slot, shown, slot_property};
use crate::names::{self, boolean, none};
use crate::parameters::Parameters;
use crate::running;
use crate::tasks;

pub(crate) type PyTimeout<'py> = Bound<'py, Timeout>;

// How far it has come. Zero is the state of fresh memory.
const CREATED: u8 = 0;
const ENTERED: u8 = 1;
const EXPIRING: u8 = 2;
const EXPIRED: u8 = 3;
const EXITED: u8 = 4;

/// asyncio's names for them, and its words.
const STATES: [(&str, &str); 5] = [
    ("CREATED", "created"),
    ("ENTERED", "active"),
    ("EXPIRING", "expiring"),
    ("EXPIRED", "expired"),
    ("EXITED", "finished"),
];

fn word_of(fields: &TimeoutFields) -> &'static str {
    STATES[usize::from(fields.state.get())].1
}

/// Whether the running Python tells of the timeout in exceptions that came after the cancellation,
/// and knows subclasses of `CancelledError`.
fn marks_others(py: Python<'_>) -> PyResult<bool> {
    names::ASYNCIO_TIMEOUT.get(py)?.hasattr(intern!(py, "_insert_timeout_error"))
}

// ---------------------------------------------------------------------------------------------
// Made
// ---------------------------------------------------------------------------------------------

/// A new one with this deadline.
#[inline]
fn new(when: Bound<'_, PyAny>) -> PyResult<PyTimeout<'_>> {
    let timeout = kind::allocate::<Timeout>(when.py())?;
    timeout.fields().when.fill(when);
    Ok(timeout)
}

/// `timeout(delay)`.
#[inline]
pub(crate) fn after<'py>(delay: &Bound<'py, PyAny>) -> PyResult<PyTimeout<'py>> {
    let py = delay.py();
    let event_loop = running::get(py).map_err(|error| *error)?;
    if delay.is_none() {
        return new(none(py));
    }
    let ours = EventLoop::of(&event_loop).filter(|ours| ours.has_own_time.get(py));
    new(match (ours, delay.cast_exact::<PyFloat>()) {
        (Some(_), Ok(delay)) => events::float(py, clock::now().seconds() + delay.value()),
        _ => time_of(&event_loop)?.add(delay)?,
    })
}

/// `loop.time()`.
fn time_of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    event_loop.call_method0(intern!(event_loop.py(), "time"))
}

// ---------------------------------------------------------------------------------------------
// Entered
// ---------------------------------------------------------------------------------------------

fn cast<'a, 'py>(owner: &'a Bound<'py, PyAny>) -> PyResult<&'a PyTimeout<'py>> {
    kind::cast::<Timeout>(owner).ok_or_else(|| exceptions::stranger(owner))
}

static ENTER: Body = Body {
    name: "__aenter__",
    qualified_name: "Timeout.__aenter__",
    step: |this, thrown| {
        drive(this, thrown, |this, _, given| {
            given?;
            let owner = owner(this);
            enter(cast(&owner)?)?;
            Ok(Then::Done(owner))
        })
    },
};

/// From now on it is to cancel the current task.
#[inline]
pub(crate) fn enter(timeout: &PyTimeout<'_>) -> PyResult<()> {
    let py = timeout.py();
    let fields = timeout.fields();
    if fields.state.get() != CREATED {
        return Err(PyRuntimeError::new_err("Timeout has already been entered"));
    }
    let event_loop = running::get(py).map_err(|error| *error)?;
    let task = tasks::known::current_to_anybody(&event_loop)?
        .ok_or_else(|| PyRuntimeError::new_err("Timeout should be used inside a task"))?;
    fields.state.set(ENTERED);
    fields.task.set(task.clone());
    fields.cancelling.set(tasks::cancelling_any(&task)?);
    let when = fields.when.get(py).unwrap_or_else(|| none(py));
    if kind::is_exact::<Timeout>(timeout) {
        return reschedule(timeout, when);
    }
    timeout.call_method1(intern!(py, "reschedule"), (when,)).map(drop)
}

/// `reschedule()`: another deadline, or none.
fn reschedule<'py>(timeout: &PyTimeout<'py>, when: Bound<'py, PyAny>) -> PyResult<()> {
    let py = timeout.py();
    let fields = timeout.fields();
    match fields.state.get() {
        ENTERED => {}
        CREATED => return Err(PyRuntimeError::new_err("Timeout has not been entered")),
        _ => {
            let message = format!("Cannot change state of {} Timeout", word_of(fields));
            return Err(PyRuntimeError::new_err(message));
        }
    }
    fields.when.set(when.clone());
    if let Some(handler) = fields.handler.get(py) {
        events::cancel_any(&handler)?;
    }
    if when.is_none() {
        fields.handler.clear(py);
        return Ok(());
    }
    let event_loop = running::get(py).map_err(|error| *error)?;
    let is_over = is_over(&when, &event_loop)?;
    if !is_over && let Some(timer) = schedule(timeout, &event_loop, &when)? {
        fields.handler.set(timer);
        return Ok(());
    }
    let callback = timeout.getattr(intern!(py, "_on_timeout"))?;
    fields.handler.set(if is_over {
        event_loop.call_method1(intern!(py, "call_soon"), (callback,))?
    } else {
        event_loop.call_method1(intern!(py, "call_at"), (when, callback))?
    });
    Ok(())
}

/// Whether a time is not to come.
#[inline]
fn is_over<'py>(when: &Bound<'py, PyAny>, event_loop: &Bound<'py, PyAny>) -> PyResult<bool> {
    let has_own_time = EventLoop::of(event_loop).map(|ours| ours.has_own_time.get(when.py()));
    match (has_own_time, when.cast_exact::<PyFloat>()) {
        (Some(true), Ok(when)) => Ok(when.value() <= clock::now().seconds()),
        _ => when.le(time_of(event_loop)?),
    }
}

/// Sets the timer without a call, where nobody could tell.
#[inline]
fn schedule<'py>(
    timeout: &PyTimeout<'py>,
    event_loop: &Bound<'py, PyAny>,
    when: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = timeout.py();
    let (Some(ours), Ok(seconds)) = (EventLoop::direct(event_loop), when.cast_exact::<PyFloat>())
    else {
        return Ok(None);
    };
    if !ours.has_own_call_at.get(py) || !kind::is_exact::<Timeout>(timeout) {
        return Ok(None);
    }
    let callback = Callback {
        callback: timeout.as_any().clone(),
        arguments: Arguments::Tuple(PyTuple::empty(py).into_any()),
        context: None,
        event_loop: event_loop.clone(),
        source_traceback: None,
    };
    let timer = events::new_timer(callback, when.clone())?.into_any();
    ours.schedule(Instant::from_seconds(seconds.value()), timer.clone(), &EXPIRE);
    Ok(Some(timer))
}

// ---------------------------------------------------------------------------------------------
// Expired
// ---------------------------------------------------------------------------------------------

/// The timer of a timeout whose time has come.
static EXPIRE: Verb = Verb { run: expire, ..events::RUN };

fn expire(object: Bound<'_, PyAny>, event_loop: &EventLoop) -> Outcome {
    let py = object.py();
    let Some(timer) = kind::cast_exact::<TimerHandle>(&object) else {
        return Err(exceptions::stranger(&object).into());
    };
    let handle = kind::timer_as_handle(timer);
    let (Some(context), Some(callback)) =
        (handle.fields().context.get(py), handle.fields().callback.get(py))
    else {
        return Ok(());
    };
    // Cancelled, or given another callback by hand.
    let Some(timeout) = kind::cast_exact::<Timeout>(&callback) else {
        return (events::RUN.run)(object, event_loop);
    };
    match context::enter(&context, |_| Ok(on_timeout(timeout)?)) {
        Ok(()) => Ok(()),
        Err(error) => events::report(handle, *error),
    }
}

/// `_on_timeout()`: cancels the task.
fn on_timeout(timeout: &PyTimeout<'_>) -> PyResult<()> {
    let py = timeout.py();
    let fields = timeout.fields();
    if fields.state.get() != ENTERED {
        return Err(PyAssertionError::new_err(()));
    }
    tasks::cancel_any(&fields.task.get(py).unwrap_or_else(|| none(py)))?;
    fields.state.set(EXPIRING);
    fields.handler.clear(py);
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// Left
// ---------------------------------------------------------------------------------------------

static EXIT: Body = Body {
    name: "__aexit__",
    qualified_name: "Timeout.__aexit__",
    step: |this, thrown| {
        drive(this, thrown, |this, _, given| {
            given?;
            let py = this.py();
            let owner = owner(this);
            let fields = this.fields();
            let (class, exception) = (fields.argument.get(py), fields.kept.get(py));
            exit(cast(&owner)?, class.as_ref(), exception.as_ref())?;
            Ok(Then::Done(none(py)))
        })
    },
};

/// Its time is over, by the exception of this class or by none; a TimeoutError is raised if the
/// cancellation was its own.
#[inline]
fn exit<'py>(
    timeout: &PyTimeout<'py>,
    class: Option<&Bound<'py, PyAny>>,
    exception: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = timeout.py();
    let fields = timeout.fields();
    if !matches!(fields.state.get(), ENTERED | EXPIRING) {
        return Err(PyAssertionError::new_err(()));
    }
    if let Some(handler) = fields.handler.take(py) {
        events::cancel_any(&handler)?;
    }
    if fields.state.get() == EXPIRING {
        return expired(timeout, class, exception);
    }
    fields.state.set(EXITED);
    Ok(())
}

#[cold]
fn expired<'py>(
    timeout: &PyTimeout<'py>,
    class: Option<&Bound<'py, PyAny>>,
    exception: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = timeout.py();
    let fields = timeout.fields();
    fields.state.set(EXPIRED);
    let left = tasks::uncancel_any(&fields.task.get(py).unwrap_or_else(|| none(py)))?;
    if !left.le(fields.cancelling.get(py))? {
        return Ok(());
    }
    let Some(class) = class else {
        return Ok(());
    };
    let cancelled = names::CANCELLED_ERROR.get(py)?;
    if class.is(cancelled) {
        return Err(timed_out(py, exception)?);
    }
    if !marks_others(py)? {
        return Ok(());
    }
    if class.cast::<PyType>()?.is_subclass(cancelled)? {
        return Err(timed_out(py, exception)?);
    }
    let Some(exception) = exception else {
        return Ok(());
    };
    let insert = timeout.getattr(intern!(py, "_insert_timeout_error"))?;
    insert.call1((exception,))?;
    if exception.is_instance(names::EXCEPTION_GROUP.get(py)?)? {
        for inner in exception.getattr(intern!(py, "exceptions"))?.try_iter()? {
            insert.call1((inner?,))?;
        }
    }
    Ok(())
}

/// `TimeoutError`, raised from the exception that is being handled.
fn timed_out(py: Python<'_>, cause: Option<&Bound<'_, PyAny>>) -> PyResult<PyErr> {
    let error = py.get_type::<PyTimeoutError>().call0()?;
    let raised = coroutine::raised(&error);
    let cause = cause.filter(|cause| cause.is_instance_of::<PyBaseException>());
    raised.set_cause(py, cause.map(|cause| PyErr::from_value(cause.clone())));
    Ok(raised)
}

/// What a block comes to whose timeout this is: `given`, or a TimeoutError in its place.
#[cfg(Py_3_12)]
#[inline]
pub(crate) fn leave<'py>(
    timeout: &PyTimeout<'py>,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match given {
        Ok(value) => {
            exit(timeout, None, None)?;
            Ok(value)
        }
        Err(error) => Err(leave_by(timeout, error)),
    }
}

#[cfg(Py_3_12)]
#[cold]
fn leave_by(timeout: &PyTimeout<'_>, error: PyErr) -> PyErr {
    let py = timeout.py();
    let exception = coroutine::exception_of(error, py);
    let class = exception.get_type().into_any();
    let left =
        coroutine::while_handling(&exception, || exit(timeout, Some(&class), Some(&exception)));
    left.err().unwrap_or_else(|| PyErr::from_value(exception))
}

// ---------------------------------------------------------------------------------------------
// Seen
// ---------------------------------------------------------------------------------------------

fn repr<'py>(timeout: &PyTimeout<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = timeout.py();
    let fields = timeout.fields();
    let mut text = format!("<Timeout [{}]", word_of(fields));
    if fields.state.get() == ENTERED {
        let when = fields.when.get(py).unwrap_or_else(|| none(py));
        let when = if when.is_none() { when } else { names::ROUND.get(py)?.call1((when, 3))? };
        text += &format!(" when={}", when.str()?);
    }
    text.push('>');
    Ok(PyString::new(py, &text).into_any())
}

fn state_of<'py>(timeout: &PyTimeout<'py>) -> PyResult<Bound<'py, PyAny>> {
    let (name, _) = STATES[usize::from(timeout.fields().state.get())];
    names::TIMEOUT_STATE.get(timeout.py())?.getattr(name)
}

fn set_state(timeout: &PyTimeout<'_>, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let value = value.ok_or_else(futures::cannot_delete)?;
    for (number, (name, _)) in (0_u8..).zip(STATES) {
        if names::TIMEOUT_STATE.get(timeout.py())?.getattr(name)?.is(value) {
            timeout.fields().state.set(number);
            return Ok(());
        }
    }
    Err(PyTypeError::new_err("_state must be a member of asyncio.timeouts._State"))
}

fn properties() -> [Property<Timeout>; 5] {
    [
        slot_property!(Timeout, c"_when", c"The deadline, or None.", when),
        slot_property!(Timeout, c"_timeout_handler", c"The timer, or None.", handler),
        slot_property!(Timeout, c"_task", c"The task that it cancels; None before that.", task),
        Property::write(c"_state", c"How far it has come.", state_of, set_state),
        Property::write(
            c"_cancelling",
            c"How often the task had been asked to cancel itself before.",
            |timeout: &PyTimeout<'_>| {
                timeout.fields().cancelling.get(timeout.py()).ok_or_else(|| {
                    PyAttributeError::new_err("'Timeout' object has no attribute '_cancelling'")
                })
            },
            |timeout: &PyTimeout<'_>, value| set_slot(&timeout.fields().cancelling, value),
        ),
    ]
}

fn methods() -> Vec<Method<Timeout>> {
    vec![
        Method::no_args(c"when", c"Return the current deadline.", |this: &PyTimeout<'_>| {
            Ok(shown(&this.fields().when, this.py()))
        }),
        Method::args(c"reschedule", RESCHEDULE, |this: &PyTimeout<'_>, args| {
            reschedule(this, args.only("reschedule", "when")?.clone())?;
            Ok(none(this.py()))
        }),
        Method::no_args(c"expired", EXPIRED_DOC, |this: &PyTimeout<'_>| {
            let is_expired = matches!(this.fields().state.get(), EXPIRING | EXPIRED);
            Ok(boolean(this.py(), is_expired))
        }),
        Method::no_args(c"__aenter__", c"Begin.", |this: &PyTimeout<'_>| {
            Ok(native::new(&ENTER, this.as_any().clone())?.into_any())
        }),
        Method::args(c"__aexit__", c"__aexit__(exc_type, exc_val, exc_tb)\n\nEnd.", aexit),
        Method::no_args(c"_on_timeout", c"Cancel the task.", |this: &PyTimeout<'_>| {
            on_timeout(this)?;
            Ok(none(this.py()))
        }),
    ]
}

/// `__aexit__(exc_type, exc_val, exc_tb)`.
fn aexit<'py>(timeout: &PyTimeout<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let (class, exception) = match (args.positional(), args.has_keywords()) {
        ([class, exception, _], false) => (class, exception),
        _ => {
            let names = ["exc_type", "exc_val", "exc_tb"];
            let [class, exception, traceback] = args.parse("__aexit__", names, 3)?;
            let missing = |place: usize| method::missing("__aexit__", names[place], place + 1);
            traceback.ok_or_else(|| missing(2))?;
            (class.ok_or_else(|| missing(0))?, exception.ok_or_else(|| missing(1))?)
        }
    };
    let coroutine = native::new(&EXIT, timeout.as_any().clone())?;
    let fields = coroutine.fields();
    for (slot, value) in [(&fields.argument, class), (&fields.kept, exception)] {
        if !value.is_none() {
            slot.fill(value.clone());
        }
    }
    Ok(coroutine.into_any())
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    const PARAMETERS: Parameters<1> = Parameters { class: "Timeout", names: ["when"], required: 1 };
    let made = TypeBuilder::<Timeout>::new(c"batonloop.timeouts.Timeout", TIMEOUT)
        .methods(methods())
        .properties(properties())
        .slots([
            TypeSlot::init(|this: &PyTimeout<'_>, args, kwargs| {
                let py = this.py();
                let [when] = PARAMETERS.parse(args, kwargs)?;
                let fields = this.fields();
                fields.state.set(CREATED);
                fields.handler.clear(py);
                fields.task.clear(py);
                fields.when.set(when.unwrap_or_else(|| none(py)));
                Ok(())
            }),
            TypeSlot::repr(repr),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)?;
    #[cfg(not(Py_3_14))]
    batonloop_cpython::block::bind_for_less(&made)?;
    if marks_others(py)? {
        let name = intern!(py, "_insert_timeout_error");
        let insert = names::ASYNCIO_TIMEOUT.get(py)?.getattr(name)?;
        made.setattr(name, names::STATIC_METHOD.get(py)?.call1((insert,))?)?;
    }
    Ok(made)
}

/// Adds the functions to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let name = "batonloop.timeouts";
    let timeout = method::function(module, name, c"timeout", AFTER, |_, args| {
        Ok(after(args.only("timeout", "delay")?)?.into_any())
    })?;
    let timeout_at = method::function(module, name, c"timeout_at", AT, |_, args| {
        Ok(new(args.only("timeout_at", "when")?.clone())?.into_any())
    })?;
    module.add("timeout", timeout)?;
    module.add("timeout_at", timeout_at)
}

const TIMEOUT: &CStr = c"\
    Timeout(when)\n--\n\nAn asynchronous context manager that cancels what takes too long.\n\nMade \
    by timeout() and timeout_at(); when is a time on the loop's clock, or None for never.";
const RESCHEDULE: &CStr = c"\
    reschedule(when)\n\nSet another deadline, or with None no deadline.\n\nRaises RuntimeError \
    unless inside of its block.";
const EXPIRED_DOC: &CStr = c"Return True if the deadline has passed inside of its block.";
const AFTER: &CStr = c"\
    timeout(delay)\n\nReturn a Timeout that ends its block delay seconds from now; None for \
    never.\n\nThe block is cancelled, and the CancelledError becomes a TimeoutError where the \
    block is left.";
const AT: &CStr = c"\
    timeout_at(when)\n\nThe same at the time when, on the clock of loop.time().";
