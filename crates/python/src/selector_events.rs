//! Entries that wait for a descriptor: what `add_reader()`, transports and servers have in common.
//!
//! The kernel is told at once, because asyncio raises here for a descriptor that cannot be polled,
//! and the table changes only when the kernel has agreed.

use std::io::{self, ErrorKind};

use batonloop_core::Interest;
use pyo3::types::PyAny;
use pyo3::{Bound, PyResult, Python};

use crate::exceptions;
use crate::host::{Entry, EventLoop};

/// What a descriptor is watched for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Reader,
    Writer,
}

impl Side {
    fn added(self, interest: Interest) -> Interest {
        match self {
            Self::Reader => interest.and_readable(),
            Self::Writer => interest.and_writable(),
        }
    }

    fn removed(self, interest: Interest) -> Interest {
        match self {
            Self::Reader => interest.but_readable(),
            Self::Writer => interest.but_writable(),
        }
    }
}

/// Watches a descriptor, and gives back the entry that is displaced.
///
/// RuntimeError if the loop is closed; OSError for what cannot be watched.
pub(crate) fn watch(
    py: Python<'_>,
    host: &EventLoop,
    fd: i32,
    side: Side,
    entry: Entry,
) -> PyResult<Option<Entry>> {
    let before = host.agenda.with(py, |agenda| agenda.watched.interest(fd));
    let wanted = side.added(before);
    let told = host.poller.with(py, |poller| {
        let selector = &poller.as_ref()?.selector;
        Some(if before.is_none() {
            selector.register(fd, wanted)
        } else {
            selector.modify(fd, wanted)
        })
    });
    match told {
        None => return Err(exceptions::loop_is_closed()),
        Some(Ok(())) => {}
        Some(Err(error)) => {
            if before.is_none() || !watch_anew(py, host, fd, side, &error) {
                return Err(exceptions::os_error(&error, py));
            }
        }
    }
    Ok(host.agenda.with(py, |agenda| match side {
        Side::Reader => agenda.watched.set_reader(fd, entry),
        Side::Writer => agenda.watched.set_writer(fd, entry),
    }))
}

/// The descriptor was closed behind our back: nobody will hear of it again. But its number may
/// have been given to another file since, which is watched from now on.
#[cold]
fn watch_anew(py: Python<'_>, host: &EventLoop, fd: i32, side: Side, error: &io::Error) -> bool {
    let displaced = host
        .agenda
        .with(py, |agenda| [agenda.watched.take_reader(fd), agenda.watched.take_writer(fd)]);
    for entry in displaced.into_iter().flatten() {
        entry.object.drop_ref(py);
    }
    let anew = side.added(Interest::NONE);
    error.kind() == ErrorKind::NotFound
        && host.poller.with(py, |poller| {
            poller.as_ref().is_some_and(|poller| poller.selector.register(fd, anew).is_ok())
        })
}

/// Whether a descriptor is watched for just this object.
#[inline]
pub(crate) fn is_watched_for(
    host: &EventLoop,
    fd: i32,
    side: Side,
    object: &Bound<'_, PyAny>,
) -> bool {
    host.agenda.with(object.py(), |agenda| {
        let entry = match side {
            Side::Reader => agenda.watched.reader(fd),
            Side::Writer => agenda.watched.writer(fd),
        };
        entry.is_some_and(|entry| entry.object.is(object))
    })
}

/// Watches a descriptor no longer, and gives back the entry that watched.
pub(crate) fn unwatch(py: Python<'_>, host: &EventLoop, fd: i32, side: Side) -> Option<Entry> {
    let before = host.agenda.with(py, |agenda| agenda.watched.interest(fd));
    let displaced = host.agenda.with(py, |agenda| match side {
        Side::Reader => agenda.watched.take_reader(fd),
        Side::Writer => agenda.watched.take_writer(fd),
    })?;
    let wanted = side.removed(before);
    host.poller.with(py, |poller| {
        let Some(poller) = poller else {
            return;
        };
        // A descriptor that is closed by now has left the kernel's set by itself.
        let _ = if wanted.is_none() {
            poller.selector.unregister(fd)
        } else {
            poller.selector.modify(fd, wanted)
        };
    });
    Some(displaced)
}
