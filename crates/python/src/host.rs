//! What our loop queues, and the loop as those see it who only want to queue.
//!
//! A queue entry is an object and a verb, as a `Waker` is a pointer and a table: the loop knows no
//! kinds. A verb lives beside its class, and a new kind is a new `static` in its own file; so this
//! file imports no class, and the modules form a line.
//!
//! Whatever the loop gives control to goes through [`Verb::run`]: that is the place where a
//! recorder will see it. Steps that others give control to, an eager start or another loop, meet
//! them in `tasks::step`.

use std::sync::Arc;

use batonloop_core::{Agenda, Instant};
use batonloop_cpython::Outcome;
use batonloop_cpython::cell::{GilCell, GilSlot, LoopCell, TypeCache};
use batonloop_sys::{Punctual, Selector, Waker};
use pyo3::types::PyAny;
use pyo3::{Bound, Py, PyResult, Python, pyclass};

/// What the loop does with a kind of object when its turn comes.
pub(crate) struct Verb {
    /// The word for it in messages and traces.
    pub(crate) name: &'static str,
    /// Gives control to the object. An error leaves the loop; all others are reported by the verb.
    pub(crate) run: for<'py> fn(Bound<'py, PyAny>, &EventLoop) -> Outcome,
    /// Whether the object no longer wants to run.
    pub(crate) is_cancelled: fn(&Bound<'_, PyAny>) -> bool,
    /// What the object is called in the warning about a slow callback.
    pub(crate) describe: for<'py> fn(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
}

/// One entry of the queue: two words.
pub(crate) struct Entry {
    pub(crate) object: Py<PyAny>,
    pub(crate) verb: &'static Verb,
}

impl batonloop_core::Handle for Entry {
    type Token<'t> = Python<'t>;

    #[inline]
    fn is_cancelled(&self, py: Python<'_>) -> bool {
        (self.verb.is_cancelled)(self.object.bind(py))
    }

    #[inline]
    fn share(&self, py: Python<'_>) -> Self {
        Self { object: self.object.clone_ref(py), verb: self.verb }
    }
}

/// What sleeps for the loop, and what ends its sleep from another thread.
pub(crate) struct Poller {
    pub(crate) selector: Selector,
    pub(crate) waker: Waker,
}

/// The native half of an event loop: what is queued, and the turn.
///
/// `batonloop.EventLoop` derives from it and adds what is cold.
#[pyclass(frozen, subclass, module = "batonloop._batonloop")]
pub(crate) struct EventLoop {
    /// What is ready, scheduled and watched.
    pub(crate) agenda: LoopCell<Agenda<Entry>>,
    /// Invariant: true if and only if the loop is open, not in debug mode, neither its class nor
    /// the object itself gives `call_soon` or `get_debug` another meaning, and asyncio's names of
    /// Task and Future stand for known classes. Then tasks and futures of ours may queue without
    /// calling it.
    pub(crate) is_direct: GilCell<bool>,
    /// Whether `call_soon` is ours.
    pub(crate) has_own_call_soon: GilCell<bool>,
    /// Whether `create_task` is ours.
    pub(crate) has_own_create_task: GilCell<bool>,
    /// Whether `time` is ours: else the loop asks it, not the clock.
    pub(crate) has_own_time: GilCell<bool>,
    /// Whether `call_at` is ours: else `call_later` goes through it.
    pub(crate) has_own_call_at: GilCell<bool>,
    /// Whether `get_debug` is ours: else handles ask it whether to keep the stack of their maker.
    pub(crate) has_own_get_debug: GilCell<bool>,
    /// Whether `create_future` is ours: else locks and queues let those futures wait.
    pub(crate) has_own_create_future: GilCell<bool>,
    /// Whether the methods that watch descriptors are ours: else calls of sockets go through them.
    pub(crate) has_own_watching: GilCell<bool>,
    /// Whether the class has a `_before_sleep()`, which is then asked how long to sleep.
    pub(crate) has_before_sleep: GilCell<bool>,
    /// Whether asyncio's names of Task and Future stood for its own or for ours at the last look;
    /// else the loop is not direct, and makes what they stand for.
    pub(crate) has_known_classes: GilCell<bool>,
    /// Debug mode.
    pub(crate) debug: GilCell<bool>,
    /// Whether `close()` was called.
    pub(crate) closed: GilCell<bool>,
    /// Whether `stop()` was called: the loop ends with this turn.
    pub(crate) stopping: GilCell<bool>,
    /// Whether the loop sleeps, or is about to: a wake is then due.
    pub(crate) sleeping: GilCell<bool>,
    /// The thread that runs it; 0 if none does.
    pub(crate) thread: GilCell<u64>,
    /// When the kernel was last asked for events, in ticks of the cycle counter.
    pub(crate) polled: GilCell<u64>,
    /// How long a callback may take before debug mode warns, in seconds.
    pub(crate) slow_callback_duration: GilCell<f64>,
    /// How long busy turns may go on without a look at the descriptors, in ticks of that counter.
    pub(crate) poll_interval: GilCell<u64>,
    /// The task of ours that has control now.
    pub(crate) current_task: GilSlot,
    /// The handle that runs now, in debug mode.
    pub(crate) current_handle: GilSlot,
    /// What `set_task_factory` set.
    pub(crate) task_factory: GilSlot,
    /// Whether that is our `eager_task_factory`, of which is known what it does.
    pub(crate) has_eager_factory: GilCell<bool>,
    /// Whether the thread that runs the loop wakes up on time; from its first sleep on.
    pub(crate) punctual: LoopCell<Option<Punctual>>,
    /// By descriptor: whether the selector was last told to watch it once. No more than a guess,
    /// for it may have been closed since.
    pub(crate) watched_once: LoopCell<Vec<bool>>,
    /// Empty once the loop is closed.
    pub(crate) poller: LoopCell<Option<Arc<Poller>>>,
}

