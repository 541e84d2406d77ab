//! The kernel as a loop sees it: a clock to read, descriptors to watch, a place to sleep, and a way
//! to be woken.
//!
//! ```text
//!   clock::now ───────▶ Instant        what the loop's timers are compared with
//!   Selector::select ─▶ Event, Event   sleeps until a descriptor, a waker or the timeout
//!   Waker::wake ──────▶ ends a sleep   from any thread, and from a signal handler
//!   SignalPipe ───────▶ bytes          numbers of signals, for a host that catches them itself
//!   socket::recv ─────▶ bytes          and its kin, which never wait
//!   pipe::read ───────▶ bytes          the same for what is no socket
//!   Heap::watch ──────▶ less faults    freed memory waits for the next large pieces
//! ```
//!
//! Everything here is safe to call and speaks `io::Result`, with the kernel's own error numbers.
//! Nothing here knows Python, callbacks or turns: those are the host's.
//!
//! # Examples
//!
//! A sleep that another thread ends:
//!
//! ```
//! use std::{sync::Arc, thread};
//!
//! use batonloop_sys::{Selector, Waker};
//!
//! let selector = Selector::new()?;
//! let waker = Arc::new(Waker::new(&selector)?);
//! let mut events = Vec::new();
//!
//! let other = Arc::clone(&waker);
//! let thread = thread::spawn(move || other.wake());
//! selector.select(None, &mut events)?; // For ever, were it not for the other thread.
//! assert_eq!(events[0].fd, waker.fd());
//! waker.drain();
//! # thread.join().unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # After a fork
//!
//! A child inherits the descriptors of selector, waker and pipe, and with them *the same* kernel
//! objects: what the child registers the parent hears, and a wake in one may end a sleep in the
//! other. Nothing here notices a fork. A host must not run a loop that it inherited; it may close
//! it, which takes nothing from the parent.

pub mod clock;
pub mod heap;
pub mod punctual;
pub mod socket;
pub mod pipe;

pub mod selector;
pub mod waker;

pub use heap::Heap;
pub use punctual::Punctual;
pub use selector::Selector;
pub use waker::{SignalPipe, Waker};
