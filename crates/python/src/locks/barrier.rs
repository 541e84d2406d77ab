//! `Barrier.wait()`: whoever comes waits for all others.
//!
//! ```text
//!   takes the lock ──▶ waits for the end of the last ──▶ is counted ──▶ waits for the others
//!       ENTERING                  OUTSIDE                                     INSIDE
//! ```
//!
//! The class is asyncio's own on a Condition of ours, and so is all of it that is called once in a
//! while; the states, the count and the condition are attributes, which anybody may look at and
//! change, but its methods are not asked for by name. What is said here holds for a barrier of just
//! that class, whose condition and lock are plain; asyncio's `wait()` serves all others.

use batonloop_cpython::coroutine;
use batonloop_cpython::kind::Fields;
use batonloop_cpython::locks::Condition;
use batonloop_cpython::method::{self, Args};
use batonloop_cpython::native::{self, Body};
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyModule, PyModuleMethods, PyType};
use pyo3::{Bound, Py, PyErr, PyResult, Python, intern};

use super::condition::{self, PyCondition, WAIT_FOR_NOTICE};
use super::{ACQUIRE_LOCK, cast_plain, has_live_waiters};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::mixins::owner;
use crate::names;

/// The lock is acquired.
const ENTERING: u8 = 1;
/// Waits until the barrier drains or resets no longer.
const OUTSIDE: u8 = 2;
/// Is counted, and waits until the barrier is full.
const INSIDE: u8 = 3;

/// The states, in the order in which asyncio names them.
struct States<'py> {
    filling: &'py Bound<'py, PyAny>,
    draining: &'py Bound<'py, PyAny>,
    resetting: &'py Bound<'py, PyAny>,
    broken: &'py Bound<'py, PyAny>,
}

impl<'py> States<'py> {
    fn get(py: Python<'py>) -> PyResult<Self> {
        static STATES: PyOnceLock<[Py<PyAny>; 4]> = PyOnceLock::new();
        let make = || {
            let class = names::BARRIER_STATE.get(py)?;
            let [filling, draining, resetting, broken] =
                ["FILLING", "DRAINING", "RESETTING", "BROKEN"]
                    .map(|name| class.getattr(name).map(Bound::unbind));
            Ok::<_, PyErr>([filling?, draining?, resetting?, broken?])
        };
        let [filling, draining, resetting, broken] = STATES.get_or_try_init(py, make)?;
        Ok(Self {
            filling: filling.bind(py),
            draining: draining.bind(py),
            resetting: resetting.bind(py),
            broken: broken.bind(py),
        })
    }
}

/// `wait()`. It keeps the condition as its argument, and its index once it is counted.
static WAIT_FOR_ALL: Body = Body {
    name: "wait",
    qualified_name: "Barrier.wait",
    step: |this, thrown| drive(this, thrown, wait_for_all),
};

/// A step of `wait()`: `async with` the condition.
fn wait_for_all<'py>(
    coroutine: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let kept = coroutine.fields().argument.get(py).unwrap_or_else(|| names::none(py));
    let condition = condition::of(&kept)?;
    match stage {
        CREATED | ENTERING => {
            given?;
            if stage == CREATED
                && let Some(then) = enter(condition)?
            {
                return Ok(then);
            }
            finally(meet(coroutine, condition), || condition::release_of(condition), py)
        }
        OUTSIDE => {
            let met = given.and_then(|_| meet(coroutine, condition));
            finally(met, || condition::release_of(condition), py)
        }
        _ => {
            let met = given.and_then(|_| wait_inside(coroutine, condition));
            let left = finally(met, || leave(coroutine, condition), py);
            finally(left, || condition::release_of(condition), py)
        }
    }
}

/// Acquires the lock; what is to be awaited, if it is not free.
fn enter<'py>(condition: &PyCondition<'py>) -> PyResult<Option<Then<'py>>> {
    let py = condition.py();
    let Some(lock) = condition::plain_lock(condition) else {
        let acquire = condition.call_method0(intern!(py, "acquire"))?;
        return Ok(Some(Then::Wait(acquire, ENTERING)));
    };
    let fields = lock.fields();
    if fields.value.is_true(py)? || has_live_waiters(fields, py)? {
        let acquire = native::new(&ACQUIRE_LOCK, lock.into_any())?;
        return Ok(Some(Then::Wait(acquire.into_any(), ENTERING)));
    }
    fields.value.set_plain(py, 1);
    Ok(None)
}

/// Comes to the barrier, with the lock: what asyncio's `_block()` does, and what comes after it.
fn meet<'py>(coroutine: &PyCoroutine<'py>, condition: &PyCondition<'py>) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let barrier = owner(coroutine);
    let states = States::get(py)?;
    let state = barrier.getattr(intern!(py, "_state"))?;
    if state.is(states.draining) || state.is(states.resetting) {
        return wait_for_notice(condition, OUTSIDE);
    }
    if state.is(states.broken) {
        return Err(broken("Barrier aborted", py)?);
    }
    finally(join(coroutine, condition), || leave(coroutine, condition), py)
}

