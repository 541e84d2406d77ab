//! Lock, Event, Condition, Semaphore and BoundedSemaphore, and what Barrier does in its turns.
//!
//! Who has to wait appends a future of the running loop to `_waiters`, a deque that everybody may
//! look at, and takes it out again when the wait is over, however it ended. Who lets others go on
//! settles the first future that is not done; the task behind it runs in its turn.
//!
//! What a subclass may have given another meaning (`acquire()`, `locked()`, `_wake_up_first()`) is
//! called as a method on whatever is not exactly of our types.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::deque;
use batonloop_cpython::kind::{self, Fields, Kind};
use batonloop_cpython::locks::{
    BoundedSemaphore, Condition, Event, Lock, LockFields, Semaphore, as_semaphore,
};
use batonloop_cpython::method::{Method, Property, TypeSlot};
use batonloop_cpython::native::{self, Body};
use pyo3::exceptions::PyRuntimeError;
use pyo3::types::{
    PyAny, PyAnyMethods, PyModule, PyModuleMethods, PyString, PyType, PyTypeMethods,
};
use pyo3::{Bound, PyResult, PyTypeInfo, Python, intern};

use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures;
use crate::futures::any::{is_cancelled, is_done, set_result};
use crate::mixins::{
    Stateful, ensure_nothing, get_loop, is_one_of, new_future, owner, set_slot, set_whatever,
    shown, slot_property, state_methods,
};
use crate::names::{self, boolean, none};
use crate::parameters::Words;

mod event;
mod condition;
mod barrier;
mod semaphore;

use semaphore::{ENTER_SEMAPHORE, is_plain_semaphore, release_semaphore};

/// The stage at which all of them wait.
const WAITING: u8 = 1;

// ---------------------------------------------------------------------------------------------
// What they have in common
// ---------------------------------------------------------------------------------------------

/// Lets a new future of the running loop wait.
#[inline(always)]
fn begin_to_wait<'py>(
    coroutine: &PyCoroutine<'py>,
    this: &Bound<'py, PyAny>,
    fields: &LockFields,
) -> PyResult<Then<'py>> {
    if fields.waiters.is_empty() {
        ensure_waiters(fields, this.py())?;
    }
    append_waiter(coroutine, fields, new_future(get_loop(this, &fields.event_loop)?)?)
}

/// The deque of those who wait, made for the first of them.
fn ensure_waiters<'py>(fields: &LockFields, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(waiters) = fields.waiters.get(py) {
        return Ok(waiters);
    }
    let waiters = names::DEQUE.get(py)?.call0()?;
    fields.waiters.set(waiters.clone());
    Ok(waiters)
}

/// Lets a future wait, and keeps it.
#[inline(always)]
fn append_waiter<'py>(
    coroutine: &PyCoroutine<'py>,
    fields: &LockFields,
    future: Bound<'py, PyAny>,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    deque::append(&ensure_waiters(fields, py)?, &future)?;
    coroutine.fields().kept.set(future.clone());
    Ok(Then::Wait(future, WAITING))
}

/// Takes the future out of the waiters again.
#[inline(always)]
fn stop_waiting(coroutine: &PyCoroutine<'_>, fields: &LockFields) -> PyResult<()> {
    let py = coroutine.py();
    let future = coroutine.fields().kept.get(py).unwrap_or_else(|| none(py));
    deque::remove(&fields.waiters.get(py).unwrap_or_else(|| none(py)), &future)
}

