//! Entries that wait for a descriptor: what `add_reader()`, transports and servers have in common.
//!
//! The kernel is told at once, because asyncio raises here for a descriptor that cannot be polled,
//! and the table changes only when the kernel has agreed.
//!
//! # Once
//!
//! A call of a socket that waits is over when its descriptor was roused, mostly, and soon the next
//! one waits for the same descriptor. To put it into the kernel's set and take it out each time
//! costs more than the rest of the wait. So the kernel is told to report it once, it then stays in
//! the set in silence, and the next wait asks for it again. Which descriptors are in the set is
//! remembered by number, so it can be wrong: the number may be another file's by now. But the
//! kernel looks at the file itself and says that it does not know it, and it is put in anew.
//!
//! What is watched for two sides, or by others, is watched all the time.

use std::io::{self, ErrorKind};

use batonloop_core::Interest;
pub(crate) use batonloop_core::Side;
use batonloop_cpython::kind::{self, Handle};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use crate::exceptions;
use crate::host::{Entry, EventLoop};

/// Who watched a descriptor before: the two of a file that is gone, or one of the same side.
#[must_use = "they are to be cancelled, when nothing else is left to be done"]
pub(crate) struct Displaced([Option<Entry>; 2]);

impl Displaced {
    /// Lets them go. A handle is cancelled, for it may be about to run.
    #[inline]
    pub(crate) fn cancel(self, py: Python<'_>) -> PyResult<()> {
        for entry in self.0.into_iter().flatten() {
            cancel(py, entry)?;
        }
        Ok(())
    }
}

/// Lets an entry go. A handle is cancelled, for it may be about to run.
pub(crate) fn cancel(py: Python<'_>, entry: Entry) -> PyResult<()> {
    let object = entry.object.into_bound(py);
    if kind::cast::<Handle>(&object).is_some() {
        object.call_method0(intern!(py, "cancel"))?;
    }
    Ok(())
}

/// Watches a descriptor, and gives back who is displaced.
///
/// RuntimeError if the loop is closed; OSError for what cannot be watched.
pub(crate) fn watch(
    py: Python<'_>,
    host: &EventLoop,
    fd: i32,
    side: Side,
    entry: Entry,
) -> PyResult<Displaced> {
    let before = host.agenda.with(py, |agenda| agenda.watched.interest(fd));
    let wanted = before.and(side);
    let was_once = set_once(py, host, fd, false);
    let told = host.poller.with(py, |poller| {
        let selector = &poller.as_ref()?.selector;
        Some(match (before.is_none(), was_once) {
            (true, true) => selector.watch_again(fd, wanted),
            (true, false) => selector.register(fd, wanted),
            (false, _) => selector.modify(fd, wanted),
        })
    });
    match told {
        None => Err(refused(py, entry, exceptions::loop_is_closed())),
        Some(Ok(())) => Ok(enter(py, host, fd, side, entry)),
        Some(Err(error)) if before.is_none() => {
            Err(refused(py, entry, exceptions::os_error(&error, py)))
        }
        Some(Err(error)) => watch_anew(py, host, fd, side, entry, &error),
    }
}

fn enter(py: Python<'_>, host: &EventLoop, fd: i32, side: Side, entry: Entry) -> Displaced {
    Displaced([host.agenda.with(py, |agenda| agenda.watched.set(fd, side, entry)), None])
}

/// Drops what cannot be watched: the table and the kernel are as they were.
#[cold]
fn refused(py: Python<'_>, entry: Entry, error: PyErr) -> PyErr {
    entry.object.drop_ref(py);
    error
}

/// Watches a descriptor until it is roused, which [`unwatch_roused`] or [`watch_on`] must follow,
/// and gives back who is displaced.
///
/// RuntimeError if the loop is closed; OSError for what cannot be watched.
pub(crate) fn watch_once(
    py: Python<'_>,
    host: &EventLoop,
    fd: i32,
    side: Side,
    entry: Entry,
) -> PyResult<Displaced> {
    let before = host.agenda.with(py, |agenda| agenda.watched.interest(fd));
    if !before.is_none() || !has_place(fd) {
        return watch(py, host, fd, side, entry);
    }
    let was_once = set_once(py, host, fd, true);
    let told = host.poller.with(py, |poller| {
        let selector = &poller.as_ref()?.selector;
        Some(selector.watch_once(fd, Interest::NONE.and(side), was_once))
    });
    match told {
        None => Err(refused(py, entry, exceptions::loop_is_closed())),
        Some(Ok(())) => Ok(enter(py, host, fd, side, entry)),
        Some(Err(error)) => {
            set_once(py, host, fd, false);
            Err(refused(py, entry, exceptions::os_error(&error, py)))
        }
    }
}

