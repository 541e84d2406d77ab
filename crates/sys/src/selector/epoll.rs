//! Descriptors watched through Linux's epoll.
//!
//! # Stale descriptors
//!
//! epoll does not watch descriptors, it watches what they refer to: the *open file description*. If
//! a descriptor is closed while a duplicate lives on, in this process or in a child, epoll keeps
//! reporting it under its old number, and that number can no longer be named to unregister it. Each
//! select then returns at once. Nothing can be done here; so the loop forgets a descriptor *before*
//! it is closed, and drops events for numbers that it does not watch. Python's own selectors behave
//! in the same way.
//!
//! If no duplicate lives, the kernel forgets a closed descriptor by itself, and unregistering it
//! fails with `ENOENT` or `EBADF`. Both mean that there is nothing left to do.
//!
//! # Sleeping for nanoseconds
//!
//! `epoll_wait` counts milliseconds, which makes a timer late by half of one on average.
//! `epoll_pwait2` (Linux 5.11) takes nanoseconds. Where it is missing, or a sandbox that predates
//! it forbids it, `ppoll` sleeps on the epoll descriptor itself, also for nanoseconds, and
//! `epoll_wait` then collects without sleeping. That is no less precise, but takes two calls, and
//! about twice the time when something is ready. So the newer call is tried first, until it is
//! refused once.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use batonloop_core::{Event, Interest};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::socket::borrow;

/// So many events fit on the stack of a select. With more descriptors, it asks for memory.
const STACK_EVENTS: usize = 256;
/// The same for older kernels, where the places have to be filled with zeros beforehand.
const OLDER_STACK_EVENTS: usize = 32;

/// The set of descriptors that a loop watches, and the place where it sleeps.
///
/// See the [module](super) for what it promises. Dropping it closes its own descriptor, none of the
/// watched ones.
#[derive(Debug)]
pub struct Selector {
    epoll: OwnedFd,
    /// About how many descriptors are registered; only the size of a buffer depends on it.
    registered: AtomicUsize,
    /// Whether to try `epoll_pwait2`. Invariant: once false, it stays so.
    has_pwait2: AtomicBool,
}

