//! What we know by name of Python's own library: asyncio's exceptions, helpers and hooks.

use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAny, PyAnyMethods, PyBool};
use pyo3::{Bound, Py, PyResult, Python};

/// `None`.
#[inline(always)]
pub(crate) fn none(py: Python<'_>) -> Bound<'_, PyAny> {
    py.None().into_bound(py)
}

/// `True` or `False`.
#[inline(always)]
pub(crate) fn boolean(py: Python<'_>, value: bool) -> Bound<'_, PyAny> {
    PyBool::new(py, value).to_owned().into_any()
}

/// An attribute of a module, imported when it is first asked for.
pub(crate) struct Imported {
    module: &'static str,
    name: &'static str,
    object: PyOnceLock<Py<PyAny>>,
}

impl Imported {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self { module, name, object: PyOnceLock::new() }
    }

    /// The object.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        self.object
            .get_or_try_init(py, || Ok(py.import(self.module)?.getattr(self.name)?.unbind()))
            .map(|object| object.bind(py))
    }
}

// Exceptions and reports, in asyncio's own words.
pub(crate) static CANCELLED_ERROR: Imported = Imported::new("asyncio.exceptions", "CancelledError");
pub(crate) static INVALID_STATE_ERROR: Imported =
    Imported::new("asyncio.exceptions", "InvalidStateError");
pub(crate) static FUTURE_REPR: Imported = Imported::new("asyncio.base_futures", "_future_repr");
pub(crate) static TASK_REPR: Imported = Imported::new("asyncio.base_tasks", "_task_repr");
pub(crate) static TASK_GET_STACK: Imported = Imported::new("asyncio.base_tasks", "_task_get_stack");
pub(crate) static TASK_PRINT_STACK: Imported =
    Imported::new("asyncio.base_tasks", "_task_print_stack");
pub(crate) static IS_COROUTINE: Imported = Imported::new("asyncio.coroutines", "iscoroutine");
#[cfg(not(Py_3_14))]
pub(crate) static IS_COROUTINE_FUNCTION: Imported =
    Imported::new("asyncio.coroutines", "iscoroutinefunction");
#[cfg(Py_3_14)]
pub(crate) static IS_COROUTINE_FUNCTION: Imported =
    Imported::new("asyncio.coroutines", "_iscoroutinefunction");
pub(crate) static EXTRACT_STACK: Imported =
    Imported::new("batonloop.format_helpers", "extract_stack");
pub(crate) static FORMAT_CALLBACK_SOURCE: Imported =
    Imported::new("asyncio.format_helpers", "_format_callback_source");
pub(crate) static GET_EVENT_LOOP: Imported = Imported::new("asyncio.events", "get_event_loop");
pub(crate) static GET_RUNNING_LOOP: Imported = Imported::new("_asyncio", "get_running_loop");
pub(crate) static SET_RUNNING_LOOP: Imported = Imported::new("_asyncio", "_set_running_loop");
pub(crate) static ENTER_TASK: Imported = Imported::new("_asyncio", "_enter_task");
pub(crate) static LEAVE_TASK: Imported = Imported::new("_asyncio", "_leave_task");
#[cfg(Py_3_12)]
pub(crate) static SWAP_CURRENT_TASK: Imported = Imported::new("_asyncio", "_swap_current_task");
#[cfg(Py_3_14)]
pub(crate) static REGISTER_TASK: Imported = Imported::new("_asyncio", "_register_task");
#[cfg(Py_3_14)]
pub(crate) static REGISTER_EAGER_TASK: Imported = Imported::new("_asyncio", "_register_eager_task");
#[cfg(Py_3_14)]
pub(crate) static UNREGISTER_EAGER_TASK: Imported =
    Imported::new("_asyncio", "_unregister_eager_task");
#[cfg(Py_3_14)]
pub(crate) static ADD_TO_AWAITED_BY: Imported =
    Imported::new("_asyncio", "future_add_to_awaited_by");
#[cfg(Py_3_14)]
pub(crate) static DISCARD_FROM_AWAITED_BY: Imported =
    Imported::new("_asyncio", "future_discard_from_awaited_by");
#[cfg(all(Py_3_12, not(Py_3_14)))]
pub(crate) static CURRENT_TASKS: Imported = Imported::new("_asyncio", "_current_tasks");
pub(crate) static BARRIER: Imported = Imported::new("batonloop.locks", "Barrier");
pub(crate) static BARRIER_STATE: Imported = Imported::new("asyncio.locks", "_BarrierState");
pub(crate) static BROKEN_BARRIER_ERROR: Imported =
    Imported::new("asyncio.exceptions", "BrokenBarrierError");
