//! Condition: a state that tasks look at under a lock, and wait for.
//!
//! ```text
//!   wait()   holds the lock ──▶ waits without it ──▶ acquires it again ──▶ holds the lock
//!                            WAITING              ACQUIRING
//! ```
//!
//! Nothing may prevent the second arrow but the lock itself: who is cancelled on the way goes on
//! until he has the lock, and is told then. Newer versions of Python pass the notice on to another
//! waiter if whoever got it cannot go on; what the running one does is asked once.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::coroutine;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::locks::{Condition, Lock};
use batonloop_cpython::method::{Args, Method, Property, TypeSlot};
use batonloop_cpython::native::{self, Body};
use pyo3::exceptions::PyRuntimeError;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyString, PyType};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::{
    ACQUIRE_LOCK, PyLock, WAITING, append_waiter, common_properties, context_methods, describe,
    has_live_waiters, is_plain, look_on, loop_method, release_lock, stop_waiting,
};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures::any::{is_done, set_result};
use crate::mixins::{
    get_loop, new_future, one_argument, optional, owner, set_whatever, shown, state_methods,
    with_argument,
};
use crate::names::{self, boolean, none};

pub(super) type PyCondition<'py> = Bound<'py, Condition>;

/// The stage at which a condition's lock is acquired again.
const ACQUIRING: u8 = 2;

/// `wait()`: whatever ends it after it began to wait passes the notice on.
pub(super) static WAIT_FOR_NOTICE: Body = Body {
    name: "wait",
    qualified_name: "Condition.wait",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| {
            let owner = owner(this);
            let condition = of(&owner)?;
            let stepped = wait_for_notice(this, condition, stage, given);
            if stepped.is_err() && stage != CREATED && passes_notices_on(this.py())? {
                // The notice may have been for this one: another waiter gets it.
                notify_one(condition)?;
            }
            stepped
        })
    },
};

/// `wait_for()`: as often as the predicate is false, it waits again.
static WAIT_FOR_PREDICATE: Body = Body {
    name: "wait_for",
    qualified_name: "Condition.wait_for",
    step: |this, thrown| {
        drive(this, thrown, |this, _, given| {
            given?;
            let py = this.py();
            let predicate = this.fields().argument.get(py).unwrap_or_else(|| none(py));
            let result = predicate.call0()?;
            if result.is_truthy()? {
                return Ok(Then::Done(result));
            }
            let owner = owner(this);
            let wait = if is_plain::<Condition>(&owner) {
                native::new(&WAIT_FOR_NOTICE, owner)?.into_any()
            } else {
                owner.call_method0(intern!(py, "wait"))?
            };
            Ok(Then::Wait(wait, WAITING))
        })
    },
};

/// An object as the condition that it is; whose method a coroutine is of, for one.
pub(super) fn of<'a, 'py>(owner: &'a Bound<'py, PyAny>) -> PyResult<&'a PyCondition<'py>> {
    kind::cast::<Condition>(owner).ok_or_else(|| exceptions::stranger(owner))
}

/// Whether one who cannot go on after a notice passes it on, as newer versions of Python do. Those
/// also make the future before they release the lock, and say how the last cancellation was put.
fn passes_notices_on(py: Python<'_>) -> PyResult<bool> {
    static PASSES: PyOnceLock<bool> = PyOnceLock::new();
    let passes = || names::ASYNCIO_CONDITION.get(py)?.hasattr(intern!(py, "_notify"));
    PASSES.get_or_try_init(py, passes).copied()
}

/// The lock of a plain condition, if that was a plain lock of ours when the condition was made.
/// What is set on the lock afterwards a condition does not see in asyncio either.
pub(super) fn plain_lock<'py>(condition: &PyCondition<'py>) -> Option<PyLock<'py>> {
    if !is_plain::<Condition>(condition) {
        return None;
    }
    let lock = condition.fields().lock().get(condition.py())?;
    kind::cast_exact::<Lock>(&lock).cloned()
}

