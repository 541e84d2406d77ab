//! Queue as Python sees it: attributes, methods, the repr, the type.
//!
//! The private attributes have asyncio's names, for subclasses keep their items in `_queue` and
//! libraries count who waits. What is a plain number or flag is kept as such; a limit that is none
//! (a float, a number without end) is kept as it was given, and compared by Python.

use std::ffi::CStr;

use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::deque;
use batonloop_cpython::kind::{self, Fields};
use batonloop_cpython::locks::{Event, Queue};
use batonloop_cpython::method::{Method, Property, TypeSlot};
use batonloop_cpython::{native, verify};
use pyo3::exceptions::PyAttributeError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyList, PyString, PyTuple, PyType, PyTypeMethods};
use pyo3::{Bound, IntoPyObject, PyResult, Python, intern};

#[cfg(Py_3_13)]
use super::shutdown;
use super::{
    GET, JOIN, PUT, PyQueue, empty, ensure_deque, full, is_plain, items, put_nowait, set_maxsize,
    take, task_done, wake_up_next_of,
};
use crate::futures;
use crate::mixins::{
    Stateful, get_loop, is_one_of, one_argument, set_whatever, shown, slot_property, state_methods,
    with_argument,
};
use crate::names::{self, boolean, none};

/// `__init__()`. A subclass is asked by `_init()` to begin with no items; the event that `join()`
/// waits for is set, for there is no work yet.
fn init(
    queue: &PyQueue<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let py = queue.py();
    let fields = queue.fields();
    let maxsize = match one_argument("Queue", "maxsize", args, kwargs)? {
        Some(maxsize) => maxsize,
        None => 0_i64.into_pyobject(py)?.into_any(),
    };
    set_maxsize(fields, maxsize.clone());
    fields.getters.clear(py);
    fields.putters.clear(py);
    fields.unfinished.set_plain(py, 0);
    let finished = kind::allocate::<Event>(py)?;
    finished.fields().value.set_plain(py, 1);
    fields.finished.set(finished.into_any());
    if is_plain(queue) {
        fields.items.set(names::DEQUE.get(py)?.call0()?);
    } else {
        queue.call_method1(intern!(py, "_init"), (maxsize,))?;
    }
    fields.is_shut_down.set(false);
    Ok(())
}

/// The items and those who wait are part of a copy, and of a pickle if they can be pickled.
impl Stateful for Queue {
    const STATE: &'static [&'static str] = &[
        "_maxsize",
        "_getters",
        "_putters",
        "_unfinished_tasks",
        "_finished",
        "_queue",
        #[cfg(Py_3_13)]
        "_is_shutdown",
    ];

    fn look_on<'py>(this: &Bound<'py, Self>, name: &Bound<'py, PyAny>) {
        look_on(this, name);
    }
}

/// What a repr says of the state. A subclass that keeps its items elsewhere has no `_queue`, and
/// then they are not shown.
fn format<'py>(queue: &PyQueue<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    let fields = queue.fields();
    let mut text = match fields.maxsize.get(py) {
        Some(maxsize) => format!("maxsize={}", maxsize.repr()?),
        None => String::new(),
    };
    if let Some(items) = queue.getattr_opt(intern!(py, "_queue"))?
        && items.is_truthy()?
    {
        let items = py.get_type::<PyList>().call1((items,))?;
        text += &format!(" _queue={}", items.repr()?);
    }
    for (name, slot) in [("_getters", &fields.getters), ("_putters", &fields.putters)] {
        if let Some(waiters) = slot.get(py)
            && waiters.is_truthy()?
        {
            text += &format!(" {name}[{}]", waiters.len()?);
        }
    }
    if fields.unfinished.is_true(py)? {
        text += &format!(" tasks={}", fields.unfinished.get(py)?.str()?);
    }
    if fields.is_shut_down.get() {
        text += " shutdown";
    }
    Ok(PyString::new(py, &text).into_any())
}

/// The repr and the text, which differ by the place only. `_format()` may be a subclass's.
fn text_of<'py>(queue: &PyQueue<'py>, place: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = queue.py();
    let state = queue.call_method0(intern!(py, "_format"))?;
    let class = queue.get_type().name()?;
    Ok(PyString::new(py, &format!("<{class}{place} {state}>")).into_any())
}

/// A deque of futures that Python code may look at and replace. It is made when it is looked at:
/// most queues never see anybody wait on one of the sides, and a deque is 600 bytes.
macro_rules! deque_property {
    ($name:literal, $doc:literal, $slot:ident) => {
        Property::write(
            $name,
            $doc,
            |this: &PyQueue<'_>| ensure_deque(&this.fields().$slot, this.py()),
            |this: &PyQueue<'_>, value| set_whatever(&this.fields().$slot, value),
        )
    };
}

