//! The life of an object of one of our own C types: born, found, visited, cleared, buried.
//!
//! A [`Kind`] is a marker: `Bound<'py, Future>` is a checked reference to an object that is laid
//! out as the marker's fields say. The markers cannot be made; they only name a layout.
//!
//! ```text
//!            1 allocate                        4 dealloc
//!   (free list) ────────▶ alive, tracked ─────────────────▶ untracked, slots emptied
//!        ▲                   │  ▲                               │
//!        │         2 finalize│  │3 resurrected                  │ 5 exact type, room left
//!        └───────────────────┴──┴───────────────────────────────┘      else tp_free
//! ```

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_int, c_void};
use std::ptr;

use pyo3::types::{DerefToPyAny, PyAny};
use pyo3::{Bound, PyErr, PyResult, PyTypeInfo, Python, ffi};

use crate::collector;
use crate::layout::{
    FutureFields, HandleFields, SSLTransportFields, SleepFields, SocketCallFields, TaskFields,
    TimerHandleFields, TransportFields,
};
use crate::slot::Slot;

pub use gatherings::Gathering;

/// How many dead objects of a kind are kept for the next ones.
const FREE_LIST_CAPACITY: usize = 1024;

/// A type of ours with its own C struct.
///
/// # Safety
///
/// Every object whose type is the kind's type object, or derives from it, must be laid out as
/// `Fields`, and all zero bits must be a valid `Fields`.
pub unsafe trait Kind: Sized + 'static {
    /// The struct.
    type Fields: 'static;

    /// Where the struct has a place for a dict and for weak references, if the type is built with
    /// those.
    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] = [0; 2];

    /// What belongs to the type as a whole.
    fn shared() -> &'static Shared;

    /// Every slot of the struct.
    fn each_slot(fields: &Self::Fields, visit: &mut impl FnMut(&Slot));

    /// Whether the finalizer would find something to do.
    fn needs_finalizer(fields: &Self::Fields) -> bool;

    /// Leaves every list that knows the object without owning it.
    fn unlink(_fields: &Self::Fields) {}
}

/// What belongs to a kind as a whole: its type object and its dead.
pub struct Shared {
    type_object: Cell<*mut ffi::PyTypeObject>,
    weakrefs_offset: Cell<isize>,
    free: UnsafeCell<Vec<*mut ffi::PyObject>>,
}

// SAFETY: all of it is read and written with the GIL held only.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) const fn new() -> Self {
        Self {
            type_object: Cell::new(ptr::null_mut()),
            weakrefs_offset: Cell::new(0),
            free: UnsafeCell::new(Vec::new()),
        }
    }

    /// Names the type object; once, before any object is made.
    pub(crate) fn set_type(&self, type_object: *mut ffi::PyTypeObject) {
        self.type_object.set(type_object);
        // SAFETY: the type object is alive and ready.
        let offset = unsafe { (*type_object).tp_weaklistoffset };
        self.weakrefs_offset.set(offset);
    }

    /// The type object; null before it was made.
    #[inline]
    pub(crate) fn type_object(&self) -> *mut ffi::PyTypeObject {
        self.type_object.get()
    }

    #[inline]
    fn pop_free(&self) -> Option<*mut ffi::PyObject> {
        // SAFETY: the GIL is held and nothing else borrows the list while this line runs.
        let free = unsafe { &mut *self.free.get() };
        free.pop()
    }

    #[inline]
    fn push_free(&self, object: *mut ffi::PyObject) -> bool {
        // SAFETY: the GIL is held and nothing else borrows the list while this block runs.
        let free = unsafe { &mut *self.free.get() };
        if free.len() >= FREE_LIST_CAPACITY {
            return false;
        }
        free.push(object);
        true
    }
}

/// Marks an object laid out as a future of ours, a task included.
pub enum Future {}
/// Marks an object laid out as a task of ours.
pub enum Task {}
/// Marks an object laid out as a handle of ours, a timer included.
pub enum Handle {}
/// Marks an object laid out as a timer of ours.
pub enum TimerHandle {}
/// Marks what `sleep(0)` returns.
pub enum Sleep {}
/// Marks what `sock_recv()` and its kin return.
pub enum SocketCall {}
/// Marks the transport of a connection.
pub enum SocketTransport {}
/// Marks an object laid out as a transport on top of TLS.
pub enum SSLTransport {}
/// Marks the transport of datagrams.
pub enum DatagramTransport {}
/// Marks the transport of a pipe's reading end.
pub enum ReadPipeTransport {}
/// Marks the transport of a pipe's writing end.
pub enum WritePipeTransport {}

