//! `gather()`: one future for the results of many.
//!
//! What it gives, the gathering, stands among the callbacks of each child itself. A child that is
//! done is queued as what it is, in the place where asyncio queues a callback; when its turn comes
//! it counts one down, and the last one collects the results.
//!
//! ```text
//!   gather(*args) ──▶ gathering ◀── in callback0 ── child, child, child ...
//!                         │                             │ done: (child, gather) is queued
//!                         │◀──────── one less ──────────┘
//!                         └─▶ the last one, or the first that fails: it gets its result
//! ```
//!
//! What is said here holds on a running loop of ours that is not in debug mode, for coroutines and
//! for futures of just our types that belong to that loop. All else is asyncio's own `gather()`.

use std::ffi::CStr;
use std::sync::LazyLock;

use batonloop_core::Stage;
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::context;
use batonloop_cpython::kind::{self, Fields, Future, Gathering, Task, gatherings};
use batonloop_cpython::method::{Args, BoundFunction, Method, Property, TypeSlot};
use pyo3::exceptions::PyTypeError;
use pyo3::types::{
    PyAny, PyAnyMethods, PyBool, PyBoolMethods, PyDict, PyDictMethods, PyList, PyListMethods,
    PyModule, PyModuleMethods, PyTuple, PyTupleMethods, PyType,
};
use pyo3::{Bound, PyResult, intern};

use crate::coroutines::Level;
use crate::futures::any::{is_cancelled, is_done};
use crate::futures::{self, PyFuture, Resident};
use crate::host::EventLoop;
use crate::names::{self, boolean, none};
use crate::running;
use crate::tasks::{self, known};

mod seen;

use seen::Seen;

type PyGathering<'py> = Bound<'py, Gathering>;

// ---------------------------------------------------------------------------------------------
// Begun
// ---------------------------------------------------------------------------------------------

/// `gather(*coros_or_futures, return_exceptions=False)`.
fn gather<'py>(module: &Bound<'py, PyAny>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = module.py();
    if let Some(returns_exceptions) = return_exceptions(args)
        && let Ok(event_loop) = running::get(py)
        && let Some(ours) = EventLoop::direct(&event_loop)
        && are_plain(args.positional(), &event_loop)
    {
        let gathering = new(&event_loop, returns_exceptions)?;
        let done = adopt(&gathering, &event_loop, ours, args.positional())?;
        // Those that were done before they were asked: after the gathering is whole.
        for child in done {
            Gathering::told(&gathering, &child)?;
        }
        return Ok(gathering.into_any());
    }
    args.pass_on(names::ASYNCIO_GATHER.get(py)?)
}

/// `return_exceptions`, if it is a bool and all that was given by name.
#[inline]
fn return_exceptions(args: Args<'_, '_>) -> Option<bool> {
    if !args.has_keywords() {
        return Some(false);
    }
    let mut found = None;
    for (name, value) in args.keywords() {
        if name.extract::<&str>().ok()? != "return_exceptions" {
            return None;
        }
        found = value.cast_exact::<PyBool>().ok().map(|value| value.is_true());
    }
    found
}

/// Whether there is something to gather, and nothing but coroutines and futures of just our types
/// that belong to this loop.
fn are_plain(args: &[Bound<'_, PyAny>], event_loop: &Bound<'_, PyAny>) -> bool {
    let is_plain = |arg: &Bound<'_, PyAny>| {
        tasks::is_plain(arg)
            || kind::cast_exact_future(arg)
                .is_some_and(|future| future.fields().event_loop.holds(event_loop))
    };
    !args.is_empty() && args.iter().all(is_plain)
}

/// A gathering that has no children yet.
fn new<'py>(
    event_loop: &Bound<'py, PyAny>,
    returns_exceptions: bool,
) -> PyResult<PyGathering<'py>> {
    let py = event_loop.py();
    let gathering = kind::allocate::<Gathering>(py)?;
    let fields = gathering.fields();
    fields.future().event_loop.fill(event_loop.clone());
    fields.context.fill(context::copy_current(py)?);
    fields.returns_exceptions.set(returns_exceptions);
    known::fill_waiter(&fields.waiter, event_loop)?;
    Ok(gathering)
}

