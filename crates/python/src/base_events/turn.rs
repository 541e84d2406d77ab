//! One turn of the loop, in the order that `batonloop_core::agenda` draws, and the turns of
//! `run_forever()`.
//!
//! # When the kernel is asked
//!
//! While there is work, asking the kernel costs more than most work does. So the loop asks only
//! when nothing is ready, or when [`POLL_INTERVAL`] has passed since it last asked; and when no
//! descriptor is watched it asks not at all, unless to sleep. A busy loop may thus run several
//! turns before it hears of a descriptor that asyncio would have heard of in the next one, but it
//! hears of it within that interval, and the order within a turn stays: events, timers, then what
//! was ready. Timers are looked at in every turn, because their order against ready handles is
//! what programs see.

use std::sync::Arc;
use std::time::Duration;

use batonloop_core::Event;
use batonloop_cpython::call;
use batonloop_cpython::exit::Stay;
use batonloop_cpython::thread;
use batonloop_sys::{Punctual, clock};
use pyo3::types::{PyAny, PyAnyMethods, PyFloat};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::PyLoop;
use crate::events;
use crate::exceptions;
use crate::host::{Entry, EventLoop, Poller};
use crate::names::{self, none};
use crate::running;
use crate::selector_events::{self, Side};

/// How long busy turns may go on without a look at the descriptors, in ticks of the cycle counter:
/// 25 to 100 microseconds.
pub(super) const POLL_INTERVAL: u64 = 100_000;

/// What a turn needs and leaves, kept from one turn to the next.
#[derive(Default)]
struct Scratch {
    events: Vec<Event>,
    displaced: Vec<Entry>,
}

/// Turns until `stop()`.
pub(super) fn run_forever(this: &PyLoop<'_>) -> PyResult<()> {
    let py = this.py();
    let host = this.get();
    this.call_method0(intern!(py, "_check_closed"))?;
    this.call_method0(intern!(py, "_check_running"))?;
    let _stay = Stay::begin();
    let outcome = set_up(this).and_then(|()| {
        let mut scratch = Scratch::default();
        loop {
            turn(this, &mut scratch)?;
            if host.stopping.get(py) {
                return Ok(());
            }
        }
    });
    host.stopping.set(py, false);
    drop(host.punctual.with(py, Option::take));
    host.thread.set(py, 0);
    let left = set_running_loop(&none(py));
    let cleaned = this.call_method0(intern!(py, "_run_forever_cleanup")).map(drop);
    outcome.and(left).and(cleaned)
}

fn set_up(this: &PyLoop<'_>) -> PyResult<()> {
    let py = this.py();
    this.get().thread.set(py, thread::id(py));
    this.call_method0(intern!(py, "_run_forever_setup"))?;
    set_running_loop(this.as_any())?;
    running::announce(this.as_any());
    Ok(())
}

/// Says to the interpreter which loop runs in this thread, and to what a program has put in the
/// place of asyncio's function.
fn set_running_loop(event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    let known = names::SET_RUNNING_LOOP.get(py)?;
    known.call1((event_loop,))?;
    let named = names::ASYNCIO_EVENTS.get(py)?.getattr(intern!(py, "_set_running_loop"))?;
    if named.is(known) { Ok(()) } else { named.call1((event_loop,)).map(drop) }
}

/// One turn on its own.
pub(super) fn once(this: &PyLoop<'_>) -> PyResult<()> {
    let outcome = turn(this, &mut Scratch::default());
    let py = this.py();
    if this.get().thread.get(py) == 0 {
        drop(this.get().punctual.with(py, Option::take));
    }
    outcome
}

/// One turn.
#[inline(always)]
fn turn(this: &PyLoop<'_>, scratch: &mut Scratch) -> PyResult<()> {
    let py = this.py();
    let host = this.get();
    let ticks = clock::ticks();
    let is_due = ticks.wrapping_sub(host.polled.get(py)) > host.poll_interval.get(py);
    let mut opened = host.agenda.with(py, |agenda| {
        if is_due || agenda.next_due().is_some() { None } else { agenda.open_turn_with_first() }
    });
    if opened.is_none() {
        opened = look_around(this, scratch, ticks, is_due)?;
    }
    let Some((mut entry, mut more)) = opened else {
        return Ok(());
    };
    if host.debug.get(py) {
        return run_watched(this, entry);
    }
    loop {
        (entry.verb.run)(entry.object.into_bound(py), host).map_err(|error| *error)?;
        if more == 0 {
            return Ok(());
        }
        more -= 1;
        match host.agenda.with(py, |agenda| agenda.next_handle()) {
            Some(next) => entry = next,
            // The loop was closed, or somebody runs it inside its own turn.
            None => return Ok(()),
        }
    }
}

