//! TaskGroup: a task is made in it, and tells it that it is done.
//!
//! The group stands among the callbacks of each task itself, with the context of its maker beside
//! it (see [`futures`](crate::futures)). A task that is done is queued as what it is, in the place
//! where asyncio queues a callback, and leaves the set of tasks when its turn comes.
//!
//! How a group begins and ends, what a task does to it that failed or was cancelled, and all that
//! is not said here, are asyncio's own methods, which `taskgroups.py` gives the type; a task that
//! is not made plainly, by a factory or in a loop that is not ours, is theirs too.

use std::ffi::CStr;
use std::slice::from_ref;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::context;
use batonloop_cpython::kind::{self, Fields, Task};
use batonloop_cpython::method::{Args, Method, Property};
use batonloop_cpython::taskgroups::TaskGroup;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PySet, PySetMethods, PyTuple, PyType};
use pyo3::{Bound, PyResult, Python, intern};

use crate::futures::any::{is_done, set_result};
use crate::futures::{self, PyFuture, Resident};
use crate::host::EventLoop;
use crate::mixins::{Stateful, slot_property, state_methods};
use crate::names::{self, boolean, none};
use crate::tasks::{self, Options, known};

type PyTaskGroup<'py> = Bound<'py, TaskGroup>;

impl Stateful for TaskGroup {
    const STATE: &'static [&'static str] = &[
        "_entered",
        "_exiting",
        "_aborting",
        "_loop",
        "_parent_task",
        "_parent_cancel_requested",
        "_tasks",
        "_errors",
        "_base_error",
        "_on_completed_fut",
    ];
}

/// A method of asyncio's class, called on a group of ours.
fn call_asyncios<'py>(
    group: &PyTaskGroup<'py>,
    name: &str,
    args: &[Bound<'py, PyAny>],
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = group.py();
    let method = names::ASYNCIO_TASK_GROUP.get(py)?.getattr(name)?;
    let all = [group.as_any()].into_iter().chain(args);
    method.call(PyTuple::new(py, all.collect::<Vec<_>>())?, keywords)
}

/// The tasks, if they are the set that they should be.
fn tasks_of<'py>(group: &PyTaskGroup<'py>) -> Option<Bound<'py, PySet>> {
    group.fields().tasks.get(group.py())?.cast_into_exact().ok()
}

// ---------------------------------------------------------------------------------------------
// Made
// ---------------------------------------------------------------------------------------------

/// `create_task(coro, *, name=None, context=None)`.
fn create_task<'py>(group: &PyTaskGroup<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    if let Some(task) = create_plainly(group, args)? {
        return Ok(task);
    }
    let keywords = args.keyword_dict(group.py())?;
    call_asyncios(group, "create_task", args.positional(), Some(&keywords))
}

/// A task that our loop makes without asking anybody, if it is to be such a one.
#[inline]
fn create_plainly<'py>(
    group: &PyTaskGroup<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = group.py();
    let fields = group.fields();
    let ([coroutine], Some(event_loop), Some(mut tasks), false) = (
        args.positional(),
        fields.event_loop.get(py),
        tasks_of(group),
        fields.parent_task.is_empty(),
    ) else {
        return Ok(None);
    };
    let Some(ours) = EventLoop::of(&event_loop) else {
        return Ok(None);
    };
    let is_plain = kind::is_exact::<TaskGroup>(group)
        && fields.entered.get()
        && !fields.aborting.get()
        && (!fields.exiting.get() || !tasks.is_empty())
        && tasks::is_plain(coroutine);
    if !is_plain {
        return Ok(None);
    }
    let task = match (ours.makes_plain_tasks(py), args.has_keywords()) {
        (true, false) => tasks::new(&event_loop, ours, coroutine)?,
        (true, true) => match new_with(&event_loop, coroutine, args)? {
            Some(task) => task,
            None => return Ok(None),
        },
        (false, false) if ours.makes_eager_tasks(py) => {
            let task = tasks::new_eager(&event_loop, coroutine)?;
            // Its first step may have put another set in the place of this one.
            tasks = tasks_of(group).unwrap_or(tasks);
            task
        }
        _ => return Ok(None),
    };
    let future = kind::task_as_future(&task);
    known::link(task.as_any(), &fields.parent_task)?;
    if is_done(task.as_any())? && !waits_for_what_is_done(py)? {
        on_task_done(group, task.as_any())?;
        return Ok(Some(task.into_any()));
    }
    tasks.add(&task)?;
    futures::tell_own(future, group.as_any(), Some(context::copy_current(py)?))?;
    Ok(Some(task.into_any()))
}

/// Whether a group of this Python waits for its turn to hear of a task that is done when it is
/// made; so since 3.12.9 and 3.13.2.
fn waits_for_what_is_done(py: Python<'_>) -> PyResult<bool> {
    static ANSWER: PyOnceLock<bool> = PyOnceLock::new();
    ANSWER
        .get_or_try_init(py, || {
            let create_task = names::ASYNCIO_TASK_GROUP.get(py)?.getattr("create_task")?;
            let names = create_task.getattr("__code__")?.getattr("co_names")?;
            Ok(!names.contains("done")?)
        })
        .copied()
}

/// A task with a name or a context, if it is no more than that.
fn new_with<'py>(
    event_loop: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
    args: Args<'_, 'py>,
) -> PyResult<Option<tasks::PyTask<'py>>> {
    let mut name = None;
    let mut options = Options { event_loop: Some(event_loop.clone()), ..Options::default() };
    for (keyword, value) in args.keywords() {
        let value = Some(value.clone()).filter(|value| !value.is_none());
        match keyword.extract::<&str>()? {
            "name" => name = value,
            "context" => options.context = value,
            _ => return Ok(None),
        }
    }
    make_named(coroutine, options, name).map(Some)
}

