//! How bytes get through OpenSSL: the `ssl.SSLObject` of a connection and its two `MemoryBIO`s.
//!
//! There are three ways, chosen by what stands in `_sslobj`, `_incoming` and `_outgoing`:
//!
//! - *any object*: just the calls that asyncio makes, for whoever put something of his own there;
//! - *methods*: the objects are Python's own. The method under `SSLObject.read` is called, without
//!   its Python frame, and not once more only to hear that there is no more;
//! - *direct*: the handshake is done and the layout is known. No Python at all, see
//!   [`batonloop_cpython::openssl`].

use batonloop_cpython::buffer::View;
use batonloop_cpython::bytes::copied;
use batonloop_cpython::cell::{GilCell, GilSlot};
use batonloop_cpython::openssl::{Connection, End};
use pyo3::call::PyCallArgs;
use pyo3::types::{
    PyAny, PyAnyMethods, PyByteArray, PyBytes, PyDict, PyList, PyMemoryView, PySlice, PyString,
};
use pyo3::{Bound, PyErr, PyResult, PyTraverseError, PyVisit, Python, intern};

use crate::names;
use crate::transports::MAX_SIZE;

/// The most that one read of `_ssl` gives, the contents of a record.
const RECORD: usize = 16 * 1024;

/// What is longer is encrypted by the method: it lets other threads run meanwhile.
const LONG: usize = 256 * 1024;

/// Whether connections made from now on may use the direct way.
static MAY_BE_DIRECT: GilCell<bool> = GilCell::new(true);

/// Lets connections that are made from now on use the direct way, where that is proven, or not.
pub(crate) fn allow_direct(py: Python<'_>, allowed: bool) {
    MAY_BE_DIRECT.set(py, allowed);
}

/// The way that connections made now will go once their handshake is done.
pub(crate) fn way(py: Python<'_>) -> &'static str {
    let direct = MAY_BE_DIRECT.get(py) && batonloop_cpython::openssl::Library::find(py).is_some();
    if direct { "direct" } else { "methods" }
}

/// Why there was no more to read.
pub(super) enum Ending {
    /// More has to come in.
    Again,
    /// The other side has said goodbye.
    Closed,
    /// OpenSSL, or what stands in its place, has raised.
    Failed(PyErr),
}

/// What was read.
pub(super) struct Received<'py> {
    pub(super) data: Option<Bound<'py, PyAny>>,
    pub(super) ending: Ending,
}

/// The objects of one connection.
pub(crate) struct Engine {
    pub(super) sslobj: GilSlot,
    pub(super) incoming: GilSlot,
    pub(super) outgoing: GilSlot,
    /// What has the methods `read`, `write` and `pending`: `sslobj`, or what that wraps.
    reader: GilSlot,
    /// Whether all of it is Python's own.
    is_genuine: GilCell<bool>,
    direct: Connection,
}

impl Engine {
    pub(super) const fn new() -> Self {
        Self {
            sslobj: GilSlot::new(),
            incoming: GilSlot::new(),
            outgoing: GilSlot::new(),
            reader: GilSlot::new(),
            is_genuine: GilCell::new(false),
            direct: Connection::new(),
        }
    }

