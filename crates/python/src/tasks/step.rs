//! One step of a task: control goes into its coroutine, and the task obeys what comes out.

use std::sync::LazyLock;

use batonloop_core::{Arrival, Next, Resume, Step};
use batonloop_cpython::Outcome;
use batonloop_cpython::coroutine::{self, Sent};
use batonloop_cpython::exit::Stay;
use batonloop_cpython::kind::{self, Fields, Future, Task};
use batonloop_cpython::method::{Args, BoundFunction, Method};
use batonloop_cpython::{call, context};
use pyo3::exceptions::PyRuntimeError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyTuple};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::{PyTask, cancel_awaited, known, load, store};
use crate::events::{self, Arguments, Callback};
use crate::exceptions;
use crate::futures::{self, Waiter};
use crate::host::{EventLoop, Verb};

/// A task that has a step to make: its first, or one after a bare yield.
pub(crate) static STEP: Verb = Verb {
    name: "step",
    run,
    is_cancelled: |_| false,
    describe: |object| Ok(object.repr()?.into_any()),
};

/// A task whose awaited future is done.
pub(crate) static WAKE: Verb = Verb {
    name: "wake",
    run,
    is_cancelled: |_| false,
    describe: |object| Ok(object.repr()?.into_any()),
};

/// What a task that waits is to a future.
pub(crate) static WAITER: Waiter = Waiter { verb: &WAKE, callable: wakeup };

/// Gives control to a task whose turn has come. One that was woken brings along what it awaited.
fn run(object: Bound<'_, PyAny>, event_loop: &EventLoop) -> Outcome {
    let Some(task) = kind::cast_exact::<Task>(&object).or_else(|| kind::cast::<Task>(&object))
    else {
        return Err(exceptions::stranger(&object).into());
    };
    let Some(context) = task.fields().context.get(object.py()) else {
        return Ok(());
    };
    let outcome = context::enter(&context, |py| {
        let arrived = arrival(task)?;
        if arrived.is_some() || !known::keeps_current(py) {
            return step(task, arrived, Some(event_loop));
        }
        known::enter_loop(task, event_loop)?;
        let outcome = advance_here(task, None, Some(event_loop));
        outcome.and(known::leave_loop(task, event_loop))
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => report(task, *error),
    }
}

/// What the awaited brings along: its exception, if it failed or was cancelled. It is awaited no
/// more.
#[inline]
fn arrival<'py>(task: &PyTask<'py>) -> Outcome<Option<Bound<'py, PyAny>>> {
    let Some(awaited) = task.fields().fut_waiter.take(task.py()) else {
        return Ok(None);
    };
    known::awaits_no_more(task, &awaited)?;
    let future = kind::cast_exact_future(&awaited);
    Ok(match future {
        Some(future) if !futures::has_result(future) => failure(future),
        _ => None,
    })
}

#[cold]
fn failure<'py>(future: &Bound<'py, Future>) -> Option<Bound<'py, PyAny>> {
    let py = future.py();
    let error = futures::result(future).err()?;
    Some(coroutine::exception_of(error, py))
}

/// A step that could not be made, in the words of a callback that raised.
#[cold]
fn report(task: &PyTask<'_>, error: PyErr) -> Outcome {
    let py = task.py();
    if exceptions::is_exit(&error, py) {
        return Err(error.into());
    }
    let Some(owner) = task.fields().future().event_loop.get(py) else {
        return Err(error.into());
    };
    let handle = events::new_handle(Callback {
        callback: stepper(task)?,
        arguments: Arguments::Tuple(PyTuple::empty(py).into_any()),
        context: task.fields().context.get(py),
        event_loop: owner,
        source_traceback: None,
    })?;
    events::report(&handle, error)
}

/// One step. `arrived` is the exception that the awaited brought; `ours` is the task's loop if it
/// is ours and runs the step itself.
#[inline]
pub(crate) fn step<'py>(
    task: &PyTask<'py>,
    arrived: Option<Bound<'py, PyAny>>,
    ours: Option<&EventLoop>,
) -> Outcome {
    let entered = known::enter(task, ours)?;
    let outcome = advance(task, arrived, ours);
    known::leave(task, entered, outcome)
}

