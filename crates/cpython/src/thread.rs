//! Threads and interpreters as CPython counts them.

use pyo3::{Python, ffi};

/// The number of this thread, never 0: what `threading.get_ident()` gives.
#[inline]
pub fn id(_py: Python<'_>) -> u64 {
    // SAFETY: the call has no conditions.
    unsafe { ffi::PyThread_get_thread_ident() }
}

/// Whether this is the interpreter that the process began with.
pub fn is_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: the GIL is held.
    let here = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: the call has no conditions.
    here == unsafe { ffi::PyInterpreterState_Main() }
}
