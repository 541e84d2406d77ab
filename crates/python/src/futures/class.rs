//! What Python sees of a future: its attributes, its report when nobody asked, its type.

use std::ffi::CStr;

use batonloop_core::Stage;
use batonloop_cpython::builder::{TypeBuilder, bases};
use batonloop_cpython::kind::{self, Fields, Future, Gathering, Task};
use batonloop_cpython::method::{Method, Property, TypeSlot};
#[cfg(Py_3_14)]
use pyo3::PyTypeInfo;
use pyo3::exceptions::PyValueError;
use pyo3::types::{
    PyAny, PyAnyMethods, PyDict, PyDictMethods, PyList, PyListMethods, PyString, PyTuple, PyType,
};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::{
    PyFuture, add_done_callback, ask_exception, ask_result, awaited, boolean, cancel_method,
    ensure_initialised, init, iterate, make_cancelled_error, new_iterator, none, pairs, present,
    present_context, remove_done_callback, set_exception, set_result, stage,
};
use crate::names;

/// A future without a loop was never initialised, and so is not done.
fn done<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    let is_done = !future.fields().event_loop.is_empty() && stage(future.fields()).is_done();
    Ok(boolean(future.py(), is_done))
}

fn cancelled<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    let is_cancelled = stage(future.fields()) == Stage::Cancelled;
    Ok(boolean(future.py(), is_cancelled))
}

/// `get_loop()`; asyncio's own helpers ask it of whatever they take for a future.
fn get_loop<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    Ok(read_loop(future))
}

fn read_loop<'py>(future: &PyFuture<'py>) -> Bound<'py, PyAny> {
    let py = future.py();
    future.fields().event_loop.get(py).unwrap_or_else(|| none(py))
}

/// asyncio's own function writes it, so that the words are the running Python's.
fn repr<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    names::FUTURE_REPR.get(future.py())?.call1((future,))
}

/// `_make_cancelled_error()`, which `asyncio.gather()` calls.
fn make_cancelled_error_method<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    make_cancelled_error(future)
}

/// `_asyncio_future_blocking`, by which asyncio recognises whatever behaves like a future.
fn is_blocking<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    let fields = future.fields();
    Ok(boolean(future.py(), !fields.event_loop.is_empty() && fields.blocking()))
}

/// A task of the interpreter clears it when it begins to wait.
fn set_blocking<'py>(future: &PyFuture<'py>, value: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    ensure_initialised(future)?;
    future.fields().set_blocking(truth_of(value)?);
    Ok(())
}

/// `_log_traceback`: whether an exception is still unseen.
fn logs_traceback<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    Ok(boolean(future.py(), future.fields().log_traceback()))
}

/// Only the future itself may say that an exception is unseen; others may say that it was seen.
fn set_log_traceback<'py>(
    future: &PyFuture<'py>,
    value: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    if truth_of(value)? {
        return Err(PyValueError::new_err("_log_traceback can only be set to False"));
    }
    future.fields().set_log_traceback(false);
    Ok(())
}

/// What deleting a property of a future says.
pub(crate) fn cannot_delete() -> PyErr {
    pyo3::exceptions::PyAttributeError::new_err("cannot delete attribute")
}

/// Whether what is written into an attribute is true.
pub(crate) fn truth_of(value: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    value.ok_or_else(cannot_delete)?.is_truthy()
}

/// `_state`, in asyncio's words.
fn state_name<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    let name = stage(future.fields()).name();
    Ok(PyString::new(future.py(), name).into_any())
}

/// `_callbacks`, as asyncio shows them: a waiting task has a callable in its place and its own
/// context beside it.
fn list_callbacks<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    let py = future.py();
    let fields = future.fields();
    let mut found = Vec::new();
    if stage(fields).is_done() {
        return Ok(none(py));
    }
    if let Some(first) = fields.callback0.get(py) {
        let context = fields.context0.get(py);
        found.push((first, context));
    }
    if let Some(list) = fields.callbacks.get(py) {
        let more = pairs(&list)?;
        found.extend(more.into_iter().map(|(callback, context)| (callback, Some(context))));
    }
    if found.is_empty() {
        return Ok(none(py));
    }
    let list = PyList::empty(py);
    for (callback, context) in found {
        let shown = present(&callback, context.as_ref())?;
        let context = present_context(&callback, context).unwrap_or_else(|| none(py));
        list.append(PyTuple::new(py, [shown, context])?)?;
    }
    Ok(list.into_any())
}

macro_rules! slot_property {
    ($function:ident, $slot:ident, $ensure:expr) => {
        fn $function<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
            let ensure: fn(&PyFuture<'_>) -> PyResult<()> = $ensure;
            ensure(future)?;
            let py = future.py();
            Ok(future.fields().$slot.get(py).unwrap_or_else(|| none(py)))
        }
    };
}

