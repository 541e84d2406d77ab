//! The native half of EventLoop: its public methods. What schedules callbacks is in [`schedule`],
//! what makes tasks and futures in [`create`], the turn in [`turn`], descriptors are in [`watch`].

use std::ffi::CStr;
use std::sync::Arc;

use batonloop_core::{Agenda, Instant};
use batonloop_cpython::builder::add_method;
use batonloop_cpython::call;
use batonloop_cpython::cell::{GilCell, GilSlot, LoopCell};
use batonloop_cpython::kind;
use batonloop_cpython::method::Method;
use batonloop_sys::{Selector, Waker, clock};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyString, PyTuple, PyType, PyTypeMethods};
use pyo3::{Bound, Py, PyResult, PyTraverseError, PyTypeInfo, PyVisit, Python, intern, pymethods};

use crate::events;
use crate::exceptions;
use crate::host::{EventLoop, Poller};
use crate::names::{self, boolean};
use crate::selector_events::Side;
use crate::tasks::known;
use crate::transports;

mod create;
mod schedule;
mod turn;
mod watch;
pub(crate) mod sock;

pub(crate) use create::create_task;

type PyLoop<'py> = Bound<'py, EventLoop>;

/// How long a callback may take before debug mode warns, unless told otherwise, in seconds.
const SLOW_CALLBACK_DURATION: f64 = 0.1;

/// The methods whose meaning the native code must know: whoever overrides them is asked.
const WATCHED_METHODS: [&str; 6] =
    ["call_soon", "create_task", "time", "call_at", "get_debug", "create_future"];

/// The methods that asyncio's `sock_recv()` and its kin call in order to wait.
const WATCHING_METHODS: [&str; 10] = [
    "_add_reader",
    "_add_writer",
    "_ensure_fd_no_transport",
    "_ensure_resolved",
    "_remove_reader",
    "_remove_writer",
    "add_reader",
    "add_writer",
    "remove_reader",
    "remove_writer",
];

impl EventLoop {
    fn open(py: Python<'_>) -> PyResult<Self> {
        let refused = |error: std::io::Error| exceptions::os_error(&error, py);
        let selector = Selector::new().map_err(refused)?;
        let waker = Waker::new(&selector).map_err(refused)?;
        Ok(Self {
            agenda: LoopCell::new(Agenda::new()),
            is_direct: GilCell::new(false),
            has_own_call_soon: GilCell::new(true),
            has_own_create_task: GilCell::new(true),
            has_own_time: GilCell::new(true),
            has_own_call_at: GilCell::new(true),
            has_own_get_debug: GilCell::new(true),
            has_own_create_future: GilCell::new(true),
            has_own_watching: GilCell::new(true),
            has_before_sleep: GilCell::new(false),
            has_known_classes: GilCell::new(true),
            debug: GilCell::new(false),
            closed: GilCell::new(false),
            stopping: GilCell::new(false),
            sleeping: GilCell::new(false),
            thread: GilCell::new(0),
            polled: GilCell::new(0),
            slow_callback_duration: GilCell::new(SLOW_CALLBACK_DURATION),
            poll_interval: GilCell::new(turn::POLL_INTERVAL),
            punctual: LoopCell::new(None),
            current_task: GilSlot::new(),
            current_handle: GilSlot::new(),
            task_factory: GilSlot::new(),
            has_eager_factory: GilCell::new(false),
            watched_once: LoopCell::new(Vec::new()),
            poller: LoopCell::new(Some(Arc::new(Poller { selector, waker }))),
        })
    }

    /// Takes note of which methods `holder`, the class or the object, gives another meaning.
    fn note_overrides(&self, holder: &Bound<'_, PyAny>, is_class: bool) -> PyResult<()> {
        let py = holder.py();
        let own = Self::type_object(py);
        let mut is_own = [true; WATCHED_METHODS.len()];
        for (is_own, name) in is_own.iter_mut().zip(WATCHED_METHODS) {
            *is_own = if is_class {
                is_native(&holder.getattr(name)?, &own)?
            } else {
                !holder.getattr("__dict__")?.contains(name)?
            };
        }
        if is_class {
            self.has_before_sleep.set(py, holder.hasattr(intern!(py, "_before_sleep"))?);
        }
        let [call_soon, create_task, time, call_at, get_debug, create_future] = is_own;
        let watching = create_future && watches_as_we_do(holder, is_class)?;
        self.has_own_watching.set(py, watching && self.has_own_watching.get(py));
        self.has_own_create_future.set(py, create_future && self.has_own_create_future.get(py));
        self.has_own_call_soon.set(py, call_soon && self.has_own_call_soon.get(py));
        self.has_own_create_task.set(py, create_task && self.has_own_create_task.get(py));
        self.has_own_time.set(py, time && self.has_own_time.get(py));
        self.has_own_call_at.set(py, call_at && self.has_own_call_at.get(py));
        self.has_own_get_debug.set(py, get_debug && self.has_own_get_debug.get(py));
        self.update_is_direct(py);
        Ok(())
    }

