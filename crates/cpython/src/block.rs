//! `__aenter__` and `__aexit__`, bound for less than builtin methods are.
//!
//! Up to 3.13, and only there this module is, the interpreter looks both up and binds them when an
//! `async with` begins. A bound builtin is new memory each time, and those two were a fifth of what
//! a block with a free lock cost; a [`Bond`] comes from a free list. What is looked up on one, the
//! builtin answers in whose place it stands: class, name, docstring, signature, repr, pickle.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::types::{PyAny, PyAnyMethods, PyString, PyType};
use pyo3::{Bound, Py, PyResult, Python, ffi, intern};

use crate::builder::{TypeBuilder, bases};
use crate::kind::{self, Fields, Kind, kinds};
use crate::method::{self, TypeSlot, borrow, enter};
use crate::slot::Slot;

/// A method of a type of ours, as the type's table says it.
struct Builtin {
    /// The descriptor that the interpreter has made of it.
    descriptor: Py<PyAny>,
    class: *mut ffi::PyTypeObject,
    body: Body,
}

/// Its function, by the way in which it is called.
enum Body {
    NoArgs(ffi::PyCFunction),
    Args(ffi::PyCFunctionFastWithKeywords),
}

/// Marks what stands in the type's dict.
enum Descriptor {}

/// Marks a method that is bound to an object.
enum Bond {}

/// The struct of both.
#[repr(C)]
struct BlockFields {
    head: ffi::PyObject,
    vectorcall: Cell<Option<ffi::vectorcallfunc>>,
    builtin: Cell<Option<&'static Builtin>>,
    /// What a method is bound to.
    owner: Slot,
}

impl BlockFields {
    /// It has neither.
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] = [0; 2];

    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        visit(&self.owner);
    }
}

kinds!(BlockFields: Descriptor in DESCRIPTOR, Bond in BOND);

/// Lets the two methods of a type of ours be bound for less.
///
/// # Errors
///
/// AttributeError if there are no such methods; `MemoryError`.
pub fn bind_for_less(class: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    for name in [intern!(py, "__aenter__"), intern!(py, "__aexit__")] {
        let method = class.getattr(name)?;
        let Some(body) = body_of(&method) else {
            continue;
        };
        make_types(py)?;
        // The type lives for ever, and what its methods are with it.
        let builtin = Box::leak(Box::new(Builtin {
            descriptor: method.unbind(),
            class: class.as_ptr().cast(),
            body,
        }));
        let descriptor = kind::allocate::<Descriptor>(py)?;
        descriptor.fields().vectorcall.set(Some(call));
        descriptor.fields().builtin.set(Some(builtin));
        class.setattr(name, descriptor)?;
    }
    Ok(())
}

/// The function behind a method of a C type, if it is called in one of the two ways.
fn body_of(method: &Bound<'_, PyAny>) -> Option<Body> {
    let definition = method::definition(method)?;
    match definition.ml_flags & !ffi::METH_COEXIST {
        ffi::METH_NOARGS => {
            // SAFETY: the flags say that this is the kind of function.
            Some(Body::NoArgs(unsafe { definition.ml_meth.PyCFunction }))
        }
        flags if flags == ffi::METH_FASTCALL | ffi::METH_KEYWORDS => {
            // SAFETY: as above.
            Some(Body::Args(unsafe { definition.ml_meth.PyCFunctionFastWithKeywords }))
        }
        _ => None,
    }
}

/// Makes the two types, once.
fn make_types(py: Python<'_>) -> PyResult<()> {
    if !DESCRIPTOR.type_object().is_null() {
        return Ok(());
    }
    let called = std::mem::offset_of!(BlockFields, vectorcall);
    let object = bases(py, &[py.get_type::<PyAny>().as_any()])?;
    TypeBuilder::<Bond>::new(c"batonloop._batonloop._BoundBlockMethod", BOUND)
        .called_at(called)
        .slots(answers())
        .build(&object)?;
    TypeBuilder::<Descriptor>::new(c"batonloop._batonloop._BlockMethod", UNBOUND)
        .called_at(called)
        .flags(ffi::Py_TPFLAGS_METHOD_DESCRIPTOR)
        .slots([TypeSlot::raw(ffi::Py_tp_descr_get, bind as *mut c_void)])
        .slots(answers())
        .build(&object)?;
    Ok(())
}

const UNBOUND: &CStr = c"A method that begins or ends an async with.";
const BOUND: &CStr = c"A method that begins or ends an async with, bound to an object.";

