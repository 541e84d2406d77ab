//! `call_soon()` and its kin: callbacks become handles in the loop's agenda.
//!
//! Each method takes its arguments apart by itself, as a C function does: the names and messages
//! are those of asyncio's Python methods. The plain call of `call_soon()`, by far the most
//! frequent, goes straight to the queue; whatever asks for more (a context, debug mode, a closed
//! loop) takes the long way with the same result.

use std::ffi::CStr;

use batonloop_core::Instant;
use batonloop_cpython::kind::{self, Task};
use batonloop_cpython::method::{Args, Method};
use batonloop_sys::clock;
use pyo3::exceptions::PyTypeError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyFloat, PyFloatMethods, PyTuple};
use pyo3::{Bound, PyResult, intern};

use super::PyLoop;
use crate::events::{self, Arguments, Callback};
use crate::exceptions;
use crate::host::EventLoop;
use crate::names;
use crate::tasks;

/// The stack of who calls, for a handle made in debug mode.
#[inline]
pub(super) fn source_traceback<'py>(this: &PyLoop<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = this.py();
    let host = this.get();
    if host.has_own_get_debug.get(py) && !host.debug.get(py) {
        return Ok(None);
    }
    if !this.call_method0(intern!(py, "get_debug"))?.is_truthy()? {
        return Ok(None);
    }
    Ok(Some(names::EXTRACT_STACK.get(py)?.call0()?))
}

/// A callback, its arguments and its context, as the scheduling methods take them.
struct Call<'a, 'py> {
    callback: &'a Bound<'py, PyAny>,
    arguments: &'a [Bound<'py, PyAny>],
    context: Option<Bound<'py, PyAny>>,
    /// Whether `context=None` was written out, as C functions do.
    names_no_context: bool,
}

/// Takes the arguments of a scheduling method apart: `leading` ones come before the callback.
#[inline]
fn take_apart<'a, 'py, const LEADING: usize>(
    method: &str,
    leading: [&str; LEADING],
    args: Args<'a, 'py>,
) -> PyResult<([&'a Bound<'py, PyAny>; LEADING], Call<'a, 'py>)> {
    if let (Some((first, rest)), false) =
        (args.positional().split_first_chunk::<LEADING>(), args.has_keywords())
        && let Some((callback, arguments)) = rest.split_first()
    {
        return Ok((
            first.each_ref(),
            Call { callback, arguments, context: None, names_no_context: false },
        ));
    }
    take_apart_slowly(method, leading, args)
}

/// The same with keywords, or with something missing: then the error says so as Python would.
#[cold]
fn take_apart_slowly<'a, 'py, const LEADING: usize>(
    method: &str,
    leading: [&str; LEADING],
    args: Args<'a, 'py>,
) -> PyResult<([&'a Bound<'py, PyAny>; LEADING], Call<'a, 'py>)> {
    let mut found: [Option<&Bound<'py, PyAny>>; LEADING] = [None; LEADING];
    let mut callback = None;
    let mut positional = args.positional();
    for place in found.iter_mut().chain([&mut callback]) {
        if let Some((first, rest)) = positional.split_first() {
            *place = Some(first);
            positional = rest;
        }
    }
    let mut context = None;
    for (name, value) in args.keywords() {
        let name = name.extract::<String>()?;
        let place = match leading.iter().position(|known| *known == name) {
            Some(index) => &mut found[index],
            None if name == "callback" => &mut callback,
            None if name == "context" => &mut context,
            None => {
                return Err(PyTypeError::new_err(format!(
                    "EventLoop.{method}() got an unexpected keyword argument '{name}'"
                )));
            }
        };
        if place.replace(value).is_some() {
            return Err(PyTypeError::new_err(format!(
                "EventLoop.{method}() got multiple values for argument '{name}'"
            )));
        }
    }
    let missing: Vec<_> = leading
        .iter()
        .zip(&found)
        .chain([(&"callback", &callback)])
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| format!("'{name}'"))
        .collect();
    let (Some(callback), true) = (callback, missing.is_empty()) else {
        let plural = if missing.len() == 1 { "" } else { "s" };
        return Err(PyTypeError::new_err(format!(
            "EventLoop.{method}() missing {} required positional argument{plural}: {}",
            missing.len(),
            missing.join(" and ")
        )));
    };
    // Nothing is missing, so the stand-in is never seen.
    let found = found.map(|value| value.unwrap_or(callback));
    let names_no_context = context.is_some_and(|context| context.is_none());
    let context = context.filter(|context| !context.is_none()).cloned();
    Ok((found, Call { callback, arguments: positional, context, names_no_context }))
}

