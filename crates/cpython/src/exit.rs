//! The end of a thread that the interpreter ends in the middle of a call.
//!
//! When the interpreter is finalized while a daemon thread runs Python, CPython before 3.14 ends
//! that thread by `pthread_exit` at the moment when it next asks for the GIL: the stack is unwound
//! through our frames, whose destructors would then call an interpreter that is gone. So a thread
//! that is unwound out of a call into Python stays where it is instead, as newer Pythons let it.

use std::thread;
use std::time::Duration;

/// Runs `call`, which calls into Python and may never return.
#[inline(always)]
pub(crate) fn or_stay<R>(call: impl FnOnce() -> R) -> R {
    let guard = Stay;
    let result = call();
    let _ = std::mem::ManuallyDrop::new(guard);
    result
}

/// Is only ever dropped by an unwinding stack.
struct Stay;

impl Drop for Stay {
    #[cold]
    fn drop(&mut self) {
        if thread::panicking() {
            // A panic of our own: it becomes an exception further out.
            return;
        }
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
}