/// Whether anybody waits who was not cancelled.
fn has_live_waiters(fields: &LockFields, py: Python<'_>) -> PyResult<bool> {
    let Some(waiters) = fields.waiters.get(py) else {
        return Ok(false);
    };
    if deque::is_empty(&waiters)? {
        return Ok(false);
    }
    for waiter in waiters.try_iter()? {
        if !is_cancelled(&waiter?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `<batonloop.locks.Lock object at 0x... [state, waiters:n]>`.
fn describe<'py>(
    this: &Bound<'py, PyAny>,
    fields: &LockFields,
    state: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let plain = py.get_type::<PyAny>().call_method1(intern!(py, "__repr__"), (this,))?;
    let plain = plain.extract::<String>()?;
    let waiting = match fields.waiters.get(py) {
        Some(waiters) if waiters.is_truthy()? => format!(", waiters:{}", waiters.len()?),
        _ => String::new(),
    };
    let inner = plain.trim_start_matches('<').trim_end_matches('>');
    Ok(PyString::new(py, &format!("<{inner} [{state}{waiting}]>")).into_any())
}

/// What `__aexit__()` returns: it releases when it is awaited.
static EXIT: Body = Body {
    name: "__aexit__",
    qualified_name: "_ContextManagerMixin.__aexit__",
    step: |this, thrown| {
        drive(this, thrown, |this, _, given| {
            given?;
            let py = this.py();
            let owner = owner(this);
            if let Some(lock) = cast_plain::<Lock>(&owner) {
                release_lock(lock)?;
            } else if let Some(semaphore) = cast_plain::<Semaphore>(&owner) {
                release_semaphore(semaphore)?;
            } else {
                owner.call_method0(intern!(py, "release"))?;
            }
            Ok(Then::Done(none(py)))
        })
    },
};

const WORDS_OF_EXIT: Words<3> = Words {
    class: "_ContextManagerMixin",
    method: "__aexit__",
    names: ["exc_type", "exc", "tb"],
    required: 3,
};

/// What `__aenter__()` of a subclass returns: it awaits whatever `acquire()` is there.
static ENTER_BY_METHOD: Body = Body {
    name: "__aenter__",
    qualified_name: "_ContextManagerMixin.__aenter__",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| {
            given?;
            let py = this.py();
            if stage != CREATED {
                return Ok(Then::Done(none(py)));
            }
            Ok(Then::Wait(owner(this).call_method0(intern!(py, "acquire"))?, WAITING))
        })
    },
};

/// A kind of primitives.
trait Primitive: Kind<Fields = LockFields> + PyTypeInfo {
    /// Whether `_waiters` is a deque from the beginning; it is made when it is looked at.
    const ALWAYS_HAS_WAITERS: bool = false;
}

impl Primitive for Lock {}
impl Stateful for Lock {
    const STATE: &'static [&'static str] = &["_waiters", "_locked"];

    fn look_on<'py>(this: &Bound<'py, Self>, name: &Bound<'py, PyAny>) {
        look_on(this, name);
    }
}
impl Primitive for Event {
    const ALWAYS_HAS_WAITERS: bool = true;
}
impl Stateful for Event {
    const STATE: &'static [&'static str] = &["_waiters", "_value"];
}
impl Primitive for Condition {
    const ALWAYS_HAS_WAITERS: bool = true;
}
impl Stateful for Condition {
    const STATE: &'static [&'static str] = &["_lock", "_waiters"];

    fn look_on<'py>(this: &Bound<'py, Self>, name: &Bound<'py, PyAny>) {
        look_on(this, name);
    }
}
impl Primitive for Semaphore {}
impl Stateful for Semaphore {
    const STATE: &'static [&'static str] = &["_waiters", "_value"];

    fn look_on<'py>(this: &Bound<'py, Self>, name: &Bound<'py, PyAny>) {
        look_on(this, name);
    }
}
impl Stateful for BoundedSemaphore {
    const STATE: &'static [&'static str] = &["_bound_value", "_waiters", "_value"];

    fn look_on<'py>(this: &Bound<'py, Self>, name: &Bound<'py, PyAny>) {
        look_on(as_semaphore(this), name);
    }
}

/// An object as what it is, if nothing of it has another meaning, by a subclass or by what was set
/// on it.
#[inline(always)]
fn cast_plain<'a, 'py, K: Primitive>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, K>> {
    kind::cast_exact::<K>(object).filter(|this| !this.fields().is_patched.get())
}

/// Whether nothing of it has another meaning.
#[inline(always)]
fn is_plain<K: Primitive>(object: &Bound<'_, PyAny>) -> bool {
    cast_plain::<K>(object).is_some()
}

/// Only who has set a method of its own on it is asked for it.
fn look_on<'py, K: Primitive>(this: &Bound<'py, K>, name: &Bound<'py, PyAny>) {
    if is_one_of(name, &METHODS) {
        this.fields().is_patched.set(true);
    }
}