impl<'py> Call<'_, 'py> {
    /// What the handle keeps. In debug mode also the stack of the caller.
    #[inline]
    fn into_callback(self, this: &PyLoop<'py>) -> PyResult<Callback<'py>> {
        let py = this.py();
        let waiter = if self.names_no_context { kind::cast::<Task>(self.callback) } else { None };
        let (callback, context) = match waiter {
            // A C function has completed a future of ours and hands on who waits for it.
            Some(task) => (tasks::step::wakeup(task)?, tasks::context(task)),
            None => (self.callback.clone(), self.context),
        };
        let source_traceback = source_traceback(this)?;
        Ok(Callback {
            callback,
            arguments: Arguments::keep(py, self.arguments)?,
            context,
            event_loop: this.as_any().clone(),
            source_traceback,
        })
    }
}

/// `call_soon()`: behind all that is ready.
fn call_soon<'py>(this: &PyLoop<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    if let ([callback, arguments @ ..], false) = (args.positional(), args.has_keywords())
        && this.get().is_direct.get(this.py())
    {
        let plain = Callback::plain(this.as_any(), callback, arguments)?;
        let handle = events::new_handle(plain)?.into_any();
        this.get().queue(handle.clone(), &events::RUN);
        return Ok(handle);
    }
    call_soon_slowly(this, args)
}

/// With a context, in debug mode, or on a closed loop.
#[cold]
fn call_soon_slowly<'py>(this: &PyLoop<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let ([], call) = take_apart("call_soon", [], args)?;
    let host = this.get();
    host.check_closed(py)?;
    if host.debug.get(py) {
        host.check_thread(py)?;
        exceptions::check_callback(call.callback, "call_soon")?;
    }
    let handle = events::new_handle(call.into_callback(this)?)?.into_any();
    host.queue(handle.clone(), &events::RUN);
    Ok(handle)
}

/// `call_soon_threadsafe()`: the same, and a loop that sleeps wakes up. The caller holds the GIL,
/// so the queue needs no lock of its own.
fn call_soon_threadsafe<'py>(
    this: &PyLoop<'py>,
    args: Args<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let ([], call) = take_apart("call_soon_threadsafe", [], args)?;
    let host = this.get();
    host.check_closed(py)?;
    if host.debug.get(py) {
        exceptions::check_callback(call.callback, "call_soon_threadsafe")?;
    }
    let (handle, verb) = events::new_threadsafe_handle(call.into_callback(this)?)?;
    host.queue(handle.clone(), verb);
    host.wake(py);
    Ok(handle)
}

/// `call_later()`. A subclass that overrides `time` or `call_at` is asked through those; the delay
/// is then added up in Python's own numbers.
fn call_later<'py>(this: &PyLoop<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let host = this.get();
    if let ([delay, callback, arguments @ ..], false) = (args.positional(), args.has_keywords())
        && host.is_direct.get(py)
        && host.has_own_time.get(py)
        && host.has_own_call_at.get(py)
        && let Ok(delay) = delay.cast_exact::<PyFloat>()
    {
        let seconds = clock::now().seconds() + delay.value();
        let when = events::float(py, seconds);
        let plain = Callback::plain(this.as_any(), callback, arguments)?;
        let timer = events::new_timer(plain, when)?.into_any();
        host.schedule(Instant::from_seconds(seconds), timer.clone(), &events::RUN);
        return Ok(timer);
    }
    call_later_slowly(this, args)
}