/// Is counted. The last to come lets all others go on.
fn join<'py>(coroutine: &PyCoroutine<'py>, condition: &PyCondition<'py>) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let barrier = owner(coroutine);
    let index = barrier.getattr(intern!(py, "_count"))?;
    coroutine.fields().kept.fill(index.clone());
    let number = index.add(1)?;
    barrier.setattr(intern!(py, "_count"), &number)?;
    if !number.eq(barrier.getattr(intern!(py, "_parties"))?)? {
        return wait_inside(coroutine, condition);
    }
    barrier.setattr(intern!(py, "_state"), States::get(py)?.draining)?;
    condition::notify_all(condition)?;
    Ok(Then::Done(index))
}

/// Waits until the barrier is full, as asyncio's `_wait()` does.
fn wait_inside<'py>(
    coroutine: &PyCoroutine<'py>,
    condition: &PyCondition<'py>,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let states = States::get(py)?;
    let state = owner(coroutine).getattr(intern!(py, "_state"))?;
    if state.is(states.filling) {
        return wait_for_notice(condition, INSIDE);
    }
    if state.is(states.broken) || state.is(states.resetting) {
        return Err(broken("Abort or reset of barrier", py)?);
    }
    Ok(Then::Done(coroutine.fields().kept.get(py).unwrap_or_else(|| names::none(py))))
}

/// Is counted no more. The last to leave lets in who waits outside.
fn leave<'py>(coroutine: &PyCoroutine<'py>, condition: &PyCondition<'py>) -> PyResult<()> {
    let py = coroutine.py();
    let barrier = owner(coroutine);
    let number = barrier.getattr(intern!(py, "_count"))?.sub(1)?;
    barrier.setattr(intern!(py, "_count"), &number)?;
    if !number.eq(0)? {
        return Ok(());
    }
    let states = States::get(py)?;
    let state = barrier.getattr(intern!(py, "_state"))?;
    if state.is(states.resetting) || state.is(states.draining) {
        barrier.setattr(intern!(py, "_state"), states.filling)?;
    }
    condition::notify_all(condition).map(drop)
}

fn wait_for_notice<'py>(condition: &PyCondition<'py>, stage: u8) -> PyResult<Then<'py>> {
    let notice = native::new(&WAIT_FOR_NOTICE, condition.as_any().clone())?;
    Ok(Then::Wait(notice.into_any(), stage))
}

/// What a `finally` block does: once there is nothing more to wait for, `end` is called, while the
/// exception is being handled, if there is one.
fn finally<'py>(
    met: PyResult<Then<'py>>,
    end: impl FnOnce() -> PyResult<()>,
    py: Python<'py>,
) -> PyResult<Then<'py>> {
    match met {
        Ok(Then::Wait(..)) => met,
        Ok(done) => end().map(|()| done),
        Err(error) => {
            let exception = coroutine::exception_of(error, py);
            coroutine::while_handling(&exception, || {
                end().map_err(|error| coroutine::raised(&coroutine::exception_of(error, py)))
            })?;
            Err(PyErr::from_value(exception))
        }
    }
}

/// It is made when it is raised, so that what is being handled then is its context.
fn broken(message: &'static str, py: Python<'_>) -> PyResult<PyErr> {
    let class = names::BROKEN_BARRIER_ERROR.get(py)?.cast::<PyType>()?;
    Ok(PyErr::from_type(class.clone(), (message,)))
}

/// `wait(self)`, for barriers of just our class on a plain condition.
fn wait<'py>(py: Python<'py>, args: Args<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let ([barrier], false) = (args.positional(), args.has_keywords()) else {
        return Ok(None);
    };
    if !barrier.get_type().is(names::BARRIER.get(py)?) {
        return Ok(None);
    }
    let Some(condition) = barrier.getattr_opt(intern!(py, "_cond"))? else {
        return Ok(None);
    };
    let is_plain = |it| condition::plain_lock(it).is_some();
    if !cast_plain::<Condition>(&condition).is_some_and(is_plain) {
        return Ok(None);
    }
    let made = native::new(&WAIT_FOR_ALL, barrier.clone())?;
    made.fields().argument.fill(condition);
    Ok(Some(made.into_any()))
}

/// Adds asyncio's `Barrier.wait()`, with this one before it, to the module.
pub(super) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let asyncio = py.import("asyncio.locks")?;
    let original = asyncio.getattr("Barrier")?.getattr("wait")?;
    let made = method::answered(&original, &asyncio.dict(), "batonloop.locks", WAIT, wait)?;
    module.add("_wait_at_barrier", made)
}

const WAIT: &str = "\
    Wait until all parties have come, and return a number from 0 to parties - 1, each to one of \
    them.\n\nRaises BrokenBarrierError if the barrier is aborted, or reset while this waits.";