/// The methods that others of the same object go a short way round.
const METHODS: [&str; 8] = [
    "acquire",
    "release",
    "locked",
    "_wake_up_first",
    "_wake_up_next",
    "wait",
    "notify",
    "_notify",
];

fn common_properties<K: Primitive>() -> [Property<K>; 2] {
    [
        Property::write(
            c"_waiters",
            c"The futures of who waits, a deque; None before a lock has had any.",
            |this: &Bound<'_, K>| {
                if K::ALWAYS_HAS_WAITERS {
                    return ensure_waiters(this.fields(), this.py());
                }
                Ok(shown(&this.fields().waiters, this.py()))
            },
            |this: &Bound<'_, K>, value| {
                let set = if K::ALWAYS_HAS_WAITERS { set_whatever } else { set_slot };
                set(&this.fields().waiters, value)
            },
        ),
        slot_property!(
            K,
            c"_loop",
            c"The loop it belongs to; None before anybody waited.",
            event_loop
        ),
    ]
}

/// A flag that Python code may write.
fn flag<K: Primitive>(name: &'static CStr, doc: &'static CStr) -> Property<K> {
    Property::write(
        name,
        doc,
        |this: &Bound<'_, K>| Ok(this.fields().value.flag(this.py())),
        |this: &Bound<'_, K>, value| {
            this.fields().value.set_flag(value.ok_or_else(futures::cannot_delete)?);
            Ok(())
        },
    )
}

fn loop_method<K: Primitive>() -> Method<K> {
    Method::no_args(c"_get_loop", c"The loop it belongs to.", |this: &Bound<'_, K>| {
        get_loop(this.as_any(), &this.fields().event_loop)
    })
}

/// What begins and ends an `async with`.
fn context_methods<K: Primitive>() -> [Method<K>; 2] {
    [
        Method::no_args(c"__aenter__", c"Acquire.", |this: &Bound<'_, K>| {
            let owner = held_by(this.as_any());
            let body = if is_plain::<Lock>(&owner) {
                &ENTER_LOCK
            } else if is_plain_semaphore(&owner) {
                &ENTER_SEMAPHORE
            } else {
                &ENTER_BY_METHOD
            };
            Ok(native::new(body, owner)?.into_any())
        }),
        Method::args(
            c"__aexit__",
            c"__aexit__(exc_type, exc, tb)\n\nRelease.",
            |this: &Bound<'_, K>, args| {
                if args.positional().len() != 3 || args.has_keywords() {
                    WORDS_OF_EXIT.of_call(args)?;
                }
                Ok(native::new(&EXIT, held_by(this.as_any()))?.into_any())
            },
        ),
    ]
}

/// What an `async with` acquires: a condition's lock, where nothing comes between the two.
#[inline]
fn held_by<'py>(this: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let lock = cast_plain::<Condition>(this).and_then(condition::plain_lock);
    lock.filter(|lock| is_plain::<Lock>(lock)).map_or_else(|| this.clone(), Bound::into_any)
}

// ---------------------------------------------------------------------------------------------
// Lock
// ---------------------------------------------------------------------------------------------

type PyLock<'py> = Bound<'py, Lock>;

static ACQUIRE_LOCK: Body = Body {
    name: "acquire",
    qualified_name: "Lock.acquire",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| acquire_lock(this, stage, given, true))
    },
};

static ENTER_LOCK: Body = Body {
    name: "__aenter__",
    qualified_name: "_ContextManagerMixin.__aenter__",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| acquire_lock(this, stage, given, false))
    },
};

/// A step of `acquire()`.
#[inline(always)]
fn acquire_lock<'py>(
    coroutine: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
    says_true: bool,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let owner = owner(coroutine);
    let lock = kind::cast::<Lock>(&owner).ok_or_else(|| exceptions::stranger(&owner))?;
    let fields = lock.fields();
    if stage == CREATED {
        given?;
        if fields.value.is_true(py)? || has_live_waiters(fields, py)? {
            return begin_to_wait(coroutine, &owner, fields);
        }
    } else {
        stop_waiting(coroutine, fields)?;
        if let Err(error) = given {
            if exceptions::is_cancelled(&error, py) && !fields.value.is_true(py)? {
                wake_up_first(lock)?;
            }
            return Err(error);
        }
    }
    fields.value.set_plain(py, 1);
    Ok(Then::Done(if says_true { boolean(py, true) } else { none(py) }))
}