/// With a delay that is no float, a context, in debug mode, on a closed loop, or overridden.
fn call_later_slowly<'py>(this: &PyLoop<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let py = this.py();
    let ([delay], call) = take_apart("call_later", ["delay"], args)?;
    if delay.is_none() {
        return Err(PyTypeError::new_err("delay must not be None"));
    }
    let host = this.get();
    if host.has_own_time.get(py) && host.has_own_call_at.get(py) {
        let when = events::float(py, clock::now().seconds()).add(delay)?;
        return call_at_object(this, &when, call);
    }
    let when = this.call_method0(intern!(py, "time"))?.add(delay)?;
    if host.has_own_call_at.get(py) {
        return call_at_object(this, &when, call);
    }
    let mut all = vec![when, call.callback.clone()];
    all.extend(call.arguments.iter().cloned());
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "context"), call.context)?;
    this.call_method(intern!(py, "call_at"), PyTuple::new(py, all)?, Some(&keywords))
}

/// `call_at()`.
fn call_at<'py>(this: &PyLoop<'py>, args: Args<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let ([when], call) = take_apart("call_at", ["when"], args)?;
    call_at_object(this, when, call)
}

/// Schedules at a time that may be any number: the handle keeps the very object, for `when()`.
fn call_at_object<'py>(
    this: &PyLoop<'py>,
    when: &Bound<'py, PyAny>,
    call: Call<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    if when.is_none() {
        return Err(PyTypeError::new_err("when cannot be None"));
    }
    let seconds = match when.extract::<f64>() {
        Ok(seconds) => seconds,
        // An int that no float can hold lies beyond every clock.
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(when.py()) => {
            if when.lt(0)? {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }
        }
        Err(error) => return Err(error),
    };
    let py = this.py();
    let host = this.get();
    host.check_closed(py)?;
    if host.debug.get(py) {
        host.check_thread(py)?;
        exceptions::check_callback(call.callback, "call_at")?;
    }
    let timer = events::new_timer(call.into_callback(this)?, when.clone())?.into_any();
    host.schedule(Instant::from_seconds(seconds), timer.clone(), &events::RUN);
    Ok(timer)
}

/// The methods.
pub(super) fn methods() -> Vec<Method<EventLoop>> {
    vec![
        Method::args(c"call_soon", CALL_SOON, call_soon),
        Method::args(c"call_soon_threadsafe", CALL_SOON_THREADSAFE, call_soon_threadsafe),
        Method::args(c"call_later", CALL_LATER, call_later),
        Method::args(c"call_at", CALL_AT, call_at),
    ]
}

const CALL_SOON: &CStr = c"\
    call_soon(callback, *args, context=None)\n\nCall callback(*args) in the next turn of \
    the loop, after all that was scheduled before.\n\nReturns a Handle. The callback runs \
    in context, by default in a copy of the current one.\nRaises RuntimeError if the loop \
    is closed.";
const CALL_SOON_THREADSAFE: &CStr = c"\
    call_soon_threadsafe(callback, *args, context=None)\n\nLike call_soon(), but to be \
    called from any thread: it wakes the loop.";
const CALL_LATER: &CStr = c"\
    call_later(delay, callback, *args, context=None)\n\nCall callback(*args) after delay \
    seconds, an int or float; a negative delay is like 0.\n\nReturns a TimerHandle. The \
    callback is never called early; callbacks of one deadline are called\nin the order of \
    their scheduling. Raises TypeError if delay is no number, RuntimeError if the\nloop is \
    closed.";
const CALL_AT: &CStr = c"\
    call_at(when, callback, *args, context=None)\n\nLike call_later(), but at the absolute \
    time when, in seconds on the clock of time().";
