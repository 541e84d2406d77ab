//! Functions of the interpreter that are given new bodies: `_asyncio.current_task` and its kin, and
//! the two that link a future to who awaits it.
//!
//! Up to CPython 3.13 the running task stands in a dict that every step would have to write, at a
//! third of the price of the step. Ours is one word of the loop instead, and the C functions that
//! speak of the current task, which many modules imported before they ever heard of us, must know
//! of it. A builtin function calls through a pointer in its static definition: that pointer is
//! replaced, and the old one is kept and called for everything that is not ours.
//!
//! The two others are for futures that are not laid out as CPython's, which they would not take.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::types::PyAny;
use pyo3::{Bound, PyResult, ffi};

use crate::method::Method;

/// A function that can be given a new body.
#[derive(Clone, Copy)]
pub enum Function {
    /// `_asyncio.current_task`.
    CurrentTask,
    /// `_asyncio._enter_task`.
    EnterTask,
    /// `_asyncio._leave_task`.
    LeaveTask,
    /// `_asyncio._swap_current_task`.
    SwapCurrentTask,
    /// `_asyncio._set_running_loop`.
    SetRunningLoop,
    /// `_asyncio.future_add_to_awaited_by`.
    AddToAwaitedBy,
    /// `_asyncio.future_discard_from_awaited_by`.
    DiscardFromAwaitedBy,
}

/// The C function behind a builtin; the flags of its definition say which member is meant.
#[derive(Clone, Copy)]
struct Body(ffi::PyMethodDefPointer);

// SAFETY: a pointer to a function, which never changes.
unsafe impl Send for Body {}
// SAFETY: as above.
unsafe impl Sync for Body {}

/// The most arguments that any of the functions takes.
const MOST_ARGUMENTS: usize = 2;

static ORIGINALS: [OnceLock<Body>; 7] = [const { OnceLock::new() }; 7];
static REPLACEMENTS: [OnceLock<Body>; 7] = [const { OnceLock::new() }; 7];

/// The interpreter whose objects the new bodies know. The definitions are static, so all others,
/// which may not even share the GIL, come by here too.
static OWNER: AtomicPtr<ffi::PyInterpreterState> = AtomicPtr::new(ptr::null_mut());

/// Whether the interpreter that calls is the one that replaced the bodies.
fn is_owner() -> bool {
    // SAFETY: builtin functions are called with the GIL of their interpreter held.
    ptr::eq(unsafe { ffi::PyInterpreterState_Get() }, OWNER.load(Ordering::Relaxed))
}

/// The body to call: ours for our interpreter, else the one that was replaced.
fn body_for_caller(index: usize) -> ffi::PyMethodDefPointer {
    let bodies = if is_owner() { &REPLACEMENTS } else { &ORIGINALS };
    match bodies[index].get() {
        Some(body) => body.0,
        // Both are filled before an entry is put in place.
        None => unreachable!("an entry without bodies"),
    }
}

unsafe extern "C" fn enter_by_keywords<const INDEX: usize>(
    module: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: only functions with these flags have this entry.
    let body = unsafe { body_for_caller(INDEX).PyCFunctionFastWithKeywords };
    // SAFETY: the arguments are passed on as they came.
    unsafe { body(module, args, nargs, names) }
}

unsafe extern "C" fn enter_by_position<const INDEX: usize>(
    module: *mut ffi::PyObject,
    args: *mut *mut ffi::PyObject,
    nargs: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: only functions with these flags have this entry.
    let body = unsafe { body_for_caller(INDEX).PyCFunctionFast };
    // SAFETY: the arguments are passed on as they came.
    unsafe { body(module, args, nargs) }
}

unsafe extern "C" fn enter_by_one<const INDEX: usize>(
    module: *mut ffi::PyObject,
    argument: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: only functions with these flags have this entry.
    let body = unsafe { body_for_caller(INDEX).PyCFunction };
    // SAFETY: the argument is passed on as it came.
    unsafe { body(module, argument) }
}

