//! What the fence around the interpreter promises, asked of a live one inside this process.
//!
//! Everything is reached through public items, and without a line of `unsafe`: what these tests can
//! do, the host can.

#![forbid(unsafe_code)]

mod bench;
mod kinds;

mod slot;
mod cell;
mod call;
mod context;
mod coroutine;
mod socket;
#[cfg(not(Py_3_14))]
mod collector;
mod life;
mod method;
mod builder;
mod verify;
mod patch;
mod buffer;
mod bytes;
mod bytearray;
mod openssl;
