//! A set of descriptors in a level-triggered epoll.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// So many events come out of one system call at most.
const AT_ONCE: usize = 1024;

/// The set, and the events that came last.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

/// What a descriptor waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Read,
    ReadAndWrite,
}

impl Wish {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::ReadAndWrite => EventFlags::IN | EventFlags::OUT,
        }
    }
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(AT_ONCE) })
    }

    pub(crate) fn add(&self, source: impl AsFd, number: usize, wish: Wish) -> io::Result<()> {
        let data = EventData::new_u64(number as u64);
        Ok(epoll::add(&self.epoll, source, data, wish.flags())?)
    }

    pub(crate) fn change(&self, source: impl AsFd, number: usize, wish: Wish) -> io::Result<()> {
        let data = EventData::new_u64(number as u64);
        Ok(epoll::modify(&self.epoll, source, data, wish.flags())?)
    }

    /// Sleeps until something is ready; the answer is how many events there are.
    pub(crate) fn wait(&mut self) -> io::Result<usize> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), None) {
            Ok(count) => Ok(count),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// An event: the number given to [`add`](Self::add), readable, writable.
    ///
    /// An error or a hang-up counts as readable: reading tells what it is.
    pub(crate) fn event(&self, index: usize) -> (usize, bool, bool) {
        let Event { flags, data } = self.events[index];
        let readable = flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR);
        (data.u64() as usize, readable, flags.contains(EventFlags::OUT))
    }
}
