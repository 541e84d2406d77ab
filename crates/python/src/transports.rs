//! Transports: what all of them have in common.
//!
//! ```text
//!   created ──▶ connected ──────▶ closing ─────────────▶ lost
//!              connection_made   close(), the end, or   connection_lost, once;
//!              reads and writes  an error; what waits   then the descriptor is closed
//!                                is written first
//! ```
//!
//! A transport puts itself into the loop's table and queue, with verbs of its own, where asyncio
//! puts handles with methods of the transport: the same places in the same order. On a loop that
//! wants to see every hand-off (debug mode, a `call_soon()` of its own) it goes through that, with
//! those very methods.

use batonloop_cpython::cell::GilCell;
use batonloop_cpython::kind::{Fields, Kind};
use batonloop_cpython::layout::TransportFields;
use batonloop_cpython::{Outcome, call, context, verify};
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyImportError, PyOSError, PyRuntimeError, PyTypeError};
use pyo3::types::{PyAny, PyAnyMethods, PyBytes, PyDict};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use crate::events::{self, Callback};
use crate::host::{Entry, EventLoop, Verb};
use crate::names::{self, none};
use crate::selector_events::{self, Displaced, Side};

mod errors;
mod closing;
mod flow;
mod extra;
mod write;
mod read;
mod class;
#[cfg(Py_3_13)]
pub(crate) mod clients;
mod life;
pub(crate) mod socket;
pub(crate) mod datagram;
mod pipe;
pub(crate) mod read_pipe;
pub(crate) mod write_pipe;
pub(crate) mod accept;

pub(crate) use extra::{hand_over, spelled};
pub(crate) use flow::at_most;
pub(crate) use read::{LARGEST_COPY, MAX_SIZE, with_hot};

/// The reader is watched.
const READING: u32 = 1;
/// The writer is watched.
const WRITING: u32 = 1 << 1;
/// `close()` was called, or the connection is to be lost.
const CLOSING: u32 = 1 << 2;
/// `write_eof()` was called.
const EOF: u32 = 1 << 3;
/// `pause_reading()` was called.
const PAUSED: u32 = 1 << 4;
/// `pause_writing()` of the protocol was called.
const PROTOCOL_PAUSED: u32 = 1 << 5;
/// The protocol lends its own memory.
const BUFFERED: u32 = 1 << 6;
/// There is a protocol to be told of the loss.
const HAS_PROTOCOL: u32 = 1 << 7;
/// Everything runs in the one context that was given.
const HAS_OWN_CONTEXT: u32 = 1 << 8;
/// The protocol is ours and takes bytes as they come.
const IS_DIRECT: u32 = 1 << 9;
/// The loss is queued or told.
const LOST: u32 = 1 << 10;
/// `__init__` ran: a transport is made once.
const MADE: u32 = 1 << 11;
/// Others may watch the descriptor, for `sendfile()` uses it.
const LENT: u32 = 1 << 12;
/// The last two pieces that came in were of one size.
const STEADY: u32 = 1 << 13;
/// The socket that accepted it calls its protocol TCP.
const SAYS_TCP: u32 = 1 << 14;
/// Somebody has set a method on the transport itself.
const PATCHED: u32 = 1 << 15;

/// What is particular to the transports of one kind, for who does not know the kind.
struct Manner {
    /// There is something to read.
    read: &'static Verb,
    /// It can be written to again.
    write: &'static Verb,
    /// It is connected.
    connect: &'static Verb,
    /// The end is to be told.
    lose: &'static Verb,
    /// Whether a queued loss counts in `_conn_lost`.
    counts_loss: bool,
    /// Whether an error that ends it is nothing unusual: it is shown in debug mode only.
    is_usual: fn(&PyErr, Python<'_>) -> bool,
}

/// A kind of transports.
trait TransportKind: Kind<Fields = TransportFields> {
    /// What [`life`] makes of the rest.
    const MANNER: &'static Manner = &life::Of::<Self>::MANNER;
    /// The method that asyncio watches the writer with.
    const WRITE_READY: &'static str = "_write_ready";
    /// Whether a queued loss counts in `_conn_lost`.
    const COUNTS_LOSS: bool = true;

    /// Watches the reader, once the protocol was told of the connection.
    fn start_reading(this: Transport<'_, '_>) -> PyResult<()> {
        this.start_reading()
    }

    /// The reader is roused.
    fn read(this: Transport<'_, '_>) -> PyResult<()>;

    /// The writer is roused.
    fn write(this: Transport<'_, '_>) -> PyResult<()>;

    /// `close()`.
    fn close(this: Transport<'_, '_>) -> PyResult<()> {
        this.close()
    }