/// Makes futures of the arguments and lets the gathering be told of them; gives those that are done
/// already.
///
/// Where that fails, as it can in a task factory, the gathering never gets its list of children:
/// those that it has are only looked at, as asyncio does it.
fn adopt<'py>(
    gathering: &PyGathering<'py>,
    event_loop: &Bound<'py, PyAny>,
    ours: &EventLoop,
    args: &[Bound<'py, PyAny>],
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = gathering.py();
    let fields = gathering.fields();
    let mut seen = Seen::new(args);
    let mut children: Vec<Bound<'py, PyAny>> = Vec::with_capacity(args.len());
    let mut done = Vec::new();
    for (index, arg) in args.iter().enumerate() {
        if let Some(first) = seen.place_before(index) {
            children.push(children[first].clone());
            continue;
        }
        fields.left.set(fields.left.get() + 1);
        if ours.makes_plain_tasks(py) && tasks::is_plain(arg) {
            let task = tasks::new(event_loop, ours, arg)?;
            task.fields().set_log_destroy_pending(false);
            known::link(task.as_any(), &fields.waiter)?;
            futures::add_resident(kind::task_as_future(&task), gathering.as_any(), None)?;
            children.push(task.into_any());
            continue;
        }
        let child = ensure_future(arg, event_loop)?;
        if NOTICES_DONE && is_done(&child)? {
            done.push(child.clone());
        } else {
            known::link(&child, &fields.waiter)?;
            futures::tell(&child, gathering)?;
        }
        children.push(child);
    }
    let children = PyList::new(py, children)?;
    fields.children.fill(children.clone().into_any());
    tell_waiter(gathering, &children)?;
    Ok(done)
}

/// Since 3.12 a child that is done when it is given is dealt with at once.
#[cfg(Py_3_12)]
const NOTICES_DONE: bool = true;
/// Since 3.12 a child that is done when it is given is dealt with at once.
#[cfg(not(Py_3_12))]
const NOTICES_DONE: bool = false;

/// A future of the loop: the argument itself, or what the loop makes of a coroutine.
fn ensure_future<'py>(
    arg: &Bound<'py, PyAny>,
    event_loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if kind::cast_exact_future(arg).is_some() {
        return Ok(arg.clone());
    }
    let py = arg.py();
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "loop"), event_loop)?;
    let made = names::ASYNCIO_ENSURE_FUTURE.get(py)?.call((arg,), Some(&keywords))?;
    match kind::cast_exact::<Task>(&made) {
        Some(task) => task.fields().set_log_destroy_pending(false),
        None => made.setattr(intern!(py, "_log_destroy_pending"), false)?,
    }
    Ok(made)
}

/// Before 3.14 nobody is known to await the children.
#[cfg(not(Py_3_14))]
#[inline(always)]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
fn tell_waiter(_: &PyGathering<'_>, _: &Bound<'_, PyList>) -> PyResult<()> {
    Ok(())
}

/// When the gathering is over, its caller awaits no child any more: newer ones of 3.14 see to that.
#[cfg(Py_3_14)]
fn tell_waiter<'py>(gathering: &PyGathering<'py>, children: &Bound<'py, PyList>) -> PyResult<()> {
    let py = gathering.py();
    let Some(waiter) = gathering.fields().waiter.get(py) else {
        return Ok(());
    };
    if !names::has_discard_awaited_by(py)? {
        return Ok(());
    }
    let discard = names::OWN_DISCARD_AWAITED_BY.get(py)?;
    let callback = names::PARTIAL.get(py)?.call1((discard, children, waiter))?;
    futures::add_callback(gatherings::as_future(gathering), callback, None)
}

/// `_discard_awaited_by(children, waiter, outer)`.
#[cfg(Py_3_14)]
fn discard_awaited_by<'py>(
    module: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let parsed = args.parse("_discard_awaited_by", ["children", "waiter", "outer"], 3)?;
    if let [Some(children), Some(waiter), _] = parsed {
        for child in children.try_iter()? {
            known::unlink_from(&child?, waiter)?;
        }
    }
    Ok(none(module.py()))
}

// ---------------------------------------------------------------------------------------------
// Told
// ---------------------------------------------------------------------------------------------

impl Resident for Gathering {
    const VERB: &'static str = "gather";

