//! Semaphore and BoundedSemaphore: a lock that so many can hold at a time.
//!
//! A permit is given to the first waiter while it still waits: the value goes down when its future
//! is settled, not when its task runs. So nobody who comes in between can take it, and whoever is
//! cancelled after that gives it back.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::deque;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::locks::{BoundedSemaphore, Semaphore, as_semaphore};
use batonloop_cpython::method::{Method, Property, TypeSlot};
use batonloop_cpython::native::{self, Body};
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyTuple, PyType};
use pyo3::{Bound, IntoPyObject, PyResult, Python, intern};

use super::{
    ACQUIRE, RELEASE, begin_to_wait, common_properties, context_methods, describe,
    has_live_waiters, loop_method, stop_waiting,
};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures;
use crate::mixins::{is_cancelled, is_done, one_argument, owner, settle};
use crate::names::{boolean, none};

pub(super) type PySemaphore<'py> = Bound<'py, Semaphore>;

/// `acquire()`.
static ACQUIRE_SEMAPHORE: Body = Body {
    name: "acquire",
    qualified_name: "Semaphore.acquire",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| acquire_semaphore(this, stage, given, true))
    },
};

/// `__aenter__()`: the same, but that it gives None.
pub(super) static ENTER_SEMAPHORE: Body = Body {
    name: "__aenter__",
    qualified_name: "_ContextManagerMixin.__aenter__",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| acquire_semaphore(this, stage, given, false))
    },
};

/// Whether nothing of it can have another meaning.
pub(super) fn is_plain_semaphore(object: &Bound<'_, PyAny>) -> bool {
    kind::is_exact::<Semaphore>(object) || kind::is_exact::<BoundedSemaphore>(object)
}

/// `locked()`: whether it cannot be acquired at once.
fn is_locked(semaphore: &PySemaphore<'_>) -> PyResult<bool> {
    let fields = semaphore.fields();
    Ok(fields.value.get() == 0 || has_live_waiters(fields, semaphore.py())?)
}

/// A step of `acquire()`.
#[inline]
fn acquire_semaphore<'py>(
    coroutine: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
    says_true: bool,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let owner = owner(coroutine);
    let semaphore = kind::cast::<Semaphore>(&owner).ok_or_else(|| exceptions::stranger(&owner))?;
    let fields = semaphore.fields();
    let done = || Ok(Then::Done(if says_true { boolean(py, true) } else { none(py) }));
    if stage == CREATED {
        given?;
        let locked = if is_plain_semaphore(&owner) {
            is_locked(semaphore)?
        } else {
            owner.call_method0(intern!(py, "locked"))?.is_truthy()?
        };
        if locked {
            return begin_to_wait(coroutine, &owner, fields);
        }
        fields.value.set(fields.value.get() - 1);
        return done();
    }
    stop_waiting(coroutine, fields)?;
    let ended = after_wait(coroutine, semaphore, given);
    // Newcomers may have had to wait for this one although there was room.
    while fields.value.get() > 0 && wake_up_next(semaphore)? {}
    ended?;
    done()
}

/// The permit of one who was cancelled after he had been given it is given back.
fn after_wait<'py>(
    coroutine: &PyCoroutine<'py>,
    semaphore: &PySemaphore<'py>,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = coroutine.py();
    let Err(error) = given else {
        return Ok(());
    };
    if exceptions::is_cancelled(&error, py)
        && let Some(future) = coroutine.fields().kept.get(py)
        && is_done(&future)?
        && !is_cancelled(&future)?
    {
        let fields = semaphore.fields();
        fields.value.set(fields.value.get() + 1);
    }
    Err(error)
}

/// Lets the first waiter that is not done go on, with a permit; whether there was one.
fn wake_up_next(semaphore: &PySemaphore<'_>) -> PyResult<bool> {
    if !is_plain_semaphore(semaphore) {
        return semaphore.call_method0(intern!(semaphore.py(), "_wake_up_next"))?.is_truthy();
    }
    wake_up_next_here(semaphore)
}

