//! A number or a flag in a C struct, in whose place Python code may write anything.
//!
//! What asyncio keeps in an attribute may be `1`, `inf`, `True` or a number without end, and is
//! counted up and down all the same. A plain `int` of 64 bits is kept as a word here; anything else
//! is kept as it was given, and Python does the sum.

use std::cell::Cell;

use pyo3::basic::CompareOp;
use pyo3::types::{PyAny, PyAnyMethods, PyBool, PyBoolMethods, PyInt};
use pyo3::{Bound, IntoPyObject, PyResult, Python};

use crate::slot::Slot;

/// What `plain` is while the number stands in `other`.
const OTHER: i64 = i64::MIN;

/// A number or a flag; all zero bits mean zero, or false.
///
/// Invariant: `other` holds an object if `plain` is `OTHER`.
#[repr(C)]
pub struct Number {
    plain: Cell<i64>,
    other: Slot,
}

impl Number {
    /// The slot for what is no plain number, to be visited, or used by whoever needs no number.
    #[inline]
    pub fn beside(&self) -> &Slot {
        &self.other
    }

    /// The number, if it is a plain one.
    #[inline]
    pub fn plain(&self) -> Option<i64> {
        Some(self.plain.get()).filter(|plain| *plain != OTHER)
    }

    /// Sets a plain number; not the least of all.
    #[inline]
    pub fn set_plain(&self, py: Python<'_>, plain: i64) {
        debug_assert_ne!(plain, OTHER, "this one stands for an object");
        if self.plain.replace(plain) == OTHER {
            self.other.clear(py);
        }
    }

    /// The number as Python sees it.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.plain() {
            Some(plain) => Ok(plain.into_pyobject(py)?.into_any()),
            None => Ok(self.beside_or_none(py)),
        }
    }

    /// The flag as Python sees it.
    pub fn flag<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self.plain() {
            Some(plain) => PyBool::new(py, plain != 0).to_owned().into_any(),
            None => self.beside_or_none(py),
        }
    }

    /// Sets the number to what Python code gave.
    pub fn set(&self, value: &Bound<'_, PyAny>) {
        let number = value.cast_exact::<PyInt>().ok();
        match number.and_then(|number| number.extract::<i64>().ok()) {
            Some(plain) if plain != OTHER => self.set_plain(value.py(), plain),
            _ => self.set_other(value),
        }
    }

    /// Sets the flag to what Python code gave.
    pub fn set_flag(&self, value: &Bound<'_, PyAny>) {
        match value.cast_exact::<PyBool>() {
            Ok(flag) => self.set_plain(value.py(), flag.is_true().into()),
            Err(_) => self.set_other(value),
        }
    }

    /// Whether it is true.
    ///
    /// # Errors
    ///
    /// What an object says to being asked.
    #[inline]
    pub fn is_true(&self, py: Python<'_>) -> PyResult<bool> {
        match self.plain() {
            Some(plain) => Ok(plain != 0),
            None => self.beside_or_none(py).is_truthy(),
        }
    }

    /// How it compares to a plain number.
    ///
    /// # Errors
    ///
    /// What an object says to the comparison.
    #[inline]
    pub fn is(&self, py: Python<'_>, operation: CompareOp, than: i64) -> PyResult<bool> {
        match self.plain() {
            Some(plain) => Ok(operation.matches(plain.cmp(&than))),
            None => self.beside_or_none(py).rich_compare(than, operation)?.is_truthy(),
        }
    }

    /// Whether it is another one or more.
    ///
    /// # Errors
    ///
    /// What an object says to the comparison.
    #[inline]
    pub fn is_at_least(&self, least: &Self, py: Python<'_>) -> PyResult<bool> {
        match (self.plain(), least.plain()) {
            (Some(plain), Some(least)) => Ok(plain >= least),
            _ => self.get(py)?.ge(least.get(py)?),
        }
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// What an object says to the sum.
    #[inline]
    pub fn increment(&self, py: Python<'_>) -> PyResult<()> {
        match self.plain() {
            Some(plain) if plain != i64::MAX => {
                self.plain.set(plain + 1);
            }
            _ => self.set(&self.get(py)?.add(1)?),
        }
        Ok(())
    }

    /// Takes one away.
    ///
    /// # Errors
    ///
    /// What an object says to the difference.
    #[inline]
    pub fn decrement(&self, py: Python<'_>) -> PyResult<()> {
        match self.plain() {
            Some(plain) if plain != OTHER + 1 => {
                self.plain.set(plain - 1);
            }
            _ => self.set(&self.get(py)?.sub(1)?),
        }
        Ok(())
    }

    fn set_other(&self, value: &Bound<'_, PyAny>) {
        let old = self.other.replace(value.clone());
        self.plain.set(OTHER);
        drop(old);
    }

    fn beside_or_none<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.other.get(py).unwrap_or_else(|| py.None().into_bound(py))
    }
}
