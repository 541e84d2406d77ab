//! The Python host: the extension module `batonloop._batonloop`.
//!
//! The modules stand from the ground up; each imports only from those above it. [`names`] and
//! [`exceptions`] are asyncio's own objects; [`host`] is what a loop queues, [`running`] which loop
//! runs; [`events`], [`futures`], [`tasks`] and [`base_events`] carry the names of asyncio's files
//! and hold what those hold.

#![forbid(unsafe_code)]

mod names;
mod exceptions;
mod interrupted;
mod parameters;
mod host;
mod running;
mod events;
mod futures;
mod tasks;
mod coroutines;
mod mixins;
mod sleep;
mod gather;
mod wait;
mod shield;
mod locks;
mod queues;
mod timeouts;
mod taskgroups;
#[cfg(Py_3_12)]
mod wait_for;
mod selector_events;
mod transports;
mod sslproto;
mod streams;
mod base_events;
mod functions;

use std::sync::atomic::{AtomicBool, Ordering};

use batonloop_cpython::verify;
#[cfg(not(Py_3_14))]
use pyo3::PyAny;
use pyo3::exceptions::PyImportError;
use pyo3::types::{PyAnyMethods, PyModule, PyModuleMethods, PyType, PyTypeMethods};
use pyo3::{Bound, PyResult, Python, pyfunction, pymodule, wrap_pyfunction};

/// The environment variable that forces the fallbacks: `own` for types on `object`.
const LAYOUT_VARIABLE: &str = "BATONLOOP_LAYOUT";

/// The environment variable that forces the fallback for TLS: `methods` of `ssl.SSLObject`, even
/// where the layout of its objects is known.
const SSL_VARIABLE: &str = "BATONLOOP_SSL";

#[pymodule(gil_used = true)]
mod _batonloop {
    use pyo3::types::PyModule;
    use pyo3::{Bound, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::fill(module)
    }
}

fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    ensure_first_import(py)?;
    // First of all: imported before asyncio, `_asyncio` imports it half way through and leaves it
    // with its pure Python functions.
    py.import("asyncio")?;
    names::import_all(py)?;
    let wanted = is_shared_layout_wanted(py)?;
    if wanted {
        batonloop_cpython::bytes::prove_layout(py)?;
        batonloop_cpython::socket::prove_layout(py)?;
        #[cfg(not(Py_3_14))]
        batonloop_cpython::collector::prove_layout(py)?;
    }
    let shared = wanted && {
        let future = names::ASYNCIO_FUTURE.get(py)?;
        verify::futures_are_as_laid_out(future, names::ASYNCIO_TASK.get(py)?)
    };
    if !shared {
        tasks::known::avoid_shortcuts(py);
    }
    let [handle, timer] = events::make_types(py)?;
    let (future, task) = make_future_types(py, shared)?;
    let gathering = gather::make_type(&future)?;
    let sleep = sleep::make_type(py)?;
    allow_direct_ssl(py)?;
    let ssl_transport = sslproto::make_transport_type(py)?;
    let ssl_protocol = py.get_type::<sslproto::SSLProtocol>();
    sslproto::add_hot_methods(&ssl_protocol)?;
    sslproto::announce(py);
    let event_loop = py.get_type::<host::EventLoop>();
    base_events::add_hot_methods(&event_loop)?;
    module.add("Handle", handle)?;
    module.add("TimerHandle", timer)?;
    module.add("Future", future)?;
    module.add("Task", task)?;
    module.add("_GatheringFuture", gathering)?;
    module.add("EventLoop", event_loop)?;
    module.add("_Sleep", sleep)?;
    module.add("_coroutine", coroutines::make_type(py)?)?;
    add_classes_on_the_loop(module)?;
    module.add("_SocketCall", base_events::sock::make_type(py)?)?;
    module.add_class::<transports::accept::Listener>()?;
    #[cfg(Py_3_13)]
    module.add_class::<transports::clients::Clients>()?;
    transports::verify_layout(py)?;
    module.add("_SelectorSocketTransport", transports::socket::make_type(py)?)?;
    module.add("_SelectorDatagramTransport", transports::datagram::make_type(py)?)?;
    module.add("_UnixReadPipeTransport", transports::read_pipe::make_type(py)?)?;
    module.add("_UnixWritePipeTransport", transports::write_pipe::make_type(py)?)?;
    module.add("SSLProtocol", ssl_protocol)?;
    module.add("_SSLProtocolTransport", ssl_transport)?;
    module.add("LAYOUT", if shared { "shared" } else { "own" })?;
    module.add("SELECTOR", "epoll")?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    #[cfg(not(Py_3_14))]
    module.add_function(wrap_pyfunction!(pending_tasks, module)?)?;
    #[cfg(not(Py_3_14))]
    module.add_function(wrap_pyfunction!(forget_task, module)?)?;
    module.add_function(wrap_pyfunction!(with_hot_methods, module)?)?;
    module.add_function(wrap_pyfunction!(ssl_way, module)?)?;
    module.add_function(wrap_pyfunction!(set_ssl_way, module)?)?;
    functions::add(module)
}

