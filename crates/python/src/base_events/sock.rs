//! `sock_recv()` and its kin: coroutines that try a call of a socket, and wait where it would.
//!
//! ```text
//!             1 begin              2 the call would wait
//!   created ──────────▶ running ──────────────────────────▶ waiting ──┐
//!                        │  │ ▲     (the loop watches the             │ 3 resume, throw
//!            resolving ◀─┘  │ │      descriptor with READY)           ▼
//!            (connect)      │ └──────────────────────────────── running ──▶ closed
//!                           ▼
//!                          left: a coroutine of asyncio's does it all
//! ```
//!
//! What is awaited is a future of ours, which the verb [`READY`] settles when the call has gone
//! through; so the waiting task wakes in asyncio's place and order. The descriptor is watched under
//! its number as long as the call waits and no longer, and nothing is called once the future is
//! done: a cancelled call takes no byte with it.
//!
//! Whatever is not plain is left to asyncio's own function: a loop in debug mode or with methods
//! of its own, a socket that is no `socket.socket` or may block, a call with keywords.

use batonloop_cpython::kind::{self, Fields, Future, SocketCall};
use batonloop_cpython::method::{Args, Iteration};
use batonloop_cpython::socket::{self, Socket};
use batonloop_cpython::{Outcome, context, coroutine};
use batonloop_sys::socket::{INET, INET6};
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyTuple};
use pyo3::{Bound, PyErr, PyResult, Python, intern};

use super::PyLoop;
use crate::coroutines;
use crate::events::{self, Callback};
use crate::exceptions;
use crate::futures;
use crate::host::{Entry, EventLoop, Verb};
use crate::interrupted::unless_python_waits;
use crate::names::{self, none};
use crate::selector_events::{self, Side};

mod attempt;
mod class;

pub(crate) use class::make_type;
pub(super) use class::methods;

// How far it has come. Zero is the state of fresh memory.
const CREATED: u8 = 0;
const RUNNING: u8 = 1;
const WAITING: u8 = 2;
const RESOLVING: u8 = 3;
const LEFT: u8 = 4;
const CLOSED: u8 = 5;

type PyCall<'py> = Bound<'py, SocketCall>;

/// Which of the methods a call is of.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Operation {
    Recv,
    RecvInto,
    Recvfrom,
    RecvfromInto,
    Sendall,
    Sendto,
    Connect,
    Accept,
}

const OPERATIONS: [Operation; 8] = [
    Operation::Recv,
    Operation::RecvInto,
    Operation::Recvfrom,
    Operation::RecvfromInto,
    Operation::Sendall,
    Operation::Sendto,
    Operation::Connect,
    Operation::Accept,
];

impl Operation {
    fn of(call: &PyCall<'_>) -> Self {
        OPERATIONS[usize::from(call.fields().operation.get()) % OPERATIONS.len()]
    }

    /// What asyncio calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Recv => "sock_recv",
            Self::RecvInto => "sock_recv_into",
            Self::Recvfrom => "sock_recvfrom",
            Self::RecvfromInto => "sock_recvfrom_into",
            Self::Sendall => "sock_sendall",
            Self::Sendto => "sock_sendto",
            Self::Connect => "sock_connect",
            Self::Accept => "sock_accept",
        }
    }

    /// What is waited for.
    fn side(self) -> Side {
        match self {
            Self::Sendall | Self::Sendto | Self::Connect => Side::Writer,
            _ => Side::Reader,
        }
    }

    /// Whether Python code may run when it is tried again: a buffer's, an encoding's, an audit
    /// hook's. It then does so in the context of the caller.
    fn runs_python(self) -> bool {
        !matches!(self, Self::Recv | Self::Sendall | Self::Connect)
    }

    /// Whether this is a plain call: the right number of arguments, and data of a kind whose length
    /// is its number of bytes.
    fn is_plain(self, arguments: &[Bound<'_, PyAny>]) -> bool {
        match (self, arguments) {
            (Self::Sendall, [_, data]) => attempt::is_plain_data(data),
            (Self::Sendto, [_, _, _]) | (Self::Accept, [_]) => true,
            (Self::RecvfromInto, [_, _] | [_, _, _]) => true,
            (Self::Sendto | Self::Accept | Self::RecvfromInto, _) => false,
            (_, arguments) => arguments.len() == 2,
        }
    }
}

