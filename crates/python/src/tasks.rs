//! Task: a future that drives a coroutine, step by step.
//!
//! What may follow what is `batonloop_core::TaskState`; a step is in [`step`], which task has
//! control and which tasks there are in [`known`].

use std::ffi::CStr;

use batonloop_core::{Stage, TaskState};
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::cell::GilCell;
use batonloop_cpython::kind::{self, Fields, Future, Sleep, Task};
use batonloop_cpython::layout::TaskFields;
use batonloop_cpython::method::{self, Args, Method, Property, TypeSlot};
use batonloop_cpython::native::Coroutine;
use batonloop_cpython::{context, coroutine};
use pyo3::exceptions::{PyRecursionError, PyRuntimeError, PyTypeError};
use pyo3::types::{
    PyAny, PyAnyMethods, PyDict, PyDictMethods, PyString, PyTuple, PyTupleMethods, PyType,
};
use pyo3::{Bound, PyResult, Python, intern};

use crate::futures::{self, PyFuture};
use crate::host::EventLoop;
use crate::names::{self, boolean, none};

pub(crate) mod known;
pub(crate) mod step;

/// What a task is, as a type.
pub(crate) type PyTask<'py> = Bound<'py, Task>;

/// Since 3.13 `uncancel()` takes back a cancellation that is still owed.
#[cfg(Py_3_13)]
const UNCANCEL_FORGIVES: bool = true;
/// Since 3.13 `uncancel()` takes back a cancellation that is still owed.
#[cfg(not(Py_3_13))]
const UNCANCEL_FORGIVES: bool = false;

/// What the task remembers about its cancellation.
#[inline]
pub(crate) fn load(fields: &TaskFields) -> TaskState {
    TaskState {
        must_cancel: fields.must_cancel(),
        cancelling: fields.cancels_requested().max(0).unsigned_abs(),
    }
}

/// Writes back what `load` read and a question changed.
#[inline]
pub(crate) fn store(fields: &TaskFields, state: TaskState) {
    fields.set_must_cancel(state.must_cancel);
    fields.set_cancels_requested(i32::try_from(state.cancelling).unwrap_or(i32::MAX));
}

// ---------------------------------------------------------------------------------------------
// Born
// ---------------------------------------------------------------------------------------------

/// The number of the last task that was made without a name.
static LAST_NAME_ID: GilCell<u64> = GilCell::new(0);

/// What a task is made of, besides its coroutine.
#[derive(Default)]
pub(crate) struct Options<'py> {
    pub(crate) event_loop: Option<Bound<'py, PyAny>>,
    pub(crate) name: Option<Bound<'py, PyAny>>,
    pub(crate) context: Option<Bound<'py, PyAny>>,
    pub(crate) eager_start: bool,
    /// Whether `eager_start` may be given.
    #[cfg_attr(not(Py_3_12), expect(dead_code, reason = "3.11 has no eager start"))]
    pub(crate) accepts_eager_start: bool,
}

impl<'py> Options<'py> {
    /// Takes keyword arguments; `function` names the callee in the error.
    pub(crate) fn accept(
        &mut self,
        function: &str,
        name: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<()> {
        let given = Some(value.clone()).filter(|value| !value.is_none());
        match name.extract::<&str>()? {
            "loop" => self.event_loop = given,
            "name" => self.name = given,
            "context" => self.context = given,
            #[cfg(Py_3_12)]
            "eager_start" if self.accepts_eager_start => self.eager_start = value.is_truthy()?,
            other if function == "Task" => return Err(method::unexpected(function, other)),
            other => {
                return Err(PyTypeError::new_err(format!(
                    "{function}() got an unexpected keyword argument '{other}'"
                )));
            }
        }
        Ok(())
    }
}

#[inline]
fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if coroutine::is_native(object) {
        return Ok(true);
    }
    names::IS_COROUTINE.get(object.py())?.call1((object,))?.is_truthy()
}