/// What stands on loop, tasks and transports: the classes and functions that people touch all day.
fn add_classes_on_the_loop(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("Queue", queues::make_type(py)?)?;
    locks::add(module)?;
    module.add("Timeout", timeouts::make_type(py)?)?;
    module.add("StreamReader", streams::make_reader_type(py)?)?;
    module.add("StreamReaderProtocol", streams::make_protocol_type(py)?)?;
    module.add("StreamWriter", streams::make_writer_type(py)?)?;
    streams::add_serving(module)?;
    module.add("TaskGroup", taskgroups::make_type(py)?)?;
    gather::add(module)?;
    wait::add(module)?;
    shield::add(module)?;
    timeouts::add(module)
}

/// How TLS connections that are made now reach OpenSSL after their handshake: "direct", or by the
/// "methods" of ssl.SSLObject.
#[pyfunction(name = "_ssl_way")]
fn ssl_way(py: Python<'_>) -> &'static str {
    sslproto::way(py)
}

/// Let TLS connections that are made from now on reach OpenSSL by the "methods" of ssl.SSLObject,
/// or again the "direct" way where the layout is proven. For tests.
#[pyfunction(name = "_set_ssl_way")]
fn set_ssl_way(py: Python<'_>, way: &str) -> PyResult<()> {
    match way {
        "direct" => sslproto::allow_direct(py, true),
        "methods" => sslproto::allow_direct(py, false),
        other => {
            let message = format!("way must be 'direct' or 'methods', not {other:?}");
            return Err(pyo3::exceptions::PyValueError::new_err(message));
        }
    }
    Ok(())
}

/// What the environment says about how TLS reaches OpenSSL.
fn allow_direct_ssl(py: Python<'_>) -> PyResult<()> {
    let wanted = py
        .import("os")?
        .getattr("environ")?
        .call_method1("get", (SSL_VARIABLE, "direct"))?
        .extract::<String>()?;
    match wanted.as_str() {
        "direct" | "" => sslproto::allow_direct(py, true),
        "methods" => sslproto::allow_direct(py, false),
        other => {
            return Err(PyImportError::new_err(format!(
                "{SSL_VARIABLE} is {other:?}; set it to 'direct', to 'methods', or not at all"
            )));
        }
    }
    Ok(())
}

/// The types stand in static memory, so one interpreter of a process can have them, once.
fn ensure_first_import(py: Python<'_>) -> PyResult<()> {
    static IS_IMPORTED: AtomicBool = AtomicBool::new(false);
    let reason = if !batonloop_cpython::thread::is_main_interpreter(py) {
        "it works in the main interpreter only, and this is a subinterpreter"
    } else if IS_IMPORTED.swap(true, Ordering::Relaxed) {
        "it is loaded already, and stays so: keep 'batonloop._batonloop' in sys.modules"
    } else {
        return Ok(());
    };
    Err(PyImportError::new_err(format!("cannot load batonloop._batonloop: {reason}")))
}

/// All tasks of ours that are not finished, of every loop, as a list.
#[cfg(not(Py_3_14))]
#[pyfunction(name = "_pending_tasks")]
fn pending_tasks(py: Python<'_>) -> Vec<Bound<'_, PyAny>> {
    tasks::known::pending_tasks(py)
}

/// Let all_tasks() no longer find a task of ours; nothing happens to any other object.
#[cfg(not(Py_3_14))]
#[pyfunction(name = "_forget_task")]
fn forget_task(task: &Bound<'_, PyAny>) {
    tasks::known::forget_object(task);
}

/// Put the hot methods on a class that derives from EventLoop, for its own instances: a method
/// that is inherited is looked up by walking the bases on every call. Returns the class.
#[pyfunction(name = "_with_hot_methods")]
fn with_hot_methods<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyType>> {
    if !class.is_subclass_of::<host::EventLoop>()? {
        return Err(pyo3::exceptions::PyTypeError::new_err("expected a subclass of EventLoop"));
    }
    base_events::add_hot_methods(class)?;
    Ok(class.clone())
}

fn is_shared_layout_wanted(py: Python<'_>) -> PyResult<bool> {
    let wanted = py
        .import("os")?
        .getattr("environ")?
        .call_method1("get", (LAYOUT_VARIABLE, "shared"))?
        .extract::<String>()?;
    match wanted.as_str() {
        "shared" | "" => Ok(true),
        "own" => Ok(false),
        other => Err(PyImportError::new_err(format!(
            "{LAYOUT_VARIABLE} is {other:?}; set it to 'shared', to 'own', or not at all"
        ))),
    }
}

fn make_future_types(
    py: Python<'_>,
    shared: bool,
) -> PyResult<(Bound<'_, PyType>, Bound<'_, PyType>)> {
    if shared {
        let future = futures::make_type(py, Some(names::ASYNCIO_FUTURE.get(py)?))?;
        let task = tasks::make_type(&future, Some(names::ASYNCIO_TASK.get(py)?))?;
        return Ok((future, task));
    }
    let future = futures::make_type(py, None)?;
    let task = tasks::make_type(&future, None)?;
    Ok((future, task))
}