    fn check_closed(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.get(py) { Err(exceptions::loop_is_closed()) } else { Ok(()) }
    }

    /// In debug mode: the thread must be the loop's own.
    fn check_thread(&self, py: Python<'_>) -> PyResult<()> {
        let thread = self.thread.get(py);
        if thread != 0 && thread != batonloop_cpython::thread::id(py) {
            return Err(PyRuntimeError::new_err(
                "Non-thread-safe operation invoked on an event loop other than the current one",
            ));
        }
        Ok(())
    }

    /// The loop's time, on its own clock or as a subclass tells it.
    #[inline]
    fn now<'py>(&self, this: &PyLoop<'py>) -> PyResult<Instant> {
        if self.has_own_time.get(this.py()) {
            return Ok(clock::now());
        }
        let seconds = this.call_method0(intern!(this.py(), "time"))?.extract::<f64>()?;
        Ok(Instant::from_seconds(seconds))
    }
}

/// Whether `holder`, the class or the object, has our own [`WATCHING_METHODS`].
fn watches_as_we_do(holder: &Bound<'_, PyAny>, is_class: bool) -> PyResult<bool> {
    if !is_class {
        let attributes = holder.getattr("__dict__")?;
        for name in WATCHING_METHODS {
            if attributes.contains(name)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let ours = names::OWN_SELECTOR_EVENT_LOOP.get(holder.py())?;
    for name in WATCHING_METHODS {
        let found = holder.getattr_opt(name)?;
        if !found.is_some_and(|found| ours.getattr(name).is_ok_and(|own| found.is(&own))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a class attribute is a native method of ours, on whichever class it was put.
fn is_native(attribute: &Bound<'_, PyAny>, own: &Bound<'_, PyType>) -> PyResult<bool> {
    let native = own.getattr("call_soon")?;
    if !attribute.get_type().is(native.get_type()) {
        return Ok(false);
    }
    attribute.getattr("__objclass__")?.cast::<PyType>()?.is_subclass(own.as_any())
}

fn time<'py>(this: &PyLoop<'py>) -> PyResult<Bound<'py, PyAny>> {
    Ok(events::float(this.py(), clock::now().seconds()))
}

fn get_debug<'py>(this: &PyLoop<'py>) -> PyResult<Bound<'py, PyAny>> {
    let debug = this.get().debug.get(this.py());
    Ok(boolean(this.py(), debug))
}

fn is_running<'py>(this: &PyLoop<'py>) -> PyResult<Bound<'py, PyAny>> {
    let running = this.get().thread.get(this.py()) != 0;
    Ok(boolean(this.py(), running))
}

fn is_closed<'py>(this: &PyLoop<'py>) -> PyResult<Bound<'py, PyAny>> {
    let closed = this.get().closed.get(this.py());
    Ok(boolean(this.py(), closed))
}

/// Puts the hot methods on the class, at the price of C functions.
pub(crate) fn add_hot_methods(class: &Bound<'_, PyType>) -> PyResult<()> {
    let answers = [
        Method::<EventLoop>::no_args(c"time", TIME, time),
        Method::no_args(c"get_debug", c"Return whether the loop is in debug mode.", get_debug),
        Method::no_args(c"is_running", c"Return whether the loop runs now.", is_running),
        Method::no_args(c"is_closed", c"Return whether the loop was closed.", is_closed),
    ];
    for method in schedule::methods()
        .into_iter()
        .chain(create::methods())
        .chain(answers)
        .chain(sock::methods())
    {
        add_method(class, method)?;
    }
    Ok(())
}

