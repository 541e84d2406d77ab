//! The running loop of a thread, known without asking the interpreter.
//!
//! `asyncio.get_running_loop()` is a lookup in the state of the thread. While a loop of ours runs,
//! one word says the same, for the one thread that runs it, until anybody sets another running
//! loop: `_asyncio._set_running_loop` tells us, where it could be given a new body (see
//! [`patch`](batonloop_cpython::patch)). Everywhere else, and in any other thread, the interpreter
//! is asked.

use batonloop_cpython::Outcome;
use batonloop_cpython::call::Builtin;
use batonloop_cpython::cell::{GilCell, GilSlot};
use batonloop_cpython::thread;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyAny;
use pyo3::{Bound, Python};

use crate::names;

/// The loop that was announced last, if nobody has set another since.
static RUNNING: GilSlot = GilSlot::new();
/// The thread that runs it; 0 if none does.
static THREAD: GilCell<u64> = GilCell::new(0);
/// Whether `_asyncio._set_running_loop` tells of every change.
static IS_TOLD: GilCell<bool> = GilCell::new(false);

/// From now on every change of a running loop comes by [`forget`].
#[cfg(all(Py_3_12, not(Py_3_14)))]
pub(crate) fn trust(py: Python<'_>) {
    IS_TOLD.set(py, true);
}

/// `event_loop` runs in this thread from now on, and asyncio knows it.
pub(crate) fn announce(event_loop: &Bound<'_, PyAny>) {
    let py = event_loop.py();
    if IS_TOLD.get(py) {
        RUNNING.slot(py).set(event_loop.clone());
        THREAD.set(py, thread::id(py));
    }
}

/// Some thread is about to set another running loop, or none.
#[cfg(all(Py_3_12, not(Py_3_14)))]
pub(crate) fn forget(py: Python<'_>) {
    THREAD.set(py, 0);
    RUNNING.slot(py).clear(py);
}

/// The running loop of this thread, as `asyncio.get_running_loop()` gives it.
///
/// # Errors
///
/// RuntimeError if there is none.
#[inline(always)]
pub(crate) fn get(py: Python<'_>) -> Outcome<Bound<'_, PyAny>> {
    if THREAD.get(py) == thread::id(py)
        && let Some(event_loop) = RUNNING.slot(py).get(py)
    {
        return Ok(event_loop);
    }
    ask(py)
}

#[inline(never)]
fn ask(py: Python<'_>) -> Outcome<Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Builtin> = PyOnceLock::new();
    let function =
        FUNCTION.get_or_try_init(py, || names::GET_RUNNING_LOOP.get(py).map(Builtin::new))?;
    function.call(py)
}
