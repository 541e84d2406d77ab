//! The structs of a stream: its reader, its writer, and the protocol between them and a transport,
//! with what hears of the end of who serves it.

use std::cell::Cell;

use pyo3::types::DerefToPyAny;
use pyo3::{PyTypeInfo, Python, ffi};

use crate::kind::{Kind, Shared, kinds};
use crate::slot::Slot;

/// A reader.
///
/// What has come in and is not read stands in `chunk` or in `buffer`, and begins at `start`.
#[repr(C)]
pub struct ReaderFields {
    head: ffi::PyObject,
    #[cfg(not(Py_3_13))]
    dict: Slot,
    #[cfg(not(Py_3_13))]
    weakrefs: Slot,
    /// `_loop`.
    pub event_loop: Slot,
    /// Bytes that came as one object. Invariant: exactly bytes, longer than `start`, or empty.
    pub chunk: Slot,
    /// `_buffer`, once there is one: a bytearray, or what somebody has put there.
    /// Invariant: empty if there is a chunk.
    pub buffer: Slot,
    /// `_waiter`: the future of who waits for more; empty for None.
    pub waiter: Slot,
    /// `_exception`; empty for None.
    pub exception: Slot,
    /// `_transport`; empty for None.
    pub transport: Slot,
    /// `_limit`; empty for the usual one.
    pub limit: Slot,
    /// `_source_traceback`; empty for None.
    pub source_traceback: Slot,
    /// So many bytes in front were read already. Invariant: zero if nothing is there, or if what
    /// is in `buffer` is somebody else's too.
    pub start: Cell<usize>,
    /// The limit, and twice the limit, as whole numbers.
    pub limits: Cell<[usize; 2]>,
    /// `_eof`, `_paused` and the like: the bits are the host's.
    pub flags: Cell<u8>,
}

impl ReaderFields {
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &self.event_loop,
            &self.chunk,
            &self.buffer,
            &self.waiter,
            &self.exception,
            &self.transport,
            &self.limit,
            &self.source_traceback,
        ] {
            visit(slot);
        }
        #[cfg(not(Py_3_13))]
        visit(&self.dict);
    }
}

/// A writer.
#[repr(C)]
pub struct WriterFields {
    head: ffi::PyObject,
    #[cfg(not(Py_3_13))]
    dict: Slot,
    #[cfg(not(Py_3_13))]
    weakrefs: Slot,
    /// `_transport`.
    pub transport: Slot,
    /// `_protocol`.
    pub protocol: Slot,
    /// `_reader`.
    pub reader: Slot,
    /// `_loop`.
    pub event_loop: Slot,
    /// `_complete_fut`: a future that is done; made when it is looked at.
    pub complete: Slot,
}

impl WriterFields {
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in
            [&self.transport, &self.protocol, &self.reader, &self.event_loop, &self.complete]
        {
            visit(slot);
        }
        #[cfg(not(Py_3_13))]
        visit(&self.dict);
    }
}

/// A protocol that feeds a reader.
#[repr(C)]
pub struct ProtocolFields {
    head: ffi::PyObject,
    /// `_loop`.
    pub event_loop: Slot,
    /// `_stream_reader_wr`: a weak reference to the reader; empty for None.
    pub reader: Slot,
    /// `_strong_reader`: the same until there is a connection, on a server.
    pub strong_reader: Slot,
    /// `_transport`; empty for None.
    pub transport: Slot,
    /// `_client_connected_cb`; empty for None.
    pub client_connected: Slot,
    /// `_stream_writer`; empty for None.
    pub writer: Slot,
    /// `_task`; empty for None.
    pub task: Slot,
    /// `_closed`: the future of the end.
    pub closed: Slot,
    /// `_drain_waiters`: a deque, made for the first.
    pub drain_waiters: Slot,
    /// `_source_traceback`; empty for None.
    pub source_traceback: Slot,
    /// `_paused` and the like: the bits are the host's.
    pub flags: Cell<u8>,
}

