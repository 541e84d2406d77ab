//! The two ways into a sleeping loop: a wake without a message, and the numbers of signals.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use batonloop_core::Interest;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::selector::Selector;

/// So many bytes are taken from a signal pipe at a time.
const PIPE_BYTES: usize = 4096;

/// Ends a loop's sleep, from any thread and from a signal handler.
///
/// A wake says only that there is something to look for. What that is, and where it is put, is the
/// host's affair: the Python host's threads queue a handle under the interpreter's lock, another
/// host may have a queue with a lock of its own. However many wakes come before the loop looks, it
/// is woken once; but a wake that comes after the loop has drained is never lost:
///
/// ```text
///   another thread   1 leaves its message          2 flag := true; was it false? then write
///   the loop         3 reads the descriptor empty  4 flag := false    5 looks for messages
/// ```
///
/// If step 2 finds the flag set, then somebody has written, or is about to, and step 4 is still to
/// come; so step 5 sees the message. The order of 3 and 4 matters: the other way round, a write
/// could be read away while its flag stays set, and every later wake would be swallowed.
#[derive(Debug)]
pub struct Waker {
    eventfd: OwnedFd,
    /// Invariant: if true, the descriptor is readable, or is about to be, or a drain is under way.
    pending: AtomicBool,
}

impl Waker {
    /// A waker whose wakes end the sleeps of `selector`.
    ///
    /// # Errors
    ///
    /// `EMFILE` or `ENFILE` if there are no descriptors left, `ENOMEM`.
    pub fn new(selector: &Selector) -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        selector.register(eventfd.as_raw_fd(), Interest::READABLE)?;
        Ok(Self { eventfd, pending: AtomicBool::new(false) })
    }

    /// The descriptor that a select reports after a wake. Do not write to it.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }

    /// Ends the sleep of the loop, or the next one if it is awake.
    ///
    /// It allocates nothing, takes no lock and keeps no error, so a signal handler may call it.
    #[inline]
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.write();
        }
    }

    /// Takes note of all wakes so far. To be called when a select reports [`fd`](Self::fd), and
    /// *before* looking at whatever the wakers left.
    pub fn drain(&self) {
        let mut count = [0; 8];
        // An empty counter is no error, and others the descriptor does not know.
        let _ = retry_on_intr(|| read(&self.eventfd, &mut count));
        self.pending.swap(false, Ordering::AcqRel);
    }

    #[cold]
    fn write(&self) {
        // The only refusal is that the counter is full, and a full counter is readable.
        let _ = retry_on_intr(|| write(&self.eventfd, &1_u64.to_ne_bytes()));
    }
}

/// A pipe into which the numbers of caught signals are written, one byte each.
///
/// A [`Waker`] cannot serve for that: its descriptor takes eight bytes at a time and adds them up.
/// Both ends refuse to block, for a signal handler must not.
///
/// It is for a host that runs Rust programs on the same core and catches signals itself. The Python
/// host does without: there the interpreter catches them, and `unix_events.py` gives it a socket to
/// write to.
#[derive(Debug)]
pub struct SignalPipe {
    reader: OwnedFd,
    writer: OwnedFd,
}

impl SignalPipe {
    /// A pipe whose bytes end the sleeps of `selector`.
    ///
    /// # Errors
    ///
    /// `EMFILE` or `ENFILE` if there are no descriptors left.
    pub fn new(selector: &Selector) -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        selector.register(reader.as_raw_fd(), Interest::READABLE)?;
        Ok(Self { reader, writer })
    }

    /// The descriptor that a select reports after a signal.
    #[must_use]
    pub fn reader_fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// The descriptor for the signal handler to write to, one byte for each signal.
    #[must_use]
    pub fn writer_fd(&self) -> RawFd {
        self.writer.as_raw_fd()
    }

    /// Appends the numbers of all signals so far to `signals`, in the order of their coming.
    ///
    /// # Errors
    ///
    /// None that a pipe of one's own is known to give; an interruption is not reported.
    pub fn read(&self, signals: &mut Vec<u8>) -> io::Result<()> {
        loop {
            signals.reserve(PIPE_BYTES);
            match read(&self.reader, spare_capacity(signals)) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) | Ok(0) => return Ok(()),
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
        }
    }
}