pub(crate) static ASYNCIO_CONDITION: Imported = Imported::new("asyncio.locks", "Condition");
pub(crate) static ASYNCIO_SEMAPHORE: Imported = Imported::new("asyncio.locks", "Semaphore");
pub(crate) static QUEUE_EMPTY: Imported = Imported::new("asyncio.queues", "QueueEmpty");
pub(crate) static QUEUE_FULL: Imported = Imported::new("asyncio.queues", "QueueFull");
#[cfg(Py_3_13)]
pub(crate) static QUEUE_SHUT_DOWN: Imported = Imported::new("asyncio.queues", "QueueShutDown");
pub(crate) static INCOMPLETE_READ_ERROR: Imported =
    Imported::new("asyncio.exceptions", "IncompleteReadError");
pub(crate) static LIMIT_OVERRUN_ERROR: Imported =
    Imported::new("asyncio.exceptions", "LimitOverrunError");
pub(crate) static LOGGER: Imported = Imported::new("asyncio.log", "logger");
pub(crate) static SELECTOR_EVENT_LOOP: Imported =
    Imported::new("asyncio.selector_events", "BaseSelectorEventLoop");
pub(crate) static OWN_SELECTOR_EVENT_LOOP: Imported =
    Imported::new("batonloop.selector_events", "BaseSelectorEventLoop");
pub(crate) static ASYNCIO_HANDLE: Imported = Imported::new("asyncio.events", "Handle");
pub(crate) static ASYNCIO_TIMER_HANDLE: Imported = Imported::new("asyncio.events", "TimerHandle");
#[cfg(Py_3_14)]
pub(crate) static THREAD_SAFE_HANDLE: Imported =
    Imported::new("batonloop.events", "_ThreadSafeHandle");
#[cfg(Py_3_14)]
pub(crate) static RLOCK: Imported = Imported::new("_thread", "RLock");
/// What native coroutines show in their place.
pub(crate) static STAND_IN: Imported = Imported::new("batonloop.format_helpers", "_stand_in");
pub(crate) static ASYNCIO_FUTURE: Imported = Imported::new("_asyncio", "Future");
pub(crate) static ASYNCIO_TASK: Imported = Imported::new("_asyncio", "Task");
pub(crate) static CURRENT_TASK: Imported = Imported::new("asyncio.tasks", "current_task");
#[cfg(Py_3_12)]
pub(crate) static EAGER_TASK_FACTORY: Imported =
    Imported::new("batonloop.tasks", "eager_task_factory");
/// An `async def` that awaits what it is given.
#[cfg(Py_3_12)]
pub(crate) static AWAITING: Imported = Imported::new("batonloop.tasks", "_awaiting");
/// asyncio's own, which is asked how the running Python treats what differs between versions.
pub(crate) static ASYNCIO_TIMEOUT: Imported = Imported::new("asyncio.timeouts", "Timeout");
/// asyncio's own, whose methods take over what is rare.
pub(crate) static ASYNCIO_TASK_GROUP: Imported = Imported::new("asyncio.taskgroups", "TaskGroup");
pub(crate) static TIMEOUT_STATE: Imported = Imported::new("asyncio.timeouts", "_State");
pub(crate) static ASYNCIO_CREATE_TASK: Imported = Imported::new("asyncio.tasks", "create_task");
pub(crate) static ASYNCIO_ENSURE_FUTURE: Imported = Imported::new("asyncio.tasks", "ensure_future");
pub(crate) static ASYNCIO_GATHER: Imported = Imported::new("asyncio.tasks", "gather");
pub(crate) static ASYNCIO_GATHERING_FUTURE: Imported =
    Imported::new("asyncio.tasks", "_GatheringFuture");
pub(crate) static RELEASE_WAITER: Imported = Imported::new("asyncio.tasks", "_release_waiter");
pub(crate) static WAIT_CALLBACK: Imported = Imported::new("batonloop.tasks", "_wait_callback");
pub(crate) static ASYNCIO_SHIELD: Imported = Imported::new("asyncio.tasks", "shield");
pub(crate) static SHIELD_CALLBACK: Imported = Imported::new("batonloop.tasks", "_shield_callback");
#[cfg(Py_3_14)]
pub(crate) static LOG_ON_EXCEPTION: Imported = Imported::new("asyncio.tasks", "_log_on_exception");
pub(crate) static CALLING: Imported = Imported::new("batonloop.futures", "_calling");
pub(crate) static GATHER_CALLBACK: Imported = Imported::new("batonloop.tasks", "_gather_callback");
#[cfg(Py_3_14)]
pub(crate) static OWN_DISCARD_AWAITED_BY: Imported =
    Imported::new("batonloop._batonloop", "_discard_awaited_by");