/// The same, of whatever class the semaphore is. The permit is taken before the future is settled,
/// for that may run callbacks of the program.
fn wake_up_next_here(semaphore: &PySemaphore<'_>) -> PyResult<bool> {
    let py = semaphore.py();
    let fields = semaphore.fields();
    let Some(waiters) = fields.waiters.get(py) else {
        return Ok(false);
    };
    if deque::is_empty(&waiters)? {
        return Ok(false);
    }
    for waiter in waiters.try_iter()? {
        let waiter = waiter?;
        if !is_done(&waiter)? {
            fields.value.set(fields.value.get() - 1);
            settle(&waiter, boolean(py, true))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// `release()`: one more permit, and the next waiter gets it. A bounded one refuses to have more
/// than it began with.
pub(super) fn release_semaphore(semaphore: &PySemaphore<'_>) -> PyResult<()> {
    let fields = semaphore.fields();
    if kind::cast::<BoundedSemaphore>(semaphore).is_some()
        && fields.value.get() >= fields.bound.get()
    {
        return Err(PyValueError::new_err("BoundedSemaphore released too many times"));
    }
    fields.value.set(fields.value.get() + 1);
    wake_up_next(semaphore).map(drop)
}

/// `__init__()`: any value that is not less than zero.
fn semaphore_init(
    this: &PySemaphore<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    class: &str,
) -> PyResult<()> {
    let value = one_argument(class, "value", args, kwargs)?;
    let value = match value {
        None => 1,
        Some(value) if value.lt(0)? => {
            return Err(PyValueError::new_err("Semaphore initial value must be >= 0"));
        }
        Some(value) => value.extract()?,
    };
    let fields = this.fields();
    fields.value.set(value);
    fields.bound.set(value);
    Ok(())
}

/// A number that Python code may write.
fn semaphore_number(name: &'static CStr, doc: &'static CStr) -> Property<Semaphore> {
    Property::write(
        name,
        doc,
        |this: &PySemaphore<'_>| Ok(this.fields().value.get().into_pyobject(this.py())?.into_any()),
        |this: &PySemaphore<'_>, value| {
            this.fields().value.set(value.ok_or_else(futures::cannot_delete)?.extract()?);
            Ok(())
        },
    )
}

/// Makes the type.
pub(super) fn make_semaphore(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Semaphore>::new(c"batonloop.locks.Semaphore", SEMAPHORE)
        .methods([
            Method::no_args(c"acquire", ACQUIRE, |this: &PySemaphore<'_>| {
                Ok(native::new(&ACQUIRE_SEMAPHORE, this.as_any().clone())?.into_any())
            }),
            Method::no_args(c"release", RELEASE, |this: &PySemaphore<'_>| {
                release_semaphore(this)?;
                Ok(none(this.py()))
            }),
            Method::no_args(
                c"locked",
                c"Returns True if semaphore cannot be acquired immediately.",
                |this: &PySemaphore<'_>| Ok(boolean(this.py(), is_locked(this)?)),
            ),
            Method::no_args(
                c"_wake_up_next",
                c"Let the next waiter go on.",
                |this: &PySemaphore<'_>| Ok(boolean(this.py(), wake_up_next_here(this)?)),
            ),
            loop_method(),
        ])
        .methods(context_methods())
        .properties(common_properties())
        .properties([semaphore_number(c"_value", c"How many may still acquire it.")])
        .slots([
            TypeSlot::init(|this: &PySemaphore<'_>, args, kwargs| {
                semaphore_init(this, args, kwargs, "Semaphore")
            }),
            TypeSlot::repr(|this: &PySemaphore<'_>| {
                let state = if is_locked(this)? {
                    "locked".to_owned()
                } else {
                    format!("unlocked, value:{}", this.fields().value.get())
                };
                describe(this.as_any(), this.fields(), &state)
            }),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

/// Makes the type of those with a bound: the same methods, which look at the object's kind.
pub(super) fn make_bounded<'py>(semaphore: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyType>> {
    TypeBuilder::<BoundedSemaphore>::new(c"batonloop.locks.BoundedSemaphore", BOUNDED)
        .properties([Property::read(
            c"_bound_value",
            c"What the value may not exceed.",
            |this: &Bound<'_, BoundedSemaphore>| {
                Ok(this.fields().bound.get().into_pyobject(this.py())?.into_any())
            },
        )])
        .slots([TypeSlot::init(|this: &Bound<'_, BoundedSemaphore>, args, kwargs| {
            semaphore_init(as_semaphore(this), args, kwargs, "BoundedSemaphore")
        })])
        .named_as_a_class()
        .build(&bases(semaphore.py(), &[semaphore.as_any()])?)
}

const SEMAPHORE: &CStr = c"\
    Semaphore(value=1)\n--\n\nA lock that so many tasks can hold at a time.\n\nRaises ValueError \
    if value is negative.";
const BOUNDED: &CStr = c"\
    BoundedSemaphore(value=1)\n--\n\nA semaphore that cannot be released more often than it \
    was acquired: that is a ValueError.";