    /// Whether an error that ends it is nothing unusual.
    fn is_usual(error: &PyErr, py: Python<'_>) -> bool {
        error.is_instance_of::<PyOSError>(py)
    }
}

/// A protocol of ours that takes bytes as they come: TLS. It stands below in the order of modules,
/// so it puts itself here.
pub(crate) struct Above {
    /// Whether a protocol is one, with nothing of it overridden.
    pub(crate) is: fn(&Bound<'_, PyAny>) -> PyResult<bool>,
    /// Hands bytes to it.
    pub(crate) receive: fn(&Bound<'_, PyAny>, &[u8]) -> PyResult<()>,
}

/// See [`Above`].
pub(crate) static ABOVE: GilCell<Option<&'static Above>> = GilCell::new(None);

/// How the protocol of a stream gets bytes without a call of its method. It stands below in the
/// order of modules, so it puts itself here when the first one is made.
#[derive(Clone, Copy)]
pub(crate) struct Fed {
    /// The address of its class; zero for none.
    pub(crate) class: usize,
    /// Hands bytes to an object of that class; nothing if that is patched.
    pub(crate) feed: for<'py> fn(&Bound<'py, PyAny>, &Bound<'py, PyBytes>) -> Option<PyResult<()>>,
}

/// See [`Fed`].
pub(crate) static FED: GilCell<Fed> = GilCell::new(Fed { class: 0, feed: |_, _| None });

/// Whether an object is of the class that is [fed](Fed).
#[inline]
pub(crate) fn is_fed(object: &Bound<'_, PyAny>) -> bool {
    object.get_type_ptr().addr() == FED.get(object.py()).class
}

/// `protocol.data_received(data)`.
#[inline(always)]
pub(crate) fn feed<'py>(protocol: &Bound<'py, PyAny>, data: &Bound<'py, PyBytes>) -> Outcome {
    let py = data.py();
    if is_fed(protocol)
        && let Some(fed) = (FED.get(py).feed)(protocol, data)
    {
        return Ok(fed?);
    }
    call::method1(protocol, intern!(py, "data_received"), data.as_any()).map(drop)
}

/// A transport of any kind.
#[derive(Clone, Copy)]
struct Transport<'a, 'py> {
    object: &'a Bound<'py, PyAny>,
    fields: &'a TransportFields,
    manner: &'static Manner,
}

impl<'a, 'py> Transport<'a, 'py> {
    #[inline]
    fn of<K: TransportKind>(this: &'a Bound<'py, K>) -> Self {
        Self { object: this.as_any(), fields: this.fields(), manner: K::MANNER }
    }

    fn py(self) -> Python<'py> {
        self.object.py()
    }

    /// The loop; none once the connection is lost.
    fn event_loop(self) -> Option<Bound<'py, PyAny>> {
        self.fields.event_loop.get(self.py())
    }

    fn protocol(self) -> Bound<'py, PyAny> {
        self.fields.protocol.get(self.py()).unwrap_or_else(|| none(self.py()))
    }

    /// Whether the loop is in debug mode.
    fn is_debugged(self) -> bool {
        self.event_loop().is_some_and(|event_loop| {
            EventLoop::of(&event_loop).is_some_and(|host| host.debug.get(self.py()))
        })
    }

    /// Logs "%r did something", in debug mode.
    fn log_debug(self, text: &str) -> PyResult<()> {
        if self.is_debugged() {
            let debug = names::LOGGER.get(self.py())?.getattr(intern!(self.py(), "debug"))?;
            debug.call1((text, self.object))?;
        }
        Ok(())
    }

    /// The context for what is about to be queued: a copy of the current one, unless the
    /// transport has one of its own.
    fn keep_context(self, of: &batonloop_cpython::slot::Slot) -> PyResult<()> {
        if !self.fields.has(HAS_OWN_CONTEXT) {
            of.set(context::copy_current(self.py())?);
        } else if of.is_empty()
            && let Some(context) = self.fields.context.get(self.py())
        {
            of.set(context);
        }
        Ok(())
    }

    /// `loop.call_soon(*arguments)`, in the context that is the transport's own, if it has one.
    fn call_soon(
        self,
        event_loop: &Bound<'py, PyAny>,
        arguments: impl PyCallArgs<'py>,
    ) -> PyResult<()> {
        let py = self.py();
        let call_soon = event_loop.getattr(intern!(py, "call_soon"))?;
        if !self.fields.has(HAS_OWN_CONTEXT) {
            return call_soon.call1(arguments).map(drop);
        }
        let keywords = PyDict::new(py);
        keywords.set_item("context", self.fields.context.get(py))?;
        call_soon.call(arguments, Some(&keywords)).map(drop)
    }

    // Watching.

    /// Watches the reader from now on, unless it is closing or paused.
    fn start_reading(self) -> PyResult<()> {
        let Some(event_loop) = self.event_loop() else {
            return Ok(());
        };
        if self.fields.has(CLOSING | PAUSED) {
            return Ok(());
        }
        self.watch(&event_loop, Side::Reader)
    }

    /// Watches the writer from now on.
    fn start_writing(self) -> PyResult<()> {
        self.begin_to_write()?.map_or(Ok(()), |displaced| displaced.cancel(self.py()))
    }

    /// The same, and who watched before is given back.
    fn begin_to_write(self) -> PyResult<Option<Displaced>> {
        let Some(event_loop) = self.event_loop() else {
            return Ok(None);
        };
        self.keep_context(&self.fields.write_context)?;
        self.begin_to_watch(&event_loop, Side::Writer)
    }

    fn watch(self, event_loop: &Bound<'py, PyAny>, side: Side) -> PyResult<()> {
        let displaced = self.begin_to_watch(event_loop, side)?;
        displaced.map_or(Ok(()), |displaced| displaced.cancel(self.py()))
    }

    #[inline]
    fn begin_to_watch(
        self,
        event_loop: &Bound<'py, PyAny>,
        side: Side,
    ) -> PyResult<Option<Displaced>> {
        let Some(host) = EventLoop::of(event_loop) else {
            return Ok(None);
        };
        let (verb, flag) = match side {
            Side::Reader => (self.manner.read, READING),
            Side::Writer => (self.manner.write, WRITING),
        };
        let entry = Entry { object: self.object.clone().unbind(), verb };
        let fd = self.fields.descriptor();
        let displaced = selector_events::watch(self.py(), host, fd, side, entry)?;
        self.fields.add(flag);
        Ok(Some(displaced))
    }

    fn stop_reading(self) {
        if self.fields.has(READING) {
            self.fields.remove(READING);
            self.unwatch(Side::Reader);
        }
    }

    fn stop_writing(self) {
        if self.fields.has(WRITING) {
            self.fields.remove(WRITING);
            self.unwatch(Side::Writer);
        }
    }

    fn unwatch(self, side: Side) {
        let Some(event_loop) = self.event_loop() else {
            return;
        };
        if let Some(host) = EventLoop::of(&event_loop) {
            // What was watched is the number, whatever has become of the file.
            selector_events::unwatch_for(host, self.fields.descriptor(), side, self.object);
        }
    }
}