/// Steps 0 to 4, for a turn that is not all made of what is ready. Returns its first handle and how
/// many more it will run.
#[inline(never)]
fn look_around(
    this: &PyLoop<'_>,
    scratch: &mut Scratch,
    ticks: u64,
    is_due: bool,
) -> PyResult<Option<(Entry, usize)>> {
    let py = this.py();
    let host = this.get();
    let idle = host.agenda.with(py, |agenda| agenda.ready_len() == 0);
    if idle || is_due {
        host.polled.set(py, ticks);
        host.agenda.with(py, batonloop_core::Agenda::relax);
        poll(this, scratch, idle)?;
    }
    let scheduled = host.agenda.with(py, |agenda| agenda.next_due().is_some());
    if scheduled || !scratch.events.is_empty() {
        gather(this, scratch)?;
    }
    Ok(host.agenda.with(py, |agenda| agenda.open_turn_with_first()))
}

/// Steps 0 to 2: asks the kernel, and sleeps if nothing is ready.
#[inline(never)]
fn poll(this: &PyLoop<'_>, scratch: &mut Scratch, idle: bool) -> PyResult<()> {
    let py = this.py();
    let host = this.get();
    if idle {
        host.agenda.with(py, |agenda| agenda.sweep(py, &mut scratch.displaced));
        release(py, scratch);
    }
    let timeout = if idle { time_to_sleep(this)? } else { Some(Duration::ZERO) };
    let Some(poller) = host.poller.with(py, |poller| poller.clone()) else {
        return Err(exceptions::loop_is_closed());
    };
    let watches = host.agenda.with(py, |agenda| !agenda.watched.is_empty());
    let selected = if timeout == Some(Duration::ZERO) {
        if watches { poller.selector.select(timeout, &mut scratch.events) } else { Ok(()) }
    } else if host.has_before_sleep.get(py) {
        sleep_as_told(this, &poller, watches, &mut scratch.events)?
    } else {
        sleep(py, host, &poller, timeout, &mut scratch.events)
    };
    match selected {
        Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
            return Err(exceptions::os_error(&error, py));
        }
        _ => {}
    }
    let waker = poller.waker.fd();
    scratch.events.retain(|event| {
        if event.fd == waker {
            poller.waker.drain();
        }
        event.fd != waker
    });
    let signals = py.check_signals();
    let seen = if idle { signals } else { signals.and_then(|()| give_way(this)) };
    seen.map_err(|error| put_back(py, host, scratch, error))
}

/// How long a loop with nothing to run may sleep.
///
/// A signal that came while only native code ran has its handler run first: nothing but a signal
/// ends the sleep early for it, and that one has been.
fn time_to_sleep(this: &PyLoop<'_>) -> PyResult<Option<Duration>> {
    this.py().check_signals()?;
    let timeout = timeout(this)?;
    Ok(if this.get().stopping.get(this.py()) { Some(Duration::ZERO) } else { timeout })
}

/// Forgets the events of a turn that ends before they were gathered: the kernel will tell of them
/// again, also of those that it was to tell once.
#[cold]
fn put_back(py: Python<'_>, host: &EventLoop, scratch: &mut Scratch, error: PyErr) -> PyErr {
    for event in scratch.events.drain(..) {
        let interest = host.agenda.with(py, |agenda| agenda.watched.interest(event.fd));
        if interest.readable {
            selector_events::watch_on(py, host, event.fd, Side::Reader);
        }
        if interest.writable {
            selector_events::watch_on(py, host, event.fd, Side::Writer);
        }
    }
    error
}

/// Lets another thread in that has asked for the interpreter, and runs what is pending for this
/// one, as a call of any Python function does; callbacks that are C functions do neither.
///
/// To let go of the interpreter for a moment would not do: who waits for it asks only after an
/// interval in which nobody let go (CPython's `Python/ceval_gil.c`, `take_gil()`), so a loop that
/// lets go in vain every few milliseconds keeps the others waiting for ever.
fn give_way(this: &PyLoop<'_>) -> PyResult<()> {
    this.call_method0(intern!(this.py(), "_give_way")).map(drop)
}

fn timeout(this: &PyLoop<'_>) -> PyResult<Option<Duration>> {
    let py = this.py();
    let host = this.get();
    if host.agenda.with(py, |agenda| agenda.next_due().is_none()) {
        return Ok(host
            .agenda
            .with(py, |agenda| agenda.timeout(batonloop_core::Instant::from_nanos(0))));
    }
    let now = host.now(this)?;
    Ok(host.agenda.with(py, |agenda| agenda.timeout(now)))
}