/// Before 3.13 the task is named only after it was made.
#[cfg(not(Py_3_13))]
fn make_named<'py>(
    coroutine: &Bound<'py, PyAny>,
    options: Options<'py>,
    name: Option<Bound<'py, PyAny>>,
) -> PyResult<tasks::PyTask<'py>> {
    let task = tasks::new_with(coroutine, options)?;
    if let Some(name) = name {
        tasks::set_name(&task, &name)?;
    }
    Ok(task)
}

/// Since 3.13 the task is made with its name.
#[cfg(Py_3_13)]
fn make_named<'py>(
    coroutine: &Bound<'py, PyAny>,
    options: Options<'py>,
    name: Option<Bound<'py, PyAny>>,
) -> PyResult<tasks::PyTask<'py>> {
    tasks::new_with(coroutine, Options { name, ..options })
}

// ---------------------------------------------------------------------------------------------
// Told
// ---------------------------------------------------------------------------------------------

impl Resident for TaskGroup {
    const VERB: &'static str = "leave group";

    fn callable<'py>(group: &PyTaskGroup<'py>) -> PyResult<Bound<'py, PyAny>> {
        group.getattr(intern!(group.py(), "_on_task_done"))
    }

    /// Its context stands beside it.
    fn context<'py>(_: &PyTaskGroup<'py>) -> Option<Bound<'py, PyAny>> {
        None
    }

    #[inline]
    fn told_plainly<'py>(group: &PyTaskGroup<'py>, task: &PyFuture<'py>) -> PyResult<bool> {
        leave_plainly(group, task.as_any())
    }

    fn told<'py>(group: &PyTaskGroup<'py>, task: &Bound<'py, PyAny>) -> PyResult<()> {
        call_asyncios(group, "_on_task_done", from_ref(task), None).map(drop)
    }
}

/// A task that has a result leaves the group; what it has besides is asyncio's business, which
/// false says.
#[inline]
fn leave_plainly<'py>(group: &PyTaskGroup<'py>, task: &Bound<'py, PyAny>) -> PyResult<bool> {
    let py = group.py();
    let fields = group.fields();
    let Some(task) = kind::cast_exact::<Task>(task) else {
        return Ok(false);
    };
    let (Some(tasks), false) = (tasks_of(group), fields.parent_task.is_empty()) else {
        return Ok(false);
    };
    if !futures::has_result(kind::task_as_future(task)) || !kind::is_exact::<TaskGroup>(group) {
        return Ok(false);
    }
    tasks.discard(task)?;
    known::unlink(task.as_any(), &fields.parent_task)?;
    if let Some(on_completed) = fields.on_completed.get(py)
        && tasks.is_empty()
        && !is_done(&on_completed)?
    {
        set_result(&on_completed, boolean(py, true))?;
    }
    Ok(true)
}

/// `_on_task_done(task)`.
fn on_task_done<'py>(
    group: &PyTaskGroup<'py>,
    task: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if leave_plainly(group, task)? {
        return Ok(none(group.py()));
    }
    call_asyncios(group, "_on_task_done", from_ref(task), None)
}

// ---------------------------------------------------------------------------------------------
// The type
// ---------------------------------------------------------------------------------------------

/// An attribute that is true or false.
macro_rules! flag {
    ($name:literal, $doc:literal, $field:ident) => {
        Property::write(
            $name,
            $doc,
            |group: &PyTaskGroup<'_>| Ok(boolean(group.py(), group.fields().$field.get())),
            |group: &PyTaskGroup<'_>, value| {
                group.fields().$field.set(futures::truth_of(value)?);
                Ok(())
            },
        )
    };
}

fn properties() -> [Property<TaskGroup>; 10] {
    [
        slot_property!(TaskGroup, c"_loop", c"The loop; None before the block.", event_loop),
        slot_property!(TaskGroup, c"_parent_task", c"The task whose block it is.", parent_task),
        slot_property!(TaskGroup, c"_tasks", c"The set of tasks that are not done.", tasks),
        slot_property!(
            TaskGroup,
            c"_on_completed_fut",
            c"What the end of the block waits for.",
            on_completed
        ),
        slot_property!(
            TaskGroup,
            c"_errors",
            c"The exceptions of tasks that failed, a list.",
            errors
        ),
        slot_property!(
            TaskGroup,
            c"_base_error",
            c"The SystemExit or KeyboardInterrupt of a task.",
            base_error
        ),
        flag!(c"_entered", c"Whether the block has begun.", entered),
        flag!(c"_exiting", c"Whether the end of the block has begun.", exiting),
        flag!(c"_aborting", c"Whether the tasks were cancelled.", aborting),
        flag!(
            c"_parent_cancel_requested",
            c"Whether the task whose block it is was cancelled.",
            parent_cancel_requested
        ),
    ]
}

/// Makes the type.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    // asyncio's own, before anybody puts ours in its place.
    names::ASYNCIO_TASK_GROUP.get(py)?;
    TypeBuilder::<TaskGroup>::new(c"batonloop.taskgroups.TaskGroup", TASK_GROUP)
        .methods([
            Method::args(c"create_task", CREATE_TASK, create_task),
            Method::one_arg(c"_on_task_done", c"A task is done.", on_task_done),
        ])
        .methods(state_methods())
        .properties(properties())
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

const TASK_GROUP: &CStr = c"\
    An asynchronous context manager whose block ends when all its tasks are done.\n\nThe first \
    task that fails cancels the others and the block; the exceptions come out together, in \
    an\nExceptionGroup.";
const CREATE_TASK: &CStr = c"\
    create_task(coro, *, name=None, context=None, **kwargs)\n\nMake a task in this group, and \
    return it.\n\nRaises RuntimeError before the block, after it, and while it is shutting down.";