impl ProtocolFields {
    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [
            &self.event_loop,
            &self.reader,
            &self.strong_reader,
            &self.transport,
            &self.client_connected,
            &self.writer,
            &self.task,
            &self.closed,
            &self.drain_waiters,
            &self.source_traceback,
        ] {
            visit(slot);
        }
    }
}

/// What stands in the task that serves a connection, and hears of its end.
#[repr(C)]
pub struct ServingFields {
    head: ffi::PyObject,
    /// The protocol.
    pub protocol: Slot,
    /// The transport on which the connection was made.
    pub transport: Slot,
    /// The context in which it hears of it.
    pub context: Slot,
    /// A weak reference to the callable that stands for it where Python looks.
    pub callable: Slot,
}

impl ServingFields {
    /// It has neither.
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] = [0; 2];

    #[inline]
    fn each_slot(&self, visit: &mut impl FnMut(&Slot)) {
        for slot in [&self.protocol, &self.transport, &self.context, &self.callable] {
            visit(slot);
        }
    }
}

macro_rules! flags {
    ($($fields:ident),*) => {$(
        impl $fields {
            /// Whether any bit of `mask` is set.
            #[inline]
            pub fn has(&self, mask: u8) -> bool {
                self.flags.get() & mask != 0
            }

            /// Sets the bits of `mask`, or clears them.
            #[inline]
            pub fn put(&self, mask: u8, value: bool) {
                let others = self.flags.get() & !mask;
                self.flags.set(if value { others | mask } else { others });
            }
        }
    )*};
}

flags!(ReaderFields, ProtocolFields);

/// Marks a reader.
pub enum StreamReader {}
/// Marks a writer.
pub enum StreamWriter {}
/// Marks an object laid out as a protocol that feeds a reader.
pub enum StreamReaderProtocol {}
/// Marks what hears of the end of who serves a connection.
pub enum Serving {}

kinds!(ServingFields: Serving in SERVING);

static READER: Shared = Shared::new();
static WRITER: Shared = Shared::new();
static PROTOCOL: Shared = Shared::new();

// SAFETY: the type is only made by the builder, with the size of the fields, on `object`; every
// field is valid as zero bits.
unsafe impl Kind for StreamReader {
    type Fields = ReaderFields;

    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(ReaderFields, dict), std::mem::offset_of!(ReaderFields, weakrefs)];

    fn shared() -> &'static Shared {
        &READER
    }

    #[inline]
    fn each_slot(fields: &ReaderFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(_fields: &ReaderFields) -> bool {
        false
    }
}

// SAFETY: as for `StreamReader`.
unsafe impl Kind for StreamWriter {
    type Fields = WriterFields;

    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] =
        [std::mem::offset_of!(WriterFields, dict), std::mem::offset_of!(WriterFields, weakrefs)];

    fn shared() -> &'static Shared {
        &WRITER
    }

    #[inline]
    fn each_slot(fields: &WriterFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &WriterFields) -> bool {
        !fields.transport.is_empty()
    }
}

// SAFETY: as for `StreamReader`. The Python class that derives from it gives it a dict.
unsafe impl Kind for StreamReaderProtocol {
    type Fields = ProtocolFields;

    fn shared() -> &'static Shared {
        &PROTOCOL
    }

    #[inline]
    fn each_slot(fields: &ProtocolFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &ProtocolFields) -> bool {
        !fields.closed.is_empty()
    }
}

macro_rules! type_info {
    ($($kind:ident),*) => {$(
        // SAFETY: a `Bound` of the kind is only made after this check or an equal one, and the type
        // object is made before any object is.
        unsafe impl PyTypeInfo for $kind {
            fn type_object_raw(_py: Python<'_>) -> *mut ffi::PyTypeObject {
                Self::shared().type_object()
            }
        }

        impl DerefToPyAny for $kind {}
    )*};
}

type_info!(StreamReader, StreamWriter, StreamReaderProtocol);