    /// A new connection of this context.
    pub(super) fn wrap(
        &self,
        context: &Bound<'_, PyAny>,
        server_side: &Bound<'_, PyAny>,
        server_hostname: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = context.py();
        let incoming = names::SSL_MEMORY_BIO.get(py)?.call0()?;
        let outgoing = names::SSL_MEMORY_BIO.get(py)?.call0()?;
        self.incoming.slot(py).set(incoming.clone());
        self.outgoing.slot(py).set(outgoing.clone());
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "server_side"), server_side)?;
        keywords.set_item(intern!(py, "server_hostname"), server_hostname)?;
        let sslobj =
            context.call_method(intern!(py, "wrap_bio"), (incoming, outgoing), Some(&keywords))?;
        self.sslobj.slot(py).set(sslobj);
        self.adopt(py)
    }

    /// Looks what the three objects are, after one of them was put there.
    pub(super) fn adopt(&self, py: Python<'_>) -> PyResult<()> {
        self.direct.close(py);
        let sslobj = get(&self.sslobj, py);
        let bio = names::SSL_MEMORY_BIO.get(py)?;
        let genuine = sslobj.get_type().is(names::SSL_OBJECT.get(py)?)
            && get(&self.incoming, py).get_type().is(bio)
            && get(&self.outgoing, py).get_type().is(bio);
        self.is_genuine.set(py, genuine);
        let reader = if genuine { sslobj.getattr(intern!(py, "_sslobj"))? } else { sslobj };
        self.reader.slot(py).set(reader);
        Ok(())
    }

    /// The handshake is done: goes the direct way from now on, if that can be.
    pub(super) fn open_direct(&self, context: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = context.py();
        if !self.is_genuine.get(py) || !MAY_BE_DIRECT.get(py) {
            return Ok(());
        }
        // What such a callback raises comes out of the method only.
        if !context.getattr(intern!(py, "_msg_callback"))?.is_none() {
            return Ok(());
        }
        let [reader, incoming, outgoing] =
            [&self.reader, &self.incoming, &self.outgoing].map(|slot| get(slot, py));
        self.direct.open(&reader, &incoming, &outgoing);
        Ok(())
    }

    /// Whether records are read and written without Python.
    pub(super) fn is_direct(&self, py: Python<'_>) -> bool {
        self.direct.is_open(py)
    }

    /// Whether it is all Python's own, so that nobody watches the calls.
    pub(super) fn is_genuine(&self, py: Python<'_>) -> bool {
        self.is_genuine.get(py)
    }

    /// Takes in what came from below.
    #[inline]
    pub(super) fn feed(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if self.direct.feed(py, data) {
            return Ok(());
        }
        let data = copied(py, data).map_err(|error| *error)?;
        get(&self.incoming, py).call_method1(intern!(py, "write"), (data,))?;
        Ok(())
    }

    /// Takes in the first `size` bytes of a bytearray.
    #[inline]
    pub(super) fn feed_from(&self, data: &Bound<'_, PyByteArray>, size: usize) -> PyResult<()> {
        if self.direct.feed_from(data, size) {
            return Ok(());
        }
        let py = data.py();
        let view = PyMemoryView::from(data.as_any())?;
        let part = view.get_item(PySlice::new(py, 0, size.cast_signed(), 1))?;
        get(&self.incoming, py).call_method1(intern!(py, "write"), (part,))?;
        Ok(())
    }

    /// How many bytes came in and were not looked at.
    pub(super) fn pending_in(&self, py: Python<'_>) -> PyResult<usize> {
        if let Some(pending) = self.direct.pending_in(py) {
            return Ok(pending);
        }
        get(&self.incoming, py).getattr(intern!(py, "pending"))?.extract()
    }

    /// How many bytes wait to go out.
    #[inline]
    pub(super) fn pending_out(&self, py: Python<'_>) -> PyResult<usize> {
        if let Some(pending) = self.direct.pending_out(py) {
            return Ok(pending);
        }
        get(&self.outgoing, py).getattr(intern!(py, "pending"))?.extract()
    }

    /// Calls a public method of what stands in `_sslobj`.
    pub(super) fn call_public<'py>(
        &self,
        method: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.call(&get(&self.sslobj, method.py()), method, ())
    }

    /// Calls a method that goes into OpenSSL and may run Python there.
    fn call<'py>(
        &self,
        object: &Bound<'py, PyAny>,
        method: &Bound<'py, PyString>,
        arguments: impl PyCallArgs<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _busy = self.direct.hold(object.py());
        object.call_method1(method, arguments)
    }

    /// Whether another read could give something.
    fn may_have_more(&self, py: Python<'_>) -> PyResult<bool> {
        if self.direct.is_open(py) {
            return Ok(self.direct.pending(py) > 0);
        }
        if !self.is_genuine.get(py) || self.pending_in(py)? > 0 {
            return Ok(true);
        }
        get(&self.reader, py).call_method0(intern!(py, "pending"))?.is_truthy()
    }

    /// All that can be decrypted now, as one object.
    #[inline]
    pub(super) fn read<'py>(&self, py: Python<'py>) -> PyResult<Received<'py>> {
        if !self.direct.is_open(py) {
            return self.read_by_method(py, Vec::new());
        }
        let (data, end) = self.direct.read(py)?;
        let data = data.map(Bound::into_any);
        match end {
            End::Again => Ok(Received { data, ending: Ending::Again }),
            End::Closed => Ok(Received { data, ending: Ending::Closed }),
            End::Unclear => self.read_by_method(py, data.into_iter().collect()),
        }
    }

    #[cold]
    fn read_by_method<'py>(
        &self,
        py: Python<'py>,
        mut pieces: Vec<Bound<'py, PyAny>>,
    ) -> PyResult<Received<'py>> {
        let reader = get(&self.reader, py);
        let size = if self.is_genuine.get(py) { RECORD } else { MAX_SIZE };
        let ending = loop {
            let piece = match self.call(&reader, intern!(py, "read"), (size,)) {
                Ok(piece) => piece,
                Err(error) if is_again(&error, py) => break Ending::Again,
                Err(error) => break Ending::Failed(error),
            };
            if !piece.is_truthy()? {
                break Ending::Closed;
            }
            pieces.push(piece);
            if !self.may_have_more(py)? {
                break Ending::Again;
            }
        };
        let data = if pieces.len() > 1 { Some(join(py, pieces)?) } else { pieces.pop() };
        Ok(Received { data, ending })
    }

    /// Decrypts into a buffer of the application's, behind its first `start` bytes: how many, zero
    /// at the end; None if more has to come in.
    pub(super) fn read_into<'py>(
        &self,
        buffer: &Bound<'py, PyAny>,
        view: Option<&View<'py>>,
        start: usize,
        stop: usize,
    ) -> PyResult<Option<usize>> {
        let py = buffer.py();
        if start > 0 && !self.may_have_more(py)? {
            return Ok(None);
        }
        if let Some(view) = view
            && start < stop.min(view.len())
        {
            match self.direct.read_into(view, start, stop, py) {
                Ok(count) => return Ok(Some(count)),
                Err(End::Again) => return Ok(None),
                Err(End::Closed) => return Ok(Some(0)),
                Err(End::Unclear) => {}
            }
        }
        let place = if start == 0 { buffer.clone() } else { behind(buffer, start)? };
        let arguments = (stop.saturating_sub(start), place);
        match self.call(&get(&self.reader, py), intern!(py, "read"), arguments) {
            Ok(count) => Ok(Some(count.extract()?)),
            Err(error) if is_again(&error, py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The memory of the application's buffer, where it can be used without Python.
    pub(super) fn view<'py>(&self, buffer: &Bound<'py, PyAny>) -> Option<View<'py>> {
        // What has no memory to write to is refused by the method, in its own words.
        self.is_direct(buffer.py()).then(|| View::write(buffer).ok()).flatten()
    }

    /// Encrypts the bytes of `data`, of which `view` is the memory, from `start` on: how many, or
    /// None if something has to come in first.
    #[inline]
    pub(super) fn write<'py>(
        &self,
        data: &Bound<'py, PyAny>,
        view: &View<'py>,
        start: usize,
    ) -> PyResult<Option<usize>> {
        let py = data.py();
        if self.direct.is_open(py) && view.len() - start <= LONG {
            match self.direct.write(view, start, py) {
                Ok(count) => return Ok(Some(count)),
                Err(End::Again) => return Ok(None),
                Err(End::Closed | End::Unclear) => {}
            }
        }
        let rest = if start == 0 { data.clone() } else { view.copy_from(start)?.into_any() };
        match self.call(&get(&self.reader, py), intern!(py, "write"), (rest,)) {
            Ok(count) => Ok(Some(count.extract()?)),
            Err(error) if is_again(&error, py) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is to go out, if anything.
    #[inline]
    pub(super) fn drain<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.direct.is_open(py) {
            return Ok(self.direct.drain(py)?.map(Bound::into_any));
        }
        let data = get(&self.outgoing, py).call_method0(intern!(py, "read"))?;
        Ok(if data.len()? > 0 { Some(data) } else { None })
    }

    /// Shows its objects to the garbage collector.
    pub(super) fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for place in self.places() {
            place.visit(|slot| slot.visit(visit))?;
        }
        self.direct.visit(visit)
    }

    /// Every place, for the collector; the connection has more.
    fn places(&self) -> [&GilSlot; 4] {
        // Every field is named, so that none is forgotten.
        let Self { sslobj, incoming, outgoing, reader, is_genuine: _, direct: _ } = self;
        [sslobj, incoming, outgoing, reader]
    }

    /// Lets its objects go.
    pub(super) fn clear(&self, py: Python<'_>) {
        self.is_genuine.set(py, false);
        self.direct.close(py);
        for place in self.places() {
            place.slot(py).clear(py);
        }
    }
}

/// What stands in a place; None if nothing does.
pub(super) fn get<'py>(place: &GilSlot, py: Python<'py>) -> Bound<'py, PyAny> {
    place.slot(py).get(py).unwrap_or_else(|| names::none(py))
}

/// Whether OpenSSL only wants more bytes.
pub(super) fn is_again(error: &PyErr, py: Python<'_>) -> bool {
    [&names::SSL_WANT_READ_ERROR, &names::SSL_SYSCALL_ERROR]
        .iter()
        .any(|class| class.get(py).is_ok_and(|class| error.is_instance(py, class)))
}

fn join<'py>(py: Python<'py>, pieces: Vec<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let pieces = PyList::new(py, pieces)?;
    PyBytes::new(py, b"").call_method1(intern!(py, "join"), (pieces,))
}

/// The bytes of a buffer behind the first `start`.
fn behind<'py>(buffer: &Bound<'py, PyAny>, start: usize) -> PyResult<Bound<'py, PyAny>> {
    let py = buffer.py();
    let bytes = PyMemoryView::from(buffer)?.call_method1(intern!(py, "cast"), ("B",))?;
    bytes.get_item(PySlice::new(py, start.cast_signed(), isize::MAX, 1))
}