    /// Always the same one.
    fn callable<'py>(gathering: &PyGathering<'py>) -> PyResult<Bound<'py, PyAny>> {
        static TELLING: LazyLock<BoundFunction<Gathering>> =
            LazyLock::new(|| futures::telling(c"_done_callback"));
        let py = gathering.py();
        let make = || names::GATHER_CALLBACK.get(py)?.call1((TELLING.bind(gathering)?,));
        futures::remembered(&gathering.fields().callable, make, py)
    }

    fn context<'py>(gathering: &PyGathering<'py>) -> Option<Bound<'py, PyAny>> {
        gathering.fields().context.get(gathering.py())
    }

    /// Nothing is to be done but to count, as long as others are left and none has failed.
    #[inline]
    fn told_plainly<'py>(gathering: &PyGathering<'py>, child: &PyFuture<'py>) -> PyResult<bool> {
        let is_one_of_many = gathering.fields().left.get() > 1
            && futures::has_result(child)
            && futures::stage(gathering.fields().future()) == Stage::Pending;
        if is_one_of_many {
            count_down(gathering, child.as_any())?;
        }
        Ok(is_one_of_many)
    }

    /// What asyncio's `_done_callback` does.
    fn told<'py>(gathering: &PyGathering<'py>, child: &Bound<'py, PyAny>) -> PyResult<()> {
        let fields = gathering.fields();
        count_down(gathering, child)?;
        if fields.children.is_empty() || futures::stage(fields.future()).is_done() {
            if !is_cancelled(child)? {
                // It counts as retrieved.
                futures::any::exception(child)?;
            }
            return Ok(());
        }
        let outer = gatherings::as_future(gathering);
        if !fields.returns_exceptions.get() {
            if is_cancelled(child)? {
                return futures::fail(outer, &make_cancelled_error(child)?);
            }
            let exception = futures::any::exception(child)?;
            if !exception.is_none() {
                return futures::fail(outer, &exception);
            }
        }
        if fields.left.get() == 0 { finish(gathering, child) } else { Ok(()) }
    }
}

/// One child less to wait for.
#[inline]
fn count_down<'py>(gathering: &PyGathering<'py>, child: &Bound<'py, PyAny>) -> PyResult<()> {
    let fields = gathering.fields();
    fields.left.set(fields.left.get().saturating_sub(1));
    known::unlink(child, &fields.waiter)
}

/// All children are done.
fn finish<'py>(gathering: &PyGathering<'py>, last: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = gathering.py();
    let fields = gathering.fields();
    let outer = gatherings::as_future(gathering);
    let children = fields.children.get(py).unwrap_or_else(|| PyList::empty(py).into_any());
    let children = children.cast::<PyList>()?;
    let mut last = last.clone();
    let mut results = Vec::with_capacity(children.len());
    for child in children.iter() {
        results.push(outcome(&child)?);
        last = child;
    }
    if fields.cancel_requested.get() {
        return futures::fail(outer, &make_cancelled_error(&last)?);
    }
    let results = PyList::new(py, results)?;
    futures::finish(outer, results.into_any()).map_err(|error| *error)
}

/// What stands for a child in the list of results.
#[inline]
fn outcome<'py>(child: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = child.py();
    if let Some(future) = kind::cast_exact_future(child)
        && futures::has_result(future)
    {
        return futures::result(future);
    }
    if is_cancelled(child)? {
        let message = child.getattr(intern!(py, "_cancel_message"))?;
        let class = names::CANCELLED_ERROR.get(py)?;
        return if message.is_none() { class.call1(("",)) } else { class.call1((message,)) };
    }
    let exception = futures::any::exception(child)?;
    if exception.is_none() { child.call_method0(intern!(py, "result")) } else { Ok(exception) }
}

/// `_make_cancelled_error()` of a future of any class.
fn make_cancelled_error<'py>(child: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind::cast_exact_future(child) {
        Some(future) => futures::make_cancelled_error(future),
        None => child.call_method0(intern!(child.py(), "_make_cancelled_error")),
    }
}

// ---------------------------------------------------------------------------------------------
// Cancelled
// ---------------------------------------------------------------------------------------------

