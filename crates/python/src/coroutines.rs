//! Coroutines that are no `async def`: how a body in Rust is driven, and the words that an
//! `async def` has for those who drive it wrongly.
//!
//! ```text
//!            step                     Then::Wait
//!   created ──────▶ running ──────────────────────────▶ waiting at a stage
//!                    │   ▲                                      │ step, throw
//!          Then::Done│   └──────────────────────────────────────┘
//!                    ▼              what is awaited is driven first
//!                  closed
//! ```

use std::ffi::CStr;

use batonloop_cpython::Outcome;
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::cell::GilCell;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::method::{Args, Iteration, Method, Property, TypeSlot};
use batonloop_cpython::native::{CLOSED, Coroutine};
use batonloop_cpython::{coroutine, verify};
use pyo3::exceptions::{
    PyBaseException, PyGeneratorExit, PyImportError, PyRecursionError, PyRuntimeError,
    PyRuntimeWarning, PyStopIteration, PyTypeError, PyValueError,
};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyString, PyType};
use pyo3::{Bound, Py, PyErr, PyResult, Python, intern};

use crate::futures;
use crate::names::{self, boolean, none};

pub(crate) type PyCoroutine<'py> = Bound<'py, Coroutine>;

// How far one has come; between them lie the stages at which a body waits. Zero is the state of
// fresh memory.
pub(crate) const CREATED: u8 = 0;
const RUNNING: u8 = u8::MAX - 1;

/// What one step of a body came to.
pub(crate) enum Then<'py> {
    /// It waits for this, and goes on at this stage.
    Wait(Bound<'py, PyAny>, u8),
    /// It returns this.
    Done(Bound<'py, PyAny>),
}

/// What a wait came to.
enum Waited<'py> {
    /// It goes on: this is yielded.
    On(Bound<'py, PyAny>),
    /// It is over, with this.
    Over(PyResult<Bound<'py, PyAny>>),
}

/// Drives a body by one step: `body` gets the stage, and what the last wait came to.
#[inline(always)]
pub(crate) fn drive<'py>(
    this: &PyCoroutine<'py>,
    thrown: Option<PyErr>,
    body: impl Fn(&PyCoroutine<'py>, u8, PyResult<Bound<'py, PyAny>>) -> PyResult<Then<'py>>,
) -> PyResult<Iteration<'py>> {
    let fields = this.fields();
    let mut stage = fields.stage();
    let mut given = match (stage, thrown) {
        (RUNNING, _) => return Err(already_executing()),
        (CLOSED, _) => return Err(reused()),
        (CREATED, None) => Ok(none(this.py())),
        (CREATED, Some(error)) => {
            finish(this);
            return Err(error);
        }
        (_, thrown) => {
            fields.set_stage(RUNNING);
            match wait_on(this, thrown) {
                Waited::On(yielded) => {
                    fields.set_stage(stage);
                    return Ok(Iteration::Yield(yielded));
                }
                Waited::Over(result) => result,
            }
        }
    };
    fields.set_stage(RUNNING);
    loop {
        match body(this, stage, given) {
            Ok(Then::Wait(awaitable, next)) => match wait(this, awaitable) {
                Waited::On(yielded) => {
                    fields.set_stage(next);
                    return Ok(Iteration::Yield(yielded));
                }
                Waited::Over(result) => (stage, given) = (next, result),
            },
            Ok(Then::Done(value)) => {
                finish(this);
                let is_none = value.is_none();
                return Ok(if is_none { Iteration::End } else { Iteration::Return(value) });
            }
            Err(error) => {
                finish(this);
                return Err(error);
            }
        }
    }
}

/// How deep native calls are inside of each other that in asyncio are calls in Python: coroutines
/// that drive coroutines, gatherings that cancel gatherings, perhaps themselves.
///
/// Each level takes a piece of the stack that the interpreter does not count.
pub(crate) struct Level<'py>(Python<'py>);

static LEVELS: GilCell<usize> = GilCell::new(0);
/// As many as Python has calls in each other, unless told otherwise.
const DEEPEST: usize = 1000;

impl<'py> Level<'py> {
    /// One level more.
    ///
    /// RecursionError if that is too deep.
    #[inline]
    pub(crate) fn enter(py: Python<'py>) -> PyResult<Self> {
        let levels = LEVELS.get(py);
        if levels >= DEEPEST {
            return Err(PyRecursionError::new_err("maximum recursion depth exceeded"));
        }
        LEVELS.set(py, levels + 1);
        Ok(Self(py))
    }
}

impl Drop for Level<'_> {
    fn drop(&mut self) {
        LEVELS.set(self.0, LEVELS.get(self.0) - 1);
    }
}