/// `tp_descr_get`: as a builtin's descriptor binds.
unsafe extern "C" fn bind(
    descriptor: *mut ffi::PyObject,
    object: *mut ffi::PyObject,
    class: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    enter(ptr::null_mut(), |py| {
        // SAFETY: the interpreter passes a live object of this type.
        let this = unsafe { borrow::<Descriptor>(py, &descriptor) };
        // SAFETY: the caller keeps the object alive, if there is one.
        let object = unsafe { Bound::from_borrowed_ptr_or_opt(py, object) };
        let (Some(object), Some(builtin)) = (object, this.fields().builtin.get()) else {
            return Ok(this.clone().into_ptr());
        };
        let own_class = object.get_type_ptr();
        // SAFETY: both types are alive.
        let is_subtype = || unsafe { ffi::PyType_IsSubtype(own_class, builtin.class) } != 0;
        if own_class != builtin.class && !is_subtype() {
            // SAFETY: the caller keeps the class alive, if there is one.
            let class = unsafe { Bound::from_borrowed_ptr_or_opt(py, class) };
            let refused = builtin.descriptor.bind(py).getattr(intern!(py, "__get__"))?;
            return refused.call1((object, class)).map(Bound::into_ptr);
        }
        let bond = kind::allocate::<Bond>(py)?;
        let fields = bond.fields();
        fields.vectorcall.set(Some(call));
        fields.builtin.set(Some(builtin));
        fields.owner.fill(object);
        Ok(bond.into_ptr())
    })
}

/// `descriptor(object, ...)` and `bond(...)`.
unsafe extern "C" fn call(
    this: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    nargsf: usize,
    kwnames: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the function stands in live objects of the two types only; the caller keeps them so.
    let fields = unsafe { &*this.cast::<BlockFields>() };
    // SAFETY: the number is the one of a vectorcall.
    let nargs = unsafe { ffi::PyVectorcall_NARGS(nargsf) };
    let owner = fields.owner.as_ptr();
    match fields.builtin.get().map(|builtin| &builtin.body) {
        Some(Body::NoArgs(body)) if !owner.is_null() && nargs == 0 && kwnames.is_null() => {
            // SAFETY: `bind` compared the owner's type with the one that the function is of.
            unsafe { body(owner, ptr::null_mut()) }
        }
        Some(Body::Args(body)) if !owner.is_null() => {
            // SAFETY: as above; the arguments are passed on as they came.
            unsafe { body(owner, args, nargs, kwnames) }
        }
        _ => {
            let builtin = enter(ptr::null_mut(), |py| builtin_of(fields, py).map(Bound::into_ptr));
            if builtin.is_null() {
                return builtin;
            }
            // SAFETY: the arguments are passed on as they came.
            let result = unsafe { ffi::PyObject_Vectorcall(builtin, args, nargsf, kwnames) };
            // SAFETY: the reference is ours.
            unsafe { ffi::Py_DECREF(builtin) };
            result
        }
    }
}

/// The builtin in whose place it stands.
fn builtin_of<'py>(fields: &BlockFields, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
    let builtin = fields.builtin.get().ok_or_else(|| PyTypeError::new_err("no method of any"))?;
    let descriptor = builtin.descriptor.bind(py);
    match fields.owner.get(py) {
        Some(owner) => descriptor.call_method1(intern!(py, "__get__"), (owner,)),
        None => Ok(descriptor.clone()),
    }
}

/// The slots by which the builtin answers.
fn answers<K: Kind<Fields = BlockFields>>() -> [TypeSlot<K>; 4] {
    unsafe extern "C" fn attribute<K: Kind<Fields = BlockFields>>(
        this: *mut ffi::PyObject,
        name: *mut ffi::PyObject,
    ) -> *mut ffi::PyObject {
        enter(ptr::null_mut(), |py| {
            // SAFETY: the interpreter passes a live object of this type.
            let this = unsafe { borrow::<K>(py, &this) };
            // SAFETY: the caller keeps the name alive, which is a str.
            let name = unsafe { borrow::<PyString>(py, &name) };
            builtin_of(this.fields(), py)?.getattr(name).map(Bound::into_ptr)
        })
    }
    [
        TypeSlot::raw(ffi::Py_tp_getattro, attribute::<K> as *mut c_void),
        TypeSlot::repr(|this: &Bound<'_, K>| {
            Ok(builtin_of(this.fields(), this.py())?.repr()?.into_any())
        }),
        TypeSlot::hash(|this: &Bound<'_, K>| builtin_of(this.fields(), this.py())?.hash()),
        TypeSlot::compare(|this: &Bound<'_, K>, other, op| {
            let py = this.py();
            let other = match (other.cast_exact::<Descriptor>(), other.cast_exact::<Bond>()) {
                (Ok(other), _) => builtin_of(other.fields(), py)?,
                (_, Ok(other)) => builtin_of(other.fields(), py)?,
                _ => other.clone(),
            };
            builtin_of(this.fields(), py)?.rich_compare(other, op)
        }),
    ]
}