#[cfg(Py_3_14)]
pub(crate) static PARTIAL: Imported = Imported::new("functools", "partial");

// The modules in which asyncio looks up what a program may have put in the place of its own.
pub(crate) static ASYNCIO_EVENTS: Imported = Imported::new("asyncio", "events");
pub(crate) static ASYNCIO_FUTURES: Imported = Imported::new("asyncio", "futures");
pub(crate) static ASYNCIO_TASKS: Imported = Imported::new("asyncio", "tasks");

// The network: asyncio's abstract classes, which ours derive from, and its helpers.
pub(crate) static WARN: Imported = Imported::new("warnings", "warn");
pub(crate) static BASE_TRANSPORT: Imported = Imported::new("asyncio.transports", "BaseTransport");
pub(crate) static FLOW_CONTROL_MIXIN: Imported =
    Imported::new("asyncio.transports", "_FlowControlMixin");
pub(crate) static DATAGRAM_TRANSPORT: Imported =
    Imported::new("asyncio.transports", "DatagramTransport");
pub(crate) static READ_TRANSPORT: Imported = Imported::new("asyncio.transports", "ReadTransport");
pub(crate) static WRITE_TRANSPORT: Imported = Imported::new("asyncio.transports", "WriteTransport");
pub(crate) static BUFFERED_PROTOCOL: Imported =
    Imported::new("asyncio.protocols", "BufferedProtocol");
pub(crate) static ASYNCIO_STREAM_READER: Imported =
    Imported::new("asyncio.streams", "StreamReader");
pub(crate) static ASYNCIO_STREAM_READER_PROTOCOL: Imported =
    Imported::new("asyncio.streams", "StreamReaderProtocol");
pub(crate) static ASYNCIO_STREAM_WRITER: Imported =
    Imported::new("asyncio.streams", "StreamWriter");
pub(crate) static STREAM_READER_PROTOCOL: Imported =
    Imported::new("batonloop.streams", "StreamReaderProtocol");
pub(crate) static SERVING_CALLBACK: Imported =
    Imported::new("batonloop.streams", "_serving_callback");
pub(crate) static FEED_BUFFERED_PROTOCOL: Imported =
    Imported::new("asyncio.protocols", "_feed_data_to_buffered_proto");
pub(crate) static TRANSPORT_SOCKET: Imported = Imported::new("asyncio.trsock", "TransportSocket");
pub(crate) static SENDFILE_MODE: Imported = Imported::new("asyncio.constants", "_SendfileMode");
pub(crate) static SET_NODELAY: Imported = Imported::new("asyncio.base_events", "_set_nodelay");
#[cfg(Py_3_13)]
pub(crate) static SERVER: Imported = Imported::new("asyncio.base_events", "Server");
pub(crate) static SET_RESULT_UNLESS_CANCELLED: Imported =
    Imported::new("asyncio.futures", "_set_result_unless_cancelled");
pub(crate) static TIMEOUT_ERROR: Imported = Imported::new("asyncio.exceptions", "TimeoutError");
/// asyncio's own, which is asked how the running Python treats what differs between versions.
pub(crate) static ASYNCIO_SSL_PROTOCOL: Imported = Imported::new("asyncio.sslproto", "SSLProtocol");
pub(crate) static SSL_PROTOCOL: Imported = Imported::new("batonloop.sslproto", "SSLProtocol");
pub(crate) static SSL_TRANSPORT: Imported =
    Imported::new("batonloop.sslproto", "_SSLProtocolTransport");
pub(crate) static SSL_PROTOCOL_STATE: Imported =
    Imported::new("asyncio.sslproto", "SSLProtocolState");
pub(crate) static APP_PROTOCOL_STATE: Imported =
    Imported::new("asyncio.sslproto", "AppProtocolState");
pub(crate) static CREATE_TRANSPORT_CONTEXT: Imported =
    Imported::new("asyncio.sslproto", "_create_transport_context");
pub(crate) static FLOW_CONTROL_DEFAULTS: Imported =
    Imported::new("asyncio.sslproto", "add_flowcontrol_defaults");