/// Begins to wait for something.
#[inline]
fn wait<'py>(this: &PyCoroutine<'py>, awaitable: Bound<'py, PyAny>) -> Waited<'py> {
    if let Some(future) = kind::cast_exact_future(&awaitable) {
        return match futures::iterate(future) {
            Ok(Iteration::Yield(yielded)) => {
                this.fields().awaited.fill(awaitable);
                Waited::On(yielded)
            }
            Ok(Iteration::Return(value)) => Waited::Over(Ok(value)),
            Ok(Iteration::End) => Waited::Over(Ok(none(this.py()))),
            Err(error) => Waited::Over(Err(error)),
        };
    }
    match driver(awaitable) {
        Ok(driver) => {
            this.fields().awaited.fill(driver.clone());
            sent_inside(this, || coroutine::send(&driver))
        }
        Err(error) => Waited::Over(Err(error)),
    }
}

/// What drives an awaitable.
fn driver(awaitable: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if let Some(own) = kind::cast_exact::<Coroutine>(&awaitable) {
        return itself(own);
    }
    if coroutine::is_native(&awaitable) {
        return Ok(awaitable);
    }
    awaitable.call_method0(intern!(awaitable.py(), "__await__"))
}

/// Goes on with a wait that was begun, by an exception if one is thrown.
#[inline]
fn wait_on<'py>(this: &PyCoroutine<'py>, thrown: Option<PyErr>) -> Waited<'py> {
    let py = this.py();
    let fields = this.fields();
    let Some(awaited) = fields.awaited.get(py) else {
        return Waited::Over(thrown.map_or_else(|| Ok(none(py)), Err));
    };
    let Some(future) = kind::cast_exact_future(&awaited) else {
        return match thrown {
            None => sent_inside(this, || coroutine::send(&awaited)),
            Some(error) => {
                let exception = coroutine::exception_of(error, py);
                if exception.is_instance_of::<PyGeneratorExit>() {
                    return Waited::Over(Err(closed_inside(this, &awaited, exception)));
                }
                sent_inside(this, || coroutine::throw(&awaited, &exception))
            }
        };
    };
    let result = match thrown {
        Some(error) => Err(error),
        None => match futures::iterate(future) {
            Ok(Iteration::Yield(yielded)) => return Waited::On(yielded),
            Ok(Iteration::Return(value)) => Ok(value),
            Ok(Iteration::End) => Ok(none(py)),
            Err(error) => Err(error),
        },
    };
    fields.awaited.clear(py);
    Waited::Over(result)
}

/// What a `GeneratorExit` comes to: what is awaited is closed, which it may be already.
#[cold]
fn closed_inside<'py>(
    this: &PyCoroutine<'py>,
    awaited: &Bound<'py, PyAny>,
    exit: Bound<'py, PyAny>,
) -> PyErr {
    let closed = Level::enter(this.py()).and_then(|_level| {
        match awaited.getattr_opt(intern!(this.py(), "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    });
    this.fields().awaited.clear(this.py());
    closed.err().unwrap_or_else(|| PyErr::from_value(exit))
}

fn sent_inside<'py>(
    this: &PyCoroutine<'py>,
    send: impl FnOnce() -> Outcome<coroutine::Sent<'py>>,
) -> Waited<'py> {
    let sent = match Level::enter(this.py()) {
        Ok(_level) => send(),
        Err(error) => Err(error.into()),
    };
    let result = match sent {
        Ok(coroutine::Sent::Yielded(yielded)) => return Waited::On(yielded),
        Ok(coroutine::Sent::Returned(value)) => Ok(value),
        Err(error) => Err(*error),
    };
    this.fields().awaited.clear(this.py());
    Waited::Over(result)
}

/// It is over: all is let go.
#[inline]
fn finish(this: &PyCoroutine<'_>) {
    let fields = this.fields();
    fields.set_stage(CLOSED);
    fields.each_slot(&mut |slot| slot.clear(this.py()));
}

#[inline]
fn step<'py>(this: &PyCoroutine<'py>, thrown: Option<PyErr>) -> PyResult<Iteration<'py>> {
    match this.fields().body() {
        Some(body) => (body.step)(this, thrown),
        None => Err(reused()),
    }
}

fn iterate<'py>(this: &PyCoroutine<'py>) -> PyResult<Iteration<'py>> {
    step(this, None)
}

/// What `await` drives: nothing that is awaited already.
fn itself<'py>(this: &PyCoroutine<'py>) -> PyResult<Bound<'py, PyAny>> {
    match this.fields().stage() {
        CREATED | RUNNING | CLOSED => Ok(this.as_any().clone()),
        _ => Err(awaited_already()),
    }
}

/// `send()`: values are ignored, as a future gives nothing to whom it wakes.
fn send<'py>(this: &PyCoroutine<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if this.fields().stage() == CREATED && !value.is_none() {
        return Err(sent_too_early());
    }
    sent(this.py(), step(this, None)?)
}