/// Gives a task all that a new one has, and queues its first step or makes it at once.
fn begin<'py>(
    task: &PyTask<'py>,
    coroutine: &Bound<'py, PyAny>,
    options: Options<'py>,
) -> PyResult<()> {
    let py = task.py();
    futures::initialise(kind::task_as_future(task), options.event_loop.as_ref())?;
    let fields = task.fields();
    fields.future().mark_as_task();
    if !is_coroutine(coroutine)? {
        fields.set_log_destroy_pending(false);
        return Err(PyTypeError::new_err(format!(
            "a coroutine was expected, got {}",
            coroutine.repr()?
        )));
    }
    let context = match options.context {
        Some(context) => checked_context(context).inspect_err(|_| {
            fields.set_log_destroy_pending(false);
        })?,
        None => context::copy_current(py)?,
    };
    fields.context.set(context);
    fields.fut_waiter.clear(py);
    store(fields, TaskState::default());
    fields.set_log_destroy_pending(true);
    fields.coro.set(coroutine.clone());
    fields.name.clear(py);
    match options.name {
        None => take_name_id(py, fields),
        Some(name) => fields.name.set(as_name(name)?),
    }
    known::prepare(py)?;
    if options.eager_start && is_running(task)? {
        return step::start_eagerly(task);
    }
    step::queue_first(task)?;
    known::register(task)
}

/// Before 3.15 the first step finds out what is no context.
#[cfg(not(Py_3_15))]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
fn checked_context(context: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    Ok(context)
}

/// Since 3.15 the constructor refuses what is no context.
#[cfg(Py_3_15)]
fn checked_context(context: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if context::is_context(&context) {
        return Ok(context);
    }
    let class = batonloop_cpython::verify::class_name(&context);
    Err(PyTypeError::new_err(format!("a contextvars.Context was expected, got {class}")))
}

/// Uses a number up, for the task that `asyncio.create_task()` names only after it was made.
#[cfg(not(Py_3_13))]
pub(crate) fn skip_name_id(py: Python<'_>) {
    LAST_NAME_ID.set(py, LAST_NAME_ID.get(py) + 1);
}

#[inline]
fn take_name_id(py: Python<'_>, fields: &TaskFields) {
    let id = LAST_NAME_ID.get(py) + 1;
    LAST_NAME_ID.set(py, id);
    #[cfg(Py_3_14)]
    {
        // Those who read memory from outside expect an int here until the name is asked for.
        let Ok(number) = pyo3::IntoPyObject::into_pyobject(id, py);
        fields.name.set(number.into_any());
    }
    fields.set_name_id(id);
}

fn as_name(name: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    if name.is_exact_instance_of::<PyString>() {
        return Ok(name);
    }
    Ok(name.str()?.into_any())
}

fn is_running(task: &PyTask<'_>) -> PyResult<bool> {
    let py = task.py();
    match task.fields().future().event_loop.get(py) {
        Some(event_loop) => event_loop.call_method0(intern!(py, "is_running"))?.is_truthy(),
        None => Ok(false),
    }
}

/// A new task on `event_loop`, which is ours, may be queued on directly, and has no task factory.
#[inline(always)]
pub(crate) fn new<'py>(
    event_loop: &Bound<'py, PyAny>,
    ours: &EventLoop,
    coroutine: &Bound<'py, PyAny>,
) -> PyResult<PyTask<'py>> {
    let py = event_loop.py();
    let task = kind::allocate::<Task>(py)?;
    let fields = task.fields();
    fields.future().event_loop.fill(event_loop.clone());
    fields.future().mark_as_task();
    fields.context.fill(context::copy_current(py)?);
    fields.coro.fill(coroutine.clone());
    fields.set_log_destroy_pending(true);
    take_name_id(py, fields);
    known::register_new(&task)?;
    ours.queue(task.as_any().clone(), &step::STEP);
    Ok(task)
}

/// A new task with options.
pub(crate) fn new_with<'py>(
    coroutine: &Bound<'py, PyAny>,
    options: Options<'py>,
) -> PyResult<PyTask<'py>> {
    let task = kind::allocate::<Task>(coroutine.py())?;
    begin(&task, coroutine, options)?;
    Ok(task)
}

/// A task that has taken its first step: what [`is_eager_factory`] says of makes such a one for a
/// `create_task()` without a name.
pub(crate) fn new_eager<'py>(
    event_loop: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
) -> PyResult<PyTask<'py>> {
    let event_loop = Some(event_loop.clone());
    let options = Options { event_loop, eager_start: true, ..Options::default() };
    let task = new_with(coroutine, options)?;
    // Up to 3.13.2 None is turned into a name like anything else, after a factory.
    #[cfg(Py_3_13)]
    if !names::passes_keywords_to_factories(task.py())? {
        set_name(&task, &none(task.py()))?;
    }
    Ok(task)
}

/// Whether a task factory is our `eager_task_factory`.
#[cfg(Py_3_12)]
pub(crate) fn is_eager_factory(factory: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(names::EAGER_TASK_FACTORY.get(factory.py())?.is(factory))
}

