//! The life of a task, as far as cancellation is concerned: who asked, and what is still owed.
//!
//! ```text
//!                    1 begin                       2 settle: Yield, Stray
//!   ┌───────────┐ ───────────────▶ ┌───────────┐ ────────────────────────┐
//!   │ scheduled │                  │  running  │                         │
//!   └───────────┘ ◀──────────────┐ └─┬──────┬──┘                         │
//!     ▲   ▲                      │   │      │ 3 settle: Await            │
//!     │   │ 4 the awaited        │   │      ▼                            │
//!     │   │   is done            │   │  ┌───────────┐                    │
//!     │   └──────────────────────┼───┼──┤  waiting  │                    │
//!     │                          │   │  └───────────┘                    │
//!     └──────────────────────────┼───┼───────────────────────────────────┘
//!                                │   │ 5 settle: Return, Raise…
//!                                │   ▼
//!                                │ ┌───────────┐
//!        6 an eager start skips  │ │   done    │
//!          the wait for arrow 1 ─┘ └───────────┘
//! ```
//!
//! # What `cancel()` does
//!
//! A task is not cancelled; it is *asked* to be. Each request is counted, and then forwarded to
//! what the task awaits. Only if nothing is awaited, or the awaited refuses, the task owes itself a
//! cancellation: `must_cancel`. The debt is paid
//!
//! - by the next [`begin`](TaskState::begin), which throws a `CancelledError` (arrow 1); or
//! - at an await, if the awaited takes the cancellation (arrow 3, [`Next::Wait`]); or
//! - at the return: the result is discarded and the task ends as cancelled (arrow 5).
//!
//! Since Python 3.13 `uncancel()` forgives the debt when the last request is taken back.
//!
//! The numbers live in CPython's own struct, where other code may change them between any two
//! lines. So [`TaskState`] is a small value: the host loads it, asks one question, stores it back,
//! and only then calls anything.

use crate::coroutine::{Arrival, Resume, Step};

/// What a task remembers about its cancellation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// Whether a cancellation is owed to the coroutine.
    pub must_cancel: bool,
    /// How many requests to cancel were made and not taken back.
    pub cancelling: u32,
}

/// What the host does after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Queue another step. A debt stays as it is.
    Soon,
    /// Queue another step that brings along the `RuntimeError` which names the stray object. A debt
    /// stays as it is.
    SoonWithError,
    /// Remember what is awaited and add the task to its callbacks. If `cancel`, then cancel it with
    /// the stored message, and tell the answer to [`TaskState::pass_on`].
    Wait {
        /// Whether a cancellation is owed, which the awaited may take over.
        cancel: bool,
    },
    /// Finish with what the coroutine returned.
    Finish,
    /// Cancel the future that the task is, with the message stored by `cancel`. The coroutine
    /// returned, but it owed a cancellation.
    CancelOwed,
    /// Cancel the future that the task is, and keep the `CancelledError` for its awaiters.
    Cancel,
    /// Finish with what the coroutine raised.
    Fail,
    /// Finish with what the coroutine raised, and raise it in the loop too.
    FailAndRaise,
}

impl TaskState {
    /// Arrow 1: a step begins. A debt turns into a `CancelledError`, once; if one has arrived by
    /// itself, it will do.
    #[inline]
    #[must_use]
    pub fn begin(&mut self, arrival: Arrival) -> Resume {
        if self.must_cancel {
            self.must_cancel = false;
            if arrival != Arrival::Cancelled {
                return Resume::Cancel;
            }
        }
        match arrival {
            Arrival::Nothing => Resume::Send,
            Arrival::Exception | Arrival::Cancelled => Resume::Throw,
        }
    }

    /// Arrows 2, 3 and 5: the coroutine has answered.
    #[inline]
    #[must_use]
    pub fn settle(&mut self, step: Step) -> Next {
        match step {
            Step::Yield => Next::Soon,
            Step::Stray => Next::SoonWithError,
            Step::Await => Next::Wait { cancel: self.must_cancel },
            Step::Return if self.must_cancel => {
                self.must_cancel = false;
                Next::CancelOwed
            }
            Step::Return => Next::Finish,
            Step::RaiseCancelled => Next::Cancel,
            Step::RaiseExit => Next::FailAndRaise,
            Step::Raise => Next::Fail,
        }
    }

    /// After arrow 3: whether the awaited has `accepted` the cancellation that was owed. If not, it
    /// is still owed.
    #[inline]
    pub fn pass_on(&mut self, accepted: bool) {
        if accepted {
            self.must_cancel = false;
        }
    }

    /// `cancel()`, first half: counts the request. Not to be asked of a task that is done.
    ///
    /// The host stores the state, forwards the request to what is awaited, loads the state again,
    /// and tells the answer to [`forwarded`](Self::forwarded).
    #[inline]
    pub fn ask_cancel(&mut self) {
        self.cancelling = self.cancelling.saturating_add(1);
    }

    /// `cancel()`, second half: whether what is awaited has `accepted` the request; `false` if
    /// nothing is awaited. If it is owed from now on, answers `true`: the host stores the message.
    #[inline]
    #[must_use = "the message is kept only by a task that owes a cancellation"]
    pub fn forwarded(&mut self, accepted: bool) -> bool {
        // An older debt stays, even if the awaited accepts this one: the awaited may be a task that
        // swallows it.
        if !accepted {
            self.must_cancel = true;
        }
        !accepted
    }

    /// `uncancel()`: takes one request back and returns how many are left. `forgives` says whether
    /// the last one takes the debt along: so in Python 3.13 and later, not before.
    #[inline]
    pub fn uncancel(&mut self, forgives: bool) -> u32 {
        if self.cancelling > 0 {
            self.cancelling -= 1;
            if self.cancelling == 0 && forgives {
                self.must_cancel = false;
            }
        }
        self.cancelling
    }
}
