//! The arguments of a call, and the words for those that are wrong.

use std::marker::PhantomData;
use std::ptr;

use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyTuple, PyTupleMethods};
use pyo3::{Bound, PyErr, PyResult, Python, ffi};

/// The arguments of a call, borrowed from the caller.
///
/// They are kept as the vectorcall protocol passes them and taken apart when they are asked for,
/// so that a call which looks at little pays for little.
///
/// Invariant: `args` points to `count` live objects and then one for each of `names`, which is null
/// or a live tuple, and all of them outlive `'a`.
#[derive(Clone, Copy)]
pub struct Args<'a, 'py> {
    args: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
    borrowed: PhantomData<&'a Bound<'py, PyAny>>,
}

impl<'a, 'py> Args<'a, 'py> {
    /// Takes what the vectorcall protocol passes.
    ///
    /// # Safety
    ///
    /// The invariant of the type holds; `nargs` is not negative.
    #[inline(always)]
    pub(super) unsafe fn new(
        args: *const *mut ffi::PyObject,
        nargs: ffi::Py_ssize_t,
        names: *mut ffi::PyObject,
    ) -> Self {
        Self { args, count: nargs.cast_unsigned(), names, borrowed: PhantomData }
    }

    /// The positional arguments.
    #[inline(always)]
    pub fn positional(&self) -> &'a [Bound<'py, PyAny>] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: `Bound` is one non-null pointer to a live object, borrowed here; nothing is ever
        // dropped through a shared slice.
        unsafe { std::slice::from_raw_parts(self.args.cast(), self.count) }
    }

    /// Whether there are keyword arguments.
    #[inline(always)]
    pub fn has_keywords(&self) -> bool {
        !self.names.is_null() && self.names_len() != 0
    }

    fn names_len(&self) -> usize {
        self.names().map_or(0, PyTupleMethods::len)
    }

    fn names(&self) -> Option<&Bound<'py, PyTuple>> {
        if self.names.is_null() {
            return None;
        }
        // SAFETY: `Bound` is one non-null pointer, here to a live tuple; nothing is ever dropped
        // through a shared reference.
        Some(unsafe { &*ptr::from_ref(&self.names).cast::<Bound<'py, PyTuple>>() })
    }

    /// The names and values of the keyword arguments.
    pub fn keywords(&self) -> impl Iterator<Item = (Bound<'py, PyAny>, &'a Bound<'py, PyAny>)> {
        let values: &'a [Bound<'py, PyAny>] = match self.names_len() {
            0 => &[],
            count => {
                // SAFETY: the values of keywords stand behind the positional arguments.
                let values = unsafe { self.args.add(self.count) };
                // SAFETY: there is one for each name.
                unsafe { std::slice::from_raw_parts(values.cast(), count) }
            }
        };
        self.names().cloned().into_iter().flat_map(|names| names.into_iter()).zip(values)
    }

    /// The keyword arguments as a dict.
    ///
    /// # Errors
    ///
    /// `MemoryError`, and what the hash of a name raises that is no plain string.
    pub fn keyword_dict(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in self.keywords() {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// Calls another function with the same arguments.
    ///
    /// # Errors
    ///
    /// What it raises.
    #[cold]
    pub fn pass_on(&self, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        let positional = PyTuple::new(py, self.positional())?;
        function.call(positional, Some(&self.keyword_dict(py)?))
    }

    /// The one argument, by its place or its name.
    ///
    /// # Errors
    ///
    /// TypeError in the words of a Python function if it is missing, or not the only one.
    #[inline]
    pub fn only(&self, function: &str, name: &str) -> PyResult<&'a Bound<'py, PyAny>> {
        if let ([argument], false) = (self.positional(), self.has_keywords()) {
            return Ok(argument);
        }
        let [argument] = self.parse(function, [name], 1)?;
        argument.ok_or_else(|| missing(function, name, 1))
    }

    /// Puts the arguments in the order of `names`: positional ones first, at most
    /// `max_positional`, then keywords.
    ///
    /// # Errors
    ///
    /// TypeError in the words of a Python function for too many, doubled or unknown arguments.
    pub fn parse<const N: usize>(
        &self,
        function: &str,
        names: [&str; N],
        max_positional: usize,
    ) -> PyResult<[Option<&'a Bound<'py, PyAny>>; N]> {
        let mut found = [None; N];
        if self.count > max_positional {
            return Err(too_many(function, max_positional, self.count));
        }
        for (place, argument) in found.iter_mut().zip(self.positional()) {
            *place = Some(argument);
        }
        for (name, value) in self.keywords() {
            let name = name.extract::<std::borrow::Cow<'_, str>>()?;
            let Some(index) = names.iter().position(|known| *known == name) else {
                return Err(unexpected(function, &name));
            };
            if found[index].replace(value).is_some() {
                return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                    "argument for {function}() given by name ('{name}') and position ({})",
                    index + 1
                )));
            }
        }
        Ok(found)
    }
}

#[cold]
fn too_many(function: &str, most: usize, given: usize) -> PyErr {
    let message = if most == 0 {
        format!("{function}() takes no positional arguments")
    } else {
        let plural = if most == 1 { "" } else { "s" };
        format!("{function}() takes at most {most} positional argument{plural} ({given} given)")
    };
    pyo3::exceptions::PyTypeError::new_err(message)
}

/// A keyword argument that is not known, in the words of a C function of the running Python.
#[cold]
#[cfg(Py_3_13)]
pub fn unexpected(function: &str, name: &str) -> PyErr {
    let message = format!("{function}() got an unexpected keyword argument '{name}'");
    pyo3::exceptions::PyTypeError::new_err(message)
}

/// A keyword argument that is not known, in the words of a C function of the running Python.
#[cold]
#[cfg(not(Py_3_13))]
pub fn unexpected(function: &str, name: &str) -> PyErr {
    let message = format!("'{name}' is an invalid keyword argument for {function}()");
    pyo3::exceptions::PyTypeError::new_err(message)
}

/// A missing argument in the words of a C function.
#[cold]
pub fn missing(function: &str, name: &str, position: usize) -> PyErr {
    pyo3::exceptions::PyTypeError::new_err(format!(
        "{function}() missing required argument '{name}' (pos {position})"
    ))
}
