//! The interpreter, fenced: what the loop needs of CPython that PyO3 does not offer or makes slow.
//!
//! Everything unsafe about Python stands in this crate, and everything it gives out is safe: state
//! that only the holder of the interpreter touches ([`cell`]), references that live inside a C
//! struct ([`slot`]), the structs of asyncio's own types ([`layout`]), types made of them
//! ([`kind`], [`method`], [`builder`]), and the three ways control goes into foreign code: a call
//! ([`call`]), a context ([`context`]), a coroutine ([`coroutine`]).
//!
//! What may not go in here: anything that knows what a loop, a turn or a cancellation is. The
//! fence is about memory; the law is in `batonloop-core`, the host in `batonloop-python`.
//!
//! One fact holds for the whole crate: the extension declares that it needs the GIL, so a
//! `Python<'py>` token proves that no other thread touches a Python object now.

#[cfg(Py_GIL_DISABLED)]
compile_error!("batonloop needs the GIL: build it for a Python that has one");

pub mod slot;
pub mod thread;

pub mod cell;

pub mod exit;

pub mod bytes;
pub mod bytearray;
pub mod call;
pub mod buffer;
pub mod context;
pub mod coroutine;

pub mod socket;

pub mod layout;

pub mod collector;
pub mod kind;
pub mod method;

pub mod builder;

#[cfg(not(Py_3_14))]
pub mod block;
pub mod deque;

pub mod native;

pub mod number;

pub mod locks;
pub mod timeouts;
pub mod streams;
pub mod taskgroups;

pub mod verify;

pub mod patch;

pub mod openssl;

/// The result of giving control away. The error is boxed so that the good case fits in registers;
/// it is rare, and the `?` operator boxes by itself.
pub type Outcome<T = ()> = Result<T, Box<pyo3::PyErr>>;

/// The exception that is set, as the error of an [`Outcome`].
#[cold]
fn fetch(py: pyo3::Python<'_>) -> Box<pyo3::PyErr> {
    pyo3::PyErr::fetch(py).into()
}
