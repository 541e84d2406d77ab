//! `shield()`: a future that may be cancelled without cancelling what it stands for.
//!
//! ```text
//!   inner ──callbacks──▶ shield ──▶ outer      the result goes out
//!   inner ◀── shield ◀──callbacks── outer      who is done early is told no more
//! ```
//!
//! Since 3.14 the task that called `shield()` is linked to the inner future, for call graphs, and
//! one more callback of that future takes the link away.
//!
//! What is said here holds for a future of just our types, or a coroutine, on a loop of ours that
//! is not in debug mode. All else is asyncio's own `shield()`.

use std::ffi::CStr;
use std::sync::LazyLock;

use batonloop_core::Stage;
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::context;
use batonloop_cpython::kind::shields::{Role, Shield};
use batonloop_cpython::kind::{self, Fields, Future};
use batonloop_cpython::method::{self, Args, BoundFunction};
use pyo3::types::{PyAny, PyAnyMethods, PyModule, PyModuleMethods, PyType};
use pyo3::{Bound, PyResult, Python, intern};

use crate::exceptions;
use crate::futures::any::is_cancelled;
use crate::futures::{self, PyFuture, Resident};
use crate::host::EventLoop;
use crate::names;
use crate::running;
use crate::tasks;
#[cfg(Py_3_14)]
use crate::tasks::known;

type PyShield<'py> = Bound<'py, Shield>;

/// `shield(arg)`.
fn shield<'py>(module: &Bound<'py, PyAny>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    if let ([arg], false) = (args.positional(), args.has_keywords())
        && let Some(inner) = inner_of(arg)?
    {
        if futures::stage(inner.fields()).is_done() {
            return Ok(inner.into_any());
        }
        if let Some(event_loop) = inner.fields().event_loop.get(py)
            && EventLoop::direct(&event_loop).is_some_and(|ours| ours.has_own_create_future.get(py))
        {
            let outer = futures::new(event_loop)?;
            join(&inner, &outer)?;
            return Ok(outer.into_any());
        }
        return names::ASYNCIO_SHIELD.get(py)?.call1((inner,));
    }
    args.pass_on(names::ASYNCIO_SHIELD.get(py)?)
}

/// The future to be shielded: a plain one itself, or the task of a plain coroutine.
fn inner_of<'py>(arg: &Bound<'py, PyAny>) -> PyResult<Option<PyFuture<'py>>> {
    let py = arg.py();
    if let Some(future) = kind::cast_exact_future(arg) {
        return Ok(Some(future.clone()));
    }
    if tasks::is_plain(arg)
        && let Ok(event_loop) = running::get(py)
        && let Some(ours) = EventLoop::of(&event_loop)
        && ours.makes_plain_tasks(py)
    {
        let task = tasks::new(&event_loop, ours, arg)?;
        return Ok(Some(kind::task_as_future(&task).clone()));
    }
    Ok(None)
}

/// Lets the two tell each other when they are done.
fn join<'py>(inner: &PyFuture<'py>, outer: &PyFuture<'py>) -> PyResult<()> {
    let py = inner.py();
    let context = context::copy_current(py)?;
    let inside = new(inner, &context, Role::Inner)?;
    let outside = new(inner, &context, Role::Outer)?;
    for shield in [&inside, &outside] {
        shield.fields().outer.fill(outer.as_any().clone());
    }
    outside.fields().twin.fill(inside.as_any().clone());
    if let Some(caller) = tell_caller(inner, &context)? {
        inside.fields().twin.fill(caller.into_any());
    }
    futures::add_resident(inner, inside.as_any(), None)?;
    futures::add_resident(outer, outside.as_any(), None)
}

/// One that stands in no future yet.
fn new<'py>(
    inner: &PyFuture<'py>,
    context: &Bound<'py, PyAny>,
    role: Role,
) -> PyResult<PyShield<'py>> {
    let shield = kind::allocate::<Shield>(inner.py())?;
    let fields = shield.fields();
    fields.inner.fill(inner.as_any().clone());
    fields.context.fill(context.clone());
    fields.role.set(role);
    Ok(shield)
}

/// Before 3.14 nobody is known to await what is shielded.
#[cfg(not(Py_3_14))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
fn tell_caller<'py>(_: &PyFuture<'py>, _: &Bound<'py, PyAny>) -> PyResult<Option<PyShield<'py>>> {
    Ok(None)
}

/// The current task, if there is one, awaits the inner future until that is done.
#[cfg(Py_3_14)]
fn tell_caller<'py>(
    inner: &PyFuture<'py>,
    context: &Bound<'py, PyAny>,
) -> PyResult<Option<PyShield<'py>>> {
    let Some(event_loop) = inner.fields().event_loop.get(inner.py()) else {
        return Ok(None);
    };
    let shield = new(inner, context, Role::Caller)?;
    let waiter = &shield.fields().waiter;
    known::fill_waiter(waiter, &event_loop)?;
    if waiter.is_empty() {
        return Ok(None);
    }
    known::link(inner.as_any(), waiter)?;
    futures::add_resident(inner, shield.as_any(), None)?;
    Ok(Some(shield))
}

// ---------------------------------------------------------------------------------------------
// Told
// ---------------------------------------------------------------------------------------------

impl Resident for Shield {
    const VERB: &'static str = "shield";