/// What a step came to.
enum Step<'py> {
    /// It yields this, and is in this stage from now on.
    Wait(Bound<'py, PyAny>, u8),
    /// It returns.
    Done(Bound<'py, PyAny>),
}

// ---------------------------------------------------------------------------------------------
// Made
// ---------------------------------------------------------------------------------------------

/// One of the methods was called: nothing happens yet.
#[inline]
fn new<'py>(
    this: &PyLoop<'py>,
    args: Args<'_, 'py>,
    operation: Operation,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = args.positional();
    let [socket, more @ ..] = arguments else {
        return leave_at_once(this, args, operation);
    };
    let is_plain = !args.has_keywords()
        && operation.is_plain(arguments)
        && may_wait_here(this.get(), this.py())
        && socket::cast_genuine(socket).is_some_and(Socket::is_non_blocking);
    if !is_plain {
        return leave_at_once(this, args, operation);
    }
    let call = kind::allocate::<SocketCall>(this.py())?;
    let fields = call.fields();
    fields.operation.set(operation as u8);
    fields.event_loop.fill(this.as_any().clone());
    fields.socket.fill(socket.clone());
    for (slot, argument) in [&fields.argument, &fields.extra].into_iter().zip(more) {
        slot.fill(argument.clone());
    }
    Ok(call.into_any())
}

/// Whether calls of sockets may wait without going through the loop's methods.
fn may_wait_here(host: &EventLoop, py: Python<'_>) -> bool {
    host.is_direct.get(py) && host.has_own_watching.get(py)
}

/// asyncio's own coroutine, or what its function says to the arguments.
#[cold]
fn leave_at_once<'py>(
    this: &PyLoop<'py>,
    args: Args<'_, 'py>,
    operation: Operation,
) -> PyResult<Bound<'py, PyAny>> {
    let keywords = args.keyword_dict(this.py())?;
    asyncio_coroutine(this.as_any(), args.positional(), Some(&keywords), operation)
}

fn asyncio_coroutine<'py>(
    event_loop: &Bound<'py, PyAny>,
    arguments: &[Bound<'py, PyAny>],
    keywords: Option<&Bound<'py, PyDict>>,
    operation: Operation,
) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let function = names::SELECTOR_EVENT_LOOP.get(py)?.getattr(operation.name())?;
    let mut all = vec![event_loop.clone()];
    all.extend_from_slice(arguments);
    function.call(PyTuple::new(py, all)?, keywords)
}

// ---------------------------------------------------------------------------------------------
// Driven
// ---------------------------------------------------------------------------------------------

/// One step, which an exception may begin.
#[inline]
fn step<'py>(call: &PyCall<'py>, thrown: Option<PyErr>) -> PyResult<Iteration<'py>> {
    let fields = call.fields();
    let stage = fields.stage();
    match stage {
        RUNNING => return Err(coroutines::already_executing()),
        CLOSED => return Err(coroutines::reused()),
        _ => fields.set_stage(RUNNING),
    }
    let stepped = match (stage, thrown) {
        (CREATED, None) => begin(call),
        (WAITING, None) => resume(call),
        (CREATED | WAITING, Some(error)) => Err(error),
        (stage, thrown) => go_on_inside(call, stage, thrown),
    };
    if let Ok(Step::Wait(awaited, stage)) = stepped {
        fields.set_stage(stage);
        return Ok(Iteration::Yield(awaited));
    }
    finish(call);
    match stepped? {
        Step::Done(value) if value.is_none() => Ok(Iteration::End),
        Step::Done(value) | Step::Wait(value, _) => Ok(Iteration::Return(value)),
    }
}

fn iterate<'py>(call: &PyCall<'py>) -> PyResult<Iteration<'py>> {
    step(call, None)
}

