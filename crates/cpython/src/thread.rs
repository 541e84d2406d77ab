//! Threads and interpreters as CPython counts them.

use pyo3::{Python, ffi};

// SAFETY: POSIX declares it; a `pthread_t` is a word on every system that we know.
unsafe extern "C" {
    safe fn pthread_self() -> usize;
}

/// The number of this thread, never 0: what `threading.get_ident()` gives, and that is what the
/// system calls it.
#[inline]
pub fn id(_py: Python<'_>) -> u64 {
    pthread_self() as u64
}

/// Whether this is the interpreter that the process began with.
pub fn is_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: the GIL is held.
    let here = unsafe { ffi::PyInterpreterState_Get() };
    // SAFETY: the call has no conditions.
    here == unsafe { ffi::PyInterpreterState_Main() }
}