slot_property!(read_result, result, ensure_initialised);
slot_property!(read_exception, exception, ensure_initialised);
slot_property!(read_source_traceback, source_traceback, |_| Ok(()));
slot_property!(read_cancel_message, cancel_message, |_| Ok(()));

/// `_cancel_message`, which `asyncio.timeout()` and its kin may write.
fn write_cancel_message<'py>(
    future: &PyFuture<'py>,
    value: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    ensure_initialised(future)?;
    future.fields().cancel_message.set(value.ok_or_else(cannot_delete)?.clone());
    Ok(())
}

#[cfg(Py_3_14)]
fn read_awaited_by<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    ensure_initialised(future)?;
    let py = future.py();
    let Some(awaited_by) = future.fields().awaited_by.get(py) else {
        return Ok(none(py));
    };
    let members = if future.fields().awaited_by_is_set() {
        awaited_by
    } else {
        pyo3::types::PySet::new(py, [awaited_by])?.into_any()
    };
    pyo3::types::PyFrozenSet::type_object(py).call1((members,))
}

/// A finalizer has nobody to raise to.
fn finalize(future: &PyFuture<'_>) {
    if let Err(error) = report_unretrieved(future) {
        error.write_unraisable(future.py(), Some(future.as_any()));
    }
}

/// Reports an exception that nobody asked for while it was there to be asked.
pub(crate) fn report_unretrieved(future: &PyFuture<'_>) -> PyResult<()> {
    let py = future.py();
    let fields = future.fields();
    if !fields.log_traceback() {
        return Ok(());
    }
    fields.set_log_traceback(false);
    let class = batonloop_cpython::verify::class_name(future.as_any());
    let report = PyDict::new(py);
    report.set_item(intern!(py, "message"), format!("{class} exception was never retrieved"))?;
    report.set_item(intern!(py, "exception"), fields.exception.get(py))?;
    report.set_item(intern!(py, "future"), future)?;
    if let Some(traceback) = fields.source_traceback.get(py) {
        report.set_item(intern!(py, "source_traceback"), traceback)?;
    }
    call_exception_handler(future, &report)
}

/// Hands a report to the future's loop.
pub(crate) fn call_exception_handler(
    future: &PyFuture<'_>,
    report: &Bound<'_, PyDict>,
) -> PyResult<()> {
    let py = future.py();
    if let Some(event_loop) = future.fields().event_loop.get(py) {
        event_loop.call_method1(intern!(py, "call_exception_handler"), (report,))?;
    }
    Ok(())
}

// ---------------------------------------------------------------------------------------------
// The type
// ---------------------------------------------------------------------------------------------

/// In the order of asyncio's `futures.py`.
fn methods() -> Vec<Method<Future>> {
    vec![
        Method::no_args(c"result", RESULT, ask_result),
        Method::no_args(c"exception", EXCEPTION, ask_exception),
        Method::one_arg(c"set_result", SET_RESULT, set_result),
        Method::one_arg(c"set_exception", SET_EXCEPTION, set_exception),
        Method::args(c"add_done_callback", ADD_DONE_CALLBACK, add_done_callback),
        Method::one_arg(c"remove_done_callback", REMOVE_DONE_CALLBACK, remove_done_callback),
        Method::args(c"cancel", CANCEL, cancel_method),
        Method::no_args(c"cancelled", c"Return True if the future was cancelled.", cancelled),
        Method::no_args(c"done", DONE, done),
        Method::no_args(
            c"get_loop",
            c"Return the event loop that the future is bound to.",
            get_loop,
        ),
        Method::no_args(
            c"_make_cancelled_error",
            MAKE_CANCELLED_ERROR,
            make_cancelled_error_method,
        ),
        Method::no_args(
            c"__await__",
            c"Return an iterator to be used in await expression.",
            new_iterator,
        ),
        Method::no_args(c"__iter__", c"Implement iter(self).", new_iterator),
        Method::class_getitem(),
    ]
}