/// Goes on watching a descriptor that was roused in vain.
pub(crate) fn watch_on(py: Python<'_>, host: &EventLoop, fd: i32, side: Side) {
    if is_once(py, host, fd) {
        host.poller.with(py, |poller| {
            if let Some(poller) = poller {
                // A descriptor that is closed by now has left the kernel's set by itself.
                let _ = poller.selector.watch_once(fd, Interest::NONE.and(side), true);
            }
        });
    }
}

/// Watches a descriptor no longer that was just roused, and gives back the entry that watched.
#[inline]
pub(crate) fn unwatch_roused(
    py: Python<'_>,
    host: &EventLoop,
    fd: i32,
    side: Side,
) -> Option<Entry> {
    if !is_once(py, host, fd) {
        return unwatch(py, host, fd, side);
    }
    host.agenda.with(py, |agenda| agenda.watched.take(fd, side))
}

/// Descriptors from this number on are watched all the time: it keeps the list of the others short.
const FIRST_WITHOUT_PLACE: i32 = 1 << 16;

fn has_place(fd: i32) -> bool {
    (0..FIRST_WITHOUT_PLACE).contains(&fd)
}

/// Takes note of how a descriptor is watched from now on, and says how it was.
#[inline]
fn set_once(py: Python<'_>, host: &EventLoop, fd: i32, once: bool) -> bool {
    let Some(place) = usize::try_from(fd).ok().filter(|_| has_place(fd)) else {
        return false;
    };
    host.watched_once.with(py, |list| {
        if list.len() <= place {
            if !once {
                return false;
            }
            list.resize(place + 1, false);
        }
        std::mem::replace(&mut list[place], once)
    })
}

#[inline]
fn is_once(py: Python<'_>, host: &EventLoop, fd: i32) -> bool {
    usize::try_from(fd)
        .is_ok_and(|place| host.watched_once.with(py, |list| list.get(place) == Some(&true)))
}

/// The descriptor was closed behind our back: nobody will hear of it again. But its number may
/// have been given to another file since, which is watched from now on.
///
/// Those who are displaced are let go of last: that may run anything, which finds the new one
/// watched already and may take its place.
#[cold]
fn watch_anew(
    py: Python<'_>,
    host: &EventLoop,
    fd: i32,
    side: Side,
    entry: Entry,
    error: &io::Error,
) -> PyResult<Displaced> {
    let displaced = host
        .agenda
        .with(py, |agenda| [agenda.watched.take_reader(fd), agenda.watched.take_writer(fd)]);
    let displaced = Displaced(displaced);
    let anew = Interest::NONE.and(side);
    let is_watched = error.kind() == ErrorKind::NotFound
        && host.poller.with(py, |poller| {
            poller.as_ref().is_some_and(|poller| poller.selector.register(fd, anew).is_ok())
        });
    if !is_watched {
        displaced.cancel(py)?;
        return Err(refused(py, entry, exceptions::os_error(error, py)));
    }
    // Nobody is left to be displaced.
    let Displaced(nobody) = enter(py, host, fd, side, entry);
    debug_assert!(nobody.iter().all(Option::is_none));
    Ok(displaced)
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
        agenda.watched.handle(fd, side).is_some_and(|entry| entry.object.is(object))
    })
}

/// Watches a descriptor no longer for this object, if it does still: the number may be another
/// file's by now, which others watch.
#[inline]
pub(crate) fn unwatch_for(host: &EventLoop, fd: i32, side: Side, object: &Bound<'_, PyAny>) {
    let py = object.py();
    if is_watched_for(host, fd, side, object)
        && let Some(entry) = unwatch(py, host, fd, side)
    {
        entry.object.drop_ref(py);
    }
}

/// Watches a descriptor no longer, and gives back the entry that watched.
pub(crate) fn unwatch(py: Python<'_>, host: &EventLoop, fd: i32, side: Side) -> Option<Entry> {
    let before = host.agenda.with(py, |agenda| agenda.watched.interest(fd));
    let displaced = host.agenda.with(py, |agenda| match side {
        Side::Reader => agenda.watched.take_reader(fd),
        Side::Writer => agenda.watched.take_writer(fd),
    })?;
    let wanted = before.but(side);
    set_once(py, host, fd, false);
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