/// Whether the lock of a condition is held; it must be for a wait and for a notice.
fn ensure_acquired(condition: &PyCondition<'_>, action: &str) -> PyResult<()> {
    let locked = match plain_lock(condition) {
        Some(lock) => lock.fields().value.is_true(lock.py())?,
        None => condition.call_method0(intern!(condition.py(), "locked"))?.is_truthy()?,
    };
    if locked {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(format!("cannot {action} on un-acquired lock")))
}

/// `release()` of the lock, whatever lock that is.
pub(super) fn release_of(condition: &PyCondition<'_>) -> PyResult<()> {
    match plain_lock(condition) {
        Some(lock) => release_lock(&lock),
        None => condition.call_method0(intern!(condition.py(), "release")).map(drop),
    }
}

/// A step of `wait()`.
fn wait_for_notice<'py>(
    coroutine: &PyCoroutine<'py>,
    condition: &PyCondition<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let fields = condition.fields();
    match (stage, given) {
        (CREATED, given) => {
            given?;
            ensure_acquired(condition, "wait")?;
            if passes_notices_on(py)? {
                let future = new_future(get_loop(condition, &fields.event_loop)?)?;
                release_of(condition)?;
                return append_waiter(coroutine, fields, future);
            }
            release_of(condition)?;
            let begun = get_loop(condition, &fields.event_loop).and_then(new_future);
            match begun.and_then(|future| append_waiter(coroutine, fields, future)) {
                Ok(then) => Ok(then),
                Err(error) => acquire_again(coroutine, condition, Some(error)),
            }
        }
        (WAITING, given) => {
            let given = stop_waiting(coroutine, fields).and(given);
            acquire_again(coroutine, condition, given.err())
        }
        (_, Ok(_)) => coroutine.fields().argument.take(py).map_or_else(
            || Ok(Then::Done(boolean(py, true))),
            |exception| Err(PyErr::from_value(exception)),
        ),
        (_, Err(error)) if exceptions::is_cancelled(&error, py) => {
            let error = cancelled_again(coroutine, error)?;
            acquire_again(coroutine, condition, Some(error))
        }
        (_, Err(error)) => Err(error),
    }
}

/// What comes out of a wait that is cancelled while it acquires the lock: that, after what came out
/// of the wait for a notice. From the first time on None stands in the place of the waiter.
#[cold]
fn cancelled_again(coroutine: &PyCoroutine<'_>, error: PyErr) -> PyResult<PyErr> {
    let py = coroutine.py();
    let fields = coroutine.fields();
    let arrived = coroutine::exception_of(error, py);
    let mut first = fields.argument.take(py);
    if fields.kept.holds_none(py) {
        first = first.map(|kept| kept.getattr(intern!(py, "__context__"))).transpose()?;
    }
    fields.kept.set(none(py));
    // The one that has arrived is raised only to get its context: up to 3.12 another one comes out.
    let first = first.filter(|first| !first.is_none());
    if let Some(first) = &first {
        drop(coroutine::while_handling(first, || coroutine::raised(&arrived)));
    }
    let exception =
        if passes_notices_on(py)? { arrived } else { exceptions::new_cancelled(None, py)? };
    Ok(match &first {
        Some(first) => coroutine::while_handling(first, || coroutine::raised(&exception)),
        None => coroutine::raised(&exception),
    })
}

/// Acquires the lock again, which nothing may prevent; then comes what came out of the wait.
fn acquire_again<'py>(
    coroutine: &PyCoroutine<'py>,
    condition: &PyCondition<'py>,
    error: Option<PyErr>,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let Some(lock) = plain_lock(condition) else {
        keep_error(coroutine, error);
        let acquire = condition.call_method0(intern!(py, "acquire"))?;
        return Ok(Then::Wait(acquire, ACQUIRING));
    };
    let fields = lock.fields();
    if fields.value.is_true(py)? || has_live_waiters(fields, py)? {
        keep_error(coroutine, error);
        let acquire = native::new(&ACQUIRE_LOCK, lock.into_any())?;
        return Ok(Then::Wait(acquire.into_any(), ACQUIRING));
    }
    fields.value.set_plain(py, 1);
    error.map_or_else(|| Ok(Then::Done(boolean(py, true))), Err)
}