/// `throw()`.
fn throw<'py>(this: &PyCoroutine<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let error = thrown(args)?;
    sent(this.py(), step(this, Some(error))?)
}

/// `close()`: a `GeneratorExit` is thrown in, as into an `async def`, which must end by it.
fn close<'py>(this: &PyCoroutine<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    match this.fields().stage() {
        RUNNING => return Err(already_executing()),
        CLOSED => return Ok(none(py)),
        CREATED => {
            finish(this);
            return Ok(none(py));
        }
        _ => {}
    }
    // An instance: PyO3 would attach anew to make one of its type when that is asked about below,
    // and a Python that ends, and closes what is left, refuses that.
    let exit = py.get_type::<PyGeneratorExit>().call0()?;
    match step(this, Some(PyErr::from_value(exit))) {
        Ok(Iteration::Yield(_)) => Err(PyRuntimeError::new_err("coroutine ignored GeneratorExit")),
        Ok(_) => Ok(none(py)),
        Err(error) if error.is_instance_of::<PyGeneratorExit>(py) => Ok(none(py)),
        Err(error) => Err(error),
    }
}

fn qualified_name(this: &PyCoroutine<'_>) -> &'static str {
    this.fields().body().map_or("coroutine", |body| body.qualified_name)
}

fn repr<'py>(this: &PyCoroutine<'py>) -> PyResult<Bound<'py, PyAny>> {
    let (name, place) = (qualified_name(this), this.as_ptr().addr());
    Ok(PyString::new(this.py(), &format!("<coroutine object {name} at {place:#x}>")).into_any())
}

/// Nobody ever drove it, or nobody will drive it to its end.
fn finalize(this: &PyCoroutine<'_>) {
    if this.fields().stage() == CREATED {
        return warn_never_awaited(this.as_any(), qualified_name(this));
    }
    if let Err(error) = close(this) {
        error.write_unraisable(this.py(), Some(this.as_any()));
    }
}

/// What those look at who draw stacks of what is suspended. Code and frame are a stand-in's, with
/// the name and nothing else in it.
fn inspected() -> Vec<Property<Coroutine>> {
    vec![
        Property::read(c"cr_running", c"Whether it has control.", |this: &PyCoroutine<'_>| {
            Ok(boolean(this.py(), this.fields().stage() == RUNNING))
        }),
        #[cfg(Py_3_15)]
        Property::read(c"cr_state", c"How far it has come.", |this: &PyCoroutine<'_>| {
            let state = match this.fields().stage() {
                CREATED => "CORO_CREATED",
                RUNNING => "CORO_RUNNING",
                CLOSED => "CORO_CLOSED",
                _ => "CORO_SUSPENDED",
            };
            Ok(PyString::new(this.py(), state).into_any())
        }),
        Property::read(c"cr_suspended", c"Whether it waits.", |this: &PyCoroutine<'_>| {
            Ok(boolean(this.py(), is_suspended(this)))
        }),
        Property::read(c"cr_await", c"What it waits for.", |this: &PyCoroutine<'_>| {
            let awaited = this.fields().awaited.get(this.py()).filter(|_| is_suspended(this));
            Ok(awaited.unwrap_or_else(|| none(this.py())))
        }),
        Property::read(c"cr_frame", c"A frame in its place.", |this: &PyCoroutine<'_>| {
            if this.fields().stage() == CLOSED {
                return Ok(none(this.py()));
            }
            shown_by_stand_in(this, intern!(this.py(), "cr_frame"))
        }),
        Property::read(c"cr_code", c"Code in its place.", |this: &PyCoroutine<'_>| {
            shown_by_stand_in(this, intern!(this.py(), "cr_code"))
        }),
        Property::read(c"cr_origin", c"None.", |this: &PyCoroutine<'_>| Ok(none(this.py()))),
    ]
}

fn is_suspended(this: &PyCoroutine<'_>) -> bool {
    !matches!(this.fields().stage(), CREATED | RUNNING | CLOSED)
}

/// A coroutine in Python that is suspended for ever, to be shown in the place of this one. There is
/// one for each body, made anew if somebody has cleared its frame: it costs a coroutine nothing.
fn stand_in<'py>(this: &PyCoroutine<'py>) -> PyResult<Bound<'py, PyAny>> {
    static STAND_INS: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let py = this.py();
    let stand_ins = STAND_INS.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    let whole = qualified_name(this);
    if let Some(known) = stand_ins.get_item(whole)?
        && !known.getattr(intern!(py, "cr_frame"))?.is_none()
    {
        return Ok(known);
    }
    let name = this.fields().body().map_or("coroutine", |body| body.name);
    let made = names::STAND_IN.get(py)?.call1((name, whole))?;
    stand_ins.set_item(whole, &made)?;
    Ok(made)
}