static FUTURE: Shared = Shared::new();
static TASK: Shared = Shared::new();
static HANDLE: Shared = Shared::new();
static TIMER_HANDLE: Shared = Shared::new();
static SLEEP: Shared = Shared::new();
static SOCKET_CALL: Shared = Shared::new();
static SOCKET_TRANSPORT: Shared = Shared::new();
static SSL_TRANSPORT: Shared = Shared::new();
static DATAGRAM_TRANSPORT: Shared = Shared::new();
static READ_PIPE_TRANSPORT: Shared = Shared::new();
static WRITE_PIPE_TRANSPORT: Shared = Shared::new();

// SAFETY: the type is only made by the builder, with the size of the fields and, in the shared
// flavour, on a base whose layout was compared with them; every field is valid as zero bits.
unsafe impl Kind for Future {
    type Fields = FutureFields;

    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] = FutureFields::DICT_AND_WEAKREFS;

    fn shared() -> &'static Shared {
        &FUTURE
    }

    #[inline]
    fn each_slot(fields: &FutureFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &FutureFields) -> bool {
        fields.log_traceback()
    }
}

// SAFETY: as for `Future`.
unsafe impl Kind for Task {
    type Fields = TaskFields;

    #[cfg(not(Py_3_13))]
    const DICT_AND_WEAKREFS: [usize; 2] = FutureFields::DICT_AND_WEAKREFS;

    fn shared() -> &'static Shared {
        &TASK
    }

    #[inline]
    fn each_slot(fields: &TaskFields, visit: &mut impl FnMut(&Slot)) {
        fields.future().each_slot(visit);
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &TaskFields) -> bool {
        fields.future().log_traceback() || fields.future().state() == 0
    }

    #[inline]
    fn unlink(fields: &TaskFields) {
        known::unlink(fields);
    }
}

// SAFETY: as for `Future`; the base is the Python class `asyncio.Handle`, whose slots were
// compared with the fields.
unsafe impl Kind for Handle {
    type Fields = HandleFields;

    fn shared() -> &'static Shared {
        &HANDLE
    }

    #[inline]
    fn each_slot(fields: &HandleFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(_fields: &HandleFields) -> bool {
        false
    }
}

// SAFETY: as for `Handle`.
unsafe impl Kind for TimerHandle {
    type Fields = TimerHandleFields;

    fn shared() -> &'static Shared {
        &TIMER_HANDLE
    }

    #[inline]
    fn each_slot(fields: &TimerHandleFields, visit: &mut impl FnMut(&Slot)) {
        fields.handle().each_slot(visit);
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(_fields: &TimerHandleFields) -> bool {
        false
    }
}

// SAFETY: the type is only made by the builder, with the size of the fields, on `object`; every
// field is valid as zero bits.
unsafe impl Kind for Sleep {
    type Fields = SleepFields;

    fn shared() -> &'static Shared {
        &SLEEP
    }

    #[inline]
    fn each_slot(fields: &SleepFields, visit: &mut impl FnMut(&Slot)) {
        visit(&fields.result);
    }

    #[inline]
    fn needs_finalizer(fields: &SleepFields) -> bool {
        fields.stage() == 0
    }
}

// SAFETY: as for `Sleep`.
unsafe impl Kind for SocketCall {
    type Fields = SocketCallFields;

    fn shared() -> &'static Shared {
        &SOCKET_CALL
    }

    #[inline]
    fn each_slot(fields: &SocketCallFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &SocketCallFields) -> bool {
        fields.stage() == 0
    }
}

macro_rules! transport_kinds {
    ($($kind:ident in $shared:ident),*) => {$(
        // SAFETY: the type is only made by the builder, with the size of the fields, on bases whose
        // slots were compared with them; every field is valid as zero bits.
        unsafe impl Kind for $kind {
            type Fields = TransportFields;

            #[cfg(not(Py_3_13))]
            const DICT_AND_WEAKREFS: [usize; 2] = TransportFields::DICT_AND_WEAKREFS;

            fn shared() -> &'static Shared {
                &$shared
            }

            #[inline]
            fn each_slot(fields: &TransportFields, visit: &mut impl FnMut(&Slot)) {
                fields.each_slot(visit);
            }

            #[inline]
            fn needs_finalizer(fields: &TransportFields) -> bool {
                fields.is_open()
            }

            #[inline]
            fn unlink(fields: &TransportFields) {
                owners::forget(fields);
                #[cfg(Py_3_13)]
                fields.leave_clients();
            }
        }
    )*};
}