/// A step of a task that is current.
fn advance<'py>(
    task: &PyTask<'py>,
    arrived: Option<Bound<'py, PyAny>>,
    ours: Option<&EventLoop>,
) -> Outcome {
    let fields = task.fields();
    if fields.future().state() == 0
        && let Some(awaited) = fields.fut_waiter.take(task.py())
    {
        known::awaits_no_more(task, &awaited)?;
    }
    advance_here(task, arrived, ours)
}

/// The same for a task that awaits nothing, compiled into the place of the call.
#[inline(always)]
fn advance_here<'py>(
    task: &PyTask<'py>,
    arrived: Option<Bound<'py, PyAny>>,
    ours: Option<&EventLoop>,
) -> Outcome {
    let py = task.py();
    let fields = task.fields();
    if fields.future().state() != 0 {
        return Err(already_done(task, arrived.as_ref()).into());
    }
    let Some(coroutine) = fields.coro.get(py) else {
        return Err(PyRuntimeError::new_err("uninitialized Task object").into());
    };
    if arrived.is_some() || fields.must_cancel() {
        return advance_with(task, &coroutine, arrived, ours);
    }
    // Nothing arrives and nothing is owed: what `TaskState::begin` answers then is known.
    obey(task, coroutine::send(&coroutine), ours)
}

/// A step that an exception begins.
#[cold]
fn advance_with<'py>(
    task: &PyTask<'py>,
    coroutine: &Bound<'py, PyAny>,
    arrived: Option<Bound<'py, PyAny>>,
    ours: Option<&EventLoop>,
) -> Outcome {
    obey(task, resume(task, coroutine, arrived), ours)
}

/// Does what the coroutine wants.
#[inline(always)]
fn obey<'py>(task: &PyTask<'py>, sent: Outcome<Sent<'py>>, ours: Option<&EventLoop>) -> Outcome {
    match sent {
        Ok(Sent::Yielded(awaited)) => wait(task, awaited, ours),
        Ok(Sent::Returned(result)) => finish(task, result, ours),
        Err(error) => fail(task, *error),
    }
}

/// Resumes a coroutine to which an exception goes.
fn resume<'py>(
    task: &PyTask<'py>,
    coroutine: &Bound<'py, PyAny>,
    arrived: Option<Bound<'py, PyAny>>,
) -> Outcome<Sent<'py>> {
    let fields = task.fields();
    let mut state = load(fields);
    let arrival = match &arrived {
        None => Arrival::Nothing,
        Some(exception) => arrival_of(exception),
    };
    let resume = state.begin(arrival);
    store(fields, state);
    match (resume, arrived) {
        (Resume::Send, _) | (Resume::Throw, None) => coroutine::send(coroutine),
        (Resume::Throw, Some(exception)) => coroutine::throw(coroutine, &exception),
        (Resume::Cancel, _) => {
            let error = futures::make_cancelled_error(kind::task_as_future(task))?;
            coroutine::throw(coroutine, &error)
        }
    }
}

#[cold]
fn arrival_of(exception: &Bound<'_, PyAny>) -> Arrival {
    let py = exception.py();
    let is_cancelled = crate::names::CANCELLED_ERROR
        .get(py)
        .is_ok_and(|class| exception.is_instance(class).unwrap_or(false));
    if is_cancelled { Arrival::Cancelled } else { Arrival::Exception }
}

/// What a step is called where it is refused.
#[cfg(Py_3_14)]
const STEP_NAME: &str = "__step";
/// What a step is called where it is refused.
#[cfg(not(Py_3_14))]
const STEP_NAME: &str = "_step";