/// There is none before 3.12.
#[cfg(not(Py_3_12))]
#[expect(clippy::unnecessary_wraps, reason = "newer Pythons can fail here")]
pub(crate) fn is_eager_factory(_: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(false)
}

/// The context that the steps run in.
pub(crate) fn context<'py>(task: &PyTask<'py>) -> Option<Bound<'py, PyAny>> {
    task.fields().context.get(task.py())
}

/// Whether [`new`] serves for this coroutine: it is one for certain.
#[inline]
pub(crate) fn is_plain(coroutine: &Bound<'_, PyAny>) -> bool {
    coroutine::is_native(coroutine) || is_ours(coroutine)
}

/// Apart, for it would cost whoever asks 10 instructions where it is not asked.
#[inline(never)]
fn is_ours(coroutine: &Bound<'_, PyAny>) -> bool {
    kind::is_exact::<Coroutine>(coroutine) || kind::is_exact::<Sleep>(coroutine)
}

/// `Task(coro, *, loop=None, name=None, context=None, eager_start=False)`.
fn init<'py>(
    task: &PyTask<'py>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<()> {
    if args.len() > 1 {
        return Err(PyTypeError::new_err(format!(
            "Task() takes at most 1 positional argument ({} given)",
            args.len()
        )));
    }
    let mut coroutine = args.get_item(0).ok();
    let mut options = Options { accepts_eager_start: true, ..Options::default() };
    for (name, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
        if name.extract::<&str>()? != "coro" {
            options.accept("Task", &name, &value)?;
        } else if coroutine.replace(value).is_some() {
            return Err(PyTypeError::new_err(
                "argument for Task() given by name ('coro') and position (1)",
            ));
        }
    }
    let Some(coroutine) = coroutine else {
        return Err(PyTypeError::new_err("Task() missing required argument 'coro' (pos 1)"));
    };
    begin(task, &coroutine, options)
}

// ---------------------------------------------------------------------------------------------
// Cancelled
// ---------------------------------------------------------------------------------------------

/// `cancel()`: asks the task, or whatever it waits for at the far end of a chain of tasks.
///
/// The chain is walked, not recursed into: it may be longer than the stack is deep. Tasks that wait
/// for each other are the end of asyncio's stack, and its error here.
pub(crate) fn cancel<'py>(
    task: &PyTask<'py>,
    message: Option<&Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let py = task.py();
    let mut asked = task.clone();
    let mut cycle = Cycle::new(task);
    task.fields().future().set_log_traceback(false);
    if futures::stage(task.fields().future()).is_done() {
        return Ok(false);
    }
    loop {
        let fields = asked.fields();
        fields.future().set_log_traceback(false);
        let mut state = load(fields);
        state.ask_cancel();
        store(fields, state);
        let Some(waiter) = fields.fut_waiter.get(py) else {
            owe(&asked, message);
            return Ok(true);
        };
        if let Some(next) = kind::cast_exact::<Task>(&waiter) {
            if futures::stage(next.fields().future()) == Stage::Pending {
                if cycle.is_closed_by(next) {
                    return Err(PyRecursionError::new_err(
                        "maximum recursion depth exceeded while calling a Python object",
                    ));
                }
                asked = next.clone();
                continue;
            }
            next.fields().future().set_log_traceback(false);
            owe(&asked, message);
            return Ok(true);
        }
        if !cancel_awaited(&waiter, message)? {
            owe(&asked, message);
        }
        return Ok(true);
    }
}

/// Finds out whether a walk goes round (Brent's algorithm): compares each task with one that was
/// passed, and takes a newer one to compare with after 1, 2, 4, ... steps.
struct Cycle<'py> {
    passed: PyTask<'py>,
    steps: usize,
    limit: usize,
}

impl<'py> Cycle<'py> {
    fn new(start: &PyTask<'py>) -> Self {
        Self { passed: start.clone(), steps: 0, limit: 1 }
    }

    /// Whether the walk has met `next` before; true after at most three rounds.
    fn is_closed_by(&mut self, next: &PyTask<'py>) -> bool {
        if self.passed.is(next) {
            return true;
        }
        self.steps += 1;
        if self.steps == self.limit {
            self.passed = next.clone();
            self.steps = 0;
            self.limit *= 2;
        }
        false
    }
}

/// Cancels what a task waits for; whether it accepted.
pub(crate) fn cancel_awaited<'py>(
    awaited: &Bound<'py, PyAny>,
    message: Option<&Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let py = awaited.py();
    if let Some(future) = kind::cast_exact::<Future>(awaited) {
        return futures::cancel(future, message.cloned());
    }
    awaited.call_method1(intern!(py, "cancel"), (message,))?.is_truthy()
}