/// `cancel()`: cancels the children; what becomes of the gathering, they decide.
fn cancel<'py>(gathering: &PyGathering<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = gathering.py();
    let fields = gathering.fields();
    let [message] = args.parse("cancel", ["msg"], 1)?;
    if futures::stage(fields.future()).is_done() {
        return Ok(boolean(py, false));
    }
    let mut cancelled = false;
    let _level = Level::enter(py)?;
    if let Some(children) = fields.children.get(py) {
        for child in children.cast::<PyList>()?.iter() {
            cancelled |= cancel_child(&child, message)?;
        }
    }
    if cancelled {
        fields.cancel_requested.set(true);
    }
    Ok(boolean(py, cancelled))
}

fn cancel_child<'py>(
    child: &Bound<'py, PyAny>,
    message: Option<&Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let py = child.py();
    if let Some(task) = kind::cast_exact::<Task>(child) {
        return tasks::cancel(task, message);
    }
    if let Some(future) = kind::cast_exact::<Future>(child) {
        return futures::cancel(future, message.cloned());
    }
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "msg"), message)?;
    child.call_method(intern!(py, "cancel"), (), Some(&keywords))?.is_truthy()
}

// ---------------------------------------------------------------------------------------------
// The type
// ---------------------------------------------------------------------------------------------

/// `_GatheringFuture(children, *, loop)`.
fn init<'py>(
    gathering: &PyGathering<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    let mut children = args.get_item(0).ok();
    let mut event_loop = None;
    for (name, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
        match name.extract::<&str>()? {
            "children" if children.is_none() => children = Some(value),
            "loop" => event_loop = Some(value),
            other => {
                let message =
                    format!("_GatheringFuture.__init__() got an unexpected argument '{other}'");
                return Err(PyTypeError::new_err(message));
            }
        }
    }
    let (Some(children), Some(event_loop), true) = (children, event_loop, args.len() <= 1) else {
        let message = "_GatheringFuture.__init__() takes 'children' and, by its name, 'loop'";
        return Err(PyTypeError::new_err(message));
    };
    futures::initialise(gatherings::as_future(gathering), Some(&event_loop))?;
    let children = gathering.py().get_type::<PyList>().call1((children,))?;
    gathering.fields().children.set(children);
    gathering.fields().cancel_requested.set(false);
    Ok(())
}

/// Makes the type on our Future, which is its base.
pub(crate) fn make_type<'py>(future: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyType>> {
    let py = future.py();
    TypeBuilder::<Gathering>::new(c"batonloop.tasks._GatheringFuture", DOC)
        .methods([Method::args(c"cancel", CANCEL, cancel)])
        .properties([
            Property::read(c"_children", c"The list of futures.", |this: &PyGathering<'_>| {
                Ok(this.fields().children.get(this.py()).unwrap_or_else(|| none(this.py())))
            }),
            Property::read(
                c"_cancel_requested",
                c"Whether cancel() has cancelled a child.",
                |this: &PyGathering<'_>| {
                    Ok(boolean(this.py(), this.fields().cancel_requested.get()))
                },
            ),
        ])
        .slots([TypeSlot::init(init)])
        .named_as_a_class()
        .build(&bases(py, &[future.as_any()])?)
}

/// Adds the function to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    use batonloop_cpython::method::function;

    let py = module.py();
    // asyncio's own, before anybody puts ours in its place.
    names::ASYNCIO_GATHER.get(py)?;
    names::ASYNCIO_GATHERING_FUTURE.get(py)?;
    module.add("gather", function(module, "batonloop", c"gather", GATHER, gather)?)?;
    #[cfg(Py_3_14)]
    module.add(
        "_discard_awaited_by",
        function(
            module,
            "batonloop",
            c"_discard_awaited_by",
            c"The caller of gather() awaits the children no longer.",
            discard_awaited_by,
        )?,
    )?;
    Ok(())
}

const DOC: &CStr = c"\
    What gather() gives: its cancel() cancels the children, and does not mark itself as cancelled.";
const CANCEL: &CStr =
    c"cancel(msg=None)\n\nCancel the children; return whether there was one to cancel.";
const GATHER: &CStr = c"\
    gather(*coros_or_futures, return_exceptions=False)\n\nReturn a future of the list of results \
    of the given coroutines and futures, in their order.\n\nThe first exception goes to that \
    future at once and the others run on; with return_exceptions\nexceptions stand among the \
    results. To cancel the future is to cancel all that are not done.";
