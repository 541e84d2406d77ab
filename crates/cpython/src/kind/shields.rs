//! What `shield()` puts among the callbacks of its two futures, as an object.

use std::cell::Cell;

use pyo3::types::DerefToPyAny;
use pyo3::{PyTypeInfo, Python, ffi};

use crate::kind::{Kind, Shared};
use crate::slot::Slot;

/// Marks what `shield()` puts among the callbacks of its two futures.
pub enum Shield {}

/// Its struct.
#[repr(C)]
pub struct ShieldFields {
    head: ffi::PyObject,
    /// The future that is shielded.
    pub inner: Slot,
    /// The future that `shield()` gave.
    pub outer: Slot,
    /// In the outer future: what stands in the inner one.
    pub twin: Slot,
    /// The context in which the callbacks run.
    pub context: Slot,
    /// A weak reference to the callable that stands for it where Python looks.
    pub callable: Slot,
    /// Whether it stands in the outer future.
    pub is_outside: Cell<bool>,
}

static SHARED: Shared = Shared::new();

// SAFETY: the type is only made by the builder, with the size of the fields, on `object`; every
// field is valid as zero bits.
unsafe impl Kind for Shield {
    type Fields = ShieldFields;

    fn shared() -> &'static Shared {
        &SHARED
    }

    #[inline]
    fn each_slot(fields: &ShieldFields, visit: &mut impl FnMut(&Slot)) {
        for slot in [&fields.inner, &fields.outer, &fields.twin, &fields.context, &fields.callable]
        {
            visit(slot);
        }
    }

    #[inline]
    fn needs_finalizer(_fields: &ShieldFields) -> bool {
        false
    }
}

// SAFETY: a `Bound` of the kind is only made after this check or an equal one, and the type object
// is made before any object is.
unsafe impl PyTypeInfo for Shield {
    fn type_object_raw(_py: Python<'_>) -> *mut ffi::PyTypeObject {
        SHARED.type_object()
    }
}

impl DerefToPyAny for Shield {}