#[cold]
fn already_done(task: &PyTask<'_>, arrived: Option<&Bound<'_, PyAny>>) -> PyErr {
    let py = task.py();
    let exception = arrived.map_or_else(
        || "None".to_owned(),
        |exception| exception.repr().map_or_else(|_| String::new(), |text| text.to_string()),
    );
    let text = task.as_any().repr().map_or_else(|_| String::new(), |text| text.to_string());
    exceptions::invalid_state(py, format!("{STEP_NAME}(): already done: {text} {exception}"))
}

// ---------------------------------------------------------------------------------------------
// The coroutine is finished
// ---------------------------------------------------------------------------------------------

#[inline(always)]
fn finish<'py>(task: &PyTask<'py>, result: Bound<'py, PyAny>, ours: Option<&EventLoop>) -> Outcome {
    known::forget(task);
    if task.fields().must_cancel() {
        return finish_owing(task, result);
    }
    match ours {
        Some(ours) => futures::finish_in(ours, kind::task_as_future(task), result),
        None => futures::finish(kind::task_as_future(task), result),
    }
}

/// The coroutine returned, but a cancellation was still owed.
#[cold]
fn finish_owing<'py>(task: &PyTask<'py>, result: Bound<'py, PyAny>) -> Outcome {
    let fields = task.fields();
    let mut state = load(fields);
    let next = state.settle(Step::Return);
    store(fields, state);
    if next != Next::CancelOwed {
        return futures::finish(kind::task_as_future(task), result);
    }
    let message = fields.future().cancel_message.get(task.py());
    futures::cancel(kind::task_as_future(task), message)?;
    Ok(())
}

#[cold]
fn fail(task: &PyTask<'_>, error: PyErr) -> Outcome {
    let py = task.py();
    let future = kind::task_as_future(task);
    let step = if exceptions::is_cancelled(&error, py) {
        Step::RaiseCancelled
    } else if exceptions::is_exit(&error, py) {
        Step::RaiseExit
    } else {
        Step::Raise
    };
    known::forget(task);
    let exception = coroutine::exception_of(error, py);
    match load(task.fields()).settle(step) {
        Next::Cancel => {
            future.fields().cancelled_exc.set(exception);
            futures::cancel(future, None)?;
            Ok(())
        }
        Next::FailAndRaise => {
            futures::fail(future, &exception)?;
            Err(PyErr::from_value(exception).into())
        }
        _ => Ok(futures::fail(future, &exception)?),
    }
}

// ---------------------------------------------------------------------------------------------
// The coroutine waits
// ---------------------------------------------------------------------------------------------

/// Obeys what the coroutine yielded.
#[inline(always)]
fn wait<'py>(task: &PyTask<'py>, awaited: Bound<'py, PyAny>, ours: Option<&EventLoop>) -> Outcome {
    if awaited.is_none() {
        return match ours {
            Some(ours) if ours.is_direct.get(task.py()) => {
                ours.queue(task.as_any().clone(), &STEP);
                Ok(())
            }
            _ => queue(task),
        };
    }
    let future = kind::cast_exact_future(&awaited);
    match future {
        Some(future) if !task.is(&awaited) => {
            if let Some(stray_kind) = refusal(task, future) {
                return stray(task, stray_kind, &awaited);
            }
            wait_for_ours(task, future, ours)?;
            settle_wait(task, awaited)
        }
        _ => wait_for_stranger(task, awaited),
    }
}

/// Why a task cannot wait for a future of ours, if it cannot.
#[inline]
fn refusal(task: &PyTask<'_>, future: &Bound<'_, Future>) -> Option<Stray> {
    let awaited = future.fields();
    if !awaited.event_loop.same(&task.fields().future().event_loop) {
        return Some(Stray::OtherLoop);
    }
    (!awaited.blocking()).then_some(Stray::NotAwaited)
}