/// The cancellation is thrown in at the next step.
fn owe<'py>(task: &PyTask<'py>, message: Option<&Bound<'py, PyAny>>) {
    let fields = task.fields();
    let mut state = load(fields);
    if state.forwarded(false) {
        store(fields, state);
        let message = message.cloned().unwrap_or_else(|| none(task.py()));
        fields.future().cancel_message.set(message);
    }
}

fn cancel_method<'py>(task: &PyTask<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let [message] = args.parse("cancel", ["msg"], 1)?;
    Ok(boolean(task.py(), cancel(task, message)?))
}

fn cancelling<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    number(task, load(task.fields()).cancelling)
}

fn uncancel<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    let fields = task.fields();
    let mut state = load(fields);
    let left = state.uncancel(UNCANCEL_FORGIVES);
    store(fields, state);
    number(task, left)
}

/// `cancel()` of a task, of whatever kind it is.
pub(crate) fn cancel_any(task: &Bound<'_, PyAny>) -> PyResult<()> {
    match kind::cast_exact::<Task>(task) {
        Some(task) => cancel(task, None).map(drop),
        None => task.call_method0(intern!(task.py(), "cancel")).map(drop),
    }
}

/// `cancelling()` of a task, of whatever kind it is.
#[inline]
pub(crate) fn cancelling_any<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind::cast_exact::<Task>(task) {
        Some(task) => cancelling(task),
        None => task.call_method0(intern!(task.py(), "cancelling")),
    }
}

/// `uncancel()` of a task, of whatever kind it is.
pub(crate) fn uncancel_any<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind::cast_exact::<Task>(task) {
        Some(task) => uncancel(task),
        None => task.call_method0(intern!(task.py(), "uncancel")),
    }
}

fn number<'py>(task: &PyTask<'py>, number: u32) -> PyResult<Bound<'py, PyAny>> {
    Ok(pyo3::IntoPyObject::into_pyobject(number, task.py())?.into_any())
}

// ---------------------------------------------------------------------------------------------
// Seen
// ---------------------------------------------------------------------------------------------

fn get_name<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    let fields = task.fields();
    if let Some(name) = fields.name.get(py)
        && name.is_instance_of::<PyString>()
    {
        return Ok(name);
    }
    if fields.name_id() == 0 {
        return Ok(none(py));
    }
    let name = PyString::new(py, &format!("Task-{}", fields.name_id())).into_any();
    fields.name.set(name.clone());
    Ok(name)
}

pub(crate) fn set_name<'py>(
    task: &PyTask<'py>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    task.fields().name.set(as_name(name.clone())?);
    Ok(none(task.py()))
}

fn get_coro<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    Ok(task.fields().coro.get(py).unwrap_or_else(|| none(py)))
}

#[cfg(Py_3_12)]
fn get_context<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    Ok(task.fields().context.get(py).unwrap_or_else(|| none(py)))
}

fn get_stack<'py>(task: &PyTask<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let [limit] = args.parse("get_stack", ["limit"], 0)?;
    names::TASK_GET_STACK.get(task.py())?.call1((task, limit))
}

fn print_stack<'py>(task: &PyTask<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let [limit, file] = args.parse("print_stack", ["limit", "file"], 0)?;
    names::TASK_PRINT_STACK.get(task.py())?.call1((task, limit, file))
}

fn repr<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    names::TASK_REPR.get(task.py())?.call1((task,))
}

fn set_result<'py>(_: &PyTask<'py>, _: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Err(PyRuntimeError::new_err("Task does not support set_result operation"))
}

fn set_exception<'py>(_: &PyTask<'py>, _: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    Err(PyRuntimeError::new_err("Task does not support set_exception operation"))
}

fn logs_destroy_pending<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(task.py(), task.fields().log_destroy_pending()))
}

fn set_log_destroy_pending<'py>(
    task: &PyTask<'py>,
    value: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    task.fields().set_log_destroy_pending(futures::truth_of(value)?);
    Ok(())
}

fn owes_cancellation<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(boolean(task.py(), task.fields().must_cancel()))
}

fn read_fut_waiter<'py>(task: &PyTask<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = task.py();
    Ok(task.fields().fut_waiter.get(py).unwrap_or_else(|| none(py)))
}

fn finalize(task: &PyTask<'_>) {
    // Whoever gets to know it through the report must not find it among the living.
    known::forget(task);
    let future = kind::task_as_future(task);
    let reported =
        report_destroyed(task, future).and_then(|()| futures::report_unretrieved(future));
    if let Err(error) = reported {
        error.write_unraisable(task.py(), Some(task.as_any()));
    }
}