/// The first step.
fn begin<'py>(call: &PyCall<'py>) -> PyResult<Step<'py>> {
    let py = call.py();
    let fields = call.fields();
    let (Some(event_loop), Some(object)) = (fields.event_loop.get(py), fields.socket.get(py))
    else {
        return Err(coroutines::reused());
    };
    let host = EventLoop::of(&event_loop).filter(|host| may_wait_here(host, py));
    let socket = socket::cast_genuine(&object).filter(|socket| socket.is_non_blocking());
    // Much may have changed since it was made.
    let (Some(host), Some(socket)) = (host, socket) else {
        return leave(call, &event_loop, &object);
    };
    if Operation::of(call) == Operation::Connect && is_of_internet(socket) {
        return resolve(call, &event_loop, socket);
    }
    try_now(call, &event_loop, host, socket)
}

fn is_of_internet(socket: Socket<'_, '_>) -> bool {
    matches!(socket.family(), [INET | INET6, ..])
}

/// Tries the call, and begins to wait if it would.
#[inline]
fn try_now<'py>(
    call: &PyCall<'py>,
    event_loop: &Bound<'py, PyAny>,
    host: &EventLoop,
    socket: Socket<'_, 'py>,
) -> PyResult<Step<'py>> {
    if let Some(value) = tried(call.py(), attempt::first(call, socket))? {
        return Ok(Step::Done(value));
    }
    wait(call, event_loop, host, socket)
}

/// What an attempt gave; nothing if it would wait, be it that Python's socket says so.
#[inline]
fn tried<'py>(
    py: Python<'py>,
    attempted: PyResult<Option<Bound<'py, PyAny>>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    unless_python_waits(py, attempted).map(Option::flatten)
}

/// Lets the loop watch the descriptor, and yields the future that will be settled.
fn wait<'py>(
    call: &PyCall<'py>,
    event_loop: &Bound<'py, PyAny>,
    host: &EventLoop,
    socket: Socket<'_, 'py>,
) -> PyResult<Step<'py>> {
    let py = call.py();
    let fields = call.fields();
    let operation = Operation::of(call);
    let fd = socket.descriptor();
    ensure_no_transport(event_loop, fd)?;
    if fd < 0 {
        return Err(PyValueError::new_err(format!("Invalid file descriptor: {fd}")));
    }
    attempt::keep_for_later(call)?;
    if operation.runs_python() {
        fields.context.set(context::copy_current(py)?);
    }
    let future = futures::new(event_loop.clone())?;
    let entry = Entry { object: call.as_any().clone().unbind(), verb: &READY };
    let displaced = selector_events::watch_once(py, host, fd, operation.side(), entry)?;
    fields.fd.set(fd);
    fields.is_watching.set(true);
    fields.future.set(future.as_any().clone());
    displaced.cancel(py)?;
    match futures::iterate(&future)? {
        Iteration::Yield(awaited) => Ok(Step::Wait(awaited, WAITING)),
        _ => Ok(Step::Done(none(py))),
    }
}

/// RuntimeError if a transport uses the descriptor.
fn ensure_no_transport(event_loop: &Bound<'_, PyAny>, fd: i32) -> PyResult<()> {
    let py = event_loop.py();
    if kind::owners::of(py, fd).is_none() {
        return Ok(());
    }
    event_loop.call_method1(intern!(py, "_ensure_fd_no_transport"), (fd,)).map(drop)
}

/// What is waited for is over, or another step was made too early.
#[inline]
fn resume<'py>(call: &PyCall<'py>) -> PyResult<Step<'py>> {
    let py = call.py();
    let awaited = call.fields().future.get(py);
    let future = awaited.as_ref().and_then(kind::cast_exact_future);
    let future = future.ok_or_else(coroutines::reused)?;
    Ok(match futures::iterate(future)? {
        Iteration::Yield(awaited) => Step::Wait(awaited, WAITING),
        Iteration::Return(value) => Step::Done(value),
        Iteration::End => Step::Done(none(py)),
    })
}