/// Sleeps as long as the loop's class says: a subclass whose time is not the clock's may move it
/// now instead. It is asked by `_before_sleep(when, watches, waited)`: when the next timer is due,
/// or None; whether descriptors are watched, of which none has anything to tell; and how many
/// seconds that has been so since it was first asked. It is asked until something is ready or due,
/// or until it says zero.
#[cold]
fn sleep_as_told(
    this: &PyLoop<'_>,
    poller: &Arc<Poller>,
    watches: bool,
    events: &mut Vec<Event>,
) -> PyResult<std::io::Result<()>> {
    let py = this.py();
    let host = this.get();
    let mut begun = None;
    let mut selected =
        if watches { poller.selector.select(Some(Duration::ZERO), events) } else { Ok(()) };
    while selected.is_ok() && events.is_empty() {
        let due = host.agenda.with(py, |agenda| agenda.next_due());
        let when = due.map(batonloop_core::Instant::seconds);
        let waited = begun
            .map_or(0.0, |begun: batonloop_core::Instant| begun.until(clock::now()).as_secs_f64());
        let told = this.call_method1(intern!(py, "_before_sleep"), (when, watches, waited))?;
        let seconds = told.extract::<Option<f64>>()?;
        // What a Duration cannot say is longer than any sleep.
        let timeout =
            seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        let is_idle = host.agenda.with(py, |agenda| agenda.ready_len() == 0);
        if timeout == Some(Duration::ZERO) || !is_idle || host.stopping.get(py) {
            break;
        }
        begun = begun.or_else(|| Some(clock::now()));
        selected = sleep(py, host, poller, timeout, events);
        if events.is_empty() && time_to_sleep(this)? == Some(Duration::ZERO) {
            break;
        }
    }
    Ok(selected)
}

/// Sleeps with the interpreter let go. Who queues from another thread sees that the loop sleeps
/// and wakes it; both look and sleep happen with the interpreter held, so no wake is lost.
fn sleep(
    py: Python<'_>,
    host: &EventLoop,
    poller: &Arc<Poller>,
    timeout: Option<Duration>,
    events: &mut Vec<Event>,
) -> std::io::Result<()> {
    if timeout.is_some() {
        host.punctual.with(py, |punctual| {
            punctual.get_or_insert_with(Punctual::begin);
        });
    }
    host.sleeping.set(py, true);
    let selected = py.detach(|| poller.selector.select(timeout, events));
    host.sleeping.set(py, false);
    selected
}

/// Step 3: roused watchers, then due timers.
#[inline]
fn gather(this: &PyLoop<'_>, scratch: &mut Scratch) -> PyResult<()> {
    let py = this.py();
    let host = this.get();
    let now = host.now(this).map_err(|error| put_back(py, host, scratch, error))?;
    let Scratch { events, displaced } = scratch;
    host.agenda.with(py, |agenda| agenda.gather(now, events, py, displaced));
    events.clear();
    if !displaced.is_empty() {
        release(py, scratch);
        narrow(py, host);
    }
    Ok(())
}

/// Tells the kernel of watchers that were cancelled behind its back.
#[cold]
fn narrow(py: Python<'_>, host: &EventLoop) {
    let Some(poller) = host.poller.with(py, |poller| poller.clone()) else {
        return;
    };
    while let Some((fd, interest)) = host.agenda.with(py, |agenda| agenda.pop_narrowed()) {
        // A descriptor that is closed by now has left the kernel's set by itself.
        let _ = if interest.is_none() {
            poller.selector.unregister(fd)
        } else {
            poller.selector.modify(fd, interest)
        };
    }
}

/// Drops what the core displaced, with nothing borrowed.
#[cold]
fn release(py: Python<'_>, scratch: &mut Scratch) {
    for entry in scratch.displaced.drain(..) {
        events::unschedule(entry.object.into_bound(py));
    }
}

/// Step 5 in debug mode: who takes long is named.
#[cold]
fn run_watched(this: &PyLoop<'_>, first: Entry) -> PyResult<()> {
    let py = this.py();
    let host = this.get();
    let mut next = Some(first);
    while let Some(entry) = next {
        let object = entry.object.into_bound(py);
        let before = host.now(this)?;
        host.current_handle.slot(py).set(object.clone());
        let ran = (entry.verb.run)(object.clone(), host);
        host.current_handle.slot(py).clear(py);
        ran.map_err(|error| *error)?;
        let took = before.until(host.now(this)?).as_secs_f64();
        if took >= host.slow_callback_duration.get(py) {
            let described = (entry.verb.describe)(&object)?;
            warn_slow(py, &described, took)?;
        }
        next = host.agenda.with(py, |agenda| agenda.next_handle());
    }
    Ok(())
}

fn warn_slow(py: Python<'_>, described: &Bound<'_, pyo3::PyAny>, took: f64) -> PyResult<()> {
    let warning = names::LOGGER.get(py)?.getattr(intern!(py, "warning"))?;
    let took = PyFloat::new(py, took);
    let arguments = ("Executing %s took %.3f seconds", described, took);
    let arguments = pyo3::IntoPyObject::into_pyobject(arguments, py)?;
    call::call_tuple(&warning, arguments.as_any())?;
    Ok(())
}