fn report_destroyed(task: &PyTask<'_>, future: &PyFuture<'_>) -> PyResult<()> {
    let py = task.py();
    let fields = task.fields();
    let pending = futures::stage(fields.future()) == Stage::Pending;
    if !pending || !fields.log_destroy_pending() {
        return Ok(());
    }
    let report = PyDict::new(py);
    report.set_item(intern!(py, "task"), task)?;
    report.set_item(intern!(py, "message"), "Task was destroyed but it is pending!")?;
    if let Some(traceback) = fields.future().source_traceback.get(py) {
        report.set_item(intern!(py, "source_traceback"), traceback)?;
    }
    futures::call_exception_handler(future, &report)
}

// ---------------------------------------------------------------------------------------------
// The type
// ---------------------------------------------------------------------------------------------

fn methods() -> Vec<Method<Task>> {
    vec![
        Method::one_arg(c"set_result", SET_RESULT, set_result),
        Method::one_arg(c"set_exception", SET_EXCEPTION, set_exception),
        Method::args(c"cancel", CANCEL, cancel_method),
        Method::no_args(c"cancelling", CANCELLING, cancelling),
        Method::no_args(c"uncancel", UNCANCEL, uncancel),
        Method::args(c"get_stack", GET_STACK, get_stack),
        Method::args(c"print_stack", PRINT_STACK, print_stack),
        Method::no_args(c"get_coro", c"Return the coroutine object.", get_coro),
        #[cfg(Py_3_12)]
        Method::no_args(c"get_context", c"Return the context that the steps run in.", get_context),
        Method::no_args(c"get_name", c"Return the name, a str.", get_name),
        Method::one_arg(c"set_name", SET_NAME, set_name),
        Method::class_getitem(),
    ]
}

fn properties() -> Vec<Property<Task>> {
    vec![
        Property::write(
            c"_log_destroy_pending",
            c"Whether its death while pending is reported.",
            logs_destroy_pending,
            set_log_destroy_pending,
        ),
        Property::read(c"_must_cancel", c"Whether a CancelledError is owed.", owes_cancellation),
        Property::read(c"_coro", c"The coroutine object.", get_coro),
        Property::read(c"_fut_waiter", c"The future it waits for, or None.", read_fut_waiter),
    ]
}

/// Makes the type `Task`, on our Future and asyncio's Task or, in the own flavour, on our Future.
pub(crate) fn make_type<'py>(
    future: &Bound<'py, PyType>,
    base: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyType>> {
    let py = future.py();
    let builder = TypeBuilder::<Task>::new(c"batonloop.Task", TASK_DOC)
        .methods(methods())
        .properties(properties())
        .slots([TypeSlot::init(init), TypeSlot::repr(repr), TypeSlot::finalize(finalize)])
        .immutable();
    let made = match base {
        Some(base) => builder.build(&bases(py, &[future.as_any(), base])?),
        None => builder.build(&bases(py, &[future.as_any()])?),
    };
    futures::WAITER.set(py, Some(&step::WAITER));
    made
}

const TASK_DOC: &CStr = c"\
    Task(coro, *, loop=None, name=None, context=None, eager_start=False)\n--\n\nA coroutine \
    wrapped in a future.\n\nA subclass of asyncio.Task; nothing differs.";
const SET_RESULT: &CStr = c"set_result(result, /)\n\nNot for a task: raises RuntimeError.";
const SET_EXCEPTION: &CStr = c"set_exception(exception, /)\n\nNot for a task: raises RuntimeError.";
const SET_NAME: &CStr = c"set_name(value, /)\n\nSet the name; anything but a str is converted.";
const CANCEL: &CStr = c"\
    cancel(msg=None)\n\nAsk the task to cancel itself: a CancelledError is thrown into its \
    coroutine in a turn to\ncome. Returns False if the task is done, else True.";
const CANCELLING: &CStr =
    c"Return how many cancel() requests there were, less the uncancel() calls.";
const UNCANCEL: &CStr = c"Take one cancel() request back and return how many are left.";
const GET_STACK: &CStr = c"\
    get_stack(*, limit=None)\n\nReturn the list of stack frames where the coroutine is \
    suspended, or of the traceback of the\nexception that ended it; at most limit frames.";
const PRINT_STACK: &CStr = c"\
    print_stack(*, limit=None, file=None)\n\nPrint the stack of the coroutine to file, by \
    default sys.stderr.";