/// The items, how many there may be, and those who wait. `_queue` is empty in a subclass that keeps
/// its items elsewhere; to read it is then an AttributeError, as for any name that was never set.
fn properties() -> Vec<Property<Queue>> {
    vec![
        deque_property!(c"_getters", c"The futures of who waits for an item.", getters),
        deque_property!(c"_putters", c"The futures of who waits for room.", putters),
        // It is read only, and refuses in the words of a property in Python.
        Property::write(
            c"maxsize",
            c"Number of items allowed in the queue.",
            |this: &PyQueue<'_>| Ok(shown(&this.fields().maxsize, this.py())),
            |this: &PyQueue<'_>, value| {
                let what = if value.is_some() { "setter" } else { "deleter" };
                let class = verify::class_name(this);
                let text = format!("property 'maxsize' of '{class}' object has no {what}");
                Err(PyAttributeError::new_err(text))
            },
        ),
        Property::write(
            c"_maxsize",
            c"Number of items allowed in the queue.",
            |this: &PyQueue<'_>| Ok(shown(&this.fields().maxsize, this.py())),
            |this: &PyQueue<'_>, value| {
                set_maxsize(this.fields(), value.ok_or_else(futures::cannot_delete)?.clone());
                Ok(())
            },
        ),
        Property::write(
            c"_queue",
            c"The items.",
            |this: &PyQueue<'_>| {
                this.fields().items.get(this.py()).ok_or_else(|| {
                    let class = verify::class_name(this);
                    let text = format!("'{class}' object has no attribute '_queue'");
                    PyAttributeError::new_err(text)
                })
            },
            |this: &PyQueue<'_>, value| match value {
                Some(value) => {
                    this.fields().items.set(value.clone());
                    Ok(())
                }
                None => {
                    this.fields().items.clear(this.py());
                    Ok(())
                }
            },
        ),
    ]
}

/// What a queue keeps beside its items and those who wait. `_is_shutdown` is there where asyncio's
/// queues can be shut down.
fn more_properties() -> Vec<Property<Queue>> {
    vec![
        Property::write(
            c"_finished",
            c"The event that join() waits for.",
            |this: &PyQueue<'_>| Ok(shown(&this.fields().finished, this.py())),
            |this: &PyQueue<'_>, value| set_whatever(&this.fields().finished, value),
        ),
        slot_property!(
            Queue,
            c"_loop",
            c"The loop it belongs to; None before anybody waited.",
            event_loop
        ),
        Property::write(
            c"_unfinished_tasks",
            c"How many items were put for which task_done() was not called.",
            |this: &PyQueue<'_>| this.fields().unfinished.get(this.py()),
            |this: &PyQueue<'_>, value| {
                this.fields().unfinished.set(value.ok_or_else(futures::cannot_delete)?);
                Ok(())
            },
        ),
        #[cfg(Py_3_13)]
        Property::write(
            c"_is_shutdown",
            c"Whether shutdown() was called.",
            |this: &PyQueue<'_>| Ok(boolean(this.py(), this.fields().is_shut_down.get())),
            |this: &PyQueue<'_>, value| {
                this.fields().is_shut_down.set(futures::truth_of(value)?);
                Ok(())
            },
        ),
    ]
}

