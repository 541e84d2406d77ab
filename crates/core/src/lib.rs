//! The law of an event loop: what is ready, what is scheduled, what is watched, and in which order
//! all of it runs.
//!
//! This crate knows no operating system, no clock, no Python and no kind of callback. It *answers*
//! and a **host** acts: the host sleeps, reads the clock, runs callbacks and drops them. The Python
//! extension is such a host; the example below is a smaller one.
//!
//! # One turn
//!
//! ```text
//!        ┌───────────────────────────────── one turn ──────────────────────────────────┐
//!        │ 0 sweep        cancelled timers leave                        core, pure      │
//!        │ 1 timeout      how long may we sleep?                        core, pure      │
//!        │ 2 select       sleep, collect events                         host, no borrow │
//!        │ 3 gather       roused watchers, then due timers              core, pure      │
//!        │ 4 open_turn    the count is saved                            core, pure      │
//!        │ 5 next_handle  exactly that many; the host runs each of them host, no borrow │
//!        └─────────────────────────────────────────────────────────────────────────────┘
//!          What step 5 queues waits for the next turn.
//! ```
//!
//! # A host in forty lines
//!
//! A [`Handle`] is whatever the host queues. This one is a name that may be cancelled:
//!
//! ```
//! use std::{cell::Cell, rc::Rc, time::Duration};
//!
//! use batonloop_core::{Agenda, Event, Handle, Instant};
//!
//! #[derive(Clone)]
//! struct Named(&'static str, Rc<Cell<bool>>);
//!
//! impl Handle for Named {
//!     type Token<'t> = ();
//!     fn is_cancelled(&self, (): ()) -> bool { self.1.get() }
//!     fn share(&self, (): ()) -> Self { self.clone() }
//! }
//!
//! let named = |name| Named(name, Rc::default());
//! let mut agenda = Agenda::new();
//! let mut displaced = Vec::new();
//! let mut story = Vec::new();
//!
//! // What the program asks for: now, in two seconds, and when descriptor 7 has something to read.
//! agenda.call_soon(named("soon"));
//! agenda.call_at(Instant::from_seconds(2.0), named("later"));
//! assert!(agenda.watched.set_reader(7, named("reader")).is_none());
//!
//! // The first turn may not sleep, for something is ready. The second may, for two seconds.
//! let mut now = Instant::from_nanos(0);
//! for events in [[].as_slice(), &[Event { fd: 7, readable: true, writable: false }]] {
//!     agenda.sweep((), &mut displaced);
//!     if let Some(timeout) = agenda.timeout(now) {
//!         story.push(format!("sleep {timeout:?}"));
//!         now = now.after(timeout); // The kernel's part.
//!     }
//!     agenda.gather(now, events, (), &mut displaced);
//!     agenda.open_turn();
//!     while let Some(handle) = agenda.next_handle() {
//!         if !handle.is_cancelled(()) {
//!             story.push(handle.0.to_string()); // The host's part: run it.
//!         }
//!     }
//! }
//! assert_eq!(story, ["sleep 0ns", "soon", "sleep 2s", "reader", "later"]);
//! # assert_eq!(now.until(Instant::from_seconds(3.0)), Duration::from_secs(1));
//! ```
//!
//! # Four promises
//!
//! 1. **The core calls nobody.** No method takes a closure. [`Handle::is_cancelled`] and
//!    [`Handle::share`] are leaves: they read a flag and count a reference.
//! 2. **The core drops nobody.** To drop a Python object is to run foreign code. What is displaced
//!    is returned, and the host drops it with nothing borrowed.
//! 3. **The core reads no clock.** `now` is an argument: tests and simulations own time.
//! 4. **The core cannot fail.** The only error is [`InvalidState`], which is asyncio's own.
//!
//! # Reading order
//!
//! The modules stand from the ground up; each imports only from those above it. First the loop:
//! [`instant`], [`handle`], [`ready`], [`scheduled`], [`watched`], [`agenda`]. Then what runs on
//! it: [`coroutine`], [`future`], [`task`]. Then what it talks to: [`sslproto`]. Last the words in
//! which all of it tells its story: [`trace`].

#![forbid(unsafe_code)]

pub mod instant;
pub mod handle;
pub mod ready;
pub mod scheduled;
pub mod watched;
pub mod agenda;
pub mod coroutine;
pub mod future;
pub mod task;
pub mod sslproto;
pub mod trace;

pub use agenda::Agenda;
pub use coroutine::{Arrival, Resume, Step};
pub use future::{InvalidState, Stage};
pub use handle::Handle;
pub use instant::Instant;
pub use ready::Ready;
pub use scheduled::Scheduled;
pub use sslproto::{AppState, Flow, SSLState, WaterMarks};
pub use task::{Next, TaskState};
pub use watched::{Event, Interest, Side, Watched};
