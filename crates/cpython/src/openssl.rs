//! The OpenSSL that Python's `ssl` module itself uses, called without a detour through Python.
//!
//! A connection is made, shaken hands on and shut down by the methods of `ssl.SSLObject`: contexts,
//! callbacks, certificates and exceptions are Python's. Only what happens for every record, to
//! read, to write and to move bytes in and out, is done here, on the very `SSL*` that the Python
//! object holds. Whatever ends otherwise than well or with a wish for more bytes is answered with
//! [`Unclear`](End::Unclear): the caller then asks the method, which finds OpenSSL's queue of
//! errors as it was and raises what it always raises.
//!
//! How the library is found, and why its pointers can be trusted, is in `openssl/library.rs`.
//!
//! OpenSSL may call back into Python from inside a read or a write (to ask for a certificate when a
//! handshake begins anew), and a method lets other threads run. So no call holds a borrow of ours,
//! and a call that comes to the same connection meanwhile finds it busy, be it with a direct call
//! or with a method, and goes the way of the method: what then happens in OpenSSL is what happens
//! under asyncio, behind the lock that newer Pythons put around it.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

use pyo3::types::{PyAny, PyAnyMethods, PyByteArray, PyBytes};
use pyo3::{Bound, PyResult, PyTraverseError, PyVisit, Python};

use crate::buffer::{self, View};
use crate::bytes::Filling;
use crate::cell::{GilCell, GilSlot};

mod library;

pub use library::Library;

use library::{POINTER, SSL, word};

/// How much is read into memory of our own before it is copied, once, into an object of its size.
const SMALL: usize = 8 * 1024;
/// The most bytes in a record.
const RECORD: usize = 16 * 1024;

const SSL_ERROR_WANT_READ: c_int = 2;
const SSL_ERROR_WANT_WRITE: c_int = 3;
const SSL_ERROR_ZERO_RETURN: c_int = 6;
const SSL_RECEIVED_SHUTDOWN: c_int = 2;

/// How an operation ended that did not do all it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// More bytes must come in first.
    Again,
    /// The other side has said that it will send no more.
    Closed,
    /// Something else: the method of the Python object will say what.
    Unclear,
}

/// The pointers of one connection.
#[derive(Clone, Copy)]
struct Pointers {
    library: &'static Library,
    ssl: *mut c_void,
    incoming: *mut c_void,
    outgoing: *mut c_void,
}

// SAFETY: they are only followed by who holds the GIL and keeps their objects alive.
unsafe impl Send for Pointers {}

/// A TLS connection on which records are read and written directly, once it is open.
pub struct Connection {
    /// Invariant: while it is filled, it keeps the three objects of `pointers` alive: the socket
    /// owns its `SSL`, which owns both BIOs.
    socket: GilSlot,
    pointers: GilCell<Option<Pointers>>,
    /// Whether a call into OpenSSL is under way: a callback from inside it may come by here again.
    is_busy: GilCell<bool>,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

/// Marks a connection as busy for as long as it lives.
pub struct Busy<'a, 'py> {
    connection: &'a Connection,
    py: Python<'py>,
    /// Of a direct call: what keeps its pointers alive.
    _socket: Option<Bound<'py, PyAny>>,
}

impl Drop for Busy<'_, '_> {
    fn drop(&mut self) {
        self.connection.is_busy.set(self.py, false);
    }
}

impl Connection {
    /// One that is not open.
    pub const fn new() -> Self {
        Self { socket: GilSlot::new(), pointers: GilCell::new(None), is_busy: GilCell::new(false) }
    }

    /// Takes the pointers out of an `_ssl._SSLSocket` and its two `ssl.MemoryBIO`s. Whether it
    /// could.
    pub fn open(
        &self,
        socket: &Bound<'_, PyAny>,
        incoming: &Bound<'_, PyAny>,
        outgoing: &Bound<'_, PyAny>,
    ) -> bool {
        let py = socket.py();
        let Some(library) = Library::find(py) else {
            return false;
        };
        let genuine = socket.get_type().is(&library.socket_class)
            && incoming.get_type().is(&library.bio_class)
            && outgoing.get_type().is(&library.bio_class);
        if !genuine {
            return false;
        }
        // SAFETY: of this very class, whose length and layout were looked at to find the library.
        let ssl = unsafe { word(socket, SSL) };
        // SAFETY: the pointer stands where it was found; the BIOs are of the class looked at.
        if !unsafe { library.belong_together(ssl, incoming, outgoing) } {
            return false;
        }
        self.socket.slot(py).set(socket.clone());
        // SAFETY: as above.
        let incoming = unsafe { word(incoming, POINTER) };
        // SAFETY: as above.
        let outgoing = unsafe { word(outgoing, POINTER) };
        self.pointers.set(py, Some(Pointers { library, ssl, incoming, outgoing }));
        true
    }

