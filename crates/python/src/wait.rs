//! The native half of `wait()`: what it keeps while it waits.
//!
//! It stands among the callbacks of each future itself, as what `gather()` gives does, and leaves
//! them all when the wait is over. What is awaited, and in which frames, says `tasks.py`.

use std::ffi::CStr;
use std::sync::LazyLock;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::context;
use batonloop_cpython::kind::waitings::Waiting;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::method::{Args, BoundFunction, Method, Property, TypeSlot};
use pyo3::types::{
    PyAny, PyAnyMethods, PyDict, PyModule, PyModuleMethods, PySet, PySetMethods, PyTuple, PyType,
};
use pyo3::{Bound, PyResult, Python, intern};

use crate::futures::any::{is_cancelled, is_done, set_result};
use crate::futures::{self, PyFuture, Resident};
use crate::mixins::new_future;
use crate::names::{self, boolean, none};
use crate::tasks::known;

type PyWaiting<'py> = Bound<'py, Waiting>;

// Which futures are enough. The first is the state of fresh memory.
const ALL_COMPLETED: u8 = 0;
const FIRST_COMPLETED: u8 = 1;
const FIRST_EXCEPTION: u8 = 2;

// ---------------------------------------------------------------------------------------------
// Begun
// ---------------------------------------------------------------------------------------------

/// `_Waiting(fs, timeout, return_when, loop)`: a timer is set, and every future is asked to tell.
fn init<'py>(
    waiting: &PyWaiting<'py>,
    args: &Bound<'py, PyTuple>,
    _: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    let py = waiting.py();
    let fields = waiting.fields();
    let (futures, timeout, return_when, event_loop) = args.extract::<(
        Bound<'py, PyAny>,
        Bound<'py, PyAny>,
        Bound<'py, PyAny>,
        Bound<'py, PyAny>,
    )>()?;
    let waiter = new_future(event_loop.clone())?;
    fields.waiter.set(waiter.clone());
    if !timeout.is_none() {
        let release = names::RELEASE_WAITER.get(py)?;
        let timer = (timeout, release, waiter);
        fields.timeout.set(event_loop.call_method1(intern!(py, "call_later"), timer)?);
    }
    fields.left.set(futures.cast::<PySet>()?.len());
    fields.return_when.set(match return_when.extract::<&str>() {
        Ok("FIRST_COMPLETED") => FIRST_COMPLETED,
        Ok("FIRST_EXCEPTION") => FIRST_EXCEPTION,
        _ => ALL_COMPLETED,
    });
    fields.context.set(context::copy_current(py)?);
    fields.futures.set(futures);
    known::fill_waiter(&fields.task, &event_loop)?;
    for future in members(waiting) {
        futures::tell(&future, waiting)?;
        known::link(&future, &fields.task)?;
    }
    Ok(())
}

/// The futures, in an order that stays.
fn members<'py>(waiting: &PyWaiting<'py>) -> Vec<Bound<'py, PyAny>> {
    let set = waiting.fields().futures.get(waiting.py());
    match set.as_ref().and_then(|set| set.cast::<PySet>().ok()) {
        Some(set) => set.iter().collect(),
        None => Vec::new(),
    }
}

// ---------------------------------------------------------------------------------------------
// Told
// ---------------------------------------------------------------------------------------------

impl Resident for Waiting {
    const VERB: &'static str = "wait";

