//! `wait_for()`: awaits what it is given, inside of a [`Timeout`](crate::timeouts).
//!
//! A timeout that is no plain number above zero, or no number at all, is asyncio's own business.

use batonloop_cpython::coroutine;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::native::{self, Body, Coroutine};
use batonloop_cpython::timeouts::Timeout;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, intern};

use crate::coroutines::{CREATED, PyCoroutine, Then, awaited_already, drive};
use crate::exceptions;
use crate::mixins::owner;
use crate::names::{self, none};
use crate::timeouts;

/// The stage at which it waits.
const WAITING: u8 = 1;

static WAIT_FOR: Body = Body {
    name: "wait_for",
    qualified_name: "wait_for",
    step: |this, thrown| drive(this, thrown, wait_on),
};

/// `wait_for(awaitable, timeout)`; the timeout is a number above zero, or None.
pub(crate) fn new<'py>(
    awaitable: &Bound<'py, PyAny>,
    timeout: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = native::new(&WAIT_FOR, awaitable.clone())?;
    made.fields().argument.fill(timeout.clone());
    Ok(made.into_any())
}

/// Enters the timeout, and leaves it when the wait is over, however it ended.
#[inline]
fn wait_on<'py>(
    this: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let py = this.py();
    let fields = this.fields();
    if stage == CREATED {
        let delay = given.map(|_| fields.argument.get(py).unwrap_or_else(|| none(py)))?;
        let timeout = timeouts::after(&delay)?;
        timeouts::enter(&timeout)?;
        fields.kept.fill(timeout.into_any());
        let awaitable = checked(owner(this));
        return match awaitable {
            Ok(awaitable) => Ok(Then::Wait(awaitable, WAITING)),
            Err(error) => wait_on(this, WAITING, Err(error)),
        };
    }
    let timeout = fields.kept.get(py).unwrap_or_else(|| none(py));
    let timeout =
        kind::cast_exact::<Timeout>(&timeout).ok_or_else(|| exceptions::stranger(&timeout))?;
    timeouts::leave(timeout, given).map(Then::Done)
}

/// What to await in the place of `awaitable`, which may be anything: an `async def` knows best.
#[inline]
fn checked(awaitable: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = awaitable.py();
    if kind::cast_exact_future(&awaitable).is_some() || kind::is_exact::<Coroutine>(&awaitable) {
        return Ok(awaitable);
    }
    if !coroutine::is_native(&awaitable) {
        return names::AWAITING.get(py)?.call1((awaitable,));
    }
    if awaitable.getattr(intern!(py, "cr_await"))?.is_none() {
        return Ok(awaitable);
    }
    Err(awaited_already())
}
