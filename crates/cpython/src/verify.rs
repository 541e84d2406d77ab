//! Looks at live objects of asyncio's own types and says whether they are laid out as we think.
//!
//! Most fields are set by a public method to a value that is known, and the struct is then read
//! where the field should be; a few are only found empty, as DESIGN.md says. A difference is no
//! error: the caller makes the same types on `object` instead.

use pyo3::exceptions::PyException;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyType, PyTypeMethods};
use pyo3::{Bound, PyResult, Python};

use crate::kind::{Fields, Future, Kind, Task};
use crate::layout::{
    FutureFields, HandleFields, SSLTransportFields, TaskFields, TimerHandleFields, TransportFields,
};

/// How long our task's tail is, behind CPython's struct.
#[cfg(not(Py_3_14))]
const TAIL: usize = 3 * size_of::<usize>();
#[cfg(Py_3_14)]
const TAIL: usize = size_of::<usize>();

/// Whether `_asyncio.Future` and `_asyncio.Task` are laid out as [`FutureFields`] and
/// [`TaskFields`] say.
pub fn futures_are_as_laid_out(future: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> bool {
    let sizes = basicsize(future) == Some(size_of::<FutureFields>())
        && basicsize(task) == Some(size_of::<TaskFields>() - TAIL);
    // A probe that raises has found a stranger too.
    sizes && probe_future(future).unwrap_or(false) && probe_task(task).unwrap_or(false)
}

/// Whether the slots of `asyncio.Handle` and `asyncio.TimerHandle` stand where [`HandleFields`]
/// and [`TimerHandleFields`] say.
pub fn handles_are_as_laid_out(handle: &Bound<'_, PyAny>, timer: &Bound<'_, PyAny>) -> bool {
    use std::mem::offset_of;

    let expected = [
        (handle, "_args", offset_of!(HandleFields, arguments)),
        (handle, "_callback", offset_of!(HandleFields, callback)),
        (handle, "_cancelled", offset_of!(HandleFields, cancelled)),
        (handle, "_context", offset_of!(HandleFields, context)),
        (handle, "_loop", offset_of!(HandleFields, event_loop)),
        (handle, "_repr", offset_of!(HandleFields, repr)),
        (handle, "_source_traceback", offset_of!(HandleFields, source_traceback)),
        (timer, "_scheduled", offset_of!(TimerHandleFields, scheduled)),
        (timer, "_when", offset_of!(TimerHandleFields, when)),
    ];
    basicsize(handle) == Some(size_of::<HandleFields>())
        && basicsize(timer) == Some(size_of::<TimerHandleFields>())
        && expected.iter().all(|(class, name, offset)| member_offset(class, name) == Some(*offset))
}

/// Whether the slots of `asyncio.transports._FlowControlMixin` stand where [`TransportFields`]
/// says, and its other abstract classes, of which `base` is the first, add none to those of `base`.
pub fn transports_are_as_laid_out(
    mixin: &Bound<'_, PyAny>,
    base: &Bound<'_, PyAny>,
    others: &[&Bound<'_, PyAny>],
) -> bool {
    use std::mem::offset_of;

    let [extra, end] = TransportFields::extra_and_end();
    let after = offset_of!(TransportFields, protocol);
    let slots = TransportFields::base_slots();
    member_offset(base, "_extra") == Some(extra)
        && others.iter().chain(&[base]).all(|class| basicsize(class) == Some(end))
        && basicsize(mixin) == Some(after)
        && slots.iter().all(|(name, offset)| member_offset(mixin, name) == Some(*offset))
}

/// Whether the slots of `asyncio.transports._FlowControlMixin` stand where [`SSLTransportFields`]
/// says.
pub fn tls_transports_are_as_laid_out(base: &Bound<'_, PyAny>) -> bool {
    use std::mem::offset_of;

    let expected = [
        ("_high_water", offset_of!(SSLTransportFields, high_water)),
        ("_loop", offset_of!(SSLTransportFields, event_loop)),
        ("_low_water", offset_of!(SSLTransportFields, low_water)),
        ("_protocol_paused", offset_of!(SSLTransportFields, protocol_paused)),
    ];
    basicsize(base) == Some(SSLTransportFields::BASE)
        && expected.iter().all(|(name, offset)| member_offset(base, name) == Some(*offset))
}

fn basicsize(class: &Bound<'_, PyAny>) -> Option<usize> {
    class.getattr("__basicsize__").ok()?.extract().ok()
}

/// Where a `__slots__` member stands in the object, from its descriptor.
fn member_offset(class: &Bound<'_, PyAny>, name: &str) -> Option<usize> {
    #[repr(C)]
    struct MemberDescriptor {
        head: pyo3::ffi::PyObject,
        class: *mut pyo3::ffi::PyTypeObject,
        name: *mut pyo3::ffi::PyObject,
        qualname: *mut pyo3::ffi::PyObject,
        member: *mut pyo3::ffi::PyMemberDef,
    }

    let descriptor = class.getattr("__dict__").ok()?.get_item(name).ok()?;
    // SAFETY: the object is alive.
    let class = unsafe { pyo3::ffi::Py_TYPE(descriptor.as_ptr()) };
    let is_member = class == &raw mut pyo3::ffi::PyMemberDescr_Type;
    if !is_member {
        return None;
    }
    let descriptor = descriptor.as_ptr().cast::<MemberDescriptor>();
    // SAFETY: it is a member descriptor, whose struct is public in `descrobject.h`.
    let member = unsafe { (*descriptor).member };
    // SAFETY: a member descriptor has a definition.
    usize::try_from(unsafe { (*member).offset }).ok()
}

/// A loop that only answers what a future asks when it is made and settled.
fn stand_in_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let code = c"class Loop:
    def get_debug(self): return False
    def is_running(self): return False
    def call_soon(self, *args, context=None): pass
    def call_exception_handler(self, context): pass
";
    let names = PyDict::new(py);
    py.run(code, Some(&names), Some(&names))?;
    names.as_any().get_item("Loop")?.call0()
}

/// Reads `object` as one of kind `K` whatever its type is.
///
/// # Safety
///
/// The object's memory must be at least as long as what is read of the fields.
unsafe fn read_as<'a, 'py, K: Kind>(object: &'a Bound<'py, PyAny>) -> &'a Bound<'py, K> {
    // SAFETY: the caller answers for the size; fields are plain words.
    unsafe { object.cast_unchecked() }
}

fn probe_future(class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = class.py();
    let event_loop = stand_in_loop(py)?;
    let new = |py| {
        let keywords = PyDict::new(py);
        keywords.set_item("loop", &event_loop)?;
        class.call((), Some(&keywords))
    };
    let first = py.eval(c"lambda future: None", None, None)?;
    let context = crate::context::copy_current(py)?;
    let keywords = PyDict::new(py);
    keywords.set_item("context", &context)?;

    let object = new(py)?;
    // SAFETY: the base's size was compared with the struct's.
    let fields = unsafe { read_as::<Future>(&object) }.fields();
    let mut good = fields.event_loop.holds(&event_loop)
        && fields.state() == 0
        && fields.callback0.is_empty()
        && fields.callbacks.is_empty()
        && !fields.blocking()
        && !fields.log_traceback();
    object.call_method("add_done_callback", (&first,), Some(&keywords))?;
    object.call_method("add_done_callback", (&first,), Some(&keywords))?;
    good &= fields.callback0.holds(&first)
        && fields.context0.holds(&context)
        && fields.callbacks.get(py).is_some_and(|list| list.len().is_ok_and(|len| len == 1));
    object.setattr("_asyncio_future_blocking", true)?;
    good &= fields.blocking() && !fields.log_traceback();
    object.setattr("_asyncio_future_blocking", false)?;
    good &= !fields.blocking();
    object.call_method1("set_result", (&first,))?;
    good &= fields.state() == 2 && fields.result.holds(&first) && fields.exception.is_empty();

    let object = new(py)?;
    // SAFETY: the base's size was compared with the struct's.
    let fields = unsafe { read_as::<Future>(&object) }.fields();
    let error = py.get_type::<PyException>().call0()?;
    object.call_method1("set_exception", (&error,))?;
    good &= fields.state() == 2 && fields.exception.holds(&error) && fields.log_traceback();
    object.call_method0("exception")?;
    good &= !fields.log_traceback();

    let object = new(py)?;
    // SAFETY: the base's size was compared with the struct's.
    let fields = unsafe { read_as::<Future>(&object) }.fields();
    object.call_method1("cancel", (&first,))?;
    good &= fields.state() == 1 && fields.cancel_message.holds(&first);
    Ok(good && fields.source_traceback.is_empty() && fields.cancelled_exc.is_empty())
}

fn probe_task(class: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = class.py();
    let event_loop = stand_in_loop(py)?;
    let names = PyDict::new(py);
    py.run(c"async def coroutine(): pass\n", Some(&names), Some(&names))?;
    let coroutine = names.as_any().get_item("coroutine")?.call0()?;
    let name = pyo3::types::PyString::new(py, "probe of the layout").into_any();
    let context = crate::context::copy_current(py)?;
    let keywords = PyDict::new(py);
    keywords.set_item("loop", &event_loop)?;
    keywords.set_item("name", &name)?;
    keywords.set_item("context", &context)?;
    let object = class.call((&coroutine,), Some(&keywords))?;
    // SAFETY: the base's size was compared with the struct's, less the tail, which is not read.
    let fields = unsafe { read_as::<Task>(&object) }.fields();
    let mut good = fields.future().event_loop.holds(&event_loop)
        && fields.coro.holds(&coroutine)
        && fields.name.holds(&name)
        && fields.context.holds(&context)
        && fields.fut_waiter.is_empty()
        && !fields.must_cancel()
        && fields.log_destroy_pending()
        && fields.cancels_requested() == 0;
    object.call_method0("cancel")?;
    good &= fields.must_cancel() && fields.cancels_requested() == 1;
    object.setattr("_log_destroy_pending", false)?;
    good &= !fields.log_destroy_pending() && fields.must_cancel();
    // The interpreter must neither report the task nor keep it in its registry.
    coroutine.call_method0("close")?;
    Ok(good)
}

/// The class of an object's class, by name, for messages.
pub fn class_name(object: &Bound<'_, PyAny>) -> String {
    let class: Bound<'_, PyType> = object.get_type();
    class.name().map_or_else(|_| "object".to_owned(), |name| name.to_string())
}
