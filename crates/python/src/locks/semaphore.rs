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
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyTuple, PyType};
use pyo3::{Bound, PyResult, Python, intern};

use super::{
    ACQUIRE, RELEASE, begin_to_wait, common_properties, context_methods, describe,
    has_live_waiters, is_plain, look_on, loop_method, stop_waiting,
};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures;
use crate::futures::any::{is_cancelled, is_done, set_result};
use crate::mixins::{one_argument, owner, state_methods};
use crate::names::{self, boolean, none};

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
    is_plain::<Semaphore>(object)
        || kind::cast_exact::<BoundedSemaphore>(object)
            .is_some_and(|bounded| !as_semaphore(bounded).fields().is_patched.get())
}

/// `locked()`: whether it cannot be acquired at once.
fn is_locked(semaphore: &PySemaphore<'_>) -> PyResult<bool> {
    let fields = semaphore.fields();
    let py = semaphore.py();
    Ok(fields.value.is(py, CompareOp::Eq, 0)? || has_live_waiters(fields, py)?)
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
        fields.value.decrement(py)?;
        return done();
    }
    let given = stop_waiting(coroutine, fields).and(given);
    if wakes_as_many_as_it_can(py)? {
        let ended = after_wait(coroutine, semaphore, given);
        // Newcomers may have had to wait for this one although there was room.
        while fields.value.is(py, CompareOp::Gt, 0)? && wake_up_next(semaphore)? {}
        ended?;
    } else {
        after_wait(coroutine, semaphore, given)?;
        if fields.value.is(py, CompareOp::Gt, 0)? {
            wake_up_next(semaphore)?;
        }
    }
    done()
}

/// The permit of one who was cancelled after he had been given it is given back; where nobody is
/// woken afterwards, the next one is woken by that.
fn after_wait<'py>(
    coroutine: &PyCoroutine<'py>,
    semaphore: &PySemaphore<'py>,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = coroutine.py();
    let Err(error) = given else {
        return Ok(());
    };
    if !exceptions::is_cancelled(&error, py) {
        return Err(error);
    }
    let Some(future) = coroutine.fields().kept.get(py) else {
        return Err(error);
    };
    let wakes_many = wakes_as_many_as_it_can(py)?;
    if (!wakes_many || is_done(&future)?) && !is_cancelled(&future)? {
        semaphore.fields().value.increment(py)?;
        if !wakes_many {
            wake_up_next(semaphore)?;
        }
    }
    Err(error)
}

/// Whether one whose wait is over, however it ended, wakes as many as there are permits for, as in
/// newer versions of Python; in older ones who got a permit wakes one, and who was cancelled after
/// he had got it another. What the running one does is asked once: the newer method says whether
/// there was anybody to wake.
fn wakes_as_many_as_it_can(py: Python<'_>) -> PyResult<bool> {
    static MANY: PyOnceLock<bool> = PyOnceLock::new();
    let many = || {
        let semaphore = names::ASYNCIO_SEMAPHORE.get(py)?.call0()?;
        Ok(!semaphore.call_method0(intern!(py, "_wake_up_next"))?.is_none())
    };
    MANY.get_or_try_init(py, many).copied()
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
            fields.value.decrement(py)?;
            set_result(&waiter, boolean(py, true))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// `release()`: one more permit, and the next waiter gets it. A bounded one refuses to have more
/// than it began with.
pub(super) fn release_semaphore(semaphore: &PySemaphore<'_>) -> PyResult<()> {
    let fields = semaphore.fields();
    let py = semaphore.py();
    if kind::cast::<BoundedSemaphore>(semaphore).is_some()
        && fields.value.is_at_least(&fields.bound, py)?
    {
        return Err(PyValueError::new_err("BoundedSemaphore released too many times"));
    }
    fields.value.increment(py)?;
    wake_up_next(semaphore).map(drop)
}

/// `__init__()`: any value that is not less than zero.
fn semaphore_init(
    this: &PySemaphore<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    class: &'static str,
) -> PyResult<()> {
    let value = one_argument(class, "value", args, kwargs)?;
    let (fields, py) = (this.fields(), this.py());
    match value {
        None => {
            fields.bound.set_plain(py, 1);
            fields.value.set_plain(py, 1);
        }
        Some(value) => {
            fields.bound.set(&value);
            if value.lt(0)? {
                return Err(PyValueError::new_err("Semaphore initial value must be >= 0"));
            }
            fields.value.set(&value);
        }
    }
    fields.waiters.clear(py);
    Ok(())
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
                |this: &PySemaphore<'_>| {
                    let py = this.py();
                    let woke = wake_up_next_here(this)?;
                    Ok(if wakes_as_many_as_it_can(py)? { boolean(py, woke) } else { none(py) })
                },
            ),
            loop_method(),
        ])
        .methods(context_methods())
        .methods(state_methods())
        .properties(common_properties())
        .properties([Property::write(
            c"_value",
            c"How many may still acquire it.",
            |this: &PySemaphore<'_>| this.fields().value.get(this.py()),
            |this: &PySemaphore<'_>, value| {
                this.fields().value.set(value.ok_or_else(futures::cannot_delete)?);
                Ok(())
            },
        )])
        .slots([
            TypeSlot::set_attribute(look_on::<Semaphore>),
            TypeSlot::init(|this: &PySemaphore<'_>, args, kwargs| {
                semaphore_init(this, args, kwargs, "Semaphore")
            }),
            TypeSlot::repr(|this: &PySemaphore<'_>| {
                let locked = match is_plain_semaphore(this) {
                    true => is_locked(this)?,
                    false => this.call_method0(intern!(this.py(), "locked"))?.is_truthy()?,
                };
                let state = if locked {
                    "locked".to_owned()
                } else {
                    format!("unlocked, value:{}", this.fields().value.get(this.py())?.str()?)
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
        .methods(state_methods())
        .properties([Property::write(
            c"_bound_value",
            c"What the value may not exceed.",
            |this: &Bound<'_, BoundedSemaphore>| this.fields().bound.get(this.py()),
            |this: &Bound<'_, BoundedSemaphore>, value| {
                this.fields().bound.set(value.ok_or_else(futures::cannot_delete)?);
                Ok(())
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