transport_kinds!(
    SocketTransport in SOCKET_TRANSPORT,
    DatagramTransport in DATAGRAM_TRANSPORT,
    ReadPipeTransport in READ_PIPE_TRANSPORT,
    WritePipeTransport in WRITE_PIPE_TRANSPORT
);

// SAFETY: as for `Handle`; the base is the Python class `_FlowControlMixin`.
unsafe impl Kind for SSLTransport {
    type Fields = SSLTransportFields;

    fn shared() -> &'static Shared {
        &SSL_TRANSPORT
    }

    #[inline]
    fn each_slot(fields: &SSLTransportFields, visit: &mut impl FnMut(&Slot)) {
        fields.each_slot(visit);
    }

    #[inline]
    fn needs_finalizer(fields: &SSLTransportFields) -> bool {
        fields.is_open()
    }
}

macro_rules! type_info {
    ($($kind:ident),*) => {$(
        // SAFETY: a `Bound` of the kind is only made after this check or an equal one, and the
        // type object is made before any object is.
        unsafe impl PyTypeInfo for $kind {
            fn type_object_raw(_py: Python<'_>) -> *mut ffi::PyTypeObject {
                Self::shared().type_object.get()
            }
        }

        impl DerefToPyAny for $kind {}
    )*};
}

type_info!(Future, Task, Handle, TimerHandle, Sleep, SocketCall, SSLTransport);
type_info!(SocketTransport, DatagramTransport, ReadPipeTransport, WritePipeTransport);

/// The fields of an object of a known kind.
pub trait Fields<K: Kind> {
    /// The struct itself.
    fn fields(&self) -> &K::Fields;
}

impl<K: Kind> Fields<K> for Bound<'_, K> {
    #[inline]
    fn fields(&self) -> &K::Fields {
        // SAFETY: `Bound<K>` is only made after a check of the type, so the object is laid out
        // as `Fields`, and it lives as long as the reference that is borrowed here. The fields
        // are cells, so shared references to them may coexist.
        unsafe { &*self.as_ptr().cast::<K::Fields>() }
    }
}

/// Whether `object` is exactly of the kind's own type.
#[inline]
pub fn is_exact<K: Kind>(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the object is alive.
    let type_object = unsafe { ffi::Py_TYPE(object.as_ptr()) };
    type_object == K::shared().type_object.get()
}

/// `object` as one of the kind's own type, not of a subclass.
#[inline]
pub fn cast_exact<'a, 'py, K: Kind>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, K>> {
    if !is_exact::<K>(object) {
        return None;
    }
    // SAFETY: the type was just compared.
    Some(unsafe { object.cast_unchecked() })
}

/// `object` as one of the kind, subclasses included.
#[inline]
pub fn cast<'a, 'py, K: Kind>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, K>> {
    let type_object = K::shared().type_object.get();
    if type_object.is_null() {
        return None;
    }
    // SAFETY: the object is alive, and so is the kind's type object.
    if unsafe { ffi::PyObject_TypeCheck(object.as_ptr(), type_object) } == 0 {
        return None;
    }
    // SAFETY: the type was just checked.
    Some(unsafe { object.cast_unchecked() })
}

/// A task as the future that it is.
#[inline]
pub fn task_as_future<'a, 'py>(task: &'a Bound<'py, Task>) -> &'a Bound<'py, Future> {
    // SAFETY: a task's struct begins with a future's, and its type derives from the future's.
    unsafe { task.as_any().cast_unchecked() }
}

/// `object` as a future, if it is exactly one of our own futures or tasks or what `gather()` gives,
/// not of a subclass. Tasks and gatherings are cancelled in their own ways.
#[inline(always)]
pub fn cast_exact_future<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Future>> {
    cast_exact::<Future>(object)
        .or_else(|| cast_exact::<Task>(object).map(task_as_future))
        .or_else(|| cast_exact::<Gathering>(object).map(gatherings::as_future))
}

/// A timer as the handle that it is.
#[inline]
pub fn timer_as_handle<'a, 'py>(timer: &'a Bound<'py, TimerHandle>) -> &'a Bound<'py, Handle> {
    // SAFETY: a timer's struct begins with a handle's, and its type derives from the handle's.
    unsafe { timer.as_any().cast_unchecked() }
}