    /// Always the same one.
    fn callable<'py>(waiting: &PyWaiting<'py>) -> PyResult<Bound<'py, PyAny>> {
        static TELLING: LazyLock<BoundFunction<Waiting>> =
            LazyLock::new(|| futures::telling(c"_on_completion"));
        let py = waiting.py();
        let make = || names::WAIT_CALLBACK.get(py)?.call1((TELLING.bind(waiting)?,));
        futures::remembered(&waiting.fields().callable, make, py)
    }

    fn context<'py>(waiting: &PyWaiting<'py>) -> Option<Bound<'py, PyAny>> {
        waiting.fields().context.get(waiting.py())
    }

    /// Nothing is to be done but to count, as long as the wait is for all and others are left.
    fn told_plainly<'py>(waiting: &PyWaiting<'py>, future: &PyFuture<'py>) -> PyResult<bool> {
        let fields = waiting.fields();
        let is_one_of_many = fields.left.get() > 1 && fields.return_when.get() == ALL_COMPLETED;
        if is_one_of_many {
            Self::told(waiting, future.as_any())?;
        }
        Ok(is_one_of_many)
    }

    /// What asyncio's `_on_completion` does.
    fn told<'py>(waiting: &PyWaiting<'py>, future: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = waiting.py();
        let fields = waiting.fields();
        fields.left.set(fields.left.get().saturating_sub(1));
        if is_enough(waiting, future)? {
            cancel_timeout(waiting)?;
            let waiter = fields.waiter.get(py).unwrap_or_else(|| none(py));
            if !is_done(&waiter)? {
                set_result(&waiter, none(py))?;
            }
        }
        known::unlink(future, &fields.task)
    }
}

/// Whether the wait is over with this future.
fn is_enough<'py>(waiting: &PyWaiting<'py>, future: &Bound<'py, PyAny>) -> PyResult<bool> {
    let fields = waiting.fields();
    if fields.left.get() == 0 || fields.return_when.get() == FIRST_COMPLETED {
        return Ok(true);
    }
    if fields.return_when.get() != FIRST_EXCEPTION || is_cancelled(future)? {
        return Ok(false);
    }
    // That counts as retrieved.
    let exception = futures::any::exception(future)?;
    Ok(!exception.is_none())
}

fn cancel_timeout(waiting: &PyWaiting<'_>) -> PyResult<()> {
    let py = waiting.py();
    match waiting.fields().timeout.get(py) {
        Some(timer) => timer.call_method0(intern!(py, "cancel")).map(drop),
        None => Ok(()),
    }
}

// ---------------------------------------------------------------------------------------------
// Ended
// ---------------------------------------------------------------------------------------------

/// `end()`: the timer and the futures need tell no more.
fn end<'py>(waiting: &PyWaiting<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = waiting.py();
    cancel_timeout(waiting)?;
    for future in members(waiting) {
        futures::tell_no_more(&future, waiting)?;
        known::unlink(&future, &waiting.fields().task)?;
    }
    Ok(none(py))
}

/// `sorted()`: the sets of those that are done and of those that are not.
fn sorted<'py>(waiting: &PyWaiting<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = waiting.py();
    let (done, pending) = (PySet::empty(py)?, PySet::empty(py)?);
    for future in members(waiting) {
        let set = if is_done(&future)? { &done } else { &pending };
        set.add(future)?;
    }
    Ok(PyTuple::new(py, [done, pending])?.into_any())
}

/// `_holds_coroutine(fs)`: whether there is a coroutine in a set.
fn holds_coroutine<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    for future in args.only("_holds_coroutine", "fs")?.try_iter()? {
        let future = future?;
        if kind::cast_exact_future(&future).is_none()
            && names::IS_COROUTINE.get(py)?.call1((future,))?.is_truthy()?
        {
            return Ok(boolean(py, true));
        }
    }
    Ok(boolean(py, false))
}

// ---------------------------------------------------------------------------------------------
// The type
// ---------------------------------------------------------------------------------------------

/// Makes the type.
fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Waiting>::new(c"batonloop.tasks._Waiting", DOC)
        .methods([
            Method::no_args(c"end", c"Let nothing tell any more that it is done.", end),
            Method::no_args(c"sorted", c"Return the sets of done and of pending futures.", sorted),
        ])
        .properties([Property::read(c"waiter", c"The future to await.", |this: &PyWaiting<'_>| {
            Ok(this.fields().waiter.get(this.py()).unwrap_or_else(|| none(this.py())))
        })])
        .slots([TypeSlot::init(init)])
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

/// Adds the type and the function to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("_Waiting", make_type(module.py())?)?;
    let name = c"_holds_coroutine";
    let doc = c"_holds_coroutine(fs)\n\nReturn whether there is a coroutine in a set.";
    let function =
        batonloop_cpython::method::function(module, "batonloop", name, doc, holds_coroutine)?;
    module.add("_holds_coroutine", function)
}

const DOC: &CStr = c"What wait() keeps while it waits.";
