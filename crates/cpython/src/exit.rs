//! The end of a thread that the interpreter ends in the middle of a call.
//!
//! When the interpreter is finalized while a daemon thread runs Python, CPython before 3.14 ends
//! that thread by `pthread_exit` at the moment when it next asks for the GIL. glibc then unwinds
//! the stack, and that must not come to our frames: Rust aborts the process where a stack is
//! unwound through a call that was declared not to unwind, and destructors would call an
//! interpreter that is gone. So such a thread stays where it is instead, as newer Pythons let it.

#[cfg(all(target_env = "gnu", not(Py_3_14)))]
pub use post::Stay;
#[cfg(not(all(target_env = "gnu", not(Py_3_14))))]
pub use unneeded::Stay;

#[cfg(all(target_env = "gnu", not(Py_3_14)))]
mod post {
    use std::cell::{Cell, OnceCell};
    use std::ffi::{c_int, c_void};
    use std::marker::PhantomData;
    use std::ptr;
    use std::thread;
    use std::time::Duration;

    /// `struct _pthread_cleanup_buffer` of `pthread.h`.
    #[repr(C)]
    struct CleanupBuffer {
        routine: Option<extern "C" fn(*mut c_void)>,
        argument: *mut c_void,
        cancel_type: c_int,
        previous: *mut Self,
    }

    unsafe extern "C" {
        fn _pthread_cleanup_push(
            buffer: *mut CleanupBuffer,
            routine: extern "C" fn(*mut c_void),
            argument: *mut c_void,
        );
    }

    /// A cleanup handler of this thread. glibc runs a handler when the frame is unwound in which
    /// its buffer lies, found by comparing addresses (`unwind_stop()` in `nptl/unwind.c`). This
    /// buffer lies in no frame, which counts as below all of them: the handler runs before the
    /// first frame is looked at.
    struct Post {
        buffer: *mut CleanupBuffer,
        stays: Cell<usize>,
    }

    impl Post {
        fn new() -> Box<Self> {
            let buffer = Box::into_raw(Box::new(CleanupBuffer {
                routine: None,
                argument: ptr::null_mut(),
                cancel_type: 0,
                previous: ptr::null_mut(),
            }));
            Box::new(Self { buffer, stays: Cell::new(0) })
        }
    }

    impl Drop for Post {
        fn drop(&mut self) {
            // SAFETY: the pointer came from a box. The thread has ended: nobody walks its handlers
            // any more.
            drop(unsafe { Box::from_raw(self.buffer) });
        }
    }

    thread_local! {
        static POST: OnceCell<Box<Post>> = const { OnceCell::new() };
    }

    /// While it lives, this thread cannot be ended, only stopped for ever.
    pub struct Stay {
        of_this_thread: PhantomData<*mut ()>,
    }

    impl Stay {
        /// Begins the stay.
        #[must_use = "the stay ends when it is dropped"]
        pub fn begin() -> Self {
            POST.with(|post| {
                let post = post.get_or_init(|| {
                    let post = Post::new();
                    let argument = ptr::from_ref(&*post).cast_mut().cast();
                    // SAFETY: the buffer lives as long as the thread, and so does the post, whose
                    // address is fixed by its box.
                    unsafe { _pthread_cleanup_push(post.buffer, stay, argument) };
                    post
                });
                post.stays.set(post.stays.get() + 1);
            });
            Self { of_this_thread: PhantomData }
        }
    }

    impl Drop for Stay {
        fn drop(&mut self) {
            let _ = self.of_this_thread;
            // Nothing is left to end where the thread's own data is gone.
            let _ = POST.try_with(|post| {
                if let Some(post) = post.get() {
                    post.stays.set(post.stays.get() - 1);
                }
            });
        }
    }

    extern "C" fn stay(post: *mut c_void) {
        // SAFETY: the argument was made of this thread's post, which lives as long as the thread.
        let post = unsafe { &*post.cast::<Post>() };
        while post.stays.get() > 0 {
            thread::sleep(Duration::from_secs(3600));
        }
    }
}

#[cfg(not(all(target_env = "gnu", not(Py_3_14))))]
mod unneeded {
    /// The interpreter or the C library lets such a thread be.
    pub struct Stay {}

    impl Stay {
        /// Begins nothing.
        #[must_use = "the stay ends when it is dropped"]
        pub fn begin() -> Self {
            Self {}
        }
    }
}