/// A new object of the kind's own type, all slots empty, not initialised in any other way.
///
/// # Errors
///
/// `MemoryError`.
#[inline(always)]
pub fn allocate<K: Kind>(py: Python<'_>) -> PyResult<Bound<'_, K>> {
    let shared = K::shared();
    let type_object = shared.type_object.get();
    let Some(object) = shared.pop_free() else {
        // SAFETY: the type object is alive and ready; the call gives a zeroed, tracked object.
        let object = unsafe { ffi::PyType_GenericAlloc(type_object, 0) };
        // SAFETY: a new reference, or null with an exception set.
        let object = unsafe { Bound::<PyAny>::from_owned_ptr_or_err(py, object) }?;
        // SAFETY: it is of the kind's own type.
        return Ok(unsafe { object.cast_into_unchecked() });
    };
    let rest = size_of::<K::Fields>() - size_of::<ffi::PyObject>();
    // SAFETY: the head comes first in the struct.
    let body = unsafe { object.cast::<u8>().add(size_of::<ffi::PyObject>()) };
    // SAFETY: the memory is the body of a dead object of this very type, which nobody can reach.
    unsafe { ptr::write_bytes(body, 0, rest) };
    // SAFETY: an object of a heap type owns a reference to its type; the head still names it.
    unsafe { ffi::Py_INCREF(type_object.cast()) };
    // SAFETY: the memory is an object again; this counts the one reference and tells tracemalloc.
    unsafe { _Py_NewReference(object) };
    // SAFETY: the object was untracked when it died, not finalized, and all its slots are valid.
    unsafe { collector::track(object) };
    // SAFETY: a new object has one reference, which is ours.
    let object = unsafe { Bound::<PyAny>::from_owned_ptr(py, object) };
    // SAFETY: it is of the kind's own type.
    Ok(unsafe { object.cast_into_unchecked() })
}

/// `tp_new`: an object of the type or of a subclass, from the free list where it can.
pub(crate) unsafe extern "C" fn tp_new<K: Kind>(
    subtype: *mut ffi::PyTypeObject,
    _args: *mut ffi::PyObject,
    _kwargs: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    if subtype != K::shared().type_object.get() {
        // SAFETY: the interpreter passes a ready type that derives from ours.
        let Some(alloc) = (unsafe { (*subtype).tp_alloc }) else {
            return ptr::null_mut();
        };
        // SAFETY: as above.
        return unsafe { alloc(subtype, 0) };
    }
    // SAFETY: the interpreter calls slots with the GIL held.
    let py = unsafe { Python::assume_attached() };
    match allocate::<K>(py) {
        Ok(object) => object.into_ptr(),
        Err(error) => {
            error.restore(py);
            ptr::null_mut()
        }
    }
}

/// How many objects may die inside each other's death before the next one has to wait: a chain of
/// any length dies in a stack of this depth.
const DEEPEST_DEATH: usize = 50;

/// Those who wait, and how deep all threads together are.
struct Dying {
    depth: Cell<usize>,
    waiting: UnsafeCell<Vec<*mut ffi::PyObject>>,
    /// Whether somebody further out will look after those who wait.
    is_cared_for: Cell<bool>,
}

// SAFETY: read and written with the GIL held only.
unsafe impl Sync for Dying {}

impl Dying {
    /// Whether `object`, which is of one of our own types, has to wait.
    #[inline(always)]
    fn delays(&self, object: *mut ffi::PyObject) -> bool {
        self.depth.get() >= DEEPEST_DEATH && self.keep(object)
    }

    #[cold]
    fn keep(&self, object: *mut ffi::PyObject) -> bool {
        // SAFETY: the object is collected by cycles, tracked or not; nobody visits it from now on.
        unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
        // SAFETY: the GIL is held and nothing else borrows the list while this line runs.
        let waiting = unsafe { &mut *self.waiting.get() };
        waiting.push(object);
        true
    }

    /// Lets those die who wait.
    #[cold]
    fn bury(&self) {
        if self.is_cared_for.replace(true) {
            return;
        }
        loop {
            // SAFETY: the GIL is held and nothing else borrows the list while this line runs.
            let next = unsafe { &mut *self.waiting.get() }.pop();
            let Some(object) = next else {
                break;
            };
            // SAFETY: the object was untracked when it began to wait; a finalizer may revive it.
            unsafe { ffi::PyObject_GC_Track(object.cast()) };
            // SAFETY: the object waits for just this: it is dead, of one of our own types, and its
            // type lives as long as it does.
            unsafe { _Py_Dealloc(object) };
        }
        self.is_cared_for.set(false);
    }

    #[inline(always)]
    fn is_empty(&self) -> bool {
        // SAFETY: the GIL is held and nothing else borrows the list while this line runs.
        unsafe { &*self.waiting.get() }.is_empty()
    }
}

static DYING: Dying = Dying {
    depth: Cell::new(0),
    waiting: UnsafeCell::new(Vec::new()),
    is_cared_for: Cell::new(false),
};

/// `tp_dealloc`.
pub(crate) unsafe extern "C" fn tp_dealloc<K: Kind>(object: *mut ffi::PyObject) {
    // SAFETY: the object's type is alive as long as the object is.
    let type_object = unsafe { ffi::Py_TYPE(object) };
    if type_object != K::shared().type_object.get() {
        // The death began in a subclass, which has its own measures and does not wait for ours.
        // SAFETY: the interpreter passes a dead object of this type.
        return unsafe { die::<K, false>(object) };
    }
    if DYING.delays(object) {
        return;
    }
    DYING.depth.set(DYING.depth.get() + 1);
    // SAFETY: as above; its type was compared.
    unsafe { die::<K, true>(object) };
    DYING.depth.set(DYING.depth.get() - 1);
    if !DYING.is_empty() {
        DYING.bury();
    }
}

/// The death itself.
///
/// # Safety
///
/// The object is of kind `K`, of its own type if `EXACT`; nobody holds a reference to it; the GIL
/// is held.
#[inline(always)]
unsafe fn die<K: Kind, const EXACT: bool>(object: *mut ffi::PyObject) {
    let shared = K::shared();
    // SAFETY: the object is laid out as `Fields`; nobody else can reach it.
    let fields = unsafe { &*object.cast::<K::Fields>() };
    // SAFETY: the object's type is alive until the last line.
    let type_object = unsafe { ffi::Py_TYPE(object) };
    if !EXACT || K::needs_finalizer(fields) {
        // SAFETY: the call revives the object for the time of the finalizer.
        if unsafe { ffi::PyObject_CallFinalizerFromDealloc(object) } < 0 {
            return;
        }
    }
    // SAFETY: the object is collected by cycles, tracked or not.
    unsafe { collector::untrack(object) };
    K::unlink(fields);
    // SAFETY: the offset is the type's own, and names a pointer inside the object's memory.
    let weakrefs = unsafe { object.cast::<u8>().offset(shared.weakrefs_offset.get()) };
    // SAFETY: as above; a word, aligned.
    if shared.weakrefs_offset.get() != 0 && !unsafe { *weakrefs.cast::<*mut c_void>() }.is_null() {
        // SAFETY: the object supports weak references.
        unsafe { ffi::PyObject_ClearWeakRefs(object) };
    }
    // SAFETY: the object is dead and untracked; nobody else can reach it.
    unsafe { empty::<K>(object) };
    // The collector finalizes an object once, and marks it: such a one may not serve again, nor be
    // taken for one without a mark when it enters the collector's list anew.
    // SAFETY: the object is one that the collector knows.
    let finalized = EXACT && unsafe { collector::is_finalized(object) };
    if !(EXACT && !finalized && shared.push_free(object)) {
        // SAFETY: the type is alive; it holds the function that frees its objects.
        if let Some(free) = unsafe { (*type_object).tp_free } {
            // SAFETY: the object is empty, and its memory came from the type's allocator.
            unsafe { free(object.cast()) };
        }
    }
    // SAFETY: an object of a heap type owns a reference to its type.
    unsafe { ffi::Py_DECREF(type_object.cast()) };
}

/// Empties every slot and the dict; each drop may run Python.
///
/// # Safety
///
/// The object is of kind `K`, and the GIL is held.
unsafe fn empty<K: Kind>(object: *mut ffi::PyObject) {
    // SAFETY: the caller holds the GIL.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the object is laid out as `Fields`.
    let fields = unsafe { &*object.cast::<K::Fields>() };
    K::each_slot(fields, &mut |slot| {
        if !slot.is_empty() {
            slot.clear(py);
        }
    });
    #[cfg(Py_3_13)]
    if K::shared().has_dict() {
        // SAFETY: the object's type has a managed dict.
        unsafe { PyObject_ClearManagedDict(object) };
    }
}

unsafe extern "C" {
    fn _Py_NewReference(object: *mut ffi::PyObject);
    fn _Py_Dealloc(object: *mut ffi::PyObject);
}

#[cfg(Py_3_13)]
unsafe extern "C" {
    fn PyObject_VisitManagedDict(
        object: *mut ffi::PyObject,
        visit: ffi::visitproc,
        arg: *mut c_void,
    ) -> c_int;
    fn PyObject_ClearManagedDict(object: *mut ffi::PyObject);
}

#[cfg(Py_3_13)]
impl Shared {
    /// Whether the type's objects have a dict that the interpreter manages.
    #[inline]
    fn has_dict(&self) -> bool {
        // SAFETY: the type object is alive.
        let flags = unsafe { (*self.type_object.get()).tp_flags };
        flags & ffi::Py_TPFLAGS_MANAGED_DICT != 0
    }
}

/// `tp_clear`.
pub(crate) unsafe extern "C" fn tp_clear<K: Kind>(object: *mut ffi::PyObject) -> c_int {
    // SAFETY: the collector passes an object of this type.
    let fields = unsafe { &*object.cast::<K::Fields>() };
    K::unlink(fields);
    // SAFETY: the collector holds the GIL and a reference.
    unsafe { empty::<K>(object) };
    0
}

/// `tp_traverse`.
pub(crate) unsafe extern "C" fn tp_traverse<K: Kind>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: the object is alive, and heap types count as references of their objects.
    let type_object = unsafe { ffi::Py_TYPE(object) };
    // SAFETY: `visit` takes any live object.
    let mut result = unsafe { visit(type_object.cast(), arg) };
    // SAFETY: the collector passes an object of this type.
    let fields = unsafe { &*object.cast::<K::Fields>() };
    K::each_slot(fields, &mut |slot| {
        if result == 0 && !slot.is_empty() {
            // SAFETY: the slot holds a live object.
            result = unsafe { visit(slot.as_ptr(), arg) };
        }
    });
    #[cfg(Py_3_13)]
    if result == 0 && K::shared().has_dict() {
        // SAFETY: the object's type has a managed dict.
        result = unsafe { PyObject_VisitManagedDict(object, visit, arg) };
    }
    result
}

