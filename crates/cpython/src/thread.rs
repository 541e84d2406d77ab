//! Threads as the interpreter counts them.

use pyo3::{Python, ffi};

/// The number of this thread, never 0: what `threading.get_ident()` gives.
#[inline]
pub fn id(_py: Python<'_>) -> u64 {
    // SAFETY: the call has no conditions.
    unsafe { ffi::PyThread_get_thread_ident() }
}