/// Lets the first waiter go on, unless it is about to.
#[inline(always)]
fn wake_up_first(lock: &PyLock<'_>) -> PyResult<()> {
    let py = lock.py();
    if !is_plain::<Lock>(lock) {
        return lock.call_method0(intern!(py, "_wake_up_first")).map(drop);
    }
    wake_up_first_here(lock)
}

#[inline(always)]
fn wake_up_first_here(lock: &PyLock<'_>) -> PyResult<()> {
    let py = lock.py();
    let Some(waiters) = lock.fields().waiters.get(py) else {
        return Ok(());
    };
    if deque::is_empty(&waiters)? {
        return Ok(());
    }
    let first = waiters.get_item(0)?;
    if is_done(&first)? { Ok(()) } else { set_result(&first, boolean(py, true)) }
}

#[inline(always)]
fn release_lock(lock: &PyLock<'_>) -> PyResult<()> {
    let (value, py) = (&lock.fields().value, lock.py());
    if !value.is_true(py)? {
        return Err(PyRuntimeError::new_err("Lock is not acquired."));
    }
    value.set_plain(py, 0);
    wake_up_first(lock)
}

fn make_lock(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Lock>::new(c"batonloop.locks.Lock", LOCK)
        .methods([
            Method::no_args(c"acquire", ACQUIRE, |this: &PyLock<'_>| {
                Ok(native::new(&ACQUIRE_LOCK, this.as_any().clone())?.into_any())
            }),
            Method::no_args(c"release", RELEASE, |this: &PyLock<'_>| {
                release_lock(this)?;
                Ok(none(this.py()))
            }),
            Method::no_args(c"locked", c"Return True if lock is acquired.", |this: &PyLock<'_>| {
                Ok(this.fields().value.flag(this.py()))
            }),
            Method::no_args(
                c"_wake_up_first",
                c"Let the first waiter go on.",
                |this: &PyLock<'_>| {
                    wake_up_first_here(this)?;
                    Ok(none(this.py()))
                },
            ),
            loop_method(),
        ])
        .methods(context_methods())
        .methods(state_methods())
        .properties(common_properties())
        .properties([flag(c"_locked", c"Whether it is acquired.")])
        .slots([
            TypeSlot::set_attribute(look_on::<Lock>),
            TypeSlot::init(|this: &PyLock<'_>, args, kwargs| {
                ensure_nothing("Lock", args, kwargs)?;
                this.fields().waiters.clear(this.py());
                this.fields().value.set_plain(this.py(), 0);
                Ok(())
            }),
            TypeSlot::repr(|this: &PyLock<'_>| {
                let is_locked = this.fields().value.is_true(this.py())?;
                let state = if is_locked { "locked" } else { "unlocked" };
                describe(this.as_any(), this.fields(), state)
            }),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

/// Adds the types to the module, and what a barrier needs.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for primitive in make_types(module.py())? {
        module.add(primitive.name()?, primitive)?;
    }
    barrier::add(module)
}

/// Makes the types.
fn make_types(py: Python<'_>) -> PyResult<[Bound<'_, PyType>; 5]> {
    let (lock, condition) = (make_lock(py)?, condition::make_condition(py)?);
    let semaphore = semaphore::make_semaphore(py)?;
    #[cfg(not(Py_3_14))]
    for class in [&lock, &condition, &semaphore] {
        batonloop_cpython::block::bind_for_less(class)?;
    }
    let bounded = semaphore::make_bounded(&semaphore)?;
    Ok([lock, event::make_event(py)?, condition, semaphore, bounded])
}

const LOCK: &CStr = c"\
    Lock()\n--\n\nA lock for tasks, free at first.\n\nacquire() waits until it is free and takes \
    it; release() frees it and lets the first of those who\nwait go on. `async with lock:` does \
    both.";
const ACQUIRE: &CStr = c"\
    Wait until it can be acquired, acquire it, and return True.\n\nA coroutine.";
const RELEASE: &CStr = c"\
    Give it back, and let the first of those who wait go on.\n\nRaises RuntimeError for a lock \
    that is not acquired, ValueError for a bounded semaphore beyond its\nbound.";