/// The private attributes that asyncio, and libraries, read.
fn properties() -> Vec<Property<Future>> {
    vec![
        Property::read(c"_state", c"PENDING, CANCELLED or FINISHED.", state_name),
        Property::write(
            c"_asyncio_future_blocking",
            c"Whether an await has yielded it and no task took note yet.",
            is_blocking,
            set_blocking,
        ),
        Property::read(c"_loop", c"The event loop.", |future| Ok(read_loop(future))),
        Property::read(c"_callbacks", c"A list of (callback, context), or None.", list_callbacks),
        Property::read(c"_result", c"The result, or None.", read_result),
        Property::read(c"_exception", c"The exception, or None.", read_exception),
        Property::write(
            c"_log_traceback",
            c"Whether the exception would be reported as never retrieved.",
            logs_traceback,
            set_log_traceback,
        ),
        Property::read(
            c"_source_traceback",
            c"The stack that made it, in debug mode; else None.",
            read_source_traceback,
        ),
        Property::write(
            c"_cancel_message",
            c"The msg of cancel(), or None.",
            read_cancel_message,
            write_cancel_message,
        ),
        #[cfg(Py_3_14)]
        Property::read(
            c"_asyncio_awaited_by",
            c"The tasks that await it, or None.",
            read_awaited_by,
        ),
    ]
}

/// In the own flavour: what `isinstance` asks when the type itself does not derive from asyncio's.
fn shown_class<'py>(future: &PyFuture<'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    let object = future.as_any();
    if kind::is_exact::<Task>(object) {
        return names::ASYNCIO_TASK.get(py).cloned();
    }
    if kind::is_exact::<Future>(object) {
        return names::ASYNCIO_FUTURE.get(py).cloned();
    }
    if kind::is_exact::<Gathering>(object) {
        return names::ASYNCIO_GATHERING_FUTURE.get(py).cloned();
    }
    Ok(object.get_type().into_any())
}

/// Changing the class is left to `object`, whose attribute ours hides.
fn change_class<'py>(future: &PyFuture<'py>, class: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    let class = class.ok_or_else(cannot_delete)?;
    future
        .py()
        .get_type::<PyAny>()
        .getattr("__dict__")?
        .get_item("__class__")?
        .call_method1("__set__", (future, class))?;
    Ok(())
}

/// Makes the type `Future`, on asyncio's or, in the own flavour, on `object`.
pub(crate) fn make_type<'py>(
    py: Python<'py>,
    base: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyType>> {
    let builder = TypeBuilder::<Future>::new(c"batonloop.Future", FUTURE_DOC)
        .methods(methods())
        .properties(properties())
        .slots([
            TypeSlot::init(init),
            TypeSlot::repr(repr),
            TypeSlot::finalize(finalize),
            TypeSlot::awaited(awaited),
            TypeSlot::iter(new_iterator),
            TypeSlot::next(iterate),
            TypeSlot::send(iterate),
        ])
        .immutable();
    match base {
        Some(base) => builder.build(&bases(py, &[base])?),
        None => builder
            .properties([Property::write(
                c"__class__",
                c"What it passes for.",
                shown_class,
                change_class,
            )])
            .with_dict_and_weakrefs()
            .build(&bases(py, &[py.get_type::<PyAny>().as_any()])?),
    }
}

const FUTURE_DOC: &CStr = c"\
    Future(*, loop=None)\n--\n\nA result that will be set later, and the callbacks to be \
    called then.\n\nWithout loop the current event loop is used. A subclass of \
    asyncio.Future; nothing differs.";
const DONE: &CStr = c"\
    Return True if the future is done: it has a result or an exception, or was cancelled.";
const MAKE_CANCELLED_ERROR: &CStr = c"\
    Create the CancelledError to raise if the future is cancelled.\n\nTo be called once, since it \
    erases the saved context.";
const RESULT: &CStr = c"\
    Return the result.\n\nRaises the exception if one was set, CancelledError if the future \
    was cancelled,\nInvalidStateError if it is not done yet.";
const EXCEPTION: &CStr = c"\
    Return the exception that was set, or None.\n\nRaises CancelledError if the future was \
    cancelled, InvalidStateError if it is not done yet.";
const SET_RESULT: &CStr = c"\
    set_result(result, /)\n\nMark the future done and set its result, any object.\n\nRaises \
    InvalidStateError if it is done already.";
const SET_EXCEPTION: &CStr = c"\
    set_exception(exception, /)\n\nMark the future done and set an exception, an instance or a \
    class.\n\nRaises InvalidStateError if it is done already, TypeError if it is no exception.";
const ADD_DONE_CALLBACK: &CStr = c"\
    add_done_callback(fn, /, *, context=None)\n\nCall fn(future) in a turn of the loop after \
    the future is done; callbacks run in the order\nof their adding. If it is done already, \
    the call is scheduled at once.";
const REMOVE_DONE_CALLBACK: &CStr =
    c"remove_done_callback(fn, /)\n\nRemove all instances of a callback; return how many.";
const CANCEL: &CStr = c"\
    cancel(msg=None)\n\nCancel the future and schedule its callbacks.\n\nReturns False and \
    does nothing if it is done already, else True.";
