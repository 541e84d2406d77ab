//! What `sleep()` returns: for zero a coroutine that yields once, else one that waits for a timer.
//!
//! They are no `async def`, but behave like one: they may be awaited, wrapped in a task, driven by
//! hand with `send`, `throw` and `close`, and warn if nobody ever does. The timer is a handle of
//! the loop's `call_later()`, whatever that is, with asyncio's own callback: who looks at the loop
//! sees what he knows.

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields, Sleep};
use batonloop_cpython::method::{Args, Iteration, Method, TypeSlot};
use batonloop_cpython::native::{self, Body};
use pyo3::types::{PyAny, PyAnyMethods, PyType};
use pyo3::{Bound, PyResult, Python, intern};

use crate::coroutines::{self, PyCoroutine, Then, drive};
use crate::mixins::{new_future, owner};
use crate::names::{self, none};
use crate::running;

// How far it has come. Zero is the state of fresh memory.
const CREATED: u8 = 0;
const SUSPENDED: u8 = 1;
const CLOSED: u8 = 2;

type PySleep<'py> = Bound<'py, Sleep>;

/// A new one, which will return `result`.
#[inline]
pub(crate) fn new<'py>(
    py: Python<'py>,
    result: Option<&Bound<'py, PyAny>>,
) -> PyResult<PySleep<'py>> {
    let sleep = kind::allocate::<Sleep>(py)?;
    if let Some(result) = result {
        sleep.fields().result.set(result.clone());
    }
    Ok(sleep)
}

/// The stage at which it waits for its timer.
const WAITING: u8 = 1;

static DELAYED: Body = Body {
    name: "sleep",
    qualified_name: "sleep",
    step: |this, thrown| drive(this, thrown, sleep_on),
};

/// One that lasts for `delay` seconds, a number above zero.
pub(crate) fn new_delayed<'py>(
    delay: &Bound<'py, PyAny>,
    result: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let coroutine = native::new(&DELAYED, delay.clone())?;
    if let Some(result) = result {
        coroutine.fields().argument.fill(result.clone());
    }
    Ok(coroutine.into_any())
}

/// Sets the timer, and takes it back when the wait is over, however it ended.
fn sleep_on<'py>(
    this: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let fields = this.fields();
    if stage != coroutines::CREATED {
        if let Some(handle) = fields.kept.take(py) {
            handle.call_method0(intern!(py, "cancel"))?;
        }
        return given.map(Then::Done);
    }
    given?;
    let event_loop = running::get(py).map_err(|error| *error)?;
    let future = new_future(event_loop.clone())?;
    let settle = names::SET_RESULT_UNLESS_CANCELLED.get(py)?;
    let result = fields.argument.get(py).unwrap_or_else(|| none(py));
    let arguments = (owner(this), settle, &future, result);
    fields.kept.set(event_loop.call_method1(intern!(py, "call_later"), arguments)?);
    Ok(Then::Wait(future, WAITING))
}

#[inline]
/// The first step yields, the second returns, a third is a mistake.
fn iterate<'py>(sleep: &PySleep<'py>) -> PyResult<Iteration<'py>> {
    let py = sleep.py();
    let fields = sleep.fields();
    let none = || py.None().into_bound(py);
    match fields.stage() {
        CREATED => {
            fields.set_stage(SUSPENDED);
            Ok(Iteration::Yield(none()))
        }
        SUSPENDED => {
            fields.set_stage(CLOSED);
            Ok(match fields.result.take(py) {
                Some(result) if !result.is_none() => Iteration::Return(result),
                _ => Iteration::End,
            })
        }
        _ => Err(coroutines::reused()),
    }
}

/// What `await` drives: nothing that is awaited already.
fn awaited<'py>(sleep: &PySleep<'py>) -> PyResult<Bound<'py, PyAny>> {
    if sleep.fields().stage() == SUSPENDED {
        return Err(coroutines::awaited_already());
    }
    Ok(sleep.as_any().clone())
}

/// `send()`, with what a coroutine says to a value that comes too early.
fn send<'py>(sleep: &PySleep<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if sleep.fields().stage() == CREATED && !value.is_none() {
        return Err(coroutines::sent_too_early());
    }
    coroutines::sent(sleep.py(), iterate(sleep)?)
}

/// `throw()`: whatever is thrown ends it, for it has no way to catch.
fn throw<'py>(sleep: &PySleep<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let error = coroutines::thrown(args)?;
    if sleep.fields().stage() == CLOSED {
        return Err(coroutines::reused());
    }
    sleep.fields().set_stage(CLOSED);
    sleep.fields().result.clear(sleep.py());
    Err(error)
}

/// `close()`: it will never be driven, and so does not warn.
fn close<'py>(sleep: &PySleep<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = sleep.py();
    sleep.fields().set_stage(CLOSED);
    sleep.fields().result.clear(py);
    Ok(py.None().into_bound(py))
}

fn repr<'py>(sleep: &PySleep<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = sleep.py();
    let text = format!("<coroutine object sleep at {:#x}>", sleep.as_ptr().addr());
    Ok(pyo3::types::PyString::new(py, &text).into_any())
}

/// Nobody ever drove it.
fn finalize(sleep: &PySleep<'_>) {
    if sleep.fields().stage() == CREATED {
        coroutines::warn_never_awaited(sleep.as_any(), "sleep");
    }
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let made = TypeBuilder::<Sleep>::new(c"batonloop.coroutine", c"A coroutine that yields once.")
        .methods([
            Method::one_arg(c"send", c"Resume with a value.", send),
            Method::args(c"throw", c"Raise an exception inside.", throw),
            Method::no_args(c"close", c"End it.", close),
        ])
        .slots([
            TypeSlot::repr(repr),
            TypeSlot::finalize(finalize),
            TypeSlot::awaited(awaited),
            TypeSlot::next(iterate),
            TypeSlot::send(iterate),
        ])
        .driven_by_yield_from()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)?;
    coroutines::register(&made)?;
    Ok(made)
}