/// What a stand-in shows under this name. While Python ends nothing can be imported any more, to
/// make one either: there is nothing to show.
fn shown_by_stand_in<'py>(
    this: &PyCoroutine<'py>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    match stand_in(this) {
        Ok(stand_in) => stand_in.getattr(name),
        Err(error) if error.is_instance_of::<PyImportError>(this.py()) => Ok(none(this.py())),
        Err(error) => Err(error),
    }
}

const DOC: &CStr = c"A coroutine whose body is native.";

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let made = TypeBuilder::<Coroutine>::new(c"batonloop.coroutines.coroutine", DOC)
        .methods([
            Method::one_arg(c"send", c"Resume with a value.", send),
            Method::args(c"throw", c"Raise an exception inside.", throw),
            Method::no_args(c"close", c"End it.", close),
        ])
        .properties([
            Property::read(c"__name__", c"The name of the method.", |this: &PyCoroutine<'_>| {
                let name = this.fields().body().map_or("coroutine", |body| body.name);
                Ok(PyString::new(this.py(), name).into_any())
            }),
            Property::read(c"__qualname__", c"With its class.", |this: &PyCoroutine<'_>| {
                Ok(PyString::new(this.py(), qualified_name(this)).into_any())
            }),
        ])
        .properties(inspected())
        .slots([
            TypeSlot::repr(repr),
            TypeSlot::finalize(finalize),
            TypeSlot::awaited(itself),
            TypeSlot::next(iterate),
            TypeSlot::send(iterate),
        ])
        .driven_by_yield_from()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)?;
    register(&made)?;
    Ok(made)
}

/// It was driven to its end, or closed, before.
#[cold]
pub(crate) fn reused() -> PyErr {
    PyRuntimeError::new_err("cannot reuse already awaited coroutine")
}

/// It stands at an `await`, and another was begun on it.
#[cold]
pub(crate) fn awaited_already() -> PyErr {
    PyRuntimeError::new_err("coroutine is being awaited already")
}

/// It was driven from inside itself.
#[cold]
pub(crate) fn already_executing() -> PyErr {
    PyValueError::new_err("coroutine already executing")
}

/// A value was sent before there was anybody to take it.
#[cold]
pub(crate) fn sent_too_early() -> PyErr {
    PyTypeError::new_err("can't send non-None value to a just-started coroutine")
}

/// What `send()` gives or raises after a step.
pub(crate) fn sent<'py>(py: Python<'py>, step: Iteration<'py>) -> PyResult<Bound<'py, PyAny>> {
    match step {
        Iteration::Yield(value) => Ok(value),
        Iteration::End => Err(PyStopIteration::new_err(())),
        Iteration::Return(value) => {
            Err(PyErr::from_value(py.get_type::<PyStopIteration>().call1((value,))?))
        }
    }
}

/// The exception that the arguments of `throw()` name.
///
/// TypeError for what is no exception.
pub(crate) fn thrown(args: Args<'_, '_>) -> PyResult<PyErr> {
    let [exception, value, _] = args.parse("throw", ["type", "val", "tb"], 3)?;
    let exception = exception
        .ok_or_else(|| PyTypeError::new_err("throw expected at least 1 argument, got 0"))?;
    if exception.is_instance_of::<PyBaseException>() {
        return Ok(PyErr::from_value(exception.clone()));
    }
    let value = value.filter(|value| !value.is_none());
    if exception.is_instance_of::<PyType>() {
        let made = match value {
            Some(value) if value.is_instance(exception)? => value.clone(),
            Some(value) => exception.call1((value,))?,
            None => exception.call0()?,
        };
        if made.is_instance_of::<PyBaseException>() {
            return Ok(PyErr::from_value(made));
        }
    }
    Err(PyTypeError::new_err(format!(
        "exceptions must be classes or instances deriving from BaseException, not {}",
        verify::class_name(exception)
    )))
}

/// Warns that nobody ever drove it.
pub(crate) fn warn_never_awaited(coroutine: &Bound<'_, PyAny>, name: &str) {
    let py = coroutine.py();
    let category = py.get_type::<PyRuntimeWarning>();
    let message = std::ffi::CString::new(format!("coroutine '{name}' was never awaited"));
    let warned = message.map_or(Ok(()), |message| PyErr::warn(py, &category, &message, 1));
    if let Err(error) = warned {
        error.write_unraisable(py, Some(coroutine));
    }
}

/// Lets `isinstance(object, collections.abc.Coroutine)` be true of a type's objects.
pub(crate) fn register(type_object: &Bound<'_, PyType>) -> PyResult<()> {
    let py = type_object.py();
    py.import("collections.abc")?
        .getattr(intern!(py, "Coroutine"))?
        .call_method1(intern!(py, "register"), (type_object,))?;
    Ok(())
}
