//! The structs of asyncio's own types, word for word as CPython lays them out.
//!
//! Our Future and Task are real subclasses of `_asyncio.Future` and `_asyncio.Task` that *reuse*
//! the fields of their bases: same offsets, so that every C function, debugger and profiler that
//! knows the bases reads ours aright. A task only appends a tail. The facts come from
//! `Modules/_asynciomodule.c` of each minor version and are private there: [`crate::verify`] looks
//! at live objects when the module is imported, and where a word stands elsewhere the same types
//! are made on `object` instead.
//!
//! Handles likewise reuse the slots of the Python classes `asyncio.Handle` and
//! `asyncio.TimerHandle`, whose offsets follow from their `__slots__`.

use std::cell::Cell;
use std::ffi::c_int;

use pyo3::ffi;

use crate::slot::Slot;

mod transport;

#[cfg(Py_3_13)]
pub(crate) use transport::Members;
pub use transport::TransportFields;

/// `FutureObj` of `_asynciomodule.c`.
#[repr(C)]
pub struct FutureFields {
    head: ffi::PyObject,
    /// The loop it belongs to; empty before `__init__`.
    pub event_loop: Slot,
    /// The first callback: any callable, or a task of ours that waits.
    pub callback0: Slot,
    /// The context of the first callback; None for a waiting task of ours, and for a callable that
    /// is to run in the context of whoever settles the future. Invariant: empty if and only if
    /// `callback0` is, for C code takes a reference to both.
    pub context0: Slot,
    /// A list of `(callback, context)` for all further callbacks.
    pub callbacks: Slot,
    /// The exception, if it ended so.
    pub exception: Slot,
    /// The traceback that the exception had when it was set.
    pub exception_tb: Slot,
    /// The result, if it ended so.
    pub result: Slot,
    /// The stack that made it, in debug mode.
    pub source_traceback: Slot,
    /// The `msg` of the cancellation.
    pub cancel_message: Slot,
    /// The `CancelledError` that is to be raised, once.
    #[cfg(Py_3_13)]
    pub cancelled_exc: Slot,
    /// The task that awaits this future, or the set of all that do.
    #[cfg(Py_3_14)]
    pub awaited_by: Slot,
    state: Cell<c_int>,
    #[cfg(not(Py_3_13))]
    log_tb: Cell<c_int>,
    #[cfg(not(Py_3_13))]
    blocking: Cell<c_int>,
    #[cfg(not(Py_3_13))]
    pub(crate) dict: Slot,
    #[cfg(not(Py_3_13))]
    pub(crate) weakrefs: Slot,
    /// The `CancelledError` that is to be raised, once.
    #[cfg(not(Py_3_13))]
    pub cancelled_exc: Slot,
    #[cfg(all(Py_3_13, not(Py_3_14)))]
    bits: Cell<u32>,
    #[cfg(Py_3_14)]
    is_task: Cell<u8>,
    #[cfg(Py_3_14)]
    awaited_by_is_set: Cell<u8>,
    #[cfg(Py_3_14)]
    bits: Cell<u8>,
    #[cfg(Py_3_14)]
    unused: u8,
}

#[cfg(Py_3_13)]
const LOG_TB: u8 = 1;
#[cfg(Py_3_13)]
const BLOCKING: u8 = 1 << 1;
#[cfg(Py_3_13)]
const MUST_CANCEL: u8 = 1 << 2;
#[cfg(Py_3_13)]
const LOG_DESTROY_PENDING: u8 = 1 << 3;

