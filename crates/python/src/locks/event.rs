//! Event: something that happens, and that tasks wait for.
//!
//! `set()` settles the futures of all who wait, in the order they came; each of them takes itself
//! out when its turn comes. So a `clear()` right after it keeps nobody back who was there.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::locks::Event;
use batonloop_cpython::method::{Method, TypeSlot};
use batonloop_cpython::native::{self, Body};
use pyo3::types::{PyAny, PyAnyMethods, PyType};
use pyo3::{Bound, PyResult, Python};

use super::{begin_to_wait, common_properties, describe, flag, loop_method, stop_waiting};
use crate::coroutines::{CREATED, PyCoroutine, Then, drive};
use crate::exceptions;
use crate::futures::any::{is_done, set_result};
use crate::mixins::{ensure_nothing, owner, state_methods};
use crate::names::{boolean, none};

type PyEvent<'py> = Bound<'py, Event>;

/// `wait()`.
static WAIT: Body = Body {
    name: "wait",
    qualified_name: "Event.wait",
    step: |this, thrown| drive(this, thrown, wait_for_event),
};

/// A step of `wait()`. Whoever was settled by a `set()` returns, be the flag clear again by then.
#[inline]
fn wait_for_event<'py>(
    coroutine: &PyCoroutine<'py>,
    stage: u8,
    given: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Then<'py>> {
    let owner = owner(coroutine);
    let event = kind::cast::<Event>(&owner).ok_or_else(|| exceptions::stranger(&owner))?;
    if stage != CREATED {
        stop_waiting(coroutine, event.fields())?;
        given?;
    } else if !event.fields().value.is_true(owner.py())? {
        return begin_to_wait(coroutine, &owner, event.fields());
    }
    Ok(Then::Done(boolean(coroutine.py(), true)))
}

/// `set()`: everybody who waits goes on. To set a flag that is set rouses nobody: who waits since
/// was put there by a `clear()`.
fn set_event<'py>(event: &PyEvent<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = event.py();
    let fields = event.fields();
    if fields.value.is_true(py)? {
        return Ok(none(py));
    }
    fields.value.set_plain(py, 1);
    if let Some(waiters) = fields.waiters.get(py) {
        for waiter in waiters.try_iter()? {
            let waiter = waiter?;
            if !is_done(&waiter)? {
                set_result(&waiter, boolean(py, true))?;
            }
        }
    }
    Ok(none(py))
}

/// Makes the type.
pub(super) fn make_event(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Event>::new(c"batonloop.locks.Event", EVENT)
        .methods([
            Method::no_args(
                c"is_set",
                c"Return True if and only if the internal flag is true.",
                |this: &PyEvent<'_>| Ok(this.fields().value.flag(this.py())),
            ),
            Method::no_args(c"set", SET, set_event),
            Method::no_args(c"clear", CLEAR, |this: &PyEvent<'_>| {
                this.fields().value.set_plain(this.py(), 0);
                Ok(none(this.py()))
            }),
            Method::no_args(c"wait", WAIT_DOC, |this: &PyEvent<'_>| {
                Ok(native::new(&WAIT, this.as_any().clone())?.into_any())
            }),
            loop_method(),
        ])
        .methods(state_methods())
        .properties(common_properties())
        .properties([flag(c"_value", c"Whether it is set.")])
        .slots([
            TypeSlot::init(|this: &PyEvent<'_>, args, kwargs| {
                ensure_nothing("Event", args, kwargs)?;
                this.fields().waiters.clear(this.py());
                this.fields().value.set_plain(this.py(), 0);
                Ok(())
            }),
            TypeSlot::repr(|this: &PyEvent<'_>| {
                let state = if this.fields().value.is_true(this.py())? { "set" } else { "unset" };
                describe(this.as_any(), this.fields(), state)
            }),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

const EVENT: &CStr = c"\
    Event()\n--\n\nSomething that happens once, or again after clear(), and that tasks wait for.";
const SET: &CStr = c"Set the flag: everybody who waits goes on.";
const CLEAR: &CStr = c"Reset the flag: who waits from now on waits for the next set().";
const WAIT_DOC: &CStr = c"Wait until the flag is set, and return True.\n\nA coroutine.";