/// It is over: nothing is watched any more, and all is let go.
#[inline]
fn finish(call: &PyCall<'_>) {
    let fields = call.fields();
    fields.set_stage(CLOSED);
    stop_watching(call);
    fields.each_slot(&mut |slot| slot.clear(call.py()));
}

/// Stops to watch, if it does still.
#[inline]
fn stop_watching(call: &PyCall<'_>) {
    let py = call.py();
    let fields = call.fields();
    if !fields.is_watching.replace(false) {
        return;
    }
    let Some(event_loop) = fields.event_loop.get(py) else {
        return;
    };
    if let Some(host) = EventLoop::of(&event_loop) {
        let (fd, side) = (fields.fd.get(), Operation::of(call).side());
        selector_events::unwatch_for(host, fd, side, call.as_any());
    }
}

/// The same after the descriptor was roused.
#[inline]
fn stop_watching_roused(call: &PyCall<'_>, host: &EventLoop) {
    let py = call.py();
    let fields = call.fields();
    fields.is_watching.set(false);
    if is_watched(call, host)
        && let Some(entry) =
            selector_events::unwatch_roused(py, host, fields.fd.get(), Operation::of(call).side())
    {
        entry.object.drop_ref(py);
    }
}

// ---------------------------------------------------------------------------------------------
// Ready
// ---------------------------------------------------------------------------------------------

/// A call that waits may go through now.
static READY: Verb = Verb {
    name: "sock",
    run: |object, host| run(&object, host),
    // A call whose future is done leaves the table by itself.
    is_cancelled: |_| false,
    describe: |object| Ok(object.repr()?.into_any()),
};

/// The future that is waited for, if it is still to be settled.
fn awaited<'py>(call: &PyCall<'py>) -> Option<Bound<'py, Future>> {
    let object = call.fields().future.get(call.py())?;
    let future = kind::cast_exact_future(&object)?;
    (!futures::stage(future.fields()).is_done()).then(|| future.clone())
}

fn run(object: &Bound<'_, PyAny>, host: &EventLoop) -> Outcome {
    let py = object.py();
    let call = kind::cast_exact::<SocketCall>(object);
    let call = call.ok_or_else(|| exceptions::stranger(object))?;
    // It may have left the table after the event was heard.
    if !is_watched(call, host) {
        return Ok(());
    }
    if awaited(call).is_none() {
        stop_watching_roused(call, host);
        return Ok(());
    }
    let settled = match tried(py, try_again(call)) {
        Err(error) if exceptions::is_exit(&error, py) => {
            watch_on(call, host);
            return Err(error.into());
        }
        Ok(None) => {
            watch_on(call, host);
            return Ok(());
        }
        Ok(Some(value)) => {
            stop_watching_roused(call, host);
            awaited(call).map_or(Ok(()), |future| futures::finish_in(host, &future, value))
        }
        Err(error) => {
            stop_watching_roused(call, host);
            let exception = coroutine::exception_of(error, py);
            awaited(call).map_or(Ok(()), |future| Ok(futures::fail(&future, &exception)?))
        }
    };
    settled.or_else(|error| report(call, *error))
}

#[inline]
fn is_watched(call: &PyCall<'_>, host: &EventLoop) -> bool {
    let (fd, side) = (call.fields().fd.get(), Operation::of(call).side());
    selector_events::is_watched_for(host, fd, side, call.as_any())
}

/// Waits on: the descriptor was roused in vain.
#[cold]
fn watch_on(call: &PyCall<'_>, host: &EventLoop) {
    if is_watched(call, host) {
        let (fd, side) = (call.fields().fd.get(), Operation::of(call).side());
        selector_events::watch_on(call.py(), host, fd, side);
    }
}