#[pymethods]
impl EventLoop {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        known::prepare(class.py())?;
        let this = Self::open(class.py())?;
        this.note_overrides(class.as_any(), true)?;
        Ok(this)
    }

    /// Run until stop() is called.
    ///
    /// Raises RuntimeError if the loop is closed or running, or if another loop runs in this
    /// thread, and whatever leaves a callback: KeyboardInterrupt and SystemExit.
    fn run_forever(this: &Bound<'_, Self>) -> PyResult<()> {
        turn::run_forever(this)
    }

    /// Make one turn: what is ready when it opens is run. For tests.
    fn _run_once(this: &Bound<'_, Self>) -> PyResult<()> {
        turn::once(this)
    }

    /// How long busy turns may go on without a look at the descriptors, in ticks of the processor's
    /// cycle counter. For counts of instructions, which must not depend on time.
    #[getter(_poll_interval)]
    fn read_poll_interval(&self, py: Python<'_>) -> u64 {
        self.poll_interval.get(py)
    }

    #[setter(_poll_interval)]
    fn set_poll_interval(&self, py: Python<'_>, ticks: u64) {
        self.poll_interval.set(py, ticks);
    }

    /// The handle that runs now, in debug mode; else None.
    #[getter]
    fn _current_handle(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.current_handle.slot(py).get(py).map(Bound::unbind)
    }

    /// Queue a handle that exists already, unless it was cancelled.
    ///
    /// Raises TypeError for what is no handle of ours.
    fn _add_callback(&self, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        if kind::cast::<kind::Handle>(handle).is_none() {
            return Err(PyTypeError::new_err("expected a Handle"));
        }
        if !(events::RUN.is_cancelled)(handle) {
            self.queue(handle.clone(), events::verb_of(handle)?);
        }
        Ok(())
    }

    /// What is ready, in order: a list of (verb, object), where the verb is "run" for a handle,
    /// "step" or "wake" for a task. For tests and for those who look.
    fn _queued<'py>(&self, py: Python<'py>) -> Vec<(&'static str, Bound<'py, PyAny>)> {
        self.agenda.with(py, |agenda| {
            agenda
                .ready
                .iter()
                .map(|entry| (entry.verb.name, entry.object.bind(py).clone()))
                .collect()
        })
    }

    /// Stop the loop after the turn that runs now, or after one turn if it does not run.
    fn stop(&self, py: Python<'_>) {
        self.stopping.set(py, true);
    }

    /// Raise RuntimeError if the loop was closed.
    fn _check_closed(&self, py: Python<'_>) -> PyResult<()> {
        self.check_closed(py)
    }

    /// Take note of what asyncio's names of Task and Future stand for, before a run.
    fn _note_classes(&self, py: Python<'_>) -> PyResult<()> {
        create::note_classes(self, py)
    }

    /// Release all that is ready, scheduled and watched, and the selector.
    ///
    /// Raises RuntimeError if the loop runs. Closing twice is closing once.
    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        if self.thread.get(py) != 0 {
            return Err(PyRuntimeError::new_err("Cannot close a running event loop"));
        }
        self.closed.set(py, true);
        self.update_is_direct(py);
        let entries = self.agenda.with(py, Agenda::take_all);
        let poller = self.poller.with(py, Option::take);
        for entry in entries {
            events::unschedule(entry.object.into_bound(py));
        }
        drop(poller);
        Ok(())
    }

    /// Set debug mode on or off.
    fn set_debug(this: &Bound<'_, Self>, enabled: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        let enabled = enabled.is_truthy()?;
        let host = this.get();
        host.debug.set(py, enabled);
        host.update_is_direct(py);
        if host.thread.get(py) != 0 {
            let set = this.getattr(intern!(py, "_set_coroutine_origin_tracking"))?;
            this.call_method1(intern!(py, "call_soon_threadsafe"), (set, enabled))?;
        }
        Ok(())
    }

    /// Return the task factory, or None for the default one.
    fn get_task_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task_factory.slot(py).get(py).map(Bound::unbind)
    }

    /// Let create_task() call factory(loop, coro, **kwargs); None sets the default.
    ///
    /// Raises TypeError for what is neither callable nor None.
    fn set_task_factory(&self, factory: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = factory.py();
        if factory.is_none() {
            self.has_eager_factory.set(py, false);
            self.task_factory.slot(py).clear(py);
            return Ok(());
        }
        if !factory.is_callable() {
            return Err(PyTypeError::new_err("task factory must be a callable or None"));
        }
        self.has_eager_factory.set(py, crate::tasks::is_eager_factory(factory)?);
        self.task_factory.slot(py).set(factory.clone());
        Ok(())
    }

    /// How long a callback may take before debug mode warns of it, in seconds.
    #[getter(slow_callback_duration)]
    fn read_slow_callback_duration(&self, py: Python<'_>) -> f64 {
        self.slow_callback_duration.get(py)
    }

    #[setter(slow_callback_duration)]
    fn set_slow_callback_duration(&self, py: Python<'_>, seconds: f64) {
        self.slow_callback_duration.set(py, seconds);
    }

    /// The identity of the thread that runs the loop, or None.
    #[getter]
    fn _thread_id(&self, py: Python<'_>) -> Option<u64> {
        Some(self.thread.get(py)).filter(|thread| *thread != 0)
    }

    /// Whether stop() was called.
    #[getter]
    fn _stopping(&self, py: Python<'_>) -> bool {
        self.stopping.get(py)
    }

    /// Call callback(*args) whenever fd is ready for reading; replaces an earlier reader. Returns
    /// the handle.
    ///
    /// fd is a file descriptor, an int, or an object with fileno(). Raises ValueError for what is
    /// neither, OSError for a descriptor that cannot be watched.
    #[pyo3(signature = (fd, callback, *args))]
    fn _add_reader<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        watch::add(this, fd, Side::Reader, callback, args)
    }

    /// Watch fd for reading no longer; return whether it was watched.
    fn _remove_reader(this: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        watch::remove(this, fd, Side::Reader)
    }

    /// Call callback(*args) whenever fd is ready for writing; replaces an earlier writer. Returns
    /// the handle.
    ///
    /// fd is a file descriptor, an int, or an object with fileno(). Raises ValueError for what is
    /// neither, OSError for a descriptor that cannot be watched.
    #[pyo3(signature = (fd, callback, *args))]
    fn _add_writer<'py>(
        this: &Bound<'py, Self>,
        fd: &Bound<'py, PyAny>,
        callback: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        watch::add(this, fd, Side::Writer, callback, args)
    }

    /// Watch fd for writing no longer; return whether it was watched.
    fn _remove_writer(this: &Bound<'_, Self>, fd: &Bound<'_, PyAny>) -> PyResult<bool> {
        watch::remove(this, fd, Side::Writer)
    }

    /// What the loop wants to hear about a descriptor, as asyncio's selectors say it: 1 for
    /// reading, 2 for writing, 3 for both, 0 for nothing.
    fn _interest(&self, py: Python<'_>, fd: i32) -> u8 {
        let interest = self.agenda.with(py, |agenda| agenda.watched.interest(fd));
        u8::from(interest.readable) | u8::from(interest.writable) << 1
    }

    /// The transport of this loop that uses a descriptor and shares it with nobody; None if none
    /// does.
    fn _transport_of<'py>(this: &Bound<'py, Self>, fd: i32) -> Option<Bound<'py, PyAny>> {
        let py = this.py();
        let owner = kind::owners::of(py, fd)?;
        let event_loop = owner.getattr(intern!(py, "_loop")).ok()?;
        (event_loop.is(this) && !transports::socket::is_lent(&owner)).then_some(owner)
    }

    fn __setattr__(
        this: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        call::set_attribute(this.as_any(), name.as_any(), Some(value))?;
        this.get().note_attribute(this, name)
    }

    fn __delattr__(this: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        call::set_attribute(this.as_any(), name.as_any(), None)?;
        this.get().note_attribute(this, name)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.current_task.visit(|slot| slot.visit(&visit))?;
        self.current_handle.visit(|slot| slot.visit(&visit))?;
        self.task_factory.visit(|slot| slot.visit(&visit))?;
        self.agenda
            .visit(|agenda| agenda.iter().try_for_each(|entry| visit.call(&entry.object)))
            .unwrap_or(Ok(()))
    }

    fn __clear__(&self, py: Python<'_>) {
        self.current_task.slot(py).clear(py);
        self.current_handle.slot(py).clear(py);
        self.task_factory.slot(py).clear(py);
        for entry in self.agenda.with(py, Agenda::take_all) {
            entry.object.drop_ref(py);
        }
    }
}

impl EventLoop {
    /// An attribute of the object was set or deleted: it may stand before a method.
    fn note_attribute(&self, this: &PyLoop<'_>, name: &Bound<'_, PyString>) -> PyResult<()> {
        let py = this.py();
        let known = WATCHED_METHODS.iter().chain(&WATCHING_METHODS);
        if !known.into_iter().any(|known| name == known) {
            return Ok(());
        }
        for flag in [
            &self.has_own_call_soon,
            &self.has_own_create_task,
            &self.has_own_time,
            &self.has_own_call_at,
            &self.has_own_get_debug,
            &self.has_own_create_future,
            &self.has_own_watching,
        ] {
            flag.set(py, true);
        }
        self.note_overrides(this.get_type().as_any(), true)?;
        self.note_overrides(this.as_any(), false)
    }
}

const TIME: &CStr = c"\
    Return the time of the loop's clock in seconds, a float: the same as time.monotonic().\n\
    \nA subclass may override it; timers then follow its clock.";
