//! Plain Rust functions as methods, properties and slots of our own C types.
//!
//! A function is passed by name and has no size, so the C function that the interpreter calls can
//! be made for it alone: the call costs what a call from C costs.

use std::any::Any;
use std::ffi::{CStr, CString, c_int, c_void};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::basic::CompareOp;
use pyo3::panic::PanicException;
use pyo3::types::{PyAny, PyDict, PyModule, PyTuple};
use pyo3::{Bound, PyErr, PyResult, Python, ffi};

use crate::kind::Kind;

mod args;
mod function;

pub use args::{Args, missing, unexpected};
pub use function::answered;

/// Makes a function item out of its type.
#[inline]
fn conjure<F: Copy + 'static>() -> F {
    const { assert!(size_of::<F>() == 0, "pass a function by its name") };
    // SAFETY: the type has no size, so there are no bytes to get wrong, and a value of it was
    // shown when the method was registered.
    unsafe { ptr::read(ptr::dangling::<F>()) }
}

/// Runs `body` and hands its result to the interpreter; a panic becomes a `PanicException`.
#[inline]
pub(crate) fn enter<R>(failed: R, body: impl for<'py> FnOnce(Python<'py>) -> PyResult<R>) -> R {
    // SAFETY: the interpreter calls methods and slots with the GIL held.
    let py = unsafe { Python::assume_attached() };
    match catch_unwind(AssertUnwindSafe(|| body(py))) {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => {
            error.restore(py);
            failed
        }
        Err(panic) => {
            restore_panic(py, &*panic);
            failed
        }
    }
}

#[cold]
fn restore_panic(py: Python<'_>, panic: &(dyn Any + Send)) {
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "panic in batonloop".to_owned());
    PanicException::new_err((message,)).restore(py);
}