impl Selector {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// `EMFILE` or `ENFILE` if there are no descriptors left, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, registered: AtomicUsize::new(0), has_pwait2: AtomicBool::new(true) })
    }

    /// An empty set that never tries `epoll_pwait2`, for tests of what older kernels get.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn for_older_kernels() -> io::Result<Self> {
        let selector = Self::new()?;
        selector.has_pwait2.store(false, Ordering::Relaxed);
        Ok(selector)
    }

    /// The number of the selector's own descriptor.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Starts to watch a descriptor.
    ///
    /// # Errors
    ///
    /// `EPERM` if it cannot be polled, `EEXIST` if it is watched already, `EBADF` if it is not
    /// open, `ENOSPC` if the user watches too many.
    pub fn register(&self, fd: RawFd, interest: Interest) -> io::Result<()> {
        epoll::add(&self.epoll, borrow(fd)?, data(fd), flags(interest))?;
        self.registered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Changes what is wanted of a watched descriptor.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not watched, `EBADF` if it is not open.
    pub fn modify(&self, fd: RawFd, interest: Interest) -> io::Result<()> {
        epoll::modify(&self.epoll, borrow(fd)?, data(fd), flags(interest))?;
        Ok(())
    }

    /// Lets a descriptor be reported once more, as its only report or the last one. It is in the
    /// set afterwards, silent once it was reported, and can be asked for again at less cost.
    ///
    /// `is_known` says whether it is in the set already. That is no more than a guess: what is
    /// watched is what the descriptor refers to now.
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register).
    pub fn watch_once(&self, fd: RawFd, interest: Interest, is_known: bool) -> io::Result<()> {
        self.rewatch(fd, flags(interest) | EventFlags::ONESHOT, is_known)
    }

    /// Watches a descriptor from now on that was last watched [once](Self::watch_once), or that is
    /// a new one of the same number.
    ///
    /// # Errors
    ///
    /// Those of [`register`](Self::register).
    pub fn watch_again(&self, fd: RawFd, interest: Interest) -> io::Result<()> {
        self.rewatch(fd, flags(interest), true)
    }

    fn rewatch(&self, fd: RawFd, flags: EventFlags, is_known: bool) -> io::Result<()> {
        let descriptor = borrow(fd)?;
        if is_known {
            match epoll::modify(&self.epoll, descriptor, data(fd), flags) {
                // It was closed, and the kernel has forgotten it: this is another one.
                Err(Errno::NOENT) => {}
                result => return Ok(result?),
            }
        }
        match epoll::add(&self.epoll, descriptor, data(fd), flags) {
            Err(Errno::EXIST) => epoll::modify(&self.epoll, descriptor, data(fd), flags)?,
            result => result?,
        }
        if !is_known {
            self.registered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Stops watching a descriptor.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not watched, `EBADF` if it is not open. In both cases nothing is left to
    /// be done.
    pub fn unregister(&self, fd: RawFd) -> io::Result<()> {
        let result = borrow(fd).and_then(|fd| Ok(epoll::delete(&self.epoll, fd)?));
        // The kernel has forgotten a closed descriptor by itself, so an error counts as well.
        let registered = self.registered.load(Ordering::Relaxed);
        self.registered.store(registered.saturating_sub(1), Ordering::Relaxed);
        result
    }

    /// Sleeps until a descriptor is ready or `timeout` has passed, and replaces `events` by all
    /// that is ready. `None` sleeps for as long as it takes, zero does not sleep.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Interrupted`] if a signal came; `events` is then empty.
    pub fn select(&self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        let room = self.registered.load(Ordering::Relaxed).max(1);
        let timeout = timeout.map(timespec);
        if self.has_pwait2.load(Ordering::Relaxed) {
            match self.select_with_pwait2(room, timeout.as_ref(), events) {
                // `EPERM` comes from sandboxes; the call itself knows no such error.
                Err(Errno::NOSYS | Errno::PERM) => self.has_pwait2.store(false, Ordering::Relaxed),
                result => return Ok(result?),
            }
        }
        self.select_with_ppoll(room, timeout.as_ref(), events)
    }

    #[inline]
    fn select_with_pwait2(
        &self,
        room: usize,
        timeout: Option<&Timespec>,
        events: &mut Vec<Event>,
    ) -> Result<(), Errno> {
        if room > STACK_EVENTS {
            let mut buffer = Vec::with_capacity(room);
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut buffer), timeout)?;
            events.extend(buffer.iter().map(|found| event(found.data.u64(), found.flags)));
            return Ok(());
        }
        let mut buffer = [MaybeUninit::uninit(); STACK_EVENTS];
        let (found, _) = epoll::wait(&self.epoll, &mut buffer, timeout)?;
        events.extend(found.iter().map(|found| event(found.data.u64(), found.flags)));
        Ok(())
    }

    #[cold]
    fn select_with_ppoll(
        &self,
        room: usize,
        timeout: Option<&Timespec>,
        events: &mut Vec<Event>,
    ) -> io::Result<()> {
        let sleeps = timeout.is_none_or(|timeout| *timeout != Timespec::default());
        if sleeps {
            poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], timeout)?;
        }
        let empty = libc::epoll_event { events: 0, u64: 0 };
        if room > OLDER_STACK_EVENTS {
            return collect(self.epoll.as_fd(), &mut vec![empty; room], events);
        }
        collect(self.epoll.as_fd(), &mut [empty; OLDER_STACK_EVENTS], events)
    }
}

/// Collects what is ready, without sleeping.
fn collect(
    epoll: BorrowedFd<'_>,
    buffer: &mut [libc::epoll_event],
    events: &mut Vec<Event>,
) -> io::Result<()> {
    let room = libc::c_int::try_from(buffer.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the pointer and the count are those of one slice, which nobody else can reach during
    // the call; the count is positive; and the borrow keeps the descriptor open.
    let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), buffer.as_mut_ptr(), room, 0) };
    let Ok(count) = usize::try_from(count) else {
        return Err(io::Error::last_os_error());
    };
    let found = buffer.iter().take(count);
    events.extend(found.map(|found| event(found.u64, EventFlags::from_bits_retain(found.events))));
    Ok(())
}

/// What comes back with an event: the number of its descriptor.
const fn data(fd: RawFd) -> EventData {
    EventData::new_u64(fd as u64)
}

fn flags(interest: Interest) -> EventFlags {
    let mut flags = EventFlags::empty();
    flags.set(EventFlags::IN, interest.readable);
    flags.set(EventFlags::OUT, interest.writable);
    flags
}

/// Whatever is not "can be written" rouses the reader, and the reverse: a hang-up and an error
/// rouse both.
#[inline]
fn event(data: u64, flags: EventFlags) -> Event {
    Event {
        fd: data as RawFd,
        readable: flags.intersects(!EventFlags::OUT),
        writable: flags.intersects(!EventFlags::IN),
    }
}

#[inline]
fn timespec(timeout: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    }
}
