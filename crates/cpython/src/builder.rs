//! Types made of a layout, a base and tables of functions.

use std::ffi::{CStr, c_int, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::ptr;

use pyo3::types::{PyAny, PyTuple, PyType};
use pyo3::{Bound, PyResult, PyTypeInfo, Python, ffi};

use crate::kind::{self, Kind};
use crate::method::{Method, Property, TypeSlot};

/// A type of ours, before it is made.
pub struct TypeBuilder<K> {
    name: &'static CStr,
    doc: &'static CStr,
    slots: Vec<ffi::PyType_Slot>,
    methods: Vec<ffi::PyMethodDef>,
    properties: Vec<ffi::PyGetSetDef>,
    members: Vec<ffi::PyMemberDef>,
    flags: c_ulong,
    has_short_name: bool,
    hides_iter: bool,
    kind: PhantomData<K>,
}

impl<K: Kind> TypeBuilder<K> {
    /// A type `name` ("package.Name") with a docstring.
    pub fn new(name: &'static CStr, doc: &'static CStr) -> Self {
        Self {
            name,
            doc,
            slots: Vec::new(),
            methods: Vec::new(),
            properties: Vec::new(),
            members: Vec::new(),
            flags: 0,
            has_short_name: false,
            hides_iter: false,
            kind: PhantomData,
        }
    }

    /// Adds methods.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method<K>>) -> Self {
        self.methods.extend(methods.into_iter().map(|method| method.0));
        self
    }

    /// Adds properties.
    #[must_use]
    pub fn properties(mut self, properties: impl IntoIterator<Item = Property<K>>) -> Self {
        self.properties.extend(properties.into_iter().map(|property| property.0));
        self
    }

    /// Adds slots.
    #[must_use]
    pub fn slots(mut self, slots: impl IntoIterator<Item = TypeSlot<K>>) -> Self {
        self.slots.extend(slots.into_iter().map(|slot| slot.0));
        self
    }

    /// Makes the type's own attributes unchangeable, as those of `_asyncio.Future` are.
    #[must_use]
    pub fn immutable(mut self) -> Self {
        self.flags |= ffi::Py_TPFLAGS_IMMUTABLETYPE;
        self
    }

    /// Lets the interpreter's messages name the type without its module, as they name classes that
    /// are written in Python.
    #[must_use]
    pub fn named_as_a_class(mut self) -> Self {
        self.has_short_name = true;
        self
    }

    /// Lets the objects be called, by the function to which the pointer at this offset points.
    #[must_use]
    #[cfg(not(Py_3_14))]
    pub(crate) fn called_at(mut self, offset: usize) -> Self {
        self.flags |= ffi::Py_TPFLAGS_HAVE_VECTORCALL;
        self.add(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void);
        self.members.push(member(c"__vectorcalloffset__", offset));
        self
    }

    /// Adds flags.
    #[must_use]
    #[cfg(not(Py_3_14))]
    pub(crate) fn flags(mut self, flags: c_ulong) -> Self {
        self.flags |= flags;
        self
    }

    /// Lets `yield from object.__await__()` drive an object that gives itself there: it can be
    /// iterated, and shows no `__iter__`, so that it is no `collections.abc.Iterable`.
    #[must_use]
    pub fn driven_by_yield_from(mut self) -> Self {
        self.add(ffi::Py_tp_iter, ffi::PyObject_SelfIter as *mut c_void);
        self.hides_iter = true;
        self
    }

    /// Gives the objects a dict and weak references, where no base does.
    #[must_use]
    pub fn with_dict_and_weakrefs(self) -> Self {
        #[cfg(Py_3_13)]
        {
            let mut this = self;
            this.flags |= ffi::Py_TPFLAGS_MANAGED_DICT | ffi::Py_TPFLAGS_MANAGED_WEAKREF;
            this
        }
        #[cfg(not(Py_3_13))]
        {
            let mut this = self;
            let [dict, weakrefs] = K::DICT_AND_WEAKREFS;
            for (name, offset) in [(c"__dictoffset__", dict), (c"__weaklistoffset__", weakrefs)] {
                this.members.push(member(name, offset));
            }
            this
        }
    }

    /// Shows the dict of the objects as `__dict__`.
    #[must_use]
    pub fn showing_dict(mut self) -> Self {
        self.properties.push(ffi::PyGetSetDef {
            name: c"__dict__".as_ptr(),
            get: Some(ffi::PyObject_GenericGetDict),
            set: Some(ffi::PyObject_GenericSetDict),
            doc: ptr::null(),
            closure: ptr::null_mut(),
        });
        self
    }

    /// Makes the type.
    ///
    /// # Errors
    ///
    /// What the interpreter says to the bases; `MemoryError`.
    pub fn build<'py>(mut self, bases: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyType>> {
        let py = bases.py();
        // SAFETY: null is the end mark of such a table.
        self.methods.push(unsafe { std::mem::zeroed() });
        // SAFETY: as above.
        self.properties.push(unsafe { std::mem::zeroed() });
        self.add(ffi::Py_tp_doc, self.doc.as_ptr().cast_mut().cast());
        self.add(ffi::Py_tp_new, kind::tp_new::<K> as *mut c_void);
        self.add(ffi::Py_tp_dealloc, kind::tp_dealloc::<K> as *mut c_void);
        self.add(ffi::Py_tp_traverse, kind::tp_traverse::<K> as *mut c_void);
        self.add(ffi::Py_tp_clear, kind::tp_clear::<K> as *mut c_void);
        // The interpreter keeps pointers into the tables for as long as the type lives.
        let methods = Vec::leak(std::mem::take(&mut self.methods)).as_mut_ptr();
        self.add(ffi::Py_tp_methods, methods.cast());
        let properties = Vec::leak(std::mem::take(&mut self.properties)).as_mut_ptr();
        self.add(ffi::Py_tp_getset, properties.cast());
        if !self.members.is_empty() {
            // SAFETY: null is the end mark of such a table.
            self.members.push(unsafe { std::mem::zeroed() });
            let members = Vec::leak(std::mem::take(&mut self.members)).as_mut_ptr();
            self.add(ffi::Py_tp_members, members.cast());
        }
        self.add(0, ptr::null_mut());
        let default = ffi::Py_TPFLAGS_DEFAULT
            | ffi::Py_TPFLAGS_HAVE_GC
            | ffi::Py_TPFLAGS_BASETYPE
            | self.flags;
        let mut spec = ffi::PyType_Spec {
            name: self.name.as_ptr(),
            basicsize: c_int::try_from(size_of::<K::Fields>()).unwrap_or(c_int::MAX),
            itemsize: 0,
            flags: c_uint::try_from(default).unwrap_or_default(),
            slots: self.slots.as_mut_ptr(),
        };
        // SAFETY: the spec and its tables are whole, and its strings live for ever.
        let object = unsafe { ffi::PyType_FromSpecWithBases(&mut spec, bases.as_ptr()) };
        // SAFETY: a new reference, or null with an exception set.
        let object = unsafe { Bound::<PyAny>::from_owned_ptr_or_err(py, object) }?;
        let type_object = object.cast_into::<PyType>()?;
        hide(&type_object, c"__next__");
        if self.hides_iter {
            hide(&type_object, c"__iter__");
        }
        if self.has_short_name {
            shorten_name(&type_object);
        }
        // The type is never freed: pointers to it are compared for as long as the process lives.
        K::shared().set_type(type_object.clone().into_ptr().cast());
        Ok(type_object)
    }

    fn add(&mut self, slot: c_int, pfunc: *mut c_void) {
        self.slots.push(ffi::PyType_Slot { slot, pfunc });
    }
}