    /// Forgets the connection. The drop of the socket may run Python.
    pub fn close(&self, py: Python<'_>) {
        self.pointers.set(py, None);
        self.socket.slot(py).clear(py);
    }

    /// Whether it is open.
    #[inline]
    pub fn is_open(&self, py: Python<'_>) -> bool {
        self.pointers.get(py).is_some()
    }

    /// Shows the socket to the garbage collector.
    ///
    /// # Errors
    ///
    /// What the visit says.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.socket.visit(|slot| slot.visit(visit))
    }

    /// Marks it as busy while a method of the Python object is called; None if it is already.
    ///
    /// Whoever comes by meanwhile, from inside the call or in another thread, goes the way of the
    /// method too.
    #[inline]
    pub fn hold<'py>(&self, py: Python<'py>) -> Option<Busy<'_, 'py>> {
        if self.is_busy.get(py) {
            return None;
        }
        self.is_busy.set(py, true);
        Some(Busy { connection: self, py, _socket: None })
    }

    /// The pointers, for a call that may run Python: nobody else gets them until it is over, and
    /// the socket lives at least as long.
    #[inline]
    fn enter<'a, 'py>(&'a self, py: Python<'py>) -> Option<(Pointers, Busy<'a, 'py>)> {
        if self.is_busy.get(py) {
            return None;
        }
        let pointers = self.pointers.get(py)?;
        let socket = self.socket.slot(py).get(py)?;
        self.is_busy.set(py, true);
        Some((pointers, Busy { connection: self, py, _socket: Some(socket) }))
    }

    /// How many bytes have come in and were not looked at.
    #[inline]
    pub fn pending_in(&self, py: Python<'_>) -> Option<usize> {
        let this = self.pointers.get(py)?;
        // SAFETY: the socket keeps the BIO alive.
        Some(unsafe { (this.library.bio_pending)(this.incoming) })
    }

    /// How many bytes have come in or were decrypted, and were not handed on. With none, a read can
    /// only ask for more.
    #[inline]
    pub fn pending(&self, py: Python<'_>) -> usize {
        self.pointers.get(py).map_or(0, |this| this.pending())
    }

    /// How many bytes wait to go out.
    #[inline]
    pub fn pending_out(&self, py: Python<'_>) -> Option<usize> {
        let this = self.pointers.get(py)?;
        // SAFETY: the socket keeps the BIO alive.
        Some(unsafe { (this.library.bio_pending)(this.outgoing) })
    }

    /// Takes in what came from below. Whether it could: if not, nothing was taken.
    pub fn feed(&self, py: Python<'_>, data: &[u8]) -> bool {
        let Some(this) = self.pointers.get(py) else {
            return false;
        };
        let Ok(size) = c_int::try_from(data.len()) else {
            return false;
        };
        // SAFETY: the socket keeps the BIO alive; it copies `size` bytes. One in memory takes all
        // or, without memory for them, none.
        size == 0
            || unsafe { (this.library.bio_write)(this.incoming, data.as_ptr().cast(), size) } > 0
    }

    /// The same with the first `size` bytes of a bytearray.
    pub fn feed_from(&self, data: &Bound<'_, PyByteArray>, size: usize) -> bool {
        buffer::with_bytearray(data, size, |bytes| self.feed(data.py(), bytes))
    }

    /// What is to go out, if anything, as one object.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn drain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let Some(this) = self.pointers.get(py) else {
            return Ok(None);
        };
        // SAFETY: the socket keeps the BIO alive.
        let pending = unsafe { (this.library.bio_pending)(this.outgoing) };
        let size = c_int::try_from(pending).unwrap_or(c_int::MAX);
        if size == 0 {
            return Ok(None);
        }
        let mut all = Filling::new(py, size.unsigned_abs() as usize)?;
        // SAFETY: as above; there is room for `size` bytes.
        let count = unsafe { (this.library.bio_read)(this.outgoing, all.end().cast(), size) };
        all.filled += usize::try_from(count).unwrap_or(0);
        all.finish().map(Some)
    }

    /// Encrypts the bytes of `data` from `start` on: how many, or why none. It may run Python.
    pub fn write(&self, data: &View<'_>, start: usize, py: Python<'_>) -> Result<usize, End> {
        let Some((this, _busy)) = self.enter(py) else {
            return Err(End::Unclear);
        };
        let rest = data.len().saturating_sub(start);
        let mut count = 0;
        this.library.forget_errors();
        // SAFETY: the socket and the bytes are kept alive, `rest` of them stand behind `start`.
        let done =
            unsafe { (this.library.ssl_write)(this.ssl, data.at(start).cast(), rest, &mut count) };
        if done == 1 { Ok(count) } else { Err(this.end(done)) }
    }

    /// Decrypts into `place`, which can be written, from `start` to `stop`: how many bytes, or why
    /// none. It may run Python.
    pub fn read_into(
        &self,
        place: &View<'_>,
        start: usize,
        stop: usize,
        py: Python<'_>,
    ) -> Result<usize, End> {
        let Some((this, _busy)) = self.enter(py) else {
            return Err(End::Unclear);
        };
        let room = stop.min(place.len()).saturating_sub(start);
        this.library.forget_errors();
        // SAFETY: the place is held, can be written, and has that room behind `start`.
        unsafe { this.read(place.at(start), room) }
    }

    /// Decrypts all that can be decrypted, and says why that was all. It may run Python.
    ///
    /// # Errors
    ///
    /// `MemoryError`.
    pub fn read<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyBytes>>, End)> {
        let Some((this, _busy)) = self.enter(py) else {
            return Ok((None, End::Unclear));
        };
        this.library.forget_errors();
        let expected = this.pending();
        if expected > SMALL {
            return this.read_large(Filling::new(py, expected)?);
        }
        let mut memory = [MaybeUninit::<u8>::uninit(); SMALL];
        let mut filled = 0;
        while filled < SMALL {
            // SAFETY: there are that many bytes of our own behind those that are filled.
            match unsafe { this.read(memory[filled..].as_mut_ptr().cast(), SMALL - filled) } {
                Ok(count) => filled += count,
                Err(end) => return Ok((bytes(py, &memory[..filled])?, end)),
            }
            if this.pending() == 0 {
                return Ok((bytes(py, &memory[..filled])?, End::Again));
            }
        }
        let mut all = Filling::new(py, filled + this.pending().max(RECORD))?;
        // SAFETY: there is room for all that was read, in memory of its own.
        unsafe { ptr::copy_nonoverlapping(memory.as_ptr().cast(), all.end(), filled) };
        all.filled = filled;
        this.read_large(all)
    }
}