/// The object a slot was called on, as a borrowed reference.
///
/// # Safety
///
/// `object` points to a live object of kind `K` that outlives the borrow.
#[inline]
pub(crate) unsafe fn borrow<'a, 'py, K>(
    _py: Python<'py>,
    object: &'a *mut ffi::PyObject,
) -> &'a Bound<'py, K> {
    // SAFETY: `Bound` is one non-null pointer; nothing is dropped through a shared reference.
    unsafe { &*ptr::from_ref(object).cast::<Bound<'py, K>>() }
}

/// A method of kind `K`, ready for a type's table.
pub struct Method<K>(pub(crate) ffi::PyMethodDef, PhantomData<K>);

impl<K: 'static> Method<K> {
    fn new(
        name: &'static CStr,
        doc: &'static CStr,
        flags: c_int,
        ml_meth: ffi::PyMethodDefPointer,
    ) -> Self {
        let ml_doc = signed(name, doc, flags, "$self").as_ptr();
        Self(
            ffi::PyMethodDef { ml_name: name.as_ptr(), ml_meth, ml_flags: flags, ml_doc },
            PhantomData,
        )
    }

    /// `object.name()`.
    pub fn no_args<F>(name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        unsafe extern "C" fn call<K, F>(
            object: *mut ffi::PyObject,
            _: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject
        where
            K: 'static,
            F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
        {
            enter(ptr::null_mut(), |py| {
                // SAFETY: a method descriptor checks the type of what it is called on.
                let this = unsafe { borrow::<K>(py, &object) };
                conjure::<F>()(this).map(Bound::into_ptr)
            })
        }
        let flags = ffi::METH_NOARGS | coexist(name);
        Self::new(name, doc, flags, ffi::PyMethodDefPointer { PyCFunction: call::<K, F> })
    }

    /// `object.name(argument)`.
    pub fn one_arg<F>(name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>, &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>
            + Copy
            + 'static,
    {
        unsafe extern "C" fn call<K, F>(
            object: *mut ffi::PyObject,
            argument: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject
        where
            K: 'static,
            F: for<'py> Fn(&Bound<'py, K>, &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>
                + Copy
                + 'static,
        {
            enter(ptr::null_mut(), |py| {
                // SAFETY: a method descriptor checks the type of what it is called on.
                let this = unsafe { borrow::<K>(py, &object) };
                // SAFETY: the caller keeps the argument alive.
                let argument = unsafe { borrow::<PyAny>(py, &argument) };
                conjure::<F>()(this, argument).map(Bound::into_ptr)
            })
        }
        Self::new(name, doc, ffi::METH_O, ffi::PyMethodDefPointer { PyCFunction: call::<K, F> })
    }

    /// `object.name(*args)`.
    pub fn positional<F>(name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>, Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>>
            + Copy
            + 'static,
    {
        unsafe extern "C" fn call<K, F>(
            object: *mut ffi::PyObject,
            args: *mut *mut ffi::PyObject,
            nargs: ffi::Py_ssize_t,
        ) -> *mut ffi::PyObject
        where
            K: 'static,
            F: for<'py> Fn(&Bound<'py, K>, Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>>
                + Copy
                + 'static,
        {
            enter(ptr::null_mut(), |py| {
                // SAFETY: a method descriptor checks the type of what it is called on.
                let this = unsafe { borrow::<K>(py, &object) };
                // SAFETY: these are the arguments of a call without keywords, alive until it
                // returns.
                let args = unsafe { Args::new(args, nargs, ptr::null_mut()) };
                conjure::<F>()(this, args).map(Bound::into_ptr)
            })
        }
        let body = ffi::PyMethodDefPointer { PyCFunctionFast: call::<K, F> };
        Self::new(name, doc, ffi::METH_FASTCALL, body)
    }

    /// `object.name(*args, **kwargs)`.
    pub fn args<F>(name: &'static CStr, doc: &'static CStr, _function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>, Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>>
            + Copy
            + 'static,
    {
        unsafe extern "C" fn call<K, F>(
            object: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            nargs: ffi::Py_ssize_t,
            kwnames: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject
        where
            K: 'static,
            F: for<'py> Fn(&Bound<'py, K>, Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>>
                + Copy
                + 'static,
        {
            enter(ptr::null_mut(), |py| {
                // SAFETY: a method descriptor checks the type of what it is called on.
                let this = unsafe { borrow::<K>(py, &object) };
                // SAFETY: these are the arguments of a vectorcall, alive until it returns.
                let args = unsafe { Args::new(args, nargs, kwnames) };
                conjure::<F>()(this, args).map(Bound::into_ptr)
            })
        }
        let flags = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
        Self::new(
            name,
            doc,
            flags,
            ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: call::<K, F> },
        )
    }
}

impl<K: Kind> Method<K> {
    /// `Class[item]`, which gives a `types.GenericAlias`.
    pub fn class_getitem() -> Self {
        Self::new(
            c"__class_getitem__",
            c"See PEP 585",
            ffi::METH_O | ffi::METH_CLASS,
            ffi::PyMethodDefPointer { PyCFunction: ffi::Py_GenericAlias },
        )
    }
}

/// A docstring whose signature `inspect.signature()` can read: one that begins `name(parameters)`
/// has it in its first line, and a method without arguments needs none.
fn signed(name: &CStr, doc: &'static CStr, flags: c_int, receiver: &str) -> &'static CStr {
    let (name, text) = (name.to_string_lossy(), doc.to_string_lossy());
    let named = text.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('('));
    let (parameters, body) = match named.and_then(|rest| rest.split_once(")\n\n")) {
        Some((parameters, body)) => (format!(", {parameters}"), body),
        None if flags & ffi::METH_NOARGS != 0 => (String::new(), &*text),
        None => return doc,
    };
    // The mark behind what is positional only stands once.
    let mark = if parameters.contains(", /") { "" } else { ", /" };
    let signed = format!("{name}({receiver}{mark}{parameters})\n--\n\n{body}");
    // The interpreter keeps a pointer to it for as long as the method lives.
    CString::new(signed).map_or(doc, |signed| Box::leak(signed.into_boxed_c_str()))
}

/// The definition of a method of a C type, if that is what the object is.
pub(crate) fn definition<'a>(descriptor: &'a Bound<'_, PyAny>) -> Option<&'a ffi::PyMethodDef> {
    // SAFETY: the object is alive.
    if unsafe { ffi::Py_TYPE(descriptor.as_ptr()) } != &raw mut ffi::PyMethodDescr_Type {
        return None;
    }
    let raw = descriptor.as_ptr().cast::<ffi::PyMethodDescrObject>();
    // SAFETY: the type says that it is laid out so.
    let definition = unsafe { (*raw).d_method };
    // SAFETY: a descriptor has a definition, which lives as long as its class, and so as long as
    // the descriptor.
    unsafe { definition.as_ref() }
}

/// `__await__` and `__iter__` stand beside the slots of that name, with a meaning of their own.
fn coexist(name: &CStr) -> c_int {
    if name.to_bytes().starts_with(b"__") { ffi::METH_COEXIST } else { 0 }
}

/// A module's function.
///
/// # Errors
///
/// `MemoryError`.
pub fn function<'py, F>(
    module: &Bound<'py, PyModule>,
    module_name: &str,
    name: &'static CStr,
    doc: &'static CStr,
    function: F,
) -> PyResult<Bound<'py, PyAny>>
where
    F: for<'a> Fn(&Bound<'a, PyAny>, Args<'_, 'a>) -> PyResult<Bound<'a, PyAny>> + Copy + 'static,
{
    let py = module.py();
    let mut method = Method::<PyAny>::args(name, doc, function);
    method.0.ml_doc = signed(name, doc, method.0.ml_flags, "$module").as_ptr();
    let module_name = pyo3::types::PyString::new(py, module_name);
    // The interpreter keeps a pointer to the definition for as long as the function lives.
    let definition = Box::leak(Box::new(method.0));
    // SAFETY: the definition lives for ever; self and the name are alive, and are kept.
    let object =
        unsafe { ffi::PyCFunction_NewEx(definition, module.as_ptr(), module_name.as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, object) }
}

/// A callable that is bound to one object of kind `K`: `object` is its `__self__`.
pub struct BoundFunction<K>(Method<K>);

// SAFETY: the definition is never changed, and its pointers are to static data.
unsafe impl<K> Sync for BoundFunction<K> {}
// SAFETY: as above.
unsafe impl<K> Send for BoundFunction<K> {}

impl<K: Kind> BoundFunction<K> {
    /// A callable of any arguments, from a method.
    pub fn new(method: Method<K>) -> Self {
        Self(method)
    }

    /// A new callable for `object`.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn bind<'py>(&'static self, object: &Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> {
        let definition = ptr::from_ref(&self.0.0).cast_mut();
        // SAFETY: the definition is static and never written; `object` becomes `__self__`, of the
        // kind that the method was made for.
        let function =
            unsafe { ffi::PyCFunction_NewEx(definition, object.as_ptr(), ptr::null_mut()) };
        // SAFETY: a new reference, or null with an exception set.
        unsafe { Bound::from_owned_ptr_or_err(object.py(), function) }
    }
}

/// Getter and setter of kind `K`, ready for a type's table.
pub struct Property<K>(pub(crate) ffi::PyGetSetDef, PhantomData<K>);

impl<K: Kind> Property<K> {
    /// A property that is only read.
    pub fn read<G>(name: &'static CStr, doc: &'static CStr, _get: G) -> Self
    where
        G: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        unsafe extern "C" fn get<K, G>(
            object: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> *mut ffi::PyObject
        where
            K: Kind,
            G: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
        {
            enter(ptr::null_mut(), |py| {
                // SAFETY: a getset descriptor checks the type of what it is called on.
                let this = unsafe { borrow::<K>(py, &object) };
                conjure::<G>()(this).map(Bound::into_ptr)
            })
        }
        Self(
            ffi::PyGetSetDef {
                name: name.as_ptr(),
                get: Some(get::<K, G>),
                set: None,
                doc: doc.as_ptr(),
                closure: ptr::null_mut(),
            },
            PhantomData,
        )
    }

    /// A property that is read and written; the setter gets `None` for a deletion.
    pub fn write<G, S>(name: &'static CStr, doc: &'static CStr, get: G, _set: S) -> Self
    where
        G: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
        S: for<'py> Fn(&Bound<'py, K>, Option<&Bound<'py, PyAny>>) -> PyResult<()> + Copy + 'static,
    {
        unsafe extern "C" fn set<K, S>(
            object: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            _: *mut c_void,
        ) -> c_int
        where
            K: Kind,
            S: for<'py> Fn(&Bound<'py, K>, Option<&Bound<'py, PyAny>>) -> PyResult<()>
                + Copy
                + 'static,
        {
            enter(-1, |py| {
                // SAFETY: a getset descriptor checks the type of what it is called on.
                let this = unsafe { borrow::<K>(py, &object) };
                let value = if value.is_null() {
                    None
                } else {
                    // SAFETY: the caller keeps the value alive.
                    Some(unsafe { borrow::<PyAny>(py, &value) })
                };
                conjure::<S>()(this, value).map(|()| 0)
            })
        }
        let mut property = Self::read(name, doc, get);
        property.0.set = Some(set::<K, S>);
        property
    }
}

/// What one step of an iteration gives.
pub enum Iteration<'py> {
    /// A value to wait for.
    Yield(Bound<'py, PyAny>),
    /// The end, with its value.
    Return(Bound<'py, PyAny>),
    /// The end, with the value None.
    End,
}

/// A slot of kind `K`, ready for a type's table.
pub struct TypeSlot<K>(pub(crate) ffi::PyType_Slot, PhantomData<K>);

impl<K: Kind> TypeSlot<K> {
    pub(crate) fn raw(slot: c_int, function: *mut c_void) -> Self {
        Self(ffi::PyType_Slot { slot, pfunc: function }, PhantomData)
    }

    /// `__init__`.
    pub fn init<F>(_function: F) -> Self
    where
        F: for<'py> Fn(
                &Bound<'py, K>,
                &Bound<'py, PyTuple>,
                Option<&Bound<'py, PyDict>>,
            ) -> PyResult<()>
            + Copy
            + 'static,
    {
        unsafe extern "C" fn init<K, F>(
            object: *mut ffi::PyObject,
            args: *mut ffi::PyObject,
            kwargs: *mut ffi::PyObject,
        ) -> c_int
        where
            K: Kind,
            F: for<'py> Fn(
                    &Bound<'py, K>,
                    &Bound<'py, PyTuple>,
                    Option<&Bound<'py, PyDict>>,
                ) -> PyResult<()>
                + Copy
                + 'static,
        {
            enter(-1, |py| {
                // SAFETY: the interpreter passes an object of this type.
                let this = unsafe { borrow::<K>(py, &object) };
                // SAFETY: a tuple, kept alive by the caller.
                let args = unsafe { borrow::<PyTuple>(py, &args) };
                let kwargs = if kwargs.is_null() {
                    None
                } else {
                    // SAFETY: a dict, kept alive by the caller.
                    Some(unsafe { borrow::<PyDict>(py, &kwargs) })
                };
                conjure::<F>()(this, args, kwargs).map(|()| 0)
            })
        }
        Self::raw(ffi::Py_tp_init, init::<K, F> as *mut c_void)
    }

    /// `__repr__`.
    pub fn repr<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        Self::raw(ffi::Py_tp_repr, unary::<K, F> as *mut c_void)
    }

    /// `__str__`, where it is not what `__repr__` gives.
    pub fn text<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        Self::raw(ffi::Py_tp_str, unary::<K, F> as *mut c_void)
    }

    /// `aiter()`.
    pub fn aiter<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        Self::raw(ffi::Py_am_aiter, unary::<K, F> as *mut c_void)
    }

    /// `anext()`: what is to be awaited for the next item.
    pub fn anext<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        Self::raw(ffi::Py_am_anext, unary::<K, F> as *mut c_void)
    }

    /// What looks on when an attribute is set or deleted, before it is.
    pub fn set_attribute<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>, &Bound<'py, PyAny>) + Copy + 'static,
    {
        unsafe extern "C" fn set<K, F>(
            object: *mut ffi::PyObject,
            name: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
        ) -> c_int
        where
            K: Kind,
            F: for<'py> Fn(&Bound<'py, K>, &Bound<'py, PyAny>) + Copy + 'static,
        {
            enter(-1, |py| {
                // SAFETY: the interpreter passes a live object of this type.
                let this = unsafe { borrow::<K>(py, &object) };
                // SAFETY: the caller keeps the name alive.
                let name = unsafe { borrow::<PyAny>(py, &name) };
                conjure::<F>()(this, name);
                let value = if value.is_null() {
                    None
                } else {
                    // SAFETY: the caller keeps the value alive.
                    Some(unsafe { borrow::<PyAny>(py, &value) })
                };
                crate::call::set_attribute(this, name, value).map(|()| 0)
            })
        }
        Self::raw(ffi::Py_tp_setattro, set::<K, F> as *mut c_void)
    }

    /// What `await` asks for.
    pub fn awaited<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        Self::raw(ffi::Py_am_await, unary::<K, F> as *mut c_void)
    }

    /// `iter()`.
    pub fn iter<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
    {
        Self::raw(ffi::Py_tp_iter, unary::<K, F> as *mut c_void)
    }

    /// `hash()`.
    pub fn hash<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<isize> + Copy + 'static,
    {
        unsafe extern "C" fn hash<K, F>(object: *mut ffi::PyObject) -> ffi::Py_hash_t
        where
            K: Kind,
            F: for<'py> Fn(&Bound<'py, K>) -> PyResult<isize> + Copy + 'static,
        {
            enter(-1, |py| {
                // SAFETY: the interpreter passes a live object of this type.
                let this = unsafe { borrow::<K>(py, &object) };
                conjure::<F>()(this)
            })
        }
        Self::raw(ffi::Py_tp_hash, hash::<K, F> as *mut c_void)
    }

    /// `==`, `<` and so on.
    pub fn compare<F>(_function: F) -> Self
    where
        F: for<'py> Fn(
                &Bound<'py, K>,
                &Bound<'py, PyAny>,
                CompareOp,
            ) -> PyResult<Bound<'py, PyAny>>
            + Copy
            + 'static,
    {
        unsafe extern "C" fn compare<K, F>(
            object: *mut ffi::PyObject,
            other: *mut ffi::PyObject,
            op: c_int,
        ) -> *mut ffi::PyObject
        where
            K: Kind,
            F: for<'py> Fn(
                    &Bound<'py, K>,
                    &Bound<'py, PyAny>,
                    CompareOp,
                ) -> PyResult<Bound<'py, PyAny>>
                + Copy
                + 'static,
        {
            enter(ptr::null_mut(), |py| {
                // SAFETY: the interpreter passes a live object of this type.
                let this = unsafe { borrow::<K>(py, &object) };
                // SAFETY: the caller keeps the other alive.
                let other = unsafe { borrow::<PyAny>(py, &other) };
                let Some(op) = CompareOp::from_raw(op) else {
                    return Ok(py.NotImplemented().into_ptr());
                };
                conjure::<F>()(this, other, op).map(Bound::into_ptr)
            })
        }
        Self::raw(ffi::Py_tp_richcompare, compare::<K, F> as *mut c_void)
    }

    /// `__del__`: reports what it must; its errors are the interpreter's to print.
    pub fn finalize<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) + Copy + 'static,
    {
        unsafe extern "C" fn finalize<K, F>(object: *mut ffi::PyObject)
        where
            K: Kind,
            F: for<'py> Fn(&Bound<'py, K>) + Copy + 'static,
        {
            enter((), |py| {
                let pending = PyErr::take(py);
                // SAFETY: the interpreter passes a live object of this type.
                let this = unsafe { borrow::<K>(py, &object) };
                conjure::<F>()(this);
                if let Some(error) = pending {
                    error.restore(py);
                }
                Ok(())
            });
        }
        Self::raw(ffi::Py_tp_finalize, finalize::<K, F> as *mut c_void)
    }

    /// `next()`, when the interpreter drives an `await` by `tp_iternext`.
    pub fn next<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Iteration<'py>> + Copy + 'static,
    {
        unsafe extern "C" fn next<K, F>(object: *mut ffi::PyObject) -> *mut ffi::PyObject
        where
            K: Kind,
            F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Iteration<'py>> + Copy + 'static,
        {
            enter(ptr::null_mut(), |py| {
                // SAFETY: the interpreter passes a live object of this type.
                let this = unsafe { borrow::<K>(py, &object) };
                Ok(match conjure::<F>()(this)? {
                    Iteration::Yield(value) => value.into_ptr(),
                    // An end without an exception means the value None.
                    Iteration::End => ptr::null_mut(),
                    Iteration::Return(value) => {
                        crate::coroutine::stop_iteration(py, value);
                        ptr::null_mut()
                    }
                })
            })
        }
        Self::raw(ffi::Py_tp_iternext, next::<K, F> as *mut c_void)
    }

    /// `send()`, when the interpreter drives an `await` by `am_send`.
    pub fn send<F>(_function: F) -> Self
    where
        F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Iteration<'py>> + Copy + 'static,
    {
        unsafe extern "C" fn send<K, F>(
            object: *mut ffi::PyObject,
            _value: *mut ffi::PyObject,
            result: *mut *mut ffi::PyObject,
        ) -> ffi::PySendResult
        where
            K: Kind,
            F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Iteration<'py>> + Copy + 'static,
        {
            let (status, value) = enter((ffi::PySendResult::PYGEN_ERROR, ptr::null_mut()), |py| {
                // SAFETY: the interpreter passes a live object of this type.
                let this = unsafe { borrow::<K>(py, &object) };
                Ok(match conjure::<F>()(this)? {
                    Iteration::Yield(value) => (ffi::PySendResult::PYGEN_NEXT, value.into_ptr()),
                    Iteration::Return(value) => (ffi::PySendResult::PYGEN_RETURN, value.into_ptr()),
                    Iteration::End => (ffi::PySendResult::PYGEN_RETURN, py.None().into_ptr()),
                })
            });
            // SAFETY: the interpreter passes a place for one pointer.
            unsafe { result.write(value) };
            status
        }
        Self::raw(ffi::Py_am_send, send::<K, F> as *mut c_void)
    }
}

unsafe extern "C" fn unary<K, F>(object: *mut ffi::PyObject) -> *mut ffi::PyObject
where
    K: Kind,
    F: for<'py> Fn(&Bound<'py, K>) -> PyResult<Bound<'py, PyAny>> + Copy + 'static,
{
    enter(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a live object of this type.
        let this = unsafe { borrow::<K>(py, &object) };
        conjure::<F>()(this).map(Bound::into_ptr)
    })
}
