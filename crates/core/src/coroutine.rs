//! What goes into a coroutine and what comes out of it. It does *not* drive one: to send and to
//! throw is the host's work, and only the host can tell one exception from another.
//!
//! ```text
//!   Arrival ──▶ TaskState::begin ──▶ Resume ──▶ the coroutine ──▶ Step ──▶ TaskState::settle
//!   what woke                        what to                      what it
//!   the task                         do with it                   answered
//! ```

/// What a task's step brings along for the coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Nothing: the first step, a step after a bare yield, or what was awaited has a result.
    Nothing,
    /// An exception that is not a cancellation.
    Exception,
    /// A `CancelledError`, for what was awaited is cancelled.
    Cancelled,
}

/// How the host resumes the coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Send `None`.
    Send,
    /// Throw the exception that arrived.
    Throw,
    /// Make a `CancelledError` with the message that was stored by `cancel`, and throw it in place
    /// of whatever arrived.
    Cancel,
}

/// What the coroutine did then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It yielded `None`: it lets the others run first. Nothing is paid or owed by that, so a host
    /// may queue the next step without asking, as the Python host does.
    Yield,
    /// It yielded a future of the same loop that it awaits.
    Await,
    /// It yielded something that no task can wait for. As for a bare yield, a host need not ask.
    Stray,
    /// It returned.
    Return,
    /// It raised a `CancelledError`.
    RaiseCancelled,
    /// It raised `KeyboardInterrupt` or `SystemExit`, which the task keeps *and* the loop passes
    /// on.
    RaiseExit,
    /// It raised anything else.
    Raise,
}
