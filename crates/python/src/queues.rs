//! Queue; PriorityQueue and LifoQueue are subclasses of it, in Python.
//!
//! Who finds no item, or no room, appends a future of the running loop to `_getters` or `_putters`;
//! who puts or takes an item settles the first of the others that is not done. An item stays in
//! the queue until its getter runs: who is cancelled on the way loses nothing, and passes the turn
//! on.
//!
//! Whatever is not exactly a Queue is asked through its methods, which a subclass may define anew.

use batonloop_cpython::deque;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::locks::{Event, Queue, QueueFields};
#[cfg(Py_3_13)]
use batonloop_cpython::method::Args;
use batonloop_cpython::native::Body;
use batonloop_cpython::slot::Slot;
use pyo3::basic::CompareOp;
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyAny, PyAnyMethods, PyInt};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures::any::{is_cancelled, is_done, set_result};
#[cfg(Py_3_13)]
use crate::mixins::optional;
use crate::mixins::{get_loop, new_future, owner};
use crate::names::{self, Imported, none};

mod class;

pub(crate) use class::make_type;

type PyQueue<'py> = Bound<'py, Queue>;

/// The stage at which both sides wait.
const WAITING: u8 = 1;

// What `room` says beside a number.
const ENDLESS: i64 = 0;
const ASK_PYTHON: i64 = -1;

/// Whether nothing of it has another meaning, by a subclass or by what was set on it.
fn is_plain(queue: &PyQueue<'_>) -> bool {
    kind::is_exact::<Queue>(queue) && !queue.fields().is_patched.get()
}

#[cold]
fn raise(exception: &'static Imported, py: Python<'_>) -> PyErr {
    match exception.get(py) {
        Ok(class) => PyErr::from_type(
            class.clone().cast_into().unwrap_or_else(|_| py.get_type::<PyValueError>()),
            (),
        ),
        Err(error) => error,
    }
}

// ---------------------------------------------------------------------------------------------
// What is in it
// ---------------------------------------------------------------------------------------------

fn items<'py>(queue: &PyQueue<'py>) -> PyResult<Bound<'py, PyAny>> {
    match queue.fields().items.get(queue.py()) {
        Some(items) => Ok(items),
        None => queue.getattr(intern!(queue.py(), "_queue")),
    }
}

fn qsize(queue: &PyQueue<'_>) -> PyResult<usize> {
    items(queue)?.len()
}

fn empty(queue: &PyQueue<'_>) -> PyResult<bool> {
    deque::is_empty(&items(queue)?)
}

/// `empty()`, whatever that is.
#[inline]
fn is_empty(queue: &PyQueue<'_>) -> PyResult<bool> {
    if is_plain(queue) {
        return empty(queue);
    }
    queue.call_method0(intern!(queue.py(), "empty"))?.is_truthy()
}

fn full(queue: &PyQueue<'_>) -> PyResult<bool> {
    let py = queue.py();
    match queue.fields().room.get() {
        ENDLESS => Ok(false),
        ASK_PYTHON => {
            let most = queue.fields().maxsize.get(py).unwrap_or_else(|| none(py));
            if most.le(0)? {
                return Ok(false);
            }
            queue.call_method0(intern!(py, "qsize"))?.ge(most)
        }
        room if is_plain(queue) => Ok(qsize(queue)?.cast_signed() as i64 >= room),
        room => queue.call_method0(intern!(py, "qsize"))?.ge(room),
    }
}

/// `full()`, whatever that is.
#[inline]
fn is_full(queue: &PyQueue<'_>) -> PyResult<bool> {
    if is_plain(queue) {
        return full(queue);
    }
    queue.call_method0(intern!(queue.py(), "full"))?.is_truthy()
}

fn set_maxsize(fields: &QueueFields, value: Bound<'_, PyAny>) {
    let room = match value.cast_exact::<PyInt>().map(|number| number.extract::<i64>()) {
        Ok(Ok(number)) => number.max(ENDLESS),
        _ => ASK_PYTHON,
    };
    fields.room.set(room);
    fields.maxsize.set(value);
}

// ---------------------------------------------------------------------------------------------
// Those who wait
// ---------------------------------------------------------------------------------------------

/// A deque, made when it is first looked at.
fn ensure_deque<'py>(slot: &Slot, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(deque) = slot.get(py) {
        return Ok(deque);
    }
    let deque = names::DEQUE.get(py)?.call0()?;
    slot.set(deque.clone());
    Ok(deque)
}