static LOOP_CLASS: TypeCache = TypeCache::new();

impl EventLoop {
    /// `object`, if it is a loop of ours.
    #[inline]
    pub(crate) fn cast<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Self>> {
        LOOP_CLASS.cast::<Self>(object)
    }

    /// The loop, if `object` is one of ours.
    #[inline]
    pub(crate) fn of<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a Self> {
        Self::cast(object).map(Bound::get)
    }

    /// The loop, if `object` is one of ours on which may be queued without calling `call_soon`.
    #[inline]
    pub(crate) fn direct<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a Self> {
        Self::of(object).filter(|event_loop| event_loop.is_direct.get(object.py()))
    }

    /// Works out [`is_direct`](Self::is_direct) anew.
    pub(crate) fn update_is_direct(&self, py: Python<'_>) {
        let direct = self.has_own_call_soon.get(py)
            && self.has_own_get_debug.get(py)
            && self.has_known_classes.get(py)
            && !self.debug.get(py)
            && !self.closed.get(py);
        self.is_direct.set(py, direct);
    }

    /// Whether a task is made on it without asking anybody: it is direct, `create_task` is ours,
    /// and there is no task factory.
    #[inline]
    pub(crate) fn makes_plain_tasks(&self, py: Python<'_>) -> bool {
        self.is_direct.get(py)
            && self.has_own_create_task.get(py)
            && self.task_factory.slot(py).is_empty()
    }

    /// Whether a task is made on it that takes its first step at once, without asking anybody.
    #[inline]
    pub(crate) fn makes_eager_tasks(&self, py: Python<'_>) -> bool {
        self.has_eager_factory.get(py) && self.is_direct.get(py) && self.has_own_create_task.get(py)
    }

    /// Queues an entry for the next turn.
    #[inline(always)]
    pub(crate) fn queue(&self, object: Bound<'_, PyAny>, verb: &'static Verb) {
        let py = object.py();
        let entry = Entry { object: object.unbind(), verb };
        self.agenda.with(py, |agenda| agenda.call_soon(entry));
    }

    /// Schedules an entry.
    #[inline]
    pub(crate) fn schedule(&self, when: Instant, object: Bound<'_, PyAny>, verb: &'static Verb) {
        let py = object.py();
        let entry = Entry { object: object.unbind(), verb };
        self.agenda.with(py, |agenda| agenda.call_at(when, entry));
    }

    /// Ends the loop's sleep, if it sleeps.
    pub(crate) fn wake(&self, py: Python<'_>) {
        if !self.sleeping.get(py) {
            return;
        }
        if let Some(poller) = self.poller.with(py, |poller| poller.clone()) {
            poller.waker.wake();
        }
    }
}