impl Pointers {
    /// How many bytes there are at the most, but for a record whose end has just come in.
    fn pending(&self) -> usize {
        // SAFETY: whoever has the pointers keeps the connection alive.
        let inside = unsafe { (self.library.ssl_pending)(self.ssl) };
        // SAFETY: as above.
        let outside = unsafe { (self.library.bio_pending)(self.incoming) };
        outside + usize::try_from(inside).unwrap_or(0)
    }

    /// Decrypts at most a record.
    ///
    /// # Safety
    ///
    /// `room` bytes can be written at `place`.
    #[inline]
    unsafe fn read(&self, place: *mut u8, room: usize) -> Result<usize, End> {
        let mut count = 0;
        // SAFETY: the caller answers for the place; whoever has the pointers keeps the connection.
        let done = unsafe { (self.library.ssl_read)(self.ssl, place.cast(), room, &mut count) };
        if done == 1 { Ok(count) } else { Err(self.end(done)) }
    }

    fn read_large<'py>(
        &self,
        mut all: Filling<'py>,
    ) -> PyResult<(Option<Bound<'py, PyBytes>>, End)> {
        loop {
            // SAFETY: there is that room behind what is filled.
            match unsafe { self.read(all.end(), all.room()) } {
                Ok(count) => all.filled += count,
                Err(end) => return Ok((all.finish_if_any()?, end)),
            }
            // Without a byte outside and inside, another read could only ask for more.
            let more = self.pending();
            if more == 0 {
                return Ok((all.finish_if_any()?, End::Again));
            }
            if all.room() == 0 {
                all.resize(all.filled + more.max(RECORD))?;
            }
        }
    }

    /// What a call means that returned `done`, which is not success.
    fn end(&self, done: c_int) -> End {
        // SAFETY: whoever has the pointers keeps the connection alive.
        match unsafe { (self.library.ssl_error)(self.ssl, done) } {
            SSL_ERROR_WANT_READ | SSL_ERROR_WANT_WRITE => End::Again,
            SSL_ERROR_ZERO_RETURN if self.is_only_received() => End::Closed,
            _ => End::Unclear,
        }
    }

    /// Whether the other side has said goodbye and we have not: to `_ssl` only that is an end, and
    /// anything else an error.
    fn is_only_received(&self) -> bool {
        // SAFETY: whoever has the pointers keeps the connection alive.
        unsafe { (self.library.ssl_shutdown)(self.ssl) == SSL_RECEIVED_SHUTDOWN }
    }
}

fn bytes<'py>(
    py: Python<'py>,
    memory: &[MaybeUninit<u8>],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    if memory.is_empty() {
        return Ok(None);
    }
    let mut all = Filling::new(py, memory.len())?;
    // SAFETY: there is room for just these bytes, in memory of its own; the caller has filled them.
    unsafe { ptr::copy_nonoverlapping(memory.as_ptr().cast(), all.end(), memory.len()) };
    all.filled = memory.len();
    all.finish().map(Some)
}
