//! The work-bench: selectors of every flavour, pipes, and a select that must not hang.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use batonloop_core::{Event, Interest};
use batonloop_sys::Selector;

/// No test waits longer for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on each flavour of selector.
#[track_caller]
pub(crate) fn on_every_selector(test: impl Fn(&Selector)) {
    test(&Selector::new().expect("a selector"));
    test(&Selector::for_older_kernels().expect("a selector for older kernels"));
}

/// A pipe whose ends are files. Neither of them blocks for as little as the tests write.
pub(crate) struct Pipe {
    pub(crate) reader: File,
    pub(crate) writer: File,
}

impl Pipe {
    pub(crate) fn new() -> Self {
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        Self { reader: reader.into(), writer: writer.into() }
    }

    pub(crate) fn reader_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    pub(crate) fn writer_fd(&self) -> RawFd {
        self.writer.as_raw_fd()
    }
}

/// What is ready at this moment, by descriptor.
#[track_caller]
pub(crate) fn ready(selector: &Selector) -> Vec<Event> {
    select(selector, Duration::ZERO)
}

/// What becomes ready within that time, by descriptor.
#[track_caller]
pub(crate) fn select(selector: &Selector, timeout: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    selector.select(Some(timeout), &mut events).expect("a select");
    events.sort_by_key(|event| event.fd);
    events
}

/// The kernel's number for a refusal.
#[track_caller]
pub(crate) fn refusal(result: io::Result<()>) -> Option<i32> {
    result.expect_err("a refusal").raw_os_error()
}

/// An event as it is expected: `event(7, Interest::READABLE)`.
pub(crate) const fn event(fd: RawFd, interest: Interest) -> Event {
    Event { fd, readable: interest.readable, writable: interest.writable }
}