/// Where an object's struct has what the interpreter looks for under this name.
#[cfg(not(Py_3_14))]
fn member(name: &'static CStr, offset: usize) -> ffi::PyMemberDef {
    ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset.cast_signed(),
        flags: ffi::Py_READONLY,
        doc: ptr::null(),
    }
}

/// Removes a name from the type's dict, the slot stays: without `__next__`, an awaited future is
/// its own iterator for the interpreter, but no `collections.abc.Iterator` for anybody.
fn hide(type_object: &Bound<'_, PyType>, name: &'static CStr) {
    let raw = type_object.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the type is alive and of our own making; a heap type owns its dict.
    let dict = unsafe { (*raw).tp_dict };
    // SAFETY: the dict is alive; the key is a C string.
    if unsafe { ffi::PyDict_DelItemString(dict, name.as_ptr()) } < 0 {
        // SAFETY: the GIL is held. The type has no such slot, so there was nothing to hide.
        unsafe { ffi::PyErr_Clear() };
    }
    // SAFETY: the type is alive; its caches forget what they knew of the dict.
    unsafe { ffi::PyType_Modified(raw) };
}

/// Leaves the module out of the name that messages show; `__module__` and the rest stay.
fn shorten_name(type_object: &Bound<'_, PyType>) {
    let raw = type_object.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the type is alive and of our own making.
    let whole = unsafe { (*raw).tp_name };
    // SAFETY: every type has a name, a C string.
    let name = unsafe { CStr::from_ptr(whole) };
    let Some(dot) = name.to_bytes().iter().rposition(|byte| *byte == b'.') else {
        return;
    };
    // SAFETY: the dot is inside the name, so what follows is a C string of the same memory.
    let short = unsafe { whole.add(dot + 1) };
    // SAFETY: nobody frees a type's name by this pointer, and the type lives for ever.
    unsafe { (*raw).tp_name = short };
}

/// Puts a method of a C call's price on a class that PyO3 made.
///
/// # Errors
///
/// TypeError if the class does not derive from `T`; what the class says to a new attribute;
/// `MemoryError`.
pub fn add_method<T: PyTypeInfo>(class: &Bound<'_, PyType>, method: Method<T>) -> PyResult<()> {
    use pyo3::types::{PyAnyMethods, PyTypeMethods};

    if !class.is_subclass_of::<T>()? {
        return Err(pyo3::exceptions::PyTypeError::new_err("a method of another class"));
    }

    // The interpreter keeps a pointer to the definition for as long as the method lives.
    let definition = Box::leak(Box::new(method.0));
    // SAFETY: the class and the definition live long enough; the descriptor checks its `self`.
    let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_ptr().cast(), definition) };
    // SAFETY: a new reference, or null with an exception set.
    let descriptor = unsafe { Bound::<PyAny>::from_owned_ptr_or_err(class.py(), descriptor) }?;
    // SAFETY: a method definition has a name.
    let name = unsafe { CStr::from_ptr(definition.ml_name) };
    class.setattr(name.to_string_lossy().as_ref(), descriptor)
}

/// A tuple of bases.
///
/// # Errors
///
/// `MemoryError`.
pub fn bases<'py>(py: Python<'py>, bases: &[&Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, bases)
}