/// Begins to wait for a future or task of ours.
#[inline(always)]
fn wait_for_ours<'py>(
    task: &PyTask<'py>,
    future: &Bound<'py, Future>,
    ours: Option<&EventLoop>,
) -> Outcome {
    let fields = task.fields();
    let awaited = future.fields();
    awaited.set_blocking(false);
    known::awaits(task, future.as_any())?;
    let direct = match ours {
        Some(ours) => ours.is_direct.get(task.py()) && awaited.state() == 0,
        None => futures::may_wait_directly(future),
    };
    if direct {
        return futures::add_waiter(future, task);
    }
    let context = fields.context.get(task.py());
    Ok(futures::add_callback(future, wakeup(task)?, context)?)
}

/// Remembers what is awaited; an owed cancellation goes there.
#[inline(always)]
fn settle_wait<'py>(task: &PyTask<'py>, awaited: Bound<'py, PyAny>) -> Outcome {
    let fields = task.fields();
    if !fields.must_cancel() {
        fields.fut_waiter.set(awaited);
        return Ok(());
    }
    fields.fut_waiter.set(awaited.clone());
    pass_on(task, &awaited)
}

/// A cancellation is owed: the awaited may take it over.
#[cold]
fn pass_on<'py>(task: &PyTask<'py>, awaited: &Bound<'py, PyAny>) -> Outcome {
    let fields = task.fields();
    if load(fields).settle(Step::Await) == (Next::Wait { cancel: true }) {
        let message = fields.future().cancel_message.get(task.py());
        let accepted = cancel_awaited(awaited, message.as_ref())?;
        let mut state = load(fields);
        state.pass_on(accepted);
        store(fields, state);
    }
    Ok(())
}

/// Why a task cannot wait for what its coroutine yielded.
#[derive(Clone, Copy)]
enum Stray {
    Itself,
    OtherLoop,
    NotAwaited,
    Generator,
    Nonsense,
}

/// Waits for anything that behaves like a future, or throws an error in.
#[cold]
fn wait_for_stranger<'py>(task: &PyTask<'py>, object: Bound<'py, PyAny>) -> Outcome {
    let py = task.py();
    let awaited = &object;
    if task.is(awaited) {
        return stray(task, Stray::Itself, awaited);
    }
    let blocking_name = intern!(py, "_asyncio_future_blocking");
    let Some(blocking) = awaited.getattr_opt(blocking_name)?.filter(|value| !value.is_none())
    else {
        let kind =
            if coroutine::is_generator(awaited) { Stray::Generator } else { Stray::Nonsense };
        return stray(task, kind, awaited);
    };
    let blocking = blocking.is_truthy()?;
    let event_loop = loop_of(awaited)?;
    if !task.fields().future().event_loop.holds(&event_loop) {
        return stray(task, Stray::OtherLoop, awaited);
    }
    if !blocking {
        return stray(task, Stray::NotAwaited, awaited);
    }
    awaited.setattr(blocking_name, false)?;
    known::awaits(task, awaited)?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "context"), task.fields().context.get(py))?;
    let callback = wakeup(task)?;
    awaited.call_method(intern!(py, "add_done_callback"), (callback,), Some(&keywords))?;
    settle_wait(task, object)
}

/// The loop of anything that behaves like a future.
fn loop_of<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    match future.getattr_opt(intern!(py, "get_loop"))? {
        Some(get_loop) => call::call0(&get_loop),
        None => future.getattr(intern!(py, "_loop")),
    }
}

/// Queues a step that throws a RuntimeError in.
#[cold]
fn stray<'py>(task: &PyTask<'py>, kind: Stray, awaited: &Bound<'py, PyAny>) -> Outcome {
    let py = task.py();
    let me = task.as_any().repr()?;
    let other = awaited.repr()?;
    let message = match kind {
        Stray::Itself => format!("Task cannot await on itself: {me}"),
        Stray::OtherLoop => format!("Task {me} got Future {other} attached to a different loop"),
        Stray::NotAwaited => {
            format!("yield was used instead of yield from in task {me} with {other}")
        }
        Stray::Generator => {
            format!("yield was used instead of yield from for generator in task {me} with {other}")
        }
        Stray::Nonsense => format!("Task got bad yield: {other}"),
    };
    let error = py.get_type::<PyRuntimeError>().call1((message,))?;
    call_soon(task, &stepper(task)?, Some(&error))
}