/// Keeps what came out of the wait.
fn keep_error(coroutine: &PyCoroutine<'_>, error: Option<PyErr>) {
    let Some(error) = error else {
        return;
    };
    let exception = coroutine::exception_of(error, coroutine.py());
    coroutine.fields().argument.set(exception);
}

/// Lets waiters go on as long as `more` says so of their number so far.
fn notify_some(
    condition: &PyCondition<'_>,
    more: impl Fn(usize) -> PyResult<bool>,
) -> PyResult<()> {
    let py = condition.py();
    let Some(waiters) = condition.fields().waiters.get(py) else {
        return Ok(());
    };
    let mut number = 0;
    for waiter in waiters.try_iter()? {
        if !more(number)? {
            break;
        }
        let waiter = waiter?;
        if !is_done(&waiter)? {
            number += 1;
            set_result(&waiter, boolean(py, false))?;
        }
    }
    Ok(())
}

/// Lets as many go on as `most` says, a Python number.
fn notify_most<'py>(
    condition: &PyCondition<'py>,
    most: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    notify_some(condition, |number| most.gt(number))?;
    Ok(none(condition.py()))
}

/// `notify()`: one, or as many as are asked for.
fn notify<'py>(condition: &PyCondition<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let most = optional(args, ["Condition", "notify", "n"])?;
    ensure_acquired(condition, "notify")?;
    match most {
        Some(most) if means_its_own(condition)? => {
            condition.call_method1(intern!(condition.py(), "_notify"), (most,))
        }
        Some(most) => notify_most(condition, &most),
        None => {
            notify_one(condition)?;
            Ok(none(condition.py()))
        }
    }
}

/// Lets one go on.
fn notify_one(condition: &PyCondition<'_>) -> PyResult<()> {
    if means_its_own(condition)? {
        return condition.call_method1(intern!(condition.py(), "_notify"), (1,)).map(drop);
    }
    notify_some(condition, |number| Ok(number < 1))
}

/// Whether a condition may have its own `_notify()`, where there is one: by a subclass, or because
/// it was set on it.
fn means_its_own(condition: &PyCondition<'_>) -> PyResult<bool> {
    Ok(!is_plain::<Condition>(condition) && passes_notices_on(condition.py())?)
}

/// `notify_all()`: as many as wait now. A subclass may have its own idea of how many that is.
pub(super) fn notify_all<'py>(condition: &PyCondition<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = condition.py();
    if is_plain::<Condition>(condition) {
        ensure_acquired(condition, "notify")?;
        let all = match condition.fields().waiters.get(py) {
            Some(waiters) => waiters.len()?,
            None => 0,
        };
        notify_some(condition, |number| Ok(number < all))?;
        return Ok(none(py));
    }
    let waiters = condition.getattr(intern!(py, "_waiters"))?;
    condition.call_method1(intern!(py, "notify"), (waiters.len()?,))
}

/// The methods of the lock, which a condition has as its own.
fn of_the_lock() -> [Property<Condition>; 3] {
    [
        Property::read(c"locked", c"locked() of the lock.", |this: &PyCondition<'_>| {
            method_of_the_lock(this, intern!(this.py(), "locked"))
        }),
        Property::read(c"acquire", c"acquire() of the lock.", |this: &PyCondition<'_>| {
            method_of_the_lock(this, intern!(this.py(), "acquire"))
        }),
        Property::read(c"release", c"release() of the lock.", |this: &PyCondition<'_>| {
            method_of_the_lock(this, intern!(this.py(), "release"))
        }),
    ]
}