/// The type object of a kind.
///
/// # Errors
///
/// RuntimeError before it was made.
pub fn type_object<K: Kind>(py: Python<'_>) -> PyResult<Bound<'_, pyo3::types::PyType>> {
    let type_object = K::shared().type_object.get();
    if type_object.is_null() {
        return Err(pyo3::exceptions::PyRuntimeError::new_err("the type is not made yet"));
    }
    // SAFETY: a type object is alive for as long as the process.
    let object = unsafe { Bound::from_borrowed_ptr(py, type_object.cast()) };
    object.cast_into::<pyo3::types::PyType>().map_err(PyErr::from)
}

/// Kinds that share a struct and need no finalizer. The struct says where its dict and its weak
/// references are, and shows its slots.
macro_rules! kinds {
    ($fields:ident: $($kind:ident in $shared:ident),*) => {$(
        static $shared: $crate::kind::Shared = $crate::kind::Shared::new();

        // SAFETY: the type is only made by the builder, with the size of the fields, on `object` or
        // on another type of these fields; every field is valid as zero bits.
        unsafe impl $crate::kind::Kind for $kind {
            type Fields = $fields;

            #[cfg(not(Py_3_13))]
            const DICT_AND_WEAKREFS: [usize; 2] = $fields::DICT_AND_WEAKREFS;

            fn shared() -> &'static $crate::kind::Shared {
                &$shared
            }

            #[inline]
            fn each_slot(fields: &$fields, visit: &mut impl FnMut(&$crate::slot::Slot)) {
                fields.each_slot(visit);
            }

            #[inline]
            fn needs_finalizer(_fields: &$fields) -> bool {
                false
            }
        }

        // SAFETY: a `Bound` of the kind is only made after this check or an equal one, and the type
        // object is made before any object is.
        unsafe impl pyo3::PyTypeInfo for $kind {
            fn type_object_raw(_py: pyo3::Python<'_>) -> *mut pyo3::ffi::PyTypeObject {
                $shared.type_object()
            }
        }

        impl pyo3::types::DerefToPyAny for $kind {}
    )*};
}

pub(crate) use kinds;

#[cfg(Py_3_13)]
pub mod clients;
pub mod gatherings;
pub mod known;
pub mod owners;
pub mod shields;
pub mod waitings;