/// What `asyncio.Queue` has, and what subclasses and libraries use of its inside. The methods that
/// a subclass may define anew call the native ones here, not each other.
fn methods() -> Vec<Method<Queue>> {
    vec![
        // What is awaited does nothing before that: it keeps the queue, and the item.
        Method::args(c"put", PUT_DOC, |this: &PyQueue<'_>, args| {
            with_argument(args, ["Queue", "put", "item"], |item| {
                let made = native::new(&PUT, this.as_any().clone())?;
                made.fields().argument.fill(item.clone());
                Ok(made.into_any())
            })
        }),
        Method::no_args(c"get", GET_DOC, |this: &PyQueue<'_>| {
            Ok(native::new(&GET, this.as_any().clone())?.into_any())
        }),
        Method::args(c"put_nowait", PUT_NOWAIT, |this: &PyQueue<'_>, args| {
            with_argument(args, ["Queue", "put_nowait", "item"], |item| {
                put_nowait(this, item)?;
                Ok(none(this.py()))
            })
        }),
        Method::no_args(c"get_nowait", GET_NOWAIT, take),
        Method::no_args(c"task_done", TASK_DONE, task_done),
        Method::no_args(c"join", JOIN_DOC, |this: &PyQueue<'_>| {
            Ok(native::new(&JOIN, this.as_any().clone())?.into_any())
        }),
        #[cfg(Py_3_13)]
        Method::args(c"shutdown", SHUTDOWN, shutdown),
        Method::no_args(c"qsize", c"Number of items in the queue.", |this: &PyQueue<'_>| {
            items(this)?.len()?.into_pyobject(this.py()).map(Bound::into_any).map_err(Into::into)
        }),
        Method::no_args(c"empty", c"Return True if the queue is empty.", |this: &PyQueue<'_>| {
            Ok(boolean(this.py(), empty(this)?))
        }),
        Method::no_args(
            c"full",
            c"Return True if there are maxsize items.",
            |this: &PyQueue<'_>| Ok(boolean(this.py(), full(this)?)),
        ),
        // What a subclass may define anew.
        Method::one_arg(c"_init", c"Begin with no items.", |this: &PyQueue<'_>, _| {
            this.fields().items.set(names::DEQUE.get(this.py())?.call0()?);
            Ok(none(this.py()))
        }),
        Method::one_arg(c"_put", c"Take an item in.", |this: &PyQueue<'_>, item| {
            deque::append(&items(this)?, item)?;
            Ok(none(this.py()))
        }),
        Method::no_args(c"_get", c"Give an item out.", |this: &PyQueue<'_>| {
            deque::pop_left(&items(this)?)
        }),
        Method::one_arg(
            c"_wakeup_next",
            c"Let the next one go on.",
            |this: &PyQueue<'_>, waiters| {
                wake_up_next_of(waiters)?;
                Ok(none(this.py()))
            },
        ),
        Method::no_args(c"_format", c"The state, for a repr.", format),
        Method::no_args(c"_get_loop", c"The loop it belongs to.", |this: &PyQueue<'_>| {
            get_loop(this, &this.fields().event_loop)
        }),
        Method::class_getitem(),
    ]
}

/// Only who has set a method of its own on the queue is asked for it.
fn look_on<'py>(this: &PyQueue<'py>, name: &Bound<'py, PyAny>) {
    if is_one_of(name, &METHODS) {
        this.fields().is_patched.set(true);
    }
}

/// The methods that others of the same queue go a short way round.
const METHODS: [&str; 8] =
    ["qsize", "empty", "full", "put_nowait", "get_nowait", "_put", "_get", "_wakeup_next"];

/// Makes the type. It takes attributes of the program, as a class in Python would, and shows its
/// short name in messages like one.
pub(crate) fn make_type(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    TypeBuilder::<Queue>::new(c"batonloop.queues.Queue", QUEUE)
        .methods(methods())
        .methods(state_methods())
        .properties(properties())
        .properties(more_properties())
        .slots([
            TypeSlot::init(init),
            TypeSlot::set_attribute(look_on),
            TypeSlot::text(|this: &PyQueue<'_>| text_of(this, "")),
            TypeSlot::repr(|this: &PyQueue<'_>| {
                text_of(this, &format!(" at {:#x}", this.as_ptr().addr()))
            }),
        ])
        .with_dict_and_weakrefs()
        .showing_dict()
        .named_as_a_class()
        .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?)
}

const QUEUE: &CStr = c"\
    Queue(maxsize=0)\n--\n\nA queue for tasks, first in, first out; with no end if maxsize is zero \
    or less.";
const PUT_DOC: &CStr = c"\
    put(item)\n\nPut an item into the queue; wait for room if it is full.\n\nA coroutine. Raises \
    QueueShutDown if the queue has been shut down.";
const GET_DOC: &CStr = c"\
    Remove and return an item; wait for one if the queue is empty.\n\nA coroutine. Who is \
    cancelled takes no item. Raises QueueShutDown if the queue has been shut\ndown and is empty.";
const PUT_NOWAIT: &CStr = c"\
    put_nowait(item)\n\nPut an item into the queue.\n\nRaises QueueFull if there is no room, \
    QueueShutDown if the queue has been shut down.";
const GET_NOWAIT: &CStr = c"\
    Remove and return an item.\n\nRaises QueueEmpty if there is none, QueueShutDown if the queue \
    has been shut down too.";
const TASK_DONE: &CStr = c"\
    Say that the work on an item is done.\n\nRaises ValueError if called more often than items \
    were put.";
const JOIN_DOC: &CStr = c"Wait until the work on all items is done.\n\nA coroutine.";
#[cfg(Py_3_13)]
const SHUTDOWN: &CStr = c"\
    shutdown(immediate=False)\n\nLet put() raise QueueShutDown from now on, and get() once the \
    queue is empty; with immediate it is\nemptied now, as if the work on all items were done.";