/// One of them; of a plain lock as its class has it, whatever was set on the lock since.
fn method_of_the_lock<'py>(
    condition: &PyCondition<'py>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    match plain_lock(condition).filter(|lock| !is_plain::<Lock>(lock)) {
        Some(lock) => {
            let method = lock.get_type().getattr(name)?;
            method.call_method1(intern!(name.py(), "__get__"), (lock,))
        }
        None => the_lock(condition).getattr(name),
    }
}

/// The lock; None before `__init__()` ran.
fn the_lock<'py>(condition: &PyCondition<'py>) -> Bound<'py, PyAny> {
    shown(condition.fields().lock(), condition.py())
}

/// Makes the type. The lock's methods are looked up when it is made, so that what is no lock is
/// refused at once.
pub(super) fn make_condition(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Condition>::new(c"batonloop.locks.Condition", CONDITION)
        .methods([
            Method::no_args(c"wait", WAIT_FOR_NOTICE_DOC, |this: &PyCondition<'_>| {
                Ok(native::new(&WAIT_FOR_NOTICE, this.as_any().clone())?.into_any())
            }),
            Method::args(c"wait_for", WAIT_FOR_DOC, |this: &PyCondition<'_>, args| {
                with_argument(args, ["Condition", "wait_for", "predicate"], |predicate| {
                    let made = native::new(&WAIT_FOR_PREDICATE, this.as_any().clone())?;
                    made.fields().argument.fill(predicate.clone());
                    Ok(made.into_any())
                })
            }),
            Method::args(c"notify", NOTIFY, notify),
            Method::no_args(c"notify_all", NOTIFY_ALL, notify_all),
            Method::one_arg(c"_notify", c"As notify(n), whoever has the lock.", notify_most),
            loop_method(),
        ])
        .methods(context_methods())
        .methods(state_methods())
        .properties(common_properties())
        .properties(of_the_lock())
        .properties([Property::write(
            c"_lock",
            c"The lock.",
            |this: &PyCondition<'_>| Ok(the_lock(this)),
            |this: &PyCondition<'_>, value| set_whatever(this.fields().lock(), value),
        )])
        .slots([
            TypeSlot::set_attribute(look_on::<Condition>),
            TypeSlot::init(|this: &PyCondition<'_>, args, kwargs| {
                let py = this.py();
                let lock = match one_argument("Condition", "lock", args, kwargs)? {
                    Some(lock) if !lock.is_none() => lock,
                    _ => kind::allocate::<Lock>(py)?.into_any(),
                };
                for name in ["locked", "acquire", "release"] {
                    lock.getattr(name)?;
                }
                let fields = this.fields();
                fields.is_patched.set(kind::is_exact::<Lock>(&lock) && !is_plain::<Lock>(&lock));
                fields.lock().set(lock);
                fields.waiters.clear(py);
                Ok(())
            }),
            TypeSlot::repr(|this: &PyCondition<'_>| {
                let locked = this.call_method0(intern!(this.py(), "locked"))?.is_truthy()?;
                let state = if locked { "locked" } else { "unlocked" };
                describe(this.as_any(), this.fields(), state)
            }),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

const CONDITION: &CStr = c"\
    Condition(lock=None)\n--\n\nTasks wait until another notifies them; a lock is held meanwhile \
    by who looks and who notifies.";
const WAIT_FOR_NOTICE_DOC: &CStr = c"\
    Release the lock, wait until notified, acquire the lock again, and return True.\n\nA \
    coroutine. It may return without a notice: look at the state again. Raises RuntimeError if \
    the lock is\nnot acquired.";
const WAIT_FOR_DOC: &CStr = c"\
    wait_for(predicate)\n\nWait until predicate() is true, and return what it returned.\n\nA \
    coroutine.";
const NOTIFY: &CStr = c"\
    notify(n=1)\n\nLet n of those who wait go on once they get the lock.\n\nRaises RuntimeError \
    if the lock is not acquired.";
const NOTIFY_ALL: &CStr = c"\
    Let all who wait go on once they get the lock.\n\nRaises RuntimeError if the lock is not \
    acquired.";