// ---------------------------------------------------------------------------------------------
// Queued
// ---------------------------------------------------------------------------------------------

/// Queues a step after a bare yield.
#[inline]
fn queue(task: &PyTask<'_>) -> Outcome {
    let py = task.py();
    if let Some(event_loop) = task.fields().future().event_loop.get(py)
        && let Some(ours) = EventLoop::direct(&event_loop)
    {
        ours.queue(task.as_any().clone(), &STEP);
        return Ok(());
    }
    call_soon(task, &stepper(task)?, None)
}

/// Queues the first step of a task.
pub(crate) fn queue_first(task: &PyTask<'_>) -> PyResult<()> {
    queue(task).map_err(|error| *error)
}

/// Queues a callable through the loop's public method.
#[cold]
fn call_soon<'py>(
    task: &PyTask<'py>,
    callable: &Bound<'py, PyAny>,
    argument: Option<&Bound<'py, PyAny>>,
) -> Outcome {
    let py = task.py();
    let fields = task.fields();
    let event_loop =
        fields.future().event_loop.get(py).ok_or_else(|| exceptions::uninitialised("Future"))?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "context"), fields.context.get(py))?;
    let call_soon = intern!(py, "call_soon");
    match argument {
        Some(argument) => event_loop.call_method(call_soon, (callable, argument), Some(&keywords)),
        None => event_loop.call_method(call_soon, (callable,), Some(&keywords)),
    }?;
    Ok(())
}

/// Makes the first step at once, inside the step of whoever creates the task.
pub(crate) fn start_eagerly(task: &PyTask<'_>) -> PyResult<()> {
    let py = task.py();
    let swapped = known::swap(task)?;
    let outcome = match task.fields().context.get(py) {
        Some(context) => context::enter(&context, |_| advance(task, None, None)),
        None => Ok(()),
    };
    known::swap_back(task, swapped)?;
    outcome.map_err(|error| *error)?;
    if task.fields().future().state() == 0 {
        return known::register(task);
    }
    task.fields().coro.clear(py);
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// As a callable
// ---------------------------------------------------------------------------------------------

/// The callable that makes a step: for loops that are not ours, and for those who look.
pub(crate) fn stepper<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    static FUNCTION: LazyLock<BoundFunction<Task>> = LazyLock::new(|| {
        BoundFunction::new(Method::<Task>::args(
            c"task_step",
            c"Make a step.",
            |task, args: Args<'_, '_>| step_by_call(task, args),
        ))
    });
    FUNCTION.bind(task)
}

/// The callable that wakes a task: what others see in a future's callbacks.
pub(crate) fn wakeup<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    static FUNCTION: LazyLock<BoundFunction<Task>> = LazyLock::new(|| {
        BoundFunction::new(Method::<Task>::one_arg(c"task_wakeup", c"Wake up.", wake_by_call))
    });
    FUNCTION.bind(task)
}

fn step_by_call<'py>(task: &PyTask<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let [exception] = args.parse("task_step", ["exc"], 1)?;
    step_elsewhere(task, exception.cloned())
}

fn wake_by_call<'py>(
    task: &PyTask<'py>,
    future: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    let own = kind::cast_exact_future(future);
    let result = match own {
        Some(own) => futures::result(own),
        None => future.call_method0(intern!(py, "result")),
    };
    let arrived = result.err().map(|error| coroutine::exception_of(error, py));
    step_elsewhere(task, arrived)
}

/// A step in a loop that is not ours.
fn step_elsewhere<'py>(
    task: &PyTask<'py>,
    arrived: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    let _stay = Stay::begin();
    // Nobody has told PyO3 yet that this thread holds the interpreter: errors that are dropped here
    // would be kept until somebody does.
    Python::attach(|_| step(task, arrived, None)).map_err(|error| *error)?;
    Ok(py.None().into_bound(py))
}