impl FutureFields {
    #[cfg(not(Py_3_13))]
    pub(crate) const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(Self, dict), std::mem::offset_of!(Self, weakrefs)];

    /// 0 pending, 1 cancelled, 2 finished.
    #[inline]
    pub fn state(&self) -> c_int {
        self.state.get()
    }

    /// Sets the state: 0 pending, 1 cancelled, 2 finished.
    #[inline]
    pub fn set_state(&self, state: c_int) {
        self.state.set(state);
    }

    #[cfg(Py_3_13)]
    #[inline]
    fn bit(&self, mask: u8) -> bool {
        self.bits.get() & Bits::from(mask) != 0
    }

    #[cfg(Py_3_13)]
    #[inline]
    fn set_bit(&self, mask: u8, on: bool) {
        let mask = Bits::from(mask);
        let rest = self.bits.get() & !mask;
        self.bits.set(if on { rest | mask } else { rest });
    }

    /// Whether an exception is still unseen and would be reported when the future dies.
    #[inline]
    pub fn log_traceback(&self) -> bool {
        #[cfg(Py_3_13)]
        return self.bit(LOG_TB);
        #[cfg(not(Py_3_13))]
        return self.log_tb.get() != 0;
    }

    /// Sets whether an exception is still unseen.
    #[inline]
    pub fn set_log_traceback(&self, on: bool) {
        #[cfg(Py_3_13)]
        self.set_bit(LOG_TB, on);
        #[cfg(not(Py_3_13))]
        self.log_tb.set(c_int::from(on));
    }

    /// Whether it was just yielded by an `await` and no task has taken note yet.
    #[inline]
    pub fn blocking(&self) -> bool {
        #[cfg(Py_3_13)]
        return self.bit(BLOCKING);
        #[cfg(not(Py_3_13))]
        return self.blocking.get() != 0;
    }

    /// Sets `_asyncio_future_blocking`.
    #[inline]
    pub fn set_blocking(&self, on: bool) {
        #[cfg(Py_3_13)]
        self.set_bit(BLOCKING, on);
        #[cfg(not(Py_3_13))]
        self.blocking.set(c_int::from(on));
    }

    /// Marks it as a task, for those who read memory from outside.
    #[inline]
    pub fn mark_as_task(&self) {
        #[cfg(Py_3_14)]
        self.is_task.set(1);
    }

    /// Whether `awaited_by` holds a set.
    #[cfg(Py_3_14)]
    pub fn awaited_by_is_set(&self) -> bool {
        self.awaited_by_is_set.get() != 0
    }

    /// Sets whether `awaited_by` holds a set.
    #[cfg(Py_3_14)]
    pub fn set_awaited_by_is_set(&self, on: bool) {
        self.awaited_by_is_set.set(u8::from(on));
    }

    /// Every slot, for the collector.
    #[inline]
    pub(crate) fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        visit(&self.event_loop);
        each_seldom(
            [&self.callback0, &self.context0, &self.callbacks, &self.exception, &self.exception_tb],
            visit,
        );
        visit(&self.result);
        each_seldom(
            [
                &self.source_traceback,
                &self.cancel_message,
                &self.cancelled_exc,
                #[cfg(Py_3_14)]
                &self.awaited_by,
                #[cfg(not(Py_3_13))]
                &self.dict,
            ],
            visit,
        );
    }
}

/// Visits slots of which at a death hardly ever one is filled: one look at all of them tells.
#[inline(always)]
fn each_seldom<const N: usize>(slots: [&Slot; N], visit: &mut impl FnMut(&Slot)) {
    if slots.iter().fold(0, |bits, slot| bits | slot.as_ptr().addr()) != 0 {
        slots.into_iter().for_each(visit);
    }
}

#[cfg(all(Py_3_13, not(Py_3_14)))]
type Bits = u32;
#[cfg(Py_3_14)]
type Bits = u8;

/// `TaskObj` of `_asynciomodule.c`, and our tail.
#[repr(C)]
pub struct TaskFields {
    future: FutureFields,
    #[cfg(Py_3_13)]
    cancels_requested: Cell<c_int>,
    /// The future it waits for.
    pub fut_waiter: Slot,
    /// The coroutine it drives; empty once it is finished, on some paths.
    pub coro: Slot,
    /// Its name; empty as long as nobody asked for the one that follows from `name_id`.
    pub name: Slot,
    /// The context its steps run in.
    pub context: Slot,
    #[cfg(not(Py_3_13))]
    must_cancel: Cell<c_int>,
    #[cfg(not(Py_3_13))]
    log_destroy_pending: Cell<c_int>,
    #[cfg(not(Py_3_13))]
    cancels_requested: Cell<c_int>,
    /// `task_node`: the links of the interpreter's own list of tasks.
    #[cfg(Py_3_14)]
    pub(crate) node_next: Cell<*mut u8>,
    #[cfg(Py_3_14)]
    pub(crate) node_prev: Cell<*mut u8>,
    /// Links of our list of tasks that are not finished.
    #[cfg(not(Py_3_14))]
    pub(crate) previous: Cell<*const Self>,
    #[cfg(not(Py_3_14))]
    pub(crate) next: Cell<*const Self>,
    name_id: Cell<u64>,
}