/// Runs a verb's body in a context; what it raises is reported as a callback's that was asyncio's.
fn run_in<'py>(
    this: Transport<'_, 'py>,
    context: Option<Bound<'py, PyAny>>,
    method: &str,
    arguments: &[Bound<'py, PyAny>],
    body: impl FnOnce() -> PyResult<()>,
) -> Outcome {
    let Some(context) = context else {
        return Ok(());
    };
    let event_loop = this.event_loop();
    let Err(error) = context::enter(&context, |_| Ok(body()?)) else {
        return Ok(());
    };
    let (Some(event_loop), Ok(callback)) = (event_loop, this.object.getattr(method)) else {
        return Err(error);
    };
    report_callback(&event_loop, &callback, arguments, Some(context), *error)
}

/// Reports an exception that left a verb, as one of a handle that called the callback in `context`:
/// since 3.12 the exception handler is called in that.
#[cold]
fn report_callback<'py>(
    event_loop: &Bound<'py, PyAny>,
    callback: &Bound<'py, PyAny>,
    arguments: &[Bound<'py, PyAny>],
    context: Option<Bound<'py, PyAny>>,
    error: PyErr,
) -> Outcome {
    let plain = Callback::plain(event_loop, callback, arguments)?;
    let handle = events::new_handle(Callback { context, ..plain })?;
    events::report(&handle, error)
}

/// What debug mode calls a verb: the handle that asyncio would have.
fn describe<'py>(object: &Bound<'py, PyAny>, method: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let event_loop = object.getattr(intern!(py, "_loop"))?;
    let callback = object.getattr(method)?;
    let handle = events::new_handle(Callback::plain(&event_loop, &callback, &[])?)?;
    Ok(handle.as_any().str()?.into_any())
}

/// A transport that waits in the queue or the table leaves it by itself.
fn never_cancelled(_: &Bound<'_, PyAny>) -> bool {
    false
}

/// Refuses a second `__init__`: the first one's descriptor would be forgotten.
fn check_new(this: Transport<'_, '_>) -> PyResult<()> {
    if this.fields.has(MADE) {
        return Err(PyRuntimeError::new_err("a transport of batonloop is made once"));
    }
    this.fields.add(MADE);
    Ok(())
}

/// The loop that a transport is made for, as one of ours.
fn check_loop<'a>(event_loop: &'a Bound<'_, PyAny>) -> PyResult<&'a EventLoop> {
    EventLoop::of(event_loop).ok_or_else(|| {
        PyTypeError::new_err("a transport of batonloop works on a loop of batonloop only")
    })
}

/// Looks whether everything stands where our types expect it; before any of them is made.
///
/// ImportError if asyncio's classes are not as they were.
pub(crate) fn verify_layout(py: Python<'_>) -> PyResult<()> {
    let others = [&names::DATAGRAM_TRANSPORT, &names::READ_TRANSPORT, &names::WRITE_TRANSPORT];
    let [datagram, read, write] = others.map(|class| class.get(py));
    let mixin = names::FLOW_CONTROL_MIXIN.get(py)?;
    let base = names::BASE_TRANSPORT.get(py)?;
    if !verify::transports_are_as_laid_out(mixin, base, &[datagram?, read?, write?]) {
        return Err(PyImportError::new_err(
            "asyncio's transports of this Python have other slots than batonloop knows; \
             please report the Python version",
        ));
    }
    Ok(())
}