    /// Always the same one.
    fn callable<'py>(shield: &PyShield<'py>) -> PyResult<Bound<'py, PyAny>> {
        static TELLING: LazyLock<BoundFunction<Shield>> =
            LazyLock::new(|| futures::telling(c"_done_callback"));
        let py = shield.py();
        let fields = shield.fields();
        let make = || {
            let name = match fields.role.get() {
                Role::Inner => intern!(py, "_inner_done_callback"),
                Role::Outer => intern!(py, "_outer_done_callback"),
                #[cfg(Py_3_14)]
                Role::Caller => intern!(py, "_clear_awaited_by_callback"),
            };
            names::SHIELD_CALLBACK.get(py)?.call1((TELLING.bind(shield)?, name))
        };
        futures::remembered(&fields.callable, make, py)
    }

    fn context<'py>(shield: &PyShield<'py>) -> Option<Bound<'py, PyAny>> {
        shield.fields().context.get(shield.py())
    }

    fn told<'py>(shield: &PyShield<'py>, future: &Bound<'py, PyAny>) -> PyResult<()> {
        match shield.fields().role.get() {
            Role::Inner => inner_done(shield, future),
            Role::Outer => outer_done(shield),
            #[cfg(Py_3_14)]
            Role::Caller => known::unlink(future, &shield.fields().waiter),
        }
    }
}

/// What asyncio's `_inner_done_callback` does.
fn inner_done<'py>(shield: &PyShield<'py>, inner: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = shield.py();
    let Some(outer) = shield.fields().outer.get(py) else {
        return Ok(());
    };
    let Some(outer) = kind::cast_exact::<Future>(&outer) else {
        return Err(exceptions::stranger(&outer));
    };
    if futures::stage(outer.fields()) == Stage::Cancelled {
        if COUNTS_AS_RETRIEVED && !is_cancelled(inner)? {
            futures::any::exception(inner)?;
        }
        return Ok(());
    }
    if is_cancelled(inner)? {
        return futures::cancel(outer, None).map(drop);
    }
    if let Some(own) = kind::cast_exact_future(inner)
        && futures::has_result(own)
    {
        return futures::finish(outer, futures::result(own)?).map_err(|error| *error);
    }
    let exception = futures::any::exception(inner)?;
    if !exception.is_none() {
        return futures::fail(outer, &exception);
    }
    let result = inner.call_method0(intern!(py, "result"))?;
    futures::finish(outer, result).map_err(|error| *error)
}

/// Whether nobody hears of an exception of the inner future once the outer one is cancelled. Since
/// 3.14 the loop's exception handler does.
#[cfg(not(Py_3_14))]
const COUNTS_AS_RETRIEVED: bool = true;
/// Whether nobody hears of an exception of the inner future once the outer one is cancelled. Since
/// 3.14 the loop's exception handler does.
#[cfg(Py_3_14)]
const COUNTS_AS_RETRIEVED: bool = false;

/// What asyncio's `_outer_done_callback` does.
fn outer_done(shield: &PyShield<'_>) -> PyResult<()> {
    let py = shield.py();
    let fields = shield.fields();
    if let (Some(inner), Some(twin)) = (fields.inner.get(py), fields.twin.get(py))
        && let Some(twin) = kind::cast_exact::<Shield>(&twin)
        && let Some(inner) = kind::cast_exact_future(&inner)
        && !futures::stage(inner.fields()).is_done()
    {
        futures::tell_no_more(inner.as_any(), twin)?;
        leave(inner, twin)?;
    }
    Ok(())
}

/// Before 3.14 nothing is left to be done.
#[cfg(not(Py_3_14))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
fn leave(_: &PyFuture<'_>, _: &PyShield<'_>) -> PyResult<()> {
    Ok(())
}

/// An exception of the inner future, which nobody awaits any more, will be logged, and newer ones
/// of 3.14 take the caller's link away at once.
#[cfg(Py_3_14)]
fn leave<'py>(inner: &PyFuture<'py>, inside: &PyShield<'py>) -> PyResult<()> {
    let py = inner.py();
    let log = names::LOG_ON_EXCEPTION.get(py)?;
    // Only one is kept.
    inner.call_method1(intern!(py, "remove_done_callback"), (log,))?;
    futures::add_callback(inner, log.clone(), None)?;
    if let Some(caller) = inside.fields().twin.get(py)
        && let Some(caller) = kind::cast_exact::<Shield>(&caller)
        && names::outer_of_shield_unlinks(py)?
    {
        futures::tell_no_more(inner.as_any(), caller)?;
        known::unlink(inner.as_any(), &caller.fields().waiter)?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// The type
// ---------------------------------------------------------------------------------------------

/// Makes the type.
fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Shield>::new(c"batonloop.tasks._Shield", DOC)
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

/// Adds the type and the function to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("_Shield", make_type(module.py())?)?;
    // asyncio's own, before anybody puts ours in its place.
    names::ASYNCIO_SHIELD.get(module.py())?;
    let function = method::function(module, "batonloop", c"shield", SHIELD, shield)?;
    module.add("shield", function)
}

const DOC: &CStr = c"What shield() puts among the callbacks of its futures.";
const SHIELD: &CStr = c"\
    shield(arg)\n\nReturn a future that gets the result of a future or coroutine, and that may be \
    cancelled\nwithout cancelling it.\n\nKeep a reference to what is shielded: the loop does not.";