/// Lets the next one go on who is not done. A subclass may have its own idea of who that is.
fn wake_up_next(queue: &PyQueue<'_>, waiters: &Slot) -> PyResult<()> {
    let py = queue.py();
    if !is_plain(queue) {
        let waiters = ensure_deque(waiters, py)?;
        return queue.call_method1(intern!(py, "_wakeup_next"), (waiters,)).map(drop);
    }
    match waiters.get(py) {
        Some(waiters) => wake_up_next_of(&waiters),
        None => Ok(()),
    }
}

fn wake_up_next_of(waiters: &Bound<'_, PyAny>) -> PyResult<()> {
    while !deque::is_empty(waiters)? {
        let waiter = deque::pop_left(waiters)?;
        if !is_done(&waiter)? {
            return set_result(&waiter, none(waiter.py()));
        }
    }
    Ok(())
}

/// Lets a new future wait.
fn wait<'py>(
    coroutine: &PyCoroutine<'py>,
    queue: &PyQueue<'py>,
    waiters: &Slot,
) -> PyResult<Then<'py>> {
    let py = queue.py();
    let future = new_future(get_loop(queue, &queue.fields().event_loop)?)?;
    deque::append(&ensure_deque(waiters, py)?, &future)?;
    coroutine.fields().kept.set(future.clone());
    Ok(Then::Wait(future, WAITING))
}

/// A wait has ended with an exception: takes the future out. Whether somebody had let it go on, so
/// that another may, unless `is_blocked` says that nobody can.
fn give_up(
    coroutine: &PyCoroutine<'_>,
    waiters: &Slot,
    is_blocked: impl FnOnce() -> PyResult<bool>,
) -> PyResult<bool> {
    let py = coroutine.py();
    let Some(future) = coroutine.fields().kept.take(py) else {
        return Ok(false);
    };
    future.call_method0(intern!(py, "cancel"))?;
    if let Some(waiters) = waiters.get(py)
        && let Err(error) = deque::remove(&waiters, &future)
        && !error.is_instance_of::<PyValueError>(py)
    {
        return Err(error);
    }
    Ok(!is_blocked()? && !is_cancelled(&future)?)
}

fn queue_of<'a, 'py>(owner: &'a Bound<'py, PyAny>) -> PyResult<&'a PyQueue<'py>> {
    kind::cast::<Queue>(owner).ok_or_else(|| exceptions::stranger(owner))
}

// ---------------------------------------------------------------------------------------------
// put
// ---------------------------------------------------------------------------------------------

static PUT: Body = Body {
    name: "put",
    qualified_name: "Queue.put",
    step: |this, thrown| drive(this, thrown, put),
};

/// A step of `put()`.
fn put<'py>(
    coroutine: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let owner = owner(coroutine);
    let queue = queue_of(&owner)?;
    let fields = queue.fields();
    if let Err(error) = given {
        if stage != CREATED && give_up(coroutine, &fields.putters, || is_full(queue))? {
            wake_up_next(queue, &fields.putters)?;
        }
        return Err(error);
    }
    if is_full(queue)? {
        if fields.is_shut_down.get() {
            return Err(shut_down(py));
        }
        return wait(coroutine, queue, &fields.putters);
    }
    let item = coroutine.fields().argument.get(py).unwrap_or_else(|| none(py));
    if is_plain(queue) {
        put_nowait(queue, &item)?;
        return Ok(Then::Done(none(py)));
    }
    Ok(Then::Done(owner.call_method1(intern!(py, "put_nowait"), (item,))?))
}

/// `put_nowait()`.
fn put_nowait<'py>(queue: &PyQueue<'py>, item: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = queue.py();
    let fields = queue.fields();
    if fields.is_shut_down.get() {
        return Err(shut_down(py));
    }
    if is_full(queue)? {
        return Err(raise(&names::QUEUE_FULL, py));
    }
    if is_plain(queue) {
        deque::append(&items(queue)?, item)?;
    } else {
        queue.call_method1(intern!(py, "_put"), (item,))?;
    }
    fields.unfinished.increment(py)?;
    if let Some(finished) = fields.finished.get(py) {
        match kind::cast_exact::<Event>(&finished) {
            Some(event) => event.fields().value.set_plain(py, 0),
            None => drop(finished.call_method0(intern!(py, "clear"))?),
        }
    }
    wake_up_next(queue, &fields.getters)
}

// ---------------------------------------------------------------------------------------------
// get
// ---------------------------------------------------------------------------------------------

