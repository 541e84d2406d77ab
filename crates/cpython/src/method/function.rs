//! Functions that are written in Python and answered for in Rust.
//!
//! What asyncio calls an `async def` is looked at by many: `inspect` reads the flags of its code,
//! a mock its type, a class in whose body it stands binds it. Nothing but a function of the
//! interpreter's own passes for one with all of them. So ours are such functions, with asyncio's
//! code in them; only the pointer through which every function is called leads to us first. We
//! take the calls that we know, and all others run the code, with the arguments as they came. The
//! interpreter offers that pointer for this very purpose, if what is called does as the code would.

use std::ptr;
use std::sync::OnceLock;

use pyo3::types::{PyAny, PyAnyMethods, PyDict};
use pyo3::{Bound, PyResult, Python, ffi};

use super::{Args, conjure, enter};

/// What calls every function of the interpreter that is not one of ours.
static INTERPRETED: OnceLock<ffi::vectorcallfunc> = OnceLock::new();

/// A function as `original` is, in `module_name`, which calls `answer` first; where that has no
/// answer, the code of `original` runs.
///
/// If somebody has put something else in the place of `original` than a function whose globals are
/// `home`, that is given back as it is.
///
/// # Errors
///
/// `MemoryError`.
pub fn answered<'py, F>(
    original: &Bound<'py, PyAny>,
    home: &Bound<'py, PyDict>,
    module_name: &str,
    doc: &str,
    _answer: F,
) -> PyResult<Bound<'py, PyAny>>
where
    F: for<'a> Fn(Python<'a>, Args<'_, 'a>) -> PyResult<Option<Bound<'a, PyAny>>> + Copy + 'static,
{
    // SAFETY: the object is alive; the check reads its type.
    if unsafe { ffi::PyFunction_Check(original.as_ptr()) } == 0 {
        return Ok(original.clone());
    }
    if !original.getattr("__globals__")?.is(home) {
        return Ok(original.clone());
    }
    let function = copy(original)?;
    function.setattr("__module__", module_name)?;
    function.setattr("__doc__", doc)?;
    // SAFETY: the object is alive; what it is called through is read.
    if let Some(interpreted) = unsafe { ffi::PyVectorcall_Function(function.as_ptr()) } {
        INTERPRETED.get_or_init(|| interpreted);
    }
    set_vectorcall(&function, call::<F>)?;
    Ok(function)
}

/// Another function of the same code.
fn copy<'py>(original: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let [code, globals, name, defaults, closure] =
        ["__code__", "__globals__", "__name__", "__defaults__", "__closure__"]
            .map(|name| original.getattr(name));
    let made = original.get_type().call1((code?, globals?, name?, defaults?, closure?))?;
    for name in ["__kwdefaults__", "__qualname__", "__annotations__"] {
        made.setattr(name, original.getattr(name)?)?;
    }
    Ok(made)
}

unsafe extern "C" fn call<F>(
    function: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject
where
    F: for<'a> Fn(Python<'a>, Args<'_, 'a>) -> PyResult<Option<Bound<'a, PyAny>>> + Copy + 'static,
{
    let answer = enter(Some(ptr::null_mut()), |py| {
        let count = (nargsf & !ffi::PY_VECTORCALL_ARGUMENTS_OFFSET).cast_signed();
        // SAFETY: these are the arguments of a vectorcall, alive until it returns.
        let args = unsafe { Args::new(args, count, names) };
        Ok(conjure::<F>()(py, args)?.map(Bound::into_ptr))
    });
    match (answer, INTERPRETED.get()) {
        (Some(object), _) => object,
        // SAFETY: it takes any function, and these arguments are passed on as they came.
        (None, Some(interpreted)) => unsafe { interpreted(function, args, nargsf, names) },
        // It is filled before any function of ours can be called: every function has one.
        (None, None) => unreachable!("a function without an interpreter"),
    }
}

/// Lets every call of the function go through `vectorcall`.
#[cfg(Py_3_12)]
#[expect(clippy::unnecessary_wraps, reason = "it fails before 3.12")]
fn set_vectorcall(function: &Bound<'_, PyAny>, vectorcall: ffi::vectorcallfunc) -> PyResult<()> {
    unsafe extern "C" {
        fn PyFunction_SetVectorcall(function: *mut ffi::PyObject, vectorcall: ffi::vectorcallfunc);
    }

    // SAFETY: it is a function, nobody else knows it yet, and what is called for it does as its
    // code would.
    unsafe { PyFunction_SetVectorcall(function.as_ptr(), vectorcall) };
    Ok(())
}

/// Lets every call of the function go through `vectorcall`.
///
/// Up to 3.11 the interpreter takes that way for subtypes of the type of functions alone; the code
/// of what is exactly a function it runs itself. So the function gets a type of its own, which
/// differs in nothing.
#[cfg(not(Py_3_12))]
fn set_vectorcall(function: &Bound<'_, PyAny>, vectorcall: ffi::vectorcallfunc) -> PyResult<()> {
    let class = subtype(function.py())?;
    // SAFETY: the offset lies within a function.
    let place = unsafe { function.as_ptr().byte_offset(class.tp_vectorcall_offset) };
    // SAFETY: there it keeps what is called for it, and nobody else knows it yet.
    unsafe { place.cast::<Option<ffi::vectorcallfunc>>().write(Some(vectorcall)) };
    // SAFETY: objects of the subtype are laid out as functions are, and die as they do; a static
    // type counts no references.
    unsafe { (*function.as_ptr()).ob_type = class };
    Ok(())
}

/// A static type below that of functions.
#[cfg(not(Py_3_12))]
fn subtype(py: Python<'_>) -> PyResult<&'static mut ffi::PyTypeObject> {
    // For pickle and copy, which know functions by their exact type.
    let reduce = super::Method::<PyAny>::no_args(c"__reduce__", c"Its name.", |function| {
        function.getattr("__qualname__")
    });
    // SAFETY: null is the end mark of such a table.
    let end = unsafe { std::mem::zeroed() };
    let methods = Box::leak(Box::new([reduce.0, end]));
    // SAFETY: what is zero in a static type is inherited when it is made ready.
    let class: &mut ffi::PyTypeObject = Box::leak(Box::new(unsafe { std::mem::zeroed() }));
    class.ob_base.ob_base.ob_refcnt = 1;
    class.tp_name = c"function".as_ptr();
    class.tp_methods = methods.as_mut_ptr();
    class.tp_base = &raw mut ffi::PyFunction_Type;
    // SAFETY: the type of functions lives for ever, and nobody writes to it here.
    let base = unsafe { &*class.tp_base };
    class.tp_vectorcall_offset = base.tp_vectorcall_offset;
    class.tp_call = base.tp_call;
    class.tp_descr_get = base.tp_descr_get;
    class.tp_flags = ffi::Py_TPFLAGS_DEFAULT
        | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR
        | ffi::Py_TPFLAGS_HAVE_VECTORCALL;
    // SAFETY: the type is whole and lives for ever.
    if unsafe { ffi::PyType_Ready(class) } < 0 {
        return Err(pyo3::PyErr::fetch(py));
    }
    // None, which would hide what the functions say of themselves.
    // SAFETY: the type is ready, so it has a dict; the key is a C string.
    if unsafe { ffi::PyDict_DelItemString(class.tp_dict, c"__doc__".as_ptr()) } < 0 {
        return Err(pyo3::PyErr::fetch(py));
    }
    Ok(class)
}
