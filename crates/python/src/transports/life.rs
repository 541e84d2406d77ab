//! How a transport lives in the loop's queue and table: the verbs, and how it begins.
//!
//! asyncio queues three handles when one is made: `connection_made`, then the reader, then whoever
//! waits for the connection. They stand one behind the other, so nothing can come between them,
//! and one entry with the verb `connect` does the same.

use std::marker::PhantomData;

use batonloop_cpython::kind;
use batonloop_cpython::{Outcome, call, context};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, PyResult, intern};

use super::{
    HAS_OWN_CONTEXT, Manner, READING, Transport, TransportKind, WRITING, describe, never_cancelled,
    report_callback, run_in,
};
use crate::exceptions;
use crate::host::{EventLoop, Verb};
use crate::names::{self, none};

/// The manner of one kind of transports, and its verbs.
pub(super) struct Of<K>(PhantomData<K>);

impl<K: TransportKind> Of<K> {
    pub(super) const MANNER: Manner = Manner {
        read: &Self::READ,
        write: &Self::WRITE,
        connect: &Self::CONNECT,
        lose: &Self::LOSE,
        counts_loss: K::COUNTS_LOSS,
        is_usual: K::is_usual,
    };
    /// There is something to read.
    const READ: Verb = Verb {
        name: "read",
        run: |object, _| run_read::<K>(&object),
        is_cancelled: never_cancelled,
        describe: |object| describe(object, "_read_ready"),
    };
    /// It can be written to again.
    const WRITE: Verb = Verb {
        name: "write",
        run: |object, _| run_write::<K>(&object),
        is_cancelled: never_cancelled,
        describe: |object| describe(object, K::WRITE_READY),
    };
    /// It is connected.
    const CONNECT: Verb = Verb {
        name: "connect",
        run: |object, _| run_connect::<K>(&object),
        is_cancelled: never_cancelled,
        describe: |object| describe(object, "_connection_made"),
    };
    /// It is lost.
    const LOSE: Verb = Verb {
        name: "lose",
        run: |object, _| run_lose::<K>(&object),
        is_cancelled: never_cancelled,
        describe: |object| describe(object, "_call_connection_lost"),
    };
}

/// A queued object as what its verb expects.
#[inline]
fn cast<'a, 'py, K: TransportKind>(object: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, K>> {
    if let Some(this) = kind::cast_exact::<K>(object) {
        return Ok(this);
    }
    kind::cast::<K>(object).ok_or_else(|| exceptions::stranger(object))
}

/// Reads, in the context in which that was begun.
#[inline]
fn run_read<K: TransportKind>(object: &Bound<'_, PyAny>) -> Outcome {
    let this = Transport::of(cast::<K>(object)?);
    // It may have left the table after the event was heard.
    if !this.fields.has(READING) {
        return Ok(());
    }
    run_in(this, this.fields.context.get(this.py()), "_read_ready", &[], || K::read(this))
}

/// Writes what waits, in the context in which something had to wait.
#[inline]
fn run_write<K: TransportKind>(object: &Bound<'_, PyAny>) -> Outcome {
    let this = Transport::of(cast::<K>(object)?);
    if !this.fields.has(WRITING) {
        return Ok(());
    }
    run_in(this, this.fields.write_context.get(this.py()), K::WRITE_READY, &[], || K::write(this))
}

/// Tells the protocol of its connection, begins to read, and lets go on who waits for it: three
/// handles in asyncio, one behind the other.
fn run_connect<K: TransportKind>(object: &Bound<'_, PyAny>) -> Outcome {
    let py = object.py();
    let this = Transport::of(cast::<K>(object)?);
    let Some(event_loop) = this.event_loop() else {
        return Ok(());
    };
    let told = tell_of_connection(this, &event_loop);
    if let Err(error) = K::start_reading(this) {
        let callback = object.getattr(intern!(py, "_add_reader"))?;
        report_callback(&event_loop, &callback, &[], this.fields.context.get(py), error)?;
    }
    let released = match this.fields.waiter.take(py) {
        Some(waiter) => release(&waiter),
        None => Ok(()),
    };
    told?;
    Ok(released?)
}

/// Calls `connection_made` in a context of its own: what it sets there the reader does not see.
fn tell_of_connection<'py>(this: Transport<'_, 'py>, event_loop: &Bound<'py, PyAny>) -> Outcome {
    let py = this.py();
    let (Some(context), Some(protocol)) =
        (this.fields.context.get(py), this.fields.protocol.get(py))
    else {
        return Ok(());
    };
    let context =
        if this.fields.has(HAS_OWN_CONTEXT) { context } else { context::copy_of(&context)? };
    let told = context::enter(&context, |_| {
        call::method1(&protocol, intern!(py, "connection_made"), this.object).map(drop)
    });
    let Err(error) = told else {
        return Ok(());
    };
    // The method was there when the transport was made, and may have gone.
    match protocol.getattr(intern!(py, "connection_made")) {
        Ok(callback) => {
            let transport = std::slice::from_ref(this.object);
            report_callback(event_loop, &callback, transport, Some(context), *error)
        }
        Err(_) => {
            let callback = this.object.getattr(intern!(py, "_connection_made"))?;
            report_callback(event_loop, &callback, &[], Some(context), *error)
        }
    }
}

/// Lets go on who waits for the connection to be made.
fn release(waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = waiter.py();
    if !waiter.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
    }
    Ok(())
}

/// Tells of the loss, in a copy of the context of whoever caused it.
fn run_lose<K: TransportKind>(object: &Bound<'_, PyAny>) -> Outcome {
    let py = object.py();
    let this = Transport::of(cast::<K>(object)?);
    let exception = this.fields.exception.take(py).unwrap_or_else(|| none(py));
    let context = this.fields.write_context.take(py);
    let arguments = [exception.clone()];
    run_in(this, context, "_call_connection_lost", &arguments, || {
        this.call_connection_lost(&exception)
    })
}

/// Queues what follows when a transport is made.
pub(super) fn begin<'py, K: TransportKind>(
    this: &Bound<'py, K>,
    event_loop: &Bound<'py, PyAny>,
    waiter: Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = this.py();
    let transport = Transport::of(this);
    // A protocol without it is refused here, where asyncio looks it up.
    let made = transport.protocol().getattr(intern!(py, "connection_made"))?;
    if !transport.fields.has(HAS_OWN_CONTEXT) {
        transport.fields.context.set(context::copy_current(py)?);
    }
    if let Some(host) = EventLoop::direct(event_loop) {
        if let Some(waiter) = waiter {
            transport.fields.waiter.set(waiter);
        }
        host.queue(this.as_any().clone(), transport.manner.connect);
        return Ok(());
    }
    transport.call_soon(event_loop, (made, this.as_any()))?;
    let add_reader = this.as_any().getattr(intern!(py, "_add_reader"))?;
    let ready = this.as_any().getattr(intern!(py, "_read_ready"))?;
    transport.call_soon(event_loop, (add_reader, transport.fields.descriptor(), ready))?;
    if let Some(waiter) = waiter {
        let set_result = names::SET_RESULT_UNLESS_CANCELLED.get(py)?;
        transport.call_soon(event_loop, (set_result, waiter, py.None()))?;
    }
    Ok(())
}