// Python's OpenSSL, by the classes that the methods of TLS belong to.
pub(crate) static SSL_OBJECT: Imported = Imported::new("ssl", "SSLObject");
pub(crate) static SSL_MEMORY_BIO: Imported = Imported::new("ssl", "MemoryBIO");
pub(crate) static SSL_ERROR: Imported = Imported::new("ssl", "SSLError");
pub(crate) static SSL_WANT_READ_ERROR: Imported = Imported::new("ssl", "SSLWantReadError");
pub(crate) static SSL_SYSCALL_ERROR: Imported = Imported::new("ssl", "SSLSyscallError");
pub(crate) static SSL_CERTIFICATE_ERROR: Imported = Imported::new("ssl", "CertificateError");

/// How Python spells an address of IPv6, which may be otherwise than Rust does.
pub(crate) static INET_NTOP: Imported = Imported::new("socket", "inet_ntop");
pub(crate) static AF_INET6: Imported = Imported::new("socket", "AF_INET6");
/// Where datagrams wait: taken from the left at the price of one.
pub(crate) static DEQUE: Imported = Imported::new("collections", "deque");

pub(crate) static EXCEPTION_GROUP: Imported = Imported::new("builtins", "ExceptionGroup");
pub(crate) static ROUND: Imported = Imported::new("builtins", "round");
pub(crate) static STATIC_METHOD: Imported = Imported::new("builtins", "staticmethod");

static BASE_EVENT_LOOP: Imported = Imported::new("asyncio.base_events", "BaseEventLoop");

/// Whether `loop.create_task()` of this Python passes all its keywords to a task factory; so since
/// 3.13.3.
pub(crate) fn passes_keywords_to_factories(py: Python<'_>) -> PyResult<bool> {
    /// `inspect.CO_VARKEYWORDS`.
    const TAKES_KEYWORDS: u32 = 8;
    static ANSWER: PyOnceLock<bool> = PyOnceLock::new();
    ANSWER
        .get_or_try_init(py, || {
            let code = BASE_EVENT_LOOP.get(py)?.getattr("create_task")?.getattr("__code__")?;
            Ok(code.getattr("co_flags")?.extract::<u32>()? & TAKES_KEYWORDS != 0)
        })
        .copied()
}

/// Whether `gather()` of this Python unlinks its caller from the children when it is over, and not
/// only each child that is done; so in newer ones of 3.14.
#[cfg(Py_3_14)]
pub(crate) fn has_discard_awaited_by(py: Python<'_>) -> PyResult<bool> {
    static ANSWER: PyOnceLock<bool> = PyOnceLock::new();
    ANSWER
        .get_or_try_init(py, || py.import("asyncio.tasks")?.hasattr("_discard_awaited_by"))
        .copied()
}

/// Whether `shield()` of this Python unlinks its caller from the inner future when the outer one is
/// done first; so in newer ones of 3.14.
#[cfg(Py_3_14)]
pub(crate) fn outer_of_shield_unlinks(py: Python<'_>) -> PyResult<bool> {
    static ANSWER: PyOnceLock<bool> = PyOnceLock::new();
    ANSWER
        .get_or_try_init(py, || {
            let code = ASYNCIO_SHIELD.get(py)?.getattr("__code__")?;
            for constant in code.getattr("co_consts")?.try_iter()? {
                let constant = constant?;
                let name = constant.getattr_opt("co_name")?;
                if name.is_some_and(|name| name.eq("_outer_done_callback").unwrap_or(false)) {
                    let unlinks = "future_discard_from_awaited_by";
                    return constant.getattr("co_names")?.contains(unlinks);
                }
            }
            Ok(false)
        })
        .copied()
}

/// Imports what is needed when something dies: at the end of the interpreter nothing can be
/// imported any more.
pub(crate) fn import_all(py: Python<'_>) -> PyResult<()> {
    for imported in [
        &CANCELLED_ERROR,
        &INVALID_STATE_ERROR,
        &FUTURE_REPR,
        &TASK_REPR,
        &FORMAT_CALLBACK_SOURCE,
        &EXTRACT_STACK,
        &IS_COROUTINE,
        &LOGGER,
        &WARN,
        &ASYNCIO_SSL_PROTOCOL,
        &ASYNCIO_CONDITION,
        &ASYNCIO_SEMAPHORE,
    ] {
        imported.get(py)?;
    }
    Ok(())
}