impl TaskFields {
    /// The part that a task shares with every future.
    #[inline]
    pub fn future(&self) -> &FutureFields {
        &self.future
    }

    /// Whether a cancellation is owed: it is thrown in at the next step.
    #[inline]
    pub fn must_cancel(&self) -> bool {
        #[cfg(Py_3_13)]
        return self.future.bit(MUST_CANCEL);
        #[cfg(not(Py_3_13))]
        return self.must_cancel.get() != 0;
    }

    /// Sets whether a cancellation is owed.
    #[inline]
    pub fn set_must_cancel(&self, on: bool) {
        #[cfg(Py_3_13)]
        self.future.set_bit(MUST_CANCEL, on);
        #[cfg(not(Py_3_13))]
        self.must_cancel.set(c_int::from(on));
    }

    /// Whether its death while pending is to be reported.
    #[inline]
    pub fn log_destroy_pending(&self) -> bool {
        #[cfg(Py_3_13)]
        return self.future.bit(LOG_DESTROY_PENDING);
        #[cfg(not(Py_3_13))]
        return self.log_destroy_pending.get() != 0;
    }

    /// Sets whether its death while pending is to be reported.
    #[inline]
    pub fn set_log_destroy_pending(&self, on: bool) {
        #[cfg(Py_3_13)]
        self.future.set_bit(LOG_DESTROY_PENDING, on);
        #[cfg(not(Py_3_13))]
        self.log_destroy_pending.set(c_int::from(on));
    }

    /// How many cancellations were asked for and not taken back.
    #[inline]
    pub fn cancels_requested(&self) -> c_int {
        self.cancels_requested.get()
    }

    /// Sets how many cancellations were asked for.
    #[inline]
    pub fn set_cancels_requested(&self, count: c_int) {
        self.cancels_requested.set(count);
    }

    /// The number in the name `Task-N`.
    #[inline]
    pub fn name_id(&self) -> u64 {
        self.name_id.get()
    }

    /// Sets the number in the name `Task-N`.
    #[inline]
    pub fn set_name_id(&self, id: u64) {
        self.name_id.set(id);
    }

    /// Every slot that the future part lacks, for the collector.
    #[inline]
    pub(crate) fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [&self.fut_waiter, &self.coro, &self.name, &self.context] {
            visit(slot);
        }
    }
}

/// The slots of `asyncio.Handle`, in the order in which Python lays them out.
///
/// An empty slot stands for what most handles have, so that they need not hold it: an empty
/// `repr` and `source_traceback` for None, and an empty `cancelled` for False *and* for arguments
/// that are not a tuple but the one argument itself. Python sees none of this, for our types define
/// these attributes anew.
#[repr(C)]
pub struct HandleFields {
    head: ffi::PyObject,
    /// The one argument, if `cancelled` is empty; else a tuple, or None once cancelled.
    pub arguments: Slot,
    /// The callable; None once cancelled.
    pub callback: Slot,
    /// A bool; empty for False and one bare argument.
    pub cancelled: Slot,
    /// The context to run in.
    pub context: Slot,
    /// The loop it belongs to.
    pub event_loop: Slot,
    /// Its repr from before it was cancelled, in debug mode; else None or empty.
    pub repr: Slot,
    /// The stack that made it, in debug mode; else None or empty.
    pub source_traceback: Slot,
    #[cfg(not(Py_3_12))]
    pub(crate) weakrefs: Slot,
}

impl HandleFields {
    /// Every slot, for the collector.
    #[inline]
    pub(crate) fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &self.arguments,
            &self.callback,
            &self.cancelled,
            &self.context,
            &self.event_loop,
            &self.repr,
            &self.source_traceback,
        ] {
            visit(slot);
        }
    }
}