/// The future would not take what came: a `StopIteration`, or the loop is closed.
#[cold]
fn report(call: &PyCall<'_>, error: PyErr) -> Outcome {
    let py = call.py();
    let Some(event_loop) = call.fields().event_loop.get(py) else {
        return Err(error.into());
    };
    let callback = call.as_any().getattr(intern!(py, "send"))?;
    let plain = Callback::plain(&event_loop, &callback, &[])?;
    let handle = events::new_handle(Callback { context: call.fields().context.get(py), ..plain })?;
    events::report(&handle, error)
}

/// Tries the call again, in the context of the caller where that can matter.
fn try_again<'py>(call: &PyCall<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = call.py();
    let Some(object) = call.fields().socket.get(py) else {
        return Ok(None);
    };
    let Some(context) = call.fields().context.get(py) else {
        return attempt::again(call, &object);
    };
    let mut attempted = Ok(None);
    let entered = context::enter(&context, |_| {
        attempted = attempt::again(call, &object);
        Ok(())
    });
    entered.map_err(|error| *error)?;
    attempted
}

// ---------------------------------------------------------------------------------------------
// Left to others
// ---------------------------------------------------------------------------------------------

/// Lets asyncio's own coroutine do it all.
#[cold]
fn leave<'py>(
    call: &PyCall<'py>,
    event_loop: &Bound<'py, PyAny>,
    socket: &Bound<'py, PyAny>,
) -> PyResult<Step<'py>> {
    let py = call.py();
    let fields = call.fields();
    let mut arguments = vec![socket.clone()];
    arguments.extend(fields.argument.get(py));
    arguments.extend(fields.extra.get(py));
    let inner = asyncio_coroutine(event_loop, &arguments, None, Operation::of(call))?;
    fields.inner.set(inner);
    go_on_inside(call, LEFT, None)
}

/// Lets the loop find out the address to connect to.
fn resolve<'py>(
    call: &PyCall<'py>,
    event_loop: &Bound<'py, PyAny>,
    socket: Socket<'_, 'py>,
) -> PyResult<Step<'py>> {
    let py = call.py();
    let keywords = PyDict::new(py);
    for (keyword, attribute) in [
        (intern!(py, "family"), intern!(py, "family")),
        (intern!(py, "type"), intern!(py, "type")),
        (intern!(py, "proto"), intern!(py, "proto")),
    ] {
        keywords.set_item(keyword, socket.object().getattr(attribute)?)?;
    }
    keywords.set_item(intern!(py, "loop"), event_loop)?;
    let address = call.fields().argument.get(py);
    let inner =
        event_loop.call_method(intern!(py, "_ensure_resolved"), (address,), Some(&keywords))?;
    call.fields().inner.set(inner);
    go_on_inside(call, RESOLVING, None)
}

/// One step of the coroutine inside.
fn go_on_inside<'py>(call: &PyCall<'py>, stage: u8, thrown: Option<PyErr>) -> PyResult<Step<'py>> {
    let py = call.py();
    let inner = call.fields().inner.get(py).ok_or_else(coroutines::reused)?;
    let sent = match thrown {
        None => coroutine::send(&inner),
        Some(error) => coroutine::throw(&inner, &coroutine::exception_of(error, py)),
    };
    match sent.map_err(|error| *error)? {
        coroutine::Sent::Yielded(awaited) => Ok(Step::Wait(awaited, stage)),
        coroutine::Sent::Returned(value) if stage == LEFT => Ok(Step::Done(value)),
        coroutine::Sent::Returned(found) => connect(call, &found.get_item(0)?.get_item(4)?),
    }
}

/// Connects to the address that was found.
fn connect<'py>(call: &PyCall<'py>, address: &Bound<'py, PyAny>) -> PyResult<Step<'py>> {
    let py = call.py();
    let fields = call.fields();
    fields.inner.clear(py);
    fields.argument.set(address.clone());
    let (Some(event_loop), Some(object)) = (fields.event_loop.get(py), fields.socket.get(py))
    else {
        return Err(coroutines::reused());
    };
    match (EventLoop::of(&event_loop), socket::cast_genuine(&object)) {
        (Some(host), Some(socket)) => try_now(call, &event_loop, host, socket),
        _ => leave(call, &event_loop, &object),
    }
}
