//! The struct of our transports, behind the slots of asyncio's Python classes.
//!
//! `asyncio.transports._FlowControlMixin` has five slots. Those for what is a plain number or flag
//! here mostly stay empty: our types define the attributes of those names anew.

use std::cell::Cell;
#[cfg(Py_3_13)]
use std::cell::UnsafeCell;
use std::ffi::c_int;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
#[cfg(Py_3_13)]
use std::ptr;
#[cfg(Py_3_13)]
use std::sync::Arc;

use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, Python, ffi};

use crate::slot::Slot;
use crate::socket;

/// The connections of one server, none of them owned; see `kind/clients.rs`.
#[cfg(Py_3_13)]
#[derive(Default)]
pub(crate) struct Members(UnsafeCell<Vec<*const TransportFields>>);

// SAFETY: read and written with the GIL held only: whoever does so has a reference to a transport,
// or a token. What is freed without it is a list that nobody is in.
#[cfg(Py_3_13)]
unsafe impl Sync for Members {}
// SAFETY: as above.
#[cfg(Py_3_13)]
unsafe impl Send for Members {}

#[cfg(Py_3_13)]
impl Members {
    /// Runs a leaf of `layout/transport.rs` or `kind/clients.rs`, with the GIL held.
    pub(crate) fn with<R>(&self, leaf: impl FnOnce(&mut Vec<*const TransportFields>) -> R) -> R {
        // SAFETY: the GIL is held and nothing else borrows the list while the leaf, which calls
        // nobody, runs.
        leaf(unsafe { &mut *self.0.get() })
    }
}

/// A transport: what a connection, a socket for datagrams or the end of a pipe is made of.
#[repr(C)]
pub struct TransportFields {
    head: ffi::PyObject,
    /// `_extra`: what `get_extra_info()` knows; empty as long as nobody asked.
    pub extra: Slot,
    /// `_high_water`, where it is no plain number.
    pub high_water: Slot,
    /// `_loop`; empty once the connection is lost.
    pub event_loop: Slot,
    /// `_low_water`, where it is no plain number.
    pub low_water: Slot,
    protocol_paused: Slot,
    /// The protocol; empty once the connection is lost. For a connection that was accepted but not
    /// opened yet, the server's listener.
    pub protocol: Slot,
    /// The Python object that owns the descriptor; empty as long as nobody asked for one, and once
    /// the connection is lost.
    file: Slot,
    /// The server that accepted the connection.
    pub server: Slot,
    /// The context in which what arrives is handed on.
    pub context: Slot,
    /// The context in which what waits is written, and the loss told.
    pub write_context: Slot,
    /// The future of whoever waits for the connection to be made.
    pub waiter: Slot,
    /// The future of whoever waits until all is written.
    pub empty_waiter: Slot,
    /// Why the connection will be lost.
    pub exception: Slot,
    /// What is still to be written: a list of bytes; a deque of datagrams, each with its address.
    /// Invariant: empty if nothing is.
    pub backlog: Slot,
    /// The address of a datagram socket's only partner.
    pub address: Slot,
    /// Who sent the last datagram, as Python spells it.
    pub sender: Slot,
    #[cfg(not(Py_3_13))]
    pub(crate) dict: Slot,
    #[cfg(not(Py_3_13))]
    pub(crate) weakrefs: Slot,
    descriptor: Cell<c_int>,
    /// Whether there is a descriptor that is not closed yet.
    is_open: Cell<bool>,
    /// Whether the descriptor is closed by whoever takes it from here. Invariant: if true, it is
    /// open, and nobody else closes it.
    is_owned: Cell<bool>,
    /// Whether the descriptor of what is in `file` can be read there. Invariant: if true, that
    /// passed `socket::is_readable`.
    reads_file: Cell<bool>,
    /// Which of the two sides is watched, what has ended, and so on: the bits are the host's.
    flags: Cell<u32>,
    /// Where it stands among the clients.
    #[cfg(Py_3_13)]
    client: Cell<u32>,
    /// The connections of its server. Invariant: if there is something, this transport stands there
    /// in the place `client`, and nowhere else.
    #[cfg(Py_3_13)]
    clients: Cell<Option<Arc<Members>>>,
    /// How many writes came after the end, and one.
    pub conn_lost: Cell<usize>,
    /// With more than so many bytes unwritten, the protocol is asked to pause.
    pub high: Cell<usize>,
    /// With no more than so many bytes unwritten, it may go on.
    pub low: Cell<usize>,
    /// How many bytes are unwritten.
    pub unwritten: Cell<usize>,
    /// How many bytes of the backlog's first entry are written already.
    pub written: Cell<usize>,
    /// How much is about to arrive at once, as far as one can tell.
    pub expected: Cell<usize>,
    /// Who is at the other end, packed; zeros if that is in `extra`.
    pub peer: Cell<[u32; 7]>,
    /// What this end is called, packed; zeros if nobody asked yet. For datagrams, what is in
    /// `sender`, packed.
    pub local: Cell<[u32; 7]>,
}