static GET: Body = Body {
    name: "get",
    qualified_name: "Queue.get",
    step: |this, thrown| drive(this, thrown, get),
};

/// A step of `get()`.
fn get<'py>(
    coroutine: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = coroutine.py();
    let owner = owner(coroutine);
    let queue = queue_of(&owner)?;
    let fields = queue.fields();
    if let Err(error) = given {
        if stage != CREATED && give_up(coroutine, &fields.getters, || is_empty(queue))? {
            wake_up_next(queue, &fields.getters)?;
        }
        return Err(error);
    }
    if is_empty(queue)? {
        if fields.is_shut_down.get() && is_empty(queue)? {
            return Err(shut_down(py));
        }
        return wait(coroutine, queue, &fields.getters);
    }
    if is_plain(queue) {
        return Ok(Then::Done(take(queue)?));
    }
    Ok(Then::Done(owner.call_method0(intern!(py, "get_nowait"))?))
}

/// `get_nowait()`.
fn take<'py>(queue: &PyQueue<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    let fields = queue.fields();
    if is_empty(queue)? {
        let shut = fields.is_shut_down.get();
        return Err(if shut { shut_down(py) } else { raise(&names::QUEUE_EMPTY, py) });
    }
    let item = if is_plain(queue) {
        deque::pop_left(&items(queue)?)?
    } else {
        queue.call_method0(intern!(py, "_get"))?
    };
    wake_up_next(queue, &fields.putters)?;
    Ok(item)
}

// ---------------------------------------------------------------------------------------------
// The end of the work, and of the queue
// ---------------------------------------------------------------------------------------------

static JOIN: Body = Body {
    name: "join",
    qualified_name: "Queue.join",
    step: |this, thrown| {
        drive(this, thrown, |this, stage, given| {
            given?;
            let py = this.py();
            let owner = owner(this);
            let fields = queue_of(&owner)?.fields();
            if stage != CREATED || !fields.unfinished.is(py, CompareOp::Gt, 0)? {
                return Ok(Then::Done(none(py)));
            }
            let finished = fields.finished.get(py).unwrap_or_else(|| none(py));
            Ok(Then::Wait(finished.call_method0(intern!(py, "wait"))?, WAITING))
        })
    },
};

fn task_done<'py>(queue: &PyQueue<'py>) -> PyResult<Bound<'py, PyAny>> {
    let (unfinished, py) = (&queue.fields().unfinished, queue.py());
    if unfinished.is(py, CompareOp::Le, 0)? {
        return Err(PyValueError::new_err("task_done() called too many times"));
    }
    unfinished.decrement(py)?;
    if unfinished.is(py, CompareOp::Eq, 0)? {
        say_finished(queue)?;
    }
    Ok(none(queue.py()))
}

fn say_finished(queue: &PyQueue<'_>) -> PyResult<()> {
    match queue.fields().finished.get(queue.py()) {
        Some(finished) => finished.call_method0(intern!(queue.py(), "set")).map(drop),
        None => Ok(()),
    }
}

#[cfg(Py_3_13)]
fn shut_down(py: Python<'_>) -> PyErr {
    raise(&names::QUEUE_SHUT_DOWN, py)
}

/// Before 3.13 nothing shuts a queue down.
#[cfg(not(Py_3_13))]
fn shut_down(py: Python<'_>) -> PyErr {
    raise(&names::QUEUE_EMPTY, py)
}

/// `shutdown()`.
#[cfg(Py_3_13)]
fn shutdown<'py>(queue: &PyQueue<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    let fields = queue.fields();
    let immediate = optional(args, ["Queue", "shutdown", "immediate"])?;
    fields.is_shut_down.set(true);
    if immediate.map_or(Ok(false), |immediate| immediate.is_truthy())? {
        while !is_empty(queue)? {
            if is_plain(queue) {
                deque::pop_left(&items(queue)?)?;
            } else {
                queue.call_method0(intern!(py, "_get"))?;
            }
            if fields.unfinished.is(py, CompareOp::Gt, 0)? {
                fields.unfinished.decrement(py)?;
            }
        }
        if fields.unfinished.is(py, CompareOp::Eq, 0)? {
            say_finished(queue)?;
        }
    }
    for slot in [&fields.getters, &fields.putters] {
        let Some(waiters) = slot.get(py) else {
            continue;
        };
        while !deque::is_empty(&waiters)? {
            let waiter = deque::pop_left(&waiters)?;
            if !is_done(&waiter)? {
                set_result(&waiter, none(py))?;
            }
        }
    }
    Ok(none(py))
}