/// The slots of `asyncio.TimerHandle`, behind those of `asyncio.Handle`.
#[repr(C)]
pub struct TimerHandleFields {
    handle: HandleFields,
    /// A bool: whether it waits in the loop's heap.
    pub scheduled: Slot,
    /// A float: seconds on the loop's clock.
    pub when: Slot,
}

impl TimerHandleFields {
    /// The part that a timer shares with every handle.
    #[inline]
    pub fn handle(&self) -> &HandleFields {
        &self.handle
    }

    /// Every slot that the handle part lacks, for the collector.
    #[inline]
    pub(crate) fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        visit(&self.scheduled);
        visit(&self.when);
    }
}

/// What `sleep(0)` returns.
#[repr(C)]
pub struct SleepFields {
    head: ffi::PyObject,
    /// What it will return; empty for None.
    pub result: Slot,
    stage: Cell<u8>,
}

impl SleepFields {
    /// How far it has come; zero at birth.
    #[inline]
    pub fn stage(&self) -> u8 {
        self.stage.get()
    }

    /// Sets how far it has come.
    #[inline]
    pub fn set_stage(&self, stage: u8) {
        self.stage.set(stage);
    }
}

/// The slots of `asyncio.transports._FlowControlMixin`, and behind them those of a transport on top
/// of TLS.
#[repr(C)]
pub struct SSLTransportFields {
    head: ffi::PyObject,
    /// Always empty: whoever asks for more about the connection asks the protocol.
    pub extra: Slot,
    /// Always empty: how much may wait is the protocol's to know.
    pub high_water: Slot,
    /// The loop it belongs to.
    pub event_loop: Slot,
    /// Always empty.
    pub low_water: Slot,
    /// Always empty.
    pub protocol_paused: Slot,
    /// The `SSLProtocol`; empty before `__init__` and after a second `close()`.
    pub ssl_protocol: Slot,
    is_open: Cell<bool>,
}

impl SSLTransportFields {
    /// How long the part is that the base lays out.
    pub(crate) const BASE: usize = std::mem::offset_of!(Self, ssl_protocol);

    /// Whether it was made, and neither closed nor lost.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Sets whether it was neither closed nor lost.
    #[inline]
    pub fn set_open(&self, is_open: bool) {
        self.is_open.set(is_open);
    }

    /// Every slot, for the collector.
    #[inline]
    pub(crate) fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &self.extra,
            &self.high_water,
            &self.event_loop,
            &self.low_water,
            &self.protocol_paused,
            &self.ssl_protocol,
        ] {
            visit(slot);
        }
    }
}

/// What `sock_recv()` and its kin return.
#[repr(C)]
pub struct SocketCallFields {
    head: ffi::PyObject,
    /// The loop; empty at the end.
    pub event_loop: Slot,
    /// The Python socket; empty at the end.
    pub socket: Slot,
    /// What it was called with: a number, data, a buffer or an address.
    pub argument: Slot,
    /// What it was called with besides.
    pub extra: Slot,
    /// What is waited for while the loop watches the descriptor.
    pub future: Slot,
    /// The coroutine to which all or the beginning is left.
    pub inner: Slot,
    /// The context in which it goes on when the descriptor is ready, where that can matter.
    pub context: Slot,
    /// How much was sent already.
    pub position: Cell<usize>,
    /// The number under which the loop watches the descriptor.
    pub fd: Cell<c_int>,
    /// Whether it does, unless somebody else has taken that place since.
    pub is_watching: Cell<bool>,
    stage: Cell<u8>,
    /// Which of the methods it is: the numbers are the host's.
    pub operation: Cell<u8>,
}

impl SocketCallFields {
    /// How far it has come; zero at birth.
    #[inline]
    pub fn stage(&self) -> u8 {
        self.stage.get()
    }

    /// Sets how far it has come.
    #[inline]
    pub fn set_stage(&self, stage: u8) {
        self.stage.set(stage);
    }

    /// Every slot.
    #[inline]
    pub fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &self.event_loop,
            &self.socket,
            &self.argument,
            &self.extra,
            &self.future,
            &self.inner,
            &self.context,
        ] {
            visit(slot);
        }
    }
}