impl TransportFields {
    #[cfg(not(Py_3_13))]
    pub(crate) const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(Self, dict), std::mem::offset_of!(Self, weakrefs)];

    /// The number of the descriptor, also when it is closed.
    #[inline]
    pub fn descriptor(&self) -> c_int {
        self.descriptor.get()
    }

    /// Whether there is a descriptor that has not been closed here.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Takes a descriptor in use that is a Python object's, which [`set_file`](Self::set_file) is
    /// to name.
    #[inline]
    pub fn open(&self, fd: c_int) {
        self.descriptor.set(fd);
        self.is_open.set(true);
    }

    /// Takes a descriptor in use that is nobody else's.
    #[inline]
    pub fn own(&self, fd: OwnedFd) {
        drop(self.take_owned());
        self.open(fd.into_raw_fd());
        self.is_owned.set(true);
    }

    /// Gives away the descriptor, if it is owned here. Its number serves on.
    #[must_use = "dropping it closes the descriptor"]
    pub fn take_owned(&self) -> Option<OwnedFd> {
        if !self.is_owned.replace(false) {
            return None;
        }
        // SAFETY: by the invariant the descriptor is open and nobody else closes it, and from now
        // on it is not owned here.
        Some(unsafe { OwnedFd::from_raw_fd(self.descriptor.get()) })
    }

    /// Takes note that the descriptor is closed.
    #[inline]
    pub fn set_closed(&self) {
        self.is_open.set(false);
    }

    /// The descriptor for a call to the kernel: -1 if it is closed, be it by somebody else.
    #[inline]
    pub fn open_descriptor(&self, py: Python<'_>) -> c_int {
        if !self.is_open.get() {
            return -1;
        }
        if self.file.is_empty() {
            return self.descriptor.get();
        }
        if !self.reads_file.get() {
            return self.ask_file(py);
        }
        // SAFETY: the slot is not empty, and by the invariant it holds a socket or a raw file.
        unsafe { socket::descriptor_in(&self.file) }
    }

    /// Asks a file that is laid out as we do not know.
    #[cold]
    fn ask_file(&self, py: Python<'_>) -> c_int {
        let number = self.file.get(py).and_then(|file| file.call_method0("fileno").ok());
        number.and_then(|number| number.extract().ok()).unwrap_or(-1)
    }

    /// The Python object that owns the descriptor, if there is one.
    pub fn file<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.file.get(py)
    }

    /// Whether a Python object owns the descriptor.
    pub fn has_file(&self) -> bool {
        !self.file.is_empty()
    }

    /// Gives the descriptor to a Python object; there was none before.
    pub fn set_file(&self, file: Bound<'_, PyAny>) {
        self.reads_file.set(socket::is_readable(&file));
        self.file.set(file);
    }

    /// Takes the Python object that owns the descriptor out.
    #[must_use = "dropping it may run Python"]
    pub fn take_file<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.file.take(py)
    }

    /// Whether it is among the connections of a server.
    #[cfg(Py_3_13)]
    pub(crate) fn is_client(&self) -> bool {
        let clients = self.clients.take();
        let is_one = clients.is_some();
        self.clients.set(clients);
        is_one
    }

    /// Whether it is among these.
    #[cfg(Py_3_13)]
    pub(crate) fn is_client_of(&self, members: &Arc<Members>) -> bool {
        let clients = self.clients.take();
        let is_one = clients.as_ref().is_some_and(|clients| Arc::ptr_eq(clients, members));
        self.clients.set(clients);
        is_one
    }

    /// Joins them; it is in no other list.
    #[cfg(Py_3_13)]
    pub(crate) fn become_client(&self, members: &Arc<Members>) {
        debug_assert!(!self.is_client(), "a transport has one server");
        let place = members.with(|members| {
            members.push(ptr::from_ref(self));
            members.len() - 1
        });
        // Each has a descriptor, or had one: there are fewer than fit into the number.
        self.client.set(u32::try_from(place).unwrap());
        self.clients.set(Some(Arc::clone(members)));
    }

    /// Leaves them, if it is one; the last one takes its place.
    #[cfg(Py_3_13)]
    pub(crate) fn leave_clients(&self) {
        let Some(clients) = self.clients.take() else {
            return;
        };
        let place = self.client.get();
        clients.with(|members| {
            members.swap_remove(place as usize);
            if let Some(&moved) = members.get(place as usize) {
                // SAFETY: who dies leaves the list first, so whoever is in it is whole.
                unsafe { &*moved }.client.set(place);
            }
        });
    }

    /// Whether any bit of `mask` is set.
    #[inline]
    pub fn has(&self, mask: u32) -> bool {
        self.flags.get() & mask != 0
    }

    /// Sets the bits of `mask`.
    #[inline]
    pub fn add(&self, mask: u32) {
        self.flags.set(self.flags.get() | mask);
    }

    /// Clears the bits of `mask`.
    #[inline]
    pub fn remove(&self, mask: u32) {
        self.flags.set(self.flags.get() & !mask);
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
            &self.protocol,
            &self.file,
            &self.server,
            &self.context,
            &self.write_context,
            &self.waiter,
            &self.empty_waiter,
            &self.exception,
            &self.backlog,
            &self.address,
            &self.sender,
        ] {
            visit(slot);
        }
        #[cfg(not(Py_3_13))]
        visit(&self.dict);
    }

    /// Where the one slot of `BaseTransport` stands, and where those behind it begin.
    pub(crate) fn extra_and_end() -> [usize; 2] {
        [std::mem::offset_of!(Self, extra), std::mem::offset_of!(Self, high_water)]
    }

    /// Where the slots of `_FlowControlMixin` stand, by their names.
    pub(crate) fn base_slots() -> [(&'static str, usize); 4] {
        use std::mem::offset_of;

        [
            ("_high_water", offset_of!(Self, high_water)),
            ("_loop", offset_of!(Self, event_loop)),
            ("_low_water", offset_of!(Self, low_water)),
            ("_protocol_paused", offset_of!(Self, protocol_paused)),
        ]
    }
}