impl Function {
    /// Its name in the module `_asyncio`.
    #[must_use]
    pub const fn name(self) -> &'static CStr {
        match self {
            Self::CurrentTask => c"current_task",
            Self::EnterTask => c"_enter_task",
            Self::LeaveTask => c"_leave_task",
            Self::SwapCurrentTask => c"_swap_current_task",
            Self::SetRunningLoop => c"_set_running_loop",
            Self::AddToAwaitedBy => c"future_add_to_awaited_by",
            Self::DiscardFromAwaitedBy => c"future_discard_from_awaited_by",
        }
    }

    /// How it takes its arguments.
    const fn flags(self) -> c_int {
        match self {
            Self::SetRunningLoop => ffi::METH_O,
            Self::AddToAwaitedBy | Self::DiscardFromAwaitedBy => ffi::METH_FASTCALL,
            _ => ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        }
    }

    fn original(self) -> &'static OnceLock<Body> {
        &ORIGINALS[self as usize]
    }

    /// What stands in the definition once the body is replaced.
    fn entry(self) -> ffi::PyMethodDefPointer {
        let by_keywords = |entry| ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: entry };
        match self {
            Self::CurrentTask => by_keywords(enter_by_keywords::<{ Self::CurrentTask as usize }>),
            Self::EnterTask => by_keywords(enter_by_keywords::<{ Self::EnterTask as usize }>),
            Self::LeaveTask => by_keywords(enter_by_keywords::<{ Self::LeaveTask as usize }>),
            Self::SwapCurrentTask => {
                by_keywords(enter_by_keywords::<{ Self::SwapCurrentTask as usize }>)
            }
            Self::SetRunningLoop => ffi::PyMethodDefPointer {
                PyCFunction: enter_by_one::<{ Self::SetRunningLoop as usize }>,
            },
            Self::AddToAwaitedBy => ffi::PyMethodDefPointer {
                PyCFunctionFast: enter_by_position::<{ Self::AddToAwaitedBy as usize }>,
            },
            Self::DiscardFromAwaitedBy => ffi::PyMethodDefPointer {
                PyCFunctionFast: enter_by_position::<{ Self::DiscardFromAwaitedBy as usize }>,
            },
        }
    }
}

/// The definition of a builtin function, if `target` is one of that name which takes its arguments
/// as we do.
fn definition(target: &Bound<'_, PyAny>, function: Function) -> Option<*mut ffi::PyMethodDef> {
    // SAFETY: the object is alive; the check reads its type.
    if unsafe { ffi::PyCFunction_CheckExact(target.as_ptr()) } == 0 {
        return None;
    }
    let builtin = target.as_ptr().cast::<ffi::PyCFunctionObject>();
    // SAFETY: it is a builtin function.
    let definition = unsafe { (*builtin).m_ml };
    // SAFETY: a builtin function has a definition.
    let name = unsafe { (*definition).ml_name };
    // SAFETY: a definition has a name.
    let name = unsafe { CStr::from_ptr(name) };
    // SAFETY: a builtin function has a definition.
    let flags: c_int = unsafe { (*definition).ml_flags };
    let fits = name == function.name() && flags == function.flags();
    fits.then_some(definition)
}

/// Whether `target` is the builtin function that is meant, with the calling convention that is
/// expected.
pub fn is_replaceable(target: &Bound<'_, PyAny>, function: Function) -> bool {
    definition(target, function).is_some()
}

/// Gives the builtin function `target` the body of `replacement`, which takes its arguments in the
/// same way. Does nothing if it has a new body already or is not [replaceable](is_replaceable).
pub fn replace_body(target: &Bound<'_, PyAny>, function: Function, replacement: Method<PyAny>) {
    let Some(definition) = definition(target, function) else {
        return;
    };
    if replacement.0.ml_flags != function.flags() {
        return;
    }
    // SAFETY: a builtin function has a definition.
    let old = unsafe { (*definition).ml_meth };
    if function.original().set(Body(old)).is_err() {
        return;
    }
    let _ = REPLACEMENTS[function as usize].set(Body(replacement.0.ml_meth));
    // SAFETY: `target` is an object of the interpreter that runs now, so its GIL is held.
    OWNER.store(unsafe { ffi::PyInterpreterState_Get() }, Ordering::Relaxed);
    // SAFETY: the definition is static, writable data of the extension module; the entry has the
    // same convention, and a pointer is written whole: who calls at this moment, under a GIL of its
    // own, meets the old body or the entry.
    unsafe { (*definition).ml_meth = function.entry() };
}

/// Calls the body that was replaced.
///
/// # Errors
///
/// What it raises; RuntimeError if nothing was replaced or there are too many arguments.
pub fn call_original<'py>(
    module: &Bound<'py, PyAny>,
    function: Function,
    arguments: &[&Bound<'py, PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    let mut raw = [ptr::null_mut(); MOST_ARGUMENTS];
    let (Some(original), true) = (function.original().get(), arguments.len() <= raw.len()) else {
        return Err(pyo3::exceptions::PyRuntimeError::new_err("the function has its own body"));
    };
    for (place, argument) in raw.iter_mut().zip(arguments) {
        *place = argument.as_ptr();
    }
    let count = arguments.len().cast_signed();
    let result = if function.flags() == ffi::METH_O {
        // SAFETY: the flags, which were compared, say which member of the union is meant.
        let body = unsafe { original.0.PyCFunction };
        // SAFETY: module and argument are alive; the function has this very convention.
        unsafe { body(module.as_ptr(), raw[0]) }
    } else if function.flags() == ffi::METH_FASTCALL {
        // SAFETY: as above.
        let body = unsafe { original.0.PyCFunctionFast };
        // SAFETY: as above, and the arguments stand in a row.
        unsafe { body(module.as_ptr(), raw.as_mut_ptr(), count) }
    } else {
        // SAFETY: as above.
        let body = unsafe { original.0.PyCFunctionFastWithKeywords };
        // SAFETY: module and arguments are alive; the function has this very convention.
        unsafe { body(module.as_ptr(), raw.as_ptr(), count, ptr::null_mut()) }
    };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(module.py(), result) }
}
